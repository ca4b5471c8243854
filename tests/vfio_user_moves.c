/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memfd_create, seals */
/* A function's state is read and written, by the states that VFIO has for it, and what it writes meanwhile is
 * known; what can't be is refused, and a state that was damaged does no harm. */
#include "vfio_user_client.h"

#include "mem/log.h"
#include "pci_stub.h"

enum {
	STOP = VFIO_DEVICE_STATE_STOP,
	RUNNING = VFIO_DEVICE_STATE_RUNNING,
	COPY = VFIO_DEVICE_STATE_STOP_COPY,
	RESUMING = VFIO_DEVICE_STATE_RESUMING
};

static void plug(struct client *c, struct pci_stub *s)
{
	VIO_OPTS(vio_vfio_user_opts, o);

	client_new(c);
	stub_new(s);
	client_attach(c, &s->pci, &o);
	client_greet(c);
	assert_int_equal(client_map(c, 0x100000), 0);
	client_put(c, 0, 0, 1, 4);
	assert_true(s->running);
}

static void unplug(struct client *c, struct pci_stub *s)
{
	client_free(c);
	stub_free(s);
}

static void every_state_is_reached_from_every_other(void **state)
{
	static const uint32_t states[] = { STOP, RUNNING, COPY };
	struct pci_stub s;
	struct client c;

	(void)state;
	plug(&c, &s);
	for (unsigned i = 0; i < 3; i++)
		for (unsigned k = 0; k < 3; k++) {
			assert_int_equal(client_set_state(&c, states[i]), 0);
			assert_int_equal(client_set_state(&c, states[k]), 0);
			assert_int_equal(client_state(&c), states[k]);
			assert_int_equal(s.running, states[k] == RUNNING);
		}
	assert_int_equal(client_set_state(&c, RUNNING), 0);
	assert_int_equal(s.resets, 0);
	assert_int_equal(client_set_state(&c, RESUMING), 0);
	assert_int_equal(s.resets, 1);
	assert_false(s.running);
	unplug(&c, &s);
}

static void states_that_cannot_be_are_refused(void **state)
{
	static const uint32_t wrong[] = { 0, 5, 6, 7, 8, UINT32_MAX };
	struct pci_stub s;
	struct client c;

	(void)state;
	plug(&c, &s);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(client_set_state(&c, wrong[i]), -EINVAL);
	assert_int_equal(client_state(&c), RUNNING);
	assert_true(s.running);
	unplug(&c, &s);
}

static void a_state_moves(void **state)
{
	uint8_t blob[100000], out[8];
	struct client a, b;
	struct pci_stub s, t;
	size_t n;

	(void)state;
	plug(&a, &s);
	plug(&b, &t);
	client_put(&a, 0, 0x100, 0x1122334455667788, 8);
	client_put(&a, 4, 16, 0xfee00000, 4);
	client_put(&a, VFIO_PCI_CONFIG_REGION_INDEX, 4, 6, 2);
	n = client_save(&a, blob, sizeof(blob));
	assert_true(n > STUB_BAR + 4096);
	assert_int_equal(client_take(&a, out, 8), 0); /* no more */
	client_put(&b, 0, 0x200, 7, 4);
	assert_int_equal(client_load(&b, blob, n), 0);
	assert_true(t.running);
	assert_int_equal(client_get(&b, 0, 0x100, 8), 0x1122334455667788);
	assert_int_equal(client_get(&b, 0, 0x200, 4), 0);
	assert_int_equal(client_get(&b, 4, 16, 4), 0xfee00000);
	assert_int_equal(client_get(&b, VFIO_PCI_CONFIG_REGION_INDEX, 4, 2), 6);
	assert_int_equal(client_set_state(&a, RUNNING), 0); /* it was only a copy */
	assert_true(s.running);
	unplug(&a, &s);
	unplug(&b, &t);
}

static void expect_refused(struct client *c, struct pci_stub *s, const uint8_t *blob, size_t n)
{
	assert_int_equal(client_load(c, blob, n), -EINVAL);
	assert_int_equal(client_state(c), VFIO_DEVICE_STATE_ERROR);
	assert_int_equal(client_set_state(c, RUNNING), -EINVAL);
	assert_false(s->running);
	assert_int_equal(client_get(c, 0, 0, 8), 0); /* as after a reset */
	assert_int_equal(client_ask(c, VFU_DEVICE_RESET, NULL, 0, NULL, 0, NULL), 0);
	assert_int_equal(client_state(c), RUNNING);
	assert_true(s->running);
}

