/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A port through which a kernel answers system calls. A guest implements it (guest/);
 * the tests implement it over the host's own kernel, so that the redirection can be tested
 * with no guest.
 */
#ifndef VLENS_SYS_H
#define VLENS_SYS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../error.h"

/* One argument of a system call: a plain value, or a buffer of ours that the
 * kernel shall find at a user address. */
struct vl_arg {
	enum {
		VL_INT,	  /* value */
		VL_IN,	  /* @len bytes at buf are copied in */
		VL_OUT,	  /* @len bytes are copied out to buf after the call */
		VL_INOUT, /* both */
	} kind;
	uint64_t value;
	void *buf;
	size_t len;
};

#define VL_ARG_INT(v) ((struct vl_arg){ VL_INT, (uint64_t)(v), NULL, 0 })
#define VL_ARG_IN(b, l) ((struct vl_arg){ VL_IN, 0, (void *)(b), (l) })
#define VL_ARG_OUT(b, l) ((struct vl_arg){ VL_OUT, 0, (b), (l) })
#define VL_ARG_INOUT(b, l) ((struct vl_arg){ VL_INOUT, 0, (b), (l) })
#define VL_ARG_STR(s) VL_ARG_IN((s), strlen(s) + 1)
#define VL_ARG_NULL VL_ARG_INT(0)

struct vl_sys;

/* What executes the guest's code. */
enum vl_executor {
	VL_EXECUTOR_ANY, /* KVM where it fits, else rewritten code, else Unicorn */
	VL_EXECUTOR_KVM,
	VL_EXECUTOR_NATIVE,
	VL_EXECUTOR_UNICORN,
};

/* Room for why KVM was not taken. */
#define VL_EXECUTOR_WHY 160

struct vl_sys_ops {
	/*
	 * Run system call @name (the name of its handler less the prefix:
	 * "openat", "newuname", "newfstatat", "pread64") with up to six
	 * arguments. *@ret is what the kernel returned: a value or -errno. An
	 * error means that the kernel gave no answer: VL_ERR_BLOCKED (it would
	 * have slept), VL_ERR_CRASHED; what the call did before is then
	 * undefined and the epoch must end. VL_ERR_TARGET: the guest is gone.
	 */
	struct vl_error *(*call)(struct vl_sys *sys, const char *name, const struct vl_arg *args,
				 size_t nr, int64_t *ret);
	/*
	 * Open @path and read its first @len bytes: openat(AT_FDCWD, @path, @flags) and read() of
	 * what that opened, in one step. *@fd_ret and *@n_ret are what the two returned; the second
	 * is -EBADF where the first failed. NULL: two calls do the same.
	 */
	struct vl_error *(*open_read)(struct vl_sys *sys, const char *path, int flags, void *buf,
				      size_t len, int64_t *fd_ret, int64_t *n_ret);
	/*
	 * Before what the calls returned is handed on: is it of one moment, as far as
	 * that can be had? VL_ERR_BLOCKED: it is not, and is to be asked again in an
	 * epoch of its own; `missed` is set. NULL where answers always are.
	 */
	struct vl_error *(*settle)(struct vl_sys *sys);
	/*
	 * A pointer inside a structure (struct iovec, struct msghdr): put @len
	 * bytes where the kernel can see them and return the user address; 0
	 * when there is no room. Valid until the next call of `reset`.
	 */
	uint64_t (*push)(struct vl_sys *sys, const void *buf, size_t len);
	/* Read back what the kernel wrote at a pushed address. */
	void (*pull)(struct vl_sys *sys, uint64_t addr, void *buf, size_t len);
	void (*reset)(struct vl_sys *sys);
	/*
	 * An epoch is one consistent view: begin takes it (nothing when one is
	 * open), end gives it up; a guest that was held meanwhile runs again.
	 * Descriptors do not survive an epoch.
	 */
	struct vl_error *(*begin)(struct vl_sys *sys);
	/*
	 * Where `alone`: begin to open an epoch, which begin then waits for, or end gives up. NULL:
	 * there is no such thing.
	 */
	void (*prepare)(struct vl_sys *sys);
	void (*end)(struct vl_sys *sys);
};

/* Pids of the identity that calls are made under, for getpid and its kin. */
struct vl_identity {
	pid_t pid, tid, ppid, pgid, sid;
	uid_t uid, euid;
	gid_t gid, egid;
};

struct vl_sys {
	const struct vl_sys_ops *ops;
	uint64_t epoch; /* counts up at each end */
	int open;	/* an epoch is open */
	int ready;	/* an epoch begins at once and holds nobody: it may be early */
	int alone;	/* nobody has to help it begin */
	int brief;	/* the epoch had its answers: it is to end now */
	int steady;	/* all answers of the epoch are of one moment: nothing is to settle */
	int missed;	/* no answer, as the guest changed: that says nothing of it */
	struct vl_identity self; /* valid inside an epoch */
	/* Nobody else has files open here: close_range() may take all above 2. */
	int own_files;
};

#endif
