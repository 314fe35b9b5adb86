/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "runtime.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "internal.h"

char *vl_runtime_dir(void)
{
	const char *base = geteuid() == 0 ? "/run" : secure_getenv("XDG_RUNTIME_DIR");
	struct stat st;
	char *dir;

	if (!base || base[0] != '/' || asprintf(&dir, "%s/vlens", base) < 0)
		return NULL;
	mkdir(dir, 0700);
	if (lstat(dir, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	    !(st.st_mode & 077))
		return dir;
	free(dir);
	return NULL;
}

void vl_runtime_store(const char *path, const char *text)
{
	_cleanup_free_ char *tmp = NULL;
	size_t len = strlen(text);
	bool ok;
	int fd;

	if (asprintf(&tmp, "%s.XXXXXX", path) < 0) {
		tmp = NULL;
		return;
	}
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		return;
	ok = write(fd, text, len) == (ssize_t)len;
	if (close(fd) < 0 || !ok || rename(tmp, path) < 0)
		unlink(tmp);
}
