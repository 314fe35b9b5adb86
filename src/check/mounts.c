/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Processes that are hidden without a change of the kernel: something is mounted over them. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../view/diff.h"

#define MOUNTS "/proc/1/mountinfo"

/* The process that mount point @at lies over, in digits; their number is 0 if there is none. */
static size_t covered(const char *at)
{
	size_t n = strspn(at, "0123456789");

	return !at[n] || at[n] == '/' || at[n] == ' ' ? n : 0;
}

/* A line of mountinfo is "ID PARENT MAJOR:MINOR ROOT POINT OPTIONS...": proc_pid_mountinfo(5). */
static void check_line(struct vl_checker *c, const char *line)
{
	char what[VL_CHECK_TEXT], found[VL_CHECK_TEXT];
	int pid, len;

	for (unsigned i = 0; i < 4; i++) {
		line = strchr(line, ' ');
		if (!line)
			return;
		line++;
	}
	if (strncmp(line, "/proc/", 6) != 0)
		return;
	pid = (int)covered(line + 6);
	if (!pid || pid > 10)
		return;
	len = (int)strcspn(line, " ");
	snprintf(what, sizeof(what), "process %.*s", pid, line + 6);
	snprintf(found, sizeof(found), "behind a mount at %.*s", len < 64 ? len : 64, line);
	vl_check_show(c, &(struct vl_check_row){ .check = "mounts",
						 .likely = true,
						 .what = what,
						 .expected = "no mount over it",
						 .found = found });
}

struct vl_error *vl_check_mounts(struct vl_checker *c)
{
	_cleanup_free_ char *text = NULL;
	struct vl_error *err;
	size_t len = 0;
	char *line;

	err = vl_diff_read(c->g, c->sys, MOUNTS, &text, &len);
	if (err)
		return err;
	for (size_t at = 0; at < len; at += strlen(line) + 1) {
		line = text + at;
		line[strcspn(line, "\n")] = '\0';
		check_line(c, line);
	}
	return NULL;
}
