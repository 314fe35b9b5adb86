/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The indexes of files: those that are kept, and those that a process gives which a file has taken
 * over.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tap.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/dirs.h"
#include "guest/spool.h"
#include "host/index.h"
#include "host/pages.h"
#include "host/registers.h"

#define PAGE 4096
#define MIB (1UL << 20)

static char dir[] = "/tmp/vlens-index-XXXXXX";

/* ---- the cache ---- */

static void put_file(const char *name, uint64_t size, time_t age)
{
	const struct timespec at[] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = time(NULL) - age } };
	char file[128];
	int fd;

	snprintf(file, sizeof(file), "%s/%s", dir, name);
	fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)size) || futimens(fd, at) || close(fd))
		exit(99);
}

/* Is it there? It is removed. */
static bool take_file(const char *name)
{
	char file[512];

	snprintf(file, sizeof(file), "%s/%s", dir, name);
	return !unlink(file);
}

static void test_cache(void)
{
	put_file("dump-1-stream1.index", 300 * MIB, 60);
	put_file("dump-2-stream1.index.Ab3dEf", 100 * MIB, 90);
	put_file("dump-3-stream1.index", MIB, 90000);
	put_file("dump-4-stream1.index.Ab3dEf", MIB, 90000);
	put_file("dump-5.unpacked", 2000 * MIB, 80000);
	put_file("other.index", 2000 * MIB, 90000);
	ok(vl_spool_tidy(dir, 100 * MIB), "there is space for an index");
	ok(!take_file("dump-3-stream1.index") && !take_file("dump-4-stream1.index.Ab3dEf"),
	   "what was not used for a day is removed, also if it was not written to its end");
	ok(vl_spool_tidy(dir, 200 * MIB), "for a larger one");
	ok(!take_file("dump-2-stream1.index.Ab3dEf") && take_file("dump-1-stream1.index"),
	   "for which the oldest is removed");
	ok(take_file("dump-5.unpacked") && take_file("other.index"), "and nothing else");
	ok(!vl_spool_tidy(dir, 600 * MIB), "one that is too large");
}

/* The files in the directory, but for those that are kept; each is removed. */
static unsigned take_others(const char *kept)
{
	struct dirent **files = NULL;
	int nr = scandir(dir, &files, NULL, alphasort);
	unsigned others = 0;

	for (int i = 0; i < nr; i++) {
		others += files[i]->d_name[0] != '.' && strcmp(files[i]->d_name, kept) != 0 &&
			  take_file(files[i]->d_name);
		free(files[i]);
	}
	free(files);
	return others;
}

/* A process that keeps a large file is killed at different points in time. */
static void test_killed(void)
{
	const size_t size = 64 * MIB;
	char *data = calloc(1, size), path[128];
	unsigned parts = 0, kills = 0;
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0) {
		skip("files without a name", "this file system has none");
		free(data);
		return;
	}
	close(fd);
	snprintf(path, sizeof(path), "%s/dump-1-elf1.index", dir);
	for (unsigned ms = 1; data && ms < 40; ms += 2) {
		const struct timespec wait = { .tv_nsec = ms * 1000000L };
		pid_t pid = fork();
		int status;

		if (!pid)
			_exit(vl_discard(vl_file_store(path, data, size)));
		nanosleep(&wait, NULL);
		kill(pid, SIGKILL);
		kills += waitpid(pid, &status, 0) == pid && WIFSIGNALED(status);
		parts += take_others("dump-1-elf1.index");
	}
	ok(kills > 2 && !parts, "a file whose writer is killed leaves nothing: %u of %u do", parts,
	   kills);
	ok(!vl_discard(vl_file_store(path, "one", 3)) && !vl_discard(vl_file_store(path, "two", 3)),
	   "a file is made, and replaced");
	free(data);
	ok(!vl_discard(vl_file_load(path, 10, &data, &(size_t){ 0 })) && !strcmp(data, "two") &&
		   !take_others("dump-1-elf1.index") && take_file("dump-1-elf1.index"),
	   "it has the last content, and is alone");
	free(data);
}

