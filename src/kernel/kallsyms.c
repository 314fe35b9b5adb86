/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "kallsyms.h"

#include <stdlib.h>
#include <string.h>

#include "../base/array.h"

/* KSYM_NAME_LEN, include/linux/kallsyms.h: a type and a name. */
#define NAME_MAX_LEN 512
/* There is one marker for every 256 names. */
#define MARKER_STEP 256
/* No kernel has fewer: 5.10 without CONFIG_KALLSYMS_ALL has 40,000 symbols. */
#define MARKERS_MIN 16
/* Bytes behind the markers can look like up to two more markers. */
#define MARKERS_CHANCE 3
/* Upper bound of all expanded names, in bytes (kernels have 5 MiB). */
#define TEXT_MAX (64u << 20)
/* Between names and tokens lie the markers and the order by name (3 bytes a symbol). */
#define MARKERS_REACH (16u << 20)

#define TOKENS 256

/* Forged tables can make any loop long: steps between two checks of the deadline. */
#define LOOK_AT_CLOCK 4096

struct finder {
	const unsigned char *image;
	size_t len;
	uint64_t va, handler;
	struct vl_deadline deadline;
	size_t tokens, index;	 /* kallsyms_token_table, kallsyms_token_index */
	size_t markers;		 /* kallsyms_markers */
	size_t names, names_end; /* kallsyms_names */
	size_t num;		 /* kallsyms_num_syms */
	uint32_t nr;
};

static uint16_t get16(const struct finder *f, size_t at)
{
	uint16_t v;

	memcpy(&v, f->image + at, sizeof(v));
	return v;
}

static uint32_t get32(const struct finder *f, size_t at)
{
	uint32_t v;

	memcpy(&v, f->image + at, sizeof(v));
	return v;
}

static uint64_t get64(const struct finder *f, size_t at)
{
	uint64_t v;

	memcpy(&v, f->image + at, sizeof(v));
	return v;
}

static size_t align8(size_t at)
{
	return (at + 7) & ~(size_t)7;
}

/*
 * Does @index have the offset of each token in @tokens? Tokens are strings, one behind the
 * other.
 */
static bool index_fits(const struct finder *f, size_t tokens, size_t index)
{
	size_t at = tokens;

	for (unsigned i = 0; i < TOKENS; i++) {
		const unsigned char *end;

		if (at >= index || get16(f, index + 2 * i) != at - tokens)
			return false;
		end = memchr(f->image + at, 0, index - at);
		if (!end)
			return false;
		at = (size_t)(end - f->image) + 1;
	}
	return index - at < 8;
}

/*
 * A character that occurs in names is its own token, and all digits occur in names: so search
 * for the tokens "0" to "9". The index is behind the last token.
 */
static bool find_tokens(struct finder *f, size_t from)
{
	static const char digits[] = "0\0001\0002\0003\0004\0005\0006\0007\0008\0009";
	const unsigned char *p = f->image + from, *end = f->image + f->len;

	for (; (p = memmem(p, (size_t)(end - p), digits, sizeof(digits))); p++) {
		size_t at = (size_t)(p - f->image), zero = at;
		unsigned i;

		if (vl_late(f->deadline))
			return false;

		for (i = '0'; i < TOKENS; i++) {
			const unsigned char *nul = memchr(f->image + at, 0, f->len - at);

			if (!nul || (size_t)(nul - f->image) - at > NAME_MAX_LEN)
				break;
			at = (size_t)(nul - f->image) + 1;
		}
		if (i < TOKENS)
			continue;
		for (size_t index = at; index < at + 8 && index + 2 * TOKENS <= f->len; index++) {
			size_t before = get16(f, index + 2 * '0');

			if (before <= zero && index_fits(f, zero - before, index)) {
				f->tokens = zero - before;
				f->index = index;
				return true;
			}
		}
	}
	return false;
}

