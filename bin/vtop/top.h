/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vtop. Each guest has a thread (guest.c), which reads it and hands over samples. The main
 * thread has the screen and the keys, so a guest that does not answer blocks neither the
 * other guests nor the terminal.
 */
#ifndef VLENS_BIN_VTOP_TOP_H
#define VLENS_BIN_VTOP_TOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../show.h"
#include "../views.h"
#include "vlens.h"

/* ---- guests (guest.c) ---- */

enum top_state {
	TOP_OPENING, /* for the first time */
	TOP_RUNNING,
	TOP_PAUSED,  /* by somebody else */
	TOP_STOPPED, /* its hypervisor process is stopped by a signal */
	TOP_CRASHED, /* its kernel has panicked, or a capture kernel runs in its place */
	TOP_DUMP,
	TOP_FIRMWARE, /* the guest runs, but no kernel yet */
	TOP_BOOTING,  /* the guest runs, but with another kernel, or its kernel is not up yet */
	TOP_GONE,     /* it has ended, or cannot be opened */
};

/* Details of a process, from the guest's kernel (detail.c). */
struct top_detail {
	int32_t pid;
	char *text; /* lines, the guest's bytes; NULL: not here yet */
	size_t len;
	struct vl_error *err;
};

struct top_guest {
	const char *spec;
	struct vl_host_label label; /* its one name on this host, once it was open */
	const struct vl_scan_options *scan;
	int event_fd; /* written when something is new */
	/* When to read the names of users. */
	enum { TOP_USERS_NEVER, TOP_USERS_FIRST, TOP_USERS_LATER } users_when;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock; /* over what follows */
	pthread_cond_t wake;
	bool quit, due; /* for the thread: end; take a sample */
	bool answered;	/* the last request was served, with a sample or without */
	enum top_state state;
	char name[256];			    /* as its hypervisor calls it; "": not known */
	char means[64];			    /* what the state means; "": its name says it */
	struct vl_error *err;		    /* the reason for the state; NULL: none */
	const struct vl_top_sample *sample; /* the last; NULL: none yet */
	char engine[16];
	uint64_t paused_ns;
	unsigned boots; /* times it was opened: first, after a boot, or when it came back */
	bool is_short;	/* `lacks` says how, as it was opened the last time */
	struct vl_shortfall lacks;
	struct top_detail detail;
	bool detail_due;

	/* The thread's own. */
	struct vl_guest *guest;
	struct vl_top_sample samples[2];
	struct vl_users *users; /* of this boot; NULL: not known */
	bool users_asked;
	unsigned next; /* index of the sample to fill */
	uint64_t retry_at, retry_ns, moved_at, asked_at, moved_sum;
	enum top_state last_state;    /* as last found */
	char state_means[64];	      /* what it means */
	char state_name[256];	      /* the guest's name, found with it */
	unsigned lost;		      /* deaths of its worker since the last sample */
	uint64_t wrong_at;	      /* since when its memory makes no sense; 0: it does */
	uint64_t anew_after, anew_ns; /* earliest next search for its kernel; backoff */
	bool anew;
	uint64_t paused_before; /* ns, by openings before the current one */
};

/* Start the thread of @g; the fields above `thread` are set. False: it cannot be started. */
bool top_guest_start(struct top_guest *g);
/* End the thread; waits until it is done with its current request. */
void top_guest_stop(struct top_guest *g);
/* Ask for a sample; for the details of a process. */
void top_guest_ask(struct top_guest *g);
void top_guest_ask_detail(struct top_guest *g, int32_t pid);
const char *top_state_name(enum top_state state);
/* Its name as vlist shows it; behind that its spec and its host name, where they are others. */
#define TOP_TITLE 512
void top_guest_title(const struct top_guest *g, char *buf, size_t size);

/* Fill @d (pid is set) by asking the kernel of @g, in a run of its own. */
void top_detail_read(struct vl_guest *g, struct top_detail *d);
void top_detail_clear(struct top_detail *d);
/* The users in /etc/passwd of @g, likewise. NULL: not in its memory. */
struct vl_users *top_users_read(struct vl_guest *g);

/* ---- which processes, in which order (list.c) ---- */

#define TOP_ANY_USER UINT32_MAX

struct top_filter {
	int column; /* to sort by, of vl_top_columns */
	bool down, tree, hide_kernel;
	bool grouped;  /* by container, then by `column` */
	uint32_t user; /* effective; TOP_ANY_USER */
	/* The same by its name, in place of `user`; NULL: `user` counts. */
	const char *user_name;
	/*
	 * In the command, whatever the case; NULL or "": any. In a tree the parents of those that
	 * have it stay, too.
	 */
	const char *text;
	const int32_t *pids;
	size_t nr_pids; /* 0: any */
};

struct top_item {
	uint32_t task;	/* of the sample; of a sum: of the list's sums */
	bool sum;	/* it stands for a whole group, whose processes follow */
	uint16_t depth; /* in the tree */
	uint64_t more;	/* bit i: a sibling follows at depth i */
};

/* The processes of a container that are shown, together; or those that are in none. */
struct top_sum {
	struct vl_top_task of; /* its figures; all else is that of the first of them, the pid 0 */
	size_t processes;
};

struct top_list {
	struct top_item *items;
	size_t nr, cap;
	struct top_sum *sums; /* of a list that is grouped */
	size_t nr_sums, cap_sums;
};

