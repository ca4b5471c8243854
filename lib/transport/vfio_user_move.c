/* SPDX-License-Identifier: MIT */
/*
 * The function moves to another server: it is stopped, its state is read, and written to a
 * function there. The states are VFIO's (enum vfio_device_mig_state); from each the way to another
 * leads over STOP.
 */
#include "transport/vfio_user.h"

static void move_forget(struct vio_vfio_user *t)
{
	free(t->moved.data);
	t->moved = (struct pci_out){ 0 };
	t->moved_at = 0;
}

void vfs_move_reset(struct vio_vfio_user *t)
{
	move_forget(t);
	t->state = VFIO_DEVICE_STATE_RUNNING;
}

/* What came has to be a state, and whole. The function is as after a reset when it isn't. */
static int move_load(struct vio_vfio_user *t)
{
	int err = pci_load(t->pci, t->moved.data, t->moved.len);

	t->state = err ? VFIO_DEVICE_STATE_ERROR : VFIO_DEVICE_STATE_STOP;
	move_forget(t);
	return err;
}

static int move_leave(struct vio_vfio_user *t)
{
	if (t->state == VFIO_DEVICE_STATE_RESUMING)
		return move_load(t);
	move_forget(t);
	t->state = VFIO_DEVICE_STATE_STOP;
	return 0;
}

static int move_enter(struct vio_vfio_user *t, uint32_t state)
{
	int err = 0;

	switch (state) {
	case VFIO_DEVICE_STATE_RUNNING:
		t->live = true; /* the client has mapped what there is: it knows what it does */
		break;
	case VFIO_DEVICE_STATE_STOP_COPY:
		err = pci_save(t->pci, &t->moved);
		break;
	case VFIO_DEVICE_STATE_RESUMING:
		pci_reset(t->pci);
		break;
	}
	if (err)
		move_forget(t);
	else
		t->state = (enum vfio_device_mig_state)state;
	return err;
}

int vfs_move_to(struct vio_vfio_user *t, uint32_t state)
{
	int err;

	if (state < VFIO_DEVICE_STATE_STOP || state > VFIO_DEVICE_STATE_RESUMING)
		return vio__fail(EINVAL, "MIG_DEVICE_STATE %u can't be asked for", state);
	if (t->state == VFIO_DEVICE_STATE_ERROR)
		return vio__fail(EINVAL, "MIG_DEVICE_STATE %u after an error: only a reset helps", state);
	if (state == t->state)
		return 0;
	err = move_leave(t);
	return err || state == VFIO_DEVICE_STATE_STOP ? err : move_enter(t, state);
}

int vfs_mig_read(struct vio_vfio_user *t, struct vfu_msg *m)
{
	struct vfu_mig_data *d = &m->p.mig;
	uint32_t n;

	if (t->state != VFIO_DEVICE_STATE_STOP_COPY)
		return vio__fail(EINVAL, "MIG_DATA_READ in state %u", t->state);
	if (d->size > VFU_MAX_DATA || d->argsz < sizeof(*d) || d->argsz - sizeof(*d) < d->size)
		return vio__fail(EINVAL, "MIG_DATA_READ of %u bytes with argsz %u, expected %u at most",
				 d->size, d->argsz, VFU_MAX_DATA);
	n = (uint32_t)VIO_MIN(t->moved.len - t->moved_at, d->size);
	memcpy(d->data, t->moved.data + t->moved_at, n);
	t->moved_at += n;
	d->size = n;
	d->argsz = (uint32_t)sizeof(*d) + n;
	vfs_reply(m, d->argsz);
	return 0;
}

int vfs_mig_write(struct vio_vfio_user *t, struct vfu_msg *m)
{
	const struct vfu_mig_data *d = &m->p.mig;
	uint32_t extra = vfu_payload_size(m) - (uint32_t)sizeof(*d);

	if (t->state != VFIO_DEVICE_STATE_RESUMING)
		return vio__fail(EINVAL, "MIG_DATA_WRITE in state %u", t->state);
	if (d->size != extra || d->argsz < sizeof(*d))
		return vio__fail(EINVAL, "MIG_DATA_WRITE of %u bytes with argsz %u brings %u", d->size,
				 d->argsz, extra);
	pci_put_bytes(&t->moved, d->data, extra);
	vfs_reply(m, 0);
	return t->moved.failed ? vio__fail(ENOSPC, "a state of more than %zu bytes", t->moved.len) : 0;
}
