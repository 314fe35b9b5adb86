// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Usage: kvm-probe [--engine=E] [--mirror] GUEST COMMAND [ARGUMENT...]
 *
 * The kvm engine beside the direct one, for tests/46-kvm-engine.bats and the nested
 * machine; another engine in its place for sweep and spaces; with --mirror as on processors
 * that cannot walk the guest's own tables (src/imee/mirror.h):
 *
 *   sweep N    N pages, sampled over all that the kernel maps, of each size, and
 *              addresses that are not mapped: the same bytes and statuses from both.
 *              The guest must stand still
 *   overlay      the page that the agent stands on, by two of its addresses
 *   walks      lists, tables of lists and xarrays: the same from both, and how many exits
 *              it takes the second time
 *   spaces     the spaces of all processes, and what lies behind their top-level
 *              tables: with page-table isolation the user's half
 *   busy S     for S seconds, of a guest that runs: its processes, their tables, their
 *              memory; what direct reads before and after is what kvm reads between
 *   poll       reads in poll mode: the same, and how many exits that took, by our
 *              count and, less those that the host's own interrupts made, by KVM's
 *   hostile    page tables that lead nowhere, to other code, to a loop
 *   bench [MS] what it costs, and direct; of each figure the median of so long (1000)
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/array.h"
#include "base/clock.h"
#include "kvm-probe.h"

int fail(struct vl_error *err)
{
	fprintf(stderr, "kvm-probe: %s%s%s\n", err->message, err->hint ? "; " : "",
		err->hint ? err->hint : "");
	vl_error_destroy(err);
	return 3;
}

static uint64_t random_u64(struct probe *p)
{
	/* xorshift64 */
	p->seed ^= p->seed << 13;
	p->seed ^= p->seed >> 7;
	p->seed ^= p->seed << 17;
	return p->seed;
}

double now_us(void)
{
	return (double)vl_now_ns() / 1e3;
}

/* ---- the same from both ---- */

void same(struct probe *p, const struct vl_space *s, uint64_t va, size_t len)
{
	static unsigned char a[3 << 20], b[3 << 20];
	enum vl_read_status sa = vl_read(p->direct, s, va, a, len);
	enum vl_read_status sb = vl_read(p->kvm, s, va, b, len);

	p->compared++;
	p->refused += !!sa;
	if (sa == sb && !memcmp(a, b, len) &&
	    (!sa || vl_reader_fault(p->direct) == vl_reader_fault(p->kvm)))
		return;
	if (p->different++ < 10)
		printf("different: 0x%" PRIx64 " %zu: %s at 0x%" PRIx64 ", %s at 0x%" PRIx64 "\n",
		       va, len, vl_read_strstatus(sa), vl_reader_fault(p->direct),
		       vl_read_strstatus(sb), vl_reader_fault(p->kvm));
}

/* Every mapped page at and below @table is one of @nr; a sample of them is compared. */
static void sweep_table(struct probe *p, uint64_t table, uint64_t base, int level,
			unsigned long one_of)
{
	uint64_t entries[512];
	uint64_t size = 1UL << (12 + 9 * (level - 1));

	if (vl_discard(vl_target_read(p->direct->target, table & X86_PTE_ADDR, entries,
				      sizeof(entries))))
		return;
	for (unsigned i = level == p->s.levels ? 256 : 0; i < 512; i++) {
		uint64_t e = entries[i], va = base + i * size;
		bool leaf = level == 1 || (level < 4 && e & X86_PTE_PS);

		if (level == p->s.levels)
			va |= ~(size * 512 - 1);
		if (!(e & X86_PTE_P)) {
			if (random_u64(p) % (one_of * 64) == 0)
				same(p, &p->s, va + random_u64(p) % size, 8);
			continue;
		}
		if (!leaf) {
			sweep_table(p, e, va, level - 1, one_of);
			continue;
		}
		p->sizes[level - 1]++;
		if (level == 1 && random_u64(p) % one_of)
			continue;
		va += random_u64(p) % size;
		same(p, &p->s, va & ~7UL, 8);
		same(p, &p->s, va, 1 + random_u64(p) % 200);
		if (random_u64(p) % 16 == 0)
			same(p, &p->s, va & VL_PAGE_MASK, 4096);
	}
}

