// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Makes known state inside a test guest, for the tests to find again from
 * outside.  One static program, several roles by its first argument:
 *
 *   init (by that name)   PID 1: starts the two below, then reaps
 *   factory agent TTY     runs commands that come over a serial port (agent.c)
 *   factory make          makes the state, then sleeps
 *   factory crowd N       forks until there are N processes; they stay
 *   factory mappings N    starts a process with N mappings, which stays; prints its PID
 *   factory title TEXT    starts one that writes TEXT over its arguments; prints its PID
 *   factory burst ..., rise ..., listen ..., threads ...    events, see events.c
 *
 * A process that "make" made gets its role by the environment (FACTORY_ROLE),
 * so that its command line can be anything.
 *
 * The kernel command line says how much (vlens.procs=N: fill up to N processes)
 * and how busy (vlens.mode=quiet|busy|spin).  /run/factory/pids lists what was
 * made, one "NAME PID" a line.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "factory.h"

#define SELF "/proc/self/exe"
#define PIDS "/run/factory/pids"

enum { UID_ALICE = 4242, UID_FACTORY = 4243 };

static const uid_t uids[] = { 0, UID_ALICE, UID_FACTORY };

/* A role closes this descriptor when it is as it is going to stay. */
enum { READY_FD = 3 };

/* Processes with a command line of their own; what is beyond is a crowd. */
enum { SLEEPERS_MAX = 1000 };

void die(const char *what)
{
	fprintf(stderr, "factory: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static void ready(void)
{
	close(READY_FD);
}

static void sleep_for_ever(void)
{
	for (;;)
		pause();
}

/* The value of "key=" on the kernel command line, or fallback; good until the next call. */
static const char *kernel_option(const char *key, const char *fallback)
{
	static char line[4096];
	char *word, *rest = line;
	FILE *f = fopen("/proc/cmdline", "r");

	if (!f || !fgets(line, sizeof(line), f))
		die("/proc/cmdline");
	fclose(f);
	while ((word = strsep(&rest, " \n")))
		if (!strncmp(word, key, strlen(key)) && word[strlen(key)] == '=')
			return word + strlen(key) + 1;
	return fallback;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		die(path);
	close(fd);
}

static void note_pid(const char *name, pid_t pid)
{
	FILE *f = fopen(PIDS, "a");

	if (!f)
		die(PIDS);
	fprintf(f, "%s %d\n", name, pid);
	fclose(f);
}

static void become(uid_t uid)
{
	if (setgroups(0, NULL) || setgid(uid) || setuid(uid))
		die("setuid");
}

static void pin_to(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
}

/*
 * Starts a child with a command line of its own, as user uid, pinned to a CPU
 * unless that is negative; returns when it is ready.
 */
static void spawn(const char *role, uid_t uid, int cpu, char *const argv[])
{
	int started[2];
	char c;
	pid_t pid;

	if (pipe(started))
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		char *env[] = { NULL, "HOME=/", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };

		if (asprintf(&env[0], "FACTORY_ROLE=%s", role) < 0)
			die("asprintf");
		if (cpu >= 0)
			pin_to(cpu);
		if (uid)
			become(uid);
		dup2(started[1], READY_FD);
		for (int i = 0; i < 2; i++)
			if (started[i] != READY_FD)
				close(started[i]);
		execve(SELF, argv, env);
		die("execve");
	}
	close(started[1]);
	if (read(started[0], &c, 1) < 0)
		die(role);
	close(started[0]);
	note_pid(role, pid);
}

/* Spawns one, with its role as argv[0] and up to three words behind it. */
static void make(const char *role, uid_t uid, ...)
{
	char *argv[5] = { (char *)role };
	va_list ap;

	va_start(ap, uid);
	for (int i = 1; i < 4 && (argv[i] = va_arg(ap, char *)); i++)
		;
	va_end(ap);
	spawn(role, uid, -1, argv);
}

/* ---- roles ------------------------------------------------------------ */

static void *worker(void *arg)
{
	char name[16];

	snprintf(name, sizeof(name), "worker-%d", (int)(long)arg);
	prctl(PR_SET_NAME, name);
	sleep_for_ever();
	return NULL;
}

static void role_threads(void)
{
	pthread_t t;

	for (long i = 0; i < 4; i++)
		if (pthread_create(&t, NULL, worker, (void *)i))
			die("pthread_create");
}

/* A name that would clear a terminal and end a line, if it were printed raw. */
static void role_escape(void)
{
	prctl(PR_SET_NAME, "\033[2J\nevil\t\177");
}

static void role_listener(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons(4242),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/tmp/factory.sock" };
	int tcp = socket(AF_INET, SOCK_STREAM, 0);
	int udp = socket(AF_INET, SOCK_DGRAM, 0);
	int loc = socket(AF_UNIX, SOCK_STREAM, 0);
	int peer = socket(AF_INET, SOCK_STREAM, 0);

	if (bind(tcp, (struct sockaddr *)&in, sizeof(in)) || listen(tcp, 5) ||
	    bind(loc, (struct sockaddr *)&un, sizeof(un)) || listen(loc, 5))
		die("listener");
	/* An established connection, both ends here. */
	if (connect(peer, (struct sockaddr *)&in, sizeof(in)) || accept(tcp, NULL, NULL) < 0)
		die("connect");
	in.sin_port = htons(4343);
	if (bind(udp, (struct sockaddr *)&in, sizeof(in)))
		die("udp");
}

/* PID 1 of a container: sees its own processes, host name and files only. */
static void container_init(void)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("proc", "/proc", "proc", 0, NULL) || mount("inside", "/mnt", "tmpfs", 0, NULL) ||
	    sethostname("container", strlen("container")))
		die("container");
	write_file("/mnt/inside", "only the container sees this\n");
	if (!fork()) {
		prctl(PR_SET_NAME, "contained");
		become(UID_ALICE);
	}
	ready();
	sleep_for_ever();
}

