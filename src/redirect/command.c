/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands of PATH. Commands are the host's: a shell checks by stat and access that one exists
 * before it runs it. A script that checks for a file of the same name means the guest's. So the
 * program's PATH has each folder twice. First come all folders as DIR/. , where a check finds
 * the host's command, which is then executed by that name. All follow as DIR, the guest's.
 *
 * A program may set a PATH without these marks (`PATH=/bin:/usr/bin` in a script, /etc/profile).
 * A shell that tries one name in one folder after the other searches for a command, too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "child.h"
#include "own.h"
#include "tasks.h"
#include "trap.h"

#define MARK "/."

/* Folders of commands on most systems, whatever PATH has. */
static const char *const folders[] = {
	"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",  "/usr/bin",
	"/sbin",	   "/bin",	     "/usr/games", "/usr/local/games",
};

size_t vl_command_folder(const struct vl_redirect *r, const char *norm)
{
	const char *list = r->path ? r->path : VL_PATH_DEFAULT, *slash = strrchr(norm, '/');
	size_t len = slash ? slash - norm : 0, n, all;

	for (; len && *list; list += all + (list[all] == ':')) {
		n = all = strcspn(list, ":");
		while (n > 1 && (list[n - 1] == '/' || (list[n - 1] == '.' && list[n - 2] == '/')))
			n--;
		if (n == len && !strncmp(list, norm, len))
			return len;
	}
	return 0;
}

/* Is @path, as the program wrote it, a name in a marked folder (DIR/.)? */
static bool is_marked(const char *path)
{
	const char *slash = strrchr(path, '/');

	return *path == '/' && slash - path > 2 && slash[1] && !strncmp(slash - 2, MARK, 2);
}

static bool in_folder(const struct vl_redirect *r, const char *norm, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		if (strlen(folders[i]) == len && !strncmp(norm, folders[i], len))
			return true;
	return vl_command_folder(r, norm) > 0;
}

/* Does @task try the name that it tried before, in another folder? */
static bool is_again(const struct vl_redirect *r, struct vl_task *task, const char *norm)
{
	const char *slash = strrchr(norm, '/');
	size_t len = slash ? slash - norm : 0;

	if (!slash || len >= sizeof(task->look.dir) || !in_folder(r, norm, len) ||
	    strlen(slash + 1) >= sizeof(task->look.name))
		return false;
	if (strcmp(task->look.name, slash + 1)) {
		task->look.again = false;
		strcpy(task->look.name, slash + 1);
	} else if (strlen(task->look.dir) != len || strncmp(task->look.dir, norm, len)) {
		task->look.again = true;
	}
	snprintf(task->look.dir, sizeof(task->look.dir), "%.*s", (int)len, norm);
	return task->look.again;
}

enum vl_lookup vl_command_lookup(struct vl_trap *t, const char *path, const char *norm)
{
	struct vl_task *task = vl_task_find(t->r, t->tid);
	bool again = task && task->program && task->program->commands && is_again(t->r, task, norm);

	if (is_marked(path) && vl_command_folder(t->r, norm))
		return task && task->asks ? LOOKUP_NOBODY : LOOKUP_HOST;
	if (!again || task->asks)
		return LOOKUP_NONE;
	return task->interactive ? LOOKUP_TYPED : LOOKUP_SEARCH;
}

char *vl_command_path(const char *path)
{
	char *ret = malloc(strlen("PATH=") + 3 * strlen(path) + 3), *out = ret;

	if (!ret || strstr(path, MARK ":") || !*path) { /* it has the marks already */
		if (ret)
			sprintf(ret, "PATH=%s", path);
		return ret;
	}
	out += sprintf(out, "PATH=");
	for (const char *at = path; *at; at += strspn(at, ":")) {
		size_t n = strcspn(at, ":");

		if (*at == '/')
			out += sprintf(out, "%.*s%s:", (int)n, at,
				       n > 1 && at[n - 1] == '/' ? "." : MARK);
		at += n;
	}
	strcpy(out, path);
	return ret;
}
