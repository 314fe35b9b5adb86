/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ImEE agent: what runs inside the immersive vCPU. One page, position
 * independent, at CPL 0 with interrupts off, in two address spaces:
 *
 *   target  the guest's own CR3. The page is at the guest-virtual address of an
 *           executable page of its kernel, whose guest-physical page is ours
 *           here (the overlay page); all else is the guest's RAM, read-only.
 *   local   our tables: the page at the same address, and the exchange pages.
 *
 * Protocol (structures in src/imee/agent.h). The vCPU starts, and waits, in the
 * local space. It takes the requests that the ring has, one after the other;
 * when there is none it looks again ring.spin times, then executes hlt, which
 * the supervisor sees as the exit KVM_EXIT_HLT, and goes on behind it when it is
 * entered again. To serve one it loads CR3 with the target's, so that nothing
 * translated earlier is used, copies to the stage in its own page, which both spaces
 * have, goes back, and carries the stage to the exchange pages.
 *
 * Own page or not: what is at the address, as an aligned 8-byte word, is
 * compared with the word at the same offset of the page. In the overlay page the
 * two are one and so equal, whatever is in it at the moment. Equal words are
 * then told apart by the canary. A hit ends the request: the supervisor
 * moves the agent and posts it again.
 *
 * Faults: every vector of the IDT leads to `fault`, under the CR3 that met it, on the
 * stack in the page (CR0.WP is 0: the guest maps the page read-only). RSI is
 * always the address being read, R11 where to go with status EAX; no iret is
 * needed. For what KVM cannot map (no RAM: an MMIO exit) the supervisor sets RIP to
 * `fault` itself. Where the tables are a mirror that is filled on demand
 * (src/imee/mirror.h), a page fault leads to `ask`: hlt, then the same instruction again
 * or `fault`, as the supervisor says.
 *
 * Registers while a request is served: R8 how many left, R10 the target's CR3,
 * R11 where a fault goes, R15 the page, RSI the guest's address, RDI the place in the
 * stage. Of a walk: RBX node, RBP field, R12 element, R13 where the
 * pointer to the next node is, R14 what ends it, R9 free for a field.
 *
 * Only plain instructions: KVM may have to emulate every one of them.
 */
#include "../src/imee/agent.h"

#define VAR(v) (page + AGENT_VARS + v)(%rip)

	.section .rodata
	.code64
	.globl	vl_agent_page
	.hidden	vl_agent_page
	.type	vl_agent_page, @object
	.balign	4096
vl_agent_page:
page:
	.org	page + AGENT_ENTRY
idle:
	mov	VAR(AV_RING), %rdi
	xor	%ecx, %ecx
look:
	mov	AR_SERVED(%rdi), %eax
	cmp	AR_POSTED(%rdi), %eax
	jne	serve
	/* Read every time: the supervisor ends the waiting by a 0. */
	cmp	AR_SPIN(%rdi), %ecx
	jae	sleep
	inc	%ecx
	pause
	jmp	look
sleep:
	hlt
	jmp	idle

serve:
	and	$(AGENT_NR_REQUESTS - 1), %eax
	imul	$RQ_SIZE, %eax, %eax
	lea	AR_REQUESTS(%rdi,%rax), %r12
	lea	page(%rip), %r15
	mov	%r12, VAR(AV_REQUEST)
	mov	RQ_OUT(%r12), %rax
	mov	%rax, VAR(AV_OUT)
	mov	RQ_OUT_END(%r12), %rax
	mov	%rax, VAR(AV_OUT_END)
	mov	RQ_CR3(%r12), %r10
	mov	RQ_LEFT(%r12), %r8
	mov	RQ_VA(%r12), %rsi
	mov	RQ_OP(%r12), %eax
	cmp	$AGENT_OP_WALK, %eax
	je	walk
	cmp	$AGENT_OP_WATCH, %eax
	je	watch

/* ---- READ: by pieces that are in one page and fit on the stage ---- */

	lea	read_end(%rip), %r11
