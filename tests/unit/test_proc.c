/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Texts of /proc, and the state of processes by them. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "tap.h"
#include "host/proc.h"

static void test_stat(void)
{
	uint64_t start = 0;
	char state = 0;

	ok(vl_parse_stat("42 (qemu) T 1 2 3 0 -1 4 5 6 7 8 9 10 11 12 20 0 3 0 92453 1 2", &state,
			 &start) &&
		   state == 'T' && start == 92453,
	   "a stat line");
	ok(vl_parse_stat("42 (a) R 1 (x) S 1 2 3 0 -1 4 5 6 7 8 9 10 11 12 20 0 3 0 77 1", &state,
			 &start) &&
		   state == 'S' && start == 77,
	   "a name made to deceive");
	ok(!vl_parse_stat("", &state, &start) && !vl_parse_stat("42 (x", &state, &start) &&
		   !vl_parse_stat("42 (x) R 1 2", &state, &start) &&
		   !vl_parse_stat("42 (x)R1 2 3 0 -1 4 5 6 7 8 9 10 11 12 20 0 3 0 92453 1 2",
				  &state, &start),
	   "no stat lines");
	ok(vl_proc_stat(getpid(), &state, &start) == 0 && state == 'R' && start > 0, "our own");
}

static void test_maps(void)
{
	static const char text[] =
		"55e9d6e05000-55e9d71ae000 rw-p 00de3000 fe:00 10977373        /usr/bin/qemu\n"
		"7f38e7e00000-7f3907e00000 rw-p 00000000 00:00 0 \n"
		"7f411ffff000-7f413ffff000 rw-s 00001000 00:01 1050      /memfd:ram (deleted)\n"
		"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0       [vsyscall]\n";
	struct vl_vma *v = NULL;
	struct vl_error *err;
	size_t nr = 0;

	err = vl_parse_maps(text, &v, &nr);
	ok(!err && nr == 4, "four mappings");
	ok(v[0].ino == 10977373 && v[0].dev == makedev(0xfe, 0) && !v[0].shared, "a private file");
	ok(v[1].ino == 0 && v[1].end - v[1].start == 0x20000000, "anonymous");
	ok(v[2].shared && v[2].offset == 0x1000 && v[2].ino == 1050, "a memfd");
	free(v);
	err = vl_parse_maps("garbage\n", &v, &nr);
	ok(err != NULL, "garbage is refused");
	vl_error_destroy(err);
	err = vl_proc_maps(getpid(), &v, &nr);
	ok(!err && nr > 5, "our own: %zu", nr);
	if (!err)
		free(v);
	vl_error_destroy(err);
	err = vl_proc_maps(0x3fffffff, &v, &nr);
	ok(err && err->code == VL_ERR_TARGET && err->hint, "no such process");
	vl_error_destroy(err);
}

/* A file of @size bytes is read whole, and refused by a limit of one byte less. */
static bool reads(int dirfd, const char *name, char *bytes, size_t size)
{
	char *text = NULL;
	size_t len = 0;
	bool good;
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	memset(bytes, 'x', size);
	good = fd >= 0 && write(fd, bytes, size) == (ssize_t)size && !close(fd) &&
	       !vl_read_file(dirfd, name, size, &text, &len) && len == size &&
	       !memcmp(text, bytes, size) && !text[size];
	free(text);
	return good && (!size || vl_read_file(dirfd, name, size - 1, &text, NULL) == -EFBIG);
}

static void test_files(const char *dir)
{
	static const size_t sizes[] = { 0, 1, 4094, 4095, 4096, 8191, 100000 };
	static char bytes[100000];
	int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char line[4] = "", *text;
	bool good = dirfd >= 0;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		good = good && reads(dirfd, "file", bytes, sizes[i]);
	ok(good, "files of all sizes are read whole, or refused");
	ok(vl_read_file(dirfd, "none", 10, &text, NULL) == -ENOENT, "a file that is missing");
	ok(!vl_proc_line("/proc/self/status", line, sizeof(line)) && !strcmp(line, "Nam"),
	   "a line in a small buffer: %s", line);
	ok(vl_proc_line("/proc/self/none", line, sizeof(line)) == -ENOENT, "a line of no file");
	unlinkat(dirfd, "file", 0);
	close(dirfd);
}

