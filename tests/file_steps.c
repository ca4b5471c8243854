/* SPDX-License-Identifier: MIT */
/*
 * A request's I/Os one by one, before a poller that does nothing by itself: what is
 * asked of the kernel, in which order, and what becomes of each answer.
 */
#include "file.h"

#include "backend/file.h"

#include <linux/falloc.h>

/* The poller's I/O as the backend sees it: submitted I/Os wait here for the test to answer them. */
static struct vio_io *asked[64];
static unsigned nasked;

void vio_io_submit(struct vio_poller *p, struct vio_io *io)
{
	(void)p;
	asked[nasked++] = io;
}

void vio_poller_signal(struct vio_poller *p, int fd)
{
	(void)p, (void)fd;
}

void vio_poller_close(struct vio_poller *p, int fd)
{
	(void)p, (void)fd;
}

int vio_poller_buf_add(struct vio_poller *p, void *ptr, size_t len)
{
	(void)p, (void)ptr, (void)len;
	return -EOPNOTSUPP;
}

void vio_poller_buf_del(struct vio_poller *p, int index)
{
	(void)p, (void)index;
}

int vio_poller_file_add(struct vio_poller *p, int fd)
{
	(void)p, (void)fd;
	return -EOPNOTSUPP;
}

void vio_poller_file_del(struct vio_poller *p, int index)
{
	(void)p, (void)index;
}

#define SIZE (8u << 20)

static char memory[SIZE];

/* The one I/O asked for; it is answered by answer(). */
static struct vio_io *ask(void)
{
	assert_int_equal(nasked, 1);
	return asked[0];
}

static void answer(int res)
{
	struct vio_io *io = ask();

	nasked = 0;
	io->done(io, res);
}

static struct vio_req *start(struct disk *d, enum vio_op op, unsigned flags, uint64_t offset, uint64_t len,
			     unsigned niov)
{
	struct vio_req *r = vio_req_get(d->pool);

	r->op = (uint8_t)op;
	r->flags = (uint8_t)flags;
	r->offset = offset;
	r->len = len;
	r->niov = (uint16_t)niov;
	for (unsigned i = 0; i < niov; i++)
		r->iov[i] = (struct iovec){ memory + i * (len / niov), len / niov };
	vio_lane_submit(d->l, &r, 1);
	return r;
}

static bool ended(struct disk *d)
{
	struct vio_req *r;

	if (!vio_lane_reap(d->l, &r, 1))
		return false;
	vio_req_put(d->pool, r);
	return true;
}

static int setup(void **state)
{
	struct disk *d = malloc(sizeof(*d));

	disk_image(d, ".", SIZE);
	assert_int_equal(disk_try(d, ",lock=off"), 0);
	disk_lane(d, poller_of(VIO_POLL_EPOLL, VIO_POLL_EVENT), NULL);
	nasked = 0;
	*state = d;
	return 0;
}

static int end(void **state)
{
	struct disk *d = *state;

	disk_remove(d);
	vio_poller_free(d->p);
	free(d);
	return 0;
}

static void a_flush_completes_only_after_its_fdatasync(void **state)
{
	struct vio_req *r = start(*state, VIO_OP_FLUSH, 0, 0, 0, 0);

	assert_int_equal(ask()->op, VIO_IO_FSYNC);
	assert_false(ended(*state));
	answer(0);
	assert_true(ended(*state));
	assert_int_equal(r->res, 0);
	r = start(*state, VIO_OP_FLUSH, 0, 0, 0, 0);
	answer(-EIO);
	assert_true(ended(*state));
	assert_int_equal(r->res, -EIO);
}

static void fua_is_a_synchronous_write(void **state)
{
	start(*state, VIO_OP_WRITE, VIO_REQ_FUA, 0, 512, 1);
	assert_int_equal(ask()->dsync, 1);
	answer(512);
	assert_true(ended(*state));
	start(*state, VIO_OP_WRITE, 0, 0, 512, 1);
	assert_int_equal(ask()->dsync, 0);
	answer(512);
	assert_true(ended(*state));
}

