/* SPDX-License-Identifier: MIT */
/* A lane: its queue pair's memory, its beginning and end, and what wakes its thread. */
#include "backend/nvme_vfio.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static uint64_t lane_pages(uint64_t bytes)
{
	return (bytes + DRIVE_PAGE - 1) & ~(DRIVE_PAGE - 1ull);
}

void vio__drive_ring_all(struct drive *d)
{
	const uint64_t one = 1;

	for (struct drive_lane *v = d->lanes; v; v = v->next)
		if (write(v->bell_fd, &one, sizeof(one)) < 0)
			continue; /* full: it has been rung */
}

static unsigned lane_run(struct vio_task *t, unsigned budget)
{
	struct drive_lane *v = VIO_CONTAINER(t, struct drive_lane, task);
	int n = v->joined ? vio__drive_turn(v) : 0;

	(void)budget;
	if (VIO_UNLIKELY(n < 0))
		vio__drive_distrust(v);
	if (v->done.head)
		vio_lane_wake(v->lane);
	return n > 0;
}

/* Interrupts are never off: each answer that nobody has seen yet has one of its own. */
static bool lane_arm(struct vio_task *t, bool on)
{
	struct drive_lane *v = VIO_CONTAINER(t, struct drive_lane, task);

	return on && v->joined && drive_queue_pending(&v->q);
}

static void lane_interrupted(struct vio_watch *w, uint32_t events)
{
	struct drive_lane *v = VIO_CONTAINER(w, struct drive_lane, irq);

	(void)events;
	drive_count(&v->count->interrupts, 1);
	vio_task_wake(v->lane->poller, &v->task);
}

/* The controller, or what is known of it, is in another state. */
static void lane_called(struct vio_watch *w, uint32_t events)
{
	struct drive_lane *v = VIO_CONTAINER(w, struct drive_lane, bell);

	(void)events;
	pthread_mutex_lock(&v->d->lock);
	vio__drive_settle(v);
	pthread_mutex_unlock(&v->d->lock);
	vio_task_wake(v->lane->poller, &v->task);
}

/* All lanes hear of it; the first sees to it. */
static void lane_told(struct vio_watch *w, uint32_t events)
{
	struct drive_lane *v = VIO_CONTAINER(w, struct drive_lane, admin_irq);
	struct drive *d = v->d;

	(void)events;
	pthread_mutex_lock(&d->lock);
	if (vio__drive_news(d)) {
		vio_poller_log(v->lane->poller, VIO_LOG_ERROR, "%s", vio_errmsg());
		vio__drive_lost(d, d->generation, "its admin queue");
		vio__drive_settle(v);
	}
	pthread_mutex_unlock(&d->lock);
}

static void lane_ordered(struct vio_watch *w, uint32_t events)
{
	struct drive_lane *v = VIO_CONTAINER(w, struct drive_lane, gone);

	(void)events;
	pthread_mutex_lock(&v->d->lock);
	vio__drive_give_back(v->d);
	vio__drive_settle(v);
	pthread_mutex_unlock(&v->d->lock);
}

static int lane_claim(struct drive *d, struct drive_lane *v)
{
	unsigned n = (unsigned)VIO_MIN(d->queues, (uint64_t)d->given);

	if (d->phase == DRIVE_DEAD || d->phase == DRIVE_GONE)
		return vio__fail(ENODEV, "%s: %s", d->who, d->why);
	for (unsigned i = 0; i < n; i++) {
		if (d->qids[i])
			continue;
		d->qids[i] = 1;
		v->q.qid = (uint16_t)(i + 1);
		v->count = &d->counters[i];
		return 0;
	}
	return vio__fail(EBUSY, "%s: all %u queues are in use, one a lane", d->who, n);
}

/* The area: both rings, a list for each slot, bounce buffers. */
static int lane_area(struct drive *d, struct drive_lane *v)
{
	uint64_t sq = lane_pages(v->q.entries * sizeof(struct nvme_cmd));
	uint64_t cq = lane_pages(v->q.entries * sizeof(struct nvme_cqe));
	uint64_t lists = lane_pages((uint64_t)v->depth * DRIVE_LIST), at = sq + cq;
	int rc;

	v->area_size = lane_pages(at + lists + DRIVE_CHUNKS * DRIVE_CHUNK);
	v->area_size = (v->area_size + d->f->page - 1) & ~(d->f->page - 1);
	rc = vio__dma_alloc(&d->dma, v->area_size, &v->area, &v->area_iova);
	if (rc)
		return rc;
	v->q.sq = (struct nvme_cmd *)v->area;
	v->q.cq = (struct nvme_cqe *)(v->area + sq);
	v->lists = v->area + at;
	v->lists_iova = v->area_iova + at;
	v->bounce = v->lists + lists;
	while (v->nchunks < DRIVE_CHUNKS) {
		v->chunks[v->nchunks] = (uint16_t)(v->nchunks + 1u);
		v->nchunks++;
	}
	return 0;
}

