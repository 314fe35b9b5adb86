/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a guest is copied that runs meanwhile. Nothing outside of its process can write-protect its
 * memory, so changes are found by checksums:
 *
 *	copy		all pages are copied, and their checksums kept
 *	compare		pages that changed since are copied again, and marked
 *	pause		the marked pages are copied, and all pages are looked at once more, and
 *			copied if they have changed, as many as the pause allows
 *	compare		pages that were not looked at in the pause, and differ, are counted
 *
 * A page that was not looked at in the pause, and is the same in both passes, had this content in
 * the pause. So all pages but those that are counted are of the moment of the pause. A stream
 * cannot be corrected: there the first pass copies nothing, and the last one writes all; of it, all
 * pages are counted that change after the pause and before they are written.
 */
#include "save.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "held.h"

/*
 * What the guard allows a whole save: the time of a slow disk, of 20 MB/s. The end of the process
 * resumes the guest at once; this is for one that hangs. The reader of a pipe may be slow: it gets
 * the time of a network of 1 Gbit/s.
 */
#define WHOLE_LEAST_NS (30 * VL_NSEC_PER_SEC)
#define WHOLE_NS_PER_BYTE 50
#define PIPE_LEAST_NS VL_NSEC_PER_SEC
#define PIPE_NS_PER_BYTE 10

/* Pauses that are tried if the guard ends them. */
#define TRIES 3

/*
 * How often the guest is compared at most before the pause, and what a page takes to be copied in
 * it in ns, measured on a busy host.
 */
#define COMPARES 3
#define COPY_NS 4000

struct save {
	struct vl_target *t;
	const struct vl_save_options *o;
	struct vl_save_result *r;
	struct vl_head head;
	struct vl_output out;
	struct vl_passes passes;
	bool stands; /* its hypervisor had paused it before the save began */
};

/* ---- registers ---- */

static void no_registers(struct save *s, struct vl_error *err)
{
	s->r->registers = VL_SAVE_REGISTERS_NONE;
	snprintf(s->r->no_registers, sizeof(s->r->no_registers), "%s", err->message);
	vl_error_destroy(err);
}

static void take_registers(struct save *s, enum vl_save_registers when)
{
	struct vl_registers *now = NULL;
	unsigned int machine;
	size_t nr;
	struct vl_error *err = vl_target_registers(s->t, &now, &nr, &machine);

	if (!err && s->head.size && nr > s->head.room_vcpus)
		err = vl_error_new(VL_ERR_TARGET, "the number of vCPUs has changed");
	if (err) {
		free(now);
		if (!s->head.nr_vcpus)
			no_registers(s, err);
		else
			vl_error_destroy(err);
		return;
	}
	free(s->head.vcpus);
	s->head.vcpus = now;
	s->head.nr_vcpus = s->r->vcpus = nr;
	s->head.machine = machine;
	s->r->registers = when;
}

/* ---- the head ---- */

static const char *pause_name(enum vl_save_pause pause)
{
	return pause == VL_SAVE_SHORT ? "short" : pause == VL_SAVE_NONE ? "none" : "whole";
}

static const char *registers_name(enum vl_save_registers when)
{
	static const char *const names[] = {
		[VL_SAVE_REGISTERS_NONE] = "none",
		[VL_SAVE_REGISTERS_PAUSE] = "of the pause",
		[VL_SAVE_REGISTERS_BEFORE] = "of just before",
		[VL_SAVE_REGISTERS_COPIED] = "copied",
	};

	return names[when];
}

/* Write the head; with @final the figures are those of the end. */
static struct vl_error *put_head(struct save *s, bool final)
{
	_cleanup_free_ unsigned char *buf = malloc(s->head.size);
	const uint64_t before = vl_target_moved(s->t); /* of a file: when it was made */
	char said[768], changed[32] = "not known";

