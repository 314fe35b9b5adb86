/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The direct engine's walks: lists, hash chains, xarrays. */
#include "walk.h"

/* Copy all parts of a group, whose bytes are at @p. */
static inline __attribute__((always_inline)) void take(const struct plan *plan, unsigned group,
						       uint64_t element, uint64_t index,
						       const unsigned char *p,
						       unsigned char *record)
{
	const struct walk_group *g = &plan->groups[group];
	const struct walk_part *f = g->part;

	for (; f != g->end8; f++)
		direct_copy(record + f->out, p + f->at, 8, false);
	for (; f != g->end4; f++)
		direct_copy(record + f->out, p + f->at, 4, false);
	for (; f != g->end_address; f++) {
		uint64_t address = element + (uint64_t)f->at;

		memcpy(record + f->out, &address, sizeof(address));
	}
	for (; unlikely(f != g->end); f++) {
		unsigned char *out = record + f->out;

		switch (f->op) {
		case PART_16:
			memcpy(out, p + f->at, 16);
			break;
		case PART_32:
			memcpy(out, p + f->at, 32);
			break;
		case PART_INDEX:
			memcpy(out, &index, sizeof(index));
			break;
		case PART_BYTES:
			memcpy(out, p + f->at, f->size);
			break;
		case PART_STRING:
			memcpy(out, p + f->at, f->size);
			direct_end_string((char *)out, f->size);
			break;
		default:
			__builtin_unreachable(); /* a plan has no other kinds */
		}
	}
}

static __attribute__((noinline)) enum vl_read_status take_each(struct walker *k, unsigned group,
							       uint64_t element, uint64_t index,
							       unsigned char *record,
							       uint8_t *status)
{
	const struct walk_group *g = &k->plan.groups[group];
	enum vl_read_status st = VL_READ_OK;

	for (const struct walk_part *f = g->part; !st && f != g->end; f++)
		st = direct_field(k, f->index, element, index, record, status);
	return st;
}

static __attribute__((noinline)) enum vl_read_status take_alone(struct walker *k, uint64_t element,
								uint64_t index,
								unsigned char *record,
								uint8_t *status)
{
	enum vl_read_status st = VL_READ_OK;

	for (unsigned i = 0; !st && i < k->w->nr_fields; i++)
		if (k->plan.alone >> i & 1)
			st = direct_field(k, i, element, index, record, status);
	return st;
}

/* The bytes of @g for a base at @va; NULL: read its fields one by one. */
static inline __attribute__((always_inline)) const unsigned char *
group_at(struct walker *k, const struct walk_group *g, uint64_t va, uint64_t *guess)
{
	return likely(g->len) ? walk_span(k, va + (uint64_t)g->low, g->len, guess) : NULL;
}

/* Where the next record goes. */
struct sink {
	unsigned char *record;
	size_t stride;
	uint8_t *status;
	size_t left;
};

/*
 * Collect @element into the next record. @p points to its own group, or is NULL. Without status
 * bytes a field that cannot be read ends the walk.
 */
static inline __attribute__((always_inline)) enum vl_read_status
collect(struct walker *k, struct sink *to, uint64_t element, uint64_t index, uint64_t node,
	const unsigned char *p)
{
	enum vl_read_status st = VL_READ_OK;

	if (unlikely(!to->left)) {
		k->ret->fault = element;
		return VL_READ_MORE;
	}
	if (unlikely(to->status))
		memset(to->status, VL_READ_OK, k->w->nr_fields);
	if (likely(p)) {
		take(&k->plan, 0, element, index, p, to->record);
	} else {
		if (k->d->has_live)
			direct_ahead(k, element, index, node, to->record);
		st = take_each(k, 0, element, index, to->record, to->status);
	}
	for (unsigned i = 1; unlikely(i < k->plan.nr_groups) && !st; i++) {
		const struct walk_group *g = &k->plan.groups[i];
		const unsigned char *q = NULL;
		uint64_t va = p ? direct_load(p + g->pointer) : 0;

		if (likely(va))
			q = walk_host(k, va + (uint64_t)g->low, g->len);
		if (likely(q))
			take(&k->plan, i, element, index, q, to->record);
		else
			st = take_each(k, i, element, index, to->record, to->status);
	}
	if (unlikely(k->plan.alone) && !st)
		st = take_alone(k, element, index, to->record, to->status);
	if (unlikely(st))
		return st;
	to->left--;
	to->record += to->stride;
	if (unlikely(to->status))
		to->status += k->w->nr_fields;
	return VL_READ_OK;
}

