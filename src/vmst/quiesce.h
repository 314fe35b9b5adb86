/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finds a moment when the guest is quiesced, and the CPU that a clone stands in for. */
#ifndef VLENS_QUIESCE_H
#define VLENS_QUIESCE_H

#include "../attach/attach.h"
#include "../mem/snapshot.h"

#define VL_QUIESCE_CPUS 8192 /* the largest CONFIG_NR_CPUS of x86 */

/* Where a kernel keeps the state of its CPUs. */
struct vl_quiesce {
	struct vl_pgtable pt;
	/* __per_cpu_offset: an address for each CPU; 0: the variables of its one CPU are plain */
	uint64_t offsets;
	uint64_t preempt, current; /* per CPU: the preemption count, the task */
	uint64_t pid_at;	   /* of a task */
	uint32_t nr;		   /* number of CPUs; 0: the addresses are not known */
};

void vl_quiesce_find(const struct vl_attach *attach, struct vl_quiesce *ret);

/*
 * Pause the guest while it is quiesced: by its preemption counts no CPU holds a spinlock,
 * writes under a seqcount or serves an interrupt. After @tries, or half of the pauses' budget,
 * it is paused anyway. *@cpu_ret is the CPU that a clone should stand in for. @q is not
 * trusted: it can come from a worker.
 */
struct vl_error *vl_quiesce_pause(struct vl_target *t, const struct vl_quiesce *q, unsigned tries,
				  unsigned *cpu_ret);

/*
 * Was the guest quiesced in @v, a snapshot of one point in time? Fills the pages of @v that it
 * reads. *@cpu_ret: as above.
 */
bool vl_quiesce_is_good(struct vl_snapshot *v, const struct vl_quiesce *q, unsigned *cpu_ret);

/*
 * The CPU to stand in for while the guest runs: an idle one if there is one. The search begins
 * at @before, the CPU of the last time.
 */
unsigned vl_quiesce_cpu(const struct vl_attach *attach, unsigned before);

#endif
