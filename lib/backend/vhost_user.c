/* SPDX-License-Identifier: MIT */
/* A disk that a vhost-user-blk server has: connecting, agreeing, and what it is like. */
#include "backend/vhost_user.h"

#include "base/arg.h"

#include <unistd.h>

#define DISK_FEATURES                                                                                        \
	(VIO_BIT(VIRTIO_F_VERSION_1) | VIO_BIT(VIRTIO_RING_F_EVENT_IDX) |                                    \
	 VIO_BIT(VIRTIO_RING_F_INDIRECT_DESC) | VIO_BIT(VIRTIO_BLK_F_SIZE_MAX) |                             \
	 VIO_BIT(VIRTIO_BLK_F_SEG_MAX) | VIO_BIT(VIRTIO_BLK_F_BLK_SIZE) | VIO_BIT(VIRTIO_BLK_F_TOPOLOGY) |   \
	 VIO_BIT(VIRTIO_BLK_F_FLUSH) | VIO_BIT(VIRTIO_BLK_F_MQ) | VIO_BIT(VIRTIO_BLK_F_RO) |                 \
	 VIO_BIT(VIRTIO_BLK_F_DISCARD) | VIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES))

#define DISK_PROTOCOL                                                                                        \
	(VIO_BIT(VU_PROTOCOL_F_MQ) | VIO_BIT(VU_PROTOCOL_F_REPLY_ACK) | VIO_BIT(VU_PROTOCOL_F_CONFIG) |      \
	 VIO_BIT(VU_PROTOCOL_F_INFLIGHT_SHMFD) | VIO_BIT(VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS))

/* Up to and without secure erase: what every server has. */
#define DISK_CONFIG offsetof(struct virtio_blk_config, max_secure_erase_sectors)

static int disk_args(struct vhost_disk *d, const char *arg)
{
	const struct vio__arg args[] = {
		{ "", VIO__ARG_TEXT, &d->path, 0, 0 },
		{ "queues", VIO__ARG_NUM, &d->queues, 1, 1024 },
		{ "queue-size", VIO__ARG_NUM, &d->queue_size, 4, 32768 },
		{ "packed", VIO__ARG_BOOL, &d->packed, 0, 0 },
		{ "reconnect", VIO__ARG_BOOL, &d->reconnect, 0, 0 },
		{ "timeout", VIO__ARG_NUM, &d->timeout_ms, 1, 600000 },
	};
	int rc = vio__args("vhost_user", arg, args, VIO_ARRAY_SIZE(args));

	if (rc)
		return rc;
	if (!d->path || !*d->path)
		return vio__fail(EINVAL,
				 "vhost_user: the path of the server's socket is missing: vhost_user:PATH");
	if (!d->packed && !vio__is_pow2(d->queue_size))
		return vio__fail(EINVAL,
				 "vhost_user: queue-size=%llu, expected a power of two for a split ring",
				 (unsigned long long)d->queue_size);
	return 0;
}

static int disk_features(struct vhost_disk *d)
{
	uint64_t packed = d->packed ? VIO_BIT(VIRTIO_F_RING_PACKED) : 0;
	uint64_t offered = d->front.offered;

	if (!(offered & VIO_BIT(VIRTIO_F_VERSION_1)))
		return vio__fail(EPROTO, "vhost_user: %s: the server offers no VIRTIO_F_VERSION_1", d->path);
	if (packed & ~offered)
		return vio__fail(ENOTSUP,
				 "vhost_user: %s: the server has no packed rings, expected packed=off",
				 d->path);
	d->features = offered & (DISK_FEATURES | packed);
	return vio__front_set_features(&d->front, d->features);
}

static int disk_inflight(struct vhost_disk *d)
{
	if (!d->reconnect || !vio__front_has(&d->front, VU_PROTOCOL_F_INFLIGHT_SHMFD))
		return 0;
	d->inflight.queues = (uint16_t)d->queues;
	d->inflight.queue_size = (uint16_t)d->queue_size;
	return vio__front_inflight_get(&d->front, &d->inflight, &d->inflight_fd);
}

static int disk_agree(struct vhost_disk *d)
{
	int rc = vio__front_queues(&d->front, d->queues, "queues");

	if (!rc && !vio__front_has(&d->front, VU_PROTOCOL_F_CONFIG))
		rc = vio__fail(EPROTO, "vhost_user: %s: the server has no config space; is it a disk?",
			       d->path);
	if (!rc)
		rc = vio__front_config(&d->front, &d->config, DISK_CONFIG);
	if (!rc)
		rc = disk_features(d);
	if (!rc)
		rc = disk_inflight(d);
	if (!rc && d->inflight_fd >= 0)
		rc = vio__front_inflight_set(&d->front, &d->inflight, d->inflight_fd);
	if (rc)
		return rc;
	d->area_lane = vio__vhost_area_bytes(d);
	return vio__vhost_mem_init(&d->mem, &d->front, d->area_lane * d->queues);
}

static int disk_alloc(struct vhost_disk *d)
{
	d->lanes = calloc(d->queues, sizeof(*d->lanes));
	d->counters = aligned_alloc(VIO_CACHELINE, d->queues * sizeof(*d->counters));
	if (!d->lanes || !d->counters)
		return vio__fail(ENOMEM, "vhost_user: out of memory");
	memset(d->counters, 0, d->queues * sizeof(*d->counters));
	return 0;
}

