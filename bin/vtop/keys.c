/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The keys of vtop: one table for what they do and for the help. */
#include <curses.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "screen.h"

#define CTRL(c) ((c)&0x1f)
#define SHIFT 8 /* columns that left and right move by */

#define LISTS (TOP_GUESTS | TOP_TASKS)
#define ALL (TOP_GUESTS | TOP_TASKS | TOP_DETAIL | TOP_HELP)
#define TEXTS (TOP_DETAIL | TOP_HELP)

/* ---- moving ---- */

static struct top_guest *shown(struct vtop *t)
{
	return &t->guests[t->guest];
}

static void act_move(struct vtop *t, int how)
{
	switch (t->pane) {
	case TOP_GUESTS:
		t->guest_at = top_moved(t->guest_at, t->nr, t->page, how);
		break;
	case TOP_TASKS:
		t->follow = 0;
		t->at = top_moved(t->at, t->list.nr, t->page, how);
		break;
	default:
		t->scroll = top_moved(t->scroll, t->scroll_max + 1, t->page, how);
		break;
	}
}

static void act_shift(struct vtop *t, int by)
{
	if (by > 0)
		t->column_from += (size_t)by;
	else
		t->column_from -= t->column_from < (size_t)-by ? t->column_from : (size_t)-by;
}

/* ---- sorting ---- */

static void act_sort(struct vtop *t, int column)
{
	top_sort_by(t, column);
}

static void act_invert(struct vtop *t, int arg)
{
	(void)arg;
	t->filter.down = !t->filter.down;
}

/* Sort by the next column to the left or right, as in top. */
static void act_sort_beside(struct vtop *t, int by)
{
	size_t nr = t->show.nr_shown, at = nr;

	for (size_t i = 0; i < nr; i++)
		if (t->show.shown[i].index == t->filter.column)
			at = i;
	if (at == nr)
		at = 0;
	else if (by < 0)
		at = at ? at - 1 : 0;
	else
		at = at + 1 < nr ? at + 1 : at;
	top_sort_by(t, t->show.shown[at].index);
}

/* ---- panes ---- */

static void act_help(struct vtop *t, int arg)
{
	(void)arg;
	if (t->pane == TOP_HELP)
		return;
	t->below = t->pane;
	t->pane = TOP_HELP;
	t->scroll = 0;
}

static void act_quit(struct vtop *t, int arg)
{
	(void)arg;
	if (t->pane == TOP_HELP)
		t->pane = t->below;
	else
		t->quit = true;
}

static void act_back(struct vtop *t, int arg)
{
	(void)arg;
	t->column_from = 0;
	if (t->pane == TOP_HELP) {
		t->pane = t->below;
		t->scroll = 0;
	} else if (t->pane == TOP_DETAIL) {
		t->pane = TOP_TASKS;
	} else if (t->pane == TOP_TASKS && t->nr > 1) {
		t->pane = TOP_GUESTS;
		top_ask(t);
	}
}

static void act_enter(struct vtop *t, int arg)
{
	struct top_guest *g;
	int32_t pid = 0;

	(void)arg;
	if (t->pane == TOP_GUESTS) {
		t->guest = t->guest_at;
		t->pane = TOP_TASKS;
		t->at = t->from = t->column_from = 0;
		t->follow = 0;
		top_ask(t);
		return;
	}
	g = shown(t);
	pthread_mutex_lock(&g->lock);
	if (t->pane == TOP_DETAIL)
		pid = g->detail.pid;
	else if (g->sample && top_list_make(&t->list, g->sample, &t->filter))
		pid = top_list_pid(&t->list, g->sample, t->at);
	pthread_mutex_unlock(&g->lock);
	if (!pid)
		return;
	t->follow = pid;
	t->pane = TOP_DETAIL;
	t->scroll = t->column_from = 0;
	top_guest_ask_detail(g, pid);
}

/* ---- filters and forms ---- */

