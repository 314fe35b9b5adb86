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
 * *@ret. VL_ERR_ARG: this is not a kernel, or it is damaged.
 */
struct vl_error *vl_trust_open(const void *elf, size_t len, struct vl_trust **ret);

/*
 * The same for the file @fd of @len bytes, which must not change until vl_trust_close(): most of it
 * is mapped and not copied. A file of the store (store.h) has an index, which saves most of the
 * time. @sound: the file's checksum has been compared, so that of the index is not.
 */
struct vl_error *vl_trust_open_file(int fd, size_t len, bool sound, struct vl_trust **ret);
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

/* The release of kernel @t by its banner, as uname -r says it; "": it has no banner. */
void vl_trust_release(const struct vl_trust *t, char *ret, size_t size);

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

/*
 * Is @va the address of a symbol in the text? Calls may lead only to such addresses. For a module
 * of a set, the text of the kernel and of the other modules counts, too.
 */
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
 * Copy the @len bytes at @va of the moved image, before the kernel changes them. Data have their
 * initial values. False: they are not all in the image.
 */
bool vl_trust_copy(const struct vl_trust *t, uint64_t va, void *ret, size_t len);

/*
 * The same bytes without a copy, owned by @t, or NULL. Addresses in them may be those that the
 * image was linked for.
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
	VL_TRUST_CFI,	   /* in front of a function, where the hash of its type is */
	VL_TRUST_CFI_CALL, /* in front of an indirect call, where that is compared */
	VL_TRUST_CONSTANT, /* a number that is known only when the kernel runs */
	VL_TRUST_FREED,	   /* a reference of a module's text to its init part, which is freed */
	VL_TRUST_DATA,	   /* constant data: see vl_trust_check_constants() */
	/* A breakpoint or jump of a kprobe. It can be anywhere, and only the guest's table of
	 * kprobes lists it. vl_trust_check() does not read that table: it reports changed text. */
	VL_TRUST_PROBE,
	VL_TRUST_CLASSES,
};

enum vl_trust_kind {
	VL_TRUST_CHANGED, /* not a legal form */
	/*
	 * Something is attached here as the kernel allows. The caller decides whether the target is
	 * what the kernel has attached.
	 */
	VL_TRUST_ATTACHED,
	VL_TRUST_POKE, /* as during a change by the kernel, int3 for one: read it again */
	/*
	 * The guest's kernel holds the lock under which it changes all static calls of a key, and
	 * this one is not as its trampoline. It can stay so for seconds, and in a paused guest.
	 */
	VL_TRUST_UPDATE,
	/*
	 * The jump is legal, and leads to calls of functions that others have attached: probes of a
	 * tracepoint, BPF programs of cgroups. The trusted bytes are the image's, without them.
	 */
	VL_TRUST_SWITCHED,
};

/*
 * The variable whose switch (a static key) decides about jump label @va of the image, if it
 * switches on functions that others attach; NULL: it does not, or no jump label is there. Owned by
 * @t.
 */
const char *vl_trust_switch_at(const struct vl_trust *t, uint64_t va);

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
 * of a site if it is legal (but see VL_TRUST_SWITCHED), a no operation at any other trace site, and
 * the image's own bytes everywhere else. A site across an end of the range is read by @memory and
 * judged as a whole. VL_ERR_ARG: the range is not in the text. @guest may change meanwhile: what is
 * judged legal is what @out gets.
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

/* Is the word @now the text @own of which only commas were cut, as strsep() does? */
bool vl_trust_is_cut_text(const unsigned char own[8], const unsigned char now[8]);

/*
 * The bytes behind the text in its last page. They are executable, too, and all of them must be the
 * image's.
 */
void vl_trust_check_tail(const struct vl_trust *t, const struct vl_trust_memory *memory,
			 vl_trust_found_fn *found, void *ctx);

/*
 * Is finding @f, where a kprobe is, what a probe makes of the text: an int3 and nothing else, or,
 * optimized, a jump to the probe's own code? An entry in the table of probes must not hide any
 * other change. @addr: the offset of kprobe.addr.
 */
bool vl_trust_is_probe(const struct vl_trust *t, const struct vl_trust_memory *memory, int32_t addr,
		       const struct vl_trust_finding *f);

/* --- modules --- */

/* Limit of a module's file and of its memory, in bytes. */
#define VL_TRUST_MODULE_MAX (64UL << 20)
#define VL_TRUST_MODULE_NAME 56 /* MODULE_NAME_LEN on 64 bits */

