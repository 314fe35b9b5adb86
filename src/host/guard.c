/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../base/array.h"
#include "../base/process.h"

enum { IDLE, HELD, RELEASING, FORCED };

/* Shared by the two processes. */
struct shared {
	_Atomic int state;
	_Atomic uint64_t asleep_until; /* of the guard; UINT64_MAX: until woken, 0: awake */
	_Atomic uint64_t deadline;
	_Atomic uint64_t forced_at;
	_Atomic bool sent; /* the signal that stops the guest has been sent */
	_Atomic bool busy; /* the guard resumes the guest, or has, and the switch is still mute */
};

struct vl_guard {
	struct shared *s;
	int wake; /* our end of a socket pair; the guard ends when it is closed */
	struct vl_deadman deadman;
};

int vl_guard_signal(const struct vl_target *t, int sig)
{
	if (t->pidfd >= 0)
		return syscall(SYS_pidfd_send_signal, t->pidfd, sig, NULL, 0) < 0 ? -errno : 0;
	return kill(t->pid, sig) < 0 ? -errno : 0;
}

/* ---- the guard's side; nothing here allocates ---- */

struct guard_side {
	const struct vl_target *t;
	struct shared *s;
	int wake, tool, resume_fd; /* descriptors; -1: none */
	int mute, muted;	   /* descriptors: to mute the switch by; open while it is mute */
	bool late;		   /* the tool may still stop the guest, after we ended the pause */
	bool waited;		   /* for a tool that is past its deadline and still resuming */
	timer_t alarm;
	bool has_alarm;
};

/*
 * A timer by which the host's kernel sends SIGCONT to the guard, in case somebody stops it
 * (SIGSTOP). While the guest is held it fires ALARM_LATER after the deadline and then every
 * ALARM_HELD, else every ALARM_IDLE: a guard can be stopped before it sees that a pause has
 * begun. All in ns.
 */
#define ALARM_LATER 1000000ULL
#define ALARM_HELD 20000000ULL
#define ALARM_IDLE VL_NSEC_PER_SEC

static void on_alarm(int sig)
{
	(void)sig;
}

static void init_alarm(struct guard_side *g)
{
	/* An ignored signal would stop the timer. */
	struct sigaction sa = { .sa_handler = on_alarm };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGCONT };

	sigaction(SIGCONT, &sa, NULL);
	g->has_alarm = !timer_create(CLOCK_MONOTONIC, &event, &g->alarm);
}

static void set_alarm(const struct guard_side *g, uint64_t at, uint64_t again)
{
	const struct itimerspec when = { vl_ns_timespec(again), vl_ns_timespec(at) };

	if (g->has_alarm)
		timer_settime(g->alarm, TIMER_ABSTIME, &when, NULL);
}

static void do_resume(const struct guard_side *g)
{
	if (g->t->pause_mode == VL_PAUSE_SUSPEND)
		g->t->ops->guard_resume(g->t, g->resume_fd);
	else
		vl_guard_signal(g->t, SIGCONT);
}

/* The tool has ended: resume the guest if it is still held. */
static void last_duty(const struct guard_side *g)
{
	int state = atomic_load(&g->s->state);

	/*
	 * FORCED and late: the tool was stopped itself, and may have stopped the guest after we
	 * resumed it. If another tool has taken the lock meanwhile, the pause is that tool's.
	 */
	if (state == HELD || state == RELEASING ||
	    (state == FORCED && g->late && flock(g->t->lock_fd, LOCK_EX | LOCK_NB) == 0))
		do_resume(g);
}

/* The deadline has passed. */
static void overdue(struct guard_side *g)
{
	int expected = HELD;

	atomic_store(&g->s->busy, true);
	g->late = !atomic_load(&g->s->sent);
	if (atomic_compare_exchange_strong(&g->s->state, &expected, FORCED)) {
		do_resume(g);
		atomic_store(&g->s->forced_at, vl_now_ns());
		/* Others may pause now: the end of the tool that hangs must not resume them. */
		if (!g->late)
			g->muted = vl_deadman_mute(g->mute);
		flock(g->t->lock_fd, LOCK_UN);
	} else if (expected == RELEASING) {
		/*
		 * The tool may hang while it resumes. A second SIGCONT under the same lock is
		 * harmless. A monitor is slow, and our command may run after the tool is done and
		 * somebody else has suspended the guest: give the tool one more second first.
		 */
		if (g->waited || g->t->pause_mode != VL_PAUSE_SUSPEND)
			do_resume(g);
		g->waited = true;
		atomic_store(&g->s->deadline, vl_now_ns() + VL_NSEC_PER_SEC);
	}
}

