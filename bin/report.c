/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/dirs.h"
#include "base/text.h"

#define USEC_PER_MSEC 1000

static void print_byte(FILE *f, unsigned char c)
{
	if (c < ' ' || c == 0x7f)
		fprintf(f, "^%c", c ^ 0x40);
	else if (c > 0x7f)
		fprintf(f, "\\x%02x", c);
	else
		putc(c, f);
}

/*
 * Write the character at the front of @text. Returns its length; 0: cut off,
 * more bytes could complete it.
 */
static size_t print_character(FILE *f, const char *text, size_t len, bool lines)
{
	unsigned char c = (unsigned char)*text;
	mbstate_t mb = { 0 };
	wchar_t wc;
	size_t n;

	if (c < 0x80) {
		if (lines && (c == '\n' || c == '\t'))
			putc(c, f);
		else
			print_byte(f, c);
		return 1;
	}
	n = mbrtowc(&wc, text, len, &mb);
	if (n == (size_t)-2)
		return 0;
	/* Escape an invalid byte, or a control character beyond ASCII (C1). */
	if (n == (size_t)-1 || !n || !iswprint((wint_t)wc) || vl_text_unseen((uint32_t)wc)) {
		print_byte(f, c);
		return 1;
	}
	fwrite(text, 1, n, f);
	return n;
}

void print_clean(FILE *f, const char *text, size_t len, bool lines, struct clean_state *state)
{
	size_t n;

	while (state && state->len && len) {
		/* Byte by byte, until the cut character is complete or invalid. */
		state->head[state->len++] = *text++;
		len--;
		n = print_character(f, state->head, state->len, lines);
		if (!n && state->len == sizeof(state->head)) {
			print_byte(f, (unsigned char)state->head[0]);
			n = 1;
		}
		while (n) {
			state->len -= n;
			memmove(state->head, state->head + n, state->len);
			n = state->len ? print_character(f, state->head, state->len, lines) : 0;
		}
	}
	while (len) {
		n = print_character(f, text, len, lines);
		if (!n && state) {
			memcpy(state->head, text, len);
			state->len = len;
			return;
		}
		if (!n) {
			print_byte(f, (unsigned char)*text);
			n = 1;
		}
		text += n;
		len -= n;
	}
}

void print_clean_end(FILE *f, struct clean_state *state)
{
	for (size_t i = 0; i < state->len; i++)
		print_byte(f, (unsigned char)state->head[i]);
	state->len = 0;
}

void use_locale(void)
{
	/* Still that of the program's start. */
	if (strcmp(setlocale(LC_CTYPE, NULL), "C"))
		return;
	/* Each category costs a file to load. */
	setlocale(LC_CTYPE, "");
	setlocale(LC_MESSAGES, "");
}

void error_report(const char *applet, const char *guest, const struct vl_error *err)
{
	use_locale();
	/* Keep the order of output and errors. */
	fflush(stdout);
	fprintf(stderr, "%s: ", applet);
	if (guest && *guest) {
		print_clean(stderr, guest, strlen(guest), false, NULL);
		fputs(": ", stderr);
	}
	print_clean(stderr, err->message, strlen(err->message), false, NULL);
	if (err->hint) {
		fputs("; ", stderr);
		print_clean(stderr, err->hint, strlen(err->hint), false, NULL);
	}
	putc('\n', stderr);
}

void error_report_shortfall(const char *applet, const char *guest, const struct vl_shortfall *lacks)
{
	static const char code[] = "its code shows where its structures have their fields";
	_cleanup_error_ struct vl_error *err = NULL;

	if (lacks->has >= lacks->of) {
		err = vl_error_hint(vl_error_new(VL_ERR_TARGET, "the file does not have all of the "
								"kernel's types (BTF)"),
				    "%s", code);
		error_report(applet, guest, err);
		return;
	}
	err = vl_error_new(VL_ERR_TARGET, "the file is cut short: %" PRIu64 " of %" PRIu64 " pages",
			   lacks->has, lacks->of);
	err = vl_error_hint(err, "data in the rest are missing from this answer%s%s",
			    lacks->types ? ", as are the kernel's types (BTF): " : "",
			    lacks->types ? code : "");
	error_report(applet, guest, err);
}

void report_fate(const char *applet, const char *guest, enum vl_kernel_fate fate)
{
	static const struct {
		const char *says, *means;
	} notes[] = {
		[VL_KERNEL_CRASHED] = { "its kernel has panicked",
					"this is its state at that time" },
		[VL_KERNEL_CAPTURES] = { "its kernel has crashed",
					 "the answer is that of the capture kernel (kdump), which runs now" },
	};
	_cleanup_error_ struct vl_error *err = NULL;

	if (fate >= ARRAY_SIZE(notes) || !notes[fate].says)
		return;
	err = vl_error_hint(vl_error_new(VL_ERR_KERNEL, "%s", notes[fate].says), "%s",
			    notes[fate].means);
	error_report(applet, guest, err);
}

