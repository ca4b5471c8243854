/* SPDX-License-Identifier: MIT */
/* The in-process transport: status, features, queues, reset, doorbells and memory changes by plain calls. */
#define _GNU_SOURCE /* memfd_create, seals */
#include "tiny_guest.h"

#include <linux/virtio_config.h>

#define ACK VIRTIO_CONFIG_S_ACKNOWLEDGE
#define DRIVER (ACK | VIRTIO_CONFIG_S_DRIVER)
#define FEATURES_OK (DRIVER | VIRTIO_CONFIG_S_FEATURES_OK)
#define DRIVER_OK (FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK)
#define RING_RESET (1ull << 40)
#define NOTIFICATION_DATA (1ull << 38)

struct vmm {
	struct front f; /* for its device and memory only */
	struct vio_mem *mem;
	struct vio_loop *t;
	unsigned interrupts[2], config_interrupts;
};

static void interrupt(void *ctx, unsigned index)
{
	struct vmm *v = ctx;

	if (index == VIO_LOOP_CONFIG)
		v->config_interrupts++;
	else
		v->interrupts[index]++;
}

static struct vio_mem *whole_memory(struct vmm *v)
{
	struct vio_mem_region r = { .guest = FRONT_GUEST, .size = FRONT_MEM, .ptr = v->f.mem };
	struct vio_mem *m;

	assert_int_equal(vio_mem_new(&m, &r, 1, NULL), 0);
	return m;
}

static void power_on(struct vmm *v)
{
	VIO_OPTS(vio_loop_opts, o, .interrupt = interrupt, .ctx = v);

	*v = (struct vmm){ 0 };
	front_device(&v->f, "queues=2,queue-size=256");
	front_memory(&v->f);
	v->mem = o.mem = whole_memory(v);
	assert_int_equal(vio_loop_new(&v->t, v->f.p, v->f.d, &o), 0);
}

static void reset(struct vmm *v)
{
	vio_loop_set_status(v->t, 0);
	while (vio_loop_status(v->t))
		front_pump(&v->f);
}

static void power_off(struct vmm *v)
{
	reset(v);
	vio_loop_free(v->t);
	vio_mem_free(v->mem);
	front_free(&v->f);
}

static void negotiate(struct vmm *v, uint64_t features)
{
	vio_loop_set_status(v->t, ACK);
	vio_loop_set_status(v->t, DRIVER);
	assert_int_equal(vio_loop_set_features(v->t, features), 0);
	vio_loop_set_status(v->t, FEATURES_OK);
	assert_int_equal(vio_loop_status(v->t), FEATURES_OK);
}

static int set_queue(struct vmm *v, const struct guest_queue *q)
{
	return vio_loop_set_queue(v->t, q->index, q->size, FRONT_GUEST + guest_at(q, 0),
				  FRONT_GUEST + guest_at(q, GUEST_DRIVER),
				  FRONT_GUEST + guest_at(q, GUEST_DEVICE));
}

/* A driver that has come as far as DRIVER_OK with one queue. */
static void drive(struct vmm *v, struct guest_queue *q, uint64_t features)
{
	power_on(v);
	negotiate(v, features);
	guest_queue_init(q, &v->f, 0, features & FRONT_PACKED);
	assert_int_equal(set_queue(v, q), 0);
	vio_loop_set_status(v->t, DRIVER_OK);
	assert_int_equal(vio_loop_status(v->t), DRIVER_OK);
}

static void finish(struct vmm *v, struct guest_queue *q)
{
	guest_queue_close(q);
	power_off(v);
}

static unsigned wait_for(struct vmm *v, struct guest_queue *q)
{
	int slot;

	while ((slot = guest_reap(q)) < 0)
		front_pump(&v->f);
	return (unsigned)slot;
}

static void write_and_read(struct vmm *v, struct guest_queue *q, uint64_t block, uint32_t doorbell)
{
	static uint8_t want[GUEST_BLOCK] __attribute__((aligned(8)));

	guest_pattern(want, block, 1);
	memcpy(guest_data(q, 0), want, GUEST_BLOCK);
	guest_post(q, 0, true, block);
	vio_loop_kick(v->t, doorbell);
	assert_int_equal(guest_status(q, wait_for(v, q)), 0);
	memset(guest_data(q, 0), 0, GUEST_BLOCK);
	guest_post(q, 0, false, block);
	vio_loop_kick(v->t, doorbell);
	assert_int_equal(guest_status(q, wait_for(v, q)), 0);
	assert_memory_equal(guest_data(q, 0), want, GUEST_BLOCK);
}

