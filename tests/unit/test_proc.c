/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Texts of /proc, and QEMU command lines. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/dirs.h"
#include "tap.h"
#include "host/proc.h"
#include "host/qemu_args.h"
#include "host/monitor.h"

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
	ok(denied(EIO, strerror(EIO)), "another error has its reason");
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

/* What tools tell each other about a socket. */
static void test_turn(void)
{
	int lock = vl_run_lock(1000, "test");
	const uint64_t second = VL_NSEC_PER_SEC;
	struct vl_turn t, u;

	vl_turn_load("test", &t);
	ok(lock >= 0 && !t.pid && !t.run[0] && !t.spoke && !t.silent_until, "nothing is known");
	vl_turn_speaks(lock, "test", 42, "run");
	vl_turn_load("test", &t);
	ok(t.pid == 42 && !strcmp(t.run, "run") && t.spoke && !t.silent_since && !t.silent_until,
	   "a socket that greets");
	vl_turn_is_silent(lock, "test", 42, "run", second);
	vl_turn_load("test", &t);
	ok(t.spoke && t.silent_until > t.spoke && t.silent_until - t.silent_since == second,
	   "one that is silent for a second");
	vl_turn_is_silent(lock, "test", 42, "run", second);
	vl_turn_load("test", &u);
	ok(u.silent_since == t.silent_since && u.silent_until > t.silent_until,
	   "and again: it is silent since then");
	u.silent_since -= 100 * second;
	u.silent_until -= 50 * second;
	vl_turn_store(lock, &u);
	vl_turn_is_silent(lock, "test", 42, "run", second);
	vl_turn_load("test", &t);
	ok(t.silent_until - t.silent_since == second,
	   "another silence, after a pause of the tries");
	t.silent_since = 0;
	t.silent_until += 1000 * second;
	vl_turn_store(lock, &t);
	vl_turn_is_silent(lock, "test", 42, "run", second);
	vl_turn_load("test", &t);
	ok(t.silent_until - t.silent_since == second,
	   "a time of before this host's boot is dropped");
	vl_turn_store(-1, &u);
	ok(pwrite(lock, "42 run 1 2", 10, 0) == 10 && !ftruncate(lock, 10), "half a note");
	vl_turn_load("test", &t);
	ok(!t.pid && !t.spoke, "is none");
	ok(pwrite(lock, "42 run 1 2 3\n", 13, 0) == 13 && !ftruncate(lock, 13), "a short one");
	vl_turn_load("test", &t);
	ok(t.pid == 42 && t.silent_until == 3, "is one");
	close(lock);
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

#define PARSE(text) vl_qemu_args_parse(text, sizeof(text) - 1, &a)

static void test_args(void)
{
	struct vl_qemu_args a;

	PARSE("/usr/bin/qemu-system-x86_64\0-m\0"
	      "512\0-qmp\0unix:/tmp/q.sock,server=on,wait=off\0");
	ok(a.is_qemu && !strcmp(a.qmp[0].path, "/tmp/q.sock"), "-qmp unix:PATH");
	PARSE("kvm\0--qmp-pretty\0unix:/tmp/a,,b,server\0-name\0guest=web,,1,debug-threads=on\0");
	ok(!strcmp(a.qmp[0].path, "/tmp/a,b") && !strcmp(a.guest_name, "web,1"), "doubled commas");
	PARSE("qemu-system-x86_64\0-mon\0chardev=m,mode=control\0-chardev\0"
	      "socket,path=/x/y,id=m,server=on\0-name\0web2\0-uuid\0"
	      "12345678-1234-1234-1234-123456789abc\0");
	ok(!strcmp(a.qmp[0].path, "/x/y") && !strcmp(a.guest_name, "web2") && a.uuid[0] == '1',
	   "-mon with a chardev that comes later");
	PARSE("qemu-system-x86_64\0-chardev\0socket,id=c,path=/h\0-mon\0chardev=c,mode=readline\0"
	      "-monitor\0unix:/hmp,server\0");
	ok(!a.nr_qmp, "a human monitor is not one");
	PARSE("qemu-system-x86_64\0-chardev\0socket,id=charmonitor,fd=30,server=on\0-mon\0"
	      "chardev=charmonitor,id=monitor,mode=control\0");
	ok(!a.nr_qmp, "libvirt's has no path");
	PARSE("qemu-system-x86_64\0-qmp\0tcp:127.0.0.1:4444,server\0-qmp\0unix:rel,server\0");
	ok(a.nr_qmp == 2 && a.qmp[0].kind == VL_QMP_TCP && a.qmp[0].port == 4444 &&
		   !strcmp(a.qmp[0].path, "127.0.0.1") && !strcmp(a.qmp[1].path, "rel"),
	   "two, one of them over TCP");
	PARSE("qemu-system-x86_64\0-qmp\0unix:/a,,server\0-qmp\0tcp::4,server=off\0");
	ok(!a.nr_qmp, "those that connect instead of listening");
	PARSE("qemu-system-x86_64\0-qmp\0unix:name,abstract=on,server=on\0-mon\0"
	      "chardev=t,mode=control\0-chardev\0socket,id=t,host=::1,port=5,server=on,wait=off\0");
	ok(a.nr_qmp == 2 && a.qmp[0].kind == VL_QMP_ABSTRACT && a.qmp[1].kind == VL_QMP_TCP &&
		   a.qmp[1].port == 5 && !strcmp(a.qmp[1].path, "::1"),
	   "an abstract one, a chardev over TCP");
	PARSE("qemu-system-x86_64\0-qmp\0unix:/a,server=yes\0-qmp\0unix:/b,server=true\0-qmp\0"
	      "unix:/c,server=no\0");
	ok(a.nr_qmp == 2 && !strcmp(a.qmp[1].path, "/b"), "all words for on");
	PARSE("qemu-system-x86_64\0-chardev\0pipe,id=m,path=/1,server=on\0-chardev\0"
	      "socket,id=x,path=/2,server=on\0-chardev\0socket,id=m,path=/3,server=on\0-mon\0"
	      "chardev=m,mode=control\0-mon\0chardev=none,mode=control\0");
	ok(a.nr_qmp == 1 && !strcmp(a.qmp[0].path, "/3"), "the chardev of that name and kind");
	PARSE("qemu-system-x86_64\0-qmp\0vc,server=on\0xqmp\0unix:/a,server\0");
	ok(!a.nr_qmp, "neither another device nor another argument");
	PARSE("qemu-system-x86_64\0-mon\0chardev=m,mode=control\0-chardev\0");
	ok(!a.nr_qmp, "a chardev without its value");
	PARSE("qemu-system-x86_64\0-qmp\0unix:1,server\0-qmp\0unix:2,server\0-qmp\0unix:3,server\0"
	      "-qmp\0unix:4,server\0-qmp\0unix:5,server\0");
	ok(a.nr_qmp == VL_QEMU_MONITORS && !strcmp(a.qmp[VL_QEMU_MONITORS - 1].path, "4"),
	   "more monitors than there is room for");
	PARSE("qemu-system-x86_64\0-qmp");
	ok(!a.nr_qmp, "cut off");
	PARSE("qemu-system-x86_64\0-qmp\0");
	ok(a.is_qemu && !a.nr_qmp, "cut off before the value");
	PARSE("sleep\0"
	      "100\0");
	ok(!a.is_qemu, "not a QEMU");
	vl_qemu_args_parse("", 0, &a);
	ok(!a.is_qemu, "a kernel thread has no arguments");
}

/* A name fills its buffer, and no more. */
static void test_long_name(void)
{
	struct vl_qemu_args a;
	char text[400] = "kvm\0-name\0guest=";

	for (size_t len = sizeof(a.guest_name) - 2; len <= sizeof(a.guest_name); len++) {
		size_t want = len < sizeof(a.guest_name) ? len : sizeof(a.guest_name) - 1;

		memset(text + 16, 'n', len);
		text[16 + len] = '\0';
		vl_qemu_args_parse(text, 17 + len, &a);
		ok(strlen(a.guest_name) == want && !a.uuid[0], "a name of %zu bytes", len);
	}
}

/* The arguments of a process that calls itself kvm, with @name for its name. */
static bool read_args(const char *name, struct vl_qemu_args *ret, bool *managed_ret)
{
	uint64_t until = vl_now_ns() + 20 * VL_NSEC_PER_SEC;
	bool good = false;
	pid_t pid = fork();

	if (!pid) {
		execl("/bin/sh", "kvm", "-c", "kill -STOP $$", "-name", name, NULL);
		_exit(99);
	}
	/* It is a copy of this program until it executes the other one. */
	do
		good = vl_qemu_args_read(pid, ret, managed_ret) && ret->is_qemu;
	while (!good && vl_now_ns() < until);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return good;
}

static void test_read_args(void)
{
	struct vl_qemu_args a;
	bool managed;

	ok(read_args("guest=web1", &a, &managed) && managed && !strcmp(a.guest_name, "web1"),
	   "a process that libvirt started");
	ok(read_args("web2", &a, &managed) && !managed && !strcmp(a.guest_name, "web2"),
	   "one that it did not start");
	ok(!vl_qemu_args_read(0x3fffffff, &a, NULL) && errno == ENOENT, "no such process");
}

static void tcp(const char *text, const char *host, unsigned int port, bool loopback)
{
	struct vl_qmp_address a;
	bool is = vl_qmp_parse_tcp(text, &a);

	ok(host ? is && a.port == port && !strcmp(a.path, host) &&
			   vl_qmp_is_loopback(a.path) == loopback :
		  !is,
	   "TCP: %s", text);
}

static void test_tcp(void)
{
	tcp("127.0.0.1:4444", "127.0.0.1", 4444, true);
	tcp("tcp:127.1.2.3:1", "127.1.2.3", 1, true);
	tcp("tcp::4444", "", 4444, true);
	tcp("0.0.0.0:65535", "0.0.0.0", 65535, true);
	tcp("localhost:4444", "localhost", 4444, true);
	tcp("[::1]:4444", "::1", 4444, true);
	tcp("192.0.2.1:4444", "192.0.2.1", 4444, false);
	tcp("[2001:db8::1]:4444", "2001:db8::1", 4444, false);
	tcp("example.org:4444", "example.org", 4444, false);
	tcp("127.0.0.1", NULL, 0, false);
	tcp("127.0.0.1:0", NULL, 0, false);
	tcp("127.0.0.1:65536", NULL, 0, false);
	tcp("127.0.0.1:+1", NULL, 0, false);
	tcp("[::1:4444", NULL, 0, false);
	tcp("/run/a:1", NULL, 0, false);
	tcp("tcp:4444", "tcp", 4444, false);
}

int main(void)
{
	char dir[] = "/tmp/vlens-proc-XXXXXX", lock[64];

	if (!mkdtemp(dir) || setenv("VLENS_RUN_DIR", dir, 1))
		return 99;
	test_tcp();
	test_stat();
	test_files(dir);
	test_pids();
	test_denied();
	test_maps();
	test_find();
	test_mapped();
	test_stopped();
	test_pending_stop();
	test_turn();
	test_args();
	test_long_name();
	test_read_args();
	snprintf(lock, sizeof(lock), "%s/test.lock", dir);
	unlink(lock);
	rmdir(dir);
	return tap_end();
}
