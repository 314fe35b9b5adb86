/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The clone's vCPU on Unicorn (2.1 or later: before that it has no x86 MMU).
 *
 * Hooks on code or memory, an instruction count and uc_emu_start's own timeout all slow every
 * call (a timeout starts a thread each time), so breakpoints are int3 in the clone's private
 * text, and the budget is kept by one watchdog thread. A hook on blocks is compared with its
 * range when a block is translated, so it costs nothing outside of it: it covers code of
 * modules only.
 */
#include "executors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "unicorn_api.h"
#include "../vcpu/watchdog.h"

#define MAX_BLANKS 16

struct vl_executor_state {
	struct vl_unicorn_api api;
	uc_engine *uc;
	struct vl_vcpu_state st;
	int vector;	   /* of the exception that stopped the run, or -1 */
	bool faulted;	   /* a run ended by an exception: get_over_fault() */
	uc_context *fresh; /* the state before the first run */
	uint64_t phys_address;
	bool phys_missing;
	bool port; /* the run stopped at an I/O instruction, at port_rip */
	uint64_t port_rip;

	void *blanks[MAX_BLANKS];
	size_t nr_blanks;

	struct vl_watchdog watchdog;
};

static const int gpr_ids[VL_NR_GPR + 2] = {
	UC_X86_REG_RAX, UC_X86_REG_RCX, UC_X86_REG_RDX,	   UC_X86_REG_RBX, UC_X86_REG_RSP,
	UC_X86_REG_RBP, UC_X86_REG_RSI, UC_X86_REG_RDI,	   UC_X86_REG_R8,  UC_X86_REG_R9,
	UC_X86_REG_R10, UC_X86_REG_R11, UC_X86_REG_R12,	   UC_X86_REG_R13, UC_X86_REG_R14,
	UC_X86_REG_R15, UC_X86_REG_RIP, UC_X86_REG_RFLAGS,
};

bool vl_emulator_is_built(void)
{
	return true;
}

struct vl_error *vl_emulator_load(void)
{
	struct vl_unicorn_api unused;

	return vl_unicorn_load(&unused);
}

static void stop(void *ctx)
{
	struct vl_executor_state *e = ctx;

	e->api.emu_stop(e->uc);
}

static void on_exception(uc_engine *uc, uint32_t vector, void *ctx)
{
	struct vl_executor_state *e = ctx;

	e->vector = (int)vector;
	e->api.emu_stop(uc);
}

static void on_block(uc_engine *uc, uint64_t address, uint32_t size, void *ctx)
{
	struct vl_executor_state *e = ctx;

	(void)uc;
	e->st.on_code(e->st.ctx, address);
	/* A block that was cut off has no size. */
	if (size > 1 && size < VL_PAGE_SIZE)
		e->st.on_code(e->st.ctx, address + size - 1);
}

static bool on_unmapped(uc_engine *uc, uc_mem_type type, uint64_t address, int size, int64_t value,
			void *ctx)
{
	struct vl_executor_state *e = ctx;

	(void)uc, (void)type, (void)size, (void)value;
	e->phys_missing = true;
	e->phys_address = address;
	return false;
}

static void on_port(uc_engine *uc, struct vl_executor_state *e)
{
	if (e->port)
		return; /* the rest of the block still runs */
	e->port = true;
	e->api.reg_read(uc, UC_X86_REG_RIP, &e->port_rip);
	e->api.emu_stop(uc);
}

static uint32_t on_in(uc_engine *uc, uint32_t port, int size, void *ctx)
{
	(void)port, (void)size;
	on_port(uc, ctx);
	return 0;
}

static void on_out(uc_engine *uc, uint32_t port, int size, uint32_t value, void *ctx)
{
	(void)port, (void)size, (void)value;
	on_port(uc, ctx);
}

static void set_msr(struct vl_executor_state *e, uint32_t msr, uint64_t value)
{
	uc_x86_msr m = { .rid = msr, .value = value };

	e->api.reg_write(e->uc, UC_X86_REG_MSR, &m);
}

/* MSR numbers: Intel SDM, volume 4. */
#define MSR_EFER 0xc0000080
#define MSR_KERNEL_GS_BASE 0xc0000102

static void unicorn_set_gs(struct vl_executor_state *e, uint64_t gs_base, uint64_t kernel_gs_base)
{
	e->api.reg_write(e->uc, UC_X86_REG_GS_BASE, &gs_base);
	set_msr(e, MSR_KERNEL_GS_BASE, kernel_gs_base);
}

