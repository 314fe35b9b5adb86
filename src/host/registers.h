/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * All registers of a vCPU, for the notes of a dump; struct vl_vcpu has those that a reader needs.
 */
#ifndef VLENS_HOST_REGISTERS_H
#define VLENS_HOST_REGISTERS_H

#include "target.h"

/* QEMU target/i386/arch_dump.c: struct QEMUCPUSegment, QEMUCPUState, version 1. */
struct vl_register_segment {
	uint32_t selector, limit;
	uint32_t flags; /* the upper half of the descriptor, without limit and base */
	uint32_t pad;
	uint64_t base;
};

struct vl_registers {
	uint32_t version, size;
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rip, rflags;
	struct vl_register_segment cs, ds, es, fs, gs, ss;
	struct vl_register_segment ldt, tr, gdt, idt;
	uint64_t cr[5];
	/* Since QEMU 3.0, with the same version: there if `size` includes it. */
	uint64_t kernel_gs_base;
};

#define VL_REGISTERS_VERSION 1
/* The sizes without and with kernel_gs_base. */
#define VL_REGISTERS_OLD offsetof(struct vl_registers, kernel_gs_base)
#define VL_REGISTERS_NEW sizeof(struct vl_registers)

_Static_assert(sizeof(struct vl_register_segment) == 24, "as QEMU lays it out");
_Static_assert(VL_REGISTERS_OLD == 432 && VL_REGISTERS_NEW == 440, "as QEMU lays it out");

/*
 * The registers of every vCPU, in the order of their numbers, from the sources of
 * vl_target_vcpus(), and with its errors. *@ret is malloc'ed. *@machine_ret: the machine of an ELF
 * file with them, EM_X86_64 or EM_386. imee.ko does not know ds, es and ldt: they are 0.
 */
struct vl_error *vl_target_registers(struct vl_target *t, struct vl_registers **ret, size_t *nr_ret,
				     unsigned int *machine_ret);

/* Can vl_target_registers() be called while @t is paused by its mode? */
bool vl_target_registers_paused(struct vl_target *t);

#endif
