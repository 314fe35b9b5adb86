/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A snapshot: a private copy of a guest's RAM, made page by page, on which the clone runs. The
 * guest's own memory is only read.
 *
 * A page is copied when it is first touched (userfaultfd), while the guest is held; or it is
 * copied ahead, because it was needed the last time. If all needed pages are copied ahead, the
 * guest can run while the snapshot is used: vl_snapshot_missed() reports that a page was
 * touched that had not been copied and may have changed since.
 *
 * A snapshot can be refreshed in place for a later point in time. Its addresses stay, so an
 * emulator keeps its translations of the kernel's code.
 */
#ifndef VLENS_SNAPSHOT_H
#define VLENS_SNAPSHOT_H

#include "../error.h"
#include "../host/target.h"
#include "paging.h"

struct vl_snapshot;

struct vl_snapshot_range {
	uint64_t gpa, size;
	void *host;  /* ours, readable and writable, for the snapshot's lifetime */
	void *again; /* of a shared snapshot: source of further mappings; never touched */
};

/*
 * Still memory: it does not change while the guest runs (the kernel's text). It may be copied
 * at any time, and a refresh keeps it.
 */
struct vl_snapshot_still {
	uint64_t gpa, size; /* whole pages; size 0: none */
};

#define VL_MAX_STILL 2

/*
 * Make an empty snapshot of all of @t's RAM. @t must outlive it. @shared: parts of it can be
 * mapped a second time.
 */
struct vl_error *vl_snapshot_create(struct vl_target *t, bool shared, struct vl_snapshot **ret);

/*
 * Map @size bytes from @gpa on, within one range of a shared snapshot, a second time at @at,
 * in place of what is there. A touch there fills them, too. False: errno says why.
 */
bool vl_snapshot_alias(struct vl_snapshot *v, uint64_t gpa, uint64_t size, void *at, bool writable);
bool vl_snapshot_is_shared(const struct vl_snapshot *v);

/*
 * Fill the page at @at; @write: it is written to. The handler of SIGBUS calls this: in a worker, a
 * touch of a missing page by an alias raises that signal if the host's kernel can do so, which
 * saves two switches of threads. False: the page is there, or is not the snapshot's.
 */
bool vl_snapshot_fill(struct vl_snapshot *v, uint64_t at, bool write);
/* The caller has unmapped the last alias that was made at @host: forget it. */
void vl_snapshot_unalias(struct vl_snapshot *v, uint64_t host);

/*
 * Open the userfaultfd of a later snapshot while this process still may, for struct
 * vl_target_proxy; -1: errno says why. *@user_only_ret: see vl_snapshot_serves_kernel().
 */
int vl_snapshot_open_uffd(bool *user_only_ret);
/* The same for aliases. Each fault raises a signal; see vl_snapshot_fill(). */
int vl_snapshot_open_signaller(void);

/* Set the still memory: an array of VL_MAX_STILL. */
void vl_snapshot_set_still(struct vl_snapshot *v, const struct vl_snapshot_still *still);

/*
 * Pass still pages through @fn when they are copied: it gets the guest's page at @gpa, and may
 * change it. The snapshot holds what @fn left; vl_snapshot_still_changed() compares what the guest
 * had. @fn is called by any thread, and must not touch the snapshot. Call this after
 * vl_snapshot_set_still().
 */
typedef void vl_snapshot_filter_fn(void *ctx, uint64_t gpa, unsigned char *page);
void vl_snapshot_set_filter(struct vl_snapshot *v, vl_snapshot_filter_fn *fn, void *ctx);

/*
 * Note page @gpa, which is not still (a module's), before its code first runs, as translations
 * of it may be kept. False: there is no memory, or no such page.
 */
bool vl_snapshot_note_code(struct vl_snapshot *v, uint64_t gpa);

/*
 * Does the guest now have other code in a page whose code has run or, with @all, other content in a
 * still page of the snapshot? If so, the caller makes the snapshot and all translations anew. Reads
 * the guest, which need not be held.
 */
bool vl_snapshot_still_changed(const struct vl_snapshot *v, bool all);

/* Is page @gpa still? */
bool vl_snapshot_is_still(const struct vl_snapshot *v, uint64_t gpa);

/*
 * The checksums of still pages (@nr), as vl_page_sum() gives them of what the snapshot has, or
 * would have, of them. The snapshot notes them as if it had copied the pages. False: one is not
 * still, or cannot be read.
 */
bool vl_snapshot_sum_still(struct vl_snapshot *v, const uint64_t *gpas, size_t nr,
			   uint64_t *sums_ret);

/*
 * Allocate the pages @gpas (@nr, ascending), so that vl_snapshot_refresh() only has to write to
 * them. To be called before the guest is paused.
 */
void vl_snapshot_reserve(struct vl_snapshot *v, const uint64_t *gpas, size_t nr);

/*
 * Drop all pages but @gpas (@nr, ascending) and still memory, as if they had never been
 * touched.
 */
void vl_snapshot_keep(struct vl_snapshot *v, const uint64_t *gpas, size_t nr);

/*
 * Refresh the snapshot while the guest is paused: copies the pages @gpas (@nr, ascending), and
 * again all that it has from before. Other pages are copied when they are touched.
 */
struct vl_error *vl_snapshot_refresh(struct vl_snapshot *v, const uint64_t *gpas, size_t nr);

/*
 * After vl_snapshot_refresh() of a running guest: read the pages again until all are of one
 * point in time. *@ret: they are, of *@at_ns (the host's CLOCK_MONOTONIC); false: pages kept
 * changing.
 */
