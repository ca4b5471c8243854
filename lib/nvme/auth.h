/* SPDX-License-Identifier: MIT */
/*
 * Hosts that have to prove themselves (NVMe Base 2.0, 8.13): each of their queues serves
 * nothing but Connect and authentication until it was done there. The host sends a message,
 * and receives the answer by a command of its own:
 *
 *   NEGOTIATE -> CHALLENGE -> REPLY -> SUCCESS1 (-> SUCCESS2, where we had to prove ourselves)
 *
 * What goes wrong is told once, by FAILURE1, and ends the queue; so does being slow. A
 * queue may be authenticated anew, and serves commands meanwhile.
 *
 * auth.c is what a queue has for it, and when it may calculate; auth_message.c the messages.
 */
#ifndef VIO_NVME_AUTH_H
#define VIO_NVME_AUTH_H

#include "nvme/nv.h"

enum auth_step {
	AUTH_NEGOTIATE, /* the host's turn, as in REPLY and SUCCESS2 */
	AUTH_CHALLENGE,
	AUTH_REPLY,
	AUTH_SUCCESS1,
	AUTH_SUCCESS2,
	AUTH_FAILURE, /* to be told */
};

struct nv_auth {
	struct nv_qp *qp;
	struct dhchap_key key, ctrl_key;
	unsigned groups, hashes;
	uint64_t patience;
	struct vio_timer late;
	struct dhchap d;
	uint8_t step, why;
	bool mutual; /* the host wants to know who we are */
	bool proven;
	bool timed; /* late is set */
};

/* Its time runs, unless it does already. */
void nv_auth_time(struct nv_auth *a);
void nv_auth_log(const struct nv_auth *a, enum vio_log_level level, const char *what);

/* auth_message.c: what the host has sent; and what it is to know, at m, which is zeroes: a status. */
void nv_auth_take(struct nv_auth *a, const void *m, uint32_t len);
uint16_t nv_auth_give(struct nv_auth *a, void *m, uint32_t len);

#endif
