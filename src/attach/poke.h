/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changes of its text that a guest's kernel is making. It puts int3 in place of the first byte.
 * CPUs that meet that int3 find the change in a list (text_poke_bp_batch(),
 * arch/x86/kernel/alternative.c).
 */
#ifndef VLENS_ATTACH_POKE_H
#define VLENS_ATTACH_POKE_H

#include "attach.h"

/*
 * Does that list have a change at @va, to code that stays in the kernel's text? The list is the
 * guest's data, and may be forged.
 */
bool vl_poke_lists(const struct vl_attach *a, uint64_t va);

#endif
