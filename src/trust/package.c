/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "package.h"

#include <nettle/md5.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/append.h"
#include "../base/array.h"
#include "../base/cleanup.h"
#include "../base/sha256.h"
#include "archive.h"
#include "signature.h"

/* Limit of a package's list of checksums, in bytes; a kernel's has 0.5 MiB. */
#define LIST_MAX (16u << 20)
#define CONTROL_MAX (1u << 20)

bool vl_is_deb(const unsigned char *file, size_t len)
{
	return len > 8 && !memcmp(file, "!<arch>\n", 8);
}

bool vl_is_rpm(const unsigned char *file, size_t len)
{
	return len > 4 && !memcmp(file, "\xed\xab\xee\xdb", 4);
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool vl_is_kernel_path(const char *path)
{
	const char *name = base_name(path);
	size_t len = strlen(name);

	/* Its checksum and its signature are beside it (.vmlinuz.hmac, vmlinuz.sig). */
	return (!strncmp(name, "vmlinuz", 7) || !strncmp(name, "vmlinux", 7)) &&
	       !(len > 4 && !strcmp(name + len - 4, ".sig"));
}

bool vl_is_module_path(const char *path)
{
	static const char *const ends[] = { ".ko", ".ko.gz", ".ko.xz", ".ko.zst" };
	size_t len = strlen(path);

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		if (len > strlen(ends[i]) && !strcmp(path + len - strlen(ends[i]), ends[i]))
			return true;
	return false;
}

/* Give a module's file, which may be compressed, to @taker. */
static struct vl_error *give_module(const struct vl_trust_taker *taker, struct vl_trust_origin *o,
				    const unsigned char *file, size_t len)
{
	_cleanup_free_ unsigned char *ko = NULL;
	struct vl_error *err;
	size_t ko_len;

	if (len < 4 || memcmp(file, "\177ELF", 4) != 0) {
		err = vl_uncompress(file, len, VL_TRUST_MODULE_MAX, &ko, &ko_len);
		if (err)
			return err;
		file = ko;
		len = ko_len;
	}
	vl_signer(file, len, o->signer, sizeof(o->signer));
	return taker->module(taker->ctx, o, file, len);
}

/* Is the MD5 checksum of @file, the member @path, in the list @md5sums? */
static bool is_listed(const char *md5sums, const char *path, const unsigned char *file, size_t len)
{
	char line[2 * MD5_DIGEST_SIZE + 2 + sizeof(((struct vl_trust_origin *)0)->member) + 1] = "";
	uint8_t digest[MD5_DIGEST_SIZE];
	struct md5_ctx md5;

	md5_init(&md5);
	md5_update(&md5, len, file);
	md5_digest(&md5, sizeof(digest), digest);
	vl_append_hex(line, sizeof(line), digest, sizeof(digest));
	vl_append(line, sizeof(line), "  %s\n", path);
	return strstr(md5sums, line);
}

/* Unpack a kernel, @file, and give it to @taker. */
static struct vl_error *give_kernel(const struct vl_trust_taker *taker, struct vl_trust_origin *o,
				    const unsigned char *file, size_t len)
{
	_cleanup_free_ unsigned char *elf = NULL;
	size_t elf_len;
	struct vl_error *err =
		vl_trust_unpack(file, len, vl_trust_image_max(taker), &elf, &elf_len);

	if (err)
		return err;
	vl_signer(file, len, o->signer, sizeof(o->signer));
	return taker->kernel(taker->ctx, o, elf, elf_len);
}

/* --- members, in a thread of their own --- */

/* Unpacking a member takes as long as checking and packing it, so a short queue is enough. */
#define WAITING 4

struct member {
	unsigned char *file;
	size_t len;
	struct vl_trust_origin origin;
	bool is_kernel;
};

struct members {
	const char *md5sums; /* or NULL */
	const struct vl_trust_taker *taker;
	pthread_t thread;
	/* --- under @lock --- */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct member waiting[WAITING];
	size_t first, nr;
	bool end;
	struct vl_error *err; /* the first one: no other member is taken */
};

/* Check a member against the list, and give it to the taker. */
static struct vl_error *take(const struct members *all, struct member *m)
{
	struct vl_error *err = NULL;

	if (all->md5sums && !is_listed(all->md5sums, m->origin.member, m->file, m->len))
		err = vl_error_new(VL_ERR_ARG, "its checksum is not the one in the package's list");
	if (!err && m->is_kernel)
		err = give_kernel(all->taker, &m->origin, m->file, m->len);
	else if (!err)
		err = give_module(all->taker, &m->origin, m->file, m->len);
	return err ? vl_error_prefix(err, "%s", m->origin.member) : NULL;
}

static void *take_members(void *ctx)
{
	struct members *all = ctx;

	pthread_mutex_lock(&all->lock);
	for (;;) {
		struct member *m = &all->waiting[all->first];
		struct vl_error *err = NULL;

		while (!all->nr && !all->end)
			pthread_cond_wait(&all->changed, &all->lock);
		if (!all->nr)
			break;
		if (!all->err) {
			pthread_mutex_unlock(&all->lock);
			err = take(all, m);
			pthread_mutex_lock(&all->lock);
		}
		if (err)
			all->err = err;
		free(m->file);
		all->first = (all->first + 1) % WAITING;
		all->nr--;
		pthread_cond_signal(&all->changed);
	}
	pthread_mutex_unlock(&all->lock);
	return NULL;
}

/* Put the member @path, which @a is at, into the queue. */
static struct vl_error *put_member(struct members *all, struct vl_archive *a, const char *path,
				   const struct vl_trust_origin *o)
{
	struct member m = { .origin = *o, .is_kernel = vl_is_kernel_path(path) };
	struct vl_error *err;

	path += strspn(path, "./");
	snprintf(m.origin.member, sizeof(m.origin.member), "%s", path);
	err = vl_archive_read(a, m.is_kernel ? vl_trust_image_max(all->taker) : VL_TRUST_MODULE_MAX,
			      &m.file, &m.len);
	if (err)
		return vl_error_prefix(err, "%s", m.origin.member);
	pthread_mutex_lock(&all->lock);
	while (all->nr == WAITING)
		pthread_cond_wait(&all->changed, &all->lock);
	all->waiting[(all->first + all->nr++) % WAITING] = m;
	pthread_cond_signal(&all->changed);
	pthread_mutex_unlock(&all->lock);
	return NULL;
}

static bool has_failed(struct members *all)
{
	bool failed;

	pthread_mutex_lock(&all->lock);
	failed = all->err != NULL;
	pthread_mutex_unlock(&all->lock);
	return failed;
}

/* Wait until all members are taken. An error of a member came first, and replaces @err. */
static struct vl_error *finish(struct members *all, struct vl_error *err)
{
	pthread_mutex_lock(&all->lock);
	all->end = true;
	pthread_cond_signal(&all->changed);
	pthread_mutex_unlock(&all->lock);
	pthread_join(all->thread, NULL);
	pthread_mutex_destroy(&all->lock);
	pthread_cond_destroy(&all->changed);
	if (!all->err)
		return err;
	vl_error_destroy(err);
	return all->err;
}

/* The value of the line "@name: value" of @control. */
static void field(const char *control, const char *name, char *ret, size_t size)
{
	size_t len = strlen(name);

	for (const char *line = control; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, len) != 0 || line[len] != ':')
			continue;
		line += len + 1;
		line += strspn(line, " ");
		snprintf(ret, size, "%.*s", (int)strcspn(line, "\n"), line);
		return;
	}
}

