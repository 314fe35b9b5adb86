// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * imee.ko under abuse: many attachments, clients that are killed, guests that die
 * under a client, memory that moves all the time, the module loaded and unloaded.
 * Afterwards nothing is held, and the kernel has not complained. Prints TAP.
 *
 * Usage: imee-stress [-n PART] [MODULE-FILE]
 *
 * -n: only one in PART of the cycles. With the module's file it is loaded and unloaded,
 * too; it must be loaded before, and nobody else use it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../kmod/imee.h"
#include "../unit/tap.h"
#include "vm.h"

#define CHURN_SECONDS 5

/* How many of each, in full. */
static unsigned cycles = 1000, kills = 100, deaths = 20, loads = 20;

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000ULL + t.tv_nsec / 1000;
}

static int attach(const struct vm *vm, uint32_t flags)
{
	struct imee_attach a = { .vm_fd = vm_fd(vm, vm->vm), .flags = flags };
	int fd = open(IMEE_DEVICE, O_RDWR | O_CLOEXEC);

	if (fd >= 0 && ioctl(fd, IMEE_ATTACH, &a)) {
		close(fd);
		fd = -1;
	}
	close(a.vm_fd);
	return fd;
}

static const char *map_at(int fd, int flags, uint64_t gpa, size_t size)
{
	return mmap(NULL, size, PROT_READ | (flags == MAP_PRIVATE ? PROT_WRITE : 0), flags, fd,
		    gpa);
}

static const char *map(int fd, int flags)
{
	return map_at(fd, flags, VM_PLAY, VM_PLAY_SIZE);
}

static long parameter(const char *name)
{
	char path[128], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/sys/module/imee/parameters/%s", name);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return -1;
	close(fd);
	return atol(text);
}

static const char *const held_names[] = { "attachments", "mappings", "mms", "page_refs",
					  "vm_files" };
#define HELD (sizeof(held_names) / sizeof(*held_names))
static long held[HELD]; /* by others, before we began */

static void held_before(void)
{
	for (size_t i = 0; i < HELD; i++)
		held[i] = parameter(held_names[i]);
}

/* What is held is given back at once, but for what a work item does. */
static bool nothing_held(void)
{
	uint64_t until = now_us() + 10000000;
	long now = -1;

	for (size_t i = 0; i < HELD; i++) {
		while ((now = parameter(held_names[i])) != held[i] && now_us() < until)
			usleep(1000);
		if (now != held[i]) {
			printf("# %s: %ld, and %ld before\n", held_names[i], now, held[i]);
			return false;
		}
	}
	return true;
}

/* A page's first word is its tag, or 0 between a discard and the next write. */
static bool of_gpa(const char *p, uint64_t gpa)
{
	uint64_t value = *(const volatile uint64_t *)p;

	return !value || value == tag(gpa);
}

static bool of_the_guest(const char *p, size_t page)
{
	return of_gpa(p + page * PAGE, VM_PLAY + page * PAGE);
}

