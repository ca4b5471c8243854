/* SPDX-License-Identifier: MIT */
/* A poller's life, and the questions one may ask it. */
#include "poll/poll.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

static int poller_check(const struct vio_poller_opts *o)
{
	if ((unsigned)o->mode > VIO_POLL_ADAPTIVE)
		return vio__fail(EINVAL, "poller: mode %d, expected EVENT, BUSY or ADAPTIVE", (int)o->mode);
	if ((unsigned)o->engine > VIO_POLL_EPOLL)
		return vio__fail(EINVAL, "poller: engine %d, expected AUTO, IO_URING or EPOLL",
				 (int)o->engine);
	if (o->entries > 32768)
		return vio__fail(EINVAL, "poller: %u entries, expected 1 to 32768, or 0 for 1024",
				 o->entries);
	return 0;
}

static void poller_configure(struct vio_poller *p, const struct vio_poller_opts *o)
{
	p->epfd = p->bell_fd = p->timer_fd = -1;
	p->mode = o->mode;
	p->task_patience = o->mode == VIO_POLL_ADAPTIVE ? 1024 : 16;
	p->entries = o->entries ? o->entries : 1024;
	p->spin_ns = o->spin_ns ? o->spin_ns : 50000;
	p->log = o->log;
	p->log_ctx = o->log_ctx;
}

static int poller_open_fds(struct vio_poller *p)
{
	int rc;

	p->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (p->epfd < 0)
		return vio__fail(errno, "poller: no epoll: %s", strerror(errno));
	rc = poll_bell_open(p);
	return rc ? rc : poll_timer_open(p);
}

/* Which refusals of io_uring mean "not here": forbidden by seccomp, a sysctl or a security module, too
 * old a kernel, or too little locked memory for one. Running out of fds is no such thing. */
static bool poller_refused(int err)
{
	return err == -EPERM || err == -EACCES || err == -ENOSYS || err == -EINVAL || err == -ENOMEM;
}

static int poller_open_engine(struct vio_poller *p, enum vio_poll_engine want)
{
	int rc;

	p->engine = want == VIO_POLL_EPOLL ? &poll_epoll : &poll_uring;
	rc = p->engine->open(p);
	if (want == VIO_POLL_AUTO && poller_refused(rc)) {
		p->engine = &poll_epoll;
		rc = p->engine->open(p);
	}
	if (!rc)
		rc = poll_watch_internal(p, &p->bell_watch);
	return rc ? rc : poll_watch_internal(p, &p->timer_watch);
}

int vio_poller_new(struct vio_poller **out, const struct vio_poller_opts *opts)
{
	struct vio_poller_opts o;
	struct vio_poller *p;
	int rc;

	*out = NULL;
	rc = vio__opts(&o, sizeof(o), opts, "vio_poller_opts");
	if (!rc)
		rc = poller_check(&o);
	if (rc)
		return rc;
	p = aligned_alloc(VIO_CACHELINE, sizeof(*p));
	if (!p)
		return vio__fail(ENOMEM, "poller: out of memory");
	memset(p, 0, sizeof(*p));
	poller_configure(p, &o);
	rc = poller_open_fds(p);
	if (!rc)
		rc = poller_open_engine(p, o.engine);
	if (rc) {
		vio_poller_free(p);
		return rc;
	}
	*out = p;
	return 0;
}

static void poller_close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void vio_poller_free(struct vio_poller *p)
{
	if (!p)
		return;
	if (p->state)
		p->engine->close(p);
	poller_close_fd(p->timer_fd);
	poller_close_fd(p->bell_fd);
	poller_close_fd(p->epfd);
	poll_slots_free(p);
	free(p->bufs);
	free(p->files);
	free(p);
}

enum vio_poll_engine vio_poller_engine(const struct vio_poller *p)
{
	return p->engine->id;
}

enum vio_poll_mode vio_poller_mode(const struct vio_poller *p)
{
	return p->mode;
}

int vio_poller_fd(const struct vio_poller *p)
{
	struct vio_poller *self =
		(struct vio_poller *)p; /* to be asked for is no change that a caller sees */
	int rc;

	if (!self->foreign) {
		rc = self->engine->expose(self);
		if (rc)
			return vio__fail(-rc, "poller: its fd can't be had: %s", strerror(-rc));
		self->foreign = true;
		poll_outside(self);
	}
	return self->epfd;
}

void vio_poller_stats(const struct vio_poller *p, struct vio_poller_stats *out)
{
	vio__out(out, &p->stats, sizeof(p->stats));
}

void vio_poller_log(struct vio_poller *p, enum vio_log_level level, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	if (!p->log)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	p->log(p->log_ctx, level, text);
}
