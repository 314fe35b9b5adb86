/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parsers for what QEMU's human monitor prints. Pure functions over text; lines
 * may end in LF or CRLF.
 */
#ifndef VLENS_HOST_HMP_H
#define VLENS_HOST_HMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "error.h"
#include "target.h"

/* A run of guest-physical space that is memory, named as QEMU names it. */
struct vl_hmp_range {
	uint64_t gpa, size;
	uint64_t offset; /* in the region */
	bool rom;	 /* read-only for the guest */
	char name[64];	 /* of the region, cut off if longer */
};

/*
 * The memory in the flat view of address space "memory", out of `info mtree
 * -f`: RAM, and ROM whose region is also RAM somewhere (the shadowed BIOS
 * area), each whole pages only; neighbours in one region are merged. Device
 * memory (display, passed-through devices) is left out. *@ret is malloc'ed.
 */
struct vl_error *vl_hmp_mtree(const char *text, struct vl_hmp_range **ret, size_t *nr_ret);

/* The host address out of `gpa2hva ADDR`. */
struct vl_error *vl_hmp_gpa2hva(const char *text, uint64_t *ret);

/* All vCPUs out of `info registers -a`, in the order printed. *@ret is malloc'ed. */
struct vl_error *vl_hmp_registers(const char *text, struct vl_vcpu **ret, size_t *nr_ret);

#endif
