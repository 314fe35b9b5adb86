/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A QEMU that no libvirt manages: by its process id or by its QMP socket. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>

#include "../base/append.h"
#include "../base/number.h"
#include "hmp.h"
#include "internal.h"
#include "kmod.h"
#include "monitor.h"
#include "proc.h"
#include "qemu-notes.h"

static struct vl_error *monitor(struct vl_target *t, struct vl_qmp **ret)
{
	return vl_monitor_open(t, t->priv, ret);
}

/*
 * Close the connection: a monitor talks to one client at a time, and another tool may need it to
 * finish what we wait for next. Only the guard of a suspended guest keeps a connection.
 */
static void hang_up(struct vl_target *t)
{
	if (t->pause_mode != VL_PAUSE_SUSPEND || !t->guard)
		vl_monitor_rest(t, t->priv);
}

static struct vl_error *qemu_vcpus(struct vl_target *t, struct vl_vcpu **ret, size_t *nr_ret)
{
	_cleanup_error_ struct vl_error *refused = NULL;
	_cleanup_free_ char *text = NULL;
	_cleanup_close_ int notes = -1;
	struct vl_error *err;
	struct vl_qmp *qmp;
	uint64_t start;

	err = monitor(t, &qmp);
	if (err)
		return err;
	/* `info registers` stops nothing, and has all registers but kernel_gs_base. */
	refused = vl_qmp_hmp(qmp, "info registers -a", &text);
	if (!refused) {
		hang_up(t);
		return vl_hmp_registers(text, ret, nr_ret);
	}
	/* For a dump QEMU stops the vCPUs while it writes: the command's time counts as a pause. */
	if (!t->pause_depth && !vl_target_pause_left(t)) {
		err = refused;
		refused = NULL;
	} else {
		start = vl_now_ns();
		err = vl_qemu_dump_notes(qmp, &notes);
		if (!t->pause_depth)
			vl_pause_count(t, vl_now_ns() - start);
	}
	hang_up(t);
	return err ? err : vl_qemu_read_notes(t, notes, ret, nr_ret);
}

static struct vl_error *qemu_registers(struct vl_target *t, struct vl_registers **ret,
				       size_t *nr_ret, unsigned int *machine_ret)
{
	_cleanup_free_ char *text = NULL;
	struct vl_error *err;
	struct vl_qmp *qmp;

	*machine_ret = 0;
	err = monitor(t, &qmp);
	if (!err)
		err = vl_qmp_hmp(qmp, "info registers -a", &text);
	hang_up(t);
	return err ? err : vl_hmp_all_registers(text, ret, nr_ret);
}

static struct vl_error *qemu_prepare(struct vl_target *t)
{
	struct vl_qmp *qmp;
	struct vl_error *err = monitor(t, &qmp);

	return err ? err : vl_qmp_execute(qmp, "query-status", NULL, -1, NULL);
}

static struct vl_error *qemu_suspended(struct vl_target *t, bool *ret)
{
	json_object *status, *running;
	struct vl_error *err;
	struct vl_qmp *qmp;

	err = monitor(t, &qmp);
	if (!err)
		err = vl_qmp_execute(qmp, "query-status", NULL, -1, &status);
	if (err)
		return err;
	*ret = json_object_object_get_ex(status, "running", &running) &&
	       !json_object_get_boolean(running);
	json_object_put(status);
	return NULL;
}

static struct vl_error *qemu_suspend(struct vl_target *t)
{
	struct vl_qmp *qmp;
	struct vl_error *err = monitor(t, &qmp);

	return err ? err : vl_qmp_execute(qmp, "stop", NULL, -1, NULL);
}

static struct vl_error *qemu_unsuspend(struct vl_target *t)
{
	struct vl_error *err;
	struct vl_qmp *qmp;

	err = monitor(t, &qmp);
	return err ? err : vl_qmp_execute(qmp, "cont", NULL, -1, NULL);
}

static int qemu_guard_fd(const struct vl_target *t)
{
	const struct vl_monitor *m = t->priv;

	return m->qmp ? vl_qmp_fd(m->qmp) : -1;
}

/*
 * The connection is shared with the tool, which may have died in the middle of a command: the
 * line end terminates an unfinished string, and QEMU's parser starts again. A tool that only
 * hung skips our answer, as its id is not the tool's; answers to the tool must stay readable, so
 * the guard only peeks. It waits for its answer: QEMU drops the commands of a connection that is
 * closed before they are run.
 */
