/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the views share: fields by the kernel's own types, and whole walks. */
#ifndef VLENS_COLLECT_H
#define VLENS_COLLECT_H

#include <time.h>

#include "../kernel/kernel.h"
#include "scan.h"

/* The most elements followed: PID_MAX_LIMIT (include/linux/threads.h). */
#define VL_COLLECT_MAX (4U << 20)

/* The fields of one walk, and where in the record each goes. */
struct vl_fields {
	const struct vl_layout *layout;
	struct vl_walk_field f[VL_WALK_FIELDS];
	size_t nr;
};

/*
 * Add a field of @size bytes at @out of the record: in the element, or, with
 * @through, in what the pointer there points to. One that the kernel's types
 * do not have is not added: its bytes in the record are to be 0. Returns its
 * index among the statuses, or -1.
 */
int vl_fields_add(struct vl_fields *fs, enum vl_field f, size_t out, size_t size);
int vl_fields_add_through(struct vl_fields *fs, enum vl_field through, enum vl_field f, size_t out,
			  size_t size);
/* The element's address; or, in an xarray, its index. */
void vl_fields_add_plain(struct vl_fields *fs, enum vl_field_kind kind, size_t out);

/*
 * Walk to the end, with as much room as it takes (up to VL_COLLECT_MAX elements,
 * at first for `max` of them, 0: some),
 * again should the list change underfoot. @w names the walk, its fields and
 * stride; `records` (zeroed) and `status` are malloc'ed here and the caller's,
 * also when it failed: *@nr_ret elements are good. @what is walked, for the message.
 */
struct vl_error *vl_collect(struct vl_subject *s, struct vl_walk *w, const char *what,
			    size_t *nr_ret);

/* Offset of @f, for a row that is known to be there; 0 else. */
static inline uint32_t vl_offset(const struct vl_layout *l, enum vl_field f)
{
	return vl_has(l, f) ? (uint32_t)l->offset[f] : 0;
}

/*
 * The address of symbol @name, or VL_ERR_KERNEL that says that the guest's kernel
 * has none and so @what cannot be shown.
 */
struct vl_error *vl_need_symbol(struct vl_subject *s, const char *name, const char *what,
				uint64_t *ret);

/* VL_ERR_KERNEL, unless the kernel's types have all of @f (@nr of them). */
struct vl_error *vl_need_fields(struct vl_subject *s, const enum vl_field *f, size_t nr,
				const char *what);

/*
 * The boot-time clock, in ns, as of the last tick, which an idle guest stops: the
 * monotonic one (see vmst/time.c) and what it slept. False: it cannot be read.
 */
bool vl_subject_uptime(struct vl_subject *s, uint64_t *ret);

/* The letter of ps(1) for task_struct.__state and .exit_state. */
char vl_task_letter(uint32_t state, uint32_t exit_state);

#endif
