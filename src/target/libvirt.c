/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A libvirt domain. libvirt says which process it is, and passes commands on to
 * the human monitor (which taints the domain "custom-monitor"). QMP's
 * dump-guest-memory never goes that way: libvirtd 9.0.0 crashes on the event at
 * its end.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "domcache.h"
#include "hmp.h"
#include "internal.h"
#include "libvirt_api.h"
#include "names.h"
#include "proc.h"
#include "qemu_args.h"

struct domain {
	struct vl_libvirt_api vir;
	virConnectPtr conn; /* NULL: not connected (yet) */
	virDomainPtr dom;
	char *uri; /* as given, or NULL */
	char *spec;
};

/* libvirt's last error, on one line. */
static struct vl_error *libvirt_error(const struct domain *d, const char *what)
{
	virErrorPtr e = d->vir.GetLastError();
	const char *text = e && e->message ? e->message : "unknown error";

	return vl_error_new(VL_ERR_TARGET, "%s: %.*s", what, (int)strcspn(text, "\n"), text);
}

static struct vl_error *hinted(struct vl_error *err)
{
	return vl_error_hint(err, "see whether virsh can: virsh list --all");
}

/* What to do when libvirt does not let us in. */
static const char *connect_hint(const struct domain *d)
{
	virErrorPtr e = d->vir.GetLastError();

	switch (e ? e->code : VIR_ERR_OK) {
	case VIR_ERR_NO_CONNECT:
	case VIR_ERR_INVALID_ARG:
	case VIR_ERR_CONFIG_UNSUPPORTED:
		return "a URI is qemu:///system or qemu:///session, as in: -c qemu:///system";
	case VIR_ERR_AUTH_FAILED:
	case VIR_ERR_AUTH_CANCELLED:
	case VIR_ERR_AUTH_UNAVAILABLE:
		return "run as root; guests of your own session are on -c qemu:///session";
	case VIR_ERR_SYSTEM_ERROR:
		/* Its first number is errno. */
		if (e->int1 == EACCES || e->int1 == EPERM)
			return "run as root; guests of your own session are on "
			       "-c qemu:///session";
		/* fall through */
	default:
		if (geteuid())
			return "run as root; guests of your own session are on "
			       "-c qemu:///session; or is libvirtd not running?";
		return "is libvirtd running (systemctl start libvirtd)? Name another with "
		       "-c, as qemu:///system; a guest without libvirt is qemu:PID or qmp:SOCKET";
	}
}

static struct vl_error *connect_libvirt(struct domain *d)
{
	struct vl_error *err;

	if (d->conn)
		return NULL;
	err = vl_libvirt_load(&d->vir);
	if (err)
		return err;
	d->conn = d->vir.ConnectOpen(d->uri);
	if (d->conn)
		return NULL;
	return vl_error_hint(libvirt_error(d, "cannot connect to libvirt"), "%s", connect_hint(d));
}

/* The contract of virsh: id, UUID, name. A name may be a number. */
static virDomainPtr lookup(const struct domain *d, const char *spec)
{
	virDomainPtr dom = NULL;
	char *end;
	long id;

	errno = 0;
	id = strtol(spec, &end, 10);
	if (isdigit((unsigned char)*spec) && !*end && !errno && id <= INT_MAX)
		dom = d->vir.DomainLookupByID(d->conn, (int)id);
	if (!dom && strlen(spec) >= VIR_UUID_STRING_BUFLEN - 5)
		dom = d->vir.DomainLookupByUUIDString(d->conn, spec);
	if (!dom)
		dom = d->vir.DomainLookupByName(d->conn, spec);
	return dom;
}

static struct vl_error *no_such_domain(const struct domain *d, bool *no_such_ret)
{
	virErrorPtr e = d->vir.GetLastError();
	char *uri;
	struct vl_error *err;

