/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A target: a libvirt domain, a bare QEMU, any guest on KVM, or a dump file. It gives the
 * guest-physical memory map, the state of the vCPUs, and pauses. It never gives write access to
 * guest memory. One thread at a time may use a target, except that several may read memory
 * (vl_target_read(), vl_target_read_pages(), vl_target_page()) while none pauses, places or closes.
 */
#ifndef VLENS_HOST_H
#define VLENS_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../error.h"

struct vl_index;
struct vl_index_job;
struct vl_target;

enum vl_pause_mode {
	VL_PAUSE_AUTO,	  /* freeze, but only when pages change while they are copied (default) */
	VL_PAUSE_FREEZE,  /* stop the hypervisor process by a signal */
	VL_PAUSE_SUSPEND, /* the hypervisor's own suspend: virDomainSuspend, QMP stop */
	VL_PAUSE_NONE,	  /* do not pause: memory changes while the clone runs */
};

struct vl_target_options {
	const char *uri; /* libvirt URI, NULL: libvirt's own default */
	enum vl_pause_mode pause;
	bool no_kmod; /* do not use imee.ko, even if it is loaded */
	/* Read what is there of a file that is cut short; its other pages are VL_ERR_LACKING. */
	bool partial;
	/* The id or name of a disk image's snapshot; NULL: the only one. Valid during the open. */
	const char *snapshot;
	struct vl_pause_budget {
		bool given; /* false: the defaults below */
		uint64_t longest_ns, total_ns;
	} budget;	     /* how long a run may pause the guest */
	unsigned int kernel; /* of the kernels in a file: this one, from 1 on; 0: the only one */
	/*
	 * Unpack what is compressed in file @fd from @at on, under this run id: *@fd_ret is the
	 * caller's. NULL: such a file is an error.
	 */
	struct vl_error *(*unpack)(int fd, uint64_t at, const char *run_id, bool partial,
				   int *fd_ret);
	/*
	 * Make the index of a file with this run id in a process without rights, or take one that
	 * is kept (index.h). NULL: it is made here, as by a test. *@ret is the caller's, also
	 * after an error.
	 */
	struct vl_error *(*index)(const struct vl_index_job *job, const char *run_id,
				  struct vl_index *ret);
};

#define VL_PAUSE_LONGEST_NS 10000000UL /* one pause */
#define VL_PAUSE_TOTAL_NS 50000000UL   /* all of a run */

/*
 * One run of guest RAM, contiguous both in guest-physical space and in its
 * backing. Either fd >= 0: the bytes are at fd_offset of that file (memfd,
 * shared file, hugetlbfs, or the dump itself), opened read-only, owned by the
 * target, and can be mapped; or fd < 0: they are at address hva of process
 * vl_target_pid() (anonymous memory), or, of a file, in none (pages.h).
 *
 * Not every range with an fd should be mapped. A dump's fd_offset is seldom page aligned, and the
 * file may be truncated (SIGBUS). Where page_size is more than 4096 (hugetlbfs), a mapping must
 * start and end on such pages. To touch a page that the guest never touched, or to write to a
 * private mapping, takes huge pages from the host's pool, and ends in SIGBUS when the pool is
 * empty. vl_target_read() and vl_target_read_pages() handle all kinds.
 */
struct vl_ram {
	uint64_t gpa;	    /* first guest-physical address, page aligned */
	uint64_t size;	    /* bytes, a multiple of 4096 */
	uint64_t hva;	    /* address in the hypervisor process; 0 for a dump */
	int fd;		    /* backing file, or -1 */
	uint64_t fd_offset; /* page aligned when fd >= 0 and mappable */
	uint32_t page_size; /* of the backing: 4096, or the huge page size */
};

/*
 * Can a live guest's range be mapped without a risk of SIGBUS? A file without a seal against
 * shrinking can be truncated by any process that has it open; QEMU seals its memfds. In hugetlbfs a
 * touch of a page that the guest never touched takes one from the host's pool, which may be empty.
 */
bool vl_ram_mappable(const struct vl_ram *r);

