/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A boot sector that starts Linux on a machine that cannot be given a kernel. It reads what
 * is behind it on the first disk to LOAD, by ports, as no BIOS of the real mode reads to
 * so high an address, and goes on as the kernel's 32-bit boot protocol has it (its
 * Documentation/arch/x86/boot.rst): there the first page is boot_params; the kernel's 32-bit code
 * is at KERNEL. CHUNKS is how much there is, in 128 KiB. tests/guest/mkdisk makes such a
 * disk:
 *
 *   gcc -m32 -nostdlib -static -Wl,--oformat=binary,-Ttext=0x7c00 -D... -o sector disk-boot.S
 */
#define CODE 0x10	/* the selectors that the kernel expects */
#define DATA 0x18

/* The AT Attachment's first channel. */
#define ATA 0x1f0
#define READ_SECTORS 0x20
#define CHUNK 256	/* sectors: the most that one command reads, a count of 0 */

	.text
	.code16
	.globl _start
_start:
	cli
	xor %ax, %ax
	mov %ax, %ds
	in $0x92, %al		/* all address lines */
	or $2, %al
	out %al, $0x92
	lgdtl gdtr
	mov %cr0, %eax
	or $1, %al
	mov %eax, %cr0
	ljmpl $CODE, $flat
	.code32
flat:
	mov $DATA, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %fs
	mov %ax, %gs
	mov %ax, %ss
	cld
	mov $0x3f6, %dx		/* no interrupts from it */
	mov $2, %al
	out %al, %dx

	mov $LOAD, %edi
	mov $1, %ebx		/* the next sector */
	mov $CHUNKS, %esi
chunk:
	mov $ATA + 2, %edx
	xor %al, %al
	out %al, %dx
	inc %edx
	mov %ebx, %eax
	out %al, %dx
	inc %edx
	shr $8, %eax
	out %al, %dx
	inc %edx
	shr $8, %eax
	out %al, %dx
	inc %edx
	mov $0xe0, %al		/* the master, by number of sector */
	out %al, %dx
	inc %edx
	mov $READ_SECTORS, %al
	out %al, %dx
	mov $CHUNK, %ebp
sector:
	mov $ATA + 7, %edx
wait:
	in %dx, %al
	and $0x88, %al		/* busy, data */
	cmp $8, %al
	jne wait
	mov $ATA, %edx
	mov $256, %ecx
	rep insw
	dec %ebp
	jnz sector
	add $CHUNK, %ebx
	dec %esi
	jnz chunk

	mov $LOAD, %esi
	xor %ebp, %ebp
	xor %edi, %edi
	xor %ebx, %ebx
	mov $KERNEL, %eax
	jmp *%eax

	.balign 8
gdt:
	.quad 0, 0
	.quad 0x00cf9a000000ffff
	.quad 0x00cf92000000ffff
gdtr:
	.word . - gdt - 1
	.long gdt

	.org 510
	.byte 0x55, 0xaa
	.section .note.GNU-stack, "", @progbits
