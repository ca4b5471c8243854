/* SPDX-License-Identifier: MIT */
/*
 * What a driver has said of receive-side scaling: which packets are hashed, by which key
 * (virtio 1.3, 5.1.6.4.3), and what pair a hash leads to. One thread at a time writes it,
 * any number of threads read it, and nobody waits for anybody: there are two sets, and
 * what is new is written into the one that is not in use. Only a reader that was
 * overtaken twice might see something of both; it finds `turn` changed, and reads again.
 * A set's words are written with release and read with acquire, so that needs no fence.
 */
#ifndef VIO_PACKET_STEER_H
#define VIO_PACKET_STEER_H

#include "packet/packet.h"

#include "base/barrier.h"

#include <virtio-offload/backend.h>

#define STEER_TABLE 128u /* entries */
#define STEER_NOBODY (-1)

struct steer {
	uint32_t turn; /* the last bit: the set in use */
	struct steer_set {
		uint32_t types;	   /* VIRTIO_NET_RSS_HASH_TYPE_*; 0: no packet is hashed */
		uint16_t entries;  /* of table, a power of two; 0: hashes lead nowhere */
		uint16_t unhashed; /* the pair of packets that have none */
		struct packet_rss_key key;
		uint16_t table[STEER_TABLE];
	} set[2];
};

/* to: checked as vio_backend_steer does; it may have no entries. NULL: no packet is hashed. */
void vio__steer_set(struct steer *s, const struct vio_steer *to);

/* Do hashes lead anywhere? */
VIO_INLINE bool steer_leads(const struct steer *s)
{
	return VIO_LOAD(&s->set[VIO_LOAD_ACQUIRE(&s->turn) & 1].entries);
}

/* A frame's hash and *report, as vio__packet_rss has them. */
uint32_t vio__steer_hash(const struct steer *s, const struct packet *p, const void *head, uint16_t *report);

/* A frame's pair, or STEER_NOBODY. */
int vio__steer_pair(const struct steer *s, const struct packet *p, const void *head);

#endif
