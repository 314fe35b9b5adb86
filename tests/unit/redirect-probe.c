/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A program that does what awkward programs do. Each test prints "ok NAME" or
 * "not ok NAME: …"; run natively and redirected, it must print the same.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static int failed;

static void check(const char *name, int ok, const char *detail, long value)
{
	if (ok) {
		printf("ok %s\n", name);
		return;
	}
	printf("not ok %s: %s %ld (errno %d)\n", name, detail, value, errno);
	failed = 1;
}

#define CHECK(name, cond, value) check(name, cond, #cond, (long)(value))
#define FAILS(name, call, e) \
	do { \
		errno = 0; \
		long r_ = (long)(call); \
		check(name, r_ == -1 && errno == (e), #call, r_); \
	} while (0)

static void bad_pointers(void)
{
	char *null_page = (char *)16;
	int fd = open("/proc", O_RDONLY | O_DIRECTORY);

	FAILS("bad-open", open(null_page, O_RDONLY), EFAULT);
	FAILS("bad-stat-path", stat(null_page, &(struct stat){ 0 }), EFAULT);
	FAILS("bad-stat-buf", syscall(SYS_newfstatat, AT_FDCWD, "/proc/1", null_page, 0), EFAULT);
	FAILS("bad-uname", syscall(SYS_uname, null_page), EFAULT);
	FAILS("bad-getdents", syscall(SYS_getdents64, fd, null_page, 4096), EFAULT);
	FAILS("bad-clock", syscall(SYS_clock_gettime, 0, null_page), EFAULT);
	FAILS("bad-readlink", syscall(SYS_readlink, "/proc/self", null_page, 100), EFAULT);
	FAILS("bad-sysinfo", syscall(SYS_sysinfo, null_page), EFAULT);
	close(fd);
}

static void long_paths(void)
{
	char *p = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	mprotect(p + 8192, 4096, PROT_NONE);
	memset(p, 'x', 8192);
	memcpy(p, "/proc/", 6);
	FAILS("path-unterminated", open(p + 8192 - 100, O_RDONLY), EFAULT);
	FAILS("path-8192", open(p, O_RDONLY), ENAMETOOLONG);
	p[4096] = 0;
	FAILS("path-4096", open(p, O_RDONLY), ENAMETOOLONG);
	for (int i = 6; i < 4095; i++)
		p[i] = '/';
	strcpy(p + 4095 - 7, "version");
	CHECK("path-4095", strlen(p) == 4095 && access(p, R_OK) == 0, errno);
	strcpy(p, "/proc/self");
	memmove(p + 8192 - 11, p, 11);
	CHECK("path-at-page-end", access(p + 8192 - 11, F_OK) == 0, errno);
	FAILS("path-empty", open("", O_RDONLY), ENOENT);
	FAILS("stat-empty", stat("", &(struct stat){ 0 }), ENOENT);
}

static void *reader(void *arg)
{
	long good = 0;

	for (int i = 0; i < 100; i++) {
		char buf[256];
		int fd = open("/proc/1/stat", O_RDONLY);
		ssize_t n = read(fd, buf, sizeof(buf));

		good += n > 10 && !strncmp(buf, "1 (", 3);
		close(fd);
	}
	(void)arg;
	return (void *)good;
}

static void threads(void)
{
	pthread_t t[8];
	long good = 0;
	int forks = 0;

	for (int i = 0; i < 8; i++)
		pthread_create(&t[i], NULL, reader, NULL);
	for (int i = 0; i < 10; i++) {
		int status;
		pid_t pid = fork();

		if (!pid)
			_exit(reader(NULL) == (void *)100 ? 7 : 1);
		forks += waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7;
	}
	for (int i = 0; i < 8; i++) {
		void *ret;

		pthread_join(t[i], &ret);
		good += (long)ret;
	}
	CHECK("threads", good == 800, good);
	CHECK("fork-beside-threads", forks == 10, forks);
}

static volatile sig_atomic_t got;

static void on_signal(int sig)
{
	got = sig;
}

static void *sleeper(void *arg)
{
	(void)arg;
	while (!got)
		usleep(1000);
	return NULL;
}

static void signals(void)
{
	pthread_t t;
	pid_t pid;
	int status;

	signal(SIGUSR1, on_signal);
	CHECK("raise", raise(SIGUSR1) == 0 && got == SIGUSR1, got);
	got = 0;
	CHECK("kill-self", kill(getpid(), SIGUSR1) == 0 && got == SIGUSR1, got);
	got = 0;
	pthread_create(&t, NULL, sleeper, NULL);
	CHECK("pthread_kill", pthread_kill(t, SIGUSR1) == 0, errno);
	pthread_join(t, NULL);
	pid = fork();
	if (!pid) {
		signal(SIGABRT, SIG_DFL);
		abort();
	}
	waitpid(pid, &status, 0);
	CHECK("abort-child", WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, status);
	pid = fork();
	if (!pid) {
		pause();
		_exit(1);
	}
	CHECK("kill-child", kill(pid, SIGTERM) == 0, errno);
	waitpid(pid, &status, 0);
	CHECK("child-killed", WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM, status);
}

/* A timer interrupts calls all the time; none may fail for it. */
static void interrupted(void)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct itimerspec its = { { 0, 300000 }, { 0, 300000 } };
	struct sigevent se = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2 };
	timer_t timer;

	sigaction(SIGUSR2, &sa, NULL);
	timer_create(CLOCK_MONOTONIC, &se, &timer);
	timer_settime(timer, 0, &its, NULL);
	CHECK("interrupted", (long)reader(NULL) == 100, errno);
	timer_delete(timer);
}

