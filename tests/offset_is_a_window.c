/* SPDX-License-Identifier: MIT */
/* offset shifts what is in its window, refuses what is not, and gives requests back as they were. */
#include "store.h"

static unsigned char buf[4096];

static void shifted_and_put_back(void **state)
{
	static const enum vio_op ops[] = { VIO_OP_READ, VIO_OP_WRITE, VIO_OP_DISCARD };
	struct vio_req *r;
	struct stack s;

	(void)state;
	stack_up(&s, "offset:start=8K,size=16K", 65536);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(ops); i++) {
		r = stack_req(&s, ops[i], 12288, ops[i] <= VIO_OP_WRITE ? buf : NULL, 4096);
		stack_submit(&s, r);
		assert_ptr_equal(stack_reap(&s), r);
		assert_int_equal(r->res, 0);
		assert_int_equal(r->offset, 12288);
		vio_req_put(s.pool, r);
		assert_int_equal(s.store->log[i].offset, 12288 + 8192);
	}
	assert_int_equal(stack_io(&s, VIO_OP_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(s.store->log[3].offset, 0);
	stack_down(&s);
}

static void nothing_leaves_the_window(void **state)
{
	static const struct {
		uint64_t offset, len;
	} out[] = { { 16384, 512 },
		    { 16384 - 512, 1024 },
		    { UINT64_MAX - 511, 512 },
		    { UINT64_MAX - 511, 4096 },
		    { 512, UINT64_MAX },
		    { UINT64_MAX - 8192, 0 } };
	struct vio_req *r, *all[3];
	struct stack s;

	(void)state;
	stack_up(&s, "offset:start=8K,size=16K", 65536);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(out); i++) {
		assert_int_equal(stack_io(&s, VIO_OP_DISCARD, out[i].offset, NULL, out[i].len), -EINVAL);
		r = stack_req(&s, VIO_OP_WRITE_ZEROES, out[i].offset, NULL, out[i].len);
		stack_submit(&s, r);
		assert_ptr_equal(stack_reap(&s), r);
		assert_int_equal(r->offset, out[i].offset);
		vio_req_put(s.pool, r);
	}
	assert_int_equal(s.store->logged, 0);
	/* One bad request among good ones takes none of them along. */
	all[0] = stack_req(&s, VIO_OP_READ, 0, buf, 512);
	all[1] = stack_req(&s, VIO_OP_READ, 16384, buf, 512);
	all[2] = stack_req(&s, VIO_OP_READ, 512, buf, 512);
	vio_lane_submit(s.lane, all, 3);
	for (unsigned i = 0; i < 3; i++) {
		r = stack_reap(&s);
		assert_int_equal(r->res, r == all[1] ? -EINVAL : 0);
		vio_req_put(s.pool, r);
	}
	stack_down(&s);
}

static void the_store_seen_through_it(void **state)
{
	VIO_OPTS(vio_backend_info, i);
	struct stack s;

	(void)state;
	stack_up(&s, "offset:start=8K,size=16K", 65536);
	assert_int_equal(vio_backend_info(s.top, &i), 0);
	assert_int_equal(i.size, 16384);
	s.store->size = 20480; /* shrunk meanwhile */
	assert_int_equal(vio_backend_info(s.top, &i), 0);
	assert_int_equal(i.size, 12288);
	s.store->size = 4096;
	assert_int_equal(vio_backend_info(s.top, &i), 0);
	assert_int_equal(i.size, 0);
	stack_down(&s);
	stack_up(&s, "offset:start=8K", 65536);
	s.store->size = 131072; /* grown: an open end follows */
	assert_int_equal(vio_backend_info(s.top, &i), 0);
	assert_int_equal(i.size, 131072 - 8192);
	s.store->size = 65536;
	stack_down(&s);
}

static void wrong_windows(void **state)
{
	(void)state;
	assert_int_equal(stack_try("offset:start=64K", 65536), -EINVAL);
	assert_non_null(strstr(vio_errmsg(), "65536"));
	assert_int_equal(stack_try("offset:start=32K,size=33K", 65536), -EINVAL);
	assert_int_equal(stack_try("offset:start=100", 65536), -EINVAL);
	assert_non_null(strstr(vio_errmsg(), "multiples"));
	assert_int_equal(stack_try("offset:start=512,size=18446744073709551104", 65536), -EINVAL);
	assert_int_equal(stack_try("offset:start=512,size=0", 65536), -EINVAL);
	assert_int_equal(stack_try("offset:from=1", 65536), -EINVAL);
	assert_int_equal(stack_try("offset:start=32K,size=32K", 65536), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shifted_and_put_back),
		cmocka_unit_test(nothing_leaves_the_window),
		cmocka_unit_test(the_store_seen_through_it),
		cmocka_unit_test(wrong_windows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
