// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Usage: bench-raw [--engine=E] [--flipper=PID] GUEST...
 *
 * Times the raw reader on running guests, whose kernels are known from before,
 * and prints one JSON object; tests/bench prints the tables. Of every figure the
 * median of many batches, in nanoseconds for one. "native" is the same work in
 * this process: memory of the same shape (each object at the place it has in the
 * guest's RAM), the same fields, plain pointers.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../src/imee/engine.h"
#include "../src/vlens.h"
#include "base/array.h"
#include "base/clock.h"

#define ROUNDS 301
#define SLOW_ROUNDS 15
#define MAX_TASKS 4096
#define MAX_GUESTS 16

static const char *engine_name;
static bool slow; /* an engine of microseconds: fewer of everything */

static void die(struct vl_error *err)
{
	fprintf(stderr, "bench-raw: %s%s%s\n", err->message, err->hint ? "; " : "",
		err->hint ? err->hint : "");
	exit(1);
}

static void check(struct vl_reader *r, enum vl_read_status st)
{
	if (st)
		die(vl_read_error(st, vl_reader_fault(r)));
}

static double now_ns(void)
{
	return (double)vl_now_ns();
}

static int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Median of ROUNDS batches of @n times @fn, in ns for one time. */
static double median(void (*fn)(void *), void *arg, unsigned n)
{
	static double spent[ROUNDS];
	int rounds = slow ? SLOW_ROUNDS : ROUNDS;

	if (slow)
		n = n / 20 ? n / 20 : 1;
	for (int i = slow ? -1 : -20; i < rounds; i++) {
		double begin = now_ns();

		for (unsigned j = 0; j < n; j++)
			fn(arg);
		if (i >= 0)
			spent[i] = (now_ns() - begin) / n;
	}
	qsort(spent, (size_t)rounds, sizeof(spent[0]), by_value);
	return spent[rounds / 2];
}

static const char *separator = "";

static void print(const char *name, double value)
{
	printf("%s\n  \"%s\": %.1f", separator, name, value);
	separator = ",";
}

/* ---- reads ---- */

struct reads {
	struct vl_reader *r;
	struct vl_space s;
	uint64_t *va;
	size_t nr, at, len;
	unsigned char buf[4096];
};

static void read_one(void *arg)
{
	struct reads *t = arg;

	check(t->r, vl_read(t->r, &t->s, t->va[t->at], t->buf, t->len));
}

/* As many at a time, so that what counts them adds no stores to those of a read. */
static size_t reads_batch(void)
{
	return slow ? 25 : 500;
}

static void read_batch(void *arg)
{
	struct reads *t = arg;
	size_t at = t->at;

	for (size_t i = reads_batch(); i; i--) {
		check(t->r, vl_read(t->r, &t->s, t->va[at], t->buf, t->len));
		if (++at == t->nr)
			at = 0;
	}
	t->at = at;
}

static uint64_t random64(void)
{
	static uint64_t x = 0x9e3779b97f4a7c15;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x;
}

#define NR_RANDOM 65536
#define NR_RANDOM_SLOW 512

/*
 * Addresses all over the kernel's half, as many as wanted, of pages that are
 * mapped: the direct map of all RAM that there is, the kernel's image, and what
 * vmalloc() has mapped around the tasks' stacks.
 */
static void find_addresses(struct reads *t, const uint64_t *stacks, size_t nr_stacks)
{
	uint64_t text = vl_reader_symbol(t->r, "_text"), end = vl_reader_symbol(t->r, "_end");
	uint64_t base = 0, ram = 0;
	struct vl_target *target = vl_reader_attach(t->r)->target;
	const struct vl_ram *ranges;
	size_t nr;

	ranges = vl_target_ram(target, &nr);
	ram = ranges[nr - 1].gpa + ranges[nr - 1].size;
	check(t->r, vl_read_u64(t->r, &t->s, vl_reader_symbol(t->r, "page_offset_base"), &base));
	while (t->nr < (slow ? NR_RANDOM_SLOW : NR_RANDOM)) {
		uint64_t x = random64(), which = x % 8, va;

		x >>= 3;
		if (which == 0)
			va = text + x % (end - text);
		else if (which == 1)
			va = stacks[x % nr_stacks] + (x >> 20) % 16384;
		else
			va = base + x % ram;
		va &= ~4095UL;
		if (!vl_read(t->r, &t->s, va, t->buf, 4096))
			t->va[t->nr++] = va;
	}
}

static void native_batch(void *arg)
{
	struct reads *t = arg;
	size_t at = t->at;

	for (size_t i = reads_batch(); i; i--) {
		memcpy(t->buf, (const void *)t->va[at], t->len);
		__asm__ volatile("" ::: "memory");
		if (++at == t->nr)
			at = 0;
	}
	t->at = at;
}

/* Turns the addresses into pointers to memory where each page has its place as in the guest's. */
static void make_native(struct reads *t)
{
	uint64_t ram, gpa;
	const struct vl_ram *ranges;
	unsigned char *arena;
	size_t nr;
	int fd;

	ranges = vl_target_ram(vl_reader_attach(t->r)->target, &nr);
	ram = ranges[nr - 1].gpa + ranges[nr - 1].size;
	/* Of a file's pages, as the guest's are. */
	fd = memfd_create("bench-raw", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)ram) ||
	    (arena = mmap(NULL, ram, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) == MAP_FAILED) {
		perror("bench-raw");
		exit(1);
	}
	for (size_t i = 0; i < t->nr; i++) {
		check(t->r, vl_reader_where(t->r, &t->s, t->va[i], &gpa, NULL));
		t->va[i] = (uint64_t)(uintptr_t)(arena + gpa);
		memset(arena + (gpa & ~4095UL), 1, 4096);
	}
}

