/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bare QEMU from end to end, with no QEMU: a child of ours has the "guest's"
 * memory and answers its monitor.
 */
#include <elf.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"
#include "guest/spool.h"
#include "host/index.h"
#include "host/internal.h"
#include "host/registers.h"

#define MIB 0x100000UL

static char dir[] = "/tmp/vlens-qemu-XXXXXX";
static char spec[128];

struct machine {
	bool encrypted;
	bool lies;   /* gpa2hva gives an address where nothing is */
	bool silent; /* answers no third connection: one is for the map, one for the vCPUs */
	/* The human monitor shows no registers. A dump has the notes of so many vCPUs. */
	unsigned notes;
	bool no_elf; /* the dump is no ELF file */
};

static const char registers[] =
	"CPU#0\\r\\nRIP=ffffffff81000000 RFL=00000246\\r\\n"
	"CS =0010 0000000000000000 ffffffff 00af9b00\\r\\n"
	"SS =0018 0000000000000000 ffffffff 00cf9300\\r\\n"
	"GS =0000 ffff888000000000 00000000 00000000\\r\\n"
	"TR =0040 fffffe0000003000 00004087 00008900\\r\\n"
	"GDT=     fffffe0000001000 0000007f\\r\\nIDT=     fffffe0000000000 00000fff\\r\\n"
	"CR0=80050033 CR2=0 CR3=0000000015010000 CR4=000006f0\\r\\nEFER=0000000000000d01\\r\\n";

/* 2 MiB in a memfd, then 2 MiB of plain memory at 4 GiB. */
static const char mtree[] = "FlatView #0\\r\\n AS \\\"memory\\\", root: system\\r\\n"
			    "  0000000000000000-00000000001fffff (prio 0, ram): low\\r\\n"
			    "  0000000100000000-00000001001fffff (prio 0, ram): high\\r\\n";

/* Write to @fd what QEMU writes as a dump of one page. */
static void dump(const struct machine *m, int fd)
{
	struct {
		Elf64_Nhdr head;
		char name[8];
		struct vl_registers r;
	} __attribute__((packed))
	note = { { 5, sizeof(note.r), 0 }, "QEMU", { .version = 1, .size = sizeof(note.r) } };
	const Elf64_Ehdr eh = {
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_CORE,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(eh),
		.e_ehsize = sizeof(eh),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 1,
	};
	const Elf64_Phdr ph = {
		.p_type = PT_NOTE,
		.p_offset = sizeof(eh) + sizeof(ph),
		.p_filesz = m->notes * sizeof(note),
	};

	if (write(fd, m->no_elf ? (const void *)&ph : &eh, m->no_elf ? sizeof(ph) : sizeof(eh)) <
		    0 ||
	    write(fd, &ph, sizeof(ph)) < 0)
		_exit(1);
	for (unsigned i = 0; i < m->notes; i++) {
		note.r.cr[3] = 0x1000 * (i + 1);
		if (write(fd, &note, sizeof(note)) < 0)
			_exit(1);
	}
	close(fd);
}

static void answer(const struct machine *m, const char *cmd, char *low, char *high, char *out,
		   size_t size)
{
	if (strstr(cmd, "query-sev") && m->encrypted)
		snprintf(out, size, "\"return\": {\"enabled\": true}");
	else if (strstr(cmd, "query-sev") || (strstr(cmd, "getfd") && !m->notes) ||
		 (strstr(cmd, "info registers") && m->notes))
		snprintf(out, size, "\"error\": {\"desc\": \"not here\"}");
	else if (strstr(cmd, "info mtree -f"))
		snprintf(out, size, "\"return\": \"%s\"", mtree);
	else if (strstr(cmd, "info registers -a"))
		snprintf(out, size, "\"return\": \"%s\"", registers);
	else if (strstr(cmd, "gpa2hva 0x0"))
		snprintf(out, size,
			 "\"return\": \"Host virtual address for 0x0 (low) is %p\\r\\n\"",
			 m->lies ? (void *)0x1000 : (void *)low);
	else if (strstr(cmd, "gpa2hva 0x100000000"))
		snprintf(out, size, "\"return\": \"Host virtual address for x (high) is %p\\r\\n\"",
			 (void *)high);
	else
		snprintf(out, size, "\"return\": {}");
}

/* The next byte of @client, as getc(). A descriptor that comes with it becomes *@fd. */
static int next_byte(int client, int *fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} u;
	unsigned char c;
	struct iovec iov = { &c, 1 };
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &u,
		.msg_controllen = sizeof(u),
	};
	struct cmsghdr *cm;

	if (recvmsg(client, &mh, 0) != 1)
		return EOF;
	cm = CMSG_FIRSTHDR(&mh);
	if (cm && cm->cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(cm), sizeof(*fd));
	return c;
}

