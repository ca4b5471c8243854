/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* the registers' names in ucontext.h */
/*
 * A guest that changes its rings, headers, commands and what a dead server left between any two looks at them
 * gets what one of the versions asks for, or is refused; nothing is checked in one version and done in
 * another. Not by luck, as with a second thread that scribbles: every moment there is is tried (THREATS rows
 * 6 and 18).
 */
#include "watched_memory.h"

#include "net_commands.h"
#include "queue_pair.h"

#include "device/net.h"
#include "frames.h"
#include "queue/inflight.h"

#define SIZE 16u
#define DATA (RG_AT + RG_DATA)
#define TABLE (DATA + 0x1000)
#define POISON (DATA + 0x80000) /* where only what lies beyond the rules points to */
#define DESC 16u

/* One guest for all plays: the queue is new each time. */
static struct ring_guest guest;

/* A sound request, and what a hostile guest has there instead. */
struct scene {
	const char *name;
	uint64_t features;
	void (*set)(struct ring_guest *g);
};

static void poisoned(void *at, uint64_t addr, uint32_t len, uint16_t third, uint16_t fourth)
{
	struct vring_desc d = { addr, len, third, fourth };

	watched_hostile(at, &d, sizeof(d));
}

/* flags and next are for a split ring, flags and id for a packed one. */
static void hostile_desc(struct ring_guest *g, void *at, uint64_t addr, uint32_t len, uint16_t flags,
			 uint16_t next)
{
	if (g->packed)
		poisoned(at, addr, len, next, (uint16_t)(flags | VRING_AVAIL_BIT));
	else
		poisoned(at, addr, len, flags, next);
}

static void two_buffers(struct ring_guest *g)
{
	const struct rg_buf b[] = { { DATA, 100, 0 }, { DATA + 0x200, 200, RG_WRITE } };

	assert_true(rg_post(g, b, 2) >= 0);
}

static void length_grows(struct ring_guest *g)
{
	const struct rg_buf b = { DATA, 100, 0 };
	int id = rg_post(g, &b, 1);

	hostile_desc(g, &g->desc[g->packed ? 0 : id], DATA, UINT32_MAX, 0, (uint16_t)id);
}

static void address_leaves(struct ring_guest *g)
{
	const struct rg_buf b = { DATA, 100, RG_WRITE };
	int id = rg_post(g, &b, 1);

	hostile_desc(g, &g->desc[g->packed ? 0 : id], UINT64_MAX - 50, 100, RG_WRITE, (uint16_t)id);
}

static void chain_grows(struct ring_guest *g)
{
	two_buffers(g);
	for (unsigned i = 0; i < SIZE; i++)
		if (g->desc[i].addr == DATA + 0x200)
			hostile_desc(g, &g->desc[i], RG_END - 8, 64, RG_WRITE | RG_NEXT,
				     g->packed ? 0 : 0xffff);
}

/* Beyond the table lies something like a descriptor. */
static void next_leaves(struct ring_guest *g)
{
	g->desc[SIZE] = (struct vring_desc){ POISON, 64, RG_WRITE, 0 };
	two_buffers(g);
	for (unsigned i = 0; i < SIZE; i++)
		if (g->desc[i].addr == DATA)
			poisoned(&g->desc[i], DATA, 100, RG_NEXT, SIZE);
}

static void head_leaves(struct ring_guest *g)
{
	uint16_t beyond = SIZE;

	g->desc[SIZE] = (struct vring_desc){ POISON, 64, RG_WRITE, 0 };
	two_buffers(g);
	watched_hostile(&g->avail->ring[0], &beyond, 2);
}

static void id_leaves(struct ring_guest *g)
{
	const struct rg_buf b = { DATA, 100, RG_WRITE };

	rg_post(g, &b, 1);
	poisoned(&g->ring[0], DATA, 100, 0xfff0, RG_WRITE | VRING_AVAIL_BIT);
}

static void index_jumps(struct ring_guest *g)
{
	uint16_t idx;

	two_buffers(g);
	idx = (uint16_t)(g->avail_idx + 5 * SIZE);
	watched_hostile(&g->avail->idx, &idx, 2);
}

