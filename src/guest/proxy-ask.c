/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "proxy-wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/array.h"
#include "../host/file.h"
#include "../kernel/kernel.h"
#include "../host/entry.h"
#include "../host/held.h"
#include "../vmst/quiesce.h"

/* A snapshot's filler has its own channel, as it asks while the main thread waits for it. */
static enum vl_channel_id channel(const struct vl_proxy_asker *a)
{
	return pthread_equal(pthread_self(), a->main) ? VL_CHANNEL_MAIN : VL_CHANNEL_PAGES;
}

/* Wait for the answer to what was said. */
static struct vl_error *hear(struct vl_proxy_asker *a, struct vl_message *ret)
{
	enum vl_channel_id id = channel(a);

	if (!vl_wire_hear(a->wire, id, a->link, ret))
		_exit(0);
	if (id == VL_CHANNEL_MAIN)
		vl_target_set_account(a->target, &ret->pauses);
	return vl_message_error(ret);
}

/* An error if pages are visited now: the answer could be that about the next pages. */
static struct vl_error *check_idle(const struct vl_proxy_asker *a)
{
	return a->visits[channel(a)] ?
		       vl_error_new(VL_ERR_ARG, "memory of the guest was asked for while pages "
						"of it are visited") :
		       NULL;
}

static struct vl_error *ask(struct vl_proxy_asker *a, struct vl_message *m)
{
	struct vl_error *err = check_idle(a);

	if (err)
		return err;
	vl_wire_say(a->wire, channel(a), m);
	return hear(a, m);
}

static struct vl_error *proxy_pause(void *ctx)
{
	struct vl_message m = { .op = VL_OP_PAUSE };

	return ask(ctx, &m);
}

static struct vl_error *proxy_quiesce(void *ctx, const struct vl_quiesce *at, unsigned tries,
				      unsigned *cpu_ret)
{
	struct vl_message m = { .op = VL_OP_PAUSE,
				.value = {
					[VL_PAUSE_TRIES] = tries,
					[VL_PAUSE_ROOT] = at->pt.root,
					[VL_PAUSE_LEVELS] = (uint64_t)at->pt.levels,
					[VL_PAUSE_OFFSETS] = at->offsets,
					[VL_PAUSE_PREEMPT] = at->preempt,
					[VL_PAUSE_CURRENT] = at->current,
					[VL_PAUSE_CPUS] = at->nr,
					[VL_PAUSE_PID_AT] = at->pid_at,
				} };
	struct vl_error *err = ask(ctx, &m);

	*cpu_ret = (unsigned)m.value[0];
	return err;
}

static struct vl_error *proxy_resume(void *ctx)
{
	struct vl_message m = { .op = VL_OP_RESUME };

	return ask(ctx, &m);
}

/* Ask @m, whose answer is an array: elements of @size bytes. *@ret is malloc'ed. */
static struct vl_error *ask_array(struct vl_proxy_asker *a, struct vl_message *m, size_t size,
				  void **ret, size_t *nr_ret)
{
	struct vl_error *err = ask(a, m);

	if (err)
		return err;
	*nr_ret = m->value[0];
	*ret = calloc(*nr_ret + 1, size);
	if (!*ret)
		return vl_error_nomem();
	memcpy(*ret, a->wire->back[channel(a)], *nr_ret * size);
	return NULL;
}

static struct vl_error *proxy_vcpus(void *ctx, struct vl_vcpu **ret, size_t *nr_ret)
{
	struct vl_message m = { .op = VL_OP_VCPUS };
	void *all = NULL;
	struct vl_error *err = ask_array(ctx, &m, sizeof(**ret), &all, nr_ret);

	*ret = all;
	return err;
}

static struct vl_error *proxy_place(void *ctx, unsigned int i)
{
	struct vl_message m = { .op = VL_OP_PLACE, .value = { i } };

	return ask(ctx, &m);
}

static bool proxy_next_data(void *ctx, uint64_t gpa, uint64_t *start_ret, uint64_t *end_ret)
{
	struct vl_message m = { .op = VL_OP_DATA, .value = { gpa } };

	if (vl_discard(ask(ctx, &m)))
		return false;
	*start_ret = m.value[0];
	*end_ret = m.value[1];
	return true;
}

static struct vl_error *proxy_read(void *ctx, uint64_t gpa, void *buf, size_t len)
{
	struct vl_proxy_asker *a = ctx;
	char *out = buf;

