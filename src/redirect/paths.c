/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose a path is. The first row that matches decides, so the special stand
 * before the general. What the program needs to run (loader, libraries, locale)
 * is the host's; what it can look at is the guest's. Neither may be changed: who
 * types `vexec GUEST rm -r /usr` did not mean the host's. What may be is below
 * the cwd, and the operator's terminal and settings.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

/* clang-format off */
#define HOST_ROW(p, why) { .pattern = p, .open = P_HOST, .query = P_HOST, .note = why }
#define OWN_ROW(p, why) \
	{ .pattern = p, .open = P_HOST, .query = P_HOST, .writable = true, .note = why }
/* Opened here, but what it looks like is asked of the guest. */
#define DEVICE_ROW(p, why) \
	{ .pattern = p, .open = P_HOST, .query = P_GUEST_THEN_HOST, .writable = true, .note = why }
#define GUEST_ROW(p, h, why) \
	{ .pattern = p, .open = P_GUEST, .query = P_GUEST, .how = h, .note = why }
#define ONCE_ROW(p) GUEST_ROW(p, H_ONCE, "made in one piece: a short read is the end")
#define STREAM_ROW(p, why) GUEST_ROW(p, H_STREAM, why)
/* Outside of /proc and /sys a call that blocks waits for a disk: no second try helps. */
#define DISK_ROW(p, fail, why) \
	{ .pattern = p, .open = P_GUEST, .query = P_GUEST, .how = H_AUTO, .on_fail = fail, \
	  .tries = 2, .note = why }

/* All else. A path of it may be below where the program was started. */
#define REST "/"

