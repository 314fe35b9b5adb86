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

bool vl_append_hex(char *buf, size_t size, const void *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *b = bytes;
	size_t used = strlen(buf), room = (size - used - 1) / 2;

	for (size_t i = 0; i < len && i < room; i++) {
		buf[used++] = digits[b[i] >> 4];
		buf[used++] = digits[b[i] & 15];
	}
	buf[used] = '\0';
	return len <= room;
}
