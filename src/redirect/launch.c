/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Takes over the program's first process: traces it, puts it under the filter,
 * fetches the listener and lets it exec. child.h has the protocol.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "child.h"
#include "run.h"
#include "tasks.h"

/* linux/seccomp.h, since 6.6: the woken thread runs on the waker's CPU. */
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

static struct vl_error *no_listener(int err)
{
	struct vl_error *e = vl_error_os(err, "cannot redirect system calls");

	switch (err) {
	case EBUSY:
		return vl_error_hint(e, "another seccomp supervisor has this process already: "
					"run it outside of that container or sandbox");
	case ENOSYS:
	case EINVAL:
		return vl_error_hint(e, "the host kernel must be 5.9 or later, with seccomp");
	default:
		return vl_error_hint(e, "seccomp is forbidden here: a container's profile?");
	}
}

static struct vl_error *died(void)
{
	return vl_error_new(VL_ERR_OS, "the program's process died before it began");
}

/* Has the program's process ended? A zombie cannot be traced, as if that were forbidden. */
static bool is_dead(const struct vl_redirect *r)
{
	struct pollfd p = { (int)syscall(SYS_pidfd_open, r->main, 0), POLLIN, 0 };
	bool dead = p.fd < 0 || poll(&p, 1, 0) > 0;

	if (p.fd >= 0)
		close(p.fd);
	return dead;
}

static struct vl_error *no_ptrace(const struct vl_redirect *r, int err)
{
	if (is_dead(r))
		return died();
	return vl_error_hint(vl_error_os(err, "cannot trace the program"),
			     "ptrace is forbidden here: kernel.yama.ptrace_scope is 3, or a "
			     "debugger or container prevents it");
}

/* The child's listener as a descriptor of ours. */
static struct vl_error *fetch(struct vl_redirect *r, int number)
{
	uint64_t flags = SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP;
	int pidfd = syscall(SYS_pidfd_open, r->main, 0);

	if (pidfd < 0)
		return vl_error_os(errno, "cannot open the program's pidfd");
	r->listener = syscall(SYS_pidfd_getfd, pidfd, number, 0);
	close(pidfd);
	if (r->listener < 0)
		return vl_error_os(errno, "cannot fetch the program's listener");
	/* Pinned, both are on one CPU anyway. It may fail (EINVAL or ENOTTY before 6.6). */
	if (r->o->no_pin)
		ioctl(r->listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, flags);
	return NULL;
}

/* The interval of the checks whether the program's process has ended. */
#define POLL_MS 100

/*
 * Wait for @fd, from which the program's process is to be heard. A traced process stops at
 * each signal until vl_tasks_reap() lets it go on. False: nothing will come, as the process, or
 * the tool that forked it, is gone.
 */
static bool wait_for(struct vl_redirect *r, int fd)
{
	for (;;) {
		struct pollfd p[3] = { { fd, POLLIN, 0 },
				       { r->terminal.fd, POLLIN, 0 },
				       { r->link, POLLIN, 0 } };
		int nr = poll(p, 3, POLL_MS);

		if (nr < 0 && errno != EINTR)
			return false;
		if (nr > 0 && p[0].revents)
			return p[0].revents & POLLIN;
		if (nr > 0 && p[1].revents)
			vl_terminal_read(&r->terminal, r->main);
		vl_error_destroy(vl_tasks_reap(r));
		if (vl_tasks_must_stop(r))
			vl_tasks_stop(r);
		if (r->ended || (nr > 0 && p[2].revents & (POLLHUP | POLLERR)))
			return false;
	}
}

static bool hear(struct vl_redirect *r, int sock, void *ret, size_t len)
{
	return wait_for(r, sock) && recv(sock, ret, len, MSG_WAITALL) == (ssize_t)len;
}