static void bench_reads(struct vl_reader *r, const uint64_t *stacks, size_t nr_stacks)
{
	static const size_t sizes[] = { 4, 64, 128, 512, 1024, 4096 };
	static const size_t nr_sizes = ARRAY_SIZE(sizes);
	struct reads *t = calloc(1, sizeof(*t));
	uint64_t hot = vl_reader_symbol(r, "init_task") & ~4095UL;
	uint64_t *va = malloc(NR_RANDOM * sizeof(*va));
	char name[64];

	t->r = r;
	t->s = vl_reader_kernel(r);
	for (size_t i = 0; i < nr_sizes; i++) {
		t->va = &hot;
		t->nr = 1;
		t->at = 0;
		t->len = sizes[i];
		snprintf(name, sizeof(name), "same_%zu", sizes[i]);
		print(name, median(read_batch, t, 1) / reads_batch());
	}
	t->va = va;
	t->nr = t->at = 0;
	find_addresses(t, stacks, nr_stacks);
	for (size_t i = 0; i < 2 * nr_sizes; i++) {
		t->len = sizes[i % nr_sizes];
		if (i == nr_sizes)
			make_native(t);
		for (size_t j = 0; t->len <= 1024 && j < t->nr; j++)
			va[j] = (va[j] & ~4095UL) + (random64() % (4096 / t->len)) * t->len;
		for (size_t j = 0; t->len > 1024 && j < t->nr; j++)
			va[j] &= ~4095UL;
		snprintf(name, sizeof(name), "random_%zu%s", t->len, i < nr_sizes ? "" : "_native");
		print(name, median(i < nr_sizes ? read_batch : native_batch, t, 1) / reads_batch());
	}
	free(va);
	free(t);
}

/* ---- lists ---- */

struct ids {
	uint32_t id[8];
};

struct record {
	uint64_t task, cred;
	uint32_t pid, tgid;
	char comm[16];
	struct ids ids;
};

struct lists {
	struct vl_reader *r;
	struct vl_space s;
	struct vl_walk w;
	struct vl_walk_field fields[8];
	struct record *records;
	struct vl_walked got;
	/* the same in this process */
	unsigned char *head;
	int32_t tasks, pid, tgid, comm, cred, ids;
};

static void walk_one(void *arg)
{
	struct lists *t = arg;

	check(t->r, vl_walk(t->r, &t->s, &t->w, &t->got));
}

static inline void *follow(const void *at, int32_t offset)
{
	return *(void *const volatile *)((const unsigned char *)at + offset);
}

