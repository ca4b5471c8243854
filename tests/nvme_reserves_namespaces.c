/* SPDX-License-Identifier: MIT */
/* Reservations: what each type lets each host do, how they change hands, who is told, and what outlives a
 * restart. */
#include "nvme_host.h"

#include <fcntl.h>
#include <sys/stat.h>

#define DNR NVME_SC_DNR
#define CONFLICT (NVME_SC_RESERVATION_CONFLICT | DNR)
#define INVALID (NVME_SC_INVALID_FIELD | DNR)
#define HOSTS 3u
#define KEY(i) (0x1111u * ((i) + 1))

enum { REGISTER, UNREGISTER, REPLACE };
enum { ACQUIRE, PREEMPT, PREEMPT_AND_ABORT };
enum { RELEASE, CLEAR };
enum { WE = 1, EA, WERO, EARO, WEAR, EAAR };

static struct target t;
static struct node {
	struct host admin, io, io2;
	uint16_t cntlid;
} node[HOSTS];
static char directory[64], path[96], data[8192];

static void join(unsigned i)
{
	struct host_who w = { .cntlid = UINT16_MAX, .sqsize = 31, .hostid = (uint8_t)(i + 1) };
	struct node *n = &node[i];

	host_dial(&n->admin, &t);
	host_greet(&n->admin, 0);
	assert_int_equal(host_connect(&n->admin, &w), 0);
	n->cntlid = w.cntlid = (uint16_t)n->admin.result;
	host_enable(&n->admin);
	for (w.qid = 1; w.qid < 3; w.qid++) {
		struct host *h = w.qid == 1 ? &n->io : &n->io2;

		host_dial(h, &t);
		host_greet(h, 0);
		assert_int_equal(host_connect(h, &w), 0);
	}
}

static void leave(unsigned i)
{
	host_hang_up(&node[i].io);
	host_hang_up(&node[i].io2);
	host_hang_up(&node[i].admin);
}

static int add_disk(void)
{
	VIO_OPTS(vio_nvme_ns_opts, o, .reservations = path);
	struct vio_backend *b;
	int nsid;

	assert_int_equal(vio_backend_parse(&b, NULL, "ram:1M"), 0);
	nsid = vio_nvme_ns_add(t.s, b, &o);
	vio_backend_free(b);
	return nsid;
}

static void start(void)
{
	target_start(&t, 3, VIO_POLL_AUTO, NULL, NULL);
	assert_int_equal(add_disk(), 1);
	for (unsigned i = 0; i < HOSTS; i++)
		join(i);
}

static void stop(void)
{
	for (unsigned i = 0; i < HOSTS; i++)
		leave(i);
	target_stop(&t);
}

static int open_all(void **state)
{
	(void)state;
	strcpy(directory, "/tmp/nvme_reserves.XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/ns1", directory);
	start();
	assert_int_equal(target_add(&t, "ram:1M"), 2);
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	stop();
	unlink(path);
	return rmdir(directory);
}

static uint16_t resv(unsigned i, uint8_t opcode, uint32_t nsid, uint32_t cdw10, uint64_t a, uint64_t b)
{
	struct nvme_cmd c = { .opcode = opcode, .nsid = nsid, .cdw10 = cdw10 };
	uint64_t keys[2] = { a, b };

	return host_put(&node[i].io, &c, keys, opcode == nvme_cmd_resv_release ? 8 : 16);
}

static uint16_t enroll(unsigned i)
{
	return resv(i, nvme_cmd_resv_register, 1, REGISTER, 0, KEY(i));
}

static uint16_t acquire(unsigned i, unsigned action, unsigned type, uint64_t other)
{
	return resv(i, nvme_cmd_resv_acquire, 1, action | type << 8, KEY(i), other);
}

static uint16_t release(unsigned i, unsigned action, unsigned type)
{
	return resv(i, nvme_cmd_resv_release, 1, action | type << 8, KEY(i), 0);
}

