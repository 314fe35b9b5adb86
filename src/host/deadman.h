/* SPDX-License-Identifier: GPL-2.0-or-later */
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
#ifndef VLENS_HOST_DEADMAN_H
#define VLENS_HOST_DEADMAN_H

#include <stdbool.h>
#include <sys/types.h>

struct vl_deadman {
	int end[2]; /* -1: there is no switch, and calls do nothing */
};

/*
 * Make a switch, not armed. Its descriptors are above @above, so that the end of the process
 * closes @above after them. *@mute_ret is for the guard; the caller closes it after the fork.
 * False: no descriptors or no memory. There is no switch then, and *@mute_ret is -1.
 */
bool vl_deadman_init(struct vl_deadman *d, int above, int *mute_ret);
/* Remove the switch. One that is armed sends the signal. */
void vl_deadman_deinit(struct vl_deadman *d);

/* From now until vl_deadman_disarm(), the end of our process continues process @pid. */
void vl_deadman_arm(const struct vl_deadman *d, pid_t pid);
void vl_deadman_disarm(const struct vl_deadman *d);

/* In the guard: mute the switch until the returned descriptor is closed. -1: failed. */
int vl_deadman_mute(int mute);

#endif
