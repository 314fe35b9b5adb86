/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A libvirt domain. libvirt knows its process, and passes commands on to the human monitor (which
 * taints the domain "custom-monitor"). Never send QMP's dump-guest-memory through it: libvirtd
 * 9.0.0 crashes on the event at its end.
 */
#include <string.h>
#include <sys/wait.h>

#include "../base/array.h"
#include "libvirt.h"
#include "hmp.h"
#include "internal.h"
#include "drivers.h"
#include "proc.h"

/*
 * libvirt's functions wait for its daemon, and the daemon for a QEMU, without a timeout. So each
 * question is one struct call, in a thread of its own (vl_bounded()). The thread owns the domain
 * while it runs. After a timeout the domain is lost, and is never touched again.
 */
struct call {
	struct vl_domain *d;
	struct vl_error *(*fn)(struct call *c);
	struct vl_error *err;
	char command[64]; /* for the human monitor */
	char *text;	  /* the monitor's answer */
	bool no_such;	  /* err means that there is no such domain, or no libvirt */
	bool suspended;	  /* the domain is suspended */
	pid_t pid;
	char uuid[VIR_UUID_STRING_BUFLEN];
	struct vl_target_info info;
	char **names; /* of all domains */
	size_t nr_names;
};

/* A daemon that systemd starts for us takes some seconds. */
#define FIND_MS 15000
#define ASK_MS 6000
#define CLOSE_MS 2000

static void run_call(void *arg)
{
	struct call *c = arg;

	c->err = c->fn(c);
}

static void free_call(void *arg)
{
	struct call *c = arg;

	vl_error_destroy(c->err);
	for (size_t i = 0; i < c->nr_names; i++)
		free(c->names[i]);
	free(c->names);
	free(c->text);
	free(c);
}

static void free_callp(struct call **c)
{
	if (*c)
		free_call(*c);
}
#define _cleanup_call_ _cleanup_(free_callp)

static struct vl_error *no_answer(void)
{
	return vl_error_hint(vl_error_new(VL_ERR_TARGET, "libvirt does not answer"),
			     "see whether virsh can: virsh list --all; is its daemon, or the "
			     "guest's QEMU, stopped?");
}

/*
 * Ask libvirt by @fn about *@dp, which becomes NULL when there is no answer within @ms. The caller
 * frees *@ret by free_call(); it can be NULL only after an error.
 */
static struct vl_error *ask(struct vl_domain **dp, struct vl_error *(*fn)(struct call *),
			    unsigned int ms, const char *command, struct call **ret)
{
	struct call *c = *dp ? calloc(1, sizeof(*c)) : NULL;
	struct vl_error *err;

	*ret = NULL;
	if (!*dp)
		return no_answer();
	if (!c)
		return vl_error_nomem();
	c->d = *dp;
	c->fn = fn;
	snprintf(c->command, sizeof(c->command), "%s", command ? command : "");
	if (!vl_bounded(run_call, c, ms, free_call)) {
		*dp = NULL;
		return no_answer();
	}
	err = c->err;
	c->err = NULL;
	*ret = c;
	return err;
}

static struct vl_error *ask_target(struct vl_target *t, struct vl_error *(*fn)(struct call *),
				   unsigned int ms, const char *command, struct call **ret)
{
	struct vl_domain *d = t->priv;
	struct vl_error *err = ask(&d, fn, ms, command, ret);

	t->priv = d;
	return err;
}

static struct vl_error *call_need(struct call *c)
{
	return vl_domain_need(c->d, &c->no_such);
}

static struct vl_error *call_find(struct call *c)
{
	struct vl_error *err = call_need(c);

	if (!err)
		err = vl_domain_check(c->d);
	if (!err)
		err = vl_domain_pid(c->d, &c->pid);
	if (!err && c->d->vir.DomainGetUUIDString(c->d->dom, c->uuid) < 0)
		c->uuid[0] = '\0';
	return err;
}

static struct vl_error *call_encrypted(struct call *c)
{
	return vl_domain_encrypted(c->d);
}

