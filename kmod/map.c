// SPDX-License-Identifier: GPL-2.0
/*
 * Guest memory in a client's address space, in step with the hypervisor's.
 *
 * A page is mapped with no reference to it: what keeps it the guest's is that it is
 * mapped in the hypervisor, and the notifier tells before that ends. So a page is
 * inserted while a reference is held, then it is asked whether anything was
 * invalidated since it was looked up, and if so it is taken out again; only then is
 * the reference dropped. Nobody ever sees a page through a mapping that has an
 * owner other than the guest.
 *
 * A shared mapping is VM_PFNMAP. A private one cannot be (pages of it may become
 * anonymous, and vmf_insert_pfn() refuses that), so it is VM_MIXEDMAP, of special
 * entries all the same; VM_IO besides makes KVM accept it as a memory slot, and
 * refuse everybody who would pin a page behind the notifier's back.
 */
#include <linux/highmem.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#ifdef HAVE_PFN_T
#include <linux/pfn_t.h>
#endif

#include "internal.h"

#define GPA_END (1ULL << 52)
#define READ_PAGES 16 /* how many pages pread() takes at a time */

/* --- Taking pages out -------------------------------------------------------- */

/*
 * Tasks that are taking pages out right now. What is taken out of a client's mapping
 * is invalidated in the client's address space, and a client can have a guest of its
 * own, with that mapping as its memory, and a client of ours attached to it; even in
 * a circle. But no page can have been faulted in through such a mapping (nobody
 * pins what is VM_IO), so an invalidation within an invalidation has nothing to do:
 * that bounds the recursion.
 */
struct zapping {
	struct list_head list;
	struct task_struct *task;
};
static LIST_HEAD(zappings);
static DEFINE_SPINLOCK(zappings_lock);

static bool within_zap(void)
{
	struct zapping *z;
	bool found = false;

	spin_lock(&zappings_lock);
	list_for_each_entry(z, &zappings, list)
		found |= z->task == current;
	spin_unlock(&zappings_lock);
	return found;
}

void imee_zap(struct imee_file *f, u64 gpa, u64 size)
{
	struct zapping z = { .task = current };

	spin_lock(&zappings_lock);
	list_add(&z.list, &zappings);
	spin_unlock(&zappings_lock);
	/* To lockdep the inner invalidation is a recursion without end. */
	lockdep_off();
	unmap_mapping_range(&f->mapping, gpa, size, 0);
	lockdep_on();
	spin_lock(&zappings_lock);
	list_del(&z.list);
	spin_unlock(&zappings_lock);
}

void imee_zap_all(struct imee_file *f)
{
	imee_zap(f, 0, IMEE_STATUS_OFFSET);
}

bool imee_look(struct imee_file *f, u64 generation)
{
	bool news;

	spin_lock(&f->lock);
	/* It only rises; who looked earlier may come later. */
	news = (s64)(generation - f->status->generation) > 0;
	if (news)
		WRITE_ONCE(f->status->generation, generation);
	spin_unlock(&f->lock);
	if (news)
		imee_zap_all(f);
	return news;
}

void imee_drop_zeros(struct imee_file *f)
{
	mutex_lock(&f->fault_lock);
	if (f->status->zeros) {
		imee_zap_all(f);
		WRITE_ONCE(f->status->zeros, 0);
	}
	mutex_unlock(&f->fault_lock);
}

static bool imee_invalidate(struct mmu_interval_notifier *notifier,
			    const struct mmu_notifier_range *range, unsigned long seq)
{
	struct imee_file *f = container_of(notifier, struct imee_file, notifier);

	/* First this, so that a page that is being inserted right now is seen or given up. */
	spin_lock(&f->lock);
	mmu_interval_set_seq(notifier, seq);
	WRITE_ONCE(f->status->invalidations, f->status->invalidations + 1);
	spin_unlock(&f->lock);

	if (range->event == MMU_NOTIFY_RELEASE)
		imee_die(f);
	if (!mapping_mapped(&f->mapping) || within_zap())
		return true;
	if (!mmu_notifier_range_blockable(range))
		return false;
	if (range->event == MMU_NOTIFY_RELEASE)
		imee_zap_all(f);
	else
		imee_zap_hva(f, range->start, range->end - 1);
	return true;
}

const struct mmu_interval_notifier_ops imee_notifier_ops = {
	.invalidate = imee_invalidate,
};

/* --- Bringing pages in ------------------------------------------------------- */

static long get_pages(struct mm_struct *mm, unsigned long hva, long n, struct page **pages,
		      int *locked)
{
#ifdef HAVE_GUP_VMAS
	long got = get_user_pages_remote(mm, hva, n, FOLL_GET, pages, NULL, locked);
#else
	long got = get_user_pages_remote(mm, hva, n, FOLL_GET, pages, locked);
#endif

	if (got > 0)
		atomic_long_add(got, &imee_counts.page_refs);
	return got;
}

