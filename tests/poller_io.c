/* SPDX-License-Identifier: MIT */
/* File I/O: each kind of it, more of it than there are entries, and with registered buffers and files. */
#include "poller.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

struct op {
	struct vio_io io;
	struct iovec iov[2];
	int res;
	bool *submitting;
};

static unsigned ops_done;

static void op_done(struct vio_io *io, int res)
{
	struct op *o = (struct op *)io;

	assert_false(o->submitting && *o->submitting); /* never inside submit */
	o->res = res;
	ops_done++;
}

static int temp_file(off_t size)
{
	char path[] = "io-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	unlink(path);
	assert_int_equal(ftruncate(fd, size), 0);
	return fd;
}

static void op_init(struct op *o, int fd, enum vio_io_op kind)
{
	*o = (struct op){ .io = { .done = op_done, .op = (uint8_t)kind, .fd = fd, .file = -1, .buf = -1 } };
	o->io.iov = o->iov;
}

static void op_buf(struct op *o, void *buf, size_t len, uint64_t offset)
{
	o->iov[0] = (struct iovec){ buf, len };
	o->io.niov = 1;
	o->io.offset = offset;
}

static int op_do(struct vio_poller *p, struct op *o)
{
	ops_done = 0;
	vio_io_submit(p, &o->io);
	while (!ops_done)
		assert_true(vio_poller_wait(p, -1) >= 0);
	return o->res;
}

static void what_is_written_is_read(void **state)
{
	struct vio_poller *p = poller_from(state);
	char a[512], b[1024], got[1536];
	int fd = temp_file(8192);
	struct op o;

	memset(a, 1, sizeof(a));
	memset(b, 2, sizeof(b));
	op_init(&o, fd, VIO_IO_WRITE);
	op_buf(&o, a, sizeof(a), 100);
	o.iov[1] = (struct iovec){ b, sizeof(b) };
	o.io.niov = 2;
	o.io.dsync = 1;
	assert_int_equal(op_do(p, &o), 1536);
	op_init(&o, fd, VIO_IO_READ);
	op_buf(&o, got, sizeof(got), 100);
	assert_int_equal(op_do(p, &o), 1536);
	assert_memory_equal(got, a, 512);
	assert_memory_equal(got + 512, b, 1024);
	op_init(&o, fd, VIO_IO_FSYNC);
	assert_int_equal(op_do(p, &o), 0);
	close(fd);
}

static void fallocate_punches_a_hole(void **state)
{
	struct vio_poller *p = poller_from(state);
	static char buf[65536];
	int fd = temp_file(65536);
	struct stat st;
	struct op o;

	memset(buf, 1, sizeof(buf));
	assert_int_equal(write(fd, buf, sizeof(buf)), sizeof(buf));
	op_init(&o, fd, VIO_IO_FALLOCATE);
	o.io.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	o.io.len = 65536;
	assert_int_equal(op_do(p, &o), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 65536);
	assert_int_equal(pread(fd, buf, 1, 0), 1);
	assert_int_equal(buf[0], 0);
	o.io.mode = 0xffff;
	assert_int_equal(op_do(p, &o), -EOPNOTSUPP);
	close(fd);
}

static void trouble_comes_as_the_result(void **state)
{
	struct vio_poller *p = poller_from(state);
	int fd = temp_file(512), ro = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	char buf[1024];
	struct op o;

	op_init(&o, fd, VIO_IO_READ);
	op_buf(&o, buf, 1024, 0);
	assert_int_equal(op_do(p, &o), 512);
	op_buf(&o, buf, 1024, 512);
	assert_int_equal(op_do(p, &o), 0);
	op_buf(&o, (void *)8, 512, 0);
	assert_int_equal(op_do(p, &o), -EFAULT);
	op_init(&o, ro, VIO_IO_WRITE);
	op_buf(&o, buf, 512, 0);
	assert_int_equal(op_do(p, &o), -EBADF);
	op_init(&o, -1, VIO_IO_FSYNC);
	assert_int_equal(op_do(p, &o), -EBADF);
	close(fd);
	close(ro);
}

