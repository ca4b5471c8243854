/* SPDX-License-Identifier: MIT */
/*
 * A queue that has to be authenticated (NVMe Base 2.0, 8.13): the host's part of
 * DH-HMAC-CHAP. A conversation of commands in one slot, each sent when the one before
 * was answered; all hashes and groups are offered, and the target chooses.
 */
#include "backend/nvme_tcp.h"

enum auth_step {
	AUTH_NEGOTIATE, /* sent, as REPLY and SUCCESS2 */
	AUTH_CHALLENGE,
	AUTH_REPLY,
	AUTH_SUCCESS1,
	AUTH_SUCCESS2,
};

int vio__host_secrets(struct host *h, const char *file, const char *ctrl_file)
{
	int rc;

	if (!file && !ctrl_file)
		return 0;
	if (!file)
		return vio__fail(EINVAL, "nvme-tcp: dhchap-ctrl=%s without dhchap=FILE, expected both",
				 ctrl_file);
	if (!h->hostnqn)
		return vio__fail(EINVAL, "nvme-tcp: dhchap=%s needs hostnqn=NQN, whose secret it is", file);
	rc = vio__dhchap_key_file(&h->key, file, h->hostnqn, "nvme-tcp: dhchap");
	if (!rc && ctrl_file)
		rc = vio__dhchap_key_file(&h->ctrl_key, ctrl_file, h->nqn, "nvme-tcp: dhchap-ctrl");
	return rc;
}

const char *vio__host_auth_begin(struct host_auth *a, const struct host *h, uint64_t result)
{
	vio__dhchap_end(&a->d);
	a->on = false;
	if (!(result & DHCHAP_AUTHREQ))
		return h->ctrl_key.len ? "the target does not authenticate, which dhchap-ctrl= asks for"
				       : NULL;
	if (result & DHCHAP_AUTHREQ & ~DHCHAP_ATR)
		return "the target wants a secure channel, which is not supported";
	if (!h->key.len)
		return "the target wants its hosts to authenticate: dhchap=FILE says the secret";
	a->on = true;
	a->step = AUTH_NEGOTIATE;
	return vio__dhchap_random(&a->d.tid, sizeof(a->d.tid)) ? "OpenSSL has no random numbers" : NULL;
}

static uint32_t auth_negotiate(struct host_auth *a)
{
	struct dhchap_negotiate n = { .head = { .id = DHCHAP_NEGOTIATE, .tid = a->d.tid }, .n = 1 };
	struct dhchap_protocol p = { .id = 1,
				     .nhashes = DHCHAP_HASHES - 1,
				     .ngroups = DHCHAP_GROUPS,
				     .hashes = { 1, 2, 3 },
				     .groups = { 0, 1, 2, 3, 4, 5 } };

	memcpy(a->message, &n, sizeof(n));
	memcpy(a->message + sizeof(n), &p, sizeof(p));
	return sizeof(n) + sizeof(p);
}

static uint32_t auth_success2(struct host_auth *a)
{
	struct dhchap_success2 m = { .head = { .type = DHCHAP_OWN, .id = DHCHAP_SUCCESS2, .tid = a->d.tid } };

	memcpy(a->message, &m, sizeof(m));
	return sizeof(m);
}

void vio__host_auth_ask(struct host_auth *a, struct host_slot *s)
{
	bool receive = a->step == AUTH_CHALLENGE || a->step == AUTH_SUCCESS1;
	uint32_t len = a->step == AUTH_NEGOTIATE  ? auth_negotiate(a)
		       : a->step == AUTH_REPLY	  ? a->len
		       : a->step == AUTH_SUCCESS2 ? auth_success2(a)
						  : (uint32_t)sizeof(a->message);
	struct nvme_auth_cmd c = {
		.opcode = NVME_OPC_FABRICS,
		.flags = NVME_FLAGS_SGL,
		.fctype = receive ? nvme_fabrics_type_auth_receive : nvme_fabrics_type_auth_send,
		.sgl = { .len = len, .type = receive ? NVME_SGL_TRANSPORT : NVME_SGL_DATA_OFFSET },
		.secp = DHCHAP_SECP,
		.spsp0 = DHCHAP_SPSP,
		.spsp1 = DHCHAP_SPSP,
		.len = len
	};

	memset(s, 0, sizeof(*s));
	if (receive)
		memset(a->message, 0, sizeof(a->message));
	memcpy(&s->cmd, &c, sizeof(c));
	a->iov = (struct iovec){ a->message, len };
	s->start = (struct host_at){ .iov = &a->iov };
	s->len = len;
	s->write = s->capsule = !receive; /* fabrics commands may have 8 KiB inside, wherever */
}

static int auth_bad(struct host_auth *a, const char *why)
{
	a->why = why;
	a->on = false;
	vio__dhchap_end(&a->d);
	return -EACCES;
}

static const char *auth_refusal(uint8_t why)
{
	switch (why) {
	case DHCHAP_FAILED:
		return "the target does not accept our secret, dhchap=";
	case DHCHAP_NO_HASH:
		return "the target has no hash that we have";
	case DHCHAP_NO_GROUP:
		return "the target has no Diffie-Hellman group that we have";
	default:
		return "the target ended the authentication";
	}
}

