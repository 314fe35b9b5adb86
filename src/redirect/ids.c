/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program's ids. Its users and groups are those of the identity. Its pids are
 * numbers that no process of the guest has: pgrep, fuser and killall leave out the
 * process with their own pid, and with the identity's they would miss PID 1. Below
 * /proc such a number is /proc/self (paths.c), since ps looks itself up there and
 * exits if it is missing. Process groups and sessions concern the program and its
 * terminal, and stay the host's (jobs.c).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../base/process.h"
#include "fds.h"
#include "handlers.h"
#include "tasks.h"
#include "refuse.h"
#include "trap.h"

/* getpid, gettid, getppid, getuid, geteuid, getgid, getegid */
struct vl_error *vl_h_id(struct vl_trap *t)
{
	struct vl_task *task = vl_task_find(t->r, t->tid);
	const struct vl_identity *id;
	struct vl_error *err;

	err = vl_self(t->r, &id);
	if (err)
		return err;
	switch (t->nr) {
	case __NR_getpid:
		t->ret = VL_OWN_PID + (task ? task->tgid : t->tid);
		break;
	case __NR_gettid: /* other threads keep their own: they must differ */
		t->pass = task && task->tid != task->tgid;
		t->ret = VL_OWN_PID + t->tid;
		break;
	case __NR_getppid:
		t->ret = task && task->parent ? VL_OWN_PID + task->parent : id->ppid;
		break;
	case __NR_getuid:
		t->ret = id->uid;
		break;
	case __NR_geteuid:
		t->ret = id->euid;
		break;
	case __NR_getgid:
		t->ret = id->gid;
		break;
	default:
		t->ret = id->egid;
	}
	return NULL;
}

/*
 * Send @sig to a process or group (@pid, as kill takes it) of the program on its
 * behalf, or to the thread @tid if that is not 0. Before Linux 5.19 a signal would
 * interrupt the call that is being answered, and the call would restart for ever:
 * there the answer is sent first.
 */
static void send(struct vl_trap *t, pid_t pid, pid_t tid, int sig)
{
	t->ret = 0;
	if (!t->r->killable)
		vl_answer(t);
	if (tid ? (int)syscall(SYS_tgkill, pid, tid, sig) : kill(pid, sig))
		t->ret = -errno;
}

/* kill(pid <= 0, sig) */
static void send_group(struct vl_trap *t, int pid, int sig)
{
	bool own = pid < 0 && vl_pid_own(-(int64_t)pid);

	pid_t group = pid ? own ? -pid - VL_OWN_PID : -pid : getpgid(t->tid);
	struct vl_redirect *r = t->r;

	if (pid == -1 || !vl_group_is_ours(r, group)) {
		vl_deny(t);
		return;
	}
	/* One by one: the group can have other processes, as the next program of a pipe. */
	t->ret = -ESRCH;
	for (size_t i = 0; i < r->nr_tasks; i++)
		if (r->tasks[i].tid == r->tasks[i].tgid && getpgid(r->tasks[i].tid) == group)
			send(t, r->tasks[i].tid, 0, sig);
}

/* kill, tkill, tgkill: the program may signal itself and its children. */
struct vl_error *vl_h_kill(struct vl_trap *t)
{
	struct vl_task *to;
	bool process = t->nr == __NR_kill;
	int pid = t->args[0], tid = pid, sig = t->args[1];

	if (t->nr == __NR_tgkill) {
		tid = t->args[1];
		sig = t->args[2];
	}
	if (process && pid <= 0) {
		send_group(t, pid, sig);
		return NULL;
	}
	to = vl_task_find(t->r, vl_pid_own(tid) ? tid - VL_OWN_PID : tid);
	if (to)
		send(t, to->tgid, process ? 0 : to->tid, sig);
	else if (!sig && process) /* only a test whether it exists */
		return VL_GUEST(t->r, "kill", &t->ret, VL_ARG_INT(pid), VL_ARG_INT(0));
	else
		vl_deny(t);
	return NULL;
}

/* The process of pidfd @fd of ours; 0: it is not a pidfd. */
static pid_t pid_of(int fd)
{
	return (pid_t)vl_proc_number("Pid", 10, 0, "/proc/self/fdinfo/%d", fd);
}

/*
 * Signal a pidfd of one of the program's processes. The program can have others, since a socket
 * gives one of its peer. Flags that signal a whole group are refused.
 */
static void send_pidfd(struct vl_trap *t)
{
	const unsigned int flags = 3; /* PIDFD_SIGNAL_THREAD, PIDFD_SIGNAL_THREAD_GROUP */
	int fd = vl_fd_borrow(t, (int)t->args[0]);

	t->ret = fd;
	if (fd < 0)
		return;
	if ((t->args[3] & ~flags) || !vl_task_find(t->r, pid_of(fd))) {
		vl_deny(t);
	} else {
		t->ret = 0;
		if (!t->r->killable)
			vl_answer(t);
		if (syscall(SYS_pidfd_send_signal, fd, (int)t->args[1], NULL,
			    (unsigned int)t->args[3]))
			t->ret = -errno;
	}
	close(fd);
}

/* pidfd_send_signal(fd, sig, info, flags): killall names a process by its directory */
struct vl_error *vl_h_kill_fd(struct vl_trap *t)
{
	struct vl_file *f;
	int pid, end = 0;

	if (!vl_fd_ours(t->args[0])) {
		send_pidfd(t);
		return NULL;
	}
	f = vl_fd_find(t, t->args[0]);
	if (!f || sscanf(f->path, "/proc/%d%n", &pid, &end) != 1 || f->path[end])
		t->ret = -EBADF;
	else if (!t->args[1]) /* only a test whether it exists */
		return VL_GUEST(t->r, "kill", &t->ret, VL_ARG_INT(pid), VL_ARG_INT(0));
	else
		vl_deny(t);
	return NULL;
}
