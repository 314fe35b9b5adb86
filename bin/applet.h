/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Applets: the rows of their table, and the state of a run. */
#ifndef VLENS_BIN_APPLET_H
#define VLENS_BIN_APPLET_H

#include <stdbool.h>
#include <stdio.h>

#include "options.h"
#include "request.h"
#include "vlens.h"

/* The guest cannot be reached or understood; any other status is the model's. */
#define STATUS_GUEST 3
/* The model ended with 0, but a file that it wanted is on the guest's disk. */
#define STATUS_MISSING 1
#define STATUS_NOT_FOUND 127

struct session;

/* The raw side of an applet: a report that is read from memory. */
struct view {
	int (*run)(struct request *r);	  /* returns the exit status; NULL: there is none */
	unsigned scope;			  /* enum scope: of its options, without --diff */
	const struct vl_scan *scan;	  /* what `run` prints; NULL: no single view */
	const struct vl_diff *diff;	  /* --diff; or NULL */
	const struct vl_scan *containers; /* --containers; or NULL */
	const struct vl_column *columns;  /* without a scan: those of -o; or NULL */
};

/* A row of the table in applets.c. Help, links and the check of the manual come from it. */
struct applet {
	const char *name; /* "vps"; `vlens ps` finds it too */
	/* Asks the guest's kernel; returns the exit status. NULL: the applet only has a view. */
	int (*run)(struct session *s);
	const char *args;    /* of the usage line: "GUEST COMMAND [ARG...]" */
	const char *summary; /* one line of purpose */
	const char *program; /* the model, a program of the host; or NULL */
	const char *package; /* Debian's package that has the model; or NULL */
	int usage_status;    /* what the model exits with on a bad option */
	const char *needs;   /* the argument that must follow GUEST; or NULL */
	/* What the first word can be, NULL-terminated; or NULL: it is a guest. */
	const char *const *verbs;
	unsigned scope;	  /* enum scope: of the options in front of GUEST */
	struct view view; /* with a model: for --engine=imee, --json and --diff */
};

struct applet_table;

/* A command that is not an applet: `vlens NAME …`. It has an applet's row, or a function. */
struct command {
	const char *name;
	const struct applet *applet;
	int (*run)(const struct applet_table *t, int argc, char **argv);
	const char *summary; /* NULL, and no applet: an internal command, which is not listed */
};

/* All applets and commands. Functions get it as an argument; only main() names it. */
struct applet_table {
	const struct applet *applets;
	size_t nr_applets;
	const struct command *commands; /* ends with a row without a name */
};

extern const struct applet_table applet_table;

/* The applet called @name: "vps", or also "ps" with @bare. NULL: there is none. */
const struct applet *applet_find(const struct applet_table *t, const char *name, bool bare);
/* The command called @name. NULL: there is none. */
const struct command *command_find(const struct applet_table *t, const char *name);
/* Is the command for users? */
bool command_is_listed(const struct command *c);
/* Print all applets and listed commands, as a part of --help. */
void applets_help(const struct applet_table *t);

/* A run of an applet on one guest. */
struct session {
	const struct applet *applet;
	const struct request *request;
	struct vl_guest_options options;
	struct vl_guest *guest; /* NULL until session_open() */
	bool kept;		/* a keeper ran the program */
	bool failed;		/* no answer; the error has been reported */
	/* For --stats. */
	struct vl_stats stats;
	struct vl_redirect_stats redirect;
};

/* Open the guest, if it is not open. False: reported; exit with STATUS_GUEST. */
bool session_open(struct session *s);

/* The command that starts a keeper (keep-command.c); it lives as long as the session. */
struct keep_command {
	char *argv[14];
	char text[PATH_MAX + 256]; /* of options; only that of OPT_TRUSTED is long */
};

void keep_command(const struct session *s, struct keep_command *ret);

int model_run(struct session *s);
int exec_run(struct session *s);
int cat_run(struct session *s);
int ls_run(struct session *s);

/*
 * Run the host's program at @path as @arg0 with arguments @args (NULL-terminated,
 * without the program) on the guest of @s. @guest_paths: see struct
 * vl_redirect_options. Reports an error; returns the exit status.
 */
int session_redirect(struct session *s, const char *path, const char *arg0, char *const *args,
		     const char *const *guest_paths);

/* The path of the program @name of this host, as model_find(). */
char *program_find(const char *name);

/*
 * The path of the applet's model on this host, malloc'ed; NULL when it is not
 * installed. Never vlens itself, even where it is linked as "ps".
 */
char *model_find(const struct applet *a);

/*
 * The columns of @v; with @key OPT_DIFF or OPT_CONTAINERS those of that option, if it has it.
 * NULL: it prints no table.
 */
const struct vl_column *view_columns(const struct view *v, int key);

/* Run a view; returns the exit status. */
int view_run(struct request *r);
int list_run(struct request *r);
int peek_run(struct request *r);
int top_run(struct request *r);
int watch_run(struct request *r);
int doctor_run(struct request *r);
int trust_run(struct request *r);
extern const char *const trust_verbs[];
int dump_run(struct request *r);
int types_run(struct request *r);
int export_run(struct request *r);
int fleet_run(struct request *r);
extern const char *const types_verbs[];
extern const struct vl_column types_columns[];

/* Run by another vlens, over ssh (remote/remote.h). */
int far_run(const struct applet_table *t, int argc, char **argv);
/* Commands: `vlens help [NAME]`, `vlens keep` (see keep_command()), `vlens complete`. */
int help_run(const struct applet_table *t, int argc, char **argv);
int keep_run(const struct applet_table *t, int argc, char **argv);
int complete_run(const struct applet_table *t, int argc, char **argv);

/* Run the applet or command that @argv names; returns the exit status, stdout closed. */
int dispatch(const struct applet_table *t, int argc, char **argv);

#endif
