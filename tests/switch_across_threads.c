/* SPDX-License-Identifier: MIT */
/* Ports on pollers of different threads: every packet arrives whole or is counted, and nobody sleeps through
 * one. */
#include "switch_net.h"

#include "base/barrier.h"

#include <pthread.h>

#define THREADS 3u
#define EACH 2u /* stations a thread */
#define PORTS (THREADS * EACH)
#define SENDS 6000u /* by each station */
#define WINDOW 64u
#define PINGS 2000u

struct worker {
	pthread_t thread;
	struct vio_poller *poller;
	struct station s[EACH];
	unsigned id, sent[EACH];
	uint32_t last[EACH][PORTS]; /* per receiver and sender: the number of the last unicast packet */
	uint64_t seed;
};

static struct vio_switch *sw;
static struct worker workers[THREADS];
static pthread_barrier_t all;
static unsigned finished;
static uint64_t floods;

static unsigned rnd(struct worker *w, unsigned n)
{
	w->seed = w->seed * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)((w->seed >> 33) % n);
}

static unsigned station_number(const struct worker *w, unsigned i)
{
	return w->id * EACH + i;
}

/* The packet's number is in it, and its pattern follows from it. */
static void worker_send(struct worker *w, unsigned i)
{
	unsigned src = station_number(w, i), dst = rnd(w, 10) ? rnd(w, PORTS) : NET_BROADCAST;
	uint32_t number = ++w->sent[i];
	uint8_t frame[1000];
	size_t len = 60 + rnd(w, sizeof(frame) - 60);

	if (dst == src)
		dst = NET_BROADCAST;
	if (dst == NET_BROADCAST)
		__atomic_fetch_add(&floods, 1, __ATOMIC_RELAXED);
	net_frame(frame, dst, src, -1, len, number);
	memcpy(frame + 14, &number, 4);
	station_send_cut(&w->s[i], frame, len, 0, NULL, 0);
}

static void worker_check(struct worker *w, unsigned i, const struct packet_got *g)
{
	unsigned src = (unsigned)g->bytes[10] << 8 | g->bytes[11];
	uint8_t frame[1000];
	uint32_t number;

	assert_true(g->len <= sizeof(frame) && src < PORTS);
	memcpy(&number, g->bytes + 14, 4);
	net_frame(frame, g->bytes[0] & 1 ? NET_BROADCAST : station_number(w, i), src, -1, g->len, number);
	memcpy(frame + 14, &number, 4);
	assert_memory_equal(frame, g->bytes, g->len);
	assert_true(number > w->last[i][src]); /* in order */
	w->last[i][src] = number;
}

static void worker_turn(struct worker *w, bool sends)
{
	static _Thread_local struct packet_got got;

	for (unsigned i = 0; i < EACH; i++) {
		struct station *s = &w->s[i];

		station_post(s, WINDOW - s->posted);
		while (sends && w->sent[i] < SENDS && s->sending < WINDOW)
			worker_send(w, i);
		while (station_reap_sends(s))
			;
		while (station_get(s, &got))
			worker_check(w, i, &got);
	}
	vio_poller_wait(w->poller, 0);
}

static bool worker_busy(const struct worker *w)
{
	for (unsigned i = 0; i < EACH; i++)
		if (w->s[i].sending || w->sent[i] < SENDS)
			return true;
	return false;
}

static void worker_lanes(struct worker *w)
{
	uint8_t mac[6];
	char name[8];

	assert_int_equal(vio_poller_new(&w->poller, NULL), 0);
	for (unsigned i = 0; i < EACH; i++) {
		snprintf(name, sizeof(name), "p%u", station_number(w, i));
		station_up(&w->s[i], sw, w->poller, name, NULL);
		net_mac(mac, station_number(w, i));
		assert_int_equal(vio_switch_address_set(sw, mac, 1, w->s[i].port), 0);
	}
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	pthread_barrier_wait(&all);
	while (worker_busy(w))
		worker_turn(w, true);
	__atomic_fetch_add(&finished, 1, __ATOMIC_ACQ_REL);
	while (VIO_LOAD_ACQUIRE(&finished) < THREADS)
		worker_turn(w, false);
	worker_turn(w, false); /* what was delivered last */
	pthread_barrier_wait(&all);
	pthread_barrier_wait(&all); /* counted */
	for (unsigned i = 0; i < EACH; i++)
		station_close(&w->s[i]);
	return NULL;
}