/* Be ready for the next pause, once the tool has noticed a forced end of the last one. */
static void be_ready(struct guard_side *g)
{
	if (!atomic_load(&g->s->busy) || atomic_load(&g->s->state) == FORCED)
		return;
	if (g->muted >= 0)
		close(g->muted);
	g->muted = -1;
	atomic_store(&g->s->busy, false);
}

/* The timeout for the next sleep; NULL: until the tool wakes us. */
static const struct timespec *next_timeout(const struct guard_side *g, struct timespec *ts)
{
	uint64_t now, deadline;
	int state;

	/*
	 * Announce the sleep, then read the state: a pause that begins after this wakes us, and
	 * one that began before is seen here.
	 */
	atomic_store(&g->s->asleep_until, UINT64_MAX);
	state = atomic_load(&g->s->state);
	if (state != HELD && state != RELEASING) {
		set_alarm(g, vl_now_ns() + ALARM_IDLE, ALARM_IDLE);
		return NULL;
	}
	deadline = atomic_load(&g->s->deadline);
	atomic_store(&g->s->asleep_until, deadline);
	set_alarm(g, deadline + ALARM_LATER, ALARM_HELD);
	now = vl_now_ns();
	*ts = vl_ns_timespec(deadline > now ? deadline - now : 0);
	return ts;
}

static void guard_loop(struct guard_side *g)
{
	struct pollfd pfd[2] = { { .fd = g->wake, .events = POLLIN },
				 { .fd = g->tool, .events = POLLIN } };
	char buf[64];

	for (;;) {
		struct timespec ts;
		int state;

		if (ppoll(pfd, 2, next_timeout(g, &ts), NULL) < 0 && errno != EINTR)
			break;
		atomic_store(&g->s->asleep_until, 0);
		/* The other end is closed, or the process has ended. */
		if ((pfd[0].revents & POLLIN && read(g->wake, buf, sizeof(buf)) == 0) ||
		    (!(pfd[0].revents & POLLIN) && pfd[0].revents) || pfd[1].revents)
			break;
		state = atomic_load(&g->s->state);
		g->waited &= state == RELEASING;
		if ((state == HELD || state == RELEASING) &&
		    vl_now_ns() >= atomic_load(&g->s->deadline))
			overdue(g);
		be_ready(g);
	}
	last_duty(g);
}

/* Move the descriptors we need to 3…, close all others, 0 to 2 to /dev/null. */
static void keep_only(int *const *fds, int nr)
{
	int high[8], null;

	for (int i = 0; i < nr; i++)
		high[i] = *fds[i] < 0 ? -1 : fcntl(*fds[i], F_DUPFD_CLOEXEC, 3 + nr);
	for (int i = 0; i < nr; i++) {
		*fds[i] = high[i] < 0 ? -1 : dup3(high[i], 3 + i, O_CLOEXEC);
		if (high[i] < 0)
			close(3 + i);
	}
	if (syscall(SYS_close_range, 3 + nr, ~0U, 0) < 0)
		for (int fd = 3 + nr; fd < 65536; fd++)
			close(fd);
	null = open("/dev/null", O_RDWR);
	for (int fd = 0; fd < 3; fd++)
		if (null != fd)
			dup2(null, fd);
	if (null > 2)
		close(null);
}

/* A real-time class, to keep the deadline on a busy host. It runs for microseconds. Root only. */
static void be_first(void)
{
	const struct sched_param param = { .sched_priority = 3 };

	/* In ns: how late the kernel may make our timers, to join them with others. */
	prctl(PR_SET_TIMERSLACK, 1UL);
	if (sched_setscheduler(0, SCHED_FIFO, &param) && setpriority(PRIO_PROCESS, 0, -20))
		errno = 0;
}

static void guard_main(struct vl_target *t, struct guard_side *g) __attribute__((noreturn));

static void guard_main(struct vl_target *t, struct guard_side *g)
{
	int *const fds[] = { &g->wake, &g->tool, &g->resume_fd, &t->lock_fd, &t->pidfd, &g->mute };
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++)
		if (sig != SIGCHLD)
			signal(sig, SIG_IGN);
	/* A fault of our own must end us: ignored, it would loop. */
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	init_alarm(g);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	keep_only(fds, ARRAY_SIZE(fds));
	if (chdir("/") < 0)
		errno = 0;
	vl_process_rename("vlens-guard");
	/* The last process to be killed when memory is short; root only. */
	vl_process_set_oom("-1000");
	be_first();
	guard_loop(g);
	_exit(0);
}

/* ---- our side ---- */

