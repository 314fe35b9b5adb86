/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kvm engine: where it can serve, and its table of operations. */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../host/pages.h"
#include "../host/proxy.h"
#include "kvm.h"

/*
 * Does the processor have 5 levels? KVM is asked when a machine is made, as that ioctl is slow.
 */
static bool has_la57(void)
{
	unsigned a, b, c = 0, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && c >> 16 & 1;
}

/* The features of KVM on this host. A process without rights gets them at its start. */
static void look_host(struct vl_target *t, struct vl_machine_host *ret)
{
	const struct vl_target_proxy *proxy = vl_target_proxy(t);

	if (proxy)
		*ret = proxy->machine;
	else
		vl_machine_probe(ret, true);
}

static void leave_host(struct vl_target *t, struct vl_machine_host *h)
{
	if (!vl_target_proxy(t) && h->kvm >= 0)
		close(h->kvm);
}

/* A mirror needs the guest's tables in memory that stays mapped at one place. */
static bool mirror_fits(struct vl_target *t)
{
	return !vl_target_is_live(t) || vl_ram_by_kmod(t) || vl_ram_most(t, vl_ram_mappable);
}

/*
 * Can most of the RAM be in slots? *@kmod_ret is imee.ko if it maps the RAM. The other
 * engine reads the rest, a display's memory for one.
 */
static bool most_fits(struct vl_target *t, struct vl_kmod **kmod_ret)
{
	bool by_kmod = vl_ram_by_kmod(t);

	*kmod_ret = by_kmod ? vl_target_kmod(t, NULL) : NULL;
	return vl_ram_most(t, by_kmod ? kvm_slot_aligned : kvm_slot_fits);
}

static int rank_op(struct vl_target *t, const struct vl_attach *c, char why[VL_RAW_WHY])
{
	struct vl_machine_host host;
	struct vl_kmod *kmod;
	int rank = VL_RANK_NONE;
	const char *how;

	if (!most_fits(t, &kmod)) {
		snprintf(why, VL_RAW_WHY, "%s",
			 vl_target_is_live(t) ?
				 "the guest's RAM cannot be mapped (it is anonymous)" :
			 vl_target_packed(t) ? "the dump's memory is compressed or scattered" :
					       "the memory in the dump is not on page boundaries");
		return VL_RANK_NONE;
	}
	how = kmod ? ", over RAM that imee.ko maps" : "";
	look_host(t, &host);
	if (host.kvm < 0) {
		snprintf(why, VL_RAW_WHY, "%s", host.why);
		return VL_RANK_NONE;
	}
	if (ioctl(host.kvm, KVM_CHECK_EXTENSION, KVM_CAP_READONLY_MEM) <= 0) {
		snprintf(why, VL_RAW_WHY, "this KVM has no read-only memory");
	} else if (c && c->pt.levels == 5 && !has_la57()) {
		snprintf(why, VL_RAW_WHY,
			 "the guest has 5 levels of page tables, this host's processor has 4");
	} else if (host.kind == VL_MACHINE_SHADOW) {
		snprintf(why, VL_RAW_WHY, "KVM shadows page tables here, which would go stale");
	} else if (host.walks_write && !mirror_fits(t)) {
		snprintf(why, VL_RAW_WHY,
			 "this processor takes page walks for writes, and the guest's RAM is in a "
			 "file that cannot be mapped for good");
	} else if (host.walks_write) {
		snprintf(
			why, VL_RAW_WHY,
			"an immersive vCPU on this host's processor%s, through page tables that are "
			"compared with the guest's before and after",
			how);
		rank = VL_RANK_KVM;
	} else if (host.kind == VL_MACHINE_TWO_LEVELS) {
		snprintf(why, VL_RAW_WHY, "an immersive vCPU on this host's processor%s", how);
		rank = VL_RANK_KVM;
	} else {
		snprintf(why, VL_RAW_WHY, "an immersive vCPU; KVM emulates it here, which is slow");
		rank = VL_RANK_KVM_SLOW;
	}
	leave_host(t, &host);
	return rank;
}

static void close_op(struct vl_raw *e)
{
	struct vl_kvm *k = kvm_of(e);

	kvm_threads_stop(k);
	kvm_vm_destroy(k);
	kvm_mirror_destroy(k);
	if (k->other)
		k->other->ops->close(k->other);
	pthread_cond_destroy(&k->cond);
	pthread_mutex_destroy(&k->lock);
	free(k);
}

