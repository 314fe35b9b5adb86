/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The messages between a broker and its worker. A broker survives all that a worker sends. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "box/box.h"
#include "host/internal.h"
#undef VL_PAGE_SIZE
#include "guest/internal.h"
#include "guest/proxy-wire.h"
#include "tap.h"

#define SECOND 1000000000UL

static struct vl_box *box_of(void (*fn)(void *ctx, struct vl_wire *wire, int link))
{
	struct vl_box_options o = {
		.name = "vlens-test",
		.does = "is tested",
		.memory = 1UL << 30,
		.work = fn,
	};
	struct vl_box *b;

	return vl_discard(vl_box_start(&o, &b)) ? NULL : b;
}

/* --- a worker that does not behave --- */

static void silent(void *ctx, struct vl_wire *wire, int link)
{
	struct vl_message m;

	(void)ctx;
	vl_wire_hear(wire, VL_CHANNEL_MAIN, link, &m);
	for (;;)
		pause();
}

static void leaves(void *ctx, struct vl_wire *wire, int link)
{
	struct vl_message m;

	(void)ctx;
	vl_wire_hear(wire, VL_CHANNEL_MAIN, link, &m);
}

static void crashes(void *ctx, struct vl_wire *wire, int link)
{
	struct vl_message m;

	(void)ctx;
	vl_wire_hear(wire, VL_CHANNEL_MAIN, link, &m);
	__builtin_trap();
}

/* Sends requests for ever, instead of an answer. */
static void babbles(void *ctx, struct vl_wire *wire, int link)
{
	struct vl_message m;
	unsigned op = 0;

	(void)ctx;
	vl_wire_hear(wire, VL_CHANNEL_MAIN, link, &m);
	for (;;) {
		memset(&m, 0xff, sizeof(m));
		m.op = op++ | 1;
		vl_wire_say(wire, VL_CHANNEL_MAIN, &m);
		vl_wire_say(wire, VL_CHANNEL_PAGES, &m);
		wire->bell = 0xffffffff;
	}
}

/* Replies with a wrong length, code and text. */
static void lies(void *ctx, struct vl_wire *wire, int link)
{
	struct vl_message m;

	(void)ctx;
	while (vl_wire_hear(wire, VL_CHANNEL_MAIN, link, &m)) {
		memset(&m, 0xff, sizeof(m));
		memset(m.text, '\033', sizeof(m.text));
		m.op = VL_OP_REPLY;
		vl_wire_say(wire, VL_CHANNEL_MAIN, &m);
	}
}

static unsigned served;

static bool count(void *ctx, enum vl_channel_id id, struct vl_message *m)
{
	(void)ctx, (void)id, (void)m;
	served++;
	return true;
}

static void test_manners(void)
{
	static const struct {
		const char *name;
		void (*fn)(void *ctx, struct vl_wire *wire, int link);
	} rude[] = {
		{ "says nothing", silent },
		{ "ends", leaves },
		{ "crashes", crashes },
		{ "asks for ever", babbles },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rude); i++) {
		struct vl_box *b = box_of(rude[i].fn);
		struct vl_message m = { .op = 1 };
		struct vl_error *err = b ? vl_box_ask(b, &m, SECOND / 2, count, NULL) : NULL;

		ok(err && err->code == VL_ERR_CRASHED && err->hint, "a worker that %s: %s",
		   rude[i].name, err ? err->message : "no error");
		vl_error_destroy(err);
		vl_box_stop(b);
	}
	ok(served, "what it asks is served until then");
}

/* Asks requests 2, 2, 3 and 2, and replies with the sum of the answers. */
static void asks(void *ctx, struct vl_wire *wire, int link)
{
	static const uint32_t ops[] = { 2, 2, 3, 2 };
	struct vl_message m, q;

	(void)ctx;
	while (vl_wire_hear(wire, VL_CHANNEL_MAIN, link, &m)) {
		m.value[0] = 0;
		for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
			q = (struct vl_message){ .op = ops[i] };
			vl_wire_say(wire, VL_CHANNEL_MAIN, &q);
			if (!vl_wire_hear(wire, VL_CHANNEL_MAIN, link, &q))
				return;
			m.value[0] += q.value[0];
		}
		m.op = VL_OP_REPLY;
		vl_wire_say(wire, VL_CHANNEL_MAIN, &m);
	}
}

struct servings {
	pthread_t main;
	unsigned here, apart; /* requests, by the thread that serves them */
};

