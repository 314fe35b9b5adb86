/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Filters and sorts the processes, as a list or as a tree. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/array.h"
#include "top.h"

/* Deeper tasks get a tree of their own: a hostile tree can be as deep as it has tasks. */
#define MAX_DEPTH 63

void top_list_deinit(struct top_list *l)
{
	free(l->items);
	free(l->sums);
	*l = (struct top_list){ .items = NULL };
}

static bool contains(const char *text, size_t len, const char *part)
{
	size_t n = strlen(part);

	for (size_t i = 0; i + n <= len; i++)
		if (!strncasecmp(text + i, part, n))
			return true;
	return false;
}

bool top_matches(const struct vl_top_sample *s, const struct vl_top_task *p, const char *text)
{
	return contains(p->comm, strnlen(p->comm, sizeof(p->comm)), text) ||
	       contains(s->text + p->text, p->text_len, text);
}

int32_t top_list_pid(const struct top_list *l, const struct vl_top_sample *s, size_t i)
{
	return i >= l->nr || l->items[i].sum ? 0 : s->tasks[l->items[i].task].pid;
}

/* Does @p pass the filter, without its text? @user: as top_filter has it. */
static bool allowed(const struct vl_top_task *p, const struct top_filter *f, uint32_t user)
{
	bool named = !f->nr_pids;

	for (size_t i = 0; !named && i < f->nr_pids; i++)
		named = f->pids[i] == p->pid;
	return named && !(f->hide_kernel && p->kernel) && (user == TOP_ANY_USER || user == p->euid);
}

struct order {
	const struct vl_top_sample *sample;
	const struct top_filter *filter;
};

static int compare(const void *a, const void *b, void *ctx)
{
	const struct order *o = ctx;
	const struct vl_top_task *x = &o->sample->tasks[((const struct top_item *)a)->task];
	const struct vl_top_task *y = &o->sample->tasks[((const struct top_item *)b)->task];
	int r = o->filter->grouped ? vl_top_compare_containers(o->sample, x, y) : 0;

	if (r)
		return r;
	r = vl_top_compare(o->sample, x, y, o->filter->column);
	if (r)
		return o->filter->down ? -r : r;
	return (x->pid > y->pid) - (x->pid < y->pid);
}

/* ---- the tree ---- */

struct node {
	int32_t pid;
	uint32_t at; /* in the sorted list */
};

struct tree {
	const struct vl_top_sample *sample;
	const struct top_item *sorted;
	uint32_t *first, *next; /* child, sibling of an item: index + 1; 0: none */
	bool *placed;
	struct top_item *out;
	size_t done;
};

