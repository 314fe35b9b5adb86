/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Any hypervisor, by its process id: Firecracker, Cloud Hypervisor, crosvm, kvmtool, a QEMU without
 * a monitor. Where imee.ko has the guest, it is the source of all facts. Else the memory
 * is found in the process's mappings (rammap.c), where it lies is found by a search
 * (attach/search.h), and the registers are not known.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/number.h"
#include "internal.h"
#include "kmod.h"
#include "proc.h"
#include "qemu_args.h"

static struct vl_error *no_registers(void)
{
	return vl_error_hint(vl_error_new(VL_ERR_TARGET, "the vCPUs' registers are not known"),
			     "imee.ko reads those of guests on KVM, see imee(4)");
}

/* imee.ko has failed for this guest; call it again to get the error. */
static struct vl_error *kvm_vcpus(struct vl_target *t, struct vl_vcpu **ret, size_t *nr_ret)
{
	return t->kmod ? vl_kmod_vcpus(t->kmod, ret, nr_ret) : no_registers();
}

static struct vl_error *kvm_registers(struct vl_target *t, struct vl_registers **ret,
				      size_t *nr_ret, unsigned int *machine_ret)
{
	(void)machine_ret;
	return t->kmod ? vl_kmod_registers(t->kmod, ret, nr_ret) : no_registers();
}

static void kvm_info(struct vl_target *t, struct vl_target_info *ret)
{
	_cleanup_free_ char *name = NULL;
	uint64_t start;
	char path[64], state;

	snprintf(ret->id, sizeof(ret->id), "%s%d", t->driver->prefix, (int)t->pid);
	snprintf(path, sizeof(path), "/proc/%d/comm", (int)t->pid);
	if (vl_read_file(AT_FDCWD, path, 64, &name, NULL) == 0)
		snprintf(ret->name, sizeof(ret->name), "%.*s", (int)strcspn(name, "\n"), name);
	if (vl_proc_stat(t->pid, &state, &start) == 0)
		snprintf(ret->state, sizeof(ret->state), "%s",
			 state == 'T' || state == 't' ? "paused" : "running");
	ret->vcpus = t->kmod ? t->kmod->nr_vcpus : vl_kmod_count_vcpus(t->pid);
}

static void kvm_close(struct vl_target *t)
{
	(void)t;
}

static const struct vl_target_ops kvm_ops = {
	.vcpus = kvm_vcpus,
	.registers = kvm_registers,
	.info = kvm_info,
	.close = kvm_close,
};

static struct vl_error *open_process(struct vl_target *t, struct vl_spec *s)
{
	struct vl_error *err;
	long pid;

	if (!vl_number(s->arg, 1, INT_MAX, &pid))
		return vl_error_hint(
			vl_error_new(VL_ERR_TARGET, "not a process id: \"%s\"", s->arg),
			"write %sPID", t->driver->prefix);
	if (t->pause_mode == VL_PAUSE_SUSPEND)
		return vl_error_hint(vl_error_new(VL_ERR_TARGET,
						  "a guest without a monitor cannot be suspended"),
				     "leave out --pause=suspend");
	err = vl_target_bind(t, (pid_t)pid);
	if (!err)
		t->ops = &kvm_ops;
	return err;
}

struct vl_error *vl_pid_open(struct vl_target *t, struct vl_spec *s)
{
	struct vl_error *err = open_process(t, s);

	if (err)
		return err;
	if (vl_target_kmod(t, NULL))
		return vl_rammap_by_kmod(t);
	t->without_vcpus = true;
	return vl_rammap_by_mappings(t);
}

struct vl_error *vl_kvm_open(struct vl_target *t, struct vl_spec *s)
{
	struct vl_error *err = vl_pid_open(t, s);
	int vm = t->pid ? vl_kmod_find_vm(t->pid) : 0;

	if (vm >= 0 || t->kmod)
		return err;
	vl_error_destroy(err);
	if (vm != -ENOENT)
		return vl_proc_denied(t->pid, -vm);
	return vl_error_hint(
		vl_error_new(VL_ERR_TARGET, "process %d has no guest on KVM", (int)t->pid),
		"write pid:%d if it is another kind of hypervisor", (int)t->pid);
}

/* Does the host have KVM? Without KVM, no process can have a VM's descriptor. */
static bool has_kvm(void)
{
	return vl_kmod_present() || !access("/sys/class/misc/kvm", F_OK) ||
	       !access("/dev/kvm", F_OK);
}

/*
 * Is @pid a process of vlens? On a host with KVM a worker of ours has a virtual machine, too, and
 * must not be listed.
 */
static bool is_vlens(pid_t pid)
{
	struct stat own, its;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	return !stat("/proc/self/exe", &own) && !stat(path, &its) && own.st_dev == its.st_dev &&
	       own.st_ino == its.st_ino;
}

void vl_target_list_kvm(void (*fn)(void *ctx, pid_t pid), void *ctx)
{
	_cleanup_free_ pid_t *pids = NULL;
	size_t nr = has_kvm() ? vl_proc_pids(&pids) : 0;

	for (size_t i = 0; i < nr; i++) {
		struct vl_qemu_args qa;

		if (vl_kmod_find_vm(pids[i]) >= 0 && !is_vlens(pids[i]) &&
		    !(vl_qemu_args_read(pids[i], &qa, NULL) && qa.is_qemu))
			fn(ctx, pids[i]);
	}
}
