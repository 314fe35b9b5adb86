/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Usage: bad-calls NODENAME
 *
 * tests/35-utilities.bats runs this on a guest: invalid system calls, and many at once. Each
 * must end as on a host. Prints those that do not; the status is 1 then.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static int failures;

static void check(const char *what, long ret, int want)
{
	int got = ret < 0 ? errno : 0;

	if (got == want)
		return;
	printf("%s: %s, not %s\n", what, strerror(got), strerror(want));
	failures++;
}

#define CHECK(call, want) check(#call, call, want)
#define SYS(name, ...) syscall(SYS_##name, __VA_ARGS__)

static void long_paths(void)
{
	static char path[5000];
	struct stat st;

	memset(path, 'a', sizeof(path) - 1);
	path[0] = '/';
	CHECK(open(path, O_RDONLY), ENAMETOOLONG);
	path[4096] = '\0';
	CHECK(open(path, O_RDONLY), ENAMETOOLONG);
	memcpy(path, "/proc/", 6);
	CHECK(stat(path, &st), ENAMETOOLONG);
	for (int i = 0; i < 4095; i++)
		path[i] = i % 2 ? '.' : '/';
	path[4095] = '\0';
	CHECK(stat(path, &st), 0);
}

static void bad_pointers(void)
{
	void *bad = (void *)8;
	int dir = open("/proc", O_RDONLY | O_DIRECTORY);
	int sock = socket(AF_NETLINK, SOCK_RAW, 0);

	CHECK(SYS(open, bad, 0), EFAULT);
	CHECK(SYS(stat, bad, bad), EFAULT);
	CHECK(SYS(newfstatat, AT_FDCWD, "/proc/1", bad, 0), EFAULT);
	CHECK(SYS(statx, AT_FDCWD, "/proc", 0, 0, bad), EFAULT);
	CHECK(SYS(openat2, AT_FDCWD, "/proc/stat", bad, 24), EFAULT);
	CHECK(SYS(readlink, "/proc/1/exe", bad, 100), EFAULT);
	CHECK(SYS(statfs, "/proc", bad), EFAULT);
	CHECK(SYS(chdir, bad), EFAULT);
	CHECK(SYS(getxattr, "/proc", bad, NULL, 0), EFAULT);
	CHECK(SYS(getdents64, dir, bad, 4096), EFAULT);
	CHECK(SYS(uname, bad), EFAULT);
	CHECK(SYS(sysinfo, bad), EFAULT);
	CHECK(SYS(clock_gettime, CLOCK_REALTIME, bad), EFAULT);
	CHECK(SYS(syslog, 3, bad, 4096), EFAULT);
	CHECK(SYS(prlimit64, 1, 7, NULL, bad), EFAULT);
	CHECK(SYS(sched_getaffinity, 1, 128, bad), EFAULT);
	CHECK(SYS(shmctl, 0, 14, bad), EFAULT);
	CHECK(SYS(sendto, sock, bad, 32, 0, NULL, 0), EFAULT);
	CHECK(SYS(sendmsg, sock, bad, 0), EFAULT);
	CHECK(SYS(recvmsg, sock, bad, MSG_DONTWAIT), EFAULT);
	CHECK(SYS(getsockname, sock, bad, bad), EFAULT);
	CHECK(SYS(ioctl, sock, 0x8912, bad), EFAULT); /* SIOCGIFCONF */
	CHECK(SYS(ioctl, sock, 0x8927, bad), EFAULT); /* SIOCGIFHWADDR */
}

static void changes(void)
{
	CHECK(mount("none", "/mnt", "tmpfs", 0, NULL), EPERM);
	CHECK(umount("/tmp"), EPERM);
	CHECK(SYS(init_module, "", 100, ""), EPERM);
	CHECK(SYS(finit_module, 0, "", 0), EPERM);
	CHECK(SYS(delete_module, "dummy", 0), EPERM);
	CHECK(SYS(kill, 2, 9), EPERM);
	CHECK(sethostname("changed", 7), EPERM);
	CHECK(open("/proc/sys/kernel/hostname", O_WRONLY), EROFS);
	CHECK(open("/sys/power/state", O_RDWR), EROFS);
	CHECK(unlink("/etc/passwd"), EROFS);
}

static void *reader(void *arg)
{
	char buf[4096];

	for (int i = 0; i < 200; i++) {
		int fd = open("/proc/stat", O_RDONLY);

		if (fd < 0 || read(fd, buf, sizeof(buf)) <= 4 || memcmp(buf, "cpu ", 4))
			*(bool *)arg = true;
		close(fd);
	}
	return NULL;
}

/* Fork while other threads read; then read from closed descriptors. */
static void many_at_once(const char *nodename)
{
	bool wrong[4] = { 0 };
	pthread_t threads[4];
	struct utsname uts;
	int status;
	char c;

	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, reader, &wrong[i]);
	for (int i = 0; i < 20; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(uname(&uts) || strcmp(uts.nodename, nodename));
		waitpid(pid, &status, 0);
		check("a child's uname", status ? -1 : 0, 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		check("a thread's read", wrong[i] ? -1 : 0, 0);
	}
	for (int i = 0; i < 50; i++) {
		int fd = open("/proc/meminfo", O_RDONLY);

		close(fd);
		check("a closed descriptor", read(fd, &c, 1), EBADF);
	}
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	long_paths();
	bad_pointers();
	changes();
	many_at_once(argv[1]);
	return failures != 0;
}
