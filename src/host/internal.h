/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shared by the files of host/: the target itself, and the operations that differ between a bare
 * QEMU, a libvirt domain, a guest on KVM and a dump.
 */
#ifndef VLENS_HOST_INTERNAL_H
#define VLENS_HOST_INTERNAL_H

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/clock.h"
#include "proxy.h"
#include "registers.h"
#include "target.h"

#define VL_PAGE_SIZE 4096ULL

struct vl_guard;
struct vl_held_place;
struct vl_kmod;
struct vl_pages;

/* A file that backs guest RAM, opened once for all ranges in it. */
struct vl_backing {
	uint64_t dev, ino;
	int fd; /* -1: cannot be opened, the memory counts as anonymous */
	uint32_t page_size;
};

/* The operations of one kind of target. NULL: not possible. */
struct vl_target_ops {
	struct vl_error *(*vcpus)(struct vl_target *t, struct vl_vcpu **ret, size_t *nr_ret);
	/* All registers, with the machine of an ELF file with them; 0: by the registers. */
	struct vl_error *(*registers)(struct vl_target *t, struct vl_registers **ret,
				      size_t *nr_ret, unsigned int *machine_ret);
	/* Prepare suspend and guard_resume; may be NULL. */
	struct vl_error *(*prepare)(struct vl_target *t);
	/* Has the hypervisor suspended the vCPUs? */
	struct vl_error *(*suspended)(struct vl_target *t, bool *ret);
	struct vl_error *(*suspend)(struct vl_target *t);
	struct vl_error *(*unsuspend)(struct vl_target *t);
	/* The descriptor that guard_resume needs, or -1; kept open in the guard. */
	int (*guard_fd)(const struct vl_target *t);
	/* In the guard process, when the tool has ended or hangs. */
	void (*guard_resume)(const struct vl_target *t, int fd);
	/* Fill the known members of *@ret, which is zeroed. */
	void (*info)(struct vl_target *t, struct vl_target_info *ret);
	/* Release the monitor for others, until the next question. */
	void (*rest)(struct vl_target *t);
	void (*close)(struct vl_target *t);
};

/* The mapping of a range; at is NULL if it cannot be mapped, or until that is tried. */
struct vl_ram_map {
	void *at;
	bool tried;
};

/* A piece of memory without addresses. */
struct vl_piece {
	uint64_t at, size; /* while it is not placed */
	uint64_t hva;	   /* in the hypervisor process; 0: of a file */
	bool sparse;	   /* pages that the process has not touched are zeros */
};

#define VL_PIECES 8

/* How RAM is mapped into this process: see vl_ram_by_kmod(). */
enum vl_ram_way { VL_RAM_UNDECIDED, VL_RAM_FILES, VL_RAM_MODULE };

/* Bytes of a run id, with its NUL. */
#define VL_RUN_ID 112

struct vl_target {
	char *name;
	char run_id[VL_RUN_ID]; /* "" until vl_target_run_id() */
	const struct vl_driver *driver;
	const struct vl_target_ops *ops;
	void *priv; /* owned by the ops */

	pid_t pid;	     /* 0: a dump */
	int pidfd;	     /* -1: a dump, or a kernel without pidfds */
	uint64_t start_time; /* 0 until vl_target_start_time() */
	int proc_mem;	     /* /proc/PID/mem, once process_vm_readv() was refused; else -1 */

	struct vl_ram *ram;
	struct vl_ram_map *map; /* per range */
	char **files;		/* per range: the name of the file behind it, or NULL */
	size_t nr_ram, cap_ram;
	enum vl_ram_way way;
	struct vl_pages *pages; /* pages.c; NULL: all memory is as it is */
	struct vl_backing *backings;
	size_t nr_backings;
	char *map_cache; /* the file that the RAM map was loaded from, or NULL */

