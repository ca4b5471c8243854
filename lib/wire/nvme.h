/* SPDX-License-Identifier: MIT */
/*
 * NVMe as it lies in memory and travels in capsules (NVMe Base 2.0): a command, its
 * completion, and what points at its data. What libnvme has (identify structures, log
 * pages, opcodes, status codes) comes from there; it has no commands as a device sees
 * them, for its user is the kernel's.
 *
 * All is little-endian, as is every machine this library is built for.
 */
#ifndef VIO_WIRE_NVME_H
#define VIO_WIRE_NVME_H

#include "base/base.h"

#include <nvme/types.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "NVMe's structures are read where they lie: a little-endian machine"
#endif

#define NVME_OPC_FABRICS 0x7f
#define NVME_DISCOVERY_NQN "nqn.2014-08.org.nvmexpress.discovery"
#define NVME_NQN_MAX 223u /* bytes, without its end (4.5) */

/* An SGL descriptor (4.4). type: the descriptor's in the upper nibble, its subtype in the lower. */
struct nvme_sgl {
	uint64_t addr;
	uint32_t len;
	uint8_t reserved[3];
	uint8_t type;
};
_Static_assert(sizeof(struct nvme_sgl) == 16, "4.4");

#define NVME_SGL_DATA 0x00	  /* a data block at addr */
#define NVME_SGL_DATA_OFFSET 0x01 /* a data block at an offset into the capsule */
#define NVME_SGL_BIT_BUCKET 0x10
#define NVME_SGL_SEGMENT 0x20
#define NVME_SGL_LAST_SEGMENT 0x30
#define NVME_SGL_TRANSPORT 0x5a /* a transport data block: its transport moves len bytes */

/* How a command names its data: flags & NVME_FLAGS_PSDT. */
#define NVME_FLAGS_FUSE 0x03
#define NVME_FUSE_FIRST 0x01
#define NVME_FUSE_SECOND 0x02
#define NVME_FLAGS_PSDT 0xc0
#define NVME_FLAGS_PRP 0x00
#define NVME_FLAGS_SGL 0x40	/* metadata, which we have not, by address */
#define NVME_FLAGS_SGL_SGL 0x80 /* metadata by SGL */

/* A submission queue's entry (3.3.3.1). */
struct nvme_cmd {
	uint8_t opcode;
	uint8_t flags;
	uint16_t cid;
	uint32_t nsid;
	uint32_t cdw2, cdw3;
	uint64_t mptr;
	union {
		struct {
			uint64_t prp1, prp2;
		};
		struct nvme_sgl sgl;
	};
	uint32_t cdw10, cdw11, cdw12, cdw13, cdw14, cdw15;
};
_Static_assert(sizeof(struct nvme_cmd) == 64, "3.3.3.1");

/* A completion queue's entry (3.3.3.2). status: the phase (in memory only) is bit 0, the code begins at
 * bit 1. */
struct nvme_cqe {
	union {
		uint64_t result;
		uint32_t dw0;
	};
	uint16_t sqhd;
	uint16_t sqid;
	uint16_t cid;
	uint16_t status;
};
_Static_assert(sizeof(struct nvme_cqe) == 16, "3.3.3.2");

/*
 * Fabrics commands (6): the opcode is NVME_OPC_FABRICS, and their type lies where nsid's first byte does.
 * They go in place of a struct nvme_cmd.
 */
struct nvme_connect_cmd {
	uint8_t opcode, flags;
	uint16_t cid;
	uint8_t fctype;
	uint8_t reserved1[19];
	struct nvme_sgl sgl;
	uint16_t recfmt;
	uint16_t qid;
	uint16_t sqsize; /* entries, less one */
	uint8_t cattr;
	uint8_t reserved2;
	uint32_t kato; /* ms; admin queue only */
	uint8_t reserved3[12];
};
_Static_assert(sizeof(struct nvme_connect_cmd) == 64, "6.3");

#define NVME_CATTR_NO_SQFLOW 0x04 /* submission queue flow control is off */

struct nvme_property_cmd {
	uint8_t opcode, flags;
	uint16_t cid;
	uint8_t fctype;
	uint8_t reserved1[35];
	uint8_t attrib; /* bits 2:0: 0 for 4 bytes, 1 for 8 */
	uint8_t reserved2[3];
	uint32_t offset;
	uint64_t value; /* Property Set */
	uint8_t reserved3[8];
};
_Static_assert(sizeof(struct nvme_property_cmd) == 64, "6.4");

/* In a completion's status field: code and type from libnvme's constants, with Do Not Retry or without. */
#define NVME_STATUS(code) ((uint16_t)((code) << 1))
#define NVME_STATUS_DNR ((uint16_t)(1u << 15))

#endif
