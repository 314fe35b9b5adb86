/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tables.h"

#include <stdlib.h>

#include "../base/array.h"
#include "../base/bisect.h"
#include "../base/cleanup.h"
#include "cfi.h"
#include "insn.h"
#include "internal.h"

/* CONFIG_FUNCTION_PADDING_BYTES of x86. */
#define PADDING_MAX 16
/* A jump to a return thunk, without prefixes. */
#define RETURN_LEN 5

/* A table of the image: a section, or the bytes between two symbols. */
struct table {
	const char *section, *start, *stop; /* a module has the section */
	uint8_t class;
	uint8_t size;  /* of a record, in bytes; 0: see alt_forms */
	uint8_t least; /* of a record, without the padding at its end; 0: there is none */
	/* Add the sites of the record at offset @at. */
	bool (*add)(struct vl_trust *t, const struct table *table, size_t at);
};

bool vl_trust_add_site(struct vl_trust *t, uint64_t va, size_t len, uint8_t class, size_t entry)
{
	uint64_t at = va - t->va;

	if (!len || !vl_trust_has(t, at, len))
		return true;
	if (!vl_grow(t->sites, t->cap_sites, t->nr_sites, 1 << 16))
		return false;
	t->sites[t->nr_sites++] =
		(struct vl_trust_site){ (uint32_t)at, (uint16_t)len, class, 0, (uint32_t)entry };
	return true;
}

/* The address in a record's 32-bit word at offset @at, which is relative to the word itself. */
static uint64_t place(const struct vl_trust *t, size_t at)
{
	return t->va + at + (uint64_t)(int64_t)vl_trust_i32(t->bytes + at);
}

/* The length of the instruction at @va in the image; 0: there is none. */
static size_t insn_len(const struct vl_trust *t, uint64_t va)
{
	uint64_t at = va - t->va;
	struct vl_insn i;

	return at < t->len && vl_insn(t->bytes + at, t->len - at, va, &i) ? i.len : 0;
}

/* --- records --- */

/* The record is the address of one instruction, relative to itself. */
static bool add_insn(struct vl_trust *t, const struct table *table, size_t at)
{
	uint64_t va = place(t, at);

	return vl_trust_add_site(t, va, insn_len(t, va), table->class, at);
}

static bool add_lock(struct vl_trust *t, const struct table *table, size_t at)
{
	return vl_trust_add_site(t, place(t, at), 1, table->class, at);
}

/*
 * The record is the address of a jump to a return thunk, which clang gives a prefix, or of the ret
 * and int3 in its place.
 */
static bool add_return(struct vl_trust *t, const struct table *table, size_t at)
{
	uint64_t va = place(t, at);
	size_t len = insn_len(t, va);

	return vl_trust_add_site(t, va, len > RETURN_LEN ? len : RETURN_LEN, table->class, at);
}

/* The record is that of a retpoline. In front of it can be a comparison of hashes. */
static bool add_caller(struct vl_trust *t, const struct table *table, size_t at)
{
	uint64_t va = place(t, at);
	size_t len = vl_trust_cfi_caller_len();

	return !vl_trust_is_cfi_caller(t, va - t->va) ||
	       vl_trust_add_site(t, va - len, len, table->class, at);
}

/* The record is the address of the bytes in front of a function. Its endbr64 may be replaced. */
static bool add_function(struct vl_trust *t, const struct table *table, size_t at)
{
	uint64_t va = place(t, at);
	size_t len = vl_trust_cfi_function_len(t, va - t->va);

	if (!len)
		return true;
	if (vl_trust_has_endbr(t, va - t->va + len) &&
	    !vl_trust_add_site(t, va + len, VL_TRUST_ENDBR_LEN, VL_TRUST_ENDBR, at))
		return false;
	return vl_trust_add_site(t, va, len, table->class, at);
}

/*
 * The record is the address of a call or jump to a thunk. Since "x86,nospec: Simplify
 * {JMP,CALL}_NOSPEC" the instruction may have a prefix. An int3 that the compiler has put behind a
 * jump belongs to the site.
 */
static bool add_retpoline(struct vl_trust *t, const struct table *table, size_t at)
{
	uint64_t va = place(t, at);
	size_t len = insn_len(t, va), end = va - t->va + len;

	if (len && end < t->len && t->bytes[end] == 0xcc)
		len++;
	return vl_trust_add_site(t, va, len, table->class, at);
}

/* struct paravirt_patch_site: the address, the kind of call, its length. */
static bool add_paravirt(struct vl_trust *t, const struct table *table, size_t at)
{
	return vl_trust_add_site(t, vl_trust_u64(t->bytes + at), t->bytes[at + 9], table->class,
				 at);
}

