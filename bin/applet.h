/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an applet is, and what one has in its hands while it runs. */
#ifndef VLENS_BIN_APPLET_H
#define VLENS_BIN_APPLET_H

#include <stdbool.h>
#include <stdio.h>

#include "options.h"
#include "vlens.h"

/* The guest cannot be reached or understood; any other status is the model's. */
#define STATUS_GUEST 3
/* Something of the guest is on its disk; the model said 0. */
#define STATUS_MISSING 1
#define STATUS_NOT_EXECUTABLE 126
#define STATUS_NOT_FOUND 127

struct session;

/* One row of the table in vlens.c: help, manual check and links come from it. */
struct applet {
	const char *name; /* "vps"; `vlens ps` finds it too */
	/* Does the work on an open guest; returns the exit status. NULL: views.h does. */
	int (*run)(struct session *s);
	const char *args;    /* of the usage line: "GUEST COMMAND [ARG...]" */
	const char *summary; /* one line of purpose */
	const char *program; /* the model, a program of the host; or NULL */
	const char *package; /* Debian's package that has the model; or NULL */
	int usage_status;    /* what the model exits with on a bad option */
	const char *needs;   /* what at least one argument behind GUEST is; or NULL */
};

/* A run of an applet on one guest. */
struct session {
	const struct applet *applet;
	struct options options;
	struct vl_guest *guest; /* NULL until session_open() */
	bool kept;		/* a keeper did it */
	bool failed;		/* there is no answer, and why was said */
	/* For --stats. */
	struct vl_stats stats;
	struct vl_redirect_stats redirect;
};

/* Open the guest, if it is not open. False: reported, the status is STATUS_GUEST. */
bool session_open(struct session *s);

/* The command that starts a keeper (keep.c); it lives as long as the session. */
struct keep_command {
	char *argv[12];
	char seconds[24], as[24], engine[32];
};

void keep_command(const struct session *s, struct keep_command *ret);

/* `vlens keep …`, what that command calls. */
int keep_run(int argc, char **argv);

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

/*
 * The path of the applet's model on this host, malloc'ed; NULL when it is not
 * installed. Never vlens itself, should somebody have linked it as "ps".
 */
char *model_find(const struct applet *a);

/* `vlens doctor [GUEST...]`; its options, for the completion. */
int doctor_run(const struct applet *applets, size_t nr, int argc, char **argv);
extern const struct argp_option doctor_options[];

/* `vlens complete WHAT [ARG...]`, for the completion scripts only. */
int complete_run(const struct applet *applets, size_t nr, int argc, char **argv);

#endif
