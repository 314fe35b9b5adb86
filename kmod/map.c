// SPDX-License-Identifier: GPL-2.0
/*
 * Guest memory in a client's address space, in step with the hypervisor's.
 *
 * A page is mapped without a reference: it stays the guest's as long as it is mapped in the
 * hypervisor, and the notifier is called before that ends. So a page is inserted while a
 * reference is held. If anything was invalidated since its lookup it is taken out again. Only
 * then is the reference dropped. A mapping thus never shows a page of another owner. Huge pages
 * are handled in the same way: when a part of one is unmapped the kernel takes out the whole
 * (__split_huge_pmd() of a special entry), and the next touch looks it up again.
 *
 * A shared mapping is VM_PFNMAP. A private one cannot be (pages of it may become anonymous, and
 * vmf_insert_pfn() refuses that), so it is VM_MIXEDMAP, with special entries all the same.
 * VM_IO makes KVM accept the mapping as a memory slot, and makes the kernel refuse to pin its
 * pages, of which the notifier would not know.
 */
#include <linux/highmem.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#ifdef HAVE_PFN_T
#include <linux/pfn_t.h>
#endif

#include "internal.h"

#define GPA_END (1ULL << 52)
#define READ_PAGES 16 /* how many pages pread() takes at a time */

struct page *imee_zero_page;

/* --- Taking pages out -------------------------------------------------------- */

