/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `vlens fleet`: a tool on many hosts, some at a time. Each is an ssh with a line (remote.h). */
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
#include "base/number.h"
#include "hosts.h"
#include "rows.h"

#define PARALLEL 16
#define PARALLEL_MAX 512
#define TIMEOUT_S 60
/* After a signal the hosts have so long, in nanoseconds, before ssh is ended. */
#define PATIENCE_NS (5 * VL_NSEC_PER_SEC)
#define STATUS_MARKED 1

static const char name[] = "vlens fleet";

struct job {
	size_t host;
	pid_t pid; /* 0: not started, or ended */
	int to, out, err;
	bool is_local;
	uint64_t since, until; /* until 0: no limit */
	bool is_late;
	bool asked; /* to end: the next time it is made to */
	int status; /* of waitpid() */
	struct rows rows;
	char *said; /* the beginning of a line of its errors */
	size_t len;
};

struct fleet {
	struct hosts hosts;
	char **tool; /* the words of the tool, NULL-terminated */
	bool is_json;
	struct job *jobs;
	size_t nr, next, running, most;
	uint64_t limit_ns;
	int signals, stopped; /* by this signal; 0: not */
	uint64_t give_up;     /* when ssh is ended after a signal */
	bool marked, failed;
};

#define SAID_MAX 4096

/* ---- one host ---- */

/* A line of errors of a host, with the host's name in front. */
static void say(const struct fleet *f, const struct job *j, const char *text, size_t len)
{
	const char *host = f->hosts.all[j->host].name;

	fflush(stdout);
	fprintf(stderr, "%s: ", name);
	print_clean(stderr, host, strlen(host), false, NULL);
	fputs(": ", stderr);
	print_clean(stderr, text, len, false, NULL);
	putc('\n', stderr);
}

static void take_errors(const struct fleet *f, struct job *j, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n' || j->len == SAID_MAX) {
			say(f, j, j->said, j->len);
			j->len = 0;
		}
		if (text[i] != '\n' && text[i] != '\r')
			j->said[j->len++] = text[i];
	}
}

/* Read what is there of @*fd; closes it at its end. */
static void take(const struct fleet *f, struct job *j, int *fd)
{
	char buf[65537];
	ssize_t n = read(*fd, buf, sizeof(buf) - 1);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		close(*fd);
		*fd = -1;
		return;
	}
	buf[n] = '\0';
	if (fd == &j->out)
		rows_take(&j->rows, buf, (size_t)n);
	else
		take_errors(f, j, buf, (size_t)n);
}

