/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "facts.h"

#include <elf.h>

#include "../base/array.h"
#include "notes.h"

void vl_facts_deinit(struct vl_facts *f)
{
	free(f->ranges);
	free(f->registers);
	*f = (struct vl_facts){ .nr = 0 };
}

/* ---- the pass ---- */

struct vl_error *vl_facts_add(struct vl_facts *f, uint64_t gpa, uint64_t size, uint64_t at)
{
	size &= ~(VL_PAGE_SIZE - 1);
	if (!size)
		return NULL;
	if (f->nr == VL_FACT_RANGES_MAX)
		return vl_dump_damaged("it has more ranges of memory than any machine");
	if (!vl_grow(f->ranges, f->room, f->nr, 64))
		return vl_error_nomem();
	f->ranges[f->nr++] = (struct vl_fact_range){ gpa, size, at };
	return NULL;
}

struct vl_error *vl_facts_put(const struct vl_facts *f, struct vl_index *ix)
{
	struct vl_error *err = vl_index_put(ix, &f->head, sizeof(f->head));

	if (!err)
		err = vl_index_put_array(ix, f->ranges, f->nr, sizeof(*f->ranges));
	if (!err)
		err = vl_registers_put(f->registers, f->nr_vcpus, ix);
	return err;
}

struct vl_error *vl_registers_put(const struct vl_registers *r, size_t nr, struct vl_index *ix)
{
	return vl_index_put_array(ix, r, nr, sizeof(*r));
}

/* ---- with rights ---- */

static bool is_range(const struct vl_fact_range *r, uint64_t size)
{
	return r->size && !((r->gpa | r->size) % VL_PAGE_SIZE) && r->size <= UINT64_MAX - r->gpa &&
	       (r->at == VL_NOWHERE || (r->at <= size && r->size <= size - r->at));
}

static bool is_registers(const struct vl_registers *r)
{
	return r->version == VL_REGISTERS_VERSION && r->size >= VL_REGISTERS_OLD;
}

static bool is_sound(const struct vl_facts *f, uint64_t size)
{
	if (!f->nr || f->head.flat > 1 || (f->head.flat && f->nr != 1) ||
	    (f->head.machine != EM_X86_64 && f->head.machine != EM_386))
		return false;
	for (size_t i = 0; i < f->nr; i++)
		if (!is_range(&f->ranges[i], size))
			return false;
	return true;
}

struct vl_error *vl_registers_take(struct vl_index *ix, size_t max, struct vl_registers **ret,
				   size_t *nr_ret)
{
	struct vl_error *err = vl_index_take_array(ix, sizeof(**ret), max, ret, nr_ret);

	for (size_t i = 0; !err && i < *nr_ret; i++)
		if (!is_registers(&(*ret)[i]))
			err = vl_index_bad();
	return err;
}

/* The RAM of @t, and the registers of @d. */
static struct vl_error *set(struct vl_target *t, struct vl_dump *d, struct vl_facts *f)
{
	struct vl_error *err;

	for (size_t i = 0; i < f->nr; i++) {
		const struct vl_fact_range *r = &f->ranges[i];

		err = vl_ram_add(t, &(struct vl_ram){
					    .gpa = r->gpa,
					    .size = r->size,
					    .fd = r->at == VL_NOWHERE ? -1 : d->fd,
					    .fd_offset = r->at == VL_NOWHERE ? 0 : r->at,
					    .page_size = VL_PAGE_SIZE,
				    });

		if (err)
			return err;
	}
	d->machine = (unsigned int)f->head.machine;
	d->moved = f->head.moved;
	if (!f->nr_vcpus)
		return vl_ram_finish(t);
	err = vl_vcpus_of(f->registers, f->nr_vcpus, &d->vcpus);
	if (err)
		return err;
	d->registers = vl_taken(f->registers);
	d->nr_vcpus = f->nr_vcpus;
	return vl_ram_finish(t);
}

struct vl_error *vl_facts_take(struct vl_target *t, struct vl_dump *d, struct vl_index *ix)
{
	struct vl_facts f = { .nr = 0 };
	struct vl_error *err = NULL;

	if (!vl_index_take(ix, &f.head, sizeof(f.head)))
		return vl_index_bad();
	err = vl_index_take_array(ix, sizeof(*f.ranges), VL_FACT_RANGES_MAX, &f.ranges, &f.nr);
	if (!err)
		err = vl_registers_take(ix, SIZE_MAX, &f.registers, &f.nr_vcpus);
	/* In a file that is cut short, ranges may lie behind the end. */
	if (!err && !is_sound(&f, t->partial ? INT64_MAX : d->size))
		err = vl_index_bad();
	if (!err && f.head.flat)
		err = vl_dump_set_flat(t, d, f.ranges[0].at, f.ranges[0].size);
	else if (!err)
		err = set(t, d, &f);
	vl_facts_deinit(&f);
	return err;
}
