/* SPDX-License-Identifier: MIT */
/*
 * An NVMe controller as a PCI function, for a guest's own NVMe driver: queues in the
 * guest's memory, MSI-X, doorbells by message or, where every poller is in BUSY mode, in
 * a page that the guest writes directly; shadow doorbells (Doorbell Buffer Config). A
 * transport (vfio_user.h) plugs it in. Several functions may share one subsystem, each
 * a controller of its own.
 */
#ifndef VIRTIO_OFFLOAD_NVME_PCI_H
#define VIRTIO_OFFLOAD_NVME_PCI_H

#include <virtio-offload/nvme.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vio_pci;

struct vio_nvme_pci_opts {
	size_t sz;
	/* I/O queues are served by pollers[i % npollers]; 0: all on the function's own. */
	struct vio_poller **pollers;
	unsigned npollers;
	unsigned queues; /* pairs for I/O: at most 511, 0 means 31; never more than the subsystem has */
	size_t buffers;	 /* bytes a poller for commands' data that can't stay where it is; 0 means 4 MiB */
	uint16_t port;	 /* the subsystem's that this is, see vio_nvme_ana_set; 0 means 1 */
	uint16_t reserved[3]; /* 0 */
	/* The guest's name where namespaces are attached to hosts (nvme_manage.h); or NULL. */
	const char *host;
	/* That it is primary controller of, see vio_nvme_pci_secondary: at most 127. */
	unsigned secondaries;
	unsigned reserved2; /* 0 */
};

/*
 * A controller of s; p serves its registers and its admin queue, and has to be its
 * transport's. -EINVAL, -ENOMEM, -ENOSYS in a library built without NVMe.
 */
VIO_API int vio_nvme_pci_new(struct vio_pci **f, struct vio_poller *p, struct vio_nvme *s,
			     const struct vio_nvme_pci_opts *opts);

/*
 * Secondary controller `number`, from 1 on, of a primary that was made with so many: a function of
 * its own, on the primary's poller, for a transport of its own. It is off line: registers are dead, CSTS.CFS
 * is set. The primary's host gives it queues and vectors, as many as the primary has itself at most, and sets
 * it on line (Virtualization Management). A reset of the primary sets all its secondaries off line.
 * It is to be freed before the primary. Neither of them migrates. opts: queues is that of the primary, or 0.
 * -EINVAL, -EEXIST, -ENOMEM.
 */
VIO_API int vio_nvme_pci_secondary(struct vio_pci **f, struct vio_pci *primary, unsigned number,
				   const struct vio_nvme_pci_opts *opts);

/*
 * After its transport has been freed, or if it never had one: lets go of the subsystem.
 * done runs on p's thread when that is so; all pollers have to run until then.
 */
VIO_API void vio_nvme_pci_stop(struct vio_pci *f, void (*done)(void *ctx), void *ctx);

/* Only after stop's done, or if no poller of its has run since it was made. */
VIO_API void vio_nvme_pci_free(struct vio_pci *f);

#ifdef __cplusplus
}
#endif
#endif