static inline __attribute__((always_inline)) enum vl_read_status
chain(struct walker *k, struct sink *sink, uint64_t head, uint64_t index, enum vl_walk_kind kind)
{
	uint64_t tortoise = 0, steps = 0, lap = 1; /* Brent: a loop meets the tortoise again */
	const uint64_t offset = k->w->node, next_at = k->w->next;
	const struct walk_group own = k->plan.groups[0];
	uint64_t node, next, slow = 0, guess = 0;
	enum vl_read_status st = VL_READ_OK;
	struct sink to = *sink;

	if (kind == VL_WALK_LIST && k->w->with_head)
		st = collect(k, &to, head - offset, index, head,
			     group_at(k, &own, head - offset, &guess));
	if (!st)
		st = walk_get(k, head + (kind == VL_WALK_LIST ? next_at : 0), &slow, sizeof(slow));
	next = slow;
	while (likely(!st)) {
		const unsigned char *p;

		node = next;
		if (kind == VL_WALK_LIST ? node == head : kind == VL_WALK_NULLS ? node & 1 : !node)
			break;
		if (unlikely(!node || node & 3 || node == tortoise)) {
			k->ret->fault = node;
			st = !node ? VL_READ_NULL : node & 3 ? VL_READ_GARBAGE : VL_READ_LOOP;
			break;
		}
		if (unlikely(++steps == lap)) {
			tortoise = node;
			steps = 0;
			lap *= 2;
		}
		p = group_at(k, &own, node - offset, &guess);
		/*
		 * Load the next pointer first, so that its latency overlaps with the fields.
		 * The guess is right here: by it the address is one addition away and does not
		 * depend on @p.
		 */
		if (likely(p)) {
			next = direct_load(
				(const unsigned char *)(uintptr_t)(node + (guess + next_at)));
			st = collect(k, &to, node - offset, index, 0, p);
			continue;
		}
		st = collect(k, &to, node - offset, index, node, NULL);
		if (!st)
			st = walk_get(k, node + next_at, &slow, sizeof(slow));
		next = slow;
	}
	*sink = to;
	return st;
}

/*
 * xarray, after include/linux/xarray.h: an entry is a pointer, a value (bit 0), or internal
 * (bits 1, 0 are 10): above 4096 a node, else to be skipped.
 */
static bool is_node(uint64_t entry)
{
	return (entry & 3) == 2 && entry > 4096;
}

/* 64 bits of index, 6 a node; 4 a node with CONFIG_BASE_SMALL. */
#define XA_DEPTH_MAX 16

static enum vl_read_status open_node(struct walker *k, uint64_t entry, unsigned above,
				     unsigned *shift_ret)
{
	enum vl_read_status st;
	uint8_t shift = 0;

	st = walk_get(k, entry - 2 + k->w->xa_shift, &shift, sizeof(shift));
	if (st)
		return st;
	if (shift >= above) {
		k->ret->fault = entry - 2;
		return VL_READ_GARBAGE;
	}
	*shift_ret = shift;
	return VL_READ_OK;
}