/* struct jump_entry: the place, where it leads, the key. */
static bool add_jump(struct vl_trust *t, const struct table *table, size_t at)
{
	uint64_t va = place(t, at);

	return vl_trust_add_site(t, va, insn_len(t, va), table->class, at);
}

static bool add_trace(struct vl_trust *t, const struct table *table, size_t at)
{
	return vl_trust_add_site(t, vl_trust_u64(t->bytes + at), 5, table->class, at);
}

/* Offsets of the fields of struct alt_instr, by its size. */
struct alt_form {
	uint8_t size, feature_len, len, replacement_len;
};

/* Newest first. */
static const struct alt_form alt_forms[VL_TRUST_ALT_FORMS] = {
	{ 14, 4, 12, 13 }, /* "x86/alternative: Make alternative flags a part" (6.3) */
	{ 12, 2, 10, 11 }, /* "x86/alternatives: Teach text_poke_bp()" : no padlen (5.14) */
	{ 13, 2, 10, 11 },
};

void vl_trust_alternative(const struct vl_trust *t, const struct vl_trust_site *site,
			  struct vl_trust_alternative *ret)
{
	const struct alt_form *f = &alt_forms[t->alt_form];
	const unsigned char *p = t->bytes + site->entry;

	ret->at = (uint32_t)(place(t, site->entry) - t->va);
	ret->replacement = (uint32_t)(place(t, site->entry + 4) - t->va);
	ret->len = p[f->len];
	ret->replacement_len = p[f->replacement_len];
	ret->feature = 0;
	memcpy(&ret->feature, p + 8, f->feature_len);
}

static bool in_code(const struct vl_trust *t, uint64_t at, size_t len)
{
	for (size_t i = 0; i < t->nr_sections; i++) {
		const struct vl_trust_section *s = &t->sections[i];

		if (s->code && at - s->part.at < s->part.len &&
		    len <= s->part.len - (at - s->part.at))
			return true;
	}
	return false;
}

/* Are all @len bytes at @at plausible records of form @n? Sets t->alt_form to @n. */
static bool alt_fits(struct vl_trust *t, size_t at, size_t len, size_t n)
{
	const struct alt_form *f = &alt_forms[n];

	if (len % f->size)
		return false;
	t->alt_form = n;
	for (size_t i = 0; i < len; i += f->size) {
		const struct vl_trust_site site = { .entry = (uint32_t)(at + i) };
		struct vl_trust_alternative a;

		vl_trust_alternative(t, &site, &a);
		if (a.replacement_len > a.len || !in_code(t, a.at, a.len) ||
		    (a.replacement_len && !in_code(t, a.replacement, a.replacement_len)))
			return false;
	}
	return true;
}

static bool add_alternative(struct vl_trust *t, const struct table *table, size_t at)
{
	return vl_trust_add_site(t, place(t, at), t->bytes[at + alt_forms[t->alt_form].len],
				 table->class, at);
}

/* clang-format off */
static const struct table tables[] = {
	{ ".altinstructions", NULL, NULL, VL_TRUST_ALTERNATIVE, 0, 0, add_alternative },
	{ ".parainstructions", NULL, NULL, VL_TRUST_PARAVIRT, 16, 10, add_paravirt },
	{ ".smp_locks", NULL, NULL, VL_TRUST_LOCK, 4, 0, add_lock },
	{ ".retpoline_sites", NULL, NULL, VL_TRUST_RETPOLINE, 4, 0, add_retpoline },
	{ ".return_sites", NULL, NULL, VL_TRUST_RETURN, 4, 0, add_return },
	{ ".call_sites", NULL, NULL, VL_TRUST_CALL, 4, 0, add_insn },
	{ ".retpoline_sites", NULL, NULL, VL_TRUST_CFI_CALL, 4, 0, add_caller },
	{ ".cfi_sites", NULL, NULL, VL_TRUST_CFI, 4, 0, add_function },
	{ ".ibt_endbr_seal", NULL, NULL, VL_TRUST_ENDBR, 4, 0, add_insn },
	{ "__jump_table", "__start___jump_table", "__stop___jump_table", VL_TRUST_JUMP_LABEL, 16, 0, add_jump },
	{ ".static_call_sites", "__start_static_call_sites", "__stop_static_call_sites", VL_TRUST_STATIC_CALL, 8, 0, add_jump },
	{ "__mcount_loc", "__start_mcount_loc", "__stop_mcount_loc", VL_TRUST_TRACE, 8, 0, add_trace },
};
/* clang-format on */

