/* SPDX-License-Identifier: MIT */
/* Namespaces: how they come, grow and go. */
#include "nvme/nv.h"

#include "backend/backend.h"

struct nv_ns *nv_ns_get(struct vio_nvme *s, uint32_t nsid)
{
	struct nv_ns *ns;

	if (!nsid || nsid > s->max_ns)
		return NULL;
	pthread_mutex_lock(&s->lock);
	ns = s->ns[nsid];
	if (ns)
		__atomic_add_fetch(&ns->refs, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&s->lock);
	return ns;
}

void nv_ns_put(struct nv_ns *ns)
{
	if (!ns || __atomic_sub_fetch(&ns->refs, 1, __ATOMIC_ACQ_REL))
		return;
	vio_backend_free(ns->backend);
	free(ns);
}

/* Each group looks for itself what has changed. */
static void ns_sync_all(struct vio_nvme *s)
{
	for (struct nv_group *g = s->groups; g; g = g->next)
		if (!__atomic_exchange_n(&g->sync_posted, true, __ATOMIC_ACQ_REL))
			vio_poller_post(g->poller, &g->sync);
}

static int ns_check(const struct vio_backend_info *i)
{
	uint32_t both = 1u << VIO_OP_READ;

	if ((i->ops & both) != both || i->ops & 1u << VIO_OP_SEND)
		return vio__fail(EINVAL, "nvme: the backend is no store, expected one that can be read");
	if (i->block < 512 || i->block > 65536 || !vio__is_pow2(i->block))
		return vio__fail(
			EINVAL,
			"nvme: the store's blocks have %u bytes, expected a power of two, 512 to 65536",
			i->block);
	if (i->size < i->block)
		return vio__fail(EINVAL, "nvme: the store has %llu bytes, less than a block",
				 (unsigned long long)i->size);
	return 0;
}

static int ns_make(struct nv_ns **out, struct vio_nvme *s, struct vio_backend *b,
		   const struct vio_nvme_ns_opts *o)
{
	struct vio_backend_info i = { .sz = sizeof(i) };
	struct nv_ns *ns;
	int rc = vio_backend_info(b, &i);

	rc = rc ? rc : ns_check(&i);
	if (rc)
		return rc;
	if (o->nsid > s->max_ns)
		return vio__fail(EINVAL, "nvme: namespace %u, expected 1 to %u", o->nsid, s->max_ns);
	if (o->ana_group > NV_ANA_GROUPS)
		return vio__fail(EINVAL, "nvme: ana_group=%u, expected 1 to %u", o->ana_group, NV_ANA_GROUPS);
	ns = calloc(1, sizeof(*ns));
	if (!ns)
		return vio__fail(ENOMEM, "nvme: out of memory for a namespace");
	*ns = (struct nv_ns){ .refs = 1,
			      .nsid = o->nsid,
			      .backend = b,
			      .shift = (unsigned)__builtin_ctz(i.block),
			      .ops = i.ops,
			      .optimal = i.optimal,
			      .read_only = i.read_only || o->read_only,
			      .ana_group = o->ana_group ? o->ana_group : 1 };
	ns->blocks = i.size >> ns->shift;
	memcpy(ns->uuid, o->uuid, sizeof(ns->uuid));
	vio__backend_ref(b);
	*out = ns;
	return 0;
}

/* Under the lock. */
static int ns_place(struct vio_nvme *s, struct nv_ns *ns)
{
	static const uint8_t none[16];

	for (uint32_t i = 1; !ns->nsid && i <= s->max_ns; i++)
		if (!s->ns[i])
			ns->nsid = i;
	if (!ns->nsid)
		return vio__fail(ENOSPC, "nvme: all %u namespaces are in use", s->max_ns);
	if (s->ns[ns->nsid])
		return vio__fail(EEXIST, "nvme: there is a namespace %u already", ns->nsid);
	if (!memcmp(ns->uuid, none, sizeof(none)))
		nv_id_of(ns->uuid, s->nqn, ns->nsid);
	s->ns[ns->nsid] = ns;
	ns_sync_all(s);
	nv_ana_moved(s, ns->ana_group);
	nv_ns_changed(s, ns->nsid);
	return (int)ns->nsid;
}

int vio_nvme_ns_add(struct vio_nvme *s, struct vio_backend *b, const struct vio_nvme_ns_opts *opts)
{
	struct vio_nvme_ns_opts o;
	struct nv_ns *ns = NULL;
	int rc = vio__opts(&o, sizeof(o), opts, "vio_nvme_ns_opts");

	rc = rc ? rc : ns_make(&ns, s, b, &o);
	if (rc)
		return rc;
	pthread_mutex_lock(&s->lock);
	rc = ns_place(s, ns);
	pthread_mutex_unlock(&s->lock);
	if (rc < 0)
		nv_ns_put(ns);
	return rc;
}

static int ns_missing(const struct vio_nvme *s, uint32_t nsid)
{
	return vio__fail(ENOENT, "nvme: %s has no namespace %u", s->nqn, nsid);
}

int vio_nvme_ns_remove(struct vio_nvme *s, uint32_t nsid)
{
	struct nv_ns *ns = NULL;

	pthread_mutex_lock(&s->lock);
	if (nsid && nsid <= s->max_ns)
		ns = s->ns[nsid];
	if (ns) {
		s->ns[nsid] = NULL;
		ns_sync_all(s);
		nv_ana_moved(s, ns->ana_group);
		nv_ns_changed(s, nsid);
	}
	pthread_mutex_unlock(&s->lock);
	if (!ns)
		return ns_missing(s, nsid);
	nv_ns_put(ns);
	return 0;
}

int vio_nvme_ns_resize(struct vio_nvme *s, uint32_t nsid)
{
	struct vio_backend_info i = { .sz = sizeof(i) };
	struct nv_ns *ns = nv_ns_get(s, nsid);
	uint64_t blocks;
	int rc;

	if (!ns)
		return ns_missing(s, nsid);
	rc = vio_backend_info(ns->backend, &i);
	blocks = i.size >> ns->shift;
	if (!rc && blocks != VIO_LOAD(&ns->blocks)) {
		VIO_STORE(&ns->blocks, blocks);
		pthread_mutex_lock(&s->lock);
		nv_ns_changed(s, nsid);
		pthread_mutex_unlock(&s->lock);
	}
	nv_ns_put(ns);
	return rc;
}
