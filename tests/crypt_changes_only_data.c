/* SPDX-License-Identifier: MIT */
/* Each operation through crypt: what is changed, what passes, what is refused, what the store looks like. */
#include "store.h"
#include "keyfile.h"

static struct stack s;
static char path[] = KEYFILE_NAME;
static unsigned char buf[1 << 20], zero[1 << 20];

static void up(const char *args)
{
	unsigned char key[64];
	char arg[200];

	fill(key, sizeof(key), 3);
	keyfile_write(path, key, sizeof(key));
	snprintf(arg, sizeof(arg), "crypt:keyfile=%s%s", path, args);
	stack_up(&s, arg, (4 << 20) + 512);
	unlink(path);
}

static void zeroes_are_written_encrypted(void **state)
{
	struct vio_req *r;

	(void)state;
	up(",sector=4096,bounce=64K");
	fill(buf, sizeof(buf), 4);
	assert_int_equal(stack_io(&s, VIO_OP_WRITE, 0, buf, sizeof(buf)), 0);
	s.store->logged = 0;
	r = stack_req(&s, VIO_OP_WRITE_ZEROES, 4096, NULL, sizeof(buf) - 8192);
	r->flags = VIO_REQ_UNMAP | VIO_REQ_FUA;
	stack_submit(&s, r);
	assert_ptr_equal(stack_reap(&s), r);
	assert_int_equal(r->res, 0);
	assert_int_equal(r->op, VIO_OP_WRITE_ZEROES);
	assert_int_equal(r->flags, VIO_REQ_UNMAP | VIO_REQ_FUA);
	assert_int_equal(r->offset, 4096);
	assert_int_equal(r->len, sizeof(buf) - 8192);
	vio_req_put(s.pool, r);
	for (unsigned i = 0; i < s.store->logged; i++) {
		assert_int_equal(s.store->log[i].op, VIO_OP_WRITE);
		assert_int_equal(s.store->log[i].flags, VIO_REQ_FUA);
	}
	assert_memory_not_equal(s.store->mem + 4096, zero, 4096);
	assert_memory_not_equal(s.store->mem + 4096, s.store->mem + 8192, 4096);
	memset(buf, 1, sizeof(buf));
	assert_int_equal(stack_io(&s, VIO_OP_READ, 4096, buf, sizeof(buf) - 8192), 0);
	assert_memory_equal(buf, zero, sizeof(buf) - 8192);
	stack_down(&s);
}

static void no_data_no_change(void **state)
{
	static const enum vio_op ops[] = { VIO_OP_FLUSH, VIO_OP_DISCARD, VIO_OP_SECURE_ERASE };

	(void)state;
	up("");
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(ops); i++) {
		assert_int_equal(stack_io(&s, ops[i], 512, NULL, 1024), 0);
		assert_int_equal(s.store->log[i].op, ops[i]);
		assert_int_equal(s.store->log[i].offset, 512);
		assert_int_equal(s.store->log[i].len, 1024);
	}
	stack_down(&s);
}

static void parts_of_sectors_are_refused(void **state)
{
	static const struct {
		uint64_t offset, len;
	} wrong[] = { { 512, 4096 }, { 0, 512 }, { 4096, 4095 }, { 1, 4096 } };

	(void)state;
	up(",sector=4096");
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(wrong); i++) {
		assert_int_equal(stack_io(&s, VIO_OP_WRITE, wrong[i].offset, buf, wrong[i].len), -EINVAL);
		assert_int_equal(stack_io(&s, VIO_OP_READ, wrong[i].offset, buf, wrong[i].len), -EINVAL);
		assert_int_equal(stack_io(&s, VIO_OP_WRITE_ZEROES, wrong[i].offset, NULL, wrong[i].len),
				 -EINVAL);
	}
	assert_int_equal(s.store->logged, 0);
	assert_int_equal(stack_io(&s, VIO_OP_WRITE, 0, buf, 0), 0);
	stack_down(&s);
}

/* A length that the vector does not have is an error, not a walk beyond its end. */
static void a_short_vector_is_an_error(void **state)
{
	struct vio_req *r;

	(void)state;
	up("");
	for (enum vio_op op = VIO_OP_READ; op <= VIO_OP_WRITE; op++) {
		r = stack_req(&s, op, 0, buf, 4096);
		r->iov[0].iov_len = 1000;
		assert_true(stack_run(&s, r) < 0);
	}
	stack_down(&s);
}

static void what_the_store_looks_like(void **state)
{
	VIO_OPTS(vio_backend_info, i);

	(void)state;
	up(",sector=4096");
	assert_int_equal(vio_backend_info(s.top, &i), 0);
	assert_int_equal(i.block, 4096);
	assert_int_equal(i.size, 4 << 20);
	assert_true(i.ops & 1u << VIO_OP_WRITE_ZEROES);
	stack_down(&s);
	up("");
	assert_int_equal(vio_backend_info(s.top, &i), 0);
	assert_int_equal(i.block, 512);
	assert_int_equal(i.size, (4 << 20) + 512);
	stack_down(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zeroes_are_written_encrypted), cmocka_unit_test(no_data_no_change),
		cmocka_unit_test(parts_of_sectors_are_refused), cmocka_unit_test(a_short_vector_is_an_error),
		cmocka_unit_test(what_the_store_looks_like),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
