/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All that an applet says on its own behalf: errors, figures, its version. */
#ifndef VLENS_BIN_REPORT_H
#define VLENS_BIN_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "vlens.h"

/*
 * Write @len bytes to @f so that they cannot drive a terminal: control
 * characters as ^X, what is no character as \xNN. With @lines, newline and tab
 * pass. @state carries a character that is cut at the end of one call over to
 * the next; NULL: there is no next.
 */
struct clean_state {
	char head[8]; /* the first bytes of a character whose rest is to come */
	size_t len;
};
void print_clean(FILE *f, const char *text, size_t len, bool lines, struct clean_state *state);
/* Write what @state holds: it stays incomplete. */
void print_clean_end(FILE *f, struct clean_state *state);

/* "APPLET: GUEST: MESSAGE; HINT" on stderr, one line. @guest may be NULL. */
void error_report(const char *applet, const char *guest, const struct vl_error *err);

/* Say in the same way which kernel it is that answered, if it is not the one that was booted. */
void report_fate(const char *applet, const char *guest, enum vl_kernel_fate fate);

/* Say which folder that the environment names cannot be used: all works without it, slower. */
void report_dirs(const char *applet);

/* "APPLET: MESSAGE" and "Try 'APPLET --help' ..." on stderr. */
void usage_report(const char *applet, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* --version: the release, the licence, what is built in. */
void print_version(const char *applet);

/* --stats: one "key: value" a line on stderr. */
void print_stats(const struct vl_stats *stats, const struct vl_redirect_stats *redirect, bool kept);

/*
 * Close stdout: what could not be written is an error, though it shows only
 * now. Returns @status, or 1 when it was 0 and output is lost.
 */
int close_stdout(const char *applet, int status);

#endif
