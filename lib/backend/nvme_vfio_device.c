/* SPDX-License-Identifier: MIT */
/*
 * A PCI function by VFIO: its group's container, whose IOMMU maps what it is told (type 1), and the device.
 * Registers are read and written by system calls, which fail where a mapped page would send SIGBUS; only
 * doorbells are mapped.
 */
#define _GNU_SOURCE /* readlink, asprintf */
#include "backend/nvme_vfio_device.h"

#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEVICE_MAX_VECTORS 256u
#define DEVICE_MAX_BELLS (1u << 20)

static struct device *device_of(struct function *f)
{
	return VIO_CONTAINER(f, struct device, f);
}

static uint32_t device_read(struct function *f, uint64_t at)
{
	const struct device *v = device_of(f);
	uint32_t value;

	return pread(v->fd, &value, sizeof(value), (off_t)(v->bar_at + at)) == sizeof(value) ? value
											     : UINT32_MAX;
}

/* What can't be written is not there: its next read says so. */
static void device_write(struct function *f, uint64_t at, uint32_t value)
{
	const struct device *v = device_of(f);

	if (pwrite(v->fd, &value, sizeof(value), (off_t)(v->bar_at + at)) != sizeof(value))
		return;
}

static void device_master(struct function *f, bool on)
{
	const struct device *v = device_of(f);
	off_t at = (off_t)v->config_at + PCI_COMMAND;
	uint16_t command;

	if (pread(v->fd, &command, sizeof(command), at) != sizeof(command))
		return;
	command |= PCI_COMMAND_MEMORY;
	command = (uint16_t)(on ? command | PCI_COMMAND_MASTER : command & ~PCI_COMMAND_MASTER);
	if (pwrite(v->fd, &command, sizeof(command), at) != sizeof(command))
		return;
}

static void device_close(struct function *f)
{
	struct device *v = device_of(f);

	if (v->fd >= 0 && v->config_at)
		device_master(f, false);
	if (f->bells)
		munmap((void *)f->bells, f->bells_size);
	if (v->fd >= 0)
		close(v->fd); /* the kernel resets it, and takes its interrupts away */
	vio__device_iommu_close(v);
	for (unsigned i = 0; i < f->vectors; i++)
		if (f->irq[i] >= 0)
			close(f->irq[i]);
	if (f->gone >= 0)
		close(f->gone);
	free(f->irq);
	free(v->name);
	free(v);
}

static const struct function_ops device_ops = {
	.read = device_read,
	.write = device_write,
	.map = vio__device_map,
	.unmap = vio__device_unmap,
	.master = device_master,
	.close = device_close,
};

static int device_region(struct device *v, unsigned index, struct vfio_region_info *r)
{
	*r = (struct vfio_region_info){ .argsz = sizeof(*r), .index = index };
	if (ioctl(v->fd, VFIO_DEVICE_GET_REGION_INFO, r) || !r->size)
		return vio__fail(ENODEV, "nvme-vfio: %s: VFIO gives no %s", v->name,
				 index == VFIO_PCI_BAR0_REGION_INDEX ? "BAR 0" : "config space");
	return 0;
}

/* Doorbells that can't be mapped are rung by system calls. */
static void device_map_bells(struct device *v, const struct vfio_region_info *bar)
{
	uint64_t size =
		bar->size > FUNCTION_BELLS ? VIO_MIN(bar->size - FUNCTION_BELLS, DEVICE_MAX_BELLS) : 0;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	void *at;

	size &= ~(page - 1);
	if (!size || FUNCTION_BELLS % page || !(bar->flags & VFIO_REGION_INFO_FLAG_MMAP))
		return;
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd,
		  (off_t)(bar->offset + FUNCTION_BELLS));
	if (at == MAP_FAILED)
		return;
	v->f.bells = at;
	v->f.bells_size = size;
}

static int device_regions(struct device *v)
{
	struct vfio_region_info bar, config;
	uint32_t class_code = 0;
	int rc = device_region(v, VFIO_PCI_BAR0_REGION_INDEX, &bar);

	rc = rc ? rc : device_region(v, VFIO_PCI_CONFIG_REGION_INDEX, &config);
	if (rc)
		return rc;
	v->bar_at = bar.offset;
	v->config_at = config.offset;
	v->f.bar_size = bar.size;
	if (pread(v->fd, &class_code, 4, (off_t)(v->config_at + PCI_CLASS_REVISION)) != 4 ||
	    class_code >> 8 != 0x010802)
		return vio__fail(ENOTSUP,
				 "nvme-vfio: %s: its class is %#x, expected 0x010802: no NVMe controller",
				 v->name, class_code >> 8);
	device_master(&v->f, false);
	device_map_bells(v, &bar);
	return 0;
}

