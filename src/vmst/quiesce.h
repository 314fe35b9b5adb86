/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When to look, and through which CPU. */
#ifndef VLENS_QUIESCE_H
#define VLENS_QUIESCE_H

#include "../attach/attach.h"
#include "../mem/snapshot.h"

#define VL_QUIESCE_CPUS 8192 /* CONFIG_NR_CPUS of x86 is no more */

/* Where a kernel keeps what its CPUs are at. */
struct vl_quiesce {
	struct vl_pgtable pt;
	uint64_t offsets;	   /* __per_cpu_offset: an address for each CPU */
	uint64_t preempt, current; /* per CPU: the preemption count, the task */
	uint64_t pid_at;	   /* of a task */
	uint32_t nr;		   /* CPUs; 0: it is not known where */
};

void vl_quiesce_find(const struct vl_attach *attach, struct vl_quiesce *ret);

/*
 * Pause the guest at a good moment: one when no CPU holds a spinlock, writes
 * under a sequence counter or serves an interrupt, as far as the preemption
 * counters tell. Where none comes within @tries, or the tries cost too much, it is paused anyway.
 * *@cpu_ret is the CPU that a clone should stand in for. @q may be made up.
 */
struct vl_error *vl_quiesce_pause(struct vl_target *t, const struct vl_quiesce *q, unsigned tries,
				  unsigned *cpu_ret);

/*
 * Is @v, a snapshot of one moment, of a good one? Pages of @v that it takes to know are filled.
 * *@cpu_ret: as above.
 */
bool vl_quiesce_is_good(struct vl_snapshot *v, const struct vl_quiesce *q, unsigned *cpu_ret);

/*
 * The CPU to stand in for while the guest runs: one that is idle, if there is one;
 * @before, the one of the last time, if it will do.
 */
unsigned vl_quiesce_cpu(const struct vl_attach *attach, unsigned before);

#endif
