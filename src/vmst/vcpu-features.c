/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Does the processor have the features that the guest's kernel uses? At boot the kernel patches
 * its text for the processor it finds (stac, rdpkru, xsave ...). This host can have another
 * one: a guest may be emulated, a dump may come from another host.
 */
#include <stddef.h>

#include "../base/array.h"
#include "../base/machine.h"
#include "executors.h"

#define CR4_PSE (1UL << 4)
#define CR4_PAE (1UL << 5)
#define CR4_PGE (1UL << 7)
#define CR4_OSFXSR (1UL << 9)
#define CR4_OSXMMEXCPT (1UL << 10)
#define CR4_LA57 (1UL << 12)
#define CR4_FSGSBASE (1UL << 16)
#define CR4_PCIDE (1UL << 17)
#define CR4_OSXSAVE (1UL << 18)
#define CR4_SMEP (1UL << 20)
#define CR4_SMAP (1UL << 21)
#define CR4_PKE (1UL << 22)

/* Bits of CR4 that every processor with 64-bit mode has. */
#define CR4_PLAIN (CR4_PSE | CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT)

#define XCR0_X87_SSE 3UL
#define XCR0_AVX 4UL

enum reg { EAX, EBX, ECX, EDX };

/* Words of x86_capability: enum cpuid_leafs of arch/x86/include/asm/cpufeature.h. */
enum { W_1_EDX, W_8000_0001_EDX, W_1_ECX = 4, W_7_EBX = 9, W_D_1_EAX, W_7_ECX = 16, W_7_EDX = 18 };

/*
 * A row: feature, its bit (the same in the word and in the register), the bit of CR4 that turns
 * it on. Features that only ciphers and checksums use are left out: the code that reports on
 * the system does not need them. Other bits of CR4 (UMIP, MCE, VMXE, CET, FRED ...) are left
 * out: they change nothing for functions that are called from within the kernel.
 */
static const struct feature {
	const char *name;
	unsigned word, bit;
	uint32_t leaf, index;
	enum reg reg;
	uint64_t cr4;
	bool dispensable; /* only protects: the kernel's text is the same without */
} features[] = {
	{ "nx", W_8000_0001_EDX, 20, 0x80000001, 0, EDX, 0, false },
	{ "pdpe1gb", W_8000_0001_EDX, 26, 0x80000001, 0, EDX, 0, false },
	{ "rdtscp", W_8000_0001_EDX, 27, 0x80000001, 0, EDX, 0, false },
	{ "cx16", W_1_ECX, 13, 1, 0, ECX, 0, false },
	{ "pcid", W_1_ECX, 17, 1, 0, ECX, CR4_PCIDE, false },
	{ "movbe", W_1_ECX, 22, 1, 0, ECX, 0, false },
	{ "popcnt", W_1_ECX, 23, 1, 0, ECX, 0, false },
	{ "xsave", W_1_ECX, 26, 1, 0, ECX, CR4_OSXSAVE, false },
	{ "rdrand", W_1_ECX, 30, 1, 0, ECX, 0, false },
	{ "fsgsbase", W_7_EBX, 0, 7, 0, EBX, CR4_FSGSBASE, false },
	{ "smep", W_7_EBX, 7, 7, 0, EBX, CR4_SMEP, true },
	{ "invpcid", W_7_EBX, 10, 7, 0, EBX, 0, false },
	{ "rdseed", W_7_EBX, 18, 7, 0, EBX, 0, false },
	{ "smap", W_7_EBX, 20, 7, 0, EBX, CR4_SMAP, false },
	{ "xsaveopt", W_D_1_EAX, 0, 0xd, 1, EAX, 0, false },
	{ "xsavec", W_D_1_EAX, 1, 0xd, 1, EAX, 0, false },
	{ "xsaves", W_D_1_EAX, 3, 0xd, 1, EAX, 0, false },
	{ "pku", W_7_ECX, 3, 7, 0, ECX, CR4_PKE, false },
	{ "la57", W_7_ECX, 16, 7, 0, ECX, CR4_LA57, false },
	{ "rdpid", W_7_ECX, 22, 7, 0, ECX, 0, false },
	{ "serialize", W_7_EDX, 14, 7, 0, EDX, 0, false },
};

static bool has(struct kvm_cpuid2 *c, uint32_t leaf, uint32_t index, enum reg reg, unsigned bit)
{
	const struct kvm_cpuid_entry2 *e = vl_machine_leaf(c, leaf, index);
	uint32_t value = !e	    ? 0 :
			 reg == EAX ? e->eax :
			 reg == EBX ? e->ebx :
			 reg == ECX ? e->ecx :
				      e->edx;

	return value >> bit & 1;
}

static bool guest_has(const struct vl_vcpu_state *st, unsigned word, unsigned bit)
{
	return word < st->nr_caps && st->caps[word] >> bit & 1;
}

const char *vl_vcpu_missing(const struct vl_vcpu_state *st, struct kvm_cpuid2 *have,
			    uint64_t *cr4_ret, uint64_t *xcr0_ret)
{
	*cr4_ret = (st->cr4 & CR4_PLAIN) | CR4_PAE;
	*xcr0_ret = 0;
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		const struct feature *f = &features[i];

		if (!(st->cr4 & f->cr4) && !guest_has(st, f->word, f->bit))
			continue;
		if (has(have, f->leaf, f->index, f->reg, f->bit))
			*cr4_ret |= st->cr4 & f->cr4;
		else if (!f->dispensable)
			return f->name;
	}
	if (!(*cr4_ret & CR4_OSXSAVE))
		return NULL;
	/* No more than the guest has: its areas must have room for all that xsave writes. */
	*xcr0_ret = XCR0_X87_SSE;
	if (guest_has(st, W_1_ECX, 28) && has(have, 0xd, 0, EAX, 2))
		*xcr0_ret |= XCR0_AVX;
	return NULL;
}

struct vl_error *vl_vcpu_lacks(const char *missing)
{
	return vl_error_new(VL_ERR_TARGET,
			    "the guest's kernel uses %s, which this host's KVM lacks", missing);
}
