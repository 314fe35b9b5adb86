/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "contact.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../kernel/image.h"
#include "../util/dirs.h"
#include "boot.h"

#define RUN_FILE_MAX 4096
#define RUN_FORMAT "vlens-run-1"

static char *run_path(struct vl_target *t)
{
	return vl_run_path("%s.contact", vl_target_run_id(t));
}

void vl_contact_save(const struct vl_contact *c)
{
	char *path = run_path(c->target), *text = NULL, probe[2 * sizeof(c->probe) + 1];
	int n;

	for (size_t i = 0; i < sizeof(c->probe); i++)
		snprintf(probe + 2 * i, 3, "%02x", c->probe[i]);
	n = asprintf(&text,
		     RUN_FORMAT " %s %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64
				" %d %s %d %" PRId64 " %" PRId64 "\n",
		     c->build_id, c->cr0, c->cr4, c->efer, c->entry, c->pt.root, c->pt.levels,
		     probe, c->has_anchor, c->anchor_lo, c->anchor_hi);
	if (path && n > 0 && c->build_id[0])
		vl_error_destroy(vl_file_store(path, text, (size_t)n));
	if (n > 0)
		free(text);
	free(path);
}

/* Read the run's file; false when there is none, or it is not ours. */
static bool load_run(struct vl_contact *c)
{
	char *path = run_path(c->target), *text, probe[2 * sizeof(c->probe) + 1];
	struct vl_error *err;
	int anchor, n;
	size_t len;

	if (!path)
		return false;
	err = vl_file_load(path, RUN_FILE_MAX, &text, &len);
	free(path);
	if (err) {
		vl_error_destroy(err);
		return false;
	}
	n = sscanf(text,
		   RUN_FORMAT " %64[0-9a-f] %" SCNx64 " %" SCNx64 " %" SCNx64 " %" SCNx64
			      " %" SCNx64 " %d %64[0-9a-f] %d %" SCNd64 " %" SCNd64,
		   c->build_id, &c->cr0, &c->cr4, &c->efer, &c->entry, &c->pt.root, &c->pt.levels,
		   probe, &anchor, &c->anchor_lo, &c->anchor_hi);
	free(text);
	if (n != 11 || strlen(probe) != 2 * sizeof(c->probe) ||
	    (c->pt.levels != 4 && c->pt.levels != 5))
		return false;
	for (size_t i = 0; i < sizeof(c->probe); i++) {
		unsigned byte;

		sscanf(probe + 2 * i, "%2x", &byte);
		c->probe[i] = (unsigned char)byte;
	}
	c->has_anchor = anchor;
	return true;
}

bool vl_contact_holds(const struct vl_contact *c)
{
	unsigned char now[sizeof(c->probe)];

	return vl_target_read_virt(c->target, &c->pt, c->entry, now, sizeof(now)) &&
	       !memcmp(now, c->probe, sizeof(now));
}

bool vl_contact_runs(const struct vl_contact *c)
{
	struct vl_vcpu *vcpus;
	bool runs = false, other = false;
	size_t nr;

	if (vl_discard(vl_target_vcpus(c->target, &vcpus, &nr)))
		return true; /* nobody says otherwise */
	for (size_t i = 0; i < nr; i++) {
		const struct vl_vcpu *v = &vcpus[i];
		struct vl_pgtable pt = vl_pgtable(v->cr3, v->cr4);
		uint64_t offset = 1, rip;
		const char *name;

		if (!(v->cr0 & X86_CR0_PG))
			continue; /* not started, or in firmware */
		rip = vl_image_fault_handler(c->target, &pt, v->idt_base);
		name = rip ? vl_symbol_at(c->kernel, rip, &offset) : NULL;
		/* asm_exc_page_fault since 5.8, page_fault before. */
		if (name && !offset && strstr(name, "page_fault"))
			runs = true;
		else
			other = true;
	}
	free(vcpus);
	return runs || !other;
}

/* Does what the file says still hold, and is the kernel known? */
static bool still_there(struct vl_contact *c)
{
	if (!vl_contact_holds(c))
		return false;
	vl_kernel_load(c->build_id, c->entry, &c->kernel);
	return c->kernel;
}

struct vl_error *vl_contact_make(struct vl_target *t, bool anew, struct vl_contact **ret)
{
	struct vl_contact *c = calloc(1, sizeof(*c));
	struct vl_error *err;

	if (!c)
		return vl_error_nomem();
	c->target = t;
	if (anew || !load_run(c) || !still_there(c)) {
		memset(c, 0, sizeof(*c));
		c->target = t;
		err = vl_boot(c);
		if (err) {
			vl_contact_destroy(c);
			return err;
		}
		vl_contact_save(c);
	}
	*ret = c;
	return NULL;
}

struct vl_error *vl_contact_known(struct vl_target *t, struct vl_contact **ret)
{
	struct vl_contact *c = calloc(1, sizeof(*c));

	*ret = NULL;
	if (!c)
		return vl_error_nomem();
	c->target = t;
	if (load_run(c) && still_there(c))
		*ret = c;
	else
		vl_contact_destroy(c);
	return NULL;
}

void vl_contact_destroy(struct vl_contact *c)
{
	if (!c)
		return;
	vl_kernel_destroy(c->kernel);
	free(c);
}
