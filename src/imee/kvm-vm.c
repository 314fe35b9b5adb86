/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The immersive machine: the guest's RAM in read-only slots, the agent's page in
 * place of one of its pages, the exchange pages far above, one vCPU.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "../base/cleanup.h"
#include "kvm.h"

/*
 * Older headers do not have it ("KVM: Add KVM_EXIT_MEMORY_FAULT exit to report faults to
 * userspace", 6.8).
 */
#define EXIT_MEMORY_FAULT 39

#define CR0_PE (1UL << 0)
#define CR0_ET (1UL << 4)
#define CR0_NE (1UL << 5)
#define CR4_PAE (1UL << 5)
#define EFER_LME (1UL << 8)
#define EFER_LMA (1UL << 10)
#define EFER_NX (1UL << 11)

#define GATE_INTERRUPT 0x8e00 /* present, DPL 0 */
#define GATE_PAGE_FAULT 14

/* Present, writable, accessed, dirty. */
#define LOCAL_PTE (X86_PTE_P | X86_PTE_RW | X86_PTE_A | X86_PTE_D)

/* ---- slots: two for each range, one for the agent, one for the exchange pages ---- */

static unsigned agent_slot(const struct vl_kvm *k)
{
	return 2 * (unsigned)k->nr_ranges;
}

static bool set_range(struct vl_kvm *k, size_t i)
{
	const struct kvm_range *r = &k->ranges[i];

	return !r->host ||
	       vl_machine_slot(&k->machine, 2 * (unsigned)i, r->gpa, r->size, r->host, true);
}

/* A slot's size cannot change: delete it, then add one on each side of the hole. */
static bool punch_hole(struct vl_kvm *k, size_t i, uint64_t overlay)
{
	const struct kvm_range *r = &k->ranges[i];
	uint64_t below = overlay - r->gpa, above = r->size - below - VL_PAGE_SIZE;
	unsigned slot = 2 * (unsigned)i;

	if (!vl_machine_slot(&k->machine, slot, r->gpa, 0, NULL, true))
		return false;
	if (below && !vl_machine_slot(&k->machine, slot, r->gpa, below, r->host, true))
		return false;
	if (above && !vl_machine_slot(&k->machine, slot + 1, overlay + VL_PAGE_SIZE, above,
				      (char *)r->host + below + VL_PAGE_SIZE, true))
		return false;
	return vl_machine_slot(&k->machine, agent_slot(k), overlay, VL_PAGE_SIZE, k->page, false);
}

static bool close_hole(struct vl_kvm *k)
{
	unsigned slot = 2 * (unsigned)k->split;
	const struct kvm_range *r = &k->ranges[k->split];
	uint64_t below = k->overlay - r->gpa;

	if (!vl_machine_slot(&k->machine, agent_slot(k), k->overlay, 0, NULL, false))
		return false;
	if (below && !vl_machine_slot(&k->machine, slot, r->gpa, 0, NULL, true))
		return false;
	if (r->size - below > VL_PAGE_SIZE &&
	    !vl_machine_slot(&k->machine, slot + 1, k->overlay + VL_PAGE_SIZE, 0, NULL, true))
		return false;
	return set_range(k, k->split);
}

/* ---- the vCPU ---- */

static void map_local(struct vl_kvm *k, uint64_t va, uint64_t gpa, int levels, unsigned *used)
{
	uint64_t *table = (uint64_t *)k->exchange;

	for (int level = levels; level > 1; level--) {
		uint64_t *e = &table[vl_pgtable_index(va, level)];

		if (!*e)
			*e = (k->exchange_gpa + VL_PAGE_SIZE * (*used)++) | LOCAL_PTE;
		table = (uint64_t *)(k->exchange + ((*e & X86_PTE_ADDR) - k->exchange_gpa));
	}
	table[vl_pgtable_index(va, 1)] = gpa | LOCAL_PTE;
}

