/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls into the guest's kernel, and the events of a call: a fault with a fixup, a WARN, an attempt
 * to sleep, a lock loop that never ends.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/user.h>

#include "../attach/trusted.h"
#include "../base/array.h"
#include "../host/file.h"
#include "../syscall/answer.h"
#include "clone.h"

/* A call with more exits of its executor than this ends with an error. */
#define MAX_EXITS 20000

#define EFLAGS_IF (1UL << 9)
#define EFLAGS_FIXED (1UL << 1)

static const int sys_gpr[6] = { VL_RDI, VL_RSI, VL_RDX, VL_R10, VL_R8, VL_R9 };

/* "function+0x12", or the bare address. Of a trusted run also a module, whose name is hostile. */
static const char *where(struct vl_clone *c, uint64_t va, char *buf, size_t size)
{
	uint64_t off;
	const char *name = vl_symbol_at(c->attach->kernel, va, &off);

	if (c->attach->trusted)
		vl_trusted_place(c->attach->trusted, va, buf, size);
	else if (name && strcmp(name, VL_NAMELESS) != 0)
		snprintf(buf, size, "%s+0x%lx", name, (unsigned long)off);
	else
		snprintf(buf, size, "0x%lx", (unsigned long)va);
	return buf;
}

/* A word of the stack. A return address in emitted code becomes the guest's. */
static bool read_stack(struct vl_clone *c, uint64_t at, uint64_t *ret)
{
	if (!vl_clone_read64(c, at, ret))
		return false;
	if (c->ops->code_va)
		*ret = c->ops->code_va(c->executor, *ret);
	return true;
}

static struct vl_error *crashed(struct vl_clone *c, const char *what, uint64_t rip)
{
	const struct vl_target *t = c->attach->target;
	const uint64_t moved = vl_target_moved(t);
	struct vl_error *err;
	char buf[128];

	err = vl_error_new(VL_ERR_CRASHED, "the guest's kernel code %s at %s", what,
			   where(c, rip, buf, sizeof(buf)));
	if (vl_target_is_live(t))
		return vl_error_hint(err, "is the guest booting? Try again");
	if (moved)
		return vl_error_hint(
			err, "the file is of several points in time, see 'vlens doctor FILE'; "
			     "raw views, as vpslist, run no code of the guest");
	return vl_error_hint(err, "a lock may be held in this file; raw views, as vpslist, run no "
				  "code of the guest");
}

/*
 * Kernel registers as the kernel lays them on the stack. struct pt_regs has
 * the order of struct user_regs_struct up to ss, which is ABI.
 */
#define PT_REGS_SIZE (21 * 8)

static void regs_to_frame(const struct vl_regs *r, struct user_regs_struct *u)
{
	memset(u, 0, sizeof(*u));
	u->r15 = r->gpr[VL_R15];
	u->r14 = r->gpr[VL_R14];
	u->r13 = r->gpr[VL_R13];
	u->r12 = r->gpr[VL_R12];
	u->rbp = r->gpr[VL_RBP];
	u->rbx = r->gpr[VL_RBX];
	u->r11 = r->gpr[VL_R11];
	u->r10 = r->gpr[VL_R10];
	u->r9 = r->gpr[VL_R9];
	u->r8 = r->gpr[VL_R8];
	u->rax = r->gpr[VL_RAX];
	u->rcx = r->gpr[VL_RCX];
	u->rdx = r->gpr[VL_RDX];
	u->rsi = r->gpr[VL_RSI];
	u->rdi = r->gpr[VL_RDI];
	u->orig_rax = (unsigned long long)-1;
	u->rip = r->rip;
	u->cs = 0x10; /* __KERNEL_CS */
	u->eflags = r->rflags;
	u->rsp = r->gpr[VL_RSP];
	u->ss = 0x18; /* __KERNEL_DS */
}

