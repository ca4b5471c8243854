/* SPDX-License-Identifier: MIT */
/*
 * A hostile NVMe/TCP target, and what our host makes of it. The input:
 *
 *     setup, steps (kind, three bytes)
 *
 * setup: bits 0 and 1 the digests that the host asks for, bit 2 whether it is the admin queue's conversation
 * or an I/O queue that is played, bit 3 whether the controller reports asymmetric access. A step is something
 * that the host does, or a PDU of the target's: an honest one unless the step before twists it. However it
 * goes: each command is answered once, and nothing is written beside its data.
 */
#include "backend/nvme_tcp.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define SLOTS 8u
#define DATA 65536u
#define EDGE 64u
#define MAX_STEPS 200u

enum step { POST_READ, POST_WRITE, GREET, C2H, R2T, RSP, TWIST, RAW, HANG_UP, TIME, STEPS };

static struct {
	struct host h;
	struct host_link k; /* the I/O queue's */
	struct host_link *link;
	uint8_t *data[SLOTS]; /* with edges */
	struct iovec iov[SLOTS][3];
	bool out[SLOTS];
	int peer;
	int rc;
	/* The next PDU's byte `at` is changed, its digest made before or after that. */
	unsigned twist_at;
	uint8_t twist;
	bool twist_late;
	/* What the host has said, and was not looked at yet; the last admin command. */
	uint8_t heard[1 << 18];
	size_t nheard;
	struct nvme_cmd cmd[ADMIN_SLOTS];
	unsigned ncmd;
	bool ana;
} z;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static int io_greeted(struct host_link *k)
{
	(void)k;
	return 0;
}

static int io_answered(struct host_link *k, struct host_slot *s, uint16_t status, uint64_t result)
{
	unsigned i = (unsigned)(s - k->slot);

	(void)status, (void)result;
	check(i < SLOTS && z.out[i]);
	z.out[i] = false;
	return 0;
}

static void start(void)
{
	struct host *h = &z.h;

	h->path[0].name = strdup("target");
	h->npaths = 1;
	h->nqn = strdup("nqn.2014-08.org.example:fuzz");
	h->hostnqn = strdup("nqn.2014-08.org.example:host");
	h->nsid = 1;
	h->queues = h->depth = 64;
	h->keep_alive = 5;
	check(!vio__host_admin_init(h));
	z.k.greeted = io_greeted;
	z.k.answered = io_answered;
	check(!vio__host_link_init(&z.k, SLOTS, LINK_RX, NVME_TCP_WANT_DDGST));
	z.h.admin.stage = z.k.stage; /* whichever is played: both may have digests */
	for (unsigned i = 0; i < SLOTS; i++) {
		z.data[i] = malloc(DATA + 2 * EDGE);
		check(z.data[i] != NULL);
	}
}

/* As if it had just connected. */
static void connect_link(struct host_link *k, uint8_t digests)
{
	int fd[2];

	check(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd));
	vio__host_link_close(k);
	k->fd = fd[0];
	z.peer = fd[1];
	k->digests = digests;
	k->state = LINK_CONNECTING;
	k->writable = true;
	k->ended = false;
	k->why = "";
	z.link = k;
	z.rc = 0;
	z.nheard = z.ncmd = 0;
	z.twist = 0;
	memset(z.out, 0, sizeof(z.out));
}

/* Looks for commands in what the host says: it is honest, so its lengths are. */
static void listen_to_host(void)
{
	ssize_t n = recv(z.peer, z.heard + z.nheard, sizeof(z.heard) - z.nheard, 0);
	size_t at = 0;
	struct nvme_tcp_hdr h;

	z.nheard += n > 0 ? (size_t)n : 0;
	while (z.nheard - at >= sizeof(h)) {
		memcpy(&h, z.heard + at, sizeof(h));
		check(h.plen >= h.hlen && h.plen <= sizeof(z.heard) && h.hlen == nvme_tcp_hlen(h.type));
		if (z.nheard - at < h.plen)
			break;
		if (h.type == NVME_TCP_CMD && z.ncmd < ADMIN_SLOTS)
			memcpy(&z.cmd[z.ncmd++], z.heard + at + 8, sizeof(z.cmd[0]));
		at += h.plen;
	}
	memmove(z.heard, z.heard + at, z.nheard - at);
	z.nheard -= at;
}