static void make_tables(struct vl_kvm *k, uint64_t va, uint64_t gpa, int levels)
{
	unsigned used = 1;

	memset(k->exchange, 0, KVM_TABLE_PAGES * VL_PAGE_SIZE);
	map_local(k, va, gpa, levels, &used);
	for (size_t i = 0; i < KVM_RING_PAGES + KVM_OUT_PAGES; i++)
		map_local(k, AGENT_EXCHANGE_VA + i * VL_PAGE_SIZE,
			  k->exchange_gpa + (KVM_TABLE_PAGES + i) * VL_PAGE_SIZE, levels, &used);
}

static void make_page(struct vl_kvm *k, uint64_t va)
{
	struct agent_page *p = k->page;

	p->vars.local_cr3 = k->exchange_gpa;
	p->vars.ring = AGENT_EXCHANGE_VA;
	p->gdt[0] = 0;
	p->gdt[AGENT_CODE_SEL / 8] = VL_MACHINE_GDT_CODE;
	p->gdt[AGENT_DATA_SEL / 8] = VL_MACHINE_GDT_DATA;
	for (int i = 0; i < AGENT_NR_GATES; i++) {
		bool ask = k->mirror && i == GATE_PAGE_FAULT;
		uint64_t handler = va + (ask ? vl_agent_ask : vl_agent_fault);

		p->idt[i][0] = (handler & 0xffff) | AGENT_CODE_SEL << 16 |
			       (uint64_t)GATE_INTERRUPT << 32 | (handler >> 16 & 0xffff) << 48;
		p->idt[i][1] = handler >> 32;
	}
}

/* Set the vCPU to the agent's entry, in the local space. */
static bool reset_vcpu(struct vl_kvm *k, int levels)
{
	struct kvm_regs regs = { .rip = k->va + AGENT_ENTRY,
				 .rsp = k->va + AGENT_TOP,
				 .rflags = 2 };
	struct kvm_vcpu_events events = { 0 };
	struct kvm_sregs s;

	if (ioctl(k->machine.vcpu, KVM_GET_SREGS, &s))
		return false;
	/*
	 * Under these the guest's tables translate as in the guest: NX is defined; CR0.WP, SMEP
	 * and SMAP are off. Global pages and PCIDs are off, so that a load of CR3 drops every
	 * translation.
	 */
	s.cr0 = X86_CR0_PG | CR0_PE | CR0_ET | CR0_NE;
	s.cr3 = k->exchange_gpa;
	s.cr4 = CR4_PAE | (levels == 5 ? X86_CR4_LA57 : 0);
	s.efer = EFER_LME | EFER_LMA | EFER_NX;
	s.cs = vl_machine_code(AGENT_CODE_SEL);
	s.ds = s.es = s.fs = s.gs = s.ss = vl_machine_data(AGENT_DATA_SEL);
	s.tr = (struct kvm_segment){ .base = k->va, .limit = 0x67, .type = 11, .present = 1 };
	s.ldt = (struct kvm_segment){ .unusable = 1 };
	s.gdt.base = k->va + AGENT_GDT;
	s.gdt.limit = sizeof(k->page->gdt) - 1;
	s.idt.base = k->va + AGENT_IDT;
	s.idt.limit = sizeof(k->page->idt) - 1;
	if (ioctl(k->machine.vcpu, KVM_SET_SREGS, &s) ||
	    ioctl(k->machine.vcpu, KVM_SET_REGS, &regs))
		return false;
	k->page->vars.ask = 0;
	/* A triple fault may have left events pending. */
	ioctl(k->machine.vcpu, KVM_SET_VCPU_EVENTS, &events);
	return true;
}

