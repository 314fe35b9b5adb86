/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vtop on a terminal: its set-up, the loop, and the panes. Curses writes differences only. */
#include <curses.h>
#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "../applet.h"
#include "base/array.h"
#include "base/clock.h"
#include "../report.h"
#include "screen.h"

#define ESC_MS 50 /* a key that begins with ESC comes at once */

void top_put(struct top *t, int y, int x, int width, const char *text, size_t len)
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

/* ---- panes ---- */

static void put_line(struct top *t, int y, const struct top_line *l, int attr)
{
	size_t skip = text_fitting(l->text, t->column_from);

	attrset(attr);
	if (attr)
		mvhline(y, 0, ' ', COLS);
	top_put(t, y, 0, COLS, l->text + skip, l->len - skip);
	attrset(A_NORMAL);
}

static int attr_of_task(const struct top *t, const struct vl_top_task *p)
{
	if (p->kernel)
		return t->colour ? COLOR_PAIR(TOP_CYAN) : A_DIM;
	if (p->state == 'R')
		return t->colour ? COLOR_PAIR(TOP_GREEN) : A_BOLD;
	if (p->state == 'D' || p->state == 'Z')
		return t->colour ? COLOR_PAIR(TOP_RED) : A_BOLD;
	return A_NORMAL;
}

static void draw_tasks(struct top *t, struct top_guest *g, int y, int end)
{
	const struct vl_top_sample *s = g->sample;

	t->page = end > y + 1 ? (size_t)(end - y - 1) : 1;
	if (!s || !top_list_make(&t->list, s, &t->filter)) {
		t->list.nr = 0;
		return;
	}
	top_settle(t);
	top_line_header(t, s, &t->line);
	put_line(t, y, &t->line, top_bar_attr(t));
	if (t->line.sort_x >= (int)t->column_from)
		mvchgat(y, t->line.sort_x - (int)t->column_from, t->line.sort_width,
			A_REVERSE | A_BOLD, t->colour ? TOP_SORTED : 0, NULL);
	for (size_t i = 0; i < t->page && t->from + i < t->list.nr; i++) {
		const struct top_item *item = &t->list.items[t->from + i];

		top_line_task(t, s, item, &t->line);
		put_line(t, y + 1 + (int)i, &t->line,
			 t->from + i == t->at ? top_selected_attr(t) :
						attr_of_task(t, &s->tasks[item->task]));
	}
}

static void draw_guests(struct top *t, int y, int end)
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

static void clip_scroll(struct top *t, size_t nr, size_t room)
{
	t->page = room ? room : 1;
	t->scroll_max = nr > room ? nr - room : 0;
	if (t->scroll > t->scroll_max)
		t->scroll = t->scroll_max;
}

static void draw_help(struct top *t)
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

