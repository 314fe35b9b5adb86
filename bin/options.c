/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "options.h"

#include <stdio.h>
#include <string.h>

#include "applet.h"
#include "base/array.h"
#include "imee/engine.h"
#include "save/save.h"
#include "vlens.h"

const char *engine_name(size_t i)
{
	static const char *const answers[] = {
		"vmst", "vmst/kvm", "vmst/native", "vmst/unicorn", "imee",
	};

	_Static_assert(ARRAY_SIZE(answers) == ENGINE_IMEE + 1, "imee is the last");
	return i < ARRAY_SIZE(answers) ? answers[i] : vl_raw_name(i - ARRAY_SIZE(answers));
}

static const char *raw_engine_name(size_t i)
{
	return engine_name(ENGINE_IMEE + i);
}

static const char *pause_name(size_t i)
{
	static const char *const names[] = {
		[VL_PAUSE_AUTO] = "auto",
		[VL_PAUSE_FREEZE] = "freeze",
		[VL_PAUSE_SUSPEND] = "suspend",
		[VL_PAUSE_NONE] = "none",
	};

	return i < ARRAY_SIZE(names) ? names[i] : NULL;
}

static const char *dump_pause_name(size_t i)
{
	static const char *const names[] = {
		[VL_SAVE_SHORT] = "short",
		[VL_SAVE_NONE] = "none",
		[VL_SAVE_WHOLE] = "whole",
	};

	return i < ARRAY_SIZE(names) ? names[i] : NULL;
}

static const char *color_name(size_t i)
{
	static const char *const names[] = { "auto", "always", "never" };

	return i < ARRAY_SIZE(names) ? names[i] : NULL;
}

static const char *event_name(size_t i)
{
	static const char *const names[] = { "process", "module", "listen", "uid", "text" };

	return i < ARRAY_SIZE(names) ? names[i] : NULL;
}

static const char *trusted_name(size_t i)
{
	return i ? NULL : VL_TRUSTED_AUTO;
}

static const struct choice any_engine = { "engine", engine_name, NULL, ENGINE_IMEE };
static const struct choice raw_engine = { "engine", raw_engine_name, NULL, 0 };
static const struct choice pause_mode = { "way to pause", pause_name, NULL, 0 };
static const struct choice dump_pause = { "pause", dump_pause_name, NULL, 0 };
static const struct choice color_mode = { "colour", color_name, NULL, 0 };
/* Or several of them. */
static const struct choice watch_events = { "event", event_name, NULL, 0 };
/* Or a path. */
static const struct choice trusted_kernel = { "trusted kernel", trusted_name, VL_TRUSTED_AUTO, 0 };

/* clang-format off */
#define MIRRORED SCOPE_MIRRORED
#define EITHER SCOPE_EITHER
#define TABLE (SCOPE_RAW | SCOPE_TRUST)
#define READS (TABLE | SCOPE_PEEK)
#define PAUSES (SCOPE_RAW | SCOPE_PEEK)
#define TOP SCOPE_TOP
#define WATCH SCOPE_WATCH
/* SCOPE_SWITCHES belong to applets that have another scope, too. */
#define ALL ~(SCOPE_VLENS | SCOPE_SWITCHES)

