/* SPDX-License-Identifier: MIT */
/*
 * A port's table: who sits on it says by which hash its packets go to which of its lanes
 * (vio_backend_steer). Without one they go by flow, where there are buffers.
 */
#ifndef VIO_SWITCH_STEER_H
#define VIO_SWITCH_STEER_H

#include "switch/switch.h"

/* Under the lock. */
int sw_port_steer(struct vio_switch_port *p, const struct vio_steer *to);

/* The pair that a frame belongs to, or SW_NO_PAIR. Looks at the sender's memory again, but a frame that
 * changes meanwhile only chooses its own lane. */
uint8_t sw_steered(const struct steer *s, const struct sw_frame *f);

/* NULL: there is none. */
VIO_INLINE struct sw_lane *sw_receiver(const struct vio_switch_port *p, unsigned pair)
{
	const struct sw_receivers *rs = VIO_LOAD_ACQUIRE(&p->receivers);
	unsigned at = rs ? VIO_LOAD(&rs->of_pair[pair]) : 0;

	return at ? rs->lane[at - 1] : NULL;
}

#endif
