/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A private copy of a guest's RAM, made page by page: what the clone runs on.
 * The guest's own memory is only ever read.
 *
 * A page is copied when it is first touched (userfaultfd), so the guest must be
 * held meanwhile; or it is copied ahead, as one of those that were needed the
 * last time. If all are copied ahead, the guest can run while the view is used:
 * vl_snapshot_missed() tells when one was touched that was not, and may have
 * changed since.
 *
 * A view can be made fresh for a later moment in place: its addresses stay, so
 * an emulator need not translate the kernel's code anew.
 */
#ifndef VLENS_SNAPSHOT_H
#define VLENS_SNAPSHOT_H

#include "../error.h"
#include "../host/target.h"
#include "paging.h"

struct vl_snapshot;

struct vl_snapshot_range {
	uint64_t gpa, size;
	void *host;  /* ours, readable and writable, for the view's lifetime */
	void *again; /* of a shared view: what further mappings are made of; never touched */
};

/*
 * Memory that does not change while the guest runs (the kernel's text): it may
 * be copied at any time, and stays as it is when the view is made fresh.
 */
struct vl_snapshot_still {
	uint64_t gpa, size; /* whole pages; size 0: none */
};

#define VL_MAX_STILL 2

/*
 * Make an empty view of all of @t's RAM. @t must outlive it. @shared: parts of it can be
 * mapped a second time.
 */
struct vl_error *vl_snapshot_create(struct vl_target *t, bool shared, struct vl_snapshot **ret);

/*
 * Map the @size bytes of @gpa on, of one range of a shared view, a second time at @at, where
 * nothing is that is needed. They are filled when they are touched there, too. False: errno says why.
 */
bool vl_snapshot_alias(struct vl_snapshot *v, uint64_t gpa, uint64_t size, void *at, bool writable);
bool vl_snapshot_is_shared(const struct vl_snapshot *v);
/* What was mapped so at @host last has been unmapped. */
void vl_snapshot_unalias(struct vl_snapshot *v, uint64_t host);

/*
 * Open what a view of this process needs, ahead of the time when it no longer may (-1: errno
 * says why), for struct vl_target_port. *@user_only_ret: see vl_snapshot_serves_kernel().
 */
int vl_snapshot_open_uffd(bool *user_only_ret);

/* Say what is still: VL_MAX_STILL of them. */
void vl_snapshot_set_still(struct vl_snapshot *v, const struct vl_snapshot_still *still);

/*
 * Code in page @gpa, which is not still (a module's), is about to run for the first time, and
 * may be kept translated. False: not noted, as there is no memory, or no such page.
 */
bool vl_snapshot_note_code(struct vl_snapshot *v, uint64_t gpa);

/*
 * Has the guest other code by now in a page whose code has run, or, with @all, is a page that
 * is still, and that the view has, another one? The view is then to be made anew, and what was
 * translated of it. Reads the guest, which need not be held.
 */
bool vl_snapshot_still_changed(const struct vl_snapshot *v, bool all);

/*
 * Have room for the pages @gpas (@nr, ascending): what vl_snapshot_refresh() then does
 * is no more than to write to them. For the time before the guest is paused.
 */
void vl_snapshot_reserve(struct vl_snapshot *v, const uint64_t *gpas, size_t nr);

/*
 * Drop all pages but @gpas (@nr, ascending) and what is still: as if they had
 * never been touched.
 */
void vl_snapshot_keep(struct vl_snapshot *v, const uint64_t *gpas, size_t nr);

/*
 * Make the view one of now, with the guest paused: copies the pages @gpas (@nr,
 * ascending), and again those that the view has from before. What is touched
 * later is copied when it is touched.
 */
struct vl_error *vl_snapshot_refresh(struct vl_snapshot *v, const uint64_t *gpas, size_t nr);

/*
 * After vl_snapshot_refresh() of a guest that ran meanwhile: make all that the view has one of a
 * moment. *@ret: it is, that of *@at_ns (the host's CLOCK_MONOTONIC); else pages of it changed
 * again and again.
 */
struct vl_error *vl_snapshot_collect(struct vl_snapshot *v, bool *ret, int64_t *at_ns);
void vl_snapshot_destroy(struct vl_snapshot *v);

const struct vl_snapshot_range *vl_snapshot_ranges(const struct vl_snapshot *v, size_t *nr_ret);

