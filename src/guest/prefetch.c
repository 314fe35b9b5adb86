/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "prefetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../base/array.h"
#include "../base/number.h"
#include "../syscall/answer.h"

/* Only this many entries of a listing are used. PID_MAX_LIMIT of linux/threads.h is 4 Mi. */
#define PIDS_MAX 65536
#define PID_DIGITS 9
/* The files that a prefetch may open. The guest has 1,024 descriptors (redirect/files.c). */
#define FILES_MAX 128
/* Processes without a prefetch after some that could not be validated, at most. */
#define WAIT_MAX 31

void vl_prefetches_drop(struct vl_prefetches *fl)
{
	for (size_t i = 0; i < ARRAY_SIZE(fl->prefetch); i++)
		fl->prefetch[i].used = false;
}

void vl_prefetches_carry(struct vl_prefetches *fl, uint64_t epoch)
{
	for (size_t i = 0; i < ARRAY_SIZE(fl->prefetch); i++)
		fl->prefetch[i].used &= fl->prefetch[i].validates && fl->epoch + 1 == epoch;
	fl->listing = -1;
	fl->epoch = epoch;
}

void vl_prefetches_close(struct vl_prefetches *fl)
{
	for (size_t i = 0; i < ARRAY_SIZE(fl->prefetch); i++)
		fl->prefetch[i].closed = true;
}

void vl_prefetches_judge(struct vl_prefetches *fl, bool validated)
{
	size_t bases = VL_PREFETCH_BASES - fl->bases_lost;

	bases = validated ? bases + VL_PREFETCH_LEAST : bases / 2;
	if (bases > VL_PREFETCH_BASES)
		bases = VL_PREFETCH_BASES;
	if (bases >= VL_PREFETCH_LEAST) {
		fl->bases_lost = VL_PREFETCH_BASES - bases;
		fl->wait = fl->wait_next = 0;
		return;
	}
	/*
	 * Not after the first failure: its pages were read again, and are of one point in time now.
	 */
	fl->wait = fl->wait_next;
	fl->wait_next = 2 * fl->wait_next + 1;
	if (fl->wait_next > WAIT_MAX)
		fl->wait_next = WAIT_MAX;
}

void vl_prefetches_deinit(struct vl_prefetches *fl)
{
	free(fl->pids);
}

/* Add the entries that are processes. The listing is the guest's and may be hostile. */
static void add_pids(struct vl_prefetches *fl, const char *data, size_t len)
{
	for (size_t at = 0; at < len;) {
		const struct vl_dirent64 *d = (const void *)(data + at);
		size_t digits, room;
		uint32_t pid;

		if (len - at < sizeof(*d) || d->reclen <= sizeof(*d) || d->reclen > len - at)
			return;
		room = d->reclen - sizeof(*d);
		digits = strnlen(d->name, room);
		at += d->reclen;
		if (!digits || digits == room || digits > PID_DIGITS || *d->name == '0' ||
		    strspn(d->name, "0123456789") != digits)
			continue;
		pid = (uint32_t)vl_front_u64(d->name, 10);
		/* A part is listed once more, as the guest changed. The kernel lists in order. */
		while (fl->nr_pids && fl->pids[fl->nr_pids - 1] >= pid)
			fl->nr_pids--;
		if (fl->nr_pids == PIDS_MAX || !vl_grow(fl->pids, fl->max_pids, fl->nr_pids, 256))
			return;
		fl->pids[fl->nr_pids++] = pid;
	}
}

static void begin_list(struct vl_prefetches *fl)
{
	vl_prefetches_drop(fl);
	fl->nr_pids = 0;
	fl->wait = fl->wait_next = 0;
	fl->bases_lost = 0;
	fl->known = fl->in_order = fl->begins = false;
}

void vl_prefetches_opened(struct vl_prefetches *fl, int64_t fd)
{
	fl->listing = fd;
	fl->begins = true;
}

void vl_prefetches_see(struct vl_prefetches *fl, const char *name, const struct vl_arg *args,
		       size_t nr, int64_t ret)
{
	if (!strcmp(name, "openat") && nr == 4 && args[1].buf && args[1].len == sizeof("/proc") &&
	    !memcmp(args[1].buf, "/proc", sizeof("/proc"))) {
		vl_prefetches_opened(fl, ret);
		return;
	}
	if (fl->listing < 0 || !nr || (int64_t)args[0].value != fl->listing)
		return;
	if (!strncmp(name, "close", 5))
		fl->listing = -1;
	else if (!strcmp(name, "lseek") && nr == 3)
		fl->begins = !args[1].value && args[2].value == SEEK_SET;
	if (strcmp(name, "getdents64") != 0 || nr != 3 || !args[1].buf || ret <= 0)
		return;
	if (fl->begins)
		begin_list(fl);
	add_pids(fl, args[1].buf, (size_t)ret < args[1].len ? (size_t)ret : args[1].len);
}

void vl_prefetches_list(struct vl_prefetches *fl, const void *data, size_t len)
{
	begin_list(fl);
	add_pids(fl, data, len);
}

