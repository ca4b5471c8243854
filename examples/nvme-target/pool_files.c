/* SPDX-License-Identifier: MIT */
/* What is known of a namespace, in lines of a file that is replaced as a whole. */
#include "pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX 65536

bool pool_name(const struct pool *p, uint32_t nsid, const char *ending, char name[1024])
{
	return snprintf(name, 1024, "%s/%u.%s", p->dir, nsid, ending) < 1024;
}

int pool_sync(const struct pool *p)
{
	int fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

	if (fd < 0 || fsync(fd))
		rc = -errno;
	if (fd >= 0)
		close(fd);
	return rc;
}

int pool_replace(const struct pool *p, const char *name, const char *text)
{
	char fresh[1040];
	size_t n = strlen(text);
	int fd, rc = 0;

	snprintf(fresh, sizeof(fresh), "%s.new", name);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	errno = ENOSPC; /* if it is written in part */
	if (write(fd, text, n) != (ssize_t)n || fsync(fd))
		rc = -errno;
	close(fd);
	if (!rc && rename(fresh, name))
		rc = -errno;
	if (rc)
		unlink(fresh);
	return rc ? rc : pool_sync(p);
}

int pool_save(void *pool, const struct vio_nvme_kept *k)
{
	const struct pool *p = pool;
	char name[1024], *text = malloc(TEXT_MAX);
	int n, rc;

	if (!text || !pool_name(p, k->nsid, "conf", name)) {
		free(text);
		return -ENOMEM;
	}
	n = snprintf(text, TEXT_MAX, "size %llu\nblock %u\ngroup %u\nmade %d\nprivate %d\nall %d\nuuid ",
		     (unsigned long long)k->size, k->block, k->ana_group, k->made, k->private_, k->all);
	for (unsigned i = 0; i < sizeof(k->uuid); i++)
		n += snprintf(text + n, (size_t)(TEXT_MAX - n), "%02x", k->uuid[i]);
	for (size_t i = 0; i < k->nhosts; i++)
		if (!strncmp(k->hosts[i], "nqn.", 4)) /* not of functions that have no name */
			n += snprintf(text + n, (size_t)(TEXT_MAX - n), "\nhost %s", k->hosts[i]);
	snprintf(text + n, (size_t)(TEXT_MAX - n), "\n");
	rc = pool_replace(p, name, text);
	free(text);
	return rc;
}

static bool read_uuid(const char *from, uint8_t to[16])
{
	for (unsigned i = 0; i < 16; i++)
		if (sscanf(from + 2 * i, "%2hhx", &to[i]) != 1)
			return false;
	return true;
}

static bool read_line(char *line, struct vio_nvme_kept *k, const char *hosts[POOL_HOSTS])
{
	unsigned long long size;
	unsigned v;

	if (sscanf(line, "size %llu", &size) == 1) {
		k->size = size;
	} else if (!strncmp(line, "uuid ", 5)) {
		return strlen(line) == 37 && read_uuid(line + 5, k->uuid);
	} else if (!strncmp(line, "host ", 5)) {
		if (k->nhosts == POOL_HOSTS)
			return false;
		hosts[k->nhosts++] = line + 5;
	} else if (sscanf(line, "block %u", &v) == 1) {
		k->block = v;
	} else if (sscanf(line, "group %u", &v) == 1) {
		k->ana_group = v;
	} else if (sscanf(line, "made %u", &v) == 1) {
		k->made = v;
	} else if (sscanf(line, "private %u", &v) == 1) {
		k->private_ = v;
	} else if (sscanf(line, "all %u", &v) == 1) {
		k->all = v;
	} else {
		return false;
	}
	return true;
}

int pool_read(const struct pool *p, uint32_t nsid, struct vio_nvme_kept *k, const char *hosts[POOL_HOSTS],
	      char **text)
{
	char name[1024], *line, *rest;
	ssize_t n;
	int fd;

	*text = NULL;
	*k = (struct vio_nvme_kept){ .sz = sizeof(*k), .nsid = nsid, .hosts = hosts };
	if (!pool_name(p, nsid, "conf", name))
		return -ENAMETOOLONG;
	fd = open(name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 1 : -errno;
	*text = rest = malloc(TEXT_MAX);
	n = rest ? read(fd, rest, TEXT_MAX - 1) : -1;
	close(fd);
	if (n < 0)
		return -EIO;
	rest[n] = 0;
	while ((line = strsep(&rest, "\n")) && *line)
		if (!read_line(line, k, hosts))
			return -EBADMSG;
	return k->size && k->block ? 0 : -EBADMSG;
}
