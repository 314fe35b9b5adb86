/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counts the questions of the program that got no answer, and keeps the reason: the program
 * itself prints "Input/output error" at most. A question whose answer has a substitute (numbers
 * for names of users) is not counted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../base/clock.h"
#include "../base/hash.h"
#include "refuse.h"
#include "fds.h"
#include "pathname.h"
#include "tasks.h"
#include "trap.h"
#include "own.h"

/* The path of the file that the call concerns, and its row; NULL: it concerns no file. */
static const char *path_of(struct vl_trap *t, const struct vl_path_row **row_ret)
{
	const struct vl_file *f = t->where.row ? t->where.file : NULL;

	if (!t->where.row && vl_fd_ours(t->args[0]))
		f = vl_fd_find(t, (int)t->args[0]);
	*row_ret = f ? f->row : t->where.row;
	return f ? f->path : t->where.row ? t->where.path : NULL;
}

/*
 * Was @path counted before? If not, note it. Each path counts once, as ls asks for the same file in
 * several ways. Two paths with one hash count as one.
 */
static bool is_known(struct vl_redirect *r, const char *path)
{
	uint64_t h = vl_hash_text(path), *more;

	for (size_t i = 0; i < r->nr_on_disk; i++)
		if (r->on_disk[i] == h)
			return true;
	if (r->nr_on_disk % 64 == 0) {
		more = realloc(r->on_disk, (r->nr_on_disk + 64) * sizeof(*more));
		if (!more)
			return false;
		r->on_disk = more;
	}
	r->on_disk[r->nr_on_disk++] = h;
	return false;
}

/* After this time a path that was absent is tried again. */
#define ABSENT_NS 1000000000L

bool vl_absent(const struct vl_redirect *r, const char *path)
{
	uint64_t h = vl_hash_text(path);

	for (size_t i = 0; i < r->nr_absent && i < VL_MAX_ABSENT; i++)
		if (r->absent[i].hash == h && vl_now_ns() - r->absent[i].ns < ABSENT_NS)
			return true;
	return false;
}

/* Rows with @tries are of file systems on a disk: a call that blocks there waits for the disk. */
static bool is_on_disk(const struct vl_trap *t, const struct vl_path_row *row,
		       const struct vl_error *err)
{
	return row && row->tries && err->code == VL_ERR_BLOCKED && !t->r->sys->missed &&
	       !t->r->no_epoch;
}

static void count_unanswered(struct vl_redirect_lost *lost, const char *path,
			     const struct vl_error *err)
{
	if (lost->unanswered++)
		return;
	snprintf(lost->why, sizeof(lost->why), "%s", err->message);
	snprintf(lost->hint, sizeof(lost->hint), "%s", err->hint ? err->hint : "");
	snprintf(lost->unanswered_first, sizeof(lost->unanswered_first), "%.255s",
		 path && *path == '/' ? path : "");
}

void vl_blame(struct vl_trap *t, const struct vl_error *err)
{
	struct vl_redirect_lost *lost = &t->r->stats->lost;
	struct vl_task *task = vl_task_find(t->r, t->tid);
	const struct vl_path_row *row;
	const char *path;

	path = path_of(t, &row);
	if (path && is_on_disk(t, row, err) && !vl_absent(t->r, path))
		t->r->absent[t->r->nr_absent++ % VL_MAX_ABSENT] =
			(struct vl_absent){ vl_hash_text(path), vl_now_ns() };
	/* The code that reads the disk, or the page, is not there, so the content is not known. */
	if ((err->code == VL_ERR_UNVERIFIED || err->code == VL_ERR_LACKING) && path && row &&
	    row->on_fail == F_EMPTY) {
		if (!is_known(t->r, path))
			count_unanswered(lost, path, err);
		return;
	}
	if (path && (!strcmp(path, "/etc/passwd") || !strcmp(path, "/etc/group")))
		lost->names |= row->on_fail == F_EMPTY && !t->r->no_epoch;
	if (path && !strcmp(path, "/etc/hosts"))
		lost->hosts |= row->on_fail == F_EMPTY && !t->r->no_epoch;
	if (row && row->on_fail != F_ERRNO)
		return;
	lost->main |= !task || task->tgid == t->r->main;
	if (path && is_on_disk(t, row, err)) {
		if (is_known(t->r, path))
			return;
		if (!lost->on_disk++)
			snprintf(lost->on_disk_first, sizeof(lost->on_disk_first), "%.255s", path);
		return;
	}
	count_unanswered(lost, path, err);
}

