/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files of modules: packed, compressed, signed. */
#include <stdlib.h>
#include <string.h>

#include "../../src/base/hash.h"
#include "../../src/trust/lz4.h"
#include "../../src/trust/pack.h"
#include "../../src/trust/signature.h"
#include "made-module.h"
#include "tap.h"

static void test_pack(void)
{
	const struct vl_pack_module about = { .signer = "somebody", .package = "linux-image" };
	struct vl_packer p = { .nr = 0 }, q = { .nr = 0 };
	struct vl_pack_module entry = { .name = "" };
	unsigned char *pack, *more, *copy;
	size_t len, more_len, opened = 0, wrong = 0;
	uint64_t seed = 7;
	struct vl_trust *t;
	struct made m;

	for (unsigned char build = 1; build <= 2; build++) {
		make_module(&m, "exported", build);
		vl_error_destroy(vl_trust_module_open(m.bytes, m.len, &t));
		vl_error_destroy(vl_packer_add(&p, t, m.bytes, m.len, &about));
		vl_error_destroy(vl_packer_add(&p, t, m.bytes, m.len, &about));
		vl_trust_close(t);
	}
	ok(!vl_packer_finish(&p, &pack, &len) && vl_pack_nr(pack, len) == 2,
	   "a pack has each build of a module once");
	ok(vl_pack_find(pack, len, "made_by_hand") == 0 && vl_pack_find(pack, len, "made") == 2,
	   "a module is found by its name");
	ok(vl_pack_module(pack, len, 1, &entry) && !strcmp(entry.signer, "somebody"),
	   "its signer is kept");
	ok(vl_pack_is_sound(pack, len), "its index has the right checksum");
	ok(!vl_pack_open(pack, len, &entry, &t) && !strcmp(t->build_id, entry.build_id),
	   "it is opened");
	vl_trust_close(t);
	ok(!vl_packer_merge(&q, pack, len) && !vl_packer_merge(&q, pack, len) &&
		   !vl_packer_finish(&q, &more, &more_len) && vl_pack_nr(more, more_len) == 2,
	   "a pack is merged into another one");
	for (int i = 0; i < ROUNDS / 4; i++) {
		size_t n;

		copy = malloc(len);
		memcpy(copy, pack, len);
		n = damage(copy, len, &seed);
		for (size_t k = 0; k < 2; k++) {
			if (!vl_pack_module(copy, n, k, &entry))
				continue;
			struct vl_error *err = vl_pack_open(copy, n, &entry, &t);

			opened += !err;
			wrong += !err && vl_pack_is_sound(copy, n) &&
				 memcmp(copy + entry.at, pack + entry.at, entry.packed) != 0;
			if (!err)
				vl_trust_close(t);
			vl_error_destroy(err);
			/* Somebody may have changed the checksum, too. */
			entry.sum = vl_sum(copy + entry.at, entry.packed);
			err = vl_pack_open(copy, n, &entry, &t);
			if (!err)
				vl_trust_close(t);
			vl_error_destroy(err);
		}
		wrong += vl_pack_is_sound(copy, n) &&
			 memcmp(copy, pack, 32 + 2 * sizeof(entry)) != 0;
		free(copy);
	}
	ok(opened > 0 && opened < ROUNDS / 2, "broken packs are refused");
	ok(!wrong, "no module is opened whose bytes or entry are other ones");
	free(pack);
	free(more);
	vl_packer_deinit(&p);
	vl_packer_deinit(&q);
}

static void test_lz4(void)
{
	static unsigned char in[70000], packed[71000], out[70000];
	uint64_t seed = 3;
	bool same = true;
	size_t n = 0;

	for (size_t len = 0; len < sizeof(in); len = len * 3 / 2 + 1) {
		for (size_t i = 0; i < len; i++)
			in[i] = (unsigned char)(i / 700 % 2 ? random_number(&seed) : i / 100);
		n = vl_lz4_pack(in, len, packed);
		same &= n && n <= vl_lz4_bound(len) && vl_lz4_unpack(packed, n, out, len) &&
			!memcmp(in, out, len);
		/* Neither a longer nor a shorter one fits. */
		same &= !vl_lz4_unpack(packed, n, out, len + 1) &&
			(!len || !vl_lz4_unpack(packed, n, out, len - 1)) &&
			(n < 2 || !vl_lz4_unpack(packed, n - 1, out, len));
	}
	ok(same, "what is packed is unpacked again");
	memset(in, 0, sizeof(in));
	ok(vl_lz4_pack(in, sizeof(in), packed) < 400, "zeros take no room");
}

static void test_signer(void)
{
	/* PKCS #7: a signer whose certificate has the issuer "Me\e" and the number 0x1234. */
	/* clang-format off */
	static const unsigned char der[] = {
		0x30, 43, 6, 1, 0, 0xa0, 38, 0x30, 36, 2, 1, 1, 0x31, 0, 0x30, 0,
		0x31, 27, 0x30, 25, 2, 1, 1, 0x30, 20, 0x30, 14, 0x31, 12, 0x30, 10,
		6, 3, 0x55, 4, 3, 0x0c, 3, 'M', 'e', 0x1b, 2, 2, 0x12, 0x34,
	};
	/* clang-format on */
	static const char end[] = "~Module signature appended~\n";
	unsigned char file[256] = "module";
	size_t len = 6;
	uint64_t seed = 9;
	char text_of[128];

	memcpy(file + len, der, sizeof(der));
	len += sizeof(der);
	memset(file + len, 0, 8);
	memcpy(file + len + 8, "\0\0\0", 3);
	file[len + 11] = sizeof(der);
	memcpy(file + len + 12, end, sizeof(end) - 1);
	len += 12 + sizeof(end) - 1;
	vl_signer(file, len, text_of, sizeof(text_of));
	ok(!strcmp(text_of, "Me?, 1234"), "a signer is named, without hostile characters");
	for (int i = 0; i < ROUNDS; i++) {
		unsigned char *copy = malloc(len);

		memcpy(copy, file, len);
		copy[6 + random_number(&seed) % sizeof(der)] = (unsigned char)random_number(&seed);
		vl_signer(copy, len, text_of, sizeof(text_of));
		free(copy);
	}
	vl_signer((const unsigned char *)"unsigned", 8, text_of, sizeof(text_of));
	ok(!*text_of, "a file without a signature has no signer");
}

int main(void)
{
	test_pack();
	test_lz4();
	test_signer();
	return tap_end();
}
