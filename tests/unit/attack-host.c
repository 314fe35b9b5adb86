/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a mirrored program that was taken over would try against the host. Each row that
 * works prints "not ok NAME"; the last line is how many were tried.
 *
 *	attack-host calls PID SOCKET	system calls; PID: a process of the host, SOCKET: the
 *					path of a socket of the host that is listened at
 *	attack-host peer		stdin is a socket of a process of the host
 *	attack-host append		stdout is appended to: what is there stays
 *	attack-host memory		its own memory files, and the guest's files as code
 *	attack-host again FILE		FILE of the guest's, which changes, is read twice
 *	attack-host race GOOD SECRET INODE
 *					another thread changes the path of each call from
 *					GOOD to SECRET (with that inode) and back
 *	attack-host open		descriptors above 2 that are no pipes
 *	attack-host exec GOOD EVIL	the same with what is executed
 *	attack-host full PID		a copy of a stream when many files were opened since
 *	attack-host swap		stdin is a file of the host: another thread puts it in
 *					the place of a file of the guest that is read again
 *	attack-host swap-mode INSIDE	the same with the file INSIDE of --host-files, whose
 *					mode changes
 *	attack-host swap-lock INSIDE	the same with the file INSIDE, which is locked
 *	attack-host swap-map		stdout, for reading and appending, in the place of a
 *					memory file that is mapped
 *	attack-host swap-option		stdin is a socket of the host, in the place of one of
 *					its own that gets an option
 *	attack-host jobs GROUP		stdin is a terminal, GROUP another job of its session
 *	attack-host loader FILE		open FILE from within the loader's code
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "attack.h"
#include "base/array.h"

/* PID_MAX_LIMIT */
#define OWN_PID 4194304

int tried;
static int failed;

void row(const char *name, int bad)
{
	tried++;
	if (bad) {
		printf("not ok %s (errno %d)\n", name, errno);
		failed = 1;
	}
}

static void machine(void)
{
	char buf[64] = "";

	CALL(mount, "none", "/mnt", "tmpfs", 0, NULL);
	CALL(umount2, "/tmp", 0);
	CALL(pivot_root, "/", "/mnt");
	CALL(chroot, "/tmp");
	CALL(swapon, "/dev/null", 0);
	CALL(swapoff, "/dev/null");
	CALL(reboot, 0xfee1dead, 672274793, 0, NULL);
	CALL(sethostname, "x", 1);
	CALL(setdomainname, "x", 1);
	CALL(settimeofday, buf, NULL);
	CALL(clock_settime, 0, buf);
	CALL(init_module, buf, 0, "");
	CALL(finit_module, 0, "", 0);
	CALL(delete_module, "dummy", 0);
	CALL(kexec_load, 0, 0, NULL, 0);
	CALL(kexec_file_load, 0, 0, 0, "", 0);
	CALL(acct, "/tmp/acct");
	CALL(quotactl, 0, "/", 0, buf);
	CALL(iopl, 3);
	CALL(ioperm, 0x80, 1, 1);
	CALL(vhangup);
	CALL(syslog, 5, NULL, 0);
	CALL(bpf, 0, buf, sizeof(buf));
	CALL(perf_event_open, buf, 0, -1, -1, 0);
	CALL(fanotify_init, 0, 0);
	CALL(inotify_add_watch, 0, "/etc", 1);
	CALL(name_to_handle_at, AT_FDCWD, "/etc", buf, buf, 0);
	CALL(open_by_handle_at, AT_FDCWD, buf, 0);
	CALL(keyctl, 0, -3, 1);
	CALL(add_key, "user", "x", "x", 1, -3);
	CALL(request_key, "user", "x", NULL, 0);
	CALL(userfaultfd, 0);
	CALL(mq_open, "/x", O_CREAT | O_RDWR, 0600, NULL);
	CALL(io_setup, 1, buf);
	CALL(modify_ldt, 0, buf, 0);
	CALL(lookup_dcookie, 0, buf, 0);
	NUMBER("open_tree", 428, AT_FDCWD, "/", 1);
	NUMBER("move_mount", 429, AT_FDCWD, "/", AT_FDCWD, "/mnt", 0);
	NUMBER("fsopen", 430, "tmpfs", 0);
	NUMBER("fspick", 433, AT_FDCWD, "/", 0);
	NUMBER("mount_setattr", 442, AT_FDCWD, "/", 0, buf, 32);
	NUMBER("quotactl_fd", 443, 0, 0, 0, buf);
	NUMBER("io_uring_setup", 425, 1, buf);
	NUMBER("memfd_secret", 447, 0);
	NUMBER("statmount", 457, buf, buf, 64, 0);
	NUMBER("listmount", 458, buf, buf, 8, 0);
	NUMBER("lsm_list_modules", 461, buf, buf, 0);
	NUMBER("file_setattr", 469, AT_FDCWD, "/", buf, 8, 0);
	NUMBER("listns", 470, buf, buf, 8, 0);
	NUMBER("fchroot", 472, AT_FDCWD, 0);
	NUMBER("no such call", 500);
	NUMBER("a call of x32", 0x40000000 | 39);
	NUMBER("far too high", 100000);
}

