/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the views: fields by the kernel's own types, whole walks, and page tables. */
#ifndef VLENS_COLLECT_H
#define VLENS_COLLECT_H

#include <time.h>

#include "../host/target.h"
#include "../imee/imee.h"
#include "../kernel/kernel.h"
#include "scan.h"

/* Shared by the views: fields by the kernel's own types, and whole walks. */

/* The most elements followed: PID_MAX_LIMIT (include/linux/threads.h). */
#define VL_COLLECT_MAX (4U << 20)

/* The fields of one walk, and their places in the record. */
struct vl_fields {
	const struct vl_layout *layout;
	struct vl_walk_field f[VL_WALK_FIELDS];
	size_t nr;
	uint32_t lacking[VL_WALK_FIELDS]; /* places in the record whose field the kernel lacks */
	size_t nr_lacking;
	/* vl_fields_note_lacks(), vl_fields_compute() */
	bool notes_lacks;
	uint32_t lacks;
	struct vl_computed {
		uint16_t at, size, from;
	} computed[8];
	size_t nr_computed;
};

/*
 * Add a field of @size bytes at @out of the record. It is in the element or, with @through,
 * behind the pointer there. A field that the kernel's types lack is not added, its bytes stay
 * zero, and vl_table_record() leaves its column empty, unless another field is added at @out.
 * Returns its index among the statuses, or -1.
 */
int vl_fields_add(struct vl_fields *fs, enum vl_field f, size_t out, size_t size);
int vl_fields_add_through(struct vl_fields *fs, enum vl_field through, enum vl_field f, size_t out,
			  size_t size);
/*
 * The same for a field behind several pointers: @path has @nr fields, of which the last is the one
 * to add. There are at most VL_WALK_DEREFS pointers.
 */
int vl_fields_add_far(struct vl_fields *fs, const enum vl_field *path, size_t nr, size_t out,
		      size_t size);
/*
 * Let vl_collect() set the bits, at @out of the record (a uint32_t), of the fields that it could
 * not read. A field behind a pointer that is NULL is no such field.
 */
void vl_fields_note_lacks(struct vl_fields *fs, size_t out);
/* The @size bytes at @at of the record are computed by the caller, from the field at @from. */
void vl_fields_compute(struct vl_fields *fs, size_t at, size_t size, size_t from);
/* Could the field at @out of @record, or the value that was computed from it, not be read? */
bool vl_record_lacks(const struct vl_fields *fs, const void *record, size_t out);
/* Add the element's address or, in an xarray, its index. */
void vl_fields_add_plain(struct vl_fields *fs, enum vl_field_kind kind, size_t out);

/*
 * Walk to the end, with room for @w->max elements (0: a default) that grows up to
 * VL_COLLECT_MAX; retry if the list changes meanwhile. @w has the walk and the stride of the
 * records, which get the fields @fs. `records` (zeroed) is malloc'ed here and owned by the
 * caller, also on failure: *@nr_ret of them are good. @what names the list, for the message.
 */
struct vl_error *vl_collect(struct vl_raw_guest *g, struct vl_walk *w, const struct vl_fields *fs,
			    const char *what, size_t *nr_ret);
/*
 * Remove from the *@nr records of @w those whose field at @out could not be read, so that it is not
 * known what they are. VL_ERR_LACKING if there were some and @err is NULL, else @err; @what names
 * the elements, in the plural.
 */
struct vl_error *vl_records_keep(struct vl_walk *w, const struct vl_fields *fs, size_t out,
				 const char *what, struct vl_error *err, size_t *nr);
/* That error, for @nr elements that the caller left out. */
struct vl_error *vl_left_out(size_t nr, const char *what, struct vl_error *err);
/*
 * The walk of the list whose head is the variable @symbol, or of the IDR in it: @node is the
 * place of the node in its elements, the records have @stride bytes. `head` is 0 if the kernel
 * has no such variable or no such type.
 */
struct vl_walk vl_walk_list(const struct vl_raw_guest *g, const char *symbol, enum vl_field node,
			    size_t stride);
struct vl_walk vl_walk_idr(const struct vl_raw_guest *g, const char *symbol, size_t stride);
/* vl_collect() for the list of processes, which starts at init_task: @w has only the stride. */
struct vl_error *vl_collect_tasks(struct vl_raw_guest *g, struct vl_walk *w,
				  const struct vl_fields *fs, size_t *nr_ret);

/* Nodes that wait for their visit. A red-black tree of N nodes is at most 2 log2(N + 1) deep. */
#define VL_TREE_DEEP 64

/*
 * Call @fn with the address of each node of a red-black tree, whose first node is @first. At most
 * @max nodes are visited. False: a node could not be read, or there are more.
 */
bool vl_tree_each(struct vl_raw_guest *g, uint64_t first, uint64_t max,
		  void (*fn)(void *ctx, uint64_t node), void *ctx);

