/* SPDX-License-Identifier: MIT */
/*
 * file: an image file or a block device. file.c is the shared store, file_open.c
 * finds out what it is, file_lane.c is a thread's way in, file_io.c takes one request
 * through its I/Os, file_bounce.c aligns what direct I/O can't take.
 */
#ifndef VIO_BACKEND_FILE_H
#define VIO_BACKEND_FILE_H

#include "backend/backend.h"

enum file_counter {
	FILE_REGISTERED,     /* reads and writes by registered buffers */
	FILE_UNREGISTERED,   /* and without */
	FILE_BOUNCED,	     /* requests copied for the sake of alignment */
	FILE_BOUNCE_WAITS,   /* of them, those that waited for a buffer */
	FILE_CONTINUED,	     /* I/Os that came back short */
	FILE_ZEROES_WRITTEN, /* WRITE_ZEROES that the file system could not do itself */
	FILE_COUNTERS,
};

/* As the argument has it. */
struct file_args {
	char *path;
	uint64_t block; /* 0: as the file demands */
	bool direct, read_only, lock, pin;
};

struct file_store {
	struct file_args args;
	int fd;
	bool device; /* a block device */
	bool rotational;
	uint32_t block; /* of offsets and lengths */
	uint32_t align; /* of memory for direct I/O, a power of two; 1 without */
	uint32_t optimal;
	uint64_t size;		       /* as last seen; atomic */
	bool no_punch, no_zero_range;  /* the file system has said so; atomic */
	uint64_t count[FILE_COUNTERS]; /* atomic */
};

/* Opens and checks; on failure nothing is left open. */
int file_open_store(struct file_store *s);
/* Reads the size anew; -errno without a sentence. */
int file_size(const struct file_store *s, uint64_t *size);

/* A piece of guest memory that the poller has registered. */
struct file_chunk {
	char *ptr;
	size_t len;
	int index;
};

#define FILE_BOUNCES 8u
#define FILE_BOUNCE_SIZE (256u << 10)

struct file_lane {
	struct file_store *s;
	struct vio_lane *lane;
	int file;		       /* the registered fd, or -1 */
	struct vio_mem *mem;	       /* a reference, so that nothing else comes to lie at its addresses */
	struct file_chunk *chunks;     /* by rising address */
	unsigned nchunks, last;	       /* last: the one found last */
	struct vio_reqs done, waiting; /* waiting: for a bounce buffer */
	char *bounces;		       /* FILE_BOUNCES of FILE_BOUNCE_SIZE; NULL without direct I/O */
	unsigned bounces_free;	       /* a bit each */
	uint64_t registered, unregistered; /* not counted yet */
};

/* A request's scratch. */
struct file_io {
	struct vio_io io;
	struct file_lane *fl;
	struct vio_req *r;
	uint64_t done; /* bytes */
	struct iovec
		rest; /* for what r->iov can't say: the rest of an entry, a bounce buffer, a few zeroes */
	char *bounce;
	uint16_t tries;
	bool zeroing; /* WRITE_ZEROES by writing */
	bool sync;    /* an fdatasync is still due, or under way */
};

/* The type's methods. */
int file_lane_open(struct vio_lane *l);
void file_lane_close(struct vio_lane *l);
void file_lane_submit(struct vio_lane *l, struct vio_req **r, unsigned n);
unsigned file_lane_reap(struct vio_lane *l, struct vio_req **r, unsigned n);

void file_io_start(struct file_lane *fl, struct vio_req *r);

bool file_bounce_needed(const struct file_store *s, const struct vio_req *r);
/* False: none is free; the request waits in fl->waiting. */
bool file_bounce_get(struct file_lane *fl, struct file_io *f);
void file_bounce_put(struct file_lane *fl, struct file_io *f);
/* Between the request's vector, from byte `at` on, and n bytes of the buffer. */
void file_bounce_copy(const struct vio_req *r, uint64_t at, char *buf, size_t n, bool to_buf);

/* The registered buffer that holds all of v, or -1. */
int file_chunk_find(struct file_lane *fl, const struct iovec *v);

static inline void file_count(struct file_store *s, enum file_counter c, uint64_t n)
{
	__atomic_fetch_add(&s->count[c], n, __ATOMIC_RELAXED);
}

#endif