struct vl_error *vl_snapshot_collect(struct vl_snapshot *v, bool *ret, int64_t *at_ns);
void vl_snapshot_destroy(struct vl_snapshot *v);

const struct vl_snapshot_range *vl_snapshot_ranges(const struct vl_snapshot *v, size_t *nr_ret);

/*
 * Where guest-physical bytes [gpa, gpa + len) are in this process; NULL if
 * they are not all RAM of one range.
 */
void *vl_snapshot_host(const struct vl_snapshot *v, uint64_t gpa, size_t len);

/*
 * The same, and the bytes are filled, if they are in one page. A touch fills a page, too, but by
 * another thread, which costs two switches.
 */
void *vl_snapshot_filled(struct vl_snapshot *v, uint64_t gpa, size_t len);

/* vl_read_entry_fn over a snapshot. */
bool vl_snapshot_read_entry(void *snapshot, uint64_t gpa, uint64_t *ret);

/* The same; false if the snapshot does not have the page. Fills nothing. */
bool vl_snapshot_held_entry(void *snapshot, uint64_t gpa, uint64_t *ret);

/*
 * Copy the page at @gpa to @buf; from the guest if the snapshot does not have it. The page is
 * neither filled nor counted as touched: for reads that are not part of an answer.
 */
bool vl_snapshot_peek_page(struct vl_snapshot *v, uint64_t gpa, void *buf);

/*
 * Copy @len bytes at virtual address @va under @pt to @buf. False when an
 * address is not mapped.
 */
bool vl_snapshot_read(struct vl_snapshot *v, const struct vl_pgtable *pt, uint64_t va, void *buf,
		      size_t len);

/* The guest runs from now on: pages that are filled later are of a later point in time. */
void vl_snapshot_release(struct vl_snapshot *v);

/*
 * Was a page touched after vl_snapshot_release() that had not been copied and is not still?
 * Then results since are not of one point in time.
 */
bool vl_snapshot_missed(const struct vl_snapshot *v);

/*
 * Questions to a running guest. A page is copied when a question touches it, and a second copy
 * is kept beside it. At the question's end the pages are read once more: if none has changed,
 * all had this content when the first of them was read again, and the answer is of that point in
 * time.
 */

/*
 * Begin a question: undo what the last one wrote, and drop pages that few questions touch.
 * @again: repeat the last question. All pages that it touched stay, with their content from the
 * last vl_snapshot_recheck() or vl_snapshot_take().
 */
struct vl_error *vl_snapshot_ask(struct vl_snapshot *v, bool again);

/*
 * Read all pages of the last @questions again. *@changed_ret: how many had changed; the next
 * vl_snapshot_ask(again) uses their new content.
 */
struct vl_error *vl_snapshot_recheck(struct vl_snapshot *v, unsigned questions,
				     size_t *changed_ret);

/*
 * Read the pages of the question while the guest is paused, for the next vl_snapshot_ask(again). A
 * page that is filled later comes from a running guest, and makes vl_snapshot_missed() true.
 */
struct vl_error *vl_snapshot_take(struct vl_snapshot *v);

/*
 * Are all pages that the question has touched so far of one point in time? If pages have changed,
 * vl_snapshot_recheck() reads them until two readings agree, where it can; vl_snapshot_ask()
 * does the same if pages had changed the last time. Holds until a further page is touched.
 */
bool vl_snapshot_is_whole(const struct vl_snapshot *v);

/*
 * A question was given up: the next vl_snapshot_ask() reads pages until they are of one point in
 * time.
 */
void vl_snapshot_doubt(struct vl_snapshot *v);

/* How many pages vl_snapshot_take() would read. */
size_t vl_snapshot_asked(const struct vl_snapshot *v);

/*
 * Add to *@gpas (malloc'ed, @nr of them, ascending) the pages that questions touched. Error: there
 * were too many to record all.
 */
struct vl_error *vl_snapshot_all_asked(const struct vl_snapshot *v, uint64_t **gpas, size_t *nr);

/* No more questions: vl_snapshot_refresh() treats their pages like all others. */
void vl_snapshot_ask_end(struct vl_snapshot *v);

/*
 * The pages that the snapshot has, in ascending order, without still memory. *@ret is
 * malloc'ed.
 */
struct vl_error *vl_snapshot_pages(const struct vl_snapshot *v, uint64_t **ret, size_t *nr_ret);

/* The number of pages (4 KiB) that the snapshot has, and of all copies made so far. */
void vl_snapshot_count(const struct vl_snapshot *v, uint64_t *pages_ret, uint64_t *copies_ret);
/* The copies alone, without counting pages. */
uint64_t vl_snapshot_copied(const struct vl_snapshot *v);
/* As vl_target_waits(), for the budget of what runs on the snapshot. */
const struct vl_waits *vl_snapshot_waits(const struct vl_snapshot *v);

/* Are faults of the host's kernel served, too (in a system call, in KVM)? That needs privilege. */
bool vl_snapshot_serves_kernel(const struct vl_snapshot *v);

/*
 * Were pages needed since the last call that the file of a dump does not have (VL_ERR_LACKING)?
 * *@gpa_ret is the first. Nothing may use the snapshot meanwhile.
 */
bool vl_snapshot_lacked(struct vl_snapshot *v, uint64_t *gpa_ret);

/* The first error of filling a page (the guest is gone), or NULL; owned by the snapshot. */
const struct vl_error *vl_snapshot_failed(const struct vl_snapshot *v);

#endif
