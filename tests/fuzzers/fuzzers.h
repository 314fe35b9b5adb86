/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The readers of formats, each as a function of bytes that may be anything. Two programs have
 * them: libFuzzer's (fuzz.c), and a unit test that runs all of corpus/ (unit/test_corpus.c).
 */
#ifndef VLENS_TESTS_FUZZERS_H
#define VLENS_TESTS_FUZZERS_H

#include <stddef.h>

typedef void fuzz_fn(const unsigned char *data, size_t len);

/* A row: its name is that of its folder in corpus/. */
struct fuzzer {
	const char *name;
	fuzz_fn *run;
};

/* All of them; the last has no name. */
extern const struct fuzzer fuzzers[];

/* dumps.c */
fuzz_fn fuzz_dump, fuzz_flat;
/* texts.c */
fuzz_fn fuzz_hmp, fuzz_qmp, fuzz_maps;
/* kernels.c */
fuzz_fn fuzz_btf, fuzz_offsets, fuzz_symbols, fuzz_image, fuzz_kept;
/* files.c */
fuzz_fn fuzz_boot, fuzz_module, fuzz_package, fuzz_lz4, fuzz_dwarf;

/*
 * An open file in memory with @data, which /proc/self/fd/N names; for close(). It is longer than
 * @len bytes if @size says so.
 */
int fuzz_file(const unsigned char *data, size_t len, size_t size);

/* End the program, as a sanitizer does, unless @good. */
void fuzz_check(int good, const char *what);

#endif
