/* SPDX-License-Identifier: MIT */
/*
 * crypt, put behind a LUKS header with offset, reads what other implementations have
 * written and writes what they read: QEMU's for LUKS1, and cryptsetup's for LUKS2
 * with both sector sizes. The volume key is one that we chose.
 */
#include "store.h"
#include "keyfile.h"

#define MIB (1ull << 20)
#define PLAIN (4 * MIB)

static char dir[] = "/tmp/vio-luks-XXXXXX";
static unsigned char plain[PLAIN], back[PLAIN];

static int run(const char *command)
{
	char line[1024];

	snprintf(line, sizeof(line), "cd %s && { %s; } >log 2>&1", dir, command);
	return system(line);
}

static void must(const char *command)
{
	char line[512];

	if (!run(command))
		return;
	snprintf(line, sizeof(line), "cat %s/log", dir);
	if (system(line))
		print_message("no log\n");
	fail_msg("%s", command);
}

static FILE *file(const char *name, const char *mode)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, mode);
	assert_non_null(f);
	return f;
}

static void put(const char *name, const void *from, size_t len)
{
	FILE *f = file(name, "we");

	assert_int_equal(fwrite(from, 1, len, f), len);
	fclose(f);
}

static void get(const char *name, void *to, size_t len)
{
	FILE *f = file(name, "re");

	assert_int_equal(fread(to, 1, len, f), len);
	fclose(f);
}

/* The image as a store under offset and crypt. */
static void open_image(struct stack *s, const char *image, uint64_t size, uint64_t payload, unsigned sector)
{
	char arg[256];

	snprintf(arg, sizeof(arg), "offset:start=%lluM | crypt:keyfile=%s/key,sector=%u",
		 (unsigned long long)(payload / MIB), dir, sector);
	stack_up(s, arg, size);
	if (image)
		get(image, s->store->mem, size);
}

static void write_plain(struct stack *s)
{
	for (uint64_t at = 0; at < PLAIN; at += 65536)
		assert_int_equal(stack_io(s, VIO_OP_WRITE, at, plain + at, 65536), 0);
}

static void read_back(struct stack *s)
{
	for (uint64_t at = 0; at < PLAIN; at += 131072)
		assert_int_equal(stack_io(s, VIO_OP_READ, at, back + at, 131072), 0);
}

#define LUKS1_QEMU "--object secret,id=s,file=pw --image-opts driver=luks,key-secret=s,file.filename=luks1"

static void qemu_and_luks1(void **state)
{
	struct stack s;

	(void)state;
	must("truncate -s 6M luks1");
	must("cryptsetup luksFormat -q --type luks1 --volume-key-file key --cipher aes-xts-plain64 "
	     "--key-size 512 --pbkdf-force-iterations 1000 --key-file pw luks1");
	open_image(&s, "luks1", 6 * MIB, 2 * MIB, 512);
	write_plain(&s);
	put("luks1", s.store->mem, 6 * MIB);
	stack_down(&s);
	must("qemu-img convert " LUKS1_QEMU " -O raw theirs");
	get("theirs", back, PLAIN);
	assert_memory_equal(back, plain, PLAIN);

	must("qemu-io -c 'write -P 0x5a 65024 100352' " LUKS1_QEMU);
	memset(plain + 65024, 0x5a, 100352);
	open_image(&s, "luks1", 6 * MIB, 2 * MIB, 512);
	read_back(&s);
	stack_down(&s);
	assert_memory_equal(back, plain, PLAIN);
}

static void cryptsetup_and_luks2(unsigned sector)
{
	static unsigned char ours[PLAIN];
	char command[512];
	struct stack s;

	put("luks2", plain, PLAIN);
	must("truncate -s 40M luks2");
	snprintf(command, sizeof(command),
		 "cryptsetup reencrypt -q --encrypt --type luks2 --sector-size %u --reduce-device-size 32M "
		 "--volume-key-file key --cipher aes-xts-plain64 --key-size 512 --pbkdf pbkdf2 "
		 "--pbkdf-force-iterations 1000 --key-file pw luks2",
		 sector);
	must(command);
	open_image(&s, "luks2", 40 * MIB, 16 * MIB, sector);
	read_back(&s);
	assert_memory_equal(back, plain, PLAIN);
	memcpy(back, s.store->mem + 16 * MIB, PLAIN);
	stack_down(&s);

	open_image(&s, NULL, 40 * MIB, 16 * MIB, sector);
	write_plain(&s);
	memcpy(ours, s.store->mem + 16 * MIB, PLAIN);
	stack_down(&s);
	assert_memory_equal(ours, back, PLAIN);
}

static void cryptsetup_and_luks2_of_512(void **state)
{
	(void)state;
	cryptsetup_and_luks2(512);
}

static void cryptsetup_and_luks2_of_4096(void **state)
{
	(void)state;
	cryptsetup_and_luks2(4096);
}

static int set_up(void **state)
{
	unsigned char key[64];

	(void)state;
	fill(key, sizeof(key), 11);
	fill(plain, sizeof(plain), 12);
	put("key", key, sizeof(key));
	put("pw", "passphrase", 10);
	return 0;
}

static int clean_up(void **state)
{
	char line[64];

	(void)state;
	snprintf(line, sizeof(line), "rm -r %s", dir);
	return system(line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(qemu_and_luks1),
		cmocka_unit_test(cryptsetup_and_luks2_of_512),
		cmocka_unit_test(cryptsetup_and_luks2_of_4096),
	};

	if (system("command -v cryptsetup qemu-img qemu-io >/dev/null")) {
		puts("skipped: cryptsetup, qemu-img and qemu-io are needed");
		return 77;
	}
	if (!mkdtemp(dir))
		return 1;
	return cmocka_run_group_tests(tests, set_up, clean_up);
}
