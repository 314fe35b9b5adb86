/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vtop on a terminal: set-up and main loop. */
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
#include "base/cleanup.h"
#include "base/clock.h"
#include "../report.h"
#include "screen.h"

#define ESC_MS 50 /* the longest wait for the rest of an escape sequence */

static void start_colours(struct vtop *t)
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

__attribute__((format(printf, 2, 0))) static void no_terminal(const struct vtop *t, const char *fmt,
							      const char *what, const char *hint)
{
	_cleanup_error_ struct vl_error *err =
		vl_error_hint(vl_error_new(VL_ERR_ARG, fmt, what), "%s", hint);

	error_report(t->o->applet->name, NULL, err);
}

/* newterm(), because initscr() exits on an error. */
static SCREEN *start_terminal(struct vtop *t)
{
	const char *term = getenv("TERM"), *cup;
	bool in = isatty(STDIN_FILENO);
	SCREEN *screen = NULL;

	if (!in || !isatty(STDOUT_FILENO)) {
		no_terminal(t, "standard %s is not a terminal", in ? "output" : "input",
			    "use -b to print to a pipe");
		return NULL;
	}
	/* Refuse unknown terminals, and those that cannot move the cursor ("dumb"). */
	screen = newterm(NULL, stdout, stdin);
	cup = screen ? tigetstr("cup") : NULL;
	if (!cup || cup == (const char *)-1) {
		if (screen) {
			endwin();
			delscreen(screen);
		}
		no_terminal(t, "vtop cannot draw on a terminal of type '%s'", term ? term : "",
			    "set TERM to the terminal's type, or use -b");
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

static void take_keys(struct vtop *t)
{
	int key;

	while ((key = getch()) != ERR) {
		t->dirty = true;
		if (key != KEY_RESIZE)
			top_key(t, key);
	}
}

/*
 * Wait for a key, a guest's answer or @until. Signals are let in here only, so
 * curses is never interrupted. Its own handlers serve Ctrl-Z and a new size.
 */
static void wait_for(struct vtop *t, int signal_fd, uint64_t until)
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

static bool all_answered(struct vtop *t)
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

static void loop(struct vtop *t, int signal_fd)
{
	uint64_t next = vl_now_ns(), frames = 0;
	bool asked = false;

	while (!t->quit) {
		uint64_t now = vl_now_ns();

		if (now >= next) {
			top_ask(t);
			asked = true;
			/* Keep the rhythm. Later than a whole delay, begin a new one. */
			next = now - next < t->delay_ns ? next + t->delay_ns : now + t->delay_ns;
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

int top_screen(struct vtop *t)
{
	SCREEN *screen = start_terminal(t);
	sigset_t ends, held, old;
	int signal_fd;

	if (!screen)
		return t->o->applet->usage_status;
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
