/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VLENS_BASE_NUMBER_H
#define VLENS_BASE_NUMBER_H

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

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

#endif