read_piece:
	xor	%eax, %eax
	test	%r8, %r8
	jz	read_end
	mov	%esi, %edx
	and	$4095, %edx
	mov	$4096, %ecx
	sub	%edx, %ecx
	cmp	%r8, %rcx
	cmova	%r8, %rcx
	mov	$AGENT_STAGE_SIZE, %eax
	cmp	%eax, %ecx
	cmova	%eax, %ecx
	mov	%ecx, %ebx
	lea	page + AGENT_STAGE(%rip), %rdi
	mov	%r10, %cr3
	call	copy
	mov	VAR(AV_LOCAL_CR3), %rax
	mov	%rax, %cr3
	mov	%rsi, %r13
	lea	page + AGENT_STAGE(%rip), %rsi
	mov	VAR(AV_OUT), %rdi
	/* Whole words: what is too much is overwritten by the next piece. */
	lea	7(%rbx), %ecx
	shr	$3, %ecx
	rep movsq
	mov	%r13, %rsi
	add	%rbx, VAR(AV_OUT)
	sub	%rbx, %r8
	jmp	read_piece

read_end:
	/* Here also from a fault, in the target space. */
	mov	%rsi, VAR(AV_FAULT)

/* EAX: status. R8: what is left. RSI: goes into va. */
finish:
	mov	VAR(AV_LOCAL_CR3), %rdx
	mov	%rdx, %cr3
	mov	VAR(AV_REQUEST), %r12
	mov	%eax, RQ_STATUS(%r12)
	mov	%r8, RQ_LEFT(%r12)
	mov	%rsi, RQ_VA(%r12)
	mov	VAR(AV_OUT), %rax
	mov	%rax, RQ_OUT(%r12)
	mov	VAR(AV_FAULT), %rax
	mov	%rax, RQ_FAULT(%r12)
	mov	VAR(AV_RING), %rdi
	incl	AR_SERVED(%rdi)
	jmp	idle

/*
 * Copy ECX (1 or more) bytes at RSI, all in one page, to RDI; moves both on. Changes
 * RAX, RCX, RDX. Naturally aligned words are each read by one load.
 */
copy:
	call	check
	test	$1, %sil
	jz	1f
	movsb
	dec	%ecx
1:	test	$2, %sil
	jz	1f
	cmp	$2, %ecx
	jb	2f
	movsw
	sub	$2, %ecx
1:	test	$4, %sil
	jz	1f
	cmp	$4, %ecx
	jb	2f
	movsl
	sub	$4, %ecx
1:	mov	%ecx, %edx
	shr	$3, %ecx
	jz	1f
	rep movsq
1:	mov	%edx, %ecx
2:	test	$4, %cl
	jz	1f
	movsl
1:	test	$2, %cl
	jz	1f
	movsw
1:	test	$1, %cl
	jz	1f
	movsb
1:	ret

/* Is the page of RSI our own? If so, off to R11. Changes RAX, RDX. */
check:
	mov	%rsi, %rdx
	and	$-8, %rdx
	mov	(%rdx), %rax
	and	$4095, %edx
	cmp	(%r15,%rdx), %rax
	je	suspect
	ret
suspect:
	mov	%rsi, %rdx
	and	$-4096, %rdx
	mov	AGENT_VARS + AV_CANARY(%rdx), %rax
	cmp	VAR(AV_CANARY), %rax
	je	overlaid
	ret
overlaid:
	mov	$AGENT_OVERLAY, %eax
	jmp	away

/* The 8 bytes at RSI to RAX. Changes RDX. */
load:
	call	check
	lea	7(%rsi), %rdx
	xor	%rsi, %rdx
	test	$4096, %edx
	jnz	1f
	mov	(%rsi), %rax
	ret
1:	/* It reaches into the next page, which can be ours too. */
	add	$7, %rsi
	call	check
	sub	$7, %rsi
	mov	(%rsi), %rax
	ret

