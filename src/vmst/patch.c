/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel functions that a clone replaces, as a table.
 *
 * The clone is alone and private. A lock whose holder was paused will never be released, so the
 * slow path of every lock grants it. Other CPUs never answer, so calls to them return at once.
 * The clone cannot wait, so a function that sleeps becomes an int3, which ends the call. A function
 * that a kernel lacks is skipped. All are entered by a call, so a patch is the whole body of a
 * function and ends in `ret`.
 */
#include <string.h>

#include "../base/array.h"
#include "clone.h"

enum patch_kind {
	P_BYTES,    /* @code as it is */
	P_MUTEX,    /* mark the mutex as held by the identity, return 0 */
	P_RT_MUTEX, /* the same for the mutex under every lock of PREEMPT_RT */
	P_RWSEM_RD, /* mark it as held by one reader, return it */
	P_RWSEM_WR, /* mark it as held by the identity, return it */
	P_SCHEDULE, /* int3: the call would sleep */
	P_DEAD,	    /* int3: the kernel gave up */
};

struct patch {
	const char *symbol;
	enum patch_kind kind;
	const char *code;
	size_t len;
};

/* clang-format off */
#define BYTES(sym, bytes) { sym, P_BYTES, bytes, sizeof(bytes) - 1 }
#define RETURN(sym) BYTES(sym, "\xc3")		  /* ret */
#define RETURN_0(sym) BYTES(sym, "\x31\xc0\xc3") /* xor %eax,%eax; ret */
#define RETURN_1(sym) BYTES(sym, "\xb8\x01\x00\x00\x00\xc3")
/*
 * movl $1,(%rdi); ret: _Q_LOCKED_VAL, no pending bit, no queue
 * (include/asm-generic/qspinlock_types.h)
 */
#define SPIN_LOCK(sym) BYTES(sym, "\xc7\x07\x01\x00\x00\x00\xc3")
/* clang-format on */

static const struct patch patches[] = {
	SPIN_LOCK("queued_spin_lock_slowpath"),
	SPIN_LOCK("native_queued_spin_lock_slowpath"),
	SPIN_LOCK("__pv_queued_spin_lock_slowpath"),
	/* movl $_QR_BIAS,(%rdi): one reader; movl $_QW_LOCKED,(%rdi): a writer
	 * (include/asm-generic/qrwlock.h) */
	BYTES("queued_read_lock_slowpath", "\xc7\x07\x00\x02\x00\x00\xc3"),
	BYTES("queued_write_lock_slowpath", "\xc7\x07\xff\x00\x00\x00\xc3"),
	{ "__mutex_lock_slowpath", P_MUTEX, NULL, 0 },
	{ "__mutex_lock_killable_slowpath", P_MUTEX, NULL, 0 },
	{ "__mutex_lock_interruptible_slowpath", P_MUTEX, NULL, 0 },
	{ "rwsem_down_read_slowpath", P_RWSEM_RD, NULL, 0 },
	{ "rwsem_down_write_slowpath", P_RWSEM_WR, NULL, 0 },
	/* Called with the mutex's own spinlock held. */
	{ "rtlock_slowlock_locked", P_RT_MUTEX, NULL, 0 },
	{ "__rt_mutex_slowlock_locked", P_RT_MUTEX, NULL, 0 },
	RETURN_1("__percpu_down_read"),
	/* No other task runs in a clone. */
	RETURN_0("try_to_wake_up"),
	RETURN("preempt_schedule"),
	RETURN("preempt_schedule_notrace"),
	RETURN_0("__cond_resched"),
	RETURN_0("dynamic_cond_resched"),
	/* Other CPUs. */
	RETURN_0("smp_call_function_many_cond"),
	RETURN_0("smp_call_function_many"),
	RETURN_0("smp_call_function_single"),
	RETURN_0("smp_call_function_single_async"),
	RETURN("native_smp_send_reschedule"),
	RETURN("native_send_call_func_single_ipi"),
	RETURN("native_send_call_func_ipi"),
	RETURN("arch_irq_work_raise"),
	RETURN("kick_process"),
	/* No other CPU runs, so no RCU reader is left. */
	RETURN("synchronize_rcu"),
	RETURN("synchronize_rcu_expedited"),
	RETURN("synchronize_srcu"),
	RETURN("rcu_barrier"),
	RETURN("invoke_rcu_core"),
	/*
	 * A list that was copied in the middle of a change is not a reason to BUG: the clone goes
	 * on, as a kernel without these checks does (lib/list_debug.c; since 6.6
	 * ..._or_report).
	 */
	RETURN_1("__list_add_valid"),
	RETURN_1("__list_add_valid_or_report"),
	RETURN_1("__list_del_entry_valid"),
	RETURN_1("__list_del_entry_valid_or_report"),
	/* No modprobe runs for us (sock_diag asks for tcp_diag): movl $-ENOENT,%eax; ret */
	BYTES("__request_module", "\xb8\xfe\xff\xff\xff\xc3"),
	/* Delays: time stands still. */
	RETURN("__delay"),
	RETURN("__udelay"),
	RETURN("__ndelay"),
	RETURN("__const_udelay"),
	/* A WARN must not spend the call's budget on the log. */
	RETURN_0("vprintk_emit"),
	RETURN_0("vprintk"),
	RETURN("__warn"),
	RETURN("__warn_printk"),
	RETURN("warn_slowpath_fmt"),
	{ "__schedule", P_SCHEDULE, NULL, 0 },
	{ "panic", P_DEAD, NULL, 0 },
	{ "vpanic", P_DEAD, NULL, 0 },
	{ "do_exit", P_DEAD, NULL, 0 },
	{ "make_task_dead", P_DEAD, NULL, 0 },
	{ "__stack_chk_fail", P_DEAD, NULL, 0 },
};

