/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The worker of a guest: serves the broker, and asks it for everything that needs rights. */
#include "internal.h"

#include <inttypes.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "../attach/trusted.h"
#include "../host/file.h"
#include "../host/kmod.h"
#include "../native/executor.h"
#include "../syscall/answer.h"

struct vl_worker {
	struct vl_guest *guest;
	struct vl_proxy_asker asker;
};

/* --- before the box --- */

/*
 * Address space of a worker. It maps RAM for a snapshot, its base, the raw readers and rewritten
 * code (4 x RAM and 0.2 GiB, measured), and Unicorn takes 1.3 GiB. Memory in use is bounded by
 * the host's OOM killer, which ends a worker before any other process (vl_box_enter()).
 */
#define MORE_MEMORY (6UL << 30)
#define RAM_MAPPINGS 6

/* Will an engine or executor use /dev/kvm? */
static bool wants_kvm(const struct vl_guest *g)
{
	if (g->uses & VL_GUEST_READ && (!g->engine || !strcmp(g->engine, "kvm")))
		return true;
	return g->uses & VL_GUEST_ASK &&
	       (g->executor == VL_EXECUTOR_KVM ||
		(g->executor == VL_EXECUTOR_ANY && vl_machine_kind() == VL_MACHINE_TWO_LEVELS));
}

/*
 * Will imee.ko be used? Yes if it maps the RAM; else only if it was asked for by name,
 * or the choice of the engine is to be explained.
 */
static bool wants_kmod(const struct vl_guest *g)
{
	bool named = g->engine && !strcmp(g->engine, "module");

	return vl_ram_by_kmod(g->raw.target) ||
	       ((named || g->explain) && vl_target_kmod(g->raw.target, NULL));
}

/* Open the files that cannot be opened in the box, and add them to @keep. */
static bool open_ahead(const struct vl_guest *g, struct vl_target_proxy *p, struct vl_box_fds *keep)
{
	if (g->uses & VL_GUEST_ASK) {
		p->uffd = vl_snapshot_open_uffd(&p->uffd_user_only);
		p->signaller = vl_snapshot_open_signaller();
	}
	vl_machine_probe(&p->machine, wants_kvm(g));
	return vl_box_keep(keep, p->uffd) && vl_box_keep(keep, p->signaller) &&
	       vl_box_keep(keep, p->machine.kvm);
}

struct vl_error *vl_worker_prepare(void *guest, struct vl_box_fds *keep)
{
	struct vl_guest *g = guest;
	struct vl_worker *w = calloc(1, sizeof(*w));
	const struct vl_vcpu_state nothing = { 0 };
	struct vl_error *err;

	if (!w)
		return vl_error_nomem();
	w->guest = g;
	vl_code_find(g);
	if (g->uses & VL_GUEST_READ && wants_kmod(g))
		vl_target_take_kmod(g->raw.target);
	err = vl_proxy_prepare(&w->asker, g->raw.target, keep);
	if (!err && !open_ahead(g, &w->asker.proxy, keep))
		err = vl_error_new(VL_ERR_OS, "too many files back the guest's memory");
	/*
	 * Unicorn must be loaded before the box, where no file can be opened. That takes longer
	 * than a short run, so it is done only if it is sure to be needed; if that shows later,
	 * a new worker is made (VL_WANT_EMULATOR).
	 */
	g->emulator = g->uses & VL_GUEST_ASK &&
		      (g->executor == VL_EXECUTOR_UNICORN ||
		       (g->executor == VL_EXECUTOR_ANY && vl_native_unfit(&nothing)));
	if (!err && g->emulator)
		err = vl_emulator_load();
	g->box = NULL;
	/* The worker makes its own: the broker's reader works outside of a box only. */
	g->raw.attach = NULL;
	g->raw.reader = NULL;
	g->sys.ops = &vl_guest_ops;
	g->worker = w;
	return err;
}

void vl_worker_options(struct vl_guest *g, struct vl_box_options *ret)
{
	const struct vl_ram *ram;
	size_t nr;

	*ret = (struct vl_box_options){
		.name = g->uses & VL_GUEST_ASK ? "vlens-clone" : "vlens-reader",
		.does = g->uses & VL_GUEST_ASK ? "runs the guest's code" : "reads the guest",
		.memory = MORE_MEMORY,
		.prepare = vl_worker_prepare,
		.work = vl_worker_main,
		.ctx = g,
	};
	ram = vl_target_ram(g->raw.target, &nr);
	for (size_t i = 0; i < nr; i++)
		ret->memory += RAM_MAPPINGS * ram[i].size;
	vl_target_ready_proxy(g->raw.target);
}

