/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vtop's panes. Each frame is drawn whole: curses writes only the differences. */
#include <curses.h>
#include <stdlib.h>
#include <string.h>

#include "../report.h"
#include "screen.h"

static void put_line(struct vtop *t, int y, const struct top_line *l, int attr)
{
	size_t skip = text_fitting(l->text, t->column_from);

	attrset(attr);
	if (attr)
		mvhline(y, 0, ' ', COLS);
	top_put(t, y, 0, COLS, l->text + skip, l->len - skip);
	attrset(A_NORMAL);
}

static int attr_of_task(const struct vtop *t, const struct vl_top_task *p)
{
	if (p->kernel)
		return t->colour ? COLOR_PAIR(TOP_CYAN) : A_DIM;
	if (p->state == 'R')
		return t->colour ? COLOR_PAIR(TOP_GREEN) : A_BOLD;
	if (p->state == 'D' || p->state == 'Z')
		return t->colour ? COLOR_PAIR(TOP_RED) : A_BOLD;
	return A_NORMAL;
}

static void draw_tasks(struct vtop *t, struct top_guest *g, int y, int end)
{
	const struct vl_top_sample *s = g->sample;

	t->page = end > y + 1 ? (size_t)(end - y - 1) : 1;
	if (!s || !top_list_make(&t->list, s, &t->filter)) {
		t->list.nr = 0;
		return;
	}
	top_scroll_to_selected(t);
	top_line_header(t, s, &t->line);
	put_line(t, y, &t->line, top_bar_attr(t));
	if (t->line.sort_x >= (int)t->column_from)
		mvchgat(y, t->line.sort_x - (int)t->column_from, t->line.sort_width,
			A_REVERSE | A_BOLD, t->colour ? TOP_SORTED : 0, NULL);
	for (size_t i = 0; i < t->page && t->from + i < t->list.nr; i++) {
		const struct top_item *item = &t->list.items[t->from + i];

		top_line_item(t, s, item, &t->line);
		put_line(t, y + 1 + (int)i, &t->line,
			 t->from + i == t->at ? top_selected_attr(t) :
			 item->sum	      ? (int)A_BOLD :
						attr_of_task(t, &s->tasks[item->task]));
	}
}

static void draw_guests(struct vtop *t, int y, int end)
{
	struct top_line *l = &t->line;

	t->page = end > y + 1 ? (size_t)(end - y - 1) : 1;
	if (t->guest_at < t->guest_from)
		t->guest_from = t->guest_at;
	if (t->guest_at >= t->guest_from + t->page)
		t->guest_from = t->guest_at - t->page + 1;
	top_guest_header(l);
	put_line(t, y, l, top_bar_attr(t));
	for (size_t i = 0; i < t->page && t->guest_from + i < t->nr; i++) {
		struct top_guest *g = &t->guests[t->guest_from + i];
		int attr = A_NORMAL;

		pthread_mutex_lock(&g->lock);
		top_guest_line(t, g, l);
		if (g->state == TOP_GONE)
			attr = t->colour ? COLOR_PAIR(TOP_RED) : A_DIM;
		pthread_mutex_unlock(&g->lock);
		put_line(t, y + 1 + (int)i, l,
			 t->guest_from + i == t->guest_at ? top_selected_attr(t) : attr);
	}
}

static void clip_scroll(struct vtop *t, size_t nr, size_t room)
{
	t->page = room ? room : 1;
	t->scroll_max = nr > room ? nr - room : 0;
	if (t->scroll > t->scroll_max)
		t->scroll = t->scroll_max;
}

static void draw_help(struct vtop *t)
{
	int room = LINES - 3;
	size_t nr = 0;
	char buf[160];
	bool grey;

	while (top_help_line(nr, buf, sizeof(buf), &grey))
		nr++;
	clip_scroll(t, nr, room > 0 ? (size_t)room : 0);
	attrset(A_BOLD);
	top_put(t, 0, 0, COLS, "vtop: keys", strlen("vtop: keys"));
	for (int i = 0; i < room && top_help_line(t->scroll + (size_t)i, buf, sizeof(buf), &grey);
	     i++) {
		attrset(top_grey_attr(t, grey));
		top_put(t, 2 + i, 0, COLS, buf, strlen(buf));
	}
	attrset(A_NORMAL);
}

static void draw_detail(struct vtop *t, struct top_guest *g, int y, int end)
{
	const struct top_detail *d = &g->detail;
	size_t nr = 0, room = end > y ? (size_t)(end - y) : 0;
	const char *p = d->text, *stop;
	char buf[96];

	snprintf(buf, sizeof(buf), "Process %d: %s", (int)d->pid,
		 d->err	 ? d->err->message :
		 d->text ? "from its kernel" :
			   "asking its kernel...");
	attrset(top_bar_attr(t));
	mvhline(y, 0, ' ', COLS);
	top_put(t, y, 0, COLS, buf, strlen(buf));
	attrset(A_NORMAL);
	if (!d->text || !room)
		return;
	stop = p + d->len;
	for (const char *c = p; c < stop; c++)
		nr += *c == '\n';
	clip_scroll(t, nr, room - 1);
	for (size_t i = 0; p < stop; i++) {
		const char *line_end = memchr(p, '\n', (size_t)(stop - p));
		size_t len = (size_t)((line_end ? line_end : stop) - p);

		if (i >= t->scroll + room - 1)
			break;
		if (i >= t->scroll) {
			size_t skip;

			attrset(*p == ' ' || !len ? A_NORMAL : A_BOLD);
			top_clean(&t->text, p, len);
			skip = text_fitting(t->text.text, t->column_from);
			top_put(t, y + 1 + (int)(i - t->scroll), 0, COLS, t->text.text + skip,
				t->text.len - skip);
		}
		p += len + 1;
	}
	attrset(A_NORMAL);
}

static void draw_menu(struct vtop *t)
{
	const struct top_menu *m = &t->menu;
	int room = LINES - 2;
	size_t from = room > 0 && m->at >= (size_t)room ? m->at - (size_t)room + 1 : 0;

	attrset(top_bar_attr(t));
	mvhline(0, 0, ' ', 24);
	top_put(t, 0, 0, 24, m->title, strlen(m->title));
	for (int i = 0; i < room; i++) {
		size_t at = from + (size_t)i;

		attrset(at == m->at && at < m->nr ? top_selected_attr(t) : 0);
		mvhline(1 + i, 0, ' ', 23);
		if (at < m->nr)
			top_put(t, 1 + i, 1, 22, m->items[at], strlen(m->items[at]));
		attrset(A_NORMAL);
		mvaddch(1 + i, 23, '|');
	}
	attrset(A_NORMAL);
}

void top_draw(struct vtop *t)
{
	struct top_guest *g = &t->guests[t->guest];
	int y = 0, end = LINES - 1;

	t->dirty = false;
	erase();
	curs_set(t->prompt.title ? 1 : 0);
	switch (t->pane) {
	case TOP_GUESTS:
		top_draw_summary(t, &y);
		draw_guests(t, y, end);
		break;
	case TOP_TASKS:
	case TOP_DETAIL:
		pthread_mutex_lock(&g->lock);
		top_draw_header(t, g, &y);
		if (t->pane == TOP_TASKS)
			draw_tasks(t, g, y, end);
		else
			draw_detail(t, g, y, end);
		pthread_mutex_unlock(&g->lock);
		break;
	case TOP_HELP:
		draw_help(t);
		break;
	}
	if (t->menu.title)
		draw_menu(t);
	top_draw_bottom(t);
	refresh();
}
