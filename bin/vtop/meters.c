/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Above and below vtop's lists: meters, the line of a guest, the keys. */
#include <curses.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "screen.h"

/* More CPUs than this share one meter. */
#define MOST_METERS 16
#define LABEL 5

static void put(struct vtop *t, int y, int x, int width, const char *text)
{
	top_put(t, y, x, width, text, strlen(text));
}

/* A part of a bar, in tenths of a percent. */
struct part {
	int32_t tenths;
	short pair;
};

/* "Mem [|||||      312M/977M]", @width columns from @x. */
static void meter(struct vtop *t, int y, int x, int width, const char *label,
		  const struct part *parts, size_t nr, const char *text)
{
	int inside = width - LABEL - 2, used = 0, len = (int)strlen(text);
	int64_t sum = 0;

	if (inside < 4 || y >= LINES)
		return;
	attrset(t->colour ? COLOR_PAIR(TOP_CYAN) : A_NORMAL);
	mvprintw(y, x, "%-*.*s", LABEL, LABEL, label);
	attrset(A_BOLD);
	mvaddch(y, x + LABEL, '[');
	mvaddch(y, x + LABEL + 1 + inside, ']');
	for (size_t i = 0; i < nr; i++) {
		int end;

		sum += parts[i].tenths > 0 ? parts[i].tenths : 0;
		end = (int)((sum > 1000 ? 1000 : sum) * inside / 1000);
		attrset(t->colour ? COLOR_PAIR(parts[i].pair) : A_NORMAL);
		for (; used < end; used++)
			mvaddch(y, x + LABEL + 1 + used, t->colour ? '|' : "|#*+%"[i % 5]);
	}
	attrset(t->colour ? COLOR_PAIR(TOP_GREY) | A_BOLD : A_NORMAL);
	if (len < inside)
		mvaddstr(y, x + LABEL + 1 + inside - len, text);
	attrset(A_NORMAL);
}

static void cpu_meter(struct vtop *t, int y, int x, int width, const char *label,
		      const int32_t use[VL_NR_USES], int32_t busy)
{
	static const short pairs[VL_NR_USES] = { TOP_GREEN, TOP_BLUE, TOP_RED, TOP_YELLOW,
						 TOP_CYAN };
	struct part parts[VL_NR_USES];
	char value[TOP_TEXT], text[TOP_TEXT + 1];

	for (size_t i = 0; i < VL_NR_USES; i++)
		parts[i] = (struct part){ use[i], pairs[i] };
	top_tenths(busy, value);
	snprintf(text, sizeof(text), "%s%s", value, busy < 0 ? "" : "%");
	meter(t, y, x, width, label, parts, VL_NR_USES, text);
}

static int draw_cpus(struct vtop *t, const struct vl_top_sample *s, int y)
{
	size_t columns = s->nr_cpus > 8 ? 4 : s->nr_cpus > 1 ? 2 : 1, lines;
	int width = COLS / (int)columns;

	if (s->nr_cpus > MOST_METERS || s->nr_cpus == 0) {
		int32_t all[VL_NR_USES] = { 0 };

		for (size_t i = 0; i < s->nr_cpus; i++)
			for (size_t k = 0; k < VL_NR_USES; k++)
				all[k] += s->cpus[i].use[k] > 0 ? s->cpus[i].use[k] : 0;
		for (size_t k = 0; k < VL_NR_USES; k++)
			all[k] /= s->nr_cpus ? (int32_t)s->nr_cpus : 1;
		cpu_meter(t, y, 0, COLS / 2, "CPU", all, s->busy);
		return y + 1;
	}
	lines = (s->nr_cpus + columns - 1) / columns;
	for (size_t i = 0; i < s->nr_cpus; i++) {
		const struct vl_top_cpu *c = &s->cpus[i];
		char label[16];

		snprintf(label, sizeof(label), "CPU%u", c->number);
		cpu_meter(t, y + (int)(i % lines), (int)(i / lines) * width,
			  columns == 1 ? COLS / 2 : width - 1, label, c->use, c->busy);
	}
	return y + (int)lines;
}

static int32_t share(uint64_t part, uint64_t whole)
{
	return whole ? (int32_t)((double)part * 1000 / (double)whole) : 0;
}

