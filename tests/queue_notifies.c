/* SPDX-License-Identifier: MIT */
/* When the driver is interrupted and when the device asks to be kicked (virtio 1.3, 2.7.7, 2.7.10, 2.8.10). */
#include "queue_pair.h"

#define SIZE 8u

static unsigned notified(struct pair *p)
{
	unsigned n = p->g.notified;

	p->g.notified = 0;
	return n;
}

static void flags_suppress_interrupts_split(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p, V1, SIZE);
	pair_round(&p, 1);
	assert_int_equal(notified(&p), 1);
	p.g.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
	pair_round(&p, 2);
	assert_int_equal(notified(&p), 0);
	p.g.avail->flags = 0;
	pair_round(&p, 3);
	assert_int_equal(notified(&p), 1);
	pair_close(&p);
}

static void flags_suppress_interrupts_packed(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p, PACKED, SIZE);
	pair_round(&p, 1);
	assert_int_equal(notified(&p), 1);
	p.g.driver_event->flags = VRING_PACKED_EVENT_FLAG_DISABLE;
	pair_round(&p, 2);
	assert_int_equal(notified(&p), 0);
	/* Without the feature a driver can't name a descriptor; better once too often than never. */
	p.g.driver_event->flags = VRING_PACKED_EVENT_FLAG_DESC;
	pair_round(&p, 3);
	assert_int_equal(notified(&p), 1);
	pair_close(&p);
}

/* One interrupt for a batch, none for nothing. */
static void notifies_once_a_flush(void **state)
{
	const struct rg_buf b = { RG_AT + RG_DATA, 8, RG_WRITE };
	static const uint64_t formats[] = { V1, PACKED };
	struct vio_req *r[SIZE];
	struct pair p;

	(void)state;
	for (unsigned f = 0; f < 2; f++) {
		pair_open(&p, formats[f], SIZE);
		for (unsigned i = 0; i < SIZE; i++)
			rg_post(&p.g, &b, 1);
		assert_int_equal(vio_queue_take(p.q, r, SIZE), SIZE);
		vio_queue_flush(p.q);
		assert_int_equal(notified(&p), 0);
		vio_queue_give(p.q, r, 3);
		vio_queue_give(p.q, r + 3, SIZE - 3);
		assert_int_equal(notified(&p), 0);
		vio_queue_flush(p.q);
		vio_queue_flush(p.q);
		assert_int_equal(notified(&p), 1);
		pair_close(&p);
	}
}

/* The driver names the used index it waits for: exactly the flush that passes it interrupts, at every index. */
static void event_idx_interrupts_where_asked_split(void **state)
{
	const struct rg_buf b = { RG_AT + RG_DATA, 8, RG_WRITE };
	const struct vio_queue_state near_end = { .avail_idx = 65500, .used_idx = 65500 };
	struct vio_queue_opts o;
	struct vio_req *r;
	struct pair p;

	(void)state;
	ok(rg_open(&p.g, V1 | EVENT_IDX, SIZE));
	o = rg_opts(&p.g);
	o.state = &near_end;
	p.g.avail_idx = p.g.used_idx = 65500;
	p.g.avail->idx = p.g.used->idx = 65500;
	ok(vio_queue_new(&p.q, &o));
	for (uint16_t i = 65500; i != 100; i++) {
		int id = rg_post(&p.g, &b, 1);

		p.g.avail->ring[SIZE] = (uint16_t)(i % 3 ? i + 1 : i);
		r = pair_take(&p);
		pair_give(&p, r, 8);
		pair_reap(&p, id, 8);
		assert_int_equal(notified(&p), i % 3 ? 0 : 1);
	}
	pair_close(&p);
}

static void event_idx_interrupts_where_asked_packed(void **state)
{
	const struct rg_buf b = { RG_AT + RG_DATA, 8, RG_WRITE };
	const unsigned size = 7;
	struct pair p;

	(void)state;
	pair_open(&p, PACKED | EVENT_IDX, size);
	for (unsigned i = 0; i < 100; i++) {
		int id = rg_post(&p.g, &b, 1);
		unsigned at = p.g.used_idx + (i % 3 ? 1 : 0);
		bool wrap = p.g.used_wrap ^ (at >= size);

		p.g.driver_event->off_wrap = (uint16_t)(at % size | (wrap ? 0x8000 : 0));
		p.g.driver_event->flags = VRING_PACKED_EVENT_FLAG_DESC;
		pair_give(&p, pair_take(&p), 8);
		pair_reap(&p, id, 8);
		assert_int_equal(notified(&p), i % 3 ? 0 : 1);
	}
	pair_close(&p);
}

/* A whole ring in one flush passes every position. */
static void a_full_ring_interrupts_wherever_asked(void **state)
{
	const struct rg_buf b = { RG_AT + RG_DATA, 8, RG_WRITE };
	struct vio_req *r[SIZE];
	uint32_t len;
	struct pair p;

	(void)state;
	pair_open(&p, PACKED | EVENT_IDX, SIZE);
	for (unsigned i = 0; i < 3 * SIZE; i++) {
		unsigned at = p.g.used_idx + i % SIZE;

		p.g.driver_event->off_wrap =
			(uint16_t)(at % SIZE | (p.g.used_wrap ^ (at >= SIZE) ? 0x8000 : 0));
		p.g.driver_event->flags = VRING_PACKED_EVENT_FLAG_DESC;
		while (rg_post(&p.g, &b, 1) >= 0)
			;
		assert_int_equal(vio_queue_take(p.q, r, SIZE), SIZE);
		vio_queue_give(p.q, r, SIZE);
		vio_queue_flush(p.q);
		while (rg_reap(&p.g, &len) >= 0)
			;
		assert_int_equal(notified(&p), 1);
		pair_round(&p, i); /* so that the batches begin at every position */
		notified(&p);
	}
	pair_close(&p);
}

