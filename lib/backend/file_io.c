/* SPDX-License-Identifier: MIT */
/*
 * One request's way through its I/Os: mostly there is one. More follow when an I/O
 * came back short, when direct I/O needs a bounce buffer, when zeroes have to be
 * written, and when zeroes have to be on stable storage.
 */
#define _GNU_SOURCE
#include "backend/file.h"
#include "backend/zeroes.h"
#include "base/barrier.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>

#define FILE_TRIES 1000 /* of an I/O that the kernel asks to be repeated, before it counts as failed */

static void io_done(struct vio_io *io, int res);

static void io_complete(struct file_io *f, int res)
{
	struct file_lane *fl = f->fl;

	f->r->res = res;
	vio_reqs_push(&fl->done, f->r);
	vio_lane_wake(fl->lane);
	if (f->bounce)
		file_bounce_put(fl, f);
}

static void io_submit(struct file_io *f)
{
	vio_io_submit(f->fl->lane->poller, &f->io);
}

static void io_vector(struct file_io *f, const struct iovec *iov, unsigned niov)
{
	f->io.iov = iov;
	f->io.niov =
		(uint16_t)VIO_MIN(niov, (unsigned)IOV_MAX); /* what is left out comes back as a short I/O */
	f->io.offset = f->r->offset + f->done;
	f->io.buf = niov == 1 && f->fl->nchunks ? file_chunk_find(f->fl, iov) : -1;
}

static void io_bounce(struct file_io *f)
{
	f->rest.iov_base = f->bounce;
	f->rest.iov_len = VIO_MIN(f->r->len - f->done, (uint64_t)FILE_BOUNCE_SIZE);
	if (f->io.op == VIO_IO_WRITE)
		file_bounce_copy(f->r, f->done, f->bounce, f->rest.iov_len, true);
	io_vector(f, &f->rest, 1);
}

static void io_zeroes(struct file_io *f)
{
	uint16_t niov;
	uint64_t piece = vio__zeroes_piece(f->r->len - f->done, &niov);

	f->rest = vio__zeroes[0];
	f->rest.iov_len = piece;
	io_vector(f, niov == 1 ? &f->rest : vio__zeroes, niov);
}

/* What is left of the entry that byte `done` lies in; the entries after it take their own turn. */
static bool io_continue(struct file_io *f)
{
	const struct iovec *iov = f->r->iov;
	uint64_t at = f->done;
	unsigned i = 0;

	while (i < f->r->niov && at >= iov[i].iov_len)
		at -= iov[i++].iov_len;
	if (i == f->r->niov)
		return false; /* len promised more than iov holds */
	f->rest.iov_base = (char *)iov[i].iov_base + at;
	f->rest.iov_len = iov[i].iov_len - at;
	io_vector(f, &f->rest, 1);
	return true;
}

static void io_next(struct file_io *f)
{
	if (f->zeroing)
		io_zeroes(f);
	else if (f->bounce)
		io_bounce(f);
	else if (!f->done)
		io_vector(f, f->r->iov, f->r->niov);
	else if (!io_continue(f)) {
		io_complete(f, -EINVAL);
		return;
	}
	io_submit(f);
}

static void io_sync(struct file_io *f)
{
	f->io.op = VIO_IO_FSYNC;
	f->sync = false;
	io_submit(f);
}

static void io_zeroes_by_writing(struct file_io *f)
{
	file_count(f->fl->s, FILE_ZEROES_WRITTEN, 1);
	f->zeroing = true;
	f->io.op = VIO_IO_WRITE;
	io_next(f);
}

/* fallocate's modes; 0: the file system has said that it can't. */
static int io_zeroes_mode(const struct file_store *s, const struct vio_req *r)
{
	if (r->op == VIO_OP_DISCARD || (r->flags & VIO_REQ_UNMAP && !VIO_LOAD(&s->no_punch)))
		return FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	return VIO_LOAD(&s->no_zero_range) ? 0 : FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
}

static void io_fallocate(struct file_io *f)
{
	f->io.op = VIO_IO_FALLOCATE;
	f->io.mode = io_zeroes_mode(f->fl->s, f->r);
	f->io.offset = f->r->offset;
	f->io.len = f->r->len;
	f->sync = f->r->op == VIO_OP_WRITE_ZEROES && f->r->flags & VIO_REQ_FUA;
	if (!f->r->len)
		io_complete(f, 0);
	else if (f->io.mode)
		io_submit(f);
	else
		io_zeroes_by_writing(f);
}

