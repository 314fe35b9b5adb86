/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An attach: what is known of one run of a guest, that is, which kernel it runs and where
 * that lies. This does not change after boot: the first attach finds it and keeps it in a
 * file named after the run, and every later command reads that file.
 */
#ifndef VLENS_ATTACH_H
#define VLENS_ATTACH_H

#include "../host/target.h"
#include "../kernel/image.h"
#include "../kernel/kernel.h"

struct vl_trusted;

/* Pages that a check of the pulse keeps: those of a few page tables and variables. */
#define VL_PULSE_PAGES 12

struct vl_attach {
	struct vl_target *target;	    /* not owned */
	char build_id[VL_BUILD_ID_MAX + 1]; /* as the guest claims it; for display only */
	char key[VL_KEY_MAX + 1];	    /* of its kernel in the cache */
	uint64_t cr0, cr4, efer;
	uint64_t base;		 /* base address of its symbols: see struct vl_kallsyms */
	uint64_t entry;		 /* virtual address of entry_SYSCALL_64 */
	struct vl_pgtable pt;	 /* the kernel's own page table (swapper_pg_dir) */
	unsigned int number;	 /* of the kernels in a file, from 1 on; 0: it is the only one */
	unsigned int place;	 /* of a memory without addresses (vl_target_place()); 0: none */
	unsigned char probe[32]; /* bytes at the entry, to check that it is still there */
	/*
	 * Bounds of the guest's monotonic clock minus the host's, in ns (vmst/time.c), and the
	 * host's CLOCK_MONOTONIC when the guest was paused; 0: now.
	 */
	int64_t anchor_lo, anchor_hi, paused_host_ns;
	bool has_anchor, anchor_changed; /* changed: since the last save */
	/* Addresses where this guest's timekeeping reads the TSC; 0 ends the list. */
	uint64_t tsc_sites[VL_MAX_TSC_SITES];
	struct vl_kernel *kernel;
	struct vl_trusted *trusted; /* attach/trusted.h; NULL: the guest's own code runs */
	bool checked;		    /* vl_pulse_check() was called before */
	/* The pages that it used, as far as they are asked for. */
	uint64_t pulse_gpas[VL_PULSE_PAGES];
	size_t nr_pulse;
	bool known; /* read from the run's file */
	bool first; /* the kernel was not in the cache */
};

/*
 * Make the attach of @t, within VL_ATTACH_NS of CPU time and VL_ATTACH_MAX_NS in all, but for the
 * time that it takes to read a dump's file: from the
 * run's file, if the kernel that it names still runs; else, or with @anew, by a first attach,
 * which reads the vCPUs' registers and the kernel's image. The guest is not paused. The error for a
 * guest that runs no kernel says what it runs instead (its firmware, another system). A kernel that
 * is not understood is looked at once (refusal.h), unless @anew.
 */
#define VL_ATTACH_NS 5000000000L
#define VL_ATTACH_MAX_NS 30000000000L
struct vl_error *vl_attach_make(struct vl_target *t, bool anew, struct vl_attach **ret);

/* That deadline, from now on. */
struct vl_deadline vl_attach_deadline(const struct vl_target *t);

/* The kernel of @c is known: note where its memory ends (vl_target_note_end()). */
void vl_attach_note_end(const struct vl_attach *c);
/*
 * The kernel has BTF, which a file that is read with --partial lacks, so its fields were found by
 * its code.
 */
bool vl_attach_lacks_types(const struct vl_attach *c);

/* The error for a deadline that has passed. */
struct vl_error *vl_attach_late(void) __attribute__((returns_nonnull));

/* Were types added since, for this kernel that had none? Then the attach is made anew. */
bool vl_attach_types_came(const struct vl_attach *c);

/* The release of the kernel, as it says now: hostile. "": it cannot be read. */
#define VL_RELEASE_SIZE 65 /* __NEW_UTS_LEN and a NUL, include/uapi/linux/utsname.h */
void vl_attach_release(const struct vl_attach *c, char ret[VL_RELEASE_SIZE]);

void vl_attach_destroy(struct vl_attach *c);

/* Write the run's file again (the anchor changed). A failure is ignored. */
void vl_attach_save(const struct vl_attach *c);

/*
 * boot.c, the first attach: from the registers of a vCPU to a kernel with symbols. Find the
 * kernel of @c->target from nothing, and fill all other members of @c. Reads memory
 * and registers only; the guest is not paused. VL_ERR_KERNEL: it runs no Linux that is
 * understood; VL_ERR_BOOTING: something that every kernel has is not there yet.
 */
struct vl_error *vl_boot(struct vl_attach *c, struct vl_deadline deadline);

#endif
