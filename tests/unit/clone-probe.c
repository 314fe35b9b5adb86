// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Usage: clone-probe ENGINE GUEST [ROUNDS [ps]]
 *
 * Asks the guest's kernel for its processes and for what /proc says of the machine, in one
 * epoch, again and again, by the engine (vmst, vmst/kvm, vmst/native, vmst/unicorn). Prints
 * which one it was, then a line for each round: calls into the kernel, entries and exits of
 * KVM, microseconds, bytes of the answers, and a hash over them, which must be the same
 * for each engine and round where the guest stands still. A round that the kernel
 * does not get through (it would sleep, or is too slow) is done anew, in a new epoch.
 *
 * With "ps" only processes are asked for, a new epoch goes on with the round, and the last line
 * is the processor time, in microseconds, of what answered: of the worker's whole life. It is asked
 * as the tools ask. ENGINE "host" makes the same calls to this machine's kernel.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../../src/vlens.h"
#include "../../src/syscall/answer.h"
#include "base/array.h"
#include "base/clock.h"

#define TRIES 40
#define CHUNK 65536
/* As redirect/ does: bytes of a first read; the descriptor at which all are closed. */
#define FIRST 4096
#define FILES 400

struct answers {
	struct vl_sys *sys;
	bool live;
	bool tools; /* ask as the tools do */
	uint64_t hash, bytes, calls;
	char buf[CHUNK];
};

static double now_us(void)
{
	return (double)vl_now_ns() / 1e3;
}

/* FNV-1a; a hash of 0 stays 0. */
static void add(struct answers *a, const void *data, size_t len)
{
	const unsigned char *p = data;

	a->bytes += len;
	while (a->hash && len--)
		a->hash = (a->hash ^ *p++) * 0x100000001b3;
}

#define CALL(a, ...) ((a)->calls++, VL_SYS_CALL((a)->sys, __VA_ARGS__))

static struct vl_error *open_file(struct answers *a, const char *path, int flags, int64_t *fd_ret)
{
	return CALL(a, "openat", fd_ret, VL_ARG_INT(AT_FDCWD), VL_ARG_STR(path), VL_ARG_INT(flags),
		    VL_ARG_INT(0));
}

static struct vl_error *read_file(struct answers *a, const char *path)
{
	struct vl_error *err;
	int64_t fd, n = 1, closed;

	err = open_file(a, path, O_RDONLY, &fd);
	if (err)
		return err;
	if (fd < 0) {
		add(a, &fd, sizeof(fd));
		return NULL;
	}
	while (n > 0) {
		err = CALL(a, "read", &n, VL_ARG_INT(fd), VL_ARG_OUT(a->buf, CHUNK),
			   VL_ARG_INT(CHUNK));
		if (err)
			return err;
		add(a, n > 0 ? (void *)a->buf : &n, n > 0 ? (size_t)n : sizeof(n));
	}
	return CALL(a, "close", &closed, VL_ARG_INT(fd));
}

/*
 * The same as a tool does it: both calls are one question, a short read is the end, and no file is
 * closed alone. What is asked ahead, and how much of it, depends on the time that the worker has,
 * and the clone's own files show in slabinfo: for the same answers use read_file().
 */
static struct vl_error *read_as_tools(struct answers *a, const char *path)
{
	struct vl_error *err;
	int64_t fd, n, closed;

	err = vl_sys_open_read(a->sys, path, O_RDONLY, VL_READS_ONCE, a->buf, FIRST, &fd, &n);
	a->calls += 2;
	while (!err && fd >= 0 && n == FIRST) {
		add(a, a->buf, FIRST);
		err = CALL(a, "read", &n, VL_ARG_INT(fd), VL_ARG_OUT(a->buf, FIRST),
			   VL_ARG_INT(FIRST));
	}
	if (!err && fd >= 0 && n > 0)
		add(a, a->buf, (size_t)n);
	if (!err && fd >= FILES)
		err = CALL(a, "close_range", &closed, VL_ARG_INT(3), VL_ARG_INT(~0U),
			   VL_ARG_INT(0));
	return err;
}

