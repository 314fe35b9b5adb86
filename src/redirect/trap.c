/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A system call of the program that waits for its answer: the calls that its handler makes in
 * the guest's kernel, the epoch for them, and the answer.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "../base/array.h"
#include "../base/cleanup.h"
#include "../base/clock.h"
#include "../base/number.h"
#include "trap.h"

/* End the epoch, if one is open. */
void vl_epoch_end(struct vl_redirect *r)
{
	if (r->sys->open)
		r->stats->open_ns += vl_now_ns() - r->begun_ns;
	else if (!r->prepares)
		return;
	r->prepares = false;
	r->sys->ops->end(r->sys);
}

struct vl_error *vl_epoch_begin(struct vl_redirect *r)
{
	struct vl_error *err;

	r->begun_ns = vl_now_ns();
	r->prepares = false;
	/*
	 * The first one may have to search a file for a kernel, for minutes. The program has asked
	 * nothing before that, so a signal for it may as well end us.
	 */
	if (!r->know_self)
		vl_terminal_let(&r->terminal, true);
	err = r->sys->ops->begin(r->sys);
	if (!r->know_self)
		vl_terminal_let(&r->terminal, false);
	r->no_epoch = err;
	if (err)
		return err;
	r->stats->epochs++;
	r->self = r->sys->self;
	r->know_self = true;
	return NULL;
}

/* The identity that the guest's calls are made under. */
struct vl_error *vl_self(struct vl_redirect *r, const struct vl_identity **ret)
{
	struct vl_error *err = r->know_self ? NULL : vl_epoch_begin(r);

	*ret = &r->self;
	return err;
}

/*
 * Most calls are answered at once. Only after this time is it checked whether the task still waits.
 */
#define WAITS_NS (5 * VL_NSEC_PER_MSEC)

/* A call that takes long is checked for a pending signal each time this has passed. */
#define PATIENCE_NS (200 * VL_NSEC_PER_MSEC)

/* The pending signals of task @tid that it neither blocks nor ignores. */
static uint64_t waiting_signals(pid_t tid)
{
	static const char *const names[] = { "SigPnd:", "ShdPnd:", "SigBlk:", "SigIgn:" };
	uint64_t set[4] = { 0 };
	_cleanup_fclose_ FILE *f = NULL;
	char path[32], line[256];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		for (size_t i = 0; i < 4; i++)
			if (!strncmp(line, names[i], strlen(names[i])))
				set[i] = vl_front_u64(line + strlen(names[i]), 16);
	return (set[0] | set[1]) & ~set[2] & ~set[3];
}

/* Is a signal pending by which a user ends a program? */
static bool is_interrupted(pid_t tid)
{
	static const int signals[] = { SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGKILL };
	uint64_t set = waiting_signals(tid);

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		if (set >> (signals[i] - 1) & 1)
			return true;
	return false;
}

/*
 * An error if the program no longer waits: its task is gone, or a signal that ends programs is
 * pending. The task is traced, so that such a signal does not interrupt the call by itself.
 */
static struct vl_error *unasked(struct vl_redirect *r)
{
	if (!r->asked || (!r->interrupted && vl_now_ns() - r->waited_ns < WAITS_NS))
		return NULL;
	if (!r->interrupted && vl_now_ns() - r->checked_ns > PATIENCE_NS) {
		r->interrupted = is_interrupted(r->asking);
		r->checked_ns = vl_now_ns();
	}
	r->waited_ns = vl_now_ns();
	if (!r->interrupted && !ioctl(r->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &r->asked))
		return NULL;
	return vl_error_new(VL_ERR_BLOCKED, "the program no longer waits for the answer");
}

/*
 * Make a call in the guest, whose result, a value or -errno, goes to *@ret.
 * Opens an epoch if none is open.
 */
struct vl_error *vl_guest(struct vl_redirect *r, const char *name, int64_t *ret,
			  const struct vl_arg *args, size_t nr)
{
	struct vl_error *err = unasked(r);

	if (!err && !r->sys->open)
		err = vl_epoch_begin(r);
	if (err)
		return err;
	r->stats->guest_calls++;
	return vl_sys_call(r->sys, name, args, nr, ret);
}

struct vl_error *vl_guest_open_read(struct vl_redirect *r, const char *path, int flags,
				    enum vl_reads reads, void *buf, size_t len, int64_t *fd_ret,
				    int64_t *n_ret)
{
	struct vl_error *err = unasked(r);

	if (!err && !r->sys->open)
		err = vl_epoch_begin(r);
	if (err)
		return err;
	r->stats->guest_calls += 2;
	return vl_sys_open_read(r->sys, path, flags, reads, buf, len, fd_ret, n_ret);
}

bool vl_validated(struct vl_redirect *r)
{
	if (!r->unvalidated && r->sys->open && r->sys->ops->validate)
		r->unvalidated = r->sys->ops->validate(r->sys);
	return !r->unvalidated;
}

/* Is the trapping task still waiting for this answer? */
bool vl_trap_valid(struct vl_trap *t)
{
	return !ioctl(t->r->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &t->id);
}

/* Send the answer now. A second call does nothing. */
void vl_answer(struct vl_trap *t)
{
	struct seccomp_notif_resp resp = { .id = t->id };

	if (t->sent)
		return;
	if (t->pass)
		resp.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	else if (t->ret < 0 && t->ret >= -4095)
		resp.error = t->ret;
	else
		resp.val = t->ret;
	/* ENOENT, if a signal ended the call or the task meanwhile, is not an error. */
	ioctl(t->r->listener, SECCOMP_IOCTL_NOTIF_SEND, &resp);
	t->sent = true;
	t->r->asked = 0;
}
