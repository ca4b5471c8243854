/* SPDX-License-Identifier: MIT */
/* The built-in types, each defined by the file of its name. */
#ifndef VIO_BACKEND_BACKEND_H
#define VIO_BACKEND_BACKEND_H

#include "base/base.h"
#include "types.h"

#include <virtio-offload/impl/backend.h>

#define X(name) extern const struct vio_backend_type vio__backend_##name;
VIO__BACKEND_TYPES(X)
#undef X

/* One more reference, for a device; NULL is fine. */
void vio__backend_ref(struct vio_backend *b);

/* A lane comes into each layer, or -EBUSY; it goes. */
int vio__backend_enter(struct vio_backend *b);
void vio__backend_leave(struct vio_backend *b);

#endif
