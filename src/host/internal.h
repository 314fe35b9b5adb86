/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of host/ share: the target itself and the operations that
 * differ between a bare QEMU, a libvirt domain and a dump.
 */
#ifndef VLENS_HOST_INTERNAL_H
#define VLENS_HOST_INTERNAL_H

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../base/clock.h"
#include "port.h"
#include "target.h"

#define VL_PAGE_SIZE 4096ULL

struct vl_guard;
struct vl_held_place;
struct vl_kmod;

/* A file that backs guest RAM, opened once however many ranges lie in it. */
struct vl_backing {
	uint64_t dev, ino;
	int fd; /* -1: cannot be opened, the memory counts as anonymous */
	uint32_t page_size;
};

/* What differs between kinds of targets. NULL members: not possible. */
struct vl_target_ops {
	struct vl_error *(*vcpus)(struct vl_target *t, struct vl_vcpu **ret, size_t *nr_ret);
	/* Make ready what suspend and guard_resume need; may be NULL. */
	struct vl_error *(*prepare)(struct vl_target *t);
	/* Are the vCPUs stopped officially? */
	struct vl_error *(*suspended)(struct vl_target *t, bool *ret);
	/* Stop them. */
	struct vl_error *(*suspend)(struct vl_target *t);
	struct vl_error *(*unsuspend)(struct vl_target *t);
	/* The descriptor that guard_resume needs, or -1; kept open in the guard. */
	int (*guard_fd)(const struct vl_target *t);
	/* In the guard process, when this one is gone or hangs. */
	void (*guard_resume)(const struct vl_target *t, int fd);
	/* Fill what is known of *@ret, which is zeroed. */
	void (*info)(struct vl_target *t, struct vl_target_info *ret);
	/* Nothing is asked for now: let go of what others may want. */
	void (*rest)(struct vl_target *t);
	void (*close)(struct vl_target *t);
};

/* Where a range is mapped; NULL: it cannot be, or that was not tried yet. */
struct vl_ram_map {
	void *at;
	bool tried;
};

/* What maps RAM into this process: see vl_ram_by_module(). */
enum vl_ram_way { VL_RAM_UNDECIDED, VL_RAM_FILES, VL_RAM_MODULE };

struct vl_target {
	char *name;
	char run_id[112]; /* "": of a process, and not asked for yet */
	const struct vl_driver *driver;
	const struct vl_target_ops *ops;
	void *priv; /* of the ops */

	pid_t pid;	     /* 0: a dump */
	int pidfd;	     /* -1: a dump, or a kernel without pidfds */
	uint64_t start_time; /* 0 until it is asked for: vl_target_start_time() */
	int proc_mem;	     /* /proc/PID/mem, once process_vm_readv is refused; else -1 */

	struct vl_ram *ram;
	struct vl_ram_map *map; /* per range */
	char **files;		/* per range: the name of the file behind it, or NULL */
	size_t nr_ram, cap_ram;
	enum vl_ram_way way;
	struct vl_backing *backings;
	size_t nr_backings;
	char *map_cache; /* the file the RAM map came from, or NULL */

	/* The kernel module's attachment, made when it is first asked for. */
	struct vl_kmod *module;
	struct vl_error *no_module; /* why there is none, once that was tried */
	bool without_module;	    /* it is not to be used */
	bool takes_module;	    /* it goes along into a process without rights */

	struct vl_held_place *held; /* held.c; NULL: not looked for yet, or not found */

	enum vl_pause_mode pause_mode;
	unsigned int pause_depth;
	bool hurries;	      /* we are of a real-time class for so long */
	bool pause_ours;      /* not a guest that somebody else had paused */
	int lock_fd, turn_fd; /* pause.c; -1: not open yet */
	int first_fd;	      /* kept.c; -1: it is not our turn to make a first contact */
	struct vl_guard *guard;
	pid_t helper; /* a process that works while the guest is paused; 0: none */
	const struct vl_target_port *port; /* NULL: this process has rights of its own */
	uint64_t pause_start, paused_ns, paused_longest, nr_pauses;
	struct vl_pause_budget budget;
};

/* ---- target.c ---- */

