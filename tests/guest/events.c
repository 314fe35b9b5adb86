// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Events for vwatch to find: the roles of factory that make them.
 *
 *   factory burst RATE US SECONDS   makes so many processes a second, which live so long
 *   factory rise SECONDS            is user 1000 for so long, and root again, as long
 *   factory listen PORT SECONDS     listens there for so long
 *   factory threads N               makes as many threads, which end at once
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "factory.h"

#define SECOND 1000000000UL

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
	struct timespec ts = { (time_t)(ns / SECOND), (long)(ns % SECOND) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/*
 * Makes @rate processes a second for @seconds, each of which ends @live_us after it was made, and
 * is called "burst". Prints how many, in how many ms, and how long they lived in us: the shortest,
 * the median and the longest, from before the fork to before the exit.
 */
static void run_burst(unsigned rate, unsigned live_us, unsigned seconds)
{
	const size_t max = (size_t)rate * seconds;
	const uint64_t began = now_ns(), end = began + seconds * SECOND;
	uint64_t *lives = mmap(NULL, (max + 1) * sizeof(*lives), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	size_t nr = 0;

	if (lives == MAP_FAILED || !max)
		die("mmap");
	prctl(PR_SET_NAME, "burst");
	for (; nr < max && now_ns() < end; nr++) {
		uint64_t made;
		pid_t pid;

		sleep_until(began + nr * (SECOND / rate));
		made = now_ns();
		pid = fork();
		if (pid < 0)
			die("fork");
		if (!pid) {
			sleep_until(made + live_us * 1000UL);
			lives[nr] = now_ns() - made;
			_exit(0);
		}
		/* Those that have ended. */
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
	while (waitpid(-1, NULL, 0) > 0)
		;
	qsort(lives, nr, sizeof(*lives), compare);
	printf("%zu %lu %lu %lu %lu\n", nr, (now_ns() - began) / 1000000, lives[0] / 1000,
	       lives[nr / 2] / 1000, lives[nr ? nr - 1 : 0] / 1000);
}

/* A process called "rise" that is user 1000 for a while, and then root again. Prints its PID. */
static void run_rise(unsigned seconds)
{
	prctl(PR_SET_NAME, "rise");
	printf("%d\n", (int)getpid());
	fflush(stdout);
	if (setresuid(1000, 1000, 0))
		die("setresuid");
	sleep(seconds);
	if (setresuid(0, 0, 0))
		die("setresuid");
	sleep(seconds);
}

/* Listens on TCP port @port. */
static void run_listen(unsigned port, unsigned seconds)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr = { htonl(INADDR_LOOPBACK) },
				  .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&to, sizeof(to)) || listen(fd, 5))
		die("listen");
	sleep(seconds);
	close(fd);
}

/* Threads that end at once, @nr of them, one after the other. */
static int end_thread(void *arg)
{
	(void)arg;
	return 0;
}

static void run_threads(unsigned nr)
{
	static char stack[65536];

	for (unsigned i = 0; i < nr; i++) {
		pid_t tid = 1;

		if (clone(end_thread, stack + sizeof(stack),
			  CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
				  CLONE_CHILD_CLEARTID,
			  NULL, NULL, NULL, &tid) < 0)
			die("clone");
		while (__atomic_load_n(&tid, __ATOMIC_ACQUIRE))
			usleep(1000);
	}
}

bool run_event(int argc, char **argv)
{
	unsigned n[3] = { 0 };

	for (int i = 1; i < argc && i <= 3; i++)
		n[i - 1] = (unsigned)atoi(argv[i]);
	if (argc == 4 && !strcmp(argv[0], "burst"))
		run_burst(n[0], n[1], n[2]);
	else if (argc == 2 && !strcmp(argv[0], "rise"))
		run_rise(n[0]);
	else if (argc == 3 && !strcmp(argv[0], "listen"))
		run_listen(n[0], n[1]);
	else if (argc == 2 && !strcmp(argv[0], "threads"))
		run_threads(n[0]);
	else
		return false;
	return true;
}
