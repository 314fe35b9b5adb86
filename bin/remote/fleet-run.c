/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs the tools of a fleet. Each is an ssh with a control stream (remote.h). */
#include "fleet.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../report.h"
#include "base/array.h"
#include "base/clock.h"

/* After a signal the hosts have so long, in nanoseconds, before ssh is ended. */
#define PATIENCE_NS (5 * VL_NSEC_PER_SEC)
/* While so much waits for the reader of our output, no more is read of the hosts, or begun. */
#define HELD_BYTES (64UL << 10)
#define STATUS_MARKED 1

/* ---- one host ---- */

/* A line of errors of a host, with the host's name in front. */
static void say(struct fleet *f, const struct job *j)
{
	const char *host = f->hosts.all[j->host].name;
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	if (!to)
		return;
	fprintf(to, "%s: ", fleet_name);
	print_clean(to, host, strlen(host), false, NULL);
	fputs(": ", to);
	print_clean(to, j->said, j->len, false, NULL);
	putc('\n', to);
	if (!fclose(to))
		outlet_put(&f->err, text, len);
	free(text);
}

static void take_errors(struct fleet *f, struct job *j, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n' || j->len == SAID_MAX) {
			say(f, j);
			j->len = 0;
		}
		if (text[i] != '\n' && text[i] != '\r')
			j->said[j->len++] = text[i];
	}
}

/* Read what is there of @*fd; closes it at its end. */
static void take(struct fleet *f, struct job *j, int *fd)
{
	char buf[8192];
	ssize_t n = read(*fd, buf, sizeof(buf));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		close(*fd);
		*fd = -1;
		return;
	}
	if (fd == &j->out)
		rows_take(&j->rows, buf, (size_t)n);
	else
		take_errors(f, j, buf, (size_t)n);
}

/* Is nothing there to be read? An ssh that others share can stay, and have it open. */
static bool is_dry(int fd)
{
	struct pollfd there = { .fd = fd, .events = POLLIN };

	return fd < 0 || poll(&there, 1, 0) <= 0;
}

static void finish(struct fleet *f, struct job *j, int status, const char *why)
{
	uint64_t spent = j->since ? vl_now_ns() - j->since : 0;
	const char *missing;

	if (j->len)
		say(f, j);
	free(j->said);
	j->said = NULL;
	missing = rows_end(&j->rows);
	if (!why && missing) {
		why = missing;
		status = STATUS_GUEST;
	}
	if (status == STATUS_GUEST || (status && status != STATUS_MARKED))
		f->failed = true;
	else if (status)
		f->marked = true;
	rows_print_end(&j->rows, status, why, (double)spent / VL_NSEC_PER_SEC);
	j->is_over = true;
}

/* Its process has ended, and all that it printed is read. */
static void end_job(struct fleet *f, struct job *j)
{
	int code = WIFEXITED(j->status) ? WEXITSTATUS(j->status) : 128 + WTERMSIG(j->status);
	char why[96];

	int *const fds[] = { &j->to, &j->out, &j->err };

	f->running--;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
	if (j->is_late) {
		snprintf(why, sizeof(why), "no end within %llu s",
			 (unsigned long long)(f->limit_ns / VL_NSEC_PER_SEC));
		finish(f, j, STATUS_GUEST, why);
	} else if (f->stopped) {
		finish(f, j, STATUS_GUEST, "stopped by a signal");
	} else if (code == REMOTE_SSH_FAILED && !j->is_local) {
		finish(f, j, STATUS_GUEST, REMOTE_SSH_FAILURE);
	} else {
		finish(f, j, code, NULL);
	}
}

