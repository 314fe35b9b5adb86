/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Questions to a running guest: what changes is noticed, and nothing else. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tap.h"
#include "host/internal.h"

/* Each layer has its own, of its own type. */
#undef VL_PAGE_SIZE
#include "mem/snapshot.h"

#define PAGES 256UL

static struct vl_target target; /* this process plays the hypervisor */
static unsigned char *ram;
static struct vl_snapshot *view;

static volatile unsigned char *page(size_t i)
{
	return vl_snapshot_host(view, i * VL_PAGE_SIZE, VL_PAGE_SIZE);
}

static unsigned char touch(size_t i)
{
	return page(i)[8];
}

/* Pages that have changed; -1: an error. */
static int changed(void)
{
	size_t nr;

	return vl_discard(vl_snapshot_recheck(view, 1, &nr)) ? -1 : (int)nr;
}

static bool ask(bool again)
{
	return !vl_discard(vl_snapshot_ask(view, again));
}

static void test_change(void)
{
	ok(ask(false) && touch(1) == 1 && touch(2) == 2 && changed() == 0, "nothing has changed");
	page(1)[8] = 99;
	ok(changed() == 0 && ram[VL_PAGE_SIZE + 8] == 1, "what the clone writes is no change");
	ok(ask(true) && touch(1) == 1, "asked again, it is undone");
	page(2)[8] = 99;
	ok(ask(false) && touch(2) == 2, "so it is for the next question");
	ram[2 * VL_PAGE_SIZE + 4095] = 7;
	ok(touch(2) == 2 && changed() == 1, "a change of the guest's is noticed");
	ok(ask(true) && page(2)[4095] == 7 && changed() == 0, "and seen when asked again");
	page(2)[4095] = 8;
	ram[2 * VL_PAGE_SIZE + 4095] = 8;
	ok(changed() == 1, "one to what the clone has written, too");
	ram[5 * VL_PAGE_SIZE] = 1;
	ok(ask(true) && changed() == 0, "one of a page that was not touched is none");
}

static void test_whole(void)
{
	ok(ask(false) && touch(40) == 40 && touch(41) == 41 && !vl_snapshot_is_whole(view),
	   "what is copied as it is touched is of no one point in time");
	ok(changed() == 0 && vl_snapshot_is_whole(view), "read again and the same, they are");
	ok(touch(41) == 41 && vl_snapshot_is_whole(view),
	   "and so is the next answer on these alone");
	ok(touch(43) == 43 && !vl_snapshot_is_whole(view), "but not one on a page besides");
	ok(changed() == 0, "until they are read again");
	ram[40 * VL_PAGE_SIZE + 8] = 50;
	ok(changed() == 1 && vl_snapshot_is_whole(view),
	   "after a change all are of one point in time");
	ram[41 * VL_PAGE_SIZE + 8] = 51;
	ok(ask(true) && touch(40) == 50 && touch(41) == 41 && vl_snapshot_is_whole(view),
	   "and so is the answer");
	ok(ask(false) && touch(40) == 50 && touch(41) == 51 && vl_snapshot_is_whole(view),
	   "the next question is of the next point in time");
	ok(touch(42) == 42 && !vl_snapshot_is_whole(view),
	   "but for a page that it touches besides");
	ok(changed() == 0 && ask(false) && !vl_snapshot_is_whole(view),
	   "a guest that rests is looked at afterwards, as before");
}

/* Pages beside still ones are copied when they are touched, each by itself. */
static void test_still(void)
{
	const struct vl_snapshot_still still[VL_MAX_STILL] = { { 194 * VL_PAGE_SIZE,
								 6 * VL_PAGE_SIZE } };

	vl_snapshot_set_still(view, still);
	ok(ask(false) && touch(198) == 198 && touch(193) == 193 && touch(201) == 201,
	   "a still page, and two beside them");
	ram[193 * VL_PAGE_SIZE + 8] = 1;
	ram[201 * VL_PAGE_SIZE + 8] = 2;
	ram[203 * VL_PAGE_SIZE + 8] = 3;
	ok(changed() == 2 && touch(203) == 3,
	   "that is noticed of these, and no other is there yet");
	ram[203 * VL_PAGE_SIZE + 8] = 203;
	ok(changed() == 1 && changed() == 0, "and then of it");
	vl_snapshot_set_still(view, (struct vl_snapshot_still[VL_MAX_STILL]){ { 0 } });
}

