/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The module engine: the direct walk over RAM that imee.ko has mapped, whatever backs
 * it. Where imee.ko has no page its mapping shows zeros, and its page of status says so.
 * Each request checks that page at its end. If it saw such zeros it is served again by system
 * calls, which give the reason.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../host/kmod.h"
#include "direct.h"

struct vl_kmod_raw {
	struct vl_raw raw;
	struct vl_target *t;
	struct vl_kmod *kmod;
	struct vl_raw *walk; /* over the mappings */
	struct vl_raw *slow; /* by system calls; NULL: not needed so far */
};

static struct vl_kmod_raw *kmod_of(struct vl_raw *e)
{
	return (struct vl_kmod_raw *)e;
}

struct vl_direct *vl_kmod_walk(struct vl_raw *e)
{
	return (struct vl_direct *)kmod_of(e)->walk;
}

/* Is the answer of @m->walk valid? */
static inline bool stands(const struct vl_kmod_raw *m)
{
	return likely(vl_kmod_sound(m->kmod));
}

/* The engine that serves this request in place of the mappings; NULL: the guest has gone. */
static struct vl_raw *slow(struct vl_kmod_raw *m)
{
	if (!vl_kmod_renew(m->kmod))
		return NULL;
	if (!m->slow && vl_discard(direct_open(m->t, NULL, &m->slow)))
		return NULL;
	return m->slow;
}

static enum vl_read_status read_op(struct vl_raw *e, const struct vl_space *s, uint64_t va,
				   void *buf, size_t len, uint64_t *fault)
{
	struct vl_kmod_raw *m = kmod_of(e);
	enum vl_read_status st;

	st = vl_raw_direct.read(m->walk, s, va, buf, len, fault);
	if (stands(m))
		return st;
	if (slow(m))
		return vl_raw_direct.read(m->slow, s, va, buf, len, fault);
	memset(buf, 0, len);
	return VL_READ_GONE;
}

static enum vl_read_status string_op(struct vl_raw *e, const struct vl_space *s, uint64_t va,
				     char *buf, size_t size, uint64_t *fault)
{
	struct vl_kmod_raw *m = kmod_of(e);
	enum vl_read_status st;

	st = vl_raw_direct.string(m->walk, s, va, buf, size, fault);
	if (stands(m))
		return st;
	return slow(m) ? vl_raw_direct.string(m->slow, s, va, buf, size, fault) : VL_READ_GONE;
}

/* Items that were refused before keep their status. */
static void gather_op(struct vl_raw *e, const struct vl_space *s, struct vl_get *items, size_t nr)
{
	struct vl_kmod_raw *m = kmod_of(e);
	uint64_t fault;

	for (size_t i = 0; i < nr; i++)
		if (!items[i].status)
			items[i].status = read_op(&m->raw, s, items[i].va, items[i].buf,
						  items[i].len, &fault);
}

static void walk_op(struct vl_raw *e, const struct vl_space *s, const struct vl_walk *w,
		    struct vl_walked *ret)
{
	struct vl_kmod_raw *m = kmod_of(e);

	vl_raw_direct.walk(m->walk, s, w, ret);
	if (stands(m))
		return;
	if (slow(m))
		vl_raw_direct.walk(m->slow, s, w, ret);
	else
		*ret = (struct vl_walked){ VL_READ_GONE, 0, w->head };
}

static enum vl_read_status watch_op(struct vl_raw *e, const struct vl_space *s, uint64_t va,
				    unsigned size, uint64_t old, uint64_t max, uint64_t *ret,
				    uint64_t *samples_ret, uint64_t *fault)
{
	struct vl_kmod_raw *m = kmod_of(e);
	enum vl_read_status st;

	st = vl_raw_direct.watch(m->walk, s, va, size, old, max, ret, samples_ret, fault);
	if (stands(m))
		return st;
	return slow(m) ? vl_raw_direct.watch(m->slow, s, va, size, old, max, ret, samples_ret,
					     fault) :
			 VL_READ_GONE;
}

static int rank_op(struct vl_target *t, const struct vl_attach *c, char why[VL_RAW_WHY])
{
	const struct vl_error *no;

	(void)c;
	if (vl_target_kmod(t, &no)) {
		snprintf(why, VL_RAW_WHY, "the guest's RAM is mapped%s",
			 vl_ram_by_kmod(t) ? " by imee.ko" : " from its files, imee.ko attached");
		return VL_RANK_MODULE;
	}
	snprintf(why, VL_RAW_WHY, "%s%s%s", no->message, no->hint ? "; " : "",
		 no->hint ? no->hint : "");
	return VL_RANK_NONE;
}

static void close_op(struct vl_raw *e)
{
	struct vl_kmod_raw *m = kmod_of(e);

	if (m->walk)
		vl_raw_direct.close(m->walk);
	if (m->slow)
		vl_raw_direct.close(m->slow);
	free(m);
}

static struct vl_error *open_op(struct vl_target *t, const struct vl_attach *c, struct vl_raw **ret)
{
	struct vl_kmod_raw *m = calloc(1, sizeof(*m));
	struct vl_error *err;

	(void)c;
	if (!m)
		return vl_error_nomem();
	m->raw.ops = &vl_raw_kmod;
	m->t = t;
	m->kmod = vl_target_kmod(t, NULL);
	err = m->kmod ? direct_open(t, m->kmod, &m->walk) :
			vl_error_new(VL_ERR_TARGET, "imee.ko is not attached to this guest");
	if (err) {
		close_op(&m->raw);
		return err;
	}
	*ret = &m->raw;
	return NULL;
}

const struct vl_raw_ops vl_raw_kmod = {
	.name = "module",
	.best = VL_RANK_MODULE,
	.rank = rank_op,
	.open = open_op,
	.close = close_op,
	.read = read_op,
	.string = string_op,
	.gather = gather_op,
	.walk = walk_op,
	.watch = watch_op,
};
