/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "scan.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "base/text.h"

/* ---- the text of a row ---- */

static void leave_out_row(struct scan *s)
{
	s->is_long = s->has_long = true;
	outlet_clear(&s->text);
}

static void put(struct scan *s, const char *text, size_t len)
{
	if (s->skips || s->is_long)
		return;
	if (s->text.len + len > SCAN_ROW_MAX) {
		leave_out_row(s);
		return;
	}
	outlet_put(&s->text, text, len);
}

static void put_character(struct scan *s, unsigned c)
{
	struct outlet one = { .fd = -1 };
	char plain = (char)c;

	if (c >= ' ' && c < 0x7f && c != '"' && c != '\\') {
		put(s, &plain, 1);
		return;
	}
	outlet_put_character(&one, c);
	put(s, one.text, one.len);
	outlet_deinit(&one);
}

static void put_bad_byte(struct scan *s, unsigned char byte)
{
	static const char hex[] = "0123456789abcdef";
	const char text[] = { '\\', '\\', 'x', hex[byte >> 4], hex[byte & 15] };

	put(s, text, sizeof(text));
}

/* ---- rows ---- */

static void begin_row(struct scan *s, bool members)
{
	outlet_clear(&s->text);
	s->base = s->depth;
	s->in_row = true;
	s->is_members = members;
	s->member = s->nr_keys = 0;
	s->skips = s->is_long = false;
}

static void end_row(struct scan *s, const char *list)
{
	s->in_row = false;
	if (!s->is_long)
		s->row(s, list, s->is_members);
	outlet_clear(&s->text);
}

/* Is the object of the row, or of all lists, the innermost? */
static bool is_member(const struct scan *s)
{
	return s->in_row && s->is_members && s->depth == s->base + 1;
}

/*
 * The list that begins here, behind its key, may be one of rows: keep its name. False: it has too
 * long a name for one.
 */
static bool note_list(struct scan *s)
{
	/* The text is ',"key":'. */
	size_t len = s->text.len - s->member;

	if (len < 4 || len - 2 >= sizeof(s->list))
		return false;
	memcpy(s->list, s->text.text + s->member + 1, len - 2);
	s->list[len - 2] = '\0';
	return true;
}

/* A value begins with @c: decide whether a row does. */
static void before_value(struct scan *s, char c)
{
	const bool is_object = c == '{';

	if (!s->depth) {
		s->form = is_object ? SCAN_UNDECIDED : SCAN_ONE_ROW;
		s->nr_members = 0;
		begin_row(s, is_object);
		return;
	}
	if (s->form == SCAN_ONE_ROW || s->depth > 2)
		return;
	if (s->depth == 1) {
		const bool is_list = c == '[' && !s->skips && !s->is_long && note_list(s);

		if (s->form == SCAN_LISTS)
			s->in_row = !is_list;
		else if (!is_list)
			s->form = SCAN_ONE_ROW;
		return;
	}
	/* The first item of a list decides. */
	if (s->form == SCAN_UNDECIDED) {
		s->form = is_object ? SCAN_LISTS : SCAN_ONE_ROW;
		s->in_row = !is_object;
	}
	if (!s->in_row)
		begin_row(s, is_object);
}

/* With lists, each item is a row, and so is each member that is no list. */
static void behind_value(struct scan *s)
{
	if (!s->depth) {
		if (s->in_row && (s->form == SCAN_ONE_ROW || !s->nr_members))
			end_row(s, NULL);
		s->in_row = false;
		outlet_clear(&s->text);
	} else if (s->form == SCAN_LISTS && s->in_row && s->depth == 1) {
		if (s->text.len)
			end_row(s, NULL);
		s->in_row = false;
	} else if (s->form == SCAN_LISTS && s->in_row && s->depth == 2 && s->base == 2) {
		end_row(s, s->list);
	}
}

static void behind_member(struct scan *s)
{
	if (!is_member(s))
		return;
	if (s->skips && !s->is_long)
		s->text.len = s->member;
	s->skips = false;
}

/* ---- grammar ---- */

static bool open_nest(struct scan *s, char c)
{
	if (s->depth == SCAN_DEPTH)
		return false;
	/* The braces around members are not in the text. */
	if (!(s->in_row && s->is_members && s->depth == s->base))
		put(s, &c, 1);
	s->nest[s->depth++] = c;
	s->at = c == '{' ? SCAN_FIRST_KEY : SCAN_FIRST_VALUE;
	return true;
}