static void role_container(void)
{
	pid_t pid;

	if (unshare(CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC))
		die("unshare");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		prctl(PR_SET_NAME, "container-init");
		container_init();
	}
	note_pid("container-init", pid);
}

/* Forks and executes without pause. */
static void role_forker(void)
{
	char *argv[] = { "exit", NULL };

	ready();
	for (;;) {
		pid_t pid = fork();

		if (!pid) {
			char *env[] = { "FACTORY_ROLE=exit", NULL };

			execve(SELF, argv, env);
			_exit(1);
		}
		waitpid(pid, NULL, 0);
	}
}

static void role_spinner(void)
{
	ready();
	for (;;)
		__asm__ volatile("" ::: "memory");
}

/*
 * Takes another user's rights and gives them back, as fast as it can: each time
 * the kernel gives the task another struct cred. Only on demand:
 * FACTORY_ROLE=flipper /sbin/init flipper
 */
static void role_flipper(void)
{
	ready();
	for (;;)
		if (seteuid(UID_ALICE) || seteuid(0))
			die("seteuid");
}

static void role_realtime(void)
{
	struct sched_param p = { .sched_priority = 5 };

	if (sched_setscheduler(0, SCHED_FIFO, &p))
		die("sched_setscheduler");
}

static void role_nice(void)
{
	errno = 0;
	if (nice(7) == -1 && errno)
		die("nice");
}

static void role_stopped(void)
{
	ready();
	raise(SIGSTOP);
}

static void role_sleeper(void)
{
}

static const struct role {
	const char *name;
	void (*run)(void);
} roles[] = {
	{ "sleeper", role_sleeper },	 { "threads", role_threads }, { "escape", role_escape },
	{ "long", role_sleeper },	 { "stopped", role_stopped }, { "listener", role_listener },
	{ "container", role_container }, { "forker", role_forker },   { "spinner", role_spinner },
	{ "realtime", role_realtime },	 { "nice", role_nice },	      { "flipper", role_flipper },
};

