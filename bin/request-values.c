/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The values of options that several applets have. */
#include "request.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "applet.h"
#include "base/append.h"
#include "base/array.h"
#include "base/number.h"
#include "options.h"
#include "place.h"
#include "report.h"

static bool wrong(const struct request *r, const char *fmt, const char *arg)
{
	usage_report(r->applet->name, fmt, arg);
	return false;
}

/* Report that @arg is none of the first @nr values of @c. */
static void no_choice(const struct request *r, const struct choice *c, size_t nr, const char *arg)
{
	char all[128] = "";

	for (size_t i = 0; i < nr && c->name(i); i++)
		vl_append(all, sizeof(all), "%s%s",
			  !i			       ? "" :
			  i + 1 < nr && c->name(i + 1) ? ", " :
							 " or ",
			  c->name(i));
	usage_report(r->applet->name, "no %s '%s': %s", c->what, arg, all);
}

static const struct choice *choice_of(const struct request *r, int key)
{
	return option_by_key(key, options_scopes(r->applet, r->raw))->choice;
}

int request_choice(const struct request *r, int key, const char *arg)
{
	const struct choice *c = choice_of(r, key);
	int found = option_value(c->name, arg);

	if (found < 0)
		no_choice(r, c, SIZE_MAX, arg);
	return found;
}

/* --engine where the guest's kernel answers: engines of raw reads have set `raw`. */
static bool take_executor(struct request *r, const char *arg)
{
	int i = option_value(engine_name, arg);
	bool good = i >= 0 && i < ENGINE_IMEE;

	if (good)
		r->executor = (enum vl_executor)i;
	else if (i == ENGINE_IMEE)
		usage_report(r->applet->name, "only the engine %s answers this", engine_name(0));
	else
		no_choice(r, choice_of(r, OPT_ENGINE), ENGINE_IMEE + 1, arg);
	return good;
}

static bool take_reader(struct request *r, const char *arg)
{
	int i = option_value(engine_name, arg);

	if (i >= 0 && i < ENGINE_IMEE) {
		usage_report(r->applet->name, "only raw reads answer this");
		return false;
	}
	i = request_choice(r, OPT_ENGINE, arg);
	/* NULL, for imee: the fastest engine. */
	r->scan.engine = i > 0 ? engine_name(ENGINE_IMEE + (size_t)i) : NULL;
	return i >= 0;
}

static bool take_place(struct request *r, const char *arg, pid_t *pid_ret, const char **place_ret)
{
	uint32_t pid;
	enum place_kind kind = place_kind(arg, &pid);

	*pid_ret = kind == PLACE_PID ? (pid_t)pid : 0;
	*place_ret = kind == PLACE_PID ? NULL : arg;
	return kind != PLACE_BAD ||
	       wrong(r, "'%s' is not the id of a process, a container or a namespace", arg);
}

/* Milliseconds, up to a minute, at the front of "10" or "2.5,20". */
static bool milliseconds_of(const char *arg, const char **end_ret, uint64_t *ns_ret)
{
	const double most = 60000;
	double ms;

	*end_ret = arg;
	if (!vl_take_decimal(end_ret, &ms) || ms > most)
		return false;
	*ns_ret = (uint64_t)(ms * 1000000);
	return true;
}

static bool take_max_pause(struct request *r, const char *arg)
{
	struct vl_pause_budget *b = &r->scan.target.budget;
	const char *at;
	bool first;

	*b = (struct vl_pause_budget){ .given = true };
	first = milliseconds_of(arg, &at, &b->longest_ns);
	if (first && !*at) {
		/* As many pauses as the default budget allows. */
		b->total_ns = b->longest_ns * (VL_PAUSE_TOTAL_NS / VL_PAUSE_LONGEST_NS);
		return true;
	}
	return (first && *at == ',' && milliseconds_of(at + 1, &at, &b->total_ns) && !*at) ||
	       wrong(r, "'%s' is not one or two times in milliseconds, separated by a comma", arg);
}

/* More kernels than that are in no file. */
#define KERNEL_MAX 99

static bool take_kernel(struct request *r, const char *arg)
{
	long n;

	if (!vl_number(arg, 1, KERNEL_MAX, &n))
		return wrong(r, "'%s' is not the number of a kernel, from 1 on", arg);
	r->scan.target.kernel = (unsigned int)n;
	return true;
}

/* Seconds that a keeper stays: by default, and at most. */
#define KEEP_DEFAULT 60
#define KEEP_MAX 86400

