/* SPDX-License-Identifier: MIT */
/*
 * For those who write a device type: a function that turns a guest's requests
 * into backend requests on the way down (serve) and writes the answers on the way
 * up (finish). Both get batches. Everything else (rings, kicks, lanes, draining)
 * is the library's.
 */
#ifndef VIRTIO_OFFLOAD_IMPL_DEVICE_H
#define VIRTIO_OFFLOAD_IMPL_DEVICE_H

#include <virtio-offload/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The shared object; the type's `priv` bytes, zeroed, are at priv. */
struct vio_dev {
	const struct vio_device_type *type;
	struct vio_backend *backend;
	void *priv;
	uint64_t offered, acked;	/* features; init may clear or add bits in offered */
	unsigned queues, queue_size;	/* set by init */
	/* the library's own follows */
};

/* One queue of a device while it runs; serve and finish run on its poller's thread. */
struct vio_vq {
	struct vio_dev *dev;
	unsigned index;
	unsigned scratch;		/* where a request's scratch for the device starts */
	struct vio_queue *queue;
	struct vio_lane *lane;		/* NULL for a device without a backend */
	struct vio_poller *poller;
	struct vio_vq_stats *stats;	/* serve and finish count bytes and errors here */
	/* the library's own follows */
};

/* Append-only: a library newer than the writer reads sz. */
struct vio_device_type {
	size_t sz;
	const char *name;
	const char *help;		/* its arguments, one line */
	uint32_t id;			/* virtio device id */
	uint64_t features;		/* device features beside those of the queues */
	unsigned priv;			/* bytes a device */
	unsigned scratch;		/* bytes a request, not zeroed */
	unsigned config;		/* bytes of config space */

	int (*init)(struct vio_dev *d, const char *arg);
	void (*fini)(struct vio_dev *d);	/* only after an init that succeeded */
	/*
	 * Parses a batch going down. Returns how many are for the backend, moved to
	 * the front of r; the others are answered already (written is set) and are
	 * given back at once.
	 */
	unsigned (*serve)(struct vio_vq *q, struct vio_req **r, unsigned n);
	/* Writes the answers of a batch that came up; sets written. */
	void (*finish)(struct vio_vq *q, struct vio_req **r, unsigned n);

	void (*config_read)(struct vio_dev *d, void *to);	/* the whole of it, config bytes */
	/* -EINVAL to refuse; offset + len lies within config. */
	int (*config_write)(struct vio_dev *d, unsigned offset, const void *from, unsigned len);
	void (*features_set)(struct vio_dev *d);	/* acked is new; also called by reset, with 0 */

	/*
	 * How queue `index` reaches the backend, where not each has a lane of the one kind:
	 * sets o's pair and recv. False: it has none, serve answers everything.
	 */
	bool (*lane)(struct vio_dev *d, unsigned index, struct vio_lane_opts *o);
	/* Queues as vhost-user counts them (QEMU keeps the control queue to itself); NULL: as they are. */
	unsigned (*vhost_user_queues)(const struct vio_dev *d);
	uint64_t queue_flags;	/* of its queues: vio_queue_opts.flags */
};

static inline void *vio_vq_scratch(const struct vio_vq *q, struct vio_req *r)
{
	return (char *)r + q->scratch;
}

#ifdef __cplusplus
}
#endif
#endif
