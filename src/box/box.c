/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The broker's side of a box: starts a worker, talks to it, and ends it. */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../base/append.h"
#include "../base/array.h"
#include "../base/clock.h"
#include "../base/process.h"

/* How often to check that the worker is alive, and so the latest time to notice its death. */
#define POLL_NS 10000000UL
#define START_NS (10 * VL_NSEC_PER_SEC)
/* The most that a worker's waits add to a timeout. */
#define PATIENCE_NS (3600 * VL_NSEC_PER_SEC)

/* --- in the worker, before its box --- */

static void no_terminal(struct vl_box_fds *keep)
{
	int null = open("/dev/null", O_RDWR);

	for (int fd = 0; fd < 3; fd++) {
#ifdef __SANITIZE_ADDRESS__
		/* The sanitizer's reports go to stderr. */
		if (fd == 2) {
			vl_box_keep(keep, fd);
			continue;
		}
#endif
		if (null >= 0 && null != fd)
			dup2(null, fd);
		vl_box_keep(keep, fd);
	}
}

static void start_over_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int highest(const struct vl_box_fds *keep)
{
	int max = 2;

	for (size_t i = 0; i < keep->nr; i++)
		max = keep->fd[i] > max ? keep->fd[i] : max;
	return max;
}

/* A pidfd of the process whose namespaces to enter; -1: it lacks some, or there is none. */
static int beside_of(const struct vl_box_options *o)
{
	const uint32_t all = VL_BOX_NET | VL_BOX_MOUNT | VL_BOX_IPC;
	const struct vl_box *b = o->beside;

	return b && !b->gone && (b->report.has & all) == all ? b->pidfd : -1;
}

static void __attribute__((noreturn))
work(const struct vl_box_options *o, struct vl_wire *wire, int link, bool own_pids)
{
	struct vl_box_fds keep = { .nr = 0 };
	struct vl_message m = { .op = VL_OP_REPLY };
	struct vl_box_report report = { 0 };
	struct pollfd p = { .fd = link };
	struct vl_error *err = NULL;
	int beside = beside_of(o);

	setsid();
	start_over_signals();
	vl_process_rename(o->name);
	if (o->prepare)
		err = o->prepare(o->ctx, &keep);
	if (!err && (!vl_box_keep(&keep, link) || !vl_box_keep(&keep, beside)))
		err = vl_error_new(VL_ERR_OS, "too many files back the guest's memory");
	if (!err) {
		no_terminal(&keep);
		vl_box_close_others(&keep);
		vl_box_unmap_shared(wire);
		err = vl_box_enter(o->memory, highest(&keep), own_pids, beside, &report);
	}
	m.value[0] = report.has;
	m.value[1] = report.uid;
	memcpy(m.text, report.missing, sizeof(report.missing));
	vl_message_put_error(&m, err);
	vl_wire_say(wire, VL_CHANNEL_MAIN, &m);
	/* The broker may have ended before the parent-death signal was set. */
	if (!m.error && !poll(&p, 1, 0))
		o->work(o->ctx, wire, link);
	_exit(0);
}

/* --- the broker --- */

/* Fork a child, in its own PID namespace where that is allowed. */
static pid_t fork_alone(bool *own_pids)
{
	int ours = open("/proc/thread-self/ns/pid_for_children", O_RDONLY | O_CLOEXEC), e;
	pid_t pid;

	/* This affects this thread's next children only, and is undone below. */
	*own_pids = ours >= 0 && !unshare(CLONE_NEWPID);
	pid = fork();
	e = errno;
	if (pid && *own_pids && setns(ours, CLONE_NEWPID) && pid > 0) {
		/* Later children would be in that namespace, too: fail. */
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		e = EPERM;
		pid = -1;
	}
	if (ours >= 0)
		close(ours);
	errno = e;
	return pid;
}

void vl_box_dismiss(const struct vl_box *b)
{
	if (b->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, b->pidfd, SIGKILL, NULL, 0);
	else
		kill(b->pid, SIGKILL);
}

bool vl_box_is_borrowed(const struct vl_box *b)
{
	return b->lender >= 0;
}

/* End the worker if it still runs. With @waits, wait for it and take its exit status. */
static void reap(struct vl_box *b, bool waits)
{
	struct rusage used;

	if (b->gone)
		return;
	b->gone = true;
	vl_box_dismiss(b);
	if (vl_box_is_borrowed(b) || !waits)
		return;
	while (wait4(b->pid, &b->status, 0, &used) < 0)
		if (errno != EINTR) {
			b->status = -1; /* another thread has waited for it */
			return;
		}
	if (!b->seconds || !WIFSIGNALED(b->status))
		return;
	/* By RLIMIT_CPU: SIGXCPU, or SIGKILL where both limits are the same. */
	b->late |= (WTERMSIG(b->status) == SIGKILL || WTERMSIG(b->status) == SIGXCPU) &&
		   (rlim_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec + 1) >= b->seconds;
}

