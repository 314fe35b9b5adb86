/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The forms of kCFI and FineIBT (arch/x86/kernel/alternative.c, CONFIG_FINEIBT). The compiler puts
 * a hash of its type in front of each function, and a comparison in front of each indirect call.
 * While it boots the kernel makes other hashes of these, by a seed, and may replace both pieces of
 * code by those of FineIBT, which are in its constants. A kernel without FineIBT changes none.
 */
#include "cfi.h"

#include <stdio.h>

#include "internal.h"

/* movl $HASH,%eax, and the number's place */
#define PREAMBLE "\xb8"
#define PREAMBLE_HASH 1
/* movl $-HASH,%r10d; addl -15(%r11),%r10d; je .+4; ud2 */
#define CALLER "\x41\xba"
#define CALLER_HASH 2
#define CALLER_LEN 14
/* jmp over the rest of it, where nothing is compared */
#define SKIP "\xeb\x0c"
#define HASH_LEN VL_TRUST_HASH_LEN

/* Code of FineIBT in the constants of the kernel. */
struct piece {
	const unsigned char *bytes;
	size_t len, hash; /* the place of the hash in it */
};

/* The hash in that code. */
static const unsigned char any_hash[HASH_LEN] = { 0x78, 0x56, 0x34, 0x12 };

/* Find the code between the symbols NAME_start and NAME_end. */
static bool find_piece(const struct vl_trust *t, const char *name, struct piece *ret)
{
	const struct vl_trust *k = vl_trust_kernel(t);
	char symbol[64];
	uint64_t from, to;

	snprintf(symbol, sizeof(symbol), "%s_start", name);
	from = vl_trust_symbol(k, symbol);
	snprintf(symbol, sizeof(symbol), "%s_end", name);
	to = vl_trust_symbol(k, symbol);
	if (!from || to <= from || to - from > VL_TRUST_CFI_MAX)
		return false;
	ret->len = to - from;
	ret->bytes = vl_trust_bytes(k, from, ret->len);
	for (size_t i = 0; ret->bytes && i + HASH_LEN <= ret->len; i++)
		if (!memcmp(ret->bytes + i, any_hash, HASH_LEN)) {
			ret->hash = i;
			return true;
		}
	return false;
}

static uint32_t word(const unsigned char *p)
{
	return (uint32_t)vl_trust_i32(p);
}

/*
 * The hash that the guest's kernel makes of @hash. The seed is the guest's: a wrong one makes all
 * of its hashes wrong.
 */
static uint32_t rehash(const struct vl_trust_context *l, uint32_t hash)
{
	uint64_t va = vl_trust_symbol(vl_trust_kernel(l->t), "cfi_seed");
	uint32_t seed;

	return va && l->memory->read(l->memory->ctx, va, &seed, sizeof(seed)) ? hash ^ seed : hash;
}

/* Is @now what the kernel makes of @hash? @sealed: the function may be for direct calls only. */
static bool is_hash(const struct vl_trust_context *l, uint32_t hash, uint32_t now, bool sealed)
{
	return now == hash || (sealed && !now) || now == rehash(l, hash);
}

/* Does @c have the bytes of @p from @from to @to? */
static bool same_part(const struct piece *p, const struct vl_code *c, size_t from, size_t to)
{
	return to <= p->len && !memcmp(p->bytes + from, c->bytes + from, to - from);
}

/* Is @c the beginning of the code of @p, except for the hash? */
static bool is_piece(const struct piece *p, const struct vl_code *c, size_t from)
{
	return p->hash + HASH_LEN <= c->len && c->len <= p->len && same_part(p, c, from, p->hash) &&
	       same_part(p, c, p->hash + HASH_LEN, c->len);
}

/* endbr64, or a no operation in its place where the function is only called directly. */
static bool is_sealed(const struct vl_code *c)
{
	const struct vl_code first = { c->bytes, VL_TRUST_ENDBR_LEN, c->va };

	return c->len > VL_TRUST_ENDBR_LEN && vl_code_is_nop(&first, 0, false);
}

/* No operations, or at their end the code that counts calls. */
static bool is_padding(const struct vl_trust_context *l, const struct vl_code *c)
{
	const struct vl_trust *k = vl_trust_kernel(l->t);
	const struct vl_trust_context kernel = { .t = k, .memory = l->memory };
	struct vl_code counter = *c;

	if (vl_code_is_nop(c, 0, false))
		return true;
	if (!k->counter.len || k->counter.len > c->len)
		return false;
	counter.bytes += c->len - k->counter.len;
	counter.va += c->len - k->counter.len;
	counter.len = k->counter.len;
	return vl_code_is_nop(&(struct vl_code){ c->bytes, c->len - counter.len, c->va }, 0,
			      false) &&
	       vl_trust_same_code(&kernel, k->counter.at, counter.len, &counter);
}

