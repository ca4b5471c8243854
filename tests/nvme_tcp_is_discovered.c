/* SPDX-License-Identifier: MIT */
/* Discovery names all addresses that the subsystem is reached at, those of other processes too, and tells of
 * changes.
 */
#include "nvme_host.h"

#define EVENT 0x70f002u /* a notice, discovery log page changed, log page 70h */
#define ENTRIES 4u

union page {
	struct nvmf_discovery_log head;
	struct {
		uint8_t before[sizeof(struct nvmf_discovery_log)];
		struct nvmf_disc_log_entry entry[ENTRIES];
	};
};

static struct target t;
static struct host h;

static int open_all(void **state)
{
	struct host_who w = { .cntlid = UINT16_MAX, .sqsize = 31, .subnqn = NVME_DISCOVERY_NQN };

	(void)state;
	target_start(&t, 1, VIO_POLL_AUTO, NULL, NULL);
	host_dial(&h, &t);
	host_greet(&h, 0);
	assert_int_equal(host_connect(&h, &w), 0);
	host_enable(&h);
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	host_hang_up(&h);
	target_stop(&t);
	return 0;
}

static uint16_t read_log(void *to, uint32_t bytes, uint64_t offset)
{
	struct nvme_cmd c = { .opcode = nvme_admin_get_log_page,
			      .cdw10 = NVME_LOG_LID_DISCOVER | (bytes / 4 - 1) << 16,
			      .cdw12 = (uint32_t)offset,
			      .cdw13 = (uint32_t)(offset >> 32) };

	return host_get(&h, &c, to, bytes);
}

static void expect_entry(const struct nvmf_disc_log_entry *e, const char *addr, const char *service,
			 unsigned port)
{
	char text[33] = { 0 };

	memcpy(text, e->traddr, 32);
	*strchr(text, ' ') = 0;
	assert_string_equal(text, addr);
	memcpy(text, e->trsvcid, 32);
	*strchr(text, ' ') = 0;
	assert_string_equal(text, service);
	assert_int_equal(e->portid, port);
	assert_int_equal(e->adrfam, strchr(addr, ':') ? NVMF_ADDR_FAMILY_IP6 : NVMF_ADDR_FAMILY_IP4);
	assert_int_equal(e->trtype, NVMF_TRTYPE_TCP);
	assert_int_equal(e->subtype, NVME_NQN_NVME);
	assert_int_equal(e->treq,
			 4); /* a secure channel is not spoken of: some hosts take an offer for a wish */
	assert_string_equal(e->subnqn, HOST_TARGET_NQN);
}

struct second {
	struct vio_msg open, stop;
	struct vio_nvme_tcp_opts o;
	struct vio_nvme_tcp *tcp;
	int state; /* 1: opened; 2: gone */
};

static void second_open(struct vio_msg *m)
{
	struct second *s = (struct second *)m;

	assert_int_equal(vio_nvme_tcp_new(&s->tcp, t.threads[0].p, t.s, &s->o), 0);
	__atomic_store_n(&s->state, 1, __ATOMIC_RELEASE);
}

static void second_stopped(void *ctx)
{
	__atomic_store_n(&((struct second *)ctx)->state, 2, __ATOMIC_RELEASE);
}

static void second_stop(struct vio_msg *m)
{
	struct second *s = (struct second *)((char *)m - offsetof(struct second, stop));

	vio_nvme_tcp_stop(s->tcp, second_stopped, s);
}

/* The poller that transports belong to is a thread's. */
static void second_do(struct second *s, struct vio_msg *m, int state)
{
	vio_poller_post(t.threads[0].p, m);
	while (__atomic_load_n(&s->state, __ATOMIC_ACQUIRE) != state)
		usleep(1000);
}

static uint16_t wait_for_event(void)
{
	struct nvme_cmd f = { .opcode = nvme_admin_set_features,
			      .cdw10 = NVME_FEAT_FID_ASYNC_EVENT,
			      .cdw11 = 1u << 31 };
	struct nvme_cmd c = { .opcode = nvme_admin_async_event };

	assert_int_equal(host_do(&h, &f), 0);
	return host_send(&h, &c, NULL, 0);
}

