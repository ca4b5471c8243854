/* SPDX-License-Identifier: MIT */
/*
 * While a disk is open and after it is closed, no page that a core dump would show
 * holds half of the key; and while it is open, the pages that hold it are locked.
 */
#include "store.h"
#include "keyfile.h"

#include <malloc.h>
#include <pthread.h>

#define HALF 32

/* The key is kept here inverted, so that the test itself does not hold what it looks for. */
static unsigned char inverse[64];

static bool is_half(const unsigned char *p, unsigned half)
{
	for (unsigned i = 0; i < HALF; i++)
		if ((p[i] ^ inverse[half * HALF + i]) != 0xff)
			return false;
	return true;
}

/* By memchr, since each build with a sanitizer would take its time over every byte. */
static unsigned halves_in(const unsigned char *p, size_t len)
{
	unsigned n = 0;

	for (unsigned half = 0; half < 2; half++) {
		const unsigned char *at = p, *end = p + len - HALF + 1, first = inverse[half * HALF] ^ 0xff;

		for (; at < end && (at = memchr(at, first, (size_t)(end - at))); at++)
			n += is_half(at, half);
	}
	return n;
}

struct found {
	unsigned dumped, hidden, unlocked;
};

/* Reads a mapping through the kernel, since some cannot be read. */
static unsigned search(int mem, unsigned long from, unsigned long to)
{
	static unsigned char buf[(1 << 20) + HALF];
	unsigned n = 0;

	for (unsigned long at = from; at < to; at += 1 << 20) {
		ssize_t got = pread(mem, buf, VIO_MIN(sizeof(buf), to - at), (off_t)at);

		if (got >= HALF)
			n += halves_in(buf, (size_t)got);
	}
	memset(buf, 0, sizeof(buf));
	return n;
}

static struct found look(void)
{
	FILE *smaps = fopen("/proc/self/smaps", "re");
	int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	unsigned long from = 0, to = 0, a, z;
	struct found f = { 0, 0, 0 };
	char line[512], perms[8] = "", p[8];
	unsigned n;

	assert_non_null(smaps);
	assert_true(mem >= 0);
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx %7s", &a, &z, p) == 3) {
			from = a;
			to = z;
			strcpy(perms, p);
		}
		if (strncmp(line, "VmFlags:", 8))
			continue;
		if (perms[0] != 'r' || perms[1] != 'w' || to - from > 1ul << 30)
			continue;
		n = search(mem, from, to);
		if (strstr(line, " dd"))
			f.hidden += n;
		else
			f.dumped += n;
		if (!strstr(line, " lo"))
			f.unlocked += n;
	}
	fclose(smaps);
	close(mem);
	return f;
}

static void make_key(char *path)
{
	unsigned char key[64];

	fill(key, sizeof(key), 99);
	for (unsigned i = 0; i < 64; i++)
		inverse[i] = (unsigned char)~key[i];
	keyfile_write(path, key, sizeof(key));
	assert_true(look().dumped >= 2); /* the search finds what is there */
	explicit_bzero(key, sizeof(key));
}

static void uint64_counter(void *ctx, const char *layer, const char *counter, uint64_t value)
{
	if (!strcmp(layer, "crypt") && !strcmp(counter, "key-protected"))
		*(uint64_t *)ctx = value;
}

static void keys_are_hidden(void **state)
{
	char path[] = KEYFILE_NAME, arg[128];
	uint64_t protected = 0;
	struct stack s;
	struct found f;
	char buf[4096] = "";

	(void)state;
	make_key(path);
	snprintf(arg, sizeof(arg), "crypt:keyfile=%s", path);
	stack_up(&s, arg, 1 << 20);
	unlink(path);
	assert_int_equal(stack_io(&s, VIO_OP_WRITE, 0, buf, sizeof(buf)), 0);
	assert_int_equal(stack_io(&s, VIO_OP_READ, 0, buf, sizeof(buf)), 0);
	vio_backend_stats(s.top, uint64_counter, &protected);
	f = look();
	stack_down(&s);
	assert_int_equal(protected, 1);
	assert_int_equal(f.dumped, 0);
	assert_true(f.hidden > 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* whose mlock does nothing */
	assert_int_equal(f.unlocked, 0);
#endif
	f = look();
	assert_int_equal(f.dumped + f.hidden, 0);
}

#define LANES 100

/* Opens and closes many; the sentence of what failed, or NULL. */
static void *open_many(void *stack)
{
	struct stack *s = stack;
	struct vio_lane *lane[LANES] = { NULL };
	void *gap[LANES];
	char *why = NULL;

	for (unsigned i = 0; i < LANES; i++) {
		gap[i] = malloc(40 * i);
		if (!why && vio_lane_new(&lane[i], s->top, s->poller, NULL))
			why = strdup(vio_errmsg());
	}
	for (unsigned i = 0; i < LANES; i++) {
		vio_lane_free(lane[i]);
		free(gap[i]);
	}
	return why;
}

/* Heaps end here as soon as they can, at times right behind a lane's keys. What follows is not mapped, or,
 * behind a thread's own heap, may not be touched. */
static void a_heap_may_end_behind_a_key(void **state)
{
	char path[] = KEYFILE_NAME, arg[128];
	struct stack s;
	pthread_t t;
	void *why;

	(void)state;
	mallopt(M_TOP_PAD, 0);
	make_key(path);
	snprintf(arg, sizeof(arg), "crypt:keyfile=%s,bounce=64K", path);
	stack_up(&s, arg, 1 << 20);
	unlink(path);
	assert_null(open_many(&s));
	assert_int_equal(pthread_create(&t, NULL, open_many, &s), 0);
	assert_int_equal(pthread_join(t, &why), 0);
	assert_null(why);
	stack_down(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_hidden),
		cmocka_unit_test(a_heap_may_end_behind_a_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
