/* SPDX-License-Identifier: MIT */
/* The shared memory of one queue: ring, headers, indirect tables, bounce buffers. Untouched pages cost
 * nothing. */
#include "backend/vhost_user_net.h"

/* Where things lie, in bytes from the queue's part of the area. */
struct area {
	uint64_t driver, device, hdrs, tables, chunks, end;
};

static uint64_t area_up(uint64_t at, uint64_t align)
{
	return (at + align - 1) & ~(align - 1);
}

/* What the device writes starts on lines of its own. */
static struct area area_layout(const struct vnet *d)
{
	const uint32_t size = (uint32_t)d->queue_size;
	const uint64_t slots = size / 2;
	struct area a;

	a.driver = area_up(vring_desc_bytes(size), VIO_CACHELINE);
	a.device = area_up(a.driver + (d->packed ? 4 : vring_avail_bytes(size)), VIO_CACHELINE);
	a.hdrs = area_up(a.device + (d->packed ? 4 : vring_used_bytes(size)), VIO_CACHELINE);
	a.tables = area_up(a.hdrs + slots * VNET_HDR_ROOM, 4096);
	a.chunks = area_up(a.tables + slots * VNET_TABLE * 16, 4096);
	a.end = area_up(a.chunks + slots * VNET_CHUNK, 4096);
	return a;
}

uint64_t vnet_area_bytes(const struct vnet *d)
{
	return area_layout(d).end;
}

static void area_ring(struct vnet_lane *v, const struct area *a, char *at)
{
	const struct vnet *d = v->d;

	v->ring.packed = d->packed;
	if (d->packed)
		v->ring.p = (struct vring_packed){ .desc = (void *)at,
						   .driver = (void *)(at + a->driver),
						   .device = (void *)(at + a->device),
						   .span = v->per_slot,
						   .size = (uint16_t)d->queue_size,
						   .slots = v->nslots,
						   .event_idx = vnet_has(d, VIRTIO_RING_F_EVENT_IDX) };
	else
		v->ring.s = (struct vring_split){ .desc = (void *)at,
						  .avail = (void *)(at + a->driver),
						  .used = (void *)(at + a->device),
						  .size = (uint16_t)d->queue_size,
						  .slots = v->nslots,
						  .event_idx = vnet_has(d, VIRTIO_RING_F_EVENT_IDX) };
}

int vnet_area_open(struct vnet_lane *v)
{
	const struct area a = area_layout(v->d);
	uint64_t guest;
	char *at = vio__vhost_mem_area(&v->d->mem, &guest) + v->d->area_lane * v->index;

	guest += v->d->area_lane * v->index;
	v->nslots = (uint16_t)(v->d->queue_size / 2);
	v->per_slot = calloc(v->nslots, 1);
	if (!v->per_slot)
		return vio__fail(ENOMEM, "vhost_user_net: out of memory for a lane");
	v->hdrs = at + a.hdrs;
	v->hdrs_guest = guest + a.hdrs;
	v->tables = at + a.tables;
	v->tables_guest = guest + a.tables;
	v->chunks = at + a.chunks;
	v->chunks_guest = guest + a.chunks;
	v->tables_known = vnet_has(v->d, VIRTIO_RING_F_INDIRECT_DESC);
	area_ring(v, &a, at);
	return 0;
}

void vnet_area_close(struct vnet_lane *v)
{
	free(v->per_slot);
}

int vnet_ring_start(struct vnet *d, const struct vnet_lane *v)
{
	const struct area a = area_layout(d);
	uint64_t guest;
	struct front_ring r = {
		.index = v->index,
		.size = (uint32_t)d->queue_size,
		.base = d->packed ? 0x80008000u : 0, /* both wrap counters are 1 at first */
		.kick = v->bells.kick,
		.call = v->bells.call,
		.err = v->bells.err,
	};

	vio__vhost_mem_area(&d->mem, &guest);
	r.desc = guest + d->area_lane * v->index;
	r.driver = r.desc + a.driver;
	r.device = r.desc + a.device;
	return vio__front_ring_start(&d->front, &r);
}
