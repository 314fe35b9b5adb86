/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where code stops, and with what in its registers: each fault in the middle of what an engine
 * makes several instructions of, and code that is no proper code. All engines that are there must
 * say the same of it, but for what only one of them cannot do, which it must say.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "handmade.h"
#include "native/native.h"
#include "tap.h"
#include "base/machine.h"

/* Pages of the own region, behind as many tables as all these addresses take. */
enum { P_CODE = 2 * OWN_TABLES, P_ROOM = 48, P_STACK = 64, P_DATA = 72 };

#define CODE_VA 0xffffffff81000000UL
#define ROOM_VA 0xffff900000000000UL
/* Two pages, of which the second can be read only, and nothing behind them. */
#define DATA_VA 0xffff900000100000UL
#define HOLE (DATA_VA + 2 * VL_PAGE_SIZE)
/* What takes part in no call: a stack of the kernel's own. */
#define OTHER_STACK 0xffffc90000004000UL
#define OTHER_STACK_END (OTHER_STACK + VL_PAGE_SIZE)
/* The last page of many such, which are so far apart that each is taken for a stack. */
#define NR_STACKS 20
#define STACKS_APART 0x20000UL
#define MANY_STACKS (OTHER_STACK + NR_STACKS * STACKS_APART)
#define STACK_VA 0x20000000UL
#define STACK_SIZE (2 * VL_PAGE_SIZE)
#define GUARD (STACK_VA - 8)
/* A user address that a program can have, and the clone has not. */
#define USER 0x7ffc12345000UL
#define NOT_CANONICAL 0x8000000000000UL
#define HIGH_NOT_CANONICAL 0xffff100000000000UL
/* What folds to where emitted code is. */
#define OURS (VL_NATIVE_CODE - VL_NATIVE_G)
/* Below what folds. */
#define LOW_VA 0xffff810000000000UL
/* So that it is in no register by chance. */
#define MARK 0x1122334455667700UL

#define FLAG_IF 0x200UL
#define FLAGS 0xcd5UL /* arithmetic ones, DF */
#define BUDGET_NS 2000000000UL

enum end {
	HALTED,
	TOOK,		/* the exception of the row */
	PROCESSOR_TOOK, /* Unicorn does not look */
	NATIVE_CANNOT,	/* the row's text says why; others can, or take some exception */
};

