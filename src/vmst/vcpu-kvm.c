/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The clone's vCPU on KVM: the processor itself runs the guest's code, over the snapshot's
 * pages and nothing else. It has no devices and no interrupts.
 *
 * A call costs one entry and one exit. Registers go through the page that is shared with KVM,
 * and a call ends in hlt, which exits to us. An exception ends in hlt, too: the interrupt table
 * is ours, and its gates lead to 256 hlt instructions in one page, so RIP gives the vector. The
 * gates use a stack of their own (IST), so no memory of the guest's changes. The frame that the
 * processor pushes there holds the guest's registers.
 */
#include "executors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../base/machine.h"
#include "../vcpu/watchdog.h"

#define MAX_BLANKS 16

/* Scratch pages. vcpu.h says which can be executed and which can be written. */
enum { SCRATCH_STUBS, SCRATCH_IDT, SCRATCH_TABLES, SCRATCH_STACK };

#define NR_VECTORS 256
#define HLT 0xf4

/* The segments of every Linux kernel: __KERNEL_CS, __KERNEL_DS, __USER32_CS, ... */
#define KERNEL_CS 0x10
#define KERNEL_DS 0x18
#define TSS_SELECTOR 0x40
#define GDT_ENTRIES 16
#define GDT_USER32 0x00cffb000000ffffUL
#define GDT_USER_DATA 0x00cff3000000ffffUL
#define GDT_USER 0x00affb000000ffffUL

/* In the page of tables, behind the GDT. */
#define TSS_OFFSET 0x100
#define TSS_IST1 0x24 /* Intel SDM volume 3, 8.7: 64-bit TSS */
#define TSS_LIMIT 0x67
#define GATE_INTERRUPT_IST1 0x8e01UL /* present, DPL 0, IST 1 */

/* The frame that the processor pushes for an exception, from the top of the stack down. */
enum { FRAME_SS = 1, FRAME_RSP, FRAME_RFLAGS, FRAME_CS, FRAME_RIP };

#define X86_PF_VECTOR 14
#define EFLAGS_RF (1UL << 16)

#define CR0_PE (1UL << 0)
#define CR0_ET (1UL << 4)
#define CR0_PG (1UL << 31)
/* PE, MP, ET, NE, WP, AM, PG. TS and EM are left out: no kernel switches the FPU lazily. */
#define CR0_MASK 0x80050033UL
#define CR4_PGE (1UL << 7)
#define EFER_SCE (1UL << 0)
#define EFER_LME (1UL << 8)
#define EFER_LMA (1UL << 10)
#define EFER_NX (1UL << 11)
#define MSR_KERNEL_GS_BASE 0xc0000102

struct vl_executor_state {
	struct vl_machine m;
	struct vl_watchdog watchdog;
	_Atomic int runner; /* thread id of the thread that runs */
	unsigned char *scratch;
	uint64_t scratch_va;

	/*
	 * The state that a stale vCPU is set to before a run. It is stale when it is new, when
	 * a run was cut off, and when its page tables were changed from outside.
	 */
	struct kvm_sregs sregs;
	uint64_t kernel_gs_base, xcr0;
	bool stale;

	unsigned nr_slots;
	struct blank {
		uint64_t gpa;
		unsigned char *host;
	} blanks[MAX_BLANKS];
	size_t nr_blanks;

	/* KVM waits for the answer to an access that met no memory. */
	bool pending, answered;
	struct vl_regs left; /* the registers when it was reported */

	uint64_t entries;
	char detail[96];
};

static void kick(void *ctx)
{
	struct vl_executor_state *e = ctx;

	/* A thread that is about to enter KVM_RUN returns at once; the signal ends one inside. */
	__atomic_store_n(&e->m.run->immediate_exit, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_tgkill, getpid(), atomic_load(&e->runner), VL_MACHINE_SIGNAL);
}

/* --- making it --- */

