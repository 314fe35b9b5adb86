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

/* By container, then by the column; those in none are the last. 0: the sum of what follows. */
static void test_grouped(void)
{
	static const int want[] = { 0, 3, 1, 0, 5, 2, 0, 6, 4 };
	static const uint64_t sums[] = { 2, 5, 8 };
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
	for (int i = 0; i < 6; i++) {
		tasks[i].cpu = i < 3 ? 5 : VL_TOP_UNKNOWN;
		tasks[i].mem = INT32_MAX;
	}
	right = top_list_make(&list, &few, &by) && list.nr == 9 && list.nr_sums == 3;
	for (size_t i = 0; right && i < 9; i++)
		right = top_list_pid(&list, &few, i) == want[i] && list.items[i].sum == !want[i];
	ok(right, "grouped by container, with a sum before each group");
	for (size_t i = 0; right && i < 3; i++)
		right = list.sums[i].of.res == sums[i] && list.sums[i].processes == 2 &&
			list.sums[i].of.mem == INT32_MAX;
	ok(right && list.sums[0].of.cpu == 10 && list.sums[1].of.cpu == 5 &&
		   list.sums[2].of.cpu == VL_TOP_UNKNOWN && list.sums[2].of.box_len == 0,
	   "sums: a share that is not known counts as nothing, and none grows without bound");
	few.nr_tasks = 0;
	ok(top_list_make(&list, &few, &by) && !list.nr && !list.nr_sums, "groups of nothing");
}

/* Is the tree of the processes whose name has @text that of @pids, up to 0? */
static bool is_tree(const char *text, uint32_t user, const int *pids)
{
	const struct top_filter by = {
		.column = VL_TOP_PID, .tree = true, .user = user, .text = text
	};
	struct vl_top_sample few = { .tasks = tasks, .nr_tasks = 6, .text = (char *)"" };
	bool right = top_list_make(&list, &few, &by);
	size_t i = 0;

	for (; right && pids[i]; i++)
		right = top_list_pid(&list, &few, i) == pids[i];
	return right && list.nr == i;
}

static void test_parents(void)
{
	static const char *const names[] = { "init", "shell", "worker", "other", "deep", "loop" };
	static const int ppids[] = { 0, 1, 2, 1, 3, 6 };

	for (int i = 0; i < 6; i++) {
		tasks[i] = (struct vl_top_task){ .pid = i + 1, .ppid = ppids[i] };
		tasks[i].euid = i == 1 ? 7 : 0;
		memcpy(tasks[i].comm, names[i], strlen(names[i]));
	}
	ok(is_tree("deep", TOP_ANY_USER, (const int[]){ 1, 2, 3, 5, 0 }) &&
		   list.items[3].depth == 3,
	   "a filter keeps the parents in a tree");
	ok(is_tree("LOOP", TOP_ANY_USER, (const int[]){ 6, 0 }) &&
		   is_tree("nothing", TOP_ANY_USER, (const int[]){ 0 }),
	   "one that is its own parent; none");
	ok(is_tree("deep", 0, (const int[]){ 3, 5, 0 }), "a parent of another user is not kept");
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
	test_parents();
	top_list_deinit(&list);
	return tap_end();
}
