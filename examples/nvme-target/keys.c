/* SPDX-License-Identifier: MIT */
/* Hosts that have to authenticate, and their secrets: a file with a line for each. */
#define _GNU_SOURCE
#include "target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define KEYS_EXPECTED                                                                                        \
	"expected HOSTNQN SECRET [CTRL-SECRET] [hash=sha256|sha384|sha512] [dh=null|ffdhe2048|ffdhe3072|"    \
	"ffdhe4096|ffdhe6144|ffdhe8192]"

static const struct {
	const char *word;
	unsigned bit;
} hashes[] = {
	{ "sha256", 1u << VIO_NVME_SHA256 },
	{ "sha384", 1u << VIO_NVME_SHA384 },
	{ "sha512", 1u << VIO_NVME_SHA512 },
}, groups[] = {
	{ "null", 1u << VIO_NVME_DH_NULL },	   { "ffdhe2048", 1u << VIO_NVME_FFDHE2048 },
	{ "ffdhe3072", 1u << VIO_NVME_FFDHE3072 }, { "ffdhe4096", 1u << VIO_NVME_FFDHE4096 },
	{ "ffdhe6144", 1u << VIO_NVME_FFDHE6144 }, { "ffdhe8192", 1u << VIO_NVME_FFDHE8192 },
};

/* Once: that one alone; several times: any of them. */
static const char *keys_option(struct vio_nvme_host_opts *o, const char *word)
{
	if (!strncmp(word, "hash=", 5))
		for (size_t i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++)
			if (!strcmp(word + 5, hashes[i].word)) {
				o->hashes |= hashes[i].bit;
				return NULL;
			}
	if (!strncmp(word, "dh=", 3))
		for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
			if (!strcmp(word + 3, groups[i].word)) {
				o->dh_groups |= groups[i].bit;
				return NULL;
			}
	return KEYS_EXPECTED;
}

/* Cuts the line in place. NULL, or what is wrong. */
static const char *keys_line(const struct target *t, char *line)
{
	VIO_OPTS(vio_nvme_host_opts, o, 0);
	const char *host, *wrong = NULL;
	char *word, *rest = line;

	line[strcspn(line, "#\n")] = 0;
	host = strtok_r(rest, " \t\r", &rest);
	if (!host)
		return NULL;
	o.secret = strtok_r(NULL, " \t\r", &rest);
	while (!wrong && (word = strtok_r(NULL, " \t\r", &rest))) {
		if (!o.ctrl_secret && !strncmp(word, "DHHC-", 5))
			o.ctrl_secret = word;
		else
			wrong = keys_option(&o, word);
	}
	if (wrong || !o.secret)
		return KEYS_EXPECTED;
	return vio_nvme_allow(t->subsystem, host, &o) ? vio_errmsg() : NULL;
}

static const char *keys_check(FILE *f)
{
	struct stat st;

	if (fstat(fileno(f), &st))
		return strerror(errno);
	return st.st_mode & (S_IRWXG | S_IRWXO) ? "others may read or write it; chmod 600 it" : NULL;
}

const char *keys_read(const struct target *t)
{
	static char why[700];
	FILE *f = fopen(t->keyfile, "re");
	const char *wrong = f ? keys_check(f) : strerror(errno);
	char *line = NULL;
	size_t size = 0;
	unsigned n = 0;

	if (f)
		setvbuf(f, NULL, _IONBF, 0); /* no copy that is not wiped */
	while (!wrong && getline(&line, &size, f) >= 0) {
		n++;
		wrong = keys_line(t, line);
		explicit_bzero(line, size);
	}
	if (wrong && n)
		snprintf(why, sizeof(why), "%s, line %u: %s", t->keyfile, n, wrong);
	else if (wrong)
		snprintf(why, sizeof(why), "%s: %s", t->keyfile, wrong);
	free(line);
	if (f)
		fclose(f);
	return wrong ? why : NULL;
}

int keys_open(const struct target *t)
{
	const char *wrong = t->keyfile ? keys_read(t) : NULL;

	if (wrong)
		fprintf(stderr, "nvme-target: --dhchap-keyfile %s\n", wrong);
	return wrong ? -1 : 0;
}