static const struct vl_path_row rows[] = {
	/* about the program itself */
	OWN_ROW("/proc/self/fd", "closefrom, /dev/stdin, ttyname: its own descriptors"),
	OWN_ROW("/proc/self/fdinfo", "its own descriptors"),
	OWN_ROW("/proc/self/exe", "how it finds its own files or runs itself again"),
	OWN_ROW("/proc/self/maps", "pthread_getattr_np looks for its own stack"),
	OWN_ROW("/proc/self/auxv", "its own processor features"),
	OWN_ROW("/proc/self/comm", "its own name"),
	OWN_ROW("/proc/self/task/*/comm", "pthread_setname_np"),
	OWN_ROW("/proc/thread-self/comm", "its own name"),
	OWN_ROW("/proc/thread-self/fd", "its own descriptors"),
	/* windows: too big, endless, or different at every read */
	STREAM_ROW("/proc/*/mem", "the whole address space"),
	STREAM_ROW("/proc/*/task/*/mem", "the whole address space"),
	STREAM_ROW("/proc/*/pagemap", "8 bytes a page of the address space"),
	STREAM_ROW("/proc/*/task/*/pagemap", "8 bytes a page of the address space"),
	STREAM_ROW("/proc/kcore", "all memory"),
	STREAM_ROW("/proc/vmcore", "all memory"),
	STREAM_ROW("/proc/kmsg", "never ends"),
	STREAM_ROW("/proc/kpagecount", "8 bytes a page of RAM"),
	STREAM_ROW("/proc/kpageflags", "8 bytes a page of RAM"),
	STREAM_ROW("/proc/kpagecgroup", "8 bytes a page of RAM"),
	STREAM_ROW("/sys/kernel/debug/tracing", "trace_pipe never ends"),
	STREAM_ROW("/sys/kernel/tracing", "trace_pipe never ends"),
	GUEST_ROW("/dev/kmsg", H_RECORDS, "one record a read"),
	STREAM_ROW("/dev/mem", "all memory"),
	/* what ps and top read of every process: one call less each */
	ONCE_ROW("/proc/*/stat"),
	ONCE_ROW("/proc/*/status"),
	ONCE_ROW("/proc/*/statm"),
	ONCE_ROW("/proc/*/cmdline"),
	ONCE_ROW("/proc/*/environ"),
	ONCE_ROW("/proc/*/comm"),
	ONCE_ROW("/proc/*/cgroup"),
	ONCE_ROW("/proc/*/wchan"),
	ONCE_ROW("/proc/*/io"),
	ONCE_ROW("/proc/*/loginuid"),
	ONCE_ROW("/proc/*/oom_adj"),
	ONCE_ROW("/proc/*/oom_score"),
	ONCE_ROW("/proc/*/oom_score_adj"),
	ONCE_ROW("/proc/*/schedstat"),
	ONCE_ROW("/proc/*/task/*/stat"),
	ONCE_ROW("/proc/*/task/*/status"),
	ONCE_ROW("/proc/*/task/*/statm"),
	ONCE_ROW("/proc/*/task/*/cmdline"),
	ONCE_ROW("/proc/*/task/*/comm"),
	ONCE_ROW("/proc/*/task/*/io"),
	ONCE_ROW("/proc/uptime"),
	ONCE_ROW("/proc/loadavg"),
	ONCE_ROW("/proc/meminfo"),
	ONCE_ROW("/proc/stat"),
	ONCE_ROW("/proc/version"),
	ONCE_ROW("/proc/cmdline"),
	ONCE_ROW("/proc/sys"),
	GUEST_ROW("/proc", H_SNAPSHOT, "the point of it all"),
	GUEST_ROW("/sys", H_SNAPSHOT, "the guest's devices"),
	/* the program's terminal and its sources of nothing and of noise */
	DEVICE_ROW("/dev/null", "the program's own"),
	DEVICE_ROW("/dev/zero", "the program's own"),
	DEVICE_ROW("/dev/full", "the program's own"),
	DEVICE_ROW("/dev/random", "the program's own"),
	DEVICE_ROW("/dev/urandom", "the program's own"),
	OWN_ROW("/dev/stdin", "the program's own"),
	OWN_ROW("/dev/stdout", "the program's own"),
	OWN_ROW("/dev/stderr", "the program's own"),
	OWN_ROW("/dev/fd", "the program's own"),
	OWN_ROW("/dev/ptmx", "script, expect"),
	DEVICE_ROW("/dev/tty", "its terminal; but ps asks for the numbers of the guest's"),
	DEVICE_ROW("/dev/pts/*", "its terminal; but ps asks for the numbers of the guest's"),
	/* names and time zone: the guest's, never the host's */
	DISK_ROW("/etc/passwd", F_EMPTY, "without it, numbers; never the host's names"),
	DISK_ROW("/etc/group", F_EMPTY, "without it, numbers; never the host's names"),
	{ .pattern = "/etc/nsswitch.conf",
	  .open = P_SUPPLY,
	  .query = P_SUPPLY,
	  .text = "passwd: files\ngroup: files\nshadow: files\ninitgroups: files\n"
		  "hosts: files\nnetworks: files\nprotocols: files\nservices: files\n"
		  "ethers: files\nrpc: files\nnetgroup: files\naliases: files\n",
	  .note = "no module (systemd, sss, ldap) may bring in the host's names" },
	DISK_ROW("/etc/localtime", F_ZONE, "the guest's zone by name, the host's data for it"),
	DISK_ROW("/etc/hosts", F_EMPTY, "host names are the guest's"),
	{ .pattern = "/etc/resolv.conf",
	  .open = P_SUPPLY,
	  .query = P_SUPPLY,
	  .text = "",
	  .note = "no name server is asked on the guest's behalf" },
	DISK_ROW("/etc/services", F_HOST, "the same everywhere, nearly"),
	DISK_ROW("/etc/protocols", F_HOST, "the same everywhere, nearly"),
	DISK_ROW("/etc/rpc", F_HOST, "the same everywhere, nearly"),
	DISK_ROW("/etc/iproute2", F_HOST, "names of tables and protocols"),
	/* the program's own files */
	HOST_ROW("/etc/ld.so.cache", "the loader's"),
	HOST_ROW("/etc/ld.so.preload", "the loader's"),
	HOST_ROW("/etc/ld.so.conf", "the loader's"),
	HOST_ROW("/etc/ld.so.conf.d", "the loader's"),
	HOST_ROW("/etc/ld-musl-x86_64.path", "the loader's"),
	HOST_ROW("/etc/alternatives", "links to commands"),
	HOST_ROW("/etc/terminfo", "the terminal is the host's"),
	HOST_ROW("/etc/inputrc", "the terminal is the host's"),
	HOST_ROW("/etc/locale.alias", "the language is the operator's"),
	HOST_ROW("/etc/ssl", "settings of a library of the program"),
	HOST_ROW("/etc/gcrypt", "settings of a library of the program"),
	HOST_ROW("/etc/toprc", "settings of the program"),
	HOST_ROW("/etc/profile", "commands that a shell runs, here, not in the guest"),
	HOST_ROW("/etc/profile.d", "commands that a shell runs"),
	HOST_ROW("/etc/bash.bashrc", "commands that a shell runs"),
	HOST_ROW("/etc/bashrc", "commands that a shell runs"),
	HOST_ROW("/etc/bash_completion.d", "commands that a shell runs"),
	HOST_ROW("/etc/zsh", "commands that a shell runs"),
	HOST_ROW("/etc/vim", "commands that an editor runs"),
	HOST_ROW("/etc/gdb", "commands that a debugger runs"),
	HOST_ROW("/etc/perl", "code of an interpreter"),
	HOST_ROW("/etc/python3", "code of an interpreter"),
	DISK_ROW("/usr/lib/modules", F_ERRNO, "modules of the guest's kernel"),
	DISK_ROW("/lib/modules", F_ERRNO, "modules of the guest's kernel"),
	DISK_ROW("/usr/lib/os-release", F_ERRNO, "which system it is"),
	HOST_ROW("/usr", "programs and their data"),
	HOST_ROW("/bin", "programs"),
	HOST_ROW("/sbin", "programs"),
	HOST_ROW("/lib", "libraries"),
	HOST_ROW("/lib32", "libraries"),
	HOST_ROW("/lib64", "libraries"),
	HOST_ROW("/libx32", "libraries"),
	HOST_ROW("/opt", "programs"),
	HOST_ROW("/nix", "programs"),
	HOST_ROW("/gnu", "programs"),
	HOST_ROW("/snap", "programs"),
	DISK_ROW(REST, F_ERRNO, "all else: what the guest's kernel holds in memory"),
};

