/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "types.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/dirs.h"
#include "../kernel/kernel.h"
#include "dwarf.h"
#include "image.h"

#define TYPES ".types"
/* The fewest digits of a build id that name a kernel. */
#define DIGITS_MIN 8
/* Reading 10 MiB of types takes 0.1 s. */
#define TYPES_NS 10000000000L

/* Limit of a vmlinux with its debug information, in bytes. It is in memory up to three times. */
#define DEBUG_MAX (3UL << 29)

/* --- rows --- */

/* The row for @dir/@build_id.types; false: it cannot be read. */
static bool find(const char *dir, const char *build_id, struct vl_types_stored *ret)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int fd = -1;
	uint16_t magic = 0;
	struct stat st;
	size_t size;

	if (asprintf(&path, "%s/%s" TYPES, dir, build_id) < 0 ||
	    vl_discard(vl_file_open(path, VL_BTF_MAX, &fd, &size)) || fstat(fd, &st))
		return false;
	*ret = (struct vl_types_stored){ .size = size, .added = st.st_mtime };
	snprintf(ret->build_id, sizeof(ret->build_id), "%s", build_id);
	ret->form = read(fd, &magic, sizeof(magic)) == sizeof(magic) && magic == VL_BTF_MAGIC ?
			    "BTF" :
			    "offsets";
	return true;
}

/* --- adding --- */

struct adding {
	const char *dir;
	const char *build_id; /* as the user says it, or NULL */
	vl_types_stored_fn *fn;
	void *ctx;
};

static struct vl_error *store(const struct adding *a, const char *build_id, const void *bytes,
			      size_t len)
{
	_cleanup_free_ char *path = NULL;
	struct vl_types_stored s;
	struct vl_error *err;

	if (asprintf(&path, "%s/%s" TYPES, a->dir, build_id) < 0)
		return vl_error_nomem();
	err = vl_file_publish(path, bytes, len);
	if (err)
		return err;
	return find(a->dir, build_id, &s) ? a->fn(a->ctx, &s) :
					    vl_error_os(errno, "cannot read %s", path);
}

/* Store @btf, @len bytes, if it has the types of a kernel. */
static struct vl_error *add_btf(const struct adding *a, const char *build_id, const void *btf,
				size_t len)
{
	struct vl_layout layout;
	struct vl_error *err;

	if (len > VL_BTF_MAX)
		return vl_error_new(VL_ERR_ARG,
				    "its BTF is larger than %u MiB, the limit for a kernel",
				    VL_BTF_MAX >> 20);
	err = vl_layout_from_btf(btf, len, vl_deadline_in(TYPES_NS), &layout);
	if (err) {
		err->code = VL_ERR_ARG;
		return vl_error_hint(vl_error_prefix(err, "its BTF cannot be used"),
				     "fetch the file again from its distribution");
	}
	return store(a, build_id, btf, len);
}

/* Store the fields that the DWARF of @elf, @len bytes, shows. */
static struct vl_error *add_dwarf(const struct adding *a, const char *build_id, const void *elf,
				  size_t len)
{
	_cleanup_free_ char *text = NULL;
	struct vl_layout layout;
	struct vl_error *err = vl_layout_from_dwarf(elf, len, &layout);
	size_t size;

	if (!err)
		err = vl_layout_print(&layout, &text, &size);
	if (!err)
		return store(a, build_id, text, size);
	if (err->code == VL_ERR_KERNEL)
		err->code = VL_ERR_ARG;
	return err;
}

/*
 * The section @name of @elf as it lies in the file; NULL: there is none, or its bytes are missing.
 */
static Elf_Data *section(Elf *elf, const char *name)
{
	Elf_Scn *scn = NULL;
	size_t names;

	if (elf_getshdrstrndx(elf, &names))
		return NULL;
	while ((scn = elf_nextscn(elf, scn))) {
		const Elf64_Shdr *head = elf64_getshdr(scn);
		const char *is = head ? elf_strptr(elf, names, head->sh_name) : NULL;
		Elf_Data *data;

		if (!is || strcmp(is, name) != 0 || head->sh_type == SHT_NOBITS)
			continue;
		data = elf_rawdata(scn, NULL);
		return data && data->d_buf && data->d_size ? data : NULL;
	}
	return NULL;
}

/* The build id by the notes of @elf; false: it has none. */
static bool find_build_id(Elf *elf, char ret[VL_BUILD_ID_MAX + 1])
{
	Elf_Scn *scn = NULL;

	while ((scn = elf_nextscn(elf, scn))) {
		const Elf64_Shdr *head = elf64_getshdr(scn);
		Elf_Data *data = head && head->sh_type == SHT_NOTE ? elf_rawdata(scn, NULL) : NULL;

		if (data && data->d_buf && vl_build_id(data->d_buf, data->d_size, ret))
			return true;
	}
	return false;
}

static struct vl_error *add_from(const struct adding *a, Elf *elf, const void *bytes, size_t len)
{
	const Elf64_Ehdr *head = elf64_getehdr(elf);
	char build_id[VL_BUILD_ID_MAX + 1];
	Elf_Data *btf;

