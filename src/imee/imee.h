/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Raw reads: the bytes at an address of the guest, through the guest's own page tables. No
 * state is kept between requests, the guest is not paused, and its kernel is not asked.
 *
 * A request names an address space and is answered as a whole: some bytes, a string, many
 * addresses (gather), or a walk over a list, a hash table or an xarray that collects fields of
 * each element. An engine serves it: "direct" (a software walk over the guest's RAM), "kvm"
 * (the processor's own walk, in an immersive vCPU) or "module" (imee.ko). All give the same
 * bytes.
 *
 * The guest runs meanwhile: a request is not atomic, but each word has the value of the moment
 * at which it was read. An address that cannot be read has a status, and zeros for its bytes.
 */
#ifndef VLENS_IMEE_H
#define VLENS_IMEE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../error.h"
#include "../host/target.h"

struct vl_attach;
struct vl_reader;

/* The result for one address; only 0 is success. */
enum vl_read_status {
	VL_READ_OK,
	VL_READ_NOT_PRESENT,  /* no page: an entry on the way has its present bit clear */
	VL_READ_NO_RAM,	      /* the page, or a table on the way, is not in RAM */
	VL_READ_NONCANONICAL, /* not an address under that many levels of paging */
	VL_READ_WRAPS,	      /* the end lies beyond the end of all addresses */
	VL_READ_TOO_LONG,     /* more than VL_READ_MAX bytes */
	VL_READ_RESERVED,     /* an entry on the way has bits set that must be 0: no page table */
	VL_READ_UNENDED,      /* a string: no NUL within the bound */
	VL_READ_NULL,	      /* a field: a pointer on the way to it is NULL */
	VL_READ_LOOP,	      /* a walk: the list never comes back to its head */
	VL_READ_MORE,	      /* a walk: there are more elements than were asked for */
	VL_READ_GARBAGE,      /* a walk: a pointer to no element, node or root */
	VL_READ_GONE,	      /* the guest has ended, or its RAM or the dump was cut short */
	VL_READ_BAD,	      /* the request makes no sense (a size, an offset) */
	VL_NR_READ_STATUS,
};

#define VL_READ_MAX (1ULL << 30) /* bytes in one request for bytes */

/*
 * An address space: CR3 without its flags, and the depth of its tables. With page-table
 * isolation a process has two roots, the kernel's and, in the next page, the user's, which
 * lacks most of the kernel.
 */
struct vl_space {
	uint64_t root; /* guest-physical address of the top-level table, page aligned */
	int levels;    /* 4 or 5 */
};

struct vl_reader_options {
	const char *engine; /* "direct", "kvm", "module"; NULL: the fastest that can serve */
};

struct vl_reader_stats {
	const char *engine; /* its name; static */
	const char *reason; /* why this one, one line; owned by the reader */
	const char *others; /* why not the others, likewise; "" if the engine was named */
	uint64_t open_ns;   /* time to open the engine */
	uint64_t requests;  /* served so far */
};

/*
 * Open a reader over @t. @c is the guest's attach; without (NULL: a dump, a bare target) there
 * is no kernel space and no symbol, and the caller makes spaces from CR3. Both must outlive the
 * reader. vl_guest_reader() does all of this for a guest. One thread at a time may use a
 * reader; a target may have several. On success the caller owns *@ret. VL_ERR_ARG: no such
 * engine; VL_ERR_TARGET: the named engine cannot serve here, and why.
 */
struct vl_error *vl_reader_open(struct vl_target *t, const struct vl_attach *c,
				const struct vl_reader_options *opts, struct vl_reader **ret);
void vl_reader_close(struct vl_reader *r);

/* The first call also asks the engines that were not needed for the choice. */
void vl_reader_stats(struct vl_reader *r, struct vl_reader_stats *ret);

/* The guest-virtual address of kernel symbol @name; 0: no such symbol, or no attach. */
uint64_t vl_reader_symbol(const struct vl_reader *r, const char *name);

/*
 * Does the guest still run the attached kernel? False when it has ended or rebooted: open it
 * again. Reads 32 bytes. Check after long work: mapped memory can be read after its guest has
 * ended, with its last content.
 */
bool vl_reader_current(struct vl_reader *r);

/* ---- address spaces ---- */

/* The space that control registers @cr3 and @cr4 describe. */
struct vl_space vl_space_of(uint64_t cr3, uint64_t cr4);

/* The kernel's own (swapper_pg_dir). {0, 0} without attach: no address can be read there. */
struct vl_space vl_reader_kernel(const struct vl_reader *r);

/*
 * The space whose mm_struct.pgd is @pgd (a kernel address): with page-table isolation the root
 * that maps all of the kernel. With @user it is the root of user mode, if the guest is
 * isolated.
 */
enum vl_read_status vl_reader_pgd(struct vl_reader *r, uint64_t pgd, bool user,
				  struct vl_space *ret);

/*
 * The space of the task whose task_struct is at @task; a kernel thread's is the kernel's.
 * VL_READ_BAD when the kernel's types lack the fields.
 */
enum vl_read_status vl_reader_task(struct vl_reader *r, uint64_t task, struct vl_space *ret);

/*
 * The space that vCPU @cpu (from 0) is in, with all of the kernel mapped. Taken from
 * cpu_tlbstate.loaded_mm in a live guest's memory, with no monitor and no pause; from CR3 in a
 * dump. VL_ERR_ARG: no such vCPU.
 */
struct vl_error *vl_reader_vcpu(struct vl_reader *r, unsigned cpu, struct vl_space *ret);

/* ---- bytes ---- */

/*
 * Copy @len bytes (0 to VL_READ_MAX) at virtual address @va of @s to @buf. A failure clears all
 * of @buf. Naturally aligned words of 1, 2, 4 and 8 bytes are each read by one load.
 */
enum vl_read_status vl_read(struct vl_reader *r, const struct vl_space *s, uint64_t va, void *buf,
			    size_t len);

/* A word, in the host's byte order; *@ret is 0 on failure. */
enum vl_read_status vl_read_u64(struct vl_reader *r, const struct vl_space *s, uint64_t va,
				uint64_t *ret);
enum vl_read_status vl_read_u32(struct vl_reader *r, const struct vl_space *s, uint64_t va,
				uint32_t *ret);
enum vl_read_status vl_read_u16(struct vl_reader *r, const struct vl_space *s, uint64_t va,
				uint16_t *ret);
enum vl_read_status vl_read_u8(struct vl_reader *r, const struct vl_space *s, uint64_t va,
			       uint8_t *ret);

/*
 * Copy the string at @va with its NUL to @buf, which has @size bytes (1 to VL_READ_MAX). No
 * page behind the string's end is touched. VL_READ_UNENDED: the first @size - 1 bytes and a NUL
 * are in @buf. On other failures @buf is "". The bytes are the guest's: escape them before they
 * are shown.
 */
enum vl_read_status vl_read_string(struct vl_reader *r, const struct vl_space *s, uint64_t va,
				   char *buf, size_t size);

/*
 * Translate @va to its guest-physical address and the size of its page (4096, 2 MiB, 1 GiB),
 * each NULL if not wanted. There need not be RAM at that address. By the software walk with
 * every engine.
 */
enum vl_read_status vl_reader_where(struct vl_reader *r, const struct vl_space *s, uint64_t va,
				    uint64_t *gpa_ret, uint64_t *size_ret);

/* ---- gather ---- */

struct vl_get {
	uint64_t va;
	void *buf; /* of len bytes; zeros on failure */
	uint32_t len;
	uint32_t status; /* out: enum vl_read_status of this one */
};

/* Read @nr items as one request. Returns how many failed. */
size_t vl_gather(struct vl_reader *r, const struct vl_space *s, struct vl_get *items, size_t nr);

/* ---- walks ---- */

enum vl_walk_kind {
	VL_WALK_LIST,	/* struct list_head: ends where it began */
	VL_WALK_CHAIN,	/* the head is a pointer to the first node, NULL ends it: hlist */
	VL_WALK_NULLS,	/* likewise, an odd pointer ends it: hlist_nulls */
	VL_WALK_XARRAY, /* the head is xarray.xa_head; also an idr, a radix tree (4.20 and later) */
};

enum vl_field_kind {
	VL_FIELD_BYTES,
	VL_FIELD_STRING,  /* up to size bytes, to the NUL; the rest is zeros. Without NUL: cut */
	VL_FIELD_ADDRESS, /* 8 bytes: the address itself, nothing is read there */
	VL_FIELD_INDEX,	  /* 8 bytes: the index in the xarray, or the number of the head */
};

#define VL_WALK_DEREFS 4
#define VL_WALK_FIELDS 32
#define VL_WALK_FIELD_SIZE 4096

/*
 * A field of an element. Start at the element's address, add offset[0], follow the pointer
 * there, and so on @derefs times; then add offset[derefs]. So task->cred->uid is { derefs 1,
 * offset { cred, uid } }.
 */
struct vl_walk_field {
	uint8_t kind;	/* enum vl_field_kind */
	uint8_t derefs; /* 0 to VL_WALK_DEREFS */
	uint16_t size;	/* bytes, 1 to VL_WALK_FIELD_SIZE; 8 for ADDRESS and INDEX */
	uint32_t out;	/* offset in the element's record, in bytes */
	int32_t offset[VL_WALK_DEREFS + 1]; /* bytes, may be negative (container_of) */
};

struct vl_walk {
	uint8_t kind; /* enum vl_walk_kind */
	/* Collect also the container of the head itself, first: LIST only. */
	bool with_head;
	uint64_t head; /* virtual address of the (first) head */
	/* A table of heads: their number (0 and 1: a single one), their distance in bytes. */
	uint32_t nr_heads, head_stride;
	/* Offset in a node of the pointer to the next: 0, or 8 for list_head.prev. */
	uint32_t next;
	/* Offset of the node in its element, in bytes. */
	uint32_t node;
	/* XARRAY: offsets in struct xa_node of shift (1 byte) and slots; the number of slots. */
	uint32_t xa_shift, xa_slots, xa_nr_slots;
	const struct vl_walk_field *fields;
	size_t nr_fields; /* 0 to VL_WALK_FIELDS; 0: count only */
	/*
	 * Out: a record of @stride bytes for each element, room for @max of them; may be NULL
	 * when there are no fields. Bytes that no field covers are left unchanged.
	 */
	void *records;
	size_t stride, max;
	/*
	 * Out: enum vl_read_status of every field, nr_fields bytes for each element;
	 * a field that failed is zeros. NULL: the first that fails ends the walk.
	 */
	uint8_t *status;
};

struct vl_walked {
	enum vl_read_status status; /* OK: to the end */
	size_t nr;		    /* elements collected; also those before a failure */
	uint64_t fault;		    /* the address that failed, for a LOOP the node */
};

/*
 * Walk and collect, as one request. At most max elements are collected (VL_READ_MORE: there is
 * another). A loop that misses the head is found (VL_READ_LOOP). Values of an xarray, which are
 * no pointers, are skipped. Nodes must be aligned to 4 bytes, else VL_READ_GARBAGE: the element
 * was freed or poisoned. A running guest may unlink the element that the walk is at: walk again
 * after a failure. A walk takes microseconds; page table entries above that of a 4 KiB page may
 * be read only once within it.
 */
enum vl_read_status vl_walk(struct vl_reader *r, const struct vl_space *s,
			    const struct vl_walk *walk, struct vl_walked *ret);

/* ---- watch ---- */

/*
 * Read the @size (1, 2, 4, 8) bytes at @va repeatedly, translated afresh every time, until they
 * differ from @old or @max samples were taken. The last value is in *@ret; returns its status.
 */
enum vl_read_status vl_watch(struct vl_reader *r, const struct vl_space *s, uint64_t va,
			     unsigned size, uint64_t old, uint64_t max, uint64_t *ret,
			     uint64_t *samples_ret);

/* ---- failures ---- */

/* The meaning of a status in a few words, without full stop; static. */
const char *vl_read_strstatus(enum vl_read_status status);

/*
 * The address that made the last vl_read*(), vl_reader_*() or vl_walk() of @r
 * fail: the first of the page that is missing, or va itself.
 */
uint64_t vl_reader_fault(const struct vl_reader *r);

/*
 * The error object for @status at @va: VL_ERR_FAULT, VL_ERR_TARGET for a guest
 * that has gone, VL_ERR_ARG for a senseless request. NULL for VL_READ_OK.
 */
struct vl_error *vl_read_error(enum vl_read_status status, uint64_t va);

#endif
