/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A clone of a trusted kernel. Our own tables map its text, as the snapshot holds it in its trusted
 * form (attach/trusted.h), at the place where the image is. No other page of the kernel half can be
 * executed, so control that leaves the trusted text is a page fault, by every executor.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "../attach/trusted.h"
#include "../base/cleanup.h"
#include "../trust/insn.h"
#include "clone.h"

#define LARGE (512 * VL_PAGE_SIZE)

struct tables {
	struct vl_clone *c;
};

/* The guest's table at @gpa, in the snapshot. NULL: it is not in RAM. */
static const uint64_t *guest_table(const struct tables *t, uint64_t gpa)
{
	return vl_snapshot_filled(t->c->snapshot, gpa & X86_PTE_ADDR, VL_PAGE_SIZE);
}

/* A table of ours; *@gpa_ret is its address. NULL: there are no more. */
static uint64_t *own_page(struct tables *t, uint64_t *gpa_ret)
{
	uint64_t at = t->c->trusted_at + t->c->used_trusted * VL_PAGE_SIZE;

	if (t->c->used_trusted == t->c->nr_trusted)
		return NULL;
	t->c->used_trusted++;
	*gpa_ret = t->c->own.gpa + at;
	return (uint64_t *)((char *)t->c->own.host + at);
}

static void bar(uint64_t *table, unsigned from)
{
	for (unsigned i = from; i < 512; i++)
		if (table[i] & X86_PTE_P)
			table[i] |= X86_PTE_NX;
}

/* Put a table of ours in place of the one that @entry leads to: the same, and barred. */
static uint64_t *descend(struct tables *t, uint64_t *entry)
{
	uint64_t flags = *entry & ~X86_PTE_ADDR & ~X86_PTE_NX, gpa;
	const uint64_t *from = NULL;
	uint64_t *own;

	if (*entry & X86_PTE_P && !(*entry & X86_PTE_PS))
		from = guest_table(t, *entry);
	own = from ? own_page(t, &gpa) : NULL;
	if (!own)
		return NULL;
	memcpy(own, from, VL_PAGE_SIZE);
	if (!t->c->unverified)
		bar(own, 0);
	*entry = gpa | flags;
	return own;
}

/* The same for an entry of level 2, which can map a large page. */
static uint64_t *descend_last(struct tables *t, uint64_t *entry)
{
	uint64_t base = *entry & X86_PTE_ADDR & ~(LARGE - 1), gpa;
	uint64_t flags = *entry & ~X86_PTE_ADDR & ~X86_PTE_PS;
	uint64_t *own;

	if (*entry & X86_PTE_P && !(*entry & X86_PTE_PS))
		return descend(t, entry);
	own = own_page(t, &gpa);
	if (!own)
		return NULL;
	for (unsigned i = 0; i < 512; i++)
		own[i] = *entry & X86_PTE_P ? (base + i * VL_PAGE_SIZE) | flags | X86_PTE_NX : 0;
	*entry = gpa | X86_PTE_P | X86_PTE_RW | X86_PTE_A;
	return own;
}

/* Map @size bytes at @va to @gpa in @table, of level 2. */
static bool map_part(struct tables *t, uint64_t *table, uint64_t va, uint64_t gpa, uint64_t size,
		     uint64_t flags)
{
	const uint64_t end = va + size, distance = gpa - va;

	while (va < end) {
		uint64_t *entry = &table[vl_pgtable_index(va, 2)], *pages;

		gpa = va + distance;
		if (va % LARGE == 0 && gpa % LARGE == 0 && end - va >= LARGE) {
			*entry = gpa | flags | X86_PTE_PS;
			va += LARGE;
			continue;
		}
		pages = descend_last(t, entry);
		if (!pages)
			return false;
		do {
			pages[vl_pgtable_index(va, 1)] = (va + distance) | flags;
			va += VL_PAGE_SIZE;
		} while (va < end && va % LARGE);
	}
	return true;
}

/* Our table that @entry leads to, made if need be. */
static uint64_t *reach(struct tables *t, uint64_t *entry, bool last)
{
	const struct vl_vcpu_region *own = &t->c->own;
	uint64_t at = (*entry & X86_PTE_ADDR) - own->gpa;

	if (*entry & X86_PTE_P && at < own->size) {
		*entry &= ~X86_PTE_NX;
		return (uint64_t *)((char *)own->host + at);
	}
	return last ? descend_last(t, entry) : descend(t, entry);
}

/* Map verified page @i in place of the guest's. */
static bool map_verified(struct tables *t, size_t i)
{
	struct vl_clone *c = t->c;
	uint64_t *table = c->own.host, va = c->verified[i];

	for (int level = c->pt.levels; table && level > 1; level--)
		table = reach(t, &table[vl_pgtable_index(va, level)], level == 2);
	if (!table)
		return false;
	table[vl_pgtable_index(va, 1)] =
		(c->own.gpa + c->verified_at + i * VL_PAGE_SIZE) | X86_PTE_P | X86_PTE_A;
	return true;
}

