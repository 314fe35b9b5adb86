/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The key of a kernel in the cache: a hash of its content, whatever name it claims. */
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>

#include "../base/append.h"
#include "../base/array.h"
#include "kernel.h"

_Static_assert(2 * SHA256_DIGEST_SIZE == VL_KEY_MAX, "a key is a SHA-256");

/* The length goes first, so that bytes cannot move from one piece to the next. */
static void add(struct sha256_ctx *sha, const void *data, uint64_t len)
{
	sha256_update(sha, sizeof(len), (const uint8_t *)&len);
	if (len)
		sha256_update(sha, len, data);
}

void vl_kernel_key(const struct vl_kallsyms_tables *symbols, const struct vl_kernel_types *types,
		   char ret[VL_KEY_MAX + 1])
{
	const struct vl_kallsyms_bytes parts[] = { symbols->names, symbols->tokens,
						   symbols->offsets };
	const uint32_t head[] = { symbols->form, symbols->nr };
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx sha;

	sha256_init(&sha);
	add(&sha, head, sizeof(head));
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		add(&sha, parts[i].at, parts[i].len);
	add(&sha, types->btf.at, types->btf.len);
	if (types->offsets.len)
		add(&sha, types->offsets.at, types->offsets.len);
	if (types->text.len) {
		add(&sha, &types->text_va, sizeof(types->text_va));
		add(&sha, &types->base, sizeof(types->base));
		add(&sha, types->text.at, types->text.len);
	}
	if (symbols->form == VL_KALLSYMS_NONE) {
		const uint64_t places[] = { types->names_va, types->tokens_va, types->offsets_va,
					    types->bugs, types->bugs_len };

		add(&sha, places, sizeof(places));
	}
	sha256_digest(&sha, sizeof(digest), digest);
	*ret = '\0';
	vl_append_hex(ret, 2 * sizeof(digest) + 1, digest, sizeof(digest));
}
