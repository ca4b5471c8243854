/* SPDX-License-Identifier: MIT */
/* File I/O, signals and registrations on the ring. */
#include "poll/uring.h"

#include <sys/resource.h>

#define URING_RW_MAX ((size_t)0x7ffff000) /* as much as the kernel moves at a time */

static void uring_io_rw(struct io_uring_sqe *sqe, const struct vio_io *io)
{
	bool write = io->op == VIO_IO_WRITE;

	if (io->niov != 1)
		io_uring_prep_rw(write ? IORING_OP_WRITEV : IORING_OP_READV, sqe, io->fd, io->iov, io->niov,
				 io->offset);
	else
		io_uring_prep_rw(write ? IORING_OP_WRITE : IORING_OP_READ, sqe, io->fd, io->iov[0].iov_base,
				 (unsigned)VIO_MIN(io->iov[0].iov_len, URING_RW_MAX), io->offset);
	if (io->buf >= 0) {
		sqe->opcode = write ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED;
		sqe->buf_index = (uint16_t)io->buf;
	}
	if (write && io->dsync)
		sqe->rw_flags = RWF_DSYNC;
}

static void uring_io_prep(struct io_uring_sqe *sqe, struct vio_io *io)
{
	switch (io->op) {
	case VIO_IO_FSYNC:
		io_uring_prep_fsync(sqe, io->fd, IORING_FSYNC_DATASYNC);
		break;
	case VIO_IO_FALLOCATE:
		io_uring_prep_rw(IORING_OP_FALLOCATE, sqe, io->fd, NULL, (unsigned)io->mode, io->offset);
		sqe->addr = io->len;
		break;
	default:
		uring_io_rw(sqe, io);
	}
	if (io->file >= 0) {
		sqe->fd = io->file;
		sqe->flags |= IOSQE_FIXED_FILE;
	}
	uring_tag(sqe, io, URING_IO);
}

static bool uring_io_start(struct vio_poller *p, struct vio_io *io)
{
	struct uring *u = uring_of(p);
	struct io_uring_sqe *sqe = u->inflight < p->entries ? poll_uring_sqe(p) : NULL;

	if (!sqe)
		return false;
	uring_io_prep(sqe, io);
	u->urgent = true;
	u->inflight++;
	p->stats.ios++;
	return true;
}

void poll_uring_submit(struct vio_poller *p, struct vio_io *io)
{
	struct uring *u = uring_of(p);

	if (u->waiting.head || !uring_io_start(p, io))
		poll_ios_push(&u->waiting, io);
}

void poll_uring_submit_waiting(struct vio_poller *p)
{
	struct uring *u = uring_of(p);

	while (u->waiting.head) {
		struct vio_io *next = u->waiting.head->next;

		if (!uring_io_start(p, u->waiting.head))
			return;
		u->waiting.head = next;
	}
}

bool poll_uring_signal(struct vio_poller *p, int eventfd)
{
	static const uint64_t one = 1;
	struct uring *u = uring_of(p);
	struct io_uring_sqe *sqe;

	/* Its completion must not end the sleep that it is submitted with. */
	if (p->mode != VIO_POLL_EVENT || !p->running || !(u->ring.features & IORING_FEAT_CQE_SKIP))
		return false;
	sqe = poll_uring_sqe(p);
	if (!sqe)
		return false;
	io_uring_prep_write(sqe, eventfd, &one, sizeof(one), 0);
	sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	uring_tag(sqe, NULL, URING_NOTHING);
	p->signalled = true;
	return true;
}

int poll_uring_buf_set(struct vio_poller *p, unsigned index, void *ptr, size_t len)
{
	struct uring *u = uring_of(p);
	struct iovec iov = { .iov_base = ptr, .iov_len = len };
	__u64 tag = 0;
	int rc = u->bufs ? 0 : io_uring_register_buffers_sparse(&u->ring, POLL_BUFS);

	if (rc)
		return rc;
	u->bufs = true;
	rc = io_uring_register_buffers_update_tag(&u->ring, index, &iov, &tag, 1);
	return rc < 0 ? rc : 0;
}

int poll_uring_file_set(struct vio_poller *p, unsigned index, int fd)
{
	struct uring *u = uring_of(p);
	int rc = u->files ? 0 : io_uring_register_files_sparse(&u->ring, POLL_FILES);

	if (rc)
		return rc;
	u->files = true;
	rc = io_uring_register_files_update(&u->ring, index, &fd, 1);
	return rc < 0 ? rc : 0;
}
