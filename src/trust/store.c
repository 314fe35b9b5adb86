/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/append.h"
#include "../base/array.h"
#include "../base/cleanup.h"
#include "../base/dirs.h"
#include "../base/sha256.h"
#include "../host/kept.h"
#include "index.h"
#include "pack.h"

#define ORIGIN_MAX 16384
/* The start of a kernel's banner. The release follows. */
#define BANNER "Linux version "

/* --- the file of an origin: a line "name value" for each field --- */

static const struct field {
	const char *name;
	size_t at, size;
} fields[] = {
#define FIELD(name, member) \
	{ \
		name, offsetof(struct vl_trust_stored, member), \
			sizeof(((struct vl_trust_stored *)0)->member) \
	}
	FIELD("release", release),	  FIELD("path", origin.path),
	FIELD("member", origin.member),	  FIELD("package", origin.package),
	FIELD("version", origin.version), FIELD("sha256", origin.sha256),
	FIELD("checked", origin.checked), FIELD("signer", signer),
#undef FIELD
};

/* Append the line of field @f of @s to @text, with '?' for line feeds in the value. */
static void put_field(char *text, size_t size, const struct vl_trust_stored *s,
		      const struct field *f)
{
	const char *value = (const char *)s + f->at;
	size_t used;

	vl_append(text, size, "%s ", f->name);
	used = strlen(text);
	for (; *value && used + 2 < size; value++)
		text[used++] = *value == '\n' ? '?' : *value;
	text[used++] = '\n';
	text[used] = '\0';
}

static void take_line(struct vl_trust_stored *s, const char *line, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		const struct field *f = &fields[i];
		size_t n = strlen(f->name);

		if (len <= n || memcmp(line, f->name, n) != 0 || line[n] != ' ')
			continue;
		snprintf((char *)s + f->at, f->size, "%.*s", (int)(len - n - 1), line + n + 1);
	}
}

/* --- the modules of a release --- */

static struct vl_error *pack_path(const char *dir, const char *release, char **ret)
{
	if (!vl_is_release(release))
		return vl_error_new(VL_ERR_ARG, "it is for a kernel whose release makes no sense");
	return asprintf(ret, "%s/%s%s", dir, release, VL_TRUST_MODULES) < 0 ? vl_error_nomem() :
									      NULL;
}