static void a_guest_reads_and_writes_split(void **state)
{
	struct guest_queue q;
	struct vmm v;

	(void)state;
	drive(&v, &q, FRONT_V1);
	for (unsigned i = 0; i < 300; i++)
		write_and_read(&v, &q, i, 0);
	assert_true(v.interrupts[0] > 0);
	assert_int_equal(v.interrupts[1], 0);
	finish(&v, &q);
}

static void a_guest_reads_and_writes_packed(void **state)
{
	struct guest_queue q;
	struct vmm v;

	(void)state;
	drive(&v, &q, FRONT_V1 | FRONT_PACKED);
	for (unsigned i = 0; i < 300; i++)
		write_and_read(&v, &q, i, 0);
	finish(&v, &q);
}

static void features_are_taken_between_driver_and_features_ok_only(void **state)
{
	struct vmm v;

	(void)state;
	power_on(&v);
	assert_int_equal(vio_loop_set_features(v.t, FRONT_V1), -EBUSY);
	vio_loop_set_status(v.t, ACK);
	assert_int_equal(vio_loop_set_features(v.t, FRONT_V1), -EBUSY);
	negotiate(&v, FRONT_V1);
	assert_int_equal(vio_loop_set_features(v.t, FRONT_V1), -EBUSY);
	assert_int_equal(vio_dev_acked(v.f.d), FRONT_V1);
	power_off(&v);
}

static void features_ok_stays_clear_for_features_not_offered(void **state)
{
	struct vmm v;

	(void)state;
	power_on(&v);
	vio_loop_set_status(v.t, ACK);
	vio_loop_set_status(v.t, DRIVER);
	assert_int_equal(vio_loop_set_features(v.t, FRONT_V1 | 1ull << 60), 0);
	vio_loop_set_status(v.t, FEATURES_OK);
	assert_int_equal(vio_loop_status(v.t), DRIVER);
	vio_loop_set_status(v.t, DRIVER_OK); /* and there is no way past it */
	assert_int_equal(vio_loop_status(v.t), DRIVER);
	assert_int_equal(vio_loop_set_features(v.t, FRONT_V1), 0);
	vio_loop_set_status(v.t, FEATURES_OK);
	assert_int_equal(vio_loop_status(v.t), FEATURES_OK);
	power_off(&v);
}

static void status_bits_are_cleared_by_reset_only(void **state)
{
	struct vmm v;

	(void)state;
	power_on(&v);
	negotiate(&v, FRONT_V1);
	vio_loop_set_status(v.t, ACK);
	assert_int_equal(vio_loop_status(v.t), FEATURES_OK);
	vio_loop_set_status(v.t, FEATURES_OK | VIRTIO_CONFIG_S_NEEDS_RESET); /* the device's own bit */
	assert_int_equal(vio_loop_status(v.t), FEATURES_OK);
	reset(&v);
	assert_int_equal(vio_dev_acked(v.f.d), 0);
	power_off(&v);
}

/* Rows 16 and 17. */
static void queues_that_cannot_be_are_refused(void **state)
{
	const uint64_t end = FRONT_GUEST + FRONT_MEM, g = FRONT_GUEST;
	struct vmm v;

	(void)state;
	power_on(&v);
	negotiate(&v, FRONT_V1);
	assert_int_equal(vio_loop_set_queue(v.t, 2, 16, g, g + 4096, g + 8192), -EINVAL);
	assert_int_equal(vio_loop_set_queue(v.t, UINT32_MAX, 16, g, g + 4096, g + 8192), -EINVAL);
	assert_int_equal(vio_loop_set_queue(v.t, 0, 0, g, g + 4096, g + 8192), -EINVAL);
	assert_int_equal(vio_loop_set_queue(v.t, 0, 24, g, g + 4096, g + 8192), -EINVAL);
	assert_int_equal(vio_loop_set_queue(v.t, 0, 512, g, g + 8192, g + 16384), -EINVAL);
	assert_int_equal(vio_loop_set_queue(v.t, 0, UINT32_MAX, g, g + 4096, g + 8192), -EINVAL);
	assert_int_equal(vio_loop_set_queue(v.t, 0, 16, g + 8, g + 4096, g + 8192), -EINVAL);
	assert_int_equal(vio_loop_set_queue(v.t, 0, 16, g, g + 4097, g + 8192), -EINVAL);
	assert_int_equal(vio_loop_set_queue(v.t, 0, 16, g, g + 4096, g + 8194), -EINVAL);
	assert_int_equal(vio_loop_set_queue(v.t, 0, 16, end - 16, g, g + 8192), -EINVAL);
	assert_int_equal(vio_loop_set_queue(v.t, 0, 16, g, end - 4, g + 8192), -EINVAL);
	assert_int_equal(vio_loop_set_queue(v.t, 0, 16, g, g + 4096, end - 128), -EINVAL);
	assert_int_equal(vio_loop_set_queue(v.t, 0, 16, UINT64_MAX - 15, g, g + 8192), -EINVAL);
	assert_false(vio_loop_queue_enabled(v.t, 0));
	assert_int_equal(vio_loop_set_queue(v.t, 0, 16, g, g + 4096, g + 8192), 0);
	assert_true(vio_loop_queue_enabled(v.t, 0));
	assert_int_equal(vio_loop_set_queue(v.t, 0, 16, g, g + 4096, g + 8192), -EBUSY);
	assert_false(vio_loop_queue_enabled(v.t, 7));
	power_off(&v);
}

