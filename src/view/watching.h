/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A watch, as the files that implement it see it: watch.c, watch-tasks.c, watch-lists.c … */
#ifndef VLENS_WATCHING_H
#define VLENS_WATCHING_H

#include "collect.h"
#include "known.h"
#include "watch.h"

#define VL_WATCH_WHOLE 1000 /* all of a CPU, in the unit of vl_watch_options.share */

/* A part of the work, done again and again within its share of the watch's. */
struct vl_watch_job {
	uint64_t next_ns; /* not before, by the host's CLOCK_MONOTONIC */
};

/* An entry of a list that is read as a whole. */
struct vl_watch_item {
	uint64_t at;	 /* of its struct; with `what` its identity */
	uint64_t what;	 /* of a listener: port and family */
	unsigned seen;	 /* walks, one behind the other */
	unsigned missed; /* likewise */
	bool told, here;
	bool fresh; /* to be reported after the search for its owner */
	uint32_t state;
	struct vl_watch_event event; /* the event about it */
};

/* Such a list: modules, listeners (watch-lists.c). */
struct vl_watch_items {
	struct vl_watch_item *items; /* the first ones are sorted */
	size_t nr, nr_sorted;
	/* A walk that goes on in the next pass: addresses, and how many of them were read. */
	uint64_t *found;
	size_t nr_found, done;
	bool known;   /* one walk was complete: its items were there before */
	bool pending; /* an item is new or missing, and a second walk has to confirm it */
	struct vl_watch_job job;
};

/* Sites of the kernel's text, by address (watch-text.c). */
struct vl_watch_sites {
	uint64_t *at;
	size_t nr;
	bool read;
};

#define VL_WATCH_PAGES 64 /* pages that are changing at the same time */

struct vl_watch_text {
	uint64_t start;
	unsigned char *copy; /* `nr` pages; each is valid if it is known */
	bool *known;
	size_t nr, next;
	bool tried;
	struct vl_watch_page {
		size_t number;
		uint64_t first_ns; /* its change was seen */
		uint64_t since_ns; /* it has these bytes since then at least */
		unsigned char bytes[4096];
	} pages[VL_WATCH_PAGES];
	size_t nr_pages;
	struct vl_watch_sites labels, calls;
	struct vl_watch_job job;
};

struct vl_watcher {
	struct vl_raw_guest *g;
	const struct vl_layout *l;
	struct vl_watch_options o;
	struct vl_watch_figures figures;
	struct vl_watch_event *events;
	size_t nr_events, cap_events;
	uint64_t first_event_ns; /* of those in `events`; CLOCK_MONOTONIC */
	uint64_t paid_ns;	 /* when the CPU time of all passes so far is within the share */

	/* Processes: watch-tasks.c. */
	struct vl_known known;
	struct vl_fields fields;
	uint64_t init;		       /* init_task */
	uint64_t forks_at, threads_at; /* total_forks, nr_threads; 0: not found */
	uint64_t forks, forks_first, prev;
	int32_t threads;
	uint64_t newest;	/* the latest start that was seen */
	uint64_t newest_first;	/* the same when the watch began */
	uint64_t newest_thread; /* the same of threads */
	uint64_t unseen;	/* tasks that were made and are neither, as far as was looked */
	bool moved;		/* a task was released since the last walk over all */
	struct vl_seen *records;
	uint8_t *status;
	size_t room; /* of both */
	/* Walks over all: at any time; when one has moved; of ids. */
	struct vl_watch_job whole, soon, ids;

	struct vl_watch_items modules, listeners;
	struct vl_watch_text text;
};

/* ---- watch.c ---- */

/* Begin to watch @g, which must outlive it and have a reader: what is there now is not an event. */
struct vl_error *vl_watcher_open(struct vl_raw_guest *g, const struct vl_watch_options *o,
				 struct vl_watcher **ret);
void vl_watcher_close(struct vl_watcher *w);

/*
 * Watch for a slice of time, or until there are events that should not wait. @ret borrows the
 * events, up to the next call; with an error it has those before it.
 */
struct vl_error *vl_watcher_round(struct vl_watcher *w, const struct vl_watch_options *o,
				  struct vl_watch_round *ret);

/* ---- watch-events.c ---- */

/*
 * A new event of @kind, zeroed but for the time; NULL: there is no room, which is counted, or
 * the options leave @kind out.
 */
struct vl_watch_event *vl_watch_add(struct vl_watcher *w, enum vl_watch_kind kind);
/* Set the process ids of @e, as the guest has them: one that no process can have is 0. */
void vl_watch_pids(struct vl_watch_event *e, int32_t pid, int32_t ppid);
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

/* ---- watch-threads.c ---- */

/* Note the present threads as known. Count the new ones, if tasks are missing. */
void vl_watch_threads_open(struct vl_watcher *w);
void vl_watch_threads(struct vl_watcher *w, uint64_t now);

/* ---- watch-items.c ---- */

/* A walk begins that sees @nr entries: make room for as many new ones. False: no memory. */
bool vl_items_begin(struct vl_watch_items *l, size_t nr);
/* The walk sees an entry, each once: what is known of it, or a new item. */
struct vl_watch_item *vl_items_see(struct vl_watch_items *l, uint64_t at, uint64_t what);
/*
 * The walk is complete. @gone is called for an entry that two walks have missed, which is forgotten
 * then.
 */
void vl_items_end(struct vl_watch_items *l, void (*gone)(void *ctx, struct vl_watch_item *i),
		  void *ctx);
/*
 * Sort @nr records of @size bytes by the address that each begins with, and drop all but one with
 * the same. Returns how many are left.
 */
size_t vl_items_sort(void *records, size_t nr, size_t size);

/* ---- watch-lists.c, watch-text.c ---- */

/* Look at the modules and listeners, and at the text, as far as they are due at @now. */
void vl_watch_lists(struct vl_watcher *w, uint64_t now);
void vl_watch_lists_close(struct vl_watcher *w);
void vl_watch_texts(struct vl_watcher *w, uint64_t now);
void vl_watch_texts_close(struct vl_watcher *w);

/*
 * The bytes to report for page @p, which had @was and now has @buf (NULL: it cannot be read). NULL:
 * the page has neither come to rest nor changed for a second.
 */
const unsigned char *vl_text_at_rest(const struct vl_watch_page *p, const unsigned char *was,
				     const unsigned char *buf, uint64_t now);
/* Of the pages that are changing, of which there is one at least, the one that does so longest. */
struct vl_watch_page *vl_text_oldest(struct vl_watch_text *t);

#endif
