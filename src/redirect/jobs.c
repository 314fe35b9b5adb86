/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Process groups, and which of them has the terminal. A shell makes groups of its processes,
 * and gives the terminal to one after the other. The operator's other jobs are groups of the
 * same session: the program can neither join one nor give it the terminal.
 *
 * setpgid() runs in the program, as no other process can make it instead. Its arguments are in
 * registers: the tracer checks them, and replaces the program's pids by the host's. The group
 * that TIOCSPGRP gives the terminal to is in memory, which another thread could change after a
 * check. So the tool that forked the program makes that call.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <unistd.h>

#include "fds.h"
#include "handlers.h"
#include "tasks.h"
#include "own.h"
#include "refuse.h"
#include "trap.h"

/* The tool answers at once, unless it is stopped. */
#define LINK_MS 2000

static pid_t host_pid(int pid)
{
	return vl_pid_own(pid) ? pid - VL_OWN_PID : pid;
}

/* Is process @pid a zombie whose parent is a process of the program? */
static bool is_zombie_of_ours(struct vl_redirect *r, pid_t pid)
{
	char path[64], text[1024] = "";
	const char *at;
	int parent = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	if (f && !fgets(text, sizeof(text), f))
		text[0] = 0;
	if (f)
		fclose(f);
	at = strrchr(text, ')');
	if (!at || sscanf(at, ") Z %d", &parent) != 1)
		return false;
	for (size_t i = 0; i < r->nr_tasks; i++)
		if (r->tasks[i].tgid == parent)
			return true;
	return false;
}

/* A process of the program joins only such groups, so it is never in another one. */
bool vl_group_is_ours(struct vl_redirect *r, pid_t pgid)
{
	if (pgid <= 0)
		return false;
	for (size_t i = 0; i < r->nr_tasks; i++)
		if (pgid == r->tasks[i].tgid || pgid == getpgid(r->tasks[i].tgid))
			return true;
	/* The leader of a pipeline's group may have ended. */
	return pgid == r->group || is_zombie_of_ours(r, pgid);
}

/*
 * getpgrp(), getpgid(pid), getsid(pid): a group that the caller leads has the caller's own pid.
 * The program's processes are answered here, all others by the guest.
 */
struct vl_error *vl_h_group_id(struct vl_trap *t)
{
	struct vl_task *task = vl_task_find(t->r, t->tid);
	pid_t self = task ? task->tgid : t->tid, pid = self;

	if (t->nr != __NR_getpgrp && t->args[0]) {
		if (!vl_pid_own((int)t->args[0]))
			return vl_h_forward(t);
		pid = (int)t->args[0] - VL_OWN_PID;
		if (!vl_task_find(t->r, pid) && !is_zombie_of_ours(t->r, pid)) {
			t->ret = -ESRCH;
			return NULL;
		}
	}
	t->ret = t->nr == __NR_getsid ? getsid(pid) : getpgid(pid);
	if (t->ret < 0)
		t->ret = -errno;
	else if (t->ret == self)
		t->ret += VL_OWN_PID;
	return NULL;
}

/* --- at the tracer --- */

/* setpgid(pid, group), ioctl(fd, TIOCGPGRP, &group) */
int vl_group_call(struct vl_redirect *r, pid_t tid)
{
	struct user_regs_struct regs;

	if (ptrace(PTRACE_GETREGS, tid, NULL, &regs))
		return PTRACE_CONT;
	if (regs.orig_rax == __NR_ioctl && (uint32_t)regs.rsi == TIOCGPGRP)
		return PTRACE_SYSCALL;
	/* A filter that the program installed stopped it. */
	if (regs.orig_rax != __NR_setpgid)
		return PTRACE_CONT;
	regs.rdi = host_pid((int)regs.rdi);
	regs.rsi = host_pid((int)regs.rsi);
	/* 0: a new group of the process. */
	if (regs.rsi && !vl_group_is_ours(r, (int)regs.rsi)) {
		regs.orig_rax = -1;
		regs.rax = -EPERM;
		vl_denied(r, __NR_setpgid);
	}
	ptrace(PTRACE_SETREGS, tid, NULL, &regs);
	return PTRACE_CONT;
}

