/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The clone's vCPU without virtualization and without an emulator: the guest kernel's code is
 * rewritten for the same processor and runs in user mode.
 *
 * Folding. G is 2^47 - 2^42. A kernel address plus G wraps around into the lower part of the
 * user half. A user address below 4 TiB plus G lies in the top 4 TiB of the user half. With G
 * as the base of gs a data access needs only a gs prefix. The kernel's per-CPU accesses by gs
 * become accesses by fs, whose base is the CPU's per-CPU base plus G. The bases are set by
 * instructions (FSGSBASE), or by arch_prctl() where the host has none of these: then each change
 * between C and rewritten code is a system call.
 *
 * Stack. push, pop, call and ret take no prefix. So the clone's stack has a low guest address,
 * and is mapped twice: at this address and where it folds to. Return addresses are those of
 * emitted code. One that the guest's code wrote itself faults, and its target is translated
 * then. Another stack that the kernel switches to is mapped at two such addresses as well, and
 * rsp holds the low one instead of the kernel's.
 *
 * Pages. A folded address is mapped when it is first touched: the handler of SIGSEGV walks the
 * guest's tables, and maps the snapshot's memory there a second time.
 *
 * Our memory. It lies where the guest has nothing mapped, but a wild pointer of the guest's
 * could lead there. So emitted code first looks up an address in a table, by its TiB, unless it
 * is a constant of the code. An access to our memory is a page fault.
 *
 * Code. A block is translated when control first reaches it. It ends in jumps to other blocks,
 * whose displacements are filled in when they are first taken. Indirect jumps go through a
 * table.
 *
 * Control. Where struct vl_control is given, control stays in verified code (control.c). Each
 * address is asked for when its block is translated. The table of indirect jumps has entries of
 * verified code only. A call also notes its return address in the shadow of the stack, which no
 * access of the guest's leads to, and a return goes on only if both are the same.
 *
 * An instruction that is not understood ends the run with VL_EXIT_BROKEN.
 */
#ifndef VLENS_NATIVE_NATIVE_H
#define VLENS_NATIVE_NATIVE_H

#include <asm/prctl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>

#include "layout.h"
#include "mem/paging.h"
#include "executor.h"
#include "vcpu/watchdog.h"

#define VL_NATIVE_G 0x7c0000000000UL

/* Why rewritten code came back to C. */
enum vl_native_kind {
	VL_NATIVE_RETURNED, /* to the clone's hlt: how calls end */
	VL_NATIVE_HLT,
	VL_NATIVE_EXCEPTION, /* the vector is in ctl->patch */
	VL_NATIVE_FLUSH,     /* the code flushed the TLB */
	VL_NATIVE_REFUSED,   /* at an instruction that is not understood */
	VL_NATIVE_BUDGET,
	VL_NATIVE_PHYS,
	VL_NATIVE_PORT,	      /* at an instruction that uses an I/O port */
	VL_NATIVE_LEFT,	      /* control would leave verified code; executor->left says how */
	VL_NATIVE_UNRETURNED, /* a return's address is not that of its call */
};

struct vl_native_ctl {
	uint64_t rax, rcx, rdx; /* while emitted code borrows these registers */
	uint64_t target;	/* where a trampoline goes */
	uint64_t host_rsp;
	uint64_t patch; /* the jump's displacement to fill in, 0: none; or an exception's vector */
	uint64_t va;	/* of the guest: where to go, or where it stopped */
	uint64_t kind;	/* enum vl_native_kind */
	uint64_t host_fs, guest_fs;
	uint64_t interrupts; /* the flag: 0 or 0x200 */
	uint64_t gs;	     /* VL_NATIVE_G */
	uint64_t miss, indirect, leave;
	uint64_t rflags;
	uint64_t regs[VL_NR_GPR];
	uint64_t tsc;	  /* what rdtsc gives */
	uint64_t address; /* of an access that faulted */
	uint64_t check;	  /* an address, or one near it, while it is looked up */
	uint64_t check_rcx, check_rdx;
	uint64_t percpu;  /* base of the kernel's gs */
	uint64_t from;	  /* emitted code that asks; where control is kept */
	uint64_t stack;	  /* rsp before an instruction that sets it */
	uint64_t by_call; /* 1: bases are set by arch_prctl(), as this host has no FSGSBASE */
	/* --- used by C only --- */
	const char *why;
	struct vl_executor_state *executor;
};

