/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Runs one tool on another host, in place of this one. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "host/drivers.h"
#include "remote.h"
#include "../report.h"

/* ---- which host, and which words ---- */

/* Does the host of @name, another one than that of @way, make a second one? */
static void set_host(struct remote_way *way, const char *name, size_t len)
{
	if (*way->host.name &&
	    (strlen(way->host.name) != len || strncmp(way->host.name, name, len) != 0))
		way->wrong = "its words name two hosts: one run is on one host; see vlens fleet";
	else if (len >= sizeof(way->host.name))
		way->wrong = "its name is too long";
	else
		snprintf(way->host.name, sizeof(way->host.name), "%.*s", (int)len, name);
}

/* May word @i of @r be a guest? With -g vpeek's words are places. */
static bool may_be_guest(const struct request *r, size_t i)
{
	const unsigned scope = r->applet->view.scope;

	/* It stands in the place of the guest. */
	if (!r->raw && r->applet->run && request_has(r, OPT_ALL))
		return false;
	if (r->raw && (scope & SCOPE_PEEK))
		return !i && !request_has(r, 'g');
	return !i || (r->raw && !(scope & SCOPE_DUMP));
}

static const struct option_row *row(const struct request *r, const struct given *g)
{
	const unsigned scopes = options_scopes(r->applet, r->raw);

	return g->word[1] == '-' ? option_by_word(g->word, g->len + 2, scopes) :
				   option_by_key((unsigned char)*g->at, scopes);
}

/*
 * The word @arg there, malloc'ed: without the host of a guest, and with the URI there. @value, in
 * it, is what is replaced, or NULL.
 */
static char *there(const char *arg, const char *value, const char *instead)
{
	char *word = NULL;

	if (!value)
		return strdup(arg);
	return asprintf(&word, "%.*s%s", (int)(value - arg), arg, instead) < 0 ? NULL : word;
}

/* Is @p in the text @arg? */
static bool is_in(const char *p, const char *arg)
{
	return p >= arg && p <= arg + strlen(arg);
}

/* The part of @arg that *@instead_ret replaces; NULL: none. */
static const char *replaced(const struct request *r, const struct remote_way *way, const char *arg,
			    const char **instead_ret)
{
	for (size_t i = 0; i < r->nr_words; i++) {
		if (r->words[i] != arg || !may_be_guest(r, i) || !remote_is_guest(arg))
			continue;
		*instead_ret = arg + vl_spec_host(arg) + 1;
		return arg;
	}
	for (size_t i = 0; i < r->nr_given; i++) {
		const struct given *g = &r->given[i];
		const struct option_row *o = row(r, g);

		if (!o || !g->value || !is_in(g->value, arg))
			continue;
		if (o->key == 'g' && remote_is_guest(g->value)) {
			*instead_ret = g->value + vl_spec_host(g->value) + 1;
			return g->value;
		}
		if (o->key == 'c' && *way->uri) {
			*instead_ret = way->uri;
			return g->value;
		}
	}
	return NULL;
}

/* Read all that names a host. False: nothing does. */
static bool find_way(const struct request *r, struct remote_way *ret)
{
	bool found = false, local = false;

	*ret = (struct remote_way){ .wrong = NULL };
	for (size_t i = 0; i < r->nr_given; i++) {
		const struct given *g = &r->given[i];
		const struct option_row *o = row(r, g);

		if (o && o->key == 'c' && g->value)
			found = remote_read_uri(g->value, ret);
	}
	for (size_t i = 0; i < r->nr_given; i++) {
		const struct given *g = &r->given[i];
		const struct option_row *o = row(r, g);

		if (!o || o->key != 'g' || !g->value)
			continue;
		if (remote_is_guest(g->value))
			set_host(ret, g->value, vl_spec_host(g->value));
		else
			local = true;
	}
	for (size_t i = 0; i < r->nr_words && may_be_guest(r, i); i++) {
		if (remote_is_guest(r->words[i]))
			set_host(ret, r->words[i], vl_spec_host(r->words[i]));
		else
			local = true;
	}
	/* With a URI all guests are there. */
	if (!found && local && *ret->host.name && !ret->wrong)
		ret->wrong = "its words also name a guest of this host: one run is on one host; "
			     "see vlens fleet";
	return found || *ret->host.name;
}

/* The words of the command there, NULL-terminated; NULL: no memory. */
static char **words_there(const struct request *r, const struct remote_way *way, int argc,
			  char **argv)
{
	char **list = calloc((size_t)argc + 3, sizeof(*list));
	/* "vlens doctor" are two words. */
	const char *space = strchr(r->applet->name, ' ');
	size_t nr = 0;
	bool full = !list;

	if (!full && space)
		full = asprintf(&list[nr++], "%.*s", (int)(space - r->applet->name),
				r->applet->name) < 0;
	if (!full)
		full = !(list[nr++] = strdup(space ? space + 1 : r->applet->name));
	for (int i = 1; !full && i < argc; i++) {
		const char *instead = NULL;
		const char *value = replaced(r, way, argv[i], &instead);

		full = !(list[nr++] = there(argv[i], value, instead));
	}
	if (!full)
		return list;
	for (size_t i = 0; list && i < nr; i++)
		free(list[i]);
	free(list);
	return NULL;
}

