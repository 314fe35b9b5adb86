/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The trusted kernel of an attach: the image of its build as the distribution made it, where the
 * guest has it. Symbols, types and entry are then the image's, and the text that runs is, too:
 * each page of the guest's text is compared when it gets into a snapshot, and the trusted bytes
 * take its place (trust/trust.h).
 */
#ifndef VLENS_ATTACH_TRUSTED_H
#define VLENS_ATTACH_TRUSTED_H

#include <pthread.h>

#include "../trust/trust.h"
#include "attach.h"

/* A guest with more findings runs another kernel, or has lost its text. */
#define VL_TRUSTED_FINDINGS_MAX 4096
/* Attachments that are kept. A tracer of all functions has tens of thousands. */
#define VL_TRUSTED_ATTACHED_MAX 1024

/*
 * A word that the guest has changed in data of the image: a pointer to a function, or a constant.
 */
struct vl_trusted_slot {
	uint64_t slot, found;
	uint64_t initial; /* what the image has there */
};

/*
 * The constants, whole pages, contiguous in both address spaces. From @end on, and in
 * [@init, @init_end), is what the guest's kernel wrote while it booted.
 */
struct vl_trusted_constants {
	uint64_t va, gpa, size; /* size 0: the image does not say where they are */
	uint64_t end, init, init_end;
};

#define VL_TRUSTED_SLOTS 64

struct vl_trusted_marks;

struct vl_trusted {
	struct vl_trust *trust;
	/* The kernel and the modules that can be verified; NULL: no modules. Not owned. */
	const struct vl_trust_set *set;
	struct vl_attach *attach;
	uint64_t va, gpa, size; /* the text, whole pages; contiguous in both */
	struct vl_trusted_constants constants;

	/* --- under @lock, as snapshots are filled by several threads --- */
	pthread_mutex_t lock;
	struct vl_trust_finding *found; /* without attachments; vl_trusted_recheck() drops pokes */
	size_t nr_found, cap_found;
	/* Attachments and switches, of each place one; in ascending order. */
	struct vl_trust_finding *attached;
	size_t nr_kept, cap_attached;
	struct vl_trusted_slot slots[VL_TRUSTED_SLOTS];
	size_t nr_slots;
	/* Findings, also those not kept, which count once: when the whole text is compared. */
	uint64_t nr_all;
	uint64_t nr_attached; /* sites at which something is attached, also those not kept */
	uint64_t nr_pages;    /* compared so far; a page of a new snapshot counts again */
	int64_t rechecked_ns; /* vl_trusted_recheck() was called, by the host's CLOCK_MONOTONIC */
	bool current;	      /* the whole text was compared since the last snapshot */
	struct vl_trusted_pages *pages; /* of the text, that were read just now */
	bool whole;			/* the whole text is compared, each page once */
	bool outside;			/* a judgement has read memory that is not in the text */
	/* The memory of the guest's modules, by address (trusted-modules.c); NULL: not read yet. */
	struct vl_trusted_range *ranges;
	size_t nr_ranges, cap_ranges;
	int64_t ranges_ns; /* they were read, by the host's CLOCK_MONOTONIC */

	/* --- changed by vl_trusted_take_text() only --- */

	struct vl_trusted_marks *marks; /* trusted-marks.c; NULL: none are kept */
	bool marked;			/* they are of the whole text */
	bool marks_new;			/* and not those that were kept */
};

/*
 * The marks that earlier trusted runs have kept for this run of the guest. A hostile worker can
 * forge them.
 */
struct vl_trusted_kept {
	/* Of the image's file, whose checksum is right: any other file has another number. 0: its
	 * checksum is not known, so nothing can be kept. */
	uint64_t image;
	const void *bytes; /* of vl_trusted_marks_write() */
	size_t len;
};

/*
 * Let @a trust the kernel in the file @fd, @len bytes (vl_trust_open_file()). Its symbols, types,
 * page table and entry are those of the image from now on, and @a->trusted is set. VL_ERR_ARG: the
 * image is of another build, or it cannot be at the guest's place. VL_ERR_KERNEL: the guest's text
 * is not that of the image.
 */
struct vl_error *vl_attach_trust(struct vl_attach *a, int fd, size_t len,
				 const struct vl_trusted_kept *kept);
void vl_trusted_destroy(struct vl_trusted *t);

/*
 * A new run begins. Forget the findings in the image's data and in modules, where only the parts
 * that a run uses are compared. True: there were some. A clone keeps such parts, and they would not
 * be compared again, so the caller makes the clone anew.
 */
bool vl_trusted_next(struct vl_trusted *t);

/* For a new snapshot: compare the whole text again, and forget what was found before. */
struct vl_error *vl_trusted_compare(struct vl_trusted *t);

