/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An escape from what parses a guest's kernel, planted: a library for LD_PRELOAD that runs
 * hostile code where the tables of symbols are looked for (EVIL_AT=image), or where they are
 * sorted (EVIL_AT=symbols), as EVIL_ATTACK says (tests/98-attack-symbols.bats).
 *
 * "marks" makes the file /tmp/evil: only a process outside of a box can do that. Then it goes on.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <unistd.h>

static void attack(const char *at)
{
	const char *where = getenv("EVIL_AT"), *what = getenv("EVIL_ATTACK");
	char *const argv[] = { (char *)"sh", (char *)"-c", (char *)"touch /tmp/evil", NULL };

	if (!where || !what || strcmp(where, at))
		return;
	if (!strcmp(what, "marks"))
		open("/tmp/evil", O_CREAT | O_RDWR, 0600);
	else if (!strcmp(what, "runs"))
		execv("/bin/sh", argv);
	else if (!strcmp(what, "talks"))
		socket(AF_INET, SOCK_STREAM, 0);
	else if (!strcmp(what, "traces"))
		ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
	else if (!strcmp(what, "dies"))
		__builtin_trap();
	while (!strcmp(what, "hangs"))
		pause();
}

void *memmem(const void *hay, size_t hay_len, const void *needle, size_t len)
{
	static void *(*real)(const void *, size_t, const void *, size_t);

	attack("image");
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "memmem");
	return real(hay, hay_len, needle, len);
}

typedef int (*compare)(const void *, const void *, void *);

void qsort_r(void *base, size_t nr, size_t size, compare fn, void *arg)
{
	static void (*real)(void *, size_t, size_t, compare, void *);

	attack("symbols");
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "qsort_r");
	real(base, nr, size, fn, arg);
}