static void end_value(struct scan *s)
{
	behind_member(s);
	behind_value(s);
	s->at = s->depth ? SCAN_BEHIND : SCAN_VALUE;
}

static bool close_nest(struct scan *s, char c)
{
	if (!s->depth || s->nest[s->depth - 1] != (c == '}' ? '{' : '['))
		return false;
	s->depth--;
	if (!(s->in_row && s->is_members && s->depth == s->base))
		put(s, &c, 1);
	end_value(s);
	return true;
}

static bool is_number(const char *w)
{
	size_t n;

	w += *w == '-';
	n = strspn(w, "0123456789");
	if (!n || (n > 1 && *w == '0'))
		return false;
	w += n;
	if (*w == '.') {
		n = strspn(++w, "0123456789");
		if (!n)
			return false;
		w += n;
	}
	if (*w == 'e' || *w == 'E') {
		w += 1 + (w[1] == '-' || w[1] == '+');
		n = strspn(w, "0123456789");
		if (!n)
			return false;
		w += n;
	}
	return !*w;
}

static bool end_word(struct scan *s)
{
	s->word[s->letters] = '\0';
	if (strcmp(s->word, "true") != 0 && strcmp(s->word, "false") != 0 &&
	    strcmp(s->word, "null") != 0 && !is_number(s->word))
		return false;
	put(s, s->word, s->letters);
	end_value(s);
	return true;
}

static bool is_letter(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '-' || c == '+' || c == '.';
}

static bool begin_value(struct scan *s, char c)
{
	if (c != '{' && c != '[' && c != '"' && !is_letter(c))
		return false;
	before_value(s, c);
	if (c == '{' || c == '[')
		return open_nest(s, c);
	if (c == '"') {
		put(s, &c, 1);
		s->is_key = false;
		s->at = SCAN_STRING;
		return true;
	}
	s->word[0] = c;
	s->letters = 1;
	s->at = SCAN_WORD;
	return true;
}

static bool begin_key(struct scan *s)
{
	if (s->depth == 1)
		s->nr_members++;
	/* With lists, what stands beside them is a row of its own. */
	if (s->form == SCAN_LISTS && s->depth == 1) {
		s->depth = 0;
		begin_row(s, true);
		s->depth = 1;
	}
	if (is_member(s)) {
		s->member = s->text.len;
		put(s, ",\"", 2);
	} else {
		put(s, "\"", 1);
	}
	s->is_key = true;
	s->at = SCAN_STRING;
	return true;
}

/* ---- strings ---- */

static void end_parts(struct scan *s)
{
	for (unsigned i = 0; i < s->parts; i++)
		put_bad_byte(s, (unsigned char)s->part[i]);
	s->parts = 0;
}

/* A surrogate without the other one is no character. */
static void end_high(struct scan *s)
{
	if (s->high)
		put_character(s, 0xfffd);
	s->high = 0;
}

/* A key of the row, at the end of its text: leave out a second member of that name. */
static void note_key(struct scan *s)
{
	uint64_t h = vl_hash(VL_HASH, s->text.text + s->member, s->text.len - s->member);

	for (size_t i = 0; i < s->nr_keys; i++)
		if (s->keys[i] == h) {
			s->skips = true;
			return;
		}
	if (s->nr_keys == SCAN_MEMBERS_MAX || !vl_grow(s->keys, s->cap_keys, s->nr_keys, 64))
		leave_out_row(s);
	else
		s->keys[s->nr_keys++] = h;
}

static void end_string(struct scan *s)
{
	static const char *const ours[] = { ",\"host\"", ",\"list\"" };

	put(s, "\"", 1);
	if (!s->is_key) {
		end_value(s);
		return;
	}
	s->at = SCAN_COLON;
	/* Those keys are ours. */
	for (size_t i = 0; is_member(s) && !s->is_long && i < ARRAY_SIZE(ours); i++)
		if (s->text.len - s->member == strlen(ours[i]) &&
		    !memcmp(s->text.text + s->member, ours[i], strlen(ours[i])))
			s->skips = true;
	if (is_member(s) && !s->is_long && !s->skips)
		note_key(s);
}

