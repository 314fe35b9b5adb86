/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What vtop's files that use curses share. */
#ifndef VLENS_BIN_TOPSCREEN_H
#define VLENS_BIN_TOPSCREEN_H

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

int top_bar_attr(const struct top *t);
int top_selected_attr(const struct top *t);
int top_grey_attr(const struct top *t, bool grey);

/* The summary over all guests; the bottom line: keys, a message, or what is typed. */
void top_draw_summary(struct top *t, int *y);
void top_draw_bottom(struct top *t);
/* Lines of the guests pane. */
void top_guest_header(struct top_line *l);
void top_guest_line(struct top *t, const struct top_guest *g, struct top_line *l);

#endif
