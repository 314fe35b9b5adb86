/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reader: requests are checked here, then an engine serves them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/append.h"
#include "reader.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* In the order of their best ranks, so that find_best() asks few engines. The rank decides. */
static const struct vl_raw_ops *const engines[NR_ENGINES] = { &vl_raw_direct, &vl_raw_kmod,
							      &vl_raw_kvm };

const char *vl_raw_name(size_t i)
{
	return i < NR_ENGINES ? engines[i]->name : NULL;
}

/* The engine of that name, if it can serve. */
static struct vl_error *named(struct vl_reader *r, const char *name, const struct vl_raw_ops **ret)
{
	char why[VL_RAW_WHY] = "", all[64] = "";

	for (size_t i = 0; i < NR_ENGINES; i++) {
		vl_append(all, sizeof(all), "%s%s", i ? ", " : "", engines[i]->name);
		if (strcmp(engines[i]->name, name) != 0)
			continue;
		if (!engines[i]->rank(r->target, r->attach, why))
			return vl_error_hint(vl_error_new(VL_ERR_TARGET,
							  "the %s engine cannot serve here: %s",
							  name, why),
					     "without --engine the best that can is taken");
		snprintf(r->reason, sizeof(r->reason), "asked for; %.140s", why);
		*ret = engines[i];
		return NULL;
	}
	return vl_error_hint(vl_error_new(VL_ERR_ARG, "no such engine: %s", name), "there are %s",
			     all);
}

/* The rank of engine @i; asked once. */
static int rank_of(struct vl_reader *r, size_t i)
{
	if (!r->asked[i]) {
		r->asked[i] = true;
		r->rank[i] = engines[i]->rank(r->target, r->attach, r->why[i]);
	}
	return r->rank[i];
}

/*
 * The engine with the highest rank that is not given up, or NR_ENGINES. An engine that cannot
 * beat the best so far is not asked.
 */
static size_t find_best(struct vl_reader *r)
{
	size_t best = NR_ENGINES;

	for (size_t i = 0; i < NR_ENGINES; i++) {
		if (best < NR_ENGINES && engines[i]->best <= r->rank[best])
			continue;
		if (rank_of(r, i) && (best == NR_ENGINES || r->rank[i] > r->rank[best]))
			best = i;
	}
	return best;
}

/* Open the best engine, or the next best if that fails. */
static struct vl_error *open_best(struct vl_reader *r)
{
	struct vl_error *first = NULL;
	size_t best;

	while ((best = find_best(r)) < NR_ENGINES) {
		struct vl_error *err = engines[best]->open(r->target, r->attach, &r->engine);

		if (!err) {
			r->ops = engines[best];
			memcpy(r->reason, r->why[best], sizeof(r->reason));
			vl_error_destroy(first);
			return NULL;
		}
		r->rank[best] = VL_RANK_NONE;
		snprintf(r->why[best], VL_RAW_WHY, "%.150s", err->message);
		if (first)
			vl_error_destroy(err);
		else
			first = err;
	}
	return first ? first : vl_error_new(VL_ERR_TARGET, "no engine can read this guest");
}

/* The reasons of the engines that were not taken, "kvm: ...; module: ...". */
static void ask_others(struct vl_reader *r)
{
	for (size_t i = 0; i < NR_ENGINES; i++) {
		if (engines[i] == r->ops)
			continue;
		rank_of(r, i);
		vl_append(r->others, sizeof(r->others), "%s%s: %s", *r->others ? "; " : "",
			  engines[i]->name, r->why[i]);
	}
}

struct vl_error *vl_reader_open(struct vl_target *t, const struct vl_attach *c,
				const struct vl_reader_options *opts, struct vl_reader **ret)
{
	struct vl_reader *r = calloc(1, sizeof(*r));
	const char *name = opts ? opts->engine : NULL;
	uint64_t begin = vl_now_ns();
	struct vl_error *err;

	if (!r)
		return vl_error_nomem();
	r->target = t;
	r->attach = c;
	if (c)
		r->kernel = (struct vl_space){ c->pt.root, c->pt.levels };
	r->named = name;
	if (name) {
		err = named(r, name, &r->ops);
		if (!err)
			err = r->ops->open(t, c, &r->engine);
	} else {
		err = open_best(r);
	}
	if (err) {
		free(r);
		return err;
	}
	r->open_ns = vl_now_ns() - begin;
	*ret = r;
	return NULL;
}

