/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Programs of the host over a guest: the models, ls, and those of vexec. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "applet.h"
#include "base/cleanup.h"
#include "front.h"
#include "keep/keep.h"
#include "progress.h"
#include "report.h"

static bool is_file(const struct stat *st, const char *path)
{
	struct stat other;

	return path && !stat(path, &other) && st->st_dev == other.st_dev &&
	       st->st_ino == other.st_ino;
}

/* A regular file that can be run and is not this very program. */
static bool is_program(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK) &&
	       !is_file(&st, "/proc/self/exe") && !is_file(&st, front_whole());
}

/* Find @name in the directories of @list, separated by colons. NULL: in none. */
static char *find_in(const char *list, const char *name)
{
	while (*list) {
		size_t len = strcspn(list, ":");
		char *path;

		/* Skip relative directories: others can put programs there. */
		if (*list == '/') {
			if (asprintf(&path, "%.*s/%s", (int)len, list, name) < 0)
				return NULL;
			if (is_program(path))
				return path;
			free(path);
		}
		list += len + (list[len] == ':');
	}
	return NULL;
}

char *program_find(const char *name)
{
	const char *list = getenv("PATH");
	char *path = list ? find_in(list, name) : NULL;

	/* An operator's PATH may lack the directories of root's programs. */
	return path ? path : find_in("/usr/bin:/bin:/usr/sbin:/sbin", name);
}

char *model_find(const struct applet *a)
{
	return program_find(a->program);
}

bool session_open(struct session *s)
{
	_cleanup_error_ struct vl_error *err = NULL;
	struct progress progress;
	struct vl_shortfall lacks;

	if (s->guest)
		return true;
	/* The front has no guest but a keeper's. */
	front_go_on();
	use_locale();
	progress_begin(&progress, s->applet->name, s->request->spec, NULL);
	err = vl_guest_open(s->request->spec, &s->options, &s->guest);
	progress_end(&progress);
	if (err)
		error_report(s->applet->name, s->request->spec, err);
	else if (vl_guest_shortfall(s->guest, &lacks))
		error_report_shortfall(s->applet->name, s->request->spec, &lacks);
	return !err;
}

/* Run the program under a keeper if there is one, else on a guest that we open. */
static struct vl_error *redirect(struct session *s, struct vl_redirect_options *o, int *status_ret,
				 bool *opened_ret)
{
	struct vl_keep_options k = {
		.spec = s->request->spec,
		.guest = s->options,
		.seconds = s->request->keep,
		.program = front_whole(),
	};
	struct vl_redirect_options with = *o;
	struct keep_command command;
	struct progress progress;
	struct vl_error *err;

	*opened_ret = true;
	keep_command(s, &command);
	k.command = command.argv;
	progress_begin(&progress, s->applet->name, s->request->spec, NULL);
	with.ready = progress_clear;
	with.ready_ctx = &progress;
	err = vl_keep_run(&k, &with, status_ret, &s->stats, &s->redirect, &s->kept);
	progress_end(&progress);
	if (s->kept)
		front_end();
	if (err || s->kept)
		return err;
	*opened_ret = session_open(s);
	if (!*opened_ret)
		return NULL;
	return vl_redirect_run(vl_guest_sys(s->guest), o, status_ret, &s->redirect);
}

static struct vl_error *describe_disk(const struct vl_redirect_lost *lost)
{
	if (!lost->on_disk)
		return NULL;
	if (lost->on_disk == 1)
		return vl_error_new(VL_ERR_BLOCKED, "%s is on the guest's disk, not in its memory",
				    lost->on_disk_first);
	return vl_error_hint(vl_error_new(VL_ERR_BLOCKED,
					  "%" PRIu64 " files or folders are on the guest's "
					  "disk and not in its memory",
					  lost->on_disk),
			     "the first is %s", lost->on_disk_first);
}

static struct vl_error *describe_unanswered(const struct vl_redirect_lost *lost)
{
	struct vl_error *err;
	bool path = *lost->unanswered_first;

