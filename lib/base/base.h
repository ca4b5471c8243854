/* SPDX-License-Identifier: MIT */
/* What every room uses: failing with a sentence, options of any age, small helpers. */
#ifndef VIO_BASE_BASE_H
#define VIO_BASE_BASE_H

#include <virtio-offload/base.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define VIO_LIKELY(x) __builtin_expect(!!(x), 1)
#define VIO_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define VIO_INLINE static inline __attribute__((always_inline))
#define VIO_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define VIO_MIN(a, b) ((a) < (b) ? (a) : (b))
#define VIO_MAX(a, b) ((a) > (b) ? (a) : (b))
#define VIO_CONTAINER(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define VIO_CACHELINE 64

/* Where a request's scratch starts: behind struct vio_req and the queue's private tail. */
#define VIO_REQ_SCRATCH 128

/* Leaves the sentence for vio_errmsg() and returns -err, so that "return vio__fail(...)" reads well. */
int vio__fail(int err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Copies the caller's options, of whatever age, into *to, a struct of to_size
 * bytes whose first field is its size: fields that the caller does not have are
 * zero. -E2BIG if it has fields set that this library does not know.
 */
int vio__opts(void *to, size_t to_size, const void *from, const char *name);

/* For results ("out" structs): copies as much of from as the caller's struct holds, keeps its sz. */
void vio__out(void *to, const void *from, size_t from_size);

/* Overflow-checked a + b; true if it fits. */
VIO_INLINE bool vio__add(uint64_t a, uint64_t b, uint64_t *sum)
{
	return !__builtin_add_overflow(a, b, sum);
}

VIO_INLINE bool vio__is_pow2(uint64_t v)
{
	return v && !(v & (v - 1));
}

#endif
