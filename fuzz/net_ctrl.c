/* SPDX-License-Identifier: MIT */
/*
 * Commands of any content and framing to a network device's control queue, and packets in
 * between. A second, plainer filter beside it says what must be acknowledged, and which
 * packets the guest must get; and that is at once, however late it is notified.
 */
#include "net_commands.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RING 64u
#define PAIRS 2u
#define TABLE 64u /* addresses of each kind that are told apart */
#define MAC "02:00:00:00:00:01"

struct input {
	const uint8_t *at, *end;
};

static struct model {
	uint64_t features;
	uint8_t mode[6]; /* by command */
	uint8_t mac[6];
	unsigned pairs;
	struct {
		unsigned n;
		uint8_t mac[TABLE][6];
	} table[2];
	bool vlan[4096];
	uint32_t limits[2 * PAIRS][2]; /* of notifications: packets, microseconds */
} model;

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
	uint8_t without = input_byte(in);
	const uint64_t coal = NET_F(NOTF_COAL) | NET_F(VQ_NOTF_COAL);

	if (!guest.dev && (net_open(&guest) || net_device(&guest, 0, "pairs=2,mac=" MAC)))
		abort();
	model = (struct model){ .mode = { 1 },
				.mac = { 2, 0, 0, 0, 0, 1 },
				.features = NET_V1 | NET_F(CTRL_VQ) | (without == 0xff ? 0 : coal) };
	for (unsigned i = 0; i < sizeof(bits); i++)
		model.features |= without >> i & 1 ? 0 : VIO_BIT(bits[i]);
	model.pairs = 1; /* without MQ there is no other, and queue 2 is this one */
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

static bool model_has(unsigned bit)
{
	return model.features & VIO_BIT(bit);
}

static bool model_tables(const uint8_t *p, unsigned len)
{
	struct model was = model;

	for (unsigned k = 0; k < 2; k++) {
		uint64_t n = 0;

		if (len < 4)
			goto wrong;
		for (unsigned i = 0; i < 4; i++)
			n |= (uint64_t)p[i] << 8 * i;
		if (n * 6 > len - 4)
			goto wrong;
		model.table[k].n = (unsigned)n;
		memcpy(model.table[k].mac, p + 4, n <= TABLE ? n * 6 : 0);
		p += 4 + n * 6;
		len -= 4 + (unsigned)n * 6;
	}
	if (!len)
		return true;
wrong:
	model = was;
	return false;
}

static bool model_mode(uint8_t cmd, const uint8_t *p, unsigned len)
{
	if (!model_has(cmd < 2 ? VIRTIO_NET_F_CTRL_RX : VIRTIO_NET_F_CTRL_RX_EXTRA) || cmd > 5 || len != 1 ||
	    *p > 1)
		return false;
	model.mode[cmd] = *p;
	return true;
}

static bool model_mac(const uint8_t *p, unsigned len)
{
	if (!model_has(VIRTIO_NET_F_CTRL_MAC_ADDR) || len != 6 || *p & 1 || !memcmp(p, "\0\0\0\0\0", 6))
		return false;
	memcpy(model.mac, p, 6);
	return true;
}

static bool model_vlan(bool add, const uint8_t *p, unsigned len)
{
	unsigned vlan = len == 2 ? p[0] | p[1] << 8 : 4096;

	if (!model_has(VIRTIO_NET_F_CTRL_VLAN) || vlan > 4095)
		return false;
	model.vlan[vlan] = add;
	return true;
}

static bool model_pairs(const uint8_t *p, unsigned len)
{
	unsigned pairs = len == 2 ? p[0] | p[1] << 8 : 0;

	if (!model_has(VIRTIO_NET_F_MQ) || !pairs || pairs > PAIRS)
		return false;
	model.pairs = pairs;
	return true;
}

/* Of all guest offloads only bit 1, for checksums, is ever negotiated here. */
static bool model_offloads(const uint8_t *p, unsigned len)
{
	return model_has(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) && len == 8 && !memcmp(p + 1, "\0\0\0\0\0\0", 7) &&
	       !(*p & ~(model_has(VIRTIO_NET_F_GUEST_CSUM) ? 2 : 0));
}

static uint32_t le32(const uint8_t *p)
{
	return (uint32_t)(p[0] | p[1] << 8 | p[2] << 16) | (uint32_t)p[3] << 24;
}