/* The process id in @base; 0: /proc lists no ids of this form, so there is no such process. */
static uint32_t pid_of(const char *base)
{
	const char *digits = base + strlen("/proc/");
	uint64_t n;

	return *digits != '0' && strlen(digits) <= PID_DIGITS &&
			       vl_u64(digits, 10, UINT32_MAX, &n) ?
		       (uint32_t)n :
		       0;
}

void vl_prefetches_turn(struct vl_prefetches *fl, uint64_t epoch, const char *base)
{
	uint32_t pid = pid_of(base);
	size_t next = fl->known ? fl->at + 1 : 0;

	if (fl->epoch != epoch) {
		vl_prefetches_drop(fl);
		fl->listing = -1;
		fl->epoch = epoch;
	}
	if (fl->known && fl->pids[fl->at] == pid)
		return;
	fl->in_order = fl->known && next < fl->nr_pids && fl->pids[next] == pid;
	if (!fl->in_order)
		for (next = 0; next < fl->nr_pids && fl->pids[next] != pid; next++)
			;
	fl->at = next;
	fl->known = next < fl->nr_pids;
	fl->clean = fl->messages <= 1;
	fl->messages = 0;
	fl->wait -= fl->wait > 0;
	for (size_t i = 0; i < ARRAY_SIZE(fl->prefetch); i++) {
		struct vl_prefetch *f = &fl->prefetch[i];

		f->used &= fl->in_order && fl->at < f->from + f->nr_bases;
	}
}

struct vl_prefetch *vl_prefetches_find(struct vl_prefetches *fl, const struct vl_question *q,
				       size_t *i_ret)
{
	for (size_t i = 0; fl->known && i < ARRAY_SIZE(fl->prefetch); i++) {
		struct vl_prefetch *f = &fl->prefetch[i];

		if (!f->used || fl->at < f->from || fl->at >= f->from + f->nr_bases)
			continue;
		for (size_t k = 0; k < f->nr_questions; k++) {
			size_t nr = (fl->at - f->from) * f->nr_questions + k;

			if (nr >= f->nr_answers || f->taken[nr] ||
			    !vl_question_same(&f->questions[k], q))
				continue;
			*i_ret = nr;
			return f;
		}
	}
	return NULL;
}

/* Take as many of @questions into @f as half of a window can answer for one process. */
static void fill(struct vl_prefetch *f, const struct vl_question *questions, size_t nr)
{
	const size_t room = VL_WINDOW_AHEAD - sizeof(struct vl_asked);
	size_t files = 0, most;

	f->nr_questions = f->stride = 0;
	for (size_t i = 0; i < nr && i < VL_AHEAD_MAX; i++) {
		size_t next = vl_answer_next(f->stride, questions[i].len);

		if (next > room / 2)
			break;
		files += vl_question_opens(&questions[i]);
		f->stride = next;
		f->questions[f->nr_questions++] = questions[i];
	}
	most = f->stride ? room / f->stride : 0;
	if (files && most > FILES_MAX / files)
		most = FILES_MAX / files;
	f->nr_bases = most < VL_PREFETCH_BASES ? most : VL_PREFETCH_BASES;
}

struct vl_prefetch *vl_prefetches_plan(struct vl_prefetches *fl,
				       const struct vl_question *questions, size_t nr)
{
	size_t from = fl->at + 1;
	struct vl_prefetch *f = NULL;

	if (!fl->known || !fl->in_order || !fl->clean || fl->wait || !nr)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(fl->prefetch); i++) {
		const struct vl_prefetch *other = &fl->prefetch[i];

		if (!other->used)
			f = &fl->prefetch[i];
		else if (other->from + other->nr_bases > from)
			from = other->from + other->nr_bases;
	}
	if (!f || from >= fl->nr_pids)
		return NULL;
	fill(f, questions, nr);
	if (f->nr_bases > VL_PREFETCH_BASES - fl->bases_lost)
		f->nr_bases = VL_PREFETCH_BASES - fl->bases_lost;
	f->window = (size_t)(f - fl->prefetch);
	f->from = from;
	if (f->nr_bases > fl->nr_pids - from)
		f->nr_bases = fl->nr_pids - from;
	if (!f->nr_bases)
		return NULL;
	f->nr_answers = f->nr_bases * f->nr_questions;
	memset(f->taken, 0, sizeof(f->taken));
	f->used = true;
	f->closed = false;
	return f;
}

void vl_prefetch_end(struct vl_prefetch *f, size_t nr)
{
	if (nr >= f->nr_answers)
		return;
	/* A process that lacks some is asked about alone, with one message, in which are all. */
	f->nr_bases = nr / f->nr_questions;
	f->nr_answers = f->nr_bases * f->nr_questions;
}

void vl_prefetch_write(const struct vl_prefetches *fl, const struct vl_prefetch *f,
		       unsigned char *window)
{
	struct vl_asked *asked = (struct vl_asked *)window;

	for (size_t i = 0; i < f->nr_bases; i++)
		snprintf(asked->bases[i], VL_BASE_MAX, "/proc/%u", fl->pids[f->from + i]);
	memcpy(asked->questions, f->questions, f->nr_questions * sizeof(*f->questions));
}
