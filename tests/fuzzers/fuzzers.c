/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "fuzzers.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

const struct fuzzer fuzzers[] = {
	/* Files with a machine's memory. */
	{ "elf", fuzz_dump },
	{ "lime", fuzz_dump },
	{ "vmware", fuzz_dump },
	{ "xen", fuzz_dump },
	{ "kdump", fuzz_dump },
	{ "avml", fuzz_dump },
	{ "stream", fuzz_dump },
	{ "save", fuzz_dump },
	{ "qcow2", fuzz_dump },
	{ "packed", fuzz_dump },
	{ "flat", fuzz_flat },
	/* What a hypervisor and the host answer. */
	{ "hmp", fuzz_hmp },
	{ "qmp", fuzz_qmp },
	{ "maps", fuzz_maps },
	/* What a guest's kernel is known by. */
	{ "btf", fuzz_btf },
	{ "offsets", fuzz_offsets },
	{ "symbols", fuzz_symbols },
	{ "image", fuzz_image },
	{ "kept", fuzz_kept },
	/* Files of distributions. */
	{ "boot", fuzz_boot },
	{ "module", fuzz_module },
	{ "package", fuzz_package },
	{ "lz4", fuzz_lz4 },
	{ "dwarf", fuzz_dwarf },
	{ NULL, NULL },
};

int fuzz_file(const unsigned char *data, size_t len, size_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, len) != (ssize_t)len ||
	    (size > len && ftruncate(fd, (off_t)size))) {
		perror("memfd");
		exit(2);
	}
	return fd;
}

void fuzz_check(int good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "not so: %s\n", what);
	abort();
}