static void act_group(struct vtop *t, int arg)
{
	struct printer *s = &t->show;

	(void)arg;
	t->filter.grouped = !t->filter.grouped;
	if (t->filter.grouped) {
		t->filter.tree = false;
		t->added = show_insert(s, s->nr_shown - 1, VL_TOP_CONTAINER);
	} else if (t->added) {
		show_remove(s, VL_TOP_CONTAINER);
		t->added = false;
	}
}

static void act_tree(struct vtop *t, int arg)
{
	(void)arg;
	t->filter.tree = !t->filter.tree;
	if (t->filter.tree) {
		if (t->filter.grouped)
			act_group(t, 0);
		t->filter.column = VL_TOP_PID;
		t->filter.down = false;
	}
}

static void act_kernel(struct vtop *t, int arg)
{
	(void)arg;
	t->filter.hide_kernel = !t->filter.hide_kernel;
}

static void act_comm(struct vtop *t, int arg)
{
	(void)arg;
	t->comm = !t->comm;
}

static void act_follow(struct vtop *t, int arg)
{
	struct top_guest *g = shown(t);

	(void)arg;
	pthread_mutex_lock(&g->lock);
	if (t->follow)
		t->follow = 0;
	else if (g->sample && top_list_make(&t->list, g->sample, &t->filter))
		t->follow = top_list_pid(&t->list, g->sample, t->at);
	pthread_mutex_unlock(&g->lock);
	snprintf(t->message, sizeof(t->message),
		 t->follow ? "Following process %d" : "Following none", (int)t->follow);
}

static void act_ask(struct vtop *t, int arg)
{
	(void)arg;
	top_ask(t);
}

static void act_redraw(struct vtop *t, int arg)
{
	(void)arg;
	(void)t;
	clearok(curscr, TRUE);
}

/* ---- the table ---- */

