/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who the program is. To itself it has the pid of the identity, since ps looks
 * itself up in /proc and ends when it is not there. Its process group and
 * session are between it and its terminal, and stay the host's.
 */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "internal.h"

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
		t->ret = id->pid;
		break;
	case __NR_gettid: /* other threads keep their own: they must differ */
		t->pass = task && task->tid != task->tgid;
		t->ret = id->tid;
		break;
	case __NR_getppid: /* a child's parent is the program, which has that pid */
		t->ret = task && task->parent ? id->pid : id->ppid;
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

/* getpgid(pid), getsid(pid) */
struct vl_error *vl_h_group_id(struct vl_trap *t)
{
	if (t->args[0])
		return vl_h_forward(t);
	t->pass = true;
	return NULL;
}

static bool group_is_ours(struct vl_redirect *r, pid_t pgid)
{
	return vl_task_find(r, pgid) || pgid == getpgid(r->main);
}

/*
 * Send @sig to a thread of the program on its behalf. Before Linux 5.19 a
 * signal would interrupt the very call we are answering, which would then begin
 * again, for ever: there the answer comes first.
 */
static void send(struct vl_trap *t, const struct vl_task *to, int sig, bool process)
{
	pid_t tgid = to->tgid, tid = to->tid;

	t->ret = 0;
	if (!t->r->killable)
		vl_answer(t);
	if (process ? kill(tgid, sig) : (int)syscall(SYS_tgkill, tgid, tid, sig))
		t->ret = -errno;
}

/*
 * kill, tkill, tgkill: the program may signal itself and its children. It knows
 * itself by the identity's pid.
 */
struct vl_error *vl_h_kill(struct vl_trap *t)
{
	struct vl_task *task = vl_task_find(t->r, t->tid), *to;
	bool process = t->nr == __NR_kill;
	const struct vl_identity *id;
	int pid = t->args[0], tid = pid, sig = t->args[1];
	struct vl_error *err;

	if (t->nr == __NR_tgkill) {
		tid = t->args[1];
		sig = t->args[2];
	}
	err = vl_self(t->r, &id);
	if (err)
		return err;
	if (process && pid <= 0) {
		t->pass = !pid || (pid != -1 && group_is_ours(t->r, -pid));
		if (!t->pass)
			vl_deny(t);
		return NULL;
	}
	to = tid == id->pid || tid == id->tid ? task : vl_task_find(t->r, tid);
	if (to)
		send(t, to, sig, process);
	else if (!sig && process) /* is it there? changes nothing */
		return VL_GUEST(t->r, "kill", &t->ret, VL_ARG_INT(pid), VL_ARG_INT(0));
	else
		vl_deny(t);
	return NULL;
}