static void nothing_runs_before_driver_ok(void **state)
{
	struct guest_queue q;
	struct vmm v;

	(void)state;
	power_on(&v);
	negotiate(&v, FRONT_V1);
	guest_queue_init(&q, &v.f, 0, false);
	assert_int_equal(set_queue(&v, &q), 0);
	guest_post(&q, 0, false, 1);
	vio_loop_kick(v.t, 0);
	for (int i = 0; i < 5; i++)
		front_pump(&v.f);
	assert_int_equal(guest_reap(&q), -1);
	vio_loop_set_status(v.t, DRIVER_OK);
	wait_for(&v, &q);
	finish(&v, &q);
}

static void a_doorbell_out_of_range_is_ignored(void **state)
{
	struct guest_queue q;
	struct vmm v;

	(void)state;
	drive(&v, &q, FRONT_V1);
	vio_loop_kick(v.t, 1); /* not enabled */
	vio_loop_kick(v.t, 2);
	vio_loop_kick(v.t, UINT32_MAX);
	write_and_read(&v, &q, 1, 0);
	finish(&v, &q);
}

static void a_doorbell_with_notification_data_names_the_queue_below(void **state)
{
	struct guest_queue q;
	struct vmm v;

	(void)state;
	power_on(&v);
	if (!(vio_dev_features(v.f.d) & NOTIFICATION_DATA)) {
		power_off(&v);
		skip();
	}
	negotiate(&v, FRONT_V1 | NOTIFICATION_DATA);
	guest_queue_init(&q, &v.f, 1, false);
	assert_int_equal(set_queue(&v, &q), 0);
	vio_loop_set_status(v.t, DRIVER_OK);
	write_and_read(&v, &q, 1, 1u | 1u << 16);
	write_and_read(&v, &q, 2, 1u | 0xffffu << 16); /* garbage above does no harm */
	finish(&v, &q);
}

static void one_queue_is_reset_and_starts_anew(void **state)
{
	struct guest_queue q;
	struct vmm v;

	(void)state;
	drive(&v, &q, FRONT_V1 | RING_RESET);
	write_and_read(&v, &q, 1, 0);
	for (unsigned i = 0; i < 16; i++)
		guest_post(&q, i, false, i);
	vio_loop_kick(v.t, 0);
	assert_int_equal(vio_loop_reset_queue(v.t, 0), 0);
	while (vio_loop_queue_enabled(v.t, 0))
		front_pump(&v.f);
	guest_queue_close(&q);
	guest_queue_init(&q, &v.f, 0, false);
	assert_int_equal(set_queue(&v, &q), 0);
	write_and_read(&v, &q, 2, 0);
	assert_int_equal(vio_loop_reset_queue(v.t, 9), -EINVAL);
	assert_int_equal(vio_loop_reset_queue(v.t, 1), 0); /* never enabled: nothing to do */
	assert_false(vio_loop_queue_enabled(v.t, 1));
	finish(&v, &q);
}

static void a_queue_reset_needs_its_feature(void **state)
{
	struct guest_queue q;
	struct vmm v;

	(void)state;
	drive(&v, &q, FRONT_V1);
	assert_int_equal(vio_loop_reset_queue(v.t, 0), -EINVAL);
	write_and_read(&v, &q, 1, 0);
	finish(&v, &q);
}

