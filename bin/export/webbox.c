/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The web server's process without rights: no file, no program, no other host, no other process. */
#include "webbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/array.h"

/* Calls that libmicrohttpd, GnuTLS and the C library need, whatever their arguments. */
static const int allowed[] = {
	/* the connections, which are accepted only */
	SCMP_SYS(accept),
	SCMP_SYS(accept4),
	SCMP_SYS(close),
	SCMP_SYS(getpeername),
	SCMP_SYS(getsockname),
	SCMP_SYS(getsockopt),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendmsg),
	SCMP_SYS(setsockopt),
	SCMP_SYS(shutdown),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	/* the text, a file in memory */
	SCMP_SYS(fstat),
	SCMP_SYS(lseek),
	SCMP_SYS(pread64),
	SCMP_SYS(sendfile),
	/* threads, and what wakes them */
	SCMP_SYS(eventfd2),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(futex),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(pipe2),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rseq),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(sched_yield),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(sigaltstack),
	/* memory */
	SCMP_SYS(brk),
	SCMP_SYS(madvise),
	SCMP_SYS(mremap),
	SCMP_SYS(munmap),
	/* time and chance */
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(getrandom),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(nanosleep),
	SCMP_SYS(time),
};

static bool rules(scmp_filter_ctx f)
{
	const struct scmp_arg_cmp thread = SCMP_A0_64(SCMP_CMP_MASKED_EQ, CLONE_THREAD,
						      CLONE_THREAD),
				  name = SCMP_A0_64(SCMP_CMP_EQ, PR_SET_NAME),
				  own = SCMP_A0_64(SCMP_CMP_EQ, (scmp_datum_t)getpid()),
				  no_code = SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
				  unnamed = SCMP_A3_64(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS,
						       MAP_ANONYMOUS),
				  no_address = SCMP_A4_64(SCMP_CMP_EQ, 0);
	bool good = true;

	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
		good = !seccomp_rule_add(f, SCMP_ACT_ALLOW, allowed[i], 0) && good;
	for (uint64_t cmd = F_GETFD; cmd <= F_SETFL; cmd++)
		good = !seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
					 SCMP_A1_64(SCMP_CMP_EQ, cmd)) &&
		       good;
	return good && !seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(sendto), 1, no_address) &&
	       !seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, thread) &&
	       /* Its flags are in memory: the C library then takes clone(). */
	       !seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) &&
	       !seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, name) &&
	       !seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, own) &&
	       !seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, no_code) &&
	       !seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, no_code, unnamed);
}

/* Keep @fds, which become 3 and 4; 0 to 2 are /dev/null. */
static bool close_others(int fds[2])
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), high[3];

	/* Above all places that they go to. */
	high[0] = fcntl(fds[0], F_DUPFD_CLOEXEC, 5);
	high[1] = fcntl(fds[1], F_DUPFD_CLOEXEC, 5);
	high[2] = fcntl(null, F_DUPFD_CLOEXEC, 5);
	if (high[0] < 0 || high[1] < 0 || high[2] < 0)
		return false;
	for (int i = 0; i < 3; i++)
		if (dup2(high[2], i) < 0)
			return false;
	for (int i = 0; i < 2; i++) {
		fds[i] = dup3(high[i], 3 + i, O_CLOEXEC);
		if (fds[i] < 0)
			return false;
	}
	if (!syscall(SYS_close_range, 5, ~0U, 0))
		return true;
	/* Linux before 5.9 */
	for (long fd = 5, nr = sysconf(_SC_OPEN_MAX); fd < nr; fd++)
		close((int)fd);
	return true;
}

static bool drop_rights(void)
{
	const uid_t nobody = 65534;
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct none[2] = { { 0 } };

	if (!geteuid() && (setgroups(0, NULL) || setresgid(nobody, nobody, nobody) ||
			   setresuid(nobody, nobody, nobody)))
		return false;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	prctl(PR_SET_DUMPABLE, 0);
	return !syscall(SYS_capset, &head, none) && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

bool web_confine(int fds[2])
{
	scmp_filter_ctx filter;
	bool good;

	if (!close_others(fds) || !drop_rights())
		return false;
	/* A change of the user would undo this. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	good = filter && rules(filter) && !seccomp_load(filter);
	seccomp_release(filter);
	return good;
}
