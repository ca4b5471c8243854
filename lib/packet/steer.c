/* SPDX-License-Identifier: MIT */
#include "packet/steer.h"

#include <linux/virtio_net.h>

/* A set lasts as long as a command takes: who is overtaken again and again hardly runs. */
#define STEER_TRIES 8u

static void steer_write(struct steer_set *set, const struct vio_steer *to)
{
	VIO_STORE_RELEASE(&set->types, to->hash_types);
	VIO_STORE_RELEASE(&set->entries, to->entries);
	VIO_STORE_RELEASE(&set->unhashed, to->unhashed);
	vio__packet_rss_key(&set->key, to->key, to->key_len);
	for (unsigned i = 0; i < to->entries; i++)
		VIO_STORE_RELEASE(&set->table[i], to->table[i]);
}

void vio__steer_set(struct steer *s, const struct vio_steer *to)
{
	static const struct vio_steer none;

	steer_write(&s->set[~s->turn & 1], to ? to : &none);
	VIO_STORE_RELEASE(&s->turn, s->turn + 1);
}

static const struct steer_set *steer_now(const struct steer *s, uint32_t *turn)
{
	*turn = VIO_LOAD_ACQUIRE(&s->turn);
	return &s->set[*turn & 1];
}

/* Is what was read what was written together? */
static bool steer_stands(const struct steer *s, uint32_t turn)
{
	return VIO_LIKELY(VIO_LOAD(&s->turn) == turn);
}

static uint32_t steer_hash(const struct steer_set *set, const struct packet *p, const void *head,
			   uint16_t *report)
{
	return vio__packet_rss(p, head, VIO_LOAD_ACQUIRE(&set->types), &set->key, report);
}

uint32_t vio__steer_hash(const struct steer *s, const struct packet *p, const void *head, uint16_t *report)
{
	uint32_t hash = 0, turn;

	for (unsigned i = 0; i < STEER_TRIES; i++) {
		hash = steer_hash(steer_now(s, &turn), p, head, report);
		if (steer_stands(s, turn))
			break;
	}
	return hash;
}

/* Whatever was read, an entry is one of a table. */
static int steer_pair(const struct steer_set *set, const struct packet *p, const void *head)
{
	unsigned entries = VIO_LOAD_ACQUIRE(&set->entries);
	uint16_t report;
	uint32_t hash;

	if (!entries)
		return STEER_NOBODY;
	hash = steer_hash(set, p, head, &report);
	if (report == VIRTIO_NET_HASH_REPORT_NONE)
		return VIO_LOAD_ACQUIRE(&set->unhashed);
	return VIO_LOAD_ACQUIRE(&set->table[hash & (entries - 1)]);
}

int vio__steer_pair(const struct steer *s, const struct packet *p, const void *head)
{
	int pair = STEER_NOBODY;
	uint32_t turn;

	for (unsigned i = 0; i < STEER_TRIES; i++) {
		pair = steer_pair(steer_now(s, &turn), p, head);
		if (steer_stands(s, turn))
			break;
	}
	return pair;
}