static void fill_scratch(struct vl_executor_state *e)
{
	uint64_t *idt = (uint64_t *)(e->scratch + SCRATCH_IDT * VL_PAGE_SIZE);
	uint64_t *gdt = (uint64_t *)(e->scratch + SCRATCH_TABLES * VL_PAGE_SIZE);
	uint64_t stack = e->scratch_va + (SCRATCH_STACK + 1) * VL_PAGE_SIZE;

	memset(e->scratch, HLT, NR_VECTORS);
	for (uint64_t i = 0; i < NR_VECTORS; i++) {
		uint64_t stub = e->scratch_va + i;

		idt[2 * i] = (stub & 0xffff) | KERNEL_CS << 16 | GATE_INTERRUPT_IST1 << 32 |
			     (stub >> 16 & 0xffff) << 48;
		idt[2 * i + 1] = stub >> 32;
	}
	memset(gdt, 0, VL_PAGE_SIZE);
	gdt[KERNEL_CS / 8] = VL_MACHINE_GDT_CODE;
	gdt[KERNEL_DS / 8] = VL_MACHINE_GDT_DATA;
	gdt[KERNEL_DS / 8 + 1] = GDT_USER32;
	gdt[KERNEL_DS / 8 + 2] = GDT_USER_DATA;
	gdt[KERNEL_DS / 8 + 3] = GDT_USER;
	memcpy((unsigned char *)gdt + TSS_OFFSET + TSS_IST1, &stack, sizeof(stack));
}

/* Fill e->sregs for set_state(), from @st and the vCPU's own state. */
static bool make_sregs(struct vl_executor_state *e, const struct vl_vcpu_state *st, uint64_t cr4)
{
	uint64_t tables = e->scratch_va + SCRATCH_TABLES * VL_PAGE_SIZE;
	struct kvm_sregs *s = &e->sregs;

	if (ioctl(e->m.vcpu, KVM_GET_SREGS, s))
		return false;
	s->cr0 = (st->cr0 & CR0_MASK) | CR0_PE | CR0_ET | CR0_PG;
	s->cr2 = 0;
	s->cr3 = st->cr3;
	s->cr4 = cr4;
	s->efer = (st->efer & (EFER_SCE | EFER_NX)) | EFER_LME | EFER_LMA;
	s->cs = vl_machine_code(KERNEL_CS);
	s->ss = vl_machine_data(KERNEL_DS);
	s->ds = s->es = s->fs = s->gs = vl_machine_data(0);
	s->gs.base = st->gs_base;
	s->tr = (struct kvm_segment){ .base = tables + TSS_OFFSET,
				      .limit = TSS_LIMIT,
				      .selector = TSS_SELECTOR,
				      .type = 11,
				      .present = 1 };
	s->ldt = (struct kvm_segment){ .unusable = 1 };
	s->gdt.base = tables;
	s->gdt.limit = GDT_ENTRIES * 8 - 1;
	s->idt.base = e->scratch_va + SCRATCH_IDT * VL_PAGE_SIZE;
	s->idt.limit = NR_VECTORS * 16 - 1;
	memset(s->interrupt_bitmap, 0, sizeof(s->interrupt_bitmap));
	e->kernel_gs_base = st->kernel_gs_base;
	e->stale = true;
	return true;
}

static bool set_state(struct vl_executor_state *e)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = { { .nmsrs = 1 }, { .index = MSR_KERNEL_GS_BASE, .data = e->kernel_gs_base } };
	struct kvm_xcrs xcrs = { .nr_xcrs = 1, .xcrs = { { .xcr = 0, .value = e->xcr0 } } };
	static const struct kvm_vcpu_events none;
	struct kvm_sregs other = e->sregs;

	/* KVM drops cached translations when the paging mode changes. */
	other.cr4 ^= CR4_PGE;
	if (ioctl(e->m.vcpu, KVM_SET_SREGS, &other) || ioctl(e->m.vcpu, KVM_SET_SREGS, &e->sregs) ||
	    ioctl(e->m.vcpu, KVM_SET_MSRS, &msrs) != 1 ||
	    (e->xcr0 && ioctl(e->m.vcpu, KVM_SET_XCRS, &xcrs)) ||
	    /* Drop an exception that was pending when the last run ended. */
	    ioctl(e->m.vcpu, KVM_SET_VCPU_EVENTS, &none))
		return false;
	e->stale = false;
	return true;
}

static struct vl_error *set_features(struct vl_executor_state *e, const struct vl_vcpu_state *st,
				     const struct vl_vcpu_region *own, uint64_t *cr4_ret)
{
	struct kvm_cpuid2 *c;
	struct vl_error *err = vl_machine_cpuid(&e->m, &c);
	const char *missing;
	unsigned bits;

	if (err)
		return err;
	missing = vl_vcpu_missing(st, c, cr4_ret, &e->xcr0);
	bits = vl_machine_phys_bits(c);
	if (missing)
		err = vl_vcpu_lacks(missing);
	else if (bits < 64 && (own->gpa + own->size) >> bits)
		err = vl_error_new(VL_ERR_TARGET, "the guest has memory beyond %u address bits",
				   bits);
	else if (ioctl(e->m.vcpu, KVM_SET_CPUID2, c))
		err = vl_error_os(errno, "KVM_SET_CPUID2");
	free(c);
	return err;
}

