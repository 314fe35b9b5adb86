/* SPDX-License-Identifier: GPL-2.0-or-later */
/* attack-host: another thread changes a call's path or descriptor between check and call. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "attack.h"
#include "base/array.h"

static char path[4096];
static const char *good, *secret;
static volatile int stop;

static void *flip(void *unused)
{
	while (!stop) {
		strcpy(path, good);
		strcpy(path, secret);
	}
	return unused;
}

static void show(int fd)
{
	char buf[256];
	ssize_t n = fd >= 0 ? read(fd, buf, sizeof(buf)) : -1;

	if (n > 0 && memmem(buf, (size_t)n, "SECRET", 6))
		row("the secret was read by a race", 1);
	if (fd >= 0)
		close(fd);
}

void race(const char *from_path, const char *to_path, const char *ino)
{
	unsigned long number = strtoul(ino, NULL, 10);
	struct statx x;
	struct stat st;
	pthread_t t;

	good = from_path;
	secret = to_path;
	strcpy(path, good);
	pthread_create(&t, NULL, flip, NULL);
	for (int i = 0; i < 400; i++) {
		show(open(path, O_RDONLY));
		show(openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC));
		row("stat", !stat(path, &st) && st.st_ino == number);
		row("fstatat with a descriptor",
		    !syscall(SYS_newfstatat, 0, path, &st, AT_EMPTY_PATH) && st.st_ino == number);
		row("statx", !statx(AT_FDCWD, path, 0, STATX_INO, &x) && x.stx_ino == number);
		row("unlink", !unlink(path));
		row("truncate", !truncate(path, 0));
		row("open for writing", open(path, O_WRONLY) >= 0);
		row("chmod", !chmod(path, 0777));
	}
	stop = 1;
	pthread_join(t, NULL);
}

/* A program that such a race can execute is under the same filter. */
void race_exec(const char *from_path, const char *to_path)
{
	char *argv[] = { "sh", NULL };
	pthread_t t;

	good = from_path;
	secret = to_path;
	for (int i = 0; i < 40; i++) {
		pid_t pid;

		stop = 0;
		strcpy(path, good);
		pid = fork();
		if (!pid) {
			pthread_create(&t, NULL, flip, NULL);
			for (int k = 0; k < 20; k++)
				execve(path, argv, environ);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
		tried++;
	}
}

static int from, inside, slot;

static void *swap(void *unused)
{
	while (!stop) {
		dup2(from, slot);
		for (volatile int i = 0; i < 1000; i++)
			;
		dup2(inside, slot);
		for (volatile int i = 0; i < 1000; i++)
			;
	}
	return unused;
}

/* Does stdin change while another thread puts it to where @file is? */
void race_swap(const char *file, int flags, int number, int rounds)
{
	struct stat st, now;
	char buf[16];
	pthread_t t;

	from = 0;
	slot = number;
	inside = open(file, flags, 0600);
	row(file, inside < 0 || fstat(from, &st) || dup2(inside, slot) != slot);
	pthread_create(&t, NULL, swap, NULL);
	for (int i = 0; i < rounds; i++) {
		if (flags & O_CREAT) {
			fchmod(slot, 0777);
		} else {
			usleep(21000); /* after less time the whole file is still fresh */
			(void)!pread(slot, buf, sizeof(buf), 0);
		}
		if (fstat(from, &now) || now.st_size != st.st_size || now.st_mode != st.st_mode) {
			row("a file of the host was changed by a race", 1);
			break;
		}
	}
	stop = 1;
	pthread_join(t, NULL);
}

/* @inside and stdin or stdout, @given, take turns at number 100. */
static pthread_t begin_swap(int given)
{
	pthread_t t;

	from = given;
	slot = 100;
	row("begin", inside < 0 || dup2(inside, slot) != slot);
	pthread_create(&t, NULL, swap, NULL);
	return t;
}

static void end_swap(pthread_t t)
{
	stop = 1;
	pthread_join(t, NULL);
}

void race_lock(const char *file)
{
	pthread_t t;

	inside = open(file, O_RDWR | O_CREAT, 0600);
	t = begin_swap(0);
	for (int i = 0; i < 10000; i++) {
		struct flock l = { .l_type = F_RDLCK }, now = { .l_type = F_WRLCK };

		fcntl(slot, F_OFD_SETLK, &l);
		if (fcntl(0, F_GETLK, &now) || now.l_type != F_UNLCK) {
			row("a file of the host was locked by a race", 1);
			break;
		}
	}
	end_swap(t);
}

void race_map(void)
{
	const int shared[] = { MAP_SHARED, MAP_SHARED, MAP_SHARED_VALIDATE, MAP_SHARED_VALIDATE };
	pthread_t t;
	struct stat st;

	row("stdout is not as it should be",
	    fstat(1, &st) || !st.st_size ||
		    (fcntl(1, F_GETFL) & (O_ACCMODE | O_APPEND)) != (O_RDWR | O_APPEND));
	for (size_t i = 0; i < ARRAY_SIZE(shared); i++)
		row("stdout was mapped as memory to share",
		    mmap(NULL, 4096, PROT_READ | PROT_WRITE | (int)(i & 1 ? PROT_EXEC : 0),
			 shared[i], 1, 0) != MAP_FAILED);
	inside = memfd_create("x", 0);
	row("ftruncate", ftruncate(inside, 4096));
	t = begin_swap(1);
	for (int i = 0; i < 10000; i++) {
		char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, slot, 0);

		/* The memory file is empty. */
		if (map != MAP_FAILED && *map) {
			row("what is appended to was mapped by a race", 1);
			break;
		}
		if (map != MAP_FAILED)
			munmap(map, 4096);
	}
	end_swap(t);
}

void race_option(void)
{
	int pair[2], one = 1, now = 0;
	socklen_t len = sizeof(now);
	pthread_t t;

	row("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	inside = pair[0];
	t = begin_swap(0);
	for (int i = 0; i < 10000; i++) {
		setsockopt(slot, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
		if (getsockopt(0, SOL_SOCKET, SO_KEEPALIVE, &now, &len) || now) {
			row("an option of a socket of the host was set by a race", 1);
			break;
		}
	}
	end_swap(t);
	row("an option of its own socket",
	    setsockopt(pair[1], SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)));
}

static volatile pid_t group;
static pid_t mine, other;

static void *flip_group(void *unused)
{
	while (!stop) {
		group = mine;
		for (volatile int i = 0; i < 300; i++)
			;
		group = other;
		for (volatile int i = 0; i < 300; i++)
			;
	}
	return unused;
}

/* A program may give the terminal to its own groups only, not to the operator's other jobs. */
void race_jobs(pid_t job)
{
	pthread_t t;
	pid_t pid;

	other = job;
	signal(SIGTTOU, SIG_IGN);
	mine = getpgrp();
	row("not a terminal", tcgetpgrp(0) != mine);
	pid = fork();
	if (!pid)
		_exit(pause());
	NEVER(setpgid(0, other));
	NEVER(setpgid(pid, other));
	NEVER(setpgid(pid, getsid(0)));
	NEVER(tcsetpgrp(0, other));
	row("a group of its own", setpgid(pid, pid) || tcsetpgrp(0, pid) || tcsetpgrp(0, mine));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	pthread_create(&t, NULL, flip_group, NULL);
	for (int i = 0; i < 10000; i++) {
		ioctl(0, TIOCSPGRP, &group);
		if (tcgetpgrp(0) != mine) {
			row("another job has the terminal, by a race", 1);
			break;
		}
	}
	end_swap(t);
	row("tcdrain", tcdrain(0));
	row("tcflow", tcflow(0, TCOON));
}
