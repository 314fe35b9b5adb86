/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Prefetch of page tables where RAM is not mapped. Each step of a translation would be a system
 * call, as an entry has to be read before the next table is known. So the path is predicted
 * from the entries' last values, and all its pages are read by one call, with the page that it
 * leads to. A prediction has no other use: the walk goes by the tables that were read for this
 * request, and reads a page that was not predicted when it gets there.
 */
#include "direct.h"

/* The steps of a walk; each wrong prediction takes another round. */
#define ROUNDS 6

static struct direct_entry_was *was_at(struct vl_direct *d, uint64_t key)
{
	return &d->entries[key * 0x9e3779b97f4a7c15UL >> 32 & (DIRECT_ENTRIES - 1)];
}

/* Note as wanted the missing ones of the tables to @va and, @with_page, of its page. */
static void expect_page(struct vl_direct *d, const struct vl_space *s, uint64_t va, bool with_page)
{
	uint64_t e = s->root, size = VL_PAGE_SIZE;

	for (int level = (int)s->levels; level; level--) {
		uint64_t at = (e & X86_PTE_ADDR) + 8 * vl_pgtable_index(va, level);
		uint64_t key = (va >> (3 + 9 * level)) * 8 + (uint64_t)level + (s->root << 8);
		const unsigned char *p = direct_have(d, at);
		struct direct_entry_was *was = was_at(d, key);

		if (p) {
			e = direct_load(p);
			*was = (struct direct_entry_was){ key, e };
		} else if (was->key == key) {
			e = was->entry;
		} else {
			return;
		}
		if (!(e & X86_PTE_P) || (e & X86_PTE_PS && level > 3))
			return;
		if (e & X86_PTE_PS && level > 1) {
			size = 1UL << (3 + 9 * level);
			break;
		}
	}
	if (with_page)
		direct_have(d, (e & X86_PTE_ADDR & ~(size - 1)) | (va & (size - 1)));
}

void direct_expect(struct vl_direct *d, const struct vl_space *s, uint64_t va, size_t len)
{
	uint64_t pages = (va % VL_PAGE_SIZE + len + VL_PAGE_SIZE - 1) / VL_PAGE_SIZE;

	/* A longer read goes straight into the caller's buffer (read_batch()). */
	expect_page(d, s, va, pages <= 2);
	if (pages == 2)
		expect_page(d, s, va + len - 1, true);
}

void direct_at_hand(struct vl_direct *d, const struct vl_space *s, uint64_t va, size_t len)
{
	if (d->collecting) {
		direct_expect(d, s, va, len);
		return;
	}
	for (int round = 0; round < ROUNDS; round++) {
		direct_expect(d, s, va, len);
		if (!direct_fetch(d))
			break;
	}
}
