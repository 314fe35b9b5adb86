/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The registers by which a vCPU enters its kernel: the tables of interrupts and segments, and the
 * MSRs of system calls.
 *
 * No monitor prints the MSRs. QEMU has them in its own memory, in the vCPU's CPUX86State
 * (target/i386/cpu.h). The offsets there differ between releases and builds. But each QEMU can
 * migrate its guest, so it has a table with the name, the offset and the size of each register
 * (vmstate_x86_cpu, target/i386/machine.c). The guest can change neither.
 */
#ifndef VLENS_HOST_ENTRY_H
#define VLENS_HOST_ENTRY_H

#include "target.h"

struct vl_entry {
	struct vl_vcpu regs;
	bool has_msrs; /* the members below are known */
	uint64_t star, lstar, cstar, fmask;
	uint64_t sysenter_cs, sysenter_eip;
};

/*
 * The entries of all vCPUs, in the order of their numbers; *@ret is malloc'ed. As
 * vl_target_vcpus(), but the monitor is asked even if imee.ko has the guest: on KVM
 * QEMU then fetches the MSRs. A vCPU without paging, a dump, and a hypervisor that is no QEMU
 * have no MSRs.
 */
struct vl_error *vl_entry_read(struct vl_target *t, struct vl_entry **ret, size_t *nr_ret);

#endif
