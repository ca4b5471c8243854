/* SPDX-License-Identifier: MIT */
/* A capture file from anywhere, replayed into RECVs of a size that the input chooses. The file is all but the
 * first byte. */
#define _GNU_SOURCE
#include <virtio-offload/backend.h>

#include "base/base.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define RECVS 64u
#define ROOM 4096u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(what)                                                                                     \
	do {                                                                                                 \
		if (!(what))                                                                                 \
			__builtin_trap();                                                                    \
	} while (0)

struct player {
	char *room[RECVS]; /* of `each` bytes exactly, so that one too many is noticed */
	size_t each;
	struct vio_lane *lane;
	struct vio_req_pool *pool;
	uint8_t how;
	unsigned next;
};

static void post(struct player *p)
{
	struct vio_req *r;

	while ((r = vio_req_get(p->pool))) {
		unsigned k = p->next++ % RECVS;

		r->op = VIO_OP_RECV;
		r->flags = p->how & 1 ? VIO_RECV_MERGE : 0;
		r->offload.hdr_len = p->how & 2 ? 12 : 0;
		r->iov[0] = (struct iovec){ p->room[k], p->each };
		r->niov = 1;
		vio_lane_submit(p->lane, &r, 1);
	}
}

static void play(struct player *p)
{
	struct vio_req *r[8];
	unsigned n, all = 0, left = 0;

	do {
		post(p);
		n = vio_lane_reap(p->lane, r, 8);
		for (unsigned i = 0; i < n; i++) {
			FUZZ_CHECK(left ? !r[i]->res : r[i]->res > 0);
			left = (left ? left : (unsigned)r[i]->res) - 1;
			FUZZ_CHECK(r[i]->len <= r[i]->iov[0].iov_len);
			vio_req_put(p->pool, r[i]);
		}
		all += n;
	} while (n && all < 1000);
	while ((n = vio_lane_recall(p->lane, r, 8)))
		for (unsigned i = 0; i < n; i++)
			vio_req_put(p->pool, r[i]);
	while ((n = vio_lane_reap(p->lane, r, 8)))
		for (unsigned i = 0; i < n; i++)
			vio_req_put(p->pool, r[i]);
}

static void replay(struct vio_poller *poller, int fd, uint8_t how)
{
	VIO_OPTS(vio_lane_opts, o, .recv = true);
	struct player p = { .how = how, .each = how & 4 ? ROOM : 13u + how };
	struct vio_backend *b;
	char arg[64];

	snprintf(arg, sizeof(arg), "/proc/self/fd/%d,mode=replay,loop=%s", fd, how & 8 ? "on" : "off");
	if (vio_backend_new(&b, vio_backend_find("pcap"), NULL, NULL, arg)) {
		FUZZ_CHECK(vio_errmsg()[0]);
		return;
	}
	FUZZ_CHECK(!vio_lane_new(&p.lane, b, poller, &o));
	FUZZ_CHECK(!vio_req_pool_new(&p.pool, p.lane, RECVS, 1));
	for (unsigned i = 0; i < RECVS; i++)
		p.room[i] = malloc(p.each);
	play(&p);
	for (unsigned i = 0; i < RECVS; i++)
		free(p.room[i]);
	vio_req_pool_free(p.pool);
	vio_lane_free(p.lane);
	vio_backend_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vio_poller *poller;
	int fd = memfd_create("fuzz-pcap", MFD_CLOEXEC);

	if (!poller) {
		VIO_OPTS(vio_poller_opts, o, .engine = VIO_POLL_EPOLL);

		FUZZ_CHECK(!vio_poller_new(&poller, &o));
	}
	FUZZ_CHECK(fd >= 0);
	if (size > 1) {
		FUZZ_CHECK(write(fd, data + 1, size - 1) == (ssize_t)(size - 1));
		replay(poller, fd, data[0]);
	}
	close(fd);
	return 0;
}
