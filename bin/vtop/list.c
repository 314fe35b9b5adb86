/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Filters and sorts the processes, as a list or as a tree. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "top.h"

/* Deeper tasks get a tree of their own: a hostile tree can be as deep as it has tasks. */
#define MAX_DEPTH 63

void top_list_deinit(struct top_list *l)
{
	free(l->items);
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

static bool wanted(const struct vl_top_sample *s, const struct vl_top_task *p,
		   const struct top_filter *f)
{
	bool named = !f->nr_pids;

	for (size_t i = 0; !named && i < f->nr_pids; i++)
		named = f->pids[i] == p->pid;
	return named && !(f->hide_kernel && p->kernel) &&
	       (f->user == TOP_ANY_USER || f->user == p->euid) &&
	       (!f->text || !*f->text || top_matches(s, p, f->text));
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
		t->out[t->done++] = (struct top_item){ t->sorted[i].task, (uint16_t)depth, more };
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

bool top_list_make(struct top_list *l, const struct vl_top_sample *s, const struct top_filter *f)
{
	struct order o = { s, f };

	l->nr = 0;
	if (s->nr_tasks > l->cap) {
		struct top_item *more = reallocarray(l->items, s->nr_tasks, sizeof(*more));

		if (!more)
			return false;
		l->items = more;
		l->cap = s->nr_tasks;
	}
	for (size_t i = 0; i < s->nr_tasks; i++)
		if (wanted(s, &s->tasks[i], f))
			l->items[l->nr++] = (struct top_item){ .task = (uint32_t)i };
	if (l->nr > 1)
		qsort_r(l->items, l->nr, sizeof(*l->items), compare, &o);
	return !f->tree || l->nr < 2 || make_tree(l, s);
}
