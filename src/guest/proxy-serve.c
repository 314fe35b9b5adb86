/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proxy-wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../host/file.h"
#include "../kernel/kernel.h"
#include "../trust/store.h"
#include "../host/entry.h"
#include "../host/held.h"
#include "../vmst/quiesce.h"

/* Nesting of pauses: our code has a pause within a pause at most. */
#define MAX_DEPTH 2
#define MAX_PAGES (VL_WINDOW_BACK / VL_PAGE_SIZE)
/* Most tries to find a quiesced point in time for one pause. */
#define MAX_QUIESCE_TRIES 64

static struct vl_error *serve_pause(struct vl_target *t, struct vl_message *m)
{
	const uint64_t *v = m->value;
	const struct vl_quiesce at = {
		.pt = { .root = v[VL_PAUSE_ROOT], .levels = v[VL_PAUSE_LEVELS] == 5 ? 5 : 4 },
		.offsets = v[VL_PAUSE_OFFSETS],
		.preempt = v[VL_PAUSE_PREEMPT],
		.current = v[VL_PAUSE_CURRENT],
		.nr = v[VL_PAUSE_CPUS] <= VL_QUIESCE_CPUS ? (uint32_t)v[VL_PAUSE_CPUS] : 0,
		.pid_at = v[VL_PAUSE_PID_AT],
	};
	uint64_t tries = v[VL_PAUSE_TRIES];
	struct vl_error *err;
	unsigned cpu = 0;

	if (vl_target_pause_depth(t) >= MAX_DEPTH)
		return vl_error_new(VL_ERR_ARG, "the guest is paused already");
	err = tries ? vl_quiesce_pause(t, &at,
				       tries < MAX_QUIESCE_TRIES ? (unsigned)tries :
								   MAX_QUIESCE_TRIES,
				       &cpu) :
		      vl_target_pause(t);
	m->value[0] = cpu;
	return err;
}

/*
 * Answer @m with the array @v, @nr elements of @size bytes, or as many as the window has room for.
 */
static void answer_array(struct vl_message *m, unsigned char *back, const void *v, size_t nr,
			 size_t size)
{
	m->value[0] = nr < VL_WINDOW_BACK / size ? nr : VL_WINDOW_BACK / size;
	memcpy(back, v, m->value[0] * size);
}

static struct vl_error *serve_vcpus(struct vl_target *t, struct vl_message *m, unsigned char *back)
{
	_cleanup_free_ struct vl_vcpu *vcpus = NULL;
	size_t nr;
	struct vl_error *err = vl_target_vcpus(t, &vcpus, &nr);

	if (!err)
		answer_array(m, back, vcpus, nr, sizeof(*vcpus));
	return err;
}

/* Only the guest's memory can be read: the target looks up each address in its RAM map. */
static struct vl_error *serve_read(struct vl_target *t, const struct vl_message *m,
				   unsigned char *back)
{
	if (m->value[1] > VL_WINDOW_BACK)
		return vl_error_new(VL_ERR_ARG, "too much at once");
	return vl_target_read(t, m->value[0], back, m->value[1]);
}

static struct vl_error *serve_pages(struct vl_target *t, const struct vl_message *m,
				    unsigned char *back)
{
	uint64_t gpas[MAX_PAGES];
	void *bufs[MAX_PAGES];
	size_t nr = m->value[0], first = m->value[1];

	if (first > MAX_PAGES || nr > MAX_PAGES - first)
		return vl_error_new(VL_ERR_ARG, "too much at once");
	back += first * VL_PAGE_SIZE;
	memcpy(gpas, back, nr * sizeof(*gpas));
	for (size_t i = 0; i < nr; i++)
		bufs[i] = back + i * VL_PAGE_SIZE;
	return vl_target_read_pages(t, gpas, bufs, nr);
}

static struct vl_error *serve_data(struct vl_target *t, struct vl_message *m)
{
	uint64_t gpa = m->value[0];

	if (!vl_target_next_data(t, gpa, &m->value[0], &m->value[1]))
		return vl_error_fault(gpa, "no data follow");
	return NULL;
}

/* A worker can name only files of this run, and those of kernels whose key it knows. */
static struct vl_error *serve_open(struct vl_target *t, struct vl_box *box, struct vl_message *m)
{
	_cleanup_close_ int fd = -1;
	struct vl_error *err;
	uint64_t print;
	size_t size;

	m->text[sizeof(m->text) - 1] = '\0';
	if (m->value[0] >= VL_NR_KEPT)
		return vl_error_new(VL_ERR_ARG, "not a kept file");
	err = vl_kept_open(t, (enum vl_kept)m->value[0], m->text, &fd, &size);
	if (!err && m->value[0] == VL_KEPT_TRUSTED)
		err = vl_trust_stored_check(m->text, fd, size, &print);
	if (err)
		return err;
	m->value[0] = size;
	return vl_box_pass_file(box, fd);
}

static struct vl_error *serve_store(struct vl_target *t, const struct vl_message *m,
				    const unsigned char *back)
{
	_cleanup_free_ void *data = NULL;
	size_t size = m->value[1];

	if ((m->value[0] != VL_KEPT_ATTACH && m->value[0] != VL_KEPT_REFUSAL) ||
	    size > VL_WINDOW_BACK)
		return vl_error_new(VL_ERR_ARG, "a worker cannot store this");
	data = malloc(size + 1);
	if (!data)
		return vl_error_nomem();
	memcpy(data, back, size);
	return vl_kept_store(t, (enum vl_kept)m->value[0], NULL, data, size);
}

