/* SPDX-License-Identifier: MIT */
/*
 * DH-HMAC-CHAP between our host and our controller, with somebody between them. The input:
 *
 *     setup, steps (kind, and what it takes)
 *
 * setup: bit 0 whether the host knows its secret, bit 1 whether it wants the controller to prove itself, bit
 * 2 whether that one knows its own, bit 3 whether there is a Diffie-Hellman exchange. A step lets the host
 * say or ask for what is next, twists what goes over next, or says something of its own. However it goes:
 * without the secret nobody is let in, and nothing is served before.
 */
#include "backend/nvme_tcp.h"
#include "nvme/nv.h"

#include <stdio.h>
#include <unistd.h>

#define NQN "nqn.2014-08.org.example:disks"
#define HOSTNQN "nqn.2014-08.org.example:host"
#define SECRET "DHHC-1:00:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:"
#define OTHER "DHHC-1:00:VVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVVXP/9dE:"
#define MAX_STEPS 40u

enum step { HOST_GOES_ON, TWIST, SAY, ASK, COMMAND, WAIT, STEPS };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct {
	struct vio_poller *poller;
	struct vio_task task;
	struct vio_nvme *s;
	struct nv_group group;
	struct nvme_queue queue;
	struct nv_qp qp;
	bool ended, given;
	struct nvme_req r;
	_Alignas(16) uint8_t buf[NV_AUTH_MAX];

	struct host h;
	struct host_auth auth;
	struct host_slot slot;
	uint16_t twist_at;
	uint8_t twist;
	bool right, ctrl_right;
} z;

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void queue_give(struct nvme_queue *q, struct nvme_req *r)
{
	(void)q;
	check(r == &z.r && !z.given);
	z.given = true;
}

static int queue_accept(struct nvme_queue *q, unsigned entries, bool sqflow)
{
	(void)q, (void)entries, (void)sqflow;
	return 0;
}

static void queue_end(struct nvme_queue *q, bool now)
{
	(void)q, (void)now;
	z.ended = true;
}

static unsigned no_work(struct vio_task *t, unsigned budget)
{
	(void)t, (void)budget;
	return 0;
}

static bool no_alarm(struct vio_task *t, bool on)
{
	(void)t, (void)on;
	return false;
}

static void start(void)
{
	static const struct nvme_queue_ops ops = { .give = queue_give,
						   .accept = queue_accept,
						   .end = queue_end };
	VIO_OPTS(vio_poller_opts, po, .engine = VIO_POLL_EPOLL);
	VIO_OPTS(vio_nvme_opts, so, .nqn = NQN, .max_namespaces = 1);

	check(!vio_poller_new(&z.poller, &po) && !vio_nvme_new(&z.s, &so));
	z.task.run = no_work;
	z.task.arm = no_alarm;
	vio_task_add(z.poller, &z.task);
	check(!nv_group_init(&z.group, z.s, 1, z.poller, &z.task, NULL));
	nv_group_open(&z.group);
	z.queue = (struct nvme_queue){ .ops = &ops, .max_len = NPOOL_MAX };
	z.h.nqn = strdup(NQN);
	z.h.hostnqn = strdup(HOSTNQN);
}

/* The command is served, at once or when its turn has come: its status. */
static uint16_t serve(const struct nvme_cmd *c, uint32_t len)
{
	struct nvme_req *r = &z.r;

	*r = (struct nvme_req){ .cmd = *c, .q = &z.queue, .buf = len ? z.buf : NULL, .len = len };
	r->dir = (c->opcode == NVME_OPC_FABRICS ? c->nsid : c->opcode) & 3;
	z.given = false;
	z.group.auth_at = 0;
	nv_qp_serve(&z.qp, &r, 1);
	check(z.given);
	return z.r.status;
}

static void twist(uint8_t *m, uint32_t len)
{
	if (len)
		m[z.twist_at % len] ^= z.twist;
	z.twist = 0;
}

