/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table that says whether a path is the guest's or the host's. The first row that matches
 * decides, so special rows stand before general ones. A program shows the guest's files. Of the
 * host's it gets those that it needs to run; the supervisor opens them, read-only (hostfile.c).
 * own.c has the files that depend on the program: its executable, libraries and settings.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/array.h"
#include "own.h"
#include "fds.h"
#include "pathname.h"
#include "trap.h"
#include "sanitize.h"
#include "tasks.h"

/* clang-format off */
#define HOST_ROW(p, why) { .pattern = p, .open = P_HOST, .query = P_HOST, .note = why }
/* Files of the program's own folder in the host's /proc. */
#define SELF_ROW(p, why) \
	{ .pattern = p, .open = P_HOST, .query = P_HOST, .host = W_SELF, .writable = true, \
	  .note = why }
/* Opened on the host; stat and its kin ask the guest first. */
#define DEVICE_ROW(p, kind, why) \
	{ .pattern = p, .open = P_HOST, .query = P_GUEST_THEN_HOST, .host = kind, \
	  .writable = true, .note = why }
#define GUEST_ROW(p, h, why) \
	{ .pattern = p, .open = P_GUEST, .query = P_GUEST, .how = h, .note = why }
#define ONCE_ROW(p) GUEST_ROW(p, H_ONCE, "made in one piece: a short read is the end")
#define STREAM_ROW(p, why) GUEST_ROW(p, H_STREAM, why)
/* Outside of /proc and /sys a call that blocks waits for a disk: more retries do not help. */
#define DISK(p, fail, why) \
	.pattern = p, .open = P_GUEST, .query = P_GUEST, .how = H_AUTO, .on_fail = fail, \
	.tries = 2, .note = why
#define DISK_ROW(p, fail, why) { DISK(p, fail, why) }
#define LIBC_DISK_ROW(p, fail, why) { DISK(p, fail, why), .calls = C_LIBC }
/* Files that the program's libraries read. For all other calls they are the guest's. */
#define LIBC_ROW(p, why) \
	{ .pattern = p, .open = P_HOST, .query = P_HOST, .calls = C_LIBC, .note = why }
/* Files that a library looks for and does not need. A shell looks for the guest's file. */
#define ABSENT_ROW(p, which, why) \
	{ .pattern = p, .exact = true, .open = P_GUEST, .query = P_GUEST, .on_fail = F_ABSENT, \
	  .tries = 1, .calls = which, .note = why }
#define TERM_ROWS(p) \
	{ .pattern = p, .exact = true, .open = P_GUEST, .query = P_GUEST_THEN_HOST, \
	  .on_fail = F_HOST, .tries = 1, .calls = C_STAT, .note = "ncurses looks for it" }, \
	{ .pattern = p, .open = P_HOST, .query = P_HOST, .calls = C_TERM, \
	  .note = "the terminal is the operator's" }

/* All other paths. */
#define REST "/"

