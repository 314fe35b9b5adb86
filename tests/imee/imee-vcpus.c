// SPDX-License-Identifier: GPL-2.0-or-later
/* imee-test: the registers of vCPUs that run, have halted, or were never run; the watch on CR3. */
#include <stdlib.h>
#include <string.h>

#include "../../kmod/imee.h"
#include "../unit/tap.h"
#include "client.h"
#include "imee-test.h"
#include "vm.h"

#define ALL_REGS \
	(IMEE_REGS_GPR | IMEE_REGS_RFLAGS | IMEE_REGS_CR0 | IMEE_REGS_CR3 | IMEE_REGS_CR4 | \
	 IMEE_REGS_EFER | IMEE_REGS_GS | IMEE_REGS_KERNEL_GS | IMEE_REGS_LSTAR | \
	 IMEE_REGS_TABLES | IMEE_REGS_TR | IMEE_REGS_CS_SS | IMEE_REGS_CPL | IMEE_REGS_TSC)

static bool same(const char *what, uint64_t got, uint64_t expected)
{
	if (got != expected)
		printf("# %s is %#llx, not %#llx\n", what, (unsigned long long)got,
		       (unsigned long long)expected);
	return got == expected;
}

/* Those which the processor has no field for KVM keeps to itself while a vCPU executes nothing. */
static uint64_t known(const struct imee_regs *r)
{
	if (r->state == IMEE_VCPU_RUNNING || access("/sys/module/kvm_intel", F_OK))
		return ALL_REGS;
	return ALL_REGS & ~(IMEE_REGS_KERNEL_GS | IMEE_REGS_LSTAR);
}

/* What the loop's arithmetic sets, and RF, which an exit may leave set. */
#define VARYING_RFLAGS 0x108d5UL

static bool right(const struct imee_regs *r)
{
	uint64_t valid = known(r);

	return same("valid", r->valid & ALL_REGS, valid) & same("cr0", r->cr0, 0x80050033) &
	       same("cr4", r->cr4, 0x20) & same("efer", r->efer, 0xd01) &
	       same("gs", r->gs_base, VM_GS) &
	       same("kernel gs", r->kernel_gs_base,
		    valid & IMEE_REGS_KERNEL_GS ? VM_KERNEL_GS : 0) &
	       same("lstar", r->lstar, valid & IMEE_REGS_LSTAR ? VM_LSTAR : 0) &
	       same("rflags", r->rflags & ~VARYING_RFLAGS, VM_RFLAGS) &
	       same("idt", r->idt_base, VM_IDT) & same("idt limit", r->idt_limit, 0xfff) &
	       same("gdt", r->gdt_base, VM_GDT) & same("gdt limit", r->gdt_limit, 0x7f) &
	       same("tr", r->tr.base, VM_TR) & same("tr limit", r->tr.limit, 0x206f) &
	       same("tr selector", r->tr.selector, 0x40) & same("cs", r->cs.selector, 0x10) &
	       same("cs attr", r->cs.attr, 0xa9b) & same("ss", r->ss.selector, 0x18) &
	       same("cpl", r->cpl, 0) & same("rsp", r->gpr[4], VM_RSP) &
	       same("rbx", r->gpr[3], VM_RBX);
}

static uint64_t guest_tsc(const struct imee_regs *r)
{
	return (uint64_t)(((unsigned __int128)r->host_tsc * r->tsc_ratio) >> r->tsc_shift) +
	       r->tsc_offset;
}

static int get_regs(int fd, unsigned vcpu, struct imee_regs *r)
{
	*r = (struct imee_regs){ .vcpu = vcpu, .timeout_us = 2000000 };
	return ioctl(fd, IMEE_GET_REGS, r);
}

