/* SPDX-License-Identifier: MIT */
/*
 * Rings: what starts one and what stops it. A ring is started by its kick fd and
 * stopped by GET_VRING_BASE; it is processed while it is also enabled, which it is
 * by itself for a front end that has not accepted VHOST_USER_F_PROTOCOL_FEATURES.
 */
#include "transport/vhost_user_conn.h"

#include <linux/virtio_config.h>
#include <linux/vhost_types.h>
#include <unistd.h>

/* How often a ring whose front end gives no kick fd is looked at; BUSY pollers look all the time. */
#define POLL_NS 100000ull

/* Where a split ring's used index is (virtio 1.3, 2.7.8). */
#define USED_IDX_OFFSET 2

void vus_ring_init(struct vus_ring *r, struct vio_vhost_user *t, unsigned index)
{
	*r = (struct vus_ring){ .t = t, .index = index, .kick = -1, .call = -1, .err = -1 };
}

void vus_ring_reset(struct vus_ring *r)
{
	int call = r->call, err = r->err;

	vus_close_fd(&r->kick);
	vus_ring_init(r, r->t, r->index);
	r->call = call;
	r->err = err;
}

void vus_ring_clear(struct vus_ring *r)
{
	vus_ring_reset(r);
	vus_close_fd(&r->call);
	vus_close_fd(&r->err);
}

static bool ring_packed(const struct vus_ring *r)
{
	return r->t->features & VUS_BIT(VIRTIO_F_RING_PACKED);
}

/* The state as SET_VRING_BASE and GET_VRING_BASE carry it: packed rings have both places, wrap counters on
 * top. */
uint32_t vus_ring_base(const struct vus_ring *r)
{
	const struct vio_queue_state *s = &r->state;

	if (!r->resumed)
		return r->base;
	if (!ring_packed(r))
		return s->avail_idx;
	return s->avail_idx | (uint32_t)s->avail_wrap << 15 | (uint32_t)s->used_idx << 16 |
	       (uint32_t)s->used_wrap << 31;
}

void vus_ring_requeue(struct vus_ring *r)
{
	r->base = vus_ring_base(r);
	r->resumed = false;
}

/* A front end that knows no used place leaves the upper half 0. It then equals the other: nothing is in
 * flight. */
static void ring_state_packed(struct vus_ring *r)
{
	uint32_t used = r->base >> 16 ? r->base >> 16 : r->base & 0xffff;

	r->state = (struct vio_queue_state){
		.avail_idx = r->base & 0x7fff,
		.avail_wrap = r->base >> 15 & 1,
		.used_idx = used & 0x7fff,
		.used_wrap = used >> 15 & 1,
	};
}

/* Of a split ring the used index is known to the guest's memory only. */
static void ring_state_split(struct vus_ring *r, uint64_t used)
{
	const void *idx = vio_mem_ptr(r->t->mem, used + USED_IDX_OFFSET, sizeof(uint16_t));
	uint8_t le[2] = { r->base & 0xff, r->base >> 8 & 0xff };

	if (idx)
		memcpy(le, idx, sizeof(le));
	r->state = (struct vio_queue_state){
		.avail_idx = r->base & 0xffff,
		.used_idx = (uint16_t)(le[0] | le[1] << 8),
	};
}

bool vus_ring_wanted(const struct vus_ring *r)
{
	bool enabled = r->enabled || !(r->t->features & VUS_BIT(VU_F_PROTOCOL_FEATURES));

	return r->started && enabled && !r->broken && !r->failed;
}

/* Where a front-end address is in the guest's; UINT64_MAX if nowhere. The queue checks the extents. */
static uint64_t ring_guest(const struct vus_ring *r, uint64_t user)
{
	const void *p = vio_mem_user_ptr(r->t->mem, user, 1);

	return p ? vio_mem_guest(r->t->mem, p) : UINT64_MAX;
}

/* Fills in where the ring is: 0, or why it can't run yet. */
static int ring_place(const struct vus_ring *r, struct vio_vq_opts *o)
{
	if (!r->size || !r->addressed || !r->t->mem)
		return vio__fail(EAGAIN, "queue %u has no %s yet", r->index,
				 !r->size	 ? "size"
				 : !r->addressed ? "addresses"
						 : "memory");
	o->desc = ring_guest(r, r->addr.desc);
	o->driver = ring_guest(r, r->addr.avail);
	o->device = ring_guest(r, r->addr.used);
	if (o->desc == UINT64_MAX || o->driver == UINT64_MAX || o->device == UINT64_MAX)
		return vio__fail(EFAULT, "queue %u has its rings outside of the memory regions", r->index);
	return 0;
}

