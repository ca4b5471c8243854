/* SPDX-License-Identifier: MIT */
/* Sanitize: in the background, of all namespaces, through resets; its log page, its event, and how it fails.
 */
#include "nvme_manager.h"

#include "keyfile.h"

#define DNR NVME_SC_DNR
#define EVENT 0x810106u /* the NVM command set's, sanitize operation completed, log page 81h */
#define OVERWRITE NVME_SANITIZE_SANACT_START_OVERWRITE
#define CRYPTO NVME_SANITIZE_SANACT_START_CRYPTO_ERASE
#define EXIT NVME_SANITIZE_SANACT_EXIT_FAILURE
#define UNRESTRICTED 8u

static struct target t;
static struct manager m;
static struct host admin, io;
static uint16_t id;
static uint32_t page[1024];
static char data[4096], back[4096], first_key[64], second_key[64];
static char *const keys[] = { first_key, second_key };

static uint32_t add(const char *filters, bool read_only)
{
	VIO_OPTS(vio_nvme_ns_opts, no, .read_only = read_only);
	struct vio_backend *b;
	char stack[240];
	int nsid;

	snprintf(stack, sizeof(stack), "ram:1M%s", filters);
	assert_int_equal(vio_backend_parse(&b, NULL, stack), 0);
	nsid = vio_nvme_ns_add(t.s, b, &no);
	assert_true(nsid > 0);
	vio_backend_free(b);
	return (uint32_t)nsid;
}

/* 1 and 2 have keys. */
static int open_all(void **state)
{
	VIO_OPTS(vio_nvme_opts, o, .nqn = HOST_TARGET_NQN, .max_namespaces = 8);
	unsigned char bytes[64];
	char filter[160];

	(void)state;
	manager_init(&m);
	o.manager = &m.m;
	target_start(&t, 2, VIO_POLL_AUTO, &o, NULL);
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned k = 0; k < sizeof(bytes); k++)
			bytes[k] = (unsigned char)(k * 7 + i);
		keyfile_write(keys[i], bytes, sizeof(bytes));
		snprintf(filter, sizeof(filter), " | crypt:keyfile=%s,erase=on", keys[i]);
		assert_int_equal(add(filter, false), i + 1);
	}
	id = host_admin(&admin, &t, 0);
	host_io(&io, &t, id, 1, 0, 0);
	memset(data, 0x5c, sizeof(data));
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	host_hang_up(&io);
	host_hang_up(&admin);
	target_stop(&t);
	manager_settle(&m);
	return 0;
}

static uint16_t sanitize(uint32_t cdw10, uint32_t pattern)
{
	struct nvme_cmd c = { .opcode = nvme_admin_sanitize_nvm, .cdw10 = cdw10, .cdw11 = pattern };

	return host_do(&admin, &c);
}

static uint16_t move(uint8_t opcode, uint32_t nsid)
{
	struct nvme_cmd c = host_rw(opcode, nsid, 0, 4096);

	return opcode == nvme_cmd_read ? host_get(&io, &c, back, 4096) : host_put(&io, &c, data, 4096);
}

static const struct nvme_sanitize_log_page *status_log(bool retain)
{
	struct nvme_cmd c = { .opcode = nvme_admin_get_log_page,
			      .cdw10 = NVME_LOG_LID_SANITIZE | (retain ? 1u << 15 : 0) | 127u << 16 };

	assert_int_equal(host_get(&admin, &c, page, 512), 0);
	return (void *)page;
}

static unsigned state_now(void)
{
	return status_log(true)->sstat & NVME_SANITIZE_SSTAT_STATUS_MASK;
}

/* Jobs run in other threads: what they say is what is waited for. */
static unsigned state_at_end(void)
{
	unsigned now;

	do {
		now = state_now();
	} while (now == NVME_SANITIZE_SSTAT_STATUS_IN_PROGESS);
	return now;
}

static uint32_t can(void)
{
	const struct nvme_id_ctrl *c = (void *)page;

	assert_int_equal(host_identify(&admin, NVME_IDENTIFY_CNS_CTRL, 0, page), 0);
	return c->sanicap;
}

