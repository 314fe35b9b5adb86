/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Compares the guest's text with the trusted one, and keeps the findings. */
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../base/bisect.h"
#include "trusted.h"

/* --- the guest's memory --- */

bool vl_trusted_read(void *ctx, uint64_t va, void *buf, size_t len)
{
	const struct vl_trusted *t = ctx;
	struct vl_target *target = t->attach->target;
	uint64_t at = va - t->va;

	if (at < t->size && len <= t->size - at)
		return !vl_discard(vl_target_read(target, t->gpa + at, buf, len));
	return vl_target_read_virt(target, &t->attach->pt, va, buf, len);
}

/* The time in ns for which a page that was read counts as current. */
#define RECENT_NS 10000000UL

/*
 * Pages of the text that were read just now. Thousands of call sites depend on where a trampoline
 * leads, and all trampolines are on a few pages. A slot is for the page numbers that end in its
 * number.
 */
struct vl_trusted_pages {
	struct {
		uint64_t at, read_ns; /* in bytes from the start of the text; when, 0: never */
		unsigned char bytes[VL_PAGE_SIZE];
	} slots[16];
};

struct vl_trusted_pages *vl_trusted_pages_create(void)
{
	return calloc(1, sizeof(struct vl_trusted_pages));
}

/* vl_trusted_read() with these pages, to be called under the lock. */
static bool read_recent(void *ctx, uint64_t va, void *buf, size_t len)
{
	struct vl_trusted *t = ctx;
	uint64_t at = va - t->va, page = at & VL_PAGE_MASK, now = vl_now_ns();
	struct vl_trusted_pages *p = t->pages;
	size_t i = page / VL_PAGE_SIZE % ARRAY_SIZE(p->slots);

	t->outside |= at >= t->size;
	if (at >= t->size || len > VL_PAGE_SIZE - at % VL_PAGE_SIZE)
		return vl_trusted_read(t, va, buf, len);
	if (p->slots[i].at != page || now - p->slots[i].read_ns > RECENT_NS) {
		p->slots[i].read_ns = 0;
		p->slots[i].at = page;
		if (vl_discard(vl_target_read(t->attach->target, t->gpa + page, p->slots[i].bytes,
					      VL_PAGE_SIZE)))
			return false;
		p->slots[i].read_ns = now;
	}
	memcpy(buf, p->slots[i].bytes + (at - page), len);
	return true;
}

/* --- findings --- */

static void keep(struct vl_trusted *t, const struct vl_trust_finding *f)
{
	for (size_t i = 0; i < t->nr_found; i++)
		if (t->found[i].va == f->va && t->found[i].len == f->len)
			return;
	/* A page can be compared again: what is not kept would count twice. */
	if (t->nr_found == VL_TRUSTED_FINDINGS_MAX) {
		t->nr_all += t->whole;
		return;
	}
	t->nr_all++;
	if (vl_grow(t->found, t->cap_found, t->nr_found, 16))
		t->found[t->nr_found++] = *f;
}

/* Do both lead to the same address? A tracer of all functions has tens of thousands of sites. */
static bool same_thing(const struct vl_trust_finding *a, const struct vl_trust_finding *b)
{
	return a->kind == b->kind && a->class == b->class && a->target && a->target == b->target;
}

/*
 * Make room for one more at @at: drop one that is like the one in front of it. False: there is
 * none, or what is to be kept is such a one itself.
 */
static bool make_room(struct vl_trusted *t, const struct vl_trust_finding *f, size_t *at)
{
	size_t i = 1;

	if ((*at && same_thing(f, &t->attached[*at - 1])) ||
	    (*at < t->nr_kept && same_thing(f, &t->attached[*at])))
		return false;
	while (i < t->nr_kept && !same_thing(&t->attached[i], &t->attached[i - 1]))
		i++;
	if (i == t->nr_kept)
		return false;
	t->nr_kept--;
	memmove(t->attached + i, t->attached + i + 1, (t->nr_kept - i) * sizeof(*t->attached));
	*at -= *at > i;
	return true;
}

void vl_trusted_keep_attached(struct vl_trusted *t, const struct vl_trust_finding *f)
{
	size_t at = vl_bisect(i, t->nr_kept, t->attached[i].va < f->va);

	if (at < t->nr_kept && t->attached[at].va == f->va)
		return;
	if (t->nr_kept == VL_TRUSTED_ATTACHED_MAX && !make_room(t, f, &at)) {
		t->nr_attached += t->whole;
		return;
	}
	if (!vl_grow(t->attached, t->cap_attached, t->nr_kept, 16))
		return;
	memmove(t->attached + at + 1, t->attached + at, (t->nr_kept - at) * sizeof(*t->attached));
	t->attached[at] = *f;
	t->nr_kept++;
	t->nr_attached++;
}

struct found {
	struct vl_trusted *t;
	bool any;
};

/*
 * An attachment is not a finding. An int3 is a finding, unless the kernel is changing the site at
 * this moment: vl_trusted_recheck() decides. In all cases the trusted form runs.
 */
static void found(void *ctx, const struct vl_trust_finding *f)
{
	struct found *c = ctx;
	struct vl_trusted *t = c->t;

	/* The page is not marked as right. */
	c->any = true;
	if (f->kind == VL_TRUST_ATTACHED || f->kind == VL_TRUST_SWITCHED)
		vl_trusted_keep_attached(t, f);
	if (f->kind == VL_TRUST_CHANGED || f->kind == VL_TRUST_POKE)
		keep(t, f);
}

static struct vl_error *check(struct found *c, const struct vl_trust *what, uint64_t va,
			      const void *guest, size_t len, void *out)
{
	const struct vl_trust_memory memory = { read_recent, c->t };

	c->t->nr_pages += (len + VL_PAGE_SIZE - 1) / VL_PAGE_SIZE;
	return vl_trust_check(what, &memory, va, guest, len, out, found, c);
}

bool vl_trusted_check(struct vl_trusted *t, const struct vl_trust *what, uint64_t va,
		      const void *guest, size_t len, void *out)
{
	struct found c = { .t = t };
	struct vl_error *err;

	pthread_mutex_lock(&t->lock);
	err = check(&c, what, va, guest, len, out);
	pthread_mutex_unlock(&t->lock);
	return !vl_discard(err);
}

void vl_trusted_check_page(struct vl_trusted *t, uint64_t at, const void *page)
{
	struct found c = { .t = t };
	bool right;

	pthread_mutex_lock(&t->lock);
	t->outside = false;
	right = !vl_discard(check(&c, t->trust, t->va + at, page, VL_PAGE_SIZE, NULL));
	right = right && !c.any && !t->outside;
	pthread_mutex_unlock(&t->lock);
	vl_trusted_mark(t, at, page, right);
}
