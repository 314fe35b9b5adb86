/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program's processes and threads, and their groups. */
#ifndef VLENS_REDIRECT_TASKS_H
#define VLENS_REDIRECT_TASKS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../error.h"

struct vl_link;
struct vl_program;
struct vl_redirect;
struct vl_trap;

/* The program's processes and threads. */

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
	char *words;			  /* its arguments (unshown.c), or NULL */
	size_t words_len;
	bool words_read;
	struct {
		char name[64], dir[64]; /* of the last command that it looked for */
		bool again;		/* it looked in more than one folder */
	} look;
};

struct vl_task *vl_task_find(struct vl_redirect *r, pid_t tid);
struct vl_task *vl_task_add(struct vl_redirect *r, pid_t tid, pid_t tgid, pid_t parent);
void vl_task_remove(struct vl_redirect *r, pid_t tid);
/* The task executes another program: forget its arguments. */
void vl_task_forget_words(struct vl_task *task);
/*
 * Has the terminal's stop signal reached this process as well as the program, which is stopped?
 * Then vl_tasks_stop() stops this process until both are continued.
 */
bool vl_tasks_must_stop(struct vl_redirect *r);
void vl_tasks_stop(struct vl_redirect *r);
/* Continue all processes of the program: one may have stopped without our notice yet. */
void vl_tasks_continue(struct vl_redirect *r);

/* Traces the program's tasks. */

/* Handle all stops, forks, execs and exits that wait. */
struct vl_error *vl_tasks_reap(struct vl_redirect *r);
/* Kill all tasks and wait until they are gone. */
void vl_tasks_kill(struct vl_redirect *r);

/* Process groups, and which of them has the terminal. */

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
