/* SPDX-License-Identifier: MIT */
/*
 * pcap: a capture file as a port. pcap.c is the type, pcap_lane.c its lanes, pcap_write.c captures what is
 * sent, pcap_read.c reads a file's frames, whoever made it.
 *
 * Captures are in the classic format with nanoseconds: every tool reads it, and a file
 * that was cut short is good up to its last whole record. What pcapng adds (interfaces,
 * comments) is not needed here.
 */
#ifndef VIO_BACKEND_PCAP_H
#define VIO_BACKEND_PCAP_H

#include "backend/backend.h"
#include "backend/done.h"
#include "backend/recv_fifo.h"

#include <pthread.h>

#define PCAP_MAGIC_US 0xa1b2c3d4u
#define PCAP_MAGIC_NS 0xa1b23c4du
#define PCAPNG_MAGIC 0x0a0d0d0au
#define PCAP_ETHERNET 1u
#define PCAP_RECORD_MAX 262144u /* what tools write at most; a length above is garbage */
#define PCAP_RECVS 1024u	/* a lane's room */

struct pcap_file_header {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, sigfigs;
	uint32_t snaplen;
	uint32_t linktype;
};

struct pcap_record {
	uint32_t sec, frac;
	uint32_t captured; /* bytes that follow */
	uint32_t length;   /* of the frame as it was */
};

enum pcap_counter {
	PCAP_SENT,
	PCAP_SENT_BYTES,
	PCAP_RECEIVED,
	PCAP_RECEIVED_BYTES,
	PCAP_DROP_FULL,	     /* sending: the file could not be written */
	PCAP_DROP_LIMIT,     /* sending: it would grow past limit= */
	PCAP_DROP_REPLAY,    /* sending, to a file that is replayed */
	PCAP_DROP_MALFORMED, /* either way: no Ethernet frame */
	PCAP_DROP_TRUNCATED, /* receiving: the record holds only a part of the frame */
	PCAP_DROP_TOO_LONG,  /* receiving: longer than the RECVs allow */
	PCAP_COUNTERS,
};

struct pcap_store {
	char *path;
	int fd;
	bool replay, loop, offloads;
	bool swapped;		       /* the file is of the other byte order */
	uint64_t limit;		       /* bytes; 0: none */
	pthread_mutex_t lock;	       /* of end and what is written there; a batch at a time */
	uint64_t end;		       /* behind the last whole record */
	uint64_t count[PCAP_COUNTERS]; /* atomic */
};

/* One pass over a file. */
struct pcap_reader {
	struct pcap_store *s;
	uint64_t offset;   /* in the file, of what comes into the buffer next */
	char *buf;	   /* PCAP_BUFFER bytes */
	unsigned at, have; /* what of them is to be read still: at..have */
	uint64_t frames;   /* in this pass */
};
#define PCAP_BUFFER 131072u

struct pcap_lane {
	struct pcap_store *s;
	struct vio_lane *lane;
	union {
		struct done_stack done;
		struct {
			struct recv_fifo fifo;
			struct pcap_reader reader;
			const char *frame; /* read, and still to be put into RECVs; or NULL */
			unsigned len;
			bool ended;
		};
	};
};

/* pcap_lane.c: the type's methods */
int pcap_lane_open(struct vio_lane *l);
void pcap_lane_close(struct vio_lane *l);
unsigned pcap_lane_room(struct vio_lane *l);
void pcap_lane_submit(struct vio_lane *l, struct vio_req **r, unsigned n);
unsigned pcap_lane_reap(struct vio_lane *l, struct vio_req **r, unsigned n);
unsigned pcap_lane_recall(struct vio_lane *l, struct vio_req **r, unsigned n);

/* pcap_write.c */
int pcap_write_begin(struct pcap_store *s);
void pcap_write(struct pcap_store *s, struct vio_req **r, unsigned n);

/* pcap_read.c */
int pcap_read_check(struct pcap_store *s);
int pcap_read_open(struct pcap_reader *rd, struct pcap_store *s);
void pcap_read_close(struct pcap_reader *rd);
/* The next frame, in the buffer until the next call. 0: the end. -EBADMSG: no record can be here, or -errno;
 * with a sentence. */
int pcap_read_frame(struct pcap_reader *rd, const char **frame, unsigned *len);
/* From the first frame again. */
void pcap_read_again(struct pcap_reader *rd);

static inline bool pcap_is_ours(uint32_t magic)
{
	return magic == PCAP_MAGIC_US || magic == PCAP_MAGIC_NS;
}

static inline void pcap_count(struct pcap_store *s, enum pcap_counter c, uint64_t n)
{
	if (n)
		__atomic_fetch_add(&s->count[c], n, __ATOMIC_RELAXED);
}

#endif