static const struct key {
	int codes[4];
	unsigned panes;
	void (*act)(struct vtop *t,
		    int arg); /* NULL: no effect here, in top it changes something */
	int arg;
	const char *name, *what; /* NULL: the row above has it in its help */
} keys[] = {
	{ { KEY_UP }, ALL, act_move, TOP_UP, "Up Down", "move in the list" },
	{ { KEY_DOWN }, ALL, act_move, TOP_DOWN, NULL, NULL },
	{ { KEY_PPAGE }, ALL, act_move, TOP_PAGE_UP, "PgUp PgDn", "move by a page" },
	{ { KEY_NPAGE }, ALL, act_move, TOP_PAGE_DOWN, NULL, NULL },
	{ { KEY_HOME }, ALL, act_move, TOP_TO_HOME, "Home End", "to the first, to the last" },
	{ { KEY_END }, ALL, act_move, TOP_TO_END, NULL, NULL },
	{ { KEY_LEFT }, ALL, act_shift, -SHIFT, "Left Right", "scroll the columns" },
	{ { KEY_RIGHT }, ALL, act_shift, SHIFT, NULL, NULL },
	{ { '\r', '\n', KEY_ENTER },
	  LISTS,
	  act_enter,
	  0,
	  "Enter",
	  "into a guest; the files, sockets, maps, environment of a process" },
	{ { 'r' }, TOP_DETAIL, act_enter, 0, "r", "read the details of a process again" },
	{ { TOP_ESC, KEY_BACKSPACE, 0x7f, '\b' },
	  ALL,
	  act_back,
	  0,
	  "Esc Backspace",
	  "back: to the processes, to the guests" },
	{ { KEY_F(6), '.' },
	  TOP_TASKS,
	  top_act_sort_menu,
	  0,
	  "F6 .",
	  "choose a column to sort by" },
	{ { '<' }, TOP_TASKS, act_sort_beside, -1, "< >", "sort by the column to the left, right" },
	{ { '>' }, TOP_TASKS, act_sort_beside, 1, NULL, NULL },
	{ { 'N' },
	  TOP_TASKS,
	  act_sort,
	  VL_TOP_PID,
	  "N P M T",
	  "sort by process id, CPU, memory, CPU time" },
	{ { 'P' }, TOP_TASKS, act_sort, VL_TOP_CPU, NULL, NULL },
	{ { 'M' }, TOP_TASKS, act_sort, VL_TOP_MEM, NULL, NULL },
	{ { 'T' }, TOP_TASKS, act_sort, VL_TOP_TIME, NULL, NULL },
	{ { 'I' }, TOP_TASKS, act_invert, 0, "I", "invert the order" },
	{ { KEY_F(5), 't' }, TOP_TASKS, act_tree, 0, "F5 t", "processes as a tree, as a list" },
	{ { 'C' }, TOP_TASKS, act_group, 0, "C", "group processes by their containers" },
	{ { KEY_F(3), '/' }, TOP_TASKS, top_act_search, 0, "F3 /", "search for a name or command" },
	{ { 'n' }, TOP_TASKS, top_act_search_next, 0, "n", "the next one that is found" },
	{ { KEY_F(4), '\\' },
	  TOP_TASKS,
	  top_act_filter,
	  0,
	  "F4 \\",
	  "show only what has this text" },
	{ { 'u' }, TOP_TASKS, top_act_user_menu, 0, "u", "show the processes of one user" },
	{ { 'K' }, TOP_TASKS, act_kernel, 0, "K", "hide or show threads of the kernel" },
	{ { 'c' }, TOP_TASKS, act_comm, 0, "c", "command lines, or names of programs" },
	{ { 'F' }, TOP_TASKS, act_follow, 0, "F", "stay on the selected process" },
	{ { ' ' }, LISTS, act_ask, 0, "Space", "refresh now" },
	{ { CTRL('l') }, ALL, act_redraw, 0, "Ctrl-L", "draw the screen again" },
	{ { KEY_F(1), 'h', '?' }, ALL, act_help, 0, "F1 h ?", "this help" },
	{ { KEY_F(10), 'q' }, ALL, act_quit, 0, "F10 q", "quit" },
	{ { KEY_F(9), 'k' }, TOP_TASKS, NULL, 0, "F9 k", "send a signal: not to a guest" },
	{ { KEY_F(7), ']' }, TOP_TASKS, NULL, 0, "F7 F8 ] [", "change the nice value: likewise" },
	{ { KEY_F(8), '[' }, TOP_TASKS, NULL, 0, NULL, NULL },
	{ { 'a' }, TOP_TASKS, NULL, 0, "a", "set the CPUs of a process: likewise" },
	{ { 'i' }, TOP_TASKS, NULL, 0, "i", "set the I/O priority: likewise" },
};

#define NR_KEYS ARRAY_SIZE(keys)

bool top_help_line(size_t i, char *buf, size_t size, bool *grey)
{
	for (size_t k = 0; k < NR_KEYS; k++) {
		if (!keys[k].name || i--)
			continue;
		snprintf(buf, size, "  %-14s %s", keys[k].name, keys[k].what);
		*grey = !keys[k].act;
		return true;
	}
	return false;
}

static bool has_code(const struct key *k, int code)
{
	for (size_t i = 0; i < ARRAY_SIZE(k->codes); i++)
		if (k->codes[i] && k->codes[i] == code)
			return true;
	return false;
}

void top_key(struct vtop *t, int key)
{
	t->message[0] = '\0';
	if (t->prompt.title) {
		top_prompt_key(t, key);
		return;
	}
	if (t->menu.title) {
		top_menu_key(t, key);
		return;
	}
	for (size_t i = 0; i < NR_KEYS; i++) {
		if (!(keys[i].panes & t->pane) || !has_code(&keys[i], key))
			continue;
		if (keys[i].act)
			keys[i].act(t, keys[i].arg);
		else
			snprintf(t->message, sizeof(t->message),
				 "vtop only reads: it changes nothing in a guest");
		return;
	}
}