static void join(uint8_t setup)
{
	VIO_OPTS(vio_nvme_host_opts, o, .secret = SECRET, .ctrl_secret = SECRET);
	struct nvmf_connect_data d = { .cntlid = UINT16_MAX, .subsysnqn = NQN, .hostnqn = HOSTNQN };
	struct nvme_connect_cmd connect = { .opcode = NVME_OPC_FABRICS, .fctype = 1, .sqsize = 31 };
	struct nvme_cmd c;

	z.right = setup & 1;
	z.ctrl_right = setup & 4;
	o.dh_groups = setup & 8 ? 1u << VIO_NVME_FFDHE2048 : 1u << VIO_NVME_DH_NULL;
	o.ctrl_secret = z.ctrl_right ? SECRET : OTHER;
	check(!vio_nvme_allow(z.s, HOSTNQN, &o));
	check(!vio__dhchap_key(&z.h.key, z.right ? SECRET : OTHER, HOSTNQN, "fuzz"));
	memset(&z.h.ctrl_key, 0, sizeof(z.h.ctrl_key));
	if (setup & 2)
		check(!vio__dhchap_key(&z.h.ctrl_key, SECRET, NQN, "fuzz"));
	z.ended = false;
	z.twist = 0;
	nv_qp_init(&z.qp, &z.group, &z.queue);
	memcpy(z.buf, &d, sizeof(d));
	memcpy(&c, &connect, sizeof(c));
	check(!serve(&c, sizeof(d)) && z.r.result >> 16 == 2);
	check(!vio__host_auth_begin(&z.auth, &z.h, z.r.result) && z.auth.on);
}

/* What the host does next, and what it makes of the answer. */
static void host_goes_on(void)
{
	struct host_slot *s = &z.slot;
	uint16_t status;
	int rc;

	if (!z.auth.on)
		return;
	vio__host_auth_ask(&z.auth, s);
	check(s->len <= sizeof(z.auth.message));
	if (s->write)
		memcpy(z.buf, z.auth.message, s->len);
	else
		memset(z.buf, 0, s->len);
	if (s->write)
		twist(z.buf, s->len);
	status = serve(&s->cmd, s->len);
	if (!s->write) {
		twist(z.buf, s->len);
		memcpy(z.auth.message, z.buf, s->len);
	}
	rc = vio__host_auth_got(&z.auth, &z.h, status);
	if (!rc && z.h.ctrl_key.len)
		check(z.ctrl_right);
	check(rc >= 0 || z.auth.why);
}

static void somebody_says(const uint8_t **p, size_t *n, bool ask)
{
	struct nvme_auth_cmd c = { .opcode = NVME_OPC_FABRICS,
				   .fctype =
					   ask ? nvme_fabrics_type_auth_receive : nvme_fabrics_type_auth_send,
				   .secp = DHCHAP_SECP,
				   .spsp0 = 1,
				   .spsp1 = 1 };
	struct nvme_cmd cmd;
	uint32_t len = *n ? *(*p)++ * 8u : 0;

	*n -= *n ? 1 : 0;
	memset(z.buf, 0, sizeof(z.buf));
	if (!ask) {
		size_t have = VIO_MIN((size_t)len, *n);

		memcpy(z.buf, *p, have);
		*p += have;
		*n -= have;
	}
	c.len = len;
	memcpy(&cmd, &c, sizeof(cmd));
	serve(&cmd, len);
}

/* Anything else is refused until it was proven. */
static void command(void)
{
	struct nvme_cmd c = { .opcode = nvme_admin_keep_alive };
	uint16_t status = serve(&c, 0);

	if (nv_auth_lacks(&z.qp))
		check(status == NV_NO_SPECIFIC(NVME_SC_AUTH_REQUIRED));
}

static void play(const uint8_t *p, size_t n)
{
	for (unsigned i = 0; i < MAX_STEPS && n && !z.ended; i++) {
		uint8_t kind = *p++;

		n--;
		switch (kind % STEPS) {
		case HOST_GOES_ON:
			host_goes_on();
			break;
		case TWIST:
			if (n < 3)
				return;
			z.twist_at = (uint16_t)(p[0] | p[1] << 8);
			z.twist = p[2];
			p += 3;
			n -= 3;
			break;
		case SAY:
		case ASK:
			somebody_says(&p, &n, kind % STEPS == ASK);
			break;
		case COMMAND:
			command();
			break;
		default:
			vio_poller_run(z.poller, 0);
		}
		check(z.right || nv_auth_lacks(&z.qp));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!vio__dhchap_has() || !size)
		return 0;
	if (!z.poller)
		start();
	join(data[0]);
	play(data + 1, size - 1);
	vio__host_auth_end(&z.auth);
	nv_qp_close(&z.qp);
	nv_qp_gone(&z.qp);
	check(!z.s->ctrls);
	return 0;
}
