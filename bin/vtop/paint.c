/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text and attributes of vtop's screen. */
#include <curses.h>

#include "../report.h"
#include "screen.h"

int top_bar_attr(const struct vtop *t)
{
	return t->colour ? COLOR_PAIR(TOP_BAR) : A_REVERSE;
}

int top_selected_attr(const struct vtop *t)
{
	return t->colour ? COLOR_PAIR(TOP_SELECTED) : A_REVERSE | A_BOLD;
}

int top_grey_attr(const struct vtop *t, bool grey)
{
	int mono = A_DIM, colour = COLOR_PAIR(TOP_GREY) | A_BOLD;

	return !grey ? 0 : t->colour ? colour : mono;
}

void top_put(struct vtop *t, int y, int x, int width, const char *text, size_t len)
{
	size_t fit;

	(void)t;
	if (width <= 0 || y < 0 || y >= LINES || x >= COLS)
		return;
	if (width > COLS - x)
		width = COLS - x;
	fit = text_fitting(text, (size_t)width);
	mvaddnstr(y, x, text, (int)(fit < len ? fit : len));
}
