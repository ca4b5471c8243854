/* SPDX-License-Identifier: MIT */
/*
 * The program on the interface: return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS). Five
 * instructions need no compiler. It hangs on a link, which goes with its last fd: however this
 * process ends, the interface is the kernel's again.
 */
#include "backend/xsk.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PROG_TRIES 16u

static int prog_bpf(enum bpf_cmd cmd, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static int prog_map(unsigned entries)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.map_type = BPF_MAP_TYPE_XSKMAP;
	a.key_size = 4;
	a.value_size = 4;
	a.max_entries = entries;
	return prog_bpf(BPF_MAP_CREATE, &a);
}

static int prog_load(int map)
{
	const struct bpf_insn code[] = {
		{ .code = BPF_LDX | BPF_MEM | BPF_W,
		  .dst_reg = BPF_REG_2,
		  .src_reg = BPF_REG_1,
		  .off = offsetof(struct xdp_md, rx_queue_index) },
		{ .code = BPF_LD | BPF_DW | BPF_IMM,
		  .dst_reg = BPF_REG_1,
		  .src_reg = BPF_PSEUDO_MAP_FD,
		  .imm = map },
		{ 0 }, /* the upper half of that constant */
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_redirect_map },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	unsigned tries = 0;
	union bpf_attr a;
	int fd;

	memset(&a, 0, sizeof(a));
	a.prog_type = BPF_PROG_TYPE_XDP;
	a.insns = (uintptr_t)code;
	a.insn_cnt = VIO_ARRAY_SIZE(code);
	a.license = (uintptr_t) "MIT";
	do /* the kernel gives up on a program when a signal comes, and says so with EAGAIN */
		fd = prog_bpf(BPF_PROG_LOAD, &a);
	while (fd < 0 && errno == EAGAIN && ++tries < PROG_TRIES);
	return fd;
}

static int prog_attach(int prog, unsigned index, uint32_t flags)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.link_create.prog_fd = (uint32_t)prog;
	a.link_create.target_ifindex = index;
	a.link_create.attach_type = BPF_XDP;
	a.link_create.flags = flags;
	return prog_bpf(BPF_LINK_CREATE, &a);
}

static int prog_fail(const struct xsk_store *s, const char *what, int err)
{
	const char *hint = err == EPERM	   ? " (needs CAP_BPF and CAP_NET_ADMIN)"
			   : err == EBUSY  ? " (another XDP program is on it)"
			   : err == EINVAL ? " (needs Linux 5.9)"
					   : "";

	return vio__fail(err, "xsk: %s: %s: %s%s", s->name, what, strerror(err), hint);
}

int xsk_prog_open(struct xsk_store *s, unsigned queues)
{
	const char *what = "no map for sockets";
	int err;

	s->prog = s->link = -1;
	s->map = prog_map(queues);
	if (s->map >= 0) {
		what = "the kernel refused the redirect program";
		s->prog = prog_load(s->map);
	}
	if (s->prog >= 0) {
		what = "the program can't be attached";
		s->link = prog_attach(s->prog, s->index, 0);
		/* A driver may have XDP and no room for it, by its MTU for example. */
		if (s->link < 0 && errno != EBUSY && errno != EPERM && !(s->bind & XDP_ZEROCOPY))
			s->link = prog_attach(s->prog, s->index, XDP_FLAGS_SKB_MODE);
	}
	if (s->link >= 0)
		return 0;
	err = errno;
	xsk_prog_close(s);
	return prog_fail(s, what, err);
}

void xsk_prog_close(struct xsk_store *s)
{
	const int fds[] = { s->link, s->prog, s->map };

	for (unsigned i = 0; i < VIO_ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

int xsk_prog_add(struct xsk_store *s, unsigned queue, int fd)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.map_fd = (uint32_t)s->map;
	a.key = (uintptr_t)&queue;
	a.value = (uintptr_t)&fd;
	/* It leaves the map by itself when the socket is closed. */
	return prog_bpf(BPF_MAP_UPDATE_ELEM, &a) ? prog_fail(s, "its socket can't be entered", errno) : 0;
}
