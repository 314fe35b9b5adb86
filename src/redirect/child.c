/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program's first process: fork, confine, install the filter, execve (see child.h). */
#include "child.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "own.h"
#include "fds.h"
#include "pathname.h"

/* linux/seccomp.h, since 5.19: only fatal signals interrupt a call that was received. */
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

/* Everything the child needs, made before the fork. */
struct child {
	int sock, other; /* the child's end, and the supervisor's */
	bool kept;
	const sigset_t *mask; /* the caller's signal mask */
	const char *path;
	char *const *argv;
	char *const *envp;
	struct sock_filter *filter; /* room for BPF_MAXINSNS */
	struct rlimit nofile;
	void (*ready)(void *ctx); /* vl_redirect_options.ready */
	void *ready_ctx;
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

/* Search PATH as execvp(3) does: after EACCES later directories are tried. 0 or an errno. */
static int search(const char *name, char **ret)
{
	const char *dirs = getenv("PATH"), *end;
	int err = ENOENT;

	if (strchr(name, '/')) {
		*ret = strdup(name);
		return *ret ? try_program(name) : ENOMEM;
	}
	for (dirs = dirs ? dirs : VL_PATH_DEFAULT;; dirs = end + 1) {
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

/*
 * Make *@path absolute: the program starts in /, where an interpreter opens its script by this
 * name. 0 or an errno.
 */
static int make_absolute(char **path)
{
	char *cwd, *absolute;
	int n;

	if (**path == '/')
		return 0;
	cwd = getcwd(NULL, 0);
	if (!cwd)
		return errno;
	n = asprintf(&absolute, "%s/%s", cwd, *path);
	free(cwd);
	if (n < 0)
		return ENOMEM;
	vl_path_normalise(absolute);
	free(*path);
	*path = absolute;
	return 0;
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

struct vl_error *vl_child_find(const struct vl_redirect_options *o, char **path_ret,
			       int *status_ret)
{
	const char *name = o->argv && o->argv[0] ? o->argv[0] : "";
	_cleanup_free_ char *found = NULL;
	int err = *name ? search(name, &found) : ENOENT;

	if (!err)
		err = make_absolute(&found);
	if (!err && is_32_bit(found)) {
		*status_ret = 126;
		return vl_error_hint(
			vl_error_new(VL_ERR_ARG, "%s: a 32-bit program cannot be redirected", name),
			"use its 64-bit build");
	}
	if (!err && vl_program_foreign(found)) {
		*status_ret = 126;
		return vl_redirect_refusal(vl_program_foreign(found), name);
	}
	if (!err) {
		*path_ret = vl_taken(found);
		return NULL;
	}
	*status_ret = err == ENOENT || err == ENOTDIR ? 127 : 126;
	if (*status_ret == 127)
		return vl_error_hint(vl_error_new(VL_ERR_ARG, "%s: command not found", name),
				     strpbrk(name, " |;<>=") ?
					     "to run a line of shell, use: sh -c 'LINE'" :
					     "the program must be installed on this host");
	return vl_error_os(err, "%s", name);
}

/* From here to child_run(): in the child. Only calls that are safe after a threaded fork. */
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

	for (int i = 0; i < 2 && fd == -EINVAL; i++) {
		*flags_ret = i;
		fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags[i], prog);
		if (fd < 0)
			fd = -errno;
	}
	return fd;
}

static bool take(int sock, void *buf, size_t len)
{
	return recv(sock, buf, len, MSG_WAITALL) == (ssize_t)len;
}

/* Receive the head of the filter, and the descriptors sent with it, or -1 for each. */
static bool take_head(int sock, struct vl_child_filter *ret, int spaces_ret[VL_CHILD_SPACES])
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int[VL_CHILD_SPACES]))];
	} control = { 0 };
	struct iovec iov = { ret, sizeof(*ret) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	const struct cmsghdr *c;
	size_t at = 0, len;

	if (recvmsg(sock, &msg, MSG_WAITALL | MSG_CMSG_CLOEXEC) != sizeof(*ret))
		return false;
	c = CMSG_FIRSTHDR(&msg);
	len = c && c->cmsg_type == SCM_RIGHTS ? c->cmsg_len - CMSG_LEN(0) : 0;
	for (size_t i = 0; i < VL_CHILD_SPACES; i++) {
		spaces_ret[i] = -1;
		if (!ret->has[i] || at + sizeof(int) > len)
			continue;
		memcpy(&spaces_ret[i], CMSG_DATA(c) + at, sizeof(int));
		at += sizeof(int);
	}
	return true;
}

