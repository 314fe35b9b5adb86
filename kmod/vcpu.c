// SPDX-License-Identifier: GPL-2.0
/*
 * vCPUs: their registers, sampled so that none is stale.
 *
 * KVM knows the registers of a vCPU only while that is outside of its guest. So a probe on
 * KVM's tracepoint kvm_entry takes the sample: each vCPU passes it in its own thread, just
 * before it enters. A vCPU in its guest is made to leave by an interrupt of its CPU that does
 * nothing. A vCPU that does not execute is read from KVM's structures.
 *
 * The tracepoint belongs to a module that comes and goes, and is found by its name; no symbol
 * of KVM is used. The probe uses its argument only if it equals a vCPU that was asked for;
 * before 5.10 the argument is a number, and never does.
 */
#include <linux/hashtable.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/tracepoint.h>
#include <linux/uaccess.h>
#include <asm/msr.h>

#include "internal.h"

#define DEFAULT_TIMEOUT_US 100000
#define OUTSIDE_TRIES 3 /* ticks during which a vCPU out of its guest may be about to enter */

static DEFINE_HASHTABLE(imee_vcpus, 6);
static DEFINE_SPINLOCK(imee_vcpus_lock);

/* --- The probe ----------------------------------------------------------------- */

static DEFINE_MUTEX(probe_lock);
static struct tracepoint *entry_point; /* NULL: there is none */
static struct module *entry_owner;     /* NULL: the kernel's own */
static unsigned int probe_shares;
static bool probing;

static void fill(struct imee_vcpu *v, struct imee_regs *regs, bool entering);

static void probe_entry(void *data, struct kvm_vcpu *vcpu)
{
	struct imee_vcpu *v;

	rcu_read_lock();
	hash_for_each_possible_rcu(imee_vcpus, v, node, (unsigned long)vcpu) {
		if (v->vcpu != vcpu)
			continue;
		WRITE_ONCE(v->entries, v->entries + 1);
		if (READ_ONCE(v->want) == IMEE_WANTED &&
		    cmpxchg(&v->want, IMEE_WANTED, IMEE_FILLING) == IMEE_WANTED) {
			fill(v, &v->sample, true);
			v->sample.state = IMEE_VCPU_RUNNING;
			smp_store_release(&v->want, IMEE_FILLED);
			complete(&v->done);
		}
		imee_ring_entry(v);
	}
	rcu_read_unlock();
}

/*
 * Register or unregister the probe, by the shares in it and the presence of the tracepoint.
 * Under probe_lock.
 */
static int probe_update(void)
{
	int err = 0;

	if (!entry_point && probe_shares)
		return -EOPNOTSUPP;
	if (probe_shares && !probing) {
		err = tracepoint_probe_register(entry_point, probe_entry, NULL);
		probing = !err;
	} else if (!probe_shares && probing) {
		tracepoint_probe_unregister(entry_point, probe_entry, NULL);
		tracepoint_synchronize_unregister();
		probing = false;
	}
	return err;
}

int imee_probe_get(struct imee_file *f)
{
	int err;

	if (f->probing)
		return 0;
	mutex_lock(&probe_lock);
	probe_shares++;
	err = probe_update();
	if (err)
		probe_shares--;
	mutex_unlock(&probe_lock);
	f->probing = !err;
	return err ? -EOPNOTSUPP : 0;
}

/*
 * The probe stays registered, for the next file: to patch it in and out takes longer than the
 * rest of attaching, and it costs an entry of any other vCPU one hash lookup.
 */
static void probe_put(struct imee_file *f)
{
	if (!f->probing)
		return;
	f->probing = false;
	mutex_lock(&probe_lock);
	probe_shares--;
	mutex_unlock(&probe_lock);
}

static void found(struct tracepoint *tp, struct module *owner)
{
	/* A second tracepoint of that name is not KVM's, and the probe may be on the first. */
	if (entry_point || strcmp(tp->name, "kvm_entry"))
		return;
	entry_point = tp;
	entry_owner = owner;
	probe_update();
}

static void builtin_tracepoint(struct tracepoint *tp, void *data)
{
	found(tp, NULL);
}