#define VL_CTL_IS(offset, field) \
	_Static_assert(offsetof(struct vl_native_ctl, field) == (offset), #field)

VL_CTL_IS(CTL_RAX, rax);
VL_CTL_IS(CTL_RCX, rcx);
VL_CTL_IS(CTL_RDX, rdx);
VL_CTL_IS(CTL_TARGET, target);
VL_CTL_IS(CTL_HOST_RSP, host_rsp);
VL_CTL_IS(CTL_PATCH, patch);
VL_CTL_IS(CTL_VA, va);
VL_CTL_IS(CTL_KIND, kind);
VL_CTL_IS(CTL_HOST_FS, host_fs);
VL_CTL_IS(CTL_GUEST_FS, guest_fs);
VL_CTL_IS(CTL_IF, interrupts);
VL_CTL_IS(CTL_GS, gs);
VL_CTL_IS(CTL_MISS, miss);
VL_CTL_IS(CTL_INDIRECT, indirect);
VL_CTL_IS(CTL_LEAVE, leave);
VL_CTL_IS(CTL_RFLAGS, rflags);
VL_CTL_IS(CTL_REGS, regs);
VL_CTL_IS(CTL_TSC, tsc);
VL_CTL_IS(CTL_ADDRESS, address);
VL_CTL_IS(CTL_CHECK, check);
VL_CTL_IS(CTL_CHECK_RCX, check_rcx);
VL_CTL_IS(CTL_CHECK_RDX, check_rdx);
VL_CTL_IS(CTL_PERCPU, percpu);
VL_CTL_IS(CTL_FROM, from);
VL_CTL_IS(CTL_STACK, stack);
VL_CTL_IS(CTL_BY_CALL, by_call);

/* In ctl->patch: an instruction has set rsp. No displacement is at this address. */
#define VL_PATCH_STACK 1

#define VL_CTL ((struct vl_native_ctl *)(unsigned long)VL_NATIVE_CTL)

/*
 * Does our memory lie in this TiB of the guest's addresses? The guest has nothing mapped there,
 * so an access is a page fault.
 */
#define VL_NATIVE_TIB 40
#define VL_NATIVE_NR_BARRED 0x10000
/* A look-up of an address covers accesses less than so many bytes away. */
#define VL_NATIVE_NEAR 65536

static inline unsigned char *vl_native_barred(uint64_t va)
{
	return (unsigned char *)(unsigned long)VL_NATIVE_BARRED +
	       (va >> VL_NATIVE_TIB) % VL_NATIVE_NR_BARRED;
}

struct vl_native_entry {
	uint64_t va, code;
};

#define VL_NATIVE_ENTRIES ((struct vl_native_entry *)(unsigned long)VL_NATIVE_TABLE)

/* Where the guest's registers are, at a place in emitted code. */
enum vl_native_state {
	VL_STATE_PLAIN,	       /* in the registers, as before the instruction */
	VL_STATE_RAX,	       /* rax is in ctl */
	VL_STATE_STRING,       /* rdi is folded, rdx is in ctl */
	VL_STATE_CHECK,	       /* rcx is in ctl, as check_rcx */
	VL_STATE_CHECK_PERCPU, /* and rdx, as check_rdx */
	VL_STATE_RETURN,       /* rcx and rdx are in ctl */
};

/* Emitted code from @code on belongs to the guest's instruction at @va. */
struct vl_native_mark {
	uint32_t code; /* offset from VL_NATIVE_CODE */
	uint32_t state;
	uint64_t va;
};

/* A page of text that was read, with the checksum of what it had then. */
struct vl_native_text {
	uint64_t va, sum;
};

/* Code that is translated in place of the guest's at @va. */
struct vl_native_replaced {
	uint64_t va;
	size_t len;
	unsigned char code[VL_CODE_MAX];
};

/* A second mapping, at @host, of @size bytes at the guest's @va, which are at @gpa. */
struct vl_native_alias {
	uint64_t host, size, va, gpa;
	bool writable, in_snapshot;
};

/* A range of our memory below VL_NATIVE_G: [start, end), empty if they are equal. */
struct vl_native_span {
	uint64_t start, end;
};

enum {
	VL_SPAN_PROGRAM,  /* with its heap */
	VL_SPAN_MAPPINGS, /* libraries and other mappings */
	VL_NATIVE_SPANS
};

struct vl_native_blank {
	uint64_t gpa;
	void *host;
};

#define VL_NATIVE_BLANKS 16

/* A copy of one of the guest's page tables. */
struct vl_native_peeked {
	bool has;
	uint64_t gpa, entries[VL_PAGE_SIZE / sizeof(uint64_t)];
};

#define VL_NATIVE_PEEKED 8

/* Calls that can be under way at once: a fault's fixup is found by another call. */
#define VL_NATIVE_DEPTH 8

/* The state of calls that are under way: where control was, and where the stacks were left. */
struct vl_native_control {
	struct vl_step left;		   /* of VL_NATIVE_LEFT */
	uint64_t stopped[VL_NATIVE_DEPTH]; /* where each call that is under way is */
	bool has_shadow;
	uint64_t tops[VL_NATIVE_NR_STACKS + 1]; /* rsp when a stack was left; 0: not used yet */
};

struct vl_executor_state {
	struct vl_vcpu_state st;
	struct vl_snapshot *snapshot;
	struct vl_vcpu_region own;
	struct vl_pgtable pt;

	/* code */
	unsigned char *cursor;
	struct vl_native_mark *marks;
	size_t nr_marks, cap_marks;
	struct vl_native_entry *blocks; /* a hash table, open addressing */
	size_t nr_blocks, cap_blocks;
	struct vl_native_replaced *replaced; /* in ascending order */
	size_t nr_replaced, cap_replaced;
	struct vl_native_text *text; /* in ascending order */
	size_t nr_text, cap_text;
	size_t nr_kept;	   /* blocks that are kept (keep.c) */
	bool bound;	   /* the code depends on where our memory is in this process */
	uint64_t hlt_code; /* emitted code in place of the clone's hlt */
	unsigned pending;  /* calls that have begun, and have not ended */
	bool dirty;	   /* text was changed: translate again before the next call */

	/* pages */
	struct vl_native_span ours[VL_NATIVE_SPANS];
	bool crowded; /* the guest has memory where ours is */
	struct vl_native_alias *aliases;
	size_t nr_aliases, cap_aliases;
	struct vl_native_blank blanks[VL_NATIVE_BLANKS];
	size_t nr_blanks;
	uint64_t stacks[VL_NATIVE_NR_STACKS]; /* the guest's address of each slot */
	size_t nr_stacks;
	struct vl_native_control control;
	struct vl_native_peeked peeked[VL_NATIVE_PEEKED];
	uint64_t last_fault, last_rip;
	unsigned same_faults;

	/* signals */
	struct sigaction old[5];
	stack_t old_stack;
	void *signal_stack;
	pthread_t thread;
	bool has_signals;
	struct vl_watchdog watchdog;

	uint64_t nr_insns, nr_faults, nr_misses;
};

static inline uint64_t vl_native_fold(uint64_t va)
{
	return va + VL_NATIVE_G;
}

/* arch_prctl() without errno, which is thread-local storage. */
static inline long vl_native_prctl(int op, uint64_t arg)
{
	long ret;

	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(SYS_arch_prctl), "D"(op), "S"(arg)
			 : "rcx", "r11", "memory");
	return ret;
}

