/* SPDX-License-Identifier: MIT */
/* Commands that can't be: each is answered with the status that says why, and the connection stays. */
#include "nvme_host.h"

#define DNR NVME_SC_DNR
#define SPECIFIC (NVME_SCT_CMD_SPECIFIC << NVME_SCT_SHIFT)
#define MEDIA (NVME_SCT_MEDIA << NVME_SCT_SHIFT)

static struct target t;
static struct host admin, io;
static char data[262144];

static int open_all(void **state)
{
	VIO_OPTS(vio_nvme_opts, o, .nqn = HOST_TARGET_NQN, .max_namespaces = 8, .max_queues = 4);
	VIO_OPTS(vio_nvme_ns_opts, no, .nsid = 3, .read_only = true);
	struct vio_backend *b;

	(void)state;
	target_start(&t, 2, VIO_POLL_AUTO, &o, NULL);
	assert_int_equal(target_add(&t, "ram:1M"), 1);
	assert_int_equal(vio_backend_parse(&b, NULL, "ram:1M"), 0);
	assert_int_equal(vio_nvme_ns_add(t.s, b, &no), 3);
	vio_backend_free(b);
	assert_int_equal(target_add(&t, "ram:1M | fault:error=EIO,op=read,once=off"), 2);
	host_io(&io, &t, host_admin(&admin, &t, 0), 1, 0, 0);
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	host_hang_up(&io);
	host_hang_up(&admin);
	target_stop(&t);
	return 0;
}

static uint16_t read_at(uint32_t nsid, uint64_t lba, uint32_t bytes)
{
	struct nvme_cmd c = host_rw(nvme_cmd_read, nsid, lba, bytes);

	return host_get(&io, &c, data, bytes);
}

static void ranges_are_checked(void **state)
{
	struct nvme_cmd c;

	(void)state;
	assert_int_equal(read_at(1, 0, 4096), 0);
	assert_int_equal(read_at(1, 2047, 512), 0);
	assert_int_equal(read_at(1, 2048, 512), NVME_SC_LBA_RANGE | DNR);
	assert_int_equal(read_at(1, 2047, 1024), NVME_SC_LBA_RANGE | DNR);
	assert_int_equal(read_at(1, UINT64_MAX, 512), NVME_SC_LBA_RANGE | DNR);
	assert_int_equal(read_at(1, UINT64_MAX - 6, 4096), NVME_SC_LBA_RANGE | DNR);
	assert_int_equal(read_at(1, 1ull << 55, 512), NVME_SC_LBA_RANGE | DNR); /* 512 << 55 is 0 */
	c = host_rw(nvme_cmd_write_zeroes, 1, 1024, 0);
	c.cdw12 = 1024;
	assert_int_equal(host_do(&io, &c), NVME_SC_LBA_RANGE | DNR);
	c.cdw12 = 1023;
	assert_int_equal(host_do(&io, &c), 0);
	c = host_rw(nvme_cmd_verify, 1, 2040, 8192);
	assert_int_equal(host_do(&io, &c), NVME_SC_LBA_RANGE | DNR);
}

static void lengths_are_checked(void **state)
{
	struct nvme_cmd c = host_rw(nvme_cmd_read, 1, 0, 4096);

	(void)state;
	assert_int_equal(host_get(&io, &c, data, 512), NVME_SC_SGL_INVALID_DATA | DNR);
	assert_int_equal(host_get(&io, &c, data, 8192), NVME_SC_SGL_INVALID_DATA | DNR);
	assert_int_equal(host_do(&io, &c), NVME_SC_SGL_INVALID_DATA | DNR); /* no buffer at all */
	c.cdw12 = 65535; /* 32 MiB: above what a command may move */
	assert_int_equal(host_get(&io, &c, data, 4096), NVME_SC_INVALID_FIELD | DNR);
	c = host_rw(nvme_cmd_write, 1, 0, 4096);
	assert_int_equal(host_put(&io, &c, data, 512), NVME_SC_SGL_INVALID_DATA | DNR);
	assert_int_equal(host_put(&io, &c, data, 65536), NVME_SC_SGL_INVALID_DATA | DNR);
	c = host_rw(nvme_cmd_verify, 1, 0, 512);
	c.cdw12 = 65535;
	assert_int_equal(host_do(&io, &c), NVME_SC_INVALID_FIELD | DNR);
}

