/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Search in sorted arrays. */
#ifndef VLENS_BASE_BISECT_H
#define VLENS_BASE_BISECT_H

#include <stddef.h>

/*
 * The first index @i from 0 on for which @before is false; @nr if there is none. @before is an
 * expression in @i that is true for all indexes up to some place and false from there on.
 */
#define vl_bisect(i, nr, before) \
	__extension__({ \
		size_t lo_ = 0, hi_ = (nr); \
\
		while (lo_ < hi_) { \
			const size_t i = lo_ + (hi_ - lo_) / 2; \
\
			if (before) \
				lo_ = i + 1; \
			else \
				hi_ = i; \
		} \
		lo_; \
	})

#endif