static int lane_alloc(struct drive *d, struct drive_lane *v)
{
	int rc;

	v->store = d->store;
	if (v->store.read_only)
		v->store.ops = 1u << VIO_OP_READ | 1u << VIO_OP_FLUSH;
	v->sgls = d->sgls;
	v->depth = (uint16_t)d->depth;
	v->q.entries = v->depth + 1u;
	v->free = calloc(v->depth, sizeof(*v->free));
	v->slot = calloc(v->depth, sizeof(*v->slot));
	if (!v->free || !v->slot)
		return vio__fail(ENOMEM, "%s: out of memory for a lane", d->who);
	for (unsigned i = v->depth; i--;)
		v->free[v->nfree++] = (uint16_t)i;
	rc = lane_area(d, v);
	return rc ? rc
		  : vio__dma_use(&d->dma, &v->view, v->lane->mem, v->lane->poller, v->area, v->area_size,
				 v->area_iova);
}

/* By a descriptor of the lane's own: an eventfd may have a poller with two lanes to tell. */
static int lane_watch(struct drive_lane *v, struct vio_watch *w, int fd,
		      void (*ready)(struct vio_watch *w, uint32_t events))
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0), rc;

	if (own < 0)
		return vio__fail(errno, "%s: no descriptor for a lane: %s", v->d->who, strerror(errno));
	*w = (struct vio_watch){ .ready = ready, .fd = own, .events = EPOLLIN | EPOLLET };
	rc = vio_watch_add(v->lane->poller, w);
	if (rc) {
		close(own);
		w->fd = -1;
	}
	return rc;
}

static void lane_unwatch(struct drive_lane *v, struct vio_watch *w)
{
	if (w->fd < 0)
		return;
	vio_watch_del(v->lane->poller, w);
	close(w->fd);
}

static int lane_attend(struct drive_lane *v)
{
	struct function *f = v->d->f;
	unsigned vector = f->vectors > 1 ? 1 + (v->q.qid - 1u) % (f->vectors - 1) : 0;
	int rc = lane_watch(v, &v->bell, v->bell_fd, lane_called);

	if (!rc && v->interrupts)
		rc = lane_watch(v, &v->irq, f->irq[vector], lane_interrupted);
	if (!rc)
		rc = lane_watch(v, &v->admin_irq, f->irq[0], lane_told);
	if (!rc && f->gone >= 0)
		rc = lane_watch(v, &v->gone, f->gone, lane_ordered);
	return rc;
}

/* Under the lock. */
static int lane_enter(struct drive *d, struct drive_lane *v)
{
	int rc = vio__drive_await(d);

	rc = rc ? rc : lane_claim(d, v);
	rc = rc ? rc : lane_alloc(d, v);
	rc = rc ? rc : lane_attend(v);
	rc = rc ? rc : vio__drive_join(v);
	v->next = d->lanes;
	d->lanes = v;
	return rc;
}

static void lane_delete(struct drive *d, struct drive_lane *v)
{
	if (d->phase != DRIVE_UP || d->generation != v->generation || !vio__drive_delete(d, v->q.qid))
		return;
	vio__drive_lost(d, d->generation, "a queue can't be deleted"); /* then it goes with all the others */
	if (!d->lanes)
		vio__drive_await(d);
}

/* Under the lock. */
static void lane_end(struct drive *d, struct drive_lane *v)
{
	for (struct drive_lane **at = &d->lanes; *at; at = &(*at)->next) {
		if (*at == v) {
			*at = v->next;
			break;
		}
	}
	if (v->joined) {
		v->joined = false;
		d->joined--;
		lane_delete(d, v);
	}
	vio__drive_release(d);
	if (v->q.qid)
		d->qids[v->q.qid - 1] = 0;
	vio__dma_unuse(&d->dma, &v->view);
	vio__dma_free(&d->dma, v->area, v->area_size);
}

static void lane_free(struct drive_lane *v)
{
	lane_unwatch(v, &v->bell);
	lane_unwatch(v, &v->irq);
	lane_unwatch(v, &v->admin_irq);
	lane_unwatch(v, &v->gone);
	vio_timer_cancel(v->lane->poller, &v->tick);
	if (v->bell_fd >= 0)
		close(v->bell_fd);
	free(v->slot);
	free(v->free);
}

int vio__drive_lane_open(struct vio_lane *l)
{
	struct drive *d = l->backend->priv;
	struct drive_lane *v = l->priv;
	int rc;

	v->d = d;
	v->lane = l;
	v->interrupts = vio_poller_mode(l->poller) != VIO_POLL_BUSY;
	v->tick.fire = vio__drive_ticked;
	v->bell.fd = v->irq.fd = v->admin_irq.fd = v->gone.fd = -1;
	v->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (v->bell_fd < 0)
		return vio__fail(errno, "%s: eventfd: %s", d->who, strerror(errno));
	pthread_mutex_lock(&d->lock);
	rc = lane_enter(d, v);
	if (rc)
		lane_end(d, v);
	pthread_mutex_unlock(&d->lock);
	if (rc) {
		lane_free(v);
		return rc;
	}
	v->task = (struct vio_task){ .run = lane_run, .arm = lane_arm };
	vio_task_add(l->poller, &v->task);
	return 0;
}

void vio__drive_lane_close(struct vio_lane *l)
{
	struct drive *d = l->backend->priv;
	struct drive_lane *v = l->priv;

	vio_task_del(l->poller, &v->task);
	pthread_mutex_lock(&d->lock);
	lane_end(d, v);
	pthread_mutex_unlock(&d->lock);
	lane_free(v);
}
