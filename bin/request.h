/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a command line asks for. It is read once, by the table of options: those of an
 * applet that asks the guest's kernel stand in front of GUEST, `APPLET [OURS] GUEST
 * [THEIRS]`; those of one that reads memory stand anywhere. "--" ends them, and no name
 * is abbreviated.
 */
#ifndef VLENS_BIN_REQUEST_H
#define VLENS_BIN_REQUEST_H

#include <limits.h>
#include <stdbool.h>

#include "vlens.h"

struct applet;
struct applet_table;

/* An option as it was given. */
struct given {
	const char *word; /* that it stands in */
	const char *at;	  /* its name in there, without dashes */
	size_t len;	  /* of the name */
	char *value;	  /* NULL: none */
};

struct request {
	const struct applet_table *table;
	const struct applet *applet;
	bool raw; /* memory is read; else the guest's kernel is asked */
	struct given *given;
	size_t nr_given;
	char **words; /* that are no options, NULL-terminated: with !raw GUEST, and all behind it */
	size_t nr_words;

	/* What the options say; see request_take(). */
	int end;		     /* 0, or the option that asks for help, version or list */
	struct vl_scan_options scan; /* where the guest is, how it is held, who reads its memory */
	enum vl_executor executor;
	pid_t as;
	bool all, json, stats, diff;
	bool strict; /* an answer that may be of several moments is an error */
	bool raw_names;
	unsigned int keep;	   /* how long a keeper stays, in seconds; 0: none is used */
	char host_files[PATH_MAX]; /* as struct vl_redirect_options takes it; "": none */

	/* Of request_guest(). */
	char *spec;  /* GUEST */
	char **args; /* what stands behind it, NULL-terminated, untouched */
	int nr_args;
};

/*
 * Called for each option (@key of its row, @arg its value or NULL). What it does not
 * know it hands to request_option(). False: it is wrong, and has been reported.
 */
typedef bool take_fn(struct request *r, void *ctx, int key, char *arg);
take_fn request_option;

/* Read @argv of applet @a. False: out of memory, which has been reported. */
bool request_read(struct request *r, const struct applet_table *t, const struct applet *a, int argc,
		  char **argv);
void request_free(struct request *r);

/*
 * Check the options, and call @take for each. True: go on. False: all is said (help,
 * version, or a usage error), exit with *@status_ret.
 */
bool request_take(struct request *r, take_fn *take, void *ctx, int *status_ret);

/* Find the guest, and what the applet needs behind it. False: it is not there, and reported. */
bool request_guest(struct request *r);

/* Is the option with key @key given? */
bool request_has(const struct request *r, int key);

/* The place of @arg among the values of the option with key @key; -1: none, and reported. */
int request_choice(const struct request *r, int key, const char *arg);

/* How the guest is opened. */
struct vl_guest_options request_guest_options(const struct request *r);

/* How long a keeper stays, in seconds, if nothing is said: $VLENS_KEEP, as --keep takes it. */
unsigned int request_default_keep(void);

#endif