static bool imee_invalidate(struct mmu_interval_notifier *notifier,
			    const struct mmu_notifier_range *range, unsigned long seq)
{
	struct imee_file *f = container_of(notifier, struct imee_file, notifier);

	/* First, so that a page that is just being inserted is found below, or given up. */
	spin_lock(&f->lock);
	mmu_interval_set_seq(notifier, seq);
	WRITE_ONCE(f->status->invalidations, f->status->invalidations + 1);
	spin_unlock(&f->lock);

	if (range->event == MMU_NOTIFY_RELEASE)
		imee_die(f);
	/*
	 * Zapping takes the lock of our areas. mm_take_all_locks() takes it in the order of a
	 * client's areas. Our caller may hold the lock of the guest's own file. If a client maps
	 * that file, too, the two orders can be inverse. So take the lock only if there is
	 * something to zap. See BUGS in imee(4).
	 */
	if (!atomic_read(&f->areas) || imee_in_zap())
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

static long get_pages(struct mm_struct *mm, unsigned long hva, long n, unsigned int flags,
		      struct page **pages, int *locked)
{
#ifdef HAVE_GUP_VMAS
	long got = get_user_pages_remote(mm, hva, n, FOLL_GET | flags, pages, NULL, locked);
#else
	long got = get_user_pages_remote(mm, hva, n, FOLL_GET | flags, pages, locked);
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

/* There is no memory: SIGBUS or zeros, as chosen at IMEE_ATTACH. */
static vm_fault_t fault_absent(struct imee_file *f, struct vm_fault *vmf)
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

/*
 * Insert 2 MiB at once, where the kernel can mark such an entry as special, so that its pages
 * cannot be pinned: since "mm: introduce ARCH_SUPPORTS_HUGE_PFNMAP and special bits to
 * pmd/pud". In a shared mapping only: a private one is written, page by page.
 */
static vm_fault_t insert_huge(struct vm_fault *vmf, struct page *page)
{
	vm_fault_t ret = VM_FAULT_FALLBACK;

#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
#ifdef HAVE_PFN_T
	ret = vmf_insert_pfn_pmd(vmf, pfn_to_pfn_t(page_to_pfn(page)), false);
#else
	ret = vmf_insert_pfn_pmd(vmf, page_to_pfn(page), false);
#endif
	/* Another thread was faster, with a small page. */
	if (ret == VM_FAULT_NOPAGE && !pmd_leaf(READ_ONCE(*vmf->pmd)))
		ret = VM_FAULT_FALLBACK;
#endif
	return ret;
}

/*
 * Insert the page, or the 2 MiB that begin with @page. False: it may no longer be the guest's,
 * and was taken out again.
 */
static bool insert_checked(struct imee_file *f, struct vm_fault *vmf, struct page *page, u64 size,
			   u64 generation, unsigned long seq, vm_fault_t *ret)
{
	u64 gpa = ((u64)vmf->pgoff << PAGE_SHIFT) & ~(size - 1);
	bool good;

	mutex_lock(&f->fault_lock);
	*ret = size == PAGE_SIZE ? insert(vmf, page) : insert_huge(vmf, page);
	spin_lock(&f->lock);
	good = !f->dead && f->status->generation == generation &&
	       !mmu_interval_read_retry(&f->notifier, seq);
	if (good && *ret == VM_FAULT_NOPAGE) {
		WRITE_ONCE(f->status->faults, f->status->faults + 1);
		if (size != PAGE_SIZE)
			atomic64_inc(&f->huge);
	}
	spin_unlock(&f->lock);
	if (!good) {
		imee_zap(f, gpa, size);
		atomic64_inc(&f->retries);
	}
	mutex_unlock(&f->fault_lock);
	return good;
}

/*
 * Lock @mm without waiting: we hold the lock of our own address space, and two clients that
 * look into each other would deadlock. False: the fault ends without a page, and the access
 * faults again. A killed task gets SIGBUS, as the hypervisor can hold its lock for as long as
 * it likes.
 */
static bool lock_other(struct mm_struct *mm, vm_fault_t *ret)
{
	if (mmap_read_trylock(mm))
		return true;
	cond_resched();
	*ret = fatal_signal_pending(current) ? VM_FAULT_SIGBUS : VM_FAULT_NOPAGE;
	return false;
}

/* 1: *ret is the answer, VM_FAULT_FALLBACK where there is no memory; 0: try again. */
static int try_small(struct imee_file *f, struct kvm *kvm, struct mm_struct *mm,
		     struct vm_fault *vmf, vm_fault_t *ret)
{
	struct imee_place place;
	struct page *page;
	unsigned long seq;
	bool found;
	long got;

	*ret = VM_FAULT_FALLBACK;
	seq = mmu_interval_read_begin(&f->notifier);
	found = imee_find(kvm, (u64)vmf->pgoff << PAGE_SHIFT, &place);
	imee_follow(f, place.generation);
	if (!found || !lock_other(mm, ret))
		return 1;
	got = get_pages(mm, place.hva, 1, 0, &page, NULL);
	mmap_read_unlock(mm);
	if (got != 1)
		return 1;
	got = insert_checked(f, vmf, page, PAGE_SIZE, place.generation, seq, ret);
	drop_page(page);
	return got;
}

/* VM_FAULT_FALLBACK: there is no such memory, or the guest is gone. */
static vm_fault_t fault(struct vm_fault *vmf,
			int (*try)(struct imee_file *f, struct kvm *kvm, struct mm_struct *mm,
				   struct vm_fault *vmf, vm_fault_t *ret))
{
	struct imee_file *f = vmf->vma->vm_private_data;
	vm_fault_t ret = VM_FAULT_FALLBACK;
	struct mm_struct *mm;
	struct kvm *kvm;

	if (imee_use(f, &kvm))
		return ret;
	mm = kvm->mm;
	if (mmget_not_zero(mm)) {
		while (!try(f, kvm, mm, vmf, &ret)) {
			ret = VM_FAULT_NOPAGE;
			if (fatal_signal_pending(current) || READ_ONCE(f->dead))
				break;
			cond_resched();
		}
		/* mmput() could tear that address space down within a page fault. */
		mmput_async(mm);
	}
	imee_put(f);
	return ret;
}

static vm_fault_t imee_fault(struct vm_fault *vmf)
{
	vm_fault_t ret = fault(vmf, try_small);

	return ret == VM_FAULT_FALLBACK ? fault_absent(vmf->vma->vm_private_data, vmf) : ret;
}

#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
/*
 * Is @page at @index of aligned 2 MiB of one huge page, which one entry can map? The huge zero
 * page is excluded: the kernel takes an entry with it for its own, and looks for a deposited
 * page table (has_deposited_pgtable()).
 */
static bool in_huge(struct page *page, unsigned long index)
{
	const struct folio *folio = page_folio(page);

	return folio_order(folio) >= HPAGE_PMD_ORDER && READ_ONCE(folio->mapping) &&
	       page_to_pfn(page) % HPAGE_PMD_NR == index;
}

/*
 * Get the HPAGE_PMD_NR pages at @hva if they are one huge page, whole and in order. Only the
 * page at @index, which was touched, is faulted in.
 */
static bool get_huge(struct mm_struct *mm, unsigned long hva, unsigned long index,
		     struct page **pages)
{
	long got = get_pages(mm, hva + index * PAGE_SIZE, 1, 0, pages, NULL), i;
	bool good = got == 1 && in_huge(pages[0], index);

	if (got == 1)
		drop_page(pages[0]);
	if (!good)
		return false;
	got = get_pages(mm, hva, HPAGE_PMD_NR, FOLL_NOFAULT, pages, NULL);
	good = got == HPAGE_PMD_NR && in_huge(pages[0], 0);
	for (i = 1; i < got; i++)
		good &= page_to_pfn(pages[i]) == page_to_pfn(pages[0]) + i;
	for (i = 0; !good && i < got; i++)
		drop_page(pages[i]);
	return good;
}

/* Like try_small(); VM_FAULT_FALLBACK: use small pages. */
static int try_huge(struct imee_file *f, struct kvm *kvm, struct mm_struct *mm,
		    struct vm_fault *vmf, vm_fault_t *ret)
{
	unsigned long index = vmf->pgoff % HPAGE_PMD_NR, seq;
	struct imee_place place;
	struct page **pages;
	bool good;
	int i;

	*ret = VM_FAULT_FALLBACK;
	seq = mmu_interval_read_begin(&f->notifier);
	if (!imee_find(kvm, (u64)(vmf->pgoff - index) << PAGE_SHIFT, &place) ||
	    place.left < HPAGE_PMD_SIZE)
		return 1;
	imee_follow(f, place.generation);
	pages = kmalloc_array(HPAGE_PMD_NR, sizeof(*pages), GFP_KERNEL);
	if (!pages || !lock_other(mm, ret))
		goto free;
	good = get_huge(mm, place.hva, index, pages);
	mmap_read_unlock(mm);
	if (!good)
		goto free;
	/*
	 * No retry: a hypervisor that changes pages all the time would cause retries without
	 * end.
	 */
	if (!insert_checked(f, vmf, pages[0], HPAGE_PMD_SIZE, place.generation, seq, ret))
		*ret = VM_FAULT_FALLBACK;
	for (i = 0; i < HPAGE_PMD_NR; i++)
		drop_page(pages[i]);
free:
	kfree(pages);
	return 1;
}

static vm_fault_t imee_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	unsigned long start = vmf->address & HPAGE_PMD_MASK;
	const struct vm_area_struct *vma = vmf->vma;

	if (order != HPAGE_PMD_ORDER || !(vma->vm_flags & VM_PFNMAP) || start < vma->vm_start ||
	    vma->vm_end - start < HPAGE_PMD_SIZE ||
	    ((vmf->address >> PAGE_SHIFT) - vmf->pgoff) % HPAGE_PMD_NR)
		return VM_FAULT_FALLBACK;
	return fault(vmf, try_huge);
}
#endif

/* --- Areas ------------------------------------------------------------------- */

static void area_open(struct vm_area_struct *vma)
{
	struct imee_file *f = vma->vm_private_data;

	atomic_inc(&f->areas);
	atomic_long_inc(&imee_counts.mappings);
}

static void area_close(struct vm_area_struct *vma)
{
	struct imee_file *f = vma->vm_private_data;

	atomic_dec(&f->areas);
	atomic_long_dec(&imee_counts.mappings);
}

static const struct vm_operations_struct imee_vm_ops = {
	.open = area_open,
	.close = area_close,
	.fault = imee_fault,
#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
	.huge_fault = imee_huge_fault,
#endif
};

static vm_fault_t status_fault(struct vm_fault *vmf)
{
	struct imee_file *f = vmf->vma->vm_private_data;

	get_page(f->status_page);
	vmf->page = f->status_page;
	return 0;
}

static void status_open(struct vm_area_struct *vma)
{
	atomic_long_inc(&imee_counts.mappings);
}

static void status_close(struct vm_area_struct *vma)
{
	atomic_long_dec(&imee_counts.mappings);
}

static const struct vm_operations_struct imee_status_ops = {
	.open = status_open,
	.close = status_close,
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
	/* do_mmap() clears VM_SHARED for a device that was opened read-only. */
	bool shared = vma->vm_flags & VM_MAYSHARE, covered, own;
	unsigned long set = VM_DONTEXPAND | VM_DONTDUMP | VM_DONTCOPY, clear = VM_MAYEXEC;
	struct kvm *kvm;
	int err = imee_use(f, &kvm);

	if (err)
		return err;
	own = kvm->mm == current->mm;
	covered = gpa < GPA_END && size <= GPA_END - gpa && imee_covered(kvm, gpa, size);
	imee_put(f);
	/* A process that maps its own memory: each invalidation would cause another one. */
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
#ifdef CONFIG_ARCH_SUPPORTS_PMD_PFNMAP
		/*
		 * For hosts with huge pages on request (madvise) only: here they cost no
		 * memory.
		 */
		if (shared)
			set |= VM_HUGEPAGE;
#endif
		vma->vm_ops = &imee_vm_ops;
	} else {
		return -EINVAL;
	}
	set_flags(vma, set, clear);
	vma->vm_private_data = f;
	vma->vm_ops->open(vma);
	return 0;
}

/* --- Reading ----------------------------------------------------------------- */

/*
 * Copy up to @len bytes from @gpa on, within READ_PAGES pages. Returns their number, or an
 * error.
 */
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
		got = get_pages(mm, place.hva & PAGE_MASK, DIV_ROUND_UP(offset + len, PAGE_SIZE), 0,
				pages, &locked);
		if (locked)
			mmap_read_unlock(mm);
	}
	mmput_async(mm);
	if (got <= 0)
		return got == -EINTR ? got : -EFAULT;
	for (i = 0; i < got; i++) {
		part = min_t(size_t, len - done, PAGE_SIZE - offset);
		/* A 64-bit kernel addresses every page directly. */
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
