/* SPDX-License-Identifier: MIT */
/*
 * Two things measured in turn, A B B A, so that what the machine does meanwhile hits
 * both; what is published is the median over the pairs and its 95 % interval, by
 * order statistics, which assume nothing about the distribution.
 */
#ifndef BENCH_PAIRS_H
#define BENCH_PAIRS_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAIRS 61u

struct pairs {
	double a[PAIRS], b[PAIRS];
};

struct pairs_result {
	double median, low, high;
};

static inline double pairs_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Each measure does one slice of work and returns its figure. What comes before the first pair warms up. */
static inline void pairs_run(struct pairs *p, double (*a)(void *), void *actx, double (*b)(void *),
			     void *bctx)
{
	a(actx);
	b(bctx);
	for (unsigned i = 0; i < PAIRS; i++) {
		if (i % 2)
			p->b[i] = b(bctx);
		p->a[i] = a(actx);
		if (i % 2 == 0)
			p->b[i] = b(bctx);
	}
}

static inline int pairs_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static inline struct pairs_result pairs_median(const double *values)
{
	double s[PAIRS];
	unsigned rank;

	memcpy(s, values, sizeof(s));
	qsort(s, PAIRS, sizeof(*s), pairs_compare);
	/* The binomial's normal approximation, rounded outwards. */
	rank = (unsigned)((PAIRS - 1.96 * sqrt(PAIRS)) / 2);
	return (struct pairs_result){ s[PAIRS / 2], s[rank - 1], s[PAIRS - rank] };
}

/* The pairs' ratios a/b. */
static inline struct pairs_result pairs_ratio(const struct pairs *p)
{
	double r[PAIRS];

	for (unsigned i = 0; i < PAIRS; i++)
		r[i] = p->a[i] / p->b[i];
	return pairs_median(r);
}

/* The pairs' differences a-b. */
static inline struct pairs_result pairs_difference(const struct pairs *p)
{
	double d[PAIRS];

	for (unsigned i = 0; i < PAIRS; i++)
		d[i] = p->a[i] - p->b[i];
	return pairs_median(d);
}

/* One line of JSON; a NaN floor is null. */
static inline void pairs_print(const char *figure, struct pairs_result r, const char *unit,
			       const struct pairs *p, double floor)
{
	printf("{\"figure\":\"%s\",\"value\":%.4g,\"unit\":\"%s\",\"ours\":%.4g,\"peer\":%.4g,\"pairs\":%u,"
	       "\"spread\":[%.4g,%.4g],\"floor\":",
	       figure, r.median, unit, pairs_median(p->a).median, pairs_median(p->b).median, PAIRS, r.low,
	       r.high);
	if (isnan(floor))
		printf("null}\n");
	else
		printf("%g}\n", floor);
	fflush(stdout);
}

#endif
