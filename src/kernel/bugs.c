/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of warnings of a kernel without a table of symbols (exports.h). */
#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "exports.h"

/* Bytes between two checks of the deadline. */
#define LOOK_AT_CLOCK (1UL << 20)

static uint32_t get32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* The address that the offset at @at of @p gives. */
static uint64_t address(const struct vl_export_part *p, size_t at)
{
	return p->va + at + (uint64_t)(int64_t)(int32_t)get32(p->at + at);
}

static bool in_text(const struct vl_text *text, uint64_t va)
{
	return va - text->va < text->len;
}

/* --- addresses that the code takes --- */

/* A bit for each offset in the image whose address the code takes. */
struct taken {
	unsigned char *bits;
	size_t len; /* of the image */
};

static void take(const struct taken *t, uint64_t at)
{
	if (at < t->len)
		t->bits[at / 8] |= (unsigned char)(1U << at % 8);
}

static bool is_taken(const struct taken *t, uint64_t at)
{
	return at < t->len && t->bits[at / 8] >> at % 8 & 1;
}

/* Note the addresses that the code takes, as a number in it or relative to RIP. */
static bool find_taken(const struct vl_export_part *all, const struct vl_text *text,
		       struct taken *ret)
{
	ret->len = all->len;
	ret->bits = calloc(1, all->len / 8 + 1);
	if (!ret->bits)
		return false;
	/* A prefix of 64 bits, an operation, perhaps its operand, and four bytes. */
	for (size_t i = 0; i + 7 <= text->len; i++) {
		const unsigned char *p = text->bytes + i;

		if ((*p & 0xf8) != 0x48)
			continue;
		if ((p[1] == 0xc7 || p[1] == 0x81) && p[2] >= 0xc0) /* mov, cmp, add, sub */
			take(ret, (uint64_t)(int64_t)(int32_t)get32(p + 3) - all->va);
		else if (p[1] == 0x3d) /* cmp with rax */
			take(ret, (uint64_t)(int64_t)(int32_t)get32(p + 2) - all->va);
		else if (p[1] == 0x8d && (p[2] & 0xc7) == 0x05) /* lea */
			take(ret,
			     text->va + i + 7 + (uint64_t)(int64_t)(int32_t)get32(p + 3) - all->va);
	}
	return true;
}

/* --- the table --- */

/*
 * struct bug_entry, include/asm-generic/bug.h, of offsets from their own places: the instruction;
 * with CONFIG_DEBUG_BUGVERBOSE the name of a file, and before that, since "bug: Add report format
 * string" (6.19), a text or 0. A line and flags follow.
 */
struct bug_form {
	unsigned int step, text_at, file_at; /* in bytes; 0: there is none */
};
static const struct bug_form bug_forms[] = {
	{ 8, 0, 0 },
	{ 12, 0, 4 },
	{ 16, 4, 8 },
};
#define BUGS_MIN 64

/* What an entry leads to. */
enum bug {
	BUG_NONE, /* not an entry */
	BUG_STOP, /* ud2 or ud1, which stop the kernel */
	/*
	 * Code of the kernel's start, which lies behind its data, and may be freed; or, of those
	 * with a text, what comes before a call of __WARN_trap
	 */
	BUG_OTHER,
};

static bool is_stop(const unsigned char *p)
{
	/* Prefixes of ud1: an address of 4 bytes, a register above the eighth. */
	for (unsigned int i = 0; i < 3; i++)
		if (p[i] == 0x0f)
			return p[i + 1] == 0xb9 || (!i && p[i + 1] == 0x0b);
	return false;
}

/* Does the offset at @at lead to constants or data? */
static bool is_data(const struct vl_export_part *all, const struct vl_text *text, size_t at)
{
	uint64_t va = address(all, at);

	return va - all->va < all->len && !in_text(text, va);
}

static enum bug bug_at(const struct vl_export_part *all, const struct vl_text *text,
		       const struct bug_form *f, size_t at)
{
	uint64_t va;

	if (at > all->len || all->len - at < f->step)
		return BUG_NONE;
	va = address(all, at);
	if ((f->file_at && !is_data(all, text, at + f->file_at)) ||
	    (f->text_at && get32(all->at + at + f->text_at) &&
	     !is_data(all, text, at + f->text_at)))
		return BUG_NONE;
	if (va > all->va + at && va - all->va < all->len)
		return BUG_OTHER;
	if (va - text->va > text->len - 8)
		return BUG_NONE;
	return is_stop(text->bytes + (va - text->va)) ? BUG_STOP :
	       f->text_at			      ? BUG_OTHER :
							BUG_NONE;
}

/* How many entries are at @at, of those that stop the kernel? */
static uint32_t bugs_at(const struct vl_export_part *all, const struct vl_text *text,
			const struct bug_form *f, size_t at, size_t *len_ret)
{
	uint32_t nr = 0;
	size_t start = at;
	enum bug bug;

	for (; (bug = bug_at(all, text, f, at)) != BUG_NONE; at += f->step)
		nr += bug == BUG_STOP;
	*len_ret = at - start;
	return nr;
}

/* Does the offset at @at lead to an instruction that stops the kernel? */
static bool leads_to_stop(const struct vl_export_part *all, const struct vl_text *text, size_t at)
{
	uint64_t va = address(all, at);

	return va - text->va <= text->len - 8 && is_stop(text->bytes + (va - text->va));
}

void vl_exports_find_bugs(const unsigned char *image, size_t len, uint64_t va,
			  const struct vl_text *text, struct vl_deadline deadline,
			  struct vl_exports *ret)
{
	const struct vl_export_part whole = { image, len, va }, *all = &whole;
	uint32_t best = BUGS_MIN - 1;
	struct taken taken;
	size_t next = 4;

	if (!find_taken(all, text, &taken))
		return;
	/*
	 * Take the table with the most entries, as other tables can look like a short one. The code
	 * must take the addresses of both its ends (find_bug()): freed memory of the image can hold
	 * a longer table, which any process wrote there.
	 */
	for (size_t at = 0; at + 4 <= len; at += next) {
		next = 4;
		if (!(at % LOOK_AT_CLOCK) && vl_late(deadline))
			break;
		for (size_t i = 0; leads_to_stop(all, text, at) && i < ARRAY_SIZE(bug_forms); i++) {
			const struct bug_form *f = &bug_forms[i];
			size_t from = at, size;
			uint32_t nr = bugs_at(all, text, f, at, &size);

			/* Skip the entries that were examined, so that the search stays linear. */
			if (size / f->step >= BUGS_MIN && size > next)
				next = size;
			if (nr <= best)
				continue;
			while (from >= f->step && bug_at(all, text, f, from - f->step))
				from -= f->step;
			if (!is_taken(&taken, from) || !is_taken(&taken, at + size))
				continue;
			best = nr;
			ret->bugs = all->va + from;
			ret->bugs_len = at - from + size;
		}
	}
	free(taken.bits);
}