static void __attribute__((noreturn)) child_run(const struct child *c)
{
	struct sock_fprog prog = { .filter = c->filter };
	struct vl_child_begins begins = { 0 };
	struct vl_child_filter head;
	int spaces[VL_CHILD_SPACES];
	pid_t tracer;
	ssize_t n;

	/* Else recv() would not notice that the supervisor has closed its end. */
	close(c->other);
	/* From here on a signal of the terminal ends the child. */
	sigprocmask(SIG_SETMASK, c->mask, NULL);
	signal(SIGXFSZ, SIG_DFL); /* vlens ignores it */
	/* Before the supervisor records the standard descriptors (vl_given_init()). */
	vl_confine_given();
	/* These steps run while the caller finds a keeper, or the supervisor gets ready. */
	setrlimit(RLIMIT_NOFILE, &c->nofile);
	if (!vl_confine_begin(c->sock, &begins.confined) ||
	    (c->kept && !take(c->sock, &tracer, sizeof(tracer))))
		_exit(125);
	/* Yama lets only ancestors trace: permit a supervisor that is none. */
	if (c->kept)
		prctl(PR_SET_PTRACER, tracer, 0, 0, 0);
	say(c->sock, 0);
	if (!take_head(c->sock, &head, spaces) || head.nr > BPF_MAXINSNS ||
	    !take(c->sock, c->filter, head.nr * sizeof(*c->filter)))
		_exit(125);
	if (c->ready)
		c->ready(c->ready_ctx);
	prog.len = head.nr;
	if (!vl_confine_end(spaces, &begins.confined))
		_exit(125);
	begins.listener = install(&prog, &begins.old_flags);
	n = write(c->sock, &begins, sizeof(begins));
	if (begins.listener < 0 || n != sizeof(begins))
		_exit(125);
	/* This closes the listener, which the kernel creates close-on-exec. */
	execve(c->path, c->argv, c->envp);
	say(c->sock, -errno);
	_exit(125);
}

/* Redirected descriptors have numbers up to 1023 (fds.h). */
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

static void destroy_environ(char ***env)
{
	vl_environ_destroy(*env);
}

struct vl_error *vl_child_fork(const struct vl_redirect_options *o, const char *exe,
			       const sigset_t *mask, bool kept, struct vl_child *ret)
{
	struct child c = { .mask = mask, .path = exe, .kept = kept };
	_cleanup_free_ struct sock_filter *filter = NULL;
	_cleanup_(destroy_environ) char **env = NULL;
	_cleanup_free_ char **argv = NULL;
	_cleanup_close_ int ours = -1, theirs = -1;
	struct vl_error *err;
	size_t argc = 0;
	int sv[2];

	err = nofile_limit(&c.nofile);
	if (err)
		return err;
	while (o->argv[argc])
		argc++;
	argv = calloc(argc + 1, sizeof(*argv));
	/* Not cleared: only the part that a filter needs is ever touched. */
	filter = malloc(BPF_MAXINSNS * sizeof(*filter));
	env = vl_environ_make(o);
	if (!argv || !filter || !env)
		return vl_error_nomem();
	c.filter = filter;
	memcpy(argv, o->argv, argc * sizeof(*argv));
	if (o->arg0)
		argv[0] = (char *)o->arg0;
	c.argv = argv;
	c.envp = env;
	c.ready = o->ready;
	c.ready_ctx = o->ready_ctx;
	/* The filter takes a number from VL_FD_LO on for a redirected descriptor. */
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv))
		return vl_error_os(errno, "cannot make a socket pair");
	ours = sv[0];
	theirs = sv[1];
	if (theirs >= VL_FD_LO)
		return vl_error_os(EMFILE, "cannot make a socket pair");
	c.sock = theirs;
	c.other = ours;
	ret->pid = fork();
	if (!ret->pid)
		child_run(&c);
	if (ret->pid < 0)
		return vl_error_os(errno, "cannot fork");
	ret->sock = vl_taken_fd(&ours);
	return NULL;
}

void vl_child_tell(const struct vl_child *child, pid_t keeper)
{
	/* If the child is gone, the keeper notices. */
	send(child->sock, &keeper, sizeof(keeper), MSG_NOSIGNAL);
}