	while (len) {
		size_t n = len < VL_WINDOW_BACK ? len : VL_WINDOW_BACK;
		struct vl_message m = { .op = VL_OP_READ, .value = { gpa, n } };
		struct vl_error *err = ask(a, &m);

		if (err)
			return err;
		memcpy(out, a->wire->back[channel(a)], n);
		out += n;
		gpa += n;
		len -= n;
	}
	return NULL;
}

/* Half of a window is read while the other one is looked at. */
#define HALF (VL_WINDOW_BACK / VL_PAGE_SIZE / 2)

/* Ask for @nr pages in half @half of the window. */
static void ask_half(struct vl_proxy_asker *a, size_t half, const uint64_t *gpas, size_t nr)
{
	struct vl_message m = { .op = VL_OP_PAGES, .value = { nr, half * HALF } };
	enum vl_channel_id id = channel(a);

	memcpy(a->wire->back[id] + half * HALF * VL_PAGE_SIZE, gpas, nr * sizeof(*gpas));
	vl_wire_say(a->wire, id, &m);
}

static struct vl_error *proxy_visit_pages(void *ctx, const uint64_t *gpas, size_t nr,
					  vl_page_visit_fn *fn, void *fn_ctx)
{
	struct vl_proxy_asker *a = ctx;
	enum vl_channel_id id = channel(a);
	const unsigned char *back = a->wire->back[id];
	size_t half = 0, n = nr < HALF ? nr : HALF;
	struct vl_error *err = check_idle(a);

	if (err)
		return err;
	if (nr)
		ask_half(a, half, gpas, n);
	for (size_t done = 0; done < nr; half = !half) {
		const unsigned char *pages = back + half * HALF * VL_PAGE_SIZE;
		size_t next = done + n, next_nr = nr - next < HALF ? nr - next : HALF;
		struct vl_message m;

		err = hear(a, &m);
		if (err)
			return err;
		if (next_nr)
			ask_half(a, !half, gpas + next, next_nr);
		a->visits[id] = true;
		for (size_t i = 0; i < n; i++)
			fn(fn_ctx, done + i, pages + i * VL_PAGE_SIZE);
		a->visits[id] = false;
		done = next;
		n = next_nr;
	}
	return NULL;
}

static struct vl_error *proxy_alive(void *ctx)
{
	struct vl_message m = { .op = VL_OP_ALIVE };

	return ask(ctx, &m);
}

/* The broker opens the file and passes it on. */
static struct vl_error *proxy_kept_open(void *ctx, enum vl_kept kind, const char *key, int *fd_ret,
					size_t *size_ret)
{
	struct vl_message m = { .op = VL_OP_OPEN, .value = { kind } };
	struct vl_proxy_asker *a = ctx;
	struct vl_error *err;

	snprintf(m.text, sizeof(m.text), "%s", key ? key : "");
	err = ask(a, &m);
	if (err)
		return err;
	*fd_ret = vl_box_take_file(a->link);
	*size_ret = m.value[0];
	return *fd_ret < 0 ? vl_error_os(errno, "the broker sent no file") : NULL;
}

static struct vl_error *proxy_kept_store(void *ctx, enum vl_kept kind, const void *data,
					 size_t size)
{
	struct vl_message m = { .op = VL_OP_STORE, .value = { kind, size } };
	struct vl_proxy_asker *a = ctx;

	if (size > VL_WINDOW_BACK)
		return vl_error_new(VL_ERR_ARG, "too much at once");
	memcpy(a->wire->back[channel(a)], data, size);
	return ask(a, &m);
}

static bool proxy_turn(void *ctx, const struct timespec *since, uint64_t wait_ns)
{
	struct vl_message m = {
		.op = VL_OP_TURN,
		.value = { (uint64_t)since->tv_sec, (uint64_t)since->tv_nsec, wait_ns },
	};

	return !vl_discard(ask(ctx, &m)) && m.value[0];
}

static void proxy_end_turn(void *ctx)
{
	struct vl_message m = { .op = VL_OP_END_TURN };

	vl_error_destroy(ask(ctx, &m));
}

