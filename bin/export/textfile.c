/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file for node_exporter's collector "textfile". */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../applet.h"
#include "../report.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "serve.h"

static bool write_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		len -= (size_t)n;
	}
	return true;
}

static struct vl_error *put_file(const char *path, const struct vl_growing *out)
{
	_cleanup_free_ char *part = NULL;
	_cleanup_close_ int fd = -1;
	struct vl_error *err = NULL;
	struct stat st;
	bool good;

	/* The rename would replace a device, or a link. */
	if (!lstat(path, &st) && !S_ISREG(st.st_mode))
		return vl_error_new(VL_ERR_ARG, "cannot write %s: it is not a regular file", path);

	/* The collector reads "*.prom" only. */
	if (asprintf(&part, "%s.XXXXXX", path) < 0) {
		part = NULL;
		return vl_error_nomem();
	}
	fd = mkostemp(part, O_CLOEXEC);
	/* node_exporter is another user. */
	good = fd >= 0 && !fchmod(fd, 0644) && write_all(fd, out->text, out->len) &&
	       !close(vl_taken_fd(&fd)) && !rename(part, path);
	if (!good) {
		err = vl_error_new(VL_ERR_OS, "cannot write %s: %s", path, strerror(errno));
		unlink(part);
	}
	return err;
}

int textfile_run(struct export_fleet *f, const char *path)
{
	_cleanup_error_ struct vl_error *err = NULL;
	struct vl_growing out = { .text = NULL };
	size_t failed;

	if (!fleet_find(f))
		return STATUS_GUEST;
	failed = fleet_scrape(f, ONCE_NS, VL_EXPORT_TEXTFILE, &out);
	err = out.full ? vl_error_nomem() : put_file(path, &out);
	free(out.text);
	if (err)
		error_report(f->request->applet->name, NULL, err);
	return err ? 1 : failed ? STATUS_GUEST : 0;
}
