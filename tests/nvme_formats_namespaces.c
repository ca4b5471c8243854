/* SPDX-License-Identifier: MIT */
/* Format NVM: blocks of another size, zeroes, another key; and what becomes of I/O meanwhile. */
#include "nvme_manager.h"

#include "keyfile.h"

#include <fcntl.h>

#define DNR NVME_SC_DNR
#define SPECIFIC (NVME_SCT_CMD_SPECIFIC << NVME_SCT_SHIFT | DNR)
#define SIZE (1u << 20)

static struct target t;
static struct manager m;
static struct host admin, io;
static uint16_t id;
static uint32_t page[1024];
static char data[8192], back[8192], raw[] = "/tmp/vio-raw-XXXXXX", key[64];

/* 1: memory; 2: a file with encryption; 3: read-only; 4: encrypted, and its key is not to be erased; 5:
 * broken. */
static int open_all(void **state)
{
	VIO_OPTS(vio_nvme_opts, o, .nqn = HOST_TARGET_NQN, .max_namespaces = 8);
	VIO_OPTS(vio_nvme_ns_opts, no, .nsid = 3, .read_only = true);
	unsigned char bytes[64];
	struct vio_backend *b;
	char stack[200];
	int fd = mkstemp(raw);

	(void)state;
	assert_int_equal(ftruncate(fd, SIZE), 0);
	close(fd);
	scratch_forget(raw);
	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 7);
	keyfile_write(key, bytes, sizeof(bytes));
	manager_init(&m);
	o.manager = &m.m;
	target_start(&t, 3, VIO_POLL_AUTO, &o, NULL);
	assert_int_equal(target_add(&t, "ram:1M"), 1);
	snprintf(stack, sizeof(stack), "file:%s | crypt:keyfile=%s,erase=on", raw, key);
	assert_int_equal(target_add(&t, stack), 2);
	assert_int_equal(vio_backend_parse(&b, NULL, "ram:1M"), 0);
	assert_int_equal(vio_nvme_ns_add(t.s, b, &no), 3);
	vio_backend_free(b);
	snprintf(stack, sizeof(stack), "ram:1M | crypt:keyfile=%s", key);
	assert_int_equal(vio_backend_parse(&b, NULL, stack), -EBUSY); /* whose key it is may be erased */
	assert_int_equal(target_add(&t, "ram:1M | offset:start=4K"), 4);
	assert_int_equal(target_add(&t, "ram:1M | fault:error=EIO,op=write-zeroes,once=off"), 5);
	id = host_admin(&admin, &t, 0);
	host_io(&io, &t, id, 1, 0, 0);
	memset(data, 0x5c, sizeof(data));
	return 0;
}

static int close_all(void **state)
{
	(void)state;
	host_hang_up(&io);
	host_hang_up(&admin);
	target_stop(&t);
	manager_settle(&m);
	return 0;
}

static struct nvme_cmd format_cmd(uint32_t nsid, unsigned lbaf, unsigned ses)
{
	return (struct nvme_cmd){ .opcode = nvme_admin_format_nvm, .nsid = nsid, .cdw10 = lbaf | ses << 9 };
}

static uint16_t format(uint32_t nsid, unsigned lbaf, unsigned ses)
{
	struct nvme_cmd c = format_cmd(nsid, lbaf, ses);

	return host_do(&admin, &c);
}

/* 4 KiB at a block. */
static uint16_t put(uint32_t nsid, uint64_t lba, unsigned blocks)
{
	struct nvme_cmd c = host_rw(nvme_cmd_write, nsid, lba, blocks * 512);

	return host_put(&io, &c, data, 4096);
}

static uint16_t get(uint32_t nsid, uint64_t lba, unsigned blocks)
{
	struct nvme_cmd c = host_rw(nvme_cmd_read, nsid, lba, blocks * 512);

	return host_get(&io, &c, back, 4096);
}

static bool all_are(char byte)
{
	for (unsigned i = 0; i < 4096; i++)
		if (back[i] != byte)
			return false;
	return true;
}

static void it_is_offered(void **state)
{
	struct nvme_id_ctrl *c = (void *)page;
	struct nvme_id_ns *ns = (void *)page;

	(void)state;
	assert_int_equal(host_identify(&admin, NVME_IDENTIFY_CNS_CTRL, 0, page), 0);
	assert_true(c->oacs & NVME_CTRL_OACS_FORMAT);
	assert_int_equal(c->fna, 1u << 2);
	assert_int_equal(host_identify(&admin, NVME_IDENTIFY_CNS_NS, 1, page), 0);
	assert_int_equal(ns->nlbaf, 1);
	assert_int_equal(ns->lbaf[0].ds, 9);
	assert_int_equal(ns->lbaf[1].ds, 12);
	assert_int_equal(ns->fpi, 0x80);
}