/* Read all that is there, and close it. */
static void drain(const struct fleet *f, struct job *j, int *fd)
{
	struct pollfd there = { .fd = *fd, .events = POLLIN };

	while (*fd >= 0 && poll(&there, 1, 0) > 0)
		take(f, j, fd);
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void finish(struct fleet *f, struct job *j, int status, const char *why)
{
	uint64_t spent = j->since ? vl_now_ns() - j->since : 0;

	if (j->len)
		say(f, j, j->said, j->len);
	free(j->said);
	j->said = NULL;
	rows_end(&j->rows);
	if (!why && j->rows.full) {
		why = "its output is cut short, or too much for the memory here";
		status = STATUS_GUEST;
	}
	if (status == STATUS_GUEST || (status && status != STATUS_MARKED))
		f->failed = true;
	else if (status)
		f->marked = true;
	rows_print_end(&j->rows, status, why, (double)spent / VL_NSEC_PER_SEC);
	fflush(stdout);
}

/* Its process has ended, and all that it printed is read. */
static void end_job(struct fleet *f, struct job *j)
{
	int code = WIFEXITED(j->status) ? WEXITSTATUS(j->status) : 128 + WTERMSIG(j->status);
	char why[96];

	f->running--;
	if (j->to >= 0)
		close(j->to);
	j->to = -1;
	if (j->is_late) {
		snprintf(why, sizeof(why), "no end within %llu s",
			 (unsigned long long)(f->limit_ns / VL_NSEC_PER_SEC));
		finish(f, j, STATUS_GUEST, why);
	} else if (f->stopped) {
		finish(f, j, STATUS_GUEST, "stopped by a signal");
	} else if (code == REMOTE_SSH_FAILED && !j->is_local) {
		finish(f, j, STATUS_GUEST, "ssh did not connect, or the connection was lost");
	} else {
		finish(f, j, code, NULL);
	}
}

/* The child: be ssh, or the tool. */
static void __attribute__((noreturn)) be(char **argv, int in, int out, int err)
{
	sigset_t none;

	/* Signals of the terminal are passed over the line. */
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

static void start_some(struct fleet *f)
{
	while (f->next < f->nr && (f->running < f->most || f->stopped)) {
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
	f->give_up = vl_now_ns() + PATIENCE_NS;
	for (size_t i = 0; i < f->next; i++) {
		struct job *j = &f->jobs[i];

		if (!j->pid)
			continue;
		if (j->is_local)
			kill(-j->pid, signal);
		else if (again || write(j->to, &frame, sizeof(frame)) != sizeof(frame))
			kill(-j->pid, SIGTERM);
	}
}

/* End what is late. Returns the milliseconds until the next one is; -1: none will be. */
static int end_late(struct fleet *f)
{
	const uint64_t now = vl_now_ns();
	uint64_t first = 0;

	for (size_t i = 0; i < f->next; i++) {
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
	return first ? (int)((first - now) / (VL_NSEC_PER_SEC / 1000)) + 1 : -1;
}

static void reap(struct fleet *f)
{
	for (size_t i = 0; i < f->next; i++) {
		struct job *j = &f->jobs[i];

		if (!j->pid || waitpid(j->pid, &j->status, WNOHANG) != j->pid)
			continue;
		/* An ssh that others share can stay, and have these open. */
		drain(f, j, &j->out);
		drain(f, j, &j->err);
		j->pid = 0;
		end_job(f, j);
	}
}

/* Has the reader of our output gone? */
static bool is_unread(void)
{
	struct pollfd p = { .fd = STDOUT_FILENO };

	return poll(&p, 1, 0) > 0 && p.revents & POLLERR;
}

/* Wait for something, and serve it. */
static bool serve(struct fleet *f)
{
	struct pollfd *fds = calloc(2 * f->running + 1, sizeof(*fds));
	struct signalfd_siginfo info;
	size_t nr = 1;

	if (!fds)
		return false;
	fds[0] = (struct pollfd){ .fd = f->signals, .events = POLLIN };
	for (size_t i = 0; i < f->next; i++) {
		struct job *j = &f->jobs[i];

		if (!j->pid)
			continue;
		fds[nr++] = (struct pollfd){ .fd = j->out, .events = POLLIN };
		fds[nr++] = (struct pollfd){ .fd = j->err, .events = POLLIN };
	}
	poll(fds, nr, end_late(f));
	nr = 1;
	for (size_t i = 0; i < f->next; i++) {
		struct job *j = &f->jobs[i];

		if (!j->pid)
			continue;
		if (fds[nr++].revents && j->out >= 0)
			take(f, j, &j->out);
		if (fds[nr++].revents && j->err >= 0)
			take(f, j, &j->err);
	}
	if (fds[0].revents && read(f->signals, &info, sizeof(info)) == sizeof(info) &&
	    info.ssi_signo != SIGCHLD)
		pass_signal(f, (int)info.ssi_signo);
	free(fds);
	/* As a program that writes to it would be ended, by SIGPIPE, which is ignored here. */
	if (!f->stopped && is_unread()) {
		pass_signal(f, SIGTERM);
		f->stopped = SIGPIPE;
	}
	reap(f);
	start_some(f);
	return true;
}

static int run(struct fleet *f)
{
	static const int passed[] = { SIGCHLD, SIGINT, SIGTERM, SIGHUP };
	sigset_t set, old;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
		sigaddset(&set, passed[i]);
	sigprocmask(SIG_BLOCK, &set, &old);
	signal(SIGPIPE, SIG_IGN);
	f->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (f->signals < 0)
		return STATUS_GUEST;
	start_some(f);
	while (f->running && serve(f))
		;
	close(f->signals);
	signal(SIGPIPE, SIG_DFL);
	if (f->stopped) {
		signal(f->stopped, SIG_DFL);
		raise(f->stopped);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	return f->failed ? STATUS_GUEST : f->marked ? STATUS_MARKED : 0;
}

/* ---- the command line ---- */

struct words {
	struct request *request;
	const char *file, *groups[64];
	size_t nr_groups, parallel;
	uint64_t limit_ns;
};

static bool take_option(struct request *request, void *ctx, int key, char *arg)
{
	struct words *w = ctx;
	const char *end = arg;
	double seconds;
	long n;

	switch (key) {
	case 'f':
		w->file = arg;
		return true;
	case OPT_HOST_GROUP:
		if (w->nr_groups < ARRAY_SIZE(w->groups))
			w->groups[w->nr_groups++] = arg;
		return true;
	case OPT_PARALLEL:
		if (!vl_number(arg, 1, PARALLEL_MAX, &n)) {
			usage_report(name, "'%s' is not a number from 1 to %d", arg, PARALLEL_MAX);
			return false;
		}
		w->parallel = (size_t)n;
		return true;
	case OPT_TIMEOUT:
		if (!strcmp(arg, "0")) {
			w->limit_ns = 0;
			return true;
		}
		if (!vl_take_decimal(&end, &seconds) || *end || seconds < 0.1 || seconds > 86400) {
			usage_report(name, "'%s' is not a number of seconds, or 0", arg);
			return false;
		}
		w->limit_ns = (uint64_t)(seconds * VL_NSEC_PER_SEC);
		return true;
	default:
		return request_option(request, NULL, key, arg);
	}
}

/* Is the tool one of ours, and does it print JSON? */
static bool read_tool(const struct request *r, char **tool, bool *is_json_ret)
{
	const bool is_vlens = tool[0] && !strcmp(tool[0], "vlens");
	char **words = tool + is_vlens;
	const struct command *c = is_vlens && words[0] ? command_find(r->table, words[0]) : NULL;
	const struct applet *a = c	   ? c->applet :
				 !words[0] ? NULL :
					     applet_find(r->table, words[0], is_vlens);
	struct request there;
	int n = 0;

	if (!tool[0] || !a || (a->view.scope & SCOPE_FLEET)) {
		if (tool[0])
			usage_report(name, "'%s' is no tool of vlens",
				     is_vlens && words[0] ? words[0] : tool[0]);
		else
			usage_report(name, "no tool is named");
		return false;
	}
	while (words[n])
		n++;
	if (request_read(&there, r->table, a, n, words))
		*is_json_ret = request_has(&there, 'J');
	request_free(&there);
	return true;
}

/* All hosts of the command line. False: reported. */
static bool read_hosts(const struct words *w, struct fleet *f)
{
	const struct request *r = w->request;
	const size_t named = r->dashes;
	struct vl_error *err = w->file ? hosts_read(w->file, &f->hosts) : NULL;
	bool found = true;

	if (err) {
		error_report(name, NULL, err);
		vl_error_destroy(err);
		return false;
	}
	for (size_t i = 0; i < w->nr_groups; i++) {
		found = hosts_want(&f->hosts, w->groups[i]) && found;
		if (!found) {
			usage_report(name, "there is no group or host '%s'", w->groups[i]);
			return false;
		}
	}
	if (*f->hosts.ignored)
		fprintf(stderr,
			"%s: %s: variables like %s are not read: how a host is reached belongs in "
			"~/.ssh/config\n",
			name, w->file, f->hosts.ignored);
	if (w->file && !w->nr_groups)
		hosts_want(&f->hosts, NULL);
	for (size_t i = 0; i < named; i++) {
		struct hosts_host *h = hosts_add(&f->hosts, r->words[i]);

		if (h)
			h->wanted = true;
	}
	f->jobs = calloc(f->hosts.nr + 1, sizeof(*f->jobs));
	if (!f->jobs || f->hosts.full) {
		fprintf(stderr, "%s: out of memory\n", name);
		return false;
	}
	for (size_t i = 0; i < f->hosts.nr; i++)
		if (f->hosts.all[i].wanted)
			f->jobs[f->nr++] = (struct job){
				.host = i,
				.to = -1,
				.out = -1,
				.err = -1,
				.rows = { .host = f->hosts.all[i].name, .is_json = f->is_json },
			};
	if (!f->nr)
		usage_report(name, "no host is named");
	return f->nr;
}

int fleet_run(struct request *r)
{
	struct words w = { .request = r,
			   .parallel = PARALLEL,
			   .limit_ns = TIMEOUT_S * VL_NSEC_PER_SEC };
	struct fleet f = { .nr = 0 };
	int status;

	if (!request_take(r, take_option, &w, &status))
		return status;
	if (r->dashes == SIZE_MAX) {
		usage_report(name, "no tool is named: it stands behind '--'");
		return status;
	}
	f.tool = r->words + r->dashes;
	f.most = w.parallel;
	f.limit_ns = w.limit_ns;
	if (read_tool(r, f.tool, &f.is_json) && read_hosts(&w, &f))
		status = run(&f);
	hosts_deinit(&f.hosts);
	free(f.jobs);
	return status;
}