static void qemu_guard_resume(const struct vl_target *t, int fd)
{
	static const char cont[] = "\n{\"execute\":\"cont\",\"id\":\"vlens-guard\"}\n";
	char buf[16384];
	bool sent = false;
	ssize_t n;

	(void)t;
	for (int i = 0; i < 400; i++) {
		if (!sent) {
			n = send(fd, cont, sizeof(cont) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
			sent = n >= 0;
		} else {
			n = recv(fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);
			if (n > 0 && memmem(buf, (size_t)n, "vlens-guard", 11))
				return;
		}
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return;
		usleep(5000);
	}
}

static void qemu_info(struct vl_target *t, struct vl_target_info *ret)
{
	json_object *answer, *status;
	struct vl_qemu_args qa;
	struct vl_qmp *qmp;

	snprintf(ret->id, sizeof(ret->id), "qemu:%d", (int)t->pid);
	if (vl_qemu_args_read(t->pid, &qa, NULL))
		snprintf(ret->name, sizeof(ret->name), "%s", qa.guest_name);
	/* The state is set if the process is stopped: its monitor cannot answer. */
	if (ret->state[0] || vl_discard(monitor(t, &qmp)))
		return;
	if (!vl_discard(vl_qmp_execute(qmp, "query-status", NULL, -1, &answer))) {
		if (json_object_object_get_ex(answer, "status", &status))
			snprintf(ret->state, sizeof(ret->state), "%s",
				 json_object_get_string(status));
		json_object_put(answer);
	}
	/* query-cpus, its predecessor, stopped the vCPUs. */
	if (!vl_discard(vl_qmp_execute(qmp, "query-cpus-fast", NULL, -1, &answer))) {
		if (json_object_is_type(answer, json_type_array))
			ret->vcpus = (unsigned int)json_object_array_length(answer);
		json_object_put(answer);
	}
	hang_up(t);
}

/* Call @fn for every QEMU of this host. @managed: libvirt has started it. */
static void list_all(void (*fn)(void *ctx, pid_t pid, const struct vl_qemu_args *qa, bool managed),
		     void *ctx)
{
	_cleanup_free_ pid_t *pids = NULL;
	size_t nr = vl_proc_pids(&pids);

	for (size_t i = 0; i < nr; i++) {
		struct vl_qemu_args qa;
		bool managed;

		if (vl_qemu_args_read(pids[i], &qa, &managed) && qa.is_qemu)
			fn(ctx, pids[i], &qa, managed);
	}
}

struct pid_taker {
	void (*fn)(void *ctx, pid_t pid);
	void *ctx;
};

static void take_bare(void *ctx, pid_t pid, const struct vl_qemu_args *qa, bool managed)
{
	const struct pid_taker *t = ctx;

	(void)qa;
	if (!managed)
		t->fn(t->ctx, pid);
}

void vl_target_list_bare(void (*fn)(void *ctx, pid_t pid), void *ctx)
{
	struct pid_taker t = { fn, ctx };

	list_all(take_bare, &t);
}

struct taker {
	void (*fn)(void *ctx, const char *name);
	void *ctx;
};

static void take_named(void *ctx, pid_t pid, const struct vl_qemu_args *qa, bool managed)
{
	const struct taker *t = ctx;

	(void)pid;
	if (!managed && qa->guest_name[0])
		t->fn(t->ctx, qa->guest_name);
}

struct pid_name_taker {
	void (*fn)(void *ctx, pid_t pid, const char *name);
	void *ctx;
};

static void take_with_name(void *ctx, pid_t pid, const struct vl_qemu_args *qa, bool managed)
{
	const struct pid_name_taker *t = ctx;

	(void)managed;
	t->fn(t->ctx, pid, qa->guest_name);
}

void vl_qemu_list(void (*fn)(void *ctx, pid_t pid, const char *name), void *ctx)
{
	struct pid_name_taker t = { fn, ctx };

	list_all(take_with_name, &t);
}

void vl_qemu_list_names(void (*fn)(void *ctx, const char *name), void *ctx)
{
	struct taker t = { fn, ctx };

	list_all(take_named, &t);
}

static void qemu_close(struct vl_target *t)
{
	vl_monitor_rest(t, t->priv);
	free(t->priv);
}

static const struct vl_target_ops qemu_ops = {
	.vcpus = qemu_vcpus,
	.registers = qemu_registers,
	.prepare = qemu_prepare,
	.suspended = qemu_suspended,
	.suspend = qemu_suspend,
	.unsuspend = qemu_unsuspend,
	.guard_fd = qemu_guard_fd,
	.guard_resume = qemu_guard_resume,
	.info = qemu_info,
	.rest = hang_up,
	.close = qemu_close,
};

/* Encrypted memory reads as noise: fail instead. */
static struct vl_error *check_encrypted(struct vl_qmp *qmp)
{
	json_object *sev, *v;
	struct vl_error *err;
	bool enabled;

	err = vl_qmp_execute(qmp, "query-sev", NULL, -1, &sev);
	if (err && vl_qmp_is_broken(qmp))
		return err;
	/* A QEMU that does not know the command has no such guest. */
	vl_error_destroy(err);
	enabled =
		sev && json_object_object_get_ex(sev, "enabled", &v) && json_object_get_boolean(v);
	json_object_put(sev);
	return enabled ? vl_target_encrypted() : NULL;
}

/*
 * Make the RAM map. If several tools need it, one asks the monitor and the others use its answer.
 */
static struct vl_error *know_ram_map(struct vl_target *t)
{
	struct vl_error *err;
	struct vl_qmp *qmp;

	if (vl_rammap_cached(t)) {
		/* vl_monitor_bind() may have left a connection. */
		hang_up(t);
		return NULL;
	}
	err = monitor(t, &qmp);
	if (!err && !vl_rammap_cached(t)) {
		err = check_encrypted(qmp);
		if (!err)
			err = vl_rammap_build(t, vl_qmp_hmp, qmp);
	}
	hang_up(t);
	return err;
}

static struct vl_error *qemu_init(struct vl_target *t)
{
	struct vl_monitor *m = calloc(1, sizeof(*m));

	if (!m)
		return vl_error_nomem();
	vl_monitor_init(m);
	t->priv = m;
	t->ops = &qemu_ops;
	return NULL;
}

/* Add the sockets of the command line, in the namespaces of the process. */
static void add_addresses(struct vl_target *t, struct vl_qemu_args *qa)
{
	for (size_t i = 0; i < qa->nr_qmp; i++) {
		qa->qmp[i].pid = t->pid;
		vl_monitor_add(t->priv, &qa->qmp[i]);
	}
}

/* Bind @t to the QEMU that listens at @a. */
static struct vl_error *bind_listener(struct vl_target *t, const struct vl_qmp_address *a)
{
	_cleanup_free_ pid_t *pids = NULL;
	size_t nr = vl_proc_pids(&pids);
	char name[PATH_MAX + 16];
	struct vl_error *err;

	for (size_t i = 0; i < nr; i++) {
		struct vl_qemu_args qa;

		if (vl_qemu_args_read(pids[i], &qa, NULL) && qa.is_qemu &&
		    vl_connect_listens(a, pids[i]))
			return vl_target_bind(t, pids[i]);
	}
	vl_connect_name(a, name, sizeof(name));
	err = vl_error_new(VL_ERR_TARGET, "no QEMU of this host listens on %s", name);
	return vl_error_hint(err, geteuid() ? "run as root, to see whose socket it is" :
					      "see what does: ss -tlnp");
}

static struct vl_error *open_tcp(struct vl_target *t, const struct vl_qmp_address *a)
{
	struct vl_monitor *m = t->priv;
	struct vl_error *err;

	if (!vl_qmp_is_loopback(a->path))
		return vl_error_hint(vl_error_new(VL_ERR_TARGET,
						  "a guest's memory is read on its own host, and "
						  "\"%.100s\" is not this host's loopback",
						  a->path),
				     "run vlens there, as with qmp:127.0.0.1:%u", a->port);
	err = bind_listener(t, a);
	if (!err)
		vl_monitor_add(m, a);
	return err;
}

struct vl_error *vl_qemu_open_socket(struct vl_target *t, struct vl_spec *s)
{
	const char *arg = s->arg;
	struct vl_qmp_address a = { .kind = VL_QMP_UNIX };
	struct vl_qemu_args qa;
	struct vl_error *err;

	if (!*arg)
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "no socket given"),
				     "write qmp:/path/to/socket");
	err = qemu_init(t);
	if (err)
		return err;
	if (vl_qmp_parse_tcp(arg, &a) && access(arg, F_OK) < 0) {
		err = open_tcp(t, &a);
	} else {
		a = (struct vl_qmp_address){ .kind = VL_QMP_UNIX };
		if (strlen(arg) >= sizeof(a.path))
			return vl_error_hint(
				vl_error_new(VL_ERR_TARGET, "the socket's path is too long"),
				"write qmp:/path/to/socket");
		strcpy(a.path, arg);
		err = vl_monitor_bind(t, t->priv, &a, bind_listener);
	}
	if (err)
		return err;
	/* The QEMU may have a second socket. */
	if (vl_qemu_args_read(t->pid, &qa, NULL))
		add_addresses(t, &qa);
	return know_ram_map(t);
}

