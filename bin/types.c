/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `vlens types`: keeps types of kernels whose memory has none. */
#include "trust/types.h"

#include <stdio.h>
#include <string.h>

#include "applet.h"
#include "attach/refusal.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "options.h"
#include "progress.h"
#include "report.h"
#include "show.h"

#define STATUS_FAILED 1

enum { TY_BUILD_ID, TY_FORM, TY_SIZE, TY_ADDED };

const struct vl_column types_columns[] = {
	[TY_BUILD_ID] = { "BUILD_ID", VL_CELL_TEXT, true, "build id of the kernel" },
	[TY_FORM] = { "FORM", VL_CELL_TEXT, true,
		      "BTF, or offsets: only what the views and the kernel's answers need" },
	[TY_SIZE] = { "SIZE", VL_CELL_UINT, true, "of the stored file, in bytes" },
	[TY_ADDED] = { "ADDED", VL_CELL_TEXT, true, "when they were added, in UTC" },
	{ 0 },
};

const char *const types_verbs[] = { "add", "list", "remove", NULL };

struct types {
	struct printer show;
	struct vl_table table;
	const char *build_id; /* of --build-id, or NULL */
};

static struct vl_error *add_row(void *ctx, const struct vl_types_stored *s)
{
	struct vl_table *t = ctx;

	vl_table_row(t);
	vl_table_str(t, TY_BUILD_ID, s->build_id);
	vl_table_str(t, TY_FORM, s->form);
	vl_table_uint(t, TY_SIZE, s->size);
	vl_table_utc(t, TY_ADDED, s->added);
	return NULL;
}

static bool take(struct request *r, void *ctx, int key, char *arg)
{
	struct types *t = ctx;

	switch (key) {
	case OPT_BUILD_ID:
		t->build_id = arg;
		return true;
	case 'o':
	case OPT_SORT:
	case OPT_NO_HEADERS:
		return show_option(&t->show, r->applet->name, key, arg);
	default:
		return request_option(r, NULL, key, arg);
	}
}

/* Add or remove what each word behind the verb names. False: one failed, which was reported. */
static bool each_word(const struct request *r, struct types *t, bool add)
{
	bool good = true;

	for (size_t i = 1; i < r->nr_words; i++) {
		_cleanup_error_ struct vl_error *err = NULL;
		struct progress progress;

		progress_begin(&progress, r->applet->name, r->words[i],
			       add ? "reading it" : "removing it");
		err = add ? vl_types_add(r->words[i], t->build_id, add_row, &t->table) :
			    vl_types_remove(r->words[i], add_row, &t->table);
		progress_end(&progress);
		if (err)
			error_report(r->applet->name, NULL, err);
		good = good && !err;
	}
	if (add)
		vl_refusal_forget_all();
	return good;
}

/* Does the command line make sense? If not, that was reported. */
static bool is_sound(const struct request *r, const struct types *t, bool add, bool list)
{
	if (list && r->nr_words > 1)
		usage_report(r->applet->name, "'%s' is one argument too many", r->words[1]);
	else if (!list && r->nr_words < 2)
		usage_report(r->applet->name, "no %s is named", add ? "file" : "build id");
	else if (t->build_id && !add)
		usage_report(r->applet->name, "'--%s' is an option of add",
			     option_name(OPT_BUILD_ID));
	else if (t->build_id && r->nr_words > 2)
		usage_report(r->applet->name, "--%s takes one file", option_name(OPT_BUILD_ID));
	else
		return true;
	return false;
}

static bool print(const struct request *r, struct types *t, bool list)
{
	struct show_part part = { .guest = "", .table = &t->table };
	_cleanup_error_ struct vl_error *err = vl_table_end(&t->table);

	t->show.json = r->json;
	if (!err && !show_default_columns(&t->show, false))
		err = vl_error_nomem();
	if (err)
		error_report(r->applet->name, NULL, err);
	else if (t->table.nr_rows || r->json)
		show_print(&t->show, "types", &part, 1);
	else if (list)
		fputs("no types are stored: vlens types add FILE stores them\n", stderr);
	return !err;
}

int types_run(struct request *r)
{
	const char *verb = r->nr_words ? r->words[0] : "";
	const bool add = !strcmp(verb, "add"), list = !strcmp(verb, "list");
	struct types t = { .build_id = NULL };
	struct vl_error *err = NULL;
	int status;
	bool good;

	if (!add && !list && strcmp(verb, "remove") != 0 && !request_is_about(r)) {
		usage_report(r->applet->name, "%s%s%s; the commands are add, list and remove",
			     *verb ? "no command '" : "no command is named", verb,
			     *verb ? "'" : "");
		return r->applet->usage_status;
	}
	show_init(&t.show, types_columns);
	if (!request_take(r, take, &t, &status))
		goto out;
	if (!is_sound(r, &t, add, list)) {
		status = r->applet->usage_status;
		goto out;
	}
	vl_table_init(&t.table, types_columns);
	if (list)
		err = vl_types_list(add_row, &t.table);
	if (err)
		error_report(r->applet->name, NULL, err);
	good = list ? !err : each_word(r, &t, add);
	good = print(r, &t, list && !err) && good;
	status = good ? 0 : STATUS_FAILED;
	vl_error_destroy(err);
	vl_table_deinit(&t.table);
out:
	show_deinit(&t.show);
	return status;
}
