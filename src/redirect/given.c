/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Open files of the host: the standard input, output and error that the caller gave. The
 * program reads and writes them, at any position that the caller could. It cannot change their
 * length, their locks, or flags that protect their content (O_APPEND). It may change its own
 * memory files and those of --host-files. Another thread may put another file behind a number
 * at any time, so a descriptor of ours is checked and changed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/array.h"
#include "../base/process.h"
#include "fds.h"
#include "handlers.h"
#include "own.h"
#include "refuse.h"
#include "trap.h"

/* Is descriptor @fd of @pid open for reading and appending? From fdinfo of proc(5). */
static bool appends(pid_t pid, int fd)
{
	/* If that cannot be read, assume that it is. */
	uint64_t flags =
		vl_proc_number("flags", 8, O_RDWR | O_APPEND, "/proc/%d/fdinfo/%d", (int)pid, fd);

	return (flags & (O_ACCMODE | O_APPEND)) == (O_RDWR | O_APPEND);
}

void vl_given_init(struct vl_redirect *r)
{
	int fd = memfd_create("device", MFD_CLOEXEC);
	struct stat st;
	char link[64];

	if (fd >= 0 && !fstat(fd, &st))
		r->memory = st.st_dev;
	if (fd >= 0)
		close(fd);
	r->group = getpgid(r->main);
	for (int i = 0; i < 3; i++) {
		snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)r->main, i);
		if (!stat(link, &st)) {
			r->given[i].dev = st.st_dev;
			r->given[i].ino = st.st_ino;
			r->given_appends |= S_ISREG(st.st_mode) && appends(r->main, i);
		}
	}
}

bool vl_given(const struct vl_redirect *r, const struct stat *st)
{
	for (int i = 0; i < 3; i++)
		if (r->given[i].ino == st->st_ino && r->given[i].dev == st->st_dev)
			return true;
	return false;
}

/* The rights of the program to a file that it has open. */
enum rights { MAY_USE, MAY_CHANGE, MAY_CHANGE_MEMORY };

/* The rights of the program to the file of our descriptor @fd. */
static enum rights rights(const struct vl_redirect *r, int fd)
{
	char link[32], name[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return MAY_USE;
	if (r->memory && st.st_dev == r->memory)
		return vl_given(r, &st) ? MAY_USE : MAY_CHANGE_MEMORY;
	if (!r->folder || r->folder_ro)
		return MAY_USE;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, name, sizeof(name) - 1);
	name[n > 0 ? n : 0] = 0;
	return name[0] == '/' && vl_own_folder(r, name) ? MAY_CHANGE : MAY_USE;
}

static void answer(struct vl_trap *t, int ret)
{
	t->ret = ret < 0 ? -errno : ret;
}

/* ftruncate(fd, length), fallocate(fd, mode, offset, length), flock(fd, how) */
struct vl_error *vl_h_change_open(struct vl_trap *t)
{
	int fd = vl_fd_borrow(t, (int)t->args[0]);
	enum rights may;

	if (fd < 0) {
		t->ret = fd;
		return NULL;
	}
	may = rights(t->r, fd);
	switch (t->nr) {
	case __NR_ftruncate:
		if (may == MAY_USE)
			vl_deny_as(t, EROFS);
		else
			answer(t, ftruncate(fd, (off_t)t->args[1]));
		break;
	case __NR_fallocate:
		/* Pages of a memory file would be charged to us: the program writes instead. */
		if (may != MAY_CHANGE)
			vl_deny_as(t, EOPNOTSUPP);
		else
			answer(t, fallocate(fd, (int)t->args[1], (off_t)t->args[2],
					    (off_t)t->args[3]));
		break;
	default:
		/* The supervisor never waits for a lock. */
		if (may == MAY_USE)
			vl_deny_as(t, ENOLCK);
		else
			answer(t, flock(fd, (int)t->args[1] | LOCK_NB));
	}
	close(fd);
	return NULL;
}

/*
 * F_SETLK and its kin. Only the process itself can take a lock of the process, but the kernel
 * would read the descriptor's number again, after the check. So all locks are those of an open
 * file. The one difference: two opens of a file by one process conflict.
 */
static void lock(struct vl_trap *t, int fd, enum rights may)
{
	bool process = (int)t->args[1] == F_SETLK || (int)t->args[1] == F_SETLKW;
	struct flock l;

	if (may == MAY_USE) {
		vl_deny_as(t, ENOLCK);
		return;
	}
	t->ret = vl_mem_read(t, t->args[2], &l, sizeof(l));
	if (t->ret)
		return;
	if (process)
		l.l_pid = 0; /* ignored by F_SETLK, must be 0 here */
	/* The supervisor never waits for a lock. */
	answer(t, fcntl(fd, F_OFD_SETLK, &l));
}

/* F_SETFL: O_APPEND stays on a file that the program may not change. */
static void set_flags(struct vl_trap *t, int fd, enum rights may)
{
	const int settable = O_APPEND | O_NONBLOCK | O_DIRECT;
	int now = fcntl(fd, F_GETFL), then = (int)t->args[2];

	if (may == MAY_USE && (now & O_APPEND) && !(then & O_APPEND))
		vl_deny(t);
	else
		answer(t, fcntl(fd, F_SETFL, (now & O_NOATIME) | (then & settable)));
}

/* fcntl(fd, command, argument): the commands that are not native */
struct vl_error *vl_h_fcntl(struct vl_trap *t)
{
	enum rights may;
	int fd;