/* An eventfd's counter, up by one. It blocks nobody: vhost_user_vring.c makes it non-blocking. */
static void ring_signal(int fd)
{
	uint64_t one = 1;

	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
		return; /* full: the peer has a signal waiting already */
}

static void ring_broken(void *ctx, unsigned index, int err, const char *sentence)
{
	struct vus_ring *r = ctx;

	vus_log(r->t, VIO_LOG_ERROR, "queue %u stopped (%s): %s", index, strerror(-err), sentence);
	r->broken = true;
	ring_signal(r->err);
}

/* A queue without a call fd: the front end looks by itself. */
static void ring_silent(void *ctx)
{
	(void)ctx;
}

static void ring_poll(struct vio_timer *timer)
{
	struct vio_vhost_user *t = VIO_CONTAINER(timer, struct vio_vhost_user, poll_timer);

	t->polling = false;
	for (unsigned i = 0; i < t->nrings; i++) {
		if (!t->rings[i].running || t->rings[i].kick >= 0)
			continue;
		vio_vq_kick(t->dev, i);
		t->polling = true;
	}
	if (t->polling)
		vio_timer_set(t->poller, timer, POLL_NS);
}

static void ring_started(void *ctx, int err, const char *sentence)
{
	struct vus_ring *r = ctx;
	struct vio_vhost_user *t = r->t;

	if (err) {
		vus_log(t, VIO_LOG_ERROR, "queue %u does not start: %s", r->index, sentence);
		r->running = false;
		r->failed = true;
		t->start_err = err;
		ring_signal(r->err);
	} else if (r->announce) {
		r->announce = false;
		ring_signal(r->call);
	}
	if (!err && r->kick < 0 && !t->polling) {
		t->poll_timer.fire = ring_poll;
		t->polling = true;
		vio_timer_set(t->poller, &t->poll_timer, POLL_NS);
	}
	vus_unpend(t);
}

static struct vio_poller *ring_poller(const struct vus_ring *r)
{
	const struct vio_vhost_user *t = r->t;

	return t->opts.npollers ? t->opts.pollers[r->index % t->opts.npollers] : t->poller;
}

static void ring_launch(struct vus_ring *r, struct vio_vq_opts *o)
{
	struct vio_vhost_user *t = r->t;

	if (!r->resumed && ring_packed(r))
		ring_state_packed(r);
	else if (!r->resumed)
		ring_state_split(r, o->device);
	o->state = &r->state;
	o->inflight = vus_inflight_of(r, &o->inflight_size);
	o->dirty = t->features & VUS_BIT(VU_F_LOG_ALL) ? t->dirty : NULL;
	o->dirty_device = r->addr.flags & VUS_BIT(VHOST_VRING_F_LOG) ? r->addr.log : UINT64_MAX;
	r->running = true;
	vus_pend(t);
	vio_vq_start(t->dev, r->index, ring_poller(r), o, t->poller, ring_started, r);
}

void vus_ring_start(struct vus_ring *r)
{
	VIO_OPTS(vio_vq_opts, o, .size = r->size, .mem = r->t->mem, .kick_fd = r->kick, .call_fd = r->call,
		 .notify = ring_silent, .broken = ring_broken, .broken_ctx = r);
	int err;

	if (r->running || !vus_ring_wanted(r))
		return;
	err = ring_place(r, &o);
	if (!err) {
		ring_launch(r, &o);
		return;
	}
	vus_log(r->t, VIO_LOG_INFO, "%s: it waits", vio_errmsg());
	if (r->t->ring == r && err != -EAGAIN)
		r->t->start_err = err;
}

static void ring_stopped(void *ctx, int err, const struct vio_queue_state *state)
{
	struct vus_ring *r = ctx;

	if (!err) {
		r->state = *state;
		r->resumed = true;
	}
	vus_unpend(r->t);
}

void vus_ring_stop(struct vus_ring *r)
{
	if (!r->running)
		return;
	r->running = false; /* from now on nobody kicks it: the last kick must not come after the stop */
	vus_pend(r->t);
	vio_vq_stop(r->t->dev, r->index, r->t->poller, ring_stopped, r);
}
