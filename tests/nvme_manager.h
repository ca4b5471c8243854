/* SPDX-License-Identifier: MIT */
/*
 * For tests: a manager whose namespaces lie in memory. Its jobs run in threads of their own, or at once; it
 * remembers what it was told to keep.
 */
#ifndef TESTS_NVME_MANAGER_H
#define TESTS_NVME_MANAGER_H

#include "nvme_host.h"

#define MANAGER_HOSTS 4

struct manager_ns {
	struct vio_nvme_kept kept;
	char hosts[MANAGER_HOSTS][NVME_NQN_LENGTH];
};

struct manager {
	struct vio_nvme_manager m;
	const char *filters; /* on each store, NULL: none */
	bool at_once;
	int create_fails, destroy_fails, save_fails; /* errno */
	unsigned inside;			     /* calls of create, destroy or save now */
	unsigned created, destroyed, saved;
	struct manager_ns ns[17]; /* by id; nsid 0: none */
	pthread_mutex_t lock;
	pthread_cond_t idle;
	unsigned jobs;
	bool held; /* jobs wait for manager_release */
};

struct manager_job {
	struct manager *m;
	void (*job)(void *arg);
	void *arg;
};

static void *manager_thread(void *arg)
{
	struct manager_job *j = arg;
	struct manager *m = j->m;

	pthread_mutex_lock(&m->lock);
	while (m->held)
		pthread_cond_wait(&m->idle, &m->lock);
	pthread_mutex_unlock(&m->lock);
	j->job(j->arg);
	free(j);
	pthread_mutex_lock(&m->lock);
	m->jobs--;
	pthread_cond_broadcast(&m->idle);
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

static void manager_work(void *ctx, void (*job)(void *arg), void *arg)
{
	struct manager *m = ctx;
	struct manager_job *j = malloc(sizeof(*j));
	pthread_attr_t detached;
	pthread_t t;

	*j = (struct manager_job){ m, job, arg };
	if (m->at_once) {
		free(j);
		job(arg);
		return;
	}
	pthread_mutex_lock(&m->lock);
	m->jobs++;
	pthread_mutex_unlock(&m->lock);
	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	assert_int_equal(pthread_create(&t, &detached, manager_thread, j), 0);
	pthread_attr_destroy(&detached);
}

static void manager_enter(struct manager *m)
{
	assert_int_equal(__atomic_fetch_add(&m->inside, 1, __ATOMIC_SEQ_CST), 0); /* never two at a time */
}

static int manager_leave(struct manager *m, int err)
{
	__atomic_fetch_sub(&m->inside, 1, __ATOMIC_SEQ_CST);
	return -err;
}

static int manager_create(void *ctx, const struct vio_nvme_kept *k, struct vio_backend **b)
{
	struct manager *m = ctx;
	char stack[200];

	manager_enter(m);
	assert_int_equal(m->ns[k->nsid].kept.nsid, 0);
	snprintf(stack, sizeof(stack), "ram:%llu%s%s", (unsigned long long)k->size, m->filters ? " | " : "",
		 m->filters ? m->filters : "");
	if (m->create_fails)
		return manager_leave(m, m->create_fails);
	assert_int_equal(vio_backend_parse(b, NULL, stack), 0);
	m->ns[k->nsid].kept = *k;
	m->created++;
	return manager_leave(m, 0);
}

static int manager_destroy(void *ctx, const struct vio_nvme_kept *k)
{
	struct manager *m = ctx;

	manager_enter(m);
	assert_memory_equal(m->ns[k->nsid].kept.uuid, k->uuid, sizeof(k->uuid));
	if (m->destroy_fails)
		return manager_leave(m, m->destroy_fails);
	m->ns[k->nsid].kept.nsid = 0;
	m->destroyed++;
	return manager_leave(m, 0);
}

static int manager_save(void *ctx, const struct vio_nvme_kept *k)
{
	struct manager *m = ctx;
	struct manager_ns *n = &m->ns[k->nsid];

	manager_enter(m);
	if (m->save_fails)
		return manager_leave(m, m->save_fails);
	n->kept = *k;
	assert_true(k->nhosts <= MANAGER_HOSTS);
	for (unsigned i = 0; i < k->nhosts; i++)
		snprintf(n->hosts[i], sizeof(n->hosts[i]), "%s", k->hosts[i]);
	m->saved++;
	return manager_leave(m, 0);
}

MAYBE_UNUSED static void manager_init(struct manager *m)
{
	memset(m, 0, sizeof(*m));
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->idle, NULL);
	m->m = (struct vio_nvme_manager){ .sz = sizeof(m->m),
					  .ctx = m,
					  .work = manager_work,
					  .create = manager_create,
					  .destroy = manager_destroy,
					  .save = manager_save,
					  .capacity = 16 << 20 };
}

MAYBE_UNUSED static void manager_hold(struct manager *m, bool on)
{
	pthread_mutex_lock(&m->lock);
	m->held = on;
	pthread_cond_broadcast(&m->idle);
	pthread_mutex_unlock(&m->lock);
}

/* All jobs have been run. */
MAYBE_UNUSED static void manager_settle(struct manager *m)
{
	pthread_mutex_lock(&m->lock);
	while (m->jobs)
		pthread_cond_wait(&m->idle, &m->lock);
	pthread_mutex_unlock(&m->lock);
}

/* The commands, as a host sends them over TCP. */
MAYBE_UNUSED static uint16_t host_identify(struct host *h, uint32_t cns, uint32_t nsid, void *page)
{
	struct nvme_cmd c = { .opcode = nvme_admin_identify, .nsid = nsid, .cdw10 = cns };

	return host_get(h, &c, page, 4096);
}

MAYBE_UNUSED static struct nvme_id_ns host_new_ns(uint64_t blocks, uint8_t flbas, bool shared)
{
	return (struct nvme_id_ns){ .nsze = blocks, .ncap = blocks, .flbas = flbas, .nmic = shared };
}

MAYBE_UNUSED static uint16_t host_create(struct host *h, const struct nvme_id_ns *id)
{
	struct nvme_cmd c = { .opcode = nvme_admin_ns_mgmt, .cdw10 = NVME_NS_MGMT_SEL_CREATE };

	return host_put(h, &c, id, 4096);
}

MAYBE_UNUSED static uint16_t host_delete(struct host *h, uint32_t nsid)
{
	struct nvme_cmd c = { .opcode = nvme_admin_ns_mgmt, .nsid = nsid, .cdw10 = NVME_NS_MGMT_SEL_DELETE };

	return host_do(h, &c);
}

/* n controllers: a, and b. */
MAYBE_UNUSED static uint16_t host_attach(struct host *h, uint32_t nsid, bool on, unsigned n, uint16_t a,
					 uint16_t b)
{
	struct nvme_cmd c = { .opcode = nvme_admin_ns_attach, .nsid = nsid, .cdw10 = !on };
	static struct nvme_ctrl_list l;

	l = (struct nvme_ctrl_list){ .num = (uint16_t)n, .identifier = { a, b } };
	return host_put(h, &c, &l, sizeof(l));
}

#endif
