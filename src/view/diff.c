/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Comparison of one list, read by several ways: an item that is hidden from one shows in
 * another.
 */
#include "diff.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/append.h"
#include "../base/array.h"
#include "../host/file.h"
#include "../syscall/answer.h"

/*
 * On a running guest an item can come or go at any moment, so a difference counts only if it is
 * in each of several passes.
 */
#define LOOKS 3
#define LOOK_NS 20000000L
/*
 * Tries of one pass, if the kernel cannot answer at that moment. They suffice for a guest that
 * never rests: after some tries an answer is taken as it comes (guest/epoch.c). A dump stays
 * the same, but its call may have timed out on a busy host.
 */
#define TRIES 16
#define DUMP_TRIES 2
#define TRY_NS 2000000L

void vl_diff_see(struct vl_diff_items *l, uint64_t key, const char *name, size_t len,
		 uint64_t address, unsigned bit, bool passing)
{
	struct vl_diff_item *it;

	if (!vl_grow(l->v, l->cap, l->nr, 256)) {
		l->full = true;
		return;
	}
	it = &l->v[l->nr++];
	*it = (struct vl_diff_item){
		.key = key, .address = address, .shown = bit, .passing = passing
	};
	memcpy(it->name, name, len < sizeof(it->name) ? len : sizeof(it->name) - 1);
}

static int compare(const void *a, const void *b)
{
	const struct vl_diff_item *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->key ? 0 : strcmp(x->name, y->name);
}

/* Merge items that are the same thing. */
static void merge(struct vl_diff_items *l)
{
	size_t nr = 0;

	if (l->nr)
		qsort(l->v, l->nr, sizeof(*l->v), compare);
	for (size_t i = 0; i < l->nr; i++) {
		struct vl_diff_item *it = &l->v[i], *last = nr ? &l->v[nr - 1] : NULL;

		if (!last || compare(last, it)) {
			l->v[nr++] = *it;
			continue;
		}
		last->shown |= it->shown;
		last->passing = last->passing || it->passing;
		if (!last->name[0])
			memcpy(last->name, it->name, sizeof(last->name));
		if (!last->address)
			last->address = it->address;
		else if (it->address && it->address != last->address)
			last->split = true;
	}
	l->nr = nr;
}

#define CHUNK (256U << 10)
#define ANSWER_MAX (64U << 20)

struct vl_error *vl_diff_ask(struct vl_sys *sys, const char *path, const char *call, char **ret,
			     size_t *len_ret)
{
	bool lists = !strcmp(call, "getdents64");
	struct vl_listed seen = { 0 };
	struct vl_error *err;
	char *buf = NULL;
	int64_t fd, n;
	size_t len = 0;

	err = VL_SYS_CALL(sys, "openat", &fd, VL_ARG_INT(AT_FDCWD), VL_ARG_STR(path),
			  VL_ARG_INT(O_RDONLY | O_CLOEXEC), VL_ARG_INT(0));
	if (!err && fd < 0)
		err = vl_error_new(VL_ERR_KERNEL, "cannot open %s in the guest: %s", path,
				   strerror((int)-fd));
	while (!err) {
		char *more;

		if (len >= ANSWER_MAX) {
			err = vl_error_new(VL_ERR_BLOCKED, "%s of the guest does not end", path);
			break;
		}
		more = realloc(buf, len + CHUNK);
		if (!more) {
			err = vl_error_nomem();
			break;
		}
		buf = more;
		err = VL_SYS_CALL(sys, call, &n, VL_ARG_INT(fd), VL_ARG_OUT(buf + len, CHUNK),
				  VL_ARG_INT(CHUNK));
		if (!err && n < 0)
			err = vl_error_new(VL_ERR_KERNEL, "cannot read %s in the guest: %s", path,
					   strerror((int)-n));
		if (err || !n)
			break;
		if (lists && vl_listed_add(&seen, buf + len, (size_t)n) == -ELOOP)
			err = vl_error_new(VL_ERR_BLOCKED,
					   "the guest's list of %s leads back to itself", path);
		len += (size_t)n;
	}
	if (err) {
		free(buf);
		return err;
	}
	*ret = buf;
	*len_ret = len;
	return NULL;
}

/* ---- passes ---- */

static bool is_momentary(const struct vl_error *err)
{
	return err->code == VL_ERR_BLOCKED || err->code == VL_ERR_CRASHED;
}

static struct vl_error *read_once(struct vl_sys *sys, const char *path, char **ret, size_t *len_ret)
{
	struct vl_error *err = sys->ops->begin(sys), *late;
	char *more;

	if (err)
		return err;
	err = vl_diff_ask(sys, path, "read", ret, len_ret);
	late = sys->ops->validate ? sys->ops->validate(sys) : NULL;
	sys->ops->end(sys);
	if (!err) {
		more = realloc(*ret, *len_ret + 1);
		if (more)
			*ret = more;
		else
			late = vl_error_first(late, vl_error_nomem());
	}
	if (!err && !late)
		(*ret)[*len_ret] = '\0';
	else if (!err)
		free(*ret);
	return vl_error_first(err, late);
}

