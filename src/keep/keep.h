/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keepers: a process that stays for a while behind a tool, with the guest open, its
 * kernel known and the clone's code translated, and serves the next tools on that
 * guest. A tool forks its program itself, so that the terminal, the limits and the
 * process group are the caller's own; the keeper supervises it.
 *
 * Keepers of a user live in the run directory. One serves one tool at a time: a
 * second tool takes the guest's next one. A keeper ends when it has had nothing
 * to do for the time it was given, or when the guest ends.
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
	/* How long the keeper stays when it has nothing to do, in seconds; 0: use none. */
	unsigned int seconds;
	/*
	 * Arguments, NULL-terminated, with which this very program calls
	 * vl_keep_serve(): it is run with a connection as descriptor VL_KEEP_FD, and
	 * with the keeper's number among those of the guest as one more argument.
	 */
	char *const *command;
};

#define VL_KEEP_FD 3
/* Tools that are served at the same time; the next one does without. */
#define VL_KEEP_SLOTS 4

/*
 * Run @o->argv over the guest @k, as vl_redirect_run() does, under its keeper;
 * starts one if there is none. *@used_ret is false when no keeper is to be had
 * (a dump, all busy, a run directory that cannot be used): nothing has been done
 * then. *@stats_ret and *@redirect_ret are the run's own.
 */
struct vl_error *vl_keep_run(const struct vl_keep_options *k, const struct vl_redirect_options *o,
			     int *status_ret, struct vl_stats *stats_ret,
			     struct vl_redirect_stats *redirect_ret, bool *used_ret);

/*
 * A worker for raw views of the guest @k, whose vl_guest_print() is @print, from its first keeper:
 * vl_box_borrow(). NULL: there is no keeper, or it has none now. Never waits for long.
 */
struct vl_box *vl_keep_borrow(const struct vl_keep_options *k, uint64_t print);

/*
 * Be keeper number @slot of the guest @k, for the connection VL_KEEP_FD first.
 * Returns when the time is over or the guest gone.
 */
struct vl_error *vl_keep_serve(const struct vl_keep_options *k, unsigned int slot);

#endif