struct entry { /* struct linux_dirent64 */
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

static struct vl_error *read_processes(struct answers *a)
{
	static const char *const files[] = { "stat", "status", "cmdline" };
	static char list[CHUNK];
	struct vl_error *err;
	int64_t fd, n, closed;
	char path[300];

	err = open_file(a, "/proc", O_RDONLY | O_DIRECTORY, &fd);
	if (!err)
		err = CALL(a, "getdents64", &n, VL_ARG_INT(fd), VL_ARG_OUT(list, CHUNK),
			   VL_ARG_INT(CHUNK));
	for (int64_t at = 0; !err && at < n;) {
		const struct entry *e = (const struct entry *)(list + at);

		at += e->reclen;
		for (size_t i = 0; !err && *e->name >= '1' && *e->name <= '9' && i < 3; i++) {
			snprintf(path, sizeof(path), "/proc/%s/%s", e->name, files[i]);
			err = a->tools ? read_as_tools(a, path) : read_file(a, path);
		}
	}
	return err ? err : CALL(a, "close", &closed, VL_ARG_INT(fd));
}

static struct vl_error *read_all(struct answers *a)
{
	static const char *const files[] = {
		"/proc/meminfo",  "/proc/modules",    "/proc/mounts",  "/proc/net/tcp",
		"/proc/net/unix", "/proc/slabinfo",   "/proc/version", "/proc/cmdline",
		"/proc/cpuinfo",  "/proc/interrupts",
	};
	/* Memory does not show whether a live guest is held: its clock is assumed to go on. */
	static const char *const of_time[] = { "/proc/uptime", "/proc/stat" };
	struct vl_error *err = read_processes(a);
	char name[6 * 65];
	int64_t ret;

