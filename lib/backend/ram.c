/* SPDX-License-Identifier: MIT */
/* ram: a store in this process's memory, gone when it is closed. Pages are allocated as they are written. */
#include "backend/backend.h"
#include "backend/done.h"
#include "base/arg.h"

#include <sys/mman.h>

struct ram_store {
	uint64_t size;
	char *data;
};

static int ram_open(struct vio_backend *b, const char *arg)
{
	struct ram_store *s = b->priv;
	const struct vio__arg args[] = { { "", VIO__ARG_SIZE, &s->size, 512, 1ull << 46 } };
	int rc = vio__args("ram", arg, args, VIO_ARRAY_SIZE(args));

	if (rc)
		return rc;
	if (!s->size || s->size % 512)
		return vio__fail(EINVAL, "ram: the size must be given, a multiple of 512, as in \"ram:64M\"");
	s->data = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->data == MAP_FAILED)
		return vio__fail(errno, "ram: cannot map %llu bytes: %m", (unsigned long long)s->size);
	madvise(s->data, s->size, MADV_HUGEPAGE); /* fewer TLB misses where there are huge pages; fine without */
	return 0;
}

static void ram_close(struct vio_backend *b)
{
	const struct ram_store *s = b->priv;

	munmap(s->data, s->size);
}

static int ram_info(struct vio_backend *b, struct vio_backend_info *i)
{
	const struct ram_store *s = b->priv;

	i->size = s->size;
	i->block = 512;
	i->ops = 1u << VIO_OP_READ | 1u << VIO_OP_WRITE | 1u << VIO_OP_FLUSH | 1u << VIO_OP_DISCARD |
		 1u << VIO_OP_WRITE_ZEROES | 1u << VIO_OP_SECURE_ERASE;
	return 0;
}

/* Whole pages go back to the kernel, which makes them read as zeroes; the rest is cleared. */
static void ram_zero(char *at, uint64_t len)
{
	char *first = (char *)(((uintptr_t)at + 4095) & ~4095ul), *last = (char *)((uintptr_t)(at + len) & ~4095ul);

	if (last <= first || madvise(first, (size_t)(last - first), MADV_DONTNEED)) {
		memset(at, 0, len);
		return;
	}
	memset(at, 0, (size_t)(first - at));
	memset(last, 0, (size_t)(at + len - last));
}

static void ram_copy(struct vio_req *r, char *at, bool write)
{
	for (unsigned i = 0; i < r->niov; i++) {
		if (write)
			memcpy(at, r->iov[i].iov_base, r->iov[i].iov_len);
		else
			memcpy(r->iov[i].iov_base, at, r->iov[i].iov_len);
		at += r->iov[i].iov_len;
	}
}

static int ram_do(const struct ram_store *s, struct vio_req *r)
{
	if (r->op == VIO_OP_FLUSH)
		return 0;
	if (r->offset > s->size || r->len > s->size - r->offset)
		return -EIO;
	switch (r->op) {
	case VIO_OP_READ:
	case VIO_OP_WRITE:
		ram_copy(r, s->data + r->offset, r->op == VIO_OP_WRITE);
		return 0;
	case VIO_OP_DISCARD:
	case VIO_OP_WRITE_ZEROES:
	case VIO_OP_SECURE_ERASE:
		ram_zero(s->data + r->offset, r->len);
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}

static void ram_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	const struct ram_store *s = l->backend->priv;

	for (unsigned i = 0; i < n; i++)
		r[i]->res = ram_do(s, r[i]);
	done_push(l->priv, r, n);
}

static unsigned ram_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	return done_pop(l->priv, r, n);
}

static unsigned ram_room(struct vio_lane *l)
{
	return done_room(l->priv);
}

const struct vio_backend_type vio__backend_ram = {
	.sz = sizeof(struct vio_backend_type),
	.name = "ram",
	.help = "SIZE: memory of this process, zeroes at first",
	.priv = sizeof(struct ram_store),
	.lane_priv = sizeof(struct done_stack),
	.open = ram_open,
	.close = ram_close,
	.info = ram_info,
	.room = ram_room,
	.submit = ram_submit,
	.reap = ram_reap,
};
