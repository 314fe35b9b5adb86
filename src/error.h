/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Errors as objects: NULL is success; anything else says what could not be
 * done, why, and what the user can do about it, in one line.
 */
#ifndef VLENS_ERROR_H
#define VLENS_ERROR_H

#include <stdbool.h>
#include <stdint.h>

enum vl_errc {
	VL_ERR_NOMEM,	 /* out of memory; the object is static */
	VL_ERR_OS,	 /* a host system call failed: os_errno says how */
	VL_ERR_ARG,	 /* the caller asked for something senseless */
	VL_ERR_TARGET,	 /* the guest cannot be reached (no such, no permission) */
	VL_ERR_KERNEL,	 /* the guest is reached but not understood */
	VL_ERR_FAULT,	 /* an address of the guest cannot be read: address */
	VL_ERR_BLOCKED,	 /* a guest kernel call would sleep (I/O, a held lock) */
	VL_ERR_CRASHED,	 /* a guest kernel call hit BUG, a bad fault, a budget */
	VL_ERR_FIRMWARE, /* the guest is reached, but no kernel runs in it yet */
	VL_ERR_BOOTING,	 /* a kernel runs in it, but is not up yet */
	VL_ERR_DOWN,	 /* its kernel has crashed, and no other one is up yet */
	VL_ERR_SPENT,	 /* the run may not pause the guest any longer */
	VL_NR_ERR	 /* how many classes there are */
};

struct vl_error {
	enum vl_errc code;
	int os_errno;	  /* errno of the host call, else 0 */
	uint64_t address; /* VL_ERR_FAULT: the guest address */
	char *message;	  /* one line, no final full stop, never NULL */
	char *hint;	  /* what to do about it, or NULL */
};

/*
 * Make an error. The caller of the failing function owns it and ends it with
 * vl_error_destroy(). Never returns NULL: without memory it returns a static
 * VL_ERR_NOMEM object, which vl_error_destroy() accepts.
 */
struct vl_error *vl_error_new(enum vl_errc code, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), returns_nonnull));

/* The same for a failed host call; ": strerror(err)" is appended. */
struct vl_error *vl_error_os(int err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), returns_nonnull));

/* The same for a guest address that cannot be read. */
struct vl_error *vl_error_fault(uint64_t address, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), returns_nonnull));

/* Out of memory: no allocation is made. */
struct vl_error *vl_error_nomem(void) __attribute__((returns_nonnull));

/* Set the hint ("what to do about it") of @err; returns @err. */
struct vl_error *vl_error_hint(struct vl_error *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), returns_nonnull));

/* Put "text: " before the message of @err; returns @err. */
struct vl_error *vl_error_prefix(struct vl_error *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), returns_nonnull));

/* End @err; NULL is allowed. */
void vl_error_destroy(struct vl_error *err);

/* End @err and tell whether there was one: for what may fail. */
static inline bool vl_discard(struct vl_error *err)
{
	bool failed = err;

	vl_error_destroy(err);
	return failed;
}

#endif
