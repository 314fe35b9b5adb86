/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Arrays: the number of elements, and room for more. */
#ifndef VLENS_BASE_ARRAY_H
#define VLENS_BASE_ARRAY_H

#include <stdbool.h>
#include <stdlib.h>

/* How many elements the array @a has; gcc's -Wsizeof-pointer-div refuses a pointer. */
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/*
 * Make room for more than @nr elements in array @v, a pointer that is NULL or malloc'ed and that
 * the caller frees. A full array doubles, with its capacity @cap; the first capacity is @first.
 * False: out of memory, @v and @cap are unchanged.
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