/* The length, in tokens, of the name at @at. *@head_ret: bytes that the length takes. */
static size_t name_length(const struct finder *f, size_t at, size_t end, size_t *head_ret)
{
	size_t len = f->image[at];

	*head_ret = 1;
	/* "kallsyms: support "big" kernel symbols" (6.1) */
	if (len & 0x80 && at + 1 < end) {
		len = (len & 0x7f) | (size_t)f->image[at + 1] << 7;
		*head_ret = 2;
	}
	return len;
}

/* Do @nr names from @names on begin where each marker says, and end before the markers? */
static bool names_fit(struct finder *f, size_t names, uint32_t nr)
{
	size_t at = names;

	for (uint32_t i = 0; i < nr; i++) {
		size_t head, len;

		if (at >= f->markers || (!(i % LOOK_AT_CLOCK) && vl_late(f->deadline)) ||
		    (!(i % MARKER_STEP) &&
		     get32(f, f->markers + 4 * (size_t)(i / MARKER_STEP)) != at - names))
			return false;
		len = name_length(f, at, f->markers, &head);
		if (!len || len > NAME_MAX_LEN)
			return false;
		at += head + len;
	}
	if (at > f->markers || f->markers - at >= 8)
		return false;
	f->names = names;
	f->names_end = at;
	f->nr = nr;
	return true;
}

/* How many numbers from @at on begin at 0 and ascend as markers do. */
static uint32_t markers_at(const struct finder *f, size_t at)
{
	uint32_t nr = 1, last = 0;

	if (get32(f, at))
		return 0;
	for (at += 4; at + 4 <= f->tokens && nr <= VL_SYMBOLS_MAX / MARKER_STEP; at += 4, nr++) {
		uint32_t v = get32(f, at);

		if (v < last + 2 * MARKER_STEP || v - last > MARKER_STEP * (NAME_MAX_LEN + 2))
			break;
		last = v;
	}
	return nr;
}

/*
 * The names lie before the markers, and their number before the names. The last marker gives
 * where they begin, less the bytes of the last group: 1 to MARKER_STEP names, each of at least
 * a length and a character.
 */
static bool find_names(struct finder *f, uint32_t nr_markers)
{
	const size_t least = 2, most = MARKER_STEP * (NAME_MAX_LEN + 2) + 8;
	size_t last = get32(f, f->markers + 4 * (size_t)(nr_markers - 1));

	for (size_t back = least; back <= most && last + back + 8 <= f->markers; back++) {
		size_t names = f->markers - last - back;

		if (names & 3)
			continue;
		for (unsigned gap = 8; gap >= 4; gap -= 4) {
			uint32_t nr = get32(f, names - gap);

			if (nr > VL_SYMBOLS_MAX ||
			    (nr + MARKER_STEP - 1) / MARKER_STEP != nr_markers ||
			    !names_fit(f, names, nr))
				continue;
			f->num = names - gap;
			return true;
		}
	}
	return false;
}

static bool find_markers(struct finder *f)
{
	size_t lowest = f->tokens > MARKERS_REACH ? f->tokens - MARKERS_REACH : 0;

	for (size_t at = f->tokens & ~(size_t)3; at >= lowest + 4;) {
		uint32_t nr;

		at -= 4;
		if (!(at % LOOK_AT_CLOCK) && vl_late(f->deadline))
			return false;
		nr = markers_at(f, at);
		f->markers = at;
		/* Numbers behind the last marker may look like markers by chance. */
		for (uint32_t more = 0; more < MARKERS_CHANCE && nr >= MARKERS_MIN + more; more++)
			if (find_names(f, nr - more))
				return true;
	}
	return false;
}

static uint64_t address(const struct finder *f, const struct vl_kallsyms *k, uint32_t i)
{
	size_t at = k->offsets.at + 4 * (size_t)i;
	int64_t off = (int32_t)get32(f, at);

	switch (k->form) {
	case VL_KALLSYMS_PERCPU:
		return off < 0 ? k->base - 1 - (uint64_t)off : (uint64_t)off;
	case VL_KALLSYMS_BASE:
		return k->base + (uint32_t)off;
	case VL_KALLSYMS_PLACE:
	case VL_KALLSYMS_NONE:
		break;
	}
	return k->base + 4 * (uint64_t)i + (uint64_t)off;
}

