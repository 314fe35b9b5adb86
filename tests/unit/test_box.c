/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The box, from inside: hostile code in a worker reaches nothing. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "box/box.h"
#include "guest/internal.h"
#include "tap.h"

/* What the worker was given. */
static struct given {
	pid_t broker;
	int ram;	     /* a sealed memory file, open for reading */
	const char *ram_map; /* and mapped */
	const char *secret;  /* memory of the broker that a fork does not pass on */
} given;

/* --- attacks: each returns 0 when it got through, else errno --- */

static long failed(long r)
{
	return r < 0 ? errno : 0;
}

static long open_passwd(void)
{
	return failed(open("/etc/passwd", O_RDONLY));
}

static long open_root(void)
{
	return failed(open("/", O_RDONLY | O_DIRECTORY));
}

static long make_file(void)
{
	return failed(open("/x", O_CREAT | O_WRONLY, 0600));
}

static long open_self(void)
{
	return failed(open("/proc/self/mem", O_RDWR));
}

static long ram_write(void)
{
	return failed(pwrite(given.ram, "x", 1, 0));
}

static long ram_map_write(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, given.ram, 0);

	return p == MAP_FAILED ? errno : 0;
}

static long ram_protect(void)
{
	void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, given.ram, 0);

	return p == MAP_FAILED ? errno : failed(mprotect(p, 4096, PROT_READ | PROT_WRITE));
}

