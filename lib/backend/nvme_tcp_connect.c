/* SPDX-License-Identifier: MIT */
/* The conversations that a host has with a controller on its admin queue. */
#include "backend/nvme_tcp.h"

#include <endian.h>
#include <stdio.h>

#define CONNECT_ADMIN_ENTRIES 32u
#define CONNECT_CC (1u | 6u << 16 | 4u << 20) /* enabled, entries of 64 and of 16 bytes */
#define CONNECT_SHUTDOWN (1u << 14)

enum { CSTS_READY = 1, CSTS_FAILED = 2 };
enum { REG_CAP = 0x00, REG_CC = 0x14, REG_CSTS = 0x1c };

void vio__host_connect_cmd(struct host_slot *s, struct nvmf_connect_data *d, struct iovec *iov,
			   const struct host *h, uint16_t qid, uint16_t cntlid, uint16_t sqsize)
{
	struct nvme_connect_cmd c = { .opcode = NVME_OPC_FABRICS,
				      .flags = NVME_FLAGS_SGL,
				      .fctype = nvme_fabrics_type_connect,
				      .sgl = { .len = sizeof(*d), .type = NVME_SGL_DATA_OFFSET },
				      .qid = qid,
				      .sqsize = sqsize,
				      .cattr = NVME_CATTR_NO_SQFLOW,
				      .kato = qid ? 0 : (uint32_t)(h->keep_alive * 1000) };

	memset(d, 0, sizeof(*d));
	memcpy(d->hostid, h->hostid, sizeof(h->hostid));
	d->cntlid = htole16(cntlid);
	strncpy(d->subsysnqn, h->nqn, sizeof(d->subsysnqn) - 1);
	strncpy(d->hostnqn, h->hostnqn, sizeof(d->hostnqn) - 1);
	*iov = (struct iovec){ d, sizeof(*d) };
	memcpy(&s->cmd, &c, sizeof(c));
	s->start = (struct host_at){ .iov = iov };
	s->len = sizeof(*d);
	s->write = s->capsule = true;
}

static void connect_ask(struct host *h, struct host_slot *s)
{
	vio__host_connect_cmd(s, &h->hello, &h->hello_iov, h, 0, 0xffff, CONNECT_ADMIN_ENTRIES - 1);
	h->alive_sent = vio__host_now();
}

static int connect_bad(const struct host *h, const char *why)
{
	return vio__fail(EACCES, "nvme-tcp: %s: %s: %s", h->path[h->at_path].name, h->nqn, why);
}

static int connect_got(struct host *h, uint64_t result)
{
	const char *why = vio__host_auth_begin(&h->auth, h, result);

	h->cntlid = (uint16_t)result;
	return why ? connect_bad(h, why) : 0;
}

static bool auth_absent(const struct host *h)
{
	return !h->auth.on;
}

static void auth_ask(struct host *h, struct host_slot *s)
{
	vio__host_auth_ask(&h->auth, s);
}

static int auth_got(struct host *h, uint64_t result)
{
	int rc = vio__host_auth_got(&h->auth, h, 0);

	(void)result;
	return rc < 0 ? connect_bad(h, h->auth.why) : rc;
}

static void property(struct host_slot *s, bool set, unsigned reg, uint64_t value)
{
	struct nvme_property_cmd p = { .opcode = NVME_OPC_FABRICS,
				       .fctype = set ? nvme_fabrics_type_property_set
						     : nvme_fabrics_type_property_get,
				       .flags = NVME_FLAGS_SGL,
				       .attrib = reg == REG_CAP,
				       .offset = reg,
				       .value = value };

	memcpy(&s->cmd, &p, sizeof(p));
}

static void cap_ask(struct host *h, struct host_slot *s)
{
	(void)h;
	property(s, false, REG_CAP, 0);
}

static int cap_got(struct host *h, uint64_t result)
{
	h->cap = result;
	return 0;
}

static void enable_ask(struct host *h, struct host_slot *s)
{
	(void)h;
	property(s, true, REG_CC, CONNECT_CC);
}

