/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pause, guard and lock, over a process that counts in the place of a guest.
 */
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "tap.h"
#include "host/guard.h"
#include "host/internal.h"
#include "host/proc.h"

static _Atomic uint64_t *count;
static pid_t guest;

static void start_guest(void)
{
	count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	guest = fork();
	if (guest == 0)
		for (;;) {
			atomic_fetch_add(count, 1);
			usleep(20);
		}
}

static const struct vl_target_ops no_ops = { 0 };

static struct vl_target *new_target(void)
{
	struct vl_target *t = calloc(1, sizeof(*t));

	t->pidfd = t->proc_mem = t->lock_fd = t->turn_fd = -1;
	t->name = strdup("test");
	vl_target_set_budget(t, &(struct vl_pause_budget){ true, 900000000, 100000000000 });
	vl_error_destroy(vl_target_bind(t, guest));
	return t;
}

/* vl_target_close() is for targets with operations. */
static void end_target(struct vl_target *t)
{
	t->ops = NULL;
	vl_target_close(t);
}

/* Does it run within @ms? Only for a guest that is held: a running one may get no CPU so long. */
static bool moves(unsigned int ms)
{
	uint64_t before = atomic_load(count);

	usleep(ms * 1000);
	return atomic_load(count) != before;
}

/* Milliseconds until the guest runs, -1: not within ten seconds. */
static int runs_within(void)
{
	uint64_t start = vl_now_ns(), before = atomic_load(count);

	while (vl_now_ns() - start < 10 * VL_NSEC_PER_SEC) {
		if (atomic_load(count) != before)
			return (int)((vl_now_ns() - start) / 1000000);
		usleep(1000);
	}
	kill(guest, SIGCONT);
	return -1;
}

static bool runs(void)
{
	return runs_within() >= 0;
}

static void test_plain(void)
{
	struct vl_target *t = new_target();
	uint64_t longest = 0, total;
	struct vl_error *err;

	t->ops = &no_ops;
	err = vl_target_pause(t);
	ok(!err && vl_target_is_paused(t) && !moves(50), "paused");
	ok(!vl_target_pause(t) && !vl_target_resume(t) && !moves(10), "pauses nest");
	ok(!vl_target_resume(t) && !vl_target_is_paused(t) && runs(), "resumed");
	total = vl_target_paused_ns(t, &longest);
	ok(total > 55 * 1000000 && longest == total, "accounted: %.1f ms", (double)total / 1e6);
	err = vl_target_resume(t);
	ok(err && err->code == VL_ERR_ARG, "resume without pause");
	vl_error_destroy(err);
	kill(guest, SIGSTOP);
	usleep(10000);
	ok(!vl_target_pause(t) && vl_target_is_paused(t) && !vl_target_resume(t) && !moves(20),
	   "a guest that was stopped before stays stopped");
	kill(guest, SIGCONT);
	ok(!vl_target_pause(t), "paused once more");
	end_target(t);
	ok(runs(), "close resumes");
}

static void test_deadline(void)
{
	struct vl_target *t = new_target();
	struct vl_error *err;
	const struct vl_pause_budget budget = { true, 200000000, 1000000000 };
	uint64_t start = vl_now_ns();
	int ms;

	t->ops = &no_ops;
	vl_target_set_budget(t, &budget);
	err = vl_target_pause(t);
	ms = err || !runs() ? -1 : (int)((vl_now_ns() - start) / 1000000);
	ok(ms >= 100, "what goes on for too long is ended by the guard: %d ms", ms);
	ok(!vl_target_is_paused(t), "and is no pause any more");
	err = vl_target_resume(t);
	ok(err && err->code == VL_ERR_BLOCKED, "resume says so");
	vl_error_destroy(err);
	vl_target_set_budget(t, &(struct vl_pause_budget){ true, 30000000000, 100000000000 });
	ok(!vl_target_pause(t) && !moves(20) && !vl_target_resume(t) && runs(),
	   "and then all is as before");
	/* One that is pending must not hide a deadline that is earlier. */
	err = vl_target_pause(t);
	ok(!err && !vl_target_resume(t), "a short one of a long budget");
	vl_target_set_budget(t, &(struct vl_pause_budget){ true, 50000000, 10000000000 });
	err = vl_target_pause(t);
	ms = err ? -1 : runs_within();
	ok(ms >= 0, "the deadline of the next one is its own: %d ms", ms);
	vl_error_destroy(vl_target_resume(t));
	end_target(t);
}

