/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tiny virtual machine in a process of its own, all of whose state is known: what
 * the programs here attach imee.ko to. It needs a real /dev/kvm, no disk and no kernel.
 *
 * Its memory, at guest physical addresses (each page begins with tag(its address)):
 *
 *	0	  VM_LOW	anonymous: page tables, code, what the code writes
 *	1 MiB	  VM_FILE	a memfd, shared
 *	16 MiB	  VM_ROM	anonymous, read only to the guest
 *	32 MiB	  VM_PLAY	anonymous, of small pages: the commands do things to it
 *	64 MiB	  VM_HUGE	anonymous, of huge pages if the kernel has some: likewise
 *	80 MiB	  VM_TLB	one page of hugetlbfs; none and no slot if its pool is empty
 *	96 MiB	  VM_EDGE	two slots: the first half of a huge page, and small pages
 *
 * vCPU 0 runs a loop without exits, which counts, notes its TSC, and loads CR3 with
 * VM_CR3_A and VM_CR3_B in turn; vCPU 1 has halted; vCPU 2 is never run.
 */
#ifndef VLENS_TESTS_IMEE_VM_H
#define VLENS_TESTS_IMEE_VM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGE 4096UL
#define MIB (1UL << 20)
#define HUGE (2 * MIB)

#define VM_LOW 0UL
#define VM_LOW_SIZE MIB
#define VM_FILE MIB
#define VM_FILE_SIZE (4 * MIB)
#define VM_ROM (16 * MIB)
#define VM_ROM_SIZE (2 * MIB)
#define VM_PLAY (32 * MIB)
#define VM_PLAY_SIZE (4 * MIB)
#define VM_HUGE (64 * MIB)
#define VM_HUGE_SIZE (8 * MIB)
#define VM_TLB (80 * MIB)
#define VM_TLB_SIZE HUGE
#define VM_EDGE (96 * MIB)
#define VM_EDGE_SIZE HUGE
#define VM_SLOTS 7 /* but for VM_TLB */

/* In VM_LOW. */
#define VM_CODE 0x1000UL
#define VM_CODE_END 0x1040UL
#define VM_CODE_HALT 0x1080UL
#define VM_CR3_A 0x2000UL
#define VM_CR3_B 0x6000UL
#define VM_DATA 0xa000UL /* struct vm_data */

struct vm_data {
	uint64_t count;
	uint64_t cr3[2];
	uint64_t tsc;
	uint64_t scratch;
};

/* What the vCPUs have in their registers. */
#define VM_GS 0xffff888000123000UL
#define VM_KERNEL_GS 0xffff888000456000UL
#define VM_LSTAR 0xffffffff81800080UL
#define VM_IDT 0xfffffe0000000000UL
#define VM_GDT 0xfffffe0000001000UL
#define VM_TR 0xfffffe0000003000UL
#define VM_RSP 0xf000UL
/*
 * Interrupts on, though none will come: Bochs 3.0 lets none of the host's end the execution of a
 * guest that was entered with them off.
 */
#define VM_RFLAGS 0x202UL
#define VM_RBX 0x1122334455667788UL

static inline uint64_t tag(uint64_t gpa)
{
	return 0x696d656500000000UL ^ gpa;
}

struct vm {
	pid_t pid;
	int ctl;       /* commands go here, an answer comes for each */
	int vm;	       /* its descriptors' numbers, in that process */
	int vcpu;      /* of vCPU 0 */
	uint64_t play; /* where VM_PLAY is in that process */
	uint64_t huge; /* VM_HUGE */
	bool tlb;      /* there is VM_TLB */
};

/*
 * What vm_do() makes the process do, with page @page, counted from VM_PLAY on: of VM_PLAY,
 * or of VM_HUGE (VM_HUGE_PAGE()).
 */
#define VM_HUGE_PAGE(n) ((VM_HUGE - VM_PLAY) / PAGE + (n))
enum vm_command {
	VM_DISCARD = 'd', /* MADV_DONTNEED, also of the arg pages behind it */
	VM_WRITE = 'w',	  /* write tag() ^ arg at its start */
	VM_UNMAP = 'u',
	VM_MAP = 'm',	 /* map new memory there, and write tag() ^ arg */
	VM_MOVE = 'v',	 /* put another page there by mremap(), that begins with tag() ^ arg */
	VM_PUNCH = 'p',	 /* a hole into page @page of VM_FILE's file */
	VM_RESLOT = 's', /* VM_ROM's slot is memory with arg at each page's start from now on */
	VM_NOSLOT = 'n', /* VM_ROM's slot is removed */
	VM_RENEW = 'h',	 /* all of the 2 MiB: new memory, with tag() ^ arg at each page's start */
	VM_CHURN = 'c',	 /* discard and write pages of what has @page, until VM_REST */
	VM_REST = 'r',
	VM_CLOSE = 'x', /* close all that is KVM's, and live on */
};

/* Start one; exits with a message if that fails. */
void vm_start(struct vm *vm);
/* Returns when it is done. */
void vm_do(struct vm *vm, enum vm_command what, uint32_t page, uint64_t arg);
/* Kill it. */
void vm_kill(struct vm *vm);
/* A descriptor of it, here: vm->vm or vm->vcpu; -1 and errno. */
int vm_fd(const struct vm *vm, int number);

#endif
