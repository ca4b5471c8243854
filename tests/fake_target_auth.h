/* SPDX-License-Identifier: MIT */
/* The fake target's authentication, and its lies about that: see fake_target.h. */
#ifndef TESTS_FAKE_TARGET_AUTH_H
#define TESTS_FAKE_TARGET_AUTH_H

#include "fake_target_pdu.h"

#include "wire/nvme_dhchap.h"

/* 32 bytes, 00h to 1fh; 32 bytes of 55h. */
#define TARGET_SECRET "DHHC-1:00:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:"
#define TARGET_CTRL_SECRET "DHHC-1:00:VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVXP/9dE:"
#define TARGET_HOSTNQN "nqn.2014-08.org.example:me"

enum chap_lie {
	CHAP_HONEST,
	/* in the challenge */
	CHAP_TID,
	CHAP_TYPE,
	CHAP_ORDER,
	CHAP_FAILURE,
	CHAP_HASH,
	CHAP_HASH_LENGTH,
	CHAP_GROUP,
	CHAP_VALUE_SHORT,
	CHAP_VALUE_LONG,
	CHAP_VALUE_0,
	CHAP_VALUE_1,
	CHAP_VALUE_ONES,
	CHAP_SEQUENCE_0,
	CHAP_REFUSED,
	CHAP_EMPTY,
	/* when the host was right */
	CHAP_DENIED,
	CHAP_UNPROVEN,
	CHAP_WRONG,
	CHAP_MIRRORED, /* the host's own response */
	CHAP_AGAIN,    /* the challenge once more */
	CHAPS,
};

static bool target_chap_lies(const struct target_conn *c, enum chap_lie lie)
{
	return TARGET_GET(c->t->chap_lie) == (int)lie && (!c->admin || !c->t->chap_io);
}

static void target_challenge(struct target_conn *c)
{
	struct dhchap *d = &c->chap;
	struct dhchap_challenge m = { .head = { .type = DHCHAP_OWN, .id = DHCHAP_CHALLENGE, .tid = d->tid },
				      .hl = 32,
				      .hash = 1,
				      .group = 1,
				      .dhvlen = 256,
				      .seq = 5 };
	uint8_t *value = (uint8_t *)c->data + sizeof(m) + 32;

	d->hash = d->group = 1;
	d->hash_len = 32;
	d->s1 = 5;
	memset(d->c1, 0xc1, 32);
	m.head.tid ^= target_chap_lies(c, CHAP_TID);
	m.head.type ^= target_chap_lies(c, CHAP_TYPE);
	if (target_chap_lies(c, CHAP_ORDER))
		m.head.id = DHCHAP_SUCCESS1;
	if (target_chap_lies(c, CHAP_HASH))
		m.hash = 4;
	if (target_chap_lies(c, CHAP_HASH_LENGTH))
		m.hl = 255;
	if (target_chap_lies(c, CHAP_GROUP))
		m.group = 6;
	if (target_chap_lies(c, CHAP_VALUE_SHORT))
		m.dhvlen = 255;
	if (target_chap_lies(c, CHAP_VALUE_LONG))
		m.dhvlen = 65535;
	if (target_chap_lies(c, CHAP_SEQUENCE_0))
		m.seq = 0;
	memcpy(c->data, &m, sizeof(m));
	memcpy(c->data + sizeof(m), d->c1, 32);
	assert_int_equal(vio__dhchap_value(d, value), 0);
	if (target_chap_lies(c, CHAP_VALUE_0) || target_chap_lies(c, CHAP_VALUE_1))
		memset(value, 0, 256);
	if (target_chap_lies(c, CHAP_VALUE_1))
		value[255] = 1;
	if (target_chap_lies(c, CHAP_VALUE_ONES))
		memset(value, 0xff, 256);
}

