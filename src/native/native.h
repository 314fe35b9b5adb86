/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The clone's vCPU without virtualization and without an emulator: the guest kernel's
 * code is rewritten for the same processor and runs in user mode.
 *
 * Folding. G is 2^47 - 2^42. A kernel address plus G wraps around into the lower part of
 * the user half, a user address below 4 TiB plus G lies in the 4 TiB on top of it. With G
 * as the base of gs a data access needs that prefix and no more. The kernel's own
 * per-CPU accesses, which are by gs, go by fs, whose base is the CPU's plus G.
 *
 * Stack. push, pop, call and ret take no prefix. The clone's stack is at a low address of
 * the guest, and is mapped there, too, besides where that folds to. A return
 * address is one of the emitted code's; one that the guest's code wrote itself
 * faults, and is translated then. A stack of the kernel's that its code changes to is
 * mapped at two such addresses as well, and rsp has the low one in place of the kernel's.
 *
 * Pages. What an address folds to is mapped when it is first touched: the handler of
 * SIGSEGV walks the guest's tables, and maps the snapshot's memory a second time.
 *
 * What is ours lies where the guest has nothing, but a wild pointer of its could lead
 * there. So the address of an access is looked up in a table by its TiB before, where it
 * is not one that the code itself says: in ours it is a page fault.
 *
 * Code. A block is translated when control first reaches it, and ends in jumps to others
 * that are filled in when they are first taken. Indirect ones go through a table.
 *
 * What is not understood ends the run as one that this executor cannot go on with.
 */
#ifndef VLENS_NATIVE_NATIVE_H
#define VLENS_NATIVE_NATIVE_H

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

#include "layout.h"
#include "mem/paging.h"
#include "executor.h"
#include "vcpu/watchdog.h"

#define VL_NATIVE_G 0x7c0000000000UL

/* Why rewritten code came back to C. */
enum vl_native_kind {
	VL_NATIVE_RETURNED, /* to the clone's hlt: how calls end */
	VL_NATIVE_HLT,
	VL_NATIVE_EXCEPTION, /* the vector is in ctl->vector */
	VL_NATIVE_FLUSH,     /* it dropped translations of addresses */
	VL_NATIVE_REFUSED,   /* it is at an instruction that is not understood */
	VL_NATIVE_BUDGET,
	VL_NATIVE_PHYS,
	VL_NATIVE_PORT, /* it is at an instruction that uses one */
};

struct vl_native_ctl {
	uint64_t rax, rcx, rdx; /* while emitted code borrows these registers */
	uint64_t target;	/* where a trampoline goes */
	uint64_t host_rsp;
	uint64_t patch; /* the displacement of the jump that was not filled in; 0: none */
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
	uint64_t check;	  /* an address, or what is near it, while it is looked up */
	uint64_t check_rcx, check_rdx;
	uint64_t percpu; /* base of the kernel's gs */
	/* --- of C only --- */
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

#define VL_CTL ((struct vl_native_ctl *)(unsigned long)VL_NATIVE_CTL)

/*
 * Where something of ours is, by TiB of the guest's addresses: an access there is a fault of the
 * guest's, which has nothing there.
 */
#define VL_NATIVE_TIB 40
#define VL_NATIVE_NR_BARRED 0x10000
/* An access so far from an address that was looked up is not looked up by itself. */
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

/* How the registers are to be read where emitted code stands. */
enum vl_native_state {
	VL_STATE_PLAIN,	       /* they are the guest's, before the instruction */
	VL_STATE_RAX,	       /* rax is in ctl */
	VL_STATE_STRING,       /* rdi is folded, rdx is in ctl */
	VL_STATE_CHECK,	       /* rcx is in ctl, as check_rcx */
	VL_STATE_CHECK_PERCPU, /* and rdx */
};

/* Emitted code from @code on is of the guest's instruction at @va. */
struct vl_native_mark {
	uint32_t code; /* from VL_NATIVE_CODE on */
	uint32_t state;
	uint64_t va;
};

/* Code that is translated in place of the guest's at @va. */
struct vl_native_replaced {
	uint64_t va;
	size_t len;
	unsigned char code[VL_CODE_MAX];
};

/* The guest's @size bytes at @va, which are at @gpa, are mapped at @host, too. */
struct vl_native_alias {
	uint64_t host, size, va, gpa;
	bool writable, in_snapshot;
};

/* Where something of ours is, below VL_NATIVE_G: [start, end), nothing if they are the same. */
struct vl_native_span {
	uint64_t start, end;
};

enum {
	VL_SPAN_PROGRAM,  /* with its heap */
	VL_SPAN_MAPPINGS, /* libraries and what else is mapped */
	VL_NATIVE_SPANS
};

struct vl_native_blank {
	uint64_t gpa;
	void *host;
};

#define VL_NATIVE_BLANKS 16

/* A table of the guest's that was looked at. */
struct vl_native_peeked {
	bool has;
	uint64_t gpa, entries[VL_PAGE_SIZE / sizeof(uint64_t)];
};

#define VL_NATIVE_PEEKED 8

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
	uint64_t hlt_code; /* emitted code that the clone's hlt is */
	unsigned pending;  /* calls that have begun, and have not ended */
	bool dirty;	   /* text was changed: translate anew before the next call */

