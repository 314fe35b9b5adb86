/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The selection in a list, and its sort column. */
#include "screen.h"

void top_scroll_to_selected(struct vtop *t)
{
	const struct vl_top_sample *s = t->guests[t->guest].sample;

	for (size_t i = 0; t->follow && i < t->list.nr; i++)
		if (top_list_pid(&t->list, s, i) == t->follow)
			t->at = i;
	if (t->at >= t->list.nr)
		t->at = t->list.nr ? t->list.nr - 1 : 0;
	if (t->at < t->from)
		t->from = t->at;
	if (t->at >= t->from + t->page)
		t->from = t->at - t->page + 1;
	/* No empty lines at the end while lines above are hidden. */
	if (t->from + t->page > t->list.nr)
		t->from = t->list.nr > t->page ? t->list.nr - t->page : 0;
}

size_t top_moved(size_t at, size_t nr, size_t page, int how)
{
	size_t last = nr ? nr - 1 : 0;

	switch (how) {
	case TOP_UP:
		return at ? at - 1 : 0;
	case TOP_DOWN:
		return at < last ? at + 1 : last;
	case TOP_PAGE_UP:
		return at > page ? at - page : 0;
	case TOP_PAGE_DOWN:
		return at + page < last ? at + page : last;
	case TOP_TO_HOME:
		return 0;
	default:
		return last;
	}
}

bool top_sorts_up(int column)
{
	/* Names and ids sort from the smallest, amounts from the largest. */
	static const bool up[] = {
		[VL_TOP_PID] = true,  [VL_TOP_USER] = true, [VL_TOP_PRI] = true,
		[VL_TOP_NI] = true,   [VL_TOP_S] = true,    [VL_TOP_COMMAND] = true,
		[VL_TOP_PPID] = true, [VL_TOP_UID] = true,  [VL_TOP_EUID] = true,
		[VL_TOP_COMM] = true, [VL_TOP_TASK] = true, [VL_TOP_CONTAINER] = true,
		[VL_TOP_UNIT] = true
	};

	return (size_t)column < sizeof(up) && up[column];
}

void top_sort_by(struct vtop *t, int column)
{
	t->filter.column = column;
	t->filter.down = !top_sorts_up(column);
	t->filter.tree = false;
	t->follow = 0;
	t->at = t->from = 0;
}
