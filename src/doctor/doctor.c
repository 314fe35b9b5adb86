/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The examination of the host: its kernel, the user's rights, libraries. */
#include "doctor.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/append.h"
#include "../base/codec.h"
#include "../base/cleanup.h"
#include "../base/library.h"
#include "../base/process.h"
#include "../box/box.h"
#include "../host/drivers.h"
#include "../redirect/child.h"
#include "../redirect/redirect.h"
#include "../base/dirs.h"
#include "../view/scan.h"
#include "../native/executor.h"
#include "../trust/archive.h"
#include "../trust/store.h"
#include "../vmst/executors.h"

const struct vl_column vl_doctor_columns[] = {
	[VL_DOCTOR_AREA] = { "AREA", VL_CELL_TEXT, true, .doc = "host, programs, or the guest" },
	[VL_DOCTOR_CHECK] = { "CHECK", VL_CELL_TEXT, true, .doc = "what was looked at" },
	[VL_DOCTOR_STATE] = { "STATE", VL_CELL_TEXT, true, .doc = "ok, warning or problem" },
	[VL_DOCTOR_FINDING] = { "FINDING", VL_CELL_TEXT, true, .doc = "what was found" },
	[VL_DOCTOR_ADVICE] = { "ADVICE", VL_CELL_TEXT, true, .doc = "what to do about it" },
	{ 0 },
};

void vl_doctor_row(struct vl_doctor *d, const char *check, enum vl_doctor_state state,
		   const char *advice, const char *fmt, ...)
{
	static const char *const states[] = { "ok", "warning", "problem" };
	va_list ap;

	vl_table_row(d->table);
	vl_table_str(d->table, VL_DOCTOR_AREA, d->area);
	vl_table_str(d->table, VL_DOCTOR_CHECK, check);
	vl_table_str(d->table, VL_DOCTOR_STATE, states[state]);
	va_start(ap, fmt);
	vl_table_vprintf(d->table, VL_DOCTOR_FINDING, fmt, ap);
	va_end(ap);
	vl_table_str(d->table, VL_DOCTOR_ADVICE, advice);
	d->warnings += state == VL_DOCTOR_WARNING;
	d->problems += state == VL_DOCTOR_PROBLEM;
}

void vl_doctor_error(struct vl_doctor *d, const char *check, enum vl_doctor_state state,
		     const struct vl_error *err)
{
	vl_doctor_row(d, check, state, err->hint, "%s", err->message);
}

/* The first line of a small file, without its end; false: there is none. */
static bool first_line(const char *path, char *buf, size_t size)
{
	FILE *f = fopen(path, "re");
	bool ok = f && fgets(buf, (int)size, f);

	if (f)
		fclose(f);
	if (ok)
		buf[strcspn(buf, "\n")] = '\0';
	return ok;
}

static bool has_capability(unsigned int bit)
{
	return vl_proc_number("CapEff", 16, 0, "/proc/self/status") >> bit & 1;
}

#define CAP_SYS_PTRACE 19 /* linux/capability.h */

static void check_user(struct vl_doctor *d)
{
	bool may = has_capability(CAP_SYS_PTRACE);
	char scope[16] = "0";

	if (may) {
		vl_doctor_row(d, "user", VL_DOCTOR_OK, NULL,
			      "%s: may look into and hold guests of all users",
			      geteuid() ? "not root, but with CAP_SYS_PTRACE" :
					  "root, with CAP_SYS_PTRACE");
		return;
	}
	if (!geteuid()) {
		vl_doctor_row(d, "user", VL_DOCTOR_PROBLEM,
			      "in a container: start it with CAP_SYS_PTRACE, and in the host's "
			      "PID namespace",
			      "root without CAP_SYS_PTRACE: other processes' memory is closed");
		return;
	}
	/* Documentation/admin-guide/LSM/Yama.rst: 1 is own children only. */
	first_line("/proc/sys/kernel/yama/ptrace_scope", scope, sizeof(scope));
	vl_doctor_row(
		d, "user", VL_DOCTOR_WARNING, "run as root for guests of the system's libvirt",
		"user %u: %s", (unsigned int)geteuid(),
		*scope > '0' ? "no live guests, as kernel.yama.ptrace_scope is set; dumps only" :
			       "guests of your own session, and dumps, only");
}

