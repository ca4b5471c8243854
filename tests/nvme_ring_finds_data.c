/* SPDX-License-Identifier: MIT */
/* A command's data, by PRPs and SGLs: every byte where the host says, and nothing where it must not. */
#include "nvme_ring_host.h"

#define NO_DNR(status) ((uint16_t)((status) & ~NVME_STATUS_DNR))
#define LIST 0x100000u

static struct nvme_req *take(struct host *h, struct nvme_cmd *c)
{
	static uint16_t cid;
	struct nvme_req *r;

	c->cid = cid++;
	host_post(h, c);
	host_ring(h);
	assert_int_equal(nvme_sq_take(&h->sq, &r, 1), 1);
	return r;
}

static void give(struct host *h, struct nvme_req *r)
{
	struct nvme_cqe e;

	r->q->ops->give(r->q, r);
	assert_true(host_answer(h, &e));
	host_read(h);
}

/* len bytes found in place: their addresses, with what goes on joined. */
static uint16_t find(struct host *h, struct nvme_cmd c, uint32_t len, uint64_t addr[NRING_SEGMENTS],
		     size_t lens[NRING_SEGMENTS], unsigned *n)
{
	struct nvme_req *r = take(h, &c);
	uint16_t status = r->q->ops->data(r->q, r, len, true);

	*n = r->niov;
	for (unsigned i = 0; i < r->niov; i++) {
		addr[i] = vio_mem_guest(h->mem, r->iov[i].iov_base);
		lens[i] = r->iov[i].iov_len;
	}
	assert_int_equal(r->len, status ? 0 : len);
	give(h, r);
	return NO_DNR(status);
}

static uint16_t fails(struct host *h, struct nvme_cmd c, uint32_t len)
{
	uint64_t addr[NRING_SEGMENTS];
	size_t lens[NRING_SEGMENTS];
	unsigned n;
	uint16_t status = find(h, c, len, addr, lens, &n);

	assert_int_equal(n, 0);
	return status;
}

static void one_two_and_many_pages(void **state)
{
	uint64_t addr[NRING_SEGMENTS], *list;
	size_t lens[NRING_SEGMENTS];
	struct host h;
	unsigned n;
	(void)state;

	host_open(&h, 8, 8);
	assert_int_equal(find(&h, (struct nvme_cmd){ .prp1 = 0x20000 }, 4096, addr, lens, &n), 0);
	assert_true(n == 1 && addr[0] == 0x20000 && lens[0] == 4096);
	/* From within a page, and on in another region. */
	assert_int_equal(
		find(&h, (struct nvme_cmd){ .prp1 = 0x20ffc, .prp2 = HOST_HIGH }, 4096, addr, lens, &n), 0);
	assert_true(n == 2 && addr[0] == 0x20ffc && lens[0] == 4 && addr[1] == HOST_HIGH && lens[1] == 4092);
	/* Pages that follow each other are one piece. */
	assert_int_equal(
		find(&h, (struct nvme_cmd){ .prp1 = 0x20000, .prp2 = 0x21000 }, 8192, addr, lens, &n), 0);
	assert_true(n == 1 && lens[0] == 8192);
	/* The most there can be: 65 pages, each alone. */
	list = host_at(&h, LIST + 8);
	for (unsigned i = 0; i < 64; i++)
		list[i] = HOST_DATA + (2 * i + 2) * 4096ull;
	assert_int_equal(
		find(&h, (struct nvme_cmd){ .prp1 = 0x20800, .prp2 = LIST + 8 }, 256 << 10, addr, lens, &n),
		0);
	assert_int_equal(n, 65);
	assert_true(addr[0] == 0x20800 && lens[0] == 2048 && lens[64] == 2048);
	for (unsigned i = 1; i < 65; i++)
		assert_int_equal(addr[i], HOST_DATA + 2 * i * 4096ull);
	host_close(&h);
}

/* A list's last entry names the next one if more than a page is left, and is data if not. */
static void lists_go_on(void **state)
{
	uint64_t addr[NRING_SEGMENTS], *list;
	size_t lens[NRING_SEGMENTS];
	struct host h;
	unsigned n;
	(void)state;

	host_open(&h, 8, 8);
	list = host_at(&h, LIST + 4096 - 16);
	list[0] = 0x30000;
	list[1] = 0x40000; /* the next list */
	((uint64_t *)host_at(&h, 0x40000))[0] = 0x50000;
	((uint64_t *)host_at(&h, 0x40000))[1] = 0x60000;
	assert_int_equal(find(&h, (struct nvme_cmd){ .prp1 = 0x20000, .prp2 = LIST + 4096 - 16 }, 4 * 4096,
			      addr, lens, &n),
			 0);
	assert_true(n == 4 && addr[1] == 0x30000 && addr[2] == 0x50000 && addr[3] == 0x60000);
	assert_int_equal(find(&h, (struct nvme_cmd){ .prp1 = 0x20000, .prp2 = LIST + 4096 - 16 }, 3 * 4096,
			      addr, lens, &n),
			 0);
	assert_true(n == 3 && addr[2] == 0x40000);
	host_close(&h);
}

