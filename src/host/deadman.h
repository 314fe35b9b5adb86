/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A dead man's switch: the host's kernel sends SIGCONT to the guest's process when ours
 * ends, whatever ends it, with no process of ours left to do so.
 *
 * It is a pipe. Both ends are owned by the guest's process (F_SETOWN), with the signal
 * SIGCONT (F_SETSIG, O_ASYNC). Only our process has them open. As it ends, the kernel closes one
 * end before the other, which one depends on the kernel, and signals the owner of the one that
 * is still there. It does so for a pipe that loses its last reader or its last writer.
 *
 * Nobody else may keep the ends open: they close on exec, and the guard and the worker close
 * what they need not. A program that was forked and not executed yet waits for us, and ends.
 *
 * Armed is who has an owner: for as long as we hold the guest, and no longer, as another may
 * have stopped it at any other time. The signal has been chosen before there is an owner, so
 * no other can be sent. (The kernel falls back to SIGIO where a real-time signal cannot be
 * queued. SIGCONT is none: it is sent without its details then.)
 *
 * It may be armed while the guard has let the guest go, as we hang. A guest that others pause
 * from then on is none of ours. So the guard mutes the switch before it lets others: it opens
 * both ends once more, by a descriptor which is no end of the pipe (O_PATH).
 *
 * The kernel lets root signal any process, and a user those of the same user. Who may stop the
 * guest's process by CAP_KILL alone has no switch, and has only the guard. Nor has a pause by the monitor
 * (--pause=suspend): a signal does not end that.
 */
#ifndef VLENS_HOST_DEADMAN_H
#define VLENS_HOST_DEADMAN_H

#include <stdbool.h>
#include <sys/types.h>

struct vl_deadman {
	int end[2]; /* -1: there is no switch, and all calls do nothing */
};

/*
 * Make a switch, not armed. Descriptors are above @above: those below are closed after it.
 * *@mute_ret is the guard's: the caller closes it, once that has inherited it. False: the
 * system has no descriptors or memory to spare; there is no switch then, and *@mute_ret is -1.
 */
bool vl_deadman_init(struct vl_deadman *d, int above, int *mute_ret);
/* Of one that is armed this is the end: the signal is sent. */
void vl_deadman_deinit(struct vl_deadman *d);

/* From now on until vl_deadman_disarm(), our end lets process @pid run on. */
void vl_deadman_arm(const struct vl_deadman *d, pid_t pid);
void vl_deadman_disarm(const struct vl_deadman *d);

/* In the guard: the switch does nothing until the descriptor returned is closed. -1: failed. */
int vl_deadman_mute(int mute);

#endif
