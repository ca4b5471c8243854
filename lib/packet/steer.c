/* SPDX-License-Identifier: MIT */
#include "packet/steer.h"

#include "base/barrier.h"

/* A set lasts for as long as it takes to carry out a command; who is overtaken again and again hardly runs.
 */
#define STEER_TRIES 8u

void vio__steer_set(struct steer *s, uint32_t types, const uint8_t *key, unsigned key_len)
{
	struct steer_set *to = &s->set[~s->turn & 1];

	VIO_STORE_RELEASE(&to->types, types);
	vio__packet_rss_key(&to->key, key, key_len);
	VIO_STORE_RELEASE(&s->turn, s->turn + 1);
}

uint32_t vio__steer_hash(const struct steer *s, const struct packet *p, const void *head, uint16_t *report)
{
	uint32_t hash = 0;

	for (unsigned i = 0; i < STEER_TRIES; i++) {
		uint32_t turn = VIO_LOAD_ACQUIRE(&s->turn);
		const struct steer_set *now = &s->set[turn & 1];

		hash = vio__packet_rss(p, head, VIO_LOAD_ACQUIRE(&now->types), &now->key, report);
		if (VIO_LIKELY(VIO_LOAD(&s->turn) == turn))
			break;
	}
	return hash;
}
