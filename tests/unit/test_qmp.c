/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The QMP client, against a scripted other side. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "tap.h"
#include "host/qmp.h"

#define HELLO "{\"QMP\": {\"version\": {}, \"capabilities\": [\"oob\"]}}\r\n"
#define READY "{\"return\": {}, \"id\": 1}\r\n"

/*
 * What the other side does, one character a step: the strings are sent in turn
 * ('s'), a command is awaited ('r'), 'w' sends byte by byte, '.' waits 50 ms,
 * 'h' hangs for good, 'f' expects a descriptor with the command.
 */
struct script {
	const char *steps;
	const char *text[8];
};

static void play(int fd, const struct script *s)
{
	const char *const *text = s->text;
	char buf[4096], control[64];
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };

	for (const char *p = s->steps; *p; p++) {
		switch (*p) {
		case 's':
			if (write(fd, *text, strlen(*text)) < 0)
				_exit(1);
			text++;
			break;
		case 'w':
			for (const char *c = *text++; *c; c++)
				if (write(fd, c, 1) < 0)
					_exit(1);
			break;
		case 'r':
			if (read(fd, buf, sizeof(buf)) <= 0)
				_exit(1);
			break;
		case 'f':
			if (recvmsg(fd, &msg, 0) <= 0 || msg.msg_controllen == 0)
				_exit(1);
			break;
		case '.':
			usleep(50000);
			break;
		case 'h':
			pause();
			break;
		}
	}
	_exit(0);
}

static struct vl_qmp *start(const struct script *s, pid_t *pid_ret)
{
	struct vl_qmp *q = NULL;
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		exit(99);
	*pid_ret = fork();
	if (*pid_ret == 0) {
		close(sv[0]);
		play(sv[1], s);
	}
	close(sv[1]);
	vl_error_destroy(vl_qmp_attach(sv[0], &q));
	return q;
}

static void finish(struct vl_qmp *q, pid_t pid)
{
	vl_qmp_close(q);
	kill(pid, 9);
	waitpid(pid, NULL, 0);
}

static double seconds(void)
{
	return (double)vl_now_ns() / 1e9;
}

/* "query-x" gives 42 */
static void good(const char *what, const struct script *s)
{
	struct vl_error *err;
	json_object *ret;
	struct vl_qmp *q;
	pid_t pid;

	q = start(s, &pid);
	err = vl_qmp_execute(q, "query-x", NULL, -1, &ret);
	ok(!err && json_object_get_int(ret) == 42, "%s%s%s", what, err ? ": " : "",
	   err ? err->message : "");
	if (!err)
		json_object_put(ret);
	vl_error_destroy(err);
	finish(q, pid);
}

static void bad(const char *what, const struct script *s, const char *message, double at_most)
{
	double t = seconds();
	struct vl_error *err;
	json_object *ret = NULL;
	struct vl_qmp *q;
	pid_t pid;

	q = start(s, &pid);
	err = vl_qmp_execute(q, "query-x", NULL, -1, &ret);
	t = seconds() - t;
	ok(err && err->code == VL_ERR_TARGET && strstr(err->message, message) && err->hint,
	   "%s: %s", what, err ? err->message : "no error");
	ok(t <= at_most, "%s: within %.1f s (%.2f)", what, at_most, t);
	vl_error_destroy(err);
	finish(q, pid);
}

static void test_descriptor(void)
{
	struct script s = { "srsfs", { HELLO, READY, "{\"return\": {}, \"id\": 2}" } };
	int fd = memfd_create("test", 0), status = -1;
	struct vl_error *err;
	struct vl_qmp *q;
	pid_t pid;

	q = start(&s, &pid);
	err = vl_qmp_execute(q, "getfd", NULL, fd, NULL);
	waitpid(pid, &status, 0);
	ok(!err && status == 0, "a descriptor is passed");
	vl_error_destroy(err);
	vl_qmp_close(q);
	close(fd);
}

static void test_refused(void)
{
	struct script s = { "srsrsrs",
			    { HELLO, READY, "{\"error\": {\"desc\": \"no such thing\"}, \"id\": 2}",
			      "{\"return\": \"a\\r\\nb\", \"id\": 3}" } };
	struct vl_error *err;
	struct vl_qmp *q;
	char *text = NULL;
	pid_t pid;

	q = start(&s, &pid);
	err = vl_qmp_execute(q, "query-x", NULL, -1, NULL);
	ok(err && strstr(err->message, "no such thing") && !vl_qmp_is_broken(q),
	   "a refused command gives QEMU's words, the connection stays");
	vl_error_destroy(err);
	err = vl_qmp_hmp(q, "info x", &text);
	ok(!err && !strcmp(text, "a\r\nb"), "a human monitor command after it");
	free(text);
	vl_error_destroy(err);
	finish(q, pid);
}

static struct vl_error *connect_to(const char *path, struct vl_qmp **ret)
{
	struct vl_qmp_address a = { .kind = VL_QMP_UNIX };