static void zeroes_with_fua_are_synced_before_they_complete(void **state)
{
	start(*state, VIO_OP_WRITE_ZEROES, VIO_REQ_FUA, 4096, 8192, 0);
	assert_int_equal(ask()->op, VIO_IO_FALLOCATE);
	assert_int_equal(ask()->mode, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
	assert_int_equal(ask()->len, 8192);
	answer(0);
	assert_int_equal(ask()->op, VIO_IO_FSYNC);
	assert_false(ended(*state));
	answer(0);
	assert_true(ended(*state));
}

/* Neither hole nor zeroed range: written in pieces of a MiB, the last one smaller; and remembered. */
static void refused_zeroes_are_written_piece_by_piece(void **state)
{
	static const uint64_t pieces[] = { 1 << 20, 1 << 20, 16384, 512 };
	uint64_t len = 0, at = 512;
	struct vio_req *r;

	for (unsigned i = 0; i < 4; i++)
		len += pieces[i];
	for (unsigned round = 0; round < 2; round++, at = 512) {
		r = start(*state, VIO_OP_WRITE_ZEROES, VIO_REQ_UNMAP | VIO_REQ_FUA, 512, len, 0);
		if (!round) {
			assert_int_equal(ask()->mode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
			answer(-EOPNOTSUPP);
			assert_int_equal(ask()->mode, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE);
			answer(-EOPNOTSUPP);
		}
		for (unsigned i = 0; i < 4; at += pieces[i++]) {
			assert_int_equal(ask()->op, VIO_IO_WRITE);
			assert_int_equal(ask()->offset, at);
			assert_int_equal(ask()->niov * ask()->iov[0].iov_len, pieces[i]);
			assert_int_equal(*(const char *)ask()->iov[0].iov_base, 0);
			answer((int)pieces[i]);
		}
		assert_int_equal(ask()->op, VIO_IO_FSYNC);
		answer(0);
		assert_true(ended(*state));
		assert_int_equal(r->res, 0);
	}
}

static void a_refused_discard_is_no_error(void **state)
{
	struct vio_req *r = start(*state, VIO_OP_DISCARD, 0, 0, 4096, 0);

	answer(-EOPNOTSUPP);
	assert_true(ended(*state));
	assert_int_equal(r->res, 0);
	r = start(*state, VIO_OP_DISCARD, 0, 0, 4096, 0);
	answer(-ENOSPC);
	assert_true(ended(*state));
	assert_int_equal(r->res, -ENOSPC);
}

/* Four entries of 1,024: whatever part is done, the rest is asked for, and nothing twice. */
static void short_io_goes_on_where_it_ended(void **state)
{
	struct vio_req *r;
	uint64_t at;

	for (unsigned first = 1; first < 4096; first += 333) {
		r = start(*state, VIO_OP_READ, 0, 8192, 4096, 4);
		assert_int_equal(ask()->niov, 4);
		answer((int)first);
		for (at = first; at < 4096;) {
			size_t n = ask()->iov[0].iov_len;

			assert_int_equal(ask()->niov, 1);
			assert_int_equal(ask()->offset, 8192 + at);
			assert_ptr_equal(ask()->iov[0].iov_base, memory + at);
			n = n > 1 ? n / 2 : n;
			at += n;
			answer((int)n);
		}
		assert_int_equal(at, 4096);
		assert_true(ended(*state));
		assert_int_equal(r->res, 0);
		assert_int_equal(r->len, 4096);
	}
}

static void nothing_moved_is_an_error(void **state)
{
	for (unsigned op = VIO_OP_READ; op <= VIO_OP_WRITE; op++) {
		struct vio_req *r = start(*state, (enum vio_op)op, 0, 0, 1024, 1);

		answer(512);
		answer(0);
		assert_true(ended(*state));
		assert_int_equal(r->res, -EIO);
	}
}

static void what_should_be_repeated_is_repeated_but_not_for_ever(void **state)
{
	struct vio_req *r = start(*state, VIO_OP_READ, 0, 0, 512, 1);
	unsigned n;

	answer(-EINTR);
	answer(-EAGAIN);
	answer(512);
	assert_true(ended(*state));
	assert_int_equal(r->res, 0);
	r = start(*state, VIO_OP_WRITE, 0, 0, 512, 1);
	for (n = 0; nasked; n++)
		answer(-EAGAIN);
	assert_in_range(n, 2, 10000);
	assert_true(ended(*state));
	assert_int_equal(r->res, -EAGAIN);
}

/* Any error at any step: once, it ends that request and no other. */
static void an_error_at_any_step_ends_the_request(void **state)
{
	for (unsigned op = VIO_OP_READ; op <= VIO_OP_WRITE_ZEROES; op++)
		for (unsigned step = 0; step < 2; step++) {
			struct vio_req *r =
				start(*state, (enum vio_op)op, 0, 0, 1024, op <= VIO_OP_WRITE ? 2 : 0);

			if (step && op <= VIO_OP_WRITE)
				answer(100);
			answer(-ENOSPC);
			assert_int_equal(nasked, 0);
			assert_true(ended(*state));
			assert_int_equal(r->res, -ENOSPC);
			assert_false(ended(*state));
		}
}

static void a_vector_shorter_than_its_length_is_an_error(void **state)
{
	struct disk *d = *state;
	struct vio_req *r = vio_req_get(d->pool);

	r->op = VIO_OP_READ;
	r->len = 4096;
	r->niov = 1;
	r->iov[0] = (struct iovec){ memory, 1024 };
	vio_lane_submit(d->l, &r, 1);
	answer(1024);
	assert_true(ended(d));
	assert_int_equal(r->res, -EINVAL);
}

#define STEP(test) cmocka_unit_test_setup_teardown(test, setup, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STEP(a_flush_completes_only_after_its_fdatasync),
		STEP(fua_is_a_synchronous_write),
		STEP(zeroes_with_fua_are_synced_before_they_complete),
		STEP(refused_zeroes_are_written_piece_by_piece),
		STEP(a_refused_discard_is_no_error),
		STEP(short_io_goes_on_where_it_ended),
		STEP(nothing_moved_is_an_error),
		STEP(what_should_be_repeated_is_repeated_but_not_for_ever),
		STEP(an_error_at_any_step_ends_the_request),
		STEP(a_vector_shorter_than_its_length_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
