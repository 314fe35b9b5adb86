/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is known of one run of a guest: where its kernel is, and what kernel.
 * It does not change after boot, so it is found once, kept in a file that is
 * named after the run, and read back by every later command.
 */
#ifndef VLENS_ATTACH_H
#define VLENS_ATTACH_H

#include "../kernel/kernel.h"
#include "../kernel/image.h"
#include "../host/target.h"

struct vl_attach {
	struct vl_target *target;	    /* not owned */
	char build_id[VL_BUILD_ID_MAX + 1]; /* that the guest claims: to be shown */
	char key[VL_KEY_MAX + 1];	    /* its kernel's in the cache */
	uint64_t cr0, cr4, efer;
	uint64_t base;		 /* what places its symbols: struct vl_kallsyms */
	uint64_t entry;		 /* virtual address of entry_SYSCALL_64 */
	struct vl_pgtable pt;	 /* the kernel's own page table (swapper_pg_dir) */
	unsigned char probe[32]; /* the entry's bytes: tell that it is still there */
	/*
	 * Bounds of the guest's monotonic clock less the host's, in ns (time.c),
	 * and when the guest was paused, in the host's CLOCK_MONOTONIC; 0: now.
	 */
	int64_t anchor_lo, anchor_hi, paused_host_ns;
	bool has_anchor, anchor_changed; /* since it was stored */
	/* Where this guest's timekeeping reads the TSC; 0: no more. */
	uint64_t tsc_sites[VL_MAX_TSC_SITES];
	struct vl_kernel *kernel;
	bool looked; /* at whether it runs: pulse.h */
	bool known;  /* it is from the run's file */
	bool first;  /* nothing was known of this kernel */
};

/*
 * Within VL_CONTACT_NS, get in contact: from the run's file, if the kernel there is the one that runs; else, or
 * with @anew, by looking at the vCPUs and the kernel's image. That pauses nothing. What it
 * says of a guest that runs no kernel is what the guest is at instead.
 */
#define VL_CONTACT_NS 5000000000L
struct vl_error *vl_attach_make(struct vl_target *t, bool anew, struct vl_attach **ret);

/* The error where that time has passed. */
struct vl_error *vl_attach_late(void) __attribute__((returns_nonnull));

/*
 * Is the kernel still where it was? A guest that rebooted has the same hypervisor
 * process, but its kernel is somewhere else, or is another one.
 */
bool vl_attach_holds(const struct vl_attach *c);

void vl_attach_destroy(struct vl_attach *c);

/* Write the run's file again (the anchor changed). Failing to is no error. */
void vl_attach_save(const struct vl_attach *c);

#endif
