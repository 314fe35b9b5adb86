/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The trusted kernels of this host, in the directory of vl_trust_dir(), and behind it in that of
 * vl_trust_root_dir(). They are no secrets, so all users can read them. For each build id there is
 * the unpacked image with its index ("ID.kernel", index.h) and where it comes from ("ID.origin").
 * The modules of a release are in one pack ("RELEASE.modules", pack.h).
 */
#ifndef VLENS_TRUST_STORE_H
#define VLENS_TRUST_STORE_H

#include <time.h>

#include "image.h"

/* Limit of a file of the store, in bytes. */
#define VL_TRUST_STORED_MAX (640UL << 20)
/* The ends of the names of files. */
#define VL_TRUST_KERNEL ".kernel"
#define VL_TRUST_ORIGIN ".origin"
#define VL_TRUST_MODULES ".modules"

/*
 * Wait until no other process adds to the store @dir, and remove unfinished files of one that was
 * killed. Others wait until *@fd_ret is closed. (turn.c)
 */
struct vl_error *vl_trust_turn(const char *dir, int *fd_ret);

/* A stored kernel, or the modules of a release without a kernel. */
struct vl_trust_stored {
	char build_id[VL_BUILD_ID_MAX + 1]; /* "": no kernel */
	char release[128];		    /* as uname -r says it */
	time_t added;
	struct vl_trust_origin origin;
	char signer[128];	 /* of the kernel, or "" */
	size_t nr_modules;	 /* of its release */
	char module_signer[128]; /* of its first module, or "" */
	char fault[160];	 /* of vl_trust_list(): what is damaged, in words, or "" */
};

typedef struct vl_error *vl_trust_stored_fn(void *ctx, const struct vl_trust_stored *s);

/*
 * Store each kernel and module in @path (vl_trust_each_file()). A stored one with the same build id
 * is replaced. @fn is called for each stored kernel, and for the modules of a release without one.
 */
struct vl_error *vl_trust_add(const char *path, vl_trust_stored_fn *fn, void *ctx);

/*
 * The error for a guest whose kernel is not stored, with what to add. @build_id and @release are
 * the guest's words; "": it has none. VL_ERR_ARG, with ENOENT.
 */
struct vl_error *vl_trust_absent(const char *build_id, const char *release)
	__attribute__((returns_nonnull));

/*
 * Is the stored kernel of @build_id, the file @fd of @size bytes, undamaged? Its checksum is
 * compared when the file is used first, which takes some 20 ms. *@print_ret names the file: when it
 * changes, so does the number. 0: it has no checksum, as an older vlens has stored it. VL_ERR_ARG:
 * it is damaged. (stored.c)
 */
struct vl_error *vl_trust_stored_check(const char *build_id, int fd, size_t size,
				       uint64_t *print_ret);

/*
 * Write what is wrong with the stored kernel in file @path to @ret, @size bytes. It is left alone
 * if nothing is. All of the file is read, whatever earlier runs have found. (stored.c)
 */
void vl_trust_stored_state(const char *path, char *ret, size_t size);

/* The same of the modules in @pack, @len bytes: its index, and the bytes of each. */
void vl_trust_pack_state(const unsigned char *pack, size_t len, char *ret, size_t size);

/* Call @fn for each stored kernel, and for the modules of each release without one. */
struct vl_error *vl_trust_list(vl_trust_stored_fn *fn, void *ctx);

/*
 * Remove the kernels that @name is: a build id or at least 8 digits of its front, a release, or the
 * file or directory that they come from. The modules of a release go with its last kernel. @fn is
 * called for each. VL_ERR_ARG: there is none.
 */
struct vl_error *vl_trust_remove(const char *name, vl_trust_stored_fn *fn, void *ctx);

#endif
