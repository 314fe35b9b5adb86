/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One run of a program: what its supervisor knows. */
#ifndef VLENS_REDIRECT_RUN_H
#define VLENS_REDIRECT_RUN_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "redirect.h"
#include "rows.h"
#include "terminal.h"

struct vl_file;
struct vl_task;

/* message.c: as many families of generic netlink have texts. */
#define VL_GENL_FAMILIES 8

/* One transfer to or from the guest kernel. */
#define VL_CHUNK 65536
/* Records of open files: memory for so many at a time, and so often at the most. */
#define VL_FILES_BLOCK 1024
#define VL_FILES_BLOCKS 16

#define VL_MAX_APPROVED 64
#define VL_MAX_ABSENT 64
#define VL_PLACES 4

struct vl_redirect {
	struct vl_sys *sys;
	uint16_t genl_ids[VL_GENL_FAMILIES]; /* as the guest's kernel numbers them; 0: not known */
	const struct vl_redirect_options *o;
	struct vl_redirect_stats *stats;
	char *exe;  /* the program's file, as it is executed */
	char **own; /* absolute paths that are the program's own, with all below */
	size_t nr_own;
	char start_dir[PATH_MAX]; /* where the program begins, in the guest */
	bool start_known;	  /* it was asked about */
	/* Programs of the host that may be executed by now: what a race runs is none of them. */
	struct vl_program_id {
		dev_t dev;
		ino_t ino;
	} approved[VL_MAX_APPROVED];
	size_t nr_approved; /* the last ones, in a ring */
	struct vl_place {
		char *path; /* NULL: free */
		int fd;
	} places[VL_PLACES]; /* with files of the host, likewise */
	size_t nr_places;
	char *folder; /* --host-files, or NULL */
	bool folder_ro;
	char **guest_paths; /* those of the options, normalised */
	size_t nr_guest_paths;
	/* Paths that could not be read just now, as they are on the guest's disk: a ring. */
	struct vl_absent {
		uint64_t hash;
		int64_t ns; /* when that was found */
	} absent[VL_MAX_ABSENT];
	size_t nr_absent;
	uint64_t *on_disk; /* hashes of paths that were counted as such */
	size_t nr_on_disk;
	bool forced; /* the program has come to them */
	const struct vl_redirect_filter *filter;
	struct vl_redirect_filter *own_filter; /* NULL: the options have one */
	pid_t group;			       /* that it began in, the tool's */
	pid_t foreground;		       /* that it last gave the terminal to, or 0 */
	dev_t memory;			       /* of memory files */
	struct {
		uint64_t dev, ino;
	} given[3];	    /* standard input, output and error; 0: closed */
	bool given_appends; /* one of them is a file for reading, and for appending */
	/* In the program's environment, or NULL; what is for PATH. */
	const char *home, *path, *pwd;
	int listener;
	struct vl_terminal terminal;
	int link;	 /* to the process that forked the program, or -1: we did */
	bool left;	 /* that one is gone */
	pid_t main;	 /* the program's first process */
	pid_t starter;	 /* who forked it */
	bool killable;	 /* signals wait for the answer of a call (Linux 5.19) */
	bool ended;	 /* it is gone, and its status is: */
	int wait_status; /* as waitpid gives it */
	bool tasks_changed;
	pid_t asking;	   /* the task whose call is being answered */
	uint64_t asked;	   /* the call's id as long as there is no answer; or 0 */
	bool interrupted;  /* a signal waits for its end */
	int64_t looked_ns; /* when that was looked at */
	const struct vl_policy *by_nr[VL_NR_MAX];
	struct vl_task *tasks;
	size_t nr_tasks, max_tasks;
	struct vl_file *files[VL_FILES_BLOCKS];
	size_t nr_files, used_files; /* places in them */
	size_t next_file;	     /* the place after the newest */
	unsigned int next_snapshot, next_stream;
	bool no_epoch;		    /* the last one could not be opened */
	struct vl_error *unsettled; /* why what was asked is not to be handed on */
	pid_t uptime_tid;	    /* whose last question for a clock was CLOCK_BOOTTIME, or 0 */
	uint64_t uptime_epoch;
	unsigned closings; /* so often all of the guest's descriptors were closed in an epoch */
	int64_t sem_id;	   /* the semaphore set that the program was last told of, */
	uint64_t sem_len;  /* and how many it has: what it makes room for */
	bool know_self;
	struct vl_identity self;
	int64_t begun_ns; /* of the open epoch */
	bool prepares;	  /* the next epoch is being opened, and nobody has waited for it yet */
	char *chunk;	  /* VL_CHUNK bytes */
};

#endif
