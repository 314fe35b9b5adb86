/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `vlens doctor [GUEST...]`: reports what works on this host and what does not, with advice. */
#include "doctor/doctor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "applet.h"
#include "base/append.h"
#include "base/array.h"
#include "progress.h"
#include "report.h"
#include "show.h"

#define STATUS_PROBLEM 1

enum { AUTO, ALWAYS, NEVER }; /* the values of --color */

static bool take(struct request *r, void *color, int key, char *arg)
{
	if (key != OPT_COLOR)
		return request_option(r, NULL, key, arg);
	*(int *)color = request_choice(r, key, arg);
	return *(int *)color >= 0;
}

/* Check the mirrored programs: a row for each missing one, one row for all others. */
static void check_programs(struct vl_doctor *d, const struct applet_table *t)
{
	char there[512] = "";

	d->area = "programs";
	for (size_t i = 0; i < t->nr_applets; i++) {
		const struct applet *a = &t->applets[i];
		char *path = a->program ? model_find(a) : NULL;
		char advice[128];

		if (path) {
			vl_append(there, sizeof(there), "%s%s", *there ? ", " : "", a->program);
		} else if (a->program) {
			snprintf(advice, sizeof(advice), "install the package %s", a->package);
			vl_doctor_row(d, a->program, VL_DOCTOR_WARNING, advice,
				      "not installed: %s does not work", a->name);
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

/* A heading for each area. Advice follows its finding, on a line of its own. */
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

static bool wants_color(int color)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	if (color != AUTO)
		return color == ALWAYS;
	return isatty(STDOUT_FILENO) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

static bool print(const struct request *r, const struct vl_doctor *d, int color)
{
	struct show_part part = { .guest = "", .table = d->table };
	struct printer s;
	bool ok = true;

	if (!r->json) {
		print_rows(d->table, wants_color(color));
		printf("\n%u problem%s, %u warning%s\n", d->problems, d->problems == 1 ? "" : "s",
		       d->warnings, d->warnings == 1 ? "" : "s");
		return true;
	}
	show_init(&s, vl_doctor_columns);
	s.json = true;
	ok = show_default_columns(&s, false);
	if (ok)
		show_print(&s, "checks", &part, 1);
	show_deinit(&s);
	return ok;
}

static int examine(const struct request *r, int color)
{
	struct vl_table t;
	struct vl_doctor d = { .table = &t };
	struct vl_error *err;
	int status = 0;

	vl_table_init(&t, vl_doctor_columns);
	vl_doctor_host(&d, r->scan.target.uri);
	check_programs(&d, r->table);
	for (size_t i = 0; i < r->nr_words; i++) {
		struct progress progress;

		progress_begin(&progress, r->applet->name, r->words[i], NULL);
		err = vl_doctor_guest(&d, r->words[i], &r->scan.target);
		progress_end(&progress);
		if (err)
			status = STATUS_GUEST;
		vl_error_destroy(err);
	}
	err = vl_table_end(&t);
	if (!err && !print(r, &d, color))
		err = vl_error_nomem();
	if (err)
		error_report(r->applet->name, NULL, err);
	if (!status && (err || d.problems))
		status = STATUS_PROBLEM;
	vl_error_destroy(err);
	vl_table_deinit(&t);
	return status;
}

int doctor_run(struct request *r)
{
	int color = AUTO, status;

	if (!request_take(r, take, &color, &status))
		return status;
	for (size_t i = 0; i < r->nr_words; i++)
		if (!*r->words[i]) {
			usage_report(r->applet->name, "no guest is named");
			return status;
		}
	return examine(r, color);
}
