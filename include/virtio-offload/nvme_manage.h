/* SPDX-License-Identifier: MIT */
/*
 * Hosts that manage namespaces (NVMe Base 2.0): they create and delete them, and attach
 * them to controllers. Where the storage comes from is the embedder's matter.
 *
 * An attachment is to a host, by its name: all its controllers have the namespace, and
 * those that it makes when it connects again. A PCI function without a name (.host of
 * vio_nvme_pci_opts) is a host of its own while it exists.
 */
#ifndef VIRTIO_OFFLOAD_NVME_MANAGE_H
#define VIRTIO_OFFLOAD_NVME_MANAGE_H

#include <virtio-offload/nvme.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A namespace as it is to be kept. The texts live as long as the call. */
struct vio_nvme_kept {
	size_t sz;
	uint32_t nsid;
	uint32_t block; /* bytes of a block */
	uint64_t size;	/* bytes */
	uint8_t uuid[16];
	uint32_t ana_group;
	bool made; /* by a host */
	bool private_;
	bool all; /* attached to all hosts but those below; otherwise to those alone */
	bool reserved;
	const char *const *hosts;
	size_t nhosts;
};

struct vio_nvme_manager {
	size_t sz;
	void *ctx;
	/*
	 * Required. Runs job(arg) once, on any thread, before it returns or later: a job may block, by what
	 * create and the others do. Called on pollers' threads, whose queues all wait for a job that is run
	 * at once. All that were given must have been run when vio_nvme_free is called; there are 256
	 * at most.
	 */
	void (*work)(void *ctx, void (*job)(void *arg), void *arg);

	/*
	 * These are called in jobs, never two at a time. Without create and destroy hosts make no namespaces.
	 *
	 * create: a store of exactly ns->size bytes, whose blocks are no larger than ns->block. Nothing of
	 * what another store held may ever be read from it. The reference is the library's. 0 or -errno,
	 * -ENOSPC where there is less room than capacity promised.
	 */
	int (*create)(void *ctx, const struct vio_nvme_kept *ns, struct vio_backend **b);
	/* The namespace has gone, and its backend is closed. After -errno its id and its room are not used
	 * again. */
	int (*destroy)(void *ctx, const struct vio_nvme_kept *ns);
	/*
	 * What a host has changed: attachments, the size of blocks. To be the same after a restart, it has to
	 * be on stable storage on return. After -errno the host is told that it failed. NULL: nothing is
	 * kept.
	 */
	int (*save)(void *ctx, const struct vio_nvme_kept *ns);

	uint64_t capacity;    /* bytes that all namespaces made by hosts may have together */
	uint32_t granularity; /* each takes a multiple of this: a power of two; 0 means 1 MiB */
	uint32_t block;	      /* blocks of stores that create makes: 512 or 4096; 0 means 512 */
};

#ifdef __cplusplus
}
#endif
#endif
