/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Errors as objects. NULL is success. Any other says in one line what could not be done and
 * why; its hint says what the user can do about it. An error is for one thread at a time. The
 * object without memory is static, and any number of threads may have it.
 */
#ifndef VLENS_ERROR_H
#define VLENS_ERROR_H

#include <stdbool.h>
#include <stdint.h>

enum vl_errc {
	VL_ERR_NOMEM,	   /* out of memory; the object is static */
	VL_ERR_OS,	   /* a host system call failed: os_errno says how */
	VL_ERR_ARG,	   /* the caller's arguments make no sense */
	VL_ERR_TARGET,	   /* the guest cannot be reached (no such, no permission) */
	VL_ERR_KERNEL,	   /* the guest is reached, but its kernel is not understood */
	VL_ERR_FAULT,	   /* an address of the guest cannot be read: address */
	VL_ERR_BLOCKED,	   /* a guest kernel call would sleep (I/O, a held lock) */
	VL_ERR_CRASHED,	   /* a guest kernel call hit BUG, a bad fault, a budget */
	VL_ERR_FIRMWARE,   /* the guest is reached, but no kernel runs in it yet */
	VL_ERR_BOOTING,	   /* the guest's kernel is not up yet */
	VL_ERR_DOWN,	   /* the guest's kernel has crashed, and no other one is up yet */
	VL_ERR_SPENT,	   /* the run may not pause the guest any longer */
	VL_ERR_UNVERIFIED, /* a guest kernel call would run code that is not verified */
	VL_ERR_ENDLESS,	   /* a guest kernel call used up its budget, over a dump */
	VL_ERR_LACKING,	   /* a page of the guest is not in the file, and may be missing */
	VL_NR_ERR	   /* the number of classes */
};

struct vl_error {
	enum vl_errc code;
	int os_errno;	  /* errno of the host call, else 0 */
	uint64_t address; /* VL_ERR_FAULT: the guest address */
	char *message;	  /* one line, no final full stop, never NULL */
	char *hint;	  /* what the user can do about it, or NULL */
};

/*
 * Make an error. The caller of the failing function owns it, and frees it with
 * vl_error_destroy(). Never returns NULL: without memory it returns a static
 * VL_ERR_NOMEM object, which vl_error_destroy() accepts.
 */
struct vl_error *vl_error_new(enum vl_errc code, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), returns_nonnull));

/* Make a VL_ERR_OS error for a failed host call; ": strerror(err)" is appended. */
struct vl_error *vl_error_os(int err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), returns_nonnull));

/* Make a VL_ERR_FAULT error for a guest address that cannot be read. */
struct vl_error *vl_error_fault(uint64_t address, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), returns_nonnull));

/* The static VL_ERR_NOMEM object: no allocation is made. */
struct vl_error *vl_error_nomem(void) __attribute__((returns_nonnull));

/* Set the hint of @err; returns @err. */
struct vl_error *vl_error_hint(struct vl_error *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), returns_nonnull));

/* Put "text: " before the message of @err; returns @err. */
struct vl_error *vl_error_prefix(struct vl_error *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), returns_nonnull));

/* Free @err; NULL is allowed. */
void vl_error_destroy(struct vl_error *err);

/*
 * Return the first of two errors, and free the other one; either may be NULL. For a step that runs
 * even if the steps before it failed.
 */
static inline struct vl_error *vl_error_first(struct vl_error *err, struct vl_error *later)
{
	if (!err)
		return later;
	vl_error_destroy(later);
	return err;
}

/* Free @err; true if there was one. For a step whose failure is ignored. */
static inline bool vl_discard(struct vl_error *err)
{
	bool failed = err;

	vl_error_destroy(err);
	return failed;
}

#endif
