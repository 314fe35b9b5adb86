/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first attach. It starts from a vCPU's registers: the interrupt table leads to the
 * kernel's image, which has the symbols, the types and the build id (kernel/image.c). No code
 * of the guest runs, and the guest is not paused.
 */
#include "attach.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../base/append.h"
#include "../base/cleanup.h"
#include "../base/text.h"
#include "../host/file.h"
#include "pulse.h"
#include "search.h"

#define LACKS_TYPES "the file does not have all of the kernel's types (BTF)"

#define EFER_SCE (1UL << 0)
#define EFER_LME (1UL << 8)
#define EFER_LMA (1UL << 10)
#define EFER_NXE (1UL << 11)

/* Fill what the symbols lead to: the kernel's entry, its TSC sites. */
static struct vl_error *take_symbols(struct vl_attach *c, const struct vl_image *img)
{
	c->entry = vl_symbol(c->kernel, "entry_SYSCALL_64");
	if (!c->entry ||
	    !vl_target_read_virt(c->target, &c->pt, c->entry, c->probe, sizeof(c->probe)))
		return vl_error_new(VL_ERR_FAULT, "cannot read the kernel's text");
	vl_kernel_find_tsc_sites(c->kernel, img->bytes, img->end - img->base, img->base,
				 c->tsc_sites);
	memcpy(c->build_id, img->build_id, sizeof(c->build_id));
	return NULL;
}

/*
 * Find the image under the vCPU's page table. With page-table isolation, the table of a CPU in
 * user mode maps only the entry text; the kernel's table is the page before it (bit 12,
 * PTI_USER_PGTABLE_BIT). Without isolation that page can hold anything, so try it second.
 */
static struct vl_error *find_image(struct vl_attach *c, const struct vl_vcpu *v,
				   struct vl_deadline deadline, struct vl_image **ret)
{
	struct vl_error *err, *second;

	c->pt = vl_pgtable(v->cr3, v->cr4);
	err = vl_image_find(c->target, &c->pt, v->idt_base, deadline, ret);
	if (!err || !(c->pt.root & VL_PAGE_SIZE))
		return err;
	c->pt.root -= VL_PAGE_SIZE;
	second = vl_image_find(c->target, &c->pt, v->idt_base, deadline, ret);
	if (second && second->code != VL_ERR_KERNEL) {
		vl_error_destroy(second);
		return err;
	}
	vl_error_destroy(err);
	return second;
}

/* Get the kernel of @img. The maker gets only the places of its tables (kernel/maker.c). */
static struct vl_error *get_kernel(struct vl_attach *c, const struct vl_image *img,
				   struct vl_deadline deadline)
{
	const struct vl_kallsyms *k = &img->symbols;
	struct vl_kernel_source src = {
		.pt = c->pt,
		.form = k->form,
		.nr = k->nr,
		.base = k->base,
		.names = { img->base + k->names.at, k->names.len },
		.tokens = { img->base + k->tokens.at, k->tokens.len },
		.offsets = { img->base + k->offsets.at, k->offsets.len },
	};

	if (k->form == VL_KALLSYMS_NONE) {
		const struct vl_exports *e = &img->exports;

		src.names = (struct vl_kernel_part){ e->names.va, e->names.len };
		src.tokens = (struct vl_kernel_part){ e->calls.va, e->calls.len };
		src.offsets = (struct vl_kernel_part){ e->records.va, e->records.len };
		src.bugs = (struct vl_kernel_part){ e->bugs, e->bugs_len };
	}
	if (img->btf) {
		src.btf.va = img->base + (uint64_t)((const unsigned char *)img->btf - img->bytes);
		src.btf.len = img->btf_len;
	}
	if (!img->btf || img->few)
		src.text = (struct vl_kernel_part){ img->text, img->text_len };
	src.few = img->few;
	memcpy(src.build_id, img->build_id, sizeof(src.build_id));
	c->base = k->base;
	return vl_kernel_get(c->target, &src, deadline, c->key, &c->first, &c->kernel);
}

void vl_attach_note_end(const struct vl_attach *c)
{
	const uint64_t at = vl_symbol(c->kernel, "max_pfn");
	uint64_t pages = 0;

	if (at && vl_target_read_virt(c->target, &c->pt, at, &pages, sizeof(pages)) &&
	    pages <= UINT64_MAX / VL_PAGE_SIZE)
		vl_target_note_end(c->target, pages * VL_PAGE_SIZE);
}

