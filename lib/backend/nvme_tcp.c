/* SPDX-License-Identifier: MIT */
/* A namespace that an NVMe/TCP target has: finding it, and what it is like. */
#define _GNU_SOURCE
#include "backend/nvme_tcp.h"

#include "base/arg.h"

#include <stdio.h>

struct host_texts {
	char *paths, *hostid, *digests, *secret, *ctrl_secret;
};

static int host_digests(struct host *h, const char *text)
{
	static const char *const names[] = { "none", "header", "data", "both" };

	for (unsigned i = 0; i < VIO_ARRAY_SIZE(names); i++) {
		if (strcmp(text, names[i]))
			continue;
		h->digests = (uint8_t)i; /* NVME_TCP_WANT_HDGST and NVME_TCP_WANT_DDGST are its bits */
		if (!i || vio__nvme_tcp_has_digests())
			return 0;
		return vio__fail(ENOTSUP, "nvme-tcp: digests=%s, but the library was built without ISA-L",
				 text);
	}
	return vio__fail(EINVAL, "nvme-tcp: digests=%s, expected none, header, data or both", text);
}

/* Who we say we are: what was given, the rest made up once. */
static int host_identity(struct host *h, const char *hostid)
{
	uint8_t id[16];
	char uuid[37];
	int rc;

	if (!h->nqn || !*h->nqn || strlen(h->nqn) > NVME_NQN_MAX)
		return vio__fail(EINVAL, "nvme-tcp: nqn=%s, expected the subsystem's name, 1 to %u bytes",
				 h->nqn ? h->nqn : "", NVME_NQN_MAX);
	if (hostid && vio__host_uuid(hostid, h->hostid))
		return vio__fail(EINVAL, "nvme-tcp: hostid=%s, expected a UUID", hostid);
	if (h->hostnqn && (!*h->hostnqn || strlen(h->hostnqn) > NVME_NQN_MAX))
		return vio__fail(EINVAL, "nvme-tcp: hostnqn=%s, expected 1 to %u bytes", h->hostnqn,
				 NVME_NQN_MAX);
	rc = vio__host_new_uuid(id, uuid);
	if (rc)
		return rc;
	if (!hostid)
		memcpy(h->hostid, id, sizeof(id));
	if (!h->hostnqn && asprintf(&h->hostnqn, "nqn.2014-08.org.nvmexpress:uuid:%s", uuid) < 0) {
		h->hostnqn = NULL;
		return vio__fail(ENOMEM, "nvme-tcp: out of memory");
	}
	return 0;
}

static int host_args(struct host *h, struct host_texts *t, const char *arg)
{
	const struct vio__arg args[] = {
		{ "", VIO__ARG_TEXT, &t->paths, 0, 0 },
		{ "nqn", VIO__ARG_TEXT, &h->nqn, 0, 0 },
		{ "nsid", VIO__ARG_NUM, &h->nsid, 1, 0xfffffffe },
		{ "hostnqn", VIO__ARG_TEXT, &h->hostnqn, 0, 0 },
		{ "hostid", VIO__ARG_TEXT, &t->hostid, 0, 0 },
		{ "digests", VIO__ARG_TEXT, &t->digests, 0, 0 },
		{ "dhchap", VIO__ARG_TEXT, &t->secret, 0, 0 },
		{ "dhchap-ctrl", VIO__ARG_TEXT, &t->ctrl_secret, 0, 0 },
		{ "queues", VIO__ARG_NUM, &h->queues, 1, 1024 },
		{ "depth", VIO__ARG_NUM, &h->depth, 1, LINK_SLOTS - 1 },
		{ "timeout", VIO__ARG_NUM, &h->timeout, 1, 86400 },
		{ "io-timeout", VIO__ARG_NUM, &h->io_timeout, 1, 86400 },
		{ "keep-alive", VIO__ARG_NUM, &h->keep_alive, 0, 3600 },
		{ "quiesce", VIO__ARG_NUM, &h->quiesce, 0, 3600 },
	};
	int rc = vio__args("nvme-tcp", arg, args, VIO_ARRAY_SIZE(args));

	if (rc)
		return rc;
	if (!t->paths || !*t->paths)
		return vio__fail(EINVAL,
				 "nvme-tcp: the target's address is missing: nvme-tcp:ADDR:PORT,nqn=NQN");
	rc = t->digests ? host_digests(h, t->digests) : 0;
	if (!rc)
		rc = vio__host_secrets(h, t->secret, t->ctrl_secret);
	if (!rc)
		rc = host_identity(h, t->hostid);
	return rc ? rc : vio__host_paths(h, t->paths);
}

