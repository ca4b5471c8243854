/* SPDX-License-Identifier: MIT */
/*
 * Devices: the function between a guest's queues and a backend.
 *
 * A device has config space, features and a number of virtqueues. A transport
 * (vhost_user.h, loop.h) starts and stops its queues; an embedder with a
 * transport of its own (a VMM's PCI or MMIO code) calls vio_vq_start and
 * vio_vq_stop itself.
 */
#ifndef VIRTIO_OFFLOAD_DEVICE_H
#define VIRTIO_OFFLOAD_DEVICE_H

#include <virtio-offload/backend.h>
#include <virtio-offload/queue.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vio_dev;
struct vio_device_type;

/* virtio-blk (virtio 1.3, 5.2). Arguments: "queues=N" (1..64, 1), "queue-size=N"
 * (2..32768, 256), "packed=on|off" (on), "serial=TEXT" (20 bytes at most), "read-only=on|off". */
VIO_API const struct vio_device_type *vio_dev_blk(void);

/*
 * A device over a backend stack (one reference is kept; NULL for types that need
 * none). arg: "key=value,key=value", NULL means "".
 */
VIO_API int vio_dev_new(struct vio_dev **d, const struct vio_device_type *t, struct vio_backend *b,
			const char *arg);
/* All its queues must have stopped. */
VIO_API void vio_dev_free(struct vio_dev *d);

VIO_API uint32_t vio_dev_id(const struct vio_dev *d);		/* 2 for a block device (virtio 1.3, 5) */
VIO_API unsigned vio_dev_queues(const struct vio_dev *d);
VIO_API unsigned vio_dev_queue_size(const struct vio_dev *d);	/* the largest offered */
VIO_API uint64_t vio_dev_features(const struct vio_dev *d);	/* offered, 1 << bit */

/* What the driver accepted; -EINVAL for a bit not offered or a set that contradicts itself.
 * Before the queues start. */
VIO_API int vio_dev_set_features(struct vio_dev *d, uint64_t features);
VIO_API uint64_t vio_dev_acked(const struct vio_dev *d);	/* the features last set */

/* Config space; -EINVAL beyond its end or for a field that the driver must not write. */
VIO_API unsigned vio_dev_config_size(const struct vio_dev *d);
VIO_API int vio_dev_config_read(struct vio_dev *d, unsigned offset, void *to, unsigned len);
VIO_API int vio_dev_config_write(struct vio_dev *d, unsigned offset, const void *from, unsigned len);

/*
 * Asks the backend anew for its size: after a file was grown or shrunk. 1 if the
 * config space changed, and the guest is told by its transport; 0 if not. On the
 * thread of the transport's poller.
 */
VIO_API int vio_dev_refresh(struct vio_dev *d);
/* Whom to tell about that: a transport registers itself. NULL takes it back. */
VIO_API void vio_dev_on_config(struct vio_dev *d, void (*changed)(void *ctx), void *ctx);

/* Back to the state before features were set. All queues must have stopped. */
VIO_API void vio_dev_reset(struct vio_dev *d);

/* How one of a device's queues starts. The ring fields are those of vio_queue_opts. */
struct vio_vq_opts {
	size_t sz;
	uint32_t size;
	struct vio_mem *mem;
	uint64_t desc, driver, device;
	const struct vio_queue_state *state;
	void *inflight;
	size_t inflight_size;
	struct vio_dirty *dirty;
	uint64_t dirty_device;
	int kick_fd;	/* an eventfd the guest's side writes, or -1: vio_vq_kick is called, or the queue polled */
	int call_fd;	/* an eventfd to write for an interrupt, or -1: notify is called */
	void (*notify)(void *ctx);	/* on the queue's poller's thread */
	void *notify_ctx;
	/* The queue stopped by itself: the guest broke its ring (-EBADMSG). On reply's thread. */
	void (*broken)(void *ctx, unsigned index, int err, const char *sentence);
	void *broken_ctx;
};

/*
 * Starts queue `index` on poller p, which may run in another thread than the
 * caller's poller `reply`; done runs on reply's thread, with 0 or -errno and its
 * sentence. fds and memory stay the caller's and must outlive the queue's stop;
 * a reference to mem is kept.
 */
VIO_API void vio_vq_start(struct vio_dev *d, unsigned index, struct vio_poller *p,
			  const struct vio_vq_opts *opts, struct vio_poller *reply,
			  void (*done)(void *ctx, int err, const char *sentence), void *ctx);

/*
 * Stops it: takes nothing more, waits until all that was taken has been given and
 * flushed, closes its lane, then calls done on reply's thread with the state to
 * continue from. Also right for a queue that broke. A queue that is not running
 * calls done with err -ENOENT.
 */
VIO_API void vio_vq_stop(struct vio_dev *d, unsigned index, struct vio_poller *reply,
			 void (*done)(void *ctx, int err, const struct vio_queue_state *state),
			 void *ctx);

/* The guest has put something into the ring. Any thread. */
VIO_API void vio_vq_kick(struct vio_dev *d, unsigned index);

/* Log2 buckets of nanoseconds from take to give: bucket i counts latencies in [2^i, 2^(i+1)). */
#define VIO_VQ_BUCKETS 40

struct vio_vq_stats {
	size_t sz;
	uint64_t requests, bytes_read, bytes_written, flushes, errors;
	uint64_t kicks;		/* kicks that arrived */
	uint64_t notified;	/* interrupts sent */
	uint64_t inflight;
	uint64_t latency[VIO_VQ_BUCKETS];	/* only while vio_dev_measure is on */
};
/* Any thread; a torn read of one counter is possible, never a wrong one. -ENOENT beyond the last queue. */
VIO_API int vio_vq_stats(const struct vio_dev *d, unsigned index, struct vio_vq_stats *out);
/* Latency histograms cost two clock reads a batch: off unless asked for. Before the queues start. */
VIO_API void vio_dev_measure(struct vio_dev *d, bool on);

#ifdef __cplusplus
}
#endif
#endif
