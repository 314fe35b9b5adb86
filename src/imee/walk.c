/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The direct engine's walks: lists, hash chains, xarrays, and the fields of what
 * is on them. A walk is one request and takes microseconds, so a page that was
 * just translated is not translated again for the next field in it; the next walk
 * knows nothing of it.
 */
#include "direct.h"

/* Pages whose translation is at hand within a walk; a power of two. */
#define TLB 16

struct walker {
	struct vl_direct *d;
	const struct vl_space *s;
	const struct vl_walk *w;
	struct vl_walked *ret;
	uint64_t tortoise, steps, lap; /* finds loops: Brent's algorithm */
	struct {
		uint64_t page; /* | 1 */
		const unsigned char *host;
	} tlb[TLB];
};

static inline __attribute__((always_inline)) const unsigned char *at(struct walker *k, uint64_t va,
								     enum vl_read_status *st)
{
	uint64_t page = va & VL_PAGE_MASK;
	size_t i = va / VL_PAGE_SIZE % TLB;
	const unsigned char *p;

	if (k->tlb[i].page == (page | 1))
		return k->tlb[i].host + (va - page);
	p = direct_at(k->d, k->s, va, st);
	/* What is held for the request only can give way to another page. */
	if (likely(p && !k->d->has_live)) {
		k->tlb[i].page = page | 1;
		k->tlb[i].host = p - (va - page);
	}
	return p;
}

static inline __attribute__((always_inline)) enum vl_read_status get(struct walker *k, uint64_t va,
								     void *buf, size_t len)
{
	enum vl_read_status st = VL_READ_OK;
	const unsigned char *p;

	if (unlikely(len > VL_PAGE_SIZE - (va & (VL_PAGE_SIZE - 1))))
		return direct_pages(k->d, k->s, va, buf, len, &k->ret->fault);
	p = at(k, va, &st);
	if (unlikely(!p)) {
		k->ret->fault = va;
		return st;
	}
	direct_copy(buf, p, len);
	return VL_READ_OK;
}

/* A string in a field: no page behind its end is touched. */
static enum vl_read_status get_string(struct walker *k, uint64_t va, char *buf, size_t size)
{
	size_t n = VL_PAGE_SIZE - (va & (VL_PAGE_SIZE - 1)), len;
	enum vl_read_status st;

	st = get(k, va, buf, n < size ? n : size);
	if (!st && n < size && !memchr(buf, 0, n))
		st = get(k, va + n, buf + n, size - n);
	if (st)
		return st;
	len = strnlen(buf, size);
	memset(buf + len, 0, size - len);
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

/* The fields of @element into record @nr. */
static inline __attribute__((always_inline)) enum vl_read_status
fill(struct walker *k, uint64_t element, uint64_t index, size_t nr)
{
	const struct vl_walk *w = k->w;
	unsigned char *record = (unsigned char *)w->records + nr * w->stride;
	uint8_t *status = w->status ? w->status + nr * w->nr_fields : NULL;
	enum vl_read_status first = VL_READ_OK;

	for (size_t i = 0; i < w->nr_fields; i++) {
		const struct vl_walk_field *f = &w->fields[i];
		enum vl_read_status st = field(k, f, element, index, record + f->out);

		if (status)
			status[i] = (uint8_t)st;
		if (unlikely(st)) {
			memset(record + f->out, 0, f->size);
			if (!first)
				first = st;
			if (!status)
				return first;
		}
	}
	return first;
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
collect(struct walker *k, uint64_t element, uint64_t index, uint64_t node)
{
	enum vl_read_status st;

	if (unlikely(k->ret->nr == k->w->max)) {
		k->ret->fault = element;
		return VL_READ_MORE;
	}
	if (unlikely(k->d->has_live))
		ahead(k, element, index, node);
	st = fill(k, element, index, k->ret->nr);
	if (unlikely(st && !k->w->status))
		return st;
	k->ret->nr++;
	return VL_READ_OK;
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
	uint64_t node;
	enum vl_read_status st;

	k->tortoise = 0;
	k->steps = 0;
	k->lap = 1;
	if (list && w->with_head) {
		st = collect(k, head - w->node, index, head);
		if (unlikely(st))
			return st;
	}
	st = get(k, head + (list ? w->next : 0), &node, sizeof(node));
	for (;;) {
		uint64_t at = node;

		if (unlikely(st))
			return st;
		if (list ? node == head : w->kind == VL_WALK_NULLS ? node & 1 : !node)
			return VL_READ_OK;
		k->ret->fault = node;
		if (unlikely(!node))
			return VL_READ_NULL;
		if (unlikely(node & 3))
			return VL_READ_GARBAGE;
		if (unlikely(loops(k, node)))
			return VL_READ_LOOP;
		if (unlikely(k->d->has_live)) {
			st = collect(k, at - w->node, index, at);
			if (!st)
				st = get(k, at + w->next, &node, sizeof(node));
			continue;
		}
		/* First on the way to the next one: the fields wait for nobody. */
		st = get(k, at + w->next, &node, sizeof(node));
		if (unlikely(st))
			return st;
		st = collect(k, at - w->node, index, 0);
	}
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
		return entry && !(entry & 3) ? collect(k, entry - w->node, 0, 0) : VL_READ_OK;
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
			st = collect(k, entry - w->node, index, 0);
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
	for (uint32_t i = 0; i < (w->nr_heads ? w->nr_heads : 1) && !ret->status; i++) {
		uint64_t head = w->head + (uint64_t)i * w->head_stride;

		ret->status = w->kind == VL_WALK_XARRAY ? xarray(&k, head, &nodes_left) :
							  chain(&k, head, i);
	}
	if (!ret->status)
		ret->fault = 0;
}
