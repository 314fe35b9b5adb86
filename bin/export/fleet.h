/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guests that are exported. Each has a thread (guest.c), which opens it, reads it when it is
 * due, and opens it again when it comes back. So a guest that does not answer holds up no other.
 */
#ifndef VLENS_BIN_EXPORT_FLEET_H
#define VLENS_BIN_EXPORT_FLEET_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../request.h"
#include "export/choose.h"
#include "export/format.h"
#include "vlens.h"

struct export_guest {
	char *spec;
	const struct vl_scan_options *scan; /* of the command line */
	size_t top;			    /* processes by each measure */
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows, up to the thread's own */
	pthread_cond_t wake, done;
	bool quit, leaves, due, answered;
	char name[256];	      /* as its hypervisor calls it; "": not known yet */
	struct vl_table rows; /* of the last pass */
	struct vl_error *err; /* why there is none; NULL: there is */
	/* The thread's own. */
	struct vl_guest *guest; /* NULL: not open */
	struct vl_chooser chooser;
	char state[16];
	uint64_t moved, retry_at, retry_ns, paused_before;
	bool anew;
	struct vl_error *why; /* the last try failed; NULL: it did not */
	/* The fleet's own. */
	bool started, listed;
	char *reported; /* the reason that was reported last; NULL: it was read */
};

/* Start the thread of @g, whose `spec`, `scan` and `top` are set. False: it has none. */
bool export_guest_start(struct export_guest *g);
/*
 * End the thread and free @g. A thread that hangs keeps it. @leaves: this process ends, too, and
 * need not wait for the guest's worker.
 */
void export_guest_stop(struct export_guest *g, bool leaves);
/* Let the thread read the guest, unless it still does. */
void export_guest_ask(struct export_guest *g);
/*
 * Wait until @deadline_ns (CLOCK_MONOTONIC) for the answer, and put it into @ret, which is empty:
 * all of it, or that the guest is not up. *@err_ret: the reason.
 */
void export_guest_take(struct export_guest *g, uint64_t deadline_ns, struct vl_table *ret,
		       struct vl_error **err_ret);

struct export_fleet {
	const struct request *request;
	size_t top;
	struct export_guest **guests;
	size_t nr;
	uint64_t listed_at; /* 0: not yet */
};

/* Find the guests: those that are named, or all of this host. False: reported. */
bool fleet_find(struct export_fleet *f);
void fleet_end(struct export_fleet *f);

/*
 * Read all guests, for @ns at most, and append their metrics to @out. Reports why a guest cannot be
 * read, once for each reason. Returns how many could not be read.
 */
size_t fleet_scrape(struct export_fleet *f, uint64_t ns, enum vl_export_format format,
		    struct vl_growing *out);

#endif
