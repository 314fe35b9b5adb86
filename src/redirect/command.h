/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands of PATH. */
#ifndef VLENS_REDIRECT_COMMAND_H
#define VLENS_REDIRECT_COMMAND_H

#include <stddef.h>

struct vl_redirect;
struct vl_trap;

/* Where there is none: as execvp(3) looks. */
#define VL_PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

enum vl_look {
	LOOK_NONE,   /* for no command */
	LOOK_HOST,   /* for one of the host */
	LOOK_NOBODY, /* for one of the host, where only the guest is asked about */
	LOOK_SEARCH, /* perhaps, of a script: one that the guest has, but for an answer */
	LOOK_TYPED,  /* perhaps, of an interactive shell: one of either */
};

/* @path is what the program wrote if that is absolute, @norm where it leads. */
enum vl_look vl_command_look(struct vl_trap *t, const char *path, const char *norm);
size_t vl_command_folder(const struct vl_redirect *r, const char *norm);
/* "PATH=…" for the program; malloc'ed, NULL: without memory. */
char *vl_command_path(const char *path);

#endif