static void descriptors(void)
{
	char a[4096], b[4096], *map;
	struct stat st, st2;
	struct statfs fs;
	int fd, fd2, dir;
	ssize_t n;

	for (int i = 3; i < 1024; i++)
		close(i);
	fd = open("/proc/version", O_RDONLY);
	n = read(fd, a, sizeof(a));
	CHECK("read", n > 20, n);
	CHECK("eof", read(fd, b, sizeof(b)) == 0, errno);
	CHECK("pread", pread(fd, b, sizeof(b), 0) == n && !memcmp(a, b, n), errno);
	CHECK("lseek", lseek(fd, 0, SEEK_SET) == 0 && read(fd, b, 5) == 5, errno);
	FAILS("write", write(fd, "x", 1), EBADF);
	fd2 = dup(fd);
	CHECK("dup", read(fd2, b, 5) == 5 && !memcmp(b, a + 5, 5), fd2);
	close(fd2);
	CHECK("dup2", dup2(fd, 77) == 77 && pread(77, b, n, 0) == n && !memcmp(a, b, n), errno);
	close(77);
	fd2 = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	CHECK("dupfd", fd2 >= 3 && fcntl(fd2, F_GETFD) == FD_CLOEXEC, fd2);
	close(fd2);
	CHECK("fstat",
	      fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0 &&
		      (st.st_mode & 07777) == 0444,
	      st.st_mode);
	CHECK("stat-same",
	      stat("/proc/version", &st2) == 0 && st.st_ino == st2.st_ino &&
		      st.st_dev == st2.st_dev,
	      st2.st_ino);
	CHECK("fstatfs", fstatfs(fd, &fs) == 0 && fs.f_type == 0x9fa0, fs.f_type);
	FAILS("fgetxattr", fgetxattr(fd, "user.none", a, 10), EOPNOTSUPP);
	close(fd);
	FAILS("closed", read(fd, b, 1), EBADF);
	FAILS("closed-fstat", fstat(fd, &st), EBADF);
	fd = open("/proc/version", O_RDONLY | O_CLOEXEC);
	CHECK("cloexec", fcntl(fd, F_GETFD) == FD_CLOEXEC, errno);
	close(fd);
	dir = open("/proc/1", O_RDONLY | O_DIRECTORY);
	fd = openat(dir, "comm", O_RDONLY);
	CHECK("openat-rel", read(fd, b, sizeof(b)) > 0, errno);
	close(fd);
	CHECK("fstatat-rel", fstatat(dir, "stat", &st, 0) == 0 && S_ISREG(st.st_mode), errno);
	CHECK("faccessat-rel", faccessat(dir, "status", R_OK, 0) == 0, errno);
	FAILS("openat-none", openat(dir, "none", O_RDONLY), ENOENT);
	FAILS("read-dir", read(dir, b, 10), EISDIR);
	fd = openat(dir, "../2", O_RDONLY | O_DIRECTORY);
	CHECK("openat-dir", fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode), errno);
	close(fd);
	CHECK("fchdir", fchdir(dir) == 0 && getcwd(b, sizeof(b)) && !strcmp(b, "/proc/1"), errno);
	CHECK("cwd-rel", access("stat", R_OK) == 0 && access("none", R_OK) != 0, errno);
	CHECK("chdir-back", chdir("/usr") == 0 && getcwd(b, sizeof(b)) && !strcmp(b, "/usr"),
	      errno);
	close(dir);
	FAILS("open-not-dir", open("/proc/version", O_RDONLY | O_DIRECTORY), ENOTDIR);
	FAILS("chdir-not-dir", chdir("/proc/version"), ENOTDIR);
	fd = open("/proc/self/mem", O_RDONLY);
	CHECK("stream-lseek", lseek(fd, 0x1000, SEEK_SET) == 0x1000, errno);
	close(fd);
	fd = open("/proc/self/pagemap", O_RDONLY);
	CHECK("stream-read", read(fd, b, 64) == 64 && pread(fd, b, 8, 8) == 8, errno);
	CHECK("stream-pos", lseek(fd, 0, SEEK_CUR) == 64, errno);
	CHECK("stream-readv", readv(fd, (struct iovec[]){ { b, 0 }, { b, 16 } }, 2) == 16, errno);
	map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK("stream-mmap", map == MAP_FAILED && errno == ENODEV, errno);
	close(fd);
	CHECK("readlink", readlink("/proc/1/nothing", b, 10) == -1 && errno == ENOENT, errno);
	FAILS("readlink-0", readlink("/proc/self", b, 0), EINVAL);
}

