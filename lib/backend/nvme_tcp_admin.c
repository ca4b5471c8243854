/* SPDX-License-Identifier: MIT */
/*
 * The admin connection: conversations, one question at a time, keep-alives and events.
 * Nothing here waits, but for the two functions at the end, which are for when no thread
 * sees to the connection.
 */
#include "backend/nvme_tcp.h"

#include <time.h>

#define ADMIN_RX 8192u
#define ADMIN_BUDGET 16u
#define ADMIN_AGAIN (10 * HOST_MS)
#define ADMIN_LOOK                                                                                           \
	(50 *                                                                                                \
	 HOST_MS) /* between an event and a look: a target that tells of many is looked at now and then */
#define ADMIN_GOODBYE HOST_SECOND

uint64_t vio__host_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * HOST_SECOND + (uint64_t)t.tv_nsec;
}

static struct host *admin_host(struct host_link *k)
{
	return VIO_CONTAINER(k, struct host, admin);
}

void vio__host_admin_ask(struct host *h)
{
	struct host_slot *s = &h->admin.slot[h->asking];

	memset(s, 0, sizeof(*s));
	h->ask_at = 0;
	h->script->ask(h, s);
	vio__host_link_post(&h->admin, s);
}

static int admin_greeted(struct host_link *k)
{
	vio__host_admin_ask(admin_host(k));
	return 0;
}

static int admin_refused(struct host *h, uint16_t status)
{
	unsigned type = status >> 9 & 7, code = status >> 1 & 0xff;
	const char *why = "";

	if (type == NVME_SCT_CMD_SPECIFIC && code == NVME_SC_CONNECT_INVALID_HOST)
		why = ": this host is not allowed there";
	else if (type == NVME_SCT_CMD_SPECIFIC && code == NVME_SC_CONNECT_INVALID_PARAM)
		why = ": perhaps it has no subsystem of that NQN";
	return vio__fail(EPROTO, "nvme-tcp: %s: the target refused %s for %s with status %u/%#x%s",
			 h->path[h->at_path].name, h->script->what, h->nqn, type, code, why);
}

static int admin_answer(struct host *h, uint16_t status, uint64_t result)
{
	int rc;

	if (status && !h->script->optional)
		return admin_refused(h, status);
	if (status)
		memset(h->reply, 0, sizeof(h->reply));
	rc = h->script->answer(h, result);
	if (rc == -EAGAIN) {
		h->ask_at = vio__host_now() + ADMIN_AGAIN;
		return 0;
	}
	if (rc > 0)
		vio__host_admin_ask(h);
	if (rc)
		return VIO_MIN(rc, 0);
	do
		h->script++;
	while (--h->script_left && h->script->unless && h->script->unless(h));
	if (h->script_left)
		vio__host_admin_ask(h);
	else
		h->script = NULL;
	return 0;
}

static void admin_await_event(struct host *h)
{
	struct host_slot *s = &h->admin.slot[ADMIN_EVENT];

	if (!h->store.ns.events || s->busy)
		return;
	memset(s, 0, sizeof(*s));
	s->cmd = (struct nvme_cmd){ .opcode = nvme_admin_async_event, .flags = NVME_FLAGS_SGL };
	vio__host_link_post(&h->admin, s);
}

static int admin_answered(struct host_link *k, struct host_slot *s, uint16_t status, uint64_t result)
{
	struct host *h = admin_host(k);
	unsigned index = (unsigned)(s - k->slot);

	(void)result;
	if (index == ADMIN_EVENT && status)
		h->store.ns.events = 0; /* it is looked at now and then */
	else if (index == ADMIN_EVENT)
		h->look_at = vio__host_now() + ADMIN_LOOK; /* whatever it is: then the next may come */
	else if (index == h->asking && h->script)
		return admin_answer(h, status, result);
	return 0;
}

int vio__host_admin_init(struct host *h)
{
	h->admin.greeted = admin_greeted;
	h->admin.answered = admin_answered;
	return vio__host_link_init(&h->admin, ADMIN_SLOTS, ADMIN_RX, h->digests);
}

int vio__host_admin_dial(struct host *h)
{
	const struct host_path *p = &h->path[h->at_path];
	int rc;

	vio__host_script_setup(h);
	h->phase = HOST_SETUP;
	h->deadline = vio__host_now() + vio__host_path_patience(h);
	h->look_at = 0;
	rc = vio__host_link_dial(&h->admin, (const struct sockaddr *)&p->addr, p->len);
	return rc && *h->admin.why ? vio__fail(-rc, "nvme-tcp: %s: %s", p->name, h->admin.why) : rc;
}

/* The association is there: what is due from now on. */
static void admin_up(struct host *h, uint64_t now)
{
	h->phase = HOST_UP;
	h->generation++;
	h->up_at = now;
	h->safe_at = 0;
	h->alive_at = h->keep_alive ? now + h->keep_alive * HOST_SECOND / 2 : UINT64_MAX;
	vio__host_path_taken(h, now);
	admin_await_event(h);
}