#ifdef CONFIG_MODULES
static int module_changes(struct notifier_block *nb, unsigned long what, void *data)
{
	struct module *mod = ((struct tp_module *)data)->mod;
	unsigned int i, shares;

	mutex_lock(&probe_lock);
	if (what == MODULE_STATE_COMING) {
		for (i = 0; i < mod->num_tracepoints; i++)
			found(tracepoint_ptr_deref(&mod->tracepoints_ptrs[i]), mod);
	} else if (what == MODULE_STATE_GOING && entry_point && entry_owner == mod) {
		/* Its guests are all gone; files with a share may still be open. */
		shares = probe_shares;
		probe_shares = 0;
		probe_update();
		probe_shares = shares;
		entry_point = NULL;
	}
	mutex_unlock(&probe_lock);
	return NOTIFY_OK;
}

static struct notifier_block module_notifier = {
	.notifier_call = module_changes,
};
#endif

int imee_probe_init(void)
{
	mutex_lock(&probe_lock);
	for_each_kernel_tracepoint(builtin_tracepoint, NULL);
	mutex_unlock(&probe_lock);
#ifdef CONFIG_MODULES
	return register_tracepoint_module_notifier(&module_notifier);
#else
	return 0;
#endif
}

void imee_probe_exit(void)
{
#ifdef CONFIG_MODULES
	unregister_tracepoint_module_notifier(&module_notifier);
#endif
	mutex_lock(&probe_lock);
	probe_update();
	mutex_unlock(&probe_lock);
}

/* --- Which vCPUs ----------------------------------------------------------------- */

struct imee_vcpu *imee_vcpu(struct imee_file *f, struct kvm *kvm, u32 index)
{
	struct imee_vcpu *v = xa_load(&f->vcpus, index);
	struct kvm_vcpu *vcpu;
	int err;

	if (v)
		return v;
	if (index >= imee_nr_vcpus(kvm))
		return NULL;
	vcpu = kvm_get_vcpu(kvm, index);
	if (!vcpu)
		return NULL;
	v = kzalloc(sizeof(*v), GFP_KERNEL_ACCOUNT);
	if (!v)
		return ERR_PTR(-ENOMEM);
	v->file = f;
	v->vcpu = vcpu;
	v->index = index;
	init_completion(&v->done);
	err = xa_err(xa_store(&f->vcpus, index, v, GFP_KERNEL_ACCOUNT));
	if (err) {
		kfree(v);
		return ERR_PTR(err);
	}
	/* Not after the guest's death, which empties the list. */
	spin_lock(&f->lock);
	spin_lock(&imee_vcpus_lock);
	if (!f->dead)
		hash_add_rcu(imee_vcpus, &v->node, (unsigned long)vcpu);
	spin_unlock(&imee_vcpus_lock);
	spin_unlock(&f->lock);
	return v;
}

void imee_vcpus_drop(struct imee_file *f)
{
	struct imee_vcpu *v;
	unsigned long index;

	spin_lock(&imee_vcpus_lock);
	xa_for_each(&f->vcpus, index, v)
		hash_del_rcu(&v->node);
	spin_unlock(&imee_vcpus_lock);
	if (!xa_empty(&f->vcpus))
		synchronize_rcu();
}

void imee_vcpus_free(struct imee_file *f)
{
	struct imee_vcpu *v;
	unsigned long index;

	probe_put(f);
	xa_for_each(&f->vcpus, index, v)
		kfree(v);
}

/* --- A sample -------------------------------------------------------------------- */