/*
 * Map a range that has a file (r->fd), readable, for the caller to munmap() by its size.
 * NULL: errno says why.
 */
void *vl_ram_map(const struct vl_ram *r);

/* The registers of a vCPU; of a live guest, at the time of the call. */
struct vl_vcpu {
	uint64_t rip, rsp, rflags;
	uint64_t cr0, cr3, cr4;
	uint64_t efer; /* 0 when the source does not have it */
	uint64_t gdt_base, idt_base, tr_base;
	uint64_t gs_base;
	uint64_t kernel_gs_base; /* valid if has_kernel_gs_base */
	uint32_t gdt_limit, idt_limit, tr_limit;
	uint16_t cs, ss, tr;
	bool has_kernel_gs_base;
};

/*
 * Open @spec: a libvirt domain (id, UUID, name), the name of a QEMU that libvirt does not
 * manage, "qemu:PID" or "qemu:NAME", "qmp:SOCKET", "qmp:HOST:PORT", "kvm:PID" (whatever
 * hypervisor on KVM it is), "pid:PID" (whatever hypervisor it is), or the path of a memory dump (a
 * spec with a '/', or the name of a regular file, unless a guest has that name). Opens read-only,
 * pauses nothing. On success *@ret is owned by the caller. Errors are VL_ERR_TARGET, with a hint.
 */
struct vl_error *vl_target_open(const char *spec, const struct vl_target_options *opts,
				struct vl_target **ret);
void vl_target_close(struct vl_target *t);

/*
 * Call @fn with the name of every running domain at libvirt's @uri (NULL: its
 * default), or its UUID where the name would mean something else (vl_name_is_taken()). Without
 * libvirt nothing is listed.
 */
struct vl_error *vl_target_list(const char *uri, void (*fn)(void *ctx, const char *name),
				void *ctx);

/*
 * Call @fn with the process id of every QEMU of this host that runs a machine and
 * is not libvirt's, in ascending order.
 */
void vl_target_list_bare(void (*fn)(void *ctx, pid_t pid), void *ctx);

/*
 * Call @fn with the process id of every process of this host that has a guest on KVM and is no
 * QEMU, in ascending order: the guests for kvm:PID.
 */
void vl_target_list_kvm(void (*fn)(void *ctx, pid_t pid), void *ctx);

/*
 * The names (vl_target_open()) of all guests of this host: libvirt's domains at
 * @uri (NULL: its default) that run, QEMUs that libvirt does not manage, and others on KVM. With
 * @uri NULL, a libvirt that is missing or refuses access is not an error. *@ret is malloc'ed, for
 * vl_host_guests_free().
 */
struct vl_error *vl_host_guests(const char *uri, char ***ret, size_t *nr_ret);
void vl_host_guests_free(char **names, size_t nr);

/*
 * The same, and the unique names of QEMUs that libvirt does not manage: all specs of the guests of
 * this host.
 */
struct vl_error *vl_host_guest_names(const char *uri, char ***ret, size_t *nr_ret);

/* A guest's one name. */
struct vl_host_label {
	const char *spec; /* by which it was opened */
	pid_t pid;	  /* vl_target_pid(); 0: that in the spec, if there is one */
	char name[256];	  /* "": it is the spec */
};

/*
 * Set the `name` of the @nr guests @of: that of its QEMU, if no other QEMU of this host has it and
 * it can be a spec; else, of a socket, qemu:PID. So a guest has one name, whatever it was opened
 * by. Looks at all processes of the host.
 */
void vl_host_labels(struct vl_host_label *of, size_t nr);

/*
 * The @i-th of the prefixes of specs that are followed by the path of a file; NULL after the last.
 */
const char *vl_host_path_prefix(size_t i);

/* The spec that @t was opened by. */
const char *vl_target_name(const struct vl_target *t);

/* The hypervisor's process id; 0 for a dump. */
pid_t vl_target_pid(const struct vl_target *t);

/*
 * Has its hypervisor paused the guest, by the monitor? False, too, where no monitor can be asked,
 * and for a dump.
 */
bool vl_target_is_suspended(struct vl_target *t);

