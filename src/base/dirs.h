/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The directories in which vlens keeps files, and locks between the tools of one user. */
#ifndef VLENS_DIRS_H
#define VLENS_DIRS_H

#include <stdbool.h>
#include <stddef.h>

#include "../error.h"

/*
 * The cache directory, made when missing: $VLENS_CACHE_DIR, else
 * /var/cache/vlens for root, else $XDG_CACHE_HOME/vlens or ~/.cache/vlens.
 * *@ret is malloc'ed.
 */
struct vl_error *vl_cache_dir(char **ret);

/*
 * The directory for files that are valid for one run of a guest, made when missing:
 * $VLENS_RUN_DIR, else /run/vlens for root, else $XDG_RUNTIME_DIR/vlens, else
 * /tmp/vlens-UID. Mode 0700 and ours, or an error. *@ret is malloc'ed.
 */
struct vl_error *vl_run_dir(char **ret);

/*
 * The path of a file in that directory, malloc'ed; NULL when the directory cannot be had. For
 * callers that can do without the file.
 */
char *vl_run_path(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * The directory of trusted kernels, made when missing: $VLENS_TRUST_DIR, else
 * /var/lib/vlens/trusted for root, else $XDG_DATA_HOME/vlens/trusted or
 * ~/.local/share/vlens/trusted. Ours, or an error. *@ret is malloc'ed.
 */
struct vl_error *vl_trust_dir(char **ret);

/*
 * Root's directory of trusted kernels. Other users look there after their own. NULL: we are root,
 * the directory does not exist, $VLENS_TRUST_DIR names the only one, or a user other than root can
 * write to it.
 */
const char *vl_trust_root_dir(void);

/*
 * The same for the types of kernels, which users add: $VLENS_TYPES_DIR, else /var/lib/vlens/types
 * or $XDG_DATA_HOME/vlens/types or ~/.local/share/vlens/types.
 */
struct vl_error *vl_types_dir(char **ret);
const char *vl_types_root_dir(void);

/*
 * Open a file of these directories for reading. An error unless it is a regular file of at most
 * @max bytes, owned by us or by root, that no other user may write to. A link is not followed.
 */
struct vl_error *vl_file_open(const char *path, size_t max, int *fd_ret, size_t *size_ret);

/*
 * Write a whole file. A reader sees all of it, or the whole file before. A link at @path is
 * replaced; its destination stays as it is. A process that is ended meanwhile leaves no part of it,
 * where the file system has files without names.
 */
struct vl_error *vl_file_store(const char *path, const void *data, size_t size);
/* As vl_file_store(), but all users can read the file. */
struct vl_error *vl_file_publish(const char *path, const void *data, size_t size);

/*
 * vl_file_store() in two steps: write the file beside @path, where no reader looks for it, and move
 * it to @path. *@ret is the path beside, malloc'ed; the caller removes that file if it does not
 * move it.
 */
struct vl_error *vl_file_prepare(const char *path, const void *data, size_t size, char **ret);
struct vl_error *vl_file_move(const char *from, const char *path);

/*
 * Open a file without a name in the directory @dir, for reading and writing. The kernel removes it
 * when this process ends, even by a kill. -1: errno says why; some file systems have no such files.
 */
int vl_file_unnamed(const char *dir);
/* Give that file the name @path; a file that has the name is replaced. False: errno says why. */
bool vl_file_name(int fd, const char *path);

/* Read @max bytes of @fd, or all until its end; *@ret is malloc'ed, a NUL behind it. */
struct vl_error *vl_file_slurp(int fd, size_t max, char **ret, size_t *size_ret);

/* Read a whole file, opened as above; *@ret is malloc'ed, a NUL behind it. */
struct vl_error *vl_file_load(const char *path, size_t max, char **ret, size_t *size_ret);

/* Locks between the tools of one user. Each is a file in the run directory. */

/*
 * Take the lock @name; wait @ms milliseconds at most. Returns a descriptor, open for reading and
 * writing. The lock is held until it is closed, by the kernel if we die. VL_LOCK_BUSY: other tools
 * held it for all of that time. VL_LOCK_NONE: there is no run directory, so no other tool holds the
 * lock.
 */
int vl_run_lock(unsigned int ms, const char *name);

#define VL_LOCK_BUSY (-1)
#define VL_LOCK_NONE (-2)

#endif