/* vl_snapshot_filter_fn over a struct vl_trusted. */
void vl_trusted_filter(void *trusted, uint64_t gpa, unsigned char *page);

/*
 * Read the places of the findings once more, unless that was done just now. Findings that are gone
 * are dropped, as a running guest may have been changing its text, and those at kprobes become
 * attachments.
 */
void vl_trusted_recheck(struct vl_trusted *t);

/* trusted-check.c */

/*
 * vl_trust_memory over a struct vl_trusted: the guest's memory as it is now. For the text, the
 * image's place counts.
 */
bool vl_trusted_read(void *trusted, uint64_t va, void *buf, size_t len);

/*
 * Compare @guest, @len bytes at @va, with the text of @what, the kernel or a module of t->set; @out
 * gets the trusted bytes. What differs is a finding. False: the range is not in its text.
 */
bool vl_trusted_check(struct vl_trusted *t, const struct vl_trust *what, uint64_t va,
		      const void *guest, size_t len, void *out);

/* The same for the page @at bytes from the start of the kernel's text. It gets a mark. */
void vl_trusted_check_page(struct vl_trusted *t, uint64_t at, const void *page);

/* Keep attachment @f. To be called under the lock. */
void vl_trusted_keep_attached(struct vl_trusted *t, const struct vl_trust_finding *f);

/* NULL: no memory. free() destroys them. */
struct vl_trusted_pages *vl_trusted_pages_create(void);

/* trusted-marks.c */

enum vl_trusted_mark {
	VL_MARK_NONE,	 /* the page has no mark */
	VL_MARK_CHANGED, /* it has other bytes than when it was marked */
	VL_MARK_SAME,	 /* it has the same, and has to be judged */
	VL_MARK_RIGHT,	 /* it has the same, which are the bytes that may run */
};

/* Take the marks of @kept if they are of this text, else make room for new ones. */
void vl_trusted_marks_take(struct vl_trusted *t, const struct vl_trusted_kept *kept);

/* Compare @page with the mark of the page @at bytes from the start of the text. */
enum vl_trusted_mark vl_trusted_marked(const struct vl_trusted *t, uint64_t at, const void *page);

/* Mark that page. @right: all of it is legal, which depends on nothing but the text. */
void vl_trusted_mark(struct vl_trusted *t, uint64_t at, const void *page, bool right);

/* Write new marks to @buf, which has @size bytes. Returns their length; 0: there are none. */
size_t vl_trusted_marks_write(const struct vl_trusted *t, void *buf, size_t size);

/* trusted-text.c */

/*
 * Compare the whole text, and find the reads of the TSC in its trusted form. So a guest with
 * another text is known before any of it runs.
 */
struct vl_error *vl_trusted_take_text(struct vl_attach *a, struct vl_trusted *t);

/* trusted-slots.c */

/*
 * Control would go to @va, which is not trusted text. *@ret is the function that the trusted image
 * has in @slot, from which @va was taken; @slot 0: in all pointers that hold @va now. False: there
 * is none, or they had several.
 */
bool vl_trusted_initial(struct vl_trusted *t, uint64_t va, uint64_t slot, uint64_t *ret);
/* Find the constants, when the text has been found. */
void vl_trusted_find_constants(struct vl_trusted *t);
/*
 * Give @page, of the guest's constants at @va, the image's content. What differs becomes a finding.
 * To be called under the lock.
 */
void vl_trusted_take_constants(struct vl_trusted *t, uint64_t va, unsigned char *page);
/* Forget the slots that no longer hold the value that was found. Call it under the lock. */
void vl_trusted_recheck_slots(struct vl_trusted *t);

/* trusted-modules.c */

/* Bytes of a module's name, with its end (MODULE_NAME_LEN of Linux). */
#define VL_TRUSTED_NAME 56

/*
 * The name of the module that has @va, as the guest says it now: hostile. False: none. Takes the
 * lock.
 */
bool vl_trusted_module_at(struct vl_trusted *t, uint64_t va, char name[VL_TRUSTED_NAME]);

/* trusted.c */

/* Describe @va: "SYMBOL+0xOFFSET", or the address and its module, whose name is hostile. */
void vl_trusted_place(struct vl_trusted *t, uint64_t va, char *buf, size_t size);

/* The number of findings, of which vl_trusted_describe() describes the first. */
uint64_t vl_trusted_findings(const struct vl_trusted *t);

/* Describe finding @i in one line, "SYMBOL+0xOFFSET: …". Names of modules are hostile. "": none. */
void vl_trusted_describe(struct vl_trusted *t, size_t i, char *buf, size_t size);

#endif
