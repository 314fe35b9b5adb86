/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A boot sector that enters long mode over page tables of its own and stays
 * there: a guest that is no Linux, but looks alive (paging, a GDT, an IDT).
 *
 *   gcc -nostdlib -static -Wl,--oformat=binary,-Ttext=0x7c00 -o sector nolinux.S
 */
#define PML4 0x1000
#define PDPT 0x2000
#define PD 0x3000
#define IDT 0x4000

	.text
	.code16
	.globl _start
_start:
	cli
	xor %ax, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %ss
	mov $0x7c00, %sp
	/* Clear the tables and the IDT, then map the first 2 MiB to themselves. */
	mov $PML4, %di
	mov $0x4000, %cx
	rep stosb
	movl $(PDPT | 3), PML4
	movl $(PD | 3), PDPT
	movl $0x83, PD
	mov $PML4, %eax
	mov %eax, %cr3
	mov $0x20, %eax		/* CR4.PAE */
	mov %eax, %cr4
	mov $0xc0000080, %ecx	/* EFER.LME */
	rdmsr
	or $0x100, %eax
	wrmsr
	lgdtl gdtr
	mov $0x80000011, %eax	/* CR0.PG, ET, PE */
	mov %eax, %cr0
	ljmpl $8, $long_mode

	.code64
long_mode:
	mov $16, %eax
	mov %eax, %ds
	mov %eax, %ss
	lidt idtr
1:	pause
	jmp 1b

	.balign 8
gdt:	.quad 0
	.quad 0x00209a0000000000	/* code, 64 bits */
	.quad 0x0000920000000000	/* data */
gdtr:	.word . - gdt - 1
	.long gdt
idtr:	.word 0xfff
	.quad IDT

	.org 510
	.word 0xaa55
	.section .note.GNU-stack, "", @progbits
