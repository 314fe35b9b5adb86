/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "image.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/sha256.h"
#include "archive.h"
#include "internal.h"
#include "package.h"
#include "signature.h"

/* The setup header: Documentation/arch/x86/boot.rst of Linux. */
enum {
	SETUP_SECTS = 0x1f1, /* number of sectors behind the first one; 0 means 4 */
	BOOT_FLAG = 0x1fe,
	HEADER = 0x202,
	PROTOCOL = 0x206,
	PAYLOAD_OFFSET = 0x248,
	PAYLOAD_LENGTH = 0x24c,
	SETUP_END = 0x250,
};
#define SECTOR 512u
#define WITH_PAYLOAD 0x0208 /* the first protocol version with PAYLOAD_OFFSET */

static uint32_t get32(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static bool is_boot_image(const unsigned char *file, size_t len)
{
	return len > SETUP_END && file[BOOT_FLAG] == 0x55 && file[BOOT_FLAG + 1] == 0xaa &&
	       !memcmp(file + HEADER, "HdrS", 4);
}

static bool is_elf(const unsigned char *file, size_t len)
{
	return len > SELFMAG && !memcmp(file, ELFMAG, SELFMAG);
}

static struct vl_error *cut_short(void)
{
	return vl_trust_damaged("it is cut short");
}

/*
 * The last 4 bytes of the payload are the length that it unpacks to: gzip's own, or one that the
 * kernel's build appends.
 */
static struct vl_error *unpack_payload(const unsigned char *payload, size_t len, size_t max,
				       unsigned char **ret, size_t *len_ret)
{
	bool gzip = len > 2 && payload[0] == 0x1f && payload[1] == 0x8b;
	_cleanup_free_ unsigned char *image = NULL;
	struct vl_error *err;
	uint32_t want;

	if (len < 8)
		return cut_short();
	want = get32(payload + len - 4);
	if (want > max)
		return vl_trust_damaged("it would be longer than any kernel");
	err = vl_uncompress(payload, gzip ? len : len - 4, want, &image, len_ret);
	if (err)
		return vl_error_prefix(err, "its payload");
	if (*len_ret != want)
		return cut_short();
	*ret = vl_taken(image);
	return NULL;
}

static struct vl_error *copy(const unsigned char *file, size_t len, size_t max, unsigned char **ret,
			     size_t *len_ret)
{
	if (len > max)
		return vl_trust_damaged("it is longer than any kernel");
	*ret = malloc(len);
	if (!*ret)
		return vl_error_nomem();
	memcpy(*ret, file, len);
	*len_ret = len;
	return NULL;
}

struct vl_error *vl_trust_unpack(const void *file, size_t len, size_t max, unsigned char **ret,
				 size_t *len_ret)
{
	const unsigned char *p = file;
	struct vl_error *err;
	uint64_t at, size;

	if (is_elf(p, len))
		return copy(p, len, max, ret, len_ret);
	if (!is_boot_image(p, len)) {
		_cleanup_free_ unsigned char *elf = NULL;

		err = vl_uncompress(p, len, max, &elf, len_ret);
		if (err && err->code != VL_ERR_ARG)
			return err;
		if (vl_discard(err) || !is_elf(elf, *len_ret))
			return vl_error_hint(vl_error_new(VL_ERR_ARG, "this is not a kernel"),
					     "name a vmlinuz, a vmlinux, or a package with one");
		*ret = vl_taken(elf);
		return NULL;
	}
	if ((p[PROTOCOL] | p[PROTOCOL + 1] << 8) < WITH_PAYLOAD)
		return vl_error_new(VL_ERR_ARG, "this vmlinuz is older than Linux 2.6.26");
	at = ((p[SETUP_SECTS] ? p[SETUP_SECTS] : 4u) + 1) * SECTOR +
	     (uint64_t)get32(p + PAYLOAD_OFFSET);
	size = get32(p + PAYLOAD_LENGTH);
	if (!size || at > len || size > len - at)
		return cut_short();
	return unpack_payload(p + at, size, max, ret, len_ret);
}

/* --- files and directories --- */

/* Levels of directories below the named one. */
#define DEPTH_MAX 24

struct walk {
	const struct vl_trust_taker *taker;
	struct vl_trust_origin origin;
	size_t nr;		 /* kernels and modules so far */
	struct vl_error *unread; /* the first file that we have no right to open; NULL: none */
};

/* Is the ELF file @elf not linked, as a module's is? */
static bool is_object(const unsigned char *elf, size_t len)
{
	Elf64_Ehdr head;

	if (len < sizeof(head))
		return false;
	memcpy(&head, elf, sizeof(head));
	return head.e_type == ET_REL;
}

/* @file is a kernel or a module. */
static struct vl_error *one_image(struct walk *w, const unsigned char *file, size_t len)
{
	const struct vl_trust_taker *taker = w->taker;
	_cleanup_free_ unsigned char *elf = NULL;
	size_t elf_len;
	struct vl_error *err =
		vl_trust_unpack(file, len, vl_trust_image_max(taker), &elf, &elf_len);

	if (err)
		return err;
	snprintf(w->origin.checked, sizeof(w->origin.checked), "no package");
	vl_signer(is_boot_image(file, len) ? file : elf, is_boot_image(file, len) ? len : elf_len,
		  w->origin.signer, sizeof(w->origin.signer));
	w->nr++;
	if (is_object(elf, elf_len) && taker->module)
		return taker->module(taker->ctx, &w->origin, elf, elf_len);
	return taker->kernel(taker->ctx, &w->origin, elf, elf_len);
}

/*
 * Take the kernels of the open file @fd. It is read once, so that the hash is of the bytes that are
 * unpacked, even if the file changes meanwhile.
 */
static struct vl_error *one_file(struct walk *w, const char *path, int fd, size_t len)
{
	_cleanup_free_ unsigned char *file = NULL;
	struct vl_error *err;
	size_t done = 0;
	ssize_t n = 1;

	if (!len)
		return vl_error_new(VL_ERR_ARG, "%s is empty", path);
	if (len > VL_TRUST_FILE_MAX)
		return vl_error_new(VL_ERR_ARG, "%s is larger than %lu MiB, the limit for a kernel",
				    path, VL_TRUST_FILE_MAX >> 20);
	file = malloc(len);
	if (!file)
		return vl_error_nomem();
	for (; done < len && n > 0; done += n > 0 ? (size_t)n : 0)
		n = read(fd, file + done, len - done);
	if (n < 0)
		return vl_error_os(errno, "cannot read %s", path);
	if (done < len)
		return vl_error_prefix(cut_short(), "%s", path);
	w->origin = (struct vl_trust_origin){ .path = "" };
	snprintf(w->origin.path, sizeof(w->origin.path), "%s", path);
	vl_sha256_text(file, len, w->origin.sha256);
	if (vl_is_deb(file, len))
		err = vl_deb_each(file, len, &w->origin, w->taker, &w->nr);
	else if (vl_is_rpm(file, len))
		err = vl_rpm_each(file, len, &w->origin, w->taker, &w->nr);
	else
		err = one_image(w, file, len);
	return err ? vl_error_prefix(err, "%s", path) : NULL;
}

static bool ends_in(const char *name, const char *end)
{
	size_t len = strlen(name), n = strlen(end);

	return len >= n && !strcmp(name + len - n, end);
}

/*
 * Read @path. @named: the user has named it. In a directory only kernels and packages are read, and
 * links are not followed. What cannot be opened there is skipped.
 */
static struct vl_error *any(struct walk *w, const char *path, bool named, unsigned depth)
{
	_cleanup_close_ int fd = -1;
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *e;
	struct stat st;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (named ? 0 : O_NOFOLLOW));
	/* A link, a socket (ENXIO), a file of others, or one that has gone. */
	if (fd < 0 && !named && errno != EMFILE && errno != ENFILE && errno != ENOMEM) {
		if (errno == EACCES && !w->unread)
			w->unread = vl_error_os(errno, "cannot read %s", path);
		return NULL;
	}
	if (fd < 0 || fstat(fd, &st))
		return vl_error_os(errno, "cannot read %s", path);
	if (S_ISREG(st.st_mode)) {
		if (!named && !vl_is_kernel_path(path) && !ends_in(path, ".deb") &&
		    !ends_in(path, ".rpm") && !(w->taker->module && vl_is_module_path(path)))
			return NULL;
		return one_file(w, path, fd, (size_t)st.st_size);
	}
	if (!S_ISDIR(st.st_mode))
		return named ? vl_error_new(VL_ERR_ARG, "%s is neither a file nor a directory",
					    path) :
			       NULL;
	if (!depth)
		return NULL;
	dir = fdopendir(fd);
	if (!dir)
		return vl_error_os(errno, "cannot read %s", path);
	vl_taken_fd(&fd);
	while ((e = readdir(dir))) {
		_cleanup_free_ char *below = NULL;
		struct vl_error *err;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (asprintf(&below, "%s/%s", path, e->d_name) < 0)
			return vl_error_nomem();
		err = any(w, below, false, depth - 1);
		if (err)
			return err;
	}
	return NULL;
}

struct vl_error *vl_trust_each_file(const char *path, const struct vl_trust_taker *taker)
{
	_cleanup_free_ struct walk *w = calloc(1, sizeof(*w));
	struct vl_error *err;

	if (!w)
		return vl_error_nomem();
	w->taker = taker;
	err = any(w, path, true, DEPTH_MAX);
	if (!err && !w->nr) {
		err = w->unread;
		w->unread = NULL;
	}
	vl_error_destroy(w->unread);
	if (err || w->nr)
		return err;
	return vl_error_hint(vl_error_new(VL_ERR_ARG, "%s has no kernel in it", path),
			     "name a vmlinuz, a vmlinux, or a package with one");
}

struct vl_error *vl_trust_each(const char *path, vl_trust_kernel_fn *fn, void *ctx)
{
	const struct vl_trust_taker taker = { .kernel = fn, .ctx = ctx };

	return vl_trust_each_file(path, &taker);
}
