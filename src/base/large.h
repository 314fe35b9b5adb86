/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory of megabytes that is all written at once: in huge pages, where the host has them. A
 * first attach otherwise takes a page fault for each of its 14,000 pages.
 */
#ifndef VLENS_BASE_LARGE_H
#define VLENS_BASE_LARGE_H

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define VL_LARGE_PAGE (2UL << 20)

/* As malloc(): the content is undefined, and free() releases it. */
static inline void *vl_large_alloc(size_t len)
{
	size_t whole = (len + VL_LARGE_PAGE - 1) & ~(VL_LARGE_PAGE - 1);
	void *p;

	/* Less than half of a page is not worth clearing a whole one. */
	if (len < VL_LARGE_PAGE / 2 || whole < len)
		return malloc(len);
	p = aligned_alloc(VL_LARGE_PAGE, whole);
	if (p)
		madvise(p, whole, MADV_HUGEPAGE);
	return p;
}

/*
 * Have all further small objects of this process in one heap of @len bytes in huge pages. For a
 * process that allocates much and ends soon.
 */
static inline void vl_large_heap(size_t len)
{
	uintptr_t from = ((uintptr_t)sbrk(0) + VL_LARGE_PAGE - 1) & ~(VL_LARGE_PAGE - 1);
	void *volatile first; /* else the compiler leaves the allocation out */

	/* The largest threshold that mallopt(3) takes: half of a heap of 64 MiB. */
	mallopt(M_MMAP_THRESHOLD, 32 << 20);
	mallopt(M_TOP_PAD, (int)len);
	first = malloc(VL_LARGE_PAGE);
	if ((uintptr_t)sbrk(0) > from)
		madvise((void *)from, (uintptr_t)sbrk(0) - from, MADV_HUGEPAGE);
	free(first);
}

#endif
