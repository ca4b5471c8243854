/* SPDX-License-Identifier: MIT */
/* For tests: a file with a key in it. */
#ifndef TESTS_KEYFILE_H
#define TESTS_KEYFILE_H

#include "scratch.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEYFILE_NAME "/tmp/vio-key-XXXXXX"

/* path: room for KEYFILE_NAME. Gone at the latest when the program ends. */
static __attribute__((unused)) void keyfile_write(char *path, const void *key, size_t len)
{
	int fd;

	strcpy(path, KEYFILE_NAME);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	scratch_forget(path);
	assert_int_equal(write(fd, key, len), len);
	close(fd);
}

#endif