/* Wait a moment before the next try: a task that is in the middle of something needs a CPU. */
static void wait_for(unsigned try)
{
	nanosleep(&(struct timespec){ .tv_nsec = try * TRY_NS }, NULL);
}

struct vl_error *vl_diff_read(const struct vl_raw_guest *g, struct vl_sys *sys, const char *path,
			      char **ret, size_t *len_ret)
{
	unsigned tries = vl_target_is_live(g->target) ? TRIES : DUMP_TRIES;

	for (unsigned try = 1;; try++) {
		struct vl_error *err = read_once(sys, path, ret, len_ret);

		if (!err || !is_momentary(err) || try == tries) {
			if (err)
				*ret = NULL;
			return err;
		}
		vl_error_destroy(err);
		wait_for(try);
	}
}

/*
 * Follow way @i. What it needs and the file lacks is an error, too; but what the way shows counts
 * then.
 */
static struct vl_error *go_way(struct vl_comparison *k, size_t i, struct vl_diff_items *items)
{
	const uint64_t before = vl_target_misses(k->g->target);
	struct vl_error *err = k->kind->ways[i].go(k, items, 1U << i);
	struct vl_error *missed = vl_target_missed_since(k->g->target, before);

	k->cut &= ~(1U << i);
	if (missed && !err)
		k->cut |= 1U << i;
	return vl_error_first(err, missed);
}

/*
 * Follow once all ways that the guest's own code answers (@own), or all others, in one epoch, and
 * note those that fail. It is an error if the kernel cannot answer at this moment; with @final that
 * is noted, too.
 */
static struct vl_error *go_ways(struct vl_comparison *k, struct vl_diff_items *items, bool final,
				bool own)
{
	struct vl_error *err = k->sys->ops->begin(k->sys);
	bool open = !err;

	if (err && !(final && is_momentary(err)))
		return err;
	for (size_t i = 0; i < k->kind->nr_ways; i++) {
		const struct vl_diff_way *way = &k->kind->ways[i];
		struct vl_error *why;

		if (way->own != own)
			continue;
		if (way->kernel && !open) {
			why = err;
			err = NULL;
		} else {
			why = vl_scan_bears(k->g, way->fields ? way->fields : vl_scan_asks,
					    way->name);
			if (!why)
				why = go_way(k, i, items);
		}
		if (why && is_momentary(why) && !final) {
			/*
			 * Validate now: if pages have changed, the next try gets all of them as of
			 * one point in time.
			 */
			if (open && k->sys->ops->validate)
				vl_error_destroy(k->sys->ops->validate(k->sys));
			k->sys->ops->end(k->sys);
			return why;
		}
		vl_error_destroy(k->why[i]);
		k->why[i] = why;
	}
	vl_error_destroy(err);
	err = open && k->sys->ops->validate ? k->sys->ops->validate(k->sys) : NULL;
	k->sys->ops->end(k->sys);
	return err;
}

/*
 * The same, with some tries. They use the same session, which knows by then which pages it needs.
 */
static struct vl_error *try_ways(struct vl_comparison *k, struct vl_diff_items *items, bool own)
{
	unsigned tries = vl_target_is_live(k->g->target) ? TRIES : DUMP_TRIES;
	struct vl_error *err = NULL;
	size_t mark = items->nr;

	for (unsigned try = 1; try <= tries; try++) {
		vl_error_destroy(err);
		items->nr = mark;
		err = go_ways(k, items, try == tries, own);
		if (!err || !is_momentary(err) || try == tries)
			break;
		wait_for(try);
	}
	return err;
}

/* The ways of @k that were followed, as bits. */
static unsigned gone(const struct vl_comparison *k)
{
	unsigned all = 0;

	for (size_t i = 0; i < k->kind->nr_ways; i++)
		if ((!k->why[i] || k->cut >> i & 1) && (k->g->own || !k->kind->ways[i].own))
			all |= 1U << i;
	return all & ~k->absent;
}

/* The ways that show all items, of those that were followed. */
static unsigned whole(const struct vl_comparison *k)
{
	unsigned all = gone(k);

	for (size_t i = 0; i < k->kind->nr_ways; i++)
		if (k->kind->ways[i].part)
			all &= ~(1U << i);
	return all & ~k->cut;
}

static struct vl_error *look(struct vl_comparison *k, struct vl_diff_items *items)
{
	struct vl_sys *sys = k->sys;
	struct vl_error *err;

