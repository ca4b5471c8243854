/* SPDX-License-Identifier: MIT */
/*
 * The memory table of a connection. The guest addresses are of our choosing; the
 * server translates no others, so it can't reach anything that was not shared.
 */
#include "backend/vhost_user_mem.h"

#define MEM_FIRST_GUEST 0x100000000ull
#define MEM_ALIGN 0x200000ull

static struct vu_region mem_region(const struct vhost_shared *s)
{
	return (struct vu_region){
		.guest = s->guest, .user = s->guest, .size = s->r.size, .fd_offset = s->r.fd_offset
	};
}

static struct vhost_shared *mem_find(struct vhost_mem *m, const struct vio_mem_region *r)
{
	for (unsigned i = 0; i < m->nshared; i++)
		if (m->shared[i].mem && m->shared[i].r.ptr == r->ptr && m->shared[i].r.size == r->size)
			return &m->shared[i];
	return NULL;
}

static struct vhost_shared *mem_free_entry(struct vhost_mem *m)
{
	for (unsigned i = 0; i < m->nshared; i++)
		if (!m->shared[i].mem)
			return &m->shared[i];
	return m->nshared < m->max_shared ? &m->shared[m->nshared++] : NULL;
}

static bool mem_by_slot(const struct vhost_mem *m)
{
	return vio__front_has(m->front, VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
}

/* One more user of the region; NULL: it can't be shared. */
static struct vhost_shared *mem_share(struct vhost_mem *m, struct vio_mem *mem,
				      const struct vio_mem_region *r)
{
	struct vhost_shared *s = mem_find(m, r);
	uint64_t end;

	if (s) {
		s->users++;
		return s;
	}
	if (r->fd < 0 || (m->running && !mem_by_slot(m)) ||
	    !vio__add(m->next_guest, r->size + 2 * MEM_ALIGN, &end))
		return NULL;
	s = mem_free_entry(m);
	if (!s)
		return NULL;
	*s = (struct vhost_shared){ .mem = vio_mem_ref(mem), .r = *r, .guest = m->next_guest, .users = 1 };
	m->next_guest = end & ~(MEM_ALIGN - 1);
	return s;
}

static void mem_forget(struct vhost_shared *s)
{
	vio_mem_free(s->mem);
	s->mem = NULL;
}

static void mem_drop(struct vhost_mem *m, struct vhost_shared *s)
{
	struct vu_region r = mem_region(s);

	if (--s->users)
		return;
	if (s->told && m->front->fd >= 0 && mem_by_slot(m))
		vio__front_mem_remove(m->front,
				      &r); /* if it fails, the server only keeps a mapping too many */
	mem_forget(s);
}

static int mem_send_table(struct vhost_mem *m)
{
	struct vu_region r[VU_MAX_FDS];
	int fds[VU_MAX_FDS];
	unsigned n = 0;

	for (unsigned i = 0; i < m->nshared && n < VU_MAX_FDS; i++) {
		if (!m->shared[i].mem)
			continue;
		r[n] = mem_region(&m->shared[i]);
		fds[n++] = m->shared[i].r.fd;
	}
	return vio__front_mem_table(m->front, r, fds, n);
}

static int mem_send_one(struct vhost_mem *m, const struct vhost_shared *s)
{
	struct vu_region r = mem_region(s);

	return vio__front_mem_add(m->front, &r, s->r.fd);
}

/* The next entry to tell of: the one that is under way, or, with `more`, one that the server does not know.
 */
static struct vhost_shared *mem_news(struct vhost_mem *m, bool more)
{
	for (unsigned i = 0; i < m->nshared; i++) {
		struct vhost_shared *s = &m->shared[i];

		if (s->mem && (more ? !s->told : s->telling))
			return s;
	}
	return NULL;
}

/* What is said at once: the whole table, or s. */
static void mem_begin(struct vhost_mem *m, struct vhost_shared *s)
{
	s->telling = true;
	for (unsigned i = 0; i < m->nshared && !mem_by_slot(m); i++)
		m->shared[i].telling = m->shared[i].mem != NULL;
}

static void mem_end(struct vhost_mem *m, bool told)
{
	for (unsigned i = 0; i < m->nshared; i++) {
		m->shared[i].told |= m->shared[i].telling && told;
		m->shared[i].telling = false;
	}
	vio__front_settle(m->front);
}

int vio__vhost_mem_tell(struct vhost_mem *m)
{
	struct vhost_shared *s;

	while ((s = mem_news(m, false)) || (s = mem_news(m, true))) {
		int rc;

		if (!s->telling)
			mem_begin(m, s);
		rc = mem_by_slot(m) ? mem_send_one(m, s) : mem_send_table(m);
		if (rc == -EAGAIN)
			return rc;
		mem_end(m, !rc);
		if (rc)
			return rc;
	}
	return 0;
}

void vio__vhost_mem_untell(struct vhost_mem *m)
{
	for (unsigned i = 0; i < m->nshared; i++)
		m->shared[i].told = m->shared[i].telling = false;
}

static void mem_span(struct vhost_view *v, const struct vhost_shared *s)
{
	uintptr_t from = (uintptr_t)s->r.ptr;

	v->span[v->nspan++] = (struct vhost_span){ from, from + s->r.size, s->guest - from };
}

int vio__vhost_mem_use(struct vhost_mem *m, struct vhost_view *v, struct vio_mem *mem)
{
	unsigned n = mem ? vio_mem_count(mem) : 0;

	v->span = calloc(n + 1, sizeof(*v->span)); /* at least one, so that hit always points somewhere */
	v->uses = calloc(n + 1, sizeof(*v->uses));
	if (!v->span || !v->uses)
		return vio__fail(ENOMEM, "%s: out of memory", m->front->who);
	v->hit = v->span;
	for (unsigned i = 0; i < n; i++) {
		struct vio_mem_region r;
		struct vhost_shared *s;

		vio_mem_get(mem, i, &r);
		s = mem_share(m, mem, &r);
		if (!s)
			continue; /* requests there are bounced, and counted */
		v->uses[v->nuses++] = s;
		mem_span(v, s);
	}
	return 0;
}

void vio__vhost_mem_unuse(struct vhost_mem *m, struct vhost_view *v)
{
	while (v->nuses)
		mem_drop(m, v->uses[--v->nuses]);
	free(v->uses);
	free(v->span);
}

int vio__vhost_mem_init(struct vhost_mem *m, struct front *f, uint64_t area)
{
	struct vio_mem_region r;
	uint64_t slots;
	int rc = vio__front_slots(f, &slots);

	if (rc)
		return rc;
	m->front = f;
	m->max_shared = (unsigned)VIO_MIN(slots, (uint64_t)VIO_MEM_MAX_REGIONS);
	m->next_guest = MEM_FIRST_GUEST;
	m->shared = calloc(m->max_shared + 1, sizeof(*m->shared));
	if (!m->shared || !m->max_shared)
		return vio__fail(m->shared ? EPROTO : ENOMEM, "%s: %s: no room for shared memory", f->who,
				 f->path);
	rc = vio_mem_alloc(&m->area, MEM_FIRST_GUEST, area);
	if (rc)
		return rc;
	vio_mem_get(m->area, 0, &r);
	mem_share(m, m->area, &r);
	return vio__vhost_mem_tell(m);
}

void vio__vhost_mem_fini(struct vhost_mem *m)
{
	for (unsigned i = 0; i < m->nshared; i++)
		if (m->shared[i].mem)
			mem_forget(&m->shared[i]);
	free(m->shared);
	vio_mem_free(m->area);
}

char *vio__vhost_mem_area(const struct vhost_mem *m, uint64_t *guest)
{
	*guest = m->shared[0].guest;
	return m->shared[0].r.ptr;
}
