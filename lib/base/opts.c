/* SPDX-License-Identifier: MIT */
#include "base/base.h"

int vio__opts(void *to, size_t to_size, const void *from, const char *name)
{
	size_t have = from ? *(const size_t *)from : 0;

	memset(to, 0, to_size);
	*(size_t *)to = to_size;
	if (!from)
		return 0;
	if (have < sizeof(size_t))
		return vio__fail(EINVAL, "%s.sz is %zu: initialise the struct with VIO_OPTS", name, have);
	for (size_t i = to_size; i < have; i++)
		if (((const unsigned char *)from)[i])
			return vio__fail(E2BIG, "%s sets a field that library version %s does not know", name,
					 vio_version());
	memcpy((char *)to + sizeof(size_t), (const char *)from + sizeof(size_t),
	       VIO_MIN(have, to_size) - sizeof(size_t));
	return 0;
}

void vio__out(void *to, const void *from, size_t from_size)
{
	size_t have = *(size_t *)to;

	if (have <= sizeof(size_t))
		return;
	memset((char *)to + sizeof(size_t), 0, have - sizeof(size_t));
	memcpy((char *)to + sizeof(size_t), (const char *)from + sizeof(size_t),
	       VIO_MIN(have, from_size) - sizeof(size_t));
}