static int admin_keep_alive(struct host *h, uint64_t now)
{
	struct host_slot *s = &h->admin.slot[ADMIN_ALIVE];

	if (now < h->alive_at)
		return 0;
	if (s->busy && now < h->alive_sent + h->keep_alive * HOST_SECOND) {
		h->alive_at = h->alive_sent + h->keep_alive * HOST_SECOND;
		return 0;
	}
	if (s->busy)
		return vio__fail(ETIMEDOUT, "nvme-tcp: %s: no answer to a keep-alive within %llu s",
				 h->path[h->at_path].name, (unsigned long long)h->keep_alive);
	memset(s, 0, sizeof(*s));
	s->cmd = (struct nvme_cmd){ .opcode = nvme_admin_keep_alive, .flags = NVME_FLAGS_SGL };
	vio__host_link_post(&h->admin, s);
	h->alive_sent = now;
	h->alive_at = now + h->keep_alive * HOST_SECOND / 2;
	if (!h->store.ns.events && !h->look_at)
		h->look_at = now;
	return 0;
}

/* The conversation that makes an association is over: it is the one, or another path is tried. */
static int admin_made(struct host *h, uint64_t now)
{
	if (!vio__host_path_fits(h))
		return vio__fail(EAGAIN, "nvme-tcp: %s: namespace %llu is reached badly (state %u) by it",
				 h->path[h->at_path].name, (unsigned long long)h->nsid, h->ana_state);
	admin_up(h, now);
	return 0;
}

/* What is due while an association is there. */
static int admin_see_to(struct host *h, uint64_t now)
{
	int rc = admin_keep_alive(h, now);

	if (rc || h->script)
		return rc;
	if ((h->move_at && now >= h->move_at) ||
	    (h->knock_at && now >= h->knock_at && vio__host_knock(h, now))) {
		vio__host_path_leave(h);
	} else if (h->look_at && now >= h->look_at) {
		h->look_at = 0;
		h->deadline = now + HOST_PATIENCE;
		vio__host_script_look(h);
	} else if (!h->look_at) {
		admin_await_event(h);
	}
	return 0;
}

static int admin_due(struct host *h)
{
	uint64_t now = vio__host_now();
	int rc = 0;

	if (h->script && now >= h->deadline)
		return vio__fail(ETIMEDOUT, "nvme-tcp: %s: no answer to %s", h->path[h->at_path].name,
				 h->script->what);
	if (h->script && h->ask_at && now >= h->ask_at)
		vio__host_admin_ask(h);
	if (h->phase == HOST_SETUP && !h->script)
		rc = admin_made(h, now);
	if (!rc && h->phase == HOST_UP)
		rc = admin_see_to(h, now);
	return rc ? rc : vio__host_link_push(&h->admin);
}

int vio__host_admin_run(struct host *h)
{
	int rc;

	h->admin.why = "";
	rc = vio__host_link_run(&h->admin, ADMIN_BUDGET);
	if (rc >= 0 && h->admin.state != LINK_NONE)
		rc = admin_due(h);
	if (rc < 0 && *h->admin.why)
		return vio__fail(-rc, "nvme-tcp: %s: %s", h->path[h->at_path].name, h->admin.why);
	return VIO_MIN(rc, 0);
}

uint64_t vio__host_admin_next(const struct host *h)
{
	uint64_t at = UINT64_MAX;

	if (link_has_work(&h->admin))
		return 0;
	if (h->script)
		at = VIO_MIN(h->ask_at ? h->ask_at : UINT64_MAX, h->deadline);
	if (h->phase == HOST_UP) {
		at = VIO_MIN(at, h->alive_at);
		at = VIO_MIN(at, h->look_at && !h->script ? h->look_at : UINT64_MAX);
		at = VIO_MIN(at, h->move_at && !h->script ? h->move_at : UINT64_MAX);
		at = VIO_MIN(at, h->knock_at && !h->script ? h->knock_at : UINT64_MAX);
	}
	return at;
}

/* Until the conversation is over. */
static int admin_converse(struct host *h)
{
	int rc = 0;

	while (!rc && h->script) {
		uint64_t next = vio__host_admin_next(h), now = vio__host_now();

		vio__host_link_wait(&h->admin, next > now ? (int)((next - now) / HOST_MS) + 1 : 0);
		rc = vio__host_admin_run(h);
	}
	return rc;
}

int vio__host_associate(struct host *h)
{
	int rc = 0;

	for (unsigned i = 0; i <= 2 * h->npaths;
	     i++) { /* a round, the best one, and a round if that has gone */
		rc = vio__host_admin_dial(h);
		if (!rc)
			rc = admin_converse(h);
		if (!rc)
			return 0;
		vio__host_link_close(&h->admin);
		h->phase = HOST_NONE;
		h->script = NULL;
		if (!vio__host_path_next(h))
			break;
	}
	return rc;
}

void vio__host_dissociate(struct host *h)
{
	if (h->phase == HOST_UP) {
		h->deadline = vio__host_now() + ADMIN_GOODBYE;
		vio__host_script_leave(h);
		if (!vio__host_link_push(&h->admin))
			admin_converse(h);
	}
	vio__host_link_close(&h->admin);
	h->script = NULL;
	h->phase = HOST_NONE;
	h->move_at = 0;
	vio__host_path_lost(h);
}
