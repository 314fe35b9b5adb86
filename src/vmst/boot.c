/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * First contact. Nothing is known but a vCPU's registers, so:
 *
 *  1. the interrupt table leads to the kernel's image; in the image are the
 *     system-call entry, the build id and the kernel's types (image.c);
 *  2. one getpid() through the entry, watched, tells where the dispatch comes
 *     back and where this CPU keeps `current`: by the types, a value that was
 *     read there is a task_struct with the pid that was returned;
 *  3. `current` is made PID 1, which has all rights and sees /proc, and the
 *     kernel is asked for /proc/kallsyms.
 *
 * If the build id is in the cache, the first step is all.
 */
#include "boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "clone.h"
#include "pulse.h"

#define EFER_SCE (1UL << 0)
#define EFER_LME (1UL << 8)
#define EFER_LMA (1UL << 10)
#define EFER_NXE (1UL << 11)

#define KALLSYMS_MAX (256UL << 20)
#define MAX_SEEN 512

static bool is_kernel_va(uint64_t va)
{
	return va >= 0xff00000000000000UL;
}

/*
 * The per-CPU base. In the kernel it is in GS, in user mode where swapgs will
 * find it. A monitor that does not show that leaves the long way: TR points to
 * cpu_tss_rw through a fixed alias; its physical page is also in the direct
 * map, at the per-CPU base plus the variable's offset.
 */
static bool find_percpu(struct vl_target *t, const struct vl_pgtable *pt, const struct vl_vcpu *v,
			const struct vl_entry *e, uint64_t *ret)
{
	uint64_t direct;
	struct vl_xlat x;

	if (!(v->cs & 3) && is_kernel_va(v->gs_base)) {
		*ret = v->gs_base;
		return true;
	}
	if (v->has_kernel_gs_base && is_kernel_va(v->kernel_gs_base)) {
		*ret = v->kernel_gs_base;
		return true;
	}
	if (!vl_find_direct_map(t, pt, &direct) ||
	    !vl_translate(pt, vl_target_read_entry, t, v->tr_base, &x))
		return false;
	*ret = direct + x.gpa - e->tss;
	return true;
}

/* --- the first system call, watched --- */

struct seen {
	struct vl_clone *clone;
	uint64_t ax_slot;    /* where the saved RAX is on the kernel stack */
	uint64_t dispatched; /* the instruction that stores the result there */
	struct {
		uint64_t gpa, value;
	} reads[MAX_SEEN];
	size_t nr;
};

static bool on_access(void *ctx, struct vl_engine *e, bool write, uint64_t gpa, unsigned size,
		      uint64_t value)
{
	struct seen *s = ctx;

	if (write && size == 8) {
		/* PUSH_AND_CLEAR_REGS rax=$-ENOSYS: the slot of the result. */
		if (!s->ax_slot && value == (uint64_t)-ENOSYS) {
			s->ax_slot = gpa;
		} else if (s->ax_slot == gpa) {
			s->dispatched = s->clone->ops->watch_rip(e);
			return false;
		}
	}
	if (!write && size == 8 && is_kernel_va(value) && s->nr < MAX_SEEN) {
		s->reads[s->nr].gpa = gpa;
		s->reads[s->nr].value = value;
		s->nr++;
	}
	return true;
}

/* By all that the types say, is @task a task? */
static bool is_task(struct vl_clone *c, const struct vl_layout *l, uint64_t task, int32_t *tgid_ret)
{
	uint64_t stack, leader, leaders;
	char comm[16];

	if (!vl_clone_read(c, task + (uint64_t)l->offset[VL_F_TASK_COMM], comm, sizeof(comm)) ||
	    !vl_clone_read64(c, task + (uint64_t)l->offset[VL_F_TASK_STACK], &stack) ||
	    !vl_clone_read64(c, task + (uint64_t)l->offset[VL_F_TASK_LEADER], &leader) ||
	    !vl_clone_read(c, task + (uint64_t)l->offset[VL_F_TASK_TGID], tgid_ret, 4) ||
	    !vl_clone_read64(c, leader + (uint64_t)l->offset[VL_F_TASK_LEADER], &leaders))
		return false;
	return comm[0] && memchr(comm, 0, sizeof(comm)) && is_kernel_va(stack) &&
	       !(stack & (VL_PAGE_SIZE - 1)) && leader == leaders && *tgid_ret >= 0;
}

