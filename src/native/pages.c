/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Maps the guest's memory where its addresses fold to, when it is touched. */
#include "native.h"

#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../base/array.h"

#define TIB (1UL << VL_NATIVE_TIB)
/* The first kernel address that folds. */
#define FOLD_KERNEL (-VL_NATIVE_G)
/* Where the clone's own user addresses end. */
#define USER_END (1UL << 30)
/* Our memory lies below this; no kernel has memory at the addresses that fold to there. */
#define FOLD_LOW TIB

/* How much our heap may grow, and our mappings on both sides. */
#define PROGRAM_ROOM (64UL << 20)
#define MAPPINGS_ROOM (64UL << 30)

/* The memory behind @gpa in this process, NULL: none. *@left_ret bytes of it are contiguous. */
static void *behind(struct vl_executor_state *e, uint64_t gpa, uint64_t *left_ret,
		    bool *in_snapshot_ret)
{
	const struct vl_snapshot_range *r;
	size_t nr;

	*in_snapshot_ret = false;
	if (gpa >= e->own.gpa && gpa - e->own.gpa < e->own.size) {
		*left_ret = e->own.size - (gpa - e->own.gpa);
		return (char *)e->own.host + (gpa - e->own.gpa);
	}
	r = vl_snapshot_ranges(e->snapshot, &nr);
	for (size_t i = 0; i < nr; i++)
		if (gpa >= r[i].gpa && gpa - r[i].gpa < r[i].size) {
			*in_snapshot_ret = true;
			*left_ret = r[i].size - (gpa - r[i].gpa);
			return (char *)r[i].host + (gpa - r[i].gpa);
		}
	for (size_t i = 0; i < e->nr_blanks; i++)
		if (gpa - e->blanks[i].gpa < VL_PAGE_SIZE) {
			*left_ret = VL_PAGE_SIZE - (gpa - e->blanks[i].gpa);
			return (char *)e->blanks[i].host + (gpa - e->blanks[i].gpa);
		}
	return NULL;
}

/* vl_read_entry_fn */
static bool read_entry(void *ctx, uint64_t gpa, uint64_t *ret)
{
	uint64_t left;
	bool in_snapshot;
	struct vl_executor_state *e = ctx;
	const void *p = behind(e, gpa, &left, &in_snapshot);

	if (!p || left < sizeof(*ret))
		return false;
	if (in_snapshot)
		p = vl_snapshot_filled(e->snapshot, gpa, sizeof(*ret));
	memcpy(ret, p, sizeof(*ret));
	return true;
}

bool vl_native_is_mapped(struct vl_executor_state *e, uint64_t va)
{
	struct vl_xlat x;

	return vl_translate(&e->pt, read_entry, e, va, &x);
}

bool vl_native_text_page(struct vl_executor_state *e, uint64_t va, uint64_t *gpa_ret)
{
	bool in_snapshot;
	struct vl_xlat x;
	uint64_t left;

	if (!vl_translate(&e->pt, read_entry, e, va, &x) || x.flags & X86_PTE_NX ||
	    !behind(e, x.gpa, &left, &in_snapshot) || !in_snapshot)
		return false;
	*gpa_ret = x.gpa & VL_PAGE_MASK;
	return true;
}

bool vl_native_read(struct vl_executor_state *e, uint64_t va, void *buf, size_t len, bool exec)
{
	const uint64_t start = va;
	const size_t size = len;
	char *out = buf;

	while (len) {
		size_t n = VL_PAGE_SIZE - (va & (VL_PAGE_SIZE - 1));
		struct vl_xlat x;
		uint64_t left;
		bool in_snapshot;
		const void *p;

		if (n > len)
			n = len;
		if (!vl_translate(&e->pt, read_entry, e, va, &x) || (exec && x.flags & X86_PTE_NX))
			return false;
		p = behind(e, x.gpa, &left, &in_snapshot);
		if (!p || left < n)
			return false;
		if (in_snapshot)
			p = vl_snapshot_filled(e->snapshot, x.gpa, n);
		memcpy(out, p, n);
		out += n;
		va += n;
		len -= n;
	}
	if (!exec)
		return true;
	for (uint64_t page = start & VL_PAGE_MASK; page < va; page += VL_PAGE_SIZE)
		if (!vl_native_note_text(e, page))
			return false;
	vl_native_get_replaced(e, start, buf, size);
	return true;
}

/* Unmap @a; the caller drops it from the executor's list. */
static void unmap(struct vl_executor_state *e, const struct vl_native_alias *a)
{
	munmap((void *)a->host, a->size);
	if (a->in_snapshot)
		vl_snapshot_unalias(e->snapshot, a->host);
}

