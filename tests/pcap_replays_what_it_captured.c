/* SPDX-License-Identifier: MIT */
/* Frames that are sent are in the file as any reader of the format finds them, and come out of it again. */
#include "port.h"

#include <byteswap.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/base.h"

#define FRAMES 300u
#define RECV_BYTES 1500u

static char path[] = "/tmp/vio-pcap-XXXXXX";
static char data[FRAMES + 65550];

/* As the format has it, known here apart from the library. */
struct file_header {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, sigfigs, snaplen, linktype;
};
struct record {
	uint32_t sec, nsec, captured, length;
};

static size_t frame_len(unsigned i)
{
	return i == 7 ? 65550 : 14 + i * 37 % 3000;
}

static struct vio_backend *pcap(const char *options)
{
	struct vio_backend *b;
	char arg[128];

	snprintf(arg, sizeof(arg), "%s%s", path, options);
	if (vio_backend_new(&b, vio_backend_find("pcap"), NULL, NULL, arg))
		fail_msg("%s", vio_errmsg());
	return b;
}

static struct vio_poller *poller(void)
{
	return poller_of(VIO_POLL_EPOLL, VIO_POLL_EVENT);
}

static void capture(const char *options, unsigned frames)
{
	struct vio_poller *p = poller();
	struct vio_backend *b = pcap(options);
	struct way send = way_open(b, p, 0, false, 64);

	for (unsigned i = 0; i < frames; i++)
		way_send(&send, p, data + i, frame_len(i), 0, NULL);
	assert_int_equal(counter_of(b, "sent"), frames);
	way_close(&send);
	vio_backend_free(b);
	vio_poller_free(p);
}

static void the_file_is_what_others_read(void **state)
{
	struct file_header h;
	struct record rec;
	struct timespec now;
	char frame[65550];
	FILE *f;

	(void)state;
	capture("", FRAMES);
	f = fopen(path, "rb");
	assert_int_equal(fread(&h, sizeof(h), 1, f), 1);
	assert_int_equal(h.magic, 0xa1b23c4d);
	assert_int_equal(h.major, 2);
	assert_int_equal(h.minor, 4);
	assert_int_equal(h.linktype, 1);
	clock_gettime(CLOCK_REALTIME, &now);
	for (unsigned i = 0; i < FRAMES; i++) {
		assert_int_equal(fread(&rec, sizeof(rec), 1, f), 1);
		assert_int_equal(rec.captured, frame_len(i));
		assert_int_equal(rec.length, frame_len(i));
		assert_true(rec.nsec < 1000000000 && (time_t)rec.sec <= now.tv_sec &&
			    (time_t)rec.sec > now.tv_sec - 600);
		assert_true(rec.length <= h.snaplen);
		assert_int_equal(fread(frame, rec.captured, 1, f), 1);
		assert_memory_equal(frame, data + i, rec.captured);
	}
	assert_int_equal(fgetc(f), EOF);
	fclose(f);
}

/* The next `frames` frames out of b are the file's. */
static void expect(struct way *recv, struct vio_poller *p, unsigned frames, uint8_t flags)
{
	static char frame[65550];
	struct vio_offload o;
	uint8_t got;

	for (unsigned i = 0; i < frames; i++) {
		unsigned missing = vio_lane_room(recv->lane) - (1024 - 100);

		way_post(recv, missing, flags, 12);
		assert_int_equal(way_recv(recv, p, frame, &got, &o), frame_len(i));
		assert_memory_equal(frame, data + i, frame_len(i));
		assert_int_equal(got, 0);
	}
}

static void replay(const char *options, unsigned rounds)
{
	struct vio_poller *p = poller();
	struct vio_backend *b = pcap(options);
	struct way recv = way_open(b, p, 0, true, RECV_BYTES), send = way_open(b, p, 0, false, 64);
	struct vio_req *r;

	for (unsigned i = 0; i < rounds; i++)
		expect(&recv, p, FRAMES, VIO_RECV_MERGE);
	assert_int_equal(counter_of(b, "received"), rounds * FRAMES);
	way_send(&send, p, data, 60, 0, NULL);
	assert_int_equal(counter_of(b, "dropped_replay"), 1);
	if (rounds == 1) {
		assert_int_equal(vio_lane_reap(recv.lane, &r, 1), 0); /* it has ended */
		assert_true(way_recall(&recv) > 0);
	}
	way_close(&send);
	way_close(&recv);
	vio_backend_free(b);
	vio_poller_free(p);
}

static void it_comes_out_as_it_went_in(void **state)
{
	(void)state;
	capture("", FRAMES);
	replay(",mode=replay", 1);
	replay(",mode=replay,loop=on", 3);
}

/* Turns the file's numbers round, and its nanoseconds into microseconds: an older tool's, on another machine.
 */
static void other_byte_order(void **state)
{
	FILE *f = fopen(path, "r+b");
	uint32_t v[6];
	long at = 0;

	(void)state;
	capture("", FRAMES);
	assert_int_equal(fread(v, sizeof(v), 1, f), 1);
	v[0] = bswap_32(0xa1b2c3d4);
	v[1] = bswap_32(2u << 16 | 4);
	v[5] = bswap_32(1);
	assert_int_equal(fseek(f, 0, SEEK_SET), 0);
	assert_int_equal(fwrite(v, sizeof(v), 1, f), 1);
	for (unsigned i = 0; i < FRAMES; i++) {
		at = ftell(f);
		assert_int_equal(fseek(f, at, SEEK_SET), 0);
		assert_int_equal(fread(v, 16, 1, f), 1);
		for (unsigned k = 0; k < 4; k++)
			v[k] = bswap_32(v[k]);
		assert_int_equal(fseek(f, at, SEEK_SET), 0);
		assert_int_equal(fwrite(v, 16, 1, f), 1);
		assert_int_equal(fseek(f, (long)frame_len(i), SEEK_CUR), 0);
	}
	fclose(f);
	replay(",mode=replay", 1);
}

