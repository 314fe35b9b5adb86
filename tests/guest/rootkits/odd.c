// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Healthy processes whose credentials look odd: odd FOLDER starts each of them, prints its PID and
 * what it is, then "ready", and waits. FOLDER must allow set-user-ID programs and extended
 * attributes.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define USER 4243

static char folder[256];

static void must(int ret, const char *what)
{
	if (ret >= 0)
		return;
	perror(what);
	_exit(1);
}

static void wait_for_ever(void)
{
	for (;;)
		pause();
}

static void other_program(void)
{
	execl("/bin/sleep", "sleep", "100000", NULL);
	must(-1, "sleep");
}

static void drop(void)
{
	must(setgroups(0, NULL), "setgroups");
	must(setresgid(USER, USER, USER), "setresgid");
	must(setresuid(USER, USER, USER), "setresuid");
}

static void set_capabilities(uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { .permitted = (uint32_t)permitted } };

	data[0].effective = data[0].permitted;
	data[0].inheritable = (uint32_t)inheritable;
	must((int)syscall(SYS_capset, &head, data), "capset");
}

static void keep(uint64_t permitted, uint64_t inheritable)
{
	must(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "PR_SET_KEEPCAPS");
	drop();
	set_capabilities(permitted, inheritable);
}

#define MANY (1UL << CAP_SYS_ADMIN | 1UL << CAP_SETUID | 1UL << CAP_DAC_OVERRIDE)

/* Each of these does not return. */

static void child_of_a_server_that_drops(void)
{
	if (!fork())
		other_program();
	sleep(1);
	drop();
	wait_for_ever();
}

static void child_of_a_server_that_drops_and_executes(void)
{
	if (!fork())
		other_program();
	sleep(1);
	drop();
	other_program();
}

static void monitor_of_a_server_that_drops(void)
{
	if (!fork())
		wait_for_ever();
	sleep(1);
	drop();
	wait_for_ever();
}

/* Runs the copy of this program, @name, with the argument @what, below a shell of the user. */
static void below_a_user(const char *name, const char *what)
{
	char line[512];

	snprintf(line, sizeof(line), "%s/%s %s & wait", folder, name, what);
	drop();
	execl("/bin/sh", "sh", "-c", line, NULL);
	must(-1, "sh");
}

static void wrapper_with_empty_groups(void)
{
	below_a_user("suid", "--empty");
}
static void wrapper_that_executes(void)
{
	below_a_user("suid", "--execute");
}
static void wrapper_that_is_root(void)
{
	below_a_user("suid", "--stay");
}
static void wrapper_that_is_replaced(void)
{
	below_a_user("old", "--replaced");
}
static void wrapper_that_goes_on_as_a_user(void)
{
	below_a_user("suid", "--seteuid");
}
static void program_with_capabilities(void)
{
	below_a_user("caps", "--stay");
}
static void program_with_capabilities_and_empty_groups(void)
{
	below_a_user("caps", "--empty-stay");
}
static void program_with_capabilities_that_stays_a_user(void)
{
	below_a_user("caps", "--wait");
}

static void ambient_capabilities(void)
{
	keep(MANY, MANY);
	must(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0), "ambient");
	other_program();
}

static void kept_capabilities(void)
{
	keep(MANY, 0);
	wait_for_ever();
}

static void effective_root(void)
{
	must(setresuid(USER, 0, USER), "setresuid");
	wait_for_ever();
}

static void files_as_root(void)
{
	keep(MANY, 0);
	setfsuid(0);
	wait_for_ever();
}

static void files_as_user(void)
{
	setfsuid(USER);
	wait_for_ever();
}

static void root_without_capabilities(void)
{
	must(setgroups(0, NULL), "setgroups");
	set_capabilities(0, 0);
	wait_for_ever();
}

static void in_namespace(int as_user)
{
	if (as_user)
		drop();
	/* Kernels can forbid this to users. */
	if (unshare(CLONE_NEWUSER))
		perror("unshare");
	else if (!fork())
		other_program();
	wait_for_ever();
}

static void namespace_of_a_user(void)
{
	in_namespace(1);
}
static void namespace_of_root(void)
{
	in_namespace(0);
}

static const struct {
	const char *name;
	void (*run)(void);
} scenes[] = {
#define SCENE(f) \
	{ \
#f, f \
	}
	SCENE(child_of_a_server_that_drops),
	SCENE(child_of_a_server_that_drops_and_executes),
	SCENE(monitor_of_a_server_that_drops),
	SCENE(wrapper_with_empty_groups),
	SCENE(wrapper_that_executes),
	SCENE(wrapper_that_is_root),
	SCENE(wrapper_that_is_replaced),
	SCENE(wrapper_that_goes_on_as_a_user),
	SCENE(program_with_capabilities),
	SCENE(program_with_capabilities_and_empty_groups),
	SCENE(program_with_capabilities_that_stays_a_user),
	SCENE(ambient_capabilities),
	SCENE(kept_capabilities),
	SCENE(effective_root),
	SCENE(files_as_root),
	SCENE(files_as_user),
	SCENE(root_without_capabilities),
	SCENE(namespace_of_a_user),
	SCENE(namespace_of_root),
};

/* What a copy of this program does that has the set-user-ID bit or capabilities. */
static int privileged(const char *what)
{
	if (!strcmp(what, "--wait"))
		wait_for_ever();
	if (!strncmp(what, "--empty", 7))
		must(setgroups(0, NULL), "setgroups");
	must(setuid(0), "setuid");
	if (!strcmp(what, "--seteuid"))
		must(seteuid(USER), "seteuid");
	else if (!strcmp(what, "--empty") || !strcmp(what, "--execute"))
		other_program();
	wait_for_ever();
	return 0;
}

/* A copy of this program, @name, with these bits. Its path is in @path. */
static void copy(const char *name, mode_t mode, char path[512])
{
	char line[1024];

	snprintf(path, 512, "%s/%s", folder, name);
	snprintf(line, sizeof(line), "cp /proc/%d/exe %s", (int)getpid(), path);
	must(system(line) ? -1 : 0, "cp");
	must(chown(path, 0, 0), "chown");
	must(chmod(path, mode), "chmod");
}

int main(int argc, char **argv)
{
	struct vfs_cap_data caps = { .magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE };
	char path[512];

	if (argc != 2)
		return 2;
	if (argv[1][0] == '-')
		return privileged(argv[1]);
	snprintf(folder, sizeof(folder), "%s", argv[1]);
	copy("suid", 04755, path);
	copy("caps", 0755, path);
	caps.data[0].permitted = 1U << CAP_SETUID | 1U << CAP_SETGID | 1U << CAP_SYS_ADMIN;
	must(setxattr(path, "security.capability", &caps, XATTR_CAPS_SZ_2, 0), "setxattr");
	copy("old", 04755, path);
	setbuf(stdout, NULL);
	for (size_t i = 0; i < sizeof(scenes) / sizeof(*scenes); i++) {
		pid_t pid = fork();

		if (!pid) {
			scenes[i].run();
			_exit(1);
		}
		printf("%d %s\n", (int)pid, scenes[i].name);
	}
	sleep(3);
	/* As dpkg replaces such a program: nobody may execute the old one any more. */
	must(chmod(path, 0600), "chmod");
	must(unlink(path), "unlink");
	while (waitpid(-1, NULL, WNOHANG) > 0)
		printf("one of them has ended\n");
	printf("ready\n");
	wait_for_ever();
}
