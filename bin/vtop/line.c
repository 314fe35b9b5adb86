/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines of vtop's list, the same on the screen and in a pipe. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "top.h"

static bool reserve(struct top_line *l, size_t more)
{
	size_t want = l->len + more + 1;
	char *text;

	if (want <= l->cap)
		return true;
	text = realloc(l->text, want * 2);
	if (!text)
		return false;
	l->text = text;
	l->cap = want * 2;
	return true;
}

static void add(struct top_line *l, const char *text, size_t len)
{
	if (!reserve(l, len))
		return;
	memcpy(l->text + l->len, text, len);
	l->len += len;
	l->text[l->len] = '\0';
}

static void blanks(struct top_line *l, size_t n)
{
	if (!reserve(l, n))
		return;
	memset(l->text + l->len, ' ', n);
	l->len += n;
	l->text[l->len] = '\0';
}

void top_line_printf(struct top_line *l, const char *fmt, ...)
{
	char *text;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	add(l, text, (size_t)n);
	free(text);
}

static size_t digits(int64_t n)
{
	size_t d = 1;

	while (n /= 10)
		d++;
	return d;
}

static size_t width_of(const struct show_column *c, const struct vl_top_sample *s)
{
	size_t width = top_formats[c->index].width, wide;
	int32_t largest = 0;

	if ((c->index == VL_TOP_PID || c->index == VL_TOP_PPID) && s)
		for (size_t i = 0; i < s->nr_tasks; i++)
			largest = s->tasks[i].pid > largest ? s->tasks[i].pid : largest;
	wide = digits(largest);
	width = wide > width ? wide : width;
	return (size_t)c->width > width ? (size_t)c->width : width;
}

static bool is_last(const struct vtop *t, size_t i)
{
	return i + 1 == t->show.nr_shown;
}

/* Text too long for its column is cut, except in the last one. Numbers push the next. */
static void cell(struct top_line *l, const char *text, size_t len, size_t width, bool left,
		 bool last)
{
	size_t wide = text_width(text), pad = wide < width ? width - wide : 0;

	if (left && !last && wide > width && width > 1) {
		len = text_fitting(text, width - 1);
		add(l, text, len);
		add(l, "+ ", 2);
		return;
	}
	if (!left)
		blanks(l, pad);
	add(l, text, len);
	if (!last)
		blanks(l, (left ? pad : 0) + 1);
}

static const char *header_of(const struct show_column *c)
{
	return c->header ? c->header : top_formats[c->index].header;
}

void top_line_header(const struct vtop *t, const struct vl_top_sample *s, struct top_line *l)
{
	int x = 0;

	l->len = 0;
	l->sort_x = -1;
	for (size_t i = 0; i < t->show.nr_shown; i++) {
		const struct show_column *c = &t->show.shown[i];
		const char *name = header_of(c);

		cell(l, name, strlen(name), width_of(c, s), top_formats[c->index].left,
		     is_last(t, i));
		if (c->index == t->filter.column && l->sort_x < 0) {
			l->sort_x = x;
			l->sort_width = (int)text_width(l->text) - x;
		}
		x = (int)text_width(l->text);
	}
}

static void tree_prefix(const struct vtop *t, const struct top_item *item, struct top_line *l)
{
	for (unsigned d = 1; d <= item->depth; d++) {
		bool more = item->more >> d & 1, own = d == item->depth;

		if (t->utf8)
			add(l,
			    own	 ? (more ? "├─ " : "└─ ") :
			    more ? "│  " :
				   "   ",
			    strlen(own	? (more ? "├─ " : "└─ ") :
				   more ? "│  " :
					  "   "));
		else
			add(l, own ? (more ? "|- " : "`- ") : more ? "|  " : "   ", 3);
	}
}

/* The cell of a sum: its figures, and how many processes it has. */
static void sum_cell(struct top_text *text, const struct vl_top_sample *s,
		     const struct top_sum *sum, int column)
{
	char buf[TOP_TEXT];

	switch (column) {
	case VL_TOP_VIRT:
	case VL_TOP_RES:
	case VL_TOP_SHR:
	case VL_TOP_CPU:
	case VL_TOP_MEM:
	case VL_TOP_TIME:
	case VL_TOP_THREADS:
	case VL_TOP_CONTAINER:
		top_cell(text, s, &sum->of, column, false);
		return;
	case VL_TOP_COMMAND:
	case VL_TOP_COMM:
		snprintf(buf, sizeof(buf), "%zu process%s", sum->processes,
			 sum->processes == 1 ? "" : "es");
		top_clean(text, buf, strlen(buf));
		return;
	default:
		top_clean(text, "", 0);
	}
}

void top_line_item(struct vtop *t, const struct vl_top_sample *s, const struct top_item *item,
		   struct top_line *l)
{
	l->len = 0;
	for (size_t i = 0; i < t->show.nr_shown; i++) {
		const struct show_column *c = &t->show.shown[i];
		bool last = is_last(t, i);

		if (item->sum)
			sum_cell(&t->text, s, &t->list.sums[item->task], c->index);
		else
			top_cell(&t->text, s, &s->tasks[item->task], c->index, t->comm);
		if (last && t->filter.tree &&
		    (c->index == VL_TOP_COMMAND || c->index == VL_TOP_COMM))
			tree_prefix(t, item, l);
		if (t->text.text)
			cell(l, t->text.text, t->text.len, width_of(c, s),
			     top_formats[c->index].left, last);
	}
}
