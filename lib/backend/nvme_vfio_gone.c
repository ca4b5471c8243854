/* SPDX-License-Identifier: MIT */
/*
 * When it goes wrong: commands that are not answered are aborted, then the controller is reset; one that was
 * taken out, or that the system wants back, is let go of once no lane touches it any more.
 */
#include "backend/nvme_vfio.h"

#define GONE_GRACE (5 * DRIVE_SECOND) /* for Abort to be of use */
#define GONE_STEP (2 * DRIVE_MS)
#define GONE_TICK (250 * DRIVE_MS)

static bool gone_moving(const struct drive *d)
{
	return d->phase == DRIVE_STOPPING || d->phase == DRIVE_STARTING;
}

void vio__drive_lost(struct drive *d, unsigned generation, const char *why)
{
	if (d->phase != DRIVE_UP || d->generation != generation)
		return;
	d->why = why;
	if (++d->tries > DRIVE_TRIES) {
		d->phase = DRIVE_DEAD;
		d->f->ops->master(d->f, false);
	} else {
		vio__drive_begin(d);
	}
	vio__drive_ring_all(d);
}

/* What it has answered still counts; what it has not is kept for the pair's next life. */
void vio__drive_leave(struct drive_lane *v)
{
	if (!v->joined)
		return;
	v->unproven = false; /* no reason to say so now */
	if (v->d->phase != DRIVE_GONE)
		vio__drive_take(v);
	v->joined = false;
	v->unproven = true;
	v->d->joined--;
}

int vio__drive_join(struct drive_lane *v)
{
	struct drive *d = v->d;
	unsigned vector = d->f->vectors > 1 ? 1 + (v->q.qid - 1u) % (d->f->vectors - 1) : 0;
	uint64_t cq = v->area_iova + (uint64_t)((char *)v->q.cq - v->area);
	int rc;

	vio__drive_bells(d, &v->q);
	drive_queue_clear(&v->q);
	rc = vio__drive_create(d, &v->q, v->area_iova, cq, v->interrupts, vector);
	if (rc)
		return rc;
	v->generation = d->generation;
	v->joined = true;
	d->joined++;
	vio__drive_replay(v);
	return 0;
}

void vio__drive_release(struct drive *d)
{
	if (d->phase != DRIVE_GONE || d->joined || !d->f)
		return;
	d->f->ops->close(d->f);
	d->f = d->dma.f = NULL;
}

static void gone_rejoin(struct drive_lane *v)
{
	int rc = vio__drive_join(v);

	if (!rc)
		return;
	vio_poller_log(v->lane->poller, VIO_LOG_ERROR, "%s", vio_errmsg());
	vio__drive_lost(v->d, v->d->generation, "a queue can't be made again");
}

void vio__drive_settle(struct drive_lane *v)
{
	struct drive *d = v->d;

	if (v->joined && (d->phase != DRIVE_UP || d->generation != v->generation))
		vio__drive_leave(v);
	if (d->phase == DRIVE_UP && !v->joined && !v->failing)
		gone_rejoin(v);
	if ((d->phase == DRIVE_DEAD || d->phase == DRIVE_GONE) && !v->failing) {
		vio_poller_log(v->lane->poller, VIO_LOG_ERROR, "%s: queue %u: its requests fail: %s", d->who,
			       v->q.qid, d->why);
		vio__drive_fail_all(v);
	}
	vio__drive_release(d);
	if (gone_moving(d) && !v->ticking)
		vio__drive_tick(v);
}

static void gone_said(struct drive_lane *v, const char *why)
{
	vio_poller_log(v->lane->poller, VIO_LOG_ERROR, "%s: queue %u: %s: the controller is reset", v->d->who,
		       v->q.qid, why);
	pthread_mutex_lock(&v->d->lock);
	vio__drive_lost(v->d, v->generation, why);
	vio__drive_settle(v);
	pthread_mutex_unlock(&v->d->lock);
}

void vio__drive_distrust(struct drive_lane *v)
{
	gone_said(v, "an answer to what was not asked");
}

/* Each command that is out for too long is aborted; false: that was of no use. */
static bool gone_overdue(struct drive_lane *v)
{
	uint64_t now = vio_poller_now(v->lane->poller), patience = v->d->io_timeout * DRIVE_SECOND;

	for (unsigned i = 0; i < v->depth; i++) {
		struct drive_slot *s = &v->slot[i];

		if (!s->out || now - s->since < patience)
			continue;
		if (s->aborted && now - s->since >= patience + VIO_MIN(patience, GONE_GRACE))
			return false;
		if (s->aborted)
			continue;
		s->aborted = true;
		drive_count(&v->count->aborts, 1);
		pthread_mutex_lock(&v->d->lock);
		if (v->d->phase == DRIVE_UP && v->d->generation == v->generation)
			vio__drive_abort(v->d, v->q.qid, (uint16_t)i);
		pthread_mutex_unlock(&v->d->lock);
	}
	return true;
}

/* An interrupt that was lost is made up for here. */
static void gone_look(struct drive_lane *v)
{
	int rc = vio__drive_turn(v);

	if (rc < 0)
		vio__drive_distrust(v);
	else if (!gone_overdue(v))
		gone_said(v, "a command was not answered, nor aborted");
	if (v->joined && v->nagain)
		vio__drive_again(v);
}

void vio__drive_ticked(struct vio_timer *t)
{
	struct drive_lane *v = VIO_CONTAINER(t, struct drive_lane, tick);
	struct drive *d = v->d;
	bool moving;

	v->ticking = false;
	pthread_mutex_lock(&d->lock);
	if (gone_moving(d) && vio__drive_step(d)) {
		d->why = "it did not come back";
		vio_poller_log(v->lane->poller, VIO_LOG_ERROR, "%s", vio_errmsg());
	}
	vio__drive_settle(v);
	pthread_mutex_unlock(&d->lock);
	if (v->joined)
		gone_look(v);
	if (v->done.head)
		vio_lane_wake(v->lane);
	pthread_mutex_lock(&d->lock);
	moving = gone_moving(d);
	pthread_mutex_unlock(&d->lock);
	if (v->ticking || (!moving && v->nfree == v->depth && !v->waiting.head))
		return;
	v->ticking = true;
	vio_timer_set(v->lane->poller, &v->tick, moving ? GONE_STEP : GONE_TICK);
}

void vio__drive_tick(struct drive_lane *v)
{
	v->ticking = true;
	vio_timer_set(v->lane->poller, &v->tick, v->joined ? GONE_TICK : GONE_STEP);
}

/* The system wants it back, or it was pulled out: the kernel waits until it is let go of. */
void vio__drive_give_back(struct drive *d)
{
	if (d->phase == DRIVE_GONE)
		return;
	d->phase = DRIVE_GONE;
	d->why = "the system wants the controller back, or it was taken out";
	if (d->f)
		d->f->ops->master(d->f, false);
	vio__drive_ring_all(d);
	vio__drive_release(d);
}
