/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where a QEMU has its monitor, by its command line, and what tools note about a monitor. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/dirs.h"
#include "host/monitor.h"
#include "host/qemu_args.h"
#include "tap.h"

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

int main(void)
{
	char dir[] = "/tmp/vlens-monitor-XXXXXX", lock[64];

	if (!mkdtemp(dir) || setenv("VLENS_RUN_DIR", dir, 1))
		return 99;
	test_tcp();
	test_args();
	test_long_name();
	test_read_args();
	test_turn();
	snprintf(lock, sizeof(lock), "%s/test.lock", dir);
	unlink(lock);
	rmdir(dir);
	return tap_end();
}