static void namespaces_are_checked(void **state)
{
	struct nvme_cmd c = { .opcode = nvme_cmd_flush, .nsid = NVME_NSID_ALL };

	(void)state;
	assert_int_equal(read_at(0, 0, 512), NVME_SC_INVALID_NS | DNR);
	assert_int_equal(read_at(9, 0, 512), NVME_SC_INVALID_NS | DNR);
	assert_int_equal(read_at(NVME_NSID_ALL, 0, 512), NVME_SC_INVALID_NS | DNR);
	assert_int_equal(read_at(8, 0, 512), NVME_SC_INVALID_FIELD | DNR); /* inactive */
	assert_int_equal(host_do(&io, &c), NVME_SC_INVALID_NS | DNR);
	c = host_rw(nvme_cmd_write, 3, 0, 512);
	assert_int_equal(host_put(&io, &c, data, 512), NVME_SC_NS_WRITE_PROTECTED | DNR);
	c = host_rw(nvme_cmd_write_zeroes, 3, 0, 512);
	assert_int_equal(host_do(&io, &c), NVME_SC_NS_WRITE_PROTECTED | DNR);
	assert_int_equal(read_at(3, 0, 512), 0);
}

static void opcodes_and_flags_are_checked(void **state)
{
	static const uint8_t bad[] = { 0x03, 0x07, 0x0b, 0x0f, 0x10, 0x12, 0x1b, 0x79, 0x80, 0xff };
	struct nvme_cmd c = { .nsid = 1 };

	(void)state;
	for (unsigned i = 0; i < sizeof(bad); i++) {
		c.opcode = bad[i];
		assert_int_equal(host_do(&io, &c), NVME_SC_INVALID_OPCODE | DNR);
		assert_int_equal(host_do(&admin, &c), NVME_SC_INVALID_OPCODE | DNR);
	}
	c = (struct nvme_cmd){ .opcode = nvme_cmd_flush, .nsid = 1, .flags = 3 }; /* a reserved way to be fused */
	assert_int_equal(host_do(&io, &c), NVME_SC_INVALID_FIELD | DNR);
}

/* A capsule as it is: its SGL is the test's. */
static uint16_t as_it_is(struct nvme_cmd c, uint32_t capsule)
{
	struct nvme_tcp_cmd pdu = { .hdr = { .type = NVME_TCP_CMD }, .cmd = c };

	pdu.cmd.cid = io.cid++;
	host_pdu(&io, &pdu, sizeof(pdu), data, capsule);
	return host_finish(&io, pdu.cmd.cid, data, data);
}

static void sgls_are_checked(void **state)
{
	static const uint8_t types[] = {
		NVME_SGL_DATA, NVME_SGL_BIT_BUCKET, NVME_SGL_SEGMENT, NVME_SGL_LAST_SEGMENT, 0x40, 0x5b, 0x0f,
		0xff
	};
	struct nvme_cmd c = host_rw(nvme_cmd_write, 1, 0, 512);

	(void)state;
	c.flags = NVME_FLAGS_SGL;
	c.sgl.len = 512;
	for (unsigned i = 0; i < sizeof(types); i++) {
		c.sgl.type = types[i];
		assert_int_equal(as_it_is(c, 0), NVME_SC_SGL_INVALID_TYPE | DNR);
		assert_int_equal(as_it_is(c, 512), NVME_SC_SGL_INVALID_TYPE | DNR);
	}
	c.sgl.type = NVME_SGL_TRANSPORT; /* and yet there is data in the capsule */
	assert_int_equal(as_it_is(c, 512), NVME_SC_SGL_INVALID_TYPE | DNR);
	c.sgl.type = NVME_SGL_DATA_OFFSET;
	assert_int_equal(as_it_is(c, 1024), NVME_SC_SGL_INVALID_DATA | DNR);
	assert_int_equal(as_it_is(c, 0), NVME_SC_SGL_INVALID_DATA | DNR);
	c.sgl.addr = 4;
	assert_int_equal(as_it_is(c, 512), NVME_SC_SGL_INVALID_OFFSET | DNR);
	c.sgl.addr = 0;
	c.flags = NVME_FLAGS_PRP;
	assert_int_equal(as_it_is(c, 512), NVME_SC_INVALID_FIELD | DNR);
	c.flags = NVME_FLAGS_SGL;
	c.opcode = nvme_cmd_read; /* data with a command that has none for us */
	assert_int_equal(as_it_is(c, 512), NVME_SC_INVALID_FIELD | DNR);
	c.opcode = nvme_cmd_write;
	assert_int_equal(as_it_is(c, 512), 0);
}

