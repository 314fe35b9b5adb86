/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The options of all applets and commands, in one table. It serves the reading of the
 * command line (request.h), --help, completion and the check of the manual.
 */
#ifndef VLENS_BIN_OPTIONS_H
#define VLENS_BIN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

struct applet;

/* Which command lines have an option, as bits. */
enum scope {
	SCOPE_MIRRORED = 1 << 0, /* in front of GUEST, where the guest's kernel answers */
	SCOPE_EXEC = 1 << 1,	 /* the same, of the applet that runs any program */
	SCOPE_EITHER = 1 << 2,	 /* the same, of applets that can read memory instead */
	SCOPE_COMPARE = 1 << 3,	 /* the same, of applets that can compare both */
	SCOPE_SWITCH = 1 << 17,	 /* as SCOPE_EITHER; the option alone makes them read memory */
	SCOPE_RAW = 1 << 4,	 /* of a table that is read from memory */
	SCOPE_DIFF = 1 << 5,	 /* of such a table that has a --diff */
	SCOPE_PEEK = 1 << 6,
	SCOPE_TOP = 1 << 7,
	SCOPE_DOCTOR = 1 << 8,
	SCOPE_VLENS = 1 << 9,
	SCOPE_TRUST = 1 << 10, /* of a table that is read from memory, and never pauses */
	SCOPE_TYPES = 1 << 12, /* of types that are stored on this host */
	SCOPE_DUMP = 1 << 13,  /* of what writes a guest's memory into a file */
	SCOPE_EXPORT = 1 << 14,
	SCOPE_WATCH = 1 << 15,
	SCOPE_CONTAINERS = 1 << 16, /* of applets that can list containers */
	SCOPE_ATTACHED = 1 << 18,   /* of a report that also says what is attached */
	SCOPE_FLEET = 1 << 19,	    /* of a tool on many hosts */
	SCOPE_CHECK = 1 << 11,	    /* of a report that says what it could not check */
	/* Those of options that alone make an applet read memory. */
	SCOPE_SWITCHES = SCOPE_SWITCH | SCOPE_COMPARE | SCOPE_CONTAINERS,
};

/* Keys of options that have no letter: above every character. */
enum {
	OPT_ENGINE = 0x100,
	OPT_AS,
	OPT_NETNS,
	OPT_KERNEL,
	OPT_SNAPSHOT,
	OPT_PARTIAL,
	OPT_PAUSE,
	OPT_MAX_PAUSE,
	OPT_KEEP,
	OPT_RAW_NAMES,
	OPT_STATS,
	OPT_STRICT,
	OPT_ATTACHMENTS,
	OPT_TRUSTED,
	OPT_UNVERIFIED,
	OPT_DIFF,
	OPT_CONTAINERS,
	OPT_QUIET,
	OPT_HOST_FILES,
	OPT_SORT,
	OPT_NO_HEADERS,
	OPT_ALL,
	OPT_DEPTH,
	OPT_ELEMENTS,
	OPT_TREE,
	OPT_GROUP,
	OPT_COLOR,
	OPT_LIST,
	OPT_BUILD_ID,
	OPT_ZSTD,
	OPT_ONCE,
	OPT_LISTEN,
	OPT_TEXTFILE,
	OPT_WEB_CONFIG,
	OPT_TOP,
	OPT_CPU,
	OPT_DURATION,
	OPT_EVENTS,
	OPT_HOST_GROUP,
	OPT_PARALLEL,
	OPT_TIMEOUT,
	OPT_HELP,
	OPT_VERSION,
};

/* The values that an option can have. */
struct choice {
	const char *what;	       /* one value, as errors call it: "way to pause" */
	const char *(*name)(size_t i); /* of value @i; NULL: there are no more */
	const char *alone; /* the value where another option follows; NULL: that is the value */
	size_t reads;	   /* the values from this one on make the applet read memory; 0: none */
};

struct option_row {
	const char *name;
	int key;	 /* its letter, or one of the above */
	const char *arg; /* its value, as --help calls it; NULL: it takes none */
	unsigned scopes;
	const char *text;	     /* of --help */
	const struct choice *choice; /* NULL: any value */
};

/* In the order of --help. Ends with a row that has no name. */
extern const struct option_row option_rows[];

/*
 * Value @i of --engine: executors in the order of enum vl_executor, imee, then the single
 * engines of raw reads (imee/engine.h). NULL: there are no more.
 */
const char *engine_name(size_t i);
#define ENGINE_IMEE 4

/* The scopes of @a's options: for raw reads (@raw), or in front of GUEST. */
unsigned options_scopes(const struct applet *a, bool raw);

/* The first row in @scopes with key @key, or for @word ("--pause", "-c"). NULL: none. */
const struct option_row *option_by_key(int key, unsigned scopes);
const struct option_row *option_by_word(const char *word, size_t len, unsigned scopes);

/* The name, without dashes, of the first row with key @key, which must exist. */
const char *option_name(int key);

/* The number of the value @name among those that @name_of gives; -1: there is none. */
int option_value(const char *(*name_of)(size_t i), const char *name);

/* Print "Options:" of --help. */
void options_list(unsigned scopes);

#endif