/* Whether the message is the one that is due. */
static bool auth_is(struct host_auth *a, enum dhchap_id id)
{
	struct dhchap_failure f;

	memcpy(&f, a->message, sizeof(f));
	if (f.head.type == DHCHAP_OWN && f.head.id == id && f.head.tid == a->d.tid)
		return true;
	auth_bad(a, f.head.type == DHCHAP_COMMON && f.head.id == DHCHAP_FAILURE1
			    ? auth_refusal(f.why)
			    : "the target sent a message that is not due");
	return false;
}

/* Our reply in place of the challenge. -EBADMSG: its value is out of range. */
static int auth_reply(struct host_auth *a, const struct host *h, const uint8_t *value)
{
	struct dhchap *d = &a->d;
	unsigned hl = d->hash_len, dhl = vio__dhchap_value_len(d->group);
	uint8_t ours[DHCHAP_VALUE_MAX], *at = a->message + sizeof(struct dhchap_reply);
	struct dhchap_reply m = { .head = { .type = DHCHAP_OWN, .id = DHCHAP_REPLY, .tid = d->tid },
				  .hl = (uint8_t)hl,
				  .cvalid = h->ctrl_key.len > 0,
				  .dhvlen = (uint16_t)dhl };
	int rc = 0;

	if (dhl)
		rc = vio__dhchap_value(d, ours);
	if (!rc && dhl)
		rc = vio__dhchap_agree(d, value);
	if (!rc && m.cvalid)
		rc = vio__dhchap_random(d->c2, hl);
	if (!rc && m.cvalid)
		rc = vio__dhchap_random(&d->s2, sizeof(d->s2));
	if (m.cvalid)
		d->s2 |= 1; /* 0 would say that there is none */
	m.seq = d->s2;
	memset(a->message, 0, sizeof(a->message));
	memcpy(a->message, &m, sizeof(m));
	rc = rc ? rc : vio__dhchap_response(d, &h->key, DHCHAP_HOST, h->hostnqn, h->nqn, at);
	memcpy(at + hl, d->c2, hl);
	if (dhl)
		memcpy(at + 2 * hl, ours, dhl);
	a->len = (uint32_t)sizeof(m) + 2 * hl + dhl;
	return rc;
}

static int auth_challenged(struct host_auth *a, const struct host *h)
{
	struct dhchap_challenge m;
	uint8_t value[DHCHAP_VALUE_MAX];
	unsigned hl;
	int rc;

	if (!auth_is(a, DHCHAP_CHALLENGE))
		return -EACCES;
	memcpy(&m, a->message, sizeof(m));
	hl = vio__dhchap_hash_len(m.hash);
	if (!hl || m.hl != hl || m.group >= DHCHAP_GROUPS || m.dhvlen != vio__dhchap_value_len(m.group) ||
	    !m.seq)
		return auth_bad(a, "the target sent a challenge that is none");
	a->d.hash = m.hash;
	a->d.hash_len = (uint8_t)hl;
	a->d.group = m.group;
	a->d.s1 = m.seq;
	memcpy(a->d.c1, a->message + sizeof(m), hl);
	memcpy(value, a->message + sizeof(m) + hl, m.dhvlen);
	rc = auth_reply(a, h, value);
	if (rc)
		return auth_bad(a, rc == -EBADMSG ? "the target's Diffie-Hellman value is out of range"
						  : "OpenSSL can't calculate the answer");
	return 1;
}

/* 0: it is over; otherwise that has to be said. */
static int auth_succeeded(struct host_auth *a, const struct host *h)
{
	struct dhchap_success1 m;
	uint8_t right[DHCHAP_HASH_MAX];
	bool proven;
	int rc;

	if (!auth_is(a, DHCHAP_SUCCESS1))
		return -EACCES;
	memcpy(&m, a->message, sizeof(m));
	if (!h->ctrl_key.len)
		return 0;
	if (m.hl != a->d.hash_len || m.rvalid != 1)
		return auth_bad(a, "the target does not prove who it is, which dhchap-ctrl= asks for");
	rc = vio__dhchap_response(&a->d, &h->ctrl_key, DHCHAP_CTRL, h->hostnqn, h->nqn, right);
	proven = !rc && vio__dhchap_equal(right, a->message + sizeof(m), m.hl);
	vio__dhchap_wipe(right, sizeof(right));
	return proven ? 1 : auth_bad(a, "the target does not know the secret of dhchap-ctrl=");
}

int vio__host_auth_got(struct host_auth *a, const struct host *h, uint16_t status)
{
	int rc = 1;

	if (status)
		return auth_bad(a, "the target refused a command of the authentication");
	if (a->step == AUTH_CHALLENGE)
		rc = auth_challenged(a, h);
	else if (a->step == AUTH_SUCCESS1)
		rc = auth_succeeded(a, h);
	else if (a->step == AUTH_SUCCESS2)
		rc = 0;
	if (rc > 0)
		a->step++;
	if (!rc)
		vio__host_auth_end(a);
	return rc;
}

void vio__host_auth_end(struct host_auth *a)
{
	a->on = false;
	vio__dhchap_end(&a->d);
}