/* Add @a to the list. An alias at the same address is unmapped. */
static bool note(struct vl_executor_state *e, const struct vl_native_alias *a)
{
	for (size_t i = 0; i < e->nr_aliases; i++)
		if (e->aliases[i].host == a->host) {
			unmap(e, &e->aliases[i]);
			e->aliases[i] = e->aliases[--e->nr_aliases];
			break;
		}
	if (!vl_grow(e->aliases, e->cap_aliases, e->nr_aliases, 64))
		return false;
	e->aliases[e->nr_aliases++] = *a;
	return true;
}

/*
 * May the guest's [va, va + size) be mapped where it folds to? User addresses are the clone's
 * own, all in the first GiB. Kernel addresses must not fold to our memory.
 */
static bool is_free(const struct vl_executor_state *e, uint64_t va, uint64_t size)
{
	uint64_t at = vl_native_fold(va);

	if (va < USER_END)
		return true;
	for (size_t i = 0; i < VL_NATIVE_SPANS; i++)
		if (at < e->ours[i].end && at + size > e->ours[i].start)
			return false;
	return va >= FOLD_KERNEL + FOLD_LOW;
}

/* vl_read_entry_fn for tables that are no part of an answer */
static bool peek_entry(void *ctx, uint64_t gpa, uint64_t *ret)
{
	struct vl_executor_state *e = ctx;
	struct vl_native_peeked *p = &e->peeked[gpa / VL_PAGE_SIZE % VL_NATIVE_PEEKED];

	if (gpa >= e->own.gpa && gpa - e->own.gpa < e->own.size)
		return read_entry(ctx, gpa, ret);
	/* Read whole tables: each read of memory that is not mapped here is a message. */
	if (!p->has || p->gpa != (gpa & VL_PAGE_MASK)) {
		p->gpa = gpa & VL_PAGE_MASK;
		p->has = vl_snapshot_peek_page(e->snapshot, p->gpa, p->entries);
		if (!p->has)
			return false;
	}
	*ret = p->entries[gpa % VL_PAGE_SIZE / sizeof(*ret)];
	return true;
}

/* The span of our mappings, without those above all addresses that the guest's fold to. */
struct mappings {
	bool program; /* the program was seen: it is the first of the loaded objects */
	uint64_t program_start;
	struct vl_native_span span;
};

static void add_mapping(struct mappings *m, uint64_t start, uint64_t end)
{
	if (start >= VL_NATIVE_G + USER_END + MAPPINGS_ROOM)
		return;
	if (start < m->span.start)
		m->span.start = start;
	if (end > m->span.end)
		m->span.end = end;
}

/* dl_iterate_phdr() */
static int add_object(struct dl_phdr_info *info, size_t size, void *ctx)
{
	uint64_t start = UINT64_MAX, end = 0;
	struct mappings *m = ctx;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		uint64_t at = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;

		if (info->dlpi_phdr[i].p_type != PT_LOAD)
			continue;
		start = at < start ? at : start;
		end = at + info->dlpi_phdr[i].p_memsz > end ? at + info->dlpi_phdr[i].p_memsz : end;
	}
	if (m->program)
		add_mapping(m, start, end);
	else
		m->program_start = start;
	m->program = true;
	return 0;
}

/*
 * Mappings lie at the top of the user half, where user addresses of guests would fold to. A
 * host that randomizes by more bits (vm.mmap_rnd_bits), or maps bottom-up, has them elsewhere.
 */
static bool find_ours(struct vl_executor_state *e)
{
	struct mappings m = { .span = { UINT64_MAX, 0 } };
	struct vl_native_span *p = &e->ours[VL_SPAN_PROGRAM], *s = &e->ours[VL_SPAN_MAPPINGS];
	const struct vl_snapshot_range *r;
	size_t nr;

	dl_iterate_phdr(add_object, &m);
	add_mapping(&m, (uint64_t)&m, (uint64_t)(&m + 1)); /* a stack */
	add_mapping(&m, (uint64_t)e->own.host, (uint64_t)e->own.host + e->own.size);
	r = vl_snapshot_ranges(e->snapshot, &nr);
	for (size_t i = 0; i < nr; i++) {
		add_mapping(&m, (uint64_t)r[i].host, (uint64_t)r[i].host + r[i].size);
		if (r[i].again)
			add_mapping(&m, (uint64_t)r[i].again, (uint64_t)r[i].again + r[i].size);
	}
	*p = (struct vl_native_span){ m.program_start & VL_PAGE_MASK,
				      (uint64_t)sbrk(0) + PROGRAM_ROOM };
	*s = (struct vl_native_span){ 0, 0 };
	if (m.span.end)
		*s = (struct vl_native_span){ m.span.start - MAPPINGS_ROOM,
					      m.span.end + MAPPINGS_ROOM };
	return p->start < p->end && p->end <= VL_NATIVE_G && m.span.start >= MAPPINGS_ROOM &&
	       s->end <= VL_NATIVE_G;
}