/* Is it a running guest? A dump is not: it needs no pause and never changes. */
bool vl_target_is_live(const struct vl_target *t);

/*
 * A name for this run of the guest, fit for a file name: pid and start time of the hypervisor, or
 * device, inode, size and mtime of the dump. All that is cached under it is void when it
 * changes. It stays the same when the guest reboots inside its hypervisor, or goes back to a
 * snapshot there.
 */
const char *vl_target_run_id(struct vl_target *t);

/* The RAM map, sorted by gpa, no overlaps; owned by the target. */
const struct vl_ram *vl_target_ram(const struct vl_target *t, size_t *nr_ret);

/* The name of the file behind range @i of vl_target_ram(); NULL: anonymous, or not known. */
const char *vl_target_ram_file(const struct vl_target *t, size_t i);

/*
 * The state of every vCPU, in the order of their numbers. The source is the dump's notes, or
 * imee.ko if it has the guest, which takes microseconds and stops nothing, or else the monitor,
 * which cannot be asked while the target is frozen. *@ret is malloc'ed. A monitor that refuses
 * `info registers` is asked for the notes of a dump, which stops the vCPUs for about a millisecond;
 * that counts as a pause.
 */
struct vl_error *vl_target_vcpus(struct vl_target *t, struct vl_vcpu **ret, size_t *nr_ret);

/*
 * Has @t the registers of its vCPUs? Not a file that is an image of memory only, and not a process
 * that is known by its mappings only: there vl_target_vcpus() fails, and attach/search.h finds what
 * a first attach needs.
 */
bool vl_target_has_vcpus(const struct vl_target *t);

/* The kernel of a file that was asked for (struct vl_target_options). */
unsigned int vl_target_kernel(const struct vl_target *t);

/*
 * Some memory has no addresses: a flat image, or the mappings of a hypervisor that cannot be asked.
 * Its RAM map has each piece of it at a place of its own, the first at 0. A placement says where
 * the pieces, or parts of them, may lie in the guest. attach/search.h finds the right one.
 */

/* The @size bytes that are at @at while the memory is not placed lie at @gpa. */
struct vl_extent {
	uint64_t at, size, gpa;
};

#define VL_EXTENTS 12

struct vl_placement {
	struct vl_extent extents[VL_EXTENTS]; /* by gpa */
	size_t nr;
};

/*
 * Placement @i of @t's memory, from 1 on: those that are more common come first. False: there is
 * no such placement; if @i is 1, the memory has addresses.
 */
bool vl_target_placement(const struct vl_target *t, unsigned int i, struct vl_placement *ret);

/*
 * Place the memory by placement @i; 0: undo that. Call this before RAM is mapped by others. Pieces
 * that the placement leaves out are no longer RAM.
 */
struct vl_error *vl_target_place(struct vl_target *t, unsigned int i);

/* The number of bytes behind the last whole page of a flat image, which are not read. */
uint64_t vl_target_remainder(const struct vl_target *t);

/*
 * The pages of memory that the file has, and that it should have. False: it has all. A flat image
 * is known to be short when its kernel is known. Reads the file: in a process without rights.
 */
bool vl_target_shortfall(const struct vl_target *t, uint64_t *has_ret, uint64_t *of_ret);

/*
 * The number of pages that the guest changed while a file was made, as vlens dump notes it: such a
 * file is of several points in time. UINT64_MAX: their number is not known. 0: none, or the file
 * has no such note.
 */
uint64_t vl_target_moved(const struct vl_target *t);

/*
 * The offset, rounded down to a page, of the first byte at or behind @off of the range that the
 * file holds. The bytes before it are a hole, and read as zeros. r->size: there is none.
 */
uint64_t vl_ram_next_data(const struct vl_target *t, const struct vl_ram *r, uint64_t off);

/*
 * The first run of bytes at or behind @gpa, in the range that holds @gpa, that may be other than
 * zeros. They are whole pages. False: there are none. Anonymous memory that the hypervisor has
 * not touched is left out: to read it would make page tables for it.
 */
bool vl_target_next_data(struct vl_target *t, uint64_t gpa, uint64_t *start_ret, uint64_t *end_ret);

