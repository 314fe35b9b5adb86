/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pack: the modules of a release in one file. An index, in the order of names, and behind it the
 * modules, each compressed (lz4.h) without the sections that vlens does not read. A name can be
 * there several times, with different builds.
 */
#ifndef VLENS_TRUST_PACK_H
#define VLENS_TRUST_PACK_H

#include "trust.h"

/* Limits of a pack: in bytes, and of its modules. */
#define VL_PACK_MAX (512UL << 20)
#define VL_PACK_MODULES 65536

/* An entry of the index. Texts end with a NUL. */
struct vl_pack_module {
	char name[VL_TRUST_MODULE_NAME];
	char build_id[VL_BUILD_ID_MAX + 1]; /* or "" */
	char sha256[65];		    /* of the module's whole file */
	char package[128], version[128];    /* or "" */
	char checked[128];		    /* what vouches for the package's content, in words */
	char signer[128];		    /* who has signed the module, or "" */
	uint32_t packed, len;		    /* in bytes: compressed, and not */
	uint64_t at;			    /* in bytes from the start of the pack */
	uint64_t sum;			    /* checksum of the compressed bytes */
};

/* --- reading: @pack, @len bytes, can be damaged --- */

/* The number of modules in the pack; 0: it is none. */
size_t vl_pack_nr(const unsigned char *pack, size_t len);

/* Is the checksum of the index right? Call this before reading a pack. */
bool vl_pack_is_sound(const unsigned char *pack, size_t len);

/* Read entry @i; false: it is damaged. */
bool vl_pack_module(const unsigned char *pack, size_t len, size_t i, struct vl_pack_module *ret);

/* The index of the first entry @name; vl_pack_nr(): there is none. The next ones follow it. */
size_t vl_pack_find(const unsigned char *pack, size_t len, const char *name);

/* Open the module of @m; the caller owns *@ret. */
struct vl_error *vl_pack_open(const unsigned char *pack, size_t len, const struct vl_pack_module *m,
			      struct vl_trust **ret);

/* --- writing --- */

/* A pack that is being made, of one release. */
struct vl_packer {
	struct vl_pack_module *modules;
	size_t nr, cap;
	unsigned char *bytes; /* the compressed modules; their `at` is from here */
	size_t len, room;
};

/* Free the content of @p, which is then empty like a zeroed one. */
void vl_packer_deinit(struct vl_packer *p);

/*
 * Add module @t, opened from @file, @len bytes. The texts of @m that are not of the file itself
 * (package, version, checked, signer, sha256) are taken over. One with the same name and build id
 * is replaced.
 */
struct vl_error *vl_packer_add(struct vl_packer *p, const struct vl_trust *t, const void *file,
			       size_t len, const struct vl_pack_module *m);

/* Add the modules of @pack that are not in @p yet. */
struct vl_error *vl_packer_merge(struct vl_packer *p, const unsigned char *pack, size_t len);

/* The whole pack; *@ret is malloc'ed. */
struct vl_error *vl_packer_finish(struct vl_packer *p, unsigned char **ret, size_t *len_ret);

#endif
