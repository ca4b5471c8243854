/* SPDX-License-Identifier: MIT */
/* A function is put together: its header, its BARs, its capabilities. */
#include "pci/pci.h"

#include <linux/pci_regs.h>
#include <unistd.h>

#define MSIX_PENDING 0x8000u /* in the MSI-X BAR: behind the longest table */
#define MSIX_BAR_SIZE 0x10000u
#define AER_SIZE 0x48u
#define MSIX_TABLE_SIZE (PCI_MAX_VECTORS * PCI_MSIX_ENTRY_SIZE)
_Static_assert(MSIX_TABLE_SIZE <= MSIX_PENDING, "the longest table ends before the pending bits");

static void pci_put_ids(struct pci_config *c, const struct pci_ids *ids)
{
	pci_config_put(c, PCI_VENDOR_ID, 2, ids->vendor, 0);
	pci_config_put(c, PCI_DEVICE_ID, 2, ids->device, 0);
	pci_config_put(c, PCI_REVISION_ID, 1, ids->revision, 0);
	pci_config_put(c, PCI_CLASS_PROG, 3, ids->class_code, 0);
	pci_config_put(c, PCI_SUBSYSTEM_VENDOR_ID, 2, ids->subsystem_vendor, 0);
	pci_config_put(c, PCI_SUBSYSTEM_ID, 2, ids->subsystem, 0);
	pci_config_put(c, PCI_COMMAND, 2, 0,
		       PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR |
			       PCI_COMMAND_INTX_DISABLE);
	pci_config_put(c, PCI_CACHE_LINE_SIZE, 1, 0, 0xff);
	pci_config_put(c, PCI_INTERRUPT_LINE, 1, 0, 0xff); /* the guest's notebook: there is no pin */
}

int pci_init(struct vio_pci *f, const struct pci_ops *ops, const struct pci_ids *ids)
{
	memset(f, 0, sizeof(*f));
	f->ops = ops;
	for (unsigned i = 0; i < PCI_BARS; i++)
		f->bar[i].fd = -1;
	pci_put_ids(&f->config, ids);
	return 0;
}

void pci_fini(struct vio_pci *f)
{
	for (unsigned i = 0; i < PCI_BARS; i++)
		if (f->bar[i].fd >= 0)
			close(f->bar[i].fd);
	free(f->msix);
	free(f->irq);
	free(f->pending);
}

int pci_add_bar(struct vio_pci *f, unsigned bar, uint64_t size, bool wide)
{
	unsigned at = PCI_BASE_ADDRESS_0 + 4 * bar;

	if (bar + wide >= PCI_BARS || !vio__is_pow2(size) || size < 16 || (!wide && size > 1u << 31))
		return vio__fail(EINVAL, "pci: a BAR %u of %llu bytes can't be", bar,
				 (unsigned long long)size);
	f->bar[bar].size = size;
	f->bar[bar].wide = wide;
	pci_config_put(&f->config, at, 4, wide ? PCI_BASE_ADDRESS_MEM_TYPE_64 : 0, (uint32_t) ~(size - 1));
	if (wide)
		pci_config_put(&f->config, at + 4, 4, 0, (uint32_t)(~(size - 1) >> 32));
	return 0;
}

void pci_add_pm(struct vio_pci *f)
{
	uint16_t at = pci_config_add(&f->config, PCI_CAP_ID_PM, PCI_PM_SIZEOF);

	pci_config_put(&f->config, at + PCI_PM_PMC, 2, 3 /* version 1.2 */, 0);
	pci_config_put(&f->config, at + PCI_PM_CTRL, 2, PCI_PM_CTRL_NO_SOFT_RESET, PCI_PM_CTRL_STATE_MASK);
}

/* An endpoint with version 2 of the structure, and a link as any other. */
void pci_add_pcie(struct vio_pci *f)
{
	struct pci_config *c = &f->config;
	uint16_t at = pci_config_add(c, PCI_CAP_ID_EXP, PCI_CAP_EXP_ENDPOINT_SIZEOF_V2);
	uint32_t link = PCI_EXP_LNKCAP_SLS_2_5GB | 1u << 4; /* one lane */

	c->pcie = at;
	pci_config_put(c, at + PCI_EXP_FLAGS, 2, 2 | PCI_EXP_TYPE_ENDPOINT << 4, 0);
	pci_config_put(c, at + PCI_EXP_DEVCAP, 4, PCI_EXP_DEVCAP_RBER | PCI_EXP_DEVCAP_FLR, 0);
	pci_config_put(c, at + PCI_EXP_DEVCTL, 2, PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN,
		       0x7fffu & ~(uint32_t)PCI_EXP_DEVCTL_AUX_PME);
	pci_config_put(c, at + PCI_EXP_LNKCAP, 4, link, 0);
	pci_config_put(c, at + PCI_EXP_LNKCTL, 2, 0, PCI_EXP_LNKCTL_ASPMC | PCI_EXP_LNKCTL_CCC);
	pci_config_put(c, at + PCI_EXP_LNKSTA, 2, link, 0);
	c->clears[at + PCI_EXP_DEVSTA] = 0x0f;
}

