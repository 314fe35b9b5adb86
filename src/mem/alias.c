/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Second mappings of a snapshot's pages, at the guest's addresses, for an executor. */
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "../base/array.h"
#include "snapshot-internal.h"

uint64_t vl_snapshot_unaliased(const struct vl_snapshot *v, uint64_t host)
{
	for (size_t i = v->nr_aliases; i-- > 0;) {
		const struct vl_snapshot_alias *a = &v->aliases[i];

		if (host - a->host < a->size)
			return (uint64_t)vl_snapshot_host(v, a->gpa + (host - a->host),
							  VL_PAGE_SIZE);
	}
	return host;
}

bool vl_snapshot_alias(struct vl_snapshot *v, uint64_t gpa, uint64_t size, void *at, bool writable)
{
	struct uffdio_register reg = { .range = { (uint64_t)at, size },
				       .mode = UFFDIO_REGISTER_MODE_MISSING };
	const struct vl_snapshot_range *r = vl_snapshot_find(v, gpa);
	bool ok = false;

	pthread_mutex_lock(&v->lock);
	if (!vl_grow(v->aliases, v->cap_aliases, v->nr_aliases, 64) || !r || !r->again ||
	    size > r->size - (gpa - r->gpa) ||
	    mremap((char *)r->again + (gpa - r->gpa), 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, at) ==
		    MAP_FAILED)
		goto out;
	ok = (writable || !mprotect(at, size, PROT_READ)) &&
	     !ioctl(v->signaller < 0 ? v->uffd : v->signaller, UFFDIO_REGISTER, &reg);
	if (ok)
		v->aliases[v->nr_aliases++] = (struct vl_snapshot_alias){ (uint64_t)at, gpa, size };
out:
	pthread_mutex_unlock(&v->lock);
	return ok;
}

void vl_snapshot_unalias(struct vl_snapshot *v, uint64_t host)
{
	size_t i;

	pthread_mutex_lock(&v->lock);
	for (i = v->nr_aliases; i && v->aliases[i - 1].host != host; i--)
		;
	if (i) {
		memmove(&v->aliases[i - 1], &v->aliases[i],
			(v->nr_aliases - i) * sizeof(*v->aliases));
		v->nr_aliases--;
	}
	pthread_mutex_unlock(&v->lock);
}
