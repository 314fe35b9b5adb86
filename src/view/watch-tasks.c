/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The processes of a watch. The kernel counts the tasks that it has made, and those that exist.
 * When a count changes, the watch reads the end of the list of processes, where new ones are added.
 * At times it reads all of the list, which also shows events that no count shows: an exec, a
 * zombie, other credentials.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/clock.h"
#include "watching.h"

/* include/linux/sched.h */
#define PF_EXITING 0x00000004U
#define PF_FORKNOEXEC 0x00000040U
#define PF_KTHREAD 0x00200000U
#define EXIT_STATES 0x30U /* EXIT_DEAD, EXIT_ZOMBIE */

#define FIRST_ROOM 512
/* More tasks than that at once: read all. */
#define MOST_TAIL 1024U
/* Tasks are read beyond those that were counted: the next one is added before it is counted. */
#define MORE_TAIL 4U
#define TRIES 4
#define PAGE 4096UL
/* Two CPUs that fork at the same time can add their tasks in the other order. */
#define UNORDERED (VL_NSEC_PER_SEC)

#define OUT(member) offsetof(struct vl_seen, member), sizeof(((struct vl_seen *)0)->member)

const enum vl_field vl_watch_fields[] = {
	VL_F_TASK_TASKS,      VL_F_TASK_PID,   VL_F_TASK_TGID,	      VL_F_TASK_COMM,
	VL_F_TASK_EXIT_STATE, VL_F_TASK_START, VL_F_TASK_FLAGS,	      VL_F_TASK_SIGNAL,
	VL_F_TASK_REAL_CRED,  VL_F_TASK_MM,    VL_F_TASK_REAL_PARENT, VL_F_CRED_UID,
	VL_F_CRED_EUID,	      VL_F_MM_PGD,     VL_F_MM_ARG_START,     VL_F_MM_ARG_END,
	VL_F_SIGNAL_THREADS,  VL_NR_FIELDS,
};

static void choose_fields(struct vl_watcher *w)
{
	struct vl_fields *fs = &w->fields;

	*fs = (struct vl_fields){ .layout = w->l };
	vl_fields_add_plain(fs, VL_FIELD_ADDRESS, offsetof(struct vl_seen, task));
	vl_fields_add(fs, VL_F_TASK_TGID, OUT(pid));
	if (vl_fields_add(fs, VL_F_TASK_START, OUT(start)) < 0)
		vl_fields_add(fs, VL_F_TASK_REAL_START, OUT(start));
	vl_fields_add(fs, VL_F_TASK_COMM, OUT(comm));
	vl_fields_add(fs, VL_F_TASK_FLAGS, OUT(flags));
	vl_fields_add(fs, VL_F_TASK_EXIT_STATE, OUT(exit_state));
	vl_fields_add(fs, VL_F_TASK_EXIT_CODE, OUT(exit_code));
	vl_fields_add(fs, VL_F_TASK_MM, OUT(mm));
	vl_fields_add(fs, VL_F_TASK_REAL_PARENT, OUT(parent));
	vl_fields_add(fs, VL_F_TASK_REAL_CRED, OUT(cred));
	vl_fields_add_through(fs, VL_F_TASK_REAL_CRED, VL_F_CRED_UID, OUT(uid));
	vl_fields_add_through(fs, VL_F_TASK_REAL_CRED, VL_F_CRED_EUID, OUT(euid));
}

/* ---- one process, carefully ---- */

struct gets {
	struct vl_watcher *w;
	struct vl_get items[16];
	size_t nr;
};

static void get(struct gets *g, uint64_t base, enum vl_field f, void *buf, size_t len)
{
	memset(buf, 0, len);
	if (base && vl_has(g->w->l, f) && g->nr < ARRAY_SIZE(g->items))
		g->items[g->nr++] = (struct vl_get){ .va = base + vl_offset(g->w->l, f),
						     .buf = buf,
						     .len = (uint32_t)len };
}

static void get_at(struct gets *g, uint64_t va, void *buf, size_t len)
{
	memset(buf, 0, len);
	g->items[g->nr++] = (struct vl_get){ .va = va, .buf = buf, .len = (uint32_t)len };
}

/* Returns how many could not be read. */
static size_t fetch(struct gets *g)
{
	size_t failed = vl_gather(g->w->g->reader, &g->w->g->space, g->items, g->nr);

	g->nr = 0;
	return failed;
}

/* Fields that decide whether a task is a process. */
struct more {
	int32_t tid, alive;
	uint64_t signal, arg_start, arg_end;
	bool linked;
};

