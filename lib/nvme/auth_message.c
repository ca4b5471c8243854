/* SPDX-License-Identifier: MIT */
/* DH-HMAC-CHAP as the controller has it: what hosts say, and what they are told. */
#include "nvme/auth.h"

/* Whatever it was allowed until now. */
static void auth_fail(struct nv_auth *a, enum dhchap_why why, const char *what)
{
	uint16_t tid = a->d.tid;

	nv_auth_log(a, VIO_LOG_ERROR, what);
	a->step = AUTH_FAILURE;
	a->why = (uint8_t)why;
	a->proven = a->qp->io = false;
	vio__dhchap_end(&a->d);
	a->d.tid = tid;
	nv_auth_time(a);
}

static void auth_proven(struct nv_auth *a)
{
	nv_auth_log(a, VIO_LOG_INFO, a->mutual ? "and we have proved ourselves" : "has proved itself");
	if (!a->proven && !a->qp->qid)
		nv_ctrl_alive(a->qp);
	a->step = AUTH_NEGOTIATE;
	a->proven = true;
	a->qp->io = a->qp->qid;
	vio__dhchap_end(&a->d);
	vio_timer_cancel(a->qp->group->poller, &a->late);
	a->timed = false;
}

/* The strongest of those that both ends take; ids are in that order. -1: none. */
static int auth_choose(const uint8_t *ids, unsigned n, unsigned ours, unsigned max)
{
	unsigned theirs = 0;

	for (unsigned i = 0; i < n; i++)
		if (ids[i] < max)
			theirs |= 1u << ids[i];
	theirs &= ours;
	return theirs ? 31 - __builtin_clz(theirs) : -1;
}

static void auth_agree_on(struct nv_auth *a, const struct dhchap_protocol *p)
{
	int hash, group;

	if (p->nhashes > sizeof(p->hashes) || p->ngroups > sizeof(p->groups)) {
		auth_fail(a, DHCHAP_BAD_PAYLOAD, "offers more than there is room for");
		return;
	}
	hash = auth_choose(p->hashes, p->nhashes, a->hashes, DHCHAP_HASHES);
	group = auth_choose(p->groups, p->ngroups, a->groups, DHCHAP_GROUPS);
	if (hash < 0) {
		auth_fail(a, DHCHAP_NO_HASH, "offers no hash that it may use");
		return;
	}
	if (group < 0) {
		auth_fail(a, DHCHAP_NO_GROUP, "offers no Diffie-Hellman group that it may use");
		return;
	}
	a->d.hash = (uint8_t)hash;
	a->d.hash_len = (uint8_t)vio__dhchap_hash_len(a->d.hash);
	a->d.group = (uint8_t)group;
	a->step = AUTH_CHALLENGE;
}

static void auth_negotiate(struct nv_auth *a, const void *m, uint32_t len)
{
	const struct dhchap_negotiate *n = m;

	vio__dhchap_end(&a->d);
	a->mutual = false;
	nv_auth_time(a);
	if (len < sizeof(*n) || (len - sizeof(*n)) / sizeof(n->protocol[0]) < n->n) {
		auth_fail(a, DHCHAP_BAD_PAYLOAD, "sent less than a NEGOTIATE");
		return;
	}
	a->d.tid = n->head.tid;
	if (n->sc_c) {
		auth_fail(a, DHCHAP_CONCATENATION,
			  "wants a secure channel made of it, which is not supported");
		return;
	}
	for (unsigned i = 0; i < n->n; i++) {
		if (n->protocol[i].id == 1) {
			auth_agree_on(a, &n->protocol[i]);
			return;
		}
	}
	auth_fail(a, DHCHAP_NO_PROTOCOL, "does not offer DH-HMAC-CHAP");
}

/* The host's challenge, if it has one. */
static bool auth_is_asked(struct nv_auth *a, const struct dhchap_reply *m)
{
	unsigned hl = a->d.hash_len;

	if (!m->cvalid)
		return true;
	if (m->cvalid != 1 || !m->seq || !memcmp(m->value + hl, a->d.c1, hl)) {
		auth_fail(a, DHCHAP_BAD_PAYLOAD, "sent a challenge that is none");
		return false;
	}
	if (!a->ctrl_key.len) {
		auth_fail(a, DHCHAP_FAILED, "wants us to prove ourselves, and there is no secret for that");
		return false;
	}
	memcpy(a->d.c2, m->value + hl, hl);
	a->d.s2 = m->seq;
	a->mutual = true;
	return true;
}

static void auth_reply(struct nv_auth *a, const void *data, uint32_t len)
{
	const struct nv_ctrl *c = a->qp->ctrl;
	unsigned hl = a->d.hash_len, dhl = vio__dhchap_value_len(a->d.group);
	const struct dhchap_reply *m = data;
	uint8_t right[DHCHAP_HASH_MAX];
	int rc = 0;

	if (len < sizeof(*m) || m->hl != hl || m->dhvlen != dhl || len < sizeof(*m) + 2 * hl + dhl) {
		auth_fail(a, DHCHAP_BAD_PAYLOAD, "sent a REPLY of the wrong size");
		return;
	}
	if (dhl)
		rc = vio__dhchap_agree(&a->d, m->value + 2 * hl);
	if (rc == -EBADMSG) {
		auth_fail(a, DHCHAP_BAD_PAYLOAD, "sent a Diffie-Hellman value that is out of range");
		return;
	}
	rc = rc ? rc : vio__dhchap_response(&a->d, &a->key, DHCHAP_HOST, c->hostnqn, c->s->nqn, right);
	if (rc || !vio__dhchap_equal(right, m->value, hl))
		auth_fail(a, DHCHAP_FAILED, rc ? "can't be checked" : "does not know its secret");
	else if (auth_is_asked(a, m))
		a->step = AUTH_SUCCESS1;
	vio__dhchap_wipe(right, sizeof(right));
}