static enum vl_read_status walk_xarray(struct walker *k, struct sink *to, uint64_t head,
				       uint64_t *nodes_left)
{
	struct {
		uint64_t node, index;
		unsigned shift, slot;
	} stack[XA_DEPTH_MAX + 1];
	const struct vl_walk *w = k->w;
	enum vl_read_status st;
	uint64_t entry;
	int depth = -1;

	st = walk_get(k, head, &entry, sizeof(entry));
	if (st)
		return st;
	if (!is_node(entry))
		return entry && !(entry & 3) ? collect(k, to, entry - w->node, 0, 0,
						       group_at(k, &k->plan.groups[0],
								entry - w->node, &k->guess)) :
					       VL_READ_OK;
	stack[++depth].node = entry;
	stack[0].index = 0;
	stack[0].slot = 0;
	st = open_node(k, entry, 64, &stack[0].shift);
	while (!st && depth >= 0) {
		uint64_t index;

		if (stack[depth].slot == w->xa_nr_slots) {
			depth--;
			continue;
		}
		st = walk_get(k, stack[depth].node - 2 + w->xa_slots + 8UL * stack[depth].slot,
			      &entry, sizeof(entry));
		if (st)
			break;
		index = stack[depth].index + ((uint64_t)stack[depth].slot++ << stack[depth].shift);
		if (!entry)
			continue;
		if (is_node(entry)) {
			/* Bounded: nodes without elements could go on for ever. */
			if (depth == XA_DEPTH_MAX || !(*nodes_left)--) {
				k->ret->fault = entry - 2;
				return VL_READ_LOOP;
			}
			st = open_node(k, entry, stack[depth].shift, &stack[depth + 1].shift);
			depth++;
			stack[depth].node = entry;
			stack[depth].index = index;
			stack[depth].slot = 0;
		} else if (!(entry & 3)) {
			st = collect(k, to, entry - w->node, index, 0,
				     group_at(k, &k->plan.groups[0], entry - w->node, &k->guess));
		}
	}
	return st;
}

/* Not inline: each kind gets a loop of its own. */
static __attribute__((noinline)) enum vl_read_status walk_list(struct walker *k, struct sink *to,
							       uint64_t head, uint64_t index)
{
	return chain(k, to, head, index, VL_WALK_LIST);
}

static __attribute__((noinline)) enum vl_read_status walk_chain(struct walker *k, struct sink *to,
								uint64_t head, uint64_t index)
{
	return chain(k, to, head, index, VL_WALK_CHAIN);
}

static __attribute__((noinline)) enum vl_read_status walk_nulls(struct walker *k, struct sink *to,
								uint64_t head, uint64_t index)
{
	return chain(k, to, head, index, VL_WALK_NULLS);
}

void direct_walk(struct vl_raw *e, const struct vl_space *s, const struct vl_walk *w,
		 struct vl_walked *ret)
{
	struct sink to = { w->records, w->stride, w->status, w->max };
	struct walker k;
	/*
	 * A node has at least one entry, and nodes nest less than 16 deep. The constant is for
	 * nodes of values.
	 */
	uint64_t nodes_left = 16 * (uint64_t)w->max + 65536;

	*ret = (struct vl_walked){ 0 };
	k.d = (struct vl_direct *)e;
	k.s = s;
	k.w = w;
	k.ret = ret;
	k.guess = 0;
	k.pud_key = UINT64_MAX;
	memset(k.pmd, 0xff, sizeof(k.pmd));
	direct_begin(k.d);
	direct_plan(&k.plan, w, k.d->fast[0].size || k.d->fast[1].size);
	for (uint32_t i = 0; i < (w->nr_heads ? w->nr_heads : 1) && !ret->status; i++) {
		uint64_t head = w->head + (uint64_t)i * w->head_stride;

		switch (w->kind) {
		case VL_WALK_LIST:
			ret->status = walk_list(&k, &to, head, i);
			break;
		case VL_WALK_CHAIN:
			ret->status = walk_chain(&k, &to, head, i);
			break;
		case VL_WALK_NULLS:
			ret->status = walk_nulls(&k, &to, head, i);
			break;
		default:
			ret->status = walk_xarray(&k, &to, head, &nodes_left);
		}
	}
	ret->nr = w->max - to.left;
	if (!ret->status)
		ret->fault = 0;
}
