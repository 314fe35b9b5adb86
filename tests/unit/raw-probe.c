// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Usage: raw-probe [--engine=E] GUEST COMMAND [ARGUMENT...]
 *
 * The raw reader, for tests/45-raw.bats: prints what it reads of a guest.
 *
 *   engine          the engine's name
 *   string SYMBOL   the string there, up to 4095 bytes
 *   comm            of init_task
 *   tasks           PID UID COMM of each task of the list, in its order
 *   pids            PID of each process in the pid namespace's tree
 *   user PID ADDR   the string at ADDR of the process
 *   vcpu N          does vCPU N's space have the kernel: the banner through it
 *   bytes ADDR LEN  in hexadecimal
 *   symbols         ADDRESS NAME of each symbol
 *   cut FILE        the dump GUEST is FILE: cut it, then read: a clear error
 *   watch PID N     samples of the task's cred until it changed N times
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../src/imee/engine.h"
#include "../../src/vlens.h"
#include "base/clock.h"

static int fail(struct vl_error *err)
{
	fprintf(stderr, "raw-probe: %s%s%s\n", err->message, err->hint ? "; " : "",
		err->hint ? err->hint : "");
	vl_error_destroy(err);
	return 3;
}

static int failed(struct vl_reader *r, enum vl_read_status st)
{
	return fail(vl_read_error(st, vl_reader_fault(r)));
}

static const struct vl_layout *layout(struct vl_reader *r)
{
	return vl_kernel_layout(vl_reader_attach(r)->kernel);
}

static int32_t off(struct vl_reader *r, enum vl_field f)
{
	return layout(r)->offset[f];
}

static int print_string(struct vl_reader *r, const struct vl_space *s, uint64_t va)
{
	char buf[4096];
	enum vl_read_status st = vl_read_string(r, s, va, buf, sizeof(buf));

	if (st)
		return failed(r, st);
	puts(buf);
	return 0;
}

#define MAX_TASKS 8192

struct task {
	uint64_t address;
	uint32_t pid, uid;
	char comm[16];
};

static int collect_tasks(struct vl_reader *r, struct task *tasks, size_t *nr)
{
	struct vl_space s = vl_reader_kernel(r);
	const struct vl_walk_field fields[] = {
		{ VL_FIELD_ADDRESS, 0, 8, offsetof(struct task, address), { 0 } },
		{ VL_FIELD_BYTES, 0, 4, offsetof(struct task, pid), { off(r, VL_F_TASK_PID) } },
		{ VL_FIELD_BYTES,
		  1,
		  4,
		  offsetof(struct task, uid),
		  { off(r, VL_F_TASK_CRED), off(r, VL_F_CRED_UID) } },
		{ VL_FIELD_STRING, 0, 16, offsetof(struct task, comm), { off(r, VL_F_TASK_COMM) } },
	};
	struct vl_walk w = {
		.kind = VL_WALK_LIST,
		.head = vl_reader_symbol(r, "init_task") + (uint64_t)off(r, VL_F_TASK_TASKS),
		.node = (uint32_t)off(r, VL_F_TASK_TASKS),
		.fields = fields,
		.nr_fields = 4,
		.records = tasks,
		.stride = sizeof(*tasks),
		.max = MAX_TASKS,
	};
	struct vl_walked got;
	enum vl_read_status st = vl_walk(r, &s, &w, &got);

	*nr = got.nr;
	return st ? failed(r, st) : 0;
}

static int print_tasks(struct vl_reader *r)
{
	struct task *tasks = calloc(MAX_TASKS, sizeof(*tasks));
	size_t nr;
	int ret = tasks ? collect_tasks(r, tasks, &nr) : 3;

	for (size_t i = 0; !ret && i < nr; i++)
		printf("%" PRIu32 " %" PRIu32 " %.16s\n", tasks[i].pid, tasks[i].uid,
		       tasks[i].comm);
	free(tasks);
	return ret;
}

struct pid {
	uint64_t index, group;
	uint32_t nr;
};

/* Those that lead a thread group: pid.tasks[PIDTYPE_TGID] has an entry. */
static int print_pids(struct vl_reader *r)
{
	struct vl_space s = vl_reader_kernel(r);
	struct pid *pids = calloc(MAX_TASKS, sizeof(*pids));
	const struct vl_walk_field fields[] = {
		{ VL_FIELD_INDEX, 0, 8, offsetof(struct pid, index), { 0 } },
		{ VL_FIELD_BYTES,
		  0,
		  8,
		  offsetof(struct pid, group),
		  { off(r, VL_F_PID_TASKS) + 8 } },
		{ VL_FIELD_BYTES,
		  0,
		  4,
		  offsetof(struct pid, nr),
		  { off(r, VL_F_PID_NUMBERS) + off(r, VL_F_UPID_NR) } },
	};
	struct vl_walk w = {
		.kind = VL_WALK_XARRAY,
		.head = vl_reader_symbol(r, "init_pid_ns") + (uint64_t)off(r, VL_F_PIDNS_HEAD),
		.xa_shift = (uint32_t)off(r, VL_F_XA_SHIFT),
		.xa_slots = (uint32_t)off(r, VL_F_XA_SLOTS),
		.xa_nr_slots = 64,
		.fields = fields,
		.nr_fields = 3,
		.records = pids,
		.stride = sizeof(*pids),
		.max = MAX_TASKS,
	};
	struct vl_walked got;
	enum vl_read_status st;

	if (!pids)
		return 3;
	st = vl_walk(r, &s, &w, &got);
	for (size_t i = 0; !st && i < got.nr; i++) {
		if (pids[i].nr != pids[i].index)
			printf("entry %" PRIu64 " is pid %" PRIu32 "\n", pids[i].index, pids[i].nr);
		if (pids[i].group)
			printf("%" PRIu64 "\n", pids[i].index);
	}
	free(pids);
	return st ? failed(r, st) : 0;
}

