/* SPDX-License-Identifier: MIT */
/* Loads and stores of memory that a peer writes at the same time: one access each, in this order. */
#ifndef VIO_BASE_BARRIER_H
#define VIO_BASE_BARRIER_H

#include "base/base.h"

#define VIO_LOAD(p) __atomic_load_n(p, __ATOMIC_RELAXED)
#define VIO_LOAD_ACQUIRE(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define VIO_STORE(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)
#define VIO_STORE_RELEASE(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

/* Full barrier: a store before it is visible before a load after it. */
#if defined(__SANITIZE_THREAD__)
#define VIO__TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define VIO__TSAN 1
#endif
#endif

VIO_INLINE void vio__full_barrier(void)
{
#ifdef VIO__TSAN /* which knows no fences; an exchange orders just as well */
	uint32_t x = 0;
	__atomic_exchange_n(&x, 1, __ATOMIC_SEQ_CST);
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* For memory that is written soon and that a peer's core had last: asks for its line now, for writing. */
VIO_INLINE void vio__prefetch_write(const volatile void *p)
{
#if defined(__x86_64__)
	/* The compiler's own asks for a line to read, unless built for newer processors; older ones do nothing. */
	__asm__ volatile("prefetchw %0" : : "m"(*(const volatile char *)p));
#else
	__builtin_prefetch((const void *)p, 1);
#endif
}

/* A spin loop's breath. */
VIO_INLINE void vio__relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#endif
