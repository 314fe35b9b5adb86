/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From an address of the guest to the bytes there: long reads, page by page, and the
 * upper levels of the tables within a walk (walk.h).
 */
#include "walk.h"

/*
 * Read a batch of whole pages that are not mapped by one call, straight into the caller's
 * buffer. Returns the number of bytes read; 0: go on page by page.
 */
static size_t read_batch(struct vl_direct *d, const struct vl_space *s, uint64_t va, char *buf,
			 size_t len)
{
	uint64_t gpas[DIRECT_BATCH], size;
	void *bufs[DIRECT_BATCH];
	size_t nr;

	if (!d->has_live || d->collecting || va % VL_PAGE_SIZE)
		return 0;
	for (nr = 0; nr < DIRECT_BATCH && len - nr * VL_PAGE_SIZE >= VL_PAGE_SIZE; nr++) {
		if (direct_translate(d, s, va + nr * VL_PAGE_SIZE, &gpas[nr], &size))
			break;
		bufs[nr] = buf + nr * VL_PAGE_SIZE;
	}
	if (nr < 2 || !direct_read_pages(d, gpas, bufs, nr))
		return 0;
	return nr * VL_PAGE_SIZE;
}

enum vl_read_status direct_pages(struct vl_direct *d, const struct vl_space *s, uint64_t va,
				 void *buf, size_t len, uint64_t *fault)
{
	char *to = buf;

	while (len) {
		size_t n = read_batch(d, s, va, to, len);
		enum vl_read_status st;
		const unsigned char *p;

		if (!n) {
			n = VL_PAGE_SIZE - va % VL_PAGE_SIZE;
			n = n < len ? n : len;
			p = direct_at(d, s, va, &st);
			if (unlikely(!p)) {
				*fault = va;
				return st;
			}
			direct_copy(to, p, n, d->wide);
		}
		to += n;
		va += n;
		len -= n;
	}
	return VL_READ_OK;
}

/* The PUD entry for @va; false when there is none. */
static bool find_pud(struct walker *k, uint64_t va, uint64_t *ret)
{
	int shift = 64 - (12 + 9 * k->s->levels);
	enum vl_read_status st;
	uint64_t e = k->s->root;

	if (k->pud_key == va >> 30) {
		*ret = k->pud;
		return true;
	}
	if ((uint64_t)((int64_t)(va << shift) >> shift) != va)
		return false;
	for (int level = k->s->levels; level > 3; level--)
		if (!direct_entry(k->d, e, va, level, &e, &st) || e & X86_PTE_PS)
			return false;
	if (!direct_entry(k->d, e, va, 3, &e, &st))
		return false;
	k->pud_key = va >> 30;
	*ret = k->pud = e;
	return true;
}

uintptr_t direct_pmd(struct walker *k, uint64_t va)
{
	size_t i = (va >> 21) % PMDS;
	uint64_t e, size = VL_PAGE_SIZE;
	enum vl_read_status st;

	if (!find_pud(k, va, &e))
		return 0;
	if (e & X86_PTE_PS) {
		/* Use the 2 MiB around @va. */
		if (e & LEAF_RESERVED(1UL << 30))
			return 0;
		size = 1UL << 21;
		e = (e & ~((1UL << 30) - 1)) | (va & ((1UL << 30) - size));
	} else if (!direct_entry(k->d, e, va, 2, &e, &st)) {
		return 0;
	} else if (e & X86_PTE_PS) {
		if (e & LEAF_RESERVED(1UL << 21))
			return 0;
		size = 1UL << 21;
	}
	e &= X86_PTE_ADDR & ~(size - 1);
	if (!direct_in_run(k->d, e, size))
		return 0;
	k->pmd[i].key = va >> 21;
	k->pmd[i].host = (uintptr_t)k->d->base + e + (size == VL_PAGE_SIZE ? 0 : PMD_PAGE);
	return k->pmd[i].host;
}

bool direct_in_other(const struct vl_direct *d, uint64_t gpa)
{
	return direct_in_run(d, gpa, VL_PAGE_SIZE);
}

bool direct_in_row(struct walker *k, uint64_t va, const unsigned char *p, uint64_t len)
{
	uint64_t done = VL_PAGE_SIZE - (va & (VL_PAGE_SIZE - 1));

	for (; done < len; done += VL_PAGE_SIZE)
		if (va + done < va || walk_host(k, va + done, 1) != p + done)
			return false;
	return true;
}