/* Nobody is registered. */
static void wipe(void)
{
	for (unsigned i = 0; i < HOSTS; i++)
		enroll(i);
	assert_int_equal(release(0, CLEAR, 0), 0);
	for (unsigned i = 0; i < HOSTS; i++) { /* what was told of it is read */
		struct nvme_cmd c = { .opcode = nvme_admin_get_log_page,
				      .cdw10 = NVME_LOG_LID_RESERVATION | 15u << 16 };
		struct nvme_resv_notification_log log;

		do
			assert_int_equal(host_get(&node[i].admin, &c, &log, sizeof(log)), 0);
		while (log.rnlpt);
	}
}

static struct nvme_resv_status *report(unsigned i)
{
	struct nvme_cmd c = { .opcode = nvme_cmd_resv_report, .nsid = 1, .cdw10 = 1023, .cdw11 = 1 };

	assert_int_equal(host_get(&node[i].io, &c, data, 4096), 0);
	return (struct nvme_resv_status *)data;
}

static unsigned registered(const struct nvme_resv_status *s)
{
	return s->regctl[0] | s->regctl[1] << 8;
}

static uint16_t try(unsigned i, uint8_t opcode)
{
	static const struct nvme_dsm_range dsm = { .nlb = 1 };
	static const struct nvme_copy_range range = { .slba = 8 };
	struct nvme_cmd c = host_rw(opcode, 1, 0, 512);
	struct host *h = &node[i].io2;

	switch (opcode) {
	case nvme_cmd_read:
		return host_get(h, &c, data, 512);
	case nvme_cmd_write:
	case nvme_cmd_compare:
		memset(data, 0, 512);
		return host_put(h, &c, data, 512);
	case nvme_cmd_dsm:
		c = (struct nvme_cmd){ .opcode = opcode, .nsid = 1, .cdw11 = 4 };
		return host_put(h, &c, &dsm, sizeof(dsm));
	case nvme_cmd_copy:
		c = (struct nvme_cmd){ .opcode = opcode, .nsid = 1 };
		return host_put(h, &c, &range, sizeof(range));
	default:
		return host_do(h, &c);
	}
}

/* Base 2.0, 8.19: who may do what, by type: the holder, another registrant, another host. */
static const struct {
	uint8_t type;
	bool read[3], write[3];
} matrix[] = {
	{ WE, { true, true, true }, { true, false, false } },
	{ EA, { true, false, false }, { true, false, false } },
	{ WERO, { true, true, true }, { true, true, false } },
	{ EARO, { true, true, false }, { true, true, false } },
	{ WEAR, { true, true, true }, { true, true, false } },
	{ EAAR, { true, true, false }, { true, true, false } },
};

static void each_type_lets_in_whom_it_says(void **state)
{
	static const uint8_t reads[] = { nvme_cmd_read, nvme_cmd_compare, nvme_cmd_verify };
	static const uint8_t writes[] = { nvme_cmd_write_uncor, nvme_cmd_write, nvme_cmd_write_zeroes,
					  nvme_cmd_dsm,		nvme_cmd_copy,	nvme_cmd_flush };

	(void)state;
	for (unsigned m = 0; m < sizeof(matrix) / sizeof(matrix[0]); m++) {
		wipe();
		assert_int_equal(enroll(0), 0);
		assert_int_equal(enroll(1), 0);
		for (unsigned i = 0; i < HOSTS; i++) { /* nothing is reserved yet */
			assert_int_equal(try(i, nvme_cmd_write), 0);
			assert_int_equal(try(i, nvme_cmd_read), 0);
		}
		assert_int_equal(acquire(0, ACQUIRE, matrix[m].type, 0), 0);
		for (unsigned i = 0; i < HOSTS; i++) {
			for (unsigned k = 0; k < sizeof(writes); k++)
				assert_int_equal(try(i, writes[k]), matrix[m].write[i] ? 0 : CONFLICT);
			for (unsigned k = 0; k < sizeof(reads); k++)
				assert_int_equal(try(i, reads[k]), matrix[m].read[i] ? 0 : CONFLICT);
		}
		assert_int_equal(report(2)->rtype, matrix[m].type);
		assert_int_equal(release(0, RELEASE, matrix[m].type), 0);
		assert_int_equal(try(2, nvme_cmd_write), 0);
	}
}

