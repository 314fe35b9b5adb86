/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program's processes and threads. */
#ifndef VLENS_REDIRECT_TASKS_H
#define VLENS_REDIRECT_TASKS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct vl_program;
struct vl_redirect;

/*
 * A process of the program sees itself under its pid on the host plus PID_MAX_LIMIT
 * (linux/threads.h): no task of any guest has such a pid.
 */
#define VL_OWN_PID 4194304
static inline bool vl_pid_own(int64_t pid)
{
	return pid >= VL_OWN_PID;
}

struct vl_task {
	pid_t tid, tgid, parent;	  /* parent: tgid of the creator; 0: not ours */
	bool stopped;			  /* in a group stop */
	char *cwd;			  /* in the guest, or NULL: where the program began */
	uint64_t loader, loader_end;	  /* the code of its loader */
	bool loader_libc;		  /* the loader is its C library as well (musl) */
	const struct vl_program *program; /* its row of settings, or NULL */
	char name[32];			  /* of its executable, "" if that is longer */
	char called[16];		  /* the name it was executed under */
	bool interactive;		  /* a shell that takes a user's commands */
	bool asks;			  /* it looks for commands and runs none: which */
	struct {
		char name[64], dir[64]; /* of the last command that it looked for */
		bool again;		/* it looked in more than one folder */
	} look;
};

struct vl_task *vl_task_find(struct vl_redirect *r, pid_t tid);
struct vl_task *vl_task_add(struct vl_redirect *r, pid_t tid, pid_t tgid, pid_t parent);
void vl_task_remove(struct vl_redirect *r, pid_t tid);
/* Continue all processes of the program: one may have stopped without our notice yet. */
void vl_tasks_continue(struct vl_redirect *r);

#endif