/* Fill @l; false without memory. */
bool top_list_make(struct top_list *l, const struct vl_top_sample *s, const struct top_filter *f);
void top_list_deinit(struct top_list *l);
/* The process of item @i; 0: it is a sum, or there is no such item. */
int32_t top_list_pid(const struct top_list *l, const struct vl_top_sample *s, size_t i);
/* Does the command of @p, or its name, contain @text? */
bool top_matches(const struct vl_top_sample *s, const struct vl_top_task *p, const char *text);

/* ---- text (cells.c) ---- */

struct top_format {
	const char *header;
	uint8_t width;
	bool left;
};
extern const struct top_format top_formats[]; /* by column of vl_top_columns */

/* Texts: "12.3", "-"; "512K", "1.25G"; "1:02.33"; "3d 01:02:03". */
#define TOP_TEXT 32
void top_tenths(int32_t tenths, char buf[TOP_TEXT]);
void top_bytes(uint64_t bytes, char buf[TOP_TEXT]);
void top_kib(uint64_t bytes, char buf[TOP_TEXT]);
void top_time(uint64_t ns, char buf[TOP_TEXT]);
void top_uptime(uint64_t ns, char buf[TOP_TEXT]);
/* "Tasks: 84 total, 61 kthr, 120 thr; 1 running": processes, threads of the kernel, all threads. */
#define TOP_COUNTS 120
void top_counts(const struct vl_top_sample *s, char buf[TOP_COUNTS]);
/* The load averages, with @between between two of them. */
void top_load(const struct vl_top_sample *s, const char *between, char buf[TOP_COUNTS]);

/*
 * A growing buffer, malloc'ed. top_clean() and top_cell() set it to a sanitized text, to
 * that of a cell.
 */
struct top_text {
	char *text;
	size_t cap, len;
};
void top_clean(struct top_text *t, const char *text, size_t len);
void top_cell(struct top_text *t, const struct vl_top_sample *s, const struct vl_top_task *p,
	      int column, bool comm);

/* ---- lines (line.c) ---- */

struct vtop;

/* A line over all columns, of any width. */
struct top_line {
	char *text;
	size_t len, cap;
	int sort_x, sort_width; /* of a header: place of the sort column */
};
void top_line_header(const struct vtop *t, const struct vl_top_sample *s, struct top_line *l);
void top_line_item(struct vtop *t, const struct vl_top_sample *s, const struct top_item *item,
		   struct top_line *l);
void top_line_printf(struct top_line *l, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* ---- the program (top.c) ---- */

enum top_pane { TOP_GUESTS = 1, TOP_TASKS = 2, TOP_DETAIL = 4, TOP_HELP = 8 };

/* A menu at the left: sort columns, or users. */
struct top_menu {
	const char *title;
	char (*items)[24];
	uint32_t *values;
	size_t nr, at;
	void (*take)(void *top, uint32_t value);
};

/* A line of input. */
struct top_prompt {
	const char *title; /* NULL: there is none */
	char text[128];
	void (*changed)(void *top, bool done);
	char before[128]; /* restored by Esc */
};

struct vtop {
	struct request *o;
	struct printer show;
	uint64_t delay_ns;
	uint64_t iterations; /* 0: for ever */
	bool batch, comm;
	bool added; /* the column of containers is there because of `grouped` */
	struct top_filter filter;
	int32_t *pids;
	char filter_text[128], search_text[128];
	int event_fd;
	struct top_guest *guests;
	size_t nr;

	/* The screen. */
	bool colour, utf8, quit, dirty;
	enum top_pane pane, below; /* below: the pane under the help */
	size_t guest;		   /* index of the shown one */
	size_t guest_at, guest_from;
	struct top_list list;
	size_t at, from; /* the selected line, the first that is shown */
	size_t page;	 /* lines that are shown */
	int32_t follow;	 /* the selection stays on this pid; 0: on its line */
	size_t scroll;	 /* of the detail pane and the help */
	size_t scroll_max;
	size_t column_from; /* columns of text that are left of the screen */
	struct top_menu menu;
	struct top_prompt prompt;
	char message[160]; /* until the next key */
	struct top_text text;
	struct top_line line;
	int signal; /* the one that ended vtop; 0: none */
};

/* Draw the screen (draw.c), the header (meters.c), a text (paint.c). */
void top_draw(struct vtop *t);
void top_draw_header(struct vtop *t, struct top_guest *g, int *y);
void top_put(struct vtop *t, int y, int x, int width, const char *text, size_t len);

/* Handle key @key (keys.c). */
void top_key(struct vtop *t, int key);
/* Line @i of the help. False: there is none. @grey: a key that would change a guest. */
bool top_help_line(size_t i, char *buf, size_t size, bool *grey);
/* Does column @column sort upwards by default? (select.c) */
bool top_sorts_up(int column);
/* Scroll to the selected row after the list has changed. */
void top_scroll_to_selected(struct vtop *t);

/* Text for a pipe (batch.c). Returns the exit status. */
int top_batch(struct vtop *t);
/* With a terminal (screen.c). */
int top_screen(struct vtop *t);

/* Ask all guests that are shown for a sample (guest.c). */
void top_ask(struct vtop *t);
/* Have all guests an error, and was none ever opened? */
bool top_all_failed(struct vtop *t);

#endif
