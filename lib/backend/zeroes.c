/* SPDX-License-Identifier: MIT */
#include "backend/zeroes.h"

static const char zeroes_block[VIO__ZEROES_BLOCK] __attribute__((aligned(4096)));

#define Z1                                                                                                   \
	{                                                                                                    \
		(void *)zeroes_block, VIO__ZEROES_BLOCK                                                      \
	}
#define Z4 Z1, Z1, Z1, Z1
#define Z16 Z4, Z4, Z4, Z4

const struct iovec vio__zeroes[VIO__ZEROES_IOVS] = { Z16, Z16, Z16, Z16 };
