/* SPDX-License-Identifier: MIT */
/*
 * Hosts that break NVMe/TCP's rules: each is told by a C2HTermReq what is wrong and loses that
 * connection; another one, which is there all the while, loses nothing.
 */
#include "nvme_host.h"

struct scene {
	struct target t;
	struct host admin, witness; /* a host that keeps to the rules */
	uint16_t cntlid, qid;
};

static int scene_open(void **state)
{
	struct scene *s = calloc(1, sizeof(*s));

	target_start(&s->t, 1, VIO_POLL_AUTO, NULL, NULL);
	target_add(&s->t, "ram:1M");
	s->cntlid = host_admin(&s->admin, &s->t, 0);
	s->qid = 1;
	host_io(&s->witness, &s->t, s->cntlid, s->qid++, 0, 0);
	*state = s;
	return 0;
}

static int scene_close(void **state)
{
	struct scene *s = *state;
	struct nvme_cmd r = host_rw(nvme_cmd_read, 1, 0, 4096);
	char data[4096];

	assert_int_equal(host_get(&s->witness, &r, data, sizeof(data)), 0);
	host_hang_up(&s->witness);
	host_hang_up(&s->admin);
	target_stop(&s->t);
	free(s);
	return 0;
}

/* One that has connected a queue. */
static void bad_host(struct scene *s, struct host *h, uint8_t digests)
{
	host_io(h, &s->t, s->cntlid, s->qid++, 0, digests);
}

/* The target says so, and nothing more; fei: of the header's field, -1: whatever. */
static void expect_term(struct host *h, enum nvme_tcp_fes fes, int fei)
{
	union nvme_tcp_pdu p;
	char header[256];
	char more;

	assert_int_equal(host_next(h, &p, header), NVME_TCP_C2H_TERM);
	assert_int_equal(p.term.fes, fes);
	if (fei >= 0)
		assert_int_equal(p.term.fei, fei);
	assert_int_equal(host_read(h, &more, 1), 0);
	host_hang_up(h);
}

/* A PDU as it is, with no digest and nothing set right. */
static void raw(struct host *h, void *pdu, size_t size)
{
	host_write(h, pdu, size);
}

static struct nvme_tcp_icreq icreq(void)
{
	return (struct nvme_tcp_icreq){ .hdr = { .type = NVME_TCP_ICREQ, .hlen = 128, .plen = 128 } };
}

static struct nvme_tcp_cmd command(void)
{
	return (struct nvme_tcp_cmd){ .hdr = { .type = NVME_TCP_CMD, .hlen = 72, .plen = 72 },
				      .cmd = { .opcode = nvme_cmd_flush,
					       .flags = NVME_FLAGS_SGL,
					       .nsid = 1,
					       .sgl.type = NVME_SGL_TRANSPORT } };
}

static void icreq_fields_are_checked(void **state)
{
	struct scene *s = *state;
	struct host h;
	struct nvme_tcp_icreq r = icreq();

	r.pfv = 1;
	host_dial(&h, &s->t);
	raw(&h, &r, sizeof(r));
	expect_term(&h, NVME_TCP_FES_PARAMETER, 8);

	r = icreq();
	r.hpda = 32;
	host_dial(&h, &s->t);
	raw(&h, &r, sizeof(r));
	expect_term(&h, NVME_TCP_FES_FIELD, 10);

	r = icreq();
	r.hdr.plen = 132;
	host_dial(&h, &s->t);
	raw(&h, &r, sizeof(r));
	expect_term(&h, NVME_TCP_FES_FIELD, 4);

	r = icreq();
	r.hdr.hlen = 127;
	host_dial(&h, &s->t);
	raw(&h, &r, sizeof(r));
	expect_term(&h, NVME_TCP_FES_FIELD, 2);

	r = icreq();
	r.hdr.flags = NVME_TCP_HDGST;
	host_dial(&h, &s->t);
	raw(&h, &r, sizeof(r));
	expect_term(&h, NVME_TCP_FES_FIELD, 1);
}

static void pdus_out_of_turn_are_refused(void **state)
{
	struct scene *s = *state;
	struct nvme_tcp_icreq r = icreq();
	struct nvme_tcp_cmd c = command();
	struct host h;

	host_dial(&h, &s->t);
	raw(&h, &c, sizeof(c)); /* before ICReq */
	expect_term(&h, NVME_TCP_FES_SEQUENCE, -1);

	host_dial(&h, &s->t);
	host_greet(&h, 0);
	raw(&h, &r, sizeof(r)); /* a second one */
	expect_term(&h, NVME_TCP_FES_SEQUENCE, -1);
}

