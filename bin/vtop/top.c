/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vtop: its options, and the start of its guests. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../applet.h"
#include "base/array.h"
#include "base/clock.h"
#include "../report.h"
#include "base/number.h"
#include "top.h"

#define DEFAULT_DELAY 1.5
/* With less vtop would take a whole CPU. */
#define LEAST_DELAY 0.01
#define MOST_DELAY 86400

/* ---- options ---- */

static bool wrong(const struct vtop *t, const char *what, const char *arg)
{
	usage_report(t->o->applet->name, "no %s: '%s'", what, arg);
	return false;
}

static bool take_delay(struct vtop *t, const char *arg)
{
	const char *end = arg;
	double v;

	if (!vl_take_decimal(&end, &v) || *end || v < LEAST_DELAY || v > MOST_DELAY)
		return wrong(t, "number of seconds from 0.01 to 86400", arg);
	t->delay_ns = (uint64_t)(v * VL_NSEC_PER_SEC + 0.5);
	return true;
}

static bool take_count(struct vtop *t, const char *arg)
{
	if (!vl_u64(arg, 10, UINT64_MAX, &t->iterations) || !t->iterations)
		return wrong(t, "number of iterations", arg);
	return true;
}

static bool take_pids(struct vtop *t, const char *arg)
{
	const char *p = arg;

	do {
		int32_t *more = reallocarray(t->pids, t->filter.nr_pids + 1, sizeof(*more));
		uint64_t pid;

		if (more)
			t->pids = more;
		if (!more || !vl_take_u64(&p, 10, INT32_MAX, &pid) || !pid || (*p && *p != ','))
			return wrong(t, "list of process ids", arg);
		more[t->filter.nr_pids++] = (int32_t)pid;
		p += *p == ',';
	} while (*p);
	t->filter.pids = t->pids;
	return true;
}

/* A name is looked up in each guest: the host's names are not the guest's. */
static bool take_user(struct vtop *t, const char *arg)
{
	uint64_t v = 0;

	t->filter.user = TOP_ANY_USER;
	t->filter.user_name = NULL;
	if (vl_u64(arg, 10, TOP_ANY_USER - 1, &v)) {
		t->filter.user = (uint32_t)v;
		return true;
	}
	/* A number that is too large is no name, either. */
	if (!*arg || !arg[strspn(arg, "0123456789")] || *arg == '-')
		return wrong(t, "name or id of a user of the guest", arg);
	t->filter.user_name = arg;
	return true;
}

