/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vCPUs' registers as the hypervisor process holds them in its own memory.
 *
 * QEMU keeps a vCPU's segments, descriptor tables and control registers in one run of
 * its CPUX86State (target/i386/cpu.h), whose order has not changed since 2008. They can
 * be read with no monitor and no pause, in microseconds. How fresh they are depends:
 *
 *  - on TCG they are the registers, at every moment;
 *  - on KVM they are a copy of when QEMU last had a reason to look (a monitor's
 *    question, a migration). A reset of the machine writes them, so that a copy that is
 *    as it was says that there was none.
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
 * The registers of all vCPUs, as they are held now; *@ret is malloc'ed. *@same_ret: all are as
 * they were when their place was found. @anew: another tool may have found it since the
 * last time. False: the place is not known, or it cannot be read.
 */
bool vl_held_look(struct vl_target *t, bool anew, struct vl_held **ret, size_t *nr_ret,
		  bool *same_ret);

/* Find the place, and keep it for this run of the guest. It may fail. */
void vl_held_start(struct vl_target *t);

/*
 * Find where the process holds the registers of @vcpus, @nr of them, which are known: @at[i]
 * is an address in the process, or 0 for a vCPU whose paging is off. Reads all of the
 * process's own memory, the guest's RAM apart: tens of milliseconds. False: it is no QEMU, or
 * not each was found exactly once.
 */
bool vl_held_find(struct vl_target *t, const struct vl_vcpu *vcpus, size_t nr, uint64_t *at);

/* Read what is at @at of the process. */
bool vl_held_read(struct vl_target *t, uint64_t at, struct vl_held *ret);

#endif
