/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host's files that are the program's own. All paths are normalised. */
#ifndef VLENS_REDIRECT_OWN_H
#define VLENS_REDIRECT_OWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "../error.h"

struct vl_redirect;
struct vl_trap;

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

#endif
