/* SPDX-License-Identifier: MIT */
/*
 * A PCI controller that lies, falls silent, fails or vanishes: opening it says what is wrong; later it is
 * reset and what was under way is done again, or fails, each request once; and never is memory reached that
 * was not mapped.
 */
#include "disk_client.h"
#include "fake_drive.h"

#include <endian.h>

static struct fake_drive drive;
static struct client client;

static void refused(int rc, const char *why)
{
	struct vio_backend *b;
	int got = vio_backend_new(&b, fake_type(&drive), NULL, NULL, "0000:00:00.0");

	if (got != rc || !strstr(vio_errmsg(), why))
		fail_msg("%d: %s, expected %d and '%s'", got, got ? vio_errmsg() : "", rc, why);
	assert_int_equal(drive.closes, 1);
	assert_int_equal(drive.lost, 0);
	fake_stop(&drive);
	fake_start(&drive);
}

static void absurd_registers(void **state)
{
	(void)state;
	fake_start(&drive);
	drive.gone = true;
	refused(-ENODEV, "all ones");
	drive.cap &= ~0xffffull; /* MQES 0 */
	refused(-EPROTO, "queues of one entry");
	drive.cap |= 15ull << 32; /* DSTRD */
	refused(-EPROTO, "doorbells 131072 bytes apart");
	drive.cap |= 1ull << 48; /* MPSMIN */
	refused(-ENOTSUP, "smallest page has 8192 bytes");
	drive.cap |= 15ull << 48;
	refused(-ENOTSUP, "smallest page");
	drive.cap &= ~(0xffull << 37); /* CSS */
	refused(-ENOTSUP, "no NVM command set");
	drive.f.bar_size = 0x1008;
	refused(-EPROTO, "do not fit into a BAR of 4104 bytes");
	drive.f.bar_size = 16;
	refused(-EPROTO, "do not fit");
	drive.fails = true;
	refused(-EIO, "has failed");
	drive.cap &= ~(0xffull << 24); /* TO: half a second */
	drive.stuck = true;
	refused(-ETIMEDOUT, "ready in time");
	drive.cap &= ~(0xffull << 24);
	drive.cc = 1;
	drive.csts = 1;
	drive.stuck = true;
	refused(-ETIMEDOUT, "disabled in time");
	drive.f.nranges = 0;
	refused(-ENOSPC, "bus addresses");
	fake_stop(&drive);
}

static void absurd_namespaces(void **state)
{
	(void)state;
	fake_start(&drive);
	drive.ns.nsze = 0;
	refused(-ENODEV, "no namespace 1");
	drive.ns.lbaf[0].ds = 8;
	refused(-EPROTO, "2^8 bytes");
	drive.ns.lbaf[0].ds = 17;
	refused(-EPROTO, "2^17 bytes");
	drive.ns.lbaf[0].ds = 255;
	refused(-EPROTO, "2^255 bytes");
	drive.ns.nsze = UINT64_MAX;
	refused(-EPROTO, "less than 2^63");
	drive.ns.lbaf[0].ms = htole16(8);
	refused(-ENOTSUP, "8 bytes of metadata");
	drive.ctrl.cntrltype = 3;
	refused(-ENOTSUP, "no I/O controller");
	drive.ctrl.mdts = 1;
	drive.ns.lbaf[0].ds = 16;
	refused(-EPROTO, "no whole block");
	fake_stop(&drive);
}

static void open_with(const char *more)
{
	VIO_OPTS(vio_lane_opts, lo, 0);
	struct vio_mem_region r;
	char arg[64];

	fake_start(&drive);
	memset(&client, 0, sizeof(client));
	snprintf(arg, sizeof(arg), "0000:00:00.0%s", more);
	client_ok(vio_poller_new(&client.poller, NULL));
	client_ok(vio_mem_alloc(&client.mem, 0x1000, CLIENT_MEM));
	client_ok(vio_mem_get(client.mem, 0, &r));
	client.shared = r.ptr;
	client_ok(vio_backend_new(&client.backend, fake_type(&drive), NULL, NULL, arg));
	lo.mem = client.mem;
	client_ok(vio_lane_new(&client.lane, client.backend, client.poller, &lo));
	client_ok(vio_req_pool_new(&client.pool, client.lane, 64, 200));
}

static void close_it(void)
{
	client_close(&client);
	assert_int_equal(drive.closes, 1);
	assert_int_equal(drive.lost, 0);
	fake_stop(&drive);
}

/* Writes and reads back with 16 under way, while answers are tampered with. */
static void good_io(void)
{
	for (unsigned i = 0; i < 16; i++) {
		memset(client.shared + i * 8192, (int)i + 1, 8192);
		client_submit(&client,
			      client_req(&client, VIO_OP_WRITE, i * 8192, client.shared + i * 8192, 8192));
	}
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(client_finish(&client), 0);
	memset(client.shared, 0, 16 * 8192);
	for (unsigned i = 0; i < 16; i++)
		client_submit(&client,
			      client_req(&client, VIO_OP_READ, i * 8192, client.shared + i * 8192, 8192));
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(client_finish(&client), 0);
	for (unsigned i = 0; i < 16 * 8192; i++)
		assert_int_equal(client.shared[i], i / 8192 + 1);
}

