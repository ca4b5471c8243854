/* SPDX-License-Identifier: MIT */
/*
 * For tests: our own NVMe controller as a PCI function, in a thread of its own, under our own driver: no
 * VFIO, no IOMMU and no guest lie between them. Bus addresses are what the driver mapped, and nothing else
 * can be reached.
 */
#ifndef TESTS_NVME_VFIO_FUNCTION_H
#define TESTS_NVME_VFIO_FUNCTION_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "backend/nvme_vfio.h"
#include "nvme/pci.h"

#include <virtio-offload.h>

#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SERVED_VECTORS 8u

struct served {
	struct function f;
	struct vio_poller *p;
	pthread_t thread;
	bool stop;
	struct vio_nvme *s;
	struct vio_pci *pci;
	struct vio_mem *mem;
	unsigned maps, closes;
	int refuse_map; /* what map answers, if not 0 */
};

struct served_call {
	struct vio_msg m;
	struct served *v;
	enum { SERVED_READ, SERVED_WRITE, SERVED_MEM, SERVED_RESET } what;
	uint64_t at;
	uint32_t value;
	struct vio_mem *mem;
	bool done;
};

static struct served *served_now; /* whom the backend that is made next finds */

/* The last that is done to c: whoever waits for it has it on its stack. */
static void served_done(struct served_call *c)
{
	__atomic_store_n(&c->done, true, __ATOMIC_RELEASE);
}

static void served_resume(struct served_call *c)
{
	struct served *v = c->v;

	vio_mem_free(v->mem);
	v->mem = c->mem;
	if (c->what == SERVED_RESET)
		pci_reset(v->pci);
	v->pci->ops->resume(v->pci, v->mem);
	served_done(c);
}

static void served_quiet(struct vio_pci *f)
{
	served_resume(f->transport);
}

static void served_do(struct vio_msg *m)
{
	struct served_call *c = VIO_CONTAINER(m, struct served_call, m);
	struct vio_pci *f = c->v->pci;

	if (c->what == SERVED_READ)
		pci_bar_read(f, 0, c->at, (uint8_t *)&c->value, 4);
	else if (c->what == SERVED_WRITE)
		pci_bar_write(f, 0, c->at, (const uint8_t *)&c->value, 4);
	if (c->what <= SERVED_WRITE) {
		served_done(c);
		return;
	}
	f->transport = c; /* one at a time: the drive's lock sees to that */
	if (f->ops->quiesce(f))
		served_resume(c);
}

static uint32_t served_call(struct served *v, struct served_call c)
{
	c.v = v;
	c.m.fn = served_do;
	vio_poller_post(v->p, &c.m);
	while (!__atomic_load_n(&c.done, __ATOMIC_ACQUIRE))
		sched_yield();
	return c.value;
}

static struct served *served_of(struct function *f)
{
	return VIO_CONTAINER(f, struct served, f);
}

static uint32_t served_read(struct function *f, uint64_t at)
{
	return served_call(served_of(f), (struct served_call){ .what = SERVED_READ, .at = at });
}

static void served_write(struct function *f, uint64_t at, uint32_t value)
{
	served_call(served_of(f), (struct served_call){ .what = SERVED_WRITE, .at = at, .value = value });
}

static int served_map(struct function *f, void *ptr, uint64_t size, uint64_t iova)
{
	struct served *v = served_of(f);
	struct vio_mem_region r = { .guest = iova, .size = size, .ptr = ptr };
	struct vio_mem *next;

	if (v->refuse_map)
		return vio__fail(-v->refuse_map, "refused");
	assert_int_equal(vio_mem_add(&next, v->mem, &r, NULL), 0);
	v->maps++;
	served_call(v, (struct served_call){ .what = SERVED_MEM, .mem = next });
	return 0;
}

static void served_unmap(struct function *f, uint64_t size, uint64_t iova)
{
	struct served *v = served_of(f);
	struct vio_mem_region r = { .guest = iova, .size = size };
	struct vio_mem *next;

	assert_int_equal(vio_mem_remove(&next, v->mem, &r), 0);
	v->maps--;
	served_call(v, (struct served_call){ .what = SERVED_MEM, .mem = next });
}

static void served_master(struct function *f, bool on)
{
	(void)f, (void)on;
}