/* Can a program that we start be traced? */
static void check_ptrace(struct vl_doctor *d)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid)
		_exit(ptrace(PTRACE_TRACEME, 0, 0, 0) ? errno : 0);
	if (pid < 0) {
		vl_doctor_row(d, "ptrace", VL_DOCTOR_PROBLEM, "see ulimit -u",
			      "cannot start a process: %s", strerror(errno));
		return;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		vl_doctor_row(d, "ptrace", VL_DOCTOR_OK, NULL, "allowed for programs we start");
	else
		vl_doctor_row(d, "ptrace", VL_DOCTOR_PROBLEM,
			      "see sysctl kernel.yama.ptrace_scope (3 forbids all), and the "
			      "container's seccomp profile",
			      "forbidden: %s",
			      strerror(WIFEXITED(status) ? WEXITSTATUS(status) : EPERM));
}

static void check_security(struct vl_doctor *d)
{
	char text[256] = "";

	if (first_line("/sys/fs/selinux/enforce", text, sizeof(text)) && *text == '1')
		vl_doctor_row(d, "security", VL_DOCTOR_OK,
			      "should a guest be refused to root: ausearch -m avc -ts recent",
			      "SELinux is enforcing; an administrator's shell is not confined");
	else if (first_line("/sys/module/apparmor/parameters/enabled", text, sizeof(text)) &&
		 *text == 'Y')
		vl_doctor_row(d, "security", VL_DOCTOR_OK,
			      "should a guest be refused to root: look for apparmor=\"DENIED\" in "
			      "the kernel log",
			      "AppArmor is on; an administrator's shell is not confined");
	else
		vl_doctor_row(d, "security", VL_DOCTOR_OK, NULL,
			      "neither SELinux nor AppArmor is in the way");
}

static void check_uffd(struct vl_doctor *d)
{
	static const char path[] = "/proc/sys/vm/unprivileged_userfaultfd";
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	char text[16] = "?";
	bool all = fd >= 0;

	if (fd < 0 && errno == EPERM)
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	first_line(path, text, sizeof(text));
	if (fd < 0) {
		vl_doctor_row(d, "userfaultfd", VL_DOCTOR_PROBLEM,
			      "the host's kernel needs CONFIG_USERFAULTFD, a container the right "
			      "to the system call",
			      "not available: %s", strerror(errno));
		return;
	}
	close(fd);
	vl_doctor_row(d, "userfaultfd", VL_DOCTOR_OK, NULL,
		      "works%s (vm.unprivileged_userfaultfd is %s)",
		      all ? "" : ", for faults of user mode, which is enough", text);
}

/* The confinement of a program that we start, besides its filter: tried in a child. */
static void check_confinement(struct vl_doctor *d)
{
	static const int none[VL_CHILD_SPACES] = { -1, -1 };
	const unsigned int failed = 0x80;
	char text[VL_CONFINED_TEXT];
	unsigned int done = 0;
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		vl_confine_given();
		_exit((int)(vl_confine_begin(-1, &done) && vl_confine_end(none, &done) ? done :
											 failed));
	}
	if (pid > 0)
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	done = pid > 0 && WIFEXITED(status) ? (unsigned int)WEXITSTATUS(status) : failed;
	vl_confined_describe(done, text);
	if (done & failed)
		vl_doctor_row(d, "confinement", VL_DOCTOR_PROBLEM, "is /proc mounted?",
			      "a program cannot be confined");
	else if (done & (VL_CONFINED_MOUNTS | VL_CONFINED_LANDLOCK))
		vl_doctor_row(d, "confinement", VL_DOCTOR_OK, NULL, "programs have %s", text);
	else
		vl_doctor_row(
			d, "confinement", VL_DOCTOR_WARNING,
			"a host kernel with Landlock, or root with CAP_SYS_ADMIN, adds a wall",
			"programs are confined by their filter alone");
}

