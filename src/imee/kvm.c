/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kvm engine: requests for bytes, and when it can serve at all. */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../host/port.h"
#include "kvm.h"

/* Samples of a watch in one entry: a millisecond; where KVM emulates, a hundred. */
#define WATCH_SAMPLES 4096

/* ---- the ring ---- */

struct agent_request *kvm_request(struct vl_kvm *k, unsigned i, const struct vl_space *s,
				  uint32_t op)
{
	struct agent_request *rq = &k->ring->requests[(k->ring->posted + i) % AGENT_NR_REQUESTS];

	*rq = (struct agent_request){
		.op = op,
		.cr3 = s->root,
		.out = kvm_out_va(0),
		.out_end = kvm_out_va(KVM_OUT_PAGES * VL_PAGE_SIZE),
	};
	return rq;
}

bool kvm_post(struct vl_kvm *k, uint32_t *counter, uint32_t to)
{
	_Atomic uint32_t *served = (_Atomic uint32_t *)&k->ring->served;
	uint32_t posted;

	if (unlikely(atomic_load(&k->broken)))
		return false;
	atomic_store((_Atomic uint32_t *)counter, to);
	posted = k->ring->posted;
	if (!k->polling)
		return kvm_vm_run(k);
	if (atomic_load(&k->asleep)) {
		pthread_mutex_lock(&k->lock);
		pthread_cond_broadcast(&k->cond);
		pthread_mutex_unlock(&k->lock);
	}
	for (unsigned i = 1; atomic_load_explicit(served, memory_order_acquire) != posted; i++) {
		if (atomic_load(&k->broken))
			return false;
		if (i % 4096)
			__builtin_ia32_pause();
		else
			sched_yield();
	}
	return true;
}

bool kvm_serve(struct vl_kvm *k, unsigned nr)
{
	if (k->mirror)
		return kvm_mirror_serve(k, nr);
	return kvm_post(k, &k->ring->posted, k->ring->posted + nr);
}

/* ---- bytes ---- */

/* A failure is named as the software walk does: the page's first byte, or @va itself. */
static uint64_t fault_at(uint64_t va, uint64_t at)
{
	return (at & VL_PAGE_MASK) > va ? at & VL_PAGE_MASK : va;
}

enum vl_read_status kvm_read(struct vl_kvm *k, const struct vl_space *s, uint64_t va, void *buf,
			     size_t len, uint64_t *fault)
{
	uint64_t at = va, end = va + len;
	enum vl_read_status st;
	unsigned tries = 0;

	while (at != end) {
		size_t n = end - at < KVM_OUT_SIZE ? end - at : KVM_OUT_SIZE, done;
		struct agent_request *rq;

		*fault = fault_at(va, at);
		if (!kvm_ready(k, s))
			return KVM_BY_WALK;
		rq = kvm_request(k, 0, s, AGENT_OP_READ);
		rq->va = at;
		rq->left = n;
		if (!kvm_serve(k, 1))
			return KVM_BY_WALK;
		done = rq->left <= n ? n - rq->left : 0;
		memcpy(buf, k->out, done);
		buf = (char *)buf + done;
		at += done;
		if (likely(!rq->status && done))
			continue;
		/* What the agent never says: it is not the agent that answers. */
		if (!rq->status)
			return KVM_BY_WALK;
		tries = done ? 0 : tries;
		rq->fault = at;
		*fault = fault_at(va, at);
		if (!kvm_recover(k, s, rq, &tries, &st))
			return st;
	}
	return VL_READ_OK;
}

enum vl_read_status kvm_string(struct vl_kvm *k, const struct vl_space *s, uint64_t va, char *buf,
			       size_t size, uint64_t *fault)
{
	/* No page is touched before the string is known to go on there. */
	while (size) {
		size_t n = VL_PAGE_SIZE - va % VL_PAGE_SIZE;
		enum vl_read_status st;

		/* Most strings are short, and what is read costs. */
		n = n < 256 ? n : 256;
		n = n < size ? n : size;
		st = kvm_read(k, s, va, buf, n, fault);
		if (st)
			return st;
		if (memchr(buf, 0, n))
			return VL_READ_OK;
		buf += n;
		va += n;
		size -= n;
	}
	*fault = va;
	return VL_READ_UNENDED;
}

static enum vl_read_status read_op(struct vl_raw *e, const struct vl_space *s, uint64_t va,
				   void *buf, size_t len, uint64_t *fault)
{
	struct vl_kvm *k = kvm_of(e);
	enum vl_read_status st;

	kvm_begin(k);
	st = kvm_read(k, s, va, buf, len, fault);
	if (unlikely(st == KVM_BY_WALK || !kvm_stands(k))) {
		k->by_walk++;
		return k->other->ops->read(k->other, s, va, buf, len, fault);
	}
	if (st)
		memset(buf, 0, len);
	return st;
}