#define NATIVE(name, body) \
	static void native_##name(void *arg) \
	{ \
		struct lists *t = arg; \
		struct record *rec = t->records; \
		unsigned char *node = follow(t->head, 0); \
\
		for (; node != t->head; node = follow(node, 0), rec++) { \
			unsigned char *task = node - t->tasks; \
\
			rec->task = (uint64_t)(uintptr_t)task; \
			body \
		} \
		__asm__ volatile("" ::: "memory"); \
	}

NATIVE(pidlist, memcpy(&rec->tgid, task + t->tgid, 4);)
NATIVE(pslist, memcpy(&rec->pid, task + t->pid, 4); memcpy(&rec->tgid, task + t->tgid, 4);
       memcpy(rec->comm, task + t->comm, 16);)
NATIVE(credlist, memcpy(&rec->tgid, task + t->tgid, 4);
       rec->cred = (uint64_t)(uintptr_t)follow(task, t->cred);
       memcpy(&rec->ids, (unsigned char *)(uintptr_t)rec->cred + t->ids, sizeof(rec->ids));)

static void add(struct lists *t, uint8_t kind, uint8_t derefs, uint16_t size, size_t out,
		int32_t first, int32_t second)
{
	t->fields[t->w.nr_fields++] =
		(struct vl_walk_field){ kind, derefs, size, (uint32_t)out, { first, second } };
}