static _Atomic bool enough;

/* The first is never behind the last. */
static void *count(void *arg)
{
	volatile unsigned *first = (void *)(ram + 50 * VL_PAGE_SIZE + 64);
	volatile unsigned *last = (void *)(ram + 51 * VL_PAGE_SIZE + 64);

	while (!enough) {
		++*first;
		++*last;
	}
	return arg;
}

/* Two pages that change all the time: if they are of one point in time, they agree. */
static void test_moments(void)
{
	unsigned wrong = 0;
	pthread_t thread;

	ok(ask(false) && touch(51) == 51 && touch(50) == 50, "two pages");
	ok(!pthread_create(&thread, NULL, count, NULL), "that never rest");
	for (int i = 0; i < 2000; i++) {
		unsigned first, last;

		wrong += changed() < 0 || !ask(i & 1);
		memcpy(&first, (void *)(page(50) + 64), sizeof(first));
		memcpy(&last, (void *)(page(51) + 64), sizeof(last));
		wrong += vl_snapshot_is_whole(view) && first - last > 1;
	}
	enough = true;
	pthread_join(thread, NULL);
	ok(!wrong && changed() >= 0, "are never shown as of one point in time when they are not");
}

static bool collect(void)
{
	bool ret;
	int64_t at;

	return !vl_discard(vl_snapshot_collect(view, &ret, &at)) && ret;
}

/* The same pages, and others, copied while they change: of one point in time, or it says no. */
static void test_collect(void)
{
	const uint64_t gpas[] = { 50 * VL_PAGE_SIZE, 51 * VL_PAGE_SIZE, 60 * VL_PAGE_SIZE };
	unsigned wrong = 0, good = 0;
	pthread_t thread;

	vl_snapshot_keep(view, NULL, 0);
	ok(!vl_discard(vl_snapshot_refresh(view, gpas, 3)) && collect() && touch(60) == 60,
	   "three pages that stand still are of one point in time");
	ram[60 * VL_PAGE_SIZE + 8] = 1;
	ok(collect() && touch(60) == 1, "one that changed is read anew");
	vl_snapshot_release(view);
	ok(!vl_snapshot_missed(view) && touch(61) == 61 && vl_snapshot_missed(view),
	   "one that was not copied is noticed");
	ram[60 * VL_PAGE_SIZE + 8] = 60;
	enough = false;
	ok(!pthread_create(&thread, NULL, count, NULL), "two that never rest");
	for (int i = 0; i < 20000; i++) {
		unsigned first, last;

		wrong += vl_discard(vl_snapshot_refresh(view, gpas, 3));
		if (!collect())
			continue;
		good++;
		memcpy(&first, (void *)(page(50) + 64), sizeof(first));
		memcpy(&last, (void *)(page(51) + 64), sizeof(last));
		wrong += first - last > 1;
	}
	enough = true;
	pthread_join(thread, NULL);
	ok(!wrong, "are never taken for one point in time when they are not (%u were)", good);
}

/* A proxy that records each reading of two pages, and changes one of them so often before it. */
enum { RESTS = 80, RESTLESS = 81 };
static struct {
	char read[64];
	size_t nr;
	unsigned changes;
} seen;

static struct vl_error *visit_pages(void *ctx, const uint64_t *gpas, size_t nr,
				    vl_page_visit_fn *fn, void *fn_ctx)
{
	(void)ctx;
	for (size_t i = 0; i < nr; i++) {
		if (gpas[i] == RESTLESS * VL_PAGE_SIZE && seen.changes) {
			seen.changes--;
			ram[gpas[i] + 8]++;
		}
		fn(fn_ctx, i, ram + gpas[i]);
		if (seen.nr < sizeof(seen.read) - 1 && gpas[i] == RESTS * VL_PAGE_SIZE)
			seen.read[seen.nr++] = '-';
		else if (seen.nr < sizeof(seen.read) - 1 && gpas[i] == RESTLESS * VL_PAGE_SIZE)
			seen.read[seen.nr++] = '*';
	}
	return NULL;
}

