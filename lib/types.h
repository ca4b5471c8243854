/* SPDX-License-Identifier: MIT */
/* The one list of built-in types. A new backend or filter is its file and its line here. */
#define VIO__BACKEND_TYPES(X) \
	X(file)               \
	X(ram)                \
	X(null)               \
	X(vhost_user)         \
	X(crypt)              \
	X(throttle)           \
	X(offset)             \
	X(fault)              \
	X(trace)
