/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pointers to functions, and constants, that the guest has changed. In a snapshot, constants are
 * the image's. Of other data, which the kernel changes, the trusted image has the initial value of
 * each place (a slot) in its data. Where control would go to @va, outside of the trusted text, the
 * slots that hold @va now say which function was there.
 */
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/array.h"
#include "trusted.h"

/* Does the guest have @va in the slot? */
static bool holds(const struct vl_trusted *t, uint64_t slot, uint64_t va)
{
	uint64_t now;

	return vl_target_read_virt(t->attach->target, &t->attach->pt, slot, &now, sizeof(now)) &&
	       now == va;
}

/* One page of the image's data, and what the guest has there. */
static void look_at_page(const struct vl_trusted *t, uint64_t page, const uint64_t *own,
			 uint64_t va, struct vl_trusted_slot *ret, bool *other_ret)
{
	uint64_t now[VL_PAGE_SIZE / sizeof(uint64_t)];
	bool have = false;

	for (size_t i = 0; i < ARRAY_SIZE(now) && !*other_ret; i++) {
		if (own[i] - t->va >= t->size || !vl_trust_is_entry(t->trust, own[i]))
			continue;
		if (!have &&
		    !vl_target_read_virt(t->attach->target, &t->attach->pt, page, now, sizeof(now)))
			return;
		have = true;
		if (now[i] != va)
			continue;
		*other_ret = ret->initial && ret->initial != own[i];
		ret->slot = page + i * sizeof(uint64_t);
		ret->initial = own[i];
	}
}

/* Find the slots that hold @va now. False: there is none, or they were not all the same. */
static bool find(const struct vl_trusted *t, uint64_t va, struct vl_trusted_slot *ret)
{
	bool other = false;
	size_t len;
	uint64_t start = vl_trust_range(t->trust, &len);
	uint64_t own[VL_PAGE_SIZE / sizeof(uint64_t)];

	*ret = (struct vl_trusted_slot){ .found = va };
	for (uint64_t page = start; page - start + VL_PAGE_SIZE <= len && !other;
	     page += VL_PAGE_SIZE) {
		if (page - t->va >= t->size && vl_trust_copy(t->trust, page, own, sizeof(own)))
			look_at_page(t, page, own, va, ret, &other);
	}
	return ret->initial && !other;
}

/* The same for the one @slot that is known to hold @va. */
static bool at_slot(const struct vl_trusted *t, uint64_t slot, uint64_t va,
		    struct vl_trusted_slot *ret)
{
	*ret = (struct vl_trusted_slot){ .slot = slot, .found = va };
	return slot - t->va >= t->size &&
	       vl_trust_copy(t->trust, slot, &ret->initial, sizeof(ret->initial)) &&
	       vl_trust_is_entry(t->trust, ret->initial);
}

bool vl_trusted_initial(struct vl_trusted *t, uint64_t va, uint64_t slot, uint64_t *ret)
{
	struct vl_trusted_slot s;
	bool known = false;

	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < t->nr_slots && !known; i++) {
		known = t->slots[i].found == va && (!slot || t->slots[i].slot == slot) &&
			vl_trust_is_entry(t->trust, t->slots[i].initial) &&
			holds(t, t->slots[i].slot, va);
		*ret = t->slots[i].initial;
	}
	if (!known && t->nr_slots < VL_TRUSTED_SLOTS &&
	    (slot ? at_slot(t, slot, va, &s) : find(t, va, &s))) {
		t->slots[t->nr_slots++] = s;
		*ret = s.initial;
		known = true;
	}
	pthread_mutex_unlock(&t->lock);
	return known;
}

/* --- constants --- */

void vl_trusted_find_constants(struct vl_trusted *t)
{
	struct vl_trusted_constants *c = &t->constants;
	size_t len = 0, init_len = 0;

	c->va = vl_trust_constants(t->trust, &len, &c->init, &init_len);
	if (!c->va || c->va % VL_PAGE_SIZE || c->va < t->va + t->size)
		return;
	c->end = c->va + len;
	c->init_end = c->init + init_len;
	/* The image is in one piece, wherever the guest's tables lead. */
	c->gpa = t->gpa + (c->va - t->va);
	c->size = (len + VL_PAGE_SIZE - 1) & VL_PAGE_MASK;
}

static void note_constant(struct vl_trusted *t, uint64_t va, uint64_t found, uint64_t initial)
{
	size_t i = 0;

	while (i < t->nr_slots && t->slots[i].slot != va)
		i++;
	if (i == VL_TRUSTED_SLOTS)
		return;
	t->slots[i] = (struct vl_trusted_slot){ va, found, initial };
	t->nr_slots += i == t->nr_slots;
}

void vl_trusted_take_constants(struct vl_trusted *t, uint64_t va, unsigned char *page)
{
	const struct vl_trusted_constants *c = &t->constants;
	size_t len = c->end - va < VL_PAGE_SIZE ? c->end - va : VL_PAGE_SIZE;
	unsigned char image[VL_PAGE_SIZE];

	if (!vl_trust_copy(t->trust, va, image, len))
		return;
	for (uint64_t at = va; at + 8 <= va + len; at += 8) {
		const unsigned char *own = image + (at - va);
		unsigned char *word = page + (at - va);
		uint64_t found, initial;

		if ((at + 8 > c->init && at < c->init_end) || !memcmp(own, word, 8))
			continue;
		memcpy(&found, word, sizeof(found));
		memcpy(&initial, own, sizeof(initial));
		if (!vl_trust_is_cut_text(own, word))
			note_constant(t, at, found, initial);
		memcpy(word, own, 8);
	}
}

void vl_trusted_recheck_slots(struct vl_trusted *t)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->nr_slots; i++)
		if (holds(t, t->slots[i].slot, t->slots[i].found))
			t->slots[kept++] = t->slots[i];
	t->nr_slots = kept;
}