static void types_that_no_host_sends_are_refused(void **state)
{
	static const uint8_t types[] = { NVME_TCP_ICRESP,
					 NVME_TCP_C2H_TERM,
					 NVME_TCP_RSP,
					 NVME_TCP_C2H_DATA,
					 NVME_TCP_R2T,
					 0x08,
					 0x0a,
					 0x16,
					 0xff };
	struct scene *s = *state;
	struct host h;

	for (unsigned i = 0; i < sizeof(types); i++) {
		struct nvme_tcp_hdr hdr = { .type = types[i], .hlen = 24, .plen = 24 };

		bad_host(s, &h, 0);
		raw(&h, &hdr, sizeof(hdr));
		expect_term(&h, NVME_TCP_FES_FIELD, 0);
	}
}

static void lengths_of_capsules_are_checked(void **state)
{
	static const struct {
		uint8_t hlen, pdo, flags;
		uint32_t plen;
		int fei;
	} bad[] = {
		{ 71, 0, 0, 72, 2 },
		{ 0, 0, 0, 72, 2 },
		{ 72, 0, 0, 71, 4 },
		{ 72, 0, 0, 0, 4 },
		{ 72, 72, 0, UINT32_MAX, 4 },
		{ 72, 72, 0, 72 + 8193, 4 },
		{ 72, 0, 0, 76, 3 },
		{ 72, 71, 0, 76, 3 },
		{ 72, 80, 0, 76, 3 },
		{ 72, 255, 0, 72 + 512, 3 },
		{ 72, 0, NVME_TCP_HDGST, 72, 1 },
		{ 72, 0, NVME_TCP_DDGST, 72, 1 },
		{ 72, 0, NVME_TCP_DATA_LAST, 72, 1 },
	};
	struct scene *s = *state;
	struct host h;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct nvme_tcp_cmd c = command();

		c.hdr.hlen = bad[i].hlen;
		c.hdr.pdo = bad[i].pdo;
		c.hdr.flags = bad[i].flags;
		c.hdr.plen = bad[i].plen;
		bad_host(s, &h, 0);
		raw(&h, &c, sizeof(c));
		expect_term(&h, NVME_TCP_FES_FIELD, bad[i].fei);
	}
}

/* A write of 16 KiB that the target has asked for. */
static struct nvme_tcp_r2t asked(struct scene *s, struct host *h, uint8_t digests)
{
	struct nvme_cmd w = host_rw(nvme_cmd_write, 1, 0, 16384);
	union nvme_tcp_pdu p;

	bad_host(s, h, digests);
	host_send(h, &w, NULL, 16384);
	assert_int_equal(host_next(h, &p, NULL), NVME_TCP_R2T);
	assert_int_equal(p.r2t.len, 16384);
	assert_int_equal(p.r2t.offset, 0);
	return p.r2t;
}

static void data_that_was_not_asked_for_is_refused(void **state)
{
	static const char data[32768];
	struct scene *s = *state;
	struct nvme_tcp_data d = { .hdr = { .type = NVME_TCP_H2C_DATA, .flags = NVME_TCP_DATA_LAST },
				   .len = 16384 };
	struct nvme_tcp_r2t r2t;
	struct host h;

	bad_host(s, &h, 0); /* nothing at all */
	host_pdu(&h, &d, sizeof(d), data, 16384);
	expect_term(&h, NVME_TCP_FES_FIELD, 10);

	r2t = asked(s, &h, 0); /* another tag */
	d.cid = r2t.cid;
	d.ttag = (uint16_t)(r2t.ttag + 1);
	host_pdu(&h, &d, sizeof(d), data, 16384);
	expect_term(&h, NVME_TCP_FES_FIELD, 10);

	r2t = asked(s, &h, 0); /* the tag of a slot that is never asked through */
	d.cid = r2t.cid;
	d.ttag = UINT16_MAX;
	host_pdu(&h, &d, sizeof(d), data, 16384);
	expect_term(&h, NVME_TCP_FES_FIELD, 10);

	r2t = asked(s, &h, 0); /* another command */
	d.ttag = r2t.ttag;
	d.cid = (uint16_t)(r2t.cid + 1);
	host_pdu(&h, &d, sizeof(d), data, 16384);
	expect_term(&h, NVME_TCP_FES_FIELD, 10);
}

