/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by all parts of a watch: they add events, and keep within their share. */
#include <string.h>

#include "../base/array.h"
#include "../base/clock.h"
#include "watching.h"

#define SIXTEENTHS 16
#define MOST 65536U /* events in one answer */

static unsigned group_of(enum vl_watch_kind kind)
{
	static const unsigned groups[VL_NR_WATCH_KINDS] = {
		[VL_WATCH_START] = VL_WATCH_PROCESSES,	[VL_WATCH_EXEC] = VL_WATCH_PROCESSES,
		[VL_WATCH_END] = VL_WATCH_PROCESSES,	[VL_WATCH_ROOT] = VL_WATCH_UIDS,
		[VL_WATCH_LOADED] = VL_WATCH_MODULES,	[VL_WATCH_UNLOADED] = VL_WATCH_MODULES,
		[VL_WATCH_LISTEN] = VL_WATCH_LISTENERS, [VL_WATCH_CLOSED] = VL_WATCH_LISTENERS,
		[VL_WATCH_TEXT] = VL_WATCH_TEXTS,
	};

	return groups[kind];
}

struct vl_watch_event *vl_watch_add(struct vl_watcher *w, enum vl_watch_kind kind)
{
	struct vl_watch_event *e;

	if (!(w->o.groups & group_of(kind)))
		return NULL;
	if (w->nr_events == MOST || !vl_grow(w->events, w->cap_events, w->nr_events, 64)) {
		w->figures.dropped++;
		return NULL;
	}
	e = &w->events[w->nr_events];
	*e = (struct vl_watch_event){ .kind = kind, .at_ns = vl_clock_ns(CLOCK_REALTIME) };
	if (!w->nr_events++)
		w->first_event_ns = vl_now_ns();
	return e;
}

void vl_watch_pids(struct vl_watch_event *e, int32_t pid, int32_t ppid)
{
	e->pid = vl_watch_is_pid(pid) ? pid : 0;
	e->ppid = vl_watch_is_pid(ppid) ? ppid : 0;
}

void vl_watch_name(struct vl_watch_event *e, const char *name, size_t len)
{
	e->name_len = (uint32_t)(len < sizeof(e->name) ? len : sizeof(e->name));
	memcpy(e->name, name, e->name_len);
}

void vl_watch_text(struct vl_watch_event *e, const char *text, size_t len)
{
	e->text_len = (uint32_t)(len < sizeof(e->text) ? len : sizeof(e->text));
	memcpy(e->text, text, e->text_len);
}

void vl_watch_did(const struct vl_watcher *w, struct vl_watch_job *job, uint64_t began,
		  unsigned weight, uint64_t least_ns)
{
	uint64_t took = vl_now_ns() - began, rest;

	rest = took * VL_WATCH_WHOLE * SIXTEENTHS / (w->o.share * weight);
	job->next_ns = began + (rest > least_ns ? rest : least_ns);
}
