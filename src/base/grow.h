/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Arrays that get longer as they are filled. */
#ifndef VLENS_BASE_GROW_H
#define VLENS_BASE_GROW_H

#include <stdbool.h>
#include <stdlib.h>

/*
 * See that array @v, a pointer, has room for more than @nr elements: where it has not, it and its
 * @cap double, from @first. False: there is no memory, and both are as before. @v is NULL at
 * first or malloc'ed, and the caller's to free.
 */
#define vl_grow(v, cap, nr, first) \
	((nr) < (cap) || __extension__({ \
		 size_t cap_ = (cap) ? 2 * (cap) : (first); \
		 __typeof__(v) more_ = reallocarray((v), cap_, sizeof(*(v))); \
\
		 if (more_) { \
			 (v) = more_; \
			 (cap) = cap_; \
		 } \
		 more_ != NULL; \
	 }))

#endif