/* init_task is in the image's data, under the name of its CPU. */
static uint64_t find_init_task(struct vl_clone *c, const struct vl_layout *l,
			       const struct vl_image *img)
{
	static const char name[] = "swapper";
	size_t size = img->end - img->base, off = 0;

	for (;;) {
		const unsigned char *p =
			memmem(img->bytes + off, size - off, name, sizeof(name) - 1);
		uint64_t task, next, prev;
		int32_t tgid;

		if (!p)
			return 0;
		off = (size_t)(p - img->bytes) + 1;
		task = img->base + (off - 1) - (uint64_t)l->offset[VL_F_TASK_COMM];
		if (!is_task(c, l, task, &tgid) || tgid)
			continue;
		if (vl_clone_read64(c, task + (uint64_t)l->offset[VL_F_TASK_TASKS], &next) &&
		    vl_clone_read64(c, next + 8, &prev) &&
		    prev == task + (uint64_t)l->offset[VL_F_TASK_TASKS])
			return task;
	}
}

static struct vl_error *ask_first(struct vl_clone *c, const struct vl_layout *l,
				  const struct vl_image *img)
{
	struct seen *s = calloc(1, sizeof(*s));
	uint64_t init_task, pid1, *current = NULL;
	struct vl_error *err;
	int64_t pid;
	int32_t tgid;

	if (!s)
		return vl_error_nomem();
	s->clone = c;
	/* Unicorn, which can: no kernel is known. */
	c->ops->watch(c->engine, on_access, s);
	err = vl_clone_enter(c, SYS_getpid, NULL, 0, &pid);
	if (!err)
		err = vl_clone_restart(c);
	if (err)
		goto out;
	err = vl_error_new(VL_ERR_KERNEL, "the guest's system-call entry does not answer");
	if (!s->dispatched)
		goto out;
	/* Nothing of a task can be read before its address was read from there. */
	for (size_t i = 0; i < s->nr && !current; i++)
		if (is_task(c, l, s->reads[i].value, &tgid))
			current = vl_view_host(c->view, s->reads[i].gpa, sizeof(*current));
	init_task = find_init_task(c, l, img);
	pid1 = init_task ? vl_clone_find_task(c, l, init_task, 1) : 0;
	if (!current || !pid1)
		goto out;
	vl_error_destroy(err);
	err = NULL;
	c->dispatched = s->dispatched;
	*current = pid1;
	if (!vl_clone_write(c, c->dispatched, "\xcc", 1))
		err = vl_error_new(VL_ERR_KERNEL, "the guest's kernel text is not in RAM");
out:
	free(s);
	return err;
}

/*
 * Read all of /proc/kallsyms. The text is made from tables that never change,
 * so the guest is held (*@held) only until the first piece is there: then all
 * that the kernel writes to on the way is in pages of the clone's own. It
 * takes half a second. With @whole the guest is held to the end.
 */