	/*
	 * Of memory without addresses (place.c): its pieces, and the RAM map without a placement.
	 */
	struct vl_piece *pieces;
	size_t nr_pieces;
	struct vl_ram *flat;
	char **flat_files;
	size_t nr_flat;
	unsigned int placed; /* vl_target_place(); 0: it is not */
	int pagemap;	     /* /proc/PID/pagemap; -1: not open yet */
	bool without_vcpus;  /* no registers can be had */

	/* The attachment to imee.ko, made by the first vl_target_kmod(). */
	struct vl_kmod *kmod;
	struct vl_error *no_kmod; /* why there is none; NULL before the first try */
	bool without_kmod;	  /* by the options */
	bool takes_kmod;	  /* a process without rights inherits the attachment */

	struct vl_held_place *held; /* held.c; NULL: not looked for yet, or not found */
	const char *snapshot;	    /* of the options; NULL once a driver has used it */

	unsigned int kernel; /* of the options, as the next ones */
	bool partial;
	struct vl_error *(*unpack)(int fd, uint64_t at, const char *run_id, bool partial,
				   int *fd_ret);
	struct vl_error *(*index)(const struct vl_index_job *job, const char *run_id,
				  struct vl_index *ret);

	enum vl_pause_mode pause_mode;
	unsigned int pause_depth;
	bool boosted;	      /* we are of a real-time class during the pause */
	bool pause_ours;      /* false: somebody else had paused the guest before */
	int lock_fd, turn_fd; /* pause.c; -1: not open yet */
	int first_fd;	      /* lock of a first attach (kept.c); -1: not held */
	struct vl_guard *guard;
	pid_t helper; /* a process that works while the guest is paused; 0: none */
	const struct vl_target_proxy *proxy; /* NULL: this process has rights of its own */
	struct vl_waits *waits; /* for the file of a dump; NULL: of this process, in own_waits */
	struct vl_waits own_waits;
	uint64_t pause_start, paused_ns, paused_longest, nr_pauses;
	struct vl_pause_budget budget;
};

/* ---- target.c ---- */

/* Bind @t to process @pid by a pidfd. VL_ERR_TARGET when there is no such process. */
struct vl_error *vl_target_bind(struct vl_target *t, pid_t pid);
void vl_target_unbind(struct vl_target *t);
/*
 * The start time of the process: field 22 of /proc/PID/stat, in clock ticks since boot. The first
 * call reads it, as the file is expensive: the kernel adds up all threads. 0, which no guest's
 * process has: it has ended, or cannot be read.
 */
uint64_t vl_target_start_time(struct vl_target *t);
/* Undo the open of one driver, so that another can be tried. */
void vl_target_reset(struct vl_target *t);

/* The error for a guest whose memory is encrypted. */
struct vl_error *vl_target_encrypted(void) __attribute__((returns_nonnull));

/* ---- drivers.c ---- */

/* A spec, as a driver gets it. */
struct vl_spec {
	const char *arg; /* the spec without the prefix */
	const char *uri; /* libvirt's, or NULL */
	bool no_such;	 /* set by an open that failed: another driver may have the guest */
	bool silent;	 /* set with no_such: this driver could not ask for its guests */
};

typedef struct vl_error *vl_open_fn(struct vl_target *t, struct vl_spec *s);

/* One way to find a guest. Members may be NULL, but for kind and open. */
struct vl_driver {
	const char *prefix; /* a spec with this prefix is opened by this driver only */
	const char *form;   /* the form of a spec, for a user; NULL: that of another row */
	const char *kind;   /* the kind of guest, for a user */
	bool (*takes)(const char *spec); /* may @spec, which has no prefix, be its guest? */
	vl_open_fn *open;
	/* List its guests: either as specs, or as process ids, which follow the prefix. */
	struct vl_error *(*list)(const char *uri, void (*fn)(void *ctx, const char *spec),
				 void *ctx);
	void (*list_pids)(void (*fn)(void *ctx, pid_t pid), void *ctx);
	/*
	 * Further names of guests that another driver lists. A name may occur twice, or be no valid
	 * spec.
	 */
	void (*list_names)(void (*fn)(void *ctx, const char *name), void *ctx);
	bool kept;     /* a keeper may stay for its guests */
	bool is_path;  /* a path of the host follows the prefix */
	bool is_local; /* its names are of this host: not looked up at a libvirt URI */
};

