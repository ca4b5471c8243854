/* SPDX-License-Identifier: MIT */
/*
 * The one list of built-in types: a new backend or filter is its own file, which
 * defines vio__backend_NAME, and its line here.
 */
#ifndef VIO_TYPES_H
#define VIO_TYPES_H

#define VIO__BACKEND_TYPES(X) \
	X(ram)                \
	X(null)               \
	X(throttle)           \
	X(offset)             \
	X(fault)              \
	X(trace)

#endif
