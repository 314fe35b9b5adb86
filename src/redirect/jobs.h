/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Process groups, and which of them has the terminal. */
#ifndef VLENS_REDIRECT_JOBS_H
#define VLENS_REDIRECT_JOBS_H

#include <stdbool.h>
#include <sys/types.h>

struct vl_link;
struct vl_redirect;
struct vl_task;
struct vl_trap;

/* Is @pgid a process group of the program, or the tool's? */
bool vl_group_is_ours(struct vl_redirect *r, pid_t pgid);
/*
 * The controlling terminal of the task; 0: it has none. *@foreground_ret, unless NULL, is the
 * process group that has it.
 */
dev_t vl_controlling(const struct vl_trap *t, pid_t *foreground_ret);
/* Handle message @word of the process that forked the program. */
void vl_link_word(struct vl_redirect *r, const struct vl_link *word);
/* The program has ended: give a terminal that one of its groups has to the tool's group. */
void vl_jobs_end(struct vl_redirect *r);
/* Check the call that the filter stopped @tid at. Returns the ptrace request to go on with. */
int vl_group_call(struct vl_redirect *r, pid_t tid);
/* @task stopped at the return of such a call. */
void vl_group_return(const struct vl_task *task);

#endif