	snprintf(a.path, sizeof(a.path), "%s", path);
	return vl_qmp_connect(&a, 0, ret);
}

/* As a user who may not write to the socket. Does the message say so? */
static bool is_forbidden(const char *path)
{
	int status = 1;
	pid_t pid = fork();

	if (!pid) {
		struct vl_qmp *q;
		struct vl_error *err = !geteuid() && setuid(65534) ? NULL : connect_to(path, &q);

		_exit(!(err && err->hint && strstr(err->message, "no permission for socket")));
	}
	waitpid(pid, &status, 0);
	return !status;
}

static void *accept_one(void *listener)
{
	return (void *)(intptr_t)accept(*(int *)listener, NULL, NULL);
}

/* @fd listens at @path, and has room for one more client. */
static void test_backlog(const char *path, int fd)
{
	struct vl_qmp_address a = { .kind = VL_QMP_UNIX };
	struct vl_qmp *q[4] = { NULL };
	struct vl_error *err = NULL;
	pthread_t thread;
	void *accepted;
	size_t nr = 0;
	int last;

	snprintf(a.path, sizeof(a.path), "%s", path);
	while (nr < ARRAY_SIZE(q) && !err) {
		err = vl_qmp_connect(&a, 0, &q[nr]);
		if (!q[nr])
			break;
		nr++;
	}
	ok(!err && nr && nr < ARRAY_SIZE(q), "a full backlog: no connection, and no error");
	if (nr == ARRAY_SIZE(q) || pthread_create(&thread, NULL, accept_one, &fd))
		return;
	err = vl_qmp_connect(&a, vl_now_ns() + 60 * VL_NSEC_PER_SEC, &q[nr]);
	ok(!err && q[nr], "until another client is accepted");
	pthread_join(thread, &accepted);
	close((int)(intptr_t)accepted);
	last = q[0] ? vl_qmp_fd(q[0]) : -1;
	for (size_t i = 0; i < ARRAY_SIZE(q); i++)
		vl_qmp_close(q[i]);
	ok(fcntl(last, F_GETFD) < 0 && errno == EBADF, "closed");
}

static void test_connect(void)
{
	char dir[] = "/tmp/vlens-qmp-XXXXXX", path[64], deep[256];
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	struct vl_error *err;
	struct vl_qmp *q;
	int fd;

	if (!mkdtemp(dir))
		exit(99);
	snprintf(path, sizeof(path), "%s/file", dir);
	err = connect_to(path, &q);
	ok(err && strstr(err->message, "no such socket") && err->hint, "no such path");
	vl_error_destroy(err);
	fclose(fopen(path, "w"));
	err = connect_to(path, &q);
	ok(err && strstr(err->message, "not a socket") && err->hint, "a regular file");
	vl_error_destroy(err);
	unlink(path);
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/file", dir);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		exit(99);
	err = connect_to(path, &q);
	ok(err && strstr(err->message, "no process listens") && err->hint, "no listener");
	vl_error_destroy(err);
	listen(fd, 1);
	chmod(dir, 0711);
	chmod(path, 0);
	ok(is_forbidden(path), "a socket of another user");
	chmod(path, 0600);
	err = connect_to(path, &q);
	ok(!err && vl_qmp_pid(q) == getpid(), "the peer's process id");
	vl_error_destroy(err);
	vl_qmp_close(q);
	/* A path longer than a socket address holds. */
	snprintf(deep, sizeof(deep), "%s", dir);
	while (strlen(deep) < 150)
		strcat(deep, "/.");
	strcat(deep, "/file");
	err = connect_to(deep, &q);
	ok(!err && q, "a path of %zu bytes", strlen(deep));
	vl_qmp_close(q);
	vl_error_destroy(err);
	/* Take both clients out of the backlog. */
	for (int i = 0; i < 2; i++)
		close(accept(fd, NULL, NULL));
	test_backlog(path, fd);
	close(fd);
	unlink(path);
	rmdir(dir);
}

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223; /* Numerical Recipes' generator */
	return *seed >> 8;
}

/* Change @text, @len bytes in a buffer of @size, in some places; the new length. */
static size_t mutate(char *text, size_t len, size_t size, uint32_t *seed)
{
	static const char *const words[] = { "{",
					     "}",
					     "[",
					     "\"",
					     "\\u0000",
					     "\\",
					     "-1",
					     "1e999",
					     "\"id\": 2",
					     "\"return\":",
					     "\"error\":",
					     "null",
					     "18446744073709551616",
					     "\xff\xfe",
					     "\r\n" };

	for (uint32_t n = 1 + next(seed) % 4; n; n--) {
		size_t at = next(seed) % (len + 1), left = len - at, cut;
		const char *word = words[next(seed) % ARRAY_SIZE(words)];

		switch (next(seed) % 4) {
		case 0: /* one byte */
			if (left)
				text[at] = (char)next(seed);
			break;
		case 1: /* a part goes */
			cut = left ? next(seed) % left : 0;
			memmove(text + at, text + at + cut, left - cut);
			len -= cut;
			break;
		case 2: /* a word comes */
			if (len + strlen(word) > size)
				break;
			memmove(text + at + strlen(word), text + at, left);
			memcpy(text + at, word, strlen(word));
			len += strlen(word);
			break;
		default: /* a part comes twice */
			cut = left < size - len ? left : size - len;
			memmove(text + len, text + at, cut);
			len += cut;
		}
	}
	return len;
}