/* The child: be ssh, or the tool. */
static void __attribute__((noreturn)) be(char **argv, int in, int out, int err)
{
	sigset_t none;

	/* Signals of the terminal are passed over the control stream. */
	setpgid(0, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	dup2(in, 0);
	dup2(out, 1);
	dup2(err, 2);
	execvp(argv[0], argv);
	fprintf(stderr, "cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(REMOTE_SSH_FAILED);
}

static void close_both(int pair[2])
{
	for (int i = 0; i < 2; i++)
		if (pair[i] >= 0)
			close(pair[i]);
}

/* Start @j. NULL; or why it could not be. */
static const char *start(struct fleet *f, struct job *j)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 };
	struct remote_host host;
	const char *wrong;
	char *command, **ssh = NULL;

	j->since = vl_now_ns();
	j->until = f->limit_ns ? j->since + f->limit_ns : 0;
	hosts_way(&f->hosts, j->host, &host, &j->is_local, &wrong);
	if (wrong)
		return wrong;
	host.within = (unsigned)(f->limit_ns / VL_NSEC_PER_SEC);
	if (!j->is_local) {
		command = remote_command(&host, f->tool, true, false);
		ssh = command ? remote_ssh(&host, command) : NULL;
		free(command);
	}
	j->said = malloc(SAID_MAX);
	if (!j->said || (!ssh && !j->is_local)) {
		free(ssh);
		return "out of memory";
	}
	if (!pipe2(in, O_CLOEXEC) && !pipe2(out, O_CLOEXEC) && !pipe2(err, O_CLOEXEC))
		j->pid = fork();
	else
		j->pid = -1;
	if (!j->pid)
		be(ssh ? ssh : f->tool, in[0], out[1], err[1]);
	free(ssh);
	if (j->pid < 0) {
		j->pid = 0;
		close_both(in);
		close_both(out);
		close_both(err);
		return "no process or descriptor is left for it";
	}
	setpgid(j->pid, j->pid);
	close(in[0]);
	close(out[1]);
	close(err[1]);
	j->to = in[1];
	j->out = out[0];
	j->err = err[0];
	f->running++;
	return NULL;
}

/* ---- all of them ---- */

/* Has the reader of our output, or of our errors, much to read? */
static bool is_held(const struct fleet *f)
{
	return outlet_pending(&f->out) > HELD_BYTES || outlet_pending(&f->err) > HELD_BYTES;
}

static void start_some(struct fleet *f)
{
	while (f->next < f->nr && (f->stopped || (!is_held(f) && f->running < f->most))) {
		struct job *j = &f->jobs[f->next++];
		const char *why = f->stopped ? "stopped by a signal" : start(f, j);

		if (why)
			finish(f, j, STATUS_GUEST, why);
	}
}

/* A signal to us is one for all hosts. A second one ends all ssh. */
static void pass_signal(struct fleet *f, int signal)
{
	const struct far_frame frame = { FAR_SIGNAL, (uint8_t)signal, { 0, 0 } };
	const bool again = f->stopped;

	f->stopped = signal;
	f->give_up = vl_now_ns() + (again ? 0 : PATIENCE_NS);
	for (size_t i = f->first; i < f->next; i++) {
		struct job *j = &f->jobs[i];

		if (!j->pid)
			continue;
		if (j->is_local)
			kill(-j->pid, signal);
		else if (again || write(j->to, &frame, sizeof(frame)) != sizeof(frame))
			kill(-j->pid, SIGTERM);
	}
}

/* A host that waits for the reader of our output is not late. */
static void stop_clocks(struct fleet *f)
{
	const uint64_t now = vl_now_ns();
	const bool is_still = is_held(f);

	if (f->held_since && !f->stopped)
		for (size_t i = f->first; i < f->next; i++)
			if (f->jobs[i].pid && f->jobs[i].until)
				f->jobs[i].until += now - f->held_since;
	f->held_since = is_still ? now : 0;
}

/* End what is late. Returns the milliseconds until the next one is; -1: none will be. */
static int end_late(struct fleet *f)
{
	const uint64_t now = vl_now_ns();
	uint64_t first = f->stopped && !f->running ? f->give_up : 0;

	stop_clocks(f);
	for (size_t i = f->first; i < f->next; i++) {
		struct job *j = &f->jobs[i];
		uint64_t until = j->until;

		if (!j->pid)
			continue;
		if (f->stopped && !j->asked && (!until || f->give_up < until))
			until = f->give_up;
		if (until && until <= now) {
			/* At first ssh is asked to end: that hangs the tool up. */
			j->is_late = j->is_late || !f->stopped;
			kill(-j->pid, j->asked ? SIGKILL : SIGTERM);
			j->asked = true;
			until = j->until = now + PATIENCE_NS;
		}
		if (until && (!first || until < first))
			first = until;
	}
	if (!first)
		return -1;
	return first <= now ? 0 : (int)((first - now) / (VL_NSEC_PER_SEC / 1000)) + 1;
}

/* See which have ended, and end those of which all that they printed is read. */
static void reap(struct fleet *f)
{
	for (size_t i = f->first; i < f->next; i++) {
		struct job *j = &f->jobs[i];

		if (j->pid && waitpid(j->pid, &j->status, WNOHANG) == j->pid) {
			j->pid = 0;
			j->has_ended = true;
		}
		/* Behind a signal what nobody reads is dropped. */
		if (j->has_ended && !j->is_over &&
		    (is_held(f) ? f->stopped : is_dry(j->out) && is_dry(j->err)))
			end_job(f, j);
	}
	while (f->first < f->next && f->jobs[f->first].is_over)
		f->first++;
}

