/* SPDX-License-Identifier: MIT */
/*
 * What does a layer cost a request? A stack of several such layers over a null store
 * against the null store alone, in batches of 32; the difference, by request and layer.
 */
#include "drive.h"
#include "pairs.h"

#include <string.h>
#include <virtio-offload/impl/backend.h>

#define LAYERS 4u
#define ROUNDS 40u
#define BATCHES 500u /* a round: some tens of microseconds */

static unsigned char data[DRIVE_BATCH * 512];

/* A filter that only passes on, on every way. */
static unsigned pass_room(struct vio_lane *l)
{
	return vio_next_room(l);
}

static void pass_submit(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	vio_next_submit(l, r, n);
}

static unsigned pass_reap(struct vio_lane *l, struct vio_req **r, unsigned n)
{
	return vio_next_reap(l, r, n);
}

static const struct vio_backend_type pass_type = {
	.sz = sizeof(struct vio_backend_type),
	.name = "pass",
	.flags = VIO_BACKEND_FILTER,
	.room = pass_room,
	.submit = pass_submit,
	.reap = pass_reap,
};

/* ns a request, in the best round of a slice: rounds are short enough that most are not interrupted. */
static double slice(void *ctx)
{
	double best = 1, start, end = pairs_now();

	for (unsigned k = 0; k < ROUNDS; k++) {
		start = end;
		for (unsigned i = 0; i < BATCHES; i++)
			drive_batch(ctx, VIO_OP_READ);
		end = pairs_now();
		best = end - start < best ? end - start : best;
	}
	return best * 1e9 / (BATCHES * DRIVE_BATCH);
}

static struct vio_backend *build(const struct vio_backend_type *type, const char *arg)
{
	struct vio_backend *b, *next;

	drive_check(vio_backend_parse(&b, NULL, "null:1M"));
	for (unsigned i = 0; type && i < LAYERS; i++) {
		next = b;
		drive_check(vio_backend_new(&b, type, next, NULL, arg));
		vio_backend_free(next);
	}
	return b;
}

static void measure(const char *figure, const struct vio_backend_type *type, const char *arg, double floor)
{
	struct drive with, without;
	struct pairs_result r;
	struct pairs p;

	drive_open(&with, build(type, arg), data, 512);
	drive_open(&without, build(NULL, NULL), data, 512);
	pairs_run(&p, slice, &with, slice, &without);
	r = pairs_difference(&p);
	r.median /= LAYERS;
	r.low /= LAYERS;
	r.high /= LAYERS;
	pairs_print(figure, r, "ns", &p, floor);
	drive_close(&with);
	drive_close(&without);
}

int main(void)
{
	measure("filter.pass.ns", &pass_type, NULL, 2);
	measure("filter.offset.ns", vio_backend_find("offset"), "start=4K", NAN);
	measure("filter.throttle.ns", vio_backend_find("throttle"), "", NAN);
	measure("filter.throttle.limited.ns", vio_backend_find("throttle"), "iops=4000000000,bps=4T", NAN);
	return 0;
}