/* A monitor that says anything: an answer or an error, never more. The seed is fixed. */
static void test_mutations(void)
{
	static const char good_one[] = HELLO READY
		"{\"event\": \"STOP\"}\r\n"
		"{\"return\": {\"status\": \"running\", \"list\": [1, -2.5e3, null, true]}, \"id\": 2}";
	unsigned int answers = 0, errors = 0;
	uint32_t seed = 20240607;

	for (int round = 0; round < 3000; round++) {
		char text[4096];
		size_t len = sizeof(good_one) - 1;
		struct vl_error *err;
		json_object *ret = NULL;
		struct vl_qmp *q = NULL;
		int sv[2];

		memcpy(text, good_one, len);
		len = mutate(text, len, sizeof(text), &seed);
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0 ||
		    write(sv[1], text, len) != (ssize_t)len)
			exit(99);
		shutdown(sv[1], SHUT_WR);
		vl_error_destroy(vl_qmp_attach(sv[0], &q));
		err = vl_qmp_execute(q, "query-x", NULL, -1, &ret);
		answers += !err;
		errors += err && err->code == VL_ERR_TARGET && err->hint;
		if (!err)
			json_object_put(ret);
		vl_error_destroy(err);
		vl_qmp_close(q);
		close(sv[1]);
	}
	ok(answers + errors == 3000 && answers > 100 && errors > 100,
	   "3000 mutations: %u answers, %u errors", answers, errors);
}

/* Two bytes of text are some hundred of memory: what a message may hold is limited. */
static void test_brackets(void)
{
	static char text[900000];
	size_t n = (size_t)sprintf(text, "{\"QMP\": [");
	double t = seconds();

	while (n < sizeof(text) - 8)
		n += (size_t)sprintf(text + n, "[],");
	bad("an array of many arrays", &(struct script){ "sh", { text } }, "does not speak QMP", 2);
	ok(seconds() - t < 2, "refused soon");
}

int main(void)
{
	static const char event[] = "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, "
				    "\"event\": \"STOP\"}\r\n";
	static const char answer[] = "{\"return\": 42, \"id\": 2}\r\n";
	static const char pretty[] = "{\r\n    \"return\": 42,\r\n    \"id\": 2\r\n}\r\n";
	static char big[400000];
	size_t n;

	good("one command", &(struct script){ "srsrs", { HELLO, READY, answer } });
	good("events before and between",
	     &(struct script){ "ssrsssrss", { HELLO, event, event, READY, event, event, answer } });
	good("a stale answer without an id is skipped",
	     &(struct script){ "srsrss", { HELLO, READY, "{\"return\": {}}\r\n", answer } });
	good("a stale answer with another id is skipped",
	     &(struct script){
		     "srsrs",
		     { HELLO, READY,
		       "{\"return\": 1, \"id\": \"vlens-guard\"}{\"return\": 42, \"id\": 2}" } });
	good("pretty-printed, byte by byte", &(struct script){ "wrwrw", { HELLO, READY, pretty } });
	n = (size_t)sprintf(big, "{\"event\": \"");
	memset(big + n, 'x', 300000);
	strcpy(big + n + 300000, "\"}\r\n");
	good("a big message", &(struct script){ "srsrss", { HELLO, READY, big, answer } });

	bad("not JSON", &(struct script){ "sh", { "SSH-2.0-OpenSSH_9.2\r\n" } },
	    "does not speak QMP", 1);
	bad("JSON, but not QMP", &(struct script){ "sh", { "{\"hello\": 1}\n" } },
	    "does not speak QMP", 1);
	bad("a bare number", &(struct script){ "sh", { "42 \n" } }, "does not speak QMP", 1);
	bad("silent", &(struct script){ "h", { NULL } }, "does not speak QMP", 2);
	bad("half a greeting", &(struct script){ "sh", { "{\"QMP\": " } }, "does not speak QMP", 2);
	bad("closed at once", &(struct script){ "", { NULL } }, "closed the connection", 1);
	bad("closed in the middle", &(struct script){ "srsr", { HELLO, READY } },
	    "closed the connection", 1);
	bad("no answer to a command", &(struct script){ "srsrsh", { HELLO, READY, event } },
	    "does not answer query-x", 6);
	test_refused();
	test_descriptor();
	test_connect();
	test_brackets();
	test_mutations();
	return tap_end();
}
