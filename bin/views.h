/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What applets share that read raw memory: several guests, and what came of each. */
#ifndef VLENS_BIN_VIEWS_H
#define VLENS_BIN_VIEWS_H

#include <stdbool.h>

#include "request.h"
#include "vlens.h"

/* What came of one guest. */
struct view_job {
	const char *spec;
	struct vl_error *err;
	struct vl_reader_stats stats; /* engine NULL: none was opened */
	char *reason, *others;	      /* of the engine, of those not taken; malloc'ed */
	uint64_t paused_ns, attach_ns, look_ns;
	bool live;
	struct vl_guest *guest; /* to be closed when all is printed; NULL: it is closed */
	void *result;		/* of `fn` */
};

/*
 * The guests that @words (@nr) name, or all of this host. *@ret is malloc'ed, for
 * view_jobs_free(). False: reported.
 */
bool view_jobs(const struct request *r, char *const *words, size_t nr, struct view_job **ret,
	       size_t *nr_ret);
void view_jobs_free(struct view_job *jobs, size_t nr);

/* Call @fn for each job, several at a time. */
void view_each(struct view_job *jobs, size_t nr, void (*fn)(void *ctx, struct view_job *job),
	       void *ctx);

/* Keep in @job what @g has to say for --stats; forget it again. */
void view_note(struct view_job *job, struct vl_guest *g);
void view_forget(struct view_job *job);

/* Nothing more is asked of @g, which becomes @job's: its worker ends while we print. */
void view_end(struct view_job *job, struct vl_guest *g);

/* Report what failed, and with --stats the rest. Returns 3 if something did, else @status. */
int view_report(const struct request *r, struct view_job *jobs, size_t nr, int status);

#endif
