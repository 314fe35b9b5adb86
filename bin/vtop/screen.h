/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by vtop's files that use curses. */
#ifndef VLENS_BIN_VTOP_SCREEN_H
#define VLENS_BIN_VTOP_SCREEN_H

#include "top.h"

/* Pairs of colours. */
enum {
	TOP_RED = 1,
	TOP_GREEN,
	TOP_YELLOW,
	TOP_BLUE,
	TOP_CYAN,
	TOP_GREY,
	TOP_BAR,
	TOP_SELECTED,
	TOP_SORTED,
};

/* Attributes made of these (paint.c). */
int top_bar_attr(const struct vtop *t);
int top_selected_attr(const struct vtop *t);
int top_grey_attr(const struct vtop *t, bool grey);

/* The summary over all guests; the bottom line: keys, message or prompt (meters.c). */
void top_draw_summary(struct vtop *t, int *y);
void top_draw_bottom(struct vtop *t);
/* Moving in a list of @nr from @at, by pages of @page (select.c). */
enum top_way {
	TOP_UP,
	TOP_DOWN,
	TOP_PAGE_UP,
	TOP_PAGE_DOWN,
	TOP_TO_HOME,
	TOP_TO_END,
};
size_t top_moved(size_t at, size_t nr, size_t page, int way);
void top_sort_by(struct vtop *t, int column);

/* Menus and prompts (menu.c): keys while one is open, and the actions that open them. */
#define TOP_ESC 27
void top_menu_key(struct vtop *t, int key);
void top_prompt_key(struct vtop *t, int key);
void top_act_sort_menu(struct vtop *t, int arg);
void top_act_user_menu(struct vtop *t, int arg);
void top_act_search(struct vtop *t, int arg);
void top_act_search_next(struct vtop *t, int arg);
void top_act_filter(struct vtop *t, int arg);
/* Lines of the guests pane. */
void top_guest_header(struct top_line *l);
void top_guest_line(struct vtop *t, const struct top_guest *g, struct top_line *l);

#endif
