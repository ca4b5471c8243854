/* SPDX-License-Identifier: MIT */
/* "vswitch ctl": one command to a running switch, and its answer. */
#include "vswitch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_S 60 /* a port may take a while to drain */

static const char usage[] = "usage: vswitch ctl [--control SOCKET] [--json] COMMAND\n\n";

static int complain(const char *path, const char *what)
{
	fprintf(stderr, "vswitch ctl: %s: %s\n", path, what);
	return -1;
}

static int dial(const char *path)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	struct timeval patience = { .tv_sec = PATIENCE_S };
	int fd;

	if (!*path || strlen(path) >= sizeof(name.sun_path))
		return complain(path, "a socket's path has 1 to 107 bytes");
	strcpy(name.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof(name)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience))) {
		complain(path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

/* The words as one line; the caller frees it. */
static char *join(int argc, char **argv, bool json)
{
	char *line = NULL;
	size_t len;
	FILE *to = open_memstream(&line, &len);

	if (!to)
		return NULL;
	fputs(json ? "json" : "", to);
	for (int i = 0; i < argc; i++)
		fprintf(to, "%s%s", i || json ? " " : "", argv[i]);
	fputc('\n', to);
	if (!fclose(to) && strchr(line, '\n') == line + len - 1)
		return line;
	free(line);
	return NULL;
}

/* "OK LENGTH" and so many bytes to stdout: 0. "ERR SENTENCE" to stderr: 1. */
static int print_answer(FILE *from, const char *path)
{
	char line[8192], *end;
	unsigned long left;

	if (!fgets(line, sizeof(line), from))
		return complain(path, "it does not answer");
	line[strcspn(line, "\n")] = 0;
	if (!strncmp(line, "ERR ", 4)) {
		fprintf(stderr, "vswitch ctl: %s\n", line + 4);
		return 1;
	}
	left = strncmp(line, "OK ", 3) ? 0 : strtoul(line + 3, &end, 10);
	if (strncmp(line, "OK ", 3) || *end)
		return complain(path, "it is no switch that answers");
	while (left) {
		size_t got = fread(line, 1, left < sizeof(line) ? left : sizeof(line), from);

		if (!got)
			return complain(path, "the answer is cut off");
		fwrite(line, 1, got, stdout);
		left -= got;
	}
	return fflush(stdout) ? complain("stdout", strerror(errno)) : 0;
}

static int ask(const char *path, const char *line)
{
	int fd = dial(path), rc = -1;
	FILE *from;

	if (fd < 0)
		return 2;
	from = fdopen(fd, "r");
	if (!from)
		close(fd);
	else if (send(fd, line, strlen(line), MSG_NOSIGNAL) != (ssize_t)strlen(line))
		complain(path, "it does not listen to the whole command");
	else
		rc = print_answer(from, path);
	if (from)
		fclose(from);
	return rc < 0 ? 2 : rc;
}

int ctl(int argc, char **argv)
{
	const char *path = DEFAULT_CONTROL;
	bool json = false;
	char *line;
	int i = 0, rc;

	for (; i < argc && !strncmp(argv[i], "--", 2); i++) {
		if (!strcmp(argv[i], "--json")) {
			json = true;
		} else if (!strcmp(argv[i], "--control") && i + 1 < argc) {
			path = argv[++i];
		} else if (!strncmp(argv[i], "--control=", 10)) {
			path = argv[i] + 10;
		} else {
			bool help = !strcmp(argv[i], "--help");

			fprintf(help ? stdout : stderr, "%s%s", usage, commands_help);
			return help ? 0 : 2;
		}
	}
	line = i < argc ? join(argc - i, argv + i, json) : NULL;
	if (!line) {
		fprintf(stderr, "%s%s", usage, commands_help);
		return 2;
	}
	rc = ask(path, line);
	free(line);
	return rc;
}