bool kvm_vm_place(struct vl_kvm *k, uint64_t va, uint64_t gpa, int levels)
{
	size_t i = 0;

	while (i < k->nr_ranges && gpa - k->ranges[i].gpa >= k->ranges[i].size)
		i++;
	if (i == k->nr_ranges || !k->ranges[i].host || (levels == 5 && !k->la57))
		return false;
	kvm_quiesce(k);
	if (!k->placed || gpa != k->overlay) {
		if (k->placed && !close_hole(k))
			return false;
		k->placed = false;
		if (!punch_hole(k, i, gpa))
			return false;
	}
	k->split = i;
	k->overlay = gpa;
	k->va = va;
	k->levels = levels;
	k->placed = true;
	make_page(k, va);
	make_tables(k, va, gpa, levels);
	return reset_vcpu(k, levels);
}

/* ---- running ---- */

/*
 * Make the agent's access a fault: KVM cannot serve it, as there is no RAM, or no such page in
 * the file.
 */
static bool fault_agent(struct vl_kvm *k)
{
	static const struct kvm_vcpu_events none;
	struct kvm_regs regs;

	/* Let KVM complete the access first, with any value. */
	if (k->machine.run->exit_reason == KVM_EXIT_MMIO) {
		k->machine.run->immediate_exit = 1;
		while (!ioctl(k->machine.vcpu, KVM_RUN, 0) &&
		       k->machine.run->exit_reason == KVM_EXIT_MMIO && !atomic_load(&k->broken))
			k->exits++;
		k->machine.run->immediate_exit = 0;
	}
	if (ioctl(k->machine.vcpu, KVM_GET_REGS, &regs))
		return false;
	regs.rip = k->va + vl_agent_fault;
	/* Drop an exception that could not be delivered. */
	return !ioctl(k->machine.vcpu, KVM_SET_REGS, &regs) &&
	       !ioctl(k->machine.vcpu, KVM_SET_VCPU_EVENTS, &none);
}

/*
 * Fail the request and reset the vCPU for the next one: in that space the agent's page is not
 * where it should be, so the vCPU left the agent's code.
 */
static bool lose_request(struct vl_kvm *k)
{
	uint32_t served = atomic_load((_Atomic uint32_t *)&k->ring->served);
	struct agent_request *rq = &k->ring->requests[served % AGENT_NR_REQUESTS];

	if (served == atomic_load((_Atomic uint32_t *)&k->ring->posted))
		return false;
	rq->status = AGENT_LOST;
	rq->fault = rq->va;
	k->ring->served = served + 1;
	return reset_vcpu(k, k->levels);
}

/* Answer the agent, which asks for an address (mirror.h). */
static void answer_agent(struct vl_kvm *k)
{
	struct agent_vars *v = &k->page->vars;
	unsigned before = k->mirror->nr_entries;
	uint64_t gpa;

	/* With no entry added the agent would ask again for ever. */
	k->asks++;
	v->ask = k->asked++ < MIRROR_ENTRIES && k->mirror->running &&
				 !mirror_map(k->mirror, &k->space, v->asked, &gpa) &&
				 k->mirror->nr_entries > before ?
			 AGENT_GRANTED :
			 AGENT_REFUSED;
}

static bool run(struct vl_kvm *k)
{
	_Atomic uint32_t *served = (_Atomic uint32_t *)&k->ring->served;
	_Atomic uint32_t *posted = (_Atomic uint32_t *)&k->ring->posted;

	do {
		int err;

		err = ioctl(k->machine.vcpu, KVM_RUN, 0) ? errno : 0;
		k->exits++;
		if (atomic_load(&k->broken))
			return false;
		if (err == EINTR || err == EAGAIN)
			continue;
		if (err == EFAULT || (!err && k->machine.run->exit_reason == EXIT_MEMORY_FAULT)) {
			if (!fault_agent(k))
				break;
			continue;
		}
		if (err)
			break;
		switch (k->machine.run->exit_reason) {
		case KVM_EXIT_HLT:
			if (k->mirror && k->page->vars.ask == AGENT_ASKING)
				answer_agent(k);
			continue;
		case KVM_EXIT_MMIO:
			if (k->machine.run->mmio.is_write ? !lose_request(k) : !fault_agent(k))
				goto broken;
			continue;
		case KVM_EXIT_INTERNAL_ERROR:
			/*
			 * Where the processor cannot walk tables in read-only memory KVM
			 * emulates each instruction, but delivers no exception: newer kernels
			 * report that, older ones hang (probe() in kvm.c).
			 */
			if (k->machine.run->internal.suberror == KVM_INTERNAL_ERROR_DELIVERY_EV ?
				    !fault_agent(k) :
				    !lose_request(k))
				goto broken;
			continue;
		default:
			if (!lose_request(k))
				goto broken;
		}
	} while (atomic_load(served) != atomic_load(posted));
	if (atomic_load(served) == atomic_load(posted))
		return true;
broken:
	atomic_store(&k->broken, true);
	return false;
}

