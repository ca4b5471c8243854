/* SPDX-License-Identifier: MIT */
/*
 * Targets that lie. One that lies once loses its connection, and the requests are done all
 * the same by the next; one that does nothing else has them fail when the time is over.
 */
#include "disk_client.h"
#include "fake_target.h"

static struct target t;

static int start(void **state)
{
	(void)state;
	target_start(&t);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	target_stop(&t);
	return 0;
}

static void pattern(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(i * 7 + i / 512);
}

/* Memory beside the buffers, which nobody may touch. */
static void check_edges(const char *p)
{
	for (unsigned i = 0; i < 4096; i++)
		assert_true(p[i] == 0x11 && p[4096 + 65536 + i] == 0x11);
}

static void lies_once(enum target_lie lie, bool write, const char *more)
{
	struct client c;
	char *p;

	client_open(&c, target_stack(&t, more));
	p = c.shared;
	memset(p, 0x11, 8192 + 65536);
	pattern(t.disk, 65536);
	target_lie(&t, lie, 1);
	if (write) {
		memset(p + 4096, 0x22, 65536);
		assert_int_equal(client_do(&c, VIO_OP_WRITE, 0, p + 4096, 65536), 0);
	} else {
		assert_int_equal(client_do(&c, VIO_OP_READ, 0, p + 4096, 65536), 0);
	}
	assert_int_equal(TARGET_GET(t.lies), 0);
	assert_memory_equal(p + 4096, t.disk, 65536);
	check_edges(p);
	/* What came of the lie is over too: a completion that was sent twice is found with the next. */
	assert_int_equal(client_do(&c, VIO_OP_READ, 0, p + 4096, 512), 0);
	assert_int_equal(client_stat(&c, "reconnects"), 1);
	client_close(&c);
}

static void always_lies(enum target_lie lie, bool write, const char *more)
{
	struct client c;
	char stack[64];

	snprintf(stack, sizeof(stack), ",timeout=1,io-timeout=1%s", more);
	client_open(&c, target_stack(&t, stack));
	target_lie(&t, lie, -1);
	assert_int_equal(client_do(&c, write ? VIO_OP_WRITE : VIO_OP_READ, 0, c.shared, 65536), -EIO);
	/* It was tried again now and then, not as fast as can be. */
	assert_in_range(t.conns, 4, 100);
	client_close(&c);
}

static void about_reads(void **state)
{
	static const enum target_lie lies[] = {
		LIE_R2T_FOR_READ, LIE_DATA_BEYOND, LIE_DATA_TWICE,    LIE_DATA_BACKWARDS,
		LIE_DATA_STRANGE, LIE_DATA_NONE,   LIE_SUCCESS_EARLY, LIE_DATA_PLEN,
		LIE_DATA_PDO,	  LIE_DATA_FLAGS,  LIE_DATA_EMPTY,
	};

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(lies); i++)
		lies_once(lies[i], false, "");
	if (!vio__nvme_tcp_has_digests())
		return;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(lies); i++)
		lies_once(lies[i], false, ",digests=both");
	lies_once(LIE_HEADER_DIGEST, false, ",digests=header");
}

static void about_writes(void **state)
{
	static const enum target_lie lies[] = {
		LIE_R2T_RANGE, LIE_R2T_TWICE, LIE_R2T_STRANGE, LIE_R2T_WRAP, LIE_R2T_NONE, LIE_DATA_FOR_WRITE,
	};

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(lies); i++)
		lies_once(lies[i], true, "");
	t.r2t_max = 4096;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(lies); i++)
		lies_once(lies[i], true, "");
}

static void about_anything(void **state)
{
	static const enum target_lie lies[] = {
		LIE_CQE_STRANGE, LIE_CQE_TWICE, LIE_HLEN, LIE_PLEN,    LIE_PLEN_HUGE,
		LIE_TYPE,	 LIE_SECOND_IC, LIE_TERM, LIE_HANG_UP,
	};

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(lies); i++) {
		lies_once(lies[i], false, "");
		lies_once(lies[i], true, "");
	}
}

static void data_with_the_wrong_digest(void **state)
{
	struct client c;

	(void)state;
	if (!vio__nvme_tcp_has_digests())
		skip();
	pattern(t.disk, 65536);
	client_open(&c, target_stack(&t, ",digests=data"));
	target_lie(&t, LIE_DATA_DIGEST, 2);
	assert_int_equal(client_do(&c, VIO_OP_READ, 0, c.shared, 65536), 0);
	assert_memory_equal(t.disk, c.shared, 65536);
	assert_int_equal(client_stat(&c, "bad_digests"), 2);
	target_lie(&t, LIE_DATA_DIGEST, -1);
	assert_int_equal(client_do(&c, VIO_OP_READ, 0, c.shared, 65536), -EIO);
	client_close(&c);
}

static void for_ever(void **state)
{
	static const enum target_lie lies[] = { LIE_DATA_BEYOND, LIE_CQE_STRANGE, LIE_HANG_UP, LIE_SILENT };

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(lies); i++) {
		target_stop(&t);
		target_start(&t);
		always_lies(lies[i], false, "");
	}
}