/*
 * The place of a column's value in a record of @type: a number, or an array of characters with
 * or without a NUL at its end.
 */
#define VL_IN(type, member) .at = offsetof(type, member), .size = sizeof(((type *)0)->member)

/*
 * Add a row to @t, with the cells whose columns have a place in @record. With the fields @fs (may
 * be NULL) that a walk read into it, a column stays empty whose field the kernel lacks, or whose
 * value could not be read (vl_fields_note_lacks()).
 */
void vl_table_record(struct vl_table *t, const struct vl_fields *fs, const void *record);
/* Drop what the last row of @t has in @column. */
void vl_table_none(struct vl_table *t, size_t column);
/* The number that @record has for column @c. */
int64_t vl_column_number(const struct vl_column *c, const void *record);

/* Offset of @f; 0 if the kernel's types lack it. */
static inline uint32_t vl_offset(const struct vl_layout *l, enum vl_field f)
{
	return vl_has(l, f) ? (uint32_t)l->offset[f] : 0;
}

/*
 * The address of symbol @name; without it VL_ERR_KERNEL, which says that @what cannot be found.
 */
struct vl_error *vl_need_symbol(struct vl_raw_guest *g, const char *name, const char *what,
				uint64_t *ret);

/* VL_ERR_KERNEL unless the kernel's types have all of @f (@nr of them). */
struct vl_error *vl_need_fields(struct vl_raw_guest *g, const enum vl_field *f, size_t nr,
				const char *what);

/*
 * The boot-time clock in ns, as of the last tick, which an idle guest stops: the monotonic
 * clock (see vmst/time.c) plus the time asleep. False: it cannot be read.
 */
bool vl_raw_guest_uptime(struct vl_raw_guest *g, uint64_t *ret);

/*
 * VL_ERR_BOOTING for a kernel that has not started its first program: until then it changes its own
 * text and constants. NULL: it has, or that cannot be read. @what was not done, in words.
 */
struct vl_error *vl_need_booted(struct vl_raw_guest *g, const char *what);
/* The time of the boot, in ns since 1970, by the guest's clock. False: it cannot be read. */
bool vl_raw_guest_booted(struct vl_raw_guest *g, uint64_t *ret);

/*
 * Can @g be shown in a view of @what with @fields (struct vl_scan)? VL_ERR_KERNEL: a field is not
 * known for sure. Without a known kernel nothing is checked.
 */
struct vl_error *vl_scan_bears(const struct vl_raw_guest *g, const enum vl_field *fields,
			       const char *what);
/*
 * The same for the variables that it looks up: "NAME", "NAME|OTHER" for one of two,
 * "FUNCTION?NAME" for one that only kernels with that function have.
 */
struct vl_error *vl_symbols_bear(const struct vl_raw_guest *g, const char *const *symbols,
				 const char *what);
/* The symbols of a view that looks up init_task, and of one that looks up none. */
extern const char *const vl_task_symbols[], *const vl_no_symbols[];
/* The variables of the CPUs, of memory and of the clock (totals.c). */
extern const char *const vl_totals_symbols[];
/* The fields of memory, of the CPUs and of processes, for a sample (struct vl_scan). */
extern const enum vl_field vl_memory_fields[], vl_cpu_fields[], vl_top_fields[];
/* The fields that a watch cannot do without. */
extern const enum vl_field vl_watch_fields[];
/* The fields of a view that needs symbols only, or checks each field that it needs. */
extern const enum vl_field vl_scan_asks[];

/* The letter of ps(1) for task_struct.__state and .exit_state. */
char vl_task_letter(uint32_t state, uint32_t exit_state);

/* The leaves of a guest's page tables in a range of addresses. */

/*
 * A page: @size bytes at @va are at guest-physical @gpa. @flags: all other bits of the entry; NX is
 * that of any level, US and RW are those of all.
 */
struct vl_leaf {
	uint64_t va, gpa, size, flags;
};

/*
 * Call @fn for each page mapped in [@start, @last], in ascending order, until it returns false. At
 * most VL_PAGES_TABLES tables are read, and fewer of a small guest: it can build tables that lead
 * to each other without end. False: that limit was reached, or @fn returned false.
 */
#define VL_PAGES_TABLES (256U << 10)
bool vl_pages_each(struct vl_target *t, const struct vl_space *s, uint64_t start, uint64_t last,
		   bool (*fn)(void *ctx, const struct vl_leaf *leaf), void *ctx);
/*
 * The same for executable pages only. Tables that map none are read once, wherever they are used.
 */
bool vl_pages_executable(struct vl_target *t, const struct vl_space *s, uint64_t start,
			 uint64_t last, bool (*fn)(void *ctx, const struct vl_leaf *leaf),
			 void *ctx);

#endif
