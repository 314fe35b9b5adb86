/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "options.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "applet.h"
#include "base/array.h"
#include "report.h"
#include "views.h"

/* Keys of options that have no letter: above every character. */
enum {
	OPT_ENGINE = 0x100,
	OPT_AS,
	OPT_PAUSE,
	OPT_MAX_PAUSE,
	OPT_KEEP,
	OPT_RAW_NAMES,
	OPT_STATS,
	OPT_STRICT,
	OPT_DIFF,
	OPT_HOST_FILES,
	OPT_SORT,
	OPT_NO_HEADERS,
	OPT_ALL,
	OPT_HELP,
	OPT_VERSION,
};

/* clang-format off */
#define OPTIONS_FRONT \
	{ "connect", 'c', "URI", 0, "look the guest up at this libvirt URI", 0 }, \
	{ "engine", OPT_ENGINE, "ENGINE", 0, "who answers: vmst[/kvm|/native|/unicorn] (default) or imee", 0 }, \
	{ "as", OPT_AS, "PID", 0, "see what this task of the guest sees (default: 1)", 0 }, \
	{ "pause", OPT_PAUSE, "HOW", 0, "hold the guest: auto (default), freeze, suspend, none", 0 }, \
	{ "max-pause", OPT_MAX_PAUSE, "MS", 0, "the longest pause[,all of a run] (default: 10,50)", 0 }
#define OPTIONS_MIDDLE \
	{ "keep", OPT_KEEP, "SECONDS", 0, "stay ready for so long behind the run (default: 60)", 0 }, \
	{ "raw-names", OPT_RAW_NAMES, NULL, 0, "let names of the guest pass as they are", 0 }, \
	{ "stats", OPT_STATS, NULL, 0, "print to stderr what it cost the guest", 0 }, \
	{ "strict", OPT_STRICT, NULL, 0, "fail where an answer may mix several moments", 0 }
/* With the first, --diff or --engine=imee a view answers (views.h), which takes them all. */
#define OPTION_JSON \
	{ "json", 'J', NULL, 0, "print JSON, from memory alone", 0 }
#define OPTIONS_RAW \
	{ "output", 'o', "LIST", 0, "from memory: print these columns", 0 }, \
	{ "sort", OPT_SORT, "KEYS", 0, "from memory: sort by these columns; -KEY: downwards", 0 }, \
	{ "no-headers", OPT_NO_HEADERS, NULL, 0, "from memory: no names of the columns", 0 }, \
	{ "all", OPT_ALL, NULL, 0, "from memory: all guests of this host", 0 }
#define OPTIONS_BACK \
	{ "help", OPT_HELP, NULL, 0, "print this help", 0 }, \
	{ "version", OPT_VERSION, NULL, 0, "print the version and what is built in", 0 }, \
	{ 0 }
/* clang-format on */

/* -h is left to the models (free -h); help and version stand last. */
static const struct argp_option shared_options[] = {
	OPTIONS_FRONT,
	OPTIONS_MIDDLE,
	OPTIONS_BACK,
};

/* Of the one that runs any program. */
static const struct argp_option exec_options[] = {
	OPTIONS_FRONT,
	{ "host-files", OPT_HOST_FILES, "DIR[:ro]", 0,
	  "let the program use this folder of the host", 0 },
	OPTIONS_MIDDLE,
	OPTIONS_BACK,
};

/* Of an applet that can answer raw, too. */
static const struct argp_option raw_options[] = {
	OPTIONS_FRONT, OPTIONS_MIDDLE, OPTION_JSON, OPTIONS_RAW, OPTIONS_BACK,
};

/* Of an applet that can compare both besides. */
static const struct argp_option diff_options[] = {
	OPTIONS_FRONT,
	OPTIONS_MIDDLE,
	OPTION_JSON,
	{ "diff", OPT_DIFF, NULL, 0, "compare what the kernel says with what is in memory", 0 },
	OPTIONS_RAW,
	OPTIONS_BACK,
};