/* Set what @s says of the modules of its release in @dir. @checks: also if they are damaged. */
static void count_modules(const char *dir, struct vl_trust_stored *s, bool checks)
{
	_cleanup_free_ char *path = NULL;
	struct vl_pack_module m;
	unsigned char *pack;
	size_t len;
	int fd;

	if (!*s->release || vl_discard(pack_path(dir, s->release, &path)) ||
	    vl_discard(vl_file_open(path, VL_TRUST_STORED_MAX, &fd, &len)))
		return;
	pack = mmap(NULL, len + !len, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (pack == MAP_FAILED)
		return;
	s->nr_modules = vl_pack_nr(pack, len);
	if (checks && !*s->fault)
		vl_trust_pack_state(pack, len, s->fault, sizeof(s->fault));
	if (vl_pack_module(pack, len, 0, &m)) {
		memcpy(s->module_signer, m.signer, sizeof(s->module_signer));
		if (!*s->build_id) {
			memcpy(s->origin.package, m.package, sizeof(s->origin.package));
			memcpy(s->origin.version, m.version, sizeof(s->origin.version));
			memcpy(s->origin.checked, m.checked, sizeof(s->origin.checked));
		}
	}
	munmap(pack, len);
}

/* --- rows --- */

struct rows {
	struct vl_trust_stored *v;
	size_t nr, cap;
	const char *dirs[2]; /* our own directory, and root's or NULL */
	bool checks;	     /* compare what is stored with its checksums */
};

static struct vl_error *add_row(struct rows *r, const struct vl_trust_stored *s)
{
	if (!vl_grow(r->v, r->cap, r->nr, 4))
		return vl_error_nomem();
	r->v[r->nr++] = *s;
	return NULL;
}

static bool has_release(const struct rows *r, const char *release)
{
	for (size_t i = 0; i < r->nr; i++)
		if (!strcmp(r->v[i].release, release))
			return true;
	return false;
}

static struct vl_error *give_rows(struct rows *r, vl_trust_stored_fn *fn, void *ctx)
{
	struct vl_error *err = NULL;

	for (size_t i = 0; !err && i < r->nr; i++) {
		for (size_t k = 0; k < ARRAY_SIZE(r->dirs) && !r->v[i].nr_modules; k++)
			if (r->dirs[k])
				count_modules(r->dirs[k], &r->v[i], r->checks);
		err = fn(ctx, &r->v[i]);
	}
	return err;
}

/* --- adding --- */

/* A file of the store that is written, but not at its place so far. */
struct prepared {
	char *at, *path; /* its present path, and its final one */
};

struct adding {
	const char *dir;
	struct rows rows; /* of the kernel that was added */
	/*
	 * The files of one source move to their places together. If a package is damaged, none
	 * does.
	 */
	struct prepared *files;
	size_t nr_files, cap_files;
	struct vl_packer packer; /* the modules of `release` that are not stored yet */
	char release[128];
};

void vl_trust_release(const struct vl_trust *t, char *ret, size_t size)
{
	uint64_t va = vl_trust_symbol(t, "linux_banner");
	const char *banner = va ? (const char *)vl_trust_bytes(t, va, 256) : NULL;
	size_t skip = strlen(BANNER);

	*ret = '\0';
	if (banner && !strncmp(banner, BANNER, skip))
		snprintf(ret, size, "%.*s", (int)strcspn(banner + skip, " \n"), banner + skip);
}

/* Write @bytes to be the file @path of the store. */
static struct vl_error *prepare(struct adding *a, const char *path, const void *bytes, size_t len)
{
	struct prepared f = { .path = strdup(path) };
	struct vl_error *err = NULL;

	if (!f.path || !vl_grow(a->files, a->cap_files, a->nr_files, 4))
		err = vl_error_nomem();
	if (!err)
		err = vl_file_prepare(path, bytes, len, &f.at);
	if (err)
		free(f.path);
	else
		a->files[a->nr_files++] = f;
	return err;
}

static struct vl_error *store_file(struct adding *a, const char *build_id, const char *kind,
				   const void *bytes, size_t len)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/%s%s", a->dir, build_id, kind) < 0)
		return vl_error_nomem();
	return prepare(a, path, bytes, len);
}

/* The path to read the file @path of the store by: the one last prepared, or @path itself. */
static const char *newest(const struct adding *a, const char *path)
{
	for (size_t i = a->nr_files; i-- > 0;)
		if (!strcmp(a->files[i].path, path))
			return a->files[i].at;
	return path;
}

/* Move the prepared files to their places. With @err, or when that fails: remove the rest. */
static struct vl_error *install(struct adding *a, struct vl_error *err)
{
	for (size_t i = 0; i < a->nr_files; i++) {
		struct prepared *f = &a->files[i];

		if (err)
			unlink(f->at);
		else
			err = vl_file_move(f->at, f->path);
		free(f->at);
		free(f->path);
	}
	free(a->files);
	return err;
}

