// SPDX-License-Identifier: GPL-2.0
/*
 * Intel's virtualization: the registers that only the VMCS has. VMREAD reads the VMCS that is
 * current on the CPU; in the vCPU's own thread, at its entry, that is the vCPU's. The VMCS of a
 * vCPU outside of its guest is made current for a moment, on the CPU where KVM has it active:
 * on any other it must not be touched.
 *
 * KVM notes that CPU in its struct vcpu_vmx, which is private. It begins with struct kvm_vcpu;
 * behind that are a struct loaded_vmcs and, soon after, a pointer to it. Only such a pair, with
 * a VMCS of this processor's format, is believed.
 *
 * Written from the manual (Software Developer's Manual, volume 3, the chapters on the VMCS and
 * on VMX instructions, and appendix B), and run where Bochs emulates it. An instruction that
 * faults, or finds no VMCS, leaves its fields invalid.
 */
#include <linux/mm.h>
#include <linux/smp.h>
#include <linux/uaccess.h>
#include <asm/asm.h>
#include <asm/cpufeature.h>
#include <asm/hypervisor.h>
#include <asm/msr.h>
#include <asm/vmx.h>

#include "internal.h"

#define SEARCH_WORDS 256 /* behind struct kvm_vcpu */
#define NO_VMCS (~0ULL)	 /* what VMPTRST stores where none is current */

/* --- Fields ---------------------------------------------------------------------- */

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

/* By halves: the function that reads it whole has been renamed. */
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

	if (!read_field(CPU_BASED_VM_EXEC_CONTROL, &controls))
		return false;
	/* With shadow page tables KVM sees every load and store of CR3. */
	if (!(controls & CPU_BASED_CR3_STORE_EXITING))
		return read_field(GUEST_CR3, cr3);
	*cr3 = v->vcpu->arch.cr3;
	return true;
}

/*
 * Read the fields of the current VMCS. A register that KVM has read since the last exit may be
 * newer in its copy; one that it has not read is unchanged.
 */
static void read_fields(struct imee_vcpu *v, struct imee_regs *regs)
{
	if ((imee_has_rip(v->vcpu) || read_field(GUEST_RIP, &regs->rip)) &&
	    (imee_has_rsp(v->vcpu) || read_field(GUEST_RSP, &regs->gpr[VCPU_REGS_RSP])))
		regs->valid |= IMEE_REGS_GPR;
	if (read_field(GUEST_RFLAGS, &regs->rflags))
		regs->valid |= IMEE_REGS_RFLAGS;
	if (read_cr(GUEST_CR0, CR0_GUEST_HOST_MASK, CR0_READ_SHADOW, &regs->cr0))
		regs->valid |= IMEE_REGS_CR0;
	if (read_cr(GUEST_CR4, CR4_GUEST_HOST_MASK, CR4_READ_SHADOW, &regs->cr4))
		regs->valid |= IMEE_REGS_CR4;
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
}

void imee_vmx_regs(struct imee_vcpu *v, struct imee_regs *regs)
{
	u64 cr3;

	if (!boot_cpu_has(X86_FEATURE_VMX))
		return;
	read_fields(v, regs);
	/* At the entry KVM has written its copy, if there is one. */
	if (imee_vmx_cr3(v, &cr3)) {
		regs->cr3 = cr3;
		regs->valid |= IMEE_REGS_CR3;
	}
	/* The MSRs are the guest's from before the entry until its thread sleeps. */
	if (regs->efer & EFER_LMA) {
		if (msr_value(MSR_KERNEL_GS_BASE, &regs->kernel_gs_base))
			regs->valid |= IMEE_REGS_KERNEL_GS;
		/* A guest without EFER.SCE runs with the host's. */
		if (regs->efer & EFER_SCE && msr_value(MSR_LSTAR, &regs->lstar))
			regs->valid |= IMEE_REGS_LSTAR;
	}
}

/* --- A vCPU outside of its guest ---------------------------------------------------- */

/* The beginning of KVM's struct loaded_vmcs. */
struct loaded_vmcs {
	void *vmcs;
	void *shadow;
	int cpu; /* where it is active; cleared there only, with interrupts off; -1: nowhere */
};