static void free_words(char **list)
{
	for (size_t i = 0; list && list[i]; i++)
		free(list[i]);
	free(list);
}

/* ---- the run ---- */

static const int passed[] = { SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };

struct control {
	pid_t pid;  /* of ssh */
	int to;	    /* its input; -1: that is a terminal's */
	int from;   /* our input, to be passed; -1: none */
	int last;   /* the last signal that was passed */
	int broken; /* the signal for which the connection was ended, as it could not be passed */
	int out;    /* ssh's output, for ours: -1: ssh has ours itself */
	int error;  /* of a write to ours */
	char buf[sizeof(struct far_frame) + FAR_DATA_MAX];
	size_t at, len; /* what is left of it to write */
};

/* Write what ssh takes. */
static void flush_control(struct control *l)
{
	while (l->at < l->len) {
		ssize_t n = write(l->to, l->buf + l->at, l->len - l->at);

		if (n < 0 && errno == EINTR)
			continue;
		/* Without a reader the stream is done: ssh ends, and its status counts. */
		if (n < 0 && errno != EAGAIN)
			l->at = l->len;
		if (n < 0)
			return;
		l->at += (size_t)n;
	}
}

static void put_frame(struct control *l, uint8_t kind, uint8_t number, size_t len)
{
	const struct far_frame f = { kind, number, { (uint8_t)(len >> 8), (uint8_t)len } };

	memcpy(l->buf, &f, sizeof(f));
	l->at = 0;
	l->len = sizeof(f) + len;
	flush_control(l);
}

static void take_input(struct control *l)
{
	ssize_t n = read(l->from, l->buf + sizeof(struct far_frame), FAR_DATA_MAX);

	if (n > 0) {
		put_frame(l, FAR_DATA, 0, (size_t)n);
	} else if (!n || errno != EINTR) {
		put_frame(l, FAR_END, 0, 0);
		l->from = -1;
	}
}

/*
 * A signal to us is for the command there. A second one of a kind ends ssh: the first may be stuck
 * behind a connection that is not made, or behind input that nobody reads.
 */
static void pass_signal(struct control *l, int signal)
{
	if (l->to < 0) {
		kill(l->pid, signal);
		return;
	}
	if (l->last == signal || l->at < l->len) {
		l->broken = signal;
		kill(l->pid, SIGTERM);
		return;
	}
	l->last = signal;
	put_frame(l, FAR_SIGNAL, (uint8_t)signal, 0);
}

/*
 * ssh's status does not say that its output could not be written. Where that can happen with a
 * reader still there, in files and devices, it is written here.
 */
static bool is_written_here(void)
{
	struct stat st;

	return !isatty(STDOUT_FILENO) && !fstat(STDOUT_FILENO, &st) && !S_ISFIFO(st.st_mode) &&
	       !S_ISSOCK(st.st_mode);
}

/* Write what ssh has put out. */
static void take_output(struct control *l)
{
	char buf[65536];
	ssize_t n = read(l->out, buf, sizeof(buf)), done;

	if (n < 0 && errno == EINTR)
		return;
	for (ssize_t at = 0; at < n && !l->error; at += done) {
		done = write(STDOUT_FILENO, buf + at, (size_t)(n - at));
		if (done < 0)
			l->error = errno;
	}
	if (n > 0 && !l->error)
		return;
	close(l->out);
	l->out = -1;
}

/* Serve the control stream until ssh has ended. Returns its status, of waitpid(). */
static int serve(struct control *l, int signals)
{
	int status;
	pid_t ended;

	while (!(ended = waitpid(l->pid, &status, WNOHANG | WUNTRACED)) || WIFSTOPPED(status)) {
		const bool is_full = l->at < l->len;
		struct pollfd fds[] = {
			{ .fd = signals, .events = POLLIN },
			{ .fd = is_full ? l->to : -1, .events = POLLOUT },
			{ .fd = is_full ? -1 : l->from, .events = POLLIN },
			{ .fd = l->out, .events = POLLIN },
		};
		struct signalfd_siginfo info;

		/* ssh was stopped by its escape character: so are we, until the shell goes on. */
		if (ended > 0) {
			raise(SIGSTOP);
			kill(l->pid, SIGCONT);
			status = 0;
			continue;
		}
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			continue;
		if (fds[0].revents && read(signals, &info, sizeof(info)) == sizeof(info) &&
		    info.ssi_signo != SIGCHLD)
			pass_signal(l, (int)info.ssi_signo);
		if (fds[1].revents)
			flush_control(l);
		if (fds[2].revents)
			take_input(l);
		if (fds[3].revents)
			take_output(l);
	}
	/* An ssh that others share can stay, and have it open. */
	while (l->out >= 0 && poll(&(struct pollfd){ .fd = l->out, .events = POLLIN }, 1, 0) > 0)
		take_output(l);
	return ended > 0 ? status : 0;
}

