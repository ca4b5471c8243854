/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* strsep, usleep */
/* Where hosts connect: "ADDR:PORT[,port=N][,as=ADDR:PORT]", and where else they may. */
#include "target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LISTEN_TRIES 50u
#define LISTEN_PAUSE_US 20000u

struct listen {
	char text[256], *address, *as;
	unsigned port;
};

/* Cuts it in place. NULL, or what was expected. */
static const char *listen_read(struct listen *l, const char *text, unsigned port)
{
	char *rest, *word, *end;

	if (snprintf(l->text, sizeof(l->text), "%s", text) >= (int)sizeof(l->text))
		return "expected less text";
	rest = l->text;
	l->address = strsep(&rest, ",");
	l->as = NULL;
	l->port = port;
	while ((word = strsep(&rest, ","))) {
		if (!strncmp(word, "as=", 3)) {
			l->as = word + 3;
			continue;
		}
		l->port = strncmp(word, "port=", 5) ? 0 : (unsigned)strtoul(word + 5, &end, 10);
		if (!l->port || l->port > UINT16_MAX || *end)
			return "expected ADDR:PORT, then ,port=N from 1 to 65535 or ,as=ADDR:PORT";
	}
	return NULL;
}

static int listen_refuse(const char *option, const char *text, const char *why)
{
	fprintf(stderr, "nvme-target: --%s %s: %s\n", option, text, why);
	return -1;
}

/* One that was killed has its port until the kernel has ended its I/O. */
static int listen_patiently(struct target *t, const struct vio_nvme_tcp_opts *o)
{
	int rc = -1;

	for (unsigned i = 0; i < LISTEN_TRIES && rc; i++) {
		rc = vio_nvme_tcp_new(&t->tcp[t->ntcp], t->pollers[0], t->subsystem, o);
		if (rc != -EADDRINUSE)
			break;
		usleep(LISTEN_PAUSE_US);
	}
	return rc;
}

static int listen_open(struct target *t, const char *text)
{
	VIO_OPTS(vio_nvme_tcp_opts, o, .pollers = t->pollers, .npollers = t->threads,
		 .no_digests = t->no_digests);
	struct listen l;
	const char *wrong = listen_read(&l, text, t->ntcp + 1);

	if (wrong)
		return listen_refuse("listen", text, wrong);
	o.address = l.address;
	o.advertise = l.as;
	o.port = (uint16_t)l.port;
	if (listen_patiently(t, &o))
		return listen_refuse("listen", text, vio_errmsg());
	say(t, VIO_LOG_INFO, "%s at %s, port %u", t->nqn, l.address, vio_nvme_tcp_port(t->tcp[t->ntcp]));
	t->ntcp++;
	access_note_port(t, l.port);
	return 0;
}

static int listen_refer(struct target *t, const char *text)
{
	struct listen l;
	const char *wrong = listen_read(&l, text, 1);

	if (!wrong && l.as)
		wrong = "expected no as=: it is only named";
	if (wrong)
		return listen_refuse("refer", text, wrong);
	if (vio_nvme_tcp_refer(t->subsystem, l.address, (uint16_t)l.port))
		return listen_refuse("refer", text, vio_errmsg());
	return 0;
}

int listens_open(struct target *t)
{
	if (!t->nlistens && !t->nsockets)
		t->listens[t->nlistens++] = "127.0.0.1:4420";
	for (unsigned i = 0; i < t->nlistens; i++)
		if (listen_open(t, t->listens[i]))
			return -1;
	for (unsigned i = 0; i < t->nrefers; i++)
		if (listen_refer(t, t->refers[i]))
			return -1;
	return 0;
}

void listens_stop(struct target *t, void (*ended)(void *t))
{
	for (unsigned i = 0; i < t->ntcp; i++) {
		t->ending++;
		vio_nvme_tcp_stop(t->tcp[i], ended, t);
	}
}

void listens_close(struct target *t)
{
	for (unsigned i = 0; i < t->ntcp; i++)
		vio_nvme_tcp_free(t->tcp[i]);
}
