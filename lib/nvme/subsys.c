/* SPDX-License-Identifier: MIT */
/* The subsystem: its names, its limits, what it counts. */
#include "nvme/nv.h"

#include <stdio.h>
#include <time.h>

#define SUBSYS_NS 128u
#define SUBSYS_QUEUES 64u
#define SUBSYS_MAX_QUEUES 1024u

/* Two sums of FNV-1a over the same text: no secret, only ever the same. */
void nv_id_of(uint8_t id[16], const char *nqn, uint32_t nsid)
{
	uint64_t h[2] = { 0xcbf29ce484222325u, 0x84222325cbf29ce4u };
	char text[NVME_NQN_LENGTH + 16];
	int n = snprintf(text, sizeof(text), "%s/%u", nqn, nsid);

	for (int i = 0; i < n; i++)
		for (unsigned k = 0; k < 2; k++)
			h[k] = (h[k] ^ (uint8_t)text[i] ^ k << 7) * 0x100000001b3u;
	memcpy(id, h, 16);
	id[6] = (uint8_t)((id[6] & 0x0f) | 0x80); /* RFC 9562: version 8, made by its maker's own rule */
	id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
}

int nv_check_nqn(char to[NVME_NQN_LENGTH], const char *nqn, const char *what)
{
	size_t len = nqn ? strlen(nqn) : 0;

	if (!nqn || strncmp(nqn, "nqn.", 4) || len > NVME_NQN_MAX)
		return vio__fail(
			EINVAL, "nvme: %s is %s, expected one that begins with nqn. and has at most %u bytes",
			what, nqn ? nqn : "not given", NVME_NQN_MAX);
	if (!strcmp(nqn, NVME_DISCOVERY_NQN))
		return vio__fail(EINVAL, "nvme: %s is that of discovery, expected one of its own", what);
	memset(to, 0, NVME_NQN_LENGTH);
	memcpy(to, nqn, len);
	return 0;
}

static int subsys_text(char *to, size_t size, const char *text, const char *what)
{
	size_t len = strlen(text);

	if (len > size)
		return vio__fail(EINVAL, "nvme: %s '%s' has %zu bytes, at most %zu fit", what, text, len,
				 size);
	for (size_t i = 0; i < len; i++)
		if (text[i] < 0x20 || text[i] > 0x7e)
			return vio__fail(EINVAL, "nvme: %s has byte 0x%02x, expected printable ASCII", what,
					 (uint8_t)text[i]);
	memset(to, ' ', size);
	memcpy(to, text, len);
	return 0;
}

static int subsys_names(struct vio_nvme *s, const struct vio_nvme_opts *o)
{
	char made[21];
	uint8_t id[16];
	int rc = nv_check_nqn(s->nqn, o->nqn, "the subsystem's NQN");

	if (rc)
		return rc;
	nv_id_of(id, s->nqn, 0);
	for (unsigned i = 0; i < 10; i++)
		snprintf(made + 2 * i, 3, "%02x", id[i]);
	rc = subsys_text(s->serial, sizeof(s->serial), o->serial ? o->serial : made, "serial");
	return rc ? rc
		  : subsys_text(s->model, sizeof(s->model), o->model ? o->model : "virtio-offload", "model");
}

static int subsys_limits(struct vio_nvme *s, const struct vio_nvme_opts *o)
{
	s->max_ns = o->max_namespaces ? o->max_namespaces : SUBSYS_NS;
	s->max_queues = o->max_queues ? o->max_queues : SUBSYS_QUEUES;
	if (s->max_ns > NV_MAX_NS)
		return vio__fail(EINVAL, "nvme: max_namespaces=%u, expected 1 to %u", s->max_ns, NV_MAX_NS);
	if (s->max_queues > SUBSYS_MAX_QUEUES)
		return vio__fail(EINVAL, "nvme: max_queues=%u, expected 1 to %u", s->max_queues,
				 SUBSYS_MAX_QUEUES);
	s->ns = calloc(s->max_ns + 1, sizeof(struct nv_ns *));
	return s->ns ? 0 : vio__fail(ENOMEM, "nvme: out of memory");
}

static int subsys_controllers(struct vio_nvme *s, const struct vio_nvme_opts *o)
{
	s->first_cntlid = o->first_controller ? o->first_controller : 1;
	s->last_cntlid = o->last_controller ? o->last_controller : NV_CNTLIDS;
	s->next_cntlid = s->first_cntlid;
	if (s->first_cntlid > s->last_cntlid || s->last_cntlid > NV_CNTLIDS)
		return vio__fail(EINVAL, "nvme: controllers %u to %u, expected ids from 1 to %u in order",
				 s->first_cntlid, s->last_cntlid, NV_CNTLIDS);
	return 0;
}

static uint64_t subsys_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t nv_power_on_ns(const struct vio_nvme *s)
{
	return subsys_clock() - s->born;
}

int vio_nvme_new(struct vio_nvme **out, const struct vio_nvme_opts *opts)
{
	struct vio_nvme *s = calloc(1, sizeof(*s));
	struct vio_nvme_opts o;
	int rc = s ? vio__opts(&o, sizeof(o), opts, "vio_nvme_opts")
		   : vio__fail(ENOMEM, "nvme: out of memory");

	*out = NULL;
	rc = rc ? rc : subsys_names(s, &o);
	rc = rc ? rc : subsys_controllers(s, &o);
	rc = rc ? rc : nv_manager_init(s, o.manager);
	rc = rc ? rc : subsys_limits(s, &o);
	if (rc) {
		free(s);
		return rc;
	}
	memset(s->ana, VIO_NVME_ANA_OPTIMIZED, sizeof(s->ana));
	s->born = subsys_clock();
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->keeping, NULL);
	*out = s;
	return 0;
}

void vio_nvme_free(struct vio_nvme *s)
{
	if (!s)
		return;
	for (uint32_t i = 1; i <= s->max_ns; i++)
		nv_ns_put(s->ns[i]);
	nv_hosts_free(s);
	free(s->ns);
	nv_ports_free(s);
	nv_listings_free(s);
	pthread_mutex_destroy(&s->keeping);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void subsys_add(struct nv_counts *sum, const struct nv_counts *c)
{
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)c;

	for (size_t i = 0; i < sizeof(*sum) / sizeof(uint64_t); i++)
		to[i] += VIO_LOAD(&from[i]);
}

static void subsys_sum(const struct vio_nvme *s, struct nv_counts *sum)
{
	*sum = s->gone;
	for (const struct nv_group *g = s->groups; g; g = g->next)
		subsys_add(sum, &g->counts);
}

void nv_sum(struct vio_nvme *s, struct nv_counts *sum)
{
	pthread_mutex_lock(&s->lock);
	subsys_sum(s, sum);
	pthread_mutex_unlock(&s->lock);
}

void vio_nvme_stats(struct vio_nvme *s, struct vio_nvme_stats *out)
{
	struct vio_nvme_stats now = { .sz = sizeof(now) };
	struct nv_counts sum;

	pthread_mutex_lock(&s->lock);
	for (const struct nv_ctrl *c = s->ctrls; c; c = c->next) {
		now.controllers += c->qps != NULL; /* a function's that nobody has enabled is none */
		for (const struct nv_qp *qp = c->qps; qp; qp = qp->next)
			now.queues++;
	}
	subsys_sum(s, &sum);
	pthread_mutex_unlock(&s->lock);
	memcpy(&now.reads, &sum, sizeof(sum));
	vio__out(out, &now, sizeof(now));
}
