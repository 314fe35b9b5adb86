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
	const char *names; /* of executables, parted by blanks */
	const char *paths; /* that are the host's for it, parted by blanks */
	bool commands;	   /* it looks for commands before it runs them */
	bool shell;	   /* and has settings only when it is interactive */
	const char *note;
};

/* So many bytes of @norm are the root of something that is @task's program's; or 0. */
size_t vl_program_file(const struct vl_redirect *r, const struct vl_task *task, const char *norm);
/* @task has become the program with the executable @exe. */
void vl_program_begins(struct vl_task *task, const char *exe);
/* Is what the program @path shows not of the guest, whatever that answers? Why it is not run. */
enum vl_redirect_refused vl_program_foreign(const char *path);
/* Is @name one of @names, which are patterns, parted by blanks? */
bool vl_program_among(const char *names, const char *name);

#endif
