/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vCPUs' registers as the hypervisor process holds them in its own memory.
 *
 * QEMU keeps a vCPU's segments, descriptor tables and control registers in one run of
 * its CPUX86State (target/i386/cpu.h), whose order has not changed since 2008. They can
 * be read in microseconds, with no monitor and no pause. Their age depends on the accelerator:
 *
 *  - on TCG they are the current registers;
 *  - on KVM they are a copy, made when QEMU last needed them (a monitor's question, a
 *    migration). A reset of the machine writes the copy, so an unchanged copy means that there
 *    was no reset.
 */
#ifndef VLENS_HOST_HELD_H
#define VLENS_HOST_HELD_H

#include "target.h"

/* SegmentCache of QEMU. */
struct vl_held_segment {
	uint32_t selector, unused;
	uint64_t base;
	uint32_t limit, flags;
};

/* One vCPU, as it lies in the process. */
struct vl_held {
	struct vl_held_segment segs[6], ldt, tr, gdt, idt;
	uint64_t cr[5];
};

/*
 * The registers of all vCPUs as they are held now; *@ret is malloc'ed. *@same_ret: all are the
 * same as when their places were found. @anew: load the places again, as another tool may have
 * found them since. False: the places are not known, or cannot be read.
 */
bool vl_held_read(struct vl_target *t, bool anew, struct vl_held **ret, size_t *nr_ret,
		  bool *same_ret);

/*
 * The address in the process at which each of the @nr vCPUs @vcpus is held, in @at[]; 0 for one
 * whose paging is off. @vcpus are the registers as they are now. In a process with rights only.
 * False: not each vCPU was found exactly once.
 */
bool vl_held_places(struct vl_target *t, const struct vl_vcpu *vcpus, size_t nr, uint64_t *at);

/* Find the places, and keep them for this run of the guest. Best effort. */
void vl_held_start(struct vl_target *t);

#endif
