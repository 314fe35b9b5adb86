/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signals of rewritten code: its faults, and the end of its time budget. */
#include "native.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <Zydis/Zydis.h>

#include "../base/array.h"
#include "base/machine.h"

#define STACK_SIZE (256UL << 10)

static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, VL_MACHINE_SIGNAL };
#define NR_SIGNALS ARRAY_SIZE(signals)

/* Indexed by the numbers of registers in machine code. */
static const int gregs[VL_NR_GPR] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8,	 REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

#define TRAP_GP 13
#define TRAP_PF 14
#define PF_WRITE 2

static uint64_t *reg(ucontext_t *uc, int which)
{
	return (uint64_t *)&uc->uc_mcontext.gregs[which];
}

/* The guest's registers at mark @m. */
static void guest_regs(ucontext_t *uc, const struct vl_native_mark *m, uint64_t regs[VL_NR_GPR])
{
	const struct vl_native_ctl *ctl = VL_CTL;

	for (int i = 0; i < VL_NR_GPR; i++)
		regs[i] = *reg(uc, gregs[i]);
	switch (m ? m->state : VL_STATE_PLAIN) {
	case VL_STATE_RAX:
		regs[VL_RAX] = ctl->rax;
		break;
	case VL_STATE_STRING:
		regs[VL_RDX] = ctl->rdx;
		regs[VL_RDI] -= VL_NATIVE_G;
		break;
	case VL_STATE_CHECK_PERCPU:
		regs[VL_RDX] = ctl->check_rdx;
		/* fall through */
	case VL_STATE_CHECK:
		regs[VL_RCX] = ctl->check_rcx;
		break;
	case VL_STATE_RETURN:
		regs[VL_RCX] = ctl->rcx;
		regs[VL_RDX] = ctl->rdx;
	}
}

/* End the run when the handler returns. */
static void end_run(ucontext_t *uc, const struct vl_native_mark *m, enum vl_native_kind kind,
		    uint64_t va)
{
	struct vl_native_ctl *ctl = VL_CTL;

	guest_regs(uc, m, ctl->regs);
	ctl->rflags = *reg(uc, REG_EFL);
	ctl->kind = kind;
	ctl->va = va;
	*reg(uc, REG_RSP) = ctl->host_rsp;
	*reg(uc, REG_RIP) = (uint64_t)vl_native_leave_signal;
}

static void except(ucontext_t *uc, const struct vl_native_mark *m, uint64_t va, unsigned vector,
		   uint64_t address)
{
	end_run(uc, m, VL_NATIVE_EXCEPTION, va);
	VL_CTL->patch = vector;
	VL_CTL->address = address;
}

/* The guest has nothing at @va. A non-canonical @va can fold to a canonical address. */
static void fault_at(ucontext_t *uc, const struct vl_native_mark *m, uint64_t va)
{
	bool canonical = vl_canonical(va, 4);

	except(uc, m, m->va, canonical ? TRAP_PF : TRAP_GP, canonical ? va : 0);
}

static void give_up(ucontext_t *uc, const struct vl_native_mark *m, uint64_t va, const char *why)
{
	end_run(uc, m, VL_NATIVE_REFUSED, va);
	VL_CTL->why = why;
}

/*
 * A general protection fault has no address. The guest's address may be canonical and not
 * mapped, and only fold to a non-canonical one: to the guest that is a page fault.
 */
static bool has_no_place(uint64_t va)
{
	return vl_canonical(va, 4) && !vl_canonical(vl_native_fold(va), 4);
}

static bool is_barred(uint64_t va)
{
	return *vl_native_barred(va);
}

/* Find an address that the instruction accesses and that @is holds for. False: there is none. */
static bool find_access(struct vl_executor_state *e, ucontext_t *uc, const struct vl_native_mark *m,
			bool (*is)(uint64_t va), uint64_t *address_ret)
{
	uint64_t gpr[VL_NR_GPR];
	ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
	ZydisRegisterContext regs = { 0 };
	ZydisDecodedInstruction d;
	ZydisDecoder decoder;
	unsigned char in[15];
	size_t left = VL_PAGE_SIZE - (m->va & (VL_PAGE_SIZE - 1)), len = sizeof(in);

	if (!vl_native_read(e, m->va, in, len, true)) {
		len = left < len ? left : len;
		if (!vl_native_read(e, m->va, in, len, true))
			return false;
	}
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	if (ZYAN_FAILED(ZydisDecoderDecodeFull(&decoder, in, len, &d, o)))
		return false;
	guest_regs(uc, m, gpr);
	for (int i = 0; i < VL_NR_GPR; i++)
		regs.values[ZYDIS_REGISTER_RAX + i] = gpr[i];
	for (unsigned i = 0; i < d.operand_count; i++) {
		uint64_t va;

		if (o[i].type != ZYDIS_OPERAND_TYPE_MEMORY ||
		    ZYAN_FAILED(ZydisCalcAbsoluteAddressEx(&d, &o[i], m->va, &regs, &va)))
			continue;
		if (o[i].mem.segment == ZYDIS_REGISTER_GS)
			va += VL_CTL->percpu;
		if (is(va)) {
			*address_ret = va;
			return true;
		}
	}
	return false;
}

