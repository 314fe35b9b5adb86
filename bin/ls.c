/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vls: the host's ls over a guest. Every path is the guest's, also those that programs
 * under vexec have from the host (/usr, /lib). A relative path starts at the guest's
 * root. Without a path, the root is listed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "applet.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "report.h"

/* Does option @arg of GNU ls take the next argument as its value? */
static bool takes_next(const char *arg)
{
	static const char *const names[] = {
		"--block-size",	   "--format", "--hide",    "--ignore", "--indicator-style",
		"--quoting-style", "--sort",   "--tabsize", "--time",	"--time-style",
		"--width",
	};

	if (arg[1] == '-') {
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			if (!strcmp(arg, names[i]))
				return true;
		return false;
	}
	/* The first letter that takes a value ends the cluster. */
	arg += strcspn(arg, "ITw");
	return *arg && !arg[1];
}

int ls_run(struct session *s)
{
	/* Room for "/" and the end. */
	size_t max = (size_t)s->request->nr_args + 2, nr_made = 0, nr_paths = 0;
	char **args = calloc(max, sizeof(*args)), **paths = calloc(max, sizeof(*paths));
	char **made = calloc(max, sizeof(*made)), *program = NULL;
	bool ended = false;
	int status = STATUS_GUEST, i;

	if (!args || !paths || !made)
		goto nomem;
	for (i = 0; i < s->request->nr_args; i++) {
		char *arg = s->request->args[i];

		args[i] = arg;
		if (!ended && !strcmp(arg, "--")) {
			ended = true;
			continue;
		}
		if (!ended && arg[0] == '-' && arg[1]) {
			if (takes_next(arg) && i + 1 < s->request->nr_args) {
				i++;
				args[i] = s->request->args[i];
			}
			continue;
		}
		if (*arg && *arg != '/') {
			if (asprintf(&made[nr_made], "/%s", arg) < 0)
				goto nomem;
			args[i] = made[nr_made++];
		}
		paths[nr_paths++] = args[i];
	}
	if (!nr_paths)
		args[i] = paths[0] = (char *)"/";
	program = model_find(s->applet);
	if (program) {
		status = session_redirect(s, program, s->applet->program, args,
					  (const char *const *)paths);
	} else {
		_cleanup_error_ struct vl_error *err =
			vl_error_new(VL_ERR_ARG, "this host has no program 'ls'");

		error_report(s->applet->name, NULL, err);
		status = STATUS_NOT_FOUND;
	}
	goto out;
nomem:
	error_report(s->applet->name, s->request->spec, vl_error_nomem());
out:
	while (nr_made)
		free(made[--nr_made]);
	free(program);
	free(made);
	free(paths);
	free(args);
	return status;
}
