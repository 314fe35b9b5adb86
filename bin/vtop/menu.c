/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vtop's menus at the left, and its prompt at the bottom. */
#include <curses.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "screen.h"

static struct top_guest *shown(struct vtop *t)
{
	return &t->guests[t->guest];
}

/* ---- menus ---- */

static void close_menu(struct vtop *t)
{
	free(t->menu.items);
	free(t->menu.values);
	t->menu = (struct top_menu){ .title = NULL };
}

static bool open_menu(struct vtop *t, const char *title, size_t room,
		      void (*take)(void *top, uint32_t value))
{
	t->menu = (struct top_menu){
		.items = calloc(room, sizeof(*t->menu.items)),
		.values = calloc(room, sizeof(*t->menu.values)),
		.take = take,
	};
	if (!t->menu.items || !t->menu.values) {
		close_menu(t);
		return false;
	}
	t->menu.title = title;
	return true;
}

static void take_sort(void *top, uint32_t value)
{
	top_sort_by(top, (int)value);
}

void top_act_sort_menu(struct vtop *t, int arg)
{
	struct top_menu *m = &t->menu;

	(void)arg;
	if (!open_menu(t, "Sort by", t->show.nr_shown, take_sort))
		return;
	for (size_t i = 0; i < t->show.nr_shown; i++) {
		int column = t->show.shown[i].index;

		snprintf(m->items[m->nr], sizeof(m->items[0]), "%s", top_formats[column].header);
		m->values[m->nr] = (uint32_t)column;
		if (column == t->filter.column)
			m->at = m->nr;
		m->nr++;
	}
}

static void take_user(void *top, uint32_t value)
{
	struct vtop *t = top;

	t->filter.user = value;
	t->filter.user_name = NULL;
	t->at = t->from = 0;
}

static int compare_users(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

void top_act_user_menu(struct vtop *t, int arg)
{
	struct top_guest *g = shown(t);
	struct top_menu *m = &t->menu;
	const struct vl_top_sample *s;
	size_t nr = 1;

	(void)arg;
	pthread_mutex_lock(&g->lock);
	s = g->sample;
	if (s && open_menu(t, "Processes of user", s->nr_tasks + 1, take_user)) {
		for (size_t i = 0; i < s->nr_tasks; i++)
			m->values[i + 1] = s->tasks[i].euid;
		qsort(m->values + 1, s->nr_tasks, sizeof(*m->values), compare_users);
		m->values[0] = TOP_ANY_USER;
		for (size_t i = 0; i < s->nr_tasks; i++)
			if (nr == 1 || m->values[i + 1] != m->values[nr - 1])
				m->values[nr++] = m->values[i + 1];
		m->nr = nr;
	}
	for (size_t i = 0; i < m->nr; i++) {
		const char *name = s ? vl_top_user(s, m->values[i]) : NULL;

		if (m->values[i] == t->filter.user)
			m->at = i;
		if (m->values[i] == TOP_ANY_USER)
			snprintf(m->items[i], sizeof(m->items[0]), "all users");
		else if (name)
			snprintf(m->items[i], sizeof(m->items[0]), "%.10s (%u)", name,
				 m->values[i]);
		else
			snprintf(m->items[i], sizeof(m->items[0]), "%u", m->values[i]);
	}
	pthread_mutex_unlock(&g->lock);
}

void top_menu_key(struct vtop *t, int key)
{
	struct top_menu *m = &t->menu;
	uint32_t value;

	switch (key) {
	case KEY_UP:
		m->at = top_moved(m->at, m->nr, 1, TOP_UP);
		break;
	case KEY_DOWN:
		m->at = top_moved(m->at, m->nr, 1, TOP_DOWN);
		break;
	case KEY_PPAGE:
		m->at = top_moved(m->at, m->nr, 10, TOP_PAGE_UP);
		break;
	case KEY_NPAGE:
		m->at = top_moved(m->at, m->nr, 10, TOP_PAGE_DOWN);
		break;
	case KEY_HOME:
		m->at = 0;
		break;
	case KEY_END:
		m->at = m->nr - 1;
		break;
	case '\n':
	case '\r':
	case KEY_ENTER:
		value = m->values[m->at];
		m->take(t, value);
		close_menu(t);
		break;
	case TOP_ESC:
	case 'q':
	case KEY_F(10):
		close_menu(t);
		break;
	default:
		break;
	}
}

/* ---- the prompt ---- */

static void find_from(struct vtop *t, size_t first)
{
	struct top_guest *g = shown(t);
	const struct vl_top_sample *s;
	bool found = !t->search_text[0];

	pthread_mutex_lock(&g->lock);
	s = g->sample;
	if (s && top_list_make(&t->list, s, &t->filter))
		for (size_t i = 0; !found && i < t->list.nr; i++) {
			size_t at = (first + i) % t->list.nr;

			if (t->list.items[at].sum ||
			    !top_matches(s, &s->tasks[t->list.items[at].task], t->search_text))
				continue;
			t->at = at;
			t->follow = top_list_pid(&t->list, s, at);
			found = true;
		}
	pthread_mutex_unlock(&g->lock);
	if (!found && !t->prompt.title)
		snprintf(t->message, sizeof(t->message), "Nothing found: %.100s", t->search_text);
}

static void searched(void *top, bool done)
{
	struct vtop *t = top;

	(void)done;
	memcpy(t->search_text, t->prompt.text, sizeof(t->search_text));
	find_from(t, t->at);
}

static void filtered(void *top, bool done)
{
	struct vtop *t = top;

	(void)done;
	memcpy(t->filter_text, t->prompt.text, sizeof(t->filter_text));
	t->at = t->from = 0;
	t->follow = 0;
}

static void open_prompt(struct vtop *t, const char *title, const char *text,
			void (*changed)(void *top, bool done))
{
	t->prompt = (struct top_prompt){ .title = title, .changed = changed };
	memcpy(t->prompt.text, text, sizeof(t->prompt.text));
	memcpy(t->prompt.before, text, sizeof(t->prompt.before));
}

void top_act_search(struct vtop *t, int arg)
{
	(void)arg;
	memset(t->search_text, 0, sizeof(t->search_text));
	open_prompt(t, "Search", t->search_text, searched);
}

void top_act_search_next(struct vtop *t, int arg)
{
	(void)arg;
	find_from(t, t->at + 1);
}

void top_act_filter(struct vtop *t, int arg)
{
	(void)arg;
	open_prompt(t, "Filter", t->filter_text, filtered);
}

void top_prompt_key(struct vtop *t, int key)
{
	struct top_prompt *p = &t->prompt;
	size_t len = strlen(p->text);

	switch (key) {
	case '\n':
	case '\r':
	case KEY_ENTER:
		p->title = NULL;
		p->changed(t, true);
		return;
	case TOP_ESC:
		memcpy(p->text, p->before, sizeof(p->text));
		p->title = NULL;
		p->changed(t, true);
		return;
	case KEY_F(3):
		if (p->changed == searched)
			find_from(t, t->at + 1);
		return;
	case KEY_BACKSPACE:
	case '\b':
	case 0x7f:
		/* A character of UTF-8: its continuation bytes, then the first. */
		while (len && (p->text[len - 1] & 0xc0) == 0x80)
			p->text[--len] = '\0';
		if (len)
			p->text[len - 1] = '\0';
		break;
	case ('u' & 0x1f):
		p->text[0] = '\0';
		break;
	default:
		if (key < ' ' || key > 0xff || key == 0x7f || len + 1 >= sizeof(p->text))
			return;
		p->text[len] = (char)key;
		p->text[len + 1] = '\0';
		break;
	}
	p->changed(t, false);
}