/* Send the filter, and the namespaces that there are. */
static bool say_filter(int sock, const struct vl_redirect_filter *f, struct vl_redirect_kept *kept)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int[VL_CHILD_SPACES]))];
	} control = { 0 };
	const int spaces[VL_CHILD_SPACES] = {
		[VL_CHILD_NETWORK] = kept ? kept->network : -1,
		[VL_CHILD_IPC] = kept ? kept->ipc : -1,
	};
	struct vl_child_filter head = { .nr = f->nr };
	struct iovec iov[2] = { { &head, sizeof(head) }, { f->insns, f->nr * sizeof(*f->insns) } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	size_t len = 0;
	bool sent;

	for (size_t i = 0; i < VL_CHILD_SPACES; i++) {
		head.has[i] = spaces[i] >= 0;
		if (!head.has[i])
			continue;
		memcpy(CMSG_DATA(&control.head) + len, &spaces[i], sizeof(int));
		len += sizeof(int);
	}
	if (len) {
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(len);
		control.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(len),
						 .cmsg_level = SOL_SOCKET,
						 .cmsg_type = SCM_RIGHTS };
	}
	sent = sendmsg(sock, &msg, MSG_NOSIGNAL) == (ssize_t)(iov[0].iov_len + iov[1].iov_len);
	/* Objects in it would outlive this program. */
	if (kept && kept->ipc >= 0) {
		close(kept->ipc);
		kept->ipc = -1;
	}
	return sent;
}

static int open_namespace(const struct vl_redirect *r, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)r->main, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static void keep_namespaces(const struct vl_redirect *r)
{
	struct vl_redirect_kept *kept = r->o->kept;

	if (!kept)
		return;
	if (kept->network < 0 && r->stats->confined & VL_CONFINED_NETWORK)
		kept->network = open_namespace(r, "net");
	if (kept->mounts < 0 && r->stats->confined & VL_CONFINED_MOUNTS)
		kept->mounts = open_namespace(r, "mnt");
}

/* The child's first execve traps, too: let it pass. */
static void let_exec(struct vl_redirect *r)
{
	struct seccomp_notif_resp resp = { .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE };
	union { /* the kernel's own may be larger than that of our headers */
		struct seccomp_notif notif;
		char room[512];
	} u;

	memset(&u, 0, sizeof(u));
	if (!wait_for(r, r->listener) || ioctl(r->listener, SECCOMP_IOCTL_NOTIF_RECV, &u.notif))
		return; /* it has died */
	resp.id = u.notif.id;
	ioctl(r->listener, SECCOMP_IOCTL_NOTIF_SEND, &resp);
}

struct vl_error *vl_launch_begin(struct vl_redirect *r, int sock, const cpu_set_t *cpus)
{
	const long options = PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK |
			     PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACESECCOMP |
			     PTRACE_O_TRACESYSGOOD;
	int value;
	bool traced = !ptrace(PTRACE_SEIZE, r->main, NULL, options);

	/* Where Yama forbids it, the process has to permit it first. */
	if (!traced) {
		if (!hear(r, sock, &value, sizeof(value)))
			return died();
		if (ptrace(PTRACE_SEIZE, r->main, NULL, options))
			return no_ptrace(r, errno);
	}
	r->unheard = traced;
	if (!vl_task_add(r, r->main, r->main, 0))
		return vl_error_nomem();
	if (!say_filter(sock, r->filter, r->o->kept))
		return died();
	if (cpus)
		sched_setaffinity(r->main, sizeof(*cpus), cpus);
	return NULL;
}

struct vl_error *vl_launch(struct vl_redirect *r, int sock)
{
	struct vl_child_begins begins;
	struct vl_error *err;
	int value;

	if ((r->unheard && !hear(r, sock, &value, sizeof(value))) ||
	    !hear(r, sock, &begins, sizeof(begins)))
		return died();
	if (begins.listener < 0)
		return no_listener(-begins.listener);
	r->killable = !begins.old_flags;
	r->stats->confined = begins.confined;
	err = fetch(r, begins.listener);
	if (err)
		return err;
	let_exec(r);
	keep_namespaces(r);
	return NULL;
}

struct vl_error *vl_launch_end(struct vl_redirect *r, int sock, int *status_ret)
{
	struct vl_error *err;
	int value;

	if (!hear(r, sock, &value, sizeof(value)))
		return NULL; /* exec closed it */
	*status_ret = value == -ENOENT ? 127 : 126;
	err = vl_error_os(-value, "cannot run %s", r->exe);
	if (value == -ENOENT)
		vl_error_hint(err, "its interpreter (#! line or loader) is missing on this host");
	return err;
}
