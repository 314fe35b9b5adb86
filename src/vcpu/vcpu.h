/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vCPU that a clone runs on: the interface to all executors. It executes at CPL 0 over a
 * private snapshot of the guest's memory. It stops at `hlt` and at every exception, which the
 * caller handles (vmst/call.c).
 */
#ifndef VLENS_VCPU_H
#define VLENS_VCPU_H

#include "../error.h"
#include "../mem/snapshot.h"
#include "../syscall/sys.h"

struct vl_machine_host;

/* General registers, in the order of their numbers in machine code. */
enum vl_gpr {
	VL_RAX,
	VL_RCX,
	VL_RDX,
	VL_RBX,
	VL_RSP,
	VL_RBP,
	VL_RSI,
	VL_RDI,
	VL_R8,
	VL_R9,
	VL_R10,
	VL_R11,
	VL_R12,
	VL_R13,
	VL_R14,
	VL_R15,
	VL_NR_GPR
};

struct vl_regs {
	uint64_t gpr[VL_NR_GPR];
	uint64_t rip;
	uint64_t rflags;
};

/* Bytes of code that replaces the guest's, at most. */
#define VL_CODE_MAX 64

/* How control goes from one instruction to another. */
enum vl_way {
	VL_WAY_ON,     /* to the next instruction, or by a branch whose target is in the code */
	VL_WAY_CALL,   /* by an indirect call */
	VL_WAY_JUMP,   /* by an indirect jump, also of a thunk */
	VL_WAY_RETURN, /* by a return to an address other than the one after its call */
	VL_WAY_START,  /* by the caller, which resumes after an exception */
	VL_WAY_STACK,  /* a stack pointer that leads to no stack */
};

struct vl_step {
	enum vl_way way;
	uint64_t from; /* the guest's instruction; 0: not known */
	uint64_t to;
	uint64_t slot; /* the guest's address that an indirect branch took @to from; 0: not known */
};

/* Keeps control in verified code. It is asked once for each address that is translated. */
struct vl_control {
	/* Is the byte at @va verified code? */
	bool (*is_code)(void *ctx, uint64_t va);
	/* Is it the start of verified code that any indirect branch may lead to? */
	bool (*is_entry)(void *ctx, uint64_t va);
	/*
	 * The address to go to instead of @step->to, which is no entry. It is @step->to itself if
	 * that is right for this branch (a jump table, a fixup). 0: stop.
	 */
	uint64_t (*elsewhere)(void *ctx, const struct vl_step *step);
};

#define VL_SCRATCH_PAGES 4
#define VL_NR_CAPS 20

/* The state that does not change from call to call. */
#define VL_NR_USE_RETURN 2

struct vl_vcpu_state {
	uint64_t cr0, cr3, cr4, efer;
	uint64_t gdt_base;
	uint32_t gdt_limit;
	uint64_t gs_base;	 /* active */
	uint64_t kernel_gs_base; /* the base that swapgs exchanges it with */
	/*
	 * VL_SCRATCH_PAGES pages of the clone's own that the executor may use, mapped at
	 * @scratch_va. The first can be executed, the others can be written.
	 */
	void *scratch;
	uint64_t scratch_va;
	/* The stack that calls begin on, in the clone's own memory, and where they return to. */
	uint64_t stack_va, stack_gpa, stack_size, return_va;
	/*
	 * The features that the guest's kernel found in its processor, and so uses
	 * (cpuinfo_x86.x86_capability); @nr_caps is 0 when they are not known.
	 */
	uint32_t caps[VL_NR_CAPS];
	unsigned nr_caps;
	const struct vl_machine_host *host; /* of KVM; NULL: look */
	/*
	 * An executor that keeps translated code calls @on_code(@ctx) at least once for the
	 * first and the last byte of each block at @code_from or above (0: never). That is code
	 * of the guest's modules.
	 */
	uint64_t code_from;
	void (*on_code)(void *ctx, uint64_t va);
	/* Functions of the kernel's image that use the return address of their call; 0: none. */
	uint64_t use_return[VL_NR_USE_RETURN];
	/*
	 * What an executor of an earlier process kept (struct vl_executor_ops), until the first
	 * run; NULL: nothing. It may come from the guest.
	 */
	const void *kept;
	size_t kept_size;
	/* NULL: control may go anywhere. Only executors with @controls heed it. */
	const struct vl_control *control;
	void *ctx; /* of all these functions */
};

