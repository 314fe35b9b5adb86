/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The direct engine's walks: lists, hash chains, xarrays, and the fields of what
 * is on them.
 *
 * An element's own fields lie side by side, mostly in one page of 2 MiB or 1 GiB:
 * then that page is translated once for all of them. So are the fields behind one
 * pointer. The next element is translated afresh.
 */
#include "direct.h"

/* A field that is read where its group is. */
struct part {
	uint8_t kind, index; /* index: of the field as the caller has it */
	uint16_t size;
	uint32_t out;
	int32_t at; /* from the begin of the group */
};

/* Fields that lie side by side: in the element, or behind one pointer in it. */
struct group {
	int32_t pointer; /* where in the element; not of the first group */
	int32_t low, high;
	unsigned first, nr; /* of parts */
};

#define MAX_GROUPS 4

struct walker {
	struct vl_direct *d;
	const struct vl_space *s;
	const struct vl_walk *w;
	struct vl_walked *ret;
	uint64_t tortoise, steps, lap; /* finds loops: Brent's algorithm */
	/* The first group is the element's own. */
	struct group groups[MAX_GROUPS];
	unsigned nr_groups;
	struct part parts[VL_WALK_FIELDS];
	uint32_t alone; /* a bit for each field that is in no group */
};

static inline __attribute__((always_inline)) enum vl_read_status get(struct walker *k, uint64_t va,
								     void *buf, size_t len)
{
	return direct_read(k->d, k->s, va, buf, len, &k->ret->fault);
}

static inline uint64_t load64(const unsigned char *p)
{
	uint64_t v;

	direct_copy(&v, p, sizeof(v));
	return v;
}

/* ---- the plan: which fields are read together ---- */

static struct group *group_of(struct walker *k, const struct vl_walk_field *f)
{
	struct group *g = &k->groups[0];

	if (!f->derefs)
		return g;
	for (unsigned i = 1; i < k->nr_groups; i++)
		if (k->groups[i].pointer == f->offset[0])
			return &k->groups[i];
	if (k->nr_groups == MAX_GROUPS)
		return NULL;
	g = &k->groups[k->nr_groups++];
	*g = (struct group){ f->offset[0], INT32_MAX, INT32_MIN, 0, 0 };
	return g;
}

static void widen(struct group *g, int64_t low, int64_t high)
{
	if (low < g->low)
		g->low = (int32_t)low;
	if (high > g->high)
		g->high = (int32_t)high;
}

/* Wider than that is no structure, and no field of it near the other. */
#define SANE_OFFSET (1 << 24)

static bool is_near(int32_t offset)
{
	return offset > -SANE_OFFSET && offset < SANE_OFFSET;
}

static void plan(struct walker *k)
{
	struct group *of[VL_WALK_FIELDS];
	const struct vl_walk *w = k->w;
	unsigned nr = 0;

	k->groups[0] = (struct group){ 0, INT32_MAX, INT32_MIN, 0, 0 };
	k->nr_groups = 1;
	/* Where there is nothing mapped no span can be had. */
	if (!k->d->fast[0].size || w->node > SANE_OFFSET || w->next > SANE_OFFSET) {
		k->alone = UINT32_MAX;
		return;
	}
	if (w->kind != VL_WALK_XARRAY)
		widen(&k->groups[0], (int64_t)w->node + w->next, (int64_t)w->node + w->next + 8);
	for (size_t i = 0; i < w->nr_fields; i++) {
		const struct vl_walk_field *f = &w->fields[i];
		int32_t at = f->offset[f->derefs ? 1 : 0];

		of[i] = NULL;
		if (f->derefs <= 1 && f->kind <= VL_FIELD_STRING && is_near(at) &&
		    is_near(f->offset[0]))
			of[i] = group_of(k, f);
		if (of[i])
			widen(of[i], at, (int64_t)at + f->size);
		else
			k->alone |= 1U << i;
	}
	for (unsigned g = 1; g < k->nr_groups; g++)
		widen(&k->groups[0], k->groups[g].pointer, k->groups[g].pointer + 8L);
	for (unsigned g = 0; g < k->nr_groups; g++) {
		k->groups[g].first = nr;
		for (size_t i = 0; i < w->nr_fields; i++) {
			const struct vl_walk_field *f = &w->fields[i];

			if (of[i] == &k->groups[g])
				k->parts[nr++] =
					(struct part){ f->kind, (uint8_t)i, f->size, f->out,
						       f->offset[f->derefs ? 1 : 0] -
							       k->groups[g].low };
		}
		k->groups[g].nr = nr - k->groups[g].first;
	}
}

