/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The direct engine: a software walk through the guest's page tables, over its RAM in place.
 * The walk is in direct.h, the access to RAM in backing.c.
 */
#include "../host/kmod.h"
#include "direct.h"

#include <stdio.h>
#include <stdlib.h>

static struct vl_direct *direct_of(struct vl_raw *e)
{
	return (struct vl_direct *)e;
}

enum vl_read_status direct_where(struct vl_direct *d, const struct vl_space *s, uint64_t va,
				 uint64_t *gpa_ret, uint64_t *size_ret)
{
	direct_begin(d);
	return direct_translate(d, s, va, gpa_ret, size_ret);
}

static __attribute__((noinline, cold)) enum vl_read_status read_slow(struct vl_raw *e,
								     const struct vl_space *s,
								     uint64_t va, void *buf,
								     size_t len, uint64_t *fault)
{
	struct vl_direct *d = direct_of(e);
	enum vl_read_status st;

	direct_begin(d);
	if (d->has_live)
		direct_at_hand(d, s, va, len);
	st = direct_read(d, s, va, buf, len, fault);
	if (st)
		memset(buf, 0, len);
	return st;
}

/*
 * Consecutive reads overlap: the processor begins the next one while it waits for the memory of
 * this one, as long as its store buffer (40 to 70 entries) has room. So this path saves no
 * registers and ends in a tail call. When it fails, read_slow() restarts from the root.
 */
static enum vl_read_status read_op(struct vl_raw *e, const struct vl_space *s, uint64_t va,
				   void *buf, size_t len, uint64_t *fault)
{
	struct vl_direct *d = direct_of(e);
	const unsigned char *p;

	if (unlikely(d->has_live || len > VL_PAGE_SIZE - va % VL_PAGE_SIZE))
		return read_slow(e, s, va, buf, len, fault);
	p = direct_at(d, s, va, NULL);
	if (unlikely(!p))
		return read_slow(e, s, va, buf, len, fault);
	return direct_copy(buf, p, len, d->wide);
}

static enum vl_read_status string_op(struct vl_raw *e, const struct vl_space *s, uint64_t va,
				     char *buf, size_t size, uint64_t *fault)
{
	struct vl_direct *d = direct_of(e);
	enum vl_read_status st;

	direct_begin(d);
	while (size) {
		size_t n = VL_PAGE_SIZE - va % VL_PAGE_SIZE;
		const unsigned char *p;

		if (d->has_live)
			direct_at_hand(d, s, va, 1);
		p = direct_at(d, s, va, &st);
		if (!p) {
			*fault = va;
			return st;
		}
		n = n < size ? n : size;
		/* Copy before the search: the guest may write meanwhile. */
		memcpy(buf, p, n);
		if (memchr(buf, 0, n))
			return VL_READ_OK;
		buf += n;
		va += n;
		size -= n;
	}
	*fault = va;
	return VL_READ_UNENDED;
}

/* The status of an item to retry; outside of enum vl_read_status. */
#define RETRY UINT32_MAX

static void gather_live(struct vl_direct *d, const struct vl_space *s, struct vl_get *items,
			size_t nr)
{
	uint64_t fault;

	for (size_t i = 0; i < nr; i++)
		items[i].status = items[i].status ? items[i].status : RETRY;
	/* Each round takes all items one step further, with one call. */
	d->collecting = true;
	for (int round = 0; round < 8; round++) {
		for (size_t i = 0; i < nr; i++) {
			enum vl_read_status st;

			if (items[i].status != RETRY)
				continue;
			direct_expect(d, s, items[i].va, items[i].len);
			st = direct_read(d, s, items[i].va, items[i].buf, items[i].len, &fault);
			if (st != DIRECT_WANTED)
				items[i].status = st;
		}
		if (!direct_fetch(d))
			break;
	}
	d->collecting = false;
	for (size_t i = 0; i < nr; i++)
		if (items[i].status == RETRY)
			items[i].status =
				direct_read(d, s, items[i].va, items[i].buf, items[i].len, &fault);
}

static void gather_op(struct vl_raw *e, const struct vl_space *s, struct vl_get *items, size_t nr)
{
	struct vl_direct *d = direct_of(e);
	uint64_t fault;

	direct_begin(d);
	if (d->has_live) {
		for (size_t i = 0; i < nr; i += DIRECT_BATCH)
			gather_live(d, s, items + i, nr - i < DIRECT_BATCH ? nr - i : DIRECT_BATCH);
		return;
	}
	for (size_t i = 0; i < nr; i++)
		if (likely(!items[i].status))
			items[i].status =
				direct_read(d, s, items[i].va, items[i].buf, items[i].len, &fault);
}

static enum vl_read_status watch_op(struct vl_raw *e, const struct vl_space *s, uint64_t va,
				    unsigned size, uint64_t old, uint64_t max, uint64_t *ret,
				    uint64_t *samples_ret, uint64_t *fault)
{
	struct vl_direct *d = direct_of(e);
	enum vl_read_status st = VL_READ_OK;
	uint64_t v = 0, n = 0;

	while (n < max) {
		direct_begin(d);
		n++;
		v = 0;
		st = size == 8 ? direct_read(d, s, va, &v, 8, fault) :
				 direct_read(d, s, va, &v, size, fault);
		if (unlikely(st || v != old))
			break;
	}
	*ret = v;
	*samples_ret = n;
	return st;
}

static int rank_op(struct vl_target *t, const struct vl_attach *c, char why[VL_RAW_WHY])
{
	(void)c;
	if (!vl_target_is_live(t)) {
		snprintf(why, VL_RAW_WHY, "a dump does not change: its pages are read once");
		return VL_RANK_MAPPED;
	}
	if (vl_ram_most(t, vl_ram_mappable)) {
		snprintf(why, VL_RAW_WHY, "the guest's RAM is mapped");
		return VL_RANK_MAPPED;
	}
	snprintf(why, VL_RAW_WHY, "the guest's RAM cannot be mapped, each read is a system call");
	return VL_RANK_SYSCALLS;
}

static void close_op(struct vl_raw *e)
{
	direct_unmap(direct_of(e));
	free(e);
}

struct vl_error *direct_open(struct vl_target *t, struct vl_kmod *kmod, struct vl_raw **ret)
{
	struct vl_direct *d = calloc(1, sizeof(*d));
	struct vl_error *err;

	if (!d)
		return vl_error_nomem();
	d->raw.ops = &vl_raw_direct;
	d->t = t;
	d->wide = direct_has_lines();
	d->kmod = kmod;
	err = direct_map(d);
	if (err) {
		close_op(&d->raw);
		return err;
	}
	*ret = &d->raw;
	return NULL;
}

static struct vl_error *open_op(struct vl_target *t, const struct vl_attach *c, struct vl_raw **ret)
{
	(void)c;
	return direct_open(t, NULL, ret);
}

const struct vl_raw_ops vl_raw_direct = {
	.name = "direct",
	.best = VL_RANK_MAPPED,
	.rank = rank_op,
	.open = open_op,
	.close = close_op,
	.read = read_op,
	.string = string_op,
	.gather = gather_op,
	.walk = direct_walk,
	.watch = watch_op,
};