/* ModRM 0x87: the operand disp32(%rdi), register field 0. */
static size_t emit_store_imm(unsigned char *p, int32_t disp, int32_t imm)
{
	/* movq $imm32,disp32(%rdi) */
	memcpy(p, "\x48\xc7\x87", 3);
	memcpy(p + 3, &disp, 4);
	memcpy(p + 7, &imm, 4);
	return 11;
}

static size_t emit_store_task(unsigned char *p, int32_t disp, uint64_t task)
{
	/* movabs $task,%rax; mov %rax,disp32(%rdi) */
	memcpy(p, "\x48\xb8", 2);
	memcpy(p + 2, &task, 8);
	memcpy(p + 10, "\x48\x89\x87", 3);
	memcpy(p + 13, &disp, 4);
	return 17;
}

/*
 * RWSEM_READER_BIAS and RWSEM_WRITER_LOCKED, kernel/locking/rwsem.c since
 * "locking/rwsem: Implement a new locking scheme" (5.3).
 */
#define RWSEM_READER 0x100
#define RWSEM_WRITER 1

static size_t emit(const struct patch *p, const struct vl_layout *l, uint64_t task,
		   unsigned char *code)
{
	int32_t owner;
	size_t n = 0;

	switch (p->kind) {
	case P_BYTES:
		memcpy(code, p->code, p->len);
		return p->len;
	case P_MUTEX:
	case P_RT_MUTEX:
		owner = l->offset[p->kind == P_MUTEX ? VL_F_MUTEX_OWNER : VL_F_RT_MUTEX_OWNER];
		if (owner == VL_NO_FIELD)
			return 0;
		n = emit_store_task(code, owner, task);
		memcpy(code + n, "\x31\xc0\xc3", 3);
		return n + 3;
	case P_RWSEM_RD:
	case P_RWSEM_WR:
		if (!vl_has(l, VL_F_RWSEM_COUNT) || !vl_has(l, VL_F_RWSEM_OWNER))
			return 0;
		n = emit_store_imm(code, l->offset[VL_F_RWSEM_COUNT],
				   p->kind == P_RWSEM_RD ? RWSEM_READER : RWSEM_WRITER);
		if (p->kind == P_RWSEM_WR)
			n += emit_store_task(code + n, l->offset[VL_F_RWSEM_OWNER], task);
		/* mov %rdi,%rax; ret */
		memcpy(code + n, "\x48\x89\xf8\xc3", 4);
		return n + 4;
	case P_SCHEDULE:
	case P_DEAD:
		code[0] = 0xcc; /* int3 */
		return 1;
	}
	return 0;
}

static void apply(struct vl_clone *c, const struct patch *p, uint64_t va)
{
	const struct vl_kernel *k = c->attach->kernel;
	unsigned char code[VL_CODE_MAX];
	uint64_t room;
	size_t n;

	n = emit(p, vl_kernel_layout(k), c->task_va, code);
	room = vl_symbol_after(k, va);
	if (!n || (room && room - va < n) || !vl_clone_replace(c, va, code, n))
		return;
	if (p->kind == P_SCHEDULE)
		c->int3_schedule = va;
	if (p->kind == P_DEAD && c->nr_dead < VL_MAX_DEAD)
		c->int3_dead[c->nr_dead++] = va;
}

void vl_clone_patch(struct vl_clone *c)
{
	uint64_t va;

	for (size_t i = 0; i < ARRAY_SIZE(patches); i++)
		for (size_t n = 0; (va = vl_symbol_nth(c->attach->kernel, patches[i].symbol, n));
		     n++)
			apply(c, &patches[i], va);
}

bool vl_clone_return_from(struct vl_clone *c, uint64_t va, uint64_t from)
{
	/* movabs $from,%rax; mov (%rax),%rax; ret */
	unsigned char code[14] = { 0x48, 0xb8, [10] = 0x48, 0x8b, 0x00, 0xc3 };

	memcpy(code + 2, &from, 8);
	return vl_clone_replace(c, va, code, sizeof(code));
}
