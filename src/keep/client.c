/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tool's side of a keeper: finds or starts it, forks the program, waits for its end. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../box/box.h"
#include "../host/drivers.h"
#include "../redirect/child.h"
#include "../redirect/terminal.h"
#include "proto.h"

/* A run of a program under a keeper. */
struct run {
	int lock, link; /* the keeper's lock and socket; -1: none */
	pid_t keeper;
	struct vl_child child; /* pid -1: none */
	struct vl_terminal terminal;
	bool lost;  /* the keeper has died */
	bool over;  /* the program has ended, with @status */
	int status; /* as a shell has it */
	int signal; /* the signal, not sent by us, that has ended the program; 0: none */
};

/* --- finding and starting --- */

/* In the child: become a keeper, which keeps only the connection to the tool. */
static void __attribute__((noreturn)) become(const char *program, char *const *argv, int link)
{
	sigset_t none;
	int null;

	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	null = open("/dev/null", O_RDWR);
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	if (link == VL_KEEP_FD)
		fcntl(link, F_SETFD, 0);
	else
		dup2(link, VL_KEEP_FD);
	if (syscall(SYS_close_range, VL_KEEP_FD + 1, ~0U, 0))
		for (int fd = VL_KEEP_FD + 1; fd < 65536; fd++)
			close(fd);
	execv(program ? program : "/proc/self/exe", argv);
	_exit(127);
}

/* Start keeper number @slot. Returns our end of a new connection to it, or -1. */
static int start(const struct vl_keep_options *k, unsigned int slot, pid_t *pid_ret)
{
	char number[16];
	_cleanup_free_ char **argv = NULL;
	size_t nr = 0;
	int sv[2];
	pid_t pid;

	while (k->command[nr])
		nr++;
	argv = calloc(nr + 2, sizeof(*argv));
	if (!argv || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv))
		return -1;
	memcpy(argv, k->command, nr * sizeof(*argv));
	snprintf(number, sizeof(number), "%u", slot);
	argv[nr] = number;
	/* Fork twice, so that a caller that waits for its children does not find the keeper. The
	 * intermediate child sends the keeper's pid. */
	pid = fork();
	if (!pid) {
		pid = fork();
		if (!pid)
			become(k->program, argv, sv[1]);
		_exit(send(sv[1], &pid, sizeof(pid), MSG_NOSIGNAL) != sizeof(pid));
	}
	close(sv[1]);
	if (pid > 0)
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
	if (pid < 0 || recv(sv[0], pid_ret, sizeof(*pid_ret), 0) != sizeof(*pid_ret) ||
	    *pid_ret <= 0) {
		close(sv[0]);
		return -1;
	}
	return sv[0];
}

/* Get a keeper, which is ours as long as we hold r->lock. */
static bool find_keeper(const struct vl_keep_options *k, const char *key, struct run *r)
{
	for (unsigned int slot = 0; slot < VL_KEEP_SLOTS; slot++) {
		r->lock = vl_keep_lock(key, slot);
		if (r->lock == -2)
			break;
		if (r->lock < 0)
			continue;
		r->link = vl_keep_connect(key, slot, &r->keeper);
		if (r->link < 0)
			r->link = start(k, slot, &r->keeper);
		return r->link >= 0;
	}
	return false;
}

/* --- the program --- */

/* The terminal's stop signal reached us as well: stop as the program does. */
static void stop_too(struct run *r)
{
	static const struct vl_link word = { .word = VL_LINK_CONTINUE };
	siginfo_t si = { 0 };

	/* Do not reap it here: its pid must stay valid until we are done. */
	if (!r->terminal.stop || waitid(P_PID, (id_t)r->child.pid, &si, WSTOPPED | WNOHANG) ||
	    !si.si_pid)
		return;
	r->terminal.stop = false;
	kill(getpid(), SIGSTOP);
	/* Perhaps only we were continued: let the keeper continue the program. */
	send(r->link, &word, sizeof(word), MSG_NOSIGNAL);
}

/*
 * Has the program ended? If the keeper traces it, the keeper sees that first. Before that (while
 * the guest is being opened) only we see an end, such as by Ctrl-C.
 */
static void look_after_program(struct run *r)
{
	siginfo_t si = { 0 };

	if (waitid(P_PID, (id_t)r->child.pid, &si, WEXITED | WNOHANG | WNOWAIT) || !si.si_pid)
		return;
	r->over = true;
	r->status = si.si_code == CLD_EXITED ? si.si_status : 128 + si.si_status;
}

