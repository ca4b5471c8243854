/* SPDX-License-Identifier: MIT */
/*
 * For tests: an NVMe controller as a PCI function over vfio-user, and a guest's driver that is no more than
 * registers and entries of rings, right or wrong as the test wants them.
 */
#ifndef TESTS_NVME_PCI_HOST_H
#define TESTS_NVME_PCI_HOST_H

#include "vfio_user_client.h"

#include "wire/nvme.h"

#include <pthread.h>

#define GUEST 0x100000ull /* address of the memory's first byte */
#define GUEST_ASQ 0x0u	  /* in it */
#define GUEST_ACQ 0x1000u
#define GUEST_SHADOW 0x8000u
#define GUEST_EVENT 0x9000u
#define GUEST_SQ(q) (0x10000u + (q)*0x2000u)
#define GUEST_CQ(q) (0x11000u + (q)*0x2000u)
#define GUEST_DATA 0x40000u
#define GUEST_ENTRIES 16u
#define GUEST_QUEUES 8u /* the admin queue is 0 */

#define REG_CC 0x14
#define REG_CSTS 0x1c
#define CC_ENABLE 0x00460001u
#define INVALID_FIELD (NVME_STATUS(NVME_SC_INVALID_FIELD) | NVME_STATUS_DNR)
#define SPECIFIC(code) (NVME_STATUS(NVME_SCT_CMD_SPECIFIC << NVME_SCT_SHIFT | (code)) | NVME_STATUS_DNR)

struct guest_queue {
	uint32_t tail, head, sq, cq; /* sq, cq: entries */
	uint16_t phase;
};

struct guest {
	struct client c;
	struct vio_nvme *s;
	struct vio_pci *f;
	struct guest_queue q[GUEST_QUEUES];
	struct vio_poller *other; /* in a thread of its own; or NULL */
	pthread_t thread;
	bool stop;
	uint16_t cid;
};

__attribute__((unused)) static void *guest_thread(void *arg)
{
	struct guest *g = arg;

	while (!__atomic_load_n(&g->stop, __ATOMIC_ACQUIRE) && vio_poller_wait(g->other, -1) >= 0)
		;
	return NULL;
}

__attribute__((unused)) static void guest_add(struct guest *g, const char *stack)
{
	struct vio_backend *b;

	if (vio_backend_parse(&b, NULL, stack))
		fail_msg("%s", vio_errmsg());
	assert_true(vio_nvme_ns_add(g->s, b, NULL) > 0);
	vio_backend_free(b);
}

/* A controller of namespace 1 over the stack. threads: I/O queues are on a poller of their own. */
__attribute__((unused)) static void guest_plug(struct guest *g, const char *stack, bool threads)
{
	VIO_OPTS(vio_nvme_opts, so, .nqn = "nqn.2014-08.org.example:disks");
	VIO_OPTS(vio_nvme_pci_opts, po, .queues = GUEST_QUEUES - 1, .pollers = &g->other,
		 .npollers = threads);
	VIO_OPTS(vio_vfio_user_opts, vo);

	memset(g, 0, sizeof(*g));
	client_new(&g->c);
	if (threads)
		assert_int_equal(vio_poller_new(&g->other, NULL), 0);
	assert_int_equal(vio_nvme_new(&g->s, &so), 0);
	guest_add(g, stack);
	if (vio_nvme_pci_new(&g->f, g->c.p, g->s, &po))
		fail_msg("%s", vio_errmsg());
	if (threads)
		assert_int_equal(pthread_create(&g->thread, NULL, guest_thread, g), 0);
	client_attach(&g->c, g->f, &vo);
	client_greet(&g->c);
	assert_int_equal(client_map(&g->c, GUEST), 0);
}

__attribute__((unused)) static void guest_gone(void *ctx)
{
	((struct guest *)ctx)->c.stopped = true;
}

__attribute__((unused)) static void guest_unplug(struct guest *g)
{
	client_hang_up(&g->c);
	if (g->c.t)
		client_stop(&g->c);
	g->c.stopped = false;
	vio_nvme_pci_stop(g->f, guest_gone, g);
	while (!g->c.stopped)
		client_pump(&g->c);
	if (g->other) {
		__atomic_store_n(&g->stop, true, __ATOMIC_RELEASE);
		vio_poller_wake(g->other);
		pthread_join(g->thread, NULL);
	}
	vio_nvme_pci_free(g->f);
	vio_nvme_free(g->s);
	vio_poller_free(g->other);
	client_free(&g->c);
}

__attribute__((unused)) static uint32_t guest_csts(struct guest *g)
{
	return (uint32_t)client_get(&g->c, 0, REG_CSTS, 4);
}

__attribute__((unused)) static void guest_await_csts(struct guest *g, uint32_t mask, uint32_t value)
{
	while ((guest_csts(g) & mask) != value)
		client_pump(&g->c);
}

__attribute__((unused)) static void guest_disable(struct guest *g)
{
	client_put(&g->c, 0, REG_CC, CC_ENABLE & ~1u, 4);
	guest_await_csts(g, 1, 0);
}

