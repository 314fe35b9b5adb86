// SPDX-License-Identifier: GPL-2.0-or-later
/* What a watch knows, processes and lists: what it tells of walks that were made by hand. */
#include <stdlib.h>
#include <string.h>

#include "../../src/base/clock.h"
#include "../../src/view/known.h"
#include "../../src/view/watching.h"
#include "tap.h"

#define FORKNOEXEC 0x40U
#define ZOMBIE 0x20U

/* What the careful second pass finds. */
static struct {
	enum vl_again again;
	bool as_read; /* what was read is how it is */
	struct vl_seen now;
	unsigned looks;
} second;

/* What was told: "start 5", one behind the other. */
static char told[512];

static enum vl_again again(void *ctx, struct vl_seen *s, const struct vl_seen *was)
{
	(void)ctx;
	(void)was;
	second.looks++;
	if (!second.as_read)
		*s = second.now;
	return second.again;
}

static void tell(void *ctx, unsigned news, const struct vl_seen *now, const struct vl_seen *was)
{
	const char *word = news == VL_NEWS_START ? "start" :
			   news == VL_NEWS_EXEC	 ? "exec" :
			   news == VL_NEWS_ROOT	 ? "root" :
			   news == VL_NEWS_END	 ? "end" :
						   "?";
	size_t len = strlen(told);

	(void)ctx;
	(void)was;
	snprintf(told + len, sizeof(told) - len, "%s%s %d", len ? ", " : "", word, now->pid);
}

static const struct vl_known_ops ops = { again, tell };

static struct vl_seen task(int32_t pid)
{
	return (struct vl_seen){ .task = 0x1000U * (unsigned)pid,
				 .start = 100U + (unsigned)pid,
				 .mm = 0x77000U + (unsigned)pid,
				 .pid = pid,
				 .uid = 1000,
				 .euid = 1000,
				 .comm = "a" };
}

static bool tells(const char *what)
{
	bool same = !strcmp(told, what);

	if (!same)
		printf("# told: %s\n", told);
	told[0] = '\0';
	return same;
}

/* A walk over all: processes @s up to a pid of 0. */
static void walk(struct vl_known *k, const struct vl_seen *s)
{
	vl_known_begin(k);
	for (; s->pid; s++)
		vl_known_see(k, s);
	vl_known_end(k);
}

static void begin(struct vl_known *k)
{
	const struct vl_seen all[] = { task(1), task(2), task(3), { 0 } };

	*k = (struct vl_known){ .ops = &ops, .silent = true };
	second.again = VL_AGAIN_TRUE;
	second.as_read = true;
	walk(k, all);
	k->silent = false;
}

static void test_plain(void)
{
	struct vl_seen all[] = { task(1), task(2), task(3), { 0 }, { 0 } };
	struct vl_known k;

	begin(&k);
	ok(tells("") && k.nr == 3, "what was there is known, and not told");
	second.looks = 0;
	walk(&k, all);
	ok(tells("") && !second.looks, "an unchanged list needs no second pass");
	all[3] = task(4);
	walk(&k, all);
	ok(tells("start 4"), "a new process");
	walk(&k, all);
	ok(tells(""), "is told once");
	all[3].mm = 0x99000;
	walk(&k, all);
	ok(tells("exec 4"), "another memory is an exec");
	all[3].mm = 0;
	walk(&k, all);
	ok(tells(""), "to give up one's memory is none");
	all[3].exit_state = ZOMBIE;
	walk(&k, all);
	ok(tells("end 4"), "a zombie has ended");
	walk(&k, all);
	ok(tells(""), "which is told once");
	all[3].pid = 0;
	second.again = VL_AGAIN_GONE;
	walk(&k, all);
	ok(tells("") && k.nr == 3, "nor when it leaves the list");
	vl_known_deinit(&k);
}

static void test_gone(void)
{
	struct vl_seen all[] = { task(1), task(2), { 0 }, { 0 } };
	struct vl_known k;

	begin(&k);
	second.again = VL_AGAIN_FALSE;
	walk(&k, all);
	walk(&k, all);
	ok(tells("") && k.nr == 3,
	   "a process that a walk missed is there as long as its memory says so");
	second.again = VL_AGAIN_GONE;
	second.as_read = false;
	second.now = task(3);
	walk(&k, all);
	ok(tells(""), "without a word of its end, one walk that misses it is not enough");
	all[2] = task(3);
	second.again = VL_AGAIN_TRUE;
	walk(&k, all);
	all[2].pid = 0;
	second.again = VL_AGAIN_GONE;
	walk(&k, all);
	ok(tells(""), "and one that sees it begins anew");
	walk(&k, all);
	ok(tells("end 3") && k.nr == 2, "two are enough");
	second.now = task(2);
	second.now.exit_state = ZOMBIE;
	all[1].pid = 0;
	walk(&k, all);
	ok(tells("end 2"), "with a word of its end, so is one");
	vl_known_deinit(&k);
}