static void disk_free(struct vhost_disk *d)
{
	vio__front_close(&d->front);
	vio__vhost_mem_fini(&d->mem);
	if (d->inflight_fd >= 0)
		close(d->inflight_fd);
	free(d->counters);
	free(d->lanes);
	free(d->path);
	pthread_mutex_destroy(&d->lock);
}

static int disk_open(struct vio_backend *b, const char *arg)
{
	struct vhost_disk *d = b->priv;
	int rc;

	d->queues = 1;
	d->queue_size = 256;
	d->timeout_ms = 5000;
	d->front.fd = d->inflight_fd = -1;
	rc = disk_args(d, arg);
	if (rc) {
		free(d->path);
		return rc;
	}
	pthread_mutex_init(&d->lock, NULL);
	d->front.who = "vhost_user";
	d->front.path = d->path;
	d->front.wants = DISK_PROTOCOL;
	d->front.ms = (int)d->timeout_ms;
	rc = disk_alloc(d);
	if (!rc)
		rc = vio__front_connect(&d->front);
	if (!rc)
		rc = disk_agree(d);
	if (rc)
		disk_free(d);
	return rc;
}

static void disk_close(struct vio_backend *b)
{
	disk_free(b->priv);
}

uint32_t vio__vhost_block(const struct vhost_disk *d)
{
	uint32_t block = vhost_has(d, VIRTIO_BLK_F_BLK_SIZE) ? le32toh(d->config.blk_size) : 512;

	return block >= 512 && block <= 65536 && vio__is_pow2(block) ? block : 0;
}

uint32_t vio__vhost_ops(const struct vhost_disk *d)
{
	uint32_t ops = 1u << VIO_OP_READ | 1u << VIO_OP_FLUSH;

	if (vhost_has(d, VIRTIO_BLK_F_RO))
		return ops;
	ops |= 1u << VIO_OP_WRITE;
	if (vhost_has(d, VIRTIO_BLK_F_DISCARD))
		ops |= 1u << VIO_OP_DISCARD;
	if (vhost_has(d, VIRTIO_BLK_F_WRITE_ZEROES))
		ops |= 1u << VIO_OP_WRITE_ZEROES;
	return ops;
}

static int disk_describe(struct vhost_disk *d, struct vio_backend_info *i)
{
	const struct virtio_blk_config *c = &d->config;
	uint64_t sectors = le64toh(c->capacity);
	uint32_t block = vio__vhost_block(d);

	if (!block || sectors > UINT64_MAX / 512)
		return vio__fail(EPROTO,
				 "vhost_user: %s: blocks of %u bytes and %llu sectors, which can't be",
				 d->path, le32toh(c->blk_size), (unsigned long long)sectors);
	i->size = sectors * 512 / block * block;
	i->block = block;
	if (vhost_has(d, VIRTIO_BLK_F_TOPOLOGY) && le32toh(c->opt_io_size) < UINT32_MAX / block)
		i->optimal = le32toh(c->opt_io_size) * block;
	i->ops = vio__vhost_ops(d);
	i->read_only = vhost_has(d, VIRTIO_BLK_F_RO);
	i->volatile_cache = vhost_has(d, VIRTIO_BLK_F_FLUSH); /* without CONFIG_WCE: write-back (5.2.5) */
	return 0;
}

/* Asks the server, so that a disk that grew shows it; what it last said while it is away. */
static int disk_info(struct vio_backend *b, struct vio_backend_info *i)
{
	struct vhost_disk *d = b->priv;
	struct virtio_blk_config c = { 0 };
	int rc;

	pthread_mutex_lock(&d->lock);
	rc = d->front.fd < 0 ? -ENOTCONN : vio__front_config(&d->front, &c, DISK_CONFIG);
	if (!rc)
		d->config = c;
	rc = !rc || d->reconnect ? disk_describe(d, i) : rc;
	pthread_mutex_unlock(&d->lock);
	return rc;
}

static void disk_stats(struct vio_backend *b,
		       void (*each)(void *ctx, const char *layer, const char *counter, uint64_t value),
		       void *ctx)
{
	static const char *const names[] = { "submitted",     "completed",  "errors",
					     "kicks",	      "interrupts", "bounced",
					     "bounced_bytes", "reconnects", "replayed" };
	struct vhost_disk *d = b->priv;

	for (unsigned n = 0; n < VIO_ARRAY_SIZE(names); n++) {
		uint64_t sum = 0;

		for (unsigned q = 0; q < d->queues; q++)
			sum += VIO_LOAD((uint64_t *)&d->counters[q] + n);
		each(ctx, "vhost_user", names[n], sum);
	}
}

const struct vio_backend_type vio__backend_vhost_user = {
	.sz = sizeof(struct vio_backend_type),
	.name = "vhost_user",
	.help = "SOCKET[,queues=N][,queue-size=N][,packed=on|off][,reconnect=on|off][,timeout=MS]: "
		"a vhost-user-blk server's disk; each thread takes a queue",
	.priv = sizeof(struct vhost_disk),
	.lane_priv = sizeof(struct vhost_lane),
	.scratch = sizeof(struct vhost_cut),
	.open = disk_open,
	.close = disk_close,
	.info = disk_info,
	.lane_open = vio__vhost_lane_open,
	.lane_close = vio__vhost_lane_close,
	.room = vio__vhost_room,
	.submit = vio__vhost_submit,
	.reap = vio__vhost_reap,
	.stats = disk_stats,
};
