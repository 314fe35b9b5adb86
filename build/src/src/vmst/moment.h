/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When to look, and through which CPU. */
#ifndef VLENS_MOMENT_H
#define VLENS_MOMENT_H

#include "contact.h"

/*
 * Pause the guest at a good moment: one when no CPU holds a spinlock, writes
 * under a sequence counter or serves an interrupt, as far as the preemption
 * counters tell. Where none comes within a few tries, it is paused anyway.
 * *@cpu_ret is the CPU that a clone should stand in for.
 */
struct vl_error *vl_moment_pause(const struct vl_contact *contact, unsigned *cpu_ret);

#endif
