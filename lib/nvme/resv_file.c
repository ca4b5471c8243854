/* SPDX-License-Identifier: MIT */
/*
 * Reservations through a restart: a file that is replaced as a whole. The new one is on
 * stable storage before it takes the old one's name, and that is before the command ends; so
 * whenever the process dies, one of the two is there. A file that is neither is an error.
 */
#include "nvme/resv.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

static const char resv_magic[8] = "vioresv1";

struct resv_file {
	char magic[8];
	uint32_t gen;
	uint8_t type, persists;
	uint16_t n, holder, reserved;
	uint32_t reserved2;
	struct resv_host host[RESV_HOSTS];
	uint64_t sum;
};

static uint64_t resv_sum(const struct resv_file *f)
{
	const uint8_t *p = (const uint8_t *)f;
	uint64_t sum = 0xcbf29ce484222325u;

	for (size_t i = 0; i < offsetof(struct resv_file, sum); i++)
		sum = (sum ^ p[i]) * 0x100000001b3u;
	return sum;
}

/* Why it can't be ours; NULL: it is. */
static const char *resv_wrong(const struct resv_file *f)
{
	if (memcmp(f->magic, resv_magic, sizeof(resv_magic)))
		return "does not begin as a file of reservations";
	if (f->sum != resv_sum(f))
		return "is damaged: its sum is wrong";
	if (f->n > RESV_HOSTS || f->type > NVME_RESERVATION_RTYPE_EAAR || f->persists > 1 ||
	    f->holder > RESV_NOBODY)
		return "has a number that can't be";
	if (f->type && (resv_for_all(f->type) ? !f->n : f->holder >= f->n))
		return "has a reservation that nobody holds";
	return NULL;
}

static int resv_read(const char *path, struct resv_file *f)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;
	char more;

	if (fd < 0)
		return errno == ENOENT
			       ? -ENOENT
			       : vio__fail(errno, "nvme: reservations in %s: %s", path, strerror(errno));
	n = read(fd, f, sizeof(*f));
	if (n == (ssize_t)sizeof(*f) && read(fd, &more, 1) > 0)
		n++;
	close(fd);
	if (n < 0)
		return vio__fail(EIO, "nvme: reservations in %s can't be read", path);
	return n == (ssize_t)sizeof(*f)
		       ? 0
		       : vio__fail(EBADMSG,
				   "nvme: %s is damaged: %s than the %zu bytes of a file of reservations",
				   path, n < (ssize_t)sizeof(*f) ? "fewer" : "more", sizeof(*f));
}

int resv_load(const char *path, struct resv_state *s)
{
	struct resv_file f;
	const char *wrong;
	int rc = resv_read(path, &f);

	if (rc)
		return rc == -ENOENT ? 0 : rc;
	wrong = resv_wrong(&f);
	if (wrong)
		return vio__fail(EBADMSG, "nvme: %s %s", path, wrong);
	s->gen = f.gen;
	s->type = f.type;
	s->persists = f.persists;
	s->n = f.n;
	s->holder = f.type && !resv_for_all(f.type) ? f.holder : RESV_NOBODY;
	memcpy(s->host, f.host, sizeof(s->host));
	return 0;
}

static int resv_write(const char *path, const struct resv_file *f)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool ok = fd >= 0 && write(fd, f, sizeof(*f)) == (ssize_t)sizeof(*f) && !fsync(fd);

	if (fd >= 0)
		close(fd);
	return ok ? 0 : vio__fail(EIO, "nvme: %s can't be written: %s", path, strerror(errno));
}

/* A new name is as lasting as its directory. */
static int resv_sync_directory(const char *path)
{
	char copy[PATH_MAX];
	int fd, rc;

	snprintf(copy, sizeof(copy), "%s", path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = fd < 0 ? -1 : fsync(fd);
	if (fd >= 0)
		close(fd);
	return rc ? vio__fail(EIO, "nvme: the directory of %s can't be written: %s", path, strerror(errno))
		  : 0;
}

/* What does not persist is kept as nothing. */
int resv_save(const char *path, const struct resv_state *s)
{
	struct resv_file f = { .gen = s->gen, .persists = s->persists, .holder = RESV_NOBODY };
	char next[PATH_MAX];
	int rc;

	memcpy(f.magic, resv_magic, sizeof(f.magic));
	if (s->persists) {
		f.type = s->type;
		f.n = s->n;
		f.holder = s->holder;
		memcpy(f.host, s->host, s->n * sizeof(s->host[0]));
	}
	f.sum = resv_sum(&f);
	if ((size_t)snprintf(next, sizeof(next), "%s.new", path) >= sizeof(next))
		return vio__fail(ENAMETOOLONG, "nvme: reservations in %s: the name is too long", path);
	rc = resv_write(next, &f);
	if (!rc && rename(next, path))
		rc = vio__fail(errno, "nvme: %s can't become %s: %s", next, path, strerror(errno));
	return rc ? rc : resv_sync_directory(path);
}