/* Find @table in the image. ret->len 0: the image has none. */
static struct vl_error *find(const struct vl_trust *t, const struct table *table,
			     struct vl_trust_part *ret)
{
	bool bounded = table->start && !t->ko;
	const struct vl_trust_section *s = bounded ? NULL : vl_trust_section(t, table->section);
	uint64_t from, to;

	*ret = (struct vl_trust_part){ 0, 0 };
	if (!bounded) {
		if (s)
			*ret = s->part;
		return NULL;
	}
	from = vl_trust_symbol(t, table->start);
	to = vl_trust_symbol(t, table->stop);
	if (!from && !to)
		return NULL;
	if (to < from || !vl_trust_has(t, from - t->va, to - from))
		return vl_trust_damaged("one of its tables lies outside of it");
	*ret = (struct vl_trust_part){ from - t->va, to - from };
	return NULL;
}

static struct vl_error *add_table(struct vl_trust *t, const struct table *table)
{
	struct vl_trust_part part;
	struct vl_error *err = find(t, table, &part);
	size_t size = table->size;

	if (err || !part.len)
		return err;
	if (!size) {
		/*
		 * A module's table can be too short to recognize its form. It has the kernel's
		 * form.
		 */
		size_t n = t->set ? t->set->kernel->alt_form : 0;

		while (n < ARRAY_SIZE(alt_forms) && !alt_fits(t, part.at, part.len, n))
			n = t->set ? ARRAY_SIZE(alt_forms) : n + 1;
		if (n == ARRAY_SIZE(alt_forms))
			return vl_trust_damaged("its table of alternatives makes no sense");
		size = alt_forms[n].size;
	}
	/* The last record may lack its padding. */
	for (size_t at = 0; (table->least ? table->least : size) <= part.len - at; at += size) {
		if (!table->add(t, table, part.at + at))
			return vl_error_nomem();
		if (size > part.len - at)
			break;
	}
	return NULL;
}

/*
 * Runtime constants (asm/runtime-const.h, 6.11). Each has a section with the addresses of its
 * sites, as words relative to themselves.
 */
static const struct {
	const char *prefix;
	uint8_t len;
} constants[] = { { "runtime_ptr_", 8 }, { "runtime_shift_", 1 }, { "runtime_mask_", 4 } };

static struct vl_error *add_constants(struct vl_trust *t)
{
	for (size_t i = 0; i < t->nr_sections; i++) {
		const struct vl_trust_section *s = &t->sections[i];

		for (size_t k = 0; k < ARRAY_SIZE(constants); k++) {
			if (strncmp(s->name, constants[k].prefix, strlen(constants[k].prefix)) != 0)
				continue;
			for (size_t at = 0; at + 4 <= s->part.len; at += 4)
				if (!vl_trust_add_site(t, place(t, s->part.at + at),
						       constants[k].len, VL_TRUST_CONSTANT,
						       s->part.at + at))
					return vl_error_nomem();
		}
	}
	return NULL;
}

/* Symbols whose code is a site. A name that ends in '*' is a prefix. */
static const struct {
	const char *name;
	uint8_t class, len;
} symbols[] = {
	{ "__SCT__*", VL_TRUST_TRAMPOLINE, 5 },	     { "__pfx_*", VL_TRUST_PADDING, 16 },
	{ "ftrace_call", VL_TRUST_TRACER, 5 },	     { "ftrace_regs_call", VL_TRUST_TRACER, 5 },
	{ "ftrace_graph_call", VL_TRUST_TRACER, 5 },
};

bool vl_trust_is_table(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		if (!strcmp(tables[i].section, name))
			return true;
	return false;
}

/* "x86/callthunks: Add call patching for call depth tracking" (6.2) */
static void find_counter(struct vl_trust *t)
{
	uint64_t from = vl_trust_symbol(t, "skl_call_thunk_template");
	uint64_t to = vl_trust_symbol(t, "skl_call_thunk_tail");

	if (t->set)
		t->counter = t->set->kernel->counter;
	else if (from && to > from && to - from <= 16 && vl_trust_has(t, from - t->va, to - from))
		t->counter = (struct vl_trust_part){ from - t->va, to - from };
}

/* Add the padding in front of each function, if there is room for the code that counts calls. */
static struct vl_error *add_padding(struct vl_trust *t)
{
	uint64_t last = 0;

