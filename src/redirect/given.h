/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Open files of the host. */
#ifndef VLENS_REDIRECT_GIVEN_H
#define VLENS_REDIRECT_GIVEN_H

#include <stdbool.h>
#include <sys/stat.h>

struct vl_redirect;

/* Note what the program is given: before it begins. */
void vl_given_init(struct vl_redirect *r);
/* Is the file with @st one that the caller gave? */
bool vl_given(const struct vl_redirect *r, const struct stat *st);

#endif
