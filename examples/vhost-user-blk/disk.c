/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>

static int fail(const char *option, const char *value)
{
	fprintf(stderr, "vhost-user-blk: --%s %s: %s\n", option, value, vio_errmsg());
	return -1;
}

/* key=value, the value's commas and backslashes escaped; nothing for NULL. */
static void put(FILE *to, const char *key, const char *value)
{
	if (!value)
		return;
	fprintf(to, "%s=", key);
	for (; *value; value++) {
		if (*value == ',' || *value == '\\')
			fputc('\\', to);
		fputc(*value, to);
	}
	fputc(',', to);
}

/* The device's argument text; the caller frees it. */
static char *device_arg(const struct settings *set)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	if (!to)
		return NULL;
	put(to, "queues", set->queues);
	put(to, "queue-size", set->queue_size);
	put(to, "packed", set->packed);
	put(to, "serial", set->serial);
	fprintf(to, "read-only=%s", set->read_only ? "on" : "off");
	return fclose(to) ? NULL : text;
}

static int open_device(struct server *s, struct disk *d)
{
	char *arg;
	int rc;

	if (vio_backend_parse(&d->backend, s->scope, d->set.stack))
		return fail("disk", d->set.stack);
	arg = device_arg(&d->set);
	rc = vio_dev_new(&d->dev, vio_dev_blk(), d->backend, arg);
	free(arg);
	if (rc)
		return fail("disk", d->set.stack);
	vio_dev_measure(d->dev, s->stats);
	return 0;
}

static int open_socket(struct server *s, struct disk *d)
{
	VIO_OPTS(vio_vhost_user_opts, o, .path = d->set.socket, .client = d->set.client,
		 .require_seals = d->set.require_seals, .pollers = s->pollers, .npollers = s->threads);
	VIO_OPTS(vio_backend_info, info);

	if (vio_vhost_user_new(&d->transport, s->pollers[0], d->dev, &o))
		return fail("socket", d->set.socket);
	if (!vio_backend_info(d->backend, &info))
		say(s, VIO_LOG_INFO, "%s: %s, %llu bytes, queues: %u", d->set.socket, d->set.stack,
		    (unsigned long long)info.size, vio_dev_queues(d->dev));
	return 0;
}

/* Sockets last, so that nothing is to be seen of a server that refuses its last disk. */
int disks_open(struct server *s)
{
	for (unsigned i = 0; i < s->ndisks; i++)
		if (open_device(s, &s->disks[i]))
			return -1;
	for (unsigned i = 0; i < s->ndisks; i++)
		if (open_socket(s, &s->disks[i]))
			return -1;
	return 0;
}

static void on_drained(void *ctx)
{
	((struct disk *)ctx)->drained = true;
}

void disks_drain(struct server *s)
{
	for (unsigned i = 0; i < s->ndisks; i++)
		if (s->disks[i].transport)
			vio_vhost_user_stop(s->disks[i].transport, on_drained, &s->disks[i]);
	for (unsigned i = 0; i < s->ndisks; i++)
		while (s->disks[i].transport && !s->disks[i].drained &&
		       vio_poller_wait(s->pollers[0], -1) >= 0)
			;
}

void disks_free(struct server *s)
{
	for (unsigned i = 0; i < s->ndisks; i++) {
		vio_vhost_user_free(s->disks[i].transport);
		vio_dev_free(s->disks[i].dev);
		vio_backend_free(s->disks[i].backend);
	}
}

void disks_refresh(struct server *s)
{
	for (unsigned i = 0; i < s->ndisks; i++) {
		const char *socket = s->disks[i].set.socket;
		VIO_OPTS(vio_backend_info, info);
		int rc = vio_dev_refresh(s->disks[i].dev);

		if (rc < 0 || vio_backend_info(s->disks[i].backend, &info))
			say(s, VIO_LOG_ERROR, "%s: %s", socket, vio_errmsg());
		else
			say(s, VIO_LOG_INFO, "%s: %s %llu bytes", socket, rc ? "now" : "still",
			    (unsigned long long)info.size);
	}
}