static void a_broken_queue_asks_for_a_reset(void **state)
{
	struct guest_queue q;
	struct vmm v;

	(void)state;
	drive(&v, &q, FRONT_V1);
	q.avail += 1000;
	guest_post(&q, 0, false, 1);
	vio_loop_kick(v.t, 0);
	while (!(vio_loop_status(v.t) & VIRTIO_CONFIG_S_NEEDS_RESET))
		front_pump(&v.f);
	assert_int_equal(v.config_interrupts, 1);
	reset(&v);
	guest_queue_close(&q);
	negotiate(&v, FRONT_V1);
	guest_queue_init(&q, &v.f, 0, false);
	assert_int_equal(set_queue(&v, &q), 0);
	vio_loop_set_status(v.t, DRIVER_OK);
	write_and_read(&v, &q, 3, 0);
	finish(&v, &q);
}

/* Row 20: what was taken completes, and nothing is written after status reads 0. */
static void a_reset_drains_what_is_in_flight(void **state)
{
	struct guest_queue q;
	struct vmm v;

	(void)state;
	drive(&v, &q, FRONT_V1);
	for (unsigned round = 0; round < 20; round++) {
		static uint8_t before[FRONT_MEM];

		for (unsigned i = 0; i < 32; i++)
			guest_post(&q, i, false, i);
		vio_loop_kick(v.t, 0);
		vio_poller_run(v.f.p, 4);
		reset(&v);
		memcpy(before, v.f.mem, FRONT_MEM);
		for (int i = 0; i < 3; i++)
			front_pump(&v.f);
		assert_memory_equal(before, v.f.mem, FRONT_MEM);
		guest_queue_close(&q);
		negotiate(&v, FRONT_V1);
		guest_queue_init(&q, &v.f, 0, false);
		assert_int_equal(set_queue(&v, &q), 0);
		vio_loop_set_status(v.t, DRIVER_OK);
		write_and_read(&v, &q, 3, 0);
	}
	finish(&v, &q);
}

static void memory_changes_under_load_and_nothing_is_lost(void **state)
{
	struct guest_queue q;
	struct vmm v;

	(void)state;
	drive(&v, &q, FRONT_V1);
	for (unsigned round = 0; round < 50; round++) {
		struct vio_mem *next = whole_memory(&v);

		for (unsigned i = 0; i < 32; i++) {
			guest_pattern(guest_data(&q, i), i, round);
			guest_post(&q, i, true, i);
		}
		vio_loop_kick(v.t, 0);
		if (round % 2)
			vio_poller_run(v.f.p, 4);
		assert_int_equal(vio_loop_set_mem(v.t, next), 0);
		vio_mem_free(next);
		while (q.inflight)
			assert_int_equal(guest_status(&q, wait_for(&v, &q)), 0);
	}
	assert_int_equal(vio_loop_set_mem(v.t, NULL), -EINVAL);
	write_and_read(&v, &q, 40, 0);
	finish(&v, &q);
}

static void memory_is_required(void **state)
{
	struct vio_loop *t;
	struct front f;

	(void)state;
	front_device(&f, "");
	assert_int_equal(vio_loop_new(&t, f.p, f.d, NULL), -EINVAL);
	assert_null(t);
	front_free(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_guest_reads_and_writes_split),
		cmocka_unit_test(a_guest_reads_and_writes_packed),
		cmocka_unit_test(features_are_taken_between_driver_and_features_ok_only),
		cmocka_unit_test(features_ok_stays_clear_for_features_not_offered),
		cmocka_unit_test(status_bits_are_cleared_by_reset_only),
		cmocka_unit_test(queues_that_cannot_be_are_refused),
		cmocka_unit_test(nothing_runs_before_driver_ok),
		cmocka_unit_test(a_doorbell_out_of_range_is_ignored),
		cmocka_unit_test(a_doorbell_with_notification_data_names_the_queue_below),
		cmocka_unit_test(one_queue_is_reset_and_starts_anew),
		cmocka_unit_test(a_queue_reset_needs_its_feature),
		cmocka_unit_test(a_broken_queue_asks_for_a_reset),
		cmocka_unit_test(a_reset_drains_what_is_in_flight),
		cmocka_unit_test(memory_changes_under_load_and_nothing_is_lost),
		cmocka_unit_test(memory_is_required),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