static void frame_to_regs(const struct user_regs_struct *u, struct vl_regs *r)
{
	r->gpr[VL_R15] = u->r15;
	r->gpr[VL_R14] = u->r14;
	r->gpr[VL_R13] = u->r13;
	r->gpr[VL_R12] = u->r12;
	r->gpr[VL_RBP] = u->rbp;
	r->gpr[VL_RBX] = u->rbx;
	r->gpr[VL_R11] = u->r11;
	r->gpr[VL_R10] = u->r10;
	r->gpr[VL_R9] = u->r9;
	r->gpr[VL_R8] = u->r8;
	r->gpr[VL_RAX] = u->rax;
	r->gpr[VL_RCX] = u->rcx;
	r->gpr[VL_RDX] = u->rdx;
	r->gpr[VL_RSI] = u->rsi;
	r->gpr[VL_RDI] = u->rdi;
	r->rip = u->rip;
	r->rflags = u->eflags;
	r->gpr[VL_RSP] = u->rsp;
}

static struct vl_error *run(struct vl_clone *c, struct vl_regs *regs, int depth);
static struct vl_error *left(struct vl_clone *c, const struct vl_step *s);

/*
 * Handle a fault in kernel code: the guest's fixup_exception() finds the entry of its exception
 * table and changes the registers. *@fixed_ret: it found one. In a trusted run the table is that of
 * the file of the code that faulted.
 */
static struct vl_error *fix_fault(struct vl_clone *c, struct vl_regs *regs,
				  const struct vl_exit *exit, int depth, bool *fixed_ret)
{
	struct user_regs_struct frame;
	struct vl_regs call = { 0 };
	struct vl_error *err;
	uint64_t fn, frame_va, sp, trusted = 0, mark = 0;

	*fixed_ret = false;
	fn = vl_symbol(c->attach->kernel, "fixup_exception");
	if (!fn || depth > 2)
		return NULL;
	if (c->attach->trusted && !c->unverified) {
		trusted = vl_clone_fixup(c, regs->rip);
		if (!trusted || !vl_clone_put_fixup(c, regs->rip, &mark))
			return NULL;
	}
	frame_va = (regs->gpr[VL_RSP] - 256 - PT_REGS_SIZE) & ~15UL;
	sp = frame_va - 8;
	regs_to_frame(regs, &frame);
	if (!vl_clone_write(c, frame_va, &frame, PT_REGS_SIZE) ||
	    !vl_clone_write(c, sp, &c->hlt_va, 8))
		return NULL;
	call.rip = fn;
	call.rflags = EFLAGS_FIXED;
	call.gpr[VL_RSP] = sp;
	call.gpr[VL_RDI] = frame_va;
	call.gpr[VL_RSI] = (uint64_t)exit->vector;
	call.gpr[VL_RDX] = 0;
	call.gpr[VL_RCX] = exit->address;
	err = run(c, &call, depth + 1);
	if (err)
		return err;
	if (!(call.gpr[VL_RAX] & 0xffffffff))
		return NULL;
	if (!vl_clone_read(c, frame_va, &frame, PT_REGS_SIZE))
		return NULL;
	if (frame.rip != mark && trusted)
		return left(c, &(struct vl_step){ VL_WAY_START, regs->rip, frame.rip, 0 });
	frame_to_regs(&frame, regs);
	if (trusted)
		regs->rip = trusted;
	*fixed_ret = true;
	return NULL;
}

/* include/asm-generic/bug.h */
#define BUGFLAG_WARNING 1

/*
 * ud2 (or ud1, since WARN passes its arguments in registers) marks a BUG or a
 * WARN; the bug table says which. A WARN is stepped over. *@len_ret is the
 * instruction's length, 0 for a BUG.
 */
static void look_up_bug(struct vl_clone *c, uint64_t rip, unsigned *len_ret)
{
	const struct vl_kernel *k = c->attach->kernel;
	const struct vl_layout *l = vl_kernel_layout(k);
	uint64_t start = vl_symbol(k, "__start___bug_table");
	uint64_t end = vl_symbol(k, "__stop___bug_table");
	int32_t size = l->offset[VL_F_SIZE_BUG], flags_at = l->offset[VL_F_BUG_FLAGS];
	unsigned char insn[8];

	*len_ret = 0;
	if (!vl_clone_read(c, rip, insn, sizeof(insn)))
		return;
	if (!start || !end || size <= 0 || size > 64 || flags_at < 0 || flags_at > size - 2)
		return;
	for (uint64_t at = start; at < end; at += (uint64_t)size) {
		unsigned char e[64];
		int32_t disp;
		uint16_t flags;

		if (!vl_clone_read(c, at, e, (size_t)size))
			return;
		/* bug_addr_disp: relative to itself (CONFIG_GENERIC_BUG_RELATIVE_POINTERS,
		 * always on x86-64) */
		memcpy(&disp, e, 4);
		if (at + (uint64_t)(int64_t)disp != rip)
			continue;
		memcpy(&flags, e + flags_at, 2);
		if (!(flags & BUGFLAG_WARNING))
			return;
		if (insn[0] == 0x0f && insn[1] == 0x0b) {
			*len_ret = 2;
		} else {
			unsigned i = 0;

			/* prefixes (67, 4x), 0f b9, ModRM with a register operand */
			while (i < 4 && insn[i] != 0x0f)
				i++;
			if (insn[i] == 0x0f && insn[i + 1] == 0xb9)
				*len_ret = i + 3;
		}
		return;
	}
}

