/* SPDX-License-Identifier: MIT */
/* What front ends say about rings: the SET_VRING and GET_VRING messages. The ring in question is t->ring. */
#include "transport/vhost_user_conn.h"

#include <fcntl.h>
#include <sys/stat.h>

static int vring_busy(const struct vus_ring *r, const char *what)
{
	return vio__fail(EBUSY, "%s came for queue %u while it runs, expected after GET_VRING_BASE", what,
			 r->index);
}

int vus_vring_num(struct vio_vhost_user *t, struct vu_msg *m)
{
	struct vus_ring *r = t->ring;

	if (r->running)
		return vring_busy(r, "SET_VRING_NUM");
	if (!m->p.state.num || m->p.state.num > vio_dev_queue_size(t->dev))
		return vio__fail(EINVAL, "queue %u shall have %u entries, expected 1 to %u", r->index,
				 m->p.state.num, vio_dev_queue_size(t->dev));
	r->size = m->p.state.num;
	r->failed = false;
	return 0;
}

int vus_vring_addr(struct vio_vhost_user *t, struct vu_msg *m)
{
	t->ring->addr = m->p.addr;
	t->ring->addressed = true;
	t->ring->failed = false;
	return 0;
}

int vus_vring_base(struct vio_vhost_user *t, struct vu_msg *m)
{
	struct vus_ring *r = t->ring;

	if (r->running)
		return vring_busy(r, "SET_VRING_BASE");
	r->base = m->p.state.num;
	r->resumed = false;
	r->failed = false;
	return 0;
}

int vus_vring_get_base(struct vio_vhost_user *t, struct vu_msg *m)
{
	struct vus_ring *r = t->ring;

	r->started = false;
	vus_close_fd(&r->kick);
	m->p.state.num = vus_ring_base(r);
	m->h.size = sizeof(m->p.state);
	return 0;
}

/* Files of a known kind are refused: a write to a pipe that nobody reads would raise SIGPIPE, a disk's would
 * wait. */
static int check_eventfd(const struct vus_ring *r, int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return vio__fail(errno, "queue %u got a descriptor that cannot be looked at: %s", r->index,
				 strerror(errno));
	if (st.st_mode & S_IFMT)
		return vio__fail(EINVAL, "queue %u got a descriptor of mode 0%o, expected an eventfd",
				 r->index, st.st_mode);
	return 0;
}

/*
 * The descriptor that came, if any, in place of *fd. Nonblocking: the front end may
 * have filled the counter that is written here.
 */
static int vring_fd(const struct vus_ring *r, int *fd, struct vu_msg *m)
{
	int err = m->nfds ? check_eventfd(r, m->fds[0]) : 0;

	if (!err && m->nfds && fcntl(m->fds[0], F_SETFL, O_NONBLOCK))
		err = vio__fail(errno, "queue %u got an eventfd that cannot be made non-blocking", r->index);
	if (err)
		return err;
	vus_close_fd(fd);
	*fd = vus_take_fd(m);
	return 0;
}

int vus_vring_kick(struct vio_vhost_user *t, struct vu_msg *m)
{
	struct vus_ring *r = t->ring;
	int err = vring_fd(r, &r->kick, m);

	if (err)
		return err;
	r->started = true;
	r->broken = false;
	r->failed = false;
	r->announce = true;
	return 0;
}

int vus_vring_call(struct vio_vhost_user *t, struct vu_msg *m)
{
	t->ring->announce |= t->ring->call < 0;
	return vring_fd(t->ring, &t->ring->call, m);
}

int vus_vring_err(struct vio_vhost_user *t, struct vu_msg *m)
{
	return vring_fd(t->ring, &t->ring->err, m);
}

int vus_vring_enable(struct vio_vhost_user *t, struct vu_msg *m)
{
	struct vus_ring *r = t->ring;

	/* QEMU enables a network card's rings before it has set features. */
	if (t->features && !(t->features & VUS_BIT(VU_F_PROTOCOL_FEATURES)))
		return vio__fail(EPROTO, "SET_VRING_ENABLE needs VHOST_USER_F_PROTOCOL_FEATURES accepted");
	if (m->p.state.num > 1)
		return vio__fail(EINVAL, "SET_VRING_ENABLE says %u, expected 0 or 1", m->p.state.num);
	r->enabled = m->p.state.num;
	r->failed = false;
	return 0;
}