static void disable_ask(struct host *h, struct host_slot *s)
{
	(void)h;
	property(s, true, REG_CC, CONNECT_CC & ~1u);
}

static void shutdown_ask(struct host *h, struct host_slot *s)
{
	(void)h;
	property(s, true, REG_CC, CONNECT_CC | CONNECT_SHUTDOWN);
}

static int just_so(struct host *h, uint64_t result)
{
	(void)h, (void)result;
	return 0;
}

static void status_ask(struct host *h, struct host_slot *s)
{
	(void)h;
	property(s, false, REG_CSTS, 0);
}

static int ready_got(struct host *h, uint64_t csts)
{
	if (csts & CSTS_FAILED)
		return vio__fail(EIO, "nvme-tcp: %s: the controller says that it has failed",
				 h->path[h->at_path].name);
	return csts & CSTS_READY ? 0 : -EAGAIN;
}

static int stopped_got(struct host *h, uint64_t csts)
{
	(void)h;
	return csts & CSTS_READY ? -EAGAIN : 0;
}

void vio__host_reply_into(struct host *h, struct host_slot *s)
{
	h->reply_iov = (struct iovec){ h->reply, sizeof(h->reply) };
	s->start = (struct host_at){ .iov = &h->reply_iov };
	s->len = sizeof(h->reply);
	s->cmd.flags = NVME_FLAGS_SGL;
	s->cmd.sgl = (struct nvme_sgl){ .len = sizeof(h->reply), .type = NVME_SGL_TRANSPORT };
}

static void identify(struct host *h, struct host_slot *s, uint32_t nsid, uint32_t cns)
{
	s->cmd = (struct nvme_cmd){ .opcode = nvme_admin_identify, .nsid = nsid, .cdw10 = cns };
	vio__host_reply_into(h, s);
}

static void controller_ask(struct host *h, struct host_slot *s)
{
	identify(h, s, 0, NVME_IDENTIFY_CNS_CTRL);
}

static int controller_got(struct host *h, uint64_t result)
{
	(void)result;
	h->seen = (struct host_store){ 0 };
	h->ana_state = 0;
	return vio__host_see_controller(h, (const struct nvme_id_ctrl *)h->reply);
}

static void namespace_ask(struct host *h, struct host_slot *s)
{
	identify(h, s, (uint32_t)h->nsid, NVME_IDENTIFY_CNS_NS);
}

static int namespace_got(struct host *h, uint64_t result)
{
	(void)result;
	return vio__host_see_namespace(h, (const struct nvme_id_ns *)h->reply);
}

static void ids_ask(struct host *h, struct host_slot *s)
{
	identify(h, s, (uint32_t)h->nsid, NVME_IDENTIFY_CNS_NS_DESC_LIST);
}

static int ids_got(struct host *h, uint64_t result)
{
	(void)result;
	vio__host_see_ids(h, (const uint8_t *)h->reply, sizeof(h->reply));
	return 0;
}

static void queues_ask(struct host *h, struct host_slot *s)
{
	uint32_t n = (uint32_t)h->queues - 1;

	s->cmd = (struct nvme_cmd){ .opcode = nvme_admin_set_features,
				    .flags = NVME_FLAGS_SGL,
				    .cdw10 = NVME_FEAT_FID_NUM_QUEUES,
				    .cdw11 = n | n << 16 };
}

static int queues_got(struct host *h, uint64_t result)
{
	uint32_t sq = (result & 0xffff) + 1, cq = (result >> 16 & 0xffff) + 1;

	h->seen.queues = (uint16_t)VIO_MIN(VIO_MIN(sq, cq), (uint32_t)h->queues);
	return 0;
}

static void events_ask(struct host *h, struct host_slot *s)
{
	s->cmd = (struct nvme_cmd){ .opcode = nvme_admin_set_features,
				    .flags = NVME_FLAGS_SGL,
				    .cdw10 = NVME_FEAT_FID_ASYNC_EVENT,
				    .cdw11 = h->seen.ns.events };
}

