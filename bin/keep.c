/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `vlens keep [OPTION...] GUEST SLOT`: what a tool leaves behind, see src/keep/keep.h. */
#include <stdlib.h>
#include <sys/prctl.h>

#include "applet.h"
#include "keep/keep.h"

void keep_command(const struct session *s, struct keep_command *ret)
{
	const struct vl_guest_options *g = &s->options.guest;
	size_t nr = 0;

	ret->argv[nr++] = (char *)"vlens";
	ret->argv[nr++] = (char *)"keep";
	snprintf(ret->seconds, sizeof(ret->seconds), "--keep=%u", s->options.keep);
	ret->argv[nr++] = ret->seconds;
	if (g->as) {
		snprintf(ret->as, sizeof(ret->as), "--as=%d", (int)g->as);
		ret->argv[nr++] = ret->as;
	}
	if (g->executor) {
		snprintf(ret->engine, sizeof(ret->engine), "--engine=%s",
			 vmst_engines[g->executor]);
		ret->argv[nr++] = ret->engine;
	}
	if (g->target.uri) {
		ret->argv[nr++] = (char *)"--connect";
		ret->argv[nr++] = (char *)g->target.uri;
	}
	ret->argv[nr++] = (char *)"--";
	ret->argv[nr++] = (char *)s->options.spec;
	ret->argv[nr] = NULL;
}

int keep_run(int argc, char **argv)
{
	static const struct applet self = {
		.name = "vlens",
		.args = "keep GUEST SLOT",
		.summary = "Keep a guest open for the tools to come",
		.usage_status = 1,
		.needs = "slot",
	};
	struct vl_keep_options k = { 0 };
	struct options options;
	int status;

	if (!options_parse(&self, argc, argv, &options, &status))
		return status;
	prctl(PR_SET_NAME, "vlens-keeper");
	k.spec = options.spec;
	k.guest = options.guest;
	k.seconds = options.keep;
	/* Whoever started us has no ear for an error but by the connection. */
	return vl_discard(vl_keep_serve(&k, (unsigned int)atoi(options.args[0])));
}
