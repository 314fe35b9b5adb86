/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "collect.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/cleanup.h"
#include "../host/file.h"

/* A list of a running guest changes while it is walked. */
#define TRIES 8
#define FIRST_ROOM 256

/* The index of @out among the places whose field is lacking, or their number. */
static size_t find_lacking(const struct vl_fields *fs, size_t out)
{
	size_t i = 0;

	while (i < fs->nr_lacking && fs->lacking[i] != out)
		i++;
	return i;
}

static int lack(struct vl_fields *fs, size_t out)
{
	if (fs->nr_lacking < VL_WALK_FIELDS && find_lacking(fs, out) == fs->nr_lacking)
		fs->lacking[fs->nr_lacking++] = (uint32_t)out;
	return -1;
}

static int add(struct vl_fields *fs, const struct vl_walk_field *f)
{
	size_t i = find_lacking(fs, f->out);

	if (fs->nr == VL_WALK_FIELDS)
		return lack(fs, f->out);
	if (i < fs->nr_lacking)
		fs->lacking[i] = fs->lacking[--fs->nr_lacking];
	fs->f[fs->nr] = *f;
	return (int)fs->nr++;
}

int vl_fields_add(struct vl_fields *fs, enum vl_field f, size_t out, size_t size)
{
	if (!vl_has(fs->layout, f))
		return lack(fs, out);
	return add(fs, &(struct vl_walk_field){ .kind = VL_FIELD_BYTES,
						.size = (uint16_t)size,
						.out = (uint32_t)out,
						.offset = { fs->layout->offset[f] } });
}

int vl_fields_add_through(struct vl_fields *fs, enum vl_field through, enum vl_field f, size_t out,
			  size_t size)
{
	return vl_fields_add_far(fs, (const enum vl_field[]){ through, f }, 2, out, size);
}

int vl_fields_add_far(struct vl_fields *fs, const enum vl_field *path, size_t nr, size_t out,
		      size_t size)
{
	struct vl_walk_field f = {
		.kind = VL_FIELD_BYTES,
		.derefs = (uint8_t)(nr - 1),
		.size = (uint16_t)size,
		.out = (uint32_t)out,
	};

	for (size_t i = 0; i < nr; i++) {
		if (!vl_has(fs->layout, path[i]))
			return lack(fs, out);
		f.offset[i] = fs->layout->offset[path[i]];
	}
	return add(fs, &f);
}

void vl_fields_add_plain(struct vl_fields *fs, enum vl_field_kind kind, size_t out)
{
	add(fs, &(struct vl_walk_field){ .kind = (uint8_t)kind, .size = 8, .out = (uint32_t)out });
}

void vl_fields_note_lacks(struct vl_fields *fs, size_t out)
{
	fs->notes_lacks = true;
	fs->lacks = (uint32_t)out;
}

void vl_fields_compute(struct vl_fields *fs, size_t at, size_t size, size_t from)
{
	if (fs->nr_computed < ARRAY_SIZE(fs->computed))
		fs->computed[fs->nr_computed++] = (struct vl_computed){
			.at = (uint16_t)at,
			.size = (uint16_t)size,
			.from = (uint16_t)from,
		};
}

static uint32_t lacks_of(const struct vl_fields *fs, const void *record)
{
	uint32_t lacks = 0;

	if (fs->notes_lacks)
		memcpy(&lacks, (const char *)record + fs->lacks, sizeof(lacks));
	return lacks;
}

/* Are bytes of the record in [@at, @at + @size) of a field in the mask @lacks? */
static bool lacks_bytes(const struct vl_fields *fs, uint32_t lacks, size_t at, size_t size)
{
	for (size_t i = 0; lacks && i < fs->nr; i++)
		if (lacks >> i & 1 && at < fs->f[i].out + fs->f[i].size && fs->f[i].out < at + size)
			return true;
	for (size_t i = 0; lacks && i < fs->nr_computed; i++)
		if (at < fs->computed[i].at + fs->computed[i].size &&
		    fs->computed[i].at < at + size &&
		    lacks_bytes(fs, lacks, fs->computed[i].from, 1))
			return true;
	return false;
}

bool vl_record_lacks(const struct vl_fields *fs, const void *record, size_t out)
{
	return lacks_bytes(fs, lacks_of(fs, record), out, 1);
}