static struct vl_error *read_kallsyms(struct vl_clone *c, bool whole, bool *held, char **ret,
				      size_t *len_ret)
{
	static const char path[] = "/proc/kallsyms";
	const size_t chunk = VL_USER_WINDOW / 2;
	size_t len = 0, room = 16UL << 20;
	char *buf = malloc(room);
	struct vl_error *err;
	int64_t fd, n = 1;

	if (!buf)
		return vl_error_nomem();
	err = vl_clone_enter(
		c, SYS_openat,
		(struct vl_arg[]){ VL_ARG_INT(AT_FDCWD), VL_ARG_STR(path), VL_ARG_INT(O_RDONLY) },
		3, &fd);
	if (!err && fd < 0)
		err = vl_error_hint(vl_error_new(VL_ERR_KERNEL, "cannot open %s in the guest: %s",
						 path, strerror((int)-fd)),
				    "wait until the guest has booted and mounted /proc");
	while (!err && n > 0) {
		if (room - len < chunk) {
			char *more = room < KALLSYMS_MAX ? realloc(buf, room * 2) : NULL;

			if (!more) {
				err = vl_error_nomem();
				break;
			}
			buf = more;
			room *= 2;
		}
		err = vl_clone_enter(c, SYS_read,
				     (struct vl_arg[]){ VL_ARG_INT(fd),
							VL_ARG_OUT(buf + len, chunk),
							VL_ARG_INT(chunk) },
				     3, &n);
		if (!err && n < 0)
			err = vl_error_new(VL_ERR_KERNEL, "cannot read %s in the guest: %s", path,
					   strerror((int)-n));
		if (!err)
			len += (size_t)n;
		if (!err && *held && !whole) {
			*held = false;
			err = vl_target_resume(c->contact->target);
		}
	}
	if (err) {
		free(buf);
		return err;
	}
	*ret = buf;
	*len_ret = len;
	return NULL;
}

/*
 * kernel.kptr_restrict hides addresses even from root at 2; in a private copy
 * of its memory the kernel may be told otherwise.
 */
static struct vl_error *show_pointers(struct vl_clone *c)
{
	struct vl_error *err;
	int64_t fd, n;

	err = vl_clone_enter(c, SYS_openat,
			     (struct vl_arg[]){ VL_ARG_INT(AT_FDCWD),
						VL_ARG_STR("/proc/sys/kernel/kptr_restrict"),
						VL_ARG_INT(O_WRONLY) },
			     3, &fd);
	if (err || fd < 0)
		return err;
	return vl_clone_enter(
		c, SYS_write,
		(struct vl_arg[]){ VL_ARG_INT(fd), VL_ARG_IN("0\n", 2), VL_ARG_INT(2) }, 3, &n);
}

/* Ask the kernel behind @entry for its symbols, with the vCPU @v. */
static struct vl_error *ask(struct vl_contact *contact, const struct vl_vcpu *v,
			    const struct vl_entry *entry, const struct vl_image *img,
			    const struct vl_layout *l, bool whole)
{
	struct vl_clone_start start = {
		.root = contact->pt.root,
		.gdt_base = v->gdt_base,
		.gdt_limit = v->gdt_limit,
		.idt_base = v->idt_base,
		.idt_limit = v->idt_limit,
		.tr = v->tr,
		.tr_base = v->tr_base,
		.tr_limit = v->tr_limit,
	};
	struct vl_error *err, *resumed = NULL;
	struct vl_view *view = NULL;
	struct vl_clone *c = NULL;
	char *text = NULL;
	size_t len = 0;
	bool held;

	if (!find_percpu(contact->target, &contact->pt, v, entry, &start.percpu))
		return vl_error_new(VL_ERR_KERNEL, "cannot find the guest's per-CPU data");
	contact->entry = entry->va;
	err = vl_target_pause(contact->target);
	if (err)
		return err;
	held = true;
	err = vl_view_create(contact->target, &view);
	if (!err)
		err = vl_clone_create(contact, view, &start, &c);
	if (!err)
		err = ask_first(c, l, img);
	if (!err)
		err = show_pointers(c);
	if (!err)
		err = read_kallsyms(c, whole, &held, &text, &len);
	if (held)
		resumed = vl_target_resume(contact->target);
	vl_clone_destroy(c);
	vl_view_destroy(view);
	if (!err) {
		err = resumed;
		resumed = NULL;
	}
	vl_error_destroy(resumed);
	if (!err)
		err = vl_kernel_create(text, len, l, entry->va, img->bytes, img->end - img->base,
				       img->base, &contact->kernel);
	free(text);
	return err;
}

