/* SPDX-License-Identifier: MIT */
/* The poller from inside: what its files share. */
#ifndef VIO_POLL_POLL_H
#define VIO_POLL_POLL_H

#include "poll/engine.h"

#define POLL_BUFS 1024 /* registered buffers: enough for 1 TiB of guest memory */
#define POLL_FILES 256 /* registered files; RLIMIT_NOFILE must allow as many */

/* The budget of a pass when the caller names none. */
#define POLL_BUDGET 32
/* Every so many passes a poller that is never idle asks the kernel for news all the same. */
#define POLL_COLLECT_EVERY 32

/*
 * A watch as the kernel knows it. Events name the slot, which belongs to the poller
 * and outlives the watch: an event that comes after del finds watch NULL.
 */
struct poll_slot {
	struct vio_watch *watch;
	struct poll_slot *next; /* free list, or an engine's list */
	int fd;
	uint32_t events;
	bool internal;	 /* the poller's own: its events are no work done */
	bool armed;	 /* the kernel may still send an event */
	bool queued;	 /* on the engine's list */
	bool cancelling; /* a cancellation's own answer is still to come */
	bool busy;	 /* inside ready */
};

struct poll_slots;

struct poll_ios {
	struct vio_io *head, *tail;
};

struct poll_buf {
	void *ptr;
	size_t len;
	unsigned refs;
};

/* Why the bell was rung; see bell.c. */
enum { BELL_POST = 1, BELL_WAKE = 2, BELL_POKE = 4 };

struct vio_poller {
	const struct poll_engine *engine;
	void *state;			       /* the engine's */
	struct vio_task *tasks, *tasks_last;   /* the active ones */
	struct vio_task *task_next, *task_now; /* where tasks_run stands */
	struct vio_timer *timers;	       /* a pairing heap */
	uint64_t now;			       /* 0: not read yet in this pass */
	bool running;			       /* inside run or wait */
	bool foreign;			       /* someone waits for epfd */
	bool ended;			       /* vio_poller_wake was called */
	bool signalled;			       /* a signal is queued and not submitted */
	enum vio_poll_mode mode;
	unsigned task_patience; /* passes without work before a task sleeps while others work */
	unsigned idle;		/* passes in a row that found nothing */
	uint64_t idle_since, spin_ns;
	unsigned entries;
	struct vio_poller_stats stats;

	int epfd; /* what vio_poller_fd gives away */
	int bell_fd, timer_fd;
	uint64_t timer_armed; /* what timer_fd is set to; 0: nothing */
	struct vio_watch bell_watch, timer_watch;
	struct poll_slots *slots;
	struct poll_slot *slots_free;
	struct poll_buf *bufs; /* POLL_BUFS, from the first registration on */
	uint32_t *files;       /* POLL_FILES: 1 = in use */
	void (*log)(void *ctx, enum vio_log_level level, const char *sentence);
	void *log_ctx;

	/* What other threads write, away from what this one does. */
	uint32_t bell __attribute__((aligned(VIO_CACHELINE)));
	struct vio_msg *posted;
};

/* bell.c */
int poll_bell_open(struct vio_poller *p);
void poll_bell_ring(struct vio_poller *p, uint32_t why);
unsigned poll_bell_answer(struct vio_poller *p);

/* Work came from outside of run, so a foreign loop has to be told. */
VIO_INLINE void poll_outside(struct vio_poller *p)
{
	if (VIO_UNLIKELY(p->foreign && !p->running))
		poll_bell_ring(p, BELL_POKE);
}

/*
 * A signal that is queued names its eventfd by number. Whoever may close one, that is
 * any callback but a task's run, finds that all have left.
 */
VIO_INLINE void poll_signals_leave(struct vio_poller *p)
{
	if (VIO_UNLIKELY(p->signalled))
		p->engine->flush(p, POLL_FLUSH_ALL);
}

/* timer.c */
int poll_timer_open(struct vio_poller *p);
unsigned poll_timer_fire(struct vio_poller *p);
uint64_t poll_timer_next(const struct vio_poller *p); /* CLOCK_MONOTONIC, UINT64_MAX: none */
void poll_timer_arm(struct vio_poller *p);	      /* timer_fd shows the next one */

/* task.c */
unsigned poll_tasks_run(struct vio_poller *p, unsigned budget);
bool poll_tasks_sleep(struct vio_poller *p); /* true: some stay awake, for there is work */

/* watch.c */
int poll_watch_internal(struct vio_poller *p, struct vio_watch *w);
unsigned poll_slot_ready(struct vio_poller *p, struct poll_slot *slot, uint32_t events);
void poll_slot_put(struct vio_poller *p, struct poll_slot *slot);
/* f for each slot with a watch, until one fails. */
int poll_slots_each(struct vio_poller *p, int (*f)(struct vio_poller *p, struct poll_slot *slot));
void poll_slots_free(struct vio_poller *p);

/* Lists of I/O, first in, first out. */
VIO_INLINE void poll_ios_push(struct poll_ios *l, struct vio_io *io)
{
	io->next = NULL;
	if (l->head)
		l->tail->next = io;
	else
		l->head = io;
	l->tail = io;
}

VIO_INLINE struct vio_io *poll_ios_pop(struct poll_ios *l)
{
	struct vio_io *io = l->head;

	if (io)
		l->head = io->next;
	return io;
}

#endif