static bool answer_all(void *ctx, enum vl_channel_id id, struct vl_message *m)
{
	struct servings *s = ctx;
	bool here = pthread_equal(pthread_self(), s->main);

	(void)id;
	m->value[0] = m->op;
	s->here += here;
	s->apart += !here;
	return true;
}

static bool answer_twos(void *ctx, enum vl_channel_id id, struct vl_message *m)
{
	return m->op == 2 && answer_all(ctx, id, m);
}

static void test_apart(void)
{
	struct servings s = { .main = pthread_self() };
	struct vl_box *b = box_of(asks);
	struct vl_message m = { .op = 1 };
	cpu_set_t cpus;
	pid_t worker;

	if (!ok(b && !sched_getaffinity(0, sizeof(cpus), &cpus), "a worker that asks"))
		return;
	vl_box_follow(b);
	if (CPU_COUNT(&cpus) < 2) {
		ok(!vl_box_tell_apart(b, &m, 20 * SECOND, answer_twos, &s), "there is one CPU");
		vl_box_stop(b);
		return;
	}
	for (unsigned i = 1; i <= 2; i++) {
		ok(vl_box_tell_apart(b, &m, 20 * SECOND, answer_twos, &s) &&
			   !vl_box_reply(b, &m, 20 * SECOND, answer_all, &s) && m.value[0] == 9,
		   "a thread serves it, and leaves the rest");
		ok(s.apart == 2 * i && s.here == 2 * i, "%u served apart, %u here", s.apart,
		   s.here);
		vl_box_follow(b);
	}
	ok(vl_box_tell_apart(b, &m, 20 * SECOND, answer_all, &s), "or all of it");
	worker = vl_box_pid(b);
	vl_box_stop(b);
	ok(kill(worker, 0) && errno == ESRCH, "a box with a thread ends");

	b = box_of(silent);
	if (!ok(b, "a worker that says nothing"))
		return;
	vl_box_follow(b);
	ok(vl_box_tell_apart(b, &m, SECOND / 20, answer_all, &s) &&
		   vl_discard(vl_box_reply(b, &m, 20 * SECOND, answer_all, &s)) && vl_box_late(b),
	   "its time is over in the thread, too");
	vl_box_stop(b);
}

static void test_sleep(void)
{
	_Atomic uint32_t word = 1, sleeps = 0;

	vl_wire_sleep(&word, &sleeps, 0, 20 * SECOND);
	ok(!sleeps, "a word that has changed: nobody has to be woken");
	vl_wire_sleep(&word, &sleeps, 1, 1);
	ok(sleeps, "one that has not: who sleeps has to be");
}

static void test_lies(void)
{
	struct vl_box *b = box_of(lies);
	struct vl_message m = { .op = 1 };
	struct vl_error *err;

	if (!ok(b && !vl_box_ask(b, &m, 5 * SECOND, NULL, NULL), "a worker that lies"))
		return;
	err = vl_message_error(&m);
	ok(err && err->code == VL_ERR_CRASHED, "a code that is none");
	ok(err && strlen(err->message) < VL_WIRE_TEXT && !strchr(err->message, '\033'),
	   "a text without an end, for a terminal");
	vl_error_destroy(err);
	vl_box_stop(b);
}

static void test_errors(void)
{
	struct vl_message m = { .op = 1 };
	struct vl_error *err;

	vl_message_put_error(&m, vl_error_hint(vl_error_fault(0x1234, "not here"), "look there"));
	err = vl_message_error(&m);
	ok(err && err->code == VL_ERR_FAULT && err->address == 0x1234 &&
		   !strncmp(err->message, "not here", 8) && !strcmp(err->hint, "look there"),
	   "an error is what it was");
	vl_error_destroy(err);
	m.code = VL_NR_ERR;
	strcpy(m.text, "a\x7fz\n~ ");
	err = vl_message_error(&m);
	ok(err && err->code == VL_ERR_CRASHED && !strcmp(err->message, "a?z?~ "),
	   "the first code that is none; only control characters are replaced");
	vl_error_destroy(err);
	m.code = VL_ERR_NOMEM;
	ok(vl_message_error(&m) == vl_error_nomem(), "no memory");
	vl_message_put_error(&m, NULL);
	ok(!vl_message_error(&m), "no error");
}

/* --- the wire itself --- */

#define LATE_NS 450000000L /* more than two waits of vl_wire_hear() */