static sigjmp_buf before_old_call;

static void no_old_calls(int sig)
{
	(void)sig;
	siglongjmp(before_old_call, 1);
}

/* A host's kernel without CONFIG_IA32_EMULATION sends SIGSEGV, whatever the filter says. */
static long old_call(long nr)
{
	volatile long ret = -ENOSYS;

	signal(SIGSEGV, no_old_calls);
	if (!sigsetjmp(before_old_call, 1))
		__asm__ volatile("int $0x80"
				 : "=a"(ret)
				 : "0"(nr)
				 : "r8", "r9", "r10", "r11", "memory");
	else
		puts("no 32-bit calls here");
	signal(SIGSEGV, SIG_DFL);
	return ret;
}

static int with_flag(unsigned long flag)
{
	long pid = syscall(SYS_clone, flag | SIGCHLD, NULL, NULL, NULL, NULL);

	if (!pid)
		_exit(0);
	if (pid > 0)
		waitpid((pid_t)pid, NULL, 0);
	return pid > 0;
}

static void processes(pid_t pid)
{
	static const unsigned long flags[] = { CLONE_NEWNS,	CLONE_NEWUTS, CLONE_NEWIPC,
					       CLONE_NEWPID,	CLONE_NEWNET, CLONE_NEWUSER,
					       CLONE_NEWCGROUP, 0x00800000 /* untraced */ };
	char buf[16];
	struct iovec v = { buf, 16 };
	siginfo_t si = { .si_signo = SIGUSR1, .si_code = SI_QUEUE };
	uint64_t args[11] = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		row("clone with a namespace", with_flag(flags[i]));
		if (flags[i] != 0x00800000)
			NEVER(unshare((int)flags[i]));
	}
	args[4] = SIGCHLD;
	NUMBER("clone3", 435, args, sizeof(args));
	CALL(setns, 0, 0);
	CALL(ptrace, 16, pid, 0, 0);
	CALL(process_vm_readv, pid, &v, 1, &v, 1, 0);
	CALL(process_vm_writev, pid, &v, 1, &v, 1, 0);
	NUMBER("pidfd_open", 434, pid, 0);
	NUMBER("pidfd_getfd", 438, 0, 0, 0);
	NUMBER("process_madvise", 440, 0, &v, 1, 0, 0);
	CALL(kcmp, pid, pid, 0, 0, 0);
	CALL(kill, pid, SIGUSR1);
	CALL(kill, -pid, SIGUSR1);
	CALL(kill, -1, SIGUSR1);
	CALL(tkill, pid, SIGUSR1);
	CALL(tgkill, pid, pid, SIGUSR1);
	CALL(rt_sigqueueinfo, pid, SIGUSR1, &si);
	CALL(rt_tgsigqueueinfo, pid, pid, SIGUSR1, &si);
	CALL(setpriority, 0, pid, 5);
	CALL(ioprio_set, 1, pid, 0);
	CALL(setpriority, 1, 0, 5);	 /* PRIO_PGRP */
	CALL(setpriority, 2, 0, 5);	 /* PRIO_USER */
	CALL(ioprio_set, 2, 0, 3 << 13); /* IOPRIO_WHO_PGRP, IOPRIO_CLASS_IDLE */
	CALL(ioprio_set, 3, 0, 3 << 13); /* IOPRIO_WHO_USER */
	CALL(sched_setaffinity, pid, 8, &args);
	CALL(sched_setscheduler, pid, 0, &args);
	CALL(migrate_pages, pid, 0, NULL, NULL);
	CALL(move_pages, pid, 0, NULL, NULL, NULL, 0);
	CALL(prlimit64, pid, 0, &v, NULL);
	CALL(get_robust_list, pid, &v, &args);
	CALL(timer_create, ~pid << 3 | 2, NULL, &args);
	row("clock_nanosleep", syscall(SYS_clock_nanosleep, ~pid << 3 | 2, TIMER_ABSTIME,
				       &(struct timespec){ 0 }, NULL) >= 0);
	/* The program sees its own processes with such pids. */
	CALL(getpgid, OWN_PID + pid);
	CALL(getsid, OWN_PID + pid);
	row("fcntl F_SETOWN", !fcntl(0, F_SETOWN, pid));
	row("fcntl F_SETSIG", !fcntl(0, 10, SIGUSR1));
	row("huge pages", mmap(NULL, 2 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB,
			       -1, 0) != MAP_FAILED);
	NEVER(memfd_create("x", MFD_HUGETLB));
	row("prctl PR_SET_MM", !prctl(35, 1, 0, 0, 0));
	row("int 0x80", old_call(20) != -ENOSYS); /* getpid */
}

