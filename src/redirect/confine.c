/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Before the program's process becomes the program it drops its rights, the mounts that it
 * could write to, the network, and open files. The filter is what confines it. These steps
 * make a call harmless that a wrong row of the tables would let through. A step that the host
 * does not permit is skipped; --stats shows the steps that were taken.
 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../base/append.h"
#include "../base/array.h"
#include "../base/process.h"
#include "fds.h"
#include "redirect.h"

/* Newer than some headers: linux/mount.h, linux/landlock.h, asm/unistd_64.h. */
#ifndef __NR_mount_setattr
#define __NR_mount_setattr 442
#endif
#ifndef __NR_landlock_create_ruleset
#define __NR_landlock_create_ruleset 444
#define __NR_landlock_restrict_self 446
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

/* struct mount_attr; MOUNT_ATTR_RDONLY, NOSUID, NODEV. */
struct mount_flags {
	uint64_t set, clear, propagation, userns;
};
#define READ_ONLY 0x1
#define NO_SUID 0x2
#define NO_DEV 0x4

/* struct landlock_ruleset_attr, with the version of the ABI that added each field. */
struct ruleset {
	uint64_t fs;	 /* 1 */
	uint64_t net;	 /* 4 */
	uint64_t scoped; /* 6 */
};
#define LANDLOCK_VERSION 1 /* LANDLOCK_CREATE_RULESET_VERSION */
/* LANDLOCK_ACCESS_FS_*: WRITE_FILE; REMOVE_DIR to MAKE_SYM; REFER; TRUNCATE; IOCTL_DEV. */
#define FS_WRITE (1u << 1)
#define FS_CHANGE (0x1ff0u)
#define FS_REFER (1u << 13)
#define FS_TRUNCATE (1u << 14)
#define FS_IOCTL_DEV (1u << 15)
#define NET_TCP 3u    /* LANDLOCK_ACCESS_NET_BIND_TCP, CONNECT_TCP */
#define SCOPED_ALL 3u /* LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET, SIGNAL */

/* Private read-only mounts. */
static unsigned int leave_mounts(void)
{
	struct mount_flags flags = { .set = READ_ONLY | NO_SUID | NO_DEV,
				     .propagation = MS_PRIVATE };

	if (unshare(CLONE_NEWNS) ||
	    syscall(__NR_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &flags, sizeof(flags)))
		return 0;
	return VL_CONFINED_MOUNTS;
}

/* Enter the empty namespace @space of @kind, which is closed; -1: make one. */
static bool leave_for(int space, int kind)
{
	bool done = (space >= 0 && !setns(space, kind)) || !unshare(kind);

	if (space >= 0)
		close(space);
	return done;
}

/*
 * Enter an empty network namespace, and an empty IPC namespace: its objects would outlive the
 * program. To make a network takes longer than all other steps, so programs of a keeper share
 * one. It holds nothing: a program can neither change it nor have a socket in it. An IPC namespace
 * is made ahead, for one program.
 */
static bool leave_network(const int spaces[VL_CHILD_SPACES])
{
	bool network = leave_for(spaces[VL_CHILD_NETWORK], CLONE_NEWNET);

	return leave_for(spaces[VL_CHILD_IPC], CLONE_NEWIPC) && network;
}

void vl_redirect_make_ipc(struct vl_redirect_kept *kept)
{
	if (kept->ipc < 0 && !unshare(CLONE_NEWIPC))
		kept->ipc = open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);
}

/* Landlock: no change of a file, no TCP, no abstract socket of and no signal to others. */
static unsigned int landlock(void)
{
	long abi = syscall(__NR_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION);
	struct ruleset r = { .fs = FS_WRITE | FS_CHANGE };
	size_t size = sizeof(r.fs);
	int fd;
	bool ok;

	if (abi < 1)
		return 0;
	if (abi >= 2)
		r.fs |= FS_REFER;
	if (abi >= 3)
		r.fs |= FS_TRUNCATE;
	if (abi >= 4) {
		r.net = NET_TCP;
		size = offsetof(struct ruleset, scoped);
	}
	if (abi >= 5)
		r.fs |= FS_IOCTL_DEV;
	if (abi >= 6) {
		r.scoped = SCOPED_ALL;
		size = sizeof(r);
	}
	fd = (int)syscall(__NR_landlock_create_ruleset, &r, size, 0);
	if (fd < 0)
		return 0;
	ok = !syscall(__NR_landlock_restrict_self, fd, 0);
	close(fd);
	return ok ? VL_CONFINED_LANDLOCK : 0;
}

