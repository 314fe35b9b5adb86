/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "../base/text.h"
#include "internal.h"
#include "proc.h"

/* QEMU greets at once; another tool may hold it frozen for some 100 ms. */
#define GREETING_TIMEOUT_MS 1500
/* Our slowest command, a dump of one page, takes milliseconds. */
#define COMMAND_TIMEOUT_MS 5000
/* `info mtree -f` of a big machine is some 100 KiB. */
#define MESSAGE_MAX (4U << 20)
/*
 * Opening brackets in one message, with those in its strings. An empty array takes two bytes of
 * the message and some 400 of our memory. query-cpus-fast has three brackets for each vCPU.
 */
#define BRACKETS_MAX 65536
/* Events between a command and its answer. */
#define SKIP_MAX 100000

struct vl_qmp {
	int fd;
	pid_t pid;
	bool greeted;
	bool broken; /* out of step with the other side: no more commands */
	unsigned int next_id;
	uint64_t deadline; /* of all commands together; 0: none */
	json_tokener *tok;
	size_t len, pos; /* buf[pos] up to buf[len] is received but not parsed */
	char buf[16384];
};

static struct vl_error *broken(struct vl_qmp *q, struct vl_error *err)
{
	q->broken = true;
	return err;
}

static struct vl_error *not_qmp(void)
{
	return vl_error_hint(vl_error_new(VL_ERR_TARGET, "the socket does not speak QMP"),
			     "give the socket of QEMU's option -qmp unix:PATH,server=on,wait=off");
}

struct vl_error *vl_qmp_attach(int fd, struct vl_qmp **ret)
{
	struct vl_qmp *q = calloc(1, sizeof(*q));
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (q)
		q->tok = json_tokener_new();
	if (!q || !q->tok) {
		free(q);
		close(fd);
		return vl_error_nomem();
	}
	q->fd = fd;
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0)
		q->pid = cred.pid;
	*ret = q;
	return NULL;
}

static struct vl_error *connect_error(int err, const struct vl_qmp_address *a)
{
	char name[PATH_MAX + 16];

	vl_connect_name(a, name, sizeof(name));
	if (err == ENOENT || err == ENOTDIR)
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "no such socket: %s", name),
				     "is the guest running?");
	if (err == EACCES || err == EPERM)
		return vl_error_hint(vl_target_denied(vl_error_new(
					     VL_ERR_TARGET, "no permission for socket %s", name)),
				     "run as root");
	if (err == ENOTSOCK)
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "not a socket: %s", name),
				     "a memory dump is given by its path alone, without \"qmp:\"");
	if (err == ECONNREFUSED)
		return vl_error_hint(
			vl_error_new(VL_ERR_TARGET, "no process listens on socket %s", name),
			"is the guest running?");
	if (err == EPROTOTYPE)
		return not_qmp();
	return vl_error_hint(
		vl_error_new(VL_ERR_TARGET, "cannot connect to socket %s: %s", name, strerror(err)),
		"give the socket of QEMU's option -qmp");
}

struct vl_error *vl_qmp_connect(const struct vl_qmp_address *a, uint64_t deadline,
				struct vl_qmp **ret)
{
	int r, fd = -1;

	*ret = NULL;
	/* EAGAIN: the backlog is full with other clients. */
	while ((r = vl_connect(a, &fd)) == -EAGAIN && vl_now_ns() < deadline)
		usleep(5000);
	if (r == -EAGAIN)
		return NULL;
	return r < 0 ? connect_error(-r, a) : vl_qmp_attach(fd, ret);
}

void vl_qmp_close(struct vl_qmp *q)
{
	if (!q)
		return;
	close(q->fd);
	json_tokener_free(q->tok);
	free(q);
}

pid_t vl_qmp_pid(const struct vl_qmp *q)
{
	return q->pid;
}

void vl_qmp_set_pid(struct vl_qmp *q, pid_t pid)
{
	q->pid = pid;
}

void vl_qmp_set_deadline(struct vl_qmp *q, uint64_t deadline)
{
	q->deadline = deadline;
}

int vl_qmp_fd(const struct vl_qmp *q)
{
	return q->fd;
}

bool vl_qmp_is_broken(const struct vl_qmp *q)
{
	return q->broken;
}

/* Wait until @deadline for the socket. Returns 1, 0 on timeout, or -errno. */
static int wait_for(const struct vl_qmp *q, short events, uint64_t deadline)
{
	struct pollfd pfd = { .fd = q->fd, .events = events };

	for (;;) {
		uint64_t now = vl_now_ns();
		int r = poll(&pfd, 1, now < deadline ? (int)((deadline - now) / 1000000) + 1 : 0);

		if (r < 0 && errno == EINTR)
			continue;
		return r < 0 ? -errno : r;
	}
}

static size_t brackets(const char *p, size_t len)
{
	size_t nr = 0;

	for (size_t i = 0; i < len; i++)
		nr += p[i] == '[' || p[i] == '{';
	return nr;
}

