/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VLENS_BASE_APPEND_H
#define VLENS_BASE_APPEND_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Append to the text in @buf, which ends in a NUL and has @size bytes in all. False: the result
 * is cut off.
 */
bool vl_append(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The same for @len bytes at @bytes, as two digits of hexadecimal each. */
bool vl_append_hex(char *buf, size_t size, const void *bytes, size_t len);

#endif