static struct vl_error *set_slots(struct vl_executor_state *e, struct vl_snapshot *snapshot,
				  const struct vl_vcpu_region *own)
{
	const struct vl_snapshot_range *ranges;
	bool ok = true;
	size_t nr;

	ranges = vl_snapshot_ranges(snapshot, &nr);
	for (size_t i = 0; ok && i < nr; i++)
		ok = vl_machine_slot(&e->m, e->nr_slots++, ranges[i].gpa, ranges[i].size,
				     ranges[i].host, false);
	ok = ok && vl_machine_slot(&e->m, e->nr_slots++, own->gpa, own->size, own->host, false);
	return ok ? NULL : vl_error_os(errno, "KVM_SET_USER_MEMORY_REGION");
}

static bool can(const struct vl_executor_state *e, int cap)
{
	return ioctl(e->m.kvm, KVM_CHECK_EXTENSION, cap) > 0;
}

static struct vl_error *set_up(struct vl_executor_state *e)
{
	/* Accesses to an MSR that KVM does not know exit to us. */
	struct kvm_enable_cap msrs = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR,
		.args = { KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL },
	};

	/* in Linux since 4.11 and 4.17 */
	if (!can(e, KVM_CAP_IMMEDIATE_EXIT) ||
	    !(ioctl(e->m.kvm, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS) & KVM_SYNC_X86_REGS))
		return vl_error_new(VL_ERR_TARGET, "this KVM is too old");
	if (can(e, KVM_CAP_X86_USER_SPACE_MSR))
		ioctl(e->m.vm, KVM_ENABLE_CAP, &msrs);
	if (!vl_machine_signal_mask(&e->m))
		return vl_error_os(errno, "KVM_SET_SIGNAL_MASK");
	e->m.run->kvm_valid_regs = KVM_SYNC_X86_REGS;
	return NULL;
}

static void kvm_destroy(struct vl_executor_state *e)
{
	if (!e)
		return;
	vl_watchdog_stop(&e->watchdog);
	vl_machine_close(&e->m);
	for (size_t i = 0; i < e->nr_blanks; i++)
		munmap(e->blanks[i].host, VL_PAGE_SIZE);
	free(e);
}

static struct vl_error *kvm_create(const struct vl_vcpu_state *st, struct vl_snapshot *snapshot,
				   const struct vl_vcpu_region *own, struct vl_executor_state **ret)
{
	struct vl_executor_state *e = calloc(1, sizeof(*e));
	struct vl_error *err;
	uint64_t cr4 = 0;

	if (!e)
		return vl_error_nomem();
	e->m = (struct vl_machine)VL_MACHINE_NONE;
	e->scratch = st->scratch;
	e->scratch_va = st->scratch_va;
	if (!vl_snapshot_serves_kernel(snapshot))
		err = vl_error_new(VL_ERR_TARGET, "userfaultfd serves no faults of the host's "
						  "kernel without privilege");
	else
		err = vl_machine_create(&e->m, st->host);
	if (!err)
		err = set_up(e);
	if (!err)
		err = set_features(e, st, own, &cr4);
	if (!err)
		err = set_slots(e, snapshot, own);
	if (!err) {
		fill_scratch(e);
		if (!make_sregs(e, st, cr4) || !set_state(e))
			err = vl_error_os(errno, "KVM does not take the state of the guest's CPU");
	}
	e->watchdog.waits = vl_snapshot_waits(snapshot);
	if (!err)
		err = vl_watchdog_start(&e->watchdog, kick, e);
	if (err) {
		kvm_destroy(e);
		return err;
	}
	*ret = e;
	return NULL;
}

/* --- accesses that meet no memory --- */

static struct blank *find_blank(struct vl_executor_state *e, uint64_t gpa)
{
	for (size_t i = 0; i < e->nr_blanks; i++)
		if (e->blanks[i].gpa == (gpa & VL_PAGE_MASK))
			return &e->blanks[i];
	return NULL;
}

/* Answer the access that KVM waits for from the blank page. */
static void answer(struct vl_executor_state *e, const struct blank *b)
{
	struct kvm_run *run = e->m.run;
	uint64_t off = run->mmio.phys_addr & ~VL_PAGE_MASK;
	uint32_t len = run->mmio.len;

	if (len > sizeof(run->mmio.data) || off + len > VL_PAGE_SIZE)
		return;
	if (run->mmio.is_write)
		memcpy(b->host + off, run->mmio.data, len);
	else
		memcpy(run->mmio.data, b->host + off, len);
}