/* Fresh rings for the admin queue, then CC.EN. */
__attribute__((unused)) static void guest_enable(struct guest *g)
{
	memset(g->c.mem, 0, GUEST_DATA);
	memset(g->q, 0, sizeof(g->q));
	g->q[0] = (struct guest_queue){ .sq = GUEST_ENTRIES, .cq = GUEST_ENTRIES, .phase = 1 };
	client_put(&g->c, 0, 0x24, (GUEST_ENTRIES - 1) << 16 | (GUEST_ENTRIES - 1), 4);
	client_put(&g->c, 0, 0x28, GUEST + GUEST_ASQ, 8);
	client_put(&g->c, 0, 0x30, GUEST + GUEST_ACQ, 8);
	client_put(&g->c, 0, REG_CC, CC_ENABLE, 4);
	guest_await_csts(g, 1, 1);
}

/* The next command of a queue, to be filled in; it is posted when rung. */
__attribute__((unused)) static struct nvme_cmd *guest_next(struct guest *g, unsigned q, uint8_t opcode)
{
	struct guest_queue *at = &g->q[q];
	struct nvme_cmd *c = (struct nvme_cmd *)(g->c.mem + (q ? GUEST_SQ(q) : GUEST_ASQ)) + at->tail;

	*c = (struct nvme_cmd){ .opcode = opcode, .cid = ++g->cid };
	at->tail = (at->tail + 1) % at->sq;
	return c;
}

__attribute__((unused)) static void guest_ring(struct guest *g, unsigned q)
{
	client_put(&g->c, 0, 0x1000 + 8 * q, g->q[q].tail, 4);
}

/* False: there is no answer yet. The place is given back only by guest_read. */
__attribute__((unused)) static bool guest_poll(struct guest *g, unsigned q, struct nvme_cqe *e)
{
	struct guest_queue *at = &g->q[q];
	struct nvme_cqe *next = (struct nvme_cqe *)(g->c.mem + (q ? GUEST_CQ(q) : GUEST_ACQ)) + at->head;

	if ((__atomic_load_n(&next->status, __ATOMIC_ACQUIRE) & 1) != at->phase)
		return false;
	*e = *next;
	e->status &= (uint16_t)~1u;
	at->head = (at->head + 1) % at->cq;
	at->phase ^= !at->head;
	return true;
}

__attribute__((unused)) static void guest_read(struct guest *g, unsigned q)
{
	client_put(&g->c, 0, 0x1004 + 8 * q, g->q[q].head, 4);
}

__attribute__((unused)) static struct nvme_cqe guest_await(struct guest *g, unsigned q)
{
	struct nvme_cqe e;

	while (!guest_poll(g, q, &e))
		client_pump(&g->c);
	guest_read(g, q);
	return e;
}

/* The newest command, rung, and its answer: its status. */
__attribute__((unused)) static uint16_t guest_do(struct guest *g, unsigned q, uint32_t *result)
{
	struct nvme_cqe e;

	guest_ring(g, q);
	e = guest_await(g, q);
	assert_int_equal(e.cid, g->cid);
	if (result)
		*result = e.dw0;
	return e.status;
}

__attribute__((unused)) static uint16_t guest_create_cq(struct guest *g, uint16_t q, uint32_t entries,
							uint64_t base, uint32_t cdw11)
{
	struct nvme_cmd *c = guest_next(g, 0, nvme_admin_create_cq);

	c->prp1 = base;
	c->cdw10 = q | (entries - 1) << 16;
	c->cdw11 = cdw11;
	return guest_do(g, 0, NULL);
}

__attribute__((unused)) static uint16_t guest_create_sq(struct guest *g, uint16_t q, uint32_t entries,
							uint64_t base, uint32_t cdw11)
{
	struct nvme_cmd *c = guest_next(g, 0, nvme_admin_create_sq);

	c->prp1 = base;
	c->cdw10 = q | (entries - 1) << 16;
	c->cdw11 = cdw11;
	return guest_do(g, 0, NULL);
}

__attribute__((unused)) static uint16_t guest_delete(struct guest *g, uint8_t opcode, uint32_t q)
{
	guest_next(g, 0, opcode)->cdw10 = q;
	return guest_do(g, 0, NULL);
}

/* Pair q, with interrupts on vector q. */
__attribute__((unused)) static void guest_pair(struct guest *g, uint16_t q)
{
	g->q[q] = (struct guest_queue){ .sq = GUEST_ENTRIES, .cq = GUEST_ENTRIES, .phase = 1 };
	memset(g->c.mem + GUEST_CQ(q), 0, 0x1000);
	assert_int_equal(guest_create_cq(g, q, GUEST_ENTRIES, GUEST + GUEST_CQ(q), 3u | (uint32_t)q << 16),
			 0);
	assert_int_equal(guest_create_sq(g, q, GUEST_ENTRIES, GUEST + GUEST_SQ(q), 1u | (uint32_t)q << 16),
			 0);
}

/* A read or a write of n blocks, from GUEST_DATA + at on; not rung yet. */
__attribute__((unused)) static void guest_io(struct guest *g, unsigned q, uint8_t opcode, uint64_t lba,
					     unsigned n, uint32_t at)
{
	struct nvme_cmd *c = guest_next(g, q, opcode);

	c->nsid = 1;
	c->prp1 = GUEST + GUEST_DATA + at;
	c->prp2 = GUEST + GUEST_DATA + at + 4096;
	c->cdw10 = (uint32_t)lba;
	c->cdw12 = n - 1;
}

#endif
