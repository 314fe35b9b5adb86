/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pausing. The default is to freeze the hypervisor process with SIGSTOP and let
 * it go with SIGCONT: to the guest that is a scheduling stall like any other,
 * it needs no daemon and takes microseconds. (A cgroup's freezer is no quicker,
 * and a QEMU has a cgroup of its own only under systemd.) One effect is visible: a
 * parent that waits with WUNTRACED, as a shell with job control does, is told.
 *
 * Two tools on one guest take turns: a pause is held under an exclusive flock.
 * The lock must be one that all users who may pause this process agree on
 * (root, and the owner of a session's QEMU), that no other user can take, and
 * that no crash leaves behind. /proc/PID/mem is all of that: it can be opened
 * only with the right to read the process's memory, and while one opener has it
 * open every other one gets the same inode, which flock needs. (Tools under
 * different mounts of /proc would not see each other.)
 *
 * A second lock in front, the turn, makes it fair: it is held while waiting for
 * the first, so that a tool that pauses again and again cannot overtake one that
 * waits. Its file, /proc/PID/maps, is guarded by the same right.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/file.h>

#include "guard.h"
#include "internal.h"
#include "proc.h"

/*
 * How long to wait for our turn. Twenty tools that make a first attach at once hold the guest one
 * after the other, each several times. A waiting tool does not hold the guest.
 */
#define LOCK_TIMEOUT_NS (20 * VL_NSEC_PER_SEC)
/* How long all threads of the process may take to stop. */
#define STOP_TIMEOUT_NS (500 * 1000000ULL)

static void nap_us(long us)
{
	struct timespec ts = { 0, us * 1000 };

	nanosleep(&ts, NULL);
}

static struct vl_error *open_lock(struct vl_target *t, const char *file, int *fd)
{
	char path[64];

	if (*fd >= 0)
		return NULL;
	snprintf(path, sizeof(path), "/proc/%d/%s", (int)t->pid, file);
	*fd = open(path, O_RDONLY | O_CLOEXEC);
	return *fd < 0 ? vl_proc_denied(t->pid, errno) : NULL;
}

static struct vl_error *take_lock(struct vl_target *t, int fd, uint64_t deadline)
{
	for (long us = 50;; us = us < 1000 ? us * 2 : us) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return NULL;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return vl_error_os(errno, "cannot lock the guest for a pause");
		if (vl_now_ns() >= deadline)
			return vl_error_hint(
				vl_error_new(VL_ERR_TARGET,
					     "other tools have held the guest paused for %d s",
					     (int)(LOCK_TIMEOUT_NS / VL_NSEC_PER_SEC)),
				"see which process has /proc/%d/mem open", (int)t->pid);
		nap_us(us);
	}
}

/* Wait for our turn, then for the end of the current pause. */
static struct vl_error *take_locks(struct vl_target *t)
{
	uint64_t deadline = vl_now_ns() + LOCK_TIMEOUT_NS;
	struct vl_error *err;

	err = take_lock(t, t->turn_fd, deadline);
	if (err)
		return err;
	err = take_lock(t, t->lock_fd, deadline);
	flock(t->turn_fd, LOCK_UN);
	return err;
}

/*
 * A conversation with the monitor takes the same lock as a pause: a frozen process answers
 * nobody. The monitor of a suspended guest answers, so that mode needs no lock.
 */
bool vl_pause_hold_off(struct vl_target *t)
{
	return t->pause_mode != VL_PAUSE_SUSPEND && !t->pause_depth && t->pid &&
	       !vl_discard(open_lock(t, "mem", &t->lock_fd)) &&
	       !vl_discard(open_lock(t, "maps", &t->turn_fd)) && !vl_discard(take_locks(t));
}

void vl_pause_let_go(struct vl_target *t)
{
	flock(t->lock_fd, LOCK_UN);
}

/* How long the guard may take to resume the guest: by a signal, by its monitor. */
static unsigned ready_ms(const struct vl_target *t)
{
	return t->pause_mode == VL_PAUSE_SUSPEND ? 5000 : 10;
}

