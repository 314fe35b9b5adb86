/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What snapshot.c and recheck.c share; nobody else includes this. */
#ifndef VLENS_SNAPSHOT_INTERNAL_H
#define VLENS_SNAPSHOT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "still.h"
#include "snapshot.h"

/* A page that questions touched. */
struct vl_recheck_page {
	uint64_t gpa;
	unsigned char *was; /* as it was read; NULL: nothing is kept */
	bool has;	    /* the view has it: it is in @held */
	bool stays;	    /* most questions touch it: it is not dropped between them */
	bool hot;	    /* it changed between two readings of all pages */
	uint32_t uses;	    /* how often it was missing, each time soon after the last */
	uint64_t touched;   /* the time when it was missing last */
};

struct vl_recheck {
	struct vl_recheck_page *v;
	size_t nr, cap;
	uint32_t *slots; /* a hash table of indices in @v, plus 1 */
	size_t nr_slots;
	uint32_t *held; /* indices of those that the view has */
	size_t nr_held, nr_stays;
	uint64_t time;	    /* counts questions, and how often their pages were read again */
	bool full;	    /* without memory: nothing can be said of what was read */
	bool restless;	    /* when pages were read again last, some had changed */
	_Atomic bool whole; /* all that is held is of one moment */
};

/* A second mapping of pages of the view. */
struct vl_snapshot_alias {
	uint64_t host, gpa, size;
};

struct vl_snapshot {
	struct vl_target *target;
	struct vl_snapshot_range *ranges;
	size_t nr;
	struct vl_still still;
	/* A bit for each page of RAM: it has content. One allocation that is
	 * mostly untouched, with the bits of all ranges one behind the other. */
	_Atomic uint64_t *present;
	size_t present_size; /* bytes */
	int uffd;
	int stop_fd;
	pthread_t filler;
	bool has_filler, user_only;
	_Atomic uint64_t copies;
	_Atomic bool released, missed;
	_Atomic(struct vl_error *) failed;
	/* Of a question (recheck.c); @lock is held while a page is filled for one. */
	bool asking;
	pthread_mutex_t lock;
	struct vl_recheck pages;
	bool shared;
	struct vl_snapshot_alias *aliases; /* under @lock */
	size_t nr_aliases, cap_aliases;
};

static inline const struct vl_snapshot_range *vl_snapshot_find(const struct vl_snapshot *v,
							       uint64_t gpa)
{
	size_t lo = 0, hi = v->nr;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (gpa < v->ranges[mid].gpa)
			hi = mid;
		else if (gpa - v->ranges[mid].gpa >= v->ranges[mid].size)
			lo = mid + 1;
		else
			return &v->ranges[mid];
	}
	return NULL;
}

/* The number of the first page's bit of range @r. */
static inline size_t vl_snapshot_first_bit(const struct vl_snapshot *v,
					   const struct vl_snapshot_range *r)
{
	size_t bit = 0;

	for (const struct vl_snapshot_range *p = v->ranges; p < r; p++)
		bit += (p->size / VL_PAGE_SIZE + 63) & ~63UL;
	return bit;
}

static inline bool vl_snapshot_test_bit(const struct vl_snapshot *v, size_t bit)
{
	return atomic_load(&v->present[bit / 64]) >> (bit % 64) & 1;
}

static inline void vl_snapshot_set_bit(struct vl_snapshot *v, size_t bit)
{
	atomic_fetch_or(&v->present[bit / 64], 1UL << (bit % 64));
}

/* snapshot.c: */
void vl_snapshot_put_pages(struct vl_snapshot *v, const struct vl_snapshot_range *r, uint64_t off,
			   const unsigned char *src, size_t nr);
void vl_snapshot_drop(struct vl_snapshot *v, const struct vl_snapshot_range *r, uint64_t gpa,
		      size_t nr);

/* alias.c: where the view has the page that is touched at @host, which may be its second mapping. */
uint64_t vl_snapshot_unaliased(const struct vl_snapshot *v, uint64_t host);

#define VL_NO_PAGE UINT64_MAX

/* The address of a page, of number @i; VL_NO_PAGE: that one is left out. */
typedef uint64_t vl_page_at_fn(void *ctx, size_t i);
/* It is @now in the guest. */
typedef void vl_page_now_fn(void *ctx, size_t i, const void *now);

/* collect.c: read @nr pages as they are now, in place where they are mapped. */
struct vl_error *vl_snapshot_read_now(struct vl_snapshot *v, size_t nr, vl_page_at_fn *at,
				      vl_page_now_fn *fn, void *ctx);

/* recheck.c, called by the thread that fills: page @gpa is @bytes. */
void vl_recheck_filled(struct vl_snapshot *v, uint64_t gpa, const unsigned char *bytes);
void vl_recheck_deinit(struct vl_recheck *r);

#endif
