/* SPDX-License-Identifier: MIT */
/*
 * Where a key that can be erased is kept: its file, to which no other stack of any process
 * that would write to it has access meanwhile.
 */
#ifndef VIO_FILTER_CRYPT_KEEPER_H
#define VIO_FILTER_CRYPT_KEEPER_H

#include "base/base.h"

struct vio__crypt_keeper {
	char *path; /* without symbolic links */
	int fd;	    /* the file, locked; -1: the key can't be erased */
};

/*
 * Locks the key file, and ends what an erase that was interrupted has left. Without erase only looks whether
 * somebody may erase it. -EBUSY if so, -EINVAL for what is no regular file, -EACCES where it could not be
 * replaced, or what the system said.
 */
int vio__crypt_keeper_open(struct vio__crypt_keeper *k, const char *path, bool erase);
void vio__crypt_keeper_close(struct vio__crypt_keeper *k);

/*
 * The file holds this key, and what it held before is overwritten: 0 once all of that is on stable storage.
 * *replaced, also after -errno: the file holds this key.
 */
int vio__crypt_keeper_replace(struct vio__crypt_keeper *k, const unsigned char *key, size_t len,
			      bool *replaced);

#endif