/* After ioctl(fd, TIOCGPGRP, &group): a group that the caller leads has its own pid. */
void vl_group_return(const struct vl_task *task)
{
	struct user_regs_struct regs;
	struct iovec ours, theirs;
	pid_t group;

	if (ptrace(PTRACE_GETREGS, task->tid, NULL, &regs) || regs.rax)
		return;
	ours = (struct iovec){ &group, sizeof(group) };
	theirs = (struct iovec){ (void *)(uintptr_t)regs.rdx, sizeof(group) };
	if (process_vm_readv(task->tid, &ours, 1, &theirs, 1, 0) != sizeof(group) ||
	    group != task->tgid)
		return;
	group += VL_OWN_PID;
	process_vm_writev(task->tid, &ours, 1, &theirs, 1, 0);
}

/* --- the terminal --- */

/* Fields 7 and 8 of proc(5) stat. */
dev_t vl_controlling(const struct vl_trap *t, pid_t *foreground_ret)
{
	char path[64], text[1024];
	const char *at;
	ssize_t n = -1;
	int fd, nr = 0, foreground = -1;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)t->tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, text, sizeof(text) - 1);
		close(fd);
	}
	text[n > 0 ? n : 0] = 0;
	at = strrchr(text, ')');
	if (!at || sscanf(at, ") %*c %*d %*d %*d %d %d", &nr, &foreground) != 2)
		return 0;
	if (foreground_ret)
		*foreground_ret = foreground;
	return (dev_t)(unsigned int)nr;
}

void vl_link_word(struct vl_redirect *r, const struct vl_link *word)
{
	if (word->word == VL_LINK_CONTINUE)
		vl_tasks_continue(r);
}

/* Ask the tool to hand over the terminal, which it has: 0 or -errno. */
static int ask_tool(struct vl_redirect *r, pid_t from, pid_t to)
{
	const struct vl_link word = { .word = VL_LINK_FOREGROUND, .from = from, .to = to };
	struct pollfd p = { r->link, POLLIN, 0 };
	struct vl_link got;

	if (send(r->link, &word, sizeof(word), MSG_NOSIGNAL) != sizeof(word))
		return -EIO;
	while (poll(&p, 1, LINK_MS) > 0) {
		ssize_t n = recv(r->link, &got, sizeof(got), MSG_DONTWAIT);

		if (n != sizeof(got)) {
			r->left |= !n;
			break;
		}
		if (got.word == VL_LINK_FOREGROUND)
			return got.result;
		vl_link_word(r, &got);
	}
	return -EIO;
}

static int give_terminal(struct vl_redirect *r, pid_t from, pid_t to)
{
	int err;

	/* The guest must not be held meanwhile. */
	vl_epoch_end(r);
	err = r->link < 0 ? vl_terminal_give(from, to) : ask_tool(r, from, to);
	if (!err)
		r->foreground = to;
	return err;
}

/*
 * ioctl(fd, TIOCSPGRP, &group): the terminal goes from one group of the program to another. If
 * none has it the call is refused: another job of the operator or the shell may have it.
 */
struct vl_error *vl_h_foreground(struct vl_trap *t)
{
	struct vl_redirect *r = t->r;
	pid_t from = -1, to;
	struct stat st;
	int fd;

	t->ret = vl_mem_read(t, t->args[2], &to, sizeof(to));
	if (t->ret)
		return NULL;
	fd = vl_fd_borrow(t, (int)t->args[0]);
	t->ret = fd;
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) || !vl_is_terminal(&st) || vl_controlling(t, &from) != st.st_rdev) {
		t->ret = -ENOTTY;
	} else {
		to = host_pid(to);
		/* The group that the program last gave it to may have ended. */
		if (!vl_group_is_ours(r, to) ||
		    !(vl_group_is_ours(r, from) || (from > 0 && from == r->foreground)))
			vl_deny(t);
		else
			t->ret = give_terminal(r, from, to);
	}
	close(fd);
	return NULL;
}

void vl_jobs_end(struct vl_redirect *r)
{
	if (r->foreground && r->foreground != r->group && !r->left)
		give_terminal(r, r->foreground, r->group);
}
