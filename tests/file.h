/* SPDX-License-Identifier: MIT */
/* What the file backend's tests share: an image in a place of its own, and a lane into it. */
#ifndef TESTS_FILE_H
#define TESTS_FILE_H

#include "poller.h"

#include <virtio-offload/impl/backend.h>

#include <fcntl.h>
#include <sys/stat.h>

struct disk {
	char path[64];
	struct vio_poller *p;
	struct vio_backend *b;
	struct vio_lane *l;
	struct vio_req_pool *pool;
};

/* A sparse image of `size` bytes under dir. */
MAYBE_UNUSED static void disk_image(struct disk *d, const char *dir, uint64_t size)
{
	int fd;

	memset(d, 0, sizeof(*d));
	snprintf(d->path, sizeof(d->path), "%s/vio-file-XXXXXX", dir);
	fd = mkstemp(d->path);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	close(fd);
}

/* Opens it as "file:PATH" + options; -errno as open said. */
MAYBE_UNUSED static int disk_try(struct disk *d, const char *options)
{
	char arg[160];

	snprintf(arg, sizeof(arg), "%s%s", d->path, options);
	return vio_backend_new(&d->b, vio_backend_find("file"), NULL, NULL, arg);
}

MAYBE_UNUSED static void disk_lane(struct disk *d, struct vio_poller *p, struct vio_mem *mem)
{
	VIO_OPTS(vio_lane_opts, o, .mem = mem);

	d->p = p;
	assert_int_equal(vio_lane_new(&d->l, d->b, p, &o), 0);
	assert_int_equal(vio_req_pool_new(&d->pool, d->l, 64, 1200), 0);
}

MAYBE_UNUSED static void disk_close(struct disk *d)
{
	vio_req_pool_free(d->pool);
	vio_lane_free(d->l);
	vio_backend_free(d->b);
	d->pool = NULL;
	d->l = NULL;
	d->b = NULL;
}

MAYBE_UNUSED static void disk_remove(struct disk *d)
{
	disk_close(d);
	unlink(d->path);
}

/* Submits one and waits for it; its outcome. */
MAYBE_UNUSED static int disk_do(struct disk *d, struct vio_req *r)
{
	struct vio_req *back;
	int res;

	vio_lane_submit(d->l, &r, 1);
	while (!vio_lane_reap(d->l, &back, 1))
		assert_true(vio_poller_wait(d->p, 1000) >= 0);
	assert_ptr_equal(back, r);
	res = r->res;
	vio_req_put(d->pool, r);
	return res;
}

MAYBE_UNUSED static int disk_op(struct disk *d, enum vio_op op, unsigned flags, uint64_t offset, uint64_t len)
{
	struct vio_req *r = vio_req_get(d->pool);

	r->op = (uint8_t)op;
	r->flags = (uint8_t)flags;
	r->offset = offset;
	r->len = len;
	return disk_do(d, r);
}

/* A read or write of one piece. */
MAYBE_UNUSED static int disk_rw(struct disk *d, enum vio_op op, unsigned flags, uint64_t offset, void *buf,
				size_t len)
{
	struct vio_req *r = vio_req_get(d->pool);

	r->op = (uint8_t)op;
	r->flags = (uint8_t)flags;
	r->offset = offset;
	r->len = len;
	r->niov = 1;
	r->iov[0] = (struct iovec){ buf, len };
	return disk_do(d, r);
}

struct count_of {
	const char *name;
	uint64_t value;
};

MAYBE_UNUSED static void count_each(void *ctx, const char *layer, const char *counter, uint64_t value)
{
	struct count_of *c = ctx;

	if (!strcmp(layer, "file") && !strcmp(counter, c->name))
		c->value = value;
}

/* One of the backend's counters by name. */
MAYBE_UNUSED static uint64_t disk_count(struct disk *d, const char *name)
{
	struct count_of c = { name, UINT64_MAX };

	vio_backend_stats(d->b, count_each, &c);
	assert_int_not_equal(c.value, UINT64_MAX);
	return c.value;
}

#endif
