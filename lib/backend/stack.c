/* SPDX-License-Identifier: MIT */
/* Backends as shared objects: made one by one or from a line of text. */
#include "backend/backend.h"
#include "backend/scope.h"
#include "base/arg.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>

/* What the library keeps behind a public struct vio_backend. */
struct stack_layer {
	struct vio_backend b;
	unsigned refs;
	unsigned lanes; /* open in it; STACK_ERASING: none may be */
	_Alignas(VIO_CACHELINE) char priv[];
};

#define STACK_ERASING UINT_MAX

static const struct vio_backend_type *const stack_types[] = {
#define X(name) &vio__backend_##name,
	VIO__BACKEND_TYPES(X)
#undef X
};

const struct vio_backend_type *vio_backend_type_at(unsigned i)
{
	return i < VIO_ARRAY_SIZE(stack_types) ? stack_types[i] : NULL;
}

const char *vio_backend_type_name(const struct vio_backend_type *t)
{
	return t->name;
}

const char *vio_backend_type_help(const struct vio_backend_type *t)
{
	return t->help ? t->help : "";
}

const struct vio_backend_type *vio_backend_find(const char *name)
{
	char list[512] = "";
	size_t at = 0;

	for (unsigned i = 0; i < VIO_ARRAY_SIZE(stack_types); i++) {
		if (!strcmp(stack_types[i]->name, name))
			return stack_types[i];
		if (at < sizeof(list))
			at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s", i ? ", " : "", stack_types[i]->name);
	}
	vio__fail(ENOENT, "no backend or filter is called '%s'; there are: %s", name, list);
	return NULL;
}

static int stack_fits(const struct vio_backend_type *t, const struct vio_backend *next)
{
	bool filter = t->flags & VIO_BACKEND_FILTER;

	if (filter && !next)
		return vio__fail(EINVAL, "%s is a filter: it needs a backend before it, as in \"ram:1M | %s\"", t->name, t->name);
	if (!filter && next)
		return vio__fail(EINVAL, "%s is an end, not a filter: it must come first in its stack", t->name);
	if (!filter && (!t->info || !t->submit || !t->reap))
		return vio__fail(EINVAL, "%s: the type of an end must have info, submit and reap", t->name);
	return 0;
}

void vio__backend_ref(struct vio_backend *b)
{
	if (b)
		__atomic_add_fetch(&VIO_CONTAINER(b, struct stack_layer, b)->refs, 1, __ATOMIC_RELAXED);
}

int vio_backend_new(struct vio_backend **out, const struct vio_backend_type *t, struct vio_backend *next,
		    struct vio_scope *scope, const char *arg)
{
	size_t size = offsetof(struct stack_layer, priv) + t->priv;
	struct stack_layer *s;
	int rc = stack_fits(t, next);

	*out = NULL;
	if (rc)
		return rc;
	s = aligned_alloc(VIO_CACHELINE, (size + VIO_CACHELINE - 1) / VIO_CACHELINE * VIO_CACHELINE);
	if (!s)
		return vio__fail(ENOMEM, "%s: out of memory", t->name);
	memset(s, 0, size);
	s->refs = 1;
	s->b.type = t;
	s->b.next = next;
	s->b.scope = scope;
	s->b.priv = s->priv;
	rc = t->open ? t->open(&s->b, arg ? arg : "") : 0;
	if (rc) {
		free(s);
		return rc;
	}
	vio__backend_ref(next);
	vio__scope_ref(scope);
	*out = &s->b;
	return 0;
}

void vio_backend_free(struct vio_backend *b)
{
	while (b) {
		struct stack_layer *s = VIO_CONTAINER(b, struct stack_layer, b);
		struct vio_backend *next = b->next;

		if (__atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL))
			return;
		if (b->type->close)
			b->type->close(b);
		vio_scope_free(b->scope);
		free(s);
		b = next;
	}
}

/* Cuts "name:arg" out of text up to an unescaped '|', trimmed; returns the rest, or NULL after the last. */
static char *stack_element(char *text, char **name, char **arg)
{
	char *end = text, *rest, *colon;

	while (*end && *end != '|')
		end += end[0] == '\\' && end[1] ? 2 : 1;
	rest = *end ? end + 1 : NULL;
	while (end > text && isspace((unsigned char)end[-1]))
		end--;
	*end = 0;
	while (isspace((unsigned char)*text))
		text++;
	colon = strchr(text, ':');
	*name = text;
	*arg = colon ? colon + 1 : end;
	if (colon)
		*colon = 0;
	return rest;
}

