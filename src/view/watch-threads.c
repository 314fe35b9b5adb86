/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A watch counts threads; they are no events. The kernel's count of the tasks that it has made
 * includes them. If that is larger than the number of processes that were seen, all ids are read
 * (init_pid_ns).
 */
#include <stdlib.h>

#include "../attach/attach.h"
#include "../base/array.h"
#include "../base/clock.h"
#include "watching.h"

#define WEIGHT 3
#define LEAST (1 * VL_NSEC_PER_MSEC)
/* Start times beyond what the guest's clock can be are garbage. */
#define AHEAD (60 * VL_NSEC_PER_SEC)
/* enum pid_type, include/linux/pid_types.h: PIDTYPE_PID is 0. */

struct thread {
	uint64_t start;
	int32_t pid, tgid;
};

static void add(struct vl_fields *fs, int32_t link, int32_t node, enum vl_field f, size_t out,
		uint16_t size)
{
	fs->f[fs->nr++] = (struct vl_walk_field){
		.kind = VL_FIELD_BYTES,
		.derefs = 1,
		.size = size,
		.out = (uint32_t)out,
		.offset = { link, (int32_t)vl_offset(fs->layout, f) - node },
	};
}

/* All tasks by their ids; false: they cannot be read. */
static bool collect(struct vl_watcher *w, struct thread **ret, size_t *nr_ret)
{
	const enum vl_field need[] = { VL_F_PIDNS_HEAD, VL_F_PID_TASKS, VL_F_XA_SHIFT,
				       VL_F_XA_SLOTS,	VL_F_XA_MARKS,	VL_F_TASK_PID_LINKS };
	const enum vl_field start =
		vl_has(w->l, VL_F_TASK_START) ? VL_F_TASK_START : VL_F_TASK_REAL_START;
	const int32_t link = (int32_t)vl_offset(w->l, VL_F_PID_TASKS),
		      node = (int32_t)vl_offset(w->l, VL_F_TASK_PID_LINKS);
	uint64_t ns = vl_symbol(w->g->attach->kernel, "init_pid_ns");
	struct vl_fields fs = { .layout = w->l };
	struct vl_walk walk = {
		.kind = VL_WALK_XARRAY,
		.head = ns + vl_offset(w->l, VL_F_PIDNS_HEAD),
		.xa_shift = vl_offset(w->l, VL_F_XA_SHIFT),
		.xa_slots = vl_offset(w->l, VL_F_XA_SLOTS),
		.xa_nr_slots =
			(vl_offset(w->l, VL_F_XA_MARKS) - vl_offset(w->l, VL_F_XA_SLOTS)) / 8,
		.stride = sizeof(struct thread),
	};
	bool is_known = ns && vl_has(w->l, start);

	for (size_t i = 0; i < ARRAY_SIZE(need); i++)
		is_known = is_known && vl_has(w->l, need[i]);
	if (!is_known)
		return false;
	add(&fs, link, node, start, offsetof(struct thread, start), 8);
	add(&fs, link, node, VL_F_TASK_PID, offsetof(struct thread, pid), 4);
	add(&fs, link, node, VL_F_TASK_TGID, offsetof(struct thread, tgid), 4);
	if (vl_discard(vl_collect(w->g, &walk, &fs, "the tree of ids", nr_ret))) {
		free(walk.records);
		return false;
	}
	*ret = walk.records;
	return true;
}

static void take(struct vl_watcher *w, const struct thread *t, size_t nr, bool count)
{
	uint64_t newest = w->newest_thread,
		 ran = w->figures.began_ns ? vl_now_ns() - w->figures.began_ns : 0;

	for (size_t i = 0; i < nr; i++) {
		if (!t[i].pid || t[i].pid == t[i].tgid || t[i].start <= w->newest_thread)
			continue;
		if (w->newest && t[i].start > w->newest_first + 2 * ran + AHEAD)
			continue;
		w->figures.threads += count;
		newest = newest > t[i].start ? newest : t[i].start;
	}
	w->newest_thread = newest;
}

void vl_watch_threads(struct vl_watcher *w, uint64_t now)
{
	const struct vl_watch_figures *f = &w->figures;
	struct thread *t;
	size_t nr;

	if (f->made <= f->processes + f->threads + w->unseen || !vl_watch_due(&w->ids, now) ||
	    !collect(w, &t, &nr))
		return;
	take(w, t, nr, true);
	free(t);
	/* Tasks that are not found now have ended. */
	if (f->made > f->processes + f->threads)
		w->unseen = f->made - f->processes - f->threads;
	vl_watch_did(w, &w->ids, now, WEIGHT, LEAST);
}

void vl_watch_threads_open(struct vl_watcher *w)
{
	struct thread *t;
	size_t nr;

	w->newest_first = w->newest;
	if (!collect(w, &t, &nr))
		return;
	take(w, t, nr, false);
	/* Threads that are older than the latest process are none of ours. */
	if (w->newest_thread < w->newest)
		w->newest_thread = w->newest;
	free(t);
}