/* ---- WALK ---- */

walk:
	mov	RQ_END(%r12), %r14
	mov	%rsi, %r13
	lea	page + AGENT_STAGE(%rip), %rdi
	lea	walk_stop(%rip), %r11
	mov	%rsi, %rbx
	mov	RQ_FIRST(%r12), %rax
	mov	%r10, %cr3
	test	%rax, %rax
	jnz	element
next:
	lea	walk_stop(%rip), %r11
	mov	%r13, %rsi
	call	load
	mov	%rax, %rbx
	mov	%rax, %rsi
	and	VAR(AV_END_MASK), %rax
	cmp	%r14, %rax
	mov	$AGENT_OK, %eax
	je	walk_stop
	mov	$AGENT_NULL, %eax
	test	%rbx, %rbx
	jz	walk_stop
	mov	$AGENT_MORE, %eax
	test	%r8, %r8
	jz	walk_stop
	mov	$AGENT_GARBAGE, %eax
	test	$3, %bl
	jnz	walk_stop
	mov	VAR(AV_RECORD), %eax
	add	%rdi, %rax
	lea	page + AGENT_SIZE(%rip), %rdx
	cmp	%rdx, %rax
	jbe	element
	call	carry
	/* What the stage may hold next must have room behind it. */
	lea	AGENT_STAGE_SIZE(%rdi), %rdx
	cmp	VAR(AV_OUT_END), %rdx
	mov	$AGENT_FULL, %eax
	lea	page + AGENT_STAGE(%rip), %rdi
	ja	walk_stop
	mov	%r10, %cr3
element:
	mov	%rdi, VAR(AV_MARK)
	mov	%rbx, %rax
	stosq
	movslq	VAR(AV_NODE), %rax
	mov	%rbx, %r12
	sub	%rax, %r12
	lea	page + AGENT_FIELDS(%rip), %rbp
field:
	movzbl	AF_KIND(%rbp), %eax
	cmp	$AF_KIND_END, %eax
	je	element_end
	lea	field_stop(%rip), %r11
	mov	%rdi, VAR(AV_FIELD_AT)
	lea	AF_OFFSET(%rbp), %r9
	movslq	(%r9), %rsi
	add	%r12, %rsi
	movzbl	AF_DEREFS(%rbp), %ecx
1:	test	%ecx, %ecx
	jz	1f
	call	load
	test	%rax, %rax
	jz	null
	add	$4, %r9
	movslq	(%r9), %rsi
	add	%rax, %rsi
	dec	%ecx
	jmp	1b
1:	movq	$AGENT_OK, (%rdi)
	add	$8, %rdi
	movzwl	AF_BYTES(%rbp), %r9d
	cmpb	$AF_KIND_ADDRESS, AF_KIND(%rbp)
	jne	1f
	mov	%rsi, (%rdi)
	jmp	field_end
1:	mov	%esi, %edx
	and	$4095, %edx
	mov	$4096, %ecx
	sub	%edx, %ecx
	cmp	%r9d, %ecx
	cmova	%r9d, %ecx
	sub	%ecx, %r9d
	call	copy
	test	%r9d, %r9d
	jz	field_end
	cmpb	$AF_KIND_STRING, AF_KIND(%rbp)
	jne	1b
	/* The next page is touched only if the string goes on there. */
	mov	%rdi, %rdx
	mov	%rdi, %rcx
	mov	VAR(AV_FIELD_AT), %rdi
	add	$8, %rdi
	sub	%rdi, %rcx
	xor	%eax, %eax
	repne scasb
	mov	%rdx, %rdi
	jne	1b
field_end:
	mov	VAR(AV_FIELD_AT), %rdi
	movzwl	AF_BYTES(%rbp), %eax
	add	$15, %eax
	and	$-8, %eax
	add	%rax, %rdi
	add	$AF_SIZE, %rbp
	jmp	field
null:
	mov	$AGENT_NULL, %eax