static void files(void)
{
	static const int given[] = { 0, 1, 2, 600, 900 };
	char buf[16];
	struct timespec ts[2] = { { 1, 0 }, { 1, 0 } };

	NEVER(open("/tmp/attack", O_CREAT | O_WRONLY, 0600));
	NEVER(open("attack", O_CREAT | O_WRONLY, 0600));
	NEVER(open(".", O_TMPFILE | O_RDWR, 0600));
	NEVER(open("/proc/self/exe", O_WRONLY));
	NEVER(open("/proc/self/mem", O_RDWR));
	if ((fcntl(0, F_GETFL) & O_ACCMODE) != O_RDWR)
		NEVER(open("/proc/self/fd/0", O_RDWR));
	NEVER(open("/dev/sda", O_RDWR));
	NEVER(open("/dev/mem", O_RDWR));
	NEVER(open("/dev/kvm", O_RDWR));
	NEVER(open("/dev/ptmx", O_RDWR));
	NEVER(open("/dev/fuse", O_RDWR));
	NEVER(mkdir("attack", 0700));
	NEVER(mknod("attack", S_IFIFO | 0600, 0));
	NEVER(symlink("/etc", "attack"));
	NEVER(link("/proc/self/exe", "attack"));
	NEVER(rename("/usr/bin/env", "/usr/bin/attack"));
	NEVER(unlink("/usr/bin/attack"));
	NEVER(rmdir("/usr/share/misc"));
	NEVER(chmod("/usr/bin/env", 0777));
	NEVER(chown("/usr/bin/env", 1, 1));
	NEVER(lchown("/usr/bin/env", 1, 1));
	NEVER(truncate("/usr/bin/env", 0));
	NEVER(utimensat(AT_FDCWD, "/usr/bin/env", ts, 0));
	NEVER(setxattr("/usr/bin/env", "user.x", "1", 1, 0));
	NEVER(removexattr("/usr/bin/env", "user.x"));
	/* A program may also have them at the numbers that vlens uses for the guest's files. */
	dup2(1, 600);
	dup2(1, 900);
	for (size_t i = 0; i < ARRAY_SIZE(given); i++) {
		int fd = given[i];

		NEVER(fchmod(fd, 0777));
		NEVER(fchown(fd, 1, 1));
		NEVER(futimens(fd, ts));
		NEVER(fsetxattr(fd, "user.x", "1", 1, 0));
		NEVER(fremovexattr(fd, "user.x"));
		NEVER(ftruncate(fd, 0));
		NEVER(fallocate(fd, 0, 0, 1 << 20));
		NEVER(flock(fd, LOCK_SH | LOCK_NB));
		NEVER(fcntl(fd, F_SETLK, &(struct flock){ .l_type = F_RDLCK }));
		NEVER(fcntl(fd, F_SETLK, &(struct flock){ .l_type = F_WRLCK }));
		NEVER(fcntl(fd, F_OFD_SETLK, &(struct flock){ .l_type = F_RDLCK }));
		NEVER(fcntl(fd, F_ADD_SEALS, 0));
		NEVER(fcntl(fd, 1036 /* F_SET_RW_HINT */, &(uint64_t){ 1 }));
		NEVER(fcntl(fd, 1040 /* newer than any */, 0));
		NEVER(syscall(SYS_pwritev2, fd, &(struct iovec){ buf, 0 }, 1, -1, -1, 0x20));
		NEVER(ioctl(fd, 0x40086602, buf)); /* FS_IOC_SETFLAGS */
		NEVER(ioctl(fd, TIOCSTI, "x"));
		NEVER(ioctl(fd, FIOSETOWN, &(int){ 1 }));
		NEVER(ioctl(fd, FIOASYNC, &(int){ 1 }));
		NEVER(ioctl(fd, TIOCLINUX, "\014"));
		NEVER(ioctl(fd, TIOCSETD, &(int){ 0 }));
		NEVER(ioctl(fd, TIOCCONS, 0));
		NEVER(ioctl(fd, TIOCSWINSZ, &(struct winsize){ 1, 1, 0, 0 }));
		NEVER(ioctl(fd, TCXONC, TCOOFF));
		NEVER(ioctl(fd, TCXONC, TCIOFF));
		NEVER(ioctl(fd, TCSBRK, 0));
		NEVER(ioctl(fd, TCSBRKP, 1));
		NEVER(ioctl(fd, TIOCSBRK, 0));
		NEVER(ioctl(fd, TIOCEXCL, 0));
		NEVER(ioctl(fd, TIOCSPGRP, &(int){ 1 }));
		NEVER(ioctl(fd, TIOCSCTTY, 1));
		NEVER(ioctl(fd, 0x4b4e, 0)); /* KDSIGACCEPT */
		NEVER(ioctl(fd, 0x5606, 1)); /* VT_ACTIVATE */
	}
}

