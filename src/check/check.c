/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../attach/attach.h"
#include "../base/append.h"
#include "../base/array.h"
#include "../base/bisect.h"
#include "../base/hash.h"
#include "../base/cleanup.h"
#include "../host/file.h"
#include "../view/dispatch.h"

enum {
	CHECK_CLASS,
	CHECK_NAME,
	CHECK_WHAT,
	CHECK_FOUND,
	CHECK_EXPECTED,
	CHECK_OWNER,
	CHECK_SURE,
	CHECK_ADDRESS
};

static const struct vl_column columns[] = {
	[CHECK_CLASS] = { "CLASS", VL_CELL_TEXT, true,
			  .doc = "finding, attached (by an interface of the kernel) or note" },
	[CHECK_NAME] = { "CHECK", VL_CELL_TEXT, true, .doc = "name of the check" },
	[CHECK_WHAT] = { "WHAT", VL_CELL_TEXT, true, .doc = "what was checked" },
	[CHECK_FOUND] = { "FOUND", VL_CELL_TEXT, true, .doc = "what was found there" },
	[CHECK_EXPECTED] = { "EXPECTED", VL_CELL_TEXT, true, .doc = "what should be there" },
	[CHECK_OWNER] = { "OWNER", VL_CELL_TEXT, true, .doc = "owner of the code that was found" },
	[CHECK_SURE] = { "SURE", VL_CELL_TEXT, true,
			 .doc = "of a finding: certain, or likely (it can be harmless)" },
	[CHECK_ADDRESS] = { "ADDRESS", VL_CELL_HEX, true, .doc = "address of what was checked" },
	{ 0 },
};

/* Rows of each class that are shown; a guest can make any number. */
#define ROWS_MAX 4096

static const char *const classes[] = {
	[VL_CHECK_FINDING] = "finding",
	[VL_CHECK_ATTACHED] = "attached",
	[VL_CHECK_NOTE] = "note",
};

/* Note how many rows of each class are not shown. */
static void show_rest(struct vl_checker *c)
{
	for (size_t i = 0; i < ARRAY_SIZE(c->rows); i++) {
		if (c->rows[i] <= ROWS_MAX)
			continue;
		vl_table_row(c->t);
		vl_table_str(c->t, CHECK_CLASS, classes[i]);
		vl_table_printf(c->t, CHECK_WHAT, "and %" PRIu64 " more", c->rows[i] - ROWS_MAX);
	}
}

/* Note @key of a finding. False: the pass before did not have it. */
static bool note(struct vl_checker *c, uint64_t key)
{
	size_t at = vl_bisect(i, c->nr_held, c->held[i] < key);

	if (vl_grow(c->found, c->cap_found, c->nr_found, 64))
		c->found[c->nr_found++] = key;
	else
		c->places.full = true;
	return !c->again || (at < c->nr_held && c->held[at] == key);
}

/* Kinds of keys of one finding. */
enum { KEY_PLACE, KEY_TARGET, KEY_OWNER };

static uint64_t key_of(const struct vl_check_row *row, unsigned char kind, const void *data,
		       size_t len)
{
	return vl_hash(vl_hash(vl_hash_text(row->check), &kind, 1), data, len);
}

/*
 * Note a finding. False: the pass before did not have it, so it does not count. A hook that moves
 * from one place to another is the same finding: the code that it leads to, or the module of that,
 * stays.
 */
static bool holds(struct vl_checker *c, const struct vl_check_row *row)
{
	const struct vl_place p = vl_place_of(&c->places, row->code);
	bool held = row->at || !row->what ?
			    note(c, key_of(row, KEY_PLACE, &row->at, sizeof(row->at))) :
			    note(c, key_of(row, KEY_PLACE, row->what, strlen(row->what)));

	/* Tracers and probes come and go, and their code is the kernel's. */
	if (p.kind == VL_PLACE_MODULE || p.kind == VL_PLACE_HIDDEN)
		held |= note(c, key_of(row, KEY_OWNER, p.name, strlen(p.name)));
	else if (p.kind == VL_PLACE_NOBODY || p.kind == VL_PLACE_CLAIMED)
		held |= note(c, key_of(row, KEY_TARGET, &row->code, sizeof(row->code)));
	return held;
}

