/* SPDX-License-Identifier: MIT */
/* Interrupts: the eventfds of MSI-X vectors. They change while the function is quiet. */
#include "transport/vfio_user.h"

#include <fcntl.h>
#include <sys/stat.h>

/* Files of a known kind are refused: a write to a pipe that nobody reads would raise SIGPIPE, a disk's would
 * wait. Nonblocking: the client may have filled the counter. */
static int irq_check_fd(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return vio__fail(errno, "a vector's descriptor cannot be looked at: %s", strerror(errno));
	if (st.st_mode & S_IFMT)
		return vio__fail(EINVAL, "a vector's descriptor has mode 0%o, expected an eventfd",
				 st.st_mode);
	if (fcntl(fd, F_SETFL, O_NONBLOCK))
		return vio__fail(errno, "a vector's eventfd cannot be made non-blocking: %s",
				 strerror(errno));
	return 0;
}

static void irq_assign(struct vio_vfio_user *t, unsigned vector, int fd)
{
	struct vio_pci *f = t->pci;

	if (f->irq[vector] >= 0)
		vio_poller_close(t->poller, f->irq[vector]);
	f->irq[vector] = fd;
	if (fd >= 0 && __atomic_exchange_n(&f->pending[vector], 0, __ATOMIC_RELAXED))
		vio_poller_signal(t->poller, fd);
}

void vfs_irqs_clear(struct vio_vfio_user *t)
{
	for (unsigned i = 0; i < t->pci->vectors; i++)
		irq_assign(t, i, -1);
}

/* One descriptor for each vector of the range, or none: nothing is signalled for them any more. */
static int irq_eventfds(struct vio_vfio_user *t, const struct vfio_irq_set *s, struct vfu_msg *m)
{
	int err = 0;

	if (m->nfds && m->nfds != s->count)
		return vio__fail(EINVAL, "SET_IRQS of %u vectors with %u file descriptors", s->count,
				 m->nfds);
	for (unsigned i = 0; !err && i < m->nfds; i++)
		err = irq_check_fd(m->fds[i]);
	if (err)
		return err;
	for (unsigned i = 0; i < s->count; i++)
		irq_assign(t, s->start + i, m->nfds ? m->fds[i] : -1);
	if (m->nfds)
		t->live = true;
	m->nfds = 0;
	return 0;
}

/* The client has us raise interrupts, all of the range or those with a byte that is not 0. */
static int irq_trigger(struct vio_vfio_user *t, const struct vfio_irq_set *s, const uint8_t *which)
{
	for (unsigned i = 0; i < s->count; i++)
		if (!which || which[i])
			pci_interrupt(t->pci, t->poller, s->start + i);
	return 0;
}

static int irq_check(const struct vio_vfio_user *t, const struct vfio_irq_set *s, const struct vfu_msg *m)
{
	uint32_t vectors = s->index == VFIO_PCI_MSIX_IRQ_INDEX ? t->pci->vectors : 0;
	uint32_t data = s->flags & VFIO_IRQ_SET_DATA_TYPE_MASK;
	uint32_t extra = vfu_payload_size(m) - (uint32_t)sizeof(*s);

	if (s->argsz < sizeof(*s) || s->index >= VFIO_PCI_NUM_IRQS)
		return vio__fail(EINVAL, "SET_IRQS has argsz %u and index %u", s->argsz, s->index);
	if ((uint64_t)s->start + s->count > vectors)
		return vio__fail(EINVAL, "SET_IRQS names vectors %u+%u of index %u, which has %u", s->start,
				 s->count, s->index, vectors);
	/* No vector can be masked by message, as DEVICE_GET_IRQ_INFO says. */
	if ((s->flags & ~VFIO_IRQ_SET_DATA_TYPE_MASK) != VFIO_IRQ_SET_ACTION_TRIGGER || !data ||
	    !vio__is_pow2(data))
		return vio__fail(EINVAL, "SET_IRQS has flags %#x", s->flags);
	if ((m->nfds && data != VFIO_IRQ_SET_DATA_EVENTFD) || (!s->count && data != VFIO_IRQ_SET_DATA_NONE) ||
	    (data == VFIO_IRQ_SET_DATA_BOOL && extra < s->count))
		return vio__fail(EINVAL,
				 "SET_IRQS of %u vectors, flags %#x, has %u file descriptors, %u bytes",
				 s->count, s->flags, m->nfds, extra);
	return 0;
}

int vfs_set_irqs(struct vio_vfio_user *t, struct vfu_msg *m)
{
	const struct vfio_irq_set s = m->p.irqs;
	int err = irq_check(t, &s, m);

	vfs_reply(m, 0);
	if (err)
		return err;
	if (s.flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return irq_eventfds(t, &s, m);
	if (s.flags & VFIO_IRQ_SET_DATA_BOOL)
		return irq_trigger(t, &s, m->p.irqs.data);
	if (s.count)
		return irq_trigger(t, &s, NULL);
	if (s.index == VFIO_PCI_MSIX_IRQ_INDEX)
		vfs_irqs_clear(t); /* none at all: the index is switched off */
	return 0;
}