static bool seconds_of(const char *arg, unsigned int *ret)
{
	long n;

	if (!vl_number(arg, 0, KEEP_MAX, &n))
		return false;
	*ret = (unsigned int)n;
	return true;
}

unsigned int request_default_keep(void)
{
	/* An invalid value is ignored. */
	const char *env = getenv("VLENS_KEEP");
	unsigned int n;

	return env && seconds_of(env, &n) ? n : KEEP_DEFAULT;
}

static bool take_keep(struct request *r, const char *arg)
{
	if (seconds_of(arg, &r->keep))
		return true;
	usage_report(r->applet->name, "'%s' is not a number of seconds from 0 to %d", arg,
		     KEEP_MAX);
	return false;
}

static bool take_host_files(struct request *r, const char *arg)
{
	/* The root and the kernel's file systems are the host itself: refuse them. */
	static const char *const not [] = { "/", "/proc", "/sys", "/dev" };
	const size_t len = strlen(arg);
	const bool ro = len > 3 && !strcmp(arg + len - 3, ":ro");
	char dir[PATH_MAX], real[PATH_MAX];
	struct stat st;
	bool bad;

	snprintf(dir, sizeof(dir), "%.*s", (int)(len - (ro ? 3 : 0)), arg);
	bad = !realpath(dir, real) || stat(real, &st) || !S_ISDIR(st.st_mode);

	for (size_t i = 0; !bad && i < ARRAY_SIZE(not ); i++)
		bad = !strcmp(real, not [i]) || (i && !strncmp(real, not [i], strlen(not [i])) &&
						 real[strlen(not [i])] == '/');
	return (!bad &&
		snprintf(r->host_files, PATH_MAX, "%s%s", real, ro ? ":ro" : "") < PATH_MAX) ||
	       wrong(r, "'%s' is not a folder that a program can be given", dir);
}

static bool take_trusted(struct request *r, const char *arg)
{
	r->trusted = arg;
	if (!strcmp(arg, VL_TRUSTED_AUTO))
		return true;
	/* A keeper has another working directory, and is known by the path. */
	r->trusted = r->trusted_path;
	if (realpath(arg, r->trusted_path))
		return true;
	usage_report(
		r->applet->name,
		"'%s' is not a file: --%s takes a kernel, a package or a directory; " REQUEST_STORED,
		arg, option_name(OPT_TRUSTED), REQUEST_STORED_ARGS);
	return false;
}

bool request_option(struct request *r, void *ctx, int key, char *arg)
{
	const struct {
		int key;
		bool *set;
	} flags[] = {
		{ OPT_ALL, &r->all },
		{ 'J', &r->json },
		{ OPT_STATS, &r->stats },
		{ OPT_DIFF, &r->diff },
		{ OPT_CONTAINERS, &r->containers },
		{ OPT_QUIET, &r->quiet },
		{ OPT_STRICT, &r->strict },
		{ OPT_ATTACHMENTS, &r->attachments },
		{ OPT_RAW_NAMES, &r->raw_names },
		{ OPT_UNVERIFIED, &r->unverified },
	};
	int choice;

	(void)ctx;
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		if (flags[i].key != key)
			continue;
		*flags[i].set = true;
		return true;
	}
	switch (key) {
	case 'c':
		r->scan.target.uri = arg;
		return true;
	case OPT_ENGINE:
		return r->raw ? take_reader(r, arg) : take_executor(r, arg);
	case OPT_AS:
		return take_place(r, arg, &r->as, &r->as_place);
	case OPT_NETNS:
		return take_place(r, arg, &r->netns, &r->netns_place);
	case OPT_PAUSE:
		choice = request_choice(r, key, arg);
		r->scan.target.pause = (enum vl_pause_mode)choice;
		return choice >= 0;
	case OPT_MAX_PAUSE:
		return take_max_pause(r, arg);
	case OPT_KERNEL:
		return take_kernel(r, arg);
	case OPT_SNAPSHOT:
		r->scan.target.snapshot = arg;
		return *arg || wrong(r, "'%s' is not the id or name of a snapshot", arg);
	case OPT_PARTIAL:
		r->scan.target.partial = true;
		return true;
	case OPT_TRUSTED:
		return take_trusted(r, arg);
	case OPT_KEEP:
		return take_keep(r, arg);
	case OPT_HOST_FILES:
		return take_host_files(r, arg);
	case 'h':
	case 'V':
	case OPT_HELP:
	case OPT_VERSION:
	case OPT_LIST:
		/* The first of them counts. */
		r->end = r->end ? r->end : key;
		break;
	default:
		return false;
	}
	return true;
}
