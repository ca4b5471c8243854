/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memfd_create, seals */
/* The function's life: put together, paused and resumed by its transport, reset, stopped. */
#include "nvme/pci.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define NPCI_VENDOR 0x1234u /* that of virtual devices, which nobody was assigned */
#define NPCI_DEVICE 0x4e56u
#define NPCI_CLASS 0x010802u
#define NPCI_QUEUES 31u
#define NPCI_BUFFERS (4u << 20)
#define NPCI_MSIX_BAR 4u

static bool npci_quiesce(struct vio_pci *f)
{
	struct nvme_pci *p = npci_of(f);

	p->runs = false;
	p->pausing = p->nworkers;
	for (unsigned i = 0; i < p->nworkers; i++)
		npci_worker_call(&p->workers[i], &p->workers[i].pause);
	return false;
}

void npci_paused(struct nvme_pci *p)
{
	if (--p->pausing)
		return;
	p->mem = NULL;
	p->pci.quiet(&p->pci);
}

static void npci_resume(struct vio_pci *f, struct vio_mem *mem)
{
	struct nvme_pci *p = npci_of(f);

	p->mem = mem;
	p->runs = true;
	for (unsigned i = 0; i < p->nworkers; i++)
		npci_worker_call(&p->workers[i], &p->workers[i].resume);
	npci_settle(p); /* it may have been enabled when it could not be */
}

/* Queues end behind it, one way or the other; until they have, nothing is enabled. */
void npci_reset(struct vio_pci *f)
{
	struct nvme_pci *p = npci_of(f);

	npci_virt_reset(p);
	p->virt.enabled = false;
	npci_image_drop(p);
	p->aqa = 0;
	p->asq = p->acq = 0;
	p->ctrl->cc = 0;
	VIO_STORE(&p->ctrl->csts, 0);
	npci_settle(p);
}

/* The state of those that depend on another one is in two functions: they stay. */
static const struct pci_ops npci_virt_ops = {
	.read = npci_read,
	.write = npci_write,
	.quiesce = npci_quiesce,
	.resume = npci_resume,
	.reset = npci_reset,
	.config = npci_virt_config,
};

static const struct pci_ops npci_ops = {
	.read = npci_read,
	.write = npci_write,
	.quiesce = npci_quiesce,
	.resume = npci_resume,
	.reset = npci_reset,
	.save = npci_save,
	.load = npci_load,
};

