/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What stands behind vcpu/vcpu.h, over a guest made by hand: all engines must say
 * the same of the same code. KVM is tested where /dev/kvm is, whatever is behind it;
 * if that does not run a kernel's code, that is said.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "handmade.h"
#include "tap.h"
#include "base/machine.h"
#include "native/executor.h"
#include "vmst/executors.h"

/* --- code, as the clone would run it: position independent, ends in hlt --- */

/* clang-format off */
#define CODE(name, text) \
	__asm__(".pushsection .rodata\n.globl " #name ", " #name "_end\n" #name ":\n" text "\n" \
		#name "_end:\n.popsection"); \
	extern const unsigned char name[], name##_end[];
CODE(c_add, "lea (%rdi,%rsi), %rax; mov $7, %r15d; hlt")
CODE(c_call, "mov %rdi, %rax; ret")
CODE(c_hlt, "hlt")
CODE(c_ud2, "mov $5, %eax; ud2")
CODE(c_int3, "nop; int3; nop")
CODE(c_read, "mov (%rdi), %rax; hlt")
CODE(c_write, "mov %rsi, (%rdi); mov (%rdi), %rax; hlt")
CODE(c_push, "xor %esp, %esp; mov $16, %esp; push %rax; hlt")
CODE(c_device, "mov (%rdi), %eax; mov $0x1234, %ecx; mov %ecx, 8(%rdi); add 8(%rdi), %eax; hlt")
CODE(c_copy, "mov $16, %ecx; cld; rep movsb; mov -16(%rdi), %rax; hlt")
CODE(c_loop, "1: jmp 1b")
CODE(c_gs, "mov %gs:0, %rax; swapgs; mov %gs:0, %rdx; swapgs; hlt")
CODE(c_in, "mov $0x71, %edx; in %dx, %al; hlt")
CODE(c_out, "mov $0x71, %edx; out %al, %dx; hlt")
CODE(c_ins, "mov $0x71, %edx; mov $3, %ecx; rep insb; hlt")
CODE(c_outs, "mov $0x71, %edx; mov %rdi, %rsi; mov $3, %ecx; rep outsb; hlt")
CODE(c_msr, "mov $0x12345678, %ecx; rdmsr; wrmsr; hlt")
/* clang-format on */

/* --- a guest --- */

/* Pages of the own region. */
enum { P_CODE = OWN_TABLES, P_ROOM = 20, P_STACK = 32, P_DATA = 40 };

#define BASE 0xffff900000000000UL /* the own region, page by page */
#define RAM_VA 0xffff900040000000UL
#define DEVICE_VA 0xffff900080000000UL
#define DEVICE_GPA 0xfed00000UL
#define NOWHERE 0xffff9000c0000000UL
#define NOT_CANONICAL 0x1234567800000000UL

/* Each program has a place of its own: Unicorn does not see what is written over code. */
#define CODE_VA (BASE + P_CODE * VL_PAGE_SIZE)
#define CODE_ROOM 64UL
#define CODE_PAGES 4UL
/* Where the clone has it, too. */
#define STACK_VA 0x20000000UL
#define DATA_VA (BASE + P_DATA * VL_PAGE_SIZE)

/* A module's code: a call of it is to be noted. */
#define MODULE_VA 0xffffffffc0000000UL

#define FIXED_FLAGS 2UL
#define BUDGET_NS 2000000000UL

static struct guest guest;

/* --- running on an engine --- */

struct machine {
	const struct vl_executor_ops *ops;
	struct vl_executor_state *e;
	uint64_t at; /* where the program is */
	unsigned nr; /* programs so far */
	struct vl_regs regs;
	struct vl_exit exit;
};

static void prepare(struct machine *m, const unsigned char *code, const unsigned char *end)
{
	uint64_t at = CODE_ROOM * m->nr++ % (CODE_PAGES * VL_PAGE_SIZE);

	memcpy((unsigned char *)guest_page(&guest, P_CODE) + at, code, (size_t)(end - code));
	m->at = CODE_VA + at;
}

static void start(struct machine *m, uint64_t rdi, uint64_t rsi)
{
	m->regs = (struct vl_regs){ .rip = m->at, .rflags = FIXED_FLAGS };
	m->regs.gpr[VL_RSP] = STACK_VA + VL_PAGE_SIZE;
	m->regs.gpr[VL_RDI] = rdi;
	m->regs.gpr[VL_RSI] = rsi;
	m->ops->run(m->e, &m->regs, BUDGET_NS, &m->exit);
}

#define RUN(m, code, rdi, rsi) \
	do { \
		prepare(m, code, code##_end); \
		start(m, rdi, rsi); \
	} while (0)

static bool took(const struct machine *m, int vector, uint64_t rip)
{
	if (m->exit.reason == VL_EXIT_EXCEPTION && m->exit.vector == vector && m->regs.rip == rip)
		return true;
	printf("# reason %d (%s), vector %d, address 0x%lx, rip 0x%lx\n", m->exit.reason,
	       m->exit.detail ? m->exit.detail : "", m->exit.vector, (unsigned long)m->exit.address,
	       (unsigned long)m->regs.rip);
	return false;
}

static bool halted(const struct machine *m, uint64_t rax)
{
	if (m->exit.reason == VL_EXIT_HLT && m->regs.gpr[VL_RAX] == rax)
		return true;
	printf("# reason %d (%s), vector %d, address 0x%lx, rip 0x%lx, rax 0x%lx\n", m->exit.reason,
	       m->exit.detail ? m->exit.detail : "", m->exit.vector, (unsigned long)m->exit.address,
	       (unsigned long)m->regs.rip, (unsigned long)m->regs.gpr[VL_RAX]);
	return false;
}

static void test_exceptions(struct machine *m, const char *name)
{
	*guest_leaf(&guest, NOWHERE) = 0;
	RUN(m, c_ud2, 0, 0);
	ok(took(m, 6, m->at + 5) && m->regs.gpr[VL_RAX] == 5, "%s: ud2", name);
	RUN(m, c_int3, 0, 0);
	if (m->exit.reason == VL_EXIT_BROKEN && vl_machine_kind() == VL_MACHINE_EMULATED)
		skip("int3", "KVM is software here: %s", m->exit.detail);
	else
		ok(took(m, 3, m->at + 2), "%s: int3, rip is behind it", name);
	ok(m->regs.gpr[VL_RSP] == STACK_VA + VL_PAGE_SIZE, "%s: rsp as it was", name);
	RUN(m, c_read, NOT_CANONICAL, 0);
	ok(took(m, 13, m->at), "%s: a general protection fault", name);
	RUN(m, c_read, NOWHERE + 0x123, 0);
	ok(took(m, 14, m->at) && m->exit.address == NOWHERE + 0x123, "%s: a page fault", name);
	RUN(m, c_read, NOWHERE + 0x456, 0);
	ok(took(m, 14, m->at) && m->exit.address == NOWHERE + 0x456, "%s: and the next", name);
	RUN(m, c_push, 0, 0);
	ok(m->exit.reason == VL_EXIT_EXCEPTION && m->exit.vector == 14 && m->exit.address == 8 &&
		   m->regs.gpr[VL_RSP] == 16,
	   "%s: a stack that leads nowhere", name);
	RUN(m, c_add, 1, 2);
	ok(halted(m, 3), "%s: and goes on after all that", name);
}

static void test_device(struct machine *m, const char *name)
{
	struct vl_error *err;

	RUN(m, c_device, DEVICE_VA, 0);
	ok(m->exit.reason == VL_EXIT_PHYS && m->exit.address == DEVICE_GPA,
	   "%s: no memory is there", name);
	err = m->ops->map_blank(m->e, m->exit.address);
	m->ops->run(m->e, &m->regs, BUDGET_NS, &m->exit);
	ok(!err && halted(m, 0x1234), "%s: with a blank page it goes on", name);
	vl_error_destroy(err);

	RUN(m, c_write, DEVICE_VA + 4096, 0x1122334455667788);
	ok(m->exit.reason == VL_EXIT_PHYS, "%s: a write to another page", name);
	RUN(m, c_add, 20, 3);
	ok(halted(m, 23), "%s: another run, with that unfinished", name);
	RUN(m, c_write, DEVICE_VA + 4096, 0x1122334455667788);
	err = m->ops->map_blank(m->e, m->exit.address);
	m->ops->run(m->e, &m->regs, BUDGET_NS, &m->exit);
	ok(!err && halted(m, 0x1122334455667788), "%s: what was written is there", name);
	vl_error_destroy(err);
	RUN(m, c_copy, DATA_VA, DEVICE_VA + 4096);
	ok(halted(m, 0x1122334455667788), "%s: and is copied from there", name);
}

/* No port is there: whatever it would give, the guest's device gives something else. */
static void test_ports(struct machine *m, const char *name)
{
	RUN(m, c_in, 0, 0);
	ok(m->exit.reason == VL_EXIT_PORT, "%s: in", name);
	RUN(m, c_out, 0, 0);
	ok(m->exit.reason == VL_EXIT_PORT, "%s: out", name);
	RUN(m, c_ins, DATA_VA, 0);
	ok(m->exit.reason == VL_EXIT_PORT, "%s: ins", name);
	RUN(m, c_outs, DATA_VA, 0);
	ok(m->exit.reason == VL_EXIT_PORT, "%s: outs", name);
	RUN(m, c_add, 6, 7);
	ok(halted(m, 13), "%s: and goes on", name);
}

static void test_budget(struct machine *m, const char *name)
{
	uint64_t begin = vl_now_ns(), ms;

	prepare(m, c_loop, c_loop_end);
	m->regs = (struct vl_regs){ .rip = m->at, .rflags = FIXED_FLAGS };
	m->ops->run(m->e, &m->regs, 50000000, &m->exit);
	ms = (vl_now_ns() - begin) / VL_NSEC_PER_MSEC;
	ok(m->exit.reason == VL_EXIT_BUDGET && m->regs.rip == m->at && ms >= 50 && ms < 5000,
	   "%s: a loop is ended (%lu ms)", name, ms);
	RUN(m, c_add, 4, 5);
	ok(halted(m, 9), "%s: and then it runs again", name);
}

static void test_memory(struct machine *m, const char *name, struct vl_snapshot *view)
{
	struct vl_error *err;
	bool good = true;

	for (uint64_t at = 0; at < RAM_SIZE && good; at += 7 * VL_PAGE_SIZE) {
		RUN(m, c_read, RAM_VA + at, 0);
		good = halted(m, guest_pattern(at));
	}
	ok(good, "%s: the guest's RAM, page by page as it is touched", name);
	RUN(m, c_write, RAM_VA + 3 * VL_PAGE_SIZE, 77);
	ok(halted(m, 77), "%s: a write", name);
	ok(*(uint64_t *)vl_snapshot_host(view, 3 * VL_PAGE_SIZE, 8) == 77, "%s: is seen here",
	   name);
	/* Pages change behind the engine: overwritten in place, then taken away. */
	err = vl_snapshot_refresh(view, NULL, 0);
	RUN(m, c_read, RAM_VA + 3 * VL_PAGE_SIZE, 0);
	ok(!err && halted(m, guest_pattern(3 * VL_PAGE_SIZE)), "%s: is undone by a fresh view",
	   name);
	vl_error_destroy(err);
	RUN(m, c_write, RAM_VA + 3 * VL_PAGE_SIZE, 78);
	vl_snapshot_keep(view, NULL, 0);
	RUN(m, c_read, RAM_VA + 3 * VL_PAGE_SIZE, 0);
	ok(halted(m, guest_pattern(3 * VL_PAGE_SIZE)), "%s: and by pages that are dropped", name);

	guest_map(&guest, NOWHERE, 5 * VL_PAGE_SIZE);
	RUN(m, c_read, NOWHERE, 0);
	good = halted(m, guest_pattern(5 * VL_PAGE_SIZE));
	guest_map(&guest, NOWHERE, 6 * VL_PAGE_SIZE);
	m->ops->flush(m->e);
	start(m, NOWHERE, 0);
	ok(good && halted(m, guest_pattern(6 * VL_PAGE_SIZE)), "%s: page tables that changed",
	   name);
	/*
	 * The engine may keep what is mapped as it was: its pages have gone, or may be written no
	 * more.
	 */
	vl_snapshot_keep(view, NULL, 0);
	m->ops->flush(m->e);
	start(m, NOWHERE, 0);
	ok(halted(m, guest_pattern(6 * VL_PAGE_SIZE)), "%s: and that did not", name);
	*guest_leaf(&guest, NOWHERE) &= ~X86_PTE_RW;
	m->ops->flush(m->e);
	start(m, NOWHERE, 0);
	good = halted(m, guest_pattern(6 * VL_PAGE_SIZE));
	RUN(m, c_write, NOWHERE, 5);
	ok(good && took(m, 14, m->at), "%s: a page that may be written no more", name);
	*guest_leaf(&guest, NOWHERE) = 0;
	m->ops->flush(m->e);
	RUN(m, c_read, NOWHERE, 0);
	ok(took(m, 14, m->at), "%s: a page that is mapped no more", name);
}

struct noted {
	unsigned nr;
	uint64_t last;
};

static void note(void *ctx, uint64_t va)
{
	struct noted *n = ctx;

	n->nr++;
	n->last = va;
}

/* What is kept translated is noted when it runs, if it is a module's: no code of KVM's is. */
static void test_code(struct machine *m, const char *name, const struct noted *n)
{
	bool keeps = m->ops != &vl_executor_kvm;

	RUN(m, c_add, 1, 2);
	ok(!n->nr && halted(m, 3), "%s: code of the image is not noted", name);
	guest_map(&guest, MODULE_VA, OWN_GPA + (m->at - BASE) / VL_PAGE_SIZE * VL_PAGE_SIZE);
	m->ops->flush(m->e);
	m->at = MODULE_VA + m->at % VL_PAGE_SIZE;
	start(m, 3, 4);
	ok(halted(m, 7) && (!keeps || n->nr == 2) &&
		   (!keeps || n->last == m->at + (uint64_t)(c_add_end - c_add) - 1),
	   "%s: a module's is, first and last byte (%u)", name, n->nr);
	start(m, 4, 4);
	ok(halted(m, 8) && (keeps ? n->nr >= 2 : !n->nr), "%s: and runs again", name);
}

static void test_engine(struct machine *m, const char *name, struct vl_snapshot *view,
			const struct noted *noted)
{
	uint64_t *data = guest_page(&guest, P_DATA), *stack = guest_page(&guest, P_STACK + 1), hlt;

	RUN(m, c_add, 40, 2);
	ok(halted(m, 42) && m->regs.gpr[VL_R15] == 7, "%s: registers in and out", name);
	prepare(m, c_hlt, c_hlt_end);
	stack[-1] = hlt = m->at;
	prepare(m, c_call, c_call_end);
	m->regs = (struct vl_regs){ .rip = m->at, .rflags = FIXED_FLAGS };
	m->regs.gpr[VL_RDI] = 99;
	m->regs.gpr[VL_RSP] = STACK_VA + VL_PAGE_SIZE - 8;
	m->ops->run(m->e, &m->regs, BUDGET_NS, &m->exit);
	ok(halted(m, 99) && m->regs.rip == hlt + 1, "%s: a call, ended by hlt", name);
	test_code(m, name, noted);
	test_exceptions(m, name);
	test_memory(m, name, view);
	test_device(m, name);
	test_ports(m, name);
	test_budget(m, name);
	data[0] = 111;
	data[512] = 222;
	guest_map(&guest, DATA_VA + VL_PAGE_SIZE, OWN_GPA + (P_DATA + 1) * VL_PAGE_SIZE);
	m->ops->set_gs(m->e, DATA_VA, DATA_VA + VL_PAGE_SIZE);
	/* No function of the kernel's swaps them. */
	if (m->ops == &vl_executor_native)
		return;
	RUN(m, c_gs, 0, 0);
	ok(halted(m, 111) && m->regs.gpr[VL_RDX] == 222, "%s: both GS bases", name);
}

static void test_hardware(struct machine *m, const char *name)
{
	struct vl_vcpu_count before, after;

	RUN(m, c_msr, 0, 0);
	ok(halted(m, 0), "%s: nor behind unknown MSRs", name);
	RUN(m, c_add, 0, 0);
	m->ops->count(m->e, &before);
	for (int i = 0; i < 100; i++)
		start(m, 1, 1);
	m->ops->count(m->e, &after);
	ok(halted(m, 2) && after.entries - before.entries == 100, "%s: one entry a run", name);
	printf("# 100 runs: %lu VM exits by KVM's own count\n",
	       (unsigned long)(after.exits - before.exits));
}

/* What a processor lacks is named, before anything runs. */
static void test_features(void)
{
	struct vl_vcpu_state st = { .cr4 = 0x6a0, .nr_caps = VL_NR_CAPS };
	struct kvm_cpuid2 *none = calloc(1, sizeof(*none));
	struct kvm_cpuid2 *some = calloc(1, sizeof(*some) + sizeof(some->entries[0]));
	uint64_t cr4, xcr0;
	const char *what;

	some->nent = 1;
	some->entries[0] = (struct kvm_cpuid_entry2){ .function = 7, .ebx = 1U << 20 };
	ok(!vl_vcpu_missing(&st, none, &cr4, &xcr0) && cr4 == 0x6a0 && !xcr0,
	   "features: nothing is asked for");
	st.caps[9] = 1U << 20;
	what = vl_vcpu_missing(&st, none, &cr4, &xcr0);
	ok(what && !strcmp(what, "smap"), "features: the guest's text has stac");
	ok(!vl_vcpu_missing(&st, some, &cr4, &xcr0) && cr4 == 0x6a0, "features: it is there");
	st.cr4 |= 1UL << 21 | 1UL << 20 | 1UL << 13;
	ok(!vl_vcpu_missing(&st, some, &cr4, &xcr0) && cr4 == (0x6a0 | 1UL << 21),
	   "features: what only protects, or is not for us, is left out");
	st.cr4 |= 1UL << 12;
	what = vl_vcpu_missing(&st, some, &cr4, &xcr0);
	ok(what && !strcmp(what, "la57"), "features: levels of page tables");
	free(none);
	free(some);
}

/* For the sanitizer, if there is one: what Unicorn loses is none of ours. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libunicorn";
}

int main(void)
{
	static const enum vl_executor which[] = { VL_EXECUTOR_UNICORN, VL_EXECUTOR_NATIVE,
						  VL_EXECUTOR_KVM };
	struct vl_vcpu_region region = { OWN_GPA, OWN_SIZE, NULL };
	struct vl_vcpu_state st = {
		.cr0 = 0x80050033,
		.cr3 = OWN_GPA,
		.cr4 = 0x6a0,
		.efer = 0xd01,
		.scratch_va = BASE + P_ROOM * VL_PAGE_SIZE,
		.stack_va = STACK_VA,
		.stack_gpa = OWN_GPA + P_STACK * VL_PAGE_SIZE,
		.stack_size = 2 * VL_PAGE_SIZE,
		.return_va = BASE,
	};
	char why[VL_EXECUTOR_WHY];
	struct vl_snapshot *view;
	int kvm;

	if (!guest_make(&guest)) {
		printf("Bail out! no guest\n");
		return 1;
	}
	region.host = guest.own;
	view = guest.view;
	st.scratch = guest_page(&guest, P_ROOM);
	for (unsigned i = P_CODE; i < P_DATA + 1; i++)
		guest_map(&guest, BASE + i * VL_PAGE_SIZE, OWN_GPA + i * VL_PAGE_SIZE);
	for (unsigned i = 0; i < 2; i++)
		guest_map(&guest, STACK_VA + i * VL_PAGE_SIZE,
			  OWN_GPA + (P_STACK + i) * VL_PAGE_SIZE);
	for (uint64_t at = 0; at < RAM_SIZE; at += VL_PAGE_SIZE)
		guest_map(&guest, RAM_VA + at, at);
	guest_map(&guest, DEVICE_VA, DEVICE_GPA);
	guest_map(&guest, DEVICE_VA + 4096, DEVICE_GPA + 4096);

	test_features();
	for (size_t i = 0; i < ARRAY_SIZE(which); i++) {
		struct noted noted = { 0 };
		struct machine m = { 0 };
		struct vl_error *err;

		if (which[i] == VL_EXECUTOR_KVM) {
			kvm = vl_machine_open(why, sizeof(why));
			if (kvm < 0) {
				skip("vmst/kvm", "%s", why);
				continue;
			}
			close(kvm);
		}
		err = which[i] == VL_EXECUTOR_UNICORN ? vl_emulator_load() : NULL;
		if (err) {
			skip("vmst/unicorn", "%s", err->message);
			vl_error_destroy(err);
			continue;
		}
		if (which[i] == VL_EXECUTOR_NATIVE && vl_native_unfit(&st)) {
			skip("vmst/native", "%s", vl_native_unfit(&st));
			continue;
		}
		st.code_from = MODULE_VA;
		st.on_code = note;
		st.ctx = &noted;
		err = vl_vcpu_create(which[i], &st, view, &region, &m.ops, &m.e, why);
		if (!ok(!err, "an engine is made%s%s", err ? ": " : "", err ? err->message : "")) {
			vl_error_destroy(err);
			continue;
		}
		RUN(&m, c_ud2, 0, 0);
		if (vl_machine_kind() == VL_MACHINE_EMULATED && which[i] == VL_EXECUTOR_KVM &&
		    m.exit.reason == VL_EXIT_BROKEN) {
			skip("vmst/kvm", "KVM is software here: %s", m.exit.detail);
		} else {
			test_engine(&m, m.ops->name, view, &noted);
			if (m.ops->count)
				test_hardware(&m, m.ops->name);
		}
		m.ops->destroy(m.e);
	}
	guest_unmake(&guest);
	return tap_end();
}