/* Is there a ud2 at @rip? Then the kernel gave up: memory changed under it. */
static bool is_bug(struct vl_clone *c, uint64_t rip)
{
	unsigned char insn[2];

	return vl_clone_read(c, rip, insn, sizeof(insn)) && insn[0] == 0x0f && insn[1] == 0x0b;
}

/* A preemption returns at once: there is no task to switch to. */
static bool is_preemption(struct vl_clone *c, uint64_t caller)
{
	uint64_t off;
	const char *name = vl_symbol_at(c->attach->kernel, caller, &off);

	return name && (strstr(name, "preempt_schedule") || strstr(name, "cond_resched"));
}

/*
 * The name of the function that would sleep: the first return address on the stack at @sp
 * outside of the functions that all sleeping goes through.
 */
static const char *sleeper(struct vl_clone *c, uint64_t sp, char *buf, size_t size)
{
	static const char *const common[] = { "schedule", "__wait", "wait_", "mutex",
					      "rwsem",	  "down_",  "rt_",   "prepare_to" };
	uint64_t text = vl_symbol(c->attach->kernel, "_text");
	uint64_t etext = vl_symbol(c->attach->kernel, "_etext");

	snprintf(buf, size, "schedule");
	for (uint64_t at = sp; at < sp + 1024; at += 8) {
		const char *name;
		uint64_t va, off;
		bool skip = false;

		if (!read_stack(c, at, &va))
			break;
		if (va < text || va >= etext)
			continue;
		name = vl_symbol_at(c->attach->kernel, va, &off);
		for (size_t i = 0; name && i < ARRAY_SIZE(common); i++)
			skip |= !!strstr(name, common[i]);
		if (!name || !off || skip || !strcmp(name, VL_NAMELESS))
			continue;
		snprintf(buf, size, "%s", name);
		break;
	}
	return buf;
}

/* Is the call waiting for a page in swap? A retry does not help: its owner has to touch it. */
static bool wants_swap(struct vl_clone *c, uint64_t sp)
{
	for (uint64_t at = sp; at < sp + 2048; at += 8) {
		const char *name;
		uint64_t va, off;

		if (!read_stack(c, at, &va))
			return false;
		name = vl_symbol_at(c->attach->kernel, va, &off);
		if (name && off && !strcmp(name, "do_swap_page"))
			return true;
	}
	return false;
}

static struct vl_error *would_sleep(struct vl_clone *c, uint64_t sp)
{
	char buf[128];

	if (wants_swap(c, sp))
		return vl_error_hint(vl_error_new(VL_ERR_BLOCKED,
						  "memory of the process is in the guest's swap "
						  "space"),
				     "files on the disk are not read");
	return vl_error_new(VL_ERR_BLOCKED, "the guest's kernel would sleep in %s",
			    sleeper(c, sp, buf, sizeof(buf)));
}

/* Control would leave verified code. This ends the call, as a retry would leave it, too. */
static struct vl_error *left(struct vl_clone *c, const struct vl_step *s)
{
	static const char *const ways[] = {
		[VL_WAY_ON] = "goes on",    [VL_WAY_CALL] = "calls",
		[VL_WAY_JUMP] = "jumps",    [VL_WAY_RETURN] = "returns",
		[VL_WAY_START] = "resumes", [VL_WAY_STACK] = "switches its stack",
	};
	char from[128], to[128];

