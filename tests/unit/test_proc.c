/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Texts of /proc, and QEMU command lines. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "host/proc.h"
#include "host/qemu_args.h"

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
		   !vl_parse_stat("42 (x) R 1 2", &state, &start),
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
	PARSE("qemu-system-x86_64\0-qmp");
	ok(!a.nr_qmp, "cut off");
	PARSE("sleep\0"
	      "100\0");
	ok(!a.is_qemu, "not a QEMU");
	vl_qemu_args_parse("", 0, &a);
	ok(!a.is_qemu, "a kernel thread has no arguments");
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
	test_tcp();
	test_stat();
	test_maps();
	test_find();
	test_args();
	return tap_end();
}