/*
 * May @row, a finding, come from memory that the file lacks? The owner of code may be in a list
 * that could not be read to its end. Other findings may rest on something that the check has not
 * found.
 */
static bool is_doubtful(const struct vl_checker *c, const struct vl_check_row *row)
{
	enum vl_place_kind kind;

	if (!row->code)
		return !row->sound && vl_target_misses(c->g->target) > c->misses;
	kind = vl_place_of(&c->places, row->code).kind;
	return c->lacks_owners && kind != VL_PLACE_TEXT && kind != VL_PLACE_IMAGE;
}

/* The same row as a note that says why it is none of a finding. */
static void show_doubt(struct vl_checker *c, const struct vl_check_row *row)
{
	char found[VL_CHECK_TEXT], text[2 * VL_CHECK_TEXT];
	struct vl_check_row doubt = *row;

	snprintf(text, sizeof(text), "not sure, as the file lacks memory: %s",
		 row->found ? row->found : vl_check_describe(c, row->code, found));
	doubt.class = VL_CHECK_NOTE;
	doubt.unsure = true;
	doubt.found = text;
	doubt.expected = NULL;
	vl_check_show(c, &doubt);
}

void vl_check_show(struct vl_checker *c, const struct vl_check_row *row)
{
	char symbol[VL_CHECK_TEXT], found[VL_CHECK_TEXT], owner[VL_CHECK_TEXT];

	if (row->class == VL_CHECK_FINDING && is_doubtful(c, row)) {
		show_doubt(c, row);
		return;
	}
	if (row->class == VL_CHECK_FINDING && !holds(c, row))
		return;
	if (c->rows[row->class]++ >= ROWS_MAX)
		return;
	vl_table_row(c->t);
	vl_table_str(c->t, CHECK_CLASS, classes[row->class]);
	vl_table_str(c->t, CHECK_NAME, row->check);
	if (row->what)
		vl_table_str(c->t, CHECK_WHAT, row->what);
	else if (*vl_check_symbol(c, row->at, symbol))
		vl_table_str(c->t, CHECK_WHAT, symbol);
	vl_table_str(c->t, CHECK_FOUND,
		     row->code && !row->found ? vl_check_describe(c, row->code, found) :
						row->found);
	vl_table_str(c->t, CHECK_EXPECTED, row->expected);
	vl_table_str(c->t, CHECK_OWNER,
		     row->code ? vl_check_owner(c, row->code, owner) : row->owner);
	if (row->at)
		vl_table_uint(c->t, CHECK_ADDRESS, row->at);
	c->t->nr_unsure += row->unsure;
	if (row->class != VL_CHECK_FINDING)
		return;
	/* Pages of several points in time can contradict each other on a healthy guest. */
	vl_table_str(c->t, CHECK_SURE,
		     row->likely || vl_target_moved(c->g->target) ? "likely" : "certain");
	c->t->nr_marked++;
}

/* Order the rows: findings, those that are certain first, then attachments, then notes. */
static void order(struct vl_table *t)
{
	static const char *const firsts[] = { "finding certain", "finding ", "attached ", "note " };
	_cleanup_free_ unsigned char *ranks = calloc(t->nr_rows + 1, 1);
	char class[16], sure[16], words[40];

	for (size_t i = 0; ranks && i < t->nr_rows; i++) {
		snprintf(words, sizeof(words), "%s %s",
			 vl_check_cell(t, i, "CLASS", class, sizeof(class)) ? class : "",
			 vl_check_cell(t, i, "SURE", sure, sizeof(sure)) ? sure : "");
		while (ranks[i] < ARRAY_SIZE(firsts) - 1 &&
		       strncmp(words, firsts[ranks[i]], strlen(firsts[ranks[i]])) != 0)
			ranks[i]++;
	}
	if (ranks)
		vl_table_order(t, ranks, ARRAY_SIZE(firsts));
}

/* ---- all of them ---- */

struct check {
	const char *name;
	struct vl_error *(*run)(struct vl_checker *c);
	/*
	 * The fields that it reads, up to VL_NR_FIELDS: a kernel without types must show them in
	 * its code. NULL: it needs types. A list of owners that lacks some makes false findings.
	 */
	const enum vl_field *fields;
	bool owners; /* it adds owners of code */
};

