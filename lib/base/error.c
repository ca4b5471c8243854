/* SPDX-License-Identifier: MIT */
#include "base/base.h"

#include <stdarg.h>
#include <stdio.h>

#define STR_(x) #x
#define STR(x) STR_(x)

static _Thread_local char error_text[512];

int vio__fail(int err, const char *fmt, ...)
{
	va_list ap;
	char text[sizeof(error_text)];

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap); /* not in place: an argument may be vio_errmsg() itself */
	va_end(ap);
	memcpy(error_text, text, sizeof(text));
	return -err;
}

const char *vio_errmsg(void)
{
	return error_text;
}

const char *vio_version(void)
{
	return STR(VIO_VERSION_MAJOR) "." STR(VIO_VERSION_MINOR) "." STR(VIO_VERSION_PATCH);
}