static void draw_memory(struct vtop *t, const struct vl_top_sample *s, int y)
{
	const bool known = s->mem.total && !s->no_available;
	uint64_t used = known ? s->mem.total - s->mem.available : 0;
	uint64_t swap = s->swap.total - s->swap.free;
	const struct part mem[] = {
		{ share(used, s->mem.total), TOP_GREEN },
		{ share(s->mem.available -
				(s->mem.free < s->mem.available ? s->mem.free : s->mem.available),
			s->mem.total),
		  TOP_YELLOW },
	};
	const struct part swp[] = { { share(swap, s->swap.total), TOP_RED } };
	char a[TOP_TEXT], b[TOP_TEXT], text[2 * TOP_TEXT];

	top_bytes(used, a);
	top_bytes(s->mem.total, b);
	snprintf(text, sizeof(text), "%s/%s", known ? a : "-", s->mem.total ? b : "-");
	meter(t, y, 0, COLS / 2, "Mem", mem, 2, text);
	top_bytes(swap, a);
	top_bytes(s->swap.total, b);
	snprintf(text, sizeof(text), "%s/%s", s->no_swap ? "-" : a, s->no_swap ? "-" : b);
	meter(t, y + 1, 0, COLS / 2, "Swp", swp, 1, text);
}

static void draw_counts(struct vtop *t, const struct vl_top_sample *s, int y)
{
	int x = COLS / 2 + 1;
	char buf[TOP_COUNTS + TOP_TEXT + 16], up[TOP_TEXT], load[TOP_COUNTS];

	top_counts(s, buf);
	put(t, y, x, COLS - x, buf);
	top_uptime(s->uptime, up);
	top_load(s, " ", load);
	snprintf(buf, sizeof(buf), "Load: %s  Up: %s", load, s->uptime ? up : "-");
	put(t, y + 1, x, COLS - x, buf);
}

/* The guest, and the cost of reading it, which htop does not have. */
static void draw_title(struct vtop *t, const struct top_guest *g, int y)
{
	const struct vl_top_sample *s = g->sample;
	struct top_line *l = &t->line;
	char name[TOP_TITLE];

	l->len = 0;
	top_guest_title(g, name, sizeof(name));
	top_clean(&t->text, name, strlen(name));
	top_line_printf(l, "%s", t->text.text);
	if (s && s->release[0]) {
		top_clean(&t->text, s->release, strlen(s->release));
		top_line_printf(l, "  Linux %s", t->text.text);
	}
	attrset(A_BOLD);
	top_put(t, y, 0, COLS, l->text, l->len);
	attrset(A_NORMAL);
	l->len = 0;
	if (s)
		top_line_printf(l, "imee/%s  read: %" PRIu64 " us  ", g->engine,
				s->cost_ns / VL_NSEC_PER_USEC);
	top_line_printf(l, "paused: %.3f ms  %s%s%s%s", (double)g->paused_ns / VL_NSEC_PER_MSEC,
			top_state_name(g->state), g->boots > 1 ? ", opened again" : "",
			g->means[0] ? ": " : "", g->means);
	if (g->err) {
		top_clean(&t->text, g->err->message, strlen(g->err->message));
		top_line_printf(l, ": %s", t->text.text);
	}
	attrset(g->state == TOP_RUNNING || g->state == TOP_DUMP ? A_NORMAL :
		t->colour					? COLOR_PAIR(TOP_RED) | A_BOLD :
								  A_BOLD);
	top_put(t, y + 1, 0, COLS, l->text, l->len);
	attrset(A_NORMAL);
}

void top_draw_header(struct vtop *t, struct top_guest *g, int *y)
{
	const struct vl_top_sample *s = g->sample;

	draw_title(t, g, *y);
	*y += 2;
	/* A small screen is for the list. */
	if (!s || LINES < 12)
		return;
	*y = draw_cpus(t, s, *y);
	draw_memory(t, s, *y);
	draw_counts(t, s, *y);
	*y += 2;
}

/* ---- guests ---- */

void top_guest_header(struct top_line *l)
{
	l->len = 0;
	top_line_printf(l, "%-20s %-8s %4s %6s %6s %5s %6s %-20s %12s %8s %10s", "GUEST", "STATE",
			"CPUS", "%CPU", "MEM", "%MEM", "PROCS", "KERNEL", "UPTIME", "READ us",
			"PAUSED ms");
}

static void padded(struct top_line *l, const char *text, size_t width)
{
	size_t fit = text_fitting(text, width), wide = text_width(text);

	top_line_printf(l, "%.*s%*s ", (int)fit, text, (int)(wide < width ? width - wide : 0), "");
}

void top_guest_line(struct vtop *t, const struct top_guest *g, struct top_line *l)
{
	const struct vl_top_sample *s = g->sample;
	char name[TOP_TITLE], cpu[TOP_TEXT] = "-", mem[TOP_TEXT] = "-", up[TOP_TEXT] = "-";
	double percent = 0;

	l->len = 0;
	top_guest_title(g, name, sizeof(name));
	top_clean(&t->text, name, strlen(name));
	padded(l, t->text.text, 20);
	top_line_printf(l, "%-8s ", top_state_name(g->state));
	if (!s) {
		if (g->err) {
			top_clean(&t->text, g->err->message, strlen(g->err->message));
			top_line_printf(l, "%s", t->text.text);
		}
		return;
	}
	top_tenths(s->busy, cpu);
	if (s->mem.total && !s->no_available) {
		top_bytes(s->mem.total - s->mem.available, mem);
		percent = 100 - (double)s->mem.available * 100 / (double)s->mem.total;
	}
	if (s->uptime)
		top_uptime(s->uptime, up);
	top_line_printf(l, "%4zu %6s %6s %5.1f %6zu ", s->nr_cpus, cpu, mem, percent, s->nr_tasks);
	top_clean(&t->text, s->release, strlen(s->release));
	padded(l, t->text.text, 20);
	top_line_printf(l, "%12s %8" PRIu64 " %10.3f", up, s->cost_ns / VL_NSEC_PER_USEC,
			(double)g->paused_ns / VL_NSEC_PER_MSEC);
}

