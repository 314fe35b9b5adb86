/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Questions asked ahead: about one process, those that the program asked about the last one
 * (guest/ahead.h); and the same about the processes that come next (guest/prefetch.h).
 */
#include <string.h>

#include "base/array.h"
#include "guest/ahead.h"
#include "guest/prefetch.h"
#include "syscall/answer.h"
#include "tap.h"

#define ROOM (1UL << 20)

static const char *const leaves[] = { "", "/stat", "/status", "/environ", "/cmdline", "/ctty" };
#define NR_LEAVES ARRAY_SIZE(leaves)

struct run {
	struct vl_ahead *a;
	uint64_t epoch;
	size_t messages, foreseen, wrong;
};

/* A file's content, as this epoch's kernel gives it. */
static int64_t content(const struct run *r, const char *base, const char *leaf)
{
	return (int64_t)(r->epoch * 1000000 + strlen(leaf) * 1000 + (size_t)base[6]);
}

/* Ask as the broker does: a question that was not asked ahead is a message. */
static void ask(struct run *r, const char *path)
{
	struct vl_question q = { .what = VL_ASKS_FILE, .len = 64 }, plan[VL_AHEAD_MAX];
	struct vl_answer answer;
	char base[VL_BASE_MAX];
	int64_t got = 0;
	size_t nr;

	if (!vl_ahead_split(path, base, &q)) {
		r->wrong++;
		return;
	}
	if (vl_ahead_take(r->a, r->epoch, base, &q, &answer, &got)) {
		r->foreseen++;
		r->wrong += answer.n != sizeof(got) || got != content(r, base, q.leaf);
		return;
	}
	r->messages++;
	nr = vl_ahead_plan(r->a, &q, ROOM, plan);
	r->wrong += !nr || strcmp(plan[0].leaf, q.leaf) != 0;
	for (size_t i = 1; i < nr; i++) {
		answer = (struct vl_answer){ 3, sizeof(got) };
		got = content(r, base, plan[i].leaf);
		vl_ahead_put(r->a, &plan[i], &answer, &got);
	}
}

static void ask_of(struct run *r, int pid, size_t from, size_t to)
{
	char path[64];

	for (size_t i = from; i < to; i++) {
		snprintf(path, sizeof(path), "/proc/%d%s", pid, leaves[i]);
		ask(r, path);
	}
}

static struct run start(void)
{
	return (struct run){ .a = vl_ahead_create(), .epoch = 1 };
}

static void test_split(void)
{
	struct vl_question q;
	char base[VL_BASE_MAX];

	ok(vl_ahead_split("/proc/12/fd/3", base, &q) && !strcmp(base, "/proc/12") &&
		   !strcmp(q.leaf, "/fd/3"),
	   "a file of a process");
	ok(vl_ahead_split("/proc/12", base, &q) && !*q.leaf, "the process itself");
	ok(!vl_ahead_split("/proc/self/stat", base, &q) && !vl_ahead_split("/proc/", base, &q) &&
		   !vl_ahead_split("/proc/1x/stat", base, &q) &&
		   !vl_ahead_split("/sys/12/stat", base, &q),
	   "paths that belong to no process");
	ok(!vl_ahead_split("/proc/111111111111111111111111/stat", base, &q) &&
		   !vl_ahead_split("/proc/1/fd/a-name-that-is-longer-than-those-of-files", base,
				   &q),
	   "names that are too long");
}

static void test_ps(void)
{
	struct run r = start();

	for (int pid = 1; pid < 10; pid++)
		ask_of(&r, pid, 0, NR_LEAVES);
	ok(r.messages == NR_LEAVES + 8 && r.foreseen == 8 * (NR_LEAVES - 1) && !r.wrong,
	   "after the first process one message each: %zu", r.messages);
	r.messages = 0;
	ask_of(&r, 9, 1, 2);
	ok(r.messages == 1, "an answer is for one question");
	r.messages = 0;
	ask_of(&r, 1, 0, 3);
	r.epoch++;
	ask_of(&r, 1, 3, 4);
	ok(r.messages == 2 && !r.wrong, "a question of the last epoch is asked again");
	ask_of(&r, 2, 0, 2);
	r.messages = 0;
	vl_ahead_drop(r.a);
	ask_of(&r, 2, 2, 3);
	ok(r.messages == 1, "a question whose answer was dropped is asked again");
	r.messages = 0;
	ask_of(&r, 3, 0, NR_LEAVES);
	ok(r.messages == 1, "an epoch that ends early teaches nothing");
	vl_ahead_destroy(r.a);
}