static void buffer_spans_regions(struct ring_guest *g)
{
	const struct rg_buf b = { RG_SECOND - 50, 100, RG_WRITE };
	int id = rg_post(g, &b, 1);

	hostile_desc(g, &g->desc[g->packed ? 0 : id], RG_SECOND - 50, 50 + RG_SECOND_BYTES + 1, RG_WRITE,
		     (uint16_t)id);
}

static void kind_changes(struct ring_guest *g)
{
	const struct rg_buf b = { TABLE, 32, RG_WRITE };
	const struct rg_buf t[] = { { DATA, 8, 0 }, { UINT64_MAX - 8, 64, RG_WRITE } };
	int id = rg_post(g, &b, 1);

	rg_table(g, TABLE, t, 2);
	hostile_desc(g, &g->desc[g->packed ? 0 : id], TABLE, 32, RG_INDIRECT, (uint16_t)id);
}

/* The last of the table's descriptors moves to the second region's end, and its buffer beyond. */
static void table_changes(struct ring_guest *g)
{
	const struct rg_buf t[] = { { DATA, 8, 0 }, { DATA + 64, 64, RG_WRITE } };
	struct rg_buf b = rg_table(g, TABLE, t, 2);

	rg_post(g, &b, 1);
	hostile_desc(g, rg_ptr(g, TABLE + DESC), RG_END - 8, 16, RG_WRITE | RG_NEXT, 7);
}

static void table_shrinks(struct ring_guest *g)
{
	const struct rg_buf t[] = { { DATA, 8, 0 }, { RG_SECOND - 8, 16, RG_WRITE } };
	struct rg_buf b = rg_table(g, TABLE, t, 2);
	int id = rg_post(g, &b, 1);

	hostile_desc(g, &g->desc[g->packed ? 0 : id], RG_END - DESC, 2 * DESC, RG_INDIRECT, (uint16_t)id);
}

#define INDIRECTS (INDIRECT | V1)
static const struct scene scenes[] = {
	{ "a length", V1, length_grows },
	{ "a length", PACKED, length_grows },
	{ "an address", V1, address_leaves },
	{ "an address", PACKED, address_leaves },
	{ "a chain", V1, chain_grows },
	{ "a chain", PACKED, chain_grows },
	{ "a next", V1, next_leaves },
	{ "a head", V1, head_leaves },
	{ "a head, in order", V1 | IN_ORDER, head_leaves },
	{ "an id", PACKED, id_leaves },
	{ "an id, in order", PACKED | IN_ORDER, id_leaves },
	{ "an avail idx", V1, index_jumps },
	{ "a buffer over two regions", V1, buffer_spans_regions },
	{ "a buffer over two regions", PACKED, buffer_spans_regions },
	{ "a buffer that is a table", INDIRECTS, kind_changes },
	{ "a buffer that is a table", INDIRECTS | PACKED, kind_changes },
	{ "a table", INDIRECTS, table_changes },
	{ "a table", INDIRECTS | PACKED, table_changes },
	{ "a table's length", INDIRECTS, table_shrinks },
	{ "a table's length", INDIRECTS | PACKED, table_shrinks },
};

static void lies_in_memory(const struct iovec *v)
{
	const char *at = v->iov_base;
	size_t first = (size_t)(at - guest.base), second = (size_t)(at - guest.second);

	assert_true((first < RG_BYTES && v->iov_len <= RG_BYTES - first) ||
		    (second < RG_SECOND_BYTES && v->iov_len <= RG_SECOND_BYTES - second));
	assert_ptr_not_equal(at, guest.base + (POISON - RG_AT));
}

/* What was taken can be given, and goes back under ids that there are. */
static void give_all(struct vio_queue *q, struct vio_req **r, unsigned n)
{
	uint32_t len;
	int id;

	for (unsigned i = 0; i < n; i++) {
		assert_true(r[i]->nout + r[i]->nin <= SIZE);
		for (unsigned k = 0; k < (unsigned)r[i]->nout + r[i]->nin; k++)
			lies_in_memory(&r[i]->buf[k]);
	}
	vio_queue_give(q, r, n);
	vio_queue_flush(q);
	for (unsigned i = 0; i < n; i++) {
		id = guest.packed ? guest.ring[0].id : (int)guest.used->ring[i].id;
		len = guest.packed ? guest.ring[0].len : guest.used->ring[i].len;
		assert_in_range(id, 0, SIZE - 1);
		assert_int_equal(len, 0);
	}
}