static void take_signals(struct run *r)
{
	vl_terminal_read(&r->terminal, r->child.pid);
	stop_too(r);
	look_after_program(r);
}

/* If @m asks for it: give the terminal to another process group of the program (a shell). */
static bool give_terminal(struct run *r, const struct vl_keep_message *m)
{
	struct vl_link word;

	if (m->len != sizeof(word))
		return false;
	memcpy(&word, m->data, sizeof(word));
	if (word.word != VL_LINK_FOREGROUND)
		return false;
	word.result = vl_terminal_give(word.from, word.to);
	send(r->link, &word, sizeof(word), MSG_NOSIGNAL);
	return true;
}

/* Timeout for the keeper to report the program's end. */
#define OVER_TIMEOUT_MS 1000
/* Timeout for it to take a request: it may still clean up after the last program. */
#define TAKE_TIMEOUT_MS 5000

/* Wait for a message of the keeper, @timeout ms or (-1) for ever. False: none came. */
static bool wait_message(struct run *r, struct vl_keep_message *m, int timeout)
{
	struct pollfd p[2] = { { r->link, POLLIN, 0 }, { r->terminal.fd, POLLIN, 0 } };

	for (;;) {
		int nr = poll(p, 2, r->over ? OVER_TIMEOUT_MS : timeout);

		if (!nr || (nr < 0 && errno != EINTR))
			return false;
		if (nr < 0)
			continue;
		if (p[1].revents)
			take_signals(r);
		if (p[0].revents) {
			r->lost = !vl_keep_receive(r->link, m, NULL);
			if (r->lost || !give_terminal(r, m))
				return !r->lost;
		}
	}
}

static struct vl_error *gone(void)
{
	return vl_error_hint(vl_error_new(VL_ERR_OS, "the keeper of this guest has died"),
			     "try again, or without one: --keep=0");
}

/* Take the keeper's report of the run apart; returns the error in it. */
static struct vl_error *take_reply(struct vl_keep_message *m, int *status_ret,
				   struct vl_stats *stats_ret,
				   struct vl_redirect_stats *redirect_ret)
{
	struct vl_error *err = NULL;
	struct vl_keep_reply reply;

	vl_keep_get(m, &reply, sizeof(reply));
	if (m->bad)
		return gone();
	*status_ret = reply.status;
	*stats_ret = reply.stats;
	*redirect_ret = reply.redirect;
	if (reply.has_error) {
		err = vl_error_new(reply.code, "%s", vl_keep_get_string(m));
		if (reply.has_hint)
			vl_error_hint(err, "%s", vl_keep_get_string(m));
		if (err->code != VL_ERR_NOMEM) {
			err->os_errno = reply.os_errno;
			err->address = reply.address;
		}
	}
	return err;
}

static bool ask(const struct vl_keep_options *k, const struct vl_redirect_options *o,
		const char *key, const char *exe, const struct run *r, struct vl_keep_message *m)
{
	struct vl_keep_request q = {
		.pid = r->child.pid,
		.seconds = k->seconds,
		.idle_ms = o->idle_ms,
		.tries = o->tries,
		.no_pin = o->no_pin,
		.raw_names = o->raw_names,
		.has_label = k->guest.label != NULL,
		.budget = k->guest.target.budget,
		.freeze = k->guest.target.pause == VL_PAUSE_FREEZE,
		.has_files = o->host_files != NULL,
	};

	while (o->guest_paths && o->guest_paths[q.nr_paths])
		q.nr_paths++;
	vl_keep_self(k->program, &q.self);
	vl_keep_put(m, &q, sizeof(q));
	vl_keep_put_string(m, key);
	vl_keep_put_string(m, q.has_label ? k->guest.label : "");
	vl_keep_put_string(m, exe);
	vl_keep_put_string(m, q.has_files ? o->host_files : "");
	for (uint32_t i = 0; i < q.nr_paths; i++)
		vl_keep_put_string(m, o->guest_paths[i]);
	return vl_keep_send(r->link, m, r->child.sock);
}

static struct vl_error *run(const struct vl_keep_options *k, const struct vl_redirect_options *o,
			    const char *key, const char *exe, struct run *r,
			    struct vl_keep_message *m, bool *used_ret)
{
	uint32_t word;

	vl_child_tell(&r->child, r->keeper);
	*used_ret = ask(k, o, key, exe, r, m) && wait_message(r, m, TAKE_TIMEOUT_MS);
	close(r->child.sock);
	r->child.sock = -1;
	vl_keep_get(m, &word, sizeof(word));
	*used_ret = *used_ret && word == VL_KEEP_TAKEN;
	m->len = 0; /* no reply yet */
	if (*used_ret && wait_message(r, m, -1))
		return NULL;
	if (*used_ret && r->lost)
		return gone();
	/* Without a report only the status is known. Do not run the program again. */
	*used_ret |= r->over;
	return NULL;
}