static void drop_page(struct page *page)
{
	put_page(page);
	atomic_long_dec(&imee_counts.page_refs);
}

static vm_fault_t insert(struct vm_fault *vmf, struct page *page)
{
	unsigned long pfn = page_to_pfn(page);

	if (vmf->vma->vm_flags & VM_PFNMAP)
		return vmf_insert_pfn(vmf->vma, vmf->address, pfn);
#ifdef HAVE_PFN_T
	return vmf_insert_mixed(vmf->vma, vmf->address, pfn_to_pfn_t(pfn));
#else
	return vmf_insert_mixed(vmf->vma, vmf->address, pfn);
#endif
}

/* There is no memory: what was agreed on for that. */
static vm_fault_t hole(struct imee_file *f, struct vm_fault *vmf)
{
	vm_fault_t ret;

	if (!(f->flags & IMEE_ATTACH_ZERO))
		return VM_FAULT_SIGBUS;
	mutex_lock(&f->fault_lock);
	WRITE_ONCE(f->status->zeros, 1);
	spin_lock(&f->lock);
	WRITE_ONCE(f->status->holes, f->status->holes + 1);
	spin_unlock(&f->lock);
	ret = insert(vmf, imee_zero_page);
	mutex_unlock(&f->fault_lock);
	return ret;
}

/* Insert @page; false: it may no longer be the guest's, and was taken out again. */
static bool insert_checked(struct imee_file *f, struct vm_fault *vmf, struct page *page,
			   u64 generation, unsigned long seq, vm_fault_t *ret)
{
	bool good;

	mutex_lock(&f->fault_lock);
	*ret = insert(vmf, page);
	spin_lock(&f->lock);
	good = !f->dead && f->status->generation == generation &&
	       !mmu_interval_read_retry(&f->notifier, seq);
	if (good)
		WRITE_ONCE(f->status->faults, f->status->faults + 1);
	spin_unlock(&f->lock);
	if (!good) {
		imee_zap(f, (u64)vmf->pgoff << PAGE_SHIFT, PAGE_SIZE);
		atomic64_inc(&f->retries);
	}
	mutex_unlock(&f->fault_lock);
	return good;
}

/* 1: *ret is the answer; 0: try again. */
static int try_fault(struct imee_file *f, struct kvm *kvm, struct mm_struct *mm,
		     struct vm_fault *vmf, vm_fault_t *ret)
{
	struct imee_place place;
	struct page *page;
	unsigned long seq;
	long got;

	seq = mmu_interval_read_begin(&f->notifier);
	if (!imee_find(kvm, (u64)vmf->pgoff << PAGE_SHIFT, &place)) {
		imee_look(f, place.generation);
		*ret = hole(f, vmf);
		return 1;
	}
	imee_look(f, place.generation);
	/*
	 * We hold our own address space's lock. Waiting for another one's could be
	 * waiting for somebody who waits for ours: two clients that look into each other.
	 */
	if (!mmap_read_trylock(mm)) {
		cond_resched();
		*ret = VM_FAULT_NOPAGE;
		return 1;
	}
	got = get_pages(mm, place.hva, 1, &page, NULL);
	mmap_read_unlock(mm);
	if (got != 1) {
		*ret = hole(f, vmf);
		return 1;
	}
	got = insert_checked(f, vmf, page, place.generation, seq, ret);
	drop_page(page);
	return got;
}

static vm_fault_t imee_fault(struct vm_fault *vmf)
{
	struct imee_file *f = vmf->vma->vm_private_data;
	vm_fault_t ret = VM_FAULT_NOPAGE;
	struct mm_struct *mm;
	struct kvm *kvm;

	if (imee_use(f, &kvm))
		return hole(f, vmf);
	mm = kvm->mm;
	if (!mmget_not_zero(mm)) {
		ret = hole(f, vmf);
	} else {
		while (!try_fault(f, kvm, mm, vmf, &ret)) {
			ret = VM_FAULT_NOPAGE;
			if (fatal_signal_pending(current) || READ_ONCE(f->dead))
				break;
			cond_resched();
		}
		/* Not mmput(): the end of that address space is no business of a page fault. */
		mmput_async(mm);
	}
	imee_put(f);
	return ret;
}

/* --- Areas ------------------------------------------------------------------- */

static void area_open(struct vm_area_struct *vma)
{
	atomic_long_inc(&imee_counts.mappings);
}

static void area_close(struct vm_area_struct *vma)
{
	atomic_long_dec(&imee_counts.mappings);
}

