/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kvm engine's walks. The agent follows a list and collects the fields of its elements by
 * itself: one KVM_RUN returns all of it. Its output is checked here. The agent stops at a
 * bound, and a loop is found in its output. An xarray's nodes are read one by one, the elements
 * of each node by one KVM_RUN.
 */
#include <stdlib.h>

#include "kvm.h"

struct walker {
	struct vl_kvm *k;
	const struct vl_space *s;
	const struct vl_walk *w;
	struct vl_walked *ret;
	uint64_t tortoise, steps, lap; /* finds loops: Brent's algorithm */
	/*
	 * Too large for the stage: the agent puts out the address, and the field is read later.
	 */
	bool later[VL_WALK_FIELDS];
	size_t record; /* bytes of output for an element */
};

static size_t padded(size_t bytes)
{
	return 8 + ((bytes + 7) & ~7UL);
}

static size_t field_size(const struct walker *k, size_t i)
{
	const struct vl_walk_field *f = &k->w->fields[i];

	if (f->kind == VL_FIELD_INDEX)
		return 0;
	return padded(k->later[i] ? 8 : f->size);
}

/* Tell the agent what to collect. */
static void program(struct walker *k)
{
	const struct vl_walk *w = k->w;
	struct agent_page *p = k->k->page;
	size_t nr = 0;

	for (;;) {
		size_t largest = 0;

		k->record = 8;
		for (size_t i = 0; i < w->nr_fields; i++) {
			k->record += field_size(k, i);
			if (field_size(k, i) > field_size(k, largest))
				largest = i;
		}
		if (k->record <= AGENT_STAGE_SIZE)
			break;
		k->later[largest] = true;
	}
	for (size_t i = 0; i < w->nr_fields; i++) {
		const struct vl_walk_field *f = &w->fields[i];
		struct agent_field *to = &p->fields[nr];

		if (f->kind == VL_FIELD_INDEX)
			continue;
		nr++;
		to->kind = k->later[i] || f->kind == VL_FIELD_ADDRESS ? AF_KIND_ADDRESS :
			   f->kind == VL_FIELD_STRING		      ? AF_KIND_STRING :
									AF_KIND_BYTES;
		to->derefs = f->derefs;
		to->bytes = k->later[i] ? 8 : f->size;
		memcpy(to->offset, f->offset, sizeof(to->offset));
	}
	p->fields[nr].kind = AF_KIND_END;
	p->vars.record = (uint32_t)k->record;
	p->vars.next = (int32_t)w->next;
	p->vars.node = (int32_t)w->node;
	p->vars.end_mask = w->kind == VL_WALK_NULLS ? 1 : UINT64_MAX;
	p->vars.once = w->kind == VL_WALK_XARRAY;
}

/* The status of a field that the agent could not collect; it failed at @at. */
static enum vl_read_status field_failed(struct walker *k, uint64_t status, uint64_t at)
{
	struct agent_request rq = { .status = AGENT_FAULT, .fault = at };
	enum vl_read_status st = VL_READ_NULL;
	unsigned tries = UINT32_MAX / 2;

	k->ret->fault = status == AGENT_NULL ? 0 : at;
	if (status != AGENT_NULL)
		kvm_recover(k->k, k->s, &rq, &tries, &st);
	return st;
}

/* Copy field @i from the agent's output at @in to @out. */
static enum vl_read_status take_field(struct walker *k, size_t i, uint64_t index,
				      const unsigned char *in, unsigned char *out)
{
	const struct vl_walk_field *f = &k->w->fields[i];
	uint64_t status, word;
	enum vl_read_status st;
	size_t len;

	if (f->kind == VL_FIELD_INDEX) {
		memcpy(out, &index, sizeof(index));
		return VL_READ_OK;
	}
	memcpy(&status, in, sizeof(status));
	memcpy(&word, in + 8, sizeof(word));
	if (unlikely(status))
		return field_failed(k, status, word);
	if (unlikely(k->later[i])) {
		st = f->kind == VL_FIELD_STRING ?
			     kvm_string(k->k, k->s, word, (char *)out, f->size, &k->ret->fault) :
			     kvm_read(k->k, k->s, word, out, f->size, &k->ret->fault);
		if (st && st != VL_READ_UNENDED)
			return st;
	} else {
		memcpy(out, in + 8, f->size);
	}
	if (f->kind == VL_FIELD_STRING) {
		len = strnlen((const char *)out, f->size);
		memset(out + len, 0, f->size - len);
	}
	return VL_READ_OK;
}

