/* SPDX-License-Identifier: MIT */
/* Direct I/O from memory that is not aligned for it goes through a few buffers a lane, piece by piece. */
#include "backend/file.h"

bool file_bounce_needed(const struct file_store *s, const struct vio_req *r)
{
	uintptr_t base = 0, len = 0;

	for (unsigned i = 0; i < r->niov; i++) {
		base |= (uintptr_t)r->iov[i].iov_base;
		len |= r->iov[i].iov_len;
	}
	/* Whole blocks an entry, so that an I/O that comes back short can go on with any of them. */
	return base & (s->align - 1) || len & (s->block - 1);
}

bool file_bounce_get(struct file_lane *fl, struct file_io *f)
{
	unsigned i;

	if (!fl->bounces_free) {
		file_count(fl->s, FILE_BOUNCE_WAITS, 1);
		vio_reqs_push(&fl->waiting, f->r);
		return false;
	}
	i = (unsigned)__builtin_ctz(fl->bounces_free);
	fl->bounces_free &= fl->bounces_free - 1;
	f->bounce = fl->bounces + i * FILE_BOUNCE_SIZE;
	file_count(fl->s, FILE_BOUNCED, 1);
	return true;
}

void file_bounce_put(struct file_lane *fl, struct file_io *f)
{
	struct vio_req *r;

	fl->bounces_free |= 1u << (unsigned)(f->bounce - fl->bounces) / FILE_BOUNCE_SIZE;
	f->bounce = NULL;
	while (fl->bounces_free && (r = vio_reqs_pop(&fl->waiting)))
		file_io_start(fl, r);
}

void file_bounce_copy(const struct vio_req *r, uint64_t at, char *buf, size_t n, bool to_buf)
{
	for (unsigned i = 0; i < r->niov && n; i++) {
		char *p = r->iov[i].iov_base;
		size_t len = r->iov[i].iov_len;

		if (at >= len) {
			at -= len;
			continue;
		}
		len = VIO_MIN(len - at, n);
		memcpy(to_buf ? buf : p + at, to_buf ? p + at : buf, len);
		buf += len;
		n -= len;
		at = 0;
	}
}