/* An epoch that is not steady: its answers are carried on, expire, and can fail together. */
static void test_unsteady(void)
{
	struct run r = start();

	for (int pid = 1; pid < 4; pid++)
		ask_of(&r, pid, 0, NR_LEAVES);
	r.messages = 0;
	ask_of(&r, 4, 0, 2);
	vl_ahead_carry(r.a, ++r.epoch);
	ask_of(&r, 4, 2, 3);
	ok(r.messages == 1 && r.wrong == 1, "an answer is carried into the next epoch");
	vl_ahead_expire(r.a);
	ask_of(&r, 4, 3, 4);
	ok(r.messages == 2 && r.wrong == 1, "a question whose answer expired is asked again");
	r.messages = 0;
	ask_of(&r, 5, 0, 1);
	vl_ahead_judge(r.a, true);
	ask_of(&r, 5, 0, 2);
	ok(r.messages == 3, "questions that failed together are asked one by one");
	r.messages = 0;
	ask_of(&r, 6, 0, NR_LEAVES);
	ok(r.messages == 1, "then together again");
	vl_ahead_destroy(r.a);
}

/* Answers whose rest must be read from the file that they have opened. */
static void test_unfinished(void)
{
	struct vl_question q = { .what = VL_ASKS_WHOLE, .len = 64, .leaf = "/maps" };
	struct vl_question list = { .what = VL_ASKS_LIST, .len = 64, .leaf = "/fd" };
	struct vl_answer full = { 3, 64 }, fails = { 4, -22 }, none = { -2, -9 }, got;
	struct run r = start();
	char buf[64] = "";

	for (int pid = 1; pid < 3; pid++)
		ask_of(&r, pid, 0, 1);
	vl_ahead_put(r.a, &q, &full, buf);
	vl_ahead_put(r.a, &list, &fails, buf);
	q.flags = list.flags = 1;
	vl_ahead_put(r.a, &q, &none, buf);
	vl_ahead_put(r.a, &list, &full, buf);
	q.flags = 0;
	ok(vl_ahead_take(r.a, 1, "/proc/2", &list, &got, buf) && got.n == 64,
	   "an answer whose file has more");
	vl_ahead_carry(r.a, 2);
	list.flags = 0;
	ok(!vl_ahead_take(r.a, 2, "/proc/2", &q, &got, buf) &&
		   !vl_ahead_take(r.a, 2, "/proc/2", &list, &got, buf),
	   "is not carried into the next epoch, in which the file is closed");
	q.flags = 1;
	ok(vl_ahead_take(r.a, 2, "/proc/2", &q, &got, buf) && got.ret == -2,
	   "an answer without a file is carried on");
	vl_ahead_destroy(r.a);
}

/* Learning goes on in the next epoch: an epoch can have one question only. */
static void test_brief(void)
{
	struct run r = start();

	for (size_t i = 0; i < NR_LEAVES; i++) {
		ask_of(&r, 1, i, i + 1);
		r.epoch++;
	}
	r.messages = 0;
	ask_of(&r, 2, 0, NR_LEAVES);
	ok(r.messages == 1 && !r.wrong, "a list that is learned in several epochs");
	vl_ahead_destroy(r.a);
}

/* The program asks two questions about most processes, and all about some. */
static void test_lsof(void)
{
	struct run r = start();

	for (int pid = 1; pid < 10; pid += 3) {
		ask_of(&r, pid, 0, NR_LEAVES);
		ask_of(&r, pid + 1, 0, 2);
		ask_of(&r, pid + 2, 0, 2);
	}
	r.messages = r.foreseen = 0;
	ask_of(&r, 2, 0, 2);
	ok(r.messages == 1 && r.foreseen == 1, "one kind of process: its two questions");
	r.messages = 0;
	ask_of(&r, 1, 0, NR_LEAVES);
	ok(r.messages == 2 && !r.wrong, "the other kind: two questions, then all others");
	ask_of(&r, 4, 0, NR_LEAVES);
	r.messages = 0;
	ask_of(&r, 5, 0, NR_LEAVES);
	ok(r.messages == 1 && !r.wrong, "after two of the other kind in a row: all questions");
	vl_ahead_destroy(r.a);
}