/* clang-format on */

static const struct vl_path_row cwd_row = OWN_ROW("", "below the program's own cwd");
static const struct vl_path_row setting_row = OWN_ROW("", "the operator's settings");
static const struct vl_path_row host_row = HOST_ROW("", "the program's own, where it is installed");
static const struct vl_path_row forced_row = DISK_ROW("", F_ERRNO, "the caller says so");

/* Is @path @pattern or below it? Only whole components count. */
static bool below(const char *path, const char *pattern)
{
	for (;; path++, pattern++) {
		if (*pattern == '*') {
			path += strcspn(path, "/");
			pattern++;
		}
		if (!*pattern)
			return !*path || *path == '/' || pattern[-1] == '/';
		if (*path != *pattern)
			return false;
	}
}

bool vl_path_below(const char *path, const char *pattern)
{
	return below(path, pattern);
}

/* Take ".", ".." and "//" out of @path, in place, without following links. */
void vl_path_normalise(char *path)
{
	char *out = path;
	const char *in = path;

	while (*in) {
		size_t n;

		in += strspn(in, "/");
		n = strcspn(in, "/");
		if (n == 2 && !memcmp(in, "..", 2)) {
			while (out > path && *--out != '/')
				;
		} else if (n && !(n == 1 && *in == '.')) {
			*out++ = '/';
			memmove(out, in, n);
			out += n;
		}
		in += n;
	}
	if (out == path)
		*out++ = '/';
	*out = 0;
}

/*
 * Does the caller say that @norm is the guest's? Not before the program asks for
 * just what the caller named: until then it loads its libraries, which must be
 * the host's even for `vls GUEST /`.
 */
static bool is_forced(struct vl_redirect *r, const char *norm)
{
	for (size_t i = 0; i < r->nr_guest_paths; i++) {
		if (!strcmp(norm, r->guest_paths[i])) {
			r->forced = true;
			return true;
		}
		if (r->forced && below(norm, r->guest_paths[i]) && !below(norm, "/proc/self"))
			return true;
	}
	return false;
}

/*
 * Is it a dot file in the operator's home? Settings of programs live there, and
 * some are commands (.bashrc, .vimrc): the guest's would be run on this host.
 */
static bool is_setting(const struct vl_redirect *r, const char *norm)
{
	const char *home = r->home;
	size_t n = home ? strlen(home) : 0;

	return n > 1 && !strncmp(norm, home, n) && norm[n] == '/' && norm[n + 1] == '.';
}

/* The row that decides on absolute path @path. */
const struct vl_path_row *vl_path_row(struct vl_redirect *r, const char *path)
{
	char norm[PATH_MAX];

	snprintf(norm, sizeof(norm), "%s", path);
	vl_path_normalise(norm);
	if (is_forced(r, norm))
		return &forced_row;
	for (size_t i = 0; i < r->nr_own; i++)
		if (below(norm, r->own[i]))
			return &host_row;
	if (is_setting(r, norm))
		return &setting_row;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (below(norm, rows[i].pattern))
			return &rows[i];
	return &host_row; /* not reached: "/" matches all */
}