/* -h is left to the models (free -h); help and version stand last. */
const struct option_row option_rows[] = {
	{ "list", OPT_LIST, NULL, SCOPE_VLENS, "print the names of the applets, one a line", NULL },

	{ "batch", 'b', NULL, TOP, "print to standard output, frame after frame", NULL },
	{ "delay", 'd', "SECONDS", TOP, "between two refreshes (1.5)", NULL },
	{ "iterations", 'n', "N", TOP, "end after so many refreshes", NULL },
	{ "pids", 'p', "LIST", TOP, "only these processes", NULL },
	{ "user", 'u', "USER", TOP, "only the processes of this user of the guest", NULL },
	{ "sort", 's', "KEY", TOP, "sort by this column; -KEY: downwards", NULL },
	{ "tree", OPT_TREE, NULL, TOP, "as a tree", NULL },
	{ "group", OPT_GROUP, NULL, TOP, "by container, with the sum of each", NULL },
	{ "output", 'o', "LIST", TOP, "show these columns", NULL },
	{ "no-headers", OPT_NO_HEADERS, NULL, TOP, "with -b: no names of the columns", NULL },

	{ "once", OPT_ONCE, NULL, SCOPE_EXPORT,
	  "print the metrics once, as OpenMetrics, and end", NULL },
	{ "listen", OPT_LISTEN, "ADDRESS", SCOPE_EXPORT,
	  "serve them at HOST:PORT or unix:PATH, as /metrics", NULL },
	{ "textfile", OPT_TEXTFILE, "FILE", SCOPE_EXPORT,
	  "write them once to a file for node_exporter, and end", NULL },
	{ "web-config", OPT_WEB_CONFIG, "FILE", SCOPE_EXPORT,
	  "with --listen: TLS and users, as the exporters have them", NULL },
	{ "top", OPT_TOP, "N", SCOPE_EXPORT,
	  "the first N processes by CPU, memory, threads and files (10)", NULL },

	{ "events", OPT_EVENTS, "LIST", WATCH,
	  "only these: process, module, listen, uid, text", &watch_events },
	{ "cpu", OPT_CPU, "PERCENT", WATCH, "the share of a CPU that all of it may use (5)", NULL },
	{ "duration", OPT_DURATION, "TIME", WATCH, "end after so many seconds (or 5m, 2h)", NULL },
	{ "timestamps", 'T', NULL, WATCH, "begin each line with the time", NULL },

	{ "file", 'f', "FILE", SCOPE_FLEET,
	  "the hosts: a list, or an inventory of Ansible; -: stdin", NULL },
	{ "group", OPT_HOST_GROUP, "NAME", SCOPE_FLEET,
	  "of the file only this group or host; again for more", NULL },
	{ "parallel", OPT_PARALLEL, "N", SCOPE_FLEET, "so many hosts at a time (16)", NULL },
	{ "timeout", OPT_TIMEOUT, "SECONDS", SCOPE_FLEET,
	  "the most for each host (60); 0: no limit", NULL },

	{ "connect", 'c', "URI", MIRRORED, "look the guest up at this libvirt URI", NULL },
	{ "connect", 'c', "URI", READS | TOP | WATCH | SCOPE_DOCTOR | SCOPE_DUMP | SCOPE_EXPORT,
	  "look guests up at this libvirt URI", NULL },
	{ "all", OPT_ALL, NULL, READS | WATCH, "all guests of this host", NULL },
	{ "all", OPT_ALL, NULL, TOP | SCOPE_EXPORT,
	  "all guests of this host, as without any name", NULL },
	{ "engine", OPT_ENGINE, "ENGINE", MIRRORED,
	  "how to answer: vmst[/kvm|/native|/unicorn] (default) or imee", &any_engine },
	{ "engine", OPT_ENGINE, "ENGINE", READS | TOP | WATCH | SCOPE_EXPORT,
	  "how to read: imee (the fastest), direct, module, kvm", &raw_engine },
	{ "kernel", OPT_KERNEL, "N", MIRRORED | PAUSES | TOP | SCOPE_DUMP,
	  "of a file with several kernels: the N-th", NULL },
	{ "snapshot", OPT_SNAPSHOT, "SNAPSHOT", MIRRORED | PAUSES | TOP | SCOPE_DUMP,
	  "of a disk image with several snapshots: this id or name", NULL },
	{ "partial", OPT_PARTIAL, NULL, MIRRORED | PAUSES | TOP,
	  "read what is there of a file that is cut short", NULL },
	{ "json", 'J', NULL, READS | SCOPE_DOCTOR | SCOPE_TYPES, "print JSON", NULL },
	{ "json", 'J', NULL, WATCH, "print a JSON object for each event, one a line", NULL },
	{ "json", 'J', NULL, TOP, "with -b: print JSON", NULL },
	{ "color", OPT_COLOR, "WHEN", SCOPE_DOCTOR,
	  "colour: auto (on a terminal), always or never", &color_mode },

	{ "output", 'o', "LIST", TABLE | SCOPE_TYPES, "print these columns", NULL },
	{ "sort", OPT_SORT, "KEYS", TABLE | SCOPE_TYPES,
	  "sort by these columns; -KEY: downwards", NULL },
	{ "no-headers", OPT_NO_HEADERS, NULL, TABLE | SCOPE_TYPES,
	  "no line with the names of the columns", NULL },
	{ "build-id", OPT_BUILD_ID, "ID", SCOPE_TYPES, "of add: the kernel's build id", NULL },
	{ "diff", OPT_DIFF, NULL, SCOPE_DIFF, "the same list by several ways, side by side", NULL },

	{ "containers", OPT_CONTAINERS, NULL, SCOPE_CONTAINERS,
	  "list its containers, from memory alone", NULL },

	{ "quiet", OPT_QUIET, NULL, SCOPE_DIFF | SCOPE_COMPARE,
	  "with --diff: only what is marked, and a line about all guests", NULL },

	{ "guest", 'g', "GUEST", SCOPE_PEEK, "this guest; again for more", NULL },
	{ "as", OPT_AS, "PROCESS", SCOPE_PEEK,
	  "addresses are those of this process or container", NULL },
	{ "depth", OPT_DEPTH, "N", SCOPE_PEEK, "follow pointers, N deep (0)", NULL },
	{ "elements", OPT_ELEMENTS, "N", SCOPE_PEEK, "show N elements of an array (16)", NULL },

	{ "as", OPT_AS, "PROCESS", MIRRORED,
	  "see what this process or container of the guest sees (default: 1)", NULL },
	{ "netns", OPT_NETNS, "PLACE", MIRRORED,
	  "but the network of this container, process or namespace", NULL },
	{ "pause", OPT_PAUSE, "HOW", MIRRORED,
	  "pause the guest by: auto (default), freeze, suspend, none", &pause_mode },
	{ "pause", OPT_PAUSE, "HOW", PAUSES,
	  "to ask its kernel: auto, freeze, suspend, none", &pause_mode },
	{ "pause", OPT_PAUSE, "HOW", TOP,
	  "to ask its kernel: auto, freeze, suspend, none", &pause_mode },
	{ "pause", OPT_PAUSE, "HOW", SCOPE_DUMP,
	  "how long the guest is held: short (default), none, whole", &dump_pause },
	{ "max-pause", OPT_MAX_PAUSE, "MS", MIRRORED,
	  "the longest pause[,all of a run] (default: 10,50)", NULL },
	{ "max-pause", OPT_MAX_PAUSE, "MS", PAUSES,
	  "the longest pause[,all of a run] (10,50)", NULL },
	{ "max-pause", OPT_MAX_PAUSE, "MS", SCOPE_DUMP,
	  "the longest pause[,all of a dump] (10,50 if short)", NULL },
	{ "max-pause", OPT_MAX_PAUSE, "MS", TOP,
	  "the longest pause[,all of a question] (10,50)", NULL },
	{ "host-files", OPT_HOST_FILES, "DIR[:ro]", SCOPE_EXEC,
	  "let the program use this folder of the host", NULL },
	{ "keep", OPT_KEEP, "SECONDS", MIRRORED,
	  "stay ready for so long after the run (default: 60)", NULL },
	{ "raw-names", OPT_RAW_NAMES, NULL, MIRRORED,
	  "let names of the guest pass as they are", NULL },
	{ "stats", OPT_STATS, NULL, MIRRORED, "print to stderr what the run cost the guest", NULL },
	{ "force", 'f', NULL, SCOPE_DUMP, "replace the file if there is one", NULL },
	{ "zstd", OPT_ZSTD, NULL, SCOPE_DUMP, "compress the file", NULL },
	{ "stats", OPT_STATS, NULL, SCOPE_DUMP, "print to stderr what it cost", NULL },
	{ "stats", OPT_STATS, NULL, READS, "print to stderr how it was read", NULL },
	{ "all-attachments", OPT_ATTACHMENTS, NULL, SCOPE_ATTACHED,
	  "a row for each attachment, also of many by one owner", NULL },
	{ "strict", OPT_STRICT, NULL, SCOPE_CHECK,
	  "fail where something could not be checked", NULL },
	{ "strict", OPT_STRICT, NULL, MIRRORED,
	  "fail where an answer may mix several points in time", NULL },

	{ "trusted", OPT_TRUSTED, "KERNEL", MIRRORED,
	  "run this kernel's code, not the guest's; =auto: the stored one", &trusted_kernel },
	{ "trusted", OPT_TRUSTED, "KERNEL", SCOPE_DIFF,
	  "trust this kernel's symbols and code; =auto: the stored one", &trusted_kernel },
	{ "allow-unverified", OPT_UNVERIFIED, NULL, MIRRORED | SCOPE_DIFF,
	  "with --trusted: also run code that is not verified", NULL },

	/* --json, --diff and --engine=imee make the applet read memory: then it has all of these. */
	{ "json", 'J', NULL, SCOPE_SWITCH, "print JSON, from memory alone", NULL },
	{ "diff", OPT_DIFF, NULL, SCOPE_COMPARE,
	  "compare what the kernel says with what is in memory", NULL },
	{ "output", 'o', "LIST", EITHER, "from memory: print these columns", NULL },
	{ "sort", OPT_SORT, "KEYS", EITHER,
	  "from memory: sort by these columns; -KEY: downwards", NULL },
	{ "no-headers", OPT_NO_HEADERS, NULL, EITHER,
	  "from memory: no names of the columns", NULL },
	{ "all", OPT_ALL, NULL, MIRRORED, "in the place of GUEST: all guests of this host", NULL },

	/* Beside other words a letter would look like one of the program's own: lone_letter(). */
	{ "help", 'h', NULL, SCOPE_VLENS, "print this help", NULL },
	{ "version", 'V', NULL, SCOPE_VLENS, "print the version and what is built in", NULL },
	{ "help", OPT_HELP, NULL, ALL, "print this help", NULL },
	{ "version", OPT_VERSION, NULL, ALL, "print the version and what is built in", NULL },
	{ 0 },
};
/* clang-format on */

