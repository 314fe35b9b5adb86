/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One row per program with settings. */
#ifndef VLENS_REDIRECT_PROGRAMS_H
#define VLENS_REDIRECT_PROGRAMS_H

#include <stdbool.h>
#include <stddef.h>

#include "redirect.h"

struct vl_redirect;
struct vl_task;

struct vl_program {
	const char *names; /* of executables, separated by blanks */
	const char *paths; /* the host's for this program, separated by blanks */
	bool commands;	   /* it looks for commands before it runs them */
	bool shell;	   /* its settings count only if it is interactive */
	const char *note;
};

/* The bytes of @norm that name something of @task's program; 0: it is not the program's. */
size_t vl_program_file(const struct vl_redirect *r, const struct vl_task *task, const char *norm);
/* @task has become the program with the executable @exe. */
void vl_program_begins(struct vl_task *task, const char *exe);
/* Why program @path is not run: it shows this host whatever the guest answers. */
enum vl_redirect_refused vl_program_foreign(const char *path);
/* Does @name match one of @names, patterns that are separated by blanks? */
bool vl_program_among(const char *names, const char *name);

#endif
