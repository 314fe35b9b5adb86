/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `vlens keep [OPTION...] GUEST SLOT`: the keeper of src/keep/keep.h. */
#include <stdlib.h>
#include <sys/prctl.h>

#include "applet.h"
#include "base/number.h"
#include "keep/keep.h"
#include "report.h"

/* Append the option with key @key, with @value if that is not NULL. */
static void add(struct keep_command *c, size_t *nr, size_t *used, int key, const char *value)
{
	char *word = c->text + *used;

	*used += (size_t)snprintf(word, sizeof(c->text) - *used, "--%s%s%s", option_name(key),
				  value ? "=" : "", value ? value : "") +
		 1;
	c->argv[(*nr)++] = word;
}

void keep_command(const struct session *s, struct keep_command *ret)
{
	const struct vl_guest_options *g = &s->options;
	size_t nr = 0, used = 0;
	char number[24];

	ret->argv[nr++] = (char *)"vlens";
	ret->argv[nr++] = (char *)"keep";
	snprintf(number, sizeof(number), "%u", s->request->keep);
	add(ret, &nr, &used, OPT_KEEP, number);
	snprintf(number, sizeof(number), "%d", (int)g->as);
	if (g->as)
		add(ret, &nr, &used, OPT_AS, number);
	snprintf(number, sizeof(number), "%d", (int)g->netns);
	if (g->netns)
		add(ret, &nr, &used, OPT_NETNS, number);
	if (g->executor)
		add(ret, &nr, &used, OPT_ENGINE, engine_name(g->executor));
	if (g->trusted)
		add(ret, &nr, &used, OPT_TRUSTED, g->trusted);
	if (g->unverified)
		add(ret, &nr, &used, OPT_UNVERIFIED, NULL);
	if (g->target.uri) {
		add(ret, &nr, &used, 'c', NULL);
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
	struct vl_error *err;
	struct request r;
	long slot;

	if (request_read(&r, t, &self, argc, argv) &&
	    request_take(&r, request_option, NULL, &status) && request_guest(&r)) {
		prctl(PR_SET_NAME, "vlens-keeper");
		k.spec = r.spec;
		k.guest = request_guest_options(&r);
		k.seconds = r.keep;
		/* The tool that started us learns of errors by its connection only. */
		if (!vl_number(r.args[0], 0, VL_KEEP_SLOTS - 1, &slot))
			slot = VL_KEEP_SLOTS; /* which it refuses */
		err = vl_keep_serve(&k, (unsigned int)slot);
		status = err ? self.usage_status : 0;
		if (err && err->code == VL_ERR_ARG)
			error_report("vlens keep", NULL, err);
		vl_error_destroy(err);
	}
	request_free(&r);
	return status;
}