/*
 * Do the addresses ascend (kernels sort by them), and is one of them the page-fault handler? If
 * that is not known, most of them must lie in the image.
 */
static bool offsets_fit(const struct finder *f, const struct vl_kallsyms *k)
{
	uint32_t inside = 0;
	uint64_t last = 0;
	bool found = false;

	for (uint32_t i = 0; i < f->nr; i++) {
		uint64_t at = address(f, k, i);

		if (at < last)
			return false;
		found |= at == f->handler;
		inside += at - f->va < f->len;
		last = at;
	}
	return f->handler ? found : inside > f->nr / 2;
}

static bool try_offsets(const struct finder *f, size_t offsets, size_t base_at,
			struct vl_kallsyms *k)
{
	static const enum vl_kallsyms_form forms[] = { VL_KALLSYMS_PERCPU, VL_KALLSYMS_BASE,
						       VL_KALLSYMS_PLACE };

	k->offsets = (struct vl_kallsyms_part){ offsets, 4 * (size_t)f->nr };
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		k->form = forms[i];
		k->base = k->form == VL_KALLSYMS_PLACE ? f->va + offsets : get64(f, base_at);
		if (k->base >= f->va && k->base - f->va < f->len && offsets_fit(f, k))
			return true;
	}
	return false;
}

/*
 * The offsets, followed by the base, lie behind the index of the tokens; before
 * "scripts/kallsyms: change the output order" (6.4), before the number of symbols.
 */
static bool find_offsets(const struct finder *f, struct vl_kallsyms *k)
{
	size_t size = 4 * (size_t)f->nr, behind = f->index + 2 * TOKENS;
	/* Aligned to 8 bytes; to 4 where there is no base. */
	size_t places[] = { (behind + 3) & ~(size_t)3, align8(behind),
			    (f->num - 8 - size) & ~(size_t)7, (f->num - size) & ~(size_t)3 };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if (i >= 2 && f->num < size + 8)
			break;
		if (places[i] > f->len || f->len - places[i] < size + 16)
			continue;
		if (try_offsets(f, places[i], align8(places[i] + size), k))
			return true;
	}
	return false;
}

/* The tokens as strings. */
struct tokens {
	const char *text[TOKENS];
	size_t len[TOKENS];
};

static void get_tokens(const struct finder *f, struct tokens *ret)
{
	for (unsigned i = 0; i < TOKENS; i++) {
		ret->text[i] = (const char *)f->image + f->tokens + get16(f, f->index + 2 * i);
		ret->len[i] = strlen(ret->text[i]);
	}
}

/* Expand the names; false: a name is too short or too long, or there is no memory. */
static bool decode(const struct finder *f, const struct vl_kallsyms *k, struct vl_symbols *ret)
{
	size_t used = 0, at = f->names;
	struct tokens t;

	get_tokens(f, &t);
	/* The first pass adds up the lengths. */
	for (uint32_t i = 0; i < f->nr; i++) {
		size_t head, len = name_length(f, at, f->names_end, &head), whole = 0;

		for (size_t n = 0; n < len; n++)
			whole += t.len[f->image[at + head + n]];
		if (whole < 2 || whole > NAME_MAX_LEN)
			return false;
		used += whole; /* the type falls away, a NUL comes in */
		at += head + len;
	}
	if (used > TEXT_MAX)
		return false;
	ret->addresses = malloc(f->nr * sizeof(*ret->addresses));
	ret->name_at = malloc(f->nr * sizeof(*ret->name_at));
	ret->text = malloc(used);
	if (!ret->addresses || !ret->name_at || !ret->text)
		return false;
	ret->nr = f->nr;
	ret->base = k->base;
	ret->text_len = used;
	at = f->names;
	used = 0;
	for (uint32_t i = 0; i < f->nr; i++) {
		size_t head, len = name_length(f, at, f->names_end, &head), skip = 1;

		ret->addresses[i] = address(f, k, i);
		ret->name_at[i] = (uint32_t)used;
		at += head;
		for (size_t n = 0; n < len; n++) {
			unsigned char c = f->image[at + n];

			/* The first character is the symbol's type. */
			if (t.len[c] > skip)
				memcpy(ret->text + used, t.text[c] + skip, t.len[c] - skip);
			used += t.len[c] > skip ? t.len[c] - skip : 0;
			skip -= t.len[c] < skip ? t.len[c] : skip;
		}
		ret->text[used++] = '\0';
		at += len;
	}
	return true;
}