const struct argp_option *options_of(const struct applet *a)
{
	const struct view *view = view_find(a->name);

	if (!view)
		return a->run == exec_run ? exec_options : shared_options;
	return !a->run ? view->options : view->diff ? diff_options : raw_options;
}

/* By enum vl_executor. */
const char *const vmst_engines[] = { "vmst", "vmst/kvm", "vmst/native", "vmst/unicorn", NULL };

/* How parsing came out; argp hands it to parse_option(). */
struct parse {
	const struct applet *applet;
	struct options *options;
	enum { GO_ON, END_HELP, END_VERSION, END_USAGE } end;
};

static error_t usage(struct parse *p)
{
	p->end = END_USAGE;
	return EINVAL;
}

static error_t parse_engine(struct parse *p, const char *arg)
{
	for (size_t i = 0; vmst_engines[i]; i++)
		if (!strcmp(arg, vmst_engines[i])) {
			p->options->guest.executor = (enum vl_executor)i;
			return 0;
		}
	if (!strcmp(arg, "imee"))
		usage_report(p->applet->name, "only the engine vmst answers this");
	else
		usage_report(p->applet->name,
			     "no engine '%s': vmst or imee, vmst/kvm, vmst/native or vmst/unicorn",
			     arg);
	return usage(p);
}

static error_t parse_as(struct parse *p, const char *arg)
{
	char *end;
	long pid;

	errno = 0;
	pid = strtol(arg, &end, 10);
	if (errno || end == arg || *end || pid < 1 || pid > INT_MAX) {
		usage_report(p->applet->name, "'%s' is no process id", arg);
		return usage(p);
	}
	p->options->guest.as = (pid_t)pid;
	return 0;
}

static error_t parse_pause(struct parse *p, const char *arg)
{
	static const struct {
		const char *name;
		enum vl_pause_mode mode;
	} modes[] = {
		{ "auto", VL_PAUSE_AUTO },
		{ "freeze", VL_PAUSE_FREEZE },
		{ "suspend", VL_PAUSE_SUSPEND },
		{ "none", VL_PAUSE_NONE },
	};

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (!strcmp(arg, modes[i].name)) {
			p->options->guest.target.pause = modes[i].mode;
			return 0;
		}
	}
	usage_report(p->applet->name, "no way to pause '%s': auto, freeze, suspend or none", arg);
	return usage(p);
}

/* "10", "2.5,20": milliseconds, up to a minute. */
static bool milliseconds_of(const char *arg, const char **end_ret, uint64_t *ns_ret)
{
	const double most = 60000;
	char *end;
	double ms;

	errno = 0;
	ms = strtod(arg, &end);
	*end_ret = end;
	/* Digits and a point: no "nan", no "0x10". */
	if (errno || end == arg || end != arg + strspn(arg, "0123456789.") || ms > most)
		return false;
	*ns_ret = (uint64_t)(ms * 1000000);
	return true;
}

bool max_pause_parse(const char *applet, const char *arg, struct vl_pause_budget *ret)
{
	const char *at;
	bool first;

	*ret = (struct vl_pause_budget){ .given = true };
	first = milliseconds_of(arg, &at, &ret->longest_ns);
	if (first && !*at) {
		/* As many pauses as the default has. */
		ret->total_ns = ret->longest_ns * (VL_PAUSE_TOTAL_NS / VL_PAUSE_LONGEST_NS);
		return true;
	}
	if (first && *at == ',' && milliseconds_of(at + 1, &at, &ret->total_ns) && !*at)
		return true;
	usage_report(applet, "'%s' is no time in milliseconds, nor two with a comma between", arg);
	return false;
}

/* How long a keeper stays where nothing else is said, and the most, in seconds. */
#define KEEP_DEFAULT 60
#define KEEP_MAX 86400

static bool seconds_of(const char *arg, unsigned int *ret)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(arg, &end, 10);
	if (errno || end == arg || *end || n < 0 || n > KEEP_MAX)
		return false;
	*ret = (unsigned int)n;
	return true;
}