static void bad_prps_are_refused(void **state)
{
	const uint16_t offset = NVME_STATUS(NVME_SC_PRP_INVALID_OFFSET),
		       gone = NVME_STATUS(NVME_SC_DATA_XFER_ERROR);
	uint64_t *list;
	struct host h;
	(void)state;

	host_open(&h, 8, 8);
	assert_int_equal(fails(&h, (struct nvme_cmd){ .prp1 = 0x20002 }, 512), offset);
	assert_int_equal(fails(&h, (struct nvme_cmd){ .prp1 = 0x20000, .prp2 = 0x21004 }, 8192), offset);
	assert_int_equal(fails(&h, (struct nvme_cmd){ .prp1 = HOST_MEMORY }, 512), gone);
	assert_int_equal(fails(&h, (struct nvme_cmd){ .prp1 = UINT64_MAX - 4095 }, 4096), gone);
	assert_int_equal(fails(&h, (struct nvme_cmd){ .prp1 = 0x20000, .prp2 = HOST_MEMORY }, 8192), gone);
	assert_int_equal(fails(&h, (struct nvme_cmd){ .prp1 = 0x20000, .prp2 = HOST_MEMORY }, 12288), gone);
	assert_int_equal(fails(&h, (struct nvme_cmd){ .prp1 = 0x20000, .prp2 = LIST + 4 }, 12288), offset);
	list = host_at(&h, LIST);
	list[0] = 0x30000;
	list[1] = 0x40008;
	assert_int_equal(fails(&h, (struct nvme_cmd){ .prp1 = 0x20000, .prp2 = LIST }, 12288), offset);
	list[1] = HOST_MEMORY;
	assert_int_equal(fails(&h, (struct nvme_cmd){ .prp1 = 0x20000, .prp2 = LIST }, 12288), gone);
	/* A list that is nothing but a way to itself ends: what it names must begin a page. */
	*(uint64_t *)host_at(&h, LIST + 4088) = LIST + 4088;
	assert_int_equal(fails(&h, (struct nvme_cmd){ .prp1 = 0x20000, .prp2 = LIST + 4088 }, 12288), offset);
	assert_int_equal(fails(&h, (struct nvme_cmd){ .prp1 = 0x20000 }, (256 << 10) + 512),
			 NVME_STATUS(NVME_SC_INVALID_FIELD));
	assert_int_equal(fails(&h, (struct nvme_cmd){ .prp1 = 0x20000, .flags = NVME_FLAGS_PSDT }, 512),
			 NVME_STATUS(NVME_SC_INVALID_FIELD));
	host_close(&h);
}

static struct nvme_cmd by_sgl(uint64_t addr, uint32_t len, uint8_t type)
{
	return (struct nvme_cmd){ .flags = NVME_FLAGS_SGL,
				  .sgl = { .addr = addr, .len = len, .type = type } };
}

static void sgls_are_walked(void **state)
{
	uint64_t addr[NRING_SEGMENTS];
	size_t lens[NRING_SEGMENTS];
	struct nvme_sgl *a, *b;
	struct host h;
	unsigned n;
	(void)state;

	host_open(&h, 8, 8);
	assert_int_equal(find(&h, by_sgl(0x20003, 777, NVME_SGL_DATA), 777, addr, lens, &n), 0);
	assert_true(n == 1 && addr[0] == 0x20003 && lens[0] == 777);
	a = host_at(&h, LIST);
	b = host_at(&h, 0x40000);
	a[0] = (struct nvme_sgl){ .addr = HOST_HIGH + 1, .len = 100, .type = NVME_SGL_DATA };
	a[1] = (struct nvme_sgl){ .len = 0, .type = NVME_SGL_DATA };
	a[2] = (struct nvme_sgl){ .addr = 0x40000, .len = 32, .type = NVME_SGL_LAST_SEGMENT };
	b[0] = (struct nvme_sgl){ .addr = 0x50000, .len = 200, .type = NVME_SGL_DATA };
	b[1] = (struct nvme_sgl){ .addr = 0x500c8, .len = 300, .type = NVME_SGL_DATA };
	assert_int_equal(find(&h, by_sgl(LIST, 48, NVME_SGL_SEGMENT), 600, addr, lens, &n), 0);
	assert_true(n == 2 && addr[0] == HOST_HIGH + 1 && lens[0] == 100 && addr[1] == 0x50000 &&
		    lens[1] == 500);
	host_close(&h);
}