static void take(const void *arg)
{
	const struct scene *s = arg;
	struct vio_req *r[SIZE];
	struct vio_queue_opts o;
	struct vio_queue *q;
	int n;

	rg_shape(&guest, s->features, SIZE);
	o = rg_opts(&guest);
	o.max_segments = SIZE;
	ok(vio_queue_new(&q, &o));
	s->set(&guest);
	watched_on(guest.base, RG_BYTES);
	n = vio_queue_take(q, r, SIZE);
	watched_off();
	assert_true(n >= 0 || n == -EBADMSG);
	assert_true(n <= 1);
	if (n > 0)
		give_all(q, r, (unsigned)n);
	vio_queue_free(q);
}

static void descriptors(void **state)
{
	(void)state;
	if (!WATCHED_STEPS)
		skip();
	ok(rg_open(&guest, V1, SIZE));
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(scenes); i++) {
		unsigned n = watched_each(take, &scenes[i]);

		print_message("%s, %s: %u accesses\n", scenes[i].features & VIO_BIT(34) ? "packed" : "split",
			      scenes[i].name, n);
		assert_true(n >= 1);
	}
	rg_close(&guest);
}

/* An inflight region that a dead server left, at its page's end: behind it no byte can be touched. */
static struct region {
	char *page;
	size_t size;
	struct packed_inflight *packed;
	struct split_inflight *split;
} region;

#define REGION_PAGE 4096u

static void region_open(bool packed)
{
	char *p = mmap(NULL, 2 * REGION_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(mprotect(p + REGION_PAGE, REGION_PAGE, PROT_NONE), 0);
	region.page = p;
	region.size = packed ? sizeof(*region.packed) + SIZE * sizeof(region.packed->desc[0])
			     : sizeof(*region.split) + SIZE * sizeof(region.split->desc[0]);
	region.packed = (void *)(p + REGION_PAGE - region.size);
	region.split = (void *)region.packed;
}

struct region_scene {
	const char *name;
	bool packed;
	unsigned at, len; /* of the region, or of the entry that is in flight */
	bool entry;
	uint8_t hostile[8];
};

#define IN_SPLIT(m) .at = offsetof(struct split_inflight, m), .len = sizeof(((struct split_inflight *)0)->m)
#define IN_PACKED(m)                                                                                         \
	.packed = true, .at = offsetof(struct packed_inflight, m),                                           \
	.len = sizeof(((struct packed_inflight *)0)->m)
#define IN_ENTRY(m)                                                                                          \
	.packed = true, .entry = true, .at = offsetof(struct packed_entry, m),                               \
	.len = sizeof(((struct packed_entry *)0)->m)

static const struct region_scene regions[] = {
	{ "used_idx", IN_SPLIT(used_idx), .hostile = { 0xff, 0xff } },
	{ "last_batch", IN_SPLIT(last_batch), .hostile = { 0xff, 0xff } },
	{ "size", IN_SPLIT(size), .hostile = { 0xff, 0xff } },
	{ "free_head", IN_PACKED(free_head), .hostile = { 0xff, 0xff } },
	{ "old_free_head", IN_PACKED(old_free_head), .hostile = { 0xff, 0xff } },
	{ "position", IN_PACKED(at), .hostile = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } },
	{ "an entry's next", IN_ENTRY(next), .hostile = { 0xff, 0xff } },
	{ "an entry's last", IN_ENTRY(last), .hostile = { 0xff, 0xff } },
	{ "an entry's num", IN_ENTRY(num), .hostile = { 0xff, 0xff } },
	{ "an entry's id", IN_ENTRY(id), .hostile = { 0xff, 0xff } },
	{ "an entry's len", IN_ENTRY(len), .hostile = { 0xff, 0xff, 0xff, 0xff } },
	{ "an entry's address", IN_ENTRY(addr),
	  .hostile = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } },
};

