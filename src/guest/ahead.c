/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ahead.h"

#include <stdlib.h>

/* Lists that are learned at most; a first question without a list is asked alone. */
#define LISTS_MAX 24
/* Questions that are asked alone after a plan that failed, at most. */
#define ALONE_MAX 63

/* After so many processes in a row a question that follows a whole list is added to it. */
#define FOLLOWS 2

/* The questions about the same process that follow question @first. */
struct list {
	struct vl_question first, next[VL_AHEAD_MAX - 1];
	size_t nr;
	struct vl_question follow; /* follows when all answers of the list were used */
	unsigned follows;	   /* of this many processes in a row */
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
	struct list *begun;	/* the list whose first question was asked first about it */
	struct list *planned;	/* the questions asked ahead are the first of this list */
	bool prefetched;	/* a prefetch has answered the first of it */
	bool followed;		/* by another question, when all its answers were used */
	struct waiting waiting[VL_AHEAD_MAX];
	size_t nr_waiting;
	size_t from;	     /* index in @planned of waiting[0] */
	size_t reach, used;  /* of @planned: index of the last one taken, plus 1; number taken */
	unsigned alone;	     /* questions to ask alone before the next plan */
	unsigned alone_next; /* the value of `alone` after the next plan that fails */
};

size_t vl_answer_size(const struct vl_question *q, const struct vl_answer *a)
{
	int64_t n = vl_question_opens(q) ? a->n : a->ret;

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

static void free_answers(struct vl_ahead *a)
{
	for (size_t i = 0; i < a->nr_waiting; i++)
		free(a->waiting[i].bytes);
	a->nr_waiting = 0;
}

/* Drop the answers that wait, and the plan. */
static void drop_answers(struct vl_ahead *a)
{
	free_answers(a);
	a->planned = NULL;
	a->followed = a->prefetched = false;
	a->from = a->reach = a->used = 0;
}

/*
 * The program asks about another process or file. Shorten the list of the plan if most of it was
 * not used, then drop the plan.
 */
static void end_plan(struct vl_ahead *a)
{
	struct list *l = a->planned;

	if (l && !a->followed)
		l->follows = 0;
	/* Most answers were not used: the list is of another kind of process. */
	if (l && 2 * a->used < l->nr)
		l->nr = a->reach;
	drop_answers(a);
}

void vl_ahead_expire(struct vl_ahead *a)
{
	for (size_t i = 0; i < a->nr_waiting; i++)
		if (!a->waiting[i].taken) {
			drop_answers(a);
			return;
		}
}

bool vl_answer_needs_file(const struct vl_question *q, const struct vl_answer *a)
{
	return vl_question_opens(q) && a->ret >= 0 && (a->n < 0 || a->n >= q->len);
}

void vl_ahead_close(struct vl_ahead *a)
{
	for (size_t i = 0; i < a->nr_waiting; i++)
		a->waiting[i].taken |=
			vl_answer_needs_file(&a->waiting[i].q, &a->waiting[i].answer);
}

void vl_ahead_carry(struct vl_ahead *a, uint64_t epoch)
{
	vl_ahead_close(a);
	a->epoch = epoch;
}

void vl_ahead_drop(struct vl_ahead *a)
{
	/* Do not correct the list as end_plan() does: the program has not moved on by itself. */
	drop_answers(a);
	a->learning = a->begun = NULL;
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

/* Entry @i of the plan was asked. */
static void use(struct vl_ahead *a, size_t i)
{
	a->used++;
	if (a->reach <= i)
		a->reach = i + 1;
}

/* The index of @q in @l; l->nr: it is not there. */
static size_t index_in(const struct list *l, const struct vl_question *q)
{
	size_t i = 0;

	while (i < l->nr && !vl_question_same(&l->next[i], q))
		i++;
	return i;
}

bool vl_ahead_take(struct vl_ahead *a, uint64_t epoch, const char *base,
		   const struct vl_question *q, struct vl_answer *ret, void *buf)
{
	if (a->epoch != epoch)
		drop_answers(a);
	if (strcmp(a->base, base) != 0) {
		end_plan(a);
		vl_ahead_drop(a);
		strcpy(a->base, base);
	}
	a->epoch = epoch;
	for (size_t i = 0; i < a->nr_waiting; i++) {
		struct waiting *w = &a->waiting[i];

		if (w->taken || !vl_question_same(&w->q, q))
			continue;
		*ret = w->answer;
		if (w->bytes)
			memcpy(buf, w->bytes, vl_answer_size(q, ret));
		w->taken = true;
		use(a, a->from + i);
		return true;
	}
	return false;
}

static struct list *find(struct vl_ahead *a, const struct vl_question *q)
{
	for (size_t i = 0; i < a->nr_lists; i++)
		if (vl_question_same(&a->lists[i].first, q))
			return &a->lists[i];
	return NULL;
}

static void add(struct list *l, const struct vl_question *q)
{
	if (l->nr < VL_AHEAD_MAX - 1)
		l->next[l->nr++] = *q;
}

/*
 * @q has no answer though all answers of the plan were used. Return the plan's list if that is
 * so again and again: it ends too early, as it was made at another kind of process.
 */
static struct list *ends_early(struct vl_ahead *a, const struct vl_question *q)
{
	struct list *l = a->planned;

	if (!l || a->used < l->nr || a->followed)
		return NULL;
	a->followed = true;
	if (!l->follows || !vl_question_same(&l->follow, q)) {
		l->follow = *q;
		l->follows = 0;
	}
	if (++l->follows < FOLLOWS)
		return NULL;
	l->follows = 0;
	return l;
}

/* Add @q and what follows it to @l. */
static void lengthen(struct list *l, const struct vl_question *q, const struct list *more)
{
	add(l, q);
	for (size_t i = 0; more && more != l && i < more->nr; i++)
		add(l, &more->next[i]);
}

/* Put the questions of @l from @from on behind the first one of @ret; their number in all. */
static size_t plan(struct vl_ahead *a, struct list *l, size_t from, size_t max_size,
		   struct vl_question ret[VL_AHEAD_MAX])
{
	size_t nr = 1, at = vl_answer_next(0, ret[0].len);

	a->planned = l;
	a->from = from;
	for (size_t i = from; i < l->nr; i++) {
		at = vl_answer_next(at, l->next[i].len);
		if (at > max_size)
			break;
		ret[nr++] = l->next[i];
	}
	return nr;
}

size_t vl_ahead_plan(struct vl_ahead *a, const struct vl_question *q, size_t max_size,
		     struct vl_question ret[VL_AHEAD_MAX])
{
	struct list *l = a->planned, *early;

	ret[0] = *q;
	if (a->learning) {
		add(a->learning, q);
		return 1;
	}
	/* A prefetch that was to bring it ended early. */
	if (l && a->prefetched && index_in(l, q) < l->nr) {
		size_t i = index_in(l, q);

		free_answers(a);
		use(a, i);
		return plan(a, l, i + 1, max_size, ret);
	}
	early = ends_early(a, q);
	l = find(a, q);
	if (l)
		end_plan(a);
	if (early)
		lengthen(early, q, l);
	if (!l && a->nr_lists < LISTS_MAX) {
		a->learning = &a->lists[a->nr_lists++];
		*a->learning = (struct list){ .first = *q };
	}
	if (!l)
		return 1;
	if (!a->begun)
		a->begun = l;
	if (a->alone) {
		a->alone--;
		return 1;
	}
	return plan(a, l, 0, max_size, ret);
}

void vl_ahead_prefetched(struct vl_ahead *a, const struct vl_question *q)
{
	struct list *l = a->planned;

	if (!a->begun && !a->learning) {
		a->begun = a->planned = find(a, q);
		a->prefetched = true;
		return;
	}
	if (l && index_in(l, q) < l->nr)
		use(a, index_in(l, q));
}

size_t vl_ahead_questions(const struct vl_ahead *a, struct vl_question ret[VL_AHEAD_MAX])
{
	const struct list *l = a->begun;

	if (!l || a->learning)
		return 0;
	ret[0] = l->first;
	memcpy(ret + 1, l->next, l->nr * sizeof(*ret));
	return l->nr + 1;
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
		a->planned->nr = a->from + a->nr_waiting;
}

void vl_ahead_judge(struct vl_ahead *a, bool failed)
{
	a->alone_next = failed ? 2 * a->alone_next + 1 : a->alone_next / 2;
	if (a->alone_next > ALONE_MAX)
		a->alone_next = ALONE_MAX;
	a->alone = failed ? a->alone_next : 0;
	if (failed)
		drop_answers(a);
}
