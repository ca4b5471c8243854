/* SPDX-License-Identifier: MIT */
/*
 * A scripted vhost-user front end for tests: it says exactly what it is told to
 * say, right or wrong. In the same thread as the server (front_serve), or with the
 * server somewhere else (f->p stays NULL).
 */
#ifndef TESTS_FRONT_END_H
#define TESTS_FRONT_END_H

#include <virtio-offload.h>

#include "open_fds.h"

#include "wire/vhost_user.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#define FRONT_GUEST 0x100000000ull   /* guest address of the memory's first byte */
#define FRONT_USER 0x700000000000ull /* and the front end's, deliberately not where it is mapped */
#define FRONT_MEM (8u << 20)

#define FRONT_PF (1ull << VU_F_PROTOCOL_FEATURES)
#define FRONT_V1 (1ull << 32)
#define FRONT_PACKED (1ull << 34)
#define FRONT_LOG (1ull << VU_F_LOG_ALL)
#define FRONT_PROTOCOL 0x1b22bull /* all of enum vu_protocol_feature */

struct front {
	/* the server, if it lives in this thread */
	struct vio_poller *p;
	struct vio_backend *b;
	struct vio_dev *d;
	struct vio_vhost_user *t;
	bool stopped;
	int ups, downs; /* calls of connected */
	char log[4096]; /* its error sentences, newest last */
	/* the front end */
	int s;
	int memfd;
	uint8_t *mem;
};

__attribute__((unused)) /* Mappings of memfds: what a leaked region would leave behind. */
__attribute__((unused)) static unsigned front_maps(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned n = 0;

	while (fgets(line, sizeof(line), f))
		n += strstr(line, "memfd:") != NULL;
	fclose(f);
	return n;
}

static inline void front_log(void *ctx, enum vio_log_level level, const char *sentence)
{
	struct front *f = ctx;
	size_t len = strlen(f->log);

	if (level == VIO_LOG_ERROR)
		snprintf(f->log + len, sizeof(f->log) - len, "%s\n", sentence);
}

static inline void front_connected(void *ctx, bool yes)
{
	struct front *f = ctx;

	if (yes)
		f->ups++;
	else
		f->downs++;
}

static inline void front_stop_done(void *ctx)
{
	((struct front *)ctx)->stopped = true;
}

/* Lets the server have its turn. */
static inline void front_pump(struct front *f)
{
	if (f->p)
		assert_true(vio_poller_wait(f->p, 1) >= 0);
}

