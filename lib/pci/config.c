/* SPDX-License-Identifier: MIT */
/* Config space: bytes, which of their bits a guest may write, and the two lists of capabilities in it. */
#include "pci/pci.h"

#include <linux/pci_regs.h>

#define CONFIG_FIRST_CAP 0x40u
#define CONFIG_EXT 0x100u /* where extended capabilities begin */

void pci_config_put(struct pci_config *c, unsigned at, unsigned len, uint32_t value, uint32_t writable)
{
	for (unsigned i = 0; i < len; i++) {
		c->data[at + i] = (uint8_t)(value >> (8 * i));
		c->writable[at + i] = (uint8_t)(writable >> (8 * i));
	}
}

uint16_t pci_config_add(struct pci_config *c, uint8_t id, unsigned size)
{
	uint16_t at = c->next_cap ? c->next_cap : CONFIG_FIRST_CAP;

	c->data[c->last_cap ? c->last_cap + 1 : PCI_CAPABILITY_LIST] = (uint8_t)at;
	c->data[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	c->data[at] = id;
	c->last_cap = at;
	c->next_cap = (uint16_t)((at + size + 3u) & ~3u);
	return at;
}

/* An extended capability's header: id, version, where the next one is. The first is at a fixed place. */
uint16_t pci_config_add_ext(struct pci_config *c, uint16_t id, uint8_t version, unsigned size)
{
	uint16_t at = c->last_ext ? c->next_ext : CONFIG_EXT;

	if (c->last_ext) {
		c->data[c->last_ext + 2] = (uint8_t)(c->data[c->last_ext + 2] | at << 4);
		c->data[c->last_ext + 3] = (uint8_t)(at >> 4);
	}
	pci_config_put(c, at, 4, id | (uint32_t)version << 16, 0);
	c->last_ext = at;
	c->next_ext = (uint16_t)((at + size + 3u) & ~3u);
	return at;
}

bool pci_config_write(struct pci_config *c, unsigned at, const uint8_t *from, unsigned len)
{
	unsigned flr = c->pcie + PCI_EXP_DEVCTL + 1u; /* the byte with the bit that starts a reset */
	bool reset = false;

	for (unsigned i = 0; i < len; i++) {
		uint8_t *to = &c->data[at + i], may = c->writable[at + i];

		*to = (uint8_t)((*to & ~may) | (from[i] & may));
		*to &= (uint8_t) ~(from[i] & c->clears[at + i]);
		reset |= c->pcie && at + i == flr && from[i] & PCI_EXP_DEVCTL_BCR_FLR >> 8;
	}
	return reset;
}
