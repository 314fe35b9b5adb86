/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "append.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool vl_append(char *buf, size_t size, const char *fmt, ...)
{
	size_t used = strlen(buf);
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf + used, size - used, fmt, ap);
	va_end(ap);
	return n >= 0 && (size_t)n < size - used;
}