	if ((int)t->args[1] == F_DUPFD || (int)t->args[1] == F_DUPFD_CLOEXEC)
		return vl_fd_duplicate_from(t);
	fd = vl_fd_borrow(t, (int)t->args[0]);
	if (fd < 0) {
		t->ret = fd;
		return NULL;
	}
	may = rights(t->r, fd);
	switch ((int)t->args[1]) {
	case F_SETFL:
		set_flags(t, fd, may);
		break;
	case F_SETLK:
	case F_SETLKW:
	case F_OFD_SETLK:
	case F_OFD_SETLKW:
		lock(t, fd, may);
		break;
	case F_ADD_SEALS:
		if (may == MAY_CHANGE_MEMORY)
			answer(t, fcntl(fd, F_ADD_SEALS, (int)t->args[2]));
		else
			vl_deny(t);
		break;
	default: /* signals to others, leases, newer commands */
		vl_deny(t);
	}
	close(fd);
	return NULL;
}

/*
 * mmap(addr, length, rights, flags, fd, offset) of a stream, of code, shared, or huge. A file of
 * the guest is never mapped as code, whatever its number is. A shared mapping could change the
 * middle of a file that is open for appending, so a program with such a file has none.
 */
struct vl_error *vl_h_mmap(struct vl_trap *t)
{
	char link[64], name[64];
	ssize_t n;

	if (((uint32_t)t->args[4] & VL_FD_STREAM_MASK) == VL_FD_STREAM) {
		vl_deny_as(t, ENODEV);
		return NULL;
	}
	if (t->args[3] & MAP_HUGETLB) {
		vl_deny_as(t, ENOMEM);
		return NULL;
	}
	t->pass = true;
	/* For all files: the kernel reads the number again, after any check. */
	if (t->r->given_appends && (t->args[3] & MAP_TYPE) != MAP_PRIVATE &&
	    !(t->args[3] & MAP_ANONYMOUS)) {
		vl_deny_as(t, EACCES);
		return NULL;
	}
	if (t->args[2] & PROT_EXEC) {
		snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)t->tid, (int)t->args[4]);
		n = readlink(link, name, sizeof(name) - 1);
		name[n > 0 ? n : 0] = 0;
		if (vl_memfd_name(name))
			vl_deny_as(t, ENODEV);
	}
	return NULL;
}

/* socketpair(domain, type, …): no datagram sockets, which could send to any address */
struct vl_error *vl_h_socketpair(struct vl_trap *t)
{
	int type = (int)t->args[1] & 0xf; /* linux/net.h: SOCK_TYPE_MASK */

	t->pass = (int)t->args[0] == AF_UNIX && (type == SOCK_STREAM || type == SOCK_SEQPACKET);
	if (!t->pass)
		vl_deny(t);
	return NULL;
}

/* shutdown(fd, how): not of a socket that the caller gave */
struct vl_error *vl_h_shutdown(struct vl_trap *t)
{
	int fd = vl_fd_borrow(t, (int)t->args[0]);
	struct stat st;

	t->ret = fd;
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) || vl_given(t->r, &st))
		vl_deny_as(t, ENOTCONN);
	else
		answer(t, shutdown(fd, (int)t->args[1]));
	close(fd);
	return NULL;
}

/* Options that a program may set on its socket pairs: plain values that affect only these. */
static const int plain_options[] = {
	SO_SNDBUF,    SO_RCVBUF,   SO_RCVTIMEO,	 SO_SNDTIMEO, SO_LINGER,    SO_KEEPALIVE,
	SO_REUSEADDR, SO_PASSCRED, SO_TIMESTAMP, SO_RCVLOWAT, SO_OOBINLINE,
};

/*
 * setsockopt(fd, SOL_SOCKET, option, value, len) on a socket of the host. A socket that the
 * caller gave stays as it is. A descriptor of ours is checked and changed.
 */
static void set_plain(struct vl_trap *t)
{
	size_t len = t->args[4] < 16 ? t->args[4] : 16; /* struct timeval is the longest */
	bool plain = false;
	struct stat st;
	char value[16];
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(plain_options); i++)
		plain |= (int)t->args[1] == SOL_SOCKET && (int)t->args[2] == plain_options[i];
	t->ret = vl_mem_read(t, t->args[3], value, len);
	if (t->ret)
		return;
	fd = vl_fd_borrow(t, (int)t->args[0]);
	t->ret = fd;
	if (fd < 0)
		return;
	if (fstat(fd, &st) || !S_ISSOCK(st.st_mode))
		t->ret = -ENOTSOCK;
	else if (!plain || vl_given(t->r, &st))
		vl_deny_as(t, ENOPROTOOPT);
	else
		t->ret = setsockopt(fd, SOL_SOCKET, (int)t->args[2], value, (socklen_t)len) ?
				 -errno :
				 0;
	close(fd);
}

/* setsockopt: on a socket of the guest SOL_SOCKET is ignored, netlink's options are refused. */
struct vl_error *vl_h_setsockopt(struct vl_trap *t)
{
	struct vl_file *f;

	f = vl_fd_ours(t->args[0]) ? vl_fd_find(t, (int)t->args[0]) : NULL;
	if (!f) {
		set_plain(t);
	} else if (f->kind != K_SOCKET) {
		t->ret = -ENOTSOCK;
	} else if ((int)t->args[1] != SOL_SOCKET) {
		t->ret = -ENOPROTOOPT; /* an older kernel's answer: programs do without */
	}
	return NULL;
}