/* Map the text and the constants. The image lies in what one table of level 2 maps (1 GiB). */
static bool map_image(struct tables *t, const struct vl_trusted *trusted, uint64_t *table)
{
	const struct vl_trusted_constants *k = &trusted->constants;
	const uint64_t flags = X86_PTE_P | X86_PTE_A;

	return map_part(t, table, trusted->va, trusted->gpa, trusted->size, flags) &&
	       map_part(t, table, k->va, k->gpa, k->size, flags | X86_PTE_NX);
}

struct vl_error *vl_clone_trust(struct vl_clone *c)
{
	const struct vl_trusted *trusted = c->attach->trusted;
	struct tables t = { .c = c };
	uint64_t *table = c->own.host;
	uint64_t own;

	if (!trusted)
		return NULL;
	c->used_trusted = 0;
	own = table[c->slot];
	if (!c->unverified)
		bar(table, 256);
	table[c->slot] = own;
	for (int level = c->pt.levels; table && level > 2; level--)
		table = descend(&t, &table[vl_pgtable_index(trusted->va, level)]);
	if (!table || !map_image(&t, trusted, table))
		return vl_error_new(VL_ERR_KERNEL,
				    "the kernel's text is not mapped as Linux maps it");
	/* One that cannot be mapped stays barred. */
	for (size_t i = 0; i < c->nr_verified; i++)
		map_verified(&t, i);
	return NULL;
}

static bool is_verified(const struct vl_clone *c, uint64_t va)
{
	size_t i = 0;

	while (i < c->nr_verified && c->verified[i] != (va & VL_PAGE_MASK))
		i++;
	return i < c->nr_verified;
}

bool vl_clone_verify(struct vl_clone *c, uint64_t va)
{
	struct tables t = { .c = c };
	size_t i = c->nr_verified;
	unsigned char *page = (unsigned char *)c->own.host + c->verified_at + i * VL_PAGE_SIZE;

	va &= VL_PAGE_MASK;
	if (is_verified(c, va))
		return false;
	if (!c->verifier || i == VL_CLONE_VERIFIED || !c->verifier->page(c->verifier_ctx, va, page))
		return false;
	/* Watch the guest's own page from now on, before ours takes its place. */
	if (c->state.on_code)
		c->state.on_code(c, va);
	c->verified[i] = va;
	c->nr_verified++;
	if (map_verified(&t, i))
		return true;
	c->nr_verified--;
	return false;
}

/* --- control that left it --- */

/* The longest instruction, in bytes: its end may be in the next page. */
#define INSN_MAX 15

bool vl_clone_has_left(const struct vl_clone *c, const struct vl_regs *regs,
		       const struct vl_exit *exit)
{
	return c->attach->trusted && exit->reason == VL_EXIT_EXCEPTION && exit->vector == 14 &&
	       exit->address - regs->rip < INSN_MAX;
}

bool vl_clone_instead(struct vl_clone *c, uint64_t va, uint64_t *ret)
{
	return vl_trusted_initial(c->attach->trusted, va, 0, ret);
}

/* "function+0x12" of the image, or the address. */
static const char *where(const struct vl_clone *c, uint64_t va, char *buf, size_t size)
{
	uint64_t offset;
	const char *name = vl_trust_symbol_at(c->attach->trusted->trust, va, &offset);

	if (!name)
		snprintf(buf, size, "0x%lx", (unsigned long)va);
	else
		snprintf(buf, size, offset ? "%s+0x%lx" : "%s", name, (unsigned long)offset);
	return buf;
}

struct vl_error *vl_clone_left(struct vl_clone *c, uint64_t va, const struct vl_step *step)
{
	char name[VL_TRUSTED_NAME], at[96], slot[96], by[256] = "";
	struct vl_error *err;

	if (step && step->slot)
		snprintf(by, sizeof(by), ", by %s and the pointer at %s",
			 where(c, step->from, at, sizeof(at)),
			 where(c, step->slot, slot, sizeof(slot)));
	else if (step)
		snprintf(by, sizeof(by), ", by %s", where(c, step->from, at, sizeof(at)));
	/*
	 * Usually the module's file is not stored. Then the caller's address does not help the
	 * user; vcheck prints it.
	 */
	if (vl_trusted_module_at(c->attach->trusted, va, name))
		return vl_error_hint(
			vl_error_new(VL_ERR_UNVERIFIED, "the code of module %s is not verified",
				     name),
			"it does not run: vlens trust add PACKAGE stores modules, vcheck examines the "
			"guest, --allow-unverified runs such code");
	if (c->verifier && c->verifier->program(c->verifier_ctx, va, slot, sizeof(slot)))
		return vl_error_hint(
			vl_error_new(VL_ERR_UNVERIFIED, "the answer is that of a BPF program, %s%s",
				     slot, by),
			"it does not run, and nothing can take its place; vcheck examines the guest");
	if (vl_trust_bytes(c->attach->trusted->trust, va, 1))
		err = vl_error_new(VL_ERR_UNVERIFIED,
				   "the kernel's control goes to %s, where no function begins%s",
				   where(c, va, slot, sizeof(slot)), by);
	else
		err = vl_error_new(VL_ERR_UNVERIFIED,
				   "the kernel's control leaves the verified code for 0x%lx, "
				   "which is in no module%s",
				   (unsigned long)va, by);
	return vl_error_hint(err, "it does not run; vcheck examines the guest");
}

