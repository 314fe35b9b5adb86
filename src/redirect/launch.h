/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Takes over the program's first process. */
#ifndef VLENS_REDIRECT_LAUNCH_H
#define VLENS_REDIRECT_LAUNCH_H

#include "../error.h"

struct vl_redirect;

/*
 * Start the program, in three steps. @r->main is its first process, which waits at @sock
 * (child.h), and @r->filter is its filter. First: trace the process, and send it the filter.
 */
struct vl_error *vl_launch_begin(struct vl_redirect *r, int sock);
/* Second: fetch @r->listener, and let the process execute the program. */
struct vl_error *vl_launch(struct vl_redirect *r, int sock);
/*
 * Third: wait for its execve. After success the program has not run an instruction yet; on an
 * error *@status_ret is 127 (not found) or 126.
 */
struct vl_error *vl_launch_end(struct vl_redirect *r, int sock, int *status_ret);

#endif