/* The id of a command that waits for its data; that one goes on. */
static void ids_in_use_are_refused(void **state)
{
	struct nvme_cmd w = host_rw(nvme_cmd_write, 1, 0, 16384), f = { .opcode = nvme_cmd_flush, .nsid = 1 };
	union nvme_tcp_pdu p;
	uint16_t cid = host_send(&io, &w, NULL, 16384);

	(void)state;
	assert_int_equal(host_next(&io, &p, NULL), NVME_TCP_R2T);
	io.cid = cid;
	assert_int_equal(host_do(&io, &f), NVME_SC_CMDID_CONFLICT | DNR);
	host_answer_r2t(&io, &p.r2t, data, 16384);
	assert_int_equal(host_finish(&io, cid, NULL, NULL), 0);
	io.cid = cid;
	assert_int_equal(host_do(&io, &f), 0);
}

static void ranges_to_deallocate_are_checked(void **state)
{
	struct nvme_dsm_range r[256] = { { .nlb = 8, .slba = 0 },
					 { .nlb = 0, .slba = 5 },
					 { .nlb = 8, .slba = 2040 } };
	struct nvme_cmd c = { .opcode = nvme_cmd_dsm, .nsid = 1, .cdw10 = 2, .cdw11 = 1u << 2 };

	(void)state;
	assert_int_equal(host_put(&io, &c, r, 3 * sizeof(*r)), 0);
	assert_int_equal(host_put(&io, &c, r, 2 * sizeof(*r)), NVME_SC_SGL_INVALID_DATA | DNR);
	assert_int_equal(host_do(&io, &c), NVME_SC_SGL_INVALID_DATA | DNR);
	r[2].nlb = 9;
	assert_int_equal(host_put(&io, &c, r, 3 * sizeof(*r)), NVME_SC_LBA_RANGE | DNR);
	r[2].slba = UINT64_MAX;
	assert_int_equal(host_put(&io, &c, r, 3 * sizeof(*r)), NVME_SC_LBA_RANGE | DNR);
	c.cdw10 = 255; /* all of them, most empty */
	r[2].slba = 0;
	assert_int_equal(host_put(&io, &c, r, sizeof(r)), 0);
}

static void compare_tells_apart(void **state)
{
	struct nvme_cmd w = host_rw(nvme_cmd_write, 1, 0, 8192), c = host_rw(nvme_cmd_compare, 1, 0, 8192);

	(void)state;
	memset(data, 0x33, 8192);
	assert_int_equal(host_put(&io, &w, data, 8192), 0);
	assert_int_equal(host_put(&io, &c, data, 8192), 0);
	data[8191] ^= 1;
	assert_int_equal(host_put(&io, &c, data, 8192), MEDIA | NVME_SC_COMPARE_FAILED | DNR);
}

static void a_failing_store_is_a_media_error(void **state)
{
	VIO_OPTS(vio_nvme_stats, st);
	struct nvme_cmd v = host_rw(nvme_cmd_verify, 2, 0, 4096);

	(void)state;
	assert_int_equal(read_at(2, 0, 4096), MEDIA | NVME_SC_READ_ERROR);
	assert_int_equal(host_do(&io, &v), MEDIA | NVME_SC_READ_ERROR);
	vio_nvme_stats(t.s, &st);
	assert_int_equal(st.media_errors, 2);
}

