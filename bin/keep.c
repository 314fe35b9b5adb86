/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `vlens keep [OPTION...] GUEST SLOT`: the keeper of src/keep/keep.h. */
#include <stdlib.h>
#include <sys/prctl.h>

#include "applet.h"
#include "keep/keep.h"

void keep_command(const struct session *s, struct keep_command *ret)
{
	const struct vl_guest_options *g = &s->options;
	size_t nr = 0;

	ret->argv[nr++] = (char *)"vlens";
	ret->argv[nr++] = (char *)"keep";
	snprintf(ret->seconds, sizeof(ret->seconds), "--keep=%u", s->request->keep);
	ret->argv[nr++] = ret->seconds;
	if (g->as) {
		snprintf(ret->as, sizeof(ret->as), "--as=%d", (int)g->as);
		ret->argv[nr++] = ret->as;
	}
	if (g->executor) {
		snprintf(ret->engine, sizeof(ret->engine), "--engine=%s", engine_name(g->executor));
		ret->argv[nr++] = ret->engine;
	}
	if (g->trusted) {
		snprintf(ret->trusted, sizeof(ret->trusted), "--trusted=%s", g->trusted);
		ret->argv[nr++] = ret->trusted;
	}
	if (g->unverified)
		ret->argv[nr++] = (char *)"--allow-unverified";
	if (g->target.uri) {
		ret->argv[nr++] = (char *)"--connect";
		ret->argv[nr++] = (char *)g->target.uri;
	}
	ret->argv[nr++] = (char *)"--";
	ret->argv[nr++] = (char *)s->request->spec;
	ret->argv[nr] = NULL;
}

int keep_run(const struct applet_table *t, int argc, char **argv)
{
	static const struct applet self = {
		.name = "vlens",
		.args = "keep GUEST SLOT",
		.summary = "Keep a guest open for the tools to come",
		.usage_status = 1,
		.needs = "slot",
		.scope = SCOPE_MIRRORED,
	};
	struct vl_keep_options k = { 0 };
	int status = self.usage_status;
	struct request r;

	if (request_read(&r, t, &self, argc, argv) &&
	    request_take(&r, request_option, NULL, &status) && request_guest(&r)) {
		prctl(PR_SET_NAME, "vlens-keeper");
		k.spec = r.spec;
		k.guest = request_guest_options(&r);
		k.seconds = r.keep;
		/* The tool that started us learns of errors by its connection only. */
		status = vl_discard(vl_keep_serve(&k, (unsigned int)atoi(r.args[0])));
	}
	request_free(&r);
	return status;
}