/* Memory with the guest's tasks and creds each at its guest-physical place. */
static void mirror(struct lists *t, uint64_t ram, size_t task_size)
{
	unsigned char *arena = mmap(NULL, ram, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	unsigned char **node = &t->head;
	uint64_t gpa, cred;

	if (arena == MAP_FAILED) {
		perror("bench-raw");
		exit(1);
	}
	for (size_t i = 0; i <= t->got.nr; i++) {
		uint64_t task = i < t->got.nr ? t->records[i].task : 0;
		unsigned char *to;

		/* The last is the head: the guest's init_task. */
		if (!task)
			task = vl_reader_symbol(t->r, "init_task");
		check(t->r, vl_reader_where(t->r, &t->s, task, &gpa, NULL));
		to = arena + gpa;
		check(t->r, vl_read(t->r, &t->s, task, to, task_size));
		check(t->r, vl_read_u64(t->r, &t->s, task + (uint64_t)t->cred, &cred));
		check(t->r, vl_reader_where(t->r, &t->s, cred, &gpa, NULL));
		check(t->r, vl_read(t->r, &t->s, cred, arena + gpa, 128));
		*(unsigned char **)(to + t->cred) = arena + gpa;
		*node = to + t->tasks;
		node = (unsigned char **)(to + t->tasks);
		if (i == t->got.nr) {
			unsigned char *first = t->head;

			t->head = to + t->tasks;
			*(unsigned char **)t->head = first;
		}
	}
}

static struct record tasks[MAX_TASKS];

static void setup_walk(struct lists *t, struct vl_reader *r)
{
	const struct vl_layout *l = vl_kernel_layout(vl_reader_attach(r)->kernel);

	memset(t, 0, sizeof(*t));
	t->r = r;
	t->s = vl_reader_kernel(r);
	t->records = tasks;
	t->tasks = l->offset[VL_F_TASK_TASKS];
	t->pid = l->offset[VL_F_TASK_PID];
	t->tgid = l->offset[VL_F_TASK_TGID];
	t->comm = l->offset[VL_F_TASK_COMM];
	t->cred = l->offset[VL_F_TASK_CRED];
	t->ids = l->offset[VL_F_CRED_UID];
	t->w = (struct vl_walk){
		.kind = VL_WALK_LIST,
		.head = vl_reader_symbol(r, "init_task") + (uint64_t)t->tasks,
		.node = (uint32_t)t->tasks,
		.fields = t->fields,
		.records = t->records,
		.stride = sizeof(struct record),
		.max = MAX_TASKS,
	};
	add(t, VL_FIELD_ADDRESS, 0, 8, offsetof(struct record, task), 0, 0);
	add(t, VL_FIELD_BYTES, 0, 4, offsetof(struct record, tgid), t->tgid, 0);
}

static size_t bench_lists(struct vl_reader *r, uint64_t *stacks)
{
	const struct vl_layout *l = vl_kernel_layout(vl_reader_attach(r)->kernel);
	struct lists t;
	const struct vl_ram *ram;
	size_t nr, tasks_nr;

	setup_walk(&t, r);
	walk_one(&t);
	tasks_nr = t.got.nr;
	for (size_t i = 0; i < tasks_nr; i++)
		check(r,
		      vl_read_u64(r, &t.s, t.records[i].task + (uint64_t)l->offset[VL_F_TASK_STACK],
				  &stacks[i]));
	ram = vl_target_ram(vl_reader_attach(r)->target, &nr);
	mirror(&t, ram[nr - 1].gpa + ram[nr - 1].size, (size_t)l->offset[VL_F_SIZE_TASK]);
	print("tasks", (double)tasks_nr);
	print("pidlist", median(walk_one, &t, 20));
	print("pidlist_native", median(native_pidlist, &t, 20));
	add(&t, VL_FIELD_BYTES, 0, 4, offsetof(struct record, pid), t.pid, 0);
	add(&t, VL_FIELD_BYTES, 0, 16, offsetof(struct record, comm), t.comm, 0);
	print("pslist", median(walk_one, &t, 20));
	print("pslist_native", median(native_pslist, &t, 20));
	t.w.nr_fields = 2;
	add(&t, VL_FIELD_BYTES, 0, 8, offsetof(struct record, cred), t.cred, 0);
	add(&t, VL_FIELD_BYTES, 1, sizeof(struct ids), offsetof(struct record, ids), t.cred, t.ids);
	print("credlist", median(walk_one, &t, 20));
	print("credlist_native", median(native_credlist, &t, 20));
	return tasks_nr;
}

/* ---- the system-call table ---- */

static void native_syscalls(void *arg)
{
	struct reads *t = arg;

	memcpy(t->buf, t->va, t->len);
	__asm__ volatile("" ::: "memory");
}

static void bench_syscalls(struct vl_reader *r)
{
	struct reads *t = calloc(1, sizeof(*t));
	uint64_t va = vl_reader_symbol(r, "sys_call_table"), copy[512];

	t->r = r;
	t->s = vl_reader_kernel(r);
	t->va = &va;
	t->nr = 1;
	t->len = sizeof(copy);
	if (va) {
		print("syscalldump", median(read_one, t, 100));
		memcpy(copy, t->buf, sizeof(copy));
		t->va = copy;
		print("syscalldump_native", median(native_syscalls, t, 100));
	}
	free(t);
}

/* ---- attach, several guests ---- */

static void open_guest(const char *spec, struct vl_guest **g, struct vl_reader **r)
{
	struct vl_guest_options options = { .engine = engine_name };
	struct vl_error *err = vl_guest_open(spec, &options, g);

	if (!err)
		err = vl_guest_reader(*g, r);
	if (err)
		die(err);
}

static bool is_slow(struct vl_reader *r)
{
	struct vl_space s = vl_reader_kernel(r);
	uint64_t va = vl_reader_symbol(r, "init_task"), v;
	double begin = now_ns();

	for (int i = 0; i < 100; i++)
		check(r, vl_read_u64(r, &s, va, &v));
	return now_ns() - begin > 100 * 1000;
}

#define ATTACHES 51

static void bench_attach(const char *spec)
{
	double all[ATTACHES], engine[ATTACHES];

	int nr = slow ? 5 : ATTACHES;

	for (int i = 0; i < nr; i++) {
		struct vl_reader_stats stats;
		struct vl_reader *r;
		struct vl_guest *g;
		struct vl_space s;
		double begin = now_ns();
		char comm[16];

		open_guest(spec, &g, &r);
		s = vl_reader_kernel(r);
		check(r, vl_read(r, &s, vl_reader_symbol(r, "init_task"), comm, 1));
		all[i] = now_ns() - begin;
		vl_reader_stats(r, &stats);
		engine[i] = (double)stats.open_ns;
		vl_guest_close(g);
	}
	qsort(all, (size_t)nr, sizeof(all[0]), by_value);
	qsort(engine, (size_t)nr, sizeof(engine[0]), by_value);
	print("attach", all[nr / 2]);
	print("attach_engine", engine[nr / 2]);
}

struct several {
	struct lists list[MAX_GUESTS];
	struct reads read[MAX_GUESTS];
	uint64_t va[MAX_GUESTS];
	size_t nr;
};

static void scan_all(void *arg)
{
	struct several *t = arg;

	for (size_t i = 0; i < t->nr; i++)
		walk_one(&t->list[i]);
}

static void read_all(void *arg)
{
	struct several *t = arg;

	for (size_t i = 0; i < t->nr; i++)
		read_one(&t->read[i]);
}

static void bench_several(struct vl_reader **readers, size_t nr)
{
	struct several *t = calloc(1, sizeof(*t));

	t->nr = nr;
	for (size_t i = 0; i < nr; i++) {
		setup_walk(&t->list[i], readers[i]);
		add(&t->list[i], VL_FIELD_BYTES, 0, 16, offsetof(struct record, comm),
		    t->list[i].comm, 0);
		t->va[i] = vl_reader_symbol(readers[i], "init_task");
		t->read[i] = (struct reads){
			.r = readers[i],
			.s = vl_reader_kernel(readers[i]),
			.va = &t->va[i],
			.nr = 1,
			.len = 4,
		};
	}
	print("guests", (double)nr);
	print("scan_all", median(scan_all, t, 5));
	/* A read of another guest each time. */
	print("switch", median(read_all, t, 100) / (double)nr);
	free(t);
}

/* ---- watch ---- */

static void bench_watch(struct vl_reader *r, uint32_t pid)
{
	struct vl_space s = vl_reader_kernel(r);
	uint64_t value, old, samples, all = 0, changes = 0, va = 0;
	struct lists t;
	double begin;

	setup_walk(&t, r);
	walk_one(&t);
	for (size_t i = 0; i < t.got.nr; i++)
		if (t.records[i].tgid == pid)
			va = t.records[i].task + (uint64_t)t.cred;
	if (!va) {
		fprintf(stderr, "bench-raw: the guest has no process %u\n", pid);
		exit(1);
	}
	check(r, vl_read_u64(r, &s, va, &value));
	begin = now_ns();
	while (now_ns() - begin < 2e9) {
		old = value;
		check(r, vl_watch(r, &s, va, 8, old, slow ? 100 : 1000000, &value, &samples));
		all += samples;
		changes += value != old;
	}
	print("watch_samples_per_s", (double)all / (now_ns() - begin) * 1e9);
	print("watch_changes_per_s", (double)changes / (now_ns() - begin) * 1e9);
}

int main(int argc, char **argv)
{
	struct vl_guest *guests[MAX_GUESTS];
	struct vl_reader *readers[MAX_GUESTS];
	static uint64_t stacks[MAX_TASKS];
	struct vl_reader_stats stats;
	uint32_t flipper = 0;
	size_t nr_tasks;
	int nr = 0;

	for (; argc > 1 && argv[1][0] == '-'; argc--, argv++) {
		if (!strncmp(argv[1], "--engine=", 9))
			engine_name = argv[1] + 9;
		else if (!strncmp(argv[1], "--flipper=", 10))
			flipper = (uint32_t)strtoul(argv[1] + 10, NULL, 10);
	}
	if (argc < 2 || argc > MAX_GUESTS) {
		fprintf(stderr, "Usage: bench-raw [--engine=E] [--flipper=PID] GUEST...\n");
		return 2;
	}
	for (nr = 0; nr < argc - 1; nr++)
		open_guest(argv[nr + 1], &guests[nr], &readers[nr]);
	vl_reader_stats(readers[0], &stats);
	slow = is_slow(readers[0]);
	printf("{\n  \"engine\": \"%s\",\n  \"reason\": \"%s\"", stats.engine, stats.reason);
	separator = ",";
	nr_tasks = bench_lists(readers[0], stacks);
	bench_reads(readers[0], stacks, nr_tasks);
	bench_syscalls(readers[0]);
	bench_attach(argv[1]);
	bench_several(readers, (size_t)nr);
	if (flipper)
		bench_watch(readers[0], flipper);
	printf("\n}\n");
	while (nr--)
		vl_guest_close(guests[nr]);
	return 0;
}
