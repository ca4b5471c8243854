/* SPDX-License-Identifier: MIT */
/* A queue's socket: its memory, its four rings, and its place on the interface. */
#include "backend/xsk.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The kernel lets go of a queue some time after the last socket on it was closed. */
#define SOCKET_BUSY_BUDGET 64 /* frames that a call takes from the driver, at most */
#define SOCKET_TRIES 200u
#define SOCKET_WAIT_NS 5000000

int xsk_pair_alloc(struct xsk_pair *p)
{
	p->slot = calloc(p->ring, sizeof(*p->slot));
	p->idle = calloc(p->ring, sizeof(*p->idle));
	p->filled = calloc(p->ring, 1);
	if (!p->slot || !p->idle || !p->filled) {
		xsk_pair_free(p);
		return vio__fail(ENOMEM, "xsk: out of memory for %u frames", p->ring);
	}
	/* The last is taken first. */
	for (p->nidle = 0; p->nidle < p->ring; p->nidle++)
		p->idle[p->nidle] = p->ring - 1 - p->nidle;
	p->lent = 0;
	p->down = p->gone = false;
	return 0;
}

void xsk_pair_free(struct xsk_pair *p)
{
	free(p->slot);
	free(p->idle);
	free(p->filled);
	p->slot = NULL;
	p->idle = NULL;
	p->filled = NULL;
}

static int socket_set(const struct xsk_pair *p, int opt, const void *value, socklen_t size, const char *what)
{
	if (!setsockopt(p->fd, SOL_XDP, opt, value, size))
		return 0;
	return vio__fail(errno, "xsk: %s queue %u: %s: %s", p->s->name, p->queue, what, strerror(errno));
}

/* Frames for all the store's pairs: those that come later share them. */
static int socket_umem(struct xsk_pair *p, struct vio_mem *mem, bool guest)
{
	struct xdp_umem_reg reg = { .chunk_size = XSK_CHUNK };
	int rc = xsk_umem_new(&p->umem, p->s->pairs * 2 * p->ring, mem, guest);

	if (rc)
		return rc;
	reg.addr = (uintptr_t)p->umem->base;
	reg.len = p->umem->size;
	reg.flags = p->umem->unaligned ? XDP_UMEM_UNALIGNED_CHUNK_FLAG : 0;
	return socket_set(p, XDP_UMEM_REG, &reg, sizeof(reg), "its frames were refused (RLIMIT_MEMLOCK?)");
}

static int socket_map(struct xsk_pair *p, struct xsk_ring *r, const struct xdp_ring_offset *off, size_t entry,
		      uint64_t at)
{
	*r = (struct xsk_ring){ .size = p->ring, .map_size = off->desc + p->ring * entry };
	r->map = mmap(NULL, r->map_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, p->fd, (off_t)at);
	if (r->map == MAP_FAILED) {
		r->map = NULL;
		return vio__fail(errno, "xsk: %s: a ring can't be mapped: %s", p->s->name, strerror(errno));
	}
	r->producer = (uint32_t *)((char *)r->map + off->producer);
	r->consumer = (uint32_t *)((char *)r->map + off->consumer);
	r->flags = (uint32_t *)((char *)r->map + off->flags);
	r->addr = (uint64_t *)((char *)r->map + off->desc);
	return 0;
}

static int socket_rings(struct xsk_pair *p)
{
	static const int opts[] = { XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING, XDP_TX_RING };
	struct xdp_mmap_offsets off;
	socklen_t size = sizeof(off);
	int rc = 0;

	for (unsigned i = 0; i < VIO_ARRAY_SIZE(opts) && !rc; i++)
		rc = socket_set(p, opts[i], &p->ring, sizeof(p->ring), "no memory for a ring");
	if (rc)
		return rc;
	if (getsockopt(p->fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &size) || size != sizeof(off))
		return vio__fail(EOPNOTSUPP, "xsk: this kernel's rings have no flags (needs Linux 5.4)");
	rc = socket_map(p, &p->fill, &off.fr, sizeof(uint64_t), XDP_UMEM_PGOFF_FILL_RING);
	rc = rc ? rc
		: socket_map(p, &p->completion, &off.cr, sizeof(uint64_t), XDP_UMEM_PGOFF_COMPLETION_RING);
	rc = rc ? rc : socket_map(p, &p->rx, &off.rx, sizeof(struct xdp_desc), XDP_PGOFF_RX_RING);
	return rc ? rc : socket_map(p, &p->tx, &off.tx, sizeof(struct xdp_desc), XDP_PGOFF_TX_RING);
}

