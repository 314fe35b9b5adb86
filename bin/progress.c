/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "progress.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "report.h"

/* A process, no timer or thread: no signal interrupts us, no lock is held over a fork. */
static void __attribute__((noreturn))
say(pid_t parent, const char *applet, const char *spec, const char *doing)
{
	const struct timespec second = { .tv_sec = 1 };
	struct clean_state state = { 0 };

	use_locale();
	/* The terminal's signals are for the tool. */
	setpgid(0, 0);
	signal(SIGTTOU, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, "vlens-progress");
	for (unsigned seconds = 1; getppid() == parent; seconds++) {
		nanosleep(&second, NULL);
		fprintf(stderr, "\r%s: ", applet);
		if (spec) {
			print_clean(stderr, spec, strlen(spec), false, &state);
			print_clean_end(stderr, &state);
			fputs(": ", stderr);
		}
		if (doing)
			fprintf(stderr, "%s, %u s\033[K", doing, seconds);
		else
			fprintf(stderr,
				"waiting for the guest%s, %u s (a first attach reads its kernel's "
				"symbols, and unpacks a compressed file)\033[K",
				spec ? "" : "s", seconds);
		fflush(stderr);
	}
	_exit(0);
}

void progress_begin(struct progress *p, const char *applet, const char *spec, const char *doing)
{
	pid_t parent = getpid();

	*p = (struct progress){ .pid = 0 };
	if (!isatty(STDERR_FILENO))
		return;
	fflush(NULL);
	p->begin = vl_now_ns();
	p->pid = fork();
	if (!p->pid)
		say(parent, applet, spec, doing);
	if (p->pid < 0)
		p->pid = 0;
}

void progress_clear(void *progress)
{
	static const char clear[] = "\r\033[K";
	const struct progress *p = progress;
	ssize_t n;

	if (p->pid <= 0)
		return;
	kill(p->pid, SIGKILL);
	/* In the first second nothing is printed: the line is not ours. */
	if (vl_now_ns() - p->begin < VL_NSEC_PER_SEC)
		return;
	n = write(STDERR_FILENO, clear, sizeof(clear) - 1);
	(void)n;
}

void progress_end(struct progress *p)
{
	int status;

	if (p->pid <= 0)
		return;
	/* A process that is gone was ended by progress_clear(): there may be output since. */
	if (!waitpid(p->pid, &status, WNOHANG)) {
		progress_clear(p);
		while (waitpid(p->pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	p->pid = 0;
}
