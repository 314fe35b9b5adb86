/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VLENS_BASE_APPEND_H
#define VLENS_BASE_APPEND_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Write behind the text in @buf (@size bytes, with a NUL among them), as much as there is room
 * for. False: not all of it.
 */
bool vl_append(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