static void test_garbage(void)
{
	struct vl_seen all[] = { task(1), task(2), task(3), task(9), { 0 } };
	struct vl_known k;

	begin(&k);
	second.again = VL_AGAIN_FALSE;
	walk(&k, all);
	ok(tells("") && k.nr == 3, "a process that a second pass does not find is none");
	second.again = VL_AGAIN_TRUE;
	all[3].pid = -5;
	walk(&k, all);
	all[3].pid = (4 << 20) + 1;
	walk(&k, all);
	ok(tells("") && k.nr == 3, "nor is one with a number that no process can have");
	second.again = VL_AGAIN_FALSE;
	all[3] = task(2);
	all[3].start = 7;
	walk(&k, all);
	ok(tells("") && vl_known_find(&k, 2)->start == 102,
	   "nor is one with a known number, and another start");
	all[3].pid = 0;
	all[1].euid = 0;
	walk(&k, all);
	ok(tells("") && vl_known_find(&k, 2)->euid == 1000, "nor are its new credentials");
	all[1] = task(2);
	all[2].mm = 5;
	second.again = VL_AGAIN_TRUE;
	second.as_read = false;
	second.now = task(3);
	walk(&k, all);
	ok(tells(""), "what the second pass says counts");
	vl_known_deinit(&k);
}

static void test_reuse(void)
{
	struct vl_seen all[] = { task(1), task(2), task(3), { 0 } };
	struct vl_known k;

	begin(&k);
	all[2].start = 5000;
	walk(&k, all);
	ok(tells("end 3, start 3") && k.nr == 3, "a number that is in use again");
	all[1].task = 0x777000;
	walk(&k, all);
	ok(tells("") && vl_known_find(&k, 2)->task == 0x777000,
	   "another task_struct with the same start is the same process");
	vl_known_deinit(&k);
}

static void test_later(void)
{
	struct vl_seen all[] = { task(1), task(2), task(3), { 0 }, { 0 } };
	struct vl_known k;

	begin(&k);
	all[2].mm = 0x55;
	strcpy(all[2].comm, "b");
	second.again = VL_AGAIN_LATER;
	walk(&k, all);
	ok(tells("") && !strcmp(vl_known_find(&k, 3)->comm, "a"),
	   "an exec without arguments waits");
	second.again = VL_AGAIN_TRUE;
	walk(&k, all);
	ok(tells("exec 3") && !strcmp(vl_known_find(&k, 3)->comm, "b"), "until they are there");
	all[2].mm = 0x66;
	second.again = VL_AGAIN_LATER;
	for (unsigned i = 0; i < 4; i++, k.now_ns += 100000000)
		walk(&k, all);
	ok(tells(""), "it waits for some tenths of a second");
	k.now_ns += 200000000;
	walk(&k, all);
	ok(tells("exec 3"), "but not for ever");
	all[3] = task(4);
	walk(&k, all);
	ok(tells("start 4"), "a process that is new does not wait");
	second.again = VL_AGAIN_TRUE;
	walk(&k, all);
	ok(tells("exec 4"), "its program does");
	vl_known_deinit(&k);
}

static void test_first_exec(void)
{
	struct vl_seen all[] = { task(1), task(2), task(3), task(4), { 0 } };
	struct vl_known k;

	begin(&k);
	all[3].flags = FORKNOEXEC;
	walk(&k, all);
	ok(tells("start 4"), "a child");
	all[3].flags = 0;
	walk(&k, all);
	ok(tells("exec 4"), "whose memory was replaced before its flag was cleared has executed");
	vl_known_deinit(&k);
}

static void test_root(void)
{
	struct vl_seen all[] = { task(1), task(2), task(3), { 0 } };
	struct vl_known k;

	begin(&k);
	all[0].euid = 0;
	walk(&k, all);
	ok(tells("root 1"), "an effective user id that becomes 0");
	all[0].uid = 0;
	walk(&k, all);
	ok(tells(""), "the real one of a process that is root by that is no event");
	all[0].euid = 1000;
	walk(&k, all);
	all[0].euid = 0;
	walk(&k, all);
	ok(tells(""), "root that takes its right again is no event");
	all[1].uid = all[1].euid = 0;
	all[1].mm = 0x66;
	all[1].exit_state = ZOMBIE;
	walk(&k, all);
	ok(tells("exec 2, root 2, end 2"), "all at once, in the order of a life");
	vl_known_deinit(&k);
}

/* Many, so that the table of slots grows, with numbers that go round. */
static void test_many(void)
{
	enum { NR = 20000 };
	struct vl_seen *all = calloc(NR + 1, sizeof(*all));
	bool found = true;
	struct vl_known k;

	begin(&k);
	k.silent = true;
	for (int32_t i = 0; i < NR; i++)
		all[i] = task(1 + i * 7);
	second.again = VL_AGAIN_TRUE;
	walk(&k, all);
	for (int32_t i = 0; found && i < NR; i++)
		found = vl_known_find(&k, 1 + i * 7) != NULL;
	ok(found && !vl_known_find(&k, 5) && !k.full, "20000 processes are found by their number");
	all[10].pid = 0;
	second.again = VL_AGAIN_GONE;
	second.as_read = false;
	second.now = (struct vl_seen){ .exit_state = ZOMBIE };
	walk(&k, all);
	ok(k.nr == 10 && vl_known_find(&k, 1) && !vl_known_find(&k, 71), "and forgotten");
	free(all);
	vl_known_deinit(&k);
}

