/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guard: a small process beside ours that resumes the guest when we are
 * gone (exit, SIGKILL, SIGSEGV) or hold it past the deadline of the pause.
 *
 * It shares one page of memory with us. All decisions go by compare-and-swap
 * on its state, so that exactly one side resumes the guest:
 *
 *   IDLE -> HELD        we are about to pause
 *   HELD -> RELEASING   we are about to resume
 *   RELEASING -> IDLE   we have resumed
 *   HELD -> FORCED      the guard is resuming: the deadline has passed
 *   FORCED -> IDLE      we have noticed
 *
 * The lock on the guest (pause.c) is one open file description in both
 * processes, so that after our death it is held until the guard has resumed.
 *
 * The guard has its own session, ignores every signal it can, and has neither
 * our name nor our command line, so it survives what kills us by terminal,
 * process group or name. Stopped by a signal it goes on by itself, before the guest is
 * held for long: a timer of the host's kernel continues it. It does not survive SIGKILL to itself, or to a whole
 * control group at once: then the host's kernel resumes the guest (deadman.h).
 */
#ifndef VLENS_HOST_GUARD_H
#define VLENS_HOST_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "internal.h"

/*
 * Start a guard for @t. It keeps t->lock_fd, t->pidfd and what t->ops->guard_fd
 * says; what it does to resume depends on t->pause_mode.
 */
struct vl_error *vl_guard_start(struct vl_target *t, struct vl_guard **ret);

/* The guard ends by itself; a guest still held is resumed. NULL is allowed. */
void vl_guard_stop(struct vl_guard *g);

/* Has somebody killed the guard? */
bool vl_guard_is_dead(const struct vl_guard *g);

/*
 * Wait until the guard is through with the pause that it has ended, @ms at the most: before the
 * lock is taken for the next one.
 */
void vl_guard_make_ready(const struct vl_guard *g, unsigned ms);

/*
 * IDLE -> HELD until @deadline, on vl_now_ns()'s clock, of process @pid: before pausing, and with
 * the lock.
 */
void vl_guard_arm(const struct vl_guard *g, pid_t pid, uint64_t deadline);

/*
 * The guest has been told to stop, and is not told again. The guard leaves one that it has
 * resumed after this alone: whoever stops it from then on is somebody else.
 */
void vl_guard_note_stop(const struct vl_guard *g);

/* Is the pause still ours? */
bool vl_guard_holds(const struct vl_guard *g);

/* HELD -> RELEASING. False: the guard has resumed already (FORCED). */
bool vl_guard_begin_release(const struct vl_guard *g);

/* Back to IDLE: after resuming, or after having noticed FORCED. */
void vl_guard_end_release(const struct vl_guard *g);

/* When the guard resumed by force, on vl_now_ns()'s clock. */
uint64_t vl_guard_forced_at(const struct vl_guard *g);

/*
 * Let process t->pid run on, or stop it: by the pidfd, so that it never hits a
 * process that has taken over the number. Returns 0 or -errno.
 */
int vl_guard_signal(const struct vl_target *t, int sig);

#endif
