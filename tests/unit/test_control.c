/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control stays in verified code (native/control.c): code made by hand takes each way out of it, by
 * data as a guest could have them, and each way that kernels go.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/array.h"
#include "handmade.h"
#include "native/native.h"
#include "tap.h"

/*
 * Guest addresses: verified text, memory of nobody that can be executed, data, a stack of the
 * kernel's.
 */
#define TEXT 0xffffffff81000000UL
#define HEAP 0xffff888000040000UL
#define DATA 0xffff888000050000UL
#define IRQ_STACK 0xffffc90000010000UL
#define NR_IRQ_STACK 4UL
#define STACK 0x20000000UL
#define NR_STACK 4UL
#define HLT 0xffff850000000000UL

enum { P_TEXT = 40, P_HEAP = 42, P_DATA = 43, P_HLT = 44, P_STACK = 48, P_IRQ = 56 };

#define BUDGET_NS 2000000000UL

/* --- the text --- */

/* clang-format off */
__asm__(".pushsection .rodata\n"
	".globl t_start, t_end\n"
	"t_start:\n"
#define LABEL(name) ".globl " #name "\n" #name ":\n"
	LABEL(t_add)	"lea (%rdi,%rsi), %rax; ret\n"
	LABEL(t_big)	"mov $1, %eax\n"
	LABEL(t_middle)	"add $2, %eax; ret\n"
	LABEL(t_seven)	"mov $7, %eax; ret\n"
	/* branches by memory */
	LABEL(t_call)	"call *(%rdi); add $100, %rax; ret\n"
	LABEL(t_far)	"mov %rdi, %rdx; lea 64(%rdx), %rcx; mov 8(%rdx), %rax; call *%rax; add $100, %rax; ret\n"
	LABEL(t_chain)	"mov 24(%rdi), %rax; mov 16(%rax), %rax; call *%rax; ret\n"
	LABEL(t_jump)	"jmp *8(%rdi,%rsi,8)\n"
	/* a retpoline */
	LABEL(t_thunk)	"call 1f; 2: pause; lfence; jmp 2b; 1: mov %rax, (%rsp); ret\n"
	LABEL(t_by)	"mov 16(%rdi), %rax; call t_thunk; add $100, %rax; ret\n"
	LABEL(t_tail)	"mov 16(%rdi), %rax; jmp t_thunk\n"
	/* the same on a processor with SRSO: its return is a call of a function that returns */
	LABEL(t_srso_safe) "lea 8(%rsp), %rsp; ret\n"
	LABEL(t_srso_return) "call t_srso_safe; ud2\n"
	LABEL(t_srso_thunk)
	"call 1f; 2: pause; lfence; jmp 2b; 1: mov %rax, (%rsp); .byte 0xe9; .long t_srso_return - 3f; 3:\n"
	LABEL(t_srso)	"mov 16(%rdi), %rax; call t_srso_thunk; add $100, %rax; ret\n"
	/* a static call: its trampoline is the one place where the text changes */
	LABEL(t_static)	"call t_tramp; add $100, %rax; ret\n"
	LABEL(t_tramp)	".byte 0xe9; .long t_seven - 1f; 1: int3; int3; int3\n"
	/* a jump table */
	LABEL(t_switch)	"jmp *(%rsi,%rdi,8)\n"
	LABEL(t_case0)	"mov $10, %eax; ret\n"
	LABEL(t_case1)	"mov $11, %eax; ret\n"
	/* returns */
	LABEL(t_plant)	"call 1f; mov $9, %eax; ret; 1: mov %rsp, %rdx; mov %rsi, (%rdx); ret\n"
	LABEL(t_push)	"push %rdi; ret\n"
	LABEL(t_drop)	"call 1f; int3; 1: add $8, %rsp; call 1f; int3; 1: lea 8(%rsp), %rsp; mov $5, %eax; ret\n"
	LABEL(t_stale)	"call t_seven; lea -8(%rsp), %rdx; mov %rdx, %rsp; ret\n"
	LABEL(t_pop)	"push %rbx; push %rdi; pop %rbx; mov %rbx, %rax; pop %rbx; ret $16\n"
	LABEL(t_flags)	"push %rcx; stc; call 1f; setc %al; movzbl %al, %eax; pop %rcx; ret; 1: ret\n"
	LABEL(t_deep)	"test %edi, %edi; jz 1f; dec %edi; call t_deep; add $1, %rax; ret; 1: xor %eax, %eax; ret\n"
	/* stacks */
	LABEL(t_switched) "mov %rsp, %rbx; mov %rdi, %rsp; mov $2, %edi; call t_deep; mov %rbx, %rsp; ret\n"
	LABEL(t_frame)	"push %rbp; mov %rsp, %rbp; sub $64, %rsp; mov $3, %edi; call t_deep; leave; ret\n"
	LABEL(t_leave)	"push %rbp; mov %rdi, %rbp; leave; ret\n"
	LABEL(t_store)	"mov %rdi, %rsp; push %rsi; ret\n"
	LABEL(t_other)	"mov %rsp, %rbx; mov %rdi, %rsp; ud2; mov %rbx, %rsp; mov $6, %eax; ret\n"
	/* faults */
	LABEL(t_fault)	"mov (%rdi), %rax; mov $1, %eax; ret\n"
	LABEL(t_fixup)	"mov $-14, %rax; ret\n"
	LABEL(t_bug)	"ud2; mov $4, %eax; ret\n"
	LABEL(t_cut)	".byte 0x48, 0xb8\n" /* a movabs that ends behind the text */
	"t_end: .popsection\n");