static void fused_commands_are_asked_too(void **state)
{
	struct nvme_cmd c = host_rw(nvme_cmd_compare, 1, 0, 512), w = host_rw(nvme_cmd_write, 1, 0, 512);
	uint16_t first;

	(void)state;
	wipe();
	assert_int_equal(enroll(0), 0);
	assert_int_equal(acquire(0, ACQUIRE, WE, 0), 0);
	memset(data, 0, 512);
	c.flags = 1;
	w.flags = 2;
	first = host_send(&node[1].io, &c, data, 512);
	host_send(&node[1].io, &w, data, 512);
	assert_int_equal(host_finish(&node[1].io, first, NULL, NULL), NVME_SC_FUSED_FAIL);
	assert_int_equal(host_finish(&node[1].io, (uint16_t)(first + 1), NULL, NULL), CONFLICT);
}

static void keys_have_to_be_right(void **state)
{
	uint32_t gen;

	(void)state;
	wipe();
	gen = report(0)->gen;
	assert_int_equal(acquire(0, ACQUIRE, WE, 0), CONFLICT); /* not registered */
	assert_int_equal(release(0, RELEASE, WE), CONFLICT);
	assert_int_equal(resv(0, nvme_cmd_resv_register, 1, UNREGISTER, KEY(0), 0), CONFLICT);
	assert_int_equal(enroll(0), 0);
	assert_int_equal(enroll(0), 0); /* the same again */
	assert_int_equal(resv(0, nvme_cmd_resv_register, 1, REGISTER, 0, 77), CONFLICT);
	assert_int_equal(resv(0, nvme_cmd_resv_acquire, 1, ACQUIRE | WE << 8, 77, 0), CONFLICT);
	assert_int_equal(resv(0, nvme_cmd_resv_register, 1, REPLACE, 77, 78), CONFLICT);
	assert_int_equal(resv(0, nvme_cmd_resv_register, 1, REPLACE, KEY(0), 78), 0);
	assert_int_equal(resv(0, nvme_cmd_resv_register, 1, REPLACE | 8, 5, KEY(0)), 0); /* whatever it was */
	assert_int_equal(resv(0, nvme_cmd_resv_register, 1, UNREGISTER, 77, 0), CONFLICT);
	assert_int_equal(resv(0, nvme_cmd_resv_register, 1, UNREGISTER | 8, 77, 0), 0);
	assert_true(report(0)->gen > gen);
	assert_int_equal(registered(report(0)), 0);
}

static void fields_have_to_be_right(void **state)
{
	struct nvme_cmd c = { .opcode = nvme_cmd_resv_report, .nsid = 1, .cdw10 = 1023 };

	(void)state;
	wipe();
	assert_int_equal(enroll(0), 0);
	assert_int_equal(resv(0, nvme_cmd_resv_register, 1, 3, KEY(0), 1), INVALID);
	assert_int_equal(resv(0, nvme_cmd_resv_register, 1, 1u << 30, 0, KEY(0)), INVALID);
	assert_int_equal(acquire(0, 3, WE, 0), INVALID);
	assert_int_equal(acquire(0, ACQUIRE, 0, 0), INVALID);
	assert_int_equal(acquire(0, ACQUIRE, 7, 0), INVALID);
	assert_int_equal(acquire(0, ACQUIRE | 8, WE, 0), INVALID);
	assert_int_equal(release(0, 2, WE), INVALID);
	assert_int_equal(release(0, RELEASE | 8, WE), INVALID);
	assert_int_equal(acquire(0, PREEMPT, WE, 0), INVALID); /* of key 0, and nobody holds it */
	assert_int_equal(acquire(0, PREEMPT, WE, 77), CONFLICT);
	assert_int_equal(host_get(&node[0].io, &c, data, 4096), NVME_SC_HOSTID_FORMAT | DNR);
	c.cdw10 = UINT32_MAX;
	c.cdw11 = 1;
	assert_int_equal(host_get(&node[0].io, &c, data, 4096), NVME_SC_SGL_INVALID_DATA | DNR);
	c.opcode = nvme_cmd_resv_acquire;
	assert_int_equal(host_do(&node[0].io, &c), NVME_SC_SGL_INVALID_DATA | DNR);
	/* The other namespace has no file: nothing of it outlives the process. */
	assert_int_equal(resv(0, nvme_cmd_resv_register, 2, 3u << 30, 0, 1), INVALID);
	assert_int_equal(resv(0, nvme_cmd_resv_register, 2, 2u << 30, 0, 1), 0);
	assert_int_equal(resv(0, nvme_cmd_resv_acquire, 2, WE << 8, 1, 0), 0);
	assert_int_equal(resv(0, nvme_cmd_resv_release, 2, CLEAR, 1, 0), 0);
}

