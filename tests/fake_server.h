/* SPDX-License-Identifier: MIT */
/*
 * A vhost-user server for tests of the driving end: a thread that answers control
 * messages, well or badly, and a data plane that the test itself plays on its own
 * thread (fake_take, fake_use), so that each step is deterministic. It has a disk,
 * or, after fake_init_net, a network card.
 */
#ifndef TESTS_FAKE_SERVER_H
#define TESTS_FAKE_SERVER_H

#include "ring/vring.h"
#include "scratch.h"
#include "wire/vhost_user.h"

#include <endian.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FAKE_FEATURES                                                                                        \
	(VIO_BIT(VIRTIO_F_VERSION_1) | VIO_BIT(VIRTIO_RING_F_INDIRECT_DESC) |                                \
	 VIO_BIT(VU_F_PROTOCOL_FEATURES) | VIO_BIT(VIRTIO_BLK_F_SEG_MAX) | VIO_BIT(VIRTIO_BLK_F_FLUSH) |     \
	 VIO_BIT(VIRTIO_BLK_F_DISCARD) | VIO_BIT(VIRTIO_BLK_F_WRITE_ZEROES))
#define FAKE_PROTOCOL                                                                                        \
	(VIO_BIT(VU_PROTOCOL_F_REPLY_ACK) | VIO_BIT(VU_PROTOCOL_F_CONFIG) | VIO_BIT(VU_PROTOCOL_F_MQ) |      \
	 VIO_BIT(VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS))

enum fake_fault { FAKE_GOOD, FAKE_SILENT, FAKE_HANGUP, FAKE_SHORT, FAKE_OTHER, FAKE_REFUSE, FAKE_FDS };

struct fake_map {
	struct vu_region r;
	char *at;
};

struct fake {
	char path[64];
	uint64_t features, protocol, queues, slots;
	union {
		struct virtio_blk_config config;
		struct virtio_net_config net_config;
	};
	bool net;	       /* chains have no header and status to tell from data */
	enum fake_fault fault; /* what happens at the message `at` */
	uint32_t at;

	int listener, conn;
	pthread_t thread;
	struct fake_map map[64];
	unsigned nmap;
	unsigned tables; /* SET_MEM_TABLE messages that came */
	struct vu_vring_addr addr[4];
	uint32_t size[4];
	int kick[4], call[4], err[4];
	bool packed;	   /* the format agreed on */
	uint16_t taken[4]; /* split: avail index. packed: next descriptor to take */
	uint16_t used[4];  /* packed: next descriptor to write */
	bool taken_wrap[4], used_wrap[4];
	uint32_t base[4]; /* as SET_VRING_BASE said it last */
	unsigned connections;
	int inflight;	       /* the region handed out, or -1 */
	unsigned inflight_set; /* times it came back */
	uint64_t mtu;	       /* as NET_SET_MTU said it */
	uint64_t acked;	       /* as SET_FEATURES said it */
	uint32_t enabled[4];   /* as SET_VRING_ENABLE said it */
	uint32_t handled;      /* messages: what they changed is there for who reads this first */
};

/* Does this happen at m? The test may change it at any time. */
static inline bool fake_fails(const struct fake *f, const struct vu_msg *m, enum fake_fault fault)
{
	return m->h.request == VIO_LOAD(&f->at) && VIO_LOAD(&f->fault) == fault;
}

static inline void fake_reply(struct fake *f, struct vu_msg *m, uint32_t size)
{
	struct vu_msg r = *m;

	r.h.flags = VU_VERSION | VU_FLAG_REPLY;
	r.h.size = size;
	r.nfds = 0;
	if (fake_fails(f, m, FAKE_OTHER))
		r.h.request++;
	if (fake_fails(f, m, FAKE_SHORT))
		r.h.size = size / 2;
	if (fake_fails(f, m, FAKE_FDS)) {
		r.nfds = 1;
		r.fds[0] = f->listener;
	}
	vu_send(f->conn, &r, 1000);
}