static error_t parse_keep(struct parse *p, const char *arg)
{
	if (seconds_of(arg, &p->options->keep))
		return 0;
	usage_report(p->applet->name, "'%s' is no number of seconds from 0 to %d", arg, KEEP_MAX);
	return usage(p);
}

unsigned int options_default_keep(void)
{
	/* Anything else in it is not heeded. */
	const char *env = getenv("VLENS_KEEP");
	unsigned int n;

	return env && seconds_of(env, &n) ? n : KEEP_DEFAULT;
}

static error_t parse_host_files(struct parse *p, const char *arg)
{
	/* Whole file systems of the machine are no folder of files. */
	static const char *const not [] = { "/", "/proc", "/sys", "/dev" };
	const size_t len = strlen(arg);
	const bool ro = len > 3 && !strcmp(arg + len - 3, ":ro");
	char dir[PATH_MAX], real[PATH_MAX];
	struct stat st;
	bool bad;

	snprintf(dir, sizeof(dir), "%.*s", (int)(len - (ro ? 3 : 0)), arg);
	bad = !realpath(dir, real) || stat(real, &st) || !S_ISDIR(st.st_mode);

	for (size_t i = 0; !bad && i < sizeof(not ) / sizeof(not [0]); i++)
		bad = !strcmp(real, not [i]) || (i && !strncmp(real, not [i], strlen(not [i])) &&
						 real[strlen(not [i])] == '/');
	if (bad ||
	    snprintf(p->options->host_files, PATH_MAX, "%s%s", real, ro ? ":ro" : "") >= PATH_MAX) {
		usage_report(p->applet->name, "'%s' is no folder that a program can be given", dir);
		return usage(p);
	}
	return 0;
}

/* What only a view takes, and none was asked for. */
static error_t raw_only(struct parse *p, int key)
{
	const struct argp_option *o = options_of(p->applet);

	while (o->name && o->key != key)
		o++;
	if (key == 'J' || key == OPT_DIFF)
		usage_report(p->applet->name, "'--%s' is not for --engine=vmst", o->name);
	else
		usage_report(
			p->applet->name,
			"'--%s' goes with --json or --engine=imee; options of %s go behind the "
			"guest",
			o->name, p->applet->program);
	return usage(p);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct parse *p = state->input;

	switch (key) {
	case 'c':
		p->options->guest.target.uri = arg;
		return 0;
	case OPT_ENGINE:
		return parse_engine(p, arg);
	case OPT_AS:
		return parse_as(p, arg);
	case OPT_PAUSE:
		return parse_pause(p, arg);
	case OPT_MAX_PAUSE:
		return max_pause_parse(p->applet->name, arg, &p->options->guest.target.budget) ?
			       0 :
			       usage(p);
	case OPT_KEEP:
		return parse_keep(p, arg);
	case OPT_RAW_NAMES:
		p->options->raw_names = true;
		return 0;
	case OPT_HOST_FILES:
		return parse_host_files(p, arg);
	case OPT_STATS:
		p->options->stats = true;
		return 0;
	case OPT_STRICT:
		p->options->strict = true;
		return 0;
	case 'o':
	case OPT_SORT:
	case OPT_NO_HEADERS:
	case OPT_ALL:
	case OPT_DIFF:
	case 'J':
		return raw_only(p, key);
	case OPT_HELP:
	case OPT_VERSION:
		p->end = key == OPT_HELP ? END_HELP : END_VERSION;
		return ECANCELED;
	case ARGP_KEY_ARG:
		/* The guest; all behind it is none of our business. */
		p->options->spec = arg;
		p->options->args = state->argv + state->next;
		p->options->nr_args = state->argc - state->next;
		state->next = state->argc;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option *find_long(const struct argp_option *table, const char *name,
					   size_t len)
{
	for (; table->name; table++)
		if (strlen(table->name) == len && !memcmp(table->name, name, len))
			return table;
	return NULL;
}

static const struct argp_option *find_short(const struct argp_option *table, char c)
{
	for (; table->name; table++)
		if (table->key == c)
			return table;
	return NULL;
}

static bool check_failed(char **why_ret, const char *fmt, const char *what, int len)
{
	if (asprintf(why_ret, fmt, len, what) < 0)
		*why_ret = NULL;
	return false;
}

bool options_check(const struct argp_option *table, int argc, char **argv, char **why_ret,
		   const char **foreign_ret)
{
	*foreign_ret = NULL;
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];
		const struct argp_option *o = NULL;

		if (arg[0] != '-' || !arg[1] || !strcmp(arg, "--"))
			return true;
		if (arg[1] == '-') {
			size_t len = strcspn(arg + 2, "=");

			o = find_long(table, arg + 2, len);
			if (o && !o->arg && arg[2 + len])
				return check_failed(why_ret, "option '%.*s' takes no argument", arg,
						    (int)len + 2);
			if (o && o->arg && !arg[2 + len] && ++i == argc)
				return check_failed(why_ret, "option '%.*s' needs an argument", arg,
						    (int)len + 2);
		}
		for (const char *c = arg + 1; arg[1] != '-' && *c; c++) {
			o = find_short(table, *c);
			if (!o)
				break;
			if (o->arg && !c[1] && ++i == argc)
				return check_failed(why_ret, "option '-%.*s' needs an argument", c,
						    1);
			if (o->arg)
				break;
		}
		if (!o) {
			*foreign_ret = arg;
			return check_failed(why_ret, "unknown option '%.*s'", arg, INT_MAX);
		}
	}
	return true;
}