/* Reading it is what lets the next event come. */
static void changes_ask(struct host *h, struct host_slot *s)
{
	s->cmd = (struct nvme_cmd){ .opcode = nvme_admin_get_log_page,
				    .nsid = NVME_NSID_ALL,
				    .cdw10 = NVME_LOG_LID_CHANGED_NS | (sizeof(h->reply) / 4 - 1) << 16 };
	vio__host_reply_into(h, s);
}

/* The last answer of a conversation about the namespace, which then is as it was told. */
static int learnt(struct host *h)
{
	int rc = vio__host_recognize(h);

	if (rc)
		return rc;
	h->store = h->seen;
	h->known = true;
	return 0;
}

static int events_got(struct host *h, uint64_t result)
{
	(void)result;
	return learnt(h);
}

static int look_got(struct host *h, uint64_t result)
{
	(void)result;
	h->seen = h->store;
	return vio__host_see_namespace(h, (const struct nvme_id_ns *)h->reply);
}

static int look_ids_got(struct host *h, uint64_t result)
{
	(void)result;
	vio__host_see_ids(h, (const uint8_t *)h->reply, sizeof(h->reply));
	return learnt(h);
}

static const struct host_step script_setup[] = {
	{ "Connect", connect_ask, connect_got, false, NULL },
	{ "authentication", auth_ask, auth_got, false, auth_absent },
	{ "Property Get of CAP", cap_ask, cap_got, false, NULL },
	{ "Property Set of CC", enable_ask, just_so, false, NULL },
	{ "Property Get of CSTS", status_ask, ready_got, false, NULL },
	{ "Identify Controller", controller_ask, controller_got, false, NULL },
	{ "Identify Namespace", namespace_ask, namespace_got, false, NULL },
	{ "Identify Namespace Identification", ids_ask, ids_got, true, NULL },
	{ "Set Features of Number of Queues", queues_ask, queues_got, false, NULL },
	{ "Set Features of Asynchronous Events", events_ask, events_got, true, NULL },
	{ "Get Log Page of Asymmetric Namespace Access", vio__host_ana_ask, vio__host_ana_got, false,
	  vio__host_ana_absent },
};

static const struct host_step script_look[] = {
	{ "Get Log Page of Changed Namespaces", changes_ask, just_so, true, NULL },
	{ "Identify Namespace", namespace_ask, look_got, false, NULL },
	{ "Identify Namespace Identification", ids_ask, look_ids_got, true, NULL },
	{ "Get Log Page of Asymmetric Namespace Access", vio__host_ana_ask, vio__host_ana_looked, false,
	  vio__host_ana_absent },
};

static const struct host_step script_reset[] = {
	{ "Property Set of CC", disable_ask, just_so, false, NULL },
	{ "Property Get of CSTS", status_ask, stopped_got, false, NULL },
};

static const struct host_step script_leave[] = {
	{ "Property Set of CC", shutdown_ask, just_so, true, NULL },
};

static void script_take(struct host *h, const struct host_step *s, size_t n, unsigned slot)
{
	h->script = s;
	h->script_left = (unsigned)n;
	h->asking = slot;
	h->ask_at = 0;
	h->ana_at = 0;
}

void vio__host_script_setup(struct host *h)
{
	script_take(h, script_setup, VIO_ARRAY_SIZE(script_setup), ADMIN_ASK);
}

void vio__host_script_look(struct host *h)
{
	script_take(h, script_look, VIO_ARRAY_SIZE(script_look), ADMIN_ASK);
	vio__host_admin_ask(h);
}

/* In a slot of its own: a question of the last conversation may never be answered. */
void vio__host_script_reset(struct host *h)
{
	script_take(h, script_reset, VIO_ARRAY_SIZE(script_reset), ADMIN_STOP);
	vio__host_admin_ask(h);
}

void vio__host_script_leave(struct host *h)
{
	script_take(h, script_leave, VIO_ARRAY_SIZE(script_leave), ADMIN_STOP);
	vio__host_admin_ask(h);
}
