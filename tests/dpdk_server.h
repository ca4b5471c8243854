/* SPDX-License-Identifier: MIT */
/* DPDK's testpmd as a vhost-user server of one network card, told what to do by its prompt. */
#ifndef TESTS_DPDK_SERVER_H
#define TESTS_DPDK_SERVER_H

#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct dpdk {
	char dir[32], sock[64];
	pid_t pid;
	FILE *in, *out;
};

/* What testpmd counted between start and stop. */
struct dpdk_counts {
	uint64_t rx, tx, tx_dropped;
};

/* All that this process may use, for either thread: "0@(0,1),1@(0,1)". */
static inline void dpdk_lcores(char *to, size_t size)
{
	char cpus[256] = "";
	cpu_set_t set;
	size_t n = 0;

	sched_getaffinity(0, sizeof(set), &set);
	for (int i = 0; i < 64; i++)
		if (CPU_ISSET(i, &set))
			n += (size_t)snprintf(cpus + n, sizeof(cpus) - n, "%s%d", n ? "," : "", i);
	snprintf(to, size, "0@(%s),1@(%s)", cpus, cpus);
}

static inline void dpdk_exec(const struct dpdk *d, unsigned queues)
{
	char vdev[128], prefix[32], lcores[600], rxq[16], txq[16];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(vdev, sizeof(vdev), "net_vhost0,iface=%s,queues=%u", d->sock, queues);
	snprintf(prefix, sizeof(prefix), "vio%d", getpid());
	dpdk_lcores(lcores, sizeof(lcores));
	snprintf(rxq, sizeof(rxq), "--rxq=%u", queues);
	snprintf(txq, sizeof(txq), "--txq=%u", queues);
	execlp("stdbuf", "stdbuf", "-oL", "dpdk-testpmd", "--no-huge", "-m", "512", "--no-pci",
	       "--no-telemetry", "--file-prefix", prefix, "--lcores", lcores, "--vdev", vdev, "--", "-i",
	       "--total-num-mbufs=8192", "--nb-cores=1", "--no-flush-rx", rxq, txq, (char *)NULL);
	_exit(127);
}

/* Reads on until a line has `text`; false at the end. */
static inline bool dpdk_until(struct dpdk *d, const char *text, char *line, size_t size)
{
	while (fgets(line, (int)size, d->out))
		if (strstr(line, text))
			return true;
	return false;
}

static inline void dpdk_fork(struct dpdk *d, unsigned queues)
{
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
		abort();
	d->pid = fork();
	if (!d->pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(out[1], 2);
		dpdk_exec(d, queues);
	}
	close(in[0]);
	close(out[1]);
	d->in = fdopen(in[1], "w");
	d->out = fdopen(out[0], "r");
}

static inline void dpdk_say(struct dpdk *d, const char *command)
{
	fprintf(d->in, "%s\n", command);
	fflush(d->in);
}

static inline void dpdk_forward(struct dpdk *d, const char *mode)
{
	char line[512];

	fprintf(d->in, "set fwd %s\nstart\n", mode);
	fflush(d->in);
	if (!dpdk_until(d, "packet forwarding - ports=", line, sizeof(line)))
		abort();
}

static inline struct dpdk_counts dpdk_halt(struct dpdk *d)
{
	struct dpdk_counts c = { 0 };
	char line[512];

	dpdk_say(d, "stop");
	if (!dpdk_until(d, "RX-packets:", line, sizeof(line)) ||
	    sscanf(strstr(line, "RX-packets:"), "RX-packets: %lu", &c.rx) != 1 ||
	    !dpdk_until(d, "TX-packets:", line, sizeof(line)) ||
	    sscanf(strstr(line, "TX-packets:"), "TX-packets: %lu TX-dropped: %lu", &c.tx, &c.tx_dropped) !=
		    2 ||
	    !dpdk_until(d, "Done.", line, sizeof(line)))
		abort();
	return c;
}

static inline void dpdk_stop(struct dpdk *d)
{
	kill(d->pid, SIGKILL);
	waitpid(d->pid, NULL, 0);
	fclose(d->in);
	fclose(d->out);
	unlink(d->sock);
	rmdir(d->dir);
}

/* Ends the test program with 77 where there is no DPDK. */
static inline void dpdk_start(struct dpdk *d, unsigned queues)
{
	char line[512];

	signal(SIGPIPE, SIG_IGN);
	strcpy(d->dir, "/tmp/vio-dpdk.XXXXXX");
	if (!mkdtemp(d->dir))
		abort();
	snprintf(d->sock, sizeof(d->sock), "%s/sock", d->dir);
	scratch_forget(d->dir);
	scratch_forget(d->sock);
	dpdk_fork(d, queues);
	if (dpdk_until(d, "Done", line, sizeof(line)))
		return;
	dpdk_stop(d);
	printf("skipped: no dpdk-testpmd that runs: tools/setup dpdk\n");
	exit(77);
}

#endif
