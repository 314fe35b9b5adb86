/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "image.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "archive.h"
#include "internal.h"
#include "package.h"

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
static struct vl_error *unpack_payload(const unsigned char *payload, size_t len,
				       unsigned char **ret, size_t *len_ret)
{
	bool gzip = len > 2 && payload[0] == 0x1f && payload[1] == 0x8b;
	struct vl_error *err;
	uint32_t want;

	if (len < 8)
		return cut_short();
	want = get32(payload + len - 4);
	if (want > VL_TRUST_IMAGE_MAX)
		return vl_trust_damaged("it would be longer than any kernel");
	err = vl_uncompress(payload, gzip ? len : len - 4, want, ret, len_ret);
	if (err)
		return vl_error_prefix(err, "its payload");
	if (*len_ret == want)
		return NULL;
	free(vl_taken(*ret));
	return cut_short();
}

static struct vl_error *copy(const unsigned char *file, size_t len, unsigned char **ret,
			     size_t *len_ret)
{
	if (len > VL_TRUST_IMAGE_MAX)
		return vl_trust_damaged("it is longer than any kernel");
	*ret = malloc(len);
	if (!*ret)
		return vl_error_nomem();
	memcpy(*ret, file, len);
	*len_ret = len;
	return NULL;
}

struct vl_error *vl_trust_unpack(const void *file, size_t len, unsigned char **ret, size_t *len_ret)
{
	const unsigned char *p = file;
	struct vl_error *err;
	uint64_t at, size;

	if (is_elf(p, len))
		return copy(p, len, ret, len_ret);
	if (!is_boot_image(p, len)) {
		err = vl_uncompress(p, len, VL_TRUST_IMAGE_MAX, ret, len_ret);
		if (!err && is_elf(*ret, *len_ret))
			return NULL;
		if (!err)
			free(vl_taken(*ret));
		else if (err->code != VL_ERR_ARG)
			return err;
		vl_error_destroy(err);
		return vl_error_hint(vl_error_new(VL_ERR_ARG, "this is no kernel"),
				     "name a vmlinuz, a vmlinux, or a package with one");
	}
	if ((p[PROTOCOL] | p[PROTOCOL + 1] << 8) < WITH_PAYLOAD)
		return vl_error_new(VL_ERR_ARG, "this vmlinuz is older than Linux 2.6.26");
	at = ((p[SETUP_SECTS] ? p[SETUP_SECTS] : 4u) + 1) * SECTOR +
	     (uint64_t)get32(p + PAYLOAD_OFFSET);
	size = get32(p + PAYLOAD_LENGTH);
	if (!size || at > len || size > len - at)
		return cut_short();
	return unpack_payload(p + at, size, ret, len_ret);
}

/* --- files and directories --- */

/* Levels of directories below the named one. */
#define DEPTH_MAX 8

struct walk {
	vl_trust_kernel_fn *fn;
	void *ctx;
	struct vl_trust_origin origin;
	size_t nr; /* kernels so far */
};

static void hash(const unsigned char *bytes, size_t len, char ret[2 * SHA256_DIGEST_SIZE + 1])
{
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx sha;

	sha256_init(&sha);
	sha256_update(&sha, len, bytes);
	sha256_digest(&sha, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(ret + 2 * i, 3, "%02x", digest[i]);
}

static struct vl_error *one_kernel(struct walk *w, const unsigned char *file, size_t len)
{
	_cleanup_free_ unsigned char *elf = NULL;
	size_t elf_len;
	struct vl_error *err = vl_trust_unpack(file, len, &elf, &elf_len);

	if (err)
		return err;
	snprintf(w->origin.checked, sizeof(w->origin.checked), "no package");
	w->nr++;
	return w->fn(w->ctx, &w->origin, elf, elf_len);
}

/*
 * Take the kernels of the open file @fd. It is read once: the bytes that are hashed are those that
 * are unpacked, also where somebody changes the file meanwhile.
 */
static struct vl_error *one_file(struct walk *w, const char *path, int fd, size_t len)
{
	_cleanup_free_ unsigned char *file = NULL;
	struct vl_error *err;
	size_t done = 0;
	ssize_t n = 1;

	if (len < 4 || len > VL_TRUST_FILE_MAX)
		return vl_error_new(VL_ERR_ARG, "%s: it is too %s for a kernel", path,
				    len < 4 ? "short" : "long");
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
	hash(file, len, w->origin.sha256);
	if (vl_is_deb(file, len))
		err = vl_deb_each(file, len, &w->origin, w->fn, w->ctx, &w->nr);
	else if (vl_is_rpm(file, len))
		err = vl_rpm_each(file, len, &w->origin, w->fn, w->ctx, &w->nr);
	else
		err = one_kernel(w, file, len);
	return err ? vl_error_prefix(err, "%s", path) : NULL;
}

static bool ends_in(const char *name, const char *end)
{
	size_t len = strlen(name), n = strlen(end);

	return len >= n && !strcmp(name + len - n, end);
}

/*
 * Read @path. @named: the user has named it. Of the files in a directory only kernels and packages
 * are read, and links are not followed.
 */
static struct vl_error *any(struct walk *w, const char *path, bool named, unsigned depth)
{
	_cleanup_close_ int fd = -1;
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *e;
	struct stat st;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (named ? 0 : O_NOFOLLOW));
	if (fd < 0 && !named && errno == ELOOP)
		return NULL;
	if (fd < 0 || fstat(fd, &st))
		return vl_error_os(errno, "cannot read %s", path);
	if (S_ISREG(st.st_mode)) {
		if (!named && !vl_is_kernel_path(path) && !ends_in(path, ".deb") &&
		    !ends_in(path, ".rpm"))
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

struct vl_error *vl_trust_each(const char *path, vl_trust_kernel_fn *fn, void *ctx)
{
	struct walk *w = calloc(1, sizeof(*w));
	struct vl_error *err;

	if (!w)
		return vl_error_nomem();
	w->fn = fn;
	w->ctx = ctx;
	err = any(w, path, true, DEPTH_MAX);
	if (!err && !w->nr)
		err = vl_error_hint(vl_error_new(VL_ERR_ARG, "%s has no kernel in it", path),
				    "name a vmlinuz, a vmlinux, or a package with one");
	free(w);
	return err;
}