static long ram_punch(void)
{
	return failed(fallocate(given.ram, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
}

static long kill_broker(void)
{
	return failed(kill(given.broker, SIGTERM));
}

static long kill_all(void)
{
	return failed(kill(-1, SIGTERM));
}

static long tgkill_broker(void)
{
	return failed(syscall(SYS_tgkill, given.broker, given.broker, SIGTERM));
}

static long stay_on(void)
{
	return failed(prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0));
}

static long more_files(void)
{
	struct rlimit l = { 100000, 100000 };

	return failed(setrlimit(RLIMIT_NOFILE, &l));
}

static long a_terminal(void)
{
	return failed(ioctl(0, TIOCSTI, "x"));
}

static long a_pipe(void)
{
	int p[2];

	return failed(pipe(p));
}

static long all_memory(void)
{
	void *p = mmap(NULL, 1UL << 45, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? errno : 0;
}

static void *nothing(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static long many_threads(void)
{
	pthread_t t;

	for (int i = 0; i < 64; i++)
		if (pthread_create(&t, NULL, nothing, NULL))
			return EAGAIN;
	return 0;
}

static long its_memory(void)
{
	/* The worker has nothing mapped there, or something else. */
	return *(volatile const char *)given.secret == 's' ? 0 : EFAULT;
}

static long run_shell(void)
{
	char *const argv[] = { (char *)"sh", NULL };

	return failed(execv("/bin/sh", argv));
}

static long run_fork(void)
{
	return failed(syscall(SYS_fork));
}

static long run_clone(void)
{
	return failed(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
}

static long trace_broker(void)
{
	return failed(ptrace(PTRACE_ATTACH, given.broker, NULL, NULL));
}

static long write_broker(void)
{
	struct iovec v = { &given, 1 };

	return failed(process_vm_writev(given.broker, &v, 1, &v, 1, 0));
}

static long open_socket(void)
{
	return failed(socket(AF_INET, SOCK_STREAM, 0));
}

static long open_unix(void)
{
	return failed(socket(AF_UNIX, SOCK_STREAM, 0));
}

static long new_user(void)
{
	return failed(unshare(CLONE_NEWUSER));
}

static long mount_proc(void)
{
	return failed(mount("proc", "/", "proc", 0, NULL));
}

static long be_root(void)
{
	return failed(setuid(0));
}

static long compat_call(void)
{
	long r;

	/* getpid, as a 32-bit program has it. */
	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
	return r < 0 ? -r : 0;
}

/*
 * A host's kernel without CONFIG_IA32_EMULATION sends SIGSEGV, with or without a filter; ASan
 * makes an exit with a status of it.
 */
static bool has_compat_calls(void)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		compat_call();
		_exit(0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	       !WEXITSTATUS(status);
}

static const struct attack {
	const char *name;
	long (*run)(void);
	enum { FAILS, ENDS, FAULTS } how; /* the call; the worker, at once; one or the other */
} attacks[] = {
	{ "open a file", open_passwd, FAILS },
	{ "open the root directory", open_root, FAILS },
	{ "make a file", make_file, FAILS },
	{ "open its memory", open_self, FAILS },
	{ "write to the guest's memory", ram_write, FAILS },
	{ "map it to write", ram_map_write, FAILS },
	{ "make a mapping of it writable", ram_protect, FAILS },
	{ "punch a hole in it", ram_punch, FAILS },
	{ "kill the broker", kill_broker, FAILS },
	{ "kill everybody", kill_all, FAILS },
	{ "kill a thread of the broker", tgkill_broker, FAILS },
	{ "outlive the broker", stay_on, FAILS },
	{ "raise a limit", more_files, FAILS },
	{ "type at a terminal", a_terminal, FAILS },
	{ "make a pipe", a_pipe, FAILS },
	{ "map all memory", all_memory, FAILS },
	{ "start many threads", many_threads, FAILS },
	{ "read the broker's memory", its_memory, FAULTS },
	{ "run a shell", run_shell, ENDS },
	{ "fork", run_fork, ENDS },
	{ "clone", run_clone, ENDS },
	{ "trace the broker", trace_broker, ENDS },
	{ "write to the broker's memory", write_broker, ENDS },
	{ "open a socket", open_socket, ENDS },
	{ "open a socket of this host", open_unix, ENDS },
	{ "make a user namespace", new_user, ENDS },
	{ "mount", mount_proc, ENDS },
	{ "become root", be_root, ENDS },
	{ "a system call of another architecture", compat_call, ENDS },
};
#define NR_ATTACKS ARRAY_SIZE(attacks)

/* --- in the worker --- */

static struct vl_error *prepare(void *ctx, struct vl_box_fds *keep)
{
	(void)ctx;
	vl_box_keep(keep, given.ram);
	return NULL;
}

/* Run attack value[0]; value[1] is its result. */
static void attack(void *ctx, struct vl_wire *wire, int link)
{
	struct vl_message m;

	(void)ctx;
	while (vl_wire_hear(wire, VL_CHANNEL_MAIN, link, &m)) {
		m.value[1] = (uint64_t)attacks[m.value[0]].run();
		m.op = VL_OP_REPLY;
		vl_wire_say(wire, VL_CHANNEL_MAIN, &m);
	}
}

/* @beside: the box whose namespaces it shares, and lendable; NULL: not so. */
static struct vl_box *box_beside(const struct vl_box *beside,
				 void (*fn)(void *ctx, struct vl_wire *wire, int link))
{
	struct vl_box_options o = {
		.name = "vlens-test",
		.does = "is tested",
		.memory = 1UL << 30,
		.lendable = beside != NULL,
		.beside = beside,
		.prepare = prepare,
		.work = fn,
	};
	struct vl_box *b;

	return vl_discard(vl_box_start(&o, &b)) ? NULL : b;
}

static struct vl_box *box_of(void (*fn)(void *ctx, struct vl_wire *wire, int link))
{
	return box_beside(NULL, fn);
}

#define SECOND 1000000000UL

static void test_attacks(const struct vl_box *beside)
{
	struct vl_box *b = NULL;

	for (size_t i = 0; i < NR_ATTACKS; i++) {
		const struct attack *a = &attacks[i];
		struct vl_message m = { .op = 1, .value = { i } };
		struct vl_error *err;

		/* The limit counts all threads of an ordinary user. */
		if (a->run == many_threads && geteuid())
			continue;
		if (a->run == compat_call && !has_compat_calls())
			continue;
		if (!b)
			b = box_beside(beside, attack);
		if (!ok(b, "a box %sfor: %s", beside ? "beside another " : "", a->name))
			return;
		err = vl_box_ask(b, &m, 20 * SECOND, NULL, NULL);
		ok(err ? a->how != FAILS : a->how != ENDS && m.value[1], "cannot %s: %s", a->name,
		   err ? err->message : strerror((int)m.value[1]));
		if (a->how == ENDS)
			ok(vl_box_attacked(b), "and it is known for an attack");
		if (err)
			ok(vl_discard(vl_box_ask(b, &m, SECOND, NULL, NULL)),
			   "nobody answers any more");
		if (err) {
			vl_box_stop(b);
			b = NULL;
		}
		vl_error_destroy(err);
	}
	vl_box_stop(b);
}

/* --- what a box is --- */

/* The text of a line of /proc/PID/status. */
static bool status_is(pid_t pid, const char *key, const char *want)
{
	char path[64], line[256];
	bool is = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ':')
			is = !strncmp(line + strlen(key) + 2, want, strlen(want));
	if (f)
		fclose(f);
	return is;
}

/* Is its namespace of this kind another one than ours? */
static bool has_own(pid_t pid, const char *kind)
{
	char path[64];
	struct stat ours, its;

	snprintf(path, sizeof(path), "/proc/self/ns/%s", kind);
	if (stat(path, &ours))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kind);
	return !stat(path, &its) && ours.st_ino != its.st_ino;
}

static void test_box(void)
{
	struct vl_box *b = box_of(attack);
	const struct vl_box_report *r;
	char text[VL_BOX_TEXT], path[64];
	struct stat st;
	pid_t pid;

	if (!ok(b, "a box"))
		return;
	pid = vl_box_pid(b);
	r = vl_box_report(b);
	vl_box_describe(r, text);
	ok(r->has & VL_BOX_FILTER && r->has & VL_BOX_LIMITS, "it has: %s (%s)", text, r->missing);
	ok(status_is(pid, "Seccomp", "2"), "a filter of system calls");
	ok(status_is(pid, "NoNewPrivs", "1"), "no new privileges");
	ok(status_is(pid, "CapEff", "0000000000000000") &&
		   status_is(pid, "CapPrm", "0000000000000000"),
	   "no capability");
	if (!geteuid()) {
		ok(r->has == VL_BOX_ALL, "root can have all of it");
		ok(status_is(pid, "CapBnd", "0000000000000000"), "and none to get");
		ok(has_own(pid, "net") && has_own(pid, "mnt") && has_own(pid, "ipc") &&
			   has_own(pid, "uts") && has_own(pid, "pid"),
		   "namespaces of its own");
		snprintf(path, sizeof(path), "/proc/%d", (int)pid);
		ok(r->uid >= 0x80000000u && !stat(path, &st), "a user id that nobody has");
		snprintf(path, sizeof(path), "/proc/%d/root/proc", (int)pid);
		ok(stat(path, &st) && errno == ENOENT, "an empty root directory");
	}
	vl_box_stop(b);
	ok(kill(pid, 0) && errno == ESRCH, "it is gone after that");
}

/* Nobody waits for the worker: its status is still to be had. */
static void test_leave(void)
{
	struct vl_box *b = box_of(attack);
	int status;
	pid_t pid;

	if (!ok(b, "a box"))
		return;
	pid = vl_box_pid(b);
	vl_box_end(b, false);
	ok(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
	   "a worker that nobody waits for is killed");
}

/* --- a worker for another process --- */

static ino_t namespace_of(pid_t pid, const char *kind)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kind);
	return stat(path, &st) ? 0 : st.st_ino;
}

