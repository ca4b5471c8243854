/* SPDX-License-Identifier: MIT */
/* Guest memory is registered with io_uring in chunks; what crosses one, or is refused, goes without. */
#define _GNU_SOURCE
#include "file.h"

#define FILE_CHUNK 65536ull /* the library has 1 GiB */
#include "backend/file_lane.c"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define SIZE (1u << 20)

static char *map(size_t size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static struct vio_mem *mem_of(char *a, char *b)
{
	struct vio_mem_region r[2] = { { .guest = 0, .size = 160 << 10, .ptr = a },
				       { .guest = 1 << 20, .size = 4096, .ptr = b } };
	struct vio_mem *m;

	assert_int_equal(vio_mem_new(&m, r, 2, NULL), 0);
	return m;
}

/* Writes and reads back; how many of the two used a registered buffer. */
static uint64_t used(struct disk *d, char *at, size_t len)
{
	uint64_t before = disk_count(d, "registered"), all = before + disk_count(d, "unregistered");
	char *copy = malloc(len);

	for (size_t i = 0; i < len; i++)
		copy[i] = at[i] = (char)random();
	assert_int_equal(disk_rw(d, VIO_OP_WRITE, 0, 4096, at, len), 0);
	memset(at, 0, len);
	assert_int_equal(disk_rw(d, VIO_OP_READ, 0, 4096, at, len), 0);
	assert_memory_equal(at, copy, len);
	free(copy);
	assert_int_equal(disk_count(d, "registered") + disk_count(d, "unregistered"), all + 2);
	return disk_count(d, "registered") - before;
}

static void what_lies_in_one_chunk_uses_it(void **state)
{
	struct vio_poller *p = poller_from(state);
	unsigned both = vio_poller_engine(p) == VIO_POLL_IO_URING ? 2 : 0; /* epoll registers nothing */
	char *a = map(160 << 10), *b = map(4096), *elsewhere = map(4096);
	struct vio_mem *m = mem_of(a, b);
	struct disk d;

	disk_image(&d, ".", SIZE);
	assert_int_equal(disk_try(&d, ""), 0);
	disk_lane(&d, p, m);
	assert_int_equal(used(&d, a, 4096), both);
	assert_int_equal(used(&d, a, 65536), both);
	assert_int_equal(used(&d, a + 65536 - 512, 512), both);
	assert_int_equal(used(&d, a + 65536 - 512, 1024), 0); /* crosses */
	assert_int_equal(used(&d, a + 65536, 65536), both);
	assert_int_equal(used(&d, a + (160 << 10) - 512, 512), both); /* the region's last bytes */
	assert_int_equal(used(&d, b, 4096), both);
	assert_int_equal(used(&d, elsewhere, 4096), 0);
	disk_remove(&d);
	vio_mem_free(m);
	munmap(a, 160 << 10);
	munmap(b, 4096);
	munmap(elsewhere, 4096);
}

static void pin_off_registers_nothing(void **state)
{
	struct vio_poller *p = poller_from(state);
	char *a = map(160 << 10), *b = map(4096);
	struct vio_mem *m = mem_of(a, b);
	struct disk d;

	disk_image(&d, ".", SIZE);
	assert_int_equal(disk_try(&d, ",pin=off"), 0);
	disk_lane(&d, p, m);
	assert_int_equal(used(&d, a, 4096), 0);
	disk_remove(&d);
	vio_mem_free(m);
	munmap(a, 160 << 10);
	munmap(b, 4096);
}

static void lanes_on_one_poller_share_what_is_pinned(void **state)
{
	struct vio_poller *p = poller_from(state);
	char *a = map(160 << 10), *b = map(4096);
	struct vio_mem *m = mem_of(a, b);
	struct disk d, e;

	disk_image(&d, ".", SIZE);
	disk_image(&e, ".", SIZE);
	assert_int_equal(disk_try(&d, ""), 0);
	assert_int_equal(disk_try(&e, ""), 0);
	disk_lane(&d, p, m);
	disk_lane(&e, p, m);
	disk_remove(&d); /* the other's registration stays */
	if (vio_poller_engine(p) == VIO_POLL_IO_URING)
		assert_int_equal(used(&e, a, 4096), 2);
	disk_remove(&e);
	vio_mem_free(m);
	munmap(a, 160 << 10);
	munmap(b, 4096);
}

static unsigned refusals;

static void refusal_said(void *ctx, enum vio_log_level level, const char *sentence)
{
	(void)ctx, (void)level;
	refusals += !!strstr(sentence, "without registered buffers");
}

/* As a user who may lock hardly any memory; the exit status says what went wrong. */
static int poor_main(void)
{
	VIO_OPTS(vio_poller_opts, o, .engine = VIO_POLL_IO_URING, .entries = 8, .log = refusal_said);
	struct rlimit little = { 48 << 10, 48 << 10 }; /* enough for a small ring, not for a chunk */
	struct vio_poller *p;
	struct vio_mem *m;
	struct disk d;

	if (setrlimit(RLIMIT_MEMLOCK, &little) || (!getuid() && setresuid(65534, 65534, 65534)))
		return 77;
	if (vio_poller_new(&p, &o))
		return 77;
	m = mem_of(map(160 << 10), map(4096));
	disk_image(&d, "/dev/shm", SIZE);
	if (disk_try(&d, ""))
		return 1;
	disk_lane(&d, p, m);
	if (!refusals)
		return 77; /* it may after all */
	if (used(&d, vio_mem_ptr(m, 0, 4096), 4096))
		return 2;
	disk_remove(&d);
	vio_poller_free(p);
	vio_mem_free(m);
	return 0;
}

static void without_the_right_to_lock_memory_it_works_too(void **state)
{
	int status;
	pid_t child;

	(void)state;
	child = fork();
	if (!child)
		_exit(poor_main());
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(what_lies_in_one_chunk_uses_it),
		BOTH(pin_off_registers_nothing),
		BOTH(lanes_on_one_poller_share_what_is_pinned),
		cmocka_unit_test(without_the_right_to_lock_memory_it_works_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
