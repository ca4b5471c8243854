/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <stdio.h>

/* The middle of the histogram's text: a bucket's lower bound in a unit that reads well. */
static const char *duration(char text[16], unsigned bucket)
{
	double ns = (double)(1ull << bucket);

	if (ns < 1e3)
		snprintf(text, 16, "%.0f ns", ns);
	else if (ns < 1e6)
		snprintf(text, 16, "%.3g us", ns / 1e3);
	else if (ns < 1e9)
		snprintf(text, 16, "%.3g ms", ns / 1e6);
	else
		snprintf(text, 16, "%.3g s", ns / 1e9);
	return text;
}

static uint64_t total(const struct vio_vq_stats *q)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < VIO_VQ_BUCKETS; i++)
		n += q->latency[i];
	return n;
}

/* The bucket below whose end `permille` of all latencies lie. */
static unsigned percentile(const struct vio_vq_stats *q, unsigned permille)
{
	uint64_t want = (total(q) * permille + 999) / 1000, n = 0;
	unsigned i = 0;

	for (; i < VIO_VQ_BUCKETS - 1; i++) {
		n += q->latency[i];
		if (n >= want)
			break;
	}
	return i;
}

static void print_histogram(const struct vio_vq_stats *q)
{
	static const unsigned permille[] = { 500, 900, 990, 999 };
	static const char bar[] = "########################################";
	uint64_t most = 1;
	char a[16], b[16];

	for (unsigned i = 0; i < sizeof(permille) / sizeof(permille[0]); i++)
		printf("%s %g %% < %s", i ? "," : "    latency:", permille[i] / 10.0,
		       duration(a, percentile(q, permille[i]) + 1));
	putchar('\n');
	for (unsigned i = 0; i < VIO_VQ_BUCKETS; i++)
		most = q->latency[i] > most ? q->latency[i] : most;
	for (unsigned i = 0; i < VIO_VQ_BUCKETS; i++)
		if (q->latency[i])
			printf("    %8s to %8s %12llu %.*s\n", duration(a, i), duration(b, i + 1),
			       (unsigned long long)q->latency[i],
			       (int)((40 * q->latency[i] + most - 1) / most), bar);
}

static void print_queue(const struct disk *d, unsigned index)
{
	VIO_OPTS(vio_vq_stats, q);

	if (vio_vq_stats(d->dev, index, &q))
		return;
	printf("  queue %u: %llu requests, %.1f MiB read, %.1f MiB written, %llu flushes, %llu errors, "
	       "%llu kicks, %llu interrupts, %llu in flight\n",
	       index, (unsigned long long)q.requests, (double)q.bytes_read / 0x1p20,
	       (double)q.bytes_written / 0x1p20, (unsigned long long)q.flushes, (unsigned long long)q.errors,
	       (unsigned long long)q.kicks, (unsigned long long)q.notified, (unsigned long long)q.inflight);
	if (total(&q))
		print_histogram(&q);
}

static void print_counter(void *ctx, const char *layer, const char *counter, uint64_t value)
{
	(void)ctx;
	printf("  %s: %s %llu\n", layer, counter, (unsigned long long)value);
}

void stats_print(const struct server *s)
{
	for (unsigned i = 0; i < s->ndisks; i++) {
		const struct disk *d = &s->disks[i];

		printf("%s: %s\n", d->set.socket, d->set.stack);
		for (unsigned q = 0; q < vio_dev_queues(d->dev); q++)
			print_queue(d, q);
		vio_backend_stats(d->backend, print_counter, NULL);
	}
	fflush(stdout);
}

/* Only when their threads have ended. */
void stats_print_pollers(const struct server *s)
{
	for (unsigned i = 0; i < s->threads; i++) {
		VIO_OPTS(vio_poller_stats, p);

		vio_poller_stats(s->pollers[i], &p);
		printf("thread %u: %llu passes, %llu sleeps, %llu system calls, %llu I/Os\n", i,
		       (unsigned long long)p.passes, (unsigned long long)p.sleeps,
		       (unsigned long long)p.syscalls, (unsigned long long)p.ios);
	}
	fflush(stdout);
}
