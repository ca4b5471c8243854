/* SPDX-License-Identifier: MIT */
/* Reading a capture that may be damaged or made to do harm: each length is checked before it is used. */
#include "backend/pcap.h"

#include <byteswap.h>
#include <unistd.h>

#define READ_SKIPS 1024u /* unusable records in a row, before the rest counts as garbage */

static uint32_t read_u32(const struct pcap_store *s, uint32_t v)
{
	return s->swapped ? bswap_32(v) : v;
}

int pcap_read_check(struct pcap_store *s)
{
	struct pcap_file_header h;
	ssize_t got = pread(s->fd, &h, sizeof(h), 0);
	uint32_t linktype;

	if (got < 0)
		return vio__fail(errno, "pcap: %s can't be read: %s", s->path, strerror(errno));
	if (got >= 4 && h.magic == PCAPNG_MAGIC)
		return vio__fail(
			EINVAL,
			"pcap: %s is in pcapng format, expected pcap (editcap -F nsecpcap makes one of it)",
			s->path);
	if (got < (ssize_t)sizeof(h))
		return vio__fail(EINVAL, "pcap: %s has %zd bytes, a capture has at least %zu", s->path, got,
				 sizeof(h));
	s->swapped = pcap_is_ours(bswap_32(h.magic));
	if (!s->swapped && !pcap_is_ours(h.magic))
		return vio__fail(EINVAL, "pcap: %s is no capture file: it starts with 0x%08x", s->path,
				 h.magic);
	if ((s->swapped ? bswap_16(h.major) : h.major) != 2)
		return vio__fail(EINVAL, "pcap: %s is of format version %u, expected 2", s->path,
				 s->swapped ? bswap_16(h.major) : h.major);
	linktype = read_u32(s, h.linktype) & 0xffff; /* the upper bits tell of an FCS */
	if (linktype != PCAP_ETHERNET)
		return vio__fail(EINVAL, "pcap: %s has frames of link type %u, expected %u (Ethernet)",
				 s->path, linktype, PCAP_ETHERNET);
	return 0;
}

int pcap_read_open(struct pcap_reader *rd, struct pcap_store *s)
{
	rd->s = s;
	rd->buf = malloc(PCAP_BUFFER);
	if (!rd->buf)
		return vio__fail(ENOMEM, "pcap: out of memory for a lane");
	pcap_read_again(rd);
	return 0;
}

void pcap_read_close(struct pcap_reader *rd)
{
	free(rd->buf);
}

void pcap_read_again(struct pcap_reader *rd)
{
	rd->offset = sizeof(struct pcap_file_header);
	rd->at = rd->have = 0;
	rd->frames = 0;
}

/* n bytes, at most PCAP_BUFFER, lie in the buffer from rd->at on: 1; the file ends before: 0. */
static int read_need(struct pcap_reader *rd, unsigned n)
{
	if (rd->have - rd->at >= n)
		return 1;
	memmove(rd->buf, rd->buf + rd->at, rd->have - rd->at);
	rd->have -= rd->at;
	rd->at = 0;
	while (rd->have < n) {
		ssize_t got = pread(rd->s->fd, rd->buf + rd->have, PCAP_BUFFER - rd->have, (off_t)rd->offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return vio__fail(errno, "pcap: %s can't be read: %s", rd->s->path, strerror(errno));
		if (!got)
			return 0;
		rd->have += (unsigned)got;
		rd->offset += (uint64_t)got;
	}
	return 1;
}

/* Past n bytes, of which the buffer may hold a part. */
static void read_skip(struct pcap_reader *rd, unsigned n)
{
	unsigned here = VIO_MIN(n, rd->have - rd->at);

	rd->at += here;
	rd->offset += n - here;
}

/* The next record's header, in our byte order; the frame follows in the file. */
static int read_record(struct pcap_reader *rd, struct pcap_record *rec)
{
	int rc = read_need(rd, sizeof(*rec));

	if (rc <= 0)
		return rc;
	memcpy(rec, rd->buf + rd->at, sizeof(*rec));
	rd->at += (unsigned)sizeof(*rec);
	rec->captured = read_u32(rd->s, rec->captured);
	rec->length = read_u32(rd->s, rec->length);
	if (rec->captured <= PCAP_RECORD_MAX)
		return 1;
	return vio__fail(EBADMSG, "pcap: %s: a record of %u bytes before offset %llu, expected at most %u",
			 rd->s->path, rec->captured, (unsigned long long)(rd->offset - (rd->have - rd->at)),
			 PCAP_RECORD_MAX);
}

static bool read_usable(struct pcap_store *s, const struct pcap_record *rec)
{
	if (rec->captured < rec->length)
		pcap_count(s, PCAP_DROP_TRUNCATED, 1);
	else if (rec->captured > rec->length || rec->captured < RECV_FRAME_MIN ||
		 rec->captured > RECV_FRAME_MAX)
		pcap_count(s, PCAP_DROP_MALFORMED, 1);
	else
		return true;
	return false;
}

int pcap_read_frame(struct pcap_reader *rd, const char **frame, unsigned *len)
{
	struct pcap_record rec;
	int rc;

	for (unsigned skipped = 0; skipped < READ_SKIPS; skipped++) {
		rc = read_record(rd, &rec);
		if (rc <= 0)
			return rc;
		if (!read_usable(rd->s, &rec)) {
			read_skip(rd, rec.captured);
			continue;
		}
		rc = read_need(rd, rec.captured);
		if (rc <= 0)
			return rc;
		*frame = rd->buf + rd->at;
		*len = rec.captured;
		rd->at += rec.captured;
		rd->frames++;
		return 1;
	}
	return vio__fail(EBADMSG, "pcap: %s: %u records in a row that hold no whole frame", rd->s->path,
			 READ_SKIPS);
}