	if (e && e->code != VIR_ERR_NO_DOMAIN)
		return vl_error_hint(libvirt_error(d, "libvirt cannot look the domain up"),
				     "see: virsh list --all");
	*no_such_ret = true;
	uri = d->vir.ConnectGetURI(d->conn);
	err = vl_error_new(VL_ERR_TARGET, "no such domain on %s", uri ? uri : "this libvirt");
	if (uri && strstr(uri, "/session"))
		vl_error_hint(err, "see: virsh list --all; for the system's domains add "
				   "-c qemu:///system");
	else
		vl_error_hint(err, "see: virsh list --all");
	free(uri);
	return err;
}

/* Find the domain unless that has been done. */
static struct vl_error *need_domain(struct domain *d, bool *no_such_ret)
{
	struct vl_error *err;

	if (d->dom)
		return NULL;
	err = connect_libvirt(d);
	if (err) {
		*no_such_ret = true;
		return err;
	}
	d->dom = lookup(d, d->spec);
	return d->dom ? NULL : no_such_domain(d, no_such_ret);
}

/* Does the connection lead to another machine? */
static struct vl_error *check_local(const struct domain *d)
{
	_cleanup_free_ char *uri = d->vir.ConnectGetURI(d->conn);
	const char *host = uri ? strstr(uri, "://") : NULL;
	int len;

	host = host ? host + 3 : "";
	len = (int)strcspn(host, "/?");
	if (!len || (len == 9 && !strncmp(host, "localhost", 9)))
		return NULL;
	return vl_error_hint(
		vl_error_new(VL_ERR_TARGET, "the domain runs on another host, %.*s", len, host),
		"run vlens there");
}

static struct vl_error *check_state(const struct domain *d)
{
	const char *type = d->vir.ConnectGetType(d->conn);
	const char *name = d->vir.DomainGetName(d->dom);
	int state = 0, reason = 0;

	if (!type || strcmp(type, "QEMU") != 0)
		return vl_error_hint(
			vl_error_new(VL_ERR_TARGET,
				     "no QEMU is behind a domain of libvirt's %s driver",
				     type ? type : "unknown"),
			"only domains of qemu:///system and qemu:///session can be read");
	if (d->vir.DomainGetState(d->dom, &state, &reason, 0) < 0)
		return hinted(libvirt_error(d, "cannot get the domain's state"));
	switch (state) {
	case VIR_DOMAIN_SHUTOFF:
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "the domain is shut off"),
				     "start it: virsh start %s", name);
	case VIR_DOMAIN_CRASHED:
		return vl_error_hint(vl_error_new(VL_ERR_TARGET, "the domain has crashed"),
				     "start it again: virsh start %s", name);
	default:
		return check_local(d);
	}
}

/* Encrypted memory would read as noise: say so instead. */
static struct vl_error *check_encrypted(const struct domain *d)
{
	_cleanup_free_ char *xml = d->vir.DomainGetXMLDesc(d->dom, 0);

	return xml && strstr(xml, "<launchSecurity") ? vl_target_encrypted() : NULL;
}

/* Is process @pid the QEMU of the domain with this UUID? */
static bool runs_domain(pid_t pid, const char *uuid)
{
	_cleanup_free_ char *args = NULL;
	struct vl_qemu_args qa;
	char path[64];
	size_t len;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	if (vl_read_file(AT_FDCWD, path, 4 << 20, &args, &len) < 0)
		return false;
	vl_qemu_args_parse(args, len, &qa);
	return qa.is_qemu && !strcasecmp(qa.uuid, uuid);
}

/* The pid out of libvirt's pid file in @dir, 0 if that does not serve. */
static pid_t pid_from_file(const char *dir, const char *sub, const char *name, const char *uuid)
{
	_cleanup_free_ char *path = NULL, *text = NULL;
	pid_t pid;

	if (!dir || asprintf(&path, "%s/%s/%s.pid", dir, sub, name) < 0) {
		path = NULL;
		return 0;
	}
	if (vl_read_file(AT_FDCWD, path, 64, &text, NULL) < 0)
		return 0;
	pid = (pid_t)strtol(text, NULL, 10);
	return pid > 0 && runs_domain(pid, uuid) ? pid : 0;
}

/* The process of the domain. */
static struct vl_error *find_pid(const struct domain *d, pid_t *ret)
{
	const char *name = d->vir.DomainGetName(d->dom);
	char uuid[VIR_UUID_STRING_BUFLEN];
	struct dirent *de;
	pid_t pid;
	DIR *dir;

