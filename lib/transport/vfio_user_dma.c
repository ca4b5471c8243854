/* SPDX-License-Identifier: MIT */
/* The guest's memory: what the client maps for DMA. It changes while the function is quiet. */
#include "transport/vfio_user.h"

#define DMA_ACCESS (VFU_DMA_READABLE | VFU_DMA_WRITEABLE)

/* A device's structures are aligned by guest address; here they are only if the file has them so too. */
static int dma_check(const struct vio_vfio_user *t, const struct vfu_dma_map *d, unsigned nfds)
{
	uint64_t last;

	if (d->argsz < sizeof(*d))
		return vio__fail(EINVAL, "DMA_MAP has argsz %u, expected %zu", d->argsz, sizeof(*d));
	if (d->flags & ~(DMA_ACCESS | VFU_DMA_BY_MMAP) || (d->flags & VFU_DMA_BY_MMAP && !nfds))
		return vio__fail(EINVAL, "DMA_MAP has flags %#x and %u file descriptors", d->flags, nfds);
	if (!d->size || (d->size | d->addr | d->offset) % VFS_PAGE ||
	    !vio__add(d->addr, d->size - 1, &last) || !vio__add(d->offset, d->size, &last))
		return vio__fail(EINVAL, "DMA_MAP of %#llx+%#llx at %#llx of its file, expected whole pages",
				 (unsigned long long)d->addr, (unsigned long long)d->size,
				 (unsigned long long)d->offset);
	if (t->nmaps == VFS_MAX_MAPS)
		return vio__fail(ENOSPC, "DMA_MAP of one range more than %u", VFS_MAX_MAPS);
	return 0;
}

/* Neither range can wrap, so differences are safe. */
static bool dma_overlaps(const struct vfs_map *m, const struct vfu_dma_map *d)
{
	return m->addr < d->addr ? d->addr - m->addr < m->size : m->addr - d->addr < d->size;
}

/* A range may be known and not be reached: without a file there is nothing to map, and ours are mapped to be
 * read and written. */
static bool dma_reaches(const struct vfu_dma_map *d, unsigned nfds)
{
	return nfds && (d->flags & DMA_ACCESS) == DMA_ACCESS;
}

/* What was written is kept for what stays. */
static int dma_change(struct vio_vfio_user *t, struct vio_mem *next)
{
	int err = vfs_log_remap(t, next);

	vio_mem_free(err ? next : t->mem);
	if (!err)
		t->mem = next;
	return err;
}

static int dma_add(struct vio_vfio_user *t, const struct vfu_dma_map *d, int fd)
{
	VIO_OPTS(vio_mem_opts, o, .require_seals = t->opts.require_seals);
	struct vio_mem_region r = { .guest = d->addr, .size = d->size, .fd = fd, .fd_offset = d->offset };
	struct vio_mem *next;
	int err = vio_mem_add(&next, t->mem, &r, &o);

	return err ? err : dma_change(t, next);
}

int vfs_dma_map(struct vio_vfio_user *t, struct vfu_msg *m)
{
	const struct vfu_dma_map *d = &m->p.map;
	bool reached = dma_reaches(d, m->nfds);
	int err = dma_check(t, d, m->nfds);

	for (unsigned i = 0; !err && i < t->nmaps; i++)
		if (dma_overlaps(&t->maps[i], d))
			err = vio__fail(EEXIST, "DMA_MAP of %#llx+%#llx overlaps %#llx+%#llx",
					(unsigned long long)d->addr, (unsigned long long)d->size,
					(unsigned long long)t->maps[i].addr,
					(unsigned long long)t->maps[i].size);
	if (!err && reached)
		err = dma_add(t, d, m->fds[0]);
	if (err)
		return err;
	t->maps[t->nmaps++] = (struct vfs_map){ d->addr, d->size, reached };
	vfs_log(t, VIO_LOG_DEBUG, "memory %#llx+%#llx%s", (unsigned long long)d->addr,
		(unsigned long long)d->size, reached ? "" : " can't be reached");
	vfu_close_fds(m);
	vfs_reply(m, 0);
	return 0;
}

static int dma_remove(struct vio_vfio_user *t, const struct vfs_map *map)
{
	struct vio_mem_region r = { .guest = map->addr, .size = map->size };
	struct vio_mem *next;
	int err = vio_mem_remove(&next, t->mem, &r);

	return err ? err : dma_change(t, next);
}

static int dma_unmap_all(struct vio_vfio_user *t, const struct vfu_dma_unmap *d)
{
	struct vio_mem *next;
	int err;

	if (d->addr || d->size)
		return vio__fail(EINVAL, "DMA_UNMAP of all names %#llx+%#llx", (unsigned long long)d->addr,
				 (unsigned long long)d->size);
	err = vio_mem_new(&next, NULL, 0, NULL);
	err = err ? err : dma_change(t, next);
	if (!err)
		t->nmaps = 0;
	return err;
}

static int dma_unmap_one(struct vio_vfio_user *t, const struct vfu_dma_unmap *d)
{
	unsigned i = 0;
	int err;

	while (i < t->nmaps && (t->maps[i].addr != d->addr || t->maps[i].size != d->size))
		i++;
	if (i == t->nmaps)
		return vio__fail(ENOENT, "DMA_UNMAP of %#llx+%#llx, which was not mapped so",
				 (unsigned long long)d->addr, (unsigned long long)d->size);
	err = t->maps[i].reached ? dma_remove(t, &t->maps[i]) : 0;
	if (!err)
		t->maps[i] = t->maps[--t->nmaps];
	return err;
}

int vfs_dma_unmap(struct vio_vfio_user *t, struct vfu_msg *m)
{
	const struct vfu_dma_unmap *d = &m->p.unmap;

	if (d->argsz < sizeof(*d) || d->flags & ~VFU_UNMAP_ALL)
		return vio__fail(EINVAL, "DMA_UNMAP has argsz %u and flags %#x", d->argsz, d->flags);
	vfs_reply(m, sizeof(*d)); /* the same, back */
	return d->flags & VFU_UNMAP_ALL ? dma_unmap_all(t, d) : dma_unmap_one(t, d);
}
