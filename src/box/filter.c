/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system calls of a worker. What is not in the table fails with EPERM, so that a C
 * library that tries something else goes on; what only an attacker calls ends the
 * worker at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "box.h"

/* The type byte of an ioctl: linux/userfaultfd.h, linux/kvm.h, kmod/imee.h. */
#define IOCTL_TYPE 0xff00
#define IOCTL_UFFD 0xaa00
#define IOCTL_KVM 0xae00
#define IOCTL_IMEE 0xb500

#define ALLOW SCMP_ACT_ALLOW
#define KILL SCMP_ACT_KILL_PROCESS
#define FAIL(e) SCMP_ACT_ERRNO(e)

#define CALL(name, what) \
	{ \
		SCMP_SYS(name), what, 0, \
		{ \
			{ \
				0 \
			} \
		} \
	}
#define CALL_IF(name, what, n, how, ...) \
	{ \
		SCMP_SYS(name), what, 1, \
		{ \
			{ \
				.arg = n, .op = how, __VA_ARGS__ \
			} \
		} \
	}
#define EQUALS(v) .datum_a = (v)
#define MASKED(mask, v) .datum_a = (mask), .datum_b = (v)

static const struct rule {
	int nr;
	uint32_t action;
	unsigned nr_cmp;
	struct scmp_arg_cmp cmp[1];
} rules[] = {
	/* memory of its own; read-only descriptors cannot be mapped for writing */
	CALL(mmap, ALLOW),
	CALL(munmap, ALLOW),
	CALL(mprotect, ALLOW), /* the emulator's translated code */
	CALL(mremap, ALLOW),
	CALL(madvise, ALLOW),
	CALL(brk, ALLOW),
	/* descriptors that it has */
	CALL(read, ALLOW),
	CALL(pread64, ALLOW),
	CALL(preadv, ALLOW),
	CALL(write, ALLOW),
	CALL(close, ALLOW),
	CALL(poll, ALLOW),
	CALL(ppoll, ALLOW),
	CALL(recvmsg, ALLOW), /* files that the broker opens for it */
	CALL(eventfd2, ALLOW), /* what stops the filler of a view */
	CALL_IF(fcntl, ALLOW, 1, SCMP_CMP_EQ, EQUALS(F_DUPFD_CLOEXEC)),
	CALL_IF(ioctl, ALLOW, 1, SCMP_CMP_MASKED_EQ, MASKED(IOCTL_TYPE, IOCTL_UFFD)),
	CALL_IF(ioctl, ALLOW, 1, SCMP_CMP_MASKED_EQ, MASKED(IOCTL_TYPE, IOCTL_KVM)),
	CALL_IF(ioctl, ALLOW, 1, SCMP_CMP_MASKED_EQ, MASKED(IOCTL_TYPE, IOCTL_IMEE)),
	/* can memory be cut short? */
	CALL_IF(fcntl, ALLOW, 1, SCMP_CMP_EQ, EQUALS(F_GET_SEALS)),
	CALL(fstat, ALLOW),
	CALL_IF(newfstatat, ALLOW, 3, SCMP_CMP_EQ, EQUALS(AT_EMPTY_PATH)),
	/* threads */
	CALL_IF(clone, ALLOW, 0, SCMP_CMP_MASKED_EQ, MASKED(CLONE_THREAD, CLONE_THREAD)),
	CALL_IF(clone, KILL, 0, SCMP_CMP_MASKED_EQ, MASKED(CLONE_THREAD, 0)),
	CALL(clone3, FAIL(ENOSYS)), /* its flags are in memory; libc then takes clone */
	CALL(futex, ALLOW),
	CALL(set_robust_list, ALLOW),
	CALL(rseq, ALLOW),
	CALL(sched_yield, ALLOW),
	CALL(sched_getaffinity, ALLOW),
	CALL(membarrier, ALLOW),
	CALL(gettid, ALLOW),
	CALL(getpid, ALLOW),
	CALL(exit, ALLOW),
	CALL(exit_group, ALLOW),
	/* signals; tgkill: see vl_box_filter_load() */
	CALL(rt_sigaction, ALLOW),
	CALL(rt_sigprocmask, ALLOW),
	CALL(rt_sigreturn, ALLOW),
	CALL(rt_sigtimedwait, ALLOW),
	CALL(sigaltstack, ALLOW),
	CALL(restart_syscall, ALLOW),
	/* time */
	CALL(clock_gettime, ALLOW),
	CALL(clock_nanosleep, ALLOW),
	CALL(nanosleep, ALLOW),
	CALL(getrandom, ALLOW),
	/* nobody honest calls these */
	CALL(execve, KILL),
	CALL(execveat, KILL),
	CALL(fork, KILL),
	CALL(vfork, KILL),
	CALL(ptrace, KILL),
	CALL(process_vm_readv, KILL),
	CALL(process_vm_writev, KILL),
	CALL(socket, KILL),
	CALL(connect, KILL),
	CALL(bind, KILL),
	CALL(io_uring_setup, KILL),
	CALL(bpf, KILL),
	CALL(perf_event_open, KILL),
	CALL(userfaultfd, KILL),
	CALL(mount, KILL),
	CALL(move_mount, KILL),
	CALL(pivot_root, KILL),
	CALL(chroot, KILL),
	CALL(setns, KILL),
	CALL(unshare, KILL),
	CALL(setuid, KILL),
	CALL(setresuid, KILL),
	CALL(capset, KILL),
	CALL(keyctl, KILL),
	CALL(add_key, KILL),
	CALL(request_key, KILL),
	CALL(init_module, KILL),
	CALL(finit_module, KILL),
	CALL(kexec_load, KILL),
	CALL(pidfd_open, KILL),
	CALL(pidfd_getfd, KILL),
	CALL(open_by_handle_at, KILL),
};

