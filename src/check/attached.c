/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Attachments to the kernel: ftrace, kprobes, uprobes, live patches. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/cleanup.h"
#include "check.h"

#define PAGE 4096
#define TRAMPOLINE_MAX (16 * PAGE)
/* KPROBE_TABLE_SIZE, kernel/kprobes.c. */
#define KPROBE_HEADS 64

/* Collect the fields @fs of all elements of list @w. Without symbol @symbol there are none. */
static struct vl_error *collect(struct vl_checker *c, struct vl_walk *w, struct vl_fields *fs,
				const char *symbol, const char *what, size_t *nr_ret)
{
	w->head = vl_symbol(c->k, symbol);
	*nr_ret = 0;
	return w->head ? vl_collect(c->g, w, fs, what, nr_ret) : NULL;
}

/* Does @va, which the kernel calls, lead to code without an owner? */
static bool is_odd(const struct vl_checker *c, uint64_t va)
{
	return va && !vl_check_is_code(c, va);
}

/* @code: what is called; 0: not known. */
static void attached(struct vl_checker *c, const char *check, uint64_t at, const char *what,
		     uint64_t code)
{
	bool owned = !is_odd(c, code);

	vl_check_show(c, &(struct vl_check_row){
				 .class = owned ? VL_CHECK_ATTACHED : VL_CHECK_FINDING,
				 .check = check,
				 .at = at,
				 .what = what,
				 .expected = owned ? NULL : "code of the kernel or of a module",
				 .code = code,
			 });
}

/* ---- ftrace ---- */

struct ops {
	uint64_t at, func, trampoline, size;
};

static void ops_fields(struct vl_fields *fs)
{
	vl_fields_add_plain(fs, VL_FIELD_ADDRESS, offsetof(struct ops, at));
	vl_fields_add(fs, VL_F_FTRACE_FUNC, offsetof(struct ops, func), 8);
	vl_fields_add(fs, VL_F_FTRACE_TRAMPOLINE, offsetof(struct ops, trampoline), 8);
	vl_fields_add(fs, VL_F_FTRACE_TRAMPOLINE_SIZE, offsetof(struct ops, size), 8);
}

/*
 * Add the trampolines of ftrace. Those of static ops stay after the ops are unregistered, so
 * ftrace has a list of them.
 */
static struct vl_error *add_trampolines(struct vl_checker *c)
{
	struct vl_fields fs = { .layout = c->l };
	struct vl_walk w = {
		.kind = VL_WALK_LIST,
		.node = vl_offset(c->l, VL_F_FTRACE_LIST),
		.stride = sizeof(struct ops),
	};
	const struct ops *o;
	struct vl_error *err;
	size_t nr;

	if (!vl_has(c->l, VL_F_FTRACE_LIST))
		return NULL;
	ops_fields(&fs);
	err = collect(c, &w, &fs, "ftrace_ops_trampoline_list", "the trampolines of ftrace", &nr);
	o = w.records;
	for (size_t i = 0; i < nr; i++)
		if (o[i].size <= TRAMPOLINE_MAX)
			vl_places_add(&c->places, o[i].trampoline, o[i].size, VL_PLACE_FTRACE, "");
	vl_places_sort(&c->places);
	free(w.records);
	return err;
}

static struct vl_error *by_ftrace(struct vl_checker *c)
{
	struct vl_fields fs = { .layout = c->l };
	struct vl_walk w = {
		.kind = VL_WALK_CHAIN,
		.next = vl_offset(c->l, VL_F_FTRACE_NEXT),
		.stride = sizeof(struct ops),
	};
	const struct ops *o;
	struct vl_error *err;
	size_t nr;

	if (!vl_has(c->l, VL_F_FTRACE_NEXT))
		return NULL;
	err = add_trampolines(c);
	if (err)
		return err;
	ops_fields(&fs);
	err = collect(c, &w, &fs, "ftrace_ops_list", "the list of ftrace", &nr);
	o = w.records;
	/* The list ends with an element that traces nothing. */
	for (size_t i = 0; i < nr; i++)
		if (o[i].at != vl_symbol(c->k, "ftrace_list_end"))
			attached(c, "ftrace", o[i].at, NULL, o[i].func);
	free(w.records);
	return err;
}

/* ---- kprobes ---- */

struct probe {
	uint64_t at, addr, before, after;
};

/* Add the pages of copied instructions in the cache @symbol, a struct kprobe_insn_cache. */
static struct vl_error *add_slots(struct vl_checker *c, const char *symbol)
{
	struct vl_fields fs = { .layout = c->l };
	struct vl_walk w = {
		.kind = VL_WALK_LIST,
		.head = vl_symbol(c->k, symbol),
		.node = vl_offset(c->l, VL_F_KPROBE_PAGE_LIST),
		.stride = 8,
	};
	struct vl_error *err;
	size_t nr;

	if (!w.head || !vl_has(c->l, VL_F_KPROBE_CACHE_PAGES) ||
	    !vl_has(c->l, VL_F_KPROBE_PAGE_INSNS))
		return NULL;
	w.head += vl_offset(c->l, VL_F_KPROBE_CACHE_PAGES);
	vl_fields_add(&fs, VL_F_KPROBE_PAGE_INSNS, 0, 8);
	err = vl_collect(c->g, &w, &fs, "the pages of kprobes", &nr);
	for (size_t i = 0; i < nr; i++)
		vl_places_add(&c->places, ((const uint64_t *)w.records)[i], PAGE, VL_PLACE_KPROBE,
			      "");
	vl_places_sort(&c->places);
	free(w.records);
	return err;
}

