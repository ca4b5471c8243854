/* SPDX-License-Identifier: MIT */
/*
 * The order of calls through a stack, told by filters of our own (as any embedder may
 * write them): opened from the end to the top, closed from the top down, submit from
 * the top down, reap from the end up; and layers without a method are not there.
 */
#include "store.h"

static char calls[1024];

static void called(const char *what, const struct vio_backend *b)
{
	size_t at = strlen(calls);

	snprintf(calls + at, sizeof(calls) - at, "%s%s-%s", at ? " " : "", what, b->type->name);
}

static void expect(const char *want)
{
	assert_string_equal(calls, want);
	calls[0] = 0;
}

static int t_open(struct vio_backend *b, const char *arg)
{
	(void)arg;
	called("open", b);
	return 0;
}

static void t_close(struct vio_backend *b)
{
	called("close", b);
}

static int t_info(struct vio_backend *b, struct vio_backend_info *i)
{
	called("info", b);
	assert_true(i->size >= 512);
	i->size -= 512;
	return 0;
}

static int t_lane_open(struct vio_lane *l)
{
	called("lane_open", l->backend);
	return 0;
}

static void t_lane_close(struct vio_lane *l)
{
	called("lane_close", l->backend);
}

static unsigned t_room(struct vio_lane *l)
{
	called("room", l->backend);
	return vio_next_room(l) - 1;
}

static void t_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	called("submit", l->backend);
	/* What a layer keeps in its scratch is its own. */
	for (unsigned i = 0; i < n; i++)
		memset(vio_req_scratch(l, r[i]), l->type->name[0], l->type->scratch);
	vio_next_submit(l, r, n);
}

static unsigned t_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	n = vio_next_reap(l, r, n);
	called("reap", l->backend);
	for (unsigned i = 0; i < n; i++)
		for (unsigned k = 0; k < l->type->scratch; k++)
			assert_int_equal(((char *)vio_req_scratch(l, r[i]))[k], l->type->name[0]);
	return n;
}

#define FILTER(NAME, ...)                                                                                    \
	{                                                                                                    \
		.sz = sizeof(struct vio_backend_type), .name = NAME, .flags = VIO_BACKEND_FILTER,            \
		.open = t_open, .close = t_close, .lane_open = t_lane_open, .lane_close = t_lane_close,      \
		__VA_ARGS__                                                                                  \
	}

static const struct vio_backend_type full_a =
	FILTER("a", .scratch = 24, .info = t_info, .room = t_room, .submit = t_submit, .reap = t_reap);
static const struct vio_backend_type full_b =
	FILTER("b", .scratch = 40, .info = t_info, .room = t_room, .submit = t_submit, .reap = t_reap);
static const struct vio_backend_type down_only = FILTER("d", .scratch = 8, .submit = t_submit);
static const struct vio_backend_type up_only = FILTER("u", .reap = t_reap);
static const struct vio_backend_type nothing = FILTER("n");

static void build(struct stack *s, const struct vio_backend_type *const *types, unsigned n)
{
	struct vio_backend *next;

	memset(s, 0, sizeof(*s));
	calls[0] = 0;
	assert_int_equal(vio_poller_new(&s->poller, NULL), 0);
	assert_int_equal(vio_backend_new(&s->top, &store_type, NULL, NULL, "65536"), 0);
	s->store = s->top->priv;
	for (unsigned i = 0; i < n; i++) {
		next = s->top;
		assert_int_equal(vio_backend_new(&s->top, types[i], next, NULL, NULL), 0);
		vio_backend_free(next);
	}
	assert_int_equal(vio_lane_new(&s->lane, s->top, s->poller, NULL), 0);
	assert_int_equal(vio_req_pool_new(&s->pool, s->lane, 4, 1), 0);
}

static void one_request(struct stack *s)
{
	char buf[512];
	struct vio_req *r = stack_req(s, VIO_OP_READ, 0, buf, sizeof(buf));

	calls[0] = 0;
	vio_lane_submit(s->lane, &r, 1);
	assert_int_equal(vio_lane_reap(s->lane, &r, 1), 1);
	vio_req_put(s->pool, r);
}

static void down_then_up(void **state)
{
	const struct vio_backend_type *types[] = { &full_a, &full_b };
	VIO_OPTS(vio_backend_info, i);
	struct stack s;

	(void)state;
	build(&s, types, 2);
	expect("open-a open-b lane_open-a lane_open-b");
	assert_int_equal(vio_backend_info(s.top, &i), 0);
	assert_int_equal(i.size, 65536 - 1024);
	expect("info-a info-b");
	assert_int_equal(vio_lane_room(s.lane), s.store->room - 2);
	expect("room-b room-a");
	one_request(&s);
	expect("submit-b submit-a reap-a reap-b");
	stack_down(&s);
	expect("lane_close-b lane_close-a close-b close-a");
}

static void what_is_not_there_is_skipped(void **state)
{
	const struct vio_backend_type *types[] = { &nothing, &down_only, &nothing, &up_only, &nothing };
	struct stack s;

	(void)state;
	build(&s, types, 5);
	one_request(&s);
	expect("submit-d reap-u");
	assert_ptr_equal(s.lane->submit_at->type, &down_only);
	assert_ptr_equal(s.lane->reap_at->type, &up_only);
	assert_ptr_equal(s.lane->room_at->type, &store_type);
	stack_down(&s);
}

/* One lane over another thread's: each has its own state, the backend is one. */
static void lanes_of_one_backend(void **state)
{
	const struct vio_backend_type *types[] = { &full_a };
	struct vio_lane *second;
	struct stack s;

	(void)state;
	build(&s, types, 1);
	expect("open-a lane_open-a");
	assert_int_equal(vio_lane_new(&second, s.top, s.poller, NULL), 0);
	expect("lane_open-a");
	assert_ptr_equal(second->backend, s.lane->backend);
	assert_ptr_not_equal(second->priv, s.lane->priv);
	vio_lane_free(second);
	expect("lane_close-a");
	stack_down(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(down_then_up),
		cmocka_unit_test(what_is_not_there_is_skipped),
		cmocka_unit_test(lanes_of_one_backend),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