static void test_bounds(void)
{
	struct vl_question q = { .what = VL_ASKS_FILE, .len = 64 }, plan[VL_AHEAD_MAX];
	struct vl_answer a = { 3, 1 << 30 };
	struct run r = start();
	char path[64], buf[64];
	size_t nr;

	for (int pid = 1; pid < 3; pid++)
		for (int i = 0; i < 100; i++) {
			snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, i);
			ask(&r, path);
		}
	ok(!r.wrong && r.messages == 100 + 69,
	   "more questions than are asked together: %zu messages", r.messages);
	vl_ahead_destroy(r.a);

	r = start();
	ask_of(&r, 1, 0, NR_LEAVES);
	ok(!vl_ahead_take(r.a, 1, "/proc/2", &q, &a, buf), "no answer for another process");
	nr = vl_ahead_plan(r.a, &q, vl_answer_next(vl_answer_next(0, 64), 64), plan);
	ok(nr == 2, "no more questions than there is room for: %zu", nr);
	vl_ahead_cut(r.a);
	ok(!vl_ahead_take(r.a, 1, "/proc/3", &q, &a, buf) &&
		   vl_ahead_plan(r.a, &q, ROOM, plan) == 1,
	   "a question without an answer is not asked ahead again");
	vl_ahead_destroy(r.a);

	ok(vl_answer_size(&q, &a) == 64, "a count beyond the room");
	a.n = -5;
	ok(!vl_answer_size(&q, &a), "a negative count");
	a = (struct vl_answer){ -2, 10 };
	ok(!vl_answer_size(&q, &a), "a count for a file that was not opened");
}

/* Add an entry of /proc to @buf; returns the bytes so far. */
static size_t list(char *buf, size_t at, const char *name)
{
	struct vl_dirent64 *d = (void *)(buf + at);

	d->reclen = 40;
	memset(d->name, 0, 40 - sizeof(*d));
	strcpy(d->name, name);
	return at + 40;
}

static void see(struct vl_prefetches *fl, const char *name, int64_t fd, void *buf, size_t len,
		int64_t ret)
{
	const struct vl_arg args[] = { VL_ARG_INT(fd), VL_ARG_OUT(buf, len), VL_ARG_INT(len),
				       VL_ARG_INT(0) };

	vl_prefetches_see(fl, name, args, strcmp(name, "openat") ? 3 : 4, ret);
}

/* The program has listed /proc, with processes 1 to @nr. */
static struct vl_prefetches listed(int nr)
{
	struct vl_prefetches fl = { .listing = -1 };
	_Alignas(8) char buf[8192];
	char name[16];
	size_t len = 0;

	see(&fl, "openat", -100, (char[]){ "/proc" }, sizeof("/proc"), 5);
	len = list(buf, len, "acpi");
	for (int i = 1; i <= nr; i++) {
		snprintf(name, sizeof(name), "%d", i);
		len = list(buf, len, name);
	}
	len = list(buf, len, "9999999999");
	see(&fl, "getdents64", 6, buf, sizeof(buf), (int64_t)len);
	see(&fl, "getdents64", 5, buf, sizeof(buf), (int64_t)len);
	/* An entry of an impossible length ends the list. */
	((struct vl_dirent64 *)(void *)buf)->reclen = 3;
	see(&fl, "getdents64", 5, buf, sizeof(buf), (int64_t)len);
	return fl;
}

