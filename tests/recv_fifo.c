/* SPDX-License-Identifier: MIT */
/* What every receiving lane relies on: RECVs are filled in order, packets spread over those that may be
 * merged, filled ones are reaped and the others recalled, and nothing is lost where the ring wraps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "backend/recv_fifo.h"

#define SIZE 8u

static char memory[SIZE][64];
static struct iovec vectors[SIZE][2];
static struct vio_req reqs[SIZE];

/* Each has two entries of 10 and 20 bytes, and leaves 12 free. */
static struct vio_req **fresh(uint8_t flags)
{
	static struct vio_req *list[SIZE];

	for (unsigned i = 0; i < SIZE; i++) {
		vectors[i][0] = (struct iovec){ memory[i], 10 };
		vectors[i][1] = (struct iovec){ memory[i] + 32, 20 };
		reqs[i] = (struct vio_req){ .op = VIO_OP_RECV, .flags = flags, .niov = 2, .iov = vectors[i] };
		reqs[i].offload.hdr_len = 12;
		list[i] = &reqs[i];
	}
	return list;
}

static void up(struct recv_fifo *f, uint8_t flags)
{
	assert_int_equal(recv_fifo_open(f, SIZE, "test"), 0);
	recv_fifo_push(f, fresh(flags), SIZE);
	assert_int_equal(recv_fifo_room(f), 0);
}

static void a_packet_spreads_over_merged_recvs(void **state)
{
	const struct vio_offload o = { .gso_size = 7 };
	struct vio_req *r[SIZE];
	struct recv_fifo f;

	(void)state;
	up(&f, VIO_RECV_MERGE);
	assert_int_equal(recv_fifo_fit(&f, 18), 1);
	assert_int_equal(recv_fifo_fit(&f, 19), 2);
	assert_int_equal(recv_fifo_fit(&f, 18 + 30 + 1), 3);
	assert_int_equal(recv_fifo_fit(&f, 18 + 7 * 30), 8);
	assert_int_equal(recv_fifo_fit(&f, 18 + 7 * 30 + 1), 0);
	assert_int_equal(recv_fifo_fill(&f, 18 + 30 + 1, VIO_PACKET_CSUM, &o), 3);
	assert_int_equal(recv_fifo_reap(&f, r, SIZE), 3);
	assert_ptr_equal(r[0], &reqs[0]);
	assert_int_equal(r[0]->res, 3);
	assert_int_equal(r[0]->len, 18);
	assert_int_equal(r[0]->flags, VIO_PACKET_CSUM);
	assert_int_equal(r[0]->offload.gso_size, 7);
	assert_int_equal(r[1]->res, 0);
	assert_int_equal(r[1]->len, 30);
	assert_int_equal(r[2]->res, 0);
	assert_int_equal(r[2]->len, 1);
	recv_fifo_close(&f);
}

static void a_packet_stays_in_one_recv_without_merge(void **state)
{
	struct recv_fifo f;

	(void)state;
	up(&f, 0);
	assert_int_equal(recv_fifo_fit(&f, 18), 1);
	assert_int_equal(recv_fifo_fit(&f, 19), -EMSGSIZE);
	reqs[0].flags = VIO_RECV_MERGE;
	assert_int_equal(recv_fifo_fit(&f, 18 + 30), 2);
	assert_int_equal(recv_fifo_fit(&f, 18 + 31), -EMSGSIZE);
	recv_fifo_close(&f);
}

static void head_room_is_cut_from_the_first_only(void **state)
{
	struct iovec v[2];
	struct recv_fifo f;

	(void)state;
	up(&f, VIO_RECV_MERGE);
	assert_int_equal(recv_part(recv_fifo_at(&f, 0), true, v, 2), 1);
	assert_ptr_equal(v[0].iov_base, memory[0] + 32 + 2);
	assert_int_equal(v[0].iov_len, 18);
	assert_int_equal(recv_part(recv_fifo_at(&f, 1), false, v, 2), 2);
	assert_ptr_equal(v[0].iov_base, memory[1]);
	assert_int_equal(v[1].iov_len, 20);
	assert_int_equal(recv_part(recv_fifo_at(&f, 1), false, v, 1), 1);
	reqs[0].offload.hdr_len = 31; /* a RECV that has no room for a beginning */
	assert_int_equal(recv_space(&reqs[0], true), 0);
	assert_int_equal(recv_part(&reqs[0], true, v, 2), 0);
	recv_fifo_close(&f);
}

