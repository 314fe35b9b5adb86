/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A watch, as the files that implement it see it: watch.c, watch-tasks.c, watch-lists.c … */
#ifndef VLENS_WATCHING_H
#define VLENS_WATCHING_H

#include "collect.h"
#include "known.h"
#include "watch.h"

/* A part of the work, done again and again within its share of the watch's. */
struct vl_watch_job {
	uint64_t next_ns; /* not before, by the host's CLOCK_MONOTONIC */
};

struct vl_watcher {
	struct vl_raw_guest *g;
	const struct vl_layout *l;
	struct vl_watch_options o;
	struct vl_watch_figures figures;
	struct vl_watch_event *events;
	size_t nr_events, cap_events;
	uint64_t first_event_ns; /* of those in `events`; CLOCK_MONOTONIC */
	bool fresh;		 /* what was there before is not known yet */

	/* Processes: watch-tasks.c. */
	struct vl_known known;
	struct vl_fields fields;
	uint64_t init;		       /* init_task */
	uint64_t forks_at, threads_at; /* total_forks, nr_threads; 0: not found */
	uint64_t forks, forks_first, prev;
	int32_t threads;
	uint64_t newest; /* the latest start that was seen */
	bool moved;	 /* a task was released since the last walk over all */
	struct vl_seen *records;
	uint8_t *status;
	size_t room;			 /* of both */
	struct vl_watch_job whole, soon; /* walks over all: at any time, and when one has moved */
};

/* ---- watch.c ---- */

/* Begin to watch @g, which must outlive it and have a reader: what is there now is no event. */
struct vl_error *vl_watcher_open(struct vl_raw_guest *g, const struct vl_watch_options *o,
				 struct vl_watcher **ret);
void vl_watcher_close(struct vl_watcher *w);

/*
 * Watch for a slice of time, or until there are events that should not wait. @ret borrows the
 * events, up to the next call; with an error it has those before it.
 */
struct vl_error *vl_watcher_round(struct vl_watcher *w, const struct vl_watch_options *o,
				  struct vl_watch_round *ret);

/*
 * A new event of @kind, zeroed but for the time; NULL: there is no room, which is counted, or
 * nobody wants to know.
 */
struct vl_watch_event *vl_watch_add(struct vl_watcher *w, enum vl_watch_kind kind);
/* Set the name, the text of @e: at most as much as fits. */
void vl_watch_name(struct vl_watch_event *e, const char *name, size_t len);
void vl_watch_text(struct vl_watch_event *e, const char *text, size_t len);

/* ---- watch-tasks.c ---- */

struct vl_error *vl_watch_tasks_open(struct vl_watcher *w);
void vl_watch_tasks_close(struct vl_watcher *w);
/* Look at the counters, and at the processes if these have moved. */
struct vl_error *vl_watch_tasks(struct vl_watcher *w, uint64_t now);

/*
 * May @job be done at @now? vl_watch_did() sets when it may be done again, @began being when it was
 * begun: @weight is its share of the watch's, in sixteenths, and it rests for @least_ns.
 */
static inline bool vl_watch_due(const struct vl_watch_job *job, uint64_t now)
{
	return now >= job->next_ns;
}
void vl_watch_did(const struct vl_watcher *w, struct vl_watch_job *job, uint64_t began,
		  unsigned weight, uint64_t least_ns);

#endif