static inline void fake_u64(struct fake *f, struct vu_msg *m, uint64_t v)
{
	m->p.u64 = v;
	fake_reply(f, m, 8);
}

static inline void fake_map(struct fake *f, const struct vu_region *r, int fd)
{
	struct fake_map *m = &f->map[f->nmap++];

	m->r = *r;
	m->at = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)r->fd_offset);
}

static inline void fake_unmap(struct fake *f, const struct vu_region *r)
{
	for (unsigned i = 0; i < f->nmap; i++) {
		if (f->map[i].r.guest != r->guest)
			continue;
		munmap(f->map[i].at, f->map[i].r.size);
		f->map[i] = f->map[--f->nmap];
		return;
	}
}

static inline void fake_forget_memory(struct fake *f)
{
	while (f->nmap)
		fake_unmap(f, &f->map[0].r);
}

static inline void fake_table(struct fake *f, const struct vu_msg *m)
{
	fake_forget_memory(f);
	f->tables++;
	for (unsigned i = 0; i < m->p.mem.n; i++)
		fake_map(f, &m->p.mem.regions[i], m->fds[i]);
}

/* Takes the fd over, if one came. */
static inline void fake_fd(int *slot, struct vu_msg *m)
{
	if (*slot >= 0)
		close(*slot);
	*slot = m->nfds ? m->fds[0] : -1;
	m->nfds = 0;
}

static inline void fake_inflight(struct fake *f, struct vu_msg *m)
{
	char name[] = "/tmp/vio-inflight.XXXXXX";
	struct vu_msg r = *m;

	f->inflight = mkstemp(name);
	unlink(name);
	if (ftruncate(f->inflight, 4096))
		abort();
	r.h.flags = VU_VERSION | VU_FLAG_REPLY;
	r.p.inflight.mmap_size = 4096;
	r.p.inflight.mmap_offset = 0;
	r.nfds = 1;
	r.fds[0] = f->inflight;
	vu_send(f->conn, &r, 1000);
}

/* True if the message was a question, which is then answered. */
static inline bool fake_question(struct fake *f, struct vu_msg *m)
{
	switch (m->h.request) {
	case VU_GET_FEATURES:
		fake_u64(f, m, f->features);
		return true;
	case VU_GET_PROTOCOL_FEATURES:
		fake_u64(f, m, f->protocol);
		return true;
	case VU_GET_QUEUE_NUM:
		fake_u64(f, m, f->queues);
		return true;
	case VU_GET_MAX_MEM_SLOTS:
		fake_u64(f, m, f->slots);
		return true;
	case VU_GET_VRING_BASE:
		fake_reply(f, m, 8);
		return true;
	case VU_GET_INFLIGHT_FD:
		fake_inflight(f, m);
		return true;
	case VU_GET_CONFIG:
		memcpy(m->p.config.data, &f->config, sizeof(f->config));
		fake_reply(f, m, m->h.size);
		return true;
	default:
		return false;
	}
}

static inline void fake_base(struct fake *f, unsigned q, uint32_t num)
{
	f->base[q] = num;
	f->taken[q] = (uint16_t)(f->packed ? num & 0x7fff : num);
	f->used[q] = num >> 16 & 0x7fff;
	f->taken_wrap[q] = num >> 15 & 1;
	f->used_wrap[q] = num >> 31;
}