#define NAMED_SHOWN 3

struct named {
	const char *name;
	pid_t pids[NAMED_SHOWN];
	unsigned nr;
	bool is_domain; /* a QEMU of libvirt's has the name, too */
};

static void compare_name(void *ctx, pid_t pid, const struct vl_qemu_args *qa, bool managed)
{
	struct named *n = ctx;

	if (strcmp(qa->guest_name, n->name) != 0)
		return;
	if (managed) {
		n->is_domain = true;
		return;
	}
	if (n->nr < NAMED_SHOWN)
		n->pids[n->nr] = pid;
	n->nr++;
}

static struct named find_named(const char *name)
{
	struct named n = { .name = name };

	if (*name)
		list_all(compare_name, &n);
	return n;
}

static struct vl_error *no_such_name(const char *name)
{
	return vl_error_hint(vl_error_new(VL_ERR_TARGET,
					  "neither a process id nor the name of a QEMU: \"%s\"",
					  name),
			     "write qemu:PID; vlist shows all guests");
}

static struct vl_error *several(const struct named *n)
{
	unsigned shown = n->nr < NAMED_SHOWN ? n->nr : NAMED_SHOWN;
	char text[NAMED_SHOWN * 32] = "";

	for (unsigned i = 0; i < shown; i++)
		vl_append(text, sizeof(text), "%sqemu:%d",
			  !i				 ? "" :
			  i + 1 < n->nr && i + 1 < shown ? ", " :
							   " or ",
			  (int)n->pids[i]);
	return vl_error_hint(vl_error_new(VL_ERR_TARGET, "%u QEMUs have this name", n->nr),
			     "write %s%s", text, n->nr > shown ? "; vlist shows all" : "");
}