static int device_set_irqs(struct device *v, unsigned index, const int *fds, unsigned n)
{
	size_t size = sizeof(struct vfio_irq_set) + n * sizeof(*fds);
	struct vfio_irq_set *set = calloc(1, size);
	int rc;

	if (!set)
		return vio__fail(ENOMEM, "nvme-vfio: out of memory");
	*set = (struct vfio_irq_set){ .argsz = (uint32_t)size,
				      .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
				      .index = index,
				      .count = n };
	memcpy(set->data, fds, n * sizeof(*fds));
	rc = ioctl(v->fd, VFIO_DEVICE_SET_IRQS, set) ? -errno : 0;
	free(set);
	return rc;
}

/* All at once: older kernels add none to those that are on. */
static int device_vectors(struct device *v)
{
	struct vfio_irq_info info = { .argsz = sizeof(info), .index = VFIO_PCI_MSIX_IRQ_INDEX };
	unsigned n;
	int rc;

	if (ioctl(v->fd, VFIO_DEVICE_GET_IRQ_INFO, &info) || !info.count)
		return vio__fail(ENOTSUP, "nvme-vfio: %s: it has no MSI-X", v->name);
	n = VIO_MIN(info.count, DEVICE_MAX_VECTORS);
	v->f.irq = malloc(n * sizeof(*v->f.irq));
	if (!v->f.irq)
		return vio__fail(ENOMEM, "nvme-vfio: out of memory");
	for (v->f.vectors = 0; v->f.vectors < n; v->f.vectors++) {
		int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

		if (fd < 0)
			return vio__fail(errno, "nvme-vfio: %s: no eventfd for vector %u of %u: %s", v->name,
					 v->f.vectors, n, strerror(errno));
		v->f.irq[v->f.vectors] = fd;
	}
	rc = device_set_irqs(v, VFIO_PCI_MSIX_IRQ_INDEX, v->f.irq, n);
	return rc ? vio__fail(-rc, "nvme-vfio: %s: %u interrupt vectors: %s", v->name, n, strerror(-rc)) : 0;
}

/* A kernel that doesn't tell when it wants the device back then waits for us to end. */
static int device_watch_removal(struct device *v)
{
	v->f.gone = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (v->f.gone < 0)
		return vio__fail(errno, "nvme-vfio: eventfd: %s", strerror(errno));
	if (device_set_irqs(v, VFIO_PCI_REQ_IRQ_INDEX, &v->f.gone, 1)) {
		close(v->f.gone);
		v->f.gone = -1;
	}
	return 0;
}

/* What is not an address would be a path elsewhere. */
static int device_check_name(const char *name)
{
	unsigned domain, bus, slot, function;
	int end = 0;

	if (strlen(name) != 12 || strspn(name, "0123456789abcdef:.") != 12 ||
	    sscanf(name, "%4x:%2x:%2x.%1u%n", &domain, &bus, &slot, &function, &end) != 4 || end != 12)
		return vio__fail(EINVAL, "nvme-vfio: %s is no PCI address, expected one like 0000:03:00.0",
				 name);
	return 0;
}

int vio__function_open(struct function **f, const char *name)
{
	struct device *v;
	int rc = device_check_name(name);

	if (rc)
		return rc;
	v = calloc(1, sizeof(*v));
	if (!v)
		return vio__fail(ENOMEM, "nvme-vfio: out of memory");
	v->f.ops = &device_ops;
	v->f.gone = v->fd = v->group = v->container = -1;
	v->name = strdup(name);
	rc = v->name ? vio__device_iommu_open(v) : vio__fail(ENOMEM, "nvme-vfio: out of memory");
	rc = rc ? rc : device_regions(v);
	rc = rc ? rc : device_vectors(v);
	rc = rc ? rc : device_watch_removal(v);
	if (rc)
		device_close(&v->f);
	else
		*f = &v->f;
	return rc;
}
