/* SPDX-License-Identifier: MIT */
/* For tests that nothing is left open: how many fds this process has. Compare two answers. */
#ifndef TESTS_OPEN_FDS_H
#define TESTS_OPEN_FDS_H

#include <dirent.h>

static inline unsigned open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

#endif
