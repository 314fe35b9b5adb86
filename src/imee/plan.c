/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a walk reads the fields of an element: in groups that lie together, the rest one by one.
 */
#include "walk.h"

/* ---- the plan ---- */

/* No structure is larger: a field beyond that is in no group. */
#define SANE_OFFSET (1 << 24)

static bool is_near(int64_t offset)
{
	return offset > -SANE_OFFSET && offset < SANE_OFFSET;
}

static struct walk_group *group_of(struct plan *p, const struct vl_walk_field *f)
{
	struct walk_group *g = &p->groups[0];

	if (!f->derefs)
		return g;
	for (unsigned i = 1; i < p->nr_groups; i++)
		if (p->groups[i].pointer == f->offset[0])
			return &p->groups[i];
	if (p->nr_groups == MAX_GROUPS)
		return NULL;
	g = &p->groups[p->nr_groups++];
	*g = (struct walk_group){ .pointer = f->offset[0] };
	return g;
}

static void widen(struct walk_group *g, int64_t low, uint64_t len)
{
	int64_t end = low + (int64_t)len;

	if (g->len && g->low + (int64_t)g->len > end)
		end = g->low + (int64_t)g->len;
	if (!g->len || low < g->low)
		g->low = low;
	g->len = (uint64_t)(end - g->low);
}

static bool reads(const struct vl_walk_field *f)
{
	return f->kind == VL_FIELD_BYTES || f->kind == VL_FIELD_STRING;
}

static uint8_t op_of(const struct vl_walk_field *f)
{
	switch (f->kind) {
	case VL_FIELD_STRING:
		return PART_STRING;
	case VL_FIELD_ADDRESS:
		return PART_ADDRESS;
	case VL_FIELD_INDEX:
		return PART_INDEX;
	}
	return f->size == 4  ? PART_4 :
	       f->size == 8  ? PART_8 :
	       f->size == 16 ? PART_16 :
	       f->size == 32 ? PART_32 :
			       PART_BYTES;
}

/* The order of a group's parts: 8 bytes, 4 bytes, addresses, others. */
#define PART_CLASSES 4

static unsigned class_of(uint8_t op)
{
	return op == PART_8 ? 0 : op == PART_4 ? 1 : op == PART_ADDRESS ? 2 : 3;
}

/* Lay out the parts of all groups; @of: the group of each field, or NULL. */
static void add_parts(struct plan *p, const struct vl_walk *w, struct walk_group *const *of)
{
	struct walk_part *next[MAX_GROUPS][PART_CLASSES], *to = p->parts;
	unsigned nr[MAX_GROUPS][PART_CLASSES] = { 0 };

	for (size_t i = 0; i < w->nr_fields; i++)
		if (of[i])
			nr[of[i] - p->groups][class_of(op_of(&w->fields[i]))]++;
	for (unsigned g = 0; g < p->nr_groups; g++) {
		p->groups[g].part = next[g][0] = to;
		p->groups[g].end8 = next[g][1] = to += nr[g][0];
		p->groups[g].end4 = next[g][2] = to += nr[g][1];
		p->groups[g].end_address = next[g][3] = to += nr[g][2];
		p->groups[g].end = to += nr[g][3];
	}
	for (size_t i = 0; i < w->nr_fields; i++) {
		const struct vl_walk_field *f = &w->fields[i];
		int32_t at = f->offset[f->derefs];
		uint8_t op = op_of(f);

		if (of[i])
			*next[of[i] - p->groups][class_of(op)]++ =
				(struct walk_part){ op, (uint8_t)i, f->size, f->out,
						    reads(f) ? at - of[i]->low : at };
	}
}

void direct_plan(struct plan *p, const struct vl_walk *w, bool spans)
{
	struct walk_group *of[VL_WALK_FIELDS];

	p->groups[0] = (struct walk_group){ 0 };
	p->nr_groups = 1;
	p->alone = 0;
	spans = spans && is_near(w->node) && is_near(w->next);
	if (spans && w->kind != VL_WALK_XARRAY)
		widen(&p->groups[0], (int64_t)w->node + w->next, 8);
	for (size_t i = 0; i < w->nr_fields; i++) {
		const struct vl_walk_field *f = &w->fields[i];
		int32_t at = f->offset[f->derefs > 1 ? 0 : f->derefs];

		of[i] = NULL;
		if (spans && f->derefs <= reads(f) && is_near(at) && is_near(f->offset[0]))
			of[i] = group_of(p, f);
		if (!of[i])
			p->alone |= 1U << i;
		else if (reads(f))
			widen(of[i], at, f->size);
	}
	for (unsigned g = 1; g < p->nr_groups; g++)
		widen(&p->groups[0], p->groups[g].pointer, 8);
	for (unsigned g = 0; g < p->nr_groups; g++)
		p->groups[g].pointer -= p->groups[0].low;
	add_parts(p, w, of);
}

/* ---- one by one ---- */

void direct_end_string(char *buf, size_t size)
{
	size_t len = strnlen(buf, size);

	memset(buf + len, 0, size - len);
}

/* A string in a field: no page behind its end is touched. */
static enum vl_read_status get_string(struct walker *k, uint64_t va, char *buf, size_t size)
{
	size_t n = VL_PAGE_SIZE - (va & (VL_PAGE_SIZE - 1));
	enum vl_read_status st;

	st = walk_get(k, va, buf, n < size ? n : size);
	if (!st && n < size && !memchr(buf, 0, n))
		st = walk_get(k, va + n, buf + n, size - n);
	if (!st)
		direct_end_string(buf, size);
	return st;
}

static enum vl_read_status get_field(struct walker *k, const struct vl_walk_field *f,
				     uint64_t element, uint64_t index, unsigned char *out)
{
	uint64_t va = element + (uint64_t)(int64_t)f->offset[0];
	enum vl_read_status st;

	for (unsigned i = 0; i < f->derefs; i++) {
		st = walk_get(k, va, &va, sizeof(va));
		if (st)
			return st;
		if (!va) {
			k->ret->fault = 0;
			return VL_READ_NULL;
		}
		va += (uint64_t)(int64_t)f->offset[i + 1];
	}
	switch (f->kind) {
	case VL_FIELD_BYTES:
		return walk_get(k, va, out, f->size);
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

enum vl_read_status direct_field(struct walker *k, unsigned i, uint64_t element, uint64_t index,
				 unsigned char *record, uint8_t *status)
{
	const struct vl_walk_field *f = &k->w->fields[i];
	enum vl_read_status st = get_field(k, f, element, index, record + f->out);

	if (st)
		memset(record + f->out, 0, f->size);
	if (!status)
		return st;
	status[i] = (uint8_t)st;
	return VL_READ_OK;
}

void direct_ahead(struct walker *k, uint64_t element, uint64_t index, uint64_t node,
		  unsigned char *record)
{
	uint64_t next;

	k->d->collecting = true;
	/* As many rounds as there are dependent steps; each is one call. */
	for (int round = 0; round < 6 * (VL_WALK_DEREFS + 1); round++) {
		if (node)
			walk_get(k, node + k->w->next, &next, sizeof(next));
		for (size_t i = 0; i < k->w->nr_fields; i++)
			get_field(k, &k->w->fields[i], element, index,
				  record + k->w->fields[i].out);
		if (!direct_fetch(k->d))
			break;
	}
	k->d->collecting = false;
}
