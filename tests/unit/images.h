/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ELF dumps made by hand, and what tests of other dumps need, too. */
#ifndef VLENS_IMAGES_H
#define VLENS_IMAGES_H

#include <stddef.h>
#include <stdint.h>

#include "host/target.h"

/* QEMU target/i386/arch_dump.c QEMUCPUState, by offset. */
#define NOTE_OLD 432
#define NOTE_NEW 440
enum {
	O_VERSION = 0,
	O_SIZE = 4,
	O_RSP = 56,
	O_RIP = 136,
	O_RFLAGS = 144,
	O_CS = 152,
	O_GS = 248,
	O_SS = 272,
	O_TR = 320,
	O_GDT = 344,
	O_IDT = 368,
	O_CR = 392,
	O_KERNEL_GS = 432,
	O_BASE = 16,
	O_LIMIT = 4
};

/* The folder of the test, and the file in it that is opened: images_begin() makes it. */
extern char dir[], path[64];
void images_begin(void);
/* Remove both; the status of the test. */
int images_end(void);

struct image {
	unsigned char b[65536];
	size_t len;
};

/* The bytes of a memory without addresses; 0: it has addresses. */
uint64_t flat_size(const struct vl_target *t);
void put32(unsigned char *p, uint32_t v);
void put64(unsigned char *p, uint64_t v);
size_t add_note(struct image *im, const char *name, uint32_t type, const void *desc, uint32_t size);
void qemu_note(unsigned char *n, unsigned int cpu, uint32_t size);
/* As QEMU writes it: the notes before the memory, which starts unaligned. */
void make(struct image *im, uint32_t note_size, unsigned int cpus);
void save(const void *b, size_t len);
void refused(const char *what, const char *message);
/* The file is opened, and has memory only. */
void bare(const char *what);

#endif
