/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a client of imee.ko does, for the tests. Faults are caught for one source file only. */
#ifndef VLENS_TESTS_IMEE_CLIENT_H
#define VLENS_TESTS_IMEE_CLIENT_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../../kmod/imee.h"
#include "vm.h"

static sigjmp_buf faulted;

static inline void on_fault(int sig)
{
	siglongjmp(faulted, sig);
}

/* 0 and *ret, or the signal that the read raised. */
static inline int peek(const volatile void *p, uint64_t *ret)
{
	int sig = sigsetjmp(faulted, 1);

	if (!sig)
		*ret = *(const volatile uint64_t *)p;
	return sig;
}

static inline bool shows(const volatile void *p, uint64_t value)
{
	uint64_t got = 0;

	return !peek(p, &got) && got == value;
}

static inline bool raises(const volatile void *p, int sig)
{
	uint64_t got;

	return peek(p, &got) == sig;
}

static inline bool fails(int result, int error)
{
	if (result == -1 && errno == error)
		return true;
	printf("# result %d, errno %d (%s), not %s\n", result, errno, strerror(errno),
	       strerror(error));
	return false;
}

static inline uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000ULL + t.tv_nsec / 1000;
}

static inline int device(void)
{
	return open(IMEE_DEVICE, O_RDWR | O_CLOEXEC);
}

static inline int attach(int fd, const struct vm *vm, uint32_t flags)
{
	struct imee_attach a = { .vm_fd = vm_fd(vm, vm->vm), .flags = flags };
	int result = ioctl(fd, IMEE_ATTACH, &a), error = errno;

	close(a.vm_fd);
	errno = error;
	return result;
}

static inline char *map(int fd, uint64_t gpa, size_t size, int prot, int flags)
{
	return mmap(NULL, size, prot, flags, fd, gpa);
}

static inline bool map_fails(int fd, uint64_t gpa, size_t size, int prot, int flags, int error)
{
	char *p = map(fd, gpa, size, prot, flags);

	if (p != MAP_FAILED)
		munmap(p, size);
	return fails(p == MAP_FAILED ? -1 : 0, error);
}

static inline uint64_t generation(int fd)
{
	struct imee_slots s = { 0 };

	return ioctl(fd, IMEE_GET_SLOTS, &s) ? 0 : s.generation;
}

static inline bool all_tagged(const char *p, uint64_t gpa, size_t size)
{
	for (size_t at = 0; at < size; at += PAGE)
		if (!shows(p + at, tag(gpa + at)))
			return false;
	return true;
}

static inline void catch_faults(void)
{
	struct sigaction sa = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };

	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
}

#endif