/* The doorbells' page lies in a file, so that a client can map it. */
static int npci_bells(struct nvme_pci *p)
{
	int fd = memfd_create("nvme-doorbells", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *at;

	if (fd < 0)
		return vio__fail(errno, "nvme: no memory to be shared: %s", strerror(errno));
	p->pci.bar[0].fd = fd;
	if (ftruncate(fd, NPCI_BELLS + NPCI_BELLS_SIZE) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return vio__fail(errno, "nvme: no memory to be shared: %s", strerror(errno));
	at = mmap(NULL, NPCI_BELLS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, NPCI_BELLS);
	if (at == MAP_FAILED)
		return vio__fail(errno, "nvme: the doorbells can't be mapped: %s", strerror(errno));
	p->bells = at;
	p->pci.bar[0].map_at = NPCI_BELLS;
	p->pci.bar[0].map_size = NPCI_BELLS_SIZE;
	return 0;
}

/* Nobody is told of a write to a mapped page: it has to be looked at all the time. */
static void npci_choose_bells(struct nvme_pci *p)
{
	bool busy = true;

	for (unsigned i = 0; i < p->nworkers; i++)
		busy &= vio_poller_mode(p->workers[i].poller) == VIO_POLL_BUSY;
	if (busy)
		return;
	close(p->pci.bar[0].fd);
	p->pci.bar[0].fd = -1;
}

static int npci_function(struct nvme_pci *p, unsigned secondaries)
{
	struct vio_pci *f = &p->pci;
	int rc = pci_add_bar(f, 0, NPCI_BAR, true);

	rc = rc ? rc : pci_add_msix(f, NPCI_MSIX_BAR, p->queues + 1);
	rc = rc ? rc : npci_bells(p);
	if (rc)
		return rc;
	pci_add_pm(f);
	pci_add_pcie(f);
	pci_add_aer(f);
	rc = npci_virt_open(p, secondaries);
	if (rc)
		return rc;
	npci_choose_bells(p);
	pci_ready(f);
	return 0;
}

/* The function's own poller first, then those for I/O; all one may be. */
static int npci_workers(struct nvme_pci *p, struct vio_poller *poller, const struct vio_nvme_pci_opts *o)
{
	size_t buffers = o->buffers ? o->buffers : NPCI_BUFFERS;
	int rc = 0;

	if (o->npollers && !o->pollers)
		return vio__fail(EINVAL, "vio_nvme_pci_opts.npollers is %u, but pollers is NULL",
				 o->npollers);
	p->first_io = o->npollers && !(o->npollers == 1 && o->pollers[0] == poller);
	p->nworkers = p->first_io ? 1 + o->npollers : 1;
	p->workers = calloc(p->nworkers, sizeof(*p->workers));
	if (!p->workers)
		return vio__fail(ENOMEM, "nvme: out of memory for %u pollers", p->nworkers);
	for (unsigned i = 0; !rc && i < p->nworkers; i++)
		rc = npci_worker_open(&p->workers[i], p, i ? o->pollers[i - 1] : poller, buffers);
	return rc;
}

/* What namespaces are attached to. */
static void npci_name(struct nv_ctrl *c, const char *host)
{
	c->unnamed = !host;
	if (host)
		snprintf(c->hostnqn, sizeof(c->hostnqn), "%s", host);
	else
		snprintf(c->hostnqn, sizeof(c->hostnqn), "controller %u", c->cntlid);
}

static int npci_controller(struct nvme_pci *p, const char *host)
{
	p->sq = calloc(p->queues + 1, sizeof(struct npci_sq *));
	p->cq = calloc(p->queues + 1, sizeof(struct npci_cq *));
	if (!p->sq || !p->cq)
		return vio__fail(ENOMEM, "nvme: out of memory for %u queues", p->queues);
	pthread_mutex_lock(&p->s->lock);
	p->ctrl = nv_ctrl_new(p->s);
	if (p->ctrl) {
		p->ctrl->pci = true;
		p->ctrl->more = npci_admin;
		p->ctrl->identify = npci_virt_identify;
		p->ctrl->primary = p->virt.n;
		p->ctrl->secondary = p->primary;
		p->ctrl->max_queues = (uint16_t)p->queues;
		p->ctrl->vendor = NPCI_VENDOR;
		npci_name(p->ctrl, host);
		nv_attach_come(p->ctrl);
		nv_ctrl_reset(p->ctrl);
	}
	pthread_mutex_unlock(&p->s->lock);
	return p->ctrl ? 0 : vio__fail(ENOMEM, "nvme: no memory for a controller, or no id is left");
}

static void npci_dispose(struct nvme_pci *p)
{
	npci_image_drop(p);
	npci_virt_close(p);
	if (p->ctrl) {
		pthread_mutex_lock(&p->s->lock);
		nv_ctrl_free(p->ctrl);
		pthread_mutex_unlock(&p->s->lock);
	}
	for (unsigned i = 0; p->workers && i < p->nworkers; i++)
		npci_worker_free(&p->workers[i]);
	free(p->workers);
	free(p->sq);
	free(p->cq);
	if (p->bells)
		munmap(p->bells, NPCI_BELLS_SIZE);
	pci_fini(&p->pci);
	free(p);
}

static int npci_open(struct nvme_pci *p, struct vio_poller *poller, const struct vio_nvme_pci_opts *opts)
{
	static const struct pci_ids ids = { .vendor = NPCI_VENDOR,
					    .device = NPCI_DEVICE,
					    .subsystem_vendor = NPCI_VENDOR,
					    .subsystem = NPCI_DEVICE,
					    .class_code = NPCI_CLASS };
	struct vio_nvme_pci_opts o;
	int rc = vio__opts(&o, sizeof(o), opts, "vio_nvme_pci_opts");

	pci_init(&p->pci, p->primary || o.secondaries ? &npci_virt_ops : &npci_ops, &ids);
	p->pci.poller = poller;
	if (rc)
		return rc;
	if (o.queues > NPCI_MAX_QUEUES)
		return vio__fail(EINVAL, "vio_nvme_pci_opts.queues is %u, expected at most %u", o.queues,
				 NPCI_MAX_QUEUES);
	p->port = o.port;
	if (o.host && nv_check_nqn((char[NVME_NQN_LENGTH]){ 0 }, o.host, "vio_nvme_pci_opts.host"))
		return -EINVAL;
	p->queues = VIO_MIN(o.queues ? o.queues : NPCI_QUEUES, p->s->max_queues);
	rc = npci_workers(p, poller, &o);
	rc = rc ? rc : npci_function(p, o.secondaries);
	return rc ? rc : npci_controller(p, o.host);
}

static int npci_new(struct vio_pci **f, struct vio_poller *poller, struct vio_nvme *s,
		    struct nvme_pci *primary, unsigned number, const struct vio_nvme_pci_opts *opts)
{
	struct nvme_pci *p = calloc(1, sizeof(*p));
	int rc;

	*f = NULL;
	if (!p)
		return vio__fail(ENOMEM, "nvme: out of memory");
	p->s = s;
	rc = primary ? npci_virt_join(p, primary, number) : 0;
	rc = rc ? rc : npci_open(p, poller, opts);
	if (rc) {
		npci_dispose(p);
		return rc;
	}
	p->running = p->nworkers;
	for (unsigned i = 0; i < p->nworkers; i++)
		vio_poller_post(p->workers[i].poller, &p->workers[i].start);
	*f = &p->pci;
	return 0;
}

int vio_nvme_pci_new(struct vio_pci **f, struct vio_poller *poller, struct vio_nvme *s,
		     const struct vio_nvme_pci_opts *opts)
{
	return npci_new(f, poller, s, NULL, 0, opts);
}

/* As its primary in all that the primary tells the host of it. */
int vio_nvme_pci_secondary(struct vio_pci **f, struct vio_pci *primary, unsigned number,
			   const struct vio_nvme_pci_opts *opts)
{
	struct nvme_pci *of = npci_of(primary);
	struct vio_nvme_pci_opts o;
	int rc = vio__opts(&o, sizeof(o), opts, "vio_nvme_pci_opts");

	*f = NULL;
	if (rc)
		return rc;
	if (o.secondaries || (o.queues && o.queues != of->queues))
		return vio__fail(EINVAL,
				 "nvme: a secondary with queues=%u and secondaries=%u, expected %u and 0",
				 o.queues, o.secondaries, of->queues);
	o.sz = sizeof(o);
	o.queues = of->queues;
	return npci_new(f, primary->poller, of->s, of, number, &o);
}

void npci_worker_ended(struct nvme_pci *p)
{
	if (!--p->running && p->stopped)
		p->stopped(p->stopped_ctx);
}

void npci_stop_workers(struct nvme_pci *p)
{
	for (unsigned i = 0; i < p->nworkers; i++)
		npci_worker_call(&p->workers[i], &p->workers[i].stop);
}

/* As if the guest had reset it; the workers end when its queues have. */
void vio_nvme_pci_stop(struct vio_pci *f, void (*done)(void *ctx), void *ctx)
{
	struct nvme_pci *p = npci_of(f);

	if (p->stopping)
		return;
	p->stopping = true;
	p->stopped = done;
	p->stopped_ctx = ctx;
	npci_reset(f);
	if (!p->dropping)
		npci_stop_workers(p);
}

void vio_nvme_pci_free(struct vio_pci *f)
{
	if (f)
		npci_dispose(npci_of(f));
}
