/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Paths as text: nothing is looked up. */
#ifndef VLENS_REDIRECT_PATHNAME_H
#define VLENS_REDIRECT_PATHNAME_H

#include <stddef.h>

/* Take ".", ".." and "//" out of @path, in place, without following links. */
void vl_path_normalise(char *path);
/*
 * How many bytes of @path @pattern matches, in which '*' is any part of one component,
 * so that the rest is below it; 0: it does not.
 */
size_t vl_path_below(const char *path, const char *pattern);

#endif
