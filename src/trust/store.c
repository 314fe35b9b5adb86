/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "../base/dirs.h"
#include "index.h"

#define KERNEL ".kernel"
#define ORIGIN ".origin"
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
	FIELD("checked", origin.checked),
#undef FIELD
};

/* Append the line of field @f of @s to @text, with '?' for line feeds in the value. */
static void put_field(char *text, size_t size, const struct vl_trust_stored *s,
		      const struct field *f)
{
	const char *value = (const char *)s + f->at;
	size_t used = strlen(text);

	used += (size_t)snprintf(text + used, size - used, "%s ", f->name);
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

/* --- adding --- */

struct adding {
	const char *dir;
	vl_trust_stored_fn *fn;
	void *ctx;
};

/* The release in the kernel's banner; "" if the banner is not found. */
static void read_release(const struct vl_trust *t, char *ret, size_t size)
{
	uint64_t va = vl_trust_symbol(t, "linux_banner");
	const char *banner = va ? (const char *)vl_trust_bytes(t, va, 256) : NULL;
	size_t skip = strlen(BANNER);

	*ret = '\0';
	if (banner && !strncmp(banner, BANNER, skip))
		snprintf(ret, size, "%.*s", (int)strcspn(banner + skip, " \n"), banner + skip);
}

static struct vl_error *store_file(const struct adding *a, const char *build_id, const char *kind,
				   const void *bytes, size_t len)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/%s%s", a->dir, build_id, kind) < 0)
		return vl_error_nomem();
	return vl_file_store(path, bytes, len);
}

static struct vl_error *add(void *ctx, const struct vl_trust_origin *origin,
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
	read_release(t, s->release, sizeof(s->release));
	err = vl_trust_place(t, 0);
	if (!err)
		err = vl_trust_index_make(t, elf, vl_trust_image_len(elf, len), &file, &file_len);
	vl_trust_close(t);
	if (err)
		return err;
	s->origin = *origin;
	s->added = time(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		put_field(text, ORIGIN_MAX, s, &fields[i]);
	err = store_file(a, s->build_id, KERNEL, file, file_len);
	if (!err)
		err = store_file(a, s->build_id, ORIGIN, text, strlen(text));
	return err ? err : a->fn(a->ctx, s);
}

struct vl_error *vl_trust_add(const char *path, vl_trust_stored_fn *fn, void *ctx)
{
	_cleanup_free_ char *dir = NULL;
	_cleanup_free_ char *real = NULL;
	struct adding a = { .fn = fn, .ctx = ctx };
	struct vl_error *err = vl_trust_dir(&dir);

	if (err)
		return err;
	a.dir = dir;
	real = realpath(path, NULL);
	return vl_trust_each(real ? real : path, add, &a);
}

/* --- listing --- */

static struct vl_error *list_one(const char *dir, const char *build_id, vl_trust_stored_fn *fn,
				 void *ctx)
{
	_cleanup_free_ struct vl_trust_stored *s = calloc(1, sizeof(*s));
	_cleanup_free_ char *path = NULL;
	_cleanup_free_ char *text = NULL;
	struct vl_error *err;
	struct stat st;
	size_t len;

	if (!s || asprintf(&path, "%s/%s%s", dir, build_id, ORIGIN) < 0)
		return vl_error_nomem();
	err = vl_file_load(path, ORIGIN_MAX, &text, &len);
	if (err)
		return err;
	if (!stat(path, &st))
		s->added = st.st_mtime;
	snprintf(s->build_id, sizeof(s->build_id), "%s", build_id);
	for (const char *line = text; *line;) {
		size_t n = strcspn(line, "\n");

		take_line(s, line, n);
		line += n + (line[n] == '\n');
	}
	return fn(ctx, s);
}

struct vl_error *vl_trust_list(vl_trust_stored_fn *fn, void *ctx)
{
	_cleanup_closedir_ DIR *d = NULL;
	_cleanup_free_ char *dir = NULL;
	struct vl_error *err = vl_trust_dir(&dir);
	struct dirent *e;

	if (err)
		return err;
	d = opendir(dir);
	if (!d)
		return vl_error_os(errno, "cannot read %s", dir);
	while (!err && (e = readdir(d))) {
		size_t len = strlen(e->d_name), n = strlen(KERNEL);

		if (len <= n || len - n > VL_BUILD_ID_MAX || strcmp(e->d_name + len - n, KERNEL))
			continue;
		e->d_name[len - n] = '\0';
		err = list_one(dir, e->d_name, fn, ctx);
	}
	return err;
}
