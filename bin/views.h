/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Applets that read raw memory, with no model and no kernel asked. */
#ifndef VLENS_BIN_VIEWS_H
#define VLENS_BIN_VIEWS_H

#include <argp.h>
#include <stdbool.h>

#include "vlens.h"

struct applet;

/*
 * What an applet shows raw. For one that mirrors a program that is with
 * --engine=imee and with --diff only.
 */
struct view {
	const char *applet;
	const struct argp_option *options;
	const struct vl_scan *scan;	 /* one look; NULL: `run` does something else */
	const struct vl_diff *diff;	 /* --diff; or NULL */
	const struct vl_column *columns; /* of what -o can show; NULL: no table */
	int (*run)(const struct applet *a, const struct view *v, int argc, char **argv);
};

/* The view of applet @name; NULL: it has none. */
const struct view *view_find(const char *name);

/* Do the options in front of GUEST ask an applet with a model for its view? */
bool view_wanted(int argc, char **argv);

/* Run it from its command line; returns the exit status. */
int view_run(const struct applet *a, const struct view *v, int argc, char **argv);
int peek_run(const struct applet *a, const struct view *v, int argc, char **argv);
int top_run(const struct applet *a, const struct view *v, int argc, char **argv);

/* ---- what both share ---- */

enum {
	VIEW_ENGINE = 0x100,
	VIEW_ALL,
	VIEW_PAUSE,
	VIEW_MAX_PAUSE,
	VIEW_NO_HEADERS,
	VIEW_SORT,
	VIEW_AS,
	VIEW_DEPTH,
	VIEW_ELEMENTS,
	VIEW_STATS,
	VIEW_DIFF,
	VIEW_TREE,
	VIEW_HELP,
	VIEW_VERSION,
};

/* clang-format off */
#define VIEW_OPTIONS_FRONT \
	{ "connect", 'c', "URI", 0, "look guests up at this libvirt URI", 0 }, \
	{ "all", VIEW_ALL, NULL, 0, "all guests of this host", 0 }, \
	{ "engine", VIEW_ENGINE, "ENGINE", 0, "who reads: imee (the fastest), direct, kvm, module", 0 }, \
	{ "json", 'J', NULL, 0, "print JSON", 0 }
#define VIEW_OPTIONS_BACK \
	{ "pause", VIEW_PAUSE, "HOW", 0, "should its kernel be asked: auto, freeze, suspend, none", 0 }, \
	{ "max-pause", VIEW_MAX_PAUSE, "MS", 0, "the longest pause[,all of a run] (10,50)", 0 }, \
	{ "stats", VIEW_STATS, NULL, 0, "print to stderr how it was read", 0 }, \
	{ "help", VIEW_HELP, NULL, 0, "print this help", 0 }, \
	{ "version", VIEW_VERSION, NULL, 0, "print the version and what is built in", 0 }, \
	{ 0 }
/* clang-format on */

/* What --engine can be, besides imee, the fastest of them; NULL behind the last. */
extern const char *const view_engines[];

struct view_options {
	const struct applet *applet;
	struct vl_scan_options scan;
	bool all, json, stats, diff;
	enum { VIEW_GO_ON, VIEW_END_HELP, VIEW_END_VERSION } end;
	char **words; /* arguments that are no options */
	size_t nr_words;
};

/* Take an option that both have; false: it is wrong and reported. */
bool view_option(struct view_options *o, int key, char *arg);

/* What came of one guest. */
struct view_job {
	const char *spec;
	struct vl_error *err;
	struct vl_reader_stats stats; /* engine NULL: none was opened */
	char *reason, *others;	      /* of the engine, of those not taken; malloc'ed */
	uint64_t paused_ns, attach_ns, look_ns;
	bool live;
	struct vl_guest *guest; /* to be closed when all is printed; NULL: it is closed */
	void *result;		/* of `fn` */
};

/*
 * The guests that @words (@nr) name, or all of this host. *@ret is malloc'ed, for
 * view_jobs_free(). False: reported.
 */
bool view_jobs(const struct view_options *o, char *const *words, size_t nr, struct view_job **ret,
	       size_t *nr_ret);
void view_jobs_free(struct view_job *jobs, size_t nr);

/* Call @fn for each job, several at a time. */
void view_each(struct view_job *jobs, size_t nr, void (*fn)(void *ctx, struct view_job *job),
	       void *ctx);

/* Keep in @job what @g has to say for --stats; forget it again. */
void view_note(struct view_job *job, struct vl_guest *g);
void view_forget(struct view_job *job);

/* Nothing more is asked of @g, which becomes @job's: its worker ends while we print. */
void view_end(struct view_job *job, struct vl_guest *g);

/* Report what failed, and with --stats the rest. Returns 3 if something did, else @status. */
int view_report(const struct view_options *o, struct view_job *jobs, size_t nr, int status);

#endif
