/* SPDX-License-Identifier: MIT */
/* For tests: a host that authenticates, right or wrong as the test wants it. */
#ifndef TESTS_NVME_AUTH_HOST_H
#define TESTS_NVME_AUTH_HOST_H

#include "nvme_host.h"

#include "wire/nvme_dhchap.h"

/* 32 bytes, 00h to 1fh; 32 bytes of 55h. */
#define SECRET "DHHC-1:00:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:"
#define CTRL_SECRET "DHHC-1:00:VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVXP/9dE:"

struct auth_host {
	struct host *h;
	struct dhchap d;
	struct dhchap_key key, ctrl_key;
	uint8_t hashes[3], groups[6];
	unsigned nhashes, ngroups;
	bool mutual;
	uint8_t m[DHCHAP_MESSAGE]; /* the last message received */
};

MAYBE_UNUSED static void auth_host(struct auth_host *a, struct host *h, const char *secret, uint8_t hash,
				   uint8_t group)
{
	*a = (struct auth_host){
		.h = h, .hashes = { hash }, .groups = { group }, .nhashes = 1, .ngroups = 1
	};
	a->d.tid = 0x1234;
	assert_int_equal(vio__dhchap_key(&a->key, secret, HOST_NQN, "test"), 0);
}

static struct nvme_cmd auth_cmd(uint8_t type, uint32_t len)
{
	struct nvme_auth_cmd c = { .opcode = NVME_OPC_FABRICS,
				   .fctype = type,
				   .secp = DHCHAP_SECP,
				   .spsp0 = DHCHAP_SPSP,
				   .spsp1 = DHCHAP_SPSP,
				   .len = len };
	struct nvme_cmd cmd;

	memcpy(&cmd, &c, sizeof(cmd));
	return cmd;
}

/* A message each way: the command's status. */
MAYBE_UNUSED static uint16_t auth_send(struct auth_host *a, const void *m, uint32_t len)
{
	struct nvme_cmd c = auth_cmd(nvme_fabrics_type_auth_send, len);

	return host_put(a->h, &c, m, len);
}

MAYBE_UNUSED static uint16_t auth_receive(struct auth_host *a)
{
	struct nvme_cmd c = auth_cmd(nvme_fabrics_type_auth_receive, sizeof(a->m));

	return host_get(a->h, &c, a->m, sizeof(a->m));
}

/* The message that comes next has this id; a failure, this reason. */
MAYBE_UNUSED static void auth_expect(struct auth_host *a, uint8_t id)
{
	struct dhchap_head head;

	assert_int_equal(auth_receive(a), 0);
	memcpy(&head, a->m, sizeof(head));
	assert_int_equal(head.id, id);
	assert_int_equal(head.type, id >= DHCHAP_FAILURE2 ? DHCHAP_COMMON : DHCHAP_OWN);
	assert_int_equal(head.tid, a->d.tid);
}

MAYBE_UNUSED static void auth_expect_failure(struct auth_host *a, uint8_t why)
{
	struct dhchap_failure f;

	auth_expect(a, DHCHAP_FAILURE1);
	memcpy(&f, a->m, sizeof(f));
	assert_int_equal(f.reason, 1);
	assert_int_equal(f.why, why);
}

MAYBE_UNUSED static uint32_t auth_negotiation(const struct auth_host *a, uint8_t *m)
{
	struct dhchap_negotiate n = { .head = { .id = DHCHAP_NEGOTIATE, .tid = a->d.tid }, .n = 1 };
	struct dhchap_protocol p = { .id = 1,
				     .nhashes = (uint8_t)a->nhashes,
				     .ngroups = (uint8_t)a->ngroups };

	memcpy(p.hashes, a->hashes, sizeof(a->hashes));
	memcpy(p.groups, a->groups, sizeof(a->groups));
	memcpy(m, &n, sizeof(n));
	memcpy(m + sizeof(n), &p, sizeof(p));
	return sizeof(n) + sizeof(p);
}