static inline void fake_order(struct fake *f, struct vu_msg *m)
{
	switch (m->h.request) {
	case VU_SET_FEATURES:
		f->acked = m->p.u64;
		f->packed = m->p.u64 >> VIRTIO_F_RING_PACKED & 1;
		break;
	case VU_ADD_MEM_REG:
		fake_map(f, &m->p.reg.region, m->fds[0]);
		break;
	case VU_REM_MEM_REG:
		fake_unmap(f, &m->p.reg.region);
		break;
	case VU_SET_MEM_TABLE:
		fake_table(f, m);
		break;
	case VU_SET_INFLIGHT_FD:
		f->inflight_set++;
		break;
	case VU_SET_VRING_ENABLE:
		VIO_STORE(&f->enabled[m->p.state.index & 3], m->p.state.num);
		break;
	case VU_NET_SET_MTU:
		f->mtu = m->p.u64;
		break;
	case VU_SET_VRING_NUM:
		f->size[m->p.state.index] = m->p.state.num;
		break;
	case VU_SET_VRING_BASE:
		fake_base(f, m->p.state.index, m->p.state.num);
		break;
	case VU_SET_VRING_ADDR:
		f->addr[m->p.addr.index] = m->p.addr;
		break;
	case VU_SET_VRING_KICK:
		fake_fd(&f->kick[m->p.u64 & 3], m);
		break;
	case VU_SET_VRING_CALL:
		fake_fd(&f->call[m->p.u64 & 3], m);
		break;
	case VU_SET_VRING_ERR:
		fake_fd(&f->err[m->p.u64 & 3], m);
		break;
	}
}

/* One message; false ends the connection. */
static inline bool fake_message(struct fake *f, struct vu_msg *m)
{
	if (fake_fails(f, m, FAKE_HANGUP))
		return false;
	if (fake_fails(f, m, FAKE_SILENT))
		return true;
	if (fake_question(f, m))
		return true;
	fake_order(f, m);
	if (m->h.flags & VU_FLAG_NEED_REPLY)
		fake_u64(f, m, fake_fails(f, m, FAKE_REFUSE));
	return true;
}

static inline void *fake_main(void *arg)
{
	struct fake *f = arg;

	for (int s; (s = accept(f->listener, NULL, NULL)) >= 0;) {
		struct vu_inbox box = { 0 };

		VIO_STORE(&f->conn, s); /* the test may shut it down */
		VIO_STORE(&f->connections, f->connections + 1);
		fake_forget_memory(f);
		while (vu_recv_wait(&box, f->conn, 600000) == 1) {
			struct vu_msg m = box.msg;
			bool on = fake_message(f, &m);

			VIO_STORE_RELEASE(&f->handled, f->handled + 1);
			vu_close_fds(&m);
			memset(&box, 0, sizeof(box));
			if (!on)
				break;
		}
		close(f->conn);
	}
	return NULL;
}

static inline void fake_init(struct fake *f)
{
	static unsigned serial;

	memset(f, 0, sizeof(*f));
	snprintf(f->path, sizeof(f->path), "/tmp/vio-fake.%d.%u", getpid(), serial++);
	f->features = FAKE_FEATURES;
	f->protocol = FAKE_PROTOCOL;
	f->inflight = -1;
	f->queues = 4;
	f->slots = 32;
	f->config.capacity = htole64(2048);
	f->config.seg_max = htole32(8);
	f->config.max_discard_sectors = htole32(16);
	f->config.max_write_zeroes_sectors = htole32(16);
	memset(f->kick, -1, sizeof(f->kick));
	memset(f->call, -1, sizeof(f->call));
	memset(f->err, -1, sizeof(f->err));
}

static inline void fake_init_net(struct fake *f)
{
	fake_init(f);
	f->net = true;
	f->features = VIO_BIT(VIRTIO_F_VERSION_1) | VIO_BIT(VIRTIO_F_RING_PACKED) |
		      VIO_BIT(VIRTIO_RING_F_INDIRECT_DESC) | VIO_BIT(VU_F_PROTOCOL_FEATURES) |
		      VIO_BIT(VIRTIO_NET_F_MRG_RXBUF) | VIO_BIT(VIRTIO_NET_F_CSUM) |
		      VIO_BIT(VIRTIO_NET_F_GUEST_CSUM) | VIO_BIT(VIRTIO_NET_F_HOST_TSO4) |
		      VIO_BIT(VIRTIO_NET_F_GUEST_TSO4) | VIO_BIT(VIRTIO_NET_F_MTU) |
		      VIO_BIT(VIRTIO_NET_F_MAC);
	f->protocol |= VIO_BIT(VU_PROTOCOL_F_NET_MTU);
	memset(&f->net_config, 0, sizeof(f->net_config));
	memcpy(f->net_config.mac, "\x52\x54\0\0\0\x07", 6);
	f->net_config.mtu = htole16(1400);
}

