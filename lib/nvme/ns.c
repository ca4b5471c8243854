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
	nv_attach_free(ns);
	pthread_mutex_destroy(&ns->fences.lock);
	nv_bad_forget(ns);
	nv_resv_free(ns);
	pthread_mutex_destroy(&ns->bad.lock);
	free(ns);
}

struct nv_ns *nv_ns_lane_get(struct vio_nvme *s, uint32_t nsid)
{
	struct nv_ns *ns;

	pthread_mutex_lock(&s->lock);
	ns = s->ns[nsid];
	if (ns && ns->gate)
		ns = NULL;
	if (ns) {
		__atomic_add_fetch(&ns->refs, 1, __ATOMIC_RELAXED);
		ns->lanes++;
	}
	pthread_mutex_unlock(&s->lock);
	return ns;
}

void nv_ns_lane_put(struct nv_ns *ns)
{
	struct nv_op *op = NULL;
	struct vio_nvme *s;

	if (!ns)
		return;
	s = ns->s;
	pthread_mutex_lock(&s->lock);
	if (!--ns->lanes && ns->op && !--ns->op->waits)
		op = ns->op;
	pthread_mutex_unlock(&s->lock);
	nv_ns_put(ns);
	if (op)
		nv_op_run(op);
}

void nv_ns_sync(struct vio_nvme *s)
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

static int ns_check_block(const struct vio_backend_info *i, uint32_t block)
{
	if (block >= i->block && block <= 65536 && vio__is_pow2(block) && i->size >= block)
		return 0;
	return vio__fail(EINVAL,
			 "nvme: block=%u, expected a power of two, %u to 65536, no more than the store",
			 block, i->block);
}

static int ns_make(struct nv_ns **out, struct vio_nvme *s, struct vio_backend *b,
		   const struct vio_nvme_ns_opts *o)
{
	struct vio_backend_info i = { .sz = sizeof(i) };
	struct nv_ns *ns;
	int rc = vio_backend_info(b, &i);

	rc = rc ? rc : ns_check(&i);
	rc = rc || !o->block ? rc : ns_check_block(&i, o->block);
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
			      .s = s,
			      .nsid = o->nsid,
			      .backend = b,
			      .shift = (unsigned)__builtin_ctz(o->block ? o->block : i.block),
			      .store_shift = (unsigned)__builtin_ctz(i.block),
			      .ops = i.ops,
			      .optimal = i.optimal,
			      .read_only = i.read_only || o->read_only,
			      .ana_group = o->ana_group ? o->ana_group : 1,
			      .made = o->made,
			      .exclusive = o->private_,
			      .all = !o->detached && !o->made,
			      .crypto_erase = i.crypto_erase };
	ns->blocks = i.size >> ns->shift;
	memcpy(ns->uuid, o->uuid, sizeof(ns->uuid));
	pthread_mutex_init(&ns->fences.lock, NULL);
	pthread_mutex_init(&ns->bad.lock, NULL);
	vio__backend_ref(b);
	rc = nv_resv_init(ns, o->reservations);
	if (rc)
		nv_ns_put(ns);
	else
		*out = ns;
	return rc;
}

/* Under the lock. */
static int ns_place(struct vio_nvme *s, struct nv_ns *ns)
{
	static const uint8_t none[16];

	for (uint32_t i = 1; !ns->nsid && i <= s->max_ns; i++)
		if (!s->ns[i] && !s->reserved[i])
			ns->nsid = i;
	if (!ns->nsid)
		return vio__fail(ENOSPC, "nvme: all %u namespaces are in use", s->max_ns);
	if (s->ns[ns->nsid] || s->reserved[ns->nsid])
		return vio__fail(EEXIST, "nvme: there is a namespace %u already", ns->nsid);
	for (uint32_t i = 1; i <= s->max_ns; i++)
		if (s->ns[i] && nv_resv_same_file(s->ns[i], ns))
			return vio__fail(EBUSY, "nvme: namespace %u keeps its reservations there", i);
	if (!memcmp(ns->uuid, none, sizeof(none)))
		nv_id_of(ns->uuid, s->nqn, ns->nsid);
	s->ns[ns->nsid] = ns;
	ns->room = ns->made ? nv_room(s, ns->blocks << ns->shift) : 0;
	s->allocated += ns->room;
	nv_ns_sync(s);
	nv_ana_moved(s, ns->ana_group);
	nv_attach_ns(s, ns);
	return (int)ns->nsid;
}

int nv_ns_add(struct vio_nvme *s, struct vio_backend *b, const struct vio_nvme_ns_opts *o, bool reserved)
{
	struct nv_ns *ns = NULL;
	int rc = ns_make(&ns, s, b, o);

	if (rc)
		return rc;
	pthread_mutex_lock(&s->lock);
	if (reserved) {
		s->reserved[o->nsid] = false;
		s->allocated -= nv_room(s, ns->blocks << ns->shift); /* as it was reserved */
	}
	rc = ns_place(s, ns);
	pthread_mutex_unlock(&s->lock);
	if (rc < 0)
		nv_ns_put(ns);
	return rc;
}

int vio_nvme_ns_add(struct vio_nvme *s, struct vio_backend *b, const struct vio_nvme_ns_opts *opts)
{
	struct vio_nvme_ns_opts o;
	int rc = vio__opts(&o, sizeof(o), opts, "vio_nvme_ns_opts");

	return rc ? rc : nv_ns_add(s, b, &o, false);
}

static int ns_missing(const struct vio_nvme *s, uint32_t nsid)
{
	return vio__fail(ENOENT, "nvme: %s has no namespace %u", s->nqn, nsid);
}

/* Its reference is the caller's. What it takes of the capacity, too. */
void nv_ns_take(struct vio_nvme *s, uint32_t nsid)
{
	struct nv_ns *ns = s->ns[nsid];

	s->ns[nsid] = NULL;
	nv_ns_sync(s);
	nv_ana_moved(s, ns->ana_group);
	for (struct nv_ctrl *c = s->ctrls; c; c = c->next) {
		bool had = nv_attached(c, nsid);

		VIO_STORE(&c->access[nsid], NV_DETACHED);
		if (had)
			nv_ns_changed_for(c, nsid);
	}
}

int vio_nvme_ns_remove(struct vio_nvme *s, uint32_t nsid)
{
	struct nv_ns *ns = NULL;

	pthread_mutex_lock(&s->lock);
	if (nsid && nsid <= s->max_ns)
		ns = s->ns[nsid];
	if (ns) {
		nv_ns_take(s, nsid);
		s->allocated -= ns->room;
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
	blocks = i.size >> VIO_LOAD(&ns->shift);
	if (!rc && blocks != VIO_LOAD(&ns->blocks)) {
		VIO_STORE(&ns->blocks, blocks);
		pthread_mutex_lock(&s->lock);
		nv_ns_changed(s, nsid);
		pthread_mutex_unlock(&s->lock);
	}
	nv_ns_put(ns);
	return rc;
}
