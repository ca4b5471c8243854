/* SPDX-License-Identifier: MIT */
/* Guest memory and the dirty log: all of it changes while the queues are stopped. */
#include "transport/vhost_user_conn.h"

#define PAGE 4096u /* what front ends map by, and more than any ring is aligned to */

static struct vio_mem_region mem_region(const struct vu_region *r, int fd)
{
	return (struct vio_mem_region){
		.guest = r->guest,
		.size = r->size,
		.user = r->user,
		.fd = fd,
		.fd_offset = r->fd_offset,
	};
}

/*
 * Guests align their structures by guest address. Here they are only aligned too if
 * the region's file has it at the same place of a page.
 */
static int mem_check(const struct vu_region *r)
{
	if (r->guest % PAGE == r->fd_offset % PAGE)
		return 0;
	return vio__fail(EINVAL,
			 "guest address 0x%llx is at 0x%llx of its file, expected the same place of a page",
			 (unsigned long long)r->guest, (unsigned long long)r->fd_offset);
}

/* The next snapshot takes the place of the last; rings that found no room in that one may try again. */
static void mem_swap(struct vio_vhost_user *t, struct vio_mem *next)
{
	vio_mem_free(t->mem);
	t->mem = next;
	for (unsigned i = 0; i < t->nrings; i++)
		t->rings[i].failed = false;
}

int vus_mem_table(struct vio_vhost_user *t, struct vu_msg *m)
{
	VIO_OPTS(vio_mem_opts, o, .require_seals = t->opts.require_seals);
	struct vio_mem_region regions[VU_MAX_FDS];
	uint32_t n = m->p.mem.n;
	struct vio_mem *next;
	int err = 0;

	if (n > VU_MAX_FDS || n != m->nfds)
		return vio__fail(
			EINVAL,
			"SET_MEM_TABLE has %u regions and %u file descriptors, expected one each, at most %u",
			n, m->nfds, VU_MAX_FDS);
	if (m->h.size < offsetof(struct vu_mem_table, regions) + n * sizeof(struct vu_region))
		return vio__fail(EINVAL, "SET_MEM_TABLE of %u bytes is too short for %u regions", m->h.size,
				 n);
	for (unsigned i = 0; !err && i < n; i++) {
		regions[i] = mem_region(&m->p.mem.regions[i], m->fds[i]);
		err = mem_check(&m->p.mem.regions[i]);
	}
	if (!err)
		err = vio_mem_new(&next, regions, n, &o);
	if (!err)
		mem_swap(t, next);
	return err;
}

int vus_mem_slots(struct vio_vhost_user *t, struct vu_msg *m)
{
	(void)t;
	return vus_answer_u64(m, VIO_MEM_MAX_REGIONS);
}

static bool mem_is_there(const struct vio_mem *mem, const struct vio_mem_region *r)
{
	struct vio_mem_region have;

	for (unsigned i = 0; mem && !vio_mem_get(mem, i, &have); i++)
		if (have.guest == r->guest && have.size == r->size && have.user == r->user)
			return true;
	return false;
}

int vus_mem_add(struct vio_vhost_user *t, struct vu_msg *m)
{
	VIO_OPTS(vio_mem_opts, o, .require_seals = t->opts.require_seals);
	struct vio_mem_region r = mem_region(&m->p.reg.region, m->fds[0]);
	struct vio_mem *next;
	int err = mem_check(&m->p.reg.region);

	/* QEMU 7.2 adds each region once for every pair of a network card's queues. */
	if (err || mem_is_there(t->mem, &r))
		return err;
	err = t->mem ? vio_mem_add(&next, t->mem, &r, &o) : vio_mem_new(&next, &r, 1, &o);
	if (!err)
		mem_swap(t, next);
	return err;
}

int vus_mem_remove(struct vio_vhost_user *t, struct vu_msg *m)
{
	struct vio_mem_region r = mem_region(&m->p.reg.region, -1);
	struct vio_mem *next;
	int err;

	if (!t->mem)
		return vio__fail(ENOENT, "REM_MEM_REG came, but there is no region");
	err = vio_mem_remove(&next, t->mem, &r);
	if (!err)
		mem_swap(t, next);
	return err;
}

int vus_log_base(struct vio_vhost_user *t, struct vu_msg *m)
{
	struct vio_dirty *next;
	int err = vio_dirty_new(&next, m->fds[0], m->p.log.offset, m->p.log.size);

	if (err)
		return err;
	vio_dirty_free(t->dirty);
	t->dirty = next;
	return 0;
}

/* The descriptor would be signalled for each page logged; no front end listens. */
int vus_log_fd(struct vio_vhost_user *t, struct vu_msg *m)
{
	(void)t;
	(void)m;
	return 0;
}