static struct vl_error *call_hmp(struct call *c)
{
	const struct vl_domain *d = c->d;
	struct vl_error *err = call_need(c);

	if (err || d->vir.DomainQemuMonitorCommand(d->dom, c->command, &c->text,
						   VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP) == 0)
		return err;
	return vl_error_hint(vl_domain_error(d, "libvirt does not pass on a monitor command"),
			     "the connection lacks the permission: run as root");
}

/* Keep tools from freezing the process meanwhile. A stopped process is not asked. */
static struct vl_error *domain_hmp(void *ctx, const char *command, char **ret)
{
	_cleanup_call_ struct call *c = NULL;
	struct vl_target *t = ctx;
	bool quiet = vl_pause_hold_off(t);
	struct vl_error *err = quiet ? vl_proc_check_stopped(t->pid) : NULL;

	if (!err)
		err = ask_target(t, call_hmp, ASK_MS, command, &c);
	if (quiet)
		vl_pause_let_go(t);
	if (err)
		return err;
	*ret = c->text;
	c->text = NULL;
	return NULL;
}

static struct vl_error *domain_prepare(struct vl_target *t)
{
	_cleanup_call_ struct call *c = NULL;

	return ask_target(t, call_need, FIND_MS, NULL, &c);
}

static struct vl_error *domain_vcpus(struct vl_target *t, struct vl_vcpu **ret, size_t *nr_ret)
{
	_cleanup_free_ char *text = NULL;
	struct vl_error *err;

	err = domain_hmp(t, "info registers -a", &text);
	return err ? err : vl_hmp_registers(text, ret, nr_ret);
}

static struct vl_error *domain_registers(struct vl_target *t, struct vl_registers **ret,
					 size_t *nr_ret, unsigned int *machine_ret)
{
	_cleanup_free_ char *text = NULL;
	struct vl_error *err;

	*machine_ret = 0;
	err = domain_hmp(t, "info registers -a", &text);
	return err ? err : vl_hmp_all_registers(text, ret, nr_ret);
}

static bool get_suspended(const struct vl_domain *d, bool *ret)
{
	int state = 0, reason = 0;

	if (d->vir.DomainGetState(d->dom, &state, &reason, 0) < 0)
		return false;
	*ret = state == VIR_DOMAIN_PAUSED || state == VIR_DOMAIN_PMSUSPENDED;
	return true;
}

/* Also true if the domain runs already: tool and guard may both resume it. */
static bool resume(const struct vl_domain *d)
{
	bool suspended;

	return d->vir.DomainResume(d->dom) == 0 || (get_suspended(d, &suspended) && !suspended);
}

static struct vl_error *call_suspended(struct call *c)
{
	if (!get_suspended(c->d, &c->suspended))
		return vl_domain_hinted(vl_domain_error(c->d, "cannot get the domain's state"));
	return NULL;
}

static struct vl_error *domain_suspended(struct vl_target *t, bool *ret)
{
	_cleanup_call_ struct call *c = NULL;
	struct vl_error *err = ask_target(t, call_suspended, ASK_MS, NULL, &c);

	*ret = !err && c->suspended;
	return err;
}

static struct vl_error *call_suspend(struct call *c)
{
	if (c->d->vir.DomainSuspend(c->d->dom) == 0)
		return NULL;
	return vl_domain_hinted(vl_domain_error(c->d, "cannot suspend the domain"));
}

static struct vl_error *domain_suspend(struct vl_target *t)
{
	_cleanup_call_ struct call *c = NULL;

	return ask_target(t, call_suspend, ASK_MS, NULL, &c);
}

static struct vl_error *call_unsuspend(struct call *c)
{
	if (resume(c->d))
		return NULL;
	return vl_domain_hinted(vl_domain_error(c->d, "cannot resume the domain"));
}

static struct vl_error *domain_unsuspend(struct vl_target *t)
{
	_cleanup_call_ struct call *c = NULL;