static const struct vl_path_row rows[] = {
	/* about the program itself */
	SELF_ROW("/proc/self/fd", "closefrom, /dev/stdin, ttyname: its own descriptors"),
	SELF_ROW("/proc/self/fdinfo", "its own descriptors"),
	SELF_ROW("/proc/self/exe", "how it finds its own files or runs itself again"),
	SELF_ROW("/proc/self/maps", "pthread_getattr_np looks for its own stack"),
	SELF_ROW("/proc/self/auxv", "its own processor features"),
	SELF_ROW("/proc/self/comm", "its own name"),
	SELF_ROW("/proc/self/task/*/comm", "pthread_setname_np"),
	SELF_ROW("/proc/thread-self/comm", "its own name"),
	SELF_ROW("/proc/thread-self/fd", "its own descriptors"),
	/* read piece by piece: too big, endless, or different at every read */
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
	/* ps and top read these of every process: H_ONCE saves one call each */
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
	GUEST_ROW("/proc", H_WHOLE, "the guest's processes"),
	GUEST_ROW("/sys", H_WHOLE, "the guest's devices"),
	/* the program's terminal, and devices of zeros and random bytes */
	DEVICE_ROW("/dev/null", W_DEVICE, "the program's own"),
	DEVICE_ROW("/dev/zero", W_DEVICE, "the program's own"),
	DEVICE_ROW("/dev/full", W_DEVICE, "the program's own"),
	DEVICE_ROW("/dev/random", W_DEVICE, "the program's own"),
	DEVICE_ROW("/dev/urandom", W_DEVICE, "the program's own"),
	SELF_ROW("/dev/stdin", "the program's own"),
	SELF_ROW("/dev/stdout", "the program's own"),
	SELF_ROW("/dev/stderr", "the program's own"),
	SELF_ROW("/dev/fd", "the program's own"),
	DEVICE_ROW("/dev/tty", W_TTY, "its terminal; ps asks for device numbers of the guest"),
	DEVICE_ROW("/dev/pts/*", W_TTY, "its terminal; ps asks for device numbers of the guest"),
	/* names and time zone: the guest's, never the host's */
	LIBC_DISK_ROW("/etc/passwd", F_EMPTY, "without it, numbers; never the host's names"),
	LIBC_DISK_ROW("/etc/group", F_EMPTY, "without it, numbers; never the host's names"),
	{ .pattern = "/etc/nsswitch.conf", .calls = C_CONFIG, .open = P_SUPPLY, .query = P_SUPPLY,
	  .text = "passwd: files\ngroup: files\nshadow: files\ninitgroups: files\n"
		  "hosts: files\nnetworks: files\nprotocols: files\nservices: files\n"
		  "ethers: files\nrpc: files\nnetgroup: files\naliases: files\n",
	  .note = "no module (systemd, sss, ldap) may bring in the host's names" },
	LIBC_DISK_ROW("/etc/localtime", F_ZONE, "the guest's zone by name, the host's data for it"),
	LIBC_DISK_ROW("/etc/hosts", F_EMPTY, "host names are the guest's"),
	DISK_ROW("/etc/services", F_HOST, "nearly the same everywhere"),
	DISK_ROW("/etc/protocols", F_HOST, "nearly the same everywhere"),
	DISK_ROW("/etc/rpc", F_HOST, "nearly the same everywhere"),
	DISK_ROW("/etc/iproute2", F_HOST, "names of tables and protocols"),
	/* files that any program needs to run; own.c has its libraries */
	{ .pattern = "/usr/lib/locale/locale-archive", .exact = true, .open = P_HOST,
	  .query = P_HOST, .calls = C_LIBC, .locales = true,
	  .note = "the language is the operator's" },
	LIBC_ROW("/usr/lib/locale", "the language is the operator's"),
	LIBC_ROW("/usr/share/locale", "the language is the operator's"),
	LIBC_ROW("/usr/share/locale-langpack", "the language is the operator's"),
	LIBC_ROW("/etc/locale.alias", "the language is the operator's"),
	{ .pattern = "/usr/lib/*/gconv/gconv-modules.cache", .exact = true, .open = P_HOST,
	  .query = P_HOST, .calls = C_OPEN, .note = "as gconv; it is opened without close-on-exec" },
	LIBC_ROW("/usr/lib/*/gconv", "the characters of the terminal"),
	LIBC_ROW("/usr/lib/gconv", "the characters of the terminal"),
	{ .pattern = "/usr/lib64/gconv/gconv-modules.cache", .exact = true, .open = P_HOST,
	  .query = P_HOST, .calls = C_OPEN, .note = "as gconv; it is opened without close-on-exec" },
	LIBC_ROW("/usr/lib64/gconv", "the characters of the terminal"),
	LIBC_ROW("/usr/share/zoneinfo", "data of the zones; the guest names its zone"),
	TERM_ROWS("/usr/share/terminfo"),
	TERM_ROWS("/usr/lib/terminfo"),
	TERM_ROWS("/lib/terminfo"),
	TERM_ROWS("/etc/terminfo"),
	{ .pattern = "/usr/lib/ssl/openssl.cnf", .calls = C_CRYPTO, .open = P_SUPPLY,
	  .query = P_SUPPLY, .text = "",
	  .note = "settings of a library: the guest's do not steer a program of this host" },
	/* other files that libraries look for */
	ABSENT_ROW("/selinux", C_PROBE, "libselinux: where its files were before Linux 3.0"),
	ABSENT_ROW("/etc/selinux/config", C_PROBE, "libselinux: is SELinux configured?"),
	ABSENT_ROW("/var/run/setrans/.setrans-unix", C_PROBE, "libselinux: it translates labels"),
	ABSENT_ROW("/run/setrans/.setrans-unix", C_PROBE, "libselinux: it translates labels"),
	ABSENT_ROW("/var/run/utmpx", C_PROBE, "getutxent: without it, utmp"),
	ABSENT_ROW("/run/utmpx", C_PROBE, "getutxent: without it, utmp"),
	ABSENT_ROW("/var/log/wtmpx", C_PROBE, "getutxent: without it, wtmp"),
	ABSENT_ROW("/etc/host.conf", C_LIBC, "settings for several addresses of one name"),
	{ .pattern = "/etc/resolv.conf", .exact = true, .open = P_GUEST, .query = P_GUEST,
	  .on_fail = F_ABSENT, .tries = 1, .calls = C_CONFIG, .called = "! *sh busybox test [",
	  .note = "names come from files only (nsswitch.conf); without it /etc/hosts goes, too" },
	{ .pattern = "/lib/modules/*/modules.softdep", .exact = true, .open = P_GUEST,
	  .query = P_GUEST, .on_fail = F_ABSENT, .tries = 1, .calls = C_LIBC,
	  .called = "lsmod modinfo rmmod", .note = "libkmod reads it for modprobe" },
	DISK_ROW(REST, F_ERRNO, "all else: what the guest's kernel holds in memory"),
};

