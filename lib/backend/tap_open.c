/* SPDX-License-Identifier: MIT */
/* Getting hold of an interface: by name, which makes it if there is none, or by an fd that somebody else
 * opened. */
#define _GNU_SOURCE
#include "backend/tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TAP_DEVICE "/dev/net/tun"

static int open_device(void)
{
	int fd = open(TAP_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	if (errno == ENOENT || errno == ENODEV || errno == ENXIO)
		return vio__fail(errno, "tap: " TAP_DEVICE " is not there: the kernel lacks the tun module");
	return vio__fail(errno, "tap: " TAP_DEVICE " can't be opened: %s", strerror(errno));
}

static int open_refused(const struct tap_store *s, int err)
{
	switch (err) {
	case EPERM:
		return vio__fail(err,
				 "tap: %s needs CAP_NET_ADMIN, or to have been made for this user (ip tuntap "
				 "add %s mode tap user NAME)",
				 s->name, s->name);
	case EBUSY:
		return vio__fail(err, "tap: %s is in use by another program", s->name);
	case EINVAL:
		return vio__fail(
			err, "tap: %s is there already and is no tap%s", s->name,
			s->queues > 1
				? " with several queues (ip tuntap add ... multi_queue)"
				: " with a single queue (queues=N for one that was made with multi_queue)");
	case E2BIG:
		return vio__fail(err, "tap: %s can't have %u queues more", s->name, s->queues);
	default:
		return vio__fail(err, "tap: %s can't be opened: %s", s->name, strerror(err));
	}
}

static int open_queue(struct tap_store *s, struct tap_queue *q)
{
	struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI };

	if (s->vnet)
		r.ifr_flags |= IFF_VNET_HDR;
	if (s->queues > 1)
		r.ifr_flags |= IFF_MULTI_QUEUE;
	q->fd = open_device();
	if (q->fd < 0)
		return q->fd;
	memcpy(r.ifr_name, s->name, IFNAMSIZ);
	if (ioctl(q->fd, TUNSETIFF, &r))
		return open_refused(s, errno);
	memcpy(s->name, r.ifr_name, IFNAMSIZ); /* "tap%d" has got its number */
	return 0;
}

static int open_named(struct tap_store *s)
{
	struct ifreq off = { .ifr_flags = IFF_DETACH_QUEUE };
	int rc = 0;

	for (unsigned i = 0; i < s->queues && !rc; i++)
		rc = open_queue(s, &s->queue[i]);
	for (unsigned i = 1; i < s->queues && !rc; i++)
		if (ioctl(s->queue[i].fd, TUNSETQUEUE, &off))
			rc = vio__fail(errno, "tap: %s: a queue can't be detached: %s", s->name,
				       strerror(errno));
	return rc;
}

static int open_given(struct tap_store *s, int fd)
{
	struct ifreq r = { 0 };
	int flags;

	if (s->queues > 1)
		return vio__fail(EINVAL, "tap: fd=%d is one queue, but queues=%u", fd, s->queues);
	if (ioctl(fd, TUNGETIFF, &r))
		return vio__fail(EINVAL, "tap: fd=%d is no tap: %s", fd, strerror(errno));
	/* Whether it has IFF_NO_PI can't be asked: TUNGETIFF uses that bit for something else. */
	if (!(r.ifr_flags & IFF_TAP))
		return vio__fail(EINVAL, "tap: fd=%d is %s, expected a tap", fd, r.ifr_name);
	if (s->name[0] && strcmp(s->name, r.ifr_name))
		return vio__fail(EINVAL, "tap: fd=%d is %s, expected %s", fd, r.ifr_name, s->name);
	memcpy(s->name, r.ifr_name, IFNAMSIZ);
	s->vnet = r.ifr_flags & IFF_VNET_HDR;
	s->queue[0].fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	flags = s->queue[0].fd < 0 ? -1 : fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(s->queue[0].fd, F_SETFL, flags | O_NONBLOCK))
		return vio__fail(errno, "tap: fd=%d can't be taken: %s", fd, strerror(errno));
	return 0;
}