static void log_pages_are_checked(void **state)
{
	struct nvme_cmd c = { .opcode = nvme_admin_get_log_page, .nsid = NVME_NSID_ALL };
	struct nvme_error_log_page e[64];

	(void)state;
	c.cdw10 = NVME_LOG_LID_SMART | 127 << 16;
	assert_int_equal(host_get(&admin, &c, data, 512), 0);
	assert_int_equal(host_get(&admin, &c, data, 1024), NVME_SC_SGL_INVALID_DATA | DNR);
	assert_int_equal(host_do(&admin, &c), NVME_SC_SGL_INVALID_DATA | DNR);
	c.cdw12 = 512; /* from its end on: nothing */
	assert_int_equal(host_get(&admin, &c, data, 512), 0);
	assert_memory_equal(data, (char[512]){ 0 }, 512);
	c.cdw12 = 516;
	assert_int_equal(host_get(&admin, &c, data, 512), NVME_SC_INVALID_FIELD | DNR);
	c.cdw12 = UINT32_MAX - 3;
	c.cdw13 = UINT32_MAX;
	assert_int_equal(host_get(&admin, &c, data, 512), NVME_SC_INVALID_FIELD | DNR);
	c.cdw12 = 2;
	c.cdw13 = 0;
	assert_int_equal(host_get(&admin, &c, data, 512), NVME_SC_INVALID_FIELD | DNR);
	c.cdw12 = 0;
	c.cdw11 = 0xffff; /* 16 GiB of it */
	assert_int_equal(host_get(&admin, &c, data, 512), NVME_SC_SGL_INVALID_DATA | DNR);
	c.cdw11 = 0;
	c.cdw10 = 0x77 | 127 << 16;
	assert_int_equal(host_get(&admin, &c, data, 512), SPECIFIC | NVME_SC_INVALID_LOG_PAGE | DNR);
	c.cdw10 = NVME_LOG_LID_ERROR | (sizeof(e) / 4 - 1) << 16;
	assert_int_equal(host_get(&admin, &c, e, sizeof(e)),
			 0); /* which remembers all this, the newest first */
	assert_true(e[0].error_count > e[1].error_count && e[1].error_count);
	assert_int_equal(e[0].status_field >> 1, SPECIFIC | NVME_SC_INVALID_LOG_PAGE | DNR);
}

static void identify_and_features_are_checked(void **state)
{
	struct nvme_cmd c = { .opcode = nvme_admin_identify, .cdw10 = NVME_IDENTIFY_CNS_CTRL };

	(void)state;
	assert_int_equal(host_get(&admin, &c, data, 512), NVME_SC_SGL_INVALID_DATA | DNR);
	assert_int_equal(host_do(&admin, &c), NVME_SC_SGL_INVALID_DATA | DNR);
	c.cdw10 = 0x7e;
	assert_int_equal(host_get(&admin, &c, data, 4096), NVME_SC_INVALID_FIELD | DNR);
	c.cdw10 = NVME_IDENTIFY_CNS_NS;
	c.nsid = 9;
	assert_int_equal(host_get(&admin, &c, data, 4096), NVME_SC_INVALID_NS | DNR);
	c.nsid = 8; /* inactive: all zeroes, whatever lay in the buffer before */
	assert_int_equal(host_get(&admin, &c, data, 4096), 0);
	assert_memory_equal(data, (char[4096]){ 0 }, 4096);
	c.cdw10 = NVME_IDENTIFY_CNS_NS_ACTIVE_LIST;
	c.nsid = 1;
	assert_int_equal(host_get(&admin, &c, data, 4096), 0);
	assert_memory_equal(data, ((uint32_t[]){ 2, 3, 0 }), 12);
	c.nsid = UINT32_MAX;
	assert_int_equal(host_get(&admin, &c, data, 4096), NVME_SC_INVALID_NS | DNR);
	c = (struct nvme_cmd){ .opcode = nvme_admin_set_features, .cdw10 = 0x7b };
	assert_int_equal(host_do(&admin, &c), NVME_SC_INVALID_FIELD | DNR);
	c.cdw10 = NVME_FEAT_FID_VOLATILE_WC | 1u << 31;
	assert_int_equal(host_do(&admin, &c), SPECIFIC | NVME_SC_FEATURE_NOT_SAVEABLE | DNR);
	c.cdw10 = NVME_FEAT_FID_NUM_QUEUES;
	c.cdw11 = 1000 | 1000 << 16;
	assert_int_equal(host_do(&admin, &c), 0);
	assert_int_equal(admin.result, 3 | 3 << 16);
	c.cdw11 = 0xffff;
	assert_int_equal(host_do(&admin, &c), NVME_SC_INVALID_FIELD | DNR);
	c = (struct nvme_cmd){ .opcode = nvme_admin_get_features,
			       .cdw10 = NVME_FEAT_FID_HOST_ID,
			       .cdw11 = 1 };
	assert_int_equal(host_get(&admin, &c, data, 8), NVME_SC_SGL_INVALID_DATA | DNR);
	assert_int_equal(host_get(&admin, &c, data, 16), 0);
	assert_memory_equal(data, ((uint8_t[16]){ 1, 2, 3 }), 16);
}

