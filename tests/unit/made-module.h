/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A module's file and a kernel for it, made by hand; and damage to files. */
#ifndef VLENS_TESTS_MADE_MODULE_H
#define VLENS_TESTS_MADE_MODULE_H

#include <elf.h>
#include <stddef.h>
#include <stdint.h>

#include "../../src/trust/internal.h"

#define KERNEL_VA 0xffffffff81000000UL
#define TEXT_VA 0xffffffffc0100000UL

/* How often a file is damaged. */
#define ROUNDS 4000

/* Where the kernel's parts are in its image. */
enum { K_TEXT = 0, K_TABLE = 0x1000, K_TEXTS = 0x1100, K_LEN = 0x1200 };

/* A kernel that exports a function "exported" and its return thunk. */
struct vl_trust *make_kernel(void);
void free_kernel(struct vl_trust *t);

/* The module's function, with the offsets of what is special in it. */
enum { AT_CALL = 4, AT_LOCK = 9, AT_DATA = 12, AT_RETURN = 19, AT_INIT = 24, TEXT_LEN = 29 };
extern const unsigned char made_text[TEXT_LEN];

struct made {
	unsigned char bytes[16384];
	size_t len;
	Elf64_Shdr sections[32];
	size_t nr;
	char names[512], texts[256];
	size_t names_len, texts_len;
};

/* Make a module that needs @needs of the kernel; its build id ends in @build. */
void make_module(struct made *m, const char *needs, unsigned char build);

uint64_t random_number(uint64_t *seed);

/* Change some bytes; every fourth time shorten it, too. Returns the length. */
size_t damage(unsigned char *bytes, size_t len, uint64_t *seed);

void put32(unsigned char *p, int64_t v);

#endif
