/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memfd_create, seals */
/* Clients come, go, return, fall silent and trickle; the function lives on and nothing is left open. */
#include "vfio_user_client.h"

#include "pci_stub.h"

#include <sys/stat.h>

static char path[64];

static void listen_at(struct client *c, struct pci_stub *s, unsigned timeout_ms)
{
	VIO_OPTS(vio_vfio_user_opts, o, .path = path, .connected = client_connected, .ctx = c,
		 .timeout_ms = timeout_ms);

	client_new(c);
	stub_new(s);
	s->pci.poller = c->p;
	if (vio_vfio_user_new(&c->t, c->p, &s->pci, &o))
		fail_msg("%s", vio_errmsg());
}

static void leave(struct client *c, struct pci_stub *s)
{
	client_free(c);
	stub_free(s);
}

/* All that a client gives, one of each. */
static void settle_in(struct client *c)
{
	int e = eventfd(0, EFD_NONBLOCK);

	client_greet(c);
	assert_int_equal(client_map(c, 0x100000), 0);
	assert_int_equal(client_irqs(c, VFIO_PCI_MSIX_IRQ_INDEX, 0, 1, CLIENT_EVENTFDS, &e, 1), 0);
	close(e);
}

static void a_client_that_returns_finds_its_device(void **state)
{
	struct pci_stub s;
	unsigned fds = 0;
	struct client c;

	(void)state;
	listen_at(&c, &s, 0);
	for (int i = 0; i < 5; i++) {
		client_dial(&c, path);
		settle_in(&c);
		assert_true(s.running);
		assert_int_equal(client_get(&c, 0, 8, 4), i ? 41 + i : 0);
		client_put(&c, 0, 8, (uint64_t)(42 + i), 4);
		client_hang_up(&c);
		while (c.downs <= i)
			client_pump(&c);
		assert_false(s.running);
		assert_int_equal(s.pci.irq[0], -1);
		assert_int_equal(open_fds(), fds ? fds : (fds = open_fds()));
	}
	assert_int_equal(c.ups, 5);
	assert_int_equal(s.resets, 0);
	leave(&c, &s);
}

static void it_goes_on_only_when_all_memory_is_there(void **state)
{
	struct pci_stub s;
	struct client c;

	(void)state;
	listen_at(&c, &s, 0);
	client_dial(&c, path);
	client_greet(&c);
	assert_int_equal(client_map_as(&c, 0, 4096, 0, 3, 1), 0);
	assert_int_equal(client_map_as(&c, 4096, 4096, 4096, 3, 1), 0);
	client_put(&c, VFIO_PCI_CONFIG_REGION_INDEX, 4, 6, 2);
	client_get(&c, 0, 0, 4);
	assert_int_equal(s.resumes, 0);
	client_put(&c, 0, 0, 0, 4);
	assert_int_equal(s.resumes, 1);
	assert_int_equal(vio_mem_count(s.mem), 2);
	leave(&c, &s);
}

/* The second waits in the backlog, and is served when the first has gone. */
static void one_client_at_a_time(void **state)
{
	struct client c, second;
	struct pci_stub s;

	(void)state;
	listen_at(&c, &s, 0);
	client_dial(&c, path);
	client_greet(&c);
	second = (struct client){ .p = c.p };
	client_dial(&second, path);
	assert_int_equal(client_get(&c, 0, 0, 4), 0);
	assert_int_equal(c.ups, 1);
	client_hang_up(&c);
	client_greet(&second);
	assert_int_equal(c.ups, 2);
	client_hang_up(&second);
	leave(&c, &s);
}

static void expect_dropped(const void *bytes, size_t n, bool greeted)
{
	struct client c;
	struct pci_stub s;

	listen_at(&c, &s, 1);
	client_dial(&c, path);
	if (greeted)
		client_greet(&c);
	if (n)
		client_push(&c, bytes, n, NULL, 0);
	client_expect_closed(&c);
	assert_non_null(strstr(c.log, "dropped"));
	leave(&c, &s);
}

static void the_silent_are_dropped(void **state)
{
	static const struct vfu_header h = { .id = 1, .command = VFU_DEVICE_GET_INFO, .size = 32 };

	(void)state;
	expect_dropped(NULL, 0, false);
	expect_dropped(&h, 5, false);
	expect_dropped(&h, 5, true);
	expect_dropped(&h, sizeof(h), true);
}

static void a_message_may_come_byte_by_byte(void **state)
{
	struct {
		struct vfu_header h;
		struct vfu_device_info info;
	} m = { .h = { .id = 9, .command = VFU_DEVICE_GET_INFO, .size = 32 }, .info.argsz = 16 };
	struct vfu_msg reply;
	struct pci_stub s;
	struct client c;

	(void)state;
	listen_at(&c, &s, 0);
	client_dial(&c, path);
	client_greet(&c);
	for (unsigned i = 0; i < sizeof(m); i++) {
		client_push(&c, (char *)&m + i, 1, NULL, 0);
		client_pump(&c);
	}
	assert_int_equal(client_recv(&c, &reply), 1);
	assert_int_equal(reply.h.id, 9);
	assert_int_equal(reply.p.info.num_irqs, VFIO_PCI_NUM_IRQS);
	leave(&c, &s);
}

