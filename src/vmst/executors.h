/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The executors that a clone can run on, and which one it gets. */
#ifndef VLENS_VMST_EXECUTORS_H
#define VLENS_VMST_EXECUTORS_H

#include "../vcpu/vcpu.h"

extern const struct vl_executor_ops vl_executor_unicorn, vl_executor_kvm;

/* --- vcpu-unicorn.c, or nounicorn.c in a build without it --- */

/* Load the emulator, ahead of the time when no file can be opened. The error: there is none. */
struct vl_error *vl_emulator_load(void);
bool vl_emulator_is_built(void);

/* --- vcpu.c --- */

/* May an executor of the kind @which need a shared snapshot, on @host (NULL: look)? */
bool vl_vcpu_wants_shared(enum vl_executor which, const struct vl_machine_host *host);

/*
 * Make an executor of the kind that @which says; @why is why it is not KVM ("" when it
 * is, or is not wanted). Forced to KVM, whatever is behind /dev/kvm is tried.
 */
struct vl_error *vl_vcpu_create(enum vl_executor which, const struct vl_vcpu_state *st,
				struct vl_snapshot *snapshot, const struct vl_vcpu_region *own,
				const struct vl_executor_ops **ops_ret,
				struct vl_executor_state **ret, char why[VL_EXECUTOR_WHY]);

/*
 * Which executor would be made of a state with these cr4 and caps, with none made: "vmst/kvm" or
 * "vmst/unicorn", and why it is not KVM ("" when it is). What only making one tells may still
 * be in its way.
 */
const char *vl_vcpu_outlook(const struct vl_vcpu_state *st, char why[VL_EXECUTOR_WHY]);

/* --- vcpu-features.c --- */

struct kvm_cpuid2;

/*
 * Can a vCPU with the features @have (all that KVM can give here) run the guest's
 * kernel? NULL: yes, and *@cr4_ret is what is to be in CR4, *@xcr0_ret in XCR0 (0:
 * that is not used); else the name of what is missing.
 */
const char *vl_vcpu_missing(const struct vl_vcpu_state *st, struct kvm_cpuid2 *have,
			    uint64_t *cr4_ret, uint64_t *xcr0_ret);

/* That as an error. */
struct vl_error *vl_vcpu_lacks(const char *missing);

#endif