static void check_seccomp(struct vl_doctor *d)
{
	struct seccomp_notif_sizes sizes;
	uint32_t action = SECCOMP_RET_USER_NOTIF;

	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) ||
	    syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes))
		vl_doctor_row(d, "seccomp", VL_DOCTOR_PROBLEM,
			      "the host's kernel must be 5.9 or later, with CONFIG_SECCOMP_FILTER",
			      "no user notification: %s", strerror(errno));
	else
		vl_doctor_row(d, "seccomp", VL_DOCTOR_OK, NULL, "user notification works");
}

static void idle(void *ctx, struct vl_wire *wire, int link)
{
	(void)ctx, (void)wire, (void)link;
}

/* The box around the guest's code on this host. */
static void check_box(struct vl_doctor *d)
{
	const struct vl_box_options o = {
		.name = "vlens-clone", .does = "was to be in it", .memory = 1UL << 28, .work = idle
	};
	const struct vl_box_report *r;
	char text[VL_BOX_TEXT];
	struct vl_box *b;
	struct vl_error *err = vl_box_start(&o, &b);

	if (err) {
		vl_doctor_error(d, "box", VL_DOCTOR_PROBLEM, err);
		vl_error_destroy(err);
		return;
	}
	r = vl_box_report(b);
	vl_box_describe(r, text);
	if (r->has == VL_BOX_ALL)
		vl_doctor_row(d, "box", VL_DOCTOR_OK, NULL, "for the guest's code: %s", text);
	else
		vl_doctor_row(d, "box", geteuid() ? VL_DOCTOR_OK : VL_DOCTOR_WARNING,
			      geteuid() ? "run as root, which can have more" :
					  "a container must allow namespaces (CAP_SYS_ADMIN)",
			      "for the guest's code: %s; %s", text,
			      *r->missing ? r->missing : "no user of its own");
	vl_box_stop(b);
}

/* Without virtualization, can the guest's code run rewritten on this processor? */
static void check_native(struct vl_doctor *d)
{
	const struct vl_vcpu_state nothing = { 0 };
	const char *why = vl_native_unfit(&nothing);

	if (why)
		vl_doctor_row(d, "native", VL_DOCTOR_WARNING,
			      "an emulator runs the guest's code, three times slower",
			      "rewritten code cannot run: %s", why);
	else
		vl_doctor_row(d, "native", VL_DOCTOR_OK, NULL, "rewritten code can run");
}

/* Unicorn's releases below 2.1 have no working MMU for x86. */
#define UNICORN_LEAST 0x201

static void check_unicorn(struct vl_doctor *d)
{
	static const struct vl_library library = { "libunicorn.so.2", "Unicorn", "" };
	static const char *const name = "uc_version";
	unsigned int (*version)(unsigned int *major, unsigned int *minor) = NULL;
	const struct vl_vcpu_state nothing = { 0 };
	struct vl_error *err = vl_emulator_load();
	unsigned int major = 0, minor = 0, word = 0;

	if (err) {
		/* Unicorn runs what rewritten code cannot, and five levels of page tables. */
		vl_doctor_error(d, "unicorn",
				vl_native_unfit(&nothing) ? VL_DOCTOR_PROBLEM : VL_DOCTOR_WARNING,
				err);
		vl_error_destroy(err);
		return;
	}
	if (!vl_discard(vl_library_load(&library, &name, 1, &version)))
		word = version(&major, &minor);
	/* UC_MAKE_VERSION: major, minor, then (2.0.2 and later) patch and extra, 8 bits each. */
	if (word && (major << 8 | minor) < UNICORN_LEAST)
		vl_doctor_row(d, "unicorn", VL_DOCTOR_PROBLEM,
			      "install 2.1 or later (Debian 13 has it: libunicorn2t64)",
			      "%u.%u is too old", major, minor);
	else
		vl_doctor_row(d, "unicorn", VL_DOCTOR_OK, NULL, "%u.%u.%u is loaded", major, minor,
			      word >> 8 & 0xff);
}

static void count_name(void *ctx, const char *name)
{
	(void)name;
	++*(unsigned int *)ctx;
}

