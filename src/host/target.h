/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a guest is: a libvirt domain, a bare QEMU, or a dump file. A target
 * gives the guest-physical memory map, the state of the vCPUs, and the right
 * to pause. It never gives write access to guest memory.
 */
#ifndef VLENS_HOST_H
#define VLENS_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../error.h"

struct vl_target;

enum vl_pause_mode {
	VL_PAUSE_AUTO,	  /* as freeze, but only where its memory does not stand still (default) */
	VL_PAUSE_FREEZE,  /* stop the hypervisor process for the moment */
	VL_PAUSE_SUSPEND, /* the official suspend: virDomainSuspend, QMP stop */
	VL_PAUSE_NONE,	  /* do not pause: the clone runs over moving memory */
};

struct vl_target_options {
	const char *uri; /* libvirt URI, NULL: libvirt's own default */
	enum vl_pause_mode pause;
	bool no_module; /* do without the kernel module imee.ko, though it be there */
	struct vl_pause_budget {
		bool given; /* else the figures are the defaults below */
		uint64_t longest_ns, total_ns;
	} budget; /* how long a run may pause the guest */
};

#define VL_PAUSE_LONGEST_NS 10000000UL /* one pause */
#define VL_PAUSE_TOTAL_NS 50000000UL   /* all of a run */

/*
 * One run of guest RAM, contiguous both in guest-physical space and in its
 * backing. Either fd >= 0: the bytes are at fd_offset of that file (memfd,
 * shared file, hugetlbfs, or the dump itself), opened read-only, owned by the
 * target, and can be mapped; or fd < 0: they are at address hva of process
 * vl_target_pid() (anonymous memory).
 *
 * Not everything with an fd should be mapped. A dump's fd_offset is seldom page
 * aligned, and the file may be cut short (SIGBUS). Where page_size is more than
 * 4096 (hugetlbfs) a mapping must start and end on such pages; to touch one that
 * the guest never touched, or to write to a private mapping, takes huge pages
 * from the host's pool and ends in SIGBUS when it is empty. vl_target_read and
 * vl_target_read_pages do the right thing for each.
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
 * Can a live guest's range be mapped for good? A file that can be cut short ends
 * in SIGBUS: QEMU seals its memfds against that. One that has no name, or no seal, whoever
 * has it open can cut short. So does hugetlbfs, when touching a page that the guest never
 * touched finds the host's pool empty; else that takes one from it.
 */
bool vl_ram_mappable(const struct vl_ram *r);

/*
 * Map a range that has a file (r->fd), readable, for the caller to munmap() by its size.
 * NULL: errno says why.
 */
void *vl_ram_map(const struct vl_ram *r);