static void sockets(const char *path)
{
	struct sockaddr_un sa = { AF_UNIX, "" };
	int type[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET }, pair[2], s;
	struct iovec v = { "x", 1 };
	struct msghdr m = { &sa, sizeof(sa), &v, 1, NULL, 0, 0 };
	const char *slash = strrchr(path, '/');

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	for (int i = 0; i < 3; i++) {
		s = socket(AF_UNIX, type[i], 0);
		NEVER(connect(s, (void *)&sa, sizeof(sa)));
		NEVER(sendto(s, "x", 1, 0, (void *)&sa, sizeof(sa)));
		NEVER(sendmsg(s, &m, 0));
		NEVER(bind(s, (void *)&(struct sockaddr_un){ AF_UNIX, "attack.sock" }, sizeof(sa)));
		NEVER(listen(s, 1));
		NEVER(accept(s, NULL, NULL));
		close(s);
		if (!socketpair(AF_UNIX, type[i], 0, pair)) {
			NEVER(connect(pair[0], (void *)&sa, sizeof(sa)));
			row("socketpair and sendto", type[i] == SOCK_DGRAM);
			close(pair[0]);
			close(pair[1]);
		}
	}
	/* The same by a name that is not absolute, and by one without a file. */
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", slash ? slash + 1 : path);
	s = socket(AF_UNIX, SOCK_STREAM, 0);
	NEVER(connect(s, (void *)&sa, sizeof(sa)));
	memset(sa.sun_path, 0, sizeof(sa.sun_path));
	snprintf(sa.sun_path + 1, sizeof(sa.sun_path) - 1, "%s", path);
	NEVER(connect(s, (void *)&sa,
		      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(path))));
	NEVER(socket(AF_PACKET, SOCK_RAW, 0));
	NEVER(socket(38 /* AF_ALG */, SOCK_SEQPACKET, 0));
	NEVER(socket(40 /* AF_VSOCK */, SOCK_STREAM, 0));
}