static void set_state(struct vl_executor_state *e, const struct vl_vcpu_state *st)
{
	uc_x86_mmr gdt = { .base = st->gdt_base, .limit = st->gdt_limit };
	uint64_t cr0 = st->cr0, cr3 = st->cr3, cr4 = st->cr4;

	e->api.reg_write(e->uc, UC_X86_REG_GDTR, &gdt);
	set_msr(e, MSR_EFER, st->efer);
	e->api.reg_write(e->uc, UC_X86_REG_CR4, &cr4);
	e->api.reg_write(e->uc, UC_X86_REG_CR3, &cr3);
	e->api.reg_write(e->uc, UC_X86_REG_CR0, &cr0);
	unicorn_set_gs(e, st->gs_base, st->kernel_gs_base);
}

static void unicorn_destroy(struct vl_executor_state *e)
{
	if (!e)
		return;
	vl_watchdog_stop(&e->watchdog);
	if (e->fresh)
		e->api.context_free(e->fresh);
	if (e->uc)
		e->api.close(e->uc);
	for (size_t i = 0; i < e->nr_blanks; i++)
		munmap(e->blanks[i], VL_PAGE_SIZE);
	free(e);
}

static void destroyp(struct vl_executor_state **e)
{
	unicorn_destroy(*e);
}

static struct vl_error *uc_error(const struct vl_executor_state *e, uc_err err, const char *what)
{
	return vl_error_new(VL_ERR_OS, "cannot %s: unicorn: %s", what, e->api.strerror(err));
}

static struct vl_error *unicorn_create(const struct vl_vcpu_state *st, struct vl_snapshot *snapshot,
				       const struct vl_vcpu_region *own,
				       struct vl_executor_state **ret)
{
	_cleanup_(destroyp) struct vl_executor_state *e = calloc(1, sizeof(*e));
	const struct vl_snapshot_range *ranges;
	struct vl_error *error;
	uc_hook hook;
	uc_err err;
	size_t nr;

	if (!e)
		return vl_error_nomem();
	e->st = *st;
	error = vl_unicorn_load(&e->api);
	if (error)
		return error;
	err = e->api.open(UC_ARCH_X86, UC_MODE_64, &e->uc);
	if (err) {
		e->uc = NULL;
		return uc_error(e, err, "make a virtual CPU");
	}
	/* A CPU model with SMAP: on others stac in the guest's text is an invalid opcode. */
	err = e->api.ctl(e->uc, UC_CTL_WRITE(UC_CTL_CPU_MODEL, 1), UC_CPU_X86_ICELAKE_SERVER);
	ranges = vl_snapshot_ranges(snapshot, &nr);
	for (size_t i = 0; !err && i < nr; i++)
		err = e->api.mem_map_ptr(e->uc, ranges[i].gpa, ranges[i].size, UC_PROT_ALL,
					 ranges[i].host);
	if (!err)
		err = e->api.mem_map_ptr(e->uc, own->gpa, own->size, UC_PROT_ALL, own->host);
	if (!err)
		err = e->api.hook_add(e->uc, &hook, UC_HOOK_INTR, on_exception, e, 1, 0);
	if (!err)
		err = e->api.hook_add(e->uc, &hook, UC_HOOK_MEM_UNMAPPED, on_unmapped, e, 1, 0);
	if (!err)
		err = e->api.hook_add(e->uc, &hook, UC_HOOK_INSN, on_in, e, 1, 0, UC_X86_INS_IN);
	if (!err)
		err = e->api.hook_add(e->uc, &hook, UC_HOOK_INSN, on_out, e, 1, 0, UC_X86_INS_OUT);
	if (!err && st->code_from)
		err = e->api.hook_add(e->uc, &hook, UC_HOOK_BLOCK, on_block, e, st->code_from,
				      UINT64_MAX);
	if (err)
		return uc_error(e, err, "set up a virtual CPU");
	e->watchdog.waits = vl_snapshot_waits(snapshot);
	error = vl_watchdog_start(&e->watchdog, stop, e);
	if (error)
		return error;
	set_state(e, st);
	err = e->api.context_alloc(e->uc, &e->fresh);
	if (!err)
		err = e->api.context_save(e->uc, e->fresh);
	if (err)
		return uc_error(e, err, "keep the state of a virtual CPU");
	*ret = vl_taken(e);
	return NULL;
}

#define NR_XMM 16

/* Registers that get_over_fault() keeps, besides XMM. A run sets the general ones. */
static const int kept_ids[] = { UC_X86_REG_CR0, UC_X86_REG_CR3, UC_X86_REG_CR4,
				UC_X86_REG_GS_BASE };
#define NR_KEPT ARRAY_SIZE(kept_ids)

/*
 * Faults are not delivered here, so Unicorn would take the next one for a fault during
 * delivery: a double fault, and the one after that for a reset. The state before the first run
 * has no fault pending: restore it.
 */