/* The properties of a box that shares the namespaces of another. */
static void test_beside(const struct vl_box *first, const struct vl_box *b)
{
	const char *const shared[] = { "net", "mnt", "ipc", "uts" };
	pid_t pid = vl_box_pid(b);

	ok(status_is(pid, "Seccomp", "2") && status_is(pid, "CapEff", "0000000000000000") &&
		   status_is(pid, "NoNewPrivs", "1"),
	   "a filter, and no rights");
	if (geteuid())
		return;
	ok(vl_box_report(b)->has == VL_BOX_ALL, "root can have all of it beside another");
	ok(status_is(pid, "CapBnd", "0000000000000000"), "and no capability to get");
	ok(vl_box_report(b)->uid >= 0x80000000u &&
		   vl_box_report(b)->uid != vl_box_report(first)->uid,
	   "a user id of its own");
	for (size_t i = 0; i < ARRAY_SIZE(shared); i++)
		ok(has_own(pid, shared[i]) && namespace_of(pid, shared[i]) ==
						      namespace_of(vl_box_pid(first), shared[i]),
		   "it takes the empty one: %s", shared[i]);
	ok(namespace_of(pid, "pid") != namespace_of(vl_box_pid(first), "pid") &&
		   has_own(pid, "pid"),
	   "but sees no process");
}

