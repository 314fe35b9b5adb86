/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "data.h"

#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "../base/hash.h"
#include "derive.h"

/* More variables than the witnesses have. */
#define MAX_DATA 256

/* A function that is found by its calls can show other functions. So many rounds follow. */
#define ROUNDS 4

/* The results of the witnesses of one variable. */
struct found {
	const char *symbol;
	uint64_t address;
	bool contradicted;
};

struct search {
	const struct vl_kernel *k;
	const struct vl_text *text;
	bool up;			     /* a kernel for one CPU */
	const struct vl_data_witness *asked; /* the statements of one function */
	size_t nr_asked;
	struct found found[MAX_DATA];
	size_t nr;
};

static void hear(struct search *s, const char *symbol, uint64_t address)
{
	for (size_t i = 0; i < s->nr; i++) {
		if (strcmp(s->found[i].symbol, symbol) != 0)
			continue;
		s->found[i].contradicted |= s->found[i].address != address;
		return;
	}
	if (s->nr < MAX_DATA)
		s->found[s->nr++] = (struct found){ symbol, address, false };
}

/* Does a kernel for one CPU lack @symbol? */
static bool is_of_smp(const char *symbol)
{
	return !strcmp(symbol, "__per_cpu_offset") || !strcmp(symbol, "this_cpu_off") ||
	       !strcmp(symbol, "nr_cpu_ids");
}

static void take_line(void *ctx, const char *line)
{
	struct search *s = ctx;

	for (size_t i = 0; i < s->nr_asked; i++) {
		const char *pattern = s->asked[i].pattern;
		int64_t address = 0;

		if (s->up && (strchr(pattern, '%') || is_of_smp(s->asked[i].symbol)))
			continue;
		if (vl_derive_match(vl_kernel_layout(s->k), pattern, line, &address) && address)
			hear(s, s->asked[i].symbol, (uint64_t)address);
	}
}

static struct vl_error *too_long(void)
{
	return vl_error_new(VL_ERR_FAULT, "it takes too long to find the kernel's variables");
}

/* The search for a line of a function; @number is the one at the pattern's @. */
struct finding {
	const struct vl_layout *known;
	const char *pattern;
	bool seen;
	int64_t number;
};

/* vl_trace_fn */
static void look_at_line(void *ctx, const char *line)
{
	struct finding *l = ctx;

	if (!l->seen)
		l->seen = vl_derive_match(l->known, l->pattern, line, &l->number);
}

/* Does the function at @va have a line of @pattern? *@number_ret is at its @. */
static bool has_line(const struct search *s, uint64_t va, const char *pattern, uint64_t *number_ret)
{
	struct finding l = { .known = vl_kernel_layout(s->k), .pattern = pattern };

	vl_trace(s->k, s->text, VL_NO_FIELD, true, va, look_at_line, &l);
	*number_ret = (uint64_t)l.number;
	return l.seen;
}

/* Functions begin at multiples of this, and a callee is asked for so near behind a start. */
#define START_ALIGN 16
#define START_REACH 128

/*
 * Ask the functions that have the bytes of @c in their code, near the start: not all starts are
 * known.
 */
static struct vl_error *ask_callers(struct search *s, const struct vl_data_callee *c,
				    struct vl_deadline deadline)
{
	const unsigned char *p = s->text->bytes, *end = p + s->text->len;
	uint64_t va, number;

	for (; (p = memmem(p, (size_t)(end - p), c->code, c->len)); p++) {
		size_t at = (size_t)(p - s->text->bytes), start = at & -(size_t)START_ALIGN;

		if (vl_late(deadline))
			return too_long();
		for (; start && at - start < START_REACH; start -= START_ALIGN)
			if (has_line(s, s->text->va + start, c->pattern, &va) &&
			    has_line(s, va, c->shows, &number))
				hear(s, c->symbol, va);
	}
	return NULL;
}

/* Ask @nr witnesses. */
static struct vl_error *ask(struct search *s, const struct vl_data_witness *list, size_t nr,
			    struct vl_deadline deadline)
{
	for (size_t i = 0; i < nr; i += s->nr_asked) {
		uint64_t va;

		if (vl_late(deadline))
			return too_long();
		s->asked = &list[i];
		s->nr_asked = 1;
		while (i + s->nr_asked < nr &&
		       !strcmp(s->asked[s->nr_asked].function, s->asked->function))
			s->nr_asked++;
		for (size_t n = 0; (va = vl_symbol_nth(s->k, s->asked->function, n)); n++)
			vl_trace(s->k, s->text, VL_NO_FIELD, true, va, take_line, s);
	}
	return NULL;
}

static struct vl_error *ask_bare(struct search *s, size_t round, struct vl_deadline deadline)
{
	struct vl_error *err = NULL;

	for (size_t i = 0; !round && !err && i < VL_DATA_CALLEES; i++)
		if (!vl_symbol_is(s->k, vl_data_callees[i].symbol))
			err = ask_callers(s, &vl_data_callees[i], deadline);
	return err ? err : ask(s, vl_data_bare[round].list, vl_data_bare[round].nr, deadline);
}

