/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vwatch: its options, its guests, its end. */
#include "vwatch.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "../applet.h"
#include "../report.h"
#include "../views.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/number.h"

#define DEFAULT_PERCENT 5
#define LEAST_PERCENT 0.1
/* After a signal, do not wait for a guest that does not answer now. */
#define LAST_WAIT (500 * VL_NSEC_PER_MSEC)

/* ---- options ---- */

static bool wrong(const struct vwatch *w, const char *what, const char *arg)
{
	usage_report(w->o->applet->name, "no %s: '%s'", what, arg);
	return false;
}

static bool take_percent(struct vwatch *w, const char *arg)
{
	const char *end = arg;
	double v;

	if (!vl_take_decimal(&end, &v) || (strcmp(end, "%") && *end) || v < LEAST_PERCENT ||
	    v > 100)
		return wrong(w, "percentage of a CPU from 0.1 to 100", arg);
	w->percent = v;
	return true;
}

/* As sleep(1) has it: a number, and s, m, h or d. */
static bool take_duration(struct vwatch *w, const char *arg)
{
	static const char units[] = "smhd";
	static const double seconds[] = { 1, 60, 3600, 86400 };
	const char *end = arg, *unit = NULL;
	double v;

	if (vl_take_decimal(&end, &v))
		unit = *end ? strchr(units, *end) : units;
	if (!unit || (*end && end[1]))
		return wrong(w, "time such as 30, 5m or 2h", arg);
	v *= seconds[unit - units];
	if (!(v >= 0.001 && v <= 366 * 86400.0))
		return wrong(w, "time from 0.001 s to a year", arg);
	w->duration_ns = (uint64_t)(v * VL_NSEC_PER_SEC);
	return true;
}

static const struct {
	const char *name;
	unsigned group;
} groups[] = {
	{ "process", VL_WATCH_PROCESSES }, { "module", VL_WATCH_MODULES },
	{ "listen", VL_WATCH_LISTENERS },  { "uid", VL_WATCH_UIDS },
	{ "text", VL_WATCH_TEXTS },
};

static bool take_events(struct vwatch *w, const char *arg)
{
	const char *p = arg;

	w->groups = 0;
	do {
		size_t len = strcspn(p, ","), i = 0;

		while (i < ARRAY_SIZE(groups) &&
		       (strlen(groups[i].name) != len || memcmp(groups[i].name, p, len)))
			i++;
		if (i == ARRAY_SIZE(groups))
			return wrong(w, "list of process, module, listen, uid, text", arg);
		w->groups |= groups[i].group;
		p += len;
	} while (*p++);
	return true;
}

static bool take(struct request *r, void *ctx, int key, char *arg)
{
	struct vwatch *w = ctx;

	switch (key) {
	case OPT_CPU:
		return take_percent(w, arg);
	case OPT_DURATION:
		return take_duration(w, arg);
	case OPT_EVENTS:
		return take_events(w, arg);
	case 'T':
		w->stamps = true;
		return true;
	default:
		return request_option(r, NULL, key, arg);
	}
}

/* ---- running ---- */

static bool all_done(const struct vwatch *w)
{
	for (size_t i = 0; i < w->nr; i++)
		if (w->guests[i].started && !w->guests[i].done)
			return false;
	return true;
}