static void test_pids(void)
{
	pid_t *pids = NULL;
	size_t nr = vl_proc_pids(&pids), ours = 0;
	bool ordered = nr > 0 && pids[0] > 0;

	for (size_t i = 0; i < nr; i++) {
		ours += pids[i] == getpid();
		ordered = ordered && (!i || pids[i] > pids[i - 1]);
	}
	ok(ours == 1 && ordered, "our process is one of %zu, in order", nr);
	free(pids);
}

static bool denied(int err, const char *message)
{
	struct vl_error *e = vl_proc_denied(42, err);
	bool good = strstr(e->message, message) && e->hint;

	vl_error_destroy(e);
	return good;
}

static void test_denied(void)
{
	const char *const closed = geteuid() ? "no permission" : "closed even to root";

	ok(denied(ENOENT, "has gone") && denied(ESRCH, "has gone"), "a process that has gone");
	ok(denied(EACCES, closed) && denied(EPERM, closed), "one that is closed to us");
	if (!geteuid() && !seteuid(65534)) {
		ok(denied(EACCES, "no permission") && denied(EPERM, "no permission"),
		   "one that is closed to another user");
		if (seteuid(0))
			exit(99);
	}
	ok(denied(EIO, strerror(EIO)), "another error has its reason");
}

/* The FIFO whose writer is a signal handler, and the signals so far. */
static struct {
	int fd;
	volatile sig_atomic_t nr;
} interrupts;

static void interrupt(int sig)
{
	(void)sig;
	if (++interrupts.nr != 20)
		return;
	(void)!write(interrupts.fd, "late", 4);
	close(interrupts.fd);
}

/* Begin to interrupt reads of FIFO @path, which gets its data after 20 signals. */
static bool begin_interrupts(const char *path)
{
	const struct itimerval often = { { 0, 2000 }, { 0, 2000 } };
	const struct sigaction act = { .sa_handler = interrupt };

	interrupts.nr = 0;
	interrupts.fd = open(path, O_RDWR | O_CLOEXEC);
	return interrupts.fd >= 0 && !sigaction(SIGALRM, &act, NULL) &&
	       !setitimer(ITIMER_REAL, &often, NULL);
}

static void test_interrupted(const char *dir)
{
	char path[64], line[16] = "", *text = NULL;
	bool good;

	/* The timer is also that of tap_limit(). */
	snprintf(path, sizeof(path), "%s/fifo", dir);
	good = !mkfifo(path, 0600) && begin_interrupts(path) &&
	       !vl_read_file(AT_FDCWD, path, 100, &text, NULL) && !strcmp(text, "late");
	free(text);
	good = good && begin_interrupts(path) && !vl_proc_line(path, line, sizeof(line)) &&
	       !strcmp(line, "late");
	setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
	signal(SIGALRM, SIG_DFL);
	tap_limit();
	ok(good, "reads that signals interrupt go on");
	errno = EINTR;
	ok(!vl_proc_line("/dev/null", line, sizeof(line)) && !*line, "an end is no interrupt");
	unlink(path);
}

/* A program may be started with its standard input closed. */
static void test_file_0(void)
{
	struct vl_maps m = { .fd = -1 };
	int in = dup(0);
	char line[16] = "", *text = NULL;
	bool closed;

	close(0);
	ok(!vl_read_file(AT_FDCWD, "/proc/self/status", 1 << 20, &text, NULL) &&
		   fcntl(0, F_GETFD) < 0,
	   "a file read as file 0 is closed again");
	free(text);
	ok(!vl_proc_line("/proc/self/status", line, sizeof(line)) && fcntl(0, F_GETFD) < 0,
	   "a line of it, too");
	ok(!vl_discard(vl_maps_open(&m, getpid())) && !m.fd, "a memory map");
	vl_maps_close(&m);
	closed = fcntl(0, F_GETFD) < 0;
	ok(closed && vl_proc_all_stopped(getpid()) == 0, "threads are looked at through it");
	if (in >= 0) {
		dup2(in, 0);
		close(in);
	}
}