/* Start ssh; its input is @in and its output @out, if they are not -1. */
static pid_t start(char **ssh, int in, int out, const sigset_t *old)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	/* A terminal sends its signals to all of a job: those are ours to pass. */
	if (in >= 0) {
		signal(SIGINT, SIG_IGN);
		signal(SIGQUIT, SIG_IGN);
		dup2(in, STDIN_FILENO);
	}
	if (out >= 0)
		dup2(out, STDOUT_FILENO);
	sigprocmask(SIG_SETMASK, old, NULL);
	execvp(ssh[0], ssh);
	fprintf(stderr, "vlens: cannot run %s: %s\n", ssh[0], strerror(errno));
	_exit(REMOTE_SSH_FAILED);
}

/* Report and free @err. */
static void report(const struct request *r, const char *host, struct vl_error *err)
{
	error_report(r->applet->name, host, err);
	vl_error_destroy(err);
}

/* End as a tool here that @number has ended. */
static void end_by(int number)
{
	sigset_t set;

	signal(number, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, number);
	raise(number);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* The status of ours for that of ssh. */
static int judge(const struct request *r, const struct control *l, const char *host, int status)
{
	int code;

	if (l->broken)
		end_by(l->broken);
	if (WIFSIGNALED(status)) {
		signal(WTERMSIG(status), SIG_DFL);
		raise(WTERMSIG(status));
		return 128 + WTERMSIG(status);
	}
	code = WEXITSTATUS(status);
	/* A tool that a signal ended has ended us, too. */
	if (l->last && code == 128 + l->last)
		end_by(l->last);
	if (l->error) {
		fprintf(stderr, "%s: write error: %s\n", r->applet->name, strerror(l->error));
		return code && code != REMOTE_SSH_FAILED ? code : 1;
	}
	if (code != REMOTE_SSH_FAILED)
		return code;
	report(r, host,
	       vl_error_hint(vl_error_new(VL_ERR_TARGET, "%s", REMOTE_SSH_FAILURE),
			     "does 'ssh %s true' work?", host));
	return STATUS_GUEST;
}

static int run_there(const struct request *r, struct remote_way *way, char **words)
{
	struct control l = { .to = -1, .from = -1, .out = -1 };
	const bool has_input = r->applet->run == exec_run && !r->raw;
	_cleanup_close_ int signals = -1;
	_cleanup_free_ char *command = NULL;
	_cleanup_free_ char **ssh = NULL;
	int pipes[2] = { -1, -1 }, out[2] = { -1, -1 }, status;
	sigset_t set, old;

	way->host.has_tty = isatty(0) && isatty(1) && isatty(2);
	command = remote_command(&way->host, words, !way->host.has_tty, has_input);
	ssh = command ? remote_ssh(&way->host, command) : NULL;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
		sigaddset(&set, passed[i]);
	sigprocmask(SIG_BLOCK, &set, &old);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (!ssh || signals < 0 || (!way->host.has_tty && pipe2(pipes, O_CLOEXEC)) ||
	    (is_written_here() && pipe2(out, O_CLOEXEC))) {
		report(r, way->host.name,
		       ssh ? vl_error_os(errno, "cannot prepare ssh") : vl_error_nomem());
		for (size_t i = 0; i < 2; i++) {
			if (pipes[i] >= 0)
				close(pipes[i]);
		}
		sigprocmask(SIG_SETMASK, &old, NULL);
		return STATUS_GUEST;
	}
	l.pid = start(ssh, pipes[0], out[1], &old);
	l.out = out[0];
	if (out[1] >= 0)
		close(out[1]);
	if (pipes[0] >= 0) {
		close(pipes[0]);
		l.to = pipes[1];
		fcntl(l.to, F_SETFL, O_NONBLOCK);
		l.from = has_input ? 0 : -1;
		signal(SIGPIPE, SIG_IGN);
	}
	status = l.pid < 0 ? 0 : serve(&l, signals);
	if (l.pid < 0)
		report(r, way->host.name, vl_error_os(errno, "cannot fork"));
	return l.pid < 0 ? STATUS_GUEST : judge(r, &l, way->host.name, status);
}

bool remote_run(const struct request *r, int argc, char **argv, int *status_ret)
{
	const unsigned scope = r->applet->view.scope | r->applet->scope;
	struct remote_way way;
	char **words;

	/* Of these the words are no guests, or this host is meant. */
	if ((scope & (SCOPE_VLENS | SCOPE_TYPES | SCOPE_FLEET)) || r->applet->verbs ||
	    request_is_about(r) || !find_way(r, &way))
		return false;
	use_locale();
	*status_ret = r->applet->usage_status;
	if (scope & (SCOPE_DUMP | SCOPE_EXPORT))
		way.wrong = "this is done on the guest's own host: run it there, by ssh";
	if (way.wrong) {
		usage_report(r->applet->name, "another host: %s", way.wrong);
		return true;
	}
	words = words_there(r, &way, argc, argv);
	*status_ret = STATUS_GUEST;
	if (words)
		*status_ret = run_there(r, &way, words);
	else
		report(r, NULL, vl_error_nomem());
	free_words(words);
	return true;
}
