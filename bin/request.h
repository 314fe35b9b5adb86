/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A command line, read once by the table of options. Where the guest's kernel answers,
 * options stand in front of GUEST: `APPLET [OURS] GUEST [THEIRS]`. Where memory is read
 * they stand anywhere. "--" ends the options. Names are not abbreviated.
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
	const char *word; /* the word that it stands in */
	const char *at;	  /* its name in `word`, without dashes */
	size_t len;	  /* of the name */
	char *value;	  /* NULL: none */
};

struct request {
	const struct applet_table *table;
	const struct applet *applet;
	bool raw; /* memory is read; else the guest's kernel is asked */
	struct given *given;
	size_t nr_given;
	char **words; /* other words, NULL-terminated; with !raw: GUEST and all behind it */
	size_t nr_words;
	size_t dashes; /* with raw: the words before "--"; SIZE_MAX: there is none */

	/* Set by request_take(), from the options. */
	int end;		     /* the first of --help, --version and --list; 0: none */
	struct vl_scan_options scan; /* the guest's place, its pauses, the engine */
	enum vl_executor executor;
	pid_t as;
	pid_t netns;	      /* in the network namespace of this process */
	const char *as_place; /* NULL: `as` has it; else place_find() does */
	const char *netns_place;
	bool all, json, stats, diff, containers, quiet;
	/*
	 * It is an error if an answer may be of several points in time, or if a part could not be
	 * checked.
	 */
	bool strict;
	bool attachments; /* a row for each of them */
	bool raw_names;
	unsigned int keep;   /* how long a keeper stays, in seconds; 0: none is used */
	const char *trusted; /* VL_TRUSTED_AUTO, or trusted_path; NULL: no trusted run */
	char trusted_path[PATH_MAX];
	bool unverified;
	char host_files[PATH_MAX]; /* as struct vl_redirect_options takes it; "": none */

	/* Set by request_guest(). */
	char *spec;  /* GUEST */
	char **args; /* the words behind it, NULL-terminated, as given */
	int nr_args;
};

/*
 * Called for each option: @key is that of its row, @arg its value or NULL. Options that it
 * does not know it hands to request_option(). False: a bad value, which has been reported.
 */
typedef bool take_fn(struct request *r, void *ctx, int key, char *arg);
take_fn request_option;

/* Read @argv of applet @a. False: out of memory, which has been reported. */
bool request_read(struct request *r, const struct applet_table *t, const struct applet *a, int argc,
		  char **argv);
void request_free(struct request *r);

/*
 * Check the options, and call @take for each. True: go on. False: help,
 * version or a usage error has been printed; exit with *@status_ret.
 */
bool request_take(struct request *r, take_fn *take, void *ctx, int *status_ret);

/* Set `spec` and `args`. False: the guest or a needed argument is missing; reported. */
bool request_guest(struct request *r);

/* The end of messages about --trusted, and its arguments. */
#define REQUEST_STORED "--%s=%s takes the stored kernel"
#define REQUEST_STORED_ARGS option_name(OPT_TRUSTED), VL_TRUSTED_AUTO

/* Report that no guest is named, and which option has taken the word that may be meant for one. */
void request_no_guest(const struct request *r);

/* Is a guest named beside OPT_ALL? If so, that has been reported. */
bool request_all_and_guest(const struct request *r);

/* Is it about the applet (--help, --version, -h or -V alone), and about no guest? */
bool request_is_about(const struct request *r);
/* Is the option with key @key given? */
bool request_has(const struct request *r, int key);

/* OPT_DIFF or OPT_CONTAINERS, the list that is asked for; 0: that of the applet. */
int request_list(const struct request *r);

/* The index of @arg in the values of option @key; -1: it is none of them; reported. */
int request_choice(const struct request *r, int key, const char *arg);

/* The options to open the guest with. */
struct vl_guest_options request_guest_options(const struct request *r);

/* Seconds that a keeper stays without --keep: $VLENS_KEEP if it is valid, or a default. */
unsigned int request_default_keep(void);

#endif
