/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files that are kept: their kinds, and the removal of stale ones. */
#ifndef VLENS_KEPT_H
#define VLENS_KEPT_H

#include <time.h>

#include "target.h"

/*
 * The kinds of files that are kept. A worker without rights (proxy.h) asks its broker for a file
 * by its kind; it cannot name a path.
 */

enum vl_kept {
	VL_KEPT_ATTACH,	 /* of a guest's run: where its kernel is (attach/attach.h) */
	VL_KEPT_REFUSAL, /* of a guest's run: why its kernel is not understood (attach/refusal.h) */
	VL_KEPT_KERNEL,	 /* of the cache: a kernel's symbols and fields (kernel/kernel.h) */
	VL_KEPT_BTF,	 /* of the cache: its types */
	VL_KEPT_TRUSTED, /* of the trusted kernels, by build id: an image (trust/store.h) */
	VL_KEPT_MODULES, /* of the trusted kernels, by release: the modules (trust/pack.h) */
	VL_KEPT_TYPES,	 /* of added types, by build id: BTF or offsets (kernel/types.h) */
	VL_NR_KEPT,
};

/* A kernel's key: a SHA-256 in hexadecimal. */
#define VL_KEY_MAX 64

/* Is @key a kernel's key, in lower case? Reads VL_KEY_MAX + 1 bytes at most. */
bool vl_is_key(const char *key);

/* The most digits of a kernel's build id. */
#define VL_BUILD_ID_MAX 64

/* Is @key the build id of a kernel, in lower case? */
bool vl_is_build_id(const char *key);

/*
 * Is @release a kernel's release (uname -r) of at most VL_KEY_MAX characters that can be part of
 * a file's name?
 */
bool vl_is_release(const char *release);

/*
 * Open a file for reading: of @t's run (@key is NULL), or of another directory by @key.
 * vl_file_open() checks it, with the size limit of its kind. The content may come from a guest, so
 * it is hostile. @t may be NULL for files that are not of a run, in a process with rights.
 */
struct vl_error *vl_kept_open(struct vl_target *t, enum vl_kept kind, const char *key, int *fd_ret,
			      size_t *size_ret);

/* Open a file as above and read all of it; *@ret is malloc'ed and ends in a NUL. */
struct vl_error *vl_kept_load(struct vl_target *t, enum vl_kept kind, const char *key, char **ret,
			      size_t *size_ret);

/*
 * Write a whole file. A process without rights can write files of the run only: a worker that
 * was taken over by its guest must not change the cache, which is for all guests.
 */
struct vl_error *vl_kept_store(struct vl_target *t, enum vl_kept kind, const char *key,
			       const void *data, size_t size);

/*
 * If several tools need a first attach to a run, one of them makes it. Wait @wait_ns at most for
 * our turn, which lasts until vl_kept_end_turn(). True: the attach on file was stored at @since or
 * later, by the file system's clock (CLOCK_REALTIME_COARSE): another tool has made it. After the
 * timeout the caller may go on without a turn.
 */
bool vl_kept_turn(struct vl_target *t, const struct timespec *since, uint64_t wait_ns);
void vl_kept_end_turn(struct vl_target *t);

/* Removal of stale files in the run and cache directories, by any tool. */

/*
 * Remove the files of guests and keepers that have ended from the run directory. A lock's file is
 * removed only while we hold the lock. A tool that waits for it then finds that its file has no
 * name any more, and takes the lock in a new file.
 */
void vl_tidy_run(void);

/*
 * Keep the cache directory below 512 MiB, some thirty kernels: remove the least recently used
 * kernels, but never @key.
 */
void vl_tidy_cache(const char *key);

#endif