static int run_role(const char *name)
{
	if (!strcmp(name, "exit"))
		return 0;
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		if (strcmp(roles[i].name, name))
			continue;
		prctl(PR_SET_NAME, name);
		roles[i].run();
		ready();
		sleep_for_ever();
	}
	errno = EINVAL;
	die(name);
	return 1;
}

/* ---- making it all ---------------------------------------------------- */

static int count_processes(void)
{
	DIR *d = opendir("/proc");
	struct dirent *e;
	int n = 0;

	if (!d)
		die("/proc");
	while ((e = readdir(d)))
		n += e->d_name[0] >= '1' && e->d_name[0] <= '9';
	closedir(d);
	return n;
}

/* The limits of a kernel are by its memory; these are for any number of processes. */
static void lift_limits(void)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	write_file("/proc/sys/kernel/pid_max", "4194304\n");
	write_file("/proc/sys/kernel/threads-max", "1000000\n");
	if (setrlimit(RLIMIT_NPROC, &all))
		die("setrlimit");
}

/* One of a crowd: a fork that executes nothing, so it shares most pages: about 100 KiB each. */
static void fork_one(uid_t uid)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (!pid) {
		if (uid)
			become(uid);
		prctl(PR_SET_NAME, "crowd");
		sleep_for_ever();
	}
}

static void make_crowd(int count)
{
	lift_limits();
	for (int i = 0; i < count; i++)
		fork_one(uids[i % 3]);
}

/* The kernel does not merge neighbours whose protection differs. */
static void make_mappings(int count)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *base = mmap(NULL, (size_t)count * page, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (base == MAP_FAILED)
		die("mmap");
	prctl(PR_SET_NAME, "mappings");
	for (int i = 1; i < count; i += 2)
		if (mprotect(base + (size_t)i * page, page, PROT_READ))
			die("mprotect");
}

static char *arguments;
static const char *title;

/* As setproctitle(3) does, over the arguments and on into the environment. */
static void make_title(int len)
{
	memcpy(arguments, title, (size_t)len);
	arguments[len] = '\0';
}

/* Calls @make_it in a process that stays; returns its PID when that is done, 0 if it failed. */
static pid_t leave_behind(void (*make_it)(int), int count)
{
	int started[2];
	pid_t pid;
	char c;

	if (pipe2(started, O_CLOEXEC))
		die("pipe");
	pid = fork();
	switch (pid) {
	case -1:
		die("fork");
		break;
	case 0:
		setsid();
		for (int fd = 0; fd < 3; fd++)
			dup2(open("/dev/null", O_RDWR | O_CLOEXEC), fd);
		make_it(count);
		if (write(started[1], "", 1) != 1)
			die("pipe");
		sleep_for_ever();
	}
	close(started[1]);
	return read(started[0], &c, 1) == 1 ? pid : 0;
}

static int run_mappings(int count)
{
	pid_t pid = leave_behind(make_mappings, count);

	if (pid)
		printf("%d\n", pid);
	return pid ? 0 : 1;
}

static void make_long(void)
{
	enum { WORDS = 80 };
	char *argv[WORDS + 2] = { "long" };

	for (int i = 1; i <= WORDS; i++)
		if (asprintf(&argv[i],
			     "--option-%02d=a-value-that-makes-this-line-longer-than-a-page",
			     i) < 0)
			die("asprintf");
	spawn("long", UID_FACTORY, -1, argv);
}

static void make_zombie(void)
{
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_NAME, "zombie");
		_exit(3);
	}
	note_pid("zombie", pid);
	/* Dead before the marker is printed, but never reaped. */
	waitid(P_PID, pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT);
}