/* clang-format on */

extern const unsigned char t_start[], t_end[];
#define EXTERN(name) extern const unsigned char name[];
#define ENTRIES(x) \
	x(t_add) x(t_big) x(t_seven) x(t_call) x(t_far) x(t_chain) x(t_jump) x(t_thunk) x(t_by) \
		x(t_srso_safe) x(t_srso_return) x(t_srso_thunk) x(t_srso) x(t_tail) x(t_static) \
			x(t_tramp) x(t_switch) x(t_plant) x(t_push) x(t_drop) x(t_stale) x(t_pop) \
				x(t_flags) x(t_deep) x(t_switched) x(t_frame) x(t_leave) \
					x(t_store) x(t_other) x(t_fault) x(t_bug) x(t_cut)
ENTRIES(EXTERN)
extern const unsigned char t_middle[], t_case0[], t_case1[], t_fixup[];

#define AT(label) (TEXT + (uint64_t)(label - t_start))

/* --- what may be done --- */

struct rules {
	uint64_t instead;    /* for indirect branches to no entry; 0: stop */
	struct vl_step last; /* that was asked for */
	unsigned asked;
};

static bool is_code(void *ctx, uint64_t va)
{
	(void)ctx;
	return va - TEXT < (uint64_t)(t_end - t_start);
}

