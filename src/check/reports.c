/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Findings from the tables of views and comparisons, whose marked rows the report shows. */
#include "check.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../base/append.h"
#include "../base/number.h"
#include "../view/dispatch.h"

const char *vl_check_cell(const struct vl_table *t, size_t row, const char *column, char *buf,
			  size_t size)
{
	int i = vl_column_find(t->columns, column, strlen(column));
	const struct vl_cell *v = i < 0 ? NULL : vl_table_cell(t, row, (size_t)i);

	if (!v || v->kind == VL_CELL_NONE)
		return NULL;
	if (v->kind == VL_CELL_TEXT)
		snprintf(buf, size, "%.*s", (int)v->text.len, vl_table_bytes(t, v));
	else if (v->kind == VL_CELL_HEX)
		snprintf(buf, size, "0x%" PRIx64, v->u);
	else
		snprintf(buf, size, "%" PRIu64, v->u);
	return buf;
}

/* The address in the cell of @row in @column; 0: it is empty. */
static uint64_t address_in(const struct vl_table *t, size_t row, const char *column)
{
	char text[32];

	return vl_check_cell(t, row, column, text, sizeof(text)) ? vl_front_u64(text, 0) : 0;
}

/* Does @mark only say that ftrace is attached? vl_check_attached() has a row for that. */
static bool is_traced(const struct vl_checker *c, const char *mark)
{
	uint64_t to;

	return sscanf(mark, VL_CALL_TRACED " 0x%" SCNx64, &to) == 1 &&
	       vl_stub_traces(c->g, &c->stubs, to);
}

/* Append to @what the state, the peer and the process of the socket at @address. */
static void add_peer(const struct vl_table *sockets, const char *address, char *what, size_t size)
{
	char at[32], state[32], peer[80], port[32], pid[32], comm[32];
	size_t i = 0;

	while (i < sockets->nr_rows &&
	       !(vl_check_cell(sockets, i, "SOCK", at, sizeof(at)) && !strcmp(at, address)))
		i++;
	if (i == sockets->nr_rows)
		return;
	if (vl_check_cell(sockets, i, "STATE", state, sizeof(state)))
		vl_append(what, size, ", %s", state);
	if (vl_check_cell(sockets, i, "PEER", peer, sizeof(peer)) &&
	    vl_check_cell(sockets, i, "PPORT", port, sizeof(port)) && strcmp(port, "0") != 0)
		vl_append(what, size, ", peer %s port %s", peer, port);
	if (vl_check_cell(sockets, i, "PID", pid, sizeof(pid)))
		vl_append(what, size, ", process %s (%s)", pid,
			  vl_check_cell(sockets, i, "COMM", comm, sizeof(comm)) ? comm : "");
}

/*
 * Show each marked row of @from: the cells of @columns, and the mark as the finding. @sound: the
 * table has no marks that come from memory which a file lacks.
 */
static void take(struct vl_checker *c, const struct vl_table *from, const char *check,
		 const char *const columns[2], const char *address, const char *expected,
		 const struct vl_table *sockets, bool sound)
{
	for (size_t i = 0; i < from->nr_rows; i++) {
		char mark[VL_CHECK_TEXT], a[80], b[80], at[32], what[VL_CHECK_TEXT];

		if (!vl_check_cell(from, i, "MARK", mark, sizeof(mark)))
			continue;
		if (!vl_check_cell(from, i, columns[0], a, sizeof(a)))
			*a = '\0';
		if (!vl_check_cell(from, i, columns[1], b, sizeof(b)))
			*b = '\0';
		snprintf(what, sizeof(what), "%s%s%s", a, *a && *b ? " " : "", b);
		if (is_traced(c, mark))
			continue;
		if (sockets && vl_check_cell(from, i, address, at, sizeof(at)))
			add_peer(sockets, at, what, sizeof(what));
		vl_check_show(c, &(struct vl_check_row){
					 .check = check,
					 .at = address_in(from, i, address),
					 .what = what,
					 .sound = sound,
					 .expected = expected,
					 .found = mark,
				 });
	}
}

struct vl_error *vl_check_calls(struct vl_checker *c)
{
	static const char *const names[] = { "NR", "NAME" };
	struct vl_table t;
	struct vl_error *err;

	vl_table_init(&t, vl_scan_syscalls.columns);
	err = vl_scan_syscalls.run(c->g, &t);
	take(c, &t, "system calls", names, "ADDRESS", "the call's own function", NULL, false);
	vl_table_deinit(&t);
	return err;
}

static void note_text(struct vl_checker *c, const char *what, const char *found, bool unsure)
{
	vl_check_show(c, &(struct vl_check_row){
				 .class = VL_CHECK_NOTE,
				 .unsure = unsure,
				 .check = "trusted text",
				 .what = what,
				 .found = found,
			 });
}

/*
 * Note what was compared, and the rows of @t whose state is "unverified": modules without a trusted
 * file. If there is no trusted module at all, they are one note.
 */