/* Read the package's name and version, and its list of checksums; *@md5sums is malloc'ed. */
static struct vl_error *read_control(struct vl_archive *outer, struct vl_trust_origin *o,
				     char **md5sums)
{
	_cleanup_archive_ struct vl_archive *a = NULL;
	struct vl_error *err = vl_archive_open_member(outer, &a);
	const char *path;
	uint64_t size;

	if (err)
		return err;
	while (!(err = vl_archive_next(a, &path, &size)) && path) {
		_cleanup_free_ unsigned char *text = NULL;
		bool sums = !strcmp(base_name(path), "md5sums");
		size_t len;

		if (!sums && strcmp(base_name(path), "control") != 0)
			continue;
		err = vl_archive_read(a, sums ? LIST_MAX : CONTROL_MAX, &text, &len);
		if (err)
			return err;
		if (sums) {
			free(*md5sums);
			*md5sums = (char *)vl_taken(text);
			continue;
		}
		field((char *)text, "Package", o->package, sizeof(o->package));
		field((char *)text, "Version", o->version, sizeof(o->version));
	}
	return err;
}

/* Give all kernels and modules of archive @a to @taker, by a thread that checks and keeps them. */
static struct vl_error *each_file(struct vl_archive *a, const struct vl_trust_origin *o,
				  const char *md5sums, const struct vl_trust_taker *taker,
				  size_t *nr)
{
	_cleanup_free_ struct members *all = calloc(1, sizeof(*all));
	struct vl_error *err = NULL;
	const char *path;
	uint64_t size;
	int failed;

	if (!all)
		return vl_error_nomem();
	all->md5sums = md5sums;
	all->taker = taker;
	pthread_mutex_init(&all->lock, NULL);
	pthread_cond_init(&all->changed, NULL);
	failed = pthread_create(&all->thread, NULL, take_members, all);
	if (failed) {
		pthread_mutex_destroy(&all->lock);
		pthread_cond_destroy(&all->changed);
		return vl_error_os(failed, "cannot start a thread");
	}
	while (!has_failed(all) && !(err = vl_archive_next(a, &path, &size)) && path) {
		/* A file with hard links has its content under only one of its names. */
		if (!size ||
		    (!vl_is_kernel_path(path) && !(taker->module && vl_is_module_path(path))))
			continue;
		err = put_member(all, a, path, o);
		if (err)
			break;
		++*nr;
	}
	return finish(all, err);
}

