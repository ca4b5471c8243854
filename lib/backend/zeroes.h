/* SPDX-License-Identifier: MIT */
/* Zeroes to write where nothing else makes a range read as zeroes: one block of them, named many times. */
#ifndef VIO_BACKEND_ZEROES_H
#define VIO_BACKEND_ZEROES_H

#include "base/base.h"

#define VIO__ZEROES_BLOCK 16384u /* bytes an entry, aligned for direct I/O */
#define VIO__ZEROES_IOVS 64u

/* VIO__ZEROES_IOVS entries of VIO__ZEROES_BLOCK zeroes each; for writing from only. */
extern const struct iovec vio__zeroes[VIO__ZEROES_IOVS];

/*
 * How the first piece of `len` zeroes is written: *niov entries of vio__zeroes, or
 * *niov 1 and fewer bytes than a block (then the caller needs an iovec of its own).
 * Returns the piece's bytes.
 */
VIO_INLINE uint64_t vio__zeroes_piece(uint64_t len, uint16_t *niov)
{
	uint64_t n = VIO_MIN(len / VIO__ZEROES_BLOCK, (uint64_t)VIO__ZEROES_IOVS);

	*niov = n ? (uint16_t)n : 1;
	return n ? n * VIO__ZEROES_BLOCK : len;
}

#endif
