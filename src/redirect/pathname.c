/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Paths as text: nothing is looked up. */
#include <string.h>

#include "pathname.h"

/* The bytes of @path that @pattern matches, so that the rest is below them; 0: no match. */
size_t vl_path_below(const char *path, const char *pattern)
{
	const char *begin = path;

	for (;; path++, pattern++) {
		if (*pattern == '*') {
			path = strchrnul(path, '/');
			pattern++;
		}
		if (!*pattern)
			return !*path || *path == '/' || pattern[-1] == '/' ? path - begin : 0;
		if (*path != *pattern)
			return 0;
	}
}

void vl_path_copy(char to[PATH_MAX], const char *path)
{
	size_t len = strnlen(path, PATH_MAX - 1);

	memcpy(to, path, len);
	to[len] = 0;
}

/* Take ".", ".." and "//" out of @path, in place, without following links. */
void vl_path_normalise(char *path)
{
	char *out = path;
	const char *in = path;

	while (*in) {
		size_t n;

		in += strspn(in, "/");
		n = strcspn(in, "/");
		if (n == 2 && !memcmp(in, "..", 2)) {
			while (out > path && *--out != '/')
				;
		} else if (n && !(n == 1 && *in == '.')) {
			*out++ = '/';
			memmove(out, in, n);
			out += n;
		}
		in += n;
	}
	if (out == path)
		*out++ = '/';
	*out = 0;
}
