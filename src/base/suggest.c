/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "suggest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST 64
/*
 * A candidate that begins or ends with a name counts as near if the name has this many characters.
 */
#define PART 4

void vl_suggest_init(struct vl_suggest *n, const char *name, size_t len)
{
	*n = (struct vl_suggest){ .name = name, .len = len };
}

/*
 * The number of edits (insert, delete, replace, swap neighbours) from @a to @b; more than @limit
 * count as @limit + 1.
 */
static unsigned edits(const char *a, size_t la, const char *b, size_t lb, unsigned limit)
{
	unsigned rows[3][LONGEST + 1], *before = rows[0], *last = rows[1], *now = rows[2];

	for (size_t k = 0; k <= lb; k++)
		last[k] = (unsigned)k;
	for (size_t i = 1; i <= la; i++) {
		unsigned best = now[0] = (unsigned)i, *old = before;

		for (size_t k = 1; k <= lb; k++) {
			unsigned d = last[k - 1] + (a[i - 1] != b[k - 1]);

			if (last[k] + 1 < d)
				d = last[k] + 1;
			if (now[k - 1] + 1 < d)
				d = now[k - 1] + 1;
			if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] &&
			    before[k - 2] + 1 < d)
				d = before[k - 2] + 1;
			now[k] = d;
			best = d < best ? d : best;
		}
		if (best > limit)
			return limit + 1;
		before = last;
		last = now;
		now = old;
	}
	return last[lb];
}

void vl_suggest_try(struct vl_suggest *n, const char *candidate)
{
	size_t len = strlen(candidate);
	unsigned limit = n->len < 2 ? 0 : n->len < 5 ? 1 : n->len < 9 ? 2 : 3, d = limit + 1;
	size_t apart = len > n->len ? len - n->len : n->len - len;

	if (!len || len > LONGEST || n->len > LONGEST || !n->len)
		return;
	if (apart <= limit)
		d = edits(n->name, n->len, candidate, len, limit);
	if (d > limit && n->len >= PART && len > n->len &&
	    (!memcmp(candidate, n->name, n->len) ||
	     !memcmp(candidate + len - n->len, n->name, n->len)))
		d = PART + (unsigned)apart;
	else if (d > limit)
		return;
	for (size_t i = 0; i < VL_SUGGESTIONS; i++) {
		if (n->found[i] && !strcmp(n->found[i], candidate))
			return;
		if (n->found[i] && n->distance[i] <= d)
			continue;
		memmove(&n->found[i + 1], &n->found[i],
			(VL_SUGGESTIONS - i - 1) * sizeof(n->found[0]));
		memmove(&n->distance[i + 1], &n->distance[i],
			(VL_SUGGESTIONS - i - 1) * sizeof(n->distance[0]));
		n->found[i] = candidate;
		n->distance[i] = d;
		return;
	}
}

char *vl_suggest_text(const struct vl_suggest *n)
{
	char *text = NULL;

	if (!n->found[0])
		return NULL;
	if (asprintf(&text, "did you mean %s%s%s%s%s?", n->found[0], n->found[1] ? ", " : "",
		     n->found[1] ? n->found[1] : "", n->found[2] ? ", " : "",
		     n->found[2] ? n->found[2] : "") < 0)
		return NULL;
	return text;
}
