/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When to look, and through which CPU. */
#ifndef VLENS_MOMENT_H
#define VLENS_MOMENT_H

#include "contact.h"

/*
 * Pause the guest at a good moment: one when no CPU holds a spinlock, writes
 * under a sequence counter or serves an interrupt, as far as the preemption
 * counters tell. Where none comes within @tries, or the tries cost too much, it is paused anyway.
 * *@cpu_ret is the CPU that a clone should stand in for.
 */
struct vl_error *vl_moment_pause(const struct vl_contact *contact, unsigned tries,
				 unsigned *cpu_ret);

/*
 * The CPU to stand in for while the guest runs: one that is idle, if there is one;
 * @before, the one of the last time, if it will do.
 */
unsigned vl_moment_cpu(const struct vl_contact *contact, unsigned before);

#endif