static int compare_nodes(const void *a, const void *b)
{
	const struct node *x = a, *y = b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

/*
 * Lay out @at and the items below it, without recursion. An item is laid out once, so
 * parents that form a circle end there.
 */
static void lay_out(struct tree *t, uint32_t at)
{
	uint32_t stack[MAX_DEPTH + 1];
	size_t depth = 0;
	uint64_t more = 0;

	stack[0] = at + 1;
	for (;;) {
		uint32_t i = stack[depth];

		if (!i) {
			if (!depth)
				return;
			depth--;
			continue;
		}
		i--;
		/* Its siblings are next, except at depth 0: these are the caller's. */
		stack[depth] = depth ? t->next[i] : 0;
		if (t->placed[i])
			continue;
		t->placed[i] = true;
		more &= depth < 63 ? (1ULL << depth) - 1 : ~0ULL;
		if (depth && stack[depth])
			more |= 1ULL << depth;
		t->out[t->done++] = (struct top_item){ .task = t->sorted[i].task,
						       .depth = (uint16_t)depth,
						       .more = more };
		if (depth < MAX_DEPTH)
			stack[++depth] = t->first[i];
	}
}

static bool make_tree(struct top_list *l, const struct vl_top_sample *s)
{
	struct tree t = { .sample = s, .sorted = l->items };
	struct node *nodes = calloc(l->nr + 1, sizeof(*nodes));
	bool *child = calloc(l->nr + 1, sizeof(*child)), ok;

	t.first = calloc(l->nr + 1, sizeof(*t.first));
	t.next = calloc(l->nr + 1, sizeof(*t.next));
	t.placed = calloc(l->nr + 1, sizeof(*t.placed));
	t.out = calloc(l->nr + 1, sizeof(*t.out));
	ok = nodes && child && t.first && t.next && t.placed && t.out;
	for (size_t i = 0; ok && i < l->nr; i++)
		nodes[i] = (struct node){ s->tasks[l->items[i].task].pid, (uint32_t)i };
	if (ok)
		qsort(nodes, l->nr, sizeof(*nodes), compare_nodes);
	/* Backwards, so that lists of children have the order of the whole list. */
	for (size_t i = l->nr; ok && i-- > 0;) {
		const struct vl_top_task *p = &s->tasks[l->items[i].task];
		const struct node key = { .pid = p->ppid };
		const struct node *parent =
			p->ppid == p->pid ? NULL :
					    bsearch(&key, nodes, l->nr, sizeof(key), compare_nodes);

		if (!parent)
			continue;
		child[i] = true;
		t.next[i] = t.first[parent->at];
		t.first[parent->at] = (uint32_t)i + 1;
	}
	for (size_t i = 0; ok && i < l->nr; i++)
		if (!child[i])
			lay_out(&t, (uint32_t)i);
	/* The rest are circles, and what is below MAX_DEPTH. */
	for (size_t i = 0; ok && i < l->nr; i++)
		if (!t.placed[i])
			lay_out(&t, (uint32_t)i);
	if (ok)
		memcpy(l->items, t.out, l->nr * sizeof(*t.out));
	free(nodes);
	free(child);
	free(t.first);
	free(t.next);
	free(t.placed);
	free(t.out);
	return ok;
}

/* ---- the filter ---- */

/* Of the tasks that are marked, mark the parents, and theirs, that are @allowed. */
static bool mark_parents(const struct vl_top_sample *s, const bool *allowed, bool *marked)
{
	struct node *nodes = calloc(s->nr_tasks + 1, sizeof(*nodes));

	if (!nodes)
		return false;
	for (size_t i = 0; i < s->nr_tasks; i++)
		nodes[i] = (struct node){ s->tasks[i].pid, (uint32_t)i };
	qsort(nodes, s->nr_tasks, sizeof(*nodes), compare_nodes);
	for (size_t i = 0; i < s->nr_tasks; i++) {
		const struct vl_top_task *p = &s->tasks[i];

		/* A parent that is marked ends it: so does a circle. */
		while (marked[p - s->tasks]) {
			const struct node key = { .pid = p->ppid };
			const struct node *up =
				bsearch(&key, nodes, s->nr_tasks, sizeof(key), compare_nodes);

			if (!up || marked[up->at] || !allowed[up->at])
				break;
			marked[up->at] = true;
			p = &s->tasks[up->at];
		}
	}
	free(nodes);
	return true;
}

/* Add the tasks that are wanted to the items, for which there is room. */
static bool add_wanted(struct top_list *l, const struct vl_top_sample *s,
		       const struct top_filter *f)
{
	bool *may = calloc(s->nr_tasks + 1, sizeof(*may)), ok;
	bool *marked = calloc(s->nr_tasks + 1, sizeof(*marked));
	uint32_t user = f->user;
	bool known = !f->user_name || vl_top_uid(s, f->user_name, &user);
	const bool any = !f->text || !*f->text;

	ok = may && marked;
	for (size_t i = 0; ok && known && i < s->nr_tasks; i++) {
		may[i] = allowed(&s->tasks[i], f, user);
		marked[i] = may[i] && (any || top_matches(s, &s->tasks[i], f->text));
	}
	if (ok && f->tree && !any)
		ok = mark_parents(s, may, marked);
	for (size_t i = 0; ok && i < s->nr_tasks; i++)
		if (marked[i])
			l->items[l->nr++] = (struct top_item){ .task = (uint32_t)i };
	free(may);
	free(marked);
	return ok;
}

/* ---- groups ---- */

static bool same_box(const struct vl_top_sample *s, const struct vl_top_task *a,
		     const struct vl_top_task *b)
{
	return !vl_top_compare_containers(s, a, b);
}

/* Tenths of two shares; VL_TOP_UNKNOWN counts as 0. The guest chooses them. */
static int32_t together(int32_t a, int32_t b)
{
	int64_t sum = (int64_t)(a > 0 ? a : 0) + (b > 0 ? b : 0);

	if (a == VL_TOP_UNKNOWN && b == VL_TOP_UNKNOWN)
		return VL_TOP_UNKNOWN;
	return sum > INT32_MAX ? INT32_MAX : (int32_t)sum;
}

static void add_up(struct top_sum *sum, const struct vl_top_task *p)
{
	/* A part of a sum is no sum. */
	sum->of.lacks |= p->lacks;
	sum->processes++;
	sum->of.virt += p->virt;
	sum->of.res += p->res;
	sum->of.shr += p->shr;
	sum->of.cpu_ns += p->cpu_ns;
	sum->of.cpu = together(sum->of.cpu, p->cpu);
	sum->of.mem = together(sum->of.mem, p->mem);
	sum->of.threads = together(sum->of.threads, p->threads);
}

/* Put a sum in front of each group of the sorted items, for which there is room. */
static bool make_sums(struct top_list *l, const struct vl_top_sample *s)
{
	size_t nr = 0, at;

	for (size_t i = 0; i < l->nr; i++) {
		const struct vl_top_task *p = &s->tasks[l->items[i].task];

		if (!i || !same_box(s, p, &s->tasks[l->items[i - 1].task])) {
			if (!vl_grow(l->sums, l->cap_sums, nr, 16))
				return false;
			l->sums[nr++] = (struct top_sum){ .of = { .cpu = VL_TOP_UNKNOWN,
								  .mem = VL_TOP_UNKNOWN,
								  .start = p->start,
								  .box = p->box,
								  .box_len = p->box_len } };
		}
		add_up(&l->sums[nr - 1], p);
	}
	/* Backwards: each item moves by the number of sums in front of it. */
	at = l->nr + nr;
	l->nr_sums = nr;
	for (size_t i = l->nr, left = 0; i-- > 0;) {
		left = left ? left : l->sums[nr - 1].processes;
		l->items[--at] = l->items[i];
		if (!--left)
			l->items[--at] = (struct top_item){ .task = (uint32_t)--nr, .sum = true };
	}
	l->nr += l->nr_sums;
	return true;
}

bool top_list_make(struct top_list *l, const struct vl_top_sample *s, const struct top_filter *f)
{
	struct order o = { s, f };
	/* Each task may be a group of its own. */
	size_t room = f->grouped ? 2 * s->nr_tasks : s->nr_tasks;

	l->nr = l->nr_sums = 0;
	if (room > l->cap) {
		struct top_item *more = reallocarray(l->items, room, sizeof(*more));

		if (!more)
			return false;
		l->items = more;
		l->cap = room;
	}
	if (!add_wanted(l, s, f))
		return false;
	if (l->nr > 1)
		qsort_r(l->items, l->nr, sizeof(*l->items), compare, &o);
	if (f->grouped)
		return make_sums(l, s);
	return !f->tree || l->nr < 2 || make_tree(l, s);
}
