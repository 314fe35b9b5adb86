/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system calls that go to the host's kernel without a trap. They affect only the program's
 * memory, its processes, signals among these, and its open files. A row is one call, with a
 * condition where only some uses of it are harmless: policy.c has the row for the other uses.
 * A call that is in neither table fails with ENOSYS, and the supervisor counts it. A call that
 * has only conditional rows in policy.c is native where none of them holds.
 */
#include <fcntl.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#include "../base/array.h"
#include "rows.h"

/* Missing in older headers: asm/unistd_64.h of Linux 7.3. */
#ifndef __NR_uretprobe
#define __NR_uretprobe 335
#endif
#ifndef __NR_uprobe
#define __NR_uprobe 336
#endif
#ifndef __NR_cachestat
#define __NR_cachestat 451
#endif
#ifndef __NR_futex_wake
#define __NR_futex_wake 454
#define __NR_futex_wait 455
#define __NR_futex_requeue 456
#endif
#ifndef __NR_map_shadow_stack
#define __NR_map_shadow_stack 453
#endif
#ifndef __NR_mseal
#define __NR_mseal 462
#endif
#ifndef __NR_rseq_slice_yield
#define __NR_rseq_slice_yield 471
#endif
#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY 1027
#endif
#ifndef F_CREATED_QUERY
#define F_CREATED_QUERY 1028
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

/* clang-format off */
#define CALL(n, why) { .nr = __NR_##n, .note = why }
#define IF(n, a, m, v, why) \
	{ .nr = __NR_##n, .conditional = true, .when = { a, m, v }, .note = why }
#define IOCTL(v, why) IF(ioctl, 1, ~0u, v, why)
#define FCNTL(v, why) IF(fcntl, 1, ~0u, v, why)
#define PRCTL(v, why) IF(prctl, 0, ~0u, v, why)

/* New namespaces are a way around mounts and rights; an untraced child would keep the vDSO. */
#define CLONE_NOT \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
	 CLONE_NEWPID | CLONE_NEWNET | CLONE_UNTRACED | CLONE_PARENT)