static void it_has_one_holder(void **state)
{
	(void)state;
	wipe();
	assert_int_equal(enroll(0), 0);
	assert_int_equal(enroll(1), 0);
	assert_int_equal(acquire(0, ACQUIRE, WE, 0), 0);
	assert_int_equal(acquire(0, ACQUIRE, WE, 0), 0);
	assert_int_equal(acquire(0, ACQUIRE, EA, 0), CONFLICT);
	assert_int_equal(acquire(1, ACQUIRE, WE, 0), CONFLICT);
	assert_int_equal(release(1, RELEASE, WE), 0); /* which is not its own: nothing happens */
	assert_int_equal(report(0)->rtype, WE);
	assert_int_equal(release(0, RELEASE, EA), INVALID);
	assert_int_equal(resv(0, nvme_cmd_resv_register, 1, UNREGISTER, KEY(0), 0), 0);
	assert_int_equal(report(0)->rtype, 0);
	assert_int_equal(acquire(1, ACQUIRE, WEAR, 0), 0);
	assert_int_equal(enroll(2), 0);
	assert_int_equal(acquire(2, ACQUIRE, WEAR, 0), 0); /* all registrants hold it */
	assert_int_equal(resv(1, nvme_cmd_resv_register, 1, UNREGISTER, KEY(1), 0), 0);
	assert_int_equal(report(0)->rtype, WEAR);
	assert_int_equal(resv(2, nvme_cmd_resv_register, 1, UNREGISTER, KEY(2), 0), 0);
	assert_int_equal(report(0)->rtype, 0); /* its last */
}

static void reports_show_all(void **state)
{
	struct nvme_resv_status *s;

	(void)state;
	wipe();
	assert_int_equal(enroll(0), 0);
	assert_int_equal(enroll(1), 0);
	assert_int_equal(acquire(1, ACQUIRE, EA, 0), 0);
	s = report(2);
	assert_int_equal(registered(s), 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(s->regctl_eds[i].cntlid, node[i].cntlid);
		assert_int_equal(s->regctl_eds[i].rcsts, i);
		assert_int_equal(s->regctl_eds[i].rkey, KEY(i));
		assert_memory_equal(s->regctl_eds[i].hostid, ((uint8_t[16]){ 1, 2, 3, (uint8_t)(i + 1) }),
				    16);
	}
	leave(1); /* registered it stays */
	do
		s = report(2);
	while (s->regctl_eds[1].cntlid != UINT16_MAX);
	assert_int_equal(registered(s), 2);
	assert_int_equal(try(2, nvme_cmd_read), CONFLICT);
	join(1);
	assert_int_equal(try(1, nvme_cmd_write), 0);
}

static struct nvme_resv_notification_log notice(unsigned i)
{
	struct nvme_cmd c = { .opcode = nvme_admin_get_log_page,
			      .cdw10 = NVME_LOG_LID_RESERVATION | 15u << 16 };
	struct nvme_resv_notification_log log;

