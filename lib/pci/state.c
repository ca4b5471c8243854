/* SPDX-License-Identifier: MIT */
/* Config space and MSI-X; then what the function itself has to say. */
#include "pci/state.h"

#include "pci/pci.h"

#include <linux/pci_regs.h>

#define STATE_MAGIC 0x4943502d4f4956u /* "VIO-PCI" */
#define STATE_VERSION 1u
#define STATE_HEADER 32u /* magic, version and nothing, length of what follows, its sum */

static bool out_reserve(struct pci_out *o, size_t n)
{
	size_t room = o->room ? o->room : PCI_CONFIG_SIZE;
	uint8_t *data;

	if (o->failed || n > PCI_STATE_MAX - o->len) {
		o->failed = true;
		return false;
	}
	while (room < o->len + n)
		room *= 2;
	if (room == o->room)
		return true;
	data = realloc(o->data, room);
	if (!data) {
		o->failed = true;
		return false;
	}
	o->data = data;
	o->room = room;
	return true;
}

void pci_put_bytes(struct pci_out *o, const void *from, size_t n)
{
	if (!n || !out_reserve(o, n))
		return;
	memcpy(o->data + o->len, from, n);
	o->len += n;
}

void pci_put(struct pci_out *o, uint64_t v, unsigned bytes)
{
	uint8_t b[8];

	for (unsigned i = 0; i < bytes; i++)
		b[i] = (uint8_t)(v >> 8 * i);
	pci_put_bytes(o, b, bytes);
}

void pci_take_bytes(struct pci_in *in, void *to, size_t n)
{
	if (in->failed || n > in->left) {
		in->failed = true;
		memset(to, 0, n);
		return;
	}
	memcpy(to, in->at, n);
	in->at += n;
	in->left -= n;
}

uint64_t pci_take(struct pci_in *in, unsigned bytes)
{
	uint8_t b[8];
	uint64_t v = 0;

	pci_take_bytes(in, b, bytes);
	for (unsigned i = 0; i < bytes; i++)
		v |= (uint64_t)b[i] << 8 * i;
	return v;
}

/* FNV-1a: it finds accidents, no attackers. */
static uint64_t state_sum(const uint8_t *at, size_t n)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ at[i]) * 0x100000001b3u;
	return h;
}

static void state_put_header(struct pci_out *o)
{
	struct pci_out header = { .data = o->data, .room = STATE_HEADER };
	size_t n = o->len - STATE_HEADER;

	pci_put(&header, STATE_MAGIC, 8);
	pci_put(&header, STATE_VERSION, 8);
	pci_put(&header, n, 8);
	pci_put(&header, state_sum(o->data + STATE_HEADER, n), 8);
}

int pci_save(struct vio_pci *f, struct pci_out *o)
{
	static const uint8_t header[STATE_HEADER];

	pci_put_bytes(o, header, sizeof(header));
	pci_put_bytes(o, f->config.data, PCI_CONFIG_SIZE);
	pci_put(o, f->vectors, 4);
	pci_put_bytes(o, f->msix, f->vectors * PCI_MSIX_ENTRY_SIZE);
	pci_put_bytes(o, f->pending, f->vectors);
	f->ops->save(f, o);
	if (o->failed)
		return vio__fail(ENOMEM, "pci: no memory for the function's state");
	state_put_header(o);
	return 0;
}

static int state_take_header(struct pci_in *in)
{
	uint64_t magic = pci_take(in, 8), version = pci_take(in, 8), n = pci_take(in, 8),
		 sum = pci_take(in, 8);

	if (in->failed || magic != STATE_MAGIC)
		return vio__fail(EINVAL, "pci: no state of a function, or only its beginning");
	if (version != STATE_VERSION)
		return vio__fail(EINVAL, "pci: the state has version %llu, expected %u",
				 (unsigned long long)version, STATE_VERSION);
	if (n != in->left)
		return vio__fail(EINVAL, "pci: the state has %zu bytes, expected %llu", in->left,
				 (unsigned long long)n);
	if (sum != state_sum(in->at, in->left))
		return vio__fail(EINVAL, "pci: the state was changed on its way");
	return 0;
}

/* What a guest can't write has to be the same here: it is what the guest's driver has found. */
static int state_fits(const struct vio_pci *f, const uint8_t *config, uint64_t vectors)
{
	const struct pci_config *c = &f->config;

	for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++)
		if ((config[i] ^ c->data[i]) & ~(c->writable[i] | c->clears[i]))
			return vio__fail(EINVAL,
					 "pci: the state is of another function: byte %#x of config "
					 "space is %#x, here %#x",
					 i, config[i], c->data[i]);
	if (vectors != f->vectors)
		return vio__fail(EINVAL, "pci: the state has %llu vectors, expected %u",
				 (unsigned long long)vectors, f->vectors);
	return 0;
}

int pci_load(struct vio_pci *f, const uint8_t *data, size_t len)
{
	struct pci_in in = { .at = data, .left = len };
	uint8_t config[PCI_CONFIG_SIZE];
	const uint8_t *table, *pending;
	int rc = state_take_header(&in);

	if (rc)
		return rc;
	pci_take_bytes(&in, config, sizeof(config));
	rc = state_fits(f, config, pci_take(&in, 4));
	if (rc)
		return rc;
	table = in.at;
	pending = table + f->vectors * PCI_MSIX_ENTRY_SIZE;
	if (in.failed || in.left < f->vectors * (PCI_MSIX_ENTRY_SIZE + 1u))
		return vio__fail(EINVAL, "pci: the state ends within the MSI-X table");
	in.at = pending + f->vectors;
	in.left -= f->vectors * (PCI_MSIX_ENTRY_SIZE + 1u);
	rc = f->ops->load(f, &in);
	if (rc)
		return rc;
	memcpy(f->config.data, config, sizeof(config));
	memcpy(f->msix, table, f->vectors * PCI_MSIX_ENTRY_SIZE);
	for (unsigned i = 0; i < f->vectors; i++)
		VIO_STORE(&f->pending[i], pending[i] & 1);
	return 0;
}