static void what_namespaces_can_is_offered(void **state)
{
	uint32_t nsid;

	(void)state;
	assert_int_equal(can(), 1u << 30 | 5);
	nsid = add("", false);
	assert_int_equal(can(), 1u << 30 | 4); /* there is one without a key */
	assert_int_equal(sanitize(CRYPTO, 0), NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(vio_nvme_ns_remove(t.s, nsid), 0);
	nsid = add("", true);
	assert_int_equal(can(), 0);
	assert_int_equal(sanitize(OVERWRITE, 0), NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(vio_nvme_ns_remove(t.s, nsid), 0);
	for (unsigned action = 0; action < 8; action++)
		if (action != EXIT && action != OVERWRITE && action != CRYPTO)
			assert_int_equal(sanitize(action, 0), NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(sanitize(EXIT, 0), 0); /* out of no failure */
	assert_int_equal(state_now(), NVME_SANITIZE_SSTAT_STATUS_NEVER_SANITIZED);
	assert_int_equal(status_log(true)->sprog, 0xffff);
}

static void nothing_else_is_done_meanwhile(void)
{
	struct nvme_cmd format = { .opcode = nvme_admin_format_nvm, .nsid = 1 };
	struct nvme_id_ns ns = host_new_ns(8, 0, true);

	assert_int_equal(move(nvme_cmd_read, 1), NVME_SC_SANITIZE_IN_PROGRESS);
	assert_int_equal(move(nvme_cmd_write, 2), NVME_SC_SANITIZE_IN_PROGRESS);
	assert_int_equal(sanitize(CRYPTO, 0), NVME_SC_SANITIZE_IN_PROGRESS);
	assert_int_equal(sanitize(EXIT, 0), NVME_SC_SANITIZE_IN_PROGRESS);
	assert_int_equal(host_do(&admin, &format), NVME_SC_SANITIZE_IN_PROGRESS);
	assert_int_equal(host_create(&admin, &ns), NVME_SC_SANITIZE_IN_PROGRESS);
	assert_int_equal(host_delete(&admin, 1), NVME_SC_SANITIZE_IN_PROGRESS);
	assert_int_equal(host_attach(&admin, 1, false, 1, id, 0), NVME_SC_SANITIZE_IN_PROGRESS);
	assert_int_equal(state_now(), NVME_SANITIZE_SSTAT_STATUS_IN_PROGESS);
	assert_int_equal(status_log(true)->sprog, 0);
	assert_int_equal(status_log(true)->scdw10, CRYPTO);
}

static void keys_are_erased(void **state)
{
	struct nvme_cmd aer = { .opcode = nvme_admin_async_event };
	uint16_t cid;

	(void)state;
	assert_int_equal(move(nvme_cmd_write, 1), 0);
	assert_int_equal(move(nvme_cmd_write, 2), 0);
	assert_int_equal(vio_nvme_ns_attach(t.s, 2, HOST_NQN, false), 0); /* it is erased all the same */
	manager_hold(&m, true);
	assert_int_equal(sanitize(CRYPTO, 0), 0); /* it has begun */
	assert_int_equal(vio_nvme_ns_attach(t.s, 2, HOST_NQN, true), 0);
	nothing_else_is_done_meanwhile();
	host_hang_up(&io);
	host_hang_up(&admin);
	id = host_admin(&admin, &t, 0);
	host_io(&io, &t, id, 1, 0, 0);
	nothing_else_is_done_meanwhile(); /* a reset does not end it */
	cid = host_send(&admin, &aer, NULL, 0);
	manager_hold(&m, false);
	assert_int_equal(host_finish(&admin, cid, NULL, NULL), 0);
	assert_int_equal(admin.result, EVENT);
	assert_int_equal(status_log(false)->sstat, NVME_SANITIZE_SSTAT_STATUS_COMPLETE_SUCCESS |
							   NVME_SANITIZE_SSTAT_GLOBAL_DATA_ERASED);
	assert_int_equal(status_log(true)->sprog, 0xffff);
	for (uint32_t nsid = 1; nsid < 3; nsid++) {
		assert_int_equal(move(nvme_cmd_read, nsid), 0);
		assert_memory_not_equal(back, data, 16);
	}
	assert_int_equal(move(nvme_cmd_write, 1), 0);
	assert_int_equal(status_log(true)->sstat,
			 NVME_SANITIZE_SSTAT_STATUS_COMPLETE_SUCCESS); /* data is there */
	assert_int_equal(move(nvme_cmd_read, 1), 0);
	assert_memory_equal(back, data, 4096);
}

static void patterns_are_written(void **state)
{
	const uint32_t *words = (void *)back;

	(void)state;
	assert_int_equal(sanitize(OVERWRITE | 3u << 4 | 1u << 8, 0x01020304), 0);
	assert_int_equal(state_at_end(), NVME_SANITIZE_SSTAT_STATUS_COMPLETE_SUCCESS);
	assert_int_equal(status_log(true)->sstat >> 3 & 31, 3);
	for (uint32_t nsid = 1; nsid < 3; nsid++) {
		assert_int_equal(move(nvme_cmd_read, nsid), 0);
		for (unsigned i = 0; i < 1024; i++)
			assert_int_equal(words[i], 0x01020304);
	}
}

static void a_failure_keeps_namespaces_closed(void **state)
{
	uint32_t bad = add(" | fault:error=EIO,op=write,nth=3,once=off", false);
	struct nvme_cmd format = { .opcode = nvme_admin_format_nvm, .nsid = 1 };

	(void)state;
	assert_int_equal(sanitize(OVERWRITE | 1u << 4, 0), 0);
	assert_int_equal(state_at_end(), NVME_SANITIZE_SSTAT_STATUS_COMPLETED_FAILED);
	assert_int_equal(move(nvme_cmd_read, 1), NVME_SC_SANITIZE_FAILED | DNR);
	assert_int_equal(host_do(&admin, &format), NVME_SC_SANITIZE_FAILED | DNR);
	assert_int_equal(sanitize(EXIT, 0), NVME_SC_SANITIZE_FAILED | DNR); /* it was restricted */
	assert_int_equal(sanitize(OVERWRITE | UNRESTRICTED, 0), NVME_SC_SANITIZE_FAILED | DNR);
	assert_int_equal(vio_nvme_ns_remove(t.s, bad), 0);
	assert_int_equal(sanitize(OVERWRITE | 1u << 4, 0), 0); /* but another one may do better */
	assert_int_equal(state_at_end(), NVME_SANITIZE_SSTAT_STATUS_COMPLETE_SUCCESS);
	assert_int_equal(move(nvme_cmd_read, 1), 0);

	bad = add(" | fault:error=EIO,op=write,nth=3,once=off", false);
	assert_int_equal(sanitize(OVERWRITE | UNRESTRICTED | 1u << 4, 0), 0);
	assert_int_equal(state_at_end(), NVME_SANITIZE_SSTAT_STATUS_COMPLETED_FAILED);
	assert_int_equal(move(nvme_cmd_read, 1), NVME_SC_SANITIZE_FAILED | DNR);
	assert_int_equal(sanitize(EXIT, 0), 0);
	assert_int_equal(move(nvme_cmd_read, 1), 0);
	assert_int_equal(move(nvme_cmd_write, 1), 0);
	assert_int_equal(host_do(&admin, &format), 0);
	assert_int_equal(state_now(), NVME_SANITIZE_SSTAT_STATUS_COMPLETED_FAILED);
	assert_int_equal(vio_nvme_ns_remove(t.s, bad), 0);
}

static void a_format_is_in_the_way(void **state)
{
	struct nvme_cmd format = { .opcode = nvme_admin_format_nvm, .nsid = 1 };
	uint16_t cid;

	(void)state;
	manager_hold(&m, true);
	cid = host_send(&admin, &format, NULL, 0);
	assert_int_equal(sanitize(OVERWRITE | 1u << 4, 0), NVME_SC_FORMAT_IN_PROGRESS);
	manager_hold(&m, false);
	assert_int_equal(host_finish(&admin, cid, NULL, NULL), 0);
	assert_int_equal(sanitize(OVERWRITE | 1u << 4, 0), 0);
	assert_int_equal(state_at_end(), NVME_SANITIZE_SSTAT_STATUS_COMPLETE_SUCCESS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_namespaces_can_is_offered),
		cmocka_unit_test(keys_are_erased),
		cmocka_unit_test(patterns_are_written),
		cmocka_unit_test(a_failure_keeps_namespaces_closed),
		cmocka_unit_test(a_format_is_in_the_way),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
