/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A mirrored program over all guests of the host: a process for each guest, some at a time. Each of
 * their lines gets the guest's name in front.
 */
#include "every.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "applet.h"
#include "base/array.h"
#include "base/clock.h"
#include "report.h"
#include "views.h"

/* Guests at a time: each has a clone of its own. */
#define AT_ONCE 4
/* A guest that goes on printing is shown so often, in ms; else all of it in one piece. */
#define SHOWN_MS 1000
/* Or when it has printed so much. */
#define SHOWN_BYTES (256u << 10)

struct stream {
	int fd; /* -1: ended */
	FILE *to;
	char *text;
	size_t len, cap;
};

struct one {
	const struct view_job *job;
	pid_t pid; /* 0: it was waited for */
	int pidfd;
	struct stream out, err;
};

/* ---- lines ---- */

/* Print the complete lines of @s with the guest's name; with @all also one without an end. */
static void print_lines(const struct request *r, const struct one *one, struct stream *s, bool all)
{
	const char *name = view_name(one->job), *applet = r->applet->name;
	size_t done = 0, n;

	while (done < s->len) {
		const char *line = s->text + done;
		const char *end = memchr(line, '\n', s->len - done);

		/* A line without end is cut, so that it does not fill the memory. */
		if (!end && !all && (done || s->len < SHOWN_BYTES))
			break;
		n = end ? (size_t)(end - line) : s->len - done;
		/* Our own messages name the guest. */
		if (s->to != stderr || n <= strlen(applet) ||
		    strncmp(line, applet, strlen(applet)) != 0 || line[strlen(applet)] != ':') {
			print_clean(s->to, name, strlen(name), false, NULL);
			fputs(": ", s->to);
		}
		fwrite(line, 1, n, s->to);
		putc('\n', s->to);
		done += n + (end != NULL);
	}
	memmove(s->text, s->text + done, s->len - done);
	s->len -= done;
	fflush(s->to);
}

/* False: it has ended. */
static bool take(struct stream *s)
{
	ssize_t n = -1;

	if (vl_grow(s->text, s->cap, s->len + 4096, 16384))
		n = read(s->fd, s->text + s->len, 4096);
	if (n > 0) {
		s->len += (size_t)n;
		return true;
	}
	if (n < 0 && errno == EINTR)
		return true;
	close(s->fd);
	s->fd = -1;
	return false;
}

/* ---- processes ---- */

static void child(struct request *r, const char *spec, int out, int err,
		  int (*run)(struct request *r))
{
	const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int status;

	/* Those of the guests cannot share the terminal's input. */
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    dup2(err, STDERR_FILENO) < 0 || prctl(PR_SET_PDEATHSIG, SIGTERM))
		_exit(STATUS_GUEST);
	close(out);
	close(err);
	r->spec = (char *)spec;
	status = close_stdout(r->applet->name, run(r));
	_exit(status);
}

static bool start(struct request *r, struct one *one, int (*run)(struct request *r))
{
	int out[2], err[2];

	if (pipe2(out, O_CLOEXEC))
		return false;
	if (pipe2(err, O_CLOEXEC)) {
		close(out[0]);
		close(out[1]);
		return false;
	}
	fflush(NULL);
	one->pid = fork();
	if (!one->pid)
		child(r, one->job->spec, out[1], err[1], run);
	close(out[1]);
	close(err[1]);
	/* finish() reads what there is. The program's ends stay as they are. */
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	fcntl(err[0], F_SETFL, O_NONBLOCK);
	one->out = (struct stream){ .fd = out[0], .to = stdout };
	one->err = (struct stream){ .fd = err[0], .to = stderr };
	one->pidfd = one->pid > 0 ? (int)syscall(SYS_pidfd_open, one->pid, 0) : -1;
	return one->pid > 0;
}

/*
 * It has ended: print what is left. A keeper that it left behind can have the other ends of the
 * pipes, so their end does not come. Returns the exit status.
 */
