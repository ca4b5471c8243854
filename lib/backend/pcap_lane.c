/* SPDX-License-Identifier: MIT */
/* Lanes into a capture: sending ones write it, receiving ones read it, each from the start and as fast as
 * RECVs come. */
#include "backend/pcap.h"

#define PCAP_TRIES 1024u /* frames looked at in one reap that fit nowhere */

int pcap_lane_open(struct vio_lane *l)
{
	struct pcap_lane *pl = l->priv;
	int rc;

	pl->s = l->backend->priv;
	pl->lane = l;
	if (l->pair)
		return vio__fail(EINVAL, "pcap: %s is one pair, there is no pair %u", pl->s->path, l->pair);
	if (!l->recv)
		return 0;
	pl->ended = !pl->s->replay;
	rc = recv_fifo_open(&pl->fifo, PCAP_RECVS, "pcap");
	if (rc)
		return rc;
	rc = pcap_read_open(&pl->reader, pl->s);
	if (rc)
		recv_fifo_close(&pl->fifo);
	return rc;
}

void pcap_lane_close(struct vio_lane *l)
{
	struct pcap_lane *pl = l->priv;

	if (!l->recv)
		return;
	recv_fifo_close(&pl->fifo);
	pcap_read_close(&pl->reader);
}

unsigned pcap_lane_room(struct vio_lane *l)
{
	const struct pcap_lane *pl = l->priv;

	return l->recv ? recv_fifo_room(&pl->fifo) : done_room(&pl->done);
}

void pcap_lane_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct pcap_lane *pl = l->priv;

	if (l->recv) {
		recv_fifo_push(&pl->fifo, r, n);
		if (!pl->ended)
			vio_lane_wake(l);
		return;
	}
	for (unsigned i = 0; i < n; i++)
		r[i]->res = 0;
	if (pl->s->replay)
		pcap_count(pl->s, PCAP_DROP_REPLAY, n);
	else
		pcap_write(pl->s, r, n);
	done_push(&pl->done, r, n);
}

/* False: the file has no more. */
static bool lane_next(struct pcap_lane *pl)
{
	int rc = pcap_read_frame(&pl->reader, &pl->frame, &pl->len);

	if (!rc && pl->s->loop && pl->reader.frames) {
		pcap_read_again(&pl->reader);
		rc = pcap_read_frame(&pl->reader, &pl->frame, &pl->len);
	}
	if (rc < 0)
		vio_poller_log(pl->lane->poller, VIO_LOG_ERROR, "%s; the replay ends there", vio_errmsg());
	pl->ended = rc <= 0;
	return !pl->ended;
}

/* One frame into RECVs, or dropped for what they are. False: it waits for more of them, or there is none. */
static bool lane_step(struct pcap_lane *pl)
{
	int parts;

	if (!pl->frame && (pl->ended || !lane_next(pl)))
		return false;
	parts = recv_fifo_put(&pl->fifo, pl->frame, pl->len, 0, NULL);
	if (!parts && recv_fifo_waiting(&pl->fifo) < PCAP_RECVS)
		return false;
	pl->frame = NULL;
	pcap_count(pl->s, parts > 0 ? PCAP_RECEIVED : PCAP_DROP_TOO_LONG, 1);
	pcap_count(pl->s, PCAP_RECEIVED_BYTES, parts > 0 ? pl->len : 0);
	return true;
}

unsigned pcap_lane_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct pcap_lane *pl = l->priv;
	unsigned tries = 0;

	if (!l->recv)
		return done_pop(&pl->done, r, n);
	while (recv_fifo_ready(&pl->fifo) < n && recv_fifo_waiting(&pl->fifo) && tries++ < PCAP_TRIES)
		if (!lane_step(pl))
			break;
	if (tries > PCAP_TRIES)
		vio_lane_wake(l);
	return recv_fifo_reap(&pl->fifo, r, n);
}

unsigned pcap_lane_recall(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	struct pcap_lane *pl = l->priv;

	return l->recv ? recv_fifo_recall(&pl->fifo, r, n) : 0;
}
