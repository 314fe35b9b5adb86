/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Addresses in a process that runs rewritten kernel code (native.h), for C and for the
 * assembler. Emitted code has them as 32-bit numbers, so all lie below 2 GiB.
 */
#ifndef VLENS_NATIVE_LAYOUT_H
#define VLENS_NATIVE_LAYOUT_H

#define VL_NATIVE_CTL 0x40000000    /* struct vl_native_ctl */
#define VL_NATIVE_XSAVE 0x40001000  /* vector registers while C code runs */
#define VL_NATIVE_TABLE 0x40010000  /* 64 Ki entries of { guest address, code } */
#define VL_NATIVE_BARRED 0x40110000 /* 64 Ki bytes, one for each TiB: 1 where our memory is */
#define VL_NATIVE_WALL 0x40121000   /* a page without access; the one before it can be read */
#define VL_NATIVE_CODE 0x40200000
#define VL_NATIVE_CODE_SIZE 0x02000000
/*
 * Stacks that the kernel switches to: a slot of VL_NATIVE_STACK bytes for each, and as many
 * unmapped bytes between two slots.
 */
#define VL_NATIVE_STACKS (VL_NATIVE_CODE + VL_NATIVE_CODE_SIZE)
#define VL_NATIVE_NR_STACKS 16
#define VL_NATIVE_STACK 0x10000
#define VL_NATIVE_STACKS_END (VL_NATIVE_STACKS + VL_NATIVE_NR_STACKS * 2 * VL_NATIVE_STACK)
/* Where control is kept in verified code: the shadow of each word of a stack is so far above it. */
#define VL_NATIVE_SHADOW 0x38000000
#define VL_NATIVE_SIZE (VL_NATIVE_STACKS_END - VL_NATIVE_CTL)

/* Offsets in struct vl_native_ctl. */
#define CTL_RAX 0x00
#define CTL_RCX 0x08
#define CTL_RDX 0x10
#define CTL_TARGET 0x18
#define CTL_HOST_RSP 0x20
#define CTL_PATCH 0x28
#define CTL_VA 0x30
#define CTL_KIND 0x38
#define CTL_HOST_FS 0x40
#define CTL_GUEST_FS 0x48
#define CTL_IF 0x50
#define CTL_GS 0x58
#define CTL_MISS 0x60
#define CTL_INDIRECT 0x68
#define CTL_LEAVE 0x70
#define CTL_RFLAGS 0x78
#define CTL_REGS 0x80
#define CTL_TSC 0x100
#define CTL_ADDRESS 0x108
#define CTL_CHECK 0x110
#define CTL_CHECK_RCX 0x118
#define CTL_CHECK_RDX 0x120
#define CTL_PERCPU 0x128
#define CTL_FROM 0x130
#define CTL_STACK 0x138
#define CTL_BY_CALL 0x140

#endif