/* Pages that change often are read closest together: alone, until they agree, then all others. */
static void test_order(void)
{
	static const struct vl_target_proxy proxy = { .visit_pages = visit_pages };
	const uint64_t gpas[] = { RESTS * VL_PAGE_SIZE, RESTLESS * VL_PAGE_SIZE };

	ok(ask(false) && touch(RESTS) == RESTS && touch(RESTLESS) == RESTLESS, "two pages");
	target.proxy = &proxy;
	memset(&seen, 0, sizeof(seen));
	seen.changes = 3;
	ok(changed() == 1 && vl_snapshot_is_whole(view) && !strcmp(seen.read, "-*-***-"),
	   "questions: the page that changes is read alone: %s", seen.read);
	target.proxy = NULL;
	vl_snapshot_ask_end(view);
	vl_snapshot_keep(view, NULL, 0);
	ok(!vl_discard(vl_snapshot_refresh(view, gpas, 2)), "a copy of both");
	target.proxy = &proxy;
	memset(&seen, 0, sizeof(seen));
	seen.changes = 3;
	ok(collect() && !strcmp(seen.read, "-****-"), "a copy: it is read alone: %s", seen.read);
	seen.changes = 100;
	ok(!collect(), "a page that never rests: no point in time");
	target.proxy = NULL;
	vl_snapshot_release(view);
}

static void test_take(void)
{
	ok(ask(false) && touch(10) == 10 && vl_snapshot_asked(view) > 0, "a question");
	ram[10 * VL_PAGE_SIZE + 8] = 50;
	ok(changed() == 1, "changes");
	ram[10 * VL_PAGE_SIZE + 8] = 51;
	ok(!vl_snapshot_take(view), "taken");
	ram[10 * VL_PAGE_SIZE + 8] = 52;
	ok(ask(true) && touch(10) == 51 && !vl_snapshot_missed(view),
	   "of the moment of the taking");
	ok(touch(11) == 11 && vl_snapshot_missed(view), "a page that was not taken is missed");
	ok(changed() == 1 && ask(true) && touch(10) == 52 && !vl_snapshot_missed(view),
	   "read again, it is asked of the guest that runs");
	ok(touch(12) == 12 && !vl_snapshot_missed(view), "where nothing is missed");
}

static void test_forget(void)
{
	uint64_t *gpas = NULL;
	size_t nr = 0, found = 0;
	bool same = true;

	ok(ask(false) && touch(20) == 20, "a page that one question touches");
	for (int i = 0; i < 60; i++)
		same &= ask(false) && touch(21) == 21 && changed() == 0;
	ram[20 * VL_PAGE_SIZE] = 1;
	ok(same && changed() == 0, "is not looked at for ever");
	ok(touch(20) == 20 && changed() == 0, "and is of now when it is touched");
	for (int i = 0; i < 200; i++)
		same &= ask(false) && touch(21) == 21 && changed() == 0;
	ram[21 * VL_PAGE_SIZE] = 1;
	ok(same && changed() == 1, "one that all touch stays, and its change is noticed");
	ok(!vl_snapshot_all_asked(view, &gpas, &nr), "all that were touched");
	for (size_t i = 0; i < nr; i++)
		found += gpas[i] == 20 * VL_PAGE_SIZE || gpas[i] == 21 * VL_PAGE_SIZE;
	ok(found == 2, "are known");
	free(gpas);
}

/* Epochs of many answers: the time in answers from one to the next is long. */
static void test_epochs(void)
{
	bool good = true;
	size_t nr;

	for (int i = 0; i < 6; i++) {
		good &= ask(false) && touch(90) == 90 && (i != 2 || touch(91) == 91);
		good &= !vl_discard(vl_snapshot_recheck(view, 500, &nr)) && !nr;
	}
	good &= ask(false) && !vl_discard(vl_snapshot_recheck(view, 500, &nr)) && ask(false);
	ram[91 * VL_PAGE_SIZE] = 1;
	ok(good && changed() == 0, "a page that one of them touched is not looked at");
	ram[90 * VL_PAGE_SIZE] = 1;
	ok(changed() == 1, "one that all touched stays");
}

/* Pages that are dropped together, and one between them that stays. */
static void test_gap(void)
{
	bool good = true;
	size_t nr;

	for (int i = 0; i < 6; i++) {
		good &= ask(false) && touch(141) == 141;
		good &= i != 2 || (touch(138) == 138 && touch(140) == 140 && touch(144) == 144);
		good &= !vl_discard(vl_snapshot_recheck(view, 500, &nr)) && !nr;
	}
	good &= ask(false);
	for (size_t i = 138; i < 145; i++)
		ram[i * VL_PAGE_SIZE + 8] = 1;
	ok(good && touch(141) == 141, "a page that stays is as it was");
	ok(touch(138) == 1 && touch(140) == 1 && touch(144) == 1, "those around it are read anew");
	ok(changed() == 1, "and only its change is noticed");
}