/* The base of fs, by which thread-local storage is found. */
static inline uint64_t vl_native_fs(void)
{
	uint64_t v = 0;

	if (VL_CTL->by_call)
		vl_native_prctl(ARCH_GET_FS, (uint64_t)&v);
	else
		__asm__ volatile("rdfsbase %0" : "=r"(v));
	return v;
}

static inline void vl_native_set_fs(uint64_t v)
{
	if (VL_CTL->by_call)
		vl_native_prctl(ARCH_SET_FS, v);
	else
		__asm__ volatile("wrfsbase %0" ::"r"(v) : "memory");
}

/* --- pages.c --- */

/*
 * Read @len bytes at the guest's @va; false when not all are mapped. @exec: as code, with
 * replaced code in place of the guest's.
 */
bool vl_native_read(struct vl_executor_state *e, uint64_t va, void *buf, size_t len, bool exec);

/* Has the guest's kernel no memory where ours is, by its present tables? Also bars ours. */
bool vl_native_has_room(struct vl_executor_state *e);

/* Do the guest's tables map @va? */
bool vl_native_is_mapped(struct vl_executor_state *e, uint64_t va);

/* The guest-physical address of the snapshot's page of code at @va. False: there is none. */
bool vl_native_text_page(struct vl_executor_state *e, uint64_t va, uint64_t *gpa_ret);

enum vl_native_page {
	VL_PAGE_MAPPED, /* retry the access */
	VL_PAGE_FAULT,	/* the guest's tables do not allow it */
	VL_PAGE_PHYS,	/* no memory is behind *@gpa_ret */
	VL_PAGE_BROKEN,
};

enum vl_native_page vl_native_map(struct vl_executor_state *e, uint64_t va, bool write,
				  uint64_t *gpa_ret);
/* Map only the page of @va, at @at: an address of a stack, see vl_native_stack_va(). */
enum vl_native_page vl_native_map_page(struct vl_executor_state *e, uint64_t va, uint64_t at,
				       bool write, uint64_t *gpa_ret);
/* Unmap all pages. They are mapped again when they are touched. */
void vl_native_unmap_all(struct vl_executor_state *e);
/* Unmap pages that the guest's present tables map otherwise, or whose tables the snapshot lacks. */
void vl_native_unmap_old(struct vl_executor_state *e);

/* --- stacks.c --- */

/*
 * The low address for @va, an address in a stack of the kernel's; 0: there are too many stacks.
 * It stays the same until vl_native_forget_stacks().
 */
