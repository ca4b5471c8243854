/* SPDX-License-Identifier: MIT */
/*
 * What an NVMe/TCP host may send: two connections to a target, over Unix sockets. The input is
 * a list of records: bytes as they are, or a PDU whose lengths and digests this makes right, so that what
 * lies behind is reached too. When the host hangs up, all must end.
 */
#include "transport/nvme_tcp.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nvme_manager.h"

#define MUST(ok)                                                                                             \
	do {                                                                                                 \
		if (!(ok)) {                                                                                 \
			fprintf(stderr, "%s:%d: not %s\n", __FILE__, __LINE__, #ok);                         \
			__builtin_trap();                                                                    \
		}                                                                                            \
	} while (0)

#define NQN "nqn.2014-08.org.example:disks"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vio_poller *poller;
static struct vio_nvme *subsystem;
static struct vio_nvme_tcp *tcp;

/* One of the two. */
struct peer {
	int fd;
	bool hdgst, ddgst;
	struct nvme_tcp_r2t r2t; /* the last */
};

struct input {
	const uint8_t *p;
	size_t n;
};

static void add_namespace(const char *stack)
{
	struct vio_backend *b;

	MUST(!vio_backend_parse(&b, NULL, stack));
	MUST(vio_nvme_ns_add(subsystem, b, NULL) > 0);
	vio_backend_free(b);
}

static void add_namespaces(void)
{
	add_namespace("ram:256K");
	add_namespace("ram:64K | fault:error=EIO,nth=7,once=off");
}

static void open_once(void)
{
	VIO_OPTS(vio_poller_opts, po, .engine = VIO_POLL_EPOLL);
	VIO_OPTS(vio_nvme_opts, so, .nqn = NQN, .max_namespaces = 4, .manager = &manager);
	VIO_OPTS(vio_nvme_tcp_opts, to, .address = "127.0.0.1:0", .buffers = 1 << 20);

	if (poller)
		return;
	MUST(!vio_poller_new(&poller, &po));
	MUST(!vio_nvme_new(&subsystem, &so));
	add_namespaces();
	MUST(!vio_nvme_tcp_new(&tcp, poller, subsystem, &to));
}

static void run(void)
{
	unsigned n = 0;

	while (vio_poller_run(poller, 0) > 0)
		MUST(n++ < 100000);
}

static uint8_t take(struct input *in)
{
	if (!in->n)
		return 0;
	in->n--;
	return *in->p++;
}

static const uint8_t *take_some(struct input *in, size_t *n)
{
	const uint8_t *p = in->p;

	*n = *n < in->n ? *n : in->n;
	in->p += *n;
	in->n -= *n;
	return p;
}

/* What the target says matters only for its R2Ts, which are looked for and not parsed. */
static void listen_to(struct peer *h)
{
	static char said[1 << 20];
	ssize_t n;

	while ((n = recv(h->fd, said, sizeof(said), MSG_DONTWAIT)) > 0)
		for (ssize_t i = 0; i + (ssize_t)sizeof(h->r2t) <= n; i += 4) {
			struct nvme_tcp_r2t r;

			memcpy(&r, said + i, sizeof(r));
			if (r.hdr.type == NVME_TCP_R2T && r.hdr.hlen == sizeof(r) && r.len)
				h->r2t = r;
		}
}

static void tell(struct peer *h, const void *p, size_t n)
{
	while (n) {
		ssize_t w = send(h->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		run();
		listen_to(h);
		if (w <= 0)
			return;
		p = (const char *)p + w;
		n -= (size_t)w;
	}
}

static void tell_pdu(struct peer *h, void *pdu, unsigned hlen, const void *data, uint32_t len)
{
	struct nvme_tcp_hdr *hdr = pdu;
	uint32_t sum;

	hdr->hlen = (uint8_t)hlen;
	hdr->pdo = len ? (uint8_t)(hlen + (h->hdgst ? 4 : 0)) : 0;
	hdr->plen = hlen + (h->hdgst ? 4 : 0) + len + (len && h->ddgst ? 4 : 0);
	hdr->flags |= (uint8_t)((h->hdgst ? NVME_TCP_HDGST : 0) | (len && h->ddgst ? NVME_TCP_DDGST : 0));
	tell(h, pdu, hlen);
	sum = nvme_tcp_sum_end(vio__nvme_tcp_sum(NVME_TCP_SUM_BEGIN, pdu, hlen));
	if (h->hdgst)
		tell(h, &sum, 4);
	tell(h, data, len);
	sum = nvme_tcp_sum_end(vio__nvme_tcp_sum(NVME_TCP_SUM_BEGIN, data, len));
	if (len && h->ddgst)
		tell(h, &sum, 4);
}

static void greet(struct peer *h, uint8_t digests)
{
	struct nvme_tcp_icreq r = { .hdr = { .type = NVME_TCP_ICREQ }, .digest = digests & 3 };

	tell_pdu(h, &r, sizeof(r), NULL, 0);
	if (vio__nvme_tcp_has_digests()) {
		h->hdgst = digests & NVME_TCP_WANT_HDGST;
		h->ddgst = digests & NVME_TCP_WANT_DDGST;
	}
}

static void join(struct peer *h, uint8_t how)
{
	struct nvmf_connect_data d = { .hostid = { 1 }, .hostnqn = NQN, .subsysnqn = NQN };
	struct nvme_tcp_cmd c = { .hdr = { .type = NVME_TCP_CMD } };
	struct nvme_connect_cmd connect = { .opcode = NVME_OPC_FABRICS,
					    .flags = NVME_FLAGS_SGL,
					    .fctype = 1,
					    .sgl = { .len = sizeof(d), .type = NVME_SGL_DATA_OFFSET },
					    .qid = how & 3,
					    .sqsize = 7,
					    .cattr = how & NVME_CATTR_NO_SQFLOW };

	if (how & 0x80)
		memcpy(d.subsysnqn, NVME_DISCOVERY_NQN, sizeof(NVME_DISCOVERY_NQN));
	d.cntlid = how & 3 && subsystem->ctrls ? subsystem->ctrls->cntlid : UINT16_MAX;
	memcpy(&c.cmd, &connect, sizeof(connect));
	tell_pdu(h, &c, sizeof(c), &d, sizeof(d));
}

static void enable(struct peer *h, uint8_t cc)
{
	struct nvme_tcp_cmd c = { .hdr = { .type = NVME_TCP_CMD } };
	struct nvme_property_cmd set = { .opcode = NVME_OPC_FABRICS,
					 .flags = NVME_FLAGS_SGL,
					 .cid = 9,
					 .offset = 0x14,
					 .value = 0x00460000 | (cc ^ 1) };

	memcpy(&c.cmd, &set, sizeof(set));
	tell_pdu(h, &c, sizeof(c), NULL, 0);
}

/* A command whose bytes are the input's, its SGL made right unless `how` says otherwise. */
static void command(struct peer *h, struct input *in, uint8_t how)
{
	struct nvme_tcp_cmd c = { .hdr = { .type = NVME_TCP_CMD } };
	size_t n = sizeof(c.cmd), len = (how & 0x1f) * 512u;
	static uint8_t page[16384];
	const uint8_t *p;

	p = take_some(in, &n);
	memcpy(&c.cmd, p, n);
	memset(page, 0, 32);
	if (c.cmd.opcode == nvme_admin_ns_mgmt || c.cmd.opcode == nvme_admin_ns_attach) {
		n = 32; /* of its data, the rest is zeroes */
		p = take_some(in, &n);
		memcpy(page, p, n);
		if (page[2] == 1 && !page[3] && subsystem->ctrls && c.cmd.opcode == nvme_admin_ns_attach)
			memcpy(page + 2, &subsystem->ctrls->cntlid, 2); /* ids go round: 1 is the newest */
	}
	if (!(how & 0x80)) {
		c.cmd.flags = NVME_FLAGS_SGL;
		c.cmd.sgl =
			(struct nvme_sgl){ .len = (uint32_t)len,
					   .type = how & 0x40 ? NVME_SGL_DATA_OFFSET : NVME_SGL_TRANSPORT };
	}
	tell_pdu(h, &c, sizeof(c), page, how & 0x40 ? (uint32_t)len : 0);
}

/* Data for the last R2T: all of it, or a part, or beside it. */
static void send_data(struct peer *h, uint8_t how)
{
	static const uint8_t blank[131072];
	struct nvme_tcp_data d = { .hdr = { .type = NVME_TCP_H2C_DATA,
					    .flags = how & 1 ? 0 : NVME_TCP_DATA_LAST },
				   .cid = h->r2t.cid,
				   .ttag = (uint16_t)(h->r2t.ttag + (how >> 6)),
				   .offset = how & 2 ? 512 : 0,
				   .len = how & 4 ? 512 : h->r2t.len };

	tell_pdu(h, &d, sizeof(d), blank, d.len < sizeof(blank) ? d.len : 0);
}

static void record(struct peer peers[2], struct input *in)
{
	uint8_t kind = take(in), how = take(in);
	struct peer *h = &peers[kind >> 7];
	size_t n = how;
	const uint8_t *p;

	switch (kind & 7) {
	case 0:
		greet(h, how);
		break;
	case 1:
		join(h, how);
		break;
	case 2:
		enable(h, how);
		break;
	case 3:
	case 4:
		command(h, in, how);
		break;
	case 5:
		send_data(h, how);
		break;
	default:
		p = take_some(in, &n);
		tell(h, p, n);
	}
}

static void peer_open(struct peer *h)
{
	int fd[2];

	MUST(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd));
	*h = (struct peer){ .fd = fd[0] };
	MUST(ntt_conn_send(&tcp->workers[0], fd[1]));
	run();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct peer peers[2];

	open_once();
	peer_open(&peers[0]);
	peer_open(&peers[1]);
	while (in.n)
		record(peers, &in);
	close(peers[0].fd);
	close(peers[1].fd);
	run();
	MUST(!tcp->workers[0].conns);
	MUST(!subsystem->ctrls);
	MUST(!npool_used(tcp->workers[0].queues.pool));
	MUST(manager_reset(subsystem, add_namespaces));
	run();
	return 0;
}
