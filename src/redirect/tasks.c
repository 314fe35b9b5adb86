/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of the program's processes and threads; trace.c keeps it up to date. */
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "tasks.h"
#include "trap.h"

/* The record of thread @tid, or NULL when it is none of ours. */
struct vl_task *vl_task_find(struct vl_redirect *r, pid_t tid)
{
	for (size_t i = 0; i < r->nr_tasks; i++)
		if (r->tasks[i].tid == tid)
			return &r->tasks[i];
	return NULL;
}

/* Add a task; it starts with the guest cwd of its creator. NULL: no memory. */
struct vl_task *vl_task_add(struct vl_redirect *r, pid_t tid, pid_t tgid, pid_t parent)
{
	struct vl_task *t = vl_task_find(r, tid), *from;

	if (t)
		return t;
	if (!vl_grow(r->tasks, r->max_tasks, r->nr_tasks, 16))
		return NULL;
	t = &r->tasks[r->nr_tasks++];
	*t = (struct vl_task){ .tid = tid, .tgid = tgid, .parent = parent };
	from = vl_task_find(r, parent);
	if (from) { /* a copy, until it executes something */
		t->cwd = from->cwd ? strdup(from->cwd) : NULL;
		t->loader = from->loader;
		t->loader_end = from->loader_end;
		t->loader_libc = from->loader_libc;
		t->program = from->program;
		t->interactive = from->interactive;
		memcpy(t->name, from->name, sizeof(t->name));
	}
	r->tasks_changed = true;
	return t;
}

/* Forget task @tid. */
void vl_task_remove(struct vl_redirect *r, pid_t tid)
{
	struct vl_task *t = vl_task_find(r, tid);

	if (!t)
		return;
	free(t->cwd);
	free(t->words);
	*t = r->tasks[--r->nr_tasks];
	r->tasks_changed = true;
}

void vl_task_forget_words(struct vl_task *task)
{
	free(task->words);
	task->words = NULL;
	task->words_len = 0;
	task->words_read = false;
}

void vl_tasks_continue(struct vl_redirect *r)
{
	for (size_t i = 0; i < r->nr_tasks; i++)
		kill(r->tasks[i].tgid, SIGCONT);
}
