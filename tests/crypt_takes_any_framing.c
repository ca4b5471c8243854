/* SPDX-License-Identifier: MIT */
/*
 * Whatever way a request is cut into pieces of memory, and however small the bounce
 * pool: what was written is read back, the writer's memory is not touched, and the
 * request comes up as it went down.
 */
#include "store.h"
#include "keyfile.h"

#define SPACE (4u << 20)

static struct stack s;
static unsigned char plain[2 << 20], copy[2 << 20], back[2 << 20];

static void up(const char *args)
{
	char path[] = KEYFILE_NAME, arg[200];
	unsigned char key[64];

	fill(key, sizeof(key), 1);
	keyfile_write(path, key, sizeof(key));
	snprintf(arg, sizeof(arg), "crypt:keyfile=%s%s", path, args);
	stack_up(&s, arg, SPACE);
	unlink(path);
	fill(plain, sizeof(plain), 2);
	memcpy(copy, plain, sizeof(plain));
	memset(back, 0, sizeof(back));
}

/* buf in entries of the given lengths, again and again until len is used up. */
static struct vio_req *cut(enum vio_op op, uint64_t offset, unsigned char *buf, size_t len,
			   const size_t *lens, unsigned n)
{
	struct vio_req *r = stack_req(&s, op, offset, NULL, len);

	for (unsigned i = 0; len; i++) {
		size_t now = VIO_MIN(lens[i % n], len);

		assert_true(r->niov < 64);
		r->iov[r->niov++] = (struct iovec){ buf, now };
		buf += now;
		len -= now;
	}
	return r;
}

static void check_request(const struct vio_req *r, enum vio_op op, uint64_t offset, size_t len,
			  unsigned char *buf, unsigned niov)
{
	assert_int_equal(r->op, op);
	assert_int_equal(r->offset, offset);
	assert_int_equal(r->len, len);
	assert_int_equal(r->niov, niov);
	assert_ptr_equal(r->iov[0].iov_base, buf);
}

static void there_and_back(uint64_t offset, size_t len, const size_t *lens, unsigned n)
{
	struct vio_req *r = cut(VIO_OP_WRITE, offset, plain, len, lens, n);
	unsigned niov = r->niov;

	stack_submit(&s, r);
	assert_ptr_equal(stack_reap(&s), r);
	assert_int_equal(r->res, 0);
	check_request(r, VIO_OP_WRITE, offset, len, plain, niov);
	vio_req_put(s.pool, r);
	assert_memory_equal(plain, copy, sizeof(plain));
	assert_memory_not_equal(s.store->mem + offset, plain, len);

	memset(back, 0, sizeof(back));
	r = cut(VIO_OP_READ, offset, back, len, lens, n);
	stack_submit(&s, r);
	assert_ptr_equal(stack_reap(&s), r);
	assert_int_equal(r->res, 0);
	check_request(r, VIO_OP_READ, offset, len, back, niov);
	vio_req_put(s.pool, r);
	assert_memory_equal(back, plain, len);
	assert_int_equal(back[len], 0);
}

static void framings(const char *args)
{
	static const size_t whole[] = { 1 << 20 }, odd[] = { 1, 511, 513, 4095, 3, 8000 },
			    tiny[] = { 0, 100, 129 }, late[] = { 4000, 4192 };

	up(args);
	there_and_back(0, 4096, whole, 1);
	there_and_back(8192, 4096, tiny, 3);
	there_and_back(4096, 65536, odd, 6);
	there_and_back(12288, 131072, late, 2);
	there_and_back(0, 1 << 20, whole, 1);
	stack_down(&s);
}

static void framings_of_512(void **state)
{
	(void)state;
	framings("");
}

static void framings_of_4096(void **state)
{
	(void)state;
	framings(",sector=4096");
}

static void larger_than_the_pool(void **state)
{
	static const size_t odd[] = { 100001 };

	(void)state;
	framings(",bounce=64K");
	up(",bounce=64K");
	there_and_back(0, sizeof(plain) - 4096, odd, 1);
	assert_true(s.store->logged > 2);
	stack_down(&s);
}

/* More writes than the pool holds at once, all under way together, completed late. */
static void many_wait_for_the_pool(void **state)
{
	struct vio_req *r;
	unsigned sent = 0, seen = 0;

	(void)state;
	up(",bounce=64K");
	s.store->hold = true;
	while (sent < 16 && vio_lane_room(s.lane)) {
		stack_submit(&s, stack_req(&s, VIO_OP_WRITE, sent * 65536, plain + sent * 65536, 65536));
		sent++;
	}
	assert_int_equal(vio_lane_room(s.lane), 0);
	assert_int_equal(vio_lane_reap(s.lane, &r, 1), 0);
	s.store->hold = false;
	for (; seen < sent; seen++) {
		r = stack_reap(&s);
		assert_int_equal(r->res, 0);
		vio_req_put(s.pool, r);
	}
	for (unsigned i = 0; i < sent; i++)
		assert_int_equal(stack_io(&s, VIO_OP_READ, i * 65536, back + i * 65536, 65536), 0);
	assert_memory_equal(back, plain, sent * 65536);
	stack_down(&s);
}

/* A failing piece fails the request, once, and the pool gets its run back. */
static void an_error_comes_up(void **state)
{
	(void)state;
	up(",bounce=64K");
	s.store->res = -ENOSPC;
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(stack_io(&s, VIO_OP_WRITE, 0, plain, 1 << 20), -ENOSPC);
		assert_int_equal(s.store->logged, i + 1);
	}
	memcpy(back, plain, 4096);
	assert_int_equal(stack_io(&s, VIO_OP_READ, 0, back, 4096), -ENOSPC);
	assert_memory_equal(back, plain, 4096);
	stack_down(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(framings_of_512),	cmocka_unit_test(framings_of_4096),
		cmocka_unit_test(larger_than_the_pool), cmocka_unit_test(many_wait_for_the_pool),
		cmocka_unit_test(an_error_comes_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
