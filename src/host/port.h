/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a process without rights has a target: a copy of one that was opened with them,
 * by fork, and a port to whoever still has them. What is mapped, or behind a descriptor,
 * it reads itself; the rest is asked for.
 */
#ifndef VLENS_HOST_PORT_H
#define VLENS_HOST_PORT_H

#include "../base/deadline.h"
#include "../base/machine.h"
#include "kept.h"
#include "target.h"

struct vl_held;
struct vl_kernel_source;
struct vl_quiesce;

struct vl_target_port {
	void *ctx;
	struct vl_error *(*pause)(void *ctx);
	struct vl_error *(*resume)(void *ctx);
	/* Pause at a good moment (vmst/quiesce.h). */
	struct vl_error *(*moment)(void *ctx, const struct vl_quiesce *m, unsigned tries,
				   unsigned *cpu_ret);
	struct vl_error *(*vcpus)(void *ctx, struct vl_vcpu **ret, size_t *nr_ret);
	/* Memory that is neither mapped nor in a file. */
	struct vl_error *(*read)(void *ctx, uint64_t gpa, void *buf, size_t len);
	struct vl_error *(*read_pages)(void *ctx, const uint64_t *gpas, void *const *bufs,
				       size_t nr);
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
	/* vl_held_look(), vl_held_start() */
	bool (*held)(void *ctx, bool anew, struct vl_held **ret, size_t *nr_ret, bool *same_ret);
	void (*held_start)(void *ctx);
	/* What was opened ahead; -1: it could not be. */
	int uffd;
	bool uffd_user_only; /* it serves no faults of the host's kernel */
	struct vl_machine_host machine;
};

/* Before the fork: find out what the forked process could not, and both need. */
void vl_target_ready_port(struct vl_target *t);

/*
 * From now on @t goes by @port, which must outlive it. In a forked process, while it still
 * may map memory. @keep is called with each descriptor of @t that is still needed.
 */
void vl_target_use_port(struct vl_target *t, const struct vl_target_port *port,
			void (*keep)(void *ctx, int fd), void *ctx);

/*
 * Before that: @t's attachment by the kernel module, if there is one, goes along, and may
 * map memory there. Else it stays with whoever has the rights.
 */
void vl_target_take_module(struct vl_target *t);

/* NULL: @t has rights of its own. */
const struct vl_target_port *vl_target_port(const struct vl_target *t);

/*
 * Process @pid works for us while the guest is paused: its first thread then is of a real-time
 * class, as we are. 0: none does.
 */
void vl_target_set_helper(struct vl_target *t, pid_t pid);

/* Pause at a good moment, by the port that @t must have: vl_quiesce_pause(). */
struct vl_error *vl_target_pause_at_moment(struct vl_target *t, const struct vl_quiesce *m,
					   unsigned tries, unsigned *cpu_ret);

/* What the pauses of a run came to, and may come to: a port's user has it from there. */
struct vl_pause_account {
	uint64_t paused_ns, longest_ns, nr;
	struct vl_pause_budget budget;
};

void vl_target_get_account(const struct vl_target *t, struct vl_pause_account *ret);
void vl_target_set_account(struct vl_target *t, const struct vl_pause_account *a);

/* Pauses of @t that are open: how often it must be resumed until it runs. */
unsigned int vl_target_pause_depth(const struct vl_target *t);

#endif
