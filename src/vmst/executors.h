/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The executors that a clone can run on, and which one it gets. */
#ifndef VLENS_VMST_EXECUTORS_H
#define VLENS_VMST_EXECUTORS_H

#include "../vcpu/vcpu.h"

extern const struct vl_executor_ops vl_executor_unicorn, vl_executor_kvm;

/* --- vcpu-unicorn.c, or nounicorn.c in a build without it --- */

/* Load the emulator while files can still be opened. The error says that there is none. */
struct vl_error *vl_emulator_load(void);
bool vl_emulator_is_built(void);

/* --- vcpu.c --- */

/* May an executor of the kind @which need a shared snapshot, on @host (NULL: look)? */
bool vl_vcpu_wants_shared(enum vl_executor which, const struct vl_machine_host *host);

/*
 * Make an executor of the kind @which. @why is the reason that it is not KVM ("" when it is, or
 * when KVM is not wanted). VL_EXECUTOR_KVM also tries a KVM that VL_EXECUTOR_ANY skips.
 */
struct vl_error *vl_vcpu_create(enum vl_executor which, const struct vl_vcpu_state *st,
				struct vl_snapshot *snapshot, const struct vl_vcpu_region *own,
				const struct vl_executor_ops **ops_ret,
				struct vl_executor_state **ret, char why[VL_EXECUTOR_WHY]);

/*
 * The name of the executor that VL_EXECUTOR_ANY would be for the cr4 and caps of @st; none is
 * made. @why is the reason that it is not KVM ("" when it is). To make it can still fail.
 */
const char *vl_vcpu_outlook(const struct vl_vcpu_state *st, char why[VL_EXECUTOR_WHY]);

/* --- vcpu-features.c --- */

struct kvm_cpuid2;

/*
 * Can a vCPU with the features @have (all that KVM offers here) run the guest's kernel? If so
 * NULL, and *@cr4_ret and *@xcr0_ret are the values of CR4 and XCR0 (0: not used). Else the
 * name of a missing feature.
 */
const char *vl_vcpu_missing(const struct vl_vcpu_state *st, struct kvm_cpuid2 *have,
			    uint64_t *cr4_ret, uint64_t *xcr0_ret);

/* The error for the missing feature @missing. */
struct vl_error *vl_vcpu_lacks(const char *missing);

#endif