static void all_addresses_are_named(void **state)
{
	struct second s = { .open.fn = second_open, .stop.fn = second_stop };
	char port[2][8];
	union page p;
	uint64_t changes;
	uint16_t aer;

	(void)state;
	assert_int_equal(read_log(&p, sizeof(p), 0), 0);
	assert_int_equal(p.head.numrec, 1);
	changes = p.head.genctr;
	snprintf(port[0], 8, "%u", vio_nvme_tcp_port(t.t));
	expect_entry(&p.entry[0], "127.0.0.1", port[0], 1);
	aer = wait_for_event();
	s.o = (struct vio_nvme_tcp_opts){ .sz = sizeof(s.o), .address = "0.0.0.0:0", .port = 7 };
	second_do(&s, &s.open, 1);
	assert_int_equal(host_finish(&h, aer, NULL, NULL), 0);
	assert_int_equal(h.result, EVENT);
	assert_int_equal(vio_nvme_tcp_refer(t.s, "[2001:db8::5]:4421", 9), 0);
	assert_int_equal(vio_nvme_tcp_refer(t.s, "192.0.2.7", 0), 0);
	assert_int_equal(vio_nvme_tcp_refer(t.s, "somewhere:1", 0), -EINVAL);
	assert_int_equal(read_log(&p, sizeof(p), 0), 0);
	assert_int_equal(p.head.numrec, 4);
	assert_int_equal(p.head.genctr, changes + 3);
	snprintf(port[1], 8, "%u", vio_nvme_tcp_port(s.tcp));
	expect_entry(&p.entry[0], "127.0.0.1", port[0], 1);
	expect_entry(&p.entry[1], "127.0.0.1", port[1], 7); /* as this host has come */
	expect_entry(&p.entry[2], "2001:db8::5", "4421", 9);
	expect_entry(&p.entry[3], "192.0.2.7", "4420", 1);
	aer = wait_for_event();
	second_do(&s, &s.stop, 2);
	assert_int_equal(host_finish(&h, aer, NULL, NULL), 0);
	assert_int_equal(read_log(&p, sizeof(p), 0), 0);
	assert_int_equal(p.head.numrec, 3);
	vio_nvme_tcp_free(s.tcp);
}

static void an_address_may_be_another_than_it_is(void **state)
{
	struct second s = { .open.fn = second_open, .stop.fn = second_stop };
	union page p;

	(void)state;
	s.o = (struct vio_nvme_tcp_opts){ .sz = sizeof(s.o),
					  .address = "127.0.0.1:0",
					  .advertise = "10.9.8.7:6" };
	second_do(&s, &s.open, 1);
	assert_int_equal(read_log(&p, sizeof(p), 0), 0);
	expect_entry(&p.entry[p.head.numrec - 1], "10.9.8.7", "6", 1);
	second_do(&s, &s.stop, 2);
	vio_nvme_tcp_free(s.tcp);
}

/* The page in parts of any size is the page. */
static void it_is_read_in_parts(void **state)
{
	static char whole[4096], part[4096];
	const struct nvmf_discovery_log *head = (const void *)whole;
	uint32_t size;

	(void)state;
	assert_int_equal(read_log(whole, sizeof(whole), 0), 0);
	size = (uint32_t)(1024 + head->numrec * 1024);
	assert_true(size >= 2048 && size <= sizeof(whole));
	for (uint32_t n = 4; n <= size; n = n * 3 + 16) {
		for (uint32_t at = 0; at < size; at += n) {
			memset(part, 0x55, n);
			assert_int_equal(read_log(part, n, at), 0);
			assert_memory_equal(part, whole + at, VIO_MIN(n, size - at));
		}
	}
	assert_int_equal(read_log(part, 1024, size + 4), NVME_SC_INVALID_FIELD | NVME_SC_DNR);
	assert_int_equal(read_log(part, 1024, UINT64_MAX - 3), NVME_SC_INVALID_FIELD | NVME_SC_DNR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_addresses_are_named),
		cmocka_unit_test(an_address_may_be_another_than_it_is),
		cmocka_unit_test(it_is_read_in_parts),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
