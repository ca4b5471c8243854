/* SPDX-License-Identifier: MIT */
/*
 * A key's file is replaced in steps, so that whatever interrupts them leaves one whole key:
 *
 *	FILE.new is written and synced; FILE.old is made a second name of FILE;
 *	FILE.new is renamed to FILE, and the directory synced: the old key is no more in use;
 *	FILE.old is overwritten, synced and removed.
 *
 * Who opens FILE the next time does what was left: a FILE.old that is not FILE is overwritten.
 */
#define _GNU_SOURCE /* asprintf */
#ifdef VIO_HAVE_CRYPTO
#include "filter/crypt_keeper.h"

#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEEPER_MAX 4096 /* bytes of a file that are overwritten: no key file has more */

static int keeper_fail(const char *path, const char *what)
{
	return vio__fail(errno, "crypt: can't %s the key file %s: %s", what, path, strerror(errno));
}

/* PATH.new, PATH.old */
static char *keeper_name(const struct vio__crypt_keeper *k, const char *ending)
{
	char *name;

	return asprintf(&name, "%s.%s", k->path, ending) < 0 ? NULL : name;
}

static int keeper_write(int fd, const unsigned char *p, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t w = pwrite(fd, p + at, n - at, (off_t)at);

		if (w < 0 && errno != EINTR)
			return -1;
		at += w > 0 ? (size_t)w : 0;
	}
	return fsync(fd);
}

static int keeper_sync_dir(const char *path)
{
	char *copy = strdup(path);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int rc = fd < 0 ? -1 : fsync(fd);

	if (fd >= 0)
		close(fd);
	free(copy);
	return rc;
}

