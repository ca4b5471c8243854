/* SPDX-License-Identifier: MIT */
/* A thread's way into a file: its registrations, and the list of what is done. */
#include "backend/file.h"

#ifndef FILE_CHUNK		/* a test has smaller ones */
#define FILE_CHUNK (1ull << 30) /* io_uring registers no more at a time */
#endif

static unsigned lane_chunks(struct vio_mem *mem)
{
	struct vio_mem_region r;
	unsigned n = 0;

	for (unsigned i = 0; i < vio_mem_count(mem); i++)
		if (!vio_mem_get(mem, i, &r))
			n += (unsigned)(r.size / FILE_CHUNK + !!(r.size % FILE_CHUNK));
	return n;
}

static int lane_by_address(const void *a, const void *b)
{
	const struct file_chunk *x = a, *y = b;

	return x->ptr < y->ptr ? -1 : x->ptr > y->ptr;
}

/* A refusal is no failure: those pieces are read and written without. */
static void lane_register_region(struct vio_lane *l, struct file_lane *fl, const struct vio_mem_region *r)
{
	for (uint64_t at = 0; at < r->size; at += FILE_CHUNK) {
		struct file_chunk c = { .ptr = (char *)r->ptr + at,
					.len = VIO_MIN(r->size - at, FILE_CHUNK) };

		c.index = vio_poller_buf_add(l->poller, c.ptr, c.len);
		if (c.index >= 0)
			fl->chunks[fl->nchunks++] = c;
		else
			vio_poller_log(l->poller, VIO_LOG_INFO,
				       "file: %s goes without registered buffers: %s", fl->s->args.path,
				       vio_errmsg());
	}
}

static int lane_register(struct vio_lane *l, struct file_lane *fl)
{
	struct vio_mem_region r;

	if (!l->mem || !fl->s->args.pin || vio_poller_engine(l->poller) != VIO_POLL_IO_URING)
		return 0;
	fl->chunks = calloc(lane_chunks(l->mem) + 1, sizeof(*fl->chunks));
	if (!fl->chunks)
		return vio__fail(ENOMEM, "file: out of memory for a lane");
	fl->mem = vio_mem_ref(l->mem);
	for (unsigned i = 0; i < vio_mem_count(l->mem); i++)
		if (!vio_mem_get(l->mem, i, &r))
			lane_register_region(l, fl, &r);
	qsort(fl->chunks, fl->nchunks, sizeof(*fl->chunks), lane_by_address);
	return 0;
}

static int lane_bounces(struct file_lane *fl)
{
	if (!fl->s->args.direct || fl->s->align == 1)
		return 0;
	fl->bounces = aligned_alloc(65536, FILE_BOUNCES * FILE_BOUNCE_SIZE);
	if (!fl->bounces)
		return vio__fail(ENOMEM, "file: out of memory for bounce buffers");
	fl->bounces_free = (1u << FILE_BOUNCES) - 1;
	return 0;
}

int file_lane_open(struct vio_lane *l)
{
	struct file_lane *fl = l->priv;
	int rc;

	fl->s = l->backend->priv;
	fl->lane = l;
	rc = lane_bounces(fl);
	if (!rc)
		rc = lane_register(l, fl);
	if (rc) {
		free(fl->bounces);
		return rc;
	}
	fl->file = vio_poller_file_add(l->poller, fl->s->fd);
	if (fl->file < 0)
		fl->file = -1;
	return 0;
}

void file_lane_close(struct vio_lane *l)
{
	struct file_lane *fl = l->priv;

	vio_poller_file_del(l->poller, fl->file);
	for (unsigned i = 0; i < fl->nchunks; i++)
		vio_poller_buf_del(l->poller, fl->chunks[i].index);
	vio_mem_free(fl->mem);
	free(fl->chunks);
	free(fl->bounces);
}

static bool lane_holds(const struct file_chunk *c, const struct iovec *v)
{
	size_t at = (size_t)((char *)v->iov_base - c->ptr); /* huge if below */

	return at < c->len && v->iov_len <= c->len - at;
}

int file_chunk_find(struct file_lane *fl, const struct iovec *v)
{
	unsigned low = 0, high = fl->nchunks;

	if (!high)
		return -1;
	if (VIO_LIKELY(lane_holds(&fl->chunks[fl->last], v)))
		return fl->chunks[fl->last].index;
	while (high - low > 1) {
		unsigned mid = low + (high - low) / 2;

		*(fl->chunks[mid].ptr <= (char *)v->iov_base ? &low : &high) = mid;
	}
	if (!lane_holds(&fl->chunks[low], v))
		return -1;
	fl->last = low;
	return fl->chunks[low].index;
}

void file_lane_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct file_lane *fl = l->priv;

	for (unsigned i = 0; i < n; i++) {
		struct file_io *f = vio_req_scratch(l, r[i]);

		f->fl = fl;
		f->r = r[i];
		file_io_start(fl, r[i]);
	}
	if (fl->registered)
		file_count(fl->s, FILE_REGISTERED, fl->registered);
	if (fl->unregistered)
		file_count(fl->s, FILE_UNREGISTERED, fl->unregistered);
	fl->registered = fl->unregistered = 0;
}

unsigned file_lane_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct file_lane *fl = l->priv;
	unsigned i = 0;

	while (i < n && (r[i] = vio_reqs_pop(&fl->done)))
		i++;
	return i;
}
