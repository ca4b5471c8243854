/* SPDX-License-Identifier: MIT */
/*
 * A hostile vhost-user server, in a thread of its own: it answers well, but for the twists that the input
 * asks for. Input: setup, n, n twists of its answers (which, kind, two bytes of value), then whatever the
 * target makes of it.
 */
#ifndef FUZZ_FRONT_SERVER_H
#define FUZZ_FRONT_SERVER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create */
#endif
#include "ring/vring.h"
#include "wire/vhost_user.h"

#include <endian.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_TWISTS 16u

enum {
	SETUP_PACKED = 1,
	SETUP_NO_EVENT = 2,
	SETUP_NO_INDIRECT = 4,
	SETUP_NO_ACK = 8,
	SETUP_INFLIGHT = 16, /* of requests in flight there is a record */
	SETUP_TABLE = 32,    /* memory comes in one table */
};

enum twist {
	TWIST_BYTE,
	TWIST_REQUEST,
	TWIST_FLAGS,
	TWIST_SIZE,
	TWIST_SILENT,
	TWIST_HANGUP,
	TWIST_FD,
	TWIST_TWICE
};

/* The server. What of it both threads use, one of them waits for the other. */
static struct {
	char path[64];
	int listener;
	pthread_mutex_t lock; /* over conn: the other thread may be closing it */
	int conn;	      /* -1: no conversation is under way */
	uint8_t setup, twists[MAX_TWISTS][4];
	unsigned ntwists;
	unsigned messages;	  /* that came in this conversation */
	uint64_t device_features; /* offered beside the rings' */
	uint8_t config[64];	  /* of the device */
} server = { .lock = PTHREAD_MUTEX_INITIALIZER, .conn = -1 };

static void check(bool ok)
{
	if (!ok)
		abort();
}

/* The kind of twist for this message, and its value, or -1. */
static int twist_of(unsigned message, unsigned *value)
{
	for (unsigned i = 0; i < server.ntwists; i++) {
		const uint8_t *t = server.twists[i];

		*value = t[2] | (unsigned)t[3] << 8;
		if (t[0] == message)
			return t[1] % 8;
	}
	return -1;
}

static uint64_t offered(void)
{
	uint64_t f = VIO_BIT(VIRTIO_F_VERSION_1) | VIO_BIT(VIRTIO_F_RING_PACKED) |
		     VIO_BIT(VU_F_PROTOCOL_FEATURES) | server.device_features;

	if (!(server.setup & SETUP_NO_EVENT))
		f |= VIO_BIT(VIRTIO_RING_F_EVENT_IDX);
	return server.setup & SETUP_NO_INDIRECT ? f : f | VIO_BIT(VIRTIO_RING_F_INDIRECT_DESC);
}

