/* SPDX-License-Identifier: MIT */
/* The dirty log of a live migration. Its length is the bound of every write to it. */
#include "mem/map.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <virtio-offload/mem.h>

#define DIRTY_PAGE_SHIFT 12 /* as vhost-user fixes it, whatever the host's pages */

struct vio_dirty {
	uint8_t *bits;
	uint64_t size;		/* bytes of the log */
	char *map;
	size_t map_size;
	int guard;		/* slot in the SIGBUS guard, or -1: the log can be shrunk as memory can */
};

static int dirty_check(int fd, uint64_t fd_offset, uint64_t size)
{
	uint64_t end;
	struct stat st;

	if (fstat(fd, &st))
		return vio__fail(errno, "dirty log: fd: %m");
	if (!size || size > SIZE_MAX / 2 || !vio__add(fd_offset, size, &end) || end > (uint64_t)st.st_size)
		return vio__fail(EINVAL, "dirty log: %llu bytes at offset %llu do not lie in a file of %lld",
				 (unsigned long long)size, (unsigned long long)fd_offset, (long long)st.st_size);
	return 0;
}

int vio_dirty_new(struct vio_dirty **out, int fd, uint64_t fd_offset, uint64_t size)
{
	uint64_t skip = fd_offset & ((uint64_t)sysconf(_SC_PAGESIZE) - 1);
	struct vio_dirty *d;
	int rc = dirty_check(fd, fd_offset, size);

	*out = NULL;
	if (rc)
		return rc;
	d = calloc(1, sizeof(*d));
	if (!d)
		return vio__fail(ENOMEM, "dirty log: out of memory");
	d->size = size;
	d->map_size = size + skip;
	d->map = mmap(NULL, d->map_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(fd_offset - skip));
	if (d->map == MAP_FAILED) {
		free(d);
		return vio__fail(errno, "dirty log: cannot map %llu bytes: %m", (unsigned long long)size);
	}
	d->guard = vio__guard_add(d->map, d->map_size);
	d->bits = (uint8_t *)d->map + skip;
	*out = d;
	return 0;
}

void vio_dirty_free(struct vio_dirty *d)
{
	if (!d)
		return;
	vio__guard_del(d->guard);
	munmap(d->map, d->map_size);
	free(d);
}

void vio_dirty_mark(struct vio_dirty *d, uint64_t guest, uint64_t len)
{
	uint64_t page = guest >> DIRTY_PAGE_SHIFT, last;

	if (!len || !vio__add(guest, len - 1, &last))
		return;
	last >>= DIRTY_PAGE_SHIFT;
	for (; page <= last && page / 8 < d->size; page++)
		__atomic_or_fetch(&d->bits[page / 8], (uint8_t)(1u << (page % 8)), __ATOMIC_SEQ_CST);
}