void report_bare(const char *applet, const char *guest)
{
	_cleanup_error_ struct vl_error *err =
		vl_error_new(VL_ERR_KERNEL, "its kernel has no table of its symbols "
					    "(CONFIG_KALLSYMS)");

	error_report(applet, guest,
		     vl_error_hint(err, "symbols that it does not export are found in its code, if "
					"that shows them"));
}

/* The error if the folder of @variable, which @find makes, cannot be used; or NULL. */
static struct vl_error *check_dir(const char *variable, const char *value,
				  struct vl_error *(*find)(char **ret), const char *lost)
{
	struct vl_error *err;
	char *dir = NULL;

	if (*value != '/')
		return vl_error_hint(
			vl_error_new(VL_ERR_ARG, "%s is not an absolute path", variable),
			"the usual directory is used");
	err = find(&dir);
	if (!err && access(dir, W_OK | X_OK))
		err = vl_error_os(errno, "cannot write in %s", dir);
	free(dir);
	return err ? vl_error_hint(vl_error_prefix(err, "%s", variable), "%s", lost) : NULL;
}

void report_dirs(const char *applet)
{
	static const struct {
		const char *variable, *lost;
		struct vl_error *(*find)(char **ret);
	} dirs[] = {
		{ "VLENS_CACHE_DIR", "symbols are not kept for the next run", vl_cache_dir },
		{ "VLENS_RUN_DIR", "facts about the guest are not kept for the next run",
		  vl_run_dir },
	};

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		const char *value = secure_getenv(dirs[i].variable);
		_cleanup_error_ struct vl_error *err = NULL;

		if (value && *value)
			err = check_dir(dirs[i].variable, value, dirs[i].find, dirs[i].lost);
		if (!err)
			continue;
		/* Once more, for the reason in the user's language. */
		use_locale();
		vl_error_destroy(err);
		err = check_dir(dirs[i].variable, value, dirs[i].find, dirs[i].lost);
		if (err)
			error_report(applet, NULL, err);
	}
}

void usage_report(const char *applet, const char *fmt, ...)
{
	char *text;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	use_locale();
	fprintf(stderr, "%s: ", applet);
	if (n < 0) {
		fputs("out of memory", stderr);
	} else {
		print_clean(stderr, text, (size_t)n, false, NULL);
		free(text);
	}
	fprintf(stderr, "\nTry '%s --help' for more information.\n", applet);
}

void print_version(const char *applet)
{
	/* "vlens doctor" is vlens. */
	if (strncmp(applet, "vlens", 5) != 0)
		printf("%s from vlens %s\n", applet, vl_version());
	else
		printf("vlens %s\n", vl_version());
	printf("%s\n", vl_features());
}

/* Milliseconds with three digits, whatever the locale's decimal point is. */
static void print_ms(const char *key, uint64_t ns)
{
	uint64_t us = ns / VL_NSEC_PER_USEC;

	fprintf(stderr, "%-16s%" PRIu64 ".%03" PRIu64 " ms\n", key, us / USEC_PER_MSEC,
		us % USEC_PER_MSEC);
}

static void print_text(const char *key, const char *text)
{
	fprintf(stderr, "%-16s", key);
	print_clean(stderr, text, strlen(text), false, NULL);
	putc('\n', stderr);
}

static void print_calls(const char *key, const struct vl_redirect_calls *calls)
{
	fprintf(stderr, "%-16s%" PRIu64, key, calls->total);
	for (size_t i = 0; i < calls->nr; i++) {
		char *name = vl_redirect_number_name(calls->call[i].nr);

		fprintf(stderr, "%s%s %u", i ? ", " : " (", name ? name : "?",
			calls->call[i].count);
		free(name);
	}
	fputs(calls->nr ? ")\n" : "\n", stderr);
}

/* One line of what trusted code found; takes @err. */
static void report_finding(const char *applet, const char *guest, struct vl_error *err,
			   const char *hint)
{
	err = vl_error_hint(err, "%s", hint);
	error_report(applet, guest, err);
	vl_error_destroy(err);
}

/* The first of @nr lines, which is all that is kept of them. */
static void report_findings(const char *applet, const char *guest,
			    const char lines[VL_TRUSTED_SHOWN][VL_TRUSTED_TEXT], uint64_t nr,
			    const char *hint)
{
	for (uint64_t i = 0; i < nr && i < VL_TRUSTED_SHOWN && *lines[i]; i++)
		report_finding(applet, guest, vl_error_new(VL_ERR_KERNEL, "trusted: %s", lines[i]),
			       hint);
}