static bool model_limits(uint8_t cmd, const uint8_t *p, unsigned len)
{
	unsigned queues = model_has(VIRTIO_NET_F_MQ) ? 2 * PAIRS : 2;
	unsigned i = len < 2 ? queues : (unsigned)(p[0] | p[1] << 8);

	if (!model_has(VIRTIO_NET_F_NOTF_COAL) || cmd > 3 || len != (cmd < 2 ? 8 : cmd == 2 ? 12 : 4))
		return false;
	if (cmd == 3) /* it has no room for an answer */
		return false;
	if (cmd == 2 && i >= queues)
		return false;
	p += cmd == 2 ? 4 : 0;
	for (unsigned k = 0; k < queues; k++)
		if (cmd == 2 ? k == i : k % 2 == !cmd)
			memcpy(model.limits[k], (uint32_t[2]){ le32(p), le32(p + 4) },
			       sizeof(model.limits[k]));
	return true;
}

/* Must the device do it? */
static bool model_does(const uint8_t *p, unsigned len)
{
	if (len < 2)
		return false;
	len -= 2;
	switch (p[0] << 8 | p[1]) {
	case 0x0100:
		return model_has(VIRTIO_NET_F_CTRL_RX) && model_tables(p + 2, len);
	case 0x0101:
		return model_mac(p + 2, len);
	case 0x0200:
	case 0x0201:
		return model_vlan(!p[1], p + 2, len);
	case 0x0300:
		return model_has(VIRTIO_NET_F_GUEST_ANNOUNCE) && !len;
	case 0x0400:
		return model_pairs(p + 2, len);
	case 0x0500:
		return model_offloads(p + 2, len);
	case 0x0600 ... 0x06ff:
		return model_limits(p[1], p + 2, len);
	default:
		return !p[0] && model_mode(p[1], p + 2, len);
	}
}

static bool model_lists(unsigned kind, const uint8_t *mac)
{
	for (unsigned i = 0; i < model.table[kind].n && model.table[kind].n <= TABLE; i++)
		if (!memcmp(model.table[kind].mac[i], mac, 6))
			return true;
	return model.table[kind].n > TABLE;
}

/* The six modes by their commands: promiscuous, all multicast, all unicast, no multicast, no unicast, no
 * broadcast. */
static bool model_wants(const uint8_t *f)
{
	unsigned vlan = f[12] == 0x81 && !f[13] ? (f[14] << 8 | f[15]) & 4095 : 0;

	if (model.mode[0])
		return true;
	if (vlan && model_has(VIRTIO_NET_F_CTRL_VLAN) && !model.vlan[vlan])
		return false;
	if (!memcmp(f, "\xff\xff\xff\xff\xff\xff", 6))
		return !model.mode[5];
	if (f[0] & 1)
		return !model.mode[3] && (model.mode[1] || model_lists(1, f));
	return !model.mode[4] && (model.mode[2] || !memcmp(f, model.mac, 6) || model_lists(0, f));
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
	net_pump(&guest);
}

/* Each queue goes by what was said of it last, and nobody else has anything to say of it. */
static void ask(struct input *in)
{
	unsigned queue = input_byte(in), each = 1 + input_byte(in) % 9;
	bool there =
		model_has(VIRTIO_NET_F_NOTF_COAL) && queue < (model_has(VIRTIO_NET_F_MQ) ? 2 * PAIRS : 2);
	uint64_t told = net_command_coalescing(&guest, (uint16_t)queue, each);

	if (told != (there ? (uint64_t)model.limits[queue][0] << 32 | model.limits[queue][1] : UINT64_MAX))
		abort();
}

/* Into a pair in use: as the guest wants. Another one has no buffer for it. */
static void packet(struct input *in)
{
	const struct rg_buf b = { NET_AT, 128, RG_WRITE };
	unsigned pair = input_byte(in) % PAIRS;
	uint8_t frame[64] = { 0 };
	uint32_t used = 0;

	for (unsigned i = 0; i < 18; i++)
		frame[i] = input_byte(in);
	if (pair >= model.pairs) {
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
	if (rg_reap(net_ring(&guest, 2 * pair), &used) < 0 || used != (model_wants(frame) ? 64u + 12 : 0))
		abort();
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
