/* SPDX-License-Identifier: MIT */
/* Feeds every file of the given directories to a fuzz target: how the seeds serve as a test without libFuzzer. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *dir, const char *name)
{
	static uint8_t data[1 << 20];
	char path[4096];
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "rb");
	if (!f) {
		perror(path);
		return -1;
	}
	n = fread(data, 1, sizeof(data), f);
	fclose(f);
	LLVMFuzzerTestOneInput(data, n);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned seeds = 0;

	for (int i = 1; i < argc; i++) {
		DIR *dir = opendir(argv[i]);
		struct dirent *e;

		if (!dir) {
			perror(argv[i]);
			return 1;
		}
		while ((e = readdir(dir)))
			if (e->d_name[0] != '.') {
				if (replay_file(argv[i], e->d_name))
					return 1;
				seeds++;
			}
		closedir(dir);
	}
	printf("%u seeds replayed\n", seeds);
	return seeds ? 0 : 1;
}
