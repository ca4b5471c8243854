/* SPDX-License-Identifier: MIT */
/*
 * How many 4 KiB reads a second does a connection to an NVMe/TCP target give, beside a plain TCP echo of as
 * many bytes, one receive and one send a message? Both ends, for bench/run:
 *
 *   nvme_tcp --echo                   serves the echo; prints "port N"
 *   nvme_tcp PORT QD SECONDS [raw]    QD reads at random under way (raw: of the echo); prints JSON
 *   nvme_tcp PORT idle N              opens N admin queues, says so, and keeps them until its input ends
 */
#include "reads.h"
#include "wire/nvme_tcp.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define NQN "nqn.2014-08.org.example:bench"
#define ASK sizeof(struct nvme_tcp_cmd)
#define ANSWER (sizeof(struct nvme_tcp_data) + READ_BLOCK)
#define MAX_QD 128u

static void check(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static struct sockaddr_in loopback(unsigned port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET,
				     .sin_port = htons((uint16_t)port),
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static void no_delay(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void put(int fd, const void *p, size_t n)
{
	while (n) {
		ssize_t w = send(fd, p, n, MSG_NOSIGNAL);

		check(w > 0, "send");
		p = (const char *)p + w;
		n -= (size_t)w;
	}
}

static void get(int fd, void *p, size_t n)
{
	check(recv(fd, p, n, MSG_WAITALL) == (ssize_t)n, "recv");
}

/* One connection after the other, one receive and one send a message. */
static void echo(void)
{
	static char ask[ASK], answer[ANSWER];
	struct sockaddr_in at = loopback(0);
	socklen_t len = sizeof(at);
	int s = socket(AF_INET, SOCK_STREAM, 0);

	check(!bind(s, (struct sockaddr *)&at, sizeof(at)) && !listen(s, 1), "listen");
	getsockname(s, (struct sockaddr *)&at, &len);
	printf("port %u\n", ntohs(at.sin_port));
	fflush(stdout);
	for (;;) {
		int fd = accept(s, NULL, NULL);

		check(fd >= 0, "accept");
		no_delay(fd);
		while (recv(fd, ask, sizeof(ask), MSG_WAITALL) == sizeof(ask) &&
		       send(fd, answer, sizeof(answer), MSG_NOSIGNAL) == sizeof(answer))
			;
		close(fd);
	}
}

static int dial(unsigned port)
{
	struct sockaddr_in at = loopback(port);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	check(fd >= 0 && !connect(fd, (struct sockaddr *)&at, sizeof(at)), "connect");
	no_delay(fd);
	return fd;
}

/* A command with its data in the capsule; its answer. */
static struct nvme_cqe ask(int fd, const void *cmd, const void *data, uint32_t len)
{
	struct nvme_tcp_cmd c = {
		.hdr = { .type = NVME_TCP_CMD, .hlen = ASK, .pdo = len ? ASK : 0, .plen = ASK + len }
	};
	struct nvme_tcp_rsp r;

	memcpy(&c.cmd, cmd, sizeof(c.cmd));
	c.cmd.flags = NVME_FLAGS_SGL;
	c.cmd.sgl = (struct nvme_sgl){ .len = len, .type = len ? NVME_SGL_DATA_OFFSET : NVME_SGL_TRANSPORT };
	put(fd, &c, sizeof(c));
	put(fd, data, len);
	get(fd, &r, sizeof(r));
	if (r.hdr.type != NVME_TCP_RSP || r.cqe.status) {
		fprintf(stderr, "the target answers PDU type %u, status 0x%x\n", r.hdr.type,
			r.cqe.status >> 1);
		exit(1);
	}
	return r.cqe;
}

static int join(unsigned port, uint16_t qid, uint16_t *cntlid)
{
	struct nvme_tcp_icreq ic = {
		.hdr = { .type = NVME_TCP_ICREQ, .hlen = sizeof(ic), .plen = sizeof(ic) }
	};
	struct nvme_connect_cmd c = { .opcode = NVME_OPC_FABRICS,
				      .fctype = nvme_fabrics_type_connect,
				      .qid = qid,
				      .sqsize = qid ? MAX_QD - 1 : 31,
				      .cattr = NVME_CATTR_NO_SQFLOW };
	struct nvmf_connect_data d = { .cntlid = qid ? *cntlid : UINT16_MAX,
				       .subsysnqn = NQN,
				       .hostnqn = NQN };
	struct nvme_tcp_icresp answer;
	int fd = dial(port);

	put(fd, &ic, sizeof(ic));
	get(fd, &answer, sizeof(answer));
	*cntlid = (uint16_t)ask(fd, &c, &d, sizeof(d)).result;
	return fd;
}

static int open_queue(unsigned port)
{
	struct nvme_property_cmd enable = { .opcode = NVME_OPC_FABRICS,
					    .fctype = nvme_fabrics_type_property_set,
					    .offset = 0x14,
					    .value = 0x00460001 };
	uint16_t cntlid;
	int admin = join(port, 0, &cntlid);

	ask(admin, &enable, NULL, 0);
	return join(port, 1, &cntlid);
}

/* n more reads, in one send. */
static void more(int fd, unsigned n)
{
	static struct nvme_tcp_cmd c[MAX_QD];
	static uint16_t cid;

	for (unsigned i = 0; i < n; i++)
		c[i] = (struct nvme_tcp_cmd){
			.hdr = { .type = NVME_TCP_CMD, .hlen = ASK, .plen = ASK },
			.cmd = { .opcode = nvme_cmd_read,
				 .flags = NVME_FLAGS_SGL,
				 .cid = cid++,
				 .nsid = 1,
				 .sgl = { .len = READ_BLOCK, .type = NVME_SGL_TRANSPORT },
				 .cdw10 = read_any() * 8,
				 .cdw12 = READ_BLOCK / 512 - 1 },
		};
	put(fd, c, n * sizeof(c[0]));
}

static void check_answer(const char *p)
{
	struct nvme_tcp_data d;

	memcpy(&d, p, sizeof(d));
	if (d.hdr.type != NVME_TCP_C2H_DATA || !(d.hdr.flags & NVME_TCP_DATA_SUCCESS) ||
	    d.len != READ_BLOCK) {
		fprintf(stderr, "the target sends PDU type %u instead of data\n", d.hdr.type);
		exit(1);
	}
}

static void load(int fd, unsigned qd, double seconds, int raw)
{
	static char said[MAX_QD * ANSWER];
	double begin = read_clock(), end = begin + seconds, t;
	uint64_t done = 0;
	size_t have = 0;

	more(fd, qd);
	do {
		unsigned answers;
		ssize_t n = recv(fd, said + have, sizeof(said) - have, 0);

		check(n > 0, "recv");
		have += (size_t)n;
		answers = (unsigned)(have / ANSWER);
		for (unsigned i = 0; !raw && i < answers; i++)
			check_answer(said + i * ANSWER);
		have -= answers * ANSWER;
		memmove(said, said + answers * ANSWER, have);
		more(fd, answers);
		done += answers;
		t = read_clock();
	} while (t < end);
	printf("{\"iops\": %.0f}\n", (double)done / (t - begin));
}

static void idle(unsigned port, unsigned n)
{
	struct rlimit files = { n + 64, n + 64 };
	uint16_t cntlid;

	check(!setrlimit(RLIMIT_NOFILE, &files), "setrlimit");
	for (unsigned i = 0; i < n; i++)
		join(port, 0, &cntlid);
	puts("ready");
	fflush(stdout);
	while (getchar() != EOF)
		;
}

int main(int argc, char **argv)
{
	unsigned port = argc > 1 ? (unsigned)atoi(argv[1]) : 0, qd;

	if (argc == 2 && !strcmp(argv[1], "--echo"))
		echo();
	if (argc < 4) {
		fputs("usage: nvme_tcp --echo | PORT QD SECONDS [raw] | PORT idle N\n", stderr);
		return 2;
	}
	if (!strcmp(argv[2], "idle")) {
		idle(port, (unsigned)atoi(argv[3]));
		return 0;
	}
	qd = (unsigned)atoi(argv[2]);
	if (!qd || qd > MAX_QD) {
		fprintf(stderr, "nvme_tcp: QD %s, expected 1 to %u\n", argv[2], MAX_QD);
		return 2;
	}
	load(argc > 4 ? dial(port) : open_queue(port), qd, atof(argv[3]), argc > 4);
	return 0;
}
