/* SPDX-License-Identifier: MIT */
/* The pool's files: DIR/ID.raw holds a namespace, DIR/ID.key its key, DIR/ID.conf what it is. */
#ifndef POOL_H
#define POOL_H

#include <virtio-offload.h>

struct pool {
	char dir[512];
	const char *filters; /* on each file; "" for none */
	uint64_t size;
	uint32_t block;
};

/* DIR/ID.ENDING; false: it is too long. */
bool pool_name(const struct pool *p, uint32_t nsid, const char *ending, char name[1024]);

/* The text takes the place of the file's, or the old one is there still. -errno */
int pool_replace(const struct pool *p, const char *name, const char *text);
int pool_sync(const struct pool *p);

/* What hosts have made of a namespace. 1: nothing is known of it, -errno. The hosts' names are *text's. */
#define POOL_HOSTS 256
int pool_read(const struct pool *p, uint32_t nsid, struct vio_nvme_kept *k, const char *hosts[POOL_HOSTS],
	      char **text);
int pool_save(void *pool, const struct vio_nvme_kept *k);

#endif