/* The host's directory that relative paths of the task start at; NULL: unknown. */
static char *host_base(struct vl_trap *t, int dirfd, char *buf, size_t size)
{
	char link[64];
	ssize_t n;

	if (dirfd == AT_FDCWD)
		snprintf(link, sizeof(link), "/proc/%d/cwd", (int)t->tid);
	else
		snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)t->tid, dirfd);
	n = readlink(link, buf, size - 1);
	if (n <= 0 || buf[0] != '/')
		return NULL;
	buf[n] = 0;
	return buf;
}

/*
 * /proc/PID by a pid that is the program's to itself: /proc/self, but for its
 * descriptors (vl_self_fd()).
 */
static void own_pid(char *path)
{
	static const char self[] = "/proc/self", thread[] = "/proc/thread-self";
	int pid, tid, end = 0;
	const char *name = self;

	if (sscanf(path, "/proc/%d%n", &pid, &end) != 1 || !vl_pid_own(pid) ||
	    (path[end] && path[end] != '/'))
		return;
	if (below(path + end, "/fd") || below(path + end, "/fdinfo"))
		return;
	if (sscanf(path, "/proc/%d/task/%d%n", &pid, &tid, &end) == 2 && vl_pid_own(tid))
		name = thread;
	/* Both names are shorter than what they stand for. */
	memmove(path + strlen(name), path + end, strlen(path + end) + 1);
	memcpy(path, name, strlen(name));
}

/*
 * Is @path below the directory where the program was started, and the guest has no
 * such directory? Then it is the host's as by a relative path: Python makes the
 * name of its script absolute. Where both have one (/root, /tmp), it is the guest's.
 */
static bool below_start(struct vl_redirect *r, const char *path)
{
	struct vl_error *err;
	char norm[PATH_MAX];
	struct stat st;
	int64_t ret;

	snprintf(norm, sizeof(norm), "%s", path);
	vl_path_normalise(norm);
	if (!r->start_dir[0] || !below(norm, r->start_dir))
		return false;
	if (r->start_is == START_UNKNOWN) {
		err = VL_GUEST(r, "newfstatat", &ret, VL_ARG_INT(AT_FDCWD),
			       VL_ARG_STR(r->start_dir), VL_ARG_OUT(&st, sizeof(st)),
			       VL_ARG_INT(0));
		if (err) { /* the next question meets it again */
			vl_error_destroy(err);
			return false;
		}
		r->start_is = ret == -ENOENT ? START_HOST : START_GUEST;
	}
	return r->start_is == START_HOST;
}

/* The row for @w->path, absolute. */
static void set_row(struct vl_redirect *r, struct vl_where *w)
{
	own_pid(w->path);
	w->row = vl_path_row(r, w->path);
	if (!strcmp(w->row->pattern, REST) && below_start(r, w->path))
		w->row = &cwd_row;
}

static int join(struct vl_where *w, const char *base, const char *rel)
{
	int n = snprintf(w->path, sizeof(w->path), "%s/%s", strcmp(base, "/") ? base : "", rel);

	return n < 0 || (size_t)n >= sizeof(w->path) ? -ENAMETOOLONG : 0;
}

/* A path below a directory of the host is the host's; but /proc and /sys never are. */
static int resolve_host(struct vl_trap *t, int dirfd, const char *rel, struct vl_where *w)
{
	char buf[PATH_MAX];
	const char *base = host_base(t, dirfd, buf, sizeof(buf));

	if (!base || join(w, base, rel)) {
		w->row = &cwd_row; /* an error that the host's kernel finds as well */
		return 0;
	}
	vl_path_normalise(w->path);
	w->row = below(w->path, "/proc") || below(w->path, "/sys") ? vl_path_row(t->r, w->path) :
								     &cwd_row;
	return 0;
}

/*
 * Resolve the string at @addr of the program against @dirfd. 0, or -errno for
 * the program. An empty path names the descriptor itself: ->file when it is
 * one that we gave, else ->empty.
 */
int vl_resolve(struct vl_trap *t, int dirfd, uint64_t addr, struct vl_where *ret)
{
	struct vl_task *task;
	char rel[PATH_MAX];
	int err;

	ret->row = &cwd_row;
	ret->file = NULL;
	ret->empty = false;
	err = vl_mem_string(t, addr, ret->path, sizeof(ret->path));
	if (err)
		return err;
	vl_untame(t->r, ret->path);
	if (ret->path[0] == '/') {
		set_row(t->r, ret);
		return 0;
	}
	if (dirfd != AT_FDCWD && vl_fd_ours(dirfd))
		ret->file = vl_fd_find(t, dirfd);
	if (!ret->path[0]) {
		ret->empty = !ret->file;
		return 0;
	}
	memcpy(rel, ret->path, sizeof(rel));
	if (ret->file) {
		err = join(ret, ret->file->path, rel);
		ret->file = NULL;
	} else {
		task = dirfd == AT_FDCWD ? vl_task_find(t->r, t->tid) : NULL;
		if (!task || !task->cwd)
			return resolve_host(t, dirfd, rel, ret);
		err = join(ret, task->cwd, rel);
	}
	if (!err)
		set_row(t->r, ret);
	return err;
}