static void note_lacks(const struct vl_walk *w, const struct vl_fields *fs, size_t nr)
{
	for (size_t k = 0; k < nr; k++) {
		uint32_t lacks = 0;

		for (size_t i = 0; i < fs->nr; i++) {
			uint8_t status = w->status[k * fs->nr + i];

			if (status != VL_READ_OK && status != VL_READ_NULL)
				lacks |= 1U << i;
		}
		memcpy((char *)w->records + k * w->stride + fs->lacks, &lacks, sizeof(lacks));
	}
}

struct vl_error *vl_left_out(size_t nr, const char *what, struct vl_error *err)
{
	if (!nr || err)
		return err;
	return vl_error_hint(vl_error_new(VL_ERR_LACKING,
					  "%zu %s cannot be shown: what names them cannot be read",
					  nr, what),
			     "that memory is not in the file, or it is damaged");
}

struct vl_error *vl_records_keep(struct vl_walk *w, const struct vl_fields *fs, size_t out,
				 const char *what, struct vl_error *err, size_t *nr)
{
	size_t kept = 0, of = *nr;

	for (size_t k = 0; k < of; k++) {
		char *record = (char *)w->records + k * w->stride;

		if (vl_record_lacks(fs, record, out))
			continue;
		if (kept != k)
			memcpy((char *)w->records + kept * w->stride, record, w->stride);
		kept++;
	}
	*nr = kept;
	return vl_left_out(of - kept, what, err);
}

static struct vl_error *walk_error(const struct vl_raw_guest *g, const struct vl_walked *w,
				   const char *what)
{
	if (!vl_target_is_live(g->target) &&
	    (w->status == VL_READ_GONE || w->status == VL_READ_NO_RAM))
		return vl_error_hint(
			vl_error_fault(w->fault,
				       "%s cannot be followed after %zu elements: 0x%" PRIx64
				       " is not in the file",
				       what, w->nr, w->fault),
			vl_target_is_partial(g->target) ?
				"what is behind lies in the part that the file lacks, or is not "
				"found" :
				"the file lacks that memory, or the list is damaged");
	switch (w->status) {
	case VL_READ_LOOP:
		return vl_error_hint(vl_error_fault(w->fault,
						    "%s loops at 0x%" PRIx64 " after %zu elements",
						    what, w->fault, w->nr),
				     "it is damaged, or was changed to hide what is behind");
	case VL_READ_MORE:
		return vl_error_new(VL_ERR_KERNEL, "%s has more than %u elements", what,
				    VL_COLLECT_MAX);
	case VL_READ_GONE:
		return vl_read_error(w->status, w->fault);
	default:
		return vl_error_hint(vl_error_fault(w->fault,
						    "%s runs into garbage after %zu elements: %s "
						    "at 0x%" PRIx64,
						    what, w->nr, vl_read_strstatus(w->status),
						    w->fault),
				     "it is damaged, or the guest is not up yet");
	}
}

struct vl_error *vl_collect(struct vl_raw_guest *g, struct vl_walk *w, const struct vl_fields *fs,
			    const char *what, size_t *nr_ret)
{
	struct vl_walked walked = { .status = VL_READ_MORE };

	*nr_ret = 0;
	if (!w->max)
		w->max = FIRST_ROOM;
	w->fields = fs->f;
	w->nr_fields = fs->nr;
	w->records = NULL;
	for (unsigned try = 0; try < TRIES;) {
		/* A field that fails does not end the walk. */
		_cleanup_free_ uint8_t *status = calloc(w->max, fs->nr);

		free(w->records);
		w->records = calloc(w->max, w->stride);
		w->status = status;
		if (!w->records || !w->status)
			return vl_error_nomem();
		vl_walk(g->reader, &g->space, w, &walked);
		if (fs->notes_lacks)
			note_lacks(w, fs, walked.nr < w->max ? walked.nr : w->max);
		if (walked.status == VL_READ_OK || walked.status == VL_READ_GONE)
			break;
		if (walked.status == VL_READ_MORE) {
			if (w->max >= VL_COLLECT_MAX)
				break;
			w->max = w->max < VL_COLLECT_MAX / 4 ? w->max * 4 : VL_COLLECT_MAX;
			continue;
		}
		/* A dump does not change: a retry would fail again. */
		if (!vl_target_is_live(g->target))
			break;
		try++;
	}
	*nr_ret = walked.nr < w->max ? walked.nr : w->max;
	return walked.status == VL_READ_OK ? NULL : walk_error(g, &walked, what);
}

