/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vcat prints files as the guest's kernel has them in memory, byte by byte. An epoch
 * ends before its piece is written, so a slow reader of the output keeps none open.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "applet.h"
#include "base/cleanup.h"
#include "report.h"

/* Bytes that are read in one epoch. */
#define PIECE (8u << 20)

static struct vl_error *cat_file(struct session *s, const char *path, char *buf, int *errno_ret)
{
	struct clean_state clean = { .len = 0 };
	bool tty = isatty(STDOUT_FILENO);
	struct vl_file_piece piece;
	struct vl_error *err;
	uint64_t offset = 0;

	do {
		err = vl_file_read(vl_guest_sys(s->guest), path, offset, NULL, buf, PIECE, &piece);
		s->redirect.retries += piece.retries;
		if (tty && !s->request->raw_names)
			print_clean(stdout, buf, piece.len, true, &clean);
		else
			fwrite(buf, 1, piece.len, stdout);
		offset += piece.len;
	} while (!err && !piece.error && !piece.end && !ferror(stdout));
	print_clean_end(stdout, &clean);
	*errno_ret = piece.error;
	return err;
}

int cat_run(struct session *s)
{
	const struct applet *a = s->applet;
	_cleanup_free_ char *buf = NULL;
	int status = 0;

	if (!session_open(s))
		return STATUS_GUEST;
	buf = malloc(PIECE);
	if (!buf) {
		error_report(a->name, s->request->spec, vl_error_nomem());
		return STATUS_GUEST;
	}
	for (int i = 0; i < s->request->nr_args && !ferror(stdout); i++) {
		const char *path = s->request->args[i];
		_cleanup_error_ struct vl_error *err = NULL;
		int error = 0;

		err = cat_file(s, path, buf, &error);
		if (!err && !error)
			continue;
		if (!err)
			err = vl_error_new(VL_ERR_ARG, "%s: %s", path, strerror(error));
		else if (err->code == VL_ERR_TARGET || err->code == VL_ERR_OS)
			i = s->request->nr_args; /* no other file can be read either */
		else
			vl_error_prefix(err, "%s", path);
		error_report(a->name, s->request->spec, err);
		status = error ? 1 : STATUS_GUEST;
	}
	return status;
}
