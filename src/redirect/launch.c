/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Starts the program: finds it, puts it under the filter and the tracer, and
 * fetches the listener. The child and we talk over a socket that exec closes:
 *
 *	we: 'g'        the child is traced, go on
 *	child: int     the number of the listener in the child, or -errno
 *	child: int     which of the sets of flags the kernel took
 *	we: 'k'        the listener is fetched
 *	child: int     -errno of execve, or nothing (the socket closed)
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal.h"

/* linux/seccomp.h, since 5.19; a received call is not interrupted by signals. */
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
/* linux/seccomp.h, since 6.6; the waker and the woken share a CPU. */
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

/* Everything the child needs, made before the fork. */
struct child {
	int sock;
	const sigset_t *mask; /* the caller's own */
	const char *path;
	char *const *argv;
	char *const *envp;
	struct sock_fprog prog;
	struct rlimit nofile;
};

/* Is there a command at @path? 0, or the errno of execve. */
static int try_program(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return errno;
	if (!S_ISREG(st.st_mode))
		return EACCES;
	return access(path, X_OK) ? errno : 0;
}

/* As execvp(3) looks: a later directory may have what an earlier one forbids. */
static int search(const char *name, char **ret)
{
	const char *dirs = getenv("PATH"), *end;
	int err = ENOENT;

	if (strchr(name, '/')) {
		*ret = strdup(name);
		return *ret ? try_program(name) : ENOMEM;
	}
	for (dirs = dirs ? dirs : "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";; dirs = end + 1) {
		int e;

		end = strchrnul(dirs, ':');
		if (asprintf(ret, "%.*s%s%s", (int)(end - dirs), dirs, end > dirs ? "/" : "",
			     name) < 0) {
			*ret = NULL;
			return ENOMEM;
		}
		e = try_program(*ret);
		if (!e)
			return 0;
		if (e == EACCES)
			err = e;
		free(*ret);
		*ret = NULL;
		if (!*end)
			return err;
	}
}

/* The filter covers the 64-bit calls only. */
static bool is_32_bit(const char *path)
{
	unsigned char ident[EI_NIDENT] = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool yes;

	if (fd < 0)
		return false;
	yes = read(fd, ident, sizeof(ident)) == (ssize_t)sizeof(ident) &&
	      !memcmp(ident, ELFMAG, SELFMAG) && ident[EI_CLASS] == ELFCLASS32;
	close(fd);
	return yes;
}

/*
 * Find the program of @o: *@path_ret is malloc'ed. When there is none,
 * *@status_ret is 127 (not found) or 126 (not executable).
 */
struct vl_error *vl_find_program(const struct vl_redirect_options *o, char **path_ret,
				 int *status_ret)
{
	const char *name = o->argv && o->argv[0] ? o->argv[0] : "";
	struct vl_error *error;
	char *found = NULL;
	int err = *name ? search(name, &found) : ENOENT;

	if (!err && is_32_bit(found)) {
		*status_ret = 126;
		error = vl_error_new(VL_ERR_ARG, "%s: a 32-bit program cannot be redirected", name);
		free(found);
		return vl_error_hint(error, "use its 64-bit build");
	}
	if (!err) {
		*path_ret = found;
		return NULL;
	}
	free(found);
	*status_ret = err == ENOENT || err == ENOTDIR ? 127 : 126;
	if (*status_ret == 127)
		return vl_error_hint(vl_error_new(VL_ERR_ARG, "%s: command not found", name),
				     "the program must be installed on this host");
	return vl_error_os(err, "%s", name);
}

/* In the child: only calls that are safe after a fork of a threaded process. */
static void say(int sock, int value)
{
	ssize_t n = write(sock, &value, sizeof(value));

	(void)n;
}

static int install(const struct sock_fprog *prog, int *flags_ret)
{
	static const unsigned long flags[] = {
		SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
		SECCOMP_FILTER_FLAG_NEW_LISTENER,
	};
	int fd = -EINVAL;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	for (int i = 0; i < 2 && fd == -EINVAL; i++) {
		*flags_ret = i;
		fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags[i], prog);
		if (fd < 0)
			fd = -errno;
	}
	return fd;
}

static void __attribute__((noreturn)) child_run(const struct child *c)
{
	int listener, flags = 0;
	char go;

	if (read(c->sock, &go, 1) != 1)
		_exit(125);
	setrlimit(RLIMIT_NOFILE, &c->nofile);
	sigprocmask(SIG_SETMASK, c->mask, NULL);
	listener = install(&c->prog, &flags);
	say(c->sock, listener);
	say(c->sock, flags);
	if (listener < 0 || read(c->sock, &go, 1) != 1)
		_exit(125);
	close(listener);
	execve(c->path, c->argv, c->envp);
	say(c->sock, -errno);
	_exit(125);
}

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

