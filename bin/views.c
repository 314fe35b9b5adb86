/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The applets that print a table of what is in memory. */
#include "views.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applet.h"
#include "base/array.h"
#include "base/clock.h"
#include "guest/spare.h"
#include "keep/keep.h"
#include "options.h"
#include "parse.h"
#include "progress.h"
#include "report.h"
#include "show.h"

#define STATUS_MARKED 1

/* clang-format off */
#define TABLE_OPTIONS \
	{ "output", 'o', "LIST", 0, "print these columns", 0 }, \
	{ "sort", VIEW_SORT, "KEYS", 0, "sort by these columns; -KEY: downwards", 0 }, \
	{ "no-headers", VIEW_NO_HEADERS, NULL, 0, "no line with the names of the columns", 0 }

static const struct argp_option table_options[] = {
	VIEW_OPTIONS_FRONT,
	TABLE_OPTIONS,
	VIEW_OPTIONS_BACK,
};

/* In front of an applet that mirrors a program. */
static const struct argp_option diff_options[] = {
	VIEW_OPTIONS_FRONT,
	TABLE_OPTIONS,
	{ "diff", VIEW_DIFF, NULL, 0, "the same list by several ways, side by side", 0 },
	VIEW_OPTIONS_BACK,
};

static const struct argp_option top_options[] = {
	{ "batch", 'b', NULL, 0, "print to standard output, frame after frame", 0 },
	{ "delay", 'd', "SECONDS", 0, "between two refreshes (1.5)", 0 },
	{ "iterations", 'n', "N", 0, "end after so many refreshes", 0 },
	{ "pids", 'p', "LIST", 0, "only these processes", 0 },
	{ "user", 'u', "UID", 0, "only the processes of this user of the guest", 0 },
	{ "sort", 's', "KEY", 0, "sort by this column; -KEY: downwards", 0 },
	{ "tree", VIEW_TREE, NULL, 0, "as a tree", 0 },
	{ "output", 'o', "LIST", 0, "show these columns", 0 },
	{ "no-headers", VIEW_NO_HEADERS, NULL, 0, "with -b: no names of the columns", 0 },
	{ "connect", 'c', "URI", 0, "look guests up at this libvirt URI", 0 },
	{ "all", VIEW_ALL, NULL, 0, "all guests of this host, as without any name", 0 },
	{ "engine", VIEW_ENGINE, "ENGINE", 0, "who reads: imee (the fastest), direct, kvm, module", 0 },
	{ "json", 'J', NULL, 0, "with -b: print JSON", 0 },
	{ "pause", VIEW_PAUSE, "HOW", 0, "to ask a kernel: auto, freeze, suspend, none", 0 },
	{ "max-pause", VIEW_MAX_PAUSE, "MS", 0, "the longest pause[,all of a question] (10,50)", 0 },
	{ "help", VIEW_HELP, NULL, 0, "print this help", 0 },
	{ "version", VIEW_VERSION, NULL, 0, "print the version and what is built in", 0 },
	{ 0 },
};
/* clang-format on */

static const struct argp_option peek_options[] = {
	VIEW_OPTIONS_FRONT,
	{ "guest", 'g', "GUEST", 0, "this guest; again for more", 0 },
	{ "as", VIEW_AS, "PID", 0, "addresses are those of this process", 0 },
	{ "depth", VIEW_DEPTH, "N", 0, "follow pointers, N deep (0)", 0 },
	{ "elements", VIEW_ELEMENTS, "N", 0, "show N elements of an array (16)", 0 },
	VIEW_OPTIONS_BACK,
};

static int list_run(const struct applet *a, const struct view *v, int argc, char **argv);

static const struct view views[] = {
	{ "vpidlist", table_options, &vl_scan_pidlist, NULL, NULL, view_run },
	{ "vpslist", table_options, &vl_scan_pslist, NULL, NULL, view_run },
	{ "vcredlist", table_options, &vl_scan_credlist, NULL, NULL, view_run },
	{ "vsyscalldump", table_options, &vl_scan_syscalls, NULL, NULL, view_run },
	{ "vmem", table_options, &vl_scan_memory, NULL, NULL, view_run },
	{ "vlist", table_options, NULL, NULL, vl_list_columns, list_run },
	{ "vtop", top_options, NULL, NULL, vl_top_columns, top_run },
	{ "vpeek", peek_options, NULL, NULL, NULL, peek_run },
	{ "vps", diff_options, &vl_scan_ps, &vl_diff_processes, NULL, view_run },
	{ "vlsmod", diff_options, &vl_scan_modules, &vl_diff_modules, NULL, view_run },
	{ "vlsof", table_options, &vl_scan_files, NULL, NULL, view_run },
	{ "vnetstat", table_options, &vl_scan_sockets, NULL, NULL, view_run },
	{ "vfree", table_options, &vl_scan_free, NULL, NULL, view_run },
	{ "vuname", table_options, &vl_scan_uname, NULL, NULL, view_run },
};