/* What is behind a string's end is no part of it. */
static void end_string(char *buf, size_t size)
{
	size_t len = strnlen(buf, size);

	memset(buf + len, 0, size - len);
}

/* A string in a field: no page behind its end is touched. */
static enum vl_read_status get_string(struct walker *k, uint64_t va, char *buf, size_t size)
{
	size_t n = VL_PAGE_SIZE - (va & (VL_PAGE_SIZE - 1));
	enum vl_read_status st;

	st = get(k, va, buf, n < size ? n : size);
	if (!st && n < size && !memchr(buf, 0, n))
		st = get(k, va + n, buf + n, size - n);
	if (st)
		return st;
	end_string(buf, size);
	return VL_READ_OK;
}

static inline __attribute__((always_inline)) enum vl_read_status
field(struct walker *k, const struct vl_walk_field *f, uint64_t element, uint64_t index,
      unsigned char *out)
{
	uint64_t va = element + (uint64_t)(int64_t)f->offset[0];
	enum vl_read_status st;

	for (unsigned i = 0; i < f->derefs; i++) {
		st = get(k, va, &va, sizeof(va));
		if (unlikely(st))
			return st;
		if (unlikely(!va)) {
			k->ret->fault = 0;
			return VL_READ_NULL;
		}
		va += (uint64_t)(int64_t)f->offset[i + 1];
	}
	switch (f->kind) {
	case VL_FIELD_BYTES:
		/* The sizes there are, so that each becomes one move. */
		if (f->size == 4)
			return get(k, va, out, 4);
		if (f->size == 8)
			return get(k, va, out, 8);
		if (f->size == 16)
			return get(k, va, out, 16);
		return get(k, va, out, f->size);
	case VL_FIELD_STRING:
		return get_string(k, va, (char *)out, f->size);
	case VL_FIELD_ADDRESS:
		memcpy(out, &va, sizeof(va));
		return VL_READ_OK;
	default:
		memcpy(out, &index, sizeof(index));
		return VL_READ_OK;
	}
}

/* All parts of a group, which is at @p. */
static inline __attribute__((always_inline)) void take(struct walker *k, const struct group *g,
						       const unsigned char *p,
						       unsigned char *record, uint8_t *status)
{
	for (unsigned i = g->first; i < g->first + g->nr; i++) {
		const struct part *f = &k->parts[i];
		unsigned char *out = record + f->out;

		/* The sizes there are, so that each becomes one move. */
		if (f->size == 4) {
			direct_copy(out, p + f->at, 4);
		} else if (f->size == 8) {
			direct_copy(out, p + f->at, 8);
		} else if (f->size == 16) {
			memcpy(out, p + f->at, 16);
		} else if (f->size == 32) {
			memcpy(out, p + f->at, 32);
		} else {
			direct_copy(out, p + f->at, f->size);
		}
		if (f->kind == VL_FIELD_STRING)
			end_string((char *)out, f->size);
		if (status)
			status[f->index] = VL_READ_OK;
	}
}

/* One field by itself, and its status; one that ends the walk is returned. */
static enum vl_read_status fill_one(struct walker *k, unsigned i, uint64_t element, uint64_t index,
				    unsigned char *record, uint8_t *status)
{
	const struct vl_walk_field *f = &k->w->fields[i];
	enum vl_read_status st = field(k, f, element, index, record + f->out);

	if (st)
		memset(record + f->out, 0, f->size);
	if (!status)
		return st;
	status[i] = (uint8_t)st;
	return VL_READ_OK;
}

static __attribute__((noinline)) enum vl_read_status
fill_each(struct walker *k, const struct group *g, uint64_t element, unsigned char *record,
	  uint8_t *status)
{
	enum vl_read_status st = VL_READ_OK;

	for (unsigned i = g->first; !st && i < g->first + g->nr; i++)
		st = fill_one(k, k->parts[i].index, element, 0, record, status);
	return st;
}

