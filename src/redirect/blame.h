/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the program asked and was not told, or cannot have. */
#ifndef VLENS_REDIRECT_BLAME_H
#define VLENS_REDIRECT_BLAME_H

#include <stdbool.h>

#include "redirect.h"

struct vl_redirect;
struct vl_trap;

/* The guest gave no answer to @t, for good: count it, and note why. */
void vl_blame(struct vl_trap *t, const struct vl_error *err);
/*
 * Was @path on the guest's disk and not in its memory, when it was opened a moment ago? A program
 * that asks for it again and again (lsof, for each user's name) has its answer then.
 */
bool vl_absent(const struct vl_redirect *r, const char *path);
/* The program cannot have @what, of that kind. */
void vl_refused(struct vl_trap *t, enum vl_redirect_refused kind, const char *what);
/* The program cannot write t->where: that counts if it asks for nothing of the guest after it. */
void vl_refused_write(struct vl_trap *t);
/* It went on. */
void vl_refused_end(struct vl_redirect *r);

#endif