bool vl_box_has_ended(const struct vl_box *b)
{
	struct pollfd p = { .fd = b->link };

	/* Only the worker has the other end, and it never writes: an event means its end. */
	return poll(&p, 1, 0) > 0;
}

bool vl_box_attacked(const struct vl_box *b)
{
	return b->gone && b->status != -1 && WIFSIGNALED(b->status) &&
	       WTERMSIG(b->status) == SIGSYS;
}

bool vl_box_late(const struct vl_box *b)
{
	return b->late;
}

bool vl_box_hopeless(const struct vl_box *b)
{
	return vl_box_attacked(b) || b->late;
}

static struct vl_error *died(struct vl_box *b, bool late)
{
	struct vl_error *err;
	char who[64];

	snprintf(who, sizeof(who), "the process that %s", b->does);

	reap(b, true);
	b->late |= late;
	if (vl_box_attacked(b))
		return vl_error_hint(vl_error_new(VL_ERR_CRASHED,
						  "%s made a forbidden system call, and was ended",
						  who),
				     "the guest may be hostile: it reached nothing of this host");
	if (b->late)
		err = vl_error_new(VL_ERR_CRASHED, "%s did not answer in time, and was ended", who);
	else if (b->status != -1 && WIFSIGNALED(b->status))
		err = vl_error_new(VL_ERR_CRASHED, "%s has died: %s", who,
				   strsignal(WTERMSIG(b->status)));
	else
		err = vl_error_new(VL_ERR_CRASHED, "%s has ended", who);
	return vl_error_hint(err, "try again; do not trust its answers if it dies "
				  "each time");
}

/* Take the message of channel @id, if it is our turn there. */
static bool take(struct vl_box *b, enum vl_channel_id id, struct vl_message *ret)
{
	struct vl_channel *c = &b->wire->channel[id];

	if (atomic_load(&c->turn))
		return false;
	/* A copy, so that the worker cannot change it after it was checked. */
	*ret = c->message;
	atomic_thread_fence(memory_order_seq_cst);
	return true;
}

static void give(struct vl_box *b, enum vl_channel_id id, const struct vl_message *m)
{
	struct vl_channel *c = &b->wire->channel[id];

	c->message = *m;
	atomic_store(&c->turn, 1);
	vl_wire_wake(&c->turn, &c->sleeps);
}

void vl_box_be_patient(struct vl_box *b)
{
	b->patient = true;
}

uint64_t vl_box_waited_ns(const struct vl_box *b)
{
	return b->patient && !b->gone ? vl_waited_ns(&b->wire->waits) : 0;
}

/* The waits since they were @before, limited to what is added to a timeout. */
static uint64_t waited_since(const struct vl_box *b, uint64_t before)
{
	const uint64_t ns = vl_box_waited_ns(b) - before;

	return ns < PATIENCE_NS ? ns : PATIENCE_NS;
}

enum vl_box_outcome vl_box_listen(struct vl_box *b, uint32_t answers, struct vl_message *m,
				  uint64_t timeout_ns, vl_box_serve_fn serve, void *ctx)
{
	const uint64_t deadline = vl_now_ns() + timeout_ns, waited = vl_box_waited_ns(b);

	for (;;) {
		uint32_t seen = atomic_load(&b->wire->bell);
		bool idle = true;

		for (int id = VL_NR_CHANNELS - 1; id >= 0; id--) {
			if (!take(b, (enum vl_channel_id)id, m))
				continue;
			if (id == VL_CHANNEL_MAIN && m->op == VL_OP_REPLY)
				return VL_BOX_REPLIED;
			idle = false;
			if (!serve || m->op == VL_OP_REPLY ||
			    !serve(ctx, (enum vl_channel_id)id, m))
				return VL_BOX_LEFT;
			give(b, (enum vl_channel_id)id, m);
		}
		if (answers && atomic_load(&b->wire->answers) >= answers)
			return VL_BOX_ANSWERED;
		if (idle)
			vl_wire_spin(b->wire, &b->wire->bell, seen);
		if (idle)
			vl_wire_sleep(&b->wire->bell, &b->wire->sleeps, seen, POLL_NS);
		/* Check for its end only after a sleep: most answers take microseconds. */
		if (idle && atomic_load(&b->wire->bell) == seen && vl_box_has_ended(b))
			return VL_BOX_ENDED;
		if (vl_now_ns() > deadline && vl_now_ns() > deadline + waited_since(b, waited))
			return VL_BOX_LATE;
	}
}