const struct view *view_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(views); i++)
		if (!strcmp(name, views[i].applet))
			return &views[i];
	return NULL;
}

static bool is_raw(const char *engine)
{
	for (size_t i = 0; view_engines[i]; i++)
		if (!strcmp(engine, view_engines[i]))
			return true;
	return !strcmp(engine, "imee");
}

bool view_wanted(int argc, char **argv)
{
	for (int i = 1; i < argc && argv[i][0] == '-'; i++) {
		const char *engine = NULL;

		if (!strcmp(argv[i], "--"))
			return false;
		if (!strcmp(argv[i], "--diff") || !strcmp(argv[i], "--json") ||
		    !strcmp(argv[i], "-J"))
			return true;
		if (!strncmp(argv[i], "--engine=", 9))
			engine = argv[i] + 9;
		else if (!strcmp(argv[i], "--engine") && i + 1 < argc)
			engine = argv[++i];
		else if ((!strcmp(argv[i], "-c") || !strcmp(argv[i], "--connect") ||
			  !strcmp(argv[i], "--as") || !strcmp(argv[i], "--pause") ||
			  !strcmp(argv[i], "--max-pause") || !strcmp(argv[i], "-o") ||
			  !strcmp(argv[i], "--output") || !strcmp(argv[i], "--sort")) &&
			 i + 1 < argc)
			i++;
		if (engine)
			return is_raw(engine);
	}
	return false;
}

/* ---- one run ---- */

struct run {
	struct view_options o;
	const struct view *view;
	const struct vl_column *columns;
	const char *plural;
	struct show show;
};

static bool take(void *ctx, int key, char *arg)
{
	struct run *r = ctx;
	char *word = NULL;
	bool ok = true;

	switch (key) {
	case 'o':
		ok = show_take_columns(&r->show, arg, &word);
		if (!ok)
			usage_report(r->o.applet->name,
				     "error: unknown user-defined format specifier \"%s\"",
				     word ? word : "");
		break;
	case VIEW_SORT:
		ok = show_take_sort(&r->show, arg, &word);
		if (!ok)
			usage_report(r->o.applet->name, "error: unknown sort specifier \"%s\"",
				     word ? word : "");
		break;
	case VIEW_NO_HEADERS:
		r->show.no_headers = true;
		break;
	default:
		return view_option(&r->o, key, arg);
	}
	free(word);
	return ok;
}

static void help(const struct run *r)
{
	const struct applet *a = r->o.applet;
	const char *args = a->program ? "GUEST..." : a->args;

	options_head(a->name, args, a->summary);
	puts("\nColumns (* if none are asked for):");
	for (const struct vl_column *c = r->columns; c->name; c++)
		printf("  %c %-12s %s\n", c->shown ? '*' : ' ', c->name, c->doc);
	options_list(r->view->options);
	printf("\nFor more details see %s(1).\n", a->name);
}

/* A worker of the guest's keeper, if it has one that waits. */
static struct vl_box *borrow(void *ctx, uint64_t print)
{
	return vl_keep_borrow(ctx, print);
}

/* Open the guest and look, once. */
static void look_once(const struct run *r, struct view_job *job, const struct vl_scan_options *o)
{
	bool need = r->o.diff || r->view->scan->need_kernel;
	const struct vl_guest_options go = {
		.target = o->target,
		.uses = VL_GUEST_READ | (r->o.diff ? VL_GUEST_ASK : 0),
		.engine = o->engine,
		.explain = r->o.stats,
		.anew = o->anew,
	};
	/* As it is looked up by a tool that starts one; nothing is started here. */
	struct vl_keep_options keep = {
		.spec = job->spec,
		.guest = go,
		.seconds = options_default_keep(),
	};
	struct vl_table *t = job->result;
	struct vl_guest *g = NULL;
	uint64_t start = vl_now_ns();

	job->err = vl_guest_open(job->spec, &go, &g);
	if (!job->err) {
		vl_guest_use_lender(g, borrow, &keep);
		job->err = vl_guest_attach(g, need);
	}
	job->attach_ns = vl_now_ns() - start;
	start = vl_now_ns();
	if (!job->err)
		job->err = r->o.diff ? vl_guest_diff(g, r->view->diff, t) :
				       vl_guest_scan(g, r->view->scan, t);
	job->look_ns = vl_now_ns() - start;
	job->live = g && vl_guest_is_live(g);
	if (g && r->o.stats)
		view_note(job, g);
	/* The kernel's worker has something to store. */
	if (r->o.diff)
		vl_guest_close(g);
	else
		view_end(job, g);
}

