/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The broker's questions about files: one at a time, or with others ahead (ahead.h). */
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* Bytes of the longest answer. */
#define ANSWER_MAX (VL_WINDOW_MAIN / 2)

/* Ask @q about @base and, with @ahead, the questions that are likely to follow. */
static struct vl_error *ask_worker(struct vl_guest *g, const char *base,
				   const struct vl_question *q, bool ahead, struct vl_answer *ret,
				   void *buf)
{
	unsigned char *window = vl_box_wire(g->box)->window;
	struct vl_asked *asked = (struct vl_asked *)window;
	struct vl_question plan[VL_AHEAD_MAX] = { *q };
	struct vl_message m = { .op = VL_OP_ASK };
	size_t nr = 1, at = sizeof(*asked);
	bool validate = ahead && !g->sys.steady;
	struct vl_error *err;
	uint64_t start;

	err = vl_broker_end_prefetch(g, true);
	if (err)
		return err;
	if (ahead)
		nr = vl_ahead_plan(g->ahead, q, VL_WINDOW_MAIN - at, plan);
	m.value[VL_ASK_NR] = nr;
	m.value[VL_ASK_VALIDATE] = validate;
	strcpy(asked->base, base);
	memcpy(asked->questions, plan, nr * sizeof(*plan));
	start = vl_broker_work_ns(g);
	err = vl_broker_ask(g, &m, 2 * VL_CALL_NS);
	if (validate && nr > 1)
		vl_ahead_judge(g->ahead, err || !m.value[VL_ASK_VALIDATE]);
	if (err)
		return err;
	g->unvalidated = !validate;
	if (!m.value[0])
		return vl_broker_lied(g);
	if (m.value[0] < nr)
		vl_broker_cut(g, start);
	if (validate && !m.value[VL_ASK_VALIDATE])
		nr = 1;
	for (size_t i = 0; i < nr && i < m.value[0]; i++) {
		struct vl_answer a;

		memcpy(&a, window + at, sizeof(a));
		if (i) {
			vl_ahead_put(g->ahead, &plan[i], &a, window + at + sizeof(a));
		} else {
			*ret = a;
			memcpy(buf, window + at + sizeof(a), vl_answer_size(q, &a));
		}
		at = vl_answer_next(at, plan[i].len);
	}
	/* One of them made the epoch end. An epoch of questions ends for other reasons, too. */
	if (ahead && m.value[0] < nr && g->sys.steady && g->sys.brief)
		vl_ahead_cut(g->ahead);
	return NULL;
}

/* Take answer @i to prefetch @f; false: it has ended without. */
static struct vl_error *take_prefetched(struct vl_guest *g, struct vl_prefetch *f, size_t i,
					const struct vl_question *q, struct vl_answer *ret,
					void *buf, bool *taken_ret)
{
	const unsigned char *at;
	struct vl_error *err;

	*taken_ret = false;
	if (f == g->prefetch) {
		err = f->validates ? vl_broker_end_prefetch(g, false) : vl_broker_answer(g, i);
		if (err)
			return err;
	}
	if (i >= f->nr_answers)
		return NULL;
	at = vl_box_wire(g->box)->ahead[f->window] + vl_prefetch_answer(f, i);
	memcpy(ret, at, sizeof(*ret));
	/* The file is closed by now, but has to be read on. */
	if ((f->closed || f->epoch != g->sys.epoch) && vl_answer_needs_file(q, ret))
		return NULL;
	memcpy(buf, at + sizeof(*ret), vl_answer_size(q, ret));
	f->taken[i] = *taken_ret = true;
	vl_ahead_prefetched(g->ahead, q);
	return NULL;
}

/* Send the next prefetch, if the worker has nothing to do. */
static struct vl_error *prefetch(struct vl_guest *g)
{
	struct vl_question questions[VL_AHEAD_MAX];
	struct vl_prefetch *f;
	struct vl_error *err;
	size_t nr;

	if (g->prefetch && !vl_box_waits(g->box))
		return NULL;
	err = vl_broker_end_prefetch(g, false);
	/* What was asked before must be validated by itself. */
	if (err || !g->sys.open || g->sys.brief || (!g->sys.steady && g->unvalidated))
		return err;
	nr = vl_ahead_questions(g->ahead, questions);
	f = vl_prefetches_plan(&g->prefetches, questions, nr);
	if (f)
		vl_broker_prefetch(g, f);
	return NULL;
}

/* @q about the process @base, in a steady epoch. */
static struct vl_error *ask_of(struct vl_guest *g, const char *base, const struct vl_question *q,
			       struct vl_answer *ret, void *buf)
{
	struct vl_error *err = NULL;
	struct vl_prefetch *f;
	bool taken;
	size_t i;

	g->unvalidated = true;
	vl_prefetches_turn(&g->prefetches, g->sys.epoch, base);
	taken = vl_ahead_take(g->ahead, g->sys.epoch, base, q, ret, buf);
	f = taken ? NULL : vl_prefetches_find(&g->prefetches, q, &i);
	if (f)
		err = take_prefetched(g, f, i, q, ret, buf, &taken);
	if (!err && !taken)
		err = ask_worker(g, base, q, true, ret, buf);
	return err ? err : prefetch(g);
}

