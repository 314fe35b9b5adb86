/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The legal forms of a site. */
#ifndef VLENS_TRUST_FORMS_H
#define VLENS_TRUST_FORMS_H

#include "internal.h"
#include "tables.h"

enum vl_trust_form {
	VL_TRUST_ILLEGAL,
	VL_TRUST_LEGAL,
	VL_TRUST_ATTACHMENT,
	VL_TRUST_BREAK,	   /* as while the kernel changes the site: int3, or bytes that change */
	VL_TRUST_UPDATING, /* as while it changes all sites of its key */
};

struct vl_trust_context {
	const struct vl_trust *t;
	const struct vl_trust_memory *memory;
	/* The image's bytes around what is judged, moved: `own_len` bytes at offset `own_at`. */
	const unsigned char *own;
	size_t own_at, own_len;
};

/* Bytes of the image that are used at once, at most: the longest replacement. */
#define VL_TRUST_PIECE_MAX 256

/*
 * The @len bytes at offset @at of the image, where it is now. Bytes that are not among `own` are
 * copied to @buf. NULL: they are too many, or outside of the image.
 */
static inline const unsigned char *vl_trust_image_at(const struct vl_trust_context *l, size_t at,
						     size_t len,
						     unsigned char buf[VL_TRUST_PIECE_MAX])
{
	if (at >= l->own_at && at - l->own_at <= l->own_len && len <= l->own_len - (at - l->own_at))
		return l->own + (at - l->own_at);
	return len <= VL_TRUST_PIECE_MAX && vl_trust_has(l->t, at, len) ?
		       vl_trust_own(l->t, at, len, buf) :
		       NULL;
}

/*
 * Judge the guest's @code at @va, which has as many bytes as @site. An alternative is judged
 * together with all others at the same place; @site must be the longest of these.
 */
enum vl_trust_form vl_trust_form(const struct vl_trust_context *l, const struct vl_trust_site *site,
				 const unsigned char *code, uint64_t va);

#endif
