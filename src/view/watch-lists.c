/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Modules and listening sockets of a watch: both lists are short and change seldom, so all of each
 * is read. What is new counts when a second walk sees it, too, and what is missing when two
 * walks do not.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/attach.h"
#include "../base/clock.h"
#include "modules.h"
#include "objects.h"
#include "watching.h"

#define MODULES_LEAST (10 * VL_NSEC_PER_MSEC)
#define LISTENERS_LEAST (25 * VL_NSEC_PER_MSEC)
#define WEIGHT 1
/* The share of a walk that confirms a difference, so that short-lived entries are seen. */
#define WEIGHT_PENDING 4

/* enum module_state, include/linux/module.h */
enum { MODULE_LIVE, MODULE_COMING, MODULE_GOING, MODULE_UNFORMED };

/* An entry of either list. */
struct vl_watch_item {
	uint64_t at;	 /* of its struct; with `what` its identity */
	uint64_t what;	 /* of a listener: port and family */
	unsigned seen;	 /* walks, one behind the other */
	unsigned missed; /* likewise */
	bool told, here;
	uint32_t state;
	struct vl_watch_event event; /* what is told of it */
};

static struct vl_watch_item *find(struct vl_watch_items *l, uint64_t at, uint64_t what)
{
	for (size_t i = 0; i < l->nr; i++)
		if (l->items[i].at == at && l->items[i].what == what)
			return &l->items[i];
	return NULL;
}

/* A walk is about to see @nr entries: make room for as many new ones. */
static bool reserve(struct vl_watch_items *l, size_t nr)
{
	struct vl_watch_item *items = reallocarray(l->items, l->nr + nr + 1, sizeof(*items));

	if (!items)
		return false;
	l->items = items;
	return true;
}

/* The walk has seen the entry at @at, for which there is room. */
static struct vl_watch_item *see(struct vl_watch_items *l, uint64_t at, uint64_t what)
{
	struct vl_watch_item *i = find(l, at, what);

	if (!i) {
		i = &l->items[l->nr++];
		*i = (struct vl_watch_item){ .at = at, .what = what };
	}
	i->here = true;
	i->missed = 0;
	i->seen++;
	return i;
}

static void tell(struct vl_watcher *w, const struct vl_watch_item *i, enum vl_watch_kind kind)
{
	struct vl_watch_event *e = vl_watch_add(w, kind);
	const struct vl_watch_event *from = &i->event;

	if (!e)
		return;
	e->flags = from->flags;
	e->pid = from->pid;
	e->ppid = from->ppid;
	e->uid = from->uid;
	e->euid = from->euid;
	e->start_ns = from->start_ns;
	vl_watch_name(e, from->name, from->name_len);
	vl_watch_text(e, from->text, from->text_len);
}

/* A walk is complete. @gone tells of an entry that two walks have missed. */
static void end_walk(struct vl_watcher *w, struct vl_watch_items *l,
		     void (*gone)(struct vl_watcher *w, struct vl_watch_item *i))
{
	size_t kept = 0;

	l->pending = false;
	for (size_t k = 0; k < l->nr; k++) {
		struct vl_watch_item *i = &l->items[k];

		if (!i->here) {
			i->seen = 0;
			if (!i->told || ++i->missed >= 2) {
				gone(w, i);
				continue;
			}
		}
		l->pending = l->pending || i->missed || (!i->told && i->seen < 2);
		i->here = false;
		if (kept != k)
			l->items[kept] = *i;
		kept++;
	}
	l->nr = kept;
	l->known = true;
}

/* ---- modules ---- */

struct module {
	uint64_t at;
	uint32_t state;
	char name[VL_MODULE_NAME];
};

static void module_gone(struct vl_watcher *w, struct vl_watch_item *i)
{
	const uint32_t name_at = vl_offset(w->l, VL_F_MOD_NAME);
	char name[VL_MODULE_NAME];
	static const char hidden[] = "left the list, and is still in memory";
	uint32_t state;

	if (!i->told)
		return;
	/* A module that is unloaded is not live before it leaves the list, and then freed. */
	if (i->state == MODULE_LIVE &&
	    !vl_read(w->g->reader, &w->g->space, i->at + name_at, name, sizeof(name)) &&
	    !vl_read_u32(w->g->reader, &w->g->space, i->at + vl_offset(w->l, VL_F_MOD_STATE),
			 &state) &&
	    state == MODULE_LIVE && strnlen(name, sizeof(name)) == i->event.name_len &&
	    !memcmp(name, i->event.name, i->event.name_len))
		vl_watch_text(&i->event, hidden, sizeof(hidden) - 1);
	tell(w, i, VL_WATCH_UNLOADED);
}