void top_draw_summary(struct vtop *t, int *y)
{
	size_t running = 0, tasks = 0;
	uint64_t paused = 0, cost = 0;
	char buf[160];

	for (size_t i = 0; i < t->nr; i++) {
		struct top_guest *g = &t->guests[i];

		pthread_mutex_lock(&g->lock);
		running += g->state == TOP_RUNNING;
		tasks += g->sample ? g->sample->nr_tasks : 0;
		cost += g->sample ? g->sample->cost_ns : 0;
		paused += g->paused_ns;
		pthread_mutex_unlock(&g->lock);
	}
	snprintf(buf, sizeof(buf),
		 "%zu guests, %zu running  %zu processes  imee  read: %" PRIu64
		 " us  paused: %.3f ms",
		 t->nr, running, tasks, cost / VL_NSEC_PER_USEC, (double)paused / VL_NSEC_PER_MSEC);
	attrset(A_BOLD);
	put(t, *y, 0, COLS, buf);
	attrset(A_NORMAL);
	*y += 2;
}

/* ---- the bottom line ---- */

static void draw_keys(struct vtop *t)
{
	static const struct {
		unsigned panes;
		const char *key, *what;
	} keys[] = {
		{ TOP_TASKS | TOP_GUESTS, "F1", "Help" },
		{ TOP_TASKS, "F3", "Search" },
		{ TOP_TASKS, "F4", "Filter" },
		{ TOP_TASKS, "F5", "Tree" },
		{ TOP_TASKS, "F6", "SortBy" },
		{ TOP_TASKS, "Enter", "Details" },
		{ TOP_GUESTS, "Enter", "Look inside" },
		{ TOP_DETAIL, "r", "Read again" },
		{ TOP_TASKS | TOP_DETAIL | TOP_HELP, "Esc", "Back" },
		{ TOP_TASKS | TOP_GUESTS | TOP_DETAIL, "F10", "Quit" },
	};
	int x = 0, y = LINES - 1;

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		int wide = (int)(strlen(keys[i].key) + strlen(keys[i].what)) + 1;

		if (!(keys[i].panes & t->pane) || x + wide >= COLS)
			continue;
		if (t->pane == TOP_TASKS && t->nr == 1 && !strcmp(keys[i].key, "Esc"))
			continue;
		attrset(A_BOLD);
		put(t, y, x, COLS - x, keys[i].key);
		x += (int)strlen(keys[i].key);
		attrset(top_bar_attr(t));
		put(t, y, x, COLS - x, keys[i].what);
		x += (int)strlen(keys[i].what);
		attrset(A_NORMAL);
		x++;
	}
	/* Show the filters, as they hide processes. */
	if (t->pane == TOP_TASKS) {
		char user[32] = "", buf[256];

		if (t->filter.user != TOP_ANY_USER)
			snprintf(user, sizeof(user), " user %" PRIu32, t->filter.user);
		else if (t->filter.user_name)
			snprintf(user, sizeof(user), " user %.20s", t->filter.user_name);
		snprintf(buf, sizeof(buf), "%s%s%s%s%s", t->filter_text[0] ? " filter: " : "",
			 t->filter_text, user, t->filter.hide_kernel ? " no kthreads" : "",
			 t->filter.nr_pids ? " pids" : "");
		attrset(A_BOLD);
		put(t, y, x, COLS - x - 1, buf);
		attrset(A_NORMAL);
	}
}

void top_draw_bottom(struct vtop *t)
{
	int y = LINES - 1;

	if (t->prompt.title) {
		int x = (int)strlen(t->prompt.title) + 2;

		attrset(top_bar_attr(t));
		mvprintw(y, 0, "%s: ", t->prompt.title);
		attrset(A_NORMAL);
		put(t, y, x, COLS - x - 1, t->prompt.text);
		x += (int)text_width(t->prompt.text);
		move(y, x < COLS ? x : COLS - 1);
	} else if (t->message[0]) {
		attrset(A_BOLD);
		put(t, y, 0, COLS - 1, t->message);
		attrset(A_NORMAL);
	} else {
		draw_keys(t);
	}
}
