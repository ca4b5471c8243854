/* SPDX-License-Identifier: MIT */
/* Files that are no captures, damaged ones, and ones made to do harm: an error that says why, or an end of
 * the replay, and never more than the file has. */
#include "port.h"
#include "open_fds.h"

#include <sys/stat.h>

static char path[64], said[256];

static void file_is(const void *from, size_t len)
{
	FILE *f = fopen(path, "wb");

	assert_non_null(f);
	assert_int_equal(fwrite(from, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static void refused(const char *options, int err, const char *words)
{
	unsigned before = open_fds();
	struct vio_backend *b;
	char arg[128];

	snprintf(arg, sizeof(arg), "%s%s", path, options);
	if (vio_backend_new(&b, vio_backend_find("pcap"), NULL, NULL, arg) != -err)
		fail_msg("pcap:%s: %s", arg, b ? "accepted" : vio_errmsg());
	assert_null(b);
	if (!strstr(vio_errmsg(), words))
		fail_msg("'%s' does not say '%s'", vio_errmsg(), words);
	assert_int_equal(open_fds(), before);
}

static const uint32_t good[6] = { 0xa1b23c4d, 4u << 16 | 2, 0, 0, 65535, 1 };

static void no_captures(void **state)
{
	uint32_t h[6];

	(void)state;
	unlink(path);
	refused(",mode=replay", ENOENT, "can't be opened");
	file_is("", 0);
	refused(",mode=replay", EINVAL, "0 bytes");
	file_is(good, 23);
	refused(",mode=replay", EINVAL, "23 bytes");
	file_is("#!/bin/sh\necho this is not one\n", 30);
	refused(",mode=replay", EINVAL, "no capture file");
	refused("", EEXIST, "not written over");
	memcpy(h, good, sizeof(h));
	h[0] = 0x0a0d0d0a;
	file_is(h, sizeof(h));
	refused(",mode=replay", EINVAL, "pcapng");
	memcpy(h, good, sizeof(h));
	h[1] = 3;
	file_is(h, sizeof(h));
	refused(",mode=replay", EINVAL, "version 3");
	memcpy(h, good, sizeof(h));
	h[5] = 105;
	file_is(h, sizeof(h));
	refused(",mode=replay", EINVAL, "link type 105");
}

static void wrong_arguments(void **state)
{
	struct vio_backend *b;

	(void)state;
	file_is(good, sizeof(good));
	refused(",mode=both", EINVAL, "capture or replay");
	refused(",loop=on", EINVAL, "mode=replay");
	refused(",limit=10", EINVAL, "4096");
	assert_int_equal(vio_backend_new(&b, vio_backend_find("pcap"), NULL, NULL, ""), -EINVAL);
	assert_int_equal(vio_backend_new(&b, vio_backend_find("pcap"), NULL, NULL, "/tmp"), -EISDIR);
	assert_int_equal(vio_backend_new(&b, vio_backend_find("pcap"), NULL, NULL, "/tmp,mode=replay"),
			 -EINVAL);
	assert_int_equal(vio_backend_new(&b, vio_backend_find("pcap"), NULL, NULL, "/dev/null"), -EINVAL);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	refused(",mode=replay", EINVAL, "no regular file"); /* at once, not when somebody writes */
	unlink(path);
}

static void one_writer(void **state)
{
	struct vio_backend *b;

	(void)state;
	unlink(path);
	assert_int_equal(vio_backend_new(&b, vio_backend_find("pcap"), NULL, NULL, path), 0);
	refused("", EBUSY, "another capture");
	vio_backend_free(b);
	assert_int_equal(vio_backend_new(&b, vio_backend_find("pcap"), NULL, NULL, path), 0);
	vio_backend_free(b);
}

static void log_it(void *ctx, enum vio_log_level level, const char *sentence)
{
	(void)ctx, (void)level;
	snprintf(said, sizeof(said), "%s", sentence);
}

struct replayed {
	unsigned frames;
	uint64_t malformed, truncated;
};

/* Replays what follows a good header, into RECVs of 2 KiB. */
static struct replayed replay(const void *records, size_t len, const char *options)
{
	VIO_OPTS(vio_poller_opts, o, .engine = VIO_POLL_EPOLL, .log = log_it);
	static char all[1 << 20];
	struct replayed done = { 0 };
	struct vio_backend *b;
	struct vio_poller *p;
	struct vio_req *r;
	struct way recv;
	char arg[128];

	memcpy(all, good, sizeof(good));
	memcpy(all + sizeof(good), records, len);
	file_is(all, sizeof(good) + len);
	said[0] = 0;
	snprintf(arg, sizeof(arg), "%s,mode=replay%s", path, options);
	assert_int_equal(vio_poller_new(&p, &o), 0);
	assert_int_equal(vio_backend_new(&b, vio_backend_find("pcap"), NULL, NULL, arg), 0);
	recv = way_open(b, p, 0, true, 2048);
	way_post(&recv, 100, VIO_RECV_MERGE, 0);
	for (; done.frames < 1000 && vio_lane_reap(recv.lane, &r, 1); vio_req_put(recv.pool, r)) {
		done.frames += r->res > 0;
		if (vio_lane_room(recv.lane) > 1024 - 50)
			way_post(&recv, 50, VIO_RECV_MERGE, 0);
	}
	done.malformed = counter_of(b, "dropped_malformed");
	done.truncated = counter_of(b, "dropped_truncated");
	way_close(&recv);
	vio_backend_free(b);
	vio_poller_free(p);
	return done;
}

static size_t record(char *to, uint32_t captured, uint32_t length, size_t bytes)
{
	const uint32_t h[4] = { 1, 2, captured, length };

	memcpy(to, h, sizeof(h));
	memset(to + sizeof(h), 0x55, bytes);
	return sizeof(h) + bytes;
}

static void records_that_lie(void **state)
{
	static char f[1 << 19];
	struct replayed done;
	size_t n, bad;

	(void)state;
	n = record(f, 60, 60, 60);
	bad = n + record(f + n, 0xffffffff, 60, 60);
	done = replay(f, bad, "");
	assert_int_equal(done.frames, 1);
	assert_non_null(strstr(said, "4294967295 bytes"));
	bad = n + record(f + n, 262145, 262145, 262145);
	assert_int_equal(replay(f, bad, "").frames, 1);
	assert_non_null(strstr(said, "262145"));

	/* Passed over: too long for a frame, too short for one, cut by whoever captured it. */
	bad = n + record(f + n, 65551, 65551, 65551);
	bad += record(f + bad, 13, 13, 13);
	bad += record(f + bad, 0, 0, 0);
	bad += record(f + bad, 60, 59, 60);
	bad += record(f + bad, 96, 1500, 96);
	bad += record(f + bad, 60, 60, 60);
	done = replay(f, bad, "");
	assert_int_equal(done.frames, 2);
	assert_int_equal(done.malformed, 4);
	assert_int_equal(done.truncated, 1);
	assert_string_equal(said, "");
}

static void files_that_end_too_early(void **state)
{
	static char f[4096];
	size_t n = record(f, 60, 60, 60), all = n + record(f + n, 1000, 1000, 1000);

	(void)state;
	for (size_t len = 0; len <= all; len += len < 100 ? 1 : 53)
		assert_int_equal(replay(f, len, "").frames, (len >= n) + (len >= all));
	assert_int_equal(replay(f, all, "").frames, 2);
}

/* Going round for ever, with nothing to give. */
static void loops_without_frames(void **state)
{
	static char f[1 << 16];
	size_t n = 0;

	(void)state;
	assert_int_equal(replay(f, 0, ",loop=on").frames, 0);
	n = record(f, 10, 10, 10);
	assert_int_equal(replay(f, n, ",loop=on").frames, 0);
	for (n = 0; n + 16 < sizeof(f);)
		n += record(f + n, 0, 0, 0);
	assert_int_equal(replay(f, n, "").frames, 0);
	assert_non_null(strstr(said, "in a row"));
	n = record(f, 60, 60, 60);
	assert_int_equal(replay(f, n, ",loop=on").frames, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_captures),
		cmocka_unit_test(wrong_arguments),
		cmocka_unit_test(one_writer),
		cmocka_unit_test(records_that_lie),
		cmocka_unit_test(files_that_end_too_early),
		cmocka_unit_test(loops_without_frames),
	};
	int failed;

	snprintf(path, sizeof(path), "/tmp/vio-pcap-bad-%d", (int)getpid());
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	return failed;
}