/* The file of one mapping: by its address, and else among the open files. */
static void test_mapped(void)
{
	int fd = memfd_create("mapped", MFD_CLOEXEC), found;
	struct vl_maps m = { .fd = -1 };
	struct vl_vma vma = { .ino = 0 };
	struct stat want, st = { .st_ino = 0 };
	void *at = MAP_FAILED;
	bool is = false;

	if (fd >= 0 && !ftruncate(fd, 4096) && !fstat(fd, &want))
		at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	ok(at != MAP_FAILED && !vl_discard(vl_maps_open(&m, getpid())) &&
		   !vl_discard(vl_maps_find(&m, (uint64_t)at, &vma, &is)) && is,
	   "a file that we map");
	found = vl_proc_open_mapped(getpid(), &vma);
	ok(found >= 0 && !fstat(found, &st) && st.st_ino == want.st_ino, "is opened");
	close(found);
	vma.start += 4096;
	vma.end += 4096;
	found = vl_proc_open_mapped(getpid(), &vma);
	ok(found >= 0 && !fstat(found, &st) && st.st_ino == want.st_ino,
	   "and without its address, too");
	close(found);
	vma.dev++;
	ok(vl_proc_open_mapped(getpid(), &vma) < 0, "but not one of another device");
	vma.dev--;
	vma.ino++;
	ok(vl_proc_open_mapped(getpid(), &vma) < 0, "nor another file");
	vma.ino--;
	close(fd);
	ok(vl_proc_open_mapped(getpid(), &vma) == -ENOENT, "nor one that is closed");
	munmap(at, 4096);
	vl_maps_close(&m);
}

static bool is_held(pid_t pid, const char *hint)
{
	struct vl_error *err = vl_proc_check_stopped(pid);
	bool good = err && strstr(err->message, "is stopped") && strstr(err->hint, hint);

	vl_error_destroy(err);
	return good && vl_proc_all_stopped(pid) == 1 && vl_proc_is_stopping(pid);
}

static bool is_free(pid_t pid)
{
	return !vl_proc_all_stopped(pid) && !vl_proc_is_stopping(pid) &&
	       !vl_discard(vl_proc_check_stopped(pid));
}

static void test_stopped(void)
{
	int ready[2], status;
	pid_t pid;
	char c;

	if (pipe(ready))
		exit(99);
	pid = fork();
	if (!pid)
		for (;;) {
			(void)!write(ready[1], "", 1);
			pause();
		}
	ok(read(ready[0], &c, 1) == 1 && is_free(pid), "a process that waits");
	kill(pid, SIGSTOP);
	ok(waitpid(pid, &status, WUNTRACED) == pid && is_held(pid, "SIGSTOP"),
	   "one that is stopped");
	kill(pid, SIGCONT);
	ok(waitpid(pid, &status, WCONTINUED) == pid && is_free(pid), "one that was continued");
	if (!ptrace(PTRACE_SEIZE, pid, NULL, NULL) && !ptrace(PTRACE_INTERRUPT, pid, NULL, NULL))
		ok(waitpid(pid, &status, 0) == pid && is_held(pid, "debugger"),
		   "one that is traced");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	ok(vl_proc_all_stopped(pid) == -ENOENT && !vl_proc_is_stopping(pid) &&
		   !vl_discard(vl_proc_check_stopped(pid)),
	   "one that has gone");
	close(ready[0]);
	close(ready[1]);
}

static void *say_tid(void *fd)
{
	pid_t tid = gettid();

	(void)!write(*(int *)fd, &tid, sizeof(tid));
	while (pause() < 0)
		;
	return NULL;
}

static bool hold(pid_t tid)
{
	int status;

	return !ptrace(PTRACE_SEIZE, tid, NULL, NULL) &&
	       !ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) && waitpid(tid, &status, __WALL) == tid;
}

/* Threads other than the first one are looked at. */
static void test_threads(void)
{
	pid_t pid, tid = 0;
	int ready[2];

	if (pipe(ready))
		exit(99);
	pid = fork();
	if (!pid) {
		pthread_t thread;

		if (pthread_create(&thread, NULL, say_tid, &ready[1]))
			_exit(99);
		for (;;)
			pause();
	}
	close(ready[1]);
	ok(read(ready[0], &tid, sizeof(tid)) == sizeof(tid) && is_free(pid), "two threads");
	if (hold(tid)) {
		ok(!vl_proc_all_stopped(pid) && vl_proc_is_stopping(pid), "the second is stopped");
		ok(hold(pid) && vl_proc_all_stopped(pid) == 1, "both are");
		ok(!ptrace(PTRACE_DETACH, tid, NULL, NULL) && !vl_proc_all_stopped(pid) &&
			   vl_proc_is_stopping(pid),
		   "the first is");
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ready[0]);
}