/* Read @s->task: its fields, and what they lead to. False: it cannot be read, or changes. */
static bool read_once(struct vl_watcher *w, struct vl_seen *s, struct more *m)
{
	const uint64_t task = s->task, node = task + vl_offset(w->l, VL_F_TASK_TASKS);
	const enum vl_field start =
		vl_has(w->l, VL_F_TASK_START) ? VL_F_TASK_START : VL_F_TASK_REAL_START;
	uint64_t cred, mm, forth, back, links[2];
	struct gets g = { .w = w };

	*s = (struct vl_seen){ .task = task };
	get(&g, task, VL_F_TASK_TGID, &s->pid, sizeof(s->pid));
	get(&g, task, VL_F_TASK_PID, &m->tid, sizeof(m->tid));
	get(&g, task, start, &s->start, sizeof(s->start));
	get(&g, task, VL_F_TASK_COMM, s->comm, sizeof(s->comm));
	get(&g, task, VL_F_TASK_FLAGS, &s->flags, sizeof(s->flags));
	get(&g, task, VL_F_TASK_MM, &s->mm, sizeof(s->mm));
	get(&g, task, VL_F_TASK_REAL_PARENT, &s->parent, sizeof(s->parent));
	get(&g, task, VL_F_TASK_REAL_CRED, &s->cred, sizeof(s->cred));
	get(&g, task, VL_F_TASK_SIGNAL, &m->signal, sizeof(m->signal));
	get(&g, task, VL_F_TASK_TASKS, links, sizeof(links));
	get(&g, task, VL_F_TASK_EXIT_STATE, &s->exit_state, sizeof(s->exit_state));
	get(&g, task, VL_F_TASK_EXIT_CODE, &s->exit_code, sizeof(s->exit_code));
	if (fetch(&g))
		return false;
	get(&g, s->cred, VL_F_CRED_UID, &s->uid, sizeof(s->uid));
	get(&g, s->cred, VL_F_CRED_EUID, &s->euid, sizeof(s->euid));
	get(&g, s->mm, VL_F_MM_ARG_START, &m->arg_start, sizeof(m->arg_start));
	get(&g, s->mm, VL_F_MM_ARG_END, &m->arg_end, sizeof(m->arg_end));
	get(&g, m->signal, VL_F_SIGNAL_THREADS, &m->alive, sizeof(m->alive));
	get_at(&g, links[0] + 8, &back, sizeof(back));
	get_at(&g, links[1], &forth, sizeof(forth));
	/* The links of a task that was removed lead nowhere. */
	fetch(&g);
	m->linked = back == node && forth == node;
	get(&g, task, VL_F_TASK_REAL_CRED, &cred, sizeof(cred));
	get(&g, task, VL_F_TASK_MM, &mm, sizeof(mm));
	return !fetch(&g) && cred == s->cred && (mm == s->mm || !mm);
}

static enum vl_again again(void *ctx, struct vl_seen *s, const struct vl_seen *was)
{
	struct vl_watcher *w = ctx;
	struct vl_seen now = { .task = s->task };
	struct more m = { .tid = 0 };
	bool read = false;

	/* When the next task is added behind it, its links change, too. */
	for (unsigned i = 0; i < TRIES && !(read && (m.linked || now.exit_state)); i++)
		read = read_once(w, &now, &m);
	if (!read || now.pid != s->pid || now.start != s->start || m.tid != now.pid) {
		s->exit_state = 0;
		return was ? VL_AGAIN_GONE : VL_AGAIN_FALSE;
	}
	/* Its first thread has ended; others go on. */
	if (now.exit_state && m.alive > 1 && m.linked)
		now.exit_state = 0;
	if (!m.linked) {
		if (!(now.exit_state & EXIT_STATES) || !(now.flags & PF_EXITING) ||
		    now.start + UNORDERED < (was ? 0 : w->newest))
			return VL_AGAIN_FALSE;
		/* Its credentials can be another's already. */
		now.uid = was ? was->uid : s->uid;
		now.euid = was ? was->euid : s->euid;
	}
	*s = now;
	if (w->newest < now.start)
		w->newest = now.start;
	if (was && now.exit_state && !m.linked)
		return VL_AGAIN_GONE;
	/* Its new memory, and its flag, are there before its arguments. */
	if (now.mm && m.arg_end <= m.arg_start &&
	    (was ? now.mm != was->mm || (was->flags & ~now.flags & PF_FORKNOEXEC) :
		   !(now.flags & PF_FORKNOEXEC)))
		return VL_AGAIN_LATER;
	return VL_AGAIN_TRUE;
}

/* ---- events ---- */