static struct vl_error *kvm_map_blank(struct vl_executor_state *e, uint64_t gpa)
{
	struct blank *b = find_blank(e, gpa);
	void *page;

	if (!b) {
		if (e->nr_blanks == MAX_BLANKS)
			return vl_error_new(VL_ERR_CRASHED, "too many accesses to device memory");
		page = mmap(NULL, VL_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
		if (page == MAP_FAILED)
			return vl_error_os(errno, "cannot map a page");
		if (!vl_machine_slot(&e->m, e->nr_slots, gpa & VL_PAGE_MASK, VL_PAGE_SIZE, page,
				     false)) {
			struct vl_error *err = vl_error_os(errno, "cannot map device memory");

			munmap(page, VL_PAGE_SIZE);
			return err;
		}
		e->nr_slots++;
		b = &e->blanks[e->nr_blanks++];
		*b = (struct blank){ gpa & VL_PAGE_MASK, page };
	}
	if (e->pending) {
		answer(e, b);
		e->answered = true;
	}
	return NULL;
}

/* The caller does not continue the access: let KVM finish it, and ignore the result. */
static void abandon(struct vl_executor_state *e)
{
	e->m.run->immediate_exit = 1;
	for (int i = 0; i < 16 && !ioctl(e->m.vcpu, KVM_RUN, 0); i++)
		;
	e->pending = false;
	e->stale = true;
}

/* --- running --- */

static void put_regs(struct vl_executor_state *e, const struct vl_regs *r)
{
	e->m.run->s.regs.regs = (struct kvm_regs){
		.rax = r->gpr[VL_RAX],
		.rbx = r->gpr[VL_RBX],
		.rcx = r->gpr[VL_RCX],
		.rdx = r->gpr[VL_RDX],
		.rsi = r->gpr[VL_RSI],
		.rdi = r->gpr[VL_RDI],
		.rsp = r->gpr[VL_RSP],
		.rbp = r->gpr[VL_RBP],
		.r8 = r->gpr[VL_R8],
		.r9 = r->gpr[VL_R9],
		.r10 = r->gpr[VL_R10],
		.r11 = r->gpr[VL_R11],
		.r12 = r->gpr[VL_R12],
		.r13 = r->gpr[VL_R13],
		.r14 = r->gpr[VL_R14],
		.r15 = r->gpr[VL_R15],
		.rip = r->rip,
		.rflags = r->rflags,
	};
	e->m.run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
}

static void get_regs(const struct vl_executor_state *e, struct vl_regs *r)
{
	const struct kvm_regs *k = &e->m.run->s.regs.regs;

	*r = (struct vl_regs){
		.gpr = { k->rax, k->rcx, k->rdx, k->rbx, k->rsp, k->rbp, k->rsi, k->rdi, k->r8,
			 k->r9, k->r10, k->r11, k->r12, k->r13, k->r14, k->r15 },
		.rip = k->rip,
		.rflags = k->rflags,
	};
}

static void broke(struct vl_executor_state *e, struct vl_exit *ret, const char *what,
		  unsigned number)
{
	snprintf(e->detail, sizeof(e->detail), "%s (%u)", what, number);
	ret->reason = VL_EXIT_BROKEN;
	ret->detail = e->detail;
	e->stale = true;
}

/* The vCPU halted: in a stub, which is an exception, or at the end of a call. */
static void on_hlt(struct vl_executor_state *e, struct vl_regs *regs, struct vl_exit *ret)
{
	const uint64_t *top = (uint64_t *)(e->scratch + (SCRATCH_STACK + 1) * VL_PAGE_SIZE);
	uint64_t stub = regs->rip - 1 - e->scratch_va;
	struct kvm_sregs sregs;

	ret->reason = VL_EXIT_HLT;
	if (stub >= NR_VECTORS)
		return;
	ret->reason = VL_EXIT_EXCEPTION;
	ret->vector = (int)stub;
	regs->rip = top[-FRAME_RIP];
	regs->gpr[VL_RSP] = top[-FRAME_RSP];
	/* RF in the frame is for resuming after a breakpoint; there is none. */
	regs->rflags = top[-FRAME_RFLAGS] & ~EFLAGS_RF;
	if (stub == X86_PF_VECTOR && !ioctl(e->m.vcpu, KVM_GET_SREGS, &sregs))
		ret->address = sregs.cr2;
}

/* KVM_RUN returned @error or 0. True: run again. Else the run has ended, for the reason in @ret. */
static bool go_on(struct vl_executor_state *e, int error, struct vl_exit *ret)
{
	struct kvm_run *run = e->m.run;
	const struct blank *b;

	if (error == EINTR || error == EAGAIN || (!error && run->exit_reason == KVM_EXIT_INTR)) {
		ret->reason = VL_EXIT_BUDGET;
		if (!vl_watchdog_over(&e->watchdog)) {
			vl_machine_signal_take();
			return true;
		}
		e->stale = true;
		return false;
	}
	if (error) {
		broke(e, ret, strerror(error), (unsigned)error);
		return false;
	}
	switch (run->exit_reason) {
	case KVM_EXIT_HLT:
		return false;
	case KVM_EXIT_MMIO:
		b = find_blank(e, run->mmio.phys_addr);
		if (b) {
			answer(e, b);
			return true;
		}
		ret->reason = VL_EXIT_PHYS;
		ret->address = run->mmio.phys_addr;
		e->pending = true;
		e->answered = false;
		return false;
	case KVM_EXIT_IO:
		ret->reason = VL_EXIT_PORT;
		e->pending = true;
		e->answered = false;
		return false;
	case KVM_EXIT_X86_RDMSR:
		run->msr.data = 0;
		run->msr.error = 0;
		return true;
	case KVM_EXIT_X86_WRMSR:
		run->msr.error = 0;
		return true;
	case KVM_EXIT_IRQ_WINDOW_OPEN:
		return true;
	case KVM_EXIT_SHUTDOWN:
		broke(e, ret, "a fault that could not be delivered", run->exit_reason);
		return false;
	case KVM_EXIT_INTERNAL_ERROR:
		broke(e, ret, "KVM cannot go on", run->internal.suberror);
		return false;
	default:
		broke(e, ret, "KVM stopped for an unknown reason", run->exit_reason);
		return false;
	}
}

static bool same(const struct vl_regs *a, const struct vl_regs *b)
{
	return !memcmp(a->gpr, b->gpr, sizeof(a->gpr)) && a->rip == b->rip &&
	       a->rflags == b->rflags;
}

static void kvm_run(struct vl_executor_state *e, struct vl_regs *regs, uint64_t budget_ns,
		    struct vl_exit *ret)
{
	bool resumes = e->pending && e->answered && same(&e->left, regs);
	bool again = true, over;
	sigset_t old;