static bool is_entry(void *ctx, uint64_t va)
{
	static const unsigned char *const entries[] = {
#define POINTER(name) name,
		ENTRIES(POINTER)
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
		if (va == AT(entries[i]))
			return true;
	return false;
}

static uint64_t elsewhere(void *ctx, const struct vl_step *s)
{
	struct rules *r = ctx;

	r->asked++;
	r->last = *s;
	if (s->way == VL_WAY_JUMP && s->from == AT(t_switch))
		return s->to == AT(t_case0) || s->to == AT(t_case1) ? s->to : 0;
	if (s->way == VL_WAY_START)
		return s->from == AT(t_fault) && s->to == AT(t_fixup) ? s->to : 0;
	return r->instead;
}

static const struct vl_control control = { is_code, is_entry, elsewhere };

/* --- a run --- */

struct machine {
	struct guest g;
	struct vl_executor_state *e;
	uint64_t *data;
	unsigned char *text, *heap;
	struct rules rules;
	struct vl_regs regs;
	struct vl_exit exit;
};

static void go_on(struct machine *m)
{
	vl_executor_native.run(m->e, &m->regs, BUDGET_NS, &m->exit);
}

static void run(struct machine *m, uint64_t va, uint64_t rdi, uint64_t rsi)
{
	uint64_t *top = (uint64_t *)((char *)guest_page(&m->g, P_STACK) + NR_STACK * VL_PAGE_SIZE);

	m->rules.asked = 0;
	vl_executor_native.flush(m->e);
	top[-32] = HLT;
	m->regs = (struct vl_regs){ .rip = va, .rflags = 2 };
	m->regs.gpr[VL_RSP] = STACK + NR_STACK * VL_PAGE_SIZE - 256;
	m->regs.gpr[VL_RDI] = rdi;
	m->regs.gpr[VL_RSI] = rsi;
	go_on(m);
}

static void show(const struct machine *m)
{
	printf("# reason %d (%s) vector %d rip %#lx rax %#lx, way %d from %#lx to %#lx slot %#lx\n",
	       m->exit.reason, m->exit.detail ? m->exit.detail : "", m->exit.vector,
	       (unsigned long)m->regs.rip, (unsigned long)m->regs.gpr[VL_RAX], m->exit.left.way,
	       (unsigned long)m->exit.left.from, (unsigned long)m->exit.left.to,
	       (unsigned long)m->exit.left.slot);
}

static bool gave(const struct machine *m, uint64_t rax)
{
	if (m->exit.reason == VL_EXIT_HLT && m->regs.gpr[VL_RAX] == rax)
		return true;
	show(m);
	return false;
}

static bool left(const struct machine *m, enum vl_way way, uint64_t from, uint64_t to,
		 uint64_t slot)
{
	const struct vl_step *s = &m->exit.left;

	if (m->exit.reason == VL_EXIT_LEFT && s->way == way && s->from == from && s->to == to &&
	    s->slot == slot)
		return true;
	show(m);
	return false;
}

#define SLOT(i) (DATA + 8 * (i))

/* --- the tests --- */

static void test_branches(struct machine *m)
{
	static const struct {
		const char *name;
		const unsigned char *at;
		unsigned offset; /* of the branch's instruction */
		enum vl_way way;
		unsigned slot;
		bool adds;
	} branches[] = {
		{ "a call by memory", t_call, 0, VL_WAY_CALL, 0, true },
		{ "a call by a register", t_far, 11, VL_WAY_CALL, 1, true },
		{ "a call through a pointer to a pointer", t_chain, 8, VL_WAY_CALL, 6, false },
		{ "a tail jump by memory", t_jump, 0, VL_WAY_JUMP, 1, false },
		{ "a call by a retpoline", t_by, 4, VL_WAY_CALL, 2, true },
		{ "a call by a retpoline with SRSO's return", t_srso, 4, VL_WAY_CALL, 2, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(branches); i++) {
		uint64_t at = AT(branches[i].at), slot = SLOT(branches[i].slot);
		uint64_t *word = &m->data[branches[i].slot];
		const char *name = branches[i].name;

		m->data[3] = SLOT(4);
		*word = AT(t_seven);
		run(m, at, DATA, 0);
		ok(gave(m, branches[i].adds ? 107 : 7), "%s goes to a function", name);
		*word = HEAP;
		run(m, at, DATA, 0);
		ok(left(m, branches[i].way, at + branches[i].offset, HEAP, slot),
		   "%s stops before memory of nobody", name);
		*word = AT(t_middle);
		run(m, at, DATA, 0);
		ok(left(m, branches[i].way, at + branches[i].offset, AT(t_middle), slot),
		   "%s stops before the middle of a function", name);
		*word = 0x1234;
		run(m, at, DATA, 0);
		ok(m->exit.reason == VL_EXIT_LEFT && m->exit.left.to == 0x1234,
		   "%s stops before an address of user space", name);
		*word = HEAP;
		m->rules.instead = AT(t_seven);
		run(m, at, DATA, 0);
		ok(gave(m, branches[i].adds ? 107 : 7) && m->rules.asked == 1,
		   "%s goes on with what is known to be right", name);
		m->rules.instead = 0;
		run(m, at, DATA, 0);
		ok(m->exit.reason == VL_EXIT_LEFT, "and that is not remembered");
	}
	m->data[2] = HEAP;
	run(m, AT(t_tail), DATA, 0);
	ok(m->exit.reason == VL_EXIT_LEFT && m->exit.left.way == VL_WAY_JUMP &&
		   m->exit.left.to == HEAP,
	   "a tail jump by a retpoline stops");
	m->data[2] = AT(t_seven);
	run(m, AT(t_tail), DATA, 0);
	ok(gave(m, 7), "and goes to a function");
}

static void test_text(struct machine *m)
{
	int32_t *rel = (int32_t *)(m->text + (t_tramp - t_start) + 1), was = *rel;

	run(m, AT(t_static), 0, 0);
	ok(gave(m, 107), "a static call goes by its trampoline");
	*rel = (int32_t)(TEXT + VL_PAGE_SIZE - (AT(t_tramp) + 5));
	vl_native_reset(m->e);
	run(m, AT(t_static), 0, 0);
	ok(left(m, VL_WAY_ON, AT(t_tramp), TEXT + VL_PAGE_SIZE, 0),
	   "a trampoline that leads elsewhere stops");
	*rel = was;
	vl_native_reset(m->e);
	run(m, AT(t_cut), 0, 0);
	ok(m->exit.reason == VL_EXIT_LEFT && m->exit.left.way == VL_WAY_ON,
	   "an instruction that ends outside of the text stops");
	run(m, HEAP, 0, 0);
	ok(left(m, VL_WAY_START, 0, HEAP, 0), "a call begins in verified code only");
	run(m, AT(t_middle), 0, 0);
	ok(left(m, VL_WAY_START, 0, AT(t_middle), 0), "and at a function");
}

static void test_tables(struct machine *m)
{
	m->data[0] = AT(t_case0);
	m->data[1] = AT(t_case1);
	m->data[2] = AT(t_middle);
	run(m, AT(t_switch), 1, DATA);
	ok(gave(m, 11), "a jump table leads to its function's parts");
	run(m, AT(t_switch), 0, DATA);
	ok(gave(m, 10), "to each of them");
	run(m, AT(t_switch), 2, DATA);
	ok(left(m, VL_WAY_JUMP, AT(t_switch), AT(t_middle), SLOT(2)), "but to no other place");
	run(m, AT(t_call), DATA, 0);
	ok(left(m, VL_WAY_CALL, AT(t_call), AT(t_case0), SLOT(0)),
	   "what a jump table leads to cannot be called");
}

static void test_returns(struct machine *m)
{
	const uint64_t plant = AT(t_plant), from = plant + 17;
	uint64_t emitted;

	run(m, plant, 0, HEAP);
	ok(left(m, VL_WAY_RETURN, from, HEAP, 0), "a return to memory of nobody stops");
	run(m, plant, 0, AT(t_seven));
	ok(left(m, VL_WAY_RETURN, from, AT(t_seven), 0), "a return to a function stops");
	run(m, plant, 0, plant + 5);
	ok(left(m, VL_WAY_RETURN, from, plant + 5, 0),
	   "and so does one behind its call by the guest's address");
	run(m, plant, 0, HLT);
	ok(left(m, VL_WAY_RETURN, from, HLT, 0), "and one to the clone's end");
	run(m, AT(t_seven), 0, 0);
	emitted = vl_native_code(m->e, AT(t_seven));
	run(m, plant, 0, emitted);
	ok(emitted && left(m, VL_WAY_RETURN, from, AT(t_seven), 0),
	   "a return to emitted code of another place stops");
	run(m, plant, 0, emitted + 1);
	ok(m->exit.reason == VL_EXIT_LEFT, "and one to the middle of its instruction");
	run(m, plant, 0, 0);
	ok(left(m, VL_WAY_RETURN, from, 0, 0), "a return to nothing stops");
	run(m, AT(t_push), AT(t_seven), 0);
	ok(left(m, VL_WAY_RETURN, AT(t_push) + 1, AT(t_seven), 0), "a pushed address is no call's");
	run(m, AT(t_drop), 0, 0);
	ok(gave(m, 5), "return addresses can be dropped");
	run(m, AT(t_stale), 0, 0);
	ok(m->exit.reason == VL_EXIT_LEFT && m->exit.left.way == VL_WAY_RETURN,
	   "a return address that was used is void");
	run(m, AT(t_pop), 3, 0);
	ok(gave(m, 3), "a return can drop arguments");
	run(m, AT(t_flags), 0, 0);
	ok(gave(m, 1), "a return changes no flag");
	run(m, AT(t_deep), 300, 0);
	ok(gave(m, 300), "calls nest");
}

static void test_stacks(struct machine *m)
{
	const uint64_t end = IRQ_STACK + NR_IRQ_STACK * VL_PAGE_SIZE;
	const uint64_t ours[] = {
		VL_NATIVE_CODE + 4096, VL_NATIVE_CTL + 128,	  STACK + VL_NATIVE_SHADOW + 64,
		(uint64_t)m,	       (uint64_t)vl_native_enter, 0x1234567800000000UL,
		HEAP + 0x100000000UL,  VL_NATIVE_STACKS + 64,
	};
	unsigned stopped = 0;

	for (int i = 0; i < 3; i++) {
		run(m, AT(t_switched), end - 16 * (uint64_t)i, 0);
		ok(gave(m, 2), "the kernel can switch to a stack of its own");
	}
	run(m, AT(t_frame), 0, 0);
	ok(gave(m, 3), "a frame pointer restores the stack");
	for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
		run(m, AT(t_store), ours[i], AT(t_seven));
		stopped += left(m, VL_WAY_STACK, AT(t_store), ours[i], 0);
		run(m, AT(t_leave), ours[i], 0);
		/* It reads there first, which can be a fault. */
		stopped += (m->exit.reason == VL_EXIT_LEFT && m->exit.left.way == VL_WAY_STACK) ||
			   m->exit.reason == VL_EXIT_EXCEPTION;
	}
	ok(stopped == 2 * ARRAY_SIZE(ours), "no other memory can be a stack (%u of %zu)", stopped,
	   2 * ARRAY_SIZE(ours));
	/* A guest's stack has words that look like return addresses. */
	for (size_t i = 0; i < NR_IRQ_STACK * VL_PAGE_SIZE / 8; i++)
		((uint64_t *)guest_page(&m->g, P_IRQ))[i] = vl_native_code(m->e, AT(t_seven));
	run(m, AT(t_leave), end - 256, 0);
	ok(left(m, VL_WAY_RETURN, AT(t_leave) + 5, AT(t_seven), 0),
	   "what a guest's stack holds is no return address");
}

static void test_exceptions(struct machine *m)
{
	run(m, AT(t_bug), 0, 0);
	ok(m->exit.reason == VL_EXIT_EXCEPTION && m->regs.rip == AT(t_bug), "ud2 is an exception");
	m->regs.rip += 2;
	go_on(m);
	ok(gave(m, 4), "the caller can step over it");
	run(m, AT(t_bug), 0, 0);
	m->regs.rip = AT(t_middle);
	go_on(m);
	ok(left(m, VL_WAY_START, AT(t_bug), AT(t_middle), 0), "but not go elsewhere");
	run(m, AT(t_fault), 0x123456, 0);
	ok(m->exit.reason == VL_EXIT_EXCEPTION && m->exit.vector == 14, "a fault is an exception");
	m->regs.rip = AT(t_fixup);
	go_on(m);
	ok(gave(m, (uint64_t)-14), "which goes on at its fixup");
	run(m, AT(t_fault), 0x123456, 0);
	m->regs.rip = AT(t_case0);
	go_on(m);
	ok(m->exit.reason == VL_EXIT_LEFT, "and at no other place");
	run(m, AT(t_other), IRQ_STACK + NR_IRQ_STACK * VL_PAGE_SIZE, 0);
	ok(m->exit.reason == VL_EXIT_EXCEPTION && m->exit.vector == 6,
	   "an exception on another stack");
	m->regs.rip += 2;
	go_on(m);
	ok(gave(m, 6), "and back");
}

/* A call in a call, as for the fixup of a fault: the outer one goes on where it was. */
static void test_nested(struct machine *m, bool other)
{
	const unsigned char *at = other ? t_other : t_bug;
	uint64_t *page =
		guest_page(&m->g, other ? P_IRQ + NR_IRQ_STACK - 1 : P_STACK + NR_STACK - 1);
	struct vl_regs outer;

	run(m, AT(at), IRQ_STACK + NR_IRQ_STACK * VL_PAGE_SIZE, 0);
	ok(m->exit.reason == VL_EXIT_EXCEPTION, "a call is interrupted");
	outer = m->regs;
	m->regs.rip = AT(t_deep);
	m->regs.gpr[VL_RDI] = 2;
	m->regs.gpr[VL_RSP] = (outer.gpr[VL_RSP] & ~15UL) - 520;
	page[(m->regs.gpr[VL_RSP] & (VL_PAGE_SIZE - 1)) / 8] = HLT;
	go_on(m);
	ok(gave(m, 2), "by another one");
	m->regs = outer;
	m->regs.rip += 2;
	go_on(m);
	ok(gave(m, other ? 6 : 4), "and goes on");
}

/* Without rules all is as it was. */
static void test_free(struct machine *m)
{
	memcpy(m->heap, t_seven, 8);
	m->data[0] = HEAP;
	run(m, AT(t_call), DATA, 0);
	ok(gave(m, 107), "control is kept only where that is wanted");
	run(m, AT(t_plant), 0, AT(t_seven));
	ok(gave(m, 7), "and so are returns");
}

static bool make(struct machine *m, bool kept)
{
	struct vl_vcpu_state st = {
		.cr0 = 0x80050033,
		.cr3 = OWN_GPA,
		.cr4 = 0x6a0,
		.efer = 0xd01,
		.stack_va = STACK,
		.stack_gpa = OWN_GPA + P_STACK * VL_PAGE_SIZE,
		.stack_size = NR_STACK * VL_PAGE_SIZE,
		.return_va = HLT,
		.control = kept ? &control : NULL,
		.ctx = &m->rules,
	};
	struct vl_vcpu_region region = { OWN_GPA, OWN_SIZE, m->g.own };
	struct vl_error *err = vl_executor_native.create(&st, m->g.view, &region, &m->e);

	return ok(!err, "an engine is made%s%s", err ? ": " : "", err ? err->message : "");
}

static void map(struct machine *m, uint64_t va, unsigned page, uint64_t nr)
{
	for (uint64_t i = 0; i < nr; i++)
		guest_map(&m->g, va + i * VL_PAGE_SIZE, OWN_GPA + (page + i) * VL_PAGE_SIZE);
}

int main(void)
{
	struct vl_vcpu_state st = { .cr4 = 0x6a0 };
	struct machine *m = calloc(1, sizeof(*m));

	if (vl_native_unfit(&st)) {
		skip("rewritten code", "%s", vl_native_unfit(&st));
		free(m);
		return tap_end();
	}
	if (!m || !guest_make(&m->g)) {
		printf("Bail out! no guest\n");
		return 1;
	}
	map(m, TEXT, P_TEXT, 2);
	map(m, HEAP, P_HEAP, 1);
	map(m, DATA, P_DATA, 1);
	map(m, HLT, P_HLT, 1);
	map(m, STACK, P_STACK, NR_STACK);
	map(m, IRQ_STACK, P_IRQ, NR_IRQ_STACK);
	m->text = guest_page(&m->g, P_TEXT);
	m->heap = guest_page(&m->g, P_HEAP);
	m->data = guest_page(&m->g, P_DATA);
	memcpy(m->text, t_start, (size_t)(t_end - t_start));
	memset(m->heap, 0xf4, VL_PAGE_SIZE);
	memset(guest_page(&m->g, P_HLT), 0xf4, VL_PAGE_SIZE);
	if (!make(m, true))
		return tap_end();
	test_branches(m);
	test_text(m);
	test_tables(m);
	test_returns(m);
	test_stacks(m);
	test_exceptions(m);
	test_nested(m, false);
	test_nested(m, true);
	vl_executor_native.destroy(m->e);
	if (make(m, false)) {
		test_free(m);
		vl_executor_native.destroy(m->e);
	}
	guest_unmake(&m->g);
	free(m);
	return tap_end();
}
