/* SPDX-License-Identifier: MIT */
/*
 * A token bucket. Positions on one endless line of units: `line`, which advances at the
 * rate and is computed from the clock alone, so that no rounding adds up, and `spent`,
 * which advances with what is taken. What lies between them, at most the burst, is what
 * the bucket holds. Any number of threads take: one compare-and-swap, no lock.
 *
 * Differences count, modulo 2^64: a rate above 10^11 a second and years without a
 * packet do not go together.
 *
 * The throttle filter (filter/limit.h) has one of its own, of another kind: it keeps time instead of units,
 * since a request that comes early must know when to go, not whether. That costs a division a request and
 * rounds each request's time up, which is 4 % at 148.8 M packets a second; and it forgives debts when the
 * rate changes, which here are kept. Nothing but a word that is swapped would be shared.
 */
#ifndef VIO_SWITCH_BUCKET_H
#define VIO_SWITCH_BUCKET_H

#include "base/barrier.h"
#include "base/base.h"

#define BUCKET_SECOND 1000000000ull
#define BUCKET_BURST_MAX (1ull << 62)

/* From `since` on the line runs from `from` at `rate` a second. */
struct bucket_pace {
	uint64_t rate;	/* 0: no limit */
	uint64_t burst; /* units; not 0 if there is a rate */
	uint64_t from, since;
};

/* Zeroed: no limit. */
struct bucket {
	uint64_t spent;
	uint64_t turn; /* pace[turn & 1] holds; the other one may be written */
	struct bucket_pace pace[2];
};

/* A pace as it was at one time: another turn may come while it is read. */
VIO_INLINE struct bucket_pace bucket_pace(const struct bucket *b)
{
	struct bucket_pace out;
	uint64_t turn;

	do {
		const struct bucket_pace *p;

		turn = VIO_LOAD_ACQUIRE(&b->turn);
		p = &b->pace[turn & 1];
		out.rate = VIO_LOAD_ACQUIRE(&p->rate);
		out.burst = VIO_LOAD_ACQUIRE(&p->burst);
		out.from = VIO_LOAD_ACQUIRE(&p->from);
		out.since = VIO_LOAD_ACQUIRE(&p->since);
	} while (VIO_UNLIKELY(VIO_LOAD(&b->turn) != turn));
	return out;
}

/* Exact: whole seconds and the rest apart, so that no product leaves 64 bits; divisors are constants. */
VIO_INLINE uint64_t bucket_line(const struct bucket_pace *p, uint64_t now)
{
	uint64_t ns = now > p->since ? now - p->since : 0, rest = ns % BUCKET_SECOND;

	return p->from + ns / BUCKET_SECOND * p->rate + p->rate / BUCKET_SECOND * rest +
	       p->rate % BUCKET_SECOND * rest / BUCKET_SECOND;
}

/* What it holds; negative after more than a burst was taken at once. */
VIO_INLINE int64_t bucket_held(const struct bucket_pace *p, uint64_t spent, uint64_t now)
{
	int64_t held = (int64_t)(bucket_line(p, now) - spent);

	return VIO_MIN(held, (int64_t)p->burst);
}

/*
 * From now on; one thread at a time, others may be taking. What the bucket holds stays, up
 * to the new burst; one that had no limit starts full. burst 0: a tenth of a second's.
 */
VIO_INLINE void bucket_set(struct bucket *b, uint64_t rate, uint64_t burst, uint64_t now)
{
	uint64_t turn = b->turn + 1;
	const struct bucket_pace *old = &b->pace[b->turn & 1];
	struct bucket_pace *p = &b->pace[turn & 1];

	if (!burst)
		burst = VIO_MAX(rate / 10, 1u);
	burst = VIO_MIN(burst, BUCKET_BURST_MAX);
	/* Release stores: a reader that sees one of them sees the turn before it, too. */
	VIO_STORE_RELEASE(&p->rate, rate);
	VIO_STORE_RELEASE(&p->burst, burst);
	VIO_STORE_RELEASE(&p->from, old->rate ? bucket_line(old, now) : VIO_LOAD(&b->spent) + burst);
	VIO_STORE_RELEASE(&p->since, now);
	VIO_STORE_RELEASE(&b->turn, turn);
}

/*
 * false: over the limit, nothing taken. More than the burst goes when the bucket is full and is
 * paid for afterwards: otherwise a packet longer than the burst would never pass.
 */
VIO_INLINE bool bucket_take(struct bucket *b, uint64_t units, uint64_t now)
{
	struct bucket_pace p = bucket_pace(b);
	uint64_t spent;
	int64_t held;

	if (!p.rate)
		return true;
	units = VIO_MIN(units, BUCKET_BURST_MAX);
	spent = VIO_LOAD(&b->spent);
	do {
		held = bucket_held(&p, spent, now);
		if (held < (int64_t)VIO_MIN(units, p.burst))
			return false;
		/* The line less what is held, which forgets what overflowed. */
	} while (!__atomic_compare_exchange_n(&b->spent, &spent,
					      bucket_line(&p, now) - (uint64_t)held + units, false,
					      __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return true;
}

/* Gives back what was taken for a packet that another limit stopped. */
VIO_INLINE void bucket_put(struct bucket *b, uint64_t units)
{
	if (bucket_pace(b).rate)
		__atomic_fetch_sub(&b->spent, units, __ATOMIC_RELAXED);
}

#endif
