/* SPDX-License-Identifier: MIT */
/* Lanes: one thread's way into a stack, and requests for those who have no queue. */
#include "backend/backend.h"

/* A whole stack's lanes are one allocation; the top one is what callers hold. */
struct lane_layer {
	struct vio_lane l;
	bool open;
};

/* A member younger than the type's writer is not there. */
#define LANE_HAS(t, member) ((t)->sz > offsetof(struct vio_backend_type, member) && (t)->member)

static unsigned lane_align(unsigned n)
{
	return (n + 15) & ~15u;
}

static unsigned lane_depth(const struct vio_backend *b)
{
	unsigned n = 0;

	for (; b; b = b->next)
		n++;
	return n;
}

static void lane_close(struct vio_lane *top)
{
	for (struct vio_lane *l = top; l; l = l->next) {
		struct lane_layer *layer = VIO_CONTAINER(l, struct lane_layer, l);

		if (layer->open && l->type->lane_close)
			l->type->lane_close(l);
		free(l->priv);
	}
}

/* Fills in layer i of the stack, whose next is open already. */
static int lane_open(struct lane_layer *layer, struct vio_backend *b, struct vio_lane *next)
{
	struct vio_lane *l = &layer->l;
	const struct vio_backend_type *t = b->type;
	int rc;

	l->room_at = t->room ? l : next ? next->room_at : NULL;
	l->submit_at = t->submit ? l : next->submit_at;
	l->reap_at = t->reap ? l : next->reap_at;
	l->recall_at = LANE_HAS(t, recall) ? l : next ? next->recall_at : NULL;
	l->scratch = next ? next->scratch + lane_align(next->type->scratch) : VIO_REQ_SCRATCH;
	l->priv = aligned_alloc(VIO_CACHELINE, (t->lane_priv + VIO_CACHELINE) & ~(VIO_CACHELINE - 1u));
	if (!l->priv)
		return vio__fail(ENOMEM, "%s: out of memory for a lane", t->name);
	memset(l->priv, 0, t->lane_priv);
	rc = t->lane_open ? t->lane_open(l) : 0;
	layer->open = !rc;
	return rc;
}

int vio_lane_new(struct vio_lane **out, struct vio_backend *b, struct vio_poller *p,
		 const struct vio_lane_opts *opts)
{
	unsigned depth = lane_depth(b);
	struct lane_layer *layers;
	struct vio_lane_opts o;
	int rc = vio__opts(&o, sizeof(o), opts, "vio_lane_opts");

	*out = NULL;
	if (rc)
		return rc;
	rc = vio__backend_enter(b);
	if (rc)
		return rc;
	layers = calloc(depth, sizeof(*layers));
	if (!layers) {
		vio__backend_leave(b);
		return vio__fail(ENOMEM, "lane: out of memory");
	}
	for (unsigned i = 0; i < depth; i++, b = b->next)
		layers[i].l = (struct vio_lane){ .type = b->type,
						 .backend = b,
						 .poller = p,
						 .mem = o.mem,
						 .pair = o.pair,
						 .recv = o.recv,
						 .next = i + 1 < depth ? &layers[i + 1].l : NULL };
	for (unsigned i = depth; i-- && !rc;)
		rc = lane_open(&layers[i], layers[i].l.backend, layers[i].l.next);
	if (rc) {
		lane_close(&layers[0].l);
		vio__backend_leave(layers[0].l.backend);
		free(layers);
		return rc;
	}
	*out = &layers[0].l;
	return 0;
}

void vio_lane_free(struct vio_lane *l)
{
	if (!l)
		return;
	lane_close(l);
	vio__backend_leave(l->backend);
	free(VIO_CONTAINER(l, struct lane_layer, l));
}

unsigned vio_lane_scratch(const struct vio_lane *l)
{
	return l->scratch + lane_align(l->type->scratch) - VIO_REQ_SCRATCH;
}

unsigned vio_lane_room(struct vio_lane *l)
{
	l = l->room_at;
	return l ? l->type->room(l) : 65535u;
}

void vio_lane_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	l = l->submit_at;
	l->type->submit(l, r, n);
}

unsigned vio_lane_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	l = l->reap_at;
	return l->type->reap(l, r, n);
}

unsigned vio_lane_recall(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	l = l->recall_at;
	return l ? l->type->recall(l, r, n) : 0;
}