void vl_ask_seen(struct vl_guest *g, const char *name, const struct vl_arg *args, size_t nr,
		 int64_t ret)
{
	if (g->ahead)
		vl_prefetches_see(&g->prefetches, name, args, nr, ret);
}

void vl_ask_otherwise(struct vl_guest *g)
{
	if (!g->ahead || g->sys.steady)
		return;
	vl_ahead_expire(g->ahead);
	vl_prefetches_drop(&g->prefetches);
}

/* The same in an epoch that is not: what is answered ahead was validated with what was asked. */
static struct vl_error *ask_unsteady(struct vl_guest *g, const char *base,
				     const struct vl_question *q, struct vl_answer *ret, void *buf)
{
	struct vl_error *err = NULL;
	struct vl_prefetch *f;
	bool taken;
	size_t i;

	vl_prefetches_turn(&g->prefetches, g->sys.epoch, base);
	taken = vl_ahead_take(g->ahead, g->sys.epoch, base, q, ret, buf);
	f = taken ? NULL : vl_prefetches_find(&g->prefetches, q, &i);
	if (f && vl_broker_work_ns(g) - f->ns < VL_EPOCH_MAX_AGE_NS)
		err = take_prefetched(g, f, i, q, ret, buf, &taken);
	g->gone.answers.validated += taken;
	if (!err && !taken) {
		vl_ask_otherwise(g);
		g->unvalidated = true;
		err = ask_worker(g, base, q, true, ret, buf);
	}
	return err ? err : prefetch(g);
}

/* Ask @q about the file at @path. The caller has filled in all of @q but the leaf. */
static struct vl_error *ask(struct vl_guest *g, const char *path, struct vl_question *q,
			    struct vl_answer *ret, void *buf)
{
	char base[VL_BASE_MAX];

	if (strlen(path) >= PATH_MAX)
		return NULL;
	g->sys.missed = 0;
	if (g->ahead && vl_ahead_split(path, base, q))
		return g->sys.steady ? ask_of(g, base, q, ret, buf) :
				       ask_unsteady(g, base, q, ret, buf);
	vl_ask_otherwise(g);
	g->unvalidated = true;
	return ask_worker(g, path, q, false, ret, buf);
}

/* If the call can be asked ahead, fill @ret, and @path and @buf from its arguments. */
static bool is_question(const char *name, const struct vl_arg *args, size_t nr,
			struct vl_question *ret, const char **path, void **buf)
{
	const struct vl_arg *a = args;

	if (!strcmp(name, "newfstatat") && nr == 4 && (int)a->value == AT_FDCWD)
		*ret = (struct vl_question){ .what = VL_ASKS_STAT, .flags = (int)a[3].value };
	else if (!strcmp(name, "readlinkat") && nr == 4 && (int)a->value == AT_FDCWD)
		*ret = (struct vl_question){ .what = VL_ASKS_LINK };
	else if (strcmp(name, "readlink") != 0 || nr != 3)
		return false;
	else
		*ret = (struct vl_question){ .what = VL_ASKS_LINK };
	a += nr == 4;
	*path = a[0].buf;
	*buf = a[1].buf;
	ret->len = (uint32_t)a[1].len;
	return a[0].kind == VL_IN && a[1].kind == VL_OUT && a[0].buf && a[1].buf &&
	       a[1].len <= ANSWER_MAX;
}

bool vl_ask_call(struct vl_guest *g, const char *name, const struct vl_arg *args, size_t nr,
		 int64_t *ret, struct vl_error **err_ret)
{
	struct vl_answer a = { -ENAMETOOLONG, 0 };
	struct vl_question q;
	const char *path;
	void *buf;

	/* It closes files that were opened ahead, too. */
	if (g->ahead && !strcmp(name, "close_range")) {
		vl_ahead_close(g->ahead);
		vl_prefetches_close(&g->prefetches);
	}
	if (!is_question(name, args, nr, &q, &path, &buf))
		return false;
	*err_ret = ask(g, path, &q, &a, buf);
	*ret = a.ret;
	return true;
}

struct vl_error *vl_ask_file(struct vl_guest *g, const char *path, int flags, enum vl_reads reads,
			     void *buf, size_t len, int64_t *fd_ret, int64_t *n_ret)
{
	struct vl_question q = { .what = reads, .flags = flags, .len = (uint32_t)len };
	struct vl_answer a = { -ENAMETOOLONG, -EBADF };
	const size_t head = sizeof(struct stat);
	struct vl_error *err;
	size_t got;

	if (len > ANSWER_MAX)
		return vl_error_new(VL_ERR_ARG, "a read of more than %zu bytes",
				    (size_t)ANSWER_MAX);
	err = ask(g, path, &q, &a, buf);
	*fd_ret = a.ret;
	*n_ret = a.n;
	got = err ? 0 : vl_answer_size(&q, &a);
	if (err || reads != VL_READS_LIST || strcmp(path, "/proc") != 0)
		return err;
	if (got >= head)
		vl_prefetches_list(&g->prefetches, (char *)buf + head, got - head);
	else
		vl_prefetches_opened(&g->prefetches, a.ret);
	return err;
}