/*
 * Where guest-physical bytes [gpa, gpa + len) are in this process; NULL if
 * they are not all RAM of one range.
 */
void *vl_snapshot_host(const struct vl_snapshot *v, uint64_t gpa, size_t len);

/* vl_read_entry_fn over a view. */
bool vl_snapshot_read_entry(void *view, uint64_t gpa, uint64_t *ret);

/* The same of a page that the view has; false: it has not. Nothing is filled. */
bool vl_snapshot_held_entry(void *view, uint64_t gpa, uint64_t *ret);

/*
 * The page at @gpa, which is read from the guest if the view has it not, and neither filled nor
 * counted as touched: for what is no part of an answer.
 */
bool vl_snapshot_peek_page(struct vl_snapshot *v, uint64_t gpa, void *buf);

/*
 * Copy @len bytes at virtual address @va under @pt to @buf. False when an
 * address is not mapped.
 */
bool vl_snapshot_read(struct vl_snapshot *v, const struct vl_pgtable *pt, uint64_t va, void *buf,
		      size_t len);

/* The guest runs from now on: what is filled later is of a later moment. */
void vl_snapshot_release(struct vl_snapshot *v);

/*
 * Was a page touched after vl_snapshot_release() that was not copied before, and
 * that can have changed? What was computed since is then not of one moment.
 */
bool vl_snapshot_missed(const struct vl_snapshot *v);

/*
 * Questions, while the guest runs. A page is copied when a question touches it, and
 * what was copied is kept beside it. At the question's end the pages are read once
 * more: if all are as they were copied, then they were so at one moment, that at
 * which the first of them was read again, and so is the answer.
 */

/*
 * Begin a question: what the last one wrote is undone, what few questions touch is
 * dropped. With @again it is the last one once more: all stays that it touched, as
 * it was when it was read last, by vl_snapshot_recheck() or vl_snapshot_take().
 */
struct vl_error *vl_snapshot_ask(struct vl_snapshot *v, bool again);

/*
 * Read all pages of the question anew. *@changed_ret: so many were not as they had
 * been copied; they are replaced for the next vl_snapshot_ask(again).
 */
struct vl_error *vl_snapshot_recheck(struct vl_snapshot *v, size_t *changed_ret);

/*
 * With the guest paused, before vl_snapshot_ask(again): take the pages of the question
 * now. What is touched besides, and then filled from a running guest, makes
 * vl_snapshot_missed() true.
 */
struct vl_error *vl_snapshot_take(struct vl_snapshot *v);

/*
 * Are all pages that the question touched so far of one moment? If pages had changed
 * vl_snapshot_recheck() reads them until two readings are the same, where it can; so does
 * vl_snapshot_ask() of a guest whose pages had changed the last time. It lasts until a page is
 * touched that was not there.
 */
bool vl_snapshot_is_whole(const struct vl_snapshot *v);

/* A question was given up: the next vl_snapshot_ask() is to be of one moment. */
void vl_snapshot_doubt(struct vl_snapshot *v);

/* How many pages vl_snapshot_take() would read. */
size_t vl_snapshot_asked(const struct vl_snapshot *v);

/* Add to *@gpas (malloc'ed, @nr of them, ascending) the pages that questions touched. */
struct vl_error *vl_snapshot_all_asked(const struct vl_snapshot *v, uint64_t **gpas, size_t *nr);

/* No more questions: what they left is to be made fresh as all else. */
void vl_snapshot_ask_end(struct vl_snapshot *v);

/*
 * The pages that the view has, in ascending order, without what is still.
 * *@ret is malloc'ed.
 */
struct vl_error *vl_snapshot_pages(const struct vl_snapshot *v, uint64_t **ret, size_t *nr_ret);

/* Pages of 4 KiB that the view has, and how many copies were made in all. */
void vl_snapshot_count(const struct vl_snapshot *v, uint64_t *pages_ret, uint64_t *copies_ret);

/*
 * Are faults of the host's kernel served, too (of a system call, of KVM)? Not without
 * privilege.
 */
bool vl_snapshot_serves_kernel(const struct vl_snapshot *v);

/* The first error of filling a page (the guest is gone), or NULL; the view keeps it. */
const struct vl_error *vl_snapshot_failed(const struct vl_snapshot *v);

#endif
