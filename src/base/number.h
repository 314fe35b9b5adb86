/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Numbers in text. No other file calls strtol() or one of its kin (tests/lint). */
#ifndef VLENS_BASE_NUMBER_H
#define VLENS_BASE_NUMBER_H

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * Read the number of digits in @base at the front of *@p, at most @max, and move *@p behind it.
 * @base 16 takes a "0x" in front, and 0 chooses the base as C does. Neither a blank nor a sign may
 * stand there. False: there is no number, or it is larger; *@p and *@ret stay as they were.
 */
static inline bool vl_take_u64(const char **p, int base, uint64_t max, uint64_t *ret)
{
	unsigned long long n;
	char *end;

	if (!isxdigit((unsigned char)**p))
		return false;
	errno = 0;
	n = strtoull(*p, &end, base);
	if (errno || end == *p || n > max)
		return false;
	*p = end;
	*ret = n;
	return true;
}

/* Is all of @text such a number? If not, *@ret stays as it was. */
static inline bool vl_u64(const char *text, int base, uint64_t max, uint64_t *ret)
{
	uint64_t n;

	if (!vl_take_u64(&text, base, max, &n) || *text)
		return false;
	*ret = n;
	return true;
}

/* The number at the front of @text, behind blanks, which any text may follow; 0: there is none. */
static inline uint64_t vl_front_u64(const char *text, int base)
{
	uint64_t n = 0;

	text += strspn(text, " \t");
	vl_take_u64(&text, base, UINT64_MAX, &n);
	return n;
}

/*
 * Is all of @text a decimal number in [@min, @max], as strtol() reads one? *@ret is the number;
 * it is undefined after false.
 */
static inline bool vl_number(const char *text, long min, long max, long *ret)
{
	char *end;

	errno = 0;
	*ret = strtol(text, &end, 10);
	return !errno && end > text && !*end && *ret >= min && *ret <= max;
}

/*
 * Read the decimal fraction at the front of *@p ("2", "2.5", ".5": digits and one point) and move
 * *@p behind it. False: there is none; *@p and *@ret stay as they were. LC_NUMERIC is "C".
 */
static inline bool vl_take_decimal(const char **p, double *ret)
{
	const char *end = *p + strspn(*p, "0123456789.");
	char *stop;
	double v;

	errno = 0;
	v = strtod(*p, &stop);
	/* Neither "nan" nor "0x10" nor "1e3". */
	if (errno || stop == *p || stop != end)
		return false;
	*p = end;
	*ret = v;
	return true;
}

#endif
