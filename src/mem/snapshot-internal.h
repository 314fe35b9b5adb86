/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the files that implement a snapshot; no other file includes it. */
#ifndef VLENS_SNAPSHOT_INTERNAL_H
#define VLENS_SNAPSHOT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "still.h"
#include "snapshot.h"

/* A page that questions have touched. */
struct vl_recheck_page {
	uint64_t gpa;
	unsigned char *was; /* its content when it was read; NULL: not kept */
	bool has;	    /* the snapshot has it: it is in @held */
	bool stays;	    /* most questions touch it: not dropped between them */
	bool hot;	    /* it changed between two readings of all pages */
	uint32_t uses;	    /* faults on it, each soon after the last */
	uint64_t touched;   /* @time of the last fault on it, */
	uint64_t epoch;	    /* and @epochs */
};

struct vl_recheck {
	struct vl_recheck_page *v;
	size_t nr, cap;
	uint32_t *slots; /* a hash table of indices in @v, plus 1 */
	size_t nr_slots;
	uint32_t *held; /* indices of the pages that the snapshot has */
	size_t nr_held, nr_stays;
	uint64_t time;	    /* counts questions and rechecks */
	uint64_t epochs;    /* counts those that began */
	bool full;	    /* out of memory: a page that was read is not recorded */
	bool restless;	    /* at the last recheck some pages had changed */
	_Atomic bool whole; /* all held pages are of one point in time */
};

/* The most missing pages that are noted of one call. A call ends soon after the first one. */
#define VL_SNAPSHOT_LACKED 64

/* A second mapping of pages of the snapshot. */
struct vl_snapshot_alias {
	uint64_t host, gpa, size;
};

struct vl_snapshot {
	struct vl_target *target;
	struct vl_snapshot_range *ranges;
	size_t nr;
	struct vl_still still;
	/* A bit for each page of RAM: it has content. The bits of all ranges lie one behind the
	 * other in one allocation, most of which is never touched. */
	_Atomic uint64_t *present;
	size_t present_size; /* bytes */
	int uffd;
	int stop_fd;
	int signaller; /* makes faults SIGBUS; -1: there is none */
	pthread_t filler;
	bool has_filler, user_only;
	_Atomic uint64_t copies;
	_Atomic bool released, missed;
	_Atomic(struct vl_error *) failed;
	uint64_t lacked[VL_SNAPSHOT_LACKED]; /* pages for vl_snapshot_lacked(); under @lock */
	_Atomic size_t nr_lacked;	     /* more may have been lacking */
	/* For questions (recheck.c); @lock is held while a page is filled. */
	bool asking, asked_more; /* @asked_more: @pages were begun anew, and do not have all */
	pthread_mutex_t lock;
	struct vl_recheck pages;
	/* collect.c's buffer: half a megabyte, which is mapped page by page, so it is kept. */
	void *batch;
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

/* snapshot.c, refresh.c: */
void vl_snapshot_put_pages(struct vl_snapshot *v, const struct vl_snapshot_range *r, uint64_t off,
			   const unsigned char *src, size_t nr);
void vl_snapshot_drop(struct vl_snapshot *v, const struct vl_snapshot_range *r, uint64_t gpa,
		      size_t nr);
/* Drop the pages @gpas (@nr, ascending). */
void vl_snapshot_drop_all(struct vl_snapshot *v, const uint64_t *gpas, size_t nr);
/* Fill the page of @r at @gpa, if it is missing. True: it was. */
bool vl_snapshot_need(struct vl_snapshot *v, const struct vl_snapshot_range *r, uint64_t gpa);

/* alias.c: the address in the first mapping of @host, which may be in a second one. */
uint64_t vl_snapshot_unaliased(const struct vl_snapshot *v, uint64_t host);

#define VL_NO_PAGE UINT64_MAX

/* The address of page number @i; VL_NO_PAGE: skip it. */
typedef uint64_t vl_page_at_fn(void *ctx, size_t i);
/* Page number @i has the content @now in the guest. */
typedef void vl_page_now_fn(void *ctx, size_t i, const void *now);

/* collect.c: read @nr pages from the guest, in place where its memory is mapped. */
struct vl_error *vl_snapshot_read_now(struct vl_snapshot *v, size_t nr, vl_page_at_fn *at,
				      vl_page_now_fn *fn, void *ctx);

/*
 * recheck.c: page @gpa is about to be filled with the content that the caller reads into the
 * buffer returned, which belongs to @v. NULL: no memory; the page is filled without a record.
 */
unsigned char *vl_recheck_fill(struct vl_snapshot *v, uint64_t gpa);
void vl_recheck_deinit(struct vl_recheck *r);

#endif
