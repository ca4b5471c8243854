/* SPDX-License-Identifier: MIT */
/*
 * What is published is visible at once, and the flush that follows, however late, interrupts
 * if the driver wants to hear of anything since the last one.
 */
#include "queue_pair.h"

#define SIZE 8u

static const struct rg_buf buffer = { RG_AT + RG_DATA, 8, RG_WRITE };
static const uint64_t formats[] = { V1, PACKED, V1 | EVENT_IDX, PACKED | EVENT_IDX };

static unsigned notified(struct pair *p)
{
	unsigned n = p->g.notified;

	p->g.notified = 0;
	return n;
}

/* n requests through the queue, published and not flushed; the driver has them all back. */
static void publish(struct pair *p, unsigned n)
{
	uint32_t len;

	while (n--) {
		int id = rg_post(&p->g, &buffer, 1);
		struct vio_req *r = pair_take(p);

		r->written = 8;
		vio_queue_give(p->q, &r, 1);
		vio_queue_publish(p->q);
		assert_int_equal(rg_reap(&p->g, &len), id);
		assert_int_equal(len, 8);
	}
}

static void flush_speaks_for_all(void **state)
{
	struct pair p;

	(void)state;
	for (unsigned f = 0; f < VIO_ARRAY_SIZE(formats); f++) {
		pair_open(&p, formats[f], SIZE);
		vio_queue_publish(p.q);
		vio_queue_flush(p.q);
		assert_int_equal(notified(&p), 0);
		for (unsigned i = 1; i < 3 * SIZE; i++) {
			rg_listen(&p.g);
			publish(&p, i % 5 + 1);
			assert_int_equal(notified(&p), 0);
			vio_queue_flush(p.q);
			assert_int_equal(notified(&p), 1);
			vio_queue_flush(p.q);
			assert_int_equal(notified(&p), 0);
		}
		pair_close(&p);
	}
}

/* The driver waits for the position `ahead` of the next used one. */
static void wait_for(struct pair *p, int ahead)
{
	int at = p->g.used_idx + ahead;
	bool wrap = p->g.used_wrap;

	if (!p->g.packed) {
		p->g.avail->ring[SIZE] = (uint16_t)at;
		return;
	}
	if (at < 0 || at >= (int)SIZE) {
		wrap = !wrap;
		at = at < 0 ? at + (int)SIZE : at - (int)SIZE;
	}
	p->g.driver_event->off_wrap = (uint16_t)(at | (wrap ? 0x8000 : 0));
	p->g.driver_event->flags = VRING_PACKED_EVENT_FLAG_DESC;
}

/* Any position since the last flush, in whichever of the batches, and no other. */
static void event_lies_anywhere_in_between(void **state)
{
	struct pair p;

	(void)state;
	for (unsigned f = 2; f < VIO_ARRAY_SIZE(formats); f++) {
		pair_open(&p, formats[f], SIZE);
		for (unsigned start = 0; start < 2 * SIZE; start++)
			for (int n = 1; n < (int)SIZE; n++)
				for (int ahead = n - (int)SIZE; ahead < (int)SIZE; ahead++) {
					wait_for(&p, ahead);
					publish(&p, (unsigned)n);
					vio_queue_flush(p.q);
					assert_int_equal(notified(&p), ahead >= 0 && ahead < n);
				}
		pair_close(&p);
	}
}

/* What was published counts as well as what was given since. */
static void last_batch_comes_by_flush(void **state)
{
	struct vio_req *r;
	struct pair p;
	int id;

	(void)state;
	for (unsigned f = 0; f < VIO_ARRAY_SIZE(formats); f++) {
		pair_open(&p, formats[f], SIZE);
		for (unsigned i = 0; i < 3 * SIZE; i++) {
			rg_listen(&p.g);
			publish(&p, 2);
			id = rg_post(&p.g, &buffer, 1);
			r = pair_take(&p);
			pair_give(&p, r, 8); /* and flush */
			pair_reap(&p, id, 8);
			assert_int_equal(notified(&p), 1);
		}
		pair_close(&p);
	}
}

