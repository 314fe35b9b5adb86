/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "roots.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "hooks.h"

#define HALF VL_ROOT_HALF

/*
 * Processes whose tables may be too many before the others are left out: each costs as many reads
 * as a walk may make.
 */
#define INCOMPLETE_MAX 4

struct foreign {
	uint64_t bytes, first;
};

static bool see_page(void *ctx, const struct vl_leaf *leaf)
{
	struct foreign *f = ctx;

	if (leaf->flags & X86_PTE_US)
		return true;
	f->first = f->bytes ? f->first : leaf->va;
	f->bytes += leaf->size;
	return true;
}

static void show(struct vl_checker *c, uint64_t at, const char *what, const char *expected,
		 const char *found)
{
	vl_check_show(c, &(struct vl_check_row){
				 .check = "page tables",
				 .at = at,
				 .what = what,
				 .expected = expected,
				 .found = found,
			 });
}

/*
 * Pages of a process are the process's. The processor keeps the kernel from executing them (SMEP),
 * but not those that are the kernel's by their entry. With page-table isolation the kernel's table
 * makes none of them executable. False: there are too many tables.
 */
static bool check_pages(struct vl_checker *c, const struct vl_space *s, const char *what)
{
	struct foreign f = { .bytes = 0 };
	char found[64];
	bool whole = vl_pages_executable(c->g->target, s, 0, (1UL << (12 + 9 * s->levels - 1)) - 1,
					 see_page, &f);

	if (!f.bytes)
		return whole;
	snprintf(found, sizeof(found), "%" PRIu64 " KiB of the kernel's", f.bytes >> 10);
	vl_check_show(c, &(struct vl_check_row){
				 .check = "executable memory",
				 .at = f.first,
				 .what = what,
				 .expected = "only pages that the process can execute",
				 .found = found,
			 });
	return whole;
}

/* ---- the kernel's half ---- */

/* The target of an entry, without its bits for access and protection. */
static uint64_t led_to(uint64_t entry)
{
	return entry & X86_PTE_P ? entry & (X86_PTE_ADDR | X86_PTE_PS | X86_PTE_P) : 0;
}

/* Read one half of the root at guest-physical @root: @half 0 is the process's, 1 the kernel's. */
static bool read_half(struct vl_checker *c, uint64_t root, unsigned half, uint64_t ret[HALF])
{
	return !vl_discard(vl_target_read(c->g->target, root + half * HALF * sizeof(*ret), ret,
					  HALF * sizeof(*ret)));
}

/*
 * Compare the kernel's half of @s with @kernel. One that leads elsewhere shows a process other text
 * and other data than the checks have read. One that the kernel lacks is for the process's LDT
 * (LDT_PGD_ENTRY, arch/x86/include/asm/pgtable_64_types.h), which is not executable.
 */
static void check_half(struct vl_checker *c, const struct vl_space *s, const uint64_t kernel[HALF],
		       const char *what)
{
	uint64_t own[HALF], size = 1UL << (12 + 9 * (s->levels - 1));

	if (!read_half(c, s->root, 1, own))
		return;
	for (size_t i = 0; i < HALF; i++) {
		uint64_t va = -(HALF - i) * size;
		struct foreign f = { .bytes = 0 };

		if (led_to(own[i]) == led_to(kernel[i]) || !led_to(own[i]))
			continue;
		if (!led_to(kernel[i])) {
			vl_pages_executable(c->g->target, s, va, va + (size - 1), see_page, &f);
			if (!f.bytes)
				continue;
			va = f.first;
		}
		show(c, va, what, "the kernel's page tables",
		     f.bytes ? "executable memory that only it has" :
			       "a page table of its own for the kernel's memory");
		return;
	}
}

/* ---- page-table isolation ---- */

/* Tables of the isolated half that are read, at most. A kernel has some 10 to 100. */
#define TABLES_MAX 8192
#define LARGE (512 * VL_PAGE_SIZE)

/*
 * What the kernel maps for processes, whole ranges: include/asm/pgtable_64_types.h. Its text and
 * constants, and a page of each CPU, are besides (pti_clone_user_shared(), pti_clone_kernel_text()
 * of arch/x86/mm/pti.c).
 */
