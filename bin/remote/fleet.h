/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The hosts of `vlens fleet`, and what runs on them. */
#ifndef VLENS_BIN_FLEET_H
#define VLENS_BIN_FLEET_H

#include "hosts.h"
#include "rows.h"

#define SAID_MAX 4096

struct job {
	size_t host;
	pid_t pid;	/* 0: not started, or ended */
	bool has_ended; /* its process */
	bool is_over;	/* its last row is printed */
	int to, out, err;
	bool is_local;
	uint64_t since, until; /* until 0: no limit */
	bool is_late;
	bool asked; /* to end: the next time it is made to */
	int status; /* of waitpid() */
	struct rows rows;
	char *said; /* the beginning of a line of its errors */
	size_t len;
};

struct fleet {
	struct hosts hosts;
	char **tool; /* the words of the tool, NULL-terminated */
	bool is_json;
	struct job *jobs;
	size_t nr, next, running, most;
	size_t first; /* all before it are over */
	struct outlet out, err;
	uint64_t held_since; /* they are full since then; 0: not */
	uint64_t limit_ns;
	int signals, stopped; /* by this signal; 0: not */
	uint64_t give_up;     /* when ssh is ended after a signal */
	bool marked, failed;
};

extern const char fleet_name[];

/* Run f->tool on all hosts of f->jobs. Returns the exit status. */
int fleet_run_all(struct fleet *f);

#endif
