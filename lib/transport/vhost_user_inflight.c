/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* memfd_create, seals */
/*
 * The inflight region: the front end keeps it for us, so that the process after
 * this one, killed or not, knows which requests were under way. One part a queue,
 * each on a cache line of its own.
 */
#include "transport/vhost_user_conn.h"

#include <fcntl.h>
#include <linux/virtio_config.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAX_QUEUE_SIZE 32768u

static uint64_t part_size(uint64_t features, uint16_t queue_size)
{
	uint64_t bytes = vio_queue_inflight_size(features, queue_size);

	return (bytes + VIO_CACHELINE - 1) / VIO_CACHELINE * VIO_CACHELINE;
}

static int check_geometry(const struct vio_vhost_user *t, const struct vu_inflight *in)
{
	if (!in->queues || in->queues > t->nrings)
		return vio__fail(EINVAL, "an inflight region for %u queues, expected 1 to %u", in->queues,
				 t->nrings);
	if (!in->queue_size || in->queue_size > MAX_QUEUE_SIZE)
		return vio__fail(EINVAL, "an inflight region for queues of %u entries, expected 1 to %u",
				 in->queue_size, MAX_QUEUE_SIZE);
	if (in->mmap_offset % VIO_CACHELINE)
		return vio__fail(EINVAL,
				 "an inflight region at 0x%llx of its file, expected a multiple of %u",
				 (unsigned long long)in->mmap_offset, VIO_CACHELINE);
	return 0;
}

/* A zeroed memfd that nobody can shrink under us, or -errno. */
static int inflight_file(uint64_t size)
{
	int fd = memfd_create("vhost-user-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int err;

	if (fd >= 0 && !ftruncate(fd, (off_t)size) &&
	    !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		return fd;
	err = errno;
	vus_close_fd(&fd);
	return vio__fail(err, "cannot make an inflight region of %llu bytes: %s", (unsigned long long)size,
			 strerror(err));
}

/* A region of size 0 and no descriptor says that there is none to be had. */
static int get_inflight(struct vio_vhost_user *t, struct vu_msg *m)
{
	struct vu_inflight *in = &m->p.inflight;
	int err, fd;

	in->mmap_size = 0;
	in->mmap_offset = 0;
	err = check_geometry(t, in);
	if (err)
		return err;
	in->mmap_size = part_size(t->features, in->queue_size) * in->queues;
	fd = inflight_file(in->mmap_size);
	if (fd < 0) {
		in->mmap_size = 0;
		return fd;
	}
	m->fds[0] = fd;
	m->nfds = 1;
	return 0;
}

int vus_get_inflight(struct vio_vhost_user *t, struct vu_msg *m)
{
	if (get_inflight(t, m))
		vus_log(t, VIO_LOG_ERROR, "%s", vio_errmsg());
	return 0;
}

/* Mapped as a snapshot of guest memory would be: the same checks, the same guard. */
int vus_set_inflight(struct vio_vhost_user *t, struct vu_msg *m)
{
	VIO_OPTS(vio_mem_opts, o, .require_seals = t->opts.require_seals);
	const struct vu_inflight *in = &m->p.inflight;
	uint64_t most = part_size(VUS_BIT(VIRTIO_F_RING_PACKED), in->queue_size) * in->queues;
	struct vio_mem_region region = {
		.size = VIO_MIN(in->mmap_size, most),
		.fd = m->fds[0],
		.fd_offset = in->mmap_offset,
	};
	struct vio_mem *next;
	int err = check_geometry(t, in);

	if (!err)
		err = vio_mem_new(&next, &region, 1, &o);
	if (err)
		return err;
	vio_mem_free(t->inflight);
	t->inflight = next;
	t->inflight_queues = in->queues;
	t->inflight_queue_size = in->queue_size;
	return 0;
}

void *vus_inflight_of(const struct vus_ring *r, size_t *size)
{
	const struct vio_vhost_user *t = r->t;

	*size = 0;
	if (!t->inflight || r->index >= t->inflight_queues)
		return NULL;
	*size = part_size(t->features, t->inflight_queue_size);
	return vio_mem_ptr(t->inflight, r->index * *size, *size);
}