unsigned options_scopes(const struct applet *a, bool raw)
{
	const struct view *v = &a->view;
	const unsigned containers = v->containers ? SCOPE_CONTAINERS : 0;

	if (raw)
		return v->scope | (v->scan && v->diff ? SCOPE_DIFF : 0) | containers;
	return a->scope | (a->run && v->run ? SCOPE_EITHER | SCOPE_SWITCH : 0) |
	       (v->diff ? SCOPE_COMPARE : 0) | containers;
}

const struct option_row *option_by_key(int key, unsigned scopes)
{
	const struct option_row *o = option_rows;

	while (o->name && !(o->key == key && (o->scopes & scopes)))
		o++;
	return o->name ? o : NULL;
}

const struct option_row *option_by_word(const char *word, size_t len, unsigned scopes)
{
	const struct option_row *o = option_rows;

	if (len < 2 || word[0] != '-')
		return NULL;
	if (word[1] != '-')
		return len == 2 ? option_by_key((unsigned char)word[1], scopes) : NULL;
	while (o->name && !((o->scopes & scopes) && strlen(o->name) == len - 2 &&
			    !memcmp(o->name, word + 2, len - 2)))
		o++;
	return o->name ? o : NULL;
}

const char *option_name(int key)
{
	return option_by_key(key, ~0U)->name;
}

void options_list(unsigned scopes)
{
	char head[32];

	puts("\nOptions:");
	for (const struct option_row *o = option_rows; o->name; o++) {
		if (!(o->scopes & scopes))
			continue;
		snprintf(head, sizeof(head), "--%s%s%s", o->name, o->arg ? "=" : "",
			 o->arg ? o->arg : "");
		printf(o->key < OPT_ENGINE ? "  -%c, " : "      ", o->key);
		printf("%-18s %s\n", head, o->text);
	}
}

int option_value(const char *(*name_of)(size_t i), const char *name)
{
	for (int i = 0; name_of((size_t)i); i++)
		if (!strcmp(name_of((size_t)i), name))
			return i;
	return -1;
}