static void user_data_becomes_zeroes(void **state)
{
	(void)state;
	for (unsigned ses = 0; ses < 2; ses++)
		for (uint32_t nsid = 1; nsid < 3; nsid++) {
			assert_int_equal(put(nsid, 0, 8), 0);
			assert_int_equal(put(nsid, SIZE / 512 - 8, 8), 0);
			assert_int_equal(format(nsid, 0, ses), 0);
			assert_int_equal(get(nsid, 0, 8), 0);
			assert_true(all_are(0));
			assert_int_equal(get(nsid, SIZE / 512 - 8, 8), 0);
			assert_true(all_are(0));
			assert_int_equal(put(nsid, 8, 8), 0);
		}
}

static void blocks_get_another_size(void **state)
{
	struct nvme_id_ns *ns = (void *)page;
	unsigned saved = m.saved;

	(void)state;
	assert_int_equal(format(1, 1, 0), 0);
	assert_int_equal(m.saved, saved + 1);
	assert_int_equal(m.ns[1].kept.block, 4096);
	assert_int_equal(host_identify(&admin, NVME_IDENTIFY_CNS_NS, 1, page), 0);
	assert_int_equal(ns->flbas, 1);
	assert_int_equal(ns->nsze, SIZE / 4096);
	assert_int_equal(put(1, SIZE / 4096 - 1, 1), 0);
	assert_int_equal(get(1, SIZE / 4096 - 1, 1), 0);
	assert_true(all_are(0x5c));
	assert_int_equal(get(1, SIZE / 4096, 1), NVME_SC_LBA_RANGE | DNR);
	assert_int_equal(format(1, 0, 0), 0);
	assert_int_equal(host_identify(&admin, NVME_IDENTIFY_CNS_NS, 1, page), 0);
	assert_int_equal(ns->nsze, SIZE / 512);
}

static void read_file(const char *path, void *to, size_t n)
{
	int fd = open(path, O_RDONLY);

	assert_int_equal(pread(fd, to, n, 0), n);
	close(fd);
}

/* What was written can be read neither by the host, nor from the file by the key that is there now. */
static void a_key_is_erased(void **state)
{
	char before[64], after[64], cipher[4096], now[4096], stack[200];
	struct vio_backend *b;

	(void)state;
	assert_int_equal(put(2, 0, 8), 0);
	read_file(key, before, 64);
	read_file(raw, cipher, 4096);
	assert_int_equal(format(2, 0, 2), 0);
	read_file(key, after, 64);
	assert_memory_not_equal(before, after, 64);
	read_file(raw, now, 4096);
	assert_memory_equal(cipher, now, 4096); /* it is not that that was changed */
	assert_int_equal(get(2, 0, 8), 0);
	assert_memory_not_equal(back, data, 16);
	assert_memory_not_equal(back + 4080, data, 16);
	assert_int_equal(put(2, 0, 8), 0);
	assert_int_equal(get(2, 0, 8), 0);
	assert_true(all_are(0x5c));
	snprintf(stack, sizeof(stack), "ram:1M | crypt:keyfile=%s,erase=on", key);
	assert_int_equal(vio_backend_parse(&b, NULL, stack), -EBUSY);
}