static void run(void)
{
	for (unsigned i = 0; i < 8 && z.rc >= 0; i++) {
		z.link->readable = z.link->writable = true;
		z.rc = z.link == &z.k ? vio__host_link_run(z.link, 8) : vio__host_admin_run(&z.h);
		listen_to_host();
	}
}

static void say(const void *p, size_t n)
{
	ssize_t sent = send(z.peer, p, n, MSG_NOSIGNAL);

	(void)sent; /* less, or nothing after hanging up, is one more way to misbehave */
}

/* A PDU with its digests, changed as the last twist wants it. */
static void pdu(uint8_t type, void *hdr, const void *data, uint32_t n, uint8_t flags)
{
	static uint8_t out[256 + DATA];
	bool digests = type != NVME_TCP_ICRESP;
	unsigned hlen = nvme_tcp_hlen(type), head = hlen + (digests && z.link->hdgst ? 4 : 0);
	struct nvme_tcp_hdr h = { .type = type, .hlen = (uint8_t)hlen, .pdo = (uint8_t)(n ? head : 0) };
	uint32_t sum;

	h.flags = (uint8_t)(flags | (digests && z.link->hdgst ? NVME_TCP_HDGST : 0) |
			    (n && z.link->ddgst ? NVME_TCP_DDGST : 0));
	h.plen = head + n + (n && z.link->ddgst ? 4 : 0);
	memcpy(out, hdr, hlen);
	memcpy(out, &h, sizeof(h));
	if (n)
		memcpy(out + head, data, n);
	if (!z.twist_late)
		out[z.twist_at % hlen] ^= z.twist;
	sum = nvme_tcp_sum_end(vio__nvme_tcp_sum(NVME_TCP_SUM_BEGIN, out, hlen));
	if (head > hlen)
		memcpy(out + hlen, &sum, 4);
	sum = nvme_tcp_sum_end(vio__nvme_tcp_sum(NVME_TCP_SUM_BEGIN, out + head, n));
	memcpy(out + head + n, &sum, 4);
	if (z.twist_late)
		out[z.twist_at % h.plen] ^= z.twist;
	z.twist = 0;
	say(out, h.plen);
}

static void greet(void)
{
	struct nvme_tcp_icresp r = { .maxh2cdata = 8192, .digest = z.link->digests };

	pdu(NVME_TCP_ICRESP, &r, NULL, 0, 0);
}

static void post(const uint8_t *s, bool write)
{
	unsigned i = s[1] % SLOTS, len = (s[2] % 128u + 1) * 512;
	struct host_slot *slot = &z.k.slot[i];
	uint8_t *p = z.data[i] + EDGE;

	if (z.out[i] || z.k.state != LINK_UP || z.rc < 0)
		return;
	memset(z.data[i], 0x5a, DATA + 2 * EDGE);
	memset(slot, 0, sizeof(*slot));
	z.iov[i][0] = (struct iovec){ p, s[3] % 100u };
	z.iov[i][1] = (struct iovec){ p + s[3] % 100u, 0 };
	z.iov[i][2] = (struct iovec){ p + s[3] % 100u, len - s[3] % 100u };
	slot->start = (struct host_at){ .iov = z.iov[i] };
	slot->len = len;
	slot->write = write;
	slot->capsule = write && s[3] & 0x80 && len <= 8192;
	z.out[i] = true;
	vio__host_link_post(&z.k, slot);
}

