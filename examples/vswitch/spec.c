/* SPDX-License-Identifier: MIT */
/*
 * A port in words: "vhost-user:/run/a.sock,pairs=2,vlan=10". What leads somewhere comes first;
 * keys of the port are taken out, the others are left for the device or the backend, which know
 * them. A backslash takes the next character as it is.
 */
#include "vswitch.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define VHOST_USER "vhost-user:"

bool name_is_good(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("._-:@", name[i]))
			return false;
	return len && len < NAME_SIZE;
}

static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (*text == '\\' && text[1])
			text++;
		*to++ = *text;
	}
	*to = 0;
}

/* The text up to the next comma that no backslash precedes; *at moves behind that comma, or becomes NULL. */
static char *next_item(char **at)
{
	char *item = *at, *c = item;

	while (*c && *c != ',')
		c += *c == '\\' && c[1] ? 2 : 1;
	*at = *c ? c + 1 : NULL;
	*c = 0;
	return item;
}

static int on_or_off(const char *key, const char *value, bool *to, char why[WHY_SIZE])
{
	if (strcmp(value, "on") && strcmp(value, "off"))
		return refuse(why, "%s=%s: expected on or off", key, value);
	*to = !strcmp(value, "on");
	return 1;
}

static int set_name(struct spec *spec, const char *value, char why[WHY_SIZE])
{
	if (!name_is_good(value))
		return refuse(why, "name=%s: expected 1 to %d letters, digits and . _ - : @", value,
			      NAME_SIZE - 1);
	snprintf(spec->name, sizeof(spec->name), "%s", value);
	return 1;
}

/* 1: a key of ours; 0: somebody else's; -1. */
static int set_key(struct spec *spec, const char *key, const char *value, char why[WHY_SIZE])
{
	if (!strcmp(key, "name"))
		return set_name(spec, value, why);
	if (spec->socket && !strcmp(key, "client"))
		return on_or_off(key, value, &spec->client, why);
	if (spec->socket && !strcmp(key, "require-seals"))
		return on_or_off(key, value, &spec->require_seals, why);
	return policy_set(&spec->policy, key, value, why);
}

/* Keeps an item, or writes it to others'. */
static int read_item(struct spec *spec, const char *item, FILE *others, char why[WHY_SIZE])
{
	char *key = strdup(item), *value = key ? strchr(key, '=') : NULL;
	int rc = 0;

	if (value) {
		*value++ = 0;
		unescape(value);
		rc = set_key(spec, key, value, why);
	}
	if (!rc)
		fprintf(others, "%s%s", ftell(others) > 0 ? "," : "", item);
	free(key);
	return rc < 0 ? -1 : 0;
}

/* A port without a name has the last part of where it leads: "/run/vm1.sock" is vm1. */
static int name_by_place(struct spec *spec, char why[WHY_SIZE])
{
	const char *place = spec->socket ? spec->socket : strchr(spec->what, ':'), *slash, *dot;
	char name[NAME_SIZE];

	place = place ? place + (*place == ':') : spec->what;
	slash = strrchr(place, '/');
	place = slash ? slash + 1 : place;
	dot = strrchr(place, '.');
	if (!dot || dot == place || strcmp(dot, ".sock"))
		dot = place + strlen(place);
	snprintf(name, sizeof(name), "%.*s", (int)(dot - place), place);
	if (dot - place >= NAME_SIZE || !name_is_good(name))
		return refuse(why, "a port cannot be called '%s': give it a name=NAME", place);
	snprintf(spec->name, sizeof(spec->name), "%s", name);
	return 0;
}

static int read_place(struct spec *spec, const char *place, char why[WHY_SIZE])
{
	spec->what = strdup(place);
	if (!spec->what)
		return refuse(why, "out of memory");
	if (!*place || !strchr(place, ':'))
		return refuse(why, "'%s' leads nowhere: expected vhost-user:PATH, tap:NAME, ...", place);
	if (strncmp(place, VHOST_USER, strlen(VHOST_USER)))
		return 0;
	spec->socket = strdup(place + strlen(VHOST_USER));
	if (!spec->socket)
		return refuse(why, "out of memory");
	unescape(spec->socket);
	return *spec->socket ? 0 : refuse(why, "vhost-user: needs the path of a socket");
}

static int read_items(struct spec *spec, char *text, char why[WHY_SIZE])
{
	char *item = next_item(&text), **others;
	size_t len;
	FILE *to;
	int rc = read_place(spec, item, why);

	if (rc)
		return rc;
	others = spec->socket ? &spec->device : &spec->stack;
	to = open_memstream(others, &len);
	if (!to)
		return refuse(why, "out of memory");
	if (!spec->socket)
		fputs(item, to);
	while (!rc && text)
		rc = read_item(spec, next_item(&text), to, why);
	if (fclose(to) && !rc)
		rc = refuse(why, "out of memory");
	return rc || *spec->name ? rc : name_by_place(spec, why);
}

int spec_read(struct spec *spec, const char *text, char why[WHY_SIZE])
{
	char *copy = strdup(text);
	int rc;

	*spec = (struct spec){ 0 };
	policy_init(&spec->policy);
	rc = copy ? read_items(spec, copy, why) : refuse(why, "out of memory");
	free(copy);
	if (rc)
		spec_free(spec);
	return rc;
}

void spec_free(struct spec *spec)
{
	free(spec->what);
	free(spec->socket);
	free(spec->device);
	free(spec->stack);
	spec->what = spec->socket = spec->device = spec->stack = NULL;
}
