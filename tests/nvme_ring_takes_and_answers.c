/* SPDX-License-Identifier: MIT */
/* NVMe queues in memory: commands come out in order, answers go back in any, and doorbells are not believed.
 */
#include "nvme_ring_host.h"

static struct nvme_req *take_one(struct host *h)
{
	struct nvme_req *r;

	assert_int_equal(nvme_sq_take(&h->sq, &r, 1), 1);
	return r;
}

static void give(struct nvme_req *r)
{
	r->q->ops->give(r->q, r);
}

static void laps_are_told_apart(void **state)
{
	struct host h;
	(void)state;

	host_open(&h, 4, 4);
	for (unsigned i = 0; i < 50; i++) {
		struct nvme_cqe e;
		struct nvme_req *r;

		host_post(&h, &(struct nvme_cmd){ .opcode = 2, .cid = (uint16_t)(i * 1000), .nsid = i });
		host_ring(&h);
		r = take_one(&h);
		assert_int_equal(r->cmd.nsid, i);
		assert_false(host_answer(&h, &e));
		r->status = NVME_STATUS(NVME_SC_LBA_RANGE);
		r->result = i;
		give(r);
		nvme_cq_flush(&h.cq);
		assert_int_equal(h.notified, i + 1);
		assert_true(host_answer(&h, &e));
		assert_int_equal(e.cid, (uint16_t)(i * 1000));
		assert_int_equal(e.dw0, i);
		assert_int_equal(e.status, NVME_STATUS(NVME_SC_LBA_RANGE));
		assert_int_equal(e.sqid, 1);
		assert_int_equal(e.sqhd, (i + 1) % 4);
		host_read(&h);
	}
	nvme_cq_flush(&h.cq);
	assert_int_equal(h.notified, 50); /* nothing new, no word of it */
	host_close(&h);
}

static void answers_come_in_any_order(void **state)
{
	struct host h;
	struct nvme_req *r[7];
	struct nvme_cqe e;
	(void)state;

	host_open(&h, 8, 8);
	for (uint16_t i = 0; i < 7; i++)
		host_post(&h, &(struct nvme_cmd){ .cid = i });
	host_ring(&h);
	assert_int_equal(nvme_sq_take(&h.sq, r, 7), 7);
	for (int i = 6; i >= 0; i--)
		give(r[i]);
	nvme_cq_flush(&h.cq);
	assert_int_equal(h.notified, 1);
	for (int i = 6; i >= 0; i--) {
		assert_true(host_answer(&h, &e));
		assert_int_equal(e.cid, i);
	}
	host_close(&h);
}

/* The host does not read: answers wait, and none is lost. */
static void a_full_completion_queue_waits(void **state)
{
	struct host h;
	struct nvme_req *r[14];
	struct nvme_cqe e;
	unsigned got = 0;
	(void)state;

	host_open(&h, 8, 16);
	for (unsigned half = 0; half < 2; half++) {
		for (unsigned i = 0; i < 7; i++)
			host_post(&h, &(struct nvme_cmd){ .cid = (uint16_t)(half * 7 + i) });
		host_ring(&h);
		assert_int_equal(nvme_sq_take(&h.sq, r + half * 7, 7), 7);
	}
	for (unsigned i = 0; i < 14; i++)
		give(r[i]);
	nvme_cq_flush(&h.cq);
	while (host_answer(&h, &e))
		assert_int_equal(e.cid, got++);
	assert_int_equal(got, 7);
	host_read(&h);
	nvme_cq_flush(&h.cq);
	assert_int_equal(h.notified, 2);
	while (host_answer(&h, &e))
		assert_int_equal(e.cid, got++);
	assert_int_equal(got, 14);
	host_close(&h);
}

/* No more is taken than there are slots: the rest stays in the ring. */
static void slots_are_the_limit(void **state)
{
	struct host h;
	struct nvme_req *r[8];
	(void)state;

	host_open(&h, 8, 3);
	for (uint16_t i = 0; i < 7; i++)
		host_post(&h, &(struct nvme_cmd){ .cid = i });
	host_ring(&h);
	assert_int_equal(nvme_sq_take(&h.sq, r, 8), 3);
	assert_int_equal(nvme_sq_take(&h.sq, r + 3, 8), 0);
	give(r[1]);
	assert_int_equal(nvme_sq_take(&h.sq, r + 3, 8), 1);
	assert_int_equal(r[3]->cmd.cid, 3);
	host_close(&h);
}

static void a_tail_beyond_the_ring_stops_it(void **state)
{
	struct host h;
	struct nvme_req *r;
	(void)state;

	host_open(&h, 8, 8);
	h.sq_bell = 8;
	assert_int_equal(nvme_sq_take(&h.sq, &r, 1), -EBADMSG);
	h.sq_bell = 1; /* for good */
	assert_int_equal(nvme_sq_take(&h.sq, &r, 1), -EBADMSG);
	host_close(&h);
}

static void a_head_beyond_the_ring_stops_it(void **state)
{
	static const uint32_t heads[] = { 8, 9, UINT32_MAX };
	(void)state;

	for (unsigned i = 0; i < VIO_ARRAY_SIZE(heads); i++) {
		struct nvme_req *r[7];
		struct host h;

		host_open(&h, 8, 16);
		host_post(&h, &(struct nvme_cmd){ .cid = 100 });
		host_ring(&h);
		give(take_one(&h));
		for (uint16_t k = 0; k < 7; k++)
			host_post(&h, &(struct nvme_cmd){ .cid = k });
		host_ring(&h);
		assert_int_equal(nvme_sq_take(&h.sq, r, 7), 7);
		for (unsigned k = 0; k < 6; k++)
			give(r[k]);
		h.cq_bell = heads[i];
		give(r[6]); /* there is no room: the doorbell is looked at */
		assert_true(h.cq.broken);
		assert_int_equal(nvme_sq_take(&h.sq, r, 1), -EBADMSG);
		assert_int_equal(h.sq.nfree, 16);
		host_close(&h);
	}
}

