/* SPDX-License-Identifier: MIT */
/* Opens an image and finds out what it is. Nothing is created, truncated or probed for a format. */
#define _GNU_SOURCE
#include "backend/file.h"
#include "base/barrier.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

static int open_fail(const struct file_store *s, int err)
{
	const char *path = s->args.path;

	switch (err) {
	case ENOENT:
		return vio__fail(err, "file: %s does not exist; it is not created", path);
	case EISDIR:
		return vio__fail(err, "file: %s is a directory, expected a file or a block device", path);
	case EACCES:
	case EPERM:
	case EROFS:
		return vio__fail(err, "file: %s can't be opened for %s: %s", path,
				 s->args.read_only ? "reading" : "writing (read-only=on does without)",
				 strerror(err));
	case EINVAL:
		if (s->args.direct)
			return vio__fail(
				err, "file: %s is on a file system without direct I/O, expected direct=off",
				path);
		break;
	}
	return vio__fail(err, "file: %s can't be opened: %s", path, strerror(err));
}

static int open_fd(struct file_store *s)
{
	/* Without O_NONBLOCK a pipe without a writer would hold us up. */
	int flags = O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (s->args.direct ? O_DIRECT : 0);

	s->fd = open(s->args.path, flags | (s->args.read_only ? O_RDONLY : O_RDWR));
	if (s->fd < 0)
		return open_fail(s, errno);
	/* io_uring would fail reads that have to wait. */
	if (fcntl(s->fd, F_SETFL, flags & O_DIRECT) < 0)
		return vio__fail(errno, "file: %s: %s", s->args.path, strerror(errno));
	return 0;
}

static int open_kind(struct file_store *s, struct stat *st)
{
	if (fstat(s->fd, st))
		return vio__fail(errno, "file: %s: %s", s->args.path, strerror(errno));
	if (S_ISDIR(st->st_mode))
		return open_fail(s, EISDIR);
	if (!S_ISREG(st->st_mode) && !S_ISBLK(st->st_mode))
		return vio__fail(EINVAL, "file: %s is neither a file nor a block device", s->args.path);
	s->device = S_ISBLK(st->st_mode);
	return 0;
}

static bool open_rotates(const struct stat *st)
{
	char path[96], c = '0';
	int fd;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/queue/rotational", major(st->st_rdev),
		 minor(st->st_rdev));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (read(fd, &c, 1) != 1)
		c = '0';
	close(fd);
	return c == '1';
}

/* What direct I/O demands of offsets and of memory, where the kernel tells (6.1 or later). */
static void open_direct(struct file_store *s, uint32_t *block)
{
#ifdef STATX_DIOALIGN
	struct statx sx;

	if (!statx(s->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx) && (sx.stx_mask & STATX_DIOALIGN) &&
	    vio__is_pow2(sx.stx_dio_mem_align) && vio__is_pow2(sx.stx_dio_offset_align)) {
		s->align = sx.stx_dio_mem_align;
		*block = VIO_MAX(sx.stx_dio_offset_align, 512u);
		return;
	}
#endif
	s->align = *block = VIO_MAX(*block, s->device ? 512u : 4096u); /* safe anywhere */
}

/* The smallest block, and what the argument makes of it. */
static int open_block(struct file_store *s, const struct stat *st)
{
	uint32_t least = 512;
	int sector;

	s->align = 1;
	s->optimal = st->st_blksize > 0 && vio__is_pow2((uint64_t)st->st_blksize) ? (uint32_t)st->st_blksize
										  : 4096;
	if (s->device && !ioctl(s->fd, BLKSSZGET, &sector) && sector > 512)
		least = (uint32_t)sector;
	if (s->args.direct)
		open_direct(s, &least);
	s->block = s->args.block ? (uint32_t)s->args.block : least;
	if (!vio__is_pow2(s->block) || s->block % least)
		return vio__fail(
			EINVAL, "file: block=%u, expected a power of two and a multiple of %u, as %s demands",
			s->block, least, s->args.path);
	s->optimal = VIO_MAX(s->optimal, s->block);
	return 0;
}

int file_size(const struct file_store *s, uint64_t *size)
{
	struct stat st;

	if (s->device)
		return ioctl(s->fd, BLKGETSIZE64, size) ? -errno : 0;
	if (fstat(s->fd, &st))
		return -errno;
	*size = (uint64_t)st.st_size;
	return 0;
}

static int open_size(struct file_store *s)
{
	int rc = file_size(s, &s->size);

	if (rc)
		return vio__fail(-rc, "file: the size of %s can't be had: %s", s->args.path, strerror(-rc));
	if (s->size < s->block)
		return vio__fail(EINVAL, "file: %s has %llu bytes, expected a block of %u at least",
				 s->args.path, (unsigned long long)s->size, s->block);
	if (s->size % s->block)
		return vio__fail(EINVAL, "file: %s has %llu bytes, expected a multiple of its block, %u",
				 s->args.path, (unsigned long long)s->size, s->block);
	return 0;
}

#define LOCK_WAIT_MS 1000

/*
 * A killed server's lock outlives it until the kernel has ended its I/O: what it
 * had under way must not land on top of what we write, so that is waited for.
 */
static int open_lock_wait(struct file_store *s)
{
	struct flock lock = { .l_type = s->args.read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET };
	const struct timespec pause = { .tv_nsec = 10000000 };

	for (unsigned ms = 0; fcntl(s->fd, F_OFD_SETLK, &lock); ms += 10) {
		if ((errno != EAGAIN && errno != EACCES) || ms >= LOCK_WAIT_MS)
			return errno;
		nanosleep(&pause, NULL);
	}
	return 0;
}

/* Against a second server on the same image, this one included. */
static int open_lock(struct file_store *s)
{
	int err = s->args.lock ? open_lock_wait(s) : 0;

	if (!err)
		return 0;
	if (err == EAGAIN || err == EACCES)
		return vio__fail(EBUSY,
				 "file: %s is in use: another program has locked it (lock=off goes without)",
				 s->args.path);
	return vio__fail(err, "file: %s can't be locked: %s (lock=off goes without)", s->args.path,
			 strerror(err));
}

int file_open_store(struct file_store *s)
{
	struct stat st;
	int rc;

	s->fd = -1;
	rc = open_fd(s);
	if (!rc)
		rc = open_kind(s, &st);
	if (!rc)
		rc = open_lock(s);
	if (!rc)
		rc = open_block(s, &st);
	if (!rc)
		rc = open_size(s);
	if (!rc && s->device)
		s->rotational = open_rotates(&st);
	if (rc && s->fd >= 0)
		close(s->fd);
	return rc;
}