	if (!buf)
		return vl_error_nomem();
	s->r->vmcoreinfo = s->head.kernel_note;
	if ((final || s->r->pause == VL_SAVE_WHOLE || !s->r->live) && before != UINT64_MAX)
		snprintf(changed, sizeof(changed), "%" PRIu64, s->r->changed + before);
	snprintf(said, sizeof(said),
		 "vlens " VLENS_VERSION "\nsource: %s\npause: %s\npage-size: 4096\npages: %" PRIu64
		 "\nheld-pages: %" PRIu64 "\nchanged-pages: %s\nregisters: %s\n",
		 s->r->live ? "a running guest" : "a file",
		 s->r->live && !s->r->cut_short ? pause_name(s->r->pause) : "none", s->r->pages,
		 s->r->held, changed, registers_name(s->r->registers));
	vl_head_write(&s->head, said, buf);
	return vl_output_head(&s->out, buf, s->head.size);
}

/* ---- the ways ---- */

static struct vl_error *may_not_pause(struct vl_error *err)
{
	return vl_error_hint(err, "allow it with --max-pause=MS,MS, or use --pause=none");
}

/*
 * Copy the held pages in a pause; it is the @tries-th. *@held_ret: there was time for some, or for
 * all if there are none.
 */
static struct vl_error *hold(struct save *s, unsigned int tries, bool *held_ret)
{
	const bool some = s->passes.held.nr;
	const uint64_t left = vl_target_pause_left(s->t);
	struct vl_error *err = vl_target_pause(s->t);
	uint64_t begun;

	*held_ret = false;
	if (err)
		return err;
	/* One that somebody else has paused is not held by us. */
	begun = s->t->pause_ours ? s->t->pause_start : vl_now_ns();
	if (vl_target_registers_paused(s->t))
		take_registers(s, VL_SAVE_REGISTERS_PAUSE);
	/* A quarter is for the stop, and for the guard, which must not end it. */
	err = vl_held_copy(&s->passes, left == UINT64_MAX ? left : begun + left / 4 * 3 / tries);
	*held_ret = !some || s->passes.held.nr;
	return vl_error_first(err, vl_target_resume(s->t));
}

static struct vl_error *hold_some(struct save *s)
{
	struct vl_held_pages *h = &s->passes.held;
	struct vl_error *err = vl_held_prepare(&s->passes);

	for (unsigned int tries = 1; !err; tries++) {
		const size_t nr = h->nr;
		bool held;

		/* No page changes, and the registers are known: no pause is needed. */
		if (!nr && !vl_target_registers_paused(s->t))
			return NULL;
		vl_held_begin(&s->passes, nr);
		err = hold(s, tries, &held);
		/* The process may have taken so long to stop that no time was left. */
		s->r->cut_short = !err && nr && !h->nr;
		if (!err)
			return vl_held_write(&s->passes);
		if (err->code == VL_ERR_SPENT && tries == 1)
			return may_not_pause(err);
		if (err->code != VL_ERR_BLOCKED && err->code != VL_ERR_SPENT)
			return err;
		/*
		 * The guard has ended the pause: try it with fewer pages, and at last with none.
		 * Where none was copied, the host is too busy for a pause: the next one would be
		 * for nothing, too.
		 */
		s->r->cut_short = tries == TRIES || err->code == VL_ERR_SPENT || !held;
		vl_error_destroy(err);
		err = NULL;
		vl_held_begin(&s->passes, s->r->cut_short ? 0 : nr / 2);
		if (s->r->cut_short)
			return NULL;
	}
	return err;
}

/*
 * Mark the pages that change. What has changed during a long copy is too much for a pause: compare
 * again, which takes less time, as long as that makes it less.
 */
static struct vl_error *mark_changes(struct save *s, unsigned int write)
{
	const uint64_t fit = vl_target_pause_left(s->t) / 2 / COPY_NS;
	uint64_t before = UINT64_MAX;
	struct vl_error *err = NULL;

	for (unsigned int i = 0; !err && i < COMPARES; i++) {
		vl_passes_unmark(&s->passes);
		err = vl_pass(&s->passes, write | VL_PASS_COMPARE | VL_PASS_MARK);
		if ((s->passes.nr_marked <= fit && s->passes.nr_marked <= VL_HELD_MAX) ||
		    s->passes.nr_marked > before / 4 * 3)
			break;
		before = s->passes.nr_marked;
	}
	return err;
}