static void test_prefetches(void)
{
	struct vl_question q[] = { { .what = VL_ASKS_FILE, .len = 4096 },
				   { .what = VL_ASKS_FILE, .len = 4096, .leaf = "/stat" } };
	static unsigned char window[VL_WINDOW_AHEAD] __attribute__((aligned(16)));
	struct vl_prefetches fl = listed(80);
	struct vl_prefetch *f, *next;
	size_t i = 0;

	ok(fl.nr_pids == 80 && fl.pids[0] == 1 && fl.pids[79] == 80, "the order of processes");
	vl_prefetches_turn(&fl, 1, "/proc/1");
	ok(!vl_prefetches_plan(&fl, q, 2), "one process is no order");
	vl_prefetches_turn(&fl, 1, "/proc/2");
	fl.messages = 6;
	f = vl_prefetches_plan(&fl, q, 2);
	ok(f && f->from == 2 && f->nr_bases == VL_PREFETCH_BASES && f->nr_questions == 2,
	   "the next processes are asked ahead");
	vl_prefetch_write(&fl, f, window);
	ok(!strcmp(((struct vl_asked *)window)->bases[1], "/proc/4") &&
		   !strcmp(((struct vl_asked *)window)->questions[1].leaf, "/stat"),
	   "the worker's window has them");
	ok(!vl_prefetches_find(&fl, &q[1], &i), "no answer for a process before them");
	vl_prefetches_turn(&fl, 1, "/proc/3");
	ok(!vl_prefetches_plan(&fl, q, 2), "processes that take many messages are not asked ahead");
	vl_prefetches_turn(&fl, 1, "/proc/4");
	ok(vl_prefetches_find(&fl, &q[1], &i) == f && i == 3,
	   "an answer for a process of the prefetch");
	f->taken[3] = true;
	ok(!vl_prefetches_find(&fl, &q[1], &i), "it is taken once");
	f->nr_answers = 2;
	ok(!vl_prefetches_find(&fl, &q[0], &i), "no answer that the worker has not given");
	next = vl_prefetches_plan(&fl, q, 2);
	ok(next && next != f && next->from == 2 + VL_PREFETCH_BASES, "the prefetch behind it");
	ok(!vl_prefetches_plan(&fl, q, 2), "two prefetches at most");
	for (int pid = 5; pid <= 2 + VL_PREFETCH_BASES + 1; pid++) {
		char base[VL_BASE_MAX];

		snprintf(base, sizeof(base), "/proc/%d", pid);
		vl_prefetches_turn(&fl, 1, base);
	}
	ok(!f->used && next->used, "a prefetch that the program has passed ends");
	vl_prefetches_turn(&fl, 1, "/proc/2");
	ok(!next->used, "a prefetch that the program has turned back from ends");
	vl_prefetches_turn(&fl, 1, "/proc/02");
	ok(!fl.known, "a number with a zero before it is no process");
	vl_prefetches_turn(&fl, 1, "/proc/4294967298");
	ok(!fl.known, "nor is one that is larger by 2 to the 32nd");
	vl_prefetches_turn(&fl, 1, "/proc/2");
	vl_prefetches_turn(&fl, 1, "/proc/3");
	f = vl_prefetches_plan(&fl, q, 2);
	vl_prefetches_turn(&fl, 2, "/proc/4");
	ok(f && !f->used, "a prefetch of the last epoch ends");
	vl_prefetches_turn(&fl, 2, "/proc/79");
	vl_prefetches_turn(&fl, 2, "/proc/80");
	ok(!vl_prefetches_plan(&fl, q, 2), "no prefetch behind the last process");
	q[1].len = VL_WINDOW_AHEAD / 2;
	vl_prefetches_turn(&fl, 2, "/proc/10");
	vl_prefetches_turn(&fl, 2, "/proc/11");
	f = vl_prefetches_plan(&fl, q, 2);
	ok(f && f->nr_questions == 1, "only the questions for which there is room");
	vl_prefetches_deinit(&fl);
}

/* Another question has cut a prefetch short. */
static void test_cut_prefetches(void)
{
	struct vl_question q[] = { { .what = VL_ASKS_FILE, .len = 4096 },
				   { .what = VL_ASKS_FILE, .len = 4096, .leaf = "/stat" } };
	struct vl_prefetches fl = listed(80);
	struct vl_prefetch *f, *next;
	size_t i;

	vl_prefetches_turn(&fl, 1, "/proc/1");
	vl_prefetches_turn(&fl, 1, "/proc/2");
	f = vl_prefetches_plan(&fl, q, 2);
	if (!ok(f, "a prefetch"))
		return;
	vl_prefetch_end(f, 2 * VL_PREFETCH_BASES);
	ok(f->nr_bases == VL_PREFETCH_BASES && f->nr_answers == 2 * VL_PREFETCH_BASES,
	   "all of it is answered");
	vl_prefetch_end(f, 5);
	next = vl_prefetches_plan(&fl, q, 2);
	ok(next && next->from == f->from + 2, "the next one begins where it was cut");
	vl_prefetches_turn(&fl, 1, "/proc/3");
	ok(vl_prefetches_find(&fl, &q[1], &i) == f && i == 1,
	   "an answer of a process that has all");
	vl_prefetches_turn(&fl, 1, "/proc/4");
	vl_prefetches_turn(&fl, 1, "/proc/5");
	ok(vl_prefetches_find(&fl, &q[0], &i) == next && i == 0,
	   "the one without all is in the next");
	vl_prefetch_end(next, 1);
	ok(!vl_prefetches_find(&fl, &q[0], &i), "no answer if no process has all");
	vl_prefetches_deinit(&fl);
}

