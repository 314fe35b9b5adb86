/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files that are kept, by their kinds. Who has no rights (port.h) asks its broker for
 * them: it says which kind, and never a name of its own making.
 */
#ifndef VLENS_KEPT_H
#define VLENS_KEPT_H

#include <time.h>

#include "target.h"

enum vl_kept {
	VL_KEPT_CONTACT, /* of a guest's run: where its kernel is (attach/attach.h) */
	VL_KEPT_KERNEL,	 /* of the cache: a kernel's symbols and fields (kernel/kernel.h) */
	VL_KEPT_BTF,	 /* of the cache: its types */
	VL_NR_KEPT,
};

/* A kernel's key: a SHA-256 in hexadecimal. */
#define VL_KEY_MAX 64

/* Is @key one, in small letters? No more of it is read than one has. */
bool vl_is_key(const char *key);

/*
 * Open a file to read it: of @t's run (@key is NULL), or of the cache by @key. It is a
 * regular file of ours and of no more than its kind may have: vl_file_open(). Its content
 * may be a guest's, as far as it is about that guest. @t: NULL for the cache, with rights.
 */
struct vl_error *vl_kept_open(struct vl_target *t, enum vl_kept kind, const char *key, int *fd_ret,
			      size_t *size_ret);

/* Read a whole file, opened so; *@ret is malloc'ed, a NUL behind it. */
struct vl_error *vl_kept_load(struct vl_target *t, enum vl_kept kind, const char *key, char **ret,
			      size_t *size_ret);

/*
 * Write a whole file. Without rights it is only of the run: who was taken over by one guest
 * has nothing to say in the cache of all.
 */
struct vl_error *vl_kept_store(struct vl_target *t, enum vl_kept kind, const char *key,
			       const void *data, size_t size);

/*
 * Of several tools that need a first contact with a run, one makes it. Wait @wait_ns for our
 * turn at most, which lasts until vl_kept_end_turn(): true if the contact that is kept was
 * stored at @since or later, in the file system's clock (CLOCK_REALTIME_COARSE): another one
 * has made it. Whoever comes to no turn may go on without.
 */
bool vl_kept_turn(struct vl_target *t, const struct timespec *since, uint64_t wait_ns);
void vl_kept_end_turn(struct vl_target *t);

#endif