static int entries(DIR *d)
{
	int n = 0;

	while (readdir(d))
		n++;
	return n;
}

static void directories(void)
{
	DIR *d = opendir("/proc/1");
	struct dirent *e;
	char third[256];
	int n = entries(d);
	long pos;

	CHECK("readdir", n > 20, n);
	rewinddir(d);
	CHECK("rewinddir", entries(d) == n, n);
	rewinddir(d);
	readdir(d);
	readdir(d);
	pos = telldir(d);
	e = readdir(d);
	strcpy(third, e->d_name);
	readdir(d);
	seekdir(d, pos);
	e = readdir(d);
	CHECK("seekdir", e && !strcmp(e->d_name, third), 0);
	closedir(d);
	/* many at once, as find and du keep them */
	{
		int fds[60], good = 0;

		for (int i = 0; i < 60; i++) {
			fds[i] = open("/proc/1", O_RDONLY | O_DIRECTORY);
			good += fds[i] >= 0;
		}
		for (int i = 0; i < 60; i++)
			close(fds[i]);
		CHECK("many-dirs", good == 60, good);
	}
	{
		int fds[300], good = 0;

		for (int i = 0; i < 300; i++) {
			fds[i] = open("/proc/version", O_RDONLY);
			good += fds[i] >= 0;
		}
		for (int i = 0; i < 300; i++)
			close(fds[i]);
		CHECK("many-files", good == 300, good);
	}
}

/* A second pass after a sleep must see that time went on. */
static void refreshed(void)
{
	char a[64] = "", b[64] = "";
	int fd = open("/proc/uptime", O_RDONLY);

	read(fd, a, 63);
	usleep(100000);
	lseek(fd, 0, SEEK_SET);
	read(fd, b, 63);
	CHECK("refresh-lseek", strcmp(a, b) != 0, 0);
	usleep(100000);
	pread(fd, a, 63, 0);
	CHECK("refresh-pread", strcmp(a, b) != 0, 0);
	close(fd);
}

