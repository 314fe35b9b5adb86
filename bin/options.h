/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The options that all applets share: `APPLET [OURS] GUEST [THEIRS]`. */
#ifndef VLENS_BIN_OPTIONS_H
#define VLENS_BIN_OPTIONS_H

#include <argp.h>
#include <limits.h>
#include <stdbool.h>

#include "vlens.h"

struct applet;

struct options {
	struct vl_guest_options guest;
	bool stats;
	bool strict; /* an answer that may be of several moments is an error */
	bool raw_names;
	unsigned int keep; /* how long a keeper stays, in seconds; 0: none is used */
	char *spec;	   /* GUEST */
	char **args;	   /* what stands behind it, NULL-terminated, untouched */
	int nr_args;
	char host_files[PATH_MAX]; /* as struct vl_redirect_options takes it; "": none */
};

/* What --engine can be where the guest's kernel answers, by enum vl_executor; then NULL. */
extern const char *const vmst_engines[];

/* The options of applet @a; before GUEST, if it has a model. Ends with a zeroed row. */
const struct argp_option *options_of(const struct applet *a);

/*
 * Parse @argv of applet @a. True: go on with *@ret. False: all is said (help,
 * version, or a usage error), exit with *@status_ret.
 */
bool options_parse(const struct applet *a, int argc, char **argv, struct options *ret,
		   int *status_ret);

/* How long a keeper stays, in seconds, if nothing is said: $VLENS_KEEP, as --keep takes it. */
unsigned int options_default_keep(void);

/*
 * Check the options at the front of @argv against @table, as argp would take
 * them but by their full names only. False: the first that does not fit is
 * described in *@why_ret (malloc'ed, NULL without memory), and *@foreign_ret
 * is the argument when it is no option of ours at all, else NULL.
 */
bool options_check(const struct argp_option *table, int argc, char **argv, char **why_ret,
		   const char **foreign_ret);

/*
 * Parse @arg of --max-pause: "MS" or "MS,MS". False: it is wrong, and has been
 * reported in the name of @applet.
 */
bool max_pause_parse(const char *applet, const char *arg, struct vl_pause_budget *ret);

/* Print to stdout the usage line and the purpose; the options; both. */
void options_head(const char *name, const char *args, const char *summary);
void options_list(const struct argp_option *table);
void options_help(const struct argp_option *table, const char *name, const char *args,
		  const char *summary);

#endif