/*
 * Bar the guest's addresses that fold to [@start, @end), rounded to whole TiB. A TiB in which
 * the guest has memory is not barred: vl_native_has_room() checks that none of it folds to our
 * memory.
 */
static void bar(struct vl_executor_state *e, uint64_t start, uint64_t end)
{
	for (uint64_t at = start & ~(TIB - 1); at < end; at += TIB) {
		uint64_t va = at - VL_NATIVE_G;

		*vl_native_barred(va) =
			vl_pgtable_is_empty(&e->pt, peek_entry, e, va, va + TIB - 1);
	}
}

static void bar_ours(struct vl_executor_state *e)
{
	memset(vl_native_barred(0), 0, VL_NATIVE_NR_BARRED);
	for (size_t i = 0; i < VL_NATIVE_SPANS; i++)
		if (e->ours[i].end)
			bar(e, e->ours[i].start - VL_NATIVE_NEAR, e->ours[i].end + VL_NATIVE_NEAR);
	bar(e, 0, TIB);
	/* The first TiB of user addresses is for the clone's own. */
	bar(e, VL_NATIVE_G + TIB, 1UL << 47);
}

bool vl_native_has_room(struct vl_executor_state *e)
{
	if (!find_ours(e))
		return false;
	for (size_t i = 0; i < VL_NATIVE_PEEKED; i++)
		e->peeked[i].has = false;
	bar_ours(e);
	for (size_t i = 0; i < VL_NATIVE_SPANS; i++)
		if (e->ours[i].end &&
		    !vl_pgtable_is_empty(&e->pt, peek_entry, e, e->ours[i].start - VL_NATIVE_G,
					 e->ours[i].end - VL_NATIVE_G - 1))
			return false;
	return true;
}

/* The same as vl_snapshot_alias(), for memory outside of the snapshot. */
static bool map_again(void *p, uint64_t size, void *at, bool writable)
{
	return mremap(p, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, at) != MAP_FAILED &&
	       (writable || !mprotect(at, size, PROT_READ));
}

/* Note @a and map it; its memory is at @p. */
static bool alias(struct vl_executor_state *e, const struct vl_native_alias *a, void *p)
{
	return note(e, a) && (a->in_snapshot ? vl_snapshot_alias(e->snapshot, a->gpa, a->size,
								 (void *)a->host, a->writable) :
					       map_again(p, a->size, (void *)a->host, a->writable));
}

/* What one table of single pages maps. */
#define AROUND (512 * VL_PAGE_SIZE)

/* Does the leaf entry at @leaf, which is one of a single page, map @gpa with the rights @flags? */
static bool maps(struct vl_executor_state *e, vl_read_entry_fn read, uint64_t leaf, uint64_t gpa,
		 uint64_t flags)
{
	uint64_t entry;

	return read(e, leaf, &entry) && entry & X86_PTE_P && (entry & X86_PTE_ADDR) == gpa &&
	       !((entry ^ flags) & X86_PTE_RW);
}

/*
 * The single page at *@va is mapped to *@gpa, as @x says. Widen this to contiguous neighbours
 * with the same rights, as far as they are in the same table, which the walk has read anyway.
 * Returns the size, and in *@va and *@gpa the start.
 */
static uint64_t look_around(struct vl_executor_state *e, uint64_t *va, uint64_t *gpa,
			    const struct vl_xlat *x)
{
	uint64_t first = *va & ~(AROUND - 1), index = vl_pgtable_index(*va, 1), start = index,
		 end = index + 1, size, left;
	bool in_snapshot;

	while (start > 0 && maps(e, read_entry, x->leaf - 8 * (index - start + 1),
				 *gpa - (index - start + 1) * VL_PAGE_SIZE, x->flags))
		start--;
	while (end < 512 && maps(e, read_entry, x->leaf + 8 * (end - index),
				 *gpa + (end - index) * VL_PAGE_SIZE, x->flags))
		end++;
	size = (end - start) * VL_PAGE_SIZE;
	if (!is_free(e, first + start * VL_PAGE_SIZE, size) ||
	    !behind(e, *gpa - (index - start) * VL_PAGE_SIZE, &left, &in_snapshot) ||
	    !in_snapshot || left < size)
		return VL_PAGE_SIZE;
	*gpa -= (index - start) * VL_PAGE_SIZE;
	*va = first + start * VL_PAGE_SIZE;
	return size;
}

