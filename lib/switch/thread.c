/* SPDX-License-Identifier: MIT */
/* Threads of a switch and the rings between them; see thread.h. */
#include "switch/thread.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define THREAD_IDLE_NS 10000000000ull

static struct sw_thread *thread_at(const struct vio_switch *sw, unsigned i)
{
	return VIO_LOAD_ACQUIRE(&sw->thread[i]);
}

static struct sw_ring *thread_ring(const struct sw_thread *from, const struct sw_thread *to)
{
	return VIO_LOAD_ACQUIRE(&from->to[to->index]);
}

/* Inside a section: so its eventfd stays open. After what it has to see, and a full barrier. */
static void thread_wake(struct sw_thread *t)
{
	uint64_t one = 1;

	if (!VIO_LOAD(&t->asleep) || !__atomic_exchange_n(&t->asleep, 0, __ATOMIC_ACQ_REL))
		return;
	if (write(t->bell_fd, &one, sizeof(one)) < 0) {
		/* full, that is, readable */
	}
}

bool sw_ring_room(struct sw_thread *t, const struct sw_thread *to)
{
	struct sw_ring *ring = thread_ring(t, to);

	return ring && ring->next - ring->back < SW_RING;
}

void sw_send_parcel(struct sw_thread *t, const struct sw_thread *to, const struct sw_frame *f,
		    const struct sw_head *h, enum sw_parcel_kind kind, const struct vio_switch_port *p)
{
	struct sw_ring *ring = thread_ring(t, to);
	struct sw_parcel *x = &ring->parcel[ring->next++ % SW_RING];

	x->f = *f;
	x->f.head = *h;
	x->kind = (uint8_t)kind;
	x->port = p ? p->number : SW_FLOOD;
	x->serial = p ? p->serial : 0;
	sw_lane_away(f->from, f->r);
	t->away |= 1ull << to->index;
	t->filled |= 1ull << to->index;
}

void sw_flush_parcels(struct sw_thread *t)
{
	uint64_t filled = t->filled;

	if (VIO_LIKELY(!filled))
		return;
	for (uint64_t m = filled; m; m &= m - 1) {
		struct sw_ring *ring = t->to[__builtin_ctzll(m)];

		VIO_STORE_RELEASE(&ring->head, ring->next);
	}
	vio__full_barrier(); /* against the order of arm: asleep, then a look at the ring */
	for (; filled; filled &= filled - 1)
		thread_wake(thread_at(t->sw, (unsigned)__builtin_ctzll(filled)));
	t->filled = 0;
}

static unsigned thread_collect(struct sw_thread *t, unsigned to)
{
	struct sw_ring *ring = t->to[to];
	uint32_t tail = VIO_LOAD_ACQUIRE(&ring->tail), n = tail - ring->back;

	for (; ring->back != tail; ring->back++) {
		const struct sw_parcel *x = &ring->parcel[ring->back % SW_RING];

		sw_lane_back(x->f.from, x->f.r, x->result);
	}
	if (ring->back == ring->next)
		t->away &= ~(1ull << to);
	return n;
}

unsigned sw_collect(struct sw_thread *t)
{
	unsigned done = 0;

	for (uint64_t away = t->away; away; away &= away - 1)
		done += thread_collect(t, (unsigned)__builtin_ctzll(away));
	return done;
}

/* Serves up to `budget` parcels of thread u. */
static unsigned thread_receive(struct sw_thread *t, struct sw_thread *u, unsigned budget)
{
	struct sw_ring *ring = thread_ring(u, t);
	uint32_t head, tail, n;

	if (!ring)
		return 0;
	tail = ring->tail;
	head = VIO_LOAD_ACQUIRE(&ring->head);
	n = VIO_MIN(head - tail, budget);
	if (!n)
		return 0;
	for (uint32_t i = 0; i < n; i++) {
		struct sw_parcel *x = &ring->parcel[(tail + i) % SW_RING];

		if (i + 1 < n)
			__builtin_prefetch(ring->parcel[(tail + i + 1) % SW_RING].f.r);
		x->result = sw_arrive(t, x);
	}
	VIO_STORE_RELEASE(&ring->tail, tail + n);
	vio__full_barrier();
	thread_wake(u);
	return n;
}

static unsigned thread_receive_all(struct sw_thread *t, unsigned budget)
{
	unsigned done = 0;

	sw_enter(t);
	for (unsigned i = 0; i < SW_THREADS; i++) {
		struct sw_thread *u = thread_at(t->sw, i);

		if (!u)
			break; /* they come one after another, and stay */
		if (u != t)
			done += thread_receive(t, u, budget);
	}
	sw_leave(t);
	return done;
}

static unsigned thread_run(struct vio_task *task, unsigned budget)
{
	struct sw_thread *t = VIO_CONTAINER(task, struct sw_thread, task);
	unsigned done = thread_receive_all(t, budget);

	return done + sw_collect(t);
}

static bool thread_waits(const struct sw_thread *t)
{
	for (unsigned i = 0; i < SW_THREADS; i++) {
		const struct sw_thread *u = thread_at(t->sw, i);
		const struct sw_ring *in = u && u != t ? thread_ring(u, t) : NULL;
		const struct sw_ring *out = VIO_LOAD_ACQUIRE(&t->to[i]);

		if (!u)
			break;
		if (in && VIO_LOAD_ACQUIRE(&in->head) != in->tail)
			return true;
		if (out && VIO_LOAD_ACQUIRE(&out->tail) != out->back)
			return true;
	}
	return false;
}