static void test_budget(void)
{
	struct vl_target *t = new_target();
	struct vl_error *err;
	bool again;
	int nr = 0;

	t->ops = &no_ops;
	vl_target_set_budget(t, &(struct vl_pause_budget){ true, 30000000, 100000000 });
	for (err = NULL; !err && nr < 20; nr++) {
		err = vl_target_pause(t);
		usleep(err ? 0 : 10000);
		if (!err)
			err = vl_target_resume(t);
		/* The host may be so slow that the guard ends one. */
		if (err && err->code == VL_ERR_BLOCKED) {
			vl_error_destroy(err);
			err = NULL;
		}
	}
	ok(err && err->code == VL_ERR_SPENT && nr <= 13, "the run's budget ends: pause %d", nr);
	ok(vl_target_nr_pauses(t) == (uint64_t)nr - 1 && runs(), "and none was begun");
	vl_error_destroy(err);
	ok(!vl_target_pause_left(t), "nothing is left");
	/* Where nobody got a CPU for so long, the guard ends a pause before it is one. */
	do {
		vl_target_paused_reset(t);
		nr = vl_target_pause_left(t) == 30000000 ? 0 : -1;
		err = vl_target_pause(t);
		again = err && err->code == VL_ERR_BLOCKED;
		if (again)
			vl_error_destroy(err);
	} while (again);
	ok(!nr && !err, "the next run has a budget of its own");
	vl_error_destroy(err);
	vl_error_destroy(vl_target_resume(t));
	vl_target_set_budget(t, &(struct vl_pause_budget){ true, 0, 0 });
	err = vl_target_pause(t);
	ok(err && err->code == VL_ERR_SPENT && runs(), "a budget of nought");
	vl_error_destroy(err);
	end_target(t);
}

static void die(const char *how)
{
	struct vl_target *t = new_target();

	t->ops = &no_ops;
	/* Its deadline is not what ends it. */
	vl_target_set_budget(t, &(struct vl_pause_budget){ true, 60000000000, 100000000000 });
	vl_error_destroy(vl_target_pause(t));
	if (!strcmp(how, "exit"))
		_exit(0);
	if (!strcmp(how, "SIGSEGV")) {
		signal(SIGSEGV, SIG_DFL);
		raise(SIGSEGV);
	}
	if (!strcmp(how, "group"))
		kill(0, SIGKILL);
	if (!strcmp(how, "child")) /* which inherits everything and lives on */
		if (fork() == 0)
			for (;;)
				pause();
	raise(SIGKILL);
}

static void test_death(void)
{
	static const char *const ways[] = { "exit", "SIGKILL", "SIGSEGV", "group", "child" };

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		pid_t pid = fork();
		int ms;

		if (pid == 0) {
			setsid();
			die(ways[i]);
		}
		waitpid(pid, NULL, 0);
		ms = runs_within();
		ok(ms >= 0, "death by %s: runs again after %d ms", ways[i], ms);
		kill(-pid, SIGKILL);
	}
}

/* Signal the guards of our guest: they alone have its memory file open. */
static void signal_guards(int sig)
{
	char mine[64], path[512], link[256];
	struct dirent *de;
	DIR *proc = opendir("/proc");

	snprintf(mine, sizeof(mine), "/proc/%d/mem", (int)guest);
	while (proc && (de = readdir(proc))) {
		int pid = atoi(de->d_name);

		for (int fd = 3; pid > 0 && pid != getpid() && fd < 16; fd++) {
			ssize_t n;

			snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
			n = readlink(path, link, sizeof(link) - 1);
			link[n < 0 ? 0 : n] = '\0';
			if (!strcmp(link, mine))
				kill(pid, sig);
		}
	}
	if (proc)
		closedir(proc);
}

/* What a thread does that is slow to stop: the leader of a process that was told to. */
static void *spin(void *arg)
{
	for (;;)
		usleep(1000);
	return arg;
}