static int open_headers(struct tap_store *s)
{
	int fd = s->queue[0].fd, size = (int)tap_hdr_size(s), on = 1;

	if (!s->vnet)
		return 0;
	if (ioctl(fd, TUNSETVNETHDRSZ, &size) || ioctl(fd, TUNSETVNETLE, &on) || !tap_queue_probe(s))
		return vio__fail(errno,
				 "tap: %s: the kernel refuses virtio-net headers of %d bytes: %s (vnet=off "
				 "does without)",
				 s->name, size, strerror(errno));
	return 0;
}

static int open_mtu(struct tap_store *s, unsigned mtu)
{
	struct ifreq r = { .ifr_mtu = (int)mtu };

	s->ctl = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s->ctl < 0)
		return vio__fail(errno, "tap: no socket to ask for the mtu by: %s", strerror(errno));
	memcpy(r.ifr_name, s->name, IFNAMSIZ);
	if (mtu && ioctl(s->ctl, SIOCSIFMTU, &r))
		return vio__fail(errno, "tap: mtu=%u of %s can't be set%s: %s", mtu, s->name,
				 errno == EPERM ? ", which needs CAP_NET_ADMIN" : "", strerror(errno));
	s->mtu = (uint16_t)mtu;
	return 0;
}

static int open_persist(struct tap_store *s, bool on)
{
	if (on && ioctl(s->queue[0].fd, TUNSETPERSIST, 1ul))
		return vio__fail(errno, "tap: %s can't be made to stay: %s", s->name, strerror(errno));
	return 0;
}

/* Everything that tap_close_store looks at. */
static int open_init(struct tap_store *s, const struct tap_args *a)
{
	size_t len = a->name ? strlen(a->name) : 0;

	s->ctl = -1;
	s->vnet = a->vnet;
	s->queues = (unsigned)a->queues;
	if (!len && a->fd == UINT64_MAX)
		return vio__fail(EINVAL, "tap: the interface must be named, as in \"tap:tap0\"");
	if (len >= IFNAMSIZ)
		return vio__fail(EINVAL, "tap: '%s' is longer than the %d characters of an interface's name",
				 a->name, IFNAMSIZ - 1);
	memcpy(s->name, a->name ? a->name : "", len + 1);
	s->queue = calloc(s->queues, sizeof(*s->queue));
	if (!s->queue)
		return vio__fail(ENOMEM, "tap: out of memory for %u queues", s->queues);
	for (unsigned i = 0; i < s->queues; i++)
		s->queue[i].fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	return 0;
}

int tap_open_store(struct tap_store *s, const struct tap_args *a)
{
	int rc = open_init(s, a);

	if (rc)
		return rc;
	rc = a->fd == UINT64_MAX ? open_named(s) : open_given(s, (int)a->fd);
	rc = rc ? rc : open_headers(s);
	rc = rc ? rc : open_mtu(s, (unsigned)a->mtu);
	rc = rc ? rc : open_persist(s, a->persist);
	if (rc)
		tap_close_store(s);
	return rc;
}

void tap_close_store(struct tap_store *s)
{
	for (unsigned i = 0; i < s->queues; i++)
		if (s->queue[i].fd >= 0)
			close(s->queue[i].fd);
	if (s->ctl >= 0)
		close(s->ctl);
	free(s->queue);
	pthread_mutex_destroy(&s->lock);
}

/* An interface that was moved to another namespace keeps what it had. */
uint16_t tap_mtu(struct tap_store *s)
{
	struct ifreq r = { 0 };

	memcpy(r.ifr_name, s->name, IFNAMSIZ);
	if (!ioctl(s->ctl, SIOCGIFMTU, &r) && r.ifr_mtu >= 68 && r.ifr_mtu <= UINT16_MAX)
		__atomic_store_n(&s->mtu, (uint16_t)r.ifr_mtu, __ATOMIC_RELAXED);
	return __atomic_load_n(&s->mtu, __ATOMIC_RELAXED);
}

/* The kernel takes frames only while the interface is up; told by the queue itself, wherever it has been
 * moved. */
bool tap_is_up(const struct tap_store *s)
{
	struct pollfd p = { .fd = s->queue[0].fd, .events = POLLOUT };

	return poll(&p, 1, 0) == 1 && p.revents & POLLOUT;
}
