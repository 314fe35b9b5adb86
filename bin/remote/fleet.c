/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `vlens fleet`: a tool on many hosts, some at a time. Its command line. */
#include "fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../report.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/number.h"

#define PARALLEL 16
#define PARALLEL_MAX 512
#define TIMEOUT_S 60

const char fleet_name[] = "vlens fleet";

struct words {
	struct request *request;
	const char *file, *groups[64];
	size_t nr_groups, parallel;
	uint64_t limit_ns;
};

static bool take_option(struct request *request, void *ctx, int key, char *arg)
{
	struct words *w = ctx;
	const char *end = arg;
	double seconds;
	long n;

	switch (key) {
	case 'f':
		w->file = arg;
		return true;
	case OPT_HOST_GROUP:
		if (w->nr_groups == ARRAY_SIZE(w->groups)) {
			usage_report(fleet_name, "more than %zu groups are named",
				     ARRAY_SIZE(w->groups));
			return false;
		}
		w->groups[w->nr_groups++] = arg;
		return true;
	case OPT_PARALLEL:
		if (!vl_number(arg, 1, PARALLEL_MAX, &n)) {
			usage_report(fleet_name, "'%s' is not a number from 1 to %d", arg,
				     PARALLEL_MAX);
			return false;
		}
		w->parallel = (size_t)n;
		return true;
	case OPT_TIMEOUT:
		if (!strcmp(arg, "0")) {
			w->limit_ns = 0;
			return true;
		}
		if (!vl_take_decimal(&end, &seconds) || *end || seconds < 0.1 || seconds > 86400) {
			usage_report(fleet_name, "'%s' is not a number of seconds, or 0", arg);
			return false;
		}
		w->limit_ns = (uint64_t)(seconds * VL_NSEC_PER_SEC);
		return true;
	default:
		return request_option(request, NULL, key, arg);
	}
}

/* Is the tool one of ours, and does it print JSON? */
static bool read_tool(const struct request *r, char **tool, bool *is_json_ret)
{
	const bool is_vlens = tool[0] && !strcmp(tool[0], "vlens");
	char **words = tool + is_vlens;
	const struct command *c = is_vlens && words[0] ? command_find(r->table, words[0]) : NULL;
	const struct applet *a = c	   ? c->applet :
				 !words[0] ? NULL :
					     applet_find(r->table, words[0], is_vlens);
	struct request there;
	int n = 0;

	if (!tool[0] || !a || (a->view.scope & SCOPE_FLEET)) {
		if (tool[0])
			usage_report(fleet_name, "'%s' is no tool of vlens",
				     is_vlens && words[0] ? words[0] : tool[0]);
		else
			usage_report(fleet_name, "no tool is named");
		return false;
	}
	while (words[n])
		n++;
	if (request_read(&there, r->table, a, n, words))
		*is_json_ret = request_has(&there, 'J');
	request_free(&there);
	return true;
}

/* All hosts of the command line. False: reported. */
static bool read_hosts(const struct words *w, struct fleet *f)
{
	const struct request *r = w->request;
	const size_t named = r->dashes;
	struct vl_error *err = w->file ? hosts_read(w->file, &f->hosts) : NULL;
	bool found = true;

	if (err) {
		error_report(fleet_name, NULL, err);
		vl_error_destroy(err);
		return false;
	}
	for (size_t i = 0; i < w->nr_groups; i++) {
		found = hosts_want(&f->hosts, w->groups[i]) && found;
		if (!found) {
			usage_report(fleet_name, "there is no group or host '%s'", w->groups[i]);
			return false;
		}
	}
	if (*f->hosts.ignored)
		fprintf(stderr,
			"%s: %s: variables like %s are not read: how a host is reached belongs in "
			"~/.ssh/config\n",
			fleet_name, w->file, f->hosts.ignored);
	if (w->file && !w->nr_groups)
		hosts_want(&f->hosts, NULL);
	for (size_t i = 0; i < named; i++) {
		struct hosts_host *h = hosts_add_word(&f->hosts, r->words[i]);

		if (h)
			h->wanted = true;
	}
	f->jobs = calloc(f->hosts.nr + 1, sizeof(*f->jobs));
	if (!f->jobs || f->hosts.full) {
		fprintf(stderr, "%s: out of memory\n", fleet_name);
		return false;
	}
	for (size_t i = 0; i < f->hosts.nr; i++)
		if (f->hosts.all[i].wanted)
			f->jobs[f->nr++] = (struct job){
				.host = i,
				.to = -1,
				.out = -1,
				.err = -1,
				.rows = { .host = f->hosts.all[i].name,
					  .to = &f->out,
					  .is_json = f->is_json },
			};
	if (!f->nr)
		usage_report(fleet_name, "no host is named");
	return f->nr;
}

int fleet_run(struct request *r)
{
	struct words w = { .request = r,
			   .parallel = PARALLEL,
			   .limit_ns = TIMEOUT_S * VL_NSEC_PER_SEC };
	struct fleet f = { .nr = 0 };
	int status;

	if (!request_take(r, take_option, &w, &status))
		return status;
	if (r->dashes == SIZE_MAX) {
		usage_report(fleet_name, "no tool is named: it stands behind '--'");
		return status;
	}
	f.tool = r->words + r->dashes;
	f.most = w.parallel;
	f.limit_ns = w.limit_ns;
	if (read_tool(r, f.tool, &f.is_json) && read_hosts(&w, &f))
		status = fleet_run_all(&f);
	hosts_deinit(&f.hosts);
	free(f.jobs);
	return status;
}
