/* SPDX-License-Identifier: MIT */
/* A restored state and an inflight region that a predecessor may have left, in any shape; crashes on the way.
 */
#include "queue/inflight.h"
#include "queue_play.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void state_entry(struct play *p, unsigned i)
{
	struct packed_inflight *k = (void *)play_region;
	struct split_inflight *s = (void *)play_region;
	uint8_t flags = play_byte(p);
	struct play_desc d;

	if (!p->packed) {
		s->desc[i].inflight = flags & 1;
		s->desc[i].next = flags & 2 ? (uint16_t)play_uint(p, 2) : play_byte(p) % p->size;
		s->desc[i].counter = play_byte(p);
		return;
	}
	d = play_desc(p);
	k->desc[i] = (struct packed_entry){ .inflight = flags & 1,
					    .num = flags & 2 ? (uint16_t)play_uint(p, 2) : 1 + flags / 64,
					    .next = (uint16_t)(i + 1),
					    .last = play_byte(p),
					    .counter = flags,
					    .id = d.other,
					    .flags = d.flags,
					    .len = d.len,
					    .addr = d.addr };
}

/* A region of the right version and size, and whatever the input says beside. */
static void state_region(struct play *p)
{
	struct packed_inflight *k = (void *)play_region;
	struct split_inflight *s = (void *)play_region;
	uint8_t kind = play_byte(p);
	unsigned n = play_byte(p) % p->size;

	memset(play_region, 0, sizeof(play_region));
	if (kind & 1)
		return; /* new */
	s->version = k->version = kind & 2 ? play_byte(p) : TRACK_VERSION;
	s->size = k->size = (uint16_t)(kind & 4 ? play_byte(p) : p->size);
	for (unsigned i = 0; i < n; i++)
		state_entry(p, i);
	if (p->packed) {
		k->free_head = play_byte(p);
		k->old_free_head = kind & 8 ? k->free_head : play_byte(p);
		k->at.used_idx = play_byte(p);
		k->at.old_used_idx = kind & 16 ? k->at.used_idx : play_byte(p);
		k->at.used_wrap = kind >> 7;
		k->at.old_used_wrap = kind >> 6 & 1;
	} else {
		s->last_batch = play_byte(p);
		s->used_idx = play_byte(p);
		((struct vring_used *)(play_base + PLAY_DEVICE))->idx = kind & 8 ? s->used_idx : play_byte(p);
	}
}

static bool state_open(struct play *p, const struct vio_queue_state *state)
{
	struct vio_queue_opts o = play_opts(p);
	int rc;

	o.state = state;
	if (p->inflight) {
		o.inflight = play_region;
		o.inflight_size = sizeof(play_region);
	}
	rc = vio_queue_new(&p->q, &o);
	PLAY_CHECK(rc ? !p->q && vio_errmsg()[0] : !!p->q);
	return !rc;
}

/* Steps, then a crash: what was taken is forgotten, and the next server reads what is there. */
static bool state_life(struct play *p)
{
	for (unsigned n = play_byte(p); n && p->at < p->end; n--)
		play_step(p);
	vio_queue_free(p->q);
	p->ntaken = p->oldest_given = 0;
	return state_open(p, NULL);
}

static void state_play(struct play *p)
{
	struct vio_queue_state state = { 0 };
	uint8_t kind = play_byte(p);

	p->inflight = kind & 1;
	if (p->inflight)
		state_region(p);
	state.avail_idx = kind & 2 ? (uint16_t)play_uint(p, 2) : play_byte(p);
	state.used_idx = kind & 4 ? (uint16_t)play_uint(p, 2) : state.avail_idx;
	state.avail_wrap = kind & 8 ? play_byte(p) : 1;
	state.used_wrap = kind & 16 ? play_byte(p) : 1;
	p->avail_idx = state.avail_idx % p->size;
	if (!state_open(p, kind & 32 ? NULL : &state))
		return;
	for (unsigned lives = 1 + kind / 64; lives; lives--)
		if (!state_life(p))
			return;
	play_end(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct play p = { .at = data, .end = data + size };

	play_begin();
	play_choose(&p, play_byte(&p) & 1);
	state_play(&p);
	return 0;
}