/* Rows that no pattern chooses. */
static const struct vl_path_row host_row = HOST_ROW("", "what the program needs to run");
static const struct vl_path_row term_row = HOST_ROW("", "the terminal is the operator's");
static const struct vl_path_row library_row = {
	.open = P_HOST, .query = P_HOST, .library = true,
	.note = "the loader asks: the host's library, or none",
};
static const struct vl_path_row forced_row = DISK_ROW("", F_ERRNO, "the caller says so");
static const struct vl_path_row lookup_rows[] = {
	[LOOKUP_HOST] = { .open = P_GUEST, .query = P_HOST, .note = "a command, which runs here" },
	[LOOKUP_NOBODY] = { .open = P_GUEST, .query = P_NOBODY, .note = "only the guest's count" },
	[LOOKUP_SEARCH] = { .open = P_GUEST, .query = P_GUEST, .on_fail = F_HOST, .tries = 1,
			  .note = "what is on the guest's disk is here, or nowhere" },
	[LOOKUP_TYPED] = { .open = P_GUEST, .query = P_GUEST_THEN_HOST, .on_fail = F_HOST,
			   .tries = 1, .note = "a command of either" },
};
/* A shell checks that $PWD is its working directory. */
static const struct vl_path_row pwd_row = ABSENT_ROW("", C_ALL,
	"where the program was started, which the guest may have, too");
static const struct vl_path_row terminfo_row = {
	.open = P_GUEST, .query = P_GUEST_THEN_HOST, .on_fail = F_HOST, .tries = 1,
	.note = "ncurses looks for it",
};
static const struct vl_path_row folder_rows[] = {
	HOST_ROW("", "--host-files=DIR:ro"),
	{ .open = P_HOST, .query = P_HOST, .writable = true, .note = "--host-files=DIR" },
};

/* clang-format on */

/*
 * Did the caller name @norm, or a folder above it, as the guest's? A folder counts once the
 * program has asked for a path that the caller named. Until then it loads its libraries, which
 * must be the host's even for `vls GUEST /`.
 */
static bool is_forced(struct vl_redirect *r, const char *norm)
{
	for (size_t i = 0; i < r->nr_guest_paths; i++) {
		if (!strcmp(norm, r->guest_paths[i])) {
			r->forced = true;
			return true;
		}
		if (r->forced && vl_path_below(norm, r->guest_paths[i]) &&
		    !vl_path_below(norm, "/proc/self"))
			return true;
	}
	return false;
}