static void connect_is_checked(void **state)
{
	static const struct {
		struct host_who w;
		uint16_t status;
		uint32_t result;
	} bad[] = {
		{ { .cntlid = UINT16_MAX }, SPECIFIC | NVME_SC_CONNECT_INVALID_PARAM | DNR, 44 },
		{ { .cntlid = UINT16_MAX, .sqsize = 128 },
		  SPECIFIC | NVME_SC_CONNECT_INVALID_PARAM | DNR,
		  44 },
		{ { .cntlid = 1, .sqsize = 31 },
		  SPECIFIC | NVME_SC_CONNECT_INVALID_PARAM | DNR,
		  1 << 16 | 16 },
		{ { .cntlid = UINT16_MAX, .sqsize = 31, .subnqn = "" },
		  SPECIFIC | NVME_SC_CONNECT_INVALID_PARAM | DNR,
		  1 << 16 | 256 },
		{ { .cntlid = UINT16_MAX, .sqsize = 31, .hostnqn = "" },
		  SPECIFIC | NVME_SC_CONNECT_INVALID_PARAM | DNR,
		  1 << 16 | 512 },
		{ { .cntlid = UINT16_MAX, .sqsize = 31, .subnqn = "nqn.2014-08.org.example:other" },
		  SPECIFIC | NVME_SC_CONNECT_INVALID_PARAM | DNR,
		  1 << 16 | 256 },
		{ { .cntlid = 1, .sqsize = 31, .qid = 5 },
		  SPECIFIC | NVME_SC_CONNECT_INVALID_PARAM | DNR,
		  42 },
		{ { .cntlid = 999, .sqsize = 31, .qid = 1 },
		  SPECIFIC | NVME_SC_CONNECT_INVALID_PARAM | DNR,
		  1 << 16 | 16 },
		{ { .cntlid = 1, .sqsize = 31, .qid = 2, .hostnqn = "nqn.2014-08.org.example:thief" },
		  SPECIFIC | NVME_SC_CONNECT_INVALID_PARAM | DNR,
		  1 << 16 | 512 },
		{ { .cntlid = 1, .sqsize = 31, .qid = 1 },
		  NVME_SC_CMD_SEQ_ERROR | DNR,
		  0 }, /* it is in use */
	};
	struct nvme_cmd c = host_rw(nvme_cmd_read, 1, 0, 512);
	struct host_who w = { .cntlid = 1, .sqsize = 31, .qid = 2 };
	struct nvmf_connect_data d;
	struct nvme_cmd raw = { .opcode = NVME_OPC_FABRICS, .nsid = nvme_fabrics_type_connect };
	struct host h;

	(void)state;
	host_dial(&h, &t);
	host_greet(&h, 0);
	assert_int_equal(host_get(&h, &c, data, 512), NVME_SC_CMD_SEQ_ERROR | DNR); /* before Connect */
	assert_int_equal(host_property_get(&h, 0, true), NVME_SC_CMD_SEQ_ERROR | DNR);
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(host_connect(&h, &bad[i].w), bad[i].status);
		assert_int_equal(h.result, bad[i].result);
	}
	memset(&d, 'x', sizeof(d)); /* names without an end */
	((struct nvme_connect_cmd *)&raw)->sqsize = 31;
	assert_int_equal(host_put(&h, &raw, &d, sizeof(d)), SPECIFIC | NVME_SC_CONNECT_INVALID_PARAM | DNR);
	assert_int_equal(host_put(&h, &raw, &d, 512), NVME_SC_SGL_INVALID_DATA | DNR);
	assert_int_equal(host_connect(&h, &w), 0);
	assert_int_equal(host_connect(&h, &w), NVME_SC_CMD_SEQ_ERROR | DNR);	       /* again */
	assert_int_equal(host_property_set(&h, 0x14, 0), NVME_SC_INVALID_FIELD | DNR); /* on an I/O queue */
	raw = (struct nvme_cmd){ .opcode = NVME_OPC_FABRICS, .nsid = nvme_fabrics_type_disconnect };
	assert_int_equal(host_do(&admin, &raw), SPECIFIC | NVME_SC_DISCONNECT_INVALID_QTYPE | DNR);
	assert_int_equal(host_do(&h, &raw), 0);
	assert_int_equal(host_read(&h, data, 1), 0);
	host_hang_up(&h);
}