static void served_close(struct function *f)
{
	struct served *v = served_of(f);
	struct vio_mem *none;

	v->closes++;
	v->maps = 0;
	assert_int_equal(vio_mem_new(&none, NULL, 0, NULL), 0);
	served_call(v, (struct served_call){ .what = SERVED_RESET, .mem = none });
}

static int served_find(struct function **f, const char *name)
{
	(void)name;
	*f = &served_now->f;
	return 0;
}

static int served_open(struct vio_backend *b, const char *arg)
{
	return vio__drive_open(b, arg, served_find);
}

static void *served_work(void *arg)
{
	struct served *v = arg;

	while (!__atomic_load_n(&v->stop, __ATOMIC_ACQUIRE) && vio_poller_wait(v->p, -1) >= 0)
		;
	return NULL;
}

static void served_function(struct served *v)
{
	static const struct function_ops ops = { served_read,  served_write,  served_map,
						 served_unmap, served_master, served_close };

	v->f = (struct function){ .ops = &ops,
				  .bar_size = 0x4000,
				  .vectors = SERVED_VECTORS,
				  .page = 4096,
				  .nranges = 2,
				  .range = { { 0, 0xfedfffff }, { 0xfef00000, (1ull << 39) - 1 } },
				  .maps = 100 };
	v->f.irq = calloc(SERVED_VECTORS, sizeof(int));
	v->f.gone = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	for (unsigned i = 0; i < SERVED_VECTORS; i++)
		v->f.irq[i] = v->pci->irq[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (v->pci->bar[0].fd < 0)
		return;
	v->f.bells = npci_of(v->pci)->bells; /* as if they were mapped */
	v->f.bells_size = NPCI_BELLS_SIZE;
}

/* A controller of namespace 1 over a stack. mode BUSY: doorbells are mapped. */
static void served_start(struct served *v, const char *stack, enum vio_poll_mode mode)
{
	VIO_OPTS(vio_nvme_opts, so, .nqn = "nqn.2014-08.org.example:disks");
	VIO_OPTS(vio_poller_opts, po, .mode = mode);
	VIO_OPTS(vio_nvme_pci_opts, fo, .queues = SERVED_VECTORS - 1);
	struct vio_backend *b;

	memset(v, 0, sizeof(*v));
	assert_int_equal(vio_poller_new(&v->p, &po), 0);
	assert_int_equal(vio_nvme_new(&v->s, &so), 0);
	if (vio_backend_parse(&b, NULL, stack))
		fail_msg("%s", vio_errmsg());
	assert_int_equal(vio_nvme_ns_add(v->s, b, NULL), 1);
	vio_backend_free(b);
	if (vio_nvme_pci_new(&v->pci, v->p, v->s, &fo))
		fail_msg("%s", vio_errmsg());
	v->pci->quiet = served_quiet;
	served_function(v);
	assert_int_equal(vio_mem_new(&v->mem, NULL, 0, NULL), 0);
	v->pci->ops->resume(v->pci, v->mem);
	assert_int_equal(pthread_create(&v->thread, NULL, served_work, v), 0);
	served_now = v;
}

static void served_stopped(void *ctx)
{
	__atomic_store_n((bool *)ctx, true, __ATOMIC_RELEASE);
}

/* Nobody drives it any more. */
static void served_stop(struct served *v)
{
	bool stopped = false;

	__atomic_store_n(&v->stop, true, __ATOMIC_RELEASE);
	vio_poller_wake(v->p);
	pthread_join(v->thread, NULL);
	vio_nvme_pci_stop(v->pci, served_stopped, &stopped);
	while (!stopped)
		assert_true(vio_poller_wait(v->p, 1) >= 0);
	for (unsigned i = 0; i < SERVED_VECTORS; i++)
		close(v->f.irq[i]);
	close(v->f.gone);
	free(v->f.irq);
	vio_nvme_pci_free(v->pci);
	vio_nvme_free(v->s);
	vio_poller_free(v->p);
	vio_mem_free(v->mem);
}

/* A backend of the driver's on it. */
static struct vio_backend *served_backend(const char *more)
{
	struct vio_backend_type t = *vio_backend_find("nvme-vfio");
	static struct vio_backend_type type;
	struct vio_backend *b;
	char arg[128];

	t.open = served_open;
	type = t;
	snprintf(arg, sizeof(arg), "0000:00:00.0%s", more);
	if (vio_backend_new(&b, &type, NULL, NULL, arg))
		fail_msg("%s", vio_errmsg());
	return b;
}

#endif
