/* SPDX-License-Identifier: MIT */
/* A scripted vfio-user client for tests: it says exactly what it is told to say, right or wrong, in the
 * server's own thread. */
#ifndef TESTS_VFIO_USER_CLIENT_H
#define TESTS_VFIO_USER_CLIENT_H

#include <virtio-offload.h>

#include "open_fds.h"

#include "transport/vfio_user.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#define CLIENT_MEM (1u << 20)
#define CLIENT_JSON                                                                                          \
	"{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":1048576,\"migration\":{\"pgsize\":"     \
	"4096}}}"

struct client {
	struct vio_poller *p;
	struct vio_vfio_user *t;
	bool stopped;
	int ups, downs;
	char log[4096];
	int s;
	int memfd;
	uint8_t *mem;
	uint16_t id;
};

static inline void client_log(void *ctx, enum vio_log_level level, const char *sentence)
{
	struct client *c = ctx;
	size_t len = strlen(c->log);

	if (level == VIO_LOG_ERROR)
		snprintf(c->log + len, sizeof(c->log) - len, "%s\n", sentence);
}

static inline void client_connected(void *ctx, bool yes)
{
	struct client *c = ctx;

	*(yes ? &c->ups : &c->downs) += 1;
}

static inline void client_stop_done(void *ctx)
{
	((struct client *)ctx)->stopped = true;
}

static inline void client_pump(struct client *c)
{
	assert_true(vio_poller_wait(c->p, 1) >= 0);
}

static inline void client_memory(struct client *c)
{
	c->memfd = memfd_create("client", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(c->memfd >= 0);
	assert_int_equal(ftruncate(c->memfd, CLIENT_MEM), 0);
	assert_int_equal(fcntl(c->memfd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	c->mem = mmap(NULL, CLIENT_MEM, PROT_READ | PROT_WRITE, MAP_SHARED, c->memfd, 0);
	assert_true(c->mem != MAP_FAILED);
}

static inline void client_new(struct client *c)
{
	VIO_OPTS(vio_poller_opts, o, .log = client_log, .log_ctx = c);

	*c = (struct client){ .s = -1 };
	assert_int_equal(vio_poller_new(&c->p, &o), 0);
	client_memory(c);
}

/* A server of f at one end of a socketpair. */
static inline void client_attach(struct client *c, struct vio_pci *f, struct vio_vfio_user_opts *o)
{
	int s[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, s), 0);
	c->s = s[0];
	o->fd = s[1];
	o->connected = client_connected;
	o->ctx = c;
	f->poller = c->p;
	if (vio_vfio_user_new(&c->t, c->p, f, o))
		fail_msg("%s", vio_errmsg());
}

static inline void client_dial(struct client *c, const char *path)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };

	c->s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	strcpy(name.sun_path, path);
	assert_int_equal(connect(c->s, (struct sockaddr *)&name, sizeof(name)), 0);
}

static inline void client_hang_up(struct client *c)
{
	if (c->s >= 0)
		close(c->s);
	c->s = -1;
}

static inline void client_stop(struct client *c)
{
	c->stopped = false;
	vio_vfio_user_stop(c->t, client_stop_done, c);
	while (!c->stopped)
		client_pump(c);
	vio_vfio_user_free(c->t);
	c->t = NULL;
}

static inline void client_free(struct client *c)
{
	client_hang_up(c);
	if (c->t)
		client_stop(c);
	vio_poller_free(c->p);
	munmap(c->mem, CLIENT_MEM);
	close(c->memfd);
}

/* Bytes as they are, with descriptors. */
static inline void client_push(struct client *c, const void *bytes, size_t n, const int *fds, unsigned nfds)
{
	char control[CMSG_SPACE(sizeof(int) * 32)] = { 0 };
	struct iovec v = { (void *)bytes, n };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	if (nfds) {
		struct cmsghdr *h = (struct cmsghdr *)control;

		m.msg_control = control;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		*h = (struct cmsghdr){ CMSG_LEN(sizeof(int) * nfds), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(h), fds, sizeof(int) * nfds);
	}
	assert_int_equal(sendmsg(c->s, &m, MSG_NOSIGNAL), n);
}

static inline void client_send(struct client *c, unsigned command, uint32_t flags, const void *payload,
			       uint32_t size, const int *fds, unsigned nfds)
{
	struct vfu_msg m = { .h = { .id = ++c->id, .command = (uint16_t)command, .flags = flags } };

	m.h.size = (uint32_t)sizeof(m.h) + size;
	if (size)
		memcpy(m.p.bytes, payload, size);
	client_push(c, &m.h, m.h.size, fds, nfds);
}

