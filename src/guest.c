/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest, opened: the target, what is known of its kernel, and the epochs in
 * which its kernel answers.
 */
#include "guest-internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "imee/engine.h"
#include "vmst/moment.h"
#include "vmst/pulse.h"

/* The clone of the epoch: a new one, or that of the last epoch in fresh memory. */
static struct vl_error *make_clone(struct vl_guest *g, unsigned cpu)
{
	const struct vl_contact *contact = g->contact;
	const struct vl_kernel *k = contact->kernel;
	const struct vl_layout *l = vl_kernel_layout(k);
	struct vl_clone_start start = { .root = contact->pt.root, .executor = g->executor };
	uint64_t offsets = vl_symbol(k, "__per_cpu_offset"), init = vl_symbol(k, "init_task");
	bool fresh = !g->clone;
	struct vl_error *err;
	uint64_t task;

	if (!offsets || !vl_view_read(g->view, &contact->pt, offsets + 8UL * cpu, &start.percpu,
				      sizeof(start.percpu)))
		return vl_error_hint(
			vl_error_new(VL_ERR_KERNEL, "cannot find the guest's per-CPU data"),
			"wait until it has booted");
	start.gdt_base = vl_symbol(k, "gdt_page");
	if (start.gdt_base)
		start.gdt_base += start.percpu;
	start.gdt_limit = 127; /* GDT_ENTRIES * 8 - 1 */
	err = fresh ? vl_clone_create(contact, g->view, &start, &g->clone) :
		      vl_clone_refresh(g->clone, start.percpu);
	if (err)
		return err;
	g->clone->budget_ns = g->budget_ns;
	task = init ? vl_clone_find_task(g->clone, l, init, g->as ? g->as : 1) : 0;
	if (!task && g->as)
		return vl_error_hint(vl_error_new(VL_ERR_ARG, "the guest has no process %d", g->as),
				     "see 'vps GUEST -e' for those it has");
	if (!task || !vl_clone_become(g->clone, task))
		return vl_error_hint(
			vl_error_new(VL_ERR_KERNEL, "cannot find the guest's init process"),
			"wait until it has booted");
	if (fresh)
		vl_clone_patch(g->clone);
	vl_clone_set_time(g->clone, g->contact);
	return vl_clone_own_files(g->clone);
}

static struct vl_error *ask_id(struct vl_guest *g, const char *name, int64_t arg, size_t nr,
			       int64_t *ret)
{
	return vl_clone_syscall(g->clone, name, (struct vl_arg[]){ VL_ARG_INT(arg) }, nr, ret);
}

/* PID_MAX_LIMIT, include/linux/threads.h */
#define PID_LIMIT (4L << 20)

/* Fill in who calls are made as. */
static struct vl_error *ask_self(struct vl_guest *g)
{
	struct vl_identity *self = &g->sys.self;
	static const char *const names[] = { "getpid", "gettid",  "getppid", "getpgid", "getsid",
					     "getuid", "geteuid", "getgid",  "getegid" };
	int64_t v[9] = { 0 };
	struct vl_error *err = NULL;

	for (size_t i = 0; !err && i < 9; i++)
		err = ask_id(g, names[i], 0, i == 3 || i == 4, &v[i]);
	/* Pids lie below those that the program's own processes have (redirect/ids.c). */
	for (size_t i = 0; !err && i < 9; i++)
		if (v[i] < 0 || v[i] >= (i < 5 ? PID_LIMIT : 1L << 32))
			err = vl_error_new(VL_ERR_KERNEL,
					   "the guest's kernel gives no answer to %s", names[i]);
	*self = (struct vl_identity){ (pid_t)v[0], (pid_t)v[1], (pid_t)v[2],
				      (pid_t)v[3], (pid_t)v[4], (uid_t)v[5],
				      (uid_t)v[6], (gid_t)v[7], (gid_t)v[8] };
	return err;
}

/* Let the guest run, if it does not already: the epoch may go on without it. */
static struct vl_error *release(struct vl_guest *g)
{
	if (!g->sys.held)
		return NULL;
	g->sys.held = 0;
	return vl_target_resume(g->target);
}