static const enum vl_field no_fields[] = { VL_NR_FIELDS };
static const enum vl_field stubs_fields[] = {
	VL_F_FTRACE_LIST, VL_F_FTRACE_FUNC, VL_F_FTRACE_TRAMPOLINE, VL_F_FTRACE_TRAMPOLINE_SIZE,
	VL_NR_FIELDS,
};
static const enum vl_field taints_fields[] = { VL_F_MOD_LIST, VL_F_MOD_NAME, VL_F_MOD_TAINTS,
					       VL_NR_FIELDS };

/* Can @check be made? If not, that is noted, and the other checks are made. */
static bool bears(struct vl_checker *c, const struct check *check)
{
	struct vl_error *err = vl_scan_bears(c->g, check->fields, check->name);

	if (!err)
		return true;
	vl_error_destroy(err);
	/* A second pass would note the same. */
	if (!c->again)
		vl_append(c->untyped, sizeof(c->untyped), "%s%s", *c->untyped ? ", " : "",
			  check->name);
	return false;
}

/* The checks that could not be made without types. */
static struct vl_error *say_untyped(const struct vl_checker *c)
{
	if (!*c->untyped)
		return NULL;
	return vl_error_hint(vl_error_new(VL_ERR_KERNEL,
					  "the guest's kernel has no BTF types, so these could "
					  "not be checked: %s",
					  c->untyped),
			     VL_ADD_TYPES);
}

/* Is @name an item of @list, "A, B"? */
static bool is_named(const char *list, const char *name)
{
	const size_t len = strlen(name);

	for (const char *at = list; (at = strstr(at, name)); at += len)
		if ((at == list || at[-1] == ' ') && (!at[len] || at[len] == ','))
			return true;
	return false;
}

/* Note that check @name needs memory that the file lacks. */
static void note_cut(struct vl_checker *c, const char *name)
{
	struct vl_error *missed = vl_target_missed_since(c->g->target, c->misses);

	if (!is_named(c->cut, name))
		vl_append(c->cut, sizeof(c->cut), "%s%s", *c->cut ? ", " : "", name);
	c->missed = vl_error_first(c->missed, missed);
}

/* The checks that could be made in part only; takes c->missed. */
static struct vl_error *say_cut(struct vl_checker *c)
{
	struct vl_error *err = c->missed;

	c->missed = NULL;
	if (!err)
		return NULL;
	return vl_error_prefix(err, "not all could be checked of %s%s%s", c->cut,
			       *c->untyped ? ", and without types nothing of " : "", c->untyped);
}

/* Make the @nr checks @list, all of them; *@first gets the first error. */
static void make(struct vl_checker *c, const struct check *list, size_t nr, struct vl_error **first)
{
	for (size_t i = 0; i < nr; i++) {
		struct vl_error *why;

		c->misses = vl_target_misses(c->g->target);
		why = bears(c, &list[i]) ? list[i].run(c) : NULL;
		if (vl_target_misses(c->g->target) > c->misses) {
			note_cut(c, list[i].name);
			c->lacks_owners |= list[i].owners;
		}
		if (why)
			why = vl_error_prefix(why, "%s could not be checked", list[i].name);
		*first = vl_error_first(*first, why);
	}
}

/* The checks that read memory, once. */
static struct vl_error *look(struct vl_checker *c)
{
	static const struct check list[] = {
		/* The checks that add owners of memory come first: the others need these owners. */
		{ "the code that the kernel has made", vl_check_stubs, stubs_fields, true },
		{ "BPF", vl_check_bpf, NULL, true },
		{ "what is attached to the kernel", vl_check_attached, NULL, true },
		{ "the system calls", vl_check_calls, stubs_fields, false },
		{ "the entries of the kernel", vl_check_entry, no_fields, false },
		{ "the protection of the kernel's memory", vl_check_protection, no_fields, false },
		{ "the kernel's text", vl_check_text, NULL, false },
		{ "the trusted text", vl_check_image, vl_scan_asks, false },
		{ "the pointers", vl_check_pointers, NULL, false },
		{ "the registered functions", vl_check_hooks, NULL, false },
		{ "the network's functions", vl_check_network, NULL, false },
		{ "the timers", vl_check_later, NULL, false },
		{ "the files' functions", vl_check_files, NULL, false },
		{ "the functions of open files and sockets", vl_check_objects, NULL, false },
		{ "the modules' memory", vl_check_memory, NULL, false },
		{ "the tasks", vl_check_tasks, NULL, false },
		{ "the restrictions", vl_check_limits, no_fields, false },
		{ "what taints the kernel", vl_check_taints, taints_fields, false },
	};
	struct vl_error *err, *more = NULL;