/* Does the call only look at a file by its name? */
static bool is_lookup(int nr)
{
	switch (nr) {
	case __NR_stat:
	case __NR_lstat:
	case __NR_newfstatat:
	case __NR_statx:
	case __NR_access:
	case __NR_faccessat:
	case __NR_faccessat2:
		return true;
	default:
		return false;
	}
}

/* The flags of open(2) or openat(2); -1: it is another call. */
static int64_t open_flags(const struct vl_trap *t)
{
	return t->nr == __NR_open   ? (int64_t)(uint32_t)t->args[1] :
	       t->nr == __NR_openat ? (int64_t)(uint32_t)t->args[2] :
				      -1;
}

/* Is @norm a message catalogue? gettext(3) opens those without close-on-exec. */
static bool is_messages(const char *norm)
{
	size_t len = strlen(norm);

	return strstr(norm, "/LC_") && len > 3 && !strcmp(norm + len - 3, ".mo");
}

/* Has the program mapped a file whose path has @name in it? */
static bool has_library(const struct vl_trap *t, const char *name)
{
	char path[64], *line = NULL;
	bool found = false;
	size_t size = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)t->tid);
	f = fopen(path, "re");
	while (f && !found && getline(&line, &size, f) > 0)
		found = strstr(line, name);
	free(line);
	if (f)
		fclose(f);
	return found;
}

/* Is the call about @norm among @calls? */
static bool is_among(const struct vl_trap *t, enum vl_calls calls, const char *norm)
{
	int64_t flags = open_flags(t);
	bool opens = flags >= 0 && !(flags & O_DIRECTORY), looks;

	looks = t->nr == __NR_stat || (t->nr == __NR_newfstatat && !(int)t->args[3]);
	switch (calls) {
	case C_LIBC:
		return opens && ((flags & O_CLOEXEC) || is_messages(norm));
	case C_CONFIG:
		return looks || (opens && (flags & O_CLOEXEC));
	case C_TERM:
		return opens || t->nr == __NR_access || t->nr == __NR_faccessat ||
		       t->nr == __NR_faccessat2;
	case C_STAT:
		return looks;
	case C_OPEN:
		return opens;
	case C_PROBE:
		return t->nr == __NR_access || t->nr == __NR_statfs;
	case C_CRYPTO:
		return opens && has_library(t, "/libcrypto.so");
	default:
		return true;
	}
}

/* Was the program executed under one of @names, or, after "!", under none? NULL: any name. */
static bool is_called(const struct vl_trap *t, const char *names)
{
	const struct vl_task *task = names ? vl_task_find(t->r, t->tid) : NULL;
	bool none = names && *names == '!';

	return !names || (task && vl_program_among(names + none, task->called) != none);
}

/*
 * Is @name the target of a link in /proc/PID/fd that is not a file ("socket:[123]")? ps checks
 * whether the target is a terminal.
 */
static bool is_no_name(const char *name)
{
	const char *at = strstr(name, ":[");

	return at && !strchr(name, '/') && at[2 + strspn(at + 2, "0123456789")] == ']';
}

/* The row that decides on absolute path @path; @as_is: the program passed this string. */
static const struct vl_path_row *row_of(struct vl_trap *t, const char *path, bool as_is)
{
	struct vl_redirect *r = t->r;
	char norm[PATH_MAX];
	enum vl_lookup lookup;

	vl_path_copy(norm, path);
	vl_path_normalise(norm);
	if (vl_own_folder(r, norm))
		return &folder_rows[!r->folder_ro];
	if (vl_own_library(t, norm))
		return &library_row;
	if (is_forced(r, norm))
		return &forced_row;
	if (vl_own_file(t, norm))
		return &host_row;
	lookup = is_lookup(t->nr) ? vl_command_lookup(t, as_is ? path : "", norm) : LOOKUP_NONE;
	if (lookup != LOOKUP_NONE)
		return &lookup_rows[lookup];
	if (vl_own_terminfo(r, norm) && is_among(t, C_TERM, norm))
		return &term_row;
	if (vl_own_terminfo(r, norm) == strlen(norm) && is_among(t, C_STAT, norm))
		return &terminfo_row;
	if (r->pwd && !strcmp(norm, r->pwd) && is_among(t, C_STAT, norm))
		return &pwd_row;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t n = vl_path_below(norm, rows[i].pattern);

		if (n && !(rows[i].exact && norm[n]) && is_among(t, rows[i].calls, norm) &&
		    is_called(t, rows[i].called))
			return &rows[i];
	}
	return &forced_row; /* not reached: "/" matches all */
}