enum vl_trust_form vl_trust_cfi_function(const struct vl_trust_context *l,
					 const struct vl_trust_site *s, const struct vl_code *c)
{
	uint32_t hash = word(l->t->bytes + s->at + PREAMBLE_HASH);
	const size_t end = PREAMBLE_HASH + HASH_LEN;
	struct piece p;

	if (vl_code_starts(c, PREAMBLE, PREAMBLE_HASH) && c->len > end &&
	    is_hash(l, hash, word(c->bytes + PREAMBLE_HASH), true) &&
	    is_padding(l, &(struct vl_code){ c->bytes + end, c->len - end, c->va + end }))
		return VL_TRUST_LEGAL;
	if (!find_piece(l->t, "fineibt_preamble", &p) || p.len != c->len ||
	    p.hash + HASH_LEN > p.len)
		return VL_TRUST_ILLEGAL;
	return (is_piece(&p, c, 0) && is_hash(l, hash, word(c->bytes + p.hash), false)) ||
			       (is_sealed(c) && is_piece(&p, c, VL_TRUST_ENDBR_LEN) &&
				is_hash(l, hash, word(c->bytes + p.hash), true)) ?
		       VL_TRUST_LEGAL :
		       VL_TRUST_ILLEGAL;
}

enum vl_trust_form vl_trust_cfi_caller(const struct vl_trust_context *l,
				       const struct vl_trust_site *s, const struct vl_code *c)
{
	const unsigned char *own = l->t->bytes + s->at;
	uint32_t hash = -word(own + CALLER_HASH);
	const size_t end = CALLER_HASH + HASH_LEN;
	struct piece p;

	if ((vl_code_starts(c, CALLER, CALLER_HASH) || vl_code_starts(c, SKIP, CALLER_HASH)) &&
	    c->len > end && !memcmp(c->bytes + end, own + end, c->len - end) &&
	    is_hash(l, hash, -word(c->bytes + CALLER_HASH), false))
		return VL_TRUST_LEGAL;
	/* Code that compares the hash itself is longer. Its rest is in the place of the call. */
	if ((find_piece(l->t, "fineibt_caller", &p) && p.len == c->len && is_piece(&p, c, 0) &&
	     is_hash(l, hash, word(c->bytes + p.hash), false)) ||
	    (find_piece(l->t, "fineibt_paranoid", &p) && p.len > c->len && is_piece(&p, c, 0) &&
	     is_hash(l, hash, word(c->bytes + p.hash), false)))
		return VL_TRUST_LEGAL;
	return VL_TRUST_ILLEGAL;
}

bool vl_trust_cfi_call(const struct vl_trust_context *l, const struct vl_trust_site *s,
		       const struct vl_code *c)
{
	struct piece p;

	return vl_trust_is_cfi_caller(l->t, s->at) && find_piece(l->t, "fineibt_paranoid", &p) &&
	       p.len == CALLER_LEN + c->len && !memcmp(p.bytes + CALLER_LEN, c->bytes, c->len);
}

/* Is the function at offset @at among those that are only called directly? */
static bool is_direct(const struct vl_trust *t, size_t at)
{
	for (size_t i = vl_trust_site_from(t, at); i < t->nr_sites && t->sites[i].at == at; i++)
		if (t->sites[i].class == VL_TRUST_ENDBR)
			return true;
	return false;
}

bool vl_trust_cfi_sealed(const struct vl_trust_context *l, const struct vl_trust_site *s,
			 const struct vl_code *c, size_t *ret)
{
	static const unsigned char zeros[HASH_LEN];
	struct piece p;

	if (!is_direct(l->t, s->at + s->len) || !find_piece(l->t, "fineibt_preamble", &p) ||
	    p.len != c->len || p.hash + HASH_LEN > p.len)
		return false;
	for (int fine = 0; fine < 2; fine++) {
		size_t at = fine ? p.hash : PREAMBLE_HASH;

		if (memcmp(c->bytes + at, zeros, HASH_LEN) != 0)
			continue;
		*ret = at;
		return true;
	}
	return false;
}

/* --- sites --- */

bool vl_trust_has_endbr(const struct vl_trust *t, size_t at)
{
	return vl_trust_has(t, at, VL_TRUST_ENDBR_LEN) &&
	       !memcmp(t->bytes + at, "\xf3\x0f\x1e\xfa", VL_TRUST_ENDBR_LEN);
}

bool vl_trust_is_cfi_caller(const struct vl_trust *t, size_t call)
{
	struct piece p;

	return call >= CALLER_LEN && vl_trust_has(t, call - CALLER_LEN, CALLER_LEN) &&
	       !memcmp(t->bytes + call - CALLER_LEN, CALLER, CALLER_HASH) &&
	       find_piece(t, "fineibt_caller", &p) && p.len == CALLER_LEN;
}

size_t vl_trust_cfi_caller_len(void)
{
	return CALLER_LEN;
}

size_t vl_trust_cfi_function_len(const struct vl_trust *t, size_t at)
{
	struct piece p;

	return vl_trust_has(t, at, PREAMBLE_HASH + HASH_LEN) &&
			       !memcmp(t->bytes + at, PREAMBLE, PREAMBLE_HASH) &&
			       find_piece(t, "fineibt_preamble", &p) ?
		       p.len :
		       0;
}