/* Tries of the first contact, each on a moment of its own; the last ones hold
 * the guest until all is read. */
#define ASK_TRIES 6
#define ASK_WHOLE 3

/*
 * Ask through one vCPU after the other, and through every entry: the entry is
 * found by its first bytes, and so is its 32-bit twin.
 */
static struct vl_error *ask_any(struct vl_contact *c, const struct vl_vcpu *v, size_t nr,
				const struct vl_image *img, const struct vl_layout *l)
{
	struct vl_error *err = NULL;

	for (unsigned try = 0; try < ASK_TRIES; try++)
		for (size_t k = 0; k < img->nr_entries; k++) {
			vl_error_destroy(err);
			err = ask(c, &v[try % nr], &img->entries[k], img, l, try >= ASK_WHOLE);
			if (!err || err->code == VL_ERR_TARGET)
				return err;
		}
	return err;
}

/* With symbols: the kernel's own page table in place of a process's. */
static struct vl_error *settle(struct vl_contact *c)
{
	uint64_t pgd = vl_symbol(c->kernel, "init_top_pgt");
	struct vl_xlat x;

	/* swapper_pg_dir is a macro for it, but was a symbol once. */
	if (!pgd)
		pgd = vl_symbol(c->kernel, "swapper_pg_dir");
	if (!pgd || !vl_translate(&c->pt, vl_target_read_entry, c->target, pgd, &x))
		return vl_error_new(VL_ERR_FAULT, "cannot find the kernel's page table");
	c->pt.root = x.gpa;
	if (!vl_target_read_virt(c->target, &c->pt, c->entry, c->probe, sizeof(c->probe)))
		return vl_error_new(VL_ERR_FAULT, "cannot read the kernel's text");
	return NULL;
}

/* It stands before the instructions that an entry is found by (IBT, 5.18). */
#define ENDBR64_SIZE 4

/* Is the kernel in the cache? Its entry must be where a candidate was found. */
static bool take_cached(struct vl_contact *c, const struct vl_image *img)
{
	uint64_t at;

	for (size_t i = 0; i < img->nr_ids; i++)
		for (size_t k = 0; k < img->nr_entries; k++) {
			vl_kernel_load(img->ids[i].hex, img->entries[k].va, &c->kernel);
			if (!c->kernel)
				break;
			c->entry = img->entries[k].va;
			memcpy(c->build_id, img->ids[i].hex, sizeof(c->build_id));
			at = vl_symbol(c->kernel, "entry_SYSCALL_64");
			if (at == c->entry || at + ENDBR64_SIZE == c->entry)
				return true;
			vl_kernel_destroy(c->kernel);
			c->kernel = NULL;
		}
	return false;
}

/* Now that the symbols are known, which build id is the kernel's own. */
static void set_build_id(struct vl_contact *c, const struct vl_image *img)
{
	uint64_t start = vl_symbol(c->kernel, "__start_notes");
	uint64_t stop = vl_symbol(c->kernel, "__stop_notes");

	c->build_id[0] = '\0';
	for (size_t i = 0; i < img->nr_ids; i++)
		if (img->ids[i].va >= start && img->ids[i].va < stop)
			memcpy(c->build_id, img->ids[i].hex, sizeof(c->build_id));
}

/*
 * Find the image under the vCPU's page table. With page-table isolation a CPU
 * in user mode has one that maps only the entry text; the kernel's is the page
 * before it (bit 12, PTI_USER_PGTABLE_BIT). Without isolation the page before
 * is anything: so the one that shows a kernel with its types is taken.
 */
static struct vl_error *find_image(struct vl_contact *c, const struct vl_vcpu *v,
				   struct vl_image **ret)
{
	struct vl_pgtable user = vl_pgtable(v->cr3, v->cr4), kernel = user;
	struct vl_image *img;
	struct vl_error *err;

