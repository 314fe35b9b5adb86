/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The standard input, output and error that the caller gave the program. */
#ifndef VLENS_REDIRECT_GIVEN_H
#define VLENS_REDIRECT_GIVEN_H

#include <stdbool.h>
#include <sys/stat.h>

struct vl_redirect;

/* Record the program's standard descriptors, before it starts. */
void vl_given_init(struct vl_redirect *r);
/* Is @st the stat of a file that the caller gave? */
bool vl_given(const struct vl_redirect *r, const struct stat *st);

#endif