/* Release everything, and end what is left of the program. */
static void clean_up(struct run *r)
{
	if (r->link >= 0)
		close(r->link);
	if (r->lock >= 0)
		close(r->lock);
	if (r->child.sock >= 0)
		close(r->child.sock);
	if (r->child.pid > 0) {
		int status = 0;

		/* It has ended, or was never executed. */
		kill(r->child.pid, SIGKILL);
		while (waitpid(r->child.pid, &status, 0) < 0 && errno == EINTR)
			;
		if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
			r->signal = WTERMSIG(status);
	}
	vl_terminal_give_back(&r->terminal);
}

/*
 * To suspend a guest takes its monitor, which accepts one connection at a time: a keeper would
 * hold that as long as it stays. So only the other ways to pause have a keeper. --kernel and
 * --snapshot are of a file, which has none.
 */
static bool is_for_keeper(const struct vl_keep_options *k)
{
	return k->seconds && !k->guest.target.kernel && !k->guest.target.snapshot &&
	       vl_spec_is_kept(k->spec) &&
	       (k->guest.target.pause == VL_PAUSE_AUTO || k->guest.target.pause == VL_PAUSE_FREEZE);
}

/* Ample: an idle keeper answers in microseconds, or makes a worker in some milliseconds. */
#define BORROW_TIMEOUT_MS 100

static struct vl_box *borrow(const char *key, uint64_t print)
{
	struct vl_keep_request q = { .borrows = 1, .print = print };
	struct vl_keep_message m = { 0 };
	struct vl_box *box = NULL;
	_cleanup_close_ int link = -1;
	bool asked;
	pid_t pid;

	if (!vl_keep_is_idle(key, 0))
		return NULL;
	link = vl_keep_connect(key, 0, &pid);
	if (link < 0 || vl_discard(vl_keep_message_init(&m)))
		return NULL;
	vl_keep_self(NULL, &q.self);
	vl_keep_put(&m, &q, sizeof(q));
	vl_keep_put_string(&m, key);
	for (int i = 0; i < 3; i++)
		vl_keep_put_string(&m, "");
	asked = vl_keep_send(link, &m, -1);
	vl_keep_message_deinit(&m);
	if (asked)
		box = vl_box_borrow(link, BORROW_TIMEOUT_MS, "reads the guest");
	if (box)
		link = -1;
	return box;
}

struct vl_box *vl_keep_borrow(const struct vl_keep_options *k, uint64_t print)
{
	_cleanup_free_ char *key = is_for_keeper(k) ? vl_keep_key(k) : NULL;

	return key ? borrow(key, print) : NULL;
}

struct vl_error *vl_keep_run(const struct vl_keep_options *k, const struct vl_redirect_options *o,
			     int *status_ret, struct vl_stats *stats_ret,
			     struct vl_redirect_stats *redirect_ret, bool *used_ret)
{
	struct run r = { .lock = -1, .link = -1, .child = { -1, -1 }, .terminal = { .fd = -1 } };
	struct vl_keep_message m = { 0 };
	struct vl_error *err;
	char *key, *exe = NULL;

	*used_ret = false;
	*status_ret = 3;
	if (!is_for_keeper(k))
		return NULL;
	err = vl_child_find(o, &exe, status_ret);
	if (err) {
		*used_ret = true;
		return err;
	}
	key = vl_keep_key(k);
	err = vl_terminal_take(&r.terminal, true);
	/* It confines itself while we find a keeper. */
	if (!err)
		err = vl_child_fork(o, exe, &r.terminal.old_set, true, &r.child);
	if (!err && key && find_keeper(k, key, &r)) {
		err = vl_keep_message_init(&m);
		if (!err)
			err = run(k, o, key, exe, &r, &m, used_ret);
		if (!err && r.over && !m.len)
			*status_ret = r.status;
		else if (!err && *used_ret)
			err = take_reply(&m, status_ret, stats_ret, redirect_ret);
	}
	if (err)
		*used_ret = true;
	clean_up(&r);
	/* A user's signal ended the program before it began. That is its status, and no error. */
	if (err && r.signal) {
		vl_error_destroy(err);
		err = NULL;
		*status_ret = 128 + r.signal;
	}
	vl_keep_message_deinit(&m);
	free(key);
	free(exe);
	return err;
}
