/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the files that read the formats of dumps. */
#ifndef VLENS_DUMP_H
#define VLENS_DUMP_H

#include "internal.h"

struct vl_dump {
	int fd;
	uint64_t size;	       /* of the file */
	struct vl_vcpu *vcpus; /* malloc'ed */
	size_t nr_vcpus;       /* 0: the file has no registers */
	uint64_t flat;	       /* bytes of a flat image (vl_target_flat()); 0: it is none */
};

/* The first address of memory that does not fit below 4 GiB. */
#define VL_HIGH_MEMORY (1ULL << 32)

/* Load the file's headers: RAM ranges, registers. */
struct vl_error *vl_dump_load_elf(struct vl_target *t, struct vl_dump *d);
struct vl_error *vl_dump_load_lime(struct vl_target *t, struct vl_dump *d);

/* The RAM of @t is the @size bytes at @at of the file. */
struct vl_error *vl_dump_set_flat(struct vl_target *t, struct vl_dump *d, uint64_t at,
				  uint64_t size);

/* The error for a file that is no dump: what it is, if its first bytes tell. */
struct vl_error *vl_dump_unknown(int fd) __attribute__((returns_nonnull));
/* The error for a cut file; @need 0: its headers are cut off, so the full size is not known. */
struct vl_error *vl_dump_truncated(uint64_t need, uint64_t have) __attribute__((returns_nonnull));

#endif
