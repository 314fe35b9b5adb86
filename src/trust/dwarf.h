/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reads the fields of a kernel's structures from its DWARF with libdw. The library is loaded when
 * it is first needed: only `vlens types add` needs it.
 */
#ifndef VLENS_TRUST_DWARF_H
#define VLENS_TRUST_DWARF_H

#include "../kernel/kernel.h"

/*
 * All fields of @ret from the DWARF in @elf, @len bytes of an ELF file. VL_ERR_ARG: it has none, or
 * it is damaged; VL_ERR_KERNEL: it has no struct task_struct. VL_ERR_OS: there is no libdw.
 */
struct vl_error *vl_layout_from_dwarf(const void *elf, size_t len, struct vl_layout *ret);

#endif
