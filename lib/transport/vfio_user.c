/* SPDX-License-Identifier: MIT */
/* The vfio-user server's life: what it is made of, and how it ends. */
#include "transport/vfio_user.h"

#include <stdlib.h>

#define RETRY_NS 1000000000ull
#define TIMEOUT_MS 5000

static void dispose(struct vio_vfio_user *t)
{
	t->pci->served = false;
	door_dispose(&t->door);
	free(t->maps);
	free(t);
}

static bool came(struct door *d, int fd)
{
	struct vio_vfio_user *t = VIO_CONTAINER(d, struct vio_vfio_user, door);

	vfs_open(t, fd);
	return t->phase != VFS_IDLE;
}

static int prepare(struct vio_vfio_user *t)
{
	int err = door_init(&t->door, t->poller, t->opts.path);

	t->opts.path = t->door.path;
	t->opts.timeout_ms = t->opts.timeout_ms ? t->opts.timeout_ms : TIMEOUT_MS;
	err = err ? err : vfs_prepare(t);
	if (err)
		return err;
	t->door.protocol = "vfio-user";
	t->door.peer = "client";
	t->door.retry_ns = RETRY_NS;
	t->door.came = came;
	t->door.connected = t->opts.connected;
	t->door.ctx = t->opts.ctx;
	return door_open(&t->door, t->opts.fd);
}

int vio_vfio_user_new(struct vio_vfio_user **out, struct vio_poller *p, struct vio_pci *f,
		      const struct vio_vfio_user_opts *opts)
{
	struct vio_vfio_user *t;
	int err;

	*out = NULL;
	if (f->served)
		return vio__fail(EBUSY, "a transport serves this PCI function already");
	if (f->poller != p)
		return vio__fail(EINVAL, "a PCI function's transport has to be on its own poller");
	t = calloc(1, sizeof(*t));
	if (!t)
		return vio__fail(ENOMEM, "no memory for a vfio-user transport");
	t->poller = p;
	t->pci = f;
	err = vio__opts(&t->opts, sizeof(t->opts), opts, "vio_vfio_user_opts");
	if (err) {
		free(t);
		return err;
	}
	f->served = true;
	err = prepare(t);
	if (err) {
		dispose(t);
		return err;
	}
	*out = t;
	return 0;
}

void vio_vfio_user_stop(struct vio_vfio_user *t, void (*done)(void *ctx), void *ctx)
{
	if (door_stop(&t->door, t->phase == VFS_IDLE, done, ctx))
		vfs_run(t);
}

void vio_vfio_user_free(struct vio_vfio_user *t)
{
	if (t)
		dispose(t);
}