	return ask_target(t, call_unsuspend, ASK_MS, NULL, &c);
}

/*
 * In the guard, which has a copy of the connection's memory but not its socket: make a new
 * connection, by the functions that domain_prepare() has loaded. In a child process, which can
 * be killed when libvirt does not answer.
 */
static void domain_guard_resume(const struct vl_target *t, int fd)
{
	struct vl_domain d;
	int status;

	(void)fd;
	if (!t->priv)
		return;
	d = *(const struct vl_domain *)t->priv;
	for (int i = 0; i < 20; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			d.conn = d.vir.ConnectOpen(d.uri);
			d.dom = d.conn ? vl_domain_lookup(&d, d.spec) : NULL;
			_exit(!d.dom || !resume(&d));
		}
		for (int k = 0; pid > 0; k++) {
			if (waitpid(pid, &status, WNOHANG) == pid) {
				if (WIFEXITED(status) && !WEXITSTATUS(status))
					return;
				break;
			}
			if (k == ASK_MS / 10)
				kill(pid, SIGKILL);
			usleep(10000);
		}
		usleep(200000);
	}
}

static void disconnect(struct vl_domain *d)
{
	if (d->dom)
		d->vir.DomainFree(d->dom);
	if (d->conn)
		d->vir.ConnectClose(d->conn);
	d->dom = NULL;
	d->conn = NULL;
}

static struct vl_error *call_disconnect(struct call *c)
{
	disconnect(c->d);
	return NULL;
}

/*
 * Disconnect, as the daemon may end and start again before the next question. In the mode
 * suspend the connection is kept: pauses need it.
 */
static void domain_rest(struct vl_target *t)
{
	_cleanup_call_ struct call *c = NULL;
	struct vl_domain *d = t->priv;

	if (t->pause_mode != VL_PAUSE_SUSPEND && d && d->conn)
		vl_error_destroy(ask_target(t, call_disconnect, CLOSE_MS, NULL, &c));
}

static void end_domain(struct vl_domain *d)
{
	_cleanup_call_ struct call *c = NULL;

	if (d && d->conn)
		vl_error_destroy(ask(&d, call_disconnect, CLOSE_MS, NULL, &c));
	if (!d)
		return;
	free(d->uri);
	free(d->spec);
	free(d);
}

static void domain_close(struct vl_target *t)
{
	end_domain(t->priv);
}

static struct vl_error *call_info(struct call *c)
{
	static const char *const states[] = {
		[VIR_DOMAIN_RUNNING] = "running",    [VIR_DOMAIN_BLOCKED] = "blocked",
		[VIR_DOMAIN_PAUSED] = "paused",	     [VIR_DOMAIN_SHUTDOWN] = "in shutdown",
		[VIR_DOMAIN_PMSUSPENDED] = "asleep",
	};
	const struct vl_domain *d = c->d;
	struct vl_target_info *ret = &c->info;
	struct vl_error *err = call_need(c);
	virDomainInfo info;

	if (err)
		return err;
	snprintf(ret->name, sizeof(ret->name), "%s", d->vir.DomainGetName(d->dom));
	snprintf(ret->id, sizeof(ret->id), "%u", d->vir.DomainGetID(d->dom));
	if (d->vir.DomainGetInfo(d->dom, &info) < 0)
		return NULL;
	if (info.state < ARRAY_SIZE(states) && states[info.state])
		snprintf(ret->state, sizeof(ret->state), "%s", states[info.state]);
	ret->vcpus = info.nrVirtCpu;
	return NULL;
}

static void domain_info(struct vl_target *t, struct vl_target_info *ret)
{
	_cleanup_call_ struct call *c = NULL;

	if (!vl_discard(ask_target(t, call_info, ASK_MS, NULL, &c)))
		*ret = c->info;
}

static const struct vl_target_ops domain_ops = {
	.vcpus = domain_vcpus,
	.registers = domain_registers,
	.prepare = domain_prepare,
	.suspended = domain_suspended,
	.suspend = domain_suspend,
	.unsuspend = domain_unsuspend,
	.guard_resume = domain_guard_resume,
	.info = domain_info,
	.rest = domain_rest,
	.close = domain_close,
};

