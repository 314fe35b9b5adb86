/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A keeper: a process that stays for a while after a tool, with the guest open and attached and
 * the clone's code translated, and serves the next tools on that guest. A tool forks its program
 * itself, so that the terminal, the limits and the process group are the caller's own; the
 * keeper supervises it.
 *
 * The sockets of a user's keepers are in the run directory. A keeper serves one tool at a time; a
 * second tool uses the guest's next keeper. A keeper ends when it was idle for the given time, or
 * when the guest ends.
 *
 * Each of these functions is called by the only thread of its process, or by one that has the
 * signals of vl_redirect_run() for itself.
 */
#ifndef VLENS_KEEP_H
#define VLENS_KEEP_H

#include "../error.h"
#include "../redirect/redirect.h"
#include "../vlens.h"

struct vl_box;

struct vl_keep_options {
	const char *spec; /* the guest, as vl_guest_open() takes it */
	struct vl_guest_options guest;
	/* How long an idle keeper stays, in seconds; 0: use no keeper. */
	unsigned int seconds;
	/*
	 * Arguments, NULL-terminated, with which @program calls vl_keep_serve(). It is
	 * executed with a connection as descriptor VL_KEEP_FD, and with the slot (the keeper's
	 * number among those of the guest) as one more argument.
	 */
	char *const *command;
	const char *program; /* its path; NULL: this very program */
};

#define VL_KEEP_FD 3
/* Keepers of a guest at the same time; a further tool runs without one. */
#define VL_KEEP_SLOTS 4

/*
 * Run @o->argv over the guest @k, as vl_redirect_run() does, under a keeper; starts one if there
 * is none. *@used_ret is false if there can be no keeper (a dump, all are busy, an unusable run
 * directory): then nothing was done. *@stats_ret and *@redirect_ret are of this run.
 */
struct vl_error *vl_keep_run(const struct vl_keep_options *k, const struct vl_redirect_options *o,
			     int *status_ret, struct vl_stats *stats_ret,
			     struct vl_redirect_stats *redirect_ret, bool *used_ret);

/*
 * Borrow a worker for raw views of the guest @k, whose vl_guest_print() is @print, from its first
 * keeper: vl_box_borrow(). NULL: there is no keeper, or it has no worker now. Waits some 100 ms at
 * most.
 */
struct vl_box *vl_keep_borrow(const struct vl_keep_options *k, uint64_t print);

/*
 * Be keeper number @slot of the guest @k, and serve the connection VL_KEEP_FD first. Returns when
 * it was idle for the given time, or the guest is gone.
 */
struct vl_error *vl_keep_serve(const struct vl_keep_options *k, unsigned int slot);

#endif