static bool own(struct vl_redirect *r, const char *path, size_t len)
{
	char **more, *copy;

	for (size_t i = 0; i < r->nr_own; i++)
		if (!strncmp(r->own[i], path, len) && !r->own[i][len])
			return true;
	/* Never the root, nor what the table gives to the guest. */
	if (len < 2 || path[0] != '/')
		return true;
	copy = strndup(path, len);
	more = copy ? realloc(r->own, (r->nr_own + 1) * sizeof(*more)) : NULL;
	if (!more) {
		free(copy);
		return false;
	}
	r->own = more;
	vl_path_normalise(copy);
	if (below(copy, "/proc") || below(copy, "/sys") || !strcmp(copy, "/"))
		free(copy);
	else
		r->own[r->nr_own++] = copy;
	return true;
}

/*
 * The executable is the program's own, and so is all of PREFIX when it is
 * PREFIX/bin/PROGRAM: a program that is installed somewhere unusual has its
 * libraries beside it.
 */
void vl_paths_own_exe(struct vl_redirect *r, const char *exe)
{
	static const char *const dirs[] = { "bin", "sbin", "libexec" };
	const char *slash = strrchr(exe, '/'), *up;

	own(r, exe, strlen(exe));
	if (!slash)
		return;
	up = memrchr(exe, '/', slash - exe);
	for (size_t i = 0; up && i < sizeof(dirs) / sizeof(dirs[0]); i++)
		if ((size_t)(slash - up - 1) == strlen(dirs[i]) &&
		    !strncmp(up + 1, dirs[i], strlen(dirs[i])) &&
		    strncmp(exe, "/usr/", 5)) /* has rows of its own */
			own(r, exe, up - exe);
}

/* Note where the program keeps its own files, from its executable and environment. */
struct vl_error *vl_paths_init(struct vl_redirect *r)
{
	static const char *const vars[] = { "LD_LIBRARY_PATH", "LD_PRELOAD", "LOCPATH", "TERMINFO",
					    "PYTHONHOME",      "PYTHONPATH", "PERL5LIB" };
	char *const *env = r->o->envp ? r->o->envp : environ;
	char *real = realpath(r->exe, NULL);

	for (size_t n = 0; r->o->guest_paths && r->o->guest_paths[n]; n++) {
		char **more = realloc(r->guest_paths, (n + 1) * sizeof(*more));
		char *copy = strdup(r->o->guest_paths[n]);

		if (more)
			r->guest_paths = more;
		if (!more || !copy) {
			free(copy);
			free(real);
			return vl_error_nomem();
		}
		vl_path_normalise(copy);
		r->guest_paths[r->nr_guest_paths++] = copy;
	}
	if (real)
		vl_paths_own_exe(r, real);
	free(real);
	if (r->exe[0] == '/') /* a script is opened by the path that was executed */
		own(r, r->exe, strlen(r->exe));
	for (; *env; env++) {
		if (!strncmp(*env, "HOME=", 5))
			r->home = *env + 5;
		for (size_t i = 0; i < sizeof(vars) / sizeof(vars[0]); i++) {
			size_t n = strlen(vars[i]);
			const char *at = *env + n;

			if (strncmp(*env, vars[i], n) || *at++ != '=')
				continue;
			for (; *at; at += strspn(at, ": ")) {
				n = strcspn(at, ": ");
				if (!own(r, at, n))
					return vl_error_nomem();
				at += n;
			}
		}
	}
	return NULL;
}

void vl_paths_start(struct vl_redirect *r)
{
	char link[32];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/cwd", (int)r->main);
	n = readlink(link, r->start_dir, sizeof(r->start_dir) - 1);
	/* Below the root is everything, which says nothing. */
	r->start_dir[n > 1 ? n : 0] = 0;
}

void vl_paths_deinit(struct vl_redirect *r)
{
	for (size_t i = 0; i < r->nr_own; i++)
		free(r->own[i]);
	free(r->own);
	for (size_t i = 0; i < r->nr_guest_paths; i++)
		free(r->guest_paths[i]);
	free(r->guest_paths);
}
