/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ahead.h"

#include <stdlib.h>
#include <string.h>

/* Lists that are learned at most; a first question without a list is asked alone. */
#define LISTS_MAX 24

/* The questions about the same process that follow question @first. */
struct list {
	struct vl_question first, next[VL_AHEAD_MAX - 1];
	size_t nr;
};

struct waiting {
	struct vl_question q;
	struct vl_answer answer;
	void *bytes;
	bool taken;
};

struct vl_ahead {
	struct list lists[LISTS_MAX];
	size_t nr_lists;
	uint64_t epoch;
	char base[VL_BASE_MAX]; /* of the last question */
	struct list *learning;	/* further questions about it are added to this list */
	struct list *planned;	/* the questions asked ahead are the first of this list */
	struct waiting waiting[VL_AHEAD_MAX];
	size_t nr_waiting;
	size_t reach, used; /* of @waiting: index of the last one taken, plus 1; number taken */
};

size_t vl_answer_size(const struct vl_question *q, const struct vl_answer *a)
{
	int64_t n = q->what == VL_ASKS_FILE ? a->n : a->ret;

	if (a->ret < 0 || n < 0)
		return 0;
	if (q->what == VL_ASKS_STAT)
		return q->len;
	return (uint64_t)n < q->len ? (size_t)n : q->len;
}

struct vl_ahead *vl_ahead_create(void)
{
	return calloc(1, sizeof(struct vl_ahead));
}

/* Drop the answers that wait, and shorten the list if most of it was not used. */
static void end_plan(struct vl_ahead *a)
{
	for (size_t i = 0; i < a->nr_waiting; i++)
		free(a->waiting[i].bytes);
	a->nr_waiting = 0;
	/* Most answers were not used: the list is of another kind of process. */
	if (a->planned && 2 * a->used < a->planned->nr)
		a->planned->nr = a->reach;
	a->planned = NULL;
	a->reach = a->used = 0;
}

void vl_ahead_drop(struct vl_ahead *a)
{
	end_plan(a);
	a->learning = NULL;
	a->base[0] = '\0';
}

void vl_ahead_destroy(struct vl_ahead *a)
{
	if (!a)
		return;
	vl_ahead_drop(a);
	free(a);
}

bool vl_ahead_split(const char *path, char base[VL_BASE_MAX], struct vl_question *q)
{
	size_t digits, len;

	if (strncmp(path, "/proc/", 6) != 0)
		return false;
	digits = strspn(path + 6, "0123456789");
	len = 6 + digits;
	if (!digits || len >= VL_BASE_MAX || (path[len] && path[len] != '/') ||
	    strlen(path + len) >= VL_LEAF_MAX)
		return false;
	memcpy(base, path, len);
	base[len] = '\0';
	strcpy(q->leaf, path + len);
	return true;
}

static bool same(const struct vl_question *a, const struct vl_question *b)
{
	return a->what == b->what && a->flags == b->flags && a->len == b->len &&
	       !strcmp(a->leaf, b->leaf);
}

bool vl_ahead_take(struct vl_ahead *a, uint64_t epoch, const char *base,
		   const struct vl_question *q, struct vl_answer *ret, void *buf)
{
	if (a->epoch != epoch || strcmp(a->base, base) != 0) {
		vl_ahead_drop(a);
		a->epoch = epoch;
		strcpy(a->base, base);
		return false;
	}
	for (size_t i = 0; i < a->nr_waiting; i++) {
		struct waiting *w = &a->waiting[i];

		if (w->taken || !same(&w->q, q))
			continue;
		*ret = w->answer;
		if (w->bytes)
			memcpy(buf, w->bytes, vl_answer_size(q, ret));
		w->taken = true;
		a->used++;
		if (a->reach <= i)
			a->reach = i + 1;
		return true;
	}
	return false;
}

static struct list *find(struct vl_ahead *a, const struct vl_question *q)
{
	for (size_t i = 0; i < a->nr_lists; i++)
		if (same(&a->lists[i].first, q))
			return &a->lists[i];
	return NULL;
}

size_t vl_ahead_plan(struct vl_ahead *a, const struct vl_question *q, size_t max_size,
		     struct vl_question ret[VL_AHEAD_MAX])
{
	struct list *l = a->learning;
	size_t nr = 0, at;

	ret[nr++] = *q;
	if (l) {
		if (l->nr < VL_AHEAD_MAX - 1)
			l->next[l->nr++] = *q;
		return nr;
	}
	l = find(a, q);
	if (!l && a->nr_lists < LISTS_MAX) {
		a->learning = &a->lists[a->nr_lists++];
		*a->learning = (struct list){ .first = *q };
	}
	if (!l || !l->nr)
		return nr;
	end_plan(a);
	a->planned = l;
	at = vl_answer_next(0, q->len);
	for (size_t i = 0; i < l->nr; i++) {
		at = vl_answer_next(at, l->next[i].len);
		if (at > max_size)
			break;
		ret[nr++] = l->next[i];
	}
	return nr;
}

void vl_ahead_put(struct vl_ahead *a, const struct vl_question *q, const struct vl_answer *answer,
		  const void *bytes)
{
	struct waiting *w = &a->waiting[a->nr_waiting];
	size_t size = vl_answer_size(q, answer);

	*w = (struct waiting){ .q = *q, .answer = *answer };
	if (size) {
		w->bytes = malloc(size);
		if (!w->bytes)
			w->taken = true;
		else
			memcpy(w->bytes, bytes, size);
	}
	a->nr_waiting++;
}

void vl_ahead_cut(struct vl_ahead *a)
{
	if (a->planned)
		a->planned->nr = a->nr_waiting;
}
