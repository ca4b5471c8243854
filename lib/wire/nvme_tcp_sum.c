/* SPDX-License-Identifier: MIT */
/* NVMe/TCP's digests, by ISA-L where the library was built with it. */
#include "wire/nvme_tcp.h"

#ifdef VIO_HAVE_ISAL
#include <isa-l/crc.h>

#include <limits.h>

bool vio__nvme_tcp_has_digests(void)
{
	return true;
}

/* ISA-L counts in int, and only reads, although it doesn't say so. */
uint32_t vio__nvme_tcp_sum(uint32_t sum, const void *data, size_t len)
{
	const unsigned char *p = data;

	while (len) {
		size_t part = len < INT_MAX ? len : INT_MAX;

		sum = crc32_iscsi((unsigned char *)p, (int)part, sum);
		p += part;
		len -= part;
	}
	return sum;
}
#else
bool vio__nvme_tcp_has_digests(void)
{
	return false;
}

/* Never reached: no connection agrees on digests. */
uint32_t vio__nvme_tcp_sum(uint32_t sum, const void *data, size_t len)
{
	(void)data;
	(void)len;
	return sum;
}
#endif

uint32_t vio__nvme_tcp_sum_iov(uint32_t sum, const struct iovec *iov, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		sum = vio__nvme_tcp_sum(sum, iov[i].iov_base, iov[i].iov_len);
	return sum;
}
