/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The kvm engine: requests for bytes. The other engine serves what the agent cannot. */
#include "kvm.h"

/* Samples of a watch in one KVM_RUN: a millisecond; a hundred where KVM emulates. */
#define WATCH_SAMPLES 4096

/* ---- bytes ---- */

/* The address of a failure, as the software walk reports it: the page's first byte, or @va. */
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
		/* The agent sets a status or makes progress: something else ran in its place. */
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

		/* Most strings are short, and each byte costs time. */
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

enum vl_read_status kvm_read_op(struct vl_raw *e, const struct vl_space *s, uint64_t va, void *buf,
				size_t len, uint64_t *fault)
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

enum vl_read_status kvm_string_op(struct vl_raw *e, const struct vl_space *s, uint64_t va,
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

/* The status of an item to read alone; neither a vl_read_status nor the mark of reader.c. */
#define REDO (VL_NR_READ_STATUS + 1)

/* Serve as many of @items as have room, by one KVM_RUN; returns their number. */
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
		/* The agent copies whole words. */
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

void kvm_gather_op(struct vl_raw *e, const struct vl_space *s, struct vl_get *items, size_t nr)
{
	struct vl_kvm *k = kvm_of(e);
	uint64_t fault;

	kvm_begin(k);
	for (size_t i = 0; i < nr;) {
		size_t n = kvm_ready(k, s) ? gather_some(k, s, items + i, nr - i) : 0;

		bool stand = n && kvm_stands(k);

		/* An item that did not fit, or failed, is read alone. */
		n = n ? n : 1;
		for (size_t j = i; j < i + n && !stand; j++)
			if (!items[j].status)
				items[j].status = REDO;
		for (size_t j = i; j < i + n; j++)
			if (items[j].status == REDO)
				items[j].status = kvm_read_op(e, s, items[j].va, items[j].buf,
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

		/* Not within one aligned word: sample by kvm_read(). */
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

enum vl_read_status kvm_watch_op(struct vl_raw *e, const struct vl_space *s, uint64_t va,
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