static const struct {
	uint64_t start, size;
} shared[] = {
	{ 0xfffffe0000000000, 1UL << 39 },    /* CPU_ENTRY_AREA_BASE */
	{ 0xffffff0000000000, 1UL << 39 },    /* ESPFIX_BASE_ADDR */
	{ 0xffffffffff600000, VL_PAGE_SIZE }, /* VSYSCALL_ADDR */
};

struct isolated {
	struct vl_checker *c;
	uint64_t text, text_end; /* and constants, in large pages */
	unsigned left;		 /* tables that may still be read */
	bool shown;
};

/* Is @va in the page of a CPU's task state (cpu_tss_rw), which has room for the entry? */
static bool is_task_state(struct vl_checker *c, uint64_t va)
{
	uint64_t offsets = vl_symbol(c->k, "__per_cpu_offset"), offset;
	uint64_t state = vl_symbol(c->k, "cpu_tss_rw"), ids = vl_symbol(c->k, "nr_cpu_ids");
	uint32_t nr;

	if (!offsets || !state || !ids || vl_read_u32(c->g->reader, &c->g->space, ids, &nr) ||
	    nr > 8192)
		return false;
	for (uint32_t i = 0; i < nr; i++)
		if (vl_hook_word(c, offsets + 8UL * i, &offset) &&
		    ((offset + state) & VL_PAGE_MASK) == va)
			return true;
	return false;
}

/* May the kernel map [@va, @va + @size) for processes? */
static bool is_shared(const struct isolated *w, uint64_t va, uint64_t size, bool writable)
{
	for (size_t i = 0; i < ARRAY_SIZE(shared); i++)
		if (va - shared[i].start < shared[i].size &&
		    size <= shared[i].size - (va - shared[i].start))
			return true;
	if (va >= w->text && va < w->text_end && size <= w->text_end - va)
		return !writable;
	return size == VL_PAGE_SIZE && is_task_state(w->c, va);
}

static void complain(struct isolated *w, uint64_t va, const char *expected, const char *found)
{
	if (!w->shown)
		show(w->c, va, "the tables of isolated processes", expected, found);
	w->shown = true;
}

/* The rights that @entry gives. */
static uint64_t rights(uint64_t entry)
{
	return (entry & (X86_PTE_RW | X86_PTE_US)) | (~entry & X86_PTE_NX);
}

/* The entry @e maps @size bytes at @va as a page. @way: the rights of the tables above it. */
static void check_leaf(struct isolated *w, uint64_t e, uint64_t va, uint64_t size, uint64_t way)
{
	uint64_t may = rights(e) & way;
	struct vl_xlat x;

	if (!vl_translate(&(struct vl_pgtable){ w->c->g->space.root, w->c->g->space.levels },
			  vl_target_read_entry, w->c->g->target, va, &x) ||
	    x.gpa != (e & X86_PTE_ADDR & ~(size - 1)) || x.size < size)
		complain(w, va, "the page that the kernel has there", "another page");
	else if (may & ~(rights(x.flags) | (x.user ? X86_PTE_US : 0)))
		complain(w, va, "no more rights than the kernel's own table gives",
			 "a page with more rights");
	else if (!is_shared(w, va, size, may & X86_PTE_RW))
		complain(w, va, "only what enters the kernel", "other memory of the kernel");
}

/* Check the table at @gpa, whose first entry maps @base, beside the kernel's own at @kernel. */
static void check_table(struct isolated *w, uint64_t gpa, uint64_t kernel, int level, uint64_t base,
			uint64_t way)
{
	uint64_t size = 1UL << (12 + 9 * (level - 1)), own[2 * HALF], theirs[2 * HALF] = { 0 };
	unsigned from = level == w->c->g->space.levels ? HALF : 0;

	if (!w->left) {
		complain(w, base, "some tables", "tables without end");
		return;
	}
	w->left--;
	if (!read_half(w->c, gpa, 0, own) || !read_half(w->c, gpa, 1, own + HALF))
		return;
	if (kernel &&
	    (!read_half(w->c, kernel, 0, theirs) || !read_half(w->c, kernel, 1, theirs + HALF)))
		return;
	for (unsigned i = from; i < 2 * HALF && !w->shown; i++) {
		uint64_t va = base + i * size, e = own[i], k = theirs[i];
		bool leaf = level == 1 || e & X86_PTE_PS;

		if (!(e & X86_PTE_P))
			continue;
		if (leaf)
			check_leaf(w, e, va, size, way);
		else if (led_to(e) != led_to(k))
			check_table(w, e & X86_PTE_ADDR,
				    led_to(k) && !(k & X86_PTE_PS) ? k & X86_PTE_ADDR : 0,
				    level - 1, va, way & rights(e));
		else if (rights(e) & way & ~rights(k) & X86_PTE_US)
			complain(w, va, "no more rights than the kernel's own table gives",
				 "a table with more rights");
		/* The rights in a table of the kernel are checked by vl_check_protection(). */
		else if (!is_shared(w, va, size, false))
			complain(w, va, "only what enters the kernel",
				 "other memory of the kernel");
	}
}