/* Use the cache: the process that was found last time still runs, and its RAM map fits. */
static bool is_cached(struct vl_target *t, struct vl_domain *d)
{
	char run[64], uuid[40];
	struct vl_error *err;
	pid_t pid;

	if (!vl_domcache_find(d->spec, d->uri, &pid, run, uuid))
		return false;
	err = vl_target_bind(t, pid);
	if (!err && !strcmp(vl_target_run_id(t), run) && vl_domain_runs(pid, uuid) &&
	    vl_rammap_cached(t))
		return true;
	vl_error_destroy(err);
	vl_target_unbind(t);
	return false;
}

/*
 * Ask libvirt, and the monitor. The caller holds the domain's lock, so that of several tools one
 * asks and the others wait.
 */
static struct vl_error *find_domain(struct vl_target *t, struct vl_spec *s)
{
	_cleanup_call_ struct call *c = NULL, *sev = NULL;
	struct vl_error *err;

	err = ask_target(t, call_find, FIND_MS, NULL, &c);
	s->no_such = c && c->no_such;
	s->silent = s->no_such && !c->d->conn;
	if (!err)
		err = vl_target_bind(t, c->pid);
	if (!err && !vl_rammap_cached(t)) {
		err = ask_target(t, call_encrypted, ASK_MS, NULL, &sev);
		if (!err)
			err = vl_rammap_build(t, domain_hmp, t);
	}
	if (!err && c->uuid[0])
		vl_domcache_store(t, s->arg, s->uri, c->uuid);
	return err;
}

struct vl_error *vl_libvirt_open(struct vl_target *t, struct vl_spec *s)
{
	struct vl_domain *d = calloc(1, sizeof(*d));
	struct vl_error *err = NULL;
	int lock;

	if (!d)
		return vl_error_nomem();
	t->priv = d;
	t->ops = &domain_ops;
	d->spec = strdup(s->arg);
	d->uri = s->uri ? strdup(s->uri) : NULL;
	if (!d->spec || (s->uri && !d->uri))
		return vl_error_nomem();
	if (is_cached(t, d))
		return NULL;
	lock = vl_domcache_lock(s->arg, s->uri);
	if (!is_cached(t, d))
		err = find_domain(t, s);
	vl_domcache_unlock(s->arg, s->uri, lock);
	return err;
}

static struct vl_error *call_list(struct call *c)
{
	struct vl_error *err = vl_domain_connect(c->d);
	struct vl_domain *d = c->d;
	virDomainPtr *doms = NULL;
	int nr;

	if (err)
		return err;
	nr = d->vir.ConnectListAllDomains(d->conn, &doms, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
	c->names = calloc(nr > 0 ? (size_t)nr : 1, sizeof(*c->names));
	for (int i = 0; i < nr; i++) {
		const char *name = d->vir.DomainGetName(doms[i]);
		char uuid[VIR_UUID_STRING_BUFLEN];

		if (name && vl_name_is_taken(name) &&
		    d->vir.DomainGetUUIDString(doms[i], uuid) == 0)
			name = uuid;
		if (name && c->names && (c->names[c->nr_names] = strdup(name)))
			c->nr_names++;
		d->vir.DomainFree(doms[i]);
	}
	free(doms);
	return NULL;
}

struct vl_error *vl_target_list(const char *uri, void (*fn)(void *ctx, const char *name), void *ctx)
{
	_cleanup_call_ struct call *c = NULL;
	struct vl_domain *d = calloc(1, sizeof(*d));
	struct vl_error *err;

	if (!d)
		return vl_error_nomem();
	d->uri = uri ? strdup(uri) : NULL;
	err = ask(&d, call_list, FIND_MS, NULL, &c);
	for (size_t i = 0; !err && i < c->nr_names; i++)
		fn(ctx, c->names[i]);
	end_domain(d);
	return err;
}
