/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The applets that print a view as a table. */
#include "views.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applet.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "brief.h"
#include "guest/standby.h"
#include "keep/keep.h"
#include "options.h"
#include "progress.h"
#include "report.h"
#include "show.h"

#define STATUS_MARKED 1

/* ---- one run ---- */

struct run {
	struct request *request;
	const struct vl_scan *scan; /* without a diff */
	const struct vl_diff *diff; /* NULL: the plain view */
	const struct vl_column *columns;
	const char *plural;
	struct printer show;
};

static bool take(struct request *request, void *ctx, int key, char *arg)
{
	struct run *r = ctx;

	switch (key) {
	case 'o':
	case OPT_SORT:
	case OPT_NO_HEADERS:
		return show_option(&r->show, request->applet->name, key, arg);
	default:
		return request_option(request, NULL, key, arg);
	}
}

/* Borrow a standby worker from the guest's keeper. NULL: it has none. */
static struct vl_box *borrow(void *ctx, uint64_t print)
{
	return vl_keep_borrow(ctx, print);
}

/* Open the guest and look, once. */
static void look_once(const struct run *r, struct view_job *job, const struct vl_scan_options *o)
{
	bool need = r->diff || r->scan->need_kernel;
	const struct vl_guest_options go = {
		.target = o->target,
		.uses = VL_GUEST_READ | (r->diff ? VL_GUEST_ASK : 0),
		.engine = o->engine,
		.explain = r->request->stats,
		.anew = o->anew,
		.trusted = r->request->trusted,
		.unverified = r->request->unverified,
	};
	/* Keepers are found by the options that start them. None is started here. */
	struct vl_keep_options keep = {
		.spec = job->spec,
		.guest = go,
		.seconds = request_default_keep(),
	};
	struct vl_table *t = job->result;
	struct vl_guest *g = NULL;
	uint64_t start = vl_now_ns();

	job->at_ns = vl_clock_ns(CLOCK_REALTIME);
	job->err = vl_guest_open(job->spec, &go, &g);
	if (!job->err) {
		vl_guest_use_lender(g, borrow, &keep);
		job->err = vl_guest_attach(g, need);
	}
	job->attach_ns = vl_now_ns() - start;
	start = vl_now_ns();
	if (!job->err)
		job->err = r->diff ? vl_guest_diff(g, r->diff, t) : vl_guest_scan(g, r->scan, t);
	job->look_ns = vl_now_ns() - start;
	job->live = g && vl_guest_is_live(g);
	job->pid = g ? vl_guest_pid(g) : 0;
	job->moved = g ? vl_guest_moved(g) : 0;
	if (g)
		job->is_short = vl_guest_shortfall(g, &job->lacks);
	if (g && (r->request->stats || r->request->trusted))
		view_note(job, g);
	/* A worker that asked the kernel stores what it learned: wait for it. */
	if (r->diff)
		vl_guest_close(g);
	else
		view_end(job, g);
}

static void look(void *ctx, struct view_job *job)
{
	const struct run *r = ctx;
	struct vl_scan_options o = r->request->scan;

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

	job->at_ns = vl_clock_ns(CLOCK_REALTIME);
	job->err = vl_list_guest(job->spec, &r->request->scan, r->request->stats, job->result, &g);
	job->attach_ns = vl_now_ns() - start;
	job->live = g && vl_guest_is_live(g);
	job->pid = g ? vl_guest_pid(g) : 0;
	if (g)
		job->is_short = vl_guest_shortfall(g, &job->lacks);
	if (g && r->request->stats)
		view_note(job, g);
	view_end(job, g);
	if (!job->err || job->err->code == VL_ERR_NOMEM)
		return;
	/* With --all, a guest that cannot be opened is listed. A named one is an error. */
	if (!r->request->all) {
		vl_table_clear(job->result);
		return;
	}
	vl_error_destroy(job->err);
	job->err = NULL;
	job->unreached = true;
}

