/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The trusted kernels of this host, in the directory of vl_trust_dir(): for each build id the
 * unpacked image ("ID.kernel") and where it comes from ("ID.origin").
 */
#ifndef VLENS_TRUST_STORE_H
#define VLENS_TRUST_STORE_H

#include <time.h>

#include "image.h"

/* A stored kernel. */
struct vl_trust_stored {
	char build_id[VL_BUILD_ID_MAX + 1];
	char release[128]; /* as uname -r says it */
	time_t added;
	struct vl_trust_origin origin;
};

typedef struct vl_error *vl_trust_stored_fn(void *ctx, const struct vl_trust_stored *s);

/*
 * Store each kernel in @path (vl_trust_each()). It replaces one with the same build id. @fn is
 * called for each stored kernel.
 */
struct vl_error *vl_trust_add(const char *path, vl_trust_stored_fn *fn, void *ctx);

/* Call @fn for each stored kernel. */
struct vl_error *vl_trust_list(vl_trust_stored_fn *fn, void *ctx);

#endif