static void serve(const struct machine *m, int listener)
{
	int fd = memfd_create("guest-ram", 0);
	char *low, *high, cmd[1024], out[4096];
	size_t len;

	if (ftruncate(fd, 2 * MIB) < 0)
		_exit(1);
	low = mmap(NULL, 2 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	high = mmap(NULL, 2 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	strcpy(low + MIB, "low memory");
	strcpy(high + MIB, "high memory");
	for (int client = 0;; client++) {
		FILE *f = fdopen(accept(listener, NULL, NULL), "r+");
		int c, passed = -1;

		if (!f)
			_exit(1);
		if (m->silent && client > 1)
			pause();
		fprintf(f, "{\"QMP\": {}}\r\n");
		fflush(f);
		/* A command ends with its outer brace. */
		for (len = 0; (c = next_byte(fileno(f), &passed)) != EOF;) {
			int depth = 0, id = 0;
			char *p;

			cmd[len++] = (char)c;
			cmd[len] = '\0';
			for (p = cmd; *p; p++)
				depth += *p == '{' ? 1 : *p == '}' ? -1 : 0;
			if (depth || len < 2)
				continue;
			p = strstr(cmd, "\"id\":");
			id = p ? atoi(p + 5) : 0;
			if (strstr(cmd, "dump-guest-memory"))
				dump(m, passed);
			answer(m, cmd, low, high, out, sizeof(out));
			fprintf(f, "{\"event\": \"X\"}\r\n{%s, \"id\": %d}\r\n", out, id);
			fflush(f);
			len = 0;
		}
		fclose(f);
	}
}

static pid_t boot(const struct machine *m)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int ready[2];
	char c;
	pid_t pid;

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/qmp", dir);
	snprintf(spec, sizeof(spec), "qmp:%s", sa.sun_path);
	unlink(sa.sun_path);
	if (pipe(ready) < 0)
		exit(99);
	pid = fork();
	if (pid == 0) {
		int listener = socket(AF_UNIX, SOCK_STREAM, 0);

		if (bind(listener, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
		    listen(listener, 4) < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		serve(m, listener);
	}
	if (read(ready[0], &c, 1) != 1)
		exit(99);
	close(ready[0]);
	close(ready[1]);
	return pid;
}

static void shut_down(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static struct vl_target *opens(const char *what)
{
	struct vl_target *t = NULL;
	struct vl_error *err = vl_target_open(spec, NULL, &t);

	ok(!err, "%s%s%s", what, err ? ": " : "", err ? err->message : "");
	vl_error_destroy(err);
	return t;
}

static void refuses(const struct machine *m, const char *message)
{
	pid_t pid = boot(m);
	struct vl_target *t = NULL;
	struct vl_error *err = vl_target_open(spec, NULL, &t);

	ok(err && err->code == VL_ERR_TARGET && strstr(err->message, message) && err->hint, "%s",
	   err ? err->message : "opened");
	vl_error_destroy(err);
	if (!err)
		vl_target_close(t);
	shut_down(pid);
}

static void test_good(void)
{
	pid_t pid = boot(&(struct machine){ .silent = true });
	struct vl_target *t = opens("first attach");
	const struct vl_ram *r;
	struct vl_vcpu *v = NULL;
	struct vl_error *err;
	char buf[16];
	size_t nr;

	if (!t) {
		shut_down(pid);
		return;
	}
	ok(vl_target_pid(t) == pid && vl_target_is_live(t), "the process behind the socket");
	r = vl_target_ram(t, &nr);
	ok(nr == 2 && r[0].gpa == 0 && r[0].size == 2 * MIB && r[0].fd >= 0 &&
		   r[0].fd_offset == 0 && r[1].gpa == 0x100000000 && r[1].size == 2 * MIB &&
		   r[1].fd < 0,
	   "a memfd below, anonymous memory above");
	ok(!vl_target_read(t, MIB, buf, 11) && !strcmp(buf, "low memory"), "read below");
	ok(!vl_target_read(t, 0x100000000 + MIB, buf, 12) && !strcmp(buf, "high memory"),
	   "read above");
	err = vl_target_vcpus(t, &v, &nr);
	ok(!err && nr == 1 && v[0].cr3 == 0x15010000 && v[0].efer == 0xd01,
	   "a refused dump falls back on the human monitor%s%s", err ? ": " : "",
	   err ? err->message : "");
	vl_error_destroy(err);
	free(v);
	ok(!vl_target_pause(t), "paused");
	err = vl_target_vcpus(t, &v, &nr);
	ok(err && err->code == VL_ERR_ARG, "no monitor while frozen");
	vl_error_destroy(err);
	ok(!vl_target_read(t, MIB, buf, 11) && !vl_target_resume(t), "but memory");
	vl_target_close(t);

	/* The monitor says nothing from now on. */
	t = opens("second attach, without the monitor");
	if (t) {
		r = vl_target_ram(t, &nr);
		ok(nr == 2 && r[0].fd >= 0 && r[1].fd < 0 && !vl_target_read(t, MIB, buf, 11) &&
			   !strcmp(buf, "low memory"),
		   "the same map");
	}
	ok(t && !vl_target_alive(t), "it lives");
	shut_down(pid);
	err = t ? vl_target_alive(t) : NULL;
	ok(err && err->code == VL_ERR_TARGET && err->hint, "it has gone: %s",
	   err ? err->message : "");
	vl_error_destroy(err);
	err = t ? vl_target_read(t, 0x100000000, buf, 8) : NULL;
	ok(err && err->code == VL_ERR_TARGET, "read of what is gone: %s", err ? err->message : "");
	vl_error_destroy(err);
	err = t ? vl_target_pause(t) : NULL;
	ok(err && err->code == VL_ERR_TARGET && err->hint, "pause of what is gone: %s",
	   err ? err->message : "");
	vl_error_destroy(err);
	vl_target_close(t);
}

static unsigned passes;
static bool kept;

/* A pass in a box. */
static struct vl_error *in_box(const struct vl_index_job *job, const char *run_id,
			       struct vl_index *ret)
{
	passes++;
	kept |= job->kind != NULL;
	return vl_spool_index(job, run_id, ret);
}

/* One that a file has taken over. */
static struct vl_error *taken_over(const struct vl_index_job *job, const char *run_id,
				   struct vl_index *ret)
{
	static const struct vl_registers none = { .version = VL_REGISTERS_VERSION };
	static const uint64_t one = 1;
	struct vl_error *err = vl_index_put(ret, &one, sizeof(one));

	(void)job;
	(void)run_id;
	return err ? err : vl_index_put(ret, &none, sizeof(none));
}

/* @message: the error's; NULL: all vCPUs are right. */
static void notes(const struct machine *m,
		  struct vl_error *(*index)(const struct vl_index_job *job, const char *run_id,
					    struct vl_index *ret),
		  const char *message)
{
	const struct vl_target_options o = { .index = index };
	pid_t pid = boot(m);
	struct vl_target *t = NULL;
	struct vl_vcpu *v = NULL;
	struct vl_error *err = vl_target_open(spec, &o, &t);
	bool right;
	size_t nr = 0;

	if (!err)
		err = vl_target_vcpus(t, &v, &nr);
	if (message) {
		right = err && err->code == VL_ERR_TARGET && strstr(err->message, message);
	} else {
		right = !err && nr == m->notes;
		for (size_t i = 0; right && i < nr; i++)
			right = v[i].cr3 == 0x1000 * (i + 1) && v[i].has_kernel_gs_base;
	}
	ok(right, "the notes of a dump: %s", err ? err->message : "read");
	vl_error_destroy(err);
	free(v);
	vl_target_close(t);
	shut_down(pid);
}

static void test_notes(void)
{
	notes(&(struct machine){ .notes = 3 }, NULL, NULL);
	notes(&(struct machine){ .notes = 3 }, in_box, NULL);
	/* A kept one would have the vCPUs of the last time. */
	notes(&(struct machine){ .notes = 5 }, in_box, NULL);
	ok(passes == 2 && !kept, "each in a box, and none is kept");
	notes(&(struct machine){ .notes = 2, .no_elf = true }, in_box, "no CPU notes");
	notes(&(struct machine){ .notes = 5000 }, in_box, "makes no sense");
	notes(&(struct machine){ .notes = 1 }, taken_over, "makes no sense");
}

int main(void)
{
	char clean[64];

	if (!mkdtemp(dir))
		return 99;
	/* The second attach needs a runtime directory; root has its own. */
	setenv("XDG_RUNTIME_DIR", dir, 1);
	setenv("VLENS_CACHE_DIR", dir, 1);
	test_good();
	test_notes();
	refuses(&(struct machine){ .encrypted = true }, "encrypted");
	refuses(&(struct machine){ .lies = true }, "not mapped in process");
	snprintf(clean, sizeof(clean), "rm -rf '%s'", dir);
	if (system(clean) != 0)
		return 99;
	return tap_end();
}
