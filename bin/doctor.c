/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `vlens doctor [GUEST...]`: what works here, what does not, and what to do about it. */
#include "doctor/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "applet.h"
#include "base/array.h"
#include "parse.h"
#include "progress.h"
#include "report.h"
#include "show.h"

#define STATUS_PROBLEM 1

enum {
	OPT_COLOR = 0x100,
	OPT_HELP,
	OPT_VERSION,
};

/* clang-format off */
const struct argp_option doctor_options[] = {
	{ "connect", 'c', "URI", 0, "look guests up at this libvirt URI", 0 },
	{ "json", 'J', NULL, 0, "print JSON", 0 },
	{ "color", OPT_COLOR, "WHEN", 0, "colour: auto (on a terminal), always or never", 0 },
	{ "help", OPT_HELP, NULL, 0, "print this help", 0 },
	{ "version", OPT_VERSION, NULL, 0, "print the version and what is built in", 0 },
	{ 0 },
};
/* clang-format on */

/* No row of the table: it is called by no name of its own. */
static const struct applet self = {
	.name = "vlens doctor",
	.args = "[GUEST...]",
	.summary = "Check what works on this host, and with a virtual machine",
	.usage_status = STATUS_PROBLEM,
};

struct run {
	struct vl_target_options target;
	enum { AUTO, ALWAYS, NEVER } color;
	bool json, help, version;
	char **words; /* the guests */
	size_t nr_words;
};

static bool take(void *ctx, int key, char *arg)
{
	static const char *const whens[] = { "auto", "always", "never" };
	struct run *r = ctx;

	switch (key) {
	case 'c':
		r->target.uri = arg;
		return true;
	case 'J':
		r->json = true;
		return true;
	case OPT_COLOR:
		for (int i = AUTO; i <= NEVER; i++)
			if (!strcmp(arg, whens[i])) {
				r->color = i;
				return true;
			}
		usage_report(self.name, "no colour '%s': auto, always or never", arg);
		return false;
	case OPT_HELP:
		r->help = true;
		return true;
	case OPT_VERSION:
		r->version = true;
		return true;
	default:
		if (!*arg) {
			usage_report(self.name, "no guest is named");
			return false;
		}
		r->words[r->nr_words++] = arg;
		return true;
	}
}

/* Which of the mirrored programs this host has; one row for those that are there. */
static void check_programs(struct vl_doctor *d, const struct applet *applets, size_t nr)
{
	char there[512] = "";

	d->area = "programs";
	for (size_t i = 0; i < nr; i++) {
		char *path = applets[i].program ? model_find(&applets[i]) : NULL;
		char advice[128];

		if (path) {
			size_t used = strlen(there);

			snprintf(there + used, sizeof(there) - used, "%s%s", used ? ", " : "",
				 applets[i].program);
		} else if (applets[i].program) {
			snprintf(advice, sizeof(advice), "install the package %s",
				 applets[i].package);
			vl_doctor_row(d, applets[i].program, VL_DOCTOR_WARNING, advice,
				      "not installed: %s does not work", applets[i].name);
		}
		free(path);
	}
	if (*there)
		vl_doctor_row(d, "installed", VL_DOCTOR_OK, NULL, "%s", there);
}

/* ---- output ---- */

static const char *text_of(const struct vl_table *t, size_t row, size_t column, size_t *len_ret)
{
	const struct vl_cell *c = vl_table_cell(t, row, column);

	*len_ret = c->kind == VL_CELL_TEXT ? c->text.len : 0;
	return *len_ret ? vl_table_bytes(t, c) : "";
}

static void put(const struct vl_table *t, size_t row, size_t column)
{
	size_t len;
	const char *text = text_of(t, row, column, &len);

	print_clean(stdout, text, len, false, NULL);
}