	/* pages */
	struct vl_native_span ours[VL_NATIVE_SPANS];
	bool crowded; /* the guest has memory where something of ours is */
	struct vl_native_alias *aliases;
	size_t nr_aliases, cap_aliases;
	struct vl_native_blank blanks[VL_NATIVE_BLANKS];
	size_t nr_blanks;
	uint64_t stacks[VL_NATIVE_NR_STACKS]; /* what the guest's address of each place is */
	size_t nr_stacks;
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

/* The base of fs, where a thread's own memory is. */
static inline uint64_t vl_native_fs(void)
{
	uint64_t v;

	__asm__ volatile("rdfsbase %0" : "=r"(v));
	return v;
}

static inline void vl_native_set_fs(uint64_t v)
{
	__asm__ volatile("wrfsbase %0" ::"r"(v) : "memory");
}

/* --- pages.c --- */

/*
 * Bytes at @va of the guest; false when they are not all mapped. @exec: as code, with what
 * replaces it.
 */
bool vl_native_read(struct vl_executor_state *e, uint64_t va, void *buf, size_t len, bool exec);

/* Does the guest's kernel have no memory where something of ours is, by its tables of now? */
bool vl_native_has_room(struct vl_executor_state *e);

/* Is there anything at @va, by the guest's tables? */
bool vl_native_is_mapped(struct vl_executor_state *e, uint64_t va);

enum vl_native_page {
	VL_PAGE_MAPPED, /* the access can be tried again */
	VL_PAGE_FAULT,	/* the guest's tables do not allow it */
	VL_PAGE_PHYS,	/* no memory is behind *@gpa_ret */
	VL_PAGE_BROKEN,
};

enum vl_native_page vl_native_map(struct vl_executor_state *e, uint64_t va, bool write,
				  uint64_t *gpa_ret);
/* Map the page of @va alone, at @at: where vl_native_stack_va() says that it is. */
enum vl_native_page vl_native_map_page(struct vl_executor_state *e, uint64_t va, uint64_t at,
				       bool write, uint64_t *gpa_ret);
/* All that was mapped is mapped anew when it is touched. */
void vl_native_unmap_all(struct vl_executor_state *e);
/* Likewise what is mapped otherwise by the guest's tables of now, or by tables that are not there. */
void vl_native_unmap_old(struct vl_executor_state *e);

/* --- stacks.c --- */

/*
 * The low address of @va, which is of a stack of the kernel's; 0: there are too many. It stays
 * the same until vl_native_forget_stacks().
 */
uint64_t vl_native_put_stack(struct vl_executor_state *e, uint64_t va);
/* *@va_ret: what @at, a low address or what that folds to, is of a stack. False: it is none. */
bool vl_native_stack_va(const struct vl_executor_state *e, uint64_t at, uint64_t *va_ret);
/* For when nothing is mapped, and no call is under way. */
void vl_native_forget_stacks(struct vl_executor_state *e);

/* --- blocks.c --- */

/* From now on @code is what is translated for @va; false: no memory, or it is too long. */
bool vl_native_put_replaced(struct vl_executor_state *e, uint64_t va, const void *code, size_t len);
/* Put into @buf, bytes at @va of the guest's code, what replaces them. */
void vl_native_get_replaced(const struct vl_executor_state *e, uint64_t va, void *buf, size_t len);

/* Emitted code of the block at @va; 0: ctl says what is in the way. */
uint64_t vl_native_code(struct vl_executor_state *e, uint64_t va);
/* Emitted code that the clone's hlt is. */
uint64_t vl_native_return_code(struct vl_executor_state *e);
/* The mark of emitted code at @code; NULL: there is none. */
const struct vl_native_mark *vl_native_mark_at(const struct vl_executor_state *e, uint64_t code);
/* Forget all of it. */
void vl_native_reset(struct vl_executor_state *e);

/* --- signal.c --- */

struct vl_error *vl_native_signals(struct vl_executor_state *e);
void vl_native_signals_end(struct vl_executor_state *e);

/* --- enter.S --- */

/* Go to ctl->target with the registers of ctl; comes back with them. */
void vl_native_enter(void);
/* Addresses, not functions: what emitted code and a signal handler go to. */
extern const char vl_native_miss[], vl_native_indirect[], vl_native_leave[],
	vl_native_leave_signal[];
/* Called from there: the code for ctl->va, 0 for none. */
uint64_t vl_native_missed(void);

#endif
