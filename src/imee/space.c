/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Address spaces: a process's, a vCPU's; where an address is. */
#include <stdlib.h>

#include "../base/cleanup.h"
#include "direct.h"
#include "reader.h"

struct vl_space vl_space_of(uint64_t cr3, uint64_t cr4)
{
	struct vl_pgtable pt = vl_pgtable(cr3, cr4);

	return (struct vl_space){ pt.root, pt.levels };
}

enum vl_read_status vl_reader_where(struct vl_reader *r, const struct vl_space *s, uint64_t va,
				    uint64_t *gpa_ret, uint64_t *size_ret)
{
	enum vl_read_status st = VL_READ_BAD;
	uint64_t gpa = 0, size = 0;

	if (!r->walker && r->ops == &vl_raw_direct)
		r->walker = r->engine;
	/* Out of memory: no second engine can be opened. */
	if (!r->walker && vl_discard(vl_raw_direct.open(r->target, r->attach, &r->walker)))
		st = VL_READ_GONE;
	else if (s->levels == 4 || s->levels == 5)
		st = direct_where((struct vl_direct *)r->walker, s, va, &gpa, &size);
	if (st)
		r->fault = va;
	if (gpa_ret)
		*gpa_ret = gpa;
	if (size_ret)
		*size_ret = size;
	return st;
}

/*
 * With page-table isolation the page behind a root is the user's root. Its lower half has the
 * same entries, but for NX, which the kernel's have in addition (__pti_set_user_pgtbl(),
 * arch/x86/mm/pti.c).
 */
static bool is_isolated(struct vl_reader *r, uint64_t root)
{
	uint64_t mine[256], user[256];
	bool any = false;

	if (vl_discard(vl_target_read(r->target, root, mine, sizeof(mine))) ||
	    vl_discard(vl_target_read(r->target, root + VL_PAGE_SIZE, user, sizeof(user))))
		return false;
	for (size_t i = 0; i < 256; i++) {
		/* The processor sets "accessed" in the one that it walks. */
		if ((mine[i] ^ user[i]) & ~(X86_PTE_NX | X86_PTE_A))
			return false;
		any |= mine[i] & X86_PTE_P && mine[i] & X86_PTE_NX && !(user[i] & X86_PTE_NX);
	}
	return any;
}

enum vl_read_status vl_reader_pgd(struct vl_reader *r, uint64_t pgd, bool user,
				  struct vl_space *ret)
{
	enum vl_read_status st;
	uint64_t root;

	*ret = (struct vl_space){ 0, 0 };
	st = vl_reader_where(r, &r->kernel, pgd, &root, NULL);
	if (st)
		return st;
	if (root & (VL_PAGE_SIZE - 1)) {
		r->fault = pgd;
		return VL_READ_GARBAGE;
	}
	if (user && !(root & VL_PAGE_SIZE) && is_isolated(r, root))
		root += VL_PAGE_SIZE;
	*ret = (struct vl_space){ root, r->kernel.levels };
	return VL_READ_OK;
}

/* The space of the mm_struct at @mm. */
static enum vl_read_status space_of_mm(struct vl_reader *r, const struct vl_layout *l, uint64_t mm,
				       struct vl_space *ret)
{
	enum vl_read_status st;
	uint64_t pgd;

	st = vl_read_u64(r, &r->kernel, mm + (uint64_t)l->offset[VL_F_MM_PGD], &pgd);
	return st ? st : vl_reader_pgd(r, pgd, false, ret);
}

enum vl_read_status vl_reader_task(struct vl_reader *r, uint64_t task, struct vl_space *ret)
{
	const struct vl_layout *l;
	enum vl_read_status st;
	uint64_t mm;

	*ret = (struct vl_space){ 0, 0 };
	r->fault = task;
	if (!r->attach || !r->attach->kernel)
		return VL_READ_BAD;
	l = vl_kernel_layout(r->attach->kernel);
	if (!vl_has(l, VL_F_TASK_MM) || !vl_has(l, VL_F_MM_PGD))
		return VL_READ_BAD;
	st = vl_read_u64(r, &r->kernel, task + (uint64_t)l->offset[VL_F_TASK_MM], &mm);
	if (st)
		return st;
	if (!mm) {
		*ret = r->kernel;
		return VL_READ_OK;
	}
	return space_of_mm(r, l, mm, ret);
}

static struct vl_error *no_vcpu(unsigned cpu)
{
	return vl_error_hint(vl_error_new(VL_ERR_ARG, "the guest has no vCPU %u", cpu),
			     "the first is 0");
}

/*
 * The space by the registers. CR3 of a vCPU in user mode may be the user's root: take the
 * kernel's.
 */
static struct vl_error *ask_vcpu(struct vl_reader *r, unsigned cpu, struct vl_space *ret)
{
	_cleanup_free_ struct vl_vcpu *vcpus = NULL;
	struct vl_error *err;
	size_t nr;

	err = vl_target_vcpus(r->target, &vcpus, &nr);
	if (err)
		return err;
	if (cpu >= nr)
		return no_vcpu(cpu);
	*ret = vl_space_of(vcpus[cpu].cr3, vcpus[cpu].cr4);
	if (ret->root & VL_PAGE_SIZE && is_isolated(r, ret->root - VL_PAGE_SIZE))
		ret->root -= VL_PAGE_SIZE;
	return NULL;
}

/* A CPU that switches spaces has LOADED_MM_SWITCHING there: retry. */
#define SWITCHING_TRIES 1000

struct vl_error *vl_reader_vcpu(struct vl_reader *r, unsigned cpu, struct vl_space *ret)
{
	const struct vl_kernel *k = r->attach ? r->attach->kernel : NULL;
	const struct vl_layout *l = k ? vl_kernel_layout(k) : NULL;
	uint64_t offsets = vl_reader_symbol(r, "__per_cpu_offset"), percpu = 0, mm;
	uint64_t state = vl_reader_symbol(r, "cpu_tlbstate");
	uint64_t ids = vl_reader_symbol(r, "nr_cpu_ids");
	enum vl_read_status st;
	bool up = k && vl_kernel_is_up(k);
	uint32_t nr = 1;

	*ret = (struct vl_space){ 0, 0 };
	if (!vl_target_is_live(r->target) || (!up && (!offsets || !ids)) || !state ||
	    !vl_has(l, VL_F_TLB_LOADED_MM) || !vl_has(l, VL_F_MM_PGD))
		return ask_vcpu(r, cpu, ret);
	st = up ? VL_READ_OK : vl_read_u32(r, &r->kernel, ids, &nr);
	if (!st && cpu >= nr)
		return no_vcpu(cpu);
	if (!st && !up)
		st = vl_read_u64(r, &r->kernel, offsets + 8UL * cpu, &percpu);
	for (int i = 0; !st && i < SWITCHING_TRIES; i++) {
		st = vl_read_u64(r, &r->kernel,
				 percpu + state + (uint64_t)l->offset[VL_F_TLB_LOADED_MM], &mm);
		if (!st && mm > VL_PAGE_SIZE && !space_of_mm(r, l, mm, ret))
			return NULL;
	}
	return ask_vcpu(r, cpu, ret);
}