static struct vl_error *no_ptrace(int err)
{
	return vl_error_hint(vl_error_os(err, "cannot trace the program"),
			     "ptrace is forbidden here: kernel.yama.ptrace_scope is 3, or a "
			     "debugger or container stands before");
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
	/* Pinned, both are on one CPU anyway. EINVAL or ENOTTY before 6.6: no harm. */
	if (r->o->no_pin)
		ioctl(r->listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, flags);
	return NULL;
}

static struct vl_error *start(struct vl_redirect *r, int sock, int *status_ret)
{
	const long options = PTRACE_O_EXITKILL | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK |
			     PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
	struct vl_error *err;
	int value, flags;

	if (ptrace(PTRACE_SEIZE, r->main, NULL, options))
		return no_ptrace(errno);
	if (!vl_task_add(r, r->main, r->main, 0))
		return vl_error_nomem();
	if (write(sock, "g", 1) != 1 || read(sock, &value, sizeof(value)) != sizeof(value) ||
	    read(sock, &flags, sizeof(flags)) != sizeof(flags))
		return vl_error_new(VL_ERR_OS, "the program's process died before it began");
	if (value < 0)
		return no_listener(-value);
	r->killable = !flags;
	err = fetch(r, value);
	if (err)
		return err;
	if (write(sock, "k", 1) != 1)
		return vl_error_new(VL_ERR_OS, "the program's process died before it began");
	if (read(sock, &value, sizeof(value)) != sizeof(value))
		return NULL; /* exec closed it */
	*status_ret = value == -ENOENT ? 127 : 126;
	err = vl_error_os(-value, "cannot run %s", r->exe);
	if (value == -ENOENT)
		vl_error_hint(err, "its interpreter (#! line or loader) is missing on this host");
	return err;
}

/* The program may be handed descriptors up to 1023. */
static struct vl_error *nofile_limit(struct rlimit *ret)
{
	if (getrlimit(RLIMIT_NOFILE, ret))
		return vl_error_os(errno, "cannot read the limit of open files");
	if (ret->rlim_cur >= VL_FD_HI)
		return NULL;
	if (ret->rlim_max < VL_FD_HI)
		return vl_error_hint(vl_error_new(VL_ERR_ARG, "too few open files are allowed"),
				     "set `ulimit -Hn` to %d or more", VL_FD_HI);
	ret->rlim_cur = VL_FD_HI;
	return NULL;
}

/*
 * Start the program of @r->o at @r->exe: on success it is traced, about to run
 * its first instruction, and @r->main and @r->listener are set. @mask is the
 * signal mask it shall have.
 */
struct vl_error *vl_launch(struct vl_redirect *r, const sigset_t *mask, int *status_ret)
{
	struct child c = { .mask = mask, .path = r->exe };
	struct sock_filter *prog = NULL;
	struct vl_error *err;
	char **argv = NULL;
	size_t argc = 0, nr;
	int sv[2] = { -1, -1 };

	err = nofile_limit(&c.nofile);
	if (!err)
		err = vl_filter_build(&prog, &nr);
	if (err)
		return err;
	while (r->o->argv[argc])
		argc++;
	argv = calloc(argc + 1, sizeof(*argv));
	if (!argv) {
		err = vl_error_nomem();
		goto out;
	}
	memcpy(argv, r->o->argv, argc * sizeof(*argv));
	if (r->o->arg0)
		argv[0] = (char *)r->o->arg0;
	c.argv = argv;
	c.envp = r->o->envp ? r->o->envp : environ;
	c.prog = (struct sock_fprog){ nr, prog };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) || sv[1] >= VL_FD_LO) {
		err = vl_error_os(sv[1] >= 0 ? EMFILE : errno, "cannot make a socket pair");
		goto out;
	}
	c.sock = sv[1];
	r->main = fork();
	if (!r->main)
		child_run(&c);
	close(sv[1]);
	sv[1] = -1;
	err = r->main < 0 ? vl_error_os(errno, "cannot fork") : start(r, sv[0], status_ret);
	if (err && r->main > 0) {
		kill(r->main, SIGKILL);
		waitpid(r->main, NULL, __WALL);
		vl_task_remove(r, r->main);
	}
out:
	for (size_t i = 0; i < 2; i++)
		if (sv[i] >= 0)
			close(sv[i]);
	free(argv);
	free(prog);
	return err;
}
