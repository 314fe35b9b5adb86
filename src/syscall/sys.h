/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interface by which a kernel answers system calls. A guest implements it (guest/); the tests
 * implement it over the host's kernel, to test redirection without a guest.
 * One thread at a time may use it.
 */
#ifndef VLENS_SYS_H
#define VLENS_SYS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../error.h"

/* One argument of a system call: a plain value, or a buffer of ours that the kernel sees at a
 * user address. */
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

/* The executor of the guest's code. */
enum vl_executor {
	VL_EXECUTOR_ANY, /* KVM where it fits, else rewritten code, else Unicorn */
	VL_EXECUTOR_KVM,
	VL_EXECUTOR_NATIVE,
	VL_EXECUTOR_UNICORN,
};

/* Size of the text that says why KVM was not used. */
#define VL_EXECUTOR_WHY 160

/* What vl_sys_ops.open_read() reads. */
enum vl_reads {
	VL_READS_ONCE,	/* one read() */
	VL_READS_WHOLE, /* read() up to the end */
	VL_READS_LIST,	/* newfstat(), a struct stat, and behind it getdents64() up to the end */
};

struct vl_sys_ops {
	/*
	 * Run system call @name (the name of its handler without the prefix: "openat",
	 * "newuname", "newfstatat", "pread64") with up to six arguments. *@ret is the kernel's
	 * result: a value or -errno. An error means that the kernel gave no answer:
	 * VL_ERR_BLOCKED (it would have slept), VL_ERR_CRASHED, VL_ERR_ENDLESS; the state is
	 * then undefined and the epoch must end. VL_ERR_TARGET: the guest is gone.
	 */
	struct vl_error *(*call)(struct vl_sys *sys, const char *name, const struct vl_arg *args,
				 size_t nr, int64_t *ret);
	/*
	 * Open @path and read its first @len bytes in one step: openat(AT_FDCWD, @path, @flags),
	 * and @reads. *@fd_ret is the result of the first, -EBADF or *@n_ret that of the others:
	 * the number of bytes, or an error. -EINVAL: a listing is longer than @len.
	 * NULL: the caller makes the calls.
	 */
	struct vl_error *(*open_read)(struct vl_sys *sys, const char *path, int flags,
				      enum vl_reads reads, void *buf, size_t len, int64_t *fd_ret,
				      int64_t *n_ret);
	/*
	 * Call this before results are handed on: are they of one point in time, as far as that is
	 * possible? VL_ERR_BLOCKED: no; ask again in a new epoch; `missed` is set. NULL: results
	 * always are.
	 */
	struct vl_error *(*validate)(struct vl_sys *sys);
	/*
	 * For a pointer inside a structure (struct iovec, struct msghdr): put @len bytes where
	 * the kernel can read them and return their user address; 0 if there is no space. Valid
	 * until the next `reset`.
	 */
	uint64_t (*push)(struct vl_sys *sys, const void *buf, size_t len);
	/* Read @len bytes at a pushed address, which the kernel may have written. */
	void (*pull)(struct vl_sys *sys, uint64_t addr, void *buf, size_t len);
	void (*reset)(struct vl_sys *sys);
	/*
	 * In an epoch all answers are of one state of the guest. begin opens it (does nothing if
	 * one is open); end closes it, and a guest that was held runs again. Descriptors end with
	 * the epoch.
	 */
	struct vl_error *(*begin)(struct vl_sys *sys);
	/*
	 * If `alone`: start to open an epoch in the background; begin waits for it, end gives it
	 * up. False: that is not possible now. NULL: not supported.
	 */
	bool (*prepare)(struct vl_sys *sys);
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
	int ready;	/* an epoch begins at once and pauses nothing: it may begin early */
	int alone;	/* an epoch begins with no help but memory */
	int brief;	/* the epoch should end now */
	int steady;	/* the epoch is of one point in time: validate is not needed */
	int missed;	/* the last call failed because the guest changed: retry it */
	struct vl_identity self; /* valid inside an epoch */
	/* All open files above 2 are the caller's: close_range() may close them all. */
	int own_files;
};

#endif