static bool thread_arm(struct vio_task *task, bool on)
{
	struct sw_thread *t = VIO_CONTAINER(task, struct sw_thread, task);

	VIO_STORE(&t->asleep, on);
	if (!on)
		return false;
	vio__full_barrier();
	return thread_waits(t);
}

static void thread_rung(struct vio_watch *w, uint32_t events)
{
	struct sw_thread *t = VIO_CONTAINER(w, struct sw_thread, bell);

	(void)events;
	vio_task_wake(t->poller, &t->task);
}

/* One that has no poller, or a new one. */
static struct sw_thread *thread_spare(struct vio_switch *sw, unsigned *index)
{
	for (*index = 0; *index < SW_THREADS && sw->thread[*index]; ++*index)
		if (!sw->thread[*index]->poller)
			return sw->thread[*index];
	return NULL;
}

static struct sw_ring *thread_ring_new(void)
{
	struct sw_ring *ring = aligned_alloc(VIO_CACHELINE, sizeof(*ring));

	if (ring)
		memset(ring, 0, sizeof(*ring));
	return ring;
}

/* To all that were there before, and from them. */
static bool thread_join(struct sw_thread *t)
{
	struct vio_switch *sw = t->sw;

	for (unsigned i = 0; i < SW_THREADS && sw->thread[i]; i++) {
		struct sw_ring **back = &sw->thread[i]->to[t->index], *ring;

		t->to[i] = thread_ring_new();
		ring = *back ? *back : thread_ring_new(); /* there already after an attempt that failed */
		if (!t->to[i] || !ring) {
			free(*back ? NULL : ring);
			return false;
		}
		VIO_STORE_RELEASE(back, ring);
	}
	return true;
}

static int thread_new(struct sw_thread **out, struct vio_switch *sw, unsigned index)
{
	struct sw_thread *t = aligned_alloc(VIO_CACHELINE, sizeof(*t));
	int rc;

	if (!t)
		return vio__fail(ENOMEM, "switch: out of memory for a thread");
	memset(t, 0, sizeof(*t));
	t->sw = sw;
	t->index = index;
	t->task = (struct vio_task){ .run = thread_run, .arm = thread_arm };
	rc = flow_table_new(&t->flows, sw->flows, THREAD_IDLE_NS);
	if (!rc && !thread_join(t))
		rc = vio__fail(ENOMEM, "switch: out of memory for the rings between threads");
	if (rc) {
		sw_thread_free(t);
		return rc;
	}
	*out = t;
	return 0;
}

static int thread_begin(struct sw_thread *t, struct vio_poller *p)
{
	int rc;

	t->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (t->bell_fd < 0)
		return vio__fail(errno, "switch: no eventfd: %s", strerror(errno));
	t->bell = (struct vio_watch){ .ready = thread_rung, .fd = t->bell_fd, .events = EPOLLIN | EPOLLET };
	rc = vio_watch_add(p, &t->bell);
	if (rc) {
		close(t->bell_fd);
		return rc;
	}
	t->poller = p;
	vio_task_add(p, &t->task);
	return 0;
}

static int thread_make(struct sw_thread **out, struct vio_switch *sw, struct vio_poller *p)
{
	unsigned index;
	struct sw_thread *t = thread_spare(sw, &index), *made = NULL;
	int rc = 0;

	if (!t && index == SW_THREADS)
		return vio__fail(ENOSPC, "switch: its ports are on %u threads already", SW_THREADS);
	if (!t) {
		rc = thread_new(&made, sw, index);
		t = made;
	}
	rc = rc ? rc : thread_begin(t, p);
	if (rc) {
		sw_thread_free(made);
		return rc;
	}
	if (made)
		VIO_STORE_RELEASE(&sw->thread[index], made);
	*out = t;
	return 0;
}

int sw_thread_get(struct sw_thread **out, struct vio_switch *sw, struct vio_poller *p)
{
	int rc = 0;

	*out = NULL;
	for (unsigned i = 0; i < SW_THREADS && sw->thread[i] && !*out; i++)
		if (sw->thread[i]->poller == p)
			*out = sw->thread[i];
	if (!*out)
		rc = thread_make(out, sw, p);
	if (!rc)
		(*out)->lanes++;
	return rc;
}

/* With its last lane gone nothing new is sent here; what is on its way is let go of. */
static void thread_end(struct sw_thread *t)
{
	while (thread_receive_all(t, SW_RING))
		;
	VIO_STORE(&t->asleep, 0);
	vio_task_del(t->poller, &t->task);
	vio_watch_del(t->poller, &t->bell);
	sw_sync(t->sw);
	close(t->bell_fd);
	t->poller = NULL;
}

void sw_thread_put(struct sw_thread *t)
{
	if (!--t->lanes)
		thread_end(t);
}

void sw_thread_free(struct sw_thread *t)
{
	if (!t)
		return;
	for (unsigned i = 0; i < SW_THREADS; i++)
		free(t->to[i]);
	flow_table_free(t->flows);
	free(t);
}