	if (c->attach->trusted && (s->way == VL_WAY_CALL || s->way == VL_WAY_JUMP))
		return vl_clone_left(c, s->to, s);
	return vl_error_hint(
		vl_error_new(VL_ERR_UNVERIFIED,
			     "the guest's kernel code at %s %s to %s, where no verified code is",
			     where(c, s->from, from, sizeof(from)), ways[s->way],
			     where(c, s->to, to, sizeof(to))),
		"it did not run; vcheck examines the guest");
}

static struct vl_error *on_int3(struct vl_clone *c, struct vl_regs *regs)
{
	uint64_t at = regs->rip - 1, caller = 0;

	if (c->int3_schedule && at == c->int3_schedule) {
		read_stack(c, regs->gpr[VL_RSP], &caller);
		if (is_preemption(c, caller)) {
			regs->rip = caller;
			regs->gpr[VL_RSP] += 8;
			return NULL;
		}
		return would_sleep(c, regs->gpr[VL_RSP]);
	}
	for (size_t i = 0; i < c->nr_tsc_sites; i++)
		if (at == c->tsc_sites[i].va) {
			/* rdtsc; the TSC_AUX that rdtscp also returns is not used here */
			regs->gpr[VL_RAX] = (uint32_t)c->tsc;
			regs->gpr[VL_RDX] = c->tsc >> 32;
			regs->rip = at + c->tsc_sites[i].len;
			return NULL;
		}
	for (size_t i = 0; i < c->nr_dead; i++)
		if (at == c->int3_dead[i])
			return crashed(c, "gave up", at);
	return crashed(c, "hit a breakpoint", at);
}

static struct vl_error *unreadable(const struct vl_error *why)
{
	struct vl_error *err =
		vl_error_new(VL_ERR_TARGET, "cannot read the guest's memory: %s", why->message);

	return why->hint ? vl_error_hint(err, "%s", why->hint) : err;
}

/* Run until the call that @regs starts comes back to hlt. */
static struct vl_error *run(struct vl_clone *c, struct vl_regs *regs, int depth)
{
	const struct vl_error *failed;
	struct vl_error *err;
	struct vl_exit exit;
	uint64_t lacked;
	char what[128];
	unsigned len;
	bool fixed;

	for (unsigned exits = 0; exits < MAX_EXITS; exits++) {
		c->ops->run(c->executor, regs, c->budget_ns, &exit);
		failed = vl_snapshot_failed(c->snapshot);
		if (failed)
			return unreadable(failed);
		if (vl_snapshot_lacked(c->snapshot, &lacked))
			return vl_target_lacking(c->attach->target, lacked);
		switch (exit.reason) {
		case VL_EXIT_HLT:
			if (regs->rip == c->hlt_va + 1)
				return NULL;
			return crashed(c, "halted", regs->rip);
		case VL_EXIT_BUDGET:
			c->endless = true;
			return crashed(c, "did not come to an end", regs->rip);
		case VL_EXIT_PHYS:
			err = vl_clone_lacks(c, exit.address);
			if (!err)
				err = c->ops->map_blank(c->executor, exit.address);
			if (err)
				return err;
			break;
		case VL_EXIT_PORT:
			return vl_error_hint(
				vl_error_new(VL_ERR_CRASHED,
					     "the guest's kernel code uses an I/O port at %s",
					     where(c, regs->rip, what, sizeof(what))),
				"the data are in a device, not in memory");
		case VL_EXIT_LEFT:
			return left(c, &exit.left);
		case VL_EXIT_BROKEN:
			c->unfit = true;
			return vl_error_new(VL_ERR_CRASHED, "the executor %s stopped: %s",
					    c->ops->name, exit.detail);
		case VL_EXIT_EXCEPTION:
			if (exit.vector == 3) {
				err = on_int3(c, regs);
				if (err)
					return err;
				break;
			}
			if (exit.vector == 6) {
				look_up_bug(c, regs->rip, &len);
				if (len) {
					regs->rip += len;
					break;
				}
			}
			if (vl_clone_has_left(c, regs, &exit)) {
				if (vl_clone_verify(c, exit.address))
					c->ops->flush(c->executor);
				else if (!vl_clone_instead(c, regs->rip, &regs->rip))
					return vl_clone_left(c, regs->rip, NULL);
				break;
			}
			err = exit.vector == 14 ? vl_clone_lacks_table(c, exit.address) : NULL;
			if (!err)
				err = fix_fault(c, regs, &exit, depth, &fixed);
			if (err)
				return err;
			if (!fixed) {
				/* Perhaps an instruction that this processor lacks. */
				c->unfit |= exit.vector == 6 && !is_bug(c, regs->rip);
				snprintf(what, sizeof(what), "took exception %d (address 0x%lx)",
					 exit.vector, (unsigned long)exit.address);
				return crashed(c, what, regs->rip);
			}
			break;
		}
	}
	return crashed(c, "took exceptions without end", regs->rip);
}

