/* SPDX-License-Identifier: MIT */
/* Format NVM (NVMe Base 2.0, 5.14): the sizes of blocks that a namespace may have. */
#include "nvme/nv.h"

#define FORMAT_LARGE 12u /* blocks of 4 KiB */

void nv_formats(const struct vio_nvme *s, const struct nv_ns *ns, struct nv_formats *f)
{
	uint8_t now = (uint8_t)VIO_LOAD(&ns->shift);

	*f = (struct nv_formats){ 0 };
	if (!nv_manages(s)) {
		f->shift[f->n++] = now;
		return;
	}
	f->shift[f->n++] = (uint8_t)ns->store_shift;
	if (ns->store_shift < FORMAT_LARGE)
		f->shift[f->n++] = FORMAT_LARGE;
	while (f->now < f->n && f->shift[f->now] != now)
		f->now++;
	if (f->now == f->n)
		f->shift[f->n++] = now;
}
