/* SPDX-License-Identifier: MIT */
/* Capturing: a batch of frames is one write, and the file ends in a whole record whatever happens. */
#define _GNU_SOURCE
#include "backend/pcap.h"

#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define WRITE_IOVS 1024u /* of one pwritev: UIO_MAXIOV */

/* What is to be written next; the last record's header may be in the file already, and its frame not yet. */
struct write_batch {
	struct pcap_store *s;
	struct iovec v[WRITE_IOVS];
	unsigned n;
	uint64_t at;	 /* in the file, where v goes */
	uint64_t bytes;	 /* of v */
	unsigned frames; /* whole ones that the store's end does not cover yet */
	uint64_t frame_bytes;
};

int pcap_write_begin(struct pcap_store *s)
{
	const struct pcap_file_header h = {
		.magic = PCAP_MAGIC_NS,
		.major = 2,
		.minor = 4,
		.snaplen = RECV_FRAME_MAX,
		.linktype = PCAP_ETHERNET,
	};

	ssize_t did = ftruncate(s->fd, 0) ? -1 : pwrite(s->fd, &h, sizeof(h), 0);

	if (did != (ssize_t)sizeof(h))
		return vio__fail(did < 0 ? errno : ENOSPC, "pcap: %s can't be written: %s", s->path,
				 strerror(did < 0 ? errno : ENOSPC));
	s->end = sizeof(h);
	return 0;
}

static bool write_flush(struct write_batch *b)
{
	ssize_t did;

	do
		did = pwritev(b->s->fd, b->v, (int)b->n, (off_t)b->at);
	while (did < 0 && errno == EINTR);
	if (did != (ssize_t)b->bytes)
		return false;
	b->at += b->bytes;
	b->bytes = 0;
	b->n = 0;
	return true;
}

static bool write_add(struct write_batch *b, struct iovec v)
{
	if (b->n == WRITE_IOVS && !write_flush(b))
		return false;
	b->v[b->n++] = v;
	b->bytes += v.iov_len;
	return true;
}

static bool write_frame(struct write_batch *b, const struct vio_req *r, struct pcap_record *rec)
{
	bool ok = write_add(b, (struct iovec){ rec, sizeof(*rec) });

	for (unsigned i = 0; i < r->niov && ok; i++)
		ok = write_add(b, r->iov[i]);
	b->frames += ok;
	b->frame_bytes += ok ? rec->captured : 0;
	return ok;
}

/* All that was added is in the file, or the file ends where it ended before. */
static void write_settle(struct write_batch *b, bool ok)
{
	struct pcap_store *s = b->s;

	if (ok && (!b->n || write_flush(b))) {
		s->end = b->at;
		pcap_count(s, PCAP_SENT, b->frames);
		pcap_count(s, PCAP_SENT_BYTES, b->frame_bytes);
		return;
	}
	if (ftruncate(s->fd, (off_t)s->end)) {
		/* then the next frame is written over it */
	}
	pcap_count(s, PCAP_DROP_FULL, b->frames);
}

/* False: the frame is not for the file, and counted. */
static bool write_wanted(const struct write_batch *b, size_t len)
{
	uint64_t end = b->at + b->bytes + sizeof(struct pcap_record) + len;

	if (len < RECV_FRAME_MIN || len > RECV_FRAME_MAX)
		pcap_count(b->s, PCAP_DROP_MALFORMED, 1);
	else if (b->s->limit && end > b->s->limit)
		pcap_count(b->s, PCAP_DROP_LIMIT, 1);
	else
		return true;
	return false;
}

void pcap_write(struct pcap_store *s, struct vio_req **r, unsigned n)
{
	struct pcap_record recs[VIO_ARRAY_SIZE(((struct done_stack *)0)->r)];
	struct write_batch b = { .s = s };
	struct timespec now;
	bool ok = true;

	clock_gettime(CLOCK_REALTIME, &now);
	pthread_mutex_lock(&s->lock);
	b.at = s->end;
	for (unsigned i = 0; i < n; i++) {
		size_t len = recv_room(r[i]);

		if (!ok)
			pcap_count(s, PCAP_DROP_FULL, 1);
		else if (write_wanted(&b, len)) {
			recs[i] = (struct pcap_record){ (uint32_t)now.tv_sec, (uint32_t)now.tv_nsec,
							(uint32_t)len, (uint32_t)len };
			ok = write_frame(&b, r[i], &recs[i]);
			if (!ok)
				pcap_count(s, PCAP_DROP_FULL, 1);
		}
	}
	write_settle(&b, ok);
	pthread_mutex_unlock(&s->lock);
}