static void *speak_late(void *wire)
{
	const struct timespec ts = { .tv_nsec = LATE_NS };
	struct vl_channel *c = &((struct vl_wire *)wire)->channel[VL_CHANNEL_MAIN];

	nanosleep(&ts, NULL);
	c->message = (struct vl_message){ .op = 7 };
	atomic_store(&c->turn, 1);
	return NULL;
}

static void test_wire(void)
{
	int fd = -1, pair[2];
	struct vl_wire *w = vl_wire_create_file(&fd), *again = w ? vl_wire_map(fd) : NULL;
	struct vl_message m = { .op = 1 };
	pthread_t thread;

	if (!ok(w && again && fd >= 0 && ftruncate(fd, 0) && errno == EPERM,
		"a wire in a file that cannot be cut short") ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, pair) ||
	    pthread_create(&thread, NULL, speak_late, w))
		return;
	ok(vl_wire_hear(again, VL_CHANNEL_MAIN, pair[0], &m) && m.op == 7,
	   "a message that is long in coming, in another mapping of the file");
	pthread_join(thread, NULL);
	vl_wire_say(w, VL_CHANNEL_MAIN, &m);
	close(pair[1]);
	ok(!vl_wire_hear(w, VL_CHANNEL_MAIN, pair[0], &m), "the other side has ended");
	close(pair[0]);
	close(fd);
	vl_wire_destroy(w);
	vl_wire_destroy(again);
}

/* --- arguments --- */

/* What just fits into @window, which is zeroed at the end. */
static void test_limits(unsigned char *window)
{
	char *all = calloc(1, VL_WINDOW_MAIN);
	char one[] = "one", beside[] = "beside";
	const struct vl_arg whole[] = { VL_ARG_OUT(all, VL_WINDOW_MAIN), VL_ARG_OUT(one, 0) };
	const struct vl_arg none[] = { VL_ARG_IN(NULL, 4), VL_ARG_OUT(NULL, 4) };
	struct vl_arg many[VL_WIRE_ARGS + 1], got[VL_WIRE_ARGS];
	struct vl_message m = { .op = 1 };

	m.args[2].value = 99;
	got[2].value = 99;
	ok(all && vl_message_put_args(&m, window, whole, 2) && m.args[2].value == 99 &&
		   vl_message_args(&m, window, got) && got[0].len == VL_WINDOW_MAIN &&
		   got[1].buf == window + VL_WINDOW_MAIN && !got[1].len && got[2].value == 99,
	   "the whole window, and no byte behind it");
	ok(vl_message_put_args(&m, window, none, 2) && vl_message_args(&m, window, got) &&
		   !got[0].buf && !got[1].buf,
	   "no buffer");
	memset(window, 'x', 32);
	vl_message_pull_args(window, "ioctl", none, 2, 0);
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i] = i == 1 || i == VL_WIRE_ARGS ? VL_ARG_OUT(beside, 1) : VL_ARG_OUT(one, 1);
	ok(vl_message_put_args(&m, window, many, VL_WIRE_ARGS) &&
		   vl_message_args(&m, window, got) &&
		   !vl_message_put_args(&m, window, many, VL_WIRE_ARGS + 1),
	   "as many arguments as there may be, and one more");
	vl_message_pull_args(window, "ioctl", many, 1, 0);
	ok(*one == 'x' && *beside == 'b', "no more of them come back than there are");
	many[1] = many[0];
	vl_message_pull_args(window, "ioctl", many, VL_WIRE_ARGS + 1, 0);
	ok(*beside == 'b', "nor more than there may be");
	memset(window, 0, 32);
	free(all);
}

