/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The broker of a guest: implements struct vl_sys by asking its worker, and pauses the guest and
 * reads memory for the worker. A worker's words are untrusted, as a hostile guest may have taken it
 * over.
 */
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "../attach/search.h"
#include "../host/kmod.h"

/* The worker reports its own timeouts before these end. */
#define ATTACH_NS (VL_ATTACH_MAX_NS + VL_NSEC_PER_SEC / 2)
#define ATTACH_CPU_NS (VL_ATTACH_NS + VL_NSEC_PER_SEC / 2)
/* To begin an epoch takes some ten calls, and the wait for its turn (host/pause.c: 5 s). */
#define BEGIN_NS (20 * VL_NSEC_PER_SEC)
/* CPU time of one epoch: also bounds a worker that the broker does not wait for. */
#define CPU_NS (120 * VL_NSEC_PER_SEC)
/*
 * Answers that wait go to the next epoch if that begins so soon: the program does not stand still.
 */
#define CARRY_NS (40 * VL_NSEC_PER_MSEC)
/* Deaths of workers in one run, after which we give up. */
#define MAX_DEATHS 2
/*
 * Time of a trusted run that may give no answer: requests that fail, and epochs that begin slowly,
 * as the guest has changed its code and all is compared again. Only the next run renews it. A
 * program that runs for hours may lose more, up to a share of its time.
 */
#define LOST_NS (20 * VL_NSEC_PER_SEC)
#define LOST_SHARE 4
#define SLOW_BEGIN_NS (100 * VL_NSEC_PER_MSEC)
/*
 * Time of endless calls of a run over a dump, trusted or not: of two, the second with the smaller
 * budget (vmst/clone.h), and some more. Each question can meet lists that make no sense.
 */
#define LOST_DUMP_NS (VL_BUDGET_DUMP_NS + 2 * VL_BUDGET_MAX_NS)

/* --- the worker --- */

/* End all pauses: between two requests the guest runs, whatever the worker did. */
static void end_pauses(struct vl_guest *g)
{
	while (vl_target_pause_depth(g->raw.target))
		vl_error_destroy(vl_target_resume(g->raw.target));
}

static void end_worker(struct vl_guest *g)
{
	vl_target_set_helper(g->raw.target, 0);
	vl_box_end(g->box, !g->leaves);
	g->box = NULL;
	g->prepares = g->apart = false;
	g->prefetch = NULL;
	g->sys.ready = g->sys.alone = 0;
	g->attached = g->viewed = g->now_known = false;
	vl_kept_end_turn(g->raw.target);
	/* Its last figures are lost: no figure may be below that at the run's beginning. */
	if (g->gone.epochs < g->base.epochs)
		g->gone = g->base;
}

static struct vl_error *lost(struct vl_guest *g, struct vl_error *err)
{
	bool hopeless = vl_box_hopeless(g->box);

	g->late = vl_box_late(g->box);
	/* After a timeout do not try our own worker: it would read the same guest. */
	g->lost = vl_box_is_borrowed(g->box) && !g->late;
	if (g->sys.open)
		g->sys.epoch++;
	g->sys.open = g->sys.missed = g->sys.ready = g->sys.alone = 0;
	end_pauses(g);
	end_worker(g);
	/* The kept code may be the reason of its death. */
	vl_broker_drop_code(g);
	/* Callers do not retry this class of errors. */
	if ((++g->deaths >= MAX_DEATHS || hopeless) && g->uses & VL_GUEST_ASK)
		err->code = VL_ERR_KERNEL;
	return err;
}

/* Take over the worker's state of the epoch, but neither operations nor own_files. */
static void take_sys(struct vl_guest *g, const struct vl_sys *said)
{
	struct vl_sys *sys = &g->sys;

	sys->epoch = said->epoch;
	sys->open = said->open != 0;
	sys->ready = said->ready != 0;
	sys->alone = said->alone != 0;
	sys->missed = said->missed != 0;
	sys->brief = said->brief != 0;
	sys->steady = said->steady != 0;
	sys->self = said->self;
	end_pauses(g);
}