/* --- in the box --- */

static struct vl_error *call(struct vl_worker *w, struct vl_message *m)
{
	struct vl_sys *sys = &w->guest->sys;
	struct vl_arg args[VL_WIRE_ARGS];
	struct vl_error *err;
	int64_t ret = 0;

	m->text[sizeof(m->text) - 1] = '\0';
	if (!vl_message_args(m, w->asker.wire->window, args))
		return vl_error_new(VL_ERR_ARG, "not a call");
	err = sys->ops->call(sys, m->text, args, m->nr_args, &ret);
	m->value[0] = (uint64_t)ret;
	return err;
}

static struct vl_error *answer(struct vl_sys *sys, const char *path, const struct vl_question *q,
			       struct vl_answer *ret, void *buf)
{
	switch (q->what) {
	case VL_ASKS_FILE:
	case VL_ASKS_WHOLE:
	case VL_ASKS_LIST:
		return vl_sys_open_read(sys, path, q->flags, (enum vl_reads)q->what, buf, q->len,
					&ret->ret, &ret->n);
	case VL_ASKS_STAT:
		return VL_SYS_CALL(sys, "newfstatat", &ret->ret, VL_ARG_INT(AT_FDCWD),
				   VL_ARG_STR(path), VL_ARG_OUT(buf, q->len), VL_ARG_INT(q->flags));
	case VL_ASKS_LINK:
		return VL_SYS_CALL(sys, "readlinkat", &ret->ret, VL_ARG_INT(AT_FDCWD),
				   VL_ARG_STR(path), VL_ARG_OUT(buf, q->len), VL_ARG_INT(q->len));
	}
	return vl_error_new(VL_ERR_ARG, "a malformed request");
}

/* Time limit for questions that are asked ahead, as the program waits meanwhile. */
#define AHEAD_NS 20000000L

/* A question asked ahead got no answer: the epoch has to end, as after any call without one. */
static struct vl_error *cut(struct vl_guest *g, struct vl_error *err)
{
	vl_error_destroy(err);
	g->sys.missed = 0;
	g->sys.brief = 1;
	vl_session_cut(g);
	return NULL;
}

/*
 * Question @i of some got no answer, but @err. NULL: the answers before it are good; of a prefetch
 * that is validated, there are none.
 */
static struct vl_error *unanswered(struct vl_guest *g, size_t i, bool is_prefetch,
				   struct vl_error *err)
{
	if (is_prefetch)
		return cut(g, err);
	if (!i)
		return err;
	if (g->sys.steady)
		return cut(g, err);
	vl_error_destroy(err);
	/* They are not validated, and cannot be any more: pages that changed were read again. */
	return vl_epoch_again(g);
}

/* The reply: the answers are of one point in time; or the first one must be taken as it is. */
static struct vl_error *validate(struct vl_guest *g, struct vl_message *m)
{
	uint64_t before = g->session ? g->session->answers.running : 0;
	struct vl_error *err = g->sys.ops->validate(&g->sys);

	m->value[VL_ASK_VALIDATE] = g->session && g->session->answers.running == before;
	return err;
}

static struct vl_error *no_answers(struct vl_message *m)
{
	m->value[0] = m->value[VL_ASK_VALIDATE] = 0;
	return NULL;
}

/* Pages up to which a prefetch that failed may be repeated on the pages that it touched. */
#define REPEAT_MAX 4096

/* The reply to a prefetch: its answers are of one point in time, or there are none. */
static struct vl_error *validate_prefetch(struct vl_guest *g, struct vl_message *m)
{
	struct vl_answers before = g->session->answers;
	struct vl_error *err = validate(g, m);

	/* The broker counts those that the program gets. */
	g->session->answers = before;
	if (!err && m->value[VL_ASK_VALIDATE])
		return NULL;
	/*
	 * Otherwise the pages of all prefetches would stay, and many pages are seldom of one point
	 * in time.
	 */
	if (vl_snapshot_asked(g->session->snapshot) > REPEAT_MAX)
		g->session->ask.tries = g->session->ask.takes = 0;
	/* The program has asked none of these, so this is no error. But the epoch has to end. */
	if (err)
		err = cut(g, err);
	return err ? err : no_answers(m);
}