void vl_reader_close(struct vl_reader *r)
{
	if (!r)
		return;
	if (r->walker && r->walker != r->engine)
		vl_raw_direct.close(r->walker);
	r->ops->close(r->engine);
	free(r);
}

void vl_reader_stats(struct vl_reader *r, struct vl_reader_stats *ret)
{
	if (!r->named && !r->others[0])
		ask_others(r);
	*ret = (struct vl_reader_stats){
		.engine = r->ops->name,
		.reason = r->reason,
		.others = r->others,
		.open_ns = r->open_ns,
		.requests = r->requests,
	};
}

const struct vl_attach *vl_reader_attach(const struct vl_reader *r)
{
	return r->attach;
}

uint64_t vl_reader_symbol(const struct vl_reader *r, const char *name)
{
	return r->attach && r->attach->kernel ? vl_symbol(r->attach->kernel, name) : 0;
}

bool vl_reader_current(struct vl_reader *r)
{
	unsigned char now[sizeof(r->attach->probe)];

	if (vl_discard(vl_target_alive(r->target)))
		return false;
	return !r->attach || (!vl_read(r, &r->kernel, r->attach->entry, now, sizeof(now)) &&
			      !memcmp(now, r->attach->probe, sizeof(now)));
}

uint64_t vl_reader_fault(const struct vl_reader *r)
{
	return r->fault;
}

struct vl_space vl_reader_kernel(const struct vl_reader *r)
{
	return r->kernel;
}

/* ---- requests ---- */

/* Refuse requests that no engine can serve. */
static inline enum vl_read_status check(const struct vl_space *s, uint64_t va, size_t len)
{
	if (unlikely(len > VL_READ_MAX))
		return VL_READ_TOO_LONG;
	if (unlikely(len && va + (len - 1) < va))
		return VL_READ_WRAPS;
	if (unlikely((s->levels | 1) != 5))
		return VL_READ_BAD;
	return VL_READ_OK;
}

static __attribute__((noinline, cold)) enum vl_read_status
failed(struct vl_reader *r, enum vl_read_status st, uint64_t fault, void *buf, size_t len)
{
	r->fault = fault;
	if (len <= VL_READ_MAX)
		memset(buf, 0, len);
	return st;
}

enum vl_read_status vl_read(struct vl_reader *r, const struct vl_space *s, uint64_t va, void *buf,
			    size_t len)
{
	enum vl_read_status st = check(s, va, len);

	r->requests++;
	if (unlikely(st))
		return failed(r, st, va, buf, len);
	/* A tail call, see read_op() in direct.c. */
	return likely(len) ? r->ops->read(r->engine, s, va, buf, len, &r->fault) : VL_READ_OK;
}

#define READ_WORD(bits) \
	enum vl_read_status vl_read_u##bits(struct vl_reader *r, const struct vl_space *s, \
					    uint64_t va, uint##bits##_t *ret) \
	{ \
		return vl_read(r, s, va, ret, sizeof(*ret)); \
	}
READ_WORD(64)
READ_WORD(32)
READ_WORD(16)
READ_WORD(8)
#undef READ_WORD

enum vl_read_status vl_read_string(struct vl_reader *r, const struct vl_space *s, uint64_t va,
				   char *buf, size_t size)
{
	enum vl_read_status st;
	uint64_t fault = va;

	r->requests++;
	if (!size || size > VL_READ_MAX)
		return size ? VL_READ_TOO_LONG : VL_READ_BAD;
	/* The buffer may reach beyond the last address, the string need not. */
	st = check(s, va, 1);
	if (!st && size - 1 > UINT64_MAX - va)
		size = UINT64_MAX - va + 1;
	if (!st)
		st = r->ops->string(r->engine, s, va, buf, size, &fault);
	if (st == VL_READ_UNENDED)
		buf[size - 1] = 0;
	else if (st)
		buf[0] = 0;
	if (st)
		r->fault = fault;
	return st;
}

size_t vl_gather(struct vl_reader *r, const struct vl_space *s, struct vl_get *items, size_t nr)
{
	size_t bad = 0;

	r->requests++;
	for (size_t i = 0; i < nr; i++) {
		items[i].status = check(s, items[i].va, items[i].len);
		if (!items[i].len && !items[i].status)
			items[i].status = VL_NR_READ_STATUS;
	}
	r->ops->gather(r->engine, s, items, nr);
	for (size_t i = 0; i < nr; i++) {
		if (items[i].status == VL_NR_READ_STATUS)
			items[i].status = VL_READ_OK;
		if (!items[i].status)
			continue;
		bad++;
		if (items[i].len <= VL_READ_MAX)
			memset(items[i].buf, 0, items[i].len);
	}
	return bad;
}