/* The fifth I/O answer is wrong, in the way that the test's ctx says. */
static bool lie_once(struct fake_drive *d, unsigned q, const struct nvme_cmd *c, struct nvme_cqe *e)
{
	(void)c;
	if (!q || ++d->n != 5)
		return true;
	((void (*)(struct nvme_cqe *))d->ctx)(e);
	return true;
}

static void unknown_cid(struct nvme_cqe *e)
{
	e->cid = 60; /* within the queue, and not under way */
}

static void cid_beyond(struct nvme_cqe *e)
{
	e->cid = 1000;
}

static void other_queue(struct nvme_cqe *e)
{
	e->sqid ^= 2;
}

static void head_beyond(struct nvme_cqe *e)
{
	e->sqhd = 64;
}

static void all_ones(struct nvme_cqe *e)
{
	memset(e, 0xff, sizeof(*e));
	e->status &= (uint16_t)~1u;
}

static void wrong_answers(void **state)
{
	void (*const lies[])(struct nvme_cqe *) = { unknown_cid, cid_beyond, other_queue, head_beyond,
						    all_ones };

	(void)state;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(lies); i++) {
		open_with("");
		drive.ctx = (void *)lies[i];
		drive.tamper = lie_once;
		good_io();
		assert_int_equal(drive.enables, 2);
		assert_true(client_stat(&client, "replayed") > 0);
		assert_int_equal(client_stat(&client, "errors"), 0);
		close_it();
	}
}

static bool lie_always(struct fake_drive *d, unsigned q, const struct nvme_cmd *c, struct nvme_cqe *e)
{
	(void)d, (void)c;
	if (q)
		e->cid = 1000;
	return true;
}

/* It is given up, and reaches no memory then. */
static void nothing_but_lies(void **state)
{
	struct vio_backend_info info = { .sz = sizeof(info) };

	(void)state;
	open_with("");
	drive.tamper = lie_always;
	for (unsigned i = 0; i < 16; i++)
		client_submit(&client,
			      client_req(&client, VIO_OP_READ, i * 4096, client.shared + i * 4096, 4096));
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(client_finish(&client), -EIO);
	assert_int_equal(drive.enables, 1 + DRIVE_TRIES);
	assert_false(drive.master);
	assert_int_equal(vio_backend_info(client.backend, &info), -ENODEV);
	assert_int_equal(client_do(&client, VIO_OP_FLUSH, 0, NULL, 0), -EIO);
	close_it();
}

/* Entries of the last round, which are none. */
static bool old_phase_once(struct fake_drive *d, unsigned q, const struct nvme_cmd *c, struct nvme_cqe *e)
{
	(void)c;
	if (!q || ++d->n != 5)
		return true;
	e->status ^= 1;
	return true;
}

static bool silent_once(struct fake_drive *d, unsigned q, const struct nvme_cmd *c, struct nvme_cqe *e)
{
	(void)c, (void)e;
	return !q || ++d->n != 5;
}

/* Abort is tried, then the controller is reset; what was lost is done again. */
static void no_answers(void **state)
{
	(void)state;
	open_with(",io-timeout=1");
	drive.tamper = silent_once;
	good_io();
	assert_int_equal(drive.aborts, 1);
	assert_int_equal(drive.enables, 2);
	assert_int_equal(client_stat(&client, "replayed"), 1);
	close_it();
	open_with(",io-timeout=1");
	drive.tamper = old_phase_once;
	good_io();
	assert_true(drive.aborts > 0);
	close_it();
}

static uint16_t kept_cid;

static bool abort_helps(struct fake_drive *d, unsigned q, const struct nvme_cmd *c, struct nvme_cqe *e)
{
	if (q && ++d->n == 5) {
		kept_cid = c->cid;
		return false;
	}
	if (!q && c->opcode == nvme_admin_abort_cmd) {
		fake_answer(d, &d->q[1],
			    (struct nvme_cqe){
				    .cid = kept_cid, .sqid = 1, .status = NVME_STATUS(NVME_SC_ABORT_REQ) });
		e->dw0 = 0;
	}
	return true;
}

static void aborted_is_sent_again(void **state)
{
	(void)state;
	open_with(",io-timeout=1");
	drive.tamper = abort_helps;
	good_io();
	assert_int_equal(drive.enables, 1);
	assert_int_equal(client_stat(&client, "aborts"), 1);
	assert_int_equal(client_stat(&client, "retried"), 1);
	close_it();
}

static bool vanish(struct fake_drive *d, unsigned q, const struct nvme_cmd *c, struct nvme_cqe *e)
{
	(void)c, (void)e;
	if (!q || ++d->n < 5)
		return true;
	d->gone = true;
	return false;
}

