/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Modules and listening sockets of a watch: both lists are short and change seldom, so all of each
 * is read. A new item counts when a second walk sees it, too. An item has gone when two walks do
 * not see it.
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
/* The longest look at the listeners, or for their owners. Other events wait meanwhile. */
#define PASS_MOST (500 * VL_NSEC_PER_MSEC)
#define OWNERS_MOST (500 * VL_NSEC_PER_MSEC)
#define WEIGHT 1
/* The share of a walk that confirms a difference, so that short-lived entries are seen. */
#define WEIGHT_PENDING 4

/* enum module_state, include/linux/module.h */
enum { MODULE_LIVE, MODULE_COMING, MODULE_GOING, MODULE_UNFORMED };

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

/* ---- modules ---- */

struct module {
	uint64_t at; /* first, for vl_items_sort() */
	uint32_t state;
	char name[VL_MODULE_NAME];
};

static void module_gone(void *ctx, struct vl_watch_item *i)
{
	struct vl_watcher *w = ctx;
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
	struct vl_watch_item *i = vl_items_see(&w->modules, m->at, 0);

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
	if (!err)
		nr = vl_items_sort(walk.records, nr, sizeof(*m));
	if (!err && !vl_items_begin(&w->modules, nr))
		err = vl_error_nomem();
	m = walk.records;
	for (size_t i = 0; i < nr && !err; i++)
		see_module(w, &m[i]);
	if (!err)
		vl_items_end(&w->modules, module_gone, w);
	free(walk.records);
	return err;
}

/* ---- listeners ---- */

static void listener_gone(void *ctx, struct vl_watch_item *i)
{
	if (i->told)
		tell(ctx, i, VL_WATCH_CLOSED);
}

/* Describe the socket @k in the event of @i. */
static void describe(const struct vl_socket *k, struct vl_watch_item *i)
{
	bool v6 = strchr(k->local, ':');
	char text[VL_ADDRESS_MAX + 32], buf[24];
	int n = snprintf(text, sizeof(text), "%s %s%s%s:%u", vl_socket_protocol(k, buf),
			 v6 ? "[" : "", k->local, v6 ? "]" : "", k->port);

	vl_watch_text(&i->event, text, (size_t)n);
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
	i = vl_items_see(&w->listeners, sk, (uint64_t)k.port << 16 | k.family);
	if (i->told || (w->listeners.known && i->seen < 2))
		return;
	describe(&k, i);
	i->told = true;
	/* A listener from before the watch is not an event. */
	i->fresh = w->listeners.known;
}

static void tell_listener(struct vl_watcher *w, struct vl_watch_item *i,
			  const struct vl_file_task *owner)
{
	i->fresh = false;
	if (owner && owner->pid) {
		vl_watch_pids(&i->event, owner->pid, 0);
		i->event.uid = i->event.euid = owner->uid;
		i->event.flags |= VL_WATCH_IDS;
		vl_watch_name(&i->event, owner->comm, strnlen(owner->comm, sizeof(owner->comm)));
	}
	tell(w, i, VL_WATCH_LISTEN);
}

/* Report the fresh listeners with their owners, which are searched for all at once. */
static void tell_fresh(struct vl_watcher *w)
{
	struct vl_watch_items *l = &w->listeners;
	struct vl_file_task *owners;
	size_t nr = 0, at = 0;
	uint64_t *sks;

	for (size_t i = 0; i < l->nr; i++)
		nr += l->items[i].fresh;
	if (!nr)
		return;
	sks = calloc(nr, sizeof(*sks));
	owners = calloc(nr, sizeof(*owners));
	/* Items that were there before are sorted, and no others are fresh. */
	for (size_t i = 0; sks && i < l->nr; i++)
		if (l->items[i].fresh)
			sks[at++] = l->items[i].at;
	if (sks && owners)
		vl_socket_owners(w->g, sks, nr, vl_now_ns() + OWNERS_MOST, owners);
	at = 0;
	for (size_t i = 0; i < l->nr; i++)
		if (l->items[i].fresh)
			tell_listener(w, &l->items[i], owners ? &owners[at++] : NULL);
	free(sks);
	free(owners);
}

static void forget_walk(struct vl_watch_items *l)
{
	free(l->found);
	l->found = NULL;
	l->nr_found = l->done = 0;
}

/* Begin a walk. False: its sockets cannot be found, or there is no memory. */
static bool begin_listeners(struct vl_watcher *w)
{
	struct vl_watch_items *l = &w->listeners;

	if (!vl_listeners_collect(w->g, &l->found, &l->nr_found))
		return false;
	l->nr_found = vl_items_sort(l->found, l->nr_found, sizeof(*l->found));
	l->done = 0;
	if (vl_items_begin(l, l->nr_found))
		return true;
	forget_walk(l);
	return false;
}

/* Walk over the listeners, or over as many as can be read in PASS_MOST: the next pass goes on. */
static void walk_listeners(struct vl_watcher *w)
{
	struct vl_watch_items *l = &w->listeners;
	uint64_t until;

	if (!l->found && !begin_listeners(w))
		return;
	until = vl_now_ns() + PASS_MOST;
	while (l->done < l->nr_found) {
		see_listener(w, l->found[l->done++]);
		if (vl_now_ns() >= until)
			break;
	}
	tell_fresh(w);
	if (l->done < l->nr_found)
		return;
	forget_walk(l);
	vl_items_end(l, listener_gone, w);
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
	free(w->listeners.found);
}
