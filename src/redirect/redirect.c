/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The supervisor. It takes the program's system calls one after the other, answers each by its
 * row in the policy table, and opens and ends epochs so that the answers to calls made together
 * are of one point in time.
 */
#include "redirect.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../base/clock.h"
#include "refuse.h"
#include "child.h"
#include "fds.h"
#include "memfds.h"
#include "tasks.h"
#include "own.h"
#include "trap.h"

#define MS 1000000ll
#define IDLE_MS 40
#define TRIES 5
/* Tries that fail because the guest changed meanwhile are counted apart, up to this many. */
#define MISSES 16
/* A lost SIGCHLD (another thread took it) delays an exec by this much. */
#define TICK_MS 100

static void sleep_ns(int64_t ns)
{
	struct timespec ts = vl_ns_timespec((uint64_t)ns);

	if (ns > 0)
		nanosleep(&ts, NULL);
}

/* Let @handler answer @t; NULL: the answer may be handed to the program. */
static struct vl_error *call_handler(struct vl_trap *t, vl_handler handler)
{
	struct vl_redirect *r = t->r;
	struct vl_error *err, *unvalidated;

	err = handler(t);
	if (!err)
		vl_validated(r);
	unvalidated = r->unvalidated;
	r->unvalidated = NULL;
	if (!unvalidated)
		return err;
	vl_error_destroy(err);
	return unvalidated;
}

static bool is_transient(const struct vl_error *err)
{
	return err->code == VL_ERR_BLOCKED || err->code == VL_ERR_CRASHED;
}

/* Would the same call end like this each time? */
static bool is_certain(const struct vl_error *err)
{
	return err->code == VL_ERR_UNVERIFIED || err->code == VL_ERR_ENDLESS ||
	       err->code == VL_ERR_LACKING;
}

/*
 * Handle @t. If the guest's kernel gives no answer, start over on a fresh epoch, after a wait
 * that grows with each try.
 */
static struct vl_error *handle(struct vl_redirect *r, struct vl_trap *t)
{
	int tries = r->o->tries > 0 ? r->o->tries : TRIES, missed = 0;
	size_t validated = 0;
	struct vl_error *err;

	for (int i = 0;; i++) {
		t->fail_errno = EAGAIN;
		t->ret = 0;
		t->pass = false;
		err = call_handler(t, t->row->handle);
		if (!err || !(is_transient(err) || is_certain(err)))
			return err;
		vl_epoch_end(r);
		if (is_certain(err))
			break;
		if (i + 1 >= tries && r->no_epoch)
			return err; /* no epoch can be opened at all */
		if (t->sent || r->interrupted || !vl_trap_valid(t)) {
			vl_error_destroy(err);
			t->pass = false;
			t->ret = -EINTR;
			return NULL;
		}
		/* A part of the listing is validated: the rest has its own tries. */
		if (t->listing.validated > validated) {
			validated = t->listing.validated;
			i = missed = 0;
		}
		/* The guest changed meanwhile. After some such tries the epoch holds it. */
		if (r->sys->missed && missed++ < MISSES)
			i--;
		else if (i + 1 >= (t->tries && !r->no_epoch ? t->tries : tries))
			break;
		vl_error_destroy(err);
		r->stats->retries++;
		/* A task of the guest that holds a lock may have to wait for a CPU. */
		sleep_ns(i > 0 ? i * i * 2 * MS : 0);
	}
	if (t->must && err->code == VL_ERR_LACKING)
		return err;
	r->stats->gave_up++;
	vl_blame(t, err);
	vl_error_destroy(err);
	t->pass = false;
	t->ret = -t->fail_errno;
	if (!t->fallback)
		return NULL;
	err = call_handler(t, t->fallback);
	if (err && (is_transient(err) || is_certain(err))) {
		vl_error_destroy(err);
		vl_epoch_end(r);
		err = NULL;
	}
	return err;
}

static int idle_ms(const struct vl_redirect *r)
{
	return r->o->idle_ms > 0 ? r->o->idle_ms : IDLE_MS;
}

static struct vl_error *take_one(struct vl_redirect *r, struct seccomp_notif *n, size_t size)
{
	struct vl_trap t = { .r = r };
	uint64_t calls = r->stats->guest_calls;
	struct vl_error *err = NULL;

	memset(n, 0, size);
	if (ioctl(r->listener, SECCOMP_IOCTL_NOTIF_RECV, n))
		return NULL; /* ENOENT: the task was killed; EINTR */
	r->stats->traps++;
	/*
	 * The program or this process was stopped. loop() does not notice that if the trap came
	 * first.
	 */
	if (vl_now_ns() - r->heard_ns > (uint64_t)(idle_ms(r) * MS))
		vl_epoch_end(r);
	t.id = r->asked = n->id;
	r->interrupted = false;
	r->checked_ns = r->waited_ns = vl_now_ns();
	t.tid = r->asking = n->pid;
	/* Numbers of another architecture mean other calls. */
	t.nr = n->data.arch == AUDIT_ARCH_X86_64 ? n->data.nr : -1;
	t.ip = n->data.instruction_pointer;
	memcpy(t.args, n->data.args, sizeof(t.args));
	t.row = t.nr >= 0 && t.nr < VL_NR_MAX ? r->by_nr[t.nr] : NULL;
	if (t.row)
		err = handle(r, &t);
	else
		vl_not_allowed(&t);
	free(t.listing.data);
	if (r->stats->guest_calls != calls)
		vl_refused_end(r);
	if (err)
		return err; /* the guest is gone: the program ends */
	vl_answer(&t);
	r->asked = 0;
	r->heard_ns = vl_now_ns();
	if (r->sys->brief)
		vl_epoch_end(r);
	return NULL;
}

