/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Comparisons of lists that change between the looks: what counts as hidden. */
#include <string.h>

#include "tap.h"
#include "host/internal.h"

/* Each layer has its own, of its own type. */
#undef VL_PAGE_SIZE
#include "syscall/sys.h"
#include "view/diff.h"

/* This process plays the hypervisor of a running guest. */
static struct vl_target target;
static struct vl_raw_guest guest = { .target = &target };

static struct vl_error *nothing(struct vl_sys *sys)
{
	(void)sys;
	return NULL;
}

static void end(struct vl_sys *sys)
{
	(void)sys;
}

static const struct vl_sys_ops ops = { .begin = nothing, .end = end };
static struct vl_sys sys = { .ops = &ops };

/* What shows item 7 in the looks 0 to 2: a bit for each way; and where the first way has it. */
struct script {
	unsigned ways[3];
	uint64_t address[3];
};

static struct script script;
static unsigned looks; /* begun so far */

/* Way @bit of the current look. Item 1 is in every list. */
static struct vl_error *see(struct vl_diff_items *items, unsigned bit)
{
	unsigned i = looks - 1;

	vl_diff_see(items, 1, "init", 4, 0x1000, bit, false);
	if (script.ways[i] & bit)
		vl_diff_see(items, 7, "item", 4, bit == 1 ? script.address[i] : 0x7000, bit, false);
	return NULL;
}

static struct vl_error *first(struct vl_comparison *k, struct vl_diff_items *items, unsigned bit)
{
	(void)k;
	looks++;
	return see(items, bit);
}

static struct vl_error *other(struct vl_comparison *k, struct vl_diff_items *items, unsigned bit)
{
	(void)k;
	return see(items, bit);
}

enum { KEY, A, B, C, PART, MARK, NAME, ADDRESS };

static const struct vl_column columns[] = {
	[KEY] = { "KEY", VL_CELL_UINT, true },
	[A] = { "A", VL_CELL_BOOL, true },
	[B] = { "B", VL_CELL_BOOL, true },
	[C] = { "C", VL_CELL_BOOL, true },
	[PART] = { "PART", VL_CELL_BOOL, true },
	[MARK] = { "MARK", VL_CELL_TEXT, true },
	[NAME] = { "NAME", VL_CELL_TEXT, true },
	[ADDRESS] = { "ADDRESS", VL_CELL_HEX, true },
	{ 0 },
};

/* Compare by @s. True: the mark of item 7 is @mark; NULL: it has none. */
static bool gives(struct script s, const char *mark)
{
	static const struct vl_diff_way ways[] = {
		{ "a", false, false, false, first, NULL },
		{ "b", false, false, false, other, NULL },
		{ "c", false, false, false, other, NULL },
		{ "part", false, false, true, other, NULL },
	};
	static const struct vl_diff_kind kind = { ways, 4, A, NAME, ADDRESS, KEY };
	struct vl_table t;
	bool good = false;

	script = s;
	looks = 0;
	vl_table_init(&t, columns);
	if (!vl_discard(vl_diff_run(&guest, &sys, &kind, &t))) {
		good = t.nr_marked == !!mark;
		for (size_t i = 0; i < t.nr_rows && mark; i++) {
			const struct vl_cell *v = vl_table_cell(&t, i, MARK);

			if (vl_table_cell(&t, i, KEY)->u == 7)
				good = good && v->kind == VL_CELL_TEXT &&
				       v->text.len == strlen(mark) &&
				       !memcmp(vl_table_bytes(&t, v), mark, v->text.len);
		}
	}
	vl_table_deinit(&t);
	return good;
}

#define SAME .address = { 0x7000, 0x7000, 0x7000 }

int main(void)
{
	target.pid = getpid();
	ok(gives((struct script){ { 7, 7, 7 }, SAME }, NULL) && looks == 1,
	   "one pass is enough if all lists are the same");
	ok(gives((struct script){ { 5, 5, 5 }, SAME }, "hidden from b") && looks == 3,
	   "what a list lacks in each pass is hidden");
	ok(gives((struct script){ { 5, 7, 5 }, SAME }, NULL) &&
		   gives((struct script){ { 5, 5, 7 }, SAME }, NULL) &&
		   gives((struct script){ { 5, 0, 5 }, SAME }, NULL),
	   "what a list lacks in some looks only comes or goes");
	ok(gives((struct script){ { 3, 5, 6 }, SAME }, NULL),
	   "so it does if each pass lacks it in another list");
	ok(gives((struct script){ { 1, 4, 5 }, SAME }, "hidden from b") &&
		   gives((struct script){ { 8, 9, 12 }, SAME }, "hidden from b") &&
		   gives((struct script){ { 9, 12, 8 }, SAME }, "hidden from b, found in part"),
	   "it is hidden from the list that always lacks it, while others change");
	ok(gives((struct script){ { 7, 7, 7 }, { 0x8000, 0x9000, 0x8000 } },
		 "is two under one name") &&
		   gives((struct script){ { 7, 7, 7 }, { 0x8000, 0x7000, 0x8000 } }, NULL),
	   "two under one name count if each pass has them");
	return tap_end();
}