static inline void fake_start(struct fake *f)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	strcpy(a.sun_path, f->path);
	unlink(f->path);
	scratch_forget(f->path);
	f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(f->listener, (struct sockaddr *)&a, sizeof(a)) || listen(f->listener, 4) ||
	    pthread_create(&f->thread, NULL, fake_main, f))
		abort();
}

/* After the front end has disconnected. */
static inline void fake_stop(struct fake *f)
{
	shutdown(f->listener, SHUT_RDWR); /* ends accept */
	pthread_join(f->thread, NULL);
	close(f->listener);
	fake_forget_memory(f);
	for (unsigned i = 0; i < 4; i++) {
		int *fds[] = { &f->kick[i], &f->call[i], &f->err[i] };

		for (unsigned k = 0; k < 3; k++)
			if (*fds[k] >= 0)
				close(*fds[k]);
	}
	if (f->inflight >= 0)
		close(f->inflight);
	unlink(f->path);
}

/* The data plane, on the test's thread, while no control message is under way. */
static inline void *fake_at(struct fake *f, uint64_t guest, uint64_t len)
{
	for (unsigned i = 0; i < f->nmap; i++)
		if (guest >= f->map[i].r.guest && guest - f->map[i].r.guest <= f->map[i].r.size &&
		    len <= f->map[i].r.size - (guest - f->map[i].r.guest))
			return f->map[i].at + (guest - f->map[i].r.guest);
	return NULL;
}

static inline struct vring_used *fake_used_ring(struct fake *f, unsigned q)
{
	return fake_at(f, f->addr[q].used, vring_used_bytes(f->size[q]));
}

/* A request as posted. */
struct fake_req {
	uint16_t head; /* split: its first descriptor. packed: its id */
	uint16_t span; /* packed: descriptors in the ring */
	struct virtio_blk_outhdr *header;
	struct iovec data[130];
	unsigned ndata;
	bool in; /* the data is for the server to write */
	uint8_t *status;
};

static inline void fake_piece(struct fake *f, struct fake_req *r, uint64_t addr, uint32_t len, bool in,
			      bool last)
{
	void *p = fake_at(f, addr, len);

	if (f->net) {
		r->in = in;
		r->data[r->ndata++] = (struct iovec){ p, len };
	} else if (!r->header) {
		r->header = p;
	} else if (last) {
		r->status = p;
	} else {
		r->in = in;
		r->data[r->ndata++] = (struct iovec){ p, len };
	}
}

static inline void fake_walk(struct fake *f, struct fake_req *r, const struct vring_desc *table, unsigned i)
{
	bool last;

	do {
		const struct vring_desc *d = &table[i];
		uint16_t flags = le16toh(d->flags);

		last = !(flags & VRING_DESC_F_NEXT);
		fake_piece(f, r, le64toh(d->addr), le32toh(d->len), flags & VRING_DESC_F_WRITE, last);
		i = le16toh(d->next);
	} while (!last);
}

static inline bool fake_take_split(struct fake *f, unsigned q, struct fake_req *r)
{
	struct vring_desc *table = fake_at(f, f->addr[q].desc, 16ull * f->size[q]);
	struct vring_avail *avail = fake_at(f, f->addr[q].avail, vring_avail_bytes(f->size[q]));

	if (le16toh(VIO_LOAD_ACQUIRE(&avail->idx)) == f->taken[q])
		return false;
	r->head = le16toh(avail->ring[f->taken[q]++ % f->size[q]]);
	if (le16toh(table[r->head].flags) & VRING_DESC_F_INDIRECT)
		fake_walk(f, r, fake_at(f, le64toh(table[r->head].addr), le32toh(table[r->head].len)), 0);
	else
		fake_walk(f, r, table, r->head);
	return true;
}

static inline struct vring_packed_desc *fake_packed_ring(struct fake *f, unsigned q)
{
	return fake_at(f, f->addr[q].desc, 16ull * f->size[q]);
}