static void take_signals(struct vl_redirect *r)
{
	vl_terminal_read(&r->terminal, r->main);
	vl_tasks_reap(r);
	if (vl_tasks_must_stop(r)) {
		vl_epoch_end(r);
		vl_tasks_stop(r);
	}
}

/* The process that forked the program has sent a message, or is gone. */
static void take_link(struct vl_redirect *r)
{
	struct vl_link word;
	ssize_t n = recv(r->link, &word, sizeof(word), MSG_DONTWAIT);

	if (n == sizeof(word))
		vl_link_word(r, &word);
	else if (!n || (n < 0 && errno != EAGAIN && errno != EINTR))
		r->left = true;
}

static struct vl_error *loop(struct vl_redirect *r, struct seccomp_notif *n, size_t size)
{
	int listener = r->listener;
	struct vl_error *err = NULL;

	while (!err && !r->ended && !r->left) {
		struct pollfd p[3] = { { listener, POLLIN, 0 },
				       { r->terminal.fd, POLLIN, 0 },
				       { r->link, POLLIN, 0 } };
		int nr = poll(p, 3, r->sys->open || r->prepares ? idle_ms(r) : TICK_MS);

		if (nr < 0 && errno != EINTR)
			return vl_error_os(errno, "cannot wait for the program");
		if (nr <= 0) {
			vl_epoch_end(r);
			vl_tasks_reap(r);
			continue;
		}
		if (p[1].revents)
			take_signals(r);
		if (p[2].revents)
			take_link(r);
		if (p[0].revents & POLLIN) {
			err = take_one(r, n, size);
		} else if (p[0].revents) { /* POLLHUP: only zombies are left */
			listener = -1;
			vl_tasks_reap(r);
		}
	}
	return err;
}

static struct vl_error *supervise(struct vl_redirect *r)
{
	struct seccomp_notif_sizes sizes;
	struct seccomp_notif *n;
	struct vl_error *err;
	size_t size;

	if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes))
		return vl_error_os(errno, "cannot ask for the size of notifications");
	size = sizes.seccomp_notif > sizeof(*n) ? sizes.seccomp_notif : sizeof(*n);
	n = malloc(size);
	if (!n)
		return vl_error_nomem();
	err = loop(r, n, size);
	free(n);
	return err;
}

/*
 * Pin us to one CPU, which the program gets as well: a trap is then a context switch, which is
 * quicker than a wake-up of another CPU. It is our CPU if the program may use that.
 */
static bool pin(const struct vl_redirect *r, cpu_set_t *old, cpu_set_t *one)
{
	cpu_set_t its;
	int cpu = sched_getcpu();

	if (r->o->no_pin || cpu < 0 || sched_getaffinity(0, sizeof(*old), old) ||
	    sched_getaffinity(r->main, sizeof(its), &its))
		return false;
	for (int i = 0; !CPU_ISSET(cpu, &its) && i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &its))
			cpu = i;
	CPU_ZERO(one);
	CPU_SET(cpu, one);
	return !sched_setaffinity(0, sizeof(*one), one);
}

static struct vl_error *init_filter(struct vl_redirect *r)
{
	struct vl_error *err;

	r->filter = r->o->filter;
	if (r->filter)
		return NULL;
	err = vl_redirect_filter_create(&r->own_filter);
	r->filter = r->own_filter;
	return err;
}

static struct vl_error *init(struct vl_redirect *r)
{
	struct vl_error *err;

	for (size_t i = 0; i < vl_policy_nr; i++)
		if (vl_policy[i].decision != TRACE && vl_policy[i].nr >= 0 &&
		    vl_policy[i].nr < VL_NR_MAX)
			r->by_nr[vl_policy[i].nr] = &vl_policy[i];
	r->chunk = malloc(VL_CHUNK);
	if (!r->chunk)
		return vl_error_nomem();
	err = vl_own_init(r);
	if (err)
		return err;
	/* In a folder of the program's own, if it is one. */
	vl_own_start(r);
	vl_given_init(r);
	return NULL;
}

/*
 * Do the slow work while the program's process confines itself. It needs an answer of ours only
 * after that.
 */
static struct vl_error *begin(struct vl_redirect *r, int sock, const cpu_set_t *cpus)
{
	struct vl_error *err = NULL;