/* Ports are made by one thread at a time, lanes by each on its own. */
static void *worker_start(void *arg)
{
	struct worker *w = arg;
	static pthread_mutex_t one = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&one);
	worker_lanes(w);
	pthread_mutex_unlock(&one);
	return worker_main(w);
}

static void every_packet_arrives_or_is_counted(void **state)
{
	uint64_t ended = 0, sent = 0, delivered = 0;

	(void)state;
	assert_int_equal(vio_switch_new(&sw, NULL), 0);
	pthread_barrier_init(&all, NULL, THREADS + 1);
	finished = 0;
	floods = 0;
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i].id = i;
		workers[i].seed = i + 1;
		pthread_create(&workers[i].thread, NULL, worker_start, &workers[i]);
	}
	pthread_barrier_wait(&all);
	pthread_barrier_wait(&all);
	for (unsigned i = 0; i < PORTS; i++) {
		struct vio_switch_port_stats s = station_stats(&workers[i / EACH].s[i % EACH]);

		sent += s.sent;
		delivered += s.delivered;
		for (unsigned k = 0; k < VIO_SWITCH_DROP_N; k++)
			ended += s.dropped[k];
	}
	assert_true(sent == (uint64_t)PORTS * SENDS);
	assert_true(sent - floods + floods * (PORTS - 1) == delivered + ended);
	assert_true(delivered > sent / 10);
	pthread_barrier_wait(&all);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
	for (unsigned i = 0; i < PORTS; i++)
		vio_switch_port_free(workers[i / EACH].s[i % EACH].port);
	vio_switch_free(sw);
	for (unsigned i = 0; i < THREADS; i++)
		vio_poller_free(workers[i].poller);
	pthread_barrier_destroy(&all);
}

struct pinger {
	pthread_t thread;
	struct vio_poller *poller;
	struct station s;
	unsigned me, peer;
};

static void pinger_say(struct pinger *p)
{
	uint8_t frame[60];

	station_send_cut(&p->s, frame, net_frame(frame, p->peer, p->me, -1, sizeof(frame), 0), 0, NULL, 0);
}

/* Sleeps without a time limit: a wake-up that is lost hangs the test. */
static void pinger_hear(struct pinger *p)
{
	static _Thread_local struct packet_got got;

	while (!station_get(&p->s, &got)) {
		assert_true(vio_poller_wait(p->poller, -1) >= 0);
		station_reap_sends(&p->s);
	}
	station_post(&p->s, 1);
}

static void *pinger_main(void *arg)
{
	struct pinger *p = arg;

	assert_int_equal(vio_poller_new(&p->poller, NULL), 0);
	p->s.poller = p->poller;
	station_lanes(&p->s);
	station_post(&p->s, 8);
	pthread_barrier_wait(&all);
	for (unsigned i = 0; i < PINGS; i++) {
		if (!p->me)
			pinger_say(p);
		pinger_hear(p);
		if (p->me)
			pinger_say(p);
	}
	while (p->s.sending)
		if (!station_reap_sends(&p->s))
			assert_true(vio_poller_wait(p->poller, -1) >= 0);
	pthread_barrier_wait(&all);
	station_close(&p->s);
	return NULL;
}

static void sleepers_are_woken(void **state)
{
	static struct pinger p[2];

	(void)state;
	assert_int_equal(vio_switch_new(&sw, NULL), 0);
	pthread_barrier_init(&all, NULL, 2);
	for (unsigned i = 0; i < 2; i++) {
		p[i] = (struct pinger){ .me = i, .peer = !i, .s.room = 2048 };
		assert_int_equal(vio_switch_port_new(&p[i].s.port, sw, i ? "b" : "a", NULL), 0);
		station_known(&p[i].s, sw, i);
	}
	for (unsigned i = 0; i < 2; i++)
		pthread_create(&p[i].thread, NULL, pinger_main, &p[i]);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(p[i].thread, NULL);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(station_stats(&p[i].s).delivered == PINGS);
		vio_switch_port_free(p[i].s.port);
	}
	vio_switch_free(sw);
	for (unsigned i = 0; i < 2; i++)
		vio_poller_free(p[i].poller);
	pthread_barrier_destroy(&all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_packet_arrives_or_is_counted),
		cmocka_unit_test(sleepers_are_woken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