	assert_int_equal(host_get(&node[i].admin, &c, &log, sizeof(log)), 0);
	return log;
}

static void preempting_takes_and_tells(void **state)
{
	struct nvme_cmd aer = { .opcode = nvme_admin_async_event };
	struct nvme_resv_notification_log n;
	uint16_t cid;

	(void)state;
	wipe();
	cid = host_send(&node[0].admin, &aer, NULL, 0);
	for (unsigned i = 0; i < HOSTS; i++)
		assert_int_equal(enroll(i), 0);
	assert_int_equal(acquire(0, ACQUIRE, WE, 0), 0);
	assert_int_equal(acquire(1, PREEMPT, EARO, KEY(0)), 0);
	assert_int_equal(host_finish(&node[0].admin, cid, NULL, NULL), 0);
	assert_int_equal(node[0].admin.result, 6 | 0x80 << 16);
	n = notice(0);
	assert_int_equal(n.rnlpt, NVME_RESV_NOTIFY_RNLPT_REGISTRATION_PREEMPTED);
	assert_int_equal(n.nsid, 1);
	assert_int_equal(n.nalp, 1);
	assert_int_equal(notice(0).rnlpt, NVME_RESV_NOTIFY_RNLPT_RESERVATION_PREEMPTED);
	assert_int_equal(notice(0).rnlpt, 0);
	assert_int_equal(notice(1).rnlpt, 0);
	assert_int_equal(notice(2).rnlpt, NVME_RESV_NOTIFY_RNLPT_RESERVATION_RELEASED); /* of the old type */
	assert_int_equal(registered(report(0)), 2);
	assert_int_equal(try(0, nvme_cmd_read), CONFLICT);
	assert_int_equal(try(2, nvme_cmd_write), 0);
	assert_int_equal(acquire(1, PREEMPT, EARO, KEY(2)), 0); /* a registrant that holds nothing */
	assert_int_equal(notice(2).rnlpt, NVME_RESV_NOTIFY_RNLPT_REGISTRATION_PREEMPTED);
	assert_int_equal(try(2, nvme_cmd_write), CONFLICT);
	assert_int_equal(report(0)->rtype, EARO);
	assert_int_equal(enroll(2), 0);
	assert_int_equal(release(1, RELEASE, EARO), 0);
	assert_int_equal(notice(2).rnlpt, NVME_RESV_NOTIFY_RNLPT_RESERVATION_RELEASED);
	assert_int_equal(acquire(1, ACQUIRE, WEAR, 0), 0);
	assert_int_equal(acquire(2, PREEMPT, EA, 0), 0); /* all others of a type that all hold */
	assert_int_equal(registered(report(0)), 1);
	assert_int_equal(report(0)->rtype, EA);
	assert_int_equal(enroll(0), 0);
	assert_int_equal(release(0, CLEAR, 0), 0);
	notice(2);
	assert_int_equal(registered(report(0)), 0);
}

static void masks_are_kept(void **state)
{
	struct nvme_cmd c = {
		.opcode = nvme_admin_set_features, .nsid = 1, .cdw10 = NVME_FEAT_FID_RESV_MASK, .cdw11 = 0xe
	};

	(void)state;
	wipe();
	assert_int_equal(host_do(&node[0].admin, &c), 0);
	c.opcode = nvme_admin_get_features;
	assert_int_equal(host_do(&node[0].admin, &c), 0);
	assert_int_equal(node[0].admin.result, 0xe);
	assert_int_equal(enroll(0), 0);
	assert_int_equal(enroll(1), 0);
	assert_int_equal(release(1, CLEAR, 0), 0);
	assert_int_equal(notice(0).rnlpt, 0);
	c.nsid = 200;
	assert_int_equal(host_do(&node[0].admin, &c), NVME_SC_INVALID_NS | DNR);
	c = (struct nvme_cmd){ .opcode = nvme_admin_set_features,
			       .nsid = NVME_NSID_ALL,
			       .cdw10 = NVME_FEAT_FID_RESV_MASK };
	assert_int_equal(host_do(&node[0].admin, &c), 0);
	assert_int_equal(enroll(0), 0);
	for (unsigned i = 0; i < 40; i++) { /* more than the queue holds: the newest stay */
		assert_int_equal(enroll(0), 0);
		assert_int_equal(enroll(1), 0);
		assert_int_equal(release(1, CLEAR, 0), 0);
	}
	assert_int_equal(notice(0).nalp, 15);
}