static void io_fallocate_refused(struct file_io *f)
{
	struct file_store *s = f->fl->s;

	if (f->r->op == VIO_OP_DISCARD) {
		io_complete(f, 0); /* it was a hint */
		return;
	}
	VIO_STORE(f->io.mode & FALLOC_FL_PUNCH_HOLE ? &s->no_punch : &s->no_zero_range, true);
	io_fallocate(f);
}

/* n bytes were moved. Direct I/O that ended amid a block starts that block anew. */
static void io_moved(struct file_io *f, uint64_t n)
{
	const struct file_store *s = f->fl->s;
	uint64_t left;

	n = VIO_MIN(n, f->r->len - f->done);
	if (s->args.direct && f->done + n < f->r->len)
		n -= n % s->block;
	if (!n) {
		io_complete(f, -EIO); /* the file ends here, where it did not before */
		return;
	}
	if (f->bounce && f->io.op == VIO_IO_READ)
		file_bounce_copy(f->r, f->done, f->bounce, n, false);
	f->done += n;
	left = f->r->len - f->done;
	if (left) {
		if (!f->bounce && !f->zeroing)
			file_count(f->fl->s, FILE_CONTINUED, 1);
		io_next(f);
	} else if (f->sync) {
		io_sync(f);
	} else {
		io_complete(f, 0);
	}
}

static void io_failed(struct file_io *f, int err)
{
	if ((err == -EAGAIN || err == -EINTR) && f->tries++ < FILE_TRIES)
		io_submit(f);
	else if (f->io.op == VIO_IO_FALLOCATE && (err == -EOPNOTSUPP || err == -ENOSYS))
		io_fallocate_refused(f);
	else
		io_complete(f, err);
}

static void io_done(struct vio_io *io, int res)
{
	struct file_io *f = VIO_CONTAINER(io, struct file_io, io);

	if (VIO_LIKELY((uint64_t)res == f->r->len && !f->bounce && !f->sync && !f->done && res > 0))
		io_complete(f, 0);
	else if (res < 0)
		io_failed(f, res);
	else if (io->op == VIO_IO_READ || io->op == VIO_IO_WRITE)
		io_moved(f, (uint64_t)res);
	else if (f->sync)
		io_sync(f);
	else
		io_complete(f, 0);
}

/* Past the end as it was last seen; the file may have grown since. */
static bool io_past_end(struct file_store *s, const struct vio_req *r)
{
	uint64_t size = VIO_LOAD(&s->size);

	if (VIO_LIKELY(r->offset <= size && r->len <= size - r->offset))
		return false;
	if (file_size(s, &size))
		return true;
	VIO_STORE(&s->size, size);
	return r->offset > size || r->len > size - r->offset;
}

static void io_rw(struct file_lane *fl, struct file_io *f)
{
	f->io.op = f->r->op == VIO_OP_READ ? VIO_IO_READ : VIO_IO_WRITE;
	f->io.dsync = f->r->op == VIO_OP_WRITE && f->r->flags & VIO_REQ_FUA;
	if (!f->r->len) {
		io_complete(f, 0);
		return;
	}
	if (fl->bounces && file_bounce_needed(fl->s, f->r) && !file_bounce_get(fl, f))
		return;
	io_next(f);
	*(f->io.buf >= 0 ? &fl->registered : &fl->unregistered) += 1;
}

static void io_init(struct file_lane *fl, struct file_io *f)
{
	f->io.done = io_done;
	f->io.buf = -1;
	f->io.fd = fl->s->fd;
	f->io.file = fl->file;
	f->io.dsync = 0;
	f->done = 0;
	f->bounce = NULL;
	f->tries = 0;
	f->zeroing = f->sync = false;
}

void file_io_start(struct file_lane *fl, struct vio_req *r)
{
	struct file_io *f = vio_req_scratch(fl->lane, r);

	io_init(fl, f);
	if (r->op == VIO_OP_FLUSH) {
		io_sync(f);
		return;
	}
	if (io_past_end(fl->s, r)) {
		io_complete(f, -EIO);
		return;
	}
	switch (r->op) {
	case VIO_OP_READ:
		io_rw(fl, f);
		break;
	case VIO_OP_WRITE:
	case VIO_OP_DISCARD:
	case VIO_OP_WRITE_ZEROES:
		if (fl->s->args.read_only)
			io_complete(f, -EROFS);
		else if (r->op == VIO_OP_WRITE)
			io_rw(fl, f);
		else
			io_fallocate(f);
		break;
	default:
		io_complete(f, -EOPNOTSUPP);
	}
}