/* Write what can be. Errors and rows may go to one place: neither is written into a line. */
static void flush_all(struct fleet *f)
{
	if (!f->err.in_line)
		outlet_flush(&f->out);
	if (!f->out.in_line)
		outlet_flush(&f->err);
}

/*
 * Nobody reads our output, or it cannot be written: end, as a program that writes to it would. It
 * is @gone if a reader was there before.
 */
static void give_up_output(struct fleet *f, bool gone)
{
	if (f->stopped || (!gone && !f->out.error))
		return;
	pass_signal(f, SIGTERM);
	if (gone || f->out.error == EPIPE)
		f->stopped = SIGPIPE;
}

/* Wait for something, and serve it. */
static bool serve(struct fleet *f)
{
	struct pollfd *fds = calloc(2 * f->running + 3, sizeof(*fds));
	struct signalfd_siginfo info;
	const bool is_still = is_held(f);
	size_t nr = 3;

	if (!fds)
		return false;
	fds[0] = (struct pollfd){ .fd = f->signals, .events = POLLIN };
	/* Without an event it shows whether its reader has gone. */
	fds[1] = (struct pollfd){ .fd = f->out.error ? -1 : f->out.fd,
				  .events = outlet_pending(&f->out) ? POLLOUT : 0 };
	fds[2] = (struct pollfd){ .fd = outlet_pending(&f->err) ? f->err.fd : -1,
				  .events = POLLOUT };
	for (size_t i = f->first; i < f->next; i++) {
		struct job *j = &f->jobs[i];

		if (!j->since || j->is_over)
			continue;
		fds[nr++] = (struct pollfd){ .fd = is_still ? -1 : j->out, .events = POLLIN };
		fds[nr++] = (struct pollfd){ .fd = is_still ? -1 : j->err, .events = POLLIN };
	}
	poll(fds, nr, end_late(f));
	nr = 3;
	for (size_t i = f->first; i < f->next; i++) {
		struct job *j = &f->jobs[i];

		if (!j->since || j->is_over)
			continue;
		if (fds[nr++].revents && j->out >= 0)
			take(f, j, &j->out);
		if (fds[nr++].revents && j->err >= 0)
			take(f, j, &j->err);
	}
	if (fds[0].revents && read(f->signals, &info, sizeof(info)) == sizeof(info) &&
	    info.ssi_signo != SIGCHLD)
		pass_signal(f, (int)info.ssi_signo);
	flush_all(f);
	give_up_output(f, fds[1].revents & POLLERR);
	free(fds);
	reap(f);
	start_some(f);
	flush_all(f);
	return true;
}

/* Is there anything left to do? */
static bool goes_on(const struct fleet *f)
{
	const bool is_pending = (outlet_pending(&f->out) && !f->out.error) ||
				(outlet_pending(&f->err) && !f->err.error);

	if (f->running || f->next < f->nr)
		return true;
	/* Behind a signal a reader that does not read is not waited for. */
	return is_pending && (!f->stopped || vl_now_ns() < f->give_up);
}

int fleet_run_all(struct fleet *f)
{
	static const int passed[] = { SIGCHLD, SIGINT, SIGTERM, SIGHUP };
	sigset_t set, old;

	/* One that is closed would become a host's pipe. This one cannot be written to. */
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDONLY) < 0)
			return STATUS_GUEST;
	f->out = (struct outlet){ .fd = STDOUT_FILENO };
	f->err = (struct outlet){ .fd = STDERR_FILENO };
	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
		sigaddset(&set, passed[i]);
	sigprocmask(SIG_BLOCK, &set, &old);
	signal(SIGPIPE, SIG_IGN);
	f->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (f->signals < 0)
		return STATUS_GUEST;
	start_some(f);
	while (goes_on(f) && serve(f))
		;
	close(f->signals);
	signal(SIGPIPE, SIG_DFL);
	outlet_deinit(&f->out);
	outlet_deinit(&f->err);
	if (f->out.error && f->out.error != EPIPE) {
		fprintf(stderr, "%s: write error: %s\n", fleet_name, strerror(f->out.error));
		f->failed = true;
	} else if (f->stopped) {
		signal(f->stopped, SIG_DFL);
		raise(f->stopped);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	return f->failed ? STATUS_GUEST : f->marked ? STATUS_MARKED : 0;
}
