// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Runs shell commands for the host, over a raw serial port; the other end is
 * tests/guest/run.  It exists for the tests alone: vlens needs nothing in a
 * guest, but the tests compare with what the guest says of itself.
 *
 *   host   "\n" "RUN " ID " " HEX "\n"      HEX: the command, two digits a byte
 *   guest  "OUT " ID " " LENGTH "\n" bytes  what it printed, as it comes
 *          "END " ID " " STATUS "\n"        its exit status, 128 + n for signal n
 *
 * One line is one request and the ID comes back in every answer, so a host that
 * was killed in mid-word is followed by one that works.  A new request ends the
 * command of an old one.  A command has ended when its shell has, whatever it
 * left running.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "factory.h"

enum { LINE_MAX_BYTES = 1 << 20, ID_BYTES = 32 };

struct agent {
	int tty;
	char *line; /* what came so far of one request */
	size_t len;
	char id[ID_BYTES]; /* of the command that runs */
	pid_t pid;	   /* its process group, 0 when none runs */
	int pidfd;	   /* readable when it has ended, -1 when none runs */
	int out;	   /* its output, -1 when none runs */
};

static void send_all(struct agent *a, const char *p, size_t n)
{
	while (n) {
		ssize_t done = write(a->tty, p, n);

		if (done < 0)
			die("tty");
		p += done;
		n -= done;
	}
}

static void send_end(struct agent *a, const char *id, int status)
{
	char head[64];
	int n = snprintf(head, sizeof(head), "END %s %d\n", id, status);

	send_all(a, head, n);
}

/* Ends the command that runs, if one does; returns its status. */
static int finish(struct agent *a, int kill_it)
{
	int status;

	if (kill_it)
		kill(-a->pid, SIGKILL);
	waitpid(a->pid, &status, 0);
	if (a->out >= 0)
		close(a->out);
	close(a->pidfd);
	a->pid = 0;
	a->out = a->pidfd = -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void start(struct agent *a, const char *command)
{
	int pipefd[2];

	if (pipe2(pipefd, O_CLOEXEC))
		die("pipe");
	a->pid = fork();
	if (a->pid < 0)
		die("fork");
	if (!a->pid) {
		int null = open("/dev/null", O_RDWR);

		setpgid(0, 0);
		dup2(null, 0);
		dup2(pipefd[1], 1);
		dup2(pipefd[1], 2);
		close(null);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	setpgid(a->pid, a->pid);
	close(pipefd[1]);
	a->out = pipefd[0];
	fcntl(a->out, F_SETFL, O_NONBLOCK);
	a->pidfd = syscall(SYS_pidfd_open, a->pid, 0);
	if (a->pidfd < 0)
		die("pidfd_open");
}

/* Decodes pairs of hex digits in place; returns 0 when it is not that. */
static int unhex(char *s)
{
	char *to = s;
	unsigned int byte;

	for (; s[0] && s[1]; s += 2) {
		if (sscanf(s, "%2x", &byte) != 1 || !byte)
			return 0;
		*to++ = (char)byte;
	}
	*to = '\0';
	return !*s;
}

static void handle_line(struct agent *a)
{
	char id[ID_BYTES];
	int at = 0;

	if (sscanf(a->line, "RUN %31s %n", id, &at) != 1 || !at)
		return;
	if (a->pid)
		finish(a, 1);
	memcpy(a->id, id, sizeof(id));
	if (unhex(a->line + at))
		start(a, a->line + at);
	else
		send_end(a, id, 2);
}

static void read_tty(struct agent *a)
{
	char buf[4096];
	ssize_t n = read(a->tty, buf, sizeof(buf));

	if (n <= 0)
		die("tty");
	for (ssize_t i = 0; i < n; i++) {
		if (buf[i] == '\n') {
			a->line[a->len] = '\0';
			handle_line(a);
			a->len = 0;
		} else if (a->len < LINE_MAX_BYTES - 1) {
			a->line[a->len++] = buf[i];
		}
	}
}

static void read_output(struct agent *a)
{
	char buf[16384], head[64];
	ssize_t n = -1;

	/* At most what a pipe holds: the tty wants its turn too. */
	for (int i = 0; i < 4 && (n = read(a->out, buf, sizeof(buf))) > 0; i++) {
		send_all(a, head, snprintf(head, sizeof(head), "OUT %s %zd\n", a->id, n));
		send_all(a, buf, n);
	}
	/* At the end of file poll would return at once, again and again. */
	if (n == 0) {
		close(a->out);
		a->out = -1;
	}
}

int run_agent(const char *path)
{
	struct agent a = { .out = -1, .pidfd = -1 };
	struct termios raw;

	/* The port is this process's terminal: ps has one to show. */
	a.tty = open(path, O_RDWR | O_CLOEXEC);
	a.line = malloc(LINE_MAX_BYTES);
	if (a.tty < 0 || !a.line || tcgetattr(a.tty, &raw))
		die(path);
	cfmakeraw(&raw);
	raw.c_cflag |= CLOCAL;
	/* The emulated port has no wire, but the kernel waits as if it had. */
	cfsetspeed(&raw, B115200);
	if (tcsetattr(a.tty, TCSANOW, &raw))
		die(path);
	for (;;) {
		struct pollfd p[3] = { { .fd = a.tty, .events = POLLIN },
				       { .fd = a.out, .events = POLLIN },
				       { .fd = a.pidfd, .events = POLLIN } };

		if (poll(p, 3, -1) < 0)
			die("poll");
		if (p[1].revents)
			read_output(&a);
		if (p[2].revents) {
			if (a.out >= 0)
				read_output(&a);
			send_end(&a, a.id, finish(&a, 0));
		} else if (p[0].revents) {
			read_tty(&a);
		}
	}
}
