/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Attachments to the kernel: ftrace, kprobes, uprobes, live patches. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/cleanup.h"
#include "hooks.h"

#define PAGE 4096
/* KPROBE_TABLE_SIZE, kernel/kprobes.c. */
#define KPROBE_HEADS 64

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
	uint64_t at, func;
};

static struct vl_error *by_ftrace(struct vl_checker *c)
{
	struct vl_fields fs = { .layout = c->l };
	struct vl_walk w = {
		.kind = VL_WALK_CHAIN,
		.head = vl_symbol(c->k, "ftrace_ops_list"),
		.next = vl_offset(c->l, VL_F_FTRACE_NEXT),
		.stride = sizeof(struct ops),
	};
	const struct ops *o;
	struct vl_error *err;
	size_t nr;

	if (!w.head || !vl_has(c->l, VL_F_FTRACE_NEXT))
		return NULL;
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, offsetof(struct ops, at));
	vl_fields_add(&fs, VL_F_FTRACE_FUNC, offsetof(struct ops, func), 8);
	err = vl_collect(c->g, &w, &fs, "the list of ftrace", &nr);
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

/* Probes at the same place are in the list of an aggregate probe; no kernel has more of them. */
#define SAME_PLACE_MAX 1024

/* Add the pages of copied instructions in the cache @symbol, a struct kprobe_insn_cache. */
static struct vl_error *add_slots(struct vl_checker *c, const char *symbol)
{
	struct vl_fields fs = { .layout = c->l };
	struct vl_walk w = vl_walk_list(c->g, symbol, VL_F_KPROBE_PAGE_LIST, 8);
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

/*
 * The code of an optimized probe is a copy of a template (arch/x86/kernel/kprobes/opt.c): the same
 * bytes up to a place that the kernel fills in, and then a call of optimized_callback().
 */
#define TEMPLATE_MAX 256

/* Is the code at @to that of an optimized probe? */
static bool is_optimized(struct vl_checker *c, uint64_t to)
{
	uint64_t start = vl_symbol(c->k, "optprobe_template_entry");
	uint64_t filled = vl_symbol(c->k, "optprobe_template_clac");
	uint64_t call = vl_symbol(c->k, "optprobe_template_call");
	unsigned char ours[TEMPLATE_MAX], theirs[TEMPLATE_MAX];
	int32_t distance;

	if (vl_place_of(&c->places, to).kind != VL_PLACE_KPROBE)
		return false;
	if (!filled)
		filled = vl_symbol(c->k, "optprobe_template_val");
	/* Without these symbols only the place can be checked. */
	if (!start || filled <= start || call <= filled || call - start + 5 > sizeof(ours))
		return true;
	if (vl_read(c->g->reader, &c->g->space, to, ours, call - start + 5) ||
	    vl_read(c->g->reader, &c->g->space, start, theirs, call - start + 5))
		return false;
	memcpy(&distance, ours + (call - start) + 1, sizeof(distance));
	return !memcmp(ours, theirs, filled - start) && ours[call - start] == 0xe8 &&
	       to + (call - start) + 5 + (uint64_t)(int64_t)distance ==
		       vl_symbol(c->k, "optimized_callback");
}

/*
 * A probe is a breakpoint or, optimized, a jump to code of its own. Its entry in the table must not
 * hide any other jump.
 */
static void check_site(struct vl_checker *c, const struct probe *p)
{
	char what[VL_CHECK_TEXT], place[VL_CHECK_TEXT], found[VL_CHECK_TEXT];
	unsigned char code[5];
	int32_t distance;
	uint64_t to;

	if (vl_read(c->g->reader, &c->g->space, p->addr, code, sizeof(code)) || code[0] != 0xe9)
		return;
	memcpy(&distance, code + 1, sizeof(distance));
	to = p->addr + 5 + (uint64_t)(int64_t)distance;
	/* The probe's instruction can be a jump itself, as long as the probe is off. */
	if (vl_place_of(&c->places, to).kind == VL_PLACE_TEXT || is_optimized(c, to))
		return;
	snprintf(found, sizeof(found), "jumps to %.170s", vl_check_describe(c, to, place));
	vl_check_show(c, &(struct vl_check_row){
				 .check = "kprobes",
				 .at = p->addr,
				 .what = vl_check_describe(c, p->addr, what),
				 .expected = "the code of an optimized probe",
				 .found = found,
				 .code = to,
			 });
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Keep the addresses of the probes, for vl_check_text(). */
static struct vl_error *keep_sites(struct vl_checker *c, const struct probe *p, size_t nr)
{
	c->probes = calloc(nr + 1, sizeof(*c->probes));
	if (!c->probes)
		return vl_error_nomem();
	for (size_t i = 0; i < nr; i++)
		c->probes[i] = p[i].addr;
	c->nr_probes = nr;
	qsort(c->probes, nr, sizeof(*c->probes), by_value);
	return NULL;
}

/*
 * Show the handler of probe @p. The probe of a kretprobe (kprobe is its first member) arranges the
 * call of the handler, which is shown instead.
 */
static void show_probe(struct vl_checker *c, const struct probe *p)
{
	uint64_t code = is_odd(c, p->after) || !p->before ? p->after : p->before;
	const char *check = "kprobes";
	char what[VL_CHECK_TEXT];
	uint64_t handler, entry;

	if (code && code == vl_symbol(c->k, "pre_handler_kretprobe") &&
	    vl_has(c->l, VL_F_KRETPROBE_HANDLER) && vl_has(c->l, VL_F_KRETPROBE_ENTRY)) {
		vl_read_u64(c->g->reader, &c->g->space,
			    p->at + vl_offset(c->l, VL_F_KRETPROBE_HANDLER), &handler);
		vl_read_u64(c->g->reader, &c->g->space,
			    p->at + vl_offset(c->l, VL_F_KRETPROBE_ENTRY), &entry);
		check = "kretprobes";
		code = is_odd(c, entry) || !handler ? entry : handler;
	}
	attached(c, check, p->at, vl_check_describe(c, p->addr, what), code);
}

/* Show the probes that @p stands for. */
static void show_same_place(struct vl_checker *c, const struct probe *p)
{
	uint64_t head = p->at + vl_offset(c->l, VL_F_KPROBE_LIST), node;
	enum vl_read_status s = vl_read_u64(c->g->reader, &c->g->space, head, &node);

	for (size_t i = 0; !s && node != head && i < SAME_PLACE_MAX; i++) {
		struct probe one = { .at = node - vl_offset(c->l, VL_F_KPROBE_LIST),
				     .addr = p->addr };

		s = vl_read_u64(c->g->reader, &c->g->space,
				one.at + vl_offset(c->l, VL_F_KPROBE_PRE), &one.before);
		if (!s)
			s = vl_read_u64(c->g->reader, &c->g->space,
					one.at + vl_offset(c->l, VL_F_KPROBE_POST), &one.after);
		if (!s) {
			show_probe(c, &one);
			s = vl_read_u64(c->g->reader, &c->g->space, node, &node);
		}
	}
}

static struct vl_error *by_kprobes(struct vl_checker *c)
{
	struct vl_fields fs = { .layout = c->l };
	struct vl_walk w = {
		.kind = VL_WALK_CHAIN,
		.head = vl_symbol(c->k, "kprobe_table"),
		.node = vl_offset(c->l, VL_F_KPROBE_HLIST),
		.nr_heads = KPROBE_HEADS,
		.head_stride = 8,
		.stride = sizeof(struct probe),
	};
	const struct probe *p;
	struct vl_error *err;
	size_t nr;

	if (!w.head || !vl_has(c->l, VL_F_KPROBE_ADDR))
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
	err = vl_collect(c->g, &w, &fs, "the table of kprobes", &nr);
	p = w.records;
	if (!err)
		err = keep_sites(c, p, nr);
	for (size_t i = 0; i < nr; i++) {
		check_site(c, &p[i]);
		if (p[i].before && p[i].before == vl_symbol(c->k, "aggr_pre_handler") &&
		    vl_has(c->l, VL_F_KPROBE_LIST))
			show_same_place(c, &p[i]);
		else
			show_probe(c, &p[i]);
	}
	free(w.records);
	return err;
}

/* ---- uprobes ---- */

static void show_uprobe(void *ctx, uint64_t node)
{
	struct vl_checker *c = ctx;
	uint64_t at = node - vl_offset(c->l, VL_F_UPROBE_NODE), offset = 0;
	char what[VL_CHECK_TEXT];

	if (vl_has(c->l, VL_F_UPROBE_OFFSET))
		vl_hook_word(c, at + vl_offset(c->l, VL_F_UPROBE_OFFSET), &offset);
	snprintf(what, sizeof(what), "offset 0x%" PRIx64 " of a file", offset);
	attached(c, "uprobes", at, what, 0);
}

static struct vl_error *by_uprobes(struct vl_checker *c)
{
	uint64_t root = vl_symbol(c->k, "uprobes_tree"), first;

	if (!root || !vl_has(c->l, VL_F_UPROBE_NODE))
		return NULL;
	if (!vl_hook_word(c, root, &first) ||
	    !vl_tree_each(c->g, first, VL_COLLECT_MAX, show_uprobe, c))
		vl_hook_damaged(c, "uprobes", "the tree of uprobes");
	return NULL;
}

/* ---- live patches ---- */

struct patch {
	uint64_t at;
	char module[VL_MODULE_NAME];
};

static struct vl_error *by_patches(struct vl_checker *c)
{
	struct vl_fields fs = { .layout = c->l };
	struct vl_walk w = vl_walk_list(c->g, "klp_patches", VL_F_KLP_LIST, sizeof(struct patch));
	const struct patch *p;
	struct vl_error *err;
	size_t nr;

	if (!w.head || !vl_has(c->l, VL_F_KLP_MOD))
		return NULL;
	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, offsetof(struct patch, at));
	vl_fields_add_through(&fs, VL_F_KLP_MOD, VL_F_MOD_NAME, offsetof(struct patch, module),
			      VL_MODULE_NAME);
	err = vl_collect(c->g, &w, &fs, "the list of live patches", &nr);
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
