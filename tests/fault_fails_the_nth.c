/* SPDX-License-Identifier: MIT */
/* fault fails, cuts short or delays exactly the operations it is told to. */
#include "store.h"

#include "filter/fault.h"

static unsigned char buf[8192], back[8192];

static void the_nth_once(void **state)
{
	struct stack s;

	(void)state;
	stack_up(&s, "fault:op=write,nth=3,error=ENOSPC", 65536);
	for (unsigned i = 1; i <= 6; i++) {
		assert_int_equal(stack_io(&s, VIO_OP_WRITE, 0, buf, 512), i == 3 ? -ENOSPC : 0);
		assert_int_equal(stack_io(&s, VIO_OP_READ, 0, buf, 512), 0);
	}
	assert_int_equal(s.store->logged, 11);
	stack_down(&s);
}

static void from_the_nth_on(void **state)
{
	struct stack s;

	(void)state;
	stack_up(&s, "fault:op=flush,nth=2,error=EIO,once=off", 65536);
	for (unsigned i = 1; i <= 6; i++)
		assert_int_equal(stack_io(&s, VIO_OP_FLUSH, 0, NULL, 0), i >= 2 ? -EIO : 0);
	stack_down(&s);
}

static void armed_later(void **state)
{
	struct stack s;

	(void)state;
	stack_up(&s, "fault:nth=0,op=read", 65536);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(stack_io(&s, VIO_OP_READ, 0, buf, 512), 0);
	vio__fault_arm(s.top, 2);
	assert_int_equal(stack_io(&s, VIO_OP_READ, 0, buf, 512), 0);
	assert_int_equal(stack_io(&s, VIO_OP_READ, 0, buf, 512), -EIO);
	assert_int_equal(stack_io(&s, VIO_OP_READ, 0, buf, 512), 0);
	stack_down(&s);
	stack_up(&s, "fault:nth=0,once=off", 65536);
	assert_int_equal(stack_io(&s, VIO_OP_READ, 0, buf, 512), 0);
	vio__fault_arm(s.top, 1);
	assert_int_equal(stack_io(&s, VIO_OP_READ, 0, buf, 512), -EIO);
	assert_int_equal(stack_io(&s, VIO_OP_READ, 0, buf, 512), -EIO);
	vio__fault_arm(s.top, 0);
	assert_int_equal(stack_io(&s, VIO_OP_READ, 0, buf, 512), 0);
	stack_down(&s);
}

static void any_operation(void **state)
{
	struct stack s;

	(void)state;
	stack_up(&s, "fault:nth=2,once=on", 65536);
	assert_int_equal(stack_io(&s, VIO_OP_FLUSH, 0, NULL, 0), 0);
	assert_int_equal(stack_io(&s, VIO_OP_DISCARD, 0, NULL, 512), -EIO);
	assert_int_equal(stack_io(&s, VIO_OP_READ, 0, buf, 512), 0);
	stack_down(&s);
}

/* Half of it is there, and it failed; the request comes up whole. */
static void cut_short(void **state)
{
	struct vio_req *r;
	struct stack s;

	(void)state;
	stack_up(&s, "fault:op=write,error=short", 65536);
	fill(buf, sizeof(buf), 1);
	r = stack_req(&s, VIO_OP_WRITE, 0, NULL, sizeof(buf));
	r->iov[0] = (struct iovec){ buf, 1000 };
	r->iov[1] = (struct iovec){ buf + 1000, 5000 };
	r->iov[2] = (struct iovec){ buf + 6000, 2192 };
	r->niov = 3;
	stack_submit(&s, r);
	assert_ptr_equal(stack_reap(&s), r);
	assert_int_equal(r->res, -EIO);
	assert_int_equal(r->len, sizeof(buf));
	assert_int_equal(r->niov, 3);
	assert_int_equal(r->iov[1].iov_len, 5000);
	assert_int_equal(r->iov[2].iov_len, 2192);
	vio_req_put(s.pool, r);
	assert_memory_equal(s.store->mem, buf, 4096);
	assert_memory_equal(s.store->mem + 4096, back, 4096);
	stack_down(&s);
	stack_up(&s, "fault:error=short", 65536);
	assert_int_equal(stack_io(&s, VIO_OP_READ, 0, buf, 512), -EIO); /* a block has no half */
	assert_int_equal(s.store->logged, 0);
	stack_down(&s);
}

static void delayed(void **state)
{
	struct vio_req *late, *r;
	struct stack s;

	(void)state;
	stack_up(&s, "fault:op=read,error=delay,delay=20", 65536);
	late = stack_req(&s, VIO_OP_READ, 0, buf, 512);
	stack_submit(&s, late);
	r = stack_req(&s, VIO_OP_READ, 512, buf, 512);
	stack_submit(&s, r);
	assert_ptr_equal(stack_reap(&s), r); /* overtakes */
	vio_req_put(s.pool, r);
	assert_ptr_equal(stack_reap(&s), late);
	assert_int_equal(late->res, 0);
	vio_req_put(s.pool, late);
	stack_down(&s);
}

static unsigned failures(const char *filter)
{
	struct stack s;
	unsigned n = 0;

	stack_up(&s, filter, 65536);
	for (unsigned i = 0; i < 1000; i++)
		n = n * 3 + (stack_io(&s, VIO_OP_READ, 0, buf, 512) != 0);
	stack_down(&s);
	return n;
}

static void by_chance_and_repeatable(void **state)
{
	(void)state;
	assert_int_equal(failures("fault:percent=30,seed=1"), failures("fault:percent=30,seed=1"));
	assert_int_not_equal(failures("fault:percent=30,seed=1"), failures("fault:percent=30,seed=2"));
}

static void wrong_arguments(void **state)
{
	(void)state;
	assert_int_equal(stack_try("fault:op=eat", 65536), -EINVAL);
	assert_non_null(strstr(vio_errmsg(), "any, read, write"));
	assert_int_equal(stack_try("fault:error=EWHAT", 65536), -EINVAL);
	assert_non_null(strstr(vio_errmsg(), "ENOSPC"));
	assert_int_equal(stack_try("fault:percent=101", 65536), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_nth_once),
		cmocka_unit_test(armed_later),
		cmocka_unit_test(from_the_nth_on),
		cmocka_unit_test(any_operation),
		cmocka_unit_test(cut_short),
		cmocka_unit_test(delayed),
		cmocka_unit_test(by_chance_and_repeatable),
		cmocka_unit_test(wrong_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
