/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Links a module: symbols that others export, relocations, and its own symbols. */
#include <elf.h>
#include <stdlib.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "internal.h"

/* --- exported symbols --- */

/* The text at offset @at of the image, if it ends within part @p; else NULL. */
static const char *text_in(const struct vl_trust *t, uint64_t at, const struct vl_trust_part *p)
{
	return at - p->at < p->len && memchr(t->bytes + at, 0, p->len - (at - p->at)) ?
		       (const char *)t->bytes + at :
		       NULL;
}

/* Where the 32-bit word at offset @at leads, as an offset. It is relative to itself. */
static uint64_t leads_to(const struct vl_trust *t, size_t at)
{
	unsigned char word[4];

	return at + (uint64_t)(int64_t)vl_trust_i32(vl_trust_own(t, at, sizeof(word), word));
}

/*
 * Find @name in a kernel's table @section: records of 32-bit words relative to themselves, for
 * the value and the name, and since "module: add support for symbol namespaces" (5.4) the
 * namespace. The names are in ascending order.
 */
static bool in_table(const struct vl_trust *t, const char *section, size_t record, const char *name,
		     uint64_t *ret)
{
	const struct vl_trust_section *s = vl_trust_section(t, section);
	const struct vl_trust_section *texts = vl_trust_section(t, "__ksymtab_strings");
	size_t lo = 0, hi = s ? s->part.len / record : 0;

	while (texts && lo < hi) {
		size_t mid = lo + (hi - lo) / 2, at = s->part.at + mid * record;
		const char *own = text_in(t, leads_to(t, at + 4), &texts->part);
		int order = own ? strcmp(name, own) : 1;

		if (!order) {
			*ret = t->va + leads_to(t, at);
			return true;
		}
		if (!own)
			return false;
		if (order < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return false;
}

/* Read symbol @i of the module; false: it is not all there. */
static bool symbol(const struct vl_ko *ko, size_t i, Elf64_Sym *ret, const char **name_ret)
{
	const struct vl_ko_section *s = &ko->sections[ko->symbols];
	const struct vl_ko_section *names = &ko->sections[ko->names];

	if (i >= s->size / sizeof(*ret))
		return false;
	memcpy(ret, ko->file + s->at + i * sizeof(*ret), sizeof(*ret));
	if (ret->st_name >= names->size)
		return false;
	*name_ret = (const char *)ko->file + names->at + ret->st_name;
	return true;
}

/* The address of a symbol of the module's own; false: it has none. */
static bool own_address(const struct vl_ko *ko, const Elf64_Sym *sym, uint64_t *ret)
{
	if (sym->st_shndx == SHN_ABS) {
		*ret = sym->st_value;
		return true;
	}
	if (sym->st_shndx == SHN_UNDEF || sym->st_shndx >= ko->nr_sections)
		return false;
	*ret = ko->sections[sym->st_shndx].va + sym->st_value;
	return true;
}

static bool has_symbol(const struct vl_ko *ko, const char *prefix, const char *name)
{
	size_t len = strlen(prefix);
	const char *own;
	Elf64_Sym sym;

	for (size_t i = 1; symbol(ko, i, &sym, &own); i++)
		if (!strncmp(own, prefix, len) && !strcmp(own + len, name))
			return true;
	return false;
}

bool vl_trust_exported(const struct vl_trust *t, const char *name, uint64_t *ret)
{
	static const size_t records[] = { 12, 8 };
	const char *own;
	Elf64_Sym sym;

	for (size_t i = 0; !t->ko && i < ARRAY_SIZE(records); i++)
		if (in_table(t, "__ksymtab", records[i], name, ret) ||
		    in_table(t, "__ksymtab_gpl", records[i], name, ret))
			return true;
	for (size_t i = 1; t->ko && symbol(t->ko, i, &sym, &own); i++)
		if (ELF64_ST_BIND(sym.st_info) != STB_LOCAL && !strcmp(own, name) &&
		    own_address(t->ko, &sym, ret))
			return has_symbol(t->ko, "__ksymtab_", name);
	return false;
}

/* Is @name one of the @list, with commas between and '-' for '_' there? */
static bool is_listed(const char *list, const char *name)
{
	for (; list && *list; list += strcspn(list, ","), list += *list == ',') {
		size_t n = strcspn(list, ","), i = 0;

		while (i < n && (list[i] == '-' ? '_' : list[i]) == name[i])
			i++;
		if (i == n && !name[n])
			return true;
	}
	return false;
}

static bool resolve(const struct vl_trust *t, const char *name, uint64_t *ret)
{
	const struct vl_trust_set *set = t->set;

	if (vl_trust_exported(set->kernel, name, ret))
		return true;
	for (size_t i = 0; i < set->nr; i++)
		if (is_listed(t->ko->depends, set->modules[i]->ko->name) &&
		    vl_trust_exported(set->modules[i], name, ret))
			return true;
	return false;
}

/* --- relocations --- */

/* A symbol that could not be resolved. No symbol of a module has this address. */
#define UNRESOLVED UINT64_MAX

/* The addresses of all symbols; malloc'ed. */
static struct vl_error *addresses(const struct vl_trust *t, uint64_t **ret, size_t *nr_ret)
{
	const struct vl_ko *ko = t->ko;
	size_t nr = ko->sections[ko->symbols].size / sizeof(Elf64_Sym);
	uint64_t *all = calloc(nr + 1, sizeof(*all));
	const char *name;
	Elf64_Sym sym;

	if (!all)
		return vl_error_nomem();
	for (size_t i = 1; i < nr; i++) {
		if (!symbol(ko, i, &sym, &name)) {
			free(all);
			return vl_ko_damaged("a symbol has no name");
		}
		if (!own_address(ko, &sym, &all[i]) &&
		    (sym.st_shndx != SHN_UNDEF || !resolve(t, name, &all[i])))
			all[i] = sym.st_shndx == SHN_UNDEF &&
						 ELF64_ST_BIND(sym.st_info) == STB_WEAK ?
					 0 :
					 UNRESOLVED;
	}
	*ret = all;
	*nr_ret = nr;
	return NULL;
}

/* The length of a relocation's value, in bytes, and whether it is relative to its place. */
static const struct {
	uint8_t len;
	bool relative;
} kinds[] = {
	[R_X86_64_64] = { 8, false },  [R_X86_64_PC64] = { 8, true },
	[R_X86_64_32] = { 4, false },  [R_X86_64_32S] = { 4, false },
	[R_X86_64_PC32] = { 4, true }, [R_X86_64_PLT32] = { 4, true },
};

static struct vl_error *relocate(struct vl_trust *t, const struct vl_ko_section *list,
				 const uint64_t *symbols, size_t nr)
{
	const struct vl_ko_section *to = &t->ko->sections[list->info];
	/* A table is read in the image. Other sections are at the guest's addresses. */
	uint64_t base = vl_trust_is_table(to->name) ? t->va + to->place : to->va;

	for (size_t i = 0; i < list->size / sizeof(Elf64_Rela); i++) {
		uint32_t type, index;
		const char *name;
		Elf64_Rela r;
		Elf64_Sym sym;
		uint64_t v;

		memcpy(&r, t->ko->file + list->at + i * sizeof(r), sizeof(r));
		type = (uint32_t)ELF64_R_TYPE(r.r_info);
		index = (uint32_t)ELF64_R_SYM(r.r_info);
		if (type == R_X86_64_NONE)
			continue;
		if (type >= ARRAY_SIZE(kinds) || !kinds[type].len)
			return vl_ko_damaged("it has a relocation of an unknown kind");
		if (r.r_offset > to->size || kinds[type].len > to->size - r.r_offset || index >= nr)
			return vl_ko_damaged("a relocation lies outside of it");
		if (symbols[index] == UNRESOLVED)
			return vl_error_new(
				VL_ERR_ARG,
				"no trusted kernel or module exports %s, which it needs",
				symbol(t->ko, index, &sym, &name) ? name : "a symbol");
		v = symbols[index] + (uint64_t)r.r_addend;
		if (kinds[type].relative)
			v -= base + r.r_offset;
		memcpy(t->bytes + to->place + r.r_offset, &v, kinds[type].len);
		if (to->flags & SHF_EXECINSTR && !to->is_init &&
		    symbol(t->ko, index, &sym, &name) && sym.st_shndx < t->ko->nr_sections &&
		    t->ko->sections[sym.st_shndx].is_init &&
		    !vl_trust_add_site(t, to->va + r.r_offset, kinds[type].len, VL_TRUST_FREED,
				       sym.st_shndx))
			return vl_error_nomem();
	}
	return NULL;
}

/* --- its own symbols --- */

struct named {
	uint64_t va;
	uint32_t name;
};

static int by_address(const void *a, const void *b)
{
	const struct named *x = a, *y = b;

	if (x->va != y->va)
		return x->va < y->va ? -1 : 1;
	return x->name < y->name ? -1 : x->name > y->name;
}

/* Functions, and labels that other files can see. */
static bool is_function(const struct vl_ko *ko, const Elf64_Sym *sym)
{
	unsigned type = ELF64_ST_TYPE(sym->st_info);

	return sym->st_shndx != SHN_UNDEF && sym->st_shndx < ko->nr_sections &&
	       ko->sections[sym->st_shndx].flags & SHF_EXECINSTR &&
	       ko->sections[sym->st_shndx].in_image &&
	       (type == STT_FUNC ||
		(type == STT_NOTYPE && ELF64_ST_BIND(sym->st_info) != STB_LOCAL));
}

static struct vl_error *read_symbols(struct vl_trust *t)
{
	const struct vl_ko_section *names = &t->ko->sections[t->ko->names];
	size_t nr = t->ko->sections[t->ko->symbols].size / sizeof(Elf64_Sym);
	_cleanup_free_ struct named *all = calloc(nr + 1, sizeof(*all));
	struct vl_symbols *s = &t->symbols;
	const char *name;
	Elf64_Sym sym;

	vl_symbols_deinit(s);
	if (!all)
		return vl_error_nomem();
	for (size_t i = 1; symbol(t->ko, i, &sym, &name); i++)
		if (is_function(t->ko, &sym) && own_address(t->ko, &sym, &all[s->nr].va))
			all[s->nr++].name = sym.st_name;
	qsort(all, s->nr, sizeof(*all), by_address);
	s->addresses = calloc(s->nr + 1, sizeof(*s->addresses));
	s->name_at = calloc(s->nr + 1, sizeof(*s->name_at));
	s->text = malloc(names->size);
	if (!s->addresses || !s->name_at || !s->text)
		return vl_error_nomem();
	memcpy(s->text, t->ko->file + names->at, names->size);
	s->text_len = names->size;
	for (size_t i = 0; i < s->nr; i++) {
		s->addresses[i] = all[i].va;
		s->name_at[i] = all[i].name;
	}
	return vl_trust_index(t);
}

struct vl_error *vl_trust_link(struct vl_trust *t)
{
	_cleanup_free_ uint64_t *symbols = NULL;
	struct vl_error *err;
	size_t nr;

	if (!t->set)
		return vl_error_new(VL_ERR_ARG, "the module is in no set");
	if (t->placed)
		return NULL;
	t->nr_sites = t->nr_clusters = 0;
	err = addresses(t, &symbols, &nr);
	for (size_t i = 1; !err && i < t->ko->nr_sections; i++) {
		const struct vl_ko_section *s = &t->ko->sections[i];

		if (s->type == SHT_RELA && s->info && s->info < t->ko->nr_sections &&
		    t->ko->sections[s->info].in_image)
			err = relocate(t, s, symbols, nr);
	}
	if (!err)
		err = read_symbols(t);
	if (!err)
		err = vl_trust_tables(t);
	t->placed = !err;
	return err ? vl_error_prefix(err, "module %s", t->ko->name) : NULL;
}
