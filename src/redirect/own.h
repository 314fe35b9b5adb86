/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's files that are the program's own, by the program that asks. All paths are normalised.
 */
#ifndef VLENS_REDIRECT_OWN_H
#define VLENS_REDIRECT_OWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "../error.h"
#include "redirect.h"

struct vl_redirect;
struct vl_task;
struct vl_trap;

/* The host's files that are the program's own. All paths are normalised. */

/* Collect them from the program's executable and environment. */
struct vl_error *vl_own_init(struct vl_redirect *r);
/* Note where the program is started. */
void vl_own_start(struct vl_redirect *r);
void vl_own_deinit(struct vl_redirect *r);
/* Add @exe, the executable of a child. */
void vl_own_exe(struct vl_redirect *r, const char *exe);
/* Was the file that task @tid executes approved? A race may have replaced it. */
bool vl_own_approved(const struct vl_redirect *r, pid_t tid);
/* Approve file @path, opened as @fd, for exec. A script's interpreter opens @path again. */
void vl_own_script(struct vl_redirect *r, const char *path, int fd);
bool vl_own_folder(const struct vl_redirect *r, const char *norm);
bool vl_own_library(struct vl_trap *t, const char *norm);
bool vl_own_library_file(int fd, const char *norm, const struct stat *st);
bool vl_own_file(struct vl_trap *t, const char *norm);
bool vl_own_executable(const struct vl_redirect *r, const char *norm);
size_t vl_own_terminfo(const struct vl_redirect *r, const char *norm);
/* The bytes of @norm that name the place of the host that it is in; 0: it is in none. */
size_t vl_own_root(struct vl_trap *t, const char *norm);
/* The open descriptor of directory @path, to open files below it; -ENOENT: there is none. */
int vl_own_place(const struct vl_redirect *r, const char *path);
/* Keep directory @path open as @fd, which is taken over: @fd or -errno. May close the oldest. */
int vl_own_keep_place(struct vl_redirect *r, const char *path, int fd);
/* The working directory of the trapping task, as the guest sees it: PATH_MAX bytes. */
void vl_cwd(struct vl_trap *t, char *ret);
bool vl_is_terminal(const struct stat *st);

/* One row per program with settings. */

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

/* Commands of PATH. */

/* The PATH of a program that has none; execvp(3) has a default, too. */
#define VL_PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

enum vl_lookup {
	LOOKUP_NONE,   /* no search for a command */
	LOOKUP_HOST,   /* a command of the host */
	LOOKUP_NOBODY, /* the same by which(1), which counts only the guest's */
	LOOKUP_SEARCH, /* a script's search: the guest's; without an answer the host's */
	LOOKUP_TYPED,  /* an interactive shell's search: a command of either */
};

/*
 * The kind of command that the call looks for. @path is the path as the program wrote it, "" if
 * that is not absolute; @norm is the path that it leads to.
 */
enum vl_lookup vl_command_lookup(struct vl_trap *t, const char *path, const char *norm);
/* The length of the folder of PATH that file @norm is in, or 0. */
size_t vl_command_folder(const struct vl_redirect *r, const char *norm);
/* "PATH=…" with the marked folders in front; malloc'ed, NULL: out of memory. */
char *vl_command_path(const char *path);

/* Files that programs open and do not show. */

/* unshown.c: does the program show nothing of file @path, although it opens it? */
bool vl_unshown(const struct vl_trap *t, const char *path);

#endif