/* Through two entries each, and through single ones that are large enough at once. */
static void a_frame_is_copied_into_those_that_wait(void **state)
{
	static const char frame[] = "The quick brown fox jumps over the lazy dog, twice.";
	const struct vio_offload o = { .csum_start = 14 };
	struct vio_req *r[SIZE];
	struct recv_fifo f;

	(void)state;
	memset(memory, 0, sizeof(memory));
	up(&f, VIO_RECV_MERGE);
	assert_int_equal(recv_fifo_put(&f, frame, 18 + 12, VIO_PACKET_CSUM, &o), 2);
	assert_memory_equal(memory[0] + 32 + 2, frame, 18);
	assert_memory_equal(memory[1], frame + 18, 10);
	assert_memory_equal(memory[1] + 32, frame + 28, 2);
	assert_int_equal(memory[0][0] | memory[0][33] | memory[1][34], 0);
	for (unsigned i = 2; i < 4; i++) {
		vectors[i][0].iov_len = 64;
		reqs[i].niov = 1;
	}
	assert_int_equal(recv_fifo_put(&f, frame, 52, VIO_PACKET_CSUM, &o), 1);
	assert_memory_equal(memory[2] + 12, frame, 52);
	assert_int_equal(memory[2][11], 0);
	assert_int_equal(recv_fifo_reap(&f, r, SIZE), 3);
	assert_int_equal(r[0]->res, 2);
	assert_int_equal(r[2]->res, 1);
	assert_int_equal(r[2]->len, 52);
	assert_int_equal(r[2]->flags, VIO_PACKET_CSUM);
	assert_int_equal(r[2]->offload.csum_start, 14);
	recv_fifo_close(&f);
}

static void a_frame_that_fits_nowhere_changes_nothing(void **state)
{
	static const char frame[300];
	struct vio_req *r[SIZE];
	struct recv_fifo f;

	(void)state;
	up(&f, 0);
	assert_int_equal(recv_fifo_put(&f, frame, 19, 0, NULL), -EMSGSIZE);
	for (unsigned i = 0; i < SIZE; i++)
		reqs[i].flags = VIO_RECV_MERGE;
	assert_int_equal(recv_fifo_put(&f, frame, sizeof(frame), 0, NULL), 0);
	assert_int_equal(recv_fifo_recall(&f, r, SIZE), SIZE);
	assert_int_equal(recv_fifo_put(&f, frame, 15, 0, NULL), 0);
	recv_fifo_close(&f);
}

static void the_newest_that_wait_are_recalled(void **state)
{
	struct vio_req *r[SIZE];
	struct recv_fifo f;

	(void)state;
	up(&f, VIO_RECV_MERGE);
	recv_fifo_fill(&f, 20, 0, NULL);
	assert_int_equal(recv_fifo_recall(&f, r, 2), 2);
	assert_ptr_equal(r[0], &reqs[6]);
	assert_ptr_equal(r[1], &reqs[7]);
	assert_int_equal(recv_fifo_recall(&f, r, SIZE), 4);
	assert_ptr_equal(r[0], &reqs[2]);
	assert_int_equal(recv_fifo_recall(&f, r, SIZE), 0);
	assert_int_equal(recv_fifo_reap(&f, r, 1), 1);
	assert_int_equal(recv_fifo_reap(&f, r, SIZE), 1);
	assert_ptr_equal(r[0], &reqs[1]);
	assert_int_equal(recv_fifo_room(&f), SIZE);
	recv_fifo_close(&f);
}

/* Long enough for the free-running counters to pass 2^32. */
static void nothing_is_lost_where_it_wraps(void **state)
{
	struct vio_req *r[SIZE], *again[SIZE];
	struct recv_fifo f;

	(void)state;
	up(&f, 0);
	assert_int_equal(recv_fifo_recall(&f, r, SIZE), SIZE);
	f.head = f.filled = f.tail = 0u - 13;
	for (unsigned round = 0; round < 40; round++) {
		unsigned n = 1 + round % SIZE;

		recv_fifo_push(&f, r, n);
		for (unsigned i = 0; i < n; i++)
			recv_fifo_fill(&f, 15, 0, NULL);
		assert_int_equal(recv_fifo_fit(&f, 15), 0);
		assert_int_equal(recv_fifo_reap(&f, again, SIZE), n);
		assert_memory_equal(again, r, n * sizeof(*r));
		assert_int_equal(recv_fifo_room(&f), SIZE);
	}
	recv_fifo_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_packet_spreads_over_merged_recvs),
		cmocka_unit_test(a_packet_stays_in_one_recv_without_merge),
		cmocka_unit_test(head_room_is_cut_from_the_first_only),
		cmocka_unit_test(a_frame_is_copied_into_those_that_wait),
		cmocka_unit_test(a_frame_that_fits_nowhere_changes_nothing),
		cmocka_unit_test(the_newest_that_wait_are_recalled),
		cmocka_unit_test(nothing_is_lost_where_it_wraps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
