/* SPDX-License-Identifier: MIT */
/*
 * A hostile PCI controller under our driver. The input begins with 16 bytes: CAP's changes, and those of what
 * it says of itself and of its namespace. Then come records:
 *
 *     kind, a, b, n, n bytes
 *
 * kind 0: a request (op a, at block b, its pieces by the bytes); 1: the bytes go over the next answer of
 * queue a, which may be left out (b); 2: the bytes go into the rings of queue a, at b; 3: CSTS becomes a, or
 * the controller is gone or gets stuck (b); 4: the system wants it back; 5: somebody asks what it is like.
 * Passes run after each but those with bit 7 of kind set. At the end every request has come back once, and no
 * memory was named that was not mapped.
 */
#include "fake_drive.h"

#include <virtio-offload.h>

#define MEM (256u << 10)
#define REQUESTS 16u
#define MAX_RECORDS 48u
#define OVERS 8u
#define PATIENCE 30u /* reads of CSTS in one record, after which it is gone: so nothing is waited for */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	struct fake_drive d;
	struct function_ops ops;
	struct vio_poller *p;
	struct vio_backend *b;
	struct vio_lane *l;
	struct vio_mem *mem;
	char *ram;
	struct vio_req_pool *pool;
	unsigned out, csts_reads;
	struct {
		uint8_t queue, drop, n, bytes[16];
	} over[OVERS];
	unsigned novers;
} z;

static void check(bool ok)
{
	if (!ok)
		abort();
}

static bool tamper(struct fake_drive *d, unsigned q, const struct nvme_cmd *c, struct nvme_cqe *e)
{
	(void)d, (void)c;
	for (unsigned i = 0; i < z.novers; i++) {
		bool drop = z.over[i].drop & 1;

		if (z.over[i].queue % 2 != q % 2)
			continue;
		memcpy(e, z.over[i].bytes, z.over[i].n);
		z.over[i] = z.over[--z.novers];
		return !drop;
	}
	return true;
}

/* What the driver waits for has always just come, and does not come for ever. */
static uint32_t impatient_read(struct function *f, uint64_t at)
{
	const uint64_t one = 1;

	if (at == 0x1c && ++z.csts_reads > PATIENCE)
		z.d.gone = true;
	if (write(z.d.irq[0], &one, sizeof(one)) < 0)
		return UINT32_MAX;
	return fake_read(f, at);
}

static void start(void)
{
	VIO_OPTS(vio_poller_opts, po, .engine = VIO_POLL_EPOLL);
	struct vio_mem_region r;

	check(!vio_poller_new(&z.p, &po));
	check(!vio_mem_alloc(&z.mem, 0x1000, MEM) && !vio_mem_get(z.mem, 0, &r));
	z.ram = r.ptr;
}

static void reap(void)
{
	struct vio_req *r;

	while (vio_lane_reap(z.l, &r, 1)) {
		check(z.out--);
		vio_req_put(z.pool, r);
	}
}

static void passes(unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		check(vio_poller_run(z.p, 0) >= 0);
		reap();
	}
}

static void request(uint8_t op, uint8_t block, const uint8_t *bytes, unsigned n)
{
	struct vio_req *r = vio_lane_room(z.l) ? vio_req_get(z.pool) : NULL;
	uint64_t at = 0;

	if (!r)
		return;
	r->op = op % 6;
	r->offset = block * 512u;
	r->len = 512u * (1 + (n ? bytes[0] : 0));
	for (; r->op <= VIO_OP_WRITE && at < r->len && r->niov < 8; r->niov++) {
		unsigned k = r->niov;
		uint64_t from = k + 1 < n ? bytes[k + 1] * 260u : 0;
		uint64_t len = k < 7 && k + 2 < n ? VIO_MIN(bytes[k + 2] * 64u, r->len - at) : r->len - at;

		r->iov[k] = (struct iovec){ z.ram + from, len };
		at += len;
	}
	z.out++;
	vio_lane_submit(z.l, &r, 1);
}