/* No kernel has a larger table of heads. */
#define MAX_HEADS (1U << 26)

static bool sane_field(const struct vl_walk_field *f, size_t stride)
{
	return f->kind <= VL_FIELD_INDEX && f->derefs <= VL_WALK_DEREFS && f->size &&
	       f->size <= VL_WALK_FIELD_SIZE && (uint64_t)f->out + f->size <= stride &&
	       (f->kind < VL_FIELD_ADDRESS || f->size == 8);
}

static bool sane_walk(const struct vl_walk *w)
{
	if (w->kind > VL_WALK_XARRAY || w->nr_fields > VL_WALK_FIELDS || w->nr_heads > MAX_HEADS ||
	    (w->nr_fields && !w->records) || w->max > VL_READ_MAX)
		return false;
	if (w->kind == VL_WALK_XARRAY && (!w->xa_nr_slots || w->xa_nr_slots > 64))
		return false;
	for (size_t i = 0; i < w->nr_fields; i++)
		if (!sane_field(&w->fields[i], w->stride))
			return false;
	return true;
}

enum vl_read_status vl_walk(struct vl_reader *r, const struct vl_space *s, const struct vl_walk *w,
			    struct vl_walked *ret)
{
	enum vl_read_status st = check(s, w->head, 8);

	r->requests++;
	if (st || !sane_walk(w))
		*ret = (struct vl_walked){ st ? st : VL_READ_BAD, 0, w->head };
	else
		r->ops->walk(r->engine, s, w, ret);
	if (ret->status)
		r->fault = ret->fault;
	return ret->status;
}

enum vl_read_status vl_watch(struct vl_reader *r, const struct vl_space *s, uint64_t va,
			     unsigned size, uint64_t old, uint64_t max, uint64_t *ret,
			     uint64_t *samples_ret)
{
	enum vl_read_status st = check(s, va, size);
	uint64_t fault = va;

	r->requests++;
	*ret = *samples_ret = 0;
	if (!st && size != 1 && size != 2 && size != 4 && size != 8)
		st = VL_READ_BAD;
	if (!st && r->ops->watch) {
		st = r->ops->watch(r->engine, s, va, size, old, max, ret, samples_ret, &fault);
	} else {
		while (!st && *samples_ret < max && !(*samples_ret && *ret != old)) {
			*ret = 0;
			++*samples_ret;
			st = r->ops->read(r->engine, s, va, ret, size, &fault);
		}
	}
	return st ? failed(r, st, fault, ret, sizeof(*ret)) : st;
}

/* ---- failures ---- */

static const char *const words[VL_NR_READ_STATUS] = {
	[VL_READ_OK] = "read",
	[VL_READ_NOT_PRESENT] = "not present",
	[VL_READ_NO_RAM] = "not in RAM",
	[VL_READ_NONCANONICAL] = "not a canonical address",
	[VL_READ_WRAPS] = "beyond the end of the address space",
	[VL_READ_TOO_LONG] = "more than 1 GiB at once",
	[VL_READ_RESERVED] = "no page table on the way",
	[VL_READ_UNENDED] = "a string without end",
	[VL_READ_NULL] = "a NULL pointer",
	[VL_READ_LOOP] = "a list that loops",
	[VL_READ_MORE] = "more elements than asked for",
	[VL_READ_GARBAGE] = "garbage on a list",
	[VL_READ_GONE] = "the guest's memory has gone",
	[VL_READ_BAD] = "an invalid request",
};

const char *vl_read_strstatus(enum vl_read_status status)
{
	return (unsigned)status < VL_NR_READ_STATUS ? words[status] : "unknown";
}

struct vl_error *vl_read_error(enum vl_read_status status, uint64_t va)
{
	const char *what = vl_read_strstatus(status);

	switch (status) {
	case VL_READ_OK:
		return NULL;
	case VL_READ_GONE:
		return vl_error_hint(vl_error_new(VL_ERR_TARGET,
						  "cannot read address 0x%" PRIx64 ": %s", va,
						  what),
				     "has the guest ended, or was the dump cut short?");
	case VL_READ_BAD:
	case VL_READ_TOO_LONG:
	case VL_READ_WRAPS:
		return vl_error_new(VL_ERR_ARG, "cannot read address 0x%" PRIx64 ": %s", va, what);
	default:
		return vl_error_fault(va, "cannot read address 0x%" PRIx64 ": %s", va, what);
	}
}