static void data_beside_what_was_asked_for_is_refused(void **state)
{
	static const char data[32768];
	static const struct {
		uint32_t offset, len;
		uint8_t flags;
		enum nvme_tcp_fes fes;
	} bad[] = {
		{ 512, 512, 0, NVME_TCP_FES_RANGE },
		{ UINT32_MAX, 512, 0, NVME_TCP_FES_RANGE },
		{ 0, 16388, NVME_TCP_DATA_LAST, NVME_TCP_FES_RANGE },
		{ 0, UINT32_MAX, NVME_TCP_DATA_LAST, NVME_TCP_FES_RANGE },
		{ 0, 16384, 0, NVME_TCP_FES_FIELD },
		{ 0, 8192, NVME_TCP_DATA_LAST, NVME_TCP_FES_FIELD },
	};
	struct scene *s = *state;
	struct host h;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct nvme_tcp_r2t r2t = asked(s, &h, 0);
		struct nvme_tcp_data d = { .hdr = { .type = NVME_TCP_H2C_DATA, .flags = bad[i].flags },
					   .cid = r2t.cid,
					   .ttag = r2t.ttag,
					   .offset = bad[i].offset,
					   .len = bad[i].len };

		host_pdu(&h, &d, sizeof(d), data, bad[i].len > sizeof(data) ? 512 : bad[i].len);
		expect_term(&h, bad[i].fes, -1);
	}
}

static void a_length_that_is_not_the_pdus_is_refused(void **state)
{
	static const char data[512];
	struct scene *s = *state;
	struct host h;
	struct nvme_tcp_r2t r2t = asked(s, &h, 0);
	struct nvme_tcp_data d = {
		.hdr = { .type = NVME_TCP_H2C_DATA }, .cid = r2t.cid, .ttag = r2t.ttag, .len = 1024
	};

	host_pdu(&h, &d, sizeof(d), data, sizeof(data));
	expect_term(&h, NVME_TCP_FES_FIELD, 16);

	r2t = asked(s, &h, 0); /* data twice: the second time nobody waits for it */
	host_answer_r2t(&h, &r2t, (const char[16384]){ 0 }, 16384);
	assert_int_equal(host_next(&h, &(union nvme_tcp_pdu){ 0 }, NULL), NVME_TCP_RSP);
	d = (struct nvme_tcp_data){ .hdr = { .type = NVME_TCP_H2C_DATA, .flags = NVME_TCP_DATA_LAST },
				    .cid = r2t.cid,
				    .ttag = r2t.ttag,
				    .offset = 0,
				    .len = 512 };
	host_pdu(&h, &d, sizeof(d), data, sizeof(data));
	expect_term(&h, NVME_TCP_FES_FIELD, 10);
}

static void a_wrong_header_digest_ends_the_connection(void **state)
{
	struct scene *s = *state;
	struct {
		struct nvme_tcp_cmd c;
		uint32_t sum;
	} pdu = { .c = command(), .sum = 0x12345678 };
	struct host h;

	if (!vio__nvme_tcp_has_digests())
		skip();
	bad_host(s, &h, NVME_TCP_WANT_HDGST);
	pdu.c.hdr.flags = NVME_TCP_HDGST;
	pdu.c.hdr.plen = 76;
	raw(&h, &pdu, 76);
	expect_term(&h, NVME_TCP_FES_HDGST, 0x12345678);
}

/* The command fails, and may be repeated; the connection stays. By capsule and by R2T. */
static void a_wrong_data_digest_fails_its_command(void **state)
{
	static char data[16384], back[16384];
	struct scene *s = *state;
	struct nvme_cmd w = host_rw(nvme_cmd_write, 1, 64, 4096), r = host_rw(nvme_cmd_read, 1, 64, 16384);
	struct nvme_tcp_cmd c = { .hdr = { .type = NVME_TCP_CMD,
					   .flags = NVME_TCP_DDGST,
					   .hlen = 72,
					   .pdo = 72,
					   .plen = 72 + 4096 + 4 },
				  .cmd = w };
	struct nvme_tcp_data d = { .hdr = { .type = NVME_TCP_H2C_DATA,
					    .flags = NVME_TCP_DDGST | NVME_TCP_DATA_LAST,
					    .hlen = 24,
					    .pdo = 24,
					    .plen = 24 + 16384 + 4 },
				   .len = 16384 };
	union nvme_tcp_pdu p;
	struct host h;

	if (!vio__nvme_tcp_has_digests())
		skip();
	memset(data, 0x5a, sizeof(data));
	bad_host(s, &h, NVME_TCP_WANT_DDGST);
	c.cmd.cid = h.cid++;
	c.cmd.flags = NVME_FLAGS_SGL;
	c.cmd.sgl = (struct nvme_sgl){ .len = 4096, .type = NVME_SGL_DATA_OFFSET };
	raw(&h, &c, sizeof(c));
	raw(&h, data, 4096);
	raw(&h, (char[4]){ 1, 2, 3, 4 }, 4);
	assert_int_equal(host_finish(&h, c.cmd.cid, NULL, NULL), NVME_SC_TRAN_TPORT_ERROR);

	w = host_rw(nvme_cmd_write, 1, 64, 16384);
	d.cid = host_send(&h, &w, NULL, 16384);
	assert_int_equal(host_next(&h, &p, NULL), NVME_TCP_R2T);
	d.ttag = p.r2t.ttag;
	raw(&h, &d, sizeof(d));
	raw(&h, data, 16384);
	raw(&h, (char[4]){ 1, 2, 3, 4 }, 4);
	assert_int_equal(host_finish(&h, d.cid, NULL, NULL), NVME_SC_TRAN_TPORT_ERROR);

	assert_int_equal(host_get(&h, &r, back, sizeof(back)), 0); /* and nothing of it was written */
	assert_memory_equal(back, (char[16384]){ 0 }, sizeof(back));
	host_hang_up(&h);
}