static void test_stopping(void)
{
	int missed = 0;
	pid_t pid = fork();

	if (!pid) {
		pthread_t thread;

		pthread_create(&thread, NULL, spin, NULL);
		spin(NULL);
	}
	usleep(50000);
	ok(!vl_proc_is_stopping(pid), "a process that runs is not stopping");
	for (int i = 0; i < 500; i++) {
		kill(pid, SIGSTOP);
		missed += !vl_proc_is_stopping(pid);
		kill(pid, SIGCONT);
	}
	ok(!missed, "one that was told to stop is, from that point in time on: %d missed", missed);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* All of us are: the tool, which is this test, does nothing, and its guard cannot. */
static void test_guard_stopped(void)
{
	const struct vl_pause_budget budget = { true, 100000000, 10000000000 };
	struct vl_target *t = new_target();
	int ms;

	t->ops = &no_ops;
	vl_target_set_budget(t, &budget);
	vl_error_destroy(vl_target_pause(t));
	vl_error_destroy(vl_target_resume(t));
	for (int i = 0; i < 2; i++) {
		struct vl_error *err = NULL;

		/* It shows itself once it has closed what it does not need. */
		usleep(150000);
		if (i)
			signal_guards(SIGSTOP);
		err = vl_target_pause(t);
		if (!i)
			signal_guards(SIGSTOP);
		ms = err ? -1 : runs_within();
		ok(ms >= 0, "a guard that is stopped %s pause goes on: the guest runs after %d ms",
		   i ? "before a" : "in a", ms);
		vl_error_destroy(err);
		vl_error_destroy(vl_target_resume(t));
	}
	end_target(t);
}

static void test_guard_killed(void)
{
	struct vl_target *t = new_target();

	t->ops = &no_ops;
	vl_error_destroy(vl_target_pause(t));
	vl_error_destroy(vl_target_resume(t));
	/* It is known by what it has open, and may not have got so far yet. */
	for (int i = 0; i < 200 && !vl_guard_is_dead(t->guard); i++) {
		signal_guards(SIGKILL);
		usleep(10000);
	}
	ok(vl_guard_is_dead(t->guard), "a killed guard is noticed");
	ok(!vl_target_pause(t) && !vl_guard_is_dead(t->guard) && !vl_target_resume(t),
	   "the next pause has a new one");
	end_target(t);
}

enum { HOLDS, HOLDS_NO_MORE, WAS_ENDED, HOLDS_AGAIN };

/* A tool that has come so far, and hangs. */
static pid_t hung_tool(int how)
{
	int ready[2], pid;
	char c;

	if (pipe(ready))
		return -1;
	pid = fork();
	if (!pid) {
		struct vl_target *t = new_target();

		t->ops = &no_ops;
		if (how == WAS_ENDED || how == HOLDS_AGAIN)
			vl_target_set_budget(
				t, &(struct vl_pause_budget){ true, 20000000, 100000000000 });
		vl_error_destroy(vl_target_pause(t));
		if (how == HOLDS_NO_MORE)
			vl_error_destroy(vl_target_resume(t));
		while ((how == WAS_ENDED || how == HOLDS_AGAIN) && vl_guard_holds(t->guard))
			usleep(1000);
		if (how == HOLDS_AGAIN) {
			vl_error_destroy(vl_target_resume(t));
			vl_target_set_budget(
				t, &(struct vl_pause_budget){ true, 2000000000, 100000000000 });
			vl_error_destroy(vl_target_pause(t));
		}
		if (write(ready[1], "", 1) < 0)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (read(ready[0], &c, 1) < 0)
		c = 0;
	close(ready[0]);
	/* The guard shows itself once it has closed what it does not need. */
	usleep(20000);
	return pid;
}

static void kill_both(pid_t tool, bool guard_first)
{
	if (guard_first)
		signal_guards(SIGKILL);
	kill(tool, SIGKILL);
	if (!guard_first)
		signal_guards(SIGKILL);
	waitpid(tool, NULL, 0);
}

static void test_both_killed(void)
{
	int stayed = 0, worst = 0, ms;

	for (int i = 0; i < 20; i++) {
		kill_both(hung_tool(HOLDS), true);
		ms = runs_within();
		stayed += ms < 0;
		worst = ms > worst ? ms : worst;
	}
	ok(!stayed, "guard and tool killed: runs again after %d ms", worst);
	kill_both(hung_tool(HOLDS_AGAIN), true);
	ms = runs_within();
	ok(ms >= 0, "and after a pause that the guard has ended: %d ms", ms);

	for (int how = HOLDS_NO_MORE; how <= WAS_ENDED; how++) {
		pid_t tool = hung_tool(how);

		kill(guest, SIGSTOP);
		usleep(10000);
		kill_both(tool, how == HOLDS_NO_MORE);
		ok(!moves(100), "a guest stopped by others stays so: tool and guard killed %s",
		   how == WAS_ENDED ? "after the guard has ended the pause" : "between pauses");
		kill(guest, SIGCONT);
	}
}

/* One of several tools: its pauses must be exclusive and whole. */
static int contend(unsigned int seed)
{
	struct vl_target *t = new_target();
	int wrong = 0;

	t->ops = &no_ops;
	for (int i = 0; i < 60; i++) {
		struct vl_error *err = vl_target_pause(t);
		uint64_t before;

		if (err) {
			vl_error_destroy(err);
			wrong++;
			continue;
		}
		before = atomic_load(count);
		usleep((seed * 7919 + (unsigned int)i * 104729) % 3000);
		wrong += atomic_load(count) != before;
		err = vl_target_resume(t);
		wrong += err != NULL;
		vl_error_destroy(err);
	}
	end_target(t);
	return wrong ? 1 : 0;
}

static void test_contention(void)
{
	pid_t pid[5];
	int wrong = 0;

	for (unsigned int i = 0; i < 5; i++) {
		pid[i] = fork();
		if (pid[i] == 0)
			_exit(contend(i));
	}
	/* One of them dies in the middle. */
	usleep(100000);
	kill(pid[4], SIGKILL);
	for (int i = 0; i < 5; i++) {
		int status;

		waitpid(pid[i], &status, 0);
		wrong += i < 4 && status != 0;
	}
	ok(wrong == 0, "five tools take turns, one is killed");
	ok(runs(), "and the guest runs after them");
}

/* A monitor that takes its time. */
static struct monitor {
	_Atomic unsigned slow_ms;
	_Atomic unsigned by_guard; /* how often the guard has resumed the guest by it */
} * monitor;

static struct vl_error *monitor_suspended(struct vl_target *t, bool *ret)
{
	(void)t;
	*ret = false;
	return NULL;
}

static struct vl_error *monitor_suspend(struct vl_target *t)
{
	kill(t->pid, SIGSTOP);
	return NULL;
}

static struct vl_error *monitor_unsuspend(struct vl_target *t)
{
	usleep(1000 * monitor->slow_ms);
	kill(t->pid, SIGCONT);
	return NULL;
}

static void monitor_guard_resume(const struct vl_target *t, int fd)
{
	(void)fd;
	monitor->by_guard++;
	kill(t->pid, SIGCONT);
}

/* The guard resumes in place of a tool that is at it only if that takes a second more. */
static void test_slow_monitor(void)
{
	static const struct vl_target_ops ops = { .suspended = monitor_suspended,
						  .suspend = monitor_suspend,
						  .unsuspend = monitor_unsuspend,
						  .guard_resume = monitor_guard_resume };
	struct vl_target *t = new_target();
	uint64_t start = vl_now_ns();

	monitor = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	t->ops = &ops;
	t->pause_mode = VL_PAUSE_SUSPEND;
	vl_target_set_budget(t, &(struct vl_pause_budget){ true, 100000000, 100000000000 });
	monitor->slow_ms = 400;
	ok(!vl_discard(vl_target_pause(t)) && !vl_discard(vl_target_resume(t)) &&
		   (!monitor->by_guard || vl_now_ns() - start > VL_NSEC_PER_SEC),
	   "a resume past the deadline is the tool's");
	monitor->slow_ms = 2000;
	ok(!vl_discard(vl_target_pause(t)) && !vl_discard(vl_target_resume(t)) && monitor->by_guard,
	   "and the guard's, where it takes a second more");
	end_target(t);
}

int main(void)
{
	start_guest();
	test_plain();
	test_deadline();
	test_budget();
	test_death();
	test_contention();
	test_stopping();
	test_guard_stopped();
	test_guard_killed();
	test_both_killed();
	test_slow_monitor();
	kill(guest, SIGKILL);
	return tap_end();
}
