/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sanitize text of a guest before it is shown. Three kinds are hostile: control characters
 * (they drive a terminal), bytes that are not UTF-8 (an 8-bit terminal takes some for control
 * characters), and invisible characters that change how others look: direction marks, zero
 * width, line separators (Unicode: categories Cc, Cf, Zl, Zp, and fillers). No function
 * depends on the locale.
 */
#ifndef VLENS_BASE_TEXT_H
#define VLENS_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Is @c an invisible character that changes how others look? Control characters are not. */
bool vl_text_unseen(uint32_t c);

/*
 * The length in bytes of the UTF-8 character at the front of @text (RFC 3629; @len > 0); *@ret
 * is its code point. 0: it is not UTF-8, or cut off.
 */
size_t vl_text_utf8(const char *text, size_t len, uint32_t *ret);

/*
 * The length in bytes of the character at the front of @text (@len > 0); 1 for a byte that is
 * not UTF-8. *@hostile_ret: it must not be shown as it is.
 */
size_t vl_text_next(const char *text, size_t len, bool *hostile_ret);

enum vl_text_kept {
	VL_TEXT_WORD,  /* of hostile bytes only NUL passes */
	VL_TEXT_LINES, /* newline and tab pass, too */
	VL_TEXT_BYTES, /* all pass but the invisible characters that iswprint() allows */
};

/*
 * Replace each hostile byte of @text by '?', in place. NUL passes: it may separate strings or
 * pad them.
 */
void vl_text_mask(char *text, size_t len, enum vl_text_kept kept);

/*
 * Write @text to @out with each hostile byte as \xNN. Returns the length, at most four times
 * @len; @out NULL: only that. NUL passes. vl_text_unescape() restores @text: where @text itself
 * contains such an escape, its backslash becomes \x5c.
 */
size_t vl_text_escape(const char *text, size_t len, enum vl_text_kept kept, char *out);

/* Undo vl_text_escape() in one string, in place. Escapes that it does not make stay. */
void vl_text_unescape(char *text);

/*
 * For @text whose reader will undo \xNN (records of /dev/kmsg): write it to @out with the
 * escapes of hostile characters, newline and tab excepted, escaped once more, so that the
 * reader sees them as letters. Returns the length, at most 1.75 times @len.
 */
size_t vl_text_guard(const char *text, size_t len, char *out);

#endif