static struct vl_error *add_kernel(void *ctx, const struct vl_trust_origin *origin,
				   const unsigned char *elf, size_t len)
{
	_cleanup_free_ struct vl_trust_stored *s = calloc(1, sizeof(*s));
	_cleanup_free_ char *text = calloc(1, ORIGIN_MAX);
	_cleanup_free_ unsigned char *file = NULL;
	struct adding *a = ctx;
	struct vl_error *err;
	struct vl_trust *t;
	size_t file_len;

	if (!s || !text)
		return vl_error_nomem();
	/* Store only an image whose symbols and tables can be read. */
	err = vl_trust_open(elf, len, &t);
	if (err)
		return err;
	snprintf(s->build_id, sizeof(s->build_id), "%s", vl_trust_build_id(t));
	vl_trust_release(t, s->release, sizeof(s->release));
	err = vl_trust_place(t, 0);
	if (!err)
		err = vl_trust_index_make(t, elf, vl_trust_image_len(elf, len), &file, &file_len);
	vl_trust_close(t);
	if (err)
		return err;
	s->origin = *origin;
	memcpy(s->signer, origin->signer, sizeof(s->signer));
	s->added = time(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		put_field(text, ORIGIN_MAX, s, &fields[i]);
	/* Move the kernel last: without it the origin is not read. */
	err = store_file(a, s->build_id, VL_TRUST_ORIGIN, text, strlen(text));
	if (!err)
		err = store_file(a, s->build_id, VL_TRUST_KERNEL, file, file_len);
	return err ? err : add_row(&a->rows, s);
}

/* Store the modules that are there, with those of the same release that are stored already. */
static struct vl_error *store_modules(struct adding *a)
{
	_cleanup_free_ struct vl_trust_stored *s = calloc(1, sizeof(*s));
	_cleanup_free_ unsigned char *pack = NULL;
	_cleanup_free_ char *path = NULL;
	_cleanup_free_ char *old = NULL;
	struct vl_error *err;
	size_t len;

	if (!a->packer.nr)
		return NULL;
	if (!s)
		return vl_error_nomem();
	err = pack_path(a->dir, a->release, &path);
	if (err)
		return err;
	/* A pack that cannot be read is replaced. */
	if (!vl_discard(vl_file_load(newest(a, path), VL_TRUST_STORED_MAX, &old, &len)) &&
	    vl_pack_is_sound((unsigned char *)old, len))
		err = vl_packer_merge(&a->packer, (unsigned char *)old, len);
	if (!err)
		err = vl_packer_finish(&a->packer, &pack, &len);
	vl_packer_deinit(&a->packer);
	if (!err)
		err = prepare(a, path, pack, len);
	if (err || has_release(&a->rows, a->release))
		return err;
	memcpy(s->release, a->release, sizeof(s->release));
	s->added = time(NULL);
	return add_row(&a->rows, s);
}

static struct vl_error *add_module(void *ctx, const struct vl_trust_origin *origin,
				   const unsigned char *file, size_t len)
{
	struct vl_pack_module m = { .name = "" };
	struct adding *a = ctx;
	struct vl_trust *t;
	struct vl_error *err = vl_trust_module_open(file, len, &t);

	if (err)
		return err;
	memcpy(m.package, origin->package, sizeof(m.package));
	memcpy(m.version, origin->version, sizeof(m.version));
	memcpy(m.checked, origin->checked, sizeof(m.checked));
	memcpy(m.signer, origin->signer, sizeof(m.signer));
	vl_sha256_text(file, len, m.sha256);
	if (strcmp(a->release, vl_trust_module_release(t)) != 0)
		err = store_modules(a);
	snprintf(a->release, sizeof(a->release), "%s", vl_trust_module_release(t));
	if (!err && !vl_is_release(a->release))
		err = vl_error_new(VL_ERR_ARG, "the release that it is for makes no sense");
	if (!err)
		err = vl_packer_add(&a->packer, t, file, len, &m);
	vl_trust_close(t);
	return err;
}

struct vl_error *vl_trust_add(const char *path, vl_trust_stored_fn *fn, void *ctx)
{
	_cleanup_free_ char *dir = NULL;
	_cleanup_free_ char *real = NULL;
	struct adding a = { .release = "" };
	const struct vl_trust_taker taker = {
		.kernel = add_kernel,
		.module = add_module,
		.ctx = &a,
	};
	struct vl_error *err = vl_trust_dir(&dir);
	_cleanup_close_ int turn = -1;

	if (!err)
		err = vl_trust_turn(dir, &turn);
	if (err)
		return err;
	a.dir = a.rows.dirs[0] = dir;
	real = realpath(path, NULL);
	err = vl_trust_each_file(real ? real : path, &taker);
	if (!err)
		err = store_modules(&a);
	err = install(&a, err);
	if (!err)
		err = give_rows(&a.rows, fn, ctx);
	vl_packer_deinit(&a.packer);
	free(a.rows.v);
	return err;
}

struct vl_error *vl_trust_absent(const char *build_id, const char *release)
{
	struct vl_error *err;

	if (!*build_id)
		build_id = "(unknown)";
	if (!vl_is_release(release)) {
		err = vl_error_new(VL_ERR_ARG, "there is no trusted kernel of the guest's build %s",
				   build_id);
		err->os_errno = ENOENT;
		return vl_error_hint(
			err, "add the guest's vmlinuz or its package: vlens trust add FILE");
	}
	err = vl_error_new(VL_ERR_ARG,
			   "there is no trusted kernel of the guest's build %s, Linux %s", build_id,
			   release);
	err->os_errno = ENOENT;
	return vl_error_hint(err,
			     "add the guest's vmlinuz or its package (of Debian: linux-image-%s): "
			     "vlens trust add FILE",
			     release);
}

/* --- listing --- */

static struct vl_error *list_kernel(struct rows *rows, const char *dir, const char *build_id)
{
	_cleanup_free_ struct vl_trust_stored *s = calloc(1, sizeof(*s));
	_cleanup_free_ char *path = NULL;
	_cleanup_free_ char *text = NULL;
	struct vl_error *err;
	struct stat st;
	size_t len;

	for (size_t i = 0; i < rows->nr; i++)
		if (!strcmp(rows->v[i].build_id, build_id))
			return NULL;
	if (!s || asprintf(&path, "%s/%s%s", dir, build_id, VL_TRUST_ORIGIN) < 0)
		return vl_error_nomem();
	err = vl_file_load(path, ORIGIN_MAX, &text, &len);
	if (err && err->os_errno == EACCES)
		vl_error_hint(err, "let its owner run: chmod a+r %s/*", dir);
	if (err)
		return err;
	if (!stat(path, &st))
		s->added = st.st_mtime;
	snprintf(s->build_id, sizeof(s->build_id), "%s", build_id);
	free(path);
	if (asprintf(&path, "%s/%s%s", dir, build_id, VL_TRUST_KERNEL) < 0) {
		path = NULL;
		return vl_error_nomem();
	}
	if (rows->checks)
		vl_trust_stored_state(path, s->fault, sizeof(s->fault));
	for (const char *line = text; *line;) {
		size_t n = strcspn(line, "\n");

		take_line(s, line, n);
		line += n + (line[n] == '\n');
	}
	return add_row(rows, s);
}

/* List the modules of @release, unless they are listed with their kernel. */
static struct vl_error *list_modules(struct rows *rows, const char *dir, const char *release)
{
	_cleanup_free_ struct vl_trust_stored *s = calloc(1, sizeof(*s));
	_cleanup_free_ char *path = NULL;
	struct stat st;

	if (has_release(rows, release))
		return NULL;
	if (!s || asprintf(&path, "%s/%s%s", dir, release, VL_TRUST_MODULES) < 0)
		return vl_error_nomem();
	snprintf(s->release, sizeof(s->release), "%s", release);
	if (!stat(path, &st))
		s->added = st.st_mtime;
	return add_row(rows, s);
}

/* List the files of @dir whose names end in @end. */
static struct vl_error *list_files(struct rows *rows, const char *dir, const char *end)
{
	_cleanup_closedir_ DIR *d = opendir(dir);
	struct vl_error *err = NULL;
	struct dirent *e;

	if (!d)
		return vl_error_os(errno, "cannot read %s", dir);
	while (!err && (e = readdir(d))) {
		size_t len = strlen(e->d_name), n = strlen(end);

		if (len <= n || len - n > VL_BUILD_ID_MAX || strcmp(e->d_name + len - n, end) != 0)
			continue;
		e->d_name[len - n] = '\0';
		err = !strcmp(end, VL_TRUST_KERNEL) ? list_kernel(rows, dir, e->d_name) :
						      list_modules(rows, dir, e->d_name);
	}
	return err;
}

/* All rows of the directories in @r. */
static struct vl_error *list(struct rows *r)
{
	static const char *const ends[] = { VL_TRUST_KERNEL, VL_TRUST_MODULES };
	struct vl_error *err = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		for (size_t k = 0; !err && k < ARRAY_SIZE(r->dirs); k++)
			if (r->dirs[k])
				err = list_files(r, r->dirs[k], ends[i]);
	return err;
}

struct vl_error *vl_trust_list(vl_trust_stored_fn *fn, void *ctx)
{
	_cleanup_free_ char *dir = NULL;
	struct rows rows = { .nr = 0 };
	struct vl_error *err = vl_trust_dir(&dir);

	if (err)
		return err;
	rows.checks = true;
	rows.dirs[0] = dir;
	rows.dirs[1] = vl_trust_root_dir();
	err = list(&rows);
	if (!err)
		err = give_rows(&rows, fn, ctx);
	free(rows.v);
	return err;
}

/* --- removal --- */

/* The fewest digits of a build id that name a kernel. */
#define DIGITS_MIN 8

/* Does the user mean @s by @name? @real is the path @name without links, or NULL. */
static bool is_named(const struct vl_trust_stored *s, const char *name, const char *real)
{
	const char *path = s->origin.path;
	size_t len = real ? strlen(real) : 0;

	if (!*name)
		return false;
	if (!strcmp(s->release, name) || !strcmp(path, name))
		return true;
	if (strlen(name) >= DIGITS_MIN && !strncmp(s->build_id, name, strlen(name)))
		return true;
	return len && !strncmp(path, real, len) && (!path[len] || path[len] == '/');
}

static struct vl_error *remove_file(const char *dir, const char *name, const char *end)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/%s%s", dir, name, end) < 0)
		return vl_error_nomem();
	return unlink(path) && errno != ENOENT ? vl_error_os(errno, "cannot remove %s", path) :
						 NULL;
}