static void damaged_states_are_refused(void **state)
{
	uint8_t blob[100000];
	struct pci_stub s;
	struct client c;
	size_t n;

	(void)state;
	plug(&c, &s);
	client_put(&c, 0, 0x100, 1, 4);
	n = client_save(&c, blob, sizeof(blob));
	assert_int_equal(client_set_state(&c, RUNNING), 0);
	for (size_t at = 0; at < n; at += at < 40 ? 1 : 997) {
		expect_refused(&c, &s, blob, at);
		blob[at] ^= 0x10;
		expect_refused(&c, &s, blob, n);
		blob[at] ^= 0x10;
	}
	expect_refused(&c, &s, blob, n + 1);
	assert_int_equal(client_load(&c, blob, n), 0);
	assert_int_equal(client_get(&c, 0, 0x100, 4), 1);
	unplug(&c, &s);
}

static void a_state_of_another_function_is_refused(void **state)
{
	uint8_t blob[100000];
	struct pci_stub s;
	struct client c;
	size_t n;

	(void)state;
	plug(&c, &s);
	n = client_save(&c, blob, sizeof(blob));
	assert_int_equal(client_set_state(&c, RUNNING), 0);
	s.pci.config.fresh[2] ^= 1; /* the device's id */
	assert_int_equal(client_load(&c, blob, n), -EINVAL);
	assert_non_null(strstr(c.log, "of another function"));
	s.pci.config.fresh[2] ^= 1;
	unplug(&c, &s);
}

static void data_has_its_time_and_its_bounds(void **state)
{
	uint8_t data[VFU_MAX_DATA + 1] = { 0 };
	struct vfu_mig_data d = { 0 };
	struct pci_stub s;
	struct client c;
	int err = 0;

	(void)state;
	plug(&c, &s);
	assert_int_equal(client_take(&c, data, 8), -EINVAL);
	assert_int_equal(client_give(&c, data, 8), -EINVAL);
	assert_int_equal(client_set_state(&c, COPY), 0);
	assert_int_equal(client_give(&c, data, 8), -EINVAL);
	assert_int_equal(client_take(&c, data, VFU_MAX_DATA + 1), -EINVAL);
	d.size = 8;
	d.argsz = sizeof(d) + 7;
	assert_int_equal(client_ask(&c, VFU_MIG_DATA_READ, &d, sizeof(d), NULL, 0, NULL), -EINVAL);
	assert_int_equal(client_take(&c, data, 0), 0);
	assert_int_equal(client_set_state(&c, RESUMING), 0);
	assert_int_equal(client_take(&c, data, 8), -EINVAL);
	d.argsz = sizeof(d);
	assert_int_equal(client_ask(&c, VFU_MIG_DATA_WRITE, &d, sizeof(d), NULL, 0, NULL), -EINVAL);
	for (unsigned i = 0; !err && i < 2 * PCI_STATE_MAX / VFU_MAX_DATA; i++)
		err = client_give(&c, data, VFU_MAX_DATA);
	assert_int_equal(err, -ENOSPC); /* what it makes us keep is bounded */
	assert_int_equal(client_set_state(&c, STOP), -EINVAL);
	unplug(&c, &s);
}

/* A client that leaves in the midst of it takes nothing along. */
static void clients_leave_in_between(void **state)
{
	static const uint32_t states[] = { STOP, COPY, RESUMING };

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct pci_stub s;
		struct client c;

		plug(&c, &s);
		assert_int_equal(client_watch(&c, true), 0);
		assert_int_equal(client_set_state(&c, states[i]), 0);
		if (states[i] == RESUMING)
			assert_int_equal(client_give(&c, (const uint8_t *)"half", 4), 0);
		client_hang_up(&c);
		while (!c.downs)
			client_pump(&c);
		assert_null(s.pci.log);
		unplug(&c, &s);
	}
}

static int feature(struct client *c, uint32_t flags, uint32_t size)
{
	static const uint8_t zeroes[64];

	return client_feature(c, flags, zeroes, size, NULL);
}