static void check_libvirt(struct vl_doctor *d, const char *uri)
{
#ifdef HAVE_LIBVIRT
	unsigned int nr = 0;
	struct vl_error *err = vl_target_list(uri, count_name, &nr);
	const char *env = getenv("LIBVIRT_DEFAULT_URI");

	if (err)
		vl_doctor_error(d, "libvirt", VL_DOCTOR_WARNING, err);
	else
		vl_doctor_row(d, "libvirt", VL_DOCTOR_OK, NULL,
			      "connected to %s: %u running domain%s",
			      uri	  ? uri :
			      env && *env ? env :
					    "its default",
			      nr, nr == 1 ? "" : "s");
	vl_error_destroy(err);
#else
	(void)uri, (void)count_name;
	vl_doctor_row(d, "libvirt", VL_DOCTOR_WARNING, "name guests as qemu:PID or qmp:SOCKET",
		      "this vlens is built without libvirt");
#endif
}

/*
 * Which compressed files with memory can be read? Their libraries are loaded when they are needed.
 */
static void check_codecs(struct vl_doctor *d)
{
	_cleanup_archive_ struct vl_archive *archive = NULL;
	char names[64] = "";
	struct vl_error *err = NULL;

	for (int i = 0; i < VL_NR_CODECS && !err; i++) {
		struct vl_codec codec;

		err = vl_codec_load((enum vl_codec_kind)i, &codec);
		if (err)
			vl_error_prefix(err, "no dumps with pages packed by %s", vl_codec_name(i));
		vl_append(names, sizeof(names), "%s%s", i ? ", " : "", vl_codec_name(i));
	}
	if (!err) {
		err = vl_archive_ready_stream(&archive);
		if (err)
			vl_error_prefix(err, "no files that are compressed as a whole");
	}
	if (err)
		vl_doctor_error(d, "compression", VL_DOCTOR_WARNING, err);
	else
		vl_doctor_row(d, "compression", VL_DOCTOR_OK, NULL,
			      "dumps with pages packed by %s, and whole files", names);
	vl_error_destroy(err);
}

static void check_kvm(struct vl_doctor *d)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC), why = errno;
	bool hardware =
		!access("/sys/module/kvm_intel", F_OK) || !access("/sys/module/kvm_amd", F_OK);

	if (fd < 0)
		vl_doctor_row(d, "kvm", VL_DOCTOR_WARNING,
			      why == EACCES ?
				      "nothing is lost: raw reads use the direct engine; or join "
				      "the group kvm" :
				      "nothing is lost: raw reads use the direct engine",
			      "/dev/kvm: %s", strerror(why));
	else if (ioctl(fd, KVM_GET_API_VERSION, 0) != KVM_API_VERSION)
		vl_doctor_row(d, "kvm", VL_DOCTOR_WARNING,
			      "nothing is lost: raw reads use the direct engine",
			      "/dev/kvm has another version of the API");
	else
		vl_doctor_row(d, "kvm", VL_DOCTOR_OK, NULL, "/dev/kvm is there, %s",
			      hardware ? "with the processor's virtualization" :
					 "emulated in software: the direct engine is faster");
	if (fd >= 0)
		close(fd);
}

/* Can a file be made in the directory that @find finds? */
static void check_dir(struct vl_doctor *d, const char *check, struct vl_error *(*find)(char **ret),
		      enum vl_doctor_state bad)
{
	const char *variable = find == vl_run_dir ? "VLENS_RUN_DIR" : "VLENS_CACHE_DIR";
	char *dir = NULL, *path = NULL;
	struct vl_error *err = find(&dir);
	int fd = err ? -1 : vl_file_unnamed(dir);
	const bool unnamed = fd >= 0;

	if (unnamed)
		close(fd);
	if (!err && !unnamed && asprintf(&path, "%s/.doctor-XXXXXX", dir) < 0) {
		path = NULL;
		err = vl_error_nomem();
	}
	if (!err && !unnamed) {
		fd = mkostemp(path, O_CLOEXEC);
		if (fd < 0)
			err = vl_error_hint(vl_error_os(errno, "cannot write in %s", dir),
					    "make it writable, or name another in %s", variable);
		else
			close(fd);
		if (fd >= 0)
			unlink(path);
	}
	if (err && !err->hint)
		vl_error_hint(err, "name another in %s", variable);
	if (err)
		vl_doctor_error(d, check, bad, err);
	else
		vl_doctor_row(d, check, VL_DOCTOR_OK, NULL, "%s", dir);
	vl_error_destroy(err);
	free(path);
	free(dir);
}