/* Data of the I/O queue's command s[1], or of the admin queue's oldest. */
static void c2h(const uint8_t *s)
{
	static const uint8_t zeroes[DATA];
	const struct host_slot *slot = &z.k.slot[s[1] % SLOTS];
	struct nvme_tcp_data d = { .cid = slot->cid, .offset = slot->done, .len = (s[2] + 1u) * 256 };

	d.len = VIO_MIN(d.len, slot->len - slot->done);
	if (!d.len)
		d.len = 4;
	pdu(NVME_TCP_C2H_DATA, &d, zeroes, d.len, s[3] & (NVME_TCP_DATA_LAST | NVME_TCP_DATA_SUCCESS));
}

static void r2t(const uint8_t *s)
{
	const struct host_slot *slot = &z.k.slot[s[1] % SLOTS];
	struct nvme_tcp_r2t r = {
		.cid = slot->cid, .ttag = s[3], .offset = slot->done, .len = (s[2] + 1u) * 256
	};

	r.len = VIO_MIN(r.len, slot->len - slot->done);
	pdu(NVME_TCP_R2T, &r, NULL, 0, 0);
}

static void rsp(uint16_t cid, uint16_t status, uint64_t result)
{
	struct nvme_tcp_rsp r = { .cqe = { .cid = cid, .status = status, .result = result } };

	pdu(NVME_TCP_RSP, &r, NULL, 0, 0);
}

static void identify(const uint8_t *s, uint32_t cns)
{
	static _Alignas(8) uint8_t page[4096];
	struct nvme_id_ctrl *c = (void *)page;
	struct nvme_id_ns *n = (void *)page;
	struct nvme_tcp_data d = { .cid = z.cmd[0].cid, .len = sizeof(page) };

	memset(page, 0, sizeof(page));
	if (cns == NVME_IDENTIFY_CNS_CTRL) {
		c->sgls = 1;
		c->ioccsz = 516;
		c->oaes = NVME_CTRL_OAES_NA;
		c->cmic = z.ana ? NVME_CTRL_CMIC_MULTI_ANA_REPORTING : 0;
		c->lpa = z.ana ? NVME_CTRL_LPA_EXTENDED : 0;
	} else if (cns == NVME_IDENTIFY_CNS_NS) {
		n->nsze = 2048;
		n->lbaf[0].ds = 9;
		n->anagrpid = 3;
	} else {
		memcpy(page, "\3\20\0\0", 4);
	}
	page[(s[1] | s[2] << 8) % sizeof(page)] ^= s[3];
	pdu(NVME_TCP_C2H_DATA, &d, page, sizeof(page), NVME_TCP_DATA_LAST);
}

/* The page, or what follows of it: some groups, of which one may be the namespace's. */
static void ana_log(const uint8_t *s)
{
	static _Alignas(8) uint8_t page[4096];
	bool first = !z.cmd[0].cdw12 && !z.cmd[0].cdw13;
	struct nvme_ana_log log = { .ngrps = (uint16_t)(s[1] | s[2] << 8) };
	struct nvme_tcp_data d = { .cid = z.cmd[0].cid, .len = sizeof(page) };

	memset(page, 0, sizeof(page));
	if (first)
		memcpy(page, &log, sizeof(log));
	for (size_t at = first ? sizeof(log) : 0, n = 0; at + 32 <= sizeof(page); n++) {
		struct nvme_ana_group_desc g = { .grpid = n == s[3] % 16u && !(s[0] & 0x40) ? 3 : 99,
						 .nnsids = n == s[3] / 16u ? 0x1000001u * s[2] : 0,
						 .state = s[3] % 17u };

		memcpy(page + at, &g, sizeof(g));
		at += sizeof(g) + (g.nnsids < 512 ? 4 * g.nnsids : 0);
	}
	page[(s[1] | s[2] << 8) % sizeof(page)] ^= s[3];
	pdu(NVME_TCP_C2H_DATA, &d, page, sizeof(page), NVME_TCP_DATA_LAST);
}