uint64_t vl_native_put_stack(struct vl_executor_state *e, uint64_t va);
/* *@va_ret: the kernel's address for @at, a low one or what that folds to. False: not a stack's. */
bool vl_native_stack_va(const struct vl_executor_state *e, uint64_t at, uint64_t *va_ret);
/* The number of the stack that rsp can be in: 0 is the clone's own; -1: @at is not a stack's. */
int vl_native_which_stack(const struct vl_executor_state *e, uint64_t at);
/* The low addresses of stack @which: [*@start_ret, *@end_ret) */
void vl_native_stack_span(const struct vl_executor_state *e, int which, uint64_t *start_ret,
			  uint64_t *end_ret);
/* Forget all stacks. None is mapped, and no call is under way. */
void vl_native_forget_stacks(struct vl_executor_state *e);

/* --- blocks.c --- */

/* Translate @code in place of the guest's at @va from now on. False: no memory, or too long. */
bool vl_native_put_replaced(struct vl_executor_state *e, uint64_t va, const void *code, size_t len);
/* Overwrite @buf, the guest's code at @va, with the code that replaces it. */
void vl_native_get_replaced(const struct vl_executor_state *e, uint64_t va, void *buf, size_t len);

/* Enter a block into the table. False: no memory. */
bool vl_native_put_block(struct vl_executor_state *e, uint64_t va, uint64_t code);
/* Emitted code of the block at @va, translated if need be; 0: ctl->why says why not. */
uint64_t vl_native_code(struct vl_executor_state *e, uint64_t va);
/* Emitted code of the block at @va; 0: it is not translated. */
uint64_t vl_native_block(const struct vl_executor_state *e, uint64_t va);
/* Emitted code in place of the clone's hlt; 0: no memory. */
uint64_t vl_native_return_code(struct vl_executor_state *e);
/* The mark of emitted code at @code; NULL: there is none. */
const struct vl_native_mark *vl_native_mark_at(const struct vl_executor_state *e, uint64_t code);
/* Forget all emitted code. */
void vl_native_reset(struct vl_executor_state *e);

/* --- keep.c --- */

/* Note the page of text at @page, which is read. False: no memory, or it is not mapped. */
bool vl_native_note_text(struct vl_executor_state *e, uint64_t page);
/* See struct vl_executor_ops: keep. */
size_t vl_native_keep(struct vl_executor_state *e, void *buf, size_t size);
/* Before the first run: use the code of struct vl_vcpu_state, if it is of this guest's text. */
void vl_native_take_kept(struct vl_executor_state *e);

/* --- control.c --- */

/* Map the shadow of the stacks, where control is kept. */
struct vl_error *vl_native_control_begin(struct vl_executor_state *e);
void vl_native_control_end(struct vl_executor_state *e);

static inline bool vl_native_is_kept(const struct vl_executor_state *e)
{
	return e->st.control != NULL;
}

/* The shadow of the word at @at, an address of a stack. */
static inline uint64_t *vl_native_shadow(uint64_t at)
{
	return (uint64_t *)(at + VL_NATIVE_SHADOW);
}

/* Forget all return addresses; those of the stacks only that the kernel switched to. */
void vl_native_forget_returns(struct vl_executor_state *e, bool all);

/* May the block at @va be translated? Else the run ends, ctl->kind is set. */
bool vl_native_may_go_on(struct vl_executor_state *e, uint64_t va);
/* May the caller start at @va, with the stack pointer @sp? Else as above. */
bool vl_native_may_start(struct vl_executor_state *e, uint64_t va, uint64_t sp);
/*
 * Where an indirect branch to @va from ctl->from goes; 0: nowhere, as above. *@any_ret: all
 * branches to @va may go there.
 */
uint64_t vl_native_branch(struct vl_executor_state *e, uint64_t va, bool *any_ret);
/* May rsp change from ctl->stack to @sp? Else as above. */
bool vl_native_may_switch(struct vl_executor_state *e, uint64_t sp);
/* End the run: control would go @way from @from to @to. */
void vl_native_left(struct vl_executor_state *e, enum vl_way way, uint64_t from, uint64_t to);

/* --- signal.c --- */

struct vl_error *vl_native_signals(struct vl_executor_state *e);
void vl_native_signals_end(struct vl_executor_state *e);

/* --- enter.S --- */

/* Go to ctl->target with the registers of ctl. On return ctl has the guest's registers. */
void vl_native_enter(void);
/* Addresses, not functions: what emitted code and a signal handler go to. */
extern const char vl_native_miss[], vl_native_indirect[], vl_native_leave[],
	vl_native_leave_signal[];
/* Called by vl_native_miss: where to go for ctl->va. Without code that is vl_native_leave. */
uint64_t vl_native_missed(void);

#endif
