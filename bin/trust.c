/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `vlens trust`: keeps the trusted kernels of this host, and compares guests with them. */
#include "trust/store.h"

#include <stdio.h>
#include <string.h>

#include "applet.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "options.h"
#include "progress.h"
#include "report.h"
#include "show.h"

#define STATUS_FAILED 1

enum {
	TL_BUILD_ID,
	TL_RELEASE,
	TL_PACKAGE,
	TL_VERSION,
	TL_CHECKED,
	TL_MODULES,
	TL_STATE,
	TL_SIGNER,
	TL_MODULE_SIGNER,
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
	[TL_CHECKED] = { "CHECKED", VL_CELL_TEXT, true,
			 "the checksums that its content was compared with, and if it is signed" },
	[TL_MODULES] = { "MODULES", VL_CELL_UINT, true,
			 "how many modules of its release are stored" },
	[TL_STATE] = { "STATE", VL_CELL_TEXT, true,
		       "of list: sound, or what is damaged, in words" },
	[TL_SIGNER] = { "SIGNER", VL_CELL_TEXT, false,
			"issuer and number of the certificate that the kernel is signed with; not checked" },
	[TL_MODULE_SIGNER] = { "MODULE_SIGNER", VL_CELL_TEXT, false, "the same for its modules" },
	[TL_ADDED] = { "ADDED", VL_CELL_TEXT, false, "when it was added, in UTC" },
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

/* The rows of a command about stored kernels. */
struct listing {
	struct vl_table t;
	bool compared; /* with their checksums */
	bool damaged;  /* one of them is */
};

static struct vl_error *add_row(void *ctx, const struct vl_trust_stored *s)
{
	struct listing *l = ctx;
	struct vl_table *t = &l->t;

	l->damaged = l->damaged || *s->fault;
	vl_table_row(t);
	cell(t, TL_BUILD_ID, s->build_id);
	cell(t, TL_RELEASE, s->release);
	cell(t, TL_PACKAGE, s->origin.package);
	cell(t, TL_VERSION, s->origin.version);
	cell(t, TL_CHECKED, s->origin.checked);
	vl_table_uint(t, TL_MODULES, s->nr_modules);
	if (l->compared)
		vl_table_str(t, TL_STATE, *s->fault ? s->fault : "sound");
	cell(t, TL_SIGNER, s->signer);
	cell(t, TL_MODULE_SIGNER, s->module_signer);
	vl_table_utc(t, TL_ADDED, s->added);
	cell(t, TL_SHA256, s->origin.sha256);
	cell(t, TL_FILE, s->origin.path);
	cell(t, TL_MEMBER, s->origin.member);
	return NULL;
}

/* A command that is about the stored kernels. */
struct store_verb {
	const char *name;
	const char *what;  /* a command that changes the store, in words; NULL: it only lists */
	const char *doing; /* the step for one kernel, in words */
	struct vl_error *(*change)(const char *word, vl_trust_stored_fn *fn, void *ctx);
};

static bool take(struct request *r, void *show, int key, char *arg)
{
	switch (key) {
	case 'o':
	case OPT_SORT:
	case OPT_NO_HEADERS:
		return show_option(show, r->applet->name, key, arg);
	case 'J':
	case OPT_HELP:
	case OPT_VERSION:
		return request_option(r, NULL, key, arg);
	default:
		usage_report(r->applet->name, "'--%s' is an option of verify, which reads guests",
			     option_by_key(key, r->applet->view.scope)->name);
		return false;
	}
}

/* Do @change to each word behind the verb. False: one failed, which was reported. */
static bool each_word(const struct request *r, const struct store_verb *v, struct listing *l)
{
	bool good = true;

	for (size_t i = 1; i < r->nr_words; i++) {
		_cleanup_error_ struct vl_error *err = NULL;
		struct progress progress;

		progress_begin(&progress, r->applet->name, r->words[i], v->doing);
		err = v->change(r->words[i], add_row, l);
		progress_end(&progress);
		if (err)
			error_report(r->applet->name, NULL, err);
		good = good && !err;
	}
	return good;
}

/* Add, remove or list kernels. All of them print a table of kernels. */
static int store(struct request *r, const struct store_verb *v)
{
	struct show_part part = { .guest = "", .table = NULL };
	int status = STATUS_FAILED;
	struct vl_error *err = NULL;
	struct listing l = { .compared = !v->change };
	struct printer s;

	show_init(&s, list_columns);
	if (!request_take(r, take, &s, &status))
		goto out;
	if (!v->change == (r->nr_words > 1)) {
		usage_report(r->applet->name,
			     v->change ? "no %s is named" : "'%s' is one argument too many",
			     v->change ? v->what : r->words[1]);
		goto out;
	}
	vl_table_init(&l.t, list_columns);
	part.table = &l.t;
	if (v->change)
		status = each_word(r, v, &l) ? 0 : STATUS_FAILED;
	else
		err = vl_trust_list(add_row, &l);
	if (!v->change && !err && !l.damaged)
		status = 0;
	if (!err)
		err = vl_table_end(&l.t);
	s.json = r->json;
	if (!err && !show_default_columns(&s, false))
		err = vl_error_nomem();
	if (err) {
		error_report(r->applet->name, NULL, err);
		status = STATUS_FAILED;
	} else if (l.t.nr_rows || s.json) {
		show_print(&s, "kernels", &part, 1);
	} else if (!v->change) {
		fputs("no kernel is stored: vlens trust add FILE stores one\n", stderr);
	}
	vl_error_destroy(err);
	vl_table_deinit(&l.t);
out:
	show_deinit(&s);
	return status;
}

const char *const trust_verbs[] = { "add", "list", "remove", "verify", NULL };

int trust_run(struct request *r)
{
	static const struct store_verb verbs[] = {
		{ "add", "file", "reading it", vl_trust_add },
		{ "list", NULL, NULL, NULL },
		{ "remove", "kernel", "removing it", vl_trust_remove },
	};
	const char *verb = r->nr_words ? r->words[0] : "";

	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(verb, verbs[i].name))
			return store(r, &verbs[i]);
	if (!strcmp(verb, "verify")) {
		/* Also the NULL at their end. */
		memmove(r->words, r->words + 1, r->nr_words * sizeof(*r->words));
		r->nr_words--;
	} else if (!request_is_about(r)) {
		usage_report(
			r->applet->name, "%s%s%s; the commands are add, list, remove and verify",
			*verb ? "no command '" : "no command is named", verb, *verb ? "'" : "");
		return r->applet->usage_status;
	}
	return view_run(r);
}
