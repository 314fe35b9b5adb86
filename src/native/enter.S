/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Switches between C and rewritten code. In rewritten code all registers and flags are the
 * guest's, so temporary values go to ctl, at a fixed address.
 */
#include "layout.h"

#define M(off) (VL_NATIVE_CTL + (off))
#define REG(n) (VL_NATIVE_CTL + CTL_REGS + 8 * (n))

/* arch/x86/include/uapi/asm/prctl.h, asm/unistd_64.h */
#define ARCH_SET_FS 0x1002
#define SYS_ARCH_PRCTL 158

/* Set the base of fs to a word of ctl. Changes rax, rcx, rdi, rsi, r11 and flags. */
	.macro set_fs from
	cmpl $0, M(CTL_BY_CALL)
	jne 8f
	mov M(\from), %rax
	wrfsbase %rax
	jmp 9f
8:	mov M(\from), %rsi
	mov $ARCH_SET_FS, %edi
	mov $SYS_ARCH_PRCTL, %eax
	syscall
9:
	.endm

	.text

	.globl vl_native_enter
	.hidden vl_native_enter
	.type vl_native_enter, @function
vl_native_enter:
	push %rbx
	push %rbp
	push %r12
	push %r13
	push %r14
	push %r15
	sub $8, %rsp
	mov %rsp, M(CTL_HOST_RSP)
	cmpl $0, M(CTL_BY_CALL)
	jne 1f
	mov M(CTL_GS), %rax
	wrgsbase %rax
1:	set_fs CTL_GUEST_FS
	push M(CTL_RFLAGS)
	popf
	mov REG(0), %rax
	mov REG(1), %rcx
	mov REG(2), %rdx
	mov REG(3), %rbx
	mov REG(5), %rbp
	mov REG(6), %rsi
	mov REG(7), %rdi
	mov REG(8), %r8
	mov REG(9), %r9
	mov REG(10), %r10
	mov REG(11), %r11
	mov REG(12), %r12
	mov REG(13), %r13
	mov REG(14), %r14
	mov REG(15), %r15
	mov REG(4), %rsp
	jmp *M(CTL_TARGET)
	.size vl_native_enter, . - vl_native_enter

/* All registers are the guest's: save them, and return to the caller of vl_native_enter. */
	.globl vl_native_leave
	.hidden vl_native_leave
vl_native_leave:
	mov %rax, REG(0)
	mov %rcx, REG(1)
	mov %rdx, REG(2)
	mov %rbx, REG(3)
	mov %rsp, REG(4)
	mov %rbp, REG(5)
	mov %rsi, REG(6)
	mov %rdi, REG(7)
	mov %r8, REG(8)
	mov %r9, REG(9)
	mov %r10, REG(10)
	mov %r11, REG(11)
	mov %r12, REG(12)
	mov %r13, REG(13)
	mov %r14, REG(14)
	mov %r15, REG(15)
	mov M(CTL_HOST_RSP), %rsp
	pushf
	pop M(CTL_RFLAGS)
	set_fs CTL_HOST_FS

/* The same after a signal handler has saved them. */
	.globl vl_native_leave_signal
	.hidden vl_native_leave_signal
vl_native_leave_signal:
	cld
	add $8, %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbp
	pop %rbx
	ret

/* Control goes to ctl->va, which may not be translated yet. */
	.globl vl_native_miss
	.hidden vl_native_miss
vl_native_miss:
	mov %rax, REG(0)
	mov %rcx, REG(1)
	mov %rdx, REG(2)
	mov %rbx, REG(3)
	mov %rbp, REG(5)
	mov %rsi, REG(6)
	mov %rdi, REG(7)
	mov %r8, REG(8)
	mov %r9, REG(9)
	mov %r10, REG(10)
	mov %r11, REG(11)
	mov %r12, REG(12)
	mov %r13, REG(13)
	mov %r14, REG(14)
	mov %r15, REG(15)
	mov %rsp, REG(4)
	mov M(CTL_HOST_RSP), %rsp
	pushf
	sub $8, %rsp
	cld
	set_fs CTL_HOST_FS
	mov $-1, %eax
	mov %eax, %edx
	xsave64 VL_NATIVE_XSAVE
	call vl_native_missed
	mov %rax, M(CTL_TARGET)
	mov $-1, %eax
	mov %eax, %edx
	xrstor64 VL_NATIVE_XSAVE
	set_fs CTL_GUEST_FS
	add $8, %rsp
	popf
	mov REG(0), %rax
	mov REG(1), %rcx
	mov REG(2), %rdx
	mov REG(6), %rsi
	mov REG(7), %rdi
	mov REG(8), %r8
	mov REG(9), %r9
	mov REG(10), %r10
	mov REG(11), %r11
	mov REG(4), %rsp
	jmp *M(CTL_TARGET)

/*
 * An indirect jump to the guest's address in rax; the guest's rax is in ctl. The address's
 * lower 16 bits index a table. No instruction here changes a flag.
 */
	.globl vl_native_indirect
	.hidden vl_native_indirect
vl_native_indirect:
	mov %rcx, M(CTL_RCX)
	mov %rdx, M(CTL_RDX)
	movzwl %ax, %edx
	lea (,%rdx,8), %edx
	mov VL_NATIVE_TABLE(,%rdx,2), %rcx
	not %rcx
	lea 1(%rcx,%rax), %rcx
	jrcxz 1f
	mov %rax, M(CTL_VA)
	movq $0, M(CTL_PATCH)
	mov M(CTL_RDX), %rdx
	mov M(CTL_RCX), %rcx
	mov M(CTL_RAX), %rax
	jmp vl_native_miss
1:	mov VL_NATIVE_TABLE+8(,%rdx,2), %rcx
	mov %rcx, M(CTL_TARGET)
	mov M(CTL_RDX), %rdx
	mov M(CTL_RCX), %rcx
	mov M(CTL_RAX), %rax
	jmp *M(CTL_TARGET)

	.section .note.GNU-stack, "", @progbits
