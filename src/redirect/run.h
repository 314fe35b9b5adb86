/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One run of a program: the state of its supervisor, and its filter. */
#ifndef VLENS_REDIRECT_RUN_H
#define VLENS_REDIRECT_RUN_H

#include <limits.h>
#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "redirect.h"
#include "rows.h"
#include "terminal.h"

struct vl_file;
struct vl_task;

/* The BPF program, made of the tables (rows.h). */

struct vl_redirect_filter {
	uint32_t nr;
	struct sock_filter *insns;
};

/* One run of a program: the state of its supervisor. */

/* The number of families of generic netlink that have texts (message.c). */
#define VL_GENL_FAMILIES 8

/* One transfer to or from the guest kernel. */
#define VL_CHUNK 65536
/* Records of open files: how many are allocated at a time, and how often at most. */
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
	bool start_known;	  /* start_dir was checked in the guest */
	/* Files that were approved for exec. A file that a race puts in their place is not. */
	struct vl_program_id {
		dev_t dev;
		ino_t ino;
	} approved[VL_MAX_APPROVED];
	size_t nr_approved; /* in all: a ring keeps the last ones */
	struct vl_open_folder {
		char *path; /* NULL: free */
		int fd;
	} places[VL_PLACES]; /* open folders with files of the host, a ring */
	size_t nr_places;
	char *folder; /* --host-files, or NULL */
	bool folder_ro;
	char **guest_paths; /* those of the options, normalised */
	size_t nr_guest_paths;
	/* Paths that were not readable, as they are on the guest's disk: a ring of the last. */
	struct vl_absent {
		uint64_t hash;
		int64_t ns; /* when it was found */
	} absent[VL_MAX_ABSENT];
	size_t nr_absent;
	uint64_t *on_disk; /* hashes of the paths that stats->lost.on_disk counts */
	size_t nr_on_disk;
	bool forced; /* the program has asked for one of guest_paths */
	const struct vl_redirect_filter *filter;
	struct vl_redirect_filter *own_filter; /* NULL: the options have one */
	pid_t group;			       /* the one that main began in: the tool's */
	pid_t foreground;		       /* the group it last gave the terminal to, or 0 */
	dev_t memory;			       /* the device of memfds */
	struct {
		uint64_t dev, ino;
	} given[3];	    /* standard input, output and error; 0: closed */
	bool given_appends; /* one of them is a file for reading, and for appending */
	/* HOME, PATH and PWD in the program's environment, or NULL. */
	const char *home, *path, *pwd;
	int listener;
	struct {
		pid_t tgid; /* 0: none */
		int fd;
	} pidfd; /* of the process that trapped last */
	struct vl_terminal terminal;
	int link;	 /* to the process that forked the program; -1: this one */
	bool left;	 /* the process at link is gone */
	pid_t main;	 /* the program's first process */
	pid_t starter;	 /* the process that forked it */
	bool killable;	 /* signals wait until a call is answered (Linux 5.19) */
	bool ended;	 /* main is gone, and its status is: */
	int wait_status; /* as waitpid gives it */
	bool tasks_changed;
	pid_t asking;	    /* the task whose call is being answered */
	uint64_t asked;	    /* the call's id as long as there is no answer; or 0 */
	bool interrupted;   /* a signal waits for the end of the call */
	int64_t checked_ns; /* when interrupted was last checked */
	int64_t waited_ns;  /* when the task was last seen to wait for the answer */
	const struct vl_policy *by_nr[VL_NR_MAX];
	struct vl_task *tasks;
	size_t nr_tasks, max_tasks;
	struct vl_file *files[VL_FILES_BLOCKS];
	size_t nr_files, used_files; /* places in them */
	size_t next_file;	     /* the place after the newest */
	unsigned int next_whole, next_stream;
	bool no_epoch;		      /* the last one could not be opened */
	struct vl_error *unvalidated; /* why answers may not be handed on, or NULL */
	pid_t uptime_tid;	      /* the task that last read a clock, if CLOCK_BOOTTIME; or 0 */
	uint64_t uptime_epoch;
	unsigned closings; /* how often the guest's descriptors were closed inside an epoch */
	struct {
		int64_t fd; /* a socket of the guest's, for questions about interfaces; -1: none */
		int domain;
		uint64_t epoch;	   /* it is of this epoch, */
		unsigned closings; /* and of no earlier one of these */
	} netif;
	int64_t sem_id;	  /* the semaphore set that the program last asked about, */
	uint64_t sem_len; /* and its number of semaphores: the program has room for them */
	bool know_self;
	struct vl_identity self;
	uint64_t heard_ns; /* when the program had its last answer */
	int64_t begun_ns;  /* of the open epoch */
	bool unheard;	   /* the program's first process has still to say that it waits */
	bool prepares;	   /* the next epoch is being opened in the background */
	char *chunk;	   /* VL_CHUNK bytes */
	/* Used without o->kept. */
	struct vl_redirect_locales locales;
};

#endif
