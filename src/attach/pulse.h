/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does the known kernel still run? After a reset, in the firmware or in a capture kernel
 * (kdump), the memory of the kernel before is intact and shows nothing. The registers decide.
 * They are read where that costs least:
 *
 *  1. in the hypervisor process (host/held.h): the kernel runs if a page table in use maps its
 *     entry to the known place, or if the registers have not changed since the last pass and
 *     the kernel's own memory does not say that it crashed or restarted;
 *  2. else from imee.ko or the monitor;
 *  3. a vCPU may legitimately run something else (a nested guest): if no vCPU runs the kernel,
 *     it lives if its tick counter advances.
 *
 * Where no registers can be had (vl_target_has_vcpus()), the kernel runs unless its own memory says
 * that it crashed or restarted. A reset that it does not know of is not seen.
 *
 * A clock that stands still proves nothing: the guest may be idle or paused.
 */
#ifndef VLENS_PULSE_H
#define VLENS_PULSE_H

#include "attach.h"

/* What the vCPUs of a guest run. */
enum vl_life {
	VL_LIFE_UNKNOWN,  /* the registers cannot be read */
	VL_LIFE_FIRMWARE, /* in the firmware or a boot loader: paging is off */
	VL_LIFE_LOW,	  /* low addresses only: UEFI firmware, its boot loader, or no Linux */
	VL_LIFE_KERNEL,	  /* in a kernel, which may still boot */
};

/*
 * Is the kernel still at the same place? After a reboot the hypervisor process is the same,
 * but the kernel lies elsewhere, or is another one.
 */
bool vl_pulse_holds(const struct vl_attach *c);

/*
 * Does the kernel of @c run, at the place that is known (vl_pulse_holds())? Takes microseconds,
 * and asks the monitor only in doubt. VL_ERR_TARGET: in doubt, and the monitor does not answer.
 * The kernel of a dump always runs. Must not be called while we hold the guest.
 */
struct vl_error *vl_pulse_check(struct vl_attach *c, bool *runs_ret);

/* After a first attach: find where to look from now on. A failure is ignored. */
void vl_pulse_start(struct vl_attach *c);

/*
 * If the kernel of @c crashed or restarted: move the vCPUs that run another kernel to the
 * front of @vcpus and return their number. 0 if it did neither: all vCPUs are its own.
 */
size_t vl_pulse_successors(const struct vl_attach *c, struct vl_vcpu *vcpus, size_t nr);

/*
 * Does the kernel of @c count ticks while we watch, for some 20 ms? One that is idle may not.
 */
bool vl_pulse_ticks(const struct vl_attach *c);

/* Does the memory of @c's kernel say that it has crashed? */
bool vl_pulse_crashed(const struct vl_attach *c);

/* Is it a capture kernel (kdump), started by a kernel that crashed? */
bool vl_pulse_captures(const struct vl_attach *c);

/* The state of a guest whose kernel is not known. Asks imee.ko or the monitor. */
enum vl_life vl_pulse_life(struct vl_target *t);
/* The same for @nr vCPUs. */
enum vl_life vl_pulse_life_of(const struct vl_vcpu *vcpus, size_t nr);

#endif