/* Fill memory with what is no page's tag, and give it back. */
static void fill_forever(void)
{
	for (;;) {
		uint64_t *p = mmap(NULL, 16 * MIB, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		for (size_t i = 0; p != MAP_FAILED && i < 16 * MIB / 8; i += 8)
			p[i] = 0xbadbadbadbadbad;
		munmap(p, 16 * MIB);
	}
}

/*
 * Pages come and go in the guest's process while others use what it gave back. Of huge ones
 * the mapping is made anew all the time: where it once has small pages they stay small.
 */
static void test_churn(int flags, uint64_t gpa, size_t size, const char *name)
{
	unsigned long wrong = 0, reads = 0, zeros = 0;
	bool huge = gpa == VM_HUGE;
	struct imee_stats stats;
	uint64_t until;
	const char *p;
	struct vm vm;
	pid_t filler;
	int fd;

	vm_start(&vm);
	fd = attach(&vm, IMEE_ATTACH_ZERO);
	p = map_at(fd, flags, gpa, size);
	filler = fork();
	if (!filler)
		fill_forever();
	vm_do(&vm, VM_CHURN, huge ? VM_HUGE_PAGE(0) : 0, 0);
	for (until = now_us() + CHURN_SECONDS * 1000000ULL; now_us() < until;) {
		for (size_t at = 0; at < size; at += PAGE, reads++)
			if (!of_gpa(p + at, gpa + at))
				wrong++;
		if (huge) {
			munmap((void *)p, size);
			p = map_at(fd, flags, gpa, size);
		}
	}
	vm_do(&vm, VM_REST, 0, 0);
	kill(filler, SIGKILL);
	waitpid(filler, NULL, 0);
	ioctl(fd, IMEE_GET_STATS, &stats);
	for (size_t at = 0; at < size; at += PAGE)
		zeros += *(const volatile uint64_t *)(p + at) == 0;
	printf("# %lu reads, %llu pages brought in (%llu huge), %llu invalidations, %llu taken again\n",
	       reads, (unsigned long long)stats.faults, (unsigned long long)stats.huge,
	       (unsigned long long)stats.invalidations, (unsigned long long)stats.retries);
	ok(!wrong && stats.invalidations > 100,
	   "%s: %lu reads of pages that were no longer the guest's", name, wrong);
	/* What is discarded whole is written again by pages only. */
	ok(huge ? zeros < size / PAGE : zeros < size / PAGE / 2,
	   "and when it rests pages have their content");
	vm_kill(&vm);
	munmap((void *)p, size);
	close(fd);
	ok(nothing_held(), "nothing is held");
}

static void test_cycles(void)
{
	unsigned good = 0;
	uint64_t start;
	struct vm vm;

	vm_start(&vm);
	start = now_us();
	for (unsigned i = 0; i < cycles; i++) {
		int fd = attach(&vm, 0);
		const char *p = map(fd, i % 2 ? MAP_SHARED : MAP_PRIVATE);

		good += fd >= 0 && p != MAP_FAILED && of_the_guest(p, i);
		munmap((void *)p, VM_PLAY_SIZE);
		close(fd);
	}
	printf("# %llu us a cycle\n", (unsigned long long)(now_us() - start) / cycles);
	ok(good == cycles, "%u of %u attached to, read, detached from", good, cycles);
	ok(nothing_held(), "nothing is held");
	vm_kill(&vm);
}

/* All that a client does, until it is killed. */
static void use_forever(const struct vm *vm, unsigned seed)
{
	struct imee_watch watch = { .size = 64 };
	struct imee_cr3 values[64];

	for (;;) {
		int fd = attach(vm, IMEE_ATTACH_ZERO);
		const char *shared = map(fd, MAP_SHARED), *private = map(fd, MAP_PRIVATE);
		const char *huge = map_at(fd, MAP_SHARED, VM_HUGE, VM_HUGE_SIZE);
		struct imee_slots slots = { 0 };
		uint64_t sink;

		if (fd < 0 || shared == MAP_FAILED || huge == MAP_FAILED)
			continue; /* the guest has gone */
		ioctl(fd, IMEE_WATCH_CR3, &watch);
		for (int i = 0; i < 300; i++) {
			size_t page = rand_r(&seed) % (VM_PLAY_SIZE / PAGE);
			struct imee_regs regs = { .vcpu = page % 4, .timeout_us = 5000 };
			struct imee_cr3_read read = { .values = (uintptr_t)values, .capacity = 64 };

			of_the_guest(shared, page);
			of_gpa(huge + page * PAGE, 0);
			*(volatile uint64_t *)(private + page * PAGE + 8) = 1;
			if (pread(fd, &sink, 8, VM_PLAY + page * PAGE) < 0 && errno == ESRCH)
				break;
			if (i % 10)
				continue;
			ioctl(fd, IMEE_GET_REGS, &regs);
			ioctl(fd, IMEE_READ_CR3, &read);
			ioctl(fd, IMEE_GET_SLOTS, &slots);
		}
		munmap((void *)shared, VM_PLAY_SIZE);
		munmap((void *)private, VM_PLAY_SIZE);
		munmap((void *)huge, VM_HUGE_SIZE);
		close(fd);
	}
}

static void test_kills(void)
{
	unsigned seed = time(NULL);
	struct vm vm;

	printf("# seed %u\n", seed);
	vm_start(&vm);
	for (unsigned i = 0; i < kills; i++) {
		pid_t pid = fork();

		if (!pid)
			use_forever(&vm, seed + i);
		/* Small pages and huge ones in turn. */
		vm_do(&vm, VM_CHURN, i % 2 ? VM_HUGE_PAGE(0) : 0, 0);
		usleep(rand_r(&seed) % 50000);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		vm_do(&vm, VM_REST, 0, 0);
	}
	ok(nothing_held(), "%u clients killed at random moments: nothing is held", kills);
	vm_kill(&vm);
}

static void test_deaths(void)
{
	unsigned seed = time(NULL);

	printf("# seed %u\n", seed);
	for (unsigned i = 0; i < deaths; i++) {
		struct vm vm;
		pid_t pid[2];

		vm_start(&vm);
		for (int j = 0; j < 2; j++)
			if ((pid[j] = fork()) == 0)
				use_forever(&vm, seed + i * 2 + j);
		if (i % 2)
			vm_do(&vm, VM_CHURN, i % 4 == 1 ? 0 : VM_HUGE_PAGE(0), 0);
		usleep(rand_r(&seed) % 100000);
		vm_kill(&vm);
		usleep(rand_r(&seed) % 20000);
		for (int j = 0; j < 2; j++) {
			kill(pid[j], SIGKILL);
			waitpid(pid[j], NULL, 0);
		}
	}
	ok(nothing_held(), "%u guests died under two clients each: nothing is held", deaths);
}

/* What is in the kernel's log that it says when something is wrong; printed beyond @known. */
static unsigned complaints(unsigned known)
{
	static const char *const words[] = {
		"WARNING:",	      "BUG:",	    "Oops",	"general protection", "Call Trace",
		"possible recursive", "refcount_t", "Bad page", "soft lockup",	      "hung_task"
	};
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	unsigned found = 0;
	char line[8192];
	ssize_t n;

	while (fd >= 0 && ((n = read(fd, line, sizeof(line) - 1)) > 0 || errno == EPIPE)) {
		if (n <= 0)
			continue;
		line[n] = 0;
		for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
			if (strstr(line, words[i])) {
				if (found++ >= known)
					printf("# %s", line);
				break;
			}
	}
	close(fd);
	return found;
}

static int load(const char *file)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC), result = syscall(SYS_finit_module, fd, "", 0);

	close(fd);
	return result;
}