static void draw_detail(struct top *t, struct top_guest *g, int y, int end)
{
	const struct top_detail *d = &g->detail;
	size_t nr = 0, room = end > y ? (size_t)(end - y) : 0;
	const char *p = d->text, *stop;
	char buf[96];

	snprintf(buf, sizeof(buf), "Process %d: %s", (int)d->pid,
		 d->err	 ? d->err->message :
		 d->text ? "as its kernel tells" :
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

static void draw_menu(struct top *t)
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

void top_draw(struct top *t)
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

/* ---- the terminal ---- */

static void start_colours(struct top *t)
{
	static const struct {
		short pair, fg, bg;
	} pairs[] = {
		{ TOP_RED, COLOR_RED, -1 },
		{ TOP_GREEN, COLOR_GREEN, -1 },
		{ TOP_YELLOW, COLOR_YELLOW, -1 },
		{ TOP_BLUE, COLOR_BLUE, -1 },
		{ TOP_CYAN, COLOR_CYAN, -1 },
		{ TOP_GREY, COLOR_BLACK, -1 },
		{ TOP_BAR, COLOR_BLACK, COLOR_GREEN },
		{ TOP_SELECTED, COLOR_BLACK, COLOR_CYAN },
		{ TOP_SORTED, COLOR_CYAN, COLOR_BLACK },
	};
	const char *no = getenv("NO_COLOR");
	bool own;

	t->colour = !(no && *no) && has_colors() && start_color() != ERR;
	if (!t->colour)
		return;
	own = use_default_colors() == ERR;
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
		init_pair(pairs[i].pair, pairs[i].fg,
			  own && pairs[i].bg < 0 ? COLOR_BLACK : pairs[i].bg);
}

__attribute__((format(printf, 2, 0))) static void no_terminal(const struct top *t, const char *fmt,
							      const char *what, const char *hint)
{
	_cleanup_error_ struct vl_error *err =
		vl_error_hint(vl_error_new(VL_ERR_ARG, fmt, what), "%s", hint);

	error_report(t->o.applet->name, NULL, err);
}

/* newterm(), as initscr() would end the program. */
static SCREEN *start_terminal(struct top *t)
{
	const char *term = getenv("TERM"), *cup;
	bool in = isatty(STDIN_FILENO);
	SCREEN *screen = NULL;

	if (!in || !isatty(STDOUT_FILENO)) {
		no_terminal(t, "standard %s is no terminal", in ? "output" : "input",
			    "use -b to print to a pipe");
		return NULL;
	}
	/* What is not known, and what cannot move its cursor, as "dumb". */
	screen = newterm(NULL, stdout, stdin);
	cup = screen ? tigetstr("cup") : NULL;
	if (!cup || cup == (const char *)-1) {
		if (screen) {
			endwin();
			delscreen(screen);
		}
		no_terminal(t, "a terminal of type '%s' cannot be drawn on", term ? term : "",
			    "set TERM to what it is, or use -b");
		return NULL;
	}
	set_term(screen);
	set_escdelay(ESC_MS);
	cbreak();
	noecho();
	nonl();
	intrflush(stdscr, FALSE);
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	start_colours(t);
	t->utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	return screen;
}

/* ---- the loop ---- */

static void take_keys(struct top *t)
{
	int key;

	while ((key = getch()) != ERR) {
		t->dirty = true;
		if (key != KEY_RESIZE)
			top_key(t, key);
	}
}

/*
 * Wait for a key, a guest's answer or @until. Signals come in here only, so curses is
 * never interrupted: its own handlers serve Ctrl-Z and a new size.
 */
static void wait_for(struct top *t, int signal_fd, uint64_t until)
{
	struct pollfd fds[] = {
		{ STDIN_FILENO, POLLIN, 0 },
		{ t->event_fd, POLLIN, 0 },
		{ signal_fd, POLLIN, 0 },
	};
	uint64_t now = vl_now_ns(), left = until > now ? until - now : 0, count;
	struct timespec ts = vl_ns_timespec(left);
	struct signalfd_siginfo info;
	sigset_t mask;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	sigdelset(&mask, SIGWINCH);
	sigdelset(&mask, SIGTSTP);
	if (ppoll(fds, 3, &ts, &mask) < 0)
		return; /* a new size, or back from the background */
	if (fds[1].revents && read(t->event_fd, &count, sizeof(count)) > 0)
		t->dirty = true;
	if (fds[2].revents && read(signal_fd, &info, sizeof(info)) > 0) {
		t->signal = (int)info.ssi_signo;
		t->quit = true;
	}
	/* The terminal has gone. */
	if (fds[0].revents & (POLLHUP | POLLERR))
		t->quit = true;
}

static bool all_answered(struct top *t)
{
	bool all = true;

	for (size_t i = 0; i < t->nr; i++) {
		if (t->pane != TOP_GUESTS && i != t->guest)
			continue;
		pthread_mutex_lock(&t->guests[i].lock);
		all = all && t->guests[i].answered;
		pthread_mutex_unlock(&t->guests[i].lock);
	}
	return all;
}

static void loop(struct top *t, int signal_fd)
{
	uint64_t next = vl_now_ns(), frames = 0;
	bool asked = false;

	while (!t->quit) {
		uint64_t now = vl_now_ns();

		if (now >= next) {
			top_ask(t);
			asked = true;
			next = now - next < t->delay_ns ? next + t->delay_ns : now + t->delay_ns;
			/* Of the last frame that was asked for, nobody waits. */
		}
		if (t->dirty)
			top_draw(t);
		wait_for(t, signal_fd, next);
		take_keys(t);
		if (!asked || !all_answered(t))
			continue;
		asked = false;
		if (top_all_failed(t))
			return;
		if (t->iterations && ++frames == t->iterations) {
			top_draw(t);
			return;
		}
	}
}

int top_screen(struct top *t)
{
	SCREEN *screen = start_terminal(t);
	sigset_t ends, held, old;
	int signal_fd;

	if (!screen)
		return t->o.applet->usage_status;
	sigemptyset(&ends);
	sigaddset(&ends, SIGINT);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGHUP);
	sigaddset(&ends, SIGQUIT);
	held = ends;
	sigaddset(&held, SIGWINCH);
	sigaddset(&held, SIGTSTP);
	pthread_sigmask(SIG_BLOCK, &held, &old);
	signal_fd = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
	t->pane = t->nr == 1 ? TOP_TASKS : TOP_GUESTS;
	t->dirty = true;
	if (signal_fd >= 0)
		loop(t, signal_fd);
	endwin();
	delscreen(screen);
	close(signal_fd);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return 0;
}