/* Put the command line of @s into @e, with blanks for the NULs. */
static void put_command(struct vl_watcher *w, const struct vl_seen *s, struct vl_watch_event *e)
{
	uint64_t pgd = 0, start = 0, end = 0, len, done = 0;
	struct gets g = { .w = w };
	struct vl_space space;
	char text[VL_WATCH_WORDS];

	get(&g, s->mm, VL_F_MM_PGD, &pgd, sizeof(pgd));
	get(&g, s->mm, VL_F_MM_ARG_START, &start, sizeof(start));
	get(&g, s->mm, VL_F_MM_ARG_END, &end, sizeof(end));
	if (!s->mm || fetch(&g) || !pgd || end <= start ||
	    vl_reader_pgd(w->g->reader, pgd, false, &space))
		return;
	len = end - start < sizeof(text) ? end - start : sizeof(text);
	while (done < len) {
		uint64_t va = start + done, n = PAGE - va % PAGE;

		n = n < len - done ? n : len - done;
		if (vl_read(w->g->reader, &space, va, text + done, n))
			break;
		done += n;
	}
	while (done && !text[done - 1])
		done--;
	for (uint64_t i = 0; i < done; i++)
		text[i] = text[i] ? text[i] : ' ';
	vl_watch_text(e, text, done);
	if (len < end - start)
		e->flags |= VL_WATCH_CUT;
}

static struct vl_watch_event *add(struct vl_watcher *w, enum vl_watch_kind kind,
				  const struct vl_seen *s)
{
	struct vl_watch_event *e = vl_watch_add(w, kind);
	struct gets g = { .w = w };
	int32_t ppid;

	if (!e)
		return NULL;
	get(&g, s->parent, VL_F_TASK_TGID, &ppid, sizeof(ppid));
	fetch(&g);
	vl_watch_pids(e, s->pid, ppid);
	e->uid = s->uid;
	e->euid = s->euid;
	e->start_ns = s->start;
	e->flags = VL_WATCH_IDS | (s->flags & PF_KTHREAD ? VL_WATCH_KERNEL : 0);
	vl_watch_name(e, s->comm, strnlen(s->comm, sizeof(s->comm)));
	return e;
}

/* Has the program that it executes made it root, before it was seen as its parent's user? */
static bool rises(struct vl_watcher *w, const struct vl_seen *s, int32_t ppid)
{
	const struct vl_seen *parent = vl_known_find(&w->known, ppid);

	return s->uid && !s->euid && parent && parent->uid && parent->euid;
}

static void tell(void *ctx, unsigned news, const struct vl_seen *now, const struct vl_seen *was)
{
	struct vl_watcher *w = ctx;
	struct vl_watch_event *e;
	char text[64];

	(void)was;
	switch (news) {
	case VL_NEWS_START:
		w->figures.processes++;
		e = add(w, VL_WATCH_START, now);
		if (e)
			put_command(w, now, e);
		if (e && rises(w, now, e->ppid))
			tell(ctx, VL_NEWS_ROOT, now, NULL);
		break;
	case VL_NEWS_EXEC:
		e = add(w, VL_WATCH_EXEC, now);
		if (e)
			put_command(w, now, e);
		break;
	case VL_NEWS_ROOT:
		e = add(w, VL_WATCH_ROOT, now);
		if (e && was)
			vl_watch_text(e, text,
				      (size_t)snprintf(text, sizeof(text),
						       "uid %u to %u, euid %u to %u", was->uid,
						       now->uid, was->euid, now->euid));
		else if (e)
			vl_watch_text(e, text,
				      (size_t)snprintf(text, sizeof(text), "uid %u, euid %u",
						       now->uid, now->euid));
		break;
	case VL_NEWS_END:
		e = add(w, VL_WATCH_END, now);
		if (e && now->exit_state && vl_has(w->l, VL_F_TASK_EXIT_CODE)) {
			e->status = now->exit_code;
			e->flags |= VL_WATCH_STATUS;
		}
		break;
	}
}

static const struct vl_known_ops ops = { again, tell };

/* ---- walks ---- */

static bool make_room(struct vl_watcher *w, size_t room)
{
	struct vl_seen *records;
	uint8_t *status;

	if (room <= w->room)
		return true;
	records = calloc(room, sizeof(*records));
	status = calloc(room, w->fields.nr);
	if (!records || !status) {
		free(records);
		free(status);
		return false;
	}
	free(w->records);
	free(w->status);
	w->records = records;
	w->status = status;
	w->room = room;
	return true;
}

/* Walk over up to @max processes, from the last one on with @back; *@nr_ret were read. */
static enum vl_read_status walk(struct vl_watcher *w, bool back, size_t max, size_t *nr_ret)
{
	struct vl_walk walk = {
		.kind = VL_WALK_LIST,
		.node = vl_offset(w->l, VL_F_TASK_TASKS),
		.head = w->init + vl_offset(w->l, VL_F_TASK_TASKS),
		.next = back ? 8 : 0,
		.fields = w->fields.f,
		.nr_fields = w->fields.nr,
		.records = w->records,
		.status = w->status,
		.stride = sizeof(*w->records),
		.max = max,
	};
	struct vl_walked walked = { .nr = 0 };

