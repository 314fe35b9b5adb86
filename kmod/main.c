// SPDX-License-Identifier: GPL-2.0
/*
 * imee.ko: the device, its commands, its counters.
 */
#include <linux/compat.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "internal.h"

/*
 * The notifier of one address space (the hypervisor's) takes the i_mmap_rwsem of another kind
 * of file (ours) while it may hold that of the hypervisor's. A class of its own tells lockdep
 * that the two are never the same lock.
 */
static struct lock_class_key imee_mmap_key;

static const struct address_space_operations imee_aops = {};

static int imee_open(struct inode *inode, struct file *file)
{
	struct imee_file *f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);

	if (!f)
		return -ENOMEM;
	mutex_init(&f->setup);
	mutex_init(&f->fault_lock);
	spin_lock_init(&f->lock);
	INIT_LIST_HEAD(&f->files);
	xa_init(&f->vcpus);
	address_space_init_once(&f->mapping);
	lockdep_set_class(&f->mapping.i_mmap_rwsem, &imee_mmap_key);
	f->mapping.host = inode;
	f->mapping.a_ops = &imee_aops;
	mapping_set_gfp_mask(&f->mapping, GFP_USER);
	file->f_mapping = &f->mapping;
	file->private_data = f;
	return 0;
}

static int imee_release(struct inode *inode, struct file *file)
{
	struct imee_file *f = file->private_data;

	imee_detach(f);
	file->f_mapping = inode->i_mapping;
	xa_destroy(&f->vcpus);
	/* A mapping holds the file, so none is left. */
	if (f->status_page)
		put_page(f->status_page);
	kfree(f);
	return 0;
}

static long imee_get_stats(struct imee_file *f, void __user *arg)
{
	struct imee_stats s = {
		.holes = 0,
		.retries = atomic64_read(&f->retries),
		.huge = atomic64_read(&f->huge),
		.bytes_read = atomic64_read(&f->bytes_read),
		.samples = atomic64_read(&f->samples),
		.attachments = atomic_long_read(&imee_counts.attachments),
		.vm_files = atomic_long_read(&imee_counts.vm_files),
		.mms = atomic_long_read(&imee_counts.mms),
		.mappings = atomic_long_read(&imee_counts.mappings),
		.page_refs = atomic_long_read(&imee_counts.page_refs),
	};
	struct kvm *kvm;
	int err = imee_use(f, &kvm);

	if (err == -ENOTCONN)
		return err;
	if (!err) {
		s.vcpus = imee_nr_vcpus(kvm);
		s.generation = imee_generation(kvm);
		imee_put(f);
	}
	spin_lock(&f->lock);
	s.dead = f->dead;
	s.holes = f->status->holes;
	s.invalidations = f->status->invalidations;
	s.faults = f->status->faults;
	spin_unlock(&f->lock);
	return copy_to_user(arg, &s, sizeof(s)) ? -EFAULT : 0;
}

static long imee_get_version(struct imee_file *f, void __user *arg)
{
	return IMEE_VERSION;
}

static const struct {
	unsigned int cmd;
	long (*run)(struct imee_file *f, void __user *arg);
} imee_commands[] = {
	{ IMEE_GET_VERSION, imee_get_version }, { IMEE_ATTACH, imee_attach },
	{ IMEE_GET_SLOTS, imee_get_slots },	{ IMEE_GET_REGS, imee_get_regs },
	{ IMEE_WATCH_CR3, imee_watch_cr3 },	{ IMEE_READ_CR3, imee_read_cr3 },
	{ IMEE_GET_STATS, imee_get_stats },
};

static long imee_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	size_t i;

	if (_IOC_TYPE(cmd) != IMEE_IOC)
		return -ENOTTY;
	for (i = 0; i < ARRAY_SIZE(imee_commands); i++) {
		if (imee_commands[i].cmd == cmd)
			return imee_commands[i].run(file->private_data, (void __user *)arg);
		if (_IOC_NR(imee_commands[i].cmd) == _IOC_NR(cmd))
			return -EINVAL;
	}
	return -ENOTTY;
}

static const struct file_operations imee_fops = {
	.owner = THIS_MODULE,
	.open = imee_open,
	.release = imee_release,
	.read = imee_read,
	.mmap = imee_mmap,
#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
	/* Huge pages need an address that equals the guest's modulo 2 MiB. */
	.get_unmapped_area = thp_get_unmapped_area,
#endif
	.unlocked_ioctl = imee_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice imee_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "imee",
	.mode = 0600,
	.fops = &imee_fops,
};

static int imee_count_show(char *buf, const struct kernel_param *param)
{
	return sysfs_emit(buf, "%ld\n", atomic_long_read((atomic_long_t *)param->arg));
}

static const struct kernel_param_ops imee_count_ops = {
	.get = imee_count_show,
};

#define IMEE_COUNT(name, text) \
	module_param_cb(name, &imee_count_ops, &imee_counts.name, 0444); \
	MODULE_PARM_DESC(name, text " (read only)")

IMEE_COUNT(attachments, "files attached to guests now");
IMEE_COUNT(vm_files, "references to files of KVM held now");
IMEE_COUNT(mms, "address spaces of hypervisors watched now");
IMEE_COUNT(mappings, "areas of guest memory mapped now");
IMEE_COUNT(page_refs, "references to pages held now");

static int __init imee_init(void)
{
	int err;

	imee_zero_page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!imee_zero_page)
		return -ENOMEM;
	err = imee_probe_init();
	if (err)
		goto free_page;
	err = misc_register(&imee_device);
	if (err)
		goto end_probe;
	return 0;

end_probe:
	imee_probe_exit();
free_page:
	__free_page(imee_zero_page);
	return err;
}

static void __exit imee_exit(void)
{
	misc_deregister(&imee_device);
	imee_probe_exit();
	__free_page(imee_zero_page);
}

module_init(imee_init);
module_exit(imee_exit);

MODULE_DESCRIPTION("Read-only access to running KVM guests, for vlens");
MODULE_AUTHOR("vlens developers");
MODULE_LICENSE("GPL");