/*
 * The last line of a report with marked rows is their number. A guest that could not be checked is
 * not counted: it has a message of its own.
 */
static void print_verdict(const struct run *r, const struct view_job *jobs, size_t nr)
{
	const char *what = r->diff ? r->diff->verdict : NULL;
	size_t marked = 0, whole = 0, untrusted = 0;

	if (!what || r->show.json || r->show.no_headers)
		return;
	for (size_t i = 0; i < nr; i++) {
		marked += ((const struct vl_table *)jobs[i].result)->nr_marked;
		untrusted += ((const struct vl_table *)jobs[i].result)->nr_untrusted != 0;
		whole += !jobs[i].err;
	}
	if (marked)
		printf("%zu %s%s", marked, what, marked == 1 ? "" : "s");
	else if (nr && whole == nr)
		printf("no %ss", what);
	else
		return;
	if (untrusted && nr > 1)
		printf("; of %zu of %zu guests", untrusted, nr);
	else if (untrusted)
		fputs("; of its text", stdout);
	if (untrusted)
		fputs(" only the entries of functions were checked: there is no trusted kernel of "
		      "the build (vlens trust add FILE)",
		      stdout);
	putchar('\n');
}

/* Leave only the rows of @t that are marked, for --quiet. */
static void keep_marked(struct vl_table *t)
{
	int mark = vl_column_find(t->columns, "MARK", strlen("MARK"));
	size_t kept = 0;

	for (size_t i = 0; mark >= 0 && i < t->nr_rows; i++)
		if (vl_table_cell(t, i, (size_t)mark)->kind != VL_CELL_NONE)
			memmove(t->cells + kept++ * t->nr_columns, t->cells + i * t->nr_columns,
				t->nr_columns * sizeof(*t->cells));
	t->nr_rows = kept;
}

/* The last line of --quiet: one about all guests, also when nothing is marked. */
static void print_sum(const struct run *r, const struct view_job *jobs, size_t nr)
{
	size_t marked = 0, with = 0, failed = 0;

	if (!r->request->quiet || r->show.json)
		return;
	for (size_t i = 0; i < nr; i++) {
		const struct vl_table *t = jobs[i].result;

		marked += t->nr_marked;
		with += t->nr_marked > 0;
		failed += jobs[i].err != NULL;
	}
	printf("%zu guest%s: ", nr, nr == 1 ? "" : "s");
	if (failed == nr) {
		puts(nr == 1 ? "not compared" : "none was compared");
		return;
	}
	if (marked)
		printf("%zu marked in %zu", marked, with);
	else
		fputs("nothing marked", stdout);
	if (failed)
		printf(", %zu not compared", failed);
	putchar('\n');
}

