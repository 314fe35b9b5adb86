/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "target.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>

#include "guard.h"
#include "internal.h"
#include "kmod.h"
#include "proc.h"

struct vl_error *vl_target_encrypted(void)
{
	return vl_error_hint(vl_error_new(VL_ERR_TARGET, "the guest's memory is encrypted"),
			     "a guest under SEV or TDX cannot be read from outside");
}

/* Has the process behind the pidfd ended? True for a zombie, too. */
static bool ended(const struct vl_target *t)
{
	struct pollfd pfd = { .fd = t->pidfd, .events = POLLIN };

	return poll(&pfd, 1, 0) > 0;
}

struct vl_error *vl_target_bind(struct vl_target *t, pid_t pid)
{
	char state;
	int r = 0;

	t->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (t->pidfd < 0)
		r = vl_proc_stat(pid, &state, &t->start_time);
	if (t->pidfd < 0 ? r == 0 && (state == 'Z' || state == 'X') : ended(t))
		r = -ESRCH;
	if (r == -ENOENT || r == -ESRCH)
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "no such process: %d", (int)pid),
				     "find the guest's with: pgrep -a qemu");
	if (r < 0)
		return vl_proc_denied(pid, -r);
	t->pid = pid;
	return NULL;
}

void vl_target_unbind(struct vl_target *t)
{
	vl_kmod_detach(t->kmod);
	vl_error_destroy(t->no_kmod);
	t->kmod = NULL;
	t->no_kmod = NULL;
	if (t->pidfd >= 0)
		close(t->pidfd);
	t->pidfd = -1;
	t->pid = 0;
	t->start_time = 0;
	t->without_vcpus = false;
	t->run_id[0] = '\0';
}

void vl_target_reset(struct vl_target *t)
{
	if (t->ops)
		t->ops->close(t);
	t->ops = NULL;
	t->priv = NULL;
	vl_ram_deinit(t);
	vl_target_unbind(t);
}

struct vl_error *vl_target_open(const char *spec, const struct vl_target_options *opts,
				struct vl_target **ret)
{
	struct vl_target *t = calloc(1, sizeof(*t));
	struct vl_error *err;

	if (!t)
		return vl_error_nomem();
	t->pidfd = t->proc_mem = t->pagemap = t->lock_fd = t->turn_fd = t->first_fd = -1;
	t->pause_mode = opts ? opts->pause : VL_PAUSE_AUTO;
	t->without_kmod = opts && opts->no_kmod;
	t->snapshot = opts ? opts->snapshot : NULL;
	t->kernel = opts ? opts->kernel : 0;
	t->partial = opts && opts->partial;
	t->unpack = opts ? opts->unpack : NULL;
	t->index = opts ? opts->index : NULL;
	vl_target_set_budget(t, opts ? &opts->budget : NULL);
	t->name = strdup(spec);
	err = t->name ? vl_driver_open(t, spec, opts ? opts->uri : NULL) : vl_error_nomem();
	if (!err && t->snapshot)
		err = vl_error_hint(vl_error_new(VL_ERR_TARGET,
						 "this is not a disk image, and only these "
						 "have snapshots"),
				    "leave out --snapshot");
	if (!err && t->partial && vl_target_is_live(t))
		err = vl_error_hint(vl_error_new(VL_ERR_TARGET,
						 "the memory of a running guest is not cut short"),
				    "leave out --partial");
	if (err) {
		vl_target_close(t);
		/* A host call that failed here means that the guest cannot be reached. */
		if (err->code == VL_ERR_OS)
			err->code = VL_ERR_TARGET;
		return err;
	}
	*ret = t;
	return NULL;
}

void vl_target_close(struct vl_target *t)
{
	if (!t)
		return;
	if (t->pause_depth) {
		t->pause_depth = 1;
		vl_error_destroy(vl_target_resume(t));
	}
	vl_guard_stop(t->guard);
	vl_target_reset(t);
	if (t->lock_fd >= 0)
		close(t->lock_fd);
	if (t->turn_fd >= 0)
		close(t->turn_fd);
	vl_kept_end_turn(t);
	free(t->held);
	free(t->map_cache);
	free(t->name);
	free(t);
}

const char *vl_target_name(const struct vl_target *t)
{
	return t->name;
}

pid_t vl_target_pid(const struct vl_target *t)
{
	return t->pid;
}

unsigned int vl_target_kernel(const struct vl_target *t)
{
	return t->kernel;
}

bool vl_target_has_vcpus(const struct vl_target *t)
{
	return !t->without_vcpus;
}

bool vl_target_is_live(const struct vl_target *t)
{
	return t->pid != 0;
}

const char *vl_target_wait_hint(const struct vl_target *t)
{
	return vl_target_is_live(t) ? "wait until it has booted" :
	       t->partial	    ? "it may lie in the part that the file lacks" :
				      "make another file when the guest has booted";
}

uint64_t vl_target_start_time(struct vl_target *t)
{
	uint64_t start;
	char state;

	if (t->start_time || !t->pid || vl_proc_stat(t->pid, &state, &start) < 0)
		return t->start_time;
	/* If our process has ended by now, the time may be another one's. */
	if (t->pidfd < 0 || !ended(t))
		t->start_time = start;
	return t->start_time;
}

const char *vl_target_run_id(struct vl_target *t)
{
	char boot[64];

	if (t->run_id[0])
		return t->run_id;
	/* After a reboot of the host, another process can have the same pid and start time. */
	if (vl_proc_line("/proc/sys/kernel/random/boot_id", boot, sizeof(boot)) < 0)
		boot[0] = '\0';
	snprintf(t->run_id, sizeof(t->run_id), "qemu-%d-%" PRIu64 "-%.8s", (int)t->pid,
		 vl_target_start_time(t), boot);
	return t->run_id;
}

