/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `vlens dump`: saves a guest's memory in a file. */
#include "base/array.h"
#include "guest/save.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "applet.h"
#include "base/cleanup.h"
#include "options.h"
#include "progress.h"
#include "report.h"

#define STATUS_FAILED 1

struct dump {
	struct vl_save_options options;
	sigset_t stops;	 /* signals that end the run; none while none is blocked */
	sigset_t before; /* what was blocked before; with `holds` */
	bool holds;
};

static bool take(struct request *r, void *ctx, int key, char *arg)
{
	struct dump *d = ctx;
	int choice;

	switch (key) {
	case OPT_PAUSE:
		choice = request_choice(r, key, arg);
		d->options.pause = (enum vl_save_pause)choice;
		return choice >= 0;
	case 'f':
		d->options.force = true;
		return true;
	case OPT_ZSTD:
		d->options.zstd = true;
		return true;
	case OPT_MAX_PAUSE:
		d->options.limited = true;
		/* fall through */
	default:
		return request_option(r, NULL, key, arg);
	}
}

/* Is one of the signals pending that are blocked while a file is made? */
static bool is_stopped(void *ctx)
{
	const struct dump *d = ctx;
	sigset_t pending;

	sigpending(&pending);
	for (int sig = 1; sig < NSIG; sig++)
		if (sigismember(&d->stops, sig) == 1 && sigismember(&pending, sig) == 1)
			return true;
	return false;
}

/*
 * From now on signals wait until the file is removed and the guest runs, and end us then. One that
 * was ignored stays so. Before, while the guest is opened, they end us as they end any tool.
 */
