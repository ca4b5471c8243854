/* SPDX-License-Identifier: MIT */
/* The argument text of a backend or a device: "first,key=value,key=value". */
#ifndef VIO_BASE_ARG_H
#define VIO_BASE_ARG_H

#include "base/base.h"

enum vio__arg_kind {
	VIO__ARG_TEXT,	/* char ** : a copy, for the receiver to free */
	VIO__ARG_NUM,	/* uint64_t *: a whole number, min..max */
	VIO__ARG_SIZE,	/* uint64_t *: a number of bytes, suffix K M G T (1024s), min..max */
	VIO__ARG_BOOL,	/* bool *: on or off */
};

struct vio__arg {
	const char *key;	/* "": the value without a key, in first place */
	enum vio__arg_kind kind;
	void *to;		/* left as it is when the text does not name it */
	uint64_t min, max;	/* max 0: no limit */
};

/*
 * Reads text into the table's targets. A backslash takes the next character as it
 * is. -EINVAL names the key, what it got and what it expects; an unknown key's error
 * lists those that exist. On failure every text already stored is freed and NULL.
 */
int vio__args(const char *what, const char *text, const struct vio__arg *args, unsigned n);

#endif