	*ret = (struct vl_exit){ .reason = VL_EXIT_HLT };
	if (e->pending && !resumes)
		abandon(e);
	e->pending = false;
	if ((e->stale && !set_state(e)) || !vl_machine_signal_begin(&old)) {
		broke(e, ret, strerror(errno), (unsigned)errno);
		return;
	}
	if (!resumes)
		put_regs(e, regs);
	atomic_store(&e->runner, (int)syscall(SYS_gettid));
	vl_watchdog_arm(&e->watchdog, budget_ns);
	while (again) {
		int error;

		__atomic_store_n(&e->m.run->immediate_exit, vl_watchdog_over(&e->watchdog),
				 __ATOMIC_SEQ_CST);
		error = ioctl(e->m.vcpu, KVM_RUN, 0) ? errno : 0;
		e->entries++;
		again = go_on(e, error, ret);
	}
	over = vl_watchdog_disarm(&e->watchdog);
	vl_machine_signal_end(&old, over);
	get_regs(e, regs);
	if (ret->reason == VL_EXIT_HLT)
		on_hlt(e, regs, ret);
	e->left = *regs;
}

static void kvm_set_gs(struct vl_executor_state *e, uint64_t gs_base, uint64_t kernel_gs_base)
{
	e->sregs.gs.base = gs_base;
	e->kernel_gs_base = kernel_gs_base;
	e->stale = true;
}

static void kvm_flush(struct vl_executor_state *e)
{
	e->stale = true;
}

static void kvm_count(const struct vl_executor_state *e, struct vl_vcpu_count *ret)
{
	*ret = (struct vl_vcpu_count){ e->entries, vl_machine_exits(&e->m) };
}

const struct vl_executor_ops vl_executor_kvm = {
	.name = "vmst/kvm",
	.create = kvm_create,
	.destroy = kvm_destroy,
	.set_gs = kvm_set_gs,
	.run = kvm_run,
	.flush = kvm_flush,
	.map_blank = kvm_map_blank,
	.count = kvm_count,
};