/* All drivers; the last has no open. */
extern const struct vl_driver vl_drivers[];

vl_open_fn vl_libvirt_open, vl_qemu_open_name, vl_qemu_open, vl_qemu_open_socket, vl_kvm_open,
	vl_pid_open, vl_dump_open;
/*
 * Open the only QEMU of this name. libvirt is not asked, as it has started none of that name: to
 * load it takes longer than most answers.
 */
vl_open_fn vl_qemu_open_alone;
void vl_qemu_list_names(void (*fn)(void *ctx, const char *name), void *ctx);
/* Call @fn for each QEMU of this host that runs a machine. @name "": it has none. */
void vl_qemu_list(void (*fn)(void *ctx, pid_t pid, const char *name), void *ctx);

/* Open @spec by the drivers that take it. */
struct vl_error *vl_driver_open(struct vl_target *t, const char *spec, const char *uri);

/* ---- guests.c ---- */

/*
 * @err says that there is no guest @spec (at libvirt's @uri): add a hint with the nearest names.
 * Returns @err.
 */
struct vl_error *vl_name_unknown(struct vl_error *err, const char *spec, const char *uri);

/* ---- ram.c ---- */

/* Add a range to the table; the order does not matter. */
struct vl_error *vl_ram_add(struct vl_target *t, const struct vl_ram *r);
/* Sort the table, cut overlaps, merge contiguous ranges. */
struct vl_error *vl_ram_finish(struct vl_target *t);
/* The range that holds @gpa, or NULL. */
const struct vl_ram *vl_ram_find(const struct vl_target *t, uint64_t gpa);
void vl_ram_deinit(struct vl_target *t);
/* Read @len bytes at @va of the hypervisor process. False: not all could be read. */
bool vl_target_read_process(struct vl_target *t, uint64_t va, void *buf, size_t len);

/* ---- place.c ---- */

/*
 * After vl_ram_finish(): the memory has no addresses. The RAM map has @pieces, at most VL_PIECES.
 */
struct vl_error *vl_ram_unplaced(struct vl_target *t, const struct vl_piece *pieces, size_t nr);

/* ---- pause.c ---- */

/*
 * Pause by @mode from now on. False: this kind of guest cannot be suspended, or it was paused
 * before.
 */
bool vl_target_set_pause(struct vl_target *t, enum vl_pause_mode mode);
/* Count a pause of @ns nanoseconds. */
void vl_pause_count(struct vl_target *t, uint64_t ns);
/*
 * Keep all tools from freezing the guest's process until vl_pause_let_go(), which must follow
 * within milliseconds. False: the lock could not be had; do not call vl_pause_let_go().
 */
bool vl_pause_hold_off(struct vl_target *t);
void vl_pause_let_go(struct vl_target *t);

/* ---- rammap.c ---- */

/* Run a command of the human monitor: *@ret is malloc'ed; its lines end in LF or CRLF. */
typedef struct vl_error *vl_hmp_fn(void *ctx, const char *command, char **ret);

/*
 * Fill the RAM map of a live target by asking the monitor through @hmp, and store it in the cache
 * of this run.
 */
struct vl_error *vl_rammap_build(struct vl_target *t, vl_hmp_fn *hmp, void *ctx);
/* Fill it from the cache of this run; false: none, or it does not fit the process. */
bool vl_rammap_cached(struct vl_target *t);
/* Fill it from imee.ko's list of the guest's memory slots. */
struct vl_error *vl_rammap_by_kmod(struct vl_target *t);
/* Fill it from the process's mappings that may be the guest's memory, which is not placed yet. */
struct vl_error *vl_rammap_by_mappings(struct vl_target *t);

#endif