static struct vio_queue_opts region_opts(void)
{
	struct vio_queue_opts o = rg_opts(&guest);

	o.max_segments = SIZE;
	o.inflight = region.packed;
	o.inflight_size = region.size;
	return o;
}

/* A server takes three chains, gives the second and dies. */
static void region_live(void)
{
	struct vio_queue_opts o = region_opts();
	struct vio_req *r[3];
	struct vio_queue *q;

	memset(region.packed, 0, region.size);
	ok(vio_queue_new(&q, &o));
	for (unsigned i = 0; i < 3; i++)
		two_buffers(&guest);
	assert_int_equal(vio_queue_take(q, r, 3), 3);
	vio_queue_give(q, r + 1, 1);
	vio_queue_flush(q);
	vio_queue_free(q);
}

static void resume(const void *arg)
{
	const struct region_scene *s = arg;
	struct vio_req *r[SIZE];
	struct vio_queue_opts o;
	struct vio_queue *q = NULL;
	int n = 0;

	rg_shape(&guest, s->packed ? PACKED : V1, SIZE);
	o = region_opts();
	region_live();
	two_buffers(&guest);
	watched_hostile((char *)(s->entry ? (void *)&region.packed->desc[0] : region.packed) + s->at,
			s->hostile, s->len);
	watched_on(region.page, REGION_PAGE);
	if (!vio_queue_new(&q, &o)) {
		while ((n = vio_queue_take(q, r, SIZE)) > 0) { /* first what was in flight, then the rest */
			for (int i = 0; i < n; i++)
				for (unsigned k = 0; k < (unsigned)r[i]->nout + r[i]->nin; k++)
					lies_in_memory(&r[i]->buf[k]);
			vio_queue_give(q, r, (unsigned)n);
			vio_queue_flush(q);
		}
	}
	watched_off();
	assert_true(n == 0 || n == -EBADMSG);
	vio_queue_free(q);
}

static void inflight_regions(void **state)
{
	(void)state;
	if (!WATCHED_STEPS)
		skip();
	ok(rg_open(&guest, V1, SIZE));
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(regions); i++) {
		region_open(regions[i].packed);
		print_message("%s: %u accesses\n", regions[i].name, watched_each(resume, &regions[i]));
		munmap(region.page, 2 * REGION_PAGE);
	}
	rg_close(&guest);
}

#define SEND 1u
#define LEN 100u
#define HDR 12u
#define HDR_HASH 20u
#define WHOLE 1000u

static struct net_guest net;

struct packet_scene {
	const char *name;
	struct virtio_net_hdr_v1 sound, hostile;
	unsigned piece; /* its first descriptor is so long */
};

#define TCP .flags = 1, .csum_start = 34, .csum_offset = 16
static const struct packet_scene packets[] = {
	{ "a checksum that comes", { 0 }, { .flags = 1, .csum_start = 0xffff }, WHOLE },
	{ "a checksum that moves", { TCP }, { .flags = 1, .csum_start = 34, .csum_offset = LEN }, WHOLE },
	{ "a checksum that moves, in pieces",
	  { TCP },
	  { .flags = 1, .csum_start = LEN, .csum_offset = LEN },
	  5 },
	{ "segments that shrink to nothing",
	  { TCP, .gso_type = 1, .gso_size = 10 },
	  { TCP, .gso_type = 1 },
	  HDR },
	{ "segments that come", { TCP }, { .flags = 0, .gso_type = 1, .gso_size = 1 }, WHOLE },
	{ "a kind that is not offered",
	  { TCP, .gso_type = 1, .gso_size = 10 },
	  { TCP, 3, .gso_size = 9 },
	  HDR },
	{ "a kind that its frame decides", { TCP, .gso_type = 5, .gso_size = 10 }, { TCP, 5 }, HDR },
};