static void test_copy(void)
{
	const uint64_t gpas[] = { 30 * VL_PAGE_SIZE, 31 * VL_PAGE_SIZE };

	ram[21 * VL_PAGE_SIZE + 8] = 77;
	ok(!vl_snapshot_refresh(view, gpas, 2), "a copy after questions");
	vl_snapshot_release(view);
	ok(touch(30) == 30 && touch(31) == 31 && !vl_snapshot_missed(view), "has its pages");
	ok(touch(21) == 77 && !vl_snapshot_missed(view), "and theirs, as they are now");
	ok(ask(false) && touch(30) == 30 && !vl_snapshot_missed(view) && changed() == 0,
	   "and questions again");
}

/* A page is recorded once, however often it is dropped and touched again. */
static void test_once(void)
{
	uint64_t *gpas = NULL;
	size_t nr = 0, more;
	bool good = true, once = true;

	for (size_t i = 0; i < 3; i++) {
		good &= ask(false) && touch(60) == 60 && touch(62) == 62 && touch(61) == 61;
		/* None of them lingers for so many questions. */
		good &= !vl_discard(vl_snapshot_recheck(view, 500, &more));
	}
	good &= !vl_discard(vl_snapshot_all_asked(view, &gpas, &nr));
	for (size_t i = 1; i < nr; i++)
		once &= gpas[i - 1] < gpas[i];
	ok(good && once && nr >= 3, "each page that questions touched is listed once");
	free(gpas);
}

static void test_unreadable(void)
{
	unsigned char *at = ram + 64 * VL_PAGE_SIZE;

	ok(ask(false) && touch(64) == 64 && touch(65) == 65 && changed() == 0, "two pages");
	mprotect(at, VL_PAGE_SIZE, PROT_NONE);
	ok(changed() == -1 && !vl_snapshot_is_whole(view),
	   "one that cannot be read any more is an error, and of no point in time");
	mprotect(at, VL_PAGE_SIZE, PROT_READ | PROT_WRITE);
	ok(changed() == 0 && vl_snapshot_is_whole(view), "and then of one again");
}

static void no_filter(void *ctx, uint64_t gpa, unsigned char *bytes)
{
	(void)ctx;
	(void)gpa;
	(void)bytes;
}

/* In a trusted run the snapshot has the trusted text of a module, in place of the guest's. */
static void test_code(void)
{
	const uint64_t at = 220 * VL_PAGE_SIZE;

	vl_snapshot_set_filter(view, no_filter, NULL);
	ok(ask(false) && touch(220) == 220, "a page of code");
	page(220)[100] = 0xcc;
	ok(vl_snapshot_note_code(view, at) && !vl_snapshot_still_changed(view, false),
	   "other text than the guest's is no change of the guest's");
	ram[at + 200] = 0xcc;
	ok(vl_snapshot_still_changed(view, false), "but a change is one");
	vl_snapshot_set_filter(view, NULL, NULL);
}

int main(void)
{
	target.pid = getpid();
	target.pidfd = target.proc_mem = target.lock_fd = -1;
	ram = mmap(NULL, PAGES * VL_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		   -1, 0);
	for (size_t i = 0; i < PAGES; i++)
		ram[i * VL_PAGE_SIZE + 8] = (unsigned char)i;
	vl_error_destroy(vl_ram_add(
		&target, &(struct vl_ram){ 0, PAGES * VL_PAGE_SIZE, (uintptr_t)ram, -1, 0, 4096 }));
	vl_error_destroy(vl_ram_finish(&target));
	if (vl_discard(vl_snapshot_create(&target, false, &view))) {
		printf("1..0 # SKIP no userfaultfd here\n");
		return 0;
	}
	test_change();
	test_whole();
	test_still();
	test_moments();
	test_take();
	test_forget();
	test_copy();
	test_epochs();
	test_gap();
	test_once();
	test_unreadable();
	ok(vl_snapshot_asked(view) > 0, "pages of questions");
	vl_snapshot_ask_end(view);
	ok(!vl_snapshot_asked(view), "are forgotten with the last question");
	test_collect();
	test_order();
	test_code();
	vl_snapshot_destroy(view);
	vl_ram_deinit(&target);
	return tap_end();
}
