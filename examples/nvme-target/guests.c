/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* strsep */
/* Virtual machines: a socket and a controller of its own for each, "PATH[,secondaries=N|,secondary=N]". */
#include "target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct guest {
	char text[256], *path;
	unsigned secondaries; /* that it is to have */
	unsigned number;      /* as one of the last that has some */
};

static int guest_refuse(const char *text, const char *why)
{
	fprintf(stderr, "nvme-target: --vfio-user %s: %s\n", text, why);
	return -1;
}

static int guest_read(struct guest *g, const char *text)
{
	char *rest = g->text, *word, *end = NULL;
	unsigned *number;

	*g = (struct guest){ .secondaries = 0 };
	if (snprintf(g->text, sizeof(g->text), "%s", text) >= (int)sizeof(g->text))
		return guest_refuse(text, "expected less text");
	g->path = strsep(&rest, ",");
	word = strsep(&rest, ",");
	if (!word)
		return 0;
	number = !strncmp(word, "secondaries=", 12) ? &g->secondaries
		 : !strncmp(word, "secondary=", 10) ? &g->number
						    : NULL;
	if (number)
		*number = (unsigned)strtoul(strchr(word, '=') + 1, &end, 10);
	if (!number || !*number || *end || rest)
		return guest_refuse(text, "expected PATH, then ,secondaries=N or ,secondary=N");
	return 0;
}

static int guest_controller(struct target *t, const struct guest *g)
{
	VIO_OPTS(vio_nvme_pci_opts, o, .pollers = t->pollers, .npollers = t->threads,
		 .secondaries = g->secondaries);
	struct vio_pci **f = &t->guests[t->nguests].controller;
	char host[512];

	/* The same after a restart, so that namespaces are attached to it still. */
	if (snprintf(host, sizeof(host), "%s:guest-%u", t->nqn, t->nguests + 1) <= 223)
		o.host = host;
	if (!g->number)
		return vio_nvme_pci_new(f, t->pollers[0], t->subsystem, &o);
	return vio_nvme_pci_secondary(f, t->primary, g->number, &o);
}

static int guest_open(struct target *t, const char *text)
{
	unsigned i = t->nguests;
	struct guest g;

	if (guest_read(&g, text))
		return -1;
	if (g.number && !t->primary)
		return guest_refuse(text, "expected one with secondaries=N before it");
	if (guest_controller(t, &g))
		return guest_refuse(text, vio_errmsg());
	if (g.secondaries)
		t->primary = t->guests[i].controller;
	t->nguests++;
	VIO_OPTS(vio_vfio_user_opts, socket, .path = g.path);
	if (vio_vfio_user_new(&t->guests[i].socket, t->pollers[0], t->guests[i].controller, &socket))
		return guest_refuse(text, vio_errmsg());
	say(t, VIO_LOG_INFO, "%s at %s", t->nqn, g.path);
	return 0;
}

int guests_open(struct target *t)
{
	for (unsigned i = 0; i < t->nsockets; i++)
		if (guest_open(t, t->sockets[i]))
			return -1;
	return 0;
}

void guests_stop_sockets(struct target *t, void (*ended)(void *t))
{
	for (unsigned i = 0; i < t->nguests; i++) {
		if (!t->guests[i].socket)
			continue;
		t->ending++;
		vio_vfio_user_stop(t->guests[i].socket, ended, t);
	}
}

void guests_stop_controllers(struct target *t, void (*ended)(void *t))
{
	for (unsigned i = 0; i < t->nguests; i++) {
		vio_vfio_user_free(t->guests[i].socket);
		t->guests[i].socket = NULL;
		t->ending++;
		vio_nvme_pci_stop(t->guests[i].controller, ended, t);
	}
}

void guests_close(struct target *t)
{
	for (unsigned i = t->nguests; i--;) {		 /* a primary comes after its secondaries */
		vio_vfio_user_free(t->guests[i].socket); /* there still if serving has not begun */
		vio_nvme_pci_free(t->guests[i].controller);
	}
}