/* Physical address of the current VMCS, or NO_VMCS; false: not in VMX operation. */
static bool current_vmcs(u64 *ret)
{
	bool good = false;

	*ret = NO_VMCS;
	asm volatile("1: vmptrst %0\n"
		     "	 mov $1, %1\n"
		     "2:\n" _ASM_EXTABLE(1b, 2b)
		     : "+m"(*ret), "+q"(good)
		     :
		     : "cc", "memory");
	return good;
}

static bool make_current(u64 vmcs)
{
	bool good = false;

	asm volatile("1: vmptrld %1\n"
		     "	 seta %0\n"
		     "2:\n" _ASM_EXTABLE(1b, 2b)
		     : "+q"(good)
		     : "m"(vmcs)
		     : "cc", "memory");
	return good;
}

/* Does @l have a VMCS in the format of this processor? KVM writes that once, at its start. */
static bool looks_right(const struct loaded_vmcs *l)
{
	struct loaded_vmcs copy;
	u32 format, low, high;

	return !copy_from_kernel_nofault(&copy, l, sizeof(copy)) && copy.vmcs &&
	       PAGE_ALIGNED(copy.vmcs) && virt_addr_valid(copy.vmcs) && copy.cpu >= -1 &&
	       copy.cpu < (int)nr_cpu_ids && !get_kernel_nofault(format, (u32 *)copy.vmcs) &&
	       !rdmsr_safe(MSR_IA32_VMX_BASIC, &low, &high) && format == (low & 0x7fffffff);
}

/* The vCPU's own, not that of a nested guest. */
static struct loaded_vmcs *loaded_of(struct imee_vcpu *v)
{
	unsigned long *words = (unsigned long *)(v->vcpu + 1), word;
	int i;

	if (v->loaded)
		return v->loaded;
	for (i = 0; i < SEARCH_WORDS; i++) {
		if (get_kernel_nofault(word, words + i))
			break;
		if (word >= (unsigned long)words && word < (unsigned long)(words + i) &&
		    IS_ALIGNED(word, sizeof(word)) && looks_right((void *)word)) {
			WRITE_ONCE(v->loaded, (void *)word);
			return v->loaded;
		}
	}
	return NULL;
}

struct visit {
	struct imee_vcpu *v;
	struct imee_regs *regs;
};

/*
 * Runs on the CPU where the VMCS was active, with interrupts off. If it still is it stays so,
 * as only this CPU ends that, and no other is made current in between. KVM notices nothing: the
 * VMCS that was current is so again; where none was KVM expects none, and makes current the one
 * that it needs.
 */
static void visit(void *arg)
{
	struct visit *visit = arg;
	struct loaded_vmcs *l = visit->v->loaded;
	struct imee_regs *regs = visit->regs;
	u64 vmcs = __pa(l->vmcs), before, cr3;

	if (READ_ONCE(l->cpu) != smp_processor_id() || !current_vmcs(&before) ||
	    (before != vmcs && !make_current(vmcs)))
		return;
	read_fields(visit->v, regs);
	/* KVM's copy may be newer than the VMCS. */
	if (!(regs->valid & IMEE_REGS_CR3) && imee_vmx_cr3(visit->v, &cr3)) {
		regs->cr3 = cr3;
		regs->valid |= IMEE_REGS_CR3;
	}
	if (before != vmcs && before != NO_VMCS)
		make_current(before);
}

void imee_vmx_regs_outside(struct imee_vcpu *v, struct imee_regs *regs)
{
	struct visit arg = { .v = v, .regs = regs };
	struct loaded_vmcs *l;
	int cpu;

	/*
	 * KVM keeps the state of a nested guest in parts. Over Hyper-V it may use a VMCS of
	 * Hyper-V's own kind, beside which no other may become current.
	 */
	if (!boot_cpu_has(X86_FEATURE_VMX) || regs->flags & IMEE_VCPU_NESTED ||
	    hypervisor_is_type(X86_HYPER_MS_HYPERV))
		return;
	l = loaded_of(v);
	cpu = l ? READ_ONCE(l->cpu) : -1;
	if (cpu >= 0)
		smp_call_function_single(cpu, visit, &arg, 1);
}
