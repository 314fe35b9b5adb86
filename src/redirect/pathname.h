/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Paths as text: nothing is looked up. */
#ifndef VLENS_REDIRECT_PATHNAME_H
#define VLENS_REDIRECT_PATHNAME_H

#include <limits.h>
#include <stddef.h>

/* Copy @path, of which PATH_MAX - 1 bytes count. */
void vl_path_copy(char to[PATH_MAX], const char *path);
/* Take ".", ".." and "//" out of @path, in place, without following links. */
void vl_path_normalise(char *path);
/*
 * The bytes of @path that @pattern matches, so that the rest is below them; 0: no match.
 * A '*' matches the rest of one component.
 */
size_t vl_path_below(const char *path, const char *pattern);

#endif