	if (d->vir.DomainGetUUIDString(d->dom, uuid) < 0)
		return hinted(libvirt_error(d, "cannot get the domain's UUID"));
	/* Where libvirt's daemons keep them: of the system, of a session. */
	pid = pid_from_file("/run/libvirt", "qemu", name, uuid);
	if (!pid)
		pid = pid_from_file(getenv("XDG_RUNTIME_DIR"), "libvirt/qemu/run", name, uuid);
	dir = pid ? NULL : opendir("/proc");
	while (dir && !pid && (de = readdir(dir)))
		if (isdigit((unsigned char)de->d_name[0]) && runs_domain(atoi(de->d_name), uuid))
			pid = atoi(de->d_name);
	if (dir)
		closedir(dir);
	*ret = pid;
	if (pid)
		return NULL;
	return vl_error_hint(vl_error_new(VL_ERR_TARGET, "cannot find the domain's QEMU process"),
			     "run vlens as root, on the host and in the PID namespace of libvirtd");
}

static struct vl_error *domain_hmp(void *ctx, const char *command, char **ret)
{
	struct domain *d = ctx;

	if (d->vir.DomainQemuMonitorCommand(d->dom, command, ret,
					    VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP) == 0)
		return NULL;
	return vl_error_hint(libvirt_error(d, "libvirt does not pass on a monitor command"),
			     "the connection must have the right to it: run as root");
}

static struct vl_error *ask_domain(struct vl_target *t)
{
	bool unused;

	return need_domain(t->priv, &unused);
}

static struct vl_error *domain_vcpus(struct vl_target *t, struct vl_vcpu **ret, size_t *nr_ret)
{
	_cleanup_free_ char *text = NULL;
	struct vl_error *err;

	err = ask_domain(t);
	if (!err)
		err = domain_hmp(t->priv, "info registers -a", &text);
	return err ? err : vl_hmp_registers(text, ret, nr_ret);
}

static struct vl_error *domain_suspend(struct vl_target *t, bool *was_ret)
{
	struct domain *d = t->priv;
	int state = 0, reason = 0;

	if (d->vir.DomainGetState(d->dom, &state, &reason, 0) < 0)
		return hinted(libvirt_error(d, "cannot get the domain's state"));
	*was_ret = state == VIR_DOMAIN_PAUSED || state == VIR_DOMAIN_PMSUSPENDED;
	if (*was_ret || d->vir.DomainSuspend(d->dom) == 0)
		return NULL;
	return hinted(libvirt_error(d, "cannot suspend the domain"));
}

static struct vl_error *domain_unsuspend(struct vl_target *t)
{
	struct domain *d = t->priv;

	if (d->vir.DomainResume(d->dom) == 0)
		return NULL;
	return hinted(libvirt_error(d, "cannot resume the domain"));
}

/*
 * In the guard, which has only a copy of the connection's memory and not its
 * socket: connect anew, from what suspend's preparation has loaded.
 */
static void domain_guard_resume(const struct vl_target *t, int fd)
{
	struct domain d = *(const struct domain *)t->priv;

	(void)fd;
	for (int i = 0; i < 20; i++) {
		d.conn = d.vir.ConnectOpen(d.uri);
		d.dom = d.conn ? lookup(&d, d.spec) : NULL;
		if (d.dom && d.vir.DomainResume(d.dom) == 0)
			return;
		usleep(200000);
	}
}

static void disconnect(struct domain *d)
{
	if (d->dom)
		d->vir.DomainFree(d->dom);
	if (d->conn)
		d->vir.ConnectClose(d->conn);
	d->dom = NULL;
	d->conn = NULL;
}

/*
 * The daemon may end and come again before the next question. A suspend goes by
 * the connection that it has.
 */
static void domain_rest(struct vl_target *t)
{
	if (t->pause_mode != VL_PAUSE_SUSPEND)
		disconnect(t->priv);
}

static void domain_close(struct vl_target *t)
{
	struct domain *d = t->priv;

	disconnect(d);
	free(d->uri);
	free(d->spec);
	free(d);
}