/*
 * A module is a struct vl_trust, too: all functions above take it, except vl_trust_place(). Its
 * text is all of the executable memory that stays when it is loaded: .text, .exit.text,
 * .altinstr_replacement and so on, and zeros between them. A module is compared in a set:
 *
 *	vl_trust_set_create(kernel, &set);
 *	vl_trust_module_open(file, len, &m);	for each loaded module
 *	vl_trust_set_add(set, m, &loaded);	it is where the guest has it; the set owns it
 *	vl_trust_link(m);			when all of them are there
 *	vl_trust_check(m, …);
 */
struct vl_trust_set;

/*
 * Open the module in @file (.ko, not compressed), @len bytes, which are copied. On success the
 * caller owns *@ret. VL_ERR_ARG: this is not a module, or it is damaged.
 */
struct vl_error *vl_trust_module_open(const void *file, size_t len, struct vl_trust **ret);

/*
 * A module's name, with '_' for '-', and the release that it was built for. The module owns both.
 */
const char *vl_trust_module_name(const struct vl_trust *module);
const char *vl_trust_module_release(const struct vl_trust *module);

/* The parts of a module's memory, in the order of enum mod_mem_type. */
enum vl_trust_area {
	VL_TRUST_AREA_TEXT,
	VL_TRUST_AREA_DATA,
	VL_TRUST_AREA_RODATA,
	VL_TRUST_AREA_RO_AFTER_INIT,
	VL_TRUST_AREAS, /* the init parts follow; they are freed when the module is loaded */
};

/* Where a guest has a module. All of it comes from the guest, and may be wrong. */
struct vl_trust_loaded {
	uint64_t module; /* address of its struct module */
	uint64_t percpu; /* struct module's member of this name */
	/*
	 * The parts, in bytes. Before "module: replace module_layout with module_memory" (6.4)
	 * they follow each other: set `together`, and areas[VL_TRUST_AREA_TEXT] is core_layout's
	 * base and text_size.
	 */
	struct {
		uint64_t base, size;
	} areas[VL_TRUST_AREAS];
	bool together;
};

/*
 * Make a set of @kernel, which has been placed and must outlive the set, and its modules. The
 * caller owns *@ret.
 */
struct vl_error *vl_trust_set_create(const struct vl_trust *kernel, struct vl_trust_set **ret);
void vl_trust_set_destroy(struct vl_trust_set *set);

/*
 * Add @module at the place that @loaded says; the sections are where the kernel's
 * layout_sections() puts them. On success the set owns it. VL_ERR_ARG: the guest's memory cannot
 * be of this module: a part has another size, or struct module lies elsewhere.
 */
struct vl_error *vl_trust_set_add(struct vl_trust_set *set, struct vl_trust *module,
				  const struct vl_trust_loaded *loaded);

/* Take @module out of @set again, and close it. */
void vl_trust_set_remove(struct vl_trust_set *set, struct vl_trust *module);

/*
 * Relocate @module of a set, with the symbols that the kernel and the other modules of the set
 * export, and make the table of its sites. A second call does nothing. VL_ERR_ARG: it needs a
 * symbol that no member of the set exports, or it is damaged.
 */
struct vl_error *vl_trust_link(struct vl_trust *module);

/* The kernel or the module of @set whose image or text @va is in; NULL: neither. */
const struct vl_trust *vl_trust_set_at(const struct vl_trust_set *set, uint64_t va);

/*
 * Where the guest has the build id's note of @module, which is in a set, and its bytes (@len_ret);
 * 0: it has none. If the guest's bytes differ, it has another build of the module.
 */
uint64_t vl_trust_module_note(const struct vl_trust *module, const unsigned char **bytes_ret,
			      size_t *len_ret);

/*
 * Where the code goes on if the instruction at @va of the kernel or module @t faults, by the table
 * of exceptions of its file (extable.c); 0: it has no entry there.
 */
uint64_t vl_trust_fixup(const struct vl_trust *t, uint64_t va);

/* The longest table of exceptions of a module that is written, in bytes. */
#define VL_TRUST_FIXUPS_MAX 65536

/*
 * Write to @buf, which has @size bytes, what is to stand in the guest's memory for its own table of
 * exceptions of module @t when the instruction at @va has faulted: the entry of that instruction,
 * as often as the table has entries. So the kernel finds it in whatever part of the table it
 * searches. In place of the fixup it has the address @mark bytes from the table. Returns the
 * length, and where the guest has the table; 0: there is no entry, or no room.
 */
size_t vl_trust_fixup_fill(const struct vl_trust *t, uint64_t va, int32_t mark, unsigned char *buf,
			   size_t size, uint64_t *place_ret);

/* The names of a class and of a kind, in lower case; static. */
const char *vl_trust_class_name(enum vl_trust_class class);
const char *vl_trust_kind_name(enum vl_trust_kind kind);

/* The legal forms at sites of @class, in words for a user; static. */
const char *vl_trust_class_expects(enum vl_trust_class class);

#endif
