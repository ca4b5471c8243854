/* SPDX-License-Identifier: MIT */
#include "backend/scope.h"

#include <pthread.h>
#include <virtio-offload/backend.h>

struct vio_scope {
	pthread_mutex_t lock;	/* taken when stacks come and go, never for a request */
	unsigned refs;
	struct vio__named *names;
};

int vio_scope_new(struct vio_scope **out)
{
	struct vio_scope *s = calloc(1, sizeof(*s));

	*out = s;
	if (!s)
		return vio__fail(ENOMEM, "scope: out of memory");
	pthread_mutex_init(&s->lock, NULL);
	s->refs = 1;
	return 0;
}

struct vio_scope *vio__scope_ref(struct vio_scope *s)
{
	if (s)
		__atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
	return s;
}

void vio_scope_free(struct vio_scope *s)
{
	if (!s || __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL))
		return;
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static struct vio__named *scope_find(struct vio_scope *s, const char *kind, const char *name)
{
	struct vio__named *n = s->names;

	while (n && (strcmp(n->kind, kind) || strcmp(n->name, name)))
		n = n->next;
	return n;
}

static struct vio__named *scope_make(struct vio_scope *s, const char *name,
				     struct vio__named *(*make)(void *ctx), void *ctx)
{
	struct vio__named *n = make(ctx);

	if (!n)
		return NULL;
	n->name = strdup(name);
	if (!n->name) {
		n->destroy(n);
		vio__fail(ENOMEM, "scope: out of memory");
		return NULL;
	}
	n->refs = 0;
	n->next = s->names;
	s->names = n;
	return n;
}

struct vio__named *vio__scope_get(struct vio_scope *s, const char *kind, const char *name,
				  struct vio__named *(*make)(void *ctx), void *ctx)
{
	struct vio__named *n;

	pthread_mutex_lock(&s->lock);
	n = scope_find(s, kind, name);
	if (!n && make)
		n = scope_make(s, name, make, ctx);
	if (n)
		n->refs++;
	pthread_mutex_unlock(&s->lock);
	return n;
}

static void scope_unlink(struct vio_scope *s, struct vio__named *n)
{
	struct vio__named **at = &s->names;

	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
}

void vio__scope_put(struct vio_scope *s, struct vio__named *n)
{
	bool last;

	pthread_mutex_lock(&s->lock);
	last = !--n->refs;
	if (last)
		scope_unlink(s, n);
	pthread_mutex_unlock(&s->lock);
	if (!last)
		return;
	free(n->name);
	n->destroy(n);
}