static bool serve(void *ctx, enum vl_channel_id id, struct vl_message *m)
{
	struct vl_guest *g = ctx;

	vl_proxy_serve(g->raw.target, g->box, id, m);
	return true;
}

/* The same in a thread: memory only. A pause, or a file, is the main thread's. */
static bool serve_memory(void *ctx, enum vl_channel_id id, struct vl_message *m)
{
	return (m->op == VL_OP_READ || m->op == VL_OP_PAGES) && serve(ctx, id, m);
}

static void address(struct vl_guest *g, struct vl_message *m)
{
	g->now_known = g->next_begun = false;
	m->sys = g->sys;
	vl_target_get_account(g->raw.target, &m->pauses);
}

static void tell(struct vl_guest *g, struct vl_message *m)
{
	address(g, m);
	vl_box_tell(g->box, m);
}

uint64_t vl_broker_work_ns(const struct vl_guest *g)
{
	return vl_now_ns() - (g->box ? vl_box_waited_ns(g->box) : 0);
}

/* Count @ns of work without an answer. */
static void count_lost(struct vl_guest *g, uint64_t ns, const struct vl_error *err)
{
	/* For a dump, other errors may come from a slow disk, and not occur again. */
	if (!vl_target_is_live(g->raw.target) && err->code == VL_ERR_ENDLESS) {
		g->endless_ns += g->cut_ns + ns;
		g->cut_ns = 0;
		snprintf(g->endless_why, sizeof(g->endless_why), "%s", err->message);
	} else if (g->trusted) {
		g->lost_ns += ns;
	}
}

void vl_broker_cut(struct vl_guest *g, uint64_t start)
{
	/* A call that ends at once, with an error, or before its budget, is asked for alone. */
	const uint64_t ns = vl_broker_work_ns(g) - start;

	if (!vl_target_is_live(g->raw.target) && ns >= VL_BUDGET_MAX_NS)
		g->cut_ns += ns;
}

static struct vl_error *reply(struct vl_guest *g, struct vl_message *ret, uint64_t timeout_ns)
{
	const uint64_t start = vl_broker_work_ns(g);
	struct vl_error *err = vl_box_reply(g->box, ret, timeout_ns, serve, g);
	const uint64_t took = vl_broker_work_ns(g) - start;

	if (err) {
		err = lost(g, err);
	} else {
		take_sys(g, &ret->sys);
		err = vl_message_error(ret);
	}
	if (err)
		count_lost(g, took, err);
	return err;
}

/* Has the run over the dump @g no time left, trusted or not? */
static struct vl_error *spent_on_dump(const struct vl_guest *g)
{
	if (g->endless_ns < LOST_DUMP_NS)
		return NULL;
	return vl_error_hint(vl_error_new(VL_ERR_KERNEL,
					  "the kernel in the file does not answer, as its memory "
					  "makes no sense: %s",
					  g->endless_why),
			     "was it copied while the guest ran? read it by views of memory, as "
			     "vpslist; vlens dump makes a file of one point in time");
}

/* Has the trusted run @g no time left, or that over a dump? */
static struct vl_error *spent(const struct vl_guest *g)
{
	struct vl_error *err = spent_on_dump(g);

	if (err)
		return err;
	if (!g->trusted || g->lost_ns < LOST_NS ||
	    g->lost_ns < (vl_now_ns() - g->begun_ns) / LOST_SHARE)
		return NULL;
	err = vl_error_new(VL_ERR_KERNEL,
			   "the trusted run got no answers for %ld s in all: the guest changes its "
			   "kernel or misleads it, or this host is very busy",
			   LOST_NS / VL_NSEC_PER_SEC);
	return vl_error_hint(err, "dump the guest's memory and ask the dump, which stands still; "
				  "vcheck examines the guest");
}

/*
 * With a CPU of its own the worker works while we do. If we only wait for each other, a switch on
 * one CPU is quicker than a wake-up of another.
 */
static void part(struct vl_guest *g)
{
	if (!g->apart)
		vl_box_part(g->box, !vl_ram_most(g->raw.target, vl_ram_mappable));
	g->apart = true;
}

static void follow(struct vl_guest *g)
{
	vl_box_follow(g->box);
	g->apart = false;
}

