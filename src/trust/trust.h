/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A trusted kernel is the image as its distribution built it. The text of a guest that runs that
 * build is compared with it. A running kernel changes its own text, at sites that tables of the
 * image name. At a site the guest must have one of the legal forms that follow from the image. All
 * other bytes must be the image's, moved to the guest's base.
 *
 *	vl_trust_open(elf, len, &t);	the image, at the addresses that it was linked for
 *	vl_trust_place(t, delta);	at the guest's addresses; makes the table of sites
 *	vl_trust_check(t, …);		a range of the guest's text: findings, trusted bytes
 *
 * The guest's bytes and addresses are hostile. The image is trusted, but may be cut short or
 * damaged: all sizes in it are checked.
 */
#ifndef VLENS_TRUST_H
#define VLENS_TRUST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"
#include "../kernel/image.h"

struct vl_trust;

/* Limit of an unpacked image, in bytes; kernels have up to 100 MiB. */
#define VL_TRUST_IMAGE_MAX (512UL << 20)

/*
 * Open the kernel in @elf, @len bytes: an ELF file (vmlinux) and, where the kernel can be moved,
 * the relocation list that follows it in a vmlinuz. @elf is copied. On success the caller owns
 * *@ret. VL_ERR_ARG: this is no kernel, or it is damaged.
 */
struct vl_error *vl_trust_open(const void *elf, size_t len, struct vl_trust **ret);

/*
 * The same for the file @fd of @len bytes, which must not change until vl_trust_close(): most of it
 * is mapped and not copied. A file of the store (store.h) has an index, which saves most of the
 * time.
 */
struct vl_error *vl_trust_open_file(int fd, size_t len, struct vl_trust **ret);
void vl_trust_close(struct vl_trust *t);

/* The build id in the image's notes, in hexadecimal; owned by @t. */
const char *vl_trust_build_id(const struct vl_trust *t);

struct vl_kernel;
struct vl_function;

/*
 * The symbols and types of @t, where it has been placed. @fd is the file that it was opened from;
 * -1: none. VL_ERR_ARG: the image has no types. On success the caller owns *@ret.
 */
struct vl_error *vl_trust_symbols_make(const struct vl_trust *t, int fd, struct vl_kernel **ret);

/*
 * The functions of @t that read a clocksource (vl_kernel_clocks()), by its symbols @k: at most
 * VL_MAX_CLOCKS.
 */
size_t vl_trust_clocks(const struct vl_trust *t, const struct vl_kernel *k,
		       struct vl_function *ret);

/*
 * Move the image by @delta bytes (the guest's base minus the linked one), and make the table of
 * sites. It works once for an image. VL_ERR_ARG: @delta is not 0 and the image has no relocation
 * list; or a table of the image is damaged.
 */
struct vl_error *vl_trust_place(struct vl_trust *t, uint64_t delta);

/* The address of symbol @name where the image is now; 0: there is none. */
uint64_t vl_trust_symbol(const struct vl_trust *t, const char *name);

/* All symbols, where the image is now, in the order of their addresses; owned by @t. */
const struct vl_symbols *vl_trust_symbols(const struct vl_trust *t);

/*
 * The symbol that contains @va, and the offset in it; NULL: @va is not in the image. Owned by @t.
 */
const char *vl_trust_symbol_at(const struct vl_trust *t, uint64_t va, uint64_t *offset_ret);

/* Is @va the address of a symbol in the text? Calls may lead only to such addresses. */
bool vl_trust_is_entry(const struct vl_trust *t, uint64_t va);

/* The text (.text): its address where the image is now, and its length in bytes. */
uint64_t vl_trust_text(const struct vl_trust *t, size_t *len_ret);

/* The number of sites in it, at which a running kernel may change it. */
size_t vl_trust_sites(const struct vl_trust *t);

/*
 * The constants (.rodata and what is linked with it): *@init_ret and *@init_len_ret are the part of
 * them that the kernel writes while it boots. 0: the image has no symbols of them.
 */
uint64_t vl_trust_constants(const struct vl_trust *t, size_t *len_ret, uint64_t *init_ret,
			    size_t *init_len_ret);

/* The whole image: its address where it is now, and its length in bytes. */
uint64_t vl_trust_range(const struct vl_trust *t, size_t *len_ret);

/*
 * The @len bytes at @va of the moved image, before the kernel changes them; NULL: they are not all
 * in the image. Owned by @t. Data have their initial values.
 */
const unsigned char *vl_trust_bytes(const struct vl_trust *t, uint64_t va, size_t len);

/* --- a guest's text against it --- */

