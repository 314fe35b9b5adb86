/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files that programs read and do not show. */
#ifndef VLENS_REDIRECT_UNSHOWN_H
#define VLENS_REDIRECT_UNSHOWN_H

#include <stdbool.h>

struct vl_trap;

/* unshown.c: does the program show nothing of file @path, although it reads it? */
bool vl_unshown(const struct vl_trap *t, const char *path);

#endif