	if (r->o->meanwhile)
		err = r->o->meanwhile(r->o->meanwhile_ctx);
	if (!err && r->sys->alone && r->sys->ops->prepare) {
		r->prepares = r->sys->ops->prepare(r->sys);
		r->heard_ns = vl_now_ns();
	}
	if (!err)
		err = vl_launch_begin(r, sock, cpus);
	if (!err && !r->prepares && r->sys->ready) {
		vl_error_destroy(vl_epoch_begin(r));
		r->heard_ns = vl_now_ns();
	}
	return err;
}

/* Supervise the program whose first process waits at @sock, until it ends. */
static struct vl_error *run(struct vl_redirect *r, int sock, int *status_ret)
{
	cpu_set_t cpus, one;
	bool pinned = pin(r, &cpus, &one);
	struct vl_error *err;

	err = begin(r, sock, pinned ? &one : NULL);
	if (!err)
		err = vl_launch(r, sock);
	/* While its process executes the program, which stops before it runs. */
	if (!err)
		err = init(r);
	if (!err)
		err = vl_launch_end(r, sock, status_ret);
	if (!err)
		err = supervise(r);
	vl_epoch_end(r);
	/* A process that is not traced yet does not end with its supervisor. */
	if (err && !r->ended)
		kill(r->main, SIGKILL);
	vl_tasks_kill(r);
	vl_jobs_end(r);
	if (r->listener >= 0)
		close(r->listener);
	vl_pidfd_close(r);
	if (pinned)
		sched_setaffinity(0, sizeof(cpus), &cpus);
	return err;
}

/* Fork the program and supervise it. Meanwhile we take the terminal's signals. */
static struct vl_error *run_own(struct vl_redirect *r, int *status_ret)
{
	struct vl_child child = { -1, -1 };
	struct vl_error *err;

	err = vl_terminal_take(&r->terminal, true);
	if (!err)
		err = vl_child_fork(r->o, r->exe, &r->terminal.old_set, false, &child);
	if (!err) {
		r->main = child.pid;
		r->starter = getpid();
		err = run(r, child.sock, status_ret);
		close(child.sock);
		/*
		 * A user's signal ended the program before it began. That is its status, and no
		 * error.
		 */
		if (err && (r->ended || waitpid(child.pid, &r->wait_status, __WALL) == child.pid) &&
		    WIFSIGNALED(r->wait_status) && WTERMSIG(r->wait_status) != SIGKILL) {
			vl_error_destroy(err);
			err = NULL;
		}
	}
	vl_terminal_give_back(&r->terminal);
	return err;
}

/* Supervise a program that another process forked, which handles the terminal. */
static struct vl_error *run_for(struct vl_redirect *r, const struct vl_redirect_client *c,
				int *status_ret)
{
	struct vl_error *err = vl_terminal_take(&r->terminal, false);

	r->main = c->pid;
	r->starter = c->starter;
	r->link = c->link;
	if (!err)
		err = run(r, c->sock, status_ret);
	vl_terminal_give_back(&r->terminal);
	return err;
}

static void deinit(struct vl_redirect *r)
{
	vl_memfds_end_run(r->o->kept);
	vl_records_deinit(r);
	vl_own_deinit(r);
	vl_redirect_locales_deinit(&r->locales);
	free(r->tasks);
	free(r->chunk);
	free(r->on_disk);
	vl_redirect_filter_destroy(r->own_filter);
	free(r->exe);
}

/* Run the program @exe, which is malloc'ed and is taken over; @c: it waits there already. */
static struct vl_error *redirect(struct vl_sys *sys, const struct vl_redirect_options *o, char *exe,
				 const struct vl_redirect_client *c, int *status_ret,
				 struct vl_redirect_stats *stats)
{
	struct vl_redirect r = { .sys = sys,
				 .o = o,
				 .stats = stats,
				 .exe = exe,
				 .listener = -1,
				 .netif = { .fd = -1 },
				 .terminal = { .fd = -1 },
				 .link = -1 };
	struct vl_error *err = init_filter(&r);

	if (!err)
		err = c ? run_for(&r, c, status_ret) : run_own(&r, status_ret);
	if (!err)
		*status_ret = WIFSIGNALED(r.wait_status) ? 128 + WTERMSIG(r.wait_status) :
							   WEXITSTATUS(r.wait_status);
	deinit(&r);
	return err;
}

struct vl_error *vl_redirect_run(struct vl_sys *sys, const struct vl_redirect_options *o,
				 int *status_ret, struct vl_redirect_stats *stats)
{
	char *exe;
	struct vl_error *err;

	*status_ret = 3;
	err = vl_child_find(o, &exe, status_ret);
	return err ? err : redirect(sys, o, exe, NULL, status_ret, stats);
}

struct vl_error *vl_redirect_serve(struct vl_sys *sys, const struct vl_redirect_options *o,
				   const struct vl_redirect_client *client, int *status_ret,
				   struct vl_redirect_stats *stats)
{
	char *exe = strdup(o->argv[0]);

	*status_ret = 3;
	return exe ? redirect(sys, o, exe, client, status_ret, stats) : vl_error_nomem();
}