/* Take one element of the agent's output; a status but VL_READ_OK ends the walk. */
static enum vl_read_status take(struct walker *k, const unsigned char *in, uint64_t index)
{
	const struct vl_walk *w = k->w;
	size_t nr = k->ret->nr;
	unsigned char *record = (unsigned char *)w->records + nr * w->stride;

	in += 8;
	for (size_t i = 0; i < w->nr_fields; i++) {
		unsigned char *out = record + w->fields[i].out;
		enum vl_read_status st = take_field(k, i, index, in, out);

		in += field_size(k, i);
		if (unlikely(st == KVM_BY_WALK))
			return st;
		if (w->status)
			w->status[nr * w->nr_fields + i] = (uint8_t)st;
		if (unlikely(st)) {
			memset(out, 0, w->fields[i].size);
			if (!w->status)
				return st;
		}
	}
	k->ret->nr++;
	return VL_READ_OK;
}

/* Is the walk at a node for the second time? Brent's algorithm. */
static bool loops(struct walker *k, uint64_t node)
{
	if (node == k->tortoise) {
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

/*
 * Take @nr elements of the agent's output. Fields that are read later go through the same
 * pages, so the output is then copied first.
 */
static enum vl_read_status take_all(struct walker *k, size_t nr, uint64_t index, bool head)
{
	static const unsigned char none[1];
	const unsigned char *in = nr ? k->k->out : none;
	enum vl_read_status st = VL_READ_OK;
	unsigned char *copy = NULL;

	for (size_t i = 0; i < k->w->nr_fields; i++)
		if (k->later[i] && nr && !copy) {
			copy = malloc(nr * k->record);
			if (!copy)
				return KVM_BY_WALK;
			memcpy(copy, in, nr * k->record);
			in = copy;
		}
	for (size_t i = 0; i < nr && !st; i++, in += k->record, head = false) {
		uint64_t node;

		memcpy(&node, in, sizeof(node));
		st = !head && loops(k, node) ? VL_READ_LOOP : take(k, in, index);
	}
	free(copy);
	return st;
}

/* Translate the status that ended the agent's walk. VL_READ_OK without *@done: go on. */
static enum vl_read_status ended(struct walker *k, const struct agent_request *rq, bool *done)
{
	*done = true;
	k->ret->fault = rq->fault;
	switch (rq->status) {
	case AGENT_OK:
		return VL_READ_OK;
	case AGENT_NULL:
		return VL_READ_NULL;
	case AGENT_GARBAGE:
		return VL_READ_GARBAGE;
	case AGENT_MORE:
		/* The bound was that of this KVM_RUN, or that of the caller. */
		*done = k->ret->nr == k->w->max;
		if (!*done)
			return VL_READ_OK;
		if (loops(k, rq->fault))
			return VL_READ_LOOP;
		k->ret->fault = rq->fault - k->w->node;
		return VL_READ_MORE;
	default:
		*done = false;
		return VL_READ_OK;
	}
}

/* One list, or chain of a table. */
static enum vl_read_status chain(struct walker *k, uint64_t head, uint64_t index)
{
	const struct vl_walk *w = k->w;
	bool list = w->kind == VL_WALK_LIST, done = false;
	bool first = list && w->with_head;
	/* Where KVM emulates, one KVM_RUN must stay within the watchdog's limit. */
	size_t most = KVM_WALK_FIELDS / (w->nr_fields + 8);
	uint64_t at = first ? head : head + (list ? w->next : 0);
	enum vl_read_status st = VL_READ_OK;
	unsigned tries = 0;

	k->tortoise = 0;
	k->steps = 0;
	k->lap = 1;
	if (first && !w->max) {
		k->ret->fault = head - w->node;
		return VL_READ_MORE;
	}
	while (!st && !done) {
		size_t room = KVM_OUT_SIZE / k->record, left = w->max - k->ret->nr, nr;
		struct agent_request *rq, got;
		enum vl_read_status why;

		room = room < most ? room : most;
		left = left < room ? left : room;
		k->ret->fault = at;
		if (!kvm_ready(k->k, k->s))
			return KVM_BY_WALK;
		rq = kvm_request(k->k, 0, k->s, AGENT_OP_WALK);
		rq->va = at;
		rq->left = left;
		rq->end = list ? head : w->kind == VL_WALK_NULLS;
		rq->first = first;
		if (!kvm_serve(k->k, 1))
			return KVM_BY_WALK;
		got = *rq;
		nr = got.left <= left ? left - got.left : 0;
		st = take_all(k, nr, index, first);
		if (nr) {
			tries = 0;
			first = false;
			at = got.va;
		}
		if (st)
			break;
		st = ended(k, &got, &done);
		if (done)
			continue;
		if (got.status == AGENT_FULL || got.status == AGENT_MORE) {
			/* The agent always makes progress. */
			st = nr ? st : KVM_BY_WALK;
			continue;
		}
		if (!kvm_recover(k->k, k->s, &got, &tries, &why))
			st = why;
	}
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

static bool is_element(uint64_t entry)
{
	return entry && !(entry & 3);
}

/* Have the agent collect one element; its output is at the start of out. */
static enum vl_read_status element(struct walker *k, uint64_t entry)
{
	enum vl_read_status st;
	unsigned tries = 0;

	for (;;) {
		struct agent_request *rq;

		k->ret->fault = entry;
		if (!kvm_ready(k->k, k->s))
			return KVM_BY_WALK;
		rq = kvm_request(k->k, 0, k->s, AGENT_OP_WALK);
		rq->va = entry;
		rq->left = 1;
		rq->first = 1;
		if (!kvm_serve(k->k, 1))
			return KVM_BY_WALK;
		if (!rq->status)
			return VL_READ_OK;
		if (!kvm_recover(k->k, k->s, rq, &tries, &st))
			return st;
	}
}

#define NODE_SLOTS 64

/* Take the elements among @nr entries of one node, first by one KVM_RUN for all. */
static enum vl_read_status elements(struct walker *k, const uint64_t *entries, unsigned nr,
				    uint64_t index, unsigned shift)
{
	unsigned posted = 0, first = k->k->ring->posted;
	unsigned char *all = NULL;
	enum vl_read_status st = VL_READ_OK;

	if (!kvm_ready(k->k, k->s))
		return KVM_BY_WALK;
	for (unsigned i = 0; i < nr; i++)
		if (is_element(entries[i])) {
			struct agent_request *rq;

			rq = kvm_request(k->k, posted, k->s, AGENT_OP_WALK);
			rq->va = entries[i];
			rq->left = 1;
			rq->first = 1;
			rq->out = kvm_out_va(posted++ * k->record);
		}
	if (!posted)
		return VL_READ_OK;
	if (!kvm_serve(k->k, posted))
		return KVM_BY_WALK;
	/* Later reads may go through the same pages. */
	all = malloc(posted * k->record);
	if (!all)
		return KVM_BY_WALK;
	memcpy(all, k->k->out, posted * k->record);
	posted = 0;
	for (unsigned i = 0; i < nr && !st; i++) {
		const struct agent_request *rq;
		unsigned char *in = all + posted * k->record;

		if (!is_element(entries[i]))
			continue;
		if (k->ret->nr == k->w->max) {
			k->ret->fault = entries[i] - k->w->node;
			st = VL_READ_MORE;
			break;
		}
		rq = &k->k->ring->requests[(first + posted++) % AGENT_NR_REQUESTS];
		if (rq->status || rq->va != entries[i] + k->w->next) {
			st = element(k, entries[i]);
			memcpy(in, k->k->out, k->record);
		}
		if (!st)
			st = take(k, in, index + ((uint64_t)i << shift));
	}
	free(all);
	return st;
}

#define XA_DEPTH_MAX 16

struct level {
	uint64_t slots[NODE_SLOTS];
	uint64_t index;
	uint8_t shift;
	unsigned slot;
};

static enum vl_read_status open_node(struct walker *k, uint64_t entry, unsigned above,
				     struct level *l)
{
	const struct vl_walk *w = k->w;
	struct vl_get get[2] = {
		{ entry - 2 + w->xa_shift, &l->shift, sizeof(l->shift), VL_READ_OK },
		{ entry - 2 + w->xa_slots, l->slots, 8 * w->xa_nr_slots, VL_READ_OK },
	};

	kvm_gather_op(&k->k->raw, k->s, get, 2);
	for (int i = 0; i < 2; i++)
		if (get[i].status) {
			k->ret->fault = get[i].va;
			return get[i].status;
		}
	l->slot = 0;
	if (l->shift >= above) {
		k->ret->fault = entry - 2;
		return VL_READ_GARBAGE;
	}
	/* The lowest level: no nodes below it. */
	if (!l->shift) {
		l->slot = w->xa_nr_slots;
		return elements(k, l->slots, w->xa_nr_slots, l->index, 0);
	}
	return VL_READ_OK;
}

static enum vl_read_status xarray(struct walker *k, uint64_t head, uint64_t *nodes_left)
{
	struct level stack[XA_DEPTH_MAX + 1];
	const struct vl_walk *w = k->w;
	enum vl_read_status st;
	uint64_t entry;
	int depth = 0;

	st = kvm_read(k->k, k->s, head, &entry, sizeof(entry), &k->ret->fault);
	if (st)
		return st;
	if (!is_node(entry))
		return elements(k, &entry, 1, 0, 0);
	stack[0].index = 0;
	st = open_node(k, entry, 64, &stack[0]);
	while (!st && depth >= 0) {
		struct level *l = &stack[depth];
		uint64_t index;

		if (l->slot == w->xa_nr_slots) {
			depth--;
			continue;
		}
		entry = l->slots[l->slot];
		index = l->index + ((uint64_t)l->slot++ << l->shift);
		if (is_node(entry)) {
			/* Bounded: nodes without elements could go on for ever. */
			if (depth == XA_DEPTH_MAX || !(*nodes_left)--) {
				k->ret->fault = entry - 2;
				return VL_READ_LOOP;
			}
			stack[++depth].index = index;
			st = open_node(k, entry, l->shift, &stack[depth]);
		} else if (is_element(entry)) {
			st = elements(k, &entry, 1, index, 0);
		}
	}
	return st;
}

void kvm_walk(struct vl_raw *e, const struct vl_space *s, const struct vl_walk *w,
	      struct vl_walked *ret)
{
	struct walker k = { .k = kvm_of(e), .s = s, .w = w, .ret = ret };
	/*
	 * A node has at least one entry, and nodes nest less than 16 deep. The constant is for
	 * nodes of values.
	 */
	uint64_t nodes_left = 16 * (uint64_t)w->max + 65536;

	*ret = (struct vl_walked){ 0 };
	kvm_begin(k.k);
	program(&k);
	for (uint32_t i = 0; i < (w->nr_heads ? w->nr_heads : 1) && !ret->status; i++) {
		uint64_t head = w->head + (uint64_t)i * w->head_stride;

		ret->status = w->kind == VL_WALK_XARRAY ? xarray(&k, head, &nodes_left) :
							  chain(&k, head, i);
	}
	if (ret->status == KVM_BY_WALK || !kvm_stands(k.k)) {
		k.k->by_walk++;
		k.k->other->ops->walk(k.k->other, s, w, ret);
	}
	if (!ret->status)
		ret->fault = 0;
}