static int stack_push(struct vio_backend **top, struct vio_scope *scope, const char *name, const char *arg)
{
	const struct vio_backend_type *t;
	struct vio_backend *b;
	int rc;

	if (!*name)
		return vio__fail(EINVAL, "a stack has an empty element; expected \"END[:ARGS] | FILTER[:ARGS] | ...\"");
	t = vio_backend_find(name);
	if (!t)
		return -EINVAL;
	rc = vio_backend_new(&b, t, *top, scope, arg);
	if (rc)
		return rc;
	vio_backend_free(*top); /* b keeps its own reference */
	*top = b;
	return 0;
}

int vio_backend_parse(struct vio_backend **out, struct vio_scope *scope, const char *stack)
{
	char *copy = strdup(stack), *rest = copy, *name, *arg;
	struct vio_backend *top = NULL;
	int rc = copy ? 0 : vio__fail(ENOMEM, "backend: out of memory");

	*out = NULL;
	while (rest && !rc) {
		rest = stack_element(rest, &name, &arg);
		rc = stack_push(&top, scope, name, arg);
	}
	free(copy);
	if (rc)
		vio_backend_free(top);
	else
		*out = top;
	return rc;
}

static int stack_info(struct vio_backend *b, struct vio_backend_info *i)
{
	int rc = b->next ? stack_info(b->next, i) : 0;

	return rc || !b->type->info ? rc : b->type->info(b, i);
}

int vio_backend_info(struct vio_backend *b, struct vio_backend_info *out)
{
	struct vio_backend_info i = { .sz = sizeof(i) };
	int rc = stack_info(b, &i);

	if (!rc)
		vio__out(out, &i, sizeof(i));
	return rc;
}

void vio_backend_stats(struct vio_backend *b,
		       void (*each)(void *ctx, const char *layer, const char *counter, uint64_t value), void *ctx)
{
	for (; b; b = b->next)
		if (b->type->stats)
			b->type->stats(b, each, ctx);
}

static unsigned *stack_lanes(struct vio_backend *b)
{
	return &VIO_CONTAINER(b, struct stack_layer, b)->lanes;
}

/* Up to, and without, `end`. */
static void stack_leave(struct vio_backend *b, const struct vio_backend *end)
{
	for (; b != end; b = b->next)
		__atomic_sub_fetch(stack_lanes(b), 1, __ATOMIC_ACQ_REL);
}

static bool stack_enter_one(struct vio_backend *b)
{
	unsigned n = __atomic_load_n(stack_lanes(b), __ATOMIC_RELAXED);

	while (n != STACK_ERASING &&
	       !__atomic_compare_exchange_n(stack_lanes(b), &n, n + 1, true, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		;
	return n != STACK_ERASING;
}

int vio__backend_enter(struct vio_backend *b)
{
	for (struct vio_backend *at = b; at; at = at->next)
		if (!stack_enter_one(at)) {
			stack_leave(b, at);
			return vio__fail(EBUSY, "%s: it is being erased", at->type->name);
		}
	return 0;
}

void vio__backend_leave(struct vio_backend *b)
{
	stack_leave(b, NULL);
}

static void stack_open(struct vio_backend *b, const struct vio_backend *end)
{
	for (; b != end; b = b->next)
		__atomic_store_n(stack_lanes(b), 0, __ATOMIC_RELEASE);
}

static int stack_shut(struct vio_backend *b)
{
	for (struct vio_backend *at = b; at; at = at->next) {
		unsigned none = 0;

		if (!__atomic_compare_exchange_n(stack_lanes(at), &none, STACK_ERASING, false, __ATOMIC_ACQ_REL,
						 __ATOMIC_RELAXED)) {
			stack_open(b, at);
			return vio__fail(EBUSY, "%s: it can't be erased while a lane is open", at->type->name);
		}
	}
	return 0;
}

int vio_backend_erase(struct vio_backend *b)
{
	struct vio_backend_info i = { .sz = sizeof(i) };
	struct vio_backend *at = b;
	int rc = vio_backend_info(b, &i);

	while (at && !(at->type->sz > offsetof(struct vio_backend_type, erase) && at->type->erase))
		at = at->next;
	if (!rc && (!i.crypto_erase || !at))
		rc = vio__fail(EOPNOTSUPP, "%s: the stack has no key that could be erased", b->type->name);
	rc = rc ? rc : stack_shut(b);
	if (rc)
		return rc;
	rc = at->type->erase(at);
	stack_open(b, NULL);
	return rc;
}
