/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names the code that is attached to the guest's kernel, and that had no effect in a trusted run.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../attach/trusted.h"
#include "../base/append.h"
#include "../base/cleanup.h"
#include "../view/stubs.h"
#include "internal.h"

#define JUMP 0xe9

/* Sites that lead to the same thing: a probe, a function, a switch. */
struct thing {
	const struct vl_trust_finding *first;
	const char *name; /* of the switch; NULL: it is none */
	size_t sites;
};

struct report {
	struct vl_guest *g;
	struct vl_trusted *t;
	struct vl_stubs stubs;
	struct vl_trusted_stats *ret;
};

static struct thing thing_of(const struct vl_trusted *t, const struct vl_trust_finding *f)
{
	return (struct thing){
		.first = f,
		.name = f->kind == VL_TRUST_SWITCHED ? vl_trust_switch_at(t->trust, f->va) : NULL,
		.sites = 1,
	};
}

static bool same(const struct thing *a, const struct thing *b)
{
	if (a->name || b->name)
		return a->name && b->name && !strcmp(a->name, b->name);
	return a->first->class == b->first->class && a->first->class != VL_TRUST_PROBE &&
	       a->first->target == b->first->target;
}

/* --- names --- */

/* Name the function that the ftrace_ops at @ops calls. */
static void name_ftrace(struct report *w, uint64_t ops, char *buf, size_t size)
{
	const struct vl_kernel *k = w->g->raw.attach->kernel;
	const struct vl_layout *l = vl_kernel_layout(k);
	uint64_t func = 0;
	char place[96];

	if (vl_has(l, VL_F_FTRACE_FUNC))
		vl_trusted_read(w->t, ops + (uint64_t)l->offset[VL_F_FTRACE_FUNC], &func,
				sizeof(func));
	if (func && func == vl_symbol(k, "klp_ftrace_handler")) {
		snprintf(buf, size, "a live patch");
	} else if (func && func == vl_symbol(k, "kprobe_ftrace_handler")) {
		snprintf(buf, size, "a kprobe");
	} else if (func) {
		vl_trusted_place(w->t, func, place, sizeof(place));
		snprintf(buf, size, "ftrace for %s", place);
	} else {
		snprintf(buf, size, "ftrace");
	}
}

/* The code that the place for ftrace @f calls. False: the kernel has not made that code. */
static bool name_traced(struct report *w, const struct vl_trust_finding *f, char *buf, size_t size)
{
	const struct vl_stub *stub = vl_stub_at(&w->stubs, f->target);

	/* Only BPF jumps. */
	if (f->found[0] == JUMP && !(stub && stub->kind == VL_STUB_BPF))
		return false;
	if (!vl_stub_traces(&w->g->raw, &w->stubs, f->target) &&
	    !(stub && stub->kind != VL_STUB_FTRACE))
		return false;
	if (!stub)
		snprintf(buf, size, "ftrace for several users");
	else if (stub->kind == VL_STUB_FTRACE)
		name_ftrace(w, stub->at, buf, size);
	else
		snprintf(buf, size, "BPF (%s)", stub->name);
	return true;
}

/* Is the site of @f still as it was found? */
static bool is_still(struct report *w, const struct vl_trust_finding *f)
{
	unsigned char now[VL_TRUST_SHOWN];
	size_t len = f->len < sizeof(now) ? f->len : sizeof(now);

	return vl_trusted_read(w->t, f->va, now, len) && !memcmp(now, f->found, len);
}

static void more_sites(const struct report *w, const struct thing *thing, char *buf, size_t size)
{
	*buf = '\0';
	if (thing->sites > 1 && w->t->nr_kept == VL_TRUSTED_ATTACHED_MAX)
		snprintf(buf, size, " and many more places");
	else if (thing->sites > 1)
		snprintf(buf, size, " and %zu more place%s", thing->sites - 1,
			 thing->sites == 2 ? "" : "s");
}

/*
 * A call of code that no list has is not an attachment, but a change. The lists were read after the
 * call was found, so if it is still there, it was there in between.
 */