/* A driver that polls for many rounds of the ring hears of them if it ever asked, and not if it asks for the
 * next. */
static void many_rounds_later(void **state)
{
	struct pair p;

	(void)state;
	for (unsigned f = 0; f < VIO_ARRAY_SIZE(formats); f++) {
		pair_open(&p, formats[f], SIZE);
		for (unsigned last = 1; last <= SIZE; last++) {
			rg_listen(&p.g);
			publish(&p, 65536 - last);
			if (last % 2)
				rg_listen(&p.g);
			publish(&p, last + 1); /* a split ring's indexes have come round */
			vio_queue_flush(p.q);
			assert_int_equal(notified(&p), 1);
			publish(&p, 2 * SIZE + last);
			if (rg_listen(&p.g))
				fail();
			vio_queue_flush(p.q);
			assert_int_equal(notified(&p), f < 2);
		}
		pair_close(&p);
	}
}

/* The largest ring, given twice: as many used elements as there are indexes. */
static void all_indexes_in_one_flush(void **state)
{
	const unsigned size = 32768;
	struct vio_req **r = calloc(size, sizeof(struct vio_req *));
	struct pair p;
	uint32_t len;

	(void)state;
	for (unsigned f = 0; f < VIO_ARRAY_SIZE(formats); f++) {
		pair_open(&p, formats[f], size);
		for (unsigned round = 0; round < 2; round++) {
			while (rg_post(&p.g, &buffer, 1) >= 0)
				;
			rg_listen(&p.g);
			assert_int_equal(vio_queue_take(p.q, r, size), size);
			vio_queue_give(p.q, r, size);
			if (!round)
				vio_queue_publish(p.q);
			else
				vio_queue_flush(p.q);
			while (rg_reap(&p.g, &len) >= 0)
				;
		}
		assert_int_equal(notified(&p), 1);
		pair_close(&p);
	}
	free(r);
}

/* Whoever saves the state must have said all there was to say. */
static void nothing_is_saved_unsaid(void **state)
{
	struct vio_queue_state at;
	struct pair p;

	(void)state;
	for (unsigned f = 0; f < VIO_ARRAY_SIZE(formats); f++) {
		pair_open(&p, formats[f], SIZE);
		publish(&p, 3);
		assert_int_equal(vio_queue_save(p.q, &at), -EBUSY);
		vio_queue_flush(p.q);
		ok(vio_queue_save(p.q, &at));
		assert_int_equal(at.used_idx, 3);
		pair_close(&p);
	}
}

/* A server that dies between the two leaves nothing in flight. */
static void published_is_in_flight_no_more(void **state)
{
	struct vio_queue_opts o;
	struct vio_req *r;
	struct pair p;

	(void)state;
	for (unsigned f = 0; f < VIO_ARRAY_SIZE(formats); f++) {
		size_t bytes = vio_queue_inflight_size(formats[f], SIZE);
		void *region = calloc(1, bytes);

		ok(rg_open(&p.g, formats[f], SIZE));
		o = rg_opts(&p.g);
		o.inflight = region;
		o.inflight_size = bytes;
		ok(vio_queue_new(&p.q, &o));
		publish(&p, 3);
		vio_queue_free(p.q);
		o.state = &(struct vio_queue_state){ 3, 3, 1, 1, { 0 } };
		ok(vio_queue_new(&p.q, &o));
		assert_int_equal(vio_queue_take(p.q, &r, 1), 0);
		pair_close(&p);
		free(region);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flush_speaks_for_all),
		cmocka_unit_test(event_lies_anywhere_in_between),
		cmocka_unit_test(last_batch_comes_by_flush),
		cmocka_unit_test(many_rounds_later),
		cmocka_unit_test(all_indexes_in_one_flush),
		cmocka_unit_test(nothing_is_saved_unsaid),
		cmocka_unit_test(published_is_in_flight_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
