/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the applets themselves print: errors, statistics, the version. */
#ifndef VLENS_BIN_REPORT_H
#define VLENS_BIN_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "vlens.h"

/*
 * Write @len bytes to @f, sanitized: control characters as ^X, bytes that are no
 * character as \xNN. With @lines, newline and tab pass. @state keeps a character that
 * is cut at the end of one call for the next; NULL: there is no next call.
 */
struct clean_state {
	char head[8]; /* the first bytes of an incomplete character */
	size_t len;
};
void print_clean(FILE *f, const char *text, size_t len, bool lines, struct clean_state *state);
/* Write the bytes that @state keeps, of a character that stays incomplete. */
void print_clean_end(FILE *f, struct clean_state *state);

/*
 * Load the locale: the width of characters, and the language of errors. LC_NUMERIC stays "C":
 * numbers have a decimal point everywhere. Call it before anything is printed or looked up that
 * depends on it. A tool that only runs its model prints nothing itself, and loading takes 70 us
 * (measured). The functions that report an error call it.
 */
void use_locale(void);

/* "APPLET: GUEST: MESSAGE; HINT" on stderr, one line. @guest may be NULL. */
void error_report(const char *applet, const char *guest, const struct vl_error *err);

/* Report in the same way what the file lacks. */
void error_report_shortfall(const char *applet, const char *guest,
			    const struct vl_shortfall *lacks);

/* Report in the same way that the guest's kernel has no table of its symbols. */
void report_bare(const char *applet, const char *guest);

/* Report in the same way that the kernel has panicked, or that a capture kernel answers. */
void report_fate(const char *applet, const char *guest, enum vl_kernel_fate fate);

/* Warn of a folder in the environment that cannot be used. All works without it, slower. */
void report_dirs(const char *applet);

/* "APPLET: MESSAGE" and "Try 'APPLET --help' ..." on stderr. */
void usage_report(const char *applet, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Report what a trusted run found, one line each. */
void report_trusted(const char *applet, const char *guest, const struct vl_trusted_stats *t);

/* --version: the release, the licence, what is built in. */
void print_version(const char *applet);

/* The line of --stats about a trusted run; nothing if it was none. */
void print_trusted(const struct vl_trusted_stats *t);

/* --stats: one "key: value" a line on stderr. */
void print_stats(const struct vl_stats *stats, const struct vl_redirect_stats *redirect, bool kept);

/*
 * Close stdout: errors of buffered writes show only now. Returns @status, or 1 if it was
 * 0 and output is lost.
 */
int close_stdout(const char *applet, int status);

#endif
