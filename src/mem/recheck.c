/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions to a running guest: records the pages that they touch and the content that was
 * read, and rechecks whether that has changed.
 *
 * A touch is noticed only if the page is missing when the question begins, and then costs a
 * fault. So pages that nearly all questions touch stay, and the others linger: to recheck a
 * page that was not touched costs a fiftieth of a fault. A page that stays and then changes
 * may be dropped, as perhaps no question needs it any more. Time is counted in questions and
 * rechecks, so that this works the same on a slow host.
 *
 * A busy guest changes some pages during every question. So when pages have changed, all are
 * read until they are of one point in time, and the question is asked again on these: if it touches
 * no other page, its answer is of that point in time.
 */
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "snapshot-internal.h"

/* Answers for which a page lingers. A program asks up to 7 questions about a process. */
#define LINGER 96
/* With more pages than this none lingers: one question to a large guest can touch thousands. */
#define HELD_MAX 4096
/*
 * A fault on a page within this many answers of the last one, or in the epoch after the next one
 * at the latest, counts as one more use of it.
 */
#define NEAR (2 * LINGER)
#define NEAR_EPOCHS 2
/* Uses from which on a page stays. */
#define STAY_USES 3
/* If more pages than this stay, drop the older half: the program has moved on to other pages. */
#define STAY_MAX 1280
/* Pages recorded at most: 256 MiB. */
#define KNOWN_MAX 65536
/*
 * At most so many times all pages are read; and in each of these rounds the pages that keep
 * changing.
 */
#define ROUNDS 4
#define HOT_ROUNDS 16

void vl_recheck_deinit(struct vl_recheck *r)
{
	for (size_t i = 0; i < r->nr; i++)
		free(r->v[i].was);
	free(r->v);
	free(r->slots);
	free(r->held);
	memset(r, 0, sizeof(*r));
}

static size_t slot_of(const struct vl_recheck *r, uint64_t gpa)
{
	return (size_t)((gpa / VL_PAGE_SIZE * 0x9e3779b97f4a7c15) >> 20) & (r->nr_slots - 1);
}

static void place(struct vl_recheck *r, size_t index)
{
	size_t at = slot_of(r, r->v[index].gpa);

	while (r->slots[at])
		at = (at + 1) & (r->nr_slots - 1);
	r->slots[at] = (uint32_t)index + 1;
}

/* Double the space. At least half of the slots stay free. */
static bool grow(struct vl_recheck *r)
{
	size_t cap = r->cap ? 2 * r->cap : 1024;
	struct vl_recheck_page *v = reallocarray(r->v, cap, sizeof(*v));
	uint32_t *slots = calloc(2 * cap, sizeof(*slots));
	uint32_t *held = reallocarray(r->held, cap, sizeof(*held));

	if (v)
		r->v = v;
	if (held)
		r->held = held;
	if (!v || !slots || !held) {
		free(slots);
		return false;
	}
	free(r->slots);
	r->slots = slots;
	r->nr_slots = 2 * cap;
	r->cap = cap;
	for (size_t i = 0; i < r->nr; i++)
		place(r, i);
	return true;
}

static struct vl_recheck_page *find(struct vl_recheck *r, uint64_t gpa)
{
	for (size_t at = slot_of(r, gpa); r->nr_slots && r->slots[at];
	     at = (at + 1) & (r->nr_slots - 1))
		if (r->v[r->slots[at] - 1].gpa == gpa)
			return &r->v[r->slots[at] - 1];
	return NULL;
}

static struct vl_recheck_page *add(struct vl_recheck *r, uint64_t gpa)
{
	struct vl_recheck_page *p = find(r, gpa);

	if (p)
		return p;
	if (r->nr == r->cap && !grow(r))
		return NULL;
	p = &r->v[r->nr];
	*p = (struct vl_recheck_page){ .gpa = gpa };
	place(r, r->nr++);
	return p;
}

unsigned char *vl_recheck_fill(struct vl_snapshot *v, uint64_t gpa)
{
	struct vl_recheck *r = &v->pages;
	struct vl_recheck_page *p = add(r, gpa);

	atomic_store(&r->whole, false);
	if (p && !p->was)
		p->was = malloc(VL_PAGE_SIZE);
	if (!p || !p->was) {
		r->full = true;
		return NULL;
	}
	p->uses = r->time - p->touched <= NEAR || r->epochs - p->epoch <= NEAR_EPOCHS ?
			  p->uses + 1 :
			  1;
	p->touched = r->time;
	p->epoch = r->epochs;
	if (!p->has)
		r->held[r->nr_held++] = (uint32_t)(p - r->v);
	p->has = true;
	if (p->uses >= STAY_USES && !p->stays) {
		p->stays = true;
		r->nr_stays++;
	}
	return p->was;
}