static void target_success1(struct target_conn *c)
{
	struct dhchap_success1 m = {
		.head = { .type = DHCHAP_OWN, .id = DHCHAP_SUCCESS1, .tid = c->chap.tid },
		.hl = 32,
		.rvalid = c->chap.s2 && !target_chap_lies(c, CHAP_UNPROVEN)
	};
	uint8_t response[DHCHAP_HASH_MAX];
	struct dhchap_key key;

	assert_int_equal(vio__dhchap_key(&key, TARGET_CTRL_SECRET, TARGET_NQN, "test"), 0);
	assert_int_equal(
		vio__dhchap_response(&c->chap, &key, DHCHAP_CTRL, TARGET_HOSTNQN, TARGET_NQN, response), 0);
	response[0] ^= target_chap_lies(c, CHAP_WRONG);
	if (target_chap_lies(c, CHAP_MIRRORED))
		memcpy(response, c->heard, 32);
	memcpy(c->data, &m, sizeof(m));
	memcpy(c->data + sizeof(m), response, 32);
}

static void target_failure1(struct target_conn *c, uint8_t why)
{
	struct dhchap_failure m = { .head = { .id = DHCHAP_FAILURE1, .tid = c->chap.tid },
				    .reason = 1,
				    .why = why };

	memcpy(c->data, &m, sizeof(m));
}

/* What the host said: whether its reply is right. */
static bool target_hear(struct target_conn *c)
{
	struct dhchap *d = &c->chap;
	uint8_t right[DHCHAP_HASH_MAX];
	struct dhchap_reply r;
	struct dhchap_key key;

	memcpy(&r, c->data, sizeof(r));
	memcpy(c->heard, c->data + sizeof(r), 32);
	memcpy(d->c2, c->data + sizeof(r) + 32, 32);
	d->s2 = r.cvalid ? r.seq : 0;
	assert_int_equal(r.head.tid, d->tid);
	assert_int_equal(vio__dhchap_agree(d, (uint8_t *)c->data + sizeof(r) + 64), 0);
	assert_int_equal(vio__dhchap_key(&key, TARGET_SECRET, TARGET_HOSTNQN, "test"), 0);
	assert_int_equal(vio__dhchap_response(d, &key, DHCHAP_HOST, TARGET_HOSTNQN, TARGET_NQN, right), 0);
	return !memcmp(right, c->heard, 32);
}

static bool target_auth_send(struct target_conn *c, const struct nvme_cmd *cmd)
{
	struct dhchap_head head;

	if (cmd->sgl.type == NVME_SGL_TRANSPORT && !target_fetch(c, cmd->cid, cmd->sgl.len))
		return false;
	memcpy(&head, c->data, sizeof(head));
	if (head.id == DHCHAP_NEGOTIATE)
		c->chap.tid = head.tid;
	c->said = head.id;
	if (head.id == DHCHAP_REPLY)
		c->right = target_hear(c);
	if (head.id == DHCHAP_SUCCESS2)
		TARGET_ADD(c->t->convinced);
	return target_answer(c, cmd->cid, 0, 0);
}

static bool target_auth_receive(struct target_conn *c, const struct nvme_cmd *cmd)
{
	memset(c->data, 0, cmd->sgl.len);
	if (target_chap_lies(c, CHAP_REFUSED))
		return target_answer(c, cmd->cid, NVME_STATUS(NVME_SC_INVALID_FIELD), 0);
	if (target_chap_lies(c, CHAP_FAILURE))
		target_failure1(c, DHCHAP_NO_GROUP);
	else if (target_chap_lies(c, CHAP_EMPTY))
		;
	else if (c->said == DHCHAP_NEGOTIATE || target_chap_lies(c, CHAP_AGAIN))
		target_challenge(c);
	else if (!c->right || target_chap_lies(c, CHAP_DENIED))
		target_failure1(c, DHCHAP_FAILED);
	else
		target_success1(c);
	return target_send(c, cmd->cid, c->data, cmd->sgl.len);
}

#endif