bool vl_attach_lacks_types(const struct vl_attach *c)
{
	return vl_target_is_partial(c->target) && vl_kernel_layout(c->kernel)->derived &&
	       vl_symbol(c->kernel, "__start_BTF");
}

struct vl_deadline vl_attach_deadline(const struct vl_target *t)
{
	/* How long it takes to read a file depends on its disk, not on the guest. */
	return vl_deadline_besides(vl_deadline_of_work(VL_ATTACH_NS, VL_ATTACH_MAX_NS),
				   vl_target_waits(t));
}

static struct vl_error *boot_with(struct vl_attach *c, const struct vl_vcpu *v,
				  struct vl_deadline deadline)
{
	struct vl_image *img = NULL;
	struct vl_error *err;

	if (!(v->cr0 & X86_CR0_PG) || !(v->cr4 & (1UL << 5)))
		return vl_error_hint(
			vl_error_new(VL_ERR_KERNEL,
				     "the guest is in its firmware or boot loader (no paging)"),
			"%s", vl_target_wait_hint(c->target));
	c->cr0 = v->cr0;
	c->cr4 = v->cr4;
	/* 0: the source of the registers has no EFER. A 64-bit kernel sets these four bits. */
	c->efer = v->efer ? v->efer : EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
	err = find_image(c, v, deadline, &img);
	if (!err && !img->root)
		err = vl_error_new(img->few ? VL_ERR_KERNEL : VL_ERR_FAULT,
				   "cannot find the kernel's page table%s",
				   !img->few ? "" :
				   img->symbols.form == VL_KALLSYMS_NONE ?
					       ": it has no table of its symbols" :
					       ": it has symbols of its code only");
	/* From here on translate by the kernel's own page table: a process's may end. */
	if (!err)
		c->pt.root = img->root;
	if (!err && img->lacks_btf && !vl_target_is_partial(c->target))
		err = vl_error_hint(vl_error_new(VL_ERR_KERNEL, LACKS_TYPES),
				    "vps --partial takes the fields of structures from its code");
	if (!err)
		err = get_kernel(c, img, deadline);
	if (err && err->code == VL_ERR_KERNEL && img && img->lacks_btf &&
	    vl_target_is_partial(c->target))
		vl_error_prefix(err, LACKS_TYPES);
	if (!err) {
		vl_attach_note_end(c);
		err = take_symbols(c, img);
	}
	/*
	 * After a reset the memory is overwritten, perhaps the table first: do not keep this error.
	 */
	if (err && err->code == VL_ERR_KERNEL && img && img->symbols.form == VL_KALLSYMS_NONE &&
	    vl_target_is_live(c->target))
		err->code = VL_ERR_FAULT;
	vl_image_destroy(img);
	return err;
}

struct vl_error *vl_attach_late(void)
{
	return vl_error_hint(vl_error_new(VL_ERR_KERNEL,
					  "the guest's kernel was not found within %ld s of "
					  "CPU time, or %ld s in all",
					  VL_ATTACH_NS / VL_NSEC_PER_SEC,
					  VL_ATTACH_MAX_NS / VL_NSEC_PER_SEC),
			     "its symbol tables or types are damaged, or this host is very busy");
}

/*
 * A vCPU's page table belongs to a process, which may end between the read of the registers
 * and the walk: retry after a fault.
 */
#define MAX_TRIES 5

/* Name the @nr kernels of a memory, to choose from. @asked: the one that was asked for; 0: none. */
static struct vl_error *choose(char (*releases)[VL_RELEASE_SIZE], size_t nr, unsigned int asked)
{
	char text[768] = "";

	for (size_t i = 0; i < nr; i++) {
		vl_text_mask(releases[i], strlen(releases[i]), VL_TEXT_WORD);
		vl_append(text, sizeof(text), "%s%zu: %s", i ? ", " : "", i + 1, releases[i]);
	}
	if (nr == 1)
		return vl_error_hint(
			vl_error_new(VL_ERR_ARG, "the memory holds one kernel: %s", releases[0]),
			"leave out --kernel");
	if (asked)
		return vl_error_hint(vl_error_new(VL_ERR_ARG,
						  "there is no kernel %u: the memory holds %zu: %s",
						  asked, nr, text),
				     "choose one of them, as by --kernel=1");
	return vl_error_hint(vl_error_new(VL_ERR_ARG, "the memory holds %zu kernels: %s", nr, text),
			     "choose one, as by --kernel=1");
}

