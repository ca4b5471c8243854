/* SPDX-License-Identifier: MIT */
/* Namespaces that hosts make: sparse files in a directory, there again after a restart. */
#define _GNU_SOURCE
#include "pool.h"
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define STACK_MAX 8192

static struct pool pool;

/* One character of a stack; an argument's own separators are escaped. */
static bool put(char *to, size_t *at, char c, bool escape)
{
	if (*at + 3 > STACK_MAX)
		return false;
	if (escape && strchr("\\|,:=", c))
		to[(*at)++] = '\\';
	to[(*at)++] = c;
	to[*at] = 0;
	return true;
}

static bool put_text(char *to, size_t *at, const char *text, bool escape)
{
	while (*text)
		if (!put(to, at, *text++, escape))
			return false;
	return true;
}

/* "file:DIR/ID.raw | FILTERS", where %k is the key's file. */
static bool make_stack(uint32_t nsid, char to[STACK_MAX])
{
	char raw[1024], key[1024];
	size_t at = 0;
	bool ok = pool_name(&pool, nsid, "raw", raw) && pool_name(&pool, nsid, "key", key) &&
		  put_text(to, &at, "file:", false) && put_text(to, &at, raw, true);

	if (ok && *pool.filters)
		ok = put_text(to, &at, " | ", false);
	for (const char *f = pool.filters; ok && *f; f++) {
		if (f[0] == '%' && f[1] == 'k') {
			ok = put_text(to, &at, key, true);
			f++;
		} else {
			ok = put(to, &at, *f, false);
		}
	}
	return ok;
}

static int make_file(const char *name, const void *bytes, size_t n, uint64_t size)
{
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600),
	    rc = 0; /* never one that is there */

	if (fd < 0)
		return -errno;
	if (write(fd, bytes, n) != (ssize_t)n || ftruncate(fd, (off_t)size) || fsync(fd))
		rc = errno ? -errno : -EIO;
	close(fd);
	return rc;
}

static int make_key(uint32_t nsid)
{
	unsigned char key[64];
	char name[1024];
	int rc;

	if (!strstr(pool.filters, "%k"))
		return 0;
	if (!pool_name(&pool, nsid, "key", name) || getrandom(key, sizeof(key), 0) != sizeof(key))
		return -EIO;
	rc = make_file(name, key, sizeof(key), sizeof(key));
	explicit_bzero(key, sizeof(key));
	return rc;
}

static void remove_key(const char *name)
{
	static const char zeroes[64];
	int fd = open(name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, zeroes, sizeof(zeroes)) != sizeof(zeroes) || fsync(fd))
		fprintf(stderr, "nvme-target: %s can't be overwritten: %s\n", name, strerror(errno));
	close(fd);
	unlink(name);
}

/* What says that there is a namespace goes first. */
static int remove_files(uint32_t nsid)
{
	static const char *const keys[] = { "key", "key.old", "key.new" };
	char name[1024];

	if (!pool_name(&pool, nsid, "conf", name) || (unlink(name) && errno != ENOENT) || pool_sync(&pool))
		return errno ? -errno : -EIO;
	for (unsigned i = 0; i < 3; i++) {
		pool_name(&pool, nsid, keys[i], name);
		remove_key(name);
	}
	pool_name(&pool, nsid, "raw", name);
	if (unlink(name) && errno != ENOENT)
		return -errno;
	return pool_sync(&pool);
}

static int create(void *ctx, const struct vio_nvme_kept *k, struct vio_backend **b)
{
	struct target *t = ctx;
	char raw[1024], stack[STACK_MAX];
	int rc = pool_name(&pool, k->nsid, "raw", raw) && make_stack(k->nsid, stack) ? 0 : -ENAMETOOLONG;

	rc = rc ? rc : make_file(raw, "", 0, k->size);
	if (rc) /* also if there is one: whose it is nobody knows */
		return rc;
	rc = make_key(k->nsid);
	rc = rc ? rc : vio_backend_parse(b, t->scope, stack);
	rc = rc ? rc : pool_save(&pool, k);
	if (!rc)
		return 0;
	say(t, VIO_LOG_ERROR, "pool: namespace %u can't be made: %s (%s)", k->nsid, strerror(-rc),
	    vio_errmsg());
	vio_backend_free(*b);
	*b = NULL;
	remove_files(k->nsid);
	return rc;
}

static int destroy(void *ctx, const struct vio_nvme_kept *k)
{
	int rc = remove_files(k->nsid);

	if (rc)
		say(ctx, VIO_LOG_ERROR, "pool: namespace %u can't be removed: %s", k->nsid, strerror(-rc));
	return rc;
}

static int save(void *ctx, const struct vio_nvme_kept *k)
{
	int rc = pool_save(&pool, k);

	if (rc)
		say(ctx, VIO_LOG_ERROR, "pool: what namespace %u is can't be kept: %s", k->nsid,
		    strerror(-rc));
	return rc;
}