struct vl_error *vl_deb_each(const unsigned char *file, size_t len, struct vl_trust_origin *o,
			     const struct vl_trust_taker *taker, size_t *nr)
{
	_cleanup_archive_ struct vl_archive *outer = NULL;
	_cleanup_free_ char *md5sums = NULL;
	struct vl_error *err = vl_archive_open(file, len, &outer);
	const char *path;
	uint64_t size;
	bool is_signed = false;

	if (err)
		return err;
	while (!err && !(err = vl_archive_next(outer, &path, &size)) && path) {
		_cleanup_archive_ struct vl_archive *inner = NULL;

		/* dpkg-sig and debsigs put signatures beside the data, even behind it. */
		is_signed |= !strncmp(path, "_gpg", 4);
		snprintf(o->checked, sizeof(o->checked), "%s%s",
			 md5sums ? "MD5 verified" : "no checksums to verify",
			 is_signed ? "; signature not verified" : "; no signature in it");
		if (!strncmp(path, "control.tar", 11)) {
			err = read_control(outer, o, &md5sums);
		} else if (!strncmp(path, "data.tar", 8)) {
			err = vl_archive_open_member(outer, &inner);
			if (!err)
				err = each_file(inner, o, md5sums, taker, nr);
		}
	}
	return err;
}

/* --- rpm: the lead, the header of signatures, the header, the files (rpm's format.md) --- */

#define RPM_LEAD 96
#define RPM_ENTRIES_MAX 4096

enum { RPM_NAME = 1000, RPM_VERSION = 1001, RPM_RELEASE = 1002, RPM_PAYLOAD_SHA256 = 5092 };
/* In the header of signatures. */
enum { RPM_DSA = 267, RPM_RSA = 268, RPM_SHA256 = 273, RPM_PGP = 1002, RPM_GPG = 1005 };

struct rpm_header {
	const unsigned char *bytes; /* NULL: there is none */
	size_t len;		    /* with its own head */
	size_t nr, data_len;
	const unsigned char *entries, *data;
};

static uint32_t be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The header at offset @at of @file. */
static struct rpm_header rpm_header(const unsigned char *file, size_t len, size_t at)
{
	static const unsigned char magic[4] = { 0x8e, 0xad, 0xe8, 1 };
	struct rpm_header h = { .bytes = NULL };
	uint64_t whole;