static int sweep(struct probe *p, unsigned long one_of)
{
	static const uint64_t odd[] = { 0,
					0x1000,
					0x800000000000,
					0x8000000000000000,
					0xffff7fffffffffff,
					0xffff800000000000,
					0xfffffffffffffff8,
					0xffffffffff5ffffc };

	sweep_table(p, p->s.root, 0, p->s.levels, one_of);
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++)
		same(p, &p->s, odd[i], 8);
	/* More than one entry can read; the range has the text, where the agent is. */
	if (p->agent)
		same(p, &p->s, stats(p).agent_va - (1 << 20), 2 << 20);
	printf("%lu pages of 4 KiB, %lu of 2 MiB, %lu of 1 GiB\n", p->sizes[0], p->sizes[1],
	       p->sizes[2]);
	printf("%lu compared, %lu of them refused, %lu different, %" PRIu64 " not by the agent\n",
	       p->compared, p->refused, p->different, stats(p).by_walk);
	return p->different || !p->compared;
}

/* ---- the overlay spot ---- */

int overlay(struct probe *p)
{
	struct vl_kvm_stats before = stats(p), after;
	uint64_t direct_map = vl_reader_symbol(p->direct, "page_offset_base");
	uint64_t start, word, gpa;

	if (vl_reader_where(p->direct, &p->s, before.agent_va, &gpa, NULL) ||
	    gpa != before.agent_gpa) {
		puts("the agent is not where it says");
		return 1;
	}
	same(p, &p->s, before.agent_va, 4096);
	after = stats(p);
	if (after.relocations != before.relocations + 1 || after.agent_gpa == before.agent_gpa) {
		puts("the agent did not move");
		return 1;
	}
	/* By its other address, and in the middle of a batch. */
	if (!direct_map || vl_read_u64(p->direct, &p->s, direct_map, &start))
		start = 0xffff888000000000;
	for (uint64_t at = 0; at < 4096; at += 512)
		same(p, &p->s, start + after.agent_gpa + at, 64);
	for (int i = 0; i < 8; i++) {
		struct vl_get get[3] = { { p->s.root ? before.agent_va : 0, &word, 8, 0 },
					 { stats(p).agent_va + 100, &word, 8, 0 },
					 { stats(p).agent_va + 4096 + 8, &word, 8, 0 } };
		uint64_t want;

		if (vl_gather(p->kvm, &p->s, get, 2) ||
		    vl_read_u64(p->direct, &p->s, get[1].va, &want) || want != word) {
			puts("different in a gather");
			return 1;
		}
	}
	printf("%lu compared, %lu different, %" PRIu64 " relocations\n", p->compared, p->different,
	       stats(p).relocations);
	return p->different != 0;
}

/* ---- walks ---- */

int32_t off(struct probe *p, enum vl_field f)
{
	return vl_kernel_layout(vl_reader_attach(p->direct)->kernel)->offset[f];
}

#define MAX 4096
#define STRIDE 2048

static void same_walk(struct probe *p, const char *name, struct vl_walk *w, bool statuses)
{
	static unsigned char ra[MAX * STRIDE], rb[MAX * STRIDE];
	static uint8_t sa[MAX * VL_WALK_FIELDS], sb[MAX * VL_WALK_FIELDS];
	struct vl_walked a, b;
	uint64_t exits;

	memset(ra, 0xee, sizeof(ra));
	memset(rb, 0xee, sizeof(rb));
	memset(sa, 0, sizeof(sa));
	memset(sb, 0, sizeof(sb));
	w->stride = STRIDE;
	w->records = ra;
	w->status = statuses ? sa : NULL;
	vl_walk(p->direct, &p->s, w, &a);
	w->records = rb;
	w->status = statuses ? sb : NULL;
	/* The first pass may have to ask for addresses. */
	vl_walk(p->kvm, &p->s, w, &b);
	exits = stats(p).exits;
	vl_walk(p->kvm, &p->s, w, &b);
	exits = stats(p).exits - exits;
	p->compared++;
	printf("%s: %s, %zu elements, %" PRIu64 " exits\n", name, vl_read_strstatus(a.status), a.nr,
	       exits);
	if (a.status == b.status && a.nr == b.nr && a.fault == b.fault &&
	    !memcmp(ra, rb, a.nr * STRIDE) && !memcmp(sa, sb, a.nr * w->nr_fields))
		return;
	p->different++;
	printf("different: %s: %s, %zu, 0x%" PRIx64 ", not %s, %zu, 0x%" PRIx64 "\n", name,
	       vl_read_strstatus(b.status), b.nr, b.fault, vl_read_strstatus(a.status), a.nr,
	       a.fault);
}