/*
 * Receive one message. NULL and *@ret NULL: it was not complete by the deadline.
 */
static struct vl_error *receive(struct vl_qmp *q, uint64_t deadline, json_object **ret)
{
	size_t total = 0, nested = 0;

	*ret = NULL;
	json_tokener_reset(q->tok);
	for (;;) {
		enum json_tokener_error je;
		json_object *obj;
		size_t used;
		ssize_t n;
		int r;

		/* Blanks between messages are not the start of one. */
		while (!total && q->pos < q->len && strchr(" \t\r\n", q->buf[q->pos]))
			q->pos++;
		if (q->pos < q->len) {
			/* The tokener would take a number or a word as a whole message. */
			if (!total && q->buf[q->pos] != '{')
				return broken(q, not_qmp());
			nested += brackets(q->buf + q->pos, q->len - q->pos);
			if (nested > BRACKETS_MAX)
				return broken(q, not_qmp());
			obj = json_tokener_parse_ex(q->tok, q->buf + q->pos,
						    (int)(q->len - q->pos));
			je = json_tokener_get_error(q->tok);
			used = json_tokener_get_parse_end(q->tok);
			total += used;
			q->pos += used;
			if (obj) {
				*ret = obj;
				return NULL;
			}
			if (je != json_tokener_continue || total > MESSAGE_MAX)
				return broken(q, not_qmp());
			continue;
		}
		/* Check the deadline also while data keeps coming: a sender may never stop. */
		r = vl_now_ns() < deadline ? wait_for(q, POLLIN, deadline) : 0;
		if (r == 0)
			return NULL;
		q->pos = q->len = 0;
		n = r < 0 ? -1 : recv(q->fd, q->buf, sizeof(q->buf), 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return broken(
				q, vl_error_hint(vl_error_new(VL_ERR_TARGET,
							      "the monitor closed the connection"),
						 "is the guest still running?"));
		q->len = (size_t)n;
	}
}

static uint64_t command_deadline(const struct vl_qmp *q)
{
	uint64_t own = vl_now_ns() + COMMAND_TIMEOUT_MS * 1000000ULL;

	return q->deadline && q->deadline < own ? q->deadline : own;
}

/* Send all @len bytes, and with the first of them descriptor @fd, unless it is -1. */
static struct vl_error *transmit(struct vl_qmp *q, const char *text, size_t len, int fd)
{
	uint64_t deadline = command_deadline(q);
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int))];
	} control;

	while (len) {
		struct iovec iov = { (void *)text, len };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n;

		if (fd >= 0) {
			struct cmsghdr *c;

			memset(&control, 0, sizeof(control));
			msg.msg_control = &control;
			msg.msg_controllen = sizeof(control);
			c = CMSG_FIRSTHDR(&msg);
			c->cmsg_level = SOL_SOCKET;
			c->cmsg_type = SCM_RIGHTS;
			c->cmsg_len = CMSG_LEN(sizeof(int));
			memcpy(CMSG_DATA(c), &fd, sizeof(int));
		}
		n = sendmsg(q->fd, &msg, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN && wait_for(q, POLLOUT, deadline) > 0)
			continue;
		if (n < 0)
			return broken(q,
				      vl_error_hint(vl_error_new(VL_ERR_TARGET,
								 "cannot write to the monitor: %s",
								 strerror(errno)),
						    "is the guest still running?"));
		fd = -1;
		text += n;
		len -= (size_t)n;
	}
	return NULL;
}

struct vl_error *vl_qmp_silent(const struct vl_qmp *q)
{
	_cleanup_free_ char *comm = NULL;
	char path[64], state = '?';
	uint64_t start;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)q->pid);
	if (vl_read_file(AT_FDCWD, path, 64, &comm, NULL) < 0)
		comm = NULL;
	if (vl_proc_stat(q->pid, &state, &start) == 0 && (state == 'T' || state == 't'))
		return vl_proc_stopped(q->pid);
	if (comm && (strstr(comm, "qemu") || strstr(comm, "kvm")))
		return NULL;
	return not_qmp();
}

struct vl_error *vl_qmp_busy(pid_t pid, pid_t holder)
{
	static const char why[] = "the monitor is busy with another client";
	static const char hint[] =
		"a monitor takes one client at a time: close the other, or give QEMU";
	_cleanup_free_ char *comm = NULL;
	struct vl_error *err;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)holder);
	if (!holder || vl_read_file(AT_FDCWD, path, 64, &comm, NULL) < 0)
		comm = NULL;
	if (comm) {
		comm[strcspn(comm, "\n")] = '\0';
		vl_text_mask(comm, strlen(comm), VL_TEXT_WORD);
	}
	err = comm ? vl_error_new(VL_ERR_TARGET, "%s, process %d (%s)", why, (int)holder, comm) :
		     vl_error_new(VL_ERR_TARGET, "%s", why);
	return pid > 0 ?
		       vl_error_hint(err, "%s (process %d) a second -qmp socket", hint, (int)pid) :
		       vl_error_hint(err, "%s a second -qmp socket", hint);
}