static void features_are_probed_and_refused(void **state)
{
	const uint32_t get = VFIO_DEVICE_FEATURE_GET, set = VFIO_DEVICE_FEATURE_SET,
		       probe = VFIO_DEVICE_FEATURE_PROBE;
	struct pci_stub s;
	struct pci_ops ops;
	struct vfu_msg m;
	struct client c;

	(void)state;
	plug(&c, &s);
	assert_int_equal(feature(&c, probe | get | VFIO_DEVICE_FEATURE_MIGRATION, 0), 0);
	assert_int_equal(feature(&c, probe | get | set | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, 0), 0);
	assert_int_equal(feature(&c, probe | set | VFIO_DEVICE_FEATURE_DMA_LOGGING_START, 0), 0);
	assert_int_equal(feature(&c, probe | set | VFIO_DEVICE_FEATURE_MIGRATION, 0), -EINVAL);
	assert_int_equal(feature(&c, get | VFIO_DEVICE_FEATURE_DMA_LOGGING_START, 16), -EINVAL);
	assert_int_equal(feature(&c, set | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, 24), -EINVAL);
	assert_int_equal(feature(&c, get | set | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, 8), -EINVAL);
	assert_int_equal(feature(&c, set | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, 7), -EINVAL);
	assert_int_equal(feature(&c, VFIO_DEVICE_FEATURE_MIGRATION, 0), -EINVAL);
	assert_int_equal(feature(&c, get | 1u << 20 | VFIO_DEVICE_FEATURE_MIGRATION, 0), -EINVAL);
	for (uint32_t i = 0; i < 20; i++)
		if (i != 1 && i != 2 && i != 6 && i != 7 && i != 8)
			assert_int_equal(feature(&c, probe | get | i, 0), -ENOTTY);
	assert_int_equal(client_feature(&c, get | VFIO_DEVICE_FEATURE_MIGRATION, "", 0, &m), 0);
	assert_int_equal(m.p.feature.argsz, 16);
	assert_int_equal(m.p.feature.data[0], VFIO_MIGRATION_STOP_COPY);
	ops = *s.pci.ops; /* one that can't move */
	ops.save = NULL;
	s.pci.ops = &ops;
	assert_int_equal(feature(&c, get | VFIO_DEVICE_FEATURE_MIGRATION, 0), -ENOTTY);
	assert_int_equal(client_set_state(&c, STOP), -ENOTTY);
	unplug(&c, &s);
}

static uint8_t bit(const uint8_t *bits, unsigned at)
{
	return bits[at / 8] >> at % 8 & 1;
}

static void wrote(struct pci_stub *s, uint64_t guest, uint64_t len)
{
	vio__log_mark(s->pci.log, vio_mem_ptr(s->mem, guest, len), len);
}

static void written_pages_are_told_once(void **state)
{
	const uint64_t pages = CLIENT_MEM / 4096;
	uint8_t bits[64];
	struct pci_stub s;
	struct client c;

	(void)state;
	plug(&c, &s);
	assert_int_equal(client_written(&c, 0x100000, CLIENT_MEM, 4096, bits), -EINVAL);
	assert_int_equal(client_watch(&c, false), -EINVAL);
	assert_int_equal(client_watch(&c, true), 0);
	assert_int_equal(client_watch(&c, true), -EBUSY);
	wrote(&s, 0x100000, 1);
	wrote(&s, 0x100000 + 5 * 4096 - 1, 2);
	wrote(&s, 0x100000 + CLIENT_MEM - 1, 1);
	wrote(&s, 0x100000 + 70 * 4096, 3 * 4096);
	assert_int_equal(client_written(&c, 0x100000, CLIENT_MEM, 4096, bits), 0);
	for (unsigned i = 0; i < pages; i++)
		assert_int_equal(bit(bits, i),
				 !i || i == 4 || i == 5 || i == pages - 1 || (i >= 70 && i < 73));
	assert_int_equal(client_written(&c, 0x100000, CLIENT_MEM, 4096, bits), 0);
	for (unsigned i = 0; i < pages; i++)
		assert_int_equal(bit(bits, i), 0);

	wrote(&s, 0x100000 + 17 * 4096, 1); /* larger units, from before the memory to behind it */
	wrote(&s, 0x100000 + 64 * 4096, 1);
	assert_int_equal(client_written(&c, 0, 0x400000, 0x10000, bits), 0);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(bit(bits, i), i == 16 + 1 || i == 16 + 4);

	wrote(&s, 0x100000 + 9 * 4096, 1); /* a part is asked for: the rest is kept */
	wrote(&s, 0x100000 + 10 * 4096, 1);
	assert_int_equal(client_written(&c, 0x100000 + 10 * 4096, 4096, 4096, bits), 0);
	assert_int_equal(bits[0], 1);
	assert_int_equal(client_written(&c, 0x100000, CLIENT_MEM, 4096, bits), 0);
	assert_int_equal(bit(bits, 9), 1);
	assert_int_equal(bit(bits, 10), 0);
	assert_int_equal(client_watch(&c, false), 0);
	unplug(&c, &s);
}

