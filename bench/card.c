/* SPDX-License-Identifier: MIT */
/*
 * A network card over any port, with nothing between: card SOCKET BACKEND. It polls until SIGTERM, then
 * prints the backend's counters as a JSON object.
 */
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

static void print_counter(void *ctx, const char *layer, const char *counter, uint64_t value)
{
	bool *more = ctx;

	(void)layer;
	printf("%s\"%s\":%llu", *more ? "," : "{", counter, (unsigned long long)value);
	*more = true;
}

int main(int argc, char **argv)
{
	VIO_OPTS(vio_poller_opts, po, .mode = VIO_POLL_BUSY);
	VIO_OPTS(vio_vhost_user_opts, at, .path = argc > 1 ? argv[1] : "");
	const char *stack = argc > 2 ? argv[2] : "";
	struct vio_backend *backend = NULL;
	struct vio_dev *card = NULL;
	struct vio_vhost_user *transport = NULL;
	bool drained = false, more = false, ok;

	ok = !vio_poller_new(&poller, &po) && !vio_backend_parse(&backend, NULL, stack) &&
	     !vio_dev_new(&card, vio_dev_net(), backend, "queue-size=1024") &&
	     !vio_vhost_user_new(&transport, poller, card, &at);
	if (!ok)
		fprintf(stderr, "card: %s\n", vio_errmsg());
	signal(SIGTERM, on_signal);
	while (ok && !stop && vio_poller_wait(poller, -1) >= 0)
		;
	if (ok) {
		vio_backend_stats(backend, print_counter, &more);
		puts("}");
		vio_vhost_user_stop(transport, on_drained, &drained);
	}
	while (ok && !drained && vio_poller_wait(poller, -1) >= 0)
		;
	vio_vhost_user_free(transport);
	vio_dev_free(card);
	vio_backend_free(backend);
	vio_poller_free(poller);
	return ok ? 0 : 1;
}