/* Up to its challenge, which is taken. */
MAYBE_UNUSED static void auth_ask(struct auth_host *a)
{
	uint8_t m[128];
	uint32_t len = auth_negotiation(a, m);
	struct dhchap_challenge c;

	assert_int_equal(auth_send(a, m, len), 0);
	auth_expect(a, DHCHAP_CHALLENGE);
	memcpy(&c, a->m, sizeof(c));
	a->d.hash = c.hash;
	a->d.group = c.group;
	a->d.hash_len = c.hl;
	a->d.s1 = c.seq;
	assert_int_equal(c.hl, vio__dhchap_hash_len(c.hash));
	assert_int_equal(c.dhvlen, vio__dhchap_value_len(c.group));
	assert_int_not_equal(c.seq, 0);
	memcpy(a->d.c1, a->m + sizeof(c), c.hl);
}

/* The right reply to it; its length. */
MAYBE_UNUSED static uint32_t auth_answer(struct auth_host *a, uint8_t *m)
{
	unsigned hl = a->d.hash_len, dhl = vio__dhchap_value_len(a->d.group);
	struct dhchap_reply r = { .head = { .type = DHCHAP_OWN, .id = DHCHAP_REPLY, .tid = a->d.tid },
				  .hl = (uint8_t)hl,
				  .cvalid = a->mutual,
				  .dhvlen = (uint16_t)dhl,
				  .seq = a->mutual ? 77 : 0 };
	uint8_t response[DHCHAP_HASH_MAX];

	memset(m, 0, DHCHAP_MESSAGE);
	if (dhl) {
		assert_int_equal(vio__dhchap_value(&a->d, m + sizeof(r) + 2 * hl), 0);
		assert_int_equal(vio__dhchap_agree(&a->d, a->m + sizeof(struct dhchap_challenge) + hl), 0);
	}
	assert_int_equal(
		vio__dhchap_response(&a->d, &a->key, DHCHAP_HOST, HOST_NQN, HOST_TARGET_NQN, response), 0);
	memcpy(m, &r, sizeof(r));
	memcpy(m + sizeof(r), response, hl);
	memset(a->d.c2, 0xc2, sizeof(a->d.c2));
	a->d.s2 = r.seq;
	if (a->mutual)
		memcpy(m + sizeof(r) + hl, a->d.c2, hl);
	return sizeof(r) + 2 * hl + dhl;
}

/* All of it, as it should be. */
MAYBE_UNUSED static void auth_pass(struct auth_host *a)
{
	struct dhchap_success2 s2 = { .head = {
					      .type = DHCHAP_OWN, .id = DHCHAP_SUCCESS2, .tid = a->d.tid } };
	uint8_t m[DHCHAP_MESSAGE], right[DHCHAP_HASH_MAX];
	struct dhchap_success1 s1;

	auth_ask(a);
	assert_int_equal(auth_send(a, m, auth_answer(a, m)), 0);
	auth_expect(a, DHCHAP_SUCCESS1);
	memcpy(&s1, a->m, sizeof(s1));
	assert_int_equal(s1.hl, a->d.hash_len);
	assert_int_equal(s1.rvalid, a->mutual);
	if (a->mutual) {
		assert_int_equal(vio__dhchap_response(&a->d, &a->ctrl_key, DHCHAP_CTRL, HOST_NQN,
						      HOST_TARGET_NQN, right),
				 0);
		assert_memory_equal(a->m + sizeof(s1), right, s1.hl);
		assert_int_equal(auth_send(a, &s2, sizeof(s2)), 0);
	}
	vio__dhchap_end(&a->d);
	a->d.tid = s2.head.tid;
}

/* Connects, and is told to authenticate; the controller's id. */
MAYBE_UNUSED static uint16_t auth_dial(struct host *h, const struct target *t, uint16_t cntlid, uint16_t qid)
{
	struct host_who w = { .cntlid = cntlid, .qid = qid, .sqsize = 31 };

	host_dial(h, t);
	host_greet(h, 0);
	assert_int_equal(host_connect(h, &w), 0);
	assert_int_equal(h->result >> 16, 2);
	return (uint16_t)h->result;
}

#endif