static void guest_end(struct vl_sys *sys)
{
	struct vl_guest *g = vl_guest_of(sys);

	if (!sys->open)
		return;
	/* The clone and its memory are kept for the next epoch: what is translated
	 * need not be again. */
	vl_error_destroy(release(g));
	if (g->label)
		vl_workset_update(&g->workset, g->view);
	if (g->copied && !vl_view_missed(g->view))
		g->misses = 0;
	else if (!g->copied && g->misses)
		g->misses--; /* held often enough: perhaps it is calmer now */
	sys->open = 0;
	sys->epoch++;
}

/* Pages outside of the working set were touched: the answer is of two moments. */
static struct vl_error *check_missed(struct vl_guest *g)
{
	g->sys.missed = !g->sys.held && vl_view_missed(g->view);
	if (!g->sys.missed)
		return NULL;
	return vl_error_new(VL_ERR_BLOCKED, "memory was needed that had not been copied");
}

/* What failed is not tried again: the answers are then those of a machine without it. */
static struct vl_error *see_mounts(struct vl_guest *g)
{
	struct vl_error *err = vl_clone_mount(g->clone, g->know_mounts, g->no_mount);

	g->know_mounts = !vl_view_missed(g->view);
	return err;
}

/*
 * Pause and make the clone. With a working set from before its pages are copied
 * and the guest runs again at once; without one, or when that was not enough
 * several times, the guest is held until the epoch ends.
 */
static struct vl_error *open_epoch(struct vl_guest *g, bool copying)
{
	struct vl_error *err;
	struct timespec ts;
	unsigned cpu;

	if (!g->view) {
		err = vl_view_create(g->target, &g->view);
		if (err)
			return err;
		vl_view_set_still(g->view, g->workset.still);
	}
	if (g->trim)
		vl_view_keep(g->view, g->workset.gpas, g->workset.nr);
	if (copying && (g->trim || !g->clone))
		vl_view_reserve(g->view, g->workset.gpas, g->workset.nr);
	g->trim = false;
	err = vl_moment_pause(g->contact, &cpu);
	if (err)
		return err;
	g->sys.held = 1;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	g->contact->paused_host_ns = ts.tv_sec * 1000000000L + ts.tv_nsec;
	err = vl_view_refresh(g->view, g->workset.gpas, g->workset.nr);
	g->copied = copying;
	g->calls = 0;
	if (!err && copying) {
		vl_view_release(g->view);
		err = release(g);
	}
	if (!err)
		err = make_clone(g, cpu);
	if (!err)
		err = see_mounts(g);
	if (!err && !g->know_self)
		err = ask_self(g);
	if (!err)
		err = check_missed(g);
	if (err) {
		vl_error_destroy(release(g));
		if (g->label)
			vl_workset_update(&g->workset, g->view);
	}
	return err;
}

/* Misses after which the guest is held: it changes faster than we learn. */
#define MAX_MISSES 3

/* What clones have counted so far, those that are gone and this one. */
static void add_counts(const struct vl_guest *g, uint64_t *calls_ret, struct vl_vcpu_count *ret)
{
	struct vl_vcpu_count now = { 0 };

	if (g->clone)
		vl_clone_count(g->clone, &now);
	*calls_ret = g->kernel_calls + (g->clone ? g->clone->nr_calls : 0);
	*ret = (struct vl_vcpu_count){ g->vcpu.entries + now.entries, g->vcpu.exits + now.exits };
}

/*
 * KVM could not go on with it, as it cannot emulate every instruction, or the processor
 * lacks one: the next clone runs on Unicorn, if it need not be KVM.
 */
static bool leave_kvm(struct vl_guest *g, const struct vl_error *err)
{
	if (!g->clone || !g->clone->unfit || g->clone->ops != &vl_engine_kvm ||
	    g->executor != VL_EXECUTOR_ANY)
		return false;
	snprintf(g->no_kvm, sizeof(g->no_kvm), "%s", err->message);
	g->executor = VL_EXECUTOR_UNICORN;
	g->suspect = true;
	return true;
}

