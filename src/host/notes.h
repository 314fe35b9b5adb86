/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The QEMU notes of an ELF dump: one per vCPU. */
#ifndef VLENS_HOST_NOTES_H
#define VLENS_HOST_NOTES_H

#include <stddef.h>
#include <stdint.h>

#include <libelf.h>

#include "error.h"
#include "target.h"

/*
 * Decode the descriptor of one QEMU note, @len bytes at @desc. False: of a
 * version or size that we do not know.
 */
bool vl_note_vcpu(const void *desc, size_t len, struct vl_vcpu *ret);

/*
 * Every vCPU that the notes of @elf tell of, in their order. *@ret is
 * malloc'ed; *@nr_ret is 0 (and *@ret NULL) when there are none.
 */
struct vl_error *vl_notes_vcpus(Elf *elf, struct vl_vcpu **ret, size_t *nr_ret);

#endif
