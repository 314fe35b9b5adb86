/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands of PATH. */
#ifndef VLENS_REDIRECT_COMMAND_H
#define VLENS_REDIRECT_COMMAND_H

#include <stddef.h>

struct vl_redirect;
struct vl_trap;

/* The PATH of a program that has none; execvp(3) has a default, too. */
#define VL_PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

enum vl_look {
	LOOK_NONE,   /* no search for a command */
	LOOK_HOST,   /* a command of the host */
	LOOK_NOBODY, /* the same by which(1), which counts only the guest's */
	LOOK_SEARCH, /* a script's search: the guest's; without an answer the host's */
	LOOK_TYPED,  /* an interactive shell's search: a command of either */
};

/*
 * What does the call look for? @path is the path as the program wrote it, "" if that is not
 * absolute; @norm is the path that it leads to.
 */
enum vl_look vl_command_look(struct vl_trap *t, const char *path, const char *norm);
/* The length of the folder of PATH that file @norm is in, or 0. */
size_t vl_command_folder(const struct vl_redirect *r, const char *norm);
/* "PATH=…" with the marked folders in front; malloc'ed, NULL: out of memory. */
char *vl_command_path(const char *path);

#endif