/* --- exceptions --- */

/* The trusted kernel or module whose text has @va; NULL: neither. */
static const struct vl_trust *owner(const struct vl_clone *c, uint64_t va)
{
	const struct vl_trust *t = c->attach->trusted->trust;
	size_t len;

	if (va - vl_trust_text(t, &len) < len)
		return t;
	return c->verifier ? c->verifier->module(c->verifier_ctx, va) : NULL;
}

uint64_t vl_clone_fixup(const struct vl_clone *c, uint64_t va)
{
	const struct vl_trust *t = owner(c, va);

	return t ? vl_trust_fixup(t, va) : 0;
}

bool vl_clone_put_fixup(struct vl_clone *c, uint64_t va, uint64_t *mark_ret)
{
	const struct vl_trust *t = owner(c, va);
	_cleanup_free_ unsigned char *table = NULL;
	uint64_t place;
	int32_t mark;
	size_t len;

	if (!t)
		return false;
	*mark_ret = vl_trust_fixup(t, va);
	if (t == c->attach->trusted->trust)
		return true;
	table = malloc(VL_TRUST_FIXUPS_MAX);
	if (!table || getrandom(&mark, sizeof(mark), 0) != sizeof(mark))
		return false;
	/* An entry behind the table must reach it, too. */
	mark /= 2;
	len = vl_trust_fixup_fill(t, va, mark, table, VL_TRUST_FIXUPS_MAX, &place);
	*mark_ret = place + (uint64_t)(int64_t)mark;
	return len && vl_clone_write(c, place, table, len);
}

/* --- control, for executors that ask --- */

static bool is_text(const struct vl_clone *c, uint64_t va)
{
	size_t len;
	uint64_t start = vl_trust_text(c->attach->trusted->trust, &len);

	return va - start < len;
}

static bool is_code(void *ctx, uint64_t va)
{
	struct vl_clone *c = ctx;

	return c->unverified || is_text(c, va) || is_verified(c, va) || vl_clone_verify(c, va);
}

static bool is_entry(void *ctx, uint64_t va)
{
	const struct vl_clone *c = ctx;

	return vl_trust_is_entry(c->attach->trusted->trust, va) ||
	       (!is_text(c, va) &&
		(c->unverified || (c->verifier && c->verifier->is_entry(c->verifier_ctx, va))));
}

static bool same_function(const struct vl_trust *t, uint64_t a, uint64_t b)
{
	uint64_t at_a, at_b;

	return vl_trust_symbol_at(t, a, &at_a) && vl_trust_symbol_at(t, b, &at_b) &&
	       a - at_a == b - at_b;
}

/* Does an instruction of a function begin at @va, counted from the function's start? */
static bool is_instruction(const struct vl_trust *t, uint64_t va)
{
	unsigned char code[INSN_MAX];
	struct vl_insn insn;
	uint64_t offset, at;

	if (!vl_trust_symbol_at(t, va, &offset))
		return false;
	for (at = va - offset; at < va; at += insn.len) {
		if (!vl_trust_copy(t, at, code, sizeof(code)) ||
		    !vl_insn(code, INSN_MAX, at, &insn))
			return false;
	}
	return at == va;
}

static uint64_t elsewhere(void *ctx, const struct vl_step *step)
{
	const struct vl_clone *c = ctx;
	const struct vl_trust *t = c->attach->trusted->trust;
	uint64_t to;

	switch (step->way) {
	case VL_WAY_START:
		return vl_clone_fixup(c, step->from) == step->to ? step->to : 0;
	case VL_WAY_JUMP:
		/* A jump table of the compiler's, or a computed jump. */
		if (is_text(c, step->to) && same_function(t, step->from, step->to) &&
		    is_instruction(t, step->to))
			return step->to;
		break;
	case VL_WAY_CALL:
		break;
	default:
		return 0;
	}
	return vl_trusted_initial(c->attach->trusted, step->to, step->slot, &to) ? to : 0;
}

const struct vl_control vl_clone_control = { is_code, is_entry, elsewhere };