void options_head(const char *name, const char *args, const char *summary)
{
	printf("Usage: %s [OPTION...] %s\n%s.\n", name, args, summary);
}

void options_help(const struct argp_option *table, const char *name, const char *args,
		  const char *summary)
{
	options_head(name, args, summary);
	options_list(table);
}

void options_list(const struct argp_option *table)
{
	char head[32];

	puts("\nOptions:");
	for (; table->name; table++) {
		snprintf(head, sizeof(head), "--%s%s%s", table->name, table->arg ? "=" : "",
			 table->arg ? table->arg : "");
		printf(table->key < OPT_ENGINE ? "  -%c, " : "      ", table->key);
		printf("%-18s %s\n", head, table->doc);
	}
}

bool options_parse(const struct applet *a, int argc, char **argv, struct options *ret,
		   int *status_ret)
{
	const struct argp argp = {
		.options = options_of(a),
		.parser = parse_option,
	};
	struct parse p = { .applet = a, .options = ret };
	const char *foreign;
	char *why;

	*ret = (struct options){ .keep = options_default_keep() };
	*status_ret = a->usage_status;
	if (!options_check(argp.options, argc, argv, &why, &foreign)) {
		if (foreign && a->program)
			usage_report(a->name,
				     "'%s' is no option of %s; options of %s go behind the guest: "
				     "%s GUEST %s",
				     foreign, a->name, a->program, a->name, foreign);
		else
			usage_report(a->name, "%s", why ? why : "out of memory");
		free(why);
		return false;
	}
	if (argp_parse(&argp, argc, argv, ARGP_IN_ORDER | ARGP_NO_HELP | ARGP_NO_ERRS, NULL, &p) &&
	    p.end == GO_ON) {
		usage_report(a->name, "these options are not understood");
		return false;
	}
	switch (p.end) {
	case END_HELP:
		options_help(argp.options, a->name, a->args, a->summary);
		printf("\nFor more details see %s(1).\n", a->name);
		*status_ret = 0;
		return false;
	case END_VERSION:
		print_version(a->name);
		*status_ret = 0;
		return false;
	case END_USAGE:
		return false;
	default:
		break;
	}
	if (!ret->spec || !*ret->spec) {
		usage_report(a->name, "no guest is named");
		return false;
	}
	/* As getopt has it, one "--" may part the guest from what is meant for it. */
	if (!a->program && ret->nr_args && !strcmp(ret->args[0], "--")) {
		ret->args++;
		ret->nr_args--;
	}
	if (a->needs && !ret->nr_args) {
		usage_report(a->name, "no %s is named", a->needs);
		return false;
	}
	return true;
}
