/* SPDX-License-Identifier: MIT */
/* Serves disk.raw to a virtual machine at /tmp/disk.sock until SIGTERM or Ctrl-C. */
#include <virtio-offload.h>

#include <signal.h>
#include <stdio.h>

static struct vio_poller *poller;
static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	stop = sig;
	vio_poller_wake(poller);
}

static void on_drained(void *ctx)
{
	*(bool *)ctx = true;
}

int main(int argc, char **argv)
{
	const char *stack = argc > 1 ? argv[1] : "file:disk.raw"; /* or "file:disk.raw | crypt:keyfile=k" */
	VIO_OPTS(vio_vhost_user_opts, at, .path = argc > 2 ? argv[2] : "/tmp/disk.sock");
	struct vio_backend *backend = NULL;
	struct vio_dev *disk = NULL;
	struct vio_vhost_user *transport = NULL;
	bool drained = false, ok;

	ok = !vio_poller_new(&poller, NULL) &&			  /* the loop: where everything waits */
	     !vio_backend_parse(&backend, NULL, stack) &&	  /* the store */
	     !vio_dev_new(&disk, vio_dev_blk(), backend, NULL) && /* what the guest sees */
	     !vio_vhost_user_new(&transport, poller, disk, &at);  /* the guest's way in */
	if (!ok)
		fprintf(stderr, "first: %s\n", vio_errmsg());
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	while (ok && !stop && vio_poller_wait(poller, -1) >= 0)
		;
	if (ok)
		vio_vhost_user_stop(transport, on_drained, &drained); /* what was taken is given back */
	while (ok && !drained && vio_poller_wait(poller, -1) >= 0)
		;
	vio_vhost_user_free(transport);
	vio_dev_free(disk);
	vio_backend_free(backend);
	vio_poller_free(poller);
	return ok ? 0 : 2;
}
