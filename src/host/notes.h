/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The QEMU notes of an ELF dump: one per vCPU. */
#ifndef VLENS_HOST_NOTES_H
#define VLENS_HOST_NOTES_H

#include <stddef.h>
#include <stdint.h>

#include <libelf.h>

#include "error.h"
#include "registers.h"

/*
 * The registers in the notes of @elf, in the order of the notes. *@ret is malloc'ed; *@nr_ret is 0
 * (and *@ret NULL) when there are none.
 */
struct vl_error *vl_notes_registers(Elf *elf, struct vl_registers **ret, size_t *nr_ret);

/* The same for @len bytes of notes. Notes that are cut off are left out. */
struct vl_error *vl_notes_read(const void *notes, size_t len, struct vl_registers **ret,
			       size_t *nr_ret);

/*
 * How many pages of the file changed while it was made, as vlens dump notes it: UINT64_MAX: their
 * number is not known; 0: none, or the file has no such note.
 */
uint64_t vl_notes_moved(Elf *elf);

/* The part of @r that a reader needs. @r has no EFER, so it is 0. */
struct vl_vcpu vl_vcpu_of(const struct vl_registers *r);
/* The same for the registers of @nr vCPUs: *@ret is malloc'ed; NULL: there are none. */
struct vl_error *vl_vcpus_of(const struct vl_registers *r, size_t nr, struct vl_vcpu **ret);

#endif