static struct vl_error *by_kprobes(struct vl_checker *c)
{
	struct vl_fields fs = { .layout = c->l };
	struct vl_walk w = {
		.kind = VL_WALK_CHAIN,
		.node = vl_offset(c->l, VL_F_KPROBE_HLIST),
		.nr_heads = KPROBE_HEADS,
		.head_stride = 8,
		.stride = sizeof(struct probe),
	};
	const struct probe *p;
	struct vl_error *err;
	size_t nr;

	if (!vl_has(c->l, VL_F_KPROBE_ADDR))
		return NULL;
	err = add_slots(c, "kprobe_insn_slots");
	if (!err)
		err = add_slots(c, "kprobe_optinsn_slots");
	if (err)
		return err;
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, offsetof(struct probe, at));
	vl_fields_add(&fs, VL_F_KPROBE_ADDR, offsetof(struct probe, addr), 8);
	vl_fields_add(&fs, VL_F_KPROBE_PRE, offsetof(struct probe, before), 8);
	vl_fields_add(&fs, VL_F_KPROBE_POST, offsetof(struct probe, after), 8);
	err = collect(c, &w, &fs, "kprobe_table", "the table of kprobes", &nr);
	p = w.records;
	for (size_t i = 0; i < nr; i++) {
		char what[VL_CHECK_TEXT];

		attached(c, "kprobes", p[i].at, vl_check_describe(c, p[i].addr, what),
			 is_odd(c, p[i].after) || !p[i].before ? p[i].after : p[i].before);
	}
	free(w.records);
	return err;
}

/* ---- uprobes ---- */

/* Nodes that wait for their visit. A red-black tree of N nodes is at most 2 log2(N + 1) deep. */
#define TREE_DEEP 64

static struct vl_error *by_uprobes(struct vl_checker *c)
{
	uint64_t root = vl_symbol(c->k, "uprobes_tree"), stack[TREE_DEEP], node = 0;
	enum vl_read_status s;
	size_t deep = 0, seen = 0;

	if (!root || !vl_has(c->l, VL_F_UPROBE_NODE) || !vl_has(c->l, VL_F_RB_LEFT))
		return NULL;
	s = vl_read_u64(c->g->reader, &c->g->space, root, &node);
	if (node)
		stack[deep++] = node;
	while (!s && deep && seen++ < VL_COLLECT_MAX) {
		uint64_t left, right, offset = 0;
		char what[VL_CHECK_TEXT];

		node = stack[--deep];
		s = vl_read_u64(c->g->reader, &c->g->space, node + vl_offset(c->l, VL_F_RB_LEFT),
				&left);
		if (!s)
			s = vl_read_u64(c->g->reader, &c->g->space,
					node + vl_offset(c->l, VL_F_RB_RIGHT), &right);
		if (s)
			break;
		if (vl_has(c->l, VL_F_UPROBE_OFFSET))
			vl_read_u64(c->g->reader, &c->g->space,
				    node - vl_offset(c->l, VL_F_UPROBE_NODE) +
					    vl_offset(c->l, VL_F_UPROBE_OFFSET),
				    &offset);
		snprintf(what, sizeof(what), "offset 0x%" PRIx64 " of a file", offset);
		attached(c, "uprobes", node - vl_offset(c->l, VL_F_UPROBE_NODE), what, 0);
		if (left && deep < TREE_DEEP)
			stack[deep++] = left;
		if (right && deep < TREE_DEEP)
			stack[deep++] = right;
	}
	return vl_read_error(s, node);
}

/* ---- live patches ---- */

struct patch {
	uint64_t at;
	char module[VL_MODULE_NAME];
};

static struct vl_error *by_patches(struct vl_checker *c)
{
	struct vl_fields fs = { .layout = c->l };
	struct vl_walk w = {
		.kind = VL_WALK_LIST,
		.node = vl_offset(c->l, VL_F_KLP_LIST),
		.stride = sizeof(struct patch),
	};
	const struct patch *p;
	struct vl_error *err;
	size_t nr;

	if (!vl_has(c->l, VL_F_KLP_LIST) || !vl_has(c->l, VL_F_KLP_MOD))
		return NULL;
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, offsetof(struct patch, at));
	vl_fields_add_through(&fs, VL_F_KLP_MOD, VL_F_MOD_NAME, offsetof(struct patch, module),
			      VL_MODULE_NAME);
	err = collect(c, &w, &fs, "klp_patches", "the list of live patches", &nr);
	p = w.records;
	for (size_t i = 0; i < nr; i++) {
		char owner[VL_CHECK_TEXT];

		snprintf(owner, sizeof(owner), "module %.*s", VL_MODULE_NAME, p[i].module);
		vl_check_show(c, &(struct vl_check_row){
					 .class = VL_CHECK_ATTACHED,
					 .check = "live patches",
					 .at = p[i].at,
					 .owner = owner,
				 });
	}
	free(w.records);
	return err;
}

struct vl_error *vl_check_attached(struct vl_checker *c)
{
	struct vl_error *(*const each[])(struct vl_checker *) = { by_ftrace, by_kprobes, by_uprobes,
								  by_patches };
	struct vl_error *err = NULL;

	for (size_t i = 0; !err && i < ARRAY_SIZE(each); i++)
		err = each[i](c);
	return err;
}
