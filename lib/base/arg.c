/* SPDX-License-Identifier: MIT */
#include "base/arg.h"

#include <stdio.h>

static int arg_number(const char *what, const struct vio__arg *a, const char *value)
{
	static const char units[] = "KMGT";
	unsigned long long v;
	char *end;
	const char *unit;
	unsigned shift = 0;

	errno = 0;
	v = strtoull(value, &end, 0);
	if (a->kind == VIO__ARG_SIZE && *end && (unit = strchr(units, *end & ~0x20))) {
		shift = 10 * (unsigned)(unit - units + 1);
		end++;
	}
	if (end == value || *end || value[0] == '-' || errno || (shift && v >> (64 - shift)))
		return vio__fail(EINVAL, "%s: %s=%s is no %s", what, a->key, value,
				 a->kind == VIO__ARG_SIZE ? "size (a number, with K, M, G or T)" : "whole number");
	v <<= shift;
	if (v < a->min || (a->max && v > a->max))
		return vio__fail(EINVAL, "%s: %s=%s is out of range, expected %llu to %llu", what, a->key, value,
				 (unsigned long long)a->min, (unsigned long long)(a->max ? a->max : UINT64_MAX));
	*(uint64_t *)a->to = v;
	return 0;
}

static int arg_store(const char *what, const struct vio__arg *a, const char *value)
{
	switch (a->kind) {
	case VIO__ARG_TEXT:
		free(*(char **)a->to);
		*(char **)a->to = strdup(value);
		return *(char **)a->to ? 0 : vio__fail(ENOMEM, "%s: out of memory", what);
	case VIO__ARG_BOOL:
		if (strcmp(value, "on") && strcmp(value, "off"))
			return vio__fail(EINVAL, "%s: %s=%s, expected on or off", what, a->key, value);
		*(bool *)a->to = !strcmp(value, "on");
		return 0;
	default:
		return arg_number(what, a, value);
	}
}

static int arg_unknown(const char *what, const char *key, const struct vio__arg *args, unsigned n)
{
	char list[256] = "";
	size_t at = 0;

	for (unsigned i = 0; i < n; i++)
		if (args[i].key[0] && at < sizeof(list))
			at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s", at ? ", " : "", args[i].key);
	return vio__fail(EINVAL, "%s: unknown argument '%s'; there %s%s", what, key,
			 at ? "are: " : "are none", list);
}

static int arg_one(const char *what, const char *item, bool first, const struct vio__arg *args, unsigned n)
{
	const char *eq = strchr(item, '=');
	size_t len = eq ? (size_t)(eq - item) : 0;

	for (unsigned i = 0; eq && i < n; i++)
		if (args[i].key[0] && strlen(args[i].key) == len && !memcmp(args[i].key, item, len))
			return arg_store(what, &args[i], eq + 1);
	for (unsigned i = 0; first && i < n; i++)
		if (!args[i].key[0])
			return arg_store(what, &args[i], item);
	return arg_unknown(what, item, args, n);
}

/* Copies one item up to an unescaped comma; returns where the next begins, or NULL after the last. */
static const char *arg_split(const char *text, char *item)
{
	while (*text && *text != ',') {
		if (*text == '\\' && text[1])
			text++;
		*item++ = *text++;
	}
	*item = 0;
	return *text ? text + 1 : NULL;
}

static void arg_forget(const struct vio__arg *args, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (args[i].kind != VIO__ARG_TEXT)
			continue;
		free(*(char **)args[i].to);
		*(char **)args[i].to = NULL;
	}
}

int vio__args(const char *what, const char *text, const struct vio__arg *args, unsigned n)
{
	char *item;
	int rc = 0;

	if (!text || !*text)
		return 0;
	item = malloc(strlen(text) + 1);
	if (!item)
		return vio__fail(ENOMEM, "%s: out of memory", what);
	for (bool first = true; text && !rc; first = false) {
		text = arg_split(text, item);
		rc = arg_one(what, item, first, args, n);
	}
	free(item);
	if (rc)
		arg_forget(args, n);
	return rc;
}