/* A target that lies as soon as it is asked who it is: the backend can't be had. */
static void before_anything(void **state)
{
	static const struct {
		enum target_lie lie;
		int err;
	} lies[] = {
		{ LIE_IC_PFV, -EBADMSG },	  { LIE_IC_ALIGN, -EBADMSG },  { LIE_IC_MAXH2C, -EBADMSG },
		{ LIE_IC_DIGEST, -EBADMSG },	  { LIE_IC_LENGTH, -EBADMSG }, { LIE_IC_TYPE, -EBADMSG },
		{ LIE_CONNECT, -EPROTO },	  { LIE_FAILED, -EIO },	       { LIE_CAPSULE, -EPROTO },
		{ LIE_OFFSET, -EPROTO },	  { LIE_NO_SGLS, -EPROTO },    { LIE_DISCOVERY, -ENOTSUP },
		{ LIE_ONE_ENTRY, -EPROTO },	  { LIE_SHIFT_0, -EPROTO },    { LIE_SHIFT_60, -EPROTO },
		{ LIE_NO_BLOCKS, -ENODEV },	  { LIE_HUGE, -EPROTO },       { LIE_METADATA, -ENOTSUP },
		{ LIE_IDENTIFY_SHORT, -EBADMSG }, { LIE_AUTH, -EACCES },
	};
	struct vio_backend *b;

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(lies); i++) {
		target_lie(&t, lies[i].lie, 1);
		assert_int_equal(vio_backend_parse(&b, NULL, target_stack(&t, "")), lies[i].err);
		assert_non_null(strstr(vio_errmsg(), "nvme-tcp: "));
		assert_int_equal(TARGET_GET(t.lies), 0);
	}
}

/* Says nothing, or never gets ready: that has an end too. */
static void waits_only_so_long(void **state)
{
	static const enum target_lie lies[] = { LIE_IC_SILENT, LIE_NEVER_READY };
	struct vio_backend *b;

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(lies); i++) {
		target_lie(&t, lies[i], -1);
		assert_int_equal(vio_backend_parse(&b, NULL, target_stack(&t, "")), -ETIMEDOUT);
	}
}

/* The same when it comes back: the requests wait for an honest one. */
static void when_it_comes_back(void **state)
{
	static const enum target_lie lies[] = { LIE_IC_PFV,    LIE_IC_MAXH2C, LIE_CONNECT,  LIE_FAILED,
						LIE_CAPSULE,   LIE_ONE_ENTRY, LIE_SHIFT_60, LIE_NO_BLOCKS,
						LIE_DISCOVERY, LIE_AUTH };
	struct client c;

	(void)state;
	client_open(&c, target_stack(&t, ""));
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(lies); i++) {
		target_lie(&t, lies[i], 2);
		target_cut(&t);
		assert_int_equal(client_do(&c, VIO_OP_READ, 0, c.shared, 4096), 0);
		assert_int_equal(TARGET_GET(t.lies), 0);
	}
	client_close(&c);
}

static void addresses_and_names(void **state)
{
	static const char *const wrong[] = {
		"nqn=x",
		"127.0.0.1:1",
		"127.0.0.1:1,nqn=",
		"::1,nqn=x",
		"[::1,nqn=x",
		"[::1]x,nqn=x",
		"127.0.0.1:port,nqn=x",
		"127.0.0.1:,nqn=x",
		"+127.0.0.1:1,nqn=x",
		"127.0.0.1:1,nqn=x,nsid=0",
		"127.0.0.1:1,nqn=x,hostid=12345678-1234",
		"127.0.0.1:1,nqn=x,hostid=12345678-1234-1234-1234-12345678901g",
		"127.0.0.1:1,nqn=x,hostnqn=",
		"127.0.0.1:1,nqn=x,digests=some",
		"127.0.0.1:1,nqn=x,depth=1024",
		"1:1+1:1+1:1+1:1+1:1+1:1+1:1+1:1+1:1,nqn=x",
	};
	char text[512], nqn[256];
	struct vio_backend *b;

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(wrong); i++) {
		snprintf(text, sizeof(text), "nvme-tcp:%s", wrong[i]);
		assert_int_equal(vio_backend_parse(&b, NULL, text), -EINVAL);
	}
	memset(nqn, 'n', 224);
	nqn[224] = 0;
	snprintf(text, sizeof(text), "nvme-tcp:127.0.0.1:1,nqn=%s", nqn);
	assert_int_equal(vio_backend_parse(&b, NULL, text), -EINVAL);
	/* These are right, but there is nobody. */
	TARGET_SET(t.closed, 1);
	assert_int_equal(
		vio_backend_parse(&b, NULL, target_stack(&t, ",hostid=00112233-4455-6677-8899-aabbccddeeff")),
		-ECONNRESET);
	assert_int_equal(vio_backend_parse(&b, NULL, "nvme-tcp:[::1]:1,nqn=x"), -ECONNREFUSED);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(about_reads),	  TEST(about_writes),	     TEST(about_anything),
		TEST(for_ever),		  TEST(before_anything),     TEST(waits_only_so_long),
		TEST(when_it_comes_back), TEST(addresses_and_names), TEST(data_with_the_wrong_digest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
