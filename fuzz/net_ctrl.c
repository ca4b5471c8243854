/* SPDX-License-Identifier: MIT */
/*
 * Commands of any content and framing to a network device's control queue, and packets in
 * between. A second, plainer model beside it says what must be acknowledged, which packets
 * the guest must get and with what hash, and where the port is to put them; and that is at
 * once, however late it is notified.
 */
#include "net_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RING 64u
#define MAC "02:00:00:00:00:01"

struct input {
	const uint8_t *at, *end;
};

static struct net_guest guest;

static uint8_t input_byte(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static void guest_begin(struct input *in)
{
	static const uint8_t bits[] = { VIRTIO_NET_F_CTRL_RX,
					VIRTIO_NET_F_CTRL_RX_EXTRA,
					VIRTIO_NET_F_CTRL_VLAN,
					VIRTIO_NET_F_CTRL_MAC_ADDR,
					VIRTIO_NET_F_GUEST_ANNOUNCE,
					VIRTIO_NET_F_MQ,
					VIRTIO_NET_F_CTRL_GUEST_OFFLOADS,
					VIRTIO_NET_F_GUEST_CSUM };
	uint8_t without = input_byte(in), with = input_byte(in);
	const uint64_t coal = NET_F(NOTF_COAL) | NET_F(VQ_NOTF_COAL);

	if (!guest.dev && (net_open(&guest) || net_device(&guest, 0, "pairs=2,mac=" MAC)))
		abort();
	model = (struct model){ .mode = { 1 },
				.mac = { 2, 0, 0, 0, 0, 1 },
				.features = NET_V1 | NET_F(CTRL_VQ) | (without == 0xff ? 0 : coal) };
	for (unsigned i = 0; i < sizeof(bits); i++)
		model.features |= without >> i & 1 ? 0 : VIO_BIT(bits[i]);
	model.features |= (with & 1 ? NET_F(HASH_REPORT) : 0) | (with & 2 ? NET_F(RSS) : 0);
	model.receives = 1; /* without MQ there is no other, and queue 2 is this one */
	if (vio_dev_set_features(guest.dev, model.features))
		abort();
	for (unsigned i = 0; i < 2 * PAIRS + 1; i++) {
		if (guest.q[i].open)
			rg_shape(&guest.q[i].g, model.features, RING);
		guest.q[i].resumes = false;
		if (net_start(&guest, i, RING))
			abort();
	}
}

/* The port goes by the table that was said last. */
static void check_port(void)
{
	const struct net_port *p = guest.port;

	if (p->steer.entries != model.entries)
		abort();
	if (model.entries &&
	    (p->steer.hash_types != model.hash.types || memcmp(p->key, model.hash.key, sizeof(p->key)) ||
	     p->steer.unhashed != model.unhashed))
		abort();
	for (unsigned i = 0; i < model.entries; i++)
		if (p->table[i] != model.pair[i])
			abort();
}

static void command(struct input *in)
{
	uint8_t bytes[600], each = input_byte(in), answer;
	unsigned len = input_byte(in);

	len += len & 0x80 ? (unsigned)input_byte(in) : 0;
	for (unsigned i = 0; i < len; i++)
		bytes[i] = input_byte(in);
	answer = net_command_bytes(&guest, bytes, len, each);
	if (answer != (model_does(bytes, len) ? VIRTIO_NET_OK : VIRTIO_NET_ERR))
		abort();
	check_port();
	net_pump(&guest);
}

/* Each queue goes by what was said of it last, and nobody else has anything to say of it. */
static void ask(struct input *in)
{
	unsigned queue = input_byte(in), each = 1 + input_byte(in) % 9;
	bool there = model_has(VIRTIO_NET_F_NOTF_COAL) && queue < (model_many() ? 2 * PAIRS : 2);
	uint64_t told = net_command_coalescing(&guest, (uint16_t)queue, each);

	if (told != (there ? (uint64_t)model.limits[queue][0] << 32 | model.limits[queue][1] : UINT64_MAX))
		abort();
}

/* Of a datagram over IPv4; of others, that it is one that was asked for. */
static void check_hash(const uint8_t *f, const struct virtio_net_hdr_v1_hash *h)
{
	uint32_t hash = le32toh(h->hash_value), types = model.hash.types;
	uint16_t report = le16toh(h->hash_report);

	if (report > VIRTIO_NET_HASH_REPORT_UDPv6_EX || (report && !(types >> (report - 1) & 1)) ||
	    (!report && hash) || h->padding)
		abort();
	if (f[12] != 8 || f[13] || f[14] != 0x45)
		return;
	if (types & VIRTIO_NET_RSS_HASH_TYPE_UDPv4) {
		if (report != VIRTIO_NET_HASH_REPORT_UDPv4 || hash != toeplitz(f + 26, 12))
			abort();
	} else if (types & VIRTIO_NET_RSS_HASH_TYPE_IPv4) {
		if (report != VIRTIO_NET_HASH_REPORT_IPv4 || hash != toeplitz(f + 26, 8))
			abort();
	}
}

/* Into a pair in use: as the guest wants. Another one has no buffer for it. */
static void packet(struct input *in)
{
	const unsigned hdr = model_has(VIRTIO_NET_F_HASH_REPORT) ? 20 : 12;
	const struct rg_buf b = { NET_AT, 128, RG_WRITE };
	unsigned pair = input_byte(in) % PAIRS;
	uint8_t frame[64] = { [23] = 17 };
	uint32_t used = 0;

	for (unsigned i = 0; i < 18; i++)
		frame[i] = input_byte(in);
	for (unsigned i = 26; i < sizeof(frame); i++)
		frame[i] = (uint8_t)(i * 29);
	if (!(model.receives >> pair & 1)) {
		if (net_port_waiting(guest.port, pair))
			abort();
		return;
	}
	if (rg_post(net_ring(&guest, 2 * pair), &b, 1) < 0)
		abort();
	vio_vq_kick(guest.dev, 2 * pair);
	net_pump(&guest);
	if (net_port_deliver(guest.port, pair, frame, sizeof(frame), 0, NULL) != 1)
		abort();
	net_pump(&guest);
	if (rg_reap(net_ring(&guest, 2 * pair), &used) < 0 || used != (model_wants(frame) ? 64u + hdr : 0))
		abort();
	if (used == 64 + 20)
		check_hash(frame, net_ptr(&guest, 2 * pair, 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };

	guest_begin(&in);
	while (in.at < in.end) {
		uint8_t what = input_byte(&in);

		if (what & 1)
			packet(&in);
		else if (what & 2)
			ask(&in);
		else
			command(&in);
	}
	for (unsigned i = 0; i < 2 * PAIRS + 1; i++)
		if (net_stop(&guest, i))
			abort();
	return 0;
}
