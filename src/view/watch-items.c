/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The entries of a list that a watch reads as a whole. The guest chooses their number and
 * addresses. So known entries are sorted, and found by bisection.
 */
#include <stdlib.h>
#include <string.h>

#include "../base/bisect.h"
#include "watching.h"

bool vl_items_begin(struct vl_watch_items *l, size_t nr)
{
	struct vl_watch_item *items = reallocarray(l->items, l->nr + nr + 1, sizeof(*items));

	if (!items)
		return false;
	l->items = items;
	l->nr_sorted = l->nr;
	return true;
}

static int compare(const void *a, const void *b)
{
	const struct vl_watch_item *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return (x->what > y->what) - (x->what < y->what);
}

struct vl_watch_item *vl_items_see(struct vl_watch_items *l, uint64_t at, uint64_t what)
{
	const struct vl_watch_item key = { .at = at, .what = what };
	size_t place = vl_bisect(k, l->nr_sorted, compare(&l->items[k], &key) < 0);
	struct vl_watch_item *i = &l->items[place];

	if (place == l->nr_sorted || compare(i, &key) != 0) {
		i = &l->items[l->nr++];
		*i = key;
	}
	i->here = true;
	i->missed = 0;
	i->seen++;
	return i;
}

void vl_items_end(struct vl_watch_items *l, void (*gone)(void *ctx, struct vl_watch_item *i),
		  void *ctx)
{
	size_t kept = 0;

	l->pending = false;
	for (size_t k = 0; k < l->nr; k++) {
		struct vl_watch_item *i = &l->items[k];

		if (!i->here) {
			i->seen = 0;
			if (!i->told || ++i->missed >= 2) {
				gone(ctx, i);
				continue;
			}
		}
		l->pending = l->pending || i->missed || (!i->told && i->seen < 2);
		i->here = false;
		if (kept != k)
			l->items[kept] = *i;
		kept++;
	}
	l->nr = kept;
	l->known = true;
	if (kept)
		qsort(l->items, kept, sizeof(*l->items), compare);
}

static int compare_addresses(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

size_t vl_items_sort(void *records, size_t nr, size_t size)
{
	char *r = records;
	size_t kept = 0;

	if (nr)
		qsort(r, nr, size, compare_addresses);
	for (size_t i = 0; i < nr; i++) {
		if (kept && !compare_addresses(r + i * size, r + (kept - 1) * size))
			continue;
		if (kept != i)
			memcpy(r + kept * size, r + i * size, size);
		kept++;
	}
	return kept;
}
