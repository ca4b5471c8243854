/* SPDX-License-Identifier: MIT */
/* What Reservation Register, Acquire and Release do to a namespace's state. */
#include "nvme/resv.h"

#define CONFLICT NV_NO(NVME_SC_RESERVATION_CONFLICT)
#define INVALID NV_NO(NVME_SC_INVALID_FIELD)
#define RESV_ACTION(c) ((c)->cdw10 & 7)
#define RESV_IEKEY 8u
#define RESV_TYPE(c) ((c)->cdw10 >> 8 & 0xff)

enum { REGISTER, UNREGISTER, REPLACE };
enum { ACQUIRE, PREEMPT, PREEMPT_AND_ABORT };
enum { RELEASE, CLEAR };

unsigned resv_find(const struct resv_state *s, const uint8_t id[16])
{
	for (unsigned i = 0; i < s->n; i++)
		if (!memcmp(s->host[i].id, id, sizeof(s->host[i].id)))
			return i;
	return RESV_NOBODY;
}

bool resv_for_all(uint8_t type)
{
	return type == NVME_RESERVATION_RTYPE_WEAR || type == NVME_RESERVATION_RTYPE_EAAR;
}

bool resv_holds(const struct resv_state *s, unsigned host)
{
	if (!s->type || host == RESV_NOBODY)
		return false;
	return resv_for_all(s->type) || s->holder == host;
}

bool resv_may(const struct resv_state *s, unsigned host, bool write)
{
	switch (s->type) {
	case NVME_RESERVATION_RTYPE_WE:
		return !write || resv_holds(s, host);
	case NVME_RESERVATION_RTYPE_EA:
		return resv_holds(s, host);
	case NVME_RESERVATION_RTYPE_WERO:
	case NVME_RESERVATION_RTYPE_WEAR:
		return !write || host != RESV_NOBODY;
	case NVME_RESERVATION_RTYPE_EARO:
	case NVME_RESERVATION_RTYPE_EAAR:
		return host != RESV_NOBODY;
	default:
		return true;
	}
}

static void note(struct resv_notes *notes, const uint8_t id[16], uint8_t type)
{
	unsigned i = 0;

	while (i < notes->n && memcmp(notes->to[i].id, id, sizeof(notes->to[i].id)))
		i++;
	if (i == RESV_HOSTS)
		return;
	if (i == notes->n) {
		notes->n++;
		memcpy(notes->to[i].id, id, sizeof(notes->to[i].id));
		notes->to[i].types = 0;
	}
	notes->to[i].types |= type;
}

/* All registrants but one, which RESV_NOBODY is not. */
static void note_others(const struct resv_state *s, unsigned but, uint8_t type, struct resv_notes *notes)
{
	for (unsigned i = 0; i < s->n; i++)
		if (i != but)
			note(notes, s->host[i].id, type);
}

static void resv_end(struct resv_state *s)
{
	s->type = 0;
	s->holder = RESV_NOBODY;
}

static void resv_remove(struct resv_state *s, unsigned host)
{
	s->n--;
	memmove(&s->host[host], &s->host[host + 1], (s->n - host) * sizeof(s->host[0]));
	if (s->holder != RESV_NOBODY && s->holder > host)
		s->holder--;
}

/* Types that let other registrants in are worth telling them of. */
static void resv_let_go(struct resv_state *s, unsigned host, struct resv_notes *notes)
{
	bool exclusive = s->type == NVME_RESERVATION_RTYPE_WE || s->type == NVME_RESERVATION_RTYPE_EA;

	if (!exclusive)
		note_others(s, host, RESV_NOTE_RELEASED, notes);
	resv_end(s);
}

static uint16_t resv_add(struct resv_state *s, const struct resv_cmd *c, unsigned host)
{
	if (host != RESV_NOBODY)
		return s->host[host].key == c->other ? 0 : CONFLICT;
	if (s->n == RESV_HOSTS)
		return CONFLICT;
	memcpy(s->host[s->n].id, c->host, sizeof(s->host[0].id));
	s->host[s->n++].key = c->other;
	return 0;
}

static void resv_unregister(struct resv_state *s, unsigned host, struct resv_notes *notes)
{
	if (resv_holds(s, host) && (!resv_for_all(s->type) || s->n == 1))
		resv_let_go(s, host, notes);
	resv_remove(s, host);
}

static uint16_t resv_persist(struct resv_state *s, uint32_t cdw10)
{
	switch (cdw10 >> 30) {
	case 0:
		return 0;
	case 2:
		s->persists = false;
		return 0;
	case 3:
		s->persists = true;
		return 0;
	default:
		return INVALID;
	}
}