int walks(struct probe *p)
{
	int32_t tasks = off(p, VL_F_TASK_TASKS), cred = off(p, VL_F_TASK_CRED);
	uint64_t init = vl_reader_symbol(p->direct, "init_task");
	struct vl_walk_field f[] = {
		{ VL_FIELD_ADDRESS, 0, 8, 0, { 0 } },
		{ VL_FIELD_BYTES, 0, 4, 8, { off(p, VL_F_TASK_PID) } },
		{ VL_FIELD_STRING, 0, 16, 16, { off(p, VL_F_TASK_COMM) } },
		{ VL_FIELD_BYTES, 1, 128, 32, { cred, 0 } },
		{ VL_FIELD_INDEX, 0, 8, 160, { 0 } },
		{ VL_FIELD_BYTES, 0, 1700, 168, { 4 } },
		{ VL_FIELD_BYTES, 2, 8, 1900, { 0x500, 0x10, 0 } },
	};
	struct vl_walk w = { .kind = VL_WALK_LIST,
			     .with_head = true,
			     .head = init + (uint64_t)tasks,
			     .node = (uint32_t)tasks,
			     .fields = f,
			     .nr_fields = 5,
			     .max = MAX };
	uint64_t pids = vl_reader_symbol(p->direct, "init_pid_ns");
	struct vl_walk_field xf[] = { { VL_FIELD_INDEX, 0, 8, 0, { 0 } },
				      { VL_FIELD_BYTES, 0, 64, 8, { 0 } },
				      { VL_FIELD_ADDRESS, 0, 8, 72, { 0 } } };

	same_walk(p, "tasks", &w, false);
	w.nr_fields = 7;
	same_walk(p, "tasks, with fields that are large or fail", &w, true);
	w.with_head = false;
	w.nr_fields = 3;
	w.max = 5;
	same_walk(p, "the first five", &w, false);
	w.max = 0;
	same_walk(p, "none", &w, false);
	w.max = MAX;
	w.head = init + (uint64_t)tasks + 8;
	same_walk(p, "a list that misses its head", &w, false);
	w.head = init;
	w.nr_fields = 0;
	same_walk(p, "no list", &w, false);
	w = (struct vl_walk){ .kind = VL_WALK_CHAIN,
			      .head = vl_reader_symbol(p->direct, "chrdevs"),
			      .nr_heads = 255,
			      .head_stride = 8,
			      .fields = xf,
			      .nr_fields = 3,
			      .max = MAX };
	if (w.head)
		same_walk(p, "a table of chains", &w, false);
	/* struct xa_node: shift, offset, count, nr_values, parent, array, 16 bytes, slots. */
	w = (struct vl_walk){ .kind = VL_WALK_XARRAY,
			      .xa_shift = 0,
			      .xa_slots = 40,
			      .xa_nr_slots = 64,
			      .fields = xf,
			      .nr_fields = 3,
			      .max = MAX };
	/* Where in the namespace its idr's head is depends on the kernel. */
	for (unsigned at = 0; pids && at < 64; at += 8) {
		uint64_t head;

		if (vl_read_u64(p->direct, &p->s, pids + at, &head) || (head & 3) != 2 ||
		    head < 1UL << 63)
			continue;
		w.head = pids + at;
		same_walk(p, "xarray", &w, false);
	}
	printf("%lu compared, %lu different\n", p->compared, p->different);
	return p->different != 0;
}

/* ---- other spaces ---- */

/* The first @left pages of user mode. */
static void user_pages(struct probe *p, const struct vl_space *s, uint64_t table, uint64_t base,
		       int level, unsigned *left)
{
	uint64_t entries[512];
	uint64_t size = 1UL << (12 + 9 * (level - 1));

	if (vl_discard(vl_target_read(p->direct->target, table & X86_PTE_ADDR, entries,
				      sizeof(entries))))
		return;
	for (unsigned i = 0; i < (level == s->levels ? 256 : 512) && *left; i++) {
		if (!(entries[i] & X86_PTE_P))
			continue;
		if (level > 1 && !(entries[i] & X86_PTE_PS)) {
			user_pages(p, s, entries[i], base + i * size, level - 1, left);
			continue;
		}
		same(p, s, base + i * size + 8 * (i % 100), 100);
		--*left;
	}
}