static inline int front_memfd(size_t size, unsigned seals)
{
	int fd = memfd_create("front", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static inline void front_memory(struct front *f)
{
	f->memfd = front_memfd(FRONT_MEM, F_SEAL_SHRINK);
	f->mem = mmap(NULL, FRONT_MEM, PROT_READ | PROT_WRITE, MAP_SHARED, f->memfd, 0);
	assert_true(f->mem != MAP_FAILED);
}

/* A device without a transport: blk over a stack, on one poller. */
static inline void front_device_over(struct front *f, const char *stack, const char *arg)
{
	VIO_OPTS(vio_poller_opts, po, .log = front_log, .log_ctx = f);

	*f = (struct front){ .s = -1, .memfd = -1 };
	assert_int_equal(vio_poller_new(&f->p, &po), 0);
	assert_int_equal(vio_backend_parse(&f->b, NULL, stack), 0);
	if (vio_dev_new(&f->d, vio_dev_blk(), f->b, arg))
		fail_msg("%s", vio_errmsg());
}

static inline void front_device(struct front *f, const char *arg)
{
	front_device_over(f, "ram:4M", arg);
}

/* A server of f's device at one end of a socketpair, and the front end at the other. */
static inline void front_attach(struct front *f, struct vio_vhost_user_opts *o)
{
	int s[2];

	front_memory(f);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	f->s = s[0];
	o->fd = s[1];
	o->connected = front_connected;
	o->ctx = f;
	if (vio_vhost_user_new(&f->t, f->p, f->d, o))
		fail_msg("%s", vio_errmsg());
}

static inline void front_serve(struct front *f, const char *arg, struct vio_vhost_user_opts *o)
{
	front_device(f, arg);
	front_attach(f, o);
}

static inline void front_hang_up(struct front *f)
{
	if (f->s >= 0)
		close(f->s);
	f->s = -1;
}

static inline void front_stop(struct front *f)
{
	f->stopped = false;
	vio_vhost_user_stop(f->t, front_stop_done, f);
	while (!f->stopped)
		front_pump(f);
	vio_vhost_user_free(f->t);
	f->t = NULL;
}

static inline void front_free(struct front *f)
{
	front_hang_up(f);
	if (f->t)
		front_stop(f);
	vio_dev_free(f->d);
	vio_backend_free(f->b);
	vio_poller_free(f->p);
	if (f->mem)
		munmap(f->mem, FRONT_MEM);
	if (f->memfd >= 0)
		close(f->memfd);
}

/* Sends a message, with flags beside the version and any number of descriptors up to VU_MAX_FDS. */
static inline void front_send(struct front *f, uint32_t request, uint32_t flags, const void *payload,
			      uint32_t size, const int *fds, unsigned nfds)
{
	struct vu_msg m = { .h = { request, VU_VERSION | flags, size }, .nfds = nfds };

	if (size)
		memcpy(&m.p, payload, size);
	for (unsigned i = 0; i < nfds; i++)
		m.fds[i] = fds[i];
	vu_send(f->s, &m, 5000);
}

/* The next message from the server: 1, or the error that ended the connection. */
static inline int front_recv(struct front *f, struct vu_msg *m)
{
	struct vu_inbox box = { 0 };
	int r;

	if (!f->p)
		r = vu_recv_wait(&box, f->s, 30000);
	else
		while (!(r = vu_recv(&box, f->s)))
			front_pump(f);
	*m = box.msg;
	if (r < 0)
		m->nfds = 0;
	return r;
}

/* A request with an answer. */
static inline struct vu_msg front_ask(struct front *f, uint32_t request, const void *payload, uint32_t size)
{
	struct vu_msg m;

	front_send(f, request, 0, payload, size, NULL, 0);
	assert_int_equal(front_recv(f, &m), 1);
	assert_int_equal(m.h.request, request);
	assert_int_equal(m.h.flags, VU_VERSION | VU_FLAG_REPLY);
	return m;
}

static inline uint64_t front_ask_u64(struct front *f, uint32_t request)
{
	struct vu_msg m = front_ask(f, request, NULL, 0);

	assert_int_equal(m.h.size, 8);
	return m.p.u64;
}

/* A request with NEED_REPLY: what the acknowledgement says. */
static inline uint64_t front_ack(struct front *f, uint32_t request, const void *payload, uint32_t size,
				 const int *fds, unsigned nfds)
{
	struct vu_msg m;

	front_send(f, request, VU_FLAG_NEED_REPLY, payload, size, fds, nfds);
	assert_int_equal(front_recv(f, &m), 1);
	assert_int_equal(m.h.request, request);
	assert_int_equal(m.h.flags, VU_VERSION | VU_FLAG_REPLY);
	assert_int_equal(m.h.size, 8);
	return m.p.u64;
}

static inline uint64_t front_ack_u64(struct front *f, uint32_t request, uint64_t v)
{
	return front_ack(f, request, &v, sizeof(v), NULL, 0);
}

static inline uint64_t front_ack_state(struct front *f, uint32_t request, uint32_t index, uint32_t num)
{
	struct vu_vring_state s = { index, num };

	return front_ack(f, request, &s, sizeof(s), NULL, 0);
}

/* The server has ended the connection. */
__attribute__((unused)) static void front_expect_closed(struct front *f)
{
	struct vu_msg m;

	assert_int_equal(front_recv(f, &m), -ECONNRESET);
}

/* Protocol features first, as every front end; all that the server offers is accepted. */
static inline void front_greet(struct front *f, uint64_t features)
{
	uint64_t protocol;

	front_send(f, VU_SET_OWNER, 0, NULL, 0, NULL, 0);
	assert_true(front_ask_u64(f, VU_GET_FEATURES) & FRONT_PF);
	protocol = front_ask_u64(f, VU_GET_PROTOCOL_FEATURES);
	assert_int_equal(protocol, FRONT_PROTOCOL);
	assert_int_equal(front_ack_u64(f, VU_SET_PROTOCOL_FEATURES, protocol), 0);
	assert_int_equal(front_ack_u64(f, VU_SET_FEATURES, features), 0);
}

/* One region: all of the memory. */
static inline uint64_t front_give_memory(struct front *f)
{
	struct vu_mem_table table = {
		.n = 1,
		.regions[0] = { .guest = FRONT_GUEST, .size = FRONT_MEM, .user = FRONT_USER },
	};

	return front_ack(f, VU_SET_MEM_TABLE, &table, 8 + sizeof(table.regions[0]), &f->memfd, 1);
}

#endif
