/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A private copy-on-write view of a guest's RAM: what the clone runs on. The
 * guest's own memory is only ever read.
 *
 * A range with a mappable file is mapped MAP_PRIVATE: pages are shared until
 * the clone writes to them. Any other (anonymous memory of the hypervisor,
 * huge pages, whose copies would cost a huge page each) is an empty anonymous
 * mapping that is filled page by page when it is touched (userfaultfd).
 *
 * A view can also be made of a copy of the pages that are expected to be
 * needed, the working set of the last time. The guest may run again as soon as
 * they are copied; vl_view_missed() then tells when a page was touched that
 * was not among them, and may have changed since.
 */
#ifndef VLENS_VIEW_H
#define VLENS_VIEW_H

#include "../error.h"
#include "../target/target.h"
#include "paging.h"

struct vl_view;

struct vl_view_range {
	uint64_t gpa, size;
	void *host; /* private, readable and writable, for the view's lifetime */
};

/* Memory that does not change while the guest runs: the kernel's text. */
struct vl_view_still {
	uint64_t gpa, size;
};

#define VL_MAX_STILL 2

/* Make a view by copying: see above. */
struct vl_view_copy {
	const uint64_t *gpas; /* pages to copy at once, in ascending order */
	size_t nr;
	struct vl_view_still still[VL_MAX_STILL]; /* size 0: none */
};

/*
 * Make a view of all of @t's RAM. It shows memory as it is when a page is
 * first touched: pause the guest first and keep it paused while the view is
 * used, or, with @copy, until vl_view_release(). @t must outlive the view.
 */
struct vl_error *vl_view_create(struct vl_target *t, const struct vl_view_copy *copy,
				struct vl_view **ret);
void vl_view_destroy(struct vl_view *v);

const struct vl_view_range *vl_view_ranges(const struct vl_view *v, size_t *nr_ret);

/*
 * Where guest-physical bytes [gpa, gpa + len) are in this process; NULL if
 * they are not all RAM of one range.
 */
void *vl_view_host(const struct vl_view *v, uint64_t gpa, size_t len);

/* vl_read_entry_fn over a view. */
bool vl_view_read_entry(void *view, uint64_t gpa, uint64_t *ret);

/*
 * Copy between @buf and virtual addresses under @pt. False when an address is
 * not mapped; what was copied before stays copied. Writing goes to the private
 * pages whatever the page tables' permissions are.
 */
bool vl_view_read(struct vl_view *v, const struct vl_pgtable *pt, uint64_t va, void *buf,
		  size_t len);
bool vl_view_write(struct vl_view *v, const struct vl_pgtable *pt, uint64_t va, const void *buf,
		   size_t len);

/* The guest runs from now on: what is filled later is of a later moment. */
void vl_view_release(struct vl_view *v);

/*
 * Was a page touched after vl_view_release() that was not copied before, and
 * that can have changed? What was computed since is then not of one moment.
 */
bool vl_view_missed(const struct vl_view *v);

/*
 * The pages that were touched or copied so far, in ascending order, without
 * those in @still (VL_MAX_STILL of them). *@ret is malloc'ed. At most @max;
 * more are an error (VL_ERR_ARG).
 */
struct vl_error *vl_view_touched(const struct vl_view *v, const struct vl_view_still *still,
				 size_t max, uint64_t **ret, size_t *nr_ret);

/* Pages of 4 KiB that were touched, and that were copied, so far. */
void vl_view_count(struct vl_view *v, uint64_t *touched_ret, uint64_t *copied_ret);

/* The first error of filling a page (the guest is gone), or NULL; the view keeps it. */
const struct vl_error *vl_view_failed(const struct vl_view *v);

#endif