static void block_signals(void *ctx)
{
	static const int ends[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	struct sigaction now;
	struct dump *d = ctx;

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		if (!sigaction(ends[i], NULL, &now) && now.sa_handler != SIG_IGN)
			sigaddset(&d->stops, ends[i]);
	sigprocmask(SIG_BLOCK, &d->stops, &d->before);
	d->holds = true;
}

/* The time for which the guest was held, in words. */
static void print_pauses(const struct vl_stats *stats, const struct vl_save_result *s)
{
	const double all = (double)stats->paused_ns / 1e6;

	if (!stats->pauses)
		fputs(s->stood ? "; paused already" : "; not paused", stderr);
	else if (stats->pauses == 1)
		fprintf(stderr, "; paused for %.1f ms", all);
	else
		fprintf(stderr, "; paused %" PRIu64 " times, %.1f ms at most and %.1f ms in all",
			stats->pauses, (double)stats->paused_longest_ns / 1e6, all);
}

/* Advice on how fewer pages would change, or "". */
static const char *advice(const struct vl_save_result *s)
{
	if (!s->changed)
		return "";
	return s->pause == VL_SAVE_SHORT ?
		       " (none do with --pause=whole, and fewer with a longer --max-pause)" :
		       " (none do with --pause=whole)";
}

/* The line about a file that was made. */
static void print_result(const struct request *r, const struct vl_guest *g,
			 const struct vl_save_result *s)
{
	struct vl_stats stats;
	struct vl_shortfall lacks;
	struct clean_state state = { 0 };

	fflush(stdout);
	fprintf(stderr, "%s: ", r->applet->name);
	print_clean(stderr, r->words[0], strlen(r->words[0]), false, &state);
	print_clean_end(stderr, &state);
	fprintf(stderr, ": %" PRIu64 " pages, %" PRIu64 " of them not zeros", s->pages, s->used);
	if (s->live) {
		vl_guest_stats((struct vl_guest *)g, &stats);
		print_pauses(&stats, s);
		if (s->cut_short)
			fputs(", too short to copy anything: it is as with --pause=none", stderr);
		if (s->held)
			fprintf(stderr, ", in which %" PRIu64 " were copied", s->held);
		if (s->pause != VL_SAVE_WHOLE)
			fprintf(stderr, "; %" PRIu64 " changed between their copy and the end%s",
				s->changed, advice(s));
	}
	if (s->unreadable)
		fprintf(stderr, "; %" PRIu64 " could not be read and are zeros", s->unreadable);
	if (vl_guest_shortfall(g, &lacks) && lacks.has < lacks.of)
		fprintf(stderr,
			"; the file that was read is cut short: %" PRIu64 " of %" PRIu64 " pages",
			lacks.has, lacks.of);
	if (s->registers == VL_SAVE_REGISTERS_NONE) {
		fputs("; no registers: ", stderr);
		print_clean(stderr, s->no_registers, strlen(s->no_registers), false, NULL);
	} else if (s->registers == VL_SAVE_REGISTERS_BEFORE) {
		fputs("; the registers are older than the memory", stderr);
	}
	fputc('\n', stderr);
}

static void print_costs(const struct vl_guest *g, const struct vl_save_result *s)
{
	const double seconds = (double)s->ns / 1e9;
	struct vl_stats stats;

	vl_guest_stats((struct vl_guest *)g, &stats);
	fprintf(stderr,
		"time: %.3f s\nmemory: %" PRIu64 " MiB\nin use: %" PRIu64 " MiB\nwritten: %" PRIu64
		" MiB\nrate: %.0f MiB/s of memory in use\npauses: %" PRIu64
		"\npaused: %.3f ms, the longest %.3f ms\nvcpus: %zu\nvmcoreinfo: %s\n",
		seconds, s->pages >> 8, s->used >> 8, s->bytes >> 20,
		seconds > 0 ? (double)(s->used >> 8) / seconds : 0, stats.pauses,
		(double)stats.paused_ns / 1e6, (double)stats.paused_longest_ns / 1e6, s->vcpus,
		s->vmcoreinfo ? "yes" : "no");
}

/* Save an open guest. Returns the exit status. */
static int save(const struct request *r, struct dump *d, struct vl_guest *g)
{
	_cleanup_error_ struct vl_error *err = NULL;
	struct vl_save_result result;

	err = vl_guest_save(g, r->words[1], &d->options, &result);
	if (!err) {
		print_result(r, g, &result);
		if (r->stats)
			print_costs(g, &result);
		return 0;
	}
	/* The exit by a signal needs no message. */
	if (is_stopped(d))
		return STATUS_FAILED;
	if (err->code == VL_ERR_OS || err->code == VL_ERR_ARG) {
		error_report(r->applet->name, NULL, err);
		return STATUS_FAILED;
	}
	error_report(r->applet->name, r->words[0], err);
	return STATUS_GUEST;
}

static int run(const struct request *r, struct dump *d)
{
	const struct vl_guest_options o = {
		.target = r->scan.target,
		.uses = VL_GUEST_READ,
	};
	_cleanup_error_ struct vl_error *err = NULL;
	struct vl_guest *g = NULL;
	struct progress progress;
	int status = STATUS_GUEST;

	progress_begin(&progress, r->applet->name, r->words[0], "copying its memory");
	err = vl_guest_open(r->words[0], &o, &g);
	if (err)
		progress_end(&progress);
	else
		status = save(r, d, g);
	vl_guest_close(g);
	progress_end(&progress);
	if (err)
		error_report(r->applet->name, r->words[0], err);
	if (d->holds)
		sigprocmask(SIG_SETMASK, &d->before, NULL);
	return status;
}

int dump_run(struct request *r)
{
	struct dump d = { .options = { .begin = block_signals, .stop = is_stopped } };
	int status;

	d.options.ctx = &d;
	sigemptyset(&d.stops);
	if (!request_take(r, take, &d, &status))
		return status;
	if (!r->nr_words)
		request_no_guest(r);
	else if (r->nr_words < 2 || !*r->words[1])
		usage_report(r->applet->name, "no file is named: write to standard output with -");
	else if (r->nr_words > 2)
		usage_report(r->applet->name, "'%s' is one argument too many", r->words[2]);
	else
		return run(r, &d);
	return r->applet->usage_status;
}