static void take_unit(struct scan *s, unsigned unit)
{
	if (s->high && unit >= 0xdc00 && unit <= 0xdfff) {
		put_character(s, 0x10000 + ((s->high - 0xd800) << 10) + (unit - 0xdc00));
		s->high = 0;
		return;
	}
	end_high(s);
	if (unit >= 0xd800 && unit <= 0xdbff)
		s->high = unit;
	else
		put_character(s, unit >= 0xdc00 && unit <= 0xdfff ? 0xfffd : unit);
}

/* A byte above ASCII. */
static void take_part(struct scan *s, char c)
{
	const unsigned char first = (unsigned char)(s->parts ? s->part[0] : c);
	const unsigned need = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
	uint32_t code;

	/* Not a continuation: it begins another one. */
	if (s->parts && ((unsigned char)c & 0xc0) != 0x80) {
		end_parts(s);
		take_part(s, c);
		return;
	}
	s->part[s->parts++] = c;
	if (s->parts < need)
		return;
	if (vl_text_utf8(s->part, s->parts, &code) == s->parts) {
		put_character(s, code);
		s->parts = 0;
	}
	end_parts(s);
}

static bool take_string(struct scan *s, char c)
{
	if ((unsigned char)c >= 0x80) {
		end_high(s);
		take_part(s, c);
		return true;
	}
	end_parts(s);
	if (c == '\\') {
		s->at = SCAN_ESCAPE;
		return true;
	}
	end_high(s);
	if (c == '"')
		end_string(s);
	else
		put_character(s, (unsigned char)c);
	return c >= ' ';
}

static bool take_escape(struct scan *s, char c)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at = c ? strchr(from, c) : NULL;

	s->at = SCAN_STRING;
	if (c == 'u') {
		s->at = SCAN_HEX;
		s->digits = s->unit = 0;
		return true;
	}
	end_high(s);
	if (at)
		put_character(s, (unsigned char)to[at - from]);
	return at;
}

static bool take_hex(struct scan *s, char c)
{
	const int digit = c >= '0' && c <= '9' ? c - '0' :
			  c >= 'a' && c <= 'f' ? c - 'a' + 10 :
			  c >= 'A' && c <= 'F' ? c - 'A' + 10 :
						 -1;

	if (digit < 0)
		return false;
	s->unit = s->unit << 4 | (unsigned)digit;
	if (++s->digits < 4)
		return true;
	s->at = SCAN_STRING;
	take_unit(s, s->unit);
	return true;
}

/* ---- the stream ---- */

static bool take_structure(struct scan *s, char c)
{
	switch (s->at) {
	case SCAN_FIRST_VALUE:
		if (c == ']')
			return close_nest(s, c);
		return begin_value(s, c);
	case SCAN_VALUE:
		return begin_value(s, c);
	case SCAN_FIRST_KEY:
		if (c == '}')
			return close_nest(s, c);
		return c == '"' && begin_key(s);
	case SCAN_KEY:
		return c == '"' && begin_key(s);
	case SCAN_COLON:
		if (c != ':')
			return false;
		put(s, ":", 1);
		s->at = SCAN_VALUE;
		return true;
	default: /* SCAN_BEHIND */
		if (c == '}' || c == ']')
			return close_nest(s, c);
		if (c != ',')
			return false;
		s->at = s->nest[s->depth - 1] == '{' ? SCAN_KEY : SCAN_VALUE;
		/* Members bring their comma, and rows need none. */
		if (s->in_row && !is_member(s))
			put(s, ",", 1);
		return true;
	}
}

static bool take_byte(struct scan *s, char c)
{
	switch (s->at) {
	case SCAN_STRING:
		return take_string(s, c);
	case SCAN_ESCAPE:
		return take_escape(s, c);
	case SCAN_HEX:
		return take_hex(s, c);
	case SCAN_WORD:
		if (is_letter(c) && s->letters + 1 < sizeof(s->word)) {
			s->word[s->letters++] = c;
			return true;
		}
		if (is_letter(c) || !end_word(s))
			return false;
		break;
	default:
		break;
	}
	if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
		return true;
	return take_structure(s, c);
}

size_t scan_take(struct scan *s, const char *text, size_t len)
{
	size_t i = 0;

	while (i < len && take_byte(s, text[i]))
		i++;
	return i;
}

bool scan_end(struct scan *s)
{
	/* A number without anything around it ends so. */
	if (s->at == SCAN_WORD && !s->depth && !end_word(s))
		return false;
	return s->at == SCAN_VALUE && !s->depth;
}

void scan_deinit(struct scan *s)
{
	free(s->keys);
	outlet_deinit(&s->text);
}