bool kvm_vm_run(struct vl_kvm *k)
{
	sigset_t old;
	bool ret;

	if (kvm_enter_begin(k, &old))
		return false;
	ret = run(k);
	kvm_enter_end(k, &old);
	return ret;
}

/* ---- making it ---- */

bool kvm_slot_aligned(const struct vl_ram *r)
{
	return r->gpa % VL_PAGE_SIZE == 0 && r->size % VL_PAGE_SIZE == 0;
}

/*
 * Can the range be mapped for a memory slot, page by page? A truncated file is no danger, as
 * only KVM touches the mapping. A read of a huge page that the guest never touched takes it
 * from the guest's own reservation.
 */
bool kvm_slot_fits(const struct vl_ram *r)
{
	return r->fd >= 0 && r->fd_offset % VL_PAGE_SIZE == 0 && kvm_slot_aligned(r) &&
	       (r->page_size <= VL_PAGE_SIZE ||
		(r->fd_offset % r->page_size == 0 && r->size % r->page_size == 0));
}

static struct vl_error *map_ram(struct vl_kvm *k, struct vl_target *t)
{
	const struct vl_ram *ram = vl_target_ram(t, &k->nr_ranges);

	k->ranges = calloc(k->nr_ranges, sizeof(*k->ranges));
	if (!k->ranges)
		return vl_error_nomem();
	for (size_t i = 0; i < k->nr_ranges; i++) {
		const struct vl_ram *r = &ram[i];
		void *p = NULL;

		k->ranges[i] = (struct kvm_range){ r->gpa, r->size, NULL };
		if (k->kmod ? !kvm_slot_aligned(r) : !kvm_slot_fits(r))
			continue;
		p = k->kmod ? vl_kmod_map(k->kmod, NULL, r->gpa, r->size) : vl_ram_map(r);
		if (!p)
			return vl_error_os(errno, "cannot map the guest's RAM");
		k->ranges[i].host = p;
	}
	return NULL;
}

/*
 * Give the vCPU all features of KVM, and pages of 1 GiB: KVM does not offer those where it
 * walks the tables itself, but the guest may use them.
 */
static struct vl_error *set_cpuid(struct vl_kvm *k, unsigned *phys_bits_ret)
{
	_cleanup_free_ struct kvm_cpuid2 *c = NULL;
	struct kvm_cpuid_entry2 *e;
	struct vl_error *err = vl_machine_cpuid(&k->machine, &c);

	if (err)
		return err;
	e = vl_machine_leaf(c, 7, 0);
	k->la57 = e && e->ecx >> 16 & 1;
	e = vl_machine_leaf(c, 0x80000001, 0);
	if (e)
		e->edx |= 1U << 26;
	*phys_bits_ret = vl_machine_phys_bits(c);
	if (ioctl(k->machine.vcpu, KVM_SET_CPUID2, c))
		return vl_error_os(errno, "KVM_SET_CPUID2");
	return NULL;
}

/*
 * The exchange pages lie in the upper half of the physical addresses, where no RAM is, at a
 * random place: a guest that knew it could map them by its page tables.
 */
