/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* the registers' names in ucontext.h */
/*
 * Without an inflight region a queue goes on where its ring stands, whatever its front end says of
 * that: nothing is lost and nothing comes twice, wherever the last server died.
 */
#include "mortal_deaths.h"

static struct vio_queue_state where(struct vio_queue *q)
{
	struct vio_queue_state is;

	ok(vio_queue_save(q, &is));
	return is;
}

/* Its server took all, gave `given` of them, and died; the next one begins at these. */
static void dies_after(struct mortal *s, struct vio_queue *q, unsigned given)
{
	struct vio_queue_state was = where(q), is;
	struct vio_req *r[MORTAL_MAX];
	unsigned n, have;

	mortal_fill(s);
	n = have = (unsigned)vio_queue_take(q, r, MORTAL_MAX);
	while (n > have - given)
		mortal_give(q, r, &n, 0);
	vio_queue_flush(q);
	mortal_reap(s);
	vio_queue_free(q);
	q = mortal_server(s);
	assert_non_null(q);
	is = where(q);
	assert_int_equal(is.avail_idx, is.used_idx);
	assert_int_equal(is.avail_wrap, is.used_wrap);
	if (s->longest == 1 && s->g.packed) {
		assert_int_equal(is.used_idx, (was.used_idx + given) % s->g.size);
		assert_int_equal(is.used_wrap, was.used_wrap ^ (was.used_idx + given >= s->g.size));
	} else if (!s->g.packed) {
		assert_int_equal(is.used_idx, (uint16_t)(was.used_idx + given));
	}
	mortal_serve(s, q);
	vio_queue_free(q);
}

/* At each place of two laps, with each number of requests given and not given, the driver ahead or not. */
static void each_place(uint64_t features, unsigned size, unsigned longest)
{
	for (unsigned at = 0; at < 2 * size; at++)
		for (unsigned given = 0; given <= size; given++) {
			struct mortal s;
			struct vio_queue *q;

			mortal_open(&s, features, size, false);
			s.longest = longest;
			q = mortal_server(&s);
			mortal_advance(&s, q, at);
			dies_after(&s, q, longest == 1 ? given : given / longest);
			mortal_succeed(&s);
			assert_int_equal(s.b.empty, 0);
			mortal_close(&s);
		}
}

static void a_queue_goes_on_at_each_place(void **state)
{
	static const unsigned sizes[] = { 1, 2, 4, 8 }, odd[] = { 3, 5, 13 };

	(void)state;
	for (unsigned longest = 1; longest < 4; longest += 2) {
		for (unsigned i = 0; i < VIO_ARRAY_SIZE(sizes); i++) {
			each_place(V1, sizes[i], longest);
			each_place(PACKED, sizes[i], longest);
		}
		for (unsigned i = 0; i < VIO_ARRAY_SIZE(odd); i++)
			each_place(PACKED, odd[i], longest);
	}
}

/* The front end says this; the ring, which stands at 5, knows better. */
static void front_end_says(uint64_t features, struct vio_queue_state says)
{
	struct vio_queue_opts o;
	struct vio_queue *q;
	struct mortal s;

	mortal_open(&s, features, 16, false);
	s.longest = 1;
	q = mortal_server(&s);
	mortal_advance(&s, q, 5);
	vio_queue_free(q);
	mortal_fill(&s);
	o = rg_opts(&s.g);
	o.flags = VIO_QUEUE_RESUMABLE;
	o.state = &says;
	ok(vio_queue_new(&q, &o));
	assert_int_equal(where(q).used_idx, 5);
	assert_int_equal(where(q).avail_idx, 5);
	mortal_serve(&s, q);
	vio_queue_free(q);
	mortal_close(&s);
}

static void a_base_behind_or_ahead_does_no_harm(void **state)
{
	(void)state;
	for (uint16_t says = 0; says < 16; says++) {
		front_end_says(V1, (struct vio_queue_state){ says, says, 0, 0, { 0 } });
		front_end_says(V1, (struct vio_queue_state){ says, 5, 0, 0, { 0 } });
		for (uint8_t wrap = 0; wrap < 2; wrap++)
			front_end_says(PACKED, (struct vio_queue_state){ says, says, wrap, wrap, { 0 } });
		front_end_says(PACKED, (struct vio_queue_state){ says, 5, 1, 1, { 0 } });
	}
	front_end_says(V1, (struct vio_queue_state){ 65530, 65530, 0, 0, { 0 } });
}

/* In whatever order they are given, they are used in the ring's; mortal_reap insists on it. */
static void given(uint64_t features)
{
	struct vio_req *r[16];
	struct vio_queue *q;
	struct mortal s;
	unsigned n;

	mortal_open(&s, features, 16, false);
	s.longest = 1;
	q = mortal_server(&s);
	mortal_fill(&s);
	n = (unsigned)vio_queue_take(q, r, 16);
	assert_int_equal(n, 16);
	while (n > 1) {
		mortal_give(q, r, &n, 1 + mortal_dice(&s, n - 1));
		vio_queue_flush(q);
		mortal_reap(&s);
		assert_int_equal(s.b.done, 0); /* the oldest is out */
	}
	mortal_give(q, r, &n, 0);
	mortal_reap(&s);
	assert_int_equal(s.b.done, 0);
	vio_queue_flush(q);
	mortal_reap(&s);
	assert_int_equal(s.b.done, 16);
	mortal_serve(&s, q);
	vio_queue_free(q);
	mortal_close(&s);
}