/* A signal that the kernel keeps for later: until its child ends, the process takes none. */
static void test_pending_stop(void)
{
	pid_t pid, child = 0;
	int ready[2], status;
	uint64_t start;
	char state = 0;

	if (pipe(ready))
		exit(99);
	pid = fork();
	if (!pid) {
		signal(SIGCHLD, SIG_IGN);
		if (!syscall(SYS_clone, CLONE_VFORK | SIGCHLD, NULL, NULL, NULL, NULL)) {
			child = getpid();
			(void)!write(ready[1], &child, sizeof(child));
		}
		for (;;)
			pause();
	}
	ok(read(ready[0], &child, sizeof(child)) == sizeof(child) && !vl_proc_is_stopping(pid),
	   "a process that waits for its child");
	kill(pid, SIGSTOP);
	ok(vl_proc_is_stopping(pid) && !vl_proc_stat(pid, &state, &start) && state != 'T',
	   "is stopping before it is stopped");
	if (child)
		kill(child, SIGKILL);
	ok(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status) && is_held(pid, "SIGSTOP"),
	   "and stops when the child has ended");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ready[0]);
	close(ready[1]);
}

/* Is each of @v found at both of its ends, as it is? */
static bool finds(struct vl_maps *m, const struct vl_vma *v, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		for (unsigned end = 0; end < 2; end++) {
			uint64_t va = end ? v[i].end - 1 : v[i].start;
			struct vl_vma found = { .ino = 0 };
			bool is;

			/* [vsyscall] is no mapping, though it is in the text. */
			if (va >> 63)
				continue;
			if (vl_maps_find(m, va, &found, &is) || !is || found.start != v[i].start ||
			    found.end != v[i].end || found.offset != v[i].offset ||
			    found.ino != v[i].ino || found.dev != v[i].dev ||
			    found.shared != v[i].shared || found.writable != v[i].writable ||
			    found.executable != v[i].executable)
				return false;
		}
	return true;
}

static void test_find(void)
{
	void *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct vl_maps m = { .fd = -1 }, gone;
	struct vl_error *err;
	struct vl_vma *v, one;
	pid_t pid = fork();
	size_t nr;
	bool is;

	/* Of a process that does nothing: our own heap may grow meanwhile. */
	if (!pid)
		for (;;)
			pause();
	err = vl_proc_maps(pid, &v, &nr);
	if (!err)
		err = vl_maps_open(&m, pid);
	ok(!err && finds(&m, v, nr), "each mapping is found by its address");
	ok(!vl_maps_find(&m, (uint64_t)shared, &one, &is) && is && one.shared && one.writable,
	   "one that is shared");
	ok(!vl_maps_find(&m, 1, &one, &is) && !is, "none at address 1");
	err = m.all ? NULL : vl_maps_read(&m);
	ok(!err && finds(&m, v, nr), "and where the kernel is not asked for one");
	ok(!vl_maps_find(&m, 1, &one, &is) && !is, "none at address 1");
	free(v);
	vl_maps_close(&m);
	err = vl_maps_open(&gone, pid);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (!err)
		err = vl_maps_find(&gone, (uint64_t)shared, &one, &is);
	ok(err && err->code == VL_ERR_TARGET, "of a process that has ended: an error");
	vl_error_destroy(err);
	vl_maps_close(&gone);
	munmap(shared, 4096);
}

int main(void)
{
	char dir[] = "/tmp/vlens-proc-XXXXXX";

	if (!mkdtemp(dir) || setenv("VLENS_RUN_DIR", dir, 1))
		return 99;
	test_stat();
	test_files(dir);
	test_pids();
	test_denied();
	test_interrupted(dir);
	test_file_0();
	test_maps();
	test_find();
	test_mapped();
	test_stopped();
	test_threads();
	test_pending_stop();
	rmdir(dir);
	return tap_end();
}