static void get_over_fault(struct vl_executor_state *e)
{
	uc_x86_msr gs = { .rid = MSR_KERNEL_GS_BASE };
	uint64_t kept[NR_KEPT], now, xmm[NR_XMM][2];

	for (size_t i = 0; i < NR_KEPT; i++)
		e->api.reg_read(e->uc, kept_ids[i], &kept[i]);
	for (int i = 0; i < NR_XMM; i++)
		e->api.reg_read(e->uc, UC_X86_REG_XMM0 + i, xmm[i]);
	e->api.reg_read(e->uc, UC_X86_REG_MSR, &gs);
	e->api.context_restore(e->uc, e->fresh);
	/* A write to a control register drops translated code: write those that differ only. */
	for (size_t i = 0; i < NR_KEPT; i++)
		if (!e->api.reg_read(e->uc, kept_ids[i], &now) && now != kept[i])
			e->api.reg_write(e->uc, kept_ids[i], &kept[i]);
	for (int i = 0; i < NR_XMM; i++)
		e->api.reg_write(e->uc, UC_X86_REG_XMM0 + i, xmm[i]);
	e->api.reg_write(e->uc, UC_X86_REG_MSR, &gs);
	e->faulted = false;
}

static void unicorn_run(struct vl_executor_state *e, struct vl_regs *regs, uint64_t budget_ns,
			struct vl_exit *ret)
{
	int ids[VL_NR_GPR + 2];
	void *vals[VL_NR_GPR + 2];
	bool expired;
	uc_err err;

	memcpy(ids, gpr_ids, sizeof(ids));
	for (int i = 0; i < VL_NR_GPR; i++)
		vals[i] = &regs->gpr[i];
	vals[VL_NR_GPR] = &regs->rip;
	vals[VL_NR_GPR + 1] = &regs->rflags;

	e->vector = -1;
	e->phys_missing = false;
	e->port = false;
	if (e->faulted)
		get_over_fault(e);
	e->api.reg_write_batch(e->uc, ids, vals, VL_NR_GPR + 2);
	vl_watchdog_arm(&e->watchdog, budget_ns);
	/* The end address 0 is never reached: a call ends in our hlt. */
	err = e->api.emu_start(e->uc, regs->rip, 0, 0, 0);
	expired = vl_watchdog_disarm(&e->watchdog);
	e->api.reg_read_batch(e->uc, ids, vals, VL_NR_GPR + 2);

	*ret = (struct vl_exit){ .reason = VL_EXIT_HLT };
	if (e->port) {
		ret->reason = VL_EXIT_PORT;
		regs->rip = e->port_rip;
		e->faulted |= e->vector >= 0;
	} else if (e->phys_missing) {
		ret->reason = VL_EXIT_PHYS;
		ret->address = e->phys_address;
	} else if (e->vector >= 0) {
		ret->reason = VL_EXIT_EXCEPTION;
		ret->vector = e->vector;
		e->faulted = true;
		if (e->vector == 14)
			e->api.reg_read(e->uc, UC_X86_REG_CR2, &ret->address);
	} else if (err == UC_ERR_INSN_INVALID) {
		/* Unicorn reports this as an error; to the guest it is an exception (#UD). */
		ret->reason = VL_EXIT_EXCEPTION;
		ret->vector = 6;
	} else if (err) {
		ret->reason = VL_EXIT_BROKEN;
		ret->detail = e->api.strerror(err);
	} else if (expired) {
		ret->reason = VL_EXIT_BUDGET;
	}
}

static void unicorn_flush(struct vl_executor_state *e)
{
	e->api.ctl(e->uc, UC_CTL_WRITE(UC_CTL_TLB_FLUSH, 0));
}

static struct vl_error *unicorn_map_blank(struct vl_executor_state *e, uint64_t gpa)
{
	void *page;
	uc_err err;

	if (e->nr_blanks == MAX_BLANKS)
		return vl_error_new(VL_ERR_CRASHED, "too many accesses to device memory");
	page = mmap(NULL, VL_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED)
		return vl_error_os(errno, "cannot map a page");
	err = e->api.mem_map_ptr(e->uc, gpa & VL_PAGE_MASK, VL_PAGE_SIZE, UC_PROT_ALL, page);
	if (err) {
		munmap(page, VL_PAGE_SIZE);
		return uc_error(e, err, "map device memory");
	}
	e->blanks[e->nr_blanks++] = page;
	return NULL;
}

const struct vl_executor_ops vl_executor_unicorn = {
	.name = "vmst/unicorn",
	.create = unicorn_create,
	.destroy = unicorn_destroy,
	.set_gs = unicorn_set_gs,
	.run = unicorn_run,
	.flush = unicorn_flush,
	.map_blank = unicorn_map_blank,
};
