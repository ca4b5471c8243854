/* SPDX-License-Identifier: MIT */
/* For fuzzers: hosts may manage namespaces. Stores lie in memory, jobs run at once. */
#ifndef FUZZ_NVME_MANAGER_H
#define FUZZ_NVME_MANAGER_H

#include "nvme/nv.h"

static bool manager_used; /* since the last reset */

static void manager_work(void *ctx, void (*job)(void *arg), void *arg)
{
	(void)ctx;
	manager_used = true;
	job(arg);
}

static int manager_create(void *ctx, const struct vio_nvme_kept *k, struct vio_backend **b)
{
	char stack[64];

	(void)ctx;
	snprintf(stack, sizeof(stack), "ram:%llu", (unsigned long long)k->size);
	return vio_backend_parse(b, NULL, stack);
}

static int manager_keep(void *ctx, const struct vio_nvme_kept *k)
{
	(void)ctx;
	return k->nhosts > 200 ? -EIO : 0;
}

static const struct vio_nvme_manager manager = { .sz = sizeof(manager),
						 .work = manager_work,
						 .create = manager_create,
						 .destroy = manager_keep,
						 .save = manager_keep,
						 .capacity = 256 << 10,
						 .granularity = 4096 };

/* As at first, whatever hosts have done; add adds namespaces. False: something is left that should not be. */
static bool manager_reset(struct vio_nvme *s, void (*add)(void))
{
	bool ok = !s->nops;

	if (!manager_used || !ok)
		return ok;
	manager_used = false;
	for (uint32_t i = 1; i <= s->max_ns; i++) {
		if (s->ns[i])
			vio_nvme_ns_remove(s, i);
		ok &= !s->reserved[i];
	}
	ok &= !s->allocated && s->sanitize.state != NVME_SANITIZE_SSTAT_STATUS_IN_PROGESS;
	memset(&s->sanitize, 0, sizeof(s->sanitize));
	add();
	return ok;
}

#endif