void report_trusted(const char *applet, const char *guest, const struct vl_trusted_stats *t)
{
	uint64_t more;

	report_findings(applet, guest, t->found, t->findings, "the guest's is not used");
	if (t->findings > VL_TRUSTED_SHOWN) {
		more = t->findings - VL_TRUSTED_SHOWN;
		report_finding(applet, guest,
			       vl_error_new(VL_ERR_KERNEL, "trusted: %" PRIu64 " more change%s",
					    more, more == 1 ? "" : "s"),
			       "run vcheck");
	}
	report_findings(applet, guest, t->idle, t->things, "it had no effect here");
	if (t->things > VL_TRUSTED_SHOWN) {
		more = t->things - VL_TRUSTED_SHOWN;
		report_finding(applet, guest,
			       vl_error_new(VL_ERR_KERNEL,
					    "trusted: %" PRIu64 " more thing%s attached", more,
					    more == 1 ? " is" : "s are"),
			       "they had no effect here; see vlens trust verify");
	}
}

void print_trusted(const struct vl_trusted_stats *t)
{
	char verified[128];

	if (!t->on)
		return;
	snprintf(verified, sizeof(verified),
		 "%" PRIu64 " pages, %" PRIu64 " sites, %" PRIu64 " attached, %" PRIu64 " findings",
		 t->pages, t->sites, t->attached, t->findings);
	print_text("verified:", verified);
}

void print_stats(const struct vl_stats *stats, const struct vl_redirect_stats *redirect, bool kept)
{
	const struct {
		const char *key;
		uint64_t value;
	} counts[] = {
		{ "pauses:", stats->pauses },
		{ "at one time:", stats->answers.paused },
		{ "validated:", stats->answers.validated },
		{ "while it ran:", stats->answers.running },
		{ "epochs:", stats->epochs },
		{ "kernel calls:", stats->kernel_calls },
		{ "kvm entries:", stats->kvm_entries },
		{ "kvm exits:", stats->kvm_exits },
		{ "pages touched:", stats->pages_touched },
		{ "pages copied:", stats->pages_copied },
		{ "retries:", redirect->retries },
		{ "gave up:", redirect->gave_up },
		{ "traps:", redirect->traps },
		{ "whole files:", redirect->whole_files },
	};
	char walls[VL_CONFINED_TEXT], confined[VL_CONFINED_TEXT + 16];
	/* A kernel that was asked may have no build id that can be found. */
	const bool met = *stats->kernel || stats->epochs;

	use_locale();
	print_text("engine:", stats->engine);
	if (*stats->no_kvm)
		print_text("not kvm:", stats->no_kvm);
	if (*stats->box)
		print_text("box:", stats->box);
	if (*stats->no_box)
		print_text("box lacks:", stats->no_box);
	print_text("kernel:", *stats->kernel ? stats->kernel : "unknown");
	print_text("symbols:", !met	   ? "unknown" :
			       stats->bare ? "exported ones, and what its code shows" :
					     "its own");
	print_trusted(&stats->trusted);
	/* Only this executor checks each branch; the others cannot run other pages. */
	if (stats->trusted.on)
		print_text("control:", !strcmp(stats->engine, "vmst/native") ?
					       "checked" :
					       "not checked within the verified text");
	print_text("attach:", !met ? "none" : stats->first_attach ? "first" : "cached");
	print_text("keeper:", kept ? "yes" : "no");
	print_ms("paused:", stats->paused_ns);
	print_ms("paused longest:", stats->paused_longest_ns);
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		fprintf(stderr, "%-16s%" PRIu64 "\n", counts[i].key, counts[i].value);
	vl_confined_describe(redirect->confined, walls);
	snprintf(confined, sizeof(confined), "seccomp%s%s", *walls ? ", " : "", walls);
	print_text("confined:", confined);
	print_calls("denied:", &redirect->denied);
	print_calls("not allowed:", &redirect->not_allowed);
}

int close_stdout(const char *applet, int status)
{
	bool pending = __fpending(stdout) > 0;
	bool failed = ferror(stdout);
	int error;

	errno = 0;
	/* A stdout that was closed from the start (>&-) is not an error without output. */
	if (fclose(stdout) && (pending || failed || errno != EBADF))
		failed = true;
	if (!failed)
		return status;
	error = errno;
	use_locale();
	if (error)
		fprintf(stderr, "%s: write error: %s\n", applet, strerror(error));
	else
		fprintf(stderr, "%s: write error\n", applet);
	return status ? status : 1;
}
