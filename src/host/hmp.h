/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parsers for the output of QEMU's human monitor: pure functions over text, whose lines may end
 * in LF or CRLF.
 */
#ifndef VLENS_HOST_HMP_H
#define VLENS_HOST_HMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "registers.h"

/* A range of guest-physical space that is memory, with QEMU's name for its region. */
struct vl_hmp_range {
	uint64_t gpa, size;
	uint64_t offset; /* in the region */
	bool rom;	 /* all of it is read-only for the guest */
	char name[64];	 /* of the region, cut off if longer */
};

/*
 * The memory in the flat view of address space "memory", from `info mtree -f`: RAM, and ROM
 * whose region is also RAM somewhere (the shadowed BIOS area). Whole pages only; neighbours in
 * one region are merged. Device memory (display, passed-through devices) is left out. *@ret is
 * malloc'ed.
 */
struct vl_error *vl_hmp_mtree(const char *text, struct vl_hmp_range **ret, size_t *nr_ret);

/* The host address in the output of `gpa2hva ADDR`. */
struct vl_error *vl_hmp_gpa2hva(const char *text, uint64_t *ret);

/* All vCPUs in the output of `info registers -a`, in its order. *@ret is malloc'ed. */
struct vl_error *vl_hmp_registers(const char *text, struct vl_vcpu **ret, size_t *nr_ret);

/* The same with all registers of each vCPU but kernel_gs_base, which the monitor does not show. */
struct vl_error *vl_hmp_all_registers(const char *text, struct vl_registers **ret, size_t *nr_ret);

#endif
