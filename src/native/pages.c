/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the guest's addresses fold to: mapped when it is touched. */
#include "native.h"

#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The first kernel address that folds. */
#define FOLD_KERNEL (-VL_NATIVE_G)
/* Where the clone's own user addresses end. */
#define USER_END (1UL << 30)
/* Below it lies what is ours; no kernel has memory where that would come from. */
#define FOLD_LOW (1UL << 39)

/* Our program with its heap: it is looked at by so many bytes, and may grow by so many. */
#define OURS_STEP (2UL << 20)
#define OURS_ROOM (64UL << 20)
#define OURS_MAX (8UL << 30)

/* Memory behind @gpa, in this process; *@left_ret bytes of it follow each other. */
static void *behind(struct vl_engine *e, uint64_t gpa, uint64_t *left_ret, bool *view_ret)
{
	const struct vl_view_range *r;
	size_t nr;

	*view_ret = false;
	if (gpa >= e->own.gpa && gpa - e->own.gpa < e->own.size) {
		*left_ret = e->own.size - (gpa - e->own.gpa);
		return (char *)e->own.host + (gpa - e->own.gpa);
	}
	r = vl_view_ranges(e->view, &nr);
	for (size_t i = 0; i < nr; i++)
		if (gpa >= r[i].gpa && gpa - r[i].gpa < r[i].size) {
			*view_ret = true;
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
	bool view;
	const void *p = behind(ctx, gpa, &left, &view);

	if (!p || left < sizeof(*ret))
		return false;
	memcpy(ret, p, sizeof(*ret));
	return true;
}

bool vl_native_read(struct vl_engine *e, uint64_t va, void *buf, size_t len, bool exec)
{
	char *out = buf;

	while (len) {
		size_t n = VL_PAGE_SIZE - (va & (VL_PAGE_SIZE - 1));
		struct vl_xlat x;
		uint64_t left;
		bool view;
		const void *p;

		if (n > len)
			n = len;
		if (!vl_translate(&e->pt, read_entry, e, va, &x) || (exec && x.flags & X86_PTE_NX))
			return false;
		p = behind(e, x.gpa, &left, &view);
		if (!p || left < n)
			return false;
		memcpy(out, p, n);
		out += n;
		va += n;
		len -= n;
	}
	return true;
}

static bool note(struct vl_engine *e, uint64_t host, uint64_t size)
{
	if (e->nr_aliases == e->cap_aliases) {
		size_t cap = 2 * e->cap_aliases + 64;
		struct vl_native_alias *more = realloc(e->aliases, cap * sizeof(*more));

		if (!more)
			return false;
		e->aliases = more;
		e->cap_aliases = cap;
	}
	e->aliases[e->nr_aliases++] = (struct vl_native_alias){ host, size };
	return true;
}

/*
 * May the guest's [va, va + size) be mapped where it folds to? User addresses are the clone's own,
 * and all in the first GiB. Kernel addresses must not come to lie where our program is; its
 * libraries, stacks and mappings are on top of the user half, where user addresses would be.
 */
static bool is_free(const struct vl_engine *e, uint64_t va, uint64_t size)
{
	uint64_t at = vl_native_fold(va);

	if (va < USER_END)
		return true;
	return va >= FOLD_KERNEL + FOLD_LOW && (at + size <= e->ours || at >= e->ours_end);
}

/* Where the program begins, which is the first of the objects that are loaded. */
static int find_program(struct dl_phdr_info *info, size_t size, void *ret)
{
	uint64_t *start = ret;

	(void)size;
	*start = UINT64_MAX;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_LOAD &&
		    info->dlpi_addr + info->dlpi_phdr[i].p_vaddr < *start)
			*start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
	return 1;
}

bool vl_native_has_room(struct vl_engine *e)
{
	uint64_t start = UINT64_MAX;
	const struct vl_view_range *r;
	struct vl_xlat x;
	size_t nr;

	r = vl_view_ranges(e->view, &nr);
	for (size_t i = 0; i < nr; i++)
		if ((uint64_t)r[i].host < VL_NATIVE_G)
			return false;
	dl_iterate_phdr(find_program, &start);
	e->ours = start & ~(OURS_STEP - 1);
	e->ours_end = ((uint64_t)sbrk(0) + OURS_ROOM) & ~(OURS_STEP - 1);
	if (e->ours_end < e->ours || e->ours_end - e->ours > OURS_MAX)
		return false;
	for (uint64_t at = e->ours; at < e->ours_end; at += OURS_STEP)
		if (vl_translate(&e->pt, read_entry, e, at - VL_NATIVE_G, &x))
			return false;
	return true;
}

enum vl_native_page vl_native_map(struct vl_engine *e, uint64_t va, bool write, uint64_t *gpa_ret)
{
	uint64_t page, size, left, at, base;
	struct vl_xlat x;
	bool view;
	void *p;

	if (!vl_translate(&e->pt, read_entry, e, va, &x))
		return VL_PAGE_FAULT;
	if (write && !(x.flags & X86_PTE_RW))
		return VL_PAGE_FAULT;
	*gpa_ret = x.gpa;
	p = behind(e, x.gpa, &left, &view);
	if (!p)
		return VL_PAGE_PHYS;
	size = x.size;
	page = x.gpa & ~(size - 1);
	base = va & ~(size - 1);
	p = behind(e, page, &left, &view);
	if (!p || left < size) {
		size = VL_PAGE_SIZE;
		page = x.gpa & VL_PAGE_MASK;
		base = va & VL_PAGE_MASK;
		p = behind(e, page, &left, &view);
		if (!p || left < size)
			return VL_PAGE_PHYS;
	}
	at = vl_native_fold(base);
	if (!is_free(e, base, size))
		return VL_PAGE_BROKEN;
	if (!note(e, at, size))
		return VL_PAGE_BROKEN;
	if (view ? !vl_view_alias(e->view, page, size, (void *)at, x.flags & X86_PTE_RW) :
		   mremap(p, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)at) == MAP_FAILED)
		return VL_PAGE_BROKEN;
	return VL_PAGE_MAPPED;
}

void vl_native_unmap_all(struct vl_engine *e)
{
	for (size_t i = 0; i < e->nr_aliases; i++)
		munmap((void *)e->aliases[i].host, e->aliases[i].size);
	e->nr_aliases = 0;
	vl_view_unalias(e->view);
}