static void domain_info(struct vl_target *t, struct vl_target_info *ret)
{
	static const char *const states[] = {
		[VIR_DOMAIN_RUNNING] = "running",    [VIR_DOMAIN_BLOCKED] = "blocked",
		[VIR_DOMAIN_PAUSED] = "paused",	     [VIR_DOMAIN_SHUTDOWN] = "in shutdown",
		[VIR_DOMAIN_PMSUSPENDED] = "asleep",
	};
	struct domain *d = t->priv;
	virDomainInfo info;

	if (vl_discard(ask_domain(t)))
		return;
	snprintf(ret->name, sizeof(ret->name), "%s", d->vir.DomainGetName(d->dom));
	snprintf(ret->id, sizeof(ret->id), "%u", d->vir.DomainGetID(d->dom));
	if (d->vir.DomainGetInfo(d->dom, &info) < 0)
		return;
	if (info.state < sizeof(states) / sizeof(states[0]) && states[info.state])
		snprintf(ret->state, sizeof(ret->state), "%s", states[info.state]);
	ret->vcpus = info.nrVirtCpu;
}

static const struct vl_target_ops domain_ops = {
	.vcpus = domain_vcpus,
	.prepare = ask_domain,
	.suspend = domain_suspend,
	.unsuspend = domain_unsuspend,
	.guard_resume = domain_guard_resume,
	.info = domain_info,
	.rest = domain_rest,
	.close = domain_close,
};

/* What was known last time, if that process still runs and its map still fits. */
static bool known(struct vl_target *t, struct domain *d)
{
	char run[64], uuid[40];
	struct vl_error *err;
	pid_t pid;

	if (!vl_domcache_find(d->spec, d->uri, &pid, run, uuid))
		return false;
	err = vl_target_bind(t, pid);
	if (!err && !strcmp(vl_target_run_id(t), run) && runs_domain(pid, uuid) &&
	    vl_rammap_cached(t))
		return true;
	vl_error_destroy(err);
	vl_target_unbind(t);
	return false;
}

struct vl_error *vl_libvirt_open(struct vl_target *t, const char *spec, const char *uri,
				 bool *no_such_ret)
{
	struct domain *d = calloc(1, sizeof(*d));
	char uuid[VIR_UUID_STRING_BUFLEN];
	struct vl_error *err;
	pid_t pid = 0;

	if (!d)
		return vl_error_nomem();
	t->priv = d;
	t->ops = &domain_ops;
	d->spec = strdup(spec);
	d->uri = uri ? strdup(uri) : NULL;
	if (!d->spec || (uri && !d->uri))
		return vl_error_nomem();
	if (known(t, d))
		return NULL;
	err = need_domain(d, no_such_ret);
	if (!err)
		err = check_state(d);
	if (!err)
		err = find_pid(d, &pid);
	if (!err)
		err = vl_target_bind(t, pid);
	if (err || vl_rammap_cached(t))
		goto out;
	err = check_encrypted(d);
	if (!err)
		err = vl_rammap_build(t, domain_hmp, d);
out:
	if (!err && d->vir.DomainGetUUIDString(d->dom, uuid) == 0)
		vl_domcache_store(t, spec, uri, uuid);
	return err;
}

struct vl_error *vl_target_list(const char *uri, void (*fn)(void *ctx, const char *name), void *ctx)
{
	struct domain d = { .uri = (char *)uri };
	struct vl_error *err = connect_libvirt(&d);
	virDomainPtr *doms = NULL;
	int nr;

	if (err)
		return err;
	nr = d.vir.ConnectListAllDomains(d.conn, &doms, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
	for (int i = 0; i < nr; i++) {
		const char *name = d.vir.DomainGetName(doms[i]);
		char uuid[VIR_UUID_STRING_BUFLEN];

		if (name && vl_name_is_taken(name) && d.vir.DomainGetUUIDString(doms[i], uuid) == 0)
			name = uuid;
		if (name)
			fn(ctx, name);
		d.vir.DomainFree(doms[i]);
	}
	free(doms);
	d.vir.ConnectClose(d.conn);
	return NULL;
}