static const struct vm_operations_struct imee_vm_ops = {
	.open = area_open,
	.close = area_close,
	.fault = imee_fault,
};

static vm_fault_t status_fault(struct vm_fault *vmf)
{
	struct imee_file *f = vmf->vma->vm_private_data;

	get_page(f->status_page);
	vmf->page = f->status_page;
	return 0;
}

static const struct vm_operations_struct imee_status_ops = {
	.open = area_open,
	.close = area_close,
	.fault = status_fault,
};

static void set_flags(struct vm_area_struct *vma, unsigned long set, unsigned long clear)
{
#ifdef HAVE_VM_FLAGS_SET
	vm_flags_set(vma, set);
	vm_flags_clear(vma, clear);
#else
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
#endif
}

int imee_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct imee_file *f = file->private_data;
	u64 gpa = (u64)vma->vm_pgoff << PAGE_SHIFT, size = vma->vm_end - vma->vm_start;
	/* Not VM_SHARED: a device that was opened read-only has none (do_mmap()). */
	bool shared = vma->vm_flags & VM_MAYSHARE, covered, own;
	unsigned long set = VM_DONTEXPAND | VM_DONTDUMP | VM_DONTCOPY, clear = VM_MAYEXEC;
	struct kvm *kvm;
	int err = imee_use(f, &kvm);

	if (err)
		return err;
	own = kvm->mm == current->mm;
	covered = gpa < GPA_END && size <= GPA_END - gpa && imee_covered(kvm, gpa, size);
	imee_put(f);
	/* Its memory within itself: an invalidation would not end. */
	if (own)
		return -EDEADLK;
	if ((vma->vm_flags & VM_EXEC) || (shared && (vma->vm_flags & VM_WRITE)))
		return -EPERM;
	if (shared)
		clear |= VM_MAYWRITE;
	if (gpa == IMEE_STATUS_OFFSET) {
		if (size != PAGE_SIZE || !shared)
			return -EINVAL;
		vma->vm_ops = &imee_status_ops;
	} else if (covered) {
		set |= VM_IO | (shared ? VM_PFNMAP : VM_MIXEDMAP);
		vma->vm_ops = &imee_vm_ops;
	} else {
		return -EINVAL;
	}
	set_flags(vma, set, clear);
	vma->vm_private_data = f;
	area_open(vma);
	return 0;
}

/* --- Reading ----------------------------------------------------------------- */

/* Copy up to @len bytes from @gpa on, within READ_PAGES pages; bytes, or an error. */
static ssize_t read_some(struct imee_file *f, struct kvm *kvm, u64 gpa, char __user *buf,
			 size_t len)
{
	struct page *pages[READ_PAGES];
	struct mm_struct *mm = kvm->mm;
	struct imee_place place;
	size_t offset = offset_in_page(gpa), done = 0, part;
	bool bad = false;
	long got, i;
	int locked = 1;

	if (!imee_find(kvm, gpa, &place))
		return -EFAULT;
	len = min_t(u64, len, place.left);
	len = min_t(u64, len, READ_PAGES * PAGE_SIZE - offset);
	if (!mmget_not_zero(mm))
		return -ESRCH;
	got = -EINTR;
	if (!mmap_read_lock_killable(mm)) {
		got = get_pages(mm, place.hva & PAGE_MASK, DIV_ROUND_UP(offset + len, PAGE_SIZE),
				pages, &locked);
		if (locked)
			mmap_read_unlock(mm);
	}
	mmput_async(mm);
	if (got <= 0)
		return got == -EINTR ? got : -EFAULT;
	for (i = 0; i < got; i++) {
		part = min_t(size_t, len - done, PAGE_SIZE - offset);
		/* No page is where the kernel cannot address it: this is a 64-bit module. */
		if (!bad && copy_to_user(buf + done, page_address(pages[i]) + offset, part))
			bad = true;
		if (!bad)
			done += part;
		offset = 0;
		drop_page(pages[i]);
	}
	return done ?: -EFAULT;
}

ssize_t imee_read(struct file *file, char __user *buf, size_t len, loff_t *pos)
{
	struct imee_file *f = file->private_data;
	struct kvm *kvm;
	size_t done = 0;
	ssize_t n = imee_use(f, &kvm);

	if (n)
		return n;
	if (*pos < 0 || *pos >= GPA_END)
		n = -EINVAL;
	while (!n && done < len) {
		n = READ_ONCE(f->dead) ? -ESRCH :
					 read_some(f, kvm, *pos + done, buf + done, len - done);
		if (n < 0)
			break;
		done += n;
		n = signal_pending(current) ? -EINTR : 0;
		cond_resched();
	}
	imee_put(f);
	if (!done)
		return n;
	atomic64_add(done, &f->bytes_read);
	*pos += done;
	return done;
}