/* The next message from the server: 1, or what ended the connection. */
static inline int client_recv(struct client *c, struct vfu_msg *m)
{
	struct vfu_box box = { 0 };
	int r;

	while (!(r = vfu_recv(&box, c->s)))
		client_pump(c);
	*m = box.msg;
	return r;
}

/* A command and its reply: 0, or the error that it says. */
static inline int client_ask(struct client *c, unsigned command, const void *payload, uint32_t size,
			     const int *fds, unsigned nfds, struct vfu_msg *m)
{
	struct vfu_msg own;

	m = m ? m : &own;
	client_send(c, command, 0, payload, size, fds, nfds);
	assert_int_equal(client_recv(c, m), 1);
	assert_int_equal(m->h.id, c->id);
	assert_int_equal(m->h.command, command);
	if (m->h.flags == (VFU_TYPE_REPLY | VFU_FLAG_ERROR)) {
		assert_int_equal(m->h.size, sizeof(m->h));
		return -(int)m->h.error;
	}
	assert_int_equal(m->h.flags, VFU_TYPE_REPLY);
	assert_int_equal(m->h.error, 0);
	return 0;
}

static inline void client_expect_closed(struct client *c)
{
	struct vfu_msg m;

	assert_int_equal(client_recv(c, &m), -ECONNRESET);
}

static inline void client_greet(struct client *c)
{
	char hello[sizeof(struct vfu_version) + sizeof(CLIENT_JSON)] = { 0 }; /* version 0.0 */

	memcpy(hello + sizeof(struct vfu_version), CLIENT_JSON, sizeof(CLIENT_JSON));
	assert_int_equal(client_ask(c, VFU_VERSION, hello, sizeof(hello), NULL, 0, NULL), 0);
}

static inline int client_map_as(struct client *c, uint64_t addr, uint64_t size, uint64_t offset,
				uint32_t flags, unsigned nfds)
{
	struct vfu_dma_map d = {
		.argsz = sizeof(d), .flags = flags, .offset = offset, .addr = addr, .size = size
	};
	int fds[2] = { c->memfd, c->memfd };

	return client_ask(c, VFU_DMA_MAP, &d, sizeof(d), fds, nfds, NULL);
}

/* All of the memory, at `addr`. */
static inline int client_map(struct client *c, uint64_t addr)
{
	return client_map_as(c, addr, CLIENT_MEM, 0, VFU_DMA_READABLE | VFU_DMA_WRITEABLE, 1);
}

static inline int client_unmap_as(struct client *c, uint64_t addr, uint64_t size, uint32_t flags)
{
	struct vfu_dma_unmap d = { .argsz = sizeof(d), .flags = flags, .addr = addr, .size = size };

	return client_ask(c, VFU_DMA_UNMAP, &d, sizeof(d), NULL, 0, NULL);
}

static inline int client_read(struct client *c, uint32_t region, uint64_t at, void *to, uint32_t len)
{
	struct vfu_region_rw rw = { at, region, len };
	struct vfu_msg m;
	int err = client_ask(c, VFU_REGION_READ, &rw, sizeof(rw), NULL, 0, &m);

	if (err)
		return err;
	assert_int_equal(m.h.size, sizeof(m.h) + sizeof(rw) + len);
	assert_int_equal(m.p.rw.count, len);
	memcpy(to, m.p.rw.data, VIO_MIN(len, VFU_MAX_DATA));
	return 0;
}

static inline uint64_t client_get(struct client *c, uint32_t region, uint64_t at, uint32_t len)
{
	uint64_t v = 0;

	assert_int_equal(client_read(c, region, at, &v, len), 0);
	return v;
}

static inline int client_write(struct client *c, uint32_t region, uint64_t at, const void *from, uint32_t len)
{
	const struct vfu_region_rw rw = { at, region, len };
	uint8_t w[sizeof(rw) + VFU_MAX_DATA];

	memcpy(w, &rw, sizeof(rw));
	if (len <= VFU_MAX_DATA)
		memcpy(w + sizeof(rw), from, len);
	return client_ask(c, VFU_REGION_WRITE, w, (uint32_t)sizeof(rw) + VIO_MIN(len, VFU_MAX_DATA), NULL, 0,
			  NULL);
}

static inline void client_put(struct client *c, uint32_t region, uint64_t at, uint64_t v, uint32_t len)
{
	assert_int_equal(client_write(c, region, at, &v, len), 0);
}

