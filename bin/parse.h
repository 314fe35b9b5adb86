/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Command lines of applets with no model behind: options may stand anywhere. */
#ifndef VLENS_BIN_PARSE_H
#define VLENS_BIN_PARSE_H

#include <argp.h>
#include <stdbool.h>

struct applet;

/*
 * Called for each option (@key of its row, @arg its value or NULL) and each
 * argument that is none (ARGP_KEY_ARG). False: it is wrong, and has been reported.
 */
typedef bool parse_fn(void *ctx, int key, char *arg);

/*
 * Go through @argv by @table, which ends with a zeroed row. Names are not
 * abbreviated; "--" ends the options. False: something is wrong, and reported.
 */
bool parse_arguments(const struct applet *a, const struct argp_option *table, int argc, char **argv,
		     parse_fn *fn, void *ctx);

#endif