const struct vl_native vl_native[] = {
	/* memory */
	CALL(munmap, "its memory"), CALL(mprotect, "its memory"), CALL(brk, "its memory"),
	CALL(mremap, "its memory"), CALL(msync, "its memory"), CALL(mincore, "its memory"),
	CALL(madvise, "its memory"), CALL(mlock, "its memory"), CALL(mlock2, "its memory"),
	CALL(munlock, "its memory"), CALL(mlockall, "its memory"), CALL(munlockall, "its memory"),
	CALL(remap_file_pages, "its memory"), CALL(membarrier, "its memory"),
	CALL(mbind, "its memory"), CALL(set_mempolicy, "its memory"),
	CALL(get_mempolicy, "its memory"), CALL(pkey_mprotect, "its memory"),
	CALL(pkey_alloc, "its memory"), CALL(pkey_free, "its memory"),
	IF(memfd_create, 1, MFD_HUGETLB, 0, "its memory"), CALL(map_shadow_stack, "its memory"),
	CALL(mseal, "its memory"), CALL(getrandom, "noise"),

	/* threads and processes of its own */
	IF(clone, 0, CLONE_NOT, 0, "a thread or child"),
	CALL(fork, "a child"), CALL(vfork, "a child"), CALL(exit, "its end"),
	CALL(exit_group, "its end"), CALL(wait4, "its children"), CALL(waitid, "its children"),
	CALL(set_tid_address, "its threads"), CALL(set_robust_list, "its threads"),
	IF(get_robust_list, 0, ~0u, 0, "its own"), CALL(rseq, "its threads"),
	CALL(rseq_slice_yield, "its threads"),
	/* The kernel's code for a probe calls them. Any other caller gets SIGILL. */
	CALL(uretprobe, "a probe that the host set"), CALL(uprobe, "a probe that the host set"),
	CALL(arch_prctl, "its threads"), CALL(futex, "its threads"),
	CALL(futex_waitv, "its threads"), CALL(futex_wake, "its threads"),
	CALL(futex_wait, "its threads"), CALL(futex_requeue, "its threads"),
	CALL(sched_yield, "its threads"), CALL(getcpu, "its threads"),
	CALL(sched_get_priority_max, "a constant"), CALL(sched_get_priority_min, "a constant"),
	CALL(setsid, "its session"), CALL(getrusage, "its own use"),
	CALL(getrlimit, "its own limits"), CALL(setrlimit, "its own limits"),
	IF(prlimit64, 0, ~0u, 0, "its own limits"),
	CALL(umask, "its own files"), CALL(personality, "its own"),
	CALL(restart_syscall, "the kernel's own"), CALL(seccomp, "a filter only adds to ours"),
	CALL(setuid, "it has no right that this gives"), CALL(setgid, "no right"),
	CALL(setreuid, "no right"), CALL(setregid, "no right"), CALL(setresuid, "no right"),
	CALL(setresgid, "no right"), CALL(setfsuid, "no right"), CALL(setfsgid, "no right"),
	CALL(setgroups, "no right"), CALL(capset, "no right"),
	PRCTL(PR_SET_PDEATHSIG, "its children"), PRCTL(PR_GET_PDEATHSIG, "its children"),
	PRCTL(PR_GET_DUMPABLE, "a question"), PRCTL(PR_GET_KEEPCAPS, "a question"),
	PRCTL(PR_SET_KEEPCAPS, "it has none"), PRCTL(PR_SET_NAME, "its name"),
	PRCTL(PR_GET_NAME, "its name"), PRCTL(PR_GET_SECCOMP, "a question"),
	PRCTL(PR_SET_SECCOMP, "a filter only adds to ours"), PRCTL(PR_CAPBSET_READ, "a question"),
	PRCTL(PR_GET_SECUREBITS, "a question"), PRCTL(PR_SET_TIMERSLACK, "its timers"),
	PRCTL(PR_GET_TIMERSLACK, "its timers"), PRCTL(PR_SET_CHILD_SUBREAPER, "its children"),
	PRCTL(PR_GET_CHILD_SUBREAPER, "its children"), PRCTL(PR_SET_NO_NEW_PRIVS, "is set"),
	PRCTL(PR_GET_NO_NEW_PRIVS, "a question"), PRCTL(PR_GET_TID_ADDRESS, "a question"),
	PRCTL(PR_SET_THP_DISABLE, "its memory"), PRCTL(PR_GET_THP_DISABLE, "its memory"),
	PRCTL(PR_CAP_AMBIENT, "it has none"), PRCTL(PR_GET_SPECULATION_CTRL, "a question"),
	PRCTL(PR_SET_SPECULATION_CTRL, "its own"), PRCTL(PR_SET_VMA, "names in its maps"),

	/* signals and time */
	CALL(rt_sigaction, "its signals"), CALL(rt_sigprocmask, "its signals"),
	CALL(rt_sigreturn, "its signals"), CALL(rt_sigpending, "its signals"),
	CALL(rt_sigtimedwait, "its signals"), CALL(rt_sigsuspend, "its signals"),
	CALL(sigaltstack, "its signals"), CALL(signalfd, "its signals"),
	CALL(signalfd4, "its signals"), CALL(pause, "its signals"), CALL(alarm, "its timers"),
	CALL(nanosleep, "sleep"), CALL(getitimer, "its timers"), CALL(setitimer, "its timers"),
	/* A negative clock id can be the CPU clock of another process. */
	IF(clock_nanosleep, 0, 1u << 31, 0, "sleep"), IF(timer_create, 0, 1u << 31, 0, "its timers"),
	CALL(timer_settime, "its timers"), CALL(timer_gettime, "its timers"),
	CALL(timer_getoverrun, "its timers"), CALL(timer_delete, "its timers"),
	CALL(timerfd_create, "its timers"), CALL(timerfd_settime, "its timers"),
	CALL(timerfd_gettime, "its timers"),

	/* what it has open */
	CALL(close, "a descriptor"), CALL(close_range, "descriptors"), CALL(pipe, "between its own"),
	CALL(pipe2, "between its own"), CALL(eventfd, "between its own"),
	CALL(eventfd2, "between its own"), CALL(poll, "waits"), CALL(ppoll, "waits"),
	CALL(select, "waits"), CALL(pselect6, "waits"), CALL(epoll_create, "waits"),
	CALL(epoll_create1, "waits"), CALL(epoll_ctl, "waits"), CALL(epoll_wait, "waits"),
	CALL(epoll_pwait, "waits"), CALL(epoll_pwait2, "waits"),
	CALL(pwrite64, "what the caller opened for it"), CALL(writev, "what the caller opened"),
	CALL(pwritev, "what the caller opened"),
	IF(pwritev2, 5, ~(RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND), 0,
	   "what the caller opened"),
	CALL(fsync, "what the caller opened"), CALL(fdatasync, "what the caller opened"),
	CALL(sync_file_range, "what the caller opened"),
	CALL(fadvise64, "what it has open"), CALL(readahead, "what it has open"),
	CALL(cachestat, "what it has open"), CALL(tee, "between its pipes"),
	CALL(vmsplice, "to its pipe"), CALL(inotify_init, "it watches nothing"),
	CALL(inotify_init1, "it watches nothing"), CALL(inotify_rm_watch, "it watches nothing"),
	CALL(getpeername, "what the caller opened"),
	CALL(recvmmsg, "what the caller opened"),
	FCNTL(F_GETFD, "a question"), FCNTL(F_SETFD, "its descriptor"), FCNTL(F_GETFL, "a question"),
	FCNTL(F_GETLK, "a question"), FCNTL(F_OFD_GETLK, "a question"), FCNTL(F_GETOWN, "a question"),
	FCNTL(F_GETOWN_EX, "a question"), FCNTL(F_GETSIG, "a question"),
	FCNTL(F_GETLEASE, "a question"), FCNTL(F_GETPIPE_SZ, "a question"),
	FCNTL(F_SETPIPE_SZ, "room in its pipe"), FCNTL(F_GET_SEALS, "a question"),
	FCNTL(F_DUPFD_QUERY, "a question"), FCNTL(F_CREATED_QUERY, "a question"),

	/* asm-generic/ioctls.h: modes of its terminal, and what is ready */
	IOCTL(TCGETS, "modes"), IOCTL(TCSETS, "modes"), IOCTL(TCSETSW, "modes"),
	IOCTL(TCSETSF, "modes"), IOCTL(TCGETA, "modes"), IOCTL(TCSETA, "modes"),
	IOCTL(TCSETAW, "modes"), IOCTL(TCSETAF, "modes"), IOCTL(0x802c542a, "TCGETS2"),
	IOCTL(0x402c542b, "TCSETS2"), IOCTL(0x402c542c, "TCSETSW2"), IOCTL(0x402c542d, "TCSETSF2"),
	IOCTL(TCFLSH, "drops what was typed"), IOCTL(TIOCOUTQ, "what waits"),
	IOCTL(TIOCGWINSZ, "size"), IOCTL(TIOCGETD, "a question"),
	IOCTL(TIOCGSID, "its session"), IOCTL(FIONREAD, "what is ready"),
	IOCTL(FIONBIO, "its descriptor"), IOCTL(FIOCLEX, "its descriptor"),
	IOCTL(FIONCLEX, "its descriptor"),
};

/* clang-format on */

const size_t vl_native_nr = ARRAY_SIZE(vl_native);