/* clang-format off */
#define ROWS(ROW) \
	ROW(rep_from, "mov $32, %ecx; cld; rep movsb", HOLE - 20, DATA_VA, 0, \
	    TOOK, 14, HOLE, "a copy from what is not there") \
	ROW(rep_to, "mov $32, %ecx; cld; rep movsb", DATA_VA, DATA_VA + VL_PAGE_SIZE - 20, 0, \
	    TOOK, 14, DATA_VA + VL_PAGE_SIZE, "a copy to what can be read only") \
	ROW(rep_back, "mov $32, %ecx; std; rep stosq", 0, DATA_VA + 40, 0, \
	    TOOK, 14, DATA_VA - 8, "a fill backwards") \
	ROW(rep_user, "mov $32, %ecx; rep movsb", USER, DATA_VA, 0, \
	    TOOK, 14, USER, "a copy from user space") \
	ROW(rep_to_user, "mov $32, %ecx; rep movsq", DATA_VA, USER, 0, \
	    TOOK, 14, USER, "a copy to user space") \
	ROW(rep_wild, "mov $4, %ecx; rep movsb", NOT_CANONICAL, DATA_VA, 0, \
	    TOOK, 13, 0, "a copy from an address that is not canonical") \
	ROW(user, "mov 8(%rsi), %rax", USER, 0, 0, TOOK, 14, USER + 8, "a user address") \
	ROW(wild, "mov (%rsi,%rdi,8), %rax", NOT_CANONICAL, 1, 0, \
	    TOOK, 13, 0, "an address that is not canonical") \
	ROW(wild_high, "mov (%rdi), %rax", 0, HIGH_NOT_CANONICAL, 0, \
	    TOOK, 13, 0, "one that is not, and folds to one that is") \
	ROW(xchg, "xchg %rax, (%rdi)", 0, HOLE, 0, TOOK, 14, HOLE, "xchg") \
	ROW(cmpxchg, "lock cmpxchg %rbx, (%rdi)", 0, HOLE, 0, TOOK, 14, HOLE, "cmpxchg") \
	ROW(read_only, "lock incl (%rdi)", 0, DATA_VA + VL_PAGE_SIZE, 0, \
	    TOOK, 14, DATA_VA + VL_PAGE_SIZE, "a write to what can be read only") \
	ROW(aligned, "movaps %xmm0, (%rdi)", 0, DATA_VA + 4, 0, PROCESSOR_TOOK, 13, 0, "alignment") \
	ROW(per_cpu, "incl %gs:0x2000", 0, 0, 0, TOOK, 14, HOLE, "per-CPU data") \
	ROW(per_cpu_call, "call *%gs:0x2000", 0, 0, 0, TOOK, 14, HOLE, "a call by them") \
	ROW(push_memory, "push (%rdi)", 0, HOLE, 0, TOOK, 14, HOLE, "push from memory") \
	ROW(pop_memory, "pop (%rdi)", 0, HOLE, 0, TOOK, 14, HOLE, "pop to memory") \
	ROW(divide, "xor %ecx, %ecx; mov $7, %eax; cltd; div %ecx", 0, 0, 0, TOOK, 0, 0, "divide") \
	ROW(divide_big, "mov $1, %ecx; mov %rdi, %rdx; div %rcx", 0, MARK, 0, TOOK, 0, 0, \
	    "divide, with too much") \
	ROW(ud1, "ud1 %eax, %ecx", 0, 0, 0, TOOK, 6, 0, "ud1") \
	ROW(no_code, "jmp *%rdi", 0, HOLE, 0, TOOK, 14, HOLE, "a jump to where no code is") \
	ROW(no_return, "push %rdi; ret", 0, HOLE, 0, TOOK, 14, HOLE, "a return to there") \
	ROW(guard_push, "push %rax", 0, 0, STACK_VA, TOOK, 14, GUARD, "push at the stack's end") \
	ROW(guard_pushf, "pushf", 0, 0, STACK_VA, TOOK, 14, GUARD, "pushf there") \
	ROW(guard_call, "call 1f; nop; 1:", 0, 0, STACK_VA, TOOK, 14, GUARD, "a call there") \
	ROW(guard_call_reg, "mov %rdi, %rcx; call *%rcx", 0, CODE_VA, STACK_VA, \
	    TOOK, 14, GUARD, "a call by a register there") \
	ROW(guard_call_mem, "call *(%rdi)", 0, DATA_VA, STACK_VA, \
	    TOOK, 14, GUARD, "a call by memory there") \
	ROW(guard_pop, "pop %rax", 0, 0, STACK_VA + STACK_SIZE, \
	    TOOK, 14, STACK_VA + STACK_SIZE, "pop behind its beginning") \
	ROW(guard_popf, "popf", 0, 0, STACK_VA + STACK_SIZE, \
	    TOOK, 14, STACK_VA + STACK_SIZE, "popf there") \
	ROW(guard_ret, "ret", 0, 0, STACK_VA + STACK_SIZE, \
	    TOOK, 14, STACK_VA + STACK_SIZE, "ret there") \
	ROW(leave_hole, "mov %edi, %ebp; leave", 0, STACK_VA + STACK_SIZE, 0, \
	    TOOK, 14, STACK_VA + STACK_SIZE, "leave to there") \
	ROW(self_call, "1: call 1b", 0, 0, 0, TOOK, 14, GUARD, "a call of itself, without end") \
	ROW(flags_off, "cli; pushf; pop %rax", 0, 0, 0, HALTED, 0, 0, "cli and pushf") \
	ROW(flags_on, "sti; pushf; pop %rax; cli; push %rax; popf", 0, 0, 0, \
	    HALTED, 0, 0, "sti, pushf, popf") \
	ROW(irq_save, "sti; pushf; pop %rdx; cli; mov %rdx, (%rdi); testb $2, 1(%rdi); jz 1f; sti; 1:", \
	    0, DATA_VA, 0, HALTED, 0, 0, "local_irq_save() and its restore") \
	ROW(middle, "mov $0x3b0, %ax; jmp 1f+1; 1: mov $0x90f402b0, %eax", 0, 0, 0, \
	    HALTED, 0, 0, "a jump into the middle of an instruction") \
	ROW(middle_too, "mov $2, %ecx; 1: mov $0x909001b0, %eax; dec %ecx; jnz 1b+1", 0, 0, 0, \
	    HALTED, 0, 0, "an instruction and its middle by turns") \
	ROW(other_stack, "mov %rsp, %rcx; mov %rdi, %rsp; push %rax; pop %rbx; mov %rcx, %rsp", \
	    0, OTHER_STACK + 64, 0, HALTED, 0, 0, "a stack of the kernel's") \
	ROW(other_frame, "mov %rsp, %rcx; mov %rdi, %rbp; leave; mov %rcx, %rsp", \
	    0, OTHER_STACK + 64, 0, HALTED, 0, 0, "leave to there") \
	ROW(other_call, "mov %rsp, -8(%rdi); lea -8(%rdi), %rsp; call 1f; pop %rsp; jmp 2f; " \
	    "1: push %rbp; mov %rsp, %rbp; push %rdi; pushf; lea 8(%rsp), %rsi; mov (%rsi), %rbx; " \
	    "popf; leave; ret; 2: xor %esi, %esi; mov -24(%rdi), %rdx", \
	    0, OTHER_STACK_END, 0, HALTED, 0, 0, "a call on it, as of softirqs") \
	ROW(other_fault, "mov %rdi, %rsp; push %rax; mov (%rsi), %rbx", \
	    HOLE, OTHER_STACK + 64, 0, TOOK, 14, HOLE, "a fault on it") \
	ROW(other_end, "mov %rdi, %rsp; push %rax; push %rbx", 0, OTHER_STACK + 8, 0, \
	    TOOK, 14, OTHER_STACK - 8, "push at its end") \
	ROW(other_none, "mov %rdi, %rsp; call 1f; 1: nop", 0, OTHER_STACK, 0, \
	    TOOK, 14, OTHER_STACK - 8, "a call at its end") \
	ROW(other_behind, "mov %rdi, %rsp; pop %rax; ret", 0, OTHER_STACK_END - 8, 0, \
	    TOOK, 14, OTHER_STACK_END, "ret behind its beginning") \
	ROW(many_stacks, "mov %rsp, %rcx; mov $20, %ebx; 1: mov %rdi, %rsp; push %rax; " \
	    "sub $0x20000, %rdi; dec %ebx; jnz 1b; mov %rcx, %rsp", \
	    0, MANY_STACKS + 64, 0, NATIVE_CANNOT, 0, 0, "the kernel has too many stacks") \
	ROW(low, "mov (%rdi), %rax", 0, LOW_VA + 8, 0, \
	    NATIVE_CANNOT, 0, 0, "an address does not fold") \
	ROW(low_hole, "mov (%rdi), %rax", 0, LOW_VA + VL_PAGE_SIZE, 0, \
	    TOOK, 14, LOW_VA + VL_PAGE_SIZE, "an address below the fold, where nothing is") \
	ROW(prefetch, "prefetcht0 (%rdi); prefetchw 8(%rdi); prefetchnta (%rsi,%rdi)", 0, OURS, 0, \
	    HALTED, 0, 0, "a prefetch of what is not there") \
	ROW(user_code, "jmp *%rdi", 0, USER, 0, \
	    NATIVE_CANNOT, 0, 0, "control leaves the kernel's text")

