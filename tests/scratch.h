/* SPDX-License-Identifier: MIT */
/* For tests: files in /tmp that are gone when the program ends, also if an assertion has cut the test short. */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char scratch_paths[64][64];
static unsigned scratch_n;
static pid_t scratch_owner; /* and no child that it forked */

static inline void scratch_clear(void)
{
	while (scratch_owner == getpid() && scratch_n)
		remove(scratch_paths[--scratch_n]);
}

/* Removes path at the end, after what was named later: so a directory is named before its files. */
static inline void scratch_forget(const char *path)
{
	if (!scratch_owner) {
		scratch_owner = getpid();
		atexit(scratch_clear);
	}
	if (scratch_n < sizeof(scratch_paths) / sizeof(scratch_paths[0]))
		snprintf(scratch_paths[scratch_n++], sizeof(scratch_paths[0]), "%s", path);
}

#endif
