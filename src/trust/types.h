/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Types that were added for kernels whose memory has none, in the directory of vl_types_dir(), and
 * behind it in that of vl_types_root_dir(): "BUILD-ID.types" is BTF, or a text of offsets
 * (vl_layout_print()). All users can read them. kernel/maker.c uses them.
 */
#ifndef VLENS_TRUST_TYPES_H
#define VLENS_TRUST_TYPES_H

#include <time.h>

#include "../host/kept.h"

struct vl_types_stored {
	char build_id[VL_BUILD_ID_MAX + 1];
	const char *form; /* "BTF" or "offsets"; static */
	uint64_t size;	  /* in bytes */
	time_t added;
};

typedef struct vl_error *vl_types_stored_fn(void *ctx, const struct vl_types_stored *s);

/*
 * Store the types of each kernel in @path: a vmlinux, a vmlinuz, a package or a directory of these
 * (vl_trust_each()), or a file that is BTF alone, of the kernel @build_id. Else @build_id (may be
 * NULL) must be the kernel's own. It replaces those with the same build id. @fn is called for each.
 * VL_ERR_ARG: there are no types, or they are damaged, or of another build.
 */
struct vl_error *vl_types_add(const char *path, const char *build_id, vl_types_stored_fn *fn,
			      void *ctx);

/* Call @fn for each kernel whose types are stored. */
struct vl_error *vl_types_list(vl_types_stored_fn *fn, void *ctx);

/*
 * Remove the types whose build id begins with @name, of at least 8 digits, from our own directory.
 * @fn is called for each. VL_ERR_ARG: there are none.
 */
struct vl_error *vl_types_remove(const char *name, vl_types_stored_fn *fn, void *ctx);

#endif