/* Wait for the epoch that the worker prepares; *@m is its reply. */
static struct vl_error *prepared(struct vl_guest *g, struct vl_message *m)
{
	g->prepares = false;
	follow(g);
	return reply(g, m, BEGIN_NS);
}

/* --- prefetches --- */

void vl_broker_prefetch(struct vl_guest *g, struct vl_prefetch *f)
{
	struct vl_message m = { .op = VL_OP_ASK,
				.value = {
					[VL_ASK_NR] = f->nr_questions,
					[VL_ASK_WINDOW] = f->window + 1,
					[VL_ASK_BASES] = f->nr_bases,
					[VL_ASK_VALIDATE] = !g->sys.steady,
				} };

	f->validates = !g->sys.steady;
	f->epoch = g->sys.epoch;
	f->ns = vl_broker_work_ns(g);
	vl_prefetch_write(&g->prefetches, f, vl_box_wire(g->box)->ahead[f->window]);
	part(g);
	tell(g, &m);
	g->prefetch = f;
}

/* The worker has replied to prefetch @f with @m, unless there is @err. */
static struct vl_error *ended(struct vl_guest *g, struct vl_prefetch *f, const struct vl_message *m,
			      bool brief, struct vl_error *err)
{
	g->prefetch = NULL;
	if (err) {
		f->used = false;
		return err;
	}
	vl_prefetch_end(f, m->value[0]);
	if (m->value[0] < f->nr_bases * f->nr_questions)
		vl_broker_cut(g, f->ns);
	if (f->validates)
		vl_prefetches_judge(&g->prefetches, f->nr_answers && m->value[VL_ASK_VALIDATE]);
	f->used &= f->nr_answers && (!f->validates || m->value[VL_ASK_VALIDATE]);
	g->sys.brief |= brief;
	return NULL;
}

struct vl_error *vl_broker_end_prefetch(struct vl_guest *g, bool now)
{
	struct vl_prefetch *f = g->prefetch;
	bool brief = g->sys.brief;
	struct vl_message m;
	struct vl_error *err;

	if (!f)
		return NULL;
	if (now)
		vl_box_want_reply(g->box);
	err = reply(g, &m, 2 * VL_CALL_NS);
	return ended(g, f, &m, brief, err);
}

struct vl_error *vl_broker_answer(struct vl_guest *g, size_t i)
{
	struct vl_prefetch *f = g->prefetch;
	bool brief = g->sys.brief, replied;
	const uint64_t start = vl_broker_work_ns(g);
	struct vl_message m;
	struct vl_error *err;

	err = vl_box_answers(g->box, (uint32_t)i + 1, &m, &replied, 2 * VL_CALL_NS, serve, g);
	if (err) {
		f->used = false;
		count_lost(g, vl_broker_work_ns(g) - start, err);
		return lost(g, err);
	}
	end_pauses(g);
	if (!replied)
		return NULL;
	take_sys(g, &m.sys);
	err = vl_message_error(&m);
	if (err)
		count_lost(g, vl_broker_work_ns(g) - start, err);
	return ended(g, f, &m, brief, err);
}

static bool sent_for_process(uint32_t op)
{
	return op != VL_OP_ATTACH && op != VL_OP_BEGIN && op != VL_OP_END;
}

struct vl_error *vl_broker_ask(struct vl_guest *g, struct vl_message *m, uint64_t timeout_ns)
{
	struct vl_message first;
	struct vl_error *err = vl_broker_end_prefetch(g, true);

	if (err)
		return err;
	if (g->prepares)
		vl_error_destroy(prepared(g, &first));
	if (!g->box)
		return vl_error_new(VL_ERR_CRASHED, "the guest's kernel does not answer");
	if (g->apart)
		follow(g);
	/* Those that begin or end an epoch are not of the process that the program asks about. */
	g->prefetches.messages += sent_for_process(m->op);
	tell(g, m);
	return reply(g, m, timeout_ns);
}

struct vl_error *vl_broker_start(struct vl_guest *g)
{
	struct vl_box_options o;

	if (g->box || vl_standby_take(g))
		return NULL;
	vl_worker_options(g, &o);
	return vl_box_launch(&o, &g->box);
}