/* The next epoch makes them anew; what they counted is kept. */
static void forget_clone(struct vl_guest *g)
{
	uint64_t pages, copies;

	add_counts(g, &g->kernel_calls, &g->vcpu);
	if (g->view) {
		vl_view_count(g->view, &pages, &copies);
		g->copies += copies;
	}
	vl_clone_destroy(g->clone);
	vl_view_destroy(g->view);
	g->clone = NULL;
	g->view = NULL;
}

static void forget_contact(struct vl_guest *g)
{
	vl_broker_stop(g);
	forget_clone(g);
	vl_contact_destroy(g->contact);
	vl_workset_deinit(&g->workset);
	g->contact = NULL;
	g->know_self = false;
}

struct vl_error *vl_guest_contact(struct vl_guest *g, bool anew)
{
	struct vl_error *err;

	if (g->boxed) {
		/* The broker makes it, and a new worker. */
		g->want = VL_WANT_CONTACT_ANEW;
		return vl_error_new(VL_ERR_KERNEL, "what is known of the kernel is wrong");
	}
	forget_contact(g);
	err = vl_contact_make(g->target, anew, &g->contact);
	if (!err)
		vl_workset_load(&g->workset, g->contact, g->label);
	return err;
}

/*
 * Code outside of the kernel's own text (modules, BPF) can change while a tool
 * goes on, and what was translated of it does not: start over now and then. And
 * each time where the kernel's text cannot be told from what a refresh copies
 * again, as that would undo what was patched.
 */
#define CLONE_AGE_NS 60000000000L

static void forget_old(struct vl_guest *g)
{
	struct timespec ts;
	int64_t now;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = ts.tv_sec * 1000000000L + ts.tv_nsec;
	if (g->clone && !g->suspect && g->workset.still[0].size && now - g->born_ns < CLONE_AGE_NS)
		return;
	forget_clone(g);
	g->born_ns = now;
	g->born_epoch = g->sys.epoch;
	g->suspect = false;
}

/* A call that was cut off may run longer when it is tried again: perhaps the host is slow. */
static void allow_longer(struct vl_guest *g, const struct vl_error *err)
{
	if (err && err->code == VL_ERR_CRASHED && g->budget_ns < VL_BUDGET_MAX_NS)
		g->budget_ns *= 2;
}

static struct vl_error *try_epoch(struct vl_guest *g)
{
	bool copying = g->label && g->workset.nr && g->misses < MAX_MISSES;
	struct vl_error *err;

	err = open_epoch(g, copying);
	allow_longer(g, err);
	if (err && leave_kvm(g, err)) {
		vl_error_destroy(err);
		forget_old(g);
		err = open_epoch(g, copying);
	}
	if (err && copying && err->code != VL_ERR_TARGET) {
		vl_error_destroy(err);
		g->misses++;
		err = open_epoch(g, false);
	}
	return err;
}

struct vl_error *vl_guest_drop_dead(struct vl_guest *g)
{
	struct vl_error *err;
	bool runs;

	if (!g->contact)
		return NULL;
	err = vl_pulse_look(g->contact, &runs);
	if (!err && (!runs || !vl_contact_holds(g->contact)))
		forget_contact(g);
	return err;
}

static struct vl_error *guest_begin(struct vl_sys *sys)
{
	struct vl_guest *g = vl_guest_of(sys);
	struct vl_error *err;

	if (sys->open)
		return NULL;
	sys->missed = 0;
	forget_old(g);
	err = try_epoch(g);
	/* A guest that was reset still has the old kernel's text in its memory for
	 * a while: ask the vCPUs. */
	if (err && (err->code == VL_ERR_CRASHED || err->code == VL_ERR_KERNEL) && !g->anew) {
		vl_error_destroy(err);
		g->anew = true;
		err = vl_guest_contact(g, true);
		if (!err)
			err = try_epoch(g);
	}
	if (err)
		return err;
	g->know_self = true;
	g->epochs++;
	sys->open = 1;
	return NULL;
}