static struct vl_error *save_short(struct save *s)
{
	const bool stream = s->out.is_stream;
	const unsigned int write = stream ? 0 : VL_PASS_WRITE;
	struct vl_error *err;

	/* If nothing changed during the copy, no pause is needed. */
	if (!vl_target_pause_left(s->t))
		return may_not_pause(
			vl_error_new(VL_ERR_SPENT, "the guest may not be paused any longer"));
	err = vl_pass(&s->passes, write);
	if (!err)
		err = mark_changes(s, write);
	/* As late as possible: a frozen process does not answer. */
	if (!err && !vl_target_registers_paused(s->t))
		take_registers(s, VL_SAVE_REGISTERS_BEFORE);
	vl_target_rest(s->t);
	if (!err)
		err = hold_some(s);
	if (!err && stream)
		err = put_head(s, false);
	if (!err && !stream && s->passes.held.all) {
		/* The file has all pages as of the pause. */
		s->r->changed = 0;
		return NULL;
	}
	return err ? err : vl_pass(&s->passes, VL_PASS_COMPARE | (stream ? VL_PASS_WRITE : 0));
}

/* A stream's head is written first, so find the kernel's note before, by a pass over the memory. */
static struct vl_error *look_ahead(struct save *s)
{
	return s->out.is_stream ? vl_pass(&s->passes, 0) : NULL;
}

static struct vl_error *write_all(struct save *s)
{
	struct vl_error *err = s->out.is_stream ? put_head(s, false) : NULL;

	return err ? err : vl_pass(&s->passes, VL_PASS_WRITE);
}

static struct vl_error *save_none(struct save *s)
{
	struct vl_error *err = look_ahead(s);

	if (!err)
		err = write_all(s);
	return err || !s->r->live ? err : vl_pass(&s->passes, VL_PASS_COMPARE);
}

/* The guard has resumed the guest before all was copied. */
static struct vl_error *took_too_long(const struct save *s, uint64_t ns)
{
	const double ms = (double)ns / 1e6;

	return vl_error_hint(
		vl_error_new(VL_ERR_BLOCKED,
			     s->o->limited ? "the guest was held for %.0f ms, which --max-pause "
					     "allows, and runs again before all was copied" :
					     "the guest was held for %.0f ms, which is the limit, "
					     "and runs again before all was copied",
			     ms),
		"allow more with --max-pause=MS,MS%s, or use --pause=short",
		s->out.seeks ? "" : ", write to a file");
}

static struct vl_error *save_whole(struct save *s)
{
	struct vl_pause_budget budget = { .given = true };
	struct vl_error *err = look_ahead(s), *over;
	uint64_t bytes = 0, limit;

	if (!err)
		err = vl_passes_data(&s->passes, &bytes);
	if (err)
		return err;
	/* Uncompressed, a pipe takes the holes, too. */
	if (!s->out.seeks && !s->out.frames)
		bytes = s->r->size;
	budget.longest_ns = s->out.seeks ? WHOLE_LEAST_NS + bytes * WHOLE_NS_PER_BYTE :
					   PIPE_LEAST_NS + bytes * PIPE_NS_PER_BYTE;
	budget.total_ns = budget.longest_ns;
	if (!s->o->limited)
		vl_target_set_budget(s->t, &budget);
	/* The hypervisor's own pause: its monitor answers meanwhile. */
	vl_target_set_pause(s->t, VL_PAUSE_SUSPEND);
	limit = vl_target_pause_left(s->t);
	err = vl_target_pause(s->t);
	if (err && err->code == VL_ERR_BLOCKED) {
		vl_error_destroy(err);
		return took_too_long(s, limit);
	}
	if (err && err->code == VL_ERR_SPENT)
		return may_not_pause(err);
	if (err)
		return err;
	if (vl_target_registers_paused(s->t))
		take_registers(s, VL_SAVE_REGISTERS_PAUSE);
	err = write_all(s);
	over = vl_target_resume(s->t);
	if (!over || over->code != VL_ERR_BLOCKED)
		return vl_error_first(err, over);
	vl_error_destroy(over);
	/* The pass ends when the pause does. */
	if (err && err->code != VL_ERR_BLOCKED)
		return err;
	vl_error_destroy(err);
	return took_too_long(s, limit);
}

