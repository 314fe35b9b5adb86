/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Traces the program's tasks. */
#ifndef VLENS_REDIRECT_TRACE_H
#define VLENS_REDIRECT_TRACE_H

#include "../error.h"

struct vl_redirect;

/* Handle all stops, forks, execs and exits that wait. */
struct vl_error *vl_tasks_reap(struct vl_redirect *r);
/* Kill all tasks and wait until they are gone. */
void vl_tasks_kill(struct vl_redirect *r);

#endif