/* One that shares a umem (donor: who has it already) has its mode too, and must not ask for one. */
static int socket_bind(struct xsk_pair *p, const struct xsk_pair *donor)
{
	const struct sockaddr_xdp to = {
		.sxdp_family = AF_XDP,
		.sxdp_flags = donor ? XDP_SHARED_UMEM : p->s->bind | XDP_USE_NEED_WAKEUP,
		.sxdp_ifindex = p->s->index,
		.sxdp_queue_id = p->queue,
		.sxdp_shared_umem_fd = donor ? (uint32_t)donor->fd : 0,
	};
	const struct timespec wait = { .tv_nsec = SOCKET_WAIT_NS };
	int rc;

	for (unsigned i = 0; i < SOCKET_TRIES; i++) {
		rc = bind(p->fd, (const struct sockaddr *)&to, sizeof(to));
		if (!rc || errno != EBUSY)
			break;
		nanosleep(&wait, NULL);
	}
	return rc ? vio__fail(errno, "xsk: %s queue %u%s: %s", p->s->name, p->queue,
			      p->s->bind & XDP_ZEROCOPY ? " with mode=zerocopy" : "", strerror(errno))
		  : 0;
}

/* The driver's interrupts stay off as long as the lanes ask it for frames themselves. */
static int socket_busy_poll(const struct xsk_pair *p)
{
	const int prefer = 1, budget = SOCKET_BUSY_BUDGET, usecs = p->s->busy_poll;

	if (!usecs)
		return 0;
	if (setsockopt(p->fd, SOL_SOCKET, SO_PREFER_BUSY_POLL, &prefer, sizeof(prefer)) ||
	    setsockopt(p->fd, SOL_SOCKET, SO_BUSY_POLL, &usecs, sizeof(usecs)) ||
	    setsockopt(p->fd, SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget, sizeof(budget)))
		return vio__fail(errno, "xsk: %s: busy-poll=%d: %s%s", p->s->name, usecs, strerror(errno),
				 errno == ENOPROTOOPT ? " (needs Linux 5.11)" : "");
	return 0;
}

static void socket_fill(struct xsk_pair *p)
{
	for (uint32_t i = 0; i < p->ring; i++) {
		p->fill.addr[xsk_ring_at(&p->fill, p->fill.own++)] = xsk_recv_frame(p, i);
		p->filled[i] = true;
	}
	xsk_ring_give(&p->fill);
}

static void socket_unmap(struct xsk_ring *r)
{
	if (r->map)
		munmap(r->map, r->map_size);
	*r = (struct xsk_ring){ 0 };
}

static int socket_open(struct xsk_pair *p, const struct xsk_pair *donor, struct vio_mem *mem, bool guest)
{
	int rc;

	p->fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (p->fd < 0)
		return vio__fail(errno, "xsk: no AF_XDP socket: %s%s", strerror(errno),
				 errno == EPERM ? " (needs CAP_NET_RAW)" : "");
	rc = xsk_pair_alloc(p);
	p->first = (uint32_t)(p - p->s->pair) * 2 * p->ring;
	if (donor) {
		p->umem = donor->umem;
		p->umem->refs++;
	} else {
		rc = rc ? rc : socket_umem(p, mem, guest);
	}
	rc = rc ? rc : socket_rings(p);
	if (!rc)
		socket_fill(p);
	rc = rc ? rc : socket_busy_poll(p);
	rc = rc ? rc : socket_bind(p, donor);
	rc = rc ? rc : xsk_prog_add(p->s, p->queue, p->fd);
	if (rc)
		xsk_pair_close(p);
	return rc;
}

/* A pair whose umem was made for the same guest memory, or NULL. */
static const struct xsk_pair *socket_donor(const struct xsk_store *s, const struct vio_mem *mem)
{
	for (unsigned i = 0; i < s->pairs; i++)
		if (s->pair[i].fd >= 0 && s->pair[i].umem->mem == mem)
			return &s->pair[i];
	return NULL;
}

int xsk_pair_open(struct xsk_pair *p, struct vio_mem *mem)
{
	struct vio_mem *wanted = p->s->pin ? mem : NULL;
	const struct xsk_pair *donor = socket_donor(p->s, wanted);
	int rc = donor ? socket_open(p, donor, NULL, false) : -EINVAL;

	if (rc == -EINVAL) /* before Linux 5.10 queues can't share */
		rc = socket_open(p, NULL, wanted, true);
	/* Guest memory may be more than may be pinned. */
	return rc && wanted ? socket_open(p, NULL, wanted, false) : rc;
}

void xsk_pair_close(struct xsk_pair *p)
{
	socket_unmap(&p->fill);
	socket_unmap(&p->completion);
	socket_unmap(&p->rx);
	socket_unmap(&p->tx);
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	xsk_umem_put(p->umem);
	p->umem = NULL;
	xsk_pair_free(p);
}