/* Only redirected: `probe redirected`. */
static void denied(void)
{
	struct sockaddr_un sa = { AF_UNIX, "/run/nscd/socket" };
	char buf[4096];
	FILE *f;
	int s;

	FAILS("write-proc", open("/proc/sys/kernel/hostname", O_WRONLY), EROFS);
	FAILS("write-tmp", open("/tmp/vlens-probe", O_CREAT | O_RDWR, 0600), EROFS);
	FAILS("unlink", unlink("/etc/passwd"), EROFS);
	FAILS("rename", rename("/etc/passwd", "/etc/x"), EROFS);
	FAILS("unlink-host", unlink("/usr/bin/no-such-vlens-file"), EROFS);
	FAILS("write-host", open("/usr/share/vlens-probe", O_CREAT | O_WRONLY, 0600), EROFS);
	FAILS("write-cwd", mkdir("vlens-probe.d", 0700), EROFS);
	CHECK("write-null", open("/dev/null", O_CREAT | O_WRONLY | O_TRUNC, 0600) >= 0, errno);
	FAILS("kill-guest", kill(2, SIGTERM), EPERM);
	FAILS("kill-all", kill(-1, SIGTERM), EPERM);
	FAILS("sethostname", sethostname("x", 1), EPERM);
	FAILS("ptrace", syscall(SYS_ptrace, 16, 1, 0, 0), EPERM);
	FAILS("io_uring", syscall(425, 1, NULL), ENOSYS);
	s = socket(AF_INET, SOCK_STREAM, 0);
	FAILS("inet", connect(s, (void *)&(struct sockaddr){ AF_INET, "" }, 16), ECONNREFUSED);
	close(s);
	s = socket(AF_UNIX, SOCK_STREAM, 0);
	FAILS("nscd", connect(s, (void *)&sa, sizeof(sa)), ECONNREFUSED);
	CHECK("vdso", getauxval(AT_SYSINFO_EHDR) == 0, getauxval(AT_SYSINFO_EHDR));
	s = open("/proc/version", O_RDONLY);
	CHECK("mmap-read", mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, s, 0) != MAP_FAILED, errno);
	CHECK("mmap-exec", mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, s, 0) == MAP_FAILED,
	      0);
	close(s);
	f = fopen("/etc/nsswitch.conf", "re");
	CHECK("nsswitch", f && fgets(buf, sizeof(buf), f) && !strcmp(buf, "passwd: files\n"),
	      errno);
}

static long listed(DIR *dir)
{
	long n = 0;

	rewinddir(dir);
	for (errno = 0; readdir(dir);)
		n++;
	return errno ? -errno : n;
}

static long open_and_close(int n, const char *path, int flags)
{
	long good = 0;

	for (int i = 0; i < n; i++) {
		int fd = open(path, O_RDONLY | flags);

		good += fd >= 0;
		close(fd);
	}
	return good;
}

/* An open file stays known, however many are opened and closed meanwhile. */
static void churn(void)
{
	DIR *dir = opendir("/proc/1"), *childs = opendir("/proc/1"), *task = opendir("/proc");
	int fd = open("/proc/version", O_RDONLY), go[2], held = 0, status;
	int stream = open("/proc/self/pagemap", O_RDONLY);
	long all = listed(dir), good;
	char b[64], c;
	struct stat st;
	pid_t pid;

	CHECK("churn-pipe", pipe(go) == 0, errno);
	pid = fork();
	if (!pid) { /* only the child has it open */
		close(go[1]);
		_exit(read(go[0], &c, 1) == 0 && listed(childs) == all ? 7 : 1);
	}
	closedir(childs);
	readdir(task);
	good = open_and_close(2800, "/proc/1/task", O_DIRECTORY);
	CHECK("churn-directories", good == 2800, good);
	CHECK("churn-readdir", readdir(task) && !errno, errno);
	good = open_and_close(5000, "/proc/1/comm", 0);
	CHECK("churn-opened", good == 5000, good);
	CHECK("churn-list", listed(dir) == all && all > 20, all);
	CHECK("churn-list-proc", listed(task) > 20, errno);
	CHECK("churn-fstat", fstat(fd, &st) == 0 && st.st_size == 0, st.st_size);
	CHECK("churn-read", pread(fd, b, 20, 0) == 20, errno);
	CHECK("churn-stream", lseek(stream, 64, SEEK_SET) == 64 && read(stream, b, 8) == 8, errno);
	close(go[1]);
	waitpid(pid, &status, 0);
	CHECK("churn-child", WIFEXITED(status) && WEXITSTATUS(status) == 7, status);
	for (int i = 0; i < 12; i++) { /* more at a time than one process may have */
		if (fork())
			continue;
		dir = opendir("/proc/1");
		for (int k = 0; k < 90; k++)
			held += open("/proc/1/comm", O_RDONLY) >= 0;
		good = open_and_close(300, "/proc/1/task", O_DIRECTORY);
		_exit(held == 90 && good == 300 && listed(dir) == all ? 7 : 1);
	}
	for (good = 0; wait(&status) > 0;)
		good += WIFEXITED(status) && WEXITSTATUS(status) == 7;
	CHECK("churn-held", good == 12, good);
	closedir(dir);
	closedir(task);
	close(stream);
	close(go[0]);
	close(fd);
}