/* Have a worker that is in its box. */
static struct vl_error *need_worker(struct vl_guest *g)
{
	struct vl_error *err = vl_broker_start(g);

	if (!err)
		err = vl_box_wait(g->box);
	if (err) {
		vl_broker_stop(g);
		return err;
	}
	if (!vl_target_is_live(g->raw.target))
		vl_box_be_patient(g->box);
	g->box_is = *vl_box_report(g->box);
	vl_target_set_helper(g->raw.target, vl_box_pid(g->box));
	return NULL;
}

void vl_broker_stop(struct vl_guest *g)
{
	if (!g->box)
		return;
	vl_broker_figures(g, &g->gone);
	if (g->box)
		end_worker(g);
}

/* --- struct vl_sys --- */

static bool is_hex(const char *text, size_t max)
{
	size_t n = strspn(text, "0123456789abcdef");

	return n <= max && !text[n];
}

/*
 * Let the worker attach or, if it has, check that its kernel still runs. *@want_ret: it does
 * not, and a new worker is needed.
 */
static struct vl_error *attach(struct vl_guest *g, bool *want_ret)
{
	struct vl_message m = { .op = VL_OP_ATTACH, .value = { g->distrusts } };
	/* A file without registers is searched, which takes as long as the disk needs. */
	const struct vl_target *t = g->raw.target;
	uint64_t search_ns = vl_target_has_vcpus(t) && !vl_target_moved(t) ? 0 : VL_SEARCH_NS;
	bool first = !g->attached;
	struct vl_error *err;

	*want_ret = false;
	follow(g);
	vl_box_allow_time(g->box, ATTACH_CPU_NS + search_ns);
	err = vl_broker_ask(g, &m, ATTACH_NS + search_ns);
	if (!err)
		vl_box_allow_time(g->box, CPU_NS);
	vl_kept_end_turn(g->raw.target);
	/* A timeout: a new worker would read the same, and take as long. */
	if (err && !g->box && g->late && first) {
		vl_error_destroy(err);
		return vl_attach_late();
	}
	if (err) {
		*want_ret = g->box && m.value[0] == VL_WANT_ATTACH;
		return err;
	}
	if (first) {
		m.text[sizeof(m.text) - 1] = '\0';
		if (is_hex(m.text, VL_BUILD_ID_MAX))
			strcpy(g->build_id, m.text);
		g->first = m.value[0];
		g->known = m.value[1];
		g->shortfall = (struct vl_shortfall){ m.value[2], m.value[3], m.value[4] };
	}
	g->attached = true;
	m.hint[sizeof(m.hint) - 1] = '\0';
	return first && g->trusted ? vl_broker_trust(g, m.hint) : NULL;
}

struct vl_error *vl_broker_ready(struct vl_guest *g, bool need_attach)
{
	struct vl_error *err = spent(g);
	bool again;

	if (!err)
		err = need_worker(g);
	if (err)
		return err;
	if (!need_attach && !g->attached) {
		follow(g);
		vl_box_allow_time(g->box, CPU_NS);
		return NULL;
	}
	err = attach(g, &again);
	if (again) {
		vl_error_destroy(err);
		vl_broker_stop(g);
		err = need_worker(g);
		if (!err)
			err = attach(g, &again);
	}
	g->distrusts = false;
	return err;
}

struct vl_error *vl_guest_runs(struct vl_guest *g, bool *ret)
{
	struct vl_error *err;
	bool other;

	*ret = false;
	if (!g->attached)
		return vl_error_new(VL_ERR_CRASHED, "the process that reads the guest has ended");
	err = attach(g, &other);
	*ret = !err;
	if (other) {
		vl_error_destroy(err);
		err = NULL;
	}
	vl_target_rest(g->raw.target);
	return err;
}

void vl_broker_renew(struct vl_guest *g)
{
	g->anew = g->distrusts = true;
	vl_broker_stop(g);
}

struct vl_error *vl_broker_lied(struct vl_guest *g)
{
	return lost(g, vl_error_hint(vl_error_new(VL_ERR_CRASHED,
						  "the process that reads the guest gave a "
						  "malformed answer, and was ended"),
				     "try again; the guest may be hostile"));
}

