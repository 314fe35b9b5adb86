/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files of distributions: kernels, modules, packages. */
#include "fuzzers.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "trust/dwarf.h"
#include "trust/image.h"
#include "trust/lz4.h"
#include "trust/lzop.h"
#include "trust/signature.h"

#define MOST (4UL << 20)

static void open_kernel(const unsigned char *elf, size_t len)
{
	struct vl_trust *t = NULL;
	char release[64];
	size_t n, init_len;
	uint64_t init;

	if (vl_discard(vl_trust_open(elf, len, &t)))
		return;
	vl_trust_release(t, release, sizeof(release));
	vl_error_destroy(vl_trust_place(t, 0x200000));
	vl_trust_text(t, &n);
	vl_trust_constants(t, &n, &init, &init_len);
	vl_trust_close(t);
}

/* A vmlinuz or a vmlinux, which may be compressed. */
void fuzz_boot(const unsigned char *data, size_t len)
{
	_cleanup_free_ unsigned char *elf = NULL;
	char signer[128];
	size_t elf_len;

	vl_signer(data, len, signer, sizeof(signer));
	if (!vl_discard(vl_trust_unpack(data, len, MOST, &elf, &elf_len)))
		open_kernel(elf, elf_len);
}

void fuzz_module(const unsigned char *data, size_t len)
{
	struct vl_trust *t = NULL;
	char signer[128];

	vl_signer(data, len, signer, sizeof(signer));
	if (!vl_discard(vl_trust_module_open(data, len, &t)))
		vl_trust_close(t);
}

static struct vl_error *take(void *ctx, const struct vl_trust_origin *origin,
			     const unsigned char *file, size_t len)
{
	(void)ctx, (void)origin, (void)file, (void)len;
	return NULL;
}

/* A package with kernels and modules: .deb or .rpm. */
void fuzz_package(const unsigned char *data, size_t len)
{
	const struct vl_trust_taker taker = { .max = MOST, .kernel = take, .module = take };
	_cleanup_close_ int fd = fuzz_file(data, len, 0);
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	vl_error_destroy(vl_trust_each_file(path, &taker));
}

/* A block of LZ4, and a file of lzop. */
void fuzz_lz4(const unsigned char *data, size_t len)
{
	_cleanup_free_ unsigned char *out = malloc(1 << 16), *file = NULL;
	size_t file_len;

	if (!out)
		abort();
	vl_lz4_unpack(data, len, out, 1 << 16);
	if (vl_is_lzop(data, len))
		vl_error_destroy(vl_lzop(data, len, MOST, &file, &file_len));
}

/* The types of a kernel, in a file of a distribution's debug package. */
void fuzz_dwarf(const unsigned char *data, size_t len)
{
	struct vl_layout layout;

	vl_error_destroy(vl_layout_from_dwarf(data, len, &layout));
}
