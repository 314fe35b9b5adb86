/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All files of tests/fuzzers/corpus, which includes those that once broke a reader. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../fuzzers/fuzzers.h"
#include "base/cleanup.h"
#include "tap.h"

static unsigned char *content(const char *path, size_t *len_ret)
{
	FILE *f = fopen(path, "re");
	unsigned char *bytes = NULL;
	struct stat st;

	if (f && !fstat(fileno(f), &st) && S_ISREG(st.st_mode)) {
		*len_ret = (size_t)st.st_size;
		/* A buffer of its own, as long as the file: a sanitizer sees its end. */
		bytes = malloc(*len_ret ? *len_ret : 1);
		if (bytes && fread(bytes, 1, *len_ret, f) != *len_ret) {
			free(bytes);
			bytes = NULL;
		}
	}
	if (f)
		fclose(f);
	return bytes;
}

static void run_folder(const struct fuzzer *f, const char *corpus)
{
	_cleanup_free_ char *folder = NULL;
	struct dirent **files = NULL;
	int nr, done = 0;

	if (asprintf(&folder, "%s/%s", corpus, f->name) < 0)
		abort();
	nr = scandir(folder, &files, NULL, alphasort);
	for (int i = 0; i < nr; i++) {
		_cleanup_free_ char *path = NULL;
		_cleanup_free_ unsigned char *bytes = NULL;
		size_t len;

		if (asprintf(&path, "%s/%s", folder, files[i]->d_name) < 0)
			abort();
		bytes = content(path, &len);
		free(files[i]);
		if (!bytes)
			continue;
		/* The name stands in the log if the next line ends the program. */
		fprintf(stderr, "%s\n", path);
		f->run(bytes, len);
		done++;
	}
	free(files);
	ok(done > 0, "%s: %d files", f->name, done);
}

int main(void)
{
	const char *source = getenv("VLENS_SOURCE");
	_cleanup_free_ char *corpus = NULL;
	char dir[] = "/tmp/vlens-corpus-XXXXXX";

	if (asprintf(&corpus, "%s/tests/fuzzers/corpus", source ? source : ".") < 0 ||
	    !mkdtemp(dir))
		return 1;
	setenv("VLENS_RUN_DIR", dir, 1);
	setenv("VLENS_CACHE_DIR", dir, 1);
	for (const struct fuzzer *f = fuzzers; f->name; f++)
		run_folder(f, corpus);
	rmdir(dir);
	return tap_end();
}