static void *host_of(const struct vl_snapshot *v, const struct vl_recheck_page *p)
{
	return vl_snapshot_host(v, p->gpa, VL_PAGE_SIZE);
}

/* The caller drops the page itself. */
static void forget(struct vl_snapshot *v, struct vl_recheck_page *p)
{
	free(p->was);
	p->was = NULL;
	p->has = false;
	v->pages.nr_stays -= p->stays;
	p->stays = false;
}

/*
 * Start empty: drop the pages that the snapshot has from before, as no question has touched them.
 */
static struct vl_error *begin(struct vl_snapshot *v)
{
	vl_recheck_deinit(&v->pages);
	v->asking = true;
	vl_snapshot_keep(v, NULL, 0);
	return NULL;
}

/* A page that stays is dropped now if it was last touched before this time. */
static uint64_t stay_since(const struct vl_recheck *r)
{
	uint64_t oldest = r->time;

	if (r->nr_stays <= STAY_MAX)
		return 0;
	for (size_t i = 0; i < r->nr_held; i++) {
		const struct vl_recheck_page *p = &r->v[r->held[i]];

		if (p->stays && p->touched < oldest)
			oldest = p->touched;
	}
	return oldest + (r->time - oldest) / 2 + 1;
}

static int by_address(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/*
 * Drop the pages that few questions touch. Contiguous pages go in one call, as the calls take most
 * of the time. New processes have many contiguous ones, as the kernel allocates a process's
 * structures together.
 */
static struct vl_error *drop_old(struct vl_snapshot *v)
{
	struct vl_recheck *r = &v->pages;
	_cleanup_free_ uint64_t *gpas = reallocarray(NULL, r->nr_held + 1, sizeof(*gpas));
	uint64_t since = stay_since(r), linger = r->nr_held > HELD_MAX ? 0 : LINGER;
	size_t nr = 0;

	if (!gpas)
		return vl_error_nomem();
	for (size_t i = r->nr_held; i-- > 0;) {
		struct vl_recheck_page *p = &r->v[r->held[i]];

		if (p->stays ? p->touched >= since : r->time - p->touched <= linger)
			continue;
		gpas[nr++] = p->gpa;
		forget(v, p);
		r->held[i] = r->held[--r->nr_held];
	}
	qsort(gpas, nr, sizeof(*gpas), by_address);
	vl_snapshot_drop_all(v, gpas, nr);
	return NULL;
}

enum which { ALL, HOT, COLD };

struct reading {
	struct vl_snapshot *v;
	enum which which;
	size_t changed;
};

static uint64_t held_at(void *ctx, size_t i)
{
	const struct reading *c = ctx;
	const struct vl_recheck *r = &c->v->pages;
	const struct vl_recheck_page *p = &r->v[r->held[i]];

	return c->which == ALL || p->hot == (c->which == HOT) ? p->gpa : VL_NO_PAGE;
}

static void compare(void *ctx, size_t i, const void *now)
{
	struct reading *c = ctx;
	struct vl_recheck *r = &c->v->pages;
	struct vl_recheck_page *p = &r->v[r->held[i]];

	if (!memcmp(now, p->was, VL_PAGE_SIZE))
		return;
	memcpy(p->was, now, VL_PAGE_SIZE);
	/* If a question still needs the page, it faults after the drop, and the page comes back. */
	r->nr_stays -= p->stays;
	p->stays = false;
	p->uses = 0;
	p->hot = true;
	c->changed++;
}

/* Read @which of the held pages again, and keep the new content of those that have changed. */
static struct vl_error *read_again(struct vl_snapshot *v, enum which which, size_t *changed)
{
	struct reading c = { v, which, v->pages.full };
	struct vl_error *err = vl_snapshot_read_now(v, v->pages.nr_held, held_at, compare, &c);

	*changed = c.changed;
	return err;
}

/*
 * Read the held pages until all are of one point in time. *@changed: pages that the first reading
 * found changed.
 */
static struct vl_error *read_agreeing(struct vl_snapshot *v, size_t *changed)
{
	struct vl_recheck *r = &v->pages;
	struct vl_error *err = read_again(v, ALL, changed);
	size_t nr = *changed;

	r->restless = nr;
	/* Pages that change from here on are hot. */
	for (size_t i = 0; i < r->nr_held; i++)
		r->v[r->held[i]].hot = false;
	for (unsigned i = 0; !err && nr && i < ROUNDS; i++) {
		/*
		 * If two readings of the hot pages agree, and the cold ones have not changed
		 * since before, all pages had this content between these two readings.
		 */
		for (unsigned j = 0; !err && nr && j < HOT_ROUNDS; j++)
			err = read_again(v, HOT, &nr);
		if (err || nr)
			break;
		err = read_again(v, COLD, &nr);
	}
	atomic_store(&r->whole, !err && !nr);
	return err;
}

struct vl_error *vl_snapshot_recheck(struct vl_snapshot *v, unsigned questions, size_t *changed_ret)
{
	struct vl_error *err;

	pthread_mutex_lock(&v->lock);
	err = read_agreeing(v, changed_ret);
	v->pages.time += questions;
	atomic_store(&v->released, false);
	pthread_mutex_unlock(&v->lock);
	return err;
}

struct vl_error *vl_snapshot_ask(struct vl_snapshot *v, bool again)
{
	struct vl_recheck *r = &v->pages;
	struct vl_error *err = NULL;
	size_t changed;

	pthread_mutex_lock(&v->lock);
	if (!again)
		atomic_store(&v->released, false);
	atomic_store(&v->missed, false);
	if (!v->asking)
		v->asked_more = false;
	if (!v->asking || r->full || (!again && r->nr > KNOWN_MAX)) {
		v->asked_more |= v->asking;
		err = begin(v);
	}
	r->time += !again;
	r->epochs += !again;
	if (!again) {
		atomic_store(&r->whole, false);
		if (!err)
			err = drop_old(v);
		if (!err && r->restless)
			err = read_agreeing(v, &changed);
	}
	for (size_t i = 0; i < r->nr_held; i++) {
		const struct vl_recheck_page *p = &r->v[r->held[i]];
		void *host = host_of(v, p);

		if (memcmp(host, p->was, VL_PAGE_SIZE))
			memcpy(host, p->was, VL_PAGE_SIZE);
	}
	pthread_mutex_unlock(&v->lock);
	return err;
}

bool vl_snapshot_is_whole(const struct vl_snapshot *v)
{
	return atomic_load(&v->pages.whole);
}

void vl_snapshot_doubt(struct vl_snapshot *v)
{
	pthread_mutex_lock(&v->lock);
	v->pages.restless = true;
	pthread_mutex_unlock(&v->lock);
}

struct vl_error *vl_snapshot_take(struct vl_snapshot *v)
{
	struct vl_recheck *r = &v->pages;
	uint64_t *gpas = reallocarray(NULL, r->nr_held + 1, sizeof(*gpas));
	void **bufs = reallocarray(NULL, r->nr_held + 1, sizeof(*bufs));
	struct vl_error *err = gpas && bufs ? NULL : vl_error_nomem();
	size_t nr = r->nr_held;

	pthread_mutex_lock(&v->lock);
	atomic_store(&r->whole, false);
	for (size_t i = 0; !err && i < nr; i++) {
		gpas[i] = r->v[r->held[i]].gpa;
		bufs[i] = r->v[r->held[i]].was;
	}
	if (!err && nr)
		err = vl_target_read_pages(v->target, gpas, bufs, nr);
	atomic_store(&v->released, true);
	pthread_mutex_unlock(&v->lock);
	free(gpas);
	free(bufs);
	return err;
}

size_t vl_snapshot_asked(const struct vl_snapshot *v)
{
	return v->pages.nr_held;
}

struct vl_error *vl_snapshot_all_asked(const struct vl_snapshot *v, uint64_t **gpas, size_t *nr)
{
	size_t n = *nr, kept = 0;
	uint64_t *all;

	if (v->asked_more)
		return vl_error_new(VL_ERR_SPENT, "questions have touched too many pages");
	all = reallocarray(*gpas, *nr + v->pages.nr + 1, sizeof(*all));
	if (!all)
		return vl_error_nomem();
	for (size_t i = 0; i < v->pages.nr; i++)
		all[n++] = v->pages.v[i].gpa;
	qsort(all, n, sizeof(*all), by_address);
	for (size_t i = 0; i < n; i++)
		if (!kept || all[kept - 1] != all[i])
			all[kept++] = all[i];
	*gpas = all;
	*nr = kept;
	return NULL;
}

void vl_snapshot_ask_end(struct vl_snapshot *v)
{
	if (!v->asking)
		return;
	pthread_mutex_lock(&v->lock);
	vl_recheck_deinit(&v->pages);
	v->asking = false;
	pthread_mutex_unlock(&v->lock);
}