/* The oldest admin command's answer; what came after it moves up. */
static void admin_answer(const uint8_t *s)
{
	const struct nvme_cmd *c = &z.cmd[0];
	uint64_t result = 7;

	if (!z.ncmd)
		return;
	if (c->opcode == NVME_OPC_FABRICS && (c->nsid & 0xff) == nvme_fabrics_type_property_get)
		result = s[0] & 0x40 ? s[3] : 127;
	if (c->opcode == nvme_admin_get_log_page && (c->cdw10 & 0xff) == NVME_LOG_LID_ANA)
		ana_log(s);
	else if (c->opcode == nvme_admin_identify || c->opcode == nvme_admin_get_log_page)
		identify(s, c->opcode == nvme_admin_identify ? c->cdw10 : 0);
	rsp(c->cid, s[0] & 0x80 ? (uint16_t)(s[1] << 1) : 0, result);
	memmove(z.cmd, z.cmd + 1, --z.ncmd * sizeof(z.cmd[0]));
}

/* What a wait would have brought: questions that are asked again, keep-alives, looks. */
static void time_passes(void)
{
	struct host *h = &z.h;

	h->ask_at = h->ask_at ? 1 : 0;
	h->look_at = h->look_at ? 1 : 0;
	h->alive_at = VIO_MIN(h->alive_at, 1u);
}

static void twist(const uint8_t *s)
{
	z.twist_at = s[1];
	z.twist = s[2];
	z.twist_late = s[3] & 1;
}

static void step(const uint8_t *s)
{
	bool admin = z.link != &z.k;

	switch ((enum step)(s[0] % 16)) {
	case POST_READ:
	case POST_WRITE:
		if (!admin)
			post(s, s[0] % 16 == POST_WRITE);
		break;
	case GREET:
		greet();
		break;
	case C2H:
		if (!admin)
			c2h(s);
		break;
	case R2T:
		if (!admin)
			r2t(s);
		break;
	case RSP:
		if (admin)
			admin_answer(s);
		else
			rsp(z.k.slot[s[1] % SLOTS].cid, (uint16_t)(s[2] << 1), 0);
		break;
	case TWIST:
		twist(s);
		break;
	case RAW:
		say(s + 1, 3);
		break;
	case HANG_UP:
		shutdown(z.peer, SHUT_RDWR);
		break;
	case TIME:
		time_passes();
		break;
	default:
		break;
	}
}

static void check_edges(void)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		if (!z.k.slot[i].len || z.link != &z.k)
			continue;
		for (unsigned b = 0; b < EDGE; b++)
			check(z.data[i][b] == 0x5a && z.data[i][EDGE + z.k.slot[i].len + b] == 0x5a);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool started;
	uint8_t digests;

	if (!started)
		start();
	started = true;
	if (!size)
		return 0;
	digests = vio__nvme_tcp_has_digests() ? data[0] & 3 : 0;
	z.h.known = false;
	z.ana = data[0] & 8;
	z.h.phase = HOST_SETUP;
	z.h.look_at = z.h.ask_at = 0;
	memset(&z.h.store, 0, sizeof(z.h.store));
	for (unsigned i = 0; i < SLOTS; i++)
		z.k.slot[i].len = 0;
	vio__host_script_setup(&z.h);
	z.h.deadline = UINT64_MAX;
	connect_link(data[0] & 4 ? &z.h.admin : &z.k, digests);
	run();
	for (size_t at = 1; at + 4 <= size && at < 4 * MAX_STEPS && z.rc >= 0; at += 4) {
		step(data + at);
		run();
	}
	check_edges();
	if (z.h.phase == HOST_UP)
		check(z.h.known && z.h.store.ns.shift >= 9 && z.h.store.ns.shift <= 16 &&
		      z.h.store.ns.blocks && z.h.store.depth);
	vio__host_link_close(z.link);
	close(z.peer);
	return 0;
}
