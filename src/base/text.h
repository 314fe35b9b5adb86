/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text of a guest that is to be shown. Hostile are: control characters (they drive a
 * terminal), bytes that are no UTF-8 (an 8-bit terminal takes some for control
 * characters), and characters that have no shape of their own but change how others
 * look: marks of direction, of zero width, separators of lines (Unicode: categories Cc,
 * Cf, Zl, Zp, and fillers). All functions are free of the locale.
 */
#ifndef VLENS_BASE_TEXT_H
#define VLENS_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Is @c a character that is not seen, but changes what is seen? Not control characters. */
bool vl_text_unseen(uint32_t c);

/*
 * The length of the UTF-8 character at the front of @text (RFC 3629; @len > 0), and what it
 * is. 0: there is none, or it is cut off.
 */
size_t vl_text_utf8(const char *text, size_t len, uint32_t *ret);

/*
 * The character at the front of @text (@len > 0): how many bytes it has. Bytes that are no
 * UTF-8 come one by one. *@hostile_ret: it must not be shown as it is.
 */
size_t vl_text_next(const char *text, size_t len, bool *hostile_ret);

enum vl_text_kept {
	VL_TEXT_WORD,  /* nothing but NUL passes */
	VL_TEXT_LINES, /* newline and tab pass, too */
	VL_TEXT_BYTES, /* all passes but characters that are not seen: iswprint() lets those pass */
};

/*
 * Put '?' in the place of each hostile byte of @text, in place. NUL passes: strings that
 * are parted by it, or padded with it, stay what they are.
 */
void vl_text_mask(char *text, size_t len, enum vl_text_kept kept);

/*
 * Write @text to @out with each hostile byte as \xNN, and return the length; at most four
 * times @len. NUL passes. vl_text_unescape() makes the same text of it again: where @text
 * has such letters of itself, the backslash becomes \x5c. @out NULL: only the length.
 */
size_t vl_text_escape(const char *text, size_t len, enum vl_text_kept kept, char *out);

/* The opposite, for one string, in place. What vl_text_escape() cannot have made stays. */
void vl_text_unescape(char *text);

/*
 * @text has bytes as \xNN that whoever reads it turns back (records of /dev/kmsg): write it to
 * @out with those of hostile characters, newline and tab excepted, so that they come out as
 * letters. Returns the length; at most 1.75 times @len.
 */
size_t vl_text_guard(const char *text, size_t len, char *out);

#endif