static int find_task(struct vl_reader *r, const char *pid, uint64_t *ret)
{
	struct task *tasks = calloc(MAX_TASKS, sizeof(*tasks));
	size_t nr;
	int st = tasks ? collect_tasks(r, tasks, &nr) : 3;

	*ret = 0;
	for (size_t i = 0; !st && i < nr; i++)
		if (tasks[i].pid == strtoul(pid, NULL, 10))
			*ret = tasks[i].address;
	free(tasks);
	if (!st && !*ret)
		return fail(vl_error_new(VL_ERR_ARG, "the guest has no process %s", pid));
	return st;
}

static int print_user(struct vl_reader *r, const char *pid, const char *va)
{
	struct vl_space s;
	enum vl_read_status st;
	uint64_t task;
	int ret = find_task(r, pid, &task);

	if (ret)
		return ret;
	st = vl_reader_task(r, task, &s);
	return st ? failed(r, st) : print_string(r, &s, strtoull(va, NULL, 0));
}

static int print_bytes(struct vl_reader *r, uint64_t va, uint64_t len)
{
	struct vl_space s = vl_reader_kernel(r);
	unsigned char *buf = malloc(len <= VL_READ_MAX ? len + 1 : 1);
	enum vl_read_status st;

	if (!buf)
		return 3;
	st = vl_read(r, &s, va, buf, len);
	for (uint64_t i = 0; !st && i < len; i++)
		printf("%02x", buf[i]);
	free(buf);
	if (st)
		return failed(r, st);
	putchar('\n');
	return 0;
}

static int cut(struct vl_reader *r, const char *path)
{
	uint64_t va = vl_reader_symbol(r, "init_task");

	if (truncate(path, 1 << 20) < 0)
		return 1;
	return print_bytes(r, va, 64);
}

static double now(void)
{
	return (double)vl_now_ns() / 1e9;
}

static int watch(struct vl_reader *r, const char *pid, const char *count)
{
	struct vl_space s = vl_reader_kernel(r);
	uint64_t task, value = 0, samples, all = 0;
	double begin = now(), end = begin + 60;
	int ret = find_task(r, pid, &task);
	enum vl_read_status st = VL_READ_OK;
	long left = strtol(count, NULL, 10), changes = 0;

	if (ret)
		return ret;
	task += (uint64_t)off(r, VL_F_TASK_CRED);
	st = vl_read_u64(r, &s, task, &value);
	while (!st && changes < left && now() < end) {
		uint64_t old = value;

		st = vl_watch(r, &s, task, 8, old, 10000000, &value, &samples);
		all += samples;
		changes += value != old;
	}
	if (st)
		return failed(r, st);
	printf("%ld changes, %" PRIu64 " samples, %.0f a second\n", changes, all,
	       (double)all / (now() - begin));
	return changes < left;
}

static int print_symbols(struct vl_reader *r)
{
	const struct vl_kernel *k = vl_reader_attach(r)->kernel;
	uint64_t address;
	const char *name;

	for (size_t i = 0; (name = vl_symbol_placed(k, i, &address)); i++)
		printf("%016" PRIx64 " %s\n", address, name);
	return 0;
}

static int run(struct vl_reader *r, int argc, char **argv)
{
	struct vl_space s = vl_reader_kernel(r);
	const char *command = argv[0];
	struct vl_reader_stats stats;

	if (!strcmp(command, "engine")) {
		vl_reader_stats(r, &stats);
		printf("%s: %s\n", stats.engine, stats.reason);
		return 0;
	}
	if (!strcmp(command, "string") && argc == 2)
		return print_string(r, &s, vl_reader_symbol(r, argv[1]));
	if (!strcmp(command, "comm"))
		return print_string(
			r, &s, vl_reader_symbol(r, "init_task") + (uint64_t)off(r, VL_F_TASK_COMM));
	if (!strcmp(command, "tasks"))
		return print_tasks(r);
	if (!strcmp(command, "pids"))
		return print_pids(r);
	if (!strcmp(command, "user") && argc == 3)
		return print_user(r, argv[1], argv[2]);
	if (!strcmp(command, "vcpu") && argc == 2) {
		struct vl_error *err = vl_reader_vcpu(r, (unsigned)strtoul(argv[1], NULL, 10), &s);

		return err ? fail(err) : print_string(r, &s, vl_reader_symbol(r, "linux_banner"));
	}
	if (!strcmp(command, "bytes") && argc == 3)
		return print_bytes(r, strtoull(argv[1], NULL, 0), strtoull(argv[2], NULL, 0));
	if (!strcmp(command, "symbols"))
		return print_symbols(r);
	if (!strcmp(command, "cut") && argc == 2)
		return cut(r, argv[1]);
	if (!strcmp(command, "watch") && argc == 3)
		return watch(r, argv[1], argv[2]);
	fprintf(stderr, "raw-probe: no such command\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct vl_guest_options options = { 0 };
	struct vl_reader *r;
	struct vl_guest *g;
	struct vl_error *err;
	int ret;

	if (argc > 1 && !strncmp(argv[1], "--engine=", 9)) {
		options.engine = argv[1] + 9;
		argc--;
		argv++;
	}
	if (argc < 3)
		return 2;
	err = vl_guest_open(argv[1], &options, &g);
	if (err)
		return fail(err);
	err = vl_guest_reader(g, &r);
	if (err) {
		vl_guest_close(g);
		return fail(err);
	}
	ret = run(r, argc - 2, argv + 2);
	vl_guest_close(g);
	return ret;
}