void nv_auth_take(struct nv_auth *a, const void *m, uint32_t len)
{
	const struct dhchap_head *head = m;

	if (len < sizeof(*head)) {
		auth_fail(a, DHCHAP_BAD_PAYLOAD, "sent less than a message");
		return;
	}
	if (a->step == AUTH_FAILURE)
		return; /* is to be told first */
	if (head->type == DHCHAP_COMMON && head->id == DHCHAP_NEGOTIATE) {
		auth_negotiate(a, m, len);
		return;
	}
	if (a->step != AUTH_NEGOTIATE && head->tid != a->d.tid) {
		auth_fail(a, DHCHAP_BAD_PAYLOAD, "sent a message of another transaction");
		return;
	}
	if (head->type == DHCHAP_COMMON && head->id == DHCHAP_FAILURE2) {
		auth_fail(a, DHCHAP_FAILED, "says that we have not proved ourselves");
		a->qp->queue->ops->end(a->qp->queue, false);
	} else if (head->type == DHCHAP_OWN && head->id == DHCHAP_REPLY && a->step == AUTH_REPLY) {
		auth_reply(a, m, len);
	} else if (head->type == DHCHAP_OWN && head->id == DHCHAP_SUCCESS2 && a->step == AUTH_SUCCESS2) {
		auth_proven(a);
	} else {
		auth_fail(a, DHCHAP_BAD_MESSAGE, "sent a message that is not due");
	}
}

static uint32_t auth_sequence(struct nv_auth *a)
{
	struct vio_nvme *s = a->qp->ctrl->s;
	uint32_t seq;

	pthread_mutex_lock(&s->lock);
	if (!s->auth_sequence)
		vio__dhchap_random(&s->auth_sequence, sizeof(s->auth_sequence));
	seq = ++s->auth_sequence;
	if (!seq)
		seq = s->auth_sequence = 1;
	pthread_mutex_unlock(&s->lock);
	return seq;
}

static int auth_challenge(struct nv_auth *a, struct dhchap_challenge *m)
{
	struct dhchap *d = &a->d;
	unsigned dhl = vio__dhchap_value_len(d->group);
	int rc = vio__dhchap_random(d->c1, d->hash_len);

	d->s1 = auth_sequence(a);
	*m = (struct dhchap_challenge){ .head = { .type = DHCHAP_OWN, .id = DHCHAP_CHALLENGE, .tid = d->tid },
					.hl = d->hash_len,
					.hash = d->hash,
					.group = d->group,
					.dhvlen = (uint16_t)dhl,
					.seq = d->s1 };
	memcpy(m->value, d->c1, d->hash_len);
	if (!rc && dhl)
		rc = vio__dhchap_value(d, m->value + d->hash_len);
	a->step = AUTH_REPLY;
	return rc;
}

static int auth_success1(struct nv_auth *a, struct dhchap_success1 *m)
{
	const struct nv_ctrl *c = a->qp->ctrl;
	uint8_t response[DHCHAP_HASH_MAX] = { 0 };
	int rc;

	*m = (struct dhchap_success1){ .head = { .type = DHCHAP_OWN, .id = DHCHAP_SUCCESS1, .tid = a->d.tid },
				       .hl = a->d.hash_len };
	if (!a->mutual) {
		auth_proven(a);
		return 0;
	}
	rc = vio__dhchap_response(&a->d, &a->ctrl_key, DHCHAP_CTRL, c->hostnqn, c->s->nqn, response);
	m->rvalid = 1;
	memcpy(m->value, response, a->d.hash_len);
	a->step = AUTH_SUCCESS2;
	return rc;
}

static void auth_failure1(struct nv_auth *a, struct dhchap_failure *m)
{
	*m = (struct dhchap_failure){
		.head = { .type = DHCHAP_COMMON, .id = DHCHAP_FAILURE1, .tid = a->d.tid },
		.reason = 1,
		.why = a->why
	};
	a->qp->queue->ops->end(a->qp->queue, false);
}

static uint32_t auth_room(const struct nv_auth *a)
{
	if (a->step == AUTH_CHALLENGE)
		return (uint32_t)sizeof(struct dhchap_challenge) + a->d.hash_len +
		       vio__dhchap_value_len(a->d.group);
	if (a->step == AUTH_SUCCESS1)
		return (uint32_t)sizeof(struct dhchap_success1) + a->d.hash_len;
	return sizeof(struct dhchap_failure);
}

uint16_t nv_auth_give(struct nv_auth *a, void *m, uint32_t len)
{
	int rc = 0;

	if (len < auth_room(a))
		return NV_NO(NVME_SC_INVALID_FIELD);
	if (a->step == AUTH_CHALLENGE)
		rc = auth_challenge(a, m);
	else if (a->step == AUTH_SUCCESS1)
		rc = auth_success1(a, m);
	else if (a->step != AUTH_FAILURE)
		auth_fail(a, DHCHAP_BAD_MESSAGE, "wants a message that is not due");
	if (rc) {
		memset(m, 0, len);
		auth_fail(a, DHCHAP_FAILED, "can't be checked");
	}
	if (a->step == AUTH_FAILURE)
		auth_failure1(a, m);
	return 0;
}
