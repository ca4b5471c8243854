/* SPDX-License-Identifier: MIT */
/* Named objects that several stacks share: each kind (throttle groups, ...) has its own names. */
#ifndef VIO_BACKEND_SCOPE_H
#define VIO_BACKEND_SCOPE_H

#include "base/base.h"

struct vio_scope;

/* Embedded first in a shared object. */
struct vio__named {
	struct vio__named *next;
	const char *kind;	/* a literal */
	char *name;
	unsigned refs;
	void (*destroy)(struct vio__named *n);	/* frees the object itself; name is the scope's */
};

/*
 * The object of that kind and name with one reference more, made by `make` (whose
 * kind and destroy are set by the caller) if there is none yet; NULL and an error
 * text when make fails. With make NULL: only looks, NULL if there is none.
 */
struct vio__named *vio__scope_get(struct vio_scope *s, const char *kind, const char *name,
				  struct vio__named *(*make)(void *ctx), void *ctx);
void vio__scope_put(struct vio_scope *s, struct vio__named *n);

struct vio_scope *vio__scope_ref(struct vio_scope *s);

#endif