/* Empty the bounding set, so that exec grants no capability. */
static void bound_capabilities(void)
{
	for (unsigned long cap = 0; cap < 64; cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) && errno == EINVAL)
			break; /* the kernel has no more */
}

/* Drop all capabilities, for good. */
static unsigned int drop_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };
	const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
				   SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
				   SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED;

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	prctl(PR_SET_SECUREBITS, bits, 0, 0, 0);
	if (syscall(SYS_capset, &head, data) || syscall(SYS_capget, &head, data))
		return 0;
	for (int i = 0; i < 2; i++)
		if (data[i].effective | data[i].permitted | data[i].inheritable)
			return 0;
	return VL_CONFINED_RIGHTS;
}

/* Does the program keep descriptor @fd, from 3 on? A shell passes `<(…)` as a pipe. */
static bool is_kept(const struct pollfd *p, int keep)
{
	struct stat st;

	return p->fd == keep ||
	       (!(p->revents & POLLNVAL) && !fstat(p->fd, &st) && S_ISFIFO(st.st_mode));
}

/*
 * Close all but standard descriptors, pipes and @keep. A directory would lead out of the
 * confinement, a socket to other processes. One poll(2) finds the descriptors that are open, in a
 * tenth of the time that /proc/self/fd takes. It takes one with O_PATH for closed: such a pipe is
 * of no use, and is closed as well.
 */
static bool close_others(int keep)
{
	struct pollfd fds[VL_FD_LO - 3];
	unsigned int from = 3;
	int nr;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = (struct pollfd){ .fd = (int)i + 3 };
	do
		nr = poll(fds, ARRAY_SIZE(fds), 0);
	while (nr < 0 && errno == EINTR);
	if (nr < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		unsigned int fd = (unsigned int)fds[i].fd;

		if (!is_kept(&fds[i], keep))
			continue;
		if (fd > from && syscall(SYS_close_range, from, fd - 1, 0))
			return false; /* each host that can redirect has it: Linux 5.9 */
		from = fd + 1;
	}
	return !syscall(SYS_close_range, from, ~0U, 0);
}

/*
 * Replace standard descriptors that are datagram sockets by /dev/null. Such a socket could
 * send to any address: the address is in the message, where no filter sees it.
 */
static void close_datagrams(void)
{
	for (int fd = 0; fd < 3; fd++) {
		socklen_t len = sizeof(int);
		int type, null;

		if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) || type == SOCK_STREAM ||
		    type == SOCK_SEQPACKET)
			continue;
		close(fd);
		null = open("/dev/null", O_RDWR);
		if (null >= 0 && null != fd) {
			dup2(null, fd);
			close(null);
		}
	}
}

void vl_confine_given(void)
{
	/* Before leave_mounts(): this opens /dev/null, which mounts with nodev forbid. */
	close_datagrams();
}

bool vl_confine_begin(int keep, unsigned int *done_ret)
{
	const struct rlimit none = { 0, 0 };

	/* When memory is short the host kills the program, not the guest. */
	vl_process_set_oom("1000");
	/* A core dump would be a file of this host. */
	setrlimit(RLIMIT_CORE, &none);
	*done_ret = leave_mounts();
	bound_capabilities();
	return close_others(keep) && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

bool vl_confine_end(const int spaces[VL_CHILD_SPACES], unsigned int *done)
{
	if (leave_network(spaces))
		*done |= VL_CONFINED_NETWORK;
	/* The supervisor keeps the program's working directory. */
	if (chdir("/"))
		return false;
	*done |= landlock() | drop_capabilities();
	return true;
}

void vl_confined_describe(unsigned int confined, char buf[VL_CONFINED_TEXT])
{
	static const struct {
		unsigned int bit;
		const char *name;
	} walls[] = {
		{ VL_CONFINED_RIGHTS, "no capabilities" },
		{ VL_CONFINED_MOUNTS, "read-only mounts" },
		{ VL_CONFINED_NETWORK, "no network" },
		{ VL_CONFINED_LANDLOCK, "Landlock" },
	};

	*buf = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(walls); i++)
		if (confined & walls[i].bit)
			vl_append(buf, VL_CONFINED_TEXT, "%s%s", *buf ? ", " : "", walls[i].name);
}