/* The number of processes called @name that this user can see. */
static unsigned int count_processes(const char *name)
{
	unsigned int nr = 0;
	struct dirent *de;
	DIR *dir = opendir("/proc");

	while (dir && (de = readdir(dir))) {
		char path[sizeof(de->d_name) + 16], comm[32];

		if (!isdigit((unsigned char)de->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", de->d_name);
		nr += first_line(path, comm, sizeof(comm)) && !strcmp(comm, name);
	}
	if (dir)
		closedir(dir);
	return nr;
}

static void check_keepers(struct vl_doctor *d)
{
	unsigned int nr = count_processes("vlens-keeper");

	vl_doctor_row(d, "keepers", VL_DOCTOR_OK, NULL, "%u run%s", nr, nr == 1 ? "s" : "");
}

#define NAMED 6 /* guests to name in a line */

/* May this user look into the guest @spec? libvirt decides that for its own. */
static bool is_open_to_us(const char *spec)
{
	_cleanup_close_ int fd = -1;
	pid_t pid = vl_spec_pid(spec);
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
	fd = pid ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	return !pid || fd >= 0;
}

static void check_guests(struct vl_doctor *d, const char *uri)
{
	char **names, list[256] = "", others[64] = "";
	size_t nr, ours = 0;
	bool all = true;

	if (vl_discard(vl_host_guests(uri, &names, &nr)))
		return;
	for (size_t i = 0; i < nr; i++)
		if (is_open_to_us(names[i]) && ours++ < NAMED)
			all = all &&
			      vl_append(list, sizeof(list), "%s%s", *list ? ", " : "", names[i]);
	if (ours < nr)
		snprintf(others, sizeof(others), "; %zu that this user may not look into",
			 nr - ours);
	if (ours)
		vl_doctor_row(d, "guests", VL_DOCTOR_OK, NULL, "%zu: %s%s%s", ours, list,
			      ours > NAMED || !all ? ", ..." : "", others);
	else if (nr)
		vl_doctor_row(d, "guests", VL_DOCTOR_WARNING, "look into them as root", "none%s",
			      others);
	else
		vl_doctor_row(d, "guests", VL_DOCTOR_WARNING,
			      "start one; a memory dump can be looked into, too",
			      "no virtual machine runs on this host");
	vl_host_guests_free(names, nr);
}

static struct vl_error *count_kernel(void *nr, const struct vl_trust_stored *s)
{
	*(size_t *)nr += *s->build_id != '\0';
	return NULL;
}

static void check_trusted(struct vl_doctor *d)
{
	size_t nr = 0;
	_cleanup_error_ struct vl_error *err = vl_trust_list(count_kernel, &nr);
	_cleanup_free_ char *dir = NULL;

	if (!err)
		err = vl_trust_dir(&dir);
	if (err && !err->hint)
		vl_error_hint(err, "name another in VLENS_TRUST_DIR");
	if (err)
		vl_doctor_error(d, "trusted", VL_DOCTOR_WARNING, err);
	else if (nr)
		vl_doctor_row(d, "trusted", VL_DOCTOR_OK, NULL, "%zu kernel%s in %s%s%s", nr,
			      nr == 1 ? "" : "s", dir, vl_trust_root_dir() ? " and " : "",
			      vl_trust_root_dir() ? vl_trust_root_dir() : "");
	else
		vl_doctor_row(d, "trusted", VL_DOCTOR_OK, NULL,
			      "no kernel in %s: vlens trust add stores one", dir);
}

void vl_doctor_host(struct vl_doctor *d, const char *uri)
{
	d->area = "host";
	check_user(d);
	check_ptrace(d);
	check_security(d);
	check_uffd(d);
	check_seccomp(d);
	check_box(d);
	check_confinement(d);
	check_native(d);
	check_unicorn(d);
	check_libvirt(d, uri);
	check_kvm(d);
	check_codecs(d);
	check_dir(d, "cache", vl_cache_dir, VL_DOCTOR_WARNING);
	check_dir(d, "run directory", vl_run_dir, VL_DOCTOR_PROBLEM);
	check_trusted(d);
	check_guests(d, uri);
	check_keepers(d);
}