static void note_unverified(struct vl_checker *c, const struct vl_table *t)
{
	char state[32], site[32], what[VL_CHECK_TEXT];
	char found[VL_CHECK_TEXT + 16];
	size_t missing = 0, verified = 0;

	for (size_t i = 1; i < t->nr_rows; i++) {
		if (!vl_check_cell(t, i, "STATE", state, sizeof(state)))
			continue;
		missing += !strcmp(state, "unverified");
		verified +=
			vl_check_cell(t, i, "SITE", site, sizeof(site)) && !strcmp(site, ".text");
	}
	if (missing > 1 && !verified) {
		snprintf(found, sizeof(found), "not compared: there is no trusted module for %zu",
			 missing);
		note_text(c, "the modules' text", found, true);
		return;
	}
	if (verified) {
		snprintf(found, sizeof(found), "compared with the trusted modules: %zu of %zu",
			 verified, verified + missing);
		note_text(c, "the modules' text", found, false);
	}
	for (size_t i = 1; i < t->nr_rows; i++) {
		char why[VL_CHECK_TEXT];

		if (!vl_check_cell(t, i, "STATE", state, sizeof(state)) ||
		    strcmp(state, "unverified") != 0)
			continue;
		snprintf(found, sizeof(found), "not compared: %s",
			 vl_check_cell(t, i, "FOUND", why, sizeof(why)) ? why : "");
		vl_check_show(c, &(struct vl_check_row){
					 .class = VL_CHECK_NOTE,
					 .unsure = true,
					 .check = "trusted text",
					 .at = address_in(t, i, "ADDRESS"),
					 .what = vl_check_cell(t, i, "SYMBOL", what, sizeof(what)) ?
							 what :
							 "",
					 .found = found,
				 });
	}
}

/*
 * Compare the text of the kernel and its modules with the trusted ones. If there are none, only
 * vl_check_text() has looked at the text, at the entries of functions.
 */
struct vl_error *vl_check_image(struct vl_checker *c)
{
	struct vl_table t;
	struct vl_error *err;

	vl_table_init(&t, vl_scan_trust.columns);
	err = vl_scan_trust.run(c->g, &t);
	for (size_t i = 0; i < t.nr_rows; i++) {
		char state[32], what[VL_CHECK_TEXT], to[VL_CHECK_TEXT], legal[VL_CHECK_TEXT];
		char found[VL_CHECK_TEXT + 16], site[32];
		const char *expects;

		if (!vl_check_cell(&t, i, "STATE", state, sizeof(state)) ||
		    !strcmp(state, "verified") || !strcmp(state, "compared") ||
		    !strcmp(state, "unverified") || !strcmp(state, "attached"))
			continue;
		if (!vl_check_cell(&t, i, "SYMBOL", what, sizeof(what)))
			*what = '\0';
		if (vl_check_cell(&t, i, "TO", to, sizeof(to)))
			snprintf(found, sizeof(found), "leads to %s", to);
		else
			snprintf(found, sizeof(found), "%s",
				 vl_check_cell(&t, i, "FOUND", to, sizeof(to)) ? to :
										 "other bytes");
		/* At a place that is not a site, the only form is the image's bytes. */
		expects = vl_check_cell(&t, i, "SITE", site, sizeof(site)) &&
					  (!strcmp(site, "text") || !strcmp(site, "constants")) ?
				  "EXPECTED" :
				  "LEGAL";
		vl_check_show(
			c,
			&(struct vl_check_row){
				.class = strcmp(state, "poke") ? VL_CHECK_FINDING : VL_CHECK_NOTE,
				.check = "trusted text",
				.at = address_in(&t, i, "ADDRESS"),
				.what = what,
				.found = found,
				.expected = vl_check_cell(&t, i, expects, legal, sizeof(legal)),
			});
	}
	if (!err)
		note_text(c, "the kernel's text", "compared with the trusted kernel of its build",
			  false);
	note_unverified(c, &t);
	vl_table_deinit(&t);
	/* A trusted kernel that is damaged, or of another build, is an error. */
	if (!err || err->code != VL_ERR_ARG || err->os_errno != ENOENT)
		return err;
	note_text(c, "the kernel's text", "not compared: there is no trusted kernel of its build",
		  true);
	c->t->nr_untrusted = 1;
	vl_error_destroy(err);
	return NULL;
}

static struct vl_error *compare(struct vl_checker *c, const struct vl_diff *diff,
				const char *const names[2], const char *address)
{
	struct vl_table t;
	struct vl_error *err;

	vl_table_init(&t, diff->columns);
	err = diff->run(c->g, c->sys, &t);
	take(c, &t, diff->name, names, address, "the same in every list", NULL, true);
	vl_table_deinit(&t);
	return err;
}

struct vl_error *vl_check_processes(struct vl_checker *c)
{
	static const char *const names[] = { "PID", "COMM" };

	return compare(c, &vl_diff_processes, names, "TASK");
}

struct vl_error *vl_check_modules(struct vl_checker *c)
{
	static const char *const names[] = { "MODULE", "" };

	return compare(c, &vl_diff_modules, names, "STRUCT");
}

struct vl_error *vl_check_sockets(struct vl_checker *c)
{
	static const char *const names[] = { "SOCKET", "" };
	struct vl_table t, all;
	struct vl_error *err;

	vl_table_init(&t, vl_diff_sockets.columns);
	vl_table_init(&all, vl_scan_sockets.columns);
	err = vl_diff_sockets.run(c->g, c->sys, &t);
	/* Details that cannot be read are left out. */
	if (t.nr_marked)
		vl_error_destroy(vl_scan_sockets.run(c->g, &all));
	take(c, &t, vl_diff_sockets.name, names, "SOCK", "the same in every list", &all, true);
	vl_table_deinit(&all);
	vl_table_deinit(&t);
	return err;
}
