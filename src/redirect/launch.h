/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Takes over the program's first process. */
#ifndef VLENS_REDIRECT_LAUNCH_H
#define VLENS_REDIRECT_LAUNCH_H

#include "../error.h"

struct vl_redirect;

/*
 * Let the program begin: @r->main is its first process, which waits at @sock (see
 * child.h), and @r->filter is what it is to be put under. On success it is
 * traced, about to run its first instruction, and @r->listener is set.
 */
struct vl_error *vl_launch(struct vl_redirect *r, int sock, int *status_ret);

#endif
