/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files for the program: the host's, and the guest's in one piece. */
#ifndef VLENS_REDIRECT_FILES_H
#define VLENS_REDIRECT_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"

struct vl_redirect;
struct vl_trap;
struct vl_where;

/* Files of the host: the supervisor opens, queries and changes them for the program. */

/* Open the host's file t->where, as open(2) with @flags and @mode. */
struct vl_error *vl_host_open(struct vl_trap *t, uint64_t flags, uint64_t mode);
/* Answer the trap, a query of the host's file t->where. */
void vl_host_query(struct vl_trap *t);
/* Is t->where a directory of the host? 0 or -errno. */
int vl_host_is_dir(struct vl_trap *t);

/*
 * locales.c: an archive of the locales that the program's environment names, if the host has
 * them as folders: a sealed memfd, the caller's to close, or -errno. ENOENT: there is none.
 */
int vl_locales_open(struct vl_redirect *r);

/* folder.c: open(t->where, flags, mode) for writing, or to create the file, in --host-files. */
void vl_folder_open(struct vl_trap *t, uint64_t flags, uint64_t mode);
/*
 * Make the trapped call, which changes t->where. @other, if not NULL, is the path that it moves
 * or links to t->where. Both are in the folder. 0 or -errno.
 */
int vl_folder_change(struct vl_trap *t, const struct vl_where *other);

/* Files and listings of the guest, read in one piece. */

/* A larger regular file is read piece by piece. */
#define VL_WHOLE_MAX (64u << 20)

struct vl_error *vl_read_whole(struct vl_redirect *r, int64_t fd, const char *path, bool once,
			       char **data, size_t *len, int64_t *err);
struct vl_error *vl_open_whole(struct vl_redirect *r, const char *path, int flags, bool once,
			       int64_t *fd, char **data, size_t *len, int64_t *err);
/* What a program gets after the last entry if vl_list_whole() ended with @err: 0 or -errno. */
int vl_listing_end(int64_t err);
struct vl_error *vl_list_whole(struct vl_trap *t, int64_t *fd, const char *path, char **data,
			       size_t *len, int64_t *err);

#endif
