/* SPDX-License-Identifier: MIT */
/* Watches: told by level or by edge, and never after del, wherever del was called. */
#include "poller.h"

#include <fcntl.h>
#include <sys/socket.h>

struct probe {
	struct vio_watch w;
	struct vio_poller *p;
	unsigned told;
	uint32_t events;
	bool drain;	    /* read the fd when told */
	struct probe *kill; /* delete this one when told */
};

static void probe_ready(struct vio_watch *w, uint32_t events)
{
	struct probe *b = (struct probe *)w;

	b->told++;
	b->events = events;
	if (b->drain)
		event_read(w->fd);
	if (b->kill)
		vio_watch_del(b->p, &b->kill->w);
}

static void probe_add(struct vio_poller *p, struct probe *b, int fd, uint32_t events)
{
	b->p = p;
	b->w = (struct vio_watch){ .ready = probe_ready, .fd = fd, .events = events };
	assert_int_equal(vio_watch_add(p, &b->w), 0);
}

static void probe_close(struct probe *b)
{
	vio_watch_del(b->p, &b->w);
	close(b->w.fd);
}

static void a_level_watch_is_told_as_long_as_the_fd_is_ready(void **state)
{
	struct vio_poller *p = poller_from(state);
	struct probe b = { 0 };

	probe_add(p, &b, event_fd(), EPOLLIN);
	settle(p);
	assert_int_equal(b.told, 0);
	event_write(b.w.fd);
	while (b.told < 3)
		assert_true(vio_poller_wait(p, -1) >= 0);
	assert_int_equal(b.events, EPOLLIN);
	b.drain = true;
	settle(p);
	b.told = 0;
	settle(p);
	assert_int_equal(b.told, 0);
	probe_close(&b);
}

static void an_edge_watch_is_told_of_each_edge_without_reading(void **state)
{
	struct vio_poller *p = poller_from(state);
	struct probe b = { 0 };

	probe_add(p, &b, event_fd(), EPOLLIN | EPOLLET);
	for (unsigned i = 1; i <= 100; i++) {
		event_write(b.w.fd);
		while (b.told < i)
			assert_true(vio_poller_wait(p, -1) >= 0);
		settle(p);
		assert_int_equal(b.told, i);
	}
	assert_int_equal(event_read(b.w.fd), 100);
	probe_close(&b);
}

static void an_edge_watch_is_told_of_what_was_ready_before(void **state)
{
	struct vio_poller *p = poller_from(state);
	struct probe b = { 0 };
	int fd = event_fd();

	event_write(fd);
	probe_add(p, &b, fd, EPOLLIN | EPOLLET);
	settle(p);
	assert_int_equal(b.told, 1);
	probe_close(&b);
}

static void a_watch_may_delete_itself_when_told(void **state)
{
	for (unsigned edge = 0; edge < 2; edge++) {
		struct vio_poller *p = poller_from(state);
		struct probe b = { 0 };
		int fd = event_fd();

		b.kill = &b;
		probe_add(p, &b, fd, EPOLLIN | (edge ? EPOLLET : 0));
		event_write(fd);
		settle(p);
		event_write(fd);
		settle(p);
		assert_int_equal(b.told, 1);
		close(fd);
	}
}

static void a_watch_may_delete_another_whose_event_has_come(void **state)
{
	struct vio_poller *p = poller_from(state);

	for (unsigned flags = 0; flags < 2; flags++) {
		uint32_t events = EPOLLIN | (flags ? EPOLLET : 0);
		struct probe a = { 0 }, b = { 0 };

		probe_add(p, &a, event_fd(), events);
		probe_add(p, &b, event_fd(), events);
		settle(p);
		a.kill = &b;
		b.kill = &a;
		a.drain = b.drain = true;
		event_write(a.w.fd);
		event_write(b.w.fd);
		settle(p); /* whichever is told first deletes the other */
		assert_int_equal(!!a.told + !!b.told, 1);
		a.kill = b.kill = NULL;
		probe_close(&a);
		probe_close(&b);
	}
}

static void del_forgets_an_event_on_its_way_and_lets_the_fd_be_closed(void **state)
{
	struct vio_poller *p = poller_from(state);
	char c;

	for (unsigned i = 0; i < 200; i++) {
		struct probe *b = calloc(1, sizeof(*b));
		int s[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s), 0);
		probe_add(p, b, s[0], EPOLLIN | (i % 2 ? EPOLLET : 0));
		if (i % 3)
			settle(p);
		assert_int_equal(write(s[1], "x", 1), 1);
		vio_watch_del(p, &b->w);
		memset(b, 0xff, sizeof(*b));
		free(b);
		close(s[0]);
		settle(p); /* now the kernel holds it no longer either */
		assert_true(read(s[1], &c, 1) == 0 || errno == ECONNRESET);
		close(s[1]);
	}
}

static void hangup_is_told(void **state)
{
	struct vio_poller *p = poller_from(state);
	struct probe b = { 0 };
	int s[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	probe_add(p, &b, s[0], EPOLLIN);
	close(s[1]);
	while (!b.told)
		vio_poller_wait(p, -1);
	assert_true(b.events & EPOLLHUP);
	probe_close(&b);
}

static void what_cannot_be_watched_is_refused(void **state)
{
	struct vio_poller *p = poller_from(state);
	struct vio_watch w = { .ready = probe_ready, .fd = -1, .events = EPOLLIN };
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	assert_int_equal(vio_watch_add(p, &w), -EBADF);
	w.fd = file;
	assert_int_equal(vio_watch_add(p, &w), -EPERM);
	assert_non_null(strstr(vio_errmsg(), "can't be watched"));
	w.events = EPOLLONESHOT;
	assert_int_equal(vio_watch_add(p, &w), -EINVAL);
	vio_watch_del(p, &w);
	close(file);
}

/* More events at once than a ring of one entry has places for; none is lost. */
static void many_watches_come_and_go(void **state)
{
	VIO_OPTS(vio_poller_opts, o, .entries = 1, .engine = vio_poller_engine(poller_from(state)));
	static struct probe b[300];
	struct vio_poller *p;

	assert_int_equal(vio_poller_new(&p, &o), 0);
	for (unsigned round = 0; round < 3; round++) {
		memset(b, 0, sizeof(b));
		for (unsigned i = 0; i < 300; i++)
			probe_add(p, &b[i], event_fd(), EPOLLIN | EPOLLET);
		settle(p);
		for (unsigned i = 0; i < 300; i++)
			event_write(b[i].w.fd);
		settle(p);
		for (unsigned i = 0; i < 300; i++) {
			assert_int_equal(b[i].told, 1);
			probe_close(&b[i]);
		}
	}
	vio_poller_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(a_level_watch_is_told_as_long_as_the_fd_is_ready),
		BOTH(an_edge_watch_is_told_of_each_edge_without_reading),
		BOTH(an_edge_watch_is_told_of_what_was_ready_before),
		BOTH(a_watch_may_delete_itself_when_told),
		BOTH(a_watch_may_delete_another_whose_event_has_come),
		BOTH(del_forgets_an_event_on_its_way_and_lets_the_fd_be_closed),
		BOTH(hangup_is_told),
		BOTH(what_cannot_be_watched_is_refused),
		BOTH(many_watches_come_and_go),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
