/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs an applet by its name: `vps GUEST …` through a link, or `vlens ps GUEST …`. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applet.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/suggest.h"
#include "every.h"
#include "front.h"
#include "host/drivers.h"
#include "options.h"
#include "place.h"
#include "remote/remote.h"
#include "report.h"

/* The name under which the working set is kept: that of the program. */
static const char *label_of(const struct session *s)
{
	const char *name = s->applet->program ? s->applet->program : s->applet->name;
	const char *slash;

	if (s->applet->needs && s->applet->run == exec_run)
		name = s->request->args[0];
	slash = strrchr(name, '/');
	return slash ? slash + 1 : name;
}

/* With --strict: report answers that may mix points in time. Returns the exit status. */
static int judge(const struct session *s, int status)
{
	const struct vl_answers *n = &s->stats.answers;
	_cleanup_error_ struct vl_error *err = NULL;

	if (!s->request->strict || !n->running)
		return status;
	err = vl_error_hint(
		vl_error_new(VL_ERR_BLOCKED,
			     "%" PRIu64 " of %" PRIu64 " answers may mix several points in time, "
			     "as the guest changed meanwhile",
			     n->running, n->paused + n->validated + n->running),
		"run it again, or allow longer pauses with --%s", option_name(OPT_MAX_PAUSE));
	error_report(s->applet->name, s->request->spec, err);
	return status ? status : STATUS_GUEST;
}

/* The program failed, perhaps by an option of ours: report the first one behind the guest. */
static void report_misplaced(const struct session *s)
{
	const struct applet *a = s->applet;

	for (char *const *arg = s->request->args; *arg && strcmp(*arg, "--") != 0; arg++) {
		size_t len = strcspn(*arg, "=");

		if (strncmp(*arg, "--", 2) || !option_by_word(*arg, len, options_scopes(a, false)))
			continue;
		fprintf(stderr, "%s: '%.*s' is an option of %s: it goes before the guest\n",
			a->name, (int)len, *arg, a->name);
		return;
	}
}

/* The processes of --as and --netns. False: there is none; reported. */
static bool find_places(struct request *r)
{
	_cleanup_error_ struct vl_error *err = NULL;

	if (!r->as_place && !r->netns_place)
		return true;
	use_locale();
	if (r->as_place)
		err = place_find(r, r->spec, r->as_place, false, &r->as);
	if (!err && r->netns_place)
		err = place_find(r, r->spec, r->netns_place, true, &r->netns);
	if (err)
		error_report(r->applet->name, r->spec, err);
	return !err;
}

/* Run on the guest `spec`. */
static int run_guest(struct request *r)
{
	const struct applet *a = r->applet;
	struct session s = { .applet = a, .request = r };
	int status;

	if (!find_places(r))
		return STATUS_GUEST;
	s.options = request_guest_options(r);
	s.options.label = label_of(&s);
	status = a->run(&s);
	if (status && !s.failed && a->program)
		report_misplaced(&s);
	if (s.guest)
		vl_guest_stats(s.guest, &s.stats);
	/* Only after an answer: an error already names the kernel's state. */
	if (!s.failed)
		report_fate(a->name, r->spec, s.stats.fate);
	if (!s.failed && s.stats.bare)
		report_bare(a->name, r->spec);
	report_trusted(a->name, r->spec, &s.stats.trusted);
	if (r->stats && (s.guest || s.kept))
		print_stats(&s.stats, &s.redirect, s.kept);
	status = judge(&s, status);
	vl_guest_leave(s.guest);
	return status;
}

static int run_session(struct request *r)
{
	int status;

	if (!request_take(r, request_option, NULL, &status))
		return status;
	if (!request_guest(r))
		return r->applet->usage_status;
	/* Its list of guests reports bad folders. */
	if (r->all)
		return every_guest(r, run_guest);
	report_dirs(r->applet->name);
	return run_guest(r);
}

/* Has the run been made, on another host? Its status is in *@status_ret. */
static bool run_elsewhere(const struct request *r, int argc, char **argv, int *status_ret)
{
#ifdef VL_FRONT
	(void)argc;
	(void)argv;
	(void)status_ret;
	if (r->nr_words && vl_spec_host(r->words[0]))
		front_go_on();
	return false;
#else
	return remote_run(r, argc, argv, status_ret);
#endif
}