/* Is the name of @len tokens at @at, without its type, equal to @name? */
static bool name_is(const struct finder *f, const struct tokens *t, size_t at, size_t len,
		    const char *name)
{
	size_t skip = 1;

	for (size_t n = 0; n < len; n++) {
		unsigned char c = f->image[at + n];

		if (t->len[c] > skip) {
			size_t more = t->len[c] - skip;

			if (strncmp(name, t->text[c] + skip, more))
				return false;
			name += more;
		}
		skip -= t->len[c] < skip ? t->len[c] : skip;
	}
	return !*name;
}

void vl_kallsyms_addresses(const unsigned char *image, const struct vl_kallsyms *k,
			   const char *const *names, size_t nr, uint64_t *ret)
{
	const struct finder f = {
		.image = image,
		.tokens = k->tokens.at,
		.index = k->index.at,
		.names = k->names.at,
		.names_end = k->names.at + k->names.len,
		.nr = k->nr,
	};
	size_t at = f.names;
	struct tokens t;

	get_tokens(&f, &t);
	memset(ret, 0, nr * sizeof(*ret));
	for (uint32_t i = 0; i < f.nr; i++) {
		size_t head, len = name_length(&f, at, f.names_end, &head);

		at += head;
		for (size_t n = 0; n < nr; n++)
			if (!ret[n] && name_is(&f, &t, at, len, names[n]))
				ret[n] = address(&f, k, i);
		at += len;
	}
}

/* Expand the name of @len tokens at @at, without its type; cut at NAME_MAX_LEN. */
static void expand(const struct finder *f, const struct tokens *t, size_t at, size_t len,
		   char buf[NAME_MAX_LEN + 1])
{
	size_t used = 0;

	for (size_t n = 0; n < len; n++) {
		const char *text = t->text[f->image[at + n]];

		while (*text && used < NAME_MAX_LEN)
			buf[used++] = *text++;
	}
	buf[used] = '\0';
	if (used)
		memmove(buf, buf + 1, used);
}

/* Is the handler's symbol asm_exc_page_fault (since 5.8) or page_fault (before)? */
static bool handler_named(const struct finder *f, const struct vl_kallsyms *k)
{
	size_t at = f->names;
	struct tokens t;

	get_tokens(f, &t);
	for (uint32_t i = 0; i < f->nr; i++) {
		size_t head, len = name_length(f, at, f->names_end, &head);
		char name[NAME_MAX_LEN + 1];

		at += head;
		if (address(f, k, i) == f->handler) {
			expand(f, &t, at, len, name);
			if (strstr(name, "page_fault"))
				return true;
		}
		at += len;
	}
	return false;
}

bool vl_kallsyms_find(const unsigned char *image, size_t len, uint64_t va, uint64_t handler,
		      struct vl_deadline deadline, struct vl_kallsyms *ret)
{
	struct finder f = { image, len, va, handler, .deadline = deadline };

