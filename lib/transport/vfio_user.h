/* SPDX-License-Identifier: MIT */
/*
 * The vfio-user server, inside. One message is dealt with at a time, in steps: it is read
 * and checked against the table (vfio_user_msg.c), the function falls quiet if the message
 * concerns its memory or its interrupts, the handler runs, the function goes on, the reply
 * goes out. Falling quiet takes time: meanwhile the socket is not read.
 */
#ifndef VIO_TRANSPORT_VFIO_USER_H
#define VIO_TRANSPORT_VFIO_USER_H

#include <virtio-offload/vfio_user.h>

#include "pci/pci.h"
#include "pci/state.h"
#include "transport/door.h"
#include "wire/vfio_user.h"

#define VFS_MAX_MAPS VIO_MEM_MAX_REGIONS
#define VFS_PAGE 4096u

#define vfs_log(t, level, ...) door_log(&(t)->door, level, __VA_ARGS__)

struct vfs_row;

enum vfs_phase {
	VFS_IDLE, /* no client */
	VFS_READ,
	VFS_HANDLE, /* a message is whole, and the function quiet if need be */
	VFS_RESET,  /* it asked for a reset, and the function is quiet */
	VFS_REPLY,
	VFS_CLOSE,  /* the client has gone, or has to */
	VFS_CLOSED, /* and the function is quiet */
};

/* A range that the client has mapped for DMA. */
struct vfs_map {
	uint64_t addr, size;
	bool reached; /* it is in the snapshot; else no file came for it, or it may not be read and written */
};

struct vio_vfio_user {
	struct vio_poller *poller;
	struct vio_pci *pci;
	struct door door;		/* the way in */
	struct vio_vfio_user_opts opts; /* path is a copy */

	/* The conversation (vfio_user_conn.c). */
	struct line line;
	bool in_run;
	enum vfs_phase phase;
	bool pending;		   /* the function is falling quiet */
	bool runs;		   /* it is not quiet */
	const struct vfs_row *row; /* of the message being dealt with; NULL: none fits */
	int err;		   /* what became of it */
	bool reset;		   /* it asks for one */

	/* What the client has told. */
	bool agreed; /* on a version */
	bool live;   /* it has begun to use the device: all its memory is known */
	struct vfs_map *maps;
	unsigned nmaps;
	struct vio_mem *mem; /* never NULL with a client */

	/* The move to another server (vfio_user_move.c). */
	enum vfio_device_mig_state state;
	struct pci_out moved; /* the function's state, on its way out or in */
	size_t moved_at;      /* what of it was read */

	struct vfu_box
		box; /* the message being dealt with, and then its reply; the last, as it has no fixed size */
};

/* One row of the message table. */
struct vfs_row {
	const char *name;
	int (*handle)(struct vio_vfio_user *t, struct vfu_msg *m); /* sets h.size, makes the reply in place */
	uint16_t min, max;					   /* bytes of payload */
	uint8_t fds;						   /* at most */
	bool fence;						   /* the function has to be quiet */
};

/* vfio_user_msg.c: the row for m; NULL and t->err set if m is not acceptable. */
bool vfs_msg_fences(const struct vfs_row *row, const struct vfu_msg *m);
const struct vfs_row *vfs_msg_check(struct vio_vfio_user *t, const struct vfu_msg *m);

/* vfio_user_conn.c */
int vfs_prepare(struct vio_vfio_user *t);	/* memory for a client; once */
void vfs_open(struct vio_vfio_user *t, int fd); /* a client has come on fd */
void vfs_run(struct vio_vfio_user *t);		/* does what can be done now */
void vfs_go_live(struct vio_vfio_user *t);

VIO_INLINE void vfs_reply(struct vfu_msg *m, size_t payload)
{
	m->h.size = (uint32_t)(sizeof(m->h) + payload);
}

/* vfio_user_info.c */
int vfs_version(struct vio_vfio_user *t, struct vfu_msg *m);
int vfs_device_info(struct vio_vfio_user *t, struct vfu_msg *m);
int vfs_region_info(struct vio_vfio_user *t, struct vfu_msg *m);
int vfs_irq_info(struct vio_vfio_user *t, struct vfu_msg *m);
uint64_t vfs_region_size(const struct vio_vfio_user *t, uint32_t region); /* 0: there is none */

/* vfio_user_dma.c */
int vfs_dma_map(struct vio_vfio_user *t, struct vfu_msg *m);
int vfs_dma_unmap(struct vio_vfio_user *t, struct vfu_msg *m);

/* vfio_user_irq.c */
int vfs_set_irqs(struct vio_vfio_user *t, struct vfu_msg *m);
void vfs_irqs_clear(struct vio_vfio_user *t); /* while the function is quiet */

/* vfio_user_feature.c */
int vfs_feature(struct vio_vfio_user *t, struct vfu_msg *m);
bool vfs_feature_fences(const struct vfu_msg *m);

/* vfio_user_move.c */
int vfs_move_to(struct vio_vfio_user *t, uint32_t state); /* while the function is quiet */
int vfs_mig_read(struct vio_vfio_user *t, struct vfu_msg *m);
int vfs_mig_write(struct vio_vfio_user *t, struct vfu_msg *m);
void vfs_move_reset(struct vio_vfio_user *t);

/* vfio_user_log.c */
int vfs_log_start(struct vio_vfio_user *t, struct vfu_msg *m, uint32_t size);
int vfs_log_stop(struct vio_vfio_user *t);
int vfs_log_report(struct vio_vfio_user *t, struct vfu_msg *m);	       /* bytes of data, or -errno */
int vfs_log_remap(struct vio_vfio_user *t, const struct vio_mem *mem); /* the snapshot changes to this one */

/* vfio_user_region.c */
int vfs_region_read(struct vio_vfio_user *t, struct vfu_msg *m);
int vfs_region_write(struct vio_vfio_user *t, struct vfu_msg *m);
int vfs_write_multi(struct vio_vfio_user *t, struct vfu_msg *m);
int vfs_device_reset(struct vio_vfio_user *t, struct vfu_msg *m);

#endif
