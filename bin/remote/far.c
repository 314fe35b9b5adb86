/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `vlens far [-i] -- COMMAND...`: the other end of the control stream (remote.h). Runs a command,
 * passes signals and input to it, hangs it up when the stream breaks, and ends with its status.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "remote.h"

/* After a hang-up: the time, in milliseconds, until the command is asked to end, then made to. */
#define PATIENCE_MS 2000

struct far {
	pid_t pid;
	int to;			 /* the command's input; -1: it has none, or it has ended */
	struct far_frame frame;	 /* that is being read */
	size_t head;		 /* bytes of it that are there */
	size_t left;		 /* bytes of data that are still to be read */
	char data[FAR_DATA_MAX]; /* to be written to the command */
	size_t from, until;	 /* what is left of it */
	bool ended;		 /* no more data will come */
};

static void close_input(struct far *f)
{
	if (f->to >= 0)
		close(f->to);
	f->to = -1;
	f->from = f->until = 0;
}

/* Write what the command takes. */
static void pass(struct far *f)
{
	ssize_t n = write(f->to, f->data + f->from, f->until - f->from);

	if (n > 0)
		f->from += (size_t)n;
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		close_input(f); /* the command reads no more */
	if (f->from == f->until && f->ended)
		close_input(f);
}

/* A whole head is there. */
static void take_head(struct far *f)
{
	const struct far_frame *h = &f->frame;

	f->head = 0;
	switch (h->kind) {
	case FAR_DATA:
		f->left = (size_t)h->len[0] << 8 | h->len[1];
		break;
	case FAR_END:
		f->ended = true;
		if (f->from == f->until)
			close_input(f);
		break;
	case FAR_SIGNAL:
		if (h->number && h->number < NSIG)
			kill(-f->pid, h->number);
		break;
	}
}

/* Read from the control stream; false: it is broken. */
static bool receive(struct far *f)
{
	ssize_t n;

	if (!f->left) {
		n = read(0, (char *)&f->frame + f->head, sizeof(f->frame) - f->head);
		if (n <= 0)
			return n < 0 && errno == EINTR;
		f->head += (size_t)n;
		if (f->head == sizeof(f->frame))
			take_head(f);
		return true;
	}
	/* The last data have been passed: see serve(). */
	n = read(0, f->data, f->left < sizeof(f->data) ? f->left : sizeof(f->data));
	if (n <= 0)
		return n < 0 && errno == EINTR;
	f->left -= (size_t)n;
	f->from = 0;
	f->until = f->to < 0 ? 0 : (size_t)n;
	return true;
}

/* Serve until the command has ended. Returns its status, as a shell has it. */
static int serve(struct far *f, int children)
{
	static const int signals[] = { SIGHUP, SIGTERM, SIGKILL };
	bool broken = false;
	unsigned asked = 0;
	int status = 0;

	while (!waitpid(f->pid, &status, WNOHANG)) {
		const bool is_full = f->from < f->until;
		struct pollfd fds[] = {
			{ .fd = children, .events = POLLIN },
			/* With data to pass, only the end of the stream is looked for. */
			{ .fd = broken ? -1 : 0, .events = is_full ? POLLRDHUP : POLLIN },
			{ .fd = is_full ? f->to : -1, .events = POLLOUT },
		};
		struct signalfd_siginfo info;
		int n = poll(fds, 3, broken ? PATIENCE_MS : -1);

		if (n > 0 && fds[0].revents && read(children, &info, sizeof(info)) < 0)
			continue;
		if (n > 0 && fds[2].revents)
			pass(f);
		if (n > 0 && fds[1].revents && (is_full || !receive(f)))
			broken = true;
		if (broken && (!asked || !n)) {
			close_input(f);
			kill(-f->pid, signals[asked < 2 ? asked : 2]);
			asked++;
		}
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run(char **argv, bool has_input)
{
	static const int passed[] = { SIGINT, SIGQUIT, SIGTERM, SIGHUP };
	struct far f = { .to = -1 };
	int pipes[2] = { -1, -1 }, children, status;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	children = signalfd(-1, &set, SFD_CLOEXEC);
	if (children < 0 || (has_input && pipe2(pipes, O_CLOEXEC))) {
		perror("vlens far");
		return STATUS_GUEST;
	}
	f.pid = fork();
	if (!f.pid) {
		int in = has_input ? pipes[0] : open("/dev/null", O_RDONLY | O_CLOEXEC);

		/* Signals are for the command and all that it starts. */
		setpgid(0, 0);
		sigprocmask(SIG_UNBLOCK, &set, NULL);
		for (size_t i = 0; i < ARRAY_SIZE(passed); i++)
			signal(passed[i], SIG_DFL);
		if (in < 0 || dup2(in, 0) < 0)
			_exit(STATUS_GUEST);
		execvp(argv[0], argv);
		fprintf(stderr, "vlens far: %s: %s\n", argv[0], strerror(errno));
		_exit(STATUS_GUEST);
	}
	if (f.pid < 0) {
		perror("vlens far");
		return STATUS_GUEST;
	}
	setpgid(f.pid, f.pid);
	signal(SIGPIPE, SIG_IGN);
	if (has_input) {
		close(pipes[0]);
		f.to = pipes[1];
		fcntl(f.to, F_SETFL, O_NONBLOCK);
	}
	status = serve(&f, children);
	/* ssh ends so, too, without a connection: only this line tells one from the other. */
	if (status == REMOTE_SSH_FAILED)
		fprintf(stderr, "vlens far: %s itself ended with status %d\n", argv[0], status);
	return status;
}

int far_run(const struct applet_table *t, int argc, char **argv)
{
	const bool has_input = argc > 1 && !strcmp(argv[1], "-i");
	const int at = has_input ? 2 : 1;

	(void)t;
	if (argc <= at + 1 || strcmp(argv[at], "--") != 0) {
		fputs("vlens far: what another vlens starts by ssh\n", stderr);
		return 1;
	}
	return run(argv + at + 1, has_input);
}
