/* SPDX-License-Identifier: MIT */
/* Snapshots: made whole, never changed, shared by reference. */
#include "mem/mem.h"

#include "mem/map.h"

static int mem_alloc(struct vio_mem **out, unsigned n)
{
	struct vio_mem *m;

	*out = NULL;
	if (n > VIO_MEM_MAX_REGIONS)
		return vio__fail(E2BIG, "memory map: %u regions, at most %u", n, VIO_MEM_MAX_REGIONS);
	m = calloc(1, sizeof(*m) + n * sizeof(m->ranges[0]));
	if (m)
		m->maps = calloc(n ? n : 1, sizeof(*m->maps));
	if (!m || !m->maps) {
		free(m);
		return vio__fail(ENOMEM, "memory map: out of memory");
	}
	m->refs = 1;
	*out = m;
	return 0;
}

/* Takes over the caller's reference to map if it returns 0. */
static int mem_insert(struct vio_mem *m, struct mem_map *map)
{
	unsigned at = m->n;

	while (at && m->ranges[at - 1].guest > map->r.guest)
		at--;
	/* Neither end of a region can wrap (map.c), so differences are safe. */
	if ((at && map->r.guest - m->ranges[at - 1].guest < m->ranges[at - 1].size) ||
	    (at < m->n && m->ranges[at].guest - map->r.guest < map->r.size))
		return vio__fail(EINVAL, "memory map: region %#llx+%#llx overlaps another",
				 (unsigned long long)map->r.guest, (unsigned long long)map->r.size);
	memmove(m->ranges + at + 1, m->ranges + at, (m->n - at) * sizeof(m->ranges[0]));
	memmove(m->maps + at + 1, m->maps + at, (m->n - at) * sizeof(m->maps[0]));
	m->ranges[at] = (struct mem_range){ map->r.guest, map->r.size, map->r.ptr };
	m->maps[at] = map;
	m->n++;
	return 0;
}

static int mem_insert_new(struct vio_mem *m, const struct vio_mem_region *r, const struct vio_mem_opts *o)
{
	struct mem_map *map;
	int rc = vio__map_new(&map, r, o);

	if (rc)
		return rc;
	rc = mem_insert(m, map);
	if (rc)
		vio__map_put(map);
	return rc;
}

int vio_mem_new(struct vio_mem **out, const struct vio_mem_region *regions, unsigned n,
		const struct vio_mem_opts *opts)
{
	struct vio_mem_opts o;
	struct vio_mem *m;
	int rc = vio__opts(&o, sizeof(o), opts, "vio_mem_opts");

	*out = NULL;
	rc = rc ? rc : mem_alloc(&m, n);
	if (rc)
		return rc;
	for (unsigned i = 0; i < n && !rc; i++)
		rc = mem_insert_new(m, &regions[i], &o);
	if (rc)
		vio_mem_free(m);
	else
		*out = m;
	return rc;
}

/* Adds to `to` all of m's regions but number `without`. Can't fail: they did not overlap in m. */
static void mem_share(struct vio_mem *to, const struct vio_mem *m, unsigned without)
{
	for (unsigned i = 0; i < m->n; i++) {
		if (i == without)
			continue;
		vio__map_get(m->maps[i]);
		mem_insert(to, m->maps[i]);
	}
}

int vio_mem_add(struct vio_mem **out, struct vio_mem *m, const struct vio_mem_region *r,
		const struct vio_mem_opts *opts)
{
	struct vio_mem_opts o;
	struct vio_mem *next;
	int rc = vio__opts(&o, sizeof(o), opts, "vio_mem_opts");

	*out = NULL;
	rc = rc ? rc : mem_alloc(&next, m->n + 1);
	if (rc)
		return rc;
	mem_share(next, m, UINT32_MAX);
	rc = mem_insert_new(next, r, &o);
	if (rc)
		vio_mem_free(next);
	else
		*out = next;
	return rc;
}

int vio_mem_remove(struct vio_mem **out, struct vio_mem *m, const struct vio_mem_region *r)
{
	unsigned at = 0;
	int rc;

	*out = NULL;
	while (at < m->n && (m->maps[at]->r.guest != r->guest || m->maps[at]->r.size != r->size ||
			     m->maps[at]->r.user != r->user))
		at++;
	if (at == m->n)
		return vio__fail(ENOENT, "memory map: no region %#llx+%#llx at user address %#llx",
				 (unsigned long long)r->guest, (unsigned long long)r->size,
				 (unsigned long long)r->user);
	rc = mem_alloc(out, m->n - 1);
	if (!rc)
		mem_share(*out, m, at);
	return rc;
}

struct vio_mem *vio_mem_ref(struct vio_mem *m)
{
	__atomic_add_fetch(&m->refs, 1, __ATOMIC_RELAXED);
	return m;
}

void vio_mem_free(struct vio_mem *m)
{
	if (!m || __atomic_sub_fetch(&m->refs, 1, __ATOMIC_ACQ_REL))
		return;
	for (unsigned i = 0; i < m->n; i++)
		vio__map_put(m->maps[i]);
	free(m->maps);
	free(m);
}

unsigned vio_mem_count(const struct vio_mem *m)
{
	return m->n;
}

int vio_mem_get(const struct vio_mem *m, unsigned i, struct vio_mem_region *out)
{
	if (i >= m->n)
		return vio__fail(ENOENT, "memory map: no region %u, there are %u", i, m->n);
	*out = m->maps[i]->r;
	return 0;
}
