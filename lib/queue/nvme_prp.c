/* SPDX-License-Identifier: MIT */
/* Physical region pages: a page each, the first from anywhere in it, and lists of them (NVMe
 * Base 2.0, 4.1.1). */
#include "queue/nvme_ring.h"

#define PRP_ENTRIES (NRING_PAGE / sizeof(uint64_t))

uint16_t vio__nvme_map_add(struct nvme_map *m, uint64_t addr, uint64_t len)
{
	while (len) {
		const struct mem_range *g = vio__mem_find(m->mem, addr);
		uint64_t n;

		if (!g)
			return NVME_STATUS(NVME_SC_DATA_XFER_ERROR) | NVME_STATUS_DNR;
		if (m->n == NRING_SEGMENTS)
			return NVME_STATUS(NVME_SC_SGL_INVALID_COUNT) | NVME_STATUS_DNR;
		n = VIO_MIN(len, g->size - (addr - g->guest));
		m->range = *g;
		nvme_map_push(m, g->ptr + (addr - g->guest), n);
		addr += n;
		len -= n;
	}
	return 0;
}

VIO_INLINE uint16_t prp_add(struct nvme_map *m, uint64_t addr, uint64_t len)
{
	return VIO_LIKELY(nvme_map_add_fast(m, addr, len)) ? 0 : vio__nvme_map_add(m, addr, len);
}

/*
 * Each entry of a list is read once. The last of a page names the next list if more follow; that
 * one begins its page, so each list but the first has 511 pages of data and there is no circle.
 */
static uint16_t prp_list(struct nvme_map *m, uint64_t list, uint32_t len)
{
	while (len) {
		unsigned at = (list % NRING_PAGE) / sizeof(uint64_t);
		const uint64_t *entry = vio_mem_ptr(m->mem, list, NRING_PAGE - list % NRING_PAGE);

		if (!entry || list % sizeof(uint64_t))
			return NVME_STATUS(entry ? NVME_SC_PRP_INVALID_OFFSET : NVME_SC_DATA_XFER_ERROR) |
			       NVME_STATUS_DNR;
		for (; len; at++, entry++) {
			uint64_t addr = VIO_LOAD(entry);
			uint32_t n = VIO_MIN(len, NRING_PAGE);
			uint16_t status;

			if (addr % NRING_PAGE)
				return NVME_STATUS(NVME_SC_PRP_INVALID_OFFSET) | NVME_STATUS_DNR;
			if (at == PRP_ENTRIES - 1 && len > NRING_PAGE) {
				list = addr;
				break;
			}
			status = prp_add(m, addr, n);
			if (status)
				return status;
			len -= n;
		}
	}
	return 0;
}

uint16_t vio__nvme_prp(struct nvme_map *m, uint64_t prp1, uint64_t prp2, uint32_t len)
{
	uint32_t first = NRING_PAGE - prp1 % NRING_PAGE;
	uint16_t status;

	if (VIO_UNLIKELY(prp1 % 4))
		return NVME_STATUS(NVME_SC_PRP_INVALID_OFFSET) | NVME_STATUS_DNR;
	status = prp_add(m, prp1, VIO_MIN(first, len));
	if (VIO_LIKELY(status || len <= first))
		return status;
	len -= first;
	if (len > NRING_PAGE)
		return prp_list(m, prp2, len);
	if (prp2 % NRING_PAGE)
		return NVME_STATUS(NVME_SC_PRP_INVALID_OFFSET) | NVME_STATUS_DNR;
	return prp_add(m, prp2, len);
}
