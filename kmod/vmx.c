// SPDX-License-Identifier: GPL-2.0
/*
 * Intel's virtualization: the current VMCS, read in the vCPU's own thread at its
 * entry, where it is that vCPU's. Elsewhere it cannot be read, and the fields are not
 * valid. Written from the manual (Software Developer's Manual, volume 3, appendix B)
 * and not run: no emulator that our tests have has VMX. A VMREAD that faults, or finds
 * no VMCS, leaves its fields not valid.
 */
#include <asm/asm.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/vmx.h>

#include "internal.h"

/* false: no current VMCS, no such field, or this CPU is not in VMX operation. */
static bool read_field(unsigned long field, u64 *ret)
{
	unsigned long value = 0;
	bool good = false;

	asm volatile("1: vmread %2, %0\n"
		     "	 seta %1\n"
		     "2:\n" _ASM_EXTABLE(1b, 2b)
		     : "+r"(value), "+q"(good)
		     : "r"(field)
		     : "cc");
	*ret = value;
	return good;
}

static bool read_field32(unsigned long field, u32 *ret)
{
	u64 value;
	bool good = read_field(field, &value);

	*ret = value;
	return good;
}

static bool read_segment(unsigned long selector, unsigned long limit, unsigned long attr,
			 unsigned long base, struct imee_segment *ret)
{
	u64 sel, ar;
	bool good = read_field(selector, &sel) && read_field(attr, &ar) &&
		    read_field32(limit, &ret->limit) && read_field(base, &ret->base);

	if (!good)
		return false;
	ret->selector = sel;
	ret->attr = (ar & 0xff) | ((ar >> 4) & 0xf00);
	return true;
}

/* By halves: what reads it whole has been renamed. */
static bool msr_value(u32 msr, u64 *ret)
{
	u32 low = 0, high = 0;
	bool good = !rdmsr_safe(msr, &low, &high);

	*ret = ((u64)high << 32) | low;
	return good;
}

/* A control register as the guest reads it. */
static bool read_cr(unsigned long field, unsigned long mask_field, unsigned long shadow_field,
		    u64 *ret)
{
	u64 value, mask, shadow;

	if (!read_field(field, &value) || !read_field(mask_field, &mask) ||
	    !read_field(shadow_field, &shadow))
		return false;
	*ret = (value & ~mask) | (shadow & mask);
	return true;
}

bool imee_vmx_cr3(struct imee_vcpu *v, u64 *cr3)
{
	u64 controls;

	/* Without extended page tables it is that of KVM's shadow tables. */
	return read_field(SECONDARY_VM_EXEC_CONTROL, &controls) &&
	       (controls & SECONDARY_EXEC_ENABLE_EPT) && read_field(GUEST_CR3, cr3);
}

void imee_vmx_regs(struct imee_vcpu *v, struct imee_regs *regs)
{
	u64 value;

	if (!boot_cpu_has(X86_FEATURE_VMX))
		return;
	/*
	 * What KVM has not read since the last exit it has not changed either; what it has
	 * changed is not written yet.
	 */
	if ((imee_has_rip(v->vcpu) || read_field(GUEST_RIP, &regs->rip)) &&
	    (imee_has_rsp(v->vcpu) || read_field(GUEST_RSP, &regs->gpr[VCPU_REGS_RSP])))
		regs->valid |= IMEE_REGS_GPR;
	if (read_field(GUEST_RFLAGS, &regs->rflags))
		regs->valid |= IMEE_REGS_RFLAGS;
	if (read_cr(GUEST_CR0, CR0_GUEST_HOST_MASK, CR0_READ_SHADOW, &regs->cr0))
		regs->valid |= IMEE_REGS_CR0;
	if (read_cr(GUEST_CR4, CR4_GUEST_HOST_MASK, CR4_READ_SHADOW, &regs->cr4))
		regs->valid |= IMEE_REGS_CR4;
	if (imee_vmx_cr3(v, &value)) {
		regs->cr3 = value;
		regs->valid |= IMEE_REGS_CR3;
	}
	if (read_field(GUEST_FS_BASE, &regs->fs_base) && read_field(GUEST_GS_BASE, &regs->gs_base))
		regs->valid |= IMEE_REGS_GS;
	if (read_field(GUEST_IDTR_BASE, &regs->idt_base) &&
	    read_field32(GUEST_IDTR_LIMIT, &regs->idt_limit) &&
	    read_field(GUEST_GDTR_BASE, &regs->gdt_base) &&
	    read_field32(GUEST_GDTR_LIMIT, &regs->gdt_limit))
		regs->valid |= IMEE_REGS_TABLES;
	if (read_segment(GUEST_TR_SELECTOR, GUEST_TR_LIMIT, GUEST_TR_AR_BYTES, GUEST_TR_BASE,
			 &regs->tr))
		regs->valid |= IMEE_REGS_TR;
	if (read_segment(GUEST_CS_SELECTOR, GUEST_CS_LIMIT, GUEST_CS_AR_BYTES, GUEST_CS_BASE,
			 &regs->cs) &&
	    read_segment(GUEST_SS_SELECTOR, GUEST_SS_LIMIT, GUEST_SS_AR_BYTES, GUEST_SS_BASE,
			 &regs->ss)) {
		regs->cpl = (regs->ss.attr >> 5) & 3; /* the descriptor's privilege level */
		regs->valid |= IMEE_REGS_CS_SS | IMEE_REGS_CPL;
	}
	/* KVM has the guest's in the CPU from before the entry until its thread sleeps. */
	if (regs->efer & EFER_LMA) {
		if (msr_value(MSR_KERNEL_GS_BASE, &regs->kernel_gs_base))
			regs->valid |= IMEE_REGS_KERNEL_GS;
		/* A guest without system calls runs with the host's. */
		if (regs->efer & EFER_SCE && msr_value(MSR_LSTAR, &regs->lstar))
			regs->valid |= IMEE_REGS_LSTAR;
	}
}
