/* SPDX-License-Identifier: MIT */
/* In place of the subsystem and its target in a library built without NVMe. */
#include "base/base.h"

#include <virtio-offload/nvme_pci.h>
#include <virtio-offload/nvme_tcp.h>

static int absent(void)
{
	return vio__fail(ENOSYS, "nvme: this library was built without it (VIO_NVME)");
}

int vio_nvme_new(struct vio_nvme **s, const struct vio_nvme_opts *opts)
{
	(void)opts;
	*s = NULL;
	return absent();
}

void vio_nvme_free(struct vio_nvme *s)
{
	(void)s;
}

int vio_nvme_allow(struct vio_nvme *s, const char *host_nqn, const struct vio_nvme_host_opts *opts)
{
	(void)s;
	(void)host_nqn;
	(void)opts;
	return absent();
}

int vio_nvme_ana_set(struct vio_nvme *s, uint16_t port, uint32_t group, enum vio_nvme_ana state)
{
	(void)s;
	(void)port;
	(void)group;
	(void)state;
	return absent();
}

int vio_nvme_ana_get(struct vio_nvme *s, uint16_t port, uint32_t group)
{
	(void)s;
	(void)port;
	(void)group;
	return absent();
}

int vio_nvme_ns_add(struct vio_nvme *s, struct vio_backend *b, const struct vio_nvme_ns_opts *opts)
{
	(void)s;
	(void)b;
	(void)opts;
	return absent();
}

int vio_nvme_ns_attach(struct vio_nvme *s, uint32_t nsid, const char *host_nqn, bool attached)
{
	(void)s;
	(void)nsid;
	(void)host_nqn;
	(void)attached;
	return absent();
}

int vio_nvme_ns_remove(struct vio_nvme *s, uint32_t nsid)
{
	(void)s;
	(void)nsid;
	return absent();
}

int vio_nvme_ns_resize(struct vio_nvme *s, uint32_t nsid)
{
	(void)s;
	(void)nsid;
	return absent();
}

void vio_nvme_stats(struct vio_nvme *s, struct vio_nvme_stats *out)
{
	struct vio_nvme_stats none = { 0 };

	(void)s;
	vio__out(out, &none, sizeof(none));
}

int vio_nvme_tcp_new(struct vio_nvme_tcp **t, struct vio_poller *p, struct vio_nvme *s,
		     const struct vio_nvme_tcp_opts *opts)
{
	(void)p;
	(void)s;
	(void)opts;
	*t = NULL;
	return absent();
}

int vio_nvme_tcp_refer(struct vio_nvme *s, const char *address, uint16_t port)
{
	(void)s;
	(void)address;
	(void)port;
	return absent();
}

uint16_t vio_nvme_tcp_port(const struct vio_nvme_tcp *t)
{
	(void)t;
	return 0;
}

void vio_nvme_tcp_stop(struct vio_nvme_tcp *t, void (*done)(void *ctx), void *ctx)
{
	(void)t;
	(void)done;
	(void)ctx;
}

void vio_nvme_tcp_free(struct vio_nvme_tcp *t)
{
	(void)t;
}

void vio_nvme_tcp_stats(struct vio_nvme_tcp *t, struct vio_nvme_tcp_stats *out)
{
	struct vio_nvme_tcp_stats none = { 0 };

	(void)t;
	vio__out(out, &none, sizeof(none));
}

int vio_nvme_pci_secondary(struct vio_pci **f, struct vio_pci *primary, unsigned number,
			   const struct vio_nvme_pci_opts *opts)
{
	(void)primary;
	(void)number;
	(void)opts;
	*f = NULL;
	return absent();
}

int vio_nvme_pci_new(struct vio_pci **f, struct vio_poller *p, struct vio_nvme *s,
		     const struct vio_nvme_pci_opts *opts)
{
	(void)p;
	(void)s;
	(void)opts;
	*f = NULL;
	return absent();
}

void vio_nvme_pci_stop(struct vio_pci *f, void (*done)(void *ctx), void *ctx)
{
	(void)f;
	(void)done;
	(void)ctx;
}

void vio_nvme_pci_free(struct vio_pci *f)
{
	(void)f;
}
