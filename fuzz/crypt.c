/* SPDX-License-Identifier: MIT */
/*
 * Requests of any framing through crypt over offset, against a plain copy of what the
 * disk must hold. The input is a list of operations, eight bytes each; see struct step.
 */
#define _GNU_SOURCE
#include "base/base.h"

#include <endian.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include <virtio-offload/backend.h>

#define SPACE (288u << 10) /* a request of that size does not fit into the pool */
#define SECTOR 512u
#define MAX_IOV 16u

struct step {
	uint8_t op;	 /* % 4: READ, WRITE, WRITE_ZEROES, and whatever was last, at a wrong alignment */
	uint8_t fill;	 /* what is written: the byte's sum with the position */
	uint16_t offset; /* sectors */
	uint16_t len;	 /* sectors */
	uint16_t cut;	 /* entries of this many bytes, growing; what does not fit is in the last */
};

static struct {
	struct vio_poller *poller;
	struct vio_lane *lane;
	struct vio_req_pool *pool;
} disk;
static unsigned char shadow[SPACE], buf[SPACE + SECTOR];
static uint64_t used; /* up to here the disk may hold something */

#define CHECK(cond)                                                                                          \
	do {                                                                                                 \
		if (!(cond)) {                                                                               \
			fprintf(stderr, "fuzz/crypt: %s (%s)\n", #cond, vio_errmsg());                       \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

static int run(enum vio_op op, uint64_t offset, uint64_t len, unsigned cut)
{
	struct vio_req *r = vio_req_get(disk.pool), *up = NULL;
	uint64_t at = 0;
	int res;

	r->op = op;
	r->offset = offset;
	r->len = len;
	for (unsigned i = 0; op <= VIO_OP_WRITE && at < len; i++) {
		uint64_t n = i + 1 < MAX_IOV ? VIO_MIN((uint64_t)cut * i, len - at) : len - at;

		r->iov[r->niov++] = (struct iovec){ buf + at, n };
		at += n;
	}
	CHECK(vio_lane_room(disk.lane) > 0);
	vio_lane_submit(disk.lane, &r, 1);
	while (!vio_lane_reap(disk.lane, &up, 1))
		vio_poller_run(disk.poller, 0);
	CHECK(up == r && r->op == op && r->offset == offset && r->len == len);
	res = r->res;
	vio_req_put(disk.pool, r);
	return res;
}

static void open_disk(void)
{
	struct vio_backend *b;
	unsigned char key[64];
	char stack[128];
	int fd = memfd_create("key", 0);

	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = (unsigned char)(i * 7);
	CHECK(write(fd, key, sizeof(key)) == sizeof(key));
	snprintf(stack, sizeof(stack),
		 "ram:1M | offset:start=4K,size=288K | crypt:keyfile=/proc/self/fd/%d,bounce=64K", fd);
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
	CHECK(!vio_backend_parse(&b, NULL, stack));
	CHECK(!vio_poller_new(&disk.poller, NULL));
	CHECK(!vio_lane_new(&disk.lane, b, disk.poller, NULL));
	CHECK(!vio_req_pool_new(&disk.pool, disk.lane, 1, MAX_IOV));
	CHECK(!run(VIO_OP_WRITE_ZEROES, 0, SPACE, 0));
	close(fd);
}

static void step(const struct step *s)
{
	uint64_t offset = le16toh(s->offset) % (SPACE / SECTOR) * SECTOR;
	uint64_t len = VIO_MIN((uint64_t)le16toh(s->len) * SECTOR, SPACE - offset);
	unsigned cut = le16toh(s->cut);

	used = VIO_MAX(used, offset + len);
	switch (s->op % 4) {
	case 0:
		memset(buf, s->fill, len);
		CHECK(!run(VIO_OP_READ, offset, len, cut));
		CHECK(!memcmp(buf, shadow + offset, len));
		break;
	case 1:
		for (uint64_t i = 0; i < len; i++)
			shadow[offset + i] = (unsigned char)(s->fill + i);
		memcpy(buf, shadow + offset, len);
		CHECK(!run(VIO_OP_WRITE, offset, len, cut));
		CHECK(!memcmp(buf, shadow + offset, len));
		break;
	case 2:
		memset(shadow + offset, 0, len);
		CHECK(!run(VIO_OP_WRITE_ZEROES, offset, len, 0));
		break;
	default:
		CHECK(run(s->op / 4 % 2 ? VIO_OP_READ : VIO_OP_WRITE, offset + s->fill % 2, len + 1, cut) ==
		      -EINVAL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct step s;

	if (!disk.lane)
		open_disk();
	for (; size >= sizeof(s); data += sizeof(s), size -= sizeof(s)) {
		memcpy(&s, data, sizeof(s));
		step(&s);
	}
	CHECK(!run(VIO_OP_READ, 0, used, 0));
	CHECK(!memcmp(buf, shadow, used));
	CHECK(!run(VIO_OP_WRITE_ZEROES, 0, used, 0));
	memset(shadow, 0, used);
	used = 0;
	return 0;
}
