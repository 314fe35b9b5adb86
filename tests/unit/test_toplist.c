/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vtop's tree: each task once, whatever a guest says of parents. */
#include "../../bin/vtop/list.c"

#include "tap.h"

#define NR 300

static struct vl_top_task tasks[NR];
static struct vl_top_sample sample = { .tasks = tasks, .nr_tasks = NR };
static const struct top_filter filter = { .column = VL_TOP_PID,
					  .tree = true,
					  .user = TOP_ANY_USER };
static struct top_list list;

/* Is each task in the list once? */
static bool complete(void)
{
	size_t seen[NR] = { 0 };
	bool ret = top_list_make(&list, &sample, &filter) && list.nr == NR;

	for (size_t i = 0; ret && i < NR; i++)
		ret = list.items[i].task < NR && !seen[list.items[i].task]++;
	return ret;
}

/* By container, then by the column; those in none are the last. */
static void test_grouped(void)
{
	static const int want[] = { 3, 1, 5, 2, 6, 4 };
	struct top_filter by = {
		.column = VL_TOP_RES, .down = true, .grouped = true, .user = TOP_ANY_USER
	};
	struct vl_top_sample few = { .tasks = tasks, .nr_tasks = 6, .text = (char *)"bbaaa" };
	bool right;

	for (int i = 0; i < 6; i++)
		tasks[i] = (struct vl_top_task){ .pid = i + 1, .res = (uint64_t)i };
	/* "aaa" has 1 and 3, "bb" 2 and 5; the rest none. */
	tasks[0].box = tasks[2].box = 2;
	tasks[0].box_len = tasks[2].box_len = 3;
	tasks[1].box_len = tasks[4].box_len = 2;
	right = top_list_make(&list, &few, &by) && list.nr == 6;
	for (size_t i = 0; right && i < 6; i++)
		right = tasks[list.items[i].task].pid == want[i];
	ok(right, "grouped by container");
}

int main(void)
{
	for (int i = 0; i < NR; i++)
		tasks[i] = (struct vl_top_task){ .pid = i + 1, .ppid = i ? 1 : 0 };
	ok(complete() && !list.items[0].depth && list.items[1].depth == 1, "all below one");
	for (int i = 0; i < NR; i++)
		tasks[i].ppid = i;
	ok(complete() && list.items[MAX_DEPTH].depth == MAX_DEPTH &&
		   !list.items[MAX_DEPTH + 1].depth,
	   "a tree as deep as it has tasks goes on in trees of its own");
	for (int i = 0; i < NR; i++)
		tasks[i].ppid = NR - i + 1;
	ok(complete(), "pairs that are each other's parent");
	for (int i = 0; i < NR; i++)
		tasks[i].ppid = i ? i : NR;
	ok(complete(), "one circle of all");
	for (int i = 0; i < NR; i++)
		tasks[i].ppid = i + 1;
	ok(complete(), "each its own parent");
	for (int i = 0; i < NR; i++)
		tasks[i] = (struct vl_top_task){ .pid = 7, .ppid = 7 * (i & 1) };
	ok(complete(), "one number for all");
	test_grouped();
	top_list_deinit(&list);
	return tap_end();
}