/* Memory comes and goes while it is watched: what stays keeps its bits. */
static void memory_changes_under_the_log(void **state)
{
	uint8_t bits[64];
	struct pci_stub s;
	struct client c;

	(void)state;
	plug(&c, &s);
	assert_int_equal(client_watch(&c, true), 0);
	wrote(&s, 0x100000 + 3 * 4096, 1);
	assert_int_equal(client_map_as(&c, 0x40000000, 0x8000, 0, 3, 1), 0);
	wrote(&s, 0x40000000 + 7 * 4096, 1);
	assert_int_equal(client_written(&c, 0x40000000, 0x8000, 4096, bits), 0);
	assert_int_equal(bits[0], 0x80);
	wrote(&s, 0x40000000, 1);
	assert_int_equal(client_unmap_as(&c, 0x40000000, 0x8000, 0), 0);
	assert_int_equal(client_written(&c, 0x40000000, 0x8000, 4096, bits), 0);
	assert_int_equal(bits[0], 0);
	assert_int_equal(client_written(&c, 0x100000, 0x8000, 4096, bits), 0);
	assert_int_equal(bits[0], 8);
	assert_int_equal(client_unmap_as(&c, 0, 0, VFU_UNMAP_ALL), 0);
	assert_int_equal(client_written(&c, 0x100000, CLIENT_MEM, 4096, bits), 0);
	unplug(&c, &s);
}

static void reports_have_bounds(void **state)
{
	static const struct vfu_log_report wrong[] = {
		{ 0x100000, 0x1000, 0 },
		{ 0x100000, 0x1000, 2048 },
		{ 0x100000, 0x3000, 0x3000 },
		{ 0x100001, 0x1000, 0x1000 },
		{ 0x100000, 0x1001, 0x1000 },
		{ 0x100000, 0, 0x1000 },
		{ 0xfffffffffffff000, 0x2000, 0x1000 },
		{ 0, 1ull << 41, 1ull << 30 },
		{ 0, (VFU_MAX_BITMAP * 8ull + 64) * 4096, 4096 },
	};
	const uint32_t get = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT;
	struct {
		uint32_t argsz, flags;
		struct vfu_log_report r;
	} small = { 8 + 24 + 31, get, { 0x100000, CLIENT_MEM, 4096 } };
	uint8_t bits[64];
	struct vfu_msg m;
	struct pci_stub s;
	struct client c;

	(void)state;
	plug(&c, &s);
	assert_int_equal(client_watch(&c, true), 0);
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_true(client_feature(&c, get, &wrong[i], sizeof(wrong[i]), NULL) < 0);
	assert_int_equal(client_feature(&c, get, &wrong[0], 23, NULL), -EINVAL);
	wrote(&s, 0x100000, 1);
	assert_int_equal(client_ask(&c, VFU_DEVICE_FEATURE, &small, sizeof(small), NULL, 0, NULL), -EINVAL);
	assert_int_equal(client_written(&c, 0x100000, CLIENT_MEM, 4096, bits), 0);
	assert_int_equal(bits[0], 1); /* it was not told, so not forgotten */
	small.argsz = 8 + 24 + VFU_MAX_BITMAP;
	small.r = (struct vfu_log_report){ 0, VFU_MAX_BITMAP * 8ull * 4096, 4096 };
	assert_int_equal(client_ask(&c, VFU_DEVICE_FEATURE, &small, sizeof(small), NULL, 0, &m), 0);
	assert_int_equal(m.h.size, sizeof(m.h) + 8 + 24 + VFU_MAX_BITMAP);
	unplug(&c, &s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_is_reached_from_every_other),
		cmocka_unit_test(states_that_cannot_be_are_refused),
		cmocka_unit_test(a_state_moves),
		cmocka_unit_test(damaged_states_are_refused),
		cmocka_unit_test(a_state_of_another_function_is_refused),
		cmocka_unit_test(data_has_its_time_and_its_bounds),
		cmocka_unit_test(clients_leave_in_between),
		cmocka_unit_test(features_are_probed_and_refused),
		cmocka_unit_test(written_pages_are_told_once),
		cmocka_unit_test(memory_changes_under_the_log),
		cmocka_unit_test(reports_have_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