/*
 * The first attach to a memory by itself, without registers. A kernel that another one has
 * replaced, by kexec or a reboot, may still be in it. On a running guest, the kernel whose tick
 * counter advances is the one that runs.
 */
static struct vl_error *boot_by_search(struct vl_attach *c)
{
	const unsigned int asked = vl_target_kernel(c->target);
	const bool live = vl_target_is_live(c->target);
	char releases[VL_SEARCH_MAX][VL_RELEASE_SIZE];
	_cleanup_free_ struct vl_vcpu *vcpus = NULL;
	struct vl_error *err, *first = NULL;
	struct vl_attach taken = { 0 };
	struct vl_deadline deadline;
	size_t nr, nr_good = 0, nr_run = 0;

	err = vl_search(c->target, &vcpus, &nr, &c->place);
	if (err)
		return err;
	for (size_t i = 0; i < nr; i++) {
		struct vl_attach one = { .target = c->target, .place = c->place };
		bool runs;

		deadline = vl_attach_deadline(c->target);
		err = boot_with(&one, &vcpus[i], deadline);
		if (!err) {
			vl_attach_release(&one, releases[nr_good++]);
			one.number = (unsigned int)nr_good;
		}
		/* The others are looked at only if there are several. */
		runs = !err && live && !asked && nr > 1 && vl_pulse_ticks(&one);
		nr_run += runs;
		if (!err && (asked ? asked == nr_good : nr_good == 1 || (runs && nr_run == 1))) {
			vl_kernel_destroy(taken.kernel);
			taken = one;
		} else {
			vl_kernel_destroy(one.kernel);
		}
		if (first)
			vl_error_destroy(err);
		else
			first = err;
	}
	if (!nr_good)
		return first;
	vl_error_destroy(first);
	if (!taken.kernel || (!asked && nr_good > 1 && nr_run != 1)) {
		vl_kernel_destroy(taken.kernel);
		return choose(releases, nr_good, asked);
	}
	if (nr_good == 1)
		taken.number = 0;
	*c = taken;
	return NULL;
}

/* A running kernel has all parts: @err, if not NULL, comes from a kernel that boots. */
static struct vl_error *unfinished(const struct vl_attach *c, struct vl_error *err)
{
	if (err && err->code == VL_ERR_FAULT)
		err->code = VL_ERR_BOOTING;
	if (err && (err->code == VL_ERR_KERNEL || err->code == VL_ERR_BOOTING) && !err->hint)
		err = vl_error_hint(err, "%s", vl_target_wait_hint(c->target));
	return err;
}

/*
 * Memory that changes during the search, as in a guest that boots, can give a false result: search
 * again.
 */
static struct vl_error *search_live(struct vl_attach *c)
{
	const struct timespec wait = { .tv_nsec = 100000000 };
	struct vl_error *err = boot_by_search(c);

	for (unsigned i = 1; err && err->code == VL_ERR_FAULT && i < MAX_TRIES; i++) {
		vl_error_destroy(err);
		nanosleep(&wait, NULL);
		err = boot_by_search(c);
	}
	return unfinished(c, err);
}

enum ran { DID_NOT_RUN, MAY_HAVE_RUN, DID_RUN };

/*
 * Did the vCPUs (@nr) run the kernel of @c, which a search has found in their memory? Another one
 * may have run, by kexec or a reboot. The kernel puts its per-CPU areas at addresses that differ
 * with each boot, and GS of a CPU that runs the kernel points to one of them (KERNEL_GS_BASE of
 * others, if it is known).
 */
static enum ran ran(const struct vl_attach *c, const struct vl_vcpu *vcpus, size_t nr)
{
	const uint64_t offsets = vl_symbol(c->kernel, "__per_cpu_offset");
	const uint64_t text = vl_symbol(c->kernel, "_stext");
	size_t good = 0;