/* VL_ERR_BLOCKED, as callers retry on it: another try may succeed. */
static struct vl_error *forced(void)
{
	return vl_error_hint(vl_error_new(VL_ERR_BLOCKED,
					  "the guest was held paused for too long and has been "
					  "resumed by the guard"),
			     "the host may be overloaded: try again");
}

/*
 * The time for the guard to wake up and resume the guest is part of the pause: a tenth of the
 * pause, and this at least (57 us measured on a busy host).
 */
#define GUARD_LATE_NS 250000UL
/* A shorter pause is useless: stopping and continuing take most of it. */
#define PAUSE_LEAST_NS (400000UL + GUARD_LATE_NS)

bool vl_target_freezes(const struct vl_target *t)
{
	return t->pause_mode == VL_PAUSE_AUTO || t->pause_mode == VL_PAUSE_FREEZE;
}

bool vl_target_set_pause(struct vl_target *t, enum vl_pause_mode mode)
{
	if (t->pause_depth || t->guard || (mode == VL_PAUSE_SUSPEND && !t->ops->suspend))
		return false;
	t->pause_mode = mode;
	return true;
}

void vl_target_set_budget(struct vl_target *t, const struct vl_pause_budget *budget)
{
	t->budget = budget && budget->given ?
			    *budget :
			    (struct vl_pause_budget){ .longest_ns = VL_PAUSE_LONGEST_NS,
						      .total_ns = VL_PAUSE_TOTAL_NS };
}

uint64_t vl_target_pauses_left(const struct vl_target *t)
{
	if (!t->pid || t->pause_mode == VL_PAUSE_NONE)
		return UINT64_MAX;
	return t->budget.total_ns > t->paused_ns ? t->budget.total_ns - t->paused_ns : 0;
}

uint64_t vl_target_pause_left(const struct vl_target *t)
{
	uint64_t left = vl_target_pauses_left(t);

	if (left != UINT64_MAX && left > t->budget.longest_ns)
		left = t->budget.longest_ns;
	return left < PAUSE_LEAST_NS ? 0 : left;
}

static struct vl_error *spent(void)
{
	return vl_error_hint(vl_error_new(VL_ERR_SPENT, "the guest may not be paused any longer"),
			     "--max-pause sets the limit");
}

/*
 * Stop the process and wait until no thread of it can run, or until @end, when the guard acts. The
 * guard of the first pause may still be starting then.
 */
static struct vl_error *freeze(struct vl_target *t, uint64_t end)
{
	uint64_t deadline = vl_now_ns() + STOP_TIMEOUT_NS;
	bool late = false;
	int r = vl_guard_signal(t, SIGSTOP);

	vl_guard_note_stop(t->guard);
	for (int i = 0; r == 0; i++) {
		r = vl_proc_all_stopped(t->pid);
		if (r > 0)
			return NULL;
		late = !vl_guard_holds(t->guard) || vl_now_ns() >= end;
		if (r == 0 && (late || vl_now_ns() >= deadline))
			r = -ETIMEDOUT;
		else if (i < 20)
			sched_yield();
		else
			nap_us(50);
	}
	vl_guard_signal(t, SIGCONT);
	/* No time is left: we or the process did not get a CPU. */
	if (r == -ETIMEDOUT && late)
		return forced();
	if (r == -ETIMEDOUT)
		return vl_error_hint(
			vl_error_new(VL_ERR_BLOCKED, "process %d does not stop", (int)t->pid),
			"try --pause=suspend");
	return vl_proc_denied(t->pid, -r);
}

/*
 * While the guest is held we must get a CPU at once: on a busy host a tool that is one of ten
 * runnable threads holds the guest ten times as long. A real-time class is above all groups of
 * processes; a nice value counts only within our group (sched(7), autogroup). Needs
 * CAP_SYS_NICE; without it the class stays as it is. The helper is below us, the guard above
 * both.
 */
enum { PRIORITY_HELPER = 1, PRIORITY_OURS = 2 };

/* Priority 0: no real-time class. */
static int set_class(pid_t pid, int priority)
{
	const struct sched_param param = { .sched_priority = priority };

	return sched_setscheduler(pid, priority ? SCHED_FIFO | SCHED_RESET_ON_FORK : SCHED_OTHER,
				  &param);
}