/* What it had granted a host that was let in is not for one that is not. */
static void hosts_are_let_in_by_name(void **state)
{
	struct host_who w = { .cntlid = UINT16_MAX, .sqsize = 31 };
	struct host h;

	(void)state;
	assert_int_equal(vio_nvme_allow(t.s, "nqn.2014-08.org.example:another", NULL), 0);
	host_dial(&h, &t);
	host_greet(&h, 0);
	assert_int_equal(host_connect(&h, &w), SPECIFIC | NVME_SC_CONNECT_INVALID_HOST | DNR);
	w.hostnqn = "nqn.2014-08.org.example:another";
	assert_int_equal(host_connect(&h, &w), 0);
	host_hang_up(&h);
}

static void a_disabled_controller_does_nothing(void **state)
{
	struct nvme_cmd id = { .opcode = nvme_admin_identify, .cdw10 = NVME_IDENTIFY_CNS_CTRL };
	struct host a, q;

	(void)state;
	host_io(&q, &t, host_admin(&a, &t, 0), 1, 0, 0);
	assert_int_equal(host_property_get(&a, 0x13, false), NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(host_property_get(&a, 0x14, true), NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(host_property_set(&a, 0x1c, 0), NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(host_property_set(&a, 0x14, 0), 0);
	assert_int_equal(host_read(&q, data, 1), 0); /* a reset: its I/O queues are gone */
	assert_int_equal(host_get(&a, &id, data, 4096), NVME_SC_CMD_SEQ_ERROR | DNR);
	assert_int_equal(host_property_set(&a, 0x14, 0x00460071), 0); /* a command set that there is not */
	assert_int_equal(host_property_get(&a, 0x1c, false), 0);
	assert_int_equal(a.result & 3, 2);
	assert_int_equal(host_property_set(&a, 0x14, 0), 0);
	host_enable(&a);
	assert_int_equal(host_get(&a, &id, data, 4096), 0);
	host_hang_up(&q);
	host_hang_up(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_are_checked),
		cmocka_unit_test(lengths_are_checked),
		cmocka_unit_test(namespaces_are_checked),
		cmocka_unit_test(opcodes_and_flags_are_checked),
		cmocka_unit_test(sgls_are_checked),
		cmocka_unit_test(ids_in_use_are_refused),
		cmocka_unit_test(ranges_to_deallocate_are_checked),
		cmocka_unit_test(compare_tells_apart),
		cmocka_unit_test(a_failing_store_is_a_media_error),
		cmocka_unit_test(log_pages_are_checked),
		cmocka_unit_test(identify_and_features_are_checked),
		cmocka_unit_test(connect_is_checked),
		cmocka_unit_test(a_disabled_controller_does_nothing),
		cmocka_unit_test(hosts_are_let_in_by_name),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