/* The connection over which a worker is lent. */
static bool connection(int sv[2])
{
	return !socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv);
}

static void test_lend(void)
{
	struct vl_box *first = box_of(attack), *b = box_beside(first, attack), *c;
	struct vl_message m = { .op = 1 };
	int sv[2];
	pid_t pid;

	if (!ok(first && b && connection(sv), "a box beside another"))
		return;
	test_beside(first, b);
	ok(!vl_box_borrow(sv[1], 0, "is tested"), "nothing comes of who lends nothing");
	ok(!vl_box_lend(first, sv[0]), "one that was not made for it is not lent");
	pid = vl_box_pid(b);
	ok(vl_box_lend(b, sv[0]), "a worker is lent");
	c = vl_box_borrow(sv[1], 1000, "is tested");
	if (!ok(c && vl_box_is_borrowed(c) && vl_box_pid(c) == pid, "and taken"))
		return;
	ok(!vl_box_wait(c) && vl_box_report(c)->has == vl_box_report(b)->has, "as what it is");
	ok(!vl_box_ask(c, &m, 5 * SECOND, NULL, NULL) && m.value[1], "it answers, from its box");
	vl_box_stop(b);
	ok(kill(pid, 0) && errno == ESRCH, "who lent it can end it");
	ok(vl_discard(vl_box_ask(c, &m, 5 * SECOND, NULL, NULL)), "which is noticed");
	vl_box_stop(c);
	close(sv[0]);

	b = box_beside(first, attack);
	if (!ok(b && connection(sv) && vl_box_lend(b, sv[0]), "another one is lent"))
		return;
	c = vl_box_borrow(sv[1], 1000, "is tested");
	ok(c, "and taken");
	vl_box_stop(c);
	ok(!recv(sv[0], &m, 1, 0), "its end is seen where it came from");
	vl_box_stop(b);
	close(sv[0]);

	b = box_beside(first, attack);
	if (!ok(b && connection(sv), "one that dies"))
		return;
	kill(vl_box_pid(b), SIGKILL);
	ok(waitid(P_PID, (id_t)vl_box_pid(b), &(siginfo_t){ 0 }, WEXITED | WNOWAIT) == 0 &&
		   !vl_box_lend(b, sv[0]),
	   "is not lent");
	vl_box_stop(b);
	close(sv[0]);
	close(sv[1]);
	vl_box_stop(first);
}

int main(void)
{
	char *secret = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct vl_box *first;
	char path[64];
	int fd = memfd_create("ram", MFD_ALLOW_SEALING);

	if (secret == MAP_FAILED || fd < 0 || ftruncate(fd, 65536))
		return 1;
	*secret = 's';
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	given.broker = getpid();
	given.secret = secret;
	given.ram = open(path, O_RDONLY | O_CLOEXEC);
	test_box();
	test_leave();
	test_attacks(NULL);
	first = box_of(attack);
	test_attacks(first);
	vl_box_stop(first);
	test_lend();
	return tap_end();
}
