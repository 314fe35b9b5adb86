/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Returned when nothing can be allocated; shared, never written. */
static const struct vl_error nomem = {
	.code = VL_ERR_NOMEM,
	.message = (char *)"out of memory",
};

struct vl_error *vl_error_nomem(void)
{
	return (struct vl_error *)&nomem;
}

static struct vl_error *error_newv(enum vl_errc code, const char *fmt, va_list ap)
{
	struct vl_error *err = calloc(1, sizeof(*err));

	if (!err)
		return vl_error_nomem();
	err->code = code;
	if (vasprintf(&err->message, fmt, ap) < 0) {
		free(err);
		return vl_error_nomem();
	}
	return err;
}

struct vl_error *vl_error_new(enum vl_errc code, const char *fmt, ...)
{
	struct vl_error *err;
	va_list ap;

	va_start(ap, fmt);
	err = error_newv(code, fmt, ap);
	va_end(ap);
	return err;
}

struct vl_error *vl_error_os(int os_errno, const char *fmt, ...)
{
	struct vl_error *err;
	char *full;
	va_list ap;

	va_start(ap, fmt);
	err = error_newv(VL_ERR_OS, fmt, ap);
	va_end(ap);
	if (err == &nomem)
		return err;
	err->os_errno = os_errno;
	if (asprintf(&full, "%s: %s", err->message, strerror(os_errno)) >= 0) {
		free(err->message);
		err->message = full;
	}
	return err;
}

struct vl_error *vl_error_fault(uint64_t address, const char *fmt, ...)
{
	struct vl_error *err;
	va_list ap;

	va_start(ap, fmt);
	err = error_newv(VL_ERR_FAULT, fmt, ap);
	va_end(ap);
	if (err != &nomem)
		err->address = address;
	return err;
}

struct vl_error *vl_error_hint(struct vl_error *err, const char *fmt, ...)
{
	char *hint;
	va_list ap;

	if (err == &nomem)
		return err;
	va_start(ap, fmt);
	if (vasprintf(&hint, fmt, ap) >= 0) {
		free(err->hint);
		err->hint = hint;
	}
	va_end(ap);
	return err;
}

struct vl_error *vl_error_prefix(struct vl_error *err, const char *fmt, ...)
{
	char *prefix, *full;
	va_list ap;

	if (err == &nomem)
		return err;
	va_start(ap, fmt);
	if (vasprintf(&prefix, fmt, ap) < 0)
		prefix = NULL;
	va_end(ap);
	if (prefix && asprintf(&full, "%s: %s", prefix, err->message) >= 0) {
		free(err->message);
		err->message = full;
	}
	free(prefix);
	return err;
}

void vl_error_destroy(struct vl_error *err)
{
	if (!err || err == &nomem)
		return;
	free(err->message);
	free(err->hint);
	free(err);
}