	for (uint32_t i = 0; t->counter.len && i < t->symbols.nr; i++) {
		uint64_t va = t->symbols.addresses[i];
		size_t at = va - t->va, n = 0;

		if (va == last || !vl_trust_is_entry(t, va))
			continue;
		last = va;
		while (n < PADDING_MAX && n < at - t->text.at && t->bytes[at - n - 1] == 0x90)
			n++;
		if (n >= t->counter.len && !vl_trust_add_site(t, va - n, n, VL_TRUST_PADDING, 0))
			return vl_error_nomem();
	}
	return NULL;
}

static struct vl_error *add_symbols(struct vl_trust *t)
{
	for (uint32_t i = 0; i < t->symbols.nr; i++) {
		const char *name = t->symbols.text + t->symbols.name_at[i];

		for (size_t k = 0; k < ARRAY_SIZE(symbols); k++) {
			size_t n = strcspn(symbols[k].name, "*");

			if (strncmp(name, symbols[k].name, n) != 0 ||
			    (!symbols[k].name[n] && name[n]))
				continue;
			if (!vl_trust_add_site(t, t->symbols.addresses[i], symbols[k].len,
					       symbols[k].class, 0))
				return vl_error_nomem();
		}
	}
	return NULL;
}

static int by_place(const void *pa, const void *pb)
{
	const struct vl_trust_site *a = pa, *b = pb;

	if (a->at != b->at)
		return a->at < b->at ? -1 : 1;
	if (a->len != b->len)
		return a->len > b->len ? -1 : 1;
	if (a->class != b->class)
		return a->class < b->class ? -1 : 1;
	return a->entry < b->entry ? -1 : a->entry > b->entry;
}

/* The low bits of an offset. Sites whose other bits are equal, a page, are sorted together. */
#define PIECE 12

/*
 * Sort the sites: first by pages, by counting, then each page. The sites of one table are near each
 * other, so to sort all at once takes three times as long.
 */
static struct vl_error *sort_sites(struct vl_trust *t)
{
	size_t nr = (t->len >> PIECE) + 1, first = 0;
	_cleanup_free_ size_t *end = calloc(nr + 1, sizeof(*end));
	struct vl_trust_site *sorted = malloc(t->nr_sites * sizeof(*sorted) + 1);

	if (!end || !sorted) {
		free(sorted);
		return vl_error_nomem();
	}
	for (size_t i = 0; i < t->nr_sites; i++)
		end[(t->sites[i].at >> PIECE) + 1]++;
	for (size_t i = 0; i < nr; i++)
		end[i + 1] += end[i];
	/* end[i] is where page i begins, until its sites are copied. */
	for (size_t i = 0; i < t->nr_sites; i++)
		sorted[end[t->sites[i].at >> PIECE]++] = t->sites[i];
	for (size_t i = 0; i < nr; i++) {
		qsort(sorted + first, end[i] - first, sizeof(*sorted), by_place);
		first = end[i];
	}
	free(t->sites);
	t->sites = sorted;
	t->cap_sites = t->nr_sites;
	return NULL;
}

static struct vl_error *make_clusters(struct vl_trust *t)
{
	struct vl_trust_cluster *c = NULL;

	for (size_t i = 0; i < t->nr_sites; i++) {
		const struct vl_trust_site *s = &t->sites[i];

		if (!c || s->at >= c->at + c->len) {
			if (!vl_grow(t->clusters, t->cap_clusters, t->nr_clusters, 1 << 16))
				return vl_error_nomem();
			c = &t->clusters[t->nr_clusters++];
			*c = (struct vl_trust_cluster){ s->at, s->len, (uint32_t)i, 0 };
		}
		c->nr++;
		if (s->at + s->len > c->at + c->len)
			c->len = s->at + s->len - c->at;
		if (c->len > VL_TRUST_CLUSTER_MAX)
			return vl_trust_damaged("too many of its sites overlap");
	}
	return NULL;
}

struct vl_error *vl_trust_tables(struct vl_trust *t)
{
	struct vl_error *err = NULL;

	for (size_t i = 0; !err && i < ARRAY_SIZE(tables); i++)
		err = add_table(t, &tables[i]);
	if (!err)
		err = add_constants(t);
	find_counter(t);
	if (!err)
		err = add_padding(t);
	if (!err)
		err = add_symbols(t);
	if (err)
		return err;
	err = sort_sites(t);
	return err ? err : make_clusters(t);
}

size_t vl_trust_cluster_from(const struct vl_trust *t, size_t at)
{
	return vl_bisect(i, t->nr_clusters, t->clusters[i].at + t->clusters[i].len <= at);
}

size_t vl_trust_site_from(const struct vl_trust *t, size_t at)
{
	return vl_bisect(i, t->nr_sites, t->sites[i].at < at);
}
