/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which pages a snapshot has: copied ahead, made empty, or dropped. */
#include <stdlib.h>
#include <sys/mman.h>

#include "../base/cleanup.h"
#include "snapshot-internal.h"

/* Pages read in one go when many are copied ahead. */
#define BATCH 1024

/* Pages of zeros that are put into the snapshot in one go. */
#define RESERVE 16

/*
 * Two pages are dropped in one call if at most so many pages without content lie between them. A
 * call costs as much as a look at some hundred pages.
 */
#define DROP_GAP 512

/* Pages waiting to be copied in one go. */
struct batch {
	struct vl_snapshot *v;
	unsigned char *bounce;
	uint64_t gpas[BATCH];
	const unsigned char *from[BATCH]; /* a missing page's content */
	size_t nr;
	/* The pages that must be read first. */
	uint64_t read_gpas[BATCH];
	void *read_to[BATCH];
	size_t nr_read;
};

static struct vl_error *flush(struct batch *b)
{
	struct vl_snapshot *v = b->v;
	struct vl_error *err;

	if (!b->nr)
		return NULL;
	err = vl_target_read_pages(v->target, b->read_gpas, b->read_to, b->nr_read);
	/* Still pages are all in our buffer: see add_page(). */
	for (size_t i = 0; !err && i < b->nr_read; i++)
		vl_still_filter(&v->still, b->read_gpas[i], b->read_to[i], 1);
	for (size_t i = 0; !err && i < b->nr;) {
		const struct vl_snapshot_range *r = vl_snapshot_find(v, b->gpas[i]);
		uint64_t off = b->gpas[i] - r->gpa;
		size_t bit = vl_snapshot_first_bit(v, r) + off / VL_PAGE_SIZE, n = 1;

		if (vl_snapshot_test_bit(v, bit)) {
			atomic_fetch_add(&v->copies, 1); /* it was read in place */
		} else {
			/* Contiguous new pages go in by one call. */
			while (i + n < b->nr && b->gpas[i + n] == b->gpas[i] + n * VL_PAGE_SIZE &&
			       b->from[i + n] == b->from[i] + n * VL_PAGE_SIZE &&
			       off + n * VL_PAGE_SIZE < r->size &&
			       !vl_snapshot_test_bit(v, bit + n))
				n++;
			vl_snapshot_put_pages(v, r, off, b->from[i], n);
		}
		i += n;
	}
	b->nr = b->nr_read = 0;
	return err;
}

static struct vl_error *add_page(struct batch *b, uint64_t gpa)
{
	const struct vl_snapshot_range *r = vl_snapshot_find(b->v, gpa);
	const unsigned char *from;
	void *to;
	size_t bit;

	if (!r)
		return NULL; /* no longer RAM */
	bit = vl_snapshot_first_bit(b->v, r) + (gpa - r->gpa) / VL_PAGE_SIZE;
	/* A present page is written in place; a missing one goes in by UFFDIO_COPY. */
	if (vl_snapshot_test_bit(b->v, bit)) {
		if (vl_still_has(&b->v->still, gpa))
			return NULL;
		to = (char *)r->host + (gpa - r->gpa);
		from = NULL;
	} else {
		to = b->bounce + b->nr * VL_PAGE_SIZE;
		from = vl_still_has(&b->v->still, gpa) ? NULL : vl_target_page(b->v->target, gpa);
	}
	if (!from) {
		b->read_gpas[b->nr_read] = gpa;
		b->read_to[b->nr_read++] = to;
		from = to;
	}
	b->gpas[b->nr] = gpa;
	b->from[b->nr] = from;
	return ++b->nr == BATCH ? flush(b) : NULL;
}

/* How many of @gpas, from the first on, are contiguous and all present (or all missing). */
static size_t run_length(const struct vl_snapshot *v, const struct vl_snapshot_range *r,
			 const uint64_t *gpas, size_t nr, bool present)
{
	size_t bit = vl_snapshot_first_bit(v, r) + (gpas[0] - r->gpa) / VL_PAGE_SIZE, n = 0;

	while (n < nr && gpas[n] == gpas[0] + n * VL_PAGE_SIZE && gpas[n] - r->gpa < r->size &&
	       vl_snapshot_test_bit(v, bit + n) == present)
		n++;
	return n;
}

