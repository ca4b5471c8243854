/* SPDX-License-Identifier: MIT */
/*
 * How many 4 KiB reads a second does an NBD server give to libnbd? bench/nvme_tcp.c's peer: as many reads
 * under way, at random over as many bytes.
 *
 *   nbd_peer PORT QD SECONDS          prints JSON
 */
#include "reads.h"

#include <libnbd.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_QD 128u

static char data[MAX_QD][READ_BLOCK];
static uint64_t done;
static uint32_t idle[MAX_QD], nidle;

static void check(int rc)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "%s\n", nbd_get_error());
	exit(1);
}

/* 1: the library forgets the command. */
static int complete(void *user, int *error)
{
	if (*error) {
		fprintf(stderr, "a read failed: %d\n", *error);
		exit(1);
	}
	idle[nidle++] = (uint32_t)(uintptr_t)user;
	done++;
	return 1;
}

static void more(struct nbd_handle *h)
{
	while (nidle) {
		uint32_t i = idle[--nidle];
		nbd_completion_callback end = { .callback = complete, .user_data = (void *)(uintptr_t)i };
		int64_t rc = nbd_aio_pread(h, data[i], READ_BLOCK, (uint64_t)read_any() * READ_BLOCK, end, 0);

		check(rc < 0 ? -1 : 0);
	}
}

int main(int argc, char **argv)
{
	struct nbd_handle *h = nbd_create();
	unsigned qd = argc == 4 ? (unsigned)atoi(argv[2]) : 0;
	double begin, end, t;

	if (!qd || qd > MAX_QD) {
		fputs("usage: nbd_peer PORT QD SECONDS; QD is 1 to 128\n", stderr);
		return 2;
	}
	check(h ? nbd_connect_tcp(h, "127.0.0.1", argv[1]) : -1);
	for (nidle = 0; nidle < qd; nidle++)
		idle[nidle] = nidle;
	begin = read_clock();
	end = begin + atof(argv[3]);
	do {
		more(h);
		check(nbd_poll(h, -1));
		t = read_clock();
	} while (t < end);
	printf("{\"iops\": %.0f}\n", (double)done / (t - begin));
	return 0;
}