static int by_address(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return x->address < y->address ? -1 : x->address > y->address;
}

/* Insert the symbols that were found into @s, in the order of the addresses. */
static struct vl_error *merge(struct vl_symbols *s, struct found *found, size_t nr)
{
	struct vl_symbols all = { .base = s->base };
	size_t i = 0, k = 0, text_len = s->text_len;

	qsort(found, nr, sizeof(*found), by_address);
	for (size_t n = 0; n < nr; n++)
		text_len += strlen(found[n].symbol) + 1;
	all.addresses = malloc((s->nr + nr) * sizeof(*all.addresses));
	all.name_at = malloc((s->nr + nr) * sizeof(*all.name_at));
	all.text = malloc(text_len);
	if (!all.addresses || !all.name_at || !all.text) {
		vl_symbols_deinit(&all);
		return vl_error_nomem();
	}
	memcpy(all.text, s->text, s->text_len);
	all.text_len = s->text_len;
	while (i < s->nr || k < nr) {
		if (k == nr || (i < s->nr && s->addresses[i] <= found[k].address)) {
			all.addresses[all.nr] = s->addresses[i];
			all.name_at[all.nr++] = s->name_at[i++];
			continue;
		}
		all.addresses[all.nr] = found[k].address;
		all.name_at[all.nr++] = (uint32_t)all.text_len;
		strcpy(all.text + all.text_len, found[k].symbol);
		all.text_len += strlen(found[k++].symbol) + 1;
	}
	vl_symbols_deinit(s);
	*s = all;
	return NULL;
}

/* *@more_ret: something was found. */
static struct vl_error *one_round(struct vl_symbols *symbols, const struct vl_text *text,
				  const struct vl_layout *layout, size_t round,
				  struct vl_deadline deadline, bool *more_ret)
{
	_cleanup_free_ struct search *s = calloc(1, sizeof(*s));
	struct vl_kernel *k;
	struct vl_error *err;
	size_t good = 0;

	if (!s)
		return vl_error_nomem();
	err = vl_kernel_create(symbols, layout, &k);
	if (err)
		return err;
	s->k = k;
	s->text = text;
	s->up = vl_kernel_is_up(k);
	err = ask(s, vl_data_rounds[round].list, vl_data_rounds[round].nr, deadline);
	if (!err && s->up)
		err = ask(s, vl_data_up[round].list, vl_data_up[round].nr, deadline);
	if (!err && vl_symbol_is(k, VL_NAMELESS))
		err = ask_bare(s, round, deadline);
	for (size_t i = 0; i < s->nr; i++)
		if (!s->found[i].contradicted && !vl_symbol_is(k, s->found[i].symbol))
			s->found[good++] = s->found[i];
	vl_kernel_destroy(k);
	*more_ret = good;
	return err ? err : merge(symbols, s->found, good);
}

struct vl_error *vl_data_add(struct vl_symbols *s, const struct vl_text *text,
			     const struct vl_layout *layout, struct vl_deadline deadline)
{
	size_t from = layout ? VL_DATA_BY_FIELDS : 0;
	size_t end = layout ? VL_DATA_ROUNDS : VL_DATA_BY_FIELDS;
	struct vl_error *err = NULL;
	struct vl_layout none;
	bool more;

	memset(&none, 0xff, sizeof(none)); /* VL_NO_FIELD */
	for (size_t i = from; !err && i < end; i++) {
		unsigned int left = i ? 1 : ROUNDS;

		do
			err = one_round(s, text, layout ? layout : &none, i, deadline, &more);
		while (!err && more && --left);
	}
	return err;
}

static uint64_t hash_of(uint64_t hash, const struct vl_data_round *round)
{
	for (size_t i = 0; i < round->nr; i++) {
		const struct vl_data_witness *w = &round->list[i];

		hash = vl_hash(hash, w->symbol, strlen(w->symbol) + 1);
		hash = vl_hash(hash, w->function, strlen(w->function) + 1);
		hash = vl_hash(hash, w->pattern, strlen(w->pattern) + 1);
	}
	return hash;
}

uint64_t vl_data_hash(void)
{
	uint64_t hash = VL_HASH;

	for (size_t r = 0; r < VL_DATA_ROUNDS; r++)
		hash = hash_of(hash_of(hash_of(hash, &vl_data_rounds[r]), &vl_data_up[r]),
			       &vl_data_bare[r]);
	for (size_t i = 0; i < VL_DATA_CALLEES; i++) {
		const struct vl_data_callee *c = &vl_data_callees[i];

		hash = vl_hash(hash, c->symbol, strlen(c->symbol) + 1);
		hash = vl_hash(hash, c->code, c->len);
		hash = vl_hash(hash, c->pattern, strlen(c->pattern) + 1);
		hash = vl_hash(hash, c->shows, strlen(c->shows) + 1);
	}
	return hash;
}