static struct vl_error *open_pid(struct vl_target *t, const char *arg)
{
	struct vl_qemu_args qa;
	struct vl_error *err;
	long pid;

	if (!vl_number(arg, 1, INT_MAX, &pid))
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "not a process id: \"%s\"", arg),
				     "write qemu:PID");
	err = vl_target_bind(t, (pid_t)pid);
	if (err)
		return err;
	if (!vl_qemu_args_read(t->pid, &qa, NULL))
		return vl_proc_denied(t->pid, errno);
	if (!qa.is_qemu)
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "process %ld is not a QEMU", pid),
				     "find the guest's with: pgrep -a qemu");
	if (!qa.nr_qmp && qa.guest_name[0])
		return vl_error_hint(vl_error_new(VL_ERR_TARGET,
						  "process %ld has no QMP socket of its own", pid),
				     "it may belong to libvirt: try the domain's name, %s",
				     qa.guest_name);
	if (!qa.nr_qmp)
		return vl_error_hint(
			vl_error_new(VL_ERR_TARGET, "process %ld has no QMP socket", pid),
			"start it with -qmp unix:PATH,server=on,wait=off; pid:%ld needs none", pid);
	err = qemu_init(t);
	if (err)
		return err;
	add_addresses(t, &qa);
	return know_ram_map(t);
}

static struct vl_error *open_named(struct vl_target *t, const struct named *n)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", (int)n->pids[0]);
	return open_pid(t, pid);
}

struct vl_error *vl_qemu_open_alone(struct vl_target *t, struct vl_spec *s)
{
	struct named n = find_named(s->arg);

	s->no_such = n.nr != 1 || n.is_domain;
	return s->no_such ? no_such_name(n.name) : open_named(t, &n);
}

struct vl_error *vl_qemu_open_name(struct vl_target *t, struct vl_spec *s)
{
	struct named n = find_named(s->arg);

	s->no_such = !n.nr;
	if (!n.nr)
		return no_such_name(n.name);
	return n.nr > 1 ? several(&n) : open_named(t, &n);
}

struct vl_error *vl_qemu_open(struct vl_target *t, struct vl_spec *s)
{
	struct vl_error *err;

	if (isdigit((unsigned char)*s->arg))
		return open_pid(t, s->arg);
	err = vl_qemu_open_name(t, s);
	s->no_such = false;
	return err;
}