/*
 * Answer the first question, then those asked ahead. In a prefetch (prefetch.h) all are asked
 * ahead, of several processes.
 */
static struct vl_error *ask(struct vl_worker *w, struct vl_message *m)
{
	struct vl_wire *wire = w->asker.wire;
	bool is_prefetch = m->value[VL_ASK_WINDOW] > 0, validates = m->value[VL_ASK_VALIDATE];
	unsigned char *window = is_prefetch ?
					wire->ahead[(m->value[VL_ASK_WINDOW] - 1) % VL_NR_AHEAD] :
					wire->window;
	size_t size = is_prefetch ? VL_WINDOW_AHEAD : VL_WINDOW_MAIN;
	const struct vl_asked *asked = (struct vl_asked *)window;
	size_t nr = m->value[VL_ASK_NR] < VL_AHEAD_MAX ? m->value[VL_ASK_NR] : VL_AHEAD_MAX;
	size_t all = is_prefetch ? nr * m->value[VL_ASK_BASES] : nr, at = sizeof(*asked);
	uint64_t end = vl_now_ns() + AHEAD_NS;
	char path[PATH_MAX + VL_LEAF_MAX];

	m->value[0] = 0;
	for (size_t i = 0; i < all && (!i || vl_now_ns() < end); i++) {
		const struct vl_question *q = &asked->questions[i % nr];
		struct vl_answer *a = (struct vl_answer *)(window + at);
		struct vl_error *err;

		at = vl_answer_next(at, q->len);
		if (at > size)
			return vl_error_new(VL_ERR_ARG, "a malformed request");
		snprintf(path, sizeof(path), "%.*s%.*s", PATH_MAX - 1,
			 is_prefetch ? asked->bases[i / nr] : asked->base, VL_LEAF_MAX - 1,
			 q->leaf);
		err = answer(&w->guest->sys, path, q, a, a + 1);
		if (err) {
			err = unanswered(w->guest, i, is_prefetch, err);
			if (is_prefetch && validates)
				return no_answers(m);
			if (err)
				return err;
			break;
		}
		m->value[0] = i + 1;
		w->guest->session->ask.more = (unsigned)i;
		if (is_prefetch && (validates ? vl_wire_wants_reply(wire) :
						vl_wire_answered(wire, (uint32_t)(i + 1))))
			break;
	}
	return !validates  ? NULL :
	       is_prefetch ? validate_prefetch(w->guest, m) :
			     validate(w->guest, m);
}

static void learn(struct vl_worker *w, struct vl_message *m)
{
	struct vl_workset *ws = &w->guest->workset;

	vl_epoch_learn(w->guest);
	if (w->guest->raw.attach && w->guest->raw.attach->anchor_changed) {
		vl_attach_save(w->guest->raw.attach);
		w->guest->raw.attach->anchor_changed = false;
	}
	m->value[VL_LEARNED_CHANGED] = ws->changed && ws->nr <= VL_WORKSET_MAX;
	m->value[VL_LEARNED_PAGES] = ws->nr;
	if (m->value[VL_LEARNED_CHANGED] && ws->nr)
		memcpy(w->asker.wire->window, ws->gpas, ws->nr * sizeof(*ws->gpas));
	ws->changed = false;
	m->value[VL_LEARNED_CODE] = w->guest->makes_code;
	m->value[VL_LEARNED_FAILED] = w->guest->makes_code && w->guest->code_failed;
	w->guest->code_failed = false;
}

static struct vl_error *attach(struct vl_worker *w, struct vl_message *m)
{
	struct vl_guest *g = w->guest;
	struct vl_error *err;

	err = vl_session_attach(g, m->value[0]);
	m->value[0] = g->want;
	/* How much a flat image lacks is known by its kernel only. */
	if (err && vl_target_is_partial(g->raw.target)) {
		bool lacks = vl_target_shortfall(g->raw.target, &m->value[2], &m->value[3]);

		if (lacks)
			vl_error_prefix(err,
					"the file is cut short: %" PRIu64 " of %" PRIu64 " pages",
					m->value[2], m->value[3]);
		/* A whole file is not what --partial is for: its own hint is of more use. */
		if (lacks || !err->hint)
			vl_error_hint(err, "page tables and other memory that shows the kernel may "
					   "lie in the rest; vmem shows the memory that is there");
		return err;
	}
	if (err)
		return err;
	m->value[0] = g->raw.attach->first;
	m->value[1] = g->raw.attach->known;
	if (!vl_target_shortfall(g->raw.target, &m->value[2], &m->value[3]))
		m->value[2] = m->value[3] = 0;
	m->value[4] = vl_attach_lacks_types(g->raw.attach);
	strcpy(m->text, g->raw.attach->build_id);
	/* For the message if there is no trusted kernel. */
	vl_attach_release(g->raw.attach, m->hint);
	return NULL;
}

