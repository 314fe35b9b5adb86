/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program's tasks are traced. */
#ifndef VLENS_REDIRECT_TRACE_H
#define VLENS_REDIRECT_TRACE_H

#include "../error.h"

struct vl_redirect;

/* Take up all that waits: stops, forks, execs, exits. */
struct vl_error *vl_tasks_reap(struct vl_redirect *r);
/* End them all and wait until they are gone. */
void vl_tasks_kill(struct vl_redirect *r);

#endif