	c->misses = vl_target_misses(c->g->target);
	err = vl_places_init(c->g, &c->places);
	if (vl_target_misses(c->g->target) > c->misses) {
		note_cut(c, "the owners of code");
		c->lacks_owners = true;
	}
	if (!err && c->places.partial)
		more = vl_error_new(VL_ERR_KERNEL,
				    "executable memory outside the modules could not "
				    "be checked: the kernel has too many page tables");
	if (!err)
		make(c, list, ARRAY_SIZE(list), &err);
	err = vl_error_first(more, err);
	err = vl_error_first(err, c->damaged);
	c->damaged = NULL;
	if (c->places.full) {
		vl_error_destroy(err);
		err = vl_error_nomem();
	}
	return err;
}

/* Free the results of one pass. */
static void forget(struct vl_checker *c)
{
	vl_places_deinit(&c->places);
	vl_stubs_deinit(&c->stubs);
	free(c->probes);
	c->probes = NULL;
	c->knows_classic = false;
	c->nr_probes = 0;
}

static int by_hash(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The next pass shows only findings that this one has, too. */
static void hold(struct vl_checker *c)
{
	free(c->held);
	c->held = c->found;
	c->nr_held = c->nr_found;
	c->found = NULL;
	c->nr_found = c->cap_found = 0;
	c->again = true;
	if (c->nr_held)
		qsort(c->held, c->nr_held, sizeof(*c->held), by_hash);
}

/*
 * A guest that runs also changes its kernel itself: it loads a module, it attaches a tracer. A
 * look in the middle of that finds breakpoints, and memory that has no owner yet. The next pass
 * finds others, so a finding counts only if the pass before has it, too.
 */
#define LOOKS 5
#define LOOK_AGAIN_NS 20000000L

static struct vl_error *run(struct vl_raw_guest *g, struct vl_sys *sys, struct vl_table *t)
{
	static const struct check comparisons[] = {
		{ "the processes", vl_check_processes, vl_scan_asks, false },
		{ "what is mounted over processes", vl_check_mounts, vl_scan_asks, false },
		{ "the modules", vl_check_modules, vl_scan_asks, false },
		{ "the sockets", vl_check_sockets, vl_scan_asks, false },
	};
	struct vl_checker c = {
		.g = g,
		.sys = sys,
		.k = g->attach->kernel,
		.l = vl_kernel_layout(g->attach->kernel),
		.t = t,
	};
	const struct timespec wait = { .tv_nsec = LOOK_AGAIN_NS };
	struct vl_error *err = vl_need_booted(g, "it was not checked");

	if (err)
		return err;

	for (unsigned i = 1;; i++) {
		err = look(&c);
		/* A guest that cannot be asked, as one whose hypervisor is stopped, stays so. */
		if (((!err || err->code == VL_ERR_TARGET) && !t->nr_marked) || i == LOOKS ||
		    !vl_target_is_live(g->target))
			break;
		vl_error_destroy(err);
		forget(&c);
		hold(&c);
		vl_table_clear(t);
		memset(c.rows, 0, sizeof(c.rows));
		nanosleep(&wait, NULL);
	}
	/* These look several times themselves. */
	c.again = false;
	make(&c, comparisons, ARRAY_SIZE(comparisons), &err);
	show_rest(&c);
	order(t);
	forget(&c);
	free(c.found);
	free(c.held);
	err = vl_error_first(say_untyped(&c), err);
	err = vl_error_first(say_cut(&c), err);
	return err ? err : vl_table_end(t);
}

const struct vl_diff vl_diff_check = { "check", "checks", columns, run, "finding" };