	if (at > len || len - at < 16 || memcmp(file + at, magic, sizeof(magic)) != 0)
		return h;
	h.nr = be32(file + at + 8);
	h.data_len = be32(file + at + 12);
	whole = 16 + 16 * (uint64_t)h.nr + h.data_len;
	if (h.nr > RPM_ENTRIES_MAX || whole > len - at)
		return h;
	h.bytes = file + at;
	h.len = whole;
	h.entries = h.bytes + 16;
	h.data = h.entries + 16 * h.nr;
	return h;
}

/* The text of @tag, bounded by the header; NULL: there is none. */
static const char *rpm_text(const struct rpm_header *h, uint32_t tag)
{
	for (size_t i = 0; h->bytes && i < h->nr; i++) {
		const unsigned char *e = h->entries + 16 * i;
		size_t at = be32(e + 8);

		if (be32(e) != tag)
			continue;
		return at < h->data_len && memchr(h->data + at, 0, h->data_len - at) ?
			       (const char *)h->data + at :
			       NULL;
	}
	return NULL;
}

static bool rpm_has(const struct rpm_header *h, uint32_t tag)
{
	for (size_t i = 0; h->bytes && i < h->nr; i++)
		if (be32(h->entries + 16 * i) == tag)
			return true;
	return false;
}

static bool sha256_is(const unsigned char *bytes, size_t len, const char *want)
{
	char text[65];

	vl_sha256_text(bytes, len, text);
	return !strcmp(text, want);
}

/* Read the package's name and version from its headers, and check its checksums if it has any. */
static struct vl_error *read_rpm(const unsigned char *file, size_t len, struct vl_trust_origin *o)
{
	const struct rpm_header sig = rpm_header(file, len, RPM_LEAD);
	/* The second header is aligned to 8 bytes. */
	size_t at = RPM_LEAD + ((sig.len + 7) & ~(size_t)7);
	const struct rpm_header head = rpm_header(file, len, at);
	const char *name, *version, *release, *header_sum, *payload_sum;
	bool is_signed = rpm_has(&sig, RPM_RSA) || rpm_has(&sig, RPM_DSA) ||
			 rpm_has(&sig, RPM_PGP) || rpm_has(&sig, RPM_GPG);

	if (!sig.bytes || !head.bytes)
		return vl_error_hint(vl_error_new(VL_ERR_ARG, "its headers are damaged"),
				     "fetch the package again");
	name = rpm_text(&head, RPM_NAME);
	version = rpm_text(&head, RPM_VERSION);
	release = rpm_text(&head, RPM_RELEASE);
	header_sum = rpm_text(&sig, RPM_SHA256);
	payload_sum = rpm_text(&head, RPM_PAYLOAD_SHA256);
	snprintf(o->package, sizeof(o->package), "%s", name ? name : "");
	snprintf(o->version, sizeof(o->version), "%s%s%s", version ? version : "",
		 release ? "-" : "", release ? release : "");
	if ((header_sum && !sha256_is(head.bytes, head.len, header_sum)) ||
	    (payload_sum && !sha256_is(file + at + head.len, len - at - head.len, payload_sum)))
		return vl_error_hint(
			vl_error_new(VL_ERR_ARG, "its checksum is not the one in its header"),
			"fetch the package again");
	snprintf(o->checked, sizeof(o->checked), "%s%s",
		 header_sum && payload_sum ? "SHA-256 verified" :
					     "no checksum of all of its content",
		 is_signed ? "; signature not verified" : "; no signature in it");
	return NULL;
}

struct vl_error *vl_rpm_each(const unsigned char *file, size_t len, struct vl_trust_origin *o,
			     const struct vl_trust_taker *taker, size_t *nr)
{
	_cleanup_archive_ struct vl_archive *a = NULL;
	struct vl_error *err = read_rpm(file, len, o);

	if (!err)
		err = vl_archive_open(file, len, &a);
	return err ? err : each_file(a, o, NULL, taker, nr);
}