void test_running(int fd)
{
	volatile struct vm_data *data = (void *)map(fd, VM_DATA, PAGE, PROT_READ, MAP_SHARED);
	unsigned running = 0, good = 0, in_code = 0, in_time = 0, cr3 = 0, seen_a = 0;
	uint64_t took = 0, tsc, start;
	struct imee_regs r;

	for (int i = 0; i < 100; i++) {
		tsc = data->tsc;
		/*
		 * Not always at the same place of its loop, as where an emulator counts
		 * instructions.
		 */
		for (volatile int spin = i * 7; spin; spin--)
			;
		start = now_us();
		if (get_regs(fd, 0, &r)) {
			printf("# %s\n", strerror(errno));
			continue;
		}
		took += now_us() - start;
		running += r.state == IMEE_VCPU_RUNNING;
		good += right(&r);
		in_code += r.rip >= VM_CODE && r.rip < VM_CODE_END;
		cr3 += r.cr3 == VM_CR3_A || r.cr3 == VM_CR3_B;
		seen_a += r.cr3 == VM_CR3_A;
		/*
		 * The guest's own clock was less before, and is more when it next notes it, but
		 * one that it had read and not yet noted.
		 */
		in_time += guest_tsc(&r) >= tsc;
		for (int changes = 0; changes < 2; changes++)
			for (tsc = data->tsc; data->tsc == tsc;)
				;
		in_time += guest_tsc(&r) <= data->tsc;
	}
	printf("# %llu us for a sample of a running vCPU\n", (unsigned long long)took / 100);
	ok(running >= 90, "a running vCPU: %u of 100 samples were taken at its entry", running);
	ok(good == 100, "%u of 100 have all registers right", good);
	ok(in_code == 100, "%u are in its code", in_code);
	ok(cr3 == 100 && seen_a > 0 && seen_a < 100, "%u have a CR3 of it, %u the first one", cr3,
	   seen_a);
	ok(in_time == 200, "%u of 200 times the guest's TSC is on the right side of its own",
	   in_time);
	munmap((void *)data, PAGE);
}

void test_still(int fd)
{
	struct imee_regs r;

	bool got = get_regs(fd, 1, &r) == 0;

	ok(got && r.state == IMEE_VCPU_HALTED, "a halted vCPU: state %u", r.state);
	ok(right(&r) && r.rip == VM_CODE_HALT + 1 && r.cr3 == VM_CR3_A, "its registers");
	got = get_regs(fd, 2, &r) == 0;
	ok(got && r.state == IMEE_VCPU_STOPPED, "a stopped vCPU: state %u", r.state);
	ok(right(&r) && r.rip == VM_CODE && r.cr3 == VM_CR3_A && r.vcpu_id == 2, "its registers");
	ok(fails(get_regs(fd, 3, &r), EINVAL) && fails(get_regs(fd, ~0u, &r), EINVAL),
	   "no such vCPU");
	r = (struct imee_regs){ .reserved = { 0, 0, 0, 1 } };
	ok(fails(ioctl(fd, IMEE_GET_REGS, &r), EINVAL), "a reserved field");
}

void test_watch(int fd)
{
	struct imee_watch w = { .size = 16 };
	struct imee_cr3 values[64] = { 0 };
	struct imee_cr3_read r = { .values = (uintptr_t)values, .capacity = 64 };
	bool good = true, both = false;
	struct imee_regs regs;

	ok(fails(ioctl(fd, IMEE_READ_CR3, &r), EINVAL), "no watch, nothing to read");
	ok(ioctl(fd, IMEE_WATCH_CR3, &w) == 0, "a watch");
	for (int i = 0; i < 200; i++)
		get_regs(fd, 0, &regs); /* has it leave, and enter */
	good = ioctl(fd, IMEE_READ_CR3, &r) == 0;
	ok(good && r.count > 1 && r.count <= 16, "%u values kept, %llu lost", r.count,
	   (unsigned long long)r.lost);
	for (unsigned i = 0; i < r.count; i++) {
		good &= (values[i].cr3 == VM_CR3_A || values[i].cr3 == VM_CR3_B) &&
			values[i].vcpu == 0;
		both |= values[i].cr3 != values[0].cr3;
		if (i)
			good &= values[i].cr3 != values[i - 1].cr3 &&
				values[i].host_tsc > values[i - 1].host_tsc &&
				values[i].host_ns >= values[i - 1].host_ns;
	}
	ok(good && both, "they are the guest's, in turn, and in order of time");
	ok(r.next == r.lost + r.count, "the next one's number is %llu", (unsigned long long)r.next);
	w.size = IMEE_WATCH_MAX + 1;
	ok(fails(ioctl(fd, IMEE_WATCH_CR3, &w), EINVAL), "too many");
	w.size = 0;
	ok(ioctl(fd, IMEE_WATCH_CR3, &w) == 0 && fails(ioctl(fd, IMEE_READ_CR3, &r), EINVAL),
	   "ended");
}