void vl_snapshot_reserve(struct vl_snapshot *v, const uint64_t *gpas, size_t nr)
{
	static const unsigned char nothing[RESERVE * VL_PAGE_SIZE] __attribute__((aligned(4096)));
	uint64_t copies = atomic_load(&v->copies);

	for (size_t i = 0; i < nr;) {
		const struct vl_snapshot_range *r = vl_snapshot_find(v, gpas[i]);
		size_t n = r && !vl_still_has(&v->still, gpas[i]) ?
				   run_length(v, r, gpas + i, nr - i, false) :
				   0;

		if (n > RESERVE)
			n = RESERVE;
		while (n && vl_still_has(&v->still, gpas[i] + (n - 1) * VL_PAGE_SIZE))
			n--;
		if (n)
			vl_snapshot_put_pages(v, r, gpas[i] - r->gpa, nothing, n);
		i += n ? n : 1;
	}
	atomic_store(&v->copies, copies);
}

/* Drop @nr pages of @r from @gpa on. */
void vl_snapshot_drop(struct vl_snapshot *v, const struct vl_snapshot_range *r, uint64_t gpa,
		      size_t nr)
{
	size_t bit = vl_snapshot_first_bit(v, r) + (gpa - r->gpa) / VL_PAGE_SIZE;

	if (madvise((char *)r->host + (gpa - r->gpa), nr * VL_PAGE_SIZE,
		    v->shared ? MADV_REMOVE : MADV_DONTNEED))
		return; /* they stay, and the next refresh copies them */
	while (nr--) {
		atomic_fetch_and(&v->present[bit / 64], ~(1UL << (bit % 64)));
		bit++;
	}
}

/* Is no page of bits [@first, @end) present? */
static bool is_empty(const struct vl_snapshot *v, size_t first, size_t end)
{
	for (size_t bit = first; bit < end;) {
		size_t n = 64 - bit % 64;
		uint64_t word = atomic_load(&v->present[bit / 64]) >> (bit % 64);

		if (n > end - bit)
			n = end - bit;
		if (n < 64)
			word &= (1UL << n) - 1;
		if (word)
			return false;
		bit += n;
	}
	return true;
}

/*
 * The number of pages from @gpas[0] on that one call can drop. It ends before the first gap that
 * has a page or is longer than DROP_GAP. *@nr becomes the number of @gpas in it.
 */
static size_t drop_length(const struct vl_snapshot *v, const struct vl_snapshot_range *r,
			  const uint64_t *gpas, size_t *nr)
{
	size_t bit = vl_snapshot_first_bit(v, r) + (gpas[0] - r->gpa) / VL_PAGE_SIZE, n = 1, i = 1;

	for (; i < *nr && gpas[i] - r->gpa < r->size; i++) {
		size_t next = (gpas[i] - gpas[0]) / VL_PAGE_SIZE;

		if (next - n > DROP_GAP || !is_empty(v, bit + n, bit + next))
			break;
		n = next + 1;
	}
	*nr = i;
	return n;
}

void vl_snapshot_drop_all(struct vl_snapshot *v, const uint64_t *gpas, size_t nr)
{
	for (size_t i = 0; i < nr;) {
		const struct vl_snapshot_range *r = vl_snapshot_find(v, gpas[i]);
		size_t dropped = nr - i, n = drop_length(v, r, gpas + i, &dropped);

		vl_snapshot_drop(v, r, gpas[i], n);
		i += dropped;
	}
}

void vl_snapshot_keep(struct vl_snapshot *v, const uint64_t *gpas, size_t nr)
{
	_cleanup_free_ uint64_t *pages = NULL;
	size_t nr_pages, kept = 0, k = 0;

	if (vl_discard(vl_snapshot_pages(v, &pages, &nr_pages)))
		return;
	for (size_t i = 0; i < nr_pages; i++) {
		while (k < nr && gpas[k] < pages[i])
			k++;
		if (k == nr || gpas[k] != pages[i])
			pages[kept++] = pages[i];
	}
	vl_snapshot_drop_all(v, pages, kept);
}

struct vl_error *vl_snapshot_refresh(struct vl_snapshot *v, const uint64_t *gpas, size_t nr)
{
	_cleanup_free_ unsigned char *bounce = NULL;
	_cleanup_free_ uint64_t *old = NULL;
	struct batch b = { .v = v };
	struct vl_error *err;
	size_t nr_old, i = 0, k = 0;

	vl_snapshot_ask_end(v);
	atomic_store(&v->released, false);
	atomic_store(&v->missed, false);
	err = vl_snapshot_pages(v, &old, &nr_old);
	if (err)
		return err;
	b.bounce = bounce = aligned_alloc(VL_PAGE_SIZE, BATCH * VL_PAGE_SIZE);
	if (!bounce)
		return vl_error_nomem();
	while (!err && (i < nr || k < nr_old)) {
		uint64_t next = i < nr && (k == nr_old || gpas[i] < old[k]) ? gpas[i] : old[k];

		i += i < nr && gpas[i] == next;
		k += k < nr_old && old[k] == next;
		err = add_page(&b, next);
	}
	return err ? err : flush(&b);
}