static bool kick_for(struct pair *p)
{
	const struct rg_buf b = { RG_AT + RG_DATA, 8, 0 };
	uint16_t old = p->g.avail_idx;
	bool wrap = p->g.avail_wrap;

	assert_true(rg_post(&p->g, &b, 1) >= 0);
	return rg_must_kick(&p->g, old, wrap);
}

static void serve_all(struct pair *p)
{
	struct vio_req *r[SIZE];
	uint32_t len;
	int n;

	while ((n = vio_queue_take(p->q, r, SIZE)) > 0)
		vio_queue_give(p->q, r, (unsigned)n);
	vio_queue_flush(p->q);
	while (rg_reap(&p->g, &len) >= 0)
		;
}

static void kicks_are_asked_for_and_not(uint64_t features)
{
	struct pair p;

	pair_open(&p, features, SIZE);
	assert_true(kick_for(&p)); /* a new ring wants kicks */
	serve_all(&p);
	for (unsigned i = 0; i < 3 * SIZE; i++) {
		assert_false(vio_queue_kicks(p.q, false));
		assert_false(kick_for(&p));
		assert_false(kick_for(&p));
		assert_true(vio_queue_kicks(p.q, true)); /* they came meanwhile */
		serve_all(&p);
		assert_false(vio_queue_kicks(p.q, true));
		assert_true(kick_for(&p));
		serve_all(&p);
	}
	pair_close(&p);
}

static void kicks_split(void **state)
{
	(void)state;
	kicks_are_asked_for_and_not(V1);
	kicks_are_asked_for_and_not(V1 | EVENT_IDX);
}

static void kicks_packed(void **state)
{
	(void)state;
	kicks_are_asked_for_and_not(PACKED);
	kicks_are_asked_for_and_not(PACKED | EVENT_IDX);
}

/* Who can take nothing must not be woken by what it can't take; who can again must look. */
static void a_starved_queue_waits_for_a_give(void **state)
{
	const unsigned size = 256;
	struct vio_req *r[65];
	struct rg_buf b[12];
	struct pair p;

	(void)state;
	pair_open(&p, PACKED | INDIRECT, size);
	for (unsigned i = 0; i < 12; i++)
		b[i] = (struct rg_buf){ RG_AT + RG_DATA + 64 * i, 64, 0 };
	for (unsigned i = 0; i < 66; i++) {
		struct rg_buf t = rg_table(&p.g, RG_AT + RG_DATA + 0x1000 * (i + 1), b, 12);

		assert_true(rg_post(&p.g, &t, 1) >= 0);
	}
	assert_int_equal(vio_queue_take(p.q, r, 65), 64);
	assert_int_equal(vio_queue_take(p.q, r + 64, 1), 0);
	assert_false(vio_queue_kicks(p.q, true));
	vio_queue_untake(p.q, r + 63, 1);
	assert_true(vio_queue_kicks(p.q, true));
	assert_int_equal(vio_queue_take(p.q, r + 63, 2), 1);
	vio_queue_give(p.q, r, 2);
	assert_true(vio_queue_kicks(p.q, true));
	assert_int_equal(vio_queue_take(p.q, r, 3), 2);
	pair_close(&p);
}

/* The doorbell's data says how far the driver is; only what is not taken yet counts. */
static void notification_data_is_a_hint(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p, V1, SIZE);
	assert_false(vio_queue_kick_data(p.q, 0));
	kick_for(&p);
	assert_true(vio_queue_kick_data(p.q, 1u << 16));
	serve_all(&p);
	assert_false(vio_queue_kick_data(p.q, 1u << 16));
	pair_close(&p);
	pair_open(&p, PACKED, SIZE);
	assert_false(vio_queue_kick_data(p.q, 0x8000u << 16));
	for (unsigned i = 0; i < SIZE; i++)
		kick_for(&p);
	assert_true(vio_queue_kick_data(p.q, 0));
	serve_all(&p);
	assert_false(vio_queue_kick_data(p.q, 0));
	vio_queue_kick_data(p.q, 0x1234fffe); /* garbage does no harm */
	assert_int_equal(vio_queue_error(p.q), 0);
	pair_close(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flags_suppress_interrupts_split),
		cmocka_unit_test(flags_suppress_interrupts_packed),
		cmocka_unit_test(notifies_once_a_flush),
		cmocka_unit_test(event_idx_interrupts_where_asked_split),
		cmocka_unit_test(event_idx_interrupts_where_asked_packed),
		cmocka_unit_test(a_full_ring_interrupts_wherever_asked),
		cmocka_unit_test(kicks_split),
		cmocka_unit_test(kicks_packed),
		cmocka_unit_test(a_starved_queue_waits_for_a_give),
		cmocka_unit_test(notification_data_is_a_hint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
