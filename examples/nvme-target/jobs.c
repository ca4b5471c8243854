/* SPDX-License-Identifier: MIT */
/* Jobs that may block: a thread each, for as long as it lasts. */
#include "target.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static unsigned under_way;

struct job {
	void (*job)(void *arg);
	void *arg;
};

static void count(int n)
{
	pthread_mutex_lock(&lock);
	under_way += (unsigned)n;
	pthread_cond_broadcast(&ended);
	pthread_mutex_unlock(&lock);
}

static void *work(void *arg)
{
	struct job j = *(struct job *)arg;

	free(arg);
	j.job(j.arg);
	count(-1);
	return NULL;
}

/* Where there is no thread to be had, the poller's own has to do it. */
void jobs_run(void *ctx, void (*job)(void *arg), void *arg)
{
	struct job *j = malloc(sizeof(*j));
	sigset_t all, old;
	pthread_t thread;
	int rc = -1;

	(void)ctx;
	count(1);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (j) {
		*j = (struct job){ job, arg };
		rc = pthread_create(&thread, NULL, work, j);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (!rc) {
		pthread_detach(thread);
		return;
	}
	free(j);
	job(arg);
	count(-1);
}

void jobs_await(void)
{
	pthread_mutex_lock(&lock);
	while (under_way)
		pthread_cond_wait(&ended, &lock);
	pthread_mutex_unlock(&lock);
}
