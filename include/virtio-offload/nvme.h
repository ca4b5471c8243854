/* SPDX-License-Identifier: MIT */
/*
 * An NVM subsystem (NVMe Base 2.0): its namespaces, each over a backend of its own, and
 * the hosts that may see them. Each host that connects gets a controller of its own;
 * a transport (nvme_tcp.h) is the way in.
 *
 * Namespaces come, go and grow while hosts are connected; those are told at once by
 * an asynchronous event. Every function here may be called from any thread.
 */
#ifndef VIRTIO_OFFLOAD_NVME_H
#define VIRTIO_OFFLOAD_NVME_H

#include <virtio-offload/backend.h>

#ifdef __cplusplus
extern "C" {
#endif

struct vio_nvme;
struct vio_nvme_manager;

struct vio_nvme_opts {
	size_t sz;
	const char *nqn;	 /* required: "nqn.2014-08.org.example:disks", at most 223 bytes */
	const char *serial;	 /* up to 20 printable bytes; NULL: made of the NQN, always the same */
	const char *model;	 /* up to 40; NULL means "virtio-offload" */
	unsigned max_namespaces; /* namespace ids are 1 to this: at most 1024, 0 means 128 */
	unsigned max_queues;	 /* I/O queues of a controller: at most 1024, 0 means 64 */
	/* Controllers' ids: processes that serve one subsystem together have ranges of their own. 0 means 1,
	 * and 0xffef, which is the last there is. */
	uint16_t first_controller, last_controller;
	uint16_t reserved[2]; /* 0 */
	/* What lets hosts manage namespaces (nvme_manage.h); copied. NULL: they can't. */
	const struct vio_nvme_manager *manager;
};

/* -EINVAL for a bad option, -ENOSYS in a library built without NVMe. */
VIO_API int vio_nvme_new(struct vio_nvme **s, const struct vio_nvme_opts *opts);

/* All transports that serve it must have been freed. Its namespaces go with it. */
VIO_API void vio_nvme_free(struct vio_nvme *s);

/* What a host that has a secret may prove it with (8.13.5.2); of the hashes any is strong enough. */
enum vio_nvme_hash { VIO_NVME_SHA256 = 1, VIO_NVME_SHA384, VIO_NVME_SHA512 };
enum vio_nvme_dh {
	VIO_NVME_DH_NULL, /* no Diffie-Hellman exchange */
	VIO_NVME_FFDHE2048,
	VIO_NVME_FFDHE3072,
	VIO_NVME_FFDHE4096,
	VIO_NVME_FFDHE6144,
	VIO_NVME_FFDHE8192,
};

struct vio_nvme_host_opts {
	size_t sz;
	/* "DHHC-1:hh:BASE64:", as nvme gen-dhchap-key makes them; both are kept as what is calculated of
	 * them, wiped when they are no longer needed, and never logged. NULL: none. */
	const char *secret;
	const char *ctrl_secret; /* the subsystem's: it proves itself to a host that asks; needs .secret */
	/* Bits, 1 << enum: the strongest that the host has too is used. 0 means all hashes, and NULL to
	 * FFDHE4096: each of the others takes the poller's thread for 8 to 16 ms a queue. */
	unsigned hashes, dh_groups;
	unsigned timeout_ms; /* for a queue to be authenticated, or again; 0 means 30,000 */
	unsigned reserved;   /* 0 */
};

/*
 * Lets this host in. Without a call all hosts are let in; from the first on only
 * those named. It is the name that a host gives itself: alone, a lock against mistakes,
 * not against attackers.
 *
 * With a secret, each of the host's connections has to prove that it knows it
 * (DH-HMAC-CHAP), and is refused all else before. It proves who connects, and protects
 * nothing that is sent afterwards. Discovery is open to all. Again for the same host:
 * the new options count for connections to come.
 *
 * -EINVAL, -ENOMEM; -ENOSYS for a secret in a library built without OpenSSL.
 */
VIO_API int vio_nvme_allow(struct vio_nvme *s, const char *host_nqn, const struct vio_nvme_host_opts *opts);

struct vio_nvme_ns_opts {
	size_t sz;
	uint32_t nsid;	    /* 0: the lowest that is free */
	bool read_only;	    /* as a store that is read-only always is */
	uint8_t uuid[16];   /* all zero: made of the subsystem's NQN and the id, always the same */
	bool reserved[3];   /* 0 */
	uint32_t ana_group; /* 1 to 128; 0 means 1 */
	uint32_t block;	    /* bytes of a block: a power of two, at least the store's, at most 64 KiB; 0: the
			       store's */
	bool detached;	    /* attached to no host before vio_nvme_ns_attach; otherwise to all */
	bool made;	    /* by a host, which may delete it (nvme_manage.h): detached as well */
	bool private_;	    /* attached to one controller at a time */
	bool reserved2[5];  /* 0 */
	/* The file that reservations are kept in, so that they outlive the process where a host wants that; it
	 * is made when it is needed, and replaced as a whole. Written on pollers' threads. NULL: they end with
	 * the process. */
	const char *reservations;
};

/*
 * Adds a namespace over b, whose blocks have 512 to 65536 bytes; a reference is kept.
 * Returns its id. -EEXIST when the id is taken, -ENOSPC when all are, -EINVAL.
 */
VIO_API int vio_nvme_ns_add(struct vio_nvme *s, struct vio_backend *b, const struct vio_nvme_ns_opts *opts);

/*
 * Takes a namespace away: hosts' commands for it fail from soon after on; those under
 * way end as they would have. The backend's reference is dropped when the last has. -ENOENT.
 */
VIO_API int vio_nvme_ns_remove(struct vio_nvme *s, uint32_t nsid);

/* Asks the backend for its size anew, and tells the hosts if it has changed. -ENOENT, or what the backend
 * said. */
VIO_API int vio_nvme_ns_resize(struct vio_nvme *s, uint32_t nsid);

/*
 * Attaches a namespace to a host, or detaches it: that host's controllers have it, those to come too, or are
 * as if it were not there. Hosts may do so themselves where a manager lets them. -ENOENT, -EINVAL for a name
 * that can't be a host's, -ENOSPC, -ENOMEM.
 */
VIO_API int vio_nvme_ns_attach(struct vio_nvme *s, uint32_t nsid, const char *host_nqn, bool attached);

/*
 * Asymmetric namespace access (8.1): how well the namespaces of a group are reached by a port, which is a
 * number that transports are given. The numbers are the specification's.
 */
enum vio_nvme_ana {
	VIO_NVME_ANA_OPTIMIZED = 1, /* at first */
	VIO_NVME_ANA_NON_OPTIMIZED = 2,
	VIO_NVME_ANA_INACCESSIBLE = 3,
	VIO_NVME_ANA_PERSISTENT_LOSS = 4, /* for ever */
	VIO_NVME_ANA_CHANGE = 15,	  /* for 10 seconds at most: then hosts need not wait any longer */
};

/*
 * Sets the state of a group at a port, or at all of them, those to come too (0). I/O commands that begin from
 * soon after on are refused in the last three states, and not executed; those under way end as they would
 * have. Hosts are told at once, of CHANGE when they try. -EINVAL, -ENOMEM, -EPERM where the state is
 * PERSISTENT_LOSS.
 */
VIO_API int vio_nvme_ana_set(struct vio_nvme *s, uint16_t port, uint32_t group, enum vio_nvme_ana state);

/* The state, or -EINVAL for a group that can't be. Port 0: what a port that is new has. */
VIO_API int vio_nvme_ana_get(struct vio_nvme *s, uint16_t port, uint32_t group);

/* What was done for all hosts so far. */
struct vio_nvme_stats {
	size_t sz;
	uint64_t controllers; /* hosts' associations now */
	uint64_t queues;      /* of all controllers, now */
	uint64_t reads;	      /* commands */
	uint64_t writes;
	uint64_t others; /* I/O commands that are neither */
	uint64_t bytes_read;
	uint64_t bytes_written;
	uint64_t errors;       /* commands that failed */
	uint64_t admin;	       /* admin and fabrics commands */
	uint64_t media_errors; /* commands that failed because the backend did */
};
VIO_API void vio_nvme_stats(struct vio_nvme *s, struct vio_nvme_stats *out);

#ifdef __cplusplus
}
#endif
#endif
