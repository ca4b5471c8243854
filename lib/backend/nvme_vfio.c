/* SPDX-License-Identifier: MIT */
/* A namespace of a PCI controller: opening it, and what it is like. */
#define _GNU_SOURCE /* asprintf */
#include "backend/nvme_vfio.h"

#include "base/arg.h"

#include <poll.h>
#include <stdio.h>

#define DRIVE_AREA (5 * DRIVE_PAGE)

static int drive_args(struct drive *d, const char *arg)
{
	const struct vio__arg args[] = {
		{ "", VIO__ARG_TEXT, &d->name, 0, 0 },
		{ "nsid", VIO__ARG_NUM, &d->nsid, 1, 0xfffffffe },
		{ "queues", VIO__ARG_NUM, &d->queues, 1, 1024 },
		{ "depth", VIO__ARG_NUM, &d->depth, 1, 1023 },
		{ "io-timeout", VIO__ARG_NUM, &d->io_timeout, 1, 86400 },
		{ "shadow", VIO__ARG_BOOL, &d->shadow_wanted, 0, 0 },
	};
	int rc;

	d->nsid = 1;
	d->queues = 64;
	d->depth = 128;
	d->io_timeout = 30;
	d->shadow_wanted = true;
	rc = vio__args("nvme-vfio", arg, args, VIO_ARRAY_SIZE(args));
	if (rc)
		return rc;
	if (!d->name || !*d->name)
		return vio__fail(EINVAL,
				 "nvme-vfio: the controller's address is missing: nvme-vfio:0000:03:00.0");
	if (asprintf(&d->who, "nvme-vfio: %s", d->name) < 0) {
		d->who = NULL;
		return vio__fail(ENOMEM, "nvme-vfio: out of memory");
	}
	return 0;
}

static int drive_alloc(struct drive *d)
{
	d->area_size = (DRIVE_AREA + d->f->page - 1) & ~(d->f->page - 1);
	d->dma = (struct dma){ .f = d->f, .who = d->who };
	d->qids = calloc(d->queues, 1);
	d->counters = aligned_alloc(VIO_CACHELINE, d->queues * sizeof(*d->counters));
	if (!d->qids || !d->counters)
		return vio__fail(ENOMEM, "%s: out of memory", d->who);
	memset(d->counters, 0, d->queues * sizeof(*d->counters));
	return vio__dma_alloc(&d->dma, d->area_size, &d->area, &d->area_iova);
}

static void drive_free(struct drive *d)
{
	vio__dma_free(&d->dma, d->area, d->area_size);
	vio__dma_fini(&d->dma);
	if (d->f)
		d->f->ops->close(d->f);
	free(d->counters);
	free(d->qids);
	free(d->who);
	free(d->name);
	pthread_mutex_destroy(&d->lock);
}

static int drive_start(struct drive *d, struct function *f)
{
	int rc;

	d->f = f;
	d->why = "";
	rc = drive_alloc(d);
	rc = rc ? rc : vio__drive_check(d);
	if (rc)
		return rc;
	vio__drive_begin(d);
	rc = vio__drive_await(d);
	if (rc)
		vio__drive_shutdown(d);
	return rc;
}

int vio__drive_open(struct vio_backend *b, const char *arg,
		    int (*find)(struct function **f, const char *name))
{
	struct drive *d = b->priv;
	struct function *f;
	int rc;

	pthread_mutex_init(&d->lock, NULL);
	rc = drive_args(d, arg);
	rc = rc ? rc : find(&f, d->name);
	rc = rc ? rc : drive_start(d, f);
	if (rc)
		drive_free(d);
	return rc;
}

static int drive_open(struct vio_backend *b, const char *arg)
{
	return vio__drive_open(b, arg, vio__function_open);
}

static void drive_close(struct vio_backend *b)
{
	struct drive *d = b->priv;

	if (d->f)
		vio__drive_shutdown(d);
	drive_free(d);
}

static bool drive_wanted_back(const struct drive *d)
{
	struct pollfd p = { .fd = d->f ? d->f->gone : -1, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/* While there are lanes they see to what happens; otherwise it is seen to here. */
static int drive_refresh(struct drive *d)
{
	int rc;

	if (drive_wanted_back(d))
		vio__drive_give_back(d);
	if (d->phase == DRIVE_DEAD || d->phase == DRIVE_GONE)
		return vio__fail(ENODEV, "%s: %s", d->who, d->why);
	if (d->phase != DRIVE_UP)
		return 0;
	rc = vio__drive_news(d);
	if (!rc && !d->store.events)
		rc = vio__drive_look(d);
	if (rc)
		vio__drive_lost(d, d->generation, "its admin queue");
	return rc;
}

static int drive_info(struct vio_backend *b, struct vio_backend_info *i)
{
	struct drive *d = b->priv;
	const struct nvme_store *s = &d->store;
	int rc;

	pthread_mutex_lock(&d->lock);
	rc = drive_refresh(d);
	i->size = s->blocks << s->shift;
	i->block = 1u << s->shift;
	i->optimal = s->optimal;
	i->ops = s->read_only ? 1u << VIO_OP_READ | 1u << VIO_OP_FLUSH : s->ops;
	i->read_only = s->read_only;
	i->volatile_cache = s->volatile_cache;
	pthread_mutex_unlock(&d->lock);
	return rc;
}

static void drive_stats(struct vio_backend *b,
			void (*each)(void *ctx, const char *layer, const char *counter, uint64_t value),
			void *ctx)
{
	static const char *const names[] = { "submitted",  "completed", "errors", "commands", "doorbells",
					     "interrupts", "prps",	"sgls",	  "bounced",  "bounced_bytes",
					     "aborts",	   "replayed",	"retried" };
	struct drive *d = b->priv;

	for (unsigned n = 0; n < VIO_ARRAY_SIZE(names); n++) {
		uint64_t sum = 0;

		for (unsigned q = 0; q < d->queues; q++)
			sum += VIO_LOAD((uint64_t *)&d->counters[q] + n);
		each(ctx, "nvme-vfio", names[n], sum);
	}
}

const struct vio_backend_type vio__backend_nvme_vfio = {
	.sz = sizeof(struct vio_backend_type),
	.name = "nvme-vfio",
	.help = "BDF[,nsid=N][,queues=N][,depth=N][,io-timeout=S][,shadow=on|off]: a PCI NVMe controller "
		"that the "
		"driver vfio-pci has; each thread takes a queue",
	.priv = sizeof(struct drive),
	.lane_priv = sizeof(struct drive_lane),
	.scratch = sizeof(struct drive_cut),
	.open = drive_open,
	.close = drive_close,
	.info = drive_info,
	.lane_open = vio__drive_lane_open,
	.lane_close = vio__drive_lane_close,
	.room = vio__drive_room,
	.submit = vio__drive_submit,
	.reap = vio__drive_reap,
	.stats = drive_stats,
};
