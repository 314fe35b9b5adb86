/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events of a running guest, found from outside: its memory is read again and again, at a rate
 * that keeps within a share of a CPU, and each difference that matters is an event. Its kernel is
 * not asked and the guest is not paused.
 */
#ifndef VLENS_WATCH_H
#define VLENS_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scan.h"

enum vl_watch_kind {
	VL_WATCH_START,	   /* a process is new */
	VL_WATCH_EXEC,	   /* it executes another program */
	VL_WATCH_END,	   /* it has ended */
	VL_WATCH_ROOT,	   /* its real or effective user id has become 0 */
	VL_WATCH_LOADED,   /* a module of the kernel is loaded */
	VL_WATCH_UNLOADED, /* it is unloaded */
	VL_WATCH_LISTEN,   /* a socket listens */
	VL_WATCH_CLOSED,   /* it no longer does */
	VL_WATCH_TEXT,	   /* bytes of the kernel's text have changed */
	VL_NR_WATCH_KINDS,
};

/* Groups of kinds, as bits. */
enum {
	VL_WATCH_PROCESSES = 1 << 0,
	VL_WATCH_MODULES = 1 << 1,
	VL_WATCH_LISTENERS = 1 << 2,
	VL_WATCH_UIDS = 1 << 3,
	VL_WATCH_TEXTS = 1 << 4,
};
#define VL_WATCH_ALL 0x1f

#define VL_WATCH_WORDS 512 /* bytes of a text of an event */

/* Can an event have process id @pid? 0: it has none. */
static inline bool vl_watch_is_pid(int32_t pid)
{
	/* PID_MAX_LIMIT (include/linux/threads.h). */
	return pid >= 0 && pid <= 4 << 20;
}

struct vl_watch_event {
	uint32_t kind;	/* enum vl_watch_kind */
	uint32_t flags; /* enum vl_watch_flag */
	uint64_t at_ns; /* when it was seen, by the host's CLOCK_REALTIME */
	/* Of a process; pid 0: it is about no process. The ids are those after the event. */
	int32_t pid, ppid;
	uint32_t uid, euid;
	uint64_t start_ns; /* by the guest's boot-time clock */
	uint32_t status;   /* VL_WATCH_END: as wait(2) has it */
	/*
	 * The guest's bytes: name of the process or module, address of the listener, symbol. And
	 * command line; or more about it.
	 */
	uint32_t name_len, text_len;
	char name[VL_WATCH_WORDS / 4];
	char text[VL_WATCH_WORDS];
};

enum vl_watch_flag {
	VL_WATCH_KERNEL = 1 << 0, /* a thread of the kernel */
	VL_WATCH_STATUS = 1 << 1, /* the status is known */
	VL_WATCH_CUT = 1 << 2,	  /* the command line is longer */
	VL_WATCH_IDS = 1 << 3,	  /* uid and euid are known */
};

/* The costs of a watch since it began, and the events that it may have missed. */
struct vl_watch_figures {
	uint64_t began_ns, now_ns; /* the host's CLOCK_MONOTONIC */
	uint64_t cpu_ns;	   /* CPU time of the process that reads */
	uint64_t looks;		   /* at the counters of the kernel */
	uint64_t walks;		   /* over all processes */
	uint64_t processes;	   /* starts that were seen */
	uint64_t threads;	   /* the same of threads that are no processes */
	uint64_t made;		   /* tasks that the kernel has made, threads included */
	uint64_t counts;	   /* 0: its counter cannot be read, `made` is not known */
	uint64_t dropped;	   /* events that there was no room for */
};

struct vl_watch_options {
	unsigned groups;   /* VL_WATCH_PROCESSES … */
	uint32_t share;	   /* of one CPU, in tenths of a percent; 1000: never sleep */
	uint64_t slice_ns; /* answer after this time, with events or without */
	uint64_t
		others_ns; /* CPU time that the caller has used since the last call, which counts */
};

struct vl_watch_round {
	struct vl_watch_event *events; /* malloc'ed */
	size_t nr, cap;
	struct vl_watch_figures figures;
};

#endif
