/* SPDX-License-Identifier: MIT */
/*
 * The memory table of a connection: the disk's own area and whatever memory the
 * lanes bring. The guest addresses are of our choosing; the server translates no
 * others, so it can't reach anything that was not shared.
 */
#include "backend/vhost_user.h"

#define MEM_FIRST_GUEST 0x100000000ull
#define MEM_ALIGN 0x200000ull

static struct vu_region mem_region(const struct vhost_shared *s)
{
	return (struct vu_region){
		.guest = s->guest, .user = s->guest, .size = s->r.size, .fd_offset = s->r.fd_offset
	};
}

static struct vhost_shared *mem_find(struct vhost_disk *d, const struct vio_mem_region *r)
{
	for (unsigned i = 0; i < d->nshared; i++)
		if (d->shared[i].mem && d->shared[i].r.ptr == r->ptr && d->shared[i].r.size == r->size)
			return &d->shared[i];
	return NULL;
}

static struct vhost_shared *mem_free_entry(struct vhost_disk *d)
{
	for (unsigned i = 0; i < d->nshared; i++)
		if (!d->shared[i].mem)
			return &d->shared[i];
	return d->nshared < d->max_shared ? &d->shared[d->nshared++] : NULL;
}

/* Without slots the whole table is sent at once, which a server with running rings need not survive. */
static bool mem_fixed(const struct vhost_disk *d)
{
	return !vio__front_has(&d->front, VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS) && d->running;
}

static struct vhost_shared *mem_share(struct vhost_disk *d, struct vio_mem *mem,
				      const struct vio_mem_region *r)
{
	struct vhost_shared *s = mem_find(d, r);
	uint64_t end;

	if (s)
		return s;
	if (r->fd < 0 || mem_fixed(d) || !vio__add(d->next_guest, r->size + 2 * MEM_ALIGN, &end))
		return NULL;
	s = mem_free_entry(d);
	if (!s)
		return NULL;
	*s = (struct vhost_shared){ .mem = vio_mem_ref(mem), .r = *r, .guest = d->next_guest };
	d->next_guest = end & ~(MEM_ALIGN - 1);
	return s;
}

static void mem_forget(struct vhost_shared *s)
{
	vio_mem_free(s->mem);
	s->mem = NULL;
}

static void mem_drop(struct vhost_disk *d, struct vhost_shared *s)
{
	struct vu_region r = mem_region(s);

	if (--s->users)
		return;
	if (d->front.fd >= 0 && vio__front_has(&d->front, VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS))
		vio__front_mem_remove(&d->front,
				      &r); /* if it fails, the server only keeps a mapping too many */
	mem_forget(s);
}

static int mem_send_table(struct vhost_disk *d)
{
	struct vu_region r[VU_MAX_FDS];
	int fds[VU_MAX_FDS];
	unsigned n = 0;

	for (unsigned i = 0; i < d->nshared && n < VU_MAX_FDS; i++) {
		if (!d->shared[i].mem)
			continue;
		r[n] = mem_region(&d->shared[i]);
		fds[n++] = d->shared[i].r.fd;
	}
	return vio__front_mem_table(&d->front, r, fds, n);
}

static int mem_send_one(struct vhost_disk *d, const struct vhost_shared *s)
{
	struct vu_region r = mem_region(s);

	return vio__front_mem_add(&d->front, &r, s->r.fd);
}

int vio__vhost_mem_send(struct vhost_disk *d)
{
	int rc = 0;

	if (!vio__front_has(&d->front, VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS))
		return mem_send_table(d);
	for (unsigned i = 0; i < d->nshared && !rc; i++)
		if (d->shared[i].mem)
			rc = mem_send_one(d, &d->shared[i]);
	return rc;
}

/* One more user of s; the first makes the server map it. */
static int mem_take(struct vhost_disk *d, struct vhost_shared *s)
{
	int rc;

	if (s->users++)
		return 0;
	rc = vio__front_has(&d->front, VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS) ? mem_send_one(d, s)
									  : mem_send_table(d);
	if (!rc)
		return 0;
	s->users--;
	mem_forget(s);
	return rc;
}

static void mem_span(struct vhost_lane *v, const struct vhost_shared *s)
{
	uintptr_t from = (uintptr_t)s->r.ptr;

	v->span[v->nspan++] = (struct vhost_span){ from, from + s->r.size, s->guest - from };
}

int vio__vhost_mem_use(struct vhost_disk *d, struct vhost_lane *v, struct vio_mem *mem)
{
	unsigned n = mem ? vio_mem_count(mem) : 0;
	int rc = 0;

	v->span = calloc(n + 1, sizeof(*v->span)); /* at least one, so that hit always points somewhere */
	v->uses = calloc(n + 1, sizeof(*v->uses));
	if (!v->span || !v->uses)
		return vio__fail(ENOMEM, "vhost_user: out of memory");
	v->hit = v->span;
	for (unsigned i = 0; i < n && !rc; i++) {
		struct vio_mem_region r;
		struct vhost_shared *s;

		vio_mem_get(mem, i, &r);
		s = mem_share(d, mem, &r);
		if (!s)
			continue; /* requests there are bounced, and counted */
		rc = mem_take(d, s);
		if (rc)
			break;
		v->uses[v->nuses++] = s;
		mem_span(v, s);
	}
	return rc;
}

void vio__vhost_mem_unuse(struct vhost_disk *d, struct vhost_lane *v)
{
	while (v->nuses)
		mem_drop(d, v->uses[--v->nuses]);
	free(v->uses);
	free(v->span);
}

int vio__vhost_mem_init(struct vhost_disk *d)
{
	struct vio_mem_region r;
	uint64_t slots;
	int rc = vio__front_slots(&d->front, &slots);

	if (rc)
		return rc;
	d->max_shared = (unsigned)VIO_MIN(slots, (uint64_t)VIO_MEM_MAX_REGIONS);
	d->next_guest = MEM_FIRST_GUEST;
	d->shared = calloc(d->max_shared + 1, sizeof(*d->shared));
	if (!d->shared || !d->max_shared)
		return vio__fail(d->shared ? EPROTO : ENOMEM, "vhost_user: %s: no room for shared memory",
				 d->path);
	d->area_lane = vio__vhost_area_bytes(d);
	rc = vio_mem_alloc(&d->area, MEM_FIRST_GUEST, d->area_lane * d->queues);
	if (rc)
		return rc;
	vio_mem_get(d->area, 0, &r);
	return mem_take(d, mem_share(d, d->area, &r));
}

void vio__vhost_mem_fini(struct vhost_disk *d)
{
	for (unsigned i = 0; i < d->nshared; i++)
		if (d->shared[i].mem)
			mem_forget(&d->shared[i]);
	free(d->shared);
	vio_mem_free(d->area);
}