struct vl_walk vl_walk_list(const struct vl_raw_guest *g, const char *symbol, enum vl_field node,
			    size_t stride)
{
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);

	return (struct vl_walk){
		.kind = VL_WALK_LIST,
		.head = vl_has(l, node) ? vl_symbol(g->attach->kernel, symbol) : 0,
		.node = vl_offset(l, node),
		.stride = stride,
	};
}

struct vl_walk vl_walk_idr(const struct vl_raw_guest *g, const char *symbol, size_t stride)
{
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	uint64_t idr = vl_symbol(g->attach->kernel, symbol);
	bool is_known = vl_has(l, VL_F_IDR_HEAD) && vl_has(l, VL_F_XA_SHIFT) &&
			vl_has(l, VL_F_XA_SLOTS) && vl_has(l, VL_F_XA_MARKS);

	return (struct vl_walk){
		.kind = VL_WALK_XARRAY,
		.head = idr && is_known ? idr + vl_offset(l, VL_F_IDR_HEAD) : 0,
		.xa_shift = vl_offset(l, VL_F_XA_SHIFT),
		.xa_slots = vl_offset(l, VL_F_XA_SLOTS),
		.xa_nr_slots = (vl_offset(l, VL_F_XA_MARKS) - vl_offset(l, VL_F_XA_SLOTS)) / 8,
		.stride = stride,
	};
}

struct vl_error *vl_collect_tasks(struct vl_raw_guest *g, struct vl_walk *w,
				  const struct vl_fields *fs, size_t *nr_ret)
{
	const enum vl_field need[] = { VL_F_TASK_TASKS, VL_F_TASK_TGID };
	struct vl_error *err = vl_need_fields(g, need, ARRAY_SIZE(need), "the task list");

	*nr_ret = 0;
	if (!err)
		err = vl_need_symbol(g, "init_task", "the task list", &w->head);
	if (err)
		return err;
	w->kind = VL_WALK_LIST;
	w->node = vl_offset(fs->layout, VL_F_TASK_TASKS);
	w->head += w->node;
	return vl_collect(g, w, fs, "the task list", nr_ret);
}

bool vl_tree_each(struct vl_raw_guest *g, uint64_t first, uint64_t max,
		  void (*fn)(void *ctx, uint64_t node), void *ctx)
{
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	const enum vl_field sides[] = { VL_F_RB_LEFT, VL_F_RB_RIGHT };
	uint64_t stack[VL_TREE_DEEP], child;
	size_t deep = 0;

	if (!vl_has(l, VL_F_RB_LEFT) || !vl_has(l, VL_F_RB_RIGHT))
		return true;
	if (first)
		stack[deep++] = first;
	while (deep) {
		uint64_t node = stack[--deep];

		if (!max--)
			return false;
		for (size_t i = 0; i < ARRAY_SIZE(sides); i++) {
			if (vl_read_u64(g->reader, &g->space, node + vl_offset(l, sides[i]),
					&child))
				return false;
			if (child && deep == VL_TREE_DEEP)
				return false;
			if (child)
				stack[deep++] = child;
		}
		fn(ctx, node);
	}
	return true;
}

struct vl_error *vl_need_symbol(struct vl_raw_guest *g, const char *name, const char *what,
				uint64_t *ret)
{
	*ret = vl_symbol(g->attach->kernel, name);
	return *ret ? NULL :
		      vl_error_new(VL_ERR_KERNEL,
				   "the guest's kernel has no symbol %s: %s cannot be found", name,
				   what);
}

const enum vl_field vl_scan_asks[] = { VL_NR_FIELDS };

struct vl_error *vl_scan_bears(const struct vl_raw_guest *g, const enum vl_field *fields,
			       const char *what)
{
	const struct vl_layout *l = g->attach ? vl_kernel_layout(g->attach->kernel) : NULL;
	const char *type = NULL, *path = NULL;

	if (!l || !l->derived)
		return NULL;
	for (size_t i = 0; fields && fields[i] != VL_NR_FIELDS && !type; i++)
		if (vl_layout_unknown(l, fields[i]))
			vl_field_name(fields[i], &type, &path);
	if (fields && !type)
		return NULL;
	return vl_error_hint(vl_error_new(VL_ERR_KERNEL,
					  "the guest's kernel has no BTF types, and its code does "
					  "not show %s%s%s: %s cannot be read",
					  type ? type : "all that is needed",
					  type && *path ? "." : "", type ? path : "", what),
			     VL_ADD_TYPES);
}