/* What a vCPU's registers were. For a live guest, at the moment of the call. */
struct vl_vcpu {
	uint64_t rip, rsp, rflags;
	uint64_t cr0, cr3, cr4;
	uint64_t efer; /* 0 when the source does not tell */
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
 * hypervisor it is, by the kernel module imee.ko), or the path of a memory dump (a spec with
 * a '/', or the name of a regular file that is no guest's). Opens read-only, pauses nothing.
 * On success *@ret is owned by the caller. VL_ERR_TARGET with a hint for whatever goes wrong.
 */
struct vl_error *vl_target_open(const char *spec, const struct vl_target_options *opts,
				struct vl_target **ret);
void vl_target_close(struct vl_target *t);

/*
 * Call @fn with the name of every running domain at libvirt's @uri (NULL: its
 * default), or its UUID where the name could be taken for something else. Nothing is listed without libvirt.
 */
struct vl_error *vl_target_list(const char *uri, void (*fn)(void *ctx, const char *name),
				void *ctx);

/*
 * Call @fn with the process id of every QEMU of this host that runs a machine and
 * is not libvirt's, in ascending order.
 */
void vl_target_list_bare(void (*fn)(void *ctx, pid_t pid), void *ctx);

/*
 * Call @fn with the process id of every process of this host, QEMUs apart, that has a guest
 * on KVM, in ascending order: what kvm:PID opens. Nothing without the kernel module.
 */
void vl_target_list_kvm(void (*fn)(void *ctx, pid_t pid), void *ctx);

/*
 * The names (vl_target_open()) of all guests of this host: libvirt's domains at
 * @uri (NULL: its default) that run, and the QEMUs that libvirt does not manage. Where
 * there is no libvirt, or no access to it, only those. *@ret is malloc'ed, for
 * vl_host_guests_free().
 */
struct vl_error *vl_host_guests(const char *uri, char ***ret, size_t *nr_ret);
void vl_host_guests_free(char **names, size_t nr);

/*
 * The same, and the names besides that QEMUs have which libvirt does not manage, where such a
 * name is one guest's: all that can be written for a guest of this host.
 */
struct vl_error *vl_host_guest_names(const char *uri, char ***ret, size_t *nr_ret);

/*
 * A prefix of specs behind which the path of a file stands: the one of number @i, or NULL behind
 * the last.
 */
const char *vl_host_path_prefix(size_t i);

/* The spec it was opened by. */
const char *vl_target_name(const struct vl_target *t);

/* The hypervisor's process id; 0 for a dump. */
pid_t vl_target_pid(const struct vl_target *t);

/* A dump is not live: it needs no pause and never changes. */
bool vl_target_is_live(const struct vl_target *t);

/*
 * A name for this one run of the guest, fit for a file name: pid and start
 * time of the hypervisor, or device, inode, size and mtime of the dump.
 * Whatever is cached under it is void when it changes. It stays the same when the
 * guest reboots inside its hypervisor, or goes back to a snapshot there.
 */
const char *vl_target_run_id(struct vl_target *t);

/* The RAM map, sorted by gpa, no overlaps; owned by the target. */
const struct vl_ram *vl_target_ram(const struct vl_target *t, size_t *nr_ret);

/* The name of the file behind range @i of them; NULL: anonymous memory, or nobody knows. */
const char *vl_target_ram_file(const struct vl_target *t, size_t i);

/*
 * The state of every vCPU, in the order of their numbers. Asks the kernel module, if
 * it has the guest, which takes microseconds and stops nothing; else the monitor
 * (not while the target is frozen), or reads the dump's notes. *@ret is malloc'ed. A
 * monitor that refuses `info registers` is asked for notes of a dump, which stops the
 * vCPUs for a millisecond or so, and counts as paused.
 */
struct vl_error *vl_target_vcpus(struct vl_target *t, struct vl_vcpu **ret, size_t *nr_ret);

/*
 * Read @len bytes at guest-physical @gpa into @buf, all or VL_ERR_FAULT. May
 * cross ranges. Does not need the guest to be paused.
 */
struct vl_error *vl_target_read(struct vl_target *t, uint64_t gpa, void *buf, size_t len);

/*
 * The page at @gpa where it lies, changing as the guest runs; NULL: it can only be read. Valid
 * as long as @t is.
 */
const void *vl_target_page(struct vl_target *t, uint64_t gpa);

/*
 * Read many 4 KiB pages at once, with as few system calls as possible: page
 * @gpas[i] to @bufs[i]. A page that is not RAM gives VL_ERR_FAULT.
 */
struct vl_error *vl_target_read_pages(struct vl_target *t, const uint64_t *gpas, void *const *bufs,
				      size_t nr);

/*
 * Pause the guest, by the mode of the options, under a guard process that
 * resumes it should this process die, or hold it longer than its budget allows:
 * the deadline is set once, and nothing renews it. Calls nest: only the first
 * pauses. A guest that was already paused by somebody else stays as it is,
 * also at resume. For a dump and for VL_PAUSE_NONE both do nothing.
 * VL_ERR_SPENT: the budget of this run is used up. VL_ERR_BLOCKED from resume: the
 * guard has resumed the guest, and what was read meanwhile is not of one moment.
 */
struct vl_error *vl_target_pause(struct vl_target *t);
/* Would it stop the process? */
bool vl_target_freezes(const struct vl_target *t);
struct vl_error *vl_target_resume(struct vl_target *t);
bool vl_target_is_paused(const struct vl_target *t);

/* Set the budget anew; NULL: the default. For the time between two runs. */
void vl_target_set_budget(struct vl_target *t, const struct vl_pause_budget *budget);

/*
 * Nanoseconds that the next pause may last; 0: none is allowed. UINT64_MAX where
 * pausing does nothing.
 */
uint64_t vl_target_pause_left(const struct vl_target *t);

/* And all further pauses of this run. */
uint64_t vl_target_pauses_left(const struct vl_target *t);

/* Nanoseconds the guest was paused by us so far, and the longest single pause. */
uint64_t vl_target_paused_ns(const struct vl_target *t, uint64_t *longest_ret);

/* And how many pauses that were. */
uint64_t vl_target_nr_pauses(const struct vl_target *t);

/* The state of a guest whose hypervisor process somebody has stopped by a signal. */
#define VL_TARGET_STOPPED "stopped"

/* What its hypervisor says of a guest. */
struct vl_target_info {
	char name[256];	    /* "": it has none */
	char id[64];	    /* a short name that opens it: a domain's id, qemu:PID */
	char state[16];	    /* "running", "paused", "dump" …; "": not known */
	unsigned int vcpus; /* 0: not known */
};

/*
 * Ask the hypervisor about the guest; what it does not tell is left empty. Pauses
 * nothing. One that is stopped is not asked.
 */
void vl_target_info(struct vl_target *t, struct vl_target_info *ret);

/*
 * Is the hypervisor process stopped, and not for the moment that a tool of ours holds it?
 * Then nothing in the guest moves and no monitor answers.
 */
bool vl_target_is_stopped(struct vl_target *t);

/* Count the time paused from nought again. */
void vl_target_paused_reset(struct vl_target *t);

/*
 * Nothing will be asked for a while: a monitor, which talks to one client at a
 * time, is free for others. It is taken again when it is needed.
 */
void vl_target_rest(struct vl_target *t);

/*
 * Has the guest gone (hypervisor exited)? NULL, or the VL_ERR_TARGET error to
 * report.
 */
struct vl_error *vl_target_alive(struct vl_target *t);

#endif