/* The test's port ends the process at an offload that leaves its frame. */
static void send_one(const void *arg)
{
	const struct packet_scene *s = arg;
	unsigned hdr = vio_dev_acked(net.dev) & NET_F(HASH_REPORT) ? HDR_HASH : HDR, all = hdr + LEN;
	unsigned piece = s->piece == HDR ? hdr : VIO_MIN(s->piece, all);
	const struct rg_buf b[] = { { NET_AT, piece, 0 }, { NET_AT + piece, all - piece, 0 } };
	unsigned before = net.port->sent;
	uint64_t lost = net_stats(&net).dropped[VIO_NET_DROP_HEADER];
	uint8_t *p = net_ptr(&net, SEND, 0);
	uint32_t len;

	memset(p, 0, all);
	memcpy(p, &s->sound, HDR);
	p[hdr + 12] = 8; /* IPv4, or (hostile) IPv6 */
	watched_hostile(p, &s->hostile, HDR);
	watched_hostile(p + hdr + 12, "\x86\xdd", 2);
	assert_true(rg_post(net_ring(&net, SEND), b, 1 + (piece < all)) >= 0);
	vio_vq_kick(net.dev, SEND);
	watched_on(net_ring(&net, SEND)->base, RG_BYTES);
	net_pump(&net);
	watched_off();
	assert_true(rg_reap(net_ring(&net, SEND), &len) >= 0);
	assert_int_equal(len, 0);
	assert_int_equal(net.port->sent - before + net_stats(&net).dropped[VIO_NET_DROP_HEADER] - lost, 1);
}

static void headers(void **state)
{
	(void)state;
	if (!WATCHED_STEPS)
		skip();
	for (unsigned how = 0; how < 4; how++) {
		uint64_t not = (how & 1 ? 0 : NET_PACKED) | (how & 2 ? 0 : NET_F(HASH_REPORT));

		assert_int_equal(net_open(&net), 0);
		assert_int_equal(net_device(&net, 0, NULL), 0);
		ok(vio_dev_set_features(net.dev, vio_dev_features(net.dev) & ~not ));
		assert_int_equal(net_start(&net, SEND, SIZE), 0);
		for (unsigned i = 0; i < VIO_ARRAY_SIZE(packets); i++)
			print_message("%s: %u accesses\n", packets[i].name,
				      watched_each(send_one, &packets[i]));
		net_close(&net);
	}
}

struct command_scene {
	const char *name;
	uint8_t len, sound[16], hostile[16];
};

static const struct command_scene commands[] = {
	{ "a number of pairs", 4, { 4, 0, 3 }, { 4, 0, 0xff, 0xff } },
	{ "a VLAN", 4, { 2, 0, 5 }, { 2, 0, 0xff, 0xff } },
	{ "an address", 8, { 1, 1, 2, 0, 0, 0, 0, 7 }, { 1, 1, 3, 0, 0, 0, 0, 7 } },
	{ "a mode", 3, { 0, 0, 1 }, { 0, 0, 0xff } },
	{ "a command", 3, { 0, 1, 1 }, { 0, 0xff, 1 } },
	{ "tables", 16, { 1, 0, 1, 0, 0, 0, 2 }, { 1, 0, 0xff, 0xff, 0xff, 0xff } },
	{ "a table", 15, { 4, 1, 0xff, 1, 0, 0, 0, 0, 1, 0, 2, 0, 3 }, { 4, 1, [2 ... 14] = 0xff } },
	{ "a mask",
	  15,
	  { 4, 1, 0xff, 1, 0, 0, 0, 0, 1, 0, 2, 0, 3 },
	  { 4, 1, 0xff, 1, 0, 0, 0xff, 0xff, [12] = 3 } },
	{ "a key's length", 15, { 4, 1, [12] = 1 }, { 4, 1, [12] = 1, [14] = 0xff } },
	{ "offloads", 10, { 5, 0, 2 }, { 5, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } },
};

