/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file behind a target's memory: where it ends, and how long its reads take. */
#ifndef VLENS_HOST_FILE_H
#define VLENS_HOST_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"

struct vl_target;
struct vl_waits;

/*
 * The kernel's memory ends at @end, as it says itself. If @t is the file of a flat image, which has
 * no size of its own, vl_target_short() compares.
 */
void vl_target_note_end(struct vl_target *t, uint64_t end);
/*
 * @err is about the memory of @t. If the file behind it ends before that memory, or was cut since
 * it was opened, say that first, as it may be the cause. Returns @err.
 */
struct vl_error *vl_target_short(const struct vl_target *t, struct vl_error *err);

/*
 * The bytes at the end of range @i of the RAM of @t that lie behind the end of its file. Of a
 * packed file it is not known: 0.
 */
uint64_t vl_target_cut_off(const struct vl_target *t, size_t i);
/*
 * The memory behind all ranges that the kernel says it has, and the file lacks: its first address;
 * *@end_ret is behind its last one, or 0: there is none.
 */
uint64_t vl_target_cut_behind(const struct vl_target *t, uint64_t *end_ret);
/* May the file behind @t be cut short (--partial)? */
bool vl_target_is_partial(const struct vl_target *t);
/* Does the kernel say that there is memory at @gpa which the file behind @t lacks? */
bool vl_target_lacks(const struct vl_target *t, uint64_t gpa);
/*
 * The error for such memory, and for a page that a file leaves out: VL_ERR_LACKING if it may be
 * missing, VL_ERR_TARGET else.
 */
struct vl_error *vl_target_lacking(const struct vl_target *t, uint64_t gpa)
	__attribute__((returns_nonnull));
/* A read of @t at @gpa found no RAM, or had @err: note it if the file lacks it. */
void vl_target_note_miss(struct vl_target *t, uint64_t gpa, const struct vl_error *err);
/* The error for the first such read since the last call; NULL: there was none. */
struct vl_error *vl_target_missed(struct vl_target *t);
/* The number of such reads so far; the error for the last one, if there are more than @before. */
uint64_t vl_target_misses(const struct vl_target *t);
struct vl_error *vl_target_missed_since(const struct vl_target *t, uint64_t before);

/* The waits for the file of a dump, for deadlines; NULL: @t is a running guest. */
const struct vl_waits *vl_target_waits(const struct vl_target *t);
/* Count the waits in @w, which another process can read. @w must outlive @t. */
void vl_target_share_waits(struct vl_target *t, struct vl_waits *w);

#endif