static const char does_not_fold[] = "an address does not fold";

/* Can push, pop, call, ret or leave access @at with @pointer in rsp or rbp? */
static bool is_near(uint64_t at, uint64_t pointer)
{
	return at - pointer + sizeof(at) < 2 * sizeof(at);
}

/* If the access at @at, in the kernel's half, is to a stack: continue with its low address. */
static bool stack_fault(struct vl_executor_state *e, ucontext_t *uc, const struct vl_native_mark *m,
			uint64_t at)
{
	uint64_t *pointer = reg(uc, REG_RSP), low;

	/* A call notes its return address, a return looks at it. */
	if (vl_native_is_kept(e) && is_near(at - VL_NATIVE_SHADOW, *pointer))
		at -= VL_NATIVE_SHADOW;
	/* leave uses rbp, which can be on one stack while rsp is on another. */
	if (!is_near(at, *pointer))
		pointer = reg(uc, REG_RBP);
	if (!is_near(at, *pointer))
		return false;
	low = vl_native_is_mapped(e, at) ? vl_native_put_stack(e, *pointer) : 0;
	if (low)
		*pointer = low;
	else if (vl_native_is_mapped(e, at))
		give_up(uc, m, m->va, "the kernel has too many stacks");
	else
		except(uc, m, m->va, TRAP_PF, at);
	return true;
}

/* A fault of an access at linear address @at. */
static void page_fault(struct vl_executor_state *e, ucontext_t *uc, const struct vl_native_mark *m,
		       uint64_t at)
{
	/* The stack's instructions use addresses as they are, the others fold them. */
	uint64_t va = at < 1UL << 39 ? at : at - VL_NATIVE_G, gpa = 0;
	bool write = *reg(uc, REG_ERR) & PF_WRITE, is_stack;

	if (at - VL_NATIVE_WALL < VL_PAGE_SIZE) {
		if (find_access(e, uc, m, is_barred, &va))
			fault_at(uc, m, va);
		else
			give_up(uc, m, m->va, does_not_fold);
		return;
	}
	e->nr_faults++;
	e->same_faults =
		e->last_fault == at && e->last_rip == *reg(uc, REG_RIP) ? e->same_faults + 1 : 0;
	e->last_fault = at;
	e->last_rip = *reg(uc, REG_RIP);
	/* The upper half: rsp or rbp is a kernel address, or an address does not fold. */
	if (at >= 1UL << 47) {
		if (stack_fault(e, uc, m, at))
			return;
		if (vl_native_is_mapped(e, va))
			give_up(uc, m, m->va, does_not_fold);
		else
			fault_at(uc, m, va);
		return;
	}
	is_stack = vl_native_stack_va(e, at, &va);
	if (at == va) {
		except(uc, m, m->va, TRAP_PF, va);
		return;
	}
	switch (is_stack ? vl_native_map_page(e, va, at, write, &gpa) :
			   vl_native_map(e, va, write, &gpa)) {
	case VL_PAGE_MAPPED:
		/* It was mapped before, and faults again. */
		if (e->same_faults > 2)
			give_up(uc, m, m->va, "a page cannot be used");
		return;
	case VL_PAGE_FAULT:
		except(uc, m, m->va, TRAP_PF, va);
		return;
	case VL_PAGE_PHYS:
		end_run(uc, m, VL_NATIVE_PHYS, m->va);
		VL_CTL->address = gpa;
		return;
	case VL_PAGE_BROKEN:
		give_up(uc, m, m->va, does_not_fold);
		return;
	}
}