struct vl_error *vl_guard_start(struct vl_target *t, struct vl_guard **ret)
{
	struct vl_guard *g = calloc(1, sizeof(*g));
	int wake[2] = { -1, -1 }, tool = -1, mute = -1, err;
	pid_t pid;

	if (!g)
		return vl_error_nomem();
	/* If we die, the switch must resume the guest before the lock is released. */
	if (vl_target_freezes(t))
		vl_deadman_init(&g->deadman, t->lock_fd, &mute);
	else
		g->deadman = (struct vl_deadman){ { -1, -1 } };
	g->s = mmap(NULL, sizeof(*g->s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (g->s == MAP_FAILED ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, wake) < 0)
		goto fail;
	g->wake = wake[1];
	/* Children of ours may inherit the socket and keep it open: also watch our process. */
	tool = (int)syscall(SYS_pidfd_open, getpid(), 0);
	pid = fork();
	if (pid < 0)
		goto fail;
	if (pid == 0) {
		struct guard_side side = { t, g->s, wake[0], tool, -1, mute, -1, .late = false };

		/*
		 * Leave our process group before the guard exists. Otherwise a signal to the
		 * whole group could end the tool, and the guard before it ignores signals.
		 */
		setsid();
		/* Fork twice: the guard is then no child of ours that a wait() could return. */
		if (fork() != 0)
			_exit(0);
		/* A monitor has one client at a time: keep its connection only where needed. */
		if (t->ops->guard_fd && t->pause_mode == VL_PAUSE_SUSPEND)
			side.resume_fd = t->ops->guard_fd(t);
		guard_main(t, &side);
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	close(wake[0]);
	wake[0] = -1;
	/* If the second fork failed, the other end is closed. */
	errno = EAGAIN;
	if (vl_guard_is_dead(g))
		goto fail;
	if (tool >= 0)
		close(tool);
	if (mute >= 0)
		close(mute);
	*ret = g;
	return NULL;
fail:
	err = errno;
	vl_deadman_deinit(&g->deadman);
	if (mute >= 0)
		close(mute);
	if (g->s != MAP_FAILED)
		munmap(g->s, sizeof(*g->s));
	for (int i = 0; i < 2; i++)
		if (wake[i] >= 0)
			close(wake[i]);
	if (tool >= 0)
		close(tool);
	free(g);
	return vl_error_os(err, "cannot start the guard process");
}

void vl_guard_stop(struct vl_guard *g)
{
	if (!g)
		return;
	close(g->wake);
	vl_deadman_deinit(&g->deadman);
	munmap(g->s, sizeof(*g->s));
	free(g);
}

bool vl_guard_is_dead(const struct vl_guard *g)
{
	struct pollfd pfd = { .fd = g->wake };

	/* The guard alone holds the other end. */
	return poll(&pfd, 1, 0) > 0 && pfd.revents & (POLLHUP | POLLERR);
}

/* A failed send needs no retry: a full socket wakes the guard as well. */
static void wake_up(const struct vl_guard *g)
{
	send(g->wake, "", 1, MSG_NOSIGNAL);
}

void vl_guard_make_ready(const struct vl_guard *g, unsigned ms)
{
	/* A guard that was killed is never ready. */
	for (unsigned i = 0; i < 20 * ms && atomic_load(&g->s->busy) && !vl_guard_is_dead(g); i++)
		nanosleep(&(struct timespec){ .tv_nsec = 50000 }, NULL);
}

void vl_guard_arm(const struct vl_guard *g, pid_t pid, uint64_t deadline)
{
	vl_deadman_arm(&g->deadman, pid);
	atomic_store(&g->s->sent, false);
	atomic_store(&g->s->deadline, deadline);
	atomic_store(&g->s->state, HELD);
	if (atomic_load(&g->s->asleep_until) > deadline)
		wake_up(g);
}

void vl_guard_note_stop(const struct vl_guard *g)
{
	atomic_store(&g->s->sent, true);
}

bool vl_guard_holds(const struct vl_guard *g)
{
	return atomic_load(&g->s->state) == HELD;
}

bool vl_guard_begin_release(const struct vl_guard *g)
{
	int expected = HELD;

	return atomic_compare_exchange_strong(&g->s->state, &expected, RELEASING);
}

void vl_guard_end_release(const struct vl_guard *g)
{
	vl_deadman_disarm(&g->deadman);
	if (atomic_exchange(&g->s->state, IDLE) == FORCED)
		wake_up(g);
}

uint64_t vl_guard_forced_at(const struct vl_guard *g)
{
	return atomic_load(&g->s->forced_at);
}