/* A heading for each area; behind a finding, on a line of its own, what to do. */
static void print_rows(const struct vl_table *t, bool color)
{
	static const struct {
		const char *state, *sgr;
	} looks[] = { { "ok", "32" }, { "warning", "33" }, { "problem", "1;31" } };
	const char *last = NULL;
	size_t last_len = 0;

	for (size_t i = 0; i < t->nr_rows; i++) {
		size_t len, state_len, check_len;
		const char *area = text_of(t, i, VL_DOCTOR_AREA, &len);
		const char *state = text_of(t, i, VL_DOCTOR_STATE, &state_len);
		const char *check = text_of(t, i, VL_DOCTOR_CHECK, &check_len);
		const char *sgr = NULL;

		if (!last || len != last_len || memcmp(area, last, len) != 0) {
			if (last)
				putchar('\n');
			put(t, i, VL_DOCTOR_AREA);
			putchar('\n');
		}
		last = area;
		last_len = len;
		for (size_t k = 0; color && k < ARRAY_SIZE(looks); k++)
			if (strlen(looks[k].state) == state_len &&
			    !memcmp(state, looks[k].state, state_len))
				sgr = looks[k].sgr;
		if (sgr)
			printf("  \033[%sm%-8.*s\033[0m", sgr, (int)state_len, state);
		else
			printf("  %-8.*s", (int)state_len, state);
		printf(" %-14.*s ", (int)check_len, check);
		put(t, i, VL_DOCTOR_FINDING);
		putchar('\n');
		text_of(t, i, VL_DOCTOR_ADVICE, &len);
		if (len) {
			printf("%29s", "-> ");
			put(t, i, VL_DOCTOR_ADVICE);
			putchar('\n');
		}
	}
}

static bool wants_color(const struct run *r)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	if (r->color != AUTO)
		return r->color == ALWAYS;
	return isatty(STDOUT_FILENO) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

static bool print(const struct run *r, const struct vl_doctor *d)
{
	struct show_part part = { "", d->table };
	struct show s;
	bool ok = true;

	if (!r->json) {
		print_rows(d->table, wants_color(r));
		printf("\n%u problem%s, %u warning%s\n", d->problems, d->problems == 1 ? "" : "s",
		       d->warnings, d->warnings == 1 ? "" : "s");
		return true;
	}
	show_init(&s, vl_doctor_columns);
	s.json = true;
	ok = show_settle(&s, false);
	if (ok)
		show_print(&s, "checks", &part, 1);
	show_deinit(&s);
	return ok;
}

static int examine(const struct run *r, const struct applet *applets, size_t nr)
{
	struct vl_table t;
	struct vl_doctor d = { .table = &t };
	struct vl_error *err;
	int status = 0;

	vl_table_init(&t, vl_doctor_columns);
	vl_doctor_host(&d, r->target.uri);
	check_programs(&d, applets, nr);
	for (size_t i = 0; i < r->nr_words; i++) {
		struct progress progress;

		progress_begin(&progress, self.name, r->words[i]);
		err = vl_doctor_guest(&d, r->words[i], &r->target);
		progress_end(&progress);
		if (err)
			status = STATUS_GUEST;
		vl_error_destroy(err);
	}
	err = vl_table_end(&t);
	if (!err && !print(r, &d))
		err = vl_error_nomem();
	if (err)
		error_report(self.name, NULL, err);
	if (!status && (err || d.problems))
		status = STATUS_PROBLEM;
	vl_error_destroy(err);
	vl_table_deinit(&t);
	return status;
}

int doctor_run(const struct applet *applets, size_t nr, int argc, char **argv)
{
	struct run r = { .words = calloc((size_t)argc + 1, sizeof(*r.words)) };
	int status = STATUS_PROBLEM;

	if (!r.words) {
		error_report(self.name, NULL, vl_error_nomem());
	} else if (!parse_arguments(&self, doctor_options, argc, argv, take, &r)) {
		status = STATUS_PROBLEM;
	} else if (r.help) {
		options_help(doctor_options, self.name, self.args, self.summary);
		puts("\nFor more details see vlens-doctor(1).");
		status = 0;
	} else if (r.version) {
		print_version("vlens");
		status = 0;
	} else {
		status = examine(&r, applets, nr);
	}
	free(r.words);
	return status;
}