struct writer {
	pthread_t thread;
	unsigned i;
	uint16_t last;
};

static void *write_on(void *arg)
{
	struct writer *w = arg;

	do
		w->last = try(w->i, nvme_cmd_flush);
	while (!w->last);
	return NULL;
}

/* When it is answered, nothing of the other host is under way any more, and nothing begins. */
static void preempt_and_abort_ends_what_is_under_way(void **state)
{
	struct writer w = { .i = 0 };

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		wipe();
		assert_int_equal(enroll(0), 0);
		assert_int_equal(enroll(1), 0);
		assert_int_equal(acquire(0, ACQUIRE, EA, 0), 0);
		assert_int_equal(pthread_create(&w.thread, NULL, write_on, &w), 0);
		assert_int_equal(acquire(1, PREEMPT_AND_ABORT, EA, KEY(0)), 0);
		pthread_join(w.thread, NULL);
		assert_true(w.last == CONFLICT || w.last == NVME_SC_CMD_ABORTED_PREMEPT);
	}
}

static void what_persists_outlives_a_restart(void **state)
{
	struct nvme_cmd c = {
		.opcode = nvme_admin_set_features, .nsid = 1, .cdw10 = NVME_FEAT_FID_RESV_PERSIST, .cdw11 = 1
	};
	struct nvme_resv_status *s;
	uint32_t gen;

	(void)state;
	wipe();
	assert_int_equal(host_do(&node[0].admin, &c), 0);
	assert_int_equal(enroll(0), 0);
	assert_int_equal(enroll(1), 0);
	assert_int_equal(acquire(1, ACQUIRE, EA, 0), 0);
	gen = report(0)->gen;
	stop();
	start();
	s = report(0);
	assert_int_equal(s->gen, gen);
	assert_int_equal(s->rtype, EA);
	assert_int_equal(s->ptpls, 1);
	assert_int_equal(registered(s), 2);
	assert_int_equal(try(0, nvme_cmd_read), CONFLICT);
	assert_int_equal(try(1, nvme_cmd_write), 0);
	assert_int_equal(resv(0, nvme_cmd_resv_register, 1, REPLACE | 2u << 30, KEY(0), KEY(0)),
			 0); /* no more */
	stop();
	start();
	s = report(0);
	assert_int_equal(s->rtype, 0);
	assert_int_equal(s->ptpls, 0);
	assert_int_equal(registered(s), 0);
	assert_int_equal(target_add(&t, "ram:1M"), 2);
}

static void put_file(const char *name, const void *bytes, size_t n)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, bytes, n), n);
	close(fd);
}

static size_t get_file(const char *name, char *bytes, size_t max)
{
	int fd = open(name, O_RDONLY);
	ssize_t n = read(fd, bytes, max);

	close(fd);
	assert_true(n > 0);
	return (size_t)n;
}

/* Between any two steps of replacing it the old file or the new one is there; a file that is neither is told
 * of. */