/* Prefetches of an epoch of questions, whose answers are validated together. */
static void test_validated_prefetches(void)
{
	struct vl_question q = { .what = VL_ASKS_FILE, .len = 4096 };
	struct vl_prefetches fl = listed(80);
	struct vl_prefetch *f;
	size_t i;

	vl_prefetches_turn(&fl, 1, "/proc/2");
	vl_prefetches_turn(&fl, 1, "/proc/3");
	f = vl_prefetches_plan(&fl, &q, 1);
	f->validates = true;
	vl_prefetches_carry(&fl, 2);
	vl_prefetches_carry(&fl, 3);
	vl_prefetches_turn(&fl, 3, "/proc/4");
	ok(vl_prefetches_find(&fl, &q, &i) == f && !i, "they outlast the end of the epoch");
	vl_prefetches_turn(&fl, 4, "/proc/5");
	ok(!vl_prefetches_find(&fl, &q, &i), "but not each end");
	vl_prefetches_turn(&fl, 4, "/proc/6");
	f = vl_prefetches_plan(&fl, &q, 1);
	f->validates = false;
	vl_prefetches_carry(&fl, 5);
	ok(!f->used, "answers of a copy do not outlast it");

	vl_prefetches_turn(&fl, 5, "/proc/7");
	for (size_t bases = VL_PREFETCH_BASES / 2; bases >= VL_PREFETCH_LEAST; bases /= 2) {
		vl_prefetches_drop(&fl);
		vl_prefetches_judge(&fl, false);
		f = vl_prefetches_plan(&fl, &q, 1);
		ok(f && f->nr_bases == bases,
		   "%zu processes after a prefetch that could not be validated", bases);
	}
	vl_prefetches_drop(&fl);
	vl_prefetches_judge(&fl, false);
	f = vl_prefetches_plan(&fl, &q, 1);
	ok(f && f->nr_bases == VL_PREFETCH_LEAST, "never fewer");
	vl_prefetches_drop(&fl);
	vl_prefetches_judge(&fl, false);
	ok(!vl_prefetches_plan(&fl, &q, 1), "none at once after two of these");
	vl_prefetches_turn(&fl, 5, "/proc/8");
	ok(vl_prefetches_plan(&fl, &q, 1), "but after a process");
	vl_prefetches_drop(&fl);
	vl_prefetches_judge(&fl, false);
	vl_prefetches_turn(&fl, 5, "/proc/9");
	ok(!vl_prefetches_plan(&fl, &q, 1), "after three it waits longer");
	vl_prefetches_judge(&fl, true);
	f = vl_prefetches_plan(&fl, &q, 1);
	ok(f && f->nr_bases == 2 * VL_PREFETCH_LEAST, "until one is validated");
	ok(!f->closed, "the files of a new prefetch are open");
	vl_prefetches_close(&fl);
	ok(f->used && f->closed, "files that are closed end no prefetch");
	vl_prefetches_judge(&fl, true);
	for (int i = 0; i < VL_PREFETCH_BASES; i++)
		vl_prefetches_judge(&fl, true);
	vl_prefetches_drop(&fl);
	f = vl_prefetches_plan(&fl, &q, 1);
	ok(f && f->nr_bases == VL_PREFETCH_BASES, "it grows back");
	vl_prefetches_deinit(&fl);
}

/* A large listing comes in pieces, of which one may be read once more. */
static void test_pieces(void)
{
	struct vl_prefetches fl = listed(8);
	_Alignas(8) char buf[1024];
	size_t len = list(buf, 0, "7");

	len = list(buf, len, "9");
	see(&fl, "getdents64", 5, buf, sizeof(buf), (int64_t)len);
	ok(fl.nr_pids == 8 && fl.pids[6] == 7 && fl.pids[7] == 9, "a piece that is read again");
	see(&fl, "lseek", 5, NULL, 0, 0);
	see(&fl, "getdents64", 5, buf, sizeof(buf), (int64_t)len);
	ok(fl.nr_pids == 2, "the listing begins again");
	vl_prefetches_opened(&fl, 9);
	see(&fl, "getdents64", 9, buf, sizeof(buf), (int64_t)len);
	see(&fl, "getdents64", 9, buf, sizeof(buf), (int64_t)list(buf, 0, "11"));
	ok(fl.nr_pids == 3 && fl.pids[2] == 11, "of a descriptor that was opened otherwise");
	vl_prefetches_deinit(&fl);
}

int main(void)
{
	test_prefetches();
	test_pieces();
	test_cut_prefetches();
	test_validated_prefetches();
	test_split();
	test_ps();
	test_unsteady();
	test_unfinished();
	test_brief();
	test_lsof();
	test_bounds();
	return tap_end();
}