enum vl_native_page vl_native_map(struct vl_executor_state *e, uint64_t va, bool write,
				  uint64_t *gpa_ret)
{
	uint64_t page, size, left, base;
	struct vl_native_alias a;
	struct vl_xlat x;
	bool in_snapshot;
	void *p;

	if (!vl_translate(&e->pt, read_entry, e, va, &x))
		return VL_PAGE_FAULT;
	if (write && !(x.flags & X86_PTE_RW))
		return VL_PAGE_FAULT;
	*gpa_ret = x.gpa;
	p = behind(e, x.gpa, &left, &in_snapshot);
	if (!p)
		return VL_PAGE_PHYS;
	size = x.size;
	page = x.gpa & ~(size - 1);
	base = va & ~(size - 1);
	p = behind(e, page, &left, &in_snapshot);
	if (!p || left < size) {
		size = VL_PAGE_SIZE;
		page = x.gpa & VL_PAGE_MASK;
		base = va & VL_PAGE_MASK;
		p = behind(e, page, &left, &in_snapshot);
		if (!p || left < size)
			return VL_PAGE_PHYS;
	}
	if (in_snapshot && size == VL_PAGE_SIZE)
		size = look_around(e, &base, &page, &x);
	if (!is_free(e, base, size))
		return VL_PAGE_BROKEN;
	a = (struct vl_native_alias){ vl_native_fold(base), size,	base, page,
				      x.flags & X86_PTE_RW, in_snapshot };
	return alias(e, &a, p) ? VL_PAGE_MAPPED : VL_PAGE_BROKEN;
}

enum vl_native_page vl_native_map_page(struct vl_executor_state *e, uint64_t va, uint64_t at,
				       bool write, uint64_t *gpa_ret)
{
	struct vl_native_alias a;
	uint64_t left;
	struct vl_xlat x;
	bool in_snapshot;
	void *p;

	if (!vl_translate(&e->pt, read_entry, e, va, &x) || (write && !(x.flags & X86_PTE_RW)))
		return VL_PAGE_FAULT;
	*gpa_ret = x.gpa & VL_PAGE_MASK;
	p = behind(e, *gpa_ret, &left, &in_snapshot);
	if (!p || left < VL_PAGE_SIZE)
		return VL_PAGE_PHYS;
	a = (struct vl_native_alias){ at & VL_PAGE_MASK, VL_PAGE_SIZE,	       va & VL_PAGE_MASK,
				      *gpa_ret,		 x.flags & X86_PTE_RW, in_snapshot };
	return alias(e, &a, p) ? VL_PAGE_MAPPED : VL_PAGE_BROKEN;
}

void vl_native_unmap_all(struct vl_executor_state *e)
{
	while (e->nr_aliases)
		unmap(e, &e->aliases[--e->nr_aliases]);
}

/* vl_read_entry_fn for tables that an answer has read, and that are of its point in time */
static bool held_entry(void *ctx, uint64_t gpa, uint64_t *ret)
{
	struct vl_executor_state *e = ctx;

	if (gpa >= e->own.gpa && gpa - e->own.gpa < e->own.size)
		return read_entry(ctx, gpa, ret);
	return vl_snapshot_held_entry(e->snapshot, gpa, ret);
}

/* Would @a be mapped as it is? *@walks pages may still be looked up. */
static bool is_as_mapped(struct vl_executor_state *e, const struct vl_native_alias *a,
			 size_t *walks)
{
	struct vl_xlat x;

	if (a->host != vl_native_fold(a->va))
		return false;
	for (uint64_t at = 0; at < a->size; at += x.size - (x.gpa & (x.size - 1))) {
		if (!*walks || !(*walks)-- ||
		    !vl_translate(&e->pt, held_entry, e, a->va + at, &x) || x.gpa != a->gpa + at ||
		    !(x.flags & X86_PTE_RW) == a->writable)
			return false;
		/* The next pages are in the same table. */
		while (x.size == VL_PAGE_SIZE && at + VL_PAGE_SIZE < a->size &&
		       vl_pgtable_index(a->va + at, 1) < 511) {
			at += VL_PAGE_SIZE;
			x.leaf += sizeof(uint64_t);
			x.gpa += VL_PAGE_SIZE;
			if (!*walks || !(*walks)-- || !maps(e, held_entry, x.leaf, x.gpa, x.flags))
				return false;
		}
	}
	return true;
}

/* More are not kept: the search for one is linear. */
#define ALIASES_KEPT 1024
/* Pages that may be looked up to keep them: a guest can split one large page into very many. */
#define WALKS_MAX 262144

void vl_native_unmap_old(struct vl_executor_state *e)
{
	size_t kept = 0, walks = WALKS_MAX;

	if (e->nr_aliases > ALIASES_KEPT) {
		vl_native_unmap_all(e);
		return;
	}
	for (size_t i = 0; i < e->nr_aliases; i++)
		if (is_as_mapped(e, &e->aliases[i], &walks))
			e->aliases[kept++] = e->aliases[i];
		else
			unmap(e, &e->aliases[i]);
	e->nr_aliases = kept;
}