/* *@replied_ret: it has replied, perhaps with less than @answers. */
static struct vl_error *wait_answers(struct vl_box *b, uint32_t answers, struct vl_message *m,
				     bool *replied_ret, uint64_t timeout_ns, vl_box_serve_fn serve,
				     void *ctx)
{
	enum vl_box_outcome outcome = vl_box_listen(b, answers, m, timeout_ns, serve, ctx);

	*replied_ret = outcome == VL_BOX_REPLIED;
	if (outcome == VL_BOX_REPLIED || outcome == VL_BOX_ANSWERED)
		return NULL;
	return died(b, outcome == VL_BOX_LATE);
}

/* Serve what the worker asks until it replies. */
static struct vl_error *wait_reply(struct vl_box *b, struct vl_message *m, uint64_t timeout_ns,
				   vl_box_serve_fn serve, void *ctx)
{
	bool replied;

	return wait_answers(b, 0, m, &replied, timeout_ns, serve, ctx);
}

void vl_box_tell(struct vl_box *b, const struct vl_message *m)
{
	if (b->gone)
		return;
	atomic_store(&b->wire->answers, 0);
	atomic_store(&b->wire->reply_now, 0);
	give(b, VL_CHANNEL_MAIN, m);
}

bool vl_box_allow_cpus(struct vl_box *b, const cpu_set_t *cpus)
{
	if (CPU_EQUAL(cpus, &b->cpus))
		return true;
	if (vl_box_has_ended(b) || sched_setaffinity(b->pid, sizeof(*cpus), cpus))
		return false;
	b->cpus = *cpus;
	return true;
}

void vl_box_want_reply(struct vl_box *b)
{
	atomic_store(&b->wire->reply_now, 1);
}

bool vl_box_waits(const struct vl_box *b)
{
	return b->gone || !atomic_load(&b->wire->channel[VL_CHANNEL_MAIN].turn);
}

struct vl_error *vl_box_answers(struct vl_box *b, uint32_t answers, struct vl_message *ret,
				bool *replied_ret, uint64_t timeout_ns, vl_box_serve_fn serve,
				void *ctx)
{
	*replied_ret = false;
	if (b->gone)
		return died(b, false);
	if (atomic_load(&b->wire->answers) >= answers)
		return NULL;
	return wait_answers(b, answers, ret, replied_ret, timeout_ns, serve, ctx);
}

struct vl_error *vl_box_reply(struct vl_box *b, struct vl_message *ret, uint64_t timeout_ns,
			      vl_box_serve_fn serve, void *ctx)
{
	vl_box_end_server(b);
	if (b->gone || b->server.late)
		return died(b, b->server.late);
	return wait_reply(b, ret, timeout_ns, serve, ctx);
}

struct vl_error *vl_box_ask(struct vl_box *b, struct vl_message *m, uint64_t timeout_ns,
			    vl_box_serve_fn serve, void *ctx)
{
	vl_box_tell(b, m);
	return vl_box_reply(b, m, timeout_ns, serve, ctx);
}

struct vl_error *vl_box_ready(struct vl_box *b, uint64_t timeout_ns)
{
	struct vl_message m;
	struct vl_error *err;

	if (b->ready)
		return NULL;
	err = wait_reply(b, &m, timeout_ns, NULL, NULL);
	if (!err)
		err = vl_message_error(&m);
	if (err)
		return vl_error_prefix(err, "cannot make a box for the process that %s", b->does);
	b->report.has = (uint32_t)m.value[0];
	b->report.uid = (uint32_t)m.value[1];
	memcpy(b->report.missing, m.text, sizeof(b->report.missing) - 1);
	b->ready = true;
	return NULL;
}

struct vl_error *vl_box_wait(struct vl_box *b)
{
	return vl_box_ready(b, START_NS);
}

struct vl_box *vl_box_new(const char *does)
{
	struct vl_box *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->pid = b->pidfd = b->link = b->wire_fd = b->lender = -1;
	b->status = -1;
	b->does = does;
	return b;
}

static struct vl_error *launch(struct vl_box *b, const struct vl_box_options *o)
{
	struct vl_error *err = NULL;
	int link[2];
	bool own_pids;

