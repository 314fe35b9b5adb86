/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "known.h"

#include <stdlib.h>
#include <string.h>

#include "../base/array.h"
#include "watch.h"

#define PF_FORKNOEXEC 0x00000040U /* include/linux/sched.h: no exec since its fork */

/* An exec is put off for so long, until its arguments are in place. A program can have none. */
#define MOST_LATER 500000000UL

void vl_known_deinit(struct vl_known *k)
{
	free(k->tasks);
	free(k->slots);
	*k = (struct vl_known){ .ops = NULL };
}

/* ---- by pid ---- */

static size_t slot_of(const struct vl_known *k, int32_t pid)
{
	/* Fibonacci hashing. */
	return ((uint32_t)pid * 0x9e3779b97f4a7c15) >> 32 & (k->nr_slots - 1);
}

static void put_slot(struct vl_known *k, size_t i)
{
	size_t slot = slot_of(k, k->tasks[i].is.pid);

	while (k->slots[slot])
		slot = (slot + 1) & (k->nr_slots - 1);
	k->slots[slot] = (uint32_t)i + 1;
}

/* Place all in a table of @want slots, a power of two. */
static bool place_all(struct vl_known *k, size_t want)
{
	uint32_t *slots = want == k->nr_slots ? k->slots : calloc(want, sizeof(*slots));

	if (!slots)
		return false;
	if (slots == k->slots)
		memset(slots, 0, want * sizeof(*slots));
	else
		free(k->slots);
	k->slots = slots;
	k->nr_slots = want;
	for (size_t i = 0; i < k->nr; i++)
		put_slot(k, i);
	return true;
}

static struct vl_known_task *find(const struct vl_known *k, int32_t pid)
{
	if (!k->nr_slots)
		return NULL;
	for (size_t slot = slot_of(k, pid); k->slots[slot]; slot = (slot + 1) & (k->nr_slots - 1)) {
		struct vl_known_task *t = &k->tasks[k->slots[slot] - 1];

		if (t->is.pid == pid)
			return t;
	}
	return NULL;
}

const struct vl_seen *vl_known_find(const struct vl_known *k, int32_t pid)
{
	const struct vl_known_task *t = find(k, pid);

	return t ? &t->is : NULL;
}

static void add(struct vl_known *k, const struct vl_seen *s)
{
	size_t want = k->nr_slots ? k->nr_slots : 256;

	if (!vl_grow(k->tasks, k->cap, k->nr, 128)) {
		k->full = true;
		return;
	}
	k->tasks[k->nr++] = (struct vl_known_task){ .is = *s, .round = k->round };
	if (k->nr * 2 <= k->nr_slots) {
		put_slot(k, k->nr - 1);
		return;
	}
	while (want < k->nr * 4)
		want *= 2;
	if (!place_all(k, want)) {
		k->nr--;
		k->full = true;
	}
}

/* ---- what is new ---- */

static bool is_root(const struct vl_seen *s)
{
	return !s->uid || !s->euid;
}

static unsigned news_of(const struct vl_seen *now, const struct vl_seen *was)
{
	unsigned news = 0;

	/* At its end a process gives up its memory. */
	if (now->mm && (now->mm != was->mm || (was->flags & ~now->flags & PF_FORKNOEXEC)))
		news |= VL_NEWS_EXEC;
	if (is_root(now) && !is_root(was))
		news |= VL_NEWS_ROOT;
	if (now->exit_state)
		news |= VL_NEWS_END;
	return news;
}

static void tell(struct vl_known *k, unsigned news, const struct vl_seen *now,
		 const struct vl_seen *was)
{
	static const unsigned order[] = { VL_NEWS_START, VL_NEWS_EXEC, VL_NEWS_ROOT, VL_NEWS_END };

	for (size_t i = 0; !k->silent && i < ARRAY_SIZE(order); i++)
		if (news & order[i])
			k->ops->tell(k->ctx, order[i], now, was);
}