/* Names of columns in top, htop and ps: "%CPU", "NLWP". */
static const char *known_as(const char *word, size_t len)
{
	static const struct {
		const char *name, *column;
	} also[] = {
		{ "%CPU", "CPU" },	  { "PERCENT_CPU", "CPU" }, { "%MEM", "MEM" },
		{ "PERCENT_MEM", "MEM" }, { "TIME+", "TIME" },	    { "NICE", "NI" },
		{ "NLWP", "THREADS" },	  { "STATE", "S" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(also); i++)
		if (strlen(also[i].name) == len && !strncasecmp(also[i].name, word, len))
			return also[i].column;
	return NULL;
}

/* [+-]COLUMN: the sign is the direction, as in top. Without one it is the default's. */
static bool take_sort(struct vtop *t, const char *arg)
{
	bool sign = *arg == '+' || *arg == '-';
	const char *name = arg + sign, *other = known_as(name, strlen(name));
	int column =
		vl_column_find(vl_top_columns, other ? other : name, strlen(other ? other : name));

	if (column < 0) {
		show_report_unknown(&t->show, t->o->applet->name, 's', arg);
		return false;
	}
	t->filter.column = column;
	t->filter.down = sign ? *arg == '-' : !top_sorts_up(column);
	return true;
}

static bool take(struct request *r, void *ctx, int key, char *arg)
{
	struct vtop *t = ctx;

	switch (key) {
	case 'b':
		t->batch = true;
		break;
	case 'd':
		return take_delay(t, arg);
	case 'n':
		return take_count(t, arg);
	case 'p':
		return take_pids(t, arg);
	case 'u':
		return take_user(t, arg);
	case 's':
		return take_sort(t, arg);
	case OPT_TREE:
		t->filter.tree = true;
		break;
	case OPT_GROUP:
		t->filter.grouped = true;
		break;
	case 'o':
	case OPT_NO_HEADERS:
		return show_option(&t->show, r->applet->name, key, arg);
	default:
		return request_option(r, NULL, key, arg);
	}
	return true;
}

/* ---- running ---- */

static bool shows(const struct vtop *t, int column)
{
	for (size_t i = 0; i < t->show.nr_shown; i++)
		if (t->show.shown[i].index == column)
			return true;
	return false;
}

static bool start_guests(struct vtop *t, const struct view_job *jobs, size_t nr)
{
	t->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	t->guests = calloc(nr + 1, sizeof(*t->guests));
	if (!t->guests || t->event_fd < 0)
		return false;
	for (; t->nr < nr; t->nr++) {
		struct top_guest *g = &t->guests[t->nr];

		g->spec = jobs[t->nr].spec;
		g->scan = &t->o->scan;
		g->event_fd = t->event_fd;
		g->users_when = t->filter.user_name   ? TOP_USERS_FIRST :
				!t->batch	      ? TOP_USERS_LATER :
				shows(t, VL_TOP_USER) ? TOP_USERS_FIRST :
							TOP_USERS_NEVER;
		if (!top_guest_start(g))
			return false;
	}
	return true;
}

/* If no guest could be opened, report why. Returns the exit status. */
static int report_failures(struct vtop *t, int status)
{
	if (!top_all_failed(t))
		return status;
	for (size_t i = 0; i < t->nr; i++)
		if (!t->batch || t->o->json || t->guests[i].err)
			error_report(t->o->applet->name, t->guests[i].spec, t->guests[i].err);
	return STATUS_GUEST;
}

/* With OPT_GROUP: show the containers, as the key does. False: no memory. */
static bool start_groups(struct vtop *t)
{
	if (!t->filter.grouped)
		return true;
	t->added = show_insert(&t->show, t->show.nr_shown - 1, VL_TOP_CONTAINER);
	return t->added || shows(t, VL_TOP_CONTAINER);
}

static int run_on(struct vtop *t)
{
	struct view_job *jobs = NULL;
	int status = STATUS_GUEST;
	size_t nr = 0;

	/* Without a name, all guests. */
	t->o->all = t->o->all || !t->o->nr_words;
	t->show.json = t->o->json;
	if (!view_jobs(t->o, t->o->words, t->o->nr_words, &jobs, &nr))
		return STATUS_GUEST;
	if (!nr)
		view_report_none(t->o);
	else if (!show_default_columns(&t->show, false) || !start_groups(t) ||
		 !start_guests(t, jobs, nr))
		error_report(t->o->applet->name, NULL, vl_error_nomem());
	else
		status = report_failures(t, t->batch ? top_batch(t) : top_screen(t));
	for (size_t i = 0; i < t->nr; i++) {
		struct top_guest *g = &t->guests[i];

		top_guest_stop(g);
		if (g->is_short)
			error_report_shortfall(t->o->applet->name, g->spec, &g->lacks);
	}
	free(t->guests);
	if (t->event_fd >= 0)
		close(t->event_fd);
	view_jobs_free(jobs, nr);
	return status;
}

int top_run(struct request *r)
{
	struct vtop t = {
		.o = r,
		.delay_ns = (uint64_t)(DEFAULT_DELAY * VL_NSEC_PER_SEC),
		.filter = { .column = VL_TOP_CPU, .down = true, .user = TOP_ANY_USER },
		.event_fd = -1,
	};
	int status;

	t.filter.text = t.filter_text;
	show_init(&t.show, r->applet->view.columns);
	if (request_take(r, take, &t, &status)) {
		if (r->json && !t.batch)
			usage_report(r->applet->name, "--%s is for -%c", option_name('J'), 'b');
		else if (t.filter.grouped && t.filter.tree)
			usage_report(r->applet->name,
				     "'--%s' and '--%s' are two orders: leave one of them out",
				     option_name(OPT_TREE), option_name(OPT_GROUP));
		else if (!request_all_and_guest(r))
			status = run_on(&t);
	}
	show_deinit(&t.show);
	top_list_deinit(&t.list);
	free(t.text.text);
	free(t.line.text);
	free(t.pids);
	if (t.signal) {
		/* The terminal is restored: end as without a handler of the signal. */
		signal(t.signal, SIG_DFL);
		raise(t.signal);
	}
	return status;
}