static void requests_are_used_in_the_order_of_the_ring(void **state)
{
	(void)state;
	given(V1);
	given(PACKED);
	given(V1 | EVENT_IDX);
	given(PACKED | IN_ORDER);
}

/* Given, and the server died before the flush: of a split ring they are served again, of a packed one not. */
static void never_flushed(uint64_t features, unsigned longest, unsigned size, unsigned at)
{
	struct vio_req *r[MORTAL_MAX];
	struct vio_queue *q;
	struct mortal s;
	unsigned n;

	mortal_open(&s, features, size, false);
	s.longest = longest;
	q = mortal_server(&s);
	mortal_advance(&s, q, at);
	s.b.done = s.b.next_tag = at + 1; /* so that each has an answer that is not 0 */
	mortal_fill(&s);
	n = (unsigned)vio_queue_take(q, r, MORTAL_MAX);
	while (n)
		mortal_give(q, r, &n, n - 1);
	vio_queue_free(q);
	mortal_reap(&s);
	assert_int_equal(s.b.done, at + 1);
	n = (unsigned)(s.b.next_tag - s.b.done);
	mortal_succeed(&s);
	assert_int_equal(s.b.empty, s.g.packed && size > 1 && (n > 1 || longest > 1) ? n : 0);
	mortal_close(&s);
}

static void what_was_given_and_not_flushed_comes_once(void **state)
{
	(void)state;
	for (unsigned at = 0; at < 20; at++) {
		never_flushed(V1, 1, 16, at);
		never_flushed(V1, 3, 16, at);
		never_flushed(PACKED, 1, 16, at);
		never_flushed(PACKED, 1, 13, at);
		never_flushed(PACKED, 1, 2, at);
		never_flushed(PACKED, 1, 1, at);
	}
}

static void life(struct vio_queue *q)
{
	struct vio_req *r[2 * MORTAL_MAX];
	unsigned n = (unsigned)vio_queue_take(q, r, 5);

	while (n > 1)
		mortal_give(q, r, &n, n / 2);
	vio_queue_flush(q);
	n += (unsigned)vio_queue_take(q, r + n, MORTAL_MAX);
	while (n)
		mortal_give(q, r, &n, n / 3);
	vio_queue_publish(q);
	n = (unsigned)vio_queue_take(q, r, 5);
	vio_queue_kicks(q, true);
	vio_queue_flush(q);
}

static unsigned dies_at(uint64_t features, unsigned size, unsigned longest, unsigned at, unsigned posted)
{
	struct vio_queue *q;
	struct mortal s;
	unsigned n;

	mortal_open(&s, features, size, false);
	s.longest = longest;
	q = mortal_server(&s);
	mortal_advance(&s, q, at);
	vio_queue_free(q);
	while (posted-- && mortal_post(&s))
		;
	n = mortal_everywhere(&s, life);
	mortal_close(&s);
	return n;
}

/* With the ring full, and with little on it, before and behind where it wraps. */
static void dies_everywhere(uint64_t features, unsigned size, unsigned longest)
{
	unsigned n = 0;

	for (unsigned at = 0; at < 2 * size; at += 1 + size / 3)
		n += dies_at(features, size, longest, at, size);
	for (unsigned at = size - 1; at < size + 2; at++)
		n += dies_at(features, size, longest, at, 2);
	print_message("features %#llx, size %u: %u deaths\n", (unsigned long long)features, size, n);
}

static void death_anywhere_is_harmless(void **state)
{
	(void)state;
	if (!WATCHED_STEPS)
		skip();
	dies_everywhere(V1, 16, 3);
	dies_everywhere(V1 | IN_ORDER | EVENT_IDX, 4, 1);
	dies_everywhere(PACKED, 16, 1);
	dies_everywhere(PACKED, 16, 4);
	dies_everywhere(PACKED | EVENT_IDX, 13, 6);
	dies_everywhere(PACKED | IN_ORDER, 3, 1);
	dies_everywhere(PACKED, 2, 2);
}

/* A server that marks nothing but a chain's first descriptor leaves a ring that can't tell: then the state
 * counts. */
static void another_kind_of_server_is_not_taken_for_ours(void **state)
{
	struct vio_queue_state at;
	struct vio_queue_opts o;
	struct vio_queue *q;
	struct mortal s;

	(void)state;
	mortal_open(&s, PACKED, 16, false);
	o = rg_opts(&s.g);
	ok(vio_queue_new(&q, &o));
	mortal_advance(&s, q, 50);
	at = where(q);
	vio_queue_free(q);
	assert_true(mortal_post(&s));
	o.state = &at;
	o.flags = VIO_QUEUE_RESUMABLE;
	ok(vio_queue_new(&q, &o));
	mortal_serve(&s, q);
	vio_queue_free(q);
	mortal_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_queue_goes_on_at_each_place),
		cmocka_unit_test(a_base_behind_or_ahead_does_no_harm),
		cmocka_unit_test(requests_are_used_in_the_order_of_the_ring),
		cmocka_unit_test(what_was_given_and_not_flushed_comes_once),
		cmocka_unit_test(death_anywhere_is_harmless),
		cmocka_unit_test(another_kind_of_server_is_not_taken_for_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
