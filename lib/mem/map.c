/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/* One region's mapping: what a front end says of it is checked here, against the file itself. */
#include "mem/map.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static int map_check(const struct vio_mem_region *r)
{
	uint64_t end;

	if (!r->size)
		return vio__fail(EINVAL, "memory map: region at %#llx is empty", (unsigned long long)r->guest);
	if (!vio__add(r->guest, r->size - 1, &end) || !vio__add(r->user, r->size - 1, &end))
		return vio__fail(EINVAL, "memory map: region %#llx+%#llx wraps around the address space",
				 (unsigned long long)r->guest, (unsigned long long)r->size);
	return 0;
}

static int map_check_fd(const struct vio_mem_region *r, const struct vio_mem_opts *o)
{
	struct stat st;
	uint64_t end;
	int seals;

	if (fstat(r->fd, &st))
		return vio__fail(errno, "memory map: fd of region %#llx: %m", (unsigned long long)r->guest);
	/* Only regular files have a length to check; a device's own mmap refuses what it can't map. */
	if (!vio__add(r->fd_offset, r->size, &end) || (S_ISREG(st.st_mode) && end > (uint64_t)st.st_size))
		return vio__fail(EINVAL, "memory map: region %#llx+%#llx at file offset %#llx needs more than the file's %lld bytes",
				 (unsigned long long)r->guest, (unsigned long long)r->size,
				 (unsigned long long)r->fd_offset, (long long)st.st_size);
	if (!o->require_seals)
		return 0;
	seals = fcntl(r->fd, F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return vio__fail(EPERM, "memory map: region %#llx lies in a file that may shrink; expected a memfd with F_SEAL_SHRINK",
				 (unsigned long long)r->guest);
	return 0;
}

/* Pages of a hugetlbfs file are mapped and unmapped whole. */
static size_t map_page(int fd)
{
	struct statfs fs;

	if (!fstatfs(fd, &fs) && fs.f_type == HUGETLBFS_MAGIC)
		return (size_t)fs.f_bsize;
	return (size_t)sysconf(_SC_PAGESIZE);
}

static int map_fd(struct mem_map *map, const struct vio_mem_region *r)
{
	size_t page = map_page(r->fd), skip = r->fd_offset & (page - 1);
	uint64_t size;

	if (!vio__add(r->size, skip + page - 1, &size))
		return vio__fail(EINVAL, "memory map: region %#llx is too large", (unsigned long long)r->guest);
	map->map_size = size & ~(uint64_t)(page - 1);
	map->map = mmap(NULL, map->map_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, r->fd,
			(off_t)(r->fd_offset - skip));
	if (map->map == MAP_FAILED)
		return vio__fail(errno, "memory map: cannot map region %#llx+%#llx: %m",
				 (unsigned long long)r->guest, (unsigned long long)r->size);
	madvise(map->map, map->map_size, MADV_DONTDUMP); /* a guest's memory is no part of our core */
	map->mapped = true;
	map->guard = vio__guard_add(map->map, map->map_size);
	map->r.ptr = map->map + skip;
	return 0;
}

static int map_fill(struct mem_map *map, const struct vio_mem_region *r, const struct vio_mem_opts *o)
{
	int rc;

	map->r = *r;
	map->r.fd = -1;
	if (r->ptr)
		return 0;
	rc = map_check_fd(r, o);
	rc = rc ? rc : map_fd(map, r);
	if (rc || !o->keep_fds)
		return rc;
	map->r.fd = fcntl(r->fd, F_DUPFD_CLOEXEC, 0);
	return map->r.fd < 0 ? vio__fail(errno, "memory map: cannot duplicate an fd: %m") : 0;
}

int vio__map_new(struct mem_map **out, const struct vio_mem_region *r, const struct vio_mem_opts *o)
{
	struct mem_map *map;
	int rc = map_check(r);

	*out = NULL;
	if (rc)
		return rc;
	map = calloc(1, sizeof(*map));
	if (!map)
		return vio__fail(ENOMEM, "memory map: out of memory");
	map->refs = 1;
	map->guard = -1;
	rc = map_fill(map, r, o);
	if (rc)
		vio__map_put(map);
	else
		*out = map;
	return rc;
}

void vio__map_get(struct mem_map *map)
{
	__atomic_add_fetch(&map->refs, 1, __ATOMIC_RELAXED);
}

void vio__map_put(struct mem_map *map)
{
	if (__atomic_sub_fetch(&map->refs, 1, __ATOMIC_ACQ_REL))
		return;
	if (map->mapped) {
		vio__guard_del(map->guard);
		munmap(map->map, map->map_size);
	}
	if (map->r.fd >= 0)
		close(map->r.fd);
	free(map);
}

int vio_mem_alloc(struct vio_mem **out, uint64_t guest, uint64_t size)
{
	const VIO_OPTS(vio_mem_opts, o, .require_seals = true, .keep_fds = true);
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct vio_mem_region r = { .guest = guest, .size = (size + page - 1) & ~(page - 1), .user = guest };
	int rc;

	*out = NULL;
	r.fd = memfd_create("virtio-offload", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (r.fd < 0)
		return vio__fail(errno, "memory: memfd_create: %m");
	if (ftruncate(r.fd, (off_t)r.size) || fcntl(r.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW))
		rc = vio__fail(errno, "memory: cannot make %llu bytes of shared memory: %m", (unsigned long long)r.size);
	else
		rc = vio_mem_new(out, &r, 1, &o);
	close(r.fd);
	return rc;
}
