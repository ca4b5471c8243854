/* SPDX-License-Identifier: MIT */
/*
 * One rate limit shared by any number of threads: a token bucket kept as one word,
 * the virtual time. Its distance behind now is what the bucket holds, in
 * nanoseconds' worth of tokens; at most the burst. A reservation moves it ahead by
 * its cost and gets back when it may go. No lock: one compare-and-swap.
 */
#ifndef VIO_FILTER_LIMIT_H
#define VIO_FILTER_LIMIT_H

#include "base/barrier.h"
#include "base/base.h"

#define VIO__LIMIT_SECOND 1000000000ull

struct vio__limit {
	uint64_t rate;	/* a second; 0: unlimited */
	uint64_t burst; /* nanoseconds' worth that may come at once; not 0 if there is a rate */
	uint64_t vtime;
};

/* How long n tokens take, rounded up so that the rate is never exceeded. Saturates at 2^62 ns, 146 years. */
VIO_INLINE uint64_t vio__limit_cost(uint64_t rate, uint64_t n)
{
	unsigned __int128 ns = ((unsigned __int128)n * VIO__LIMIT_SECOND + rate - 1) / rate;

	return ns > UINT64_MAX / 4 ? UINT64_MAX / 4 : (uint64_t)ns;
}

/* From now on; debts under the old rate are forgiven. burst 0: a tenth of a second's worth. */
VIO_INLINE void vio__limit_set(struct vio__limit *m, uint64_t rate, uint64_t burst, uint64_t now)
{
	uint64_t ns = rate ? vio__limit_cost(rate, burst ? burst : VIO_MAX(rate / 10, 1u)) : 0;
	uint64_t v = VIO_LOAD(&m->vtime);

	VIO_STORE(&m->burst, VIO_MAX(ns, 1u));
	VIO_STORE(&m->rate, rate);
	while (v > now &&
	       !__atomic_compare_exchange_n(&m->vtime, &v, now, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

struct vio__limit_step {
	uint64_t vtime;	  /* after the reservation */
	uint64_t release; /* when it may go; a cost above the burst waits for a full bucket */
};

VIO_INLINE struct vio__limit_step vio__limit_step(uint64_t vtime, uint64_t burst, uint64_t cost, uint64_t now)
{
	uint64_t base = VIO_MAX(vtime, now > burst ? now - burst : 0), wait = VIO_MIN(cost, burst);
	struct vio__limit_step s = { base + cost, base + wait };

	if (s.vtime < base || s.vtime > UINT64_MAX / 2)
		s.vtime = UINT64_MAX / 2;
	return s;
}

/* Could n tokens go now? */
VIO_INLINE bool vio__limit_ready(const struct vio__limit *m, uint64_t n, uint64_t now)
{
	uint64_t rate = VIO_LOAD(&m->rate);

	return !rate ||
	       vio__limit_step(VIO_LOAD(&m->vtime), VIO_LOAD(&m->burst), vio__limit_cost(rate, n), now)
			       .release <= now;
}

/* Takes n tokens, of the future if need be; when they may be used. */
VIO_INLINE uint64_t vio__limit_reserve(struct vio__limit *m, uint64_t n, uint64_t now)
{
	uint64_t rate = VIO_LOAD(&m->rate), v = VIO_LOAD(&m->vtime), cost;
	struct vio__limit_step s;

	if (!rate || !n)
		return now;
	cost = vio__limit_cost(rate, n);
	do
		s = vio__limit_step(v, VIO_LOAD(&m->burst), cost, now);
	while (!__atomic_compare_exchange_n(&m->vtime, &v, s.vtime, false, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED));
	return s.release;
}

#endif