static struct vl_error *serve_turn(struct vl_target *t, struct vl_message *m)
{
	const struct timespec since = { (time_t)m->value[0], (long)m->value[1] };

	m->value[0] = vl_kept_turn(t, &since,
				   m->value[2] < VL_ATTACH_MAX_NS ? m->value[2] : VL_ATTACH_MAX_NS);
	return NULL;
}

static struct vl_error *serve_kernel(struct vl_target *t, struct vl_box *box, struct vl_message *m)
{
	const uint64_t *v = m->value, *p = v + VL_KERNEL_PARTS;
	const uint64_t form = v[VL_KERNEL_FORM] & ~(uint64_t)VL_KERNEL_FEW;
	struct vl_kernel_source src = {
		.pt = { .root = v[VL_KERNEL_ROOT], .levels = v[VL_KERNEL_LEVELS] == 5 ? 5 : 4 },
		.form = form <= VL_KALLSYMS_NONE ? (enum vl_kallsyms_form)form : VL_KALLSYMS_PERCPU,
		.nr = v[VL_KERNEL_NR] <= VL_SYMBOLS_MAX ? (uint32_t)v[VL_KERNEL_NR] : 0,
		.base = v[VL_KERNEL_BASE],
		.few = v[VL_KERNEL_FORM] & VL_KERNEL_FEW,
		.names = { p[0], p[1] },
		.tokens = { p[2], p[3] },
		.offsets = { p[4], p[5] },
		.btf = { p[6], p[7] },
		.text = { p[8], p[9] },
		.bugs = { p[10], p[11] },
	};
	struct vl_deadline deadline =
		vl_deadline_besides(vl_deadline_in(VL_ATTACH_MAX_NS), vl_target_waits(t));
	char key[VL_KEY_MAX + 1];
	_cleanup_close_ int fd = -1;
	struct vl_error *err;
	size_t size;
	bool made;

	snprintf(src.build_id, sizeof(src.build_id), "%.*s", (int)sizeof(src.build_id) - 1,
		 m->text);
	if (v[VL_KERNEL_DEADLINE] < deadline.at_ns)
		deadline.at_ns = v[VL_KERNEL_DEADLINE];
	err = vl_kernel_provide(t, &src, deadline, key, &made, &fd, &size);
	if (err)
		return err;
	memcpy(m->text, key, sizeof(key));
	m->value[0] = size;
	m->value[1] = made;
	return vl_box_pass_file(box, fd);
}

static struct vl_error *serve_held(struct vl_target *t, struct vl_message *m, unsigned char *back)
{
	_cleanup_free_ struct vl_held *held = NULL;
	bool same;
	size_t nr;

	if (!vl_held_read(t, m->value[0], &held, &nr, &same))
		return vl_error_new(VL_ERR_TARGET, "the place of the registers is not known");
	answer_array(m, back, held, nr, sizeof(*held));
	m->value[1] = same;
	return NULL;
}

static struct vl_error *serve_entry(struct vl_target *t, struct vl_message *m, unsigned char *back)
{
	_cleanup_free_ struct vl_entry *entries = NULL;
	size_t nr;
	struct vl_error *err = vl_entry_read(t, &entries, &nr);

	if (!err)
		answer_array(m, back, entries, nr, sizeof(*entries));
	return err;
}

void vl_proxy_serve(struct vl_target *t, struct vl_box *box, enum vl_channel_id id,
		    struct vl_message *m)
{
	unsigned char *back = vl_box_wire(box)->back[id];
	struct vl_error *err;

	/* The filler thread, on the other channel, only reads. */
	if (id != VL_CHANNEL_MAIN && m->op != VL_OP_READ && m->op != VL_OP_PAGES)
		m->op = VL_OP_REPLY;
	switch (m->op) {
	case VL_OP_PAUSE:
		err = serve_pause(t, m);
		break;
	case VL_OP_RESUME:
		err = vl_target_resume(t);
		break;
	case VL_OP_VCPUS:
		err = serve_vcpus(t, m, back);
		break;
	case VL_OP_READ:
		err = serve_read(t, m, back);
		break;
	case VL_OP_PAGES:
		err = serve_pages(t, m, back);
		break;
	case VL_OP_PLACE:
		err = vl_target_place(t, (unsigned int)m->value[0]);
		break;
	case VL_OP_DATA:
		err = serve_data(t, m);
		break;
	case VL_OP_ALIVE:
		err = vl_target_alive(t);
		break;
	case VL_OP_OPEN:
		err = serve_open(t, box, m);
		break;
	case VL_OP_STORE:
		err = serve_store(t, m, back);
		break;
	case VL_OP_TURN:
		err = serve_turn(t, m);
		break;
	case VL_OP_END_TURN:
		vl_kept_end_turn(t);
		err = NULL;
		break;
	case VL_OP_KERNEL:
		err = serve_kernel(t, box, m);
		break;
	case VL_OP_HELD:
		err = serve_held(t, m, back);
		break;
	case VL_OP_HELD_START:
		vl_held_start(t);
		err = NULL;
		break;
	case VL_OP_ENTRY:
		err = serve_entry(t, m, back);
		break;
	default:
		err = vl_error_new(VL_ERR_ARG, "not a request of a worker");
	}
	vl_message_put_error(m, err);
	vl_target_get_account(t, &m->pauses);
}