static void raise_priority(struct vl_target *t)
{
	t->boosted = sched_getscheduler(0) == SCHED_OTHER && !set_class(0, PRIORITY_OURS);
	if (t->boosted && t->helper)
		set_class(t->helper, PRIORITY_HELPER);
}

static void calm_down(struct vl_target *t)
{
	if (t->boosted && t->helper)
		set_class(t->helper, 0);
	if (t->boosted)
		set_class(0, 0);
	t->boosted = false;
}

void vl_pause_count(struct vl_target *t, uint64_t ns)
{
	t->nr_pauses++;
	t->paused_ns += ns;
	if (ns > t->paused_longest)
		t->paused_longest = ns;
}

static void account(struct vl_target *t, uint64_t end)
{
	vl_pause_count(t, end > t->pause_start ? end - t->pause_start : 0);
}

/* When the guard ended this pause. Now, if the guard has not noted the time yet. */
static uint64_t forced_at(const struct vl_target *t)
{
	uint64_t at = vl_guard_forced_at(t->guard);

	return at > t->pause_start ? at : vl_now_ns();
}

/* Has somebody else paused the guest? */
static struct vl_error *look(struct vl_target *t, bool *paused_ret)
{
	uint64_t start;
	char state;
	int r;

	if (t->pause_mode == VL_PAUSE_SUSPEND)
		return t->ops->suspended(t, paused_ret);
	r = vl_proc_stat(t->pid, &state, &start);
	if (r < 0 || start != vl_target_start_time(t))
		return vl_proc_denied(t->pid, r < 0 ? -r : ESRCH);
	*paused_ret = state == 'T' || state == 't';
	return NULL;
}

/* The time in ns after which the guard acts, for a pause of @left ns at most. */
static uint64_t guarded_time(uint64_t left)
{
	return left - (left / 10 > GUARD_LATE_NS ? left / 10 : GUARD_LATE_NS);
}

/*
 * Pause the guest. One that is paused already is left alone, by the guard, too: so the guard is
 * armed only after look().
 */
static struct vl_error *begin(struct vl_target *t)
{
	bool was = false;
	struct vl_error *err = look(t, &was);
	uint64_t end;

	if (err || was)
		return err;
	t->pause_start = vl_now_ns();
	end = t->pause_start + guarded_time(vl_target_pause_left(t));
	vl_guard_arm(t->guard, t->pid, end);
	err = t->pause_mode == VL_PAUSE_SUSPEND ? t->ops->suspend(t) : freeze(t, end);
	vl_guard_note_stop(t->guard);
	if (!err && vl_guard_holds(t->guard)) {
		t->pause_ours = true;
		return NULL;
	}
	/* The guest stood still for this time in each case. */
	account(t, vl_guard_holds(t->guard) ? vl_now_ns() : forced_at(t));
	if (!err) {
		/* The pause took so long that the guard has ended it. */
		if (vl_target_freezes(t))
			vl_guard_signal(t, SIGCONT);
		else
			err = t->ops->unsuspend(t);
		if (!err)
			err = vl_error_hint(
				vl_error_new(VL_ERR_BLOCKED, "pausing the guest took too long"),
				"the host may be overloaded: try again");
	}
	vl_guard_end_release(t->guard);
	return err;
}

/* For a proxy: the broker pauses. Here only the depth is counted. */
static struct vl_error *count_pause(struct vl_target *t, struct vl_error *err)
{
	t->pause_depth += !err;
	return err;
}

struct vl_error *vl_target_pause(struct vl_target *t)
{
	struct vl_error *err;