/* In a file whose pages are of several points in time, a mark can come from that. */
static void report_moved(const struct run *r, const struct view_job *jobs, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		_cleanup_error_ struct vl_error *err = NULL;

		if (!jobs[i].moved || !((const struct vl_table *)jobs[i].result)->nr_marked)
			continue;
		if (jobs[i].moved == UINT64_MAX)
			err = vl_error_new(VL_ERR_TARGET,
					   "pages of the file changed while it was made: rows may "
					   "be marked for that");
		else
			err = vl_error_new(VL_ERR_TARGET,
					   "%" PRIu64 " pages of the file changed while it was "
					   "made: rows may be marked for that",
					   jobs[i].moved);
		err = vl_error_hint(err, "vlens dump --%s=whole makes a file of one point in time",
				    option_name(OPT_PAUSE));
		error_report(r->request->applet->name, jobs[i].spec, err);
	}
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

	/* vlist: without a name, all guests. */
	r->request->all = r->request->all || !r->request->nr_words;
	ready = view_jobs(r->request, r->request->words, r->request->nr_words, &jobs, &nr);
	tables = calloc(nr + 1, sizeof(*tables));
	parts = calloc(nr + 1, sizeof(*parts));
	r->show.json = r->request->json;
	r->show.trusted = r->request->trusted;
	if (!tables || !parts ||
	    !show_default_columns(&r->show, fn == look && (nr > 1 || r->request->all))) {
		error_report(r->request->applet->name, NULL, vl_error_nomem());
		goto out;
	}
	/*
	 * Without a guest the result is an error, and not "nothing found". vlist prints an empty
	 * list.
	 */
	if (ready && !nr && fn == look) {
		view_report_none(r->request);
		ready = false;
	}
	for (size_t i = 0; i < nr; i++) {
		vl_table_init(&tables[i], r->columns);
		jobs[i].result = &tables[i];
		parts[i] = (struct show_part){ .guest = jobs[i].spec, .table = &tables[i] };
	}
	progress_begin(&progress, r->request->applet->name, nr == 1 ? jobs[0].spec : NULL, NULL);
	view_each(jobs, nr, fn, r);
	progress_end(&progress);
	if (r->show.json || show_has_guest(&r->show))
		view_labels(jobs, nr);
	for (size_t i = 0; i < nr; i++)
		parts[i].guest = view_name(&jobs[i]);
	/* The time of a pass over a file is not that of its content. */
	for (size_t i = 0; i < nr; i++)
		parts[i].at_ns = jobs[i].live ? jobs[i].at_ns : 0;
	for (size_t i = 0; r->request->quiet && i < nr; i++)
		keep_marked(&tables[i]);
	for (size_t i = 0; i < nr && r->diff && r->diff->verdict && !r->show.json; i++)
		if (!r->request->attachments)
			brief_attachments(&tables[i]);
	for (size_t i = 0; i < nr; i++)
		if (jobs[i].is_short)
			error_report_shortfall(r->request->applet->name, jobs[i].spec,
					       &jobs[i].lacks);
	/*
	 * "No containers" is an answer, too: a list without rows has its header, as in docker ps.
	 */
	for (size_t i = 0; i < nr && fn == look && !r->diff; i++)
		r->show.always_headed |= !jobs[i].err;
	show_print(&r->show, r->plural, parts, nr);
	print_verdict(r, jobs, nr);
	print_sum(r, jobs, nr);
	report_moved(r, jobs, nr);
	for (size_t i = 0; i < nr; i++) {
		marked += tables[i].nr_marked;
		marked += r->request->strict ? tables[i].nr_unsure : 0;
		ready = ready && !jobs[i].unreached;
	}
	status = view_report(r->request, jobs, nr,
			     ready ? (marked ? STATUS_MARKED : 0) : STATUS_GUEST);
out:
	for (size_t i = 0; tables && i < nr; i++)
		vl_table_deinit(&tables[i]);
	free(tables);
	free(parts);
	view_jobs_free(jobs, nr);
	return status;
}

static int run_table(struct request *request, const char *plural,
		     void (*fn)(void *ctx, struct view_job *job))
{
	const struct applet *a = request->applet;
	/* --diff decides the columns, wherever it stands in the line. Some views have only that. */
	const int list = request_list(request);
	const struct vl_diff *diff = !a->view.scan || list == OPT_DIFF ? a->view.diff : NULL;
	const struct vl_scan *scan =
		a->view.containers && list == OPT_CONTAINERS ? a->view.containers : a->view.scan;
	struct run r = {
		.request = request,
		.scan = scan,
		.diff = diff,
		.columns = view_columns(&a->view, list),
		.plural = diff ? diff->plural :
			  scan ? scan->plural :
				 plural,
	};
	int status;

	show_init(&r.show, r.columns);
	if (request_take(request, take, &r, &status)) {
		if (!request->nr_words && !request->all && fn == look)
			request_no_guest(request);
		else if (!request_all_and_guest(request))
			status = run_jobs(&r, fn);
	}
	show_deinit(&r.show);
	return status;
}

int view_run(struct request *r)
{
	return run_table(r, NULL, look);
}

int list_run(struct request *r)
{
	return run_table(r, "guests", look_list);
}