/* Control is at a guest address: a return to an address that the guest's code wrote. */
static void fetch_fault(struct vl_executor_state *e, ucontext_t *uc)
{
	uint64_t va = *reg(uc, REG_RIP), code;

	VL_CTL->why = NULL;
	VL_CTL->patch = 0;
	/* Only the clone's hlt is returned to by the guest's address. */
	if (vl_native_is_kept(e) && va != e->st.return_va) {
		end_run(uc, NULL, VL_NATIVE_LEFT, va);
		vl_native_left(e, VL_WAY_RETURN, 0, va);
		return;
	}
	code = vl_native_code(e, va);
	if (code)
		*reg(uc, REG_RIP) = code;
	else
		give_up(uc, NULL, va, VL_CTL->why);
}

static void guest_signal(struct vl_executor_state *e, int sig, ucontext_t *uc)
{
	uint64_t rip = *reg(uc, REG_RIP), address;
	const struct vl_native_mark *m = vl_native_mark_at(e, rip);

	if (sig == VL_MACHINE_SIGNAL) {
		/* A trampoline has no mark: leave it to the next kick. */
		if (m)
			end_run(uc, m, VL_NATIVE_BUDGET, m->va);
		return;
	}
	if (!m) {
		fetch_fault(e, uc);
		return;
	}
	if (sig == SIGBUS &&
	    vl_snapshot_fill(e->snapshot, *reg(uc, REG_CR2), *reg(uc, REG_ERR) & PF_WRITE))
		return;
	switch (*reg(uc, REG_TRAPNO)) {
	case TRAP_PF:
		page_fault(e, uc, m, *reg(uc, REG_CR2));
		break;
	case TRAP_GP:
		if (find_access(e, uc, m, has_no_place, &address))
			except(uc, m, m->va, TRAP_PF, address);
		else
			except(uc, m, m->va, TRAP_GP, 0);
		break;
	default:
		except(uc, m, m->va, (unsigned)*reg(uc, REG_TRAPNO), 0);
	}
}

/*
 * While the guest's code runs, the base of fs is the guest's: thread-local storage cannot be
 * used. That base also says, in any thread, whether the guest's code runs.
 */
__attribute__((no_stack_protector)) static void on_signal(int sig, siginfo_t *info, void *context)
{
	/* A process has one executor of this kind: ctl is at a fixed address. */
	struct vl_executor_state *e = VL_CTL->executor;
	ucontext_t *uc = context;

	(void)info;
	if (vl_native_fs() == VL_CTL->guest_fs) {
		vl_native_set_fs(VL_CTL->host_fs);
		guest_signal(e, sig, uc);
		if (*reg(uc, REG_RIP) != (uint64_t)vl_native_leave_signal)
			vl_native_set_fs(VL_CTL->guest_fs);
		return;
	}
	/* A fault of our own code: restore the old handlers, so that it faults again. */
	if (sig != VL_MACHINE_SIGNAL)
		for (size_t i = 0; i < NR_SIGNALS; i++)
			sigaction(signals[i], &e->old[i], NULL);
}

static void kick(void *ctx)
{
	struct vl_executor_state *e = ctx;

	pthread_kill(e->thread, VL_MACHINE_SIGNAL);
}

struct vl_error *vl_native_signals(struct vl_executor_state *e)
{
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	stack_t stack = { .ss_size = STACK_SIZE };
	struct vl_error *err;

	e->signal_stack =
		mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (e->signal_stack == MAP_FAILED) {
		e->signal_stack = NULL;
		return vl_error_nomem();
	}
	stack.ss_sp = e->signal_stack;
	e->thread = pthread_self();
	e->watchdog.waits = vl_snapshot_waits(e->snapshot);
	err = vl_watchdog_start(&e->watchdog, kick, e);
	if (err)
		return err;
	sigfillset(&sa.sa_mask);
	VL_CTL->executor = e;
	e->has_signals = true;
	if (sigaltstack(&stack, &e->old_stack))
		return vl_error_os(errno, "cannot set a signal stack");
	for (size_t i = 0; i < NR_SIGNALS; i++)
		if (sigaction(signals[i], &sa, &e->old[i]))
			return vl_error_os(errno, "cannot set a signal handler");
	return NULL;
}

void vl_native_signals_end(struct vl_executor_state *e)
{
	vl_watchdog_stop(&e->watchdog);
	if (e->has_signals) {
		for (size_t i = 0; i < NR_SIGNALS; i++)
			sigaction(signals[i], &e->old[i], NULL);
		sigaltstack(&e->old_stack, NULL);
	}
	if (e->signal_stack)
		munmap(e->signal_stack, STACK_SIZE);
}