#define DECLARE(name, text, rsi, rdi, rsp, end, vector, address, what) \
	__asm__(".pushsection .rodata\n.globl c_" #name ", c_" #name "_end\nc_" #name ":\n" \
		text "; hlt\nc_" #name "_end:\n.popsection"); \
	extern const unsigned char c_##name[], c_##name##_end[];
ROWS(DECLARE)
/* clang-format on */

static const struct row {
	const unsigned char *code, *code_end;
	uint64_t rsi, rdi, rsp;
	enum end end;
	int vector;
	uint64_t address;
	const char *what;
} rows[] = {
#define ENTRY(name, text, rsi, rdi, rsp, end, vector, address, what) \
	{ c_##name, c_##name##_end, rsi, rdi, rsp, end, vector, address, what },
	ROWS(ENTRY)
};
#define NR_ROWS ARRAY_SIZE(rows)

struct result {
	struct vl_regs regs;
	struct vl_exit exit;
	unsigned char data[2 * VL_PAGE_SIZE];
	bool has;
};

static struct guest guest;
static struct result oracle[NR_ROWS], now;

static void print(const char *whose, const struct result *r)
{
	printf("# %s: reason %d (%s), vector %d, address 0x%lx, rip 0x%lx, flags 0x%lx\n#", whose,
	       r->exit.reason, r->exit.detail ? r->exit.detail : "", r->exit.vector,
	       (unsigned long)r->exit.address, (unsigned long)r->regs.rip,
	       (unsigned long)r->regs.rflags);
	for (int i = 0; i < VL_NR_GPR; i++)
		printf(" %lx", (unsigned long)r->regs.gpr[i]);
	putchar('\n');
}

static bool same(const struct result *a, const struct result *b)
{
	return !memcmp(a->regs.gpr, b->regs.gpr, sizeof(a->regs.gpr)) &&
	       a->regs.rip == b->regs.rip &&
	       !((a->regs.rflags ^ b->regs.rflags) & (FLAGS | FLAG_IF)) &&
	       a->exit.reason == b->exit.reason && a->exit.vector == b->exit.vector &&
	       a->exit.address == b->exit.address && !memcmp(a->data, b->data, sizeof(a->data));
}

static bool as_the_row(const struct row *r, const struct result *n)
{
	if (r->end == HALTED)
		return n->exit.reason == VL_EXIT_HLT;
	return n->exit.reason == VL_EXIT_EXCEPTION && n->exit.vector == r->vector &&
	       (r->vector != 14 || n->exit.address == r->address);
}

/* Code of each row has a place of its own: Unicorn does not see what is written over code. */
#define CODE_ROOM 64UL

static void put_code(void)
{
	for (size_t i = 0; i < NR_ROWS; i++)
		memcpy((char *)guest_page(&guest, P_CODE) + i * CODE_ROOM, rows[i].code,
		       (size_t)(rows[i].code_end - rows[i].code));
}

static void start(struct result *n, uint64_t rip)
{
	*n = (struct result){ .regs = { .rip = rip, .rflags = 2 | FLAG_IF } };
	for (int i = 0; i < VL_NR_GPR; i++)
		n->regs.gpr[i] = MARK + (uint64_t)i;
	n->regs.gpr[VL_RSP] = STACK_VA + STACK_SIZE - 64;
	memset(guest_page(&guest, P_DATA), 0x5a, 2 * VL_PAGE_SIZE);
	*(uint64_t *)guest_page(&guest, P_DATA) = CODE_VA;
}

static void run_row(const struct vl_executor_ops *ops, struct vl_executor_state *e, size_t i)
{
	const struct row *r = &rows[i];

	start(&now, CODE_VA + i * CODE_ROOM);
	now.regs.gpr[VL_RSI] = r->rsi;
	now.regs.gpr[VL_RDI] = r->rdi;
	if (r->rsp)
		now.regs.gpr[VL_RSP] = r->rsp;
	ops->run(e, &now.regs, BUDGET_NS, &now.exit);
	if (now.exit.vector != 14)
		now.exit.address = 0;
	memcpy(now.data, guest_page(&guest, P_DATA), sizeof(now.data));
	now.has = true;
}

static void test_row(const struct vl_executor_ops *ops, struct vl_executor_state *e, size_t i)
{
	bool native = ops == &vl_executor_native, good;
	const struct row *r = &rows[i];

	run_row(ops, e, i);
	if (r->end == PROCESSOR_TOOK && ops == &vl_executor_unicorn)
		return;
	if (r->end == NATIVE_CANNOT) {
		good = !native || (now.exit.reason == VL_EXIT_BROKEN && now.exit.detail &&
				   !strcmp(now.exit.detail, r->what));
		ok(good, "%s: %s", ops->name, r->what);
		if (!good)
			print(ops->name, &now);
		return;
	}
	good = as_the_row(r, &now) && (!oracle[i].has || same(&oracle[i], &now));
	ok(good, "%s: %s", ops->name, r->what);
	if (!good)
		print(ops->name, &now);
	if (!good && oracle[i].has)
		print("the other", &oracle[i]);
	if (!oracle[i].has)
		oracle[i] = now;
}

/* --- code at the end of a page --- */

#define NEXT_VA (CODE_VA + 8 * VL_PAGE_SIZE)

/* The last bytes of a page are @code, and nothing is behind. */
static void put_last(const void *code, size_t len)
{
	memset(guest_page(&guest, P_CODE + 7), 0x90, VL_PAGE_SIZE);
	memcpy((char *)guest_page(&guest, P_CODE + 8) - len, code, len);
}

/* As a call, which has what could not be fetched translated again. */
static void start_call(struct result *n, uint64_t rip)
{
	start(n, rip);
	n->regs.gpr[VL_RSP] -= 8;
	*(uint64_t *)((char *)guest_page(&guest, P_STACK) + STACK_SIZE - 72) = CODE_VA - 8;
}

static void test_edge(const struct vl_executor_ops *ops, struct vl_executor_state *e)
{
	/* Unicorn says where the block begins. */
	bool block = ops == &vl_executor_unicorn;

	*guest_leaf(&guest, NEXT_VA) = 0;
	ops->flush(e);
	put_last("\x31\xc0\x48\x8b", 4); /* xor %eax,%eax; mov ..., of which half is there */
	start(&now, NEXT_VA - 4);
	ops->run(e, &now.regs, BUDGET_NS, &now.exit);
	ok(now.exit.reason == VL_EXIT_EXCEPTION && now.exit.vector == 14 &&
		   now.exit.address == NEXT_VA && now.regs.rip == NEXT_VA - (block ? 4 : 2) &&
		   !now.regs.gpr[VL_RAX] == !block,
	   "%s: half of an instruction is on a page that is not there", ops->name);
	put_last("\x48\x8b\x04\x25", 4);
	start_call(&now, NEXT_VA - 8);
	ops->run(e, &now.regs, BUDGET_NS, &now.exit);
	ok(now.exit.vector == 14 && now.exit.address == NEXT_VA &&
		   now.regs.rip == NEXT_VA - (block ? 8 : 4),
	   "%s: and another", ops->name);
	guest_map(&guest, NEXT_VA, OWN_GPA + (P_CODE + 8) * VL_PAGE_SIZE);
	memcpy(guest_page(&guest, P_CODE + 8), "\x00\x00\x10\x20\xf4", 5); /* ... 0x20100000; hlt */
	ops->flush(e);
	start_call(&now, NEXT_VA - 8);
	ops->run(e, &now.regs, BUDGET_NS, &now.exit);
	ok(now.exit.reason == VL_EXIT_EXCEPTION && now.exit.address == 0x20100000 &&
		   now.regs.rip == NEXT_VA - 4,
	   "%s: by the next call the page is there", ops->name);
}

/* --- what only an engine has that translates --- */

static void test_replace(struct vl_executor_state *e)
{
	static const unsigned char code[] = { 0xb8, 7, 0, 0, 0, 0xf4 }; /* mov $7,%eax; hlt */
	static const unsigned char more[] = { 9, 0 };
	const uint64_t at = CODE_VA + 6 * VL_PAGE_SIZE;
	unsigned char *page = guest_page(&guest, P_CODE + 6);

	memset(page, 0xf4, VL_PAGE_SIZE);
	ok(vl_executor_native.replace(e, at + 2, code, sizeof(code)), "code is replaced");
	memcpy(page, "\x90\x90", 2);
	start(&now, at);
	vl_executor_native.run(e, &now.regs, BUDGET_NS, &now.exit);
	ok(now.exit.reason == VL_EXIT_HLT && now.regs.gpr[VL_RAX] == 7 &&
		   now.regs.rip == at + 2 + sizeof(code) && page[2] == 0xf4,
	   "and runs in place of the guest's, which stays");
	/* A call begins with another return address. */
	vl_executor_native.flush(e);
	ok(vl_executor_native.replace(e, at + 3, more, sizeof(more)), "a part of that is replaced");
	start(&now, at);
	*(uint64_t *)((char *)guest_page(&guest, P_STACK) + STACK_SIZE - 64) = CODE_VA - 8;
	vl_executor_native.run(e, &now.regs, BUDGET_NS, &now.exit);
	ok(now.regs.gpr[VL_RAX] == 9, "what was translated before is translated anew");
	ok(!vl_executor_native.replace(e, at, page, VL_CODE_MAX + 1), "too much is refused");
}

static void test_tsc(struct vl_executor_state *e)
{
	/* rdtsc; mov %rax,%rbx; mov %rdx,%rbp; rdtscp; hlt */
	static const unsigned char code[] = "\x0f\x31\x48\x89\xc3\x48\x89\xd5\x0f\x01\xf9\xf4";
	const uint64_t at = CODE_VA + 5 * VL_PAGE_SIZE, *gpr = now.regs.gpr;

	memcpy(guest_page(&guest, P_CODE + 5), code, sizeof(code));
	vl_executor_native.set_tsc(e, 0x123456789abcdef0);
	start(&now, at);
	vl_executor_native.run(e, &now.regs, BUDGET_NS, &now.exit);
	ok(now.exit.reason == VL_EXIT_HLT && gpr[VL_RBX] == 0x9abcdef0 &&
		   gpr[VL_RBP] == 0x12345678 && gpr[VL_RAX] == gpr[VL_RBX] &&
		   gpr[VL_RDX] == gpr[VL_RBP],
	   "the TSC is what it was set to");
}

/* A guest that has memory where the program is: at once, or later. */
static void test_crowded(struct vl_executor_state *e, const struct vl_vcpu_state *st,
			 const struct vl_vcpu_region *region)
{
	uint64_t va = ((uint64_t)&start & VL_PAGE_MASK) - VL_NATIVE_G;
	struct vl_executor_state *second = NULL;
	struct vl_error *err;

	guest_map(&guest, va, OWN_GPA + P_DATA * VL_PAGE_SIZE);
	vl_executor_native.flush(e);
	start(&now, CODE_VA);
	vl_executor_native.run(e, &now.regs, BUDGET_NS, &now.exit);
	ok(now.exit.reason == VL_EXIT_BROKEN && strstr(now.exit.detail, "where vlens is"),
	   "no run where the guest has memory by now that folds to ours");
	vl_executor_native.destroy(e);
	err = vl_executor_native.create(st, guest.view, region, &second);
	ok(err && strstr(err->message, "where vlens is"), "nor where it has from the start");
	vl_error_destroy(err);
	*guest_leaf(&guest, va) = 0;
}

/* --- what is ours, where the guest has nothing --- */

/* Accesses at rdi and rsi, which are the same. */
/* clang-format off */
#define ACCESS(text) \
	__asm__(".pushsection accesses, \"a\"\n.byte 2f-1f\n1:" text "; hlt\n2:\n.popsection");
ACCESS("mov (%rdi), %rax") ACCESS("mov %al, (%rdi)") ACCESS("mov -64(%rdi), %eax")
ACCESS("mov (%rdi,%rcx,8), %rax") ACCESS("lock incl 0x20000(%rdi,%rcx)") ACCESS("mov (,%rdi), %rax")
ACCESS("movabs $-0xffff900000100000, %rbx; add %rdi, %rbx; mov %gs:(%rbx), %rax")
ACCESS("movups %xmm0, (%rdi)") ACCESS("lock cmpxchg %rbx, (%rdi)") ACCESS("xchg %rax, (%rdi)")
ACCESS("push (%rdi)") ACCESS("pop (%rdi)") ACCESS("call *(%rdi)") ACCESS("jmp *8(%rdi)")
ACCESS("inc %ecx; rep movsb") ACCESS("stosq") ACCESS("lodsl") ACCESS("inc %ecx; repne scasb")
ACCESS("mov %rdi, %rbx; xor %eax, %eax; xlat") ACCESS("mov %rdi, %rcx; mov (%rcx), %rcx")
ACCESS("mov (%rsp), %eax; mov %rdi, %rbp; mov (%rbp), %rax") ACCESS("mov %rdi, %r13; mov %rcx, (%r13)")
ACCESS("lea 8(%rsp), %rax; mov (%rax), %ecx; mov %rdi, %rax; mov (%rax), %ecx")
ACCESS("lea (%rsp), %rax; mov (%rax), %ecx; xchg %rax, %rdi; mov (%rax), %ecx")
ACCESS("lea (%rsp), %rax; mov (%rax), %ecx; push %rdi; pop %rax; mov (%rax), %ecx")
/* A jump behind the access that another one relies on, forwards and backwards. */
ACCESS("test %ecx, %ecx; jz 3f; mov (%rdi), %rax; 3: mov 8(%rdi), %rax")
ACCESS("lea 8(%rsp), %rax; mov (%rax), %ebx; 3: mov (%rax), %ebx; mov %rdi, %rax; jmp 3b")
ACCESS("bts %rcx, (%rdi)") ACCESS("fxsave64 (%rdi)") ACCESS("cmpb $0, 8(%rdi)")
extern const unsigned char __start_accesses[], __stop_accesses[];
/* clang-format on */

#define ACCESS_VA (CODE_VA + 3 * VL_PAGE_SIZE)
#define ACCESS_ROOM 32UL

static unsigned put_accesses(void)
{
	unsigned char *code = guest_page(&guest, P_CODE + 3);
	unsigned nr = 0;

	for (const unsigned char *p = __start_accesses; p < __stop_accesses; p += 1 + *p)
		memcpy(code + ACCESS_ROOM * nr++, p + 1, *p);
	return nr;
}

/* Does each fault at @va as it does where nothing is? */
static bool all_fault(struct vl_executor_state *e, uint64_t va, unsigned nr)
{
	for (unsigned i = 0; i < nr; i++) {
		start(&now, ACCESS_VA + i * ACCESS_ROOM);
		now.regs.gpr[VL_RCX] = 0;
		now.regs.gpr[VL_RSI] = now.regs.gpr[VL_RDI] = va;
		vl_executor_native.run(e, &now.regs, BUDGET_NS, &now.exit);
		if (now.exit.reason == VL_EXIT_EXCEPTION && now.exit.vector == 14 &&
		    now.exit.address - va + 64 <= 0x20000 + 64 &&
		    now.regs.gpr[VL_RSP] == STACK_VA + STACK_SIZE - 64)
			continue;
		printf("# access %u at 0x%lx\n", i, (unsigned long)va);
		print("ours", &now);
		return false;
	}
	return true;
}

static void test_ours(struct vl_executor_state *e)
{
	unsigned nr = put_accesses(), maps = 0;
	bool wrong = false;
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long first, end;
	char line[512];

	while (f && fgets(line, sizeof(line), f) && sscanf(line, "%lx-%lx", &first, &end) == 2) {
		const uint64_t at[] = { first, (first + end) / 2, end - VL_PAGE_SIZE + 16 };

		for (size_t i = 0; i < ARRAY_SIZE(at) && end <= 1UL << 47; i++)
			if (!wrong && !vl_native_is_mapped(e, at[i] - VL_NATIVE_G))
				wrong = !all_fault(e, at[i] - VL_NATIVE_G, nr);
		maps++;
	}
	if (f)
		fclose(f);
	ok(nr > 20 && maps > 20 && !wrong,
	   "%u accesses to each of %u mappings of ours: each is a fault", nr, maps);
}

static void test_native(struct vl_executor_state *e, const struct vl_vcpu_state *st,
			const struct vl_vcpu_region *region)
{
	test_replace(e);
	test_tsc(e);
	test_ours(e);
	test_crowded(e, st, region);
}

/* For the sanitizer, if there is one: what Unicorn loses is none of ours. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libunicorn";
}

static void test_engine(enum vl_executor which, const struct vl_vcpu_state *st,
			const struct vl_vcpu_region *region)
{
	const struct vl_executor_ops *ops;
	char why[VL_EXECUTOR_WHY];
	struct vl_executor_state *e;
	struct vl_error *err = which == VL_EXECUTOR_UNICORN ? vl_emulator_load() : NULL;

	if (err) {
		skip("vmst/unicorn", "%s", err->message);
		vl_error_destroy(err);
		return;
	}
	if (which == VL_EXECUTOR_NATIVE && vl_native_unfit(st)) {
		skip("vmst/native", "%s", vl_native_unfit(st));
		return;
	}
	err = vl_vcpu_create(which, st, guest.view, region, &ops, &e, why);
	if (!ok(!err, "an engine is made%s%s", err ? ": " : "", err ? err->message : "")) {
		vl_error_destroy(err);
		return;
	}
	ops->set_gs(e, DATA_VA, 0);
	for (size_t i = 0; i < NR_ROWS; i++)
		test_row(ops, e, i);
	test_edge(ops, e);
	if (which == VL_EXECUTOR_NATIVE)
		test_native(e, st, region);
	else
		ops->destroy(e);
}

int main(void)
{
	struct vl_vcpu_region region = { OWN_GPA, OWN_SIZE, NULL };
	struct vl_vcpu_state st = {
		.cr0 = 0x80050033,
		.cr3 = OWN_GPA,
		.cr4 = 0x6a0,
		.efer = 0xd01,
		.scratch_va = ROOM_VA,
		.stack_va = STACK_VA,
		.stack_gpa = OWN_GPA + P_STACK * VL_PAGE_SIZE,
		.stack_size = STACK_SIZE,
		.return_va = CODE_VA - 8,
	};

	if (!guest_make(&guest)) {
		printf("Bail out! no guest\n");
		return 1;
	}
	region.host = guest.own;
	st.scratch = guest_page(&guest, P_ROOM);
	for (unsigned i = 0; i < 10; i++)
		guest_map(&guest, CODE_VA + i * VL_PAGE_SIZE,
			  OWN_GPA + (P_CODE + i) * VL_PAGE_SIZE);
	for (unsigned i = 0; i < VL_SCRATCH_PAGES; i++)
		guest_map(&guest, ROOM_VA + i * VL_PAGE_SIZE,
			  OWN_GPA + (P_ROOM + i) * VL_PAGE_SIZE);
	for (unsigned i = 0; i < 2; i++) {
		guest_map(&guest, STACK_VA + i * VL_PAGE_SIZE,
			  OWN_GPA + (P_STACK + i) * VL_PAGE_SIZE);
		guest_map(&guest, DATA_VA + i * VL_PAGE_SIZE,
			  OWN_GPA + (P_DATA + i) * VL_PAGE_SIZE);
	}
	*guest_leaf(&guest, DATA_VA + VL_PAGE_SIZE) &= ~X86_PTE_RW;
	for (unsigned i = 0; i <= NR_STACKS; i++)
		guest_map(&guest, OTHER_STACK + i * STACKS_APART,
			  OWN_GPA + (P_DATA + 4) * VL_PAGE_SIZE);
	guest_map(&guest, LOW_VA, OWN_GPA + P_DATA * VL_PAGE_SIZE);
	put_code();
	test_engine(VL_EXECUTOR_UNICORN, &st, &region);
	test_engine(VL_EXECUTOR_NATIVE, &st, &region);
	guest_unmake(&guest);
	return tap_end();
}