static int host_alloc(struct host *h)
{
	int rc = vio__host_admin_init(h);

	h->qids = calloc(h->queues, 1);
	h->counters = aligned_alloc(VIO_CACHELINE, h->queues * sizeof(*h->counters));
	if (rc || !h->qids || !h->counters)
		return vio__fail(ENOMEM, "nvme-tcp: out of memory");
	memset(h->counters, 0, h->queues * sizeof(*h->counters));
	return 0;
}

static void host_free(struct host *h)
{
	vio__host_auth_end(&h->auth);
	vio__dhchap_wipe(&h->key, sizeof(h->key));
	vio__dhchap_wipe(&h->ctrl_key, sizeof(h->ctrl_key));
	vio__host_link_fini(&h->admin);
	vio__host_paths_free(h);
	free(h->counters);
	free(h->qids);
	free(h->hostnqn);
	free(h->nqn);
	pthread_mutex_destroy(&h->lock);
}

/* Has a look, and leaves again: without a lane there is nobody to keep an association. */
static int host_visit(struct host *h)
{
	int rc;

	h->visiting = true;
	rc = vio__host_associate(h);
	vio__host_dissociate(h);
	h->visiting = false;
	return rc;
}

static int host_open(struct vio_backend *b, const char *arg)
{
	struct host *h = b->priv;
	struct host_texts t = { 0 };
	int rc;

	h->nsid = 1;
	h->queues = 64;
	h->depth = 128;
	h->timeout = 60;
	h->io_timeout = 30;
	h->keep_alive = 5;
	h->admin.fd = -1;
	pthread_mutex_init(&h->lock, NULL);
	rc = host_args(h, &t, arg);
	free(t.paths);
	free(t.hostid);
	free(t.digests);
	free(t.secret);
	free(t.ctrl_secret);
	if (!rc)
		rc = host_alloc(h);
	if (!rc)
		rc = host_visit(h);
	if (rc)
		host_free(h);
	return rc;
}

static void host_close(struct vio_backend *b)
{
	host_free(b->priv);
}

/* While there are lanes the target tells of changes; otherwise it is asked, if it is there. */
static int host_info(struct vio_backend *b, struct vio_backend_info *i)
{
	struct host *h = b->priv;
	const struct nvme_store *s = &h->store.ns;

	pthread_mutex_lock(&h->lock);
	if (!h->keeper && h->phase == HOST_NONE)
		host_visit(h);
	i->size = s->blocks << s->shift;
	i->block = 1u << s->shift;
	i->optimal = s->optimal;
	i->ops = s->read_only ? 1u << VIO_OP_READ | 1u << VIO_OP_FLUSH : s->ops;
	i->read_only = s->read_only;
	i->volatile_cache = s->volatile_cache;
	pthread_mutex_unlock(&h->lock);
	return 0;
}

static void host_stats(struct vio_backend *b,
		       void (*each)(void *ctx, const char *layer, const char *counter, uint64_t value),
		       void *ctx)
{
	static const char *const names[] = { "submitted", "completed",	 "errors",     "commands",
					     "sends",	  "receives",	 "reconnects", "replayed",
					     "retried",	  "bad_digests", "refused",    "moved" };
	struct host *h = b->priv;

	for (unsigned n = 0; n < VIO_ARRAY_SIZE(names); n++) {
		uint64_t sum = 0;

		for (unsigned q = 0; q < h->queues; q++)
			sum += VIO_LOAD((uint64_t *)&h->counters[q] + n);
		each(ctx, "nvme-tcp", names[n], sum);
	}
}

const struct vio_backend_type vio__backend_nvme_tcp = {
	.sz = sizeof(struct vio_backend_type),
	.name = "nvme-tcp",
	.help = "ADDR:PORT[+ADDR:PORT...],nqn=NQN[,nsid=N][,hostnqn=NQN][,hostid=UUID]"
		"[,digests=none|header|data|both][,dhchap=FILE][,dhchap-ctrl=FILE][,queues=N][,depth=N]"
		"[,timeout=S][,io-timeout=S][,keep-alive=S][,quiesce=S]: an NVMe/TCP target's namespace",
	.priv = sizeof(struct host),
	.lane_priv = sizeof(struct host_lane),
	.scratch = sizeof(struct host_cut),
	.open = host_open,
	.close = host_close,
	.info = host_info,
	.lane_open = vio__host_lane_open,
	.lane_close = vio__host_lane_close,
	.room = vio__host_room,
	.submit = vio__host_submit,
	.reap = vio__host_reap,
	.stats = host_stats,
};
