/* SPDX-License-Identifier: MIT */
#include "target.h"

#include <stdio.h>

static void connections_print(struct vio_nvme_tcp *tcp)
{
	VIO_OPTS(vio_nvme_tcp_stats, c);

	vio_nvme_tcp_stats(tcp, &c);
	printf("  connections: %llu, %llu accepted, %llu refused, %llu against the protocol, %llu timed "
	       "out\n",
	       (unsigned long long)c.connections, (unsigned long long)c.accepted,
	       (unsigned long long)c.refused, (unsigned long long)c.violations,
	       (unsigned long long)c.timeouts);
}

void stats_print(const struct target *t)
{
	VIO_OPTS(vio_nvme_stats, n);

	vio_nvme_stats(t->subsystem, &n);
	printf("%s: %llu controllers, %llu queues\n", t->nqn, (unsigned long long)n.controllers,
	       (unsigned long long)n.queues);
	printf("  %llu reads, %llu writes, %llu other I/O commands, %.1f MiB read, %.1f MiB written\n",
	       (unsigned long long)n.reads, (unsigned long long)n.writes, (unsigned long long)n.others,
	       (double)n.bytes_read / 0x1p20, (double)n.bytes_written / 0x1p20);
	printf("  %llu admin commands, %llu commands failed, %llu of them in the store\n",
	       (unsigned long long)n.admin, (unsigned long long)n.errors, (unsigned long long)n.media_errors);
	for (unsigned i = 0; i < t->ntcp; i++)
		connections_print(t->tcp[i]);
	fflush(stdout);
}