const char *const vl_task_symbols[] = { "init_task", NULL }, *const vl_no_symbols[] = { NULL };

/* Does @k have a variable of @names, "A|B", or lack the function that "FUNCTION?" names? */
static bool has_one(const struct vl_kernel *k, const char *names)
{
	while (*names) {
		size_t len = strcspn(names, "|?");
		char name[64];

		if (len >= sizeof(name))
			return false;
		memcpy(name, names, len);
		name[len] = '\0';
		if (vl_symbol_is(k, name) != (names[len] == '?'))
			return true;
		names += len + !!names[len];
	}
	return false;
}

struct vl_error *vl_symbols_bear(const struct vl_raw_guest *g, const char *const *symbols,
				 const char *what)
{
	const struct vl_kernel *k = g->attach ? g->attach->kernel : NULL;
	const char *name = NULL;

	if (!k || !vl_kernel_has_few(k))
		return NULL;
	for (; symbols && *symbols && !name; symbols++)
		if (!has_one(k, *symbols))
			name = *symbols;
	if (symbols && !name)
		return NULL;
	if (!name)
		name = "all that is needed";
	if (strchr(name, '?'))
		name = strchr(name, '?') + 1;
	return vl_error_hint(
		vl_error_new(VL_ERR_KERNEL,
			     "the guest's kernel has %s, and its code does not show where %.*s is: "
			     "%s cannot be read",
			     vl_kernel_is_bare(k) ?
				     "no table of its symbols (no CONFIG_KALLSYMS)" :
				     "symbols of its code only (no CONFIG_KALLSYMS_ALL)",
			     (int)strcspn(name, "|"), name, what),
		"a kernel that is built with CONFIG_KALLSYMS_ALL shows it");
}

struct vl_error *vl_need_fields(struct vl_raw_guest *g, const enum vl_field *f, size_t nr,
				const char *what)
{
	const struct vl_layout *l = vl_kernel_layout(g->attach->kernel);
	const char *type, *path;

	for (size_t i = 0; i < nr; i++) {
		if (vl_has(l, f[i]))
			continue;
		vl_field_name(f[i], &type, &path);
		return vl_error_new(VL_ERR_KERNEL,
				    "the guest's kernel has no %s%s%s: %s cannot be read", type,
				    *path ? "." : "", path, what);
	}
	return NULL;
}

int64_t vl_column_number(const struct vl_column *c, const void *record)
{
	unsigned above = 8 * (sizeof(uint64_t) - c->size);
	uint64_t v = 0;

	memcpy(&v, (const char *)record + c->at, c->size);
	if (c->kind != VL_CELL_INT && c->kind != VL_CELL_TENTHS)
		return (int64_t)v;
	return (int64_t)(v << above) >> above;
}

void vl_table_record(struct vl_table *t, const struct vl_fields *fs, const void *record)
{
	const uint32_t lacks = fs ? lacks_of(fs, record) : 0;

	vl_table_row(t);
	for (size_t i = 0; i < t->nr_columns; i++) {
		const struct vl_column *c = &t->columns[i];
		const char *text = (const char *)record + c->at;

		if (!c->size || (fs && find_lacking(fs, c->at) < fs->nr_lacking) ||
		    lacks_bytes(fs, lacks, c->at, c->size))
			continue;
		if (c->kind == VL_CELL_TEXT) {
			if (*text || !c->or_none)
				vl_table_text(t, i, text, strnlen(text, c->size));
		} else {
			int64_t v = vl_column_number(c, record);

			if (v || !c->or_none)
				vl_table_int(t, i, v);
		}
	}
}

void vl_table_none(struct vl_table *t, size_t column)
{
	if (!t->full && t->nr_rows && column < t->nr_columns)
		t->cells[(t->nr_rows - 1) * t->nr_columns + column] =
			(struct vl_cell){ .kind = VL_CELL_NONE };
}
