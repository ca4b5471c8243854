/* SPDX-License-Identifier: MIT */
/*
 * Errors, options and version: what every other header leans on.
 *
 * Conventions of the whole library:
 *  - A function that returns int returns 0 or a count, or -errno. After a
 *    negative return vio_errmsg() has one sentence that says what was wrong and
 *    what was expected.
 *  - A constructor (vio_x_new) stores NULL through its first argument when it
 *    fails. Who calls new calls free; free(NULL) does nothing.
 *  - Strings and option structs belong to the caller and are not kept.
 *  - Sizes and offsets are bytes and times are nanoseconds unless a name says so.
 *  - Guest-visible integers are little-endian, as virtio 1.x has them.
 */
#ifndef VIRTIO_OFFLOAD_BASE_H
#define VIRTIO_OFFLOAD_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef VIO_API
#define VIO_API __attribute__((visibility("default")))
#endif

#define VIO_VERSION_MAJOR 0
#define VIO_VERSION_MINOR 1
#define VIO_VERSION_PATCH 0

/*
 * An options struct, its size filled in and every field not named zero, which
 * always means "the default":
 *
 *     VIO_OPTS(vio_poller_opts, o, .mode = VIO_POLL_BUSY);
 *     vio_poller_new(&p, &o);
 *
 * NULL stands for an empty one. A library older than the header accepts a larger
 * struct as long as the fields it does not know are zero (-E2BIG otherwise).
 */
#define VIO_OPTS(type, name, ...) struct type name = { .sz = sizeof(struct type), __VA_ARGS__ }

/* "0.1.0": the version of the library that runs, not of the header. */
VIO_API const char *vio_version(void);

/*
 * The calling thread's last failure as one sentence, without a newline; "" when
 * nothing has failed yet. Valid until the thread's next failing call.
 */
VIO_API const char *vio_errmsg(void);

/* How much a message matters; see vio_poller_opts.log. */
enum vio_log_level {
	VIO_LOG_ERROR,	/* a peer or a file misbehaved; something was stopped */
	VIO_LOG_INFO,	/* connections and disconnections, start and stop */
	VIO_LOG_DEBUG,	/* every control message */
};

#ifdef __cplusplus
}
#endif
#endif