field_stop:
	cmp	$AGENT_OVERLAY, %eax
	je	element_overlaid
	mov	VAR(AV_FIELD_AT), %rdi
	mov	%rax, (%rdi)
	mov	%rsi, 8(%rdi)
	jmp	field_end

element_overlaid:
	/* Without this element: it will be done again. */
	mov	VAR(AV_MARK), %rdi
	jmp	walk_stop

element_end:
	dec	%r8
	movslq	VAR(AV_NEXT), %rax
	lea	(%rbx,%rax), %r13
	cmpl	$0, VAR(AV_ONCE)
	je	next
	mov	%r13, %rsi
	xor	%eax, %eax

/* EAX: status, RSI: the address to name. */
walk_stop:
	mov	%rsi, VAR(AV_FAULT)
	mov	%eax, %ebx
	call	carry
	mov	%ebx, %eax
	mov	%r13, %rsi
	jmp	finish

/* Go to the local space and carry the stage, up to RDI, over to out. */
carry:
	mov	VAR(AV_LOCAL_CR3), %rax
	mov	%rax, %cr3
	mov	%rdi, %rcx
	lea	page + AGENT_STAGE(%rip), %rsi
	sub	%rsi, %rcx
	shr	$3, %rcx
	mov	VAR(AV_OUT), %rdi
	rep movsq
	mov	%rdi, VAR(AV_OUT)
	ret

/* ---- WATCH: CR3 is loaded for every sample, so that each is translated afresh ---- */

watch:
	mov	RQ_END(%r12), %r9
	mov	RQ_MASK(%r12), %r14
	lea	watch_stop(%rip), %r11
	mov	%rsi, %rbx
	and	$4095, %ebx
sample:
	mov	%r10, %cr3
	mov	(%rsi), %rax
	cmp	(%r15,%rbx), %rax
	jne	1f
	call	check
	mov	(%rsi), %rax
1:	dec	%r8
	mov	%rax, %r13
	and	%r14, %rax
	cmp	%r9, %rax
	jne	1f
	test	%r8, %r8
	jnz	sample
1:	xor	%eax, %eax
watch_stop:
	mov	%rsi, VAR(AV_FAULT)
	mov	VAR(AV_LOCAL_CR3), %rdx
	mov	%rdx, %cr3
	mov	VAR(AV_REQUEST), %r12
	mov	%r13, RQ_END(%r12)
	jmp	finish

/* ---- every exception ---- */

ask:
	mov	%rax, VAR(AV_SAVED)
	mov	%cr2, %rax
	mov	%rax, VAR(AV_ASKED)
	movl	$AGENT_ASKING, VAR(AV_ASK)
	hlt
	cmpl	$AGENT_GRANTED, VAR(AV_ASK)
	jne	fault
	/*
	 * Back without iret, which KVM does not emulate. The frame: error code, RIP, CS,
	 * flags, RSP, SS. No instruction that reads the guest needs flags.
	 */
	mov	8(%rsp), %rax
	mov	32(%rsp), %rsp
	push	%rax
	mov	VAR(AV_SAVED), %rax
	ret

fault:
	mov	$AGENT_FAULT, %eax
away:
	lea	page + AGENT_TOP(%rip), %rsp
	jmp	*%r11

code_end:
	/* .org does not go back: that the code fits is asserted by that. */
	.org	page + AGENT_VARS, 0xcc
	.org	page + AGENT_SIZE, 0
	.size	vl_agent_page, AGENT_SIZE

	.globl	vl_agent_fault
	.hidden	vl_agent_fault
	.type	vl_agent_fault, @object
	.size	vl_agent_fault, 4
	.balign	4
vl_agent_fault:
	.long	fault - page

	.globl	vl_agent_ask
	.hidden	vl_agent_ask
	.type	vl_agent_ask, @object
	.size	vl_agent_ask, 4
vl_agent_ask:
	.long	ask - page

	.section .note.GNU-stack, "", @progbits