	if (!lost->unanswered)
		return NULL;
	if (lost->unanswered == 1)
		err = vl_error_new(VL_ERR_BLOCKED, "%s had no answer: %s",
				   path ? lost->unanswered_first : "1 question", lost->why);
	else
		err = vl_error_new(VL_ERR_BLOCKED, "%" PRIu64 " questions had no answer: %s%s%s",
				   lost->unanswered, path ? lost->unanswered_first : "",
				   path ? ": " : "", lost->why);
	return vl_error_hint(err, "%s", *lost->hint ? lost->hint : "try again");
}

/* Report the program's unanswered questions. Returns the exit status, made of @status. */
static int report_lost(const struct session *s, int status)
{
	const struct vl_redirect_lost *lost = &s->redirect.lost;
	_cleanup_error_ struct vl_error *disk = describe_disk(lost);
	_cleanup_error_ struct vl_error *rest = describe_unanswered(lost), *names = NULL;
	_cleanup_error_ struct vl_error *hosts = NULL;
	_cleanup_error_ struct vl_error *refused = NULL;

	/* A refused call may be the reason. */
	if (status)
		refused = vl_redirect_refusal(lost->refused, lost->refused_what);
	if (lost->names)
		names = vl_error_hint(vl_error_new(VL_ERR_BLOCKED,
						   "names of users and groups are on the guest's "
						   "disk, not in its memory"),
				      "they are shown as numbers");
	if (lost->hosts)
		hosts = vl_error_hint(vl_error_new(VL_ERR_BLOCKED,
						   "names of hosts (/etc/hosts) are on the guest's "
						   "disk, not in its memory"),
				      "no host has one");
	if (names)
		error_report(s->applet->name, s->request->spec, names);
	if (hosts)
		error_report(s->applet->name, s->request->spec, hosts);
	if (disk)
		error_report(s->applet->name, s->request->spec, disk);
	if (rest)
		error_report(s->applet->name, s->request->spec, rest);
	if (refused)
		error_report(s->applet->name, s->request->spec, refused);
	/* A program may succeed although an answer is missing. */
	if (rest && lost->main && s->options.target.partial)
		return STATUS_GUEST;
	if (!status && lost->main && (disk || rest))
		return rest ? STATUS_GUEST : STATUS_MISSING;
	return status;
}

int session_redirect(struct session *s, const char *path, const char *arg0, char *const *args,
		     const char *const *guest_paths)
{
	struct vl_redirect_options o = {
		.arg0 = arg0,
		.guest_paths = guest_paths,
		.raw_names = s->request->raw_names,
		.host_files = *s->request->host_files ? s->request->host_files : NULL,
	};
	_cleanup_error_ struct vl_error *err = NULL;
	int status = STATUS_GUEST;
	bool opened;
	char **argv;
	size_t nr;

	for (nr = 0; args[nr];)
		nr++;
	argv = calloc(nr + 2, sizeof(*argv));
	if (!argv) {
		err = vl_error_nomem();
	} else {
		argv[0] = (char *)path;
		memcpy(argv + 1, args, nr * sizeof(*argv));
		o.argv = argv;
		err = redirect(s, &o, &status, &opened);
		if (!opened)
			status = STATUS_GUEST;
	}
	free(argv);
	s->failed = err;
	if (err)
		error_report(s->applet->name, s->request->spec, err);
	return report_lost(s, status);
}

int model_run(struct session *s)
{
	const struct applet *a = s->applet;
	char *path = model_find(a);
	int status;

	if (!path) {
		_cleanup_error_ struct vl_error *err =
			vl_error_new(VL_ERR_ARG, "this host has no program '%s'", a->program);

		vl_error_hint(err, "install the package %s", a->package);
		error_report(a->name, NULL, err);
		return STATUS_NOT_FOUND;
	}
	status = session_redirect(s, path, a->program, s->request->args, NULL);
	free(path);
	return status;
}

int exec_run(struct session *s)
{
	return session_redirect(s, s->request->args[0], NULL, s->request->args + 1, NULL);
}
