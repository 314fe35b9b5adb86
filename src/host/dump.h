/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the files that read the formats of dumps. */
#ifndef VLENS_DUMP_H
#define VLENS_DUMP_H

#include "internal.h"

struct Elf;
struct vl_facts;
struct vl_index;

struct vl_dump {
	int fd;
	const char *format;		/* its name */
	bool packed;			/* the file was compressed as a whole */
	uint64_t size;			/* of the file */
	struct vl_vcpu *vcpus;		/* malloc'ed */
	size_t nr_vcpus;		/* 0: the file has no registers */
	struct vl_registers *registers; /* malloc'ed: all of each vCPU; NULL: there are none */
	unsigned int machine;		/* of an ELF file with these registers; 0: EM_X86_64 */
	uint64_t rest;			/* bytes behind its last whole page, which are not read */
	uint64_t moved;			/* as vl_target_moved() */
	uint64_t end;	 /* of the memory, by its kernel, if no header says it; 0: not known */
	bool open_end;	 /* it has addresses, and does not say how many ranges it has: LiME, AVML */
	uint64_t missed; /* as vl_target_note_miss(); 0: nothing */
	uint64_t nr_missed, last_missed; /* of all reads */
};

/* Load the file's headers: RAM ranges, registers. */
struct vl_error *vl_dump_load_elf(struct vl_target *t, struct vl_dump *d);
struct vl_error *vl_dump_load_lime(struct vl_target *t, struct vl_dump *d);
struct vl_error *vl_dump_load_kdump(struct vl_target *t, struct vl_dump *d);
struct vl_error *vl_dump_load_stream(struct vl_target *t, struct vl_dump *d);
struct vl_error *vl_dump_load_save(struct vl_target *t, struct vl_dump *d);
struct vl_error *vl_dump_load_qcow2(struct vl_target *t, struct vl_dump *d);

/* The RAM and the registers of @t are those of the migration stream with index @ix. */
struct vl_error *vl_dump_set_stream(struct vl_target *t, struct vl_dump *d, struct vl_index *ix);
/* The same of the stream that begins at @at of the file, and ends with it. */
struct vl_error *vl_dump_load_stream_at(struct vl_target *t, struct vl_dump *d, uint64_t at);

/*
 * In a box: the memory of @elf, a file of @size bytes without segments. *@done_ret is false if it
 * is not a core of Xen.
 */
struct vl_error *vl_dump_find_xen(struct Elf *elf, int fd, uint64_t size, bool partial,
				  struct vl_facts *ret, bool *done_ret);

/* Unpack the file from @at on, and use the result in its place; @more is added to the run id. */
struct vl_error *vl_dump_unpack(struct vl_target *t, struct vl_dump *d, uint64_t at,
				const char *more);

/* The RAM of @t is the @size bytes at @at of the file, which have no addresses. */
struct vl_error *vl_dump_set_flat(struct vl_target *t, struct vl_dump *d, uint64_t at,
				  uint64_t size);

struct stat;

/* Open the file @path of a dump. Fills *@st; the caller owns *@fd_ret. */
struct vl_error *vl_dump_open_file(const char *path, int *fd_ret, struct stat *st);
/* Make @fd, with status @st, the file with the memory. @d owns it from now on. */
void vl_dump_set_file(struct vl_target *t, struct vl_dump *d, int fd, const struct stat *st);
/* The run id of a file. */
void vl_dump_run_id(const struct stat *st, char ret[VL_RUN_ID]);
/*
 * Use the part @choice of @t's file. Each part has a run id of its own, and so kept data of its
 * own.
 */
struct vl_error *vl_dump_set_choice(struct vl_target *t, const char *choice);

/* The hint for a file that may be cut short. */
#define VL_DUMP_AGAIN \
	"is it still being written? Else was the disk full? Make it again: vlens dump GUEST FILE"
/* Does @fd begin like a file that users mistake for a dump? */
bool vl_dump_is_other(int fd);
/* The error for a file that is not a dump: what it is, if its first bytes tell. */
struct vl_error *vl_dump_unknown(int fd) __attribute__((returns_nonnull));
/* The error for a cut file; @need 0: its headers are cut off, so the full size is not known. */
struct vl_error *vl_dump_truncated(uint64_t need, uint64_t have) __attribute__((returns_nonnull));
/* The same in a format that --partial reads. */
struct vl_error *vl_dump_cut_off(uint64_t need, uint64_t have) __attribute__((returns_nonnull));

/* The error for a dump whose headers contradict each other. */
struct vl_error *vl_dump_damaged(const char *what) __attribute__((returns_nonnull));

#endif