/* Does the kernel isolate page tables? Then its own root has a second one behind it. */
static bool is_isolated(struct vl_checker *c, uint64_t root, struct vl_roots *r)
{
	bool any = false;

	if (!vl_symbol(c->k, "__pti_set_user_pgtbl") ||
	    !read_half(c, root + VL_PAGE_SIZE, 1, r->user))
		return false;
	for (size_t i = 0; i < HALF; i++)
		any |= r->user[i] & X86_PTE_P;
	return any;
}

/*
 * The process's half of both roots must lead to the same tables. Otherwise the kernel, and any
 * reader that uses its tables, would see another program than the one that runs.
 */
static void check_own_half(struct vl_checker *c, const struct vl_space *s, const char *what)
{
	uint64_t kernel[HALF], user[HALF], size = 1UL << (12 + 9 * (s->levels - 1));

	if (!read_half(c, s->root, 0, kernel) || !read_half(c, s->root + VL_PAGE_SIZE, 0, user))
		return;
	for (size_t i = 0; i < HALF; i++)
		if (led_to(kernel[i]) != led_to(user[i])) {
			show(c, i * size, what, "the same tables for it and for the kernel",
			     "memory of its own that the kernel does not see");
			return;
		}
}

/* ---- all of them ---- */

void vl_roots_init(struct vl_checker *c, struct vl_roots *r)
{
	const struct vl_space *s = &c->g->space;
	uint64_t root = vl_symbol(c->k, "init_top_pgt"), gpa;
	struct isolated w = {
		.c = c,
		.text = c->places.stext & ~(LARGE - 1),
		.text_end = (vl_symbol(c->k, "__end_rodata") + LARGE - 1) & ~(LARGE - 1),
		.left = TABLES_MAX,
	};

	memset(r, 0, sizeof(*r));
	r->known = read_half(c, s->root, 1, r->kernel);
	/* Its name before 65ade2f872b4 ("x86/boot/64: Rename init_level4_pgt ..."). */
	if (!root)
		root = vl_symbol(c->k, "init_level4_pgt");
	if (!root || vl_reader_where(c->g->reader, s, root, &gpa, NULL))
		gpa = s->root;
	r->isolated = is_isolated(c, gpa, r);
	if (r->isolated)
		check_table(&w, gpa + VL_PAGE_SIZE, s->root, s->levels,
			    ~0UL << (12 + 9 * s->levels - 1) << 1, rights(~X86_PTE_NX));
}

void vl_roots_check(struct vl_checker *c, struct vl_roots *r, uint64_t task, uint64_t pgd,
		    const char *what)
{
	struct vl_space s = c->g->space;

	if (vl_reader_where(c->g->reader, &c->g->space, pgd, &s.root, NULL))
		return;
	if (r->incomplete == INCOMPLETE_MAX) {
		r->skipped++;
	} else if (!check_pages(c, &s, what)) {
		if (!r->incomplete++)
			snprintf(r->first, sizeof(r->first), "%s", what);
		vl_check_show(c, &(struct vl_check_row){
					 .class = VL_CHECK_NOTE,
					 .check = "page tables",
					 .unsure = true,
					 .at = task,
					 .what = what,
					 .found = "too many tables, not all of them were seen",
				 });
	}
	if (r->known)
		check_half(c, &s, r->kernel, what);
	if (!r->isolated)
		return;
	check_own_half(c, &s, what);
	s.root += VL_PAGE_SIZE;
	check_half(c, &s, r->user, what);
}

void vl_roots_end(struct vl_checker *c, const struct vl_roots *r)
{
	char what[128];

	if (!r->incomplete)
		return;
	snprintf(what, sizeof(what), "the page tables of %s%s", r->first,
		 r->skipped	   ? " and of others" :
		 r->incomplete > 1 ? " and of some others" :
				     "");
	vl_hook_damaged(c, "executable memory", what);
}