static void see_module(struct vl_watcher *w, const struct module *m)
{
	struct vl_watch_item *i = see(&w->modules, m->at, 0);

	i->state = m->state;
	if (i->told || m->state != MODULE_LIVE || (w->modules.known && i->seen < 2))
		return;
	vl_watch_name(&i->event, m->name, strnlen(m->name, sizeof(m->name)));
	i->told = true;
	if (w->modules.known)
		tell(w, i, VL_WATCH_LOADED);
}

static struct vl_error *walk_modules(struct vl_watcher *w)
{
	struct vl_walk walk = vl_walk_list(w->g, "modules", VL_F_MOD_LIST, sizeof(struct module));
	struct vl_fields fs = { .layout = w->l };
	const struct module *m;
	struct vl_error *err;
	size_t nr;

	vl_fields_add_plain(&fs, VL_FIELD_ADDRESS, offsetof(struct module, at));
	vl_fields_add(&fs, VL_F_MOD_STATE, offsetof(struct module, state), 4);
	vl_fields_add(&fs, VL_F_MOD_NAME, offsetof(struct module, name), VL_MODULE_NAME);
	err = vl_collect(w->g, &walk, &fs, "the list of modules", &nr);
	if (!err && !reserve(&w->modules, nr))
		err = vl_error_nomem();
	m = walk.records;
	for (size_t i = 0; i < nr && !err; i++)
		see_module(w, &m[i]);
	if (!err)
		end_walk(w, &w->modules, module_gone);
	free(walk.records);
	return err;
}

/* ---- listeners ---- */

static void listener_gone(struct vl_watcher *w, struct vl_watch_item *i)
{
	if (i->told)
		tell(w, i, VL_WATCH_CLOSED);
}

/* Describe the socket @k, and the process that has it, in the event of @i. */
static void describe(struct vl_watcher *w, const struct vl_socket *k, struct vl_watch_item *i)
{
	bool v6 = strchr(k->local, ':');
	struct vl_file_task owner = { .pid = 0 };
	char text[VL_ADDRESS_MAX + 32], buf[24];
	int n = snprintf(text, sizeof(text), "%s %s%s%s:%u", vl_socket_protocol(k, buf),
			 v6 ? "[" : "", k->local, v6 ? "]" : "", k->port);

	vl_watch_text(&i->event, text, (size_t)n);
	/* What was there before the watch is no event. */
	if (!w->listeners.known || !vl_socket_owner(w->g, k->at, &owner))
		return;
	vl_watch_pids(&i->event, owner.pid, 0);
	i->event.uid = i->event.euid = owner.uid;
	i->event.flags |= VL_WATCH_IDS;
	vl_watch_name(&i->event, owner.comm, strnlen(owner.comm, sizeof(owner.comm)));
}

static void see_listener(struct vl_watcher *w, uint64_t sk)
{
	const char *state;
	struct vl_watch_item *i;
	struct vl_socket k;

	if (!vl_socket_read(w->g, sk, IPPROTO_TCP, &k))
		return;
	state = vl_socket_state(&k);
	if (!state || strcmp(state, "LISTEN"))
		return;
	i = see(&w->listeners, sk, (uint64_t)k.port << 16 | k.family);
	if (i->told || (w->listeners.known && i->seen < 2))
		return;
	describe(w, &k, i);
	i->told = true;
	if (w->listeners.known)
		tell(w, i, VL_WATCH_LISTEN);
}

static void walk_listeners(struct vl_watcher *w)
{
	uint64_t *sks;
	size_t nr;

	if (!vl_listeners_collect(w->g, &sks, &nr))
		return;
	if (reserve(&w->listeners, nr)) {
		for (size_t i = 0; i < nr; i++)
			see_listener(w, sks[i]);
		end_walk(w, &w->listeners, listener_gone);
	}
	free(sks);
}

/* ---- both ---- */

static void walked(struct vl_watcher *w, struct vl_watch_items *l, uint64_t began,
		   uint64_t least_ns)
{
	vl_watch_did(w, &l->job, began, l->pending ? WEIGHT_PENDING : WEIGHT, least_ns);
}

void vl_watch_lists(struct vl_watcher *w, uint64_t now)
{
	if ((w->o.groups & VL_WATCH_MODULES) && vl_watch_due(&w->modules.job, now)) {
		/* A walk that broke off is made again. */
		vl_error_destroy(walk_modules(w));
		walked(w, &w->modules, now, MODULES_LEAST);
		now = vl_now_ns();
	}
	if ((w->o.groups & VL_WATCH_LISTENERS) && vl_watch_due(&w->listeners.job, now)) {
		walk_listeners(w);
		walked(w, &w->listeners, now, LISTENERS_LEAST);
	}
}

void vl_watch_lists_close(struct vl_watcher *w)
{
	free(w->modules.items);
	free(w->listeners.items);
}
