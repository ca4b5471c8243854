/* SPDX-License-Identifier: MIT */
/* Where the target is, and who we say we are. */
#include "backend/nvme_tcp.h"

#include <netdb.h>
#include <stdio.h>
#include <sys/random.h>

/* "ADDR:PORT", "[ADDR]:PORT", or without a port: cut in place. */
static int path_cut(char *text, char **addr, const char **port)
{
	char *colon, *end = NULL;

	*addr = text;
	*port = "4420";
	if (*text == '[') {
		*addr = text + 1;
		end = strchr(text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return -EINVAL;
		colon = end[1] ? end + 1 : NULL;
		*end = 0;
	} else {
		colon = strchr(text, ':');
		if (colon && strchr(colon + 1, ':'))
			return -EINVAL; /* an IPv6 address without its brackets */
	}
	if (colon) {
		*colon = 0;
		*port = colon + 1;
	}
	return **addr && **port ? 0 : -EINVAL;
}

/* A name is looked up now, and not again. */
static int path_resolve(struct host_path *p, const char *addr, const char *port)
{
	struct addrinfo want = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *found;
	int rc = getaddrinfo(addr, port, &want, &found);

	if (rc)
		return vio__fail(rc == EAI_MEMORY ? ENOMEM : EINVAL, "nvme-tcp: %s: %s", p->name,
				 gai_strerror(rc));
	memcpy(&p->addr, found->ai_addr, found->ai_addrlen);
	p->len = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

static int path_add(struct host *h, const char *text)
{
	struct host_path *p = &h->path[h->npaths];
	char *copy, *addr;
	const char *port;
	int rc;

	if (h->npaths == HOST_PATHS)
		return vio__fail(EINVAL, "nvme-tcp: more than %u addresses", HOST_PATHS);
	p->rank = HOST_UNREACHED;
	p->name = strdup(text);
	copy = strdup(text);
	h->npaths++;
	if (!p->name || !copy)
		rc = vio__fail(ENOMEM, "nvme-tcp: out of memory");
	else if (path_cut(copy, &addr, &port))
		rc = vio__fail(EINVAL, "nvme-tcp: '%s', expected ADDR:PORT, an IPv6 ADDR in brackets", text);
	else
		rc = path_resolve(p, addr, port);
	free(copy);
	return rc;
}

int vio__host_paths(struct host *h, const char *text)
{
	char *copy = strdup(text), *at = copy, *one;
	int rc = copy ? 0 : vio__fail(ENOMEM, "nvme-tcp: out of memory");

	while (!rc && (one = strsep(&at, "+")))
		rc = path_add(h, one);
	free(copy);
	return rc;
}

void vio__host_paths_free(struct host *h)
{
	for (unsigned i = 0; i < h->npaths; i++)
		free(h->path[i].name);
	h->npaths = 0;
}

int vio__host_uuid(const char *text, uint8_t id[16])
{
	unsigned n = 0;

	for (const char *p = text; *p; p++) {
		unsigned digit = *p >= '0' && *p <= '9' ? (unsigned)(*p - '0') : (*p | 32u) - 'a' + 10u;

		if (*p == '-' && (n == 8 || n == 12 || n == 16 || n == 20) && p[1] != '-')
			continue;
		if (digit > 15 || n == 32)
			return -EINVAL;
		id[n / 2] = (uint8_t)(id[n / 2] << 4 | digit);
		n++;
	}
	return n == 32 ? 0 : -EINVAL;
}

int vio__host_new_uuid(uint8_t id[16], char text[37])
{
	if (getrandom(id, 16, 0) != 16)
		return vio__fail(errno, "nvme-tcp: no random bytes: %s", strerror(errno));
	id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
	id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
	snprintf(text, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", id[0],
		 id[1], id[2], id[3], id[4], id[5], id[6], id[7], id[8], id[9], id[10], id[11], id[12],
		 id[13], id[14], id[15]);
	return 0;
}