	for (size_t i = 0; i < nr && offsets && text; i++) {
		const bool inside = vcpus[i].rip >> 63;
		const uint64_t gs = inside ? vcpus[i].gs_base : vcpus[i].kernel_gs_base;
		bool is_area = false;

		if (!(vcpus[i].cr0 & X86_CR0_PG))
			continue;
		/* Above the text are modules. */
		if (inside && vcpus[i].rip < text)
			return DID_NOT_RUN;
		/* A base below is a process's; the kernel has it, too, until its swapgs. */
		if (!(gs >> 63))
			continue;
		for (size_t k = 0; k < nr && !is_area; k++) {
			uint64_t area;

			if (!vl_target_read_virt(c->target, &c->pt, offsets + 8 * k, &area,
						 sizeof(area)))
				return MAY_HAVE_RUN;
			is_area = area == gs;
		}
		if (!is_area)
			return DID_NOT_RUN;
		good++;
	}
	return good > 0 ? DID_RUN : MAY_HAVE_RUN;
}

/*
 * The page table that the registers of a file name may be one of a process that had ended when the
 * memory was copied, if pages changed meanwhile, or may lie in the part that a file lacks. So
 * search for the kernel; takes @err, the reason why it was not found by the registers.
 */
static struct vl_error *boot_otherwise(struct vl_attach *c, struct vl_error *err)
{
	const bool partial = vl_target_is_partial(c->target);
	_cleanup_free_ struct vl_vcpu *vcpus = NULL;
	enum ran least = partial ? MAY_HAVE_RUN : DID_RUN;
	struct vl_error *none;
	size_t nr;

	if (vl_discard(vl_target_vcpus(c->target, &vcpus, &nr)) ||
	    vl_pulse_life_of(vcpus, nr) != VL_LIFE_KERNEL)
		return err;
	none = boot_by_search(c);
	if (!none && ran(c, vcpus, nr) >= least) {
		vl_error_destroy(err);
		return NULL;
	}
	if (none) {
		vl_error_destroy(none);
		return err;
	}
	vl_kernel_destroy(c->kernel);
	c->kernel = NULL;
	return vl_error_hint(err,
			     "%s; --kernel=1 takes the kernel that the memory holds, if that is "
			     "the one that ran",
			     partial ? "the page tables of the registers are not in the file" :
				       "the file changed while it was made");
}

struct vl_error *vl_boot(struct vl_attach *c, struct vl_deadline deadline)
{
	const struct timespec wait = { .tv_nsec = 3000000 };
	struct vl_error *err = NULL;

	if (!vl_target_is_live(c->target) &&
	    (!vl_target_has_vcpus(c->target) || vl_target_kernel(c->target)))
		return boot_by_search(c);
	if (!vl_target_has_vcpus(c->target))
		return search_live(c);
	if (vl_target_kernel(c->target))
		return vl_error_hint(vl_error_new(VL_ERR_ARG, "a running guest has one kernel"),
				     "leave out --kernel");
	for (unsigned i = 0; i < MAX_TRIES; i++) {
		_cleanup_free_ struct vl_vcpu *vcpus = NULL;
		size_t nr;

		vl_error_destroy(err);
		err = vl_target_vcpus(c->target, &vcpus, &nr);
		if (err)
			return err;
		/* The registers are older than the memory that is read next. That is harmless:
		 * the kernel's own tables and bases do not change. */
		err = nr ? boot_with(c, vcpus, deadline) :
			   vl_error_new(VL_ERR_KERNEL, "the guest has no virtual CPU");
		/* vCPUs that a dead kernel left behind still show that kernel. */
		nr = err ? 0 : vl_pulse_successors(c, vcpus, nr);
		if (nr) {
			vl_kernel_destroy(c->kernel);
			c->kernel = NULL;
			err = boot_with(c, vcpus, deadline);
		}
		if (!err || err->code != VL_ERR_FAULT || vl_late(deadline))
			break;
		vl_kernel_destroy(c->kernel);
		c->kernel = NULL;
		nanosleep(&wait, NULL);
	}
	if (err && err->code == VL_ERR_FAULT &&
	    (vl_target_moved(c->target) || vl_target_is_partial(c->target)))
		err = boot_otherwise(c, err);
	if (err && vl_late(deadline)) {
		vl_error_destroy(err);
		err = vl_attach_late();
	}
	return unfinished(c, err);
}