static void command(const void *arg)
{
	const struct command_scene *s = arg;
	unsigned queue = net_command_queue(&net);
	const struct rg_buf b[] = { { NET_AT, s->len, 0 }, { NET_AT + NET_ACK_AT, 1, RG_WRITE } };
	const struct net *n = net.dev->priv;
	uint8_t *p = net_ptr(&net, queue, 0);
	uint32_t len;

	memcpy(p, s->sound, s->len);
	watched_hostile(p, s->hostile, s->len);
	assert_true(rg_post(net_ring(&net, queue), b, 2) >= 0);
	vio_vq_kick(net.dev, queue);
	watched_on(net_ring(&net, queue)->base, RG_BYTES);
	net_pump(&net);
	watched_off();
	assert_true(rg_reap(net_ring(&net, queue), &len) >= 0);
	assert_int_equal(len, 1);
	assert_true(n->receives && !(n->receives & ~net_first(n->pairs)));
	for (unsigned i = 0; i < net.port->steer.entries; i++)
		assert_in_range(net.port->table[i], 0, n->pairs - 1);
	assert_false(n->filter.mac >> 40 & 1);
	assert_false(n->recv_takes & ~(VIO_PACKET_CSUM | VIO_PACKET_CSUM_OK | VIO_RECV_MERGE |
				       VIO_PACKET_GSO | VIO_PACKET_ECN));
	for (unsigned k = 0; k < FILTER_KINDS; k++)
		assert_true(filter_now(&n->filter)->n[k] <= FILTER_MACS);
}

static void control(void **state)
{
	(void)state;
	if (!WATCHED_STEPS)
		skip();
	assert_int_equal(net_open(&net), 0);
	assert_int_equal(net_device(&net, 0, "pairs=4"), 0);
	ok(vio_dev_set_features(net.dev, vio_dev_features(net.dev) & ~NET_PACKED));
	assert_int_equal(net_start(&net, net_command_queue(&net), SIZE), 0);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(commands); i++)
		print_message("%s: %u accesses\n", commands[i].name, watched_each(command, &commands[i]));
	net_close(&net);
}

static uint8_t *shared; /* a frame in memory of its own */
#define SHARED 8192u

static const struct cut_scene {
	const char *name;
	unsigned at;
	uint8_t hostile;
} cuts[] = {
	{ "the type", 12, 0x86 },	{ "the IP header's length", 14, 0x4f },
	{ "the IP version", 14, 0x65 }, { "the protocol", 23, 17 },
	{ "a fragment", 20, 0x20 },	{ "the TCP header's length", 34 + 12, 0xf0 },
};

/* Each piece has the headers of one whole and sound packet. */
static void cut(const void *arg)
{
	const struct cut_scene *s = arg;
	struct iovec iov[] = { { shared, 20 }, { shared + 20, 4000 - 20 } };
	const struct vio_req r = {
		.flags = VIO_PACKET_TSO4, .niov = 2, .iov = iov, .len = 4000, .offload = { .gso_size = 1000 }
	};
	uint8_t head[PACKET_HEAD_MAX];
	static struct frame f;
	struct packet_cut c;
	struct packet p;
	uint32_t offset, len, all = 0;
	unsigned head_len, n;
	int rc;

	frame_eth(&f);
	frame_ipv4(&f, "10.0.0.1", "10.0.0.2", IPPROTO_TCP, 0);
	frame_tcp(&f, 1, 2, 0x10, 0);
	frame_payload(&f, 4000 - f.len);
	frame_end(&f);
	memcpy(shared, f.b, 4000);
	watched_hostile(shared + s->at, &s->hostile, 1);
	watched_on(shared, SHARED);
	rc = vio__packet_cut_begin(&c, &r);
	watched_off();
	for (n = 0; !rc && vio__packet_cut_next(&c, head, &head_len, &offset, &len); n++) {
		assert_true(vio__packet_parse(&p, head, head_len, head_len + len));
		assert_int_equal(p.payload, head_len);
		assert_int_equal(p.l4_kind, PACKET_L4_TCP);
		assert_false(p.lengths_differ || p.fragment);
		assert_int_equal(offset, head_len + all);
		all += len;
	}
	assert_true(rc == -EINVAL || (all == 4000 - head_len && n == (all + 999) / 1000));
}

static void segments(void **state)
{
	(void)state;
	if (!WATCHED_STEPS)
		skip();
	shared = mmap(NULL, SHARED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(shared, MAP_FAILED);
	for (unsigned i = 0; i < VIO_ARRAY_SIZE(cuts); i++)
		print_message("%s: %u accesses\n", cuts[i].name, watched_each(cut, &cuts[i]));
	munmap(shared, SHARED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors), cmocka_unit_test(inflight_regions), cmocka_unit_test(headers),
		cmocka_unit_test(control),     cmocka_unit_test(segments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