	items->nr = 0;
	items->full = false;
	err = try_ways(k, items, false);
	if (!err && k->g->own) {
		k->sys = k->g->own;
		err = try_ways(k, items, true);
		k->sys = sys;
	}
	if (!err && items->full)
		err = vl_error_nomem();
	if (err)
		return err;
	merge(items);
	for (size_t i = 0; i < items->nr; i++)
		items->v[i].hidden = whole(k) & ~items->v[i].shown;
	return NULL;
}

/* The same; once more if the guest changed during an answer of its kernel. */
static struct vl_error *look_again(struct vl_comparison *k, struct vl_diff_items *items)
{
	struct vl_error *err = look(k, items);

	if (!err || err->code != VL_ERR_BLOCKED)
		return err;
	vl_error_destroy(err);
	return look(k, items);
}

static bool differs(const struct vl_diff_item *it)
{
	return !it->passing && (it->hidden || it->split);
}

static bool any_differs(const struct vl_diff_items *l)
{
	for (size_t i = 0; i < l->nr; i++)
		if (differs(&l->v[i]))
			return true;
	return false;
}

/*
 * An item is hidden from the ways that have shown it in no pass so far. So it cannot pass as one
 * that comes or goes by changing the ways that show it.
 */
static void confirm(struct vl_diff_items *now, const struct vl_diff_items *before)
{
	for (size_t i = 0; i < now->nr; i++) {
		struct vl_diff_item *it = &now->v[i];
		const struct vl_diff_item *was =
			before->nr ? bsearch(it, before->v, before->nr, sizeof(*it), compare) :
				     NULL;

		if (!was || was->passing) {
			it->passing = true;
			continue;
		}
		it->hidden &= was->hidden;
		it->split = it->split && was->split;
	}
}

/* Add the names of the ways @ways, with @first before them: "hidden from the task list, /proc". */
static void name_ways(char *text, size_t size, const char *first, const struct vl_diff_kind *kind,
		      unsigned ways)
{
	for (size_t i = 0; i < kind->nr_ways; i++) {
		if (!(ways & 1U << i))
			continue;
		vl_append(text, size, "%s%s%s", *text ? ", " : "", first, kind->ways[i].name);
		first = "";
	}
}

/* Show the ways that lack an item, and where it was found if no way to all items shows it. */
static void show_mark(struct vl_table *t, size_t column, const struct vl_diff_kind *kind,
		      const struct vl_diff_item *it, unsigned all)
{
	char text[256] = "";

	if (it->split)
		vl_append(text, sizeof(text), "is two under one name");
	name_ways(text, sizeof(text), "hidden from ", kind, it->hidden);
	if (!(it->shown & all))
		name_ways(text, sizeof(text), "found in ", kind, it->shown);
	vl_table_str(t, column, text);
	t->nr_marked++;
}

static void show_items(struct vl_table *t, const struct vl_comparison *k,
		       const struct vl_diff_items *l)
{
	const struct vl_diff_kind *kind = k->kind;
	unsigned seen = gone(k), all = whole(k);

	for (size_t i = 0; i < l->nr; i++) {
		const struct vl_diff_item *it = &l->v[i];

		vl_table_row(t);
		if (kind->key_column >= 0)
			vl_table_uint(t, (size_t)kind->key_column, it->key);
		if (it->name[0])
			vl_table_str(t, kind->name_column, it->name);
		if (it->address)
			vl_table_uint(t, kind->address_column, it->address);
		for (size_t w = 0; w < kind->nr_ways; w++)
			if (seen & ~(k->cut & ~it->shown) & 1U << w)
				vl_table_uint(t, kind->first_column + w, it->shown >> w & 1);
		if (differs(it))
			show_mark(t, kind->first_column + kind->nr_ways, kind, it, all);
	}
}

struct vl_error *vl_diff_run(struct vl_raw_guest *g, struct vl_sys *sys,
			     const struct vl_diff_kind *kind, struct vl_table *t)
{
	const struct timespec wait = { .tv_nsec = LOOK_NS };
	struct vl_comparison k = { .g = g, .sys = sys, .kind = kind };
	struct vl_diff_items now = { .v = NULL }, before = { .v = NULL };
	struct vl_error *err = look_again(&k, &now);

	for (unsigned i = 1; !err && i < LOOKS && vl_target_is_live(g->target); i++) {
		struct vl_diff_items was = now;

		if (!any_differs(&now))
			break;
		nanosleep(&wait, NULL);
		now = before;
		before = was;
		err = look_again(&k, &now);
		if (!err)
			confirm(&now, &before);
	}
	if (!err)
		show_items(t, &k, &now);
	free(now.v);
	free(before.v);
	for (size_t i = 0; i < kind->nr_ways; i++) {
		if (!k.why[i])
			continue;
		if (err)
			vl_error_destroy(k.why[i]);
		else
			err = vl_error_prefix(k.why[i], "%s could not be compared",
					      kind->ways[i].name);
	}
	return err ? err : vl_table_end(t);
}