	for (size_t i = 0; !err && i < ARRAY_SIZE(files); i++)
		err = read_file(a, files[i]);
	for (size_t i = 0; !err && !a->live && i < ARRAY_SIZE(of_time); i++)
		err = read_file(a, of_time[i]);
	if (!err)
		err = VL_SYS_CALL(a->sys, "newuname", &ret, VL_ARG_OUT(name, sizeof(name)));
	if (!err)
		add(a, name, sizeof(name));
	/* The kernel's own fixups: an address of user space that is not mapped is EFAULT. */
	if (!err)
		err = VL_SYS_CALL(a->sys, "newuname", &ret, VL_ARG_INT(0x7000));
	if (!err)
		add(a, &ret, sizeof(ret));
	return err;
}

/* --- this machine's kernel behind the same port --- */

static struct vl_error *host_call(struct vl_sys *sys, const char *name, const struct vl_arg *args,
				  size_t nr, int64_t *ret)
{
	static const struct {
		const char *name;
		long nr;
	} calls[] = { { "read", SYS_read },
		      { "openat", SYS_openat },
		      { "close", SYS_close },
		      { "close_range", SYS_close_range },
		      { "getdents64", SYS_getdents64 } };
	long a[4] = { 0 };
	size_t i = 0;

	(void)sys;
	while (strcmp(calls[i].name, name) != 0)
		i++;
	for (size_t j = 0; j < nr; j++)
		a[j] = args[j].kind == VL_INT ? (long)args[j].value : (long)args[j].buf;
	*ret = syscall(calls[i].nr, a[0], a[1], a[2], a[3]);
	if (*ret < 0)
		*ret = -errno;
	return NULL;
}

static uint64_t processor_us(int who)
{
	struct rusage u;

	getrusage(who, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static int ask_host(unsigned nr)
{
	static const struct vl_sys_ops ops = { .call = host_call };
	struct vl_sys sys = { .ops = &ops };
	static struct answers a;
	uint64_t start = processor_us(RUSAGE_SELF);

	a.sys = &sys;
	a.tools = true;
	for (unsigned i = 0; i < nr; i++)
		vl_error_destroy(read_processes(&a));
	printf("host: %" PRIu64 " calls\n", a.calls);
	printf("processor: %" PRIu64 " us\n", processor_us(RUSAGE_SELF) - start);
	return 0;
}

/* As redirect/ does: the worker follows us to one CPU, as a wake-up of another one takes longer. */
static void pin(void)
{
	int cpu = sched_getcpu();
	cpu_set_t one;

	CPU_ZERO(&one);
	if (cpu < 0)
		return;
	CPU_SET((size_t)cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static struct vl_error *rounds(struct vl_guest *g, unsigned nr, bool only_processes)
{
	/* This starts the worker, which may use all CPUs later. */
	struct vl_sys *sys = vl_guest_sys(g);
	static struct answers a;
	struct vl_error *err;
	struct vl_stats before, now;
	bool live = vl_guest_is_live(g);
	unsigned tries = 0;

	if (only_processes)
		pin();
	err = sys->ops->begin(sys);
	for (unsigned i = 0; i < nr;) {
		double start;

		if (err) {
			if (++tries > TRIES ||
			    (err->code != VL_ERR_CRASHED && err->code != VL_ERR_BLOCKED))
				return err;
			printf("# %s\n", err->message);
			vl_error_destroy(err);
			/* Start again from the first round: each leaves traces for the next. */
			if (!only_processes)
				i = 0;
			sys->ops->end(sys);
			err = sys->ops->begin(sys);
			continue;
		}
		vl_guest_stats(g, &before);
		if (!i)
			printf("%s%s%s\n", before.engine, *before.no_kvm ? ": " : "",
			       before.no_kvm);
		a = (struct answers){
			.sys = sys,
			.live = live,
			.tools = only_processes,
			.hash = 0xcbf29ce484222325,
		};
		start = now_us();
		err = only_processes ? read_processes(&a) : read_all(&a);
		if (err)
			continue;
		i++;
		start = now_us() - start;
		vl_guest_stats(g, &now);
		printf("round %u: %" PRIu64 " calls, %" PRIu64 " entries, %" PRIu64
		       " exits, %.0f us, %" PRIu64 " bytes, %016" PRIx64 "\n",
		       i, now.kernel_calls - before.kernel_calls,
		       now.kvm_entries - before.kvm_entries, now.kvm_exits - before.kvm_exits,
		       start, a.bytes, a.hash);
	}
	sys->ops->end(sys);
	return NULL;
}

int main(int argc, char **argv)
{
	static const char *const engines[] = { "vmst", "vmst/kvm", "vmst/native", "vmst/unicorn" };
	/* Each try then has the pages that earlier tries needed. */
	struct vl_guest_options o = { .label = "clone-probe" };
	struct vl_error *err;
	struct vl_guest *g;
	bool only_processes;
	unsigned nr;

	if (argc < 3)
		return 2;
	nr = argc > 3 ? (unsigned)atoi(argv[3]) : 3;
	only_processes = argc > 4 && !strcmp(argv[4], "ps");
	if (!strcmp(argv[1], "host"))
		return ask_host(nr);
	for (size_t i = 0; i < ARRAY_SIZE(engines); i++)
		if (!strcmp(argv[1], engines[i]))
			o.executor = (enum vl_executor)i;
	setvbuf(stdout, NULL, _IOLBF, 0);
	err = vl_guest_open(argv[2], &o, &g);
	if (!err) {
		err = rounds(g, nr, only_processes);
		vl_guest_close(g);
		if (only_processes)
			printf("processor: %" PRIu64 " us\n", processor_us(RUSAGE_CHILDREN));
	}
	if (!err)
		return 0;
	fprintf(stderr, "clone-probe: %s%s%s\n", err->message, err->hint ? "; " : "",
		err->hint ? err->hint : "");
	vl_error_destroy(err);
	return 3;
}