/*
 * Read @len bytes at guest-physical @gpa into @buf. VL_ERR_FAULT unless all can be read. May cross
 * ranges. Does not need the guest to be paused.
 */
struct vl_error *vl_target_read(struct vl_target *t, uint64_t gpa, void *buf, size_t len);

/*
 * The mapped page at @gpa, which changes as the guest runs; NULL: it is not mapped, use
 * vl_target_read(). Valid as long as @t is.
 */
const void *vl_target_page(struct vl_target *t, uint64_t gpa);

/*
 * Read many 4 KiB pages at once, with as few system calls as possible: page
 * @gpas[i] to @bufs[i]. A page that is not RAM gives VL_ERR_FAULT.
 */
struct vl_error *vl_target_read_pages(struct vl_target *t, const uint64_t *gpas, void *const *bufs,
				      size_t nr);

/*
 * Pause the guest, by the mode of the options. A guard process resumes it if this process dies, or
 * holds it longer than its budget allows: the deadline is set once, and nothing renews it. Calls
 * nest: only the first pauses. A guest that somebody else has paused before stays paused, also
 * at resume. For a dump and for VL_PAUSE_NONE both do nothing. VL_ERR_SPENT: the budget of this
 * run is used up. VL_ERR_BLOCKED from resume: the guard has resumed the guest, and the data read
 * in the pause is not of one point in time.
 */
struct vl_error *vl_target_pause(struct vl_target *t);
/* Does a pause stop the hypervisor process, by the mode of the options? */
bool vl_target_freezes(const struct vl_target *t);
struct vl_error *vl_target_resume(struct vl_target *t);
bool vl_target_is_paused(const struct vl_target *t);

/* Set the budget; NULL: the default. Call this between two runs. */
void vl_target_set_budget(struct vl_target *t, const struct vl_pause_budget *budget);

/*
 * Nanoseconds that the next pause may last; 0: none is allowed. UINT64_MAX where
 * pausing does nothing.
 */
uint64_t vl_target_pause_left(const struct vl_target *t);

/* Nanoseconds that all further pauses of this run may last together. */
uint64_t vl_target_pauses_left(const struct vl_target *t);

/* Nanoseconds of our pauses so far; *@longest_ret (@longest_ret may be NULL): of the longest. */
uint64_t vl_target_paused_ns(const struct vl_target *t, uint64_t *longest_ret);

/* The number of our pauses so far. */
uint64_t vl_target_nr_pauses(const struct vl_target *t);

/* The state of a guest whose hypervisor process somebody has stopped by a signal. */
#define VL_TARGET_STOPPED "stopped"

/* Facts that the hypervisor has about a guest. */
struct vl_target_info {
	char name[256];	    /* "": none */
	char id[64];	    /* a short name that opens it: a domain's id, qemu:PID */
	char state[16];	    /* "running", "paused", "dump" …; "": not known */
	char format[48];    /* of a dump: "ELF", "raw" …; "": it is none */
	unsigned int vcpus; /* 0: not known */
};

/*
 * Ask the hypervisor about the guest. Members that it does not answer are empty. Pauses nothing;
 * a hypervisor that is stopped is not asked.
 */
void vl_target_info(struct vl_target *t, struct vl_target_info *ret);

/* The hint of an error for a guest that has not booted. */
const char *vl_target_wait_hint(const struct vl_target *t);

/*
 * Has somebody stopped the hypervisor process? Pauses of our tools do not count. A stopped guest
 * does not run, and its monitor does not answer. Takes a second if it is stopped.
 */
bool vl_target_is_stopped(struct vl_target *t);

/* Set the time and the number of pauses to 0. */
void vl_target_paused_reset(struct vl_target *t);

/*
 * Close the connection to the monitor, which talks to one client at a time. It is opened again when
 * it is needed.
 */
void vl_target_rest(struct vl_target *t);

/* VL_ERR_TARGET if the hypervisor's process has ended. A dump has none: NULL. */
struct vl_error *vl_target_alive(struct vl_target *t);

#endif
