/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saves a guest's memory in an ELF file, as QEMU's dump-guest-memory writes it: a PT_LOAD for each
 * range of RAM, and notes with the registers of each vCPU (CORE and QEMU). The kernel's own note,
 * VMCOREINFO, is added as it lies in memory. A note VLENS says how the file was made.
 *
 * The content of pages is not read, but for zeros and that note.
 */
#ifndef VLENS_SAVE_H
#define VLENS_SAVE_H

#include "../host/target.h"

enum vl_save_pause {
	/*
	 * Copy the guest while it runs. In one pause by the budget of the target, copy the pages
	 * that change most, the others that have changed, as far as there is time to look, and the
	 * registers if imee.ko has them. The default.
	 */
	VL_SAVE_SHORT,
	VL_SAVE_NONE,  /* copy it while it runs */
	VL_SAVE_WHOLE, /* hold it until all of it is copied: all is of one point in time */
};

struct vl_save_options {
	enum vl_save_pause pause;
	/* The target's budget counts for VL_SAVE_WHOLE, too; else it has one of its own. */
	bool limited;
	bool force; /* replace a file */
	bool zstd;  /* compress it: independent frames of zstd, with a table to seek by */
	/* NULL, or called before there is a file, or a pause, that must have an end. */
	void (*begin)(void *ctx);
	/*
	 * NULL, or asked for each MiB, and ten times a second while the output takes nothing: true
	 * ends the save with an error, and leaves no file behind.
	 */
	bool (*stop)(void *ctx);
	void *ctx;
};

/* When the registers are from. */
enum vl_save_registers {
	VL_SAVE_REGISTERS_NONE,	  /* there are none: `no_registers` says why */
	VL_SAVE_REGISTERS_PAUSE,  /* the moment of the pause, ours or another's */
	VL_SAVE_REGISTERS_BEFORE, /* asked for before the memory was copied, or before the pause */
	VL_SAVE_REGISTERS_COPIED, /* those of the file that was read */
};

struct vl_save_result {
	bool live;
	enum vl_save_pause pause; /* as it was made */
	uint64_t pages;		  /* of 4 KiB, all of the guest's memory */
	uint64_t used;		  /* of them: not zeros */
	uint64_t held;		  /* of them: copied in the pause */
	uint64_t changed;	  /* of the others: changed between their copy and the end */
	/* Its hypervisor had paused it from before the save to the end, and nothing changed. */
	bool stood;
	/* No pause was long enough to copy a page: the file is as with VL_SAVE_NONE. */
	bool cut_short;
	uint64_t unreadable; /* could not be read: zeros in the file */
	uint64_t bytes;	     /* written */
	uint64_t size;	     /* of the file, without compression; holes included */
	uint64_t ns;
	size_t vcpus;
	enum vl_save_registers registers;
	char no_registers[192];
	bool vmcoreinfo; /* the kernel's note was found */
};

/*
 * Save @t's memory in file @path, or on standard output if that is "-". A file appears under its
 * name when it is complete. VL_ERR_OS and VL_ERR_ARG: it cannot be written, or @o asks for what
 * cannot be had; other errors are about the guest. Missing registers are no error.
 */
struct vl_error *vl_save(struct vl_target *t, const char *path, const struct vl_save_options *o,
			 struct vl_save_result *ret);

#endif