static int spaces(struct probe *p)
{
	static uint64_t tasks[4096];
	struct vl_walk_field f = { VL_FIELD_ADDRESS, 0, 8, 0, { 0 } };
	int32_t node = off(p, VL_F_TASK_TASKS);
	struct vl_walk w = { .kind = VL_WALK_LIST,
			     .head = vl_reader_symbol(p->direct, "init_task") + (uint64_t)node,
			     .node = (uint32_t)node,
			     .fields = &f,
			     .nr_fields = 1,
			     .records = tasks,
			     .stride = 8,
			     .max = 4096 };
	uint64_t entry = vl_reader_attach(p->direct)->entry, user = 0;
	struct vl_walked walked;

	vl_walk(p->direct, &p->s, &w, &walked);
	for (size_t i = 0; i < walked.nr; i++) {
		struct vl_space s;

		if (vl_reader_task(p->direct, tasks[i], &s) || s.root == p->s.root)
			continue;
		user++;
		for (int half = 0; half < 2; half++, s.root += VL_PAGE_SIZE) {
			unsigned left = 5;

			same(p, &s, entry, 64);
			same(p, &s, vl_reader_symbol(p->direct, "linux_banner"), 64);
			if (p->agent)
				same(p, &s, stats(p).agent_va, 8);
			user_pages(p, &s, s.root, 0, s.levels, &left);
		}
	}
	printf("%" PRIu64 " spaces, %lu compared, %lu of them refused, %lu different, %" PRIu64
	       " not by the agent\n",
	       user, p->compared, p->refused, p->different, stats(p).by_walk);
	return p->different || !user;
}

/* ---- hostile tables ---- */

static int hostile(struct probe *p)
{
	struct vl_kvm *k = (struct vl_kvm *)p->kvm->engine;
	struct vl_space s = p->s;
	double begin = now_us();
	uint64_t word;

	/* Invalid roots: a page of zeros, a page of text, an address without RAM. */
	for (uint64_t root = 0; root < 64 * 4096; root += 4096) {
		s.root = root;
		same(p, &s, stats(p).agent_va, 8);
	}
	s.root = stats(p).agent_gpa;
	vl_read_u64(p->kvm, &s, 0, &word);
	s.root = 0x7ffffffff000;
	vl_read_u64(p->kvm, &s, 0, &word);
	same(p, &p->s, vl_reader_symbol(p->direct, "linux_banner"), 16);
	printf("%lu compared, %lu different\n", p->compared, p->different);
	if (p->different)
		return 1;
	/* Other code in place of the agent's: an endless loop, jmp to itself. */
	kvm_quiesce(k);
	memcpy(k->page->code, "\xeb\xfe", 2);
	k->limit_ms = 300;
	kvm_vm_place(k, k->va, k->overlay, p->s.levels);
	begin = now_us();
	same(p, &p->s, vl_reader_symbol(p->direct, "linux_banner"), 16);
	printf("a loop: %s, %lu different\n", now_us() - begin < 5e6 ? "soon" : "late",
	       p->different);
	same(p, &p->s, stats(p).agent_va, 64);
	return p->different != 0;
}

/* ---- what it costs ---- */

#define ROUNDS 400

static int by_value(const void *a, const void *b)
{
	double d = *(const double *)a - *(const double *)b;

	return (d > 0) - (d < 0);
}

/* The median time of @fn, in microseconds, and its exits. */
static double median(struct probe *p, void (*fn)(struct probe *p, void *arg), void *arg,
		     double *exits_ret)
{
	uint64_t exits = stats(p).exits;
	double took[ROUNDS], end = now_us() + p->span_ms * 1e3;
	unsigned n = 0;

	while (n < ROUNDS && (n < 5 || now_us() < end)) {
		double begin = now_us();

		fn(p, arg);
		took[n++] = now_us() - begin;
	}
	*exits_ret = (double)(stats(p).exits - exits) / n;
	qsort(took, n, sizeof(took[0]), by_value);
	return took[n / 2];
}

struct job {
	uint64_t at;
	unsigned len;
	struct vl_get get[100];
	struct vl_walk walk;
	struct vl_walked walked;
};

static void one_read(struct probe *p, void *arg)
{
	struct job *j = arg;

	vl_read(p->kvm, &p->s, j->at, j->get[0].buf, j->len);
}

static void one_gather(struct probe *p, void *arg)
{
	struct job *j = arg;

	vl_gather(p->kvm, &p->s, j->get, 100);
}

static void one_walk(struct probe *p, void *arg)
{
	struct job *j = arg;

	vl_walk(p->kvm, &p->s, &j->walk, &j->walked);
}

/* One sample: a switch to the target space, a load. */
static void watch_1000(struct probe *p, void *arg)
{
	struct job *j = arg;
	uint64_t value, samples;

	vl_read_u64(p->direct, &p->s, j->at, &value);
	vl_watch(p->kvm, &p->s, j->at, 8, value, 1000, &value, &samples);
}

