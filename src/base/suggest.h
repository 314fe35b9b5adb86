/* SPDX-License-Identifier: GPL-2.0-or-later */
/* "Did you mean": the names nearest to one that does not exist. */
#ifndef VLENS_SUGGEST_H
#define VLENS_SUGGEST_H

#include <stddef.h>

#define VL_SUGGESTIONS 3

struct vl_suggest {
	const char *name; /* the name that does not exist */
	size_t len;
	const char *found[VL_SUGGESTIONS]; /* nearest first; NULL after the last */
	unsigned distance[VL_SUGGESTIONS];
};

void vl_suggest_init(struct vl_suggest *n, const char *name, size_t len);
/* Offer @candidate, which must outlive @n. */
void vl_suggest_try(struct vl_suggest *n, const char *candidate);
/* "did you mean a, b?", malloc'ed; NULL when nothing is near. */
char *vl_suggest_text(const struct vl_suggest *n);

#endif