	if (t->proxy)
		return count_pause(t, t->proxy->pause(t->proxy->ctx));
	if (!t->pid || t->pause_mode == VL_PAUSE_NONE || t->pause_depth) {
		t->pause_depth++;
		return NULL;
	}
	if (!vl_target_pause_left(t))
		return spent();
	if (t->pause_mode == VL_PAUSE_SUSPEND && !t->ops->suspend)
		return vl_error_new(VL_ERR_ARG, "this kind of guest cannot be suspended");
	err = open_lock(t, "mem", &t->lock_fd);
	if (!err)
		err = open_lock(t, "maps", &t->turn_fd);
	if (!err && t->guard && vl_guard_is_dead(t->guard)) {
		vl_guard_stop(t->guard);
		t->guard = NULL;
	}
	/* The guard inherits the connection by which it resumes the guest: make it first. */
	if (!err && !t->guard && t->pause_mode == VL_PAUSE_SUSPEND && t->ops->prepare)
		err = t->ops->prepare(t);
	if (!err && !t->guard)
		err = vl_guard_start(t, &t->guard);
	if (!err)
		vl_guard_make_ready(t->guard, ready_ms(t));
	if (!err)
		err = take_locks(t);
	if (err)
		return err;
	t->pause_ours = false;
	raise_priority(t);
	err = begin(t);
	if (err) {
		calm_down(t);
		flock(t->lock_fd, LOCK_UN);
		return err;
	}
	t->pause_depth = 1;
	return NULL;
}

struct vl_error *vl_target_resume(struct vl_target *t)
{
	struct vl_error *err = NULL;
	int r = 0;

	if (!t->pause_depth)
		return vl_error_new(VL_ERR_ARG, "the guest is not paused");
	if (t->proxy) {
		t->pause_depth--;
		return t->proxy->resume(t->proxy->ctx);
	}
	if (--t->pause_depth || !t->pid || t->pause_mode == VL_PAUSE_NONE)
		return NULL;
	if (!t->pause_ours) {
		calm_down(t);
		flock(t->lock_fd, LOCK_UN);
		return NULL;
	}
	t->pause_ours = false;
	if (!vl_guard_begin_release(t->guard)) {
		/* The guard has resumed the guest, or is about to, and releases the lock. */
		calm_down(t);
		vl_guard_end_release(t->guard);
		vl_guard_make_ready(t->guard, ready_ms(t));
		account(t, forced_at(t));
		return forced();
	}
	if (t->pause_mode == VL_PAUSE_SUSPEND)
		err = t->ops->unsuspend(t);
	else
		r = vl_guard_signal(t, SIGCONT);
	account(t, vl_now_ns());
	calm_down(t);
	if (err) {
		/* The guest must not stay paused: the guard tries, as it ends. */
		vl_guard_stop(t->guard);
		t->guard = NULL;
	} else {
		vl_guard_end_release(t->guard);
	}
	flock(t->lock_fd, LOCK_UN);
	return !err && r < 0 ? vl_proc_denied(t->pid, -r) : err;
}

struct vl_error *vl_target_pause_quiesced(struct vl_target *t, const struct vl_quiesce *m,
					  unsigned tries, unsigned *cpu_ret)
{
	return count_pause(t, t->proxy->quiesce(t->proxy->ctx, m, tries, cpu_ret));
}

bool vl_target_is_paused(const struct vl_target *t)
{
	return t->pause_depth && t->pause_mode != VL_PAUSE_NONE &&
	       (t->proxy || !t->pause_ours || vl_guard_holds(t->guard));
}

uint64_t vl_target_nr_pauses(const struct vl_target *t)
{
	return t->nr_pauses;
}

uint64_t vl_target_paused_ns(const struct vl_target *t, uint64_t *longest_ret)
{
	if (longest_ret)
		*longest_ret = t->paused_longest;
	return t->paused_ns;
}

void vl_target_get_account(const struct vl_target *t, struct vl_pause_account *ret)
{
	*ret = (struct vl_pause_account){ t->paused_ns, t->paused_longest, t->nr_pauses,
					  t->budget };
}

void vl_target_set_account(struct vl_target *t, const struct vl_pause_account *a)
{
	t->paused_ns = a->paused_ns;
	t->paused_longest = a->longest_ns;
	t->nr_pauses = a->nr;
	t->budget = a->budget;
}

unsigned int vl_target_pause_depth(const struct vl_target *t)
{
	return t->pause_depth;
}

void vl_target_paused_reset(struct vl_target *t)
{
	t->paused_ns = t->paused_longest = t->nr_pauses = 0;
}