static void scribble(uint8_t queue, uint8_t at, const uint8_t *bytes, unsigned n)
{
	const struct fake_queue *q = &z.d.q[queue % 2];
	char *p = q->on && !z.d.closes ? fake_ptr(&z.d, q->cq, 512) : NULL;

	if (p)
		memcpy(p + at, bytes, n);
}

static void record(const uint8_t r[4], const uint8_t *bytes)
{
	struct vio_backend_info info = { .sz = sizeof(info) };
	const uint64_t one = 1;

	z.csts_reads = 0;
	switch (r[0] & 7) {
	case 0:
		request(r[1], r[2], bytes, r[3]);
		break;
	case 1:
		if (z.novers == OVERS)
			break;
		z.over[z.novers].queue = r[1];
		z.over[z.novers].drop = r[2];
		z.over[z.novers].n = VIO_MIN(r[3], 16);
		memcpy(z.over[z.novers++].bytes, bytes, VIO_MIN(r[3], 16));
		break;
	case 2:
		scribble(r[1], r[2], bytes, r[3]);
		break;
	case 3:
		z.d.csts = r[1];
		z.d.gone |= r[2] == 1;
		z.d.stuck = r[2] == 2;
		z.d.fails = r[2] == 3;
		break;
	case 4:
		check(write(z.d.f.gone, &one, sizeof(one)) == sizeof(one));
		break;
	default:
		vio_backend_info(z.b, &info);
	}
	if (!(r[0] & 0x80))
		passes(3);
}

static bool plug(const uint8_t *change)
{
	VIO_OPTS(vio_lane_opts, lo, .mem = z.mem);
	uint64_t cap;
	int rc;

	fake_start(&z.d);
	z.ops = *z.d.f.ops;
	z.ops.read = impatient_read;
	z.d.f.ops = &z.ops;
	z.d.tamper = tamper;
	z.novers = z.csts_reads = 0;
	memcpy(&cap, change, 8);
	z.d.cap ^= cap;
	z.d.ctrl.mdts ^= change[8];
	z.d.ctrl.sgls ^= htole32(change[9]);
	z.d.ctrl.oacs ^= htole16((uint16_t)(change[10] << 8));
	z.d.ns.lbaf[0].ds ^= change[11];
	z.d.ns.nsze ^= htole64((uint64_t)change[12] << 56);
	z.d.ns.flbas ^= change[13];
	z.d.ctrl.oncs ^= htole16(change[14]);
	z.d.ctrl.vwc ^= change[15];
	rc = vio_backend_new(&z.b, fake_type(&z.d), NULL, NULL, "0000:00:00.0,depth=15");
	if (rc)
		return false;
	rc = vio_lane_new(&z.l, z.b, z.p, &lo);
	check(rc || !vio_req_pool_new(&z.pool, z.l, REQUESTS, 8));
	if (rc)
		vio_backend_free(z.b);
	return !rc;
}

static void unplug(void)
{
	const uint64_t one = 1;

	z.csts_reads = 0;
	check(write(z.d.f.gone, &one, sizeof(one)) == sizeof(one));
	for (unsigned i = 0; z.out; i++) {
		check(i < 1000);
		passes(1);
	}
	vio_req_pool_free(z.pool);
	vio_lane_free(z.l);
	vio_backend_free(z.b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!z.p)
		start();
	if (size < 16)
		return 0;
	if (plug(data)) {
		data += 16;
		size -= 16;
		for (unsigned i = 0; i < MAX_RECORDS && size >= 4; i++) {
			uint8_t r[4];

			memcpy(r, data, 4);
			r[3] = (uint8_t)VIO_MIN((size_t)r[3], size - 4);
			record(r, data + 4);
			data += 4 + r[3];
			size -= 4 + r[3];
		}
		unplug();
	}
	check(z.d.closes == 1 && !z.d.lost);
	fake_stop(&z.d);
	return 0;
}