/*
 * Does the vCPU work? Read a word that is mapped, then an address that is not: there the
 * processor delivers an exception under the guest's tables. On a processor that cannot walk
 * tables in read-only memory (see rank_op()) KVM hangs over that.
 */
static struct vl_error *probe(struct vl_kvm *k, const struct vl_attach *c)
{
	struct vl_space s = { c->pt.root, c->pt.levels };
	uint64_t word, fault, by_walk = k->by_walk;
	const char *what = NULL;

	atomic_store(&k->limit_ms, 500);
	if (vl_raw_kvm.read(&k->raw, &s, c->entry & ~7UL, &word, sizeof(word), &fault))
		what = "it read wrong bytes from a known address";
	else if (k->by_walk != by_walk)
		what = "no page of the guest can be executed";
	else
		/* No kernel maps the first page. */
		vl_raw_kvm.read(&k->raw, &s, 0, &word, sizeof(word), &fault);
	atomic_store(&k->limit_ms, 3000);
	if (atomic_load(&k->broken))
		what = "the processor cannot walk page tables in read-only memory";
	/* PVM's KVM offers 5 levels where the processor has them, but walks 4. */
	if (what && s.levels == 5 && k->placed)
		what = "KVM does not walk 5 levels";
	if (!what)
		return NULL;
	return vl_error_new(VL_ERR_TARGET, "the immersive vCPU does not run here: %s", what);
}

static struct vl_error *open_other(struct vl_kvm *k, struct vl_target *t, const struct vl_attach *c)
{
	struct vl_error *err;

	if (k->kmod) {
		err = vl_raw_kmod.open(t, c, &k->other);
		if (!err)
			k->walk = vl_kmod_walk(k->other);
	} else {
		err = vl_raw_direct.open(t, c, &k->other);
		if (!err)
			k->walk = (struct vl_direct *)k->other;
	}
	return err;
}

static struct vl_error *open_op(struct vl_target *t, const struct vl_attach *c, struct vl_raw **ret)
{
	struct vl_kvm *k = calloc(1, sizeof(*k));
	struct vl_machine_host host;
	struct vl_error *err;

	if (!k)
		return vl_error_nomem();
	look_host(t, &host);
	k->raw.ops = &vl_raw_kvm;
	pthread_mutex_init(&k->lock, NULL);
	pthread_cond_init(&k->cond, NULL);
	atomic_store(&k->limit_ms, 3000);
	k->machine = (struct vl_machine)VL_MACHINE_NONE;
	if (!most_fits(t, &k->kmod))
		err = vl_error_new(VL_ERR_TARGET, "the guest's RAM cannot be mapped");
	else
		err = open_other(k, t, c);
	if (!err)
		err = kvm_vm_create(k, t, &host);
	if (!err && c && c->pt.levels == 5 && !k->la57)
		err = vl_error_new(VL_ERR_TARGET, "this KVM has no page tables of 5 levels");
	if (!err && host.walks_write)
		err = vl_kvm_mirror(&k->raw);
	if (!err)
		err = kvm_watchdog_start(k);
	if (!err && c) {
		k->hint = c->entry & VL_PAGE_MASK;
		err = probe(k, c);
	}
	leave_host(t, &host);
	if (err) {
		close_op(&k->raw);
		return vl_error_hint(vl_error_prefix(err, "kvm"),
				     "the direct engine reads the same");
	}
	*ret = &k->raw;
	return NULL;
}

void vl_kvm_stats(const struct vl_raw *e, struct vl_kvm_stats *ret)
{
	const struct vl_kvm *k = (const struct vl_kvm *)e;

	*ret = (struct vl_kvm_stats){ k->exits,	 k->relocations, k->by_walk, k->asks,
				      k->redone, k->va,		 k->overlay };
}

const struct vl_raw_ops vl_raw_kvm = {
	.name = "kvm",
	.best = VL_RANK_KVM,
	.rank = rank_op,
	.open = open_op,
	.close = close_op,
	.read = kvm_read_op,
	.string = kvm_string_op,
	.gather = kvm_gather_op,
	.walk = kvm_walk,
	.watch = kvm_watch_op,
};