/*
 * The fields of @element into the next record; @p: where its own group is, or NULL.
 * A field that cannot be read ends the walk if there is nowhere to say so.
 */
static inline __attribute__((always_inline)) enum vl_read_status
fill(struct walker *k, uint64_t element, uint64_t index, const unsigned char *p)
{
	const struct vl_walk *w = k->w;
	unsigned char *record = (unsigned char *)w->records + k->ret->nr * w->stride;
	uint8_t *status = w->status ? w->status + k->ret->nr * w->nr_fields : NULL;
	enum vl_read_status st = VL_READ_OK;

	if (likely(p))
		take(k, &k->groups[0], p, record, status);
	else
		st = fill_each(k, &k->groups[0], element, record, status);
	for (unsigned i = 1; !st && i < k->nr_groups; i++) {
		const struct group *g = &k->groups[i];
		const unsigned char *q = NULL;
		uint64_t to = p ? load64(p + g->pointer - k->groups[0].low) : 0;

		if (likely(to))
			q = direct_span(k->d, k->s, to + (uint64_t)(int64_t)g->low,
					(uint64_t)((int64_t)g->high - g->low));
		if (likely(q))
			take(k, g, q, record, status);
		else
			st = fill_each(k, g, element, record, status);
	}
	if (k->alone)
		for (unsigned i = 0; !st && i < w->nr_fields; i++)
			if (k->alone >> i & 1)
				st = fill_one(k, i, element, index, record, status);
	return st;
}

/*
 * Where RAM is not mapped: find out what the element's fields need, and the node at
 * @node (0: none), and have it all by as few calls as there are dependent steps.
 */
static __attribute__((noinline)) void ahead(struct walker *k, uint64_t element, uint64_t index,
					    uint64_t node)
{
	uint64_t next;

	k->d->collecting = true;
	for (int round = 0; round < 16; round++) {
		if (node)
			get(k, node + k->w->next, &next, sizeof(next));
		if (element && k->w->nr_fields)
			for (size_t i = 0; i < k->w->nr_fields; i++) {
				const struct vl_walk_field *f = &k->w->fields[i];

				field(k, f, element, index,
				      (unsigned char *)k->w->records + k->ret->nr * k->w->stride +
					      f->out);
			}
		if (!direct_fetch(k->d))
			break;
	}
	k->d->collecting = false;
}

/* Collect one element; a status ends the walk. */
static inline __attribute__((always_inline)) enum vl_read_status
collect(struct walker *k, uint64_t element, uint64_t index, uint64_t node, const unsigned char *p)
{
	enum vl_read_status st;

	if (unlikely(k->ret->nr == k->w->max)) {
		k->ret->fault = element;
		return VL_READ_MORE;
	}
	if (unlikely(k->d->has_live))
		ahead(k, element, index, node);
	st = fill(k, element, index, p);
	if (unlikely(st))
		return st;
	k->ret->nr++;
	return VL_READ_OK;
}

static inline __attribute__((always_inline)) const unsigned char *own_group(struct walker *k,
									    uint64_t element)
{
	const struct group *g = &k->groups[0];

	if (unlikely(g->low >= g->high))
		return NULL;
	return direct_span(k->d, k->s, element + (uint64_t)(int64_t)g->low,
			   (uint64_t)((int64_t)g->high - g->low));
}

/* A list cannot come back to @node before it ends. */
static inline __attribute__((always_inline)) bool loops(struct walker *k, uint64_t node)
{
	if (unlikely(node == k->tortoise)) {
		k->ret->fault = node;
		return true;
	}
	if (++k->steps == k->lap) {
		k->tortoise = node;
		k->steps = 0;
		k->lap *= 2;
	}
	return false;
}