	if (!head || head->e_machine != EM_X86_64)
		return vl_error_new(VL_ERR_ARG, "this is not a kernel for x86-64");
	if (!find_build_id(elf, build_id) || !vl_is_build_id(build_id))
		return vl_error_new(VL_ERR_ARG, "it has no build id, so its kernel is not known");
	if (a->build_id && strcmp(a->build_id, build_id) != 0)
		return vl_error_new(VL_ERR_ARG, "it is of another build, %s", build_id);
	btf = section(elf, ".BTF");
	if (btf)
		return add_btf(a, build_id, btf->d_buf, btf->d_size);
	if (section(elf, ".debug_info"))
		return add_dwarf(a, build_id, bytes, len);
	return vl_error_hint(vl_error_new(VL_ERR_ARG, "it has no types"),
			     "name a vmlinux with BTF or DWARF, or the package with one");
}

static struct vl_error *add_elf(void *ctx, const struct vl_trust_origin *origin,
				const unsigned char *bytes, size_t len)
{
	struct vl_error *err;
	Elf *elf;

	(void)origin;
	elf_version(EV_CURRENT);
	/* The file is only read. */
	elf = elf_memory((char *)bytes, len);
	if (!elf)
		return vl_error_new(VL_ERR_ARG, "its ELF file is damaged: %s", elf_errmsg(-1));
	err = add_from(ctx, elf, bytes, len);
	elf_end(elf);
	return err;
}

/* Add the file @fd if it is BTF alone; *@is_ret: it is. */
static struct vl_error *add_raw(const struct adding *a, int fd, bool *is_ret)
{
	_cleanup_free_ char *bytes = NULL;
	uint16_t magic = 0;
	struct vl_error *err;
	size_t len;

	*is_ret = pread(fd, &magic, sizeof(magic), 0) == sizeof(magic) && magic == VL_BTF_MAGIC;
	if (!*is_ret)
		return NULL;
	if (!a->build_id)
		return vl_error_hint(vl_error_new(VL_ERR_ARG, "BTF alone does not name its kernel"),
				     "name its build id: --build-id=ID");
	err = vl_file_slurp(fd, VL_BTF_MAX + 1UL, &bytes, &len);
	return err ? err : add_btf(a, a->build_id, bytes, len);
}

struct vl_error *vl_types_add(const char *path, const char *build_id, vl_types_stored_fn *fn,
			      void *ctx)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	_cleanup_free_ char *dir = NULL;
	struct adding a = { .build_id = build_id, .fn = fn, .ctx = ctx };
	const struct vl_trust_taker taker = { .max = DEBUG_MAX, .kernel = add_elf, .ctx = &a };
	struct vl_error *err;
	bool is_raw;

	if (fd < 0)
		return vl_error_os(errno, "cannot read %s", path);
	if (build_id && !vl_is_build_id(build_id))
		return vl_error_new(VL_ERR_ARG,
				    "'%s' is not a build id: it has 8 to %u digits of "
				    "0-9 and a-f",
				    build_id, VL_BUILD_ID_MAX);
	err = vl_types_dir(&dir);
	if (err)
		return err;
	a.dir = dir;
	err = add_raw(&a, fd, &is_raw);
	if (err || is_raw)
		return err ? vl_error_prefix(err, "%s", path) : NULL;
	return vl_trust_each_file(path, &taker);
}

/* --- listing and removal --- */

/* Call @fn for the types in @dir whose build id begins with @front, unless @but has them, too. */
static struct vl_error *each(const char *dir, const char *front, const char *but,
			     vl_types_stored_fn *fn, void *ctx)
{
	_cleanup_closedir_ DIR *d = opendir(dir);
	struct vl_error *err = NULL;
	struct vl_types_stored s;
	struct dirent *e;

	if (!d)
		return vl_error_os(errno, "cannot read %s", dir);
	while (!err && (e = readdir(d))) {
		size_t len = strlen(e->d_name), n = strlen(TYPES);

		if (len <= n || strcmp(e->d_name + len - n, TYPES) != 0)
			continue;
		e->d_name[len - n] = '\0';
		if (vl_is_build_id(e->d_name) && !strncmp(e->d_name, front, strlen(front)) &&
		    !(but && find(but, e->d_name, &s)) && find(dir, e->d_name, &s))
			err = fn(ctx, &s);
	}
	return err;
}

struct vl_error *vl_types_list(vl_types_stored_fn *fn, void *ctx)
{
	const char *root = vl_types_root_dir();
	_cleanup_free_ char *dir = NULL;
	struct vl_error *err = vl_types_dir(&dir);

	if (!err)
		err = each(dir, "", NULL, fn, ctx);
	if (!err && root)
		err = each(root, "", dir, fn, ctx);
	return err;
}

struct removal {
	const char *dir;
	vl_types_stored_fn *fn;
	void *ctx;
	size_t nr;
};

static struct vl_error *remove_one(void *ctx, const struct vl_types_stored *s)
{
	_cleanup_free_ char *path = NULL;
	struct removal *r = ctx;

	if (asprintf(&path, "%s/%s" TYPES, r->dir, s->build_id) < 0)
		return vl_error_nomem();
	if (unlink(path) && errno != ENOENT)
		return vl_error_os(errno, "cannot remove %s", path);
	r->nr++;
	return r->fn(r->ctx, s);
}

struct vl_error *vl_types_remove(const char *name, vl_types_stored_fn *fn, void *ctx)
{
	_cleanup_free_ char *dir = NULL;
	struct removal r = { .fn = fn, .ctx = ctx };
	struct vl_error *err = vl_types_dir(&dir);

	if (err)
		return err;
	r.dir = dir;
	if (strlen(name) >= DIGITS_MIN)
		err = each(dir, name, NULL, remove_one, &r);
	if (err || r.nr)
		return err;
	return vl_error_hint(vl_error_new(VL_ERR_ARG, "%s has no types of build '%s'", dir, name),
			     "vlens types list shows them");
}