/* Bind @t to process @pid by a pidfd. VL_ERR_TARGET when there is no such process. */
struct vl_error *vl_target_bind(struct vl_target *t, pid_t pid);
void vl_target_unbind(struct vl_target *t);
/*
 * When the process started: field 22 of /proc/PID/stat, in clock ticks since boot. Read when
 * it is first asked for, as the kernel adds up all threads for that file. 0, which no guest's
 * process has: it had ended, or cannot be looked at.
 */
uint64_t vl_target_start_time(struct vl_target *t);
/* Drop what one kind of target set up, so that another can be tried. */
void vl_target_reset(struct vl_target *t);

/* The error for a guest whose memory cannot be understood from outside. */
struct vl_error *vl_target_encrypted(void) __attribute__((returns_nonnull));

/* ---- drivers.c ---- */

/* What is looked for. */
struct vl_spec {
	const char *arg; /* what was given, behind the prefix */
	const char *uri; /* libvirt's, or NULL */
	bool no_such;	 /* set by an open that failed: it has no such guest, another may have */
};

typedef struct vl_error *vl_open_fn(struct vl_target *t, struct vl_spec *s);

/* One way to find a guest. Members may be NULL, but for kind and open. */
struct vl_driver {
	const char *prefix; /* a spec with it is this driver's alone */
	const char *form;   /* how such a guest is named, for a user; NULL: as another */
	const char *kind;   /* what it is, for a user */
	bool (*takes)(const char *spec); /* without a prefix: may it have @spec? */
	vl_open_fn *open;
	/* Its guests, one of: specs, and process ids that stand behind the prefix. */
	struct vl_error *(*list)(const char *uri, void (*fn)(void *ctx, const char *spec),
				 void *ctx);
	void (*list_pids)(void (*fn)(void *ctx, pid_t pid), void *ctx);
	/* Names of guests that another driver lists. One may come twice, or be no spec. */
	void (*list_names)(void (*fn)(void *ctx, const char *name), void *ctx);
	bool kept;    /* a keeper may stay for it */
	bool is_path; /* a path of the host stands behind the prefix */
};

/* All of them; the last has no open. */
extern const struct vl_driver vl_drivers[];

vl_open_fn vl_libvirt_open, vl_qemu_open_name, vl_qemu_open, vl_qemu_open_socket, vl_kvm_open,
	vl_dump_open;
void vl_qemu_list_names(void (*fn)(void *ctx, const char *name), void *ctx);

/* Open @spec by the drivers that take it. */
struct vl_error *vl_driver_open(struct vl_target *t, const char *spec, const char *uri);

/* ---- guests.c ---- */

/*
 * @err says that there is no guest @spec (at libvirt's @uri): add what is near, and where all are
 * shown. Returns @err.
 */
struct vl_error *vl_name_unknown(struct vl_error *err, const char *spec, const char *uri);

/* ---- ram.c ---- */

/* Add a range to the table; the order does not matter. */
struct vl_error *vl_ram_add(struct vl_target *t, const struct vl_ram *r);
/* Sort, check for overlaps, merge what is contiguous. */
struct vl_error *vl_ram_finish(struct vl_target *t);
void vl_ram_deinit(struct vl_target *t);
/* Read @len bytes at @va of the hypervisor process itself; all, or false. */
bool vl_target_read_process(struct vl_target *t, uint64_t va, void *buf, size_t len);

/* ---- pause.c ---- */

/* Count @ns nanoseconds as a pause of ours. */
void vl_pause_account(struct vl_target *t, uint64_t ns);
/*
 * Keep all tools from freezing the guest's process until vl_pause_let_go(), for some
 * milliseconds. False: that could not be had, and is not to be let go of.
 */
bool vl_pause_hold_off(struct vl_target *t);
void vl_pause_let_go(struct vl_target *t);

/* ---- rammap.c ---- */

/* Ask the human monitor: the answer is malloc'ed; lines end in LF or CRLF. */
typedef struct vl_error *vl_hmp_fn(void *ctx, const char *command, char **ret);

/*
 * Fill the RAM map of a live target: from the cache of this run, else by
 * asking the monitor through @hmp.
 */
struct vl_error *vl_rammap_build(struct vl_target *t, vl_hmp_fn *hmp, void *ctx);
/* The same from the cache only; false: there is none that fits. */
bool vl_rammap_cached(struct vl_target *t);
/* The same from the kernel module's list of the guest's memory slots. */
struct vl_error *vl_rammap_by_module(struct vl_target *t);

/* ---- helpers ---- */

#endif