static int attach(struct target *t, const struct vio_nvme_kept *k)
{
	int rc = 0;

	for (size_t i = 0; i < k->nhosts && !rc; i++)
		rc = vio_nvme_ns_attach(t->subsystem, k->nsid, k->hosts[i], !k->all);
	return rc;
}

static int open_one(struct target *t, uint32_t nsid, const struct vio_nvme_kept *k)
{
	VIO_OPTS(vio_nvme_ns_opts, o, .nsid = nsid, .ana_group = k->ana_group, .block = k->block,
		 .made = true, .private_ = k->private_);
	struct vio_backend *b;
	char stack[STACK_MAX];
	int rc = make_stack(nsid, stack) ? vio_backend_parse(&b, t->scope, stack) : -1;

	if (rc)
		return rc;
	memcpy(o.uuid, k->uuid, sizeof(o.uuid));
	rc = vio_nvme_ns_add(t->subsystem, b, &o);
	vio_backend_free(b);
	return rc < 0 ? rc : attach(t, k);
}

int pool_open_namespaces(struct target *t)
{
	const char *hosts[POOL_HOSTS];

	for (uint32_t nsid = 1; t->pool && nsid <= MAX_NAMESPACES; nsid++) {
		struct vio_nvme_kept k;
		char *text;
		int rc = pool_read(&pool, nsid, &k, hosts, &text);

		if (rc < 0)
			fprintf(stderr, "nvme-target: --pool: %s/%u.conf: %s\n", pool.dir, nsid,
				strerror(-rc));
		else if (rc)
			rc = nsid > t->nstacks ? remove_files(nsid)
					       : 0; /* what was not finished, or is gone in part */
		else if (k.made && (rc = open_one(t, nsid, &k)))
			fprintf(stderr, "nvme-target: --pool: namespace %u: %s\n", nsid, vio_errmsg());
		else if (!k.made && nsid <= t->nstacks && (rc = attach(t, &k)))
			fprintf(stderr, "nvme-target: --pool: namespace %u: %s\n", nsid, vio_errmsg());
		free(text);
		if (rc)
			return -1;
	}
	return 0;
}

/* Of one that the command line has. */
uint32_t pool_block(const struct target *t, uint32_t nsid)
{
	const char *hosts[POOL_HOSTS];
	struct vio_nvme_kept k;
	uint32_t block = 0;
	char *text;

	if (t->pool && !pool_read(&pool, nsid, &k, hosts, &text) && !k.made)
		block = k.block;
	if (t->pool)
		free(text);
	return block;
}

static int refuse(const struct target *t, const char *expected)
{
	fprintf(stderr, "nvme-target: --pool %s: %s\n", t->pool, expected);
	return -1;
}

static uint64_t read_size(const char *text)
{
	static const char units[] = "KMGT";
	char *end;
	unsigned long long v = strtoull(text, &end, 10);
	const char *unit = *end ? strchr(units, *end) : NULL;
	unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;

	if (text[0] < '0' || text[0] > '9' || (*end && (!unit || end[1])) || v > UINT64_MAX >> 1 >> shift)
		return 0;
	return v << shift;
}

static int read_args(struct target *t, char *text)
{
	char *dir = strsep(&text, ","), *one;

	snprintf(pool.dir, sizeof(pool.dir), "%s", dir);
	while ((one = strsep(&text, ","))) {
		if (!strncmp(one, "size=", 5))
			pool.size = read_size(one + 5);
		else if (!strcmp(one, "block=512") || !strcmp(one, "block=4096"))
			pool.block = (uint32_t)strtoul(one + 6, NULL, 10);
		else
			return refuse(t, "expected DIR,size=SIZE[,block=512|4096]");
	}
	return pool.size ? 0
			 : refuse(t, "expected size=SIZE: what all namespaces of hosts may have together, as "
				     "in 10G");
}

int pool_open(struct target *t, struct vio_nvme_manager *m)
{
	struct stat st;
	char *copy;
	int rc;

	if (!t->pool)
		return 0;
	pool.filters = t->pool_filters ? t->pool_filters : "";
	copy = strdup(t->pool);
	rc = copy ? read_args(t, copy) : -1;
	free(copy);
	if (rc)
		return rc;
	if (strlen(pool.dir) >= sizeof(pool.dir) - 1 || stat(pool.dir, &st) || !S_ISDIR(st.st_mode) ||
	    access(pool.dir, W_OK))
		return refuse(t, "expected a directory that can be written to");
	*m = (struct vio_nvme_manager){ .sz = sizeof(*m),
					.ctx = t,
					.work = jobs_run,
					.create = create,
					.destroy = destroy,
					.save = save,
					.capacity = pool.size,
					.block = pool.block };
	return 0;
}