static uint64_t protocol(void)
{
	uint64_t p = VIO_BIT(VU_PROTOCOL_F_CONFIG) | VIO_BIT(VU_PROTOCOL_F_MQ) |
		     VIO_BIT(VU_PROTOCOL_F_INFLIGHT_SHMFD);

	if (!(server.setup & SETUP_TABLE))
		p |= VIO_BIT(VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
	return server.setup & SETUP_NO_ACK ? p : p | VIO_BIT(VU_PROTOCOL_F_REPLY_ACK);
}

static void put_config(struct vu_msg *m)
{
	memcpy(m->p.config.data, server.config, sizeof(server.config));
}

static void put_inflight(struct vu_msg *m)
{
	m->fds[0] = memfd_create("inflight", MFD_CLOEXEC);
	check(m->fds[0] >= 0);
	m->nfds = 1;
	m->p.inflight.mmap_size = 4096;
	m->p.inflight.mmap_offset = 0;
}

/* Makes the question a good answer; false if there is none to give. */
static bool answer(struct vu_msg *m)
{
	switch (m->h.request) {
	case VU_GET_FEATURES:
		m->p.u64 = offered();
		break;
	case VU_GET_PROTOCOL_FEATURES:
		m->p.u64 = protocol();
		break;
	case VU_GET_QUEUE_NUM:
		m->p.u64 = 1;
		break;
	case VU_GET_MAX_MEM_SLOTS:
		m->p.u64 = server.setup & SETUP_TABLE ? VU_MAX_FDS : 32;
		break;
	case VU_GET_CONFIG:
		put_config(m);
		return true;
	case VU_GET_INFLIGHT_FD:
		put_inflight(m);
		return true;
	case VU_GET_VRING_BASE:
		break;
	default:
		if (!(m->h.flags & VU_FLAG_NEED_REPLY))
			return false;
		m->p.u64 = 0;
	}
	m->h.size = 8;
	return true;
}

/* False: hang up. */
static bool twist(struct vu_msg *m, int kind, unsigned value)
{
	switch (kind) {
	case TWIST_BYTE:
		m->p.bytes[(value >> 8) % 128] = (uint8_t)value;
		break;
	case TWIST_REQUEST:
		m->h.request = value;
		break;
	case TWIST_FLAGS:
		m->h.flags ^= value;
		break;
	case TWIST_SIZE:
		m->h.size = value % sizeof(m->p);
		break;
	case TWIST_FD:
		for (; m->nfds < 1 + value % VU_MAX_FDS; m->nfds++)
			m->fds[m->nfds] = dup(server.listener);
		break;
	case TWIST_HANGUP:
		return false;
	}
	return true;
}

/* One message; false ends the conversation. */
static bool serve(struct vu_msg *m, int conn)
{
	unsigned value = 0;
	int kind = twist_of(server.messages++, &value);
	bool reply;

	vu_close_fds(m);
	m->nfds = 0;
	reply = answer(m);
	m->h.flags = VU_VERSION | VU_FLAG_REPLY;
	if (!twist(m, kind, value)) {
		vu_close_fds(m);
		return false;
	}
	for (unsigned i = 0; reply && kind != TWIST_SILENT && i <= (kind == TWIST_TWICE); i++)
		vu_send(conn, m, 1000);
	vu_close_fds(m);
	return true;
}

static void server_set(int conn)
{
	pthread_mutex_lock(&server.lock);
	if (server.conn >= 0)
		close(server.conn);
	server.conn = conn;
	pthread_mutex_unlock(&server.lock);
}

static void server_hang_up(void)
{
	pthread_mutex_lock(&server.lock);
	if (server.conn >= 0)
		shutdown(server.conn, SHUT_RDWR);
	pthread_mutex_unlock(&server.lock);
}

static void *server_main(void *arg)
{
	int conn;

	while ((conn = accept(server.listener, NULL, NULL)) >= 0) {
		struct vu_inbox in = { 0 };
		bool on = true;

		server_set(conn);
		server.messages = 0;
		while (on && vu_recv_wait(&in, conn, 600000) == 1) {
			struct vu_msg m = in.msg;

			on = serve(&m, conn);
			memset(&in, 0, sizeof(in));
		}
		if (in.have)
			vu_close_fds(&in.msg);
		server_set(-1);
	}
	return arg;
}

static int server_connect(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(a.sun_path, server.path);
	check(s >= 0 && !connect(s, (struct sockaddr *)&a, sizeof(a)));
	return s;
}

/* Conversations are taken one after another, so when one without a word is over, all before it are: there may
 * have been several, for a client comes back to a server that hung up on it. */
static void server_rest(void)
{
	int s = server_connect();
	char none;

	shutdown(s, SHUT_WR);
	check(read(s, &none, 1) <= 0);
	close(s);
	server_set(-1); /* it is; under the lock, so that all that was done is seen */
}

static void server_forget_path(void)
{
	unlink(server.path);
}

static void server_start(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	pthread_t t;

	snprintf(server.path, sizeof(server.path), "/tmp/vio-fuzz-front.%d", getpid());
	strcpy(a.sun_path, server.path);
	unlink(server.path);
	server.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	check(!bind(server.listener, (struct sockaddr *)&a, sizeof(a)) && !listen(server.listener, 4));
	check(!pthread_create(&t, NULL, server_main, NULL) && !pthread_detach(t));
	atexit(server_forget_path);
}

/* Takes setup and twists off the input's front. False: it is too short. */
static bool server_setup(const uint8_t **data, size_t *size)
{
	if (*size < 2)
		return false;
	server.setup = (*data)[0];
	server.ntwists = VIO_MIN(VIO_MIN((*data)[1], MAX_TWISTS), (unsigned)(*size - 2) / 4);
	memcpy(server.twists, *data + 2, 4ul * server.ntwists);
	*data += 2 + 4 * server.ntwists;
	*size -= 2 + 4 * server.ntwists;
	return true;
}

#endif