static void an_id_that_is_under_way_stops_it(void **state)
{
	struct host h;
	struct nvme_req *r[3];
	(void)state;

	host_open(&h, 8, 8);
	for (unsigned i = 0; i < 3; i++)
		host_post(&h, &(struct nvme_cmd){ .cid = i == 1 ? 2 : 5 });
	host_ring(&h);
	assert_int_equal(nvme_sq_take(&h.sq, r, 3), 2);
	assert_int_equal(nvme_sq_take(&h.sq, r + 2, 1), -EBADMSG);
	give(r[0]);
	give(r[1]);
	assert_int_equal(h.sq.nfree, 8);
	host_close(&h);
}

/* A deleted queue's commands come back, and nothing of them shows in what may be another's queue. */
static void a_stopped_queue_answers_nothing(void **state)
{
	struct host h;
	struct nvme_req *r[7], *none;
	struct nvme_cqe e;
	(void)state;

	host_open(&h, 8, 8);
	for (uint16_t i = 0; i < 7; i++)
		host_post(&h, &(struct nvme_cmd){ .cid = i });
	host_ring(&h);
	assert_int_equal(nvme_sq_take(&h.sq, r, 7), 7);
	give(r[0]);
	nvme_sq_stop(&h.sq);
	assert_int_equal(h.ended, 0);
	for (unsigned i = 1; i < 7; i++)
		give(r[i]);
	assert_int_equal(h.ended, 1);
	assert_int_equal(nvme_sq_take(&h.sq, &none, 1), 0);
	nvme_cq_flush(&h.cq);
	assert_true(host_answer(&h, &e));
	assert_int_equal(e.cid, 0);
	assert_false(host_answer(&h, &e));
	host_close(&h);

	host_open(&h, 8, 8);
	nvme_sq_stop(&h.sq);
	assert_int_equal(h.ended, 1); /* nothing was under way */
	host_close(&h);
}

/* Answers that wait for room are the stopped queue's last. */
static void a_stopped_queue_lets_go_of_what_waits(void **state)
{
	struct host h;
	struct nvme_req *r[14];
	(void)state;

	host_open(&h, 8, 16);
	for (unsigned half = 0; half < 2; half++) {
		for (unsigned i = 0; i < 7; i++)
			host_post(&h, &(struct nvme_cmd){ .cid = (uint16_t)(half * 7 + i) });
		host_ring(&h);
		assert_int_equal(nvme_sq_take(&h.sq, r + half * 7, 7), 7);
	}
	for (unsigned i = 0; i < 14; i++)
		give(r[i]);
	assert_int_equal(h.sq.nfree, 9);
	nvme_sq_stop(&h.sq);
	assert_int_equal(h.ended, 1);
	host_close(&h);
}

static void shadow_doorbells_ask_to_be_told(void **state)
{
	struct host h;
	struct nvme_req *r;
	uint32_t event = 77;
	(void)state;

	host_open(&h, 8, 8);
	h.sq.event = &event;
	assert_false(nvme_sq_kicks(&h.sq, false));
	assert_int_equal(event, 77);
	assert_false(nvme_sq_kicks(&h.sq, true));
	assert_int_equal(event, 0); /* whoever goes from 0 on rings */
	host_post(&h, &(struct nvme_cmd){ .cid = 1 });
	host_ring(&h);
	assert_true(nvme_sq_kicks(&h.sq, true)); /* it came before the wish */
	r = take_one(&h);
	give(r);
	assert_false(nvme_sq_kicks(&h.sq, true));
	assert_int_equal(event, 1);
	host_close(&h);
}

static void rings_must_be_memory(void **state)
{
	static const struct {
		uint64_t base;
		uint32_t size;
	} bad[] = { { 0x20000, 1 },
		    { 0x20000, 0 },
		    { 0x20000, NRING_ENTRIES_MAX + 1 },
		    { 0x20010, 8 },
		    { HOST_MEMORY - 4096, 4096 },
		    { HOST_MEMORY, 8 },
		    { UINT64_MAX - 4095, 8 } };
	struct host h;
	(void)state;

	host_open(&h, 8, 8);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(bad); i++) {
		struct nvme_cq_opts c = {
			.mem = h.mem, .base = bad[i].base, .size = bad[i].size, .doorbell = &h.cq_bell
		};
		struct nvme_sq_opts s = { .mem = h.mem,
					  .pool = h.pool,
					  .base = bad[i].base,
					  .size = bad[i].size,
					  .slots = 8,
					  .doorbell = &h.sq_bell,
					  .cq = &h.cq };
		struct nvme_cq cq;
		struct nvme_sq sq;

		assert_int_equal(nvme_cq_init(&cq, &c), -EINVAL);
		assert_true(nvme_sq_init(&sq, &s) < 0);
	}
	assert_int_equal(h.cq.sqs, 1);
	host_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(laps_are_told_apart),
		cmocka_unit_test(answers_come_in_any_order),
		cmocka_unit_test(a_full_completion_queue_waits),
		cmocka_unit_test(slots_are_the_limit),
		cmocka_unit_test(a_tail_beyond_the_ring_stops_it),
		cmocka_unit_test(a_head_beyond_the_ring_stops_it),
		cmocka_unit_test(an_id_that_is_under_way_stops_it),
		cmocka_unit_test(a_stopped_queue_answers_nothing),
		cmocka_unit_test(a_stopped_queue_lets_go_of_what_waits),
		cmocka_unit_test(shadow_doorbells_ask_to_be_told),
		cmocka_unit_test(rings_must_be_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
