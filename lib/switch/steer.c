/* SPDX-License-Identifier: MIT */
#include "switch/steer.h"

_Static_assert(SW_PAIRS <= SW_NO_PAIR, "a pair has its place in a frame");

/* It stays until the port goes: what is said next is written beside it, and no thread has to be waited for. A
 * guest may say so as often as it likes. */
int sw_port_steer(struct vio_switch_port *p, const struct vio_steer *to)
{
	struct steer *s = p->steer;

	if (!s && !to)
		return 0;
	if (!s)
		s = calloc(1, sizeof(*s));
	if (!s)
		return vio__fail(ENOMEM, "switch: out of memory for a port's table");
	vio__steer_set(s, to);
	VIO_STORE_RELEASE(&p->steer, s);
	return 0;
}

uint8_t sw_steered(const struct steer *s, const struct sw_frame *f)
{
	uint8_t head[PACKET_HEAD_MAX];
	unsigned have;
	struct packet p;
	int pair;

	have = (unsigned)vio__packet_copy(head, f->r->iov, f->r->niov, 0, VIO_MIN(f->len, PACKET_HEAD_MAX));
	vio__packet_parse(&p, head, have, f->len);
	pair = vio__steer_pair(s, &p, head);
	return pair == STEER_NOBODY ? SW_NO_PAIR : (uint8_t)pair;
}