/* An epoch with so many answers was worth it, even if the next needs another one. */
#define PROGRESS 16

static struct vl_error *guest_call(struct vl_sys *sys, const char *name, const struct vl_arg *args,
				   size_t nr, int64_t *ret)
{
	struct vl_guest *g = vl_guest_of(sys);
	struct vl_error *err;

	if (!g->clone)
		return vl_error_new(VL_ERR_ARG, "a call outside of an epoch");
	sys->missed = 0;
	err = vl_clone_syscall(g->clone, name, args, nr, ret);
	/* Whatever came of it: it was computed from what was not there. */
	if (vl_view_missed(g->view) && !(err && err->code == VL_ERR_TARGET)) {
		vl_error_destroy(err);
		g->misses = g->calls < PROGRESS ? g->misses + 1 : 1;
		return check_missed(g);
	}
	g->calls++;
	allow_longer(g, err);
	if (err && err->code == VL_ERR_CRASHED)
		leave_kvm(g, err);
	/* Of code that was translated in an earlier epoch? A module may be gone. */
	if (err && err->code == VL_ERR_CRASHED && g->sys.epoch != g->born_epoch)
		g->suspect = true;
	return err;
}

static uint64_t guest_push(struct vl_sys *sys, const void *buf, size_t len)
{
	struct vl_guest *g = vl_guest_of(sys);

	return g->clone ? vl_clone_user_push(g->clone, buf, len) : 0;
}

static void guest_pull(struct vl_sys *sys, uint64_t addr, void *buf, size_t len)
{
	struct vl_guest *g = vl_guest_of(sys);

	if (g->clone)
		vl_clone_user_pull(g->clone, addr, buf, len);
}

static void guest_reset(struct vl_sys *sys)
{
	struct vl_guest *g = vl_guest_of(sys);

	if (g->clone)
		vl_clone_user_reset(g->clone);
}

const struct vl_sys_ops vl_guest_ops = {
	.call = guest_call,
	.push = guest_push,
	.pull = guest_pull,
	.reset = guest_reset,
	.begin = guest_begin,
	.end = guest_end,
};

void vl_guest_hang_up(struct vl_guest *g)
{
	vl_target_rest(g->target);
}

void vl_guest_rest(struct vl_guest *g)
{
	g->sys.ops->end(&g->sys);
	vl_broker_learn(g);
	if (g->contact && g->contact->has_anchor)
		vl_contact_save(g->contact);
	if (g->contact && g->label)
		vl_workset_save(&g->workset, g->contact, g->label);
	g->workset.changed = false;
	vl_guest_hang_up(g);
}

/* A dump needs no haste, and a guest that is not paused has no moment. */
static bool wants_workset(const struct vl_guest *g)
{
	return vl_target_is_live(g->target) && g->pauses;
}

struct vl_error *vl_guest_next(struct vl_guest *g, const char *label,
			       const struct vl_pause_budget *budget)
{
	bool relabelled = false;
	struct vl_stats now;
	char *copy = NULL;

	vl_guest_rest(g);
	g->base = (struct vl_stats){ 0 };
	vl_guest_stats(g, &now);
	g->base = now;
	vl_target_paused_reset(g->target);
	vl_target_set_budget(g->target, budget);
	g->anew = false;
	if (g->contact && !vl_contact_holds(g->contact))
		forget_contact(g);
	if (g->contact)
		g->contact->first = false;
	if (!wants_workset(g) || (label && g->label && !strcmp(label, g->label)))
		goto out;
	if (label) {
		copy = strdup(label);
		if (!copy)
			return vl_error_nomem();
	}
	free(g->label);
	g->label = copy;
	relabelled = true;
	vl_workset_deinit(&g->workset);
	if (g->contact)
		vl_workset_load(&g->workset, g->contact, g->label);
out:
	vl_broker_next(g, relabelled);
	return NULL;
}

bool vl_guest_ready(const struct vl_guest *g)
{
	return g->clone && g->label && g->workset.nr && g->misses < MAX_MISSES;
}