static struct vl_error *call(struct vl_clone *c, uint64_t va, struct vl_regs *regs, uint64_t sp)
{
	sp = (sp & ~15UL) - 8;
	regs->rip = va;
	regs->rflags = EFLAGS_FIXED | EFLAGS_IF;
	regs->gpr[VL_RSP] = sp;
	if (!vl_clone_write(c, sp, &c->hlt_va, 8))
		return vl_error_new(VL_ERR_CRASHED, "the clone has no stack");
	c->nr_calls++;
	/* An earlier call may have failed because its memory was not of one point in time. */
	c->unfit = c->endless = false;
	return run(c, regs, 0);
}

/* Put the arguments' buffers into the user window. False when they do not fit. */
static bool push_args(struct vl_clone *c, const struct vl_arg *args, size_t nr, uint64_t *values)
{
	for (size_t i = 0; i < nr; i++) {
		const struct vl_arg *a = &args[i];

		if (a->kind == VL_INT || !a->buf) {
			values[i] = a->value;
			continue;
		}
		values[i] = vl_clone_user_push(c, a->kind == VL_OUT ? NULL : a->buf, a->len);
		if (!values[i])
			return false;
	}
	return true;
}

/* Copy out what the call @name wrote; it returned @ret. @dirty: c->user_dirty before the call. */
static void pull_args(struct vl_clone *c, const char *name, const struct vl_arg *args, size_t nr,
		      const uint64_t *values, int64_t ret, size_t dirty)
{
	for (size_t i = 0; i < nr; i++) {
		const struct vl_arg *a = &args[i];
		size_t len = a->len;

		if (a->kind == VL_INT || !a->buf)
			continue;
		if (a->kind != VL_IN) {
			/* After an error the length that was written is unknown: copy all. */
			len = ret < 0 ? len : vl_sys_filled(name, a, ret);
			vl_clone_user_pull(c, values[i], a->buf, len);
		}
		if (dirty < values[i] - c->user_va + len)
			dirty = values[i] - c->user_va + len;
	}
	c->user_dirty = dirty;
}

struct vl_error *vl_clone_syscall(struct vl_clone *c, const char *name, const struct vl_arg *args,
				  size_t nr, int64_t *ret)
{
	struct user_regs_struct frame;
	struct vl_regs regs = { 0 };
	uint64_t values[6] = { 0 };
	size_t mark = c->user_used, dirty = c->user_dirty;
	struct vl_error *err;
	uint64_t fn, frame_va;
	char symbol[80];

	/*
	 * Handlers take a struct pt_regs * since "syscalls/x86: Use 'struct pt_regs' based
	 * syscall calling convention for 64-bit syscalls" (4.17).
	 */
	snprintf(symbol, sizeof(symbol), "__x64_sys_%s", name);
	fn = vl_symbol(c->attach->kernel, symbol);
	if (!fn) {
		*ret = -ENOSYS;
		return NULL;
	}
	if (nr > 6 || !push_args(c, args, nr, values)) {
		c->user_used = mark;
		*ret = -E2BIG;
		return NULL;
	}
	for (size_t i = 0; i < 6; i++)
		regs.gpr[sys_gpr[i]] = values[i];
	regs_to_frame(&regs, &frame);
	frame_va = c->stack_top - 512;
	vl_clone_write(c, frame_va, &frame, PT_REGS_SIZE);
	memset(&regs, 0, sizeof(regs));
	regs.gpr[VL_RDI] = frame_va;
	err = call(c, fn, &regs, frame_va - 64);
	if (!err) {
		*ret = vl_sys_check(name, args, nr, (int64_t)regs.gpr[VL_RAX]);
		pull_args(c, name, args, nr, values, *ret, dirty);
	}
	c->user_used = mark;
	return err;
}