static void look(void *ctx, struct view_job *job)
{
	const struct run *r = ctx;
	struct vl_scan_options o = r->o.scan;

	look_once(r, job, &o);
	/* A guest that was reset still has the old kernel in its memory for a while. */
	if (!job->err || !job->live || job->err->code != VL_ERR_FAULT)
		return;
	vl_error_destroy(job->err);
	view_forget(job);
	vl_table_clear(job->result);
	o.anew = true;
	look_once(r, job, &o);
}

static void look_list(void *ctx, struct view_job *job)
{
	const struct run *r = ctx;

	uint64_t start = vl_now_ns();
	struct vl_guest *g = NULL;

	job->err = vl_list_guest(job->spec, &r->o.scan, r->o.stats, job->result, &g);
	job->attach_ns = vl_now_ns() - start;
	if (g && r->o.stats)
		view_note(job, g);
	view_end(job, g);
	if (!job->err || job->err->code == VL_ERR_NOMEM)
		return;
	/* One that is here, but cannot be opened, is listed; one that was named is an error. */
	if (!r->o.all) {
		vl_table_clear(job->result);
		return;
	}
	vl_error_destroy(job->err);
	job->err = NULL;
}

static int run_jobs(struct run *r, void (*fn)(void *ctx, struct view_job *job))
{
	struct show_part *parts = NULL;
	struct vl_table *tables = NULL;
	struct view_job *jobs = NULL;
	struct progress progress;
	int status = STATUS_GUEST;
	size_t nr = 0, marked = 0;
	bool ready;

	/* vlist: without a name, all there are. */
	r->o.all = r->o.all || !r->o.nr_words;
	ready = view_jobs(&r->o, r->o.words, r->o.nr_words, &jobs, &nr);
	tables = calloc(nr + 1, sizeof(*tables));
	parts = calloc(nr + 1, sizeof(*parts));
	r->show.json = r->o.json;
	if (!tables || !parts || !show_settle(&r->show, fn == look && (nr > 1 || r->o.all))) {
		error_report(r->o.applet->name, NULL, vl_error_nomem());
		goto out;
	}
	for (size_t i = 0; i < nr; i++) {
		vl_table_init(&tables[i], r->columns);
		jobs[i].result = &tables[i];
		parts[i] = (struct show_part){ jobs[i].spec, &tables[i] };
	}
	progress_begin(&progress, r->o.applet->name, nr == 1 ? jobs[0].spec : NULL);
	view_each(jobs, nr, fn, r);
	progress_end(&progress);
	show_print(&r->show, r->plural, parts, nr);
	for (size_t i = 0; i < nr; i++)
		marked += tables[i].nr_marked;
	status = view_report(&r->o, jobs, nr, ready ? (marked ? STATUS_MARKED : 0) : STATUS_GUEST);
out:
	for (size_t i = 0; tables && i < nr; i++)
		vl_table_deinit(&tables[i]);
	free(tables);
	free(parts);
	view_jobs_free(jobs, nr);
	return status;
}

/* --diff decides what the columns are, wherever it stands. */
static bool asks_diff(const struct view *v, int argc, char **argv)
{
	for (int i = 1; v->diff && i < argc && strcmp(argv[i], "--"); i++)
		if (!strcmp(argv[i], "--diff"))
			return true;
	return false;
}

static int run_table(struct run *r, int argc, char **argv,
		     void (*fn)(void *ctx, struct view_job *job))
{
	const struct applet *a = r->o.applet;
	int status = a->usage_status;

	r->o.words = calloc((size_t)argc + 1, sizeof(*r->o.words));
	show_init(&r->show, r->columns);
	if (!r->o.words)
		error_report(a->name, NULL, vl_error_nomem());
	else if (!parse_arguments(a, r->view->options, argc, argv, take, r))
		status = a->usage_status;
	else if (r->o.end == VIEW_END_HELP)
		help(r), status = 0;
	else if (r->o.end == VIEW_END_VERSION)
		print_version(a->name), status = 0;
	else if (!r->o.nr_words && !r->o.all && fn == look)
		usage_report(a->name, "no guest is named");
	else if (r->o.nr_words && r->o.all)
		usage_report(a->name, "--all and '%s' are too many", r->o.words[0]);
	else
		status = run_jobs(r, fn);
	show_deinit(&r->show);
	free(r->o.words);
	return status;
}

int view_run(const struct applet *a, const struct view *v, int argc, char **argv)
{
	bool diff = asks_diff(v, argc, argv);
	struct run r = {
		.o = { .applet = a },
		.view = v,
		.columns = diff ? v->diff->columns : v->scan->columns,
		.plural = diff ? v->diff->plural : v->scan->plural,
	};

	return run_table(&r, argc, argv, look);
}

static int list_run(const struct applet *a, const struct view *v, int argc, char **argv)
{
	struct run r = {
		.o = { .applet = a },
		.view = v,
		.columns = v->columns,
		.plural = "guests",
	};

	return run_table(&r, argc, argv, look_list);
}