static inline void fake_packed_table(struct fake *f, struct fake_req *r, const struct vring_packed_desc *d)
{
	unsigned n = le32toh(d->len) / 16;
	const struct vring_packed_desc *t = fake_at(f, le64toh(d->addr), le32toh(d->len));

	for (unsigned i = 0; i < n; i++)
		fake_piece(f, r, le64toh(t[i].addr), le32toh(t[i].len),
			   le16toh(t[i].flags) & VRING_DESC_F_WRITE, i == n - 1);
}

static inline bool fake_take_packed(struct fake *f, unsigned q, struct fake_req *r)
{
	const struct vring_packed_desc *ring = fake_packed_ring(f, q), *d = &ring[f->taken[q]];
	uint16_t flags = le16toh(VIO_LOAD_ACQUIRE(&d->flags));

	if (!vring_packed_avail(flags, f->taken_wrap[q]))
		return false;
	do {
		d = &ring[f->taken[q]];
		flags = le16toh(d->flags);
		if (flags & VRING_DESC_F_INDIRECT)
			fake_packed_table(f, r, d);
		else
			fake_piece(f, r, le64toh(d->addr), le32toh(d->len), flags & VRING_DESC_F_WRITE,
				   !(flags & VRING_DESC_F_NEXT));
		r->head = le16toh(d->id);
		r->span++;
		if (++f->taken[q] == f->size[q]) {
			f->taken[q] = 0;
			f->taken_wrap[q] = !f->taken_wrap[q];
		}
	} while (flags & VRING_DESC_F_NEXT);
	return true;
}

/* True if a request was there. */
static inline bool fake_take(struct fake *f, unsigned q, struct fake_req *r)
{
	memset(r, 0, sizeof(*r));
	(void)VIO_LOAD_ACQUIRE(&f->handled);
	return f->packed ? fake_take_packed(f, q, r) : fake_take_split(f, q, r);
}

/* One used entry, whatever it says; the split ring's index is moved on by `step`. */
static inline void fake_use_id_len(struct fake *f, unsigned q, uint32_t id, uint32_t len, uint16_t step)
{
	struct vring_used *u = fake_used_ring(f, q);
	uint16_t at = le16toh(u->idx);

	u->ring[at % f->size[q]] = (struct vring_used_elem){ .id = htole32(id), .len = htole32(len) };
	VIO_STORE_RELEASE(&u->idx, htole16((uint16_t)(at + step)));
}

static inline void fake_use_id(struct fake *f, unsigned q, uint32_t id, uint16_t step)
{
	fake_use_id_len(f, q, id, 1, step);
}

/* The same for a packed ring: `span` descriptors are freed. */
static inline void fake_use_packed_len(struct fake *f, unsigned q, uint16_t id, uint32_t len, unsigned span)
{
	struct vring_packed_desc *d = &fake_packed_ring(f, q)[f->used[q]];

	d->id = htole16(id);
	d->len = htole32(len);
	VIO_STORE_RELEASE(&d->flags, htole16(f->used_wrap[q] ? VRING_AVAIL_BIT | VRING_USED_BIT : 0));
	f->used[q] = (uint16_t)(f->used[q] + span);
	if (f->used[q] >= f->size[q]) {
		f->used[q] = (uint16_t)(f->used[q] - f->size[q]);
		f->used_wrap[q] = !f->used_wrap[q];
	}
}

static inline void fake_use_packed(struct fake *f, unsigned q, uint16_t id, unsigned span)
{
	fake_use_packed_len(f, q, id, 1, span);
}

/* A network's: len bytes were written. */
static inline void fake_use_len(struct fake *f, unsigned q, const struct fake_req *r, uint32_t len)
{
	if (f->packed)
		fake_use_packed_len(f, q, r->head, len, r->span);
	else
		fake_use_id_len(f, q, r->head, len, 1);
}

static inline void fake_use(struct fake *f, unsigned q, const struct fake_req *r, uint8_t status)
{
	*r->status = status;
	if (f->packed)
		fake_use_packed(f, q, r->head, r->span);
	else
		fake_use_id(f, q, r->head, 1);
}

#endif