static void test_args(void)
{
	unsigned char *window = calloc(1, VL_WINDOW_MAIN);
	char in[] = "abc", out[8] = "", both[4] = "xy";
	const struct vl_arg args[] = { VL_ARG_INT(7), VL_ARG_IN(in, sizeof(in)),
				       VL_ARG_OUT(out, sizeof(out)),
				       VL_ARG_INOUT(both, sizeof(both)) };
	const struct vl_arg big[] = { VL_ARG_OUT(out, VL_WINDOW_MAIN + 1) };
	const struct vl_arg endless[] = { VL_ARG_OUT(out, 16), VL_ARG_OUT(out, UINT64_MAX - 8) };
	struct vl_arg got[VL_WIRE_ARGS];
	struct vl_message m = { .op = 1 };

	if (!ok(window && vl_message_put_args(&m, window, args, 4), "arguments are put"))
		return;
	ok(vl_message_args(&m, window, got) && got[0].value == 7 && !strcmp(got[1].buf, "abc") &&
		   !strcmp(got[3].buf, "xy"),
	   "and are what they were");
	strcpy(got[2].buf, "result");
	strcpy(got[3].buf, "z");
	strcpy(got[1].buf, "no");
	vl_message_pull_args(window, "ioctl", args, 4, 0);
	ok(!strcmp(out, "result") && !strcmp(both, "z") && !strcmp(in, "abc"),
	   "what was put out comes back, and nothing else");
	ok(!vl_message_put_args(&m, window, big, 1), "more than the window");
	ok(!vl_message_put_args(&m, window, endless, 2), "a length that wraps");
	test_limits(window);
	m.nr_args = 1;
	m.args[0] = (struct vl_wire_arg){ VL_OUT, 1, 0, VL_WINDOW_MAIN - 1, 2 };
	ok(!vl_message_args(&m, window, got), "a place beyond the end");
	m.args[0] = (struct vl_wire_arg){ VL_OUT, 1, 0, UINT64_MAX, 2 };
	ok(!vl_message_args(&m, window, got), "a place that wraps");
	m.args[0] = (struct vl_wire_arg){ VL_OUT, 1, 0, 1, UINT64_MAX };
	ok(!vl_message_args(&m, window, got), "a length that wraps with its place");
	m.args[0] = (struct vl_wire_arg){ 9, 1, 0, 0, 1 };
	ok(!vl_message_args(&m, window, got), "a kind that is none");
	m.nr_args = VL_WIRE_ARGS + 1;
	ok(!vl_message_args(&m, window, got), "too many");
	free(window);
}

/* --- a visit of pages, in which nothing else may be asked for --- */

/* Three windows of pages: the next one is on its way while one is visited. */
#define PAGES 300

struct visitor {
	const struct vl_target_proxy *proxy;
	size_t visited, refused;
};

static void visit_none(void *ctx, size_t i, const void *page)
{
	(void)ctx, (void)i, (void)page;
}

static void visit_one(void *ctx, size_t i, const void *page)
{
	const uint64_t gpa = 0;
	struct visitor *v = ctx;
	char c;

	(void)page;
	v->visited += v->visited == i;
	v->refused += vl_discard(v->proxy->read(v->proxy->ctx, 0, &c, 1)) &&
		      vl_discard(v->proxy->alive(v->proxy->ctx)) &&
		      vl_discard(v->proxy->visit_pages(v->proxy->ctx, &gpa, 1, visit_none, NULL));
}

/* Replies with the pages visited, those with no answer meanwhile, and 1: then there is one. */
static void visits(void *ctx, struct vl_wire *wire, int link)
{
	static uint64_t gpas[PAGES];
	static struct vl_target target;
	struct vl_proxy_asker a = { .main = pthread_self() };
	struct vl_box_fds keep = { .nr = 0 };
	struct visitor v = { &a.proxy, 0, 0 };
	struct vl_message m;
	char c;

	(void)ctx;
	vl_error_destroy(vl_proxy_prepare(&a, &target, &keep));
	vl_proxy_connect(&a, wire, link);
	while (vl_wire_hear(wire, VL_CHANNEL_MAIN, link, &m)) {
		m = (struct vl_message){ .op = VL_OP_REPLY };
		vl_error_destroy(a.proxy.visit_pages(&a, gpas, PAGES, visit_one, &v));
		m.value[0] = v.visited;
		m.value[1] = v.refused;
		m.value[2] = !vl_discard(a.proxy.read(&a, 0, &c, 1));
		vl_wire_say(wire, VL_CHANNEL_MAIN, &m);
	}
}

static void test_visits(void)
{
	struct vl_box *b = box_of(visits);
	struct vl_message m = { .op = 1 };

	ok(b && !vl_discard(vl_box_ask(b, &m, 10 * SECOND, count, NULL)), "a worker visits pages");
	ok(m.value[0] == PAGES, "all of them: %lu", (unsigned long)m.value[0]);
	ok(m.value[1] == PAGES, "nothing else is asked for meanwhile: %lu",
	   (unsigned long)m.value[1]);
	ok(m.value[2] == 1, "and all is answered then");
	vl_box_stop(b);
}

int main(void)
{
	test_manners();
	test_visits();
	test_apart();
	test_sleep();
	test_lies();
	test_errors();
	test_wire();
	test_args();
	return tap_end();
}
