/* SPDX-License-Identifier: MIT */
/* One thread a poller. The main thread's has the sockets and the control channel beside its share of queues.
 */
#include "vswitch.h"

#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>

#define LINGER_MS 20

static atomic_bool stop;

static void *serve_queues(void *poller)
{
	while (!atomic_load(&stop) && vio_poller_wait(poller, -1) >= 0)
		;
	while (vio_poller_wait(poller, LINGER_MS) > 0)
		; /* what ports that were freed still had under way */
	return NULL;
}

int threads_start(struct vswitch *s)
{
	sigset_t all, old;

	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	s->running = 1;
	while (s->running < s->o.threads &&
	       !pthread_create(&s->threads[s->running], NULL, serve_queues, s->pollers[s->running]))
		s->running++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (s->running == s->o.threads)
		return 0;
	fprintf(stderr, "vswitch: --threads %u: only %u could be started\n", s->o.threads, s->running);
	return -1;
}

void threads_end(struct vswitch *s)
{
	atomic_store(&stop, true);
	for (unsigned i = 1; i < s->running; i++) {
		vio_poller_wake(s->pollers[i]);
		pthread_join(s->threads[i], NULL);
	}
}

/* A call that the main thread makes on another one. */
struct call {
	struct vio_msg msg;
	void (*fn)(void *ctx);
	void *ctx;
	sem_t done;
};

static void on_call(struct vio_msg *m)
{
	struct call *c = (struct call *)m;

	c->fn(c->ctx);
	sem_post(&c->done);
}

void threads_call(struct vswitch *s, unsigned thread, void (*fn)(void *ctx), void *ctx)
{
	struct call c = { .msg.fn = on_call, .fn = fn, .ctx = ctx };

	if (!thread) {
		fn(ctx);
		return;
	}
	sem_init(&c.done, 0, 0);
	vio_poller_post(s->pollers[thread], &c.msg);
	while (sem_wait(&c.done))
		; /* a signal */
	sem_destroy(&c.done);
}