static inline __attribute__((always_inline)) enum vl_read_status
chain(struct walker *k, uint64_t head, uint64_t index)
{
	const struct vl_walk *w = k->w;
	bool list = w->kind == VL_WALK_LIST;
	enum vl_read_status st = VL_READ_OK;
	uint64_t node, next = 0;

	k->tortoise = 0;
	k->steps = 0;
	k->lap = 1;
	if (list && w->with_head)
		st = collect(k, head - w->node, index, head, own_group(k, head - w->node));
	if (!st)
		st = get(k, head + (list ? w->next : 0), &next, sizeof(next));
	while (likely(!st)) {
		const unsigned char *p;

		node = next;
		if (list ? node == head : w->kind == VL_WALK_NULLS ? node & 1 : !node)
			return VL_READ_OK;
		if (unlikely(!node || node & 3 || loops(k, node))) {
			k->ret->fault = node;
			return !node ? VL_READ_NULL : node & 3 ? VL_READ_GARBAGE : VL_READ_LOOP;
		}
		p = own_group(k, node - w->node);
		/* First on the way to the next one: the fields wait for nobody. */
		if (likely(p)) {
			next = load64(p + ((int64_t)w->node + w->next - k->groups[0].low));
			st = collect(k, node - w->node, index, 0, p);
			continue;
		}
		st = collect(k, node - w->node, index, node, NULL);
		if (!st)
			st = get(k, node + w->next, &next, sizeof(next));
	}
	return st;
}

/*
 * xarray, after include/linux/xarray.h: an entry is a pointer, a value (bit 0),
 * or internal (bits 1, 0 are 10): above 4096 a node, else something to be passed over.
 */
static bool is_node(uint64_t entry)
{
	return (entry & 3) == 2 && entry > 4096;
}

#define XA_DEPTH 11 /* 64 bits of index, 6 by each node (4 where memory is small: 16) */
#define XA_DEPTH_MAX 16

static enum vl_read_status open_node(struct walker *k, uint64_t entry, unsigned above,
				     unsigned *shift_ret)
{
	enum vl_read_status st;
	uint8_t shift = 0;

	st = get(k, entry - 2 + k->w->xa_shift, &shift, sizeof(shift));
	if (st)
		return st;
	if (shift >= above) {
		k->ret->fault = entry - 2;
		return VL_READ_GARBAGE;
	}
	*shift_ret = shift;
	return VL_READ_OK;
}

static enum vl_read_status xarray(struct walker *k, uint64_t head, uint64_t *nodes_left)
{
	struct {
		uint64_t node, index;
		unsigned shift, slot;
	} stack[XA_DEPTH_MAX + 1];
	const struct vl_walk *w = k->w;
	enum vl_read_status st;
	uint64_t entry;
	int depth = -1;

	st = get(k, head, &entry, sizeof(entry));
	if (st)
		return st;
	if (!is_node(entry))
		return entry && !(entry & 3) ?
			       collect(k, entry - w->node, 0, 0, own_group(k, entry - w->node)) :
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
		st = get(k, stack[depth].node - 2 + w->xa_slots + 8UL * stack[depth].slot, &entry,
			 sizeof(entry));
		if (st)
			break;
		index = stack[depth].index + ((uint64_t)stack[depth].slot++ << stack[depth].shift);
		if (!entry)
			continue;
		if (is_node(entry)) {
			/* Nodes that lead nowhere would keep us for ever. */
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
			st = collect(k, entry - w->node, index, 0, own_group(k, entry - w->node));
		}
	}
	return st;
}

void direct_walk(struct vl_raw *e, const struct vl_space *s, const struct vl_walk *w,
		 struct vl_walked *ret)
{
	struct walker k = { .d = (struct vl_direct *)e, .s = s, .w = w, .ret = ret };
	/* A node has at least one entry and they nest less than 16 deep; the rest is
	 * for values. */
	uint64_t nodes_left = 16 * (uint64_t)w->max + 65536;

	*ret = (struct vl_walked){ 0 };
	direct_begin(k.d);
	plan(&k);
	for (uint32_t i = 0; i < (w->nr_heads ? w->nr_heads : 1) && !ret->status; i++) {
		uint64_t head = w->head + (uint64_t)i * w->head_stride;

		ret->status = w->kind == VL_WALK_XARRAY ? xarray(&k, head, &nodes_left) :
							  chain(&k, head, i);
	}
	if (!ret->status)
		ret->fault = 0;
}
