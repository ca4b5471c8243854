/* SPDX-License-Identifier: MIT */
/*
 * What is said to the server, in the order in which it has to be: first what holds for all
 * rings, then memory, then each ring's start or stop. Any lane's thread may go on with it
 * where another one's left it (vhost_user_front.h), so that of a ring is finished before the
 * next thing is begun.
 */
#include "backend/vhost_user_net.h"

#include <sys/socket.h>

/* As much of the config space as is looked at. */
#define TALK_CONFIG 12u
_Static_assert(TALK_CONFIG >= offsetof(struct virtio_net_config, mtu) + 2, "the mtu is the last of it");
_Static_assert(FRONT_LOG_BYTES >= 12 + TALK_CONFIG, "an answer is remembered whole");

static int talk_features(struct vnet *d)
{
	uint64_t missing = d->features & ~d->front.offered;

	if (missing)
		return vio__fail(EPROTO, "vhost_user_net: %s: the server came back without features %#llx",
				 d->path, (unsigned long long)missing);
	return vio__front_set_features(&d->front, d->features);
}

int vnet_meet(struct vnet *d)
{
	int rc = vio__front_queues(&d->front, d->pairs, "pairs");

	if (!rc && vio__front_has(&d->front, VU_PROTOCOL_F_CONFIG))
		rc = vio__front_config(&d->front, &d->config, TALK_CONFIG);
	rc = rc ? rc : talk_features(d);
	if (!rc && d->mtu && vnet_has(d, VIRTIO_NET_F_MTU) &&
	    vio__front_has(&d->front, VU_PROTOCOL_F_NET_MTU))
		rc = vio__front_set_mtu(&d->front, d->mtu);
	return rc;
}

/* A server that has come back, or was left. */
static int talk_again(struct vnet *d)
{
	const bool new = d->front.fd < 0;
	int rc = vio__front_connect(&d->front);

	d->connection += new && d->front.fd >= 0;
	rc = rc ? rc : vnet_meet(d);
	if (rc)
		return rc;
	d->agreed = true;
	vio__front_settle(&d->front);
	return 0;
}

static void talk_state(struct vnet_lane *v, enum vnet_state s)
{
	VIO_STORE(&v->state, s);
}

/* A ring that an earlier lane had is still with the server, empty: that comes to an end first. */
static int talk_start(struct vnet *d, struct vnet_queue *q)
{
	int rc = q->begun ? vio__front_ring_stop(&d->front, q->lane->index) : 0;

	rc = rc ? rc : vnet_ring_start(d, q->lane);
	if (rc)
		return rc;
	q->begun = true;
	VIO_STORE(&q->count[VNET_STARTED], q->count[VNET_STARTED] + 1);
	talk_state(q->lane, VNET_RUNS);
	return 0;
}

/* Its lane is to hear of it. */
static int talk_stop(struct vnet *d, struct vnet_queue *q)
{
	int rc = vio__front_ring_stop(&d->front, q->lane->index);

	if (rc)
		return rc;
	q->begun = false;
	talk_state(q->lane, VNET_STOPPED);
	eventfd_write(q->lane->bells.call, 1);
	return 0;
}

static int talk_ring(struct vnet *d, unsigned index)
{
	struct vnet_queue *q = &d->queue[index];
	int rc;

	d->ringing = (int)index;
	rc = q->lane->state == VNET_LAID ? talk_start(d, q) : talk_stop(d, q);
	if (rc)
		return rc;
	d->ringing = -1;
	vio__front_settle(&d->front);
	return 0;
}

/* Whether there is something to be said of it. A lane that has not laid its ring out for this connection
 * comes later. */
static bool talk_due(const struct vnet *d, unsigned index)
{
	const struct vnet_lane *v = d->queue[index].lane;

	return v && v->generation == d->generation && (v->state == VNET_LAID || v->state == VNET_STOP);
}

static int talk_rings(struct vnet *d)
{
	int rc = 0;

	for (unsigned i = 0; i < 2 * d->pairs && !rc; i++)
		if (talk_due(d, i))
			rc = talk_ring(d, i);
	return rc;
}

int vnet_talk(struct vnet *d)
{
	int rc = 0;

	vio__front_again(&d->front);
	if (!d->agreed)
		rc = talk_again(d);
	if (!rc && d->ringing >= 0)
		rc = talk_ring(d, (unsigned)d->ringing);
	rc = rc ? rc : vio__vhost_mem_tell(&d->mem);
	if (rc)
		return rc;
	VIO_STORE(&d->up, true);
	return talk_rings(d);
}

int vnet_talk_out(struct vnet *d, uint64_t now)
{
	int rc;

	if (d->front.fd < 0)
		return -ENOTCONN;
	vio__front_patience(&d->front, false);
	rc = vnet_talk(d);
	vio__front_patience(&d->front, true);
	if (rc)
		vnet_leave(d, now, rc);
	return rc;
}

/* Other lanes hold duplicates of the socket: shut down, so that the server and they see it. */
void vnet_leave(struct vnet *d, uint64_t now, int err)
{
	const uint64_t ms = err == -ECONNRESET ? VNET_RETRY_MS : VNET_BROKEN_MS;

	if (d->front.fd >= 0)
		shutdown(d->front.fd, SHUT_RDWR);
	vio__front_close(&d->front);
	vio__vhost_mem_untell(&d->mem);
	for (unsigned i = 0; i < 2 * d->pairs; i++)
		d->queue[i].begun = false;
	VIO_STORE(&d->up, false);
	d->agreed = false;
	d->ringing = -1;
	d->generation++;
	d->retry_at = now + ms * 1000000;
}

/* An answer that is due makes the socket readable too. */
bool vnet_hung_up(const struct vnet *d)
{
	char byte;
	ssize_t n = d->front.fd < 0 ? 1 : recv(d->front.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return !n || (n < 0 && errno != EAGAIN && errno != EINTR);
}