uint16_t resv_register(struct resv_state *s, const struct resv_cmd *c, struct resv_notes *notes)
{
	unsigned host = resv_find(s, c->host);
	uint16_t status = 0;

	if (RESV_ACTION(c) > REPLACE)
		return INVALID;
	if (RESV_ACTION(c) != REGISTER &&
	    (host == RESV_NOBODY || (!(c->cdw10 & RESV_IEKEY) && s->host[host].key != c->key)))
		return CONFLICT;
	if (RESV_ACTION(c) == REGISTER)
		status = resv_add(s, c, host);
	else if (RESV_ACTION(c) == UNREGISTER)
		resv_unregister(s, host, notes);
	else
		s->host[host].key = c->other;
	s->gen++;
	return status ? status : resv_persist(s, c->cdw10);
}

static void resv_take(struct resv_state *s, unsigned host, uint8_t type)
{
	s->type = type;
	s->holder = (uint16_t)(resv_for_all(type) ? RESV_NOBODY : host);
}

static uint16_t resv_acquire_plain(struct resv_state *s, unsigned host, uint8_t type)
{
	if (!s->type)
		resv_take(s, host, type);
	return resv_holds(s, host) && s->type == type ? 0 : CONFLICT;
}

/* Hosts that have the key, or all, but not the one that says so; how many. */
static unsigned resv_evict(struct resv_state *s, const uint8_t *me, bool all, uint64_t key,
			   struct resv_notes *notes)
{
	unsigned n = 0;

	for (unsigned i = s->n; i--;) {
		if (!memcmp(s->host[i].id, me, sizeof(s->host[i].id)) || (!all && s->host[i].key != key))
			continue;
		note(notes, s->host[i].id, RESV_NOTE_REGISTRATION_PREEMPTED);
		resv_remove(s, i);
		n++;
	}
	return n;
}

/* The reservation is another's from now on, or of another type: those who stay registered hear of it. */
static void resv_succeed(struct resv_state *s, const struct resv_cmd *c, uint8_t was,
			 struct resv_notes *notes)
{
	unsigned me = resv_find(s, c->host);

	resv_take(s, me, (uint8_t)RESV_TYPE(c));
	if (was != s->type)
		note_others(s, me, RESV_NOTE_RELEASED, notes);
}

static uint16_t resv_preempt(struct resv_state *s, const struct resv_cmd *c, struct resv_notes *notes)
{
	bool for_all = resv_for_all(s->type), all = for_all && !c->other;
	bool holder = s->type && !for_all && s->host[s->holder].key == c->other;
	bool mine = s->host[resv_find(s, c->host)].key == c->other;
	uint8_t was = s->type;

	if (!c->other && !for_all && !holder)
		return INVALID;
	if (holder && memcmp(s->host[s->holder].id, c->host, 16))
		note(notes, s->host[s->holder].id, RESV_NOTE_PREEMPTED);
	if (holder || all)
		resv_end(s);
	if (!resv_evict(s, c->host, all, c->other, notes) && !holder && !all && !mine)
		return CONFLICT;
	if (holder || all)
		resv_succeed(s, c, was, notes);
	s->gen++;
	return 0;
}

/* The registrant that may go on, or RESV_NOBODY. */
static unsigned resv_registrant(const struct resv_state *s, const struct resv_cmd *c)
{
	unsigned host = resv_find(s, c->host);

	return host != RESV_NOBODY && s->host[host].key == c->key ? host : RESV_NOBODY;
}

uint16_t resv_acquire(struct resv_state *s, const struct resv_cmd *c, struct resv_notes *notes)
{
	unsigned host = resv_registrant(s, c);
	uint32_t type = RESV_TYPE(c);

	if (RESV_ACTION(c) > PREEMPT_AND_ABORT || c->cdw10 & RESV_IEKEY || !type ||
	    type > NVME_RESERVATION_RTYPE_EAAR)
		return INVALID;
	if (host == RESV_NOBODY)
		return CONFLICT;
	return RESV_ACTION(c) == ACQUIRE ? resv_acquire_plain(s, host, (uint8_t)type)
					 : resv_preempt(s, c, notes);
}

static void resv_clear(struct resv_state *s, unsigned host, struct resv_notes *notes)
{
	note_others(s, host, RESV_NOTE_PREEMPTED, notes);
	resv_end(s);
	s->n = 0;
	s->gen++;
}

uint16_t resv_release(struct resv_state *s, const struct resv_cmd *c, struct resv_notes *notes)
{
	unsigned host = resv_registrant(s, c);

	if (RESV_ACTION(c) > CLEAR || c->cdw10 & RESV_IEKEY)
		return INVALID;
	if (host == RESV_NOBODY)
		return CONFLICT;
	if (RESV_ACTION(c) == CLEAR)
		resv_clear(s, host, notes);
	else if (resv_holds(s, host) && s->type != RESV_TYPE(c))
		return INVALID;
	else if (resv_holds(s, host))
		resv_let_go(s, host, notes);
	return 0;
}