/*
 * Turn /proc/PID into /proc/self if PID is how the program sees itself (VL_OWN_PID).
 * vl_self_fd() handles its descriptors.
 */
static void own_pid(char *path)
{
	static const char self[] = "/proc/self", thread[] = "/proc/thread-self";
	int pid, tid, end = 0;
	const char *name = self;

	/*
	 * VL_OWN_PID has 7 digits. Most paths of processes are of the guest's, and sscanf() is
	 * slow.
	 */
	if (strncmp(path, "/proc/", 6) != 0 || strspn(path + 6, "0123456789") < 7)
		return;
	if (sscanf(path, "/proc/%d%n", &pid, &end) != 1 || !vl_pid_own(pid) ||
	    (path[end] && path[end] != '/'))
		return;
	if (vl_path_below(path + end, "/fd") || vl_path_below(path + end, "/fdinfo"))
		return;
	if (sscanf(path, "/proc/%d/task/%d%n", &pid, &tid, &end) == 2 && vl_pid_own(tid))
		name = thread;
	/* Both names are shorter than what they replace. */
	memmove(path + strlen(name), path + end, strlen(path + end) + 1);
	memcpy(path, name, strlen(name));
}

/* The row for @w->path, absolute. */
static void set_row(struct vl_trap *t, struct vl_where *w, bool as_is)
{
	own_pid(w->path);
	w->row = row_of(t, w->path, as_is);
}

static int join(struct vl_where *w, const char *base, const char *rel)
{
	int n = snprintf(w->path, sizeof(w->path), "%s/%s", strcmp(base, "/") ? base : "", rel);

	return n < 0 || (size_t)n >= sizeof(w->path) ? -ENAMETOOLONG : 0;
}

/* The name of the host's open file @fd of the trapping task. */
static int name_of(struct vl_trap *t, int fd, char *buf, size_t size)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)t->tid, fd);
	n = readlink(link, buf, size - 1);
	if (n < 0)
		return -EBADF;
	buf[n] = 0;
	return buf[0] == '/' ? 0 : -ENOTDIR;
}

/*
 * Resolve the string at @addr of the program against @dirfd. 0, or -errno for
 * the program. An empty path names the descriptor itself: ->file when it is
 * one that we gave, else ->empty; AT_FDCWD is not a descriptor.
 */
int vl_resolve(struct vl_trap *t, int dirfd, uint64_t addr, struct vl_where *ret)
{
	char rel[PATH_MAX], base[PATH_MAX];
	int err;

	ret->row = &forced_row;
	ret->file = NULL;
	ret->empty = false;
	err = vl_mem_string(t, addr, rel, sizeof(rel));
	if (err)
		return err;
	vl_sanitize_undo(t->r, rel);
	memcpy(ret->path, rel, strlen(rel) + 1);
	if (rel[0] == '/') {
		set_row(t, ret, true);
		return 0;
	}
	if (dirfd != AT_FDCWD && vl_fd_ours(dirfd)) {
		ret->file = vl_fd_find(t, dirfd);
		if (!ret->file && vl_fd_lost(t, dirfd))
			return -EIO;
	}
	if (!rel[0]) {
		ret->empty = !ret->file && dirfd != AT_FDCWD;
		ret->fd = dirfd;
		return dirfd == AT_FDCWD ? -ENOENT : 0;
	}
	if (ret->file)
		snprintf(base, sizeof(base), "%s", ret->file->path);
	else if (dirfd == AT_FDCWD)
		vl_cwd(t, base);
	else
		err = name_of(t, dirfd, base, sizeof(base));
	ret->file = NULL;
	if (!err)
		err = join(ret, base, rel);
	if (!err)
		set_row(t, ret, false);
	if (!err && is_no_name(rel))
		ret->row = &lookup_rows[LOOKUP_SEARCH];
	return err;
}
