/* SPDX-License-Identifier: MIT */
/* Telling a port which of its lanes packets come to. A table is checked here, for all ports. */
#include "backend/backend.h"

#define STEER_KEY 40u	   /* bytes: two IPv6 addresses, two ports, and the last bit's 32 */
#define STEER_TYPES 0x1ffu /* VIRTIO_NET_RSS_HASH_TYPE_*, all nine */

static int steer_check(const struct vio_steer *s, const struct vio_backend_info *i)
{
	if (s->hash_types & ~STEER_TYPES)
		return vio__fail(EINVAL, "steer: hash types 0x%x, expected bits of 0x%x", s->hash_types,
				 STEER_TYPES);
	if (s->key_len > STEER_KEY)
		return vio__fail(EINVAL, "steer: a key of %u bytes, expected up to %u", s->key_len,
				 STEER_KEY);
	if (!vio__is_pow2(s->entries) || s->entries > i->steers)
		return vio__fail(EINVAL, "steer: a table of %u, expected a power of two up to %u", s->entries,
				 i->steers);
	if (s->unhashed >= i->pairs)
		return vio__fail(EINVAL, "steer: pair %u, there are %u", s->unhashed, i->pairs);
	for (unsigned k = 0; k < s->entries; k++)
		if (s->table[k] >= i->pairs)
			return vio__fail(EINVAL, "steer: entry %u names pair %u, there are %u", k,
					 s->table[k], i->pairs);
	return 0;
}

/* The layer that steers, if there is one. */
static struct vio_backend *steer_at(struct vio_backend *b)
{
	for (; b; b = b->next)
		if (b->type->sz > offsetof(struct vio_backend_type, steer) && b->type->steer)
			return b;
	return NULL;
}

int vio_backend_steer(struct vio_backend *b, const struct vio_steer *s)
{
	struct vio_backend_info i = { .sz = sizeof(i) };
	struct vio_backend *at = steer_at(b);
	struct vio_steer o;
	int rc;

	if (!s)
		return at ? at->type->steer(at, NULL) : 0;
	rc = vio__opts(&o, sizeof(o), s, "vio_steer");
	rc = rc ? rc : vio_backend_info(b, &i);
	if (rc)
		return rc;
	if (!at || !i.steers)
		return vio__fail(EOPNOTSUPP, "%s: it can't be told which lane a packet comes to",
				 b->type->name);
	rc = steer_check(&o, &i);
	return rc ? rc : at->type->steer(at, &o);
}