static int pci_alloc_vectors(struct vio_pci *f, unsigned vectors)
{
	f->msix = calloc(1, MSIX_BAR_SIZE);
	f->irq = malloc(vectors * sizeof(*f->irq));
	f->pending = calloc(vectors, 1);
	if (!f->msix || !f->irq || !f->pending)
		return vio__fail(ENOMEM, "pci: out of memory for %u vectors", vectors);
	f->vectors = vectors;
	for (unsigned i = 0; i < vectors; i++)
		f->irq[i] = -1;
	return 0;
}

/* Every entry of the table is masked at first; what a guest writes is kept for it to read again, no more:
 * which vectors are wanted is known by their eventfds. */
static void pci_reset_msix(struct vio_pci *f)
{
	if (!f->msix)
		return;
	memset(f->msix, 0, MSIX_BAR_SIZE);
	for (unsigned i = 0; i < f->vectors; i++)
		f->msix[i * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL] = PCI_MSIX_ENTRY_CTRL_MASKBIT;
	memset(f->pending, 0, f->vectors);
}

int pci_add_msix(struct vio_pci *f, unsigned bar, unsigned vectors)
{
	uint16_t at;
	int rc = vectors && vectors <= PCI_MAX_VECTORS ? pci_add_bar(f, bar, MSIX_BAR_SIZE, false)
						       : vio__fail(EINVAL, "pci: %u vectors", vectors);

	rc = rc ? rc : pci_alloc_vectors(f, vectors);
	if (rc)
		return rc;
	f->msix_bar = bar;
	at = pci_config_add(&f->config, PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF);
	pci_config_put(&f->config, at + PCI_MSIX_FLAGS, 2, vectors - 1,
		       PCI_MSIX_FLAGS_MASKALL | PCI_MSIX_FLAGS_ENABLE);
	pci_config_put(&f->config, at + PCI_MSIX_TABLE, 4, bar, 0);
	pci_config_put(&f->config, at + PCI_MSIX_PBA, 4, MSIX_PENDING | bar, 0);
	return 0;
}

void pci_add_aer(struct vio_pci *f)
{
	struct pci_config *c = &f->config;
	uint16_t at = pci_config_add_ext(c, PCI_EXT_CAP_ID_ERR, 2, AER_SIZE);
	const uint32_t uncorrectable = 0x003ff030; /* what version 2 of the structure defines */

	memset(&c->clears[at + PCI_ERR_UNCOR_STATUS], 0xff, 4);
	memset(&c->clears[at + PCI_ERR_COR_STATUS], 0xff, 4);
	pci_config_put(c, at + PCI_ERR_UNCOR_MASK, 4, 0, uncorrectable);
	pci_config_put(c, at + PCI_ERR_UNCOR_SEVER, 4, 0x00062030, uncorrectable);
	pci_config_put(c, at + PCI_ERR_COR_MASK, 4, 0x2000, 0xf1c1);
}

void pci_ready(struct vio_pci *f)
{
	memcpy(f->config.fresh, f->config.data, sizeof(f->config.fresh));
	pci_reset_msix(f);
}

void pci_reset(struct vio_pci *f)
{
	memcpy(f->config.data, f->config.fresh, sizeof(f->config.data));
	pci_reset_msix(f);
	f->ops->reset(f);
}

/* The MSI-X table is storage; nothing of it is acted upon, and no vector is ever pending in it. */
static uint64_t pci_piece_read(struct vio_pci *f, unsigned bar, uint64_t at, unsigned len)
{
	uint64_t v = 0;

	if (!f->msix || bar != f->msix_bar)
		return f->ops->read(f, bar, at, len);
	memcpy(&v, f->msix + at, len);
	return v;
}

static void pci_piece_write(struct vio_pci *f, unsigned bar, uint64_t at, unsigned len, uint64_t v)
{
	if (!f->msix || bar != f->msix_bar)
		f->ops->write(f, bar, at, len, v);
	else if (at < f->vectors * PCI_MSIX_ENTRY_SIZE)
		memcpy(f->msix + at, &v, len);
}

/* The longest power of two that both the place and what is left of the range allow. */
static unsigned pci_piece(uint64_t at, unsigned len)
{
	unsigned piece = 8;

	while (piece > len || at & (piece - 1))
		piece /= 2;
	return piece;
}

void pci_bar_read(struct vio_pci *f, unsigned bar, uint64_t at, uint8_t *to, unsigned len)
{
	while (len) {
		unsigned piece = pci_piece(at, len);
		uint64_t v = pci_piece_read(f, bar, at, piece);

		memcpy(to, &v, piece);
		at += piece, to += piece, len -= piece;
	}
}

void pci_bar_write(struct vio_pci *f, unsigned bar, uint64_t at, const uint8_t *from, unsigned len)
{
	while (len) {
		unsigned piece = pci_piece(at, len);
		uint64_t v = 0;

		memcpy(&v, from, piece);
		pci_piece_write(f, bar, at, piece, v);
		at += piece, from += piece, len -= piece;
	}
}
