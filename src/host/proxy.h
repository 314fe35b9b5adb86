/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A target in a process without rights. It is the copy, by fork, of a target that was opened
 * with rights, and a proxy to the process that still has them. Memory that is mapped, or behind a
 * descriptor, is read directly; all else is asked for through the proxy.
 */
#ifndef VLENS_HOST_PROXY_H
#define VLENS_HOST_PROXY_H

#include "../base/clock.h"
#include "../base/machine.h"
#include "kept.h"
#include "target.h"

struct vl_entry;
struct vl_held;
struct vl_kernel_source;
struct vl_quiesce;

/*
 * The page at @gpas[@i] is at @page until the function returns. The function reads no memory of a
 * guest.
 */
typedef void vl_page_visit_fn(void *ctx, size_t i, const void *page);

struct vl_target_proxy {
	void *ctx;
	struct vl_error *(*pause)(void *ctx);
	struct vl_error *(*resume)(void *ctx);
	/* Pause at a good moment (vmst/quiesce.h). */
	struct vl_error *(*quiesce)(void *ctx, const struct vl_quiesce *m, unsigned tries,
				    unsigned *cpu_ret);
	struct vl_error *(*vcpus)(void *ctx, struct vl_vcpu **ret, size_t *nr_ret);
	/* Memory that is neither mapped nor in a file. */
	struct vl_error *(*read)(void *ctx, uint64_t gpa, void *buf, size_t len);
	/* vl_target_visit_pages() of pages that are all such memory */
	struct vl_error *(*visit_pages)(void *ctx, const uint64_t *gpas, size_t nr,
					vl_page_visit_fn *fn, void *fn_ctx);
	/* vl_target_place(), vl_target_next_data() */
	struct vl_error *(*place)(void *ctx, unsigned int i);
	bool (*next_data)(void *ctx, uint64_t gpa, uint64_t *start_ret, uint64_t *end_ret);
	struct vl_error *(*alive)(void *ctx);
	/* Files of the cache and of this run: kept.h. */
	struct vl_error *(*kept_open)(void *ctx, enum vl_kept kind, const char *key, int *fd_ret,
				      size_t *size_ret);
	struct vl_error *(*kept_store)(void *ctx, enum vl_kept kind, const void *data, size_t size);
	bool (*turn)(void *ctx, const struct timespec *since, uint64_t wait_ns);
	void (*end_turn)(void *ctx);
	/* vl_kernel_provide() */
	struct vl_error *(*kernel)(void *ctx, const struct vl_kernel_source *src,
				   struct vl_deadline deadline, char key_ret[VL_KEY_MAX + 1],
				   bool *made_ret, int *fd_ret, size_t *size_ret);
	/* vl_held_read(), vl_held_start() */
	bool (*held)(void *ctx, bool anew, struct vl_held **ret, size_t *nr_ret, bool *same_ret);
	void (*held_start)(void *ctx);
	/* vl_entry_read() */
	struct vl_error *(*entry)(void *ctx, struct vl_entry **ret, size_t *nr_ret);
	/* Opened before the rights were dropped; -1: that failed. */
	int uffd;
	bool uffd_user_only; /* it serves no faults of the host's kernel */
	int signaller;	     /* a userfaultfd whose faults are signals; -1: there is none */
	struct vl_machine_host machine;
};

/* Before the fork: look up facts about @t that the forked process cannot look up. */
void vl_target_ready_proxy(struct vl_target *t);

/*
 * Use @t through @proxy from now on; @proxy must outlive @t. Call this in the forked process, while
 * it may still map memory. @keep is called with each descriptor of @t that is still needed.
 */
void vl_target_use_proxy(struct vl_target *t, const struct vl_target_proxy *proxy,
			 void (*keep)(void *ctx, int fd), void *ctx);

/*
 * Before vl_target_use_proxy(): keep @t's attachment to imee.ko, if there is one, in the
 * forked process, which may map memory by it. Without this call it stays with the broker.
 */
void vl_target_take_kmod(struct vl_target *t);

/* NULL: @t has rights of its own. */
const struct vl_target_proxy *vl_target_proxy(const struct vl_target *t);

/*
 * Set the helper: process @pid works for us while the guest is paused. Its first thread is then
 * of a real-time class, as we are. 0: no helper.
 */
void vl_target_set_helper(struct vl_target *t, pid_t pid);

/* Pause when the guest is quiesced (vl_quiesce_pause()), by @t's proxy, which it must have. */
struct vl_error *vl_target_pause_quiesced(struct vl_target *t, const struct vl_quiesce *m,
					  unsigned tries, unsigned *cpu_ret);

/* The pauses of a run so far, and its budget. A proxy's user gets them from the broker. */
struct vl_pause_account {
	uint64_t paused_ns, longest_ns, nr;
	struct vl_pause_budget budget;
};

void vl_target_get_account(const struct vl_target *t, struct vl_pause_account *ret);
void vl_target_set_account(struct vl_target *t, const struct vl_pause_account *a);

/* How many calls of vl_target_resume() it takes until the guest runs. */
unsigned int vl_target_pause_depth(const struct vl_target *t);

/*
 * Read @nr pages, and let @fn look at each, in ascending order of @i. If another process reads for
 * us, it reads the next pages meanwhile. @room is space for @room_nr pages.
 */
struct vl_error *vl_target_visit_pages(struct vl_target *t, const uint64_t *gpas, size_t nr,
				       vl_page_visit_fn *fn, void *ctx, void *room, size_t room_nr);

#endif
