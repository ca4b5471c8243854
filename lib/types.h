/* SPDX-License-Identifier: MIT */
/*
 * The one list of built-in types: a new backend or filter is its own file, which
 * defines vio__backend_NAME, and its line here.
 */
#ifndef VIO_TYPES_H
#define VIO_TYPES_H

#ifdef VIO_HAVE_CRYPTO
#define VIO__TYPE_CRYPT(X) X(crypt)
#else
#define VIO__TYPE_CRYPT(X)
#endif

#ifdef VIO_HAVE_XSK
#define VIO__TYPE_XSK(X) X(xsk)
#else
#define VIO__TYPE_XSK(X)
#endif

#ifdef VIO_HAVE_NVME
#define VIO__TYPE_NVME_TCP(X) X(nvme_tcp)
#define VIO__TYPE_NVME_VFIO(X) X(nvme_vfio)
#else
#define VIO__TYPE_NVME_TCP(X)
#define VIO__TYPE_NVME_VFIO(X)
#endif

#define VIO__BACKEND_TYPES(X) \
	X(file)               \
	X(ram)                \
	X(null)               \
	X(sink)               \
	X(vhost_user)         \
	X(vhost_user_net)     \
	VIO__TYPE_NVME_TCP(X) \
	VIO__TYPE_NVME_VFIO(X) \
	X(tap)                \
	X(pcap)               \
	VIO__TYPE_XSK(X)      \
	VIO__TYPE_CRYPT(X)    \
	X(throttle)           \
	X(offset)             \
	X(fault)              \
	X(trace)

#endif
