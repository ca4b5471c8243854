/* SPDX-License-Identifier: MIT */
/*
 * NVMe/TCP's PDUs (NVMe/TCP Transport 1.0, 3.6): what both ends send, and the checks
 * that need nothing but the PDU.
 */
#ifndef VIO_WIRE_NVME_TCP_H
#define VIO_WIRE_NVME_TCP_H

#include "wire/nvme.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#define NVME_TCP_PORT 4420
#define NVME_TCP_DISCOVERY_PORT 8009
#define NVME_TCP_PFV 0	   /* the only PDU format version */
#define NVME_TCP_DIGEST 4u /* bytes of a CRC-32C */
#define NVME_TCP_MIN_MAXH2C 4096u

enum nvme_tcp_type {
	NVME_TCP_ICREQ = 0x00,
	NVME_TCP_ICRESP = 0x01,
	NVME_TCP_H2C_TERM = 0x02,
	NVME_TCP_C2H_TERM = 0x03,
	NVME_TCP_CMD = 0x04,
	NVME_TCP_RSP = 0x05,
	NVME_TCP_H2C_DATA = 0x06,
	NVME_TCP_C2H_DATA = 0x07,
	NVME_TCP_R2T = 0x09,
};

/* The common header's flags. */
#define NVME_TCP_HDGST 0x01	   /* a header digest follows the header */
#define NVME_TCP_DDGST 0x02	   /* a data digest follows the data */
#define NVME_TCP_DATA_LAST 0x04	   /* data PDUs: the transfer's last */
#define NVME_TCP_DATA_SUCCESS 0x08 /* C2HData: the command succeeded and no response follows */

/* ICReq and ICResp: which digests are wanted. */
#define NVME_TCP_WANT_HDGST 0x01
#define NVME_TCP_WANT_DDGST 0x02

struct nvme_tcp_hdr {
	uint8_t type;
	uint8_t flags;
	uint8_t hlen;  /* bytes of the header, digest not among them */
	uint8_t pdo;   /* bytes from the PDU's start to its data; 0: none */
	uint32_t plen; /* bytes of the whole PDU */
};

struct nvme_tcp_icreq {
	struct nvme_tcp_hdr hdr;
	uint16_t pfv;
	uint8_t hpda; /* data the host receives is aligned to (hpda + 1) * 4 bytes: 0..31 */
	uint8_t digest;
	uint32_t maxr2t; /* R2Ts outstanding a command, less one */
	uint8_t reserved[112];
};

struct nvme_tcp_icresp {
	struct nvme_tcp_hdr hdr;
	uint16_t pfv;
	uint8_t cpda; /* as hpda, of data the controller receives */
	uint8_t digest;
	uint32_t maxh2cdata; /* most bytes of data in an H2CData PDU; a multiple of 4, at least 4096 */
	uint8_t reserved[112];
};

struct nvme_tcp_term {
	struct nvme_tcp_hdr hdr;
	uint16_t fes; /* enum nvme_tcp_fes */
	uint32_t fei;
	uint8_t reserved[10];
	/* up to 128 bytes of the header that was in error follow */
} __attribute__((packed));
#define NVME_TCP_TERM_MAX (sizeof(struct nvme_tcp_term) + 128)

enum nvme_tcp_fes {
	NVME_TCP_FES_FIELD = 1, /* fei: the field's offset */
	NVME_TCP_FES_SEQUENCE = 2,
	NVME_TCP_FES_HDGST = 3, /* fei: the digest that came */
	NVME_TCP_FES_RANGE = 4,
	NVME_TCP_FES_LIMIT = 5,	    /* more data than MAXH2CDATA or R2T allow */
	NVME_TCP_FES_PARAMETER = 6, /* fei: the field's offset */
};

struct nvme_tcp_cmd {
	struct nvme_tcp_hdr hdr;
	struct nvme_cmd cmd;
};

struct nvme_tcp_rsp {
	struct nvme_tcp_hdr hdr;
	struct nvme_cqe cqe;
};

/* H2CData, C2HData. */
struct nvme_tcp_data {
	struct nvme_tcp_hdr hdr;
	uint16_t cid;
	uint16_t ttag;	 /* H2CData: the R2T's; C2HData: reserved */
	uint32_t offset; /* into the command's data */
	uint32_t len;
	uint8_t reserved[4];
};

struct nvme_tcp_r2t {
	struct nvme_tcp_hdr hdr;
	uint16_t cid;
	uint16_t ttag;
	uint32_t offset;
	uint32_t len;
	uint8_t reserved[4];
};

_Static_assert(sizeof(struct nvme_tcp_icreq) == 128 && sizeof(struct nvme_tcp_icresp) == 128 &&
		       sizeof(struct nvme_tcp_term) == 24 && sizeof(struct nvme_tcp_cmd) == 72 &&
		       sizeof(struct nvme_tcp_rsp) == 24 && sizeof(struct nvme_tcp_data) == 24 &&
		       sizeof(struct nvme_tcp_r2t) == 24,
	       "3.6.2");

union nvme_tcp_pdu {
	struct nvme_tcp_hdr hdr;
	struct nvme_tcp_icreq icreq;
	struct nvme_tcp_icresp icresp;
	struct nvme_tcp_term term;
	struct nvme_tcp_cmd cmd;
	struct nvme_tcp_rsp rsp;
	struct nvme_tcp_data data;
	struct nvme_tcp_r2t r2t;
};

/* Bytes of a type's header; 0: no such type. */
VIO_INLINE unsigned nvme_tcp_hlen(uint8_t type)
{
	switch (type) {
	case NVME_TCP_ICREQ:
	case NVME_TCP_ICRESP:
		return 128;
	case NVME_TCP_CMD:
		return 72;
	case NVME_TCP_H2C_TERM:
	case NVME_TCP_C2H_TERM:
	case NVME_TCP_RSP:
	case NVME_TCP_H2C_DATA:
	case NVME_TCP_C2H_DATA:
	case NVME_TCP_R2T:
		return 24;
	}
	return 0;
}

/*
 * Digests: CRC-32C, as iSCSI has it. Without ISA-L there are none (vio__nvme_tcp_has_digests is
 * false), and both ends refuse them when asked.
 */
bool vio__nvme_tcp_has_digests(void);
/* Begin with NVME_TCP_SUM_BEGIN, add in any pieces, end with nvme_tcp_sum_end: as it goes on the wire. */
#define NVME_TCP_SUM_BEGIN 0xffffffffu
uint32_t vio__nvme_tcp_sum(uint32_t sum, const void *data, size_t len);
VIO_INLINE uint32_t nvme_tcp_sum_end(uint32_t sum)
{
	return ~sum;
}
uint32_t vio__nvme_tcp_sum_iov(uint32_t sum, const struct iovec *iov, unsigned n);

#endif