	for (size_t from = 0; find_tokens(&f, from); from = f.index) {
		memset(ret, 0, sizeof(*ret));
		if (!find_markers(&f) || !find_offsets(&f, ret))
			continue;
		ret->nr = f.nr;
		ret->names = (struct vl_kallsyms_part){ f.names, f.names_end - f.names };
		ret->tokens = (struct vl_kallsyms_part){ f.tokens, f.index - f.tokens };
		ret->index = (struct vl_kallsyms_part){ f.index, 2 * TOKENS };
		if (!handler || handler_named(&f, ret))
			return true;
	}
	return false;
}

/* Do the names end exactly where their table does? */
static bool names_end(const struct finder *f)
{
	size_t at = 0;

	for (uint32_t i = 0; i < f->nr; i++) {
		size_t head, len;

		if (at >= f->names_end)
			return false;
		len = name_length(f, at, f->names_end, &head);
		if (!len || len > NAME_MAX_LEN || len > f->names_end - at - head)
			return false;
		at += head + len;
	}
	return at == f->names_end;
}

/* Write to @index the offset of each token; false: @tokens has fewer than TOKENS strings. */
static bool index_tokens(unsigned char *tokens, size_t len, unsigned char *index)
{
	size_t at = 0;

	for (unsigned i = 0; i < TOKENS; i++) {
		const uint16_t place = (uint16_t)at;
		const unsigned char *nul = at < len ? memchr(tokens + at, 0, len - at) : NULL;

		if (!nul || at > UINT16_MAX)
			return false;
		memcpy(index + 2 * i, &place, sizeof(place));
		at = (size_t)(nul - tokens) + 1;
	}
	return true;
}

static bool ascend(const struct finder *f, const struct vl_kallsyms *k)
{
	for (uint32_t i = 1; i < f->nr; i++)
		if (address(f, k, i) < address(f, k, i - 1))
			return false;
	return true;
}

bool vl_kallsyms_decode(const struct vl_kallsyms_tables *t, uint64_t base, struct vl_symbols *ret)
{
	struct finder f = { .nr = t->nr, .names_end = t->names.len };
	struct vl_kallsyms k = { .form = t->form, .nr = t->nr, .base = base };
	unsigned char *image;
	bool ok;

	memset(ret, 0, sizeof(*ret));
	if (!t->nr || t->nr > VL_SYMBOLS_MAX || t->names.len > VL_NAMES_MAX ||
	    t->tokens.len > VL_TOKENS_MAX || t->offsets.len != 4 * (size_t)t->nr ||
	    (unsigned)t->form > VL_KALLSYMS_PLACE)
		return false;
	f.tokens = t->names.len;
	f.index = f.tokens + t->tokens.len;
	k.offsets = (struct vl_kallsyms_part){ f.index + 2 * TOKENS, t->offsets.len };
	f.len = k.offsets.at + k.offsets.len;
	image = malloc(f.len);
	if (!image)
		return false;
	memcpy(image, t->names.at, t->names.len);
	memcpy(image + f.tokens, t->tokens.at, t->tokens.len);
	memcpy(image + k.offsets.at, t->offsets.at, t->offsets.len);
	f.image = image;
	ok = index_tokens(image + f.tokens, t->tokens.len, image + f.index) && names_end(&f) &&
	     ascend(&f, &k) && decode(&f, &k, ret);
	free(image);
	if (!ok)
		vl_symbols_deinit(ret);
	return ok;
}

void vl_symbols_deinit(struct vl_symbols *s)
{
	free(s->addresses);
	free(s->name_at);
	free(s->text);
	memset(s, 0, sizeof(*s));
}

bool vl_symbols_move(struct vl_symbols *s, enum vl_kallsyms_form form, uint64_t delta)
{
	for (uint32_t i = 0; i < s->nr; i++) {
		if (form != VL_KALLSYMS_PERCPU || s->addresses[i] >= s->base)
			s->addresses[i] += delta;
		if (i && s->addresses[i] < s->addresses[i - 1])
			return false;
	}
	s->base += delta;
	return true;
}
