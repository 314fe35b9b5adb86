/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is the kernel that is known the one that runs? After a reset, in the firmware or in a
 * capture kernel (kdump), the memory of the kernel before is intact: nothing in it tells.
 * The registers do. They are looked at where they cost little:
 *
 *  1. in the hypervisor process (host/held.h): a page table in use that maps the
 *     kernel's entry to where it is says that it runs; so does a copy that is as it was,
 *     as long as the kernel's own memory does not say that it crashed or restarted;
 *  2. else by the kernel module or the monitor;
 *  3. a vCPU can run something else by rights (a guest of its own): where no vCPU runs
 *     the kernel, its count of ticks, seen moving, says that it lives.
 *
 * That an idle guest's clock stands still, or a paused one's, says nothing and is not used.
 */
#ifndef VLENS_PULSE_H
#define VLENS_PULSE_H

#include "attach.h"

/* What the vCPUs of a guest are at. */
enum vl_life {
	VL_LIFE_UNKNOWN,  /* nobody tells */
	VL_LIFE_FIRMWARE, /* in the firmware or a boot loader: paging is off */
	VL_LIFE_LOW,	  /* in UEFI firmware, its boot loader, or no Linux: only low addresses */
	VL_LIFE_KERNEL,	  /* in a kernel, which may just boot */
};

/*
 * Does the kernel of @c run? Takes microseconds, and asks the monitor only in doubt.
 * VL_ERR_TARGET: there is doubt, and who could tell does not answer. Of a dump it always
 * does. Not while the guest is held by us.
 */
struct vl_error *vl_pulse_look(struct vl_attach *c, bool *runs_ret);

/* After a first contact: find out where to look from now on. It may fail. */
void vl_pulse_start(struct vl_attach *c);

/*
 * Of a kernel that crashed or restarted: move the vCPUs that run another one to the front
 * of @vcpus and return how many they are. 0 for a kernel that did not: all are its own.
 */
size_t vl_pulse_successors(const struct vl_attach *c, struct vl_vcpu *vcpus, size_t nr);

/* Has the kernel of @c crashed, by its own memory? */
bool vl_pulse_crashed(const struct vl_attach *c);

/* Is it a capture kernel, which another one that crashed has started (kdump)? */
bool vl_pulse_captures(const struct vl_attach *c);

/* What a guest is at whose kernel is not known. Asks the module or the monitor. */
enum vl_life vl_pulse_life(struct vl_target *t);

#endif