/* SO_PEERPIDFD gives a descriptor of the peer of stdin, a process of the host. */
static void peer(void)
{
	int peer = -1, pair[2], pid, own;
	socklen_t len = sizeof(peer);

	(void)!getsockopt(0, SOL_SOCKET, 77 /* SO_PEERPIDFD */, &peer, &len);
	if (peer >= 0) {
		NEVER(syscall(SYS_pidfd_send_signal, peer, SIGUSR1, NULL, 0));
		NEVER(syscall(SYS_pidfd_getfd, peer, 0, 0));
	}
	NEVER(setsockopt(0, SOL_SOCKET, SO_SNDBUF, &len, sizeof(len)));
	NEVER(shutdown(0, SHUT_RDWR));
	NEVER(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
	NEVER(socketpair(30 /* AF_TIPC */, SOCK_SEQPACKET, 0, pair));
	/* It may signal its own process, but no group with others in it. */
	pid = fork();
	if (!pid)
		_exit(pause());
	own = (int)syscall(SYS_pidfd_open, pid, 0);
	if (own < 0) /* it sees another number for itself */
		row("pidfd_open of a child", errno != EPERM);
	NEVER(syscall(SYS_pidfd_send_signal, own, SIGUSR1, NULL,
		      4 /* PIDFD_SIGNAL_PROCESS_GROUP */));
	row("a signal to a child",
	    own >= 0 && syscall(SYS_pidfd_send_signal, own, SIGKILL, NULL, 0));
	if (own < 0)
		kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	row("shutdown of a socket of its own",
	    socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || shutdown(pair[0], SHUT_WR));
}

/* Data that stdout has already cannot be changed by a program that appends. */
static void append(void)
{
	void *map;

	row("stdout is not O_APPEND", !(fcntl(1, F_GETFL) & O_APPEND));
	NEVER(fcntl(1, F_SETFL, 0));
	NEVER(fcntl(1, F_SETFL, O_NONBLOCK));
	NEVER(syscall(SYS_pwritev2, 1, &(struct iovec){ "XXXX", 4 }, 1, 0, 0, 0x20));
	map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, 1, 0);
	row("mmap of stdout", map != MAP_FAILED && !mprotect(map, 4096, PROT_READ | PROT_WRITE));
	row("pwrite", pwrite(1, "", 0, 0) < 0);
	row("flags that may be set",
	    fcntl(1, F_SETFL, O_APPEND | O_NONBLOCK) || fcntl(1, F_SETFL, O_APPEND));
}

/* It may do with its own memory as it likes. */
static void own_memory(void)
{
	int fd = memfd_create("x", MFD_ALLOW_SEALING);
	struct flock l = { .l_type = F_WRLCK };

	row("ftruncate of a memory file", ftruncate(fd, 8192));
	row("flock of a memory file", flock(fd, LOCK_EX | LOCK_NB));
	row("lock of a memory file", fcntl(fd, F_SETLK, &l));
	row("seals of a memory file", fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	NEVER(ftruncate(fd, 16384));
}

/* A descriptor of a guest's file cannot be mapped as code, however it was duplicated. */
static void code(void)
{
	int fd = open("/proc/version", O_RDONLY), pair[2], copies[5] = { fd, dup(fd) };
	char control[CMSG_SPACE(sizeof(int))] = "", byte[1] = "";
	struct iovec v = { byte, 1 };
	struct msghdr m = { .msg_iov = &v,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	void *map;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	copies[2] = dup2(fd, 5);
	copies[3] = fcntl(fd, F_DUPFD, 7);
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	if (sendmsg(pair[0], &m, 0) == 1 && recvmsg(pair[1], &m, 0) == 1)
		memcpy(&copies[4], CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	for (int i = 0; i < 5; i++) {
		map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, copies[i], 0);
		row("mmap of a copy", map == MAP_FAILED || memcmp(map, "Linux", 5));
		map = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, copies[i], 0);
		row("mmap of code of the guest", map != MAP_FAILED);
	}
}

/* A file that is read again from its start shows its present content. */
static void again(const char *file)
{
	int fd = open(file, O_RDONLY);
	char a[64] = "", b[64] = "";

	row("the first read", read(fd, a, sizeof(a)) <= 0);
	usleep(60000); /* longer than a whole file is fresh (stream.c), or a step of uptime */
	row("the second read", pread(fd, b, sizeof(b), 0) <= 0);
	row("what was read again is old", !memcmp(a, b, sizeof(a)));
}

/* A guest's file, in memory, cannot be executed on this host. */
static void execution(void)
{
	char *argv[] = { "x", NULL };
	int fd = memfd_create("x", 0);

	NEVER(syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH));
	fd = open("/proc/version", O_RDONLY);
	NEVER(syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH));
	NEVER(execve("/proc/self/fd/512", argv, environ));
	NEVER(execve("/dev/fd/512", argv, environ));
}