	b->wire = o->lendable ? vl_wire_create_file(&b->wire_fd) : vl_wire_create();
	if (!b->wire || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link))
		return vl_error_os(errno, "cannot talk to a process");
	b->link = link[0];
	/* The worker has the first turn on every channel: it begins with its report. */
	for (int id = 0; id < VL_NR_CHANNELS; id++)
		atomic_store(&b->wire->channel[id].turn, 1);
	sched_getaffinity(0, sizeof(b->cpus), &b->cpus);
	b->all = b->cpus;
	b->pid = fork_alone(&own_pids);
	if (!b->pid) {
		close(link[0]);
		work(o, b->wire, link[1], own_pids);
	}
	if (b->pid < 0)
		err = vl_error_os(errno, "cannot start a process");
	close(link[1]);
	if (err)
		return err;
	/* Later children do not inherit the mapping. */
	madvise(b->wire, sizeof(*b->wire), MADV_DONTFORK);
	b->pidfd = (int)syscall(SYS_pidfd_open, b->pid, 0);
	return NULL;
}

struct vl_error *vl_box_launch(const struct vl_box_options *o, struct vl_box **ret)
{
	struct vl_box *b = vl_box_new(o->does);
	struct vl_error *err;

	*ret = NULL;
	if (!b)
		return vl_error_nomem();
	err = launch(b, o);
	if (err) {
		vl_box_stop(b);
		return err;
	}
	*ret = b;
	return NULL;
}

struct vl_error *vl_box_start(const struct vl_box_options *o, struct vl_box **ret)
{
	struct vl_error *err = vl_box_launch(o, ret);

	if (!err)
		err = vl_box_wait(*ret);
	if (err) {
		vl_box_stop(*ret);
		*ret = NULL;
	}
	return err;
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void vl_box_hang_up(struct vl_box *b)
{
	close_one(&b->link);
	close_one(&b->wire_fd);
	vl_wire_destroy(b->wire);
	b->wire = NULL;
}

void vl_box_end(struct vl_box *b, bool waits)
{
	if (!b)
		return;
	if (b->server.on && !b->gone)
		vl_box_dismiss(b);
	vl_box_end_server(b);
	if (b->pid > 0)
		reap(b, waits);
	vl_box_hang_up(b);
	close_one(&b->pidfd);
	/* Close the socket last: that tells the lender that we are done. */
	close_one(&b->lender);
	free(b);
}

void vl_box_stop(struct vl_box *b)
{
	vl_box_end(b, true);
}

pid_t vl_box_pid(const struct vl_box *b)
{
	return b->pid;
}

struct vl_wire *vl_box_wire(const struct vl_box *b)
{
	return b->wire;
}

const struct vl_box_report *vl_box_report(const struct vl_box *b)
{
	return &b->report;
}

int vl_box_link(const struct vl_box *b)
{
	return b->gone ? -1 : b->link;
}

void vl_box_describe(const struct vl_box_report *r, char buf[VL_BOX_TEXT])
{
	static const char *const names[] = { "user",  "network",   "empty root",
					     "IPC",   "processes", "system call filter",
					     "limits" };

	buf[0] = '\0';
	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (r->has & 1U << i)
			vl_append(buf, VL_BOX_TEXT, "%s%s", *buf ? ", " : "", names[i]);
}

void vl_box_allow_time(struct vl_box *b, uint64_t ns)
{
	struct rlimit l;
	clockid_t clock;
	uint64_t used;

	/* A borrowed worker may have ended, and its pid may be another process's by now. */
	if (b->gone || vl_box_has_ended(b) || clock_getcpuclockid(b->pid, &clock) ||
	    !vl_clock_try_ns(clock, &used))
		return;
	l.rlim_cur = l.rlim_max = used / VL_NSEC_PER_SEC + ns / VL_NSEC_PER_SEC + 1;
	if (geteuid())
		l.rlim_max = RLIM_INFINITY; /* without rights it could not be raised again */
	if (!prlimit(b->pid, RLIMIT_CPU, &l, NULL))
		b->seconds = l.rlim_cur;
}

void vl_box_follow(struct vl_box *b)
{
	cpu_set_t now;

	vl_box_end_server(b);
	if (b->gone || sched_getaffinity(0, sizeof(now), &now))
		return;
	atomic_store(&b->wire->apart, 0);
	CPU_OR(&b->all, &b->all, &now);
	vl_box_allow_cpus(b, &now);
}

void vl_box_part(struct vl_box *b, bool needs_us)
{
	cpu_set_t own, others;

	if (b->gone || CPU_COUNT(&b->all) < 2 || sched_getaffinity(0, sizeof(own), &own))
		return;
	/* The scheduler does not move a process that spins to an idle CPU at once. */
	CPU_XOR(&others, &b->all, &own);
	CPU_AND(&others, &others, &b->all);
	if (needs_us || !CPU_COUNT(&others))
		others = b->all;
	atomic_store(&b->wire->apart, vl_box_allow_cpus(b, &others));
}