/* ---- all of it ---- */

/*
 * Does the data fit into the file system? Pages of zeros take no space, but they must be read to be
 * known.
 */
static struct vl_error *check_room(struct save *s)
{
	const uint64_t room = vl_output_room(&s->out);
	uint64_t need;
	struct vl_error *err;

	if (s->out.is_stream || room == UINT64_MAX)
		return NULL;
	err = vl_passes_data(&s->passes, &need);
	if (err || need + s->head.size <= room)
		return err;
	err = vl_pass(&s->passes, 0);
	need = s->r->used * VL_PAGE_SIZE + s->head.size;
	if (err || need <= room)
		return err;
	return vl_error_hint(vl_error_new(VL_ERR_OS,
					  "no room for %s: it takes %" PRIu64 " MiB, and %" PRIu64
					  " MiB are free",
					  vl_output_name(&s->out), need >> 20, room >> 20),
			     "--zstd makes it smaller; another file system may have more room");
}

/*
 * Registers that were taken before a copy of a guest that stood still are of one point in time with
 * it.
 */
static void look_if_stood(struct save *s)
{
	s->r->stood = s->stands && !s->r->changed && vl_target_is_suspended(s->t);
	vl_target_rest(s->t);
	if (s->r->stood && s->r->registers == VL_SAVE_REGISTERS_BEFORE)
		s->r->registers = VL_SAVE_REGISTERS_PAUSE;
}

static struct vl_error *save(struct save *s)
{
	struct vl_error *err = vl_head_init(&s->head, s->t);

	if (err)
		return err;
	take_registers(s, s->r->live ? VL_SAVE_REGISTERS_BEFORE : VL_SAVE_REGISTERS_COPIED);
	s->stands = vl_target_is_suspended(s->t);
	vl_target_rest(s->t);
	vl_head_fix(&s->head);
	s->passes = (struct vl_passes){
		.head = &s->head,
		.out = &s->out,
		.options = s->o,
		.result = s->r,
	};
	err = vl_passes_init(&s->passes, s->t);
	s->r->pages = s->passes.nr_pages;
	s->r->size = s->head.size + s->r->pages * VL_PAGE_SIZE;
	if (!err)
		err = check_room(s);
	if (err)
		return err;
	if (s->r->pause == VL_SAVE_SHORT)
		err = save_short(s);
	else
		err = s->r->pause == VL_SAVE_NONE ? save_none(s) : save_whole(s);
	/* If the process ended during the read, the data may be stale. */
	if (!err)
		err = vl_target_alive(s->t);
	if (!err)
		look_if_stood(s);
	if (!err && s->out.seeks)
		err = put_head(s, true);
	return err ? err : vl_output_finish(&s->out, s->r->size);
}

/* Ends a write that waits for the reader of a pipe, or for a disk. */
static struct vl_error *go_on(void *ctx)
{
	struct save *s = ctx;

	return vl_passes_go_on(&s->passes);
}

struct vl_error *vl_save(struct vl_target *t, const char *path, const struct vl_save_options *o,
			 struct vl_save_result *ret)
{
	const bool live = vl_target_is_live(t);
	struct save s = { .t = t, .o = o, .r = ret };
	const uint64_t begun = vl_now_ns();
	struct vl_error *err;

	*ret = (struct vl_save_result){
		.live = live,
		.pause = live ? o->pause : VL_SAVE_NONE,
	};
	if (o->begin)
		o->begin(o->ctx);
	err = vl_output_open(path, o->force, o->zstd, &s.out);
	s.out.go_on = go_on;
	s.out.ctx = &s;
	if (!err)
		err = save(&s);
	ret->bytes = s.out.written;
	ret->ns = vl_now_ns() - begun;
	vl_passes_deinit(&s.passes);
	vl_output_close(&s.out);
	vl_head_deinit(&s.head);
	return err;
}
