// SPDX-License-Identifier: GPL-2.0
/*
 * Attaching an open file to a guest, and the guest's end.
 *
 * To us a guest is dead when its process's address space is torn down (the notifier reports
 * that), or when only we hold it (checked periodically: a process can close a guest and live
 * on). From then on imee_use() fails, its pages are taken out of all mappings, and a work item
 * ends the notifier and returns KVM's file. After that nothing of ours delays the guest's end.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/kallsyms.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/pid_namespace.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "internal.h"

/* Period of the check whether only we hold a guest. */
#define ORPHAN_PERIOD HZ

/* Files attached to guests that live, for counting those of one guest. */
static LIST_HEAD(imee_files);
static DEFINE_MUTEX(imee_files_lock);

/*
 * Is this KVM's file of a whole guest? Its name differs from that of a vCPU or a device; only
 * the kernel gives such names. Its operations belong to the vendor's module. Between "Revert
 * "KVM: set owner of cpu and vm file operations"" (5.18) and "KVM: Set file_operations.owner
 * appropriately for all such structures" (6.7) they have no owner: there the symbol of a
 * function is compared.
 */
static bool is_guest(struct file *file)
{
	const struct module *owner = file->f_op->owner;
	char name[KSYM_SYMBOL_LEN];

	if (!file->private_data || strcmp(file_dentry(file)->d_name.name, "kvm-vm"))
		return false;
#ifdef CONFIG_MODULES
	if (owner)
		return !strcmp(owner->name, "kvm_amd") || !strcmp(owner->name, "kvm_intel");
#endif
	snprintf(name, sizeof(name), "%ps", file->f_op->unlocked_ioctl);
	return !strcmp(name, "kvm_vm_ioctl [kvm]") ||
	       (IS_BUILTIN(CONFIG_KVM) && !strcmp(name, "kvm_vm_ioctl"));
}

/* May the caller look into the guest of this file's opener? */
static bool may_read(struct file *file)
{
	return uid_eq(file->f_cred->euid, current_euid()) ||
	       ns_capable(file->f_cred->user_ns, CAP_SYS_PTRACE);
}

static void imee_death(struct work_struct *work)
{
	struct imee_file *f = container_of(work, struct imee_file, death);

	/*
	 * Before the notifier ends: the process can live on without the guest, and reuse its
	 * memory. A page that is inserted from here on is taken out at once, as f->dead is set.
	 */
	imee_zap_all(f);
	mmu_interval_notifier_remove(&f->notifier);
	atomic_long_dec(&imee_counts.mms);
	imee_vcpus_drop(f);
	mutex_lock(&imee_files_lock);
	list_del_init(&f->files);
	mutex_unlock(&imee_files_lock);
	imee_put(f);
}

static void imee_orphan(struct work_struct *work)
{
	struct imee_file *f = container_of(to_delayed_work(work), struct imee_file, orphan);
	struct kvm *kvm = imee_get(f);
	struct imee_file *other;
	long ours = 0;

	if (!kvm)
		return;
	/* The file has one; open files of vCPUs and devices have more. */
	if (refcount_read(&kvm->users_count) == 1) {
		mutex_lock(&imee_files_lock);
		list_for_each_entry(other, &imee_files, files)
			ours += other->vm_file == f->vm_file;
		if (file_count(f->vm_file) <= ours)
			imee_die(f);
		mutex_unlock(&imee_files_lock);
	}
	imee_put(f);
	if (!READ_ONCE(f->dead))
		schedule_delayed_work(&f->orphan, ORPHAN_PERIOD);
}

/* The pid of the guest's maker in the caller's namespace; 0: it has none there. */
static pid_t maker(struct kvm *kvm)
{
	struct task_struct *task;
	pid_t pid = 0;

	/* KVM has the id of the thread. */
	rcu_read_lock();
	task = pid_task(find_pid_ns(kvm->userspace_pid, &init_pid_ns), PIDTYPE_PID);
	if (task)
		pid = task_tgid_vnr(task);
	rcu_read_unlock();
	return pid;
}

static int check_guest(struct file *file)
{
	struct kvm *kvm = file->private_data;

	if (!is_guest(file))
		return -EINVAL;
	if (kvm->mm == current->mm)
		return -EDEADLK;
	return may_read(file) ? 0 : -EPERM;
}

static int alloc_status(struct imee_file *f)
{
	if (f->status_page)
		return 0;
	f->status_page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!f->status_page)
		return -ENOMEM;
	f->status = page_address(f->status_page);
	f->status->version = IMEE_VERSION;
	return 0;
}

/* Attach to the guest of @file, whose reference goes to @f on success. Under setup. */
static int attach(struct imee_file *f, struct file *file)
{
	struct kvm *kvm = file->private_data;
	struct mm_struct *mm = kvm->mm;
	int err;

	if (!mmget_not_zero(mm))
		return -ESRCH;
	err = alloc_status(f);
	if (err)
		goto put_mm;
	f->kvm = kvm;
	f->vm_file = file;
	refcount_set(&f->users, 1);
	INIT_WORK(&f->death, imee_death);
	INIT_DELAYED_WORK(&f->orphan, imee_orphan);
	f->status->generation = imee_generation(kvm);
	mutex_lock(&imee_files_lock);
	list_add(&f->files, &imee_files);
	mutex_unlock(&imee_files_lock);
	err = mmu_interval_notifier_insert(&f->notifier, mm, 0, ULONG_MAX, &imee_notifier_ops);
	if (err) {
		mutex_lock(&imee_files_lock);
		list_del_init(&f->files);
		mutex_unlock(&imee_files_lock);
		goto put_mm;
	}
	atomic_long_inc(&imee_counts.mms);
	atomic_long_inc(&imee_counts.vm_files);
	atomic_long_inc(&imee_counts.attachments);
	schedule_delayed_work(&f->orphan, ORPHAN_PERIOD);
	smp_store_release(&f->attached, true);
put_mm:
	mmput(mm);
	return err;
}

long imee_attach(struct imee_file *f, void __user *arg)
{
	struct imee_attach a;
	struct file *file;
	long err;

	if (copy_from_user(&a, arg, sizeof(a)))
		return -EFAULT;
	if ((a.flags & ~IMEE_ATTACH_ZERO) || a.reserved[0] || a.reserved[1])
		return -EINVAL;
	file = fget(a.vm_fd);
	if (!file)
		return -EBADF;
	err = check_guest(file);
	if (err)
		goto put_file;
	a.pid = maker(file->private_data);
	a.vcpus = imee_nr_vcpus(file->private_data);
	/* Before attaching, which cannot be undone. */
	if (copy_to_user(arg, &a, sizeof(a))) {
		err = -EFAULT;
		goto put_file;
	}
	if (mutex_lock_interruptible(&f->setup)) {
		err = -EINTR;
		goto put_file;
	}
	if (f->attached) {
		err = -EBUSY;
	} else {
		f->flags = a.flags;
		err = attach(f, file);
	}
	mutex_unlock(&f->setup);
	if (!err)
		return 0;
put_file:
	fput(file);
	return err;
}

/* The file is closed: nobody else uses it. */
void imee_detach(struct imee_file *f)
{
	if (!f->attached)
		return;
	imee_die(f);
	cancel_delayed_work_sync(&f->orphan);
	flush_work(&f->death);
	imee_vcpus_free(f);
	imee_ring_replace(f, NULL);
	atomic_long_dec(&imee_counts.attachments);
}
