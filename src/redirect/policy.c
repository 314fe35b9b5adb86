/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The decision on each system call that is not always native (allow.c). A row with conditions
 * traps only if they hold. Rows of one call share its handler, except rows for the tracer
 * (trace.c).
 *
 * Sizes are of the x86-64 ABI (asm/stat.h, linux/utsname.h, linux/time_types.h,
 * linux/statfs.h, linux/sysinfo.h, linux/timex.h, linux/capability.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../base/array.h"
#include "fds.h"
#include "handlers.h"

/* Newer than some headers: asm/unistd_64.h of 7.3. */
#ifndef __NR_statmount
#define __NR_statmount 457
#endif
#ifndef __NR_listmount
#define __NR_listmount 458
#endif
#ifndef __NR_lsm_get_self_attr
#define __NR_lsm_get_self_attr 459
#define __NR_lsm_set_self_attr 460
#define __NR_lsm_list_modules 461
#endif
#ifndef __NR_setxattrat
#define __NR_setxattrat 463
#define __NR_getxattrat 464
#define __NR_listxattrat 465
#define __NR_removexattrat 466
#endif
#ifndef __NR_open_tree_attr
#define __NR_open_tree_attr 467
#endif
#ifndef __NR_file_getattr
#define __NR_file_getattr 468
#define __NR_file_setattr 469
#endif
#ifndef __NR_listns
#define __NR_listns 470
#endif
#ifndef __NR_fchroot
#define __NR_fchroot 472
#endif

/* clang-format off */
#define CALL(n) .nr = __NR_##n, .name = #n
/* conditions: a descriptor of ours; one of a directory or stream; a value */
#define ANY(a) { a, VL_FD_MASK, VL_FD_LO }
#define STREAM(a) { a, VL_FD_STREAM_MASK, VL_FD_STREAM }
#define IS(a, v) { a, 0xffffffff, v }
/* of mmap: a mapping of a file, shared or not */
#define FILE_MAP(v) { 3, MAP_ANONYMOUS | (v), v }
#define WHEN(...) \
	.nr_cmp = sizeof((struct vl_condition[]){ __VA_ARGS__ }) / sizeof(struct vl_condition), \
	.cmp = { __VA_ARGS__ }

#define INT { A_INT, 0 }
#define PID { A_PID, 0 }
#define PATH { A_PATH, 0 }
#define DIRFD { A_DIRFD, 0 }
#define STR { A_STR, 0 }
#define OUT(n) { A_OUT, n }
#define INOUT(n) { A_INOUT, n }
#define OUTLEN(a) { A_OUTLEN, a }
#define OUTRET(a) { A_OUTRET, a }
#define OUTIDS(a) { A_OUTIDS, a }

#define ROW(n, what, h, ...) { CALL(n), .decision = what, .handle = h, .args = { __VA_ARGS__ } }
#define DENIED(n, why) { CALL(n), .decision = DENY, .handle = vl_h_deny, .note = why }
#define CHANGES(n, ...) \
	{ CALL(n), .decision = DENY, .handle = vl_h_change_path, .args = { __VA_ARGS__ }, \
	  .note = "changes a file" }
#define NAMESPACE(n, why) { CALL(n), .decision = DENY, .handle = vl_h_namespace, .note = why }
#define ERRNO(n, e, why) \
	{ CALL(n), .decision = LOCAL, .handle = vl_h_errno, .args = { { A_INT, e } }, .note = why }
#define ERRNO_ON(n, e, cond, why) \
	{ CALL(n), .decision = LOCAL, .handle = vl_h_errno, .args = { { A_INT, e } }, \
	  WHEN cond, .note = why }
#define ON(n, h, cond, why) { CALL(n), .decision = GUEST, .handle = h, WHEN cond, .note = why }

const struct vl_policy vl_policy[] = {
	/* files */
	ROW(open, GUEST, vl_h_open, PATH),
	ROW(openat, GUEST, vl_h_open, DIRFD, PATH),
	ROW(openat2, GUEST, vl_h_open, DIRFD, PATH),
	ROW(creat, GUEST, vl_h_open, PATH),
	ROW(stat, GUEST, vl_h_stat, PATH),
	ROW(lstat, GUEST, vl_h_stat, PATH),
	ROW(newfstatat, GUEST, vl_h_stat, DIRFD, PATH),
	ON(fstat, vl_h_fstat, (ANY(0)), "a whole file's stat is the guest's, not the memfd's"),
	ROW(statx, GUEST, vl_h_statx, DIRFD, PATH),
	ROW(access, GUEST, vl_h_query, PATH, INT),
	ROW(faccessat, GUEST, vl_h_query, DIRFD, PATH, INT),
	ROW(faccessat2, GUEST, vl_h_query, DIRFD, PATH, INT, INT),
	ROW(readlink, GUEST, vl_h_query, PATH, OUTRET(2), INT),
	ROW(readlinkat, GUEST, vl_h_query, DIRFD, PATH, OUTRET(3), INT),
	ROW(statfs, GUEST, vl_h_query, PATH, OUT(120)),
	{ CALL(fstatfs), .decision = GUEST, .handle = vl_h_fquery, .call = "statfs",
	  .args = { PATH, OUT(120) }, WHEN(ANY(0)), .note = "asked about its path" },
	ROW(getxattr, GUEST, vl_h_query, PATH, STR, OUTRET(3), INT),
	ROW(lgetxattr, GUEST, vl_h_query, PATH, STR, OUTRET(3), INT),
	ROW(listxattr, GUEST, vl_h_query, PATH, OUTRET(2), INT),
	ROW(llistxattr, GUEST, vl_h_query, PATH, OUTRET(2), INT),
	{ CALL(fgetxattr), .decision = GUEST, .handle = vl_h_fquery, .call = "getxattr",
	  .args = { PATH, STR, OUTRET(3), INT }, WHEN(ANY(0)), .note = "asked about its path" },
	{ CALL(flistxattr), .decision = GUEST, .handle = vl_h_fquery, .call = "listxattr",
	  .args = { PATH, OUTRET(2), INT }, WHEN(ANY(0)), .note = "asked about its path" },
	ROW(chdir, GUEST, vl_h_chdir, PATH),
	ROW(fchdir, GUEST, vl_h_fchdir, INT),
	ROW(getcwd, LOCAL, vl_h_getcwd, INT),
	{ CALL(execve), .decision = LOCAL, .handle = vl_h_exec, .args = { PATH },
	  .note = "programs of this host" },
	ERRNO(execveat, ENOSYS, "libc falls back to execve of /proc/self/fd"),

	/* descriptors of ours */
	ON(lseek, vl_h_lseek, (STREAM(0)), "a position in a directory or stream"),
	ON(lseek, vl_h_lseek, (ANY(0), IS(1, 0)), "back to the start: fresh content"),
	ON(read, vl_h_read, (STREAM(0)), "a stream; a whole file is read natively"),
	ON(pread64, vl_h_read, (STREAM(0)), "a stream"),
	ON(pread64, vl_h_read, (ANY(0), IS(3, 0)), "from the start: fresh content"),
	ON(readv, vl_h_readv, (STREAM(0)), "a stream"),
	ON(preadv, vl_h_readv, (STREAM(0)), "a stream"),
	ON(getdents64, vl_h_getdents, (STREAM(0)), "from the listing"),
	ON(dup, vl_h_dup, (ANY(0)), "the copy must be one of ours, too"),
	ON(dup2, vl_h_dup, (STREAM(0)), "reads of a low number do not trap"),
	ON(dup3, vl_h_dup, (STREAM(0)), "reads of a low number do not trap"),
	{ CALL(fcntl), .decision = LOCAL, .handle = vl_h_fcntl,
	  .note = "copies, locks and flags; questions are native" },
	ERRNO_ON(getdents, ENOSYS, (STREAM(0)), "no libc in use calls it"),
	ERRNO_ON(preadv2, ENOSYS, (STREAM(0)), "libc falls back to preadv"),
	ON(mmap, vl_h_mmap, (STREAM(4)), "the stand-in has no content"),
	ON(mmap, vl_h_mmap, (FILE_MAP(0), { 2, PROT_EXEC, PROT_EXEC }),
	   "code of a guest never runs on this host"),
	ON(mmap, vl_h_mmap, (FILE_MAP(MAP_SHARED)), "writes to a file that is appended to"),
	ON(mmap, vl_h_mmap, ({ 3, MAP_HUGETLB, MAP_HUGETLB }),
	   "guests use the host's huge pages"),
	ERRNO(memfd_create, EINVAL, "with huge pages, which guests use"),
	ERRNO_ON(sendfile, EINVAL, (STREAM(1)), "the program reads and writes instead"),
	ERRNO_ON(splice, EINVAL, (STREAM(0)), "the program reads and writes instead"),
	ERRNO_ON(copy_file_range, EINVAL, (STREAM(0)), "the program reads and writes instead"),

	/* the machine */
	{ CALL(uname), .decision = GUEST, .handle = vl_h_forward, .call = "newuname",
	  .args = { OUT(390) } },
	ROW(sysinfo, GUEST, vl_h_forward, OUT(112)),
	ROW(clock_gettime, GUEST, vl_h_clock, INT, OUT(16)), /* which clocks: state.c */
	ROW(clock_getres, GUEST, vl_h_clock, INT, OUT(16)),
	ROW(gettimeofday, GUEST, vl_h_forward, OUT(16), OUT(8)),
	ROW(time, GUEST, vl_h_forward, OUT(8)),
	ROW(times, GUEST, vl_h_forward, OUT(32)),
	ROW(adjtimex, GUEST, vl_h_adjtime, INOUT(208)),
	ROW(clock_adjtime, GUEST, vl_h_adjtime, INT, INOUT(208)),
	ROW(syslog, GUEST, vl_h_syslog, INT, OUTRET(2), INT),

	/* processes */
	ROW(getpid, GUEST, vl_h_id, INT),
	ROW(gettid, GUEST, vl_h_id, INT),
	ROW(getppid, GUEST, vl_h_id, INT),
	ROW(getuid, GUEST, vl_h_id, INT),
	ROW(geteuid, GUEST, vl_h_id, INT),
	ROW(getgid, GUEST, vl_h_id, INT),
	ROW(getegid, GUEST, vl_h_id, INT),
	ROW(getresuid, GUEST, vl_h_forward, OUT(4), OUT(4), OUT(4)),
	ROW(getresgid, GUEST, vl_h_forward, OUT(4), OUT(4), OUT(4)),
	ROW(getgroups, GUEST, vl_h_forward, INT, OUTIDS(0)),
	ROW(capget, GUEST, vl_h_forward, INOUT(8), OUT(24)),
	ROW(getpgrp, LOCAL, vl_h_group_id, INT),
	ROW(getpgid, GUEST, vl_h_group_id, PID),
	ROW(getsid, GUEST, vl_h_group_id, PID),
	ROW(getpriority, GUEST, vl_h_forward, INT, PID),
	ROW(ioprio_get, GUEST, vl_h_forward, INT, PID),
	ROW(sched_getaffinity, GUEST, vl_h_forward, PID, INT, OUTRET(1)),
	ROW(sched_getscheduler, GUEST, vl_h_forward, PID),
	ROW(sched_getparam, GUEST, vl_h_forward, PID, OUT(4)),
	ROW(sched_getattr, GUEST, vl_h_forward, PID, OUTLEN(2), INT, INT),
	ROW(sched_rr_get_interval, GUEST, vl_h_forward, PID, OUT(16)),
	ROW(prlimit64, GUEST, vl_h_prlimit, PID, INT, INT, OUT(16)),
	{ CALL(setpgid), .decision = TRACE, .note = "with pids as the program sees them" },
	{ CALL(ioctl), .decision = TRACE, WHEN(IS(1, TIOCGPGRP)), .note = "likewise, a group" },
	ROW(kill, LOCAL, vl_h_kill, INT, INT),
	ROW(tkill, LOCAL, vl_h_kill, INT, INT),
	ROW(tgkill, LOCAL, vl_h_kill, INT, INT, INT),
	ROW(pidfd_send_signal, LOCAL, vl_h_kill_fd, INT),
	ROW(rt_sigqueueinfo, LOCAL, vl_h_own, PID),
	ROW(rt_tgsigqueueinfo, LOCAL, vl_h_own, PID, PID),
	ROW(pidfd_open, LOCAL, vl_h_own, PID),
	ROW(setpriority, LOCAL, vl_h_own, INT, PID),
	ROW(ioprio_set, LOCAL, vl_h_own, INT, PID),
	ROW(sched_setaffinity, LOCAL, vl_h_own, PID),
	ROW(sched_setscheduler, LOCAL, vl_h_own, PID),
	ROW(sched_setparam, LOCAL, vl_h_own, PID),
	ROW(sched_setattr, LOCAL, vl_h_own, PID),
	ROW(migrate_pages, LOCAL, vl_h_own, PID),
	ROW(move_pages, LOCAL, vl_h_own, PID),
	ROW(ptrace, DENY, vl_h_ptrace, INT),
	DENIED(process_vm_readv, "the host's process with that pid is another"),
	DENIED(process_vm_writev, "changes a process"),
	DENIED(kcmp, "compares processes of the host"),
	DENIED(get_robust_list, "the list of another process"),
	ERRNO(clock_nanosleep, EINVAL, "by the clock of another process"),
	ERRNO(timer_create, EINVAL, "by the clock of another process"),
	DENIED(pidfd_getfd, "takes files of a process"),
	DENIED(process_madvise, "changes a process"),
	NAMESPACE(clone, "with a new namespace, or untraced; all others are native"),
	ERRNO(clone3, ENOSYS, "the filter cannot read its flags; libc falls back to clone"),
	NAMESPACE(unshare, "namespaces of the host"),
	{ CALL(prctl), .decision = LOCAL, .handle = vl_h_prctl, .note = "all other options" },

	/* System V IPC */
	ROW(shmctl, GUEST, vl_h_ipcctl, INT),
	ROW(semctl, GUEST, vl_h_ipcctl, INT),
	ROW(msgctl, GUEST, vl_h_ipcctl, INT),
	ROW(shmget, GUEST, vl_h_ipcget, INT, INT, INT),
	ROW(semget, GUEST, vl_h_ipcget, INT, INT, INT),
	ROW(msgget, GUEST, vl_h_ipcget, INT, INT),
	DENIED(shmat, "attaches to a segment of the guest"),
	DENIED(semop, "changes a semaphore"),
	DENIED(semtimedop, "changes a semaphore"),
	DENIED(msgsnd, "changes a queue"),
	DENIED(msgrcv, "changes a queue"),

	/* sockets */
	ROW(socket, GUEST, vl_h_socket, INT),
	ROW(connect, LOCAL, vl_h_connect, INT),
	ROW(bind, GUEST, vl_h_bind, INT),
	ROW(listen, GUEST, vl_h_bind, INT),
	ROW(accept, GUEST, vl_h_bind, INT),
	ROW(accept4, GUEST, vl_h_bind, INT),
	ERRNO(sendmmsg, ENOSYS, "programs fall back to sendmsg"),
	ROW(socketpair, LOCAL, vl_h_socketpair, INT),
	ROW(shutdown, LOCAL, vl_h_shutdown, INT),
	ON(getsockname, vl_h_getsockname, (STREAM(0)), "a netlink address"),
	ROW(setsockopt, LOCAL, vl_h_setsockopt, INT),
	ON(getsockopt, vl_h_getsockopt, (STREAM(0)), "of a socket of ours"),
	ON(sendto, vl_h_send, (STREAM(0)), "a netlink question"),
	ON(sendmsg, vl_h_send, (STREAM(0)), "a netlink question"),
	ON(recvfrom, vl_h_recv, (STREAM(0)), "the answer"),
	ON(recvmsg, vl_h_recv, (STREAM(0)), "the answer"),
	{ CALL(ioctl), .decision = GUEST, .handle = vl_h_ioctl,
	  .note = "ioctl.c knows which; modes of a terminal are native" },
	ON(write, vl_h_send, (STREAM(0)), "a netlink question"),

	/* changes to files */
	CHANGES(unlink, PATH),
	CHANGES(unlinkat, DIRFD, PATH),
	CHANGES(rename, PATH, PATH),
	CHANGES(renameat, DIRFD, PATH, DIRFD, PATH),
	CHANGES(renameat2, DIRFD, PATH, DIRFD, PATH),
	CHANGES(link, PATH, PATH),
	CHANGES(linkat, DIRFD, PATH, DIRFD, PATH),
	CHANGES(symlink, INT, PATH),
	CHANGES(symlinkat, INT, DIRFD, PATH),
	CHANGES(mkdir, PATH),
	CHANGES(mkdirat, DIRFD, PATH),
	CHANGES(rmdir, PATH),
	CHANGES(mknod, PATH),
	CHANGES(mknodat, DIRFD, PATH),
	CHANGES(truncate, PATH),
	CHANGES(chmod, PATH),
	CHANGES(fchmodat, DIRFD, PATH),
	CHANGES(fchmodat2, DIRFD, PATH),
	CHANGES(chown, PATH),
	CHANGES(lchown, PATH),
	CHANGES(fchownat, DIRFD, PATH),
	CHANGES(utime, PATH),
	CHANGES(utimes, PATH),
	CHANGES(futimesat, DIRFD, PATH),
	CHANGES(utimensat, DIRFD, PATH),
	CHANGES(setxattr, PATH),
	CHANGES(lsetxattr, PATH),
	CHANGES(removexattr, PATH),
	CHANGES(lremovexattr, PATH),
	ROW(ftruncate, DENY, vl_h_change_open, INT),
	ROW(fallocate, DENY, vl_h_change_open, INT),
	ROW(flock, DENY, vl_h_change_open, INT),
	ERRNO(pwritev2, EOPNOTSUPP, "flags that undo O_APPEND, and newer ones"),
	ROW(fchmod, DENY, vl_h_change_fd, INT),
	ROW(fchown, DENY, vl_h_change_fd, INT),
	ROW(fsetxattr, DENY, vl_h_change_fd, INT),
	ROW(fremovexattr, DENY, vl_h_change_fd, INT),
	DENIED(inotify_add_watch, "files of the host"),
	DENIED(name_to_handle_at, "files of the host"),

	/* changes to the machine */
	DENIED(mount, "changes the machine"),
	DENIED(umount2, "changes the machine"),
	DENIED(pivot_root, "changes the machine"),
	DENIED(chroot, "the guest's paths are not the host's"),
	DENIED(fchroot, "the guest's paths are not the host's"),
	DENIED(move_mount, "changes the machine"),
	DENIED(open_tree, "mounts of the host"),
	DENIED(open_tree_attr, "mounts of the host"),
	DENIED(mount_setattr, "changes the machine"),
	DENIED(fsopen, "changes the machine"),
	DENIED(fspick, "changes the machine"),
	DENIED(fsmount, "changes the machine"),
	DENIED(fsconfig, "changes the machine"),
	DENIED(swapon, "changes the machine"),
	DENIED(swapoff, "changes the machine"),
	DENIED(reboot, "changes the machine"),
	DENIED(sethostname, "changes the machine"),
	DENIED(setdomainname, "changes the machine"),
	DENIED(settimeofday, "changes the machine"),
	DENIED(clock_settime, "changes the machine"),
	DENIED(init_module, "changes the machine"),
	DENIED(finit_module, "changes the machine"),
	DENIED(delete_module, "changes the machine"),
	DENIED(kexec_load, "changes the machine"),
	DENIED(kexec_file_load, "changes the machine"),
	DENIED(acct, "changes the machine"),
	DENIED(quotactl, "changes the machine"),
	DENIED(vhangup, "changes the terminal"),
	DENIED(iopl, "the host's ports"),
	DENIED(ioperm, "the host's ports"),
	NAMESPACE(setns, "namespaces of the host"),
	DENIED(bpf, "programs and maps of the host"),
	DENIED(perf_event_open, "counters of the host"),
	DENIED(fanotify_init, "files of the host"),
	DENIED(open_by_handle_at, "files of the host"),
	DENIED(userfaultfd, "faults of the kernel"),
	DENIED(sync, "disks of the host"),
	DENIED(syncfs, "disks of the host"),
	DENIED(keyctl, "keys of the host"),
	DENIED(add_key, "keys of the host"),
	DENIED(request_key, "keys of the host"),

	/* calls that bypass this table */
	ERRNO(io_uring_setup, ENOSYS, "its calls do not pass the filter"),
	ERRNO(statmount, ENOSYS, "mounts of the host; programs fall back to /proc"),
	ERRNO(listmount, ENOSYS, "mounts of the host; programs fall back to /proc"),
	ERRNO(lsm_get_self_attr, ENOSYS, "labels of the host; programs fall back to /proc"),
	ERRNO(lsm_set_self_attr, ENOSYS, "labels of the host; programs fall back to /proc"),
	ERRNO(lsm_list_modules, ENOSYS, "security modules of the host"),
	ERRNO(listns, ENOSYS, "namespaces of the host; programs fall back to /proc"),
	ERRNO(sysfs, ENOSYS, "file systems of the host; programs fall back to /proc"),
	ERRNO(ustat, ENOSYS, "file systems of the host"),
	ERRNO(getxattrat, ENOSYS, "programs fall back to getxattr"),
	ERRNO(setxattrat, ENOSYS, "programs fall back to setxattr"),
	ERRNO(listxattrat, ENOSYS, "programs fall back to listxattr"),
	ERRNO(removexattrat, ENOSYS, "programs fall back to removexattr"),
	ERRNO(file_getattr, ENOSYS, "programs fall back to ioctl"),
	ERRNO(file_setattr, ENOSYS, "programs fall back to ioctl"),
	DENIED(quotactl_fd, "changes the machine"),
	DENIED(fanotify_mark, "files of the host"),
	DENIED(shmdt, "nothing is attached: see shmat"),
	DENIED(process_mrelease, "memory of another process"),
	ERRNO(mq_open, ENOSYS, "queues of the host; as in a kernel without them"),
	ERRNO(mq_unlink, ENOSYS, "queues of the host"),
	ERRNO(mq_timedsend, ENOSYS, "no queue is open"),
	ERRNO(mq_timedreceive, ENOSYS, "no queue is open"),
	ERRNO(mq_notify, ENOSYS, "no queue is open"),
	ERRNO(mq_getsetattr, ENOSYS, "no queue is open"),
	ERRNO(io_uring_enter, ENOSYS, "see io_uring_setup"),
	ERRNO(io_uring_register, ENOSYS, "see io_uring_setup"),
	ERRNO(io_setup, ENOSYS, "its calls do not pass the filter"),
	ERRNO(io_destroy, ENOSYS, "see io_setup"),
	ERRNO(io_submit, ENOSYS, "see io_setup"),
	ERRNO(io_cancel, ENOSYS, "see io_setup"),
	ERRNO(io_getevents, ENOSYS, "see io_setup"),
	ERRNO(io_pgetevents, ENOSYS, "see io_setup"),
	ERRNO(landlock_create_ruleset, ENOSYS, "programs run without: their paths are the guest's"),
	ERRNO(landlock_add_rule, ENOSYS, "see landlock_create_ruleset"),
	ERRNO(landlock_restrict_self, ENOSYS, "see landlock_create_ruleset"),
	ERRNO(memfd_secret, ENOSYS, "memory that the supervisor cannot read"),
	ERRNO(set_mempolicy_home_node, ENOSYS, "as on a host without NUMA"),
	ERRNO(modify_ldt, ENOSYS, "for 16-bit and 32-bit code"),
	ERRNO(set_thread_area, ENOSYS, "for 32-bit code"),
	ERRNO(get_thread_area, ENOSYS, "for 32-bit code"),

	/* calls that no kernel of this architecture has any more, or ever had */
	ERRNO(uselib, ENOSYS, ""),
	ERRNO(_sysctl, ENOSYS, ""),
	ERRNO(create_module, ENOSYS, ""),
	ERRNO(get_kernel_syms, ENOSYS, ""),
	ERRNO(query_module, ENOSYS, ""),
	ERRNO(nfsservctl, ENOSYS, ""),
	ERRNO(getpmsg, ENOSYS, ""),
	ERRNO(putpmsg, ENOSYS, ""),
	ERRNO(afs_syscall, ENOSYS, ""),
	ERRNO(tuxcall, ENOSYS, ""),
	ERRNO(security, ENOSYS, ""),
	ERRNO(lookup_dcookie, ENOSYS, ""),
	ERRNO(epoll_ctl_old, ENOSYS, ""),
	ERRNO(epoll_wait_old, ENOSYS, ""),
	ERRNO(vserver, ENOSYS, ""),
};

/* clang-format on */

const size_t vl_policy_nr = ARRAY_SIZE(vl_policy);