static enum vl_read_status string_op(struct vl_raw *e, const struct vl_space *s, uint64_t va,
				     char *buf, size_t size, uint64_t *fault)
{
	struct vl_kvm *k = kvm_of(e);
	enum vl_read_status st;

	kvm_begin(k);
	st = kvm_string(k, s, va, buf, size, fault);
	*fault = fault_at(va, *fault);
	if (unlikely(st == KVM_BY_WALK || !kvm_stands(k))) {
		k->by_walk++;
		st = k->other->ops->string(k->other, s, va, buf, size, fault);
	}
	return st;
}

/* Marks an item that is to be read alone; no status, and not what reader.c marks with. */
#define REDO (VL_NR_READ_STATUS + 1)

/* As many of @items as have room, by one entry; returns how many those are. */
static size_t gather_some(struct vl_kvm *k, const struct vl_space *s, struct vl_get *items,
			  size_t nr)
{
	unsigned first = k->ring->posted, posted = 0;
	size_t used = 0, n;

	for (n = 0; n < nr && posted < AGENT_NR_REQUESTS; n++) {
		struct agent_request *rq;

		if (items[n].status)
			continue;
		if (used + items[n].len > KVM_OUT_SIZE)
			break;
		rq = kvm_request(k, posted++, s, AGENT_OP_READ);
		rq->va = items[n].va;
		rq->left = items[n].len;
		rq->out = kvm_out_va(used);
		/* Pieces are carried in whole words. */
		used = (used + items[n].len + 15) & ~7UL;
	}
	if (posted && !kvm_serve(k, posted))
		posted = 0;
	used = 0;
	for (size_t i = 0; i < n; i++) {
		const struct agent_request *rq = &k->ring->requests[first % AGENT_NR_REQUESTS];

		if (items[i].status)
			continue;
		first++;
		if (posted && !rq->status && !rq->left)
			memcpy(items[i].buf, k->out + used, items[i].len);
		else
			items[i].status = REDO;
		used = (used + items[i].len + 15) & ~7UL;
	}
	return n;
}

static void gather_op(struct vl_raw *e, const struct vl_space *s, struct vl_get *items, size_t nr)
{
	struct vl_kvm *k = kvm_of(e);
	uint64_t fault;

	kvm_begin(k);
	for (size_t i = 0; i < nr;) {
		size_t n = kvm_ready(k, s) ? gather_some(k, s, items + i, nr - i) : 0;

		bool stand = n && kvm_stands(k);

		/* What did not fit, or did not come out, alone. */
		n = n ? n : 1;
		for (size_t j = i; j < i + n && !stand; j++)
			if (!items[j].status)
				items[j].status = REDO;
		for (size_t j = i; j < i + n; j++)
			if (items[j].status == REDO)
				items[j].status = read_op(e, s, items[j].va, items[j].buf,
							  items[j].len, &fault);
		i += n;
	}
}

/* ---- watch ---- */

static enum vl_read_status watch(struct vl_kvm *k, const struct vl_space *s, uint64_t va,
				 unsigned size, uint64_t old, uint64_t max, uint64_t *ret,
				 uint64_t *samples_ret, uint64_t *fault)
{
	unsigned shift = 8 * (va & 7), tries = 0;
	uint64_t mask = size == 8 ? UINT64_MAX : (1UL << 8 * size) - 1;
	enum vl_read_status st;

	*samples_ret = 0;
	*fault = va;
	kvm_begin(k);
	while (*samples_ret < max) {
		uint64_t n =
			max - *samples_ret < WATCH_SAMPLES ? max - *samples_ret : WATCH_SAMPLES;
		struct agent_request *rq;

		/* Not within one aligned word: one by one. */
		if ((va & 7) + size > 8 || old & ~mask) {
			*ret = 0;
			++*samples_ret;
			st = kvm_read(k, s, va, ret, size, fault);
			if (st || *ret != old)
				return st;
			continue;
		}
		if (!kvm_ready(k, s))
			return KVM_BY_WALK;
		rq = kvm_request(k, 0, s, AGENT_OP_WATCH);
		rq->va = va & ~7UL;
		rq->left = n;
		rq->mask = mask << shift;
		rq->end = old << shift;
		if (!kvm_serve(k, 1))
			return KVM_BY_WALK;
		*samples_ret += rq->left < n ? n - rq->left : 0;
		if (!rq->status && rq->left >= n)
			return KVM_BY_WALK;
		if (rq->status) {
			rq->fault = va;
			if (!kvm_recover(k, s, rq, &tries, &st)) {
				++*samples_ret;
				return st;
			}
			continue;
		}
		tries = 0;
		*ret = rq->end >> shift & mask;
		if (*ret != old)
			break;
	}
	return VL_READ_OK;
}

static enum vl_read_status watch_op(struct vl_raw *e, const struct vl_space *s, uint64_t va,
				    unsigned size, uint64_t old, uint64_t max, uint64_t *ret,
				    uint64_t *samples_ret, uint64_t *fault)
{
	struct vl_kvm *k = kvm_of(e);
	enum vl_read_status st = watch(k, s, va, size, old, max, ret, samples_ret, fault);

	if (unlikely(st == KVM_BY_WALK || !kvm_stands(k))) {
		k->by_walk++;
		st = k->other->ops->watch(k->other, s, va, size, old, max, ret, samples_ret, fault);
	}
	return st;
}