/* A ring of four, a thousand I/Os at once: all are done, none twice, none inside submit. */
static void more_than_the_entries_wait_their_turn(void **state)
{
	enum { N = 1000 };
	VIO_OPTS(vio_poller_opts, opts, .entries = 4, .engine = vio_poller_engine(poller_from(state)));
	struct op *o = calloc(N, sizeof(*o));
	uint32_t *buf = calloc(N, 512);
	int fd = temp_file(N * 512);
	bool submitting = true;
	struct vio_poller *p;

	assert_int_equal(vio_poller_new(&p, &opts), 0);
	for (uint32_t i = 0; i < N; i++)
		assert_int_equal(pwrite(fd, &i, sizeof(i), i * 512), sizeof(i));
	ops_done = 0;
	for (unsigned i = 0; i < N; i++) {
		op_init(&o[i], fd, i % 100 ? VIO_IO_READ : VIO_IO_FSYNC);
		op_buf(&o[i], buf + i * 128, 512, i * 512);
		o[i].res = -1;
		o[i].submitting = &submitting;
		vio_io_submit(p, &o[i].io);
	}
	submitting = false;
	while (ops_done < N)
		assert_true(vio_poller_wait(p, -1) >= 0);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(o[i].res, i % 100 ? 512 : 0);
		assert_int_equal(buf[i * 128], i % 100 ? i : 0);
	}
	assert_int_equal(stats_of(p).ios, N);
	vio_poller_free(p);
	close(fd);
	free(buf);
	free(o);
}

static void registered_buffers_and_files_work(void **state)
{
	struct vio_poller *p = poller_from(state);
	char *mem = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = temp_file(8192), buf, again, file;
	struct op o;

	buf = vio_poller_buf_add(p, mem, 65536);
	file = vio_poller_file_add(p, fd);
	if (vio_poller_engine(p) == VIO_POLL_EPOLL) {
		assert_int_equal(buf, -EOPNOTSUPP);
		assert_int_equal(file, -EOPNOTSUPP);
		buf = file = -1;
	} else {
		assert_true(buf >= 0 && file >= 0);
		again = vio_poller_buf_add(p, mem, 65536);
		assert_int_equal(again, buf); /* pinned once */
		vio_poller_buf_del(p, again);
	}
	memset(mem, 5, 4096);
	for (unsigned i = 0; i < 2; i++) {
		op_init(&o, fd, i ? VIO_IO_READ : VIO_IO_WRITE);
		op_buf(&o, mem + i * 8192, 4096, 0);
		o.io.buf = buf;
		o.io.file = file;
		assert_int_equal(op_do(p, &o), 4096);
	}
	assert_memory_equal(mem, mem + 8192, 4096);
	vio_poller_buf_del(p, buf);
	vio_poller_file_del(p, file);
	if (buf >= 0) { /* what is no longer registered is refused, not read from somewhere */
		assert_int_equal(op_do(p, &o), -EBADF);
		assert_int_equal(vio_poller_file_add(p, fd), file);
		assert_int_equal(op_do(p, &o), -EFAULT);
	}
	close(fd);
	munmap(mem, 65536);
}

static void a_refused_registration_is_an_error_not_a_failure(void **state)
{
	struct vio_poller *p = poller_from(state);

	assert_true(vio_poller_buf_add(p, (void *)4096, 4096) < 0);
	assert_true(strlen(vio_errmsg()) > 0);
	assert_true(vio_poller_file_add(p, -5) < 0);
	vio_poller_buf_del(p, -1);
	vio_poller_file_del(p, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(what_is_written_is_read),
		BOTH(fallocate_punches_a_hole),
		BOTH(trouble_comes_as_the_result),
		BOTH(more_than_the_entries_wait_their_turn),
		BOTH(registered_buffers_and_files_work),
		BOTH(a_refused_registration_is_an_error_not_a_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
