/* SPDX-License-Identifier: MIT */
/* What other threads and signal handlers may do: post a call, and end a wait. */
#include "poller.h"

#include <pthread.h>
#include <signal.h>

#define POSTERS 4
#define POSTS 20000

struct post {
	struct vio_msg m;
	unsigned from, number;
};

static unsigned post_next[POSTERS], posts_run;

static void post_run(struct vio_msg *m)
{
	struct post *x = (struct post *)m;

	assert_int_equal(x->number, post_next[x->from]); /* in the order of the thread that posted */
	post_next[x->from]++;
	posts_run++;
	free(x);
}

struct poster {
	struct vio_poller *p;
	unsigned id;
	pthread_t thread;
};

static void *poster_main(void *arg)
{
	struct poster *b = arg;

	for (unsigned i = 0; i < POSTS; i++) {
		struct post *x = malloc(sizeof(*x));

		*x = (struct post){ .m.fn = post_run, .from = b->id, .number = i };
		vio_poller_post(b->p, &x->m);
	}
	return NULL;
}

static void every_post_of_every_thread_runs_once(void **state)
{
	struct poster b[POSTERS];

	posts_run = 0;
	memset(post_next, 0, sizeof(post_next));
	for (unsigned i = 0; i < POSTERS; i++) {
		b[i] = (struct poster){ .p = poller_from(state), .id = i };
		assert_int_equal(pthread_create(&b[i].thread, NULL, poster_main, &b[i]), 0);
	}
	while (posts_run < POSTERS * POSTS)
		assert_true(vio_poller_wait(b[0].p, -1) >= 0);
	for (unsigned i = 0; i < POSTERS; i++)
		pthread_join(b[i].thread, NULL);
}

static struct vio_poller *waked;

static void wake_handler(int sig)
{
	(void)sig;
	vio_poller_wake(waked);
}

static void a_wake_before_the_wait_ends_the_wait(void **state)
{
	struct vio_poller *p = poller_from(state);

	for (unsigned i = 0; i < 3; i++) {
		vio_poller_wake(p);
		vio_poller_wake(p);
		assert_int_equal(vio_poller_wait(p, -1), 0);
	}
}

static void *third_main(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return NULL;
}

static void *killer_main(void *arg)
{
	struct timespec moment = { .tv_nsec = 200000 };

	for (unsigned i = 0; i < 50; i++) {
		nanosleep(&moment, NULL); /* mostly asleep by then; right either way */
		pthread_kill(*(pthread_t *)arg, SIGUSR1);
	}
	return NULL;
}

/* A third thread takes the signals, so it is the wake that ends the wait, not EINTR. */
static void a_signal_handler_may_wake(void **state)
{
	struct sigaction sa = { .sa_handler = wake_handler };
	pthread_t third, killer;

	waked = poller_from(state);
	sigaction(SIGUSR1, &sa, NULL);
	assert_int_equal(pthread_create(&third, NULL, third_main, NULL), 0);
	raise(SIGUSR1);
	assert_int_equal(vio_poller_wait(waked, -1), 0);
	assert_int_equal(pthread_create(&killer, NULL, killer_main, &third), 0);
	assert_int_equal(vio_poller_wait(waked, -1), 0);
	pthread_join(killer, NULL);
	pthread_cancel(third);
	pthread_join(third, NULL);
	signal(SIGUSR1, SIG_DFL);
}

static void *run_main(void *arg)
{
	return (void *)(intptr_t)vio_poller_wait(arg, -1);
}

static void ready_count(struct vio_watch *w, uint32_t events)
{
	(void)events;
	w->poller_private[1] = w;
}

/* Made and furnished here, run there, freed here again. */
static void a_poller_may_be_made_in_one_thread_and_run_in_another(void **state)
{
	struct vio_poller *p = poller_from(state);
	struct vio_watch w = { .ready = ready_count, .fd = event_fd(), .events = EPOLLIN | EPOLLET };
	pthread_t t;
	void *rc;

	assert_int_equal(vio_watch_add(p, &w), 0);
	event_write(w.fd);
	assert_int_equal(pthread_create(&t, NULL, run_main, p), 0);
	pthread_join(t, &rc);
	assert_int_equal((intptr_t)rc, 1);
	assert_ptr_equal(w.poller_private[1], &w);
	vio_watch_del(p, &w);
	close(w.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(every_post_of_every_thread_runs_once),
		BOTH(a_wake_before_the_wait_ends_the_wait),
		BOTH(a_signal_handler_may_wake),
		BOTH(a_poller_may_be_made_in_one_thread_and_run_in_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