static void what_can_not_be_is_refused(void **state)
{
	struct nvme_cmd c = format_cmd(1, 0, 0);

	(void)state;
	assert_int_equal(format(0, 0, 0), NVME_SC_INVALID_NS | DNR);
	assert_int_equal(format(9, 0, 0), NVME_SC_INVALID_NS | DNR);
	assert_int_equal(format(8, 0, 0), NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(format(3, 0, 0), NVME_SC_NS_WRITE_PROTECTED | DNR);
	assert_int_equal(format(NVME_NSID_ALL, 0, 0), NVME_SC_NS_WRITE_PROTECTED | DNR); /* all or none */
	for (unsigned lbaf = 2; lbaf < 16; lbaf++)
		assert_int_equal(format(1, lbaf, 0), SPECIFIC | NVME_SC_INVALID_FORMAT);
	for (unsigned ses = 3; ses < 8; ses++)
		assert_int_equal(format(1, 0, ses), NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(format(1, 0, 2), NVME_SC_INVALID_FIELD | DNR); /* there is no key */
	assert_int_equal(format(4, 0, 2), NVME_SC_INVALID_FIELD | DNR);
	c.cdw10 = 1 << 5;
	assert_int_equal(host_do(&admin, &c), SPECIFIC | NVME_SC_INVALID_FORMAT);
	c.cdw10 = 1 << 12;
	assert_int_equal(host_do(&admin, &c), SPECIFIC | NVME_SC_INVALID_FORMAT);
	assert_int_equal(host_attach(&admin, 1, false, 1, id, 0), 0);
	assert_int_equal(format(1, 0, 0), NVME_SC_INVALID_FIELD | DNR);
	assert_int_equal(host_attach(&admin, 1, true, 1, id, 0), 0);
	assert_int_equal(format(5, 0, 0), NVME_SC_INTERNAL);
	assert_int_equal(get(5, 0, 8), 0);
}

/* I/O is refused while it goes on, in a way that hosts repeat; a second format, too; and reset does not end
 * it. */
static void io_waits_for_it(void **state)
{
	struct nvme_cmd c = format_cmd(1, 0, 1);
	struct nvme_id_ns *ns = (void *)page;
	uint16_t cid;

	(void)state;
	assert_int_equal(put(1, 0, 8), 0);
	manager_hold(&m, true);
	cid = host_send(&admin, &c, NULL, 0);
	while (!get(1, 0, 8)) /* on another connection: it may come first */
		;
	assert_int_equal(get(1, 0, 8), NVME_SC_FORMAT_IN_PROGRESS);
	assert_int_equal(put(1, 0, 8), NVME_SC_FORMAT_IN_PROGRESS);
	assert_int_equal(get(2, 0, 8), 0);
	assert_int_equal(format(1, 0, 0), NVME_SC_FORMAT_IN_PROGRESS);
	assert_int_equal(host_identify(&admin, NVME_IDENTIFY_CNS_NS, 1, page), 0);
	assert_int_equal(ns->fpi, 0x80 | 100);
	manager_hold(&m, false);
	assert_int_equal(host_finish(&admin, cid, NULL, NULL), 0);
	assert_int_equal(get(1, 0, 8), 0); /* at once */
	assert_true(all_are(0));

	assert_int_equal(put(1, 0, 8), 0);
	manager_hold(&m, true);
	cid = host_send(&admin, &c, NULL, 0);
	while (!get(1, 0, 8))
		;
	assert_int_equal(host_property_get(&admin, 0x1c, false), 0);
	host_hang_up(&io);
	host_hang_up(&admin);
	id = host_admin(&admin, &t, 0);
	host_io(&io, &t, id, 1, 0, 0);
	assert_int_equal(get(1, 0, 8), NVME_SC_FORMAT_IN_PROGRESS); /* a new controller knows of it */
	manager_hold(&m, false);
	manager_settle(&m);
	assert_int_equal(get(1, 0, 8), 0);
	assert_true(all_are(0));
}

/* A write that is in the store when the command comes ends before anything is erased. */
static void what_is_under_way_ends_first(void **state)
{
	uint32_t nsid = target_add(&t, "ram:1M | fault:error=delay,delay=200,op=write,once=off");
	struct nvme_cmd write = host_rw(nvme_cmd_write, nsid, 0, 4096),
			read = host_rw(nvme_cmd_read, nsid, 8, 4096);
	struct host second;
	uint16_t cid;

	(void)state;
	host_io(&second, &t, id, 2, 0, 0);
	cid = host_send(&second, &write, data, 4096);
	assert_int_equal(host_get(&second, &read, back, 4096), 0); /* so the write was taken */
	assert_int_equal(format(nsid, 0, 1), 0);
	assert_int_equal(host_finish(&second, cid, data, NULL), 0);
	assert_int_equal(get(nsid, 0, 8), 0);
	assert_true(all_are(0));
	host_hang_up(&second);
	assert_int_equal(vio_nvme_ns_remove(t.s, nsid), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_offered),
		cmocka_unit_test(user_data_becomes_zeroes),
		cmocka_unit_test(blocks_get_another_size),
		cmocka_unit_test(a_key_is_erased),
		cmocka_unit_test(what_can_not_be_is_refused),
		cmocka_unit_test(io_waits_for_it),
		cmocka_unit_test(what_is_under_way_ends_first),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
