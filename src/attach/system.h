/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which system runs in a guest whose kernel is not a 64-bit Linux: for the error that says so.
 * Registers give the mode. The interrupt table leads to the kernel's image, and the image has a
 * banner (Linux, the BSDs) or a name (Windows). No code here depends on a system's version.
 *
 * The files that know a 64-bit Linux guest by its architecture are mem/paging.c (its page tables;
 * mem/paging32.c stands beside it), boot.c and kernel/image.c (control registers, gates, the
 * image's place), and vmst/ with native/ (registers and system calls).
 */
#ifndef VLENS_SYSTEM_H
#define VLENS_SYSTEM_H

#include "../base/clock.h"
#include "../error.h"
#include "../host/target.h"
#include "../mem/paging.h"

struct vl_system {
	bool is_32_bit;	  /* protected mode with paging, and not in long mode */
	bool pae;	  /* of a 32-bit system */
	const char *name; /* "Linux", "FreeBSD", "Windows" …; NULL: not known */
	char release[64]; /* as its banner has it, without unusual characters; "": not known */
};

/* Copy @len bytes at guest-physical @gpa; false: there is no RAM. */
typedef bool (*vl_read_phys_fn)(void *ctx, uint64_t gpa, void *buf, size_t len);

/* Find what the vCPU @v runs. The memory is hostile. False: nothing is known. */
bool vl_system_find(vl_read_phys_fn read, void *ctx, const struct vl_vcpu *v,
		    struct vl_deadline deadline, struct vl_system *ret);

/* The error for a guest that runs @s; NULL if that is a 64-bit Linux. */
struct vl_error *vl_system_error(const struct vl_system *s);

/*
 * A hash of the place and the code of the page-fault handler of vCPU @v: another kernel, and
 * the same one after most reboots, has another hash. False: it cannot be read.
 */
bool vl_system_mark(vl_read_phys_fn read, void *ctx, const struct vl_vcpu *v, uint64_t *ret);

/* vl_read_phys_fn over a struct vl_target. */
bool vl_system_read(void *target, uint64_t gpa, void *buf, size_t len);

#endif