/* Overwrites what the file holds, under whatever names, and takes this one away. */
static int keeper_wipe(const char *name)
{
	static const unsigned char zeroes[KEEPER_MAX];
	int fd = open(name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	int rc = fd < 0 || fstat(fd, &st);

	rc = rc ? -1 : keeper_write(fd, zeroes, (size_t)VIO_MIN(st.st_size, KEEPER_MAX));
	if (fd >= 0)
		close(fd);
	rc = rc ? rc : unlink(name);
	return rc ? keeper_fail(name, "overwrite") : 0;
}

/* A name that an erase has left. same: it may be one of the file itself, and then is just a name. */
static int keeper_tidy(const struct vio__crypt_keeper *k, const char *ending, const struct stat *file)
{
	char *name = keeper_name(k, ending);
	struct stat st;
	int rc = name ? 0 : vio__fail(ENOMEM, "crypt: out of memory");

	if (!rc && !lstat(name, &st)) {
		if (st.st_ino == file->st_ino && st.st_dev == file->st_dev)
			rc = unlink(name) ? keeper_fail(name, "remove") : 0;
		else
			rc = keeper_wipe(name);
	} else if (!rc && errno != ENOENT) {
		rc = keeper_fail(name, "look for");
	}
	free(name);
	return rc;
}

/* The file that has the name now is the one that is locked, and nobody else's. */
static int keeper_lock(struct vio__crypt_keeper *k, struct stat *st)
{
	struct stat now;

	if (fstat(k->fd, st) || !S_ISREG(st->st_mode))
		return vio__fail(EINVAL, "crypt: erase=on needs a regular file for the key, %s is none",
				 k->path);
	if (flock(k->fd, LOCK_EX | LOCK_NB))
		return vio__fail(EBUSY,
				 "crypt: the key file %s is another disk's too, which erase=on forbids",
				 k->path);
	if (stat(k->path, &now) || now.st_ino != st->st_ino)
		return vio__fail(EBUSY, "crypt: the key file %s is being replaced", k->path);
	return 0;
}

static int keeper_lock_and_tidy(struct vio__crypt_keeper *k)
{
	char *copy = strdup(k->path);
	struct stat st;
	int rc = keeper_lock(k, &st);

	if (!rc && (!copy || access(dirname(copy), W_OK)))
		rc = vio__fail(EACCES,
			       "crypt: erase=on replaces %s, and nothing can be made in its directory",
			       k->path);
	free(copy);
	rc = rc ? rc : keeper_tidy(k, "new", &st);
	rc = rc ? rc : keeper_tidy(k, "old", &st);
	if (!rc && keeper_sync_dir(k->path))
		rc = keeper_fail(k->path, "sync the directory of");
	return rc;
}

/* Somebody has the file locked: its key may be replaced any time. */
static int keeper_look(const char *path)
{
	struct stat st;
	int fd, rc = 0;

	if (stat(path, &st) || !S_ISREG(st.st_mode)) /* a pipe can be opened once */
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0; /* whoever reads the key says why */
	if (flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK)
		rc = vio__fail(EBUSY, "crypt: the key file %s is another disk's, which has erase=on", path);
	close(fd);
	return rc;
}

int vio__crypt_keeper_open(struct vio__crypt_keeper *k, const char *path, bool erase)
{
	int rc;

	*k = (struct vio__crypt_keeper){ .fd = -1 };
	if (!erase)
		return keeper_look(path);
	k->path = realpath(path, NULL);
	if (!k->path)
		return keeper_fail(path, "open");
	k->fd = open(k->path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	rc = k->fd < 0 ? keeper_fail(path, "open") : keeper_lock_and_tidy(k);
	if (rc)
		vio__crypt_keeper_close(k);
	return rc;
}

void vio__crypt_keeper_close(struct vio__crypt_keeper *k)
{
	if (k->fd >= 0)
		close(k->fd);
	free(k->path);
	*k = (struct vio__crypt_keeper){ .fd = -1 };
}

/* FILE.new, with the owner and the mode of FILE, locked like that. Its descriptor, or -errno. */
static int keeper_make(const struct vio__crypt_keeper *k, const char *name, const unsigned char *key,
		       size_t len)
{
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0)
		return keeper_fail(name, "make");
	if (fstat(k->fd, &st) || (geteuid() == 0 && fchown(fd, st.st_uid, st.st_gid)) ||
	    fchmod(fd, st.st_mode & 0777) || flock(fd, LOCK_EX | LOCK_NB) || keeper_write(fd, key, len)) {
		int rc = keeper_fail(name, "write");

		close(fd);
		keeper_wipe(name);
		return rc;
	}
	return fd;
}

static int keeper_steps(struct vio__crypt_keeper *k, const char *fresh, const char *old,
			const unsigned char *key, size_t len, bool *replaced)
{
	int fd = keeper_make(k, fresh, key, len);

	if (fd < 0)
		return fd;
	if (link(k->path, old) || keeper_sync_dir(k->path) || rename(fresh, k->path)) {
		int rc = keeper_fail(k->path, "replace");

		close(fd);
		unlink(old);
		keeper_wipe(fresh);
		return rc;
	}
	*replaced = true;
	close(k->fd);
	k->fd = fd;
	if (keeper_sync_dir(k->path))
		return keeper_fail(k->path, "sync the directory of");
	if (keeper_wipe(old))
		return -EIO;
	return keeper_sync_dir(k->path) ? keeper_fail(k->path, "sync the directory of") : 0;
}

int vio__crypt_keeper_replace(struct vio__crypt_keeper *k, const unsigned char *key, size_t len,
			      bool *replaced)
{
	char *fresh = keeper_name(k, "new"), *old = keeper_name(k, "old");
	int rc = fresh && old ? 0 : vio__fail(ENOMEM, "crypt: out of memory");
	struct stat st;

	*replaced = false;
	if (!rc && fstat(k->fd, &st))
		rc = keeper_fail(k->path, "look at");
	rc = rc ? rc : keeper_tidy(k, "new", &st); /* of an erase that failed */
	rc = rc ? rc : keeper_tidy(k, "old", &st);
	rc = rc ? rc : keeper_steps(k, fresh, old, key, len, replaced);
	free(fresh);
	free(old);
	return rc;
}
#endif