static void too_long_without_merge(void **state)
{
	struct vio_poller *p = poller();
	struct vio_backend *b;
	struct way recv;
	char frame[RECV_BYTES];
	struct vio_offload o;
	uint8_t flags;

	(void)state;
	capture("", 10);
	b = pcap(",mode=replay");
	recv = way_open(b, p, 0, true, RECV_BYTES);
	way_post(&recv, 20, 0, 12);
	for (unsigned i = 0; i < 10; i++)
		if (frame_len(i) <= RECV_BYTES - 12)
			assert_int_equal(way_recv(&recv, p, frame, &flags, &o), frame_len(i));
	assert_int_equal(counter_of(b, "dropped_too_long"), 1);
	assert_int_equal(way_recall(&recv), 11);
	way_close(&recv);
	vio_backend_free(b);
	vio_poller_free(p);
}

static void it_stops_at_its_limit(void **state)
{
	struct vio_poller *p = poller();
	struct vio_backend *b = pcap(",limit=4118");
	struct way send = way_open(b, p, 0, false, 64);
	struct stat st;

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		way_send(&send, p, data, 1000, 0, NULL);
	way_send(&send, p, data, 13, 0, NULL);
	way_send(&send, p, data, 14, 0, NULL); /* which fits still */
	assert_int_equal(counter_of(b, "sent"), 5);
	assert_int_equal(counter_of(b, "dropped_limit"), 6);
	assert_int_equal(counter_of(b, "dropped_malformed"), 1);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 24 + 4 * 1016 + 30);
	way_close(&send);
	vio_backend_free(b);
	vio_poller_free(p);
}

/* A write that ends amid a record leaves none of it, and the next one starts there. */
static void a_full_disk_cuts_no_record(void **state)
{
	struct rlimit old, small = { .rlim_cur = 24 + 2 * 1016 + 500 };
	struct vio_poller *p = poller();
	struct vio_backend *b = pcap("");
	struct way send = way_open(b, p, 0, false, 64);
	struct stat st;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small.rlim_max = old.rlim_max;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (unsigned i = 0; i < 5; i++)
		way_send(&send, p, data + i, 1000, 0, NULL);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(counter_of(b, "sent"), 2);
	assert_int_equal(counter_of(b, "dropped_full"), 3);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 24 + 2 * 1016);
	way_send(&send, p, data, 1000, 0, NULL);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 24 + 3 * 1016);
	way_close(&send);
	vio_backend_free(b);
	vio_poller_free(p);
}

/* One batch, more entries than one write takes. */
static void a_batch_of_many_pieces(void **state)
{
	struct vio_poller *p = poller();
	struct vio_backend *b = pcap("");
	VIO_OPTS(vio_lane_opts, o, .pair = 0);
	struct vio_req *r[200];
	struct vio_req_pool *pool;
	struct vio_lane *l;
	struct stat st;

	(void)state;
	assert_int_equal(vio_lane_new(&l, b, p, &o), 0);
	assert_int_equal(vio_req_pool_new(&pool, l, 200, 30), 0);
	for (unsigned i = 0; i < 200; i++) {
		r[i] = vio_req_get(pool);
		r[i]->op = VIO_OP_SEND;
		r[i]->niov = 30;
		r[i]->len = 90;
		for (unsigned k = 0; k < 30; k++)
			r[i]->iov[k] = (struct iovec){ data + i + k * 3, 3 };
	}
	vio_lane_submit(l, r, 200);
	assert_int_equal(vio_lane_reap(l, r, 200), 200);
	for (unsigned i = 0; i < 200; i++)
		vio_req_put(pool, r[i]);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 24 + 200 * (16 + 90));
	assert_int_equal(counter_of(b, "sent_bytes"), 200 * 90);
	vio_req_pool_free(pool);
	vio_lane_free(l);
	vio_backend_free(b);
	vio_poller_free(p);
}

/* Python's and tcpdump's opinion is worth more than ours, where they are. */
static void tools_open_it(void **state)
{
	char line[128], command[256];
	unsigned lines = 0;
	FILE *f;

	(void)state;
	if (system("command -v tcpdump >/dev/null")) {
		print_message("no tcpdump here\n");
		skip();
	}
	capture("", 20);
	snprintf(command, sizeof(command), "tcpdump -n -r %s 2>&1", path);
	f = popen(command, "r");
	while (fgets(line, sizeof(line), f))
		lines += !!strchr(line, '.');
	assert_int_equal(pclose(f), 0);
	assert_true(lines >= 20);
}

static int files_gone(void **state)
{
	(void)state;
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_file_is_what_others_read),
		cmocka_unit_test(it_comes_out_as_it_went_in),
		cmocka_unit_test(other_byte_order),
		cmocka_unit_test(too_long_without_merge),
		cmocka_unit_test(it_stops_at_its_limit),
		cmocka_unit_test(a_batch_of_many_pieces),
		cmocka_unit_test(a_full_disk_cuts_no_record),
		cmocka_unit_test(tools_open_it),
	};
	int fd = mkstemp(path);

	if (fd < 0)
		return 1;
	close(fd);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 13 + (i >> 7));
	return cmocka_run_group_tests(tests, NULL, files_gone);
}