static struct vl_error *begin_once(struct vl_guest *g, uint64_t *want_ret)
{
	struct vl_message m = { .op = VL_OP_BEGIN };
	const uint64_t start = vl_broker_work_ns(g);
	struct vl_error *err;

	*want_ret = VL_WANT_NOTHING;
	if (g->prepares) {
		err = prepared(g, &m);
	} else {
		err = vl_broker_ready(g, true);
		if (err)
			return err;
		err = vl_broker_ask(g, &m, BEGIN_NS);
	}
	if (err && g->box)
		*want_ret = m.value[0];
	if (!err && g->trusted && vl_broker_work_ns(g) - start >= SLOW_BEGIN_NS)
		g->lost_ns += vl_broker_work_ns(g) - start;
	return err;
}

bool vl_broker_grant(struct vl_guest *g, uint64_t want, const struct vl_error *err)
{
	if (want == VL_WANT_ATTACH_ANEW && !g->anew) {
		vl_broker_renew(g);
		return true;
	}
	if (want == VL_WANT_EMULATOR && g->executor == VL_EXECUTOR_ANY) {
		snprintf(g->no_kvm, sizeof(g->no_kvm), "%s", err ? err->message : "");
		g->executor = VL_EXECUTOR_UNICORN;
		vl_broker_stop(g);
		return true;
	}
	return false;
}

void vl_broker_end(struct vl_sys *sys)
{
	struct vl_message m = { .op = VL_OP_END };
	struct vl_guest *g = vl_guest_of(sys);

	if (g->prepares)
		vl_error_destroy(prepared(g, &m));
	if (!sys->open)
		return;
	/* The epoch ends only because it has become long. */
	if (g->ahead && sys->brief && !sys->steady) {
		vl_ahead_carry(g->ahead, sys->epoch + 1);
		vl_prefetches_carry(&g->prefetches, sys->epoch + 1);
	}
	g->ended_ns = vl_now_ns();
	m = (struct vl_message){ .op = VL_OP_END };
	if (vl_discard(vl_broker_ask(g, &m, VL_CALL_NS)))
		return;
	/* The reply has the figures, too. */
	vl_broker_take_figures(g);
	if (sys->open) {
		sys->open = 0;
		sys->epoch++;
		end_pauses(g);
	}
}

bool vl_broker_is_old(const struct vl_guest *g)
{
	return vl_target_is_live(g->raw.target) && vl_now_ns() - g->epoch_ns > VL_EPOCH_MAX_AGE_NS;
}

struct vl_error *vl_broker_begin(struct vl_sys *sys)
{
	struct vl_guest *g = vl_guest_of(sys);
	bool in_time;
	struct vl_error *err;
	uint64_t want;

	if (sys->open)
		return NULL;
	if (g->ahead && vl_now_ns() - g->ended_ns > CARRY_NS) {
		vl_ahead_expire(g->ahead);
		vl_prefetches_drop(&g->prefetches);
	}
	if (g->prepares && vl_broker_is_old(g))
		vl_broker_end(sys);
	in_time = g->prepares;
	while ((err = begin_once(g, &want)) && vl_broker_grant(g, want, err))
		vl_error_destroy(err);
	g->unvalidated = true;
	if (!in_time)
		g->epoch_ns = vl_now_ns();
	if (!err && !sys->open)
		err = vl_error_new(VL_ERR_CRASHED, "the guest's kernel does not answer");
	return err;
}

bool vl_broker_prepare(struct vl_sys *sys)
{
	struct vl_guest *g = vl_guest_of(sys);
	struct vl_message m = { .op = VL_OP_BEGIN };

	if (sys->open || g->prepares || vl_discard(vl_broker_ready(g, true)) || !sys->alone)
		return false;
	g->epoch_ns = vl_now_ns();
	if (vl_guest_lacks_files(g)) {
		address(g, &m);
		g->prepares = vl_box_tell_apart(g->box, &m, BEGIN_NS, serve_memory, g);
	} else {
		part(g);
		tell(g, &m);
		g->prepares = true;
	}
	return g->prepares;
}