struct vl_kmod *vl_target_kmod(struct vl_target *t, const struct vl_error **why_ret)
{
	if (!t->kmod && !t->no_kmod) {
		if (t->without_kmod)
			t->no_kmod = vl_error_new(VL_ERR_TARGET, "imee.ko is not to be used");
		else if (t->pid)
			t->no_kmod = vl_kmod_attach(t->pid, t->pidfd, &t->kmod);
		else
			t->no_kmod = vl_error_new(VL_ERR_TARGET, "a dump is not a running guest");
	}
	if (why_ret)
		*why_ret = t->no_kmod;
	return t->kmod;
}

/* In units of 40 ms: a pause of ours ends within 0.9 s (guard.h), most within milliseconds. */
#define STOPPED_LOOKS 25

bool vl_target_is_stopped(struct vl_target *t)
{
	const struct timespec wait = { .tv_nsec = 40000000 };
	uint64_t start;
	char state;

	for (unsigned i = 0; t->pid && i < STOPPED_LOOKS; i++) {
		if (vl_proc_stat(t->pid, &state, &start) < 0 ||
		    (state != 'T' && state != 't' && !vl_proc_is_stopping(t->pid)))
			return false;
		nanosleep(&wait, NULL);
	}
	return t->pid;
}

static struct vl_error *stopped_error(const struct vl_target *t)
{
	return vl_error_hint(
		vl_error_new(VL_ERR_TARGET, "the hypervisor, process %d, is stopped", (int)t->pid),
		"let it go on: kill -CONT %d", (int)t->pid);
}

bool vl_target_is_suspended(struct vl_target *t)
{
	bool paused = false;

	if (!t->pid || t->proxy || !t->ops->suspended || vl_target_is_stopped(t))
		return false;
	return !vl_discard(t->ops->suspended(t, &paused)) && paused;
}

struct vl_error *vl_target_vcpus(struct vl_target *t, struct vl_vcpu **ret, size_t *nr_ret)
{
	struct vl_kmod *m;

	*ret = NULL;
	*nr_ret = 0;
	if (t->proxy)
		return t->proxy->vcpus(t->proxy->ctx, ret, nr_ret);
	m = vl_target_kmod(t, NULL);
	/* imee.ko needs no monitor and no pause, and reads a frozen guest, too. */
	if (m && !vl_discard(vl_kmod_vcpus(m, ret, nr_ret)))
		return NULL;
	if (t->pause_depth && t->pid && vl_target_freezes(t))
		return vl_error_new(VL_ERR_ARG, "a frozen guest's monitor cannot be asked");
	if (vl_target_is_stopped(t))
		return stopped_error(t);
	return t->ops->vcpus(t, ret, nr_ret);
}

bool vl_target_registers_paused(struct vl_target *t)
{
	return !vl_target_freezes(t) || vl_target_kmod(t, NULL);
}

/* A CPU in long mode has PAE and paging on, and a kernel in the upper half. */
static bool is_long(const struct vl_registers *r)
{
	return r->idt.base >> 32 || r->gdt.base >> 32 || r->rip >> 32;
}

struct vl_error *vl_target_registers(struct vl_target *t, struct vl_registers **ret, size_t *nr_ret,
				     unsigned int *machine_ret)
{
	struct vl_error *err = NULL;
	struct vl_kmod *m;
	bool wide = false;

	*ret = NULL;
	*nr_ret = 0;
	*machine_ret = 0;
	m = vl_target_kmod(t, NULL);
	if (!m || vl_discard(vl_kmod_registers(m, ret, nr_ret))) {
		if (t->pause_depth && t->pid && vl_target_freezes(t))
			return vl_error_new(VL_ERR_ARG, "a frozen guest's monitor cannot be asked");
		if (vl_target_is_stopped(t))
			return stopped_error(t);
		err = t->ops->registers(t, ret, nr_ret, machine_ret);
	}
	for (size_t i = 0; i < *nr_ret; i++)
		wide = wide || is_long(&(*ret)[i]);
	if (!*machine_ret)
		*machine_ret = wide ? EM_X86_64 : EM_386;
	return err;
}

void vl_target_info(struct vl_target *t, struct vl_target_info *ret)
{
	bool stopped = vl_target_is_stopped(t);

	*ret = (struct vl_target_info){ .vcpus = 0 };
	if (t->proxy)
		return;
	if (stopped)
		strcpy(ret->state, VL_TARGET_STOPPED);
	t->ops->info(t, ret);
	if (stopped)
		strcpy(ret->state, VL_TARGET_STOPPED);
}

struct vl_error *vl_target_alive(struct vl_target *t)
{
	uint64_t start;
	char state;
	bool gone;

	if (!t->pid)
		return NULL;
	if (t->proxy)
		return t->proxy->alive(t->proxy->ctx);
	if (t->pidfd >= 0)
		gone = ended(t);
	else
		gone = vl_proc_stat(t->pid, &state, &start) < 0 || start != t->start_time ||
		       state == 'Z';
	if (!gone)
		return NULL;
	return vl_error_hint(vl_error_new(VL_ERR_TARGET, "the guest has gone"),
			     "its process %d has ended", (int)t->pid);
}

void vl_target_rest(struct vl_target *t)
{
	if (t->ops && t->ops->rest && !t->pause_depth && !t->proxy)
		t->ops->rest(t);
}

void vl_target_set_helper(struct vl_target *t, pid_t pid)
{
	t->helper = pid;
}

const struct vl_target_proxy *vl_target_proxy(const struct vl_target *t)
{
	return t->proxy;
}