static void descriptors(void)
{
	struct stat st;

	for (int fd = 3; fd < 1024; fd++)
		if (!fstat(fd, &st) && !S_ISFIFO(st.st_mode))
			row("an open file of the caller", 1);
	tried++;
}

/*
 * A whole file is made of a stream when the table of records is full of directories. The copy
 * must still know what it is a copy of.
 */
static void full(const char *pid)
{
	char name[64];
	struct statfs fs;
	int stream, fd;

	snprintf(name, sizeof(name), "/proc/%s/mem", pid); /* offset 0 cannot be read */
	stream = open(name, O_RDONLY);
	row("open of a stream", stream < 896);
	for (int i = 0; i < 1023; i++) {
		fd = open("/proc/1/task", O_RDONLY | O_DIRECTORY);
		row("open of a directory", fd < 0);
		close(fd);
	}
	row("dup2 of a stream", dup2(stream, 100) != 100 || dup2(100, 700) != 700);
	row("fstatfs of a copy", fstatfs(700, &fs) || fs.f_type != 0x9fa0 /* PROC_SUPER_MAGIC */);
}

/* "syscall; ret" within the loader: the address shows that the loader calls. */
static const unsigned char *loader_gadget(void)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long at, end;
	char line[512], rights[8];

	while (maps && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %7s", &at, &end, rights) != 3 || rights[2] != 'x' ||
		    !strstr(line, "/ld"))
			continue;
		for (; at + 3 <= end; at++)
			if (!memcmp((void *)at, "\x0f\x05\xc3", 3))
				return (void *)at;
	}
	return NULL;
}

static void loader(const char *file)
{
	const unsigned char *gadget = loader_gadget();
	long ret = SYS_openat;
	register long flags asm("r10") = 0;

	if (!gadget) {
		row("no system call in the loader", 1);
		return;
	}
	asm volatile("call *%1"
		     : "+a"(ret)
		     : "r"(gadget), "D"((long)AT_FDCWD), "S"(file), "d"(O_RDONLY), "r"(flags)
		     : "rcx", "r11", "memory");
	row(file, ret >= 0);
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 4 && !strcmp(argv[1], "calls")) {
		machine();
		processes(atoi(argv[2]));
		files();
		sockets(argv[3]);
		execution();
	} else if (argc == 2 && !strcmp(argv[1], "peer")) {
		peer();
	} else if (argc == 2 && !strcmp(argv[1], "append")) {
		append();
	} else if (argc == 2 && !strcmp(argv[1], "memory")) {
		own_memory();
		code();
	} else if (argc == 3 && !strcmp(argv[1], "again")) {
		again(argv[2]);
	} else if (argc == 5 && !strcmp(argv[1], "race")) {
		race(argv[2], argv[3], argv[4]);
	} else if (argc == 4 && !strcmp(argv[1], "exec")) {
		race_exec(argv[2], argv[3]);
	} else if (argc == 3 && !strcmp(argv[1], "full")) {
		full(argv[2]);
	} else if (argc == 2 && !strcmp(argv[1], "swap")) {
		race_swap("/proc/stat", O_RDONLY, 600, 100);
	} else if (argc == 3 && !strcmp(argv[1], "swap-mode")) {
		race_swap(argv[2], O_RDWR | O_CREAT, 100, 20000);
	} else if (argc == 3 && !strcmp(argv[1], "swap-lock")) {
		race_lock(argv[2]);
	} else if (argc == 2 && !strcmp(argv[1], "swap-map")) {
		race_map();
	} else if (argc == 2 && !strcmp(argv[1], "swap-option")) {
		race_option();
	} else if (argc == 3 && !strcmp(argv[1], "jobs")) {
		race_jobs(atoi(argv[2]));
	} else if (argc == 3 && !strcmp(argv[1], "loader")) {
		loader(argv[2]);
	} else {
		descriptors();
	}
	printf("tried %d\n", tried);
	return failed;
}