/* ---- what a process that was taken over would give ---- */

static size_t lie_at, lie_len;
static unsigned char lie;
static bool asked;

static struct vl_error *lying_index(const struct vl_index_job *job, const char *run_id,
				    struct vl_index *ret)
{
	struct vl_error *err = job->make(job, ret);

	(void)run_id;
	asked = true;
	if (err)
		return err;
	lie_len = ret->len;
	if (lie_at >= ret->len)
		return NULL;
	if (lie)
		ret->data[lie_at] ^= lie;
	else
		ret->len = lie_at;
	return NULL;
}

/* Ask for all that can be asked of a file that was opened, of its first ranges. */
static void use(struct vl_target *t)
{
	unsigned char page[PAGE];
	struct vl_registers *r;
	unsigned int machine;
	struct vl_vcpu *v;
	const struct vl_ram *ram;
	size_t nr;

	vl_target_unpack(t);
	if (!vl_discard(vl_target_vcpus(t, &v, &nr)))
		free(v);
	if (!vl_discard(vl_target_registers(t, &r, &nr, &machine)))
		free(r);
	ram = vl_target_ram(t, &nr);
	for (size_t i = 0; i < nr && i < 8; i++) {
		vl_discard(vl_target_read(t, ram[i].gpa, page, sizeof(page)));
		vl_discard(vl_target_read(t, ram[i].gpa + ram[i].size - PAGE, page, sizeof(page)));
		vl_ram_next_data(t, &ram[i], 0);
	}
}

/* Open @path by an index that is wrong at one place, each in turn: refused, or of use. */
static unsigned open_lies(const char *path)
{
	const struct vl_target_options o = { .index = lying_index };
	unsigned refusals = 0;

	lie_len = 1;
	for (lie_at = 0; lie_at < lie_len; lie_at += 1 + lie_at / 1024) {
		struct vl_target *t = NULL;
		struct vl_error *err = vl_target_open(path, &o, &t);

		refusals += !!err;
		if (err && err->code != VL_ERR_TARGET)
			exit(98);
		vl_error_destroy(err);
		if (t)
			use(t);
		vl_target_close(t);
	}
	return refusals;
}

/* Is @path a file that is opened by an index? */
static bool opens(const char *path)
{
	const struct vl_target_options o = { .index = lying_index };
	struct vl_target *t = NULL;

	asked = false;
	lie_at = SIZE_MAX;
	vl_error_destroy(vl_target_open(path, &o, &t));
	vl_target_close(t);
	return t && asked;
}

static void test_lies(const char *corpus, const char *format)
{
	static const unsigned char bits[] = { 0, 0x01, 0x80, 0xff };
	_cleanup_free_ char *folder = NULL;
	unsigned refusals = 0, cut = 0;
	struct dirent **files = NULL;
	int nr;

	if (asprintf(&folder, "%s/%s", corpus, format) < 0)
		exit(99);
	nr = scandir(folder, &files, NULL, alphasort);
	for (int i = 0; i < nr; i++) {
		_cleanup_free_ char *path = NULL;

		if (asprintf(&path, "%s/%s", folder, files[i]->d_name) < 0)
			exit(99);
		free(files[i]);
		for (size_t k = 0; k < sizeof(bits) && opens(path); k++) {
			lie = bits[k];
			*(lie ? &refusals : &cut) += open_lies(path);
		}
	}
	free(files);
	ok(cut > 20 && refusals > 20, "%s: an index that was changed anywhere: %u refused, cut: %u",
	   format, refusals, cut);
}

int main(void)
{
	static const char *const formats[] = { "elf",  "xen",	 "kdump", "vmware", "lime",
					       "avml", "stream", "save",  "qcow2" };
	const char *source = getenv("VLENS_SOURCE");
	_cleanup_free_ char *corpus = NULL;

	if (asprintf(&corpus, "%s/tests/fuzzers/corpus", source ? source : ".") < 0 ||
	    !mkdtemp(dir))
		return 99;
	test_cache();
	test_killed();
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		test_lies(corpus, formats[i]);
	rmdir(dir);
	return tap_end();
}