static struct vl_error *place_exchange(struct vl_kvm *k, unsigned phys_bits)
{
	uint64_t half = 1UL << (phys_bits - 1), where;

	if (phys_bits < 32 || phys_bits > 52 ||
	    getrandom(&where, sizeof(where), 0) != (ssize_t)sizeof(where))
		return vl_error_new(VL_ERR_TARGET, "KVM reports no width of physical addresses");
	k->exchange_gpa = half | ((where & (half / 2 - 1)) & ~((1UL << 21) - 1));
	if (!vl_machine_slot(&k->machine, agent_slot(k) + 1, k->exchange_gpa,
			     KVM_EXCHANGE_PAGES * VL_PAGE_SIZE, k->exchange, false))
		return vl_error_os(errno, "KVM_SET_USER_MEMORY_REGION");
	return NULL;
}

static void *own_pages(size_t nr)
{
	void *p = mmap(NULL, nr * VL_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

struct vl_error *kvm_vm_add_mirror(struct vl_kvm *k)
{
	k->mirror_pages = own_pages(MIRROR_TABLES);
	if (!k->mirror_pages)
		return vl_error_nomem();
	if (!vl_machine_slot(&k->machine, agent_slot(k) + 2, k->exchange_gpa + KVM_MIRROR_OFFSET,
			     MIRROR_TABLES * VL_PAGE_SIZE, k->mirror_pages, false))
		return vl_error_os(errno, "KVM_SET_USER_MEMORY_REGION");
	/* With a mirror, another handler serves page faults. */
	if (k->placed)
		make_page(k, k->va);
	return NULL;
}

static struct vl_error *make_own_pages(struct vl_kvm *k)
{
	k->page = own_pages(1);
	k->exchange = own_pages(KVM_EXCHANGE_PAGES);
	if (!k->page || !k->exchange)
		return vl_error_nomem();
	k->ring = (struct agent_ring *)(k->exchange + KVM_TABLE_PAGES * VL_PAGE_SIZE);
	k->out = (unsigned char *)k->ring + KVM_RING_PAGES * VL_PAGE_SIZE;
	memcpy(k->page, vl_agent_page, AGENT_SIZE);
	/*
	 * Random behind the code: memory of the guest that equals the canary by chance costs
	 * time.
	 */
	if (getrandom((unsigned char *)k->page + AGENT_VARS, 256, 0) != 256 ||
	    getrandom(k->page->stage, 256, 0) != 256)
		return vl_error_os(errno, "getrandom");
	return NULL;
}

struct vl_error *kvm_vm_create(struct vl_kvm *k, struct vl_target *t,
			       const struct vl_machine_host *host)
{
	struct vl_error *err;
	unsigned phys_bits;

	err = vl_machine_create(&k->machine, host);
	if (!err)
		err = map_ram(k, t);
	if (!err)
		err = make_own_pages(k);
	if (err)
		return err;
	if (!vl_machine_signal_mask(&k->machine))
		return vl_error_os(errno, "KVM_SET_SIGNAL_MASK");
	for (size_t i = 0; i < k->nr_ranges; i++)
		if (!set_range(k, i))
			return vl_error_os(errno, "KVM_SET_USER_MEMORY_REGION");
	err = set_cpuid(k, &phys_bits);
	return err ? err : place_exchange(k, phys_bits);
}

void kvm_vm_destroy(struct vl_kvm *k)
{
	vl_machine_close(&k->machine);
	if (k->page)
		munmap(k->page, VL_PAGE_SIZE);
	if (k->mirror_pages)
		munmap(k->mirror_pages, MIRROR_TABLES * VL_PAGE_SIZE);
	if (k->exchange)
		munmap(k->exchange, KVM_EXCHANGE_PAGES * VL_PAGE_SIZE);
	for (size_t i = 0; k->ranges && i < k->nr_ranges; i++)
		if (k->ranges[i].host)
			munmap(k->ranges[i].host, k->ranges[i].size);
	free(k->ranges);
}