static void make_all(void)
{
	const char *mode = kernel_option("vlens.mode", "quiet");
	const char *role = !strcmp(mode, "busy") ? "forker" :
			   !strcmp(mode, "spin") ? "spinner" :
						   NULL;
	int cpus = sysconf(_SC_NPROCESSORS_ONLN), have;
	int want = atoi(kernel_option("vlens.procs", "0"));

	mkdir("/run/factory", 0755);
	write_file(PIDS, "");
	make("threads", UID_ALICE, "--threads", "5", NULL);
	make("escape", UID_ALICE, "--name=\033[31mred\033[0m", "two\nlines", "bad\xff\xfeutf8\r\b");
	make("stopped", UID_ALICE, NULL);
	make("listener", UID_FACTORY, "--tcp=127.0.0.1:4242", "--unix=/tmp/factory.sock", NULL);
	make("container", 0, NULL);
	make("realtime", 0, NULL);
	make("nice", UID_FACTORY, "an argument with blanks", "", NULL);
	make_long();
	make_zombie();
	have = count_processes() + (role ? cpus : 0);
	for (int i = 0; i < want - have && i < SLEEPERS_MAX; i++) {
		char number[24];

		snprintf(number, sizeof(number), "--number=%d", i);
		make("sleeper", uids[i % 3], number, NULL);
	}
	if (want - have > SLEEPERS_MAX)
		make_crowd(want - have - SLEEPERS_MAX);
	/* Last, as they leave little for others. */
	for (int cpu = 0; role && cpu < cpus; cpu++)
		spawn(role, UID_FACTORY, cpu, (char *[]){ (char *)role, NULL });
}

static int run_make(void)
{
	static const char marker[] = "\nvlens-guest: ready\n";
	int console;

	make_all();
	console = open("/dev/console", O_WRONLY | O_NOCTTY);
	if (console < 0 || write(console, marker, sizeof(marker) - 1) < 0)
		die("/dev/console");
	close(console);
	sleep_for_ever();
	return 0;
}

static int run_init(void)
{
	if (!fork()) {
		setsid();
		execl("/sbin/factory", "factory", "agent", "/dev/ttyS1", NULL);
		die("agent");
	}
	if (!fork()) {
		setsid();
		execl("/sbin/factory", "factory", "make", NULL);
		die("make");
	}
	for (;;)
		if (wait(NULL) < 0)
			pause();
	return 0;
}

static int run_title(char **argv)
{
	static char room[256] = "FACTORY_ROOM=";
	pid_t pid;

	/* The arguments of this one are followed by enough of an environment. */
	if (!getenv("FACTORY_ROOM")) {
		memset(room + strlen(room), 'x', sizeof(room) - strlen(room) - 1);
		execve(SELF, argv, (char *[]){ room, NULL });
		die("execve");
	}
	title = strdup(argv[2]);
	arguments = argv[0];
	pid = leave_behind(make_title, (int)strlen(title));
	printf("%d\n", (int)pid);
	return pid ? 0 : 1;
}

int main(int argc, char **argv)
{
	const char *role = getenv("FACTORY_ROLE");

	if (role)
		return run_role(role);
	if (getpid() == 1)
		return run_init();
	if (argc > 1 && !strcmp(argv[1], "make"))
		return run_make();
	if (argc > 2 && !strcmp(argv[1], "agent"))
		return run_agent(argv[2]);
	if (argc > 2 && !strcmp(argv[1], "crowd"))
		return leave_behind(make_crowd, atoi(argv[2]) - count_processes() - 1) ? 0 : 1;
	if (argc > 2 && !strcmp(argv[1], "mappings"))
		return run_mappings(atoi(argv[2]));
	if (argc > 2 && !strcmp(argv[1], "title"))
		return run_title(argv);
	if (run_event(argc - 1, argv + 1))
		return 0;
	fprintf(stderr, "Usage: factory make | factory agent TTY | factory crowd N | "
			"factory mappings N | factory title TEXT\n");
	return 2;
}