enum vl_trust_class {
	VL_TRUST_TEXT,	      /* no site: the bytes must be the image's */
	VL_TRUST_ALTERNATIVE, /* instructions that depend on the CPU's features */
	VL_TRUST_PARAVIRT,    /* a call that depends on the hypervisor */
	VL_TRUST_LOCK,	      /* a lock prefix, which one CPU does not need */
	VL_TRUST_JUMP_LABEL,  /* a jump or no operation */
	VL_TRUST_STATIC_CALL, /* a call of a function that is chosen at run time */
	VL_TRUST_TRAMPOLINE,  /* a jump to that function, for calls that are not patched */
	VL_TRUST_TRACE,	      /* where ftrace, BPF and livepatch attach to a function */
	VL_TRUST_TRACER,      /* where ftrace's own code calls what is attached */
	VL_TRUST_RETPOLINE,   /* an indirect call or jump */
	VL_TRUST_RETURN,
	VL_TRUST_CALL,	   /* a call whose depth can be counted */
	VL_TRUST_PADDING,  /* in front of a function, where its calls can be counted */
	VL_TRUST_ENDBR,	   /* the mark of a function that may be called indirectly */
	VL_TRUST_CONSTANT, /* a number that is known only when the kernel runs */
	VL_TRUST_DATA,	   /* constant data: see vl_trust_check_constants() */
	/* A breakpoint or jump of a kprobe. It can be anywhere, and only the guest's table of
	 * kprobes lists it. vl_trust_check() does not read that table: it reports changed text. */
	VL_TRUST_PROBE,
	VL_TRUST_CLASSES,
};

enum vl_trust_kind {
	VL_TRUST_CHANGED,  /* not a legal form */
	VL_TRUST_ATTACHED, /* something is attached here as the kernel allows: no alarm */
	VL_TRUST_MOMENT,   /* int3 at a site, as during a change by the kernel: read it again */
};

#define VL_TRUST_SHOWN 16

struct vl_trust_finding {
	uint64_t va;
	uint32_t len; /* in bytes */
	enum vl_trust_class class;
	enum vl_trust_kind kind;
	/* The first bytes of the image and of the guest: VL_TRUST_SHOWN or `len`, the lesser. */
	unsigned char expected[VL_TRUST_SHOWN], found[VL_TRUST_SHOWN];
	uint64_t target; /* the target of the call or jump that was found; 0: it is neither */
};

/* Reads the guest's memory outside of the range that is compared. */
struct vl_trust_memory {
	/* Copy @len bytes at @va; false: they cannot be read. */
	bool (*read)(void *ctx, uint64_t va, void *buf, size_t len);
	void *ctx;
};

typedef void vl_trust_found_fn(void *ctx, const struct vl_trust_finding *f);

/*
 * Compare @guest, the @len bytes that the guest has at @va, with the image, which has been placed.
 * All of them must be in its text. @found is called for each finding, in ascending order; if it is
 * not called, all bytes are verified. @out (may be NULL) gets @len trusted bytes: the guest's form
 * of a site if it is legal, a no operation at any other trace site, and the image's own bytes
 * everywhere else. A site across an end of the range is read by @memory and judged as a whole.
 * VL_ERR_ARG: the range is not in the text.
 */
struct vl_error *vl_trust_check(const struct vl_trust *t, const struct vl_trust_memory *memory,
				uint64_t va, const void *guest, size_t len, void *out,
				vl_trust_found_fn *found, void *ctx);

/*
 * The same for @guest, @len bytes at @va that the guest has in its constants. Outside of the part
 * that the kernel writes while it boots, all bytes must be the image's. In that part a pointer to a
 * function of the image must be the image's, or lead to a function that the image's boot code puts
 * there. Each word of 8 bytes that differs is a finding; its target is the address that it holds.
 */
void vl_trust_check_constants(const struct vl_trust *t, uint64_t va, const void *guest, size_t len,
			      vl_trust_found_fn *found, void *ctx);

/*
 * The bytes behind the text in its last page. They are executable, too, and all of them must be the
 * image's.
 */
void vl_trust_check_tail(const struct vl_trust *t, const struct vl_trust_memory *memory,
			 vl_trust_found_fn *found, void *ctx);

/*
 * Is finding @f, where a kprobe is, what a probe makes of the text: an int3 and nothing else, or,
 * optimized, a jump to the probe's own code? An entry in the table of probes must not make any
 * other change look harmless. @addr: the offset of kprobe.addr.
 */
bool vl_trust_is_probe(const struct vl_trust *t, const struct vl_trust_memory *memory, int32_t addr,
		       const struct vl_trust_finding *f);

/* The names of a class and of a kind, in lower case; static. */
const char *vl_trust_class_name(enum vl_trust_class class);
const char *vl_trust_kind_name(enum vl_trust_kind kind);

/* The legal forms at sites of @class, in words for a user; static. */
const char *vl_trust_class_expects(enum vl_trust_class class);

#endif