/* ---- can it serve? ---- */

bool kvm_slot_aligned(const struct vl_ram *r)
{
	return r->gpa % VL_PAGE_SIZE == 0 && r->size % VL_PAGE_SIZE == 0;
}

/*
 * Can the range be in a memory slot: mapped, page by page? That a file is cut short
 * is no danger, as only KVM touches the mapping. Huge pages that the guest never touched
 * are taken from its own reservation when they are read.
 */
bool kvm_slot_fits(const struct vl_ram *r)
{
	return r->fd >= 0 && r->fd_offset % VL_PAGE_SIZE == 0 && kvm_slot_aligned(r) &&
	       (r->page_size <= VL_PAGE_SIZE ||
		(r->fd_offset % r->page_size == 0 && r->size % r->page_size == 0));
}

/* What KVM makes of it is asked when a machine is made; that ioctl takes its time. */
static bool has_la57(void)
{
	unsigned a, b, c = 0, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && c >> 16 & 1;
}

/* What there is of KVM: a process without rights was told before. */
static void look_host(struct vl_target *t, struct vl_machine_host *ret)
{
	const struct vl_target_port *port = vl_target_port(t);

	if (port)
		*ret = port->machine;
	else
		vl_machine_look(ret, true);
}

static void leave_host(struct vl_target *t, struct vl_machine_host *h)
{
	if (!vl_target_port(t) && h->kvm >= 0)
		close(h->kvm);
}

/* For a mirror of the guest's tables those must be in memory that stays at its place. */
static bool mirror_fits(struct vl_target *t)
{
	return !vl_target_is_live(t) || vl_ram_by_module(t) || vl_ram_most(t, vl_ram_mappable);
}

/*
 * Can most of the RAM be in slots? With *@module_ret, as the module maps it. What cannot,
 * a display's memory for one, is read by the other engine.
 */
static bool most_fits(struct vl_target *t, struct vl_module **module_ret)
{
	bool by_module = vl_ram_by_module(t);

	*module_ret = by_module ? vl_target_module(t, NULL) : NULL;
	return vl_ram_most(t, by_module ? kvm_slot_aligned : kvm_slot_fits);
}

static int rank_op(struct vl_target *t, const struct vl_contact *c, char why[VL_RAW_WHY])
{
	struct vl_machine_host host;
	struct vl_module *module;
	int rank = VL_RANK_NONE;
	const char *how;

	if (!most_fits(t, &module)) {
		snprintf(why, VL_RAW_WHY, "%s",
			 vl_target_is_live(t) ?
				 "the guest's RAM cannot be mapped (it is anonymous)" :
				 "the memory in the dump is not on page boundaries");
		return VL_RANK_NONE;
	}
	how = module ? ", over RAM that imee.ko maps" : "";
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
 * Does it work at all? A word that is there, and an address that is not, where the
 * processor has to deliver an exception under the guest's tables. On a processor that
 * cannot walk tables in read-only memory (see rank_op()) KVM hangs over that.
 */
static struct vl_error *probe(struct vl_kvm *k, const struct vl_contact *c)
{
	struct vl_space s = { c->pt.root, c->pt.levels };
	uint64_t word, fault, by_walk = k->by_walk;
	const char *what = NULL;

	atomic_store(&k->limit_ms, 500);
	if (vl_raw_kvm.read(&k->raw, &s, c->entry & ~7UL, &word, sizeof(word), &fault))
		what = "it does not read what is known";
	else if (k->by_walk != by_walk)
		what = "no page of the guest can be executed";
	else
		/* The first page of all is mapped by no kernel. */
		vl_raw_kvm.read(&k->raw, &s, 0, &word, sizeof(word), &fault);
	atomic_store(&k->limit_ms, 3000);
	if (atomic_load(&k->broken))
		what = "the processor cannot walk page tables in read-only memory";
	if (!what)
		return NULL;
	return vl_error_new(VL_ERR_TARGET, "the immersive vCPU does not run here: %s", what);
}

static struct vl_error *open_other(struct vl_kvm *k, struct vl_target *t,
				   const struct vl_contact *c)
{
	struct vl_error *err;

	if (k->module) {
		err = vl_raw_module.open(t, c, &k->other);
		if (!err)
			k->walk = vl_module_walk(k->other);
	} else {
		err = vl_raw_direct.open(t, c, &k->other);
		if (!err)
			k->walk = (struct vl_direct *)k->other;
	}
	return err;
}

static struct vl_error *open_op(struct vl_target *t, const struct vl_contact *c,
				struct vl_raw **ret)
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
	if (!most_fits(t, &k->module))
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
				      k->redone, k->va,		 k->blind };
}

const struct vl_raw_ops vl_raw_kvm = {
	.name = "kvm",
	.best = VL_RANK_KVM,
	.rank = rank_op,
	.open = open_op,
	.close = close_op,
	.read = read_op,
	.string = string_op,
	.gather = gather_op,
	.walk = kvm_walk,
	.watch = watch_op,
};