static inline int client_irqs(struct client *c, uint32_t index, uint32_t start, uint32_t count,
			      uint32_t flags, const int *fds, unsigned nfds)
{
	struct vfio_irq_set s = {
		.argsz = sizeof(s), .flags = flags, .index = index, .start = start, .count = count
	};

	return client_ask(c, VFU_DEVICE_SET_IRQS, &s, sizeof(s), fds, nfds, NULL);
}

#define CLIENT_EVENTFDS (VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER)

/* A device feature, with data that comes and, if answer is not NULL, the data that goes back. */
static inline int client_feature(struct client *c, uint32_t flags, const void *data, uint32_t size,
				 struct vfu_msg *answer)
{
	struct vfu_feature f = { 0x40000, flags };
	uint8_t m[1024];

	memcpy(m, &f, sizeof(f));
	memcpy(m + sizeof(f), data, size);
	return client_ask(c, VFU_DEVICE_FEATURE, m, (uint32_t)sizeof(f) + size, NULL, 0, answer);
}

static inline int client_set_state(struct client *c, uint32_t state)
{
	const struct vfu_mig_state s = { state, UINT32_MAX };

	return client_feature(c, VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, &s,
			      sizeof(s), NULL);
}

static inline uint32_t client_state(struct client *c)
{
	struct vfu_mig_state s;
	struct vfu_msg m;

	assert_int_equal(
		client_feature(c, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE, "", 0, &m),
		0);
	assert_int_equal(m.p.feature.argsz, sizeof(m.p.feature) + sizeof(s));
	memcpy(&s, m.p.feature.data, sizeof(s));
	return s.state;
}

/* The next n bytes of the state at most: how many there were, or an error. */
static inline int client_take(struct client *c, uint8_t *to, uint32_t n)
{
	struct vfu_mig_data d = { (uint32_t)sizeof(d) + n, n };
	struct vfu_msg m;
	int err = client_ask(c, VFU_MIG_DATA_READ, &d, sizeof(d), NULL, 0, &m);

	if (err)
		return err;
	assert_true(m.p.mig.size <= n);
	assert_int_equal(m.h.size, sizeof(m.h) + sizeof(d) + m.p.mig.size);
	memcpy(to, m.p.mig.data, m.p.mig.size);
	return (int)m.p.mig.size;
}

static inline int client_give(struct client *c, const uint8_t *from, uint32_t n)
{
	struct vfu_mig_data d = { sizeof(d), n };
	uint8_t m[sizeof(d) + VFU_MAX_DATA];

	memcpy(m, &d, sizeof(d));
	memcpy(m + sizeof(d), from, n);
	return client_ask(c, VFU_MIG_DATA_WRITE, m, (uint32_t)sizeof(d) + n, NULL, 0, NULL);
}

/* Stops the function and reads all of its state. */
static inline size_t client_save(struct client *c, uint8_t *to, size_t room)
{
	size_t have = 0;
	int n;

	assert_int_equal(client_set_state(c, VFIO_DEVICE_STATE_STOP_COPY), 0);
	do {
		assert_true(have + 1000 <= room);
		n = client_take(c, to + have, 1000);
		assert_true(n >= 0);
		have += (size_t)n;
	} while (n == 1000);
	return have;
}

/* Puts a state into a function, in pieces of another size, and lets it run. */
static inline int client_load(struct client *c, const uint8_t *from, size_t n)
{
	int err = client_set_state(c, VFIO_DEVICE_STATE_RESUMING);

	for (size_t at = 0; !err && at < n; at += 777)
		err = client_give(c, from + at, (uint32_t)VIO_MIN(777u, n - at));
	err = err ? err : client_set_state(c, VFIO_DEVICE_STATE_STOP);
	return err ? err : client_set_state(c, VFIO_DEVICE_STATE_RUNNING);
}

/* Which pages of guest..guest+len were written since the last time; a bit each, in whole words. */
static inline int client_written(struct client *c, uint64_t guest, uint64_t len, uint64_t page, uint8_t *bits)
{
	const struct vfu_log_report r = { guest, len, page };
	struct vfu_msg m;
	int err = client_feature(c, VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT, &r,
				 sizeof(r), &m);

	if (err)
		return err;
	memcpy(bits, m.p.feature.data + sizeof(r), (len / page + 63) / 64 * 8);
	return 0;
}

static inline int client_watch(struct client *c, bool on)
{
	const struct vfu_log_start s = { .page_size = 4096 };

	return client_feature(c,
			      VFIO_DEVICE_FEATURE_SET | (on ? VFIO_DEVICE_FEATURE_DMA_LOGGING_START
							    : VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP),
			      &s, on ? sizeof(s) : 0, NULL);
}

#endif