/*
 * A directory that is open in no process, but on its way through a socket. It is forgotten
 * after a while; then that is said, and the host's kernel is not asked.
 */
static void on_its_way(void)
{
	union {
		struct cmsghdr c;
		char room[CMSG_SPACE(sizeof(int))];
	} u = { .c = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec iov = { &(char){ 'x' }, 1 };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u)
	};
	int dir = open("/proc/1", O_RDONLY | O_DIRECTORY), s[2];
	char b[4096];

	CHECK("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0, errno);
	memcpy(CMSG_DATA(&u.c), &dir, sizeof(dir));
	CHECK("send-fd", sendmsg(s[0], &m, 0) == 1, errno);
	close(dir);
	open_and_close(6000, "/proc/1/task", O_DIRECTORY);
	CHECK("receive-fd", recvmsg(s[1], &m, 0) == 1, errno);
	memcpy(&dir, CMSG_DATA(&u.c), sizeof(dir));
	CHECK("move-fd", dup2(dir, 1000) == 1000, errno);
	FAILS("forgotten-getdents", syscall(SYS_getdents64, 1000, b, sizeof(b)), EIO);
	FAILS("forgotten-read", read(1000, b, 10), EIO);
	FAILS("forgotten-openat", openat(1000, "stat", O_RDONLY), EIO);
	FAILS("forgotten-fstatfs", fstatfs(1000, &(struct statfs){ 0 }), EIO);
	FAILS("forgotten-dup", dup(1000), EIO);
	FAILS("forgotten-dup2", dup2(1000, 100), EIO);
}

/* The first thread has ended: the process lives on in this one. */
static void *outlives(void *leader)
{
	char want[64] = "", got[64] = "";
	int fd, copy, pidfd;

	pthread_join(*(pthread_t *)leader, NULL);
	fd = open("/proc/version", O_RDONLY);
	CHECK("outlived-open", fd >= 0 && read(fd, want, sizeof(want)) == sizeof(want), errno);
	lseek(fd, 8, SEEK_SET);
	/* The kernel hands out files of a single thread (since 6.9), or not. */
	pidfd = (int)syscall(SYS_pidfd_open, gettid(), O_EXCL);
	copy = pidfd < 0 ? dup2(fd, 100) : dup(fd);
	CHECK("outlived-dup", copy >= 0 && read(copy, got, 8) == 8 && !memcmp(got, want + 8, 8),
	      errno);
	exit(failed);
}

static void without_leader(void)
{
	static pthread_t self;
	pthread_t t;
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		self = pthread_self();
		pthread_create(&t, NULL, outlives, &self);
		pthread_exit(NULL);
	}
	waitpid(pid, &status, 0);
	CHECK("outlived", !status, status);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1 && !strcmp(argv[1], "redirected")) {
		denied();
		return failed;
	}
	if (argc > 1 && !strcmp(argv[1], "on-its-way")) {
		on_its_way();
		return failed;
	}
	bad_pointers();
	long_paths();
	descriptors();
	directories();
	refreshed();
	churn();
	threads();
	signals();
	interrupted();
	without_leader();
	return failed;
}
