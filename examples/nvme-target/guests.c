/* SPDX-License-Identifier: MIT */
/* Virtual machines: a socket and a controller of its own for each. */
#include "target.h"

#include <stdio.h>

static int guest_open(struct target *t, const char *path)
{
	VIO_OPTS(vio_nvme_pci_opts, controller, .pollers = t->pollers, .npollers = t->threads);
	VIO_OPTS(vio_vfio_user_opts, socket, .path = path);
	unsigned i = t->nguests;

	if (vio_nvme_pci_new(&t->guests[i].controller, t->pollers[0], t->subsystem, &controller))
		return -1;
	t->nguests++;
	return vio_vfio_user_new(&t->guests[i].socket, t->pollers[0], t->guests[i].controller, &socket);
}

int guests_open(struct target *t)
{
	for (unsigned i = 0; i < t->nsockets; i++) {
		if (guest_open(t, t->sockets[i])) {
			fprintf(stderr, "nvme-target: --vfio-user %s: %s\n", t->sockets[i], vio_errmsg());
			return -1;
		}
		say(t, VIO_LOG_INFO, "%s at %s", t->nqn, t->sockets[i]);
	}
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
	for (unsigned i = 0; i < t->nguests; i++) {
		vio_vfio_user_free(t->guests[i].socket); /* there still if serving has not begun */
		vio_nvme_pci_free(t->guests[i].controller);
	}
}
