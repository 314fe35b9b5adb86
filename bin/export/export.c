/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `vlens export`: its options, and the ways of its output. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../applet.h"
#include "../report.h"
#include "base/clock.h"
#include "base/number.h"
#include "serve.h"

#define TOP_DEFAULT 10
#define TOP_MOST 1000
struct export_options {
	bool once;
	const char *listen, *textfile, *config; /* NULL: not asked for */
	long top;
};

static bool take(struct request *r, void *ctx, int key, char *arg)
{
	struct export_options *o = ctx;

	switch (key) {
	case OPT_ONCE:
		o->once = true;
		return true;
	case OPT_LISTEN:
		o->listen = arg;
		return true;
	case OPT_TEXTFILE:
		o->textfile = arg;
		return true;
	case OPT_WEB_CONFIG:
		o->config = arg;
		return true;
	case OPT_TOP:
		if (vl_number(arg, 0, TOP_MOST, &o->top))
			return true;
		usage_report(r->applet->name, "'%s' is not a number of processes from 0 to %d", arg,
			     TOP_MOST);
		return false;
	default:
		return request_option(r, NULL, key, arg);
	}
}

static int print_once(struct export_fleet *f)
{
	struct vl_growing out = { .text = NULL };
	int status = 0;

	if (!fleet_find(f))
		return STATUS_GUEST;
	if (fleet_scrape(f, ONCE_NS, VL_EXPORT_OPENMETRICS, &out))
		status = STATUS_GUEST;
	if (out.full) {
		error_report(f->request->applet->name, NULL, vl_error_nomem());
		status = 1;
	} else {
		/* close_stdout() reports an error. */
		fwrite(out.text, 1, out.len, stdout);
	}
	free(out.text);
	return status;
}

static bool is_sound(const struct request *r, const struct export_options *o)
{
	if (request_all_and_guest(r))
		return false;
	if (o->once + (o->listen != NULL) + (o->textfile != NULL) != 1)
		usage_report(r->applet->name, "one of --%s, --%s and --%s is needed",
			     option_name(OPT_ONCE), option_name(OPT_LISTEN),
			     option_name(OPT_TEXTFILE));
	else if (o->config && !o->listen)
		usage_report(r->applet->name, "'--%s' goes with --%s", option_name(OPT_WEB_CONFIG),
			     option_name(OPT_LISTEN));
	else
		return true;
	return false;
}

int export_run(struct request *r)
{
	struct export_options o = { .top = TOP_DEFAULT };
	struct export_fleet f = { .request = r };
	int status;

	if (!request_take(r, take, &o, &status))
		return status;
	if (!is_sound(r, &o))
		return r->applet->usage_status;
	r->all = r->all || !r->nr_words;
	r->scan.target.pause = VL_PAUSE_NONE;
	f.top = (size_t)o.top;
	if (o.listen)
		status = serve_run(&f, o.listen, o.config);
	else
		status = o.textfile ? textfile_run(&f, o.textfile) : print_once(&f);
	fleet_end(&f);
	return status;
}