void vl_refused(struct vl_trap *t, enum vl_redirect_refused kind, const char *what)
{
	struct vl_redirect_lost *lost = &t->r->stats->lost;

	lost->refused = kind;
	snprintf(lost->refused_what, sizeof(lost->refused_what), "%.255s", what);
}

void vl_refused_write(struct vl_trap *t)
{
	const struct vl_task *task = vl_task_find(t->r, t->tid);

	/* A shell writes its history when it exits, whatever its status. */
	if (t->r->stats->lost.refused == VL_REFUSED_NOTHING && !(task && task->interactive))
		vl_refused(t, VL_REFUSED_WRITE, t->where.path);
}

void vl_refused_end(struct vl_redirect *r)
{
	if (r->stats->lost.refused == VL_REFUSED_WRITE)
		r->stats->lost.refused = VL_REFUSED_NOTHING;
}

/* A program that cannot create one of these files needs more than the file: what to report. */
static const struct {
	const char *pattern;
	enum vl_redirect_refused wants;
} beginnings[] = {
	{ "/tmp/tmux-*", VL_REFUSED_TERMINAL },
	{ "/run/screen", VL_REFUSED_TERMINAL },
	{ "/var/run/screen", VL_REFUSED_TERMINAL },
	{ "/tmp/screens", VL_REFUSED_TERMINAL },
	{ "/run/xtables.lock", VL_REFUSED_XTABLES },
	{ "/var/run/xtables.lock", VL_REFUSED_XTABLES },
};

static enum vl_redirect_refused wanted(const char *path)
{
	for (size_t i = 0; i < ARRAY_SIZE(beginnings); i++)
		if (vl_path_below(path, beginnings[i].pattern))
			return beginnings[i].wants;
	return VL_REFUSED_WRITE;
}

/* Sockets over which systemd, logind, hostnamed and others are asked. */
static bool is_systemd(const char *path)
{
	static const char *const patterns[] = { "/run/dbus/system_bus_socket",
						"/var/run/dbus/system_bus_socket",
						"/run/systemd/private", "/run/user/*/bus",
						"/run/user/*/systemd/private" };

	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
		if (vl_path_below(path, patterns[i]))
			return true;
	return false;
}

struct vl_error *vl_redirect_refusal(enum vl_redirect_refused kind, const char *what)
{
	static const struct {
		const char *message, *hint; /* %s in the message is @what */
	} texts[VL_NR_REFUSED] = {
		[VL_REFUSED_SERVICE] = { "%s: no service of the guest can be asked from outside",
					 "only its kernel can, and the files in its memory" },
		[VL_REFUSED_CHANGE] = { "a change of the guest's network was refused%s",
					"nothing in the guest is changed" },
		[VL_REFUSED_TERMINAL] = { "a program gets no new terminal%s",
					  "run script, tmux or screen around this tool" },
		[VL_REFUSED_TRACE] = { "no process can be traced from outside of the guest%s",
				       "nothing in the guest is stopped or changed" },
		[VL_REFUSED_PROGRAM] = { "%s is not run: it is not a program installed on this host",
					 "--host-files allows those of a folder" },
		[VL_REFUSED_PROCESSOR] = { "%s is not run: it asks the processor, which is this "
					   "host's",
					   "see /sys/class/dmi/id and /proc/cpuinfo of the guest" },
		[VL_REFUSED_LOADER] = { "%s is not run: it would load libraries of this host",
					"readelf -d and objdump -p name those that a file of the "
					"guest needs" },
		[VL_REFUSED_NAMESPACE] = { "a program can neither enter nor make a namespace%s",
					   "--as=PROCESS shows what a task of the guest sees in its own" },
		[VL_REFUSED_XTABLES] = { "rules of iptables-legacy cannot be asked for from "
					 "outside%s",
					 "iptables-nft and nft can; /proc/net/ip_tables_names has the "
					 "tables" },
		[VL_REFUSED_WRITE] = { "%s is not written: neither the guest nor this host is "
				       "changed",
				       "--host-files gives a program a folder of this host" },
	};
	const char *hint;

	if (kind == VL_REFUSED_WRITE && wanted(what) != kind) {
		kind = wanted(what);
		what = "";
	}
	if ((size_t)kind >= VL_NR_REFUSED || !texts[kind].message)
		return NULL;
	hint = texts[kind].hint;
	if (kind == VL_REFUSED_SERVICE && is_systemd(what))
		hint = "vunits has the units and the sessions that run, vjournal the journal, "
		       "'vuname GUEST -n' the host name";
	return vl_error_hint(vl_error_new(VL_ERR_ARG, texts[kind].message, what), "%s", hint);
}