/* Registers that KVM keeps in memory on any hardware. */
static void common_regs(struct imee_vcpu *v, struct imee_regs *regs)
{
	struct kvm_vcpu *vcpu = v->vcpu;
	int i;

	regs->vcpu = v->index;
	regs->vcpu_id = vcpu->vcpu_id;
	if (vcpu->arch.hflags & HF_GUEST_MASK)
		regs->flags |= IMEE_VCPU_NESTED;
	for (i = 0; i < ARRAY_SIZE(regs->gpr); i++)
		regs->gpr[i] = vcpu->arch.regs[i];
	regs->rip = imee_rip(vcpu);
	regs->cr0 = vcpu->arch.cr0;
	regs->cr2 = vcpu->arch.cr2;
	regs->cr3 = vcpu->arch.cr3;
	regs->cr4 = vcpu->arch.cr4;
	regs->efer = vcpu->arch.efer;
	regs->tsc_offset = vcpu->arch.tsc_offset;
	/* On hardware that cannot scale, KVM has 0 (5.10) or 1 for "as it is". */
	regs->tsc_ratio = vcpu->arch.tsc_scaling_ratio ?: 1;
	regs->tsc_shift = regs->tsc_ratio == 1 ? 0 : imee_svm() ? 32 : 48;
	regs->host_tsc = rdtsc_ordered();
	regs->host_ns = ktime_get_mono_fast_ns();
	regs->entries = v->entries;
	regs->valid = IMEE_REGS_CR2 | IMEE_REGS_EFER | IMEE_REGS_TSC;
	if (imee_svm())
		regs->valid |= IMEE_REGS_GPR | IMEE_REGS_CR0 | IMEE_REGS_CR3 | IMEE_REGS_CR4;
	if (imee_has_rip(vcpu) && imee_has_rsp(vcpu))
		regs->valid |= IMEE_REGS_GPR;
	if (imee_cached(vcpu, IMEE_CR3))
		regs->valid |= IMEE_REGS_CR3;
}

/*
 * Fill @regs, but not its state. @entering: in the vCPU's thread, at its entry, with interrupts
 * off; otherwise the vCPU must hold still.
 */
static void fill(struct imee_vcpu *v, struct imee_regs *regs, bool entering)
{
	static const struct imee_segment no_segment;

	memset(regs, 0, sizeof(*regs));
	common_regs(v, regs);
	if (imee_protected(v->vcpu))
		regs->valid = 0;
	else if (imee_svm())
		imee_svm_regs(v, regs, entering);
	else if (entering)
		imee_vmx_regs(v, regs);
	else
		imee_vmx_regs_outside(v, regs);

	if (!(regs->valid & IMEE_REGS_GPR)) {
		memset(regs->gpr, 0, sizeof(regs->gpr));
		regs->rip = 0;
	}
	if (!(regs->valid & IMEE_REGS_CR0))
		regs->cr0 = 0;
	if (!(regs->valid & IMEE_REGS_CR2))
		regs->cr2 = 0;
	if (!(regs->valid & IMEE_REGS_EFER))
		regs->efer = 0;
	if (!(regs->valid & IMEE_REGS_CR3))
		regs->cr3 = 0;
	if (!(regs->valid & IMEE_REGS_CR4))
		regs->cr4 = 0;
	if (!(regs->valid & IMEE_REGS_CS_SS))
		regs->cs = regs->ss = no_segment;
}

static bool outside(struct imee_vcpu *v)
{
	return READ_ONCE(v->vcpu->mode) == OUTSIDE_GUEST_MODE;
}

static bool halted(struct imee_vcpu *v)
{
	return READ_ONCE(v->vcpu->arch.mp_state) != KVM_MP_STATE_RUNNABLE;
}

/* Sample a vCPU that holds still within KVM; false: it did not. */
static bool fill_still(struct imee_vcpu *v, struct imee_regs *regs,
		       bool (*still)(struct imee_vcpu *))
{
	u64 entries = READ_ONCE(v->entries);
	struct imee_regs *before = &v->before;

	if (!still(v))
		return false;
	smp_rmb();
	fill(v, before, false);
	smp_rmb();
	fill(v, regs, false);
	smp_rmb();
	/* A change that was under way shows as a difference. */
	before->host_tsc = regs->host_tsc;
	before->host_ns = regs->host_ns;
	return still(v) && READ_ONCE(v->entries) == entries && !memcmp(before, regs, sizeof(*regs));
}

static bool outside_halted(struct imee_vcpu *v)
{
	return outside(v) && halted(v);
}

static bool outside_current(struct imee_vcpu *v)
{
	u64 cr3;

	/* Between an exit and its handling KVM's copy is stale. */
	return outside(v) && (!imee_svm() || !imee_svm_cr3(v, &cr3) || cr3 == v->vcpu->arch.cr3);
}

