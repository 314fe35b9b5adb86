/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What of the host's files is the program's own; paths are normalised. */
#ifndef VLENS_REDIRECT_OWN_H
#define VLENS_REDIRECT_OWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "../error.h"

struct vl_redirect;
struct vl_trap;

/* From its executable and environment. */
struct vl_error *vl_own_init(struct vl_redirect *r);
/* Note where the program is started. */
void vl_own_start(struct vl_redirect *r);
void vl_own_deinit(struct vl_redirect *r);
/* One more executable: a child's. */
void vl_own_exe(struct vl_redirect *r, const char *exe);
/* Task @tid has executed @exe: is it one that was looked at, and not another by a race? */
bool vl_own_approved(const struct vl_redirect *r, pid_t tid);
/* File @path, opened as @fd, is executed: a script is opened by that name again. */
void vl_own_script(struct vl_redirect *r, const char *path, int fd);
bool vl_own_folder(const struct vl_redirect *r, const char *norm);
bool vl_own_library(struct vl_trap *t, const char *norm);
bool vl_own_library_file(int fd, const char *norm, const struct stat *st);
bool vl_own_file(struct vl_trap *t, const char *norm);
bool vl_own_executable(const struct vl_redirect *r, const char *norm);
size_t vl_own_terminfo(const struct vl_redirect *r, const char *norm);
/* So many bytes of @norm name the place of the host that it is in; 0: it is in none. */
size_t vl_own_root(struct vl_trap *t, const char *norm);
/* Directory @path, if it is open: the files there are opened below it; else -errno. */
int vl_own_place(const struct vl_redirect *r, const char *path);
/* Keep it open, @fd, which is taken over: @fd or -errno. Of some the oldest is closed. */
int vl_own_keep_place(struct vl_redirect *r, const char *path, int fd);
/* The working directory of the trapping task, as the guest sees it: PATH_MAX bytes. */
void vl_cwd(struct vl_trap *t, char *ret);
bool vl_is_terminal(const struct stat *st);

#endif
