/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libFuzzer's program. VLENS_FUZZER in the environment names the row of fuzzers.c that it runs. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzzers.h"

static fuzz_fn *run;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *name = getenv("VLENS_FUZZER");

	(void)argc, (void)argv;
	for (const struct fuzzer *f = fuzzers; name && f->name; f++)
		if (!strcmp(f->name, name))
			run = f->run;
	if (run)
		return 0;
	fprintf(stderr, "VLENS_FUZZER is none of:");
	for (const struct fuzzer *f = fuzzers; f->name; f++)
		fprintf(stderr, " %s", f->name);
	fprintf(stderr, "\n");
	exit(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	run(data, len);
	return 0;
}
