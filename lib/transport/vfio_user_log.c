/* SPDX-License-Identifier: MIT */
/* Which of the guest's pages the function has written, for a client that copies them while it runs. All that
 * is mapped is watched, whatever ranges were asked for. */
#include "transport/vfio_user.h"

#include "mem/log.h"

#define LOG_MAX_LENGTH (1ull << 40) /* of a report: it is looked through at once */

int vfs_log_remap(struct vio_vfio_user *t, const struct vio_mem *mem)
{
	struct mem_log *next;
	int err;

	if (!t->pci->log)
		return 0;
	err = vio__log_new(&next, mem, t->pci->log);
	if (!err)
		t->pci->log = next;
	return err;
}

int vfs_log_start(struct vio_vfio_user *t, struct vfu_msg *m, uint32_t size)
{
	struct vfu_log_start s;

	memcpy(&s, m->p.feature.data, sizeof(s));
	if (!s.page_size || !vio__is_pow2(s.page_size) ||
	    s.n > (size - sizeof(s)) / sizeof(struct vfu_log_range))
		return vio__fail(EINVAL, "DMA_LOGGING_START of %u ranges and pages of %llu bytes brings %u",
				 s.n, (unsigned long long)s.page_size, size);
	if (t->pci->log)
		return vio__fail(EBUSY, "DMA_LOGGING_START when it was started already");
	s.page_size = VFS_PAGE;
	memcpy(m->p.feature.data, &s, sizeof(s));
	return vio__log_new(&t->pci->log, t->mem, NULL);
}

int vfs_log_stop(struct vio_vfio_user *t)
{
	vio__log_free(t->pci->log);
	t->pci->log = NULL;
	return 0;
}

/* The bytes of its bitmap, or -errno. */
static int log_check(const struct vfu_log_report *r)
{
	uint64_t last, bytes;

	if (r->page_size < VFS_PAGE || !vio__is_pow2(r->page_size))
		return vio__fail(EINVAL,
				 "DMA_LOGGING_REPORT of pages of %llu bytes, expected %u or a multiple",
				 (unsigned long long)r->page_size, VFS_PAGE);
	if (!r->length || (r->iova | r->length) % r->page_size || r->length > LOG_MAX_LENGTH ||
	    !vio__add(r->iova, r->length - 1, &last))
		return vio__fail(EINVAL,
				 "DMA_LOGGING_REPORT of %#llx+%#llx, expected whole pages, 1 TiB at most",
				 (unsigned long long)r->iova, (unsigned long long)r->length);
	bytes = (r->length / r->page_size + 63) / 64 * 8;
	if (bytes > VFU_MAX_BITMAP)
		return vio__fail(E2BIG, "DMA_LOGGING_REPORT of %llu bytes, expected %u at most",
				 (unsigned long long)bytes, VFU_MAX_BITMAP);
	return (int)bytes;
}

/* The bytes of data in its answer. Nothing is forgotten unless the client has room for it. */
int vfs_log_report(struct vio_vfio_user *t, struct vfu_msg *m)
{
	struct vfu_log_report r;
	int bytes;

	memcpy(&r, m->p.feature.data, sizeof(r));
	if (!t->pci->log)
		return vio__fail(EINVAL, "DMA_LOGGING_REPORT before it was started");
	bytes = log_check(&r);
	if (bytes < 0)
		return bytes;
	if (m->p.feature.argsz >= sizeof(m->p.feature) + sizeof(r) + (size_t)bytes) {
		memset(m->p.feature.data + sizeof(r), 0, (size_t)bytes);
		vio__log_take(t->pci->log, r.iova, r.length, (unsigned)__builtin_ctzll(r.page_size),
			      m->p.feature.data + sizeof(r));
	}
	return (int)sizeof(r) + bytes;
}
