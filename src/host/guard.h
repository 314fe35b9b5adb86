/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The end of a pause, whatever happens to the tool: the guard, and a dead man's switch. */
#ifndef VLENS_HOST_GUARD_H
#define VLENS_HOST_GUARD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "internal.h"

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
 * The lock on the guest (pause.c) is one open file description in both processes. After our
 * death it is held until the guard has resumed the guest.
 *
 * The guard has a session of its own, ignores every signal it can, and has neither our name nor
 * our command line. So it survives signals to our terminal, our process group or our name. When
 * it is stopped by a signal, a timer of the host's kernel continues it before the guest is held
 * for long. It does not survive SIGKILL to itself, or to a whole control group: then the host's
 * kernel resumes the guest (struct vl_deadman).
 */

/*
 * Start a guard for @t. It keeps t->lock_fd, t->pidfd and the descriptor of t->ops->guard_fd.
 * It resumes the guest by t->pause_mode: a signal or the monitor.
 */
struct vl_error *vl_guard_start(struct vl_target *t, struct vl_guard **ret);

/* The guard ends by itself; a guest still held is resumed. NULL is allowed. */
void vl_guard_stop(struct vl_guard *g);

/* Has the guard been killed? */
bool vl_guard_is_dead(const struct vl_guard *g);

/*
 * Wait, @ms milliseconds at most, until the guard has finished a pause that it ended by force.
 * Call this before the lock is taken for the next pause.
 */
void vl_guard_make_ready(const struct vl_guard *g, unsigned ms);

/*
 * IDLE -> HELD until @deadline, on vl_now_ns()'s clock. @pid is the guest's process. Call this
 * with the lock, before the pause.
 */
void vl_guard_arm(const struct vl_guard *g, pid_t pid, uint64_t deadline);

/*
 * The signal that stops the guest has been sent; there is only one in a pause. A guest that the
 * guard has resumed after this can only be stopped by somebody else, and the guard leaves it alone.
 */
void vl_guard_note_stop(const struct vl_guard *g);

/* Is the pause still ours (HELD)? */
bool vl_guard_holds(const struct vl_guard *g);

/* HELD -> RELEASING. False: the guard has resumed already (FORCED). */
bool vl_guard_begin_release(const struct vl_guard *g);

/* Back to IDLE: after resuming, or after FORCED was noticed. */
void vl_guard_end_release(const struct vl_guard *g);

/* When the guard resumed by force, on vl_now_ns()'s clock. */
uint64_t vl_guard_forced_at(const struct vl_guard *g);

/*
 * Send @sig to process t->pid, by its pidfd where there is one: a process that has taken over the
 * number is never hit. Returns 0 or -errno.
 */
int vl_guard_signal(const struct vl_target *t, int sig);

/*
 * A dead man's switch: the host's kernel sends SIGCONT to the guest's process when ours
 * ends, for any reason, and needs no process of ours for it.
 *
 * It is a pipe. Both ends are owned by the guest's process (F_SETOWN), with the signal
 * SIGCONT (F_SETSIG, O_ASYNC). Only our process has them open. When our process ends, the kernel
 * closes both ends, one after the other, in an order of its own. A pipe that loses its last
 * reader or its last writer signals the owner of the end that is left.
 *
 * No other process may keep the ends open: they close on exec, and the guard and the worker
 * close all descriptors that they do not need. A forked program that has not called exec yet
 * waits for us, and ends when we do.
 *
 * The switch is armed while its ends have an owner: for as long as we hold the guest, and no
 * longer, as at any other time somebody else may have stopped it. The signal is chosen before
 * there is an owner, so no other signal can be sent. (The kernel falls back to SIGIO where a
 * real-time signal cannot be queued. SIGCONT is not one: it is then sent without details.)
 *
 * While we hang, the switch can still be armed after the guard has resumed the guest. Another
 * tool may pause the guest from then on. So the guard mutes the switch before it unlocks the
 * guest: it opens both ends once more, by a descriptor that is no end of the pipe (O_PATH).
 *
 * The kernel lets root signal any process, and a user those of the same user. With CAP_KILL alone
 * we can stop the guest's process, but the switch cannot signal it: there the guard is alone. A
 * pause by the monitor (--pause=suspend) has no switch, as a signal does not end it.
 */

struct vl_deadman {
	int end[2]; /* -1: there is no switch, and calls do nothing */
};

/*
 * Make a switch, not armed. Its descriptors are above @above, so that the end of the process
 * closes @above after them. *@mute_ret is for the guard; the caller closes it after the fork.
 * Without descriptors or memory there is no switch, and *@mute_ret is -1.
 */
void vl_deadman_init(struct vl_deadman *d, int above, int *mute_ret);
/* Remove the switch. One that is armed sends the signal. */
void vl_deadman_deinit(struct vl_deadman *d);

/* From now until vl_deadman_disarm(), the end of our process continues process @pid. */
void vl_deadman_arm(const struct vl_deadman *d, pid_t pid);
void vl_deadman_disarm(const struct vl_deadman *d);

/* In the guard: mute the switch until the returned descriptor is closed. -1: failed. */
int vl_deadman_mute(int mute);

#endif