/* Wait for the end. Returns the signal that came, or 0. */
static int wait_end(struct vwatch *w, int signal_fd, uint64_t ns)
{
	uint64_t end = ns ? vl_now_ns() + ns : 0, count;

	while (!all_done(w)) {
		struct pollfd fds[] = { { w->event_fd, POLLIN, 0 },
					{ signal_fd, POLLIN, 0 },
					{ STDOUT_FILENO, 0, 0 } };
		uint64_t now = vl_now_ns(), left = end > now ? end - now : 0;
		struct signalfd_siginfo info;
		struct timespec ts = vl_ns_timespec(left);
		int n;

		if (end && !left)
			return 0;
		n = ppoll(fds, ARRAY_SIZE(fds), end ? &ts : NULL, NULL);
		if (n > 0 && fds[1].revents && read(signal_fd, &info, sizeof(info)) > 0)
			return (int)info.ssi_signo;
		/*
		 * The reader has closed the pipe. A quiet guest would not show that by a failed
		 * write.
		 */
		if (n > 0 && fds[2].revents & POLLERR)
			return SIGPIPE;
		if (n > 0 && fds[0].revents && read(w->event_fd, &count, sizeof(count)) < 0)
			return 0;
		/* The output has failed. */
		if (w->quit && !ns)
			return 0;
	}
	return 0;
}

/* The signals that end a watch. SIGHUP stays ignored if it is, as nohup(1) has it. */
static void block_signals(sigset_t *set, sigset_t *old)
{
	struct sigaction hup;

	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	if (!sigaction(SIGHUP, NULL, &hup) && hup.sa_handler != SIG_IGN)
		sigaddset(set, SIGHUP);
	sigprocmask(SIG_BLOCK, set, old);
}

static int watch_all(struct vwatch *w, int *signal_ret)
{
	sigset_t set, old;
	struct vl_watch_figures sum;
	int fd, status = 0;

	block_signals(&set, &old);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	for (size_t i = 0; i < w->nr; i++)
		if (!watch_guest_start(&w->guests[i]))
			w->guests[i].failed = true;
	*signal_ret = wait_end(w, fd, w->duration_ns);
	w->quit = true;
	if (!all_done(w))
		wait_end(w, fd, LAST_WAIT);
	for (size_t i = 0; i < w->nr; i++) {
		struct watch_guest *g = &w->guests[i];

		if (g->started && !g->done) {
			/* It is being opened: its processes end with this one. */
			if (*signal_ret)
				continue;
		}
		if (g->started)
			pthread_join(g->thread, NULL);
		g->started = false;
		sum = watch_guest_figures(g);
		watch_print_sum(g, &sum);
		free(g->round.events);
		if (g->failed)
			status = STATUS_GUEST;
	}
	fflush(stdout);
	close(fd);
	sigprocmask(SIG_SETMASK, &old, NULL);
	return status;
}

static int run_on(struct vwatch *w, int *signal_ret)
{
	struct view_job *jobs = NULL;
	int status = STATUS_GUEST;
	size_t nr = 0;

	if (!view_jobs(w->o, w->o->words, w->o->nr_words, &jobs, &nr))
		return STATUS_GUEST;
	w->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->guests = calloc(nr + 1, sizeof(*w->guests));
	if (!nr) {
		view_report_none(w->o);
	} else if (!w->guests || w->event_fd < 0) {
		error_report(w->o->applet->name, NULL, vl_error_nomem());
	} else {
		for (; w->nr < nr; w->nr++) {
			w->guests[w->nr].watch = w;
			w->guests[w->nr].spec = jobs[w->nr].spec;
		}
		status = watch_all(w, signal_ret);
	}
	if (*signal_ret) {
		/* Threads may still use the rest. */
		if (*signal_ret != SIGPIPE)
			signal(*signal_ret, SIG_DFL);
		raise(*signal_ret);
		_exit(1);
	}
	free(w->guests);
	if (w->event_fd >= 0)
		close(w->event_fd);
	view_jobs_free(jobs, nr);
	return status;
}

int watch_run(struct request *r)
{
	struct vwatch w = {
		.o = r,
		.groups = VL_WATCH_ALL,
		.percent = DEFAULT_PERCENT,
		.event_fd = -1,
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
	int status, signal = 0;

	if (!request_take(r, take, &w, &status))
		return status;
	if (!r->nr_words && !r->all) {
		request_no_guest(r);
		return r->applet->usage_status;
	}
	return run_on(&w, &signal);
}
