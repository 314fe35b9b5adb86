/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Takes over the program's first process. */
#ifndef VLENS_REDIRECT_LAUNCH_H
#define VLENS_REDIRECT_LAUNCH_H

#include "../error.h"

struct vl_redirect;

/*
 * Let the program begin, in three steps. @r->main is its first process, which waits at @sock
 * (see child.h), and @r->filter is what it is to be put under. First: trace it, and tell it
 * to confine itself.
 */
struct vl_error *vl_launch_begin(struct vl_redirect *r, int sock);
/* Fetch @r->listener, and let the process execute the program. */
struct vl_error *vl_launch(struct vl_redirect *r, int sock);
/* Wait until it does. On success it is about to run its first instruction. */
struct vl_error *vl_launch_end(struct vl_redirect *r, int sock, int *status_ret);

#endif