static int run_applet(const struct applet_table *t, const struct applet *a, int argc, char **argv)
{
	int status = a->usage_status;
	struct request r;

	/* All other applets print errors of the guest and of this host themselves. */
	if (a->run != model_run)
		use_locale();
	if (request_read(&r, t, a, argc, argv) && !run_elsewhere(&r, argc, argv, &status)) {
		if (r.raw)
			use_locale();
		status = r.raw ? a->view.run(&r) : run_session(&r);
	}
	request_free(&r);
	return status;
}

/* --- vlens itself --- */

/*
 * What there is for program @name, which no applet is called after; malloc'ed, or NULL. A "v" in
 * front of the name is left out.
 */
static char *program_advice(const char *name)
{
	static const struct {
		const char *program, *instead;
	} others[] = {
		{ "systemctl", "'vunits GUEST' lists the units that run" },
		{ "loginctl", "'vunits GUEST' lists the sessions, too" },
		{ "journalctl", "'vjournal GUEST' prints the journal" },
	};
	const char *bare = *name == 'v' ? name + 1 : name;
	char *path, *text = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (!strcmp(name, others[i].program) || !strcmp(bare, others[i].program))
			return strdup(others[i].instead);
	if (!*bare || strchr(name, '/'))
		return NULL;
	path = program_find(name);
	if (!path) {
		path = program_find(bare);
		name = bare;
	}
	if (path && asprintf(&text, "'vexec GUEST %s' runs that program of this host", name) < 0)
		text = NULL;
	free(path);
	return text;
}

/* Report that there is no applet @name, and suggest one. Returns the exit status. */
static int unknown_applet(const struct applet_table *t, const char *name)
{
	struct vl_suggest suggest;
	char *text;

	vl_suggest_init(&suggest, name, strlen(name));
	/* Each applet has two names. Suggest the one that begins as @name does. */
	for (size_t i = 0; i < t->nr_applets; i++) {
		const char *known = t->applets[i].name;

		if (*name != 'v' || known[1] == 'v')
			vl_suggest_try(&suggest, known + 1);
		if (*name == 'v')
			vl_suggest_try(&suggest, known);
	}
	for (const struct command *c = t->commands; c->name; c++)
		if (command_is_listed(c))
			vl_suggest_try(&suggest, c->name);
	text = vl_suggest_text(&suggest);
	if (!text)
		text = program_advice(name);
	usage_report("vlens", "no applet '%s'%s%s", name, text ? "; " : "", text ? text : "");
	free(text);
	return 1;
}

static int run_command(const struct applet_table *t, int argc, char **argv)
{
	const struct command *c = command_find(t, argv[0]);
	const struct applet *a = c ? c->applet : applet_find(t, argv[0], true);

	if (a)
		return run_applet(t, a, argc, argv);
	use_locale();
	return c ? c->run(t, argc, argv) : unknown_applet(t, argv[0]);
}

static int run_vlens(const struct applet_table *t, int argc, char **argv)
{
	static const struct applet self = {
		.name = "vlens",
		.args = "APPLET [ARG...]",
		.summary =
			"Look inside a running virtual machine, or a dump of one, from outside it",
		.usage_status = 1,
		.scope = SCOPE_VLENS,
	};
	int status = self.usage_status;
	struct request r;

	if (request_read(&r, t, &self, argc, argv) &&
	    request_take(&r, request_option, NULL, &status)) {
		if (r.nr_words)
			status = run_command(t, (int)r.nr_words, r.words);
		else
			usage_report(self.name, "no applet is named");
	}
	request_free(&r);
	return status;
}

/* "help", and "help NAME", which is "NAME --help". */
int help_run(const struct applet_table *t, int argc, char **argv)
{
	char help[] = "--help", *words[] = { argv[1], help, NULL };
	char *all[] = { argv[0], argc > 1 ? argv[1] : help, NULL };
	const struct command *c = argc > 1 ? command_find(t, argv[1]) : NULL;

	if (argc > 2) {
		usage_report("vlens", "help is about one applet");
		return 1;
	}
	if (argc > 1 && !strcmp(argv[1], "help"))
		all[1] = help;
	if (argc < 2 || all[1] == help || *all[1] == '-')
		return run_vlens(t, 2, all);
	if (c && !command_is_listed(c))
		return unknown_applet(t, argv[1]);
	return run_command(t, 2, words);
}

int dispatch(const struct applet_table *t, int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	const struct applet *a = applet_find(t, slash ? slash + 1 : argv[0], false);
	int status;

	/* The front has a part of the applets. */
	if (!a)
		front_go_on();
	status = a ? run_applet(t, a, argc, argv) : run_vlens(t, argc, argv);

	return close_stdout(a ? a->name : "vlens", status);
}
