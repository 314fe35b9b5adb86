/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system calls of a worker. A call that is not in the table fails with EPERM, so that a C
 * library can try something else; a call that only an attacker makes kills the worker. The BPF
 * program is assembled here, which takes microseconds, as a whole view takes few milliseconds.
 */
#include <asm/prctl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../base/array.h"
#include "box.h"

/* The type byte of an ioctl: linux/userfaultfd.h, linux/kvm.h, kmod/imee.h. */
#define IOCTL_TYPE 0xff00
#define IOCTL_UFFD 0xaa00
#define IOCTL_KVM 0xae00
#define IOCTL_IMEE 0xb500

#define X32_BIT 0x40000000 /* __X32_SYSCALL_BIT, <asm/unistd.h> */

#define ALLOW SECCOMP_RET_ALLOW
#define KILL SECCOMP_RET_KILL_PROCESS
#define FAIL(e) (SECCOMP_RET_ERRNO | (e))

#define CALL(name, what) \
	{ \
		SCMP_SYS(name), what, -1, 0, 0 \
	}
/* Allowed only if argument @n, masked by @m, is @v. */
#define CALL_IF(name, what, n, m, v) \
	{ \
		SCMP_SYS(name), what, n, m, v \
	}
#define ALL UINT64_MAX

static const struct rule {
	int nr;
	uint32_t action;
	int arg; /* that it depends on; -1: none */
	uint64_t mask, value;
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
	CALL(recvmsg, ALLOW),  /* files that the broker opens for it */
	CALL(eventfd2, ALLOW), /* stops the filler of a snapshot */
	CALL_IF(fcntl, ALLOW, 1, ALL, F_DUPFD_CLOEXEC),
	CALL_IF(fcntl, ALLOW, 1, ALL, F_GETFD), /* libelf, of the file that it begins */
	CALL_IF(ioctl, ALLOW, 1, IOCTL_TYPE, IOCTL_UFFD),
	CALL_IF(ioctl, ALLOW, 1, IOCTL_TYPE, IOCTL_KVM),
	CALL_IF(ioctl, ALLOW, 1, IOCTL_TYPE, IOCTL_IMEE),
	/* fcntl: read the seals of memory, to know whether it can be cut short */
	CALL_IF(fcntl, ALLOW, 1, ALL, F_GET_SEALS),
	CALL_IF(lseek, ALLOW, 2, ALL, SEEK_DATA), /* the holes of a dump */
	CALL(fstat, ALLOW),
	CALL_IF(newfstatat, ALLOW, 3, ALL, AT_EMPTY_PATH),
	/* threads */
	CALL_IF(clone, ALLOW, 0, CLONE_THREAD, CLONE_THREAD),
	CALL_IF(clone, KILL, 0, CLONE_THREAD, 0),
	CALL(clone3, FAIL(ENOSYS)), /* its flags are in memory; libc then takes clone */
	CALL(futex, ALLOW),
	CALL(set_robust_list, ALLOW),
	CALL(rseq, ALLOW),
	CALL(sched_yield, ALLOW),
	CALL(sched_getaffinity, ALLOW),
	CALL(membarrier, ALLOW),
	/* Rewritten code changes the bases of fs and gs, by this call on some hosts. */
	CALL_IF(arch_prctl, ALLOW, 0, ~7UL, ARCH_SET_GS & ~7UL),
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
	/* no honest worker calls these */
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

/* Rows in a leaf of the search tree. */
#define LEAF 3

/* A program under construction: two instructions a row, nine with a condition. */
struct program {
	struct sock_filter insns[1024];
	unsigned short nr;
	bool full;
};

static void put(struct program *p, uint16_t code, uint32_t k, uint8_t jt, uint8_t jf)
{
	if (p->nr == ARRAY_SIZE(p->insns))
		p->full = true;
	else
		p->insns[p->nr++] = (struct sock_filter){ code, jt, jf, k };
}

static void load(struct program *p, size_t offset)
{
	put(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

/* Compare half of an argument (host's byte order); if it differs, skip @skip instructions. */
static void put_half(struct program *p, size_t offset, uint32_t mask, uint32_t value, uint8_t skip)
{
	load(p, offset);
	put(p, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
	put(p, BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip);
}

/* The accumulator has the number of the call, before and after. */
static void put_rule(struct program *p, const struct rule *r)
{
	size_t arg = offsetof(struct seccomp_data, args) + 8 * (size_t)r->arg;

	if (r->arg < 0) {
		put(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)r->nr, 0, 1);
		put(p, BPF_RET | BPF_K, r->action, 0, 0);
		return;
	}
	put(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)r->nr, 0, 8);
	put_half(p, arg, (uint32_t)r->mask, (uint32_t)r->value, 4);
	put_half(p, arg + 4, (uint32_t)(r->mask >> 32), (uint32_t)(r->value >> 32), 1);
	put(p, BPF_RET | BPF_K, r->action, 0, 0);
	load(p, offsetof(struct seccomp_data, nr));
}

static void put_head(struct program *p)
{
	/* Kill on calls of another ABI (int 0x80, x32): their numbers mean other calls. */
	load(p, offsetof(struct seccomp_data, arch));
	put(p, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
	put(p, BPF_RET | BPF_K, KILL, 0, 0);
	load(p, offsetof(struct seccomp_data, nr));
	put(p, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
	put(p, BPF_RET | BPF_K, KILL, 0, 0);
}

static int by_number(const void *a, const void *b)
{
	const struct rule *x = *(const struct rule *const *)a, *y = *(const struct rule *const *)b;

	if (x->nr != y->nr)
		return x->nr < y->nr ? -1 : 1;
	return x < y ? -1 : x > y; /* in the table's order */
}

/*
 * Build a search tree. On installation the kernel runs the program once for each system call
 * number (seccomp_cache_prepare), which would take longer than all else here with a flat list.
 */
static void put_rules(struct program *p, const struct rule *const *r, size_t nr)
{
	size_t mid = nr / 2;
	unsigned short jump;

	/* Rows of one call stay together. */
	while (mid && mid < nr && r[mid]->nr == r[mid - 1]->nr)
		mid++;
	if (nr <= LEAF || mid == nr) {
		for (size_t i = 0; i < nr; i++)
			put_rule(p, r[i]);
		put(p, BPF_RET | BPF_K, FAIL(EPERM), 0, 0);
		return;
	}
	put(p, BPF_JMP | BPF_JGE | BPF_K, (uint32_t)r[mid]->nr, 0, 1);
	jump = p->nr;
	put(p, BPF_JMP | BPF_JA, 0, 0, 0);
	put_rules(p, r, mid);
	if (!p->full)
		p->insns[jump].k = p->nr - jump - 1U;
	put_rules(p, r + mid, nr - mid);
}

int vl_box_filter_load(void)
{
	/* Signals only to threads of this process. */
	const struct rule own = { SCMP_SYS(tgkill), ALLOW, 0, UINT64_MAX, (uint64_t)getpid() };
	const struct rule *sorted[ARRAY_SIZE(rules) + 1] = { &own };
	struct program p = { .nr = 0 };
	struct sock_fprog prog;
	size_t nr = 1;

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		/* A call without a number on this architecture needs no row. */
		if (rules[i].nr >= 0)
			sorted[nr++] = &rules[i];
	qsort(sorted, nr, sizeof(sorted[0]), by_number);
	put_head(&p);
	put_rules(&p, sorted, nr);
	if (p.full)
		return -E2BIG;
	prog = (struct sock_fprog){ p.nr, p.insns };
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog))
		return -errno;
	return 0;
}