/* Nobody reads the replies, so at some point no more commands are read: memory is bounded. */
static void a_client_that_does_not_read_is_dropped(void **state)
{
	struct vfu_region_rw rw = { 0, VFIO_PCI_CONFIG_REGION_INDEX, 4096 };
	struct vfu_header h = { .command = VFU_REGION_READ, .size = sizeof(h) + sizeof(rw) };
	char m[sizeof(h) + sizeof(rw)];
	struct pci_stub s;
	struct client c;

	(void)state;
	memcpy(m, &h, sizeof(h));
	memcpy(m + sizeof(h), &rw, sizeof(rw));
	listen_at(&c, &s, 1);
	client_dial(&c, path);
	client_greet(&c);
	while (!c.downs) {
		while (send(c.s, m, sizeof(m), MSG_NOSIGNAL) == sizeof(m))
			;
		client_pump(&c);
	}
	leave(&c, &s);
}

/* The memory goes only when nothing under way uses it any more. */
static void memory_changes_wait_for_quiet(void **state)
{
	struct vfu_dma_unmap d = { .argsz = sizeof(d), .addr = 0x100000, .size = CLIENT_MEM };
	struct vfu_msg m;
	struct pci_stub s;
	struct client c;
	uint8_t *at;

	(void)state;
	listen_at(&c, &s, 0);
	client_dial(&c, path);
	settle_in(&c);
	s.slow = true;
	at = vio_mem_ptr(s.mem, 0x100000, 1);
	client_send(&c, VFU_DMA_UNMAP, 0, &d, sizeof(d), NULL, 0);
	while (!s.quiesces)
		client_pump(&c);
	client_send(&c, VFU_DEVICE_RESET, 0, NULL, 0, NULL, 0);
	client_pump(&c);
	*at = 1; /* it is still there */
	assert_int_equal(c.mem[0], 1);
	stub_quiet(&s);
	assert_int_equal(client_recv(&c, &m), 1);
	assert_int_equal(m.h.command, VFU_DMA_UNMAP);
	assert_int_equal(m.h.flags, VFU_TYPE_REPLY);
	assert_int_equal(s.resets, 0);
	stub_quiet(&s);
	assert_int_equal(client_recv(&c, &m), 1);
	assert_int_equal(m.h.command, VFU_DEVICE_RESET);
	assert_int_equal(s.resets, 1);
	s.slow = false;
	leave(&c, &s);
}

/* A client that hangs up while the function falls quiet, and a stop at that moment. */
static void ends_wait_for_quiet(void **state)
{
	struct pci_stub s;
	struct client c;

	(void)state;
	listen_at(&c, &s, 0);
	client_dial(&c, path);
	settle_in(&c);
	s.slow = true;
	client_hang_up(&c);
	while (!s.quiesces)
		client_pump(&c);
	vio_vfio_user_stop(c.t, client_stop_done, &c);
	client_pump(&c);
	assert_false(c.stopped);
	assert_int_equal(c.downs, 0);
	stub_quiet(&s);
	while (!c.stopped)
		client_pump(&c);
	assert_int_equal(c.downs, 1);
	assert_int_equal(access(path, F_OK), -1);
	vio_vfio_user_free(c.t);
	c.t = NULL;
	leave(&c, &s);
}

static void a_function_has_one_transport(void **state)
{
	VIO_OPTS(vio_vfio_user_opts, o, .path = path);
	struct vio_vfio_user *t;
	struct pci_stub s;
	struct client c;

	(void)state;
	listen_at(&c, &s, 0);
	assert_int_equal(vio_vfio_user_new(&t, c.p, &s.pci, &o), -EBUSY);
	client_stop(&c);
	o.path = "/nowhere/at/all";
	assert_int_equal(vio_vfio_user_new(&t, c.p, &s.pci, &o), -ENOENT);
	o.path = path;
	assert_int_equal(vio_vfio_user_new(&t, c.p, &s.pci, &o), 0);
	vio_vfio_user_free(t);
	o.path = NULL;
	o.fd = -1;
	assert_int_equal(vio_vfio_user_new(&t, c.p, &s.pci, &o), -EBADF);
	leave(&c, &s);
}

static void shrinkable_memory_is_refused_if_so_wanted(void **state)
{
	VIO_OPTS(vio_vfio_user_opts, o, .require_seals = true);
	struct pci_stub s;
	struct client c;
	int plain = memfd_create("plain", MFD_CLOEXEC), sealed;

	(void)state;
	client_new(&c);
	stub_new(&s);
	client_attach(&c, &s.pci, &o);
	client_greet(&c);
	sealed = c.memfd;
	assert_int_equal(ftruncate(plain, CLIENT_MEM), 0);
	c.memfd = plain;
	assert_int_equal(client_map(&c, 0), -EPERM);
	c.memfd = sealed;
	assert_int_equal(client_map(&c, 0), 0);
	close(plain);
	leave(&c, &s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_client_that_returns_finds_its_device),
		cmocka_unit_test(it_goes_on_only_when_all_memory_is_there),
		cmocka_unit_test(one_client_at_a_time),
		cmocka_unit_test(the_silent_are_dropped),
		cmocka_unit_test(a_message_may_come_byte_by_byte),
		cmocka_unit_test(a_client_that_does_not_read_is_dropped),
		cmocka_unit_test(memory_changes_wait_for_quiet),
		cmocka_unit_test(ends_wait_for_quiet),
		cmocka_unit_test(a_function_has_one_transport),
		cmocka_unit_test(shrinkable_memory_is_refused_if_so_wanted),
	};

	snprintf(path, sizeof(path), "/tmp/vio-vfio-user-%d", getpid());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