static void bad_sgls_are_refused(void **state)
{
	const uint16_t last = NVME_STATUS(NVME_SC_SGL_INVALID_LAST),
		       data = NVME_STATUS(NVME_SC_SGL_INVALID_DATA),
		       type = NVME_STATUS(NVME_SC_SGL_INVALID_TYPE),
		       gone = NVME_STATUS(NVME_SC_DATA_XFER_ERROR);
	struct nvme_sgl *a;
	struct host h;
	(void)state;

	host_open(&h, 8, 8);
	assert_int_equal(fails(&h, by_sgl(0x20000, 512, NVME_SGL_DATA), 1024), data);
	assert_int_equal(fails(&h, by_sgl(0x20000, 2048, NVME_SGL_DATA), 1024), data);
	assert_int_equal(fails(&h, by_sgl(HOST_MEMORY - 1, 2, NVME_SGL_DATA), 2), gone);
	assert_int_equal(fails(&h, by_sgl(UINT64_MAX, 2, NVME_SGL_DATA), 2), gone);
	assert_int_equal(fails(&h, by_sgl(0x20000, 512, NVME_SGL_TRANSPORT), 512), type);
	assert_int_equal(fails(&h, by_sgl(0x20000, 512, NVME_SGL_BIT_BUCKET), 512), type);
	assert_int_equal(fails(&h, by_sgl(0x20000, 512, NVME_SGL_DATA_OFFSET), 512),
			 NVME_STATUS(NVME_SC_SGL_INVALID_OFFSET));
	assert_int_equal(fails(&h, by_sgl(LIST, 0, NVME_SGL_SEGMENT), 512), last);
	assert_int_equal(fails(&h, by_sgl(LIST, 17, NVME_SGL_LAST_SEGMENT), 512), last);
	assert_int_equal(fails(&h, by_sgl(LIST, UINT32_MAX & ~15u, NVME_SGL_LAST_SEGMENT), 512), last);
	assert_int_equal(fails(&h, by_sgl(HOST_MEMORY - 16, 32, NVME_SGL_LAST_SEGMENT), 512), gone);
	a = host_at(&h, LIST);
	/* A way to itself, without data. */
	a[0] = (struct nvme_sgl){ .addr = LIST, .len = 16, .type = NVME_SGL_SEGMENT };
	assert_int_equal(fails(&h, by_sgl(LIST, 16, NVME_SGL_SEGMENT), 512), last);
	/* A last segment that goes on, and one that is not the last and ends. */
	assert_int_equal(fails(&h, by_sgl(LIST, 16, NVME_SGL_LAST_SEGMENT), 512), last);
	a[0] = (struct nvme_sgl){ .addr = 0x30000, .len = 512, .type = NVME_SGL_DATA };
	assert_int_equal(fails(&h, by_sgl(LIST, 16, NVME_SGL_SEGMENT), 512), last);
	/* The way on must be the segment's end. */
	a[0].type = NVME_SGL_LAST_SEGMENT;
	a[0].len = 16;
	assert_int_equal(fails(&h, by_sgl(LIST, 32, NVME_SGL_SEGMENT), 512), last);
	/* More pieces than are kept. */
	for (unsigned i = 0; i < 66; i++)
		a[i] = (struct nvme_sgl){ .addr = 0x30000 + 2 * i, .len = 1, .type = NVME_SGL_DATA };
	assert_int_equal(fails(&h, by_sgl(LIST, 66 * 16, NVME_SGL_LAST_SEGMENT), 66),
			 NVME_STATUS(NVME_SC_SGL_INVALID_COUNT));
	host_close(&h);
}

/* What is not left in place comes as a copy, and goes back as one: only if the command succeeded. */
static void other_data_is_bounced(void **state)
{
	struct host h;
	struct nvme_req *r;
	char *page;
	(void)state;

	host_open(&h, 8, 8);
	page = host_at(&h, 0x20ffc);
	memcpy(page, "from the host", 14);
	r = take(&h, &(struct nvme_cmd){ .opcode = NVME_DIR_IN, .prp1 = 0x20ffc, .prp2 = 0x21000 });
	assert_int_equal(r->q->ops->data(r->q, r, 64, false), 0);
	memcpy(page, "changed later", 14);
	assert_string_equal(r->buf, "from the host");
	strcpy(r->buf, "not for you");
	give(&h, r);
	assert_string_equal(page, "changed later");
	for (unsigned fails = 0; fails < 2; fails++) {
		r = take(&h, &(struct nvme_cmd){ .opcode = NVME_DIR_OUT, .prp1 = 0x20ffc, .prp2 = 0x21000 });
		assert_int_equal(r->q->ops->data(r->q, r, 64, false), 0);
		strcpy(r->buf, fails ? "nor this" : "to the host");
		r->status = fails ? NVME_STATUS(NVME_SC_INTERNAL) : 0;
		give(&h, r);
		assert_string_equal(page, "to the host");
	}
	assert_int_equal(npool_used(h.pool), 0);
	host_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_two_and_many_pages), cmocka_unit_test(lists_go_on),
		cmocka_unit_test(bad_prps_are_refused),	  cmocka_unit_test(sgls_are_walked),
		cmocka_unit_test(bad_sgls_are_refused),	  cmocka_unit_test(other_data_is_bounced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
