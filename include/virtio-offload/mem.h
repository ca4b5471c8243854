/* SPDX-License-Identifier: MIT */
/*
 * Guest memory: which guest addresses exist and where they are mapped here.
 *
 * A struct vio_mem is an immutable, reference-counted snapshot. Changing the map
 * means making the next snapshot; regions present in both stay mapped where
 * they are. A snapshot may be read by any number of threads.
 */
#ifndef VIRTIO_OFFLOAD_MEM_H
#define VIRTIO_OFFLOAD_MEM_H

#include <virtio-offload/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vio_mem;
struct vio_dirty;

/* The most regions one snapshot holds: as many slots as vhost-user has. */
#define VIO_MEM_MAX_REGIONS 509

/*
 * One range of guest-physical addresses. Either ptr names memory that the caller
 * keeps mapped as long as any snapshot holds it, or fd and fd_offset name a file
 * to map (the library duplicates nothing: it maps, and the caller may close fd).
 */
struct vio_mem_region {
	uint64_t guest;		/* first guest-physical address */
	uint64_t size;		/* bytes; not 0; guest + size must not wrap */
	uint64_t user;		/* the front end's own virtual address of it, or 0 */
	void *ptr;		/* where it is mapped here; NULL: map fd */
	int fd;			/* used if ptr is NULL; in results: -1, or the fd kept (see keep_fds) */
	uint64_t fd_offset;	/* bytes into fd; fd must be at least fd_offset + size long */
};

struct vio_mem_opts {
	size_t sz;
	/*
	 * Refuse a file that may shrink, which would turn a later access into
	 * SIGBUS: demands a memfd with F_SEAL_SHRINK (-EPERM otherwise).
	 */
	bool require_seals;
	/* Duplicate and keep each fd, for a backend that passes memory on to a peer. */
	bool keep_fds;
	bool reserved[6];	/* 0; no option struct ends in padding, whose bytes nobody sets */
};

/*
 * A snapshot of n regions (0..VIO_MEM_MAX_REGIONS). Errors: -EINVAL for an empty,
 * wrapping or overlapping region or a file shorter than promised, -E2BIG for too
 * many, -EPERM by require_seals, or what mmap said.
 */
VIO_API int vio_mem_new(struct vio_mem **m, const struct vio_mem_region *regions, unsigned n,
			const struct vio_mem_opts *opts);

/* The snapshot that has r beside all of m's regions. m itself stays as it is. */
VIO_API int vio_mem_add(struct vio_mem **next, struct vio_mem *m, const struct vio_mem_region *r,
			const struct vio_mem_opts *opts);

/* The snapshot without the region whose guest, size and user equal r's; -ENOENT if none does. */
VIO_API int vio_mem_remove(struct vio_mem **next, struct vio_mem *m,
			   const struct vio_mem_region *r);

/*
 * A snapshot of one new region of shared memory (a sealed memfd, its fd kept)
 * that starts at the guest address `guest`: what a driving end puts its rings
 * and buffers into. size is rounded up to whole pages.
 */
VIO_API int vio_mem_alloc(struct vio_mem **m, uint64_t guest, uint64_t size);

/* One more reference; returns m. */
VIO_API struct vio_mem *vio_mem_ref(struct vio_mem *m);

/* One reference less. The last one unmaps what no other snapshot holds. */
VIO_API void vio_mem_free(struct vio_mem *m);

/* How many regions m has; they are numbered by rising guest address. */
VIO_API unsigned vio_mem_count(const struct vio_mem *m);

/* Region i with ptr set; -ENOENT when i is out of range. fd still belongs to m. */
VIO_API int vio_mem_get(const struct vio_mem *m, unsigned i, struct vio_mem_region *out);

/* Where guest..guest+len is mapped; NULL unless one region holds all of it and len > 0. */
VIO_API void *vio_mem_ptr(const struct vio_mem *m, uint64_t guest, uint64_t len);

/* The same for the front end's own addresses (vio_mem_region.user). */
VIO_API void *vio_mem_user_ptr(const struct vio_mem *m, uint64_t user, uint64_t len);

/* The guest address of a pointer into m, or UINT64_MAX. */
VIO_API uint64_t vio_mem_guest(const struct vio_mem *m, const void *ptr);

/*
 * The dirty log of a live migration: one bit per 4 KiB page of guest memory,
 * little-endian, in a file shared with the front end (vhost-user SET_LOG_BASE).
 * Pages beyond the log's end are not logged, never written past it.
 */
VIO_API int vio_dirty_new(struct vio_dirty **d, int fd, uint64_t fd_offset, uint64_t size);
VIO_API void vio_dirty_free(struct vio_dirty *d);
/* Mark guest..guest+len as written. Atomic; any thread. */
VIO_API void vio_dirty_mark(struct vio_dirty *d, uint64_t guest, uint64_t len);

/*
 * For an embedder's SIGBUS handler: if addr lies in memory that a front end shrank
 * under us, put zero pages there, so that the faulting access can be repeated,
 * and return true. The library installs no handler itself. Async-signal-safe.
 */
VIO_API bool vio_mem_sigbus(void *addr);

#ifdef __cplusplus
}
#endif
#endif
