// SPDX-License-Identifier: GPL-2.0
/*
 * AMD's virtualization: the registers of a vCPU that are in its control block (VMCB) only.
 *
 * KVM's struct vcpu_svm is private. It begins with struct kvm_vcpu; soon behind that is the
 * address of the control block, followed by its physical address. Two words that match in this
 * way, and lead to a page that agrees with KVM's own copy of the registers, are the control
 * block. Nothing less is believed.
 */
#include <linux/mm.h>
#include <linux/uaccess.h>
#include <asm/cpufeature.h>
#include <asm/svm.h>

#include "internal.h"

#define SEARCH_WORDS 64 /* behind struct kvm_vcpu; it was the first to the third so far */

/* AMD64 Architecture Programmer's Manual, volume 2, tables B-1 and B-2. */
#define VMCB_NESTED_CTL 0x90
#define VMCB_SAVE 0x400
#define NESTED_PAGING 1

#define CR0_CACHING (X86_CR0_CD | X86_CR0_NW)

bool imee_svm(void)
{
	return boot_cpu_has(X86_FEATURE_SVM);
}

static struct vmcb_save_area *save_of(void *vmcb)
{
	return vmcb + VMCB_SAVE;
}

static bool nested_paging(void *vmcb)
{
	return READ_ONCE(*(u64 *)(vmcb + VMCB_NESTED_CTL)) & NESTED_PAGING;
}

/* Is @pa the physical address of @va, with or without the bit for "encrypted"? */
static bool same_page(unsigned long va, unsigned long pa)
{
	unsigned long differ;

	if (!va || !PAGE_ALIGNED(va) || !virt_addr_valid((void *)va))
		return false;
	differ = __pa(va) ^ pa;
	return !differ || (is_power_of_2(differ) && differ >= 1UL << 32);
}

/*
 * Does @vmcb look like this vCPU's state? Compares fields that KVM writes at once, and not only
 * at the next entry.
 */
static bool looks_right(struct kvm_vcpu *vcpu, void *vmcb)
{
	struct vmcb_save_area *save = save_of(vmcb);
	u64 efer, cr4, ctl;

	if (get_kernel_nofault(efer, &save->efer) || get_kernel_nofault(cr4, &save->cr4) ||
	    get_kernel_nofault(ctl, (u64 *)(vmcb + VMCB_NESTED_CTL)) || !(efer & EFER_SVME))
		return false;
	/* Without nested paging KVM adds bits for its own tables to both. */
	if (!(ctl & NESTED_PAGING))
		return ((efer ^ vcpu->arch.efer) & EFER_SCE) == 0;
	return ((efer ^ vcpu->arch.efer) & ~EFER_SVME) == 0 &&
	       ((cr4 ^ vcpu->arch.cr4) & ~(u64)X86_CR4_MCE) == 0;
}

static void *vmcb_of(struct imee_vcpu *v)
{
	unsigned long *words = (unsigned long *)(v->vcpu + 1), pair[2];
	int i;

	if (v->vmcb)
		return v->vmcb;
	for (i = 0; i + 1 < SEARCH_WORDS; i++) {
		if (copy_from_kernel_nofault(pair, words + i, sizeof(pair)))
			break;
		if (same_page(pair[0], pair[1]) && looks_right(v->vcpu, (void *)pair[0])) {
			WRITE_ONCE(v->vmcb, (void *)pair[0]);
			return v->vmcb;
		}
	}
	return NULL;
}

static struct imee_segment segment(const struct vmcb_seg *seg)
{
	return (struct imee_segment){
		.base = READ_ONCE(seg->base),
		.limit = READ_ONCE(seg->limit),
		.selector = READ_ONCE(seg->selector),
		.attr = READ_ONCE(seg->attrib),
	};
}

void imee_svm_regs(struct imee_vcpu *v, struct imee_regs *regs, bool entering)
{
	void *vmcb = vmcb_of(v);
	struct vmcb_save_area *save;

	/* The state of a nested guest is in two blocks, neither of them whole. */
	if (!vmcb || (regs->flags & IMEE_VCPU_NESTED))
		return;
	save = save_of(vmcb);
	if (nested_paging(vmcb)) {
		/*
		 * The VMCB is current, but for the caching bits, which KVM hides from the
		 * guest.
		 */
		regs->cr0 = (save->cr0 & ~CR0_CACHING) | (regs->cr0 & CR0_CACHING);
		/* At other times KVM's copy may be newer than the VMCB. */
		if (entering)
			regs->cr3 = save->cr3;
	}
	regs->rflags = save->rflags;
	regs->cpl = save->cpl;
	regs->fs_base = save->fs.base;
	regs->gs_base = save->gs.base;
	regs->kernel_gs_base = save->kernel_gs_base;
	regs->lstar = save->lstar;
	regs->idt_base = save->idtr.base;
	regs->idt_limit = save->idtr.limit;
	regs->gdt_base = save->gdtr.base;
	regs->gdt_limit = save->gdtr.limit;
	regs->cs = segment(&save->cs);
	regs->ss = segment(&save->ss);
	regs->tr = segment(&save->tr);
	regs->valid |= IMEE_REGS_RFLAGS | IMEE_REGS_CPL | IMEE_REGS_GS | IMEE_REGS_KERNEL_GS |
		       IMEE_REGS_LSTAR | IMEE_REGS_TABLES | IMEE_REGS_CS_SS | IMEE_REGS_TR;
}

bool imee_svm_cr3(struct imee_vcpu *v, u64 *cr3)
{
	void *vmcb = vmcb_of(v);

	if (!vmcb || !nested_paging(vmcb) || (v->vcpu->arch.hflags & HF_GUEST_MASK))
		return false;
	*cr3 = READ_ONCE(save_of(vmcb)->cr3);
	return true;
}
