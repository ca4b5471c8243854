/* SPDX-License-Identifier: MIT */
/* Device features: each may be got, set, or asked for. All there are concern the move to another server. */
#include "transport/vfio_user.h"

struct feature_row {
	const char *name;
	bool get, set;
	bool moves;	/* only where the function can */
	uint32_t least; /* bytes that come with it */
};

static const struct feature_row features[] = {
	[VFIO_DEVICE_FEATURE_MIGRATION] = { "MIGRATION", true, false, true, 0 },
	[VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE] = { "MIG_DEVICE_STATE", true, true, true, 0 },
	[VFIO_DEVICE_FEATURE_DMA_LOGGING_START] = { "DMA_LOGGING_START", false, true, false,
						    sizeof(struct vfu_log_start) },
	[VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP] = { "DMA_LOGGING_STOP", false, true, false, 0 },
	[VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT] = { "DMA_LOGGING_REPORT", true, false, false,
						     sizeof(struct vfu_log_report) },
};
#define FEATURES (sizeof(features) / sizeof(features[0]))

static uint32_t feature_index(const struct vfu_msg *m)
{
	return m->p.feature.flags & VFIO_DEVICE_FEATURE_MASK;
}

/* What changes what the function does, or what it marks. */
bool vfs_feature_fences(const struct vfu_msg *m)
{
	return m->p.feature.flags & VFIO_DEVICE_FEATURE_SET &&
	       !(m->p.feature.flags & VFIO_DEVICE_FEATURE_PROBE);
}

static int feature_check(const struct vio_vfio_user *t, const struct vfu_msg *m)
{
	const uint32_t ways = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET;
	uint32_t flags = m->p.feature.flags, index = feature_index(m);
	const struct feature_row *row = index < FEATURES ? &features[index] : NULL;

	if (m->p.feature.argsz < sizeof(m->p.feature) ||
	    flags & ~(VFIO_DEVICE_FEATURE_MASK | ways | VFIO_DEVICE_FEATURE_PROBE) ||
	    (!(flags & VFIO_DEVICE_FEATURE_PROBE) && (flags & ways) != VFIO_DEVICE_FEATURE_GET &&
	     (flags & ways) != VFIO_DEVICE_FEATURE_SET))
		return vio__fail(EINVAL, "DEVICE_FEATURE has argsz %u and flags %#x", m->p.feature.argsz,
				 flags);
	if (!row || !row->name || (row->moves && !t->pci->ops->save))
		return vio__fail(ENOTTY, "feature %u is not known here", index);
	if ((flags & VFIO_DEVICE_FEATURE_GET && !row->get) || (flags & VFIO_DEVICE_FEATURE_SET && !row->set))
		return vio__fail(EINVAL, "feature %s can't be %s", row->name, row->get ? "set" : "got");
	return 0;
}

/* A GET's answer is no longer than the client has room for. */
static int feature_answer(struct vfu_msg *m, size_t data)
{
	size_t size = sizeof(m->p.feature) + data;

	if (m->p.feature.argsz < size)
		return vio__fail(EINVAL, "DEVICE_FEATURE has argsz %u, expected at least %zu",
				 m->p.feature.argsz, size);
	m->p.feature.argsz = (uint32_t)size;
	vfs_reply(m, size);
	return 0;
}

static int feature_get(struct vio_vfio_user *t, struct vfu_msg *m)
{
	const uint64_t moves = VFIO_MIGRATION_STOP_COPY;
	const struct vfu_mig_state state = { t->state, UINT32_MAX };
	int err;

	switch (feature_index(m)) {
	case VFIO_DEVICE_FEATURE_MIGRATION:
		memcpy(m->p.feature.data, &moves, sizeof(moves));
		return feature_answer(m, sizeof(moves));
	case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
		memcpy(m->p.feature.data, &state, sizeof(state));
		return feature_answer(m, sizeof(state));
	default:
		err = vfs_log_report(t, m);
		return err < 0 ? err : feature_answer(m, (size_t)err);
	}
}

static int feature_set(struct vio_vfio_user *t, struct vfu_msg *m, uint32_t size)
{
	struct vfu_mig_state state;

	vfs_reply(m, vfu_payload_size(m)); /* the same, back */
	switch (feature_index(m)) {
	case VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE:
		if (size < sizeof(state))
			return vio__fail(EINVAL, "MIG_DEVICE_STATE has %u bytes, expected %zu", size,
					 sizeof(state));
		memcpy(&state, m->p.feature.data, sizeof(state));
		return vfs_move_to(t, state.state);
	case VFIO_DEVICE_FEATURE_DMA_LOGGING_START:
		return vfs_log_start(t, m, size);
	default:
		if (!t->pci->log)
			return vio__fail(EINVAL, "DMA_LOGGING_STOP before it was started");
		return vfs_log_stop(t);
	}
}

int vfs_feature(struct vio_vfio_user *t, struct vfu_msg *m)
{
	uint32_t flags = m->p.feature.flags, size = vfu_payload_size(m) - (uint32_t)sizeof(m->p.feature);
	int err = feature_check(t, m);

	if (err)
		return err;
	if (flags & VFIO_DEVICE_FEATURE_PROBE) {
		vfs_reply(m, vfu_payload_size(m));
		return 0;
	}
	if (size < features[feature_index(m)].least)
		return vio__fail(EINVAL, "%s has %u bytes, expected %u", features[feature_index(m)].name,
				 size, features[feature_index(m)].least);
	return flags & VFIO_DEVICE_FEATURE_SET ? feature_set(t, m, size) : feature_get(t, m);
}