static void complain(struct report *w, const struct vl_trust_finding *f)
{
	struct vl_trusted_stats *ret = w->ret;
	char at[96], to[96];

	if (!is_still(w, f))
		return;
	vl_trusted_place(w->t, f->va, at, sizeof(at));
	vl_trusted_place(w->t, f->target, to, sizeof(to));
	if (ret->findings < VL_TRUSTED_SHOWN)
		snprintf(ret->found[ret->findings], VL_TRUSTED_TEXT,
			 "%s: changed %s (%u bytes, leads to %s)", at,
			 vl_trust_class_name(f->class), f->len, to);
	ret->findings++;
}

static void show(struct vl_trusted_stats *ret, const char *text)
{
	if (ret->things < VL_TRUSTED_SHOWN)
		snprintf(ret->idle[ret->things], VL_TRUSTED_TEXT, "%s", text);
	ret->things++;
}

static void describe(struct report *w, const struct thing *thing)
{
	const struct vl_trust_finding *f = thing->first;
	struct vl_trusted_stats *ret = w->ret;
	char at[96], what[128] = "a kprobe", more[48] = "", text[VL_TRUSTED_TEXT] = "";

	vl_trusted_place(w->t, f->va, at, sizeof(at));
	if (f->class == VL_TRUST_TRACE && !name_traced(w, f, what, sizeof(what))) {
		complain(w, f);
		return;
	}
	/* ftrace's own site: the functions that it calls are attached elsewhere. */
	if (f->class == VL_TRUST_TRACER && vl_trust_is_entry(w->t->trust, f->target))
		return;
	if (f->class != VL_TRUST_PROBE && f->class != VL_TRUST_TRACE)
		vl_trusted_place(w->t, f->target, what, sizeof(what));
	if (f->class != VL_TRUST_PROBE)
		more_sites(w, thing, more, sizeof(more));
	vl_append(text, sizeof(text), "%s%s: %s is attached", at, more, what);
	show(ret, text);
}

/* The tracepoints in one line, as a tracer has many. BPF of cgroups is on every host of systemd. */
static void describe_points(struct vl_trusted_stats *ret, const struct thing *things, size_t nr)
{
	static const char point[] = "__tracepoint_";
	char text[VL_TRUSTED_TEXT], more[48] = "";
	const char *first = NULL;
	size_t points = 0;

	for (size_t i = 0; i < nr; i++) {
		const char *name = things[i].name;

		if (!name || strncmp(name, point, sizeof(point) - 1))
			continue;
		first = first ? first : name + sizeof(point) - 1;
		points++;
	}
	if (!points)
		return;
	if (points > 1)
		snprintf(more, sizeof(more), " and %zu more", points - 1);
	snprintf(text, sizeof(text), "tracepoint %s%s: %s attached", first, more,
		 points == 1 ? "a probe is" : "probes are");
	show(ret, text);
}

void vl_session_attached(struct vl_guest *g, struct vl_trusted_stats *ret)
{
	struct report w = { .g = g, .t = g->raw.attach->trusted, .ret = ret };
	_cleanup_free_ struct thing *things = calloc(w.t->nr_kept + 1, sizeof(*things));
	size_t nr = 0;
	struct vl_reader *r;

	if (!w.t->nr_kept || !things)
		return;
	/* Without the lists no code counts as attached. */
	if (!vl_discard(vl_guest_reader(g, &r)))
		vl_error_destroy(vl_stubs_collect(&g->raw, &w.stubs));
	for (size_t i = 0; i < w.t->nr_kept; i++) {
		const struct thing thing = thing_of(w.t, &w.t->attached[i]);
		size_t k = 0;

		while (k < nr && !same(&things[k], &thing))
			k++;
		if (k < nr)
			things[k].sites++;
		else
			things[nr++] = thing;
	}
	for (size_t i = 0; i < nr; i++)
		if (!things[i].name)
			describe(&w, &things[i]);
	describe_points(ret, things, nr);
	vl_stubs_deinit(&w.stubs);
}