static void more_commands_than_entries_are_refused(void **state)
{
	struct scene *s = *state;
	struct host_who w = { .cntlid = s->cntlid, .qid = s->qid++, .sqsize = 3 };
	struct nvme_cmd c = host_rw(nvme_cmd_write, 1, 0, 16384);
	union nvme_tcp_pdu p;
	struct host h;

	host_dial(&h, &s->t);
	host_greet(&h, 0);
	assert_int_equal(host_connect(&h, &w), 0);
	for (unsigned i = 0; i < 5; i++) /* none of which can end: their data does not come */
		host_send(&h, &c, NULL, 16384);
	for (unsigned i = 0; i < 4; i++)
		if (host_next(&h, &p, (char[256]){ 0 }) ==
		    NVME_TCP_C2H_TERM) /* which overtakes R2Ts not sent yet */
			break;
	if (p.hdr.type == NVME_TCP_C2H_TERM)
		assert_int_equal(p.term.fes, NVME_TCP_FES_SEQUENCE);
	else
		expect_term(&h, NVME_TCP_FES_SEQUENCE, -1);
	if (h.fd >= 0)
		host_hang_up(&h);
}

static void a_sgl_of_4_gib_is_refused(void **state)
{
	struct scene *s = *state;
	struct nvme_cmd c = host_rw(nvme_cmd_write, 1, 0, 4096);
	struct host h;

	bad_host(s, &h, 0);
	assert_int_equal(host_finish(&h, host_send(&h, &c, NULL, UINT32_MAX), NULL, NULL),
			 NVME_SC_INVALID_FIELD | NVME_SC_DNR);
	c.opcode = nvme_cmd_read;
	assert_int_equal(host_finish(&h, host_send(&h, &c, NULL, UINT32_MAX - 4095), NULL, NULL),
			 NVME_SC_INVALID_FIELD | NVME_SC_DNR);
	assert_int_equal(host_finish(&h, host_send(&h, &c, NULL, 262144 + 512), NULL, NULL),
			 NVME_SC_INVALID_FIELD | NVME_SC_DNR);
	host_hang_up(&h);
}

static void a_host_that_gives_up_is_let_go(void **state)
{
	struct scene *s = *state;
	struct nvme_tcp_term t = { .hdr = { .type = NVME_TCP_H2C_TERM, .hlen = 24, .plen = 24 }, .fes = 1 };
	struct host h;
	char c;

	bad_host(s, &h, 0);
	raw(&h, &t, sizeof(t));
	assert_int_equal(host_read(&h, &c, 1), 0);
	host_hang_up(&h);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scene_open, scene_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(icreq_fields_are_checked),
		TEST(pdus_out_of_turn_are_refused),
		TEST(types_that_no_host_sends_are_refused),
		TEST(lengths_of_capsules_are_checked),
		TEST(data_that_was_not_asked_for_is_refused),
		TEST(data_beside_what_was_asked_for_is_refused),
		TEST(a_length_that_is_not_the_pdus_is_refused),
		TEST(a_wrong_header_digest_ends_the_connection),
		TEST(a_wrong_data_digest_fails_its_command),
		TEST(more_commands_than_entries_are_refused),
		TEST(a_sgl_of_4_gib_is_refused),
		TEST(a_host_that_gives_up_is_let_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