static bool another(struct fake_drive *d, unsigned q, const struct nvme_cmd *c, struct nvme_cqe *e)
{
	(void)c;
	if (q && ++d->n == 5) {
		d->ns.nguid[0]++;
		e->cid = 1000;
	}
	return true;
}

static bool breaks(struct fake_drive *d, unsigned q, const struct nvme_cmd *c, struct nvme_cqe *e)
{
	(void)c;
	if (q && ++d->n == 5) {
		d->fails = true;
		e->cid = 1000;
	}
	return true;
}

/* Taken out; comes back as another; comes back broken: what was not answered fails. */
static void does_not_come_back(void **state)
{
	bool (*const ways[])(struct fake_drive *, unsigned, const struct nvme_cmd *,
			     struct nvme_cqe *) = { vanish, another, breaks };

	(void)state;
	for (unsigned w = 0; w < VIO_ARRAY_SIZE(ways); w++) {
		unsigned good = 0;

		open_with(",io-timeout=1");
		drive.tamper = ways[w];
		for (unsigned i = 0; i < 16; i++)
			client_submit(&client, client_req(&client, VIO_OP_READ, i * 4096,
							  client.shared + i * 4096, 4096));
		for (unsigned i = 0; i < 16; i++) {
			int res = client_finish(&client);

			assert_true(!res || res == -EIO);
			good += !res;
		}
		assert_in_range(good, 4, 15);
		assert_false(drive.master);
		close_it();
	}
}

static uint16_t status_now;

static bool says_status(struct fake_drive *d, unsigned q, const struct nvme_cmd *c, struct nvme_cqe *e)
{
	(void)d, (void)c;
	if (q)
		e->status = status_now;
	return true;
}

static void statuses(void **state)
{
	static const struct {
		uint16_t status;
		int res;
	} table[] = {
		{ NVME_STATUS(NVME_SC_INVALID_OPCODE), -EOPNOTSUPP },
		{ NVME_STATUS(NVME_SC_CAP_EXCEEDED), -ENOSPC },
		{ NVME_STATUS(NVME_SC_NS_WRITE_PROTECTED), -EROFS },
		{ NVME_STATUS(NVME_SC_INTERNAL), -EIO },
		{ NVME_STATUS(0x281), -EIO },
		{ NVME_STATUS(NVME_SC_ABORT_REQ) | NVME_STATUS_DNR, -EIO },
		{ 0xfffe, -EIO },
	};

	(void)state;
	open_with("");
	drive.tamper = says_status;
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(table); i++) {
		status_now = table[i].status;
		assert_int_equal(client_do(&client, VIO_OP_WRITE, 0, client.shared, 4096), table[i].res);
	}
	assert_int_equal(drive.enables, 1);
	close_it();
}

/* What goes to the controller is what the request says. */
static void commands(void **state)
{
	struct nvme_dsm_range range;
	struct vio_req *r;

	(void)state;
	open_with("");
	r = client_req(&client, VIO_OP_WRITE, 512 * 9, client.shared, 1024);
	r->flags = VIO_REQ_FUA;
	client_submit(&client, r);
	assert_int_equal(client_finish(&client), 0);
	assert_int_equal(drive.last.opcode, nvme_cmd_write);
	assert_int_equal(drive.last.cdw10, 9);
	assert_int_equal(drive.last.cdw12, 1 | (uint32_t)NVME_IO_FUA << 16);
	assert_int_equal(client_do(&client, VIO_OP_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(drive.last.opcode, nvme_cmd_flush);
	r = client_req(&client, VIO_OP_WRITE_ZEROES, 1024, NULL, 4096);
	r->flags = VIO_REQ_UNMAP;
	client_submit(&client, r);
	assert_int_equal(client_finish(&client), 0);
	assert_int_equal(drive.last.opcode, nvme_cmd_write_zeroes);
	assert_int_equal(drive.last.cdw12, 7 | (uint32_t)NVME_IO_DEAC << 16);
	assert_int_equal(client_do(&client, VIO_OP_DISCARD, 8192, NULL, 1 << 20), 0);
	assert_int_equal(drive.last.opcode, nvme_cmd_dsm);
	fake_copy(&drive, drive.last.prp1, (char *)&range, sizeof(range), false);
	assert_int_equal(range.slba, 16);
	assert_int_equal(range.nlb, 2048);
	/* MDTS is 128 KiB: three commands. */
	assert_int_equal(client_do(&client, VIO_OP_READ, 0, client.shared + 512, 300 << 10), 0);
	assert_int_equal(client_stat(&client, "commands"), 4 + 3);
	close_it();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(absurd_registers),   cmocka_unit_test(absurd_namespaces),
		cmocka_unit_test(wrong_answers),      cmocka_unit_test(nothing_but_lies),
		cmocka_unit_test(no_answers),	      cmocka_unit_test(aborted_is_sent_again),
		cmocka_unit_test(does_not_come_back), cmocka_unit_test(statuses),
		cmocka_unit_test(commands),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