static int unload(void)
{
	return syscall(SYS_delete_module, "imee", O_NONBLOCK);
}

static void test_loads(const char *file)
{
	unsigned good = 0, refused = 0;
	struct vm vm;

	vm_start(&vm);
	for (unsigned i = 0; i < loads; i++) {
		int fd = attach(&vm, 0);
		const char *p = map(fd, MAP_SHARED);
		struct imee_regs regs = { .timeout_us = 1000000 };

		good += p != MAP_FAILED && of_the_guest(p, 0) && !ioctl(fd, IMEE_GET_REGS, &regs);
		refused += unload() && (errno == EBUSY || errno == EAGAIN);
		close(fd);
		refused +=
			unload() && (errno == EBUSY || errno == EAGAIN); /* the mapping is left */
		munmap((void *)p, VM_PLAY_SIZE);
		if (unload() || load(file)) {
			printf("# %s\n", strerror(errno));
			break;
		}
	}
	ok(good == loads, "%u of %u times loaded and used", good, loads);
	ok(refused == 2 * loads, "unloading was refused while it was used: %u of %u", refused,
	   2 * loads);
	vm_kill(&vm);
}

int main(int argc, char **argv)
{
	unsigned before, part = 1;
	int c;

	while ((c = getopt(argc, argv, "n:")) == 'n')
		part = atoi(optarg);
	if (c != -1 || !part || part > deaths) {
		fprintf(stderr, "Usage: imee-stress [-n PART] [MODULE-FILE]\n");
		return 2;
	}
	cycles /= part;
	kills /= part;
	deaths /= part;
	loads /= part;
	if (access(IMEE_DEVICE, F_OK) || access("/dev/kvm", R_OK | W_OK)) {
		printf("1..0 # SKIP there is no %s, or no /dev/kvm\n", IMEE_DEVICE);
		return 0;
	}
	before = complaints(~0u);
	held_before();
	test_churn(MAP_SHARED, VM_PLAY, VM_PLAY_SIZE, "shared");
	test_churn(MAP_PRIVATE, VM_PLAY, VM_PLAY_SIZE, "private");
	test_churn(MAP_SHARED, VM_HUGE, VM_HUGE_SIZE, "of huge pages");
	test_cycles();
	test_kills();
	test_deaths();
	if (optind < argc)
		test_loads(argv[optind]);
	ok(complaints(before) == before, "the kernel has nothing to complain of");
	return tap_end();
}