static struct vl_error *roundtrip(struct vl_qmp *q, const char *command, json_object *args, int fd,
				  json_object **ret);

struct vl_error *vl_qmp_greet(struct vl_qmp *q, uint64_t deadline, bool *greeted_ret)
{
	json_object *hello;
	struct vl_error *err;
	bool is_qmp;

	*greeted_ret = q->greeted;
	if (q->greeted)
		return NULL;
	err = receive(q, deadline, &hello);
	if (err)
		return err;
	/* A greeting that was cut off cannot be continued. */
	if (!hello)
		return q->len ? broken(q, not_qmp()) : NULL;
	is_qmp = json_object_object_get_ex(hello, "QMP", NULL);
	json_object_put(hello);
	if (!is_qmp)
		return broken(q, not_qmp());
	q->greeted = *greeted_ret = true;
	return roundtrip(q, "qmp_capabilities", NULL, -1, NULL);
}

/* Wait for the greeting with a timeout, after which the connection is broken. */
static struct vl_error *need_greeting(struct vl_qmp *q)
{
	struct vl_error *err;
	bool greeted;

	err = vl_qmp_greet(q, vl_now_ns() + GREETING_TIMEOUT_MS * 1000000ULL, &greeted);
	if (err || greeted)
		return err;
	err = vl_qmp_silent(q);
	return broken(q, err ? err : vl_qmp_busy(q->pid, 0));
}

/* Is @msg the answer to command @id? */
static bool is_answer(json_object *msg, unsigned int id)
{
	json_object *v;

	return json_object_object_get_ex(msg, "id", &v) && json_object_get_int64(v) == (int64_t)id;
}

static struct vl_error *roundtrip(struct vl_qmp *q, const char *command, json_object *args, int fd,
				  json_object **ret)
{
	uint64_t deadline = command_deadline(q);
	unsigned int id = ++q->next_id;
	json_object *cmd = json_object_new_object(), *msg, *v;
	struct vl_error *err;
	const char *text;

	if (!cmd) {
		json_object_put(args);
		return vl_error_nomem();
	}
	json_object_object_add(cmd, "execute", json_object_new_string(command));
	if (args)
		json_object_object_add(cmd, "arguments", args);
	json_object_object_add(cmd, "id", json_object_new_int64(id));
	text = json_object_to_json_string_ext(cmd, JSON_C_TO_STRING_PLAIN);
	err = text ? transmit(q, text, strlen(text), fd) : vl_error_nomem();
	json_object_put(cmd);
	for (int i = 0; !err && i < SKIP_MAX; i++) {
		err = receive(q, deadline, &msg);
		if (err)
			return err;
		if (!msg)
			break;
		if (!is_answer(msg, id)) { /* an event, or a stale answer */
			json_object_put(msg);
			continue;
		}
		if (json_object_object_get_ex(msg, "return", &v)) {
			if (ret)
				*ret = json_object_get(v);
			json_object_put(msg);
			return NULL;
		}
		if (json_object_object_get_ex(msg, "error", &v))
			json_object_object_get_ex(v, "desc", &v);
		err = vl_error_hint(vl_error_new(VL_ERR_TARGET, "QEMU refuses %s: %.300s", command,
						 v ? json_object_get_string(v) : "no reason given"),
				    "QEMU 2.10 or later is needed");
		json_object_put(msg);
		return err;
	}
	if (err)
		return err;
	return broken(q, vl_error_hint(vl_error_new(VL_ERR_TARGET, "the monitor does not answer %s",
						    command),
				       "is process %d stopped, or stuck?", (int)q->pid));
}

struct vl_error *vl_qmp_execute(struct vl_qmp *q, const char *command, json_object *args, int fd,
				json_object **ret)
{
	struct vl_error *err = NULL;

	if (ret)
		*ret = NULL;
	if (q->broken)
		err = vl_error_hint(
			vl_error_new(VL_ERR_TARGET, "the connection to the monitor is lost"),
			"try again");
	else if (!q->greeted)
		err = need_greeting(q);
	if (err) {
		json_object_put(args);
		return err;
	}
	return roundtrip(q, command, args, fd, ret);
}

struct vl_error *vl_qmp_hmp(void *qmp, const char *line, char **ret)
{
	json_object *args = json_object_new_object(), *v;
	struct vl_error *err;

	if (!args)
		return vl_error_nomem();
	json_object_object_add(args, "command-line", json_object_new_string(line));
	err = vl_qmp_execute(qmp, "human-monitor-command", args, -1, &v);
	if (err)
		return err;
	*ret = strdup(json_object_is_type(v, json_type_string) ? json_object_get_string(v) : "");
	json_object_put(v);
	return *ret ? NULL : vl_error_nomem();
}