static int finish(const struct request *r, struct one *one)
{
	int status;

	while (one->out.fd >= 0 && take(&one->out))
		;
	while (one->err.fd >= 0 && take(&one->err))
		;
	if (one->pidfd >= 0)
		close(one->pidfd);
	print_lines(r, one, &one->out, true);
	print_lines(r, one, &one->err, true);
	free(one->out.text);
	free(one->err.text);
	while (waitpid(one->pid, &status, 0) < 0)
		if (errno != EINTR)
			return STATUS_GUEST;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* A guest that could not be asked counts more than what a program found in another one. */
static int worse(int a, int b)
{
	if (a == STATUS_GUEST || b == STATUS_GUEST)
		return STATUS_GUEST;
	return a > b ? a : b;
}

/* Print the whole lines that each of those that run has printed. */
static void show(const struct request *r, struct one *all, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		if (all[i].pid) {
			print_lines(r, &all[i], &all[i].out, false);
			print_lines(r, &all[i], &all[i].err, false);
		}
}

/*
 * Wait until one of those that run prints something or ends. What they print is kept for a moment,
 * so that the lines of one guest stand together. @shown_ns: when lines were shown last.
 */
static void hear(const struct request *r, struct one *all, size_t nr, uint64_t *shown_ns)
{
	struct pollfd fds[3 * AT_ONCE];
	struct stream *of[3 * AT_ONCE];
	bool much = false;
	nfds_t n = 0;

	for (size_t i = 0; i < nr; i++) {
		struct stream *both[] = { &all[i].out, &all[i].err };

		if (all[i].pid && all[i].pidfd >= 0 && n < ARRAY_SIZE(fds)) {
			fds[n] = (struct pollfd){ all[i].pidfd, POLLIN, 0 };
			of[n++] = NULL;
		}
		for (size_t k = 0; k < 2 && all[i].pid && both[k]->fd >= 0 && n < ARRAY_SIZE(fds);
		     k++) {
			fds[n] = (struct pollfd){ both[k]->fd, POLLIN, 0 };
			of[n++] = both[k];
		}
	}
	poll(fds, n, SHOWN_MS);
	for (nfds_t i = 0; i < n; i++)
		if (fds[i].revents && of[i]) {
			take(of[i]);
			much |= of[i]->len >= SHOWN_BYTES;
		}
	if (much || vl_now_ns() - *shown_ns >= (uint64_t)(SHOWN_MS * VL_NSEC_PER_MSEC)) {
		show(r, all, nr);
		*shown_ns = vl_now_ns();
	}
}

static bool has_ended(const struct one *one)
{
	siginfo_t info = { .si_pid = 0 };

	return waitid(P_PID, (id_t)one->pid, &info, WEXITED | WNOHANG | WNOWAIT) ||
	       info.si_pid == one->pid;
}

static int run_all(struct request *r, const struct view_job *jobs, size_t nr, struct one *all,
		   int (*run)(struct request *r))
{
	uint64_t shown_ns = vl_now_ns();
	size_t next = 0, running = 0;
	int status = 0;

	while (next < nr || running) {
		for (; next < nr && running < AT_ONCE; next++) {
			all[next].job = &jobs[next];
			if (start(r, &all[next], run))
				running++;
			else
				status = STATUS_GUEST;
		}
		hear(r, all, next, &shown_ns);
		for (size_t i = 0; i < next; i++) {
			if (!all[i].pid || !has_ended(&all[i]))
				continue;
			status = worse(status, finish(r, &all[i]));
			all[i].pid = 0;
			running--;
		}
	}
	return status;
}

int every_guest(struct request *r, int (*run)(struct request *r))
{
	struct view_job *jobs = NULL;
	int status = STATUS_GUEST;
	struct one *all;
	size_t nr = 0;

	use_locale();
	if (!view_jobs(r, NULL, 0, &jobs, &nr))
		return STATUS_GUEST;
	view_labels(jobs, nr);
	all = calloc(nr + 1, sizeof(*all));
	if (!all)
		error_report(r->applet->name, NULL, vl_error_nomem());
	else if (!nr)
		view_report_none(r);
	else
		status = run_all(r, jobs, nr, all, run);
	free(all);
	view_jobs_free(jobs, nr);
	return status;
}
