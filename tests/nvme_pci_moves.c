/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memfd_create, seals */
/* A controller moves to another subsystem's function in the midst of I/O: each command is answered once, here
 * or there, what it read is right, and its host notices nothing. */
#include "nvme_pci_host.h"

#include "scratch.h"

#define DISK (1u << 20)
#define DEEP 12u
#define ROUNDS 30u

static char stack[128], path[64];

static void disk(const char *filter)
{
	int fd;

	snprintf(path, sizeof(path), "/tmp/vio-moves-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	scratch_forget(path);
	for (uint32_t i = 0; i < DISK / 512; i++) {
		uint32_t block[128];

		for (unsigned k = 0; k < 128; k++)
			block[k] = i * 2654435761u + k;
		assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
	}
	close(fd);
	snprintf(stack, sizeof(stack), "file:%s,lock=off%s", path, filter);
}

static void right(const struct guest *g, uint32_t lba, uint32_t at)
{
	const uint32_t *block = (const uint32_t *)(g->c.mem + GUEST_DATA + at);

	for (unsigned k = 0; k < 128; k++)
		assert_int_equal(block[k], lba * 2654435761u + k);
}

static uint8_t blob[1u << 20];

/* The guest and its memory are elsewhere; what it has is as it was. */
static int arrive(struct guest *from, struct guest *to, size_t n)
{
	memcpy(to->c.mem, from->c.mem, CLIENT_MEM);
	memcpy(to->q, from->q, sizeof(to->q));
	to->cid = from->cid;
	return client_load(&to->c, blob, n);
}

static void move(struct guest *from, struct guest *to)
{
	size_t n = client_save(&from->c, blob, sizeof(blob));

	if (arrive(from, to, n))
		fail_msg("%s", to->c.log);
}

struct io {
	unsigned answers[ROUNDS * DEEP + 64]; /* by cid */
	uint16_t first;
	uint32_t lba;
	unsigned sent, done;
};

/* As many as there are places for, and so that no place is used twice before its answer was read. */
static void load(struct guest *g, struct io *io, unsigned q)
{
	unsigned n = 0;

	for (; io->sent - io->done < DEEP; io->sent++, n++)
		guest_io(g, q, nvme_cmd_read, (io->lba + io->sent) % (DISK / 512), 1,
			 io->sent % GUEST_ENTRIES * 512);
	if (n)
		guest_ring(g, q);
}

static void reap(struct guest *g, struct io *io, unsigned q)
{
	struct nvme_cqe e;
	unsigned n = 0;

	while (guest_poll(g, q, &e)) {
		uint16_t i = (uint16_t)(e.cid - io->first);

		assert_int_equal(e.status, 0);
		assert_true(i < io->sent);
		io->answers[i]++;
		io->done++;
		n++;
		right(g, (io->lba + i) % (DISK / 512), i % GUEST_ENTRIES * 512);
	}
	if (n)
		guest_read(g, q);
}

static void under_load(bool threads)
{
	struct guest g[2];
	unsigned at = 0;
	struct io io = { 0 };

	disk(" | throttle:iops=2000,iops-burst=1");
	guest_plug(&g[0], stack, threads);
	guest_plug(&g[1], stack, threads);
	guest_enable(&g[0]);
	guest_pair(&g[0], 1);
	guest_pair(&g[0], 3);
	io.first = (uint16_t)(g[0].cid + 1);
	for (unsigned i = 0; i < ROUNDS; i++) {
		load(&g[at], &io, 3);
		client_pump(&g[at].c);
		reap(&g[at], &io, 3);
		if (i % 5 != 3)
			continue;
		move(&g[at], &g[!at]);
		at = !at;
	}
	while (io.done < io.sent) {
		client_pump(&g[at].c);
		reap(&g[at], &io, 3);
	}
	for (unsigned i = 0; i < io.sent; i++)
		assert_int_equal(io.answers[i], 1);
	assert_true(io.sent > 3 * DEEP);
	guest_io(&g[at], 1, nvme_cmd_read, 9, 1, 0); /* the other queue, and the admin queue */
	assert_int_equal(guest_do(&g[at], 1, NULL), 0);
	right(&g[at], 9, 0);
	guest_pair(&g[at], 2);
	assert_int_equal(guest_delete(&g[at], nvme_admin_delete_sq, 1), 0);
	guest_unplug(&g[0]);
	guest_unplug(&g[1]);
}

static void commands_are_answered_once(void **state)
{
	(void)state;
	under_load(false);
	under_load(true);
}

/* Answers that had no room, commands that wait for events, features, and an interrupt. */
static void what_waited_goes_on_waiting(void **state)
{
	int e = eventfd(0, EFD_NONBLOCK);
	struct guest g[2];
	struct nvme_cmd *c;
	struct nvme_cqe at;
	unsigned seen = 0;
	uint16_t aer;
	uint64_t n;

	(void)state;
	disk("");
	guest_plug(&g[0], stack, false);
	guest_plug(&g[1], stack, false);
	guest_enable(&g[0]);
	guest_pair(&g[0], 1);
	c = guest_next(&g[0], 0, nvme_admin_set_features);
	c->cdw10 = NVME_FEAT_FID_ASYNC_EVENT;
	c->cdw11 = 0x100; /* namespaces */
	assert_int_equal(guest_do(&g[0], 0, NULL), 0);
	guest_next(&g[0], 0, nvme_admin_async_event);
	aer = g[0].cid;
	guest_ring(&g[0], 0);
	for (unsigned i = 0; i < GUEST_ENTRIES - 1; i++)
		guest_io(&g[0], 1, nvme_cmd_read, i, 1, i * 512);
	guest_ring(&g[0], 1);
	while (seen < GUEST_ENTRIES - 1)
		seen += guest_poll(&g[0], 1, &at) ? 1 : (client_pump(&g[0].c), 0);
	for (unsigned i = 0; i < 6; i++) /* for these there is no room */
		guest_io(&g[0], 1, nvme_cmd_read, 20 + i, 1, i * 512);
	guest_ring(&g[0], 1);
	client_pump(&g[0].c);
	assert_int_equal(client_irqs(&g[1].c, VFIO_PCI_MSIX_IRQ_INDEX, 1, 1, CLIENT_EVENTFDS, &e, 1), 0);
	move(&g[0], &g[1]);
	while (read(e, &n, 8) != 8)
		client_pump(&g[1].c);
	assert_false(guest_poll(&g[1], 1, &at));
	guest_read(&g[1], 1);
	for (unsigned i = 0; i < 6; i++) {
		while (!guest_poll(&g[1], 1, &at))
			client_pump(&g[1].c);
		assert_int_equal(at.cid, g[0].cid - 5 + i);
		assert_int_equal(at.status, 0);
		right(&g[1], 20 + i, i * 512);
	}
	at = guest_await(&g[1], 0); /* there may be other namespaces than here */
	assert_int_equal(at.cid, aer);
	assert_int_equal(at.dw0, 0x40002);
	guest_next(&g[1], 0, nvme_admin_get_features)->cdw10 = NVME_FEAT_FID_ASYNC_EVENT;
	assert_int_equal(guest_do(&g[1], 0, (uint32_t *)&n), 0);
	assert_int_equal((uint32_t)n, 0x100);
	guest_unplug(&g[0]);
	guest_unplug(&g[1]);
	close(e);
}

static void shadow_doorbells_move_with_the_memory(void **state)
{
	struct guest g[2];
	struct nvme_cmd *c;
	struct nvme_cqe e;
	uint32_t *shadow;

	(void)state;
	disk("");
	guest_plug(&g[0], stack, true);
	guest_plug(&g[1], stack, true);
	guest_enable(&g[0]);
	c = guest_next(&g[0], 0, nvme_admin_dbbuf);
	c->prp1 = GUEST + GUEST_SHADOW;
	c->prp2 = GUEST + GUEST_EVENT;
	assert_int_equal(guest_do(&g[0], 0, NULL), 0);
	guest_pair(&g[0], 1);
	move(&g[0], &g[1]);
	shadow = (uint32_t *)(g[1].c.mem + GUEST_SHADOW);
	guest_io(&g[1], 1, nvme_cmd_read, 7, 1, 0);
	__atomic_store_n(&shadow[2], g[1].q[1].tail, __ATOMIC_RELEASE);
	client_put(&g[1].c, 0, 0x1008, g[1].q[1].tail, 4);
	while (!guest_poll(&g[1], 1, &e))
		client_pump(&g[1].c);
	right(&g[1], 7, 0);
	guest_unplug(&g[0]);
	guest_unplug(&g[1]);
}

/* All that the host didn't write itself, and that isn't as it was, is in the log. */
static void written_pages_are_logged(void **state)
{
	static uint8_t before[CLIENT_MEM];
	uint8_t bits[CLIENT_MEM / 4096 / 8];
	unsigned logged = 0;
	struct guest g;
	struct io io = { 0 };

	(void)state;
	for (int shadows = 0; shadows < 2; shadows++) {
		disk("");
		guest_plug(&g, stack, true);
		guest_enable(&g);
		if (shadows) {
			struct nvme_cmd *c = guest_next(&g, 0, nvme_admin_dbbuf);

			c->prp1 = GUEST + GUEST_SHADOW;
			c->prp2 = GUEST + GUEST_EVENT;
			assert_int_equal(guest_do(&g, 0, NULL), 0);
		}
		assert_int_equal(client_watch(&g.c, true), 0);
		memcpy(before, g.c.mem, CLIENT_MEM);
		guest_pair(&g, 1);
		io = (struct io){ .first = (uint16_t)(g.cid + 1) };
		for (unsigned i = 0; i < DEEP; i++)
			guest_io(&g, 1, nvme_cmd_read, i, 8, i * 8192 + 4096);
		if (shadows)
			((uint32_t *)(g.c.mem + GUEST_SHADOW))[2] = g.q[1].tail;
		guest_ring(&g, 1);
		while (io.done < DEEP) {
			struct nvme_cqe e;

			io.done += guest_poll(&g, 1, &e) ? 1 : (client_pump(&g.c), 0);
		}
		{
			struct nvme_cmd *c = guest_next(&g, 0, nvme_admin_identify);

			c->prp1 = GUEST + 0xf0000;
			c->cdw10 = NVME_IDENTIFY_CNS_CTRL;
			assert_int_equal(guest_do(&g, 0, NULL), 0);
		}
		assert_int_equal(client_set_state(&g.c, VFIO_DEVICE_STATE_STOP), 0);
		assert_int_equal(client_written(&g.c, GUEST, CLIENT_MEM, 4096, bits), 0);
		for (unsigned i = 0; i < CLIENT_MEM / 4096; i++) {
			bool own =
				i == GUEST_ASQ / 4096 || i == GUEST_SQ(1) / 4096 || i == GUEST_SHADOW / 4096;

			if (bits[i / 8] >> i % 8 & 1)
				logged++;
			else if (!own && memcmp(before + i * 4096, g.c.mem + i * 4096, 4096))
				fail_msg("page %u was written, and is not in the log", i);
		}
		guest_unplug(&g);
	}
	assert_in_range(logged, 2 * (DEEP + 3), 2 * (DEEP + 3) + 3);
}

static void one_that_is_off_moves(void **state)
{
	struct guest g[2];

	(void)state;
	disk("");
	guest_plug(&g[0], stack, true);
	guest_plug(&g[1], stack, true);
	client_put(&g[0].c, 0, 0x24, 0x70007, 4);
	move(&g[0], &g[1]);
	assert_int_equal(client_get(&g[1].c, 0, 0x24, 4), 0x70007);
	assert_int_equal(guest_csts(&g[1]), 0);
	guest_enable(&g[1]);
	guest_pair(&g[1], 1);
	move(&g[1], &g[0]); /* over one that was on once, and is overwritten */
	guest_pair(&g[0], 2);
	guest_unplug(&g[0]);
	guest_unplug(&g[1]);
}

/* Over a controller that is on, in the midst of its own commands; and on by one that has not run. */
static void it_replaces_what_was_there(void **state)
{
	struct guest g[2];
	size_t n;

	(void)state;
	disk(" | throttle:iops=400,iops-burst=1");
	guest_plug(&g[0], stack, true);
	guest_plug(&g[1], stack, true);
	for (unsigned i = 0; i < 2; i++) {
		guest_enable(&g[i]);
		guest_pair(&g[i], 1);
	}
	for (unsigned i = 0; i < DEEP; i++)
		guest_io(&g[1], 1, nvme_cmd_read, i, 1, i * 512);
	guest_ring(&g[1], 1);
	client_pump(&g[1].c);
	n = client_save(&g[0].c, blob, sizeof(blob));
	assert_int_equal(client_set_state(&g[1].c, VFIO_DEVICE_STATE_RESUMING), 0);
	for (size_t at = 0; at < n; at += 4096)
		assert_int_equal(client_give(&g[1].c, blob + at, (uint32_t)VIO_MIN(n - at, 4096u)), 0);
	memset(blob, 0, sizeof(blob));
	assert_int_equal(client_save(&g[1].c, blob, sizeof(blob)), n); /* as it came */
	assert_int_equal(client_set_state(&g[1].c, VFIO_DEVICE_STATE_STOP), 0);
	assert_int_equal(arrive(&g[0], &g[1], n), 0);
	guest_io(&g[1], 1, nvme_cmd_read, 3, 1, 0);
	assert_int_equal(guest_do(&g[1], 1, NULL), 0);
	right(&g[1], 3, 0);
	guest_unplug(&g[0]);
	guest_unplug(&g[1]);
}

static void rings_that_are_not_there_fail_the_controller(void **state)
{
	struct guest g[2];
	size_t n;

	(void)state;
	disk("");
	guest_plug(&g[0], stack, false);
	guest_plug(&g[1], stack, false);
	guest_enable(&g[0]);
	guest_pair(&g[0], 1);
	n = client_save(&g[0].c, blob, sizeof(blob));
	assert_int_equal(client_unmap_as(&g[1].c, GUEST, CLIENT_MEM, 0), 0);
	assert_int_equal(arrive(&g[0], &g[1], n), 0);
	guest_await_csts(&g[1], 2, 2);
	assert_int_equal(client_map(&g[1].c, GUEST), 0);
	guest_disable(&g[1]);
	guest_enable(&g[1]);
	guest_pair(&g[1], 1);
	guest_unplug(&g[0]);
	guest_unplug(&g[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_are_answered_once),
		cmocka_unit_test(what_waited_goes_on_waiting),
		cmocka_unit_test(shadow_doorbells_move_with_the_memory),
		cmocka_unit_test(written_pages_are_logged),
		cmocka_unit_test(one_that_is_off_moves),
		cmocka_unit_test(it_replaces_what_was_there),
		cmocka_unit_test(rings_that_are_not_there_fail_the_controller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
