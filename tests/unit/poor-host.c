// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A host that lacks something, loaded before the C library (LD_PRELOAD). $POOR says what, in
 * words:
 *
 * fsgsbase: the processor, or its kernel, has not these instructions
 * arch_prctl: that call is refused from now on, but for what every program begins with
 */
#include <asm/prctl.h>
#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/array.h"

/* arch/x86/include/uapi/asm/hwcap2.h */
#define FSGSBASE 2UL

static int lacks(const char *what)
{
	const char *poor = getenv("POOR");

	return poor && strstr(poor, what);
}

unsigned long getauxval(unsigned long type)
{
	unsigned long (*real)(unsigned long) =
		(unsigned long (*)(unsigned long))dlsym(RTLD_NEXT, "getauxval");
	unsigned long value = real(type);

	return type == AT_HWCAP2 && lacks("fsgsbase") ? value & ~FSGSBASE : value;
}

__attribute__((constructor)) static void refuse(void)
{
	/* Offsets in struct seccomp_data: the number of the call, its first argument. */
	struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_arch_prctl, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 16),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH_SET_FS, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { ARRAY_SIZE(insns), insns };

	if (lacks("arch_prctl") && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
				    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog)))
		_exit(99);
}
