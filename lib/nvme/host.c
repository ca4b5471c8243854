/* SPDX-License-Identifier: MIT */
/* The hosts that may see a subsystem, and what they have to prove. */
#include "nvme/nv.h"

#define HOST_DH_MASK ((1u << DHCHAP_GROUPS) - 1)
#define HOST_HASH_MASK ((1u << DHCHAP_HASHES) - 2)
/* The larger groups cost the poller's thread 8 to 16 ms a queue: for those who ask. */
#define HOST_DH_DEFAULT ((1u << VIO_NVME_FFDHE6144) - 1)
#define HOST_PATIENCE_MS 30000u

static int host_keys(struct nv_host *h, const char *subnqn, const struct vio_nvme_host_opts *o)
{
	int rc = 0;

	if (o->ctrl_secret && !o->secret)
		return vio__fail(EINVAL, "nvme: %s has a .ctrl_secret and no .secret, expected both", h->nqn);
	if (o->dh_groups & ~HOST_DH_MASK || o->hashes & ~HOST_HASH_MASK)
		return vio__fail(EINVAL,
				 "nvme: .dh_groups=%#x, .hashes=%#x of %s, expected bits of enum vio_nvme_dh "
				 "and vio_nvme_hash",
				 o->dh_groups, o->hashes, h->nqn);
	if (o->secret)
		rc = vio__dhchap_key(&h->key, o->secret, h->nqn, "nvme: the host's secret");
	if (!rc && o->ctrl_secret)
		rc = vio__dhchap_key(&h->ctrl_key, o->ctrl_secret, subnqn, "nvme: the controller's secret");
	h->groups = o->dh_groups ? o->dh_groups : HOST_DH_DEFAULT;
	h->hashes = o->hashes ? o->hashes : HOST_HASH_MASK;
	h->patience = (o->timeout_ms ? o->timeout_ms : HOST_PATIENCE_MS) * 1000000ull;
	return rc;
}

static void host_free(struct nv_host *h)
{
	vio__dhchap_wipe(h, sizeof(*h));
	free(h);
}

/* Under the lock. */
static void host_add(struct vio_nvme *s, struct nv_host *h)
{
	struct nv_host *old, **at = &s->hosts;

	while (*at && strcmp((*at)->nqn, h->nqn))
		at = &(*at)->next;
	old = *at;
	h->next = old ? old->next : NULL;
	*at = h;
	if (old)
		host_free(old);
}

int vio_nvme_allow(struct vio_nvme *s, const char *host_nqn, const struct vio_nvme_host_opts *opts)
{
	struct nv_host *h = calloc(1, sizeof(*h));
	struct vio_nvme_host_opts o;
	int rc;

	if (!h)
		return vio__fail(ENOMEM, "nvme: out of memory for a host's name");
	rc = vio__opts(&o, sizeof(o), opts, "vio_nvme_host_opts");
	rc = rc ? rc : nv_check_nqn(h->nqn, host_nqn, "a host's NQN");
	rc = rc ? rc : host_keys(h, s->nqn, &o);
	if (rc) {
		host_free(h);
		return rc;
	}
	pthread_mutex_lock(&s->lock);
	host_add(s, h);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

const struct nv_host *nv_host(const struct vio_nvme *s, const char *nqn)
{
	const struct nv_host *h = s->hosts;

	while (h && strcmp(h->nqn, nqn))
		h = h->next;
	return h;
}

bool nv_host_allowed(const struct vio_nvme *s, const char *nqn)
{
	return !s->hosts || nv_host(s, nqn);
}

void nv_hosts_free(struct vio_nvme *s)
{
	struct nv_host *h;

	while ((h = s->hosts)) {
		s->hosts = h->next;
		host_free(h);
	}
}
