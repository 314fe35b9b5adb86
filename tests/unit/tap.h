/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Enough of TAP for the unit tests: ok(condition, what), skip(what, why), return tap_end(). */
#ifndef VLENS_TESTS_TAP_H
#define VLENS_TESTS_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

/* The count of one test program: weak, so that all of its files have one. */
__attribute__((weak)) struct {
	int nr, failed;
} tap;

__attribute__((format(printf, 2, 3))) static inline bool ok(bool good, const char *fmt, ...)
{
	va_list ap;

	tap.nr++;
	tap.failed += !good;
	printf("%sok %d - ", good ? "" : "not ", tap.nr);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
	return good;
}

/* Says why @what, one check or several, cannot run here. It counts as no pass (./check). */
__attribute__((format(printf, 2, 3))) static inline void skip(const char *what, const char *fmt,
							      ...)
{
	va_list ap;

	printf("ok %d - %s # SKIP ", ++tap.nr, what);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

/* A test that hangs has an end. */
__attribute__((constructor)) static inline void tap_limit(void)
{
	alarm(600);
}

/* The plan; returns the exit status. */
static inline int tap_end(void)
{
	printf("1..%d\n", tap.nr);
	return tap.failed ? 1 : 0;
}

#endif