/* ---- lists ---- */

static void item_gone(void *ctx, struct vl_watch_item *i)
{
	size_t len = strlen(told);

	(void)ctx;
	snprintf(told + len, sizeof(told) - len, "%sgone %llu", len ? ", " : "",
		 (unsigned long long)i->at);
}

/* A walk that sees the addresses @ats up to a 0, and takes them for told. */
static void walk_items(struct vl_watch_items *l, const uint64_t *ats)
{
	size_t nr = 0;

	while (ats[nr])
		nr++;
	vl_items_begin(l, nr);
	for (size_t i = 0; i < nr; i++)
		vl_items_see(l, ats[i], 7)->told = true;
	vl_items_end(l, item_gone, NULL);
}

static void test_items(void)
{
	struct vl_watch_items l = { .nr = 0 };
	uint64_t twice[][2] = { { 9, 1 }, { 3, 1 }, { 9, 2 }, { 1, 1 }, { 3, 1 } };

	walk_items(&l, (const uint64_t[]){ 5, 2, 9, 0 });
	walk_items(&l, (const uint64_t[]){ 9, 4, 2, 5, 0 });
	ok(tells("") && l.nr == 4 && l.items[0].seen == 2 && l.items[1].seen == 1,
	   "entries in any order are found again");
	walk_items(&l, (const uint64_t[]){ 2, 4, 9, 0 });
	ok(tells("") && l.nr == 4 && l.pending, "one walk that misses an entry is not enough");
	walk_items(&l, (const uint64_t[]){ 2, 4, 9, 0 });
	ok(tells("gone 5") && l.nr == 3, "two are enough");
	vl_items_begin(&l, 1);
	ok(vl_items_see(&l, 2, 8)->seen == 1 && l.nr == 4,
	   "another port at the same address is another entry");
	free(l.items);
	ok(vl_items_sort(twice, 5, sizeof(twice[0])) == 3 && twice[0][0] == 1 && twice[1][0] == 3 &&
		   twice[2][0] == 9,
	   "an address that a walk has met twice is one");
}

/* A guest can make as many as it likes. */
static void test_many_items(void)
{
	enum { NR = 100000 };
	struct vl_watch_items l = { .nr = 0 };
	uint64_t *ats = calloc(NR + 1, sizeof(*ats)), began = vl_now_ns();

	for (size_t i = 0; i < NR; i++)
		ats[i] = 64 * (NR - i);
	walk_items(&l, ats);
	walk_items(&l, ats);
	ok(l.nr == NR && !l.pending && l.items[NR - 1].seen == 2 &&
		   vl_now_ns() - began < 10 * VL_NSEC_PER_SEC,
	   "100000 entries are found again, in seconds");
	free(l.items);
	free(ats);
}

/* ---- text ---- */

/*
 * A page whose text alternates between @a and @b with each pass, every 30 ms, from the first change
 * on; it had zeros. Returns after how many passes it is told, and as what; 0: never.
 */
static unsigned told_after(unsigned char a, unsigned char b, unsigned char *ret)
{
	static const unsigned char was[4096];
	struct vl_watch_page p = { .first_ns = 1000 };
	unsigned char buf[4096];
	const unsigned char *bytes;

	memset(p.bytes, a, sizeof(p.bytes));
	for (unsigned i = 1; i < 100; i++) {
		memset(buf, i % 2 ? b : a, sizeof(buf));
		bytes = vl_text_at_rest(&p, was, buf, 1000 + i * 30000000UL);
		if (bytes) {
			*ret = *bytes;
			return i;
		}
		memcpy(p.bytes, buf, sizeof(buf));
	}
	return 0;
}

static void test_text(void)
{
	static struct vl_watch_text t = { .nr_pages = VL_WATCH_PAGES };
	static const unsigned char was[4096];
	struct vl_watch_page unread = { .first_ns = 1000, .bytes = { 1 } };
	unsigned char c = 0;

	ok(told_after(5, 5, &c) == 1 && c == 5, "text that rests is told");
	ok(told_after(5, 6, &c) == 34 && c, "text that does not rest is told after a second");
	ok(told_after(5, 0, &c) == 34 && c == 5, "and text that is as it was half of the time");
	ok(!vl_text_at_rest(&unread, was, NULL, 500000000) &&
		   vl_text_at_rest(&unread, was, NULL, 1000001000) == unread.bytes,
	   "and text that can no longer be read");
	for (size_t i = 0; i < VL_WATCH_PAGES; i++)
		t.pages[i].first_ns = i == 40 ? 5 : 10 + i;
	ok(vl_text_oldest(&t) == &t.pages[40], "of many that change, the oldest has to go");
}

int main(void)
{
	test_plain();
	test_gone();
	test_garbage();
	test_reuse();
	test_later();
	test_first_exec();
	test_root();
	test_many();
	test_items();
	test_many_items();
	test_text();
	return tap_end();
}
