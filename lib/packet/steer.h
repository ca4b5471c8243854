/* SPDX-License-Identifier: MIT */
/*
 * What a driver has said of receive-side scaling: which packets are hashed, and by which key (virtio 1.3,
 * 5.1.6.4.3). One thread at a time writes it while any number of threads read it. Nobody waits for anybody:
 * there are two sets, and what is new is written into the one that is not in use. Only a reader that was
 * overtaken twice might see something of both; it finds `turn` changed, and reads again. So that needs no
 * fence, what is in a set is written with release and read with acquire, word by word.
 */
#ifndef VIO_PACKET_STEER_H
#define VIO_PACKET_STEER_H

#include "packet/packet.h"

struct steer {
	uint32_t turn; /* the last bit: the set in use */
	struct steer_set {
		uint32_t types; /* VIRTIO_NET_RSS_HASH_TYPE_*; 0: no packet is hashed */
		struct packet_rss_key key;
	} set[2];
};

/* Packets of these types are hashed, by this key. */
void vio__steer_set(struct steer *s, uint32_t types, const uint8_t *key, unsigned key_len);

/* A frame's hash and *report, as vio__packet_rss has them. */
uint32_t vio__steer_hash(const struct steer *s, const struct packet *p, const void *head, uint16_t *report);

#endif
