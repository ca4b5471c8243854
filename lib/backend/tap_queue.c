/* SPDX-License-Identifier: MIT */
/* What an interface's queues share: who is attached, and which offloads the kernel may use towards us. */
#include "backend/tap.h"

#include <linux/if_tun.h>
#include <sys/ioctl.h>

#ifndef TUN_F_USO4 /* younger than Linux 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#define TUN_F_USO (TUN_F_USO4 | TUN_F_USO6)

/* The first queue stays attached: an interface without any has no carrier and no state to ask for. */
static int queue_attach(struct tap_store *s, struct tap_queue *q, bool on)
{
	struct ifreq r = { .ifr_flags = on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

	if (q == s->queue || !ioctl(q->fd, TUNSETQUEUE, &r))
		return 0;
	return vio__fail(errno, "tap: queue %u of %s can't be %s: %s", (unsigned)(q - s->queue), s->name,
			 on ? "attached" : "detached", strerror(errno));
}

static unsigned queue_bits(uint8_t flags)
{
	unsigned bits = TUN_F_CSUM;

	if (!(flags & VIO_PACKET_CSUM))
		return 0;
	if (flags & VIO_PACKET_TSO4)
		bits |= TUN_F_TSO4;
	if (flags & VIO_PACKET_TSO6)
		bits |= TUN_F_TSO6;
	if (flags & VIO_PACKET_ECN && bits & (TUN_F_TSO4 | TUN_F_TSO6))
		bits |= TUN_F_TSO_ECN;
	if (flags & VIO_PACKET_USO4 && flags & VIO_PACKET_USO6) /* the kernel has one switch for both */
		bits |= TUN_F_USO;
	return bits;
}

/* A refusal changes nothing: what comes with an offload that its RECV does not take is dropped. */
static void queue_tell(struct tap_store *s)
{
	unsigned all = TAP_NO_SAY;

	for (unsigned i = 0; i < s->queues; i++)
		all &= s->queue[i].accepts;
	if (all != TAP_NO_SAY && all != s->offload &&
	    !ioctl(s->queue[0].fd, TUNSETOFFLOAD, (unsigned long)all))
		s->offload = all;
}

void tap_queue_accept(struct tap_store *s, struct tap_queue *q, uint8_t flags)
{
	if (!s->vnet)
		return;
	pthread_mutex_lock(&s->lock);
	q->accepts = queue_bits(flags);
	queue_tell(s);
	pthread_mutex_unlock(&s->lock);
}

int tap_queue_get(struct tap_store *s, struct tap_queue *q)
{
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	if (!q->lanes)
		rc = queue_attach(s, q, true);
	q->lanes += !rc;
	pthread_mutex_unlock(&s->lock);
	return rc;
}

void tap_queue_put(struct tap_store *s, struct tap_queue *q)
{
	pthread_mutex_lock(&s->lock);
	if (!--q->lanes) {
		queue_attach(s, q, false);
		q->accepts = TAP_NO_SAY;
		queue_tell(s);
	}
	pthread_mutex_unlock(&s->lock);
}

bool tap_queue_probe(struct tap_store *s)
{
	int fd = s->queue[0].fd;

	for (unsigned i = 0; i < s->queues; i++)
		s->queue[i].accepts = TAP_NO_SAY;
	s->uso = !ioctl(fd, TUNSETOFFLOAD, (unsigned long)(TUN_F_CSUM | TUN_F_USO));
	return !ioctl(fd, TUNSETOFFLOAD, 0ul);
}