/* Begin the next run. The attach stays, and so does workset.still without a new working set. */
static struct vl_error *next(struct vl_worker *w, const struct vl_message *m)
{
	struct vl_guest *g = w->guest;
	size_t nr = m->value[1];

	g->anew = false;
	g->may_run = m->value[2];
	vl_epoch_reset(g);
	if (g->raw.attach->trusted && vl_trusted_next(g->raw.attach->trusted))
		vl_session_forget(g);
	/* Their files may have been stored since. */
	if (!g->session || !g->session->clone || !g->session->clone->nr_verified)
		vl_session_forget_modules(g);
	if (m->value[0]) {
		if (g->session)
			g->session->trim = true;
		g->makes_code = false;
		vl_workset_deinit(&g->workset);
		g->workset.gpas = nr <= VL_WORKSET_MAX ? malloc(nr * 8 + 1) : NULL;
		if (!g->workset.gpas)
			return vl_error_nomem();
		memcpy(g->workset.gpas, w->asker.wire->window, nr * 8);
		g->workset.nr = nr;
	}
	g->sys.ready = vl_guest_ready(g);
	g->sys.alone = vl_guest_alone(g);
	return NULL;
}

static void say_figures(struct vl_worker *w)
{
	struct vl_stats stats;

	vl_guest_figures(w->guest, &stats);
	memcpy(w->asker.wire->window, &stats, sizeof(stats));
}

static struct vl_error *serve(struct vl_worker *w, struct vl_message *m)
{
	struct vl_guest *g = w->guest;
	struct vl_sys *sys = &g->sys;
	struct vl_error *err;

	switch (m->op) {
	case VL_OP_ATTACH:
		return attach(w, m);
	case VL_OP_TRUST:
		return vl_session_trust(g, vl_box_take_file(w->asker.link), w->asker.wire, m);
	case VL_OP_BEGIN:
		g->want = VL_WANT_NOTHING;
		err = sys->ops->begin(sys);
		m->value[0] = g->want;
		return err;
	case VL_OP_VALIDATE:
		return sys->ops->validate(sys);
	case VL_OP_END:
		sys->ops->end(sys);
		say_figures(w);
		return NULL;
	case VL_OP_CALL:
		return call(w, m);
	case VL_OP_ASK:
		return ask(w, m);
	case VL_OP_PUSH:
		m->value[0] = sys->ops->push(sys, m->value[1] ? w->asker.wire->window : NULL,
					     m->value[0]);
		return NULL;
	case VL_OP_PULL:
		sys->ops->pull(sys, m->value[0], w->asker.wire->window, m->value[1]);
		return NULL;
	case VL_OP_RESET:
		sys->ops->reset(sys);
		return NULL;
	case VL_OP_LEARN:
		learn(w, m);
		return NULL;
	case VL_OP_CODE:
		m->value[0] = vl_code_write(g, w->asker.wire->window, VL_WINDOW_MAIN);
		return NULL;
	case VL_OP_NEXT:
		return next(w, m);
	case VL_OP_STATS:
		say_figures(w);
		return NULL;
	}
	return vl_viewer_serve(g, w->asker.wire, m);
}

void vl_worker_main(void *guest, struct vl_wire *wire, int link)
{
	struct vl_guest *g = guest;
	struct vl_worker *w = g->worker;
	const struct vl_sys_ops *ops = g->sys.ops;
	struct vl_message m;

	vl_proxy_connect(&w->asker, wire, link);
	while (vl_wire_hear(wire, VL_CHANNEL_MAIN, link, &m)) {
		g->sys = m.sys;
		g->sys.ops = ops;
		vl_target_set_account(g->raw.target, &m.pauses);
		vl_message_put_error(&m, vl_target_short(g->raw.target, serve(w, &m)));
		m.sys = g->sys;
		m.op = VL_OP_REPLY;
		vl_wire_say(wire, VL_CHANNEL_MAIN, &m);
	}
}
