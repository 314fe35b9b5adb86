/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any process with a guest on KVM, by its process id: Firecracker, crosvm, kvmtool, a
 * QEMU without a monitor. The kernel module is the only source of facts about the guest.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>

#include "../base/number.h"
#include "internal.h"
#include "kmod.h"
#include "proc.h"
#include "qemu_args.h"

static struct vl_error *kvm_vcpus(struct vl_target *t, struct vl_vcpu **ret, size_t *nr_ret)
{
	/* vl_target_vcpus() has asked the module in vain: ask again for the error. */
	return vl_kmod_vcpus(t->module, ret, nr_ret);
}

static void kvm_info(struct vl_target *t, struct vl_target_info *ret)
{
	_cleanup_free_ char *name = NULL;
	uint64_t start;
	char path[64], state;

	snprintf(ret->id, sizeof(ret->id), "kvm:%d", (int)t->pid);
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)t->pid);
	if (vl_read_file(AT_FDCWD, path, 64, &name, NULL) == 0)
		snprintf(ret->name, sizeof(ret->name), "%.*s", (int)strcspn(name, "\n"), name);
	if (vl_proc_stat(t->pid, &state, &start) == 0)
		snprintf(ret->state, sizeof(ret->state), "%s",
			 state == 'T' || state == 't' ? "paused" : "running");
	ret->vcpus = t->module->nr_vcpus;
}

static void kvm_close(struct vl_target *t)
{
	(void)t;
}

static const struct vl_target_ops kvm_ops = {
	.vcpus = kvm_vcpus,
	.info = kvm_info,
	.close = kvm_close,
};

struct vl_error *vl_kvm_open(struct vl_target *t, struct vl_spec *s)
{
	struct vl_error *err;
	long pid;

	if (!vl_number(s->arg, 1, INT_MAX, &pid))
		return vl_error_hint(
			vl_error_new(VL_ERR_TARGET, "not a process id: \"%s\"", s->arg),
			"write kvm:PID");
	if (t->pause_mode == VL_PAUSE_SUSPEND)
		return vl_error_hint(vl_error_new(VL_ERR_TARGET,
						  "a guest without a monitor cannot be suspended"),
				     "leave --pause=suspend away");
	err = vl_target_bind(t, (pid_t)pid);
	if (err)
		return err;
	t->ops = &kvm_ops;
	return vl_rammap_by_module(t);
}

void vl_target_list_kvm(void (*fn)(void *ctx, pid_t pid), void *ctx)
{
	_cleanup_free_ pid_t *pids = NULL;
	size_t nr = vl_kmod_present() ? vl_proc_pids(&pids) : 0;

	for (size_t i = 0; i < nr; i++) {
		struct vl_qemu_args qa;

		if (vl_kmod_find_vm(pids[i]) >= 0 &&
		    !(vl_qemu_args_read(pids[i], &qa, NULL) && qa.is_qemu))
			fn(ctx, pids[i]);
	}
}