/* A page range of our own in the clone's physical space, above the RAM. */
struct vl_vcpu_region {
	uint64_t gpa, size;
	void *host;
};

enum vl_exit_reason {
	VL_EXIT_HLT,	   /* executed hlt: how calls end */
	VL_EXIT_EXCEPTION, /* vector, address (page fault); rip is at the instruction,
			    * for int3 behind it */
	VL_EXIT_PHYS,	   /* touched guest-physical address with nothing behind it */
	VL_EXIT_PORT,	   /* about to read or write an I/O port */
	VL_EXIT_BUDGET,	   /* ran longer than allowed */
	VL_EXIT_LEFT,	   /* was about to leave verified code; rip is at the branch, see `left` */
	VL_EXIT_BROKEN,	   /* the executor cannot go on; text in detail */
};

struct vl_exit {
	enum vl_exit_reason reason;
	int vector;
	uint64_t address;
	const char *detail;
	struct vl_step left;
};

struct vl_executor_state;

/* Figures of an executor so far. */
struct vl_vcpu_count {
	uint64_t entries; /* into the vCPU, and as many returns from there to us */
	uint64_t exits;	  /* all that KVM counted, also those that it served itself; 0: not known */
};

struct vl_executor_ops {
	const char *name;
	bool shared; /* the snapshot's and our own memory must be shared mappings */
	/* It heeds all of struct vl_control (else none, or only what its file says). */
	bool controls;
	/*
	 * Make a vCPU over all of @snapshot plus @own, in the state of @st. Nothing
	 * of @snapshot and @own is copied; both must outlive it.
	 */
	struct vl_error *(*create)(const struct vl_vcpu_state *st, struct vl_snapshot *snapshot,
				   const struct vl_vcpu_region *own,
				   struct vl_executor_state **ret);
	void (*destroy)(struct vl_executor_state *e);
	/* The active GS base and the one that swapgs brings in. */
	void (*set_gs)(struct vl_executor_state *e, uint64_t gs_base, uint64_t kernel_gs_base);
	/*
	 * Run from @regs until something of enum vl_exit_reason happens; @regs
	 * is then what the registers are. @budget_ns bounds the time.
	 */
	void (*run)(struct vl_executor_state *e, struct vl_regs *regs, uint64_t budget_ns,
		    struct vl_exit *ret);
	/* Forget translations: page tables were changed from outside. */
	void (*flush)(struct vl_executor_state *e);
	/*
	 * Put memory behind the guest-physical page that a VL_EXIT_PHYS was for. The next run
	 * continues that access if it gets the registers that the last one ended with.
	 */
	struct vl_error *(*map_blank)(struct vl_executor_state *e, uint64_t gpa);
	/* Its figures so far; NULL: nothing is counted. */
	void (*count)(const struct vl_executor_state *e, struct vl_vcpu_count *ret);
	/*
	 * The guest's address for @value, a word of the stack: for an address of emitted code
	 * that of the guest's instruction, else @value. NULL: return addresses are the guest's
	 * own.
	 */
	uint64_t (*code_va)(const struct vl_executor_state *e, uint64_t value);
	/*
	 * Run @code, VL_CODE_MAX bytes at most, in place of the guest's code at @va, which
	 * stays as it is. False: no memory. NULL: the caller writes @code to @va.
	 */
	bool (*replace)(struct vl_executor_state *e, uint64_t va, const void *code, size_t len);
	/*
	 * Write translations to @buf, for vCPUs of the same guest in later processes. Returns
	 * their size, 0: there are none, few are new since the last time, or they do not fit. NULL:
	 * it has none.
	 */
	size_t (*keep)(struct vl_executor_state *e, void *buf, size_t size);
	/* Set what instructions that read the TSC return. NULL: the caller replaces them. */
	void (*set_tsc)(struct vl_executor_state *e, uint64_t tsc);
};

#endif
