/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `vlens trust`: keeps the trusted kernels of this host, and compares guests with them. */
#include "trust/store.h"

#include <stdio.h>
#include <string.h>

#include "applet.h"
#include "options.h"
#include "report.h"
#include "show.h"

#define STATUS_FAILED 1

enum {
	TL_BUILD_ID,
	TL_RELEASE,
	TL_PACKAGE,
	TL_VERSION,
	TL_CHECKED,
	TL_ADDED,
	TL_SHA256,
	TL_FILE,
	TL_MEMBER
};

static const struct vl_column list_columns[] = {
	[TL_BUILD_ID] = { "BUILD_ID", VL_CELL_TEXT, true, "build id of the kernel" },
	[TL_RELEASE] = { "RELEASE", VL_CELL_TEXT, true, "as uname -r prints it" },
	[TL_PACKAGE] = { "PACKAGE", VL_CELL_TEXT, true, "the package that it comes from" },
	[TL_VERSION] = { "VERSION", VL_CELL_TEXT, true, "version of the package" },
	[TL_CHECKED] = { "CHECKED", VL_CELL_TEXT, true, "what vouches for the package's content" },
	[TL_ADDED] = { "ADDED", VL_CELL_INT, false, "when it was added, in seconds since 1970" },
	[TL_SHA256] = { "SHA256", VL_CELL_TEXT, false, "hash of the file" },
	[TL_FILE] = { "FILE", VL_CELL_TEXT, false, "the file that it comes from" },
	[TL_MEMBER] = { "MEMBER", VL_CELL_TEXT, false, "the kernel's path in the package" },
	{ 0 },
};

static void cell(struct vl_table *t, size_t column, const char *text)
{
	if (*text)
		vl_table_str(t, column, text);
}

static struct vl_error *add_row(void *ctx, const struct vl_trust_stored *s)
{
	struct vl_table *t = ctx;

	vl_table_row(t);
	cell(t, TL_BUILD_ID, s->build_id);
	cell(t, TL_RELEASE, s->release);
	cell(t, TL_PACKAGE, s->origin.package);
	cell(t, TL_VERSION, s->origin.version);
	cell(t, TL_CHECKED, s->origin.checked);
	vl_table_int(t, TL_ADDED, s->added);
	cell(t, TL_SHA256, s->origin.sha256);
	cell(t, TL_FILE, s->origin.path);
	cell(t, TL_MEMBER, s->origin.member);
	return NULL;
}

static bool take(struct request *r, void *show, int key, char *arg)
{
	if (key == 'o' || key == OPT_SORT || key == OPT_NO_HEADERS)
		return show_option(show, r->applet->name, key, arg);
	return request_option(r, NULL, key, arg);
}

/* Add the named files, or list the stored kernels. Both print a table of kernels. */
static int store(struct request *r, bool adds)
{
	struct show_part part = { "", NULL };
	int status = STATUS_FAILED;
	struct vl_error *err = NULL;
	struct vl_table t;
	struct show s;

	show_init(&s, list_columns);
	if (!request_take(r, take, &s, &status))
		goto out;
	if (adds == (r->nr_words < 2)) {
		usage_report(r->applet->name, adds ? "no file is named" : "'%s' is one too many",
			     adds ? "" : r->words[1]);
		goto out;
	}
	vl_table_init(&t, list_columns);
	part.table = &t;
	status = 0;
	for (size_t i = 1; adds && i < r->nr_words; i++) {
		err = vl_trust_add(r->words[i], add_row, &t);
		if (!err)
			continue;
		error_report(r->applet->name, NULL, err);
		vl_error_destroy(err);
		status = STATUS_FAILED;
	}
	err = adds ? NULL : vl_trust_list(add_row, &t);
	if (!err)
		err = vl_table_end(&t);
	s.json = r->json;
	if (!err && !show_settle(&s, false))
		err = vl_error_nomem();
	if (err) {
		error_report(r->applet->name, NULL, err);
		status = STATUS_FAILED;
	} else if (t.nr_rows || s.json || !adds) {
		show_print(&s, "kernels", &part, 1);
	}
	vl_error_destroy(err);
	vl_table_deinit(&t);
out:
	show_deinit(&s);
	return status;
}

const char *const trust_verbs[] = { "add", "list", "verify", NULL };

int trust_run(struct request *r)
{
	const char *verb = r->nr_words ? r->words[0] : "";

	if (!strcmp(verb, "add") || !strcmp(verb, "list"))
		return store(r, *verb == 'a');
	if (!strcmp(verb, "verify")) {
		/* Also the NULL at their end. */
		memmove(r->words, r->words + 1, r->nr_words * sizeof(*r->words));
		r->nr_words--;
	} else if (!request_has(r, OPT_HELP) && !request_has(r, OPT_VERSION)) {
		usage_report(r->applet->name, "%s%s%s; the commands are add, list and verify",
			     *verb ? "no command '" : "no command is named", verb,
			     *verb ? "'" : "");
		return r->applet->usage_status;
	}
	return view_run(r);
}
