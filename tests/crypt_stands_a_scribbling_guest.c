/* SPDX-License-Identifier: MIT */
/*
 * A guest that changes its buffers while they are encrypted or decrypted gets what it
 * deserves and no more: each word of a write is one that stood there at some moment,
 * which shows that the source was read once; and only its own buffers are touched.
 */
#include "store.h"
#include "keyfile.h"

#include "base/barrier.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define SPACE (256u << 10)
#define OLD 0x6f6c646f6c646f6cull
#define NEW 0x6e65776e65776e65ull

/* Shared with a process that does nothing but write into data. */
static struct guest {
	uint64_t before[512], data[SPACE / 8], after[512];
	unsigned rounds;
} * guest;

static pid_t scribble(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (uint64_t i = 0, v = NEW;; i++) {
		VIO_STORE(&guest->data[i % (SPACE / 8)], v);
		if (i % (SPACE / 8) == 0) {
			v = v == NEW ? OLD : NEW;
			VIO_STORE(&guest->rounds, guest->rounds + 1);
		}
	}
}

static void words(uint64_t *to, unsigned n, uint64_t v)
{
	for (unsigned i = 0; i < n; i++)
		to[i] = v;
}

static void write_while_scribbled(struct stack *s)
{
	static uint64_t back[SPACE / 8];

	for (uint64_t at = 0; at < SPACE; at += 16384)
		assert_int_equal(stack_io(s, VIO_OP_WRITE, at, (char *)guest->data + at, 16384), 0);
	assert_int_equal(stack_io(s, VIO_OP_READ, 0, back, SPACE), 0);
	for (unsigned i = 0; i < SPACE / 8; i++)
		assert_true(back[i] == OLD || back[i] == NEW);
}

static void read_while_scribbled(struct stack *s)
{
	static unsigned char beneath[SPACE];

	memcpy(beneath, s->store->mem, SPACE);
	for (uint64_t at = 0; at < SPACE; at += 16384)
		assert_int_equal(stack_io(s, VIO_OP_READ, at, (char *)guest->data + at, 16384), 0);
	assert_memory_equal(beneath, s->store->mem, SPACE);
	for (unsigned i = 0; i < 512; i++)
		assert_true(guest->before[i] == NEW && guest->after[i] == NEW);
	words(guest->data, SPACE / 8, OLD); /* what was decrypted is of no more use */
}

static void both_ways(void **state)
{
	char path[] = KEYFILE_NAME, arg[128];
	unsigned char key[64];
	unsigned seen;
	struct stack s;
	pid_t pid;

	(void)state;
	fill(key, sizeof(key), 5);
	keyfile_write(path, key, sizeof(key));
	snprintf(arg, sizeof(arg), "crypt:keyfile=%s,sector=4096", path);
	stack_up(&s, arg, SPACE);
	unlink(path);
	guest = mmap(NULL, sizeof(*guest), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(guest != MAP_FAILED);
	words(guest->before, 512, NEW);
	words(guest->data, SPACE / 8, OLD);
	words(guest->after, 512, NEW);
	pid = scribble();
	assert_true(pid > 0);
	for (unsigned i = 0; i < 50; i++) {
		seen = VIO_LOAD(&guest->rounds);
		write_while_scribbled(&s);
		read_while_scribbled(&s);
		while (VIO_LOAD(&guest->rounds) < seen + 2) /* the other process has to have been there */
			vio__relax();
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	stack_down(&s);
	munmap(guest, sizeof(*guest));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(both_ways) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