static void see_new(struct vl_known *k, const struct vl_seen *s)
{
	struct vl_seen now = *s;
	enum vl_again again = k->ops->again(k->ctx, &now, NULL);
	unsigned news = VL_NEWS_START;

	if (again == VL_AGAIN_FALSE || again == VL_AGAIN_GONE)
		return;
	if (now.exit_state)
		news |= VL_NEWS_END;
	tell(k, news, &now, NULL);
	/* The event of the exec follows when the program is complete. */
	if (again == VL_AGAIN_LATER)
		now.mm = 0;
	add(k, &now);
	if (now.exit_state && k->nr && k->tasks[k->nr - 1].is.pid == now.pid)
		k->tasks[k->nr - 1].ended = true;
}

/* @t has ended; @now is its last known state. */
static void end(struct vl_known *k, struct vl_known_task *t, const struct vl_seen *now)
{
	if (!t->ended)
		tell(k, VL_NEWS_END, now, &t->is);
	t->ended = true;
}

static void see_known(struct vl_known *k, struct vl_known_task *t, const struct vl_seen *s)
{
	struct vl_seen now = *s, was = t->is;
	unsigned news = news_of(&now, &was);
	enum vl_again again;

	t->round = k->round;
	t->missed = false;
	if (t->ended)
		return;
	if (!news) {
		t->is = now;
		return;
	}
	again = k->ops->again(k->ctx, &now, &was);
	if (again == VL_AGAIN_FALSE)
		return;
	if (again == VL_AGAIN_GONE) {
		end(k, t, &now);
		return;
	}
	news = news_of(&now, &was);
	if (again == VL_AGAIN_LATER && news & VL_NEWS_EXEC) {
		if (!t->later_ns)
			t->later_ns = k->now_ns + 1;
		if (k->now_ns - (t->later_ns - 1) < MOST_LATER) {
			news &= ~(unsigned)VL_NEWS_EXEC;
			now.mm = was.mm;
			now.flags = was.flags;
			memcpy(now.comm, was.comm, sizeof(now.comm));
		}
	}
	if (news & VL_NEWS_EXEC)
		t->later_ns = 0;
	tell(k, news, &now, &was);
	t->is = now;
	t->ended = now.exit_state != 0;
}

void vl_known_see(struct vl_known *k, const struct vl_seen *s)
{
	struct vl_known_task *t;
	struct vl_seen old;

	if (s->pid <= 0 || !vl_watch_is_pid(s->pid))
		return;
	t = find(k, s->pid);
	if (t && t->is.start == s->start) {
		see_known(k, t, s);
		return;
	}
	if (t) {
		/* Its number is in use again, if that other process is real. */
		enum vl_again again;

		old = *s;
		again = k->ops->again(k->ctx, &old, NULL);
		if (again == VL_AGAIN_FALSE || again == VL_AGAIN_GONE)
			return;
		old = t->is;
		old.exit_state = 0;
		end(k, t, &old);
		*t = k->tasks[--k->nr];
		if (!place_all(k, k->nr_slots))
			k->full = true;
	}
	see_new(k, s);
}

void vl_known_begin(struct vl_known *k)
{
	k->round++;
}

void vl_known_end(struct vl_known *k)
{
	size_t kept = 0;

	for (size_t i = 0; i < k->nr; i++) {
		struct vl_known_task *t = &k->tasks[i];
		struct vl_seen now = t->is;
		bool gone = t->ended;

		if (t->round != k->round && !gone) {
			gone = k->ops->again(k->ctx, &now, &t->is) == VL_AGAIN_GONE;
			/*
			 * An exec by another thread moves a process to that thread's task_struct:
			 * without a word of its end, two walks must miss it.
			 */
			if (gone && !now.exit_state && !t->missed) {
				t->missed = true;
				gone = false;
			}
			if (gone)
				end(k, t, &now);
		}
		if (t->round == k->round || !gone)
			k->tasks[kept++] = *t;
	}
	if (kept != k->nr) {
		k->nr = kept;
		if (!place_all(k, k->nr_slots))
			k->full = true;
	}
}