	c->pt = user;
	err = vl_image_find(c->target, &user, v->idt_base, ret);
	if ((!err && (*ret)->btf) || !(user.root & VL_PAGE_SIZE))
		return err;
	kernel.root -= VL_PAGE_SIZE;
	if (vl_discard(vl_image_find(c->target, &kernel, v->idt_base, &img)))
		return err;
	if (!err)
		vl_image_destroy(*ret);
	vl_error_destroy(err);
	c->pt = kernel;
	*ret = img;
	return NULL;
}

static struct vl_error *boot_with(struct vl_contact *c, const struct vl_vcpu *v, size_t nr)
{
	struct vl_error *err = NULL;
	struct vl_image *img = NULL;
	struct vl_layout layout;

	if (!(v->cr0 & X86_CR0_PG) || !(v->cr4 & (1UL << 5)))
		return vl_error_hint(
			vl_error_new(VL_ERR_KERNEL,
				     "the guest is in its firmware or boot loader (no paging)"),
			"wait until it has booted");
	c->cr0 = v->cr0;
	c->cr4 = v->cr4;
	/* Whoever does not tell EFER: a 64-bit kernel has these four. */
	c->efer = v->efer ? v->efer : EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
	err = find_image(c, v, &img);
	if (err)
		return err;
	if (take_cached(c, img)) {
		err = settle(c);
		goto out;
	}
	c->first = true;
	if (!img->btf) {
		err = vl_error_hint(
			vl_error_new(VL_ERR_KERNEL, "the guest's kernel has no BTF types"),
			"it must be built with CONFIG_DEBUG_INFO_BTF");
		goto out;
	}
	err = vl_layout_from_btf(img->btf, img->btf_len, &layout);
	if (!err)
		err = ask_any(c, v, nr, img, &layout);
	if (!err)
		err = settle(c);
	if (!err)
		set_build_id(c, img);
	if (!err && c->build_id[0]) {
		/* Without a cache the next contact only takes as long as this one. */
		vl_error_destroy(vl_kernel_store(c->kernel, c->build_id));
		vl_error_destroy(vl_kernel_store_btf(c->build_id, img->btf, img->btf_len));
	}
out:
	vl_image_destroy(img);
	return err;
}

/*
 * The page table of a vCPU is that of a process, which may end between the look
 * at the registers and the walk: a fault is worth another look.
 */
#define LOOKS 5

struct vl_error *vl_boot(struct vl_contact *c)
{
	const struct timespec wait = { .tv_nsec = 3000000 };
	struct vl_error *err = NULL;

	for (unsigned look = 0; look < LOOKS; look++) {
		struct vl_vcpu *vcpus;
		size_t nr;

		vl_error_destroy(err);
		err = vl_target_vcpus(c->target, &vcpus, &nr);
		if (err)
			return err;
		/* Registers are a moment older than the memory: what matters of them,
		 * the kernel's own tables and bases, does not change. */
		err = nr ? boot_with(c, vcpus, nr) :
			   vl_error_new(VL_ERR_KERNEL, "the guest has no virtual CPU");
		/* CPUs that a kernel left behind show it, and not the one that runs. */
		nr = err ? 0 : vl_pulse_successors(c, vcpus, nr);
		if (nr) {
			vl_kernel_destroy(c->kernel);
			c->kernel = NULL;
			err = boot_with(c, vcpus, nr);
		}
		free(vcpus);
		if (!err || err->code != VL_ERR_FAULT)
			break;
		vl_kernel_destroy(c->kernel);
		c->kernel = NULL;
		nanosleep(&wait, NULL);
	}
	if (err && (err->code == VL_ERR_BLOCKED || err->code == VL_ERR_CRASHED)) {
		/* It was tried often enough here. */
		err->code = VL_ERR_KERNEL;
		err = vl_error_prefix(err, "the guest's kernel gives no answer");
	}
	if (err && err->code == VL_ERR_FAULT)
		err->code = VL_ERR_KERNEL;
	if (err && err->code == VL_ERR_KERNEL && !err->hint)
		err = vl_error_hint(err, "wait until the guest has booted, then try again");
	return err;
}