struct vl_box_filter {
	scmp_filter_ctx ctx;
};

static int add_rules(scmp_filter_ctx ctx)
{
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(rules) / sizeof(rules[0]); i++) {
		const struct rule *r = &rules[i];

		/* A call that this libseccomp does not know has no rule: it fails. */
		if (r->nr != __NR_SCMP_ERROR)
			err = seccomp_rule_add_array(ctx, r->action, r->nr, r->nr_cmp, r->cmp);
	}
	return err;
}

struct vl_error *vl_box_filter_create(struct vl_box_filter **ret)
{
	struct vl_box_filter *f = calloc(1, sizeof(*f));
	int err;

	if (!f)
		return vl_error_nomem();
	f->ctx = seccomp_init(FAIL(EPERM));
	if (!f->ctx) {
		free(f);
		return vl_error_nomem();
	}
	/* Calls of another architecture (int 0x80, x32): this table is not about them. */
	err = seccomp_attr_set(f->ctx, SCMP_FLTATR_ACT_BADARCH, KILL);
	if (!err)
		err = seccomp_attr_set(f->ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (!err)
		err = add_rules(f->ctx);
	if (err) {
		vl_box_filter_destroy(f);
		return vl_error_os(-err, "cannot build the system call filter");
	}
	*ret = f;
	return NULL;
}

void vl_box_filter_destroy(struct vl_box_filter *f)
{
	if (!f)
		return;
	seccomp_release(f->ctx);
	free(f);
}

int vl_box_filter_load(const struct vl_box_filter *f)
{
	/* Signals go to threads of its own only: the number is known from here on. */
	int err = seccomp_rule_add(f->ctx, ALLOW, SCMP_SYS(tgkill), 1,
				   SCMP_A0(SCMP_CMP_EQ, (uint64_t)getpid()));

	/* Sets no_new_privs, too. */
	return err ? err : seccomp_load(f->ctx);
}