struct vl_error *vl_guest_open(const char *spec, const struct vl_guest_options *opts,
			       struct vl_guest **ret)
{
	struct vl_guest *g = calloc(1, sizeof(*g));
	struct vl_error *err;

	if (!g)
		return vl_error_nomem();
	g->sys.ops = &vl_broker_ops;
	g->sys.own_files = 1;
	g->as = opts->as;
	g->executor = opts->executor;
	g->budget_ns = VL_BUDGET_NS;
	err = vl_target_open(spec, &opts->target, &g->target);
	if (!err && !vl_target_is_live(g->target))
		g->budget_ns = VL_BUDGET_DUMP_NS;
	g->pauses = opts->target.pause != VL_PAUSE_NONE;
	if (!err && opts->label && wants_workset(g)) {
		g->label = strdup(opts->label);
		if (!g->label)
			err = vl_error_nomem();
	}
	if (err) {
		vl_target_close(g->target);
		free(g);
		return err;
	}
	*ret = g;
	return NULL;
}

void vl_guest_close(struct vl_guest *g)
{
	if (!g)
		return;
	vl_guest_rest(g);
	vl_broker_stop(g);
	vl_workset_deinit(&g->workset);
	free(g->label);
	vl_contact_destroy(g->contact);
	vl_target_close(g->target);
	free(g);
}

struct vl_sys *vl_guest_sys(struct vl_guest *g)
{
	return &g->sys;
}

void vl_guest_figures(const struct vl_guest *g, struct vl_stats *ret)
{
	struct vl_vcpu_count vcpu;

	*ret = (struct vl_stats){ .epochs = g->epochs };
	add_counts(g, &ret->kernel_calls, &vcpu);
	ret->kvm_entries = vcpu.entries;
	ret->kvm_exits = vcpu.exits;
	snprintf(ret->engine, sizeof(ret->engine), "%s", g->clone ? g->clone->ops->name : "vmst");
	snprintf(ret->no_kvm, sizeof(ret->no_kvm), "%s",
		 *g->no_kvm ? g->no_kvm :
		 g->clone   ? g->clone->why :
			      "");
	if (g->view)
		vl_view_count(g->view, &ret->pages_touched, &ret->pages_copied);
	ret->pages_copied += g->copies;
}

void vl_guest_stats(struct vl_guest *g, struct vl_stats *ret)
{
	vl_broker_figures(g, ret);
	ret->epochs -= g->base.epochs;
	ret->kernel_calls -= g->base.kernel_calls;
	ret->kvm_entries -= g->base.kvm_entries;
	ret->kvm_exits -= g->base.kvm_exits;
	ret->pages_copied -= g->base.pages_copied;
	ret->first_contact = g->contact && g->contact->first;
	if (g->contact)
		memcpy(ret->kernel, g->contact->build_id, sizeof(g->contact->build_id));
	vl_box_describe(&g->box_is, ret->box);
	snprintf(ret->no_box, sizeof(ret->no_box), "%s", g->box_is.missing);
	ret->paused_ns = vl_target_paused_ns(g->target, &ret->paused_longest_ns);
	ret->pauses = vl_target_nr_pauses(g->target);
}

const char *vl_version(void)
{
	return VLENS_VERSION;
}

const char *vl_features(void)
{
	return VLENS_FEATURES;
}

bool vl_guest_is_live(const struct vl_guest *g)
{
	return vl_target_is_live(g->target);
}

struct vl_error *vl_guest_reader(struct vl_guest *g, const struct vl_reader_options *opts,
				 struct vl_reader **ret)
{
	struct vl_contact *c;
	struct vl_error *err;

	/* A contact of its own: the guest's is made anew when it proves wrong. */
	err = vl_contact_make(g->target, false, &c);
	if (err)
		return err;
	err = vl_reader_open(g->target, c, opts, ret);
	if (err)
		vl_contact_destroy(c);
	else
		vl_reader_adopt(*ret, c);
	return err;
}

pid_t vl_guest_pid(const struct vl_guest *g)
{
	return vl_target_pid(g->target);
}