	vl_walk(w->g->reader, &w->g->space, &walk, &walked);
	*nr_ret = walked.nr < max ? walked.nr : max;
	return walked.status;
}

static void see_tail(struct vl_watcher *w, size_t max)
{
	enum vl_read_status st = VL_READ_GARBAGE;
	size_t nr = 0;

	if (!make_room(w, max))
		return;
	/* The links of a task that is removed meanwhile lead nowhere. */
	for (unsigned i = 0; i < TRIES && st != VL_READ_OK && st != VL_READ_MORE; i++) {
		st = walk(w, true, max, &nr);
		for (size_t k = nr; k; k--)
			vl_known_see(&w->known, &w->records[k - 1]);
	}
}

/* False: the walk broke off. */
static bool see_all(struct vl_watcher *w)
{
	enum vl_read_status st;
	size_t nr;

	do {
		st = walk(w, false, w->room, &nr);
	} while (st == VL_READ_MORE && w->room < VL_COLLECT_MAX && make_room(w, 2 * w->room));
	w->figures.walks++;
	vl_known_begin(&w->known);
	for (size_t k = 0; k < nr; k++)
		vl_known_see(&w->known, &w->records[k]);
	if (st == VL_READ_OK)
		vl_known_end(&w->known);
	return st == VL_READ_OK;
}

/* ---- passes ---- */

struct counts {
	uint64_t forks, prev;
	int32_t threads;
};

static bool read_counts(struct vl_watcher *w, struct counts *c)
{
	struct gets g = { .w = w };

	*c = (struct counts){ .forks = 0 };
	if (w->forks_at)
		get_at(&g, w->forks_at, &c->forks, sizeof(c->forks));
	if (w->threads_at)
		get_at(&g, w->threads_at, &c->threads, sizeof(c->threads));
	get_at(&g, w->init + vl_offset(w->l, VL_F_TASK_TASKS) + 8, &c->prev, sizeof(c->prev));
	w->figures.looks++;
	return !fetch(&g);
}

struct vl_error *vl_watch_tasks_open(struct vl_watcher *w)
{
	const enum vl_field need[] = { VL_F_TASK_TASKS, VL_F_TASK_TGID, VL_F_TASK_PID,
				       VL_F_TASK_EXIT_STATE, VL_F_TASK_FLAGS };
	struct vl_error *err = vl_need_fields(w->g, need, ARRAY_SIZE(need), "the task list");
	struct counts c;

	if (!err)
		err = vl_need_symbol(w->g, "init_task", "the task list", &w->init);
	if (err)
		return err;
	w->forks_at = vl_symbol(w->g->attach->kernel, "total_forks");
	w->threads_at = vl_symbol(w->g->attach->kernel, "nr_threads");
	w->known = (struct vl_known){ .ops = &ops, .ctx = w, .silent = true };
	choose_fields(w);
	if (!make_room(w, FIRST_ROOM))
		return vl_error_nomem();
	read_counts(w, &c);
	for (unsigned i = 0; !see_all(w); i++)
		if (i == 16 * TRIES)
			return vl_error_hint(
				vl_error_new(VL_ERR_KERNEL,
					     "the list of processes runs into garbage"),
				"it is damaged, or the guest is not up yet");
	w->known.silent = false;
	w->forks = w->forks_first = c.forks;
	w->threads = c.threads;
	w->prev = c.prev;
	w->figures.counts = w->forks_at != 0;
	vl_watch_threads_open(w);
	return NULL;
}

void vl_watch_tasks_close(struct vl_watcher *w)
{
	vl_known_deinit(&w->known);
	free(w->records);
	free(w->status);
}

struct vl_error *vl_watch_tasks(struct vl_watcher *w, uint64_t now)
{
	struct counts c;
	uint64_t made;

	if (!read_counts(w, &c))
		return vl_error_new(VL_ERR_FAULT, "the kernel's counters cannot be read");
	w->known.now_ns = now;
	made = c.forks - w->forks;
	/* The number of released tasks: those made less those that exist. */
	w->moved = w->moved || made != (uint64_t)(int64_t)(c.threads - w->threads);
	if (made || c.prev != w->prev) {
		if (made > MOST_TAIL)
			w->moved = true;
		see_tail(w, (made > MOST_TAIL ? MOST_TAIL : (size_t)made) + MORE_TAIL);
	}
	w->forks = c.forks;
	w->threads = c.threads;
	w->prev = c.prev;
	w->figures.made = c.forks - w->forks_first;
	if (vl_watch_due(&w->whole, now) || (w->moved && vl_watch_due(&w->soon, now))) {
		w->moved = !see_all(w);
		vl_watch_did(w, &w->soon, now, 12, 0);
		vl_watch_did(w, &w->whole, now, 6, 0);
	}
	vl_watch_threads(w, now);
	return w->known.full ? vl_error_nomem() : NULL;
}