static void bench_all(struct probe *p, struct job *j, const char *how)
{
	static const unsigned lens[] = { 4, 64, 512, 1024, 4096 };
	static unsigned char buf[100 * 4096];
	double us, exits;

	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		for (size_t n = 0; n < 100; n++)
			j->get[n] =
				(struct vl_get){ j->at + 8 * (n % 8), buf + n * 4096, lens[i], 0 };
		j->len = lens[i];
		us = median(p, one_read, j, &exits);
		printf("%s: read of %u bytes: %.2f us, %.2f exits", how, lens[i], us, exits);
		us = median(p, one_gather, j, &exits);
		printf("; each of 100 in a batch %.2f us, %.2f exits a batch\n", us / 100, exits);
	}
	us = median(p, one_walk, j, &exits);
	printf("%s: list of %zu tasks, pid and comm: %.1f us, %.2f exits\n", how, j->walked.nr, us,
	       exits);
	us = median(p, watch_1000, j, &exits);
	printf("%s: sample of a watch, with a switch to the target space: %.3f us\n", how,
	       us / 1000);
}

static int bench(struct probe *p, double span_ms)
{
	struct probe direct = *p;
	int32_t tasks = off(p, VL_F_TASK_TASKS);
	static unsigned char records[100 * 32];
	struct vl_walk_field f[] = { { VL_FIELD_BYTES, 0, 4, 0, { off(p, VL_F_TASK_PID) } },
				     { VL_FIELD_STRING, 0, 16, 8, { off(p, VL_F_TASK_COMM) } } };
	static struct job j;
	struct vl_reader_stats st;
	struct vl_error *err;

	/* The page of init_task, which is read often, as the kernel's own data are. */
	j.at = vl_reader_symbol(p->direct, "init_task") & ~4095UL;
	j.walk = (struct vl_walk){
		.kind = VL_WALK_LIST,
		.head = vl_reader_symbol(p->direct, "init_task") + (uint64_t)tasks,
		.node = (uint32_t)tasks,
		.fields = f,
		.nr_fields = 2,
		.records = records,
		.stride = 32,
		.max = 100,
	};
	vl_reader_stats(p->kvm, &st);
	printf("engine: %s; launch %.0f us\n", st.reason, (double)st.open_ns / 1e3);
	p->span_ms = direct.span_ms = span_ms;
	direct.kvm = direct.direct;
	direct.agent = false;
	bench_all(&direct, &j, "direct");
	bench_all(p, &j, "entered");
	err = vl_kvm_poll(p->kvm->engine, 1000000);
	if (err)
		return fail(err);
	bench_all(p, &j, "polled");
	return 0;
}

int main(int argc, char **argv)
{
	struct vl_guest_options options = { .engine = "direct" };
	struct vl_reader_options kvm = { "kvm" };
	struct probe p = { .seed = 0x9e3779b97f4a7c15, .vcpu_stats = -1 };
	struct vl_guest *g;
	struct vl_error *err;
	bool mirror = false;
	int ret = 2;

	for (; argc > 1 && argv[1][0] == '-'; argv++, argc--) {
		if (!strncmp(argv[1], "--engine=", 9))
			kvm.engine = argv[1] + 9;
		mirror |= !strcmp(argv[1], "--mirror");
	}
	p.agent = !strcmp(kvm.engine, "kvm");
	if (argc < 3 || (!p.agent && strcmp(argv[2], "sweep") && strcmp(argv[2], "spaces")))
		return 2;
	setvbuf(stdout, NULL, _IOLBF, 0);
	err = vl_guest_open(argv[1], &options, &g);
	if (err)
		return fail(err);
	err = vl_guest_reader(g, &p.direct);
	if (!err)
		err = vl_reader_open(p.direct->target, vl_reader_attach(p.direct), &kvm, &p.kvm);
	if (!err && mirror && p.agent)
		err = vl_kvm_mirror(p.kvm->engine);
	if (err)
		return fail(err);
	p.s = vl_reader_kernel(p.direct);
	if (!strcmp(argv[2], "sweep") && argc == 4)
		ret = sweep(&p, strtoul(argv[3], NULL, 10));
	else if (!strcmp(argv[2], "overlay"))
		ret = overlay(&p);
	else if (!strcmp(argv[2], "walks"))
		ret = walks(&p);
	else if (!strcmp(argv[2], "spaces"))
		ret = spaces(&p);
	else if (!strcmp(argv[2], "busy") && argc == 4)
		ret = busy(&p, (unsigned)strtoul(argv[3], NULL, 10));
	else if (!strcmp(argv[2], "poll"))
		ret = polled(&p);
	else if (!strcmp(argv[2], "hostile"))
		ret = hostile(&p);
	else if (!strcmp(argv[2], "bench"))
		ret = bench(&p, argc == 4 ? strtod(argv[3], NULL) : 1000);
	vl_reader_close(p.kvm);
	vl_guest_close(g);
	return ret;
}