static void files_are_whole_or_refused(void **state)
{
	static char old[8192], new[8192];
	char next[128];
	size_t n;

	(void)state;
	wipe();
	snprintf(next, sizeof(next), "%s.new", path);
	assert_int_equal(resv(0, nvme_cmd_resv_register, 1, REGISTER | 3u << 30, 0, KEY(0)), 0);
	n = get_file(path, old, sizeof(old));
	assert_int_equal(acquire(0, ACQUIRE, WE, 0), 0);
	assert_int_equal(get_file(path, new, sizeof(new)), n);
	assert_memory_not_equal(old, new, n);
	assert_int_equal(access(next, F_OK), -1);
	assert_int_equal(add_disk(), -EBUSY); /* another namespace with the same file */

	for (unsigned step = 0; step < 4; step++) {
		assert_int_equal(vio_nvme_ns_remove(t.s, 1), 0);
		put_file(path, old, n);
		if (step < 3) /* killed while it was written, before that, or before it was renamed */
			put_file(next, new, n * step / 2);
		else
			put_file(path, new, n); /* after that */
		assert_int_equal(add_disk(), 1);
		assert_int_equal(report(1)->rtype, step == 3 ? WE : 0);
		assert_int_equal(registered(report(1)), 1);
		unlink(next);
	}
	assert_int_equal(vio_nvme_ns_remove(t.s, 1), 0);
	for (size_t cut = 0; cut < n; cut += 97) {
		put_file(path, new, cut);
		assert_int_equal(add_disk(), -EBADMSG);
	}
	assert_non_null(strstr(vio_errmsg(), "damaged"));
	put_file(path, new, n + 1);
	assert_int_equal(add_disk(), -EBADMSG);
	for (size_t at = 0; at < n; at += 31) {
		put_file(path, new, n);
		new[at] ^= 4;
		put_file(path, new, n);
		assert_int_equal(add_disk(), -EBADMSG);
		new[at] ^= 4;
	}
	put_file(path, new, n);
	assert_int_equal(add_disk(), 1);
	wipe();
}

/* It can't be kept: then it is not done. */
static void a_change_that_cannot_be_kept_is_none(void **state)
{
	char next[128];

	(void)state;
	wipe();
	snprintf(next, sizeof(next), "%s.new", path);
	assert_int_equal(resv(0, nvme_cmd_resv_register, 1, REGISTER | 3u << 30, 0, KEY(0)), 0);
	assert_int_equal(mkdir(next, 0700), 0);
	assert_int_equal(acquire(0, ACQUIRE, EA, 0), NVME_SC_INTERNAL);
	assert_int_equal(report(0)->rtype, 0);
	assert_int_equal(try(1, nvme_cmd_write), 0);
	assert_int_equal(rmdir(next), 0);
	assert_int_equal(acquire(0, ACQUIRE, EA, 0), 0);
	assert_int_equal(try(1, nvme_cmd_write), CONFLICT);
	wipe();
}

static void it_says_so(void **state)
{
	struct nvme_cmd c = { .opcode = nvme_admin_identify, .cdw10 = NVME_IDENTIFY_CNS_CTRL };
	struct nvme_id_ctrl id;
	struct nvme_id_ns ns;

	(void)state;
	assert_int_equal(host_get(&node[0].admin, &c, &id, sizeof(id)), 0);
	assert_true(id.oncs & 1u << 5);
	assert_true(id.ctratt & 1);
	c.cdw10 = NVME_IDENTIFY_CNS_NS;
	c.nsid = 1;
	assert_int_equal(host_get(&node[0].admin, &c, &ns, sizeof(ns)), 0);
	assert_int_equal(ns.rescap, 0xff);
	c.nsid = 2;
	assert_int_equal(host_get(&node[0].admin, &c, &ns, sizeof(ns)), 0);
	assert_int_equal(ns.rescap, 0xfe);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_type_lets_in_whom_it_says),
		cmocka_unit_test(fused_commands_are_asked_too),
		cmocka_unit_test(keys_have_to_be_right),
		cmocka_unit_test(fields_have_to_be_right),
		cmocka_unit_test(it_has_one_holder),
		cmocka_unit_test(reports_show_all),
		cmocka_unit_test(preempting_takes_and_tells),
		cmocka_unit_test(masks_are_kept),
		cmocka_unit_test(preempt_and_abort_ends_what_is_under_way),
		cmocka_unit_test(what_persists_outlives_a_restart),
		cmocka_unit_test(files_are_whole_or_refused),
		cmocka_unit_test(a_change_that_cannot_be_kept_is_none),
		cmocka_unit_test(it_says_so),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
