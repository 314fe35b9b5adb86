/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by applets that read raw memory: jobs over several guests. */
#ifndef VLENS_BIN_VIEWS_H
#define VLENS_BIN_VIEWS_H

#include <stdbool.h>

#include "request.h"
#include "vlens.h"

/* One guest, and the result. */
struct view_job {
	const char *spec;
	char *label; /* view_labels(): its one name on this host; NULL: `spec` */
	pid_t pid;   /* of its hypervisor, for view_labels(); 0: not known */
	struct vl_error *err;
	struct vl_reader_stats stats; /* engine NULL: none was opened */
	char *reason, *others;	      /* why this engine, why no other; malloc'ed */
	uint64_t paused_ns, attach_ns, look_ns;
	struct vl_trusted_stats trusted;
	uint64_t moved; /* vl_guest_moved() */
	bool is_short;	/* `lacks` says how */
	struct vl_shortfall lacks;
	bool live;
	uint64_t at_ns;		/* when the pass began, CLOCK_REALTIME; 0: none did */
	bool unreached;		/* a row says so, and not an error */
	struct vl_guest *guest; /* closed when all is printed; NULL: closed before */
	void *result;		/* of `fn` */
};

/*
 * Make a job for each of the @nr guests in @words, or with --all for each guest of this
 * host. *@ret is for view_jobs_free(). False: reported.
 */
bool view_jobs(const struct request *r, char *const *words, size_t nr, struct view_job **ret,
	       size_t *nr_ret);
/* Report that this host has no guest for --all. */
void view_report_none(const struct request *r);
void view_jobs_free(struct view_job *jobs, size_t nr);

/* Call @fn for each job, several at a time. */
void view_each(struct view_job *jobs, size_t nr, void (*fn)(void *ctx, struct view_job *job),
	       void *ctx);

/* Set the labels of the @nr @jobs; the name of a job. */
void view_labels(struct view_job *jobs, size_t nr);
const char *view_name(const struct view_job *job);

/* Store the statistics of @g in @job, for --stats; drop them again. */
void view_note(struct view_job *job, struct vl_guest *g);
void view_forget(struct view_job *job);

/* Give @g to @job. No question follows, so its worker ends while this process prints. */
void view_end(struct view_job *job, struct vl_guest *g);

/* Report errors, and statistics with --stats. Returns 3 if there was an error, else @status. */
int view_report(const struct request *r, struct view_job *jobs, size_t nr, int status);

#endif
