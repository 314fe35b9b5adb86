/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Copies a running guest so that all pages are of one point in time: all pages are read twice. If
 * none has changed, all had this content when the second reading began ("double collect": Afek,
 * Attiya, Dolev, Gafni, Merritt, Shavit, "Atomic Snapshots of Shared Memory", 1993). A page that
 * changes and changes back between the two is not noticed: memory has no version.
 */
#include <stdlib.h>
#include <string.h>

#include "../base/clock.h"
#include "../host/proxy.h"
#include "snapshot-internal.h"

/* Pages that are not mapped and are read in one go. */
#define BATCH 4096
/* The same where this process reads the pages itself. */
#define ROOM 128
/*
 * At most so many times all pages are read; and in each of these rounds the pages that keep
 * changing.
 */
#define ROUNDS 3
#define HOT_ROUNDS 8

struct batch {
	uint64_t gpas[BATCH];
	size_t index[BATCH];
	size_t nr;
	vl_page_now_fn *fn;
	void *ctx;
	unsigned char room[ROOM][VL_PAGE_SIZE];
};

static void visit(void *ctx, size_t i, const void *page)
{
	struct batch *b = ctx;

	b->fn(b->ctx, b->index[i], page);
}

static struct vl_error *flush(struct vl_snapshot *v, struct batch *b)
{
	size_t nr = b->nr;

	b->nr = 0;
	return vl_target_visit_pages(v->target, b->gpas, nr, visit, b, b->room, ROOM);
}

struct vl_error *vl_snapshot_read_now(struct vl_snapshot *v, size_t nr, vl_page_at_fn *at,
				      vl_page_now_fn *fn, void *ctx)
{
	struct batch *b = v->batch ? v->batch : malloc(sizeof(*b));
	struct vl_error *err = NULL;

	if (!b)
		return vl_error_nomem();
	v->batch = b;
	b->nr = 0;
	b->fn = fn;
	b->ctx = ctx;
	for (size_t i = 0; !err && i < nr; i++) {
		uint64_t gpa = at(ctx, i);
		const void *now = gpa == VL_NO_PAGE ? NULL : vl_target_page(v->target, gpa);

		if (now) {
			fn(ctx, i, now);
		} else if (gpa != VL_NO_PAGE) {
			b->index[b->nr] = i;
			b->gpas[b->nr] = gpa;
			if (++b->nr == BATCH)
				err = flush(v, b);
		}
	}
	return err ? err : flush(v, b);
}

struct sums {
	struct vl_snapshot *v;
	const uint64_t *gpas;
	uint64_t *sums;
};

static uint64_t still_at(void *ctx, size_t i)
{
	const struct sums *s = ctx;

	return s->gpas[i];
}

static void sum(void *ctx, size_t i, const void *now)
{
	struct sums *s = ctx;
	struct vl_still *still = &s->v->still;
	unsigned char page[VL_PAGE_SIZE] __attribute__((aligned(64)));

	if (!still->filter) {
		vl_still_note(still, s->gpas[i], now);
		s->sums[i] = vl_still_noted(still, s->gpas[i]);
		return;
	}
	memcpy(page, now, sizeof(page));
	vl_still_filter(still, s->gpas[i], page, 1);
	s->sums[i] = vl_page_sum(page);
}

/*
 * The filter reads memory of the guest, which a visit must not: the next pages are on their way to
 * us then. So the pages are read first.
 */
static bool sum_filtered(struct sums *s, size_t nr)
{
	unsigned char(*room)[VL_PAGE_SIZE] = malloc(ROOM * sizeof(*room));
	void *bufs[ROOM];
	bool good = room;

	for (size_t i = 0; room && i < ROOM; i++)
		bufs[i] = room[i];
	for (size_t i = 0, n; good && i < nr; i += n) {
		n = nr - i < ROOM ? nr - i : ROOM;
		good = !vl_discard(vl_target_read_pages(s->v->target, s->gpas + i, bufs, n));
		for (size_t k = 0; good && k < n; k++)
			sum(s, i + k, room[k]);
	}
	free(room);
	return good;
}

bool vl_snapshot_sum_still(struct vl_snapshot *v, const uint64_t *gpas, size_t nr,
			   uint64_t *sums_ret)
{
	struct sums s = { v, gpas, sums_ret };

	for (size_t i = 0; i < nr; i++)
		if (!vl_still_has(&v->still, gpas[i]))
			return false;
	if (v->still.filter)
		return sum_filtered(&s, nr);
	return !vl_discard(vl_snapshot_read_now(v, nr, still_at, sum, &s));
}

enum which { ALL, HOT, COLD };

struct collect {
	struct vl_snapshot *v;
	uint64_t *gpas;
	bool *hot; /* the page changed between two readings */
	enum which which;
	size_t changed;
};

static uint64_t page_at(void *ctx, size_t i)
{
	const struct collect *c = ctx;

	return c->which == ALL || c->hot[i] == (c->which == HOT) ? c->gpas[i] : VL_NO_PAGE;
}

static void compare(void *ctx, size_t i, const void *now)
{
	struct collect *c = ctx;
	void *host = vl_snapshot_host(c->v, c->gpas[i], VL_PAGE_SIZE);

	if (!host || !memcmp(host, now, VL_PAGE_SIZE))
		return;
	memcpy(host, now, VL_PAGE_SIZE);
	c->hot[i] = true;
	c->changed++;
}

static struct vl_error *read_again(struct collect *c, size_t nr, enum which which)
{
	c->which = which;
	c->changed = 0;
	return vl_snapshot_read_now(c->v, nr, page_at, compare, c);
}

struct vl_error *vl_snapshot_collect(struct vl_snapshot *v, bool *ret, int64_t *at_ns)
{
	struct collect c = { .v = v };
	size_t nr;
	struct vl_error *err = vl_snapshot_pages(v, &c.gpas, &nr);

	*ret = false;
	if (err)
		return err;
	c.hot = calloc(nr + 1, sizeof(*c.hot));
	err = c.hot ? NULL : vl_error_nomem();
	*at_ns = (int64_t)vl_now_ns();
	if (!err)
		err = read_again(&c, nr, ALL);
	for (unsigned i = 0; !err && c.changed && i < ROUNDS; i++) {
		/*
		 * If two readings of the hot pages agree, and the cold ones have not changed
		 * since before, all pages had this content between these two readings.
		 */
		for (unsigned j = 0; !err && c.changed && j < HOT_ROUNDS; j++) {
			*at_ns = (int64_t)vl_now_ns();
			err = read_again(&c, nr, HOT);
		}
		if (err || c.changed)
			break;
		err = read_again(&c, nr, COLD);
	}
	*ret = !err && !c.changed;
	free(c.hot);
	free(c.gpas);
	return err;
}
