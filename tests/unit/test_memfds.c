/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The memfds for the program: their content, those that are made ahead, and that none is left. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "redirect/fds.h"
#include "redirect/memfds.h"
#include "redirect/redirect.h"
#include "tap.h"

#define MANY 40

static size_t count_open(void)
{
	size_t nr = 0;
	DIR *dir = opendir("/proc/self/fd");

	while (dir && readdir(dir))
		nr++;
	if (dir)
		closedir(dir);
	return nr;
}

/* Does @m->ro have exactly this content, and nothing to write to? */
static bool holds(const struct vl_memfd *m, const char *data, size_t len)
{
	char buf[64];
	struct stat st;

	return !fstat(m->ro, &st) && st.st_size == (off_t)len && st.st_ino == m->ino &&
	       st.st_dev == m->dev && read(m->ro, buf, sizeof(buf)) == (ssize_t)len &&
	       !memcmp(buf, data, len) && write(m->ro, "x", 1) < 0 && errno == EBADF &&
	       (fcntl(m->ro, F_GETFL) & O_ACCMODE) == O_RDONLY &&
	       fcntl(m->ro, F_GETFD) & FD_CLOEXEC && !(st.st_mode & 0111);
}

static void prepare(struct vl_redirect_kept *kept)
{
	while (vl_memfds_prepare(kept))
		;
}

/* Let a program use @nr files; false: one is not right, or is the same file as another. */
static bool run(struct vl_redirect_kept *kept, size_t nr, size_t *ahead_ret)
{
	static struct vl_memfd m[2 * (VL_FD_HI - VL_FD_LO)];
	bool good = true;

	*ahead_ret = 0;
	for (size_t i = 0; i < nr; i++) {
		char text[16];
		int len = snprintf(text, sizeof(text), "file %zu", i);

		good &= !vl_memfd_get(kept, text, (size_t)len, &m[i]) &&
			holds(&m[i], text, (size_t)len);
		*ahead_ret += m[i].place != NULL;
		for (size_t k = 0; k < i; k++)
			good &= m[k].ino != m[i].ino;
	}
	for (size_t i = 0; i < nr; i++)
		vl_memfd_put(&m[i], 8);
	vl_memfds_end_run(kept);
	return good;
}

static void test_alone(void)
{
	size_t before = count_open(), ahead;

	ok(run(NULL, MANY, &ahead) && !ahead, "without a keeper each is made for its file");
	ok(count_open() == before, "and none stays open");
}

static void test_kept(void)
{
	struct vl_redirect_kept kept = { .network = -1, .mounts = -1 };
	size_t before = count_open(), ahead;

	ok(!vl_memfds_prepare(&kept), "before the first program nothing is prepared");
	ok(run(&kept, MANY, &ahead) && !ahead, "nor does it find any");
	prepare(&kept);
	ok(count_open() == before + 2 * MANY, "as many as it used are made then");
	ok(run(&kept, MANY, &ahead) && ahead == MANY, "the next program gets these");
	ok(run(&kept, MANY, &ahead) && !ahead, "none of them is handed over twice");
	prepare(&kept);
	ok(run(&kept, MANY + 10, &ahead) && ahead == MANY, "more than there are are made for it");
	prepare(&kept);
	ok(count_open() == before + 2 * (MANY + 10), "and then made ahead");
	for (int i = 0; i < 60; i++)
		run(&kept, 1, &ahead);
	prepare(&kept);
	ok(count_open() < before + 2 * MANY && ahead == 0,
	   "after many small programs there are fewer");
	vl_memfds_destroy(kept.memfds);
	ok(count_open() == before, "all are closed in the end");
}

static void test_large(void)
{
	struct vl_redirect_kept kept = { .network = -1, .mounts = -1 };
	size_t before = count_open(), ahead, held;
	static char data[100000];
	struct vl_memfd m;

	run(&kept, 2, &ahead);
	prepare(&kept);
	held = count_open();
	ok(!vl_memfd_get(&kept, data, sizeof(data), &m) && m.place, "a large file takes one, too");
	vl_memfd_put(&m, sizeof(data));
	ok(count_open() == held - 2, "it does not stay in memory until the program ends");
	vl_memfds_end_run(&kept);
	prepare(&kept);
	ok(count_open() == held, "another one takes its place");
	vl_memfds_destroy(kept.memfds);
	ok(count_open() == before, "all are closed in the end");
}

/* A program that opens more files than are ever made ahead, under limits of open files. */
static void test_limits(void)
{
	struct vl_redirect_kept kept = { .network = -1, .mounts = -1 };
	const struct rlimit few = { 600, 4096 }, none = { 500, 4096 };
	size_t before = count_open(), ahead;

	if (setrlimit(RLIMIT_NOFILE, &few)) {
		skip("limits", "the limit of open files cannot be set");
		return;
	}
	run(&kept, 200, &ahead);
	prepare(&kept);
	ok(count_open() == before + 2 * 43, "they fit between 512 and the limit of open files");
	ok(fcntl(500, F_GETFD) < 0 && run(&kept, 100, &ahead) && ahead == 43,
	   "lower numbers stay free");
	vl_memfds_destroy(kept.memfds);
	kept.memfds = NULL;
	setrlimit(RLIMIT_NOFILE, &none);
	run(&kept, 100, &ahead);
	ok(!vl_memfds_prepare(&kept) && run(&kept, 100, &ahead) && !ahead,
	   "below that limit none is made ahead");
	vl_memfds_destroy(kept.memfds);
	ok(count_open() == before, "all are closed in the end");
}

int main(void)
{
	test_alone();
	test_kept();
	test_large();
	test_limits();
	return tap_end();
}
