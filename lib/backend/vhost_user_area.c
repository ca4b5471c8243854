/* SPDX-License-Identifier: MIT */
/* The shared memory of one queue: ring, headers, status bytes, indirect tables, bounce buffers. */
#include "backend/vhost_user.h"

/* Where things lie, in bytes from the queue's part of the area. */
struct area {
	uint64_t driver, device, header, range, status, tables, bounce, end;
};

static uint64_t area_up(uint64_t at, uint64_t align)
{
	return (at + align - 1) & ~(align - 1);
}

static uint64_t area_slots(const struct vhost_disk *d)
{
	return d->queue_size / 3;
}

/* What the device writes starts on lines of its own. */
static struct area area_layout(const struct vhost_disk *d)
{
	uint32_t size = (uint32_t)d->queue_size;
	uint64_t n = area_slots(d);
	struct area a;

	a.driver = area_up(vring_desc_bytes(size), VIO_CACHELINE);
	a.device = area_up(a.driver + (d->packed ? 4 : vring_avail_bytes(size)), VIO_CACHELINE);
	a.header = area_up(a.device + (d->packed ? 4 : vring_used_bytes(size)), VIO_CACHELINE);
	a.range = area_up(a.header + 16 * n, VIO_CACHELINE);
	a.status = area_up(a.range + 16 * n, VIO_CACHELINE);
	a.tables = area_up(a.status + n, 4096);
	a.bounce = area_up(a.tables + n * VHOST_TABLE * 16, 4096);
	a.end = a.bounce + (uint64_t)VHOST_CHUNKS * VHOST_CHUNK;
	return a;
}

uint64_t vio__vhost_area_bytes(const struct vhost_disk *d)
{
	return area_layout(d).end;
}

static uint64_t area_guest(const struct vhost_disk *d, unsigned index)
{
	uint64_t guest;

	vio__vhost_mem_area(&d->mem, &guest);
	return guest + d->area_lane * index;
}

static char *area_ptr(const struct vhost_disk *d, unsigned index)
{
	uint64_t guest;

	return vio__vhost_mem_area(&d->mem, &guest) + d->area_lane * index;
}

static void area_split(struct vhost_disk *d, struct vhost_lane *v, const struct area *a, char *at)
{
	v->ring.s = (struct vring_split){
		.desc = (void *)at,
		.avail = (void *)(at + a->driver),
		.used = (void *)(at + a->device),
		.shape = v->per_slot,
		.header = area_guest(d, v->index) + a->header,
		.status = area_guest(d, v->index) + a->status,
		.size = (uint16_t)d->queue_size,
		.slots = v->nslots,
		.event_idx = vhost_has(d, VIRTIO_RING_F_EVENT_IDX),
	};
}

static void area_packed(struct vhost_disk *d, struct vhost_lane *v, const struct area *a, char *at)
{
	v->ring.p = (struct vring_packed){
		.desc = (void *)at,
		.driver = (void *)(at + a->driver),
		.device = (void *)(at + a->device),
		.span = v->per_slot,
		.header = area_guest(d, v->index) + a->header,
		.status = area_guest(d, v->index) + a->status,
		.size = (uint16_t)d->queue_size,
		.slots = v->nslots,
		.event_idx = vhost_has(d, VIRTIO_RING_F_EVENT_IDX),
	};
}

static void area_pools(struct vhost_lane *v)
{
	/* Stacks: the lowest comes off first. */
	for (unsigned i = 0; i < v->nslots; i++)
		v->free[i] = (uint16_t)(v->nslots - 1 - i);
	for (unsigned i = 0; i < VHOST_CHUNKS; i++)
		v->chunks[i] = (uint16_t)(VHOST_CHUNKS - 1 - i);
	v->nfree = v->nslots;
	v->nchunks = VHOST_CHUNKS;
}

int vio__vhost_area_open(struct vhost_disk *d, struct vhost_lane *v)
{
	struct area a = area_layout(d);
	char *at = area_ptr(d, v->index);
	uint64_t guest = area_guest(d, v->index);

	v->nslots = (uint16_t)area_slots(d);
	v->slot = calloc(v->nslots, sizeof(*v->slot));
	v->free = calloc(v->nslots, sizeof(*v->free));
	v->per_slot = calloc(v->nslots, 1);
	v->chunks = calloc(VHOST_CHUNKS, sizeof(*v->chunks));
	if (!v->slot || !v->free || !v->per_slot || !v->chunks)
		return vio__fail(ENOMEM, "vhost_user: out of memory");
	area_pools(v);
	v->header = (void *)(at + a.header);
	v->range = (void *)(at + a.range);
	v->range_guest = guest + a.range;
	v->status = (void *)(at + a.status);
	v->tables = at + a.tables;
	v->tables_guest = guest + a.tables;
	v->bounce = at + a.bounce;
	v->bounce_guest = guest + a.bounce;
	v->ring.packed = d->packed;
	if (d->packed)
		area_packed(d, v, &a, at);
	else
		area_split(d, v, &a, at);
	vio__vhost_ring_reset(v);
	return 0;
}

void vio__vhost_area_close(struct vhost_lane *v)
{
	free(v->slot);
	free(v->free);
	free(v->per_slot);
	free(v->chunks);
}

void vio__vhost_ring_reset(struct vhost_lane *v)
{
	if (v->ring.packed)
		vring_packed_start(&v->ring.p);
	else
		vring_split_start(&v->ring.s, 0);
}

int vio__vhost_ring_start(struct vhost_disk *d, struct vhost_lane *v, uint32_t base)
{
	struct area a = area_layout(d);
	uint64_t guest = area_guest(d, v->index);
	struct front_ring r = {
		.index = v->index,
		.size = (uint32_t)d->queue_size,
		.base = base,
		.desc = guest,
		.driver = guest + a.driver,
		.device = guest + a.device,
		.kick = v->bells.kick,
		.call = v->bells.call,
		.err = v->bells.err,
	};
	int rc = vio__front_ring_start(&d->front, &r);

	if (rc)
		return rc;
	d->running++;
	v->running = true;
	return 0;
}

uint32_t vio__vhost_ring_base(const struct vhost_lane *v)
{
	uint32_t at;

	if (!v->ring.packed)
		return v->ring.s.seen;
	at = v->ring.p.seen.at | (v->ring.p.seen.wrap ? 0x8000u : 0);
	return at | at << 16;
}