static struct vl_error *proxy_kernel(void *ctx, const struct vl_kernel_source *src,
				     struct vl_deadline deadline, char key_ret[VL_KEY_MAX + 1],
				     bool *made_ret, int *fd_ret, size_t *size_ret)
{
	const struct vl_kernel_part *const parts[] = { &src->names, &src->tokens, &src->offsets,
						       &src->btf,   &src->text,	  &src->bugs };
	struct vl_message m = { .op = VL_OP_KERNEL,
				.value = {
					[VL_KERNEL_ROOT] = src->pt.root,
					[VL_KERNEL_LEVELS] = (uint64_t)src->pt.levels,
					[VL_KERNEL_FORM] =
						src->form | (src->few ? VL_KERNEL_FEW : 0),
					[VL_KERNEL_NR] = src->nr,
					[VL_KERNEL_BASE] = src->base,
					[VL_KERNEL_DEADLINE] = vl_deadline_at(deadline),
				} };
	struct vl_proxy_asker *a = ctx;
	/* The broker has a deadline for this, which does not count its waits for the file. */
	struct vl_waits *w = vl_target_is_live(a->target) ? NULL : &a->wire->waits;
	struct vl_error *err;
	uint64_t begun;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		m.value[VL_KERNEL_PARTS + 2 * i] = parts[i]->va;
		m.value[VL_KERNEL_PARTS + 2 * i + 1] = parts[i]->len;
	}
	snprintf(m.text, sizeof(m.text), "%s", src->build_id);
	begun = vl_wait_begin(w);
	err = ask(a, &m);
	vl_wait_end(w, begun);
	if (err)
		return err;
	snprintf(key_ret, VL_KEY_MAX + 1, "%.*s", VL_KEY_MAX, m.text);
	*size_ret = m.value[0];
	*made_ret = m.value[1];
	*fd_ret = vl_box_take_file(a->link);
	return *fd_ret < 0 ? vl_error_os(errno, "the broker sent no file") : NULL;
}

static bool proxy_held(void *ctx, bool anew, struct vl_held **ret, size_t *nr_ret, bool *same_ret)
{
	struct vl_message m = { .op = VL_OP_HELD, .value = { anew } };
	void *all = NULL;
	bool failed = vl_discard(ask_array(ctx, &m, sizeof(**ret), &all, nr_ret));

	*ret = all;
	*same_ret = m.value[1];
	return !failed;
}

static void proxy_held_start(void *ctx)
{
	struct vl_message m = { .op = VL_OP_HELD_START };

	vl_error_destroy(ask(ctx, &m));
}

static struct vl_error *proxy_entry(void *ctx, struct vl_entry **ret, size_t *nr_ret)
{
	struct vl_message m = { .op = VL_OP_ENTRY };
	void *all = NULL;
	struct vl_error *err = ask_array(ctx, &m, sizeof(**ret), &all, nr_ret);

	*ret = all;
	return err;
}

/* --- before the box --- */

struct keeping {
	struct vl_box_fds *keep;
	bool full;
};

static void keep_one(void *ctx, int fd)
{
	struct keeping *k = ctx;

	k->full |= !vl_box_keep(k->keep, fd);
}

struct vl_error *vl_proxy_prepare(struct vl_proxy_asker *a, struct vl_target *t,
				  struct vl_box_fds *keep)
{
	struct keeping k = { .keep = keep };

	a->target = t;
	a->main = pthread_self();
	a->proxy = (struct vl_target_proxy){
		.ctx = a,
		.pause = proxy_pause,
		.resume = proxy_resume,
		.quiesce = proxy_quiesce,
		.vcpus = proxy_vcpus,
		.read = proxy_read,
		.visit_pages = proxy_visit_pages,
		.place = proxy_place,
		.next_data = proxy_next_data,
		.alive = proxy_alive,
		.kept_open = proxy_kept_open,
		.kept_store = proxy_kept_store,
		.turn = proxy_turn,
		.end_turn = proxy_end_turn,
		.kernel = proxy_kernel,
		.held = proxy_held,
		.held_start = proxy_held_start,
		.entry = proxy_entry,
		.uffd = -1,
		.signaller = -1,
		.machine = { .kvm = -1 },
	};
	vl_target_use_proxy(t, &a->proxy, keep_one, &k);
	return k.full ? vl_error_new(VL_ERR_OS, "too many files back the guest's memory") : NULL;
}

void vl_proxy_connect(struct vl_proxy_asker *a, struct vl_wire *wire, int link)
{
	a->main = pthread_self();
	a->wire = wire;
	vl_target_share_waits(a->target, &wire->waits);
	a->link = link;
}