/* Remove row @i, and the modules of its release unless another kernel of @r has the same. */
static struct vl_error *remove_row(struct rows *r, size_t i)
{
	struct vl_trust_stored *s = &r->v[i];
	struct vl_error *err = NULL;
	char release[sizeof(s->release)];

	if (*s->build_id)
		err = remove_file(r->dirs[0], s->build_id, VL_TRUST_KERNEL);
	if (!err && *s->build_id)
		err = remove_file(r->dirs[0], s->build_id, VL_TRUST_ORIGIN);
	if (err)
		return err;
	memcpy(release, s->release, sizeof(release));
	*s->release = '\0';
	if (vl_is_release(release) && !has_release(r, release))
		err = remove_file(r->dirs[0], release, VL_TRUST_MODULES);
	memcpy(s->release, release, sizeof(release));
	return err;
}

/* The error for @name, which is none of @r, with similar names. */
static struct vl_error *unnamed(const struct rows *r, const char *name)
{
	struct vl_error *err = vl_error_new(VL_ERR_ARG, "%s has no kernel '%s'", r->dirs[0], name);
	size_t len = strlen(name);

	for (size_t i = 0; len && i < r->nr; i++) {
		const struct vl_trust_stored *s = &r->v[i];

		if (len < DIGITS_MIN && !strncmp(s->build_id, name, len))
			return vl_error_hint(err, "name %d digits of a build id, or more: %.*s",
					     DIGITS_MIN, DIGITS_MIN, s->build_id);
		if (!strncmp(s->release, name, len))
			return vl_error_hint(err, "name the whole release: %s", s->release);
	}
	return vl_error_hint(err, "vlens trust list shows the kernels, with -o build_id,file");
}

struct vl_error *vl_trust_remove(const char *name, vl_trust_stored_fn *fn, void *ctx)
{
	_cleanup_free_ char *dir = NULL;
	_cleanup_free_ char *real = realpath(name, NULL);
	struct rows rows = { .nr = 0 };
	struct vl_error *err = vl_trust_dir(&dir);
	size_t nr = 0;

	if (err)
		return err;
	rows.dirs[0] = dir;
	err = list(&rows);
	for (size_t i = 0; !err && i < rows.nr; i++) {
		struct vl_trust_stored *s = &rows.v[i];

		if (!is_named(s, name, real))
			continue;
		count_modules(dir, s, false);
		err = fn(ctx, s);
		if (!err)
			err = remove_row(&rows, i);
		*s->build_id = *s->release = '\0';
		nr++;
	}
	if (!err && !nr)
		err = unnamed(&rows, name);
	free(rows.v);
	return err;
}
