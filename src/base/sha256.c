/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sha256.h"

#include <nettle/sha2.h>
#include <stdint.h>

#include "append.h"

void vl_sha256_text(const void *bytes, size_t len, char ret[65])
{
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx sha;

	sha256_init(&sha);
	sha256_update(&sha, len, bytes);
	sha256_digest(&sha, sizeof(digest), digest);
	*ret = '\0';
	vl_append_hex(ret, 65, digest, sizeof(digest));
}