/* Sample a vCPU that does not execute. @ticks: the number of ticks since the first try. */
static bool fill_in_place(struct imee_vcpu *v, struct imee_regs *regs, unsigned int ticks)
{
	if (!outside(v))
		return false;
	/* KVM_RUN and changes of registers hold this lock. */
	if (mutex_trylock(&v->vcpu->mutex)) {
		fill(v, regs, false);
		mutex_unlock(&v->vcpu->mutex);
		regs->state = halted(v) ? IMEE_VCPU_HALTED : IMEE_VCPU_STOPPED;
		return true;
	}
	if (fill_still(v, regs, outside_halted)) {
		regs->state = IMEE_VCPU_HALTED;
		return true;
	}
	if (ticks >= OUTSIDE_TRIES && fill_still(v, regs, outside_current)) {
		regs->state = IMEE_VCPU_SCHEDULED;
		return true;
	}
	return false;
}

static void leave_guest(void *unused)
{
}

/* Make the vCPU leave its guest: it passes the probe when it enters again. */
static void poke(struct imee_vcpu *v)
{
	int cpu = READ_ONCE(v->vcpu->cpu);

	if (!outside(v) && cpu >= 0 && cpu < nr_cpu_ids && cpu_online(cpu))
		smp_call_function_single(cpu, leave_guest, NULL, 1);
}

/* Withdraw the request to the probe; false: it has filled v->sample, or is doing so. */
static bool withdraw(struct imee_vcpu *v)
{
	return cmpxchg(&v->want, IMEE_WANTED, IMEE_IDLE) == IMEE_WANTED;
}

/* Sample into @regs, by the probe or in place, whichever comes first. */
static long sample(struct imee_file *f, struct imee_vcpu *v, u32 timeout_us, struct imee_regs *regs)
{
	ktime_t end = ktime_add_us(ktime_get(), timeout_us ?: DEFAULT_TIMEOUT_US);
	bool done = false;
	unsigned int ticks;
	long err = 0;

	reinit_completion(&v->done);
	smp_store_release(&v->want, IMEE_WANTED);
	for (ticks = 0; READ_ONCE(v->want) == IMEE_WANTED && !done && !err; ticks++) {
		if (ticks) {
			poke(v);
			wait_for_completion_interruptible_timeout(&v->done, 1);
		}
		if (READ_ONCE(f->dead))
			err = -ESRCH;
		else if (fill_in_place(v, regs, ticks))
			done = true;
		else if (signal_pending(current))
			err = -EINTR;
		else if (ktime_after(ktime_get(), end))
			err = -EAGAIN;
		else if (!f->probing && !outside(v))
			err = -EOPNOTSUPP;
	}
	if (withdraw(v))
		return err;
	/* The probe runs with interrupts off, so this is short. */
	while (smp_load_acquire(&v->want) != IMEE_FILLED)
		cpu_relax();
	*regs = v->sample;
	return 0;
}

long imee_get_regs(struct imee_file *f, void __user *arg)
{
	struct imee_regs *regs;
	struct imee_vcpu *v;
	struct kvm *kvm;
	u32 timeout_us;
	long err;

	regs = memdup_user(arg, sizeof(*regs));
	if (IS_ERR(regs))
		return PTR_ERR(regs);
	err = -EINVAL;
	if (regs->reserved32 || memchr_inv(regs->reserved, 0, sizeof(regs->reserved)))
		goto free;
	err = imee_use(f, &kvm);
	if (err)
		goto free;
	err = -EINTR;
	if (mutex_lock_interruptible(&f->setup))
		goto put;
	imee_probe_get(f);
	timeout_us = regs->timeout_us;
	v = imee_vcpu(f, kvm, regs->vcpu);
	err = !v ? -EINVAL : PTR_ERR_OR_ZERO(v);
	if (!err)
		err = sample(f, v, timeout_us, regs);
	regs->timeout_us = timeout_us;
	if (!err)
		atomic64_inc(&f->samples);
	mutex_unlock(&f->setup);
put:
	imee_put(f);
free:
	if (!err && copy_to_user(arg, regs, sizeof(*regs)))
		err = -EFAULT;
	kfree(regs);
	return err;
}
