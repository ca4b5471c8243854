/* SPDX-License-Identifier: MIT */
/*
 * Memory of which each access is seen before it happens, so that a test can play the guest that
 * writes just then. The memory can't be touched: the fault opens it, lets the test change it and
 * has the processor stop behind that one instruction, which closes it again. One at a time.
 */
#ifndef TESTS_WATCHED_MEMORY_H
#define TESTS_WATCHED_MEMORY_H

#include "base/base.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define WATCHED_FN static inline __attribute__((unused))
#define WATCHED_PATCHES 8u
#define WATCHED_STEP 0x100 /* the processor's trap flag */

/* Some bytes, as a sound guest has them and as a hostile one. */
struct watched_patch {
	void *at;
	unsigned len;
	unsigned char bytes[2][64];
};

static struct {
	char *base;
	size_t size;
	/* Of the accesses that may see it, `from` and all up to `to` find the hostile bytes; inverse: the
	 * sound ones. */
	unsigned accesses, from, to;
	bool inverse, now, over; /* over: nothing changes any more, so nobody need watch */
	unsigned npatches;
	struct watched_patch patch[WATCHED_PATCHES];
	void (*before)(void); /* or only looks: before each access, with the memory open */
} watched;

/* What is there now stays the sound version. */
WATCHED_FN void watched_hostile(void *at, const void *bytes, unsigned len)
{
	struct watched_patch *p = &watched.patch[watched.npatches++];

	if (watched.npatches > WATCHED_PATCHES || len > sizeof(p->bytes[0]))
		abort();
	p->at = at;
	p->len = len;
	memcpy(p->bytes[0], at, len);
	memcpy(p->bytes[1], bytes, len);
}

WATCHED_FN void watched_write(bool hostile)
{
	for (unsigned i = 0; i < watched.npatches; i++)
		memcpy(watched.patch[i].at, watched.patch[i].bytes[hostile], watched.patch[i].len);
	watched.now = hostile;
}

#ifdef __x86_64__
#define WATCHED_STEPS 1
#define WATCHED_WIDEST 64u /* bytes of one access */

static bool watched_sees(uintptr_t at)
{
	for (unsigned i = 0; i < watched.npatches; i++)
		if (at + WATCHED_WIDEST - (uintptr_t)watched.patch[i].at <
		    WATCHED_WIDEST + watched.patch[i].len)
			return true;
	return false;
}

/* Just before access nth. */
static void watched_change(unsigned nth)
{
	bool hostile = (nth >= watched.from && nth < watched.to) != watched.inverse;

	if (hostile != watched.now)
		watched_write(hostile);
	watched.over = nth >= (watched.to == ~0u ? watched.from : watched.to);
}

static void watched_fault(int sig, siginfo_t *info, void *context)
{
	ucontext_t *u = context;

	if ((uintptr_t)info->si_addr - (uintptr_t)watched.base >= watched.size) {
		signal(sig, SIG_DFL); /* a real one: it happens again */
		return;
	}
	mprotect(watched.base, watched.size, PROT_READ | PROT_WRITE);
	if (watched.before)
		watched.before();
	if (watched_sees((uintptr_t)info->si_addr))
		watched_change(watched.accesses++);
	u->uc_mcontext.gregs[REG_EFL] |= WATCHED_STEP;
}

static void watched_stepped(int sig, siginfo_t *info, void *context)
{
	ucontext_t *u = context;

	(void)sig;
	(void)info;
	u->uc_mcontext.gregs[REG_EFL] &= ~WATCHED_STEP;
	if (!watched.over)
		mprotect(watched.base, watched.size, PROT_NONE);
}

WATCHED_FN void watched_on(void *base, size_t size)
{
	struct sigaction fault = { .sa_sigaction = watched_fault, .sa_flags = SA_SIGINFO };
	struct sigaction step = { .sa_sigaction = watched_stepped, .sa_flags = SA_SIGINFO };

	watched.base = base;
	watched.size = size;
	watched.accesses = 0;
	watched.over = false;
	watched_write(watched.inverse);
	if (sigaction(SIGSEGV, &fault, NULL) || sigaction(SIGTRAP, &step, NULL) ||
	    mprotect(base, size, PROT_NONE))
		abort();
}

WATCHED_FN void watched_off(void)
{
	mprotect(watched.base, watched.size, PROT_READ | PROT_WRITE);
	signal(SIGSEGV, SIG_DFL);
	signal(SIGTRAP, SIG_DFL);
	watched.npatches = 0;
}
#else
#define WATCHED_STEPS 0

WATCHED_FN void watched_on(void *base, size_t size)
{
	(void)base;
	(void)size;
}

WATCHED_FN void watched_off(void)
{
}
#endif

/*
 * Plays with the bytes changing at each single access there is to them: for good, and for that access
 * only; from sound to hostile, and the other way round. `play` sets the scene, tells what to
 * write, and has the memory watched while the library looks. Returns the most accesses seen.
 */
WATCHED_FN unsigned watched_each(void (*play)(const void *arg), const void *arg)
{
	unsigned most = 0;

	for (unsigned how = 0; how < 4; how++) {
		watched.inverse = how & 1;
		for (unsigned n = 0;; n++) {
			watched.from = n;
			watched.to = how & 2 ? n + 1 : ~0u;
			play(arg);
			most = VIO_MAX(most, watched.accesses);
			if (watched.accesses <= n)
				break;
		}
	}
	return most;
}

#endif
